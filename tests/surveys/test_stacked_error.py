"""The photo-z error as a histogram of (z - z_phot) / (1 + z)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from truez.surveys.nz import NumberDensity
from truez.surveys.nz_fit import fit_number_density
from truez.surveys.redshift_error import RedshiftError
from truez.surveys.stacked_error import StackedError

SIGMA = 0.03
NODES = np.linspace(-0.21, 0.21, 281)
GAUSSIAN = StackedError(NODES, np.diff(norm.cdf(NODES / SIGMA)))
ZS = np.array([0.1, 0.3, 0.5, 0.9])
PHOTO = np.linspace(0.2, 0.8, 25)
#: Two peaks of which one is skew, with 5% outliers.
ODD = StackedError(
    np.array([-0.05, -0.02, 0.0, 0.01, 0.15, 0.2, 0.25]),
    np.array([1.0, 3.0, 4.0, 0.0, 1.0, 1.0]), 0.05, (0.0, 1.5),
)  # fmt: skip


def drawn(error, z, seed=1):
    """Photo-z of galaxies at redshifts."""
    rng = np.random.default_rng(seed)
    t = error.quantile(rng.random(z.size))
    away = rng.random(z.size) < error.outlier_fraction
    low, high = error.outlier_range or (0.0, 1.0)
    return np.where(away, rng.uniform(low, high, z.size), z - t * (1 + z))


def test_of_a_gaussian_it_is_redshift_error():
    expected = RedshiftError(SIGMA)
    np.testing.assert_allclose(
        GAUSSIAN.probability(PHOTO, ZS), expected.probability(PHOTO, ZS), atol=2e-4
    )
    np.testing.assert_allclose(
        GAUSSIAN.matrix(PHOTO, PHOTO), expected.matrix(PHOTO, PHOTO), atol=3e-3
    )
    assert pytest.approx(SIGMA, rel=1e-3) == GAUSSIAN.sigma_z
    assert GAUSSIAN.bias == pytest.approx((0, 0), abs=1e-6)
    np.testing.assert_allclose(GAUSSIAN.mean(ZS), ZS, atol=1e-6)
    np.testing.assert_allclose(GAUSSIAN.width(ZS), SIGMA * (1 + ZS), rtol=1e-3)
    assert GAUSSIAN.reach(0.5) == pytest.approx(expected.reach(0.5), rel=1e-3)
    # A likelihood has the same shape at a photo-z, the tails of the stack left out.
    own, other = (error.rows([0.5], np.linspace(0.3, 0.7, 81)) for error in (GAUSSIAN, expected))
    inside = other > 0.01 * other.max()
    np.testing.assert_allclose(own[inside], other[inside], rtol=0.02)


@pytest.mark.parametrize("error", [GAUSSIAN, ODD])
def test_probabilities_are_those_of_drawn_galaxies(error):
    for number, z in enumerate(ZS):
        found = np.histogram(drawn(error, np.full(200_000, z)), PHOTO)[0] / 200_000
        np.testing.assert_allclose(error.probability(PHOTO, ZS)[:, number], found, atol=0.004)
    cells = np.array([0.3, 0.36, 0.5])
    rng = np.random.default_rng(4)
    for number in range(2):
        z = rng.uniform(*cells[number : number + 2], 200_000)
        found = np.histogram(drawn(error, z), PHOTO)[0] / z.size
        np.testing.assert_allclose(error.matrix(PHOTO, cells)[:, number], found, atol=0.004)


@pytest.mark.parametrize("error", [GAUSSIAN, ODD])
def test_a_row_is_the_density_of_a_matrix_of_narrow_cells(error):
    true = np.linspace(0.2, 1.2, 51)
    narrow = 0.5 + np.array([-5e-4, 5e-4])
    np.testing.assert_allclose(
        error.rows([0.5], true)[0], error.matrix(narrow, true)[0] / 1e-3, rtol=0.05, atol=0.01
    )


@given(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=8), st.floats(0.0, 0.5))
def test_all_photo_z_together_have_a_probability_of_1(shares, fraction):
    shares = np.array([*shares, 1.0])
    error = StackedError(np.linspace(-0.4, 0.4, len(shares) + 1), shares, fraction, (0.0, 2.0))
    everywhere = np.linspace(-0.9, 4, 50)
    np.testing.assert_allclose(error.probability(everywhere, ZS).sum(0), 1, rtol=1e-12)
    matrix = error.matrix(everywhere, np.linspace(0, 1, 11))
    np.testing.assert_allclose(matrix.sum(0), 1, rtol=1e-10)
    assert (matrix >= 0).all()


def test_n_of_z_is_folded_with_it():
    nz = NumberDensity(np.array([0.0, 0.5, 1.5]), np.array([0.0, 1e5, 0.0]))
    z = nz.quantile(np.random.default_rng(2).random(400_000))
    found = np.histogram(drawn(ODD, z), PHOTO)[0] * nz.total / z.size
    np.testing.assert_allclose(nz.observed(PHOTO, ODD), found, rtol=0.05)
    assert nz.check_matches(drawn(ODD, z), ODD, name="photo") < 0.03


def test_n_of_z_is_fitted_with_it():
    rng = np.random.default_rng(3)
    z = 0.3 * rng.gamma(3.0, 0.4, 40_000)
    nz = fit_number_density(drawn(GAUSSIAN, z), error=GAUSSIAN, z_range=(0.1, 0.9))
    edges = np.linspace(0.2, 0.8, 7)
    np.testing.assert_allclose(nz.counts(edges) / np.histogram(z, edges)[0], 1, atol=0.06)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (([0.0, 1.0], [1.0]), "edges must be finite, ascending and below 1"),
        (([0.1, 0.0], [1.0]), "edges must be finite, ascending and below 1"),
        (([0.0, 0.1], [-1.0]), "shares must be finite and >= 0, and not all 0"),
        (([0.0, 0.1], [0.0]), "shares must be finite and >= 0, and not all 0"),
        (([0.0, 0.1], [1.0, 1.0]), "shares must be one for each bin of edges, not (2,)"),
        (([0.0, 0.1], [1.0], 0.1), "outlier_fraction needs outlier_range, the photo-z of outliers"),
        (([0.0, 0.1], [1.0], 1.1, (0, 1)), "outlier_fraction must be in [0, 1], not 1.1"),
        (([0.0, 0.1], [1.0], 0.1, (1, 0)), "outlier_range must be two photo-z, not (1, 0)"),
    ],
)
def test_what_is_no_error_is_refused(values, message):
    with pytest.raises(ValueError) as raised:
        StackedError(*values)
    assert str(raised.value) == message
