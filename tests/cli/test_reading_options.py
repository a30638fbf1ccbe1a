"""--table, --drop-missing, --follow-links and --drop-unsupported, and lists of files."""

import h5py
import numpy as np
import pytest
from astropy.io import fits

from truez import Catalog, Surveys
from truez.cli.app import main
from truez.surveys.details import SurveyDetails
from truez.surveys.mock import Mock

N = 1000
SIDES = np.array([32.0, 32.0, 64.0])
BOX = ["--boxsize", "32,32,64", "--cellsize", "4"]
SURVEY = [*BOX, "--redshift", "0.5", "--sigma-z", "0.005"]
LOST = np.arange(N) % 10 == 3


@pytest.fixture
def columns():
    rng = np.random.default_rng(3)
    found = dict(zip("xyz", (rng.random((N, 3)) * SIDES).T, strict=True))
    found["id"], found["m"] = np.arange(N) + 100, rng.random(N)
    return found


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*words):
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        return end.code or 0
    return 0


# --- missing values


def test_mock_leaves_out_rows_without_a_value_and_counts_them(columns, capsys):
    columns["m"] = np.ma.MaskedArray((1000 * columns["m"]).astype(int), LOST)
    columns["x"][5] = np.nan
    columns["unused"] = np.full(N, np.nan)
    Catalog(columns).write("sim.fits")
    words = ["mock", "sim.fits", *SURVEY, "--rank-by", "m", "--spec-density", "2e-3", "--out", "o"]
    assert run(*words) == 2
    assert "leave those rows out with --drop-missing" in capsys.readouterr().err
    assert run(*words, "--drop-missing") == 0
    assert f"  {LOST.sum() + 1} rows of sim.fits without a value are left out" in (
        capsys.readouterr().out
    )
    found = Mock.read("o").surveys
    assert len(found.photo) == N - LOST.sum() - 1


def test_spectrum_leaves_out_weights_that_are_missing(columns, capsys):
    columns["w"] = np.ma.MaskedArray(np.ones(N, int), LOST)
    Catalog(columns).write("c.parquet")
    assert run("spectrum", "c.parquet", *BOX, "--weights", "w") == 2
    assert "--drop-missing" in capsys.readouterr().err
    assert run("spectrum", "c.parquet", *BOX, "--weights", "w", "--drop-missing") == 0
    kept = capsys.readouterr().out.split("\n", 1)
    assert kept[0] == "  100 rows of c.parquet without a value are left out"
    Catalog({n: v[~LOST] for n, v in columns.items()}).write("whole.parquet")
    assert run("spectrum", "whole.parquet", *BOX, "--weights", "w") == 0
    assert capsys.readouterr().out == kept[1]


def test_redshifts_keep_the_rows_that_took_part(columns, capsys):
    whole = Catalog({**columns, "flux": np.where(LOST, np.nan, 1.0), "row": np.arange(N)})
    whole.select(np.arange(0, N, 5)).write("spec.parquet")
    ids = np.ma.MaskedArray(columns["id"], LOST)
    z = columns["z"].copy()
    z[:5] = np.nan
    whole.with_columns({"id": ids, "z": z}).write("photo.parquet")
    words = ["redshifts", "--spec", "spec.parquet", "--photo", "photo.parquet", *SURVEY,
             "--match-id", "id", "--method", "redistribution", "--out", "z.parquet"]  # fmt: skip
    assert run(*words) == 2
    assert "--drop-missing" in capsys.readouterr().err
    assert run(*words, "--drop-missing") == 0
    assert "104 rows of the photo catalogue without a value are left out" in capsys.readouterr().out
    kept = np.flatnonzero(~LOST & (np.arange(N) >= 5))
    found = Catalog.read("z.parquet")
    assert found["row"].tolist() == kept.tolist()
    np.testing.assert_array_equal(found["z"], columns["z"][kept])
    assert np.isfinite(found["z_mean"]).all()
    np.testing.assert_array_equal(found["spec_matched"], kept % 5 == 0)


def test_surveys_of_tables_in_memory_leave_out_missing_values(columns):
    import pandas as pd

    import truez

    frame = pd.DataFrame(columns)
    frame["id"] = frame["id"].astype("Int64")
    frame.loc[LOST, "id"] = pd.NA
    frame.loc[0, "x"] = np.nan
    settings = {
        "spec": frame[::5], "photo": frame, "box": truez.Box(SIDES, cellsize=4), "redshift": 0.5,
        "sigma_z": 0.005, "match_id": "id",
    }  # fmt: skip
    with pytest.raises(
        ValueError, match=r"^column .* of photo has no value in .*leave those rows out"
    ):
        Surveys.from_catalogs(**{**settings, "spec": columns})
    found = Surveys.from_catalogs(**settings, details=SurveyDetails(drop_missing=True))
    assert len(found.photo) == N - LOST.sum() - 1
    assert found.num_both == len(found.spec) == N // 5 - LOST[::5].sum() - 1
    assert found.metadata["photo_dropped"] == LOST.sum() + 1


def test_a_catalogue_without_a_whole_row_is_refused(columns, capsys):
    Catalog({**columns, "x": np.full(N, np.nan)}).write("c.parquet")
    assert run("spectrum", "c.parquet", *BOX, "--drop-missing") == 2
    assert "no row of the catalogue has a value in each of x, y, z" in capsys.readouterr().err


# --- tables and files


