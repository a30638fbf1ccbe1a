"""Fluctuations of a survey from its linear model."""

import math
from dataclasses import replace

import numpy as np
import pytest

import truez
from truez.linear.model import LinearModel
from truez.sightlines.fluctuation_model import (
    DENSITY,
    ERROR,
    FluctuationModel,
    fluctuations_metadata,
    unexplained_power,
    variance_of,
)
from truez.surveys.photoz import PhotozError

K = (0.05, 0.2, 1.0)
ACROSS, ALONG = np.array(K)[:, None], np.array(K)[None, :]


def linear(*, bias: float = 1.0, n_spec: float = 1e-3, sigma: float = 60.0, **more) -> LinearModel:
    """Two samples of one field with power-law spectra, in real space."""
    k = np.geomspace(0.01, 3, 200)
    power = 2e3 * (k / 0.1) ** -1.3
    return LinearModel.from_spectra(
        k, power, bias * power, bias**2 * power, n_spec=n_spec, n_photo=2e-2, n_both=n_spec,
        error=PhotozError(sigma), **more,
    )  # fmt: skip


def table(value: float) -> tuple[tuple[float, ...], ...]:
    return ((value,) * 3,) * 3


def flat(**more) -> FluctuationModel:
    return FluctuationModel(
        K,
        (table(math.log(0.5)), table(0.2), table(0.1), table(-0.3)),
        (table(math.log(0.9)), table(0.02), table(0.0), table(-0.03)),
        (-1.0, -2.0),
        (1.0, 0.5),
        **more,
    )


@pytest.mark.parametrize("bias", [0.7, 1.0])
def test_of_one_field_the_unexplained_power_is_that_of_its_wiener_filter(bias):
    model = linear(bias=bias)
    k = np.hypot(ACROSS, ALONG)
    power = 2e3 * (k / 0.1) ** -1.3
    expected = bias**2 * power / (1 + 1e-3 * power)
    np.testing.assert_allclose(unexplained_power(model, ACROSS, ALONG), expected, rtol=2e-3)


def test_without_correlation_all_power_is_unexplained_and_with_too_much_a_little_is():
    model = linear()
    apart = replace(model, log_cross=tuple(value - 20 for value in model.log_cross))
    photo = model.powers(*_modes())[2].numpy()
    np.testing.assert_allclose(unexplained_power(apart, ACROSS, ALONG), photo, rtol=1e-9)
    too_much = replace(model, log_cross=tuple(value + 2 for value in model.log_cross))
    left = unexplained_power(too_much, ACROSS, ALONG)
    assert (left > 0).all()
    assert (left <= 0.01 * photo).all()


def _modes():
    import torch

    across, along = np.broadcast_arrays(ACROSS, ALONG)
    return torch.from_numpy(np.hypot(across, along)), torch.from_numpy(along.copy())


def test_more_spectra_leave_less_unexplained():
    few, many = (unexplained_power(linear(n_spec=n), ACROSS, ALONG) for n in (1e-4, 1e-2))
    assert (many < few).all()


def test_the_spectrum_follows_the_conditions_of_the_survey_within_their_limits():
    known = flat()

    def ratio(model: LinearModel) -> float:
        power = np.asarray(known.fluctuations(model).power)
        return float(np.median(power / unexplained_power(model, ACROSS, ALONG)))

    found = [
        ratio(linear(n_spec=DENSITY, sigma=ERROR)),
        ratio(linear(n_spec=DENSITY * math.e**0.5, sigma=ERROR)),
        ratio(linear(n_spec=DENSITY, sigma=ERROR / math.e)),
        # Beyond the limits, those count.
        ratio(linear(n_spec=100 * DENSITY, sigma=1e3 * ERROR)),
    ]
    logs = np.array([0.0, 0.1 + 0.025, 0.3, 0.2 + 0.1 - 0.15])
    np.testing.assert_allclose(found, 0.5 * np.exp(logs), rtol=1e-3)


