import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from truez.mesh.box import Box
from truez.surveys.photoz import PhotozError, wrap


def test_characteristic_is_the_mean_phase_of_the_scatter():
    box = Box((100, 100, 2000), 8)
    error = PhotozError(30.0, outlier_fraction=0.1)
    start = np.full(400_000, 1000.0)
    seen = error.scatter(start, box, np.random.default_rng(3))
    # Modes of the box only: to them the uniform outliers contribute nothing.
    k = 2 * math.pi / 2000 * np.array([1, 5, 9])
    phases = np.cos(k[:, None] * (seen - 1000.0)).mean(axis=1)
    expected = error.characteristic(torch.from_numpy(k)).numpy()
    np.testing.assert_allclose(phases, expected, atol=4 / math.sqrt(2 * len(start)))
    assert error.characteristic(torch.zeros(1)).item() == 1


@given(sigma=st.floats(0.01, 500), outliers=st.floats(0, 0.9), cells=st.integers(1, 40))
def test_visible_fraction_is_bounded_and_symmetric(sigma, outliers, cells):
    box = Box((10, 10, 200), (2, 2, cells), periodic=False)
    fraction = PhotozError(sigma, outliers).visible_fraction(box)
    assert fraction.shape == (cells,)
    assert (fraction > 0).all()
    assert (fraction <= 1 + 1e-9).all()
    np.testing.assert_allclose(fraction, fraction[::-1], rtol=1e-6)


def test_visible_fraction_matches_scattered_galaxies():
    box = Box((10, 10, 100), (1, 1, 20), boxcenter=(0, 0, 300), periodic=False)
    error = PhotozError(15.0, 0.2)
    rng = np.random.default_rng(0)
    num = 2_000_000
    seen = error.scatter(rng.uniform(250, 350, num), box, rng)
    counts, _ = np.histogram(seen, box.edges(2))
    expected = error.visible_fraction(box) * num / 20
    assert np.abs((counts - expected) / np.sqrt(expected)).max() < 4.5
    # 15 Mpc/h from a face, a third of the way in: known to three digits from the normal integral.
    assert error.visible_fraction(box)[0] == pytest.approx(0.8 * 0.5655 + 0.2, abs=2e-3)


def test_exact_redshifts_stay_and_see_everything():
    box = Box(100, 10, periodic=False)
    z = np.linspace(0, 100, 11)
    seen = PhotozError(0.0).scatter(z, box, np.random.default_rng(1))
    np.testing.assert_array_equal(seen, z)
    np.testing.assert_array_equal(PhotozError(0.0).visible_fraction(box), 1)


def test_wrap_never_reaches_the_upper_face():
    box = Box(10, 4)
    z = np.array([-1e-18, 10.0, 25.0, -3.0])
    np.testing.assert_allclose(wrap(z, box, axis=2), [0, 0, 5, 7])
    assert (wrap(z, box, axis=2) < 10).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0,), "sigma must be a finite length >= 0 Mpc/h, not -1"),
        ((math.nan,), "sigma must be a finite length >= 0 Mpc/h, not nan"),
        ((1.0, 1.0), "outlier_fraction must be in [0, 1), not 1.0"),
    ],
)
def test_bad_errors(arguments, message):
    with pytest.raises(ValueError, match=r".") as caught:
        PhotozError(*arguments)
    assert str(caught.value) == message
