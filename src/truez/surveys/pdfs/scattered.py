"""Rows of numbers that come in any order and are read in that of the table.

The rows that come together are written one behind the other, as a piece. Rows of a piece ascend, so
that those of a range of the table lie one behind the other in each piece, and the table is read as
sorted files are merged: a range of rows in memory, and few and long reads. Zeros at both ends of a
row are not stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truez.support.spill import Spill

Rows = NDArray[np.int64]
Single = NDArray[np.float32]


class ScatteredRows:
    """Rows (width,) of a table that come in any order.

    Parameters
    ----------
    width : int
        Numbers of a row.
    spill : Spill
        Where they wait.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.support.spill import Spill
    >>> from truez.surveys.pdfs.scattered import ScatteredRows
    >>> rows = ScatteredRows(2, Spill())
    >>> rows.put(np.array([1, 3]), np.array([[0.0, 1.0], [3.0, 0.0]]))
    >>> rows.read(0, 3, fill=np.array([-1.0, -1.0])).tolist()
    [[-1.0, -1.0], [0.0, 1.0], [-1.0, -1.0]]
    """

    def __init__(self, width: int, spill: Spill) -> None:
        self.width, self._spill = width, spill
        self._pieces: list[_Piece] = []
        self._ends: list[tuple[int, int]] = []

    def put(self, rows: Rows, values: NDArray[np.floating]) -> None:
        """Keep the numbers (m, width) of some rows (m,), none of which has come before."""
        if not len(rows):
            return
        order = np.argsort(rows, kind="stable")
        if (np.diff(order) == 1).all():
            order = slice(None)  # type: ignore[assignment]
        single = np.asarray(values, np.float32)[order]
        filled = single != 0
        some = filled.any(1)
        first = np.where(some, filled.argmax(1), 0).astype(np.int32)
        stop = np.where(some, self.width - filled[:, ::-1].argmax(1), 0).astype(np.int32)
        number = self._spill.keep(single[_between(first, stop, self.width)])
        piece = _Piece(number, np.asarray(rows)[order].astype(np.int64), first, stop)
        self._pieces.append(piece)
        self._ends.append((int(piece.rows[0]), int(piece.rows[-1])))

    def read(self, start: int, stop: int, *, fill: NDArray[np.floating]) -> Single:
        """The rows of a range, (stop - start, width).

        Parameters
        ----------
        start, stop : int
        fill : (width,) array
            In place of rows that have not come.
        """
        result = np.empty((stop - start, self.width), np.float32)
        result[:] = fill
        ends = np.array(self._ends, np.int64).reshape(-1, 2)
        for number in np.flatnonzero((ends[:, 0] < stop) & (ends[:, 1] >= start)):
            piece = self._pieces[number]
            low, high = np.searchsorted(piece.rows, [start, stop])
            if low == high:
                continue
            places = np.concatenate([[0], np.cumsum(piece.stop - piece.first, dtype=np.int64)])
            flat = self._spill.part(piece.number, int(places[low]), int(places[high]))
            values = np.zeros((high - low, self.width), np.float32)
            values[_between(piece.first[low:high], piece.stop[low:high], self.width)] = flat
            result[piece.rows[low:high] - start] = values
        return result


@dataclass(frozen=True, eq=False)
class _Piece:
    """Rows that came together, and from where to where each is not 0."""

    number: int
    rows: Rows
    first: NDArray[np.int32]
    stop: NDArray[np.int32]


def _between(first: NDArray[np.int32], stop: NDArray[np.int32], width: int) -> NDArray[np.bool_]:
    """Which of the numbers of rows are from a place to another, (m, width)."""
    places = np.arange(width, dtype=np.int32)
    return np.asarray((places >= first[:, None]) & (places < stop[:, None]))
