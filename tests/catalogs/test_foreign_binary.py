"""What other codes write into FITS, HDF5, Parquet and ASDF files is read as they mean it."""

import warnings
from decimal import Decimal
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from truez.catalogs import formats
from truez.catalogs.catalog import Catalog

N = 4


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def values(path, name):
    return Catalog.read(path, [name])[name].tolist()


# --- FITS


def test_fits_bits_are_booleans_and_one_bit_is_one_column():
    bits = np.arange(44).reshape(N, 11) % 3 == 0
    columns = [
        fits.Column("b", "11X", array=bits),
        fits.Column("one", "1X", array=bits[:, :1]),
        fits.Column("flag", "L", array=bits[:, 0]),
    ]
    fits.BinTableHDU.from_columns(columns).writeto("c.fits")
    found = Catalog.read("c.fits")
    for number in range(11):
        assert found[f"b.{number}"].tolist() == bits[:, number].tolist()
    assert found["one"].tolist() == bits[:, 0].tolist()
    assert found["flag"].tolist() == bits[:, 0].tolist()


def test_a_logical_that_is_neither_true_nor_false_is_missing():
    column = fits.Column("flag", "L", array=np.array([True, False, True, False]))
    fits.BinTableHDU.from_columns([column]).writeto("c.fits")
    data = Path("c.fits").read_bytes()
    at = data.rindex(b"TFTF")
    Path("c.fits").write_bytes(data[:at] + b"TF\0?" + data[at + 4 :])
    assert values("c.fits", "flag") == [True, False, None, None]


def test_text_of_ascii_tables_has_no_blanks_behind_it():
    columns = [
        fits.Column("x", "E15.7", array=np.arange(4.0), ascii=True),
        fits.Column("name", "A5", array=["a", " b", "", "d"], ascii=True),
    ]
    fits.TableHDU.from_columns(columns).writeto("c.fits")
    assert values("c.fits", "name") == ["a", " b", "", "d"]
    assert values("c.fits", "x") == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("name", ["X", "x"])
def test_fits_names_that_differ_by_case_are_two_columns_and_the_same_name_is_refused(
    name, tmp_path
):
    columns = [fits.Column(n, "D", array=np.arange(4.0) * k) for n, k in (("x", 1), ("x2", 2))]
    fits.BinTableHDU.from_columns(columns).writeto("c.fits")
    path = tmp_path / "c.fits"
    path.write_bytes(path.read_bytes().replace(b"'x2      '", f"'{name:<8}'".encode()))
    if name == "X":
        assert values("c.fits", "X") == [0.0, 2.0, 4.0, 6.0]
        assert values("c.fits", "x") == [0.0, 1.0, 2.0, 3.0]
    else:
        with pytest.raises(ValueError, match=r"^c.fits has 2 columns 'x': rename them$"):
            Catalog.read("c.fits")


# --- Parquet


def test_decimals_are_numbers_and_whole_ones_are_exact_integers():
    table = {
        "d": pa.array([Decimal("1.50"), None, Decimal("3.25"), Decimal(4)]),
        "id": pa.array([Decimal(10**17 + k) for k in range(N)], pa.decimal128(18, 0)),
    }
    pq.write_table(pa.table(table), "c.parquet")
    assert values("c.parquet", "d") == [1.5, None, 3.25, 4.0]
    assert values("c.parquet", "id") == [10**17 + k for k in range(N)]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
@pytest.mark.parametrize("folder", [False, True])
def test_text_of_every_kind_keeps_its_missing_values(kind, folder, tmp_path):
    texts = ["a", None, "\u00e9toile", "", "a"]
    path = tmp_path / "c.parquet"
    if folder:
        path.mkdir()
        path = path / "p.parquet"
    table = {"t": pa.array(texts, kind), "d": pa.array(texts).dictionary_encode()}
    try:
        pq.write_table(pa.table(table), path, row_group_size=2)
    except pa.ArrowNotImplementedError as error:
        pytest.skip(f"pyarrow {pa.__version__} writes no such file: {error}")
    assert values("c.parquet", "t") == values("c.parquet", "d") == texts


def test_half_floats_are_read_and_other_types_are_named():
    table = {
        "h": pa.array(np.arange(4, dtype="f2")), "when": pa.array([0, 1, 2, 3], pa.timestamp("us")),
        "s": pa.array([{"a": 1.0}] * 4), "n": pa.nulls(4),
        "wide": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(20_000)), 5000),
    }  # fmt: skip
    pq.write_table(pa.table(table), "c.parquet")
    assert values("c.parquet", "h") == [0.0, 1.0, 2.0, 3.0]
    assert set(formats.header(Path("c.parquet")).left_out) == set(table) - {"h"}
    with pytest.raises(ValueError, match=r"'when' of c.parquet is of the type timestamp"):
        values("c.parquet", "when")
    pq.write_table(
        pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]), "d.parquet"
    )
    with pytest.raises(ValueError, match=r"^d.parquet has 2 columns 'x': rename them$"):
        Catalog.read("d.parquet")


