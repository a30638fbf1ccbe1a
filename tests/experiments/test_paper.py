"""truez paper: what its recipes say, and what a run leaves in its folder."""

import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch
from astropy.table import Table

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.evaluate.figures import captions as figure_files
from truez.experiments.costs import SimulationTime
from truez.experiments.paper import Job, PaperRecipe, paper_stages, read_records, run_stages
from truez.experiments.paper.costs import Speed, network_words
from truez.experiments.paper.job import field_file
from truez.experiments.paper.measure import (
    PAPER_TABLE,
    edges_of,
    read_boxes,
    separations_of,
    table1_text,
    write_boxes,
)
from truez.experiments.paper.pictures import figure_names
from truez.experiments.paper.run import until
from truez.experiments.recipes import read_recipe
from truez.experiments.stages import needs
from truez.linear.fit import fit_linear_model
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.networks.network import build_network
from truez.networks.tiles import predict
from truez.networks.weights import load_weights
from truez.simulate import Universe, catalog_from_galaxies
from truez.statistics.correlation import correlation
from truez.statistics.power import Comparison, Correlation, Power, compare, power
from truez.statistics.scores import sub_box_scores
from truez.surveys.mock import Mock
from truez.training.room import training_memory

TINY = [
    "universe.boxsize=96", "universe.num_particles=28", "universe.num_steps=2",
    "universe.density=1e-2", "boxes.cellsize=4", "boxes.cells=12", "boxes.spec_density=2e-3",
    "boxes.sigma_z=0.004", "boxes.tile=16", 'boxes.corrections=["per-box", "constant"]',
    "network.multipliers=[1, 2]", "network.kernels=[3, 3]", "network.repeats=[0, 1]",
    "training.steps=4", "training.crop=[12, 12, 12]", "training.validate_every=2",
]  # fmt: skip
#: The paper's split of the tiny box: trained from 24 to 48 Mpc/h, tested from 48 to 72.
SPLIT = ["boxes.split=paper", "boxes.trim=[0, 96]", "boxes.divide=48"]
FIELDS = (
    "wiener-photo", "wiener-spec", "wiener", "unet-per-box", "unet",
    "unet-corrected-per-box", "unet-corrected-constant",
)  # fmt: skip


def tiny(*changes, name="paper-small"):
    return PaperRecipe(**read_recipe(name, [*TINY, *changes]))


def truez(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["paper", *(str(argument) for argument in arguments)])
    return int(ended.value.code or 0)


def changed(*changes):
    return [text for change in changes for text in ("--set", change)]


# --- recipes --------------------------------------------------------------------------------------


def test_the_recipe_is_the_papers():
    recipe = PaperRecipe(**read_recipe("paper", ["boxes.split=paper"]))
    assert recipe.box == Box(1200, 600)
    assert recipe.universe.box == Box(1200, 600)
    config = recipe.mock_config("", catalogue=False)
    assert (config.redshift, config.sigma_z, config.spec.density) == (0.59, 0.02, 1e-3)
    assert recipe.universe.density == 1.85e-2
    assert config.error.sigma == pytest.approx(70.9, abs=0.1)
    assert recipe.regions == {
        "train": ((0, 0, 100), (600, 600, 400)),
        "validation": ((0, 0, 400), (600, 600, 500)),
        "test": ((0, 0, 400), (600, 600, 500)),
    }
    assert (recipe.num_sub_boxes("train"), recipe.num_sub_boxes("test")) == (108, 36)
    assert recipe.steps_per_epoch == 54
    assert recipe.network_config.spec_width == 128
    assert recipe.network_config.photo_width == 16
    assert recipe.training.epochs == 1400
    assert "not those of unseen data" in " ".join(recipe.notes)


def test_separate_universes_are_the_default():
    for name, boxes in (("paper", 144), ("paper-small", 64)):
        recipe = PaperRecipe(**read_recipe(name))
        assert recipe.seeds == {"-train": 2000, "-validation": 1000, "-test": 0}
        assert len(set(recipe.regions.values())) == 1
        assert recipe.num_sub_boxes("test") == boxes
        seeds = {recipe.mock_config(n, catalogue=False).seed for n in recipe.seeds}
        assert len(seeds) == 3, "each has photo-z of its own"


