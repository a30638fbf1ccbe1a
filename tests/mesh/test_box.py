"""Box: conventions of cells, faces and sub-boxes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truez.mesh.box import Box

CUBOID = Box(boxsize=(100, 60, 40), meshsize=(10, 6, 8), boxcenter=(0, 5, 200), periodic=False)


def test_scalars_make_a_cube_with_its_corner_at_the_origin():
    box = Box(boxsize=200, meshsize=100)
    assert box.boxsize == (200.0, 200.0, 200.0)
    assert box.meshsize == (100, 100, 100)
    assert box.boxcenter == (100.0, 100.0, 100.0)
    assert box.lower == (0.0, 0.0, 0.0)
    assert box.upper == (200.0, 200.0, 200.0)
    assert box.periodic


def test_derived_quantities_of_a_cuboid():
    assert CUBOID.cellsize == (10.0, 10.0, 5.0)
    assert CUBOID.lower == (-50.0, -25.0, 180.0)
    assert CUBOID.upper == (50.0, 35.0, 220.0)
    assert CUBOID.volume == 240_000.0
    assert CUBOID.num_cells == 480
    assert CUBOID.fundamental == pytest.approx([2 * math.pi / side for side in (100, 60, 40)])
    assert CUBOID.nyquist == pytest.approx(math.pi / 10)


def test_cell_i_is_centred_at_i_plus_one_half_cellsize():
    np.testing.assert_allclose(CUBOID.centers(2), 180 + (np.arange(8) + 0.5) * 5)
    np.testing.assert_allclose(CUBOID.edges(2), 180 + np.arange(9) * 5)


@pytest.mark.parametrize(
    ("boxsize", "cellsize", "meshsize"),
    [(1200, 2, 600), (196.446, 2, 98), (100, 3, 33), (1, 1.9, 1)],
)
def test_from_cellsize_rounds_to_the_nearest_whole_number_of_cells(boxsize, cellsize, meshsize):
    box = Box.from_cellsize(boxsize, cellsize)
    assert box.meshsize == (meshsize,) * 3
    assert box.cellsize == pytest.approx([boxsize / meshsize] * 3)


def test_inside_includes_both_faces():
    positions = np.array([CUBOID.lower, CUBOID.upper, CUBOID.boxcenter])
    assert CUBOID.inside(positions).all()
    beyond = np.nextafter(CUBOID.upper, np.inf)
    for axis in range(3):
        outside = np.array([CUBOID.boxcenter])
        outside[0, axis] = beyond[axis]
        assert not CUBOID.inside(outside).any()


def test_crop_keeps_cells_in_place_and_opens_the_box():
    box = Box(boxsize=(100, 60, 40), meshsize=(10, 6, 8), boxcenter=(0, 5, 200))
    part = box.crop((2, 0, 3), (7, 6, 8))
    for axis, (start, stop) in enumerate([(2, 7), (0, 6), (3, 8)]):
        np.testing.assert_allclose(part.edges(axis), box.edges(axis)[start : stop + 1])
    assert part.cellsize == pytest.approx(box.cellsize)
    assert not part.periodic


def test_crop_of_the_whole_box_is_the_box():
    box = Box(boxsize=(100, 60, 40), meshsize=(10, 6, 8), boxcenter=(0, 5, 200))
    assert box.crop((0, 0, 0), box.meshsize) == box
    assert CUBOID.crop((0, 0, 0), CUBOID.meshsize) == CUBOID


@pytest.mark.parametrize(
    ("start", "stop", "sentence"),
    [
        ((0, 0, 0), (11, 6, 8), "cells 0 to 11 of axis 0 are not a range within its 10 cells"),
        ((0, 3, 0), (10, 3, 8), "cells 3 to 3 of axis 1 are not a range within its 6 cells"),
        ((0, 0, -1), (10, 6, 8), "cells -1 to 8 of axis 2 are not a range within its 8 cells"),
    ],
)
def test_crop_refuses_what_is_no_range_of_cells(start, stop, sentence):
    with pytest.raises(ValueError) as error:
        CUBOID.crop(start, stop)
    assert str(error.value) == sentence


sides = st.floats(1e-2, 1e4)
cells = st.integers(1, 2000)


@given(
    st.tuples(sides, sides, sides),
    st.tuples(cells, cells, cells),
    st.tuples(*[st.floats(-1e4, 1e4)] * 3),
    st.booleans(),
)
def test_to_dict_gives_the_box_back(boxsize, meshsize, boxcenter, periodic):
    box = Box(boxsize, meshsize, boxcenter, periodic)
    assert Box(**box.to_dict()) == box
    assert hash(Box(**box.to_dict())) == hash(box)


def test_str_says_size_cells_and_faces():
    assert str(Box(200, 100)) == "200 x 200 x 200 Mpc/h, 100 x 100 x 100 cells of 2 Mpc/h, periodic"
    assert str(CUBOID) == ("100 x 60 x 40 Mpc/h, 10 x 6 x 8 cells of 10 x 10 x 5 Mpc/h, closed")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"boxsize": 0, "meshsize": 4}, "boxsize must be positive, not 0"),
        ({"boxsize": (1, -2, 3), "meshsize": 4}, "boxsize must be positive, not (1, -2, 3)"),
        (
            {"boxsize": math.nan, "meshsize": 4},
            "boxsize must be one finite number or three, not nan",
        ),
        (
            {"boxsize": (1, 2), "meshsize": 4},
            "boxsize must be one finite number or three, not (1, 2)",
        ),
        (
            {"boxsize": "large", "meshsize": 4},
            "boxsize must be one finite number or three, not 'large'",
        ),
        (
            {"boxsize": 10, "meshsize": 4.5},
            "meshsize must be positive whole numbers, not 4.5",
        ),
        (
            {"boxsize": 10, "meshsize": (4, 0, 4)},
            "meshsize must be positive whole numbers, not (4, 0, 4)",
        ),
        (
            {"boxsize": 10, "meshsize": 4, "boxcenter": math.inf},
            "boxcenter must be one finite number or three, not inf",
        ),
    ],
)
def test_a_bad_box_is_told_in_one_sentence(arguments, sentence):
    with pytest.raises(ValueError) as error:
        Box(**arguments)
    assert str(error.value) == sentence


def test_cells_larger_than_the_box_are_refused():
    with pytest.raises(ValueError, match="cellsize of 50 Mpc/h is larger than the box"):
        Box.from_cellsize(1, 50)


@pytest.mark.parametrize("cellsize", [0, -2, math.nan, math.inf])
def test_from_cellsize_refuses_a_bad_cellsize(cellsize):
    with pytest.raises(ValueError, match=f"^cellsize must be positive, not {cellsize!r} Mpc/h$"):
        Box.from_cellsize(100, cellsize)


@pytest.mark.parametrize("given", [{"cellsize": 1e-300}, {"cellsize": 1e-5}, {"meshsize": 2**21}])
def test_more_cells_than_can_be_counted_are_refused(given):
    with pytest.raises(ValueError, match="makes more cells than any machine holds: take cells of"):
        Box((128, 128, 256), **given)
