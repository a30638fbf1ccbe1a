"""A catalogue that is to be divided among patches: its files, and what its columns mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs.angles import angle_unit
from truez.catalogs.coordinates import check_degrees, find_columns
from truez.catalogs.formats.parquet import numpy_from_arrow, schema_units
from truez.catalogs.known_redshifts import known_redshifts
from truez.catalogs.stream import CatalogStream
from truez.catalogs.vectors import floats

Array = NDArray[np.float64]
#: Columns of the files of patches that the input does not have.
ROW, CORE = "truez_row", "truez_core"


@dataclass(frozen=True)
class SkyInput:
    """A catalogue on the sky, of any number of files.

    Parameters
    ----------
    path : str
        A file, a pattern of files, or a folder of Parquet files, local or remote; or the folder of
        a HATS catalogue, which is read as it is.
    sky : three column names
        Right ascension, declination, and the redshift by which galaxies are in cores.
    spec_z_column : str, optional
        A column of redshifts that are known of some galaxies, by which they are in margins as well.
    columns : sequence of str, optional
        What patches need besides; by default all columns.
    ra_unit, dec_unit : {"deg", "hourangle", "rad"}, optional
        By default what the files state, else degrees.
    stand_ins : sequence of float
        Numbers that mean no redshift, besides -99 and others that are always known.

    Raises
    ------
    ValueError
        If ``sky`` are not three names.
    """

    path: str
    sky: Sequence[str] = ("RA", "DEC", "Z")
    spec_z_column: str | None = None
    columns: Sequence[str] | None = None
    ra_unit: str | None = None
    dec_unit: str | None = None
    stand_ins: Sequence[float] = ()

    def __post_init__(self) -> None:
        names = tuple(self.sky.split(",")) if isinstance(self.sky, str) else tuple(self.sky)
        if len(names) != 3:
            raise ValueError(f"sky must name three columns, RA,DEC,Z, not {','.join(names)}")
        object.__setattr__(self, "sky", names)
        object.__setattr__(self, "path", str(self.path))

    @property
    def places(self) -> list[str]:
        """The columns of directions and redshifts."""
        return [*self.sky, *([self.spec_z_column] if self.spec_z_column else [])]

    @property
    def named(self) -> list[str]:
        """The columns that are named, without regard to case."""
        return list(dict.fromkeys([*self.places, *(self.columns or ())]))

    def open(self, name: str) -> CatalogStream:
        """Its columns as a stream; ``name`` is that of the sample, for messages."""
        wanted = None if self.columns is None else self.named
        stream = CatalogStream.open(self.path, wanted, name=f"{name} ({self.path})")
        for own in (ROW, CORE):
            if own in stream.schema.names:
                raise ValueError(
                    f"{self.path} has a column {own!r}, which a partition adds: rename it, or name "
                    "the columns that are needed"
                )
        return stream

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: list(x) if isinstance(x, tuple | list) else x
                for name, x in vars(self).items()}  # fmt: skip


@dataclass(eq=False)
class Places:
    """Where the galaxies of a catalogue are, batch by batch.

    Parameters
    ----------
    given : SkyInput
    schema : pyarrow.Schema
        Of its columns.
    place : function of int
        Where a row is, in words.

    Attributes
    ----------
    extremes : list
        The least and the largest right ascension and declination so far, in their own unit.
    """

    given: SkyInput
    schema: Any
    place: Callable[[int], str]
    extremes: list[float] = field(default_factory=lambda: [np.inf, -np.inf, np.inf, -np.inf])

    def __post_init__(self) -> None:
        given, known = self.given, self.schema.names
        self._columns = find_columns(given.sky, known, self.given.path)
        self._other = (
            find_columns([given.spec_z_column], known, given.path) if given.spec_z_column else []
        )
        same = given.dec_unit or (given.ra_unit if given.ra_unit != "hourangle" else None)
        units = schema_units(self.schema)
        found = [
            angle_unit(column, unit, option, units, given.path)
            for column, unit, option in zip(
                self._columns, (given.ra_unit, same), ("ra_unit", "dec_unit"), strict=False
            )
        ]
        self._stated = found[0] is not None
        self._factors = [factor or 1.0 for factor in found]

    @property
    def angles(self) -> list[str]:
        """The columns of right ascension and declination, in the catalogue's own spelling."""
        return self._columns[:2]

    @property
    def in_degrees(self) -> bool:
        """Whether they are degrees in the catalogue."""
        return all(factor == 1.0 for factor in self._factors)

    def of(self, first: int, table: Any) -> tuple[Array, Array, Array, Array | None]:
        """Directions [deg], redshifts and other redshifts of a table, NaN where there are none.

        Parameters
        ----------
        first : int
            Number of its first row.
        table : pyarrow.Table

        Raises
        ------
        ValueError
            If a position has no value or is none, or redshifts are velocities.
        """
        angles = []
        for axis, (low, high) in enumerate(((-360.0, 360.0), (-90.0, 90.0))):
            column = self._columns[axis]
            own = self._numbers(table, column)
            with np.errstate(invalid="ignore"):
                value = own * self._factors[axis]
                bad = ~((value >= low) & (value <= high))
            if bad.any():
                row = int(np.flatnonzero(bad)[0])
                what = "has no value" if np.isnan(own[row]) else f"is {own[row]:.6g}"
                raise ValueError(
                    f"column {column!r} {what} in {self.place(first + row)}, and must be an "
                    f"angle from {low:g} to {high:g} deg: correct or remove that row"
                )
            self.extremes[2 * axis] = min(self.extremes[2 * axis], float(own.min()))
            self.extremes[2 * axis + 1] = max(self.extremes[2 * axis + 1], float(own.max()))
            angles.append(value)
        redshifts = []
        for column in (self._columns[2], *self._other):
            try:
                found = known_redshifts(self._numbers(table, column), self.given.stand_ins)
            except ValueError as error:
                rows = self.place(first)
                raise ValueError(f"column {column!r} {error} (from {rows} on)") from None
            redshifts.append(found)
        ra = np.mod(angles[0], 360.0)
        ra[ra >= 360.0] = 0.0
        return ra, angles[1], redshifts[0], redshifts[1] if self._other else None

    def check_units(self) -> None:
        """Raise if angles whose unit is not stated look like hours or radians."""
        if not self._stated:
            low, high, south, north = self.extremes
            check_degrees(np.array([low, high]), np.array([south, north]), self.given.path)

    def _numbers(self, table: Any, column: str) -> Array:
        try:
            values = numpy_from_arrow(table.column(column), column)
            return np.asarray(floats({column: values}, column), np.float64)
        except ValueError as error:
            raise ValueError(f"{self.given.path}: {error}") from None


def batches(stream: CatalogStream, rows: int, start: int) -> Iterator[tuple[int, Any, bool]]:
    """The batches of a stream from a row on, and whether each is the last."""
    held: tuple[int, Any] | None = None
    for one in stream.batches(rows, start=start):
        if held is not None:
            yield *held, False
        held = one
    if held is not None:
        yield *held, True
