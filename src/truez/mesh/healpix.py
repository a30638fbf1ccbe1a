"""HEALPix pixels in nested order (Gorski et al. 2005), computed with astropy-healpix.

Angles are in degrees. The library is imported when it is first used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from truez.mesh.sphere import WHOLE_SKY

Array = NDArray[np.float64]
Pixels = NDArray[np.int64]


def check_nside(nside: int) -> int:
    """A resolution of HEALPix; raises ValueError unless it is a power of 2 up to 2^24."""
    if nside < 1 or nside > 2**24 or nside & (nside - 1):
        raise ValueError(f"nside must be a power of 2, not {nside}")
    return nside


def nested(ra: Array, dec: Array, nside: int) -> Pixels:
    """Pixels in nested order that hold directions [deg]."""
    import astropy_healpix as healpix
    from astropy import units

    pixels = healpix.lonlat_to_healpix(ra * units.deg, dec * units.deg, nside, order="nested")
    return np.asarray(pixels, np.int64)


def centers(pixels: Pixels, nside: int) -> tuple[Array, Array]:
    """Directions of the centres of pixels in nested order [deg]."""
    import astropy_healpix as healpix

    ra, dec = healpix.healpix_to_lonlat(pixels, nside, order="nested")
    return np.asarray(ra.to_value("deg")), np.asarray(dec.to_value("deg"))


def neighbours(pixels: Pixels, nside: int) -> Pixels:
    """The eight neighbours of pixels in nested order, (8, n); -1 where there are only seven."""
    import astropy_healpix as healpix

    with np.errstate(invalid="ignore"):  # where there are only seven
        return np.asarray(healpix.neighbours(pixels, nside, order="nested"), np.int64)


def other_order(pixels: Pixels, nside: int, order: str) -> Pixels:
    """Numbers of pixels in another order.

    Parameters
    ----------
    pixels : (n,) ints
        In nested order for ``order`` RING, in ring order for NESTED.
    nside : int
        A power of 2.
    order : {"RING", "NESTED"}
        That of the result.
    """
    from astropy_healpix.core import nested_to_ring, ring_to_nested

    convert = nested_to_ring if order == "RING" else ring_to_nested
    return np.asarray(convert(pixels, nside), np.int64)


def lattice(ra: Array, dec: Array, spacing: float) -> tuple[Array, Array, float]:
    """Evenly spread directions around given ones, and the solid angle of each [deg, deg^2].

    Parameters
    ----------
    ra, dec : (n,) arrays
        Directions, such as `Footprint.sample` [deg]: the lattice covers them and a ring about each.
    spacing : float
        Of the lattice [deg].
    """
    coarse = nside_for(8 * spacing)
    pixels = np.unique(nested(ra, dec, coarse))
    around = neighbours(pixels, coarse)
    pixels = np.union1d(pixels, around[around >= 0])
    fine = max(nside_for(spacing), coarse)
    parts = (fine // coarse) ** 2
    inside = (pixels[:, None] * parts + np.arange(parts)).ravel()
    return *centers(inside, fine), float(WHOLE_SKY / (12 * fine**2))


def nside_for(resolution: float) -> int:
    """The coarsest resolution whose pixels are not larger than an angle [deg]."""
    level = np.ceil(np.log2(np.sqrt(WHOLE_SKY / 12) / resolution))
    return int(2 ** np.clip(level, 0, 24))
