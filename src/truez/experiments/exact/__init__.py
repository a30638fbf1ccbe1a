"""A lognormal universe whose exact posterior can be sampled: the yardstick of every method.

`LognormalWorld` makes the galaxies of two surveys from a Gaussian field, `Posterior` is the
probability of that field given what both observe, `sample` draws from it by Hamiltonian Monte
Carlo, and the mean over the draws is the best possible estimate: no method can have a lower mean
squared error or more information on redshifts, on average over universes.
"""

from truez.experiments.exact.posterior import Posterior
from truez.experiments.exact.sampling import Sampling, sample
from truez.experiments.exact.world import LognormalWorld, Observed

__all__ = ["LognormalWorld", "Observed", "Posterior", "Sampling", "sample"]
