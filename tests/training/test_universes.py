"""Universes without end: seeds, pools, what the surveys see, and training on them."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from truez.cli.app import app
from truez.cosmology import COSMOLOGIES
from truez.experiments.recipes import read_recipe
from truez.mesh.box import Box
from truez.networks.weights import load_weights
from truez.simulate import Universe, catalog_from_galaxies, lognormal_galaxies
from truez.surveys.spec import SurveySpec
from truez.training import (
    BoxesConfig,
    Pool,
    UniverseSamples,
    mocks,
    train_on_universes,
    universes,
)
from truez.training.supply import (
    TEST_SEEDS,
    VALIDATION_SEEDS,
    Supply,
    split_seeds,
)
from truez.training.universe_samples import universe_validation, wrapped
from truez.training.universes import TRAINING_SEEDS, num_bytes, seeds_in_words

#: A universe that takes a tenth of a second.
SMALL = Universe(boxsize=96, num_particles=16, density=2e-3, num_steps=2)
SURVEYS = SurveySpec(sigma_z=0.002, spec_density=3e-4)
BOXES = BoxesConfig(cellsize=8, steps_per_view=2, views_per_box=3)


def lognormal(seed, *, boxsize=96.0):
    return lognormal_galaxies(
        Box(boxsize, 12),
        COSMOLOGIES["wmap"],
        redshift=0.5,
        density=2e-3,
        bias=1.2,
        seed=seed,
    )


class Counted:
    """A maker that remembers which seeds it was asked for."""

    def __init__(self, make=lognormal):
        self.make, self.seeds = make, []

    def __call__(self, seed):
        self.seeds.append(seed)
        return self.make(seed)


@pytest.fixture(scope="module")
def galaxies():
    return lognormal(2000)


def rng(seed=0):
    return np.random.default_rng(seed)


# Seeds


def test_no_seed_serves_two_ends():
    for one, two in itertools.combinations((TEST_SEEDS, VALIDATION_SEEDS, TRAINING_SEEDS), 2):
        assert one.stop <= two.start or two.stop <= one.start
    assert Universe().seed in TEST_SEEDS
    assert split_seeds([2003, 1000, 2001]) == ([2001, 2003], [1000])


def test_seeds_in_words():
    assert seeds_in_words(range(2000, 2**31)) == "2000 to 2147483647"
    assert seeds_in_words([7]) == "7"
    assert seeds_in_words([2000, 2001, 2005]) == "2000, 2001, 2005"


@pytest.mark.parametrize(
    ("seeds", "sentence"),
    [
        (
            [2000, 1000, 7],
            (
                "the universe of seed 7 is kept for tests, as all below 1000 are: train with seeds "
                "from 2000 on"
            ),
        ),
        ([1000], "there is no universe to train on: make some with seeds from 2000 on"),
        (
            [2000],
            (
                "there is no universe to validate with: make at least one with a seed from 1000 to "
                "1999"
            ),
        ),
    ],
)
def test_broken_seeds(seeds, sentence):
    with pytest.raises(ValueError) as error:
        split_seeds(seeds)
    assert str(error.value) == sentence


# The generators


def test_universes_are_those_of_their_seeds():
    two = list(universes(SMALL, first_seed=5, count=2))
    for seed, found in zip((5, 6), two, strict=True):
        assert found.metadata["seed"] == seed
        assert np.array_equal(found.positions, SMALL.with_seed(seed).make().positions)
    assert not np.array_equal(two[0].positions[:100], two[1].positions[:100])
    made = Counted()
    first = next(universes(made))
    assert made.seeds == [TRAINING_SEEDS.start]
    assert len(first) > 1000
    assert list(universes(made, count=0)) == []


def test_mocks_have_fresh_noise_each_time():
    made = Counted()
    four = list(mocks(universes(made, count=2), SURVEYS, cellsize=8, per_box=2))
    assert made.seeds == [2000, 2001]
    for one, two in ((0, 1), (2, 3)):
        assert np.array_equal(four[one].truth, four[two].truth)
        assert not np.array_equal(four[one].surveys.photo, four[two].surveys.photo)
    assert four[0].truth.shape != four[2].truth.shape
    again = list(mocks(universes(lognormal, count=1), SURVEYS, cellsize=8, per_box=2))
    assert np.array_equal(again[1].surveys.photo, four[1].surveys.photo)
    truth, photo, spec = four[0].fields()
    assert truth.box == photo.box == spec.box == Box(96, 12)
    # The noise is that of the survey, in the photometric sample alone.
    shift = four[0].surveys.photo[:, 2] - four[0].truth[:, 2]
    shift -= 96 * np.round(shift / 96)
    assert np.std(shift) == pytest.approx(four[0].surveys.error.sigma, rel=0.1)


def test_broken_generators():
    with pytest.raises(ValueError, match=r"^first_seed must not be negative, not -1$"):
        universes(SMALL, first_seed=-1)
    with pytest.raises(ValueError, match=r"^count must not be negative, not -2$"):
        universes(SMALL, count=-2)
    with pytest.raises(ValueError, match=r"^per_box must be at least 1, not 0$"):
        mocks([], SURVEYS, per_box=0)


# Pools


def test_a_pool_goes_round_and_keeps_what_fits(galaxies):
    size = num_bytes(galaxies)
    for memory, made in ((0, 6), (2.5 * size, 4), (9 * size, 3)):
        make = Counted()
        pool = Pool(make, [5, 6, 7], memory=memory)
        for number in range(6):
            assert pool[number].metadata["seed"] == 5 + number % 3
            assert pool[number] is pool[number]  # the last one is always held
        assert len(make.seeds) == made, memory
    with pytest.raises(ValueError, match=r"^seeds must name at least one universe$"):
        Pool(lognormal, [])


def test_a_pool_says_what_it_is_without_making_it_again():
    make = Counted()
    pool = Pool(make, range(2000, 2010))
    _ = pool[0]
    said = pool.describe()
    assert json.loads(json.dumps(said)) == said
    assert said["seeds"] == "2000 to 2009"
    assert said["first"]["maker"] == "lognormal"
    _ = pool[1], pool.describe()
    assert make.seeds == [2000, 2001]


# Files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two universes to train on, one to validate with, as `truez simulate` writes them."""
    place = tmp_path_factory.mktemp("boxes")
    for seed, suffix in ((2000, "parquet"), (2001, "h5"), (1000, "fits")):
        made = SMALL.with_seed(seed).make()
        catalog_from_galaxies(made).write(place / f"box-{seed}.{suffix}")
    (place / "notes.md").write_text("Not a catalogue.")
    return place


