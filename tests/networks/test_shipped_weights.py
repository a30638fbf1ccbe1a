"""The weights that come with the package, and the default method that uses them."""

import numpy as np
import pytest
import torch

from truez.networks.weights import read_header, shipped_weights
from truez.reconstruct import DEFAULT_METHOD, estimate
from truez.sightlines.intensity import Intensity
from truez.sightlines.redistribution import information_gain
from truez.simulate import Universe, observe
from truez.surveys.spec import SurveySpec

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def mock():
    galaxies = Universe(boxsize=128, num_particles=64, seed=5, num_steps=8).make()
    surveys = SurveySpec(sigma_z=0.005, spec_density=1e-3)
    return observe(galaxies, surveys, np.random.default_rng(1))


def test_the_file_is_small_and_says_how_it_was_made():
    path = shipped_weights("column-net")
    assert path.stat().st_size < 10e6
    header = read_header(path)
    assert header.cellsize == (2, 2, 2)
    survey = header.survey
    assert survey.z_err == pytest.approx((0.003 * 1.59, 0.03 * 1.59))
    assert survey.spec_density == (1e-4, 3e-3)
    assert survey.photo_density == (5e-3, 4e-2)
    assert survey.redshift_space == "both"
    recipe = header.provenance["recipe"]
    assert recipe["surveys"]["closed"] > 0
    # Nothing that is kept for tests.
    assert recipe["seeds"]["training"].startswith("2")
    assert recipe["seeds"]["validation"].startswith("1")


def test_there_are_none_of_other_networks():
    with pytest.raises(ValueError, match="no weights of a dual-unet come with this package"):
        shipped_weights("dual-unet")


def test_the_default_beats_the_redistribution_and_the_filter(mock):
    assert DEFAULT_METHOD == "columns"
    truth, _, _ = mock.fields()
    error, nats, sigma = {}, {}, {}
    for name in (DEFAULT_METHOD, "redistribution", "wiener"):
        found = estimate(mock.surveys, name)
        error[name] = float((found.field.values - truth.values).double().square().mean())
        if found.intensity is not None:
            shared = Intensity.of(found, mock.box).on_mesh(mock.box)
            nats[name] = information_gain(mock.surveys, shared, mock.truth)
            sigma[name] = found.sigma
    default = estimate(mock.surveys)
    assert default.field.metadata["method"] == "columns"
    assert default.field.metadata["weights"] == "those of truez, column-net.safetensors"
    assert error["columns"] < 0.99 * error["redistribution"]
    assert error["columns"] < 0.97 * error["wiener"]
    assert nats["columns"] > nats["redistribution"] + 0.02
    # It knows its error better, too.
    ratio = {name: error[name] / float((s.double() ** 2).mean()) for name, s in sigma.items()}
    assert abs(np.log(ratio["columns"])) < abs(np.log(ratio["redistribution"]))
    assert ratio["columns"] == pytest.approx(1, abs=0.4)


def test_half_precision_is_next_to_no_difference(mock):
    whole, half = estimate(mock.surveys), estimate(mock.surveys, bf16=True)
    assert half.field.metadata["bf16"]
    assert not whole.field.metadata["bf16"]
    change = half.intensity.log() - whole.intensity.log()
    assert 0 < float(change.double().square().mean().sqrt()) < 0.004
    assert float((half.field.values - whole.field.values).std()) < 0.01
    with pytest.raises(ValueError, match="leave bf16 out"):
        estimate(mock.surveys, "redistribution", bf16=True)


def test_a_survey_that_does_not_fit_is_told_what_to_do(mock):
    coarse = observe(
        Universe(boxsize=128, num_particles=32, seed=5, num_steps=4, density=4e-3).make(),
        SurveySpec(sigma_z=0.005, spec_density=1e-3),
        np.random.default_rng(1),
        cellsize=4.0,
    )
    with pytest.raises(ValueError, match="or choose a method without a network"):
        estimate(coarse.surveys)
