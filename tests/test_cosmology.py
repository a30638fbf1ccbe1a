"""Cosmology against closed forms, the paper's numbers, astropy and colossus."""

import math

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from hypothesis import given
from hypothesis import strategies as st

from truez.cosmology import COSMOLOGIES, SPEED_OF_LIGHT, Cosmology

TNG = COSMOLOGIES["tng"]
WMAP = COSMOLOGIES["wmap"]


def test_the_papers_photoz_error_is_70_9_mpc_over_h():
    # sigma_z = 0.02 at z = 0.6 in its cosmology.
    redshift = 0.6
    assert WMAP.distance_error(0.02 * (1 + redshift), redshift) == pytest.approx(70.9, abs=0.05)


def test_distances_without_dark_energy_are_einstein_de_sitters():
    # omega_m may not be 1, but 1 - 1e-9 is as good: D = 2c/H0 (1 - 1/sqrt(1 + z)).
    cosmology = Cosmology(h=0.7, omega_m=1 - 1e-9)
    for redshift in (0.1, 1.0, 5.0):
        expected = 2 * SPEED_OF_LIGHT / 100 * (1 - 1 / math.sqrt(1 + redshift))
        assert cosmology.comoving_distance(redshift) == pytest.approx(expected, rel=1e-7)
        assert cosmology.hubble(redshift) == pytest.approx(70 * (1 + redshift) ** 1.5, rel=1e-7)
        assert cosmology.growth_rate(redshift) == pytest.approx(1, rel=1e-7)
        assert cosmology.growth_factor(redshift) == pytest.approx(1 / (1 + redshift), rel=1e-7)


def test_distances_are_astropys_in_mpc_over_h():
    redshift = np.array([0.0, 0.3, 0.6, 2.0])
    peer = FlatLambdaCDM(H0=67.74, Om0=0.3089, Tcmb0=0)
    expected = peer.comoving_distance(redshift).to_value("Mpc") * 0.6774
    np.testing.assert_allclose(TNG.comoving_distance(redshift), expected, rtol=1e-12)


def test_equal_cosmologies_share_a_table_of_distances_and_others_have_their_own():
    again = Cosmology(**TNG.model_dump())
    assert again.distances is TNG.distances
    changed = TNG.with_h(0.7)
    redshift = np.array([0.1, 1.0, 8.0])
    np.testing.assert_allclose(
        changed.distances.from_redshift(redshift), changed.comoving_distance(redshift), atol=2e-5
    )
    other = Cosmology(h=TNG.h, omega_m=0.3)
    assert (other.distances.from_redshift(redshift) > TNG.distances.from_redshift(redshift)).all()


@given(st.floats(1e-3, 8.0))
def test_redshift_from_distance_is_the_inverse_of_the_distance(redshift):
    distance = TNG.comoving_distance(redshift)
    assert TNG.redshift_from_distance(distance) == pytest.approx(redshift, rel=1e-6)


def test_distance_error_is_the_slope_of_the_distance():
    step = 1e-4
    slope = (TNG.comoving_distance(0.5 + step) - TNG.comoving_distance(0.5 - step)) / (2 * step)
    assert TNG.distance_error(0.01, 0.5) == pytest.approx(0.01 * slope, rel=1e-6)


def test_distance_per_velocity_today_is_one_over_100():
    assert TNG.distance_per_velocity(0.0) == pytest.approx(0.01, rel=1e-12)
    # 1/(aH) = (1 + z) / (100 E(z)) in Mpc/h per km/s.
    efunc = math.sqrt(0.3089 * 1.5**3 + 1 - 0.3089)
    assert TNG.distance_per_velocity(0.5) == pytest.approx(1.5 / (100 * efunc), rel=1e-12)


@pytest.mark.parametrize("redshift", [0.0, 0.5, 1.0, 3.0])
def test_growth_solves_its_differential_equation(redshift):
    # D'' + (2 + dlnH/dlna) D' = 3/2 Omega_m(a) D in ln a, by finite differences.
    step = 1e-3
    a = 1 / (1 + redshift)
    before, now, after = (
        TNG.growth_factor(math.exp(-(math.log(a) + shift)) - 1) for shift in (-step, 0.0, step)
    )
    first, second = (after - before) / (2 * step), (after - 2 * now + before) / step**2
    omega = 0.3089 / a**3 / (0.3089 / a**3 + 1 - 0.3089)
    assert second + (2 - 1.5 * omega) * first == pytest.approx(1.5 * omega * now, rel=1e-5)
    assert TNG.growth_rate(redshift) == pytest.approx(first / now, rel=1e-5)


