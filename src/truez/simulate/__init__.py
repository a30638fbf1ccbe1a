"""A universe on demand: Gaussian modes, lognormal galaxies, and matter that gravity moves."""

from truez.simulate.lognormal import Galaxies, lognormal_galaxies
from truez.simulate.lpt import lpt_particles
from truez.simulate.modes import gaussian_modes, unit_modes
from truez.simulate.nbody import Particles, memory_needed, simulate

__all__ = [
    "Galaxies",
    "Particles",
    "gaussian_modes",
    "lognormal_galaxies",
    "lpt_particles",
    "memory_needed",
    "simulate",
    "unit_modes",
]
