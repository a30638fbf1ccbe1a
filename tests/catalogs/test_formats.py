"""Every format: what is written comes back, chunks add up to the whole, other codes agree."""

import errno
import gzip
import resource
import sys
import warnings

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import iter_chunks
from truez.catalogs.formats import _delimited, formats

BINARY = [".fits", ".fits.gz", ".h5", ".hdf5", ".parquet", ".parq", ".pq", ".asdf"]
TYPED = [*BINARY, ".ecsv"]
TEXT = [".csv", ".tsv", ".txt", ".dat", ".list", ".ascii"]
METADATA = {"seed": 3, "box": {"size": [1, 2.5, None], "note": 'a "quoted"\nline, it\'s \u00e9'}}


@pytest.fixture
def catalog():
    rng = np.random.default_rng(5)
    n = 257
    columns = {
        "x": rng.random(n, dtype=np.float32),
        "y": rng.normal(size=n) * 10.0 ** rng.integers(-300, 300, n),
        "id": np.arange(n) + 2**62,
        "flag": rng.random(n) > 0.5,
        "name": np.array([f"galaxy{i}" for i in range(n)]),
        "small": np.arange(n, dtype=np.int16) - 100,
    }
    return Catalog(columns, {"x": "Mpc/h", "y": "km/s"}, METADATA)


def assert_same(one, other):
    assert list(one.columns) == list(other.columns)
    for name, values in one.columns.items():
        assert values.dtype == other[name].dtype, name
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def joined(chunks):
    pieces = list(chunks)
    return Catalog({n: np.concatenate([p[n] for p in pieces]) for n in pieces[0].columns})


def test_every_suffix_is_tested():
    assert set(formats()) == {*TYPED, *TEXT, ".fit"}


@pytest.mark.parametrize("suffix", TYPED)
def test_round_trip_is_exact_with_types_units_and_metadata(suffix, catalog, tmp_path):
    catalog.write(tmp_path / f"c{suffix}")
    back = Catalog.read(tmp_path / f"c{suffix}")
    # HDF5 lists datasets by name.
    assert_same(Catalog({n: back[n] for n in catalog.columns}), catalog)
    assert dict(back.units) == {"x": "Mpc/h", "y": "km/s"}
    assert dict(back.metadata) == METADATA


@pytest.mark.parametrize("suffix", TEXT)
def test_text_gives_values_back(suffix, catalog, tmp_path):
    catalog.write(tmp_path / f"c{suffix}")
    back = Catalog.read(tmp_path / f"c{suffix}")
    assert list(back.columns) == list(catalog.columns)
    assert back["x"].dtype == np.float64
    np.testing.assert_array_equal(back["x"].astype(np.float32), catalog["x"])
    for name in ("y", "id", "flag", "name", "small"):
        np.testing.assert_array_equal(back[name], catalog[name])


@pytest.mark.parametrize("suffix", [*TYPED, *TEXT])
@pytest.mark.parametrize("rows", [1, 64, 257, 1000])
def test_chunks_add_up_to_the_whole(suffix, rows, catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(_delimited, "BLOCK_BYTES", 1000)
    path = tmp_path / f"c{suffix}"
    catalog.write(path)
    chunks = list(iter_chunks(path, chunk_rows=rows))
    assert max(map(len, chunks)) <= rows
    assert len(chunks) >= len(catalog) / rows
    assert_same(joined(chunks), Catalog.read(path))


@pytest.mark.parametrize("suffix", [*TYPED, *TEXT])
def test_only_the_columns_asked_for_in_their_order(suffix, catalog, tmp_path):
    catalog.write(tmp_path / f"c{suffix}")
    assert list(Catalog.read(tmp_path / f"c{suffix}", ["small", "x"]).columns) == ["small", "x"]


@pytest.mark.parametrize("suffix", [*TYPED, *TEXT])
def test_a_failed_write_leaves_the_old_file(suffix, catalog, tmp_path, monkeypatch):
    path = tmp_path / f"c{suffix}"
    catalog.write(path)
    before = path.read_bytes()
    file_format = formats()[suffix]

    def half_written(target, *_):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(file_format, "write", half_written)
    with pytest.raises(OSError, match="disk full"):
        catalog.write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "?"]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), suffix=st.sampled_from([".fits", ".h5", ".parquet", ".asdf", ".ecsv"]))
