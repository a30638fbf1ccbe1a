"""Redshifts of all photometric galaxies on the sky, drawn together, patch by patch.

Sample i is a function of (seed, i) alone: it does not depend on which others are drawn with it, nor
on the number of threads. A galaxy is drawn at a share of its posterior that belongs to its row in
the catalogue, however the sky is cut into patches; the posterior is that of the patch whose core
holds it. So its place is one and the same in all patches that paint it.

With fluctuations (`truez.sightlines.fluctuations`) the galaxies of one group move together, if the
core of one patch holds them: the random field of a patch is a function of (seed, i, number of the
patch), and those of neighbours are independent. Lengths across the sky are those of the box of the
patch, true at its chi_ref, as they are in the linear model. Beyond the box there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.memory import VALUE
from truez.sightlines.fluctuations import Fluctuations
from truez.sightlines.intensity import Intensity
from truez.sightlines.joint import SAMPLES_AT_ONCE, JointDraws, turns
from truez.sightlines.posteriors import Posteriors, random_shares, walk_rows
from truez.sky.layout import Layout, Outline
from truez.sky.patch_data import PatchData
from truez.sky.surveys import SkySurveys
from truez.support.progress import Progress, silent

Rows = NDArray[np.int64]
Redshifts = NDArray[np.floating[Any]]
#: The intensity of a patch by its number; None where there is none.
Intensities = Callable[[int], Intensity | None]
#: What the galaxies of one group share in each patch; None where they are drawn one by one.
PatchFluctuations = Sequence[Fluctuations | None]

#: Meshes in memory beside those of the samples while fluctuations are made: h, ln(lambda_R + c),
#: h^2, ln lambda and what the contrast adds to it, a random field and its modes.
_BESIDE_SAMPLES = 7


def walk_patch(
    data: PatchData,
    intensity: Tensor | Intensity,
    rows: Rows,
    progress: Progress = silent,
    *,
    then: Callable[[Posteriors], Any] = lambda some: some,
) -> Iterator[Any]:
    """Posteriors of photometric galaxies on the sight lines of a box.

    Parameters
    ----------
    data : PatchData
        Of the box.
    intensity : Tensor or Intensity
    rows : (m,) ints
        Of ``surveys.photo``.
    progress : Progress
    then : function of Posteriors
        What is made of each block, by several threads; the posteriors themselves by default.

    Yields
    ------
    Posteriors
        Whose rows are places in ``rows``; or what ``then`` makes of them.
    """
    if not isinstance(intensity, Intensity) or intensity.pairs is None:
        yield from walk_rows(data.own_places(rows), intensity, progress, then=then)
        return
    everyone, chosen = data.with_neighbours(rows)
    place = np.zeros(len(everyone), np.int64)
    place[chosen] = np.arange(len(rows))

    def made(some: Posteriors) -> Any:
        return then(replace(some, rows=place[some.rows]))

    yield from walk_rows(data.own_places(everyone), intensity, progress, chosen, then=made)


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


def patch_fluctuations(
    metadata: Mapping[str, Any], outlines: Sequence[Outline]
) -> tuple[Fluctuations | None, ...]:
    """What the galaxies of one group share in each patch.

    Parameters
    ----------
    metadata : dict
        Of a field, with ``fluctuations`` among what was found in each of its ``shells``; None for
        shells without.
    outlines : sequence of Outline
        Of its patches.

    Raises
    ------
    ValueError
        If they are not what a reconstruction writes.
    """
    shells = metadata.get("shells", ())
    try:
        found = {(one["near"], one["far"]): Fluctuations.of(one) for one in shells}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            "shells of the metadata must be those of a reconstruction, with near and far, and are "
            f"{str(shells)[:60]!r}"
        ) from error
    return tuple(found.get((one.near, one.far)) for one in outlines)


def memory_of_draws(box: Box, num: int) -> int:
    """Memory that joint draws of a number of samples take for the box of a patch [bytes].

    One mesh for each sample that is drawn at once, and a few besides; without fluctuations none.
    """
    return VALUE * (min(num, SAMPLES_AT_ONCE) + _BESIDE_SAMPLES) * box.num_cells


@dataclass(frozen=True, eq=False)
class PatchDraws:
    """The samples that are drawn in one walk over the galaxies of a patch.

    Parameters
    ----------
    data : PatchData
        Of the patch.
    shares : (samples, n_p) array
        Random numbers of all photometric galaxies, between 0 and 1.
    joint : JointDraws, optional
        The fluctuations of these samples; without them galaxies are drawn one by one.
    """

    data: PatchData
    shares: Redshifts
    joint: JointDraws | None = None

    def redshifts(self, galaxies: Rows, some: Posteriors) -> Redshifts:
        """Drawn redshifts of galaxies (m,), whose posteriors these are, (samples, m)."""
        shares = self.shares[:, galaxies].T.astype(np.float32)
        if self.joint is None:
            place = some.quantile(torch.from_numpy(shares)).numpy()
        else:
            place = self.joint.places(some, self.data.places(galaxies), shares)
        return self.data.sight_line.redshift(place).T


class SkyDraws:
    """Redshifts of all photometric galaxies in several samples, drawn patch after patch.

    Parameters
    ----------
    surveys : SkySurveys
    seed : int
    numbers : sequence of int
        The samples that are wanted, each at least 0.
    dtype : numpy dtype
        Of the redshifts, which are all that takes memory beside the fluctuations of one patch.
    """

    def __init__(
        self, surveys: SkySurveys, *, seed: int, numbers: Sequence[int], dtype: Any = np.float64
    ) -> None:
        self._surveys, num = surveys, len(surveys.photo)
        self._seed, self._numbers = seed, numbers
        # The share of each galaxy, until there is a redshift in its place.
        self._values = np.empty((len(numbers), num), dtype)
        for values, number in zip(self._values, numbers, strict=True):
            values[:] = random_shares(np.random.default_rng([seed, number]), num).numpy()
        self._known = np.zeros(num, dtype=bool)

    def in_patch(
        self,
        data: PatchData,
        intensity: Intensity,
        fluctuations: Fluctuations | None = None,
        *,
        part: int,
    ) -> Iterator[PatchDraws]:
        """The samples of a patch, all at once or, with fluctuations, a few at a time.

        For each of what is yielded the galaxies of the patch are walked over once more; there is at
        least one, even of no samples.

        Parameters
        ----------
        data : PatchData
            Of the patch.
        intensity : Intensity
        fluctuations : Fluctuations, optional
            What galaxies of one group share there.
        part : int
            Number of the patch.
        """
        if fluctuations is None or not len(self._numbers):
            yield PatchDraws(data, self._values)
            return
        for some in turns(len(self._numbers)):
            yield PatchDraws(
                data,
                self._values[some],
                JointDraws.of(
                    fluctuations, intensity, data.box,
                    seed=self._seed, numbers=self._numbers[some], part=part,
                ),
            )  # fmt: skip

    def put(self, galaxies: Rows, some: PatchDraws, redshift: Redshifts) -> None:
        """Write down what was drawn of galaxies (m,), (samples, m); each galaxy comes once."""
        some.shares[:, galaxies] = redshift
        self._known[galaxies] = True

    def redshifts(self) -> Redshifts:
        """Of all galaxies (samples, n_p), when the last patch has been drawn.

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
    fluctuations: PatchFluctuations | None = None,
    *,
    seed: int,
    numbers: Sequence[int],
    dtype: Any = np.float64,
    progress: Progress = silent,
) -> Redshifts:
    """Redshifts of all photometric galaxies in several samples.

    Each posterior is computed once for all of them, with fluctuations once for a few.

    Parameters
    ----------
    surveys : SkySurveys
    layout : Layout
        Of the patches.
    intensities : function of the number of a patch
        Its intensity.
    fluctuations : sequence of Fluctuations or None, optional
        Those of each patch; without them galaxies are drawn one by one.
    seed, numbers, dtype
        As of `SkyDraws`.
    progress : Progress

    Returns
    -------
    array (len(numbers), n_p)
        As of `SkyDraws.redshifts`.

    Raises
    ------
    ValueError
        If a patch has no intensity.
    """
    draws = SkyDraws(surveys, seed=seed, numbers=numbers, dtype=dtype)
    patch_of = own_patches(surveys, layout)
    for number, outline in enumerate(layout.outlines):
        rows = np.flatnonzero((patch_of == number) & surveys.unknown)
        if not len(rows):
            continue
        data, intensity = PatchData(surveys, outline.box), moving(intensities(number))
        shared = None if fluctuations is None else fluctuations[number]
        for turn in draws.in_patch(data, intensity, shared, part=number):

            def drawn(some: Posteriors, turn: PatchDraws = turn, rows: Rows = rows) -> Any:
                galaxies = rows[some.rows]
                return galaxies, turn.redshifts(galaxies, some)

            for galaxies, redshift in walk_patch(data, intensity, rows, progress, then=drawn):
                draws.put(galaxies, turn, redshift)
            del turn, drawn  # before the next samples are made
    return draws.redshifts()
