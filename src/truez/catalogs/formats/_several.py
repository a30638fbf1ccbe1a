"""Several files as one catalogue: the same columns and units in each, rows in the files' order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from truez.catalogs.formats._base import CatalogError, Columns, Header

Read = Callable[[Path, Sequence[str], Header], Iterator[Columns]]


def joint_header(headers: dict[Path, Header]) -> Header:
    """The header of all files together.

    Raises
    ------
    CatalogError
        If they differ in a column or in its unit.
    """
    (first, one), *others = headers.items()
    lengths, sizes = dict(one.lengths), dict(one.sizes)
    left_out = dict(one.left_out)
    for path, other in others:
        differ = set(one.columns) ^ set(other.columns)
        if differ:
            name = min(differ)
            has, lacks = (first, path) if name in one.columns else (path, first)
            raise CatalogError(f"{has} has a column {name!r} and {lacks} has none: read them apart")
        for name in one.columns:
            units = one.units.get(name, ""), other.units.get(name, "")
            if units[0] != units[1]:
                raise CatalogError(
                    f"column {name!r} is in {units[0] or 'no unit'} by {first} and in "
                    f"{units[1] or 'no unit'} by {path}: write them in one unit"
                )
        lengths = {name: length + other.lengths.get(name, 0) for name, length in lengths.items()}
        sizes = {name: size + other.sizes.get(name, 0) for name, size in sizes.items()}
        left_out |= other.left_out
    return replace(one, left_out=left_out, lengths=lengths, sizes=sizes)


def joint_chunks(
    headers: dict[Path, Header], names: Sequence[str], read: Read
) -> Iterator[Columns]:
    """The pieces of one file after the other.

    Raises
    ------
    CatalogError
        If a column has two types, but for the length of text.
    """
    kinds: dict[str, str] = {}
    first = next(iter(headers))
    for path, header in headers.items():
        for piece in read(path, names, header):
            for name, values in piece.items():
                kind = "text" if values.dtype.kind == "U" else str(values.dtype)
                if kinds.setdefault(name, kind) != kind:
                    raise CatalogError(
                        f"column {name!r} is of type {kinds[name]} in {first} and of {kind} in "
                        f"{path}: write them with one type"
                    )
            yield piece
