"""Photo-z of mocks scatter as their stated errors say, whatever these depend on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from truez.surveys.photo_scatter import PhotoScatter

Z = np.random.default_rng(1).uniform(0.05, 0.9, 20_000)


def observe(magnitude=None, **settings):
    return PhotoScatter(**settings).observe(Z, np.random.default_rng(2), magnitude)


@pytest.mark.parametrize(
    "settings",
    [
        {"sigma_z": 0.02},
        {"sigma_z": 0.01, "sigma_z_growth": 0.05},
        {"sigma_z": 0.01, "faint_factor": 5.0},
        {"error_classes": ((0.2, 0.005), (0.5, 0.02), (0.3, 0.05))},
        {"sigma_z": 0.02, "photo_bias": (0.01, -0.02)},
    ],
)
def test_photo_z_are_gaussian_with_the_error_that_each_galaxy_states(settings):
    magnitude = np.random.default_rng(3).normal(size=Z.size)
    found = observe(magnitude, **settings)
    bias = np.polynomial.polynomial.polyval(Z, settings.get("photo_bias", (0.0,)))
    pulls = (found.z_phot - Z - bias) / (found.sigma_z * (1 + Z))
    assert kstest(pulls, "norm").pvalue > 1e-3
    assert PhotoScatter(**settings).differs == (np.ptp(found.sigma_z) > 0)


def test_errors_grow_with_redshift_but_do_not_give_it_away():
    sigma = observe(sigma_z=0.01, sigma_z_growth=0.05).sigma_z
    low, high = (np.median(sigma[part]) for part in (Z < 0.1, Z > 0.8))
    assert low == pytest.approx(0.01 + 0.05 * 0.075, rel=0.05)
    assert high == pytest.approx(0.01 + 0.05 * 0.85, rel=0.05)
    assert np.std(np.log(sigma[Z > 0.8])) == pytest.approx(0.25, rel=0.1)


def test_the_faintest_galaxy_has_an_error_that_is_the_factor_times_that_of_the_brightest():
    magnitude = np.random.default_rng(3).normal(size=Z.size)
    sigma = observe(magnitude, sigma_z=0.01, faint_factor=4.0).sigma_z
    assert sigma[magnitude.argmin()] == pytest.approx(0.01)
    assert sigma[magnitude.argmax()] == pytest.approx(0.04)
    assert (np.diff(sigma[np.argsort(magnitude)]) > 0).all()


def test_classes_have_their_shares():
    sigma = observe(error_classes=((0.2, 0.005), (0.8, 0.05))).sigma_z
    assert np.mean(sigma == 0.005) == pytest.approx(0.2, abs=0.01)
    assert set(np.unique(sigma)) == {0.005, 0.05}


def test_outliers_are_even_over_their_range_and_marked():
    found = observe(sigma_z=0.01, outlier_fraction=0.1, outlier_range=(0.0, 1.2))
    assert found.outlier.mean() == pytest.approx(0.1, abs=0.01)
    assert kstest(found.z_phot[found.outlier] / 1.2, "uniform").pvalue > 1e-3
    assert np.abs((found.z_phot - Z)[~found.outlier]).max() < 0.1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"error_classes": ((0.5, 0.01), (0.4, 0.02))}, "shares that sum up to 1"),
        (
            {"error_classes": ((1.0, 0.01),), "sigma_z_growth": 0.1},
            "leave sigma_z_growth and faint_factor out",
        ),
        ({"outlier_fraction": 0.1}, "outlier_fraction needs outlier_range"),
        ({"sigma_z": 0.0}, "above 0 and below 0.5"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        PhotoScatter(**settings)


def test_errors_by_magnitude_need_magnitudes():
    with pytest.raises(ValueError, match="faint_factor needs the magnitudes"):
        observe(faint_factor=2.0)
