"""Lagrangian perturbation theory: displacements of lattice particles to first or second order.

A particle with the initial position q is at ``x = q + D s1(q) + D2 s2(q)``, with the linear growth
factor D and the second-order one D2 (Bouchet et al. 1995). The
displacements are ``s1 = -grad phi1`` and ``s2 = grad phi2``, with the potentials

    del^2 phi1 = delta
    del^2 phi2 = sum_{i<j} (phi1,ii phi1,jj - phi1,ij^2)

where delta is the linear overdensity at z = 0.
The lattice point i of an axis lies at ``lower + i * spacing``, so that lattices of any spacing
sample the same universe.

At the peak 9 real meshes of the lattice are in memory, with the modes that are given and the
positions and velocities that are returned.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from truez.cosmology import Cosmology
from truez.mesh.box import Box
from truez.mesh.fourier import array_of, in_parts, irfft_, rfft_, roomy_mesh, wavevectors


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
        Growth and expansion.
    redshift : float
        Redshift of the particles.
    order : {1, 2}
        1 is the Zel'dovich approximation.

    Returns
    -------
    positions : Tensor (n, 3)
        float32 [Mpc/h], not wrapped: particles that left the box stay beyond its faces.
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
    terms = [(modes, growth, growth * cosmology.growth_rate(redshift))]
    if order == 2:
        # The gradient of -del^-2 has the opposite sign of the second order's.
        growth = -cosmology.second_growth_factor(redshift)
        slope = growth * cosmology.second_growth_rate(redshift)
        terms.append((_second_source(modes, box), growth, slope))
    positions = lattice(box, modes.device)
    velocities = torch.zeros_like(positions)
    for source, growth, slope in terms:
        for axis in range(3):
            shift = _derivative(source, box, axis)
            positions[..., axis].add_(shift, alpha=growth)
            velocities[..., axis].add_(shift, alpha=rate * slope)
            del shift  # before the next one is made
    return positions.reshape(-1, 3), velocities.reshape(-1, 3)


def gradient_vectors(box: Box, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Wavevectors as in `truez.mesh.fourier.wavevectors`, zero at the Nyquist wavenumbers.

    The odd derivative of a real field has no Nyquist mode.
    """
    vectors = wavevectors(box, device=device)
    for k, n in zip(vectors, box.meshsize, strict=True):
        if n % 2 == 0:
            k.view(-1)[n // 2] = 0
    return vectors


def _derivative(modes: Tensor, box: Box, *axes: int) -> Tensor:
    """Derivative of ``-del^-2`` of modes on the mesh, once along each of the axes."""
    device = modes.device
    kx, ky, kz = wavevectors(box, device=device)
    waves = gradient_vectors(box, device)
    # The factor that is the same for all rows, and the power of the row's own wavenumber.
    fixed = math.prod([waves[axis] for axis in axes if axis > 0], start=torch.ones_like(kz))
    terms = fixed, waves[0] ** axes.count(0), ky**2 + kz**2, kx**2
    constant, row, k_squared, row_squared = (array_of(term) for term in terms)
    result = torch.empty_like(modes)
    source, target = array_of(modes), array_of(result)

    def derive(part: slice) -> None:
        squares = k_squared + row_squared[part]
        squares[squares == 0] = math.inf  # the mean
        factor = constant * row[part] / squares
        target[part] = source[part] * factor
        target[part] *= 1j ** len(axes)

    in_parts(derive, result)
    return irfft_(result, box.meshsize)


def _second_source(modes: Tensor, box: Box) -> Tensor:
    """Modes of ``sum_{i<j} (phi1,ii phi1,jj - phi1,ij^2)``."""
    total = _derivative(modes, box, 0, 0)
    other = _derivative(modes, box, 1, 1)
    source = roomy_mesh(box.meshsize, modes.device)
    torch.mul(total, other, out=source)
    total += other
    del other
    source.addcmul_(total, _derivative(modes, box, 2, 2))
    del total
    for i, j in ((0, 1), (0, 2), (1, 2)):
        source.sub_(_derivative(modes, box, i, j).square_())
    return rfft_(source)
