"""Numbers of surveys that are reconstructed in parts, which every part needs to know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Whole:
    """Numbers of the even surveys that others are a part of.

    Parameters
    ----------
    densities : (3,) floats
        (n_s, n_p, n_sp) [(h/Mpc)^3]: spectroscopic, photometric, and in both.
    known_share : float
        Share of the photometric galaxies whose true redshift is known.
    movable_share : float
        Galaxies to move over those that are expected, see
        `truez.sightlines.posteriors.movable_share`.
    """

    densities: tuple[float, float, float]
    known_share: float
    movable_share: float
