"""Catalogues: named columns with units, read and written by suffix.

The formats are listed in `truez.catalogs.formats`; `truez.catalogs.chunks` reads and writes
catalogues in bounded memory. A column of a nested HDF5 or ASDF file is ``group/x``, component i of
a vector column ``v`` is ``v.i``, and the name ``v`` alone selects all of its components. Columns
keep their types, float32 included, in the machine's byte order.

Positions are (n, 3) arrays in comoving Mpc/h, their axes permuted cyclically so that the line of
sight is last (`truez.catalogs.units.axis_order`); they are float32 where all three columns are,
else float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike, NDArray

from truez.catalogs import vectors
from truez.catalogs.formats._missing import concatenated, given_column, masked, missing, present
from truez.catalogs.formats._names import expanded, missing_column
from truez.catalogs.units import canonical, unit_in_name

Array = NDArray[Any]

_EVERYTHING = 2**62
#: Largest number of columns in a ``repr``, and of rows in a notebook.
_SHOWN = 8


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Catalog:
    """Immutable named columns of equal length.

    Parameters
    ----------
    columns : mapping of str to (n,) arrays
        Numbers, booleans or text. The arrays are not copied, and are read-only from here. A
        column with missing values is a numpy masked array.
    units : mapping of str to str, optional
        Units of columns that have one; quantities of astropy bring theirs along.
    metadata : mapping, optional
        Plain values (JSON) that describe the origin of the catalogue; files of it contain them.

    Raises
    ------
    ValueError
        If a column is of another shape or type, or their lengths differ.

    Examples
    --------
    >>> import numpy as np
    >>> from truez import Catalog
    >>> catalog = Catalog({"x": np.arange(3.0), "mass": [1, 2, 3]}, units={"x": "Mpc/h"})
    >>> catalog
    Catalog of 3 rows: x [Mpc/h], mass
    >>> int(catalog["mass"].max()), len(catalog)
    (3, 3)
    """

    columns: Mapping[str, Array]
    units: Mapping[str, str]
    metadata: Mapping[str, Any]

    def __init__(
        self,
        columns: Mapping[str, ArrayLike],
        units: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(columns, Mapping | Table):
            raise ValueError(
                "columns must be a mapping of names to arrays or an astropy Table, not "
                f"{type(columns).__name__}: give a dict of its columns"
            )
        if not len(columns.keys()):
            raise ValueError("columns must name at least one column, not none")
        # Quantities and columns of astropy bring their units along.
        own = {n: str(getattr(v, "unit", None) or "") for n, v in columns.items()}
        units = {**own, **(units or {})}
        arrays = {name: _column(name, values) for name, values in columns.items()}
        lengths = {name: len(values) for name, values in arrays.items()}
        first = next(iter(lengths))
        for name, length in lengths.items():
            if length != lengths[first]:
                raise ValueError(
                    f"columns must be equally long, but {first!r} has {lengths[first]} rows and "
                    f"{name!r} has {length}"
                )
        for name in units:
            if name not in arrays:
                raise ValueError(f"units name a column {name!r} that is not in columns")
        stated = {name: unit for name, unit in units.items() if unit}
        object.__setattr__(self, "columns", MappingProxyType(arrays))
        object.__setattr__(self, "units", MappingProxyType(stated))
        object.__setattr__(self, "metadata", MappingProxyType(dict(metadata or {})))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __repr__(self) -> str:
        units = self.units
        words = [f"{name} [{units[name]}]" if name in units else name for name in self.columns]
        shown = ", ".join(words[:_SHOWN])
        more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
        return f"Catalog of {len(self)} rows: {shown}{more}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{self.to_table()[:_SHOWN]._repr_html_()}"

    def to_table(self) -> Table:
        """The columns as an astropy Table, units as text in its ``meta["units"]``.

        Units that contain h are not among those that astropy recognises by default.
        """
        table = Table(dict(self.columns))
        table.meta.update({**self.metadata, "units": dict(self.units)})
        return table

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> Array:
        """The column ``name``, shape (n,), read-only; a masked array where values are missing."""
        if name not in self.columns:
            raise ValueError(missing_column(name, self.columns, "the catalogue"))
        return self.columns[name]

    def select(self, rows: Array) -> Catalog:
        """The rows of a boolean mask (n,) or of indices, in their order."""
        if rows.dtype.kind == "b" and rows.shape != (len(self),):
            raise ValueError(f"a mask of shape {rows.shape} does not fit {len(self)} rows")
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Catalog(columns, self.units, self.metadata)

    def without_missing(self, columns: Sequence[str] | None = None) -> Catalog:
        """The rows that have a value, and no NaN or infinity, in each of ``columns``.

        Parameters
        ----------
        columns : names of columns, optional
            Those that are used; all by default.

        Raises
        ------
        ValueError
            If there is no such column, or no such row.
        """
        names = list(self.columns)
        if columns is not None:
            names = expanded(columns, self.columns, "the catalogue")
        rows = present(self.columns, names)
        if not rows.any():
            raise ValueError(f"no row of the catalogue has a value in each of {', '.join(names)}")
        return self if rows.all() else self.select(rows)

    def with_columns(
        self, columns: Mapping[str, ArrayLike], units: Mapping[str, str] | None = None
    ) -> Catalog:
        """With columns added or replaced; a replaced column loses its unit unless one is given."""
        kept = {name: unit for name, unit in self.units.items() if name not in columns}
        return Catalog({**self.columns, **columns}, {**kept, **(units or {})}, self.metadata)

    @classmethod
    def read(cls, path: str | Path, columns: Sequence[str] | None = None) -> Catalog:
        """Read a catalogue, or only the named columns of it.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the suffix is unknown, the file is not what its suffix says, a column is missing,
            lengths differ, or there are no rows.
        """
        # Chunks are catalogues themselves, so their module imports this one.
        from truez.catalogs.chunks import iter_chunks

        pieces = list(iter_chunks(path, columns, chunk_rows=_EVERYTHING))
        if len(pieces) == 1:
            return pieces[0]
        joined = {
            name: concatenated([piece.columns[name] for piece in pieces])
            for name in pieces[0].columns
        }
        return cls(joined, pieces[0].units, pieces[0].metadata)

    def write(self, path: str | Path) -> None:
        """Write in the format of the suffix, whole or not at all.

        Raises
        ------
        ValueError
            If the suffix is unknown, there are no rows, or the format cannot hold a column.
        """
        from truez.catalogs.chunks import write_chunks

        write_chunks(path, [self], num_rows=len(self))

    def positions(
        self,
        columns: Sequence[str] = ("x", "y", "z"),
        *,
        length_unit: str | None = None,
        hubble: float | None = None,
        los: int | str = 2,
    ) -> Array:
        """Positions in Mpc/h with the line of sight last.

        Parameters
        ----------
        columns : three names, or one of a vector column
            In the axes of the file.
        length_unit : str, optional
            Mpc/h, kpc/h (also ckpc/h), Gpc/h, Mpc, kpc or Gpc. May be left out where the catalogue
            states it; where both do, this one is used, with a `Note` if they differ.
        hubble : float, optional
            h, needed for Mpc and kpc.
        los : {0, 1, 2, "x", "y", "z"}
            Axis of the file that is the line of sight.

        Returns
        -------
        array (n, 3)
            A new array, float32 where all three columns are, else float64 [Mpc/h].

        Raises
        ------
        ValueError
            If a column is missing or not numeric, the unit is unknown, contradicted or missing, or
            values are not finite (how many, and the first row, counted from 0).
        """
        names = vectors.three(columns, self.columns, "the catalogue", "positions")
        factor = vectors.length_scale(names, self.units, length_unit, hubble)
        result = vectors.stacked(self.columns, names, factor, los)
        vectors.Finite("positions").look(self.columns, names).check(result).end()
        return result

    def velocities(
        self, columns: Sequence[str] = ("vx", "vy", "vz"), *, los: int | str = 2
    ) -> Array:
        """Velocities (n, 3) [km/s], their axes in the order of `positions`.

        Columns without a stated unit are taken to be in km/s.

        Raises
        ------
        ValueError
            If a column is missing, in another unit, or not finite.
        """
        names = vectors.three(columns, self.columns, "the catalogue", "velocities")
        for name in names:
            unit = self.units.get(name) or unit_in_name(name) or "km/s"
            if canonical(unit) != "km/s":
                raise ValueError(
                    f"velocities must be in km/s, but column {name!r} is in {unit!r}: convert them"
                )
        result = vectors.stacked(self.columns, names, 1.0, los)
        vectors.Finite("velocities").look(self.columns, names).check(result).end()
        return result


def _column(name: str, values: ArrayLike) -> Array:
    if isinstance(values, np.ma.MaskedArray):
        # The text of a missing value may be anything, such as None.
        lost = missing(values)
        rest = values.filled("" if values.dtype.kind == "O" else values.dtype.type())
        column = masked(_column(name, np.asarray(rest)), lost)
        column.flags.writeable = False
        return column
    array = given_column(values)
    if isinstance(array, np.ma.MaskedArray):
        return _column(name, array)
    if array.dtype.kind in "SO" and all(isinstance(v, str | bytes) for v in array.flat):
        array = array.astype(np.str_)
    kind, size = array.dtype.kind, array.dtype.itemsize
    if (kind, size) == ("f", 2):
        array = array.astype(np.float32)
    if array.ndim != 1 or kind not in "biufU" or (kind == "f" and size > 8):
        raise ValueError(
            f"column {name!r} must be one axis of numbers, booleans or text, not "
            f"{array.dtype} of shape {array.shape}"
        )
    view = array.astype(array.dtype.newbyteorder("="), copy=False).view()
    view.flags.writeable = False
    return view
