"""ECSV (astropy's enhanced CSV): types, units and metadata in a YAML header, then rows of text.

Columns with a fixed shape of one axis are vectors, ``v.0``, ``v.1``, ...
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from truez.catalogs.formats._base import (
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
from truez.catalogs.formats._headers import loaded, unit_of
from truez.catalogs.formats._missing import masked, missing
from truez.catalogs.formats.text import check_text, check_words, write_rows

NAME = "ECSV"
SUFFIXES = (".ecsv",)
_SIGN = b"# %ECSV"


def _parse(path: Path) -> tuple[dict[str, Any], Table, dict[str, int]]:
    """The header, the rows, and the length of each vector column."""
    lines: list[str] = []
    with path.open("rb") as file:
        if not file.readline().startswith(_SIGN):
            raise CatalogError(f"{path} is not an ECSV file")
        while (raw := file.readline()).startswith(b"#"):
            lines.append(raw.decode("utf-8").removeprefix("#").removeprefix(" "))
        skip = file.tell()  # raw is the line of names, which the header holds too
    head = loaded("".join(lines))
    columns = head["datatype"]
    vectors: dict[str, int] = {}
    types = {}
    for column in columns:
        types[column["name"]] = arrow_type(column["datatype"])
        if shape := re.fullmatch(r"\w+\[(\d+)\]", column.get("subtype", "")):
            vectors[column["name"]] = int(shape[1])
    names = tuple(column["name"] for column in columns)
    delimiter = head.get("delimiter", " ")
    # Between commas nothing is a missing value and "" is empty text; between spaces, and in a
    # single column, astropy has to write "" for both and reads it as missing.
    quoted = delimiter == " " or len(names) == 1
    rows = Table(path, names, skip, delimiter, False, types, ("",), True, quoted)
    return head, rows, vectors


def header(path: Path) -> Header:
    """See `truez.catalogs.formats._base.Format`."""
    head, _, vectors = _parse(path)
    units: dict[str, str] = {}
    names: list[str] = []
    for column in head["datatype"]:
        name = column["name"]
        own = component_names(name, (0, vectors[name]) if name in vectors else (0,))
        names += own
        if unit := unit_of(column):
            units.update(dict.fromkeys(own, unit))
    metadata = head.get("meta") or {}
    # Foreign files keep their order with !!omap, which is read as a list of pairs.
    return Header(tuple(names), units, plain(dict(metadata)))


def chunks(path: Path, names: Sequence[str], rows: int) -> Iterator[Columns]:
    """See `truez.catalogs.formats._base.Format`."""
    _, table, vectors = _parse(path)
    bases = list(dict.fromkeys(split_component(name, table.names)[0] for name in names))
    for columns in table.chunks(bases, rows):
        for name in vectors.keys() & columns.keys():
            # A row of a vector is a JSON list in a string: all rows are one JSON list of lists.
            columns[name] = _vectors(columns[name], vectors[name])
        yield pick(columns, names, 0, len(columns[bases[0]]))


def _vectors(words: Array, length: int) -> Array:
    """Rows of a vector column, JSON lists in strings, of which values or whole rows are missing."""
    nothing = json.dumps([None] * length)
    texts = (nothing if text is None else text for text in words.tolist())
    rows = json.loads(f"[{','.join(texts)}]")
    if not any(None in row for row in rows):
        return np.array(rows)
    values = np.array(rows, dtype=object)
    lost = np.array([[value is None for value in row] for row in rows])
    return masked(np.array(np.where(lost, 0, values).tolist()), lost)


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
