"""Random directions within a footprint, and the cap of the sky that holds it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from truez.mesh.healpix import centers, neighbours, nested, nside_for
from truez.mesh.sphere import unit_vectors
from truez.surveys.footprint import Footprint

Array = NDArray[np.float64]
#: Directions that are tried at a time.
_TRIES = 2**18
#: Spacing of the directions that a cap must hold, as a share of the footprint's side, and finest
#: pixels (0.4 mas), whose centres are the random directions.
_SPACING, _FINEST = 0.02, 2**29


def cap(footprint: Footprint) -> tuple[Array, float]:
    """Unit vector (3,) of the middle of a footprint, and the angle within which all of it lies.

    The angle is in radians, pi for footprints all over the sky.
    """
    spacing = max(_SPACING * math.sqrt(footprint.area), 1e-3)
    vectors = unit_vectors(*footprint.sample(spacing))
    low, high = vectors.min(axis=0), vectors.max(axis=0)
    middle = (low + high) / 2
    length = float(np.linalg.norm(middle))
    if length < 0.1:
        return np.array([0.0, 0.0, 1.0]), math.pi
    middle = middle / length
    widest = float(np.arccos(np.clip((vectors @ middle).min(), -1, 1)))
    return middle, min(widest + math.radians(2 * spacing), math.pi)


def random_directions(
    footprint: Footprint, number: int, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Random right ascensions and declinations (n,) [deg], as many as the completeness allows.

    They are even on the sphere within pixels that cover the footprint, of which a share in
    proportion to the completeness is kept.

    Parameters
    ----------
    footprint : Footprint
        Where its completeness is one half, there are half as many.
    number : int
    generator : numpy Generator

    Examples
    --------
    >>> import numpy as np
    >>> from truez.surveys.footprint import Rectangle
    >>> from truez.surveys.random_sky import random_directions
    >>> ra, dec = random_directions(Rectangle(350, 10, -5, 5), 1000, np.random.default_rng(1))
    >>> len(ra), bool(np.abs(dec).max() < 5)
    (1000, True)
    """
    pixels, nside = _covering(footprint)
    parts, highest = (_FINEST // nside) ** 2, footprint.highest
    found: list[Array] = []
    missing = number
    while missing > 0:
        tried = pixels[generator.integers(len(pixels), size=_TRIES)] * parts
        ra, dec = centers(tried + generator.integers(parts, size=_TRIES), _FINEST)
        kept = highest * generator.random(_TRIES) < footprint.completeness(ra, dec)
        found.append(np.stack([ra[kept], dec[kept]])[:, :missing])
        missing -= found[-1].shape[1]
    ra, dec = np.concatenate(found, axis=1) if found else np.empty((2, 0))
    return ra, dec


def _covering(footprint: Footprint) -> tuple[NDArray[np.int64], int]:
    """Pixels in nested order that hold all of a footprint, and their resolution."""
    spacing = max(_SPACING * math.sqrt(footprint.area), 1e-3)
    # Twice as large as the spacing at least: what no sample is in, the next pixels are.
    nside = nside_for(4 * spacing)
    pixels = np.unique(nested(*footprint.sample(spacing), nside))
    around = neighbours(pixels, nside)
    return np.union1d(pixels, around[around >= 0]), nside
