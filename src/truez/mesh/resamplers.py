"""Resamplers: how a galaxy is shared between the mesh nodes near it.

To add one, write a function like those below and put it into `RESAMPLERS`. It has to be a cardinal
B-spline (a top hat convolved with itself), whose window is a power of sinc: `truez.mesh.fourier`
takes window and shot noise from the number of its nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
