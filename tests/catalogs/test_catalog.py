"""Catalogues: positions in Mpc/h with the line of sight last, chunks, and bad input."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import iter_chunks, iter_positions, read_positions
from truez.catalogs.units import axis_order, canonical, length_factor, los_last
from truez.support.notes import Note

XYZ = {"x": [1.0, 2.0], "y": [3.0, 4.0], "z": [5.0, 6.0]}
MPC_H = dict.fromkeys("xyz", "Mpc/h")


@pytest.fixture
def path(tmp_path):
    """250 galaxies with velocities and weights, in kpc/h by their file."""
    rng = np.random.default_rng(2)
    columns = {name: rng.uniform(0, 1e5, 250).astype(np.float32) for name in "xyz"}
    columns |= {name: rng.normal(0, 300, 250) for name in ("vx", "vy", "vz")}
    columns["w"] = rng.random(250)
    units = dict.fromkeys("xyz", "kpc/h") | dict.fromkeys(["vx", "vy", "vz"], "km/s")
    Catalog(columns, units).write(tmp_path / "c.h5")
    return tmp_path / "c.h5"


# Positions and velocities


@pytest.mark.parametrize(
    ("unit", "hubble", "factor"),
    [
        ("Mpc/h", None, 1.0),
        ("kpc/h", None, 1e-3),
        ("ckpc/h", None, 1e-3),
        ("Mpc", 0.7, 0.7),
        ("kpc", 0.7, 0.7e-3),
        ("Mpc / littleh", None, 1.0),
        ("Gpc/h", None, 1e3),
        ("h^-1 Mpc", 0.7, 1.0),
    ],
)
def test_lengths_come_in_mpc_over_h(unit, hubble, factor):
    assert length_factor(unit, hubble) == pytest.approx(factor, rel=1e-15)
    positions = Catalog(XYZ).positions(length_unit=unit, hubble=hubble)
    np.testing.assert_allclose(positions, factor * np.array([[1, 3, 5], [2, 4, 6]]), rtol=1e-15)
    stated = Catalog(XYZ, dict.fromkeys("xyz", unit))
    np.testing.assert_array_equal(stated.positions(hubble=hubble), positions)


def test_a_spelling_is_never_another_unit():
    assert canonical("km / s") == "km/s"
    assert canonical("km s-1") == "km/s"
    assert canonical("ckpc / h") == "kpc/h"
    assert [canonical(u) for u in ("pc", "m", "deg", "kmh", "")] == [None] * 5
    for unit in (
        "Mpc h",
        "h Mpc^-1",
        "h/Mpc",
        "1/h Mpc/h",
        "Mpc^-1",
        "Mpc^3/h^3",
        "km/s/Mpc",
        "pMpc",
    ):
        assert canonical(unit) is None


@pytest.mark.parametrize(
    ("unit", "spellings"),
    [
        (
            "Mpc/h",
            (
                "h^{-1} Mpc|Mpc h^{-1}|Mpc littleh^-1|Mpc / littleh|Mpccm/h|comoving Mpc/h|cMpc/h"
                "|Mpc/h (comoving)|[Mpc/h]|h-1 Mpc|Mpc.h**-1|$h^{-1}$ Mpc|h^{-1}\\,\\mathrm{Mpc}"
                "|h\u207b\u00b9 Mpc|Mpc\u00b7h^\u22121|co-moving Mpc/h|(Mpc/h)|MPC/H|h^-1~Mpc"
            ),
        ),
        ("kpc/h", "kpccm/h|ckpc/h|comoving kpc h^-1|h^{-1}kpc|[kpc/h]"),
        ("Gpc/h", "Gpc/h|h^-1 Gpc|cGpc/h|Gpc littleh-1"),
        ("Mpc", "cMpc|Mpccm|[Mpc]|comoving Mpc"),
        ("km/s", "km s^{-1}|km/sec|kms|km s-1|km.s**-1|[km/s]|km/second|km sec^-1"),
    ],
)
def test_the_usual_spellings_of_a_unit(unit, spellings):
    assert {text: canonical(text) for text in spellings.split("|")} == dict.fromkeys(
        spellings.split("|"), unit
    )


@pytest.mark.parametrize(
    ("los", "order"), [(0, "yzx"), ("x", "yzx"), (1, "zxy"), ("y", "zxy"), (2, "xyz"), ("z", "xyz")]
)
def test_the_line_of_sight_turns_to_the_last_axis(los, order):
    catalog = Catalog({**XYZ, **{f"v{k}": v for k, v in XYZ.items()}}, MPC_H)
    expected = np.stack([XYZ[name] for name in order], axis=1)
    np.testing.assert_array_equal(catalog.positions(los=los), expected)
    np.testing.assert_array_equal(catalog.velocities(los=los), expected)
    assert los_last("xyz", los) == tuple(order)


@given(st.sampled_from([0, 1, 2]))
def test_the_turn_keeps_handedness(los):
    assert np.linalg.det(np.eye(3)[list(axis_order(los))]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("dtypes", "result"),
    [(("f4", "f4", "f4"), "f4"), (("f4", "f8", "f4"), "f8"), (("i4", "i4", "i4"), "f8")],
)
def test_single_precision_stays_single(dtypes, result):
    columns = {n: np.array([1, 2], dtype=t) for n, t in zip("xyz", dtypes, strict=True)}
    assert Catalog(columns).positions(length_unit="Mpc", hubble=0.7).dtype == np.dtype(result)


def test_a_vector_column_gives_positions(tmp_path):
    columns = {f"pos.{i}": np.full(2, float(i)) for i in range(3)}
    catalog = Catalog(columns)
    np.testing.assert_array_equal(catalog.positions(["pos"], length_unit="Mpc/h")[0], [0, 1, 2])
    catalog.write(tmp_path / "v.parquet")
    positions = read_positions(tmp_path / "v.parquet", "pos", length_unit="Mpc/h", los=0)
    np.testing.assert_array_equal(positions[0], [1, 2, 0])


def test_positions_are_new_arrays():
    source = np.array([1.0, 2.0])
    catalog = Catalog({"x": source, "y": source, "z": source}, MPC_H)
    positions = catalog.positions()
    positions[:] = 0
    assert source.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("rows", [1, 100, 1000])
def test_chunked_positions_are_the_whole(path, rows):
    chunks = list(iter_positions(path, weights="w", los=1, chunk_rows=rows))
    catalog = Catalog.read(path)
    np.testing.assert_array_equal(np.concatenate([p for p, _ in chunks]), catalog.positions(los=1))
    np.testing.assert_array_equal(np.concatenate([w for _, w in chunks]), catalog["w"])
    np.testing.assert_array_equal(read_positions(path, los=1), catalog.positions(los=1))
    assert [len(p) for p, _ in chunks[:-1]] == [rows] * (len(chunks) - 1)


def test_without_weights_there_are_none(path):
    assert [w for _, w in iter_positions(path)] == [None]


# The value


def test_columns_are_read_only_and_not_copied():
    source = np.array([1.0, 2.0])
    catalog = Catalog({"x": source})
    with pytest.raises(ValueError, match="read-only"):
        catalog["x"][0] = 3.0
    with pytest.raises(TypeError):
        catalog.columns["y"] = source
    assert np.shares_memory(catalog["x"], source)
    source[0] = 5.0  # the caller's own array stays the caller's


def test_select_and_with_columns():
    catalog = Catalog(XYZ, MPC_H, {"a": 1})
    assert catalog.select(np.array([False, True]))["x"].tolist() == [2.0]
    assert catalog.select(np.array([1, 0, 1]))["x"].tolist() == [2.0, 1.0, 2.0]
    more = catalog.with_columns({"id": [7, 8], "x": [0.0, 0.0]}, {"id": "one"})
    assert (len(more), list(more.columns)) == (2, ["x", "y", "z", "id"])
    assert dict(more.units) == {"y": "Mpc/h", "z": "Mpc/h", "id": "one"}
    assert dict(more.metadata) == {"a": 1}
    assert "id" in more
    assert "id" not in catalog


def test_big_endian_becomes_native():
    catalog = Catalog({"x": np.array([1.0, 2.0], dtype=">f4")})
    assert catalog["x"].dtype == np.dtype("=f4")
    assert catalog["x"].tolist() == [1.0, 2.0]


# Bad input: the exact sentence


def _positions_of(values, **options):
    columns = {"x": np.asarray(values), "y": np.zeros(len(values)), "z": np.zeros(len(values))}
    return Catalog(columns).positions(**{"length_unit": "Mpc/h", **options})


LENGTHS = "must be one of Mpc/h, kpc/h, Gpc/h, Mpc, kpc, Gpc"
BAD = {
    "no columns": (lambda: Catalog({}), "columns must name at least one column, not none"),
    "unequal": (
        lambda: Catalog({"x": [1, 2], "y": [1]}),
        "columns must be equally long, but 'x' has 2 rows and 'y' has 1",
    ),
    "two axes": (
        lambda: Catalog({"x": np.zeros((2, 3))}),
        "column 'x' must be one axis of numbers, booleans or text, not float64 of shape (2, 3)",
    ),
    "complex": (
        lambda: Catalog({"x": np.zeros(2, dtype=complex)}),
        "column 'x' must be one axis of numbers, booleans or text, not complex128 of shape (2,)",
    ),
    "unit of nothing": (
        lambda: Catalog({"x": [1]}, {"y": "Mpc"}),
        "units name a column 'y' that is not in columns",
    ),
    "missing": (
        lambda: Catalog(XYZ)["mass"],
        "the catalogue has no column 'mass', only x, y, z",
    ),
    "missing, close": (
        lambda: Catalog({"Mag_r": [1], "id": [2]})["mag_R"],
        "the catalogue has no column 'mag_R' (did you mean 'Mag_r'?), only Mag_r, id",
    ),
    "missing of many": (
        lambda: Catalog({f"c{i}": [1] for i in range(30)})["q"],
        "the catalogue has no column 'q', only "
        + ", ".join(f"c{i}" for i in range(20))
        + " and 10 more",
    ),
    "two columns": (
        lambda: Catalog(XYZ).positions(("x", "y"), length_unit="Mpc/h"),
        "positions need three different columns, not x, y",
    ),
    "twice": (
        lambda: Catalog(XYZ).positions(("x", "y", "x"), length_unit="Mpc/h"),
        "positions need three different columns, not x, y",
    ),
    "nan": (
        lambda: _positions_of([1.0, 2.0, np.nan, np.inf]),
        (
            "positions must be finite, but 2 of 4 rows hold NaN or infinity, the first of "
            "them row 2 (counted from 0): leave those rows out"
        ),
    ),
    "opposite infinities": (
        lambda: _positions_of([np.inf, -np.inf]),
        (
            "positions must be finite, but 2 of 2 rows hold NaN or infinity, the first of "
            "them row 0 (counted from 0): leave those rows out"
        ),
    ),
    "velocity nan": (
        lambda: Catalog({"vx": [np.nan], "vy": [0.0], "vz": [0.0]}).velocities(),
        (
            "velocities must be finite, but 1 of 1 rows hold NaN or infinity, the first of "
            "them row 0 (counted from 0): leave those rows out"
        ),
    ),
    "text": (
        lambda: _positions_of(["a", "b"]),
        "column 'x' must hold numbers, not text, such as 'a' in row 0 (counted from 0)",
    ),
    "booleans": (lambda: _positions_of([True]), "column 'x' must hold numbers, not booleans"),
    "unknown unit": (
        lambda: _positions_of([1.0], length_unit="furlong"),
        f"length_unit {LENGTHS}, not 'furlong'",
    ),
    "velocity as length": (
        lambda: _positions_of([1.0], length_unit="km/s"),
        f"length_unit {LENGTHS}, not 'km/s'",
    ),
    "no unit": (
        lambda: _positions_of([1.0], length_unit=None),
        "length_unit must be given, as the catalogue states no unit of x, y, z",
    ),
    "stated unit unknown": (
        lambda: Catalog(XYZ, {"y": "deg"}).positions(),
        (
            "the unit 'deg' of the position column 'y' is no length that truez knows: give "
            f"length_unit, one of {LENGTHS.removeprefix('must be one of ')}"
        ),
    ),
    "two stated units": (
        lambda: Catalog(XYZ, {"x": "Mpc", "y": "kpc"}).positions(hubble=0.7),
        "column 'y' is in kpc by its file, but the unit of 'x' is Mpc: give length_unit",
    ),
    "no hubble": (
        lambda: _positions_of([1.0], length_unit="Mpc"),
        "lengths in Mpc need hubble, the h that converts them to Mpc/h",
    ),
    "hubble in km/s/Mpc": (
        lambda: _positions_of([1.0], length_unit="Mpc", hubble=67.7),
        "hubble must be h = H0 / (100 km/s/Mpc), about 0.7, not 67.7",
    ),
    "velocity unit": (
        lambda: Catalog(XYZ, {"z": "m/s"}).velocities(("x", "y", "z")),
        "velocities must be in km/s, but column 'z' is in 'm/s': convert them",
    ),
    "los": (
        lambda: _positions_of([1.0], los=3),
        "los must be an axis, 0, 1, 2 or x, y, z, not 3",
    ),
    "mask": (
        lambda: Catalog(XYZ).select(np.array([True])),
        "a mask of shape (1,) does not fit 2 rows",
    ),
    "nothing to write": (
        lambda: Catalog({"x": np.zeros(0)}).write("nowhere/c.h5"),
        "a catalogue without rows cannot be written to nowhere/c.h5",
    ),
    "chunk rows": (
        lambda: iter_chunks("c.h5", chunk_rows=0),
        "chunk_rows must be at least 1, not 0",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_sentence(name):
    action, sentence = BAD[name]
    with pytest.raises(ValueError) as error:
        action()
    assert str(error.value) == sentence


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"^there is no catalogue file {tmp_path}/a.h5$"):
        Catalog.read(tmp_path / "a.h5")


def test_what_a_header_tells_is_raised_at_once(path):
    # No chunk is asked for: the generators must not wait for it.
    with pytest.raises(ValueError, match=rf"^{path} has no column 'q', only vx, vy, vz, w, x, y"):
        iter_chunks(path, ["q"])
    with (
        pytest.warns(Note, match="in 'kpc/h' by its file"),
        pytest.raises(ValueError, match=r"^lengths in Mpc need hubble"),
    ):
        iter_positions(path, length_unit="Mpc")
    with pytest.raises(ValueError, match=r"^los must be"):
        iter_positions(path, los=5)


@pytest.mark.parametrize("column", ["x", "w"])
@pytest.mark.parametrize("rows", [3, 1000])
def test_values_that_are_not_finite_are_counted_over_all_chunks(column, rows, tmp_path):
    columns = {name: np.zeros(20) for name in "xyzw"}
    columns[column][[7, 8, 19]] = np.nan, np.inf, -np.inf
    path = tmp_path / "n.parquet"
    Catalog(columns, MPC_H).write(path)
    what = {"x": "positions", "w": "weights"}[column]
    sentence = (
        f"{what} of {path} must be finite, but 3 of 20 rows hold NaN or infinity, the first of "
        "them row 7 (counted from 0): leave those rows out"
    )
    seen = []
    with pytest.raises(ValueError) as error:
        seen += iter_positions(path, weights="w", chunk_rows=rows)
    assert str(error.value) == sentence


def test_weights_of_a_vector_column_are_refused(tmp_path):
    path = tmp_path / "v.h5"
    Catalog({**XYZ, "w.0": [1.0, 1.0], "w.1": [1.0, 1.0]}, MPC_H).write(path)
    sentence = f"^weights must be one column, and 'w' of {path} is a vector$"
    with pytest.raises(ValueError, match=sentence):
        iter_positions(path, weights="w")


# Memory

_MEASURE = """
import resource, sys
from truez.catalogs.chunks import iter_positions
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = sum(len(p) for p, _ in iter_positions(sys.argv[1], length_unit="Mpc/h", chunk_rows=2**17))
print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
@pytest.mark.parametrize("suffix", [".h5", ".parquet", ".csv", ".txt"])
def test_chunks_need_little_memory(suffix, tmp_path):
    # 2e7 positions are 457 MiB in float64; twice that as text.
    n = 20_000_000
    rng = np.random.default_rng(1)
    path = tmp_path / f"big{suffix}"
    Catalog({name: np.round(rng.random(n) * 1000, 3) for name in "xyz"}).write(path)
    command = [sys.executable, "-c", _MEASURE, str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    rows, mebibytes = output.stdout.split()
    assert int(rows) == n
    assert float(mebibytes) < 400


# Real catalogues


@pytest.mark.realdata
def test_tng300(data_folder):
    path = data_folder / "tng300_galaxies.h5"
    catalog = Catalog.read(path)
    assert sorted(catalog.columns) == ["environment", "mr", "x", "y", "z"]
    assert len(catalog) == 161_035
    positions = catalog.positions(length_unit="Mpc", hubble=0.6774)
    assert positions.dtype == np.float32
    assert positions.min() >= 5 * 0.6774 - 1e-4
    assert positions.max() <= 295 * 0.6774 + 1e-4
    with h5py.File(path) as file:
        for name, values in catalog.columns.items():
            np.testing.assert_array_equal(values, file[name][:])


@pytest.mark.realdata
def test_illustris_without_header(data_folder):
    path = data_folder / "illustris1_subhalos.csv"
    catalog = Catalog.read(path)
    assert (len(catalog), list(catalog.columns)) == (16_163, [str(i) for i in range(10)])
    positions = catalog.positions(("0", "1", "2"), length_unit="ckpc/h")
    assert 0 <= positions.min() < positions.max() <= 75
    np.testing.assert_array_equal(
        read_positions(path, ("0", "1", "2"), length_unit="kpc/h", los="x"), positions[:, [1, 2, 0]]
    )
    assert 100 < catalog.velocities(("3", "4", "5")).std() < 1000


@pytest.mark.realdata
def test_halo_slab(data_folder):
    path = data_folder / "halo_slab.txt"
    positions = read_positions(path, ("0", "1", "2"), length_unit="Mpc/h")
    assert positions.shape == (16_268, 3)
    assert 80 <= positions[:, 2].min() < positions[:, 2].max() <= 90
    np.testing.assert_array_equal(positions, np.loadtxt(path, usecols=(0, 1, 2)))


@pytest.mark.realdata
def test_gama(data_folder):
    catalog = Catalog.read(data_folder / "gama_g09.csv", ["Z", "CATAID"])
    assert (len(catalog), list(catalog.columns)) == (58_839, ["Z", "CATAID"])
    assert catalog["CATAID"].dtype == np.int64
    assert 0.003 < catalog["Z"].min() < catalog["Z"].max() < 0.6
