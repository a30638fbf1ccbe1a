"""``truez photoz``: redshifts before and after beside the truth; bad ones are one sentence."""

from __future__ import annotations

import json
import shlex

import h5py
import numpy as np
import pytest
from tests.evaluate.sharpened_catalog import AFTER, BEFORE, sharpened_catalog

from truez import Catalog
from truez.cli.app import main
from truez.evaluate.photoz import PhotozDetails, judge_photoz
from truez.evaluate.photoz.report import PHOTOZ_FILES, PhotozReport

pytestmark = pytest.mark.usefixtures("rough_figures")
GIVEN = ("--truth", "Z_SPEC", "--photo-z", "Z_PHOT")


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def write_gaussians(path, loc, scale):
    with h5py.File(path, "w") as file:
        file["meta/pdf_name"] = np.array([b"norm"])
        file["data/loc"] = loc[:, None]
        file["data/scale"] = np.full((len(loc), 1), scale)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A catalogue, its true redshifts apart, and p(z) before, after and of too few galaxies."""
    place = tmp_path_factory.mktemp("photoz")
    columns = sharpened_catalog(1500)
    Catalog(columns, metadata={"truez": {"interval": 0.68}}).write(place / "z.fits")
    bad = columns | {
        "NAME": np.full(1500, "g"),
        "CZ": 3e5 * np.abs(columns["Z_PHOT"]),
        "NONE": np.full(1500, -99.0),
    }
    Catalog(bad).write(place / "bad.parquet")
    Catalog({"id": columns["ID"], "Z": columns["Z_SPEC"]}).write(place / "truth.csv")
    Catalog({"id": columns["ID"] + 1, "Z": columns["Z_SPEC"]}).write(place / "other.csv")
    box = {name: columns[name] for name in ("Z_SPEC", "Z_PHOT", "z_mean", "spec_matched")}
    Catalog(box).write(place / "box.fits")
    write_gaussians(place / "before.hdf5", columns["Z_PHOT"], BEFORE)
    write_gaussians(place / "after.hdf5", columns["z_median"], AFTER)
    write_gaussians(place / "ids.hdf5", columns["Z_PHOT"], BEFORE)
    with h5py.File(place / "ids.hdf5", "a") as file:
        file["ancil/other"] = columns["ID"] + 10**7
        file["ancil/name"] = np.array([f"g{number}" for number in columns["ID"]], "S12")
    write_gaussians(place / "unusable.hdf5", columns["Z_PHOT"], 0.0)
    write_gaussians(place / "percent.hdf5", 100 * columns["Z_PHOT"], 100 * BEFORE)
    write_gaussians(place / "few.hdf5", columns["Z_PHOT"][:99], BEFORE)
    return place


@pytest.mark.medium
def test_a_catalogue_is_judged(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    command = (
        "photoz", "z.fits", *GIVEN, "--magnitude", "MAG", "--pdf", "before.hdf5",
        "--pdf-after", "after.hdf5", "--footprint", "10,12,-1,1", "--redshift-range", "0.55,0.95",
        "--dz", "0.005", "--num-bins", 2, "--out", "found",
    )  # fmt: skip
    assert run(*command) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for words in ("sigma_NMAD", "CDE loss", "whose redshift was given to the map", "judged in"):
        assert words in out
    assert {path.name for path in (folder / "found").iterdir()} == set(PHOTOZ_FILES)
    found = json.loads((folder / "found" / "metrics.json").read_text())
    assert found["all"]["nats"] == pytest.approx(np.log(BEFORE / AFTER), abs=0.15)
    assert found["about"]["redshift_range"] == [0.55, 0.95]
    assert set(found["by"]) == {"redshift", "magnitude", "edge_distance"}
    assert len(found["by"]["magnitude"]) == 2
    page = (folder / "found" / "index.html").read_text()
    assert shlex.join(map(str, command)) in page
    assert run(*command) == 2
    assert "is there already: give another --out, or --overwrite" in capsys.readouterr().err


def test_truths_of_another_catalogue_are_the_same(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(PhotozReport, "pictures", lambda self: {})  # to draw takes seconds
    command = (
        "photoz", "z.fits", "--truth", "Z", "--photo-z", "Z_PHOT", "--truth-catalog", "truth.csv",
        "--match-id", "ID:id", "--z-err-column", "Z_ERR", "--dz", 0.01, "--out", "others",
    )  # fmt: skip
    assert run(*command) == 0
    assert "their CRPS is an approximation" in " ".join(capsys.readouterr().out.split())
    found = json.loads((folder / "others" / "metrics.json").read_text())["all"]
    own = judge_photoz(
        "z.fits", truth="Z_SPEC", photo_z="Z_PHOT",
        details=PhotozDetails(z_err_column="Z_ERR", dz=0.01),
    )  # fmt: skip
    assert found == own.to_dict()["all"]
    assert "crps_change" in found


BROKEN = [
    ("nowhere.fits --truth Z --photo-z Z_PHOT", "there is no catalogue file nowhere.fits"),
    ("z.fits --photo-z Z_PHOT", "photoz needs --truth (Column of true redshifts): truez photoz -h"),
    ("z.fits --truth ZS --photo-z Z_PHOT", "z.fits has no column 'ZS' (--truth)"),
    ("z.fits --truth Z_SPEC --photo-z ZP", "z.fits has no column 'ZP' (--photo-z)"),
    ("z.fits --truth Z_SPEC --photo-z Z_SPEC",
     "--truth must not be column 'Z_SPEC', which is --photo-z: name the column of true redshifts"),
    ("bad.parquet --truth CZ --photo-z Z_PHOT",
     "column 'CZ' (--truth) of bad.parquet must hold redshifts, but its median is"),
    ("bad.parquet --truth NONE --photo-z Z_PHOT",
     "column 'NONE' (--truth) of bad.parquet has a redshift in none of 1500 rows"),
    ("box.fits --truth Z_SPEC --photo-z Z_PHOT",
     "box.fits has no columns z_median and spec_matched: give a catalogue that truez redshifts"),
    ("truth.csv --truth Z --photo-z id", "truth.csv has no columns z_median and spec_matched: gi"),
    ("z.fits {} --pdf few.hdf5", "--pdf has p(z) of 99 galaxies, but z.fits has 1500 rows: give"),
    ("z.fits {} --pdf-after few.hdf5", "--pdf-after has p(z) of 99 galaxies, but z.fits has 1500"),
    ("z.fits {} --pdf unusable.hdf5", "--pdf has no p(z) that can be used of 1"),
    ("z.fits {} --pdf percent.hdf5", "--pdf has p(z) whose medians are 1"),
    ("z.fits {} --pdf-after percent.hdf5", "--pdf-after has p(z) whose medians are 1"),
    ("z.fits {} --pdf nowhere.hdf5", "there is no file of p(z) nowhere.hdf5"),
    ("z.fits {} --pdf z.fits", "--pdf: z.fits has no columns of quantiles"),
    ("z.fits {} --pdf ids.hdf5 --pdf-id ID:other",
     "no galaxy is named in both z.fits and --pdf by --pdf-id 'ID:other': give the column that"),
    ("z.fits {} --pdf ids.hdf5 --pdf-id ID:name",
     "--pdf-id 'ID:name' is int64 in z.fits and text in --pdf: write both as whole numbers"),
    ("z.fits {} --pdf ids.hdf5 --pdf-id ID",
     "--pdf: ancil of ids.hdf5 has no column 'ID' (--pdf-id), only name, other"),
    ("z.fits {} --pdf before.hdf5 --pdf-id NAME", "z.fits has no column 'NAME'"),
    ("z.fits {} --pdf before.hdf5 --z-err-column Z_ERR",
     "--pdf has p(z) before, and --z-err-column makes them: leave one out"),
    ("z.fits {} --pdf-id ID", "--pdf-id is of files of p(z): give --pdf or --pdf-after"),
    ("z.fits {} --match-id ID", "--truth-catalog and --match-id go together"),
    ("z.fits {} --truth-catalog truth.csv", "--truth-catalog and --match-id go together"),
    ("z.fits --truth Z --photo-z Z_PHOT --truth-catalog other.csv --match-id ID:id",
     "no galaxy is named in both z.fits and other.csv by --match-id 'ID:id': give the column"),
    ("z.fits {} --z-err-column SIGMA", "z.fits has no column 'SIGMA' (--z-err-column)"),
    ("bad.parquet {} --magnitude NAME",
     "column 'NAME' (--magnitude) of bad.parquet must hold numbers, not text, such as 'g'"),
    ("bad.parquet {} --z-err-column NAME", "column 'NAME' (--z-err-column) of bad.parquet must ho"),
    ("bad.parquet --truth NAME --photo-z Z_PHOT", "column 'NAME' (--truth) of bad.parquet must ho"),
    ("bad.parquet --truth Z_SPEC --photo-z NAME", "column 'NAME' (--photo-z) of bad.parquet must "),
    ("z.fits {} --magnitude R", "z.fits has no column 'R' (--magnitude)"),
    ("z.fits {} --sky RA,DEC", "only with --footprint: leave out --sky"),
    ("z.fits {} --footprint 1,2,3", "--footprint must be RA1,RA2,DEC1,DEC2, four numbers"),
    ("z.fits {} --footprint 100,102,-1,1", "--footprint misses "),
    ("z.fits {} --redshift-range 0.2", "--redshift-range must be two numbers, LOW,HIGH, not '0.2"),
    ("z.fits {} --redshift-range 3,4", "of 1"),
    ("z.fits {} --redshift-range 1,0.5", "--redshift-range must be in order, not 1,0.5"),
    ("z.fits {} --point best", "--point must be one of median, mean, mode, not 'best'"),
    ("z.fits {} --dz 0", "--dz must be from 0.00001 to 0.1, not 0"),
    ("z.fits {} --floor 1", "--floor must be at least 0 and below 0.5, not 1"),
    ("z.fits {} --num-bins 99", "--num-bins must be from 1 to 50, not 99"),
    ("z.fits {} --footprint 10,12,-1,1 --cosmology x", "--cosmology must be one of "),
]  # fmt: skip


@pytest.mark.parametrize(("command", "sentence"), BROKEN)
def test_broken_input_is_one_sentence(folder, monkeypatch, capsys, command, sentence):
    monkeypatch.chdir(folder)
    words = command.format(shlex.join(GIVEN)).split()
    assert run("photoz", *words, "--out", "report") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"truez: {sentence}"), err
    assert err.count("\n") == 1
    assert len(err) < 308
    assert not (folder / "report").exists()
