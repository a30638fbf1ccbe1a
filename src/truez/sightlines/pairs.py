"""Pairs of photometric galaxies: what neighbours on the sky add to the intensity.

Galaxies of one group or cluster are closer to one another than the cells of an intensity. Each of
two galaxies within a few hundred kpc on the sky makes a place more likely for the other that its
own photo-z has no part in, see `truez.sightlines.own_place`:

    lambda (1 + s n) / (1 + s nu),

with n neighbours near a place of which nu are expected. It is the mean of lambda times a residual
with a gamma distribution of mean 1 and variance s, the strength, of which n are drawn. (exp[s (n -
nu)], its first step, makes too much of clusters.) The radius and the depth are fixed; the strength
is found from the photo-z themselves. Given the others, the photo-z of a galaxy has the probability

    p(photo-z | others) = sum_j m_j L_j / sum_j m_j V_j,      m = N lambda (1 + s n) / (1 + s nu),

along its sight line, with L the probability of its photo-z and V that of being in the sample for a
galaxy of the cell. Their product over galaxies is a pseudo-likelihood (Besag 1975, The Statistician
24, 179): for many galaxies it is largest where these conditional probabilities are right, and it
needs no true redshift. Galaxies at random places have a strength of 0 within its error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.support.checks import shown

#: The strength that is expected before any photo-z says so, and its standard deviation: those of
#: simulated universes (docs/concepts/columns.md).
EXPECTED, SPREAD = 2.0, 2.0
#: Strengths that are tried.
STRENGTHS = 0.1 * (2.0 ** np.arange(9) - 1)
#: Galaxies are compared with neighbours up to so many depths along the line of sight.
_REACH = 3.0


@dataclass(frozen=True)
class Pairs:
    """Weights of the neighbours of a galaxy.

    Parameters
    ----------
    strength : float
        Variance of what multiplies the intensity where the neighbours are.
    radius : float
        R of the weights (1 - r^2 / R^2)^2 across the sky [Mpc/h].
    depth : float
        Standard deviation of the Gaussian weights along the line of sight [Mpc/h].
    """

    strength: float = EXPECTED
    radius: float = 0.8
    depth: float = 8.0

    def __post_init__(self) -> None:
        for name in ("radius", "depth"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} of pairs must be a positive length, not {value!r}")
        if not 0 <= self.strength < math.inf:
            raise ValueError(f"strength of pairs must not be negative, not {self.strength!r}")

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Pairs | None:
        """Those of a reconstruction with these metadata; None where it has none.

        Raises
        ------
        ValueError
            If they are not what a reconstruction writes.
        """
        given = metadata.get("pairs")
        if given is None:
            return None
        names = [item.name for item in fields(cls)]
        try:
            return cls(**{name: float(given[name]) for name in names})
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"pairs of the metadata must have the numbers {', '.join(names)}, and are "
                f"{shown(given)}: make the reconstruction again"
            ) from error

    def area(self, radius: NDArray[np.float64]) -> NDArray[np.float64]:
        """Integral of the weights across the sky for radii [Mpc/h]."""
        return math.pi * radius**2 / 3

    def band(self, cellsize: float) -> NDArray[np.float32]:
        """Weights of cells along the line of sight, (2 k + 1,)."""
        reach = math.ceil(_REACH * self.depth / cellsize)
        away = np.arange(-reach, reach + 1) * cellsize / self.depth
        return np.asarray(np.exp(-0.5 * away**2), np.float32)


@dataclass(frozen=True)
class Strength:
    """The strength of pairs that photo-z want.

    Parameters
    ----------
    value, error : float
        And the standard deviation, with what was expected before.
    gain : float
        ln of the pseudo-likelihood over that without pairs, per galaxy [nats].
    num_galaxies : int
        From so many.
    """

    value: float
    error: float
    gain: float
    num_galaxies: int


def strength_of(found: Sequence[float] | NDArray[np.float64], num_galaxies: int) -> Strength:
    """The most probable of `STRENGTHS`, between them.

    Parameters
    ----------
    found : (k,) array
        ln of the pseudo-likelihood of each.
    num_galaxies : int

    Raises
    ------
    ValueError
        If there are no galaxies.
    """
    if not num_galaxies:
        raise ValueError("there are no galaxies to find the strength of pairs from")
    values = np.asarray(found) - 0.5 * ((STRENGTHS - EXPECTED) / SPREAD) ** 2
    best = int(np.argmax(values))
    middle = min(max(best, 1), len(values) - 2)
    # A parabola through three, whose places have even steps.
    low, here, high = values[middle - 1 : middle + 2]
    curvature = low - 2 * here + high
    value, error = float(STRENGTHS[best]), SPREAD
    if curvature < 0:
        place = middle + np.clip((low - high) / (2 * curvature), -1, 1)
        value = float(0.1 * (2**place - 1))
        error = float((value + 0.1) * math.log(2) * (-curvature) ** -0.5)
    gain = float(np.interp(value, STRENGTHS, found) - found[0]) / num_galaxies
    return Strength(value, error, gain, num_galaxies)
