"""What an observer has: samples, box and error that fit together."""

import dataclasses
import warnings

import numpy as np
import pytest

from truez.cosmology import COSMOLOGIES
from truez.linear.fit import fit_linear_model
from truez.mesh.box import Box
from truez.support.notes import Note
from truez.surveys.matching import count_overlap, match_rows
from truez.surveys.photoz import PhotozError
from truez.surveys.surveys import Surveys

CLOSED = Box(200, 20, periodic=False)


def surveys(*, sigma: float = 15.0, box: Box = CLOSED, num: int = 20_000, **changes) -> Surveys:
    rng = np.random.default_rng(0)
    true = rng.uniform(box.lower, box.upper, (num, 3))
    error = PhotozError(sigma)
    photo = true.copy()
    photo[:, 2] = error.scatter(true[:, 2], box, rng)
    settings = {
        "photo": photo, "spec": true[:1000], "box": box, "error": error, "num_both": 1000,
        "cosmology": COSMOLOGIES["wmap"], "redshift": 0.5,
    }  # fmt: skip
    return Surveys(**{**settings, **changes})


def test_a_cut_in_photo_z_is_not_taken_for_a_full_box():
    inside = surveys().photo_inside()
    cut = surveys().photo[inside]
    with pytest.raises(ValueError, match="choose photo_bounds photo-z if it was cut in photo-z"):
        surveys(photo=cut)
    assert len(surveys(photo=cut, photo_bounds="photo-z").photo) == inside.sum()
    with pytest.raises(ValueError, match="so the sample was not cut in photo-z"):
        surveys(photo_bounds="photo-z")


def test_a_sample_cut_in_photo_z_has_even_expected_counts():
    cut = surveys().photo[surveys().photo_inside()]
    found = surveys(photo=cut, photo_bounds="photo-z")
    values = found.photo_expected().values
    assert float(values.min()) == float(values.max())


def test_positions_on_a_face_in_float32_are_inside():
    box = Box(205.3, 20, periodic=False)
    photo = np.full((10, 3), 205.3, dtype=np.float32)
    found = surveys(box=box, photo=photo, spec=photo, num_both=10, sigma=0.0)
    assert found.photo_field().metadata["num_outside"] == 0


def test_exact_photo_z_need_no_spectroscopy():
    box = Box(200, 20)
    found = surveys(sigma=0.0, box=box)
    spec, photo = found.spec_field(), found.photo_field()
    model = fit_linear_model(spec=spec, photo=photo, surveys=found)
    np.testing.assert_allclose(
        model.wiener(spec=spec, photo=photo).numpy(), photo.numpy(), atol=1e-3
    )
    # An error of nothing but rounding, in units of the field.
    assert model.sigma(box) < 1e-3 * float(photo.values.std())
    with pytest.raises(ValueError, match="fit_sigma needs a photo-z error above 0"):
        fit_linear_model(spec=spec, photo=photo, surveys=found, fit_sigma=True)


def test_overlap_is_counted_or_told_and_never_guessed():
    assert count_overlap(10, overlap="nested") == 10
    assert count_overlap(10, overlap="disjoint") == 0
    assert count_overlap(10, overlap="0.25") == 2.5
    for overlap in ("some", "1.5", None, "nan"):
        with pytest.raises(ValueError, match="overlap must be nested, disjoint or a fraction"):
            count_overlap(2, overlap=overlap)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"photo": np.zeros((0, 3))}, "the photo sample holds no galaxies"),
        ({"spec": np.zeros((5, 2))}, r"spec must have shape \(n, 3\), not \(5, 2\)"),
        ({"num_both": 2000}, "num_both must be between 0 and the smaller sample's 1000 galaxies"),
        ({"spec": np.full((1000, 3), np.nan)}, "1000 of 1000 spec galaxies are not finite"),
        ({"redshift": -3.0}, "redshift must be a number from 0 to 100, not -3"),
        ({"photo_bounds": "moon"}, "photo_bounds must be truth or photo-z, not 'moon'"),
    ],
)
def test_bad_surveys(changes, message):
    with pytest.raises(ValueError, match=message):
        surveys(**changes)


