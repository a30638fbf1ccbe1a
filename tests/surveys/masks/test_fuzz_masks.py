"""Damaged masks are read, or refused in one sentence."""

import gc
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import healsparse
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mocpy import MOC

from catalogs.fuzzing import FOREIGN, LONGEST_MESSAGE, mutated
from truez.cli import info_inputs
from truez.surveys.footprint_input import footprint_of

NSIDE = 64
PIXELS = np.arange(3000, 3060)
KINDS = ("healpix", "moc.fits", "moc.json", "moc.ascii", "healsparse", "healsparse.h5", "txpipe")
#: Odd numbers for the values, pixels and keys of a mask.
NUMBERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([-1.0, 0.0, 1e300, -1.6375e30, 2.0**63, 1 + 5e-5, 0.5]),
)
pytestmark = [
    # mocpy, healsparse and astropy leave what they cannot read open.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(autouse=True)
def close_files():
    """Close what libraries left open, while the warnings about it are ignored."""
    yield
    gc.collect()


@cache
def sound(kind):
    """The bytes of a sound mask."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mask.fits"
        if kind == "healpix":
            columns = [fits.Column("PIXEL", "K", array=PIXELS),
                       fits.Column("VALUE", "E", array=np.full(len(PIXELS), 0.5))]  # fmt: skip
            table = fits.BinTableHDU.from_columns(columns)
            table.header.update({"PIXTYPE": "HEALPIX", "NSIDE": NSIDE, "ORDERING": "NESTED",
                                 "INDXSCHM": "EXPLICIT"})  # fmt: skip
            table.writeto(path)
        elif kind.startswith("moc"):
            moc = MOC.from_healpix_cells(PIXELS, np.full(len(PIXELS), 6), max_depth=6)
            moc.save(path, format=kind.partition(".")[2])
        elif kind.startswith("healsparse"):
            mask = healsparse.HealSparseMap.make_empty(32, NSIDE, np.float32)
            mask[PIXELS] = np.full(len(PIXELS), 0.5, np.float32)
            mask.write(path, format="hdf5" if kind.endswith("h5") else "fits")
        else:
            write_group(path, PIXELS, np.full(len(PIXELS), 0.5), {"nside": NSIDE, "nest": True})
        return path.read_bytes()


def write_group(path, pixels, values, about):
    with h5py.File(path, "w") as file:
        group = file.create_group("maps/mask")
        group.attrs.update(about)
        group["pixel"], group["value"] = pixels, values


def read_or_refuse(path):
    """The footprint of a mask, None where it is refused; and `truez info` does either as well."""
    try:
        found = footprint_of(path)
        assert 0 < found.area <= 41253
        assert (found.values > 0).all()
        assert (found.values <= 1).all()
    except ValueError as error:
        found = None
        text = str(error)
        assert "\n" not in text
        assert len(text) < LONGEST_MESSAGE + 2 * len(str(path))
        assert not FOREIGN.search(text.replace(str(path), ""))
    try:
        described = info_inputs.mask(str(path))
    except ValueError:
        described = None
    assert described is None or found is not None
    return found


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_change_of_the_bytes_is_read_or_refused(kind, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "mask.fits"
    path.write_bytes(data.draw(mutated(sound(kind), b"NSIDE", b"PIXEL", b"\xff" * 8)))
    read_or_refuse(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 3000, b"\x89HDF\r\n\x1a\n", b"SIMPLE", b"{", b"P"]
)
def test_what_is_no_mask_is_refused(content, tmp_path):
    path = tmp_path / "mask.fits"
    path.write_bytes(content)
    assert read_or_refuse(path) is None


@pytest.mark.medium
@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    pixels=st.lists(st.one_of(st.integers(-5, 60_000), st.integers(-(2**62), 2**62)), max_size=6),
    values=st.lists(NUMBERS, max_size=6),
    nside=st.one_of(st.sampled_from([64, 0, -1, 3, 2**29, 2**40]), NUMBERS, st.text(max_size=3)),
)
def test_odd_numbers_in_a_map_of_txpipe(pixels, values, nside, tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "mask.h5"
    write_group(path, np.array(pixels, np.int64), np.array(values, np.float64), {"nside": nside})
    found = read_or_refuse(path)
    if found is not None:
        assert found.nside == nside
        assert len(pixels) == len(values)


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    pixels=st.lists(st.one_of(st.integers(-5, 60_000), st.integers(-(2**62), 2**62)), max_size=6),
    data=st.data(),
    nside=st.one_of(st.sampled_from([64, 0, -1, 3, 2**29, 2**40, "64", "a", True, 64.5])),
    ordering=st.sampled_from(["NESTED", "RING", "NUNIQ", "", "x"]),
)
def test_odd_numbers_in_a_healpix_map(pixels, data, nside, ordering, tmp_path_factory):
    values = data.draw(st.lists(NUMBERS, min_size=len(pixels), max_size=len(pixels)))
    path = tmp_path_factory.mktemp("fuzz") / "mask.fits"
    columns = [fits.Column("PIXEL", "K", array=np.array(pixels, np.int64)),
               fits.Column("VALUE", "D", array=np.array(values, np.float64))]  # fmt: skip
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update({"PIXTYPE": "HEALPIX", "NSIDE": nside, "ORDERING": ordering})
    table.writeto(path)
    read_or_refuse(path)


@pytest.mark.parametrize("name", ["VALUE", "PIXEL"])
@pytest.mark.parametrize("kind", ["5A", "L", "C", "M", "2E"])
def test_columns_of_other_types_are_refused(kind, name, tmp_path):
    formats, size = {"PIXEL": "K", "VALUE": "E"} | {name: kind}, 3
    arrays = {"PIXEL": np.arange(size), "VALUE": np.full(size, 0.5)}
    arrays[name] = {"5A": np.full(size, "mask"), "2E": np.full((size, 2), 0.5)}.get(
        kind, np.ones(size, {"L": bool, "C": complex, "M": complex}.get(kind, float))
    )
    columns = [fits.Column(one, formats[one], array=arrays[one]) for one in formats]
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update({"PIXTYPE": "HEALPIX", "NSIDE": NSIDE, "ORDERING": "NESTED"})
    table.writeto(tmp_path / "mask.fits")
    found = read_or_refuse(tmp_path / "mask.fits")
    assert (found is not None) == ((name, kind) == ("VALUE", "L"))


@pytest.mark.parametrize("name", ["maps/mask", "map"])
def test_hdf5_that_declares_more_than_it_holds_is_refused(name, tmp_path):
    path = tmp_path / "mask.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group(name)
        group.attrs.update({"nside": 2**20, "nside_sparse": 2**20, "nside_coverage": 32})
        for one in ("pixel", "value", "cov_index_map"):
            group.create_dataset(one, (10**10,), "f8", chunks=(10**6,), compression="gzip")
    with pytest.raises(ValueError, match=r"declares 1e\+10 values in '.*', far more than it holds"):
        footprint_of(path)


def test_values_in_other_files_are_refused(tmp_path):
    (tmp_path / "values.bin").write_bytes(np.ones(3).tobytes())
    path = tmp_path / "mask.h5"
    write_group(path, [1, 2, 3], [1.0, 1.0, 1.0], {"nside": 64, "nest": True})
    with h5py.File(path, "a") as file:
        del file["maps/mask/value"]
        file["maps/mask"].create_dataset(
            "value", (3,), "f8", external=[(str(tmp_path / "values.bin"), 0, 24)]
        )
    with pytest.raises(ValueError, match="has the values of 'value' in other files: copy them"):
        footprint_of(path)


def test_a_packed_fits_file_beyond_the_memory_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "mask.fits"
    path.write_bytes(sound("healpix"))
    monkeypatch.setattr("truez.support.memory.available_memory", lambda: 100)
    with pytest.raises(ValueError, match=r"of memory, and 0\.1 kB are free: resample it"):
        footprint_of(path)
