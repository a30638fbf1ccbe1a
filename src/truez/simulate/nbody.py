"""A particle-mesh N-body simulation with time steps that are exact in linear theory.

Particles start on a lattice with displacements and velocities of second order, and are then moved
by kicks (force to momentum) and drifts (momentum to position). The factors of both are those by
which Zel'dovich's approximation changes momentum and position in the step, so that large scales
grow as linear theory says with any number of steps (FastPM: Feng, Chu, Seljak & McDonald 2016).

With time in units of 1/H0 the momentum is ``p = a^2 dx/dt`` [Mpc/h], in linear theory
``x = q + D s`` and ``p = G s`` with ``G = a^2 E D f``, and the pull is ``D s``:

    kick   p += pull (G(a1) - G(a0)) / D(a)
    drift  x += p (D(a1) - D(a0)) / G(a)

where a is the time of the pull, or of the momentum, within the step from a0 to a1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.cosmology import Cosmology
from truez.mesh.box import Box
from truez.mesh.fourier import hermitian_weights, roomy_mesh
from truez.mesh.paint_cpu import BATCH_PIECES, PIECE_ROWS
from truez.simulate.checkpoint import read_checkpoint, write_checkpoint
from truez.simulate.gravity import kick
from truez.simulate.lpt import lpt_particles
from truez.simulate.modes import Pairing, gaussian_modes
from truez.support.progress import Progress, silent
from truez.support.provenance import versions
from truez.support.threads import Threads

#: Cells of the force mesh per particle and axis that are of use.
FORCE_FACTORS = (1, 2, 3, 4)
#: Largest linear power per ln k of a box's fundamental mode: beyond it the box is not a fair one.
MOST_STEPS = 100_000
LARGEST_FUNDAMENTAL = 0.5


@dataclass(frozen=True, eq=False)
class Particles:
    """Matter particles of a simulated box, all of equal mass.

    Parameters
    ----------
    positions : (n, 3) float32
        Comoving positions in real space, within the box [Mpc/h].
    velocities : (n, 3) float32
        Peculiar velocities [km/s].
    box : Box
        Where they live; its mesh is the lattice that they started from, in whose order they are.
    redshift : float
        Of the snapshot.
    metadata : dict
        What made them.
    """

    positions: NDArray[np.float32]
    velocities: NDArray[np.float32]
    box: Box
    redshift: float
    metadata: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class ParticleMesh:
    """How accurately a universe is simulated.

    Parameters
    ----------
    start_redshift : float
        Where Lagrangian perturbation theory (second order) hands over to the steps.
    num_steps : int
        Steps from there to the redshift of the particles.
    spacing : {"linear", "log"}
        Whether steps are equal in the scale factor or in its logarithm.
    force_factor : {1, 2, 3, 4}
        Cells of the force mesh per particle and axis.
    """

    start_redshift: float = 9.0
    num_steps: int = 12
    spacing: str = "linear"
    force_factor: int = 2


def simulate(
    box: Box,
    cosmology: Cosmology,
    *,
    redshift: float,
    seed: int,
    settings: ParticleMesh | None = None,
    device: torch.device | str = "cpu",
    checkpoint: str | Path | None = None,
    progress: Progress = silent,
    **pairing: Unpack[Pairing],
) -> Particles:
    """Matter particles at a redshift, from Gaussian initial modes.

    On a CPU the same arguments give the same particles bit for bit.

    Parameters
    ----------
    box : Box
        A periodic box; its mesh is the lattice of the particles, one in each cell.
    cosmology : Cosmology
        Gives the linear spectrum, growth and expansion.
    redshift : float
        Of the particles that are returned.
    seed : int
        Names the universe: on a finer lattice the same seed has the same large scales.
    settings : ParticleMesh, optional
        Its steps and its force mesh; the defaults of that class.
    device : torch.device or str
        Where to compute.
    checkpoint : str or Path, optional
        A file (HDF5) that is replaced after every step. If it exists, the run goes on from it and
        ends with the particles that it would have had without the break.
    progress : Progress
        Called once per step.
    fixed, flip : bool
        Variance suppressed and paired universes, see `truez.simulate.unit_modes`; False by default.

    Returns
    -------
    Particles

    Raises
    ------
    ValueError
        If an argument is none of the above, the box too small for its modes to be linear, the start
        too late for the lattice, or the checkpoint that of another run.
    """
    how = settings or ParticleMesh()
    times = scale_factors(redshift, how.start_redshift, how.num_steps, how.spacing)
    mesh = force_mesh(box, how.force_factor)
    check_box(box, cosmology, redshift)
    made = {
        "maker": "nbody",
        "box": box.to_dict(),
        "cosmology": cosmology.model_dump(),
        "redshift": float(redshift),
        "seed": int(seed),
        "start_redshift": float(how.start_redshift),
        "num_steps": int(how.num_steps),
        "spacing": how.spacing,
        "force_factor": int(how.force_factor),
        "fixed": pairing.get("fixed", False),
        "flip": pairing.get("flip", False),
    }
    task = "N-body"
    if checkpoint is not None and Path(checkpoint).exists():
        step, positions, momenta = read_checkpoint(Path(checkpoint), made, device)
    else:
        progress(task, 0, how.num_steps, "initial conditions")
        step = 0
        modes = gaussian_modes(
            box, lambda k: cosmology.linear_power(k, 0.0), seed, device=device, **pairing
        )
        _check_start(modes, box, cosmology, how.start_redshift)
        positions, momenta = lpt_particles(modes, box, cosmology, how.start_redshift)
        del modes
        momenta *= times[0] / 100  # p = a v, with H0 = 100 km/s per Mpc/h
    clock = _Clock(cosmology, times, how.spacing)
    room = roomy_mesh(mesh.meshsize, device)
    while True:
        kick(momenta, positions, box, mesh, clock.kick(step), room)
        if step == how.num_steps:
            break
        _drift(positions, momenta, clock.drift(step), box)
        step += 1
        if checkpoint is not None:
            write_checkpoint(Path(checkpoint), made, step, positions, momenta)
        progress(task, step, how.num_steps, f"z = {1 / times[step] - 1:.2f}")
    momenta *= 100 / times[-1]
    return Particles(
        positions.cpu().numpy(),
        momenta.cpu().numpy(),
        box,
        redshift,
        {**made, "versions": versions()},
    )


def force_mesh(box: Box, force_factor: int) -> Box:
    """The box with the mesh of the force.

    Raises
    ------
    ValueError
        If the box is not periodic, or the lattice or the factor is not one to simulate with.
    """
    if not box.periodic:
        raise ValueError("a universe is simulated in a periodic box: pass Box(..., periodic=True)")
    if min(box.meshsize) < 8:
        raise ValueError(
            f"meshsize of {box.meshsize} is too few particles: take at least 8 along each side"
        )
    if force_factor not in FORCE_FACTORS:
        raise ValueError(
            f"force_factor must be one of {', '.join(map(str, FORCE_FACTORS))} cells per particle "
            f"and axis, not {force_factor!r}"
        )
    meshsize = [n * int(force_factor) for n in box.meshsize]
    return Box(box.boxsize, meshsize, box.boxcenter, periodic=True)


def memory_needed(box: Box, force_factor: int = 2) -> int:
    """Memory that `simulate` takes at its peak [bytes], besides the interpreter and its libraries.

    Parameters
    ----------
    box : Box
        The box with the lattice of the particles.
    force_factor : int
        Cells of the force mesh per particle and axis.
    """
    particles, mesh = box.num_cells, force_mesh(box, force_factor)
    start = _START_MESHES * _roomy_cells(box)
    # Positions, momenta and the mesh, on which everything happens in place.
    force = 6 * particles + _roomy_cells(mesh)
    sort = _SORT_BYTES * min(particles, _SORT_ROWS)
    return max(4 * start, 4 * force + sort) + _WORK_BYTES


def _roomy_cells(box: Box) -> int:
    nx, ny, nz = box.meshsize
    return nx * ny * 2 * (nz // 2 + 1)


# Particles moved at a time by a thread: so few that torch does not take more threads for them.
_DRIFT_ROWS = 10_000
# Real meshes of the lattice that are alive at the start.
_START_MESHES = 9
# What painting takes to sort the particles that it works on at a time: 16 bytes each, and half as
# much for what is not given back at once. Peaks measured from 128^3 to 600^3 particles were 46 to
# 99.6% of the estimate.
_SORT_BYTES, _SORT_ROWS = 24, PIECE_ROWS * BATCH_PIECES
# What threads take for a part of a mesh, or a piece of the particles.
_WORK_BYTES = 1 << 27


class _Clock:
    """Factors of kicks and drifts. Times count steps; the middle of step i is i + 1/2."""

    def __init__(self, cosmology: Cosmology, times: Sequence[float], spacing: str) -> None:
        self.cosmology = cosmology
        self.times = times
        self.middles = [
            math.sqrt(a * b) if spacing == "log" else (a + b) / 2
            for a, b in itertools.pairwise(times)
        ]

    def kick(self, step: int) -> float:
        """From the middle of the step before to that of this one; half of it at both ends."""
        begin = self.middles[step - 1] if step > 0 else self.times[0]
        end = self.middles[step] if step < len(self.middles) else self.times[-1]
        growth = self._momentum(end) - self._momentum(begin)
        return growth / self._position(self.times[step])

    def drift(self, step: int) -> float:
        growth = self._position(self.times[step + 1]) - self._position(self.times[step])
        return growth / self._momentum(self.middles[step])

    def _position(self, a: float) -> float:
        return self.cosmology.growth_factor(1 / a - 1)

    def _momentum(self, a: float) -> float:
        redshift = 1 / a - 1
        expansion = float(self.cosmology.hubble(redshift)) / (100 * self.cosmology.h)
        return a**2 * expansion * self._position(a) * self.cosmology.growth_rate(redshift)


def scale_factors(
    redshift: float, start_redshift: float, num_steps: int, spacing: str
) -> list[float]:
    """Scale factors of the step ends, num_steps + 1 of them."""
    for name, value in (("redshift", redshift), ("start_redshift", start_redshift)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number >= 0, not {value!r}")
    if not redshift < start_redshift:
        raise ValueError(
            f"redshift {redshift:g} must be below start_redshift {start_redshift:g}: start earlier"
        )
    if num_steps != int(num_steps) or not 1 <= num_steps <= MOST_STEPS:
        raise ValueError(
            f"num_steps must be a whole number from 1 to {MOST_STEPS}, not {num_steps!r}"
        )
    if spacing not in ("linear", "log"):
        raise ValueError(f"spacing must be one of linear, log, not {spacing!r}")
    start, stop = 1 / (1 + start_redshift), 1 / (1 + redshift)
    steps = np.geomspace if spacing == "log" else np.linspace
    return [float(a) for a in steps(start, stop, int(num_steps) + 1)]


def check_box(box: Box, cosmology: Cosmology, redshift: float) -> None:
    """Refuse a box whose own fundamental mode is not linear any more."""

    def power(side: float) -> float:
        k = 2 * math.pi / side
        return float(cosmology.linear_power(k, redshift)) * k**3 / (2 * math.pi**2)

    smallest = min(box.boxsize)
    if power(smallest) > LARGEST_FUNDAMENTAL:
        side = smallest
        while power(side) > LARGEST_FUNDAMENTAL:
            side = math.floor(side) + 1
        raise ValueError(
            f"boxsize of {smallest:g} Mpc/h is too small, since its largest waves are not linear "
            f"at redshift {redshift:g}: take at least {side} Mpc/h"
        )


def _check_start(modes: Tensor, box: Box, cosmology: Cosmology, redshift: float) -> None:
    """Refuse a start at which perturbation theory does not hold on the scale of the lattice."""
    squares = torch.view_as_real(modes).square().sum((0, 1, 3), dtype=torch.float64)
    weights = hermitian_weights(box.meshsize[2], device=modes.device)
    density = math.sqrt(float(squares @ weights)) * cosmology.growth_factor(redshift)
    if density > 1:
        raise ValueError(
            f"start_redshift {redshift:g} is too late for particles {max(box.cellsize):.3g} Mpc/h "
            f"apart, whose density contrast is {density:.2g} by then: start at redshift "
            f"{math.ceil((1 + redshift) * density)} or take fewer particles"
        )


def _drift(positions: Tensor, momenta: Tensor, factor: float, box: Box) -> None:
    """Move particles and wrap them into the box, in place; the upper face is the lower one."""
    rows = _DRIFT_ROWS if positions.device.type == "cpu" else len(positions)
    # Whole rows: torch is slow with numbers that repeat every three.
    low, high, side = (
        positions.new_tensor(face).repeat(rows, 1) for face in (box.lower, box.upper, box.boxsize)
    )

    def move(start: int) -> None:
        x, p = positions[start : start + rows], momenta[start : start + rows]
        here = slice(len(x))
        x.add_(p, alpha=factor)
        turns = x.sub(low[here]).div_(side[here]).floor_()
        x.sub_(turns.mul_(side[here]))
        # What float32 rounds to just below the lower face, or to the upper one.
        torch.maximum(x, low[here], out=x)
        torch.where(x < high[here], x, low[here], out=x)

    with Threads() as threads:
        threads.run(move, range(0, len(positions), rows))
