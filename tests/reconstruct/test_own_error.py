"""The error of the redistribution with an error model, without one, and beyond its limits."""

import pytest
import torch
from tests.reconstruct.uneven_box import SIZE, uneven_surveys

import truez
from truez.networks.error_head import ErrorHead
from truez.networks.error_model import ErrorModel
from truez.networks.survey_limits import SurveyLimits
from truez.reconstruct import own_error

LIMITS = {
    "z_err": (0.001, 0.2), "sigma": (1.0, 200.0), "outlier_fraction": (0.0, 0.1),
    "spec_density": (1e-5, 3e-2), "photo_density": (1e-4, 1e-1), "overlap": (0.0, 1.0),
    "resampler": "cic", "redshift_space": "both", "cellsize": (1.5, 6.0), "along": (1.5, 6.0),
    "redshift": (0.0, 1.2),
}  # fmt: skip


def model(factor, *, pairs=None, **limits):
    """A model that gives so many times the variance that is given, and ``pairs`` for strength."""
    head = ErrorHead(10, pairs=pairs is not None)
    torch.nn.init.constant_(head.last.bias, torch.tensor(factor).log())
    if pairs is not None:
        head.last.bias.data[1:] = torch.tensor([pairs, 0.5]).log()
    survey = SurveyLimits(**{**LIMITS, **limits})
    return ErrorModel.fitted(head, truez.Box(SIZE, cellsize=5), survey, {})


def surveys_of(kind):
    surveys = uneven_surveys(own=True, density=0.004).surveys
    if kind == "even":
        surveys = truez.Surveys(
            photo=surveys.photo, spec=surveys.spec, box=surveys.box, error=surveys.error,
            num_both=surveys.num_both, matched=surveys.matched, cosmology=surveys.cosmology,
            redshift=surveys.redshift,
        )  # fmt: skip
    assert surveys.even == (kind == "even")
    return surveys


@pytest.mark.parametrize("kind", ["even", "uneven"])
def test_a_model_widens_the_error_and_nothing_else(monkeypatch, kind):
    surveys = surveys_of(kind)

    def found(shipped):
        monkeypatch.setattr(own_error, "shipped_error_model", lambda: shipped)
        return truez.reconstruct(surveys, "redistribution")

    without, with_it, beyond = (
        found(one) for one in (None, model(4.0), model(4.0, sigma=(100.0, 200.0)))
    )
    torch.testing.assert_close(with_it.sigma, 2 * without.sigma)
    for one in (with_it, beyond):
        assert torch.equal(one.delta.values, without.delta.values)
        assert torch.equal(one.intensity, without.intensity)
    assert torch.equal(beyond.sigma, without.sigma)
    assert "error_model" not in without.metadata
    assert with_it.metadata["error_model"] == "redistribution-errors of truez"
    given = without.metadata["sigma_given_intensity"]
    assert with_it.metadata["sigma"] == pytest.approx(2 * given)
    assert "sigma_given_intensity" not in with_it.metadata
    assert beyond.metadata["sigma_given_intensity"] == pytest.approx(given)
    reason = beyond.metadata["error_model_left_out"]
    assert reason.startswith("the survey has a photo-z error of")
    assert "below what the error model was trained for, 100 to 200 Mpc/h" in reason


@pytest.mark.parametrize("kind", ["even", "uneven"])
def test_a_term_of_pairs_has_the_strength_of_the_photo_z(monkeypatch, kind):
    surveys = surveys_of(kind)

    def found(shipped, **settings):
        monkeypatch.setattr(own_error, "shipped_error_model", lambda: shipped)
        return truez.reconstruct(surveys, "redistribution", **settings)

    without, with_it = (found(one) for one in (None, model(1.5, pairs=2.0)))
    strength = with_it.metadata["pairs"]["strength"]
    assert strength > 0.01
    widened = (1.5 + 2 * strength / (1 + 0.5 * strength)) ** 0.5
    torch.testing.assert_close(with_it.sigma, widened * without.sigma)
    # Galaxies are in groups, too, where that does not move them.
    without, with_it = (found(one, pairs=False) for one in (None, model(1.5, pairs=2.0)))
    assert "pairs" not in with_it.metadata
    assert torch.equal(with_it.delta.values, without.delta.values)
    torch.testing.assert_close(with_it.sigma, widened * without.sigma)
