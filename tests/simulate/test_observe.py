"""Simulated galaxies as two surveys observe them."""

from dataclasses import replace

import numpy as np
import pytest

from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.simulate import lognormal_galaxies, observe
from truez.surveys.spec import SurveySpec


@pytest.fixture(scope="module")
def galaxies():
    return lognormal_galaxies(
        Box(96, 12), COSMOLOGIES["wmap"], redshift=0.5, density=2e-3, bias=1.2, seed=2000
    )


def rng(seed=0):
    return np.random.default_rng(seed)


def test_what_was_drawn_is_what_is_seen(galaxies):
    surveys = SurveySpec(sigma_z=0.002, spec_density=2e-4, photo_density=1e-3, outlier_fraction=0.2)
    mock = observe(galaxies, surveys, rng(), cellsize=8)
    n_spec, n_photo, n_both = mock.surveys.densities
    assert (n_spec, n_photo) == pytest.approx((2e-4, 1e-3), rel=5e-3)
    assert n_both == n_spec
    assert mock.surveys.error.outlier_fraction == 0.2
    assert mock.config.photo.density == 1e-3
    # Thinned at random, and ids are rows of the universe: masses are those of all galaxies ...
    chosen = np.zeros(len(galaxies), bool)
    chosen[mock.photo_ids] = True
    assert np.count_nonzero(chosen) == len(mock.truth)
    means = [np.log(galaxies.mass[rows]).mean() for rows in (chosen, ~chosen)]
    assert means[0] == pytest.approx(means[1], abs=0.15)
    assert np.allclose(galaxies.positions[mock.photo_ids, :2], mock.truth[:, :2], atol=1e-3)
    # ... and the spectroscopic ones are the heaviest of what is left.
    spec = np.isin(mock.photo_ids, mock.spec_ids)
    heavy, light = (galaxies.mass[mock.photo_ids[rows]] for rows in (spec, ~spec))
    assert heavy.min() >= light.max()
    other = observe(galaxies, surveys, rng(9), cellsize=8)
    assert not np.array_equal(other.photo_ids, mock.photo_ids)


def test_redshift_space_on_and_off(galaxies):
    def truth(space):
        surveys = SurveySpec(sigma_z=0.002, spec_density=2e-4, redshift_space=space)
        return observe(galaxies, surveys, rng(), cellsize=8).truth[:, 2]

    assert np.allclose(truth(False), galaxies.positions[:, 2])
    shift = truth(True) - galaxies.positions[:, 2]
    shift -= 96 * np.round(shift / 96)
    per_velocity = COSMOLOGIES["wmap"].distance_per_velocity(0.5)
    assert np.allclose(shift, galaxies.velocities[:, 2] * per_velocity, atol=1e-3)


def test_universes_too_thin_or_too_silent(galaxies):
    with pytest.raises(ValueError) as error:
        observe(
            galaxies,
            SurveySpec(sigma_z=0.02, spec_density=1e-4, photo_density=(1e-3, 9e-3)),
            rng(),
        )
    density = len(galaxies) / 96**3
    assert str(error.value) == (
        f"photo_density up to 0.009 (h/Mpc)^3 is more than the universe's {density:.4g}: take a "
        "lower one, or a universe of more galaxies"
    )
    with pytest.raises(ValueError, match=r"^the metadata of the galaxies hold no cosmology: put "):
        observe(replace(galaxies, metadata={}), SurveySpec(sigma_z=0.002, spec_density=3e-4), rng())
