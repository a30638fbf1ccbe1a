"""Missing values are missing in every format, and are never used as numbers."""

import importlib
import subprocess
import sys

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import iter_chunks, iter_positions, layout_of, write_chunks
from truez.catalogs.given import as_catalog
from truez.cli.app import main
from truez.surveys.selection import Selection, select

LOST = np.array([False, True, False, False, True, False])
NUMBERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
EVERY = [".fits", ".fits.gz", ".h5", ".parquet", ".asdf", ".ecsv", ".csv"]
MISSING_FLOATS = {".parquet", ".asdf", ".ecsv"}  # the others write NaN


def masked(values):
    return np.ma.MaskedArray(values, LOST)


def same(found, expected):
    np.testing.assert_array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(expected))
    np.testing.assert_array_equal(found[~LOST], expected[~LOST])


@pytest.mark.parametrize("suffix", [*EVERY, ".txt"])
@pytest.mark.parametrize("dtype", [*NUMBERS, "?"])
def test_missing_numbers_come_back_missing(suffix, dtype, tmp_path):
    values = masked(np.array([0, 1, 1, 0, 0, 1]).astype(dtype))
    Catalog({"x": np.arange(6.0), "v": values}).write(tmp_path / f"c{suffix}")
    found = Catalog.read(tmp_path / f"c{suffix}")
    assert set(found.columns) == {"x", "v"}
    same(found["v"], values)
    spare = suffix.startswith(".fits") and np.dtype(dtype).itemsize == 1 and dtype != "?"
    if suffix not in (".csv", ".txt"):
        assert found["v"].dtype == (np.int16 if spare else dtype)
    chunks = list(iter_chunks(tmp_path / f"c{suffix}", chunk_rows=2))
    same(np.ma.concatenate([chunk["v"] for chunk in chunks]), values)


@pytest.mark.parametrize("suffix", EVERY)
def test_missing_floats_and_text_come_back_missing(suffix, tmp_path):
    floats, text = masked(np.arange(6.0) + 0.5), masked(np.array(["a", "b", "cc", "d", "e", "f"]))
    Catalog({"f": floats, "t": text}).write(tmp_path / f"c{suffix}")
    found = Catalog.read(tmp_path / f"c{suffix}")
    np.testing.assert_array_equal(np.isnan(np.ma.getdata(found["f"])), LOST)
    if suffix in MISSING_FLOATS:
        same(found["f"], floats)
    if suffix in {".parquet", ".asdf", ".ecsv", ".h5"}:
        same(found["t"], text)
    else:  # FITS and CSV have no missing text but the empty one
        assert found["t"].tolist() == ["a", "", "cc", "d", "", "f"]


def test_missing_text_is_not_empty_text(tmp_path):
    text = masked(np.array(["a", "b", "", "d", "e", "f"]))
    for suffix in (".parquet", ".h5", ".asdf", ".ecsv"):
        Catalog({"x": np.arange(6), "t": text}).write(tmp_path / f"c{suffix}")
        same(Catalog.read(tmp_path / f"c{suffix}")["t"], text)


def test_a_whitespace_table_refuses_missing_text(tmp_path):
    catalog = Catalog({"x": np.arange(6), "t": masked(np.array(list("abcdef")))})
    with pytest.raises(ValueError, match=r"^column 't' has missing text, which a white"):
        catalog.write(tmp_path / "c.txt")


@pytest.mark.parametrize("suffix", EVERY)
def test_a_later_chunk_may_be_the_first_with_missing_values(suffix, tmp_path):
    first = Catalog({"v": np.arange(6), "b": np.ones(6, bool)})
    second = Catalog({"v": masked(np.arange(6)), "b": masked(np.ones(6, bool))})
    path = tmp_path / f"c{suffix}"
    write_chunks(path, [first, second], num_rows=12, missing=["v", "b"])
    found = Catalog.read(path)
    for name in ("v", "b"):
        mask = np.ma.getmaskarray(found[name])
        np.testing.assert_array_equal(mask, np.concatenate([np.zeros(6, bool), LOST]))
    assert layout_of(path, chunk_rows=6).missing == {"v", "b"}
    with pytest.raises(ValueError, match=r"^missing must name 'v', of which values are missing"):
        write_chunks(path, [first, second], num_rows=12)


def test_the_number_for_nothing_is_no_value_of_the_column(tmp_path):
    for dtype in ("i4", "u4", "i8", "u8"):
        limits = np.iinfo(dtype)
        number = limits.max if dtype.startswith("u") else limits.min
        catalog = Catalog({"v": masked(np.array([number, 0, 2, 3, 4, 5], dtype))})
        with pytest.raises(ValueError, match=f"^column 'v' holds {number}, which stands for a mis"):
            catalog.write(tmp_path / "c.fits")
        catalog.write(tmp_path / "c.h5")
        same(Catalog.read(tmp_path / "c.h5")["v"], catalog["v"])


