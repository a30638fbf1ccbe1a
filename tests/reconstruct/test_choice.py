"""The method where none is asked for: every survey has an answer."""

import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from tests.networks.made_weights import ship, write_even

import truez
from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.cosmology import COSMOLOGIES
from truez.experiments.demo import DemoRecipe
from truez.experiments.recipes import read_recipe
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.reconstruct import METHODS, check_start, choose
from truez.reconstruct.choice import Choice, choose_method
from truez.simulate import lognormal_galaxies, observe
from truez.support.notes import Note
from truez.surveys.spec import SurveySpec

FIDUCIAL = {"sigma_z": 0.006, "spec_density": 1e-3, "photo_density": 1.2e-2}


def mock_of(cellsize=2.0, **changes):
    galaxies = lognormal_galaxies(
        Box((32, 32, 128), cellsize=2), COSMOLOGIES["wmap"], redshift=0.59, density=4e-2, bias=1.2,
        seed=5,
    )  # fmt: skip
    spec = SurveySpec(**{**FIDUCIAL, **changes})
    return observe(galaxies, spec, np.random.default_rng(1), cellsize=cellsize)


@pytest.fixture(scope="module")
def fits():
    return mock_of()


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_surveys_of_its_training_have_the_network_without_a_note(fits):
    with warnings.catch_warnings():
        warnings.simplefilter("error", Note)
        assert choose(fits.surveys) == Choice("columns")


@pytest.mark.parametrize(
    ("change", "settings", "sentence"),
    [
        ({"cellsize": 4.0}, {}, "the survey has cells of 4 Mpc/h along the sight lines, 33% above"),
        ({"outlier_fraction": 0.3}, {}, "the survey has an outlier fraction of 0.3, 0.17 above "),
        ({"sigma_z": 0.0001}, {}, "the survey has a photo-z error of "),
        ({}, {"resampler": "tsc"}, "the galaxies are painted with tsc, but the network was"),
        ({}, {"floor": 0.2}, "floor = 0.2 is not the 0.05 that the network was trained with"),
    ],
)  # fmt: skip
def test_others_have_the_redistribution_and_a_note(change, settings, sentence):
    surveys = mock_of(**change).surveys
    with pytest.warns(Note) as told:
        found = truez.reconstruct(surveys, **settings)
    (note,) = {str(one.message) for one in told if one.category is Note}
    assert note.startswith(f"method redistribution is used: {sentence}")
    assert found.metadata["method"] == "redistribution"
    assert found.metadata["method_note"] == note
    named = truez.reconstruct(surveys, "redistribution", **settings)
    assert "method_note" not in named.metadata
    np.testing.assert_array_equal(found.delta, named.delta)
    with pytest.raises(ValueError, match=sentence[:30]):
        truez.reconstruct(surveys, "columns", **settings)


def test_uneven_surveys_say_what_is_uneven(fits, tmp_path, monkeypatch):
    surveys = replace(fits.surveys, photo_weights=1 + np.arange(len(fits.surveys.photo)) % 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Note)
        assert choose(surveys) == Choice("columns")
    ship(monkeypatch, tmp_path, write_even)
    with pytest.warns(Note, match=r"without weights, and the surveys have weights of photo$"):
        assert choose(surveys).method == "redistribution"


def test_a_package_without_weights_has_an_answer(fits, monkeypatch):
    def none(architecture):
        raise ValueError(f"no weights of a {architecture} come with this package: give weights")

    # `truez.reconstruct` is a function, by which the module cannot be named.
    module = sys.modules["truez.reconstruct.network_methods"]
    monkeypatch.setattr(module, "shipped_weights", none)
    with pytest.warns(Note, match=r"^method redistribution is used: no weights of a column-net"):
        assert choose(fits.surveys).method == "redistribution"


def test_settings_that_only_the_network_has_ask_for_it(fits):
    surveys = replace(fits.surveys, error=truez.PhotozError(500.0))
    with pytest.raises(ValueError, match="photo-z error of 500 Mpc/h"):
        choose(surveys, symmetries=2)
    with pytest.raises(ValueError, match="has no setting magic"):
        choose(fits.surveys, magic=2)


def test_what_serves_nobody_is_an_error_without_a_note(fits):
    def check(method):
        raise ValueError(f"{method} does not: give less")

    with warnings.catch_warnings():
        warnings.simplefilter("error", Note)
        with pytest.raises(ValueError, match="redistribution does not"):
            choose_method(check, given=[], settings=[])
        with pytest.raises(ValueError, match="resampler must be one of"):
            truez.reconstruct(fits.surveys, resampler="cubic")
        # Before the surveys are read nothing is said yet.
        check_start(Box(32, cellsize=4))


def test_the_commands_say_it_on_stderr_and_in_their_files(tmp_path, capsys):
    mock_of(cellsize=4.0).write(tmp_path / "mock")
    field, catalog = tmp_path / "field.h5", tmp_path / "z.parquet"
    for command, out in (("reconstruct", field), ("redshifts", catalog)):
        assert run(command, tmp_path / "mock", "--out", out) == 0
        said = capsys.readouterr().err
        assert said.count("method redistribution is used: the survey has cells of 4 Mpc/h") == 1
        named = run(command, tmp_path / "mock", "--method", "columns", "--out", tmp_path / "no.h5")
        assert named == 2
        assert "the survey has cells of 4 Mpc/h" in capsys.readouterr().err
        assert run(command, tmp_path / "mock", "--symmetries", 2, "--out", tmp_path / "no.h5") == 2
        capsys.readouterr()
    about = Field.read(field).metadata
    assert about["method"] == "redistribution"
    assert about["method_note"].startswith("method redistribution is used: the survey has cells")
    about = Catalog.read(catalog).metadata["truez"]
    assert (about["method"], "method_note" in about) == ("redistribution", True)


def test_a_demo_beside_the_training_leaves_the_network_out():
    recipe = DemoRecipe(**read_recipe("demo", ["surveys.cellsize=4"]))
    with pytest.warns(Note, match="method redistribution is used: the survey has cells of 4"):
        methods = recipe.methods(named=False)
    assert set(recipe.reconstruct.methods) - set(methods) == {"columns"}
    with pytest.raises(ValueError, match="the survey has cells of 4"):
        recipe.methods()
    plain = DemoRecipe(**read_recipe("demo", []))
    assert plain.methods(named=False) == plain.reconstruct.methods


def test_every_method_of_the_choice_is_one():
    assert {"columns", "redistribution"} < set(METHODS)
