"""Footprints: rectangles, HEALPix maps, randoms, galaxies; completeness, areas, cells, mistakes."""

import math

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from truez.catalogs.catalog import Catalog
from truez.mesh.healpix import centers, neighbours, nested, other_order
from truez.mesh.sky_box import SkyBox
from truez.mesh.sphere import WHOLE_SKY, separation
from truez.surveys.footprint import Rectangle, Union
from truez.surveys.footprint_input import footprint_of, read_healpix
from truez.surveys.pixel_map import PixelMap

G09 = Rectangle(129, 141, -2, 3)
NSIDE = 64
ALL = np.arange(12 * NSIDE**2)
RA, DEC = centers(ALL, NSIDE)


def spread(rectangle, num, seed=1):
    """Evenly spread directions in a rectangle."""
    rng = np.random.default_rng(seed)
    low, high = np.sin(np.radians([rectangle.dec_min, rectangle.dec_max]))
    ra = (rectangle.ra_min + rng.uniform(0, rectangle.width, num)) % 360
    return ra, np.degrees(np.arcsin(rng.uniform(low, high, num)))


def sky(ra=135.0, dec=0.5, width=(14.0, 7.0)):
    return SkyBox.around(
        ra, dec, width=width, distances=(500, 700), chi_ref=600, cellsize=4, cosmology="planck18"
    )


def write_map(path, values, *, ordering="NESTED", coordsys="C", pixels=None, per_row=1, **header):
    """A HEALPix map, as healpy writes it."""
    columns = []
    if pixels is not None:
        columns.append(fits.Column("PIXEL", "K", array=np.asarray(pixels)))
        columns.append(fits.Column("SIGNAL", "D", array=np.asarray(values, float)))
    else:
        shape = values.reshape(-1, per_row) if per_row > 1 else values
        kind = f"{per_row}D" if values.dtype.kind == "f" else f"{per_row}J"
        columns.append(fits.Column("SIGNAL", kind, array=shape))
    table = fits.BinTableHDU.from_columns(columns)
    keys = {
        "PIXTYPE": "HEALPIX", "ORDERING": ordering, "COORDSYS": coordsys, "NSIDE": NSIDE,
        "INDXSCHM": "IMPLICIT" if pixels is None else "EXPLICIT", **header,
    }  # fmt: skip
    table.header.update({key: value for key, value in keys.items() if value is not None})
    table.writeto(path, overwrite=True)
    return path


def whole_sky(rectangle=G09):
    """Completeness of a rectangle in all pixels, half in the southern part."""
    values = rectangle.completeness(RA, DEC)
    values[DEC < 0] /= 2
    return values


