"""Whatever weights come with the package, they are asked whether they serve the surveys."""

import shlex
import warnings
from dataclasses import replace

import numpy as np
import pytest
from tests.networks.made_weights import ship, write_even, write_local
from tests.reconstruct.uneven_box import uneven_surveys
from tests.sky.light_cone import light_cone, surveys_of

import truez
from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.experiments.demo import DemoRecipe
from truez.experiments.recipes import read_recipe
from truez.reconstruct import choose, written_meshes
from truez.reconstruct.choice import Choice
from truez.sky.patches import PatchSettings
from truez.sky.plan import choose as choose_on_sky
from truez.support.notes import Note


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A local network, which is not trained, in place of the weights of the package."""
    ship(monkeypatch, tmp_path, write_local, side=5.0)


@pytest.fixture(scope="module")
def uneven():
    return uneven_surveys(own=True, density=0.004).surveys


def no_note(task):
    with warnings.catch_warnings():
        warnings.simplefilter("error", Note)
        return task()


@pytest.mark.medium
@pytest.mark.usefixtures("local")
def test_a_local_network_serves_even_and_uneven_boxes(uneven):
    assert no_note(lambda: choose(uneven)) == Choice("columns")
    even = uneven_surveys(
        density=0.004, fall=1.0, expected_spec=None, expected_photo=None
    ).surveys  # fmt: skip
    assert even.even
    assert no_note(lambda: choose(even)) == Choice("columns")
    assert truez.reconstruct(uneven).metadata["method"] == "columns"


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize(
    ("change", "settings", "sentence"),
    [
        ({"matched": None}, {}, "method columns needs to know which galaxies are in both surveys"),
        ({"redshift": 1.5}, {}, "the survey has a redshift of 1.5, 0.3 above"),
        ({}, {"filter": "local"}, "method columns has no setting filter"),
    ],
)
def test_what_it_does_not_serve_has_the_redistribution(uneven, change, settings, sentence):
    with pytest.warns(Note, match=f"^method redistribution is used: {sentence}"):
        assert choose(replace(uneven, **change), **settings).method == "redistribution"


def test_an_even_network_leaves_uneven_boxes_to_the_redistribution(uneven, tmp_path, monkeypatch):
    ship(monkeypatch, tmp_path, write_even, side=5.0)
    with pytest.warns(Note, match="^method redistribution is used: method columns needs even"):
        assert choose(uneven).method == "redistribution"


@pytest.mark.usefixtures("local")
def test_the_sky_and_the_demo_ask_it():
    surveys = surveys_of(light_cone())
    found = no_note(lambda: choose_on_sky(surveys, PatchSettings(cellsize=4.0)))
    assert found.method == "columns"
    with pytest.warns(Note, match="Mpc/h the survey has cells of"):
        found = choose_on_sky(surveys, PatchSettings(cellsize=8.0))
    assert found.method == "redistribution"
    recipe = DemoRecipe(**read_recipe("demo", ["surveys.cellsize=4"]))
    assert no_note(lambda: recipe.methods(named=False)) == recipe.reconstruct.methods


@pytest.mark.medium
@pytest.mark.usefixtures("local")
def test_the_command_asks_it(tmp_path, monkeypatch, capsys):
    truth = uneven_surveys(periodic=False, own=True, density=0.004)
    surveys, num = truth.surveys, len(truth.positions)
    error = surveys.photo_sigma / surveys.cosmology.distance_error(1.0, surveys.redshift)
    monkeypatch.chdir(tmp_path)
    photo = dict(zip("xyz", surveys.photo.T, strict=True)) | {"id": np.arange(num), "dz": error}
    Catalog(photo).write("photo.parquet")
    true = dict(zip("xyz", truth.positions.T, strict=True)) | {"id": np.arange(num)}
    Catalog({name: x[truth.spec] for name, x in true.items()}).write("spec.parquet")
    surveys.expected_spec.write("mask.h5")

    def run(more):
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(
                "reconstruct --spec spec.parquet --photo photo.parquet --boxsize 120,120,320 "
                "--cellsize 5 --not-periodic --redshift 0.5 --real-space --match-id id "
                "--z-err-column dz --expected-spec mask.h5 --expected-photo mask.h5 " + more
            ))  # fmt: skip
        return int(ended.value.code or 0), *capsys.readouterr()

    code, out, err = run("--out field.h5")
    assert (code, err) == (0, "")
    assert "field.h5: columns on 120 x 120 x 320 Mpc/h" in out
    code, out, err = run("--fit-amplitude --out other.h5")
    assert code == 0
    assert "--method redistribution is used" in err
    assert "other.h5: redistribution on" in out
    code, _, err = run("--draws 3 --out third.h5")
    assert code == 2
    assert "--draws" in err


def test_meshes_that_a_file_takes_the_room_of():
    box = truez.Box(64, cellsize=4)
    assert written_meshes(box, "wiener") == 1
    assert written_meshes(box) == written_meshes(box, "redistribution", floor=0.1) == 6
    assert written_meshes(box, "columns", sky_cellsize=4.0) == 3
    assert written_meshes(box, "redistribution-median", draws=3) == 5
