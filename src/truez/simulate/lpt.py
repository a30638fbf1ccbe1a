"""Lagrangian perturbation theory: particles of a lattice, moved to first or second order.

A particle that starts at q is found at ``x = q + D s1(q) + D2 s2(q)``, with the linear growth
factor D and the second-order one D2 (Bouchet et al. 1995). The
displacements are ``s1 = -grad phi1`` and ``s2 = grad phi2``, with the potentials

    del^2 phi1 = delta
    del^2 phi2 = sum_{i<j} (phi1,ii phi1,jj - phi1,ij^2)

where delta is the linear overdensity at z = 0.
The lattice point i of an axis lies at ``lower + i * spacing``, so that lattices of any spacing
sample the same universe.

At the peak 14 real meshes of the lattice are alive, the modes that are given and the positions and
velocities that are returned among them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from truez.box import Box
from truez.cosmology import Cosmology
from truez.simulate.gravity import (
    gradient_vectors,
    gradients,
    inverse_laplacian,
    to_mesh,
    to_modes,
)


def lattice(box: Box, device: torch.device | str = "cpu") -> Tensor:
    """Positions of the lattice [Mpc/h], shape (nx, ny, nz, 3): the lower corners of the cells."""
    points = torch.empty((*box.meshsize, 3), device=device)
    for axis, (n, cell) in enumerate(zip(box.meshsize, box.cellsize, strict=True)):
        shape = [1, 1, 1]
        shape[axis] = n
        steps = torch.arange(n, device=device, dtype=torch.float64)
        points[..., axis] = (box.lower[axis] + cell * steps).reshape(shape)
    return points


def lpt_particles(
    modes: Tensor,
    box: Box,
    cosmology: Cosmology,
    redshift: float,
    *,
    order: int = 2,
) -> tuple[Tensor, Tensor]:
    """Particles of Lagrangian perturbation theory at a redshift.

    Parameters
    ----------
    modes : Tensor (nx, ny, nz // 2 + 1)
        Modes of the linear overdensity at z = 0, such as those of `gaussian_modes`. Not changed.
    box : Box
        A periodic box; its cells are those of the lattice, one particle each.
    cosmology : Cosmology
        Gives growth and expansion.
    redshift : float
        Of the particles.
    order : {1, 2}
        1 is Zel'dovich's approximation.

    Returns
    -------
    positions : Tensor (n, 3)
        float32 [Mpc/h], not wrapped: those that left the box stay beyond its faces.
    velocities : Tensor (n, 3)
        Peculiar velocities, float32 [km/s].

    Raises
    ------
    ValueError
        If order is neither 1 nor 2.
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, not {order!r}")
    # 1/(aH) turns km/s into Mpc/h, so its inverse is aH in km/s per Mpc/h.
    rate = 1 / cosmology.distance_per_velocity(redshift)
    growth = cosmology.growth_factor(redshift)
    positions = lattice(box, modes.device)
    velocities = torch.zeros_like(positions)
    potential = inverse_laplacian(modes.clone(), box)
    for axis, shift in gradients(potential, box):
        positions[..., axis].add_(shift, alpha=growth)
        velocities[..., axis].add_(shift, alpha=rate * growth * cosmology.growth_rate(redshift))
        del shift  # before the next one is made
    if order == 2:
        potential = inverse_laplacian(_second_source(potential, box), box)
        # The gradient of -del^-2 has the opposite sign of the second order's.
        growth = -cosmology.second_growth_factor(redshift)
        slope = rate * growth * cosmology.second_growth_rate(redshift)
        for axis, shift in gradients(potential, box):
            positions[..., axis].add_(shift, alpha=growth)
            velocities[..., axis].add_(shift, alpha=slope)
    return positions.reshape(-1, 3), velocities.reshape(-1, 3)


def _second_source(potential: Tensor, box: Box) -> Tensor:
    """Modes of ``sum_{i<j} (phi,ii phi,jj - phi,ij^2)``, of the modes of -phi."""
    k = gradient_vectors(box, potential.device)

    def second(i: int, j: int) -> Tensor:
        return to_mesh(potential * (k[i] * k[j]), box.meshsize)

    total = second(0, 0)
    other = second(1, 1)
    source = total * other
    total += other
    del other
    source.addcmul_(total, second(2, 2))
    del total
    for i, j in ((0, 1), (0, 2), (1, 2)):
        source.sub_(second(i, j).square_())
    return to_modes(source)
