"""Checks of an ASDF file before its library reads it: its tree of YAML, and its blocks.

A tree whose aliases repeat each other can have more items than a machine can visit, an item can
name a file anywhere on the machine or in the network, and a compressed block can state any size.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from truez.catalogs.formats._base import CatalogError
from truez.catalogs.formats._sizes import check_expansion, check_room
from truez.support.memory import in_words

#: Bytes and items of the largest tree, aliases counted as often as they are used, and its depth.
_LONGEST = 2**26
_MOST_ITEMS = 500_000
_DEEPEST = 50

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BLOCK = b"\xd3BLK"
#: Flags, compression, and the bytes allocated, used and unpacked, of a block's header.
_FIELDS = struct.Struct(">I4sQQQ")


def check_file(path: Path) -> None:
    """Raise unless a file is ASDF, and its tree and blocks can be read in bounded time and memory.

    Raises
    ------
    CatalogError
        If it is cut off, its tree is too large or too deep, or names other files.
    """
    held = path.stat().st_size
    with path.open("rb") as file:
        if not file.read(5) == b"#ASDF":
            raise CatalogError(f"{path} is not an ASDF file")
        file.seek(0)
        tree = _tree_text(file, path)
        _check_tree(tree, path)
        _check_blocks(file, path, held)


def _tree_text(file: BinaryIO, path: Path) -> bytes:
    """The lines of the tree, up to that of ``...``; the file is left behind them."""
    lines, size = [], 0
    for line in iter(lambda: file.readline(_LONGEST), b""):
        if line.startswith(_BLOCK):  # no tree
            file.seek(size)
            break
        lines.append(line)
        size += len(line)
        if size > _LONGEST:
            raise CatalogError(f"{path} has a tree of more than {in_words(_LONGEST)}: write .h5")
        if line.rstrip() == b"...":
            break
    return b"".join(lines)


@dataclass
class _Level:
    """A mapping or list of the tree that is being read."""

    anchor: str | None
    before: int
    is_mapping: bool
    is_array: bool
    key: str | None = None

    def next(self, text: str) -> str | None:
        """The key of the value ``text``; None where it is a key itself, or in a list."""
        if not self.is_mapping:
            return None
        key, self.key = self.key, text if self.key is None else None
        return key


def _check_tree(text: bytes, path: Path) -> None:
    """Count the items of a tree without building it, and look for names of other files."""
    items: dict[str, int] = {}
    levels: list[_Level] = []
    count = 0
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.CollectionEndEvent):
            level = levels.pop()
            if level.anchor is not None:
                items[level.anchor] = count - level.before
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        value = event.value if isinstance(event, yaml.ScalarEvent) else ""
        key = levels[-1].next(value) if levels else None
        if isinstance(event, yaml.AliasEvent) and event.anchor not in items:
            raise CatalogError(f"{path} has a tree that holds itself: write .h5")
        count += items[event.anchor] if isinstance(event, yaml.AliasEvent) else 1
        if count > _MOST_ITEMS:
            raise CatalogError(f"{path} has a tree of more than {_MOST_ITEMS} items: write .h5")
        if isinstance(event, yaml.CollectionStartEvent):
            array = "ndarray" in (event.tag or "")
            is_mapping = isinstance(event, yaml.MappingStartEvent)
            levels.append(_Level(event.anchor, count - 1, is_mapping, array))
            if len(levels) > _DEEPEST:
                raise CatalogError(f"{path} has a tree deeper than {_DEEPEST} levels: write .h5")
        elif isinstance(event, yaml.ScalarEvent):
            if event.anchor is not None:
                items[event.anchor] = 1
            outside = key == "source" and levels[-1].is_array and not _is_number(value)
            if outside or key == "$ref":
                raise CatalogError(
                    f"{path} refers to {value[:60]!r}, and truez follows no references: write the "
                    "arrays themselves into one file"
                )


def _is_number(text: str) -> bool:
    return text.lstrip("+-").isdecimal()


def _check_blocks(file: BinaryIO, path: Path, held: int) -> None:
    """Follow the blocks of a file and compare what they state with what it holds."""
    unpacked = 0
    while file.read(len(_BLOCK)) == _BLOCK:
        (length,) = struct.unpack(">H", file.read(2).ljust(2, b"\0"))
        content = file.read(length)
        if len(content) < _FIELDS.size:
            break
        flags, compression, allocated, used, size = _FIELDS.unpack_from(content)
        if flags & 1:  # streamed: up to the end of the file
            return
        end = file.tell() + max(allocated, used)
        if end > held:
            raise CatalogError(
                f"{path} cannot be read as ASDF: it is cut off, as its blocks state "
                f"{in_words(end)} and it holds {in_words(held)}: copy or write it again"
            )
        if compression.strip(b"\0"):
            unpacked += size
            check_expansion(path, unpacked, held)
            check_room(path, unpacked)
        file.seek(end)