# --- files of other codes


@pytest.mark.parametrize(
    ("suffix", "more"),
    [
        (".fits", {}),
        (".ecsv", {}),
        (".ecsv", {"delimiter": ","}),
        (".parquet", {}),
        (".h5", {"path": "tab", "serialize_meta": True}),
        (".asdf", None),
    ],
)
def test_masked_columns_of_astropy(suffix, more, tmp_path):
    path = tmp_path / f"t{suffix}"
    values = {"id": masked(np.arange(6) + 5), "f": masked(np.arange(6.0))}
    values["v"] = np.ma.MaskedArray(np.arange(12).reshape(6, 2), np.stack([LOST, ~LOST], axis=1))
    if more is None:
        asdf = pytest.importorskip("asdf")
        asdf.AsdfFile(dict(values)).write_to(path)
    else:
        Table({name: MaskedColumn(v) for name, v in values.items()}).write(path, **more)
    found = Catalog.read(path)
    before = "tab/" if suffix == ".h5" else ""
    same(found[f"{before}id"], values["id"])
    assert np.isnan(np.ma.getdata(found[f"{before}f"])[LOST]).all()
    if suffix == ".fits":
        return  # astropy writes no TNULL for vectors
    same(found[f"{before}v.0"], values["v"][:, 0])
    np.testing.assert_array_equal(np.ma.getmaskarray(found[f"{before}v.1"]), ~LOST)


def test_fits_null_in_scaled_unsigned_logical_vector_and_ascii_columns(tmp_path):
    stored = np.array([7, -99, 9, 10, -99, 12])
    columns = [
        fits.Column("scaled", "I", null=-99, array=stored),
        fits.Column("vector", "2J", null=-99, array=np.stack([stored, stored + 1], axis=1)),
    ]
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.writeto(tmp_path / "c.fits")
    fits.setval(tmp_path / "c.fits", "TSCAL1", value=0.5, ext=1)
    fits.setval(tmp_path / "c.fits", "TZERO1", value=100, ext=1)
    found = Catalog.read(tmp_path / "c.fits")
    for name, data in (("scaled", 100 + 0.5 * stored), ("vector.0", stored)):
        same(found[name], masked(data))
    assert not np.ma.is_masked(found["vector.1"])
    logical = fits.BinTableHDU.from_columns([fits.Column("b", "L", array=np.ones(6, bool))])
    logical.writeto(tmp_path / "b.fits")
    raw = bytearray((tmp_path / "b.fits").read_bytes())
    raw[5760:5766] = bytes(0 if lost else ord("T") for lost in LOST)
    (tmp_path / "b.fits").write_bytes(raw)
    same(Catalog.read(tmp_path / "b.fits")["b"], masked(np.ones(6, bool)))
    ascii_columns = [fits.Column("n", "I6", null="-99", array=stored)]
    fits.TableHDU.from_columns(ascii_columns).writeto(tmp_path / "a.fits")
    same(Catalog.read(tmp_path / "a.fits")["n"], masked(stored))


def test_arrow_nulls_of_every_kind(tmp_path):
    lists = pa.array([[1, 2], None, [3, None], [4, 5]], pa.list_(pa.int32(), 2))
    columns = {
        "i": pa.array([2**62 + 1, None, 3, 4]),
        "u": pa.array([1, None, 3, 4], pa.uint8()),
        "s": pa.array(["a", None, "", "b"]),
        "d": pa.array(["a", None, "c", "a"]).dictionary_encode(),
        "b": pa.array([True, None, False, True]),
        "f": pa.array([1.0, None, np.nan, 2.0], pa.float32()),
        "v": lists,
    }
    try:
        pq.write_table(pa.table(columns), tmp_path / "c.parquet")
    except pa.ArrowNotImplementedError as error:
        pytest.skip(f"pyarrow {pa.__version__} writes no such file: {error}")
    found = Catalog.read(tmp_path / "c.parquet")
    for name in ("i", "u", "s", "d", "b", "f", "v.0"):
        assert np.ma.getmaskarray(found[name]).tolist() == [False, True, False, False], name
    assert np.ma.getmaskarray(found["v.1"]).tolist() == [False, True, True, False]
    assert found["i"][0] == 2**62 + 1
    assert (found["u"].dtype, found["f"].dtype) == (np.uint8, np.float32)
    assert np.isnan(found["f"][2])  # a NaN that the file states is a value


def test_numbers_for_nothing_of_netcdf(tmp_path):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["n"] = np.array([1, -999, 3])
        file["n"].attrs["_FillValue"] = -999
        file["f"] = np.array([1.0, 2.0, 1e20])
        file["f"].attrs["missing_value"] = np.array([1e20])
    found = Catalog.read(tmp_path / "c.h5")
    assert np.ma.getmaskarray(found["n"]).tolist() == [False, True, False]
    assert np.ma.getmaskarray(found["f"]).tolist() == [False, False, True]