def test_the_other_numbers_are_those_of_the_model():
    found = flat(radius=3.0, soft=2.0, slope=1.5, sharpness=0.4, tilt=0.1).fluctuations(linear())
    assert (found.radius, found.soft, found.slope) == (3.0, 2.0, 1.5)
    assert (found.sharpness, found.tilt) == (0.4, 0.1)


def test_contrast_and_uncertainty_follow_the_conditions_likewise():
    known = flat(uncertainty=(0.02, -0.4, 0.5))
    for n_spec, sigma, x, y in (
        (DENSITY, ERROR, 0, 0), (DENSITY, ERROR / math.e, 0, -1), (100 * DENSITY, ERROR, 1, 0)
    ):  # fmt: skip
        found = known.fluctuations(linear(n_spec=n_spec, sigma=sigma))
        np.testing.assert_allclose(found.contrast, 0.9 * math.exp(0.02 * x - 0.03 * y), rtol=1e-3)
        assert found.uncertainty == pytest.approx(0.02 * math.exp(-0.4 * x + 0.5 * y), rel=1e-3)


def test_the_variance_is_at_most_that_of_the_surveys_that_were_fitted():
    free = flat().fluctuations(linear())
    variance = variance_of(free)
    assert flat(variance=1.1 * variance).fluctuations(linear()) == free
    less = flat(variance=0.3 * variance).fluctuations(linear())
    np.testing.assert_allclose(less.power, 0.3 * np.asarray(free.power), rtol=1e-3)
    assert variance_of(less) == pytest.approx(0.3 * variance, rel=1e-3)
    assert less.contrast == free.contrast


def test_a_model_is_read_as_it_was_written():
    known = flat(tilt=0.02, uncertainty=(0.01, -0.3, 0.0), variance=3.5)
    assert FluctuationModel.of(known.content()) == known


@pytest.mark.parametrize("method", ["redistribution", "columns"])
def test_the_package_has_a_model_of_each_method_that_moves_galaxies(method):
    known = FluctuationModel.shipped(method)
    assert known is not None
    for n_spec in (1e-5, 1e-3, 1e-1):
        for sigma in (1.0, 50.0, 500.0):
            model = linear(n_spec=n_spec, sigma=sigma)
            found = known.fluctuations(model)
            power = np.asarray(found.power)
            assert np.isfinite(power).all()
            assert (power > 0).all()
            # A few times what the galaxies have, since h < 1 where many of them are.
            middle = (np.asarray(known.k) > 0.1) & (np.asarray(known.k) < 1)
            k = np.asarray(known.k)[middle]
            whole = 2e3 * (np.hypot(k[:, None], k[None]) / 0.1) ** -1.3
            assert (power[np.ix_(middle, middle)] < 4 * whole).all()


def test_other_methods_have_none():
    assert FluctuationModel.shipped("wiener") is None
    assert fluctuations_metadata("wiener", linear()) == {}


def test_a_reconstruction_has_fluctuations_that_move_galaxies_together(tmp_path):
    rng = np.random.default_rng(4)
    centers = rng.uniform(0, 64, (60, 3))
    galaxies = (centers[rng.integers(0, 60, 3000)] + rng.normal(0, 2.0, (3000, 3))) % 64
    photo = (galaxies + np.array([0, 0, 6.85]) * rng.normal(size=(3000, 1))) % 64
    surveys = truez.Surveys.from_catalogs(
        spec=galaxies[:200], photo=photo, box=truez.Box(64, cellsize=4), redshift=0.6,
        sigma_z=0.002, overlap="nested",
    )  # fmt: skip
    made = truez.reconstruct(surveys, "redistribution")
    path = tmp_path / "made.h5"
    made.write(path)
    again = truez.Reconstruction.read(path, surveys=surveys)
    assert again.fluctuations == made.fluctuations
    together = [float(field.values.var()) for field in again.samples(8, seed=1)]
    metadata = {name: x for name, x in made.metadata.items() if name != "fluctuations"}
    alone = replace(made, delta=replace(made.delta, metadata=metadata))
    apart = [float(field.values.var()) for field in alone.samples(8, seed=1)]
    assert np.mean(together) > 1.01 * np.mean(apart)
