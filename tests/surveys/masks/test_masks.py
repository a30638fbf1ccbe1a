"""Masks as surveys publish them, with mocpy and healsparse themselves as references."""

import sys

import h5py
import healsparse
import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from mocpy import MOC

from truez.mesh.healpix import centers, nested, other_order
from truez.mesh.sphere import WHOLE_SKY
from truez.surveys.footprint_input import footprint_of
from truez.surveys.masks import healsparse_file, moc
from truez.surveys.masks.kind import mask_kind

RNG = np.random.default_rng(1)
#: Random directions in and around the masks [deg].
RA = RNG.uniform(125, 145, 20_000)
DEC = RNG.uniform(-8, 9, 20_000)
NSIDE = 512
MANGLE = "2 polygons\npixelization 9s\nsnapped\npolygon 0 ( 4 caps, 1 weight, 87 pixel, 0.1 str):\n"


def cone(order=9):
    """A MOC of two circles, whose cells are of many orders up to this one."""
    lon, lat, radius = [135, 139] * units.deg, [0.5, 3] * units.deg, [4, 1.5] * units.deg
    cones = [
        MOC.from_cone(lon=a, lat=d, radius=r, max_depth=order)
        for a, d, r in zip(lon, lat, radius, strict=True)
    ]
    return cones[0].union(cones[1])


def contains(one):
    return one.contains_lonlat(RA * units.deg, DEC * units.deg)


def fractions(dtype=np.float32):
    """A healsparse map with values in some 5000 pixels."""
    pixels = np.unique(nested(RA[:5000], DEC[:5000], NSIDE))
    mask = healsparse.HealSparseMap.make_empty(32, NSIDE, dtype)
    mask[pixels] = RNG.uniform(0.1, 1, len(pixels)).astype(dtype)
    return mask


def write_txpipe(path, maps, **attributes):
    about = {"pixelization": "healpix", "nside": NSIDE, "nest": False, **attributes}
    with h5py.File(path, "w") as file:
        for name, (pixels, values) in maps.items():
            group = file.create_group(f"maps/{name}")
            group.attrs.update({key: value for key, value in about.items() if value is not None})
            group["pixel"], group["value"] = pixels, values
    return path


class TestMoc:
    @pytest.mark.parametrize("form", ["fits", "json", "ascii"])
    def test_it_covers_what_mocpy_says_whatever_its_name(self, tmp_path, form):
        written, path = cone(), tmp_path / "mask.dat"
        written.save(path, format=form)
        area = footprint_of(path)
        inside = contains(written)
        assert 0.05 < inside.mean() < 0.95
        assert (~area.outside(RA, DEC) == inside).all()
        assert area.area == pytest.approx(written.sky_fraction * WHOLE_SKY, rel=1e-6)

    def test_a_moc_of_cells_without_ranges_is_read(self, tmp_path):
        written, path = cone(), tmp_path / "mask.fits"
        table = fits.BinTableHDU.from_columns([fits.Column("UNIQ", "K", array=written.uniq_hpx)])
        table.header.update(
            {"PIXTYPE": "HEALPIX", "ORDERING": "NUNIQ", "COORDSYS": "C", "MOCORDER": 9}
        )
        table.writeto(path)
        assert (~footprint_of(path).outside(RA, DEC) == contains(written)).all()

    def test_where_it_is_too_fine_pixels_hold_the_covered_fraction(self, tmp_path, monkeypatch):
        written, path = cone(), tmp_path / "mask.fits"
        written.save(path)
        monkeypatch.setattr(moc, "MOST_PIXELS", 2000)
        area = footprint_of(path)
        assert area.nside < 2**9
        assert len(area.pixels) <= 2000
        assert area.area == pytest.approx(written.sky_fraction * WHOLE_SKY, rel=1e-6)
        parts = (2**9 // area.nside) ** 2
        fine = np.isin((area.pixels[:, None] * parts + np.arange(parts)), written.flatten())
        assert written.max_order == 9
        assert area.values == pytest.approx(fine.mean(axis=1), abs=1e-6)
        assert ((area.values > 0) & (area.values < 1)).any()

    def test_without_mocpy_the_sentence_says_what_to_install(self, tmp_path, monkeypatch):
        cone().save(tmp_path / "mask.fits")
        monkeypatch.setitem(sys.modules, "mocpy", None)
        with pytest.raises(ValueError, match=r'mocpy: pip install "truez\[moc\]"'):
            footprint_of(tmp_path / "mask.fits")

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ('{"9": [1, 2', "is not a MOC that can be read"),
            ("9/99999999", "is not a MOC that can be read"),
            ('{"9": [99999999]}', "cells that are beyond the sky"),
            ('{"a": 1}', "covers nothing"),
            ('{"9": []}', "covers nothing"),
            ("40/1", "is not a FITS file that can be read"),
            ("9/1 2 x", "is not a FITS file that can be read"),
        ],
    )
    def test_what_is_none_is_refused(self, tmp_path, text, sentence):
        path = tmp_path / "mask.moc"
        path.write_text(text)
        with pytest.raises(ValueError, match=sentence):
            footprint_of(path)


