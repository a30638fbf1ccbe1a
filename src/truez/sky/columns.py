"""Columns of catalogues of the sky: of files or objects, by names in any case, values missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs import formats, vectors
from truez.catalogs.catalog import Catalog
from truez.catalogs.coordinates import STAND_INS, find_columns, without_stand_ins
from truez.catalogs.given import as_catalog, ids_of, names_of
from truez.surveys.matching import Matches, match_ids

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SkyTable:
    """Some columns of a catalogue.

    Parameters
    ----------
    catalog : Catalog
        Under the names that were asked for.
    name : str
        Of the catalogue, for messages.
    """

    catalog: Catalog
    name: str

    @classmethod
    def of(cls, value: Any, names: Sequence[str], name: str) -> SkyTable:
        """The columns of a catalogue with these names, in any case.

        Parameters
        ----------
        value : path, Catalog, astropy Table, DataFrame or mapping of arrays
        names : sequence of str
        name : str
            Of the argument, for messages.

        Raises
        ------
        ValueError
            If a column is missing, or two differ in case alone.
        FileNotFoundError
            If there is no such file.
        """
        wanted = list(dict.fromkeys(names))
        if isinstance(value, str | Path):
            found = find_columns(wanted, list(formats.header(Path(value)).columns), name)
            source = as_catalog(value, found, name=name)
            columns = {own: source[column] for own, column in zip(wanted, found, strict=True)}
            units = source.units
        else:
            known = names_of(value, name)
            found = find_columns(wanted, list(known), name)
            columns = {
                own: ids_of(value, column, name=name)
                for own, column in zip(wanted, found, strict=True)
            }
            units = known
        stated = {
            own: units[column]
            for own, column in zip(wanted, found, strict=True)
            if units.get(column)
        }
        return cls(Catalog(columns, stated), name)

    def floats(self, column: str, option: str) -> Array:
        """A column of numbers, NaN where there is none or a number that marks a missing one."""
        try:
            values = vectors.floats(self.catalog.columns, column).astype(np.float64)
        except ValueError as error:
            raise ValueError(f"{option}: {error}") from None
        absent = np.isin(values.astype(np.float32), np.array(STAND_INS, np.float32))
        return np.where(absent & (values != 0), np.nan, values)

    def without(self, stand_ins: Sequence[float], columns: Iterable[str | None]) -> SkyTable:
        """The table with NaN in place of the stand-ins for missing values in some columns."""
        if not len(stand_ins):
            return self
        names = [name for name in columns if name is not None]
        return SkyTable(without_stand_ins(self.catalog, names, stand_ins), self.name)

    def weights(self, column: str | None, option: str, *, part: bool = False) -> Array | None:
        """Weights, which all galaxies must have; those of a part of a survey may all be 0."""
        if column is None:
            return None
        try:
            weights = vectors.floats(self.catalog.columns, column).astype(np.float64)
        except ValueError as error:
            raise ValueError(f"{option}: {error}") from None
        bad = ~(np.isfinite(weights) & (weights >= 0))
        if bad.any():
            raise ValueError(
                f"{option} {column!r} of {self.name} must hold finite weights >= 0, but does not "
                f"in {np.count_nonzero(bad)} of {weights.size} rows: remove those rows"
            )
        if not (part or weights.any()):
            raise ValueError(f"{option} {column!r} of {self.name} is 0 in all rows: choose another")
        return weights


def id_columns(match_id: str) -> tuple[list[str], list[str]]:
    """Columns of the identifier in the spectroscopic and in the photometric catalogue.

    Parameters
    ----------
    match_id : str
        ``ID``, ``SPECCOL:PHOTOCOL``, or several columns on a side joined with ``+``.
    """
    sides = match_id.split(":")
    if len(sides) > 2 or not all(part for side in sides for part in side.split("+")):
        raise ValueError(
            f"match_id must be ID, SPECCOL:PHOTOCOL or columns joined with +, not {match_id!r}"
        )
    spec, photo = (side.split("+") for side in (sides[0], sides[-1]))
    if len(spec) != len(photo):
        raise ValueError(
            f"match_id {match_id!r} names {len(spec)} columns of spec and {len(photo)} of photo: "
            "name as many of both"
        )
    return spec, photo


def matches_by_id(
    spec: SkyTable, photo: SkyTable, match_id: str, *, part: bool = False
) -> Matches:  # fmt: skip
    """Galaxies of both catalogues, or of a part of them, by the columns of ``match_id``."""
    ours, theirs = id_columns(match_id)
    return match_ids(_joined(spec, ours), _joined(photo, theirs), column=match_id, part=part)


def _joined(table: SkyTable, columns: Sequence[str]) -> NDArray[Any]:
    """Identifiers of one column, or of several as text."""
    parts = [table.catalog[column] for column in columns]
    if len(parts) == 1:
        return parts[0]
    lost = np.any([np.ma.getmaskarray(part) for part in parts], axis=0)
    if any(part.dtype.kind == "f" for part in parts):
        raise ValueError(
            f"match_id columns {'+'.join(columns)} of {table.name} must hold whole numbers or text"
        )
    text = np.ma.getdata(parts[0]).astype(np.str_)
    for part in parts[1:]:
        text = np.char.add(np.char.add(text, " "), np.ma.getdata(part).astype(np.str_))
    return np.ma.MaskedArray(text, mask=lost) if lost.any() else text
