"""The benchmark: its numbers against those of the library, its stages, its page."""

import json
import math
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from truez.cli.app import app
from truez.cli.stages import clock
from truez.cosmology import COSMOLOGIES
from truez.evaluate.box_redshifts import redshift_numbers
from truez.evaluate.judge import Judge
from truez.evaluate.store import BANDS, Numbers, Spectra, in_words
from truez.evaluate.tables import plus_minus
from truez.experiments.benchmark import SETTINGS, Job, benchmark_stages
from truez.experiments.benchmark.acceptance import acceptance, control_figures
from truez.experiments.benchmark.controls import measure_controls, random_surveys, shuffle
from truez.experiments.benchmark.methods import METHODS
from truez.experiments.benchmark.optimum import mean_model, model_from, optimum_of
from truez.experiments.benchmark.run import read_box, read_measured
from truez.experiments.benchmark.settings import seeds_from, settings_from
from truez.experiments.benchmark.universes import catalogues, make_mock
from truez.experiments.recipes import read_recipe
from truez.experiments.stages import needs, run_stages, up_to_date
from truez.linear.model import LinearModel
from truez.linear.modes import mesh_modes
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import irfft, rfft
from truez.mesh.painting import paint
from truez.networks import build_network
from truez.networks.survey_limits import SurveyLimits
from truez.networks.weights import Header, save_weights
from truez.reconstruct import estimate
from truez.sightlines.sharpened import sharpen
from truez.simulate import catalog_from_galaxies, lognormal_galaxies
from truez.statistics.power import compare, power_mu
from truez.surveys.photoz import PhotozError
from truez.surveys.spec import SurveySpec

pytestmark = pytest.mark.usefixtures("rough_figures")
torch.set_num_threads(1)

BOX = Box.from_cellsize(128.0, 4.0)
TRAINED = SurveySpec(
    sigma_z=(0.003, 0.03),
    spec_density=(1e-4, 3e-3),
    photo_density=(5e-3, 4e-2),
    outlier_fraction=(0.0, 0.05),
    redshift_space="both",
)
COLUMN_NET = {"widths": (4, 6), "blocks": (0, 1, 0), "along": 3, "embedding": 2}


def write_weights(path, *, architecture="column-net", settings=COLUMN_NET, **changes):
    """Weights of a fresh network, which as a column network changes nothing."""
    cosmology = COSMOLOGIES["wmap"]
    surveys = SurveySpec(**{**TRAINED.model_dump(), **changes})
    survey = SurveyLimits.from_spec(
        surveys, redshift=0.59, cosmology=cosmology, density=4e-2, resampler="cic"
    )
    network = build_network(architecture, settings)
    save_weights(path, network, Header.of(network, BOX, survey))
    return path


def write_universe(path, seed, side):
    """Lognormal galaxies in a catalogue such as that of ``truez simulate``."""
    box = Box(4.0 * side, side)
    galaxies = lognormal_galaxies(
        box, COSMOLOGIES["wmap"], redshift=0.59, density=4e-2, bias=1.2, seed=seed
    )
    about = {**galaxies.metadata, "box": box.to_dict(), "redshift": 0.59}
    about["cosmology"] = COSMOLOGIES["wmap"].model_dump()
    catalog_from_galaxies(replace(galaxies, metadata=about)).write(path)


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    """Lognormal universes of seeds 1 and 2."""
    folder = tmp_path_factory.mktemp("boxes")
    for seed in (1, 2):
        write_universe(folder / f"{seed}.h5", seed, 32)
    return folder


@pytest.fixture(scope="module")
def done(boxes, tmp_path_factory):
    """A benchmark that was run: the job, and what was told of its stages."""
    folder = tmp_path_factory.mktemp("benchmark")
    job = Job(
        folder=folder / "run",
        seeds=(1, 2),
        settings=[SETTINGS["fiducial"]],
        boxes=boxes,
        weights=write_weights(folder / "columns.safetensors"),
        draws=3,
        controls=False,
        cellsize=4.0,
    )
    told = []
    run_stages(job.folder, benchmark_stages(job), report=lambda name, _, ran: told.append(ran))
    assert all(told)
    return job


