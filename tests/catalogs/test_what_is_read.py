"""What is read from a file is what was meant: links, other arrays, quotation marks, line ends."""

import subprocess
import sys
import time
from decimal import Decimal

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from truez.catalogs import formats
from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import iter_chunks, read_positions
from truez.catalogs.formats import _delimited
from truez.cli.app import main

SIDES = np.array([64.0, 64.0, 128.0])
XYZ = {name: np.arange(4.0) + axis for axis, name in enumerate("xyz")}


# --- HDF5


def test_soft_links_are_columns(tmp_path):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["raw/a"] = np.arange(4.0)
        file["raw/a"].attrs["unit"] = "Mpc/h"
        file["x"] = h5py.SoftLink("/raw/a")
        file["again"] = h5py.SoftLink("/x")
        file["alias"] = h5py.SoftLink("/raw")
        file["nowhere"] = h5py.SoftLink("/raw/b")
        file["other"] = h5py.ExternalLink("secret.h5", "/a")
        file["raw/loop"] = h5py.SoftLink("/")
        file["raw/self"] = h5py.SoftLink("/raw")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["a"] = np.arange(4.0)
    header = formats.header(tmp_path / "c.h5")
    assert set(header.columns) == {"raw/a", "x", "again", "alias/a"}
    assert set(header.units.values()) == {"Mpc/h"}
    np.testing.assert_array_equal(Catalog.read(tmp_path / "c.h5", ["again"])["again"], np.arange(4))


def test_links_that_name_datasets_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("truez.catalogs.formats.hdf5._MOST_DATASETS", 1000)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["g0/x"] = np.arange(4.0)
        for level in range(1, 30):
            for side in "ab":
                file[f"g{level}/{side}"] = h5py.SoftLink(f"/g{level - 1}")
    with pytest.raises(ValueError, match=r"has more than 1000 datasets, by its links$"):
        Catalog.read(tmp_path / "c.h5")


def test_a_table_of_pandas_is_read_in_no_time(tmp_path):
    rows = np.zeros(5000, [("index", "i8"), ("x", "f8"), ("y", "f8"), ("z", "f8")])
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["df/table"] = rows
        for name, kind in (("indices", "u4"), ("sorted", "i8")):
            file.create_dataset(f"df/_i_table/index/{name}", (0, 131072), kind,
                                maxshape=(None, 131072), chunks=(1, 131072))  # fmt: skip
    start = time.perf_counter()
    assert list(Catalog.read(tmp_path / "c.h5").columns) == [
        f"df/table/{name}" for name in rows.dtype.names
    ]
    assert time.perf_counter() - start < 2


@pytest.mark.medium
def test_many_columns_are_no_square(tmp_path):
    columns = {f"c{number}": np.zeros(2, np.float32) for number in range(20_000)}
    Catalog(columns).write(tmp_path / "c.parquet")
    start = time.perf_counter()
    assert len(Catalog.read(tmp_path / "c.parquet").columns) == 20_000
    with pytest.raises(ValueError, match="has no column 'cc'"):
        Catalog.read(tmp_path / "c.parquet", ["cc"])
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize("num", [50, 5000])
def test_transposed_positions_are_one_short_sentence(num, tmp_path):
    path = tmp_path / "c.h5"
    with h5py.File(path, "w") as file:
        file["pos"] = np.zeros((3, num))
    with pytest.raises(
        ValueError, match=r"'pos' of .*: is it transposed\? store it as \(n, 3\)"
    ) as c:
        read_positions(path, ["pos"], length_unit="Mpc/h")
    assert len(str(c.value).replace(str(tmp_path), "")) < 150
    with pytest.raises(ValueError, match=r"^positions need three components, but 'v' of the catal"):
        Catalog({"v.0": [1.0], "v.1": [1.0]}).positions(["v"], length_unit="Mpc/h")


# --- arrays that are no columns


