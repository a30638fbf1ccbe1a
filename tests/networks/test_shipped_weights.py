"""The weights that come with the package, and the default method that uses them."""

import numpy as np
import pytest
import torch
from tests.networks.made_weights import even_network, write_even, write_weights

from truez.networks.weights import load_weights, read_header, shipped_weights
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
    assert header.local
    survey = header.survey
    # Surveys as they are, among them those that its start was trained on.
    for name, low, high in (
        ("sigma", 10.6, 106.3), ("outlier_fraction", 0.0, 0.1), ("overlap", 0.0, 1.0),
        ("spec_density", 1e-5, 3e-3), ("photo_density", 1e-3, 3e-2), ("cellsize", 1.5, 3.0),
        ("along", 1.6, 2.9), ("redshift", 0.02, 1.2),
    ):  # fmt: skip
        given = getattr(survey, name)
        assert given[0] <= low < high <= given[1], name
    assert survey.redshift_space == "both"
    assert survey.resampler == "cic"


def test_nothing_that_is_kept_for_tests_took_part():
    provenance = read_header(shipped_weights("column-net")).provenance
    assert {"recipe", "seed", "step", "git", "torch"} < set(provenance)

    def each(content):
        if isinstance(content, dict):
            yield content
            for value in content.values():
                yield from each(value)

    seeds = [part["seeds"] for part in each(provenance) if isinstance(part.get("seeds"), dict)]
    assert seeds
    for some in seeds:
        assert some["training"].startswith("2")
        assert some["validation"].startswith("1")


def test_there_are_none_of_other_networks():
    with pytest.raises(ValueError, match="no weights of a dual-unet come with this package"):
        shipped_weights("dual-unet")


@pytest.mark.medium
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


@pytest.mark.medium
def test_even_weights_keep_working_and_widen_to_the_same(mock, tmp_path):
    even = even_network()
    write_even(tmp_path / "even.safetensors", even)
    network, header = load_weights(tmp_path / "even.safetensors")
    assert not header.local
    ranges = {"cellsize": (1.5, 3.0), "along": (1.5, 3.0), "redshift": (0.0, 1.2)}
    local, weights = widened(network), tmp_path / "local.safetensors"
    write_weights(weights, local, header.survey, **ranges)
    again, read = load_weights(weights)
    assert again.config.conditions == "local"
    assert len(read.inputs) == 9
    assert read.survey.redshift == (0.0, 1.2)
    one = estimate(mock.surveys, "columns", weights=tmp_path / "even.safetensors")
    two = estimate(mock.surveys, "columns", weights=weights)
    torch.testing.assert_close(two.intensity, one.intensity, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(two.field.values, one.field.values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(two.sigma, one.sigma, rtol=1e-4, atol=1e-5)
    prior = estimate(mock.surveys, "redistribution")
    assert float((one.field.values - prior.field.values).std()) > 0.05
    for name, limits, sentence in (
        ("cellsize", (2.5, 3.0), "the survey has cells of 2 Mpc/h across the sky"),
        ("along", (2.5, 3.0), "cells of 2 Mpc/h along the sight lines"),
        ("redshift", (0.7, 1.2), r"the survey has a redshift of 0\.59, 0\.11 below what"),
    ):
        write_weights(weights, local, header.survey, **{**ranges, name: limits})
        with pytest.raises(ValueError, match=sentence):
            estimate(mock.surveys, "columns", weights=weights)


@pytest.mark.medium
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
    with pytest.warns(Note, match=r"^method redistribution is used: the survey has cells of 4 "):
        estimate(coarse.surveys)
