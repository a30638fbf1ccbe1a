"""``truez info`` tells what every kind of file and folder is."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.table import Table
from tests.evaluate.sky_cone import cone_mock
from tests.sky.sky_fields import sky_field

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.simulate import Universe, catalog_from_galaxies
from truez.sky.maps import maps_from_field


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = Path(__file__).parents[1] / "evaluate" / "synthetic_run.py"
    spec = importlib.util.spec_from_file_location("synthetic_run", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_run(tmp_path_factory.mktemp("info") / "run", (24, 24, 32), quick=True)


def told(capsys, path):
    assert run("info", path) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def test_a_run(folder, capsys):
    text = told(capsys, folder)
    assert text.startswith("a run of the recipe paper-small\n")
    assert "2 done in 2 h 6 min, up to 3.4 GB" in text
    assert "fields   unet, unet-per-box, wiener, wiener-spec" in text
    assert "git 0123456789ab" in text
    assert "Test & training are <apart>." in text
    assert "Lowest in mean squared error is the UNet (tiled)" in text
    assert "not there" not in text
    assert "two surveys" in text.lower()


def test_an_unfinished_run(tmp_path, capsys):
    (tmp_path / "run.toml").write_text("[run]\nrecipe = 'paper'\n")
    text = told(capsys, tmp_path)
    assert "stages   0 done" in text
    assert "not there: results/table1.ecsv is not there: no field has been judged." in text


def test_a_mock_and_fields(folder, capsys):
    assert "two surveys of lognormal galaxies" in told(capsys, folder / "mock-test")
    text = told(capsys, folder / "fields" / "unet.h5")
    assert text.startswith("a field of kind delta, n / n_mean - 1\n  box      48 x 48 x 64 Mpc/h")
    assert "made by\n  made  a stand-in for a network" in text


def test_results_are_no_catalogues(folder, capsys):
    text = told(capsys, folder / "results" / "scores-unet.ecsv")
    assert text.startswith("a result of truez, SubBoxScores: 8 rows of x, y, z, mse")
    assert "cells    [12, 12, 12]" in text


def test_catalogues(tmp_path, capsys):
    path = tmp_path / "galaxies.parquet"
    Catalog({"x": np.arange(3.0), "mass": np.ones(3)}, units={"x": "Mpc/h"}).write(path)
    assert told(capsys, path) == "a catalogue of 3 rows, with the columns\n  x [Mpc/h]\n  mass\n"
    Table({"ra": [1.0, 2.0]}).write(tmp_path / "sky.ecsv", format="ascii.ecsv")
    assert told(capsys, tmp_path / "sky.ecsv").startswith("a catalogue of 2 rows, with the")


def test_a_simulated_universe(tmp_path, capsys):
    galaxies = Universe(boxsize=64, num_particles=16, num_steps=1, density=1e-3).make()
    path = tmp_path / "universe.parquet"
    catalog_from_galaxies(galaxies).write(path)
    text = told(capsys, path)
    assert ", galaxies of a simulated universe, with the columns\n  x [Mpc/h]" in text
    assert "seed            0\n" in text


def test_a_training_run_without_weights(tmp_path, capsys):
    (tmp_path / "losses.csv").write_text("step,train,validation\n50,9,8\n100,7,5\n150,6,5.5\n")
    text = told(capsys, tmp_path)
    assert text.startswith("a training run of 150 steps, lowest validation loss 5 at step 100\n")
    assert "no weights have been chosen yet" in text


def test_an_evaluation(tmp_path, capsys):
    metrics = {"photo": {"mse": 8.0, "k": [0.1]}, "wiener": {"mse": 4.0, "mae": 1.0}}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    text = told(capsys, tmp_path)
    assert text.startswith("an evaluation of photo, wiener\nLowest in mean squared error is the W")


def test_a_folder_of_something_else(tmp_path, capsys):
    assert run("info", tmp_path) == 2
    error = capsys.readouterr().err
    assert "is not a folder that truez wrote: it has no run.toml (truez paper), mock.toml" in error
    assert error.count("\n") == 1


def test_a_field_of_counts_has_its_unit(tmp_path, capsys):
    path = tmp_path / "counts.h5"
    Field(torch.ones(8, 8, 8), Box(16, 8), "counts").write(path)
    assert told(capsys, path).startswith("a field of kind counts, galaxies per cell\n")


def test_a_mock_on_the_sky(tmp_path, capsys):
    cone_mock().write(tmp_path / "mock")
    text = told(capsys, tmp_path / "mock")
    assert text.startswith("two surveys of a simulation on the sky\n  photo    ")
    low, high = (float(word) for word in re.findall(r"sky      ra (\S+) to (\S+), dec", text)[0])
    assert 353.9 < low < 355
    assert 5 < high < 6.1


def test_a_field_on_the_sky_and_its_maps(tmp_path, capsys):
    about = {"num_photo": 500, "num_spec": 40, "num_both": 38.5, "area": 240.0}
    field = sky_field("350,10,-6,6", np.zeros, cellsize=16, widest=12, **about)
    field.write(tmp_path / "field.h5")
    text = told(capsys, tmp_path / "field.h5")
    assert text.startswith("a field on the sky, by the method test\n  sky      ra 350.")
    for line in (
        ", 240 deg^2\n  depth    z = 0.1 to 0.3\n  patches  2 in 1 shell, ", " of 16 Mpc/h\n",
        "  values   delta, sigma\n", "  photo    500 galaxies\n",
        "  spec     40 galaxies, 38.5 of them in photo\nmade by\n",
    ):  # fmt: skip
        assert line in text
    maps_from_field(field, [0.12, 0.2, 0.25], 32).write(tmp_path / "maps.fits")
    text = told(capsys, tmp_path / "maps.fits")
    assert text.startswith(
        "maps on the sky of a field by the method test, in HEALPix pixels of nside 32, 1.83 deg\n"
        "  sky      ra 348.75 to 11.25, dec "
    )
    assert "\n  DELTA_1  z = 0.2 to 0.25, " in text
    assert text.endswith(" galaxies expected, with ERROR_1\n")


@pytest.mark.parametrize("name", ["field.h5", "maps.fits"])
def test_files_of_the_sky_that_are_cut_off_are_one_sentence(tmp_path, capsys, name):
    field = sky_field("0,10,-6,6", np.zeros, cellsize=16)
    field.write(tmp_path / "field.h5")
    maps_from_field(field, [0.12, 0.2], 32).write(tmp_path / "maps.fits")
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    assert run("info", tmp_path / name) == 2
    error = capsys.readouterr().err
    assert error.startswith("truez: ")
    assert error.count("\n") == 1