def test_what_is_no_column_is_named(tmp_path):
    columns = [
        fits.Column("x", "D", array=np.arange(3.0)),
        fits.Column("PDF", "PE()", array=np.array([np.zeros(k, "f4") for k in range(3)], object)),
        fits.Column("SHEAR", "M", array=np.ones(3, complex)),
        fits.Column("COV", "4E", dim="(2,2)", array=np.ones((3, 2, 2), "f4")),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "c.fits")
    decimals = pa.array([Decimal(k) for k in range(3)], pa.decimal128(20, 2))
    table = {"x": [1.0, 2.0, 3.0], "d": decimals, "l": [[1], [2, 3], []]}
    pq.write_table(pa.table(table), tmp_path / "c.parquet")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["x"], file["cube"], file["c"] = np.zeros(3), np.zeros((3, 2, 2)), np.zeros(3, complex)
    left = {suffix: set(formats.header(tmp_path / f"c{suffix}").left_out)
            for suffix in (".fits", ".parquet", ".h5")}  # fmt: skip
    assert left == {".fits": {"PDF", "SHEAR", "COV"}, ".parquet": {"l"}, ".h5": {"cube", "c"}}
    with pytest.raises(ValueError, match=r"'l' of .* is of the type list<.*>, which truez cannot"):
        Catalog.read(tmp_path / "c.parquet", ["l"])
    with pytest.raises(
        ValueError, match=r"column 'SHEAR' of .* holds complex numbers, which truez"
    ):
        Catalog.read(tmp_path / "c.fits", ["SHEAR"])


@pytest.fixture(scope="module")
def galaxies():
    rng = np.random.default_rng(1)
    true = rng.random((2000, 3)) * SIDES
    photo = true.copy()
    photo[:, 2] = (photo[:, 2] + rng.normal(0, 17.7, 2000)) % SIDES[2]
    return true[::5], photo


def columns_of(positions):
    return {name: positions[:, axis].copy() for axis, name in enumerate("xyz")}


def redshifts(folder, photo, out, *more, expected=0):
    words = ["redshifts", "--spec", folder / "spec.parquet", "--photo", folder / photo,
             "--redshift", 0.59, "--sigma-z", 0.005, "--cosmology", "wmap", "--overlap", "nested",
             "--boxsize", "64,64,128", "--cellsize", 8, "--method", "redistribution", "--out",
             folder / out, *more]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == expected


def test_redshifts_says_which_arrays_it_leaves_out(galaxies, tmp_path, capsys):
    spec, photo = galaxies
    Catalog(columns_of(spec)).write(tmp_path / "spec.parquet")
    with h5py.File(tmp_path / "photo.h5", "w") as file:
        file["Group/GroupPos"] = np.zeros((7, 3))
        file["cov"] = np.zeros((2000, 2, 2))
        for name, values in columns_of(photo).items():
            file[f"Subhalo/{name}"] = values
    names = "Subhalo/x,Subhalo/y,Subhalo/z"
    redshifts(tmp_path, "photo.h5", "z.parquet", "--positions", names, "--spec-positions", "x,y,z")
    said = capsys.readouterr().err
    assert said == (
        f"truez: note: {tmp_path}/z.parquet is without columns of {tmp_path}/photo.h5: "
        "Group/GroupPos.0 has 7 rows; Group/GroupPos.1 has 7 rows; Group/GroupPos.2 has 7 rows; "
        "and 1 more\n"
    )
    found = Catalog.read(tmp_path / "z.parquet")
    assert len(found) == 2000
    assert set(names.split(",")) < set(found.columns)
    with pytest.raises(SystemExit):
        main(["info", str(tmp_path / "photo.h5")])
    listed = capsys.readouterr().out
    assert "a catalogue of 2000 rows" in listed
    assert "Group/GroupPos.0 of 7 rows" in listed
    assert "cov is an array of shape (2000, 2, 2)" in listed


