"""Pictures of fields on the sky: they show the fields and numbers that they are given."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluate.printed import (
    assert_fits_a_page_and_is_legible,
    assert_is_saved_and_has_a_caption,
)

from truez.cosmology import Cosmology
from truez.evaluate.figures.sky import extent, thin_range
from truez.evaluate.figures.sky_fields import maps, slices, smoothed_scores
from truez.evaluate.sky.mesh import SkyMesh
from truez.mesh.sky_box import SkyBox
from truez.surveys.footprint import Rectangle

PLANCK = Cosmology.of("planck18")
NAMES = ("photo", "photo-z", "a_very_long_name_of_a_file_that_a_user_gave", "truth")
BINS = [(0.1, 0.13), (0.15, 0.18), (0.2, 0.23)]


@pytest.fixture(scope="module")
def mesh():
    return SkyMesh.around(
        Rectangle(10, 22, -3, 3), cosmology=PLANCK, redshift_range=(0.1, 0.2), radius=8.0,
        cellsize=5.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def planes(mesh):
    rng = np.random.default_rng(1)
    shape = mesh.box.meshsize[mesh.longest], mesh.box.meshsize[2]
    result = {name: rng.gamma(1, 1, shape).astype(np.float32) - 1 for name in NAMES}
    for plane in result.values():
        plane[:2] = np.nan
    return result


@pytest.fixture(scope="module")
def drawn(mesh, planes):
    rng = np.random.default_rng(2)
    box = SkyBox((0.2, 0.1, 1.0), (40, 20, 1), (0, 0, 1), ra=16, dec=0, chi_ref=1, cosmology=PLANCK)
    images = {
        name: [rng.gamma(1, 1, (40, 20)).astype(np.float32) - 1 for _ in BINS] for name in NAMES
    }
    keys = ("mse_over_variance_4", "correlation_4", "mse_over_variance_8", "correlation_8")
    numbers = {
        name: dict(zip(keys, rng.uniform(0, 1, 4), strict=True))
        for name in NAMES
        if name != "truth"
    }
    return {
        "sky_scores": smoothed_scores(numbers, (4.0, 8.0)),
        "sky_slices": slices(planes, mesh, radius=4.0),
        "sky_maps": maps(images, BINS, box, radius=4.0),
    }


@pytest.mark.medium
@pytest.mark.parametrize("name", ["sky_scores", "sky_slices", "sky_maps"])
def test_figures_fit_a_page_are_legible_and_have_a_caption(drawn, name, tmp_path):
    assert_fits_a_page_and_is_legible(drawn[name])
    assert_is_saved_and_has_a_caption(drawn[name], name, tmp_path)


def test_all_panels_of_slices_have_the_scale_of_the_truth_and_lengths(drawn, mesh, planes):
    images = [axis.images[0] for axis in drawn["sky_slices"].axes if axis.images]
    assert len(images) == len(NAMES)
    assert len({image.get_clim() for image in images}) == 1
    assert images[0].get_clim()[1] == pytest.approx(np.nanquantile(1 + planes["truth"], 0.99))
    along, across = mesh.box.edges(2), mesh.box.edges(mesh.longest)
    np.testing.assert_allclose(images[0].get_extent(), [along[0], along[-1], across[2], across[-1]])


def test_maps_of_one_bin_share_a_scale_and_east_is_to_the_left(drawn):
    panels = [axis for axis in drawn["sky_maps"].axes if axis.images]
    scales = [panel.images[0].get_clim() for panel in panels]
    for column in range(len(BINS)):
        assert len(set(scales[column :: len(BINS)])) == 1
    left, right = panels[0].get_xlim()
    assert left > right
    assert [panel.get_title() for panel in panels[:3]] == [f"z = {a:g} to {b:g}" for a, b in BINS]


def test_the_extent_of_right_ascensions_crosses_zero():
    rng = np.random.default_rng(3)
    assert extent(np.mod(rng.uniform(355, 365, 5000), 360)) == (355.0, 5.0)
    assert extent(rng.uniform(129, 141, 5000)) == (129.0, 141.0)
    assert extent(rng.uniform(0, 360, 5000)) == (0.0, 360.0)


def test_a_thin_range_of_declination_holds_as_many_galaxies_as_a_wedge_shows():
    dec = np.random.default_rng(4).uniform(-5, 5, 20_000)
    inside = dec > -4
    rows, low, high = thin_range(dec, inside)
    assert np.count_nonzero(rows & inside) == pytest.approx(6000, rel=0.01)
    assert low < np.median(dec[inside]) < high
    few = thin_range(dec[:500], np.ones(500, bool))[0]
    assert few.all()
