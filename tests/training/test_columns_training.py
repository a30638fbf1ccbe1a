"""Column networks in training: the loss, the crops, what a run leaves, and its use."""

import copy
import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from truez.catalogs.catalog import Catalog
from truez.cli.app import app
from truez.cosmology import COSMOLOGIES
from truez.experiments.recipes import read_recipe
from truez.linear.fit import NoFitError
from truez.mesh.box import Box
from truez.mesh.painting import paint
from truez.networks import build_network, tiled
from truez.networks.column_inputs import column_inputs
from truez.networks.error_head import SMALLEST
from truez.networks.survey_limits import SurveyLimits
from truez.networks.weights import Header, load_weights, save_weights
from truez.reconstruct import METHODS, estimate
from truez.sightlines.redistribution import information_gain, redistribute_surveys
from truez.simulate import lognormal_galaxies, observe
from truez.surveys.spec import SurveySpec
from truez.training import (
    BoxesConfig,
    ColumnLoss,
    ColumnSamples,
    ColumnsConfig,
    Pool,
    TrainingConfig,
    column_validation,
    train_on_mock,
    train_on_universes,
)
from truez.training import column_samples as samples_module
from truez.training import run as run_module
from truez.training.column_samples import observed
from truez.training.column_view import ColumnView
from truez.training.supply import Supply
from truez.training.universe_samples import fields_of

torch.set_num_threads(1)

SETTINGS = {"widths": (8, 12), "blocks": (1, 1, 1), "along": 3, "embedding": 4}
#: Of the whole run: 24^3 cells of 4 Mpc/h.
BOXES = BoxesConfig(cellsize=4.0, steps_per_view=4, views_per_box=1)
MESH = Box.from_cellsize(96.0, 4.0)
SURVEYS = SurveySpec(
    sigma_z=(0.003, 0.006),
    spec_density=(1e-3, 2e-3),
    photo_density=(5e-3, 9e-3),
    outlier_fraction=(0, 0.05),
    redshift_space="both",
    thinning="both",
)
FIDUCIAL = SurveySpec(sigma_z=0.004, spec_density=1e-3)
DEVICE = torch.device("cpu")


def universe(seed, side=96.0):
    return lognormal_galaxies(
        Box(side, round(side / 4)),
        COSMOLOGIES["wmap"],
        redshift=0.5,
        density=1e-2,
        bias=1.2,
        seed=seed,
    )


@pytest.fixture(scope="module")
def galaxies():
    return universe(2000)


@pytest.fixture(scope="module")
def seen(galaxies):
    """A mock with its network's inputs."""
    return observed(galaxies, FIDUCIAL, np.random.default_rng(3), BOXES, MESH, 0.05)


@pytest.fixture(scope="module")
def view(seen):
    return ColumnView.of(*seen, "cic")


def samples(*, surveys=SURVEYS, config=BOXES, columns=None, make=universe, **changes):
    settings = {"batch": 2, "seed": 1, **changes}
    crop = settings.pop("crop", (8, 8, 0))
    chosen = columns or ColumnsConfig(views_at_once=2)
    return ColumnSamples(
        Pool(make, [2000, 2001], memory=1e9), surveys, crop, config, chosen, 0.05, **settings
    )


# The loss


def moved_by_the_prior(surveys, floor=0.05):
    """The prior of the network's input, and the galaxies moved by it."""
    prior = column_inputs(surveys, floor=floor).prior
    return redistribute_surveys(surveys, prior), prior


def test_a_fresh_network_is_the_redistribution_by_its_prior(seen, view):
    mock, _, _ = seen
    moved, prior = moved_by_the_prior(mock.surveys)
    truth, _, _ = mock.fields()
    wanted = float((moved.field.values - truth.values).double().square().mean())
    nats, error = view.score(view.values[4])
    assert float(error) * view.variance == pytest.approx(wanted, rel=1e-4)
    gain = information_gain(mock.surveys, prior, mock.truth)
    assert float(nats) == pytest.approx(gain, rel=1e-4)
    assert view.variance == pytest.approx(float(truth.values.double().var()), rel=1e-5)
    fresh = build_network("column-net", SETTINGS)
    config = TrainingConfig(steps=1, bf16=False)
    loss = ColumnLoss(0.5)(fresh, [view], config, DEVICE).item()
    assert loss == pytest.approx(0.5 * float(error) - float(nats), rel=1e-6)


def test_a_uniform_intensity_knows_nothing(view):
    nats, _ = view.score(torch.full(view.values.shape[1:], 0.7))
    assert float(nats) == pytest.approx(0, abs=1e-6)