# Samples


def samples(make=lognormal, *, seeds=TRAINING_SEEDS, **changes):
    settings = {"crop": (4, 4, 0), "config": BOXES, "seed": 3, **changes}
    return UniverseSamples(Pool(make, seeds), SURVEYS, **settings)


def test_crops_lie_over_the_faces():
    values = torch.arange(4 * 5 * 6.0).reshape(1, 4, 5, 6)
    crop = wrapped(values, (3, 4, 5), (2, 3, 6))
    rolled = values.roll((-3, -4, -5), dims=(1, 2, 3))
    assert torch.equal(crop, rolled[:, :2, :3, :6])


def test_a_sample_depends_on_seed_step_and_rank_alone():
    source = samples(num_ranks=2)
    drawn = {
        (step, rank): source.draw(step, rank)
        for step, rank in ((0, 0), (1, 0), (2, 0), (6, 0), (0, 1))
    }
    for (step, rank), (inputs, truth) in drawn.items():
        assert inputs.shape == (2, 2, 4, 4, 12)
        again = samples(num_ranks=2).draw(step, rank)
        assert torch.equal(again[0], inputs)
        assert torch.equal(again[1], truth)
    for one, two in itertools.combinations(drawn.values(), 2):
        assert not torch.equal(one[1], two[1])
    assert not torch.equal(samples(seed=4).draw(0)[1], drawn[0, 0][1])


