"""A check of the global heaps of an HDF5 file, which hold its text of any length.

The HDF5 library walks the objects of a heap by their sizes and never ends where a size is zero,
which a few damaged bytes bring about. Nothing in Python can interrupt it.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

#: The beginning of a heap: its signature, version 1 and reserved zeros; the size of it follows.
_SIGNATURE = b"GCOL\1\0\0\0"
_HEAD = struct.Struct("<8sQ")
#: Of an object: its number (0: free space), references, reserved, and size.
_OBJECT = struct.Struct("<HHIQ")
#: Of a text: its length, and the place of its object.
_REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("number", "<u4")])
#: Bytes of a file that are looked at, which takes milliseconds; heaps of attributes are written
#: before the values of the columns.
_SEARCHED = 2**23


def has_sound_heaps(path: Path) -> bool:
    """Whether the objects of each heap in the first 8 MB of a file fill it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        stop = min(len(data), _SEARCHED)
        start = data.find(_SIGNATURE, 0, stop)
        while start >= 0:
            if not _is_sound(data, start):
                return False
            start = data.find(_SIGNATURE, start + len(_SIGNATURE), stop)
    return True


def _is_sound(data: mmap.mmap, start: int) -> bool:
    if start + _HEAD.size > len(data):
        return False
    _, size = _HEAD.unpack_from(data, start)
    place, end = start + _HEAD.size, start + size
    if end > len(data):
        return False
    while place + _OBJECT.size <= end:
        number, _, _, length = _OBJECT.unpack_from(data, place)
        # The size of free space includes its header, and objects begin at multiples of 8 bytes.
        step = length if number == 0 else _OBJECT.size + length + -length % 8
        if not 0 < step <= end - place:
            return False
        place += step
    return True


def has_sound_texts(dataset: Any) -> bool:
    """Whether no text of a dataset states to be longer than the file.

    The library makes room for what is stated before it looks whether it is there. Datasets in
    compressed chunks are taken for sound.
    """
    if dataset.file.userblock_size:
        return True
    size = dataset.file.id.get_filesize()
    with Path(dataset.file.filename).open("rb") as file:
        for start, length in _stored(dataset):
            file.seek(start)
            found = np.frombuffer(file.read(length - length % _REFERENCE.itemsize), _REFERENCE)
            if len(found) and found["length"].max() > size:
                return False
    return True


def _stored(dataset: Any) -> Iterator[tuple[int, int]]:
    """Places and lengths in its file of the references to the text of a dataset."""
    if dataset.id.get_create_plist().get_nfilters():
        return
    if dataset.chunks is None:
        start = dataset.id.get_offset()
        length = dataset.id.get_storage_size()
        if start is not None and length == _REFERENCE.itemsize * dataset.size:
            yield start, length
        return
    found: list[tuple[int, int]] = []
    dataset.id.chunk_iter(lambda chunk: found.append((chunk.byte_offset, chunk.size)))
    yield from found