class TestHealsparse:
    @pytest.mark.parametrize("form", ["fits", "parquet", "hdf5"])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_its_fractions_are_those_of_healsparse(self, tmp_path, dtype, form):
        mask, path = fractions(dtype), tmp_path / "mask.hsp"
        mask.write(path, format=form)
        expected = mask.get_values_pos(RA, DEC)
        expected = np.where(expected < 0, 0, expected)
        found = footprint_of(path).completeness(RA, DEC)
        assert (expected > 0).mean() > 0.2
        assert found == pytest.approx(expected.astype(np.float32), abs=0)

    @pytest.mark.parametrize("form", ["fits", "parquet", "hdf5"])
    @pytest.mark.parametrize("kind", ["bool", "packed", "int"])
    def test_a_mask_of_yes_and_no_is_read(self, tmp_path, kind, form):
        pixels, path = fractions().valid_pixels, tmp_path / "mask.hsp"
        packed = {"bit_packed": True} if kind == "packed" else {}
        dtype = np.int32 if kind == "int" else bool
        mask = healsparse.HealSparseMap.make_empty(32, NSIDE, dtype, **packed)
        mask[pixels] = np.ones(len(pixels), dtype) if kind == "int" else True
        if kind == "int":
            mask[pixels[::3]] = np.zeros(len(pixels[::3]), dtype)
        mask.write(path, format=form)
        expected = mask.get_values_pos(RA, DEC) > 0
        assert (~footprint_of(path).outside(RA, DEC) == expected).all()
        assert 0.1 < expected.mean() < 0.9

    @pytest.mark.parametrize("wide", [True, False])
    def test_a_bit_is_chosen_by_its_number(self, tmp_path, wide):
        pixels, path = fractions().valid_pixels, tmp_path / "mask.hsp"
        if wide:
            mask = healsparse.HealSparseMap.make_empty(
                32, NSIDE, healsparse.WIDE_MASK, wide_mask_maxbits=12
            )
            mask.set_bits_pix(pixels, [1])
            mask.set_bits_pix(pixels[::2], [9])
        else:
            mask = healsparse.HealSparseMap.make_empty(32, NSIDE, np.int32, sentinel=0)
            mask[pixels] = np.full(len(pixels), 2, np.int32)
            mask[pixels[::2]] = np.full(len(pixels[::2]), 2 + 2**9, np.int32)
        mask.write(path)
        assert (footprint_of(f"{path}#9").pixels == pixels[::2]).all()
        assert (footprint_of(f"{path}#1").pixels == pixels).all()
        refusal = "of bits 0 to 15: choose the one" if wide else "completeness from 0 to 1"
        with pytest.raises(ValueError, match=refusal):
            footprint_of(path)
        with pytest.raises(ValueError, match="it has bits 0 to"):
            footprint_of(f"{path}#99")

    def test_a_column_is_chosen_by_its_name(self, tmp_path):
        dtype = np.dtype([("frac", "f4"), ("depth", "f4")])
        mask = healsparse.HealSparseMap.make_empty(32, NSIDE, dtype, primary="frac")
        mask[np.array([5, 9])] = np.array([(0.5, 24), (0.25, 25)], dtype)
        path = tmp_path / "mask.hsp"
        mask.write(path)
        assert footprint_of(f"{path}#frac").values.tolist() == [0.5, 0.25]
        with pytest.raises(ValueError, match="has several columns, frac, depth: choose one"):
            footprint_of(path)
        with pytest.raises(ValueError, match=r"column depth of footprint .* 0 to 25"):
            footprint_of(f"{path}#depth")

    def test_where_it_is_too_fine_pixels_hold_the_mean(self, tmp_path, monkeypatch):
        mask, path = fractions(), tmp_path / "mask.hsp"
        mask.write(path)
        monkeypatch.setattr(healsparse_file, "MOST_PIXELS", 2000)
        area = footprint_of(path)
        assert area.nside < NSIDE
        parts = (NSIDE // area.nside) ** 2
        fine = mask.get_values_pix(area.pixels[:, None] * parts + np.arange(parts))
        assert area.values == pytest.approx(np.where(fine < 0, 0, fine).mean(axis=1), rel=1e-5)
        assert area.area == pytest.approx(footprint_of_whole(mask), rel=1e-5)

    def test_without_healsparse_the_sentence_says_what_to_install(self, tmp_path, monkeypatch):
        fractions().write(tmp_path / "mask.fits")
        monkeypatch.setitem(sys.modules, "healsparse", None)
        with pytest.raises(ValueError, match=r'healsparse: pip install "truez\[healsparse\]"'):
            footprint_of(tmp_path / "mask.fits")

    # healsparse leaves the file that it cannot read open.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_a_broken_file_is_refused(self, tmp_path):
        path = tmp_path / "mask.fits"
        table = fits.BinTableHDU.from_columns([fits.Column("A", "J", array=[1])])
        table.header["PIXTYPE"] = "HEALSPARSE"
        table.writeto(path)
        with pytest.raises(ValueError, match="is not a healsparse map that can be read"):
            footprint_of(path)


def footprint_of_whole(mask):
    """Area of a healsparse map of fractions [deg^2]."""
    return mask.get_values_pix(mask.valid_pixels).sum() * WHOLE_SKY / (12 * NSIDE**2)


class TestTxpipe:
    @pytest.mark.parametrize(
        ("about", "ring"),
        [
            ({}, True),
            ({"nest": None}, True),
            ({"nest": True}, False),
            ({"nest": None, "ordering": "NEST"}, False),
            ({"nest": None, "ordering": "ring"}, True),
        ],
    )
    def test_its_pixels_are_in_the_order_that_it_says(self, tmp_path, about, ring):
        pixels = np.unique(nested(RA[:3000], DEC[:3000], NSIDE))
        values = RNG.uniform(0.1, 1, len(pixels))
        written = other_order(pixels, NSIDE, "RING") if ring else pixels
        area = footprint_of(write_txpipe(tmp_path / "m.hdf5", {"mask": (written, values)}, **about))
        assert area.completeness(*centers(pixels, NSIDE)) == pytest.approx(values, abs=1e-6)
        assert area.area == pytest.approx(values.sum() * WHOLE_SKY / (12 * NSIDE**2), rel=1e-6)

    def test_one_of_several_maps_is_chosen_by_its_name(self, tmp_path):
        ones = np.ones(2)
        path = write_txpipe(
            tmp_path / "m.h5", {"mask_0": ([1, 2], ones), "mask_1": ([7, 8], ones)}, nest=True
        )
        assert footprint_of(f"{path}#mask_1").pixels.tolist() == [7, 8]
        with pytest.raises(ValueError, match=r"has the maps mask_0, mask_1: choose one .*#mask_0"):
            footprint_of(path)
        write_txpipe(path, {"depth/depth": ([1], [24.0]), "mask": ([3], [1.0])}, nest=True)
        assert footprint_of(path).pixels.tolist() == [3]

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"pixelization": "gnomonic"}, "is in gnomonic pixels: make it in HEALPix"),
            ({"nside": None}, "does not say its nside"),
            ({"nside": 48}, "has NSIDE 48, which is no power of 2"),
            ({"nside": 1}, "has pixels 100 to 102, but those of NSIDE 1 are 0 to 11"),
            ({"ordering": "spiral"}, "has ordering 'SPIRAL'"),
            ({"values": [1.0, 1.0, 24.0]}, "must hold completeness from 0 to 1, not 0 to 24"),
            ({"values": [1.0, 1.0]}, "must have a pixel for each value, not 3 for 2"),
            ({"values": [0.0, 0.0, 0.0]}, "covers nothing"),
        ],
    )
    def test_what_is_no_map_of_completeness_is_refused(self, tmp_path, changes, sentence):
        values = changes.pop("values", [1.0, 1.0, 1.0])
        path = write_txpipe(tmp_path / "m.h5", {"mask": ([100, 101, 102], values)}, **changes)
        with pytest.raises(ValueError, match=sentence):
            footprint_of(path)

    def test_another_hdf5_file_is_refused(self, tmp_path):
        with h5py.File(tmp_path / "m.h5", "w") as file:
            file["randoms/ra"] = [1.0]
        with pytest.raises(ValueError, match=r"HDF5 file without a map.*is given as randoms"):
            footprint_of(tmp_path / "m.h5")


