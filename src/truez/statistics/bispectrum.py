"""The equilateral bispectrum of a field, from Fourier transforms.

    B(k) = V^2 <Re(f_1 f_2 f_3)>,   k_1 + k_2 + k_3 = 0, all three in the same bin of k

averaged over the triangles of a bin. With D(x) the field of the modes of the bin alone, the sum
over triangles is the mean of D^3 over the cells (Scoccimarro 2000, arXiv:astro-ph/0004086), and
their number that of the field whose modes are all 1. Shot noise is contained, as in the power.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import hermitian_weights, irfft, wavevectors
from truez.statistics.binning import check_edges, squared_edges
from truez.statistics.pairs import field_modes
from truez.statistics.results import Counts, Floats, Result


@dataclass(frozen=True, eq=False, repr=False)
class Bispectrum(Result):
    """An equilateral bispectrum, shape (n,) each; nan in bins without triangles."""

    #: Bin edges (n + 1,) [h/Mpc]; each bin includes its lower and excludes its upper.
    edges: Floats
    #: Mean wavenumber of the modes in each bin [h/Mpc].
    k: Floats
    #: Number of triangles, each counted in all orders of its sides.
    ntriangles: Counts
    #: The bispectrum, shot noise included [(Mpc/h)^6].
    bispectrum: Floats


def bispectrum(field: Field, *, edges: ArrayLike) -> Bispectrum:
    """Equilateral bispectrum of a field, as if its box were periodic.

    Parameters
    ----------
    field : Field
    edges : array
        Bin edges of k [h/Mpc], up to two thirds of the Nyquist wavenumber: beyond, triangles close
        with an alias.

    Raises
    ------
    ValueError
        If edges do not rise or reach beyond.

    Examples
    --------
    >>> import numpy as np
    >>> import truez
    >>> from truez.statistics.bispectrum import bispectrum
    >>> box = truez.Box(64, cellsize=4)
    >>> field = truez.Field(np.random.default_rng(1).normal(size=box.meshsize), box)
    >>> bispectrum(field, edges=[0.1, 0.2, 0.4]).ntriangles
    array([  192, 15456])
    """
    box, bins = field.box, check_edges(edges)
    if bins[-1] > 2 * box.nyquist / 3 * (1 + 1e-9):
        raise ValueError(
            f"edges must not reach beyond two thirds of the Nyquist wavenumber, "
            f"{2 * box.nyquist / 3:.4g} h/Mpc, as {bins[-1]:g} does"
        )
    modes, scale = field_modes(field, "field")
    k, triangles = _triangles(box, tuple(bins.tolist()))
    found = np.full(len(k), np.nan)
    for row, inside in enumerate(_shells(box, bins)):
        if triangles[row]:
            total = _cubed(torch.where(inside.to(modes.device), modes, 0), box)
            found[row] = total * scale**3 * box.volume**2 / triangles[row]
    return Bispectrum(bins, k, triangles, found)


@lru_cache(maxsize=8)
def _triangles(box: Box, edges: tuple[float, ...]) -> tuple[Floats, Counts]:
    """Mean wavenumber and number of triangles of each bin."""
    bins, weights = np.array(edges), hermitian_weights(box.meshsize[2])
    k, triangles = np.full(len(bins) - 1, np.nan), np.zeros(len(bins) - 1, np.int64)
    length = _square(box).sqrt()
    for row, inside in enumerate(_shells(box, bins)):
        share = inside * weights
        if bool(inside.any()):
            k[row] = float((length * share).sum() / share.sum())
            triangles[row] = round(_cubed(inside.to(torch.complex128), box))
    return k, triangles


def _shells(box: Box, bins: Floats) -> Iterator[Tensor]:
    """Which modes of the half mesh are in each bin."""
    square, limits = _square(box), squared_edges(bins)
    for low, high in pairwise(limits[:-1]):
        inside = (square >= low) & (square < high)
        inside[0, 0, 0] = False
        yield inside


def _square(box: Box) -> Tensor:
    """k^2 of the half mesh, float64."""
    kx, ky, kz = wavevectors(box, dtype=torch.float64)
    return kx**2 + ky**2 + kz**2


def _cubed(modes: Tensor, box: Box) -> float:
    """Mean of the cube of the mesh of modes, in float64."""
    mesh = irfft(modes, box.meshsize)
    return math.fsum(float(plane.double().pow(3).sum()) for plane in mesh) / box.num_cells
