"""Places in footprints: random ones, their distance to the edge, and maps as they are written."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from truez.mesh.healpix import nested
from truez.mesh.sphere import unit_vectors
from truez.surveys.footprint import Rectangle
from truez.surveys.footprint_edge import edge_distance
from truez.surveys.footprint_input import footprint_of, read_healpix
from truez.surveys.footprint_output import rectangles_text, write_healpix
from truez.surveys.pixel_map import PixelMap
from truez.surveys.random_sky import cap, random_directions

FIELD = Rectangle(350, 10, -5, 15)


def holed(value: float = 1.0) -> PixelMap:
    """The field in pixels, with a hole of a degree around (0, 5)."""
    ra, dec = FIELD.sample(0.05)
    away = np.hypot(np.mod(ra + 180, 360) - 180, dec - 5)
    pixels = np.unique(nested(ra[away > 1], dec[away > 1], 256))
    return PixelMap(256, pixels, np.full(len(pixels), value, np.float32))


def test_random_directions_are_even_in_the_footprint_and_none_is_outside():
    ra, dec = random_directions(FIELD, 20_000, np.random.default_rng(1))
    assert len(ra) == 20_000
    assert not FIELD.outside(ra, dec).any()
    sines = np.sin(np.radians(np.linspace(-5, 15, 6)))
    counts = np.histogram(np.sin(np.radians(dec)), sines)[0]
    np.testing.assert_allclose(counts, 20_000 * np.diff(sines) / np.ptp(sines), rtol=0.05)
    east = np.mod(ra - 350, 360)
    np.testing.assert_allclose(np.histogram(east, np.linspace(0, 20, 5))[0], 5000, rtol=0.05)


def test_random_directions_are_as_many_as_the_completeness_allows():
    north = PixelMap(1, np.arange(4), np.array([1, 0.25, 1, 1], np.float32))
    ra, dec = random_directions(north, 20_000, np.random.default_rng(1))
    share = np.mean(nested(ra, dec, 1) == 1)
    assert share == pytest.approx(0.25 / 3.25, rel=0.1)


def test_random_directions_are_more_where_a_map_of_randoms_is_above_1():
    map_ = PixelMap(1, np.arange(4), np.array([1, 3, 1, 1], np.float32))
    ra, dec = random_directions(map_, 20_000, np.random.default_rng(1))
    assert np.mean(nested(ra, dec, 1) == 1) == pytest.approx(0.5, abs=0.015)


def test_random_directions_of_islands_and_of_a_pole_are_even():
    islands = footprint_of("10,20,-5,5;200,203,60,62;0,360,85,90")
    ra, dec = random_directions(islands, 60_000, np.random.default_rng(1))
    areas = np.array([part.area for part in islands.parts])
    own = np.stack([~part.outside(ra, dec) for part in islands.parts])
    np.testing.assert_array_equal(own.sum(axis=0), 1)
    np.testing.assert_allclose(own.mean(axis=1), areas / areas.sum(), atol=0.01)
    polar = dec > 85
    sines = np.sin(np.radians([85.0, 90.0]))
    assert kstest(np.sin(np.radians(dec[polar])), "uniform",
                  args=(sines[0], np.ptp(sines))).pvalue > 0.001  # fmt: skip
    assert kstest(ra[polar], "uniform", args=(0, 360)).pvalue > 0.001


def test_a_cap_holds_all_of_its_footprint():
    middle, angle = cap(FIELD)
    vectors = unit_vectors(*FIELD.sample(0.5))
    assert (vectors @ middle > np.cos(angle)).all()
    assert angle < np.radians(16)
    assert cap(PixelMap(1, np.arange(12), np.ones(12, np.float32)))[1] == np.pi


def test_the_distance_to_the_edge_is_that_to_the_nearest_side():
    ra, dec = np.array([0.0, 351.0, 0.0, 0.0]), np.array([5.0, 5.0, -4.5, 30.0])
    found = edge_distance(FIELD, ra, dec)
    wanted = [9.96, np.cos(np.radians(5)), 0.5, 0.0]
    np.testing.assert_allclose(found, wanted, atol=0.06)


@pytest.mark.medium
def test_holes_are_edges():
    found = edge_distance(holed(), np.array([1.5, 0.0, 6.0]), np.array([5.0, 5.0, 5.0]))
    assert found[0] == pytest.approx(0.5, abs=0.25)
    assert found[1] == 0
    assert found[2] == pytest.approx(4, abs=0.3)


@pytest.mark.parametrize("text", ["350.0,10.0,-5.0,15.0", "129.5,141.1,-2.0,3.0;1.0,2.0,3.0,4.0"])
def test_rectangles_are_read_from_the_text_that_they_are_written_as(text):
    assert rectangles_text(footprint_of(text)) == text


def test_a_map_is_read_as_it_was_written(tmp_path):
    for galactic in (False, True):
        given = holed(0.75)
        given = PixelMap(given.nside, given.pixels, given.values, galactic)
        assert rectangles_text(given) is None
        write_healpix(tmp_path / "mask.fits", given)
        found = read_healpix(tmp_path / "mask.fits")
        np.testing.assert_array_equal(found.pixels, given.pixels)
        np.testing.assert_array_equal(found.values, given.values)
        assert (found.nside, found.galactic) == (given.nside, galactic)
