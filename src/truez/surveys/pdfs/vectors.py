"""p(z) in a vector column of a catalogue, whose redshifts the survey states beside the file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from truez.catalogs.chunks import iter_chunks
from truez.catalogs.formats import header
from truez.support.memory import check_memory
from truez.surveys.pdfs.layouts import GRIDS, PdfError
from truez.surveys.pdfs.sources import Arrays, block_rows


def vector_columns(names: Iterable[str]) -> dict[str, list[str]]:
    """Components of the vector columns of p(z) that are known, by the name of the column.

    Examples
    --------
    >>> found = vector_columns(["OBJECT_ID", *(f"PHZ_PDF.{i}" for i in range(601))])
    >>> {name: len(columns) for name, columns in found.items()}
    {'PHZ_PDF': 601}
    """
    found: dict[str, list[str]] = {}
    for name in names:
        column, _, number = name.rpartition(".")
        if column.lower() in GRIDS and number.isdecimal():
            found.setdefault(column, []).append(name)
    return {
        column: sorted(parts, key=lambda part: int(part.rpartition(".")[2]))
        for column, parts in found.items()
    }


def read_vectors(path: Path, column: str) -> Arrays:
    """The p(z) of a vector column of a catalogue, in memory as single precision.

    Parameters
    ----------
    path : Path
    column : str
        One of `vector_columns`.

    Raises
    ------
    PdfError
        If it has another number of components than the survey's, or holds no numbers.
    ValueError
        If it is more than the memory holds.
    """
    found = header(path)
    parts, grid = vector_columns(found.columns)[column], GRIDS[column.lower()]
    if len(parts) != len(grid):
        raise PdfError(
            f"{path} has {len(parts)} numbers in each row of {column!r}, where {len(grid)} from "
            f"{grid[0]:g} to {grid[-1]:g} are known: give p(z) as hist, interp or quant of qp"
        )
    if rows := found.lengths.get(parts[0]):
        check_memory(4 * rows * len(parts), f"p(z) of {path}", "give a part of it")
    blocks = [np.zeros((0, len(parts)), np.float32)]
    for chunk in iter_chunks(path, parts, chunk_rows=block_rows(len(parts))):
        columns = [np.ma.filled(np.ma.asarray(chunk[part]).astype(np.float32), np.nan)
                   if chunk[part].dtype.kind in "fiu" else None for part in parts]  # fmt: skip
        if any(one is None for one in columns):
            raise PdfError(f"{path} has {column!r} without numbers: write it as floats")
        blocks.append(np.column_stack([one for one in columns if one is not None]))
    density = np.concatenate(blocks)
    if not len(density):
        raise PdfError(f"{path} has no galaxies: give a file of p(z) that has some")
    return Arrays("interp", grid, {"yvals": density}, str(path))