def test_numbers_of_every_type_survive(data, suffix, tmp_path_factory):
    dtype = data.draw(st.sampled_from(DTYPES))
    values = data.draw(hnp.arrays(dtype, st.integers(1, 20)))
    path = tmp_path_factory.mktemp("f") / f"c{suffix}"
    Catalog({"v": values}).write(path)
    back = Catalog.read(path)["v"]
    np.testing.assert_array_equal(back, values)  # NaN equals NaN here, and infinities survive
    assert back.dtype == (np.int16 if (suffix, dtype) == (".fits", "i1") else values.dtype)


words = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1)


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(words.filter(lambda w: w[0] != "#"), min_size=1, max_size=8),
    suffix=st.sampled_from([".fits", ".h5", ".parquet", ".asdf", ".ecsv"]),
)
def test_text_columns_survive(texts, suffix, tmp_path_factory):
    path = tmp_path_factory.mktemp("f") / f"c{suffix}"
    Catalog({"t": texts, "i": np.arange(len(texts))}).write(path)
    assert Catalog.read(path)["t"].tolist() == texts


# Files of other codes


def test_fits_of_astropy(tmp_path):
    path = tmp_path / "a.fits"
    table = Table({"Pos": np.arange(12.0).reshape(4, 3), "n": np.arange(4, dtype=np.uint16)})
    table["Pos"].unit = "Mpc"
    table.meta["BOXSIZE"] = 300.0
    table.write(path)
    catalog = Catalog.read(path)
    assert list(catalog.columns) == ["Pos.0", "Pos.1", "Pos.2", "n"]
    assert catalog["Pos.1"].tolist() == [1.0, 4.0, 7.0, 10.0]
    assert catalog["Pos.1"].dtype.isnative
    assert catalog["n"].dtype == np.uint16
    assert catalog.units["Pos.2"] == "Mpc"
    assert dict(catalog.metadata) == {"BOXSIZE": 300.0}
    assert list(Catalog.read(path, ["Pos"]).columns) == ["Pos.0", "Pos.1", "Pos.2"]


def test_fits_scaled_column_and_second_extension(tmp_path):
    image = fits.ImageHDU(np.zeros((2, 2)))
    table = fits.BinTableHDU.from_columns([fits.Column("s", "I", array=np.array([0, 1, 4]))])
    table.header["TSCAL1"], table.header["TZERO1"] = 0.5, 10.0
    fits.HDUList([fits.PrimaryHDU(), image, table]).writeto(tmp_path / "s.fits")
    assert Catalog.read(tmp_path / "s.fits")["s"].tolist() == [10.0, 10.5, 12.0]
    chunks = [c["s"].tolist() for c in iter_chunks(tmp_path / "s.fits", chunk_rows=2)]
    assert chunks == [[10.0, 10.5], [12.0]]


def test_astropy_reads_our_fits_and_ecsv(catalog, tmp_path):
    catalog = catalog.with_columns({"x": catalog["x"]}, {"x": "Mpc"})  # astropy knows no Mpc/h
    for suffix, kind in ((".fits", "fits"), (".ecsv", "ascii.ecsv")):
        catalog.write(tmp_path / f"c{suffix}")
        table = Table.read(tmp_path / f"c{suffix}", format=kind)
        for name, values in catalog.columns.items():
            np.testing.assert_array_equal(np.asarray(table[name]).astype(values.dtype), values)
        assert str(table["y"].unit).replace(" ", "") in ("km/s", "kms-1")


def test_ecsv_of_astropy(tmp_path):
    table = Table({"x": [1.5, 2.5], "v": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "t": ["a b", 'c"d']})
    table["x"].unit = "Mpc"
    table.meta["h"] = 0.7
    table.write(tmp_path / "a.ecsv", format="ascii.ecsv")
    catalog = Catalog.read(tmp_path / "a.ecsv")
    assert catalog["v.2"].tolist() == [3.0, 6.0]
    assert catalog["t"].tolist() == ["a b", 'c"d']
    assert dict(catalog.units) == {"x": "Mpc"}
    assert dict(catalog.metadata) == {"h": 0.7}


def test_hdf5_groups_vectors_compounds_and_foreign_attributes(tmp_path):
    path = tmp_path / "snap.h5"
    table = np.array(
        [(1, 2.0, b"a"), (2, 3.0, b"b")], dtype=[("id", ">i8"), ("m", "f4"), ("t", "S1")]
    )
    with h5py.File(path, "w") as file:
        position = file.create_dataset("PartType0/Coordinates", data=np.arange(6.0).reshape(2, 3))
        position.attrs["units"] = b"ckpc/h"
        file["PartType0/GridCube"] = np.zeros((2, 2, 2))
        file["table"] = table
        file["redshift"] = 0.5
        file.attrs["Omega0"] = np.float32(0.5)
        file.attrs["Code"] = b"gadget"
    catalog = Catalog.read(path)
    assert list(catalog.columns) == [
        *(f"PartType0/Coordinates.{i}" for i in range(3)),
        *("table/id", "table/m", "table/t"),
    ]
    assert catalog["PartType0/Coordinates.2"].tolist() == [2.0, 5.0]
    assert catalog["table/id"].tolist() == [1, 2]
    assert catalog["table/t"].tolist() == ["a", "b"]
    assert catalog.units["PartType0/Coordinates.0"] == "ckpc/h"
    assert dict(catalog.metadata) == {"Omega0": 0.5, "Code": "gadget"}


