"""ASDF (optional, ``pip install "truez[asdf]"``): every array of the tree is a column.

An array inside a mapping is ``group/x``, the components of an (n, m) array ``v`` are ``v.0``,
``v.1``, ... Columns that truez writes are in the root of the tree, their units and metadata in
``truez``; the other plain values of the tree are the metadata of foreign files.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.table import Table

from truez.catalogs.formats._asdf_file import check_file
from truez.catalogs.formats._base import (
    Array,
    CatalogError,
    Columns,
    Header,
    Layout,
    Part,
    header_of,
    pick_chunks,
    plain,
    regrouped,
    unfit,
    unit_text,
)

NAME = "ASDF"
SUFFIXES = (".asdf",)
_OWN = "truez"
_RESERVED = (_OWN, "asdf_library", "history")


def _library() -> Any:
    try:
        import asdf
    except ImportError:
        raise CatalogError(
            'ASDF catalogues need the package asdf: pip install "truez[asdf]"'
        ) from None
    return asdf


@contextmanager
def _tree(path: Path) -> Iterator[Any]:
    library = _library()
    check_file(path)
    with warnings.catch_warnings():
        # Objects of packages that are not there are read as plain values.
        warnings.simplefilter("ignore", library.exceptions.AsdfWarning)
        with library.config_context() as settings:
            # Other files are read as they are, whether they follow the rules of their objects.
            settings.validate_on_read = False
            with library.open(path, memmap=True, lazy_load=True) as file:
                yield file.tree


@dataclass(frozen=True)
class _Quantity:
    """An array and its unit."""

    values: Any
    unit: str

    @classmethod
    def of(cls, values: Any, item: Mapping[str, Any]) -> Any:
        """The array with the unit of a mapping; anything else as it is."""
        if isinstance(values, Mapping):  # a column of quantities
            return cls.of(values.get("value"), values)
        unit = unit_text(item.get("unit"))
        return cls(values, unit) if unit and hasattr(values, "dtype") else values

    @property
    def dtype(self) -> Any:
        return self.values.dtype

    @property
    def shape(self) -> Any:
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any) -> Any:
        return self.values[rows]


def _walk(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in tree.items():
        if not prefix and key in _RESERVED:
            continue
        if isinstance(item, Mapping) and set(item) >= {"colnames", "columns"}:
            # A table of astropy, described in plain values.
            for name, column in zip(item["colnames"], item["columns"], strict=False):
                parts = column if isinstance(column, Mapping) else {"data": column}
                values = parts.get("data", parts.get("value"))  # of a quantity; else of an object
                yield f"{prefix}{key}/{name}", _Quantity.of(values, parts)
        elif isinstance(item, Mapping) and set(item) >= {"value", "unit"}:
            yield f"{prefix}{key}", _Quantity.of(item["value"], item)
        elif isinstance(item, Table):
            yield from ((f"{prefix}{key}/{name}", item[name]) for name in item.colnames)
        elif isinstance(item, Mapping):
            yield from _walk(item, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", item


def _arrays(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: item
        for name, item in _walk(tree)
        if hasattr(item, "dtype") and not unfit(item.dtype, item.shape)
    }


def header(path: Path) -> Header:
    """See `truez.catalogs.formats._base.Format`."""
    with _tree(path) as tree:
        arrays = _arrays(tree)
        own = plain(dict(tree.get(_OWN, {})))
        stated = own.get("units", {})
        parts = {}
        for name, item in arrays.items():
            unit = unit_text(stated.get(name)) or unit_text(getattr(item, "unit", None))
            size = 4 if item.dtype.kind == "S" else 1
            parts[name] = Part(tuple(item.shape), size * item.dtype.itemsize, unit)
        metadata = {n: plain(v) for n, v in _walk(tree) if isinstance(v, str | bool | int | float)}
        left_out = {
            name: unfit(item.dtype, item.shape)
            for name, item in _walk(tree)
            if hasattr(item, "dtype") and name not in arrays
        }
        return header_of(parts, {**metadata, **own.get("metadata", {})}, left_out)


def chunks(path: Path, names: Sequence[str], rows: int) -> Iterator[Columns]:
    """See `truez.catalogs.formats._base.Format`."""
    with _tree(path) as tree:
        for columns in pick_chunks(_arrays(tree), names, rows):
            # The arrays of a memory-mapped file end with it, so they are copied out.
            yield {name: values.copy() for name, values in columns.items()}


def write(path: Path, layout: Layout, chunks: Iterable[Mapping[str, Array]]) -> None:
    """See `truez.catalogs.formats._base.Format`."""
    own = {"units": dict(layout.units), "metadata": plain(dict(layout.metadata))}
    tree: dict[str, Any] = {_OWN: own}
    # The tree is written as a whole, so all of it is in memory.
    (columns,) = regrouped((dict(chunk) for chunk in chunks), layout.num_rows)
    for name, values in columns.items():
        *groups, last = name.split("/")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
            if not isinstance(place, dict):
                raise CatalogError(f"ASDF cannot hold both a column and a group for {name!r}")
        if last in place or (not groups and last in _RESERVED) or _OWN in groups[:1]:
            raise CatalogError(f"an ASDF catalogue cannot have a column {name!r}")
        place[last] = values
    _library().AsdfFile(tree).write_to(path)
