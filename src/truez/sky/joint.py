"""Redshifts of all photometric galaxies on the sky, drawn together, patch by patch.

Sample i is a function of (seed, i) alone: it does not depend on which others are drawn with it, nor
on the number of threads. A galaxy is drawn at a share of its posterior that belongs to its row in
the catalogue, however the sky is cut into patches; the posterior is that of the patch whose core
holds it. So its place is one and the same in all patches that paint it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.sightlines.intensity import Intensity
from truez.sightlines.posteriors import Posteriors, random_shares, walk_rows
from truez.sky.layout import Layout
from truez.sky.patch_data import PatchData
from truez.sky.sight_line import SightLine
from truez.sky.surveys import SkySurveys
from truez.support.progress import Progress, silent

Rows = NDArray[np.int64]
#: The intensity of a patch by its number; None where there is none.
Intensities = Callable[[int], Intensity | None]


def walk_patch(
    data: PatchData, intensity: Tensor | Intensity, rows: Rows, progress: Progress = silent
) -> Iterator[Posteriors]:
    """Posteriors of photometric galaxies on the sight lines of a box.

    The rows of the posteriors are places in ``rows``.
    """
    if not isinstance(intensity, Intensity) or intensity.pairs is None:
        yield from walk_rows(data.own_places(rows), intensity, progress)
        return
    everyone, chosen = data.with_neighbours(rows)
    place = np.zeros(len(everyone), np.int64)
    place[chosen] = np.arange(len(rows))
    for some in walk_rows(data.own_places(everyone), intensity, progress, chosen):
        yield replace(some, rows=place[some.rows])


def own_patches(surveys: SkySurveys, layout: Layout) -> Rows:
    """The patch whose core holds each photometric galaxy, at its photo-z; -1 for none, (n_p,)."""
    sky = surveys.photo
    return layout.patch_of(sky.ra, sky.dec, np.where(surveys.usable, sky.redshift, np.nan))


def moving(intensity: Intensity | None) -> Intensity:
    """The intensity of a patch; raises ValueError where there is none."""
    if intensity is None:
        raise ValueError(
            "this field moves no galaxies and has no intensity: redshifts need the method "
            "redistribution"
        )
    return intensity


class JointDraws:
    """Redshifts in several samples of galaxies whose posteriors come a few at a time.

    Parameters
    ----------
    surveys : SkySurveys
    seed : int
    numbers : sequence of int
        The samples that are wanted, each at least 0.
    dtype : numpy dtype
        Of the redshifts, which are all that takes memory.
    """

    def __init__(
        self, surveys: SkySurveys, *, seed: int, numbers: Sequence[int], dtype: Any = np.float64
    ) -> None:
        self._surveys, num = surveys, len(surveys.photo)
        # The share of each galaxy, until there is a redshift in its place.
        self._values = np.empty((len(numbers), num), dtype)
        for values, number in zip(self._values, numbers, strict=True):
            values[:] = random_shares(np.random.default_rng([seed, number]), num).numpy()
        self._known = np.zeros(num, dtype=bool)

    def add(
        self,
        galaxies: Rows,
        some: Posteriors,
        line: SightLine,
        residual: Any = None,
    ) -> None:
        """Draw the redshifts of some galaxies, each of which comes once.

        Parameters
        ----------
        galaxies : (m,) ints
            Their rows in ``surveys.photo``.
        some : Posteriors
            Of them, in this order.
        line : SightLine
            That of their patch.
        residual : optional
            The field in their patch that galaxies of one group share; without it they are drawn one
            by one.
        """
        if not len(self._values):
            return
        shares = torch.from_numpy(self._values[:, galaxies].T.astype(np.float32))
        self._values[:, galaxies] = line.redshift(some.quantile(shares)).T
        self._known[galaxies] = True

    def redshifts(self) -> NDArray[np.floating[Any]]:
        """Of all galaxies (samples, n_p), when the last ones have been added.

        Known redshifts are unchanged; nan for galaxies without a posterior.
        """
        self._values[:, ~self._known] = np.nan
        known, matched = self._surveys.matched_pairs
        self._values[:, matched] = self._surveys.spec.redshift[known]
        return self._values


def joint_redshifts(
    surveys: SkySurveys,
    layout: Layout,
    intensities: Intensities,
    residual: Any = None,
    *,
    seed: int,
    numbers: Sequence[int],
    dtype: Any = np.float64,
    progress: Progress = silent,
) -> NDArray[np.floating[Any]]:
    """Redshifts of all photometric galaxies in several samples.

    Each posterior is computed once for all of them.

    Parameters
    ----------
    surveys : SkySurveys
    layout : Layout
        Of the patches.
    intensities : function of the number of a patch
        Its intensity.
    residual : function of the number of a patch, optional
        The field there that galaxies of one group share; without it they are drawn one by one.
    seed, numbers, dtype
        As of `JointDraws`.
    progress : Progress

    Returns
    -------
    array (len(numbers), n_p)
        As of `JointDraws.redshifts`.

    Raises
    ------
    ValueError
        If a patch has no intensity.
    """
    draws = JointDraws(surveys, seed=seed, numbers=numbers, dtype=dtype)
    patch_of = own_patches(surveys, layout)
    for number, outline in enumerate(layout.outlines):
        rows = np.flatnonzero((patch_of == number) & surveys.unknown)
        if not len(rows):
            continue
        data = PatchData(surveys, outline.box)
        shared = None if residual is None else residual(number)
        for some in walk_patch(data, moving(intensities(number)), rows, progress):
            draws.add(rows[some.rows], some, data.sight_line, shared)
    return draws.redshifts()
