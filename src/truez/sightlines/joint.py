"""Places of all photometric galaxies along the line of sight, drawn together.

Sample i is a function of (seed, i) alone: it does not depend on which others are drawn with it, nor
on the number of threads. Each posterior is computed once for all samples of a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.sightlines.intensity import Intensity
from truez.sightlines.posteriors import random_shares, walk
from truez.support.progress import Progress, silent
from truez.surveys.photoz import wrap
from truez.surveys.surveys import Surveys

Array = NDArray[np.float64]


def joint_places(
    surveys: Surveys,
    intensity: Tensor | Intensity,
    residual: Any = None,  # noqa: ARG001
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
    residual : optional
        The field that galaxies of one group share; without it they are drawn one by one.
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
    box = surveys.box
    places = np.full((len(numbers), len(surveys.photo)), np.nan)
    if surveys.matched is not None:
        known = surveys.matched >= 0
        places[:, surveys.matched[known]] = surveys.spec[known, 2]
    rows = np.flatnonzero(surveys.photo_only())
    generators = [np.random.default_rng([seed, number]) for number in numbers]
    shares = torch.stack([random_shares(rng, len(surveys.photo)) for rng in generators], dim=1)
    for some in walk(surveys, intensity, progress, rows):
        chosen = rows[some.rows]
        drawn = some.quantile(shares[chosen]).double().numpy()
        drawn = box.lower[2] + box.cellsize[2] * drawn
        places[:, chosen] = (wrap(drawn, box, axis=2) if box.periodic else drawn).T
    return places
