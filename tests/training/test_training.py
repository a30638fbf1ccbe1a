"""Training: what a sample is, what a run leaves behind, and that it learns."""

import csv
import errno
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError

from truez.cli.paper import RECIPES as PAPER
from truez.cli.train import RECIPES as TRAINED
from truez.cosmology import COSMOLOGIES
from truez.experiments.recipes import read_recipe, recipe_names
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import smooth
from truez.networks import build_network, predict
from truez.networks.survey_limits import SurveyLimits
from truez.networks.symmetries import apply_symmetry
from truez.networks.weights import load_weights
from truez.surveys.mock import Mock, MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.selection import Selection
from truez.training import (
    Run,
    Samples,
    TrainingConfig,
    Validation,
    split,
    train,
    train_on_mock,
)

BOX = Box(24, 24)
TRAIN = [((0, 0, 0), (12, 24, 24))]
VALIDATION = [((14, 0, 0), (18, 24, 24))]
TEST = ((20, 0, 0), (24, 24, 24))
SURVEY = SurveyLimits(
    z_err=(0.01, 0.01),
    sigma=(20, 20),
    outlier_fraction=(0, 0),
    spec_density=(1e-3, 1e-3),
    photo_density=(1e-2, 1e-2),
    overlap=(1, 1),
    resampler="cic",
    redshift_space=True,
)
NETWORK = {
    "spec_width": 4,
    "photo_width": 4,
    "multipliers": (1, 2),
    "kernels": (3, 3),
    "repeats": (0, 0),
    "fusion": "skips",
    "head_width": 8,
    "transform": "none",
}


def make_fields(seed=0):
    """Two noisy views of a smooth Gaussian field."""
    generator = torch.Generator().manual_seed(seed)
    truth, *noise = torch.randn(3, *BOX.meshsize, generator=generator)
    truth = smooth(truth, BOX, 1.5)
    truth = truth / truth.std()
    return tuple(Field(v, BOX, "delta") for v in (truth, truth + noise[0] / 2, truth + noise[1]))


def numbered():
    """Fields whose values name the cell."""
    number = torch.arange(BOX.num_cells, dtype=torch.float32).reshape(BOX.meshsize)
    return tuple(Field(number + 0.25 * i, BOX, "delta") for i in range(3))


def config(**changes):
    defaults = {
        "steps": 4,
        "crop": (8, 8, 8),
        "validate_every": 2,
        "checkpoint_every": 2,
        "learning_rate": 1e-2,
    }
    return TrainingConfig(**{**defaults, **changes})


def run(out, *, fields=None, network=None, **changes):
    network = network or build_network("dual-unet", {**NETWORK, "dropout": 0.0}, seed=1)
    options = {k: changes.pop(k) for k in ("resume", "progress", "recipe") if k in changes}
    settings = config(**changes)
    data = split(settings, fields or make_fields(), TRAIN, VALIDATION)
    state = train(settings, network, *data, Run(out, SURVEY, **options))
    return network, state


def validation_loss(network, fields, shape, **options):
    return Validation.of(fields, VALIDATION).loss(network, shape, **options)


# Samples


def test_sixteen_symmetries_that_keep_the_line_of_sight():
    values = torch.arange(27.0).reshape(3, 3, 3)
    found = {tuple(apply_symmetry(values, n).flatten().tolist()) for n in range(16)}
    assert len(found) == 16
    # A field that varies along the line of sight alone varies along nothing else after.
    along = torch.arange(3.0).expand(3, 3, 3)
    for number in range(16):
        turned = apply_symmetry(along, number)
        assert torch.equal(turned, along) or torch.equal(turned, along.flip(-1))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 10**6), st.integers(0, 7))
def test_a_sample_depends_on_seed_step_and_rank_alone(seed, step, rank):
    samples = Samples(numbered(), TRAIN, (4, 4, 6), seed=seed, num_ranks=8)
    inputs, truth = samples.draw(step, rank)
    samples.draw(step + 1, rank)
    torch.manual_seed(1)
    again = Samples(numbered(), TRAIN, (4, 4, 6), seed=seed, num_ranks=8).draw(step, rank)
    assert torch.equal(inputs, again[0])
    assert torch.equal(truth, again[1])
    assert inputs.shape == (2, 2, 4, 4, 6)
    # Order of channels: spec, photo; the three are turned alike.
    assert torch.equal(inputs[:, :1], truth + 0.5)
    assert torch.equal(inputs[:, 1:], truth + 0.25)


