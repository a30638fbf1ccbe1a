"""Catalogue files in chunks of rows, in bounded memory: reading, writing, and positions alone."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs import formats, vectors
from truez.catalogs.catalog import Catalog
from truez.catalogs.formats._missing import num_missing, present
from truez.catalogs.formats._names import expanded
from truez.catalogs.units import axis_order
from truez.support.files import atomic_path
from truez.support.memory import available_memory

#: Rows per chunk: 2^20 positions are 24 MB in float64.
CHUNK_ROWS = 2**20

Array = NDArray[Any]


def iter_chunks(
    path: str | Path,
    columns: Sequence[str] | None = None,
    *,
    chunk_rows: int = CHUNK_ROWS,
    drop_missing: Sequence[str] = (),
    chosen: NDArray[np.bool_] | None = None,
) -> Iterator[Catalog]:
    """A catalogue in chunks of ``chunk_rows`` rows, the last one shorter, in bounded memory.

    Rows without a value, or with NaN or infinity, in one of the columns ``drop_missing`` are left
    out: `Catalog.without_missing`. ``chosen`` (rows,) are those to keep in its place. Raises as
    `Catalog.read` does; errors in the header are raised before the first chunk.
    """
    path = Path(path)
    if chunk_rows < 1:
        raise ValueError(f"chunk_rows must be at least 1, not {chunk_rows!r}")
    header = formats.header(path)
    names = _resolve(columns, header, path)
    formats.check_room_for(path, header, names, chunk_rows)
    units = {name: header.units[name] for name in names if name in header.units}
    needed = _resolve(drop_missing, header, path) if drop_missing else []
    return _chunks(path, names, units, header, chunk_rows, needed, chosen)


def held_in_memory(path: str | Path, columns: Sequence[str]) -> bool:
    """Whether the memory holds columns of a catalogue, with a copy in double precision.

    Where a file does not state its rows, it is taken to be so small.
    """
    header = formats.header(Path(path))
    names = _resolve(columns, header, Path(path))
    rows = max((header.lengths.get(name, 0) for name in names), default=0)
    needed = 2 * sum(header.sizes.get(name, 0) for name in names) + 8 * len(names) * rows
    return needed <= available_memory()


def write_chunks(
    path: str | Path,
    chunks: Iterable[Catalog],
    *,
    num_rows: int,
    text_lengths: Mapping[str, int] | None = None,
    missing: Iterable[str] = (),
    table: str = "",
) -> None:
    """Write a catalogue that comes in chunks, in bounded memory, whole or not at all.

    ASDF is the exception: it is written from memory.

    Parameters
    ----------
    path : str or Path
        The suffix selects the format.
    chunks : iterable of Catalog
        Of the same columns and types; the first one's units and metadata are written.
    num_rows : int
        Rows of all chunks together.
    text_lengths : mapping of str to int, optional
        Characters of the longest text of a column, where later chunks have longer text than the
        first: `layout_of`.
    missing : names of columns, optional
        Those that have missing values in a later chunk: `layout_of`.
    table : str
        Name of the table in a FITS file.

    Raises
    ------
    ValueError
        As `Catalog.write`, and if the columns or types of a chunk differ from those of the first,
        or the chunks together do not have ``num_rows`` rows.
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
    lost = {name for name, values in first.columns.items() if num_missing(values)} | set(missing)
    layout = formats.Layout(dtypes, num_rows, first.units, first.metadata, frozenset(lost), table)
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
            if num_missing(values) and name not in layout.missing:
                raise ValueError(f"missing must name {name!r}, of which values are missing from "
                                 f"row {total} on")  # fmt: skip
        total += len(chunk)
        if total > layout.num_rows:
            break
        yield chunk.columns
    if total != layout.num_rows:
        held = "more" if total > layout.num_rows else str(total)
        raise ValueError(f"num_rows must be that of all chunks, which hold {held}, "
                         f"not {layout.num_rows}")  # fmt: skip


