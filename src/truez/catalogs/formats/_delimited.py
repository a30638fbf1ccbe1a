"""Rows of delimited text in bounded memory: blocks of whole lines, parsed by arrow.

Types are determined before values are returned, and over all blocks where the first one is
ambiguous (fractions or words may follow whole numbers), so that chunks and the whole file always
agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from truez.catalogs.formats._base import Array, CatalogError, Columns
from truez.catalogs.formats.parquet import numpy_from_arrow

BLOCK_BYTES = 2**25
_NOTHING: tuple[str, ...] = ("", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "null", "NULL", "None")
# Tabs and carriage returns count as spaces in white-space tables.
_TO_SPACE = bytes.maketrans(b"\t\r", b"  ")


@dataclass(frozen=True)
class Table:
    """Delimited lines of a file.

    ``names`` are all columns in their order; ``skip`` is the offset [bytes] of the first row;
    ``delimiter`` is one character, or None for any run of white space; ``comments`` says whether
    lines that begin with # are to be left out; ``types`` are arrow types known beforehand.
    ``nothing`` are the words for a missing value; ``text_missing`` says whether text has missing
    values too, and ``quoted_missing`` whether quoted words are among them. Where
    ``carriage_returns``, they alone end the lines.
    """

    path: Path
    names: tuple[str, ...]
    skip: int
    delimiter: str | None
    comments: bool
    types: Mapping[str, Any]
    nothing: tuple[str, ...] = _NOTHING
    text_missing: bool = False
    quoted_missing: bool = True
    carriage_returns: bool = False

    def chunks(self, names: Sequence[str], rows: int) -> Iterator[Columns]:
        """Numpy columns ``names`` in pieces of at most ``rows`` rows."""
        unknown = [name for name in names if name not in self.types]
        types = {**self.types, **self._inferred(unknown)}
        wanted = {name: types[name] for name in names if name in types}  # none without rows
        for block in self._blocks():
            table = self._parse(block, wanted, names)
            for start in range(0, table.num_rows, rows):
                part = table.slice(start, rows)
                yield {name: self._numpy(part.column(name), name) for name in names}

    def _numpy(self, column: Any, name: str) -> Array:
        values = numpy_from_arrow(column, name)
        # Words such as nan are no other than an empty field in text without types.
        plain_floats = values.dtype.kind == "f" and name not in self.types
        return np.ma.getdata(values) if plain_floats else values

    def _inferred(self, names: Sequence[str]) -> dict[str, Any]:
        types: dict[str, Any] = {}
        doubtful = list(names)
        for block in self._blocks():
            table = self._parse(block, {}, doubtful)
            for name in doubtful:
                found = _kind(table.column(name))
                types[name] = _wider(types[name], found) if name in types else found
            # Nothing is wider than text; a later word in a column of fractions is an error.
            doubtful = [n for n in doubtful if types[n] not in (pa.float64(), pa.string())]
            if not doubtful:
                break
        return {n: pa.float64() if pa.types.is_null(kind) else kind for n, kind in types.items()}

    def _blocks(self) -> Iterator[bytes]:
        rest = b""
        with self.path.open("rb") as file:
            file.seek(self.skip)
            while data := file.read(BLOCK_BYTES):
                data = rest + (data.replace(b"\r", b"\n") if self.carriage_returns else data)
                end = data.rfind(b"\n") + 1
                rest = data[end:]
                if block := self._tidy(data[:end]):
                    yield block
        if block := self._tidy(rest):
            yield block

    def _tidy(self, block: bytes) -> bytes:
        if self.comments and b"#" in block:
            lines = block.split(b"\n")
            block = b"\n".join(line for line in lines if not line.lstrip().startswith(b"#"))
        if b'"' in block:
            self._check_quotes(block)
        if self.delimiter is None:
            block = _single_spaces(block)
        return block if block.strip() else b""

    def _check_quotes(self, block: bytes) -> None:
        """Raise an error for a quotation mark that its line does not close: it hides the next."""
        characters = np.frombuffer(block, dtype=np.uint8)
        ends = np.append(np.flatnonzero(characters == ord("\n")), len(block))
        marks = np.searchsorted(np.flatnonzero(characters == ord('"')), ends)
        odd = np.flatnonzero(marks % 2)
        if len(odd):
            start = int(ends[odd[0] - 1]) + 1 if odd[0] else 0
            line = block[start : int(ends[odd[0]])]
            number = self._line_number(line)
            text = line.decode("utf-8", "replace").strip()[:60]
            raise CatalogError(
                f"{self.path} does not close a quotation mark in line {number}, {text!r}: close "
                "or remove it"
            )

    def _line_number(self, line: bytes) -> int:
        """Number of the first line of the file that is ``line``, counted from 1."""
        with self.path.open("rb") as file:
            lines = file.read().split(b"\r") if self.carriage_returns else file
            for number, other in enumerate(lines, 1):
                if other.strip(b"\r\n") == line.strip(b"\r\n"):
                    return number
        return 0

    def _parse(self, block: bytes, types: Mapping[str, Any], names: Sequence[str]) -> Any:
        bad: list[Any] = []

        def note(row: Any) -> str:
            bad.append(row)
            return "skip"

        try:
            table = csv.read_csv(
                pa.BufferReader(block),
                csv.ReadOptions(column_names=list(self.names), block_size=2**22),
                csv.ParseOptions(delimiter=self.delimiter or " ", invalid_row_handler=note),
                csv.ConvertOptions(
                    column_types=dict(types),
                    include_columns=list(names),
                    null_values=list(self.nothing),
                    strings_can_be_null=self.text_missing,
                    quoted_strings_can_be_null=self.quoted_missing,
                ),
            )
        except pa.ArrowInvalid as error:
            reason = str(error).removeprefix("In CSV column ")
            raise CatalogError(f"{self.path} has a value that does not fit: {reason}") from error
        if bad:
            row = bad[0]
            raise CatalogError(
                f"{self.path} has a row of {row.actual_columns} columns where the first has "
                f"{row.expected_columns}: {row.text[:60]!r}"
            )
        return table


def _single_spaces(block: bytes) -> bytes:
    # A space goes if a space or the end of the line follows: runs become one, trailing ones none.
    characters = np.frombuffer(block.translate(_TO_SPACE), dtype=np.uint8)
    keep = np.ones(len(characters), dtype=np.bool_)
    following = characters[1:]
    keep[:-1] = (characters[:-1] != 32) | ((following != 32) & (following != 10))
    tidy = characters[keep].tobytes().replace(b"\n ", b"\n")
    return tidy.strip(b" ")


def _kind(column: Any) -> Any:
    kind = column.type
    kept = (pa.types.is_integer, pa.types.is_floating, pa.types.is_null, pa.types.is_boolean)
    if any(test(kind) for test in kept):
        return kind
    return pa.string()  # dates and times too: they are kept as text


def _wider(first: Any, second: Any) -> Any:
    if first == second:
        return first
    for one, other in ((first, second), (second, first)):
        if pa.types.is_null(one):
            return other
    numeric = (pa.int64(), pa.float64())
    return pa.float64() if first in numeric and second in numeric else pa.string()


def arrow_type(name: str) -> Any:
    """The arrow type of a numpy type's name."""
    return pa.string() if name in ("string", "str") else pa.from_numpy_dtype(np.dtype(name))
