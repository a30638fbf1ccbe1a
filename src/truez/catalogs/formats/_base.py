"""The interface of catalogue formats, and functions that several formats share.

A format is one module of this folder. It defines ``NAME`` and ``SUFFIXES`` and three functions:
`Format.header`, `Format.chunks` and `Format.write`. It needs no registration: every module of the
folder is a format.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from truez.catalogs.formats._errors import CatalogError
from truez.catalogs.formats._missing import concatenated, masked, missing
from truez.catalogs.formats._sizes import check_text

__all__ = [
    "Array", "CatalogError", "Columns", "Format", "Header", "Layout", "Part", "common_length",
    "component_names", "header_of", "native", "pick", "pick_chunks", "plain", "refuse_twice",
    "regrouped", "split_component", "starts_with", "unfit", "unit_among", "unit_text", "with_own",
]  # fmt: skip

Array = NDArray[Any]
Columns = dict[str, Array]


#: Largest number of components of a vector column, and of columns.
MOST_COMPONENTS = 4096
MOST_COLUMNS = 1_000_000


@dataclass(frozen=True)
class Header:
    """Names, units and metadata of the columns of a file, without their values.

    ``columns`` names every column; the components of a vector column ``v`` are ``v.0``, ``v.1``,
    ... ``units`` holds the units that the file states, as it writes them. Where ``numbered``,
    columns can also be selected by their number, ``0``, ``1``, ... ``masks`` is set by
    `truez.catalogs.formats.header`: the columns, left out of ``columns``, that mark the missing
    values of others. ``left_out`` says of other arrays of the file why they are no columns.
    ``lengths`` gives the number of rows of each column, and ``sizes`` their bytes in memory, where
    the file states them.
    """

    columns: tuple[str, ...]
    units: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    numbered: bool = False
    masks: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """An array of a file: its rows and components, their bytes in memory, and its unit."""

    shape: tuple[int, ...]
    itemsize: int
    unit: str = ""


@dataclass(frozen=True)
class Layout:
    """Content of a file, specified before the first of its chunks is written.

    ``dtypes`` names every column in its order; the length of a text type is that of the longest
    text in the column, over all chunks. ``num_rows`` is the length of all chunks together, and
    ``missing`` names the columns that have missing values in some chunk. ``table`` is the name of
    the table in formats whose tables have one (FITS); it may be empty.
    """

    dtypes: Mapping[str, np.dtype[Any]]
    num_rows: int
    units: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    table: str = ""


class Format(Protocol):
    """The names and functions that the module of a format defines."""

    NAME: str
    SUFFIXES: tuple[str, ...]

    def header(self, path: Path) -> Header:
        """The names, units and metadata of the file; `CatalogError` if it has another format."""

    def chunks(self, path: Path, names: Sequence[str], rows: int) -> Iterator[Columns]:
        """The columns ``names`` (of the header, or numbers in text) in pieces of <= ``rows``."""

    def write(self, path: Path, layout: Layout, chunks: Iterable[Mapping[str, Array]]) -> None:
        """Write the chunks in turn; `CatalogError` for what the format cannot hold."""


def native(values: Any, name: str = "") -> Array:
    """A contiguous array in the machine's byte order; bytes and objects become strings.

    Missing values stay missing. ``name`` is that of the column, for errors.
    """
    if isinstance(values, np.ma.MaskedArray):
        rest = values.filled("" if values.dtype.kind == "O" else values.dtype.type())
        return masked(native(rest, name), missing(values))
    array = np.asarray(values)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    elif array.dtype.kind == "O":
        texts = [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in array.ravel()]
        lengths = [len(text) for text in texts]
        check_text(name, len(texts), max(lengths, default=0), sum(lengths))
        array = np.array(texts, dtype=np.str_).reshape(array.shape)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def unfit(dtype: np.dtype[Any], shape: Sequence[int]) -> str:
    """Why an array cannot be a column, as the end of a sentence; empty where it can."""
    if dtype.kind not in "biufSUO":
        kind = {"c": "complex numbers", "V": "records"}.get(dtype.kind, f"the type {dtype}")
        return f"holds {kind}"
    if dtype.kind == "f" and dtype.itemsize > 8:
        return f"holds numbers of {8 * dtype.itemsize} bits"
    if len(shape) not in (1, 2):
        return f"is an array of shape {tuple(shape)}"
    if len(shape) == 2 and shape[1] > MOST_COMPONENTS:
        turned = ": is it transposed? store it as (n, 3)" if shape[0] == 3 else ""
        return f"is an array of shape {tuple(shape)}, of too many components{turned}"
    return ""


def refuse_twice(path: Path, names: Sequence[str]) -> None:
    """Raise if two columns of a table have the same name."""
    counts = Counter(names)
    twice = next((name for name in names if counts[name] > 1), None)
    if twice is not None:
        raise CatalogError(f"{path} has {counts[twice]} columns {twice!r}: rename them")


def component_names(name: str, shape: Sequence[int]) -> list[str]:
    """The columns that an array of ``shape`` makes: itself, or ``name.0``, ``name.1``, ..."""
    return [name] if len(shape) == 1 else [f"{name}.{i}" for i in range(shape[1])]


def header_of(
    parts: Mapping[str, Part], metadata: dict[str, Any], left_out: dict[str, str]
) -> Header:
    """The header of a file of the arrays ``parts``, whose vectors are several columns."""
    columns: list[str] = []
    units, lengths, sizes = {}, {}, {}
    for array, part in parts.items():
        names = component_names(array, part.shape)
        columns += names
        if len(columns) > MOST_COLUMNS:
            raise CatalogError(f"it has more than {MOST_COLUMNS} columns")
        lengths.update(dict.fromkeys(names, part.shape[0]))
        sizes.update(dict.fromkeys(names, part.shape[0] * part.itemsize))
        if part.unit:
            units.update(dict.fromkeys(names, part.unit))
    return Header(tuple(columns), units, metadata, left_out=left_out, lengths=lengths, sizes=sizes)


def split_component(name: str, arrays: Any) -> tuple[str, int | None]:
    """The array that column ``name`` belongs to and its component, None where it is whole."""
    if name in arrays:
        return name, None
    base, _, number = name.rpartition(".")
    return base, int(number)


def pick(arrays: Mapping[str, Any], names: Sequence[str], start: int, stop: int) -> Columns:
    """Rows ``start`` to ``stop`` of the columns ``names``; each array is read once."""
    rows: dict[str, Any] = {}
    columns: Columns = {}
    for name in names:
        base, component = split_component(name, arrays)
        if base not in rows:
            rows[base] = arrays[base][start:stop]
        values = rows[base] if component is None else rows[base][:, component]
        columns[name] = native(values, name)
    return columns


def pick_chunks(arrays: Mapping[str, Any], names: Sequence[str], rows: int) -> Iterator[Columns]:
    """`pick` over all rows, in pieces."""
    total = common_length({name: len(arrays[split_component(name, arrays)[0]]) for name in names})
    for start in range(0, total, rows):
        yield pick(arrays, names, start, min(start + rows, total))


def regrouped(pieces: Iterable[Columns], rows: int) -> Iterator[Columns]:
    """Pieces of any length as pieces of ``rows`` rows, of which the last may be shorter."""
    held: list[Columns] = []
    num_held = 0
    for piece in pieces:
        length = len(next(iter(piece.values())))
        start = 0
        while num_held + length - start >= rows:
            stop = start + rows - num_held
            held.append({name: values[start:stop] for name, values in piece.items()})
            yield _joined(held)
            held, num_held, start = [], 0, stop
        if start < length:
            held.append({name: values[start:] for name, values in piece.items()})
            num_held += length - start
    if held:
        yield _joined(held)


def _joined(pieces: Sequence[Columns]) -> Columns:
    if len(pieces) == 1:
        return pieces[0]
    return {name: concatenated([piece[name] for piece in pieces]) for name in pieces[0]}


def common_length(lengths: Mapping[str, int]) -> int:
    """The length that all columns share."""
    first, length = next(iter(lengths.items()))
    for name, other in lengths.items():
        if other != length:
            raise CatalogError(
                f"columns of one catalogue must be equally long, but {first!r} has {length} rows "
                f"and {name!r} has {other}: name the columns that belong together"
            )
    return length


def plain(value: Any) -> Any:
    """Metadata of any origin as JSON values; what has no counterpart there becomes its text."""

    def other(item: Any) -> Any:
        if isinstance(item, bytes):
            return item.decode("utf-8", "replace")
        return item.tolist() if isinstance(item, np.ndarray | np.generic) else str(item)

    return json.loads(json.dumps(value, default=other))


def with_own(metadata: dict[str, Any], key: str) -> dict[str, Any]:
    """Metadata in which the JSON that truez wrote under ``key`` is expanded.

    Files of other codes may hold any text under that key, which is kept unchanged.
    """
    try:
        own = json.loads(metadata[key])
    except (KeyError, TypeError, ValueError):
        return metadata
    if not isinstance(own, dict):
        return metadata
    return {**{name: value for name, value in metadata.items() if name != key}, **own}


def unit_text(unit: Any) -> str:
    """A unit attribute as text, empty where there is no unit."""
    if isinstance(unit, np.ndarray | list | tuple):  # of one string, as IDL, Matlab and C write it
        parts = np.ravel(np.asarray(unit, dtype=object)).tolist()
        return unit_text(parts[0]) if len(parts) == 1 else ""
    text = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else str(unit or "")
    return re.sub(r"[\s\0]+", " ", text).strip()


def unit_among(attributes: Mapping[Any, Any]) -> Any:
    """The attribute ``unit`` or ``units``, in any case, None where there is none."""
    for key in attributes:
        name = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
        if name.lower() in ("unit", "units"):
            return attributes[key]
    return None


def starts_with(path: Path, *magics: bytes) -> bool:
    """Whether the file opens with one of the signatures."""
    with path.open("rb") as file:
        return file.read(max(map(len, magics))).startswith(magics)
