"""The demo's recipe: what it may say, and the one sentence for what it may not."""

import shlex

import pytest

from truez.cli import demo as command
from truez.cli.app import main
from truez.cosmology import COSMOLOGIES
from truez.evaluate import evaluation
from truez.experiments.demo import DemoRecipe
from truez.experiments.recipes import read_recipe
from truez.mesh.box import Box


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_the_recipe_that_comes_with_truez():
    recipe = DemoRecipe(**read_recipe("demo"))
    assert recipe.universe.box.meshsize == recipe.box.meshsize == (128, 128, 256)
    assert recipe.universe.density == 1.85e-2
    config = recipe.mock_config
    assert config.cosmology == COSMOLOGIES["wmap"]
    assert (config.redshift, config.sigma_z, config.spec.density) == (0.59, 0.02, 1e-3)
    assert config.photo.density is None
    assert config.redshift_space
    assert recipe.reconstruct.methods == (
        *("wiener", "wiener-spec", "wiener-photo"),
        *("redistribution", "columns"),
    )


def test_settings_reach_the_universe_and_the_surveys():
    changes = [
        "universe.boxsize=64", "universe.num_particles=20", "universe.seed=7",
        "universe.fixed=true", "universe.num_steps=1", "surveys.cellsize=4",
        "surveys.photo_density=1e-2", "surveys.outlier_fraction=0.03", "surveys.disjoint=true",
    ]  # fmt: skip
    recipe = DemoRecipe(**read_recipe("demo", changes))
    galaxies = recipe.universe.make()
    assert galaxies.box == Box(64, 20)
    assert recipe.box == Box(64, 16)
    assert (galaxies.metadata["seed"], galaxies.metadata["fixed"]) == (7, True)
    config = recipe.mock_config
    assert (config.photo.density, config.outlier_fraction, config.disjoint) == (1e-2, 0.03, True)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("universe.cosmology=foo", "universe.cosmology must be one of wmap, tng, planck18, not "),
        (
            "universe.bias=1.2",
            "universe.bias is not a known setting: there are boxsize, ",
        ),
        (
            "universe.foo=1",
            "universe.foo is not a known setting: there are boxsize, ",
        ),
        ("universe.redshift=nan", "universe.redshift must be a finite number, not nan"),
        ("universe.boxsize=[1, 2]", "universe.boxsize must be one positive number or three, not"),
        ("universe.num_particles=32", "32 do not lie equally far apart in a box of 256,256,512"),
        ("universe.density=1", "density of 1 (h/Mpc)^3 is more galaxies than there are particles"),
        ("universe.galaxies.scale=0", "names no section of the recipe"),
        ("universe.boxsize=-5", "-5"),
        ("universe=3", "--set has the form section.setting=value, not 'universe=3'"),
        ("survey.sigma_z=0.001", "names no section of the recipe: it has universe, surveys, rec"),
        ("surveys.sigma_y=0.001", "surveys.sigma_y is not a known setting: did you mean sigma_z?"),
        ("surveys.sigma_z=2", "surveys.sigma_z must be at most 0.3, not 2"),
        ("reconstruct.methods=3", "reconstruct.methods must be a list of values, not 3"),
        (
            "reconstruct.methods=[]",
            "reconstruct.methods must be a list of at least 1 values",
        ),
        ('reconstruct.methods=["magic"]', "reconstruct.methods must hold columns, redist"),
    ],
)
def test_broken_settings_are_one_sentence_before_any_work(setting, sentence, tmp_path, capsys):
    assert run("demo", "--out", tmp_path / "demo", "--set", setting) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("default", [True, False])
def test_the_page_says_the_whole_command(default, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--set", "universe.boxsize=64", "--set", "universe.num_particles=24"]
    arguments += ["--set", "universe.num_steps=2", "--set", "surveys.cellsize=4"]
    arguments += ["--set", "surveys.sigma_z=0.005", "--set", 'reconstruct.methods=["wiener"]']
    if not default:
        arguments = ["--out", "my demo", *arguments]
    seen = {}

    class Result:
        def write(self, *_, commands, **__):
            seen["commands"] = commands

        def tables(self):
            return []

    monkeypatch.setattr(evaluation, "evaluate_mock", lambda *_, **__: Result())
    assert run("demo", *arguments) == 0
    (line,) = seen["commands"]
    assert shlex.split(line) == ["truez", "demo", *arguments]
    folder = tmp_path / (command.DEFAULT_OUT if default else "my demo")
    assert (folder / "wiener.h5").is_file()