@pytest.fixture(scope="module")
def mock(done):
    setting = SETTINGS["fiducial"]
    return make_mock(done, setting, 1, catalogues(done)[1])


@pytest.fixture(scope="module")
def moved(mock):
    return estimate(mock.surveys, "redistribution")


def white(seed, box=BOX, scale=1.0):
    rng = np.random.default_rng(seed)
    values = torch.from_numpy(scale * rng.standard_normal(box.meshsize).astype(np.float32))
    return Field(values - values.mean(), box, "delta")


# What is judged


@pytest.mark.parametrize(
    ("texts", "seeds"),
    [
        (["901-904"], [901, 902, 903, 904]),
        (["1,2"], [1, 2]),
        (["1 2"], [1, 2]),
        (["3", "7-8"], [3, 7, 8]),
    ],
)
def test_seeds_of_words(texts, seeds):
    assert seeds_from(texts) == seeds


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nine", "seeds must be numbers or ranges such as 901-904, not 'nine'"),
        ("-3", "seeds must be numbers or ranges such as 901-904, not '-3'"),
        ("", "seeds must be numbers or ranges such as 901-904, not ''"),
        ("9-4", "seeds must be numbers or ranges that rise, by less than 1000, not '9-4'"),
    ],
)
def test_seeds_that_are_none(text, sentence):
    with pytest.raises(ValueError) as error:
        seeds_from([text])
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"seeds": (901, 1000)},
            (
                "the universe of seed 1000 is not kept for tests: take seeds from 0 to 999, those "
                "from 1000 on belong to validation and training"
            ),
        ),
        ({"seeds": ()}, "seeds must name at least one universe"),
        ({"seeds": (4, 4)}, "seeds must be different, not 4, 4"),
        (
            {"settings": ()},
            "settings must name at least one of fiducial, sparse, narrow, lognormal",
        ),
        (
            {"settings": [SETTINGS["sparse"]], "exact": True},
            "exact needs the setting lognormal: add it, or leave exact out",
        ),
        ({"draws": -1}, "draws must be 0 (no medians) or more, not -1"),
        ({"weights": Path("no.safetensors")}, "there is no weights file no.safetensors"),
    ],
)
def test_jobs_that_cannot_be(changes, sentence):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        Job(**{"folder": Path("run"), **changes})
    assert str(error.value) == sentence


def test_settings_are_those_of_the_validation():
    judged = read_recipe("columns-cpu", ())["columns"]["validation"]
    found = [SurveySpec(**surveys) for surveys in judged if "closed" not in surveys]
    assert found == [setting.surveys for setting in SETTINGS.values() if setting.world is None]
    assert SETTINGS["lognormal"].surveys == SETTINGS["fiducial"].surveys
    assert [s.name for s in settings_from(["narrow", "fiducial"])] == ["fiducial", "narrow"]
    with pytest.raises(
        ValueError, match="setting must be one of fiducial, sparse, narrow, lognormal, not"
    ):
        settings_from(["dense"])


# Posteriors


def test_coverage_is_that_of_the_intervals(mock, moved):
    found = redshift_numbers(mock, moved.intensity)
    sharp = sharpen(mock.surveys, moved.intensity)
    unknown = mock.surveys.photo_only()
    # An interval may lie over a face of the ring.
    low = (mock.truth[:, 2] - sharp.lower) % BOX.boxsize[2]
    inside = low <= sharp.upper - sharp.lower
    assert found["inside_68"] == pytest.approx(100 * inside[unknown].mean(), abs=0.02)
    assert found["num"] == unknown.sum()
    assert sum(found["pit"]) == pytest.approx(1)


# The linear optimum


def linear_model(scale_spec=1.0, scale_cross=1.0):
    k = np.geomspace(0.01, 2.0, 60)
    shape = 2e4 * (k / 0.05) / (1 + (k / 0.05) ** 2.5)
    return LinearModel.from_spectra(
        k,
        2.5 * scale_spec * shape,
        1.5 * scale_cross * shape,
        shape,
        n_spec=1e-3,
        n_photo=1.85e-2,
        n_both=1e-3,
        error=PhotozError(20.0),
        beta_spec=0.4,
        beta_photo=0.6,
        fog_spec=3.0,
        fog_photo=3.0,
    )