def test_whole_numbers_of_text_keep_their_digits_beside_a_missing_one(tmp_path):
    (tmp_path / "c.csv").write_text(f"id,flag\n{2**61 + 1},true\n,\n7,false\n")
    found = Catalog.read(tmp_path / "c.csv")
    assert found["id"].dtype == np.int64
    assert found["id"].tolist() == [2**61 + 1, None, 7]
    assert found["flag"].tolist() == [True, None, False]


# --- used as numbers: refused


def with_missing(suffix, tmp_path):
    path = tmp_path / f"c{suffix}"
    columns = {name: np.arange(6) + 1.5 for name in "xz"}
    whole = masked(np.arange(6))
    Catalog({**columns, "y": whole, "w": whole}, dict.fromkeys("xyz", "Mpc/h")).write(path)
    return path


@pytest.mark.parametrize("suffix", [".fits", ".parquet", ".h5", ".ecsv", ".asdf"])
def test_positions_and_weights_with_missing_values_are_refused(suffix, tmp_path):
    path = with_missing(suffix, tmp_path)
    held = (
        "must be finite, but 2 of 6 rows have no value, the first of them row 1 (counted from 0): "
        "leave those rows out"
    )
    with pytest.raises(ValueError) as caught:
        Catalog.read(path).positions()
    assert str(caught.value) == f"positions {held}"
    with pytest.raises(ValueError) as caught:
        list(iter_positions(path, chunk_rows=3))
    assert str(caught.value) == f"positions of {path} {held}"
    with pytest.raises(ValueError) as caught:
        list(iter_positions(path, ("x", "z", "y"), weights="w"))
    assert "2 of 6 rows have no value" in str(caught.value)


def test_a_rank_and_a_cut_with_missing_values_are_refused():
    columns = {"m": masked(np.arange(6)), "f": np.where(LOST, np.nan, 1.0)}
    rows = np.arange(6)
    common = {"volume": 1.0, "highest": True}
    no_value = "^column 'm' has no value in 2 of 6 rows: leave those rows out$"
    with pytest.raises(ValueError, match=no_value):
        select(Selection(density=3), "spec", rows, columns, rank_by="m", **common)
    with pytest.raises(ValueError, match=no_value):
        select(Selection(cuts=("m>1",)), "spec", rows, columns, rank_by=None, **common)
    with pytest.raises(
        ValueError, match=r"^column f of the cut 'f>0' holds no number \(nan\) in 2"
    ):
        select(Selection(cuts=("f>0",)), "spec", rows, columns, rank_by=None, **common)


def _box():
    from truez.mesh.box import Box

    return Box(1.0, 4)


def test_masks_in_memory():
    column = MaskedColumn([1, 2, 3], mask=[True, False, False])
    catalog = Catalog({"m": column, "t": np.ma.MaskedArray(["a", None, "c"], [0, 1, 0])})
    assert catalog["m"].tolist() == [None, 2, 3]
    assert catalog["t"].tolist() == ["a", None, "c"]
    assert catalog.select(np.array([0, 2]))["m"].tolist() == [None, 3]
    assert catalog.to_table()["m"].tolist() == [None, 2, 3]
    kept = catalog.with_columns({"x": np.arange(3)})
    assert kept["m"].tolist() == [None, 2, 3]
    assert not np.ma.isMaskedArray(catalog.select(np.array([1, 2]))["m"])
    with pytest.raises(ValueError, match="read-only"):
        catalog["m"][1] = 5


def test_missing_values_of_data_frames_are_counted():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"id": pd.array([1, None, 3], dtype="Int64"), "x": [1.0, 2.0, 3.0]})
    with pytest.raises(
        ValueError,
        match=r"^column 'id' of photo has no value in 1 of 3 rows: leave those rows out$",
    ):
        as_catalog(frame, ["id", "x"], name="photo")
    assert as_catalog(frame, ["x"], name="photo")["x"].tolist() == [1.0, 2.0, 3.0]


# --- commands


SIDES = np.array([64.0, 64.0, 128.0])
BOX = "--boxsize 64,64,128 --cellsize 8 --redshift 0.59 --sigma-z 0.005 --cosmology wmap"


@pytest.fixture(scope="module")
def galaxies():
    rng = np.random.default_rng(1)
    true = rng.random((2000, 3)) * SIDES
    photo = true.copy()
    photo[:, 2] = (photo[:, 2] + rng.normal(0, 17.7, 2000)) % SIDES[2]
    return true, photo


def columns_of(positions):
    return {name: positions[:, axis].copy() for axis, name in enumerate("xyz")}


def command(*words, expected=0):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == expected


