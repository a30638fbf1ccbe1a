"""``truez mock --sky``: what is written follows the options, and bad ones are one sentence."""

from __future__ import annotations

import re

import numpy as np
import pytest

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.cli.mock_sky_options import SkyMockOptions
from truez.cli.parameters import option_names
from truez.mesh.healpix import nested
from truez.simulate.files import catalog_from_galaxies
from truez.simulate.universe import Universe
from truez.sky.field import SkyField
from truez.sky.mock import SkyMock
from truez.surveys.footprint import Rectangle
from truez.surveys.footprint_output import write_healpix
from truez.surveys.pixel_map import PixelMap

#: The command line of the README, but for the catalogue's name.
SPEC = (
    "mock", "gama.csv", "--sky", "RA,DEC,Z", "--from-spec", "--sigma-z", "0.02",
    "--footprint", "129,141,-2,3", "--redshift-range", "0.02,0.5", "--seed", "1",
)  # fmt: skip
CONE = (
    "mock", "sim.parquet", "--sky", "RA,DEC,Z", "--sigma-z", "0.02", "--footprint", "350,10,-5,5",
    "--redshift-range", "0.05,0.2", "--boxsize", "100", "--spec-fraction", "0.1",
)  # fmt: skip
FRACTION = ("--spec-fraction", "0.1")


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_the_help_shows_every_option_of_the_sky(capsys):
    assert run("mock", "--sky", "--help") == 0
    text = capsys.readouterr().out
    shown = set(re.findall(r"--[a-z-]+", text[text.index(" Sky ") : text.index(" Photo-z ")]))
    assert {f"--{name.replace('_', '-')}" for name in option_names(SkyMockOptions)} <= shown


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sky")
    rng = np.random.default_rng(1)
    num = 4000
    z = 0.55 * rng.beta(2, 3, num)
    galaxies = {
        "CATAID": 10**9 + rng.permutation(num), "RA": rng.uniform(128, 142, num),
        "Dec": rng.uniform(-2, 3, num), "Z": z, "Rpetro": 15 + 8 * z + rng.normal(size=num),
    }  # fmt: skip
    Catalog(galaxies).write(folder / "gama.csv")
    box = {axis: rng.uniform(0, 100, num) for axis in "xyz"}
    box |= {f"v{axis}": rng.normal(0, 300, num) for axis in "xyz"} | {"mass": rng.random(num)}
    Catalog(box).write(folder / "sim.parquet")
    chosen = galaxies["CATAID"][:1000]
    (folder / "ids.txt").write_text("CATAID\n" + "\n".join(map(str, chosen)))
    Catalog({"cataid": chosen, "other": np.zeros(1000)}).write(folder / "ids.csv")
    nodes = np.linspace(0.05, 0.2, 30)
    Catalog({"z": nodes, "n": np.exp(-0.5 * ((nodes - 0.12) / 0.03) ** 2)}).write(folder / "nz.csv")
    ra, dec = Rectangle(350, 10, -5, 5).sample(0.2)
    pixels = np.unique(nested(ra, dec, 64))
    write_healpix(folder / "half.fits", PixelMap(64, pixels, np.full(len(pixels), 0.5, np.float32)))
    return folder


@pytest.fixture
def here(made, monkeypatch):
    monkeypatch.chdir(made)
    return made


def test_a_real_catalogue_becomes_two_surveys_with_its_own_ids(here, tmp_path, capsys):
    assert run(*SPEC, *FRACTION, "--out", tmp_path / "g") == 0
    words = capsys.readouterr().out
    mock, given = SkyMock.read(tmp_path / "g"), Catalog.read("gama.csv")
    rows = {name: row for row, name in enumerate(given["CATAID"])}
    order = [rows[name] for name in mock.ids]
    np.testing.assert_array_equal(mock.z_true, given["Z"][order])
    np.testing.assert_array_equal(mock.ra, given["RA"][order])
    assert np.std((mock.z_phot - mock.z_true) / (1 + mock.z_true)) == pytest.approx(0.02, rel=0.05)
    assert len(mock.spec_rows) == round(0.1 * len(mock.ids))
    assert f"{len(mock.ids)} galaxies at z = 0.02 to 0.5" in words
    assert f"{mock.source['num_outside_footprint']} galaxies outside the footprint" in words


