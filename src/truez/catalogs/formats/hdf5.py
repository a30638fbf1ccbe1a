"""HDF5: every dataset of shape (n,) or (n, m) is a column, named by its path in the file.

Nested datasets are ``group/x``, the fields of a compound dataset ``table`` are ``table/x``, the
components of an (n, m) dataset ``v`` are ``v.0``, ``v.1``, ... A unit is the attribute ``unit`` (or
``units``, in any case) of the dataset, or that of astropy's description of a table. The metadata
are the attributes of the file; truez writes its own as JSON in the attribute ``metadata``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from truez.catalogs.formats._base import (
    Array,
    CatalogError,
    Columns,
    Header,
    Layout,
    Part,
    header_of,
    native,
    pick_chunks,
    plain,
    unfit,
    unit_among,
    unit_text,
    with_own,
)
from truez.catalogs.formats._hdf5_heap import has_sound_heaps, has_sound_texts
from truez.catalogs.formats._hdf5_links import elsewhere, linked_items, own_item
from truez.catalogs.formats._headers import units_of
from truez.catalogs.formats._missing import masked, missing
from truez.catalogs.formats._sizes import check_text
from truez.support.files import system_errors
from truez.support.hdf5 import created
from truez.support.tables import split_table

NAME = "HDF5"
SUFFIXES = (".h5", ".hdf5")


# The dataset beside a table of astropy that describes its columns.
_ASTROPY = ".__table_column_meta__"
# Tables of pandas in the format that only pandas reads: blocks of values without names.
_FIXED = (b"frame", "frame", b"series", "series")
_FIXED_REASON = (
    'is a table of pandas in its fixed format: write it with format="table" and data_columns=True, '
    "or as Parquet"
)
# Attributes of the number that marks a missing value, as netCDF writes them.
_FILL = {"_FillValue", "missing_value"}
# Rows of text that are read at a time.
_TEXTS = 1024
# Links to links of groups can name more datasets than a file has bytes.
_MOST_DATASETS = 100_000


class _Rows:
    """Rows of a dataset, or of one field of a compound dataset; text comes as str."""

    def __init__(self, name: str, dataset: Any, field: str | None = None) -> None:
        self.attrs = dataset.attrs
        self.name, self._dataset = name, dataset
        self._fields, self._field = dataset.dtype.names, field
        self.dtype = dataset.dtype if field is None else dataset.dtype[field].base
        extra = () if field is None else dataset.dtype[field].shape
        self.shape = dataset.shape + extra
        self._source = dataset if field is None else dataset.fields(field)
        self._text = h5py.check_string_dtype(self.dtype)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> Any:
        if self._text is not None and self._text.length is None:
            return self._texts(rows)
        values = self._source[rows]
        for name in _FILL & set(self.attrs) if self.dtype.kind in "iuf" else ():
            fill = np.asarray(self.attrs[name]).ravel()
            if fill.dtype.kind in "iuf":
                values = masked(values, np.isin(values, fill))
        return values

    def _texts(self, rows: slice) -> Array:
        """Text of any length, of which many rows may share one that the file holds once."""
        if self._field is None and not has_sound_texts(self._dataset):
            raise ValueError("text is longer than the file")
        parts, longest = [], 0
        held = self._dataset.file.id.get_filesize()
        for start in range(rows.start, rows.stop, _TEXTS):
            part = native(self._source[start : min(start + _TEXTS, rows.stop)], self.name)
            parts.append(part)
            longest, held = max(longest, part.dtype.itemsize // 4), held + part.nbytes
            check_text(
                self.name, rows.stop - rows.start, longest, self._dataset.file.id.get_filesize()
            )
        return np.concatenate(parts)

    @property
    def part(self) -> Part:
        """The rows, their size in memory and their unit."""
        size = self.dtype.itemsize * (4 if self.dtype.kind == "S" else 1)
        # Of a compressed dataset at least one chunk is unpacked, and of a table all fields.
        chunk = math.prod(self._dataset.chunks or (0,)) * self._dataset.dtype.itemsize
        least = chunk // max(len(self), 1)
        return Part(self.shape, max(size, least), self.unit)

    @property
    def unit(self) -> str:
        """The unit that the dataset states, which may be one for each field of a table."""
        stated = unit_among(self.attrs)
        if self._fields and np.size(stated) == len(self._fields) and np.ndim(stated) == 1:
            stated = stated[self._fields.index(self._field)]
        return unit_text(stated)

    @property
    def unfit(self) -> str:
        """Why this is no column, as the end of a sentence; empty where it is one."""
        # Objects are columns only where they are text; the others are references or ragged lists.
        if self.dtype.kind == "O" and self._text is None:
            return "holds lists of varying length or references"
        filters = self._dataset.id.get_create_plist()
        codes = [filters.get_filter(number)[0] for number in range(filters.get_nfilters())]
        if not all(map(h5py.h5z.filter_avail, codes)):
            return "is compressed by a filter that is not installed here"
        return elsewhere(self._dataset) or unfit(self.dtype, self.shape)


def _datasets(file: Any) -> tuple[dict[str, _Rows], dict[str, str]]:
    """All arrays of a file with rows by name, and why links to other files are none."""
    found: dict[str, _Rows] = {}
    reasons: dict[str, str] = {}
    for count, (name, item) in enumerate(linked_items(file)):
        if count == _MOST_DATASETS:
            raise CatalogError(f"{file.filename} has more than {count} datasets, by its links")
        if isinstance(item, h5py.Group) and item.attrs.get("pandas_type") in _FIXED:
            reasons[name] = _FIXED_REASON
        if isinstance(item, str):
            reasons[name] = item
        if not isinstance(item, h5py.Dataset) or not item.shape or name.endswith(_ASTROPY):
            continue
        if item.dtype.names is None:
            found[name] = _Rows(name, item)
        else:
            fields = item.dtype.names
            found.update({f"{name}/{f}": _Rows(f"{name}/{f}", item, f) for f in fields})

    for group in (name for name, reason in reasons.items() if reason is _FIXED_REASON):
        found = {name: rows for name, rows in found.items() if not name.startswith(f"{group}/")}
    # Arrays without rows, such as those of an index, are no columns beside others.
    return {name: rows for name, rows in found.items() if len(rows)} or found, reasons


def _chosen(names: Iterable[str], path: Path, choice: str) -> str:
    """What the names of the columns of a table begin with, which is chosen by name or number.

    Tables are the groups that hold arrays and the datasets of records, numbered from 1 as the file
    lists them.
    """
    tables = list(dict.fromkeys(name.rpartition("/")[0] for name in names))
    wanted = choice.strip("/")
    if wanted not in tables and choice.isdecimal() and 0 < int(choice) <= len(tables):
        wanted = tables[int(choice) - 1]
    if wanted not in tables:
        listed = ", ".join(f"{number} ({name or '/'})" for number, name in enumerate(tables[:6], 1))
        more = f" and {len(tables) - 6} more" if len(tables) > 6 else ""
        raise CatalogError(f"{path} holds the tables {listed}{more}: none of them is {choice!r}")
    return f"{wanted}/" if wanted else ""


def _found(file: Any, path: Path, choice: str | None) -> tuple[dict[str, _Rows], dict[str, str]]:
    """The columns of a file, or those of one of its tables by their own names, and the others."""
    found, left_out = _datasets(file)
    left_out |= {name: rows.unfit for name, rows in found.items() if rows.unfit}
    arrays = {name: rows for name, rows in found.items() if name not in left_out}
    if choice is None:
        return arrays, left_out
    start = _chosen([*arrays, *left_out], path, choice)

    def inner(names: Iterable[str]) -> dict[str, str]:
        own = {name: name.removeprefix(start) for name in names if name.startswith(start)}
        return {name: word for name, word in own.items() if "/" not in word}

    return (
        {word: arrays[name] for name, word in inner(arrays).items()},
        {word: left_out[name] for name, word in inner(left_out).items()},
    )


def _described(file: Any, arrays: Iterable[str]) -> dict[str, str]:
    """Units of the columns of tables beside which astropy wrote a description."""
    units: dict[str, str] = {}
    for table in dict.fromkeys(name.rpartition("/")[0] for name in arrays):
        lines = own_item(file, table + _ASTROPY) if table else None
        if isinstance(lines, h5py.Dataset) and lines.dtype.kind in "SO":
            text = "\n".join(_text(line) for line in lines[()])
            units.update({f"{table}/{name}": unit for name, unit in units_of(text).items()})
    return units


def _text(line: Any) -> str:
    return line.decode("utf-8", "replace") if isinstance(line, bytes) else str(line)


def _check(path: Path) -> None:
    if not h5py.is_hdf5(path):
        raise CatalogError(f"{path} is not an HDF5 file")
    if not has_sound_heaps(path):
        raise ValueError("a heap is damaged")


def header(path: Path) -> Header:
    """See `truez.catalogs.formats._base.Format`."""
    place, choice = split_table(path)
    _check(place)
    with h5py.File(place, "r") as file:
        arrays, left_out = _found(file, place, choice)
        units = _described(file, [rows.name for rows in arrays.values()])
        parts = {}
        for name, rows in arrays.items():
            part = rows.part
            parts[name] = part if part.unit else replace(part, unit=units.get(rows.name, ""))
        return header_of(parts, with_own(plain(dict(file.attrs)), "metadata"), left_out)


def chunks(path: Path, names: Sequence[str], rows: int) -> Iterator[Columns]:
    """See `truez.catalogs.formats._base.Format`."""
    place, choice = split_table(path)
    with h5py.File(place, "r") as file:
        arrays, _ = _found(file, place, choice)
        yield from pick_chunks(arrays, names, rows)


def write(path: Path, layout: Layout, chunks: Iterable[Mapping[str, Array]]) -> None:
    """See `truez.catalogs.formats._base.Format`."""
    for name in layout.dtypes:
        if any(other.startswith(f"{name}/") for other in layout.dtypes):
            raise CatalogError(f"HDF5 cannot hold both a column {name!r} and a group {name!r}")
    # HDF5 has no missing values: floats are NaN, and a column of booleans marks the others.
    marked = [name for name in layout.missing if layout.dtypes[name].kind != "f"]
    for name in marked:
        if f"{name}.mask" in layout.dtypes:
            raise CatalogError(f"HDF5 cannot hold column {name}.mask beside the mask of {name!r}")
    with created(path) as file:
        for name, dtype in layout.dtypes.items():
            kind = h5py.string_dtype("utf-8") if dtype.kind == "U" else dtype
            dataset = file.create_dataset(name, (layout.num_rows,), kind)
            if name in layout.units:
                dataset.attrs["unit"] = layout.units[name]
            if name in marked:
                file.create_dataset(f"{name}.mask", (layout.num_rows,), bool)
        file.attrs["metadata"] = json.dumps(dict(layout.metadata))
        start = 0
        for chunk in chunks:
            stop = start + len(next(iter(chunk.values())))
            with system_errors():
                for name, values in chunk.items():
                    text = values.dtype.kind == "U"
                    plain_values = np.ma.getdata(values)
                    file[name][start:stop] = plain_values.astype(object) if text else plain_values
                    if name in marked:
                        file[f"{name}.mask"][start:stop] = missing(values)
            start = stop
