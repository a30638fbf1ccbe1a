"""The paper's figures: what they draw are the numbers they say, on scales that can be compared."""

from __future__ import annotations

import re

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image
from tests.evaluate.printed import assert_fits_a_page_and_is_legible

from truez.evaluate import deviations
from truez.evaluate.deviations import in_boxes
from truez.evaluate.figures.calibration import gains, pit, sigma
from truez.evaluate.figures.captions import CAPTIONS, PAPER_FIGURES, paper_caption
from truez.evaluate.figures.curves import auto_and_cross, correlations, multipoles
from truez.evaluate.figures.losses import losses
from truez.evaluate.figures.planes import power_2d as draw_planes
from truez.evaluate.figures.sample_bands import samples as draw_samples
from truez.evaluate.figures.sample_bands import sky_samples as draw_sky_samples
from truez.evaluate.figures.slices import project, slabs, slices, zoom_corners, zooms
from truez.evaluate.figures.spectra import Line, optimum, response, spectra, spectra_in_settings
from truez.evaluate.judge import Judge
from truez.evaluate.sample_bands import sample_bands
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.statistics.correlation import correlation
from truez.statistics.power import compare, power, power_2d

BOX = Box(64.0, 32)
NAMES = ("ours", "wiener", "spec", "photo")
#: "corrections" is drawn by `auto_and_cross`; those of the sky, of photo-z and of samples have test
#: files of their own.
DRAWN = set(CAPTIONS) - {
    "corrections", "wedge", "number_densities", "gain_by_place", "sky_scores", "sky_slices",
    "sky_maps", "photoz_scatter", "photoz_residuals", "photoz_pit", "photoz_by", "photoz_pdf_by",
    "samples_coverage", "samples_ranks", "samples_deviations", "samples_tenths",
}  # fmt: skip


@pytest.fixture(scope="module")
def fields():
    """A truth of lognormal cells and estimates made from it."""
    rng = np.random.default_rng(0)
    white = Field(torch.from_numpy(rng.normal(0, 3, BOX.meshsize)).float(), BOX, "delta")
    values = np.exp(white.smooth(2.0).numpy())
    truth = values / values.mean() - 1
    noise = rng.normal(0, truth.std(), BOX.meshsize)
    made = {
        "truth": truth,
        "ours": truth + 0.2 * noise,
        "wiener": 0.8 * truth,
        "spec": 1.5 * truth + noise,
        "photo": noise,
    }
    return {name: Field(torch.from_numpy(v).float(), BOX, "delta") for name, v in made.items()}


def compared(field, truth):
    return in_boxes(lambda a, b: compare(a, truth=b), field, truth, cells=16)


@pytest.fixture(scope="module")
def comparisons(fields):
    return {name: compared(fields[name], fields["truth"]) for name in NAMES}


@pytest.fixture(scope="module")
def measured(fields):
    return {name: in_boxes(power, field, cells=16) for name, field in fields.items()}


def xi(*fields):
    return correlation(*fields, edges=[3, 6, 9, 12, 15])


@pytest.fixture(scope="module")
def xis(fields):
    truth = fields["truth"]
    auto = {name: in_boxes(xi, fields[name], cells=16) for name in NAMES}
    cross = {name: in_boxes(xi, fields[name], truth, cells=16) for name in NAMES}
    return auto, cross, in_boxes(xi, truth, cells=16)


@pytest.fixture(scope="module")
def judged(fields):
    """Samples of two estimates beside the truth."""
    rng = np.random.default_rng(1)
    truth, judge = fields["truth"], Judge(fields["truth"], radii=(4.0,))
    noise = [rng.normal(0, 0.3 * float(truth.values.std()), BOX.meshsize) for _ in range(4)]
    samples = [Field(torch.from_numpy(truth + one).float(), BOX, "delta") for one in noise]
    return {
        name: sample_bands(judge, fields[name], samples[:number], seed=1)
        for name, number in (("ours", 4), ("wiener", 2))
    }


