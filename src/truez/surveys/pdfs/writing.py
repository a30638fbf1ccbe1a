"""Files of p(z) that qp reads: an ensemble in HDF5, written a block of galaxies at a time.

=========  =========================================================================================
group
=========  =========================================================================================
``meta``   ``pdf_name`` (the layout), ``pdf_version``, and the grid that all galaxies share, (1, m)
``data``   the numbers of each galaxy, (galaxies, m), float32: `truez.surveys.pdfs.layouts`
``ancil``  other columns, (galaxies,), such as their names
=========  =========================================================================================

The metadata of truez are JSON in the attribute ``metadata``. Blocks of galaxies are compressed
(gzip). Galaxies come in order (`PdfWriter.append`), or in any (`PdfWriter.put`): these wait in a
temporary file beside the target, and are merged in the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.support.checks import shown
from truez.support.files import atomic_path, system_errors
from truez.support.hdf5 import created, finish
from truez.support.progress import Progress, silent
from truez.support.spill import Spill, spill_beside
from truez.surveys.pdfs.layouts import LAYOUTS, check_grid
from truez.surveys.pdfs.scattered import ScatteredRows
from truez.surveys.pdfs.table import PdfTable

#: qp takes the format of a file from its suffix.
SUFFIX = ".hdf5"
#: Bytes of the galaxies that are compressed together, and of those that are merged at a time.
_BLOCK, _MERGED = 2**20, 2**25

Array = NDArray[Any]


def check_suffix(path: str | Path) -> None:
    """Refuse a file name that qp would read as another format."""
    if Path(path).suffix != SUFFIX:
        raise ValueError(f"a file of p(z) must end in {SUFFIX}, for qp to read it, not be {path}")


class PdfWriter:
    """A file of p(z) that is being written; see `pdf_writer`.

    Parameters
    ----------
    file : h5py.File
    layout : str
        hist, interp, interp_irregular, quant, norm or mixmod.
    num : int
        Galaxies.
    grid : (m,) or (m + 1,) array, optional
        That all galaxies share.
    spill : Spill, optional
        Where galaxies wait that do not come in order; by default in memory.
    """

    def __init__(
        self, file: Any, layout: str, num: int, grid: ArrayLike | None = None,
        *, spill: Spill | None = None,
    ) -> None:  # fmt: skip
        shape = LAYOUTS.get(layout)
        if shape is None:
            raise ValueError(f"layout must be {', '.join(LAYOUTS)}, not {shown(layout)}")
        self._file, self._num, self._layout = file, num, shape
        self._spill, self._next = spill or Spill(), 0
        self._scattered: ScatteredRows | None = None
        meta = file.create_group("meta")
        meta["pdf_name"] = np.array([layout.encode()])
        meta["pdf_version"] = np.array([0])
        if shape.grid:
            values = np.ravel(np.asarray(grid, np.float64))
            check_grid(layout, values, len(values) - shape.more, "the file of p(z)")
            meta[shape.grid] = values[None, :]

    def append(
        self, columns: Mapping[str, ArrayLike], ancil: Mapping[str, Array] | None = None
    ) -> None:
        """Write the next galaxies.

        Parameters
        ----------
        columns : mapping of str to (k, m) arrays
            The numbers of the layout.
        ancil : mapping of str to (k,) arrays, optional
            Other columns, the same in every block; text as bytes of one length, see `text_bytes`.
        """
        numbers = self._checked(columns)
        rows = slice(self._next, self._next + len(next(iter(numbers.values()))))
        with system_errors():
            for name, values in numbers.items():
                self._data(name, values.shape[1])[rows] = values
            for name, column in (ancil or {}).items():
                self._ancil(name, column.dtype)[rows] = column
        self._next = rows.stop

    def put(self, rows: NDArray[np.int64], columns: Mapping[str, ArrayLike]) -> None:
        """Keep the numbers of some galaxies, in any order, until `merge`."""
        numbers = np.hstack([*self._checked(columns).values()])
        if self._scattered is None:
            self._scattered = ScatteredRows(numbers.shape[1], self._spill)
        self._scattered.put(rows, numbers)

    def merge(
        self, *, fill: ArrayLike = np.nan, width: int | None = None, progress: Progress = silent
    ) -> None:
        """Write all galaxies that `put` has.

        Parameters
        ----------
        fill : float or (m,) array
            Numbers of galaxies that it does not have.
        width : int, optional
            Numbers of a galaxy, where it may have none at all.
        progress : Progress
        """
        scattered = self._scattered or ScatteredRows(width or 1, self._spill)
        names, each = self._layout.columns, scattered.width // len(self._layout.columns)
        empty = np.broadcast_to(np.asarray(fill, np.float32), scattered.width)
        chunk = _chunk_rows(each)
        step = max(_MERGED // (4 * scattered.width) // chunk, 1) * chunk
        for start in range(0, self._num, step):
            progress("p(z)", start, self._num)
            block = scattered.read(start, min(start + step, self._num), fill=empty)
            parts = np.split(block, len(names), axis=1)
            self.append(dict(zip(names, parts, strict=True)))
        progress("p(z)", self._num, self._num)

    def add_ancil(self, columns: Mapping[str, Array]) -> None:
        """Write other columns (galaxies,) at once."""
        with system_errors():
            for name, values in columns.items():
                self._ancil(name, values.dtype)[:] = values

    def describe(self, metadata: Mapping[str, Any]) -> None:
        """Write plain values that say what made the file."""
        with system_errors():
            self._file.attrs["metadata"] = json.dumps(dict(metadata))

    def finish(self) -> None:
        """Write what the library still holds; nothing can follow."""
        if self._next != self._num:
            raise ValueError(f"p(z) of {self._next} galaxies came, of {self._num}")
        finish(self._file)

    def _checked(self, columns: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float32]]:
        """The numbers of the layout, (k, m) each."""
        if set(columns) != set(self._layout.columns):
            raise ValueError(
                f"columns must be {', '.join(self._layout.columns)}, not {', '.join(columns)}"
            )
        single = {name: np.asarray(columns[name], np.float32) for name in self._layout.columns}
        return {name: values.reshape(len(values), -1) for name, values in single.items()}

    def _data(self, name: str, width: int) -> Any:
        name = f"data/{name}"
        if name not in self._file:
            self._file.create_dataset(
                name, (self._num, width), np.float32,
                chunks=(min(_chunk_rows(width), self._num), width),
                compression="gzip", compression_opts=1, shuffle=True,
            )  # fmt: skip
        return self._file[name]

    def _ancil(self, name: str, kind: np.dtype[Any]) -> Any:
        name = f"ancil/{name}"
        if name not in self._file:
            self._file.create_dataset(name, (self._num,), kind)
        return self._file[name]


@contextmanager
def pdf_writer(
    path: str | Path, layout: str, num: int, grid: ArrayLike | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Iterator[PdfWriter]:  # fmt: skip
    """Write p(z) of galaxies, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in .hdf5, by which qp knows the format.
    layout : str
        hist, interp, interp_irregular, quant, norm or mixmod.
    num : int
        Galaxies.
    grid : (m,) or (m + 1,) array, optional
        That all galaxies share: ``bins``, ``xvals`` or ``quants``.
    metadata : mapping, optional
        Plain values that say what made the file.

    Raises
    ------
    ValueError
        If the suffix or the layout is another, or the grid does not ascend.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.surveys.pdfs.writing import pdf_writer
    >>> with pdf_writer("pz.hdf5", "norm", num=3) as writer:
    ...     writer.append({"loc": [0.5, 0.6], "scale": [0.02, 0.03]})
    ...     writer.append({"loc": [0.7], "scale": [0.02]})
    """
    check_suffix(path)
    target = Path(path)
    with atomic_path(target) as temporary, created(temporary) as file:
        with spill_beside(target) as spill:
            writer = PdfWriter(file, layout, num, grid, spill=spill)
            writer.describe(metadata or {})
            yield writer
        writer.finish()


def write_pdfs(
    path: str | Path, layout: str, columns: Mapping[str, ArrayLike],
    grid: ArrayLike | None = None, *, ancil: Mapping[str, ArrayLike] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write p(z) that are in memory.

    Parameters
    ----------
    path : str or Path
        Ends in .hdf5, by which qp knows the format.
    layout : str
        hist, interp, interp_irregular, quant, norm or mixmod.
    columns : mapping of str to (n, m) arrays
        Their numbers; see `truez.surveys.pdfs.layouts`.
    grid : (m,) or (m + 1,) array, optional
        That all galaxies share.
    ancil : mapping of str to (n,) arrays, optional
        Other columns, such as ``object_id``.
    metadata : mapping, optional
        Plain values that say what made the file.

    Raises
    ------
    ValueError
        If the suffix is another, or numbers do not fit the layout or each other.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from truez.surveys.pdfs import read_pdfs, write_pdfs
    >>> write_pdfs("pz.hdf5", "norm", {"loc": [0.5, 0.7], "scale": [0.1, 0.1]},
    ...            ancil={"object_id": [7, 8]})
    >>> read_pdfs("pz.hdf5").probability(None, [0.4, 0.5, 0.6]).round(4)
    array([[0.3413, 0.3413],
           [0.0214, 0.1359]])
    """
    check_suffix(path)
    num = PdfTable.of_arrays(layout, dict(columns), grid).num  # which checks them
    others = {name: text_bytes(np.asarray(values)) for name, values in (ancil or {}).items()}
    for name, values in others.items():
        if values.shape != (num,):
            raise ValueError(
                f"ancil column {name!r} has shape {values.shape}, but there are p(z) of {num} "
                "galaxies: give one value for each"
            )
    with pdf_writer(path, layout, num, grid, metadata) as writer:
        writer.append(columns, others)


def text_bytes(values: Array, length: int = 0) -> Array:
    """Text as UTF-8 of a fixed length, as qp has it; other values as they are.

    Parameters
    ----------
    values : (n,) array
    length : int
        Characters of the longest text, where that is in another block.
    """
    if values.dtype.kind != "U":
        return values
    encoded: Array = np.char.encode(values, "utf-8")
    return encoded.astype(f"S{max(4 * length, encoded.dtype.itemsize)}")


def _chunk_rows(width: int) -> int:
    """Galaxies that are compressed together."""
    return max(1, _BLOCK // (4 * width))
