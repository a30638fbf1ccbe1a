"""Training on stored views of surveys: samples, loss, validation, and whole runs."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch

from training.survey_views import LIMITS, view
from truez.experiments.recipes import read_recipe
from truez.mesh.box import Box
from truez.networks import build_network
from truez.networks.survey_limits import SurveyLimits
from truez.networks.weights import Header, load_weights, save_weights
from truez.training import TrainingConfig, ViewsConfig, train_on_universes, train_on_views
from truez.training.survey_crop import cut
from truez.training.survey_pool import ViewPool, make_views
from truez.training.survey_samples import SurveySamples
from truez.training.survey_training import SurveyLoss, SurveyValidation

torch.set_num_threads(1)

NETWORK = {
    "architecture": "column-net", "widths": [8, 12], "blocks": [1, 1, 1], "along": 3,
    "embedding": 4, "conditions": "local",
}  # fmt: skip
RECIPE = {
    "network": NETWORK,
    "training": {
        "steps": 6, "crop": [8, 8, 0], "batch": 2, "margin": 2, "learning_rate": 1e-2,
        "optimizer": "muon", "schedule": "cosine", "warmup": 1, "clip": 1.0, "ema": 0.9,
        "validate_every": 2, "checkpoint_every": 1, "bf16": False,
    },
    "views": {"full_weight": 50, "validation_crop": [12, 12], "validation_margin": 2},
}  # fmt: skip
DEVICE = torch.device("cpu")


def made(number):
    """Views of two kinds, the odd ones narrower and periodic."""
    about = {"kind": ("uneven", "even")[number % 2], "cellsize": [2.0, 2.0, 2.0 + number],
             "limits": {**LIMITS, "sigma": [10.0 + number, 20.0 + number]}}  # fmt: skip
    odd = {"mesh": (8, 8, 8), "margin": 0, "periodic": True, "classes": 1}
    more = odd if number % 2 else {"mesh": (16, 12, 12)}
    return view(seed=number, about=about, **more)


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    make_views(made, range(3), folder, "training")
    make_views(made, range(10, 13), folder, "validation")
    return folder


def network(**changes):
    settings = {**NETWORK, **changes}
    return build_network(settings.pop("architecture"), settings, seed=1)


def config(**changes):
    return TrainingConfig(**{**RECIPE["training"], **changes})


# The folder


def test_views_that_are_there_are_not_made_again(tmp_path):
    asked = []

    def noted(number):
        asked.append(number)
        return made(number)

    # Two processes with a half each.
    make_views(noted, range(0, 4, 2), tmp_path, "training")
    make_views(noted, range(1, 4, 2), tmp_path, "training")
    assert make_views(noted, range(5), tmp_path, "training") == [
        tmp_path / "training" / "00004.safetensors"
    ]
    assert asked == [0, 2, 1, 3, 4]
    assert len(ViewPool.of(tmp_path, "training")) == 5
    with pytest.raises(FileNotFoundError, match="has no views for validation: make some"):
        ViewPool.of(tmp_path, "validation")


def test_the_ranges_of_all_views(views):
    pool = ViewPool.of(views, "training")
    assert pool.ranges["sigma"] == (10.0, 22.0)
    assert pool.ranges["resampler"] == "cic"
    limits = pool.limits
    assert limits.cellsize == limits.along == (2.0, 2.0)
    assert limits.redshift == pytest.approx((0.6, 0.6))
    found = limits.model_dump(exclude={"cellsize", "along", "redshift"})
    assert found == SurveyLimits(**{**LIMITS, "sigma": (10.0, 22.0)}).model_dump()


# Samples


def sums(sample):
    return [[float(crop.fields.double().sum()), len(crop.galaxies)] for crop in sample]


def test_a_step_depends_on_nothing_but_seed_step_and_rank(views):
    pool = ViewPool.of(views, "training")
    one, two = (SurveySamples(pool, (8, 8, 0), batch=2, seed=1, num_ranks=2) for _ in range(2))
    one.draw(0)
    for step, rank in ((9, 1), (2, 0), (9, 1)):
        assert sums(one.draw(step, rank)) == sums(two.draw(step, rank))
    assert sums(one.draw(2)) != sums(one.draw(2, 1))
    assert sums(one.draw(2)) != sums(SurveySamples(pool, (8, 8, 0), batch=2, seed=2).draw(2))


def test_each_view_is_used_once_in_a_round(views):
    pool = ViewPool.of(views, "training")
    samples = SurveySamples(pool, (8, 8, 0), symmetries=False)
    assert samples.steps_per_epoch == 3
    assert samples.shape == (8, 8, 8)
    assert samples.box.cellsize == (2.0, 2.0, 3.0)
    for turn in range(4):
        lines = [samples.draw(3 * turn + n)[0] for n in range(3)]
        assert sorted(crop.fields.shape[3] for crop in lines) == [8, 12, 12]
    with pytest.raises(ValueError, match="crop must hold whole sight lines"):
        SurveySamples(pool, (8, 8, 8))


# The loss


def test_the_loss_is_minus_the_nats_per_galaxy():
    crop = cut(made(0), (0, 0), (12, 12))
    fresh = network()
    nats, number = crop.score(crop.fields[4], 2)
    assert 50 < number < 400
    with torch.no_grad():
        loss, few, both = (
            float(SurveyLoss(full)(fresh, crops, config(), DEVICE))
            for full, crops in ((50, [crop]), (4 * number, [crop]), (50, [crop, crop.turned(3)]))
        )
    assert loss == pytest.approx(-float(nats) / number, rel=1e-6)
    # Of few galaxies it counts less.
    assert few == pytest.approx(loss / 4, rel=1e-6)
    assert both == pytest.approx(loss, rel=1e-5)


def test_the_loss_does_not_reach_the_error_head():
    net = network()
    crop = cut(made(0), (0, 0), (12, 12))
    SurveyLoss(50)(net, [crop], config(), DEVICE).backward()
    for name, parameter in net.named_parameters():
        assert (parameter.grad is None) == name.startswith("error."), name


def test_a_crop_without_galaxies_says_nothing():
    empty = view(number=0)
    net = network()
    loss = SurveyLoss(50)(net, [cut(empty, (0, 0), (8, 8))], config(), DEVICE)
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(net.last.weight.grad.abs().max()) == 0


def test_it_overfits_one_crop():
    net = network()
    crop = cut(made(0), (0, 0), (12, 12))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = SurveyLoss(50)(net, [crop], config(), DEVICE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.2


# Validation


def test_validation_is_a_mean_over_kinds(views):
    pool = ViewPool.of(views, "validation")
    judge = SurveyValidation(pool, ViewsConfig(**RECIPE["views"]), 0.05, lambda: torch.no_grad())
    scores = judge.judge(network(), (8, 8, 8))
    assert scores["loss"] == -scores["nats"]
    for name in ("nats", "prior_nats"):
        kinds = [scores[f"{name}_{kind}"] for kind in ("uneven", "even")]
        assert scores[name] == pytest.approx(np.mean(kinds))
    # A fresh network gives the prior, with the galaxies that have spectra.
    wanted = []
    for number in (0, 2):
        crop = cut(pool[number], (2, 0), (12, 12))
        nats, found = crop.score(crop.fields[4], 2)
        wanted.append(float(nats) / found)
    assert scores["nats_uneven"] == pytest.approx(np.mean(wanted), rel=1e-5)


# Runs


@pytest.fixture(scope="module")
def run(views, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    train_on_views(RECIPE, views, out=out)
    return out


def test_a_run_leaves_weights_with_the_limits_of_the_views(run, views):
    trained, header = load_weights(run / "best.safetensors")
    assert trained.config.conditions == "local"
    assert header.survey.sigma == (10.0, 22.0)
    assert header.provenance["recipe"]["ranges"]["spec_density"] == [1e-4, 1e-3]
    rows = list(csv.DictReader((run / "validation.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert {"nats_even", "prior_nats_even", "nats_uneven"} <= set(rows[0])
    best = min(float(row["loss"]) for row in rows)
    assert header.provenance["validation_loss"] == pytest.approx(best)
    settings = json.loads((run / "config.json").read_text())
    assert list(settings["views"]["training"]) == ["00000", "00001", "00002"]
    last, _ = load_weights(run / "last.safetensors")
    fresh = network()
    assert not torch.equal(last.last.weight, fresh.last.weight)


class Stopped(Exception):
    """The end of a run in the middle."""


def stop_after(number):
    def progress(stage, done, *_):
        if stage == "train" and done == number:
            raise Stopped

    return progress


def test_a_resumed_run_is_the_same_bit_for_bit(run, views, tmp_path):
    folder, out = tmp_path / "views", tmp_path / "run"
    shutil.copytree(views, folder)
    with pytest.raises(Stopped):
        train_on_views(RECIPE, folder, out=out, progress=stop_after(3))
    # Views that are made meanwhile are not used.
    make_views(made, range(4, 6), folder, "training")
    train_on_views(RECIPE, folder, out=out, resume=True)
    for name in ("best.safetensors", "last.safetensors"):
        assert (out / name).read_bytes() == (run / name).read_bytes()
    assert (out / "validation.csv").read_text() == (run / "validation.csv").read_text()
    (folder / "training" / "00001.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="lacks the view 00001, with which the run began"):
        train_on_views(RECIPE, folder, out=out, resume=True)


def test_a_run_begins_from_even_weights(views, tmp_path):
    even = network(conditions="even")
    torch.nn.init.normal_(even.last.weight, std=0.1)
    box = Box(64.0, 32)
    save_weights(tmp_path / "even.safetensors", even, Header.of(even, box, SurveyLimits(**LIMITS)))
    with pytest.raises(Stopped):
        train_on_views(
            RECIPE,
            views,
            out=tmp_path / "run",
            start=tmp_path / "even.safetensors",
            progress=stop_after(1),
        )
    trained, _ = load_weights(tmp_path / "run" / "last.safetensors")
    started = trained.last.weight[:, : even.last.weight.shape[1]]
    assert float((started - even.last.weight).detach().abs().max()) < 0.05
    assert float(even.last.weight.detach().abs().max()) > 0.2
    with pytest.raises(ValueError, match="holds weights with"):
        train_on_views(
            {**RECIPE, "network": {**NETWORK, "along": 5}},
            views,
            out=tmp_path / "other",
            start=tmp_path / "even.safetensors",
        )


def test_a_schedule_that_fits_the_time_ends_at_zero():
    plain = config(steps=100, warmup=0)
    timed = config(steps=100, warmup=0, fit_time=True, max_minutes=10)
    assert timed.rate(40, 100, 3.0) == plain.rate(40, 100)
    assert timed.rate(40, 100, 5.0) == pytest.approx(plain.rate(50, 100))
    assert timed.rate(40, 100, 12.0) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="fit_time is for schedule = cosine with max_minutes"):
        config(fit_time=True)


def test_a_run_ends_at_its_limit_of_time(views, tmp_path):
    timed = {**RECIPE["training"], "steps": 1000, "fit_time": True, "max_minutes": 1e-3}
    state = train_on_views({**RECIPE, "training": timed}, views, out=tmp_path / "run")
    assert state.step < 1000
    assert state.losses[-1][0] == state.step
    load_weights(tmp_path / "run" / "best.safetensors")


def test_broken_recipes(views, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(ValueError, match=r"views\.full_weight must be at least 1, not 0"):
        train_on_views({**RECIPE, "views": {"full_weight": 0}}, views, out=out)
    with pytest.raises(ValueError, match=r"set network\.architecture to column-net and"):
        train_on_views({**RECIPE, "network": {**NETWORK, "conditions": "even"}}, views, out=out)
    with pytest.raises(ValueError, match="has the sections network, training and views, not"):
        train_on_views({**RECIPE, "boxes": {}}, views, out=out)
    with pytest.raises(ValueError, match=r"training\.crop must hold whole sight lines"):
        training = {**RECIPE["training"], "crop": [8, 8, 8]}
        train_on_views({**RECIPE, "training": training}, views, out=out)
    with pytest.raises(FileNotFoundError, match="has no views for training"):
        train_on_views(RECIPE, tmp_path, out=out)
    universes = read_recipe("columns-cpu")
    universes["network"]["conditions"] = "local"
    with pytest.raises(ValueError, match="is trained on views of uneven surveys"):
        train_on_universes(universes, out=out)
    assert not (out / "config.json").exists()


def test_the_recipe_is_whole():
    recipe = read_recipe("surveys-cpu")
    training, chosen = TrainingConfig(**recipe["training"]), ViewsConfig(**recipe["views"])
    assert training.fit_time
    assert training.max_minutes == 100
    assert all(n % 4 == 0 for n in (*training.crop, *chosen.validation_crop))
    settings = dict(recipe["network"])
    found = build_network(settings.pop("architecture"), settings)
    assert 4 * found.num_parameters < 10e6
