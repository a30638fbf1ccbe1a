"""Quantiles as lists of one length, whose levels the column states."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from truez.surveys.pdfs import PdfTable, nested_columns, read_pdfs
from truez.surveys.pdfs.parquet import ArrowPdfs
from truez.surveys.pdfs.quantile_lists import levels_of, quantile_field, quantile_lists
from truez.surveys.pdfs.reading import holds_sharpened

LEVELS = np.array([0.05, 0.16, 0.5, 0.84, 0.95])
EDGES = np.linspace(0.0, 1.0, 21)


@pytest.fixture
def places():
    rng = np.random.default_rng(3)
    found = np.sort(rng.uniform(0.2, 0.8, (50, 5)), axis=1).astype(np.float32)
    found[7] = np.nan
    return found


def table_of(places, field=None):
    field = field or quantile_field("q", LEVELS)
    schema = pa.schema([pa.field("ID", pa.int64()), field])
    return pa.table([pa.array(np.arange(len(places))), quantile_lists(places)], schema=schema)


def test_they_are_read_as_the_quantiles_that_they_are(places, tmp_path):
    path = tmp_path / "z.parquet"
    pq.write_table(table_of(places), path, row_group_size=8)
    assert nested_columns(path) == {"q": "quant"}
    found = read_pdfs(path)
    expected = PdfTable.of_arrays("quant", {"locs": places}, LEVELS)
    rows = np.array([0, 1, 6, 7, 8, 30, 49])
    for ours, theirs in (
        (found.probability(rows, EDGES), expected.probability(rows, EDGES)),
        (found.moments()[0], expected.moments()[0]),
        (found.problems().flags, expected.problems().flags),
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert found.problems().rows.tolist() == [7]
    in_memory = PdfTable((ArrowPdfs(table_of(places), "q", "photo"),))
    np.testing.assert_array_equal(in_memory.moments()[0], expected.moments()[0])


def test_rows_without_a_list_have_no_p_of_z(places, tmp_path):
    rows = [None if number == 2 else row.tolist() for number, row in enumerate(places)]
    column = pa.array(rows, pa.list_(pa.float32(), 5))
    schema = pa.schema([quantile_field("q", LEVELS)])
    try:
        pq.write_table(pa.table([column], schema=schema), tmp_path / "z.parquet")
    except pa.ArrowNotImplementedError:
        pytest.skip("this pyarrow writes no lists of a fixed size without values")
    assert read_pdfs(tmp_path / "z.parquet").problems().rows.tolist() == [2, 7]


def test_files_of_a_folder_without_rows_are_left_out(places, tmp_path):
    for name, some in (("a", places), ("b", places[:0]), ("c", places[:3])):
        pq.write_table(table_of(some), tmp_path / f"{name}.parquet")
    assert len(read_pdfs(tmp_path)) == 53
    with pytest.raises(ValueError, match="has no galaxies"):
        read_pdfs(tmp_path / "b.parquet")


def test_a_column_says_that_it_is_sharpened(places, tmp_path):
    for name, sharpened in (("a", True), ("b", False)):
        field = quantile_field("q", LEVELS, sharpened=sharpened)
        pq.write_table(table_of(places, field), tmp_path / f"{name}.parquet")
        assert holds_sharpened(tmp_path / f"{name}.parquet") is sharpened
        assert holds_sharpened(f"{tmp_path / name}.parquet#q") is sharpened
        assert not holds_sharpened(f"{tmp_path / name}.parquet#ID")


@pytest.mark.parametrize(
    ("stated", "words"),
    [("many", "states quants that are no numbers"),
     (json.dumps([0.1, 0.2]), "has 2 quants for 5 locs"),
     (json.dumps([0.1, 0.3, 0.2, 0.8, 0.9]), "do not ascend"),
     (json.dumps([5, 16, 50, 84, 95]), "divide percentages by 100"),
     (json.dumps(["a", "b", "c", "d", "e"]), "no numbers")],
)  # fmt: skip
def test_levels_that_are_none_are_refused(places, tmp_path, stated, words):
    field = pa.field("q", pa.list_(pa.float32(), 5), metadata={"quants": stated})
    pq.write_table(table_of(places, field), tmp_path / "z.parquet")
    with pytest.raises(ValueError, match=words):
        read_pdfs(tmp_path / "z.parquet")


def test_other_columns_state_none():
    assert levels_of(pa.field("v", pa.list_(pa.float32(), 3))) is None
    assert levels_of(pa.field("v", pa.list_(pa.int32(), 3), metadata={"quants": "[0.1]"})) is None
    assert levels_of(pa.field("v", pa.float32(), metadata={"quants": "[0.1]"})) is None
