"""A FITS file, opened when its headers state no more than it holds; .fits.gz is unpacked whole."""

from __future__ import annotations

import gzip
import io
import math
import warnings
from pathlib import Path
from typing import Any, BinaryIO

from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from truez.catalogs.formats._base import CatalogError, starts_with
from truez.catalogs.formats._sizes import (
    MOST_EXPANSION,
    READING,
    SMALL,
    check_expansion,
    check_room,
)
from truez.support.memory import in_words

BLOCK = 2880
_CARD = 80
#: Bytes of the longest header, of more than 300,000 keywords.
_LONGEST_HEADER = 2**25
_PIECE = 2**22
_GZIP = b"\x1f\x8b"


def opened(path: Path) -> Any:
    """The HDUs of a file, memory-mapped, or those of a packed one from memory.

    Raises
    ------
    CatalogError
        If it is no FITS file, is shorter than its headers say, or unpacks to too much.
    """
    if not starts_with(path, b"SIMPLE  =", _GZIP):
        raise CatalogError(f"{path} is not a FITS file")
    packed = starts_with(path, _GZIP)
    with path.open("rb") as file:
        content = _unpacked(file, path) if packed else None
        if not packed:
            _check_sizes(file, path)
    with warnings.catch_warnings():
        # Errors in the file are raised in one sentence.
        warnings.simplefilter("ignore", AstropyWarning)
        return fits.open(path if content is None else content, memmap=content is None)


def _check_sizes(file: BinaryIO, path: Path) -> None:
    """Follow the headers of a file to its end."""
    size = file.seek(0, 2)
    end = 0
    while end < size:
        file.seek(end)
        header = _header(file, path, first=end == 0)
        if not header:
            return
        data = _data_size(header)
        if end + len(header) + data > size:
            raise _cut(path, end + len(header) + data, size)
        end += len(header) + data + -data % BLOCK


def _unpacked(file: BinaryIO, path: Path) -> io.BytesIO:
    """The content of a packed file, as far as its headers lead."""
    held = path.stat().st_size
    content = io.BytesIO()
    with gzip.open(file) as unpacked:
        while header := _header(unpacked, path, first=content.tell() == 0):
            content.write(header)
            data = _data_size(header)
            check_expansion(path, content.tell() + data, held)
            check_room(path, READING * (content.tell() + data))
            end = content.tell() + data
            padded = end + -data % BLOCK
            while piece := unpacked.read(min(_PIECE, padded - content.tell())):
                content.write(piece)
            if content.tell() < end:
                raise _cut(path, end, content.tell())
        # What follows the last table is read for the checksum of the file, but not without end.
        rest = max(SMALL, MOST_EXPANSION * held) - content.tell()
        while rest > 0 and (piece := unpacked.read(_PIECE)):
            rest -= len(piece)
    content.seek(0)
    return content


def _cut(path: Path, stated: int, size: int) -> CatalogError:
    return CatalogError(
        f"{path} cannot be read as FITS: it is cut off, as its headers state {in_words(stated)} "
        f"and it holds {in_words(size)}: copy or write it again"
    )


def _header(file: Any, path: Path, *, first: bool) -> bytes:
    """The next header, whole blocks; empty where the file ends or what follows is none."""
    blocks = bytearray()
    while len(blocks) < _LONGEST_HEADER:
        block = file.read(BLOCK)
        if not blocks and not block.startswith(b"SIMPLE  =" if first else b"XTENSION="):
            return b""
        blocks += block
        if len(block) < BLOCK:
            break
        if any(block[at : at + 8] == b"END     " for at in range(0, BLOCK, _CARD)):
            return bytes(blocks)
    raise CatalogError(
        f"{path} cannot be read as FITS: it is cut off or damaged in a header: copy or write it "
        "again"
    )


def _data_size(header: bytes) -> int:
    """Bytes of the data that a header states, 0 where it does not say."""
    wanted = {b"BITPIX": 8, b"NAXIS": 0, b"PCOUNT": 0, b"GCOUNT": 1}
    axes: dict[int, int] = {}
    for at in range(0, len(header), _CARD):
        key, text = header[at : at + 8].strip(), header[at + 9 : at + _CARD].split(b"/")[0]
        if key in wanted or (key.startswith(b"NAXIS") and key[5:].isdigit()):
            try:
                value = int(text)
            except ValueError:
                continue
            if key in wanted:
                wanted[key] = value
            else:
                axes[int(key[5:])] = value
    sides = [axes.get(axis + 1, 0) for axis in range(min(max(wanted[b"NAXIS"], 0), 999))]
    if not sides or min(sides) < 0:
        return 0
    size = abs(wanted[b"BITPIX"]) // 8 * wanted[b"GCOUNT"]
    return max(size * (max(wanted[b"PCOUNT"], 0) + math.prod(sides)), 0)