def test_mock_does_not_rank_by_missing_numbers(galaxies, tmp_path, capsys):
    table = Table(columns_of(galaxies[0]))
    lost = np.arange(2000) % 3 == 0
    table["npart"] = MaskedColumn(np.arange(2000), mask=lost)
    table.write(tmp_path / "sim.fits")
    command("mock", tmp_path / "sim.fits", *BOX.split(), "--rank-by", "npart", "--spec-density",
            "1e-3", "--out", tmp_path / "mk", expected=2)  # fmt: skip
    said = capsys.readouterr().err
    assert said == (
        "truez: column 'npart' has no value in 667 of 2000 rows: leave those rows out with "
        "--drop-missing\n"
    )
    assert not (tmp_path / "mk").exists()


@pytest.mark.medium
@pytest.mark.parametrize(
    "source",
    [".fits", ".h5", *(pytest.param(one, marks=pytest.mark.slow) for one in (".parquet", ".ecsv"))],
)
def test_redshifts_keeps_missing_values_missing(source, galaxies, tmp_path):
    true, photo = galaxies
    lost = np.arange(2000) % 3 != 0
    more = {"ID": np.arange(2000), "specobjid": np.ma.MaskedArray(7 * np.arange(2000), lost)}
    more["name"] = np.ma.MaskedArray([f"G{k}" for k in range(2000)], lost)
    more["seen"] = np.ma.MaskedArray(np.ones(2000, bool), lost)
    Catalog({**columns_of(photo), **more}).write(tmp_path / f"photo{source}")
    spec = {**columns_of(true[::5]), "ID": np.arange(2000)[::5]}
    Catalog(spec).write(tmp_path / "spec.parquet")
    for suffix in (".parquet", ".fits", ".h5", ".ecsv", ".csv", ".asdf"):
        command("redshifts", "--spec", tmp_path / "spec.parquet", "--photo",
                tmp_path / f"photo{source}", *BOX.split(), "--match-id", "ID", "--method",
                "redistribution", "--out", tmp_path / f"z{suffix}")  # fmt: skip
        found = Catalog.read(tmp_path / f"z{suffix}")
        for name in ("specobjid", "seen"):
            np.testing.assert_array_equal(np.ma.getmaskarray(found[name]), lost, name)
            np.testing.assert_array_equal(found[name][~lost], more[name][~lost])
        empty = np.ma.getmaskarray(found["name"]) | (np.ma.getdata(found["name"]) == "")
        np.testing.assert_array_equal(empty, lost)


@pytest.mark.parametrize(
    ("more", "out", "sentence"),
    [
        (
            {"name": np.ma.MaskedArray(["a"] * 2000, np.arange(2000) > 9)},
            "z.txt",
            "'name' has miss",
        ),
        ({"note": ["a"] * 1999 + ["\u00e9"]}, "z.fits", "FITS holds ASCII text only, and column"),
        ({"fl\u00fcx": np.zeros(2000)}, "z.fits", "FITS holds ASCII names and units only"),
    ],
)
def test_redshifts_says_before_the_estimate_what_it_cannot_write(
    more, out, sentence, galaxies, tmp_path, capsys, monkeypatch
):
    def estimated(*_, **__):
        raise AssertionError("the estimate began")

    monkeypatch.setattr(importlib.import_module("truez.reconstruct"), "reconstruct", estimated)
    true, photo = galaxies
    Catalog({**columns_of(photo), "id": np.arange(2000), **more}).write(tmp_path / "photo.parquet")
    Catalog({**columns_of(true[::5]), "ID": np.arange(400)}).write(tmp_path / "spec.parquet")
    match = ["--match-id", "ID"] if "ID" in more else ["--overlap", "nested"]
    command("redshifts", "--spec", tmp_path / "spec.parquet", "--photo", tmp_path / "photo.parquet",
            *BOX.split(), *match, "--method", "redistribution", "--out", tmp_path / out,
            expected=2)  # fmt: skip
    said = capsys.readouterr().err
    assert said.startswith("truez: ")
    assert said.count("\n") == 1
    assert len(said) < 300
    assert sentence in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.parquet", "spec.parquet"]


@pytest.mark.medium
def test_spectrum_refuses_missing_weights(galaxies, tmp_path):
    weights = np.ma.MaskedArray(np.ones(2000, int), np.arange(2000) < 5)
    Catalog({**columns_of(galaxies[0]), "w": weights}).write(tmp_path / "c.parquet")
    run = subprocess.run(
        [sys.executable, "-m", "truez", "spectrum", str(tmp_path / "c.parquet"), "--boxsize",
         "64,64,128", "--cellsize", "8", "--weights", "w"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr == (
        "truez: column 'w' has no value in 5 of 2000 rows: leave those rows out with "
        "--drop-missing\n"
    )
