"""A universe on demand: Gaussian modes, and lognormal galaxies with velocities."""

from truez.simulate.lognormal import Galaxies, lognormal_galaxies
from truez.simulate.modes import gaussian_modes, unit_modes

__all__ = ["Galaxies", "gaussian_modes", "lognormal_galaxies", "unit_modes"]
