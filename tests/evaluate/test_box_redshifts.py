"""Redshifts of galaxies in boxes: gain, calibration and errors against analytic truths."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from truez.cosmology import COSMOLOGIES
from truez.evaluate.box_redshifts import judge_redshifts, judged_galaxies, redshift_numbers
from truez.mesh.box import Box
from truez.sightlines.redistribution import information_gain
from truez.sightlines.sharpened import draw_redshifts, sharpen
from truez.surveys.mock import Mock, MockConfig
from truez.surveys.photoz import PhotozError
from truez.surveys.selection import Selection
from truez.surveys.surveys import Surveys

RING = Box((64, 64, 512), (8, 8, 128))
CLOSED = Box((64, 64, 512), (8, 8, 128), periodic=False)
ERROR = PhotozError(24.0)
REDSHIFT = 0.6
COSMOLOGY = COSMOLOGIES["planck18"]
#: sigma(z) / (1 + z) of the error in the middle of a box.
SIGMA_Z = ERROR.sigma / COSMOLOGY.distance_error(1.0, REDSHIFT) / (1 + REDSHIFT)


def mock_of(box, *, num=40_000, num_known=4_000):
    """Evenly random galaxies with photo-z, some of them with spectra."""
    rng = np.random.default_rng(3)
    truth = rng.uniform(box.lower, box.upper, (num, 3))
    photo = truth.copy()
    photo[:, 2] = ERROR.scatter(truth[:, 2], box, rng)
    surveys = Surveys(
        photo=photo, spec=truth[:num_known], box=box, error=ERROR, num_both=num_known,
        cosmology=COSMOLOGY, redshift=REDSHIFT, matched=np.arange(num_known),
    )  # fmt: skip
    config = MockConfig(
        redshift=REDSHIFT, cosmology=COSMOLOGY, sigma_z=SIGMA_Z, spec=Selection(density=1e-3),
        rank_by="order",
    )  # fmt: skip
    rows = np.arange(num)
    return Mock(surveys, truth, rows, rows[:num_known], config)


def intensity_of(box, *, across=True):
    """Waves along the line of sight, with another phase on each sight line where ``across``."""
    place = (np.arange(box.meshsize[2]) + 0.5) / box.meshsize[2]
    phase = np.random.default_rng(5).uniform(0, 2 * math.pi, (*box.meshsize[:2], 1))
    waves = np.cos(2 * math.pi * 16 * place + (phase if across else np.zeros_like(phase)))
    return torch.from_numpy(np.exp(1.2 * waves).astype(np.float32))


def drawn(mock, intensity):
    """The mock with true redshifts drawn from the posteriors; those of spectra are unchanged."""
    truth = mock.truth.copy()
    places = draw_redshifts(mock.surveys, intensity, np.random.default_rng(8))
    truth[:, 2] = np.where(np.isfinite(places), places, truth[:, 2])
    return replace(mock, truth=truth)


@pytest.fixture(scope="module", params=[RING, CLOSED], ids=["periodic", "closed"])
def mock(request):
    return mock_of(request.param)


def test_an_intensity_that_does_not_change_along_the_line_of_sight_gains_nothing(mock):
    flat = torch.ones(mock.box.meshsize)
    flat *= torch.rand(*mock.box.meshsize[:2], 1, generator=torch.manual_seed(1)) + 0.5
    for intensity in (torch.ones(mock.box.meshsize), flat):
        found = redshift_numbers(mock, intensity)
        assert found["nats"] == pytest.approx(0, abs=1e-5)
        assert found["nats_own_place"] == pytest.approx(0, abs=1e-5)
        assert found["ln_p"] == pytest.approx(found["ln_p_photo"], abs=1e-5)
        # The photo-z alone are calibrated.
        assert found["pit_worst_tenth"] < 100 * 4.5 * math.sqrt(0.09 / found["num"])
        assert found["inside_68"] == pytest.approx(68, abs=1)


def test_the_photo_z_alone_has_the_numbers_of_a_gaussian():
    found = redshift_numbers(mock_of(RING), torch.ones(RING.meshsize))
    assert found["nmad_before"] == pytest.approx(SIGMA_Z, rel=0.03)
    assert found["nmad_after"] == pytest.approx(found["nmad_before"], rel=0.01)
    # Mean ln of the share that a Gaussian of sigma has in a cell at a place drawn from it.
    entropy = 0.5 * math.log(2 * math.pi * math.e) + math.log(ERROR.sigma / RING.cellsize[2])
    assert found["ln_p_photo"] == pytest.approx(-entropy, abs=0.02)


def test_posteriors_of_which_the_truth_is_drawn_are_calibrated(mock):
    intensity = intensity_of(mock.box)
    made = drawn(mock, intensity)
    found = redshift_numbers(made, intensity)
    num = found["num"]
    assert num > 0.85 * len(mock.truth)
    assert found["pit_worst_tenth"] < 100 * 4.5 * math.sqrt(0.09 / num)
    assert found["inside_68"] == pytest.approx(68, abs=400 * math.sqrt(0.68 * 0.32 / num))
    # They gain what they expect to gain.
    expected = sharpen(made.surveys, intensity).information
    error = 4 * found["nats_own_place_error"]
    assert found["nats_own_place"] == pytest.approx(np.nanmean(expected), abs=error)
    assert found["nats_own_place"] > 10 * error
    assert found["ln_p"] - found["ln_p_photo"] == pytest.approx(found["nats_own_place"])


@pytest.mark.parametrize(("stated", "inside"), [(12.0, 38.1), (48.0, 95.3)])
def test_an_error_that_is_not_the_stated_one_is_not_calibrated(stated, inside):
    mock = mock_of(RING)
    mock = replace(mock, surveys=replace(mock.surveys, error=PhotozError(stated)))
    found = redshift_numbers(mock, torch.ones(RING.meshsize))
    assert found["inside_68"] == pytest.approx(inside, abs=1)
    assert found["pit_worst_tenth"] > 3


def test_nats_share_galaxies_between_sight_lines_and_nats_own_place_do_not(mock):
    """Between sight lines, ln of the mean intensity is above the mean of its ln."""
    alike, apart = intensity_of(mock.box, across=False), intensity_of(mock.box)
    found = redshift_numbers(drawn(mock, alike), alike)
    assert found["nats"] == pytest.approx(found["nats_own_place"], abs=1e-5)
    made = drawn(mock, apart)
    found = redshift_numbers(made, apart)
    assert found["nats"] == information_gain(made.surveys, apart, made.truth)
    assert found["nats"] < found["nats_own_place"] - 0.1
    # At the centre of its cell on the sky a galaxy has the sight line of that cell alone.
    cell, width = np.asarray(mock.box.cellsize[:2]), mock.box.meshsize[:2]
    photo = made.surveys.photo.copy()
    photo[:, :2] = (np.clip(np.floor(photo[:, :2] / cell), 0, np.array(width) - 1) + 0.5) * cell
    truth = np.column_stack([photo[:, :2], made.truth[:, 2]])
    spec = truth[: len(made.surveys.spec)]
    made = replace(made, surveys=replace(made.surveys, photo=photo, spec=spec), truth=truth)
    found = redshift_numbers(made, apart)
    assert found["nats"] == pytest.approx(found["nats_own_place"], abs=1e-5)


# Regions


def test_regions_across_the_sky_divide_the_galaxies(mock):
    intensity = intensity_of(mock.box)
    made = drawn(mock, intensity)
    halves = [((0, 0, 0), (3, 8, 128)), ((3, 0, 0), (8, 8, 128))]
    parts = [redshift_numbers(made, intensity, region=cells) for cells in halves]
    whole = redshift_numbers(made, intensity, region=((0, 0, 0), made.box.meshsize))
    for key, value in redshift_numbers(made, intensity).items():
        assert np.array_equal(whole[key], value)
    assert sum(part["num"] for part in parts) == whole["num"]
    weights = [part["num"] for part in parts]
    for key in ("nats", "nats_own_place", "ln_p", "inside_68"):
        assert np.average([part[key] for part in parts], weights=weights) == pytest.approx(
            whole[key], rel=1e-4
        )


def test_galaxies_of_a_trimmed_region_are_chosen_by_their_photo_z(mock):
    region = ((0, 0, 48), (8, 8, 80))
    chosen = judged_galaxies(mock, region)
    low, high = (mock.box.lower[2] + mock.box.cellsize[2] * cell for cell in (48, 80))
    photo = mock.surveys.photo[:, 2]
    wanted = (photo >= low) & (photo < high) & mock.surveys.photo_only()
    assert np.array_equal(chosen, wanted)
    found = redshift_numbers(mock, torch.ones(mock.box.meshsize), region=region)
    assert found["num"] == wanted.sum()


def test_galaxies_chosen_by_their_photo_z_gain_what_they_expect_and_others_do_not(mock):
    intensity = intensity_of(mock.box, across=False)
    made = drawn(mock, intensity)
    empty = (66, 70)  # cells between two waves
    found = redshift_numbers(made, intensity, region=((0, 0, empty[0]), (8, 8, empty[1])))
    chosen = judged_galaxies(made, ((0, 0, empty[0]), (8, 8, empty[1])))
    expected = sharpen(made.surveys, intensity).information[chosen].mean()
    error = 4 * found["nats_own_place_error"]
    assert found["nats_own_place"] == pytest.approx(expected, abs=error)
    low, high = (mock.box.lower[2] + mock.box.cellsize[2] * cell for cell in empty)
    inside = (made.truth[:, 2] >= low) & (made.truth[:, 2] < high)
    by_truth = judge_redshifts(made, intensity).take(inside).numbers()
    assert by_truth["nats_own_place"] < expected - 5 * error


def test_photo_z_that_have_left_a_closed_box_are_judged_unless_its_ends_are_trimmed():
    mock = mock_of(CLOSED)
    outside = ~mock.surveys.photo_inside() & mock.surveys.photo_only()
    assert outside.sum() > 500
    assert judged_galaxies(mock, ((2, 0, 0), (8, 8, 128)))[outside].mean() == pytest.approx(
        0.75, abs=0.06
    )
    assert not judged_galaxies(mock, ((0, 0, 1), (8, 8, 127)))[outside].any()


def test_a_region_without_galaxies_has_no_numbers():
    mock = mock_of(RING, num=4_000, num_known=4_000)
    assert redshift_numbers(mock, torch.ones(RING.meshsize)) == {}
