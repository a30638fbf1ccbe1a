"""Shells: how a survey is cut along the line of sight."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truez.cosmology import Cosmology
from truez.sky.shells import RATIO, error_length, plan_shells
from truez.surveys.nz import NumberDensity

PLANCK = Cosmology.of("planck18")


def plan(low, high, sigma_z=0.02, **more):
    return plan_shells(PLANCK, redshift_range=(low, high), sigma_z=sigma_z, **more)


@given(st.floats(0, 2), st.floats(0.01, 2), st.floats(0, 0.1))
def test_cores_follow_each_other_and_none_is_thinner_than_3_errors(low, depth, sigma_z):
    shells = plan(low, low + depth, sigma_z)
    near, far = PLANCK.distances.from_redshift([low, low + depth])
    assert (shells[0].near, shells[-1].far) == (near, far)
    for one, other in pairwise(shells):
        assert one.far == other.near
    for shell in shells:
        assert shell.near < shell.far
        if len(shells) > 1:
            thick = 3 * error_length(PLANCK, sigma_z, shell.far)
            assert shell.far - shell.near >= 0.999 * thick
    for shell in shells[1:]:
        thick = 3 * error_length(PLANCK, sigma_z, shell.far)
        wanted = max(RATIO * shell.near, shell.near + 2 * thick)
        assert shell.far <= wanted * (1 + 1e-9)


@given(st.floats(0, 1.5), st.floats(0.05, 1.5), st.floats(0.001, 0.05))
def test_boxes_reach_3_errors_beyond_their_cores(low, depth, sigma_z):
    for shell in plan(low, low + depth, sigma_z):
        assert shell.reach[0] == pytest.approx(
            max(shell.near - 3 * error_length(PLANCK, sigma_z, shell.near), 0)
        )
        assert shell.reach[1] == pytest.approx(
            shell.far + 3 * error_length(PLANCK, sigma_z, shell.far)
        )


def test_a_deep_survey_has_four_shells_and_a_near_one_has_one():
    deep = plan(0.2, 1.2)
    assert len(deep) == 4
    assert all(shell.far / shell.near <= RATIO for shell in deep)
    assert len(plan(0.01, 0.505)) == 1
    assert len(plan(0.01, 0.505, one_shell=0.0)) > 1


def test_95_per_cent_of_the_galaxies_are_nearer_than_chi_ref():
    nz = NumberDensity(np.array([0.0, 0.2, 0.5]), np.array([0.0, 1e5, 0.0]))
    (shell,) = plan(0.02, 0.5, density=nz)
    z = float(PLANCK.distances.redshift(shell.chi_ref))
    part = nz.within(0.02, 0.5)
    assert part.below(z) / part.total == pytest.approx(0.95, abs=1e-4)
    assert plan(0.02, 0.5)[0].chi_ref == plan(0.02, 0.5)[0].far
    assert plan(0.02, 0.5, chi_ref=650)[0].chi_ref == 650
    beyond = plan(0.6, 0.9, density=nz)
    assert [shell.chi_ref for shell in beyond] == [shell.far for shell in beyond]


def test_the_error_as_a_length_is_that_of_the_cosmology():
    chi = float(PLANCK.comoving_distance(0.6))
    length = error_length(PLANCK, 0.02, chi)
    assert length == pytest.approx(PLANCK.distance_error(0.02 * 1.6, 0.6), rel=1e-6)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"low": 0.5, "high": 0.2}, "redshift_range must be two redshifts from 0 on"),
        ({"sigma_z": 1.0}, "sigma_z must be a number from 0 to below 1, not 1.0"),
        ({"ratio": 1.0}, "the ratio of shells must be above 1, not 1.0"),
        ({"chi_ref": 650.0}, "chi_ref = 650 Mpc/h is for one shell, and the survey has 4: leave"),
    ],
)
def test_what_cannot_be_cut_is_refused(given, sentence):
    with pytest.raises(ValueError, match="^" + sentence):
        plan(**{"low": 0.2, "high": 1.2, **given})
