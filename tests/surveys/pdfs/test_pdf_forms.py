"""Probabilities, moments and problems of p(z) in every form."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from surveys.pdfs.pdf_files import LAYOUTS, gaussians, numbers_of
from truez.surveys.pdfs import PdfTable, Problem, pdfs_from_quantiles

EDGES = np.linspace(0.3, 1.2, 41)


def table_of(layout, mean, std, **given):
    grid, columns = numbers_of(layout, mean, std, **given)
    return PdfTable.of_arrays(layout, columns, grid)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_gaussian_has_the_same_probabilities_in_every_layout(layout):
    mean, std = gaussians()
    table = table_of(layout, mean, std)
    expected = np.diff(norm.cdf(EDGES, mean[:, None], std[:, None]), axis=1)
    assert table.num == 40
    assert np.abs(table.probability(None, EDGES) - expected).max() < 3e-3
    found, width = table.moments()
    np.testing.assert_allclose(found, mean, atol=2e-4)
    np.testing.assert_allclose(width, std, rtol=0.03)


@pytest.mark.parametrize("layout", ["hist", "interp", "interp_irregular", "quant"])
def test_the_difference_to_the_gaussian_falls_with_the_grid(layout):
    mean, std = gaussians()
    expected = np.diff(norm.cdf(EDGES, mean[:, None], std[:, None]), axis=1)
    off = []
    for num in (101, 401):
        step = 1 / (num - 1)
        grid, columns = numbers_of(layout, mean, std, nodes=np.linspace(0, 2, num),
                                   levels=np.linspace(step / 2, 1 - step / 2, num - 1))  # fmt: skip
        if layout == "interp_irregular":
            nodes = mean[:, None] + std[:, None] * np.linspace(-6, 6, (num - 1) // 4 + 1)
            columns = {"xvals": nodes, "yvals": norm.pdf(nodes, mean[:, None], std[:, None])}
        table = PdfTable.of_arrays(layout, columns, grid)
        off.append(np.abs(table.probability(None, EDGES) - expected).max())
    assert off[1] < off[0] / 3


def test_a_histogram_is_integrated_by_overlap():
    table = PdfTable.of_arrays("hist", {"pdfs": [[1.0, 3.0]]}, [0.0, 1.0, 2.0])
    # A scale of 4, and half of the first bin, a tenth of the second.
    assert table.probability(None, [0.5, 1.0, 1.1])[0] == pytest.approx([0.125, 0.075])
    assert table.probability(None, [-1.0, 0.0, 2.0, 5.0])[0] == pytest.approx([0, 1, 0])


@pytest.mark.parametrize("layout", ["interp", "interp_irregular"])
def test_a_linear_density_is_integrated_exactly(layout):
    nodes, values = np.array([0.1, 0.2, 0.5, 0.6]), np.array([0.0, 2.0, 1.0, 3.0])
    columns = {"yvals": values[None]}
    if layout == "interp_irregular":  # with another galaxy, so that there is no common grid
        columns = {"yvals": np.vstack([values, values]), "xvals": np.vstack([nodes, nodes + 0.1])}
    table = PdfTable.of_arrays(layout, columns, nodes if layout == "interp" else None)
    edges = np.array([0.0, 0.13, 0.31, 0.55, 0.7])
    total = np.trapezoid(values, nodes)
    expected = [
        quad(np.interp, low, high, args=(nodes, values, 0, 0), points=nodes, limit=200)[0] / total
        for low, high in pairwise(edges)
    ]
    assert table.probability([0], edges)[0] == pytest.approx(expected, abs=1e-9)
    mean = quad(lambda z: z * np.interp(z, nodes, values), 0.1, 0.6, points=nodes)[0] / total
    assert table.moments([0])[0][0] == pytest.approx(mean, abs=1e-9)


def test_galaxies_with_their_own_grid_are_as_those_with_a_common_one():
    grid, columns = numbers_of("interp", *gaussians())
    common = PdfTable.of_arrays("interp", columns, grid)
    nodes = np.tile(grid, (40, 1))
    nodes[0, 0] -= 1e-3  # no common grid
    own = PdfTable.of_arrays("interp_irregular", {"xvals": nodes, **columns})
    np.testing.assert_allclose(own.probability(None, EDGES), common.probability(None, EDGES),
                               atol=1e-12)  # fmt: skip
    for one, other in zip(own.moments(), common.moments(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_quantiles_are_a_cumulative_probability_that_is_linear_between_them():
    table = pdfs_from_quantiles({0.0: [0.2], 0.5: [0.4], 1.0: [0.8]})
    assert table.probability(None, [0.0, 0.3, 0.4, 0.6, 1.0])[0] == pytest.approx([0.25] * 4)


def test_the_density_beyond_quantiles_falls_exponentially():
    table = pdfs_from_quantiles({0.84: [0.6], 0.16: [0.4], 0.5: [0.5]})
    length = 0.1 * 0.16 / 0.34  # continues the density beside the tail
    away = np.log(2) * length * np.array([3, 2, 1])
    found = table.probability(None, [-1.0, *(0.4 - away), 0.4, 0.6, *(0.6 + away[::-1]), 2.0])[0]
    tail = np.array([0.02, 0.02, 0.04, 0.08])
    assert found == pytest.approx([*tail, 0.68, *tail[::-1]], abs=1e-12)


def test_infinite_quantiles_of_some_galaxies_leave_the_others_as_they_are():
    levels = np.array([0.0, 0.16, 0.5, 0.84, 1.0])
    places = np.array([[-np.inf, 0.4, 0.5, 0.6, np.inf], [0.3, 0.4, 0.5, 0.6, 0.7]])
    both = PdfTable.of_arrays("quant", {"locs": places}, levels)
    alone = PdfTable.of_arrays("quant", {"locs": places[1:]}, levels)
    np.testing.assert_allclose(both.probability([1], EDGES), alone.probability(None, EDGES),
                               atol=1e-12)  # fmt: skip


def test_infinite_quantiles_at_0_and_1_are_as_if_they_were_not_given():
    levels = np.array([0.0, 0.16, 0.5, 0.84, 1.0])
    places = np.array([[-np.inf, 0.4, 0.5, 0.6, np.inf]])
    given = PdfTable.of_arrays("quant", {"locs": places}, levels)
    bare = pdfs_from_quantiles({0.16: [0.4], 0.5: [0.5], 0.84: [0.6]})
    np.testing.assert_allclose(given.probability(None, EDGES), bare.probability(None, EDGES))
    assert given.probability(None, [-1.0, 2.0])[0] == pytest.approx([1])


def test_equal_quantiles_are_probability_at_one_redshift():
    table = pdfs_from_quantiles({0.0: [0.2], 0.2: [0.5], 0.6: [0.5], 1.0: [0.7]})
    found = table.probability(None, [0.0, 0.49, 0.5, 0.7])[0]
    assert found == pytest.approx([0.2 * 29 / 30, 0.2 / 30 + 0.4, 0.4])


def test_far_tails_of_a_gaussian_keep_their_digits():
    table = PdfTable.of_arrays("norm", {"loc": [0.5], "scale": [0.02]})
    found = table.probability(None, [0.1, 0.2, 0.8, 0.9])[0]
    assert found[[0, 2]] == pytest.approx(norm.sf(15) - norm.sf(20), rel=1e-9, abs=0)


def test_parts_of_a_mixture_without_weight_are_ignored():
    table = PdfTable.of_arrays("mixmod", {
        "means": [[0.5, np.nan], [0.5, 0.9]], "stds": [[0.1, 0.0], [0.1, 0.1]],
        "weights": [[2.0, 0.0], [3.0, 1.0]],
    })  # fmt: skip
    assert table.problems().flags.tolist() == [0, 0]
    assert table.probability(None, [0.0, 0.5])[0, 0] == pytest.approx(0.5, abs=1e-6)
    expected = 0.75 * norm.cdf(0.7, 0.5, 0.1) + 0.25 * norm.cdf(0.7, 0.9, 0.1)
    assert table.probability(None, [-2.0, 0.7])[1, 0] == pytest.approx(expected)
    mean, std = table.moments()
    assert mean == pytest.approx([0.5, 0.6])
    assert std == pytest.approx([0.1, np.hypot(0.1, 0.4 * np.sqrt(0.75 * 0.25))])


@pytest.mark.parametrize(
    ("layout", "grid", "columns", "problem"),
    [
        ("hist", [0.0, 1.0, 2.0], {"pdfs": [[np.nan, 1.0]]}, Problem.NOT_FINITE),
        ("hist", [0.0, 1.0, 2.0], {"pdfs": [[np.inf, 1.0]]}, Problem.NOT_FINITE),
        ("hist", [0.0, 1.0, 2.0], {"pdfs": [[1.7e308, 1.7e308]]}, Problem.NOT_FINITE),
        ("interp", [0.0, 9.0], {"yvals": [[1.7e308, 1.7e308]]}, Problem.NOT_FINITE),
        ("quant", [0.1, 0.5, 0.9], {"locs": [[-1.7e308, 0.5, 1.7e308]]}, Problem.NOT_FINITE),
        ("hist", [0.0, 1.0, 2.0], {"pdfs": [[-0.1, 1.0]]}, Problem.NEGATIVE),
        ("hist", [0.0, 1.0, 2.0], {"pdfs": [[0.0, 0.0]]}, Problem.ZERO),
        ("interp", [0.0, 1.0], {"yvals": [[0.0, 0.0]]}, Problem.ZERO),
        ("interp", [0.0, 1.0], {"yvals": [[1.0, -1.0]]}, Problem.NEGATIVE),
        ("quant", [0.1, 0.5, 0.9], {"locs": [[0.3, 0.2, 0.5]]}, Problem.DISORDERED),
        ("quant", [0.1, 0.5, 0.9], {"locs": [[0.3, np.nan, 0.5]]}, Problem.NOT_FINITE),
        ("quant", [0.1, 0.5, 0.9], {"locs": [[-99.0, -99.0, -99.0]]}, Problem.ZERO),
        ("norm", None, {"loc": [[0.5]], "scale": [[0.0]]}, Problem.ZERO),
        ("norm", None, {"loc": [[0.5]], "scale": [[-0.1]]}, Problem.NEGATIVE),
        ("norm", None, {"loc": [[np.nan]], "scale": [[0.1]]}, Problem.NOT_FINITE),
        ("mixmod", None, {"means": [[0.5]], "stds": [[0.1]], "weights": [[0.0]]}, Problem.ZERO),
        ("mixmod", None, {"means": [[0.5, 0.5]], "stds": [[0.1, 0.1]], "weights": [[2.0, -1.0]]},
         Problem.NEGATIVE),
        ("interp_irregular", None, {"xvals": [[0.0, 0.5, 0.4]], "yvals": [[0.0, 1.0, 0.0]]},
         Problem.DISORDERED),
        ("interp_irregular", None, {"xvals": [[0.5, 0.5, 0.5]], "yvals": [[0.0, 1.0, 0.0]]},
         Problem.ZERO),
    ],
)  # fmt: skip
def test_p_z_that_cannot_be_used_are_flagged_and_nan(layout, grid, columns, problem):
    table = PdfTable.of_arrays(layout, columns, grid)
    found = table.problems()
    assert found.counts == {problem: 1}
    assert problem.text in repr(found)
    assert np.isnan(table.probability(None, EDGES)).all()
    assert np.isnan(table.moments()).all()


def test_rounding_below_0_is_no_problem_and_counts_as_0():
    table = PdfTable.of_arrays("hist", {"pdfs": [[-1e-9, 1.0]]}, [0.0, 1.0, 2.0])
    assert not table.problems().counts
    assert table.probability(None, [0.0, 1.0, 2.0])[0].tolist() == [0.0, 1.0]


def test_p_z_off_the_grid_are_flagged_where_redshifts_are_given():
    table = PdfTable.of_arrays("hist", {"pdfs": [[1.0, 0.0], [0.0, 1.0]]}, [0.0, 0.1, 2.0])
    assert not table.problems().counts
    assert table.problems([0.2, 1.0]).flags.tolist() == [Problem.OFF_GRID, 0]
    assert table.problems([0.2, 1.0]).rows.tolist() == [0]


@pytest.mark.parametrize("edges", [[0.1], [0.2, 0.1], [0.1, np.inf], [[0.1, 0.2]], [0.1, np.nan]])
def test_edges_that_are_none_are_refused(edges):
    table = PdfTable.of_arrays("norm", {"loc": [0.5], "scale": [0.1]})
    with pytest.raises(ValueError, match=r"^edges must be "):
        table.probability(None, edges)
