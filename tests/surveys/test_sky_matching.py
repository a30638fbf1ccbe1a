"""Matching by position: mutual nearest neighbours, matches by chance, duplicates."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from truez.surveys.matching import count_duplicates, match_positions

ARCSEC = 1 / 3600


def field(num, seed=1, ra=10.0, dec=60.0, side=0.5):
    rng = np.random.default_rng(seed)
    return ra + rng.uniform(0, side, num) / np.cos(np.radians(dec)), dec + rng.uniform(0, side, num)


@pytest.mark.parametrize(("ra", "dec"), [(10.0, 60.0), (359.8, 0.0), (40.0, 89.4), (5.0, -89.9)])
def test_the_same_galaxies_are_found_anywhere(ra, dec):
    a, d = field(3000, ra=ra, dec=dec)
    d = np.clip(d, -90, 90)
    rng = np.random.default_rng(2)
    order = rng.permutation(3000)[:400]
    moved = d[order] + np.where(d[order] < 89, 1, -1) * 0.3 * ARCSEC
    found = match_positions(a[order] - 360, moved, a, d, radius=1.0)
    assert np.mean(found.rows == order) > 0.99
    assert found.separations[found.rows == order] == pytest.approx(0.3, abs=1e-6)


def test_they_are_those_of_astropy():
    a, d = field(5000)
    b, e = field(4000, seed=2)
    found = match_positions(b, e, a, d, radius=20.0)
    spec, photo = SkyCoord(b, e, unit="deg"), SkyCoord(a, d, unit="deg")
    nearest, angle, _ = spec.match_to_catalog_sky(photo)
    back = photo.match_to_catalog_sky(spec)[0]
    mutual = (back[nearest] == np.arange(4000)) & (angle.arcsec <= 20)
    assert (found.rows == np.where(mutual, nearest, -1)).all()
    assert found.separations[mutual] == pytest.approx(angle.arcsec[mutual], abs=1e-6)
    assert np.isnan(found.separations[~mutual]).all()
    assert found.num_both == mutual.sum() > 1000


def test_no_galaxy_is_matched_twice():
    # Two spectra of one galaxy: the nearer one has it.
    found = match_positions([10.0, 10.0], [0.1 * ARCSEC, 0.2 * ARCSEC], [10.0], [0.0], radius=1.0)
    assert found.rows.tolist() == [0, -1]


def test_matches_by_chance_are_those_of_unrelated_galaxies():
    a, d = field(20_000)
    unrelated = match_positions(*field(2000, seed=3), a, d, radius=10.0)
    assert unrelated.by_chance == pytest.approx(unrelated.num_both, rel=0.1)
    own = match_positions(a[:2000], d[:2000], a, d, radius=1.0)
    assert own.num_both == 2000
    density = 20_000 / (0.5 * 0.5)
    assert own.by_chance == pytest.approx(2000 * density * np.pi * ARCSEC**2, abs=25)


def test_surveys_elsewhere_are_refused():
    with pytest.raises(
        ValueError, match="no galaxy of both surveys is within match_radius = 1 arc"
    ):
        match_positions(*field(100), *field(100, ra=20.0), radius=1.0)


@pytest.mark.parametrize("radius", [0.0, -1.0, 61.0, np.nan])
def test_a_radius_that_is_none_is_refused(radius):
    with pytest.raises(ValueError, match="match_radius must be above 0 and at most 60 arcsec, not"):
        match_positions(*field(10), *field(10), radius=radius)
    with pytest.raises(ValueError, match="match_radius must be above 0"):
        count_duplicates(*field(10), radius=radius)


def test_positions_that_are_no_degrees_are_refused():
    with pytest.raises(ValueError, match="ra and dec of photo must be in degrees"):
        match_positions(*field(10), [1.0], [1000.0], radius=1.0)


def test_duplicates_are_counted():
    a, d = field(200)
    assert count_duplicates(a, d) == 0
    twice = np.concatenate([a, a[:30]]), np.concatenate([d, d[:30] + 0.5 * ARCSEC])
    assert count_duplicates(*twice) == 60
    assert count_duplicates(*twice, radius=0.4) == 0
    assert count_duplicates([1.0], [1.0]) == 0
