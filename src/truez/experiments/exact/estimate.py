"""The exact estimate of a box, from the draws of its posterior, and its numbers.

The estimate of least squared error is the mean of the truth over everything that the data leave
open. Of galaxy g, with its photo-z in cell i of its sight line, the true cell j has the probability

    p_g(j) = mean over draws of  mu_j K_ij / (K mu)_i,

a mean of probabilities, not of their logarithms. So the nats of these are those of the exact
predictive distribution, and the field is the galaxies painted with them, each at its own place on
the sky. Since galaxies are uniform within their cells, there is one answer for a galaxy, and
``nats_own_place`` has it; ``nats`` are those of the mean intensity, shared between sight lines as
for every other method.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from truez.evaluate.box_redshifts import judged_from, judged_galaxies
from truez.evaluate.judge import Judge
from truez.experiments.exact.sampling import Draws, mean_intensity
from truez.experiments.exact.world import Observed
from truez.mesh.field import Field
from truez.sightlines.calibration import calibrate_posteriors
from truez.sightlines.kernel import Kernel
from truez.sightlines.posterior_field import posterior_field
from truez.sightlines.posteriors import Posteriors
from truez.sightlines.redistribution import information_gain

#: Galaxies that are worked on at a time.
_ROWS = 4096


def posteriors(observed: Observed, draws: Draws) -> Iterator[Posteriors]:
    """Posteriors of the photometric galaxies without a spectrum, in chunks."""
    photo = observed.photo_cells[:, 2]
    kernel = Kernel.of(observed.world.error, observed.world.box).matrix
    num = kernel.shape[1]
    for first in range(0, len(photo), _ROWS):
        rows = np.arange(first, min(first + _ROWS, len(photo)))
        cells = torch.from_numpy(photo[rows])
        start = cells - num // 2
        turned = torch.remainder(start[:, None] + torch.arange(num), num)
        probability = torch.from_numpy(draws.probability[rows] / draws.number)
        probability = (probability / probability.sum(1, keepdim=True)).gather(1, turned)
        alone = kernel[cells].gather(1, turned)
        alone = alone / alone.sum(1, keepdim=True)
        yield Posteriors(
            step=range(first, first + len(rows)),
            rows=rows,
            probability=probability,
            # So that its logarithm is the gain over the photo-z alone.
            intensity=probability / alone,
            start=start.float(),
            log_even=torch.zeros(len(rows)),
            log_evidence=torch.zeros(len(rows)),
        )


def exact_field(observed: Observed, draws: Draws) -> tuple[Field, float]:
    """The mean of the truth given both surveys, and the rms of its standard deviation.

    In a cell alone a few hundred draws give that with too much scatter to be of use.
    """
    surveys = observed.mock.surveys
    expected = surveys.true_expected()
    made = posterior_field(
        posteriors(observed, draws),
        surveys.photo[: len(observed.other)],
        expected=expected,
        known=observed.spec,
    )
    level = float(expected.values.double().mean())
    return made.field, math.sqrt(float(draws.variance.mean())) / level


def exact_numbers(observed: Observed, draws: Draws, judge: Judge) -> dict[str, Any]:
    """The entry of the exact estimate beside those of the methods."""
    mock = observed.mock
    field, sigma = exact_field(observed, draws)
    found = calibrate_posteriors(mock.surveys, posteriors(observed, draws), mock.truth)
    judged = judged_from(found, mock.surveys).take(judged_galaxies(mock))
    nats = information_gain(mock.surveys, mean_intensity(draws), mock.truth)
    return judge.judge(field, sigma=sigma, posteriors={"nats": nats, **judged.numbers()})
