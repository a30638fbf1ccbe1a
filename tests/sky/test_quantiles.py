"""Levels of few quantiles, and their way through a file."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr
from scipy.stats import norm

from truez.sky.distributed.patch_pdfs import pdf_field, write_pdf_part
from truez.sky.quantiles import LEVELS, QuantileRows, known_quantiles, some_levels
from truez.support.spill import Spill
from truez.surveys.pdfs import read_pdfs
from truez.surveys.pdfs.quantile_lists import levels_of


@given(st.integers(5, 137))
def test_levels_are_some_of_the_137_and_even(num):
    found = some_levels(num)
    assert len(found) == num
    assert (np.diff(found) > 0).all()
    assert np.isin(found, LEVELS).all()
    np.testing.assert_allclose(found + found[::-1], 1, atol=1e-12)
    assert (0.5 in found) == bool(num % 2)
    assert {0.16, 0.84} <= set(found.tolist())


def test_levels_of_the_default_are_denser_in_the_tails():
    found = some_levels(19)
    assert {0.0025, 0.16, 0.5, 0.84, 0.9975} <= set(found.tolist())
    assert (np.diff(found[:9], 2) >= -1e-9).all()
    assert np.array_equal(some_levels(137), LEVELS)


@pytest.mark.parametrize("num", [4, 138])
def test_other_numbers_are_refused(num):
    with pytest.raises(ValueError, match=f"quantiles must be 5 to 137, not {num}"):
        some_levels(num)


@pytest.mark.parametrize("num", [19, 20, 137])
def test_known_redshifts_have_the_quantiles_of_the_137(num):
    z, edges = np.array([0.11, 0.31, 0.95]), np.linspace(0.1, 1.0, 500)
    levels = some_levels(num)
    every, few = known_quantiles(z, edges), known_quantiles(z, edges, levels)
    # Where the 137 are moved apart to ascend in single precision, few need not be.
    np.testing.assert_allclose(few, every[:, np.isin(LEVELS, levels)], atol=2e-7)
    assert (np.diff(few) > 0).all()


@pytest.mark.parametrize("num", [5, 19, 137])
def test_a_part_is_read_with_its_levels(num, tmp_path):
    levels = some_levels(num)
    rows = QuantileRows(Spill(), levels)
    z = np.array([0.2, 0.3, 0.5])
    rows.add_known(np.array([4, 0, 2]), z, np.linspace(0, 1, 11))
    write_pdf_part(tmp_path / "p.parquet", np.array([7, 8, 11, 12]), np.array([0, 1, 2, 4]), rows)
    item = pq.read_schema(tmp_path / "p.parquet").field("z_quantiles")
    assert item.type == pa.list_(pa.float32(), num)
    assert np.array_equal(levels_of(item), levels)
    table = read_pdfs(tmp_path / "p.parquet")
    assert table.problems().rows.tolist() == [1]
    mean, std = table.moments()
    np.testing.assert_allclose(mean[[3, 0, 2]], z, atol=1e-6)
    np.testing.assert_allclose(std[[3, 0, 2]], 0.1 / np.sqrt(12), rtol=0.05)


def test_few_quantiles_of_a_gaussian_keep_it(tmp_path):
    """Width of one within 5%, probabilities within 1%."""
    mean, sigma, levels = 0.5, 0.03, some_levels(19)
    places = np.float32(norm.ppf(levels, mean, sigma))[None]
    schema = pa.schema([pdf_field(levels)])
    column = pa.FixedSizeListArray.from_arrays(pa.array(places.ravel()), len(levels))
    pq.write_table(pa.table([column], schema=schema), tmp_path / "p.parquet")
    found = read_pdfs(tmp_path / "p.parquet")
    np.testing.assert_allclose(found.moments()[0], mean, atol=1e-4)
    np.testing.assert_allclose(found.moments()[1], sigma, rtol=0.05)
    edges = np.linspace(0.35, 0.65, 61)
    expected = np.diff(ndtr((edges - mean) / sigma))
    np.testing.assert_allclose(found.probability(None, edges)[0].cumsum(), expected.cumsum(),
                               atol=0.01)  # fmt: skip
