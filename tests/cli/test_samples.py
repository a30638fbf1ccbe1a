"""Posterior samples on the command line: written, measured, described and judged."""

import json

import numpy as np
import pytest
from astropy.table import Table
from tests.evaluate.sky_cone import cone_mock

import truez
from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.mesh.field import Field
from truez.mesh.samples_file import StoredSamples, write_with_samples
from truez.sky.maps import maps_from_field
from truez.sky.mock import SkyMock
from truez.sky.samples_file import StoredSkySamples
from truez.statistics.power import power
from truez.statistics.sampled import SampledPower

pytestmark = pytest.mark.usefixtures("rough_figures")
SIZE, CELL = 96, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("samples")
    box = truez.Box(SIZE, cellsize=CELL)
    galaxies = truez.lognormal_galaxies(
        box, "planck18", redshift=0.6, density=1e-2, bias=1.5, seed=1
    )
    galaxies.observe(spec_density=1e-3, sigma_z=0.005, cellsize=CELL, seed=2).write(place / "mock")
    with pytest.raises(SystemExit) as stop, pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        main(
            [
                "reconstruct",
                "mock",
                "--method",
                "redistribution",
                "--samples",
                "5",
                "--seed",
                "3",
                "--out",
                "f.h5",
            ]
        )
    assert not stop.value.code
    return place


def run(folder, monkeypatch, capsys, text):
    """Exit code, stdout and stderr of a command in a folder."""
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as stop:
        main(text.split())
    return int(stop.value.code or 0), *capsys.readouterr()


def reconstruction(folder):
    surveys = truez.Mock.read(folder / "mock").surveys
    return truez.Reconstruction.read(folder / "f.h5", surveys)


def test_samples_are_in_the_file(folder, monkeypatch, capsys):
    stored = StoredSamples(folder / "f.h5")
    assert (len(stored), stored.seed) == (5, 3)
    (wanted,) = reconstruction(folder).samples(1, seed=3, first=4)
    np.testing.assert_array_equal(stored[4], wanted)
    code, out, err = run(folder, monkeypatch, capsys, "info f.h5")
    assert (code, err) == (0, "")
    assert "\n  samples  5 of seed 3, for truez spectrum --samples\n" in out


def test_the_output_says_that_there_are_samples(folder, monkeypatch, capsys):
    command = "reconstruct mock --method redistribution-median --draws 2 --seed 1 --out two.h5"
    code, out, err = run(folder, monkeypatch, capsys, f"{command} --samples 1")
    assert (code, err) == (0, "")
    assert "\n  with 1 posterior samples of seed 1\n" in out
    stored = StoredSamples(folder / "two.h5")
    assert (len(stored), stored.seed) == (1, 1)
    assert Field.read(folder / "two.h5").metadata["draws"] == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--samples 2 --out a.fits", "a FITS file holds one mesh and no samples: give a .h5 file"),
        ("--samples 2 --method wiener", "--method wiener has no posterior of single galaxies"),
        ("--samples 2 --method dual-unet", "--method dual-unet has no posterior of single gal"),
        ("--samples -1", "--samples must be at least 0, not '-1'"),
        ("--samples x", "--samples must be a whole number, not 'x'"),
        ("--samples 2 --seed -4", "--seed must be at least 0, not -4"),
        ("--seed 4 --method redistribution", "has no such setting: leave out --seed"),
        ("--samples 2 --method wiener-x", "--method must be one of columns, "),
        ("--samples 100000000000", "a.h5 takes 5529600 GB of disk, and "),
    ],
)
def test_wrong_input_is_one_sentence(folder, monkeypatch, capsys, options, sentence):
    before = sorted(folder.iterdir())
    command = f"reconstruct mock {options}" + ("" if "--out" in options else " --out a.h5")
    code, out, err = run(folder, monkeypatch, capsys, command)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert len(err) < 300
    assert sorted(folder.iterdir()) == before


@pytest.fixture(scope="module")
def cone(tmp_path_factory):
    place = tmp_path_factory.mktemp("cone")
    cone_mock(density=0.004).write(place / "cone")
    with pytest.raises(SystemExit) as stop, pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        command = "reconstruct cone --method redistribution --cellsize 6 --samples 3 --seed 5"
        main([*command.split(), "--out", "f.h5"])
    assert not stop.value.code
    return place


def test_samples_on_the_sky(cone, monkeypatch, capsys):
    stored = StoredSkySamples(cone / "f.h5")
    surveys = SkyMock.read(cone / "cone").surveys
    result = truez.SkyReconstruction.read(cone / "f.h5", surveys)
    (wanted,) = result.samples(1, seed=5, first=2)
    assert (len(stored), stored.seed) == (3, 5)
    np.testing.assert_array_equal(stored[2][0].delta, wanted[0].delta)
    code, out, err = run(cone, monkeypatch, capsys, "info f.h5")
    assert (code, err) == (0, "")
    assert "\n  samples  3 of seed 5, for truez map --sample\n" in out
    command = "redshifts cone --method redistribution --cellsize 6 --draws 2 --seed 5 --out z.fits"
    code, out, err = run(cone, monkeypatch, capsys, command)
    assert (code, err) == (0, "")
    drawn = result.draws(2, seed=5)
    for number in range(2):
        column = Catalog.read(cone / "z.fits")[f"z_draw_{number}"]
        np.testing.assert_allclose(column, drawn[number], rtol=1e-6)


