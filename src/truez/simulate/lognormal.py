"""Lognormal galaxies with velocities: a quick universe with the right large scales.

The galaxy density is the exponential of a Gaussian field, whose spectrum is chosen such that the
galaxies have ``bias^2`` times the linear matter spectrum (Coles & Jones 1991): on the mesh,
``xi_G = ln(1 + xi_g)``. Velocities follow the continuity equation from the linear matter field,
which is made of the same random numbers, so that redshift-space distortions are Kaiser's on large
scales (Agrawal et al. 2017). There is no non-linear growth, no fingers of God, and below the cell
size galaxies are placed at random.

A galaxy's ``mass`` is the one thing that is not derived from theory: ``exp(environment * G + e)``
with the Gaussian field G at its cell and a unit normal e. The most massive galaxies then live in
denser places and are more biased, as those of a real spectroscopic sample are.
"""

from __future__ import annotations

import math
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.cosmology import Cosmology
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import hermitian_weights, irfft, rfft, wavevectors
from truez.mesh.painting import readout
from truez.simulate.galaxies import Galaxies
from truez.simulate.modes import Pairing, amplitudes, unit_modes
from truez.support.checks import check_type
from truez.support.progress import Progress, silent

#: Slope of ln mass with the Gaussian field. Measured on cells of 2 Mpc/h at z = 0.5 and k = 0.03 to
#: 0.1 h/Mpc: of 1.85e-2 (h/Mpc)^3 galaxies of bias 1.2, the 1e-3 most massive have a bias of 1.74
#: in their own spectrum and of 1.6 in their cross spectrum with the linear matter field (all
#: galaxies: 1.20 and 1.15).
ENVIRONMENT = 0.2


