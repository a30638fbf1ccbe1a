"""Galaxies painted on sight lines: shared across the sky, and in single cells along it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.painting import paint_chunks
from truez.mesh.resamplers import RESAMPLERS, order_of
from truez.surveys.photoz import wrap

#: Rows painted at a time.
_ROWS = 2**20


def paint_columns(
    positions: NDArray[np.floating[Any]],
    box: Box,
    resampler: str = "cic",
    *,
    power: int = 1,
    weights: NDArray[np.floating[Any]] | None = None,
) -> Field:
    """Galaxies per cell, shared by a resampler across the sky and not at all along it.

    Parameters
    ----------
    positions : (n, 3) array
        [Mpc/h]; never changed.
    box : Box
    resampler : {"ngp", "cic", "tsc"}
    power : int
        Weights across the sky are raised to it: 2 for the variance of a sum of galaxies.
    weights : (n,) array, optional
        Galaxies that each row counts for, raised to the power too.

    Returns
    -------
    Field
        Kind "counts".
    """
    chunks = _cells(positions, box, resampler, power, weights)
    field = paint_chunks(chunks, box, "ngp")
    return Field(field.values, box, "counts", {"painted": f"{resampler} across the sky"})


def _cells(
    positions: NDArray[np.floating[Any]],
    box: Box,
    resampler: str,
    power: int,
    weights: NDArray[np.floating[Any]] | None,
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For every sight line that a galaxy has a share in: the place on it, and the share."""
    nodes = range(order_of(resampler))
    for start in range(0, len(positions), _ROWS):
        rows = positions[start : start + _ROWS]
        own = 1.0 if weights is None else weights[start : start + _ROWS] ** power
        shares, centers = [], []
        for axis in (0, 1):
            cells, parts = sky_nodes(rows[:, axis], box, axis, resampler)
            shares.append([w**power for w in parts])
            centers.append([box.centers(axis)[cell] for cell in cells])
        for i, j in itertools.product(nodes, nodes):
            columns = (centers[0][i], centers[1][j], rows[:, 2])
            yield np.stack(columns, axis=1), shares[0][i] * shares[1][j] * own


def sky_nodes(
    x: NDArray[np.floating[Any]], box: Box, axis: int, resampler: str
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float64]]]:
    """Cells of one axis that a resampler shares galaxies between, and their weights.

    Where two are one cell, at a closed face, the first has the weight of both.
    """
    num, order = box.meshsize[axis], order_of(resampler)
    x = x.astype(np.float64)
    place = ((wrap(x, box, axis=axis) if box.periodic else x) - box.lower[axis]) * num
    place = place / box.boxsize[axis] - (order - 1) / 2
    first = np.floor(place)
    weights = list(RESAMPLERS[resampler](place - first))
    cells = [first.astype(np.int64) + step for step in range(order)]
    cells = [c % num if box.periodic else c.clip(0, num - 1) for c in cells]
    for later in range(1, order):
        for earlier in range(later):
            same = cells[earlier] == cells[later]
            weights[earlier] = np.where(same, weights[earlier] + weights[later], weights[earlier])
            weights[later] = np.where(same, 0.0, weights[later])
    return cells, weights