def test_maps_of_a_sample_on_the_sky(cone, monkeypatch, capsys):
    maps = "map f.h5 --zbins 0.12,0.2 --nside 32"
    code, out, err = run(cone, monkeypatch, capsys, f"{maps} --sample 1 --out one.fits")
    assert (code, err) == (0, "")
    assert "\n  of the posterior sample 1 of seed 5, without errors\n" in out
    table, sample = Catalog.read(cone / "one.fits"), StoredSkySamples(cone / "f.h5")[1]
    wanted = maps_from_field(sample, [0.12, 0.2], 32)
    np.testing.assert_allclose(table["DELTA_0"], wanted.delta[0], rtol=1e-6)
    assert "ERROR_0" not in table.columns
    code, out, err = run(cone, monkeypatch, capsys, "info one.fits")
    assert (code, err) == (0, "")
    assert "maps on the sky of sample 1 of a field by the method redistribution, in" in out
    code, _, err = run(cone, monkeypatch, capsys, f"{maps} --sample 3 --out none.fits")
    assert code == 2
    assert "--sample must be from 0 to 2, as f.h5 has 3 samples, not 3" in err
    result = truez.SkyReconstruction.read(cone / "f.h5")
    result.write(cone / "plain.h5")
    command = "map plain.h5 --zbins 0.12,0.2 --sample 0 --out none.fits"
    code, _, err = run(cone, monkeypatch, capsys, command)
    assert code == 2
    assert "has no posterior samples: truez reconstruct --samples N writes them" in err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--seed 3", "on the sky only with --samples N: leave out --seed"),
        ("--samples 2 --method wiener", "--method wiener moves no galaxies: redshifts need"),
        ("--samples 2 --seed -2", "--seed must be a whole number of at least 0, not -2"),
        ("--samples 2 --draws 3", "leave out --draws"),
        ("--samples 100000000 --method redistribution", "choose another --out, or fewer --samples"),
    ],
)
def test_wrong_input_on_the_sky_is_one_sentence(cone, monkeypatch, capsys, options, sentence):
    before = sorted(cone.iterdir())
    code, out, err = run(cone, monkeypatch, capsys, f"reconstruct cone {options} --out a.h5")
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert sorted(cone.iterdir()) == before


def test_a_run_that_fails_leaves_no_file(folder, monkeypatch, capsys):
    def broken(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("truez.sightlines.drawn.joint_places", broken)
    before = sorted(folder.iterdir())
    code, _, err = run(
        folder, monkeypatch, capsys,
        "reconstruct mock --method redistribution --samples 2 --out b.h5",
    )  # fmt: skip
    assert code == 2
    assert "b.h5: the disk is full: free some space" in err
    assert sorted(folder.iterdir()) == before


# --- redshifts ------------------------------------------------------------------------------------


def test_drawn_places_are_columns_of_the_catalogue(folder, monkeypatch, capsys):
    command = "redshifts mock --method redistribution --draws 3 --seed 3 --out z.fits"
    code, out, err = run(folder, monkeypatch, capsys, command)
    assert (code, err) == (0, "")
    assert "\n  3 places drawn for each galaxy, of seed 3\n" in out
    found = Catalog.read(folder / "z.fits")
    places = reconstruction(folder).places(3, seed=3)
    for number, place in enumerate(places):
        np.testing.assert_allclose(found[f"z_draw_{number}"], place)
        assert found.units[f"z_draw_{number}"] == "Mpc/h"
    assert "z_draw_3" not in found.columns
    inside = (found["z_draw_0"] >= found["z_lo"]) & (found["z_draw_0"] <= found["z_hi"])
    assert 0.4 < inside[~found["spec_matched"]].mean() < 0.75  # some intervals go beyond a face


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--draws -1", "--draws must be at least 0, not '-1'"),
        ("--draws 1 --seed -1", "--seed must be at least 0, not -1"),
        ("--draws 1 --method wiener", "--method wiener has no posterior of single galaxies"),
        ("--draws 1000000000", "--draws 1000000000 for 8927 galaxies needs "),
        ("--clustering lss --draws 1", "these are options of the sky: leave out --clustering"),
    ],
)
def test_wrong_draws_are_one_sentence(folder, monkeypatch, capsys, options, sentence):
    before = sorted(folder.iterdir())
    code, out, err = run(folder, monkeypatch, capsys, f"redshifts mock {options} --out y.fits")
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_a_column_of_a_draw_that_is_there_already_is_refused(folder, monkeypatch, capsys):
    mock = truez.Mock.read(folder / "mock")
    x, y, z = mock.surveys.photo.T
    Catalog({"x": x, "y": y, "z": z, "z_draw_1": z}).write(folder / "taken.parquet")
    Catalog(dict(zip("xyz", mock.surveys.spec.T, strict=True))).write(folder / "spec.parquet")
    command = (
        f"redshifts --photo taken.parquet --spec spec.parquet --boxsize {SIZE} --cellsize {CELL} "
        "--redshift 0.6 --sigma-z 0.005 --overlap nested --method redistribution --out y.fits"
    )
    code, _, err = run(folder, monkeypatch, capsys, f"{command} --draws 2")
    assert code == 2
    assert "taken.parquet has a column z_draw_1 already" in err
    assert run(folder, monkeypatch, capsys, f"{command} --draws 1")[0] == 0
    (folder / "y.fits").unlink()


