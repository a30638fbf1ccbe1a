"""ECSV: headers that lie, grow or are damaged, and columns that truez has no use for."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time

from truez.catalogs.catalog import Catalog
from truez.catalogs.formats import header

XYZ = {name: np.arange(4) + 0.5 + i for i, name in enumerate("xyz")}


def file_of(tmp_path, *, head="meta: {}", columns=None, rows="1.5,2\n3.5,4\n", names=None):
    columns = columns or ["{name: x, datatype: float64}", "{name: n, datatype: int64}"]
    lines = ["%ECSV 1.0", "---", "delimiter: ','", "datatype:", *(f"- {c}" for c in columns), head]
    path = tmp_path / "c.ecsv"
    text = "".join(f"# {line}\n" for line in "\n".join(lines).split("\n"))
    path.write_text(text + (names or "x,n") + "\n" + rows)
    return path


def refused(path):
    with pytest.raises(ValueError) as caught:
        Catalog.read(path)
    message = str(caught.value).replace(str(path), path.name)
    assert len(message) < 300
    assert "\n" not in message
    return message


def test_the_file_that_the_tests_change_is_read(tmp_path):
    found = Catalog.read(file_of(tmp_path))
    assert (found["x"].tolist(), found["n"].tolist()) == ([1.5, 3.5], [2, 4])


# --- YAML


def laughs(levels):
    lines = ["meta:", "  a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (laughs(9), "its header is nested or repeated too often"),
        ("meta: " + "[" * 60 + "]" * 60, "its header is nested or repeated too often"),
        ("meta: " + "[" * 100_000, "its header is "),  # damaged, or nested: PyYAML's own limit
        ("meta: &a {b: *a}", "its header is damaged: 'a' contains itself"),
        (
            "meta: !!python/object/apply:os.system [ls]",
            "an object of another program",
        ),
        ("meta: !!python/name:os.system", "an object of another program"),
        ("meta: {when: 2020-13-45}", "it holds a value that cannot be read"),
        ("meta: !!int 'x'", "it holds a value that cannot be read"),
        ("meta: !!binary '\u00e9'", "its header is damaged"),
        ("meta: {[1, 2]: {}, {}: 1}", "its header is damaged"),
    ],
)
def test_headers_that_grow_or_are_damaged_are_refused_at_once(head, sentence, tmp_path):
    path = file_of(tmp_path, head=head)
    start = time.perf_counter()
    tracemalloc.start()
    message = refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message.startswith("c.ecsv cannot be read as ECSV: its header")
    assert sentence in message
    assert peak < 3e7
    assert time.perf_counter() - start < 5


def test_a_header_of_many_megabytes_is_refused(tmp_path):
    path = file_of(tmp_path, head="meta: {a: '" + "\n".join(["ha" * 500] * 5000) + "'}")
    assert refused(path) == "c.ecsv has a header of more than 4 MiB"


def test_anchors_and_objects_of_astropy_are_read(tmp_path):
    shared = {"h": 0.7}
    table = Table(XYZ, meta={"one": shared, "two": shared})
    table["t"] = Time(np.arange(4.0), format="mjd")
    table["q"] = np.arange(4.0) * u.km / u.s
    table.write(tmp_path / "c.ecsv")
    found = Catalog.read(tmp_path / "c.ecsv", ["x", "q"])
    assert found.metadata["two"] == {"h": 0.7}
    assert found.units["q"] == "km / s"


# --- what the header says of the rows


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"names": "n,x"},
            ("c.ecsv is damaged: its header describes the columns 'x, n', and the line below it "
            "names 'n, x'"),
        ),
        (
            {"rows": "1.5,2\n3.5,4.5\n"},
            ("c.ecsv has a value that does not fit: '4.5' in row 1 (counted from 0) of column 'n', "
            "declared as int64: correct the value, or leave that row out"),
        ),
        (
            {"rows": "1.5,2,3\n"},
            ("c.ecsv has a row of 3 columns where the first has 2: '1.5,2,3' in line 9; quote "
            "words that hold blanks or separators, or correct that line"),
        ),
        ({"rows": ""}, "c.ecsv holds no rows"),
        (
            {"columns": ["{name: x, datatype: float64}", "{datatype: int64}"]},
            "c.ecsv has a header without the name of column 1",
        ),
        (
            {"columns": ["{name: x, datatype: float64}", "{name: x, datatype: int64}"]},
            "c.ecsv has two columns 'x' in its header: rename one of them",
        ),
        (
            {"columns": ["{name: x, datatype: int8}", "{name: n, datatype: int8}"],
             "rows": "1,300\n"},
            ("c.ecsv has a value that does not fit: '300' in row 0 (counted from 0) of column 'n', "
            "declared as int8: correct the value, or leave that row out"),
        ),
    ],
)  # fmt: skip
def test_a_header_that_the_rows_contradict(options, sentence, tmp_path):
    assert refused(file_of(tmp_path, **options)) == sentence


def test_headers_without_what_they_must_have(tmp_path):
    path = tmp_path / "c.ecsv"
    path.write_text("# %ECSV 1.0\n# ---\n# meta: {}\nx\n1\n")
    assert refused(path) == "c.ecsv has a header without the list of its columns, datatype"
    path.write_text("# %ECSV 1.0\n# ---\n# datatype:\n# - {name: x, datatype: int64}\n")
    assert refused(path) == "c.ecsv ends within its header: the file seems cut off"
    path.write_text(
        "# %ECSV 1.0\n# ---\n# delimiter: ;\n# datatype:\n# - {name: x, datatype: int64}\nx\n1\n"
    )
    assert refused(path) == "c.ecsv has the delimiter ';': ECSV has a blank or a comma"


@pytest.mark.parametrize(
    "word", ["[1.5]", "[1.5,2.5,3.5]", "[1.5,[2]]", "1.5", "[1.5,x]", '["a",1]']
)
def test_a_vector_that_is_none_is_named_with_its_row(word, tmp_path):
    columns = ["{name: v, datatype: string, subtype: 'float64[2]'}"]
    text = word.replace('"', '""')
    path = file_of(tmp_path, columns=columns, names="v", rows=f'"[0.5,1.5]"\n"{text}"\n')
    assert refused(path) == (
        f"c.ecsv has a value that does not fit: {word!r} in row 1 (counted from 0) of column 'v', "
        "declared as float64[2]"
    )


def test_vectors_have_the_type_that_their_header_declares(tmp_path):
    types = ["float32", "int16", "bool", "string"]
    columns = [f"{{name: {t}, datatype: string, subtype: '{t}[2]'}}" for t in types]
    rows = '"[1,2]","[3,4]","[true,false]","[""a"",""b""]"\n'
    found = Catalog.read(file_of(tmp_path, columns=columns, names=",".join(types), rows=rows * 3))
    assert [str(found[f"{t}.1"].dtype)[:5] for t in types] == ["float", "int16", "bool", "<U1"]
    assert found["float32.1"].dtype == np.float32
    assert found["string.1"].tolist() == ["b"] * 3


# --- columns that are not needed


def test_columns_that_truez_cannot_use_are_told_and_stop_nothing(tmp_path):
    table = Table(XYZ)
    table["c"] = np.arange(4) * 1j
    table["objects"] = np.array([{"a": 1}, None, "b", [1]], dtype=object)
    table["lists"] = np.array([np.arange(n) for n in (1, 2, 0, 3)], dtype=object)
    table["cube"] = np.zeros((4, 2, 2))
    table["sky"] = SkyCoord(XYZ["x"] * u.deg, XYZ["y"] * u.deg)
    path = tmp_path / "c.ecsv"
    # ECSV has no complex numbers: they are written by other programs only.
    rest = table["x", "y", "z", "objects", "lists", "cube", "sky"]
    rest.write(path)
    text = path.read_text()
    path.write_text(text.replace("{name: z, datatype: float64}", "{name: z, datatype: complex128}"))
    found = header(path)
    assert found.left_out == {
        "z": "holds complex numbers",
        "objects": "holds objects",
        "lists": "holds lists of varying length",
        "cube": "is an array of 'float64[2,2]'",
    }
    whole = Catalog.read(path)
    assert list(whole.columns) == ["x", "y", "sky.ra", "sky.dec"]
    assert whole.units["sky.ra"] == "deg"
    np.testing.assert_array_equal(whole["y"], XYZ["y"])
    with pytest.raises(ValueError, match=r"column 'objects' of .* holds objects, which truez"):
        Catalog.read(path, ["objects"])