@pytest.mark.parametrize("name", ["ids.txt", "ids.csv"])
def test_a_file_names_the_galaxies_with_spectra(here, tmp_path, name):
    assert run(*SPEC, "--spec-ids", name, "--out", tmp_path / "g") == 0
    mock, given = SkyMock.read(tmp_path / "g"), Catalog.read("gama.csv")
    assert set(mock.ids[mock.spec_rows]) == set(given["CATAID"][:1000]) & set(mock.ids)
    assert mock.config.spec_choice == "ids"


def test_magnitudes_choose_spectra_and_errors(here, tmp_path):
    options = ("--spec-choice", "bright", "--magnitude-column", "rpetro", "--faint-factor", 3)
    assert run(*SPEC, *FRACTION, *options, "--out", tmp_path / "g") == 0
    mock = SkyMock.read(tmp_path / "g")
    assert mock.magnitude[mock.spec_rows].max() <= mock.magnitude[~mock.has_spectrum].min()
    assert mock.sigma_z.max() == pytest.approx(0.06)


def test_errors_of_classes_outliers_and_bias_are_written_down(here, tmp_path):
    options = (
        "--error-classes", "0.5:0.01,0.5:0.03", "--outlier-fraction", 0.05, "--outlier-range",
        "0,0.6", "--photo-bias", "0.001,0.01", "--photo-cut", "Rpetro<18", "--frame", "cmb",
    )  # fmt: skip
    assert run(*SPEC, *FRACTION, *options, "--out", tmp_path / "g") == 0
    photo = SkyMock.read(tmp_path / "g").config.photo
    assert photo.error_classes == ((0.5, 0.01), (0.5, 0.03))
    assert (photo.outlier_range, photo.photo_bias) == ((0.0, 0.6), (0.001, 0.01))
    assert len(SkyMock.read(tmp_path / "g").ids) < 3000


def test_a_light_cone_is_cut_from_a_box_with_its_velocities_and_n_of_z(here, tmp_path):
    options = ("--velocities", "vx,vy,vz", "--rank-by", "mass", "--nz", "nz.csv",
               "--num-photo", 500, "--footprint", "half.fits")  # fmt: skip
    assert run(*CONE, *options, "--out", tmp_path / "c") == 0
    mock = SkyMock.read(tmp_path / "c")
    assert len(mock.ids) == pytest.approx(500, rel=0.15)
    assert mock.source["redshift_space"]
    assert mock.magnitude is not None
    assert (tmp_path / "c" / "footprint.fits").is_file()
    assert mock.footprint.completeness(0.0, 0.0) == 0.5


