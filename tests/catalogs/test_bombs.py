"""Files that state or unpack to more than they hold, or name other files, are refused at once."""

import gzip
import resource
import struct
import sys
import time
import zlib

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

import truez.surveys.mock  # noqa: F401  torch, before memory is counted
from truez.catalogs import formats
from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import iter_chunks
from truez.catalogs.formats import _asdf_file, _base, _sizes
from truez.cli.app import main

UNPACKS = r"unpacks to [\d.]+ [MG]B from [\d.]+ [kM]B, which no catalogue of galaxies does: write"


@pytest.fixture(autouse=True)
def _bounded():
    """No test takes more than seconds and 300 MB beyond what the libraries have."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    yield
    assert time.perf_counter() - start < 20
    if sys.platform == "linux":
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def refused(path, columns=None):
    """The sentence about a file, the same for the whole and for chunks."""
    with pytest.raises(ValueError) as whole:
        Catalog.read(path, columns)
    with pytest.raises(ValueError) as pieces:
        next(iter_chunks(path, columns, chunk_rows=1000))
    assert str(whole.value) == str(pieces.value)
    assert len(str(whole.value).replace(str(path), "")) < 250
    return str(whole.value)


def assert_match(pattern, text):
    with pytest.raises(ValueError, match=pattern):
        raise ValueError(text)


def test_hdf5_of_chunks_that_hold_zeros(tmp_path):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        for name in "xyz":
            data = file.create_dataset(name, (4 * 10**9,), "f4", chunks=(10**7,), compression=1)
            packed = zlib.compress(bytes(4 * 10**7))
            data.id.write_direct_chunk((0,), packed)
    assert (tmp_path / "c.h5").stat().st_size < 200_000
    assert_match(UNPACKS, refused(tmp_path / "c.h5", ["x", "y", "z"]))
    with pytest.raises(SystemExit, match="2"):
        main(["mock", str(tmp_path / "c.h5"), "--boxsize", "64", "--sigma-z", "0.1", "--redshift",
              "0.5", "--spec-cut", "x>1", "--out", str(tmp_path / "o")])  # fmt: skip
    assert not (tmp_path / "o").exists()


def test_hdf5_with_one_chunk_larger_than_its_rows(tmp_path):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        for name in "xyz":
            file.create_dataset(name, (4,), "f4", chunks=(10**9,), maxshape=(None,), compression=1)
    assert_match(UNPACKS, refused(tmp_path / "c.h5"))


@pytest.mark.parametrize("part", ["v", "t/v"])
def test_hdf5_text_that_many_rows_share(tmp_path, part, monkeypatch):
    monkeypatch.setattr(_sizes, "SMALL", 2**24)
    kind = h5py.string_dtype() if part == "v" else [("v", h5py.string_dtype()), ("i", "i4")]
    with h5py.File(tmp_path / "c.h5", "w") as file:
        data = file.create_dataset(part[0], (10**6,), kind, chunks=(10**6,), compression=1)
        if part == "v":
            data[7] = "x" * 10_000
        else:
            data[7] = ("x" * 10_000, 3)
    expected = f"^column '{part}' holds text of 10000 characters, which makes"
    with pytest.raises(ValueError, match=expected):
        Catalog.read(tmp_path / "c.h5", [part])


def fits_head(rows, width=24):
    columns = [fits.Column(name, "D") for name in "xyz"][: width // 8]
    table = fits.BinTableHDU.from_columns(columns, nrows=0).header
    table["NAXIS2"] = rows
    return (fits.PrimaryHDU().header.tostring() + table.tostring()).encode()


@pytest.mark.parametrize("rows", [200, 10**9, 2**62])
def test_fits_that_states_more_rows_than_it_holds(tmp_path, rows):
    (tmp_path / "c.fits").write_bytes(fits_head(rows) + bytes(2880))
    expected = r"it is cut off, as its headers state [\d.]+ [kGM]B and it holds 8.64 kB: copy or"
    assert_match(expected, refused(tmp_path / "c.fits"))


def test_packed_fits_is_refused_before_it_is_unpacked(tmp_path):
    rows = 20 * 10**6
    (tmp_path / "c.fits.gz").write_bytes(gzip.compress(fits_head(rows) + bytes(10**7)))
    assert_match(UNPACKS, refused(tmp_path / "c.fits.gz"))
    (tmp_path / "d.fits.gz").write_bytes(gzip.compress(fits_head(10**6) + bytes(10**6)))
    assert_match("it is cut off, as its headers state 24 MB and", refused(tmp_path / "d.fits.gz"))


def test_packed_fits_beyond_the_memory_is_refused(tmp_path, monkeypatch):
    Catalog({name: np.random.default_rng(1).random(10**4) for name in "xyz"}).write(
        tmp_path / "c.fits.gz"
    )
    monkeypatch.setattr(_sizes, "available_memory", lambda: 300_000)
    assert_match(r"reading .*c.fits.gz needs 492 kB of memory, and 300 kB are free: read fewer",
                 refused(tmp_path / "c.fits.gz"))  # fmt: skip


def test_a_header_without_end_is_refused(tmp_path):
    head = fits.PrimaryHDU().header.tostring().encode()
    (tmp_path / "c.fits").write_bytes(head[: head.index(b"END  ")].ljust(2**26))
    assert_match("cut off or damaged in a header", refused(tmp_path / "c.fits"))


@pytest.mark.parametrize("folder", [False, True])
def test_parquet_of_one_value(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(_sizes, "SMALL", 2**20)
    path = tmp_path / "c.parquet"
    inner = path / "a.parquet" if folder else path
    inner.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({name: np.zeros(10**6) for name in "xyz"}), inner)
    assert_match(UNPACKS, refused(path))


@pytest.mark.parametrize("folder", [False, True])
def test_parquet_of_one_long_text(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(_sizes, "SMALL", 2**24)
    path = tmp_path / "c.parquet"
    inner = path / "a.parquet" if folder else path
    inner.parent.mkdir(exist_ok=True)
    text = pa.DictionaryArray.from_arrays(np.zeros(10**6, "i4"), ["x" * 10_000])
    pq.write_table(pa.table({"t": text, "x": np.arange(10.0**6)}), inner)
    with pytest.raises(ValueError, match=r"column 't' holds text of 10000 characters, which makes"):
        Catalog.read(path, ["t"])
    assert len(Catalog.read(path, ["x"])) == 10**6


def test_columns_beyond_the_memory_are_refused_and_chunks_of_them_read(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    for suffix in (".fits", ".h5", ".parquet", ".asdf"):
        path = tmp_path / f"c{suffix}"
        Catalog({name: rng.random(10_000) for name in "xyz"}).write(path)
        monkeypatch.setattr(_sizes, "available_memory", lambda: 400_000)
        with pytest.raises(ValueError, match="needs 480 kB of memory, and 400 kB are free: "):
            Catalog.read(path)
        assert len(Catalog.read(path, ["x", "y"])) == 10_000
        assert len(list(iter_chunks(path, chunk_rows=5000))) == 2


def test_more_columns_than_anybody_needs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_base, "MOST_COLUMNS", 10)
    for suffix in (".fits", ".h5", ".parquet", ".asdf"):
        Catalog({f"c{i}": [1.0] for i in range(11)}).write(tmp_path / f"c{suffix}")
        assert_match("has more than 10 columns", refused(tmp_path / f"c{suffix}"))


# --- ASDF


def asdf_of(path, tree, blocks=b""):
    path.write_bytes(
        b"#ASDF 1.0.0\n#ASDF_STANDARD 1.5.0\n%YAML 1.1\n%TAG ! tag:stsci.edu:asdf/\n"
        b"--- !core/asdf-1.1.0\n" + tree + b"\n...\n" + blocks
    )
    return path


def test_asdf_of_aliases(tmp_path):
    lines = ["a0: &a0 [1, 2]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path = asdf_of(tmp_path / "c.asdf", "\n".join(lines).encode())
    assert_match("has a tree of more than 500000 items", refused(path))
    with pytest.raises(SystemExit, match="2"):
        main(["info", str(path)])
    path = asdf_of(tmp_path / "d.asdf", b"a: &a [*a]")
    assert_match("has a tree that holds itself", refused(path))
    path = asdf_of(tmp_path / "e.asdf", b"a: " + b"[" * 100 + b"]" * 100)
    assert_match("deeper than 50 levels", refused(path))


@pytest.mark.parametrize("tree", [
    b"x: {$ref: 'http://127.0.0.1:9/x.asdf#/x'}",
    b"x: {$ref: 'other.asdf#/x'}",
    b"x: !core/ndarray-1.0.0 {source: 'other.asdf', shape: [2], datatype: float64, byteorder: big}",
    b"x: !core/ndarray-1.0.0 {source: 'file:///etc/passwd', shape: [8], datatype: uint8}",
])  # fmt: skip
def test_asdf_reads_no_other_file(tree, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise AssertionError("another file")

    path = asdf_of(tmp_path / "c.asdf", tree)
    monkeypatch.setattr("asdf.AsdfFile.open_external", broken)
    monkeypatch.setattr("urllib.request.urlopen", broken)
    assert_match("and truez follows no references: write the arrays themselves", refused(path))


def test_words_of_asdf_metadata_are_no_references(tmp_path):
    tree = b"source: SDSS\nnames: [source, other]\nx: !core/ndarray-1.0.0 [1.0, 2.0]"
    path = asdf_of(tmp_path / "c.asdf", tree)
    catalog = Catalog.read(path)
    assert catalog["x"].tolist() == [1.0, 2.0]
    assert catalog.metadata["source"] == "SDSS"


def test_asdf_blocks_that_state_more_than_there_is(tmp_path):
    array = (b"x: !core/ndarray-1.0.0 {source: 0, shape: [1000000000], datatype: float64, "
             b"byteorder: big}")  # fmt: skip

    def block(compression, used, size):
        fields = struct.pack(">I4sQQQ", 0, compression, used, used, size) + bytes(16)
        return _asdf_file._BLOCK + struct.pack(">H", len(fields)) + fields

    packed = zlib.compress(bytes(10**6))
    path = asdf_of(tmp_path / "c.asdf", array, block(b"zlib", len(packed), 8 * 10**9) + packed)
    assert_match(UNPACKS, refused(path))
    path = asdf_of(tmp_path / "d.asdf", array, block(bytes(4), 8 * 10**9, 8 * 10**9) + packed)
    assert_match("it is cut off, as its blocks state 8 GB and it holds", refused(path))
    tree = array.replace(b"byteorder", b"strides: [0], byteorder")
    path = asdf_of(tmp_path / "e.asdf", tree, block(bytes(4), 8, 8) + bytes(8))
    assert_match(UNPACKS, refused(path))


# --- HDF5: other files


@pytest.fixture
def snapshot(tmp_path):
    """A catalogue of links into a part of it, and of all that must not be followed."""
    (tmp_path / "cat/parts").mkdir(parents=True)
    (tmp_path / "cat/secret.txt").write_bytes(bytes(32))
    for place in ("cat/parts/a.h5", "outside.h5"):
        with h5py.File(tmp_path / place, "w") as file:
            file["x"], file["g/y"] = np.arange(4.0), np.arange(4.0) + 1
            file["on"] = h5py.ExternalLink("../../outside.h5", "/x")
            file.create_dataset("raw", (4,), "f8", external=[("secret.txt", 0, 32)])
    with h5py.File(tmp_path / "cat/c.h5", "w") as file:
        file["x"] = np.arange(4.0)
        file["raw"] = file.create_dataset("r", (4,), "f8", external=[("/etc/passwd", 0, 32)])
        file["ext"] = h5py.ExternalLink("parts/a.h5", "/x")
        file["extgroup"] = h5py.ExternalLink("parts/a.h5", "/g")
        file["soft"] = h5py.SoftLink("/ext")
        file["through"] = h5py.SoftLink("/extgroup/y")
        file["absolute"] = h5py.ExternalLink(str(tmp_path / "cat/parts/a.h5"), "/x")
        file["up"] = h5py.ExternalLink("../outside.h5", "/x")
        file["on"] = h5py.ExternalLink("parts/a.h5", "/on")
        file["onraw"] = h5py.ExternalLink("parts/a.h5", "/raw")
        for name, source in (("virtual", "parts/a.h5"), ("lost", "parts/b.h5"), ("far", "../o.h5")):
            layout = h5py.VirtualLayout((4,), "f8")
            layout[:] = h5py.VirtualSource(source, "x", (4,))
            file.create_virtual_dataset(name, layout)
    return tmp_path / "cat/c.h5"


def test_hdf5_columns_in_other_files_are_left_out_with_a_reason(snapshot, monkeypatch):
    (snapshot.parent / "parts").rename(snapshot.parent / "gone")  # nothing is looked for
    header = formats.header(snapshot)
    assert header.columns == ("x",)
    others = {"raw", "r", "ext", "extgroup", "soft", "through", "absolute", "up", "on", "onraw",
              "virtual", "lost", "far"}  # fmt: skip
    assert set(header.left_out) == others
    with pytest.raises(ValueError, match=r"'raw' of .* has its values in another file, which"):
        Catalog.read(snapshot, ["raw"])
    with pytest.raises(ValueError, match=r"'ext' of .* is a link into another file: --follow"):
        Catalog.read(snapshot, ["ext"])


def test_links_into_the_folder_of_the_catalogue_are_followed_when_asked(snapshot, monkeypatch):
    monkeypatch.chdir(snapshot.parent.parent)  # links are relative to their file
    with formats.following_links():
        catalog = Catalog.read(snapshot)
        header = formats.header(snapshot)
    assert set(catalog.columns) == {"x", "ext", "soft", "extgroup/y", "virtual"}
    assert catalog["extgroup/y"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert catalog["virtual"].tolist() == catalog["ext"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert set(header.left_out) == {
        "raw", "r", "absolute", "up", "on", "onraw", "lost", "far", "through"
    }  # fmt: skip
    assert formats.header(snapshot).columns == ("x",)


def test_hdf5_groups_of_links_end(tmp_path, monkeypatch):
    monkeypatch.setattr("truez.catalogs.formats.hdf5._MOST_DATASETS", 1000)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_group("g0")
        for level in range(1, 40):
            for side in "ab":
                file[f"g{level}/{side}"] = h5py.SoftLink(f"/g{level - 1}")
        for level in range(1, 40):
            file[f"l{level}"] = h5py.SoftLink(f"/l{level - 1}/l{level - 1}")
    assert_match("has more than 1000 datasets, by its links", refused(tmp_path / "c.h5"))