def binned(model, edges):
    """Spectra of a model in the bins of (k, mu), by the same sums as those of fields."""
    box, found = BOX, {}
    one = optimum_of({n: np.ones((len(edges) - 1, 10)) for n in ("tt", "ss", "ts")}, model, box,
                     edges=edges, num_boxes=1)  # fmt: skip
    assert one.power.shape == (len(edges) - 1, 10)
    noise = torch.zeros(box.meshsize)
    noise[0, 0, 0] = 1.0
    for name in ("tt", "ss", "ts"):
        modes = rfft(noise).to(torch.complex128)
        for plane, k, k_par, window, shot in mesh_modes(box, model.resampler):
            spectra = model.spectra(k, k_par, window, shot)
            modes[plane] *= torch.sqrt(getattr(spectra, name)) * (k > 0)
        values = irfft(modes.to(torch.complex64), box.meshsize)
        # A field whose every mode has its expected power.
        field = Field(values, box, "delta")
        measured = power_mu(field, edges=edges, num_mu=10).power
        unit = power_mu(Field(noise - noise.mean(), box, "delta"), edges=edges, num_mu=10).power
        found[name] = measured / unit
    return found


def test_the_optimum_of_a_model_is_its_own():
    model, edges = linear_model(), Judge(white(0)).edges
    found = optimum_of(binned(model, edges), model, BOX, edges=edges, num_boxes=4)
    lost = found.lost.sum(axis=1) / found.power.sum(axis=1)
    assert lost == pytest.approx(1 - model.r_opt_shells(edges, BOX) ** 2, rel=1e-3)


def test_the_optimum_comes_from_the_spectra_not_from_the_model():
    """What the fit got wrong by a smooth factor, the measured spectra put right."""
    truth, edges = linear_model(), Judge(white(0)).edges
    wrong = linear_model(scale_spec=1.2, scale_cross=0.9)
    found = optimum_of(binned(truth, edges), wrong, BOX, edges=edges, num_boxes=4)
    lost = found.lost.sum(axis=1) / found.power.sum(axis=1)
    right, other = (1 - m.r_opt_shells(edges, BOX) ** 2 for m in (truth, wrong))
    assert lost == pytest.approx(right, rel=0.02)
    assert (other / right - 1).max() > 1


def test_models_come_back_from_files(done):
    content = read_box(done, SETTINGS["fiducial"], 1).content["optimum"]["model"]
    model = model_from(content)
    assert mean_model([model, model]) == model
    assert 1 - model.r_opt_shells(Judge(white(0)).edges, BOX) ** 2 == pytest.approx(
        np.array(read_box(done, SETTINGS["fiducial"], 1).content["optimum"]["observed"]), rel=1e-5
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7.42, "7.4 s"), (150, "2 min"), (11100, "3 h 05 min"), (1e6, "12 days")],
)
def test_times_in_words(seconds, text):
    assert clock(seconds) == text


# Surveys without information


def test_independent_fields_have_no_cross_power():
    """In units of its scatter, the cross power of independent fields has variance 1."""
    small = Box(64.0, 16)
    found = []
    for seed in range(60):
        pair = compare(
            white(seed, small), truth=white(1000 + seed, small), edges=(0.0, 0.3, 0.5, 0.7)
        )
        modes = pair.nmodes
        sums = (pair.power_rr * modes, pair.power_tt * modes, pair.power_rt * modes, modes)
        found += [Spectra(*map(float, row)).significance for row in zip(*sums, strict=True)]
    assert np.std(found) == pytest.approx(1, abs=0.12)


