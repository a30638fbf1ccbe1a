"""The patches of a partition, each made by itself, are those of one process with all in memory."""

import errno
import os
import shutil
import signal
import warnings

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests.sky.distributed.small_run import begun

from truez.sky.distributed import patch
from truez.sky.distributed.driver import make_patches, missing_patches, prepare
from truez.sky.distributed.first_pass import first_patches, is_settled, settle
from truez.sky.distributed.join_field import join_field
from truez.sky.distributed.opened import OpenRun
from truez.sky.distributed.run_plan import GivenSurveys, RunPlan
from truez.sky.distributed.workers import OwnProcess, Where, attempt, num_cores
from truez.sky.field import SkyField
from truez.sky.field_file import patch_writer
from truez.sky.partition.stored import Partition
from truez.sky.reconstruct import reconstruct
from truez.support.notes import Note

ALL = range(6)


@pytest.fixture(scope="module")
def run(sky):
    """A run of one process."""
    made = begun(sky.partition.folder, sky.folder / "run")
    assert make_patches(made, OwnProcess()) == []
    return made


@pytest.fixture(scope="module")
def in_memory(sky):
    return reconstruct(sky.whole, "redistribution", patches=sky.partition.patches)


def files(run, numbers=ALL):
    """The bytes of the results of patches."""
    found = [
        make(number) for number in numbers for make in (run.folder.field, run.folder.redshifts)
    ]
    return [path.read_bytes() for path in found]


def stamps(run):
    paths = sorted(path for path in run.folder.path.rglob("*") if path.is_file())
    return {path: path.stat().st_mtime_ns for path in paths}


def same(one, other):
    return np.array_equal(one.numpy(), other.numpy(), equal_nan=True)


def test_fields_are_those_of_one_process_to_the_last_bit(run, in_memory, tmp_path):
    join_field(run, tmp_path / "field.h5", list(ALL))
    joined = type(in_memory).read(tmp_path / "field.h5")
    assert len(joined) == len(in_memory)
    for ours, theirs in zip(joined, in_memory, strict=True):
        assert ours.box == theirs.box
        assert ours.pairs == theirs.pairs
        for name in ("delta", "sigma", "intensity"):
            assert same(getattr(ours, name), getattr(theirs, name))
    (ours,), (theirs,) = joined.metadata["shells"], in_memory.metadata["shells"]
    assert ours.pop("mean") == pytest.approx(theirs["mean"], rel=1e-12)
    assert ours == {name: value for name, value in theirs.items() if name != "mean"}
    names = {"num_photo", "num_spec", "method", "settings", "area", "num_both"}
    assert all(joined.metadata[name] == in_memory.metadata[name] for name in names)


