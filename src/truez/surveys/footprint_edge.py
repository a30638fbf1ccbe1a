"""How far directions are from the edge of a footprint, that of its holes included."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from truez.mesh.healpix import centers, neighbours, nested, nside_for
from truez.mesh.sphere import check_directions, unit_vectors
from truez.surveys.footprint import Footprint

#: Finest pixels in which an edge is sought [deg], and those along the side of a footprint at most.
_FINEST, _PER_SIDE = 0.02, 400


def edge_distance(
    footprint: Footprint, ra: ArrayLike, dec: ArrayLike, *, spacing: float | None = None
) -> NDArray[np.float64]:
    """Angle from directions in a footprint to its nearest edge [deg], (n,); 0 outside.

    Parameters
    ----------
    footprint : Footprint
    ra, dec : (n,) arrays
        [deg].
    spacing : float, optional
        Of the pixels in which the edge is sought, which distances are right to [deg]; 0.02, or a
        400th of the side of a large footprint by default. Narrower holes may be missed.
    """
    a, d = check_directions(ra, dec)
    step = spacing or max(_FINEST, math.sqrt(footprint.area) / _PER_SIDE)
    nside = nside_for(step)
    inside = np.unique(nested(*footprint.sample(step), nside))
    ring = neighbours(inside, nside)
    pixels = np.union1d(inside, ring[ring >= 0])
    places = centers(pixels, nside)
    beyond = footprint.outside(*places)
    if not beyond.any():  # the whole sky
        return np.full(a.shape, 180.0)
    chords, _ = cKDTree(unit_vectors(*places)[beyond]).query(unit_vectors(a, d))
    angles = np.degrees(2 * np.arcsin(np.minimum(chords / 2, 1)))
    # The nearest centre outside is half a pixel beyond the edge, more or less.
    size = math.degrees(math.sqrt(4 * math.pi / 12)) / nside
    result = np.maximum(angles - size / 2, 0)
    result[footprint.outside(a, d)] = 0.0
    return np.asarray(result)
