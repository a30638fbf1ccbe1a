"""Drawn surveys: functions of their numbers, within their ranges, and what they describe."""

import json
from collections import Counter

import numpy as np
import pytest

from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.training.survey_description import (
    ErrorForm,
    MaskForm,
    SampleForm,
    SurveyDescription,
)
from truez.training.survey_draws import (
    CELLS,
    KINDS,
    OUTLIERS,
    PHOTO,
    SIGMA_Z,
    SPEC,
    VALIDATION,
    draw_survey,
)
from truez.training.survey_geometry import STRETCH, SurveyGeometry

CUBE, LONG = Box(512, cellsize=2), Box((256, 256, 512), cellsize=2)


@pytest.fixture(scope="module")
def drawn() -> list[SurveyDescription]:
    return [draw_survey(3, number, LONG) for number in range(300)]


def test_a_survey_is_a_function_of_its_numbers():
    assert draw_survey(1, 7, CUBE) == draw_survey(1, 7, CUBE)
    assert draw_survey(1, 7, CUBE) != draw_survey(1, 8, CUBE)
    assert draw_survey(1, 7, CUBE) != draw_survey(2, 7, CUBE)


def test_surveys_are_written_as_json(drawn):
    for one in (*drawn[:20], *VALIDATION.values()):
        assert SurveyDescription(**json.loads(json.dumps(one.to_json()))) == one


def test_the_kinds_have_their_weights(drawn):
    kinds = Counter(one.kind for one in drawn)
    for kind, share in KINDS.items():
        assert kinds[kind] / len(drawn) == pytest.approx(share, abs=0.09)
    assert sum(one.random for one in drawn) / len(drawn) == pytest.approx(0.1, abs=0.06)
    # A large cube has no periodic mesh of few enough cells.
    assert {draw_survey(3, number, CUBE).kind for number in range(60)} == {"closed", "sky"}


def test_all_is_within_the_ranges(drawn):
    for one in drawn:
        assert PHOTO[0] <= one.photo.density <= PHOTO[1]
        assert SPEC[0] <= one.spec.density <= SPEC[1]
        assert all(SIGMA_Z[0] * 0.999 <= s <= SIGMA_Z[1] * 1.001 for s in one.error.sigma_z)
        assert one.error.outliers <= OUTLIERS
        assert abs(one.error.assumed - one.error.outliers) <= 0.5 * one.error.outliers + 1e-12
        assert all(n % 4 == 0 for n in one.meshsize)
        if one.kind != "periodic":
            assert all(side <= CELLS[1] for side in one.cellsize)
        # Beside the peaks and the rise, which narrow it.
        profile = one.photo.profile(np.linspace(0, 1, 200))
        assert profile.max() == pytest.approx(one.photo.density, rel=0.02)
        assert profile.min() >= one.photo.density / 210
    assert {len(one.error.sigma_z) for one in drawn} == {1, 2, 3}
    assert {one.common for one in drawn} > {0.0, 1.0}


@pytest.mark.parametrize("redshift", [0.0, 0.3, 0.59, 1.2])
def test_the_stretch_is_within_its_limits(drawn, redshift):
    for one in drawn[:60]:
        if one.kind != "sky":
            continue
        geometry = SurveyGeometry.of(one, LONG, COSMOLOGIES["planck18"], redshift)
        ends = geometry.stretch(np.array([geometry.box.lower[2], geometry.box.upper[2]]))
        if one.stretched:
            assert STRETCH[0] * 0.999 <= ends[0] < ends[1] <= STRETCH[1] * 1.001
        else:
            assert list(ends) == [1, 1]
        assert (np.diff(geometry.edges(geometry.true_margin)) > 0).all()
        if redshift == 0.59:
            z = geometry.redshifts
            assert z[0] < redshift + 0.25
            assert z[-1] > redshift


def test_the_validation_surveys():
    assert list(VALIDATION)[:4] == ["fiducial", "sparse", "narrow", "closed"]
    assert [VALIDATION[name].spec.density for name in ("fiducial", "sparse")] == [1e-3, 1e-4]
    assert VALIDATION["narrow"].error.sigma_z == (0.003,)
    assert all(VALIDATION[name].kind == "sky" for name in list(VALIDATION)[4:])
    assert len(VALIDATION) == 10


def test_completeness():
    mask = MaskForm(discs=((0.5, 0.5, 0.1),), edge=(0.0, 0.3), lowest=0.5, waves=((3, 2, 1),))
    x, y = np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 1, 101), indexing="ij")
    seen = mask.fraction(x, y)
    assert (seen[np.hypot(x - 0.5, y - 0.5) < 0.09] == 0).all()
    assert (seen[x > 0.81] == 0).all()
    rest = seen[(x < 0.79) & (np.hypot(x - 0.5, y - 0.5) > 0.11)]
    assert 0.5 <= rest.min() < rest.max() <= 1


def test_what_cannot_be_described():
    given = {
        "kind": "periodic", "seed": 1, "meshsize": (32, 32, 32), "photo": SampleForm(density=1e-2),
        "spec": SampleForm(density=1e-3), "error": ErrorForm(sigma_z=(0.02,)),
    }  # fmt: skip
    assert SurveyDescription(**given).to_json()["kind"] == "periodic"
    for wrong, words in (
        ({"meshsize": (30, 32, 32)}, "multiples of 4"),
        ({"photo": SampleForm(density=1e-2, fall=3)}, "even surveys"),
        ({"spec_mask": MaskForm(edge=(0, 0))}, "even surveys"),
    ):
        with pytest.raises(ValueError, match=words):
            SurveyDescription(**{**given, **wrong})
    with pytest.raises(ValueError, match="shares of 2 classes"):
        ErrorForm(sigma_z=(0.01, 0.02))
