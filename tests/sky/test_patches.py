"""Patches: cores that divide any footprint, halos around them, cells, and other cuts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from truez.mesh.healpix import centers
from truez.mesh.sphere import directions, separation, unit_vectors
from truez.sky.patches import PatchSettings, plan_patches
from truez.sky.tiling import Tiling
from truez.surveys.footprint import Rectangle, Union
from truez.surveys.footprint_input import footprint_of
from truez.surveys.pixel_map import PixelMap

#: A shallow survey, a deep one, and cells that keep both small.
NEAR, DEEP = (0.02, 0.5), (0.3, 0.9)


def plan(footprint, redshift_range=NEAR, **more):
    how = PatchSettings(**{"cellsize": 8.0, "max_cells": 2**20, **more})
    return plan_patches(
        footprint, cosmology="planck18", redshift_range=redshift_range, sigma_z=0.02, settings=how
    )


def everywhere(footprint, num=2000, seed=1):
    """Directions of a footprint, its very edges among them, and as many of the whole sky."""
    rng = np.random.default_rng(seed)
    ra, dec = footprint.sample(np.sqrt(footprint.area / num))
    sky = directions(rng.normal(size=(num, 3)))
    return np.concatenate([ra, sky[0]]), np.concatenate([dec, sky[1]])


def check(footprint, patches, edge, seed=1):
    """Each galaxy of the survey is in one core, and its box surrounds it."""
    ra, dec = everywhere(footprint, seed=seed)
    low, high = patches.shells[0].near, patches.shells[-1].far
    chi = np.random.default_rng(seed).uniform(low, high, ra.size)
    chi[:3] = low, high, (low + high) / 2
    z = patches.cosmology.distances.redshift(chi)
    number = patches.patch_of(ra, dec, z)
    assert ((number >= 0) == ~footprint.outside(ra, dec)).all()
    for patch in patches:
        rows = number == patch.number
        if not rows.any():
            continue
        places = patch.box.positions(ra[rows], dec[rows], z[rows])
        for axis in (0, 1):
            assert (places[:, axis] > patch.box.lower[axis] + edge - 1e-6).all()
            assert (places[:, axis] < patch.box.upper[axis] - edge + 1e-6).all()
        shell = patch.shell
        assert (chi[rows] >= shell.near - 1e-4).all()
        assert (chi[rows] <= shell.far + 1e-4).all()
        assert patch.box.lower[2] <= shell.near
        assert patch.box.upper[2] >= shell.far
    return number


rectangles = st.builds(
    lambda ra, dec, width, height: Rectangle(
        ra, (ra + width) % 360, dec, min(dec + height, 90.0)
    ),
    st.floats(0, 359.9), st.floats(-90, 88), st.floats(0.5, 359), st.floats(0.5, 60),
)  # fmt: skip


@settings(max_examples=15)
@given(rectangles, st.sampled_from([(0.0, 0.0), (0.5, 0.5), (0.25, 0.9)]), st.booleans())
def test_every_galaxy_of_a_rectangle_is_in_exactly_one_core(rectangle, shift, deep):
    patches = plan(rectangle, DEEP if deep else NEAR, shift=shift)
    check(rectangle, patches, 12.0)
    assert max(patch.num_cells for patch in patches) <= 2**20


@pytest.mark.parametrize(
    "text",
    [
        "0,360,-90,90", "0,360,80,90", "0,360,-90,-89", "350,10,-1,1", "10,11,-0.5,0.5",
        "129,141,-2,3;174,186,-3,2;0,360,-90,-85", "0,360,30,32", "179,181,89,90",
    ],
)  # fmt: skip
def test_poles_islands_rings_and_the_whole_sky_are_divided(text):
    footprint = footprint_of(text)
    check(footprint, plan(footprint), 12.0)


def test_a_map_with_holes_is_divided():
    ra, dec = centers(np.arange(12 * 128**2), 128)
    rng = np.random.default_rng(1)
    values = np.where((separation(ra, dec, 5.0, 70.0) < 12) & (rng.random(ra.size) < 0.7), 1, 0)
    footprint = PixelMap(128, np.arange(ra.size), values)
    check(footprint, plan(footprint, max_cells=2**18), 12.0)


def test_gama_is_one_box():
    patches = plan(Rectangle(129, 141, -2, 3), chi_ref=650.0, cellsize=2.0, max_cells=2**25)
    assert len(patches) == 1
    box = patches[0].box
    assert box.chi_ref == 650
    assert separation(box.ra, box.dec, 135.0, 0.5) < 0.1
    # The footprint and 12 Mpc/h around it, to within the spacing of its sample.
    assert box.boxsize[0] == pytest.approx(np.radians(12) * 650 + 24, abs=8)
    assert box.boxsize[1] == pytest.approx(np.radians(5) * 650 + 24, abs=8)
    assert patches[0].core_sight_lines.all()


def test_boxes_begin_at_multiples_of_a_stride_on_one_lattice():
    footprint, settings = Rectangle(129, 151, -2, 13), {"widest": 6.0, "halo": 30.0}
    patches, others = (plan(footprint, **settings, stride=stride) for stride in (4, 1))
    assert len(patches) > 4
    for patch, other in zip(patches, others, strict=True):
        lower, upper, less, same = (
            np.array(ends[:2]) / patch.box.cellsize[0]
            for box in (patch.box, other.box) for ends in (box.lower, box.upper)
        )  # fmt: skip
        np.testing.assert_allclose(lower, 4 * np.round(lower / 4), atol=1e-6)
        # It grows by less than a group of cells, at its lower ends.
        np.testing.assert_allclose(upper, same, atol=1e-6)
        assert ((less - lower > -1e-6) & (less - lower < 3 + 1e-6)).all()
    assert any(a.box != b.box for a, b in zip(patches, others, strict=True))


def test_what_lies_within_the_halo_of_a_core_is_in_its_box():
    footprint = Rectangle(350, 30, 40, 65)
    patches = plan(footprint, halo=40.0, max_cells=2**19)
    assert len(patches) > 4
    ra, dec = footprint.sample(0.3)
    number = patches.patch_of(ra, dec, np.full(ra.size, 0.3))
    tree = cKDTree(unit_vectors(ra, dec))
    for patch in patches:
        # Shapes are distorted by less than 1%.
        angle = 0.99 * 40.0 / patch.box.chi_ref
        around = tree.query_ball_point(tree.data[number == patch.number], angle)
        rows = np.unique(np.concatenate(around).astype(int))
        assert len(rows) > np.count_nonzero(number == patch.number)
        places = patch.box.positions(ra[rows], dec[rows], np.full(len(rows), 0.3))
        assert patch.box.inside(places, axes=(0, 1)).all()


def test_core_cells_divide_the_cells_of_the_footprint():
    footprint = Rectangle(350, 20, -10, 10)
    patches = plan(footprint, DEEP, max_cells=2**18)
    assert len(patches) > 3 * len(patches.shells)
    area = dict.fromkeys(patches.shells, 0.0)
    for patch in patches:
        covered = footprint.fraction(patch.box)
        area[patch.shell] += covered[patch.core_sight_lines].sum() * patch.box.cell_area
        edges = patch.box.edges(2)[[patch.core_cells.start, patch.core_cells.stop]]
        assert edges == pytest.approx([patch.shell.near, patch.shell.far], abs=4.01)
    for covered in area.values():  # to half a cell at each seam
        assert covered == pytest.approx(footprint.area, rel=0.04)


def test_islands_are_not_cut_by_what_lies_between_them():
    footprint = footprint_of("129,139,-2,3;174,184,-3,2")
    patches = plan(footprint)
    assert len(patches) == 2
    assert sorted(round(patch.box.ra) for patch in patches) == [134, 179]


def test_a_shift_cuts_the_same_sky_elsewhere():
    footprint = Rectangle(100, 140, 20, 50)
    whole, moved = plan(footprint), plan(footprint, shift=(0.5, 0.5))
    number, other = check(footprint, whole, 12.0), check(footprint, moved, 12.0)
    assert len(moved) > len(whole)
    pairs = {(a, b) for a, b in zip(number, other, strict=True) if a >= 0}
    assert len(pairs) > 1.5 * len(moved)


def test_the_same_footprint_gives_the_same_patches():
    footprint = Rectangle(100, 140, 20, 50)
    assert [p.box for p in plan(footprint)] == [p.box for p in plan(footprint)]


def test_an_inclined_footprint_is_turned_into_its_box():
    stripe = Union(tuple(
        Rectangle(a, a + 1.0, 5 + 0.7 * (a - 20), 9 + 0.7 * (a - 20)) for a in np.arange(20.0, 32.0)
    ))  # fmt: skip
    (patch,) = plan(stripe)
    assert abs(patch.box.angle) > 10
    covered = patch.box.meshsize[0] * patch.box.meshsize[1] * patch.box.cell_area
    assert covered < 3 * stripe.area
    check(stripe, plan(stripe), 12.0)


def test_galaxies_without_a_redshift_are_in_no_patch():
    patches = plan(Rectangle(129, 141, -2, 3))
    z = np.array([0.1, np.nan, -99.0, 99.0, 0.6, 0.001])
    assert patches.patch_of(np.full(6, 135.0), np.zeros(6), z).tolist() == [0, -1, -1, -1, -1, -1]


def test_cells_and_memory_are_listed():
    patches = plan(Rectangle(129, 141, -2, 3), DEEP)
    table = patches.to_table()
    assert len(table) == len(patches) == 3
    assert table["cells"].sum() == patches.num_cells
    assert table["memory"][0] == pytest.approx(20e-6 * patches[0].num_cells)
    assert repr(patches).startswith("Patches: 3 in 3 shells, ")
    assert repr(patches[0]).startswith("Patch 0: sky about 135, 0.5")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"cellsize": 0}, "cellsize must be positive, not 0"),
        ({"halo": -1.0}, "halo must be a length >= 0 Mpc/h, not -1.0"),
        ({"chi_ref": -1.0}, "chi_ref must be a positive distance, not -1.0 Mpc/h"),
        ({"max_cells": 10}, "max_cells must be at least 1000, not 10"),
        (
            {"max_cells": 2000},
            "cellsize = 8 Mpc/h is too small: no core is left between halos of 20 Mpc/h",
        ),
        ({"stride": 0}, "stride must be at least 1 cell, not 0"),
        ({"shift": (1.0, 0.0)}, "shift must be two parts of a tile from 0 to below 1"),
    ],
)
def test_settings_that_cut_nothing_are_refused(changes, sentence):
    with pytest.raises(ValueError, match="^" + sentence):
        plan(Rectangle(129, 141, -2, 3), **changes)


def test_a_width_that_is_none_is_refused():
    with pytest.raises(ValueError, match="the width of tiles must be above 0 and at most 90 deg"):
        Tiling.of(Rectangle(129, 141, -2, 3), 0.0)