@pytest.mark.parametrize("suffix", [".h5", ".asdf"])
def test_nested_names_survive(suffix, tmp_path):
    Catalog({"g/x": [1.0], "g/deep/y": [2.0]}, {"g/x": "Mpc"}).write(tmp_path / f"n{suffix}")
    back = Catalog.read(tmp_path / f"n{suffix}", ["g/x", "g/deep/y"])
    assert (back["g/x"][0], back["g/deep/y"][0], back.units["g/x"]) == (1.0, 2.0, "Mpc")


def test_parquet_of_arrow(tmp_path):
    path = tmp_path / "a.parquet"
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(9.0)), 3)
    columns = {
        "pos": vectors,
        "mag": pa.array([1.0, None, 3.0]),
        "survey": pa.array(["g", "h", "g"]).dictionary_encode(),
        "members": pa.array([[1], [1, 2], []]),
    }
    pq.write_table(pa.table(columns), path, row_group_size=2)
    catalog = Catalog.read(path)
    assert list(catalog.columns) == ["pos.0", "pos.1", "pos.2", "mag", "survey"]
    np.testing.assert_array_equal(catalog["mag"], [1.0, np.nan, 3.0])
    assert catalog["survey"].tolist() == ["g", "h", "g"]
    assert [c["pos.1"].tolist() for c in iter_chunks(path, chunk_rows=2)] == [[1.0, 4.0], [7.0]]


def test_asdf_tree_of_another_code(tmp_path):
    asdf = pytest.importorskip("asdf")
    tree = {"header": {"BoxSize": 500}, "data": {"pos": np.arange(6.0, dtype=">f4").reshape(2, 3)}}
    asdf.AsdfFile(tree).write_to(tmp_path / "a.asdf", all_array_compression="zlib")
    catalog = Catalog.read(tmp_path / "a.asdf")
    assert catalog["data/pos.2"].tolist() == [2.0, 5.0]
    assert catalog["data/pos.2"].dtype == np.dtype("=f4")
    assert dict(catalog.metadata) == {"header/BoxSize": 500}


def test_without_asdf_the_sentence_says_what_to_install(catalog, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "asdf", None)
    sentence = r'^ASDF catalogues need the package asdf: pip install "truez\[asdf\]"$'
    with pytest.raises(ValueError, match=sentence):
        catalog.write(tmp_path / "c.asdf")
    (tmp_path / "d.asdf").write_bytes(b"#ASDF 1.0.0\n")
    with pytest.raises(ValueError, match=sentence):
        Catalog.read(tmp_path / "d.asdf")


# Text as people write it


@pytest.mark.parametrize(
    ("suffix", "text", "names"),
    [
        (".txt", "  1.0   2\n\t3.5\t4  \n", ["0", "1"]),
        (".txt", "1.0 2\r\n3.5 4\r\n", ["0", "1"]),
        (".txt", "# a comment that runs on\n1.0 2\n# another one\n\n3.5 4", ["0", "1"]),
        (".dat", "# made by someone\n# mass id\n1.0 2\n3.5 4\n", ["mass", "id"]),
        (".dat", "mass id\n1.0 2\n3.5 4\n", ["mass", "id"]),
        (".txt", "1.0,2\n3.5,4\n", ["0", "1"]),
        (".csv", "1.0,2\n3.5,4\n", ["0", "1"]),
        (".csv", "mass,id\n1.0,2\n3.5,4\n", ["mass", "id"]),
        (".csv", "\ufeffmass,id\r\n1.0,2\r\n3.5,4\r\n", ["mass", "id"]),
        (".csv", '# mass, id\n1.0,"2"\n3.5,4\n', ["mass", "id"]),
        (".csv", '"the mass","id"\n1.0,2\n3.5,4\n', ["the mass", "id"]),
    ],
)
def test_text_with_and_without_header(suffix, text, names, tmp_path):
    path = tmp_path / f"t{suffix}"
    path.write_bytes(text.encode())
    catalog = Catalog.read(path)
    assert list(catalog.columns) == names
    assert catalog[names[0]].tolist() == [1.0, 3.5]
    assert catalog[names[1]].tolist() == [2, 4]
    assert catalog[names[1]].dtype == np.int64
    assert list(Catalog.read(path, ["1"]).columns) == ["1"]  # by number, whatever the header


