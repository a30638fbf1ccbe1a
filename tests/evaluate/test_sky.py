"""Numbers of redshifts on the sky: what is known of Gaussian posteriors comes out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from truez.evaluate.sky import (
    JudgedRedshifts,
    at_truth,
    gain_beside,
    null_test,
    photo_baseline,
    point_numbers,
    summary,
    thirds,
)
from truez.sky.make_mock import mock_from_spectra
from truez.sky.mock import SkyMockConfig
from truez.surveys.footprint import Rectangle
from truez.surveys.nz import NumberDensity
from truez.surveys.redshift_error import RedshiftError

EDGES = np.linspace(0.0, 1.4, 561)
MIDDLE = (EDGES[1:] + EDGES[:-1]) / 2


def gaussians(mean, sigma) -> np.ndarray:
    """Posteriors (n, cells) about means."""
    return np.diff(norm.cdf((EDGES - mean[:, None]) / sigma), axis=1)


def judged(num=4000, *, true_sigma=0.02, stated=0.02, photo=0.04, seed=1) -> JudgedRedshifts:
    """Gaussian posteriors about measurements of width ``true_sigma`` that state ``stated``."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.5, 0.9, num)
    after = z + true_sigma * rng.normal(size=num)
    z_phot = z + photo * rng.normal(size=num)
    ln_p, pit = at_truth(EDGES, gaussians(after, stated), z)
    ln_p_photo, _ = at_truth(EDGES, gaussians(z_phot, photo), z)
    return JudgedRedshifts(
        z_true=z, z_phot=z_phot, z_after=after, ln_p=ln_p, ln_p_photo=ln_p_photo, pit=pit
    )


def test_right_posteriors_have_an_even_pit_and_hold_68_percent():
    found = judged(8_000).numbers()
    assert found["pit_worst_tenth"] < 1.1
    assert found["inside_68"] == pytest.approx(68, abs=1.5)
    np.testing.assert_allclose(found["pit"].sum(), 1)


@pytest.mark.parametrize(("stated", "inside"), [(0.01, 38.2), (0.04, 95.3)])
def test_posteriors_that_state_a_wrong_width_hold_as_much_as_they_must(stated, inside):
    found = judged(8_000, stated=stated).numbers()
    assert found["inside_68"] == pytest.approx(inside, abs=1.5)
    assert found["pit_worst_tenth"] > 3


def test_half_the_error_gains_ln_two_nats():
    found = judged(8_000).numbers()
    assert found["nats_own_place"] == pytest.approx(math.log(2), abs=0.03)
    assert found["nats_own_place_error"] == pytest.approx(1 / math.sqrt(8_000), rel=0.05)
    cell = EDGES[1]
    entropy = 0.5 + math.log(0.02 * math.sqrt(2 * math.pi))
    assert found["ln_p"] == pytest.approx(math.log(cell) - entropy, abs=0.02)
    assert found["ln_p"] - found["ln_p_photo"] == pytest.approx(found["nats_own_place"])


def test_nmad_bias_and_outliers_are_those_of_the_redshifts_over_one_plus_z():
    rng = np.random.default_rng(2)
    z = rng.uniform(0.1, 1, 50_000)
    away = 0.01 + 0.03 * rng.normal(size=z.size)
    away[:1000] = 0.5
    found = point_numbers(z + (1 + z) * away, z)
    assert found["nmad"] == pytest.approx(0.03, rel=0.04)
    assert found["bias"] == pytest.approx(0.01, abs=0.002)
    assert found["outliers"] == pytest.approx(2.0, abs=0.01)
    before = judged().numbers()
    assert before["nmad_before"] > 1.5 * before["nmad_after"]


def test_the_baseline_is_bayes_rule_with_n_of_z_as_the_prior():
    prior = NumberDensity(np.array([0.0, 0.6, 1.4]), np.array([0.0, 100.0, 0.0]))
    error, z_phot, z_true = RedshiftError(0.02), np.array([0.3, 0.9]), np.array([0.31, 0.88])
    ln_p, pit = photo_baseline(z_phot, z_true, EDGES, error=error, counts=prior)
    density = prior(MIDDLE) * norm.pdf(z_phot[:, None], MIDDLE, 0.02 * (1 + MIDDLE))
    shares = density / density.sum(axis=1, keepdims=True)
    cells = np.searchsorted(EDGES, z_true, side="right") - 1
    np.testing.assert_allclose(ln_p, np.log(shares[[0, 1], cells]), atol=0.02)
    below = [shares[row, : cells[row]].sum() for row in range(2)]
    np.testing.assert_allclose(pit, below, atol=0.1)


def test_the_baseline_is_calibrated_among_galaxies_chosen_by_photo_z_with_errors_of_their_own():
    rng = np.random.default_rng(3)
    nz = NumberDensity(EDGES, EDGES**2 * np.exp(-((EDGES / 0.5) ** 2)))
    z = nz.quantile(rng.random(12_000))
    sigma = rng.choice([0.01, 0.05], z.size)
    z_phot = z + sigma * (1 + z) * rng.normal(size=z.size)
    error = RedshiftError(sigma)
    ln_p, pit = photo_baseline(z_phot, z, EDGES, error=error, counts=nz)
    made = JudgedRedshifts(
        z_true=z, z_phot=z_phot, z_after=z_phot, ln_p=ln_p, ln_p_photo=ln_p, pit=pit
    )
    spectra = rng.random(z.size) < 0.1
    rows = made.chosen((0.4, 0.9), spectra)
    assert not spectra[rows].any()
    assert made.z_phot[rows].min() >= 0.4
    found = made.take(rows).numbers()
    assert found["pit_worst_tenth"] < 1.3
    assert found["nats_own_place"] == 0
    shared = photo_baseline(z_phot, z, EDGES, error=RedshiftError(0.03), counts=nz)[0]
    assert shared[rows].mean() < found["ln_p"] - 0.1


