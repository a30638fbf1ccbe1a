"""Scores of p(z) are those of closed forms, and rank the right p(z) first."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from truez.evaluate.photoz import SplitNormals, pdf_scores
from truez.evaluate.photoz.densities import common_edges
from truez.evaluate.photoz.numbers import ks_by_chance, ks_distance
from truez.evaluate.photoz.scores import scores_of
from truez.surveys.pdfs import PdfTable

EDGES = np.linspace(0, 2, 2001)


def gaussians(mean, std):
    return PdfTable.of_arrays("norm", {"loc": mean, "scale": std})


def scored(mean, std, z_true, edges=EDGES):
    rows = np.arange(len(z_true))
    return scores_of(gaussians(mean, std), rows, np.asarray(z_true), edges)


class TestGaussians:
    """Closed forms: Gneiting & Raftery (2007), equation 21, and that of a squared normal."""

    mean, std = np.array([0.8, 0.9, 1.0, 1.1]), np.array([0.02, 0.05, 0.1, 0.1])
    z_true = np.array([0.81, 0.9, 1.25, 0.7])

    @property
    def away(self):
        return (self.z_true - self.mean) / self.std

    def test_crps(self):
        a = self.away
        right = self.std * (a * (2 * norm.cdf(a) - 1) + 2 * norm.pdf(a) - 1 / math.sqrt(math.pi))
        found = scored(self.mean, self.std, self.z_true).crps
        # Cells make a p(z) wider by dz^2 / 12 in its variance.
        np.testing.assert_allclose(found, right, rtol=2e-4)

    def test_cde_loss(self):
        density = norm.pdf(self.z_true, self.mean, self.std)
        right = 1 / (2 * self.std * math.sqrt(math.pi)) - 2 * density
        found = scored(self.mean, self.std, self.z_true).cde_loss
        # The density of the cell, in which it changes with the distance from its middle.
        np.testing.assert_allclose(found, right, rtol=0, atol=0.6)
        middles = (np.floor(self.z_true / 0.001 + 1e-9) + 0.5) * 0.001
        own = scored(self.mean, self.std, middles).cde_loss
        density = norm.pdf(middles, self.mean, self.std)
        right = 1 / (2 * self.std * math.sqrt(math.pi)) - 2 * density
        np.testing.assert_allclose(own, right, rtol=1e-3)

    def test_pit_and_ln_p(self):
        found = scored(self.mean, self.std, self.z_true)
        np.testing.assert_allclose(found.pit, norm.cdf(self.away), atol=2e-4)
        right = norm.logpdf(self.z_true, self.mean, self.std)
        np.testing.assert_allclose(found.ln_p, right, atol=0.02)

    def test_what_is_below_0_is_not_counted(self):
        found = scored([0.05], [0.05], [0.0501])
        assert found.ln_p[0] == pytest.approx(
            norm.logpdf(0.0501, 0.05, 0.05) - math.log(norm.sf(-1)), abs=1e-3
        )


class TestFewCells:
    def test_one_cell_is_even(self):
        found = pdf_scores([0.0, 2.0], [[3.0]], [0.5])
        assert found.pit == [0.25]
        assert found.ln_p == [math.log(0.5)]
        # Integral of (z / 2)^2 from 0 to 0.5 and of (1 - z / 2)^2 from there to 2.
        assert found.crps[0] == pytest.approx(0.5**3 / 12 + 2 / 3 * 0.75**3, rel=1e-12)
        assert found.cde_loss[0] == pytest.approx(0.5 - 1)

    def test_all_probability_in_a_narrow_cell_is_the_absolute_error(self):
        edges = [0.0, 0.5, 0.5 + 1e-9, 1.0]
        found = pdf_scores(edges, [[0, 1, 0], [0, 1, 0]], [0.2, 0.9])
        np.testing.assert_allclose(found.crps, [0.3, 0.4], rtol=1e-6)
        assert found.pit.tolist() == [0, 1]
        assert np.isneginf(found.ln_p).all()

    def test_a_truth_beyond_the_cells(self):
        found = pdf_scores([0.0, 1.0], np.ones((3, 1)), [-0.5, 0.0, 1.25])
        assert found.pit.tolist() == [0, 0, 1]
        np.testing.assert_allclose(found.crps, [1 / 3 + 0.5, 1 / 3, 1 / 3 + 0.25])
        assert np.isneginf(found.ln_p).tolist() == [True, False, True]
        assert found.cde_loss.tolist() == [1, -1, 1]

    def test_p_of_z_that_cannot_be_used_are_nan(self):
        found = pdf_scores([0.0, 0.5, 1.0], [[np.nan, np.nan], [0, 0], [1, 1]], [0.2, 0.2, 0.2])
        assert found.usable.tolist() == [False, False, True]
        for values in (found.ln_p, found.pit, found.crps, found.cde_loss):
            assert np.isnan(values).tolist() == [True, True, False]

    @given(
        mass=st.lists(st.floats(0.01, 1), min_size=2, max_size=6),
        steps=st.lists(st.floats(0.05, 1), min_size=6, max_size=6),
        place=st.floats(-0.2, 1.2),
    )
    def test_crps_and_cde_loss_are_their_integrals(self, mass, steps, place):
        edges = np.concatenate([[0.0], np.cumsum(steps[: len(mass)])])
        shares = np.array(mass) / sum(mass)
        truth = place * edges[-1]
        found = pdf_scores(edges, [mass], [truth])

        def squared(z):
            below = np.interp(z, edges, np.concatenate([[0], np.cumsum(shares)]))
            return (below - (z >= truth)) ** 2

        ends = sorted({*edges, truth})
        crps = sum(quad(squared, a, b)[0] for a, b in pairwise(ends))
        assert found.crps[0] == pytest.approx(crps, abs=1e-6)
        density = shares / np.diff(edges)
        inside = 0 <= truth <= edges[-1]
        cell = min(max(int(np.searchsorted(edges, truth, side="right")) - 1, 0), len(mass) - 1)
        cde = float((density**2 * np.diff(edges)).sum()) - 2 * density[cell] * inside
        assert found.cde_loss[0] == pytest.approx(cde, abs=1e-9)

    @given(st.integers(2, 40))
    def test_finer_cells_of_the_same_density_change_nothing(self, parts):
        truth = np.array([0.13, 0.5, 0.77])
        coarse = pdf_scores([0, 0.4, 1.0], np.tile([0.7, 0.3], (3, 1)), truth)
        edges = np.concatenate([np.linspace(0, 0.4, parts + 1), np.linspace(0.4, 1, parts + 1)[1:]])
        fine = pdf_scores(edges, np.tile(np.repeat([0.7, 0.3], parts), (3, 1)), truth)
        for name in ("ln_p", "pit", "crps", "cde_loss"):
            np.testing.assert_allclose(getattr(fine, name), getattr(coarse, name), rtol=1e-9)


class TestProper:
    """Galaxies drawn from their p(z): the right width has the best score, and an even PIT."""

    @pytest.fixture
    def drawn(self):
        rng = np.random.default_rng(3)
        mean = rng.uniform(0.8, 1.2, 3000)
        return mean, mean + 0.05 * rng.normal(size=mean.size)

    def test_the_pit_of_right_p_of_z_is_even(self, drawn):
        mean, z = drawn
        pit = scored(mean, np.full(mean.size, 0.05), z).pit
        assert ks_distance(pit) < ks_by_chance(len(pit))

    @pytest.mark.parametrize("wrong", [0.7, 1.4])
    def test_wrong_widths_are_worse_in_every_score(self, drawn, wrong):
        mean, z = drawn
        right = scored(mean, np.full(mean.size, 0.05), z)
        other = scored(mean, np.full(mean.size, 0.05 * wrong), z)
        assert ks_distance(other.pit) > 2 * ks_by_chance(len(z))
        for change in (
            other.crps - right.crps, other.cde_loss - right.cde_loss, right.ln_p - other.ln_p,
        ):  # fmt: skip
            assert change.mean() > 4 * change.std() / math.sqrt(len(z))

    def test_a_bias_is_worse(self, drawn):
        mean, z = drawn
        right = scored(mean, np.full(mean.size, 0.05), z)
        other = scored(mean + 0.03, np.full(mean.size, 0.05), z)
        assert other.crps.mean() > right.crps.mean() * 1.1
        assert other.pit.mean() < 0.35


class TestSplitNormals:
    def test_equal_sides_are_a_gaussian(self):
        mean, std = np.array([0.5, 0.9]), np.array([0.02, 0.1])
        rows = np.arange(2)
        found = SplitNormals(mean, std, std).probability(rows, EDGES)
        np.testing.assert_allclose(found, gaussians(mean, std).probability(rows, EDGES), atol=1e-15)

    def test_far_tails_keep_their_digits(self):
        found = SplitNormals(np.array([0.5]), np.array([0.02]), np.array([0.04]))
        edges = np.array([0.0, 0.1, 0.5, 1.2, 1.3])
        right = [
            norm.cdf(-20) - norm.cdf(-25), 0.5 - norm.cdf(-20), 0.5 - norm.sf(17.5),
            norm.sf(17.5) - norm.sf(20),
        ]  # fmt: skip
        np.testing.assert_allclose(found.probability(np.array([0]), edges)[0], right, rtol=1e-9)

    @given(st.floats(0.3, 0.95), st.floats(0.01, 0.2), st.floats(0.01, 0.2))
    def test_the_interval_and_the_median_come_back(self, probability, below, above):
        median = np.array([0.7])
        found = SplitNormals.from_interval(median, median - below, median + above, probability)
        edges = [0.7 - below, 0.7, 0.7 + above]
        inside = found.probability(np.array([0]), edges)[0]
        np.testing.assert_allclose(inside, probability / 2, rtol=1e-9)

    def test_moments_are_those_of_its_cells(self):
        found = SplitNormals(np.array([1.0]), np.array([0.05]), np.array([0.1]))
        mean, std = found.moments(np.array([0]))
        mass = found.probability(np.array([0]), EDGES)[0]
        z = (EDGES[1:] + EDGES[:-1]) / 2
        assert mean[0] == pytest.approx((mass * z).sum(), abs=1e-6)
        assert std[0] == pytest.approx(math.sqrt((mass * z**2).sum() - mean[0] ** 2), abs=1e-5)

    def test_without_a_width_nothing_is_known(self):
        widths = np.array([0.0, -0.1, np.nan, np.inf, 0.1])
        found = SplitNormals(np.full(5, 0.5), widths, np.full(5, 0.1))
        rows = np.arange(5)
        assert np.isfinite(found.probability(rows, [0.4, 0.6])[:, 0]).tolist() == [False] * 4 + [
            True
        ]
        assert np.isfinite(found.moments(rows)[0]).tolist() == [False] * 4 + [True]


class TestCells:
    def test_they_hold_truths_and_p_of_z(self):
        table, rows = gaussians(np.full(100, 0.5), np.full(100, 0.04)), np.arange(100)
        edges, narrow = common_edges([(table, rows)], np.array([0.3, 0.5]), 0.001)
        assert (edges[0], narrow) == (0, 0)
        assert 0.7 <= edges[-1] < 0.705
        edges, _ = common_edges([(table, rows)], np.array([0.3, 1.5]), 0.001)
        assert edges[-1] > 1.5

    def test_one_galaxy_without_bounds_does_not_matter(self):
        std = np.full(5000, 0.04)
        std[0] = 1e6
        edges, _ = common_edges(
            [(gaussians(np.full(5000, 0.5), std), np.arange(5000))], np.array([0.3]), 0.001
        )
        assert edges[-1] < 0.8

    def test_narrow_p_of_z_are_counted(self):
        table = gaussians(np.full(4, 0.5), [0.0005, 0.01, 0.01, 0.01])
        _, narrow = common_edges([(table, np.arange(4))], np.array([0.3]), 0.001)
        assert narrow == 0.25