# --- HDF5


def test_hdf5_tables_of_records_in_any_byte_order():
    kind = [("x", ">f8"), ("name", h5py.string_dtype()), ("s", "S3"), ("in", [("a", "f4")])]
    rows = np.array([(k, f"n{k}", b"ab", (k,)) for k in range(N)], np.dtype(kind))
    with h5py.File("c.h5", "w") as file:
        file.create_dataset("t", data=rows)
        file["kind"] = np.arange(N) % 2 == 0
        file.create_dataset(
            "type", data=np.arange(N) % 2, dtype=h5py.enum_dtype({"STAR": 0, "GAL": 1}, "i1")
        )
        file["far"] = np.arange(N, dtype="g")
    found = Catalog.read("c.h5")
    assert found["t/x"].dtype == np.dtype("=f8")
    assert found["t/name"].tolist() == ["n0", "n1", "n2", "n3"]
    assert found["t/s"].tolist() == ["ab"] * N
    assert found["type"].tolist() == [0, 1, 0, 1]
    assert found["kind"].dtype == np.bool_
    assert formats.header(Path("c.h5")).left_out == {
        "far": f"holds numbers of {8 * np.dtype('g').itemsize} bits", "t/in": "holds records"
    }  # fmt: skip


def test_pandas_tables_without_names_name_the_remedy():
    rows = np.zeros(N, [("index", "i8"), ("values_block_0", "f8", (3,))])
    with h5py.File("c.h5", "w") as file:
        file["df/table"] = rows
    with pytest.raises(
        ValueError, match=r"pandas keeps the names in .* write it with data_columns"
    ):
        Catalog.read("c.h5", ["x"])
    with h5py.File("f.h5", "w") as file:
        group = file.create_group("df")
        group.attrs["pandas_type"] = np.bytes_("frame")
        group["axis0"], group["axis1"] = np.array([b"x", b"y"]), np.arange(N)
        group["block0_items"], group["block0_values"] = np.array([b"x", b"y"]), np.zeros((N, 2))
    for name in ("x", "df/x"):
        with pytest.raises(
            ValueError, match="is a table of pandas in its fixed format: write it w"
        ):
            Catalog.read("f.h5", [name])


def test_a_filter_that_is_not_installed_is_named(monkeypatch):
    with h5py.File("c.h5", "w") as file:
        file["x"] = np.arange(4.0)
        file.create_dataset("y", data=np.arange(4.0), compression=1)
    monkeypatch.setattr("h5py.h5z.filter_avail", lambda code: False)
    assert values("c.h5", "x") == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match=r"'y' of c.h5 is compressed by a filter that is not inst"):
        values("c.h5", "y")


# --- ASDF


@pytest.mark.parametrize("storage", ["internal", "inline"])
def test_asdf_arrays_of_every_kind(storage):
    asdf = pytest.importorskip("asdf")
    tree = {
        "m": np.ma.MaskedArray(np.arange(N), [0, 1, 0, 0]), "t": np.array(["a", "bb", "", "d"]),
        "v": np.arange(12.0).reshape(N, 3), "flag": np.array([True, False, True, True]),
        "back": np.arange(4.0)[::-1], "part": np.arange(12.0).reshape(N, 3)[:, 1],
    }  # fmt: skip
    if storage == "internal":
        tree |= {"big": np.arange(N, dtype=">i4"), "c": np.zeros(N, complex)}
    asdf.AsdfFile(tree).write_to("c.asdf", all_array_storage=storage)
    found = Catalog.read("c.asdf")
    assert found["m"].tolist() == [0, None, 2, 3]
    assert found["t"].tolist() == ["a", "bb", "", "d"]
    assert found["back"].tolist() == [3.0, 2.0, 1.0, 0.0]
    assert found["part"].tolist() == found["v.1"].tolist() == [1.0, 4.0, 7.0, 10.0]
    assert found["flag"].tolist() == [True, False, True, True]
    if storage == "internal":
        assert found["big"].tolist() == [0, 1, 2, 3]
        assert "c" not in found


def test_ids_of_pandas_with_missing_values_stay_exact():
    from truez.catalogs.given import ids_of

    frame = pd.DataFrame({"id": pd.array([2**61 + 1, None, 3], dtype="Int64")})
    found = ids_of(frame, "id", name="photo")
    assert found.tolist() == [2**61 + 1, None, 3]
