"""Damaged text tables are read or refused in one sentence."""

from __future__ import annotations

import resource
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogs.fuzzing import mutated, noise, read_or_refused
from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import iter_chunks
from truez.catalogs.formats import _delimited
from truez.catalogs.formats._missing import concatenated
from truez.support.notes import Note

RNG = np.random.default_rng(2)
POSITIONS = RNG.random((6, 3)) * 100
NAMES = ["NGC 1", "M31", "", "a,b", "\u00e9toile", "x;y"]


def rows(separator: str, number: str = "{:.5f}") -> str:
    lines = [
        separator.join([*(number.format(v) for v in position), str(2**40 + i)])
        for i, position in enumerate(POSITIONS)
    ]
    return "\n".join(lines) + "\n"


def ecsv(folder: Path, **options: str) -> bytes:
    table = Table(dict(zip("xyz", POSITIONS.T, strict=True)))
    table["x"].unit = "Mpc"
    table["id"] = MaskedColumn(np.arange(6) + 2**60, mask=np.arange(6) % 3 == 0)
    table["name"] = NAMES
    table["v"] = POSITIONS
    table["flag"] = POSITIONS[:, 0] > 50
    table["sky"] = SkyCoord(POSITIONS[:, 0] * u.deg, POSITIONS[:, 1] * 0.5 * u.deg)
    table["lists"] = np.array([[1], [1, 2], [], [3], [4], [5]], dtype=object)
    table.meta.update({"h": 0.7, "note": "made\nby hand", "cuts": [1, 2, {"z": 0.5}]})
    table.write(folder / "valid.ecsv", overwrite=True, **options)
    return (folder / "valid.ecsv").read_bytes()


ROCKSTAR = "#ID X Y Z\n#a = 0.62\n#Om = 0.268000; h = 0.710000\n#Units: km / s\n"
TABLES = {
    ".csv": [
        "x,y,z,id\n" + rows(","),
        'x,y,z,name\n1.5,2,3,"NGC 1"\n2.5,,4,"a ""b"""\n3.5,2,nan,c\n',
        "x;y;z;id\n" + rows(";").replace(".", ","),
        "x,y,z,id\nMpc/h,Mpc/h,Mpc/h,\n" + rows(","),
        "\ufeffx|y|z|id\r\n" + rows("|"),
    ],
    ".tsv": ["# made by hand\nx\ty\tz\tid\ndeg\tdeg\t\t\n---\t---\t---\t---\n" + rows("\t")],
    ".txt": [
        "# x y z id\n" + rows("  "),
        "# x y z name\n" + "".join(f'1.5 {i} 3 "NGC {i}"\n' for i in range(6)),
        "# x y z id\n" + rows(" ", "{:.8E}").replace("E", "D"),
    ],
    ".list": [ROCKSTAR + rows(" ")],
}


@pytest.fixture(scope="module")
def valid(tmp_path_factory) -> dict[str, list[bytes]]:
    folder = tmp_path_factory.mktemp("valid")
    found = {suffix: [text.encode() for text in texts] for suffix, texts in TABLES.items()}
    found[".csv"].append(TABLES[".csv"][0].encode("utf-16"))
    found[".ecsv"] = [ecsv(folder), ecsv(folder, delimiter=",")]
    return found


def test_the_tables_that_are_damaged_are_read_when_they_are_not(valid, tmp_path):
    for suffix, tables in valid.items():
        for data in tables:
            path = tmp_path / f"c{suffix}"
            path.write_bytes(data)
            assert read_or_refused(path) == "", data


WORDS = (
    b'"', b"#", b",", b";", b"\t", b" ", b"\n", b"\r", b"-", b"1e999", b"nan", b"0x1F", b"1.5D+300",
    b"9" * 30, b"-1", b"true", b"Mpc/h", b"[1, 2", b"*a ", b"!!x ", b": ", b"\xc3\xa9", b"\x00",
)  # fmt: skip
SIGNS = (b"", b"x,y\n", b"# x y\n", b"# %ECSV 1.0\n# ---\n", b"\xff\xfe", b"\xef\xbb\xbf", b"1;2\n")


def damage(valid: dict[str, list[bytes]], path: Path, data: st.DataObject) -> None:
    suffix = data.draw(st.sampled_from([*valid, ".ecsv"]))
    good = st.sampled_from(valid[suffix]).flatmap(lambda table: mutated(table, *WORDS))
    path = path.with_suffix(suffix)
    path.write_bytes(data.draw(st.one_of(good, good, good, noise(*SIGNS))))
    with patch.object(_delimited, "BLOCK_BYTES", data.draw(st.sampled_from([100, 2**20]))):
        if not read_or_refused(path):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Note)  # as in `read_or_refused`
                whole = Catalog.read(path)
                parts = joined(iter_chunks(path, chunk_rows=2))
            for name, values in parts.items():
                np.testing.assert_array_equal(values, whole[name])
    path.unlink()


def joined(chunks: Iterable[Catalog]) -> dict[str, np.ndarray]:
    pieces = list(chunks)
    return {name: concatenated([piece[name] for piece in pieces]) for name in pieces[0].columns}


quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=60, suppress_health_check=quiet)
@given(data=st.data())
def test_damaged_tables_are_read_or_refused(data, valid, tmp_path):
    damage(valid, tmp_path / "c", data)


@pytest.mark.slow
@settings(max_examples=2000, suppress_health_check=quiet)
@given(data=st.data())
def test_many_damaged_tables_are_read_or_refused_soon_and_in_bounded_memory(data, valid, tmp_path):
    start = time.perf_counter()
    damage(valid, tmp_path / "c", data)
    assert time.perf_counter() - start < 3
    unit = 1 if sys.platform == "darwin" else 1024
    # The whole test process, with the libraries that it has imported.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit < 1.5e9
