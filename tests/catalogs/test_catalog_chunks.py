"""Catalogues that are written in chunks: the same file, whole or not at all, in little memory."""

import errno
import itertools
import resource
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import iter_chunks, layout_of, text_lengths, write_chunks
from truez.catalogs.formats import regrouped

SUFFIXES = [".fits", ".fits.gz", ".h5", ".parquet", ".asdf", ".ecsv", ".csv", ".txt"]
HELD = [".fits", ".h5", ".parquet", ".asdf", ".ecsv"]


def made(n: int = 1000) -> Catalog:
    rng = np.random.default_rng(0)
    columns = {kind: rng.integers(0, 99, n).astype(kind) for kind in ("i2", "u2", "u4", "i8", "u8")}
    columns["f4"], columns["f8"] = rng.random(n).astype("f4"), rng.normal(size=n)
    columns["seen"] = rng.random(n) < 0.5
    # The longest word is in no early chunk.
    columns["word"] = np.array(["ab" + "c" * (row // 100) for row in range(n)])
    return Catalog(columns, {"f4": "Mpc/h"}, {"made": "by hand", "n": 3})


def pieces(catalog: Catalog, *sizes: int):
    starts = itertools.accumulate(sizes, initial=0)
    for start, size in zip(starts, sizes, strict=False):
        yield catalog.select(np.arange(start, min(start + size, len(catalog))))


def assert_same(found: Catalog, expected: Catalog):
    # HDF5 and ASDF sort the names.
    assert list(found.columns) in (list(expected.columns), sorted(expected.columns))
    for name, values in expected.columns.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype, name
    assert found.units == expected.units
    assert found.metadata == expected.metadata


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_chunks_make_the_file_that_the_whole_makes(suffix, tmp_path):
    catalog = made()
    whole, parts = tmp_path / f"whole{suffix}", tmp_path / f"parts{suffix}"
    catalog.write(whole)
    lengths = {"word": 11}
    write_chunks(parts, pieces(catalog, 1, 300, 699), num_rows=1000, text_lengths=lengths)
    assert_same(Catalog.read(parts), Catalog.read(whole))
    if suffix in HELD:
        assert_same(Catalog.read(parts), catalog)
    if suffix in (".fits", ".ecsv", ".csv", ".txt"):
        assert parts.read_bytes() == whole.read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_fits_file_is_one_that_astropy_would_write(tmp_path):
    catalog, path = made(), tmp_path / "c.fits"
    catalog.write(path)
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[1].header["NAXIS2"] == 1000
        table = hdus[1].data
        for name, values in catalog.columns.items():
            np.testing.assert_array_equal(table[name], values)
    theirs = tmp_path / "theirs.fits"
    Table(dict(catalog.columns)).write(theirs)
    with fits.open(theirs) as expected, fits.open(path) as found:
        assert found[1].columns.names == expected[1].columns.names
        assert found[1].columns.formats == expected[1].columns.formats
        assert bytes(np.asarray(found[1].data)) == bytes(np.asarray(expected[1].data))
    assert path.stat().st_size % 2880 == 0


def test_the_longest_text_is_found(tmp_path):
    for suffix in (".parquet", ".fits", ".csv"):
        made().write(tmp_path / f"c{suffix}")
        layout = layout_of(tmp_path / f"c{suffix}", chunk_rows=70)
        assert text_lengths(layout.dtypes) == {"word": 11}
        assert layout.num_rows == 1000
    Catalog({"x": [1.0]}).write(tmp_path / "n.fits")
    assert text_lengths(layout_of(tmp_path / "n.fits").dtypes) == {}


@pytest.mark.parametrize("sizes", [[10], [3, 4, 3], [1] * 10, [9, 1]])
@pytest.mark.parametrize("rows", [1, 3, 4, 10, 99])
def test_pieces_of_any_length_are_regrouped(sizes, rows):
    values = np.arange(10)
    split = np.split(values, np.cumsum(sizes)[:-1])
    found = [piece["v"] for piece in regrouped(({"v": part} for part in split), rows)]
    np.testing.assert_array_equal(np.concatenate(found), values)
    assert {len(piece) for piece in found[:-1]} <= {rows}
    assert 0 < len(found[-1]) <= rows


def test_chunks_of_a_parquet_file_do_not_follow_its_groups(tmp_path):
    write_chunks(tmp_path / "c.parquet", pieces(made(), 7, 500, 493), num_rows=1000,
                 text_lengths={"word": 11})  # fmt: skip
    lengths = [len(chunk) for chunk in iter_chunks(tmp_path / "c.parquet", chunk_rows=300)]
    assert lengths == [300, 300, 300, 100]


X = Catalog({"x": [1.0, 2.0]})
BROKEN = {
    "too few rows": (
        [X], 3, "num_rows must be that of all chunks, which hold 2, not 3",
    ),
    "too many rows": (
        [X, X], 3, "num_rows must be that of all chunks, which hold more, not 3",
    ),
    "another column": (
        [X, Catalog({"y": [1.0]})], 3,
        "chunks must have the same columns, but from row 2 on they have y",
    ),
    "another type": (
        [X, Catalog({"x": [1]})], 3,
        "chunks must have the same types, but from row 2 on 'x' is int64, not float64",
    ),
    "longer text": (
        [Catalog({"t": ["a"]}), Catalog({"t": ["abc"]})], 2,
        "chunks must have the same types, but from row 1 on 't' is <U3, not <U1",
    ),
    "no chunks": ([], 0, "a catalogue without rows cannot be written to {path}"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".fits", ".h5", ".parquet", ".asdf", ".ecsv", ".csv"])
@pytest.mark.parametrize(("chunks", "num_rows", "message"), BROKEN.values(), ids=BROKEN)
def test_chunks_that_do_not_fit(suffix, chunks, num_rows, message, tmp_path):
    path = tmp_path / f"c{suffix}"
    with pytest.raises(ValueError, match=r".") as caught:
        write_chunks(path, chunks, num_rows=num_rows)
    assert str(caught.value) == message.format(path=path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz", ".h5", ".parquet", ".ecsv", ".csv"])
@pytest.mark.parametrize("size", [10_000, 120_000, 200_000])
@pytest.mark.parametrize("kind", ["numbers", "text"])
def test_a_disk_that_fills_up_leaves_the_old_file(suffix, size, kind, tmp_path):
    path = tmp_path / f"c{suffix}"
    path.write_bytes(b"old")
    rng = np.random.default_rng(0)
    columns = {"x": rng.random(20_000), "y": rng.random(20_000)}
    if kind == "text":
        columns["t"] = np.char.mod("%.9f", columns["x"])
    catalog = Catalog(columns)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            write_chunks(path, pieces(catalog, *[2000] * 10), num_rows=20_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


MEMORY = """
import resource, sys
from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import iter_chunks, write_chunks
import numpy as np
rows, path = 2**15, sys.argv[1]
columns = {f"c{i}": np.random.default_rng(i).random(rows) for i in range(40)}
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def write(num):
    write_chunks(path, (Catalog(columns) for _ in range(num)), num_rows=num * rows)
    return peak()
def read():
    for chunk in iter_chunks(path, chunk_rows=rows):
        pass
    return peak()
write(1), read()
before = peak()
print(write(16) - before, read() - before)
"""


@pytest.mark.medium
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is the system's")
@pytest.mark.parametrize(("suffix", "mapped"), [(".fits", 160), (".parquet", 0), (".h5", 0)])
def test_chunks_are_not_held(suffix, mapped, tmp_path):
    # A chunk is 10 MB, and the whole 160 MB; of a mapped file the system counts every page.
    run = [sys.executable, "-c", MEMORY, str(tmp_path / f"c{suffix}")]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    written, read = map(float, done.stdout.split())
    assert written < 60
    assert read < mapped + 60
