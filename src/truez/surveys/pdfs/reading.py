"""Files of p(z) by what they hold."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from truez.catalogs.catalog import Catalog
from truez.catalogs.coordinates import find_columns
from truez.catalogs.formats import header
from truez.catalogs.formats.parquet import SUFFIXES as _PARQUET
from truez.catalogs.given import column_pair
from truez.support.tables import exists, files_of, parquet_files, split_table, with_table
from truez.surveys.pdfs.ancil import ancil_columns, ancil_group, qp_tables, whole_of
from truez.surveys.pdfs.hdf5 import layout_of_hdf5, open_hdf5
from truez.surveys.pdfs.layouts import LAYOUTS, PdfError
from truez.surveys.pdfs.parquet import is_sharpened_column, nested_columns, num_rows, open_parquet
from truez.surveys.pdfs.quantiles import (
    columns_of,
    quantile_columns,
    read_columns,
    table_of_quantiles,
)
from truez.surveys.pdfs.sources import Source
from truez.surveys.pdfs.table import PdfTable
from truez.surveys.pdfs.through_qp import read_through_qp
from truez.surveys.pdfs.vectors import vector_columns

_HDF5 = (".hdf5", ".h5")


def read_pdfs(path: str | Path) -> PdfTable:
    """The p(z) of a file, of a folder of Parquet files, or of the files of a pattern.

    ``FILE#NAME`` chooses the group of an HDF5 file, the nested column of Parquet, the table of a
    catalogue, or its columns of quantiles by what their names begin with; ``FILE#TABLE#NAME``
    chooses both of these.

    Parameters
    ----------
    path : str or Path
        In one of the forms that `truez.surveys.pdfs` lists.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is none of p(z), damaged, a folder without Parquet files, or the parts of a pattern
        are of different layouts.
    """
    place, name = _split(path)
    files = parquet_files(place) if place.is_dir() else files_of(place)
    if not files and place.is_dir():
        raise PdfError(f"{path} is a folder without Parquet files: give a file of p(z)")
    if not files:
        raise FileNotFoundError(f"there is no file of p(z) {path}")
    sources: list[Source] = []
    for file in _with_rows(files):
        sources += _sources(file, name)
    layouts = {source.layout for source in sources}
    if len(layouts) > 1:
        raise PdfError(
            f"the files of {path} hold p(z) as {' and '.join(sorted(layouts))}: give files of one "
            "layout"
        )
    return PdfTable(tuple(sources))


def read_ids(path: str | Path, column: str) -> NDArray[Any]:
    """Identifiers of the galaxies of a file of p(z), in its order.

    Parameters
    ----------
    path : str or Path
        As of `read_pdfs`.
    column : str
        Of the columns ``ancil`` of a file of qp, or of the table that the p(z) are columns of.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If there is no such column.
    """
    place, group = _split(path)
    first = place if place.is_dir() else next(iter(files_of(place)), place)
    if first.suffix.lower() in _HDF5 and not _is_catalog(first):
        start = ancil_group(group)
        known, where = ancil_columns(first, group), f"{start[:-1]} of {path}"
        own = start + find_columns([column], known, where)[0]
        return Catalog.read(place, [own])[own]
    tables = qp_tables(first)
    if tables is not None:
        own = find_columns([column], tables.columns, f"ancil of {path}")[0]
        ancil = tables.ancil if first == place else Path(with_table(str(place), "ANCIL"))
        return Catalog.read(ancil, [own])[own]
    table = split_table(table_of_quantiles(first, group)[0])[1]
    return Catalog.read(with_table(str(place), table), [column])[column]


def are_sharpened(columns: Collection[str]) -> bool:
    """Whether p(z) with these columns beside them are those that truez wrote, with the map."""
    return "information_gain" in columns


def holds_sharpened(path: str | Path) -> bool:
    """Whether the p(z) of a file are those that truez wrote, with the map.

    Parameters
    ----------
    path : str or Path
        As of `read_pdfs`; of a pattern the first file is looked at.

    Raises
    ------
    ValueError
        If the file cannot be read.
    """
    place, name = _split(path)
    files = parquet_files(place) if place.is_dir() else files_of(place)
    suffix = files[0].suffix.lower() if files else ""
    if suffix in _HDF5 or (files and qp_tables(files[0]) is not None):
        return are_sharpened(ancil_columns(files[0], name))
    return suffix in _PARQUET and is_sharpened_column(files[0], name)


def read_pdfs_of_rows(
    path: str | Path, num: int, *, ids: NDArray[Any] | None = None, pdf_id: str = "",
    option: str = "pdf", name: str = "photo",
) -> PdfTable:  # fmt: skip
    """The p(z) of a file, row by row of a catalogue.

    Parameters
    ----------
    path : str or Path
        As of `read_pdfs`.
    num : int
        Rows of the catalogue.
    ids : (num,) array, optional
        Identifiers of its galaxies; p(z) are in its order by default.
    pdf_id : str
        ``COLUMN``, or ``COLUMN:PDFCOLUMN``, of the identifiers.
    option, name : str
        Of the file and of the catalogue, for messages.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is none of p(z), or its rows are not those of the catalogue.
    """
    column = column_pair(pdf_id, "pdf_id")[1] if pdf_id else ""
    try:
        found = read_pdfs(path)
        theirs = None if ids is None else read_ids(path, column)
    except ValueError as error:
        missing = f"has no column {column!r}"
        text = str(error).replace(missing, f"{missing} (pdf_id)", 1)
        raise ValueError(f"{option}: {text}") from None
    if ids is None or theirs is None:
        return found.in_order(num, option=option, name=name)
    return found.by_id(theirs, ids, column=pdf_id, option=option, name=name)


def _split(path: str | Path) -> tuple[Path, str | None]:
    """The file or pattern of a path, and what follows its first ``#``."""
    place, name = split_table(path)
    if name is not None and "#" in place.name and not exists(place):
        # Of a pattern split_table takes what follows the last one.
        place, table = split_table(place)
        name = f"{table}#{name}"
    return place, name


