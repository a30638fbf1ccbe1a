"""Whether the posteriors of galaxies are right, where their true redshifts are known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.sightlines.intensity import Intensity
from truez.sightlines.posteriors import Posteriors, walk
from truez.support.progress import Progress, silent
from truez.surveys.surveys import Surveys

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """How the posteriors of galaxies compare with their true redshifts, each an array (n,).

    Parameters
    ----------
    gain : array
        ln p(true cell) less that of the photo-z alone [nats]; its mean is the information gain.
    pit : array
        Probability below the truth: even between 0 and 1 where posteriors are right.
    ln_p : array
        ln of the probability of the true cell.
    median : array
        Of the posterior, along the line of sight [Mpc/h].
    truth : array
        True place along the line of sight [Mpc/h]; in a periodic box that within half a box of the
        photo-z, as the median is.
    """

    gain: Array
    pit: Array
    ln_p: Array
    median: Array
    truth: Array


def calibrate(
    surveys: Surveys,
    intensity: Tensor | Intensity,
    truth: NDArray[np.floating],
    *,
    progress: Progress = silent,
) -> Calibration:
    """Compare the posteriors with the truth, where it is known.

    Parameters
    ----------
    surveys : Surveys
    intensity : Tensor or Intensity
        As in `sharpen`.
    truth : (n_p, 3) array
        True positions of ``surveys.photo`` [Mpc/h].
    progress : Progress

    Returns
    -------
    Calibration
        nan for galaxies whose redshift the surveys know, and for those without a posterior.
    """
    return calibrate_posteriors(surveys, walk(surveys, intensity, progress), truth)


def calibrate_posteriors(
    surveys: Surveys, posteriors: Iterable[Posteriors], truth: NDArray[np.floating]
) -> Calibration:
    """Compare posteriors of the photometric galaxies with the truth.

    Parameters
    ----------
    surveys : Surveys
    posteriors : iterable of Posteriors
        Such as those of `truez.sightlines.posteriors.walk`.
    truth : (n_p, 3) array
        True positions of ``surveys.photo`` [Mpc/h].
    """
    if truth.shape != surveys.photo.shape:
        raise ValueError(
            f"truth must have a row for each of {len(surveys.photo)} photo galaxies, not the shape "
            f"{truth.shape}"
        )
    box = surveys.box
    found = Calibration(*(np.full(len(truth), np.nan) for _ in fields(Calibration)))
    for some in posteriors:
        place = torch.from_numpy((truth[some.rows, 2] - box.lower[2]) / box.cellsize[2])
        if box.periodic:
            start = some.start.double()
            place = start + torch.remainder(place - start, box.meshsize[2])
        below, there = some.below(place.float())
        own = some.at(place.float())
        median = some.quantile(torch.tensor([0.5]))[:, 0].double()
        found.gain[some.rows] = there.log() + some.log_even
        found.pit[some.rows] = below
        found.ln_p[some.rows] = own.double().log()
        found.median[some.rows] = box.lower[2] + box.cellsize[2] * median
        found.truth[some.rows] = box.lower[2] + box.cellsize[2] * place
    known = ~surveys.photo_only()
    for item in fields(Calibration):
        getattr(found, item.name)[known] = np.nan
    return found
