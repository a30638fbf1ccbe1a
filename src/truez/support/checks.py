"""Checks of arguments of public functions, each with an error of one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


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


def as_numbers(values: Any, name: str, *, floats: bool = False) -> NDArray[Any]:
    """``values`` as an array of numbers, of floating-point numbers if ``floats``.

    Raises
    ------
    ValueError
        If they are not numbers.
    """
    try:
        array = np.asarray(values)
        return array if array.dtype.kind in ("f" if floats else "fiu") else array.astype(np.float64)
    except (TypeError, ValueError):
        kind = type(values).__name__
        raise ValueError(f"{name} must be an array of numbers, not {kind}") from None