# --- what is measured -----------------------------------------------------------------------------


def test_the_spectrum_of_samples(folder, monkeypatch, capsys):
    code, out, err = run(folder, monkeypatch, capsys, "spectrum f.h5 --samples --out pk.ecsv")
    assert (code, err) == (0, "")
    assert "P0 mean" in out
    assert "mean and standard deviation of 5 samples of seed 3" in out
    found = SampledPower.read(folder / "pk.ecsv")
    stored = StoredSamples(folder / "f.h5")
    wanted = power(stored[2], edges=found.estimate.edges)
    for ell in (0, 2, 4):
        np.testing.assert_allclose(found.samples[ell][2], wanted.poles[ell])
    np.testing.assert_allclose(found.estimate.poles[0], power(Field.read(folder / "f.h5")).poles[0])
    assert found.shotnoise == pytest.approx(SIDE_NOISE, rel=1e-3)
    # Independent draws have more power on small scales than their mean.
    assert (found.mean(0) > found.estimate.poles[0])[-5:].all()
    for name in ("pk.png", "pk.pdf"):
        assert (folder / name).stat().st_size > 1000
    code, out, _ = run(folder, monkeypatch, capsys, "info pk.ecsv")
    assert (code, "a result of truez, SampledPower: " in out) == (0, True)
    assert Table.read(folder / "pk.ecsv", format="ascii.ecsv")["pole_0_samples"].shape[1] == 5


SIDE_NOISE = SIZE**3 / 8927


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("none.h5 --samples", "there is no catalogue or field file none.h5"),
        (
            "plain.h5 --samples",
            "plain.h5 has no posterior samples: truez reconstruct --samples N writes",
        ),
        ("f.h5 --samples --other f.h5", "--samples have no cross power with --other"),
        ("mock/photo.parquet --samples", "give --boxsize, which a catalogue needs"),
        ("mock/photo.parquet --boxsize 96 --samples", "--other, --samples and --compensate are"),
    ],
)
def test_a_spectrum_of_no_samples(folder, monkeypatch, capsys, options, sentence):
    Field.read(folder / "f.h5").write(folder / "plain.h5")
    code, out, err = run(folder, monkeypatch, capsys, f"spectrum {options}")
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.medium
def test_samples_are_judged_beside_the_truth(folder, monkeypatch, capsys):
    code, out, err = run(folder, monkeypatch, capsys, "evaluate mock f.h5 --out report")
    assert (code, err) == (0, "")
    assert "f, mean of 5 samples" in out
    report = folder / "report"
    for name in ("samples.png", "samples.pdf"):
        assert (report / name).stat().st_size > 1000
    assert "Posterior samples beside the truth" in (report / "index.html").read_text()
    found = json.loads((report / "metrics.json").read_text())["f"]["samples"]
    assert (found["number"], found["seed"]) == (5, 3)
    band = found["bands"]["0.2-0.3"]
    assert band["power_over_truth"]["mean"] > band["power_over_truth_estimate"]
    assert band["r"]["mean"] == pytest.approx(band["r_squared_estimate"], abs=0.1)
    curves = json.loads((report / "numbers.json").read_text())["methods"]["f"]["samples"]["curves"]
    assert set(curves) == {"P0", "P2", "P4", "cross", "r", "xi", "pdf"}
    assert len(curves["xi"]["low"]) == len(curves["xi"]["x"])
    assert run(folder, monkeypatch, capsys, "info report")[0] == 0


def test_broken_samples_are_refused_with_a_sentence(folder, tmp_path, monkeypatch, capsys):
    field = Field.read(folder / "f.h5")
    broken = Field(np.full(field.shape, np.nan), field.box)
    write_with_samples(tmp_path / "nan.h5", field, [broken], num=1, seed=1)
    for command in ("spectrum nan.h5 --samples", f"evaluate {folder / 'mock'} nan.h5 --out r"):
        code, _, err = run(tmp_path, monkeypatch, capsys, command)
        assert code == 2
        assert "nan.h5 has NaN or infinity in 13824 of its 13824 values of sample 0" in err
        assert err.count("\n") == 1
