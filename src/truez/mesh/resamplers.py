"""Resamplers: how a galaxy is shared between the mesh nodes near it.

To add one, write a function like those below and put it into `RESAMPLERS`. It has to be a cardinal
B-spline (a top hat convolved with itself), whose window is a power of sinc: `truez.mesh.fourier`
takes window and shot noise from the number of its nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def ngp(t: Any) -> tuple[Any, ...]:
    """Nearest grid point: the whole galaxy in the cell that it lies in."""
    return (0.0 * t + 1.0,)


def cic(t: Any) -> tuple[Any, ...]:
    """Cloud in cell: shared linearly by the two nearest cell centres."""
    return 1.0 - t, t


def tsc(t: Any) -> tuple[Any, ...]:
    """Triangular-shaped cloud: shared by the three nearest cell centres."""
    return 0.5 * (1.0 - t) ** 2, 0.75 - (t - 0.5) ** 2, 0.5 * t**2


#: The resamplers. One is a function that returns the weights of p neighbouring nodes, of numbers or
#: of tensors; the first is the cell ``floor(g)`` and its argument is ``t = g - floor(g)``, for the
#: coordinate ``g = x / cellsize - (p - 1) / 2``. The number p of nodes identifies a resampler.
RESAMPLERS: dict[str, Callable[[Any], tuple[Any, ...]]] = {"ngp": ngp, "cic": cic, "tsc": tsc}


def order_of(resampler: str) -> int:
    """Nodes per axis that a resampler shares a galaxy between."""
    return len(RESAMPLERS[resampler](0.5))


def shares(resampler: str, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of galaxies that go to their own cell and to its neighbours along an axis.

    Parameters
    ----------
    resampler : str
        A name in `RESAMPLERS`.
    places : (n,) array
        Where in their cells the galaxies are, from 0 to 1.

    Returns
    -------
    array (n, 2 (p // 2) + 1)
        For p nodes, from p // 2 cells below to as many above; rows sum to 1.
    """
    nodes = order_of(resampler)
    reach = nodes // 2
    place = places - (nodes - 1) / 2
    first = np.floor(place)
    result = np.zeros((len(places), 2 * reach + 1))
    rows = np.arange(len(places))
    for node, weight in enumerate(RESAMPLERS[resampler](place - first)):
        result[rows, first.astype(np.int64) + node + reach] = weight
    return result


def gathered(parts: NDArray[np.float64], axis: int, shares_axis: int = -1) -> NDArray[np.float64]:
    """What each cell of a closed axis receives from itself and its neighbours.

    Parameters
    ----------
    parts : array
        What each cell gives to the cells around it.
    axis : int
        Of the cells.
    shares_axis : int
        Of what goes to each of them, as in `shares`; the result is without it.

    Returns
    -------
    array
        What leaves the axis at an end is in the cell at that end.
    """
    moved = np.moveaxis(parts, (axis, shares_axis), (0, -1))
    reach, num = moved.shape[-1] // 2, len(moved)
    result = np.zeros(moved.shape[:-1])
    for node in range(2 * reach + 1):
        np.add.at(result, np.clip(np.arange(num) + node - reach, 0, num - 1), moved[..., node])
    return np.moveaxis(result, 0, axis)
