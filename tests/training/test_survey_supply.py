"""Views by their numbers, and the command that makes them."""

import itertools
import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from training.survey_views import view
from truez.cli.app import app
from truez.cosmology import COSMOLOGIES
from truez.linear.fit import NoFitError
from truez.mesh.box import Box
from truez.simulate import catalog_from_galaxies, lognormal_galaxies
from truez.training import survey_supply
from truez.training.survey_draws import VALIDATION, draw_survey
from truez.training.survey_pool import ViewPool
from truez.training.survey_supply import ViewSupply, numbers_of


@pytest.fixture(scope="module")
def universes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("universes")
    for seed, box in [
        (5, Box(64.0, 8)),
        (1000, Box(512.0, 8)),
        (1001, Box((256.0, 256.0, 512.0), (8, 8, 16))),
        (2000, Box(64.0, 8)),
        (2001, Box(512.0, 8)),
    ]:
        made = lognormal_galaxies(
            box, COSMOLOGIES["wmap"], redshift=0.5, density=1e-5, bias=1.2, seed=seed
        )
        facts = {**made.metadata, "box": box.to_dict(), "galaxies": {"density": 1e-2}}
        facts |= {"redshift": 0.5, "cosmology": made.cosmology.model_dump(mode="json")}
        catalog_from_galaxies(replace(made, metadata=facts)).write(folder / f"{seed}.h5")
    return folder


@pytest.fixture
def asked(monkeypatch):
    """What views are made of, in place of making them."""
    found = []

    def noted(galaxies, description):
        found.append((galaxies.metadata["seed"], description))
        return view(seed=len(found))

    monkeypatch.setattr(survey_supply, "make_survey_view", noted)
    return found


def test_training_views_are_of_drawn_surveys(universes, asked):
    supply = ViewSupply.of(universes, "training", 3)
    assert sorted(supply.files) == [2000, 2001]
    for number in (0, 1, 5):
        supply(number)
    assert [seed for seed, _ in asked] == [2000, 2001, 2001]
    assert asked[2][1] == draw_survey(3, 5, Box(512.0, 8), density=1e-2)


def test_surveys_that_cannot_be_fitted_are_drawn_again(universes, monkeypatch):
    drawn = []

    def refused(galaxies, description):
        drawn.append(description)
        raise NoFitError

    monkeypatch.setattr(survey_supply, "make_survey_view", refused)
    with pytest.raises(ValueError, match=r"none of 10 surveys drawn in .* can be fitted"):
        ViewSupply.of(universes, "training")(0)
    assert len({description.seed for description in drawn}) == 10


def test_validation_views_are_of_fixed_surveys(universes, asked):
    supply = ViewSupply.of(universes, "validation")
    assert sorted(supply.files) == [1000, 1001]
    number = len(VALIDATION)
    for place in range(2 * number):
        supply(place)
    seeds, surveys = zip(*asked, strict=True)
    assert [survey.name for survey in surveys] == 2 * list(VALIDATION)
    assert len({survey.seed for survey in surveys}) == 2 * number
    # Those of a whole universe are of the one that they fit.
    periodic = [n for n, survey in enumerate(surveys) if survey.kind == "periodic"]
    assert {seeds[n] for n in periodic} == {1001}
    assert {seeds[number - 1], seeds[2 * number - 1]} == {1000, 1001}


def test_training_views_of_fixed_surveys(universes, asked):
    supply = ViewSupply.of(universes, "training", fixed=["disjoint", "holes"])
    for number in range(4):
        supply(number)
    assert [seed for seed, _ in asked] == [2000, 2000, 2001, 2001]
    assert [survey.name for _, survey in asked] == 2 * ["disjoint", "holes"]
    assert len({survey.seed for _, survey in asked}) == 4
    with pytest.raises(ValueError, match="no fixed survey 'open': choose from fiducial, sparse,"):
        ViewSupply.of(universes, "training", fixed=["open"])


def test_a_survey_without_its_universe(universes, tmp_path):
    shutil.copy(universes / "1000.h5", tmp_path)
    with pytest.raises(ValueError, match="truez simulate --boxsize 256,256,512"):
        ViewSupply.of(tmp_path, "validation")(0)
    with pytest.raises(ValueError, match=r"no universe for training in .*: make some with seeds"):
        ViewSupply.of(tmp_path, "training")


def test_parts_share_the_numbers():
    parts = [list(numbers_of(f"{n}/3", 8)) for n in (1, 2, 3)]
    assert sorted(itertools.chain.from_iterable(parts)) == list(range(8))
    for wrong in ("0/2", "3/2", "1", "a/b", "1/2/3"):
        with pytest.raises(ValueError, match="part must be like 1/2"):
            numbers_of(wrong, 8)


def test_the_command(universes, asked, tmp_path):
    out = tmp_path / "views"

    def run(*arguments):
        return CliRunner().invoke(
            app, ["views", str(universes), "--out", str(out), *map(str, arguments)]
        )

    done = run("--number", 3, "--part", "1/2")
    assert done.exit_code == 0, done.stderr
    assert "2 views made for training, 0 were there" in done.stdout
    done = run("--number", 3)
    assert "1 views made for training, 2 were there" in done.stdout
    done = run("--number", 1, "--validation")
    assert done.exit_code == 0, done.stderr
    assert len(ViewPool.of(out, "training")) == 3
    assert len(ViewPool.of(out, "validation")) == 1
    done = run("--part", "3/2")
    assert done.exit_code == 2
    assert done.stderr.startswith("truez: --part: part must be like 1/2")


def test_the_recipe_of_views_needs_views(tmp_path):
    done = CliRunner().invoke(app, ["train", "surveys-cpu", "--out", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "--views must be given with the recipe surveys-cpu" in done.stderr
    both = ["--views", str(tmp_path), "--boxes", str(tmp_path)]
    done = CliRunner().invoke(app, ["train", "surveys-cpu", "--out", str(tmp_path / "run"), *both])
    assert "--boxes and --views exclude each other" in done.stderr