def test_shuffled_galaxies_keep_their_photo_z_and_what_is_known(mock):
    surveys = mock.surveys
    found = shuffle(surveys, np.random.default_rng(1))
    unknown = surveys.photo_only()
    assert np.array_equal(found.photo[:, 2], surveys.photo[:, 2])
    assert np.array_equal(found.photo[~unknown], surveys.photo[~unknown])
    there, here = (
        paint(s.photo[unknown], BOX).to_delta().smooth(8.0).values.mean(dim=2).flatten()
        for s in (surveys, found)
    )
    assert here.std() < there.std() / 2
    assert abs(np.corrcoef(there, here)[0, 1]) < 0.3


def test_random_surveys_are_consistent(mock):
    found, places = random_surveys(mock.surveys, np.random.default_rng(1))
    known = found.matched >= 0
    assert np.array_equal(found.spec[known], places[found.matched[known]])
    apart = (found.photo[:, 2] - places[:, 2] + 64) % 128 - 64
    assert np.array_equal(found.photo[:, :2], places[:, :2])
    assert 0.5 < np.abs(apart).mean() / (128 / 4) <= 1.1  # 71 Mpc/h round a ring of 128


@pytest.mark.slow
def test_controls_know_nothing_that_they_were_not_given(done, mock):
    found = measure_controls(mock, done, np.random.default_rng(1))
    box = Numbers(found)
    for name in ("redistribution", "columns"):
        given = found["methods"][name]
        assert given["shuffled"]["nats"] == pytest.approx(given["spec only"]["nats"], abs=1e-4)
        assert given["photo only"]["nats"] == pytest.approx(0, abs=1e-4)
        assert given["both"]["nats"] > 0.1
        assert given["both"]["nats_own_place"] > 0.1
        assert given["photo only"]["nats_own_place"] == pytest.approx(0, abs=1e-4)
        assert abs(given["random"]["nats"]) < 0.1
    assert abs(found["methods"]["redistribution"]["random"]["nats"]) < 0.01
    lines = {line.words: line for line in control_figures(found)}
    assert lines["shuffled: nats above those of spec only"].met
    assert not math.isnan(float(lines["random: nats per galaxy"].reached))
    for name in ("redistribution", "columns"):
        given = found["methods"][name]
        for band in BANDS[3:]:
            r = {control: box.spectra(entry, band).r for control, entry in given.items()}
            assert r["shuffled"] < r["spec only"] + 0.01
            assert r["spec only"] < r["both"] + 0.01
            assert abs(r["random"]) < 0.4


# The run


def test_every_method_is_there(done):
    box = read_box(done, SETTINGS["fiducial"], 1)
    assert set(METHODS) - set(box.methods) == {"dual-unet"}
    assert box.content["absent"] == {"dual-unet": "no weights were given (--unet)"}


def test_numbers_are_those_of_what_a_user_gets(done, mock):
    box = read_box(done, SETTINGS["fiducial"], 1)
    truth, photo, _ = mock.fields()
    field = estimate(mock.surveys, "wiener").field
    wanted = float((field.values - truth.values).double().square().mean())
    assert box.numbers("wiener")["mse"] == pytest.approx(wanted, rel=1e-5)
    wanted = float((photo.values - truth.values).abs().double().mean())
    assert box.numbers("photo")["mae"] == pytest.approx(wanted, rel=1e-5)
    assert box.numbers("empty")["mae"] == pytest.approx(1, rel=1e-5)


def test_a_fresh_network_is_nearly_the_redistribution_without_one(done):
    """It starts from the prior of galaxies with and without spectra, and shares the fine one."""
    within = {"mse": 0.03, "mae_4": 0.03, "nats": 0.02, "inside_68": 0.01, "sub_ssim": 0.02}
    for seed in (1, 2):
        box = read_box(done, SETTINGS["fiducial"], seed)
        one, other = box.numbers("columns"), box.numbers("redistribution")
        for key, most in within.items():
            assert one[key] == pytest.approx(other[key], rel=most)


def test_ratios_are_those_of_each_box(done):
    (measured,) = read_measured(done)
    ratio = measured.ratio("redistribution", "photo", "mse")
    each = [
        box.numbers("redistribution")["mse"] / box.numbers("photo")["mse"] for box in measured.boxes
    ]
    assert ratio.mean == pytest.approx(np.mean(each))
    assert ratio.error == pytest.approx(abs(each[0] - each[1]) / 2)
    assert measured.ratio("dual-unet", "photo", "mse") is None