def test_counts_of_every_column_are_those_at_the_true_places(view):
    (counts, _), (true_counts, moving) = view.photo, view.values[6:]
    assert torch.allclose(counts.sum(-1), true_counts.sum(-1), atol=1e-3)
    assert torch.allclose(counts.sum(-1), moving.sum(-1), atol=1e-3)


def test_the_loss_leaves_out_the_margin(view):
    fresh = build_network("column-net", SETTINGS)
    config = TrainingConfig(steps=1, margin=5, crop=(24, 24, 24), bf16=False)
    loss = ColumnLoss(0.0)(fresh, [view], config, DEVICE)
    inner = view.cut((5, 5), (14, 14))
    assert loss.item() == pytest.approx(-float(inner.score(inner.values[4])[0]), rel=1e-6)


def test_it_overfits_one_crop(view):
    crop = view.cut((0, 0), (12, 12))
    network = build_network("column-net", SETTINGS, seed=1)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    objective = ColumnLoss(0.5)
    config = TrainingConfig(steps=1, bf16=False)
    losses = []
    for _ in range(60):
        loss = objective(network, [crop], config, DEVICE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    with torch.no_grad():
        estimate = network(crop.fields[None], crop.conditions, joined=True)[0, 0]
    before, after = (crop.score(field) for field in (crop.values[4], estimate))
    # Far beyond what two surveys tell: it knows this crop's galaxies.
    assert float(after[0]) > float(before[0]) + 0.2
    assert float(after[1]) < 0.85 * float(before[1])
    assert losses[-1] < losses[0] - 0.25


def test_the_error_head_learns_what_is_found_and_nothing_else(view):
    network = build_network("column-net", SETTINGS, seed=1)
    prior = view.fields[4]
    before = view.errors(network, prior)
    # Before training it is what unknown redshifts leave; that of a wrong intensity is more.
    assert torch.equal(before.variance, before.given)
    assert before.ratio > 1.1
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)
    for _ in range(150):
        optimizer.zero_grad()
        view.errors(network, prior).surprise.backward()
        assert all(
            parameter.grad is None
            for name, parameter in network.named_parameters()
            if not name.startswith("error.")
        )
        optimizer.step()
    with torch.no_grad():
        after = view.errors(network, prior)
    assert after.ratio == pytest.approx(1, abs=0.03)
    # Cell by cell, too: where much is told, much is found.
    cells = after.given >= SMALLEST
    order = after.variance[cells].argsort()
    squares = (after.truth - after.mean)[cells].square()[order]
    ratios = [
        float(a.mean() / b.mean())
        for a, b in zip(squares.chunk(4), after.variance[cells][order].chunk(4), strict=True)
    ]
    assert ratios == pytest.approx([1] * 4, abs=0.2)


def test_the_loss_is_the_same_with_and_without_the_error_head(view):
    network = build_network("column-net", SETTINGS, seed=1)
    config = TrainingConfig(steps=1, bf16=False)
    loss = ColumnLoss(0.5)(network, [view], config, DEVICE)
    with torch.no_grad():
        assert ColumnLoss(0.5)(network, [view], config, DEVICE).item() == pytest.approx(loss.item())
    loss.backward()
    assert network.error.last.bias.grad is not None
    assert float(network.error.last.bias.grad.abs()) > 0


def test_galaxies_all_of_known_redshift_have_no_nats(view):
    values = view.values.clone()
    values[6:] = 0
    empty = replace(view, values=values, photo=torch.zeros_like(view.photo))
    nats, error = empty.score(view.values[4])
    assert (float(nats), float(error)) == (0, 0)


# Crops


def fingerprint(crop):
    return [
        crop.level,
        crop.variance,
        *crop.values.double().sum((1, 2, 3)).tolist(),
        float(crop.photo.sum()),
    ]


def test_a_step_depends_on_nothing_but_seed_step_and_rank():
    one, two = samples(num_ranks=2), samples(num_ranks=2)
    one.draw(0)
    for step, rank in ((9, 1), (2, 0), (9, 1)):
        first, second = one.draw(step, rank), two.draw(step, rank)
        assert len(first) == 2
        for a, b in zip(first, second, strict=True):
            assert torch.equal(a.values, b.values)
            assert torch.equal(a.photo, b.photo)
            assert torch.equal(a.conditions, b.conditions)
            assert a.values.shape == (8, 8, 8, 24)
    assert fingerprint(one.draw(2)[0]) != fingerprint(one.draw(2, 1)[0])
    other = samples(seed=2)
    assert fingerprint(one.draw(2)[0]) != fingerprint(other.draw(2)[0])