def test_types_of_text_hold_for_the_whole_file(tmp_path, monkeypatch):
    monkeypatch.setattr(_delimited, "BLOCK_BYTES", 64)
    path = tmp_path / "t.csv"
    rows = [f"{i},{i},{i},{i % 2 == 0}" for i in range(50)] + ["50,0.5,007,maybe", "51,,8,true"]
    path.write_text("\n".join(["whole,late,text", *rows]).replace("text", "text,flag", 1))
    whole = Catalog.read(path)
    assert [v.dtype.kind for v in whole.columns.values()] == ["i", "f", "i", "U"]
    assert np.isnan(whole["late"][51])
    assert whole["flag"][50] == "maybe"
    pieces = list(iter_chunks(path, chunk_rows=7))
    assert {piece["late"].dtype for piece in pieces} == {np.dtype("f8")}
    assert [len(p) for p in pieces if len(p) > 7] == []


def test_numbered_columns_are_written_without_header(tmp_path):
    Catalog({"0": [1.0, 2.0], "1": [3, 4]}).write(tmp_path / "n.txt")
    assert (tmp_path / "n.txt").read_text().split() == ["1", "3", "2", "4"]


@pytest.mark.parametrize(
    ("suffix", "columns", "sentence"),
    [
        (".txt", {"my x": [1.0]}, "'my x' of column 'my x' cannot be written as text"),
        (".txt", {"t": ["a b"]}, "'a b' of column 't' cannot be written as text"),
        (".csv", {"t": ["a\nb"]}, "'a\\nb' of column 't' cannot be written as text"),
        (".csv", {"x": [1], "3": [1]}, "column name '3' would be read back from text as a number"),
        (".ecsv", {"t": ["#a"]}, "'#a' of column 't' cannot be written as ECSV"),
        (
            ".fits",
            {"x": [1], "X": [1]},
            "FITS does not distinguish column 'x' from one in other case: write .parquet or .h5",
        ),
        (
            ".fits",
            {"t": ["\u00e9"]},
            "FITS holds ASCII text only, and column 't' has other: write .parquet, .h5 or .ecsv",
        ),
        (".h5", {"g": [1], "g/x": [1]}, "HDF5 cannot hold both a column 'g' and a group 'g'"),
        (".asdf", {"truez": [1]}, "an ASDF catalogue cannot have a column 'truez'"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(suffix, columns, sentence, tmp_path):
    with pytest.raises(ValueError) as error:
        Catalog(columns).write(tmp_path / f"c{suffix}")
    assert str(error.value) == sentence
    assert list(tmp_path.iterdir()) == []


# Files that are not what they say


def _truncated(path, catalog):
    catalog.write(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("suffix", "content", "sentence"),
    [
        (".fits", b"x y z\n", "{} is not a FITS file"),
        (".h5", b"x y z\n", "{} is not an HDF5 file"),
        (".parquet", b"x y z\n", "{} is not a Parquet file"),
        (".asdf", b"x y z\n", "{} is not an ASDF file"),
        (".ecsv", b"x,y,z\n", "{} is not an ECSV file"),
        (".csv", b"\x89HDF\0\0", "{} is not a text file"),
        (".csv", b"", "{} is empty"),
        (".csv", b"# only\n\n", "{} holds no rows"),
        (".csv", b"x,y\n", "{} holds no rows"),
        (".csv", b"1 2 3\n", "{} has no commas: name it .txt if white space separates its columns"),
        (".csv", b"x,x\n1,2\n", "{} has two columns 'x' in its header: rename one of them"),
        (
            ".txt",
            b"1 2\n3 4\n5\n",
            (
                "{} has a row of 1 columns where the first has 2: '5' in line 3; the file seems "
                "cut off, so copy or write it again"
            ),
        ),
        (".xlsx", b"1", None),
    ],
)
def test_broken_files(suffix, content, sentence, tmp_path):
    path = tmp_path / f"b{suffix}"
    path.write_bytes(content)
    known = (
        ".ascii, .asdf, .csv, .dat, .ecsv, .fit, .fits, .fits.gz, .h5, .hdf5, .list, .parq, "
        ".parquet, .pq, .tsv, .txt"
    )
    sentence = sentence or f"the suffix of {{}} is not that of a catalogue format: {known}"
    with pytest.raises(ValueError) as error:
        Catalog.read(path)
    assert str(error.value) == sentence.format(path)


@pytest.mark.parametrize("suffix", BINARY)
def test_truncated_files(suffix, catalog, tmp_path):
    path = tmp_path / f"t{suffix}"
    _truncated(path, catalog)
    with pytest.raises(ValueError, match=rf"^{path} cannot be read as [A-Z]"):
        Catalog.read(path)


def test_more_broken_files(tmp_path):
    path = tmp_path / "image.fits"
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(path)
    with pytest.raises(ValueError, match=f"^{path} holds no FITS table, only images$"):
        Catalog.read(path)
    path = tmp_path / "image.fits.gz"
    path.write_bytes(gzip.compress(b"x y z"))
    with pytest.raises(ValueError, match=f"^{path} cannot be read as FITS: "):
        Catalog.read(path)
    path = tmp_path / "empty.h5"
    h5py.File(path, "w").close()
    with pytest.raises(ValueError, match=f"^{path} holds no columns$"):
        Catalog.read(path)
    path = tmp_path / "uneven.h5"
    with h5py.File(path, "w") as file:
        file["x"], file["y"] = np.zeros(3), np.zeros(4)
    sentence = (
        "^columns of one catalogue must be equally long, but 'x' has 3 rows and 'y' has 4: "
        "name the columns that belong together$"
    )
    with pytest.raises(ValueError, match=sentence):
        Catalog.read(path)
    assert len(Catalog.read(path, ["y"])) == 4
    path = tmp_path / "norows.parquet"
    pq.write_table(pa.table({"x": pa.array([], pa.float64())}), path)
    with pytest.raises(ValueError, match=f"^{path} holds no rows$"):
        Catalog.read(path)


@pytest.mark.parametrize("size", [100, 4000, 6000, 9000])
def test_a_cut_fits_file_is_one_sentence_without_a_warning(size, catalog, tmp_path):
    path = tmp_path / "cut.fits"
    catalog.write(path)
    path.write_bytes(path.read_bytes()[:size])
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match=f"^{path} cannot be read as FITS: "):
            Catalog.read(path)
    assert heard == []


@pytest.mark.parametrize("suffix", [*TYPED, *TEXT])
def test_a_disk_without_room_is_an_error_of_the_system(suffix, tmp_path):
    catalog = Catalog({"x": np.random.default_rng(0).random(20_000)})
    path = tmp_path / f"c{suffix}"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            catalog.write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    # The libraries' words for a short write do not tell a limit of the file from one of the disk.
    assert caught.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert list(tmp_path.iterdir()) == []


def test_other_errors_while_writing_are_left_as_they_are(catalog, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a defect")

    monkeypatch.setattr(fits.Header, "tostring", broken)
    with pytest.raises(RuntimeError, match=r"^a defect$"):
        catalog.write(tmp_path / "c.fits")


@pytest.mark.parametrize("text", ["made by hand", "[1, 2]", "3", ""])
def test_metadata_of_others_under_our_names(text, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = [1.0]
        file.attrs["metadata"] = text
        file.attrs["a"] = 1
    assert dict(Catalog.read(tmp_path / "a.h5").metadata) == {"metadata": text, "a": 1}
    table = Table({"x": [1.0]}, meta={"METADATA": text, "A": 1})
    table.write(tmp_path / "a.fits")
    assert dict(Catalog.read(tmp_path / "a.fits").metadata) == {"METADATA": text, "A": 1}
    pq.write_table(
        pa.table({"x": [1.0]}).replace_schema_metadata({"truez": text}), tmp_path / "a.parquet"
    )
    assert dict(Catalog.read(tmp_path / "a.parquet").metadata) == {"truez": text}


def test_metadata_of_others_that_are_no_text(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = [1.0]
        file.attrs["metadata"] = [1, 2]
    assert dict(Catalog.read(tmp_path / "a.h5").metadata) == {"metadata": [1, 2]}


def test_a_word_far_down_a_column_of_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(_delimited, "BLOCK_BYTES", 64)
    path = tmp_path / "w.txt"
    path.write_text("0.5 1\n" * 40 + "oops 1\n")
    with pytest.raises(ValueError, match=f"^{path} has a value that does not fit: .*'oops'"):
        Catalog.read(path)


def test_metadata_must_be_plain(tmp_path):
    catalog = Catalog({"x": [1.0]}, metadata={"a": object()})
    with pytest.raises(ValueError, match=r"^metadata must be plain values for a file: "):
        catalog.write(tmp_path / "c.h5")
