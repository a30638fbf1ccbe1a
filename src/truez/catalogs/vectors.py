"""Three columns of a catalogue as (n, 3) vectors: their units, axes, and checks of their values."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs.formats._missing import complete, missing, num_missing
from truez.catalogs.formats._names import expanded
from truez.catalogs.units import (
    LENGTHS,
    axis_order,
    canonical,
    check_length_unit,
    length_factor,
    unit_in_name,
)
from truez.support.notes import Note

Array = NDArray[Any]


def three(
    columns: Sequence[str],
    known: Collection[str],
    where: str,
    what: str,
    numbered: bool = False,
    left_out: Mapping[str, str] | None = None,
) -> list[str]:
    """The three columns of a vector, given by three names or by that of a vector column."""
    names = expanded(columns, known, where, numbered, left_out)
    given = [columns] if isinstance(columns, str) else list(columns)
    if len(names) != 3 and len(given) == 1 and len(names) > 1:
        turned = ": is it transposed? store it as (n, 3)" if len(names) > 3 else ""
        raise ValueError(
            f"{what} need three components, but {given[0]!r} of {where} has {len(names)}{turned}"
        )
    if len(names) != 3:
        listed = ", ".join(names[:6]) + (" and more" if len(names) > 6 else "")
        raise ValueError(f"{what} need three different columns, not {listed}")
    return names


def units_of(names: Sequence[str], units: Mapping[str, str]) -> dict[str, str]:
    """The units of columns that a catalogue states, or their names."""
    found = {name: units.get(name) or unit_in_name(name) for name in names}
    return {name: unit for name, unit in found.items() if unit}


def length_scale(
    names: Sequence[str], units: Mapping[str, str], length_unit: str | None, hubble: float | None
) -> float:
    """Factor that converts the columns to Mpc/h, by ``length_unit`` or the units in the file.

    ``length_unit`` wins, with a `Note` where the file states another unit. A name such as
    ``x [Mpc]`` states one too.
    """
    units = units_of(names, units)
    if length_unit is not None:
        unit = check_length_unit(length_unit)
        other = next((n for n in names if n in units and canonical(units[n]) != unit), None)
        if other is not None:
            words = f"column {other!r} is in {units[other]!r} by its file, and length_unit {unit}"
            warnings.warn(f"{words} is used instead", Note, stacklevel=3)
        return length_factor(unit, hubble)
    return length_factor(stated_unit(names, units), hubble)


def stated_unit(names: Sequence[str], units: Mapping[str, str], where: str = "") -> str:
    """The one unit of length that a catalogue states for its positions, in truez's spelling.

    Raises
    ------
    ValueError
        If it states none, one that truez does not know, or two.
    """
    unit, source = None, ""
    units = units_of(names, units)
    of = f" of {where}" if where else ""
    for name in names:
        if name not in units:
            continue
        stated = canonical(units[name])
        if stated not in LENGTHS:
            raise ValueError(
                f"the unit {units[name]!r} of the position column {name!r}{of} is no length that "
                f"truez knows: give length_unit, one of {', '.join(LENGTHS)}"
            )
        if unit is None:
            unit, source = stated, f"the unit of {name!r}"
        elif stated != unit:
            raise ValueError(
                f"column {name!r}{of} is in {units[name]} by its file, but {source} is {unit}: "
                "give length_unit"
            )
    if unit is None:
        raise ValueError(
            f"length_unit must be given, as the catalogue states no unit of {', '.join(names)}"
        )
    return unit


def numbers(columns: Mapping[str, Array], name: str) -> Array:
    """The column ``name``, which must hold numbers, none of them missing."""
    return complete(_numbers(columns, name), name)


def floats(columns: Mapping[str, Array], name: str) -> Array:
    """The column ``name``, which must hold numbers; missing ones are NaN."""
    values = _numbers(columns, name)
    if not isinstance(values, np.ma.MaskedArray):
        return values
    kind = np.float32 if values.dtype == np.float32 else np.float64
    return np.where(missing(values), kind(np.nan), np.ma.getdata(values).astype(kind))


def _numbers(columns: Mapping[str, Array], name: str) -> Array:
    values = columns[name]
    if values.dtype.kind not in "iuf":
        kind = "booleans" if values.dtype.kind == "b" else f"text{_first_word(values)}"
        raise ValueError(f"column {name!r} must hold numbers, not {kind}")
    return values


def _first_word(values: Array) -> str:
    """The first text of a column that is no number, and its row, for a message."""
    for row, word in enumerate(np.ma.getdata(values).tolist()):
        try:
            float(word or "nan")
        except ValueError:
            return f", such as {word[:40]!r} in row {row} (counted from 0)"
    return ""


def stacked(
    columns: Mapping[str, Array], names: Sequence[str], factor: float, los: int | str
) -> Array:
    """The columns times ``factor`` as a new (n, 3) array, the line of sight last.

    float32 where all three are, else float64; missing values are NaN.
    """
    parts = [floats(columns, names[axis]) for axis in axis_order(los)]
    single = all(part.dtype == np.float32 for part in parts)
    result = np.empty((len(parts[0]), 3), dtype=np.float32 if single else np.float64)
    for axis, part in enumerate(parts):
        np.multiply(part, factor, out=result[:, axis])
    return result


class Finite:
    """Counts the rows that are not finite over the chunks of a catalogue."""

    def __init__(self, what: str) -> None:
        self.what, self.bad, self.first, self.rows = what, 0, 0, 0
        self.missing = False

    def look(self, columns: Mapping[str, Array], names: Sequence[str]) -> Finite:
        """Note whether the next rows of the columns have missing values."""
        self.missing = self.missing or any(num_missing(columns[name]) for name in names)
        return self

    def check(self, values: Array) -> Finite:
        """Check the next rows, (m, k)."""
        # One pass without a mask: a sum is finite only if all values are (or it overflows).
        with np.errstate(invalid="ignore", over="ignore"):
            total = values.sum(dtype=np.float64)
        if not np.isfinite(total):
            rows = np.flatnonzero(~np.isfinite(values).all(axis=1))
            if len(rows) and not self.bad:
                self.first = self.rows + int(rows[0])
            self.bad += len(rows)
        self.rows += len(values)
        return self

    def end(self) -> None:
        """Raise ValueError if there were any."""
        if self.bad:
            held = "have no value" if self.missing else "hold NaN or infinity"
            raise ValueError(
                f"{self.what} must be finite, but {self.bad} of {self.rows} rows {held}, the first "
                f"of them row {self.first} (counted from 0): leave those rows out"
            )
