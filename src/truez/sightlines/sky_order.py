"""Galaxies ordered by cells of the sky, so that the neighbours of each are in the cells around it.

`truez.sightlines.own_place` takes them in parts, blocks of cells with the cells around them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truez.mesh.box import Box

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """Galaxies that are worked on together.

    Parameters
    ----------
    rows : (m,) ints
    places : (m, 2) array
        On the sky, without a seam.
    wanted : (m,) bools
        The others are neighbours only.
    starts : (num_x, num_y + 1) ints
        First row of each cell of the sky.
    """

    rows: Rows
    places: Array
    wanted: NDArray[np.bool_]
    starts: Rows | None = None

    @property
    def num_wanted(self) -> int:
        """How many are no mere neighbours."""
        return int(np.count_nonzero(self.wanted))


class SkyOrder:
    """Galaxies ordered by cells of the sky, which are as wide as the largest radius at least."""

    def __init__(self, places: Array, box: Box, radius: float) -> None:
        size = np.asarray(box.boxsize[:2])
        self.num = np.maximum(np.floor(size / radius), 1).astype(np.int64)
        # Where two neighbours would be one cell, the seam of a periodic box is closed.
        self.ring = box.periodic and bool((self.num >= 3).all())
        self.size = size
        local = places - np.asarray(box.lower[:2])
        if box.periodic:
            local %= size
        cell = np.floor(local * self.num / size).astype(np.int64)
        cell = cell.clip(0, self.num - 1)
        flat = cell[:, 0] * self.num[1] + cell[:, 1]
        self.order = np.argsort(flat, kind="stable")
        self.places = local[self.order]
        self.lower = np.asarray(box.lower[:2])
        counts = np.bincount(flat, minlength=int(self.num.prod()))
        self.starts = np.concatenate([[0], np.cumsum(counts)])

    def parts(self, size: int, chosen: Rows | None, *, alone: bool) -> list[Part]:
        """Blocks of cells with about ``size`` galaxies each and the cells around them.

        Not those around them, if galaxies are ``alone``.
        """
        wanted = np.ones(len(self.order), bool)
        if chosen is not None:
            wanted = np.isin(self.order, chosen)
        per_cell = max(len(self.order), 1) / float(self.num.prod())
        side = max(1, round(math.sqrt(size / per_cell)))
        nx, ny = (int(n) for n in self.num)
        corners = [(a, b) for a in range(0, nx, side) for b in range(0, ny, side)]
        made = (
            self._part(range(a, min(a + side, nx)), range(b, min(b + side, ny)), wanted, alone)
            for a, b in corners
        )
        return [part for part in made if part is not None]

    def _part(self, xs: range, ys: range, wanted: NDArray[np.bool_], alone: bool) -> Part | None:
        nx, ny = (int(n) for n in self.num)
        pieces: list[Rows] = []
        shifts: list[tuple[float, float]] = []
        counts = np.zeros((len(xs) + 2, len(ys) + 2), np.int64)
        around = (0, len(ys)) if alone else (-1, len(ys) + 1)
        columns = ys.start + np.arange(-1, len(ys) + 1)
        turns = columns // ny
        for i, cx in enumerate(range(xs.start - 1, xs.stop + 1)):
            outside = not (self.ring or 0 <= cx < nx)
            if outside or (alone and cx not in xs):
                continue
            # Cells of one x lie one behind the other, but for the seam of a periodic box.
            for turn in np.unique(turns):
                here = np.flatnonzero(turns == turn)
                here = here[(here > around[0]) & (here <= around[1])]
                if not len(here) or (turn and not self.ring):
                    continue
                flat = (cx % nx) * ny + columns[here[0]] - turn * ny
                edges = self.starts[flat : flat + len(here) + 1]
                counts[i, here] = np.diff(edges)
                pieces.append(np.arange(edges[0], edges[-1]))
                shifts.append(((cx // nx) * self.size[0], turn * self.size[1]))
        rows = np.concatenate(pieces) if pieces else np.zeros(0, np.int64)
        own = np.zeros(counts.shape, bool)
        own[1:-1, 1:-1] = True
        chosen = np.repeat(own.ravel(), counts.ravel()) & wanted[rows]
        if not chosen.any():
            return None
        number = [len(piece) for piece in pieces]
        places = self.places[rows] + np.repeat(shifts, number, axis=0) + self.lower
        starts = np.concatenate([[0], np.cumsum(counts.ravel())])
        grid = np.empty((len(xs) + 2, len(ys) + 3), np.int64)
        grid[:, :-1] = starts[:-1].reshape(counts.shape)
        grid[:, -1] = starts[(np.arange(len(xs) + 2) + 1) * counts.shape[1]]
        return Part(self.order[rows], places, chosen, grid)
