"""What the photo-z themselves say of their error."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import truez
from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.sightlines.error_check import SCALES, ErrorCheck, _peak, check_error, noted_error
from truez.simulate import lognormal_galaxies
from truez.support.notes import Note


@pytest.fixture(scope="module")
def mock():
    box = Box((128, 128, 256), cellsize=4)
    galaxies = lognormal_galaxies(
        box, COSMOLOGIES["wmap"], redshift=0.59, density=2e-2, bias=1.5, seed=7
    )
    return galaxies.observe(spec_density=2e-3, sigma_z=0.006, cellsize=4, seed=2)


@pytest.fixture(scope="module")
def intensity(mock):
    cell = mock.box.cellsize[0]
    return truez.reconstruct(mock.surveys, "redistribution", sky_cellsize=cell).intensity


def given(surveys, scale, periodic=True):
    error = replace(surveys.error, sigma=scale * surveys.error.sigma)
    if periodic:
        return replace(surveys, error=error)
    box = replace(surveys.box, periodic=False)
    return replace(surveys, error=error, box=box, photo_bounds="photo-z")


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("scale", [0.75, 1.0, 1.25])
def test_the_right_width_is_found(mock, intensity, scale, periodic):
    surveys = given(mock.surveys, scale, periodic)
    found = check_error(surveys, intensity)
    assert found.scale * scale == pytest.approx(1, abs=0.12)
    assert found.agrees == (scale == 1)
    assert found.num_galaxies == surveys.photo_only().sum()
    assert found.gain >= 0


def test_a_contradiction_is_noted_and_in_the_metadata(mock):
    wrong = given(mock.surveys, 0.6)
    with pytest.warns(Note, match=r"the photo-z fit an error of .* Mpc/h along .* that is given"):
        metadata = truez.reconstruct(wrong, "redistribution").metadata
    assert metadata["photoz_sigma_scale"] > 1.3
    assert metadata["photoz_sigma_gain"] > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", Note)
        right = truez.reconstruct(mock.surveys, "redistribution").metadata
    assert right["photoz_sigma_scale"] == pytest.approx(1, abs=0.1)


def test_an_intensity_that_knows_nothing_contradicts_nothing(mock):
    even = torch.ones(mock.box.meshsize)
    found = check_error(given(mock.surveys, 0.5), even)
    assert found.agrees
    assert found.gain == pytest.approx(0, abs=1e-6)


def test_some_sight_lines_say_what_all_do(mock, intensity):
    some = check_error(mock.surveys, intensity, cells=4 * 32 * 64)
    assert 0.05 < some.num_galaxies / mock.surveys.photo_only().sum() < 0.25
    assert some.scale == pytest.approx(1, abs=0.3)
    assert some.agrees


def test_there_may_be_nothing_to_compare(mock, intensity):
    exact = replace(mock.surveys, error=truez.PhotozError(0.0))
    assert check_error(exact, intensity) is None
    assert noted_error(exact, intensity) == {}
    uneven = replace(mock.surveys, photo_weights=1.0 + np.arange(len(mock.surveys.photo)) % 2)
    with pytest.raises(ValueError, match="these surveys are uneven"):
        check_error(uneven, intensity)
    with pytest.raises(ValueError, match="intensity must be of the mesh"):
        check_error(mock.surveys, torch.ones(4, 4, 4))


def test_the_peak_of_a_parabola():
    x = np.log(SCALES)
    scale, gain = _peak((-0.3 * (x - 0.1) ** 2).tolist())
    assert scale == pytest.approx(np.exp(0.1))
    assert gain == pytest.approx(0.3 * 0.01)
    assert _peak(x.tolist())[0] == SCALES[-1]
    assert ErrorCheck(1.5, 1e-6, 1000).agrees
    assert not ErrorCheck(1.5, 0.1, 1000).agrees
