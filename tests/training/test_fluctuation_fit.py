"""Fluctuations fitted to samples of simulated surveys."""

import math

import numpy as np
import pytest
import torch

from truez.cosmology import COSMOLOGIES
from truez.linear.model import LinearModel
from truez.mesh.box import Box
from truez.mesh.painting import paint
from truez.sightlines.intensity import Intensity
from truez.surveys.photoz import PhotozError
from truez.surveys.surveys import Surveys
from truez.training.fluctuation_fit import (
    NODES,
    FluctuationFit,
    SampledPower,
    SampledSurvey,
    improved,
    start_model,
)

M = len(NODES)


def linear(n_spec: float, sigma: float) -> LinearModel:
    k = np.geomspace(0.01, 3, 50)
    power = 2e3 * (k / 0.1) ** -1.3
    return LinearModel.from_spectra(
        k, power, power, power, n_spec=n_spec, n_photo=2e-2, n_both=n_spec,
        error=PhotozError(sigma),
    )  # fmt: skip


def test_steps_find_the_tables_of_a_known_response():
    """Spread = alone + A T and mean = B tau^1/2, with tables that are smooth over the bins."""
    across, along = np.meshgrid(np.linspace(-1, 1, M), np.linspace(-1, 1, M), indexing="ij")
    true = (0.3 * across - 0.4 * along, 0.1 + 0.05 * along, 0 * along - 0.04, -0.2 + 0.05 * across)
    contrast = (0.1 * along - 0.05, -0.02 + 0 * across, 0 * along, 0.03 * across)
    conditions = [(1e-3, 50.0), (1e-4, 50.0), (1e-3, 8.0), (4e-3, 70.0), (3e-4, 20.0)]
    lines = [linear(*one) for one in conditions]
    common, modes = np.full((M, M), 130.0), np.full((M, M), 1e3)
    free = start_model([_survey(line, modes) for line in lines])

    def logs(tables, line):
        return np.tensordot(free.terms(line), np.asarray(tables), 1)

    def power(model, line):
        wrong = 0.5 * (logs(model.contrast, line) - logs(contrast, line))
        spread = 20 + 50 * np.exp(logs(model.tables, line) - logs(true, line))
        return SampledPower(spread, common * np.exp(wrong), common)

    surveys = [_survey(line, modes) for line in lines]
    model = free
    for _ in range(12):
        model = improved(model, surveys, [power(model, line) for line in lines])
    for line in lines:
        found = power(model, line)
        np.testing.assert_allclose(found.mean, 130.0, rtol=0.01)
        np.testing.assert_allclose(found.spread, 70.0, rtol=0.03)
        np.testing.assert_allclose(logs(model.tables, line), logs(true, line), atol=0.04)
        np.testing.assert_allclose(logs(model.contrast, line), logs(contrast, line), atol=0.02)
    assert model.lowest == pytest.approx((math.log(0.1), math.log(0.16)))
    assert model.highest == pytest.approx((math.log(4.0), math.log(1.4)))


def _survey(line: LinearModel, modes: np.ndarray) -> SampledSurvey:
    return SampledSurvey(
        None, None, line, None, modes, np.full((M, M), 200.0), np.full((M, M), 20.0)
    )  # type: ignore[arg-type]


def test_galaxies_that_are_drawn_one_by_one_spread_as_poisson_noise():
    """With photo-z that say nothing the places along a sight line are random numbers."""
    box = Box((64, 64, 128), cellsize=2)
    rng = np.random.default_rng(2)
    photo = rng.uniform(0, 1, (40_000, 3)) * box.boxsize
    surveys = Surveys(
        spec=np.ones((1, 3)), photo=photo, box=box, redshift=0.5, error=PhotozError(1e4),
        num_both=0, matched=np.array([-1]), cosmology=COSMOLOGIES["planck18"],
    )  # fmt: skip
    even = torch.ones(box.meshsize)
    config = FluctuationFit(samples=8)
    truth = paint(photo, box, "cic").to_delta()
    made = SampledSurvey.of(
        surveys, Intensity(even), linear(1e-3, 50.0), truth=truth, config=config
    )
    # The truth has the same noise, with as many windows.
    some = (made.modes > 200) & (NODES[None, :] > 0.06)
    np.testing.assert_allclose(made.alone[some] / made.truth[some], 1, atol=0.25)
    ratio = (made.alone * made.modes)[some].sum() / (made.truth * made.modes)[some].sum()
    assert ratio == pytest.approx(1, abs=0.01)
    # The mean is even, and nothing of it is common with the truth.
    found = made.power(None, config)
    np.testing.assert_array_equal(found.spread, made.alone)
    for power in (found.mean, found.common):
        assert abs((power * made.modes)[some].sum()) < 0.02 * (made.truth * made.modes)[some].sum()