def test_steps_ranks_and_seeds_differ():
    drawn = [
        Samples(numbered(), TRAIN, (4, 4, 4), seed=seed, num_ranks=2).draw(step, rank)[1]
        for seed, step, rank in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))
    ]
    assert len({tuple(t.flatten().tolist()) for t in drawn}) == 4


def test_crops_stay_in_their_regions_and_reach_every_cell_of_them():
    regions = [((2, 3, 4), (9, 11, 10)), ((12, 0, 0), (18, 7, 6))]
    samples = Samples(numbered(), regions, (5, 5, 5), batch=8, seed=3)
    seen = torch.cat([samples.draw(step)[1].flatten() for step in range(60)]).unique()
    allowed = torch.zeros(BOX.meshsize)
    for start, stop in regions:
        allowed[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = 1
    assert torch.equal(seen, numbered()[0].values[allowed > 0])


def test_a_crop_that_is_not_square_is_not_swapped():
    samples = Samples(numbered(), TRAIN, (4, 6, 0), batch=16)
    inputs, _ = samples.draw(0)
    assert inputs.shape == (16, 2, 4, 6, 24)
    steps = (inputs[:, 0, 1, 0, 0] - inputs[:, 0, 0, 0, 0]).abs()
    assert torch.equal(steps, torch.full((16,), 24.0 * 24))


def test_grid_visits_every_sub_box_once_per_epoch_in_a_new_order():
    samples = Samples(numbered(), TRAIN, (6, 6, 12), batch=2, mode="grid", symmetries=False)
    assert samples.steps_per_epoch == 8
    epochs = [
        [float(t[0, 0, 0, 0]) for step in range(8 * e, 8 * e + 8) for t in samples.draw(step)[1]]
        for e in range(2)
    ]
    assert len(set(epochs[0])) == 16
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert epochs[0] != epochs[1]
    # Two ranks share out the same epoch.
    halves = Samples(
        numbered(), TRAIN, (6, 6, 12), batch=1, mode="grid", symmetries=False, num_ranks=2
    )
    both = [float(halves.draw(s, r)[1][0, 0, 0, 0, 0]) for s in range(8) for r in range(2)]
    assert both == epochs[0]


# The run


def test_it_learns_a_learnable_target(tmp_path):
    fields = make_fields(seed=2)
    _, state = run(
        tmp_path,
        fields=fields,
        steps=30,
        # Batch statistics of small crops differ too much from their running mean.
        crop=(0, 0, 0),
        batch=1,
        validate_every=10,
        schedule="cosine",
        ema=0.9,
        clip=5.0,
    )
    losses = [validation for _, _, validation in state.losses]
    assert losses[-1] < 0.8 * losses[0]
    best, header = load_weights(tmp_path / "best.safetensors")
    truth, photo, spec = fields
    found = predict(best, spec=spec, photo=photo).crop(*TEST).values
    wanted = truth.crop(*TEST).values
    error = float(((found - wanted) ** 2).mean())
    # The zero field, and the better of the two inputs.
    assert error < 0.3 * float((wanted**2).mean())
    assert error < 0.8 * float(((photo.crop(*TEST).values - wanted) ** 2).mean())
    assert header.provenance["validation_loss"] == min(losses) == state.best
    again = validation_loss(best, fields, (12, 24, 24))
    assert again == pytest.approx(state.best, rel=1e-5)


def test_what_a_run_leaves_behind(tmp_path):
    notes = []
    recipe = {"training": {"steps": 4}}
    run(tmp_path, recipe=recipe, progress=lambda *call: notes.append(call))
    with (tmp_path / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert all(float(row["train"]) > 0 and float(row["validation"]) > 0 for row in rows)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["training"]["steps"] == 4
    assert written["validation_regions"] == [[[14, 0, 0], [18, 24, 24]]]
    assert {"truez", "torch", "seed"} <= set(written)
    _, header = load_weights(tmp_path / "last.safetensors")
    assert header.provenance["step"] == 4
    assert header.provenance["recipe"] == recipe
    assert header.survey == SURVEY
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best.safetensors",
        "checkpoint.safetensors",
        "config.json",
        "last.safetensors",
        "losses.csv",
    ]
    assert [call[:3] for call in notes] == [("train", n, 4) for n in (1, 2, 3, 4)]
    assert "loss" in notes[-1][3]
    assert "validation" in notes[-1][3]


def test_best_is_kept_by_validation_loss(tmp_path):
    # A learning rate that ruins the network after the first validation.
    _, state = run(tmp_path, steps=6, learning_rate=0.5)
    losses = [row[2] for row in state.losses]
    best, header = load_weights(tmp_path / "best.safetensors")
    assert header.provenance["step"] == state.losses[int(np.argmin(losses))][0]
    found = validation_loss(best, make_fields(), (8, 8, 8))
    assert found == pytest.approx(min(losses), rel=1e-5)


def test_loss_leaves_the_margin_out(tmp_path):
    fields = make_fields()
    _, whole = run(tmp_path / "a", fields=fields, steps=1)
    _, inner = run(tmp_path / "b", fields=fields, steps=1, margin=2)
    # The first estimate is zero, so the first loss is the mean square of the crops' cells.
    truth = Samples(fields, TRAIN, (8, 8, 8)).draw(0)[1]
    assert whole.losses[0][1] == pytest.approx(float((truth**2).mean()), rel=1e-5)
    inside = truth[..., 2:-2, 2:-2, 2:-2]
    assert inner.losses[0][1] == pytest.approx(float((inside**2).mean()), rel=1e-5)


def test_validation_without_context_sees_the_sub_box_alone():
    network = build_network("dual-unet", {**NETWORK, "dropout": 0.5}, seed=1)
    torch.nn.init.normal_(network.last.weight)
    truth, photo, spec = make_fields()
    (start, *_), _ = VALIDATION[0]
    changed = photo.values.clone()
    changed[:start] = 5
    other = (truth, Field(changed, BOX, "delta"), spec)

    def loss(fields, context):
        return validation_loss(network, fields, (8, 8, 8), context=context)

    assert loss((truth, photo, spec), False) == loss(other, False)
    assert loss((truth, photo, spec), True) != loss(other, True)
    assert network.training  # and dropout was off: the same number twice
    assert loss(other, True) == loss(other, True)


def test_schedule():
    cosine = config(steps=100, schedule="cosine", warmup=9, learning_rate=1.0)
    rates = [cosine.rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1.0)
    assert all(a > b for a, b in itertools.pairwise(rates[9:]))
    assert 0 < rates[-1] < 1e-3
    assert config(learning_rate=0.5).rate(77, 100) == 0.5


def test_epochs_are_counted_in_sub_boxes(tmp_path):
    _, state = run(tmp_path, steps=0, epochs=2, crop=(12, 12, 12), mode="grid", validate_every=9)
    assert state.step == 4


def test_time_limit_ends_a_run_cleanly(tmp_path):
    _, state = run(tmp_path, steps=1000, max_minutes=1e-6)
    assert state.step == 1
    assert load_weights(tmp_path / "last.safetensors")[1].provenance["step"] == 1


@pytest.mark.medium
def test_recomputing_gives_the_same_weights_and_may_change_when_a_run_goes_on(tmp_path):
    settings = {"steps": 6, "checkpoint_every": 3, "validate_every": 3}
    dropout = {**NETWORK, "dropout": 0.2}
    files = []
    for name, first, then in (("kept", False, False), ("again", True, True), ("both", True, False)):
        for recompute, options in ((first, {"max_minutes": 1e-6}), (then, {"resume": True})):
            network = build_network("dual-unet", dropout, seed=1)
            run(tmp_path / name, network=network, recompute=recompute, **settings, **options)
            assert network.recompute == recompute
        files.append(load_weights(tmp_path / name / "last.safetensors")[0].state_dict())
    for other in files[1:]:
        torch.testing.assert_close(other, files[0], rtol=1e-5, atol=1e-7)


def test_a_network_that_cannot_recompute_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("truez.networks.dual_unet.DualUNet.can_recompute", False)
    with pytest.raises(ValueError, match="recompute must be false for dual-unet"):
        run(tmp_path, recompute=True)


def test_non_finite_loss_stops_and_keeps_the_last_good_state(tmp_path):
    run(tmp_path, steps=8, max_minutes=1e-6)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    _, photo, spec = make_fields()
    broken = Field(torch.full(BOX.meshsize, 1e30), BOX, "delta")
    with pytest.raises(
        ValueError, match=r"training loss or its gradient is not finite at step 2 .*: train again"
    ):
        run(tmp_path, steps=8, fields=(broken, photo, spec), resume=True)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_the_advice_for_a_diverged_run_can_be_followed(tmp_path):
    """A run that diverges names its best weights, from which another goes on."""
    _, photo, spec = make_fields()
    broken = Field(torch.full(BOX.meshsize, 1e30), BOX, "delta")
    with pytest.raises(ValueError, match="is not finite at step 1") as error:
        run(tmp_path / "new", steps=8, fields=(broken, photo, spec))
    assert "train again with a lower training.learning_rate or a training.clip" in str(error.value)
    run(tmp_path / "kept", steps=8, validate_every=1, max_minutes=1e-6)
    best = tmp_path / "kept/best.safetensors"
    with pytest.raises(ValueError, match="is not finite at step 2") as error:
        run(tmp_path / "kept", steps=8, validate_every=1, fields=(broken, photo, spec), resume=True)
    assert f"train again with start = {best}, its best weights so far, and" in str(error.value)
    network, _ = load_weights(best)
    _, again = run(tmp_path / "again", network=network, steps=2, learning_rate=1e-5)
    assert again.best is not None


def test_a_full_disk_stops_with_an_error_of_the_system(tmp_path, monkeypatch):
    run(tmp_path, steps=8, max_minutes=1e-6)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()

    def full(tensors, target, metadata):
        if "truez-training" in metadata:
            raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("truez.networks.tensors.save_file", full)
    with pytest.raises(OSError) as caught:
        run(tmp_path, steps=8, resume=True)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "checkpoint.safetensors")
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_folder_that_holds_a_run_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match="already holds a run: give resume, or choose another out"):
        run(tmp_path)


