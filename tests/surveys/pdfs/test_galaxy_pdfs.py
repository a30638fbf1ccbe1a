"""p(z) as likelihoods: outliers, those that cannot be used, scattered rows, summaries."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import skewnorm

from surveys.pdfs.pdf_files import LAYOUTS, gaussians, nested, numbers_of, write_nested, write_qp
from truez.support.spill import Spill, spill_beside
from truez.surveys.nz import NumberDensity
from truez.surveys.pdfs import (
    GalaxyPdfs,
    PdfPrior,
    PdfTable,
    Problem,
    prior_of_stack,
    read_pdfs,
    stored,
    summarise,
)
from truez.surveys.redshift_error import RedshiftError

EDGES = np.linspace(0.3, 1.2, 31)
FINE = np.linspace(0.0, 2.0, 801)
FLAT = PdfPrior.of("flat")


def table_of(layout, num=40):
    grid, columns = numbers_of(layout, *gaussians(num))
    return PdfTable.of_arrays(layout, columns, grid)


def likelihoods(layout, edges=EDGES, **options):
    return GalaxyPdfs(table_of(layout), FLAT, **options).likelihood(np.arange(40), edges)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("norm", "mixmod")])
def test_gaussians_have_one_likelihood_in_every_layout(layout):
    # quantiles of 400 levels and a grid of 0.005 are no exact Gaussians
    np.testing.assert_allclose(likelihoods(layout), likelihoods("norm"), atol=0.12)
    np.testing.assert_allclose(
        likelihoods(layout) @ np.diff(EDGES), likelihoods("norm") @ np.diff(EDGES), atol=2e-3
    )


def test_under_a_flat_prior_the_likelihood_of_an_absolute_error_is_that_of_redshift_error():
    mean, std = gaussians()
    found = RedshiftError(std, absolute=True).rows(mean, EDGES)
    np.testing.assert_allclose(likelihoods("norm"), found, rtol=1e-9, atol=1e-12)


def test_what_lies_beyond_the_cells_counts():
    narrow = np.linspace(0.6, 0.7, 11)
    inside = likelihoods("norm", narrow) * np.diff(narrow)
    np.testing.assert_allclose(inside, table_of("norm").probability(None, narrow), rtol=1e-12)
    assert inside.sum(1).min() < 0.1


@pytest.mark.parametrize("prior", [FLAT, PdfPrior(NumberDensity(
    np.array([0.0, 0.5, 2.0]), np.array([1.0, 3.0, 1.0])))])  # fmt: skip
def test_outliers_are_drawn_from_the_prior_itself(prior):
    """Under N(z) = the prior, the posterior is (1 - f) p(z) + f N(z), or flat."""
    pdfs = GalaxyPdfs(table_of("norm"), prior, None, 0.1, (0.0, 2.0))
    mass = prior.mass(FINE)
    mass /= mass.sum()
    found = pdfs.likelihood(np.arange(40), FINE) * mass
    expected = 0.9 * table_of("norm").probability(None, FINE) + 0.1 * mass
    np.testing.assert_allclose(found / found.sum(1, keepdims=True), expected, atol=1e-9)


def test_without_outliers_the_prior_times_the_likelihood_is_p_z():
    nz = NumberDensity(np.array([0.0, 0.5, 2.0]), np.array([0.0, 100.0, 10.0]))
    found = GalaxyPdfs(table_of("hist"), PdfPrior(nz)).likelihood(slice(0, 9), EDGES)
    found = found * nz.counts(EDGES)
    inside = table_of("hist").probability(slice(0, 9), EDGES)
    there = inside > 1e-12
    scale = found[there][0] / inside[there][0]
    np.testing.assert_allclose(found, scale * inside, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"outlier_fraction": 0.1, "outlier_range": (0.0, 4.0)}])
def test_where_p_z_cannot_be_used_the_likelihood_is_constant(options):
    table = PdfTable.of_arrays("norm", {"loc": [0.5, 0.7, 0.6], "scale": [0.1, np.nan, 0.1]})
    for flags in (None, table.problems().flags, [0, 1, 5]):
        pdfs = GalaxyPdfs(table, FLAT, flags, **options)
        found = pdfs.likelihood([2, 1, 0], EDGES)
        assert np.ptp(found[1]) == 0
        assert found[1, 0] == (0.25 if options else 1.0)
        assert (np.ptp(found[0]) == 0) == bool(pdfs.flags[2])
    assert pdfs.usable.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"outlier_fraction": 1.0}, "outlier_fraction must be in [0, 1), not 1.0"),
        ({"outlier_fraction": 0.1}, "outlier_fraction needs outlier_range, the redshifts of out"),
        ({"outlier_range": (1.0, 0.0)}, "outlier_range must be two redshifts, not (1.0, 0.0)"),
        ({"flags": np.zeros(3)}, "flags must be one for each of 40 p(z), not (3,)"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(values, message):
    with pytest.raises(ValueError) as raised:
        GalaxyPdfs(table_of("norm"), FLAT, **values)
    assert str(raised.value).startswith(message)


@pytest.fixture(params=["memory", "file"])
def spill(request, tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "_IN_MEMORY", 2**29 if request.param == "memory" else 0)
    with spill_beside(tmp_path / "out.fits") as spill:
        yield spill
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_stored_rows_are_those_of_the_file_in_any_order(layout, spill, tmp_path):
    path = write_qp(tmp_path / "pz.hdf5", layout, *numbers_of(layout, *gaussians()))
    order = np.random.default_rng(3).permutation(40)
    table = read_pdfs(path).take([*order, -1])
    flags = np.where(np.arange(41) % 7 == 3, 1, 0)
    flags[-1] = Problem.NOT_FINITE
    pdfs = GalaxyPdfs(table, FLAT, flags, 0.05, (0.0, 2.0))
    found = pdfs.stored(spill)
    rows = np.array([5, 40, 3, 5, 0, 22, 21, 23, 39])
    np.testing.assert_allclose(
        found.likelihood(rows, EDGES), pdfs.likelihood(rows, EDGES), rtol=1e-5, atol=1e-6
    )
    assert found.table.num == 41
    assert len(found.table.sources) == 1
    assert found.likelihood(np.zeros(0, np.int64), EDGES).shape == (0, 30)


def test_native_numbers_are_stored_and_no_grid(spill):
    for layout, width in (("norm", 2), ("quant", 426), ("hist", 400), ("interp", 401)):
        found = GalaxyPdfs(table_of(layout), FLAT).stored(spill)
        assert found.table.sources[0].rows.shape == (40, width)


def test_rows_whose_grids_change_in_a_file_are_stored_part_by_part(spill, tmp_path):
    mean, std = gaussians(32)
    parts = [
        numbers_of("interp", mean[:16], std[:16], nodes=np.linspace(0, 2, 401)),
        numbers_of("interp", mean[16:], std[16:], nodes=np.linspace(0, 2, 301)),
    ]
    for number, (grid, columns) in enumerate(parts):
        column = nested({"xvals": np.tile(grid, (16, 1)), **columns})
        write_nested(tmp_path / f"pz-{number}.parquet", {"a_ens": column})
    pdfs = GalaxyPdfs(read_pdfs(tmp_path / "pz-{0,1}.parquet"), FLAT)
    found = pdfs.stored(spill)
    assert len(found.table.sources) == 2
    rows = np.array([20, 3, 31, 0])
    np.testing.assert_allclose(
        found.likelihood(rows, EDGES), pdfs.likelihood(rows, EDGES), rtol=1e-5, atol=1e-5
    )


def test_scattered_rows_of_a_stored_table_are_read_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "_IN_MEMORY", 0)
    spilled = Spill(tmp_path / "spill.bin")
    found = GalaxyPdfs(table_of("hist", 20_000), FLAT).stored(spilled)
    read = []
    source = found.table.sources[0]
    whole = type(source.rows).read
    monkeypatch.setattr(
        type(source.rows), "read", lambda self, rows: read.append(len(rows)) or whole(self, rows)
    )
    found.likelihood(np.random.default_rng(1).permutation(20_000)[:100], EDGES)
    assert sum(read) == 100
    spilled.close()


def test_spilled_rows_and_arrays_share_a_file(tmp_path):
    spill = Spill(tmp_path / "spill.bin")
    first = spill.keep(np.arange(7.0))
    rows = spill.rows(5, 3)
    second = spill.keep(np.arange(4))
    values = np.arange(15, dtype=np.float32).reshape(5, 3)
    rows.write(2, values[2:])
    rows.write(0, values[:2])
    assert spill.take(first).tolist() == list(range(7))
    assert spill.take(second).tolist() == [0, 1, 2, 3]
    # The file is emptied but for the rows.
    assert spill.take(spill.keep(values)).tolist() == values.tolist()
    assert rows.read(np.array([4, 0, 1, 1])).tolist() == values[[4, 0, 1, 1]].tolist()
    spill.close()


def test_a_spilled_file_that_is_cut_off_is_an_error(tmp_path):
    spill = Spill(tmp_path / "spill.bin")
    rows = spill.rows(4, 3)
    rows.write(0, np.ones((4, 3), np.float32))
    with (tmp_path / "spill.bin").open("r+b") as file:
        file.truncate(20)
    with pytest.raises(OSError, match="was cut off while it was in use"):
        rows.read(np.array([3]))
    spill.close()


def test_rows_that_the_disk_cannot_hold_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("truez.support.disk.free_disk", lambda path: 100.0)
    spill = Spill(tmp_path / "spill.bin")
    with pytest.raises(ValueError, match=r"a temporary file, takes 0.12 kB of disk, and 0.1 kB"):
        spill.rows(10, 3)
    spill.close()


def test_gaussians_are_summarised():
    mean, std = gaussians()
    found = summarise(GalaxyPdfs(table_of("norm"), FLAT), FINE)
    np.testing.assert_allclose(found.median, mean, atol=1e-4)
    np.testing.assert_allclose(found.sigma_z, std / (1 + mean), rtol=0.02)
    np.testing.assert_allclose(found.peak_sigma_z, std / (1 + mean), rtol=0.02)
    assert np.abs(found.skewness).max() < 0.02
    assert found.outlier_fraction.max() < 1e-4
    np.testing.assert_allclose(
        found.stack, table_of("norm").probability(None, FINE).sum(0), rtol=1e-9, atol=1e-12
    )


def test_outliers_and_skewness_are_summarised():
    skew = skewnorm(4, loc=0.6, scale=0.08)
    nodes = np.linspace(0, 3, 3001)
    density = np.stack([0.9 * skew.pdf(nodes) + 0.1 * (nodes > 1.8) / 1.2, skew.pdf(nodes),
                        skew.pdf(1.6 - nodes)])  # fmt: skip
    found = summarise(
        GalaxyPdfs(PdfTable.of_arrays("interp", {"yvals": density}, nodes), FLAT),
        np.linspace(0, 3, 1501),
    )
    low, middle, high = skew.ppf([0.16, 0.5, 0.84])
    expected = (high + low - 2 * middle) / (high - low)
    assert found.skewness[1:] == pytest.approx([expected, -expected], abs=0.02)
    assert found.outlier_fraction == pytest.approx([0.1, 0.001, 0.001], abs=0.003)
    assert found.median[1] == pytest.approx(middle, abs=1e-3)


def test_p_z_that_cannot_be_used_are_flagged_and_not_summarised():
    table = PdfTable.of_arrays(
        "norm", {"loc": [0.5, 0.6, 5.0, 0.4, 0.7], "scale": [0.05, np.nan, 0.1, 0.0, 0.05]}
    ).take([0, 1, 2, 3, 4, -1])
    pdfs = GalaxyPdfs(table, FLAT, [0, 0, 0, 0, 2, 0])
    found = summarise(pdfs, FINE, rows=[0, 2])
    assert found.flags.tolist() == [
        0, Problem.NOT_FINITE, Problem.OFF_GRID, Problem.ZERO, 2, Problem.NOT_FINITE
    ]  # fmt: skip
    for values in (found.median, found.sigma_z, found.outlier_fraction, found.skewness):
        assert np.isfinite(values).tolist() == [True, *5 * [False]]
    assert found.stack.sum() == pytest.approx(1)
    assert summarise(pdfs, FINE, rows=[1]).stack.sum() == 0
    assert found.problems.rows.tolist() == [1, 2, 3, 4, 5]
    assert "of 6 galaxies, of which 1 can be used" in repr(found)


def test_p_z_where_the_prior_is_0_are_flagged():
    prior = PdfPrior(NumberDensity(np.array([0.6, 0.8, 1.0]), np.array([1.0, 1.0, 1.0])))
    table = PdfTable.of_arrays("norm", {"loc": [0.7, 0.3], "scale": [0.1, 0.001]})
    assert summarise(GalaxyPdfs(table, prior), FINE).flags.tolist() == [0, Problem.OFF_GRID]


@given(st.integers(0, 2**31))
def test_a_summary_does_not_depend_on_the_order_of_rows(seed):
    rng = np.random.default_rng(seed)
    edges = np.linspace(0, 1, 21)
    density = rng.random((9, 20)) ** 4
    order = rng.permutation(9)
    one, other = (
        summarise(GalaxyPdfs(PdfTable.of_arrays("hist", {"pdfs": values}, edges), FLAT), edges)
        for values in (density, 3 * density[order])
    )
    for name in ("median", "sigma_z", "outlier_fraction", "skewness", "peak_sigma_z"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name)[order], rtol=1e-9,
                                   atol=1e-12)  # fmt: skip
    assert (np.abs(one.skewness) <= 1).all()
    assert ((one.outlier_fraction >= 0) & (one.outlier_fraction <= 1)).all()


def test_the_prior_of_posteriors_is_found_from_their_stack():
    """p(z) = prior times likelihood of galaxies drawn from the prior add up to it."""
    rng = np.random.default_rng(5)
    nodes = np.linspace(0, 2, 401)[1:]
    shape = nodes**2 * np.exp(-((nodes / 0.5) ** 1.8))
    z = np.interp(rng.random(20_000), np.cumsum(shape) / shape.sum(), nodes)
    z_phot = z + 0.05 * rng.normal(size=z.size)
    density = np.exp(-0.5 * ((nodes - z_phot[:, None]) / 0.05) ** 2) * shape
    pdfs = GalaxyPdfs(PdfTable.of_arrays("interp", {"yvals": density}, nodes), FLAT)
    prior = prior_of_stack(summarise(pdfs, FINE))
    edges = np.arange(0.1, 1.2, 0.1)
    counts = np.histogram(z, edges)[0]
    np.testing.assert_allclose(prior.mass(edges) / counts, 1, atol=0.06)
    assert prior.density.fit.a == pytest.approx(2, abs=0.15)
    # The likelihood is then that of the photo-z.
    found = replace(pdfs, prior=prior).likelihood(slice(0, 500), edges)
    expected = RedshiftError(0.05, absolute=True).rows(z_phot[:500], edges)
    inside = (z_phot[:500] > 0.3) & (z_phot[:500] < 0.9)
    ratio = (found / found.sum(1, keepdims=True))[inside]
    expected = (expected / expected.sum(1, keepdims=True))[inside]
    assert np.abs(ratio - expected).max() < 0.06


def test_a_prior_needs_galaxies():
    summary = summarise(GalaxyPdfs(table_of("norm"), FLAT), FINE)
    with pytest.raises(ValueError, match=r"cannot be fitted to 40 galaxies in \d+ bins: at least"):
        prior_of_stack(summary)
