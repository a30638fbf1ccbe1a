"""CSV and white-space tables, with a header line or without.

A header is the first line if none of its words is a number, or else the last comment line (#)
before the first row if it has one word per column. Without one the columns are ``0``, ``1``, ...;
these numbers work on files with a header too. Text has no types: numbers come back as int64 or
float64 (whole numbers beyond 2^63 as float64). An empty field or a word such as nan is a missing
value in a column of whole numbers or booleans, NaN in one of fractions; missing text is empty, and
cannot be written to a white-space table. Units and metadata are not held: write .ecsv for those.
"""

from __future__ import annotations

import csv as words
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import csv

from truez.catalogs.formats._base import Array, CatalogError, Columns, Header, Layout
from truez.catalogs.formats._delimited import Table
from truez.catalogs.formats._missing import missing, num_missing
from truez.catalogs.formats.parquet import arrow_table

NAME = "text"
SUFFIXES = (".csv", ".txt", ".dat")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _split(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return [word.strip('"') for word in line.split()]
    return [word.strip() for word in next(words.reader([line], delimiter=delimiter))]


def _has_carriage_returns(path: Path) -> bool:
    """Whether lines end with a carriage return alone, as on old Macs."""
    with path.open("rb") as file:
        start = file.read(2**16)
    return b"\r" in start.rstrip(b"\r") and b"\n" not in start


def _first_lines(path: Path) -> tuple[str, str, int, int]:
    """The last comment before the data, the first data line, its offset and its end [bytes]."""
    comment = ""
    with path.open("rb") as file:
        if b"\0" in file.read(2**16):
            raise CatalogError(f"{path} is not a text file")
        file.seek(0)
        start = 0
        lines: Any = file
        if _has_carriage_returns(path):
            lines = io.BytesIO(file.read(2**20).replace(b"\r", b"\n"))
        while raw := lines.readline():
            line = raw.decode("utf-8-sig").strip()
            if line.startswith("#"):
                comment = line.lstrip("# \t")
            elif line:
                return comment, line, start, lines.tell()
            start = lines.tell()
    raise CatalogError(f"{path} holds no rows")


def _table(path: Path) -> Table:
    comment, line, start, end = _first_lines(path)
    delimiter = "," if path.suffix.lower() == ".csv" or "," in line else None
    first = _split(line, delimiter)
    if delimiter and len(first) == 1 and len(line.split()) > 1:
        raise CatalogError(
            f"{path} has no commas: name it .txt if white space separates its columns"
        )
    titles = _split(comment, "," if "," in comment else None)
    if not any(map(_is_number, first)):
        names, start = first, end
    elif len(titles) == len(first) and not any(map(_is_number, titles)):
        names = titles
    else:
        names = [str(number) for number in range(len(first))]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise CatalogError(f"{path} has two columns {twice!r} in its header")
    returns = _has_carriage_returns(path)
    return Table(
        path, tuple(names), start, delimiter, comments=True, types={}, carriage_returns=returns
    )


def header(path: Path) -> Header:
    """See `truez.catalogs.formats._base.Format`."""
    return Header(_table(path).names, numbered=True)


def chunks(path: Path, names: Sequence[str], rows: int) -> Iterator[Columns]:
    """See `truez.catalogs.formats._base.Format`."""
    table = _table(path)
    own = {name: _own_name(name, table.names) for name in names}
    for columns in table.chunks(list(dict.fromkeys(own.values())), rows):
        yield {name: columns[own[name]] for name in names}


def _own_name(name: str, names: Sequence[str]) -> str:
    return name if name in names else names[int(name)]


def write(path: Path, layout: Layout, chunks: Iterable[Mapping[str, Array]]) -> None:
    """See `truez.catalogs.formats._base.Format`."""
    comma = path.suffix.lower() == ".csv"
    names = list(layout.dtypes)
    for name in layout.missing:
        if layout.dtypes[name].kind == "U" and not comma:
            raise CatalogError(
                f"column {name!r} has missing text, which a white-space table cannot hold: write "
                ".csv or .ecsv"
            )
    numbered = names == [str(number) for number in range(len(names))]
    for name in names:
        check_text(name, name, NAME, quotes=comma)
        if not numbered and _is_number(name):
            raise CatalogError(f"column name {name!r} would be read back from text as a number")
    with path.open("wb") as file:
        if not numbered and comma:
            quoted = (name.replace('"', '""') for name in names)
            file.write(",".join(f'"{name}"' for name in quoted).encode() + b"\n")
        elif not numbered:
            file.write("# {}\n".format(" ".join(names)).encode())
        for chunk in chunks:
            check_words(chunk, NAME, quotes=comma)
            for name, values in chunk.items():
                if values.dtype == np.uint64 and values.max() > np.iinfo(np.int64).max:
                    raise CatalogError(
                        f"column {name!r} exceeds 2^63, which text would return as float64"
                    )
            rows = chunk if comma else {name: _worded(values) for name, values in chunk.items()}
            write_rows(file, rows, "," if comma else " ", quotes=comma)


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