def test_the_filter_reaches_the_optimum(done):
    """The optimum comes from the truth; a filter fitted to two small boxes is near it."""
    (measured,) = read_measured(done)
    for band in ((0.1, 0.3), (0.3, 0.5)):
        assert measured.lost_over_optimum("wiener", band).mean == pytest.approx(1, abs=0.1)
        assert measured.lost_over_optimum("photo", band).mean > 1.5


def test_figures_beside_their_aims(done):
    lines = acceptance({one.name: one for one in read_measured(done)})
    words = {line.words: line for line in lines}
    # A network that changes nothing is nearly the redistribution.
    same = words["MSE / redistribution"]
    assert float(same.reached.split()[0]) == pytest.approx(1, abs=0.03)
    assert (same.aim, same.met) == ("at most 0.92", False)
    assert words["true redshifts inside the 68% interval [%]"].aim == "67 to 69"
    assert words["mean of the median, beside it"].met is None


def test_the_pages_of_the_documentation_are_those_of_the_run(done, tmp_path, monkeypatch):
    script = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/results.py"))
    monkeypatch.setitem(script["main"].__globals__, "DOCS", tmp_path)
    page = tmp_path / "benchmark.md"
    kept = "<!-- measured: yardstick -->\nof another run\n<!-- /measured -->\n"
    page.write_text(f"before\n<!-- measured: summary -->\nold\n<!-- /measured -->\n{kept}after\n")
    script["main"](["--folder", str(done.folder)])
    text, (one,) = page.read_text("utf-8"), read_measured(done)
    assert text.startswith("before\n<!-- measured: summary -->\n| field |")
    assert text.endswith(f"<!-- /measured -->\n{kept}after\n")
    assert "old" not in text
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if "columns |" in line]
    assert len(rows) == 2
    assert rows[0][:2] == ["fiducial: columns", plus_minus(one.ratio("columns", "wiener", "mse"))]
    assert rows[1][-1] == plus_minus(one.lost_over_optimum("columns", BANDS[-1]))
    tables = (tmp_path / "benchmark-tables.md").read_text("utf-8")
    assert tables.startswith("# Tables of the benchmark\n")
    assert "\n## fiducial: redshifts\n" in tables
    # A second time it replaces what it wrote.
    script["main"](["--folder", str(done.folder)])
    assert page.read_text("utf-8") == text


def test_what_is_written(done):
    folder = done.folder
    page = (folder / "benchmark.html").read_text(encoding="utf-8")
    tables = (folder / "tables.md").read_text(encoding="utf-8")
    assert "http://" not in page
    assert "https://" not in page
    assert page.count("<img") == len(list((folder / "figures").glob("*.png"))) == 6
    assert page.index("Every method was applied to the same 2 boxes") < page.index(
        "Reached, and aimed at"
    )
    for title in ("Reached, and aimed at", "fiducial: redshifts", "fiducial: (1 - r²)"):
        assert f"### {title}" in tables
    assert "Dual UNet is not there: no weights were given (--unet)." in tables
    assert "nan" not in tables
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    mse = summary["settings"]["fiducial"]["methods"]["photo"]["mse"]
    assert len(mse["boxes"]) == 2
    assert set(summary["settings"]["fiducial"]["bands"]["wiener"]["r"]) == set(map(in_words, BANDS))


def test_what_stands_is_not_done_again(done):
    stages = benchmark_stages(done)
    assert up_to_date(done.folder, stages) == {stage.name for stage in stages}


def test_every_stage_has_a_cost_that_does_not_depend_on_its_name(done):
    stages = benchmark_stages(replace(done, boxes=None, controls=True))
    found = needs(stages)
    assert list(found) == [stage.name for stage in stages]
    assert needs([replace(s, name=s.name[::-1]) for s in stages]) == {
        name[::-1]: need for name, need in found.items()
    }
    seconds = {name: need.seconds for name, need in found.items()}
    assert seconds["measure-fiducial-1-columns"] < seconds["controls-fiducial-1"]
    assert found["universe-1"].memory == 1.4e9 + done.universe.memory_needed
    assert (found["page"].seconds, found["page"].memory) == (10, 1.4e9)