def _with_rows(files: Sequence[Path]) -> Sequence[Path]:
    """The files without those of Parquet that have no rows, where others have some."""
    if len(files) == 1:
        return files
    return [
        file for file in files if file.suffix.lower() not in _PARQUET or num_rows(file)
    ] or files


def _sources(path: Path, name: str | None) -> Sequence[Source]:
    """The p(z) of one file."""
    suffix = path.suffix.lower()
    if suffix in _HDF5 and not _is_catalog(path):
        layout = layout_of_hdf5(path, name or "")
        if layout in LAYOUTS:
            return [open_hdf5(path, name or "")]
        return [read_through_qp(path, repr(layout))]
    tables = qp_tables(path)
    if tables is not None:
        return [read_through_qp(path, f"{tables.layout!r} in {suffix}")]
    nested = nested_columns(path) if suffix in _PARQUET and path.exists() else {}
    # Columns of quantiles may be beside nested ones.
    if nested and not (name and name.lower() in map(str.lower, _sets(path))):
        return [open_parquet(path, name)]
    if not path.exists():
        raise FileNotFoundError(f"there is no file of p(z) {path}")
    if (whole := whole_of(path)) is not None:
        raise PdfError(f"{path} is a part of the p(z) {whole}: give that name")
    return read_columns(*table_of_quantiles(path, name)).sources


def _sets(path: Path) -> dict[str, dict[str, float]]:
    return quantile_columns(columns_of(path))


def _is_catalog(path: Path) -> bool:
    """Whether an HDF5 file is a catalogue with columns of quantiles, and none of qp."""
    try:
        layout_of_hdf5(path)
    except PdfError as error:
        try:
            columns = header(path).columns
            return bool(quantile_columns(columns) or vector_columns(columns))
        except ValueError:
            raise error from None
    return False