def test_galaxies_without_a_posterior_are_not_counted():
    made = judged(100)
    made.pit[:30] = np.nan
    assert made.numbers()["num"] == 70
    made.pit[:] = np.nan
    with pytest.raises(ValueError, match="no galaxy to judge has a posterior"):
        made.numbers()


def test_a_truth_beyond_the_cells_has_no_probability_and_one_without_posterior_no_number():
    probability = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 3.0]])
    edges = np.array([0.0, 1.0, 2.0])
    ln_p, pit = at_truth(edges, probability, np.array([-0.1, 2.5, 1.0, 1.5]))
    np.testing.assert_array_equal(ln_p[:2], -np.inf)
    assert np.isnan(ln_p[2])
    assert np.isnan(pit[2])
    assert ln_p[3] == pytest.approx(math.log(0.75))
    np.testing.assert_allclose(pit[[0, 1, 3]], [0, 1, 0.625])


def test_bins_hold_every_galaxy_once():
    made = judged(3000)
    edges = thirds(made.z_phot)
    found = made.numbers_by(made.z_phot, edges)
    assert [entry["num"] for entry in found] == [1000, 1000, 1000]
    total = sum(entry["num"] * entry["nats_own_place"] for entry in found)
    assert total / 3000 == pytest.approx(made.numbers()["nats_own_place"])
    assert made.numbers_by(made.z_phot, [5.0, 6.0]) == [{"low": 5.0, "high": 6.0, "num": 0}]


def test_a_summary_has_thirds_of_redshift_and_magnitude_and_bins_of_distance():
    made = judged(3000)
    rng = np.random.default_rng(4)
    found = summary(
        made, redshift_range=(0.5, 0.9), has_spectrum=rng.random(3000) < 0.2,
        magnitude=rng.normal(20, 1, 3000), edge_distance=rng.uniform(0, 30, 3000),
    )  # fmt: skip
    by = found["by"]
    assert {name: len(entries) for name, entries in by.items()} == {
        "redshift": 3, "magnitude": 3, "edge_distance": 5
    }  # fmt: skip
    assert all(sum(e["num"] for e in entries) == found["num"] for entries in by.values())
    keys = {"nats_own_place", "ln_p", "ln_p_photo", "pit_worst_tenth", "inside_68",
            "nmad_before", "nmad_after"}  # fmt: skip
    assert keys <= set(found)


def test_a_truth_to_which_the_model_of_the_errors_gives_no_chance_is_not_judged():
    one = np.full(2, 0.5)
    ln_p = np.array([-2.0, -np.inf])
    found = JudgedRedshifts(
        z_true=one, z_phot=one, z_after=one, ln_p=ln_p, ln_p_photo=ln_p - 0.3, pit=one
    )
    assert found.known.tolist() == [True, False]
    assert found.numbers()["nats_own_place"] == pytest.approx(0.3)
    assert found.numbers()["num_without"] == 1


def test_gains_are_compared_at_the_same_photo_z():
    z = np.repeat([0.1, 0.3], 1000)
    near = np.zeros(2000, bool)
    near[:900] = near[1000:1010] = True  # most of them nearby
    gain = np.where(z < 0.2, 0.2, 1.0) * np.where(near, 0.9, 1.0)
    one = JudgedRedshifts(z_true=z, z_phot=z, z_after=z, ln_p=gain, ln_p_photo=0 * z, pit=0 * z)
    first, second = gain_beside(one, near)
    assert first / second == pytest.approx(0.9)
    assert first == pytest.approx(gain[near].mean())
    with pytest.raises(ValueError, match="at one photo-z"):
        gain_beside(one, z < 0.2)


def test_arrays_of_different_galaxies_are_refused():
    made = judged(10)
    with pytest.raises(ValueError, match=r"pit has shape \(9,\), not \(10,\)"):
        JudgedRedshifts(
            z_true=made.z_true, z_phot=made.z_phot, z_after=made.z_after, ln_p=made.ln_p,
            ln_p_photo=made.ln_p_photo, pit=made.pit[:9],
        )  # fmt: skip


def test_the_null_test_gives_random_galaxies_to_the_method_and_n_of_z_alone_gains_nothing():
    rng = np.random.default_rng(5)
    sky = (rng.uniform(10, 20, 4000), rng.uniform(-5, 5, 4000), 0.5 * rng.beta(3, 3, 4000))
    config = SkyMockConfig(
        cosmology="planck18", redshift_range=(0.0, 0.5), spec_fraction=0.1, seed=1
    )
    mock = mock_from_spectra(sky, config, footprint=Rectangle(10, 20, -5, 5))
    seen = []

    def reconstruct(random):
        seen.append(random)
        surveys = random.surveys  # fitted again
        ln_p, pit = photo_baseline(
            random.z_phot, random.z_true, EDGES, error=random.error, counts=surveys.nz
        )
        return JudgedRedshifts(
            z_true=random.z_true, z_phot=random.z_phot, z_after=random.z_phot, ln_p=ln_p,
            ln_p_photo=ln_p, pit=pit,
        )  # fmt: skip

    found = null_test(mock, reconstruct, redshift_range=(0.1, 0.4), seed=2)
    assert found["nats_own_place"] == 0
    assert found["pit_worst_tenth"] < 2
    assert len(seen) == 1
    assert not np.array_equal(seen[0].ra, mock.ra)
