"""Magnitudes by abundance, and the samples that are chosen by them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from truez.cosmology import Cosmology
from truez.surveys.magnitudes import (
    SCHECHTER,
    absolute_magnitudes,
    choose_spectroscopic,
    distance_modulus,
)

PLANCK = Cosmology.of("planck18")


def luminosity_function(magnitude: float) -> float:
    density, star, slope = SCHECHTER
    x = 10 ** (0.4 * (star - magnitude))
    return 0.4 * np.log(10) * density * x ** (slope + 1) * np.exp(-x)


def test_as_many_galaxies_are_brighter_as_the_luminosity_function_says():
    mass = np.random.default_rng(1).lognormal(size=10_000)
    volume = 1e6
    found = absolute_magnitudes(mass, volume)
    for limit in (-21.5, -20.5, -20.0):
        wanted = volume * quad(luminosity_function, -26, limit)[0]
        assert np.count_nonzero(found < limit) == pytest.approx(wanted, abs=1.5)
    assert found[mass.argmax()] == found.min()


def test_a_galaxy_ten_times_as_far_is_five_magnitudes_fainter_but_for_one_plus_z():
    near, far = PLANCK.distances.redshift([10.0, 100.0])
    difference = distance_modulus(far, PLANCK) - distance_modulus(near, PLANCK)
    assert difference == pytest.approx(5 + 5 * np.log10((1 + far) / (1 + near)), abs=1e-9)
    assert distance_modulus(far, PLANCK, 1.0) - distance_modulus(far, PLANCK) == pytest.approx(far)


@pytest.fixture(scope="module")
def survey():
    rng = np.random.default_rng(4)
    z = rng.uniform(0.05, 0.5, 5000)
    magnitude = distance_modulus(z, PLANCK) + rng.normal(-20, 1, z.size)
    kept = magnitude < 19.8
    return z[kept], magnitude[kept]


def chosen(how, survey, number=100):
    z, magnitude = survey
    return choose_spectroscopic(
        how, number, generator=np.random.default_rng(5), redshift=z, magnitude=magnitude,
        cosmology=PLANCK, complete_to=0.2,
    )  # fmt: skip


@pytest.mark.parametrize("how", ["random", "bright", "luminous"])
def test_as_many_galaxies_are_chosen_as_are_wanted_each_once(how, survey):
    rows = chosen(how, survey)
    assert len(rows) == 100
    assert (np.diff(rows) > 0).all()


def test_the_bright_sample_is_of_the_smallest_magnitudes(survey):
    rows = chosen("bright", survey)
    assert survey[1][rows].max() <= np.delete(survey[1], rows).min()


def test_the_luminous_sample_would_be_observed_at_the_redshift_it_is_complete_to(survey):
    z, magnitude = survey
    rows = chosen("luminous", survey)
    there = magnitude[rows] - distance_modulus(z[rows], PLANCK) + distance_modulus(0.2, PLANCK)
    assert there.max() <= magnitude.max()


def test_a_choice_by_magnitude_needs_magnitudes():
    with pytest.raises(ValueError, match="spec_choice bright needs the magnitudes"):
        choose_spectroscopic(
            "bright", 3, generator=np.random.default_rng(1), redshift=np.full(9, 0.1)
        )
