"""Lines of a text file: UTF-8 or UTF-16, with any line ends, in blocks of bounded size."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from truez.catalogs.formats._base import CatalogError

#: Bytes of the longest line: a longer one is no row of a table.
LONGEST_LINE = 2**22
_START = 2**16
# Tabs and carriage returns count as spaces in white-space tables.
_TO_SPACE = bytes.maketrans(b"\t\r", b"  ")
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
}


@dataclass(frozen=True)
class TextFile:
    """A text file as bytes of UTF-8 whose lines end with a newline.

    ``start`` is the offset of the first line [bytes], behind a byte-order mark. A file that is
    ``wide`` is UTF-16; where ``carriage_returns``, they alone end the lines.
    """

    path: Path
    start: int = 0
    wide: bool = False
    carriage_returns: bool = False

    @classmethod
    def opened(cls, path: Path) -> TextFile:
        """The file with the encoding and line ends that its first bytes show.

        Raises
        ------
        CatalogError
            If it is compressed, or no text.
        """
        with path.open("rb") as file:
            first = file.read(_START)
        for sign, name in _PACKED.items():
            if first.startswith(sign):
                raise CatalogError(f"{path} is compressed with {name}: unpack it first")
        if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            found = cls(path, wide=True)
            first = next(found._pieces(0, _START), b"")
        else:
            marked = first.startswith(codecs.BOM_UTF8)
            found = cls(path, len(codecs.BOM_UTF8) if marked else 0)
        if b"\0" in first:
            raise CatalogError(f"{path} is not a text file")
        lone = b"\r" in first.rstrip(b"\r") and b"\n" not in first
        return cls(path, found.start, found.wide, lone)

    def _pieces(self, skip: int, size: int) -> Iterator[bytes]:
        """The bytes behind the first ``skip``, in pieces of about ``size``."""
        decoder = codecs.getincrementaldecoder("utf-16")() if self.wide else None
        with self.path.open("rb") as file:
            if decoder is None:
                file.seek(skip)
            more = True
            while more:
                data = file.read(size)
                more = bool(data)
                if decoder is not None:
                    try:
                        data = decoder.decode(data, final=not more).encode()
                    except UnicodeError:
                        raise CatalogError(
                            f"{self.path} is damaged: it begins as UTF-16 and does not go on so"
                        ) from None
                    skip, data = max(skip - len(data), 0), data[skip:]
                if self.carriage_returns:
                    data = data.replace(b"\r", b"\n")
                yield data

    def blocks(self, skip: int, size: int) -> Iterator[bytes]:
        """Whole lines behind the first ``skip`` bytes, in blocks of about ``size`` bytes.

        Raises
        ------
        CatalogError
            For bytes that are no text, and for a line of more than `LONGEST_LINE` bytes.
        """
        rest = b""
        for piece in self._pieces(skip, size):
            if b"\0" in piece:
                raise CatalogError(f"{self.path} is not a text file: it holds bytes of value 0")
            end = piece.rfind(b"\n") + 1
            if end:
                yield rest + piece[:end]
                rest = piece[end:]
            else:
                rest += piece
            if len(rest) > LONGEST_LINE:
                raise CatalogError(
                    f"{self.path} is no table: it holds a line of more than "
                    f"{LONGEST_LINE // 2**20} MiB"
                )
        if rest:
            yield rest

    def lines(self, skip: int | None = None) -> Iterator[tuple[bytes, int]]:
        """Each line with the offset of its end [bytes], from the first line or from ``skip``."""
        end = self.start if skip is None else skip
        for block in self.blocks(end, _START):
            for line in io.BytesIO(block):
                end += len(line)
                yield line, end

    def number(self, wanted: bytes) -> tuple[int, bool]:
        """The number of the first line with the words of ``wanted``, from 1; if it is the last.

        Words are compared, as the rows of white-space tables lose repeated blanks.
        """
        words, found = wanted.split(), 0
        for number, (line, _) in enumerate(self.lines(), 1):
            if found and line.strip():
                return found, False
            if not found and line.split() == words:
                found = number
        return found, True


def text(line: bytes, path: Path, what: str) -> str:
    """A line as text; a CatalogError where it is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        shown = line.decode("latin-1").strip()[:40]
        raise CatalogError(
            f"{path} holds {what} that is not UTF-8, {shown!r}: save the file as UTF-8"
        ) from None


def single_spaces(block: bytes) -> bytes:
    """Lines without blanks at their ends and with one for each run; quoted blanks are kept."""
    # A space goes if a space or the end of the line follows: runs become one, trailing ones none.
    raw = characters = np.frombuffer(block, dtype=np.uint8)
    if b"\t" in block or b"\r" in block:
        characters = np.frombuffer(block.translate(_TO_SPACE), dtype=np.uint8)
    keep = np.ones(len(characters), dtype=np.bool_)
    following = characters[1:]
    keep[:-1] = (characters[:-1] != 32) | ((following != 32) & (following != 10))
    if b'"' in block:
        quoted = np.logical_xor.accumulate(raw == ord('"'))
        keep |= quoted
        characters = np.where(quoted, raw, characters)
    tidy = characters[keep].tobytes().replace(b"\n ", b"\n")
    return tidy.strip(b" ")
