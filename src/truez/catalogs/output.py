"""What the format of an output can hold of a catalogue's columns, tried before any work."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Container, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from truez.catalogs import formats
from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import iter_chunks, text_lengths, write_chunks
from truez.support.notes import Note


def unsupported(
    path: str | Path, source: str | Path, layout: formats.Layout, first: Catalog, rows: int
) -> list[str]:
    """The columns that the format of ``path`` cannot hold, each tried by itself.

    Parameters
    ----------
    path : path
        Of the output.
    source : path
        Of the catalogue.
    layout : Layout
        Of its columns, see `truez.catalogs.chunks.layout_of`.
    first : Catalog
        Its first row.
    rows : int
        In memory at a time.
    """
    found = []
    for name, dtype in layout.dtypes.items():
        one = replace(layout, dtypes={name: dtype}, missing=layout.missing & {name})
        unit = {name: first.units[name]} if name in first.units else {}
        try:
            _write_samples(path, source, one, Catalog({name: first[name]}, unit), rows)
        except formats.CatalogError:
            found.append(name)
    return found


def without_columns(
    layout: formats.Layout, first: Catalog, names: Collection[str]
) -> tuple[formats.Layout, Catalog]:
    """A layout and a first row without some columns."""
    dtypes, lost = _others(layout.dtypes, names), layout.missing - set(names)
    row = Catalog(_others(first.columns, names), _others(first.units, names), first.metadata)
    return replace(layout, dtypes=dtypes, missing=lost), row


def check_format(
    path: str | Path, source: str | Path, layout: formats.Layout, first: Catalog,
    longer: Catalog, rows: int,
) -> None:  # fmt: skip
    """Raise an error if the format of ``path`` cannot hold a catalogue with new columns.

    The first row is written to a folder that is removed, and all text and missing values.

    Parameters
    ----------
    path, source, layout, first, rows
        As of `unsupported`.
    longer : Catalog
        The first row with the new columns.

    Raises
    ------
    ValueError
    """
    try:
        _write_samples(path, source, layout, longer, rows)
    except formats.CatalogError as error:
        if not unsupported(path, source, layout, first, rows):  # only all of them together
            raise
        raise ValueError(f"{error}, or leave such columns out with drop_unsupported") from None


def note_left_out(path: str | Path, source: str | Path, left_out: Mapping[str, str]) -> None:
    """Warn of columns that an output is without, with reasons."""
    if left_out:
        reasons = "; ".join(f"{name} {reason}" for name, reason in list(left_out.items())[:3])
        more = f"; and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        warnings.warn(f"{path} is without columns of {source}: {reasons}{more}", Note, stacklevel=3)


def does_not_fit(path: str | Path) -> str:
    """Why an output is without a column, for `note_left_out`."""
    return f"does not fit into {Path(path).suffix}"


def _others(columns: Mapping[str, Any], without: Container[str]) -> dict[str, Any]:
    return {name: value for name, value in columns.items() if name not in without}


def _write_samples(
    path: str | Path, source: str | Path, layout: formats.Layout, first: Catalog, rows: int
) -> None:
    """Write what a format could refuse of the columns of a layout, to a folder that is removed."""
    lengths = text_lengths(layout.dtypes)
    doubtful = [name for name in layout.dtypes if name in lengths or name in layout.missing]
    with TemporaryDirectory() as folder:
        place = Path(folder) / Path(path).name
        write_chunks(place, [first], num_rows=1, text_lengths=lengths, missing=layout.missing)
        for chunk in iter_chunks(source, doubtful, chunk_rows=rows) if doubtful else ():
            write_chunks(place, [chunk], num_rows=len(chunk))
