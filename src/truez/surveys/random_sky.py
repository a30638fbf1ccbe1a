"""Random directions within a footprint, and the cap of the sky that holds it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from truez.mesh.sphere import directions, frame, unit_vectors
from truez.surveys.footprint import Footprint

Array = NDArray[np.float64]
#: Directions that are tried at a time.
_TRIES = 2**18
#: Spacing of the directions that a cap must hold, as a share of the footprint's side.
_SPACING = 0.02


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

    Parameters
    ----------
    footprint : Footprint
        Where its completeness is one half, there are half as many.
    number : int
    generator : numpy Generator
    """
    middle, angle = cap(footprint)
    axes = frame(*(float(x) for x in directions(middle)))
    found: list[Array] = []
    missing = number
    while missing > 0:
        height = 1 - generator.random(_TRIES) * (1 - math.cos(angle))
        turn = generator.uniform(0, 2 * math.pi, _TRIES)
        across = np.sqrt(np.maximum(1 - height**2, 0))
        local = np.stack([across * np.cos(turn), across * np.sin(turn), height], axis=1)
        ra, dec = directions(local @ axes)
        kept = generator.random(_TRIES) < footprint.completeness(ra, dec)
        found.append(np.stack([ra[kept], dec[kept]])[:, :missing])
        missing -= found[-1].shape[1]
    ra, dec = np.concatenate(found, axis=1) if found else np.empty((2, 0))
    return ra, dec