def test_growth_is_close_to_omega_to_the_055():
    omega = 0.3089 * 1.5**3 / (0.3089 * 1.5**3 + 1 - 0.3089)
    assert TNG.growth_rate(0.5) == pytest.approx(omega**0.55, rel=0.005)


def test_linear_power_has_the_asked_sigma_8():
    k = np.geomspace(1e-4, 1e2, 20_000)
    x = 8 * k
    tophat = 3 * (np.sin(x) - x * np.cos(x)) / x**3
    variance = np.trapezoid(TNG.linear_power(k, 0.0) * tophat**2 * k**3, np.log(k)) / (
        2 * math.pi**2
    )
    assert math.sqrt(variance) == pytest.approx(0.8159, rel=1e-3)


def test_linear_power_grows_with_our_growth_factor():
    # The growth in colossus is its own integral: this also tests ours.
    k = np.geomspace(1e-3, 10, 50)
    ratio = TNG.linear_power(k, 0.6) / TNG.linear_power(k, 0.0)
    np.testing.assert_allclose(ratio, TNG.growth_factor(0.6) ** 2, rtol=1e-3)


def test_linear_power_is_a_power_law_on_large_scales_and_zero_at_zero():
    k = np.array([1e-5, 2e-5])
    power = TNG.linear_power(k, 0.0)
    assert power[1] / power[0] == pytest.approx(2**0.9667, rel=1e-3)
    assert TNG.linear_power([0.0, 0.1], 0.0)[0] == 0.0


def test_colossus_leaves_no_cache_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Cosmology(h=0.7, omega_m=0.3).linear_power(0.1, 0.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ({"h": 70, "omega_m": 0.3}, "h must be above 0.1 and below 2, not 70"),
        ({"h": 0.7, "omega_m": -0.3}, "omega_m must be above 0 and below 1, not -0.3"),
        (
            {"h": 0.7, "omega_m": 0.3, "omega_l": 0.7},
            "omega_l is not a known setting: did you mean omega_m?",
        ),
        ({"h": 0.7}, "omega_m is missing: add it"),
        ({"h": 0.7, "omega_m": math.nan}, "omega_m must be a finite number, not nan"),
        (
            {"h": 0.7, "omega_m": 0.04, "omega_b": 0.05},
            "omega_b of 0.05 must be below omega_m of 0.04, which contains it: give both",
        ),
        ({"h": 0.7, "omega_m": 0.0486}, "omega_b of 0.0486 must be below omega_m of 0.0486, "),
    ],
)
def test_a_bad_cosmology_is_refused(broken, sentence):
    with pytest.raises(ValueError) as error:
        Cosmology(**broken)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("redshift", [-1, 5000, math.nan, "0.6", None, True])
def test_a_redshift_is_at_most_100(redshift):
    with pytest.raises(ValueError, match="redshift must be a number from 0 to 100, not "):
        COSMOLOGIES["wmap"].distance_error(0.02, redshift)


def test_another_hubble_constant_is_another_background():
    cosmology = COSMOLOGIES["planck18"]
    cosmology.hubble(0.5), cosmology.linear_power(0.1, 0.5)
    fresh = Cosmology(**{**cosmology.model_dump(), "h": 0.5})
    assert float(cosmology.with_h(0.5).hubble(0.5)) == float(fresh.hubble(0.5))
    assert cosmology.with_h(0.5).linear_power(0.1, 0.5) == fresh.linear_power(0.1, 0.5)


def test_second_order_growth_is_that_of_einstein_de_sitter_without_dark_energy():
    cosmology = Cosmology(h=0.7, omega_m=1 - 1e-9)
    assert cosmology.second_growth_factor(1.0) == pytest.approx(-3 / 7 / 4, rel=1e-7)
    assert cosmology.second_growth_rate(1.0) == pytest.approx(2, rel=1e-7)


@pytest.mark.parametrize("redshift", [0.0, 0.5, 3.0, 9.0])
def test_second_order_growth_solves_its_differential_equation(redshift):
    # D2'' + (2 + dlnH/dlna) D2' = 3/2 Omega_m(a) (D2 - D^2) in ln a; Bouchet's form is a fit.
    step = 1e-3
    a = 1 / (1 + redshift)
    before, now, after = (
        TNG.second_growth_factor(math.exp(-(math.log(a) + shift)) - 1)
        for shift in (-step, 0.0, step)
    )
    first, second = (after - before) / (2 * step), (after - 2 * now + before) / step**2
    omega = TNG.matter_fraction(redshift)
    expected = 1.5 * omega * (now - TNG.growth_factor(redshift) ** 2)
    assert second + (2 - 1.5 * omega) * first == pytest.approx(expected, rel=0.01)
    assert TNG.second_growth_rate(redshift) == pytest.approx(first / now, rel=1e-5)
