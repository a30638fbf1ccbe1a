"""Arrays that wait until they are needed again: in memory, or in a temporary file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.support.disk import check_disk
from truez.support.files import system_errors
from truez.support.temporaries import new_temporary, remove, remove_partial, temporaries


def is_range(rows: NDArray[np.int64]) -> bool:
    """Whether rows, of which there is one at least, are one behind the other."""
    return bool(rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all())


class SpilledRows:
    """Rows of numbers in single precision, which are written once and read at random.

    Parameters
    ----------
    num, width : int
        Rows, and numbers in each.
    file : open file, optional
        With room for them from ``start`` [bytes] on; in memory by default.
    start : int
    """

    def __init__(self, num: int, width: int, file: Any = None, start: int = 0) -> None:
        self.shape = (num, width)
        self._file, self._start = file, start
        self._values = np.empty(self.shape if file is None else (0, width), np.float32)

    @property
    def in_memory(self) -> bool:
        """Whether they are there, and not in a file."""
        return self._file is None

    def write(self, first: int, values: NDArray[np.float32]) -> None:
        """Write rows from one on."""
        if self._file is None:
            self._values[first : first + len(values)] = values
            return
        rest = np.ascontiguousarray(values, np.float32).data.cast("B")
        place = self._start + first * self._row
        with system_errors():
            while len(rest):
                done = os.pwrite(self._file.fileno(), rest, place)
                rest, place = rest[done:], place + done

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows (n,), in their order, shape (n, width)."""
        if self._file is None:
            ranged = len(rows) and is_range(rows)
            return self._values[rows[0] : rows[-1] + 1] if ranged else self._values[rows]
        result = np.empty((len(rows), self.shape[1]), np.float32)
        bytes_of = result.data.cast("B")
        # Rows one behind the other are read together.
        firsts = np.concatenate([[0], np.flatnonzero(np.diff(rows) != 1) + 1, [len(rows)]])
        for first, end in zip(firsts[:-1].tolist(), firsts[1:].tolist(), strict=True):
            if first == end:
                continue
            place = self._start + int(rows[first]) * self._row
            part, row = bytes_of[first * self._row : end * self._row], 0
            while row < len(part):
                found = os.pread(self._file.fileno(), len(part) - row, place + row)
                if not found:
                    raise OSError(f"{self._file.name} was cut off while it was in use")
                part[row : row + len(found)] = found
                row += len(found)
        return result

    @property
    def _row(self) -> int:
        """Bytes of a row."""
        return 4 * self.shape[1]


class Spill:
    """Arrays by number, which are there until they are taken, and rows that are read at random.

    Parts of a flat array can be read before it is taken.

    Parameters
    ----------
    path : Path, optional
        File to write them to; they stay in memory by default.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._file = None if path is None else path.open("x+b")
        self._kept: dict[int, Any] = {}
        self._num = 0
        #: End of what stays in the file until it is closed [bytes].
        self._held = 0

    def rows(self, num: int, width: int, *, in_memory: bool = False) -> SpilledRows:
        """Room for rows of numbers in single precision, until the spill is closed.

        Parameters
        ----------
        num, width : int
            Rows, and numbers in each.
        in_memory : bool
            Whether they are held in memory in any case.

        Raises
        ------
        ValueError
            If they do not fit on the disk.
        """
        if self._file is None or in_memory:
            return SpilledRows(num, width)
        check_disk(4.0 * num * width, self._file.name, more=", a temporary file,")
        start = self._file.seek(0, 2)
        with system_errors():
            self._held = self._file.truncate(start + 4 * num * width)
        return SpilledRows(num, width, self._file, start)

    def keep(self, values: NDArray[Any]) -> int:
        """Number by which an array can be taken again."""
        place: Any = values
        if self._file is not None:
            place = (self._file.seek(0, 2), values.shape, values.dtype)
            with system_errors():
                self._file.write(np.ascontiguousarray(values).data)
                self._file.flush()
        number, self._num = self._num, self._num + 1
        self._kept[number] = place
        return number

    def take(self, number: int) -> NDArray[Any]:
        """An array, which is kept no longer."""
        values = self.look(number)
        del self._kept[number]
        if self._file is not None and not self._kept:  # its room on the disk is given back
            self._file.seek(self._held)
            self._file.truncate()
        return values

    def look(self, number: int) -> NDArray[Any]:
        """An array that stays, and must not be changed."""
        place = self._kept[number]
        if self._file is None:
            return np.asarray(place)
        start, shape, dtype = place
        self._file.seek(start)
        return np.fromfile(self._file, dtype, int(np.prod(shape))).reshape(shape)

    def part(self, number: int, start: int, stop: int) -> NDArray[Any]:
        """Values of a flat array that is kept, from a place in it to another."""
        place = self._kept[number]
        if self._file is None:
            return np.asarray(place)[start:stop]
        first, _, dtype = place
        self._file.seek(first + start * dtype.itemsize)
        return np.fromfile(self._file, dtype, stop - start)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


@contextmanager
def spill_beside(target: Path) -> Iterator[Spill]:
    """A `Spill` in a temporary file beside a target, which is removed in the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_partial(target)
    path = new_temporary(target)
    try:
        spill = Spill(path)
        try:
            yield spill
        finally:
            spill.close()
    finally:
        remove(path)
        temporaries.discard(path)
