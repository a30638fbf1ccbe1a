"""Directions on the sky: unit vectors, angles between them, and a frame about any direction.

Right ascension and declination are in degrees. The frame about a direction has its axes east (of
growing right ascension), north, and outward, in this order, which is right-handed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
#: Solid angle of the whole sky [deg^2].
WHOLE_SKY = 4 * np.pi * np.degrees(1.0) ** 2


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> Array:
    """Unit vectors (..., 3) of directions [deg], of the shape of both broadcast."""
    a, d = np.broadcast_arrays(
        np.radians(np.asarray(ra, np.float64)), np.radians(np.asarray(dec, np.float64))
    )
    result = np.empty((*a.shape, 3))
    across = np.cos(d)
    np.multiply(across, np.cos(a), out=result[..., 0])
    np.multiply(across, np.sin(a), out=result[..., 1])
    np.sin(d, out=result[..., 2])
    return result


def directions(vectors: NDArray[np.floating[Any]]) -> tuple[Array, Array]:
    """Right ascension, 0 to below 360, and declination [deg] of vectors (..., 3) of any length."""
    x, y, z = np.moveaxis(np.asarray(vectors, np.float64), -1, 0)
    ra = np.mod(np.degrees(np.arctan2(y, x)), 360.0)
    # The remainder of a tiny negative number rounds up to 360 itself.
    return np.where(ra >= 360.0, 0.0, ra), np.degrees(np.arctan2(z, np.hypot(x, y)))


def frame(ra: float, dec: float) -> Array:
    """The axes east, north and outward at a direction [deg], rows of a (3, 3) matrix."""
    a, d = np.radians(ra), np.radians(dec)
    return np.array(
        [
            [-np.sin(a), np.cos(a), 0.0],
            [-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)],
            [np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)],
        ]
    )


def separation(ra: ArrayLike, dec: ArrayLike, other_ra: ArrayLike, other_dec: ArrayLike) -> Array:
    """Angle between directions [deg], exact for the smallest and the largest."""
    a, b = np.broadcast_arrays(unit_vectors(ra, dec), unit_vectors(other_ra, other_dec))
    near, far = np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1)
    return np.asarray(2 * np.degrees(np.arctan2(near, far)))


def check_directions(
    ra: ArrayLike, dec: ArrayLike, name: str = "ra and dec"
) -> tuple[Array, Array]:
    """Right ascensions and declinations as arrays of one shape [deg].

    Raises
    ------
    ValueError
        If they are not of one shape, not finite, or a declination is beyond a pole.
    """
    a, d = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    if a.shape != d.shape:
        raise ValueError(f"{name} must be of one shape, not {a.shape} and {d.shape}")
    bad = ~(np.isfinite(a) & np.isfinite(d) & (np.abs(d) <= 90) & (np.abs(a) <= 720))
    if bad.any():
        first = a[bad].flat[0], d[bad].flat[0]
        raise ValueError(
            f"{name} must be in degrees, with declinations from -90 to 90, but "
            f"{np.count_nonzero(bad)} of {a.size} are not, such as {first[0]:g}, {first[1]:g}"
        )
    return a, d