def test_views_and_boxes_follow_from_the_step():
    make = Counted()
    source = samples(make)
    _ = source.box
    seen = []
    for step in range(14):
        source.draw(step)
        seen.append(source.view(step // 2))
    # Two steps a view, three views a box.
    assert make.seeds == [2000, 2001, 2002]
    assert all((seen[s] is seen[s - 1]) == (s % 2 == 1) for s in range(1, 14))
    for number in range(1, 7):
        truths_agree = torch.equal(seen[2 * number][2], seen[2 * number - 1][2])
        assert truths_agree == (number % 3 != 0)
        assert not torch.equal(seen[2 * number][1], seen[2 * number - 1][1])


def test_samples_are_the_fields_of_the_surveys():
    values = samples().view(0)
    for delta in values:
        assert float(delta.mean()) == pytest.approx(0, abs=1e-4)
    spec, photo, truth = values
    # The spectroscopic sample is the sparse one, and the photometric one smeared.
    assert spec.var() > 2 * truth.var()
    assert photo.shape == truth.shape == (12, 12, 12)
    whole = samples(crop=(0, 0, 0), symmetries=False, batch=1)
    assert torch.equal(
        whole.draw(0)[1].flatten().sort().values, whole.view(0)[2].flatten().sort().values
    )


def test_an_epoch_fills_a_box():
    assert samples(batch=2).steps_per_epoch == 5  # 3 x 3 crops
    assert samples(batch=1, crop=(5, 5, 5)).steps_per_epoch == 8
    with pytest.raises(ValueError, match=r"crop of \(13, 4, 12\) cells does not fit in a region"):
        _ = samples(crop=(13, 4, 0)).shape


def test_universes_of_other_boxes_are_refused():
    source = samples(lambda seed: lognormal(seed, boxsize=96 if seed == 2000 else 104))
    source.draw(0)
    with pytest.raises(ValueError) as error:
        source.draw(6)
    assert str(error.value).startswith(
        "the universe of seed 2001 is a box of 104 x 104 x 104 Mpc/h, 13 x 13 x 13 cells"
    )
    assert str(error.value).endswith("train on universes of one box")

    def closed(seed):
        found = lognormal(seed)
        return replace(found, box=Box(96, 12, periodic=False))

    with pytest.raises(ValueError, match=r"^universes to train on must be periodic: "):
        _ = samples(closed).box


def test_validation_is_the_same_in_every_run():
    make = Counted()
    config = BoxesConfig(cellsize=8, validation_share=0.25)
    one, two = (
        universe_validation(make, [1000, 1001], SURVEYS, config, Box(96, 12)) for _ in range(2)
    )
    assert make.seeds == [1000, 1001] * 2
    assert len(one.parts) == 2
    for (fields, regions), (others, _) in zip(one.parts, two.parts, strict=True):
        assert regions == [((0, 0, 0), (3, 12, 12))]
        for a, b in zip(fields, others, strict=True):
            assert torch.equal(a.values, b.values)


# Training

NETWORK = {
    "spec_width": 2,
    "photo_width": 2,
    "multipliers": [1],
    "kernels": [3],
    "repeats": [0],
    "head_width": 4,
    "dropout": 0.0,
}
RECIPE = {
    "network": NETWORK,
    "training": {"steps": 5, "crop": [8, 8, 0], "validate_every": 5, "checkpoint_every": 5},
    "universe": {"boxsize": 96, "num_particles": 16, "density": 2e-3, "num_steps": 2},
    "surveys": {"sigma_z": [0.001, 0.002], "spec_density": 3e-4},
    "boxes": {
        "cellsize": 8,
        "steps_per_view": 1,
        "views_per_box": 2,
        "num_boxes": 2,
        "num_validation": 1,
    },
}


def test_a_run_on_universes(tmp_path):
    state = train_on_universes(RECIPE, out=tmp_path)
    assert state.step == 5
    header = load_weights(tmp_path / "best.safetensors")[1]
    assert header.cellsize == (8, 8, 8)
    assert header.survey.z_err == pytest.approx((0.00159, 0.00318))
    assert header.survey.spec_density == (3e-4, 3e-4)
    assert header.survey.photo_density == pytest.approx((2e-3, 2e-3), rel=1e-3)
    seeds = {"training": "2000 to 2001", "validation": "1000"}
    assert header.provenance["recipe"] == {**RECIPE, "seeds": seeds}
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["universes"]["seeds"] == "2000 to 2001"
    assert written["universes"]["first"]["seed"] == 2000
    assert [made["seed"] for made in written["validation_universes"]] == [1000]


def test_a_run_on_the_same_universes_from_files_is_the_same_run(tmp_path, folder):
    train_on_universes(RECIPE, out=tmp_path / "made")
    train_on_universes(RECIPE, folder=folder, out=tmp_path / "read")
    assert (tmp_path / "made/losses.csv").read_bytes() == (
        tmp_path / "read/losses.csv"
    ).read_bytes()
    recipe = load_weights(tmp_path / "read/last.safetensors")[1].provenance["recipe"]
    assert "universe" not in recipe


def test_another_kind_of_universe_does_not_resume(tmp_path):
    stopped = {**RECIPE, "training": {**RECIPE["training"], "max_minutes": 1e-6}}
    train_on_universes(stopped, out=tmp_path)
    other = {**RECIPE, "universe": {**RECIPE["universe"], "num_steps": 3}}
    with pytest.raises(ValueError, match=r"has universes.* = .* resume it with its own settings"):
        train_on_universes(other, out=tmp_path, resume=True)


def without(section):
    return {name: values for name, values in RECIPE.items() if name != section}


def with_setting(section, **settings):
    return {**RECIPE, section: {**RECIPE[section], **settings}}


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (
            without("universe"),
            (
                "a recipe for training on universes has the sections network, training, universe, "
                "surveys and boxes, not boxes, network, surveys and training: add what is missing, "
                "or train on a mock"
            ),
        ),
        ({**RECIPE, "surveys": 3}, "surveys must be a section of settings in the recipe, not 3"),
        (
            with_setting("universe", seed=3),
            "universe.seed = 3 names one universe, and training takes many: leave it out",
        ),
        (
            with_setting("training", mode="grid"),
            "training.mode = grid needs the regions of a mock: choose random for universes",
        ),
        (
            with_setting("surveys", photo_density=3e-3),
            (
                "surveys.photo_density up to 0.003 (h/Mpc)^3 is more than the universe's "
                "0.001999: take a lower one, or a universe of more galaxies"
            ),
        ),
        (
            with_setting("training", crop=[13, 8, 8]),
            (
                "training.crop of (13, 8, 8) cells does not fit in a region of (12, 12, 12) cells: "
                "take a smaller one, or 0 for all cells of an axis"
            ),
        ),
    ],
)
def test_broken_recipes_are_refused_before_a_universe_is_made(
    tmp_path, monkeypatch, recipe, sentence
):
    monkeypatch.setattr(Universe, "make", lambda *a, **k: pytest.fail("a universe was made"))
    with pytest.raises(ValueError) as error:
        train_on_universes(recipe, out=tmp_path)
    assert str(error.value) == sentence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        ("boxes", {"steps_per_view": 0}),
        ("boxes", {"validation_share": 0}),
        ("boxes", {"num_validation": 0}),
        ("boxes", {"speed": 3}),
        ("boxes", {"resampler": "pcs"}),
        ("network", {"kernels": [2, 2]}),
        ("universe", {"num_particles": 4}),
        ("surveys", {"redshift_space": "either"}),
    ],
)
def test_broken_settings_too(tmp_path, monkeypatch, section, settings):
    monkeypatch.setattr(Universe, "make", lambda *a, **k: pytest.fail("a universe was made"))
    with pytest.raises(ValueError, match=next(iter(settings))):
        train_on_universes(with_setting(section, **settings), out=tmp_path)