@pytest.mark.medium
def test_fits_holds_999_columns(galaxies, tmp_path, capsys):
    spec, photo = galaxies
    Catalog(columns_of(spec)).write(tmp_path / "spec.parquet")
    more = {f"c{number}": np.zeros(2000, np.float32) for number in range(1000)}
    Catalog({**columns_of(photo), **more}).write(tmp_path / "photo.parquet")
    redshifts(tmp_path, "photo.parquet", "z.fits", expected=2)
    assert capsys.readouterr().err == (
        "truez: FITS holds 999 columns, not 1009: write .parquet or .h5\n"
    )
    assert not (tmp_path / "z.fits").exists()


# --- text


@pytest.mark.parametrize(
    ("row", "number"),
    [(0, 2), (7, 9), (9, 11)],
)
@pytest.mark.parametrize("word", ['"blend', '"', '5"', '"a" "'])
def test_a_quotation_mark_that_is_not_closed_is_refused(row, number, word, tmp_path, monkeypatch):
    monkeypatch.setattr(_delimited, "BLOCK_BYTES", 40)
    for suffix, comma in ((".csv", ","), (".txt", " ")):
        path = tmp_path / f"c{suffix}"
        lines = [comma.join(["x", "note"]) if comma == "," else "# x note"]
        lines += [f"{k}{comma}{word if k == row else 'ok'}" for k in range(10)]
        path.write_text("\n".join(lines) + "\n")
        with pytest.raises(ValueError, match=rf"does not close a quotation mark in line {number},"):
            Catalog.read(path)


def test_quotation_marks_that_are_closed_are_read(tmp_path):
    (tmp_path / "c.csv").write_text('x,note\n1,"a, b"\n2,"5"" wide"\n3,ok\n')
    assert Catalog.read(tmp_path / "c.csv")["note"].tolist() == ["a, b", '5" wide', "ok"]


@pytest.mark.parametrize("suffix", [".csv", ".txt"])
@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_lines_may_end_as_on_any_machine(suffix, end, tmp_path, monkeypatch):
    monkeypatch.setattr(_delimited, "BLOCK_BYTES", 50)
    separator = "," if suffix == ".csv" else "  "
    rows = [separator.join(["x", "y"]), *(f"{k}{separator}{k + 0.5}" for k in range(30))]
    if suffix == ".txt":
        rows[0] = f"# {rows[0]}"
    path = tmp_path / f"c{suffix}"
    path.write_bytes(end.join([*rows, ""]).encode())
    found = Catalog.read(path)
    np.testing.assert_array_equal(found["x"], np.arange(30))
    np.testing.assert_array_equal(found["y"], np.arange(30) + 0.5)
    assert sum(map(len, iter_chunks(path, chunk_rows=7))) == 30


