"""Views of described surveys: galaxies as expected, fields, priors and tables of galaxies."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from truez.linear.counts import CellCounts
from truez.linear.uneven import FilterSettings, uneven_wiener_spec
from truez.mesh.box import Box
from truez.mesh.painting import paint
from truez.sightlines.fine import fine_box, interpolated_across
from truez.simulate import lognormal_galaxies
from truez.training.fine_prior import uneven_ratio
from truez.training.survey_description import (
    ErrorForm,
    MaskForm,
    SampleForm,
    SurveyDescription,
)
from truez.training.survey_fit import fit_spectra
from truez.training.survey_galaxies import observe_galaxies
from truez.training.survey_geometry import SurveyGeometry
from truez.training.survey_making import make_survey_view
from truez.training.survey_view import FINER

torch.set_num_threads(1)

EVEN = SurveyDescription(
    kind="periodic",
    seed=1,
    meshsize=(32, 32, 32),
    cellsize=(4.0, 4.0),
    photo=SampleForm(density=3e-2),
    spec=SampleForm(density=4e-3),
    error=ErrorForm(sigma_z=(0.01,)),
)
SKY = EVEN.model_copy(
    update={
        "kind": "sky",
        "photo": SampleForm(density=3e-2, fall=5, by_mass=0.5),
        "spec": SampleForm(density=8e-3, fall=10, by_mass=0.5),
        "photo_mask": MaskForm(discs=((0.3, 0.3, 0.1),), lowest=0.5, waves=((6, 2, 0),)),
        "spec_mask": MaskForm(edge=(0.5, 0.3)),
        "error": ErrorForm(sigma_z=(0.005, 0.015), near=(0.7, 0.3), far=(0.4, 0.6)),
    }
)


@pytest.fixture(scope="module")
def universe():
    return lognormal_galaxies(
        Box(128, cellsize=4), "planck18", redshift=0.59, density=4e-2, bias=1.4, seed=2
    )


def geometry_of(description, universe) -> SurveyGeometry:
    return SurveyGeometry.of(description, universe.box, universe.cosmology, universe.redshift)


@pytest.mark.parametrize("bounds", ["truth", "photo-z"])
@pytest.mark.parametrize("by_mass", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("common", [0.0, 0.5, 1.0])
def test_galaxies_are_as_expected(universe, by_mass, common, bounds):
    one = SKY.model_copy(
        update={
            "random": True,
            "common": common,
            "bounds": bounds,
            "photo": SKY.photo.model_copy(update={"by_mass": by_mass}),
            "spec": SKY.spec.model_copy(update={"by_mass": by_mass}),
        }
    )
    geometry = geometry_of(one, universe)
    seen = observe_galaxies(universe, geometry, np.random.default_rng(3))
    inside = geometry.box.inside(seen.photo, axes=(2,))
    assert inside.all() == (bounds == "truth")
    for name, places in (
        ("spec", seen.spec),
        ("photo", seen.photo[inside]),
        ("unknown", seen.photo[inside & ~seen.known]),
    ):
        expected = geometry.expected(name)
        counts = paint(places, geometry.box, "ngp").values
        assert (counts[expected.values() == 0] == 0).all()
        # Along the line of sight, and across it: galaxies of rank are no Poisson process.
        for axes in ((0, 1), (1, 2), (0, 2)):
            found, wanted = (x.sum(axes) for x in (counts, expected.values()))
            far = (found - wanted).abs() / (wanted + 1).sqrt()
            assert float(far.max()) < 5.5
        assert float(expected.fine().sum()) == pytest.approx(expected.total, rel=1e-5)
    matched = seen.matched >= 0
    assert matched.mean() == pytest.approx(common, abs=0.05)
    assert np.array_equal(seen.photo[seen.matched[matched]], seen.spec[matched])
    assert seen.known[seen.matched[matched]].all()


def test_galaxies_with_the_largest_masses(universe):
    seen = observe_galaxies(universe, geometry_of(EVEN, universe), np.random.default_rng(1))
    volume = universe.box.volume
    assert len(seen.photo) == pytest.approx(3e-2 * volume, abs=1)
    assert len(seen.spec) == pytest.approx(4e-3 * volume, abs=1)
    assert (seen.matched >= 0).all()


def test_boxes_larger_than_the_universe_repeat_it(universe):
    one = SKY.model_copy(update={"meshsize": (48, 48, 64), "stretched": False})
    seen = observe_galaxies(universe, geometry_of(one, universe), np.random.default_rng(1))
    assert np.ptp(seen.photo, axis=0) == pytest.approx([192, 192, 256], rel=0.02)


@pytest.mark.parametrize(
    "description",
    [
        EVEN,
        EVEN.model_copy(update={"kind": "closed", "common": 0.4, "redshift_space": False}),
        SKY,
        SKY.model_copy(update={"bounds": "photo-z", "common": 0.0, "stretched": False}),
    ],
    ids=["periodic", "closed", "sky", "sky beyond"],
)
def test_views(universe, description):
    steps = []
    view = make_survey_view(
        universe, description, progress=lambda stage, n, total, text="": steps.append((stage, n))
    )
    assert ("view", 6) in steps
    assert view.mesh == description.meshsize
    assert view.periodic == (description.kind == "periodic")
    assert all(np.isfinite(x).all() for x in (view.fields, view.ratio, view.profiles))
    nats = view.about["prior_nats"]
    assert 0.05 < nats["coarse"] < 1
    assert nats["fine"] > 0.6 * nats["coarse"]
    # The table of galaxies is that of the counts.
    assert len(view.shares) == len(description.error.sigma_z)
    expected = view.unknown.astype(np.float64).sum()
    assert (len(view.galaxies)) == pytest.approx(expected, rel=0.15)
    geometry = geometry_of(description, universe)
    if geometry.sky:
        assert (view.fields[8] == (geometry.expected("photo").values().numpy() > 0)).all()
        sides = 2 * np.exp(view.profiles[5])
        assert sides == pytest.approx(4 * geometry.stretch(geometry.centers()), rel=1e-5)
    assert view.profiles[8] == pytest.approx(description.common, abs=0.05)
    again = make_survey_view(universe, description)
    assert all(
        np.array_equal(getattr(view, name), getattr(again, name))
        for name in ("fields", "ratio", "galaxies", "density", "kernels")
    )
    assert again.about == view.about


def test_other_seeds_are_other_surveys(universe):
    one = make_survey_view(universe, EVEN)
    other = make_survey_view(universe, EVEN.model_copy(update={"seed": 2}))
    assert not np.array_equal(one.galaxies[:100], other.galaxies[:100])


def test_random_galaxies_say_nothing(universe):
    for description in (EVEN, SKY):
        view = make_survey_view(universe, description.model_copy(update={"random": True}))
        for nats in view.about["prior_nats"].values():
            assert abs(nats) < 0.01


def test_what_cannot_be_made(universe):
    dense = EVEN.model_copy(update={"photo": SampleForm(density=0.1)})
    with pytest.raises(ValueError, match="more than the universe has"):
        make_survey_view(universe, dense)
    large = EVEN.model_copy(update={"kind": "closed", "meshsize": (36, 32, 32)})
    with pytest.raises(ValueError, match="larger than the universe"):
        make_survey_view(universe, large)


def test_values_between_the_centres_of_cells():
    ramp = torch.arange(6.0)[:, None, None].expand(6, 4, 2)
    found = interpolated_across(ramp, FINER, periodic=False)
    assert found.shape == (12, 8, 2)
    assert torch.allclose(found[1:-1, 3, 0], torch.arange(10) / 2 + 0.25)
    assert float(found[0, 0, 0]) == 0
    wave = torch.rand(6, 4, 2)
    assert float(interpolated_across(wave, FINER, periodic=True).mean()) == pytest.approx(
        float(wave.mean()), rel=1e-5
    )


def test_a_start_saves_iterations_and_the_fine_prior_is_near_the_exact_one(universe):
    geometry = geometry_of(SKY, universe)
    seen = observe_galaxies(universe, geometry, np.random.default_rng(1))
    model = replace(fit_spectra(geometry, seen.spec), resampler="ngp").with_bias(0.8)
    box = geometry.box
    fine, expected = fine_box(box, FINER), geometry.expected("spec")
    cells = CellCounts(paint(seen.spec, box, "ngp").values, expected.values())
    small = CellCounts(paint(seen.spec, fine, "ngp").values, expected.fine())
    tight = FilterSettings(tolerance=1e-5)
    coarse = uneven_wiener_spec(model, box, cells, settings=tight)
    exact = uneven_wiener_spec(model, fine, small, settings=tight)
    start = interpolated_across(coarse.spec, FINER, periodic=False)
    started = uneven_wiener_spec(model, fine, small, settings=tight, start=start)
    assert started.iterations < exact.iterations
    for name in ("spec", "photo"):
        one, other = getattr(exact, name), getattr(started, name)
        assert float((one - other).std() / one.std()) < 1e-3
    again = uneven_wiener_spec(model, fine, small, settings=tight, start=exact.spec)
    assert again.iterations <= exact.iterations / 2
    ratios = [
        uneven_ratio(
            model, box, coarse=coarse, fine=small, floor=0.05,
            settings=FilterSettings(tolerance=1e-5, max_iterations=number),
        )[1]
        for number in (8, 100)
    ]  # fmt: skip
    assert float((ratios[0] - ratios[1]).std() / ratios[1].std()) < 0.15
