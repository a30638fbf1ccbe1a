"""Whether the posteriors of galaxies are right, where their true redshifts are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.sightlines.posteriors import walk
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
    """

    gain: Array
    pit: Array


def calibrate(
    surveys: Surveys,
    intensity: Tensor,
    truth: NDArray[np.floating],
    *,
    progress: Progress = silent,
) -> Calibration:
    """Compare the posteriors with the truth, where it is known.

    Parameters
    ----------
    surveys : Surveys
    intensity : Tensor (nx, ny, nz)
        As in `sharpen`.
    truth : (n_p, 3) array
        True positions of ``surveys.photo`` [Mpc/h].
    progress : Progress

    Returns
    -------
    Calibration
        nan for galaxies whose redshift the surveys know, and for those without a posterior.
    """
    if truth.shape != surveys.photo.shape:
        raise ValueError(
            f"truth must have a row for each of {len(surveys.photo)} photo galaxies, not the shape "
            f"{truth.shape}"
        )
    box = surveys.box
    gain = np.full(len(truth), np.nan)
    pit = np.full(len(truth), np.nan)
    unknown = surveys.photo_only()
    for some in walk(surveys, intensity, progress):
        place = torch.from_numpy((truth[some.rows, 2] - box.lower[2]) / box.cellsize[2])
        if box.periodic:
            start = some.start.double()
            place = start + torch.remainder(place - start, box.meshsize[2])
        below, there = some.below(place.float())
        pit[some.rows] = below
        gain[some.rows] = there.log() + some.log_even
    gain[~unknown] = pit[~unknown] = np.nan
    return Calibration(gain, pit)
