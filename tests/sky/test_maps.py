"""HEALPix maps of a field on the sky."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy_healpix import HEALPix
from tests.sky.light_cone import light_cone, surveys_of
from tests.sky.sky_fields import sky_field

from truez.evaluate.figures.sky_maps import sky_maps
from truez.mesh.field import Field
from truez.mesh.healpix import nested
from truez.mesh.painting import paint
from truez.mesh.sphere import WHOLE_SKY
from truez.sky.field import SkyField
from truez.sky.maps import maps_from_field
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct
from truez.surveys.footprint_input import UNSEEN, footprint_of, read_healpix
from truez.surveys.nz import NumberDensity

#: Across right ascension 0, at a pole, and two islands.
FOOTPRINTS = ["350,10,-6,6", "0,360,82,90", "20,30,-5,5;40,45,20,25"]


def constant(shape):
    return np.full(shape, 0.25)


def noise(shape):
    return np.random.default_rng(1).exponential(1, shape) - 1


@pytest.mark.parametrize("footprint", FOOTPRINTS)
@pytest.mark.parametrize("widest", [20.0, 4.0])
def test_a_constant_field_gives_its_constant(footprint, widest):
    field = sky_field(footprint, constant, widest=widest)
    maps = maps_from_field(field, [0.12, 0.2, 0.25], 32)
    np.testing.assert_allclose(maps.delta, 0.25, rtol=1e-12)
    pixel = WHOLE_SKY / (12 * 32**2)
    area = footprint_of(footprint).area
    assert maps.completeness.sum() * pixel == pytest.approx(area, rel=0.02)
    assert maps.completeness.max() <= 1


@pytest.mark.parametrize("footprint", FOOTPRINTS)
def test_the_number_of_galaxies_is_that_of_the_cores(footprint):
    field = sky_field(footprint, noise, widest=4.0)
    assert len(field) > 1
    ends = [field.cosmology.distances.redshift(x) for x in (field[0].near, field[-1].far)]
    maps = maps_from_field(field, [ends[0], 0.2, ends[1]], 64)
    expected = counts = 0.0
    for patch in field:
        edges = patch.box.edges(2)
        inside = np.clip(
            np.minimum(edges[1:], patch.far) - np.maximum(edges[:-1], patch.near), 0, 9
        )
        cells = patch.expected.numpy() * inside / patch.box.cellsize[2]
        cells[~patch.core] = 0
        expected += cells.sum()
        counts += (cells * np.nan_to_num(1 + patch.delta.numpy())).sum()
    # The tiles of an island have its lattice, so that seams lie between cells or across them.
    np.testing.assert_allclose(maps.expected.sum(), expected, rtol=2e-3)
    np.testing.assert_allclose(maps.counts.sum(), counts, rtol=5e-3)


def test_the_number_of_galaxies_of_one_patch_is_exact():
    field = sky_field("350,10,-6,6", noise)
    (patch,) = field
    ends = [field.cosmology.distances.redshift(x) for x in (patch.near, patch.far)]
    maps = maps_from_field(field, [ends[0], 0.2, ends[1]], 64)
    edges = patch.box.edges(2)
    inside = np.clip(np.minimum(edges[1:], patch.far) - np.maximum(edges[:-1], patch.near), 0, 9)
    cells = patch.expected.double().numpy() * inside / patch.box.cellsize[2]
    total = (cells * (1 + patch.delta.double().numpy()))[patch.core].sum()
    np.testing.assert_allclose(maps.counts.sum(), total, rtol=1e-6)


def test_patches_at_a_seam_count_each_place_once():
    whole = maps_from_field(sky_field("0,360,82,90", constant), [0.12, 0.25], 32)
    cut = maps_from_field(sky_field("0,360,82,90", constant, widest=4.0), [0.12, 0.25], 32)
    np.testing.assert_array_equal(cut.pixels, whole.pixels)
    inside = whole.completeness > 0.95
    np.testing.assert_allclose(cut.expected[0, inside], whole.expected[0, inside], rtol=0.05)
    np.testing.assert_allclose(cut.expected.sum(), whole.expected.sum(), rtol=2e-3)


def test_narrow_bins_add_up_to_a_wide_one():
    field = sky_field("350,10,-6,6", noise)
    wide, narrow = (maps_from_field(field, bins, 32) for bins in ([0.12, 0.2], [0.12, 0.15, 0.2]))
    np.testing.assert_allclose(narrow.expected.sum(axis=0), wide.expected[0], rtol=1e-9)
    np.testing.assert_allclose(narrow.counts.sum(axis=0), wide.counts[0], rtol=1e-9)


@pytest.fixture(scope="module")
def random_cone():
    """Random galaxies, their field, and the field of their true redshifts."""
    cone = light_cone(clustered=False, density=0.03)
    counts, edges = np.histogram(cone.z, np.linspace(0.1, 0.26, 33))
    centers, density = (edges[1:] + edges[:-1]) / 2, counts / np.diff(edges)
    nz = NumberDensity(centers, density)
    spec_nz = NumberDensity(centers, density * cone.spec.mean())
    surveys = surveys_of(cone, nz=nz, spec_nz=spec_nz)
    field = reconstruct(surveys, "redistribution", patches=PatchSettings(cellsize=6))
    patches = []
    for patch in field:
        places = patch.box.positions(cone.ra % 360, cone.dec, cone.z)
        counts = paint(places[patch.box.inside(places)], patch.box, "cic")
        true = counts.to_delta(Field(patch.expected, patch.box, "counts"))
        patches.append(replace(patch, delta=true.values))
    return field, SkyField(tuple(patches), field.cosmology, field.metadata)


def test_random_galaxies_have_an_overdensity_of_zero_also_at_the_edges(random_cone):
    maps = maps_from_field(random_cone[0], [0.11, 0.15, 0.19, 0.25], 64)
    for delta, expected in zip(maps.delta, maps.expected, strict=True):
        edge = maps.completeness < 0.5
        assert abs(np.average(delta, weights=expected)) < 0.03
        at_edge = np.average(delta[edge], weights=expected[edge])
        assert abs(at_edge) < 4 / np.sqrt(expected[edge].sum())


@pytest.mark.parametrize("nside", [64, 128])
def test_errors_are_the_scatter_about_the_truth_of_random_galaxies(random_cone, nside):
    bins = [0.11, 0.14, 0.17, 0.2, 0.25]
    found, truth = (maps_from_field(field, bins, nside) for field in random_cone)
    inside = found.completeness > 0.9
    pulls = ((found.delta - truth.delta) / found.error)[:, inside]
    assert (np.abs(pulls.std(axis=1) - 1) < 0.2).all()


def test_a_file_is_a_healpix_map(tmp_path):
    field = sky_field("350,10,-6,6", noise)
    maps = maps_from_field(field, [0.12, 0.2, 0.25], 32)
    maps.expected[1, 3], maps.delta[1, 3] = 0, np.nan
    maps.write(tmp_path / "maps.fits")
    with fits.open(tmp_path / "maps.fits") as hdus:
        header, data = hdus[1].header, hdus[1].data
        assert (header["PIXTYPE"], header["ORDERING"], header["NSIDE"]) == ("HEALPIX", "NESTED", 32)
        assert (header["INDXSCHM"], header["OBJECT"], header["COORDSYS"]) == (
            "EXPLICIT", "PARTIAL", "C",
        )  # fmt: skip
        assert (header["ZLO1"], header["ZHI1"]) == (0.2, 0.25)
        # As healpy.read_map has it: field i is the column i + 1, behind the pixels.
        values = np.full(12 * 32**2, UNSEEN)
        values[data.field(0)] = data.field(1 + 1)
        assert data.names[:7] == [
            "PIXEL", "DELTA_0", "DELTA_1", "ERROR_0", "ERROR_1", "EXPECTED_0", "EXPECTED_1",
        ]  # fmt: skip
        names, ra, dec = data.names, data["RA"].copy(), data["DEC"].copy()
    assert names[7:] == ["COMPLETENESS", "RA", "DEC"]
    assert values[maps.pixels[3]] == np.float32(UNSEEN)
    grid = HEALPix(nside=32, order="nested")
    lon, lat = grid.healpix_to_lonlat(maps.pixels)
    np.testing.assert_allclose(ra, lon.deg, atol=1e-9)
    np.testing.assert_allclose(dec, lat.deg, atol=1e-9)
    seen = np.arange(len(maps.pixels)) != 3
    np.testing.assert_allclose(values[maps.pixels][seen], maps.delta[1, seen], rtol=1e-6)
    np.testing.assert_array_equal(values[np.setdiff1d(np.arange(len(values)), maps.pixels)], UNSEEN)


def test_the_completeness_is_read_as_a_footprint(tmp_path):
    maps = maps_from_field(sky_field("350,10,-6,6", noise), [0.12, 0.2], 64)
    maps.write(tmp_path / "maps.fits")
    footprint = footprint_of(tmp_path / "maps.fits")
    assert footprint.area == pytest.approx(footprint_of("350,10,-6,6").area, rel=0.01)
    inside = footprint.completeness([0.0, 180.0], [0.0, 0.0])
    assert inside[0] > 0.95
    assert inside[1] == 0
    with pytest.raises(ValueError, match=r"DELTA_0 of footprint .* must hold completeness"):
        read_healpix(tmp_path / "maps.fits", column="DELTA_0")


def test_a_place_is_in_its_pixel():
    def bright(shape):
        values = np.zeros(shape)
        values[: shape[0] // 2] = 1
        return values

    field = sky_field("350,10,-6,6", bright)
    maps = maps_from_field(field, [0.12, 0.2], 32)
    # The first axis grows east.
    west = maps.delta[0][np.searchsorted(maps.pixels, nested(np.array([355.0]), np.zeros(1), 32))]
    east = maps.delta[0][np.searchsorted(maps.pixels, nested(np.array([5.0]), np.zeros(1), 32))]
    assert (west, east) == (pytest.approx(1), pytest.approx(0, abs=1e-9))


def test_bins_in_which_nothing_is_expected_are_refused():
    field = sky_field("350,10,-6,6", constant, cellsize=16)
    (patch,) = field
    empty = replace(patch, expected_profile=np.zeros_like(patch.expected_profile))
    with pytest.raises(ValueError, match=r"zbins 0\.15,0\.2 hold no place where galaxies are"):
        maps_from_field(SkyField((empty,), field.cosmology, field.metadata), [0.15, 0.2], 32)


def test_a_field_without_sigma_has_maps_without_errors(tmp_path):
    maps = maps_from_field(sky_field("350,10,-6,6", constant, sigma=None), [0.12, 0.2], 32)
    assert maps.error is None
    maps.write(tmp_path / "maps.fits")
    assert not any("ERROR" in name for name in fits.getdata(tmp_path / "maps.fits").names)


@pytest.mark.parametrize("footprint", FOOTPRINTS)
def test_the_picture_has_a_panel_for_each_bin_and_one_scale(footprint):
    maps = maps_from_field(sky_field(footprint, noise, cellsize=16), [0.12, 0.16, 0.2, 0.25], 16)
    figure = sky_maps(maps)
    panels = [axis for axis in figure.axes if axis.images]
    assert len(panels) == 3
    assert len({axis.images[0].get_clim() for axis in panels}) == 1
    assert panels[0].get_title() == "0.12 < z < 0.16"
    figure.draw_without_rendering()
    assert any(text.get_text() for text in [*panels[0].get_yticklabels(), *panels[0].texts])


@pytest.mark.parametrize(
    ("bins", "nside", "sentence"),
    [
        ([0.2, 0.1], 64, "zbins must be two or more increasing redshifts, not 0.2,0.1"),
        ([0.2], 64, "zbins must be two or more increasing redshifts, not 0.2"),
        ([0.15, float("nan")], 64, "zbins must be two or more increasing redshifts, not 0.15,nan"),
        ([0.15, 0.4], 64, "zbins 0.15,0.4 reach beyond the map, which is from z = 0.1 to 0.3"),
        ([0.05, 0.2], 64, "zbins 0.05,0.2 reach beyond the map, which is from z = 0.1 to 0.3"),
        ([0.15, 0.2], 100, "nside must be a power of 2, not 100"),
        ([0.15, 0.2], 2**16, "nside must be at most 256 for the cells of this field, which are"),
    ],
)  # fmt: skip
def test_wrong_bins_and_resolutions_are_refused(bins, nside, sentence):
    with pytest.raises(ValueError, match=sentence):
        maps_from_field(sky_field("350,10,-6,6", constant, cellsize=16), bins, nside)