def test_nothing_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no run to resume in"):
        run(tmp_path, resume=True)


def test_resume_with_other_settings_is_refused(tmp_path):
    run(tmp_path, steps=8, max_minutes=1e-6)
    with pytest.raises(
        ValueError,
        match=r"has training.learning_rate = 0.0\d+, not 0.1: resume it with its own settings",
    ):
        run(tmp_path, steps=8, learning_rate=0.1, resume=True)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is not a training checkpoint that truez wrote"):
        run(tmp_path, steps=8, resume=True)


@pytest.mark.parametrize(
    ("regions", "sentence"),
    [
        (([((0, 0, 0), (15, 24, 24))], VALIDATION), "overlaps validation region"),
        ((TRAIN, []), "validation_regions must name at least one region"),
        (([], VALIDATION), "regions must name at least one region"),
        (([((0, 0, 0), (7, 24, 24))], VALIDATION), r"crop of \(8, 8, 8\) cells does not fit"),
        (([((0, 0, 0), (25, 9, 9))], [((0, 9, 9), (9, 24, 24))]), "are not a range within"),
    ],
)
def test_broken_regions(regions, sentence):
    with pytest.raises(ValueError, match=sentence):
        split(config(), make_fields(), *regions)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 0}, "steps = . and epochs = . cannot be the length of a run"),
        ({"epochs": 3}, "steps = . and epochs = . cannot be the length of a run"),
        ({"margin": 4}, "margin of 4 cells leaves nothing of a crop"),
        ({"crop": (8, -8, 8)}, "crop must hold numbers of at least 0"),
        ({"speed": 3}, "speed is not a known setting"),
    ],
)
def test_broken_settings(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        config(**changes)


def test_fields_must_be_overdensities(tmp_path):
    truth, photo, spec = make_fields()
    with pytest.raises(ValueError, match="photo must be an overdensity on"):
        run(tmp_path, fields=(truth, Field(photo.values, BOX, "counts"), spec))


# A run from a recipe and a mock


@pytest.fixture(scope="module")
def mock():
    """Half of the 200 spectroscopic galaxies are photometric too."""
    box = Box(48, 12)
    config = MockConfig(
        redshift=0.5,
        cosmology=COSMOLOGIES["wmap"],
        sigma_z=0.002,
        outlier_fraction=0.1,
        spec=Selection(cuts=("rank>=1800",)),
        redshift_space=False,
    )
    rng = np.random.default_rng(8)
    found = make_mock(rng.random((2000, 3)) * 48, box, config, columns={"rank": np.arange(2000.0)})
    surveys = replace(found.surveys, num_both=100.0, matched=None)
    return Mock(surveys, found.truth, found.photo_ids, found.spec_ids, config, found.source)


RECIPE = {"network": NETWORK, "training": {"steps": 1, "crop": [2, 4, 4], "batch": 1}}


def test_the_header_says_what_the_surveys_were(tmp_path, mock):
    train_on_mock(RECIPE, mock, out=tmp_path, resampler="ngp")
    survey = load_weights(tmp_path / "best.safetensors")[1].survey
    assert survey.z_err == pytest.approx((0.003, 0.003))
    assert survey.outlier_fraction == (0.1, 0.1)
    assert survey.overlap == pytest.approx((0.5, 0.5))
    assert survey.photo_density == pytest.approx((2000 / 48**3,) * 2)
    assert (survey.resampler, survey.redshift_space) == ("ngp", False)


@pytest.mark.parametrize("section", ["network", "training"])
def test_sections_are_tables(tmp_path, mock, section):
    with pytest.raises(ValueError) as error:
        train_on_mock({**RECIPE, section: 3}, mock, out=tmp_path)
    assert str(error.value) == f"{section} must be a section of settings in the recipe, not 3"
    assert list(tmp_path.iterdir()) == []


# Recipes


@pytest.mark.parametrize("name", ["small", "paper"])
def test_recipes_are_complete(name):
    assert name in recipe_names()
    assert TrainingConfig(**read_recipe(name)["training"]).batch == 2


def test_commands_name_the_recipes_that_they_take():
    sections = {name: set(read_recipe(name)) for name in recipe_names()}
    assert set(TRAINED) == {name for name, own in sections.items() if own & {"training", "errors"}}
    whole = {name for name in sections if "catalogue" in read_recipe(name).get("boxes", {})}
    assert set(PAPER) == whole
    with pytest.raises(ValueError, match=r"^recipe must be one of small, paper, .*, errors or a"):
        read_recipe("demo", known=TRAINED)


def test_paper_recipe_is_the_papers():
    training = TrainingConfig(**read_recipe("paper")["training"])
    assert (training.learning_rate, training.batch, training.epochs) == (3.9e-4, 2, 1400)
    assert (training.mode, training.crop, training.ema) == ("grid", (100, 100, 100), 0)


def test_overrides(tmp_path):
    changes = ["training.steps=7", "training.crop=[1, 2, 3]", "network.fusion=output"]
    recipe = read_recipe("small", changes)
    assert recipe["training"]["steps"] == 7
    assert recipe["training"]["crop"] == [1, 2, 3]
    assert recipe["network"]["fusion"] == "output"
    path = tmp_path / "own.toml"
    path.write_text("[training]\nsteps = 3\n")
    assert read_recipe(path) == {"training": {"steps": 3}}


@pytest.mark.parametrize(
    ("name", "overrides", "sentence"),
    [
        ("huge", [], r"recipe must be one of .*paper.*small.* or a path that ends in .toml"),
        ("small", ["training.steps"], "an override has the form section.setting=value"),
        ("small", ["training..steps=1"], "an override has the form section.setting=value"),
        ("small", ["training.steps.x=1"], "looks into steps, which is no section"),
        ("small", ["training=3"], "an override has the form section.setting=value"),
        (
            "small",
            ["trainig.steps=3"],
            "names no section of the recipe: it has network, training, univ",
        ),
        ("small", ["training.more.a=3"], "names no section of the recipe: it has none"),
    ],
)
def test_broken_recipes(name, overrides, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_recipe(name, overrides)


def test_broken_recipe_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no recipe file"):
        read_recipe(tmp_path / "none.toml")
    path = tmp_path / "bad.toml"
    path.write_text("steps = = 3")
    with pytest.raises(ValueError, match="is not TOML"):
        read_recipe(path)
