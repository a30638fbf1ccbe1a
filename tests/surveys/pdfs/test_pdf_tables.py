"""Rows of p(z) matched to a catalogue, and their likelihoods."""

import re
from pathlib import Path

import numpy as np
import pytest

from catalogs.fuzzing import LONGEST_MESSAGE
from surveys.pdfs.pdf_files import gaussians, numbers_of, write_qp
from truez.surveys.nz import NumberDensity
from truez.surveys.pdfs import PdfPrior, PdfTable, Problem, read_ids, read_pdfs

EDGES = np.linspace(0.3, 1.2, 31)


def table_of(num=12):
    return PdfTable.of_arrays("norm", numbers_of("norm", *gaussians(num))[1])


def test_rows_that_are_taken_have_their_own_p_z():
    table = table_of()
    some = table.take(np.array([5, 2, 9]))
    assert (some.num, len(some)) == (3, 3)
    np.testing.assert_array_equal(
        some.probability(None, EDGES), table.probability([5, 2, 9], EDGES)
    )
    again = some.take(np.array([True, False, True])).take(slice(1, 2))
    np.testing.assert_array_equal(again.moments()[0], table.moments([9])[0])


def test_galaxies_without_p_z_are_flagged():
    some = table_of().take(np.array([3, -1, 0])).take([1, 2, 0])
    assert some.problems().flags.tolist() == [Problem.NOT_FINITE, 0, 0]
    assert np.isnan(some.probability(None, EDGES)[:, 0]).tolist() == [True, False, False]


@pytest.mark.parametrize("rows", [[12], [-2, 3]])
def test_rows_that_are_not_there_are_refused(rows):
    with pytest.raises(ValueError, match="rows must be from 0 to 11, or -1, not "):
        table_of().take(rows)
    with pytest.raises(ValueError, match="a mask of shape "):
        table_of().take(np.array([True, False, True]))


def test_p_z_in_the_order_of_a_catalogue_have_its_length():
    table = table_of()
    assert table.in_order(12) is table
    with pytest.raises(ValueError) as raised:
        table.in_order(13)
    assert str(raised.value) == (
        "pdf has p(z) of 12 galaxies, but photo has 13 rows: give the p(z) of the same rows in the "
        "same order, or ids that both have (pdf_id)"
    )


@pytest.mark.parametrize("text", [False, True])
def test_p_z_are_matched_by_id(text, tmp_path):
    ids = np.array([7, 3, 9, 1, 4, 8, 2, 0, 11, 10, 5, 6]) + 10**12
    catalog = np.array([3, 99, 10, 7]) + 10**12
    if text:
        ids, catalog = ids.astype("S20"), catalog.astype("U20")
    path = write_qp(tmp_path / "pz.hdf5", "norm", *numbers_of("norm", *gaussians(12)), {"id": ids})
    table = read_pdfs(path)
    found = table.by_id(read_ids(path, "id"), catalog)
    assert found.problems().flags.tolist() == [0, Problem.NOT_FINITE, 0, 0]
    np.testing.assert_array_equal(found.moments()[0][[0, 2, 3]], table.moments([1, 9, 0])[0])


@pytest.mark.parametrize(
    ("ids", "catalog", "message"),
    [
        ([0, 1], [0, 1], "pdf has 2 ids in 'ID' for p(z) of 12 galaxies: write the file again"),
        (range(12), [20, 21],
         ("no galaxy is named in both photo and pdf by pdf_id 'ID': give the column that names "
          "them alike, or leave it out if rows are in one order")),
        ([*range(11), 5], [1, 2],
         ("pdf_id 'ID' of pdf must be unique, but 5 occurs 2 times: leave out repeated rows, or "
          "choose the column that names each galaxy once")),
        (range(12), ["a", "b"],
         ("pdf_id 'ID' is text in photo and int64 in pdf: write both as whole numbers or both as "
          "text")),
    ],
)  # fmt: skip
def test_ids_that_do_not_match_are_refused(ids, catalog, message):
    with pytest.raises(ValueError) as raised:
        table_of().by_id(np.array(ids), np.array(catalog), column="ID")
    assert str(raised.value) == message


def test_a_flat_prior_leaves_the_shape_of_p_z():
    table, width = table_of(), np.diff(EDGES)
    found = table.likelihood(None, EDGES, PdfPrior.of("flat"))
    np.testing.assert_allclose((found * width).sum(1), 1)
    inside = table.probability(None, EDGES)
    np.testing.assert_allclose(found * width, inside / inside.sum(1, keepdims=True), rtol=1e-12)


