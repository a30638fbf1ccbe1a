"""Damaged FITS, HDF5, Parquet and ASDF files are read or refused in one sentence."""

from __future__ import annotations

import gzip
import resource
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogs.fuzzing import mutated, noise, read_or_refused
from truez.catalogs.catalog import Catalog

ROWS = 12
COLUMNS = {
    "x": np.linspace(0.0, 100.0, ROWS),
    "y": np.arange(ROWS, dtype=np.float32),
    "id": np.arange(ROWS) + 2**60,
    "flag": np.arange(ROWS) % 3 == 0,
    "name": np.array([f"NGC {number}" for number in range(ROWS)]),
    "n": np.ma.MaskedArray(np.arange(ROWS, dtype=np.int16), np.arange(ROWS) % 4 == 1),
}


def made(folder: Path, suffix: str) -> bytes:
    """What truez writes."""
    path = folder / f"made{suffix}"
    Catalog(COLUMNS, {"x": "Mpc/h"}, {"seed": 3, "note": "a\nb"}).write(path)
    return path.read_bytes()


def foreign_fits(folder: Path) -> bytes:
    columns = [
        fits.Column("v", "3E", array=np.ones((ROWS, 3), np.float32), unit="Mpc"),
        fits.Column("bits", "11X", array=np.ones((ROWS, 11), bool)),
        fits.Column("s", "I", array=np.arange(ROWS, dtype=np.int16)),
        fits.Column("lists", "PE()", array=np.array([np.ones(k % 3) for k in range(ROWS)], "O")),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="GAL")
    table.header["TSCAL3"], table.header["TZERO3"] = 0.5, 10.0
    image = fits.ImageHDU(np.zeros((2, 2)))
    fits.HDUList([fits.PrimaryHDU(), image, table]).writeto(folder / "f.fits", overwrite=True)
    return (folder / "f.fits").read_bytes()


def foreign_hdf5(folder: Path) -> bytes:
    rows = np.zeros(ROWS, [("x", "f8"), ("id", "i8"), ("t", "S4"), ("v", "f4", (3,))])
    with h5py.File(folder / "f.h5", "w") as file:
        file["df/table"] = rows
        file["g/v"] = np.ones((ROWS, 3), ">f4")
        file["g/v"].attrs["Units"] = np.array([b"Mpc/h"])
        file["packed"] = file.create_dataset("p", (ROWS,), "i4", compression=1, shuffle=True)
        file["text"] = ["a", "bb", ""] * (ROWS // 3)
        file["again"] = h5py.SoftLink("/g")
        file["on"] = h5py.ExternalLink("other.h5", "/x")
    return (folder / "f.h5").read_bytes()


def foreign_parquet(folder: Path) -> bytes:
    table = Table(dict(COLUMNS))
    table["x"].unit = "Mpc"
    table["m"] = MaskedColumn(np.arange(ROWS), mask=np.arange(ROWS) > 5)
    table.write(folder / "f.parquet", overwrite=True)
    found = pq.read_table(folder / "f.parquet")
    found = found.append_column("d", pa.array([None, "a", "b"] * (ROWS // 3)).dictionary_encode())
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(3 * ROWS)), 3)
    found = found.append_column("v", vectors)
    pq.write_table(found, folder / "g.parquet", compression="zstd", row_group_size=5)
    return (folder / "g.parquet").read_bytes()


def foreign_asdf(folder: Path) -> bytes:
    asdf = pytest.importorskip("asdf")
    tree = {
        "x": np.arange(float(ROWS)), "g": {"v": np.ones((ROWS, 3))[:, ::-1]},
        "few": np.arange(ROWS), "note": ["a", {"b": 1.5}],
        "q": {"value": np.arange(float(ROWS)), "unit": "Mpc"},
    }  # fmt: skip
    file = asdf.AsdfFile(tree)
    file.set_array_storage(tree["few"], "inline")
    file.write_to(folder / "f.asdf", all_array_compression="zlib")
    return (folder / "f.asdf").read_bytes()


@pytest.fixture(scope="module")
def valid(tmp_path_factory) -> dict[str, list[bytes]]:
    folder = tmp_path_factory.mktemp("valid")
    return {
        ".fits": [made(folder, ".fits"), foreign_fits(folder)],
        ".fits.gz": [made(folder, ".fits.gz")],
        ".h5": [made(folder, ".h5"), foreign_hdf5(folder)],
        ".parquet": [made(folder, ".parquet"), foreign_parquet(folder)],
        ".asdf": [made(folder, ".asdf"), foreign_asdf(folder)],
    }


def test_the_files_that_are_damaged_are_read_when_they_are_not(valid, tmp_path):
    for suffix, files in valid.items():
        for number, data in enumerate(files):
            path = tmp_path / f"c{number}{suffix}"
            path.write_bytes(data)
            assert read_or_refused(path) == ""


SIGNS = (
    b"SIMPLE  =                    T", b"\x1f\x8b\x08\0", b"\x89HDF\r\n\x1a\n\0", b"PAR1",
    b"#ASDF 1.0.0\n#ASDF_STANDARD 1.5.0\n%YAML 1.1\n--- !core/asdf-1.1.0\nx: ",
)  # fmt: skip


def damage(valid: dict[str, list[bytes]], path: Path, data: st.DataObject) -> None:
    suffix = data.draw(st.sampled_from(list(valid)))
    whole = data.draw(st.sampled_from(valid[suffix]))
    if suffix == ".fits.gz" and data.draw(st.booleans()):  # what is packed is damaged
        good = mutated(gzip.decompress(whole)).map(lambda content: gzip.compress(content, 1))
    else:
        good = mutated(whole)
    path = path.with_suffix(suffix)
    path.write_bytes(data.draw(st.one_of(good, good, good, noise(*SIGNS))))
    try:
        read_or_refused(path)
    finally:
        path.unlink()


quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=60, deadline=None, suppress_health_check=quiet)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(data, valid, tmp_path):
    damage(valid, tmp_path / "c", data)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=quiet)
@given(data=st.data())
def test_many_damaged_files_are_read_or_refused_soon_and_in_bounded_memory(data, valid, tmp_path):
    start = time.perf_counter()
    damage(valid, tmp_path / "c", data)
    assert time.perf_counter() - start < 10
    unit = 1 if sys.platform == "darwin" else 1024
    # The whole test process, with the libraries that it has imported.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit < 1.5e9


def test_a_file_that_is_cut_anywhere_is_read_or_refused(valid, tmp_path):
    for suffix, files in valid.items():
        for data in files:
            for stop in np.linspace(1, len(data) - 1, 12).astype(int):
                path = tmp_path / f"c{suffix}"
                path.write_bytes(data[:stop])
                read_or_refused(path)
