"""``truez redshifts --clustering``: a folder for clustering codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.sky.light_cone import light_cone, tables

from truez.catalogs.catalog import Catalog
from truez.cli.app import main

CATALOGS = (
    "redshifts --spec spec.parquet --photo photo.fits --sky ra,dec,z --sigma-z 0.012 "
    "--match-id ID --redshift-range 0.105,0.253 --cellsize 8 --method redistribution"
)
COMMAND = f"{CATALOGS} --footprint 354,6,-3,3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("clustering")
    photo, spec = tables(light_cone(density=0.005))
    photo["ID"], spec["ID"] = photo["ID"] + 10**12, spec["ID"] + 10**12
    Catalog(photo).write(place / "photo.fits")
    Catalog(spec).write(place / "spec.parquet")
    return place


@pytest.fixture
def truez(folder, monkeypatch, capsys):
    """Runs a command in the folder; its exit code, stdout and stderr."""

    def run(text):
        monkeypatch.chdir(folder)
        with pytest.raises(SystemExit) as stop:
            main(text.split())
        return int(stop.value.code or 0), *capsys.readouterr()

    return run


@pytest.mark.medium
def test_draws_and_randoms_are_written_and_read_again(folder, truez):
    command = f"{COMMAND} --draws 2 --seed 3 --clustering lss --randoms-factor 30 --out z.fits"
    code, out, err = truez(command)
    assert (code, err) == (0, "")
    assert "lss: 2 draws of " in out
    assert "sum of weights over that of randoms 0.03" in out
    photo, drawn = Catalog.read(folder / "photo.fits"), Catalog.read(folder / "z.fits")
    for number in (0, 1):
        table = Catalog.read(folder / f"lss/draw_{number}.dat.fits")
        rows = np.searchsorted(photo["ID"], table["TARGETID"])
        np.testing.assert_array_equal(photo["ID"][rows], table["TARGETID"])
        np.testing.assert_array_equal(drawn[f"z_draw_{number}"][rows], table["Z"])
        z = drawn[f"z_draw_{number}"]
        assert len(table) == np.count_nonzero((z >= 0.105) & (z <= 0.253))
    assert json.loads((folder / "lss/clustering.json").read_text())["draws_seed"] == 3

    # What truez says of the files, and the randoms as a footprint.
    for name, words in (
        ("draw_0.dat.fits", "  draw  "),
        ("randoms.ran.fits", "--randoms"),
    ):
        code, out, _ = truez(f"info lss/{name}")
        assert code == 0
        assert words in out
        assert "names of" not in out  # drawn redshifts are no spectra
    code, out, err = truez(f"{CATALOGS} --randoms lss/randoms.ran.fits --out again.fits")
    assert (code, err) == (0, "")
    share = out.split("N(z) of the randoms and of photo differ by ")[1].split("%")[0]
    assert float(share) < 6

    # The folder is an earlier result now.
    code, _, err = truez(command.replace("z.fits", "other.fits"))
    assert code == 2
    assert "clustering.json is there already: give another --clustering, or --overwrite" in err
    fewer = command.replace("--draws 2", "--draws 1")
    code, _, err = truez(f"{fewer} --overwrite")
    assert code == 2
    assert "draw_1.dat.fits would be left of an earlier result with more draws" in err
    before = (folder / "lss/randoms.ran.fits").read_bytes()
    code, _, err = truez(f"{command} --overwrite")
    assert (code, err) == (0, "")
    assert (folder / "lss/randoms.ran.fits").read_bytes() == before


def test_files_of_others_are_left_alone(folder, truez):
    (folder / "mine").mkdir()
    (folder / "mine/draw_0.dat.fits").write_text("mine")
    for more in ("", " --overwrite"):
        code, _, err = truez(f"{COMMAND} --draws 1 --clustering mine --out new.fits{more}")
        assert code == 2
        assert "mine/draw_0.dat.fits was not written by truez redshifts" in err
        assert "choose another folder with --clustering" in err
    assert (folder / "mine/draw_0.dat.fits").read_text() == "mine"
    assert not (folder / "new.fits").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--clustering new", "--clustering writes draws of the redshifts: give --draws as well"),
        ("--draws 1 --randoms-factor 3", "only with --clustering FOLDER: leave out --randoms-f"),
        ("--draws 1 --clustering new --randoms-factor 0", "--randoms-factor must be a finite numb"),
        ("--draws 1 --clustering new.fits", "--out and --clustering must be two places, not both"),
        (
            "--draws 1 --clustering photo.fits",
            "--clustering photo.fits is read by the same command, as",
        ),
        ("--draws 1 --clustering new --randoms-factor 1e12", "or a smaller --randoms-factor"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(folder, truez, options, words):
    code, _, err = truez(f"{COMMAND} {options} --out new.fits")
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert not (folder / "new").exists()


def test_nothing_is_written_by_a_dry_run(folder, truez):
    code, _, err = truez(f"{COMMAND} --draws 1 --clustering dry --dry-run --out dry.fits")
    assert (code, err) == (0, "")
    assert not (folder / "dry").exists()


def test_a_box_has_no_catalogues_for_clustering(truez):
    code, _, err = truez(
        "redshifts --spec spec.parquet --photo photo.fits --boxsize 100 --redshift 0.2 "
        "--draws 1 --clustering box --out box.fits"
    )
    assert code == 2
    assert "these are options of the sky: give --sky RA,DEC,Z, or leave out" in err
    assert "--clustering" in err
