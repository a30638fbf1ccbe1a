"""Universes that differ: cosmology, redshift and galaxies drawn around given settings.

A network that is trained in one universe learns that one's clustering. Those of real galaxies are
not known as well, so that training universes have others, each a function of its seed:

=============================  ==============================================================
matter                         Omega_m and sigma_8 within 10% of the given ones
redshift                       0 to 1.2
slope of mass with density     within 15%
scatter in common in a halo    within 40%
satellites                     their gap within 35% and their stripping within 30%
=============================  ==============================================================
"""

from __future__ import annotations

import numpy as np

from truez.cosmology import Cosmology
from truez.simulate.universe import Universe

#: Redshifts that are drawn.
REDSHIFTS = (0.0, 1.2)
#: Fractions by which parameters may differ from the given ones.
COSMOLOGY = {"omega_m": 0.1, "sigma_8": 0.1}
GALAXIES = {"slope": 0.15, "halo_scatter": 0.4, "gap": 0.35, "stripping": 0.3}
#: Sets these numbers apart from all others that are drawn with the same seed.
_STREAM = 17


def varied(universe: Universe) -> Universe:
    """A universe with cosmology, redshift and galaxies drawn around those of another.

    Parameters
    ----------
    universe : Universe
        Its seed decides; its box, particles and density remain.

    Returns
    -------
    Universe

    Examples
    --------
    >>> from truez import Universe
    >>> from truez.simulate.variety import varied
    >>> one, other = (varied(Universe(seed=seed)) for seed in (3000, 3001))
    >>> one.redshift == other.redshift, one == varied(Universe(seed=3000))
    (False, True)
    """
    rng = np.random.default_rng([universe.seed, _STREAM])

    def drawn(settings: dict[str, float], shares: dict[str, float]) -> dict[str, float]:
        factors = {name: 1 + share * rng.uniform(-1, 1) for name, share in shares.items()}
        return {name: settings[name] * factor for name, factor in factors.items()}

    cosmology, galaxies = universe.cosmology.model_dump(), universe.galaxies.model_dump()
    changed = {
        "redshift": rng.uniform(*REDSHIFTS),
        "cosmology": Cosmology(**{**cosmology, **drawn(cosmology, COSMOLOGY)}),
        "galaxies": {**galaxies, **drawn(galaxies, GALAXIES)},
    }
    return Universe(**{**universe.model_dump(), **changed})