class TestRectangle:
    def test_its_area_is_that_of_the_sphere(self):
        assert Rectangle(0, 360, -90, 90).area == pytest.approx(WHOLE_SKY)
        assert Rectangle(10, 11, 59, 61).area == pytest.approx(2 * math.cos(math.pi / 3), rel=1e-4)

    def test_right_ascensions_may_cross_0(self):
        over = Rectangle(350, 10, -1, 1)
        assert over.area == pytest.approx(Rectangle(100, 120, -1, 1).area)
        ra = [349.9, 350.0, 0.0, 10.0, 10.1, 180.0]
        assert over.completeness(ra, np.zeros(6)).tolist() == [0, 1, 1, 1, 0, 0]

    @pytest.mark.parametrize("edges", [(129, 141, -2, 3), (0.1, 0.7, 0.1, 0.3), (350, 10, -90, 90)])
    def test_its_edges_are_inside(self, edges):
        ra = np.array([edges[0], edges[1], edges[0] + 360, edges[0] - 360])
        assert (Rectangle(*edges).completeness(ra, np.full(4, edges[2])) == 1).all()

    @given(st.floats(0, 360), st.floats(-90, 85), st.floats(0.5, 360), st.floats(0.3, 90))
    def test_its_sample_is_nowhere_further_than_its_spacing(self, ra, dec, width, height):
        rectangle = Rectangle(ra, ra + width if ra + width <= 360 else ra + width - 360, dec,
                              min(dec + height, 90.0))  # fmt: skip
        a, d = spread(rectangle, 20)
        for sample, spacing in ((rectangle.sample(0.9), 0.9), (Union((rectangle,)).sample(2), 2)):
            for one in zip(a, d, strict=True):
                assert separation(*one, *sample).min() < spacing

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("129,141,3,-2", "footprint 129,141,3,-2 needs declinations from -90 to 90, the lower"),
            ("129,141,-2,93", "footprint 129,141,-2,93 needs declinations from -90 to 90"),
            ("129,129,-2,3", "footprint 129,129,-2,3 covers no right ascension"),
            ("1290,1410,-2,3", "footprint 1290,1410,-2,3 needs right ascensions from -360 to 360"),
            ("129,nan,-2,3", "footprint must be four numbers of degrees, not 129,nan,-2,3"),
            ("129,141,-2", "footprint must be RA1,RA2,DEC1,DEC2, four numbers, not 129,141,-2"),
        ],
    )
    def test_what_is_no_rectangle_is_refused(self, text, sentence):
        with pytest.raises(ValueError, match="^" + sentence):
            footprint_of(text)

    def test_numbers_and_text_give_the_same(self):
        assert footprint_of("129,141,-2,3") == footprint_of((129, 141, -2, 3)) == G09
        assert footprint_of(G09) is G09
        with pytest.raises(ValueError, match=r"footprint must be RA1,RA2,DEC1,DEC2 in degrees or"):
            footprint_of((1, 2))
        with pytest.raises(FileNotFoundError, match=r"there is no file 'nowhere\.fits'"):
            footprint_of("nowhere.fits")


class TestUnion:
    def test_islands_add_up_and_overlaps_count_once(self):
        islands = footprint_of("129,141,-2,3;350,10,-1,1")
        assert islands.area == pytest.approx(G09.area + 40, rel=1e-3)
        assert islands.completeness([135.0, 0.0, 60.0], [0, 0, 0]).tolist() == [1, 1, 0]
        both = Union((G09, Rectangle(135, 147, -2, 3)))
        assert both.area == pytest.approx(1.5 * G09.area, rel=0.003)