def test_other_weights_cost_only_their_own_stages(done, tmp_path):
    other = write_weights(tmp_path / "other.safetensors", settings={**COLUMN_NET, "along": 5})
    stages = benchmark_stages(replace(done, weights=other))
    redone = {stage.name for stage in stages} - up_to_date(done.folder, stages)
    assert redone == {"measure-fiducial-1-columns", "measure-fiducial-2-columns", "page"}


def test_more_seeds_cost_only_themselves(done):
    stages = benchmark_stages(replace(done, seeds=(1,)))
    left = up_to_date(done.folder, stages)
    assert {"measure-fiducial-1", "measure-fiducial-1-columns"} <= left


def test_weights_of_other_surveys_are_left_out_with_their_reason(done, tmp_path):
    narrow = write_weights(tmp_path / "narrow.safetensors", sigma_z=(0.003, 0.006))
    job = replace(done, folder=tmp_path / "run", weights=narrow, seeds=(1,))
    stages = [s for s in benchmark_stages(job) if s.name.startswith("measure")]
    run_stages(job.folder, stages)
    box = read_box(job, SETTINGS["fiducial"], 1)
    assert "columns" not in box.methods
    assert box.content["absent"]["columns"].startswith(
        "its weights were made for other surveys: the survey has a photo-z error of 70.88 Mpc/h"
    )


def test_catalogues_that_do_not_fit(done, boxes, tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        benchmark_stages(replace(done, seeds=(1, 7)))
    assert str(error.value) == (
        f"{boxes} holds no universe of seed 7: make it with truez simulate --seed 7, or take other "
        "seeds"
    )
    for seed, side in ((1, 24), (2, 32)):
        write_universe(tmp_path / f"{seed}.h5", seed, side)
    with pytest.raises(ValueError, match="take boxes of one size"):
        benchmark_stages(replace(done, boxes=tmp_path))


# The command


def command(*words):
    return CliRunner().invoke(app, ["benchmark", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--seeds", "1000"], "the universe of seed 1000 is not kept for tests"),
        (
            ["--setting", "dense"],
            "--setting must be one of fiducial, sparse, narrow, lognormal, not 'dense'",
        ),
        (["--boxes", ".", "--boxsize", "64"], "--boxes contains universes: leave out"),
        (["--weights", "none.safetensors"], "there is no weights file none.safetensors"),
        (["--draws", "-1"], "--draws must be 0 (no medians) or more, not -1"),
    ],
)
def test_bad_words_end_with_one_sentence(words, sentence, tmp_path):
    result = command("--out", tmp_path / "run", *words)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_dry_run_says_what_there_is_to_do(tmp_path):
    result = command("--out", tmp_path / "run", "--dry-run", "--seeds", "901,902")
    assert result.exit_code == 0
    for stage in ("universe-901", "measure-narrow-902", "controls-fiducial-901", "optimum-sparse"):
        assert stage in result.stdout
    assert "all that is left" in result.stdout
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_from_nothing_to_the_page(tmp_path):
    weights = tmp_path / "columns.safetensors"
    box = Box(128.0, 64)
    network = build_network("column-net", COLUMN_NET)
    survey = SurveyLimits.from_spec(
        TRAINED, redshift=0.59, cosmology=COSMOLOGIES["wmap"], density=4e-2, resampler="cic"
    )
    save_weights(weights, network, Header.of(network, box, survey))
    words = (
        "--out", tmp_path / "run", "--boxsize", 128, "--num-particles", 64, "--setting", "fiducial",
        "--seeds", "1,2", "--draws", 4, "--weights", weights,
    )  # fmt: skip
    result = command(*words)
    assert result.exit_code == 0, result.output
    assert "Reached, and aimed at" in result.stdout
    tables = (tmp_path / "run/tables.md").read_text(encoding="utf-8")
    assert "Controls: random galaxies" in tables
    again = command(*words)
    assert "done in" not in again.stderr
