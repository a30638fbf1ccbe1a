"""Light cones: what is where in a box is seen where it must be, and as often as the volume says."""

from __future__ import annotations

import numpy as np
import pytest

from truez.cosmology import SPEED_OF_LIGHT, Cosmology
from truez.mesh.box import Box
from truez.surveys.footprint import Rectangle
from truez.surveys.light_cone import (
    ConeView,
    cut_light_cone,
    numbers_in_cone,
    thin_to_density,
)
from truez.surveys.magnitudes import distance_modulus
from truez.surveys.nz import NumberDensity
from truez.surveys.pixel_map import PixelMap

PLANCK = Cosmology.of("planck18")
PERIODIC = Box(100, 10)
FIELD = Rectangle(350, 10, -10, 10)
#: The middle of the field along the first axis of the box.
AHEAD = ConeView(observer=(0.0, 0.0, 0.0), direction=(1.0, 0.0, 0.0))


def cone(positions, box=PERIODIC, **changes):
    settings = {
        "cosmology": PLANCK,
        "footprint": FIELD,
        "redshift_range": (0.02, 0.15),
        "generator": np.random.default_rng(3),
        "view": AHEAD,
    }
    return cut_light_cone(np.atleast_2d(positions), box, **{**settings, **changes})


@pytest.fixture(scope="module")
def even():
    rng = np.random.default_rng(1)
    return rng.uniform(0, 100, (20_000, 3)), rng.normal(0, 300, (20_000, 3))


def test_a_galaxy_is_observed_once_in_each_copy_of_the_box_along_its_direction():
    found = cone([60.0, 0.0, 0.0])
    chi = PLANCK.distances.from_redshift(found.redshift)
    middle = (np.abs(found.dec) < 1e-9) & (np.minimum(found.ra, 360 - found.ra) < 1e-9)
    np.testing.assert_allclose(np.sort(chi[middle]), [60, 160, 260, 360], rtol=1e-6)
    # Copies beside the axis are at other angles.
    assert len(found) > 3
    assert (found.rows == 0).all()


def test_a_velocity_away_from_the_observer_raises_the_redshift_by_one_plus_z_times_v_over_c():
    still, moving = cone([60.0, 0, 0]), cone([60.0, 0, 0], velocities=np.array([[500.0, 900, 0]]))
    a, b = (np.sort(found.redshift[np.abs(found.dec) < 1e-9])[0] for found in (still, moving))
    assert b == pytest.approx(a + (1 + a) * 500 / SPEED_OF_LIGHT, rel=1e-9)


def test_galaxies_move_into_the_range_and_out_of_it_by_their_velocities():
    edge = float(PLANCK.distances.from_redshift(0.15))
    box = Box(500, 50, periodic=False)
    places = [[edge + 5, 250, 250], [edge - 5, 250, 250]]
    view = ConeView(observer=(0.0, 250.0, 250.0), direction=(1.0, 0.0, 0.0))
    speeds = np.array([[-1000.0, 0, 0], [1000.0, 0, 0]])
    found = cone(places, box, velocities=speeds, view=view)
    assert found.rows.tolist() == [0]
    assert cone(places, box, view=view).rows.tolist() == [1]


def test_an_even_box_fills_the_cone_as_its_volume_says(even):
    positions, velocities = even
    view = ConeView()
    found = cone(positions, velocities=velocities, redshift_range=(0.05, 0.2), view=view)
    wanted = numbers_in_cone(
        len(positions) / PERIODIC.volume,
        footprint=FIELD,
        redshift_range=(0.05, 0.2),
        cosmology=PLANCK,
    )
    edges = np.linspace(0.05, 0.2, 7)
    counts = np.histogram(found.redshift, edges)[0]
    expected = wanted.counts(edges)
    # Galaxies repeat, so that their number scatters by more than that of independent ones.
    np.testing.assert_allclose(counts, expected, rtol=0.06)
    assert not FIELD.outside(found.ra, found.dec).any()


def test_completeness_thins_the_cone_at_random(even):
    positions, _ = even
    whole = cone(positions)
    pixels = np.arange(12 * 4**2)
    half = PixelMap(4, pixels, np.full(len(pixels), 0.5, np.float32))

    class Half(Rectangle):
        def completeness(self, ra, dec):
            return super().completeness(ra, dec) * half.completeness(ra, dec)

    thinned = cone(positions, footprint=Half(350, 10, -10, 10))
    assert len(thinned) == pytest.approx(len(whole) / 2, rel=0.05)


def test_a_field_across_a_pole_holds_as_many_galaxies_as_one_at_the_equator(even):
    positions, _ = even
    polar = Rectangle(0, 360, 78, 90)
    numbers = [
        len(cone(positions, footprint=area, view=ConeView())) / area.area for area in (FIELD, polar)
    ]
    assert numbers[1] == pytest.approx(numbers[0], rel=0.06)


def test_a_cone_that_leaves_a_closed_box_is_refused(even):
    with pytest.raises(ValueError, match=r"redshift_range: at z = 0.15 \d+% of the footprint lie"):
        cone(even[0], Box(100, 10, periodic=False), view=None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"redshift_range": (0.3, 0.1)}, "two ascending redshifts from 0 to 20, not 0.3,0.1"),
        ({"velocities": np.zeros(3)}, r"velocities must have shape \(1, 3\)"),
        ({"redshift_range": (0.001, 0.002)}, "holds no galaxy"),
    ],
)
def test_what_cannot_be_a_cone_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        cone([60.0, 0, 0], **changes)


def test_a_direction_of_zero_is_refused():
    with pytest.raises(ValueError, match="direction must not be 0,0,0"):
        ConeView(direction=(0.0, 0.0, 0.0))


def test_thinning_gives_the_wanted_numbers_and_refuses_more_than_there_are(even):
    positions, _ = even
    found = cone(positions, redshift_range=(0.02, 0.2), view=ConeView())
    there = numbers_in_cone(0.02, footprint=FIELD, redshift_range=(0.02, 0.2), cosmology=PLANCK)
    z = np.linspace(0.02, 0.2, 50)
    peak = NumberDensity(z, 0.9 * there(0.1) * np.exp(-0.5 * ((z - 0.1) / 0.02) ** 2))
    kept = found.redshift[thin_to_density(found.redshift, peak, there, np.random.default_rng(2))]
    edges = np.array([0.05, 0.08, 0.12, 0.15])
    np.testing.assert_allclose(np.histogram(kept, edges)[0], peak.counts(edges), rtol=0.1)
    with pytest.raises(ValueError, match="nz asks for"):
        thin_to_density(found.redshift, peak.scaled(1e6), there, np.random.default_rng(2))


def test_a_flux_limit_gives_the_numbers_that_the_luminosities_of_the_box_imply(even):
    positions, _ = even
    absolute = np.random.default_rng(5).normal(-20, 1, len(positions))
    found = cone(positions, redshift_range=(0.05, 0.2), view=ConeView())
    apparent = absolute[found.rows] + distance_modulus(found.redshift, PLANCK)
    wanted = numbers_in_cone(
        len(positions) / PERIODIC.volume, footprint=FIELD, redshift_range=(0.05, 0.2),
        cosmology=PLANCK, magnitudes=absolute, magnitude_limit=18.0,
    )  # fmt: skip
    edges = np.array([0.05, 0.1, 0.15, 0.2])
    counts = np.histogram(found.redshift[apparent < 18], edges)[0]
    np.testing.assert_allclose(counts, wanted.counts(edges), rtol=0.1)
