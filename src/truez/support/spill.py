"""Arrays that wait until they are needed again: in memory, or in a temporary file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.support.files import system_errors
from truez.support.temporaries import new_temporary, remove, remove_partial, temporaries


class Spill:
    """Arrays by number, each of which is taken once; parts of one can be read as often as needed.

    Parameters
    ----------
    path : Path, optional
        File to write them to; they stay in memory by default.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._file = None if path is None else path.open("x+b")
        self._kept: dict[int, Any] = {}
        self._num = 0

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
        place = self._kept.pop(number)
        if self._file is None:
            return np.asarray(place)
        start, shape, dtype = place
        self._file.seek(start)
        values = np.fromfile(self._file, dtype, int(np.prod(shape)))
        if not self._kept:  # its room on the disk is given back
            self._file.seek(0)
            self._file.truncate()
        return values.reshape(shape)

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
