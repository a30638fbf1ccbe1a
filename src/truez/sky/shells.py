"""Shells of distance: how a survey is cut along the line of sight.

Lengths across the sky of a sky box are true at chi_ref alone, so that a deep survey is cut into
shells whose cores have far / near <= 1.5. Each reaches some errors of the photo-z beyond its core,
and no core is thinner than that. A near and shallow survey is one shell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from truez.cosmology import SPEED_OF_LIGHT, Cosmology
from truez.surveys.nz import NumberDensity

#: Largest ratio of the distances of a core.
RATIO = 1.5
#: Errors of the photo-z by which a shell reaches beyond its core, and that a core is thick at
#: least.
NUM_SIGMA = 3.0
#: A survey that ends nearer than this is one shell [Mpc/h]; measured on GAMA, which ends at 1,320.
ONE_SHELL = 1500.0
#: Share of the galaxies of a core that are nearer than its chi_ref, where N(z) is known: cells must
#: not be wider than they say where galaxies are.
_NEARER = 0.95


@dataclass(frozen=True)
class Shell:
    """A range of distances [Mpc/h].

    Parameters
    ----------
    near, far : float
        Of its core.
    reach : (2,) floats
        Of its box: the core and what is around it.
    chi_ref : float
        Distance at which lengths across the sky are true.
    """

    near: float
    far: float
    reach: tuple[float, float]
    chi_ref: float


def error_length(cosmology: Cosmology, sigma_z: float, distance: float) -> float:
    """Photo-z error as a length at a distance, c sigma_z (1 + z) / H(z) [Mpc/h]."""
    z = float(cosmology.distances.redshift(distance))
    hubble = float(cosmology.hubble(z))
    return SPEED_OF_LIGHT * sigma_z * (1 + z) / hubble * cosmology.h


def plan_shells(
    cosmology: Cosmology,
    *,
    redshift_range: tuple[float, float],
    sigma_z: float,
    density: NumberDensity | None = None,
    chi_ref: float | None = None,
    ratio: float = RATIO,
    one_shell: float = ONE_SHELL,
) -> list[Shell]:
    """The shells of a survey, the nearest first, whose cores follow each other without gaps.

    Parameters
    ----------
    cosmology : Cosmology
    redshift_range : (2,) floats
        Redshifts between which cores lie.
    sigma_z : float
        Photo-z error over 1 + z: where errors differ, their 95th percentile.
    density : NumberDensity, optional
        N(z), by which chi_ref is the distance that 95% of the galaxies of a core are nearer than;
        the far side of the core by default.
    chi_ref : float, optional
        The distance to use in its place, for a survey of one shell [Mpc/h].
    ratio : float
        Largest far / near of a core where there are several.
    one_shell : float
        A survey that ends at a smaller distance is not cut [Mpc/h].

    Raises
    ------
    ValueError
        If the range is empty, or chi_ref is given for several shells.

    Examples
    --------
    >>> from truez import Cosmology
    >>> from truez.sky.shells import plan_shells
    >>> planck = Cosmology.of("planck18")
    >>> shells = plan_shells(planck, redshift_range=(0.2, 1.2), sigma_z=0.02)
    >>> [round(shell.far) for shell in shells]
    [835, 1222, 1788, 2615]
    """
    low, high = redshift_range
    if not (math.isfinite(low) and math.isfinite(high) and 0 <= low < high):
        raise ValueError(f"redshift_range must be two redshifts from 0 on, not {redshift_range!r}")
    if not 0 <= sigma_z < 1:
        raise ValueError(f"sigma_z must be a number from 0 to below 1, not {sigma_z!r}")
    if not ratio > 1:
        raise ValueError(f"the ratio of shells must be above 1, not {ratio!r}")
    near, far = (float(chi) for chi in cosmology.distances.from_redshift([low, high]))
    edges = [near, far]
    if far > one_shell:
        edges = _cut(cosmology, near, far, sigma_z, ratio)
    if chi_ref is not None and len(edges) > 2:
        raise ValueError(
            f"chi_ref = {chi_ref:g} Mpc/h is for one shell, and the survey has {len(edges) - 1}: "
            "leave it out, or narrow redshift_range"
        )
    return [
        Shell(
            start, stop, _reach(cosmology, start, stop, sigma_z),
            chi_ref or _reference(cosmology, start, stop, density),
        )
        for start, stop in pairwise(edges)
    ]  # fmt: skip


def _cut(
    cosmology: Cosmology, near: float, far: float, sigma_z: float, ratio: float
) -> list[float]:
    """Edges of cores of equal ratios, of which those too thin join the one behind them."""
    thick = NUM_SIGMA * error_length(cosmology, sigma_z, far)
    # Nearer than this no core of the ratio is thick enough.
    start = max(near, thick / ratio / (ratio - 1), 1.0)
    num = max(math.ceil(math.log(far / start) / math.log(ratio) - 1e-9), 1)
    inner = [float(edge) for edge in np.geomspace(start, far, num + 1)[1:-1]]
    edges = [far]
    for edge in reversed(inner):
        if edges[-1] - edge >= NUM_SIGMA * error_length(cosmology, sigma_z, edges[-1]):
            edges.append(edge)
    last = edges[-1]
    if len(edges) > 1 and last - near < NUM_SIGMA * error_length(cosmology, sigma_z, last):
        edges.pop()
    return [near, *reversed(edges)]


def _reach(cosmology: Cosmology, near: float, far: float, sigma_z: float) -> tuple[float, float]:
    before, behind = (NUM_SIGMA * error_length(cosmology, sigma_z, chi) for chi in (near, far))
    return max(near - before, 0.0), min(far + behind, cosmology.distances.farthest)


def _reference(
    cosmology: Cosmology, near: float, far: float, density: NumberDensity | None
) -> float:
    if density is None:
        return far
    low, high = (float(z) for z in cosmology.distances.redshift([near, far]))
    if not density.counts([low, high])[0] > 0:
        return far
    z = float(density.within(low, high).quantile(_NEARER))
    return float(cosmology.distances.from_redshift(z))