def test_views_take_turns_in_being_made_anew(monkeypatch):
    made = []
    real = samples_module.observed

    def counted(galaxies, *arguments):
        made.append(galaxies.metadata["seed"])
        return real(galaxies, *arguments)

    monkeypatch.setattr(samples_module, "observed", counted)
    source = samples(batch=1)
    numbers = []
    for step in range(10):
        source.draw(step)
        numbers.append(sorted(number for number, _ in source._made))
    # Steps 0 to 3 have slot 0's first view; slot 1's lives half as long, once.
    assert numbers[:2] == [[0, 1]] * 2
    assert numbers[2:4] == [[0, 3]] * 2
    assert numbers[4:6] == [[2, 3]] * 2
    assert numbers[6:8] == [[2, 5]] * 2
    # The pool goes round, and nothing is made twice.
    assert made == [2000, 2001, 2001, 2000, 2001, 2000][: len(made)]
    assert len(made) == 6


def test_views_made_ahead_are_the_same():
    plain = samples(columns=ColumnsConfig(views_at_once=2))
    ahead = samples(columns=ColumnsConfig(views_at_once=2, views_ahead=1))
    numbers = {0: ({0, 1}, {3}), 2: ({0, 3}, {2}), 4: ({2, 3}, {5}), 9: ({4, 5}, {7})}
    drawn = {step: plain.draw(step) for step in numbers}
    for step, (alive, coming) in numbers.items():
        for a, b in zip(drawn[step], ahead.draw(step), strict=True):
            assert torch.equal(a.values, b.values)
        # The one that is needed next is on its way, and no other.
        assert {number for number, _ in ahead._made} == alive
        assert {number for number, _ in ahead._coming} == coming
    assert plain.describe() == ahead.describe()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_views_is_of_the_judged_surveys(share):
    columns = ColumnsConfig(views_at_once=1, judged_share=share, validation=(FIDUCIAL,))
    source = samples(columns=columns, config=BOXES.model_copy(update={"steps_per_view": 1}))
    judged = 0
    mock, _, _ = observed(universe(2000), FIDUCIAL, np.random.default_rng(0), BOXES, MESH, 0.05)
    sigma = np.log(mock.surveys.error.sigma / 4)
    for step in range(12):
        view = source.view(0, step)
        judged += abs(float(view.conditions[0]) - sigma) < 1e-5
    assert {0.0: judged == 0, 0.5: 2 <= judged <= 10, 1.0: judged == 12}[share]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_views_is_of_galaxies_anywhere(share, monkeypatch):
    calls = []
    monkeypatch.setattr(samples_module, "scattered", lambda real, rng: calls.append(1) or real)
    columns = ColumnsConfig(views_at_once=1, random_share=share)
    source = samples(columns=columns, config=BOXES.model_copy(update={"steps_per_view": 1}))
    for step in range(12):
        source.view(0, step)
    assert {0.0: not calls, 0.5: 2 <= len(calls) <= 10, 1.0: len(calls) == 12}[share]


def test_galaxies_anywhere_have_no_power_but_shot_noise():
    galaxies = universe(2000)
    anywhere = samples_module.scattered(galaxies, np.random.default_rng(3))
    assert (anywhere.mass == galaxies.mass).all()
    assert (anywhere.positions >= galaxies.box.lower).all()
    assert (anywhere.positions <= galaxies.box.upper).all()
    counts = paint(anywhere.positions, MESH, "ngp").values
    assert float(counts.var() / counts.mean()) == pytest.approx(1, abs=0.1)


def test_galaxies_anywhere_that_cannot_be_fitted_are_not_seen(monkeypatch):
    asked = []

    def refused(galaxies, *settings):
        asked.append("anywhere" in galaxies.metadata)
        if asked[-1]:
            raise samples_module.NoSurveysError
        return observed(galaxies, *settings)

    def marked(galaxies, rng):
        return replace(galaxies, metadata={**galaxies.metadata, "anywhere": True})

    monkeypatch.setattr(samples_module, "scattered", marked)
    monkeypatch.setattr(samples_module, "observed", refused)
    samples(columns=ColumnsConfig(views_at_once=1, random_share=1.0)).view(0, 0)
    assert asked == [True, False]


def test_views_are_kept_in_half_precision(view):
    kept = view.half()
    assert kept.values.dtype == kept.photo.dtype == torch.float16
    again = kept.single()
    assert again.values.dtype == torch.float32
    assert torch.allclose(again.values, view.values, rtol=1e-3, atol=1e-3)
    for a, b in zip(again.score(again.values[4]), view.score(view.values[4]), strict=True):
        assert float(a) == pytest.approx(float(b), abs=1e-4)
    drawn = samples().draw(0)[0]
    assert drawn.values.dtype == drawn.photo.dtype == torch.float32