class TestMap:
    @pytest.mark.parametrize("scheme", ["nested", "ring", "explicit", "rows", "galactic"])
    def test_it_is_read_in_every_scheme(self, tmp_path, scheme):
        values, path = whole_sky(), tmp_path / "mask.fits"
        if scheme == "nested":
            values[values == 0] = -1.6375e30
            write_map(path, values, coordsys=None)
        elif scheme == "explicit":
            some = np.flatnonzero(values > 0)[::-1]
            write_map(path, values[some], pixels=some)
        elif scheme == "rows":
            values[values == 0] = np.nan
            ring = values[other_order(ALL, NSIDE, "NESTED")]
            write_map(path, ring, ordering="RING", per_row=1024)
        elif scheme == "ring":
            write_map(path, values[other_order(ALL, NSIDE, "NESTED")], ordering="RING")
        else:
            there = SkyCoord(l=RA, b=DEC, unit="deg", frame="galactic").icrs
            values = G09.completeness(there.ra.deg, there.dec.deg)
            values[there.dec.deg < 0] /= 2
            write_map(path, values, coordsys="G")
        mask = footprint_of(path)
        ra, dec = spread(Rectangle(120, 150, -12, 13), 2000)
        there = mask.completeness(ra, dec)
        deep = (ra > 131) & (ra < 139) & (dec > -1) & (dec < 2) & (np.abs(dec) > 1)
        assert (there[deep] == np.where(dec[deep] < 0, 0.5, 1.0)).all()
        away = (ra < 127) | (ra > 143) | (dec < -4) | (dec > 5)
        assert (there[away] == 0).all()
        assert mask.area == pytest.approx(values[values > 0].sum() * WHOLE_SKY / len(ALL))
        assert mask.check_galaxies(ra[deep], dec[deep], "photo") == 0

    def test_every_pixel_is_found_at_its_own_place(self):
        rng = np.random.default_rng(1)
        some = np.sort(rng.choice(ALL, 500, replace=False))
        values = rng.uniform(0.1, 1, 500).astype(np.float32)
        mask = PixelMap(NSIDE, some, values)
        found = np.zeros(len(ALL))
        found[some] = values
        assert (mask.completeness(RA, DEC) == found).all()
        assert mask.area == pytest.approx(values.sum() * WHOLE_SKY / len(ALL), rel=1e-5)

    @pytest.mark.parametrize("spacing", [0.3, 2.0, 20.0])
    @pytest.mark.parametrize("galactic", [False, True])
    def test_its_sample_is_nowhere_further_than_its_spacing(self, spacing, galactic):
        mask = PixelMap(NSIDE, ALL[::7], np.ones(len(ALL[::7])), galactic)
        ra, dec = np.random.default_rng(2).uniform([[120], [-60]], [[240], [60]], (2, 300))
        inside = ~mask.outside(ra, dec)
        assert inside.sum() > 20
        sample = mask.sample(spacing)
        for one in zip(ra[inside], dec[inside], strict=True):
            assert separation(*one, *sample).min() < spacing

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"ordering": None}, "does not say its ORDERING: set that key to RING or NESTED"),
            ({"ordering": "SPIRAL"}, "has ORDERING 'SPIRAL': set that key to RING or NESTED"),
            ({"ordering": "NUNIQ"}, "is a multi-order map"),
            ({"coordsys": "E"}, "has COORDSYS 'E': rotate it to equatorial"),
            ({"NSIDE": 32}, "must have 12288 values for NSIDE 32, not 49152"),
            ({"NSIDE": 48}, "has NSIDE 48, which is no power of 2"),
            ({"NSIDE": None, "PIXTYPE": None}, "is no HEALPix map: none of its 1 tables has NSIDE"),
            ({"pixels": ALL + 1}, "has pixels 1 to 49152, but those of NSIDE 64 are 0 to 49151"),
            ({"pixels": ALL // 2}, "names a pixel twice"),
            ({"values": 2 * whole_sky()}, "must hold completeness from 0 to 1, not 0 to 2"),
            ({"values": whole_sky() - 1}, "must hold completeness from 0 to 1, not -1 to 0"),
            ({"values": 0 * whole_sky()}, "covers nothing: no value of it is above 0"),
        ],
    )
    def test_what_is_no_map_of_completeness_is_refused(self, tmp_path, changes, sentence):
        path = write_map(tmp_path / "mask.fits", **{"values": whole_sky(), **changes})
        with pytest.raises(ValueError, match=sentence) as error:
            footprint_of(path)
        assert len(str(error.value).replace(str(path), "mask.fits")) < 280

    @pytest.mark.parametrize("suffix", [".fits", ".h5", ".parquet", ".csv", ".asdf"])
    def test_a_catalogue_is_no_mask(self, tmp_path, suffix):
        path = tmp_path / f"photo{suffix}"
        Catalog({"TARGET_RA": RA[:9], "TARGET_DEC": DEC[:9], "Z": RA[:9]}).write(path)
        with pytest.raises(ValueError) as error:
            footprint_of(path)
        assert str(error.value) == (
            f"footprint {path} is a catalogue, and no mask: give randoms, if these are places "
            "drawn at random where galaxies can be, or else a mask or RA1,RA2,DEC1,DEC2"
        )

    def test_a_file_that_is_no_map_is_refused(self, tmp_path):
        path = tmp_path / "mask.fits"
        path.write_text("RA,DEC\n")
        with pytest.raises(ValueError, match="is not a FITS file that can be read"):
            footprint_of(path)
        with pytest.raises(ValueError, match="has no column FRACGOOD: it has SIGNAL"):
            read_healpix(write_map(path, whole_sky()), column="FRACGOOD")


