"""Tables of text, with a header line or without: CSV, other separators, white space.

The separator of a .csv is a comma, or a semicolon, tab or pipe where the first lines show one; of
a .tsv a tab; of the others white space, or one of those. Where numbers have decimal commas, the
first rows show that. Quoted words may hold blanks and separators.

A header is the first line if none of its words is a number, or else the first comment line (#)
before the first row that has one word per column and is no sentence. The next line or comment may
state units. Comments that describe one column each, as those of SExtractor, are a header too.
Without a header the columns are ``0``, ``1``, ...; these numbers work on files with
one too.

Text has no types: numbers come back as int64 or float64, whole numbers from 2^63 to 2^64 as uint64
(larger ones as float64, with a `truez.support.notes.Note`). Fortran's exponents, 1.0D+00 and
1.0+100, are read in numbers with a decimal point. An empty field or a word such as nan, NULL or --
is a missing value in a column of whole numbers or booleans, NaN in one of fractions; missing text
is empty, and cannot be written to a white-space table. Metadata are not held, and units not
written: write .ecsv for those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import csv

from truez.catalogs.formats._base import Array, CatalogError, Columns, Header, Layout
from truez.catalogs.formats._delimited import Table
from truez.catalogs.formats._dialect import Dialect, dialect
from truez.catalogs.formats._lines import TextFile
from truez.catalogs.formats._missing import missing, num_missing
from truez.catalogs.formats._numbers import is_number
from truez.catalogs.formats.parquet import arrow_table

NAME = "text"
SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".list", ".ascii")


def _table(path: Path) -> tuple[Table, Dialect]:
    file = TextFile.opened(path)
    found = dialect(file)
    table = Table(
        file, found.names, found.skip, found.separator, True, {}, decimal=found.decimal
    )  # fmt: skip
    return table, found


def header(path: Path) -> Header:
    """See `truez.catalogs.formats._base.Format`."""
    table, found = _table(path)
    return Header(table.columns, found.units, numbered=True)


def chunks(path: Path, names: Sequence[str], rows: int) -> Iterator[Columns]:
    """See `truez.catalogs.formats._base.Format`."""
    table, _ = _table(path)
    columns = table.columns
    known = set(columns)
    own = {name: name if name in known else columns[int(name)] for name in names}
    for piece in table.chunks(list(dict.fromkeys(own.values())), rows):
        yield {name: piece[own[name]] for name in names}


def write(path: Path, layout: Layout, chunks: Iterable[Mapping[str, Array]]) -> None:
    """See `truez.catalogs.formats._base.Format`."""
    sign = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower(), " ")
    quotes = sign != " "
    names = list(layout.dtypes)
    for name in layout.missing:
        if layout.dtypes[name].kind == "U" and not quotes:
            raise CatalogError(
                f"column {name!r} has missing text, which a white-space table cannot hold: write "
                ".csv or .ecsv"
            )
    numbered = names == [str(number) for number in range(len(names))]
    for name in names:
        check_text(name, name, NAME, quotes=quotes)
        if not numbered and is_number(name):
            raise CatalogError(f"column name {name!r} would be read back from text as a number")
    with path.open("wb") as file:
        if not numbered and quotes:
            quoted = (name.replace('"', '""') for name in names)
            file.write(sign.join(f'"{name}"' for name in quoted).encode() + b"\n")
        elif not numbered:
            file.write("# {}\n".format(" ".join(names)).encode())
        for chunk in chunks:
            check_words(chunk, NAME, quotes=quotes)
            rows = chunk if quotes else {name: _worded(values) for name, values in chunk.items()}
            write_rows(file, rows, sign, quotes=quotes)


def _worded(values: Array) -> Array:
    """Missing values as the word nan: between white space nothing cannot be left out."""
    if not num_missing(values):
        return values
    return np.where(missing(values), "nan", np.ma.getdata(values).astype(np.str_))


def write_rows(file: Any, columns: Mapping[str, Array], delimiter: str, *, quotes: bool) -> None:
    """Write the rows; with ``quotes`` text is quoted where it needs to be."""
    options = csv.WriteOptions(
        include_header=False, delimiter=delimiter, quoting_style="needed" if quotes else "none"
    )
    csv.write_csv(arrow_table(columns), file, options)


def check_words(columns: Mapping[str, Array], format_name: str, *, quotes: bool) -> None:
    """Raise an error for words that would not be read back unchanged."""
    for name, values in columns.items():
        # Missing text is None here.
        for text in values.tolist() if values.dtype.kind == "U" else []:
            if text is not None:
                check_text(name, text, format_name, quotes=quotes)


def check_text(name: str, text: str, format_name: str, *, quotes: bool) -> None:
    """Raise an error for a name, or a word of its column, that would not be read back unchanged."""
    spoiled = "\n" in text or "\r" in text
    if not quotes:
        spoiled = spoiled or not text or any(c in text for c in ' \t,"')
    if spoiled or text.startswith("#"):
        raise CatalogError(f"{text!r} of column {name!r} cannot be written as {format_name}")
