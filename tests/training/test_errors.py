"""Error models: fits to cells of known errors, the cells of views, and whole runs."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from training.test_survey_making import EVEN, SKY, geometry_of
from truez.cli.app import main
from truez.mesh.box import Box
from truez.networks.column_net import ColumnNet
from truez.networks.conditions import scaling_of
from truez.networks.error_head import ErrorHead
from truez.networks.error_model import ErrorModel
from truez.networks.weights import Header, load_weights, save_weights
from truez.simulate import lognormal_galaxies
from truez.simulate.files import catalog_from_galaxies
from truez.surveys.photoz import PhotozError
from truez.surveys.surveys import Surveys
from truez.training.error_cells import (
    CellChoice,
    ErrorCells,
    error_cells,
    fine_intensity,
    network_estimate,
    unsmoothed,
)
from truez.training.error_fit import FitConfig, calibration, fit_head, mean_surprise, table
from truez.training.error_run import fit_errors
from truez.training.fine_prior import _ratio
from truez.training.survey_again import SkyPart, SurveyAgain
from truez.training.survey_description import ErrorForm, SurveyDescription
from truez.training.survey_galaxies import error_length
from truez.training.survey_making import make_survey_view
from truez.training.survey_pool import ViewPool

torch.set_num_threads(1)
CHOICE = CellChoice(core=(16, 16), margin=4, halo=4, number=5000)


def cells_of(factor, *, seed, number=20_000, condition=0.0, kind="even", strength=0.0):
    """Cells whose errors have so many times the variance that is given."""
    rng = np.random.default_rng(seed)
    mean = torch.from_numpy(rng.gamma(1.0, 0.5, number) + 0.01).float()
    given = mean * torch.from_numpy(rng.uniform(0.5, 1, number)).float()
    center, _ = scaling_of("local")
    conditions = center[:, None].repeat(1, number)
    conditions[0] += condition
    width = (given * factor(given, mean)).sqrt()
    truth = mean + width * torch.from_numpy(rng.normal(size=number)).float()
    return ErrorCells(truth, mean, given, conditions, {"kind": kind, "strength": strength})


# The fit


@pytest.mark.medium
def test_known_factors_are_found():
    def dense(given, _):
        return 1.2 * (given + 0.1) ** 0.3

    def sparse(_, mean):
        return 2.0 * (mean + 0.1) ** 0.1

    some = [(dense, 0.0), (sparse, 0.8)]
    cells = [cells_of(f, seed=n, condition=c, number=200_000) for n, (f, c) in enumerate(some)]
    torch.manual_seed(1)
    head = fit_head(ErrorHead(10), cells, FitConfig(steps=600, batch=2000))
    for number, (factor, condition) in enumerate(some):
        kind = f"survey {number}"
        judged = [cells_of(factor, seed=9 + number, condition=condition, number=100_000, kind=kind)]
        before, after = calibration(None, judged)[kind], calibration(head, judged)[kind]
        assert max(abs(value - 1) for value in after) < 0.06
        assert max(abs(value - 1) for value in before) > 0.15
        assert mean_surprise(head, judged) < mean_surprise(None, judged)


@pytest.mark.medium
def test_the_part_of_pairs_is_found():
    def factor(strength):
        return lambda given, mean: 1.1 + strength / (1 + 0.5 * strength) * (0.1 + 0.6 * mean)

    cells = [
        cells_of(factor(s), seed=n, number=100_000, strength=s)
        for n, s in enumerate((0.0, 0.5, 1.0, 1.5))
    ]
    torch.manual_seed(1)
    head = fit_head(ErrorHead(10, 8, pairs=True), cells, FitConfig(steps=600, batch=2000))
    # Beyond the strengths of the fit.
    judged = [cells_of(factor(2.5), seed=9, number=100_000, strength=2.5)]
    after = calibration(head, judged)["even"]
    assert max(abs(value - 1) for value in after) < 0.12
    assert after[0] == pytest.approx(1, abs=0.05)
    assert calibration(None, judged)["even"][0] > 1.4


def test_a_fit_is_the_same_again_and_each_view_weighs_the_same():
    cells = [
        cells_of(lambda g, _: torch.full_like(g, 1.0), seed=1, number=500),
        cells_of(lambda g, _: torch.full_like(g, 4.0), seed=2, number=50_000),
    ]
    heads = []
    for _ in range(2):
        torch.manual_seed(1)
        heads.append(fit_head(ErrorHead(10), cells, FitConfig(steps=200, seed=3)))
    for one, two in zip(heads[0].parameters(), heads[1].parameters(), strict=True):
        assert torch.equal(one, two)
    # Of the same conditions: the mean of both.
    judged = [cells_of(lambda g, _: torch.full_like(g, 2.5), seed=3, number=50_000)]
    assert calibration(heads[0], judged)["even"][0] == pytest.approx(1, abs=0.08)


def test_views_without_cells_do_not_count():
    empty = cells_of(lambda g, _: g, seed=1, number=0, kind="empty")
    full = cells_of(lambda g, _: torch.ones_like(g), seed=1, number=1000)
    found = calibration(None, [empty, full])
    assert list(found) == ["even"]
    assert mean_surprise(None, [empty, full]) == mean_surprise(None, [full])
    assert table(found).startswith("even  ")
    with pytest.raises(ValueError, match="in no cell of the views an error is expected"):
        fit_head(ErrorHead(10), [empty], FitConfig(steps=1))


def test_cells_in_a_file(tmp_path):
    cells = cells_of(lambda g, _: g, seed=1, number=50)
    cells.write(tmp_path / "cells.safetensors")
    found = ErrorCells.read(tmp_path / "cells.safetensors")
    assert found.about == cells.about
    assert torch.equal(found.conditions, cells.conditions)
    assert torch.equal(found.truth, cells.truth)


# The galaxies of a view


@pytest.fixture(scope="module")
def universe():
    return lognormal_galaxies(
        Box(128, cellsize=4), "planck18", redshift=0.59, density=4e-2, bias=1.4, seed=2
    )


@pytest.fixture(scope="module")
def views(universe):
    return {one.kind: make_survey_view(universe, one).placed() for one in (EVEN, SKY)}


@pytest.mark.parametrize("kind", ["periodic", "sky"])
def test_the_galaxies_of_a_view_are_found_again(universe, views, kind):
    view = views[kind]
    again = SurveyAgain.of(view, universe)
    assert len(again.rows) == len(view.galaxies)
    box, table = again.geometry.box, view.galaxies
    places = again.places(np.arange(len(table)))
    for axis, fine in ((0, 2), (1, 2)):
        cell = (places[:, axis] - box.lower[axis]) / box.cellsize[axis] * fine
        assert (np.abs(cell - table[:, axis] - 0.5) < 0.5001).all()
    part = SkyPart((4, 8), (12, 16))
    rows = again.rows_in(part)
    inside = part.box(box).inside(places, axes=(0, 1))
    assert np.array_equal(rows, np.flatnonzero(inside))
    assert part.box(box).cellsize == pytest.approx(box.cellsize)
    own = again.own_places(part, rows)
    likelihood = np.asarray(own.likelihood(np.arange(50)))
    assert own.expected.shape[2] == likelihood.shape[1]
    # The matrix of cells of photo-z, up to the place within the cell.
    matrix = view.kernels[table[rows[:50], 4], table[rows[:50], 2]]
    ratio = likelihood.sum(1) / matrix.sum(1)
    assert ratio.std() / ratio.mean() < 0.3
    assert np.abs(likelihood.argmax(1) - matrix.argmax(1)).max() <= 6  # shares of classes tilt it


def test_another_universe_is_refused(views):
    other = lognormal_galaxies(
        Box(128, cellsize=4), "planck18", redshift=0.59, density=4e-2, bias=1.4, seed=3
    )
    with pytest.raises(ValueError) as error:
        SurveyAgain.of(views["periodic"], other)
    assert str(error.value) == (
        "the galaxies of the view 'periodic' are not those of its universe 2: make the view again "
        "with truez views"
    )


def test_a_description_of_the_first_version_is_read():
    values = EVEN.to_json()
    values["error"]["known"] = values["error"].pop("assumed") + 0.05
    found = SurveyDescription.from_json(values)
    assert found.error.assumed == 0.05
    assert SurveyDescription.from_json(EVEN.to_json()) == EVEN


# Cells of views


def test_the_smoothing_of_the_ratio_is_undone():
    rng = np.random.default_rng(1)
    coarse = torch.from_numpy(rng.uniform(0.5, 2, (8, 6, 4))).float()
    fine = torch.from_numpy(rng.uniform(0.5, 2, (16, 12, 4))).float()
    _, ratio = _ratio(coarse, fine.clone(), periodic=False)
    _, same = _ratio(torch.ones(8, 6, 4), torch.ones(16, 12, 4), periodic=False)
    assert float(unsmoothed(same).abs().max()) < 1e-6
    found = unsmoothed(ratio)
    again = found.exp()
    for axis in (0, 1):
        rows = torch.arange(again.shape[axis])
        low, high = (again.index_select(axis, (rows + s).clamp(0, len(rows) - 1)) for s in (-1, 1))
        again = 0.75 * again + 0.125 * (low + high)
    torch.testing.assert_close(again.log(), ratio, atol=1e-5, rtol=1e-5)


def test_an_untrained_network_has_nearly_the_intensity_of_the_redistribution(views):
    view = views["sky"]
    part, read, _ = CHOICE.parts(view, np.random.default_rng(1))
    assert all(a >= b for a, b in zip(part.corner, read.corner, strict=True))
    network = ColumnNet(ColumnNet.Config(conditions="local"))
    estimate = network_estimate(network, torch.no_grad)
    one, two = (fine_intensity(view, part, read, each).log() for each in (estimate, None))
    assert one.shape == (2 * part.shape[0], 2 * part.shape[1], view.mesh[2])
    assert np.corrcoef(one.numpy().ravel(), two.numpy().ravel())[0, 1] > 0.9


@pytest.mark.parametrize("kind", ["periodic", "sky"])
def test_random_galaxies_have_the_error_that_is_given(universe, kind):
    description = (EVEN if kind == "periodic" else SKY).model_copy(update={"random": True})
    view = make_survey_view(universe, description).placed()
    found = error_cells(view, universe, CHOICE)
    assert len(found) == CHOICE.number
    assert float((found.truth - found.mean).mean()) == pytest.approx(0, abs=0.02)
    assert calibration(None, [found])[kind][0] == pytest.approx(1, abs=0.1)
    again = error_cells(view, universe, CHOICE)
    assert torch.equal(found.truth, again.truth)
    assert torch.equal(found.given, again.given)


def test_clustered_galaxies_have_a_larger_error(universe, views):
    found = error_cells(views["sky"], universe, CHOICE)
    assert calibration(None, [found])["sky"][0] > 1.1
    density = found.conditions[2].exp()
    # So many galaxies are expected as there are, those with spectra left out.
    assert 0.2 < float(found.truth.mean() / density.mean()) < 1


# Runs


@pytest.fixture(scope="module")
def folders(tmp_path_factory, universe):
    """Universes for training and validation, and views of them."""
    root = tmp_path_factory.mktemp("errors")
    pool, views = root / "pool", root / "views"
    pool.mkdir()
    for purpose, seed in (("validation", 1000), ("training", 2000)):
        made = lognormal_galaxies(
            Box(128, cellsize=4), "planck18", redshift=0.59, density=4e-2, bias=1.4, seed=seed
        )
        made = replace(made, metadata={**made.metadata, "box": made.box.to_dict()})
        catalog_from_galaxies(made).write(pool / f"{seed}.h5")
        (views / purpose).mkdir(parents=True)
        for number, one in enumerate((EVEN, SKY)):
            path = views / purpose / f"{number:05d}.safetensors"
            make_survey_view(made, one).placed().write(path)
    return root


SETTINGS = [
    "errors.core=[16,16]", "errors.margin=4", "errors.halo=4", "errors.cells=3000",
    "errors.validation_cells=20000", "errors.steps=200",
]  # fmt: skip


def command(*words):
    with pytest.raises(SystemExit) as ended:
        main(["train", "errors", *map(str, words)])
    return int(ended.value.code or 0)


def run(folders, out, *more):
    settings = [word for one in SETTINGS for word in ("--set", one)]
    return command(
        "--views", folders / "views", "--boxes", folders / "pool", "--out", out, *settings, *more
    )


def test_a_run_for_the_redistribution(folders, capsys):
    out = folders / "run"
    assert not run(folders, out)
    printed = capsys.readouterr().out
    assert "squared error over sigma^2" in printed
    found = ErrorModel.read(out / "redistribution-errors.safetensors")
    assert found.header.survey == ViewPool.of(folders / "views", "training").limits
    assert found.header.provenance["errors"]["views"] == 2
    assert found.head.pairs
    with (out / "calibration.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["head"]) for row in rows] == [
        ("periodic", "before"), ("sky", "before"), ("periodic", "fitted"), ("sky", "fitted"),
    ]  # fmt: skip
    for before, after in zip(rows[:2], rows[2:], strict=True):
        assert abs(float(after["all"]) - 1) < abs(float(before["all"]) - 1)
    # It goes on with the cells that there are.
    assert run(folders, out) == 2
    assert "already holds a fit: give --resume, or choose another --out" in capsys.readouterr().err
    cells = next((out / "cells" / "training").iterdir())
    changed = cells.stat().st_mtime_ns
    assert not run(folders, out, "--resume", "--set", "errors.hidden=8")
    assert cells.stat().st_mtime_ns == changed
    assert ErrorModel.read(out / "redistribution-errors.safetensors").head.hidden == 8
    assert run(folders, out, "--resume", "--set", "errors.margin=3") == 2
    assert "are of other errors: resume with those of the run" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_for_a_network_changes_its_head_alone(folders):
    network = ColumnNet(ColumnNet.Config(widths=(8, 8), blocks=(1, 1, 1), along=3,
                                         conditions="local"))  # fmt: skip
    survey = ViewPool.of(folders / "views", "training").limits
    start = folders / "start.safetensors"
    save_weights(start, network, Header.of(network, Box(128, cellsize=4), survey))
    assert not run(folders, folders / "net", "--start", str(start), "--set", "errors.bf16=false",
                   "--set", "errors.processes=2")  # fmt: skip
    found, header = load_weights(folders / "net" / "best.safetensors")
    old, new = network.state_dict(), found.state_dict()
    for name in old:
        assert torch.equal(old[name], new[name]) != name.startswith("error."), name
    assert found.config.error_pairs
    assert header.config["error_pairs"]
    assert header.survey == survey
    assert header.provenance["errors"]["recipe"]["steps"] == 200
    stored = json.loads((folders / "net" / "config.json").read_text())
    assert stored["start"] is not None


def test_what_is_missing_is_said(folders, capsys, tmp_path):
    views, pool = str(folders / "views"), str(folders / "pool")
    out = ["--out", str(tmp_path / "out")]
    assert command("--views", views, *out) == 2
    assert "--boxes must be given with the recipe errors" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert command("--views", views, "--boxes", tmp_path / "empty", *out) == 2
    assert "lacks the universe of seed" in capsys.readouterr().err
    network = ColumnNet()
    start = tmp_path / "even.safetensors"
    survey = ViewPool.of(views, "training").limits
    save_weights(start, network, Header.of(network, Box(128, cellsize=4), survey))
    with pytest.raises(ValueError, match="holds no column network for uneven surveys"):
        fit_errors({"errors": {}}, views, pool, out=tmp_path / "out", start=start)
    with pytest.raises(ValueError, match=r"errors\.steps must be at least 1"):
        fit_errors({"errors": {"steps": 0}}, views, pool, out=tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="there is no fit to resume"):
        fit_errors({"errors": {}}, views, pool, out=tmp_path / "out", resume=True)


def test_intensity_of_a_view_is_nearly_that_of_a_reconstruction(universe):
    """The stored fields give what a user's redistribution makes of the same surveys."""
    from truez.reconstruct import reconstruct

    one = EVEN.model_copy(update={"error": ErrorForm(sigma_z=(0.01,))})
    view = make_survey_view(universe, one)
    geometry = geometry_of(one, universe)
    seen = SurveyAgain.of(view, universe).seen
    surveys = Surveys(
        photo=seen.observed_at(), spec=seen.spec, box=geometry.box,
        error=PhotozError(error_length(one.error, geometry)),
        num_both=int((seen.matched >= 0).sum()), cosmology=geometry.cosmology,
        redshift=geometry.redshift, matched=seen.matched,
    )  # fmt: skip
    wanted = reconstruct(surveys, "redistribution").intensity
    assert wanted is not None
    part = SkyPart((6, 6), (20, 20))
    found = fine_intensity(view, part, SkyPart((2, 2), (28, 28)))
    inner = wanted[12:52, 12:52].log()
    assert float((found.log() - inner).std()) < 0.06 * float(inner.std())
