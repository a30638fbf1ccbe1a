"""Gravity on a mesh.

The particles are painted (CIC), the potential of the overdensity is computed in Fourier space, in
the same memory, and its gradient is read at the particles by differences of neighbouring cells, so
that a step takes one transform, its inverse, and one mesh. With the same cloud for painting and
reading, and odd differences, there is no net force: momentum is conserved.

The gradient of the potential is the inverse-square force ``-grad del^-2 delta``, except that its
direction is that of the differences D and not of the wavevector k: the potential ``u`` minimises
``|D u - k delta / k^2|`` for each mode (Hockney & Eastwood 1988), ``u = delta (D k) / (D^2 k^2)``.
The component along k, by which modes grow, then has a relative error of the square of the angle
between D and k, which is at most 0.0006 at a quarter of the Nyquist wavenumber of the mesh and
0.033 at half of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.fourier import (
    array_of,
    convolve_,
    difference_vectors,
    resampler_window,
    wavevectors,
)
from truez.mesh.painting import add_gradient, paint

#: Cutoff of the force along each axis, in Nyquist wavenumbers of the particles' lattice. While the
#: particles are near the lattice, each of their modes has images around twice the Nyquist
#: wavenumber; a force on those makes modes grow too fast. Growth from z = 9 to 0.59 at half the
#: Nyquist wavenumber, with a force mesh twice as fine: 50% too much without a cutoff, 0.7% too
#: little with this one, 1.4% too little with 1.2 and below.
CUTOFF = 1.35


def kick(
    momenta: Tensor, positions: Tensor, box: Box, mesh: Box, factor: float, room: Tensor
) -> None:
    """Add ``factor`` times the force [Mpc/h] of all particles on each to its momentum, in place.

    The force is ``-grad del^-2 delta``; in linear theory it is the displacement from the lattice.
    It is divided by the window of both clouds, and cut off at `CUTOFF`.

    Parameters
    ----------
    momenta, positions : Tensor (n, 3)
        Momenta and positions [Mpc/h] of particles of equal mass.
    box : Box
        The box with the initial lattice of the particles.
    mesh : Box
        The box with the mesh of the force.
    factor : float
    room : Tensor (nx, ny, nz)
        Work space, a `truez.mesh.fourier.roomy_mesh` of the force.
    """
    paint(positions, mesh, device=positions.device, out=room)
    convolve_(room, _kernel(box, mesh, len(positions), positions.device))
    add_gradient(room, mesh, positions, momenta, factor=factor)


def _kernel(box: Box, mesh: Box, number: int, device: torch.device | str) -> Callable[[slice], Any]:
    """Kernel that turns modes of the counts of ``number`` particles into those of the potential."""
    waves = wavevectors(mesh, device=device)
    differences = difference_vectors(mesh, device=device)
    tapers = [
        torch.exp(-((k * spacing / (math.pi * CUTOFF)) ** 8))
        / resampler_window(k, cell, "cic") ** 2
        for k, cell, spacing in zip(waves, mesh.cellsize, box.cellsize, strict=True)
    ]
    tapers[0] *= mesh.num_cells / number
    dots = [array_of(k * d) for k, d in zip(waves, differences, strict=True)]
    k_squares, d_squares = ([array_of(v**2) for v in vs] for vs in (waves, differences))
    taper = [array_of(t) for t in tapers]

    def kernel(rows: slice) -> Any:
        def sum_of(terms: list[Any]) -> Any:
            return terms[0] + (terms[1][:, rows] + terms[2])

        squares = sum_of(k_squares) * sum_of(d_squares)
        squares[squares == 0] = math.inf  # the mean, and waves without a difference
        result = sum_of(dots) / squares
        result *= taper[0]
        result *= taper[1][:, rows] * taper[2]
        return result

    return kernel
