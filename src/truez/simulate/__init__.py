"""Simulated universes: Gaussian modes, N-body dynamics, galaxies, their files and mock surveys."""

from truez.simulate.files import (
    catalog_from_galaxies,
    files_by_seed,
    read_box,
    read_density,
    read_galaxies,
)
from truez.simulate.galaxies import Galaxies, GalaxyModel, galaxies_from_particles
from truez.simulate.lognormal import lognormal_galaxies
from truez.simulate.lpt import lpt_particles
from truez.simulate.modes import gaussian_modes, unit_modes
from truez.simulate.nbody import ParticleMesh, Particles, memory_needed, simulate
from truez.simulate.observe import observe
from truez.simulate.universe import Universe

__all__ = [
    "Galaxies",
    "GalaxyModel",
    "ParticleMesh",
    "Particles",
    "Universe",
    "catalog_from_galaxies",
    "files_by_seed",
    "galaxies_from_particles",
    "gaussian_modes",
    "lognormal_galaxies",
    "lpt_particles",
    "memory_needed",
    "observe",
    "read_box",
    "read_density",
    "read_galaxies",
    "simulate",
    "unit_modes",
]