def test_a_folder_with_a_run_is_refused_before_a_universe_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(Universe, "make", lambda *a, **k: pytest.fail("a universe was made"))
    with pytest.raises(FileNotFoundError, match=r"there is no run to resume in"):
        train_on_universes(RECIPE, out=tmp_path, resume=True)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"already holds a run"):
        train_on_universes(RECIPE, out=tmp_path)


def test_the_small_recipe_is_the_papers_survey():
    recipe = read_recipe("small")
    supply = Supply.from_recipe(recipe["universe"], BoxesConfig(**recipe["boxes"]))
    assert (len(supply.train), len(supply.validation)) == (8, 2)
    surveys = SurveySpec(**recipe["surveys"])
    surveys.check(supply.num_galaxies, supply.box.volume)
    drawn = surveys.draw(rng(), redshift=supply.redshift, cosmology=supply.cosmology)
    # Eq. 3 of the paper, and its densities.
    assert (drawn.sigma_z, drawn.spec.density, drawn.photo.density) == (0.02, 1e-3, None)
    assert supply.num_galaxies / supply.box.volume == pytest.approx(1.85e-2, rel=1e-5)
    assert drawn.redshift_space


# The command


SETTINGS = [
    *("universe.boxsize=96", "universe.num_particles=16", "universe.density=2e-3"),
    *("universe.num_steps=2", "surveys.spec_density=3e-4", "surveys.sigma_z=0.001"),
    *("boxes.cellsize=8", "boxes.num_boxes=2", "boxes.num_validation=1"),
    *("network.multipliers=[1]", "network.kernels=[3]", "network.repeats=[0]"),
    *("training.steps=2", "training.crop=[8, 8, 8]", "training.validate_every=2"),
]


def truez(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_truez_train_without_a_mock(tmp_path):
    changes = [word for text in SETTINGS for word in ("--set", text)]
    done = truez("train", "small", "--out", str(tmp_path / "run"), "--device", "cpu", *changes)
    assert done.exit_code == 0, done.output
    assert "2 steps" in done.stdout
    assert (tmp_path / "run/best.safetensors").is_file()
    assert (tmp_path / "run/losses.png").is_file()


def test_truez_train_refuses_two_things_to_train_on(tmp_path):
    done = truez(
        "train", "small", "--mock", str(tmp_path), "--boxes", str(tmp_path), "--out", str(tmp_path)
    )
    assert done.exit_code == 2
    assert done.stderr == ("truez: --mock and --boxes exclude each other: give one of them\n")
    done = truez("train", "paper", "--out", str(tmp_path))
    assert done.exit_code == 2
    assert "add what is missing, or train on a mock" in done.stderr