def test_one_table_is_chosen_for_both_files_unless_a_file_says_otherwise(columns, capsys):
    def table(rows, name):
        found = [fits.Column(n, "K" if n == "id" else "D", array=v[rows])
                 for n, v in columns.items()]  # fmt: skip
        return fits.BinTableHDU.from_columns(found, name=name)

    north, south = np.arange(N) < 600, np.arange(N) >= 600
    some = north & (np.arange(N) % 5 == 0)
    tables = [table(north, "NGC"), table(south, "SGC")]
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto("photo.fits")
    with h5py.File("spec.h5", "w") as file:
        for name, values in columns.items():
            file[f"NGC/{name}"], file[f"all/deep/{name}"] = values[some], values
    words = ["reconstruct", "--spec", "spec.h5", "--photo", "photo.fits", *SURVEY, "--match-id",
             "id", "--method", "redistribution", "--out", "f.h5"]  # fmt: skip
    assert run(*words) == 2
    assert run(*words, "--table", "NGC") == 0
    assert f"  {some.sum()} galaxies are in both surveys" in capsys.readouterr().out
    words[4] = "photo.fits#SGC"
    words[2] = "spec.h5#all/deep"
    assert run(*words, "--table", "NGC", "--overwrite") == 0
    assert "  400 galaxies are in both surveys" in capsys.readouterr().out
    assert run(*words[:2], "spec.h5#3", *words[3:], "--overwrite") == 2
    assert "spec.h5 holds the tables 1 (NGC), 2 (all/deep): none of them is '3'" in (
        capsys.readouterr().err
    )
    assert Catalog.read("spec.h5#2", ["id"])["id"].tolist() == columns["id"].tolist()


@pytest.mark.parametrize("suffix", [".parquet", ".h5", ".fits", ".csv"])
def test_a_pattern_of_files_is_one_catalogue_in_their_order(suffix, columns, capsys):
    whole = Catalog(columns, units=None if suffix == ".csv" else {"x": "Mpc/h"})
    parts = np.array_split(np.arange(N), 12)
    for number, rows in enumerate(parts):
        whole.select(rows).write(f"part-{number}{suffix}")
    for pattern in (f"part-*{suffix}", f"part-{{0..11}}{suffix}"):
        assert Catalog.read(pattern)["id"].tolist() == columns["id"].tolist()
    assert len(Catalog.read(f"part-{{3,1}}{suffix}")) == len(parts[3]) + len(parts[1])
    whole.write(f"whole{suffix}")
    assert run("spectrum", f"part-*{suffix}", *BOX) == 0
    found = capsys.readouterr().out
    assert run("spectrum", f"whole{suffix}", *BOX) == 0
    assert capsys.readouterr().out == found
    assert run("spectrum", f"none-*{suffix}", *BOX) == 2
    assert "there is no catalogue or field file none-*" in capsys.readouterr().err


def test_files_that_differ_are_refused():
    Catalog({"x": [1.0], "id": [1]}, {"x": "Mpc/h"}).write("a-0.parquet")
    Catalog({"x": [1.0], "id": [1]}, {"x": "kpc/h"}).write("a-1.parquet")
    with pytest.raises(ValueError, match=r"^column 'x' is in Mpc/h by a-0.parquet and in kpc/h by"):
        Catalog.read("a-*.parquet")
    Catalog({"x": [1.0], "id": np.array([1], "u8")}, {"x": "Mpc/h"}).write("a-1.parquet")
    with pytest.raises(ValueError, match=r"'id' is of type int64 in a-0.parquet and of uint64 in"):
        Catalog.read("a-*.parquet")
    Catalog({"x": [1.0]}, {"x": "Mpc/h"}).write("a-1.parquet")
    with pytest.raises(ValueError, match=r"^a-0.parquet has a column 'id' and a-1.parquet has non"):
        Catalog.read("a-*.parquet")
    with pytest.raises(ValueError, match=r"^there is no file a-2.parquet, which a-{0..2}.parquet"):
        Catalog.read("a-{0..2}.parquet")


def test_a_file_with_the_signs_of_a_pattern_is_itself():
    Catalog({"x": [1.0]}).write("a[1].parquet")
    Catalog({"x": [1.0, 2.0]}).write("a1.parquet")
    assert len(Catalog.read("a[1].parquet")) == 1


def test_links_are_followed_for_one_command(columns, capsys):
    with h5py.File("part.h5", "w") as file:
        file.update({f"g/{name}": values for name, values in columns.items()})
    with h5py.File("c.h5", "w") as file:
        file["all"] = h5py.ExternalLink("part.h5", "/g")
    words = ["spectrum", "c.h5", *BOX, "--positions", "all/x,all/y,all/z"]
    assert run(*words, "--follow-links") == 0
    assert run(*words) == 2
    assert (
        "column 'all' of c.h5 is a link into another file: --follow-links"
        in capsys.readouterr().err
    )


# --- columns that do not fit


def test_columns_that_the_output_cannot_hold_are_left_out_when_asked(columns, capsys):
    names = np.array([f"\u00e9toile {i}" for i in range(N)])
    whole = Catalog({**columns, "name": names, "ok": np.array([f"G{i}" for i in range(N)])})
    whole.select(np.arange(0, N, 5)).write("spec.parquet")
    whole.write("photo.parquet")
    words = ["redshifts", "--spec", "spec.parquet", "--photo", "photo.parquet", *SURVEY,
             "--match-id", "id", "--method", "redistribution", "--out", "z.fits"]  # fmt: skip
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert "column 'name'" in error
    assert "or leave such columns out with --drop-unsupported" in error
    assert run(*words, "--drop-unsupported") == 0
    note = "truez: note: z.fits is without columns of photo.parquet: name does not fit into .fits\n"
    assert capsys.readouterr().err == note
    found = Catalog.read("z.fits")
    assert "name" not in found
    assert found["ok"].tolist() == whole["ok"].tolist()