@pytest.fixture(scope="module")
def drawn(fields, comparisons, measured, xis, judged):
    shown = {name: measured[name] for name in NAMES}
    r_opt = np.linspace(1, 0.5, len(comparisons["ours"][0].k))
    whole = {name: compare(fields[name], truth=fields["truth"]) for name in NAMES}
    best = np.full(len(whole["ours"].k), 0.9)
    step = np.arange(20.0)
    k = whole["ours"].k
    shares = {name: Line(k, found.r, 0 * k + 0.02) for name, found in whole.items()}
    tenths = {name: Line((step[:10] + 0.5) / 10, 10 + step[:10], 0.1 * step[:10]) for name in NAMES}
    numbers = {"fiducial": {"ours": (0.8, 0.1), "spec": (1.2, float("nan"))}, "sparse": {}}
    two = ("fiducial", "sparse")
    return {
        "slices_along": slices(fields),
        "slices_across": slices(fields, view="across"),
        "slab": slabs({name: project(field, 1) for name, field in fields.items()}),
        "spectra": spectra(whole, r_opt=best),
        "spectra_in_settings": spectra_in_settings(
            dict.fromkeys(two, shares),
            dict.fromkeys(two, shares),
            dict.fromkeys(two, Line(k, best)),
        ),
        "optimum": optimum(dict.fromkeys(two, shares)),
        "pit": pit(dict.fromkeys(two, tenths)),
        "sigma": sigma(dict.fromkeys(two, tenths)),
        "gains": gains(numbers, numbers),
        "losses": losses(
            step, 5 + 1 / (1 + step), np.full(20, 6.0), levels={"zero field": 7.2, "Wiener": 4.0}
        ),
        "zooms": zooms({n: fields[n] for n in ("truth", "ours", "spec")}, side=16.0),
        "auto_and_cross": auto_and_cross(comparisons, r_opt=r_opt),
        "power_2d": draw_planes({name: power_2d(field) for name, field in fields.items()}),
        "multipoles": multipoles(shown, measured["truth"]),
        "correlations": correlations(*xis),
        "response": response(whole, r_opt=best),
        "samples": draw_samples(judged),
        "sky_samples": draw_sky_samples(judged),
    }


def lines(panel):
    return {line.get_label(): line for line in panel.lines}


# --- what is drawn ------------------------------------------------------------------------------


def test_boxes_are_cut_alike_from_all_fields(fields):
    pairs = in_boxes(lambda a, b: (a, b), fields["truth"], fields["ours"], cells=(16, 16, 15))
    assert len(pairs) == 8
    assert len({a.box for a, _ in pairs}) == 8
    for a, b in pairs:
        assert a.box == b.box
        assert a.box.meshsize == (16, 16, 15)
    assert float(sum(a.values.sum() for a, _ in pairs)) == pytest.approx(
        float(fields["truth"].values[:, :, :30].sum()), abs=0.1
    )


def test_the_three_sigmas_of_the_power(comparisons):
    auto, cross = deviations.auto_and_cross(comparisons)
    truth = np.array([c.power_tt for c in comparisons["ours"]])
    np.testing.assert_allclose(auto.sigma("scatter"), truth.std(axis=0, ddof=1))
    np.testing.assert_allclose(auto.sigma("error"), truth.std(axis=0, ddof=1) / np.sqrt(8))
    modes = 8 * comparisons["ours"][0].nmodes / 2  # a mode and its conjugate are one
    np.testing.assert_allclose(cross.sigma("modes"), truth.mean(axis=0) / np.sqrt(modes))
    assert auto.kind("auto") == cross.kind("auto") == "error"
    assert "8 boxes" in auto.words("scatter")
    assert "√8" in auto.words("error")


def test_one_box_has_the_sigma_of_its_modes_or_none(comparisons, xis):
    one = {name: each[:1] for name, each in comparisons.items()}
    assert deviations.auto_and_cross(one)[0].kind("auto") == "modes"
    assert "one box" in deviations.auto_and_cross(one)[0].words("modes")
    assert deviations.correlations({"ours": xis[0]["ours"][:1]}, xis[2][:1]).kind("auto") is None


