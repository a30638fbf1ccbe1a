"""What a run is expected to take, of its patches and of the method."""

import pytest

from truez.sky.distributed.estimate import START, Estimate, estimate_of
from truez.sky.patches import PatchSettings, plan_patches
from truez.sky.registry import METHODS
from truez.surveys.footprint import Rectangle


@pytest.fixture(scope="module")
def patches():
    """Many patches in two shells."""
    return plan_patches(
        Rectangle(0, 60, -20, 20), cosmology="planck18", redshift_range=(0.2, 0.8), sigma_z=0.02,
        settings=PatchSettings(cellsize=4, halo=20, max_cells=2**21),
    )  # fmt: skip


@pytest.mark.medium
@pytest.mark.parametrize("method", ["redistribution", "columns"])
def test_times_are_those_of_the_method_and_of_the_patches_that_are_measured(patches, method):
    found, all_measured = (estimate_of(patches, method, 1e7, first=first) for first in (2, 1000))
    own = METHODS[method]
    assert len(found.making) == len(patches) > 2 * len(patches.shells)
    assert len(found.first) == 2 * len(patches.shells)
    assert sum(all_measured.first) == pytest.approx(
        own.first / own.making * sum(all_measured.making)
    )
    assert found.making == all_measured.making
    assert found.seconds == pytest.approx(START + sum(found.first) + sum(found.making))
    more = estimate_of(patches, method, 2e7, first=2)
    assert sum(more.making) > sum(found.making)


@pytest.mark.medium
def test_workers_take_the_largest_patch_that_is_left(patches):
    found = estimate_of(patches, "redistribution", 1e7)
    assert found.elapsed(1) == pytest.approx(found.seconds)
    least = START + max(found.first) + max(found.making)
    assert found.elapsed(10**4) == pytest.approx(least)
    times = [found.elapsed(workers) for workers in (1, 2, 4, 8, 16, 10**4)]
    assert times == sorted(times, reverse=True)
    assert Estimate((), (3.0, 2.0, 2.0), 0, 0).elapsed(2) == START + 4
