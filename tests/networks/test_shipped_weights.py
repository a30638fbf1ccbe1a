"""The weights that come with the package, and the default method that uses them."""

import numpy as np
import pytest
import torch

from truez.networks.weights import (
    Header,
    load_weights,
    read_header,
    save_weights,
    shipped_weights,
)
from truez.networks.widening import widened
from truez.reconstruct import DEFAULT_METHOD, estimate
from truez.sightlines.intensity import Intensity
from truez.sightlines.redistribution import information_gain
from truez.simulate import Universe, observe
from truez.support.notes import Note
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


def test_as_a_local_network_they_give_the_same(mock, tmp_path):
    network, header = load_weights(shipped_weights("column-net"))
    ranges = {"cellsize": (1.5, 3.0), "along": (1.5, 3.0), "redshift": (0.0, 1.2)}
    local, survey = widened(network), header.survey.model_copy(update=ranges)
    weights = tmp_path / "local.safetensors"
    save_weights(weights, local, Header.of(local, mock.surveys.box, survey))
    again, read = load_weights(weights)
    assert again.config.conditions == "local"
    assert len(read.inputs) == 9
    assert read.survey.redshift == (0.0, 1.2)
    one, two = estimate(mock.surveys), estimate(mock.surveys, weights=weights)
    torch.testing.assert_close(two.intensity, one.intensity, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(two.field.values, one.field.values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(two.sigma, one.sigma, rtol=1e-4, atol=1e-5)
    for name, limits, sentence in (
        ("cellsize", (2.5, 3.0), "the survey has cells of 2 Mpc/h across the sky"),
        ("along", (2.5, 3.0), "cells of 2 Mpc/h along the sight lines"),
        ("redshift", (0.7, 1.2), r"the survey has a redshift of 0\.59, 0\.11 below what"),
    ):
        other = survey.model_copy(update={name: limits})
        save_weights(weights, local, Header.of(local, mock.surveys.box, other))
        with pytest.raises(ValueError, match=sentence):
            estimate(mock.surveys, weights=weights)


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
        estimate(coarse.surveys, "columns")
    with pytest.warns(Note, match=r"^method redistribution is used: the field has cells of 4 "):
        estimate(coarse.surveys)
