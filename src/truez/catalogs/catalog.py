"""Catalogues: named columns with units, read and written by suffix, whole or in chunks.

The formats are listed in `truez.catalogs.formats`. A column of a nested HDF5 or ASDF file is
``group/x``, component i of a vector column ``v`` is ``v.i``, and the name ``v`` alone stands for
all of its components. Columns keep their types, float32 included, in the machine's byte order.

Positions come as (n, 3) arrays in comoving Mpc/h with the line of sight turned, cyclically, to the
last axis (`truez.catalogs.units.axis_order`); they are float32 where all three columns are, else
float64.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.catalogs import formats, vectors
from truez.catalogs.formats._names import expanded, missing_column
from truez.catalogs.units import axis_order, canonical
from truez.support.files import atomic_path

#: Rows per chunk: 2^20 positions are 24 MB in float64.
CHUNK_ROWS = 2**20
_EVERYTHING = 2**62

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, init=False)
class Catalog:
    """Immutable named columns of equal length.

    Parameters
    ----------
    columns : mapping of str to (n,) arrays
        Numbers, booleans or text. The arrays are not copied, and are read-only from here.
    units : mapping of str to str, optional
        Units of columns that have one.
    metadata : mapping, optional
        Plain values (JSON) that say what made the catalogue; they travel with it into files.

    Raises
    ------
    ValueError
        If a column is of another shape or type, or their lengths differ.
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
        if not columns:
            raise ValueError("columns must name at least one column, not none")
        arrays = {name: _column(name, values) for name, values in columns.items()}
        lengths = {name: len(values) for name, values in arrays.items()}
        first = next(iter(lengths))
        for name, length in lengths.items():
            if length != lengths[first]:
                raise ValueError(
                    f"columns must be equally long, but {first!r} has {lengths[first]} rows and "
                    f"{name!r} has {length}"
                )
        for name in units or {}:
            if name not in arrays:
                raise ValueError(f"units name a column {name!r} that is not in columns")
        stated = {name: unit for name, unit in (units or {}).items() if unit}
        object.__setattr__(self, "columns", MappingProxyType(arrays))
        object.__setattr__(self, "units", MappingProxyType(stated))
        object.__setattr__(self, "metadata", MappingProxyType(dict(metadata or {})))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> Array:
        """The column ``name``, shape (n,), read-only."""
        if name not in self.columns:
            raise ValueError(missing_column(name, self.columns, "the catalogue"))
        return self.columns[name]

    def select(self, rows: Array) -> Catalog:
        """The rows of a boolean mask (n,) or of indices, in their order."""
        if rows.dtype.kind == "b" and rows.shape != (len(self),):
            raise ValueError(f"a mask of shape {rows.shape} does not fit {len(self)} rows")
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Catalog(columns, self.units, self.metadata)

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
        pieces = list(iter_chunks(path, columns, chunk_rows=_EVERYTHING))
        if len(pieces) == 1:
            return pieces[0]
        joined = {
            name: np.concatenate([piece.columns[name] for piece in pieces])
            for name in pieces[0].columns
        }
        return cls(joined, pieces[0].units, pieces[0].metadata)

    def write(self, path: str | Path) -> None:
        """Write to the format that the suffix says, whole or not at all.

        Raises
        ------
        ValueError
            If the suffix is unknown, there are no rows, or the format cannot hold a column.
        """
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
            Mpc/h, kpc/h (also ckpc/h), Mpc or kpc. May be left out where the catalogue states it,
            and must agree where both do.
        hubble : float, optional
            h, needed for Mpc and kpc.
        los : {0, 1, 2, "x", "y", "z"}
            The axis of the file along which the observer looks.

        Returns
        -------
        array (n, 3)
            A new array, float32 where all three columns are, else float64 [Mpc/h].

        Raises
        ------
        ValueError
            If a column is missing or no number, the unit is unknown, contradicted or missing, or
            values are not finite (how many, and the first row, counted from 0).
        """
        names = vectors.three(columns, self.columns, "the catalogue", "positions")
        factor = vectors.length_scale(names, self.units, length_unit, hubble)
        result = vectors.stacked(self.columns, names, factor, los)
        vectors.Finite("positions").check(result).end()
        return result

    def velocities(
        self, columns: Sequence[str] = ("vx", "vy", "vz"), *, los: int | str = 2
    ) -> Array:
        """Velocities (n, 3) [km/s], turned as `positions` are.

        Columns without a stated unit are taken to be in km/s.

        Raises
        ------
        ValueError
            If a column is missing, in another unit, or not finite.
        """
        names = vectors.three(columns, self.columns, "the catalogue", "velocities")
        for name in names:
            unit = self.units.get(name, "km/s")
            if canonical(unit) != "km/s":
                raise ValueError(f"velocities must be in km/s, but column {name!r} is in {unit!r}")
        result = vectors.stacked(self.columns, names, 1.0, los)
        vectors.Finite("velocities").check(result).end()
        return result


def iter_chunks(
    path: str | Path, columns: Sequence[str] | None = None, *, chunk_rows: int = CHUNK_ROWS
) -> Iterator[Catalog]:
    """A catalogue in chunks of ``chunk_rows`` rows, the last one shorter, in bounded memory.

    Raises as `Catalog.read` does; what the header tells is raised before the first chunk.
    """
    path = Path(path)
    if chunk_rows < 1:
        raise ValueError(f"chunk_rows must be at least 1, not {chunk_rows!r}")
    header = formats.header(path)
    names = _resolve(columns, header, path)
    units = {name: header.units[name] for name in names if name in header.units}
    return _chunks(path, names, units, header.metadata, chunk_rows)


def write_chunks(
    path: str | Path,
    chunks: Iterable[Catalog],
    *,
    num_rows: int,
    text_lengths: Mapping[str, int] | None = None,
) -> None:
    """Write a catalogue that comes in chunks, in bounded memory, whole or not at all.

    ASDF is the exception: it is written from memory.

    Parameters
    ----------
    path : str or Path
        The suffix says the format.
    chunks : iterable of Catalog
        Of the same columns and types; the first one's units and metadata are written.
    num_rows : int
        Rows of all chunks together.
    text_lengths : mapping of str to int, optional
        Characters of the longest text of a column, where later chunks have longer text than the
        first: `text_lengths`.

    Raises
    ------
    ValueError
        As `Catalog.write`, and if the chunks are not what they were said to be.
    """
    file_format = formats.format_of(Path(path))
    pieces = iter(chunks)
    first = next(pieces, None)
    if first is None or len(first) == 0:
        raise ValueError(f"a catalogue without rows cannot be written to {path}")
    try:
        json.dumps(dict(first.metadata))
    except TypeError as error:
        raise ValueError(f"metadata must be plain values for a file: {error}") from None
    dtypes = {name: values.dtype for name, values in first.columns.items()}
    for name, length in (text_lengths or {}).items():
        if dtypes[name].itemsize < 4 * length:
            dtypes[name] = np.dtype(f"U{length}")
    layout = formats.Layout(dtypes, num_rows, first.units, first.metadata)
    with atomic_path(path) as temporary:
        file_format.write(temporary, layout, _checked(itertools.chain([first], pieces), layout))


def _checked(chunks: Iterable[Catalog], layout: formats.Layout) -> Iterator[Mapping[str, Array]]:
    """The columns of chunks that are as the layout says."""
    total = 0
    for chunk in chunks:
        if list(chunk.columns) != list(layout.dtypes):
            raise ValueError(f"chunks must have the same columns, but from row {total} on they "
                             f"have {', '.join(chunk.columns)}")  # fmt: skip
        for name, values in chunk.columns.items():
            wanted, found = layout.dtypes[name], values.dtype
            # Shorter text fits in.
            shorter = found.kind == wanted.kind == "U" and found.itemsize < wanted.itemsize
            if not (found == wanted or shorter):
                raise ValueError(f"chunks must have the same types, but from row {total} on "
                                 f"{name!r} is {found}, not {wanted}")  # fmt: skip
        total += len(chunk)
        if total > layout.num_rows:
            break
        yield chunk.columns
    if total != layout.num_rows:
        held = "more" if total > layout.num_rows else str(total)
        raise ValueError(f"num_rows must be that of all chunks, which hold {held}, "
                         f"not {layout.num_rows}")  # fmt: skip


def text_lengths(path: str | Path, *, chunk_rows: int = CHUNK_ROWS) -> dict[str, int]:
    """Characters of the longest text in each column of text that a catalogue file has."""
    first = next(iter_chunks(path, chunk_rows=chunk_rows))
    names = [name for name, values in first.columns.items() if values.dtype.kind == "U"]
    longest = dict.fromkeys(names, 0)
    for chunk in iter_chunks(path, names, chunk_rows=chunk_rows) if names else ():
        for name in names:
            longest[name] = max(longest[name], chunk.columns[name].dtype.itemsize // 4)
    return longest


def _resolve(columns: Sequence[str] | None, header: formats.Header, path: Path) -> list[str]:
    if not header.columns:
        raise ValueError(f"{path} holds no columns")
    if columns is None:
        return list(header.columns)
    return expanded(columns, header.columns, str(path), header.numbered)


def _chunks(
    path: Path, names: list[str], units: dict[str, str], metadata: dict[str, Any], rows: int
) -> Iterator[Catalog]:
    empty = True
    for columns in formats.chunks(path, names, rows):
        if len(columns[names[0]]):
            empty = False
            yield Catalog(columns, units, metadata)
    if empty:
        raise ValueError(f"{path} holds no rows")


def read_positions(
    path: str | Path,
    columns: Sequence[str] = ("x", "y", "z"),
    *,
    length_unit: str | None = None,
    hubble: float | None = None,
    los: int | str = 2,
) -> Array:
    """Positions (n, 3) [Mpc/h] of a catalogue file; see `Catalog.positions`."""
    chunks = iter_positions(path, columns, length_unit=length_unit, hubble=hubble, los=los)
    return np.concatenate([positions for positions, _ in chunks])


def iter_positions(
    path: str | Path,
    columns: Sequence[str] = ("x", "y", "z"),
    *,
    weights: str | None = None,
    length_unit: str | None = None,
    hubble: float | None = None,
    los: int | str = 2,
    chunk_rows: int = CHUNK_ROWS,
) -> Iterator[tuple[Array, Array | None]]:
    """Positions of a catalogue file in chunks, in bounded memory.

    Parameters
    ----------
    weights : str, optional
        A column of weights.
    columns, length_unit, hubble, los
        See `Catalog.positions`.
    chunk_rows : int
        Most rows per chunk.

    Yields
    ------
    positions (m, 3) [Mpc/h], weights (m,) or None

    Raises
    ------
    ValueError
        As `Catalog.positions`. Of values that are not finite the whole file is counted, after the
        chunks before the first of them.
    """
    path = Path(path)
    header = formats.header(path)
    known = _resolve(None, header, path)
    names = vectors.three(columns, known, str(path), "positions", header.numbered)
    extra = [] if weights is None else _resolve([weights], header, path)
    if len(extra) > 1:
        raise ValueError(f"weights must be one column, and {weights!r} of {path} is a vector")
    factor = vectors.length_scale(names, header.units, length_unit, hubble)
    axis_order(los)
    chunks = iter_chunks(path, [*names, *extra], chunk_rows=chunk_rows)
    return _positions(path, chunks, names, extra, factor, los)


def _positions(
    path: Path,
    chunks: Iterator[Catalog],
    names: list[str],
    extra: list[str],
    factor: float,
    los: int | str,
) -> Iterator[tuple[Array, Array | None]]:
    finite = vectors.Finite(f"positions of {path}")
    finite_weights = vectors.Finite(f"weights of {path}")
    for chunk in chunks:
        result = vectors.stacked(chunk.columns, names, factor, los)
        weights = vectors.numbers(chunk.columns, extra[0]) if extra else None
        finite.check(result)
        if weights is not None:
            finite_weights.check(weights[:, None])
        if not (finite.bad or finite_weights.bad):
            yield result, weights
    finite.end()
    finite_weights.end()


def _column(name: str, values: ArrayLike) -> Array:
    array = np.asarray(values)
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