def test_fields_of_four_digits_are_read_and_joined(run, tmp_path):
    shutil.copy(run.folder.field(3), tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        file.move("patches/00000", "patches/0000")
    (old,), (new,) = (SkyField.read(path) for path in (tmp_path / "old.h5", run.folder.field(3)))
    assert same(old.delta, new.delta)
    with patch_writer(tmp_path / "joined.h5") as writer:
        writer.copy(tmp_path / "old.h5", 3)
    with h5py.File(tmp_path / "joined.h5") as file:
        assert list(file["patches"]) == ["00003"]


def test_redshifts_differ_at_seams_alone_and_hardly(run, in_memory, sky):
    catalog = in_memory.redshifts()
    found = {name: np.full(len(catalog), np.nan) for name in patch.NAMES}
    times = np.zeros(len(catalog), int)
    for number in ALL:
        table = pq.read_table(run.folder.redshifts(number))
        rows = table["truez_row"].to_numpy()
        assert (np.diff(rows) > 0).all()
        times[rows] += 1
        for name, values in found.items():
            values[rows] = table[name].to_numpy()
    assert times.max() == 1
    known = np.isfinite(catalog["z_mean"])
    assert times[known].all()
    for name, values in found.items():
        if name in ("spec_matched", "flag"):
            assert np.array_equal(values[known], catalog[name][known])
            continue
        # But in the cells that a seam cuts, of which the box with the core is another.
        differs = values[known] != catalog[name][known]
        assert differs.mean() < 0.25
    error = (found["z_mean"] - catalog["z_mean"])[known] / np.median(catalog["z_std"][known])
    assert np.sqrt(np.mean(error**2)) < 0.005


@pytest.mark.medium
def test_results_do_not_depend_on_the_order_of_patches(run, sky, tmp_path):
    other = begun(sky.partition.folder, tmp_path / "run")
    with pytest.raises(FileNotFoundError, match=r"the first pass of .* has not begun"):
        patch.make_patch(tmp_path / "run", 3)
    settle(other, OwnProcess())
    for number in (5, 0, 3, 1, 4, 2):
        if number == 3:  # so that it is opened again, as in another process
            OpenRun.open(sky.folder / "run")
        patch.make_patch(tmp_path / "run", number)
    assert files(other) == files(run)
    assert run.folder.settled.read_bytes() == other.folder.settled.read_bytes()


@pytest.mark.medium
@pytest.mark.skipif(num_cores() < 2, reason="needs two cores")
def test_results_do_not_depend_on_workers_nor_on_one_that_is_killed(run, sky, tmp_path):
    pytest.importorskip("distributed")
    other = begun(sky.partition.folder, tmp_path / "run")
    shutil.copy(run.folder.settled, other.folder.settled)
    with Where(workers=2).pool() as pool:
        assert pool.dashboard.startswith("http://")
        pids = list(pool.client.run(os.getpid).values())
        assert len(set(pids)) == 2
        assert set(pool.client.run(torch.get_num_threads).values()) == {1}
        assert set(pool.client.run(os.getenv, "NUMBA_NUM_THREADS").values()) == {"1"}
        done = []
        for outcome in pool.run(patch.make_patch, str(tmp_path / "run"), list(ALL)):
            if not done:
                os.kill(pids[0], signal.SIGKILL)
            done.append(outcome)
        assert pids[0] not in pool.client.run(os.getpid).values()
    assert sorted(outcome.number for outcome in done) == list(ALL)
    assert {outcome.error for outcome in done} == {None}
    assert files(other) == files(run)


def test_what_stands_is_not_made_again(run):
    before = stamps(run)
    assert make_patches(run, OwnProcess()) == []
    assert is_settled(run)
    assert stamps(run) == before


@pytest.fixture
def copied(sky, tmp_path):
    """A copy of the partition, and a function that spoils one of its patches."""
    shutil.copytree(sky.partition.folder, tmp_path / "divided")
    Partition.open(tmp_path / "divided")

    def spoil(number):
        path = tmp_path / f"divided/photo/patch-{number:05d}.parquet"
        table, whole = pq.read_table(path), path.read_bytes()
        ra = table["RA"].to_numpy().copy()
        ra[3] = np.nan
        pq.write_table(table.set_column(0, "RA", pa.array(ra)), path)
        return lambda: path.write_bytes(whole)

    return spoil


@pytest.mark.medium
def test_a_poisoned_patch_is_named_and_the_others_are_whole(run, copied, tmp_path):
    corrected = copied(4)
    other = begun(tmp_path / "divided", tmp_path / "run")
    with pytest.warns(Note, match=r"patch 4 has no part in the first pass: column 'RA' has no"):
        failed = make_patches(other, OwnProcess())
    assert [one.number for one in failed] == [4]
    assert failed[0].error.startswith("column 'RA' has no value in row 3 of photo in patch 4")
    assert [(one.number, one.error) for one in missing_patches(other)] == [(4, failed[0].error)]
    before = stamps(other)
    corrected()
    assert make_patches(other, OwnProcess()) == missing_patches(other) == []
    after = stamps(other)
    assert {path: after.get(path) for path in before if path.parent.name != "failed"} == {
        path: stamp for path, stamp in before.items() if path.parent.name != "failed"
    }
    assert other.folder.field(4).is_file()
    assert not other.folder.failure(4).exists()


def test_a_full_disk_ends_the_run_cleanly_and_it_goes_on(run, sky, tmp_path, monkeypatch):
    other = begun(sky.partition.folder, tmp_path / "run")
    shutil.copy(run.folder.settled, other.folder.settled)
    write = patch.patch_writer

    def full(path):
        if path.name == "patch-00002.h5":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path)

    monkeypatch.setattr(patch, "patch_writer", full)
    with pytest.raises(OSError, match="No space left") as error:
        make_patches(other, OwnProcess(), [0, 2, 4])
    assert error.value.filename.endswith("fields/patch-00002.h5")
    assert not list(other.folder.path.rglob(".*"))
    monkeypatch.undo()
    assert make_patches(other, OwnProcess(), [0, 2]) == []
    assert files(other, [0, 2]) == files(run, [0, 2])


def test_an_error_of_a_worker_is_the_outcome_of_its_patch():
    def breaks(_folder, _number):
        raise TypeError("of no use")

    outcome = attempt(breaks, "", 3)
    assert (outcome.number, outcome.error, outcome.is_full) == (3, "TypeError: of no use", False)


def test_the_first_pass_is_on_the_fuller_patches(sky, tmp_path):
    patches = sky.partition.patches
    assert first_patches(patches, patches.shells[0], 8, sky.partition) == list(ALL)
    chosen = first_patches(patches, patches.shells[0], 2, sky.partition)
    counts = sky.partition.core_counts("spec")
    assert len(chosen) == 2
    assert min(counts[number] for number in chosen) >= np.median(counts)
    run = begun(sky.partition.folder, tmp_path / "run", first_patches=2)
    settle(run, OwnProcess())
    names = sorted(path.name for path in (tmp_path / "run/first").glob("part-*.npz"))
    # Of the model, the amplitude and the pairs, after which no patch is read again.
    assert names == [f"part-{part}-{n:05d}.npz" for part in (0, 2, 3) for n in chosen]


def test_runs_that_differ_are_not_mixed(run, sky, tmp_path):
    again = RunPlan.read(run.folder)
    assert again.to_dict() == run.plan.to_dict()
    with pytest.raises(ValueError, match="holds a run with other settings: give another folder"):
        begun(sky.partition.folder, run.folder.path, settings={"floor": 0.1})
    with pytest.raises(ValueError, match="method columns needs a halo of 62 Mpc/h"):
        begun(sky.partition.folder, tmp_path / "run", method="columns")
    with pytest.raises(ValueError, match="moves no galaxies"):
        begun(sky.partition.folder, tmp_path / "run", method="wiener")
    with pytest.raises(FileNotFoundError, match="there is no run in"):
        OpenRun.open(tmp_path)
    given = GivenSurveys(0.012, overlap="nested")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Note)
        assert prepare(sky.partition.folder, given).plan.method == "redistribution"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"workers": num_cores() + 1}, "cores, and there are"),
        ({"workers": 1, "threads": num_cores() + 1}, "cores, and there are"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"workers": 1, "scheduler": "tcp://a:1"}, "are both given"),
    ],
)
def test_more_threads_than_cores_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        Where(**given)