def test_crops_of_a_batch_are_of_views_in_turn():
    source = samples(batch=1)
    conditions = [source.draw(step)[0].conditions for step in (0, 1)]
    alive = [source.view(slot, 1).conditions for slot in (0, 1)]
    assert torch.equal(conditions[0], alive[0])
    assert torch.equal(conditions[1], alive[1])


def test_turning_and_shifting_a_whole_box_changes_no_score(view):
    drawn = view.crop(np.random.default_rng(3), MESH.meshsize, symmetries=True)
    assert not torch.equal(drawn.values, view.values)
    for a, b in zip(drawn.score(drawn.values[4]), view.score(view.values[4]), strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-5)


CLOSED = SURVEYS.model_copy(update={"closed": 1.0})


@pytest.fixture(scope="module")
def part(galaxies):
    """A mock of a closed box with its network's inputs."""
    return observed(galaxies, CLOSED, np.random.default_rng(3), BOXES, MESH, 0.05)


def test_a_closed_box_is_a_part_of_the_universe(galaxies, part):
    mock, inputs, _ = part
    box = mock.box
    assert not box.periodic
    assert box.meshsize[:2] == (24, 24)
    assert box.meshsize[2] in (12, 16, 20, 24)
    assert box.cellsize == MESH.cellsize
    assert tuple(inputs.values.shape) == (6, *box.meshsize)
    assert len(mock.truth) / box.volume == pytest.approx(
        mock.config.photo.density or len(mock.truth) / box.volume, rel=0.3
    )
    # All of them are galaxies of the universe, moved along the line of sight as one.
    truth = galaxies.positions[mock.photo_ids].astype(float)
    if mock.config.redshift_space:
        shift = mock.config.cosmology.distance_per_velocity(galaxies.redshift)
        truth[:, 2] += galaxies.velocities[mock.photo_ids, 2] * shift
    moved = np.remainder(mock.truth[:, 2] - truth[:, 2], 96.0)
    assert np.ptp(np.remainder(moved - moved[0] + 48, 96)) < 1e-3
    assert np.allclose(np.remainder(mock.truth[:, :2] - truth[:, :2] + 48, 96), 48, atol=1e-4)
    # Nobody is missing between its faces.
    assert not mock.surveys.photo_inside().all()
    assert np.ptp(mock.truth[:, 2]) > 0.98 * box.boxsize[2]


def test_a_closed_view_scores_as_the_redistribution_does(part):
    mock, _, _ = part
    view = ColumnView.of(*part, "cic")
    assert not view.periodic
    assert view.photo.shape[3] > view.values.shape[3]
    moved, prior = moved_by_the_prior(mock.surveys)
    truth, _, _ = mock.fields()
    wanted = float((moved.field.values - truth.values).double().square().mean())
    nats, error = view.score(view.fields[4])
    assert float(error) * view.variance == pytest.approx(wanted, rel=1e-4)
    gain = information_gain(mock.surveys, prior, mock.truth)
    assert float(nats) == pytest.approx(gain, rel=1e-4)
    # However it is turned, and a crop stays inside.
    drawn = view.crop(np.random.default_rng(3), (24, 24), symmetries=True)
    for a, b in zip(drawn.score(drawn.fields[4]), (nats, error), strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-5)
    seen = {
        float(view.crop(np.random.default_rng(n), (8, 8), symmetries=False).values[6].sum())
        for n in range(20)
    }
    inside = view.values[6].sum(-1).unfold(0, 8, 1).unfold(1, 8, 1).sum((2, 3)).flatten()
    assert len(seen) > 15
    assert all(float((inside - one).abs().min()) < 1e-3 for one in seen)


def test_closed_and_periodic_views_train_together(part, view):
    closed = ColumnView.of(*part, "cic")
    fresh = build_network("column-net", SETTINGS)
    config = TrainingConfig(steps=1, bf16=False)
    crops = [view.cut((0, 0), (8, 8)), closed.cut((0, 0), (8, 8)), view.cut((4, 4), (8, 8))]
    alone = [ColumnLoss(0.5)(fresh, [crop], config, DEVICE).item() for crop in crops]
    together = ColumnLoss(0.5)(fresh, crops, config, DEVICE).item()
    assert together == pytest.approx(sum(alone) / 3, rel=1e-6)
    # The ends of a closed line of sight are not joined.
    torch.nn.init.normal_(fresh.last.weight, std=0.05, generator=torch.Generator().manual_seed(0))
    crop = crops[1]
    loss = ColumnLoss(0.0)(fresh, [crop], config, DEVICE)
    with torch.no_grad():
        estimate = fresh(crop.fields[None], crop.conditions, joined=False)[0, 0]
    assert loss.item() == pytest.approx(-float(crop.score(estimate)[0]), rel=1e-6)


