"""Magnitudes for simulated galaxies, and samples that a spectroscopic survey would choose by them.

Absolute magnitudes are those of h = 1, M - 5 log10(h), so that with distances in Mpc/h

    m = M + 5 log10(chi (1 + z)) + 25 + k z,

k z being a rough K-correction.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gamma, gammaincc

from truez.cosmology import Cosmology

Array = NDArray[np.float64]
#: Luminosity function of galaxies in r: density [(h/Mpc)^3], characteristic magnitude, slope.
SCHECHTER = (1.49e-2, -20.44, -1.05)
#: How a spectroscopic sample is chosen.
CHOICES = ("random", "bright", "luminous")


def distance_modulus(redshift: ArrayLike, cosmology: Cosmology, k: float = 0.0) -> Array:
    """m - M at redshifts, with a K-correction of k z [mag]."""
    z = np.asarray(redshift, np.float64)
    chi = np.maximum(cosmology.distances.from_redshift(z), 1e-3)
    return np.asarray(5 * np.log10(chi * (1 + z)) + 25 + k * z)


def absolute_magnitudes(mass: ArrayLike, volume: float) -> Array:
    """Absolute magnitudes by abundance: the most massive galaxies are the most luminous, (n,).

    The number density above each galaxy is that of a Schechter function with the parameters of
    Blanton et al. 2003 (SDSS, r at z = 0.1).

    Parameters
    ----------
    mass : (n,) array
        Or any number by which galaxies are ranked, the largest the most luminous.
    volume : float
        Of the box [(Mpc/h)^3].
    """
    ranks = np.argsort(np.argsort(-np.asarray(mass, np.float64), kind="stable"), kind="stable")
    grid = np.linspace(-26.0, -5.0, 4201)
    density, star, slope = SCHECHTER
    x = 10 ** (0.4 * (star - grid))
    # Gamma(slope + 1, x) by recurrence, as the incomplete function needs a positive argument.
    upper = (gamma(slope + 2) * gammaincc(slope + 2, x) - x ** (slope + 1) * np.exp(-x)) / (
        slope + 1
    )
    above = density * upper
    return np.asarray(np.interp((ranks + 0.5) / volume, above, grid))


def choose_spectroscopic(
    how: Literal["random", "bright", "luminous"],
    number: int,
    *,
    generator: np.random.Generator,
    redshift: Array,
    magnitude: Array | None = None,
    cosmology: Cosmology | None = None,
    complete_to: float = 0.3,
    k: float = 0.0,
) -> NDArray[np.int64]:
    """Rows of the galaxies that get spectra, ascending.

    Parameters
    ----------
    how : {"random", "bright", "luminous"}
        Any galaxies; those of the smallest apparent magnitude; or any of those that are luminous
        enough to be in the photometric sample up to ``complete_to``.
    number : int
        How many, at most.
    generator : numpy Generator
    redshift : (n,) array
        True redshifts.
    magnitude : (n,) array, optional
        Apparent magnitudes, for all but ``random``.
    cosmology : Cosmology, optional
        For ``luminous``.
    complete_to, k : float
        For ``luminous``: the redshift, and the K-correction over z [mag].

    Raises
    ------
    ValueError
        If magnitudes are needed and missing, or no galaxy is left.
    """
    rows = np.arange(len(redshift))
    if how == "random":
        return np.sort(generator.choice(rows, number, replace=False))
    if magnitude is None:
        raise ValueError(
            f"spec_choice {how} needs the magnitudes of the galaxies: give magnitude_column"
        )
    if how == "bright":
        return np.sort(np.argsort(magnitude, kind="stable")[:number])
    assert cosmology is not None
    absolute = magnitude - distance_modulus(redshift, cosmology, k)
    faintest = float(magnitude.max()) - float(distance_modulus(complete_to, cosmology, k))
    rows = np.flatnonzero(absolute <= faintest)
    if len(rows) == 0:
        raise ValueError(
            f"no galaxy is luminous enough to be observed at z = {complete_to:g}: choose a smaller "
            "complete_to"
        )
    return np.sort(generator.choice(rows, min(number, len(rows)), replace=False))
