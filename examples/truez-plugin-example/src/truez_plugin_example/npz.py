"""Catalogues ``.npz`` of NumPy: every array of one dimension is a column, (n, m) arrays are m."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from truez.catalogs.formats import CatalogError, Columns, Header, Layout, regrouped

NAME = "NumPy archive"


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        # Nothing is unpickled: such arrays are refused.
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except (zipfile.BadZipFile, EOFError) as error:
        raise CatalogError(f"{path} is no NumPy archive: {error}") from error


def _columns(archive: Any) -> dict[str, Any]:
    """The columns by their names, (n, m) arrays as m of them."""
    columns = {}
    for name in archive.files:
        values = archive[name]
        if values.ndim == 1:
            columns[name] = values
        elif values.ndim == 2:
            columns |= {f"{name}.{i}": values[:, i] for i in range(values.shape[1])}
    return columns


def header(path: Path) -> Header:
    """The names of the columns, and how long they are."""
    with _opened(path) as archive:
        columns = _columns(archive)
    lengths = {name: len(values) for name, values in columns.items()}
    sizes = {name: values.nbytes for name, values in columns.items()}
    return Header(tuple(columns), lengths=lengths, sizes=sizes)


def chunks(path: Path, names: Sequence[str], rows: int) -> Iterator[Columns]:
    """The columns ``names`` in pieces of at most ``rows`` rows."""
    with _opened(path) as archive:
        columns = _columns(archive)
    if len({len(columns[name]) for name in names}) > 1:
        raise CatalogError(f"columns of {path} have different lengths: name those that belong")
    yield from regrouped([{name: columns[name] for name in names}], rows)


def write(path: Path, layout: Layout, chunks: Iterable[Mapping[str, Any]]) -> None:
    """Write the columns; missing values, units and metadata have no place in an archive."""
    if layout.missing:
        names = ", ".join(sorted(layout.missing))
        raise CatalogError(f"a NumPy archive cannot hold missing values, those of {names}")
    (columns,) = regrouped((dict(chunk) for chunk in chunks), max(layout.num_rows, 1))
    with path.open("wb") as file:
        np.savez(file, **columns)
