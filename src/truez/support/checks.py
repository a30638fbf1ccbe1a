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


def plain(values: Any, name: str) -> NDArray[Any]:
    """``values`` as an array, without a mask or a unit.

    Raises
    ------
    ValueError
        If they are no array, some are masked, or they have a unit, which would be lost.
    """
    mask = getattr(values, "mask", None)
    if mask is not None and not callable(mask) and np.any(mask):
        rows = np.asarray(mask).reshape(len(mask), -1).any(axis=1)
        raise ValueError(
            f"{np.count_nonzero(rows)} of {len(rows)} {name} are masked: leave those rows out"
        )
    unit = getattr(values, "unit", None)
    if unit is not None and str(unit):
        raise ValueError(
            f"{name} must be plain numbers, as their unit {str(unit)!r} would be lost: give their "
            "values in the unit that truez has, such as Mpc/h"
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
