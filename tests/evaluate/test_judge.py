"""The one judge: its numbers against those of the library, its file, and its uses."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from astropy.table import Table

from truez.cosmology import COSMOLOGIES
from truez.evaluate import evaluate
from truez.evaluate.estimates import FieldFile
from truez.evaluate.evaluation import evaluate_fields, evaluate_mock
from truez.evaluate.judge import Judge, sigma_calibration, sub_box_cells
from truez.evaluate.labels import FIELDS, explanation, heading, label, sentence, with_article
from truez.evaluate.store import BANDS, REDSHIFTS, Numbers, in_words, read_json, short
from truez.evaluate.summary import Mean, Measured
from truez.evaluate.tables import make_table, plus_minus
from truez.experiments.benchmark import SETTINGS, Job
from truez.experiments.benchmark.methods import METHODS, measure
from truez.linear.fit import fit_linear_model
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.reconstruct import estimate
from truez.sightlines.calibration import calibrate
from truez.sightlines.intensity import Intensity
from truez.sightlines.redistribution import information_gain
from truez.simulate import lognormal_galaxies
from truez.statistics.power import compare
from truez.statistics.scores import sub_box_scores
from truez.surveys.mock import MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.selection import Selection

BOX = Box.from_cellsize(128.0, 4.0)


def white(seed, box=BOX, scale=1.0):
    rng = np.random.default_rng(seed)
    values = torch.from_numpy(scale * rng.standard_normal(box.meshsize).astype(np.float32))
    return Field(values - values.mean(), box, "delta")


@pytest.fixture(scope="module")
def mock():
    galaxies = lognormal_galaxies(
        BOX, COSMOLOGIES["wmap"], redshift=0.59, density=2e-2, bias=1.2, seed=4
    )
    config = MockConfig(
        redshift=0.59,
        cosmology=COSMOLOGIES["wmap"],
        sigma_z=0.004,
        redshift_space=False,
        rank_by="order",
        spec=Selection(density=2e-3),
        seed=5,
    )
    order = np.random.default_rng(6).permutation(len(galaxies.positions))
    return make_mock(galaxies.positions, BOX, config, columns={"order": order.astype(float)})


@pytest.fixture(scope="module")
def moved(mock):
    """An estimate with an error and an intensity."""
    return estimate(mock.surveys, "redistribution")


@pytest.fixture(scope="module")
def found(mock, moved):
    return evaluate(mock, wiener=estimate(mock.surveys, "wiener").field, moved=moved)


# One field beside the truth


def test_constant_fields_score_what_they_must():
    truth = white(0)
    judge = Judge(truth)
    zero, empty = judge.constant(0.0), judge.constant(-1.0)
    assert zero["mse"] == pytest.approx(judge.variance, rel=1e-6)
    assert zero["mse_over_variance"] == pytest.approx(1, rel=1e-6)
    assert empty["mae"] == pytest.approx(float((truth.values + 1).abs().mean()), rel=1e-6)
    assert "power" not in zero


def test_the_truth_is_perfect():
    judge = Judge(white(0))
    found = judge.judge(judge.truth)
    assert found["mse"] == found["smoothed"]["8.0"]["mae"] == 0
    assert np.array_equal(found["cross"], found["power"], equal_nan=True)


def test_numbers_of_a_box_are_those_of_the_library():
    truth, other = white(0), white(1, scale=0.5)
    field = replace(other, values=other.values + truth.values)
    judge = Judge(truth)
    content = {"truth": judge.of_truth(), "methods": {"one": judge.judge(field)}}
    box = Numbers(json.loads(json.dumps(content, default=lambda a: a.tolist())))
    found = box.numbers("one")
    assert found["mse_4"] == pytest.approx(
        float((field.smooth(4).values - truth.smooth(4).values).double().square().mean()), rel=1e-5
    )
    for band in BANDS[5:]:
        wanted = compare(field, truth=truth, edges=band)
        sums = box.spectra(box.methods["one"], band)
        # Shells are counted in a band by their mean k, so that its ends are rough.
        assert sums.r == pytest.approx(float(wanted.r[0]), abs=0.03)
        assert sums.transfer == pytest.approx(float(wanted.transfer[0]), abs=0.03)
    everything = box.spectra(box.methods["one"], (0.0, 9.0))
    whole = compare(field, truth=truth, edges=(0.0, judge.edges[-1]))
    assert everything.nmodes == whole.nmodes[0]
    assert everything.r == pytest.approx(float(whole.r[0]), rel=1e-5)


def test_short_keeps_seven_digits():
    values = np.array([0.0, 123.456789, -1.23456789e-9, 9.87654321e12, math.nan])
    assert np.allclose(short(values), values, rtol=1e-6, equal_nan=True)
    assert json.dumps(short(values)[1]) == "123.4568"


def test_sigma_is_judged_in_tenths():
    rng = np.random.default_rng(5)
    truth = white(0)
    sigma = torch.from_numpy(rng.uniform(0.5, 3, BOX.meshsize).astype(np.float32))
    sigma[0] = 0  # cells that no galaxy can be in
    field = replace(truth, values=truth.values + sigma * white(1).values)
    right = sigma_calibration(truth, field, sigma)
    assert right["variance"] == pytest.approx(np.ones(10), abs=0.1)
    assert right["share"] == pytest.approx(31 / 32)
    assert np.all(np.diff(right["sigma"]) > 0)
    half = sigma_calibration(truth, field, sigma / 2)
    assert half["variance"] == pytest.approx(4 * np.asarray(right["variance"]), rel=1e-5)
    assert half["all"] == pytest.approx(4 * right["all"], rel=1e-5)


# Means and words


def test_errors_are_those_of_the_mean():
    found = Mean.of([1.0, 2.0, 3.0, 6.0])
    assert found.mean == 3
    assert found.error == pytest.approx(math.sqrt(14 / 3) / 2)
    assert math.isnan(Mean.of([1.0]).error)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.84, 0.86), "0.850 ± 0.010"),
        ((117.0, 143.0), "130 ± 13"),
        ((0.5, 0.5), "0.5000"),
        ((0.123456,), "0.1235"),
        ((1e-9, -1e-9), "0.000"),
        ((math.nan,), "—"),
        ((), "—"),
    ],
)
def test_numbers_with_their_errors(values, text):
    assert plus_minus(Mean.of(values)) == text


# One definition


def test_evaluate_and_benchmark_have_the_same_r_in_every_band(mock, tmp_path):
    job = Job(folder=tmp_path, seeds=(1,), draws=0, controls=False, cellsize=4.0)
    box = Numbers(measure(mock, job, SETTINGS["fiducial"]))
    _, photo, spec = mock.fields()
    filtered = fit_linear_model(spec=spec, photo=photo, surveys=mock.surveys).wiener(
        spec=spec, photo=photo, use="both"
    )
    mine = evaluate(mock, wiener=filtered, redistribution=estimate(mock.surveys, "redistribution"))
    metrics, bands = mine.to_dict(), box.bands
    assert len(bands) > 3
    for name in ("photo", "spec", "wiener", "redistribution"):
        theirs = [box.spectra(box.methods[name], band).r for band in bands]
        assert metrics[name]["r_bands"] == dict(zip(map(in_words, bands), theirs, strict=True))
    box.write(tmp_path / "box.json")
    kept = Numbers.read(tmp_path / "box.json")
    for band in bands:
        whole, short = (one.spectra(one.methods["wiener"], band).r for one in (box, kept))
        assert short == pytest.approx(whole, rel=1e-6)


def test_r_of_a_band_is_that_of_its_summed_spectra():
    truth, other = white(0), white(1, scale=0.5)
    field = replace(other, values=other.values + truth.values)
    judge = Judge(truth)
    box = Numbers({"truth": judge.of_truth(), "methods": {"one": judge.judge(field)}})
    spectra = box.shells("one")
    for band in box.bands:
        rows = (spectra.k >= band[0]) & (spectra.k < band[1])
        rr, tt, rt = (
            (power * spectra.nmodes)[rows].sum()
            for power in (spectra.power_rr, spectra.power_tt, spectra.power_rt)
        )
        expected = rt / math.sqrt(rr * tt)
        assert Measured([box]).r("one", band).mean == pytest.approx(expected, rel=1e-12)


def test_shells_are_those_of_the_library():
    truth, field = white(0), white(1)
    judge = Judge(truth)
    box = Numbers({"truth": judge.of_truth(), "methods": {"one": judge.judge(field)}})
    wanted, spectra = compare(field, truth=truth), box.shells("one")
    for name in ("edges", "nmodes"):
        assert np.array_equal(getattr(spectra, name), getattr(wanted, name))
    for name in ("k", "power_rr", "power_tt", "power_rt", "r", "transfer"):
        np.testing.assert_allclose(getattr(spectra, name), getattr(wanted, name), rtol=1e-12)


def test_a_region_is_cut_after_smoothing_and_its_sub_boxes_are_its_own():
    truth, field, region = white(0), white(1), ((0, 8, 4), (32, 32, 32))
    judge = Judge(truth, region=region, cells=(16, 12, 14))
    entry = judge.judge(field, sigma=torch.ones(BOX.meshsize))
    smooth = [one.smooth(4.0).crop(*region).values for one in (field, truth)]
    expected = float((smooth[0] - smooth[1]).double().square().mean())
    assert entry["smoothed"]["4.0"]["mse"] == pytest.approx(expected, rel=1e-5)
    wanted = sub_box_scores(field, truth=truth, cells=(16, 12, 14), region=region)
    assert entry["sub_boxes"]["ssim"]["mean"] == wanted.mean.ssim
    assert entry["sub_boxes"]["ssim"]["error"] == wanted.error.ssim
    assert entry["sigma_calibration"]["share"] == 1
    assert len(entry["sigma_calibration"]["variance"]) == 10


@pytest.mark.parametrize(
    ("size", "options", "cells"),
    [
        ((128, 128, 128), {}, (10, 10, 10)),  # 50 Mpc/h
        ((400, 400, 800), {}, (50, 50, 50)),
        ((32, 32, 32), {}, None),  # none is large enough for SSIM
        ((128, 128, 128), {"sides": (100.0,), "least": 1}, (32, 32, 32)),
    ],
)
def test_sub_boxes_divide_the_box_evenly(size, options, cells):
    assert sub_box_cells(Box.from_cellsize(size, 4.0), **options) == cells


# The store


def test_numbers_come_back_from_their_file(tmp_path):
    truth = white(0)
    judge = Judge(truth, cells=sub_box_cells, ells=(0, 2))
    sigma = torch.rand(BOX.meshsize) + 0.5
    methods = {
        "zero": judge.constant(0.0),
        "one": judge.judge(white(1), sigma=sigma, posteriors={"nats": 0.25}),
        "two": judge.judge(white(2), sigma=1.5),
    }
    content = {"truth": judge.of_truth(), "methods": methods, "optimum": {"observed": judge.edges}}
    box = Numbers(content)
    box.write(tmp_path / "box.json")
    back = Numbers.read(tmp_path / "box.json")
    assert list(back.methods) == list(box.methods)
    for name in methods:
        assert back.numbers(name) == pytest.approx(box.numbers(name), nan_ok=True)
    assert np.array_equal(back.edges, box.edges)
    np.testing.assert_allclose(back.k, box.k, rtol=1e-6)
    np.testing.assert_allclose(back.shells("one").r, box.shells("one").r, rtol=1e-5)
    for ell in (0, 2):
        one, other = (b.pole(b.methods["one"], ell, BANDS[-1]) for b in (box, back))
        assert other == pytest.approx(one, rel=1e-6)
    back.write(tmp_path / "again.json")
    assert read_json(tmp_path / "again.json") == read_json(tmp_path / "box.json")


def test_calibration_is_read_from_numbers_of_earlier_versions():
    pit = np.full(10, 0.1)
    pit[:2] = 0.13, 0.07
    shares = {"nats": 0.5, "nats_own_place": 0.6, "pit": pit.tolist(), "inside": 0.67, "num": 9}
    judge = Judge(white(0))
    entry = judge.judge(white(1), posteriors=shares)
    earlier = Numbers({"truth": judge.of_truth(), "methods": {"one": entry}})
    found = earlier.numbers("one")
    assert found["pit_worst_tenth"] == pytest.approx(3)
    assert found["inside_68"] == pytest.approx(67)
    later = Numbers(earlier.content | {"methods": {"one": judge.judge(white(2), posteriors={
        "nats": 0.5, "nats_own_place": 0.6, "pit_worst_tenth": 1.0, "inside_68": 69.0, "ln_p": -3.0,
    })}})  # fmt: skip
    both = Measured([earlier, later]).numbers("one")
    assert both["inside_68"].mean == pytest.approx(68)
    assert "ln_p" not in both


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "box.json").write_text("{")
    with pytest.raises(
        ValueError,
        match=r"box\.json is damaged in line 1, column 2: remove it, and it is made again",
    ):
        Numbers.read(tmp_path / "box.json")


# What a user asks for


def test_an_intensity_gives_nats_and_a_sigma_its_calibration(found, mock, moved):
    metrics = found.to_dict()
    given = Intensity.of(moved, mock.box)
    assert given.pairs is not None
    wanted = information_gain(mock.surveys, given.on_mesh(mock.box), mock.truth)
    assert metrics["moved"]["nats"] == pytest.approx(wanted)
    assert metrics["moved"]["nats"] > 0.05
    own = np.nanmean(calibrate(mock.surveys, given, mock.truth).gain)
    assert metrics["moved"]["nats_own_place"] == pytest.approx(own)
    truth = mock.fields()[0]
    wanted = sigma_calibration(truth, moved.field, moved.sigma)
    assert metrics["moved"]["sigma_calibration"]["all"] == pytest.approx(wanted["all"])
    # The error of a filtered field is the same in every cell.
    assert set(metrics["wiener"]["sigma_calibration"]) == {"all"}
    for name in ("zero", "empty", "photo", "spec", "wiener"):
        assert {metrics[name][key] for key in REDSHIFTS} == {None}
    titles = [table.title for table in found.tables()]
    assert titles[-2:] == ["Redshifts", "Variance of (truth - estimate) / sigma"]


def test_a_file_with_an_intensity_gives_nats(found, mock, moved, tmp_path):
    path = tmp_path / "moved.h5"
    moved.field.write(path, sigma=moved.sigma, intensity=moved.intensity)
    again = evaluate_mock(mock, {"moved": FieldFile.read(path)}).to_dict()
    assert again["moved"] == found.to_dict()["moved"]


def test_a_truth_without_galaxies_judges_no_redshifts(mock, moved):
    truth, photo, spec = mock.fields()
    entry = evaluate_fields(Judge(truth), photo, spec, {"moved": moved}).to_dict()["moved"]
    assert {entry[key] for key in REDSHIFTS} == {None}
    assert entry["mse"] > 0


def test_the_result_is_a_table_a_figure_and_a_short_text(found):
    table = found.to_table()
    assert list(table["field"]) == ["zero", "empty", "photo", "spec", "wiener", "moved"]
    assert table["mse"][4] == found.to_dict()["wiener"]["mse"]
    for key in REDSHIFTS:
        assert np.isnan(table[key][:5]).all()
        assert table[key][5] == found.to_dict()["moved"][key]
    assert table["r_0.3-0.5"][5] == found.to_dict()["moved"]["r_bands"]["0.3-0.5"]
    assert len(found.plot().axes) == 4
    assert len(repr(found).splitlines()) <= 5
    assert "lowest mean squared error: moved" in repr(found)
    assert "<table" in found._repr_html_()


@pytest.mark.medium
@pytest.mark.usefixtures("rough_figures")
def test_the_folder_holds_a_page_and_the_numbers(found, tmp_path):
    page = found.write(tmp_path / "report", title="two methods")
    assert page == tmp_path / "report" / "index.html"
    names = {path.name for path in page.parent.iterdir()}
    assert {"metrics.json", "about.json", "numbers.json", "table.md", "spectra.ecsv"} <= names
    assert {"slices_along.png", "slices_across.png", "spectra.png", "power_2d.png"} <= names
    text = page.read_text(encoding="utf-8")
    assert "two methods" in text
    assert "Two surveys of" in text
    kept = Numbers.read(page.parent / "numbers.json")
    metrics = json.loads((page.parent / "metrics.json").read_text(encoding="utf-8"))
    for key in REDSHIFTS:
        assert metrics["moved"][key] == kept.numbers("moved")[key]
    r = Table.read(page.parent / "spectra.ecsv")["r_moved"]
    np.testing.assert_allclose(kept.shells("moved").r, r, rtol=1e-5)


@dataclass
class Given:
    delta: object
    sigma: object = None
    intensity: object = None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"region": "north"}, "region must be one of auto, all, evaluation, train, validation, te"),
        ({"mine": "wiener.h5"}, "mine must be a Field or a reconstruction"),
        ({"mine": Given(np.zeros(3))}, "mine must be a Field or a reconstruction"),
        ({"photo": white(0)}, "a reconstruction must not be called 'photo'"),
        ({"mine": white(0, Box(64.0, 16))}, "mine lies on another box"),
        ({"mine": Field(torch.ones(BOX.meshsize), BOX, "counts")}, "mine must be an overdensity"),
        (
            {"mine": Given(white(0), intensity=torch.zeros(BOX.meshsize))},
            "intensity must be positive and finite",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(mock, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        evaluate(mock, **options)


def test_what_is_no_mock_is_refused():
    with pytest.raises(ValueError, match=r"mock must be a Mock, as .* returns it, not Field"):
        evaluate(white(0))


@pytest.mark.medium
def test_the_judge_is_imported_without_the_pictures():
    code = (
        "import sys; from truez.evaluate import evaluate; import truez.evaluate.evaluation; "
        "print('matplotlib' in sys.modules)"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "False"


# Labels


def test_every_method_has_a_label():
    assert [name for name in FIELDS if name in METHODS] == list(METHODS)
    assert len({field.short for field in FIELDS.values()}) == len(FIELDS)


def test_labels_of_names():
    assert (label("wiener"), label("mine")) == ("Wiener, both", "mine")
    assert (sentence("photo"), with_article("photo")) == ("photo survey", "the photo survey")
    assert (with_article("columns"), explanation("columns")) == ("columns", "")
    assert heading("mse_over_variance_4") == ("MSE/Var, R = 4", "#.3g", -1)
    assert heading("sub_psnr")[0] == "PSNR [dB]"
    assert heading("inside_68")[0] == "in 68% interval [%]"  # no smoothing with 68 Mpc/h


def test_all_that_reads_like_the_best_is_marked():
    rows = [("a", [("1.0", 1.01)]), ("b", [("1.0", 0.99)]), ("c", [("2.0", 2.0)]),
            ("d", [("—", math.nan)])]  # fmt: skip
    assert make_table("t", [("x", -1)], rows).best == {(0, 1), (1, 1)}
    assert make_table("t", [("x", 1)], rows).best == {(2, 1)}
    assert make_table("t", [("x", 0)], rows).best == frozenset()