def test_a_closed_piece_is_judged_as_in_the_whole_box():
    network = build_network("column-net", {**SETTINGS, "blocks": (0, 0, 0)})
    torch.nn.init.normal_(network.last.weight, std=0.05, generator=torch.Generator().manual_seed(0))
    config = BOXES.model_copy(update={"validation_share": 1 / 36})
    training = TrainingConfig(steps=1, bf16=False)
    judge = column_validation(
        universe, [1000], CLOSED, ColumnsConfig(), config, MESH, network, training, "cpu"
    )
    seen = observed(universe(1000), CLOSED, np.random.default_rng([0, 0, 0, 5]), config, MESH, 0.05)
    whole = ColumnView.of(*seen, "cic")
    log_intensity = tiled(
        network, whole.fields, tile=None, periodic=False, conditions=whole.conditions
    )
    nats, error = whole.cut((8, 8), (4, 4)).score(log_intensity[8:12, 8:12])
    found = judge.judge(network, (8, 8, 24))
    assert found["nats"] == pytest.approx(float(nats), rel=1e-4)
    assert found["mse"] == pytest.approx(float(error), rel=1e-4)


def test_a_network_on_cubes_wants_periodic_boxes(galaxies):
    with pytest.raises(ValueError, match="closed must be 0 for a network on cubes, not 1"):
        fields_of(galaxies, CLOSED, np.random.default_rng(0), BOXES, MESH)


def test_surveys_of_the_ranges(galaxies):
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(24):
        mock = observe(galaxies, SURVEYS, rng, cellsize=4.0)
        kept = galaxies.mass[mock.photo_ids]
        by_mass = kept.min() >= np.delete(galaxies.mass, mock.photo_ids).max(initial=0)
        kinds.add((bool(by_mass), mock.surveys.redshift_space))
    assert len(kinds) == 4


def test_surveys_that_cannot_be_fitted_are_drawn_again(galaxies, monkeypatch):
    real, calls = samples_module.column_inputs, []

    def stubborn(surveys, **settings):
        calls.append(surveys.error.sigma)
        if len(calls) < 3:
            raise NoFitError
        return real(surveys, **settings)

    monkeypatch.setattr(samples_module, "column_inputs", stubborn)
    mock, _, _ = observed(galaxies, SURVEYS, np.random.default_rng(1), BOXES, MESH, 0.05)
    assert len(set(calls)) == 3
    assert mock.surveys.error.sigma == calls[-1]

    def never(surveys, **settings):
        raise NoFitError

    monkeypatch.setattr(samples_module, "column_inputs", never)
    with pytest.raises(ValueError, match="none of 10 surveys drawn could be fitted: no positive"):
        observed(galaxies, SURVEYS, np.random.default_rng(1), BOXES, MESH, 0.05)


# Validation


@pytest.mark.medium
def test_validation_of_a_fresh_network_is_that_of_no_network():
    fresh = build_network("column-net", {**SETTINGS, "blocks": (0, 0, 0)})
    columns = ColumnsConfig(
        validation=[FIDUCIAL, FIDUCIAL.model_copy(update={"sigma_z": (0.006,) * 2})]
    )
    # A piece of the sky with a halo around it, one that a halo does not fit around, and all of it.
    told = {}
    for share in (1 / 36, 0.25, 1.0):
        config = BOXES.model_copy(update={"validation_share": share})
        judge = column_validation(
            universe, [1000, 1001], SURVEYS, columns, config, MESH, fresh,
            TrainingConfig(steps=1, bf16=False), "cpu",
        )  # fmt: skip
        told[share] = judge.judge(fresh, (8, 8, 24))
        part = judge.parts[0][0]
        start, stop = part.region
        side = round(24 * share**0.5)
        assert (stop[0] - start[0], stop[1] - start[1], stop[2] - start[2]) == (side, side, 24)
        assert part.view.values.shape[1:] == ((20, 20, 24) if share < 0.1 else (24, 24, 24))
    for share, found in told.items():
        for name in ("nats", "mse", "mse_wiener", "nats_2", "mse_wiener_1"):
            assert found[name] == pytest.approx(found[f"prior_{name}"], rel=1e-5), share
        assert found["loss"] == pytest.approx(0.5 * found["mse"] - found["nats"], rel=1e-9)
        assert found["nats"] == pytest.approx((found["nats_1"] + found["nats_2"]) / 2)
        assert found["nats_1"] < found["nats_2"]
    assert told[0.25]["nats"] != told[1.0]["nats"]


