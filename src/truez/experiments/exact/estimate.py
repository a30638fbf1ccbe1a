"""The exact estimate of a box, from the draws of its posterior, and its numbers.

The estimate of least squared error is the mean of the truth over everything that the data leave
open. Of galaxy g, with its photo-z in cell i of its sight line, the true cell j has the probability

    p_g(j) = mean over draws of  mu_j K_ij / (K mu)_i,

a mean of probabilities, not of their logarithms. So the nats of these are those of the exact
predictive distribution, and the field is the galaxies painted with them, each at its own place on
the sky. Since galaxies are uniform within their cells, there is one answer for a galaxy, and
``nats_own_place`` has it; ``nats`` are those of the mean intensity, shared between sight lines as
for every other method.

Means over a finite number of draws scatter, which makes a squared error larger and a logarithm
smaller. Where there are several chains, that is corrected: products of the errors of two chains
(m_1 - t) (m_2 - t) and of their modes have no such bias, and ln p is extrapolated from what it
loses where each chain is left out in turn (the jackknife).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from truez.evaluate.box_redshifts import judged_from, judged_galaxies
from truez.evaluate.judge import Judge
from truez.experiments.exact.sampling import Draws, mean_intensity
from truez.experiments.exact.world import Observed
from truez.mesh.field import Field
from truez.sightlines.calibration import Calibration, calibrate_posteriors
from truez.sightlines.intensity import Intensity
from truez.sightlines.kernel import Kernel
from truez.sightlines.own_place import OwnPlaces
from truez.sightlines.posterior_field import posterior_field
from truez.sightlines.posteriors import Posteriors
from truez.sightlines.redistribution import information_gain
from truez.statistics.power import compare_mu, power

#: Galaxies that are worked on at a time.
_ROWS = 4096


def posteriors(
    observed: Observed, draws: Draws, chains: Sequence[int] | None = None
) -> Iterator[Posteriors]:
    """Posteriors of the photometric galaxies without a spectrum, in chunks.

    Of all chains by default, or of some.
    """
    photo = observed.photo_cells[:, 2]
    kernel = Kernel.of(observed.world.error, observed.world.box).matrix
    num = kernel.shape[1]
    chosen = range(len(draws.probability)) if chains is None else chains
    for first in range(0, len(photo), _ROWS):
        rows = np.arange(first, min(first + _ROWS, len(photo)))
        cells = torch.from_numpy(photo[rows])
        start = cells - num // 2
        turned = torch.remainder(start[:, None] + torch.arange(num), num)
        total = np.sum([draws.probability[chain][rows] for chain in chosen], axis=0)
        probability = torch.from_numpy(total)
        probability = (probability / probability.sum(1, keepdim=True)).gather(1, turned)
        alone = kernel[cells].gather(1, turned)
        alone = alone / alone.sum(1, keepdim=True)
        yield Posteriors(
            rows=rows,
            probability=probability,
            # So that its logarithm is the gain over the photo-z alone.
            intensity=probability / alone,
            start=start.float(),
            log_even=torch.zeros(len(rows)),
            log_evidence=torch.zeros(len(rows)),
        )


def exact_field(observed: Observed, draws: Draws, chains: Sequence[int] | None = None) -> Field:
    """The mean of the truth given both surveys, over all chains or some."""
    surveys = observed.mock.surveys
    chosen = range(len(draws.probability)) if chains is None else chains
    even = torch.ones(1, 1, 1).expand(surveys.box.meshsize)
    # With an even intensity a likelihood is a posterior.
    galaxies = OwnPlaces(
        box=surveys.box,
        positions=surveys.photo[: len(observed.other)],
        likelihood=lambda rows: np.sum(
            [draws.probability[chain][rows] for chain in chosen], axis=0
        ),
        expected=even,
    )
    made = posterior_field(
        galaxies,
        Intensity(even.contiguous()),
        expected=surveys.true_expected(),
        known=observed.spec,
    )
    return made.field


def exact_sigma(observed: Observed, draws: Draws) -> float:
    """Root of the mean variance of the truth in a cell, given both surveys.

    In a cell alone a few hundred draws give that with too much scatter to be of use.
    """
    level = len(observed.mock.truth) / observed.world.box.num_cells
    return math.sqrt(float(draws.variance.mean())) / level


def exact_numbers(observed: Observed, draws: Draws, judge: Judge) -> dict[str, Any]:
    """The entry of the exact estimate beside those of the methods.

    ``noise`` holds what the finite number of draws took away, and the corrections gave back: of the
    mean squared error, and of the nats at the own place.
    """
    mock = observed.mock
    found = raw = _calibration(observed, draws)
    nats = information_gain(mock.surveys, mean_intensity(draws), mock.truth)
    entry = judge.judge(exact_field(observed, draws), sigma=exact_sigma(observed, draws))
    noise = {"mse": entry["mse"]}
    if len(draws.probability) > 1:
        found = _extrapolated(observed, draws, found)
        fields = [exact_field(observed, draws, [n]) for n in range(len(draws.probability))]
        entry |= _without_noise(fields, judge, entry)
    rows = judged_galaxies(mock)
    numbers = judged_from(found, mock.surveys).take(rows).numbers()
    noise["mse"] -= entry["mse"]
    noise["nats_own_place"] = float(np.mean(found.gain[rows] - raw.gain[rows]))
    entry["posteriors"] = {"nats": nats, **numbers}
    return entry | {"noise": noise}


def _calibration(
    observed: Observed, draws: Draws, chains: Sequence[int] | None = None
) -> Calibration:
    mock = observed.mock
    return calibrate_posteriors(mock.surveys, posteriors(observed, draws, chains), mock.truth)


def _extrapolated(observed: Observed, draws: Draws, found: Calibration) -> Calibration:
    """The same with ln p and the gain for an infinite number of draws."""
    num = len(draws.probability)
    gains = []
    for left_out in range(num):
        others = [chain for chain in range(num) if chain != left_out]
        gains.append(_calibration(observed, draws, others).gain)
    more = (num - 1) * (found.gain - np.mean(gains, axis=0))
    return replace(found, gain=found.gain + more, ln_p=found.ln_p + more)


def _without_noise(fields: Sequence[Field], judge: Judge, entry: dict[str, Any]) -> dict[str, Any]:
    """Squared errors, spectra and poles from pairs of chains."""
    pairs = list(itertools.combinations(fields, 2))

    def mean(number: Callable[[Field, Field], Any]) -> Any:
        return np.mean([number(one, other) for one, other in pairs], axis=0)

    def error(truth: Field) -> Callable[[Field, Field], float]:
        def product(one: Field, other: Field) -> float:
            first, second = (f.values.double() - truth.values for f in (one, other))
            return float((first * second).mean())

        return product

    def smoothed_error(radius: float, truth: Field) -> float:
        product = error(truth)
        return float(mean(lambda a, b: product(a.smooth(radius), b.smooth(radius))))

    smoothed = {
        str(radius): {**entry["smoothed"][str(radius)], "mse": smoothed_error(radius, truth)}
        for radius, truth in judge.smoothed.items()
    }
    mse = float(mean(error(judge.truth)))
    edges, num_mu = judge.edges, entry["power"].shape[1]
    result = {
        "mse": mse,
        "mse_over_variance": mse / judge.variance,
        "smoothed": smoothed,
        "power": mean(lambda a, b: compare_mu(a, truth=b, edges=edges, num_mu=num_mu).power_rt),
    }
    if judge.ells:
        poles = [power(a, b, edges=edges, ells=judge.ells).poles for a, b in pairs]
        result["poles"] = {
            str(ell): np.mean([one[ell] for one in poles], axis=0) for ell in judge.ells
        }
    return result