def layout_of(
    path: str | Path,
    columns: Sequence[str] | None = None,
    *,
    chunk_rows: int = CHUNK_ROWS,
    drop_missing: Sequence[str] = (),
    chosen: NDArray[np.bool_] | None = None,
) -> formats.Layout:
    """The layout of all chunks of a catalogue file, which is read for it once: `iter_chunks`."""
    header = formats.header(Path(path))
    dtypes: dict[str, np.dtype[Any]] = {}
    missing: set[str] = set()
    rows = 0
    for chunk in iter_chunks(
        path, columns, chunk_rows=chunk_rows, drop_missing=drop_missing, chosen=chosen
    ):
        rows += len(chunk)
        for name, values in chunk.columns.items():
            dtypes[name] = max(dtypes.get(name, values.dtype), values.dtype, key=_itemsize)
            if num_missing(values):
                missing.add(name)
    units = {name: unit for name, unit in header.units.items() if name in dtypes}
    return formats.Layout(dtypes, rows, units, header.metadata, frozenset(missing))


def _itemsize(dtype: np.dtype[Any]) -> int:
    return dtype.itemsize


def text_lengths(dtypes: Mapping[str, np.dtype[Any]]) -> dict[str, int]:
    """Characters of the longest text in each column of text."""
    return {name: kind.itemsize // 4 for name, kind in dtypes.items() if kind.kind == "U"}


def _resolve(columns: Sequence[str] | None, header: formats.Header, path: Path) -> list[str]:
    if not header.columns and (columns is None or not header.left_out):
        raise ValueError(f"{path} holds no columns")
    if columns is None:
        return list(header.columns)
    return expanded(columns, header.columns, str(path), header.numbered, header.left_out)


def _chunks(
    path: Path,
    names: list[str],
    units: dict[str, str],
    header: formats.Header,
    rows: int,
    needed: list[str],
    chosen: NDArray[np.bool_] | None,
) -> Iterator[Catalog]:
    every = list(dict.fromkeys([*names, *needed]))
    pieces = formats.chunks(path, every, rows, header.masks)
    if chosen is not None:
        pieces = formats.regrouped(_chosen_rows(pieces, names, chosen), rows)
    elif needed:
        pieces = formats.regrouped(_whole_rows(pieces, names, needed), rows)
    empty = True
    for columns in pieces:
        if len(columns[names[0]]):
            empty = False
            yield Catalog(columns, units, header.metadata)
    if empty and needed:
        raise ValueError(f"no row of {path} has a value in each of {', '.join(needed)}")
    if empty:
        raise ValueError(f"{path} holds no rows")


def _whole_rows(
    pieces: Iterator[formats.Columns], names: list[str], needed: list[str]
) -> Iterator[formats.Columns]:
    """The columns ``names`` of the rows that have a value in each of ``needed``."""
    for piece in pieces:
        rows = present(piece, needed)
        yield {name: piece[name][rows] for name in names}


def _chosen_rows(
    pieces: Iterator[formats.Columns], names: list[str], chosen: NDArray[np.bool_]
) -> Iterator[formats.Columns]:
    """The columns ``names`` of the rows that are chosen."""
    first = 0
    for piece in pieces:
        stop = first + len(piece[names[0]])
        yield {name: piece[name][chosen[first:stop]] for name in names}
        first = stop


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
        As `Catalog.positions`. Values that are not finite are counted over the whole file, after
        the chunks that precede the first of them.
    """
    path = Path(path)
    header = formats.header(path)
    _resolve(columns, header, path)
    names = vectors.three(
        columns, header.columns, str(path), "positions", header.numbered, header.left_out
    )
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
        weights = vectors.floats(chunk.columns, extra[0]) if extra else None
        finite.look(chunk.columns, names).check(result)
        if weights is not None:
            finite_weights.look(chunk.columns, extra).check(weights[:, None])
        if not (finite.bad or finite_weights.bad):
            yield result, weights
    finite.end()
    finite_weights.end()