class TestKind:
    @pytest.mark.parametrize("text", [MANGLE, "polygon 1 ( 3 caps, 1 weight, 0 pixel, 0 str):\n"])
    def test_mangle_polygons_are_refused_with_the_remedy(self, tmp_path, text):
        path = tmp_path / "geometry.fits"
        path.write_text(text)
        with pytest.raises(ValueError, match=r"mangle polygons: write .* as a HEALPix map in FITS"):
            footprint_of(path)

    def test_mangle_polygons_in_fits_are_refused_too(self, tmp_path):
        columns = [fits.Column(name, "3D", array=np.zeros((1, 3))) for name in ("XCAPS", "CMCAPS")]
        fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "geometry.fits")
        assert mask_kind(tmp_path / "geometry.fits") == "mangle"

    def test_a_folder_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="is a folder: give the file of a mask, or the folder"):
            footprint_of(tmp_path)
        (tmp_path / "_common_metadata").write_bytes(b"PAR1 and no more")
        with pytest.raises(ValueError, match="is a folder: give the file of a mask"):
            footprint_of(tmp_path)

    def test_a_folder_of_healsparse_that_lacks_a_part_is_refused(self, tmp_path):
        fractions().write(tmp_path / "mask", format="parquet")
        (tmp_path / "mask" / "_coverage.parquet").unlink()
        assert mask_kind(tmp_path / "mask") == "healsparse"
        with pytest.raises(ValueError, match="is not a healsparse map that can be read"):
            footprint_of(tmp_path / "mask")