def test_a_survey_in_a_box_of_another_unit_is_refused():
    with pytest.raises(ValueError, match="lie outside the periodic box"):
        surveys(box=Box(200, 20), spec=surveys().spec * 1.5)


def test_what_the_outputs_say():
    told = dataclasses.replace(surveys(), metadata={"spec": "a.fits"}).describe()
    assert told["photoz_sigma"] == 15.0
    assert told["spec"] == "a.fits"
    assert told["num_both"] == 1000


def test_galaxies_are_matched_by_name():
    spec, photo = np.array([7, 3, 99, 5]), np.array([5, 4, 3, 7])
    np.testing.assert_array_equal(match_rows(spec, photo), [3, 2, -1, 0])
    words = np.array(["b", "z"]), np.array(["c", "a", "b"])
    np.testing.assert_array_equal(match_rows(*words), [2, -1])


def test_galaxies_without_a_true_redshift():
    assert surveys().photo_only().all()
    matched = np.where(np.arange(1000) < 400, np.arange(1000)[::-1], -1)
    found = surveys(matched=matched, num_both=400)
    assert np.count_nonzero(~found.photo_only()) == 400
    assert not found.photo_only()[600:1000].any()


@pytest.mark.parametrize(
    ("matched", "message"),
    [
        (np.zeros(3, int), "matched must hold one row number for each of 1000 spec galaxies"),
        (np.arange(1000.0), "one row number for each of 1000 spec galaxies, not float64"),
        (np.arange(1000) + 19_500, "matched names row 20499 of 20000 photo galaxies"),
        (np.arange(1000) // 2, "matched names one photo galaxy for two spec galaxies"),
        (np.arange(1000) - 1, "matched pairs 999 galaxies, but num_both is 1000"),
    ],
)
def test_bad_matches(matched, message):
    with pytest.raises(ValueError, match=message):
        surveys(matched=matched)


def even(side, number=5000, seed=3):
    return np.random.default_rng(seed).uniform(0, side, (number, 3))


@pytest.mark.parametrize("side", [80.0, (64.0, 80.0, 64.0), (64.0, 64.0, 80.0)])
def test_galaxies_that_leave_a_part_of_the_box_empty_are_noted(side):
    photo = even(64)
    given = {"spec": photo[:500], "photo": photo, "redshift": 0.6, "sigma_z": 0.005}
    whole = Surveys.from_catalogs(**given, box=Box(64, cellsize=4), overlap="nested")
    assert len(whole.photo) == 5000
    with pytest.warns(
        Note, match=r"^photo galaxies fill .* of 0 to 80 Mpc/h along the .*: correct"
    ):
        Surveys.from_catalogs(**given, box=Box(side, cellsize=4), overlap="nested")


def test_few_galaxies_may_leave_a_part_of_the_box_empty():
    photo = even(64, number=700)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Surveys.from_catalogs(
            spec=photo[:50], photo=photo, box=Box(128, cellsize=4), redshift=0.6, sigma_z=0.005,
            overlap="nested",
        )  # fmt: skip


@pytest.mark.parametrize("overlap", ["disjoint", 0.5])
def test_an_overlap_that_the_places_contradict_is_noted(overlap):
    photo = even(64)
    given = {"photo": photo, "redshift": 0.6, "sigma_z": 0.005, "box": Box(64, cellsize=4)}
    with pytest.warns(
        Note, match=rf"^500 of 500 spec galaxies .* overlap {overlap} has .* in both"
    ):
        Surveys.from_catalogs(**given, spec=photo[:500], overlap=overlap)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Surveys.from_catalogs(**given, spec=even(64, 500, seed=4), overlap=overlap)
        Surveys.from_catalogs(**given, spec=photo[:500], overlap=0.97)
