"""``truez run``, ``truez run-patch`` and ``truez join``."""

import errno
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.sky.distributed.small_run import OPTIONS, SmallSky, caller

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.cli.run_patch import _numbers
from truez.sky.distributed import patch
from truez.sky.distributed.redshift_parts import RedshiftParts
from truez.sky.field import SkyField


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    made = SmallSky(tmp_path_factory.mktemp("sky"))
    assert len(made.partition) == 6
    return made


@pytest.fixture(scope="module")
def run(sky):
    """The folder of a run that is whole."""
    with pytest.raises(SystemExit) as ended:
        main(["run", str(sky.partition.folder), *OPTIONS, "--out", str(sky.folder / "run")])
    assert not ended.value.code
    return sky.folder / "run"


@pytest.fixture
def truez(capsys, sky, monkeypatch):
    monkeypatch.chdir(sky.folder)
    return caller(capsys)


@pytest.mark.medium
def test_a_run_is_planned_made_by_jobs_and_joined(sky, run, truez, tmp_path, monkeypatch):
    other = tmp_path / "jobs"
    code, out, _ = truez("run", sky.partition.folder, *OPTIONS, "--plan", other)
    assert code == 0
    assert f"patches 0 to 5: truez run-patch {other} NUMBER" in out
    assert not (other / "patches").exists()
    words = f"{other}: 3 of 6 patches are made by this job\n"
    assert truez("run-patch", other, "1-2,5")[:2] == (0, words)
    code, _, err = truez("join", other, "--redshifts", tmp_path / "j.parquet")
    assert code == 2
    assert "3 of 6 patches are not made (0, 3, 4), and the others are whole: make them" in err
    assert "patch 3: it has not been worked on" in err
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    assert "3 of 6 patches" in truez("run-patch", other, "--jobs", "2", "--threads", "1")[1]
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    assert "3 of 6 patches" in truez("run-patch", other, "--jobs", "2")[1]
    for path in sorted(run.glob("fields/*")) + sorted(run.glob("redshifts/*")):
        assert (other / path.relative_to(run)).read_bytes() == path.read_bytes()
    results = {}
    for folder in (run, other):
        field, redshifts = folder / "field.h5", folder / "redshifts.parquet"
        assert truez("join", folder, "--field", field, "--redshifts", redshifts)[0] == 0
        results[folder] = [field.read_bytes(), redshifts.read_bytes()]
    assert results[run] == results[other]
    assert len(SkyField.read(run / "field.h5")) == 6
    code, out, _ = truez("map", run / "field.h5", "--zbins", "0.12,0.2", "--nside", "16", "--out",
                         tmp_path / "maps.fits")  # fmt: skip
    assert code == 0


def test_a_catalogue_is_joined_in_the_order_of_the_input(sky, run, truez, tmp_path, monkeypatch):
    monkeypatch.setattr("truez.sky.distributed.join_catalog._WINDOW", 500)
    monkeypatch.setattr("truez.sky.distributed.join_catalog._ROWS", 300)
    photo, _ = sky.tables
    names = ["a.parquet", "a.fits", "folder"]
    for name in names:
        assert truez("join", run, "--redshifts", tmp_path / name, "--prefix", "t_")[0] == 0
    one, other = (Catalog.read(tmp_path / name) for name in names[:2])
    for name, values in photo.items():
        assert np.array_equal(one[name], values)
    for name, values in one.columns.items():
        assert np.array_equal(other[name], values, equal_nan=values.dtype.kind == "f")
    parts = RedshiftParts(sorted(run.glob("redshifts/*")))
    found, known = parts.rows(0, len(one))
    assert parts.num_rows == known.sum() > 0.99 * len(one)
    assert np.array_equal(one["t_z_mean"], found["z_mean"], equal_nan=True)
    flag = one["t_flag"]
    assert flag[7] == 2  # a photo-z beyond the map
    assert flag[30] == 8  # and none
    assert np.array_equal(flag[known], found["flag"][known])
    whole = pq.ParquetDataset(
        [str(path) for path in (tmp_path / "folder").glob("*.parquet")]
    ).read()
    rows = whole["truez_row"].to_numpy()
    assert np.array_equal(np.sort(rows), np.arange(len(one)))
    assert np.array_equal(whole["t_z_mean"].to_numpy(), one["t_z_mean"][rows], equal_nan=True)
    assert np.array_equal(whole["ID"].to_numpy(), photo["ID"][rows])
    assert truez("join", run, "--redshifts", tmp_path / "a.fits")[0] == 2  # it is there
    assert truez("join", run, "--redshifts", tmp_path / "folder")[0] == 2