def test_a_universe_of_truez_brings_its_box_and_cosmology(here, tmp_path):
    universe = Universe(boxsize=96, num_particles=24, redshift=0.1, density=5e-3, seed=3)
    catalog_from_galaxies(universe.make()).write(tmp_path / "u.parquet")
    given = [*CONE[:1], tmp_path / "u.parquet", *CONE[2:10], *FRACTION]
    assert run(*given, "--magnitude-limit", 17, "--out", tmp_path / "c") == 0
    mock = SkyMock.read(tmp_path / "c")
    assert mock.config.cosmology.h == 0.71
    assert mock.magnitude.max() < 17


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*SPEC, *FRACTION, "--boxsize", 9), "--from-spec needs no box: leave out --boxsize"),
        ((*SPEC, *FRACTION, "--trim", "1,2"), "a mock on the sky has no such option"),
        (SPEC, "say which galaxies have spectra: --spec-fraction or --spec-ids"),
        ((*SPEC, *FRACTION, "--sky", "RA,DEC"), "--sky must name three columns, RA,DEC,Z"),
        ((*SPEC, *FRACTION, "--sky", "RA,DEC,ZZ"), "has no column 'ZZ'"),
        ((*SPEC, *FRACTION, "--spec-choice", "faint"), "--spec-choice must be one of random"),
        ((*SPEC, *FRACTION, "--spec-choice", "bright"), "needs the magnitudes"),
        ((*SPEC, *FRACTION, "--complete-to", 0.2), "only --spec-choice luminous has"),
        ((*SPEC, "--spec-fraction", 1), "--spec-fraction must be above 0 and below 1, not 1"),
        ((*SPEC, *FRACTION, "--footprint", "8,9,-2,3"), "footprint misses 4000 of 4000 catalogue"),
        ((*SPEC, *FRACTION, "--spec-footprint", "no.fits"), "--spec-footprint must be RA1,RA2"),
        ((*SPEC, *FRACTION, "--outlier-range", "0,1"), "give --outlier-fraction as well"),
        ((*SPEC, *FRACTION, "--error-classes", "0.5"), "--error-classes must be SHARE:SIGMA_Z"),
        ((*SPEC, *FRACTION, "--id-column", "Rpetro"), "--id-column Rpetro must name each galaxy"),
        ((*SPEC, "--spec-ids", "nz.csv"), "needs a column CATAID, and has z, n"),
        ((*SPEC, *FRACTION, "--frame", "lsr"), "--frame must be one of"),
        ((*CONE, "--not-periodic"), "lie outside the closed box"),
        ((*CONE, "--nz", "nz.csv", "--num-photo", 1e8), "nz asks for"),
        ((*CONE, "--num-photo", 9), "--num-photo scales --nz: give that as well"),
        ((*CONE, "--observer", "1,2"), "--observer must be three numbers, X,Y,Z, not '1,2'"),
        ((*CONE[:-4], *FRACTION), "is not a universe of truez simulate: give --boxsize"),
        ((*CONE[:-2], "--spec-ids", "ids.txt"), "a light cone has no ids to name"),
        (("mock", "sim.parquet", "--sigma-z", 0.1, "--boxsize", 9), "needs --redshift"),
        (("mock", "sim.parquet", "--sigma-z", 0.1, "--footprint", "x"), "leave out --footprint"),
    ],
)
def test_bad_options_are_one_sentence_and_exit_code_2(here, tmp_path, arguments, words, capsys):
    assert run(*arguments, "--out", tmp_path / "bad") == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.count("\n") == 1
    assert len(errors) < 300
    assert not (tmp_path / "bad" / "mock.toml").exists()


def test_files_of_others_are_not_replaced(here, tmp_path, capsys):
    (tmp_path / "footprint.fits").write_text("mine")
    assert run(*SPEC, *FRACTION, "--out", tmp_path) == 2
    assert "footprint.fits was not written by truez mock" in capsys.readouterr().err


@pytest.fixture(scope="module")
def folder(made):
    catalog = made / "gama.csv"
    assert run(SPEC[0], catalog, *SPEC[2:], *FRACTION, "--out", made / "g") == 0
    return made / "g"


def test_redshifts_of_a_mock_folder_need_no_other_options(folder, tmp_path, capsys):
    out = tmp_path / "redshifts.parquet"
    assert run("redshifts", folder, "--cellsize", 16, "--out", out) == 0
    found, mock = Catalog.read(out), SkyMock.read(folder)
    np.testing.assert_array_equal(found["id"], mock.ids)
    np.testing.assert_array_equal(found["z_phot"], mock.z_phot)
    np.testing.assert_array_equal(found["spec_matched"], mock.has_spectrum)
    np.testing.assert_array_equal(found["z_median"][mock.spec_rows], mock.z_true[mock.spec_rows])
    assert "flag 8" in capsys.readouterr().out or (mock.z_phot > 0).all()


def test_a_mock_folder_is_reconstructed_in_the_range_that_is_asked_for(folder, tmp_path):
    out = tmp_path / "field.h5"
    arguments = ("--cellsize", 16, "--redshift-range", "0.1,0.4", "--out", out)
    assert run("reconstruct", folder, *arguments) == 0
    field = SkyField.read(out)
    assert field.metadata["redshift_range"] == [0.1, 0.4]
    assert field.metadata["mock"] == SkyMock.read(folder).fingerprint


def test_settings_of_a_mock_are_not_given_again(folder, tmp_path, capsys):
    for option in (("--sigma-z", 0.1), ("--footprint", "1,2,3,4"), ("--boxsize", 9)):
        assert run("reconstruct", folder, *option, "--out", tmp_path / "f.h5") == 2
        error = capsys.readouterr().err
        assert f"a mock on the sky has its own settings: leave out {option[0]}" in error
