"""Samples of the linear model: the filtered field and a Gaussian residual."""

import numpy as np
import pytest

from truez import Box, Field, PhotozError
from truez.linear.model import LinearModel
from truez.linear.residual import residual, residual_samples
from truez.statistics.power import power

K = np.geomspace(0.01, 2.0, 50)
MODEL = LinearModel.from_spectra(
    K, 300 / K**0.5, 250 / K**0.5, 220 / K**0.5,
    n_spec=1e-3, n_photo=2e-2, n_both=1e-3, error=PhotozError(30.0),
    beta_spec=0.4, beta_photo=0.5, fog_spec=2.0, fog_photo=2.0, resampler="cic",
)  # fmt: skip


@pytest.mark.parametrize("use", ["both", "spec"])
def test_its_power_is_what_the_filter_leaves(use):
    box, edges = Box((128, 160, 192), cellsize=4), np.array([0.1, 0.2, 0.3, 0.5])
    found = np.mean(
        [
            power(
                Field(residual(MODEL, box, np.random.default_rng(seed), use=use), box),
                edges=edges,
                ells=(0,),
            ).poles[0]
            for seed in range(8)
        ],
        axis=0,
    )
    truth = np.zeros(3)
    modes = np.zeros(3)
    for k, spectra, weights in MODEL._mesh_spectra(box):
        left = (spectra.tt * (1 - spectra.coherence(use)) * weights).numpy()
        row = np.digitize(k.numpy(), edges) - 1
        for band in range(3):
            truth[band] += left[row == band].sum()
            modes[band] += np.broadcast_to(weights.numpy(), left.shape)[row == band].sum()
    assert found == pytest.approx(truth / modes, rel=0.03)
    sigma = residual(MODEL, box, np.random.default_rng(1), use=use).std()
    assert float(sigma) == pytest.approx(MODEL.sigma(box, use), rel=0.03)


def test_samples_depend_on_seed_and_number_alone():
    box = Box(64, cellsize=4)
    mean = Field(np.random.default_rng(1).normal(size=box.meshsize), box)
    few = list(residual_samples(MODEL, mean, 2, seed=5))
    more = list(residual_samples(MODEL, mean, 3, seed=5))
    assert np.array_equal(few[1].numpy(), more[1].numpy())
    assert not np.array_equal(more[0].numpy(), more[1].numpy())
    assert few[0].kind == "delta"
    with pytest.raises(ValueError, match="n must be a whole number of samples >= 1, not 0"):
        next(residual_samples(MODEL, mean, 0, seed=5))


def test_a_closed_box_has_a_residual():
    box = Box((64, 64, 96), cellsize=4, periodic=False)
    assert residual(MODEL, box, np.random.default_rng(1)).shape == box.meshsize
