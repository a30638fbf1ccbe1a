"""ECSV (astropy's enhanced CSV): types, units and metadata in a YAML header, then rows of text.

Columns with a fixed shape of one axis are vectors, ``v.0``, ``v.1``, ...
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from truez.catalogs.formats._base import (
    MOST_COMPONENTS,
    Array,
    CatalogError,
    Columns,
    Header,
    Layout,
    component_names,
    pick,
    plain,
    split_component,
)
from truez.catalogs.formats._delimited import Table, arrow_type
from truez.catalogs.formats._dialect import check_names, split
from truez.catalogs.formats._headers import unit_of
from truez.catalogs.formats._lines import TextFile, text
from truez.catalogs.formats._missing import masked, missing
from truez.catalogs.formats._yaml import MOST_LETTERS, loaded
from truez.catalogs.formats.text import check_text, check_words, write_rows

NAME = "ECSV"
SUFFIXES = (".ecsv",)
_SIGN = b"# %ECSV"
_NUMBERS = re.compile(r'\[[^\[\]{}"]*\]')


@dataclass(frozen=True)
class _Described:
    """What a header says: metadata, units, the rows as a table, and the columns of truez.

    ``vectors`` are the type and the length of each vector column; ``left_out`` says of other
    columns why they are none.
    """

    metadata: dict[str, Any]
    units: dict[str, str]
    table: Table
    vectors: dict[str, tuple[np.dtype[Any], int]]
    left_out: dict[str, str]


def _described(path: Path) -> _Described:
    file = TextFile.opened(path)
    lines = file.lines()
    if not next(lines, (b"", 0))[0].startswith(_SIGN):
        raise CatalogError(f"{path} is not an ECSV file")
    head: list[str] = []
    size = 0
    for raw, end in lines:
        if not raw.startswith(b"#"):
            titles, skip = raw, end
            break
        size += len(raw)
        if size > MOST_LETTERS:
            raise CatalogError(f"{path} has a header of more than {MOST_LETTERS // 2**20} MiB")
        head.append(text(raw, path, "a header").removeprefix("#").removeprefix(" "))
    else:
        raise CatalogError(f"{path} ends within its header: the file seems cut off")
    found = loaded("".join(head))
    columns = found.get("datatype") if isinstance(found, dict) else None
    if not isinstance(columns, list) or not columns:
        raise CatalogError(f"{path} has a header without the list of its columns, datatype")
    types: dict[str, Any] = {}
    vectors: dict[str, tuple[np.dtype[Any], int]] = {}
    left_out: dict[str, str] = {}
    units: dict[str, str] = {}
    for number, column in enumerate(columns):
        if not isinstance(column, dict) or not isinstance(column.get("name"), str):
            raise CatalogError(f"{path} has a header without the name of column {number}")
        name, subtype = column["name"], str(column.get("subtype") or "")
        kind = _dtype(str(column.get("datatype")))
        vector = re.fullmatch(r"(\w+)\[(\d{1,9})\]", subtype)
        if vector and (part := _dtype(vector[1])) and 0 < int(vector[2]) <= MOST_COMPONENTS:
            vectors[name] = (part, int(vector[2]))
        elif subtype or kind is None:
            left_out[name] = _unfit(subtype or str(column.get("datatype")))
        types[name] = pa.string() if subtype or kind is None else arrow_type(kind.name)
        if unit := unit_of(column):
            units[name] = unit
    names = tuple(column["name"] for column in columns)
    check_names(names, path)
    delimiter = found.get("delimiter", " ")
    if delimiter not in (" ", ","):
        raise CatalogError(
            f"{path} has the delimiter {str(delimiter)[:20]!r}: ECSV has a blank or a comma"
        )
    words = split(text(titles, path, "a line of names"), None if delimiter == " " else ",")
    if words != [name.strip() for name in names]:
        raise CatalogError(
            f"{path} is damaged: its header describes the columns {_listed(names)}, and the line "
            f"below it names {_listed(words)}"
        )
    # Between commas nothing is a missing value and "" is empty text; between spaces, and in a
    # single column, astropy has to write "" for both and reads it as missing.
    quoted = delimiter == " " or len(names) == 1
    table = Table(file, names, skip, delimiter, False, types, ("",), True, quoted)
    metadata = found.get("meta") or {}
    # Foreign files keep their order with !!omap, which is read as a list of pairs.
    try:
        metadata = plain(dict(metadata))
    except (TypeError, ValueError):
        metadata = {"meta": plain(metadata)}
    return _Described(metadata, units, table, vectors, left_out)


def _dtype(name: str) -> np.dtype[Any] | None:
    """The type of a column of numbers, booleans or text; None for another."""
    if name in ("string", "str"):
        return np.dtype(np.str_)
    if name == "float16":  # the next that text is parsed to
        return np.dtype(np.float32)
    return np.dtype(name) if re.fullmatch(r"bool|u?int(8|16|32|64)|float(32|64)", name) else None


def _unfit(kind: str) -> str:
    """Why a column of a datatype or subtype is none of truez, as the end of a sentence."""
    if kind.startswith("complex"):
        return "holds complex numbers"
    if "null" in kind:
        return "holds lists of varying length"
    if "[" in kind:
        return f"is an array of {kind[:40]!r}"
    return "holds objects" if kind == "json" else f"holds the type {kind[:40]!r}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name[:20] for name in names[:4])
    return repr(shown) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def header(path: Path) -> Header:
    """See `truez.catalogs.formats._base.Format`."""
    found = _described(path)
    units: dict[str, str] = {}
    names: list[str] = []
    for name in found.table.columns:
        if name in found.left_out:
            continue
        length = found.vectors[name][1] if name in found.vectors else None
        own = component_names(name, (0,) if length is None else (0, length))
        names += own
        if name in found.units:
            units.update(dict.fromkeys(own, found.units[name]))
    return Header(tuple(names), units, found.metadata, left_out=found.left_out)


def chunks(path: Path, names: Sequence[str], rows: int) -> Iterator[Columns]:
    """See `truez.catalogs.formats._base.Format`."""
    found = _described(path)
    known = set(found.table.names)
    bases = list(dict.fromkeys(split_component(name, known)[0] for name in names))
    first = 0
    for columns in found.table.chunks(bases, rows):
        for name in found.vectors.keys() & columns.keys():
            columns[name] = _vectors(columns[name], *found.vectors[name], path, name, first)
        yield pick(columns, names, 0, len(columns[bases[0]]))
        first += len(columns[bases[0]])


def _vectors(
    words: Array, dtype: np.dtype[Any], length: int, path: Path, name: str, first: int
) -> Array:
    """Rows of a vector column, JSON lists in strings, of which values or whole rows are missing."""
    nothing = json.dumps([None] * length)
    texts = [nothing if word is None else word for word in words.tolist()]
    # All rows are one list of lists, unless one of them is damaged or has missing values.
    whole = all(map(_NUMBERS.fullmatch, texts))
    joined = _list(f"[{','.join(texts)}]") if whole else []
    if (quick := _quick(joined, dtype, (len(texts), length))) is not None:
        return quick
    rows = [_list(text) for text in texts]
    for number, row in enumerate(rows):
        if not _fits(row, length, dtype):
            raise CatalogError(
                f"{path} has a value that does not fit: {texts[number][:40]!r} in row "
                f"{first + number} (counted from 0) of column {name[:60]!r}, declared as "
                f"{dtype.name}[{length}]"
            )
    lost = np.array([[value is None for value in row] for row in rows])
    kept = [[dtype.type() if value is None else value for value in row] for row in rows]
    return masked(np.array(kept, dtype=dtype), lost)


def _quick(rows: list[Any], dtype: np.dtype[Any], shape: tuple[int, int]) -> Array | None:
    """The rows as an array of numbers, None where they are anything else."""
    try:
        values = np.array(rows)
    except ValueError:
        return None
    kinds = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}.get(dtype.kind, "")
    if values.shape != shape or values.dtype.kind not in kinds:
        return None
    found = values.astype(dtype)
    return found if dtype.kind == "f" or np.array_equal(found, values) else None


def _list(word: str) -> list[Any]:
    """A list in JSON; an empty one for other text."""
    try:
        found = json.loads(word)
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []


def _fits(row: Any, length: int, dtype: np.dtype[Any]) -> bool:
    """Whether a row is a list of values of the type, or of None."""
    if not isinstance(row, list) or len(row) != length:
        return False
    values = [value for value in row if value is not None]
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        return all(type(v) is int and bounds.min <= v <= bounds.max for v in values)
    if dtype.kind == "f":
        return all(type(v) is float or (type(v) is int and abs(v) < 2**1000) for v in values)
    return all(type(v) is (str if dtype.kind == "U" else bool) for v in values)


def write(path: Path, layout: Layout, chunks: Iterable[Mapping[str, Array]]) -> None:
    """See `truez.catalogs.formats._base.Format`."""
    # JSON is YAML, so the header needs no writer of its own.
    lines = ["%ECSV 1.0", "---", "delimiter: ','", "datatype:"]
    for name, dtype in layout.dtypes.items():
        check_text(name, name, NAME, quotes=True)
        entry = {"name": name, "datatype": "string" if dtype.kind == "U" else dtype.name}
        if name in layout.units:
            entry["unit"] = layout.units[name]
        lines.append(f"- {json.dumps(entry)}")
    lines += [f"meta: {json.dumps(dict(layout.metadata))}", "schema: astropy-2.0"]
    with path.open("wb") as file:
        file.write("".join(f"# {line}\n" for line in lines).encode())
        titles = (name.replace('"', '""') for name in layout.dtypes)
        file.write(",".join(f'"{title}"' for title in titles).encode() + b"\n")
        for chunk in chunks:
            check_words(chunk, NAME, quotes=True)
            rows = {
                name: _words(values) if values.dtype.kind == "b" else values
                for name, values in chunk.items()
            }
            write_rows(file, rows, ",", quotes=True)


def _words(values: Array) -> Array:
    """Booleans as ECSV writes them."""
    return masked(np.where(np.ma.getdata(values), "True", "False"), missing(values))
