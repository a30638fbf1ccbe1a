"""Places of all photometric galaxies along the line of sight, drawn together.

Sample i is a function of (seed, i) alone: it does not depend on which others are drawn with it, nor
on the number of threads. Each posterior is computed once for several samples: for all of a call, or
with fluctuations (`truez.sightlines.fluctuations`), by which galaxies of one group move together,
for as many as there are meshes of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.sightlines.fluctuations import Fluctuations
from truez.sightlines.intensity import Intensity
from truez.sightlines.joint_loops import compiled
from truez.sightlines.own_place import corners
from truez.sightlines.posteriors import Posteriors, random_shares, walk
from truez.support.progress import Progress, silent
from truez.surveys.photoz import wrap
from truez.surveys.surveys import Surveys

#: Samples that are drawn with fluctuations in one walk over the galaxies, a mesh each.
SAMPLES_AT_ONCE = 4
Array = NDArray[np.float64]
Single = NDArray[np.float32]


def turns(num: int, most: int | None = None) -> Iterator[slice]:
    """The samples of each walk over the galaxies, of ``num`` in all; `SAMPLES_AT_ONCE` at most."""
    step = most or SAMPLES_AT_ONCE
    for first in range(0, num, step):
        yield slice(first, min(first + step, num))


@dataclass(frozen=True, eq=False)
class JointDraws:
    """Fluctuations of several samples on a mesh, which galaxies are drawn with.

    Parameters
    ----------
    box : Box
    lines : tuple of two float32 arrays (nx ny, nz)
        h and ln(lambda_R + c) of `Fluctuations.size`.
    exponents : sequence of float32 arrays (nx ny, nz)
        ln(lambda_s / lambda) of each sample.
    band : float32 array (r + 1,)
        K of 0, 1, ... cells.
    powers : float32 array (2,)
        Sharpness and tilt.
    """

    box: Box
    lines: tuple[Single, Single]
    exponents: Sequence[Single]
    band: Single
    powers: Single

    @classmethod
    def of(
        cls,
        fluctuations: Fluctuations,
        intensity: Intensity,
        box: Box,
        *,
        seed: int,
        numbers: Sequence[int],
        part: int = 0,
    ) -> JointDraws:
        """Those of an intensity; the other parameters are those of `Fluctuations.field`."""
        mean = intensity.on_mesh(box)
        size, level = fluctuations.size(mean, box)
        covariance = fluctuations.covariance(box)
        less = 0.5 * float(covariance[0]) * size.square()
        log = mean.log()
        known = fluctuations.shift(log, box).add_(log)
        num = box.meshsize[2]
        exponents = []
        for number in numbers:
            which = {"seed": seed, "number": number, "part": part}
            amplitude = fluctuations.amplitude(box, **which)
            exponent = (size * fluctuations.field(box, **which)).add_(known).mul_(amplitude)
            exponent.sub_(less, alpha=amplitude**2).sub_(log)
            exponents.append(exponent.reshape(-1, num).numpy())
        powers = np.array([fluctuations.sharpness, fluctuations.tilt], np.float32)
        lines = size.reshape(-1, num).numpy(), level.reshape(-1, num).numpy()
        return cls(box, lines, exponents, np.expm1(covariance).astype(np.float32), powers)

    def places(self, some: Posteriors, sky: Array, shares: Single) -> Array:
        """Drawn places [cells from the lower face], (m, samples).

        Parameters
        ----------
        some : Posteriors
            Of m galaxies.
        sky : array (m, 2)
            Their places on the sky [Mpc/h].
        shares : float32 array (m, samples)
            Random numbers of each, between 0 and 1.
        """
        ring = self.box.periodic
        around = corners(sky, self.box, self.box.meshsize)
        start = np.floor(some.start.numpy()).astype(np.int64)
        posterior = np.array(some.probability.numpy(), dtype=np.float32, order="C")
        loops = compiled()
        loops.restored(posterior, around, start, self.lines, self.band, self.powers, ring)
        result = np.empty((len(posterior), len(self.exponents)))
        for sample, lines in enumerate(self.exponents):
            out = np.empty(len(posterior))
            loops.drawn(posterior, around, start, lines, shares[:, sample].copy(), ring, out)
            result[:, sample] = start + out
        return result


def joint_places(
    surveys: Surveys,
    intensity: Tensor | Intensity,
    fluctuations: Fluctuations | None = None,
    *,
    seed: int,
    numbers: Sequence[int],
    progress: Progress = silent,
) -> Array:
    """Places along the line of sight of every photometric galaxy, in several samples.

    Parameters
    ----------
    surveys : Surveys
    intensity : Tensor or Intensity
        As in `truez.sightlines.sharpened.sharpen`.
    fluctuations : Fluctuations, optional
        What galaxies of one group share; without them they are drawn one by one.
    seed : int
    numbers : sequence of int
        The samples that are wanted, each at least 0.
    progress : Progress

    Returns
    -------
    array (len(numbers), n_p) [Mpc/h]
        Within the box if that is periodic; places beyond the faces of a closed box stay there.
        Known redshifts are unchanged; nan for galaxies without a posterior.
    """
    given = intensity if isinstance(intensity, Intensity) else Intensity(intensity)
    places = np.full((len(numbers), len(surveys.photo)), np.nan)
    if surveys.matched is not None:
        known = surveys.matched >= 0
        places[:, surveys.matched[known]] = surveys.spec[known, 2]
    most = len(numbers) if fluctuations is None else None
    for some in turns(len(numbers), most):
        _draw(places[some], surveys, given, fluctuations, seed, numbers[some], progress)
    return places


def _draw(
    places: Array,
    surveys: Surveys,
    intensity: Intensity,
    fluctuations: Fluctuations | None,
    seed: int,
    numbers: Sequence[int],
    progress: Progress,
) -> None:
    """Write places of galaxies without a known redshift, (len(numbers), n_p), in one walk."""
    box = surveys.box
    rows = np.flatnonzero(surveys.photo_only())
    generators = [np.random.default_rng([seed, number]) for number in numbers]
    shares = torch.stack([random_shares(rng, len(surveys.photo)) for rng in generators], dim=1)
    joint = None
    if fluctuations is not None:
        joint = JointDraws.of(fluctuations, intensity, box, seed=seed, numbers=numbers)

    def draw(some: Posteriors) -> tuple[NDArray[np.int64], Array]:
        chosen = rows[some.rows]
        if joint is None:
            return chosen, some.quantile(shares[chosen]).double().numpy()
        sky = surveys.photo[chosen, :2].astype(np.float64)
        return chosen, joint.places(some, sky, shares[chosen].numpy())

    for chosen, drawn in walk(surveys, intensity, progress, rows, then=draw):
        place = box.lower[2] + box.cellsize[2] * drawn
        places[:, chosen] = (wrap(place, box, axis=2) if box.periodic else place).T