@pytest.mark.parametrize("side", [4, 12])
def test_a_piece_is_judged_as_in_the_whole_sky(side):
    network = build_network("column-net", {**SETTINGS, "blocks": (0, 0, 0)})
    torch.nn.init.normal_(network.last.weight, std=0.05, generator=torch.Generator().manual_seed(0))
    config = BOXES.model_copy(update={"validation_share": (side / 24) ** 2})
    training = TrainingConfig(steps=1, bf16=False)
    judge = column_validation(
        universe, [1000], FIDUCIAL, ColumnsConfig(), config, MESH, network, training, "cpu"
    )
    mock, inputs, photo = observed(
        universe(1000), FIDUCIAL, np.random.default_rng([0, 0, 0, 5]), config, MESH, 0.05
    )
    whole = ColumnView.of(mock, inputs, photo, "cic")
    log_intensity = tiled(
        network, whole.fields, tile=None, periodic=True, conditions=whole.conditions
    )
    corner = whole.cut((0, 0), (side, side))
    nats, error = corner.score(log_intensity[:side, :side])
    found = judge.judge(network, (8, 8, 24))
    assert found["nats"] == pytest.approx(float(nats), rel=1e-4)
    assert found["mse"] == pytest.approx(float(error), rel=1e-4)
    truth, _, _ = mock.fields()
    wiener = (inputs.wiener - truth.values)[:side, :side].double().square().mean()
    assert found["mse_wiener"] == pytest.approx(
        float(error) * whole.variance / float(wiener), rel=1e-4
    )


# The run

RECIPE = {
    "network": {"architecture": "column-net", **SETTINGS},
    "training": {
        "steps": 2,
        "crop": [12, 12, 0],
        "batch": 1,
        "margin": 2,
        "learning_rate": 1e-3,
        "validate_every": 1,
        "ema": 0.5,
        "bf16": False,
    },
    "surveys": SURVEYS.model_dump(),
    "boxes": BOXES.model_dump(),
    "columns": {"views_at_once": 1, "validation": [{"sigma_z": 0.004, "spec_density": 1e-3}]},
}