def test_the_prior_of_a_posterior_is_divided_out(tmp_path):
    nz = NumberDensity(np.array([0.0, 0.5, 2.0]), np.array([0.0, 100.0, 10.0]))
    nodes = np.linspace(0, 2, 4001)
    seen = np.exp(-0.5 * ((nodes - np.array([[0.6], [0.9]])) / 0.05) ** 2)
    table = PdfTable.of_arrays("interp", {"yvals": seen * nz(nodes)}, nodes)
    found = table.likelihood(None, EDGES, PdfPrior.of("nz", nz=nz))
    flat = PdfTable.of_arrays("interp", {"yvals": seen}, nodes)
    expected = flat.likelihood(None, EDGES, PdfPrior())
    kept = table.likelihood(None, EDGES, PdfPrior())
    assert np.abs(found - expected).max() < 0.05 * np.abs(kept - expected).max()
    assert np.abs(kept - expected).max() > 0.02 * expected.max()
    path = tmp_path / "nz.csv"
    path.write_text("z,n\n0,0\n0.5,100\n2,10\n")
    given = table.likelihood(None, EDGES, PdfPrior.of(path))
    np.testing.assert_allclose(given, found, rtol=1e-12)
    np.testing.assert_array_equal(table.likelihood(None, EDGES, PdfPrior.of(nz)), found)


def test_the_likelihood_times_the_prior_is_the_posterior():
    table = table_of()
    nz = NumberDensity(np.array([0.0, 0.5, 2.0]), np.array([0.0, 100.0, 10.0]))
    product = table.likelihood(None, EDGES, PdfPrior(nz)) * nz.counts(EDGES)
    inside = table.probability(None, EDGES)
    np.testing.assert_allclose(product / product.sum(1, keepdims=True),
                               inside / inside.sum(1, keepdims=True), atol=1e-14)  # fmt: skip


def test_the_likelihood_is_0_where_the_prior_is():
    nz = NumberDensity(np.array([0.6, 0.8, 1.0]), np.array([1.0, 1.0, 1.0]))
    table = PdfTable.of_arrays("norm", {"loc": [0.7, 0.35, 0.8], "scale": [0.1, 0.001, np.nan]})
    prior = PdfPrior(nz)
    found = table.likelihood(None, EDGES, prior)
    cells = prior.mass(EDGES) > 0
    assert (found[0, ~cells] == 0).all()
    assert (found[0, cells][:3] > 0).all()
    assert (found[1] == 0).all()
    assert np.isnan(found[2]).all()
    flags = table.problems(EDGES, prior).flags
    assert flags.tolist() == [0, Problem.OFF_GRID, Problem.NOT_FINITE]


def test_without_a_prior_an_error_says_why_it_is_needed(tmp_path):
    with pytest.raises(ValueError) as raised:
        PdfPrior.of(None)
    assert str(raised.value) == (
        "pdf_prior must name the prior that is in the p(z), flat, nz, stack or a file of z, n: the "
        "map has its own prior, N(z) times the density, and multiplies it with a likelihood, so "
        "that of the photo-z code is divided out"
    )
    assert len(str(raised.value)) < LONGEST_MESSAGE
    with pytest.raises(ValueError, match=r"pdf_prior is nz, but there is no N\(z\) of the phot"):
        PdfPrior.of("nz")
    with pytest.raises(
        FileNotFoundError, match="must be flat, nz, stack or a file of z and n, and there"
    ):
        PdfPrior.of("uniform")
    path = tmp_path / "nz.csv"
    path.write_text("a,b,c\n1,2,3\n")
    with pytest.raises(ValueError, match=r"pdf_prior .* needs columns z and n, the galaxies per"):
        PdfPrior.of(path)


@pytest.mark.parametrize(
    ("layout", "columns", "grid", "message"),
    [
        ("spline", {}, None,
         "layout must be hist, interp, interp_irregular, quant, norm, mixmod, not 'spline'"),
        ("norm", {"loc": [0.5]}, None,
         "p(z) as norm have the columns loc, scale and no grid: pass these alone"),
        ("hist", {"pdfs": [[1.0]]}, None,
         "p(z) as hist have the columns pdfs and a grid of bins: pass these alone"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_layout_are_refused(layout, columns, grid, message):
    with pytest.raises(ValueError) as raised:
        PdfTable.of_arrays(layout, columns, grid)
    assert str(raised.value) == message


def test_the_python_of_the_docs_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ids, (z_phot, std) = {"object_id": np.arange(400)}, gaussians(400)
    write_qp(tmp_path / "pz.hdf5", "hist", *numbers_of("hist", z_phot, std), ids)
    (tmp_path / "prior.csv").write_text("z,n\n0,1\n2,1\n")
    nz = NumberDensity(np.array([0.0, 2.0]), np.array([1.0, 1.0]))
    text = (Path(__file__).parents[3] / "docs" / "guides" / "pdfs.md").read_text(encoding="utf-8")
    names = {"nz": nz, "z_phot": z_phot}
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, "pdfs.md", "exec"), names)
    found = names["table"].likelihood(slice(0, 9), names["edges"], names["prior"])
    np.testing.assert_allclose(found.sum(1) * 0.005, 1)
    assert sum(len(one.rows) for one in names["classes"]) == 400
    assert names["nz"].counts([0.4, 1.0])[0] == pytest.approx(400, rel=0.1)
    table = names["table"].by_id(read_ids("pz.hdf5", "object_id"), np.array([39, 0]))
    np.testing.assert_allclose(table.moments()[0], names["mean"][[39, 0]], rtol=1e-12)


def test_progress_is_reported_while_problems_are_looked_for():
    calls = []
    table_of().problems(progress=lambda *call: calls.append(call))
    assert calls == [("p(z)", 0, 12)]
