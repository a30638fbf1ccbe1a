"""Rows of delimited text in bounded memory: blocks of whole lines, parsed by arrow.

Types are determined before values are returned, and over all blocks where the first one is
ambiguous (fractions or words may follow whole numbers), so that chunks and the whole file always
agree.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from truez.catalogs.formats._base import Array, CatalogError, Columns
from truez.catalogs.formats._dialect import split
from truez.catalogs.formats._lines import LONGEST_LINE, TextFile, single_spaces
from truez.catalogs.formats._numbers import NOTHING, are_fortran, from_fortran
from truez.catalogs.formats.parquet import numpy_from_arrow
from truez.support.notes import Note

BLOCK_BYTES = 2**25
#: The type of columns of numbers that arrow takes for text: see `are_fortran`.
FORTRAN = "fortran"


@dataclass(frozen=True)
class Table:
    """Delimited lines of a file.

    ``names`` are those of all fields in their order, empty for a field in which nothing may be
    written; ``skip`` is the offset [bytes] of the first row; ``delimiter`` is one character, or
    None for any run of white space; ``comments`` says whether lines that begin with # are to be
    left out; ``types`` are arrow types known beforehand. ``nothing`` are the words for a missing
    value; ``text_missing`` says whether text has missing values too, and ``quoted_missing``
    whether quoted words are among them. ``decimal`` is the decimal point.
    """

    file: TextFile
    names: tuple[str, ...]
    skip: int
    delimiter: str | None
    comments: bool
    types: Mapping[str, Any]
    nothing: tuple[str, ...] = NOTHING
    text_missing: bool = False
    quoted_missing: bool = True
    decimal: str = "."

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(name for name in self.names if name)

    def chunks(self, names: Sequence[str], rows: int) -> Iterator[Columns]:
        """Numpy columns ``names`` in pieces of at most ``rows`` rows."""
        unknown = [name for name in names if name not in self.types]
        types = {**self.types, **self._inferred(unknown)}
        wanted = {name: types[name] for name in names if name in types}  # none without rows
        first = 0
        for block in self._blocks():
            table = self._parse(block, wanted, names, first)
            for start in range(0, table.num_rows, rows):
                columns = table.slice(start, rows).columns
                yield {n: self._numpy(c, n) for n, c in zip(names, columns, strict=True)}
            first += table.num_rows

    def _numpy(self, column: Any, name: str) -> Array:
        values = numpy_from_arrow(column, name)
        # Words such as nan are no other than an empty field in text without types.
        plain_floats = values.dtype.kind == "f" and name not in self.types
        return np.ma.getdata(values) if plain_floats else values

    def _inferred(self, names: Sequence[str]) -> dict[str, Any]:
        types: dict[str, Any] = {}
        doubtful = list(names)
        first = 0
        for block in self._blocks() if doubtful else ():
            table = self._parse(block, {}, doubtful, first)
            for name, column in zip(doubtful, table.columns, strict=True):
                found = self._kind(column, block, name, first)
                types[name] = _wider(types[name], found) if name in types else found
            # Nothing is wider than text; a later word in a column of fractions is an error.
            final = (pa.float64(), pa.string(), FORTRAN)
            doubtful = [name for name in doubtful if types[name] not in final]
            if not doubtful:
                break
            first += table.num_rows
        return {n: pa.float64() if kind == pa.null() else kind for n, kind in types.items()}

    def _kind(self, column: Any, block: bytes, name: str, first: int) -> Any:
        """The type of a column of a block, of which arrow infers some too narrowly."""
        kind = column.type
        if kind == pa.binary():  # arrow's type of text that is not UTF-8
            self._parse(block, {name: pa.string()}, [name], first)
        if kind == pa.string() and are_fortran(column):
            return FORTRAN
        if kind == pa.float64():
            largest = pc.min_max(column)["max"].as_py()
            return self._large(column, block, name) if (largest or 0) >= 2**63 else kind
        kept = (pa.types.is_integer, pa.types.is_null, pa.types.is_boolean)
        # Dates and times too are kept as text.
        return kind if any(test(kind) for test in kept) else pa.string()

    def _large(self, column: Any, block: bytes, name: str) -> Any:
        """The type of a column of numbers above 2^63, which may be whole."""
        words = self._parse(block, {name: pa.string()}, [name], 0).column(name)
        known = words.filter(pc.invert(pc.is_null(column)))
        if not pc.all(pc.match_substring_regex(known, r"^\s*\d+\s*$")).as_py():
            return pa.float64()
        try:
            pc.cast(pc.utf8_trim_whitespace(known), pa.uint64())
        except pa.ArrowInvalid:
            pass
        else:
            return pa.uint64()
        warnings.warn(
            f"column {name!r} of {self.file.path} has whole numbers of more than 64 bits, of which "
            "16 digits are read",
            Note,
            stacklevel=2,
        )
        return pa.float64()

    def _blocks(self) -> Iterator[bytes]:
        for block in self.file.blocks(self.skip, BLOCK_BYTES):
            if tidy := self._tidy(block):
                yield tidy

    def _tidy(self, block: bytes) -> bytes:
        if self.comments and b"#" in block:
            lines = block.split(b"\n")
            block = b"\n".join(line for line in lines if not line.lstrip().startswith(b"#"))
        if b'"' in block:
            self._check_quotes(block)
        if self.delimiter is None:
            block = single_spaces(block)
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
            number, _ = self.file.number(line)
            text = line.decode("utf-8", "replace").strip()[:60]
            raise CatalogError(
                f"{self.file.path} does not close a quotation mark in line {number}, {text!r}: "
                "close or remove it"
            )

    def _parse(
        self, block: bytes, types: Mapping[str, Any], names: Sequence[str], first: int
    ) -> Any:
        """The columns ``names`` of a block whose first row is row ``first`` of the file."""
        # Fields are called by their numbers here: their own names may be any text.
        places = {name: str(number) for number, name in enumerate(self.names)}
        bare = [str(number) for number, name in enumerate(self.names) if not name]
        fortran = {name for name in names if types.get(name) == FORTRAN}
        known = {n: pa.string() if n in fortran else kind for n, kind in types.items()}
        try:
            table = csv.read_csv(
                pa.BufferReader(block),
                csv.ReadOptions(
                    column_names=[str(number) for number in range(len(self.names))],
                    block_size=LONGEST_LINE,
                ),
                csv.ParseOptions(delimiter=self.delimiter or " "),
                csv.ConvertOptions(
                    column_types={places[name]: kind for name, kind in known.items()},
                    include_columns=[*(places[name] for name in names), *bare],
                    null_values=list(self.nothing),
                    strings_can_be_null=self.text_missing,
                    quoted_strings_can_be_null=self.quoted_missing,
                    decimal_point=self.decimal,
                ),
            )
        except pa.ArrowInvalid as error:
            if (full := _without_blank_lines(block)) != block:
                return self._parse(full, types, names, first)
            raise self._misfit(str(error), block, first) from None
        for place, column in zip(bare, table.columns[len(names) :], strict=True):
            if column.null_count < table.num_rows:
                raise CatalogError(
                    f"{self.file.path} has values in column {place}, for which its header has no "
                    "name: give it one"
                )
        table = table.select(range(len(names))).rename_columns(list(names))
        for name in fortran:
            words = table.column(name)
            try:
                values = from_fortran(words, self.decimal)
            except pa.ArrowInvalid as error:
                found = str(error).partition("'")[2].rpartition("'")[0]
                raise self._unfit(name, words.to_pylist(), found, first) from None
            table = table.set_column(table.column_names.index(name), name, values)
        return table

    def _misfit(self, reason: str, block: bytes, first: int) -> CatalogError:
        """The error that arrow describes, in the words of the user."""
        path = self.file.path
        if "straddling" in reason:
            return CatalogError(
                f"{path} is no table: it holds a line of more than {LONGEST_LINE // 2**20} MiB"
            )
        if found := re.search(r"Expected (\d+) columns, got (\d+)", reason):
            return self._ragged(block, int(found[1]), int(found[2]))
        found = re.search(r"column #(\d+): CSV conversion error .*: invalid (.*)", reason, re.S)
        if found is None:
            return CatalogError(f"{path} is damaged: its rows cannot be separated")
        name = self.names[int(found[1])]
        words = self._parse(block, {name: pa.binary()}, [name], first).column(name).to_pylist()
        texts = [(word or b"").decode("utf-8", "backslashreplace") for word in words]
        if "UTF8" in found[2]:
            odd = next(i for i, word in enumerate(words) if word and not _is_utf8(word))
            return CatalogError(
                f"{path} holds text that is not UTF-8, {texts[odd][:40]!r} in row {first + odd} "
                f"(counted from 0) of column {name!r}: save the file as UTF-8"
            )
        return self._unfit(name, texts, found[2].removeprefix("value '").removesuffix("'"), first)

    def _unfit(
        self, name: str, words: Sequence[str | None], value: str, first: int
    ) -> CatalogError:
        """The error for a word of a column that is not of its type."""
        rows = (i for i, word in enumerate(words) if (word or "").strip() == value.strip())
        row = next(rows, None)
        place = "" if row is None else f" in row {first + row} (counted from 0)"
        declared = self.types.get(name)
        kind = f"declared as {declared}" if declared else "of numbers by its first rows"
        return CatalogError(
            f"{self.file.path} has a value that does not fit: {value.strip()[:40]!r}{place} of "
            f"column {name[:60]!r}, {kind}: correct the value, or leave that row out"
        )

    def _ragged(self, block: bytes, expected: int, found: int) -> CatalogError:
        """The error for a row with too few or too many words."""
        line, text = b"", ""
        for line in block.split(b"\n"):
            text = line.decode("utf-8", "replace")
            if len(split(text, self.delimiter)) == found:
                break
        number, last = self.file.number(line)
        remedy = "complete or remove that line"
        if last and found < expected:
            remedy = "the file seems cut off, so copy or write it again"
        elif found > expected:
            remedy = "quote words that hold blanks or separators, or correct that line"
        return CatalogError(
            f"{self.file.path} has a row of {found} columns where the first has {expected}: "
            f"{text.strip()[:60]!r} in line {number}; {remedy}"
        )


def _without_blank_lines(block: bytes) -> bytes:
    """Lines of which none is only white space, which arrow takes for a row of one word."""
    return re.sub(rb"^[ \t\r]+\n", b"", block, flags=re.MULTILINE)


def _is_utf8(word: bytes) -> bool:
    try:
        word.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _wider(first: Any, second: Any) -> Any:
    if first == second:
        return first
    for one, other in ((first, second), (second, first)):
        if one == pa.null():
            return other
    numeric = [pa.int64(), pa.uint64(), pa.float64(), FORTRAN]  # in which a wider one follows
    if first in numeric and second in numeric:
        return max(first, second, key=numeric.index)
    return pa.string()


def arrow_type(name: str) -> Any:
    """The arrow type of a numpy type's name."""
    return pa.string() if name in ("string", "str") else pa.from_numpy_dtype(np.dtype(name))