def test_the_patches_that_are_there_are_joined(sky, run, truez, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run/patches/patch-00002.json").unlink()
    out = tmp_path / "some.parquet"
    assert truez("join", tmp_path / "run", "--redshifts", out)[0] == 2
    field = ["--field", tmp_path / "some.h5"]
    assert truez("join", tmp_path / "run", *field, "--redshifts", out, "--partial")[0] == 0
    assert len(SkyField.read(tmp_path / "some.h5")) == 5
    some = Catalog.read(out)
    rows = pq.read_table(run / "redshifts/patch-00002.parquet")["truez_row"].to_numpy()
    lost = some["flag"][rows] == 16
    assert lost.mean() > 0.95
    assert np.isnan(some["z_mean"][rows[lost]]).all()


@pytest.mark.medium
def test_a_poisoned_patch_is_named_and_the_others_are_made(sky, run, truez, tmp_path):
    shutil.copytree(sky.partition.folder, tmp_path / "divided")
    poisoned = tmp_path / "divided/photo/patch-00003.parquet"
    table, whole = pq.read_table(poisoned), poisoned.read_bytes()
    values = table["Dec"].to_numpy().copy()
    values[5] = np.nan
    place = table.column_names.index("Dec")
    pq.write_table(table.set_column(place, "Dec", pa.array(values)), poisoned)
    command = ("run", tmp_path / "divided", *OPTIONS, "--out", tmp_path / "run")
    code, out, err = truez(*command)
    reason = "column 'Dec' has no value in row 5 of photo in patch 3"
    assert code == 2
    assert f"truez: patch 3: {reason}" in err
    assert "truez: 1 of 6 patches are not made (3), and the others are whole: run the com" in err
    assert "5 patches, " in out
    assert len(list((tmp_path / "run/patches").iterdir())) == 5
    assert f"truez: patch 3: {reason}" in truez("join", tmp_path / "run", "--field",
                                                tmp_path / "a.h5")[2]  # fmt: skip
    poisoned.write_bytes(whole)
    assert truez(*command)[0] == 0


def test_a_full_disk_ends_a_job_in_one_sentence(run, truez, tmp_path, monkeypatch):
    shutil.copytree(run, tmp_path / "run")
    for number in (1, 2):
        (tmp_path / f"run/patches/patch-0000{number}.json").unlink()
    write = patch.write_redshift_part

    def full(path, *rest):
        if path.name == "patch-00002.parquet":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, *rest)

    monkeypatch.setattr(patch, "write_redshift_part", full)
    code, out, err = truez("run-patch", tmp_path / "run", "1-2")
    lost = tmp_path / "run/redshifts/patch-00002.parquet"
    words = f"truez: {lost}: the disk is full: free some space and run the command again"
    assert (code, out, err) == (2, "", words)
    assert not (tmp_path / "run/patches/patch-00002.json").exists()
    assert not list((tmp_path / "run").rglob(".*"))
    monkeypatch.setattr(patch, "write_redshift_part", write)
    assert truez("run-patch", tmp_path / "run", "1-2")[0] == 0
    for path in sorted(run.glob("fields/*")) + sorted(run.glob("redshifts/*")):
        assert (tmp_path / "run" / path.relative_to(run)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("option", "name"), [("--field", "a.h5"), ("--redshifts", "a.parquet")])
def test_a_join_that_has_no_room_leaves_what_was_there(run, truez, tmp_path, option, name):
    resource = pytest.importorskip("resource")
    file = tmp_path / name
    assert truez("join", run, option, file)[0] == 0
    whole = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 2, limits[1]))
    try:
        code, out, err = truez("join", run, option, file, "--overwrite")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (code, out, err) == (2, "", f"truez: {file}: file too large")
    assert file.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_plan_is_printed_without_work(sky, truez):
    code, out, _ = truez("run", sky.partition.folder, *OPTIONS, "--dry-run")
    assert code == 0
    for words in ("Patches: 6 in 1 shell", "hours on one core", "of disk", "on 128 cores"):
        assert words in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "divided"], "run needs --out FOLDER, or --plan FOLDER"),
        (["run", "divided", "--out", "r", "--make", "maps"], "--make must be field"),
        (["run", "divided", "--out", "r", "--workers", "900"], "--workers = 900"),
        (["run", "divided", "--out", "r", "--z-err-column", "Q", "--match-id", "ID"],
         "has no column 'Q'"),
        (["run", "divided", *OPTIONS, "--out", "foreign"], "was not written by truez"),
        (["reconstruct", "divided"], "truez run divided --out"),
        (["run", "run", "--out", "r"], "there is no partition in run"),
        (["redshifts", "divided", "--out", "a.fits"], "truez run divided --out"),
        (["run-patch", "run", "6"], "PATCHES must be from 0 to 5"),
        (["run-patch", "run", "2-1"], "PATCHES must be numbers and ranges"),
        (["run-patch", "run"], "needs PATCHES"),
        (["run-patch", "divided", "0"], "there is no run in "),
        (["join", "run"], "needs --field FILE or --redshifts FILE"),
        (["join", "run", "--field", "a.fits"], "--field"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_sentence(sky, run, truez, arguments, words):
    (sky.folder / "foreign").mkdir(exist_ok=True)
    (sky.folder / "foreign/run.json").write_text("{}")
    code, _, err = truez(*arguments)
    assert code == 2
    assert words in err
    assert err.count("truez: ") == 1


def test_numbers_of_patches_are_read():
    assert _numbers("3", 6) == [3]
    assert _numbers("0,2-4,3", 6) == [0, 2, 3, 4]
