"""What a column needs in memory, compared with the bytes of its file and with the memory there is.

A compressed file holds a number a million times in a few bytes, and a header can state any number
of rows. Positions of galaxies do not repeat, so a file that grows a hundredfold is no catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from truez.catalogs.formats._errors import CatalogError
from truez.support.memory import available_memory, in_words

if TYPE_CHECKING:
    from truez.catalogs.formats._base import Header

#: Columns of less than this are read whatever their file [bytes].
SMALL = 2**28
#: Bytes in memory for each byte of the file.
MOST_EXPANSION = 100
#: Bytes that reading takes for each byte of the columns: the columns, and one copy.
READING = 2


def check_expansion(path: Path, needed: int, held: int) -> None:
    """Refuse ``needed`` bytes of columns that come from ``held`` bytes of a file."""
    if needed > max(SMALL, MOST_EXPANSION * held):
        raise CatalogError(
            f"{path} unpacks to {in_words(needed)} from {in_words(held)}, which no catalogue of "
            "galaxies does: write it without compression if it is sound"
        )


def check_room(path: Path, needed: float) -> None:
    """Refuse to read what needs more memory than there is."""
    free = available_memory()
    if needed > free:
        raise CatalogError(
            f"reading {path} needs {in_words(needed)} of memory, and {in_words(free)} are free: "
            "read fewer columns, or a part of the catalogue"
        )


def check_text(name: str, num_rows: int, longest: int, held: int) -> None:
    """Refuse a column of text of which one is so long that the others cannot be as wide."""
    needed = 4 * longest * num_rows
    if needed > min(max(SMALL, MOST_EXPANSION * held), available_memory()):
        raise CatalogError(
            f"column {name!r} holds text of {longest} characters, which makes {num_rows} rows "
            f"{in_words(needed)}: leave that column out"
        )


def check_size(path: Path, header: Header, names: Sequence[str], rows: int, held: int) -> None:
    """Refuse columns that are too large for their file, or ``rows`` of them for the memory."""
    needed = sum(header.sizes.get(name, 0) for name in names)
    check_expansion(path, needed, held)
    total = max((header.lengths.get(name, 0) for name in names), default=0)
    check_room(path, READING * needed * min(rows / max(total, 1), 1.0))


def bytes_on_disk(path: Path) -> int:
    """Bytes of a file, or of the files of a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