def supply(make=universe):
    return Supply(make, [2000, 2001], [1000], True, Box(96, 24), 8847, 0.5, COSMOLOGIES["wmap"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a short run."""
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module.Supply, "from_folder", lambda folder: supply())
        train_on_universes(RECIPE, folder="pool", out=out)
    return out


def test_what_a_run_leaves_behind(trained):
    with (trained / "validation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2"]
    assert list(rows[0]) == [
        *("step", "loss", "nats", "mse", "mse_wiener", "error_ratio"),
        *("prior_nats", "prior_mse", "prior_mse_wiener"),
    ]
    assert rows[0]["prior_nats"] == rows[1]["prior_nats"]
    assert rows[0]["nats"] != rows[1]["nats"]
    with (trained / "losses.csv").open() as file:
        losses = list(csv.DictReader(file))
    assert [row["validation"] for row in losses] == [row["loss"] for row in rows]
    _, header = load_weights(trained / "best.safetensors")
    assert header.architecture == "column-net"
    assert header.inputs[4] == "ln max(1 + Wiener(spec only), floor)"
    assert header.output.startswith("ln intensity")
    survey = header.survey
    assert survey.redshift_space == "both"
    assert survey.z_err == pytest.approx((0.0045, 0.009))
    assert (survey.spec_density, survey.photo_density) == ((1e-3, 2e-3), (5e-3, 9e-3))
    assert (survey.outlier_fraction, survey.overlap) == ((0, 0.05), (1, 1))
    written = json.loads((trained / "config.json").read_text())
    assert written["columns"]["validation"][0]["sigma_z"] == [0.004, 0.004]
    assert written["validation_surveys"][0]["spec_density"] == [1e-3, 1e-3]


def test_weights_learn_on(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module.Supply, "from_folder", lambda folder: supply())
    recipe = broken("training", learning_rate=1e-9, ema=0.0, steps=1)
    start = trained / "last.safetensors"
    train_on_universes(recipe, folder="pool", out=tmp_path / "on", start=start)
    first, before = load_weights(start)
    second, header = load_weights(tmp_path / "on" / "last.safetensors")
    for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-7), name
    assert header.provenance["recipe"]["start"] == before.provenance
    assert header.provenance["step"] == 1
    with pytest.raises(ValueError, match="has start = "):
        train_on_universes(recipe, folder="pool", out=tmp_path / "on", resume=True)
    wider = broken("network", widths=(8, 8))
    with pytest.raises(ValueError, match="start from weights of the recipe's network"):
        train_on_universes(wider, folder="pool", out=tmp_path / "wide", start=start)
    other = {name: recipe[name] for name in recipe if name != "columns"}
    other["network"] = {"architecture": "dual-unet", "spec_width": 1}
    with pytest.raises(ValueError, match="architecture = 'column-net', not 'dual-unet'"):
        train_on_universes(other, folder="pool", out=tmp_path / "unet", start=start)
    with pytest.raises(FileNotFoundError):
        train_on_universes(recipe, folder="pool", out=tmp_path / "no", start=tmp_path / "none")


def test_reconstruct_with_the_weights(trained, seen):
    surveys = seen[0].surveys
    found = estimate(surveys, "columns", weights=trained / "best.safetensors", tile=8)
    again = estimate(surveys, "columns", weights=trained / "best.safetensors", tile=None)
    assert float((found.field.values - again.field.values).abs().max()) < 1e-3
    assert found.intensity is not None
    assert found.sigma is not None
    assert float(found.intensity.min()) > 0
    assert abs(float(found.field.values.mean())) < 1e-5
    prior = estimate(surveys, "redistribution")
    assert not torch.allclose(found.field.values, prior.field.values, atol=1e-3)
    metadata = found.field.metadata
    assert metadata["method"] == "columns"
    assert metadata["network"]["step"] in (1, 2)
    assert metadata["num_matched"] == len(surveys.spec)
    same = ("floor", "floor_fraction", "linear_model", "num_matched")
    assert metadata["sigma"] > 0
    assert set(same) <= set(metadata) & set(prior.field.metadata)


@pytest.mark.parametrize("periodic", [True, False])
def test_a_fresh_network_reconstructs_as_its_prior_does(tmp_path, seen, periodic):
    surveys = seen[0].surveys
    if not periodic:
        box = replace(surveys.box, periodic=False)
        surveys = replace(surveys, box=box, photo_bounds="photo-z")
    network = build_network("column-net", {**SETTINGS, "floor": 0.1})
    survey = SurveyLimits(
        z_err=(0.006, 0.006),
        sigma=(surveys.error.sigma,) * 2,
        outlier_fraction=(0, 0),
        spec_density=(1e-3, 1e-3),
        photo_density=(1e-2, 1e-2),
        overlap=(1, 1),
        resampler="cic",
        redshift_space="both",
    )
    path = tmp_path / "fresh.safetensors"
    save_weights(path, network, Header.of(network, surveys.box, survey))
    # On the cells of the field and without pairs.
    cell = surveys.box.cellsize[0]
    found = estimate(surveys, "columns", weights=path, sky_cellsize=cell, pairs=False)
    wanted, prior = moved_by_the_prior(surveys, floor=0.1)
    scale = float(wanted.field.values.std())
    assert float((found.field.values - wanted.field.values).abs().max()) < 1e-3 * scale
    assert float((found.sigma - wanted.sigma).abs().max()) < 1e-3
    assert torch.allclose(found.intensity, prior, atol=1e-4)
    with pytest.raises(ValueError) as error:
        estimate(surveys, "columns", weights=path, floor=0.2)
    assert str(error.value) == (
        "floor = 0.2 is not the 0.1 that the network was trained with: leave it out"
    )


def test_sharpened_redshifts_with_the_weights(trained, seen, tmp_path):
    mock = seen[0]
    mock.write(tmp_path / "mock")
    weights = str(trained / "last.safetensors")
    out = tmp_path / "z.parquet"
    result = CliRunner().invoke(
        app,
        ["redshifts", str(tmp_path / "mock"), "--method", "columns", "--weights", weights,
         "--out", str(out)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "expected information gain" in result.output
    written = Catalog.read(out)
    assert {"z_mean", "z_std", "information_gain"} <= set(written.columns)
    assert written.metadata["truez"]["method"] == "columns"


# What does not fit


def broken(section, **settings):
    recipe = copy.deepcopy(RECIPE)
    recipe.setdefault(section, {}).update(settings)
    return recipe


@pytest.mark.parametrize(
    ("section", "settings", "sentence"),
    [
        ("training", {"crop": [8, 8, 12]}, "crop must hold whole sight lines of 24 cells, not 12"),
        ("training", {"crop": [32, 8, 0]}, "does not fit in a region"),
        ("training", {"context": False}, "training.context = false is for networks on fields"),
        ("training", {"bf16": "sometimes"}, "bf16"),
        ("training", {"bf16": "everywhere", "crop": [8, 8, 0]}, "8 cells is too small for bf16"),
        ("columns", {"views_at_once": 0}, "views_at_once"),
        ("columns", {"mse_weight": -1}, "mse_weight"),
        ("columns", {"speed": 1}, "speed"),
        ("columns", {"validation": [{"sigma_z": 0.1}]}, "spec_density"),
        ("columns", {"validation": [{"sigma_z": 0.1, "spec_density": 1.0}]}, "is more than the"),
        ("network", {"along": 2}, "along must be odd, not 2"),
        ("surveys", {"thinning": "some"}, "thinning"),
        ("surveys", {"redshift_space": "either"}, "redshift_space"),
    ],
)  # fmt: skip
def test_broken_recipes(tmp_path, monkeypatch, section, settings, sentence):
    monkeypatch.setattr(run_module.Supply, "from_folder", lambda folder: supply())
    with pytest.raises(ValueError, match=sentence):
        train_on_universes(broken(section, **settings), folder="pool", out=tmp_path)


def test_a_section_about_columns_is_for_column_networks(tmp_path):
    recipe = broken("columns")
    recipe["network"] = {"architecture": "dual-unet"}
    with pytest.raises(ValueError, match=r"has the sections network, training, surveys and boxes"):
        train_on_universes(recipe, folder="pool", out=tmp_path)


def test_a_mock_is_no_place_to_train_columns(tmp_path, seen):
    recipe = {name: RECIPE[name] for name in ("network", "training")}
    with pytest.raises(ValueError, match="a column network is trained on universes"):
        train_on_mock(recipe, seen[0], out=tmp_path)


def test_universes_of_another_box_are_refused(galaxies):
    source = samples(make=lambda seed: universe(seed, side=96.0 if seed == 2000 else 64.0))
    with pytest.raises(ValueError, match="train on universes of one box"):
        source.draw(0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sigma": 40.0}, "photo-z error of 40 Mpc/h, [0-9]+% above what the network was"),
        ({"spec_density": 5e-4}, "spectroscopic density of 0.0005"),
        ({"photo_density": 2e-2}, "photometric density of 0.02"),
        ({"outlier_fraction": 0.2}, "outlier fraction of 0.2"),
        ({"overlap": 0.5}, "overlap"),
        ({"resampler": "tsc"}, "painted with tsc"),
    ],
)
def test_surveys_outside_the_ranges_are_refused(trained, change, sentence):
    _, header = load_weights(trained / "best.safetensors")
    fits = {
        "sigma": 15.0,
        "spec_density": 1.5e-3,
        "photo_density": 8e-3,
        "outlier_fraction": 0.02,
        "overlap": 1.0,
        "resampler": "cic",
    }
    for space in (True, False):
        header.check(MESH, **fits, redshift_space=space)
    with pytest.raises(ValueError, match=sentence):
        header.check(MESH, **{**fits, **change})


def test_broken_requests(trained, seen, tmp_path):
    surveys = seen[0].surveys
    assert "columns" in METHODS
    # The weights of truez are for cells of up to 3 Mpc/h.
    with pytest.raises(ValueError, match="the survey has cells of 4 Mpc/h along the sight lines"):
        estimate(surveys, "columns")
    weights = trained / "best.safetensors"
    with pytest.raises(ValueError, match="method columns has no setting fit_sigma"):
        estimate(surveys, "columns", weights=weights, fit_sigma=True)
    with pytest.raises(ValueError, match="painted with tsc"):
        estimate(surveys, "columns", weights=weights, resampler="tsc")
    unet = build_network("dual-unet", {"spec_width": 1, "photo_width": 1})
    _, header = load_weights(weights)
    other = tmp_path / "unet.safetensors"
    save_weights(other, unet, Header.of(unet, MESH, header.survey))
    with pytest.raises(ValueError, match="holds a dual-unet, not a column network"):
        estimate(surveys, "columns", weights=other)
    with pytest.raises(ValueError, match="holds a column-net, not a network of fields"):
        estimate(surveys, "dual-unet", weights=weights)


@pytest.mark.parametrize("name", ["columns-cpu", "columns-gpu"])
def test_the_recipes_are_whole(name):
    recipe = read_recipe(name)
    config = TrainingConfig(**recipe["training"])
    surveys, columns = SurveySpec(**recipe["surveys"]), ColumnsConfig(**recipe["columns"])
    boxes = BoxesConfig(**recipe["boxes"])
    found = Supply.from_recipe(recipe["universe"], boxes)
    for survey in (surveys, *columns.validation):
        survey.check(found.num_galaxies, found.box.volume)
    assert (surveys.sigma_z, surveys.spec_density) == ((0.003, 0.03), (1e-4, 3e-3))
    assert (surveys.photo_density, surveys.redshift_space) == ((5e-3, 4e-2), "both")
    assert [survey.closed for survey in columns.validation] == [0, 0, 0, 1]
    assert columns.validation[0].spec_density == 1e-3
    settings = dict(recipe["network"])
    network = build_network(settings.pop("architecture"), settings)
    assert all(n % network.stride == 0 for n in config.crop)
    assert 4 * network.num_parameters < (10e6 if name == "columns-cpu" else 50e6)