@pytest.mark.medium
def test_info_of_a_file_with_carriage_returns(tmp_path):
    (tmp_path / "c.csv").write_bytes(b"x,y,z\r1,2,3\r4,5,6\r")
    run = subprocess.run(
        [sys.executable, "-m", "truez", "info", str(tmp_path / "c.csv")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    assert "a catalogue of 2 rows" in run.stdout


# --- several tables, several files


def two_tables(path):
    tables = [
        fits.BinTableHDU.from_columns([fits.Column("x", "D", array=np.full(3, start))], name=name)
        for start, name in ((1.0, "NGC"), (2.0, "SGC"))
    ]
    fits.HDUList([fits.PrimaryHDU(), tables[0], fits.ImageHDU(np.zeros(3)), tables[1]]).writeto(
        path
    )


@pytest.mark.parametrize("name", ["c.fits", "c.fits.gz", "a#b.fits"])
def test_one_of_several_tables_of_fits_is_chosen(name, tmp_path):
    path = tmp_path / name
    two_tables(path)
    with pytest.raises(ValueError) as caught:
        Catalog.read(path)
    assert str(caught.value) == (
        f"{path} holds the tables 1 (NGC), 3 (SGC): choose one by number or name, such as "
        f"{path}#NGC"
    )
    for choice, value in (("NGC", 1.0), ("sgc", 2.0), ("1", 1.0), ("3", 2.0)):
        assert Catalog.read(f"{path}#{choice}")["x"].tolist() == [value] * 3
    with pytest.raises(ValueError, match=r"1 \(NGC\), 3 \(SGC\): none of them is '2'$"):
        Catalog.read(f"{path}#2")
    with pytest.raises(FileNotFoundError, match=r"^there is no catalogue file .*/none.fits$"):
        Catalog.read(f"{tmp_path}/none.fits#SGC")
    Catalog({"x": [1.0]}).write(tmp_path / "c.parquet")
    with pytest.raises(ValueError, match=r"and only FITS and HDF5 files have several$"):
        Catalog.read(f"{tmp_path}/c.parquet#x")


def test_commands_take_one_table_of_fits(tmp_path, capsys):
    two_tables(tmp_path / "c.fits")
    for words, code in ((f"{tmp_path}/c.fits#SGC", 0), (f"{tmp_path}/c.fits", 2),
                        (f"{tmp_path}/d.fits#SGC", 2)):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main(["info", words])
        assert ended.value.code == code
    said = capsys.readouterr()
    assert "a catalogue of 3 rows" in said.out
    assert said.err.splitlines() == [
        (
            f"truez: {tmp_path}/c.fits holds the tables 1 (NGC), 3 (SGC): choose one by number or "
            f"name, such as {tmp_path}/c.fits#NGC"
        ),
        f"truez: there is no file or folder {tmp_path}/d.fits",
    ]


def test_a_folder_of_parquet_files_is_a_catalogue(galaxies, tmp_path):
    spec, photo = galaxies
    Catalog(columns_of(spec)).write(tmp_path / "spec.parquet")
    number = np.arange(2000)
    table = pa.table({
        **columns_of(photo),
        "field": np.where(number % 2, "N", "S"),
        "n": pa.array([None if k % 5 == 0 else k for k in range(2000)]),
    })  # fmt: skip
    path = tmp_path / "photo.parquet"
    pq.write_to_dataset(table, path, partition_cols=["field"])
    (path / "_SUCCESS").write_bytes(b"")
    (path / ".hidden.parquet").write_bytes(b"junk")
    found = Catalog.read(path)
    assert len(found) == 2000
    assert set(found.columns) == {"x", "y", "z", "n", "field"}
    assert sorted(set(found["field"])) == ["N", "S"]
    assert np.ma.count_masked(found["n"]) == 400
    chunks = list(iter_chunks(path, chunk_rows=300))
    assert [len(chunk) for chunk in chunks] == [300] * 6 + [200]
    np.testing.assert_array_equal(np.concatenate([c["x"] for c in chunks]), found["x"])
    redshifts(tmp_path, "photo.parquet", "z.fits")
    out = Catalog.read(tmp_path / "z.fits")
    np.testing.assert_array_equal(out["x"], found["x"])
    np.testing.assert_array_equal(np.ma.getmaskarray(out["n"]), np.ma.getmaskarray(found["n"]))
    with pytest.raises(SystemExit) as ended:
        main(["info", str(path)])
    assert not ended.value.code
    (path / "field=N" / "z.parquet").write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"field=N/z.parquet is not a Parquet file$"):
        Catalog.read(path)
    (tmp_path / "empty.parquet").mkdir()
    with pytest.raises(ValueError, match=r"empty.parquet is a folder without Parquet files$"):
        Catalog.read(tmp_path / "empty.parquet")
    (tmp_path / "c.fits").mkdir()
    with pytest.raises(ValueError, match=r"is a folder: only Parquet has catalogues in several"):
        Catalog.read(tmp_path / "c.fits")