def test_a_resolved_recipe_is_the_recipe():
    recipe = tiny("boxes.trim=[0, 48]")
    assert PaperRecipe(**recipe.settings) == recipe


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("boxes.cells=11", "boxes.cells of 11 does not divide the train part of 24 x 24 x 24"),
        ("boxes.trim=[0, 200]", "boxes.trim must be a range within the 96 Mpc/h"),
        ("boxes.trim=[48, 0]", "trim must be a lower and an upper distance"),
        ("boxes.split=paper", "split = paper needs divide"),
        ("boxes.split=halves", "boxes.split must be realisations or paper, not 'halves'"),
        ("boxes.seeds=[0, 1000, 0]", "seeds must be from 2000 to 2147483647 for train, not 0"),
        ("boxes.tile=17", "boxes.tile must be a multiple of the network's stride, 2, not 17"),
        ("boxes.resampler=pcs", "resampler must be one of ngp, cic, tsc, not 'pcs'"),
        ("boxes.sigma=3", "boxes.sigma is not a known setting: did you mean sigma_z?"),
        ('boxes.corrections=["normalised"]', "a test part of 96 Mpc/h has no waves below"),
        ("universe.seed=3", "has its seed in boxes.seeds"),
        ("universe.num_particles=8", "is more galaxies than there are particles"),
        ("training.crop=[99, 12, 12]", "crop of (99, 12, 12) cells does not fit"),
        ("training.steps=0", "training.steps = 0 and epochs = 0 cannot be the length of a run"),
        ("network.kernels=[4, 4]", "kernels must be odd"),
        ("network.architecture=gan", "architecture must be one of "),
        ("boxs.cells=1", "names no section of the recipe: it has universe, boxes, network"),
    ],
)
def test_broken_settings_are_one_sentence_before_any_work(setting, sentence, tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = ["--recipe", "paper-small", "--out", folder, *changed(*TINY, setting)]
    assert truez(*arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--recipe", "tiny"], "recipe must be one of "),
        (
            ["--until", "painting"],
            "--until must be a stage, or the first word of one, not ",
        ),
        (["--catalog", "none.h5"], "there is no catalogue none.h5"),
        (["--catalog", __file__], "boxes.split = realisations needs three: set boxes.split=paper"),
        (["--device", "tpu"], "--device must be auto, cpu or cuda, not 'tpu'"),
    ],
)
def test_broken_options_are_one_sentence(arguments, sentence, tmp_path, capsys):
    folder = tmp_path / "run"
    assert truez(*["--recipe", "paper-small", "--out", folder, *arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not folder.exists()


# --- what it would take ---------------------------------------------------------------------------


def test_a_dry_run_writes_nothing_and_tells_all_stages(tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = ["--recipe", "paper-small", "--out", folder, "--dry-run", "--device", "cpu"]
    assert truez(*arguments, *changed(*TINY)) == 0
    text = capsys.readouterr().out
    job = Job(tiny(), folder)
    assert all(f" {stage.name} " in text for stage in paper_stages(job))
    assert "all that is left" in text
    assert "receptive radius 9 cells (36 Mpc/h)" in text
    assert "photo-z that leave it at one face come back at the other" in text
    assert not folder.exists()


def test_what_does_not_fit_is_told_before_any_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("truez.support.memory.available_memory", lambda: 1000)
    folder = tmp_path / "run"
    arguments = ["--recipe", "paper-small", "--out", folder, "--device", "cpu", *changed(*TINY)]
    assert truez(*arguments) == 2
    assert "of memory, and 1 kB are free: " in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr("truez.support.disk.free_disk", lambda path: 1000)
    assert truez(*arguments) == 2
    assert "of disk, and 1 kB are free" in capsys.readouterr().err
    assert not folder.exists()


def test_the_cost_of_a_stage_does_not_depend_on_its_name(tmp_path):
    stages = paper_stages(Job(PaperRecipe(**read_recipe("paper-small")), tmp_path))
    found = needs(stages)
    for number, stage in enumerate(stages):
        assert needs([replace(stage, name=str(number))]) == {str(number): found[stage.name]}
    assert (found["mock-test"].memory, found["mock-test"].disk) == (
        6e8 + 170 * 1184000,
        64 * 1184000,
    )
    assert found["universe-train"].temporary == 48 * 200**3
    assert found["unet"].remedy == "set boxes.tile to less"
    assert all(need.seconds == 0 for need in found.values())


def test_times_come_from_the_speed_of_the_machine(tmp_path):
    job = Job(tiny(), tmp_path)
    slow, fast = (
        needs(paper_stages(job, Speed(SimulationTime(2 * step, step), flop)))
        for step, flop in ((2e-8, 4e-11), (1e-8, 2e-11))
    )
    for name in ("universe-train", "training", "unet", "unet-per-box"):
        assert slow[name].seconds == pytest.approx(2 * fast[name].seconds)
    # 2 time steps, and two more; the start takes as long as two.
    assert fast["universe-test"].seconds == pytest.approx(6e-8 * 28**3 * np.log(28**3))
    assert slow["wiener"].seconds == fast["wiener"].seconds > 0


def test_memory_of_a_training_step_is_at_least_that_of_its_activations():
    network = build_network("dual-unet", tiny().network_config.model_dump())
    one = training_memory(network, (16, 16, 16), 1)
    # 8 + 8 channels at full resolution, after the convolution and after its normalisation.
    assert one > 2 * 16 * 4 * 16**3
    assert training_memory(network, (16, 16, 16), 3) > 2.5 * one - 4 * network.num_parameters * 8
    words = network_words(PaperRecipe(**read_recipe("paper")))
    assert "24396929 parameters, receptive radius 38 cells (76 Mpc/h)" in words
    assert "9.43 Tflop" in words


def test_a_stage_is_found_by_its_name_or_its_kind(tmp_path):
    stages = paper_stages(Job(tiny(), tmp_path))
    assert until(stages, None) == stages
    assert until(stages, "universe")[-1].name == "universe-test"
    assert until(stages, "unet")[-1].name == "unet-per-box"
    assert until(stages, "wiener")[-1].name == "wiener"
    assert len({stage.name for stage in stages}) == len(stages)
    for number, stage in enumerate(stages):
        assert {earlier.name for earlier in stages[:number]}.issuperset(stage.needs)
    makes = [path for stage in stages for path in stage.makes]
    assert len(set(makes)) == len(makes)
    assert list(needs(stages)) == [stage.name for stage in stages]
    alone = paper_stages(Job(tiny(), tmp_path, network=False))
    assert not any("unet" in s.name or s.name in ("training", "levels") for s in alone)


# --- a run ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    arguments = ["--recipe", "paper-small", "--out", folder, "--device", "cpu", *changed(*TINY)]
    assert truez(*arguments, "--until", "table") == 0
    return folder


def part(run, name):
    return Field.read(run / field_file(name))


def test_the_folder_of_a_run(run):
    content = tomllib.loads((run / "run.toml").read_text())
    assert content["run"]["recipe"] == "paper-small"
    assert content["boxes"]["cells"] == 12
    assert {"truez", "torch"} <= set(content["versions"])
    for role in ("train", "validation", "test"):
        assert (run / f"universe-{role}.parquet").is_file()
        assert len(Mock.read(run / f"mock-{role}").truth) > 8000
    for name in FIELDS:
        field = part(run, name)
        assert (field.kind, field.box) == ("delta", Box(96, 24))
    assert (run / "training/best.safetensors").is_file()
    records = read_records(run)
    assert [record.name for record in records][-1] == "table"
    assert all(record.seconds > 0 and record.peak_memory > 1e8 for record in records)
    assert not list(run.glob("**/.*.parquet"))
    assert not list(run.glob("*.checkpoint"))


def test_the_same_command_again_does_nothing(run, capsys):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.*") if path.is_file()}
    arguments = ["--recipe", "paper-small", "--out", run, "--device", "cpu", *changed(*TINY)]
    assert truez(*arguments, "--until", "table") == 0
    shown = capsys.readouterr()
    assert shown.err.count("unchanged since") == len(read_records(run))
    assert "done in" not in shown.err
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*.*") if path.is_file()}
    different = {path.name for path in after if after[path] != before.get(path)}
    assert different <= {"run.toml"}
    assert "Table I over 8 sub-boxes" in shown.out
    assert "receptive radius 9 cells, 36 Mpc/h" in shown.out


def test_surveys_and_filters_are_those_of_the_mock(run):
    mock = Mock.read(run / "mock-test")
    truth, photo, spec = mock.fields()
    for name, field in (("truth", truth), ("photo", photo), ("spec", spec)):
        kept = part(run, name)
        assert torch.equal(kept.values, field.values)
        assert (kept.shotnoise, kept.resampler) == (field.shotnoise, "cic")
    model = fit_linear_model(spec=spec, photo=photo, surveys=mock.surveys)
    for name, use in (("wiener", "both"), ("wiener-spec", "spec"), ("wiener-photo", "photo")):
        assert torch.equal(
            part(run, name).values, model.wiener(spec=spec, photo=photo, use=use).values
        )
    optimum = Table.read(run / "results/optimum.ecsv", format="ascii.ecsv")
    assert np.array_equal(optimum["k_low"], edges_of(truth.box)[:-1])
    assert (np.asarray(optimum["r_opt_both"]) >= np.asarray(optimum["r_opt_spec"]) - 1e-9).all()


def test_the_two_estimates_of_the_network(run):
    network, header = load_weights(run / "training/best.safetensors")
    _, photo, spec = Mock.read(run / "mock-test").fields()
    tiled = predict(network, spec=spec, photo=photo, tile=None)
    torch.testing.assert_close(part(run, "unet").values, tiled.values, rtol=1e-3, atol=1e-5)
    alone = part(run, "unet-per-box")
    corner = (12, 0, 12), (24, 12, 24)
    inputs = torch.stack([f.crop(*corner).values for f in (spec, photo)])[None]
    with torch.inference_mode():
        expected = network(inputs)[0, 0]
    torch.testing.assert_close(alone.crop(*corner).values, expected, rtol=1e-3, atol=1e-5)
    # Far from every face both see the same.
    assert not torch.allclose(part(run, "unet").values, alone.values, rtol=1e-3, atol=1e-5)
    assert header.provenance["recipe"]["mock"] == Mock.read(run / "mock-train").fingerprint


def test_eq_5_per_box_changes_the_means_alone(run):
    before, after = part(run, "unet-per-box"), part(run, "unet-corrected-per-box")
    change = after.values - before.values
    for x in (0, 12):
        for z in (0, 12):
            box = change[x : x + 12, :12, z : z + 12]
            assert float(box.std()) < 1e-4 * max(float(box.abs().mean()), 1e-3)
    assert after.metadata["correction"]["mode"] == "per-box"


def test_table_1_is_what_the_scores_say(run):
    table = Table.read(run / "results/table1.ecsv", format="ascii.ecsv")
    assert table.colnames == [
        "field", "score", "mean", "sigma", "error", "paper_mean", "paper_sigma"
    ]  # fmt: skip
    rows = {(row["field"], row["score"]): row for row in table}
    assert list(dict.fromkeys(table["field"])) == ["zero", "empty", "photo", "spec", *FIELDS]
    truth = part(run, "truth")
    for name in ("photo", "wiener", "unet-per-box"):
        found = sub_box_scores(part(run, name), truth=truth, cells=12)
        for score in ("mse", "mae", "ssim", "psnr", "correlation"):
            assert rows[name, score]["mean"] == pytest.approx(found.mean[score], rel=1e-9)
            assert rows[name, score]["sigma"] == pytest.approx(found.sigma[score], rel=1e-9)
            assert rows[name, score]["error"] == pytest.approx(found.error[score], rel=1e-9)
    assert rows["zero", "mse"]["mean"] == pytest.approx(float((truth.values**2).mean()), rel=1e-5)
    assert rows["empty", "mae"]["mean"] == pytest.approx(1, rel=1e-5)
    assert rows["photo", "mse"]["paper_mean"] == 8.82
    assert rows["spec", "psnr"]["paper_sigma"] == 0.99
    assert rows["unet-per-box", "ssim"]["paper_mean"] == 0.70
    assert np.isnan(rows["unet", "mse"]["paper_mean"]), "the paper stitches nothing"
    assert table.meta["sub_boxes"] == 8
    text = table1_text(run)
    (row,) = (row for row in text.rows if row[0] == "photo")
    assert "[8.82]" in row[1]
    assert set(PAPER_TABLE) == {"photo", "spec", "unet-per-box"}


def test_levels_of_the_loss_are_those_of_the_validation_universe(run):
    levels = Table.read(run / "results/levels.ecsv", format="ascii.ecsv")
    truth = Mock.read(run / "mock-validation").fields()[0]
    assert float(levels["mse"][0]) == pytest.approx(float((truth.values**2).mean()), rel=1e-5)
    assert 0 < float(levels["mse"][1]) < float(levels["mse"][0])


def test_figures_have_captions_in_the_order_of_the_paper(run, monkeypatch):
    def save(figure, path):
        assert figure.axes
        paths = path.with_name(path.name + ".png"), path.with_name(path.name + ".pdf")
        for target in paths:
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(b"")
        return paths

    monkeypatch.setattr(figure_files, "save", save)
    job = Job(tiny(), run, name="paper-small")
    run_stages(run, until(paper_stages(job), "figures"))
    captions = json.loads((run / "figures/captions.json").read_text())
    names = figure_names(True, job.recipe.boxes.corrections)
    assert list(captions) == [f"{name}.png" for name in names]
    assert names[:5] == ["losses", "zooms", "auto_and_cross", "power_2d", "multipoles"]
    assert all(set(entry) == {"title", "caption"} for entry in captions.values())
    assert all(entry["caption"].strip().endswith(".") for entry in captions.values())


# --- one's own catalogue, and the paper's split ---------------------------------------------------


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "subhaloes.parquet"
    galaxies = Universe(boxsize=96, num_particles=28, num_steps=2, density=1.2e-2, seed=5).make()
    own = catalog_from_galaxies(galaxies)
    names = {"x": "X", "y": "Y", "z": "Z", "vx": "VX", "vy": "VY", "vz": "VZ", "mass": "M200"}
    columns = {new: own[old] for old, new in names.items()}
    Catalog(columns, units=dict.fromkeys("XYZ", "Mpc/h")).write(path)
    return path


def own_changes():
    return changed(
        *TINY,
        *SPLIT,
        'boxes.catalogue.positions=["X", "Y", "Z"]',
        'boxes.catalogue.velocities=["VX", "VY", "VZ"]',
        "boxes.catalogue.rank_by=M200",
    )


def test_a_catalogue_of_ones_own_and_the_papers_split(catalogue, tmp_path, capsys):
    arguments = ["--recipe", "paper-small", "--out", tmp_path / "own", "--catalog", catalogue]
    arguments += own_changes()
    assert truez(*arguments, "--without-network", "--until", "table") == 0
    mock = Mock.read(tmp_path / "own/mock")
    # The most massive of the catalogue: 1e-2 of 1.2e-2, and 2e-3 of those.
    assert len(mock.truth) == round(1e-2 * 96**3)
    assert len(mock.surveys.spec) == round(2e-3 * 96**3)
    truth = Field.read(tmp_path / "own/surveys/truth.h5")
    assert truth.box.meshsize == (24, 24, 12)
    assert truth.box.lower == pytest.approx((0, 0, 48))
    assert torch.equal(truth.values, mock.fields()[0].values[:, :, 12:])
    assert not list((tmp_path / "own").glob("universe*"))
    shown = capsys.readouterr().out
    assert "Table I over 4 sub-boxes" in shown
    assert "the network's scores are not those of unseen data" in shown
    # The network comes later, and what stands is kept.
    assert truez(*arguments, "--until", "unet") == 0
    err = capsys.readouterr().err
    assert "mock: unchanged since" in err
    assert "wiener: unchanged since" in err
    assert "training: done in" in err


def test_a_column_that_is_not_there_is_one_sentence(catalogue, tmp_path, capsys):
    arguments = ["--recipe", "paper-small", "--out", tmp_path / "own", "--catalog", catalogue]
    assert truez(*arguments, *changed(*TINY, *SPLIT)) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("truez: ")
    assert "x" in error[-1]


# --- measurements ---------------------------------------------------------------------------------


def test_bins_of_k_hold_modes_and_stay_below_nyquist():
    for box in (Box(400, 200), Box(100, 50, periodic=False), Box((1200, 1200, 200), (96, 96, 16))):
        edges = edges_of(box)
        assert edges[0] == 0
        assert (np.diff(edges) > 0).all()
        assert edges[-1] <= box.nyquist
        field = Field(torch.randn(box.meshsize), box, "delta") if box.num_cells < 2e5 else None
        if field is not None:
            assert (power(field, edges=edges).nmodes > 0).all()
    assert separations_of(Box(100, 50))[[0, -1]].tolist() == [5.0, 51.0]


def test_results_of_sub_boxes_come_back(tmp_path):
    box = Box(40, 10, periodic=False)
    generator = torch.Generator().manual_seed(1)
    a, b = (Field(torch.randn(10, 10, 10, generator=generator), box, "delta") for _ in range(2))
    for kind, results in (
        (Comparison, [compare(a, truth=b), compare(b, truth=a)]),
        (Power, [power(a), power(b)]),
        (Correlation, [correlation(a), correlation(a, b)]),
    ):
        path = tmp_path / f"{kind.__name__}.ecsv"
        write_boxes(results, path)
        back = read_boxes(path, kind)
        assert len(back) == 2
        for old, new in zip(results, back, strict=True):
            for name, value in vars(old).items():
                if name == "poles":
                    assert all(np.array_equal(value[ell], new.poles[ell]) for ell in value)
                else:
                    assert np.array_equal(value, getattr(new, name)), name
    with pytest.raises(ValueError, match="holds Correlation of boxes, not Power of boxes"):
        read_boxes(tmp_path / "Correlation.ecsv", Power)


@pytest.mark.slow
def test_the_whole_way_to_the_page(run):
    arguments = ["--recipe", "paper-small", "--out", run, "--device", "cpu", *changed(*TINY)]
    assert truez(*arguments) == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    captions = json.loads((run / "figures/captions.json").read_text())
    for name, entry in captions.items():
        assert (run / "figures" / name).read_bytes().startswith(b"\x89PNG")
        assert (run / "figures" / name).with_suffix(".pdf").stat().st_size > 5000
        assert entry["title"] in page
    assert "8.82" in page
