"""How many galaxies surveys on the sky expect: at photo-z, and with a photo-z within bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from truez.sky.surveys import SkySurveys

Array = NDArray[np.float64]


def redshift_thirds(
    surveys: SkySurveys, limits: tuple[float, float], parts: int = 3
) -> tuple[float, ...]:
    """Edges of parts of a range of redshift with equally many galaxies."""
    first, last = surveys.nz.below(limits)
    shares = np.linspace(first, last, parts + 1)[1:-1] / surveys.nz.total
    return (limits[0], *(float(z) for z in surveys.nz.quantile(shares)), limits[1])


def visible(surveys: SkySurveys, z: Array, bounds: tuple[float, float]) -> Array:
    """Probability that galaxies at redshifts have a photo-z within bounds."""
    total, inside = np.zeros(len(z)), np.zeros(len(z))
    for one in surveys.classes:
        density = one.density(z) + 1e-12 * one.density.total
        total += density
        high = min(bounds[1], surveys.cosmology.distances.LIMIT)
        inside += density * one.error.probability([bounds[0], high], z)[0]
    return np.asarray(inside / total)


def observed_density(surveys: SkySurveys, z: Array) -> Array:
    """Galaxies per unit of photo-z at photo-z."""
    edges = np.linspace(max(float(z.min()) - 1e-3, 0), float(z.max()) + 1e-3, 1001)
    middle = (edges[1:] + edges[:-1]) / 2
    return np.interp(z, middle, observed_counts(surveys, edges) / np.diff(edges))


def observed_counts(surveys: SkySurveys, edges: Array) -> Array:
    """Galaxies with photo-z between edges."""
    found = np.sum([one.density.observed(edges, one.error) for one in surveys.classes], axis=0)
    return np.asarray(found * surveys.nz.total / sum(one.density.total for one in surveys.classes))