def lognormal_galaxies(
    box: Box,
    cosmology: Cosmology | str,
    *,
    redshift: float,
    density: float,
    bias: float,
    seed: int,
    environment: float = ENVIRONMENT,
    progress: Progress = silent,
    **pairing: Unpack[Pairing],
) -> Galaxies:
    """Lognormal galaxies of a given number density and bias.

    Parameters
    ----------
    box : Box
        A periodic box; its mesh carries the density field, so cells of about 2 Mpc/h are wanted.
    cosmology : Cosmology, str or astropy cosmology
        Gives the linear spectrum and the growth rate.
    redshift : float
        Of the box.
    density : float
        Mean number density [(h/Mpc)^3]; the number of galaxies is a Poisson draw about it.
    bias : float
        Linear bias of all galaxies.
    seed : int
        Names the universe: the same seed, box and mesh give the same galaxies, and the same seed on
        a finer mesh the same large-scale structure.
    environment : float
        Slope of ln mass with the Gaussian field, in units of the scatter of ln mass; 0 makes mass
        independent of the place.
    progress : Progress
        Called once per step.
    fixed, flip : bool
        Variance suppressed and paired universes, see `truez.simulate.unit_modes`; False by default.

    Returns
    -------
    Galaxies

    Raises
    ------
    ValueError
        If the box is not periodic, or density or bias is not positive.

    Examples
    --------
    >>> from truez import Box, lognormal_galaxies
    >>> galaxies = lognormal_galaxies(
    ...     Box(64, cellsize=4), "planck18", redshift=0.6, density=1e-2, bias=1.5, seed=1
    ... )
    >>> galaxies.positions.shape[1], galaxies.redshift
    (3, 0.6)
    """
    check_type(box, Box, "box", "truez.Box(boxsize, cellsize=...)")
    cosmology = Cosmology.of(cosmology)
    if not box.periodic:
        raise ValueError("a universe is simulated in a periodic box: pass Box(..., periodic=True)")
    for name, value in (("density", density), ("bias", bias)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive, not {value!r}")
    task, steps = "lognormal galaxies", 5

    progress(task, 0, steps, "Gaussian modes")
    noise = unit_modes(box, seed, **pairing)
    matter = amplitudes(box, lambda k: cosmology.linear_power(k, redshift))

    progress(task, 1, steps, "density")
    amplitude, clipped = log_amplitudes(box, matter, bias)
    gaussian = irfft(amplitude * noise, box.meshsize)
    expected = gaussian.exp()
    # The mean of this very box, so that its density is the one asked for up to Poisson noise.
    expected *= density * box.volume / float(expected.sum(dtype=torch.float64))

    progress(task, 2, steps, "galaxies")
    rng = np.random.default_rng([seed, 1])
    cells = _poisson_cells(expected, rng)
    positions = _positions_in_cells(cells, box, rng)
    log_mass = environment * gaussian.flatten()[torch.from_numpy(cells)].numpy()
    log_mass += rng.standard_normal(len(cells), dtype=np.float32)
    del expected, gaussian

    progress(task, 3, steps, "velocities")
    velocities = linear_velocities(box, noise.mul_(matter), cosmology, redshift, positions)
    progress(task, steps, steps)
    metadata = {
        "maker": "lognormal",
        "seed": seed,
        "density": density,
        "bias": bias,
        "environment": environment,
        "fixed": pairing.get("fixed", False),
        "flip": pairing.get("flip", False),
        "redshift": redshift,
        "cosmology": cosmology.model_dump(),
        "clipped_power": clipped,
    }
    return Galaxies(positions, velocities, np.exp(log_mass), box, redshift, metadata)


def log_amplitudes(box: Box, matter: Tensor, bias: float) -> tuple[Tensor, float]:
    """Amplitudes of the Gaussian field whose exponential has ``bias^2`` times the matter spectrum.

    Parameters
    ----------
    box : Box
        The box and its mesh.
    matter : Tensor (nx, ny, nz // 2 + 1)
        Amplitudes sqrt(P / V) of the matter field.
    bias : float
        Linear bias.

    Returns
    -------
    amplitudes : Tensor (nx, ny, nz // 2 + 1)
        sqrt(P_G / V).
    clipped : float
        Sum of the negative P_G, which are set to zero, over the sum of all |P_G|.
    """
    correlation = irfft((matter * bias).square_().to(torch.complex64), box.meshsize)
    power = rfft(correlation.log1p_()).real.contiguous()
    power[0, 0, 0] = 0
    weights = hermitian_weights(box.meshsize[2])
    negative = float((power.clamp(max=0).sum((0, 1), dtype=torch.float64) * weights).sum())
    total = float((power.abs().sum((0, 1), dtype=torch.float64) * weights).sum())
    return power.clamp_(min=0).sqrt_(), -negative / total


def linear_velocities(
    box: Box,
    modes: Tensor,
    cosmology: Cosmology,
    redshift: float,
    positions: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Velocities of linear theory at positions: ``v_k = i a H f delta_k k / k^2``.

    Parameters
    ----------
    box : Box
        The periodic box.
    modes : Tensor (nx, ny, nz // 2 + 1)
        Modes of the linear matter overdensity.
    cosmology : Cosmology, str or astropy cosmology
        Gives H and f.
    redshift : float
        Of the box.
    positions : (n, 3) float32
        Where they are wanted [Mpc/h]; between cell centres they are interpolated linearly.

    Returns
    -------
    (n, 3) float32
        [km/s].
    """
    # 1/(aH) turns km/s into Mpc/h, so its inverse is aH in km/s per Mpc/h.
    rate = cosmology.growth_rate(redshift) / cosmology.distance_per_velocity(redshift)
    vectors = wavevectors(box)
    kx, ky, kz = vectors
    k_squared = kx**2 + ky**2 + kz**2
    k_squared[0, 0, 0] = 1
    potential = modes * (1j * rate) / k_squared
    velocities = np.empty_like(positions)
    for axis, (k, n) in enumerate(zip(vectors, box.meshsize, strict=True)):
        if n % 2 == 0:  # the odd derivative of a real field has no Nyquist mode
            k.view(-1)[n // 2] = 0
        component = Field(irfft(potential * k, box.meshsize), box, "density")
        velocities[:, axis] = readout(component, positions, "cic")
    return velocities


def _poisson_cells(expected: Tensor, rng: np.random.Generator) -> NDArray[np.int64]:
    """Flat cell index of each galaxy, sorted."""
    counts = rng.poisson(expected.flatten().numpy())
    return np.repeat(np.arange(counts.size), counts)


def _positions_in_cells(
    cells: NDArray[np.int64], box: Box, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Uniform positions within their cells, shape (n, 3) [Mpc/h]."""
    positions = rng.random((len(cells), 3), dtype=np.float32)
    for axis, index in enumerate(np.unravel_index(cells, box.meshsize)):
        positions[:, axis] += index
        positions[:, axis] *= box.cellsize[axis]
        positions[:, axis] += box.lower[axis]
    return positions
