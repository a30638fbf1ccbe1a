"""Columns with missing values: numpy masked arrays, whose masked values are never used as numbers.

A column in which no value is missing is a plain array. Below a mask floats are NaN, other numbers
0, booleans False and text empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_NOTHING = {"f": np.nan, "U": "", "S": b"", "b": False}
#: The column of booleans beside ``name`` that marks its missing values, as astropy writes it too.
_MASK = ".mask"


def masked(values: Array, mask: Array) -> Array:
    """``values`` as a masked array, or as they are where the mask marks none."""
    if not mask.any():
        return values
    filled = np.where(mask, np.array(_NOTHING.get(values.dtype.kind, 0), values.dtype), values)
    return np.ma.MaskedArray(filled.astype(values.dtype, copy=False), mask)


def missing(values: Array) -> Array:
    """Which values are missing, booleans of the same shape."""
    return np.ma.getmaskarray(values)


def num_missing(values: Array) -> int:
    """Number of missing values."""
    return int(np.count_nonzero(values.mask)) if isinstance(values, np.ma.MaskedArray) else 0


def present(columns: Mapping[str, Array], names: Sequence[str]) -> Array:
    """Which rows (n,) have a value, and no NaN or infinity, in each of the columns."""
    rows = np.ones(len(next(iter(columns.values()))), dtype=np.bool_)
    for name in names:
        rows &= ~missing(columns[name])
        if columns[name].dtype.kind == "f":
            rows &= np.isfinite(np.ma.getdata(columns[name]))
    return rows


def concatenated(parts: Sequence[Array]) -> Array:
    """The parts of a column one behind the other, with their missing values."""
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        joined: Array = np.ma.concatenate(parts)  # type: ignore[no-untyped-call]
        return joined
    return np.concatenate(parts)


def complete(values: Array, name: str) -> Array:
    """The values of a column that is used; a ValueError where some of them are missing."""
    if count := num_missing(values):
        raise ValueError(
            f"column {name!r} has no value in {count} of {len(values)} rows: leave those rows out"
        )
    return values


def lacking(values: Any) -> NDArray[np.bool_]:
    """Rows without a value in a column of any library: by a mask, NA, None, or NaN in pandas."""
    mask = getattr(values, "mask", None)
    if mask is not None and not callable(mask):
        lost: NDArray[np.bool_] = np.asarray(mask, dtype=np.bool_)
    else:
        tests = (getattr(values, name, None) for name in ("isna", "is_null"))
        found = next((test for test in tests if callable(test)), None)
        lost = np.asarray(found() if found else False, dtype=np.bool_)
    if lost.ndim > 1:
        lost = np.asarray(lost.any(axis=tuple(range(1, lost.ndim))))
    return np.atleast_1d(lost)


def given_column(values: Any) -> Array:
    """A column of any library as an array, masked where it lacks values; integers stay integers."""
    lost = lacking(values)
    if not lost.any():
        return _exact(values)
    known = _exact(with_value(values, lost))
    column = np.ma.MaskedArray(np.zeros(lost.shape, dtype=known.dtype), mask=lost.copy())
    column[~lost] = known
    return column


def with_value(values: Any, lost: NDArray[np.bool_]) -> Any:
    """The rows of a column of any library that are not lost."""
    drop = getattr(values, "drop_null", None) or getattr(values, "drop_nulls", None)
    return drop() if callable(drop) else values[~lost]


def _exact(values: Any) -> Array:
    """A column as an array, whole numbers as integers."""
    if hasattr(values, "to_pylist"):  # of arrow, which copies text only if it may
        array = values.to_numpy(zero_copy_only=False)
    else:
        array = values.to_numpy() if hasattr(values, "to_numpy") else np.ma.getdata(values)
    array = np.asarray(array)
    if array.dtype.kind == "O" and all(isinstance(item, int | np.integer) for item in array.flat):
        array = np.array(array.tolist())
    return array


def mask_columns(names: Sequence[str]) -> dict[str, str]:
    """The column that holds the mask of each column that has one: ``x.mask``, ``v.mask.0``."""
    known = set(names)
    found = {}
    for name in names:
        base, _, number = name.rpartition(".")
        of_vector = f"{base}{_MASK}.{number}" if number.isdecimal() else ""
        for mask in (name + _MASK, of_vector):
            if mask in known:
                found[name] = mask
    return found


def without_masks(columns: Mapping[str, Array], masks: Mapping[str, str]) -> dict[str, Array]:
    """The columns with the values masked that their mask columns mark."""
    return {
        name: masked(values, columns[masks[name]].astype(np.bool_)) if name in masks else values
        for name, values in columns.items()
        if name not in masks.values()
    }