class TestSkyBoxCells:
    @pytest.mark.parametrize("footprint", [G09, PixelMap(NSIDE, ALL, G09.completeness(RA, DEC))])
    def test_cells_hold_the_area_of_the_footprint(self, footprint):
        box = sky()
        fraction = footprint.fraction(box)
        assert fraction.shape == box.meshsize[:2]
        assert fraction.min() == 0
        assert fraction.max() == 1
        assert fraction.sum() * box.cell_area == pytest.approx(footprint.area, rel=1e-3)

    def test_a_slab_has_the_fractions_of_the_whole(self, monkeypatch):
        whole = G09.fraction(sky())
        monkeypatch.setattr("truez.surveys.footprint._POINTS", 10_000)
        assert (G09.fraction(sky()) == whole).all()


class TestRandoms:
    def test_their_density_is_the_fraction_of_each_pixel(self):
        ra, dec = spread(G09, 60_000)
        hole = separation(ra, dec, 135.0, 0.5) < 1.0
        half = (ra > 138) & (np.arange(ra.size) % 2 == 0)
        keep = ~hole & ~half
        mask = PixelMap.from_randoms(ra[keep], dec[keep])
        area = G09.area - math.pi - 15.0 / 2
        assert mask.area == pytest.approx(area, rel=0.05)
        there = mask.completeness(ra, dec)
        inner = separation(ra, dec, 135.0, 0.5) < 0.3
        edge = (np.abs(ra - 135) > 5.5) | (np.abs(dec - 0.5) > 2) | (np.abs(ra - 138) < 0.5)
        full = (separation(ra, dec, 135, 0.5) > 1.5) & (ra < 138) & ~edge
        assert (there[inner] == 0).all()
        assert there[full].mean() == pytest.approx(1, abs=0.03)
        assert there[full].std() == pytest.approx(mask.metadata["noise"], rel=0.3)
        assert there[(ra > 138) & ~edge].mean() == pytest.approx(0.5, abs=0.04)

    def test_weights_count(self):
        ra, dec = spread(G09, 60_000)
        mask = PixelMap.from_randoms(ra, dec, np.where(ra > 138, 0.25, 1.0))
        inside = (np.abs(dec - 0.5) < 2) & (ra > 138.5) & (ra < 140.5)
        assert mask.completeness(ra[inside], dec[inside]).mean() == pytest.approx(0.25, abs=0.02)

    def test_more_randoms_make_finer_pixels(self):
        few, many = (PixelMap.from_randoms(*spread(G09, num)) for num in (2_000, 60_000))
        assert (few.nside, many.nside) == (32, 128)
        for mask in (few, many):
            assert mask.metadata["noise"] < 0.14

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            (spread(G09, 10), "a footprint needs at least 200 randoms, not 10"),
            ((*spread(G09, 300), np.ones(2)), "weights of randoms must be one finite number"),
            ((*spread(G09, 300), -np.ones(300)), "weights of randoms must be one finite number"),
            ((np.full(300, 1.0), np.full(300, 1e3)), "ra and dec of randoms must be in degrees"),
        ],
    )
    def test_what_defines_no_footprint_is_refused(self, given, sentence):
        with pytest.raises(ValueError, match="^" + sentence):
            PixelMap.from_randoms(*given)


