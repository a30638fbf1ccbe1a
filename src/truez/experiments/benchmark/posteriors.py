"""How much the sharpened redshifts know, and whether they say it rightly."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from truez.sightlines.calibration import calibrate
from truez.sightlines.redistribution import information_gain
from truez.support.progress import Progress, silent
from truez.surveys.mock import Mock

#: Parts of equal probability in which true redshifts are counted, and the central interval.
PIT_BINS, INTERVAL = 10, 0.68


def judge_posteriors(
    mock: Mock, intensity: Tensor, *, resampler: str = "cic", progress: Progress = silent
) -> dict[str, Any]:
    """Information, PIT and coverage of the redshifts that an intensity (nx, ny, nz) gives.

    ``nats`` is the information gain per galaxy of unknown redshift, with galaxies shared between
    the columns of the mesh (as networks are trained); ``nats_own_place`` the same with the
    intensity at the galaxy's own place in the sky (as ``truez redshifts`` writes it); ``pit`` the
    share of galaxies in each tenth; ``inside`` the share of true redshifts inside the central 68%
    interval; ``num`` how many galaxies.
    """
    found = calibrate(mock.surveys, intensity, mock.truth, progress=progress)
    known = np.isfinite(found.gain)
    pit = found.pit[known]
    counts, _ = np.histogram(pit, PIT_BINS, (0.0, 1.0))
    # The probability below the truth says whether it lies in a central interval.
    outside = (1 - INTERVAL) / 2
    return {
        "nats": information_gain(mock.surveys, intensity, mock.truth, resampler=resampler),
        "nats_own_place": float(found.gain[known].mean()),
        "pit": counts / len(pit),
        "inside": float(((pit >= outside) & (pit <= 1 - outside)).mean()),
        "num": len(pit),
    }
