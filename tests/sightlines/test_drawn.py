"""Drawn catalogues as fields, and their places: sample i is a function of (seed, i) alone."""

import numpy as np
import pytest
import torch
from tests.reconstruct.uneven_box import uneven_surveys

import truez
from truez.mesh.painting import paint
from truez.sightlines import drawn
from truez.sightlines.drawn import DrawnPainter, drawn_fields, sample_numbers
from truez.sightlines.joint import joint_places

SIDE = 64.0


def surveys_of(*, periodic=True, num=3000):
    rng = np.random.default_rng(1)
    true = rng.uniform(0, SIDE, (num, 3))
    photo = true + [0, 0, 6] * rng.standard_normal((num, 1))
    if periodic:
        photo[:, 2] %= SIDE
    return truez.Surveys(
        photo=photo, spec=true[:200], box=truez.Box(SIDE, cellsize=4, periodic=periodic),
        num_both=200, error=truez.PhotozError(6.0), cosmology="planck18", redshift=0.5,
        matched=np.arange(200),
    )  # fmt: skip


@pytest.fixture(scope="module", params=[True, False], ids=["periodic", "closed"])
def surveys(request):
    return surveys_of(periodic=request.param)


def intensity_of(surveys):
    rng = np.random.default_rng(2)
    return torch.from_numpy(rng.lognormal(size=surveys.box.meshsize).astype(np.float32))


def test_a_field_is_the_painted_catalogue(surveys):
    (place,) = joint_places(surveys, intensity_of(surveys), seed=3, numbers=[5])
    (field,) = drawn_fields(surveys, intensity_of(surveys), seed=3, numbers=[5], resampler="tsc")
    inside = np.isfinite(place) & (place >= 0) & (place <= SIDE)
    positions = np.column_stack([surveys.photo[inside, :2], place[inside]])
    level = len(surveys.photo) / surveys.box.num_cells
    wanted = paint(positions, surveys.box, "tsc").to_delta(level)
    np.testing.assert_allclose(field, wanted, atol=2e-5)
    assert field.metadata == {"seed": 3, "number": 5}
    assert field.resampler == "tsc"
    assert field.shotnoise == pytest.approx(SIDE**3 / 3000)


def test_slabs_are_those_of_the_whole(surveys):
    places = joint_places(surveys, intensity_of(surveys), seed=3, numbers=range(2))
    painter = DrawnPainter(surveys)
    whole = torch.stack(list(painter.counts(places)))
    for slab in ((0, 1), (3, 9), (15, 16), (0, 16)):
        part = torch.stack(list(painter.counts(places, slab)))
        torch.testing.assert_close(part, whole[:, slab[0] : slab[1]], atol=1e-4, rtol=0)


def test_places_beyond_and_missing_ones_are_left_out():
    surveys = surveys_of(periodic=False)
    painter = DrawnPainter(surveys, "ngp")
    place = surveys.photo[:, 2].clip(0, SIDE)
    (whole,) = painter.counts(place[None])
    assert float(whole.sum()) == 3000  # faces are inside
    place[:3] = np.nan, -0.01, SIDE + 0.01
    (less,) = painter.counts(place[None])
    assert float(less.sum()) == 2997


def test_known_redshifts_are_at_their_true_places(surveys):
    places = joint_places(surveys, intensity_of(surveys), seed=0, numbers=range(3))
    np.testing.assert_array_equal(places[:, :200], np.tile(surveys.spec[:, 2], (3, 1)))


def test_a_sample_does_not_depend_on_what_is_drawn_with_it(surveys, monkeypatch):
    given = intensity_of(surveys)
    places = joint_places(surveys, given, seed=9, numbers=range(5))
    alone = joint_places(surveys, given, seed=9, numbers=[3])
    np.testing.assert_array_equal(alone[0], places[3])
    backwards = joint_places(surveys, given, seed=9, numbers=[4, 0])
    np.testing.assert_array_equal(backwards, places[[4, 0]])
    assert (places[0] != places[1]).mean() > 0.8
    other = joint_places(surveys, given, seed=10, numbers=[3])
    assert (other != alone).mean() > 0.8
    wanted = [np.asarray(field) for field in drawn_fields(surveys, given, seed=9, numbers=range(5))]
    monkeypatch.setattr("truez.sightlines.joint.SAMPLES_AT_ONCE", 2)
    for field, same in zip(
        drawn_fields(surveys, given, seed=9, numbers=range(5)), wanted, strict=True
    ):
        np.testing.assert_array_equal(field, same)


def test_samples_are_the_same_at_any_number_of_threads(surveys, monkeypatch):
    given = intensity_of(surveys)
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        found.append(joint_places(surveys, given, seed=1, numbers=range(2)))
        (field,) = drawn_fields(surveys, given, seed=1, numbers=[1])
        found.append(np.asarray(field))
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[3])


def test_a_few_samples_are_drawn_at_a_time(monkeypatch):
    surveys, asked = surveys_of(), []

    def watched(*args, numbers, **settings):
        asked.append(list(numbers))
        return joint_places(*args, numbers=numbers, **settings)

    monkeypatch.setattr(drawn, "joint_places", watched)
    monkeypatch.setattr("truez.sightlines.joint.SAMPLES_AT_ONCE", 3)
    fields = drawn_fields(surveys, intensity_of(surveys), seed=1, numbers=range(4, 11))
    next(fields)
    assert asked == [[4, 5, 6]]
    numbers = [field.metadata["number"] for field in fields]
    assert asked == [[4, 5, 6], [7, 8, 9], [10]]
    assert numbers == [5, 6, 7, 8, 9, 10]


def test_expected_counts_and_weights_of_uneven_surveys():
    rng = np.random.default_rng(4)
    surveys = uneven_surveys(own=True).surveys
    weights = rng.uniform(0.5, 1.5, len(surveys.photo))
    surveys = truez.Surveys(**{**vars_of(surveys), "photo_weights": weights})
    given = torch.ones(surveys.box.meshsize)
    fields = [np.asarray(f) for f in drawn_fields(surveys, given, seed=1, numbers=range(6))]
    expected = surveys.true_expected().numpy()
    assert np.all(np.stack(fields)[:, 5, 6] == 0)  # in a hole no galaxy is expected
    # The weight of all galaxies is there.
    for field in fields:
        inside = expected > 0
        assert (expected * (1 + field))[inside].sum() == pytest.approx(weights.sum(), rel=0.03)
    # An even field where the intensity is even.
    slabs = np.mean(fields, axis=0).mean(axis=(0, 1))
    assert np.abs(slabs).mean() < 0.15
    (field,) = drawn_fields(surveys, given, seed=1, numbers=[0])
    assert field.shotnoise is None


def vars_of(surveys):
    from dataclasses import fields

    return {item.name: getattr(surveys, item.name) for item in fields(surveys)}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((0, 1), "n must be a whole number of at least 1, not 0"),
        ((-2, 1), "n must be a whole number of at least 1, not -2"),
        ((1.5, 1), "n must be a whole number of at least 1, not 1.5"),
        ((True, 1), "n must be a whole number of at least 1, not True"),
        ((2, -1), "seed must be a whole number of at least 0, not -1"),
        ((2, None), "seed must be a whole number of at least 0, not None"),
        ((2, 1, -1), "first must be a whole number of at least 0, not -1"),
    ],
)
def test_numbers_that_are_none(given, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        sample_numbers(*given)