class TestFromData:
    def test_the_area_is_that_of_the_galaxies(self):
        mask = PixelMap.from_data(*spread(G09, 40_000))
        assert mask.area == pytest.approx(G09.area, rel=0.02)
        assert mask.metadata["empty_fraction"] < 0.005
        assert mask.check_galaxies(*spread(G09, 40_000), "photo") == 0

    def test_holes_are_counted(self):
        ra, dec = spread(G09, 40_000)
        pixels = nested(ra, dec, 256)
        holes = np.unique(pixels)[::40]
        keep = ~np.isin(pixels, holes)
        mask = PixelMap.from_data(ra[keep], dec[keep])
        assert mask.nside == 256
        amid = np.isin(neighbours(holes, 256), pixels).sum(axis=0) >= 5
        share = amid.sum() / (amid.sum() + len(np.unique(pixels[keep])))
        assert mask.metadata["empty_fraction"] == pytest.approx(share, abs=0.005)
        assert share > 0.01


class TestGalaxiesOutside:
    def test_they_are_counted_and_many_are_refused(self):
        ra, dec = spread(G09, 1000)
        assert Rectangle(129, 140.5, -2, 3).check_galaxies(ra, dec, "photo") > 20
        with pytest.raises(ValueError, match="correct spec_footprint or the columns of the sky"):
            Rectangle(0, 20, -2, 3).check_galaxies(ra, dec, "spec", option="spec_footprint")

    @pytest.mark.parametrize(
        ("given", "remedy"),
        [
            (lambda ra, dec: (ra / 15, dec), "ra looks like hours, so give ra_unit hourangle"),
            (lambda ra, dec: (np.radians(ra), np.radians(dec)), "so give ra_unit rad"),
            (lambda ra, dec: (dec, ra - 100), "correct footprint or the columns"),
        ],
    )
    def test_the_mistake_is_named(self, given, remedy):
        with pytest.raises(ValueError, match="^footprint misses 1000 of 1000 photo galaxies: .*"
                           + remedy):  # fmt: skip
            G09.check_galaxies(*given(*spread(G09, 1000)), "photo")
        island = Rectangle(50, 60, -20, -10)
        ra, dec = spread(island, 1000)
        with pytest.raises(ValueError, match="ra and dec look exchanged"):
            island.check_galaxies(dec, ra, "photo")

    @pytest.mark.parametrize("num", [300, 30_000])
    def test_a_footprint_with_large_parts_without_galaxies_is_refused(self, num):
        half = Rectangle(129, 135, -2, 3)
        a, d = spread(half, num)
        assert half.check_filled(a, d, "photo") < 0.05
        islands = Union((half, Rectangle(174, 177, -2, 3)))
        for footprint in (G09, islands):
            with pytest.raises(
                ValueError, match=r"^randoms covers .* deg\^2, of which [345]\d% hold"
            ):
                footprint.check_filled(a, d, "photo", option="randoms")

    @pytest.mark.parametrize("declared", ["RING", "NESTED"])
    def test_the_wrong_ordering_of_a_map_is_named(self, tmp_path, declared):
        true = "NESTED" if declared == "RING" else "RING"
        values = whole_sky()
        if true == "RING":
            values = values[other_order(ALL, NSIDE, "NESTED")]
        mask = footprint_of(write_map(tmp_path / "mask.fits", values, ordering=declared))
        with pytest.raises(
            ValueError, match=f"looks {true} ordered, so set its ORDERING to {true}"
        ):
            mask.check_galaxies(*spread(G09, 1000), "photo")

    @pytest.mark.parametrize(("declared", "true"), [("C", "galactic"), ("G", "equatorial")])
    def test_the_wrong_frame_of_a_map_is_named(self, tmp_path, declared, true):
        a, d = RA, DEC
        if true == "galactic":
            there = SkyCoord(l=RA, b=DEC, unit="deg", frame="galactic").icrs
            a, d = there.ra.deg, there.dec.deg
        values = G09.completeness(a, d)
        mask = footprint_of(write_map(tmp_path / "mask.fits", values, coordsys=declared))
        with pytest.raises(ValueError, match=f"its map looks {true}, so set its COORDSYS"):
            mask.check_galaxies(*spread(G09, 1000), "photo")