def test_gaussian_errors_of_the_poles():
    """An isotropic P: 1, 5 and 9 times the variance of the monopole; and as they are measured."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(60):
        values = torch.from_numpy(rng.normal(0, 1, (16,) * 3)).float()
        found.append(power(Field(values, Box(64.0, 16), "delta"), edges=[0.2, 0.5, 0.75]))
    for ell in (0, 2, 4):
        curves = deviations.poles({"same": found}, found, ell)
        level = np.mean([p.poles[0] for p in found], axis=0)
        expected = level * np.sqrt(2 * (2 * ell + 1) / (60 * found[0].nmodes))
        np.testing.assert_allclose(curves.sigma("modes"), expected, rtol=0.05)
        np.testing.assert_allclose(curves.sigma("error"), expected, rtol=0.35)


def test_power_and_its_deviations_are_those_measured(drawn, comparisons):
    upper, right, lower, lower_right = drawn["auto_and_cross"].axes
    truth = np.array([c.power_tt for c in comparisons["ours"]])
    mean, error = truth.mean(axis=0), truth.std(axis=0, ddof=1) / np.sqrt(8)
    for panel, below, attribute in (
        (upper, lower, "power_rr"),
        (right, lower_right, "power_rt"),
    ):
        assert set(lines(panel)) == {*NAMES, "truth", "linear optimum"}
        values = np.mean([getattr(c, attribute) for c in comparisons["spec"]], axis=0)
        np.testing.assert_allclose(lines(panel)["spec"].get_ydata(), values)
        np.testing.assert_allclose(lines(panel)["truth"].get_ydata(), mean)
        expected = {tuple(np.round((values - mean) / error, 6)), tuple(np.round(-mean / error, 6))}
        assert expected <= {tuple(np.round(line.get_ydata(), 6)) for line in below.lines}
    optimum = np.linspace(1, 0.5, len(mean)) ** 2 * mean
    np.testing.assert_allclose(lines(right)["linear optimum"].get_ydata(), optimum)


def test_samples_are_bands_and_estimates_lines(drawn, judged):
    figure = drawn["samples"]
    assert len(figure.axes) == 9
    upper, below, r = figure.axes[0], figure.axes[3], figure.axes[6]
    one = judged["ours"]
    k, low, high = one.x["P0"], *np.percentile(one.samples["P0"], (16, 84), axis=0)
    band = upper.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx((k * low).min())
    assert band[:, 1].max() == pytest.approx((k * high).max())
    np.testing.assert_allclose(lines(upper)["ours"].get_ydata(), k * one.estimate["P0"])
    np.testing.assert_allclose(lines(upper)["truth"].get_ydata(), k * one.truth["P0"])
    np.testing.assert_allclose(lines(r)["r² of ours"].get_ydata(), one.estimate["r"] ** 2)
    deviation = 100 * (one.estimate["P0"] / one.truth["P0"] - 1)
    assert any(np.allclose(line.get_ydata(), deviation) for line in below.lines)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[0] == "truth"
    assert "4 samples of ours" in names
    with pytest.raises(ValueError, match="found must hold the samples of at least one field"):
        draw_samples({})


def test_a_truth_against_itself_deviates_nowhere(fields):
    truth = fields["truth"]
    figure = auto_and_cross({"same": compared(truth, truth)})
    # the line of no deviation, the field, and the zero field
    none, same, zero = (np.abs(line.get_ydata()).max() for line in figure.axes[2].lines)
    assert none == 0
    assert same < 1e-9
    assert zero > 1


def test_the_words_for_sigma_are_on_the_figure(drawn, comparisons):
    for name in ("auto_and_cross", "multipoles", "correlations"):
        texts = [text.get_text() for text in drawn[name].findobj(Text)]
        assert any(re.search(r"error of the truth's mean over 8 boxes", text) for text in texts)
    figure = auto_and_cross(comparisons, sigma="scatter")
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert any("standard deviation of the truth between 8 boxes" in text for text in texts)


def test_panels_of_deviations_share_their_scale(drawn):
    for name, number in (("auto_and_cross", 2), ("multipoles", 3), ("correlations", 2)):
        below = drawn[name].axes[number:]
        assert len(below) == number
        assert len({panel.get_ylim() for panel in below}) == 1
        assert len({panel.get_xlim() for panel in drawn[name].axes}) == 1


def test_multipoles_are_drawn_times_k(drawn, measured):
    titles = [panel.get_title() for panel in drawn["multipoles"].axes[:3]]
    assert titles == ["$P_0$", "$P_2$", "$P_4$"]
    for panel, ell in zip(drawn["multipoles"].axes, (0, 2, 4), strict=False):
        mean = np.mean([p.poles[ell] for p in measured["ours"]], axis=0)
        k = measured["ours"][0].k
        np.testing.assert_allclose(lines(panel)["ours"].get_ydata(), k * mean)
        low, high = panel.get_ylim()
        assert low < (k * mean).min() < (k * mean).max() < high


def test_correlations_are_drawn_times_r_squared(drawn, xis):
    panel = drawn["correlations"].axes[1]
    r = xis[2][0].r
    mean = np.mean([c.xi for c in xis[1]["wiener"]], axis=0)
    np.testing.assert_allclose(lines(panel)["wiener"].get_ydata(), r**2 * mean)


def test_the_response_holds_its_ratios(drawn, fields):
    found = compare(fields["wiener"], truth=fields["truth"])
    r, transfer, ratio = drawn["response"].axes
    np.testing.assert_allclose(lines(r)["wiener"].get_ydata(), 1, rtol=1e-5)
    np.testing.assert_allclose(lines(r)["linear optimum"].get_ydata(), 0.9)
    assert list(lines(transfer)["zero field"].get_ydata()) == [0, 0]
    drawn_ratios = [line.get_ydata() for line in ratio.lines]
    expected = found.power_rr / found.power_rt
    np.testing.assert_allclose(expected, 0.8, rtol=1e-5)
    assert any(len(y) == len(expected) and np.allclose(y, expected) for y in drawn_ratios)


def test_losses_have_lines_to_compare_with(drawn):
    (panel,) = drawn["losses"].axes
    assert lines(panel)["zero field, 7.2"].get_ydata()[0] == 7.2
    assert lines(panel)["Wiener, 4"].get_ydata()[0] == 4.0
    assert panel.get_ylim()[0] < 4.0 < 7.2 < panel.get_ylim()[1]


# --- zooms --------------------------------------------------------------------------------------


def test_zooms_show_the_squares_of_the_slice_above(drawn, fields):
    panels = np.array(drawn["zooms"].axes[:15]).reshape(5, 3)
    assert [panel.get_title() for panel in panels[0]] == ["truth", "ours", "spec"]
    assert len({id(panel.images[0].norm) for panel in panels.flat}) == 1
    corners = zoom_corners(BOX, 16.0)
    for column in panels.T:
        assert len(column[0].patches) == 4
        for row, (panel, square) in enumerate(zip(column[1:], column[0].patches, strict=True)):
            x, y = square.get_xy()
            assert (x, y) == tuple(corners[row])
            assert panel.get_xlim() == (x, x + 16)
            assert panel.get_ylim() == (y, y + 16)
            assert panel.texts[0].get_text() == "ABCD"[row]
            # one and the same picture, so that a zoom cannot show another place
            assert np.array_equal(panel.images[0].get_array(), column[0].images[0].get_array())


@pytest.mark.parametrize("seed", range(5))
def test_zooms_do_not_overlap_and_lie_in_the_box(seed):
    box = Box((120.0, 80.0, 50.0), (60, 40, 25), (0.0, 10.0, 25.0))
    corners = zoom_corners(box, 24.0, seed=seed)
    assert corners.shape == (4, 2)
    for i in range(4):
        assert (corners[i] >= np.array(box.lower[:2]) - 1e-9).all()
        assert (corners[i] + 24 <= np.array(box.upper[:2]) + 1e-9).all()
        np.testing.assert_allclose((corners[i] - box.lower[:2]) % 2.0, 0, atol=1e-9)
        for j in range(i):
            assert (np.abs(corners[i] - corners[j]) >= 24 - 1e-9).any()
    assert np.array_equal(corners, zoom_corners(box, 24.0, seed=seed))


# --- print --------------------------------------------------------------------------------------


def test_every_figure_has_a_caption(drawn):
    assert set(drawn) == DRAWN
    for title, words in CAPTIONS.values():
        assert title
        assert words.endswith(".")
    for name, number in PAPER_FIGURES.items():
        title, words = paper_caption(name)
        assert title.startswith(f"Fig. {number}: ")
        assert title[8:] == CAPTIONS[name][0][0].lower() + CAPTIONS[name][0][1:]
        assert words == CAPTIONS[name][1]


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_figures_fit_a_page_and_are_legible(drawn, name, tmp_path):
    figure = drawn[name]
    assert_fits_a_page_and_is_legible(figure)
    for panel in figure.axes:
        for label in (panel.get_xlabel(), panel.get_ylabel()):
            unit = re.search(r"\[.*(Mpc|h).*\]", label)
            unitless = re.search(
                r"epoch|step|loss|sigma|delta|r\(k\)|T\(k\)|P_\{|r\^2|probability|\[%\]|MSE|nats",
                label,
            )
            assert label == "" or unit or unitless, label
    figure.savefig(tmp_path / "figure.png", dpi=40)
    with Image.open(tmp_path / "figure.png") as image:
        assert (np.asarray(image.convert("L")) < 250).mean() > 0.02


def test_drawing_leaves_matplotlib_as_it_was(comparisons, fields):
    before = dict(mpl.rcParams)
    auto_and_cross(comparisons)
    zooms({"truth": fields["truth"]})
    assert dict(mpl.rcParams) == before


# --- bad input ----------------------------------------------------------------------------------


def test_bad_input_is_refused(fields, comparisons, measured, xis):
    truth = fields["truth"]
    one = {"ours": comparisons["ours"][:1]}
    other = Field(truth.values + 1, BOX, "counts")
    broken = {
        "sigma must be one of auto, scatter, error, modes, not 'best'": lambda: auto_and_cross(
            comparisons, sigma="best"
        ),
        "sigma = 'scatter' needs two or more boxes, not one": lambda: auto_and_cross(
            one, sigma="scatter"
        ),
        "sigma = 'modes' is known for power spectra only": lambda: correlations(
            *xis, sigma="modes"
        ),
        "there must be at least one field to draw, not none": lambda: auto_and_cross({}),
        "every field must be measured in the same boxes: wiener has 8, the first 1": lambda: (
            auto_and_cross({**one, "wiener": comparisons["wiener"]})
        ),
        "truth must have the bins of the first field in every box": lambda: multipoles(
            {"ours": [power(truth)]}, measured["truth"][:1]
        ),
        "truth must hold at least one measurement to compare with, not none": lambda: multipoles(
            {"ours": measured["ours"]}, []
        ),
        "r_opt must have a number for each of the 7 bins of the spectra, not 3": lambda: (
            auto_and_cross(comparisons, r_opt=np.ones(3))
        ),
        "comparisons must hold at least one field to draw, not none": lambda: response({}),
        "fields must hold at least one field to draw, not none": lambda: zooms({}),
        "counts must be an overdensity on the box of the first field": lambda: zooms(
            {"truth": truth, "counts": other}
        ),
        (
            "4 zooms of 60 Mpc/h do not fit beside each other into 64 x 64 Mpc/h: make them smaller"
        ): lambda: zooms(fields, side=60.0),
        (
            "cells must be one or three whole numbers that fit into the mesh of 32 x 32 x 32 "
            "cells, not 33"
        ): lambda: in_boxes(power, truth, cells=33),
    }
    for sentence, call in broken.items():
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == sentence
