"""Each galaxy is in one core, and in the margins of all patches whose boxes it is in."""

import numpy as np
import pytest
from tests.sky.partition.divided_sky import plan_of

from truez.mesh.sphere import directions, unit_vectors
from truez.sky.partition.routing import Router
from truez.surveys.footprint import Rectangle
from truez.surveys.pixel_map import PixelMap

FOOTPRINTS = {
    "across 0": Rectangle(350, 20, -10, 15),
    "a pole": Rectangle(0, 360, 70, 90),
    "pixels": PixelMap.from_data(*directions(unit_vectors(
        np.random.default_rng(3).uniform(100, 130, 4000),
        np.random.default_rng(4).uniform(-20, 5, 4000),
    ))),
}  # fmt: skip


def around(footprint, num=20_000, seed=2):
    """Directions in and around a footprint, and redshifts."""
    rng = np.random.default_rng(seed)
    ra, dec = footprint.sample(0.5)
    some = rng.integers(0, len(ra), num)
    vectors = unit_vectors(ra[some], dec[some]) + rng.normal(0, 0.03, (num, 3))
    z = rng.uniform(0.1, 1.1, num)
    z[::40] = np.nan
    return *directions(vectors), z


def in_box(patch, ra, dec, slack=0.0):
    """On the sight lines of a box, by its projection alone."""
    x, y = patch.box.project(ra, dec)
    wider = 1.45 * np.radians(slack) * patch.box.chi_ref
    lower, upper = np.array(patch.box.lower) - wider, np.array(patch.box.upper) + wider
    near = unit_vectors(ra, dec) @ patch.box.axes[2] > 0
    return near & (x >= lower[0]) & (x <= upper[0]) & (y >= lower[1]) & (y <= upper[1])


@pytest.mark.medium
@pytest.mark.parametrize("name", FOOTPRINTS)
def test_cores_and_margins_are_those_of_a_search_of_all_patches(name):
    patches = plan_of(FOOTPRINTS[name]).patches
    assert len(patches) >= 8
    ra, dec, z = around(FOOTPRINTS[name])
    core = patches.patch_of(ra, dec, z)
    assert (core >= 0).mean() > 0.3
    router = Router(patches)
    found = router.members(ra, dec, z)
    assert (np.diff(found.patches) >= 0).all()
    for patch in patches:
        low, high = patch.box.redshift_edges[[0, -1]]
        with np.errstate(invalid="ignore"):
            wanted = in_box(patch, ra, dec) & (z >= low) & (z <= high) | (core == patch.number)
        own = found.patches == patch.number
        np.testing.assert_array_equal(found.rows[own], np.flatnonzero(wanted))
        np.testing.assert_array_equal(found.core[own], (core == patch.number)[wanted])
        alone = router.inside(patch.number, ra, dec, z)
        np.testing.assert_array_equal(alone.rows, found.rows[own])
        np.testing.assert_array_equal(alone.core, found.core[own])
    rest = found.patches == len(patches)
    np.testing.assert_array_equal(found.rows[rest], np.flatnonzero(core < 0))
    # Once in a core, or once in the rest.
    once = np.sort(np.concatenate([found.rows[found.core], found.rows[rest]]))
    np.testing.assert_array_equal(once, np.arange(len(ra)))


def test_spectroscopic_galaxies_are_in_the_margins_of_all_shells():
    patches = plan_of().patches
    assert len(patches.shells) >= 3
    ra, dec, z = around(Rectangle(350, 20, -10, 15))
    found = Router(patches, any_redshift=True, slack=0.01).members(ra, dec, z)
    core = patches.patch_of(ra, dec, z)
    for patch in patches:
        wanted = in_box(patch, ra, dec, 0.01) & np.isfinite(z) | (core == patch.number)
        np.testing.assert_array_equal(
            found.rows[found.patches == patch.number], np.flatnonzero(wanted)
        )


def test_a_known_redshift_counts_for_margins_but_not_for_cores():
    patches = plan_of().patches
    near, far = patches.shells[0].near + 50, patches.shells[-1].far - 50
    z, other = (float(patches.cosmology.distances.redshift(chi)) for chi in (near, far))
    alone = Router(patches).members([5.0], [3.0], [z])
    both = Router(patches).members([5.0], [3.0], [z], np.array([other]))
    more = set(both.patches.tolist()) - set(alone.patches.tolist())
    assert more
    assert all(patches[number].shell is patches.shells[-1] for number in more)
    assert both.core.sum() == 1
    without = Router(patches).members([5.0], [3.0], [np.nan], np.array([other]))
    assert without.core.sum() == 0
    assert set(without.patches.tolist()) == more | {len(patches)}
