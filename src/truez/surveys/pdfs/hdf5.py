"""Files of qp in HDF5: groups ``meta`` and ``data``, and ``ancil`` for other columns.

The groups lie at the top of the file, or in the group that ``pz.hdf5#GROUP`` chooses. Only what is
asked for is read, and nothing that lies in other files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from truez.catalogs.formats._hdf5_heap import has_sound_heaps, has_sound_texts
from truez.catalogs.formats._hdf5_links import own_item
from truez.support.memory import check_memory
from truez.surveys.pdfs.forms import Form
from truez.surveys.pdfs.layouts import LAYOUTS, Array, PdfError, check_grid, form_of
from truez.surveys.pdfs.sources import Ranges, block_rows, check_shapes

#: Bytes in memory for each byte of a file, more than which no compression reaches.
_MOST_EXPANSION = 1100
#: Numbers of a grid at most.
_MOST_NODES = 1_000_000
#: Numbers of a block at most, where chunks are large.
_MOST_BLOCK = 2**25
_REMEDY = "copy or write it again"


@dataclass(frozen=True, eq=False)
class Hdf5Pdfs(Ranges):
    """p(z) of one file.

    Parameters
    ----------
    path : Path
    group : str
        That holds ``meta`` and ``data``; empty for the file itself.
    layout : str
        Of `truez.surveys.pdfs.layouts.LAYOUTS`.
    num, width : int
        Galaxies, and numbers of each of them in a column.
    grid : array or None
        That all galaxies share.
    chunk : int
        Galaxies that the file holds compressed together.
    """

    path: Path
    group: str
    layout: str
    num: int
    width: int
    grid: Array | None
    chunk: int = 1

    @property
    def block(self) -> int:
        """See `truez.surveys.pdfs.sources.Source`; no chunk is unpacked twice if it is not huge."""
        rows, most = block_rows(self.width), max(_MOST_BLOCK // self.width, 1)
        chunk = self.chunk if self.chunk <= most else 1
        return max(rows // chunk, 1) * chunk

    def read(self, start: int, stop: int) -> Form:
        """See `truez.surveys.pdfs.sources.Source`."""
        with _reading(self.path) as file:
            columns = {
                name: _dataset(file, self.path, f"{self.group}/data/{name}")[start:stop]
                for name in LAYOUTS[self.layout].columns
            }
        return form_of(self.layout, self.grid, columns)


def layout_of_hdf5(path: Path, group: str = "") -> str:
    """Name of the layout of a file, whether it is one that truez reads or not.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    PdfError
        If it is none of p(z).
    """
    with _reading(path) as file:
        if not has_sound_heaps(path):
            raise ValueError("text of a size that does not fit")
        name = np.asarray(_small(file, path, f"{group}/meta/pdf_name", kinds="SO")).ravel()
    if len(name) != 1 or not isinstance(name[0], bytes | str):
        raise PdfError(f"{path} has no name of a layout in meta/pdf_name: {_REMEDY}")
    text = name[0].decode("ascii", "replace") if isinstance(name[0], bytes) else name[0]
    return str(text).strip()[:40]


def open_hdf5(path: Path, group: str = "") -> Hdf5Pdfs:
    """The p(z) of a file in one of the layouts that truez reads.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    PdfError
        If it is damaged, or declares what does not fit together or more than it holds.
    """
    layout = layout_of_hdf5(path, group)
    shape = LAYOUTS[layout]
    with _reading(path) as file:
        data = {name: _dataset(file, path, f"{group}/data/{name}") for name in shape.columns}
        width = check_shapes({name: one.shape for name, one in data.items()}, str(path))
        for name, one in data.items():
            _check_stored(path, name, one)
        grid = None
        if shape.grid:
            values = _small(file, path, f"{group}/meta/{shape.grid}", kinds="fiu")
            grid = check_grid(layout, values, width, str(path))
        first = data[shape.columns[0]]
        chunk = first.chunks[0] if first.chunks else 1
        return Hdf5Pdfs(path, group, layout, len(first), width, grid, chunk)


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """Open a file, and convert whatever the library says of a damaged one."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of p(z) {path}")
    with path.open("rb") as start:  # no permission to read is an error of the system
        if start.read(8) != b"\x89HDF\r\n\x1a\n":
            raise PdfError(f"{path} is not an HDF5 file: {_REMEDY}, or rename it")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (PdfError, MemoryError):
        raise
    except Exception as error:  # h5py has many
        raise PdfError(f"{path} is cut off or damaged: {_REMEDY}") from error


def _dataset(file: Any, path: Path, name: str) -> Any:
    """A dataset of numbers that lies in this very file."""
    name = name.lstrip("/")
    item = own_item(file, name)
    if not isinstance(item, h5py.Dataset):
        raise PdfError(
            f"{path} has no dataset {name!r} of its own: choose a file that qp wrote, or the group "
            "in it as FILE#GROUP"
        )
    if item.is_virtual or item.external:
        raise PdfError(f"{path} has the values of {name!r} in other files: copy them into it")
    filters = item.id.get_create_plist()
    codes = [filters.get_filter(number)[0] for number in range(filters.get_nfilters())]
    if not all(map(h5py.h5z.filter_avail, codes)):
        raise PdfError(
            f"{path} has {name!r} compressed by a filter that is not installed here: write it with "
            "gzip"
        )
    return item


def _small(file: Any, path: Path, name: str, *, kinds: str) -> Any:
    """All values of a dataset that is no larger than a grid."""
    item = _dataset(file, path, name)
    sound = item.dtype.kind != "O" or has_sound_texts(item)
    usual = item.dtype.kind in kinds and item.dtype.itemsize <= 64 and item.size <= _MOST_NODES
    if not (sound and usual):
        raise PdfError(f"{path} has {name.lstrip('/')!r} of an unusual type or size: {_REMEDY}")
    return item[()]


def _check_stored(path: Path, name: str, data: Any) -> None:
    """Refuse what a file declares and cannot hold, or what cannot be read piece by piece."""
    if data.dtype.kind not in "fiu":
        raise PdfError(f"{path} has {name} that are no numbers: write them as floats")
    if not len(data):
        raise PdfError(f"{path} has no galaxies: give a file of p(z) that has some")
    declared = math.prod(data.shape) * data.dtype.itemsize
    if declared > _MOST_EXPANSION * path.stat().st_size:
        raise PdfError(
            f"{path} declares {len(data):.3g} galaxies, far more than it holds: {_REMEDY}"
        )
    chunk = math.prod(data.chunks or (0,)) * data.dtype.itemsize
    try:
        check_memory(2 * chunk, f"a chunk of {path}", "write it with smaller chunks")
    except ValueError as error:
        raise PdfError(str(error)) from None
