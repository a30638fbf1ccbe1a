"""Checks of arguments of public functions, each with an error of one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def shown(value: Any, longest: int = 40) -> str:
    """A value that a user gave, as one line of printable text for a sentence.

    Text is in quotation marks, what is too long is cut, and what is no single value is named
    instead, as ``a table`` or ``a list of 5000 values``.

    Parameters
    ----------
    value : object
        From a command line, a recipe, or an argument of a function.
    longest : int
        Most characters.

    Examples
    --------
    >>> print(shown("furlong"), shown(0.5), shown([8, 16]), shown({"h": 0.7}))
    'furlong' 0.5 [8, 16] a table
    """
    if isinstance(value, str):
        text = repr(value[: longest + 1])  # escapes what a terminal would not print
        return text if len(text) <= longest + 2 else f"{text[: longest - 3]}...{text[0]}"
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if isinstance(value, int | np.integer):
        digits = longest - 1
        return f"{value}" if abs(value) < 10**digits else f"a number of more than {digits} digits"
    if isinstance(value, float | np.floating):
        return f"{value:.12g}".replace("e+0", "e").replace("e+", "e")
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        text = "[" + ", ".join(shown(one, longest) for one in value[:longest]) + "]"
        return text if len(text) <= longest else f"a list of {len(value)} values"
    return "nothing" if value is None else f"a {type(value).__name__}"


def check_type(value: Any, kind: type, name: str, remedy: str = "") -> None:
    """Raise an error unless a value is a ``kind``.

    Parameters
    ----------
    value : object
    kind : type
        A class of truez.
    name : str
        Of the argument.
    remedy : str
        What to pass instead, such as ``truez.Field(values, box)``.

    Raises
    ------
    ValueError
    """
    if not isinstance(value, kind):
        more = f": {remedy}" if remedy else ""
        raise ValueError(
            f"{name} must be a truez.{kind.__name__}, not {type(value).__name__}{more}"
        )


def plain(values: Any, name: str) -> NDArray[Any]:
    """``values`` as an array, without a mask or a unit.

    Raises
    ------
    ValueError
        If they are no array, some are masked, or they have a unit, which would be lost.
    """
    mask = getattr(values, "mask", None)
    if mask is not None and not callable(mask) and np.any(mask):
        flags = np.atleast_1d(np.asarray(mask, dtype=bool))
        rows = np.asarray(flags.reshape(len(flags), -1).any(axis=1))
        raise ValueError(
            f"{np.count_nonzero(rows)} of {len(rows)} {name} are masked: leave those rows out"
        )
    unit = getattr(values, "unit", None)
    if unit is not None and str(unit):
        raise ValueError(
            f"{name} must be plain numbers, as their unit {str(unit)!r} would be lost: give their "
            "values in the unit that truez has, such as Mpc/h or km/s"
        )
    try:
        return np.asarray(values)
    except (TypeError, ValueError):
        kind = type(values).__name__
        raise ValueError(f"{name} must be an array of numbers, not {kind}") from None


def as_numbers(values: Any, name: str, *, floats: bool = False) -> NDArray[Any]:
    """``values`` as an array of numbers, of floating-point numbers if ``floats``.

    Raises
    ------
    ValueError
        If they are not numbers.
    """
    array = plain(values, name)
    try:
        return array if array.dtype.kind in ("f" if floats else "fiu") else array.astype(np.float64)
    except (TypeError, ValueError):
        kind = type(values).__name__
        raise ValueError(f"{name} must be an array of numbers, not {kind}") from None
