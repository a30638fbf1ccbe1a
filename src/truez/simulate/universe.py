"""Settings of a simulated universe: its box, N-body simulation and galaxies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field as Setting
from pydantic import ValidationInfo, field_validator, model_validator
from scipy.fft import next_fast_len

from truez.cosmology import COSMOLOGIES, HIGHEST_REDSHIFT, AnyCosmology
from truez.mesh.box import Box, Mesh, Vector
from truez.simulate.galaxies import Galaxies, GalaxyModel, galaxies_from_particles
from truez.simulate.nbody import (
    ParticleMesh,
    check_box,
    force_mesh,
    memory_needed,
    scale_factors,
    simulate,
)
from truez.support import memory
from truez.support.memory import in_words
from truez.support.progress import Progress, silent
from truez.support.settings import Settings

#: Largest ratio of the particles' distances along two axes.
LARGEST_STRETCH = 1.1
#: More galaxies than any simulation has particles.
MOST_GALAXIES = 1e18
#: The highest redshift at which a simulation starts: matter and radiation have parted by then.
HIGHEST_START = 1000.0
#: The sides of a box [Mpc/h]: of one with less there is no linear power spectrum, and the sphere
#: that light has had the time to cross is ten times smaller than the largest.
SMALLEST_SIDE, LARGEST_SIDE = 1e-3, 1e5
#: Most particles along a side: twenty times those of the largest simulations.
MOST_PARTICLES = 2**18


class Universe(Settings):
    """Settings of a simulated box of galaxies; by default those of the paper, in a smaller box.

    Parameters
    ----------
    boxsize : float or (3,) floats
        Sides of the periodic box [Mpc/h]; the last one is the line of sight.
    num_particles : int or (3,) ints
        Particles along each side. One number is for a cube.
    redshift : float
        Of the galaxies.
    cosmology : Cosmology, str or astropy cosmology
        See `truez.Cosmology.of`.
    seed : int
        Identifies the universe; with more particles in the same box its large scales are the same.
    density : float
        Of the galaxies [(h/Mpc)^3].
    start_redshift, num_steps, spacing, force_factor
        Of the N-body simulation, see `truez.simulate.ParticleMesh`.
    fixed, flip
        Variance suppressed and paired universes, see `truez.simulate.unit_modes`.
    galaxies : GalaxyModel
        Model of the galaxies among the particles.

    Raises
    ------
    ValueError
        If a setting has another value, the box is too small for its modes to be linear, or there
        are fewer particles than galaxies.

    Examples
    --------
    >>> from truez import Universe
    >>> universe = Universe(boxsize=256, num_particles=128, density=4e-2, seed=1)
    >>> universe
    Universe: 128^3 particles in 256 Mpc/h, z = 0.59, 671089 galaxies, seed 1
    >>> galaxies = universe.make()  # doctest: +SKIP
    """

    boxsize: float | Vector = 512.0
    num_particles: int | Mesh = 256
    redshift: float = Setting(default=0.59, ge=0, le=HIGHEST_REDSHIFT)
    cosmology: AnyCosmology = COSMOLOGIES["wmap"]
    seed: int = Setting(default=0, ge=0, lt=2**64)
    density: float = 1.85e-2
    start_redshift: float = Setting(default=9.0, ge=0, le=HIGHEST_START)
    num_steps: int = 12
    spacing: str = "linear"
    force_factor: int = 2
    fixed: bool = False
    flip: bool = False
    galaxies: GalaxyModel = GalaxyModel()

    @field_validator("boxsize", "num_particles", mode="before")
    @classmethod
    def _one_or_three(cls, value: Any, setting: ValidationInfo) -> Any:
        try:
            numbers = Box(value, 1).boxsize
        except ValueError:
            raise ValueError("must be one positive number or three") from None
        if setting.field_name == "boxsize":
            if not SMALLEST_SIDE <= min(numbers) <= max(numbers) <= LARGEST_SIDE:
                raise ValueError(f"must be from {SMALLEST_SIDE:g} to {LARGEST_SIDE:g} Mpc/h")
        elif not all(8 <= n <= MOST_PARTICLES and n == int(n) for n in numbers):
            raise ValueError(f"must be whole numbers from 8 to {MOST_PARTICLES}")
        return value if isinstance(value, int | float) else numbers

    @model_validator(mode="after")
    def _can_be_made(self) -> Universe:
        box = self.box
        if max(box.cellsize) > LARGEST_STRETCH * min(box.cellsize):
            side = min(box.cellsize)
            counts = [round(length / side) for length in box.boxsize]
            raise ValueError(
                f"num_particles of {as_option(box.meshsize)} do not lie equally far apart in a box "
                f"of {as_option(box.boxsize)} Mpc/h: take {as_option(counts)}"
            )
        force_mesh(box, self.force_factor)
        scale_factors(self.redshift, self.start_redshift, self.num_steps, self.spacing)
        check_box(box, self.cosmology, self.redshift)
        if not self.density > 0:
            raise ValueError(f"density must be positive, not {self.density:g} (h/Mpc)^3")
        if not self.density * box.volume < MOST_GALAXIES:
            raise ValueError(
                f"density of {self.density:g} (h/Mpc)^3 is more galaxies than can be counted: take "
                f"at most {box.num_cells / box.volume:.4g}, that of the particles"
            )
        if self.num_galaxies < 1:
            raise ValueError(
                f"density of {self.density:g} (h/Mpc)^3 yields no galaxy in a box of "
                f"{as_option(box.boxsize)} Mpc/h: take at least {1 / box.volume:.2g}"
            )
        if self.num_galaxies > box.num_cells:
            enough = [math.ceil(length * self.density ** (1 / 3)) for length in box.boxsize]
            raise ValueError(
                f"density of {self.density:g} (h/Mpc)^3 is more galaxies than there are particles, "
                f"{box.num_cells / box.volume:.4g}: take num_particles of at least "
                f"{as_option(enough)}"
            )
        return self

    @property
    def box(self) -> Box:
        """The periodic box, with the lattice of the particles as its mesh."""
        return Box(self.boxsize, self.num_particles)

    def __repr__(self) -> str:
        mesh = self.box.meshsize
        particles = f"{mesh[0]}^3" if len(set(mesh)) == 1 else " x ".join(map(str, mesh))
        sides = self.box.boxsize
        size = f"{sides[0]:g}" if len(set(sides)) == 1 else " x ".join(f"{s:g}" for s in sides)
        return (
            f"Universe: {particles} particles in {size} Mpc/h, z = {self.redshift:g}, "
            f"{self.num_galaxies} galaxies, seed {self.seed}"
        )

    __str__ = __repr__

    @property
    def num_galaxies(self) -> int:
        """Number of galaxies in the box."""
        return round(self.density * self.box.volume)

    @property
    def memory_needed(self) -> int:
        """Memory that `make` takes at its peak [bytes], besides the interpreter's."""
        box, particles = self.box, self.box.num_cells
        mesh = Box.from_cellsize(box.boxsize, self.galaxies.scale)
        # Positions, velocities and densities, and either the mesh of the densities, or masses,
        # their order, and the heaviest half as many again as there are galaxies.
        heaviest = min(particles, 3 * self.num_galaxies // 2)
        galaxies = 28 * particles + max(4 * mesh.num_cells, 12 * particles + 80 * heaviest)
        return max(memory_needed(box, self.force_factor), galaxies)

    def check_memory(self, device: torch.device | str = "cpu", *, section: str = "") -> None:
        """Refuse a simulation that needs more memory than there is, with the number that fits.

        ``section`` is that of these settings in a recipe, such as ``universe.``.
        """
        free = free_on(device)
        if self.memory_needed > free:
            most = self._most_particles(free)
            remedy = f"set {section}boxsize to less"
            if most is not None:
                remedy = f"take {section}num_particles {as_option(most)}"
            raise ValueError(
                f"{section}num_particles {as_option(self.box.meshsize)} takes "
                f"{in_words(self.memory_needed)} of memory, and {in_words(free)} are free: "
                f"{remedy}"
            )

    def _most_particles(self, free: float) -> list[int] | None:
        """Particles along each side that fit into memory; None where those are not enough."""
        shortest = min(self.box.boxsize)
        shares = [side / shortest for side in self.box.boxsize]
        # Memory is nearly proportional to the number of particles.
        start = min(self.box.meshsize) * (free / self.memory_needed) ** (1 / 3)
        for number in range(2 * math.ceil(0.55 * start), 7, -2):
            counts = [round(number * share) for share in shares]
            if math.prod(counts) < self.num_galaxies:
                return None
            smaller = self.model_copy(update={"num_particles": tuple(counts)})
            if number == next_fast_len(number, real=True) and smaller.memory_needed <= free:
                return counts
        return None

    def with_seed(self, seed: int) -> Universe:
        """The same settings with another seed."""
        return Universe(**{**self.model_dump(), "seed": seed})

    def make(
        self,
        *,
        device: torch.device | str = "cpu",
        checkpoint: str | Path | None = None,
        progress: Progress = silent,
    ) -> Galaxies:
        """Simulate the box and find its galaxies.

        On a CPU the same settings give the same galaxies bit for bit.

        Parameters
        ----------
        device : torch.device or str
            Where the N-body simulation runs.
        checkpoint : str or Path, optional
            A file (HDF5) of the N-body simulation, replaced after every step. If it exists, the run
            continues from it.
        progress : Progress

        Returns
        -------
        Galaxies

        Raises
        ------
        ValueError
            If there is not enough memory, the start is too late for particles so close, or the
            checkpoint is that of another run.
        """
        self.check_memory(device)
        particles = simulate(
            self.box,
            self.cosmology,
            redshift=self.redshift,
            seed=self.seed,
            settings=ParticleMesh(
                self.start_redshift, self.num_steps, self.spacing, self.force_factor
            ),
            fixed=self.fixed,
            flip=self.flip,
            device=device,
            checkpoint=checkpoint,
            progress=progress,
        )
        return galaxies_from_particles(
            particles,
            density=self.density,
            seed=self.seed,
            model=self.galaxies,
            progress=progress,
        )


def free_on(device: torch.device | str) -> int:
    """Memory that is free where a simulation runs [bytes]."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return memory.available_memory()


def as_option(numbers: Sequence[float]) -> str:
    """``256``, or ``128,128,256`` where they differ: as on a command line."""
    words = [f"{n:.12g}" for n in numbers]
    return words[0] if len(set(words)) == 1 else ",".join(words)
