"""A partition that is there stays until the one that replaces it is whole."""

import errno
import os

import pytest
from tests.sky.partition.divided_sky import galaxies, input_of, plan_of

from truez.catalogs.catalog import Catalog
from truez.sky.partition import divide
from truez.sky.partition.patch_plan import PatchPlan
from truez.sky.partition.stored import Partition
from truez.support import replacing
from truez.support.notes import Note

OLD, NEW = plan_of(sigma_z=0.01), plan_of(sigma_z=0.02)
BESIDE = ".truez-next"


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A function that makes a partition of some galaxies."""
    monkeypatch.chdir(tmp_path)
    columns = galaxies(3000)
    Catalog(columns).write("photo.fits")
    Catalog({name: values[::4] for name, values in columns.items()}).write("spec.fits")

    def call(folder, plan, *, spec=True, **settings):
        inputs = {"photo": input_of("photo.fits")}
        if spec:
            inputs["spec"] = input_of("spec.fits")
        return Partition.make(folder, plan, **inputs, **settings)

    return call


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


def without_next(folder):
    return {name: data for name, data in contents(folder).items() if BESIDE not in name}


def full_at(monkeypatch, number):
    """Let the disk be full when the file of a patch is written."""
    write = divide._write

    def full(path, *rest):
        if f"patch-{number:05d}" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, *rest)

    monkeypatch.setattr(divide, "_write", full)


@pytest.mark.medium
@pytest.mark.parametrize("spec", [True, False])
def test_the_old_partition_stays_until_the_new_one_is_whole(make, tmp_path, monkeypatch, spec):
    new = make("new", NEW, spec=spec)
    old = make("out", OLD)
    (tmp_path / "out/shared").mkdir()  # of a run on the old one
    (tmp_path / "out/shared/photo.parquet").write_bytes(b"")
    (tmp_path / "out/notes.txt").write_text("mine")
    before = contents(tmp_path / "out")
    full_at(monkeypatch, 5)
    with pytest.raises(OSError, match="No space left"):
        make("out", NEW, spec=spec, overwrite=True)
    assert without_next(tmp_path / "out") == before
    assert len(Partition.open("out").read(3).photo) == len(old.read(3).photo)
    with pytest.raises(ValueError, match="holds a partition of other patches"):
        make("out", NEW, spec=spec)
    with pytest.warns(Note, match="overwrite=True has begun"):
        make("out", OLD)
    there = tmp_path / "out" / BESIDE / "photo/patch-00003.parquet"
    stamp = there.stat().st_mtime_ns
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    made = make("out", NEW, spec=spec, overwrite=True)
    assert made.samples == new.samples
    assert (tmp_path / "out/photo/patch-00003.parquet").stat().st_mtime_ns == stamp  # it went on
    assert contents(tmp_path / "out") == {**contents(tmp_path / "new"), "notes.txt": b"mine"}


@pytest.mark.medium
def test_a_new_partition_that_is_begun_is_not_that_of_another_input(make, tmp_path, monkeypatch):
    make("out", OLD)
    full_at(monkeypatch, 5)
    with pytest.raises(OSError, match="No space left"):
        make("out", NEW, overwrite=True)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    other = plan_of(sigma_z=0.03)
    make("out", other, overwrite=True)
    make("new", other)
    assert contents(tmp_path / "out") == contents(tmp_path / "new")


@pytest.mark.medium
@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("at", ["remove", "note_written"])
def test_a_move_that_is_ended_is_gone_on_with(make, tmp_path, monkeypatch, at, overwrite):
    make("new", NEW)
    make("out", OLD)
    own, calls = getattr(replacing, at), []

    def killed(path):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        own(path)

    monkeypatch.setattr(replacing, at, killed)
    with pytest.raises(KeyboardInterrupt):
        make("out", NEW, overwrite=True)
    with pytest.raises(ValueError, match="not in its place yet: run truez partition again"):
        Partition.open("out")
    monkeypatch.setattr(replacing, at, own)
    monkeypatch.setattr(divide, "_write", None)  # nothing is made once more
    assert len(make("out", NEW, overwrite=overwrite)) == len(NEW.patches)
    assert contents(tmp_path / "out") == contents(tmp_path / "new")


def test_a_partition_that_is_not_whole_is_removed_at_once(make, tmp_path, monkeypatch):
    full_at(monkeypatch, 5)
    with pytest.raises(OSError, match="No space left"):
        make("out", OLD)
    with pytest.raises(OSError, match="No space left"):
        make("out", NEW, overwrite=True)
    assert not (tmp_path / "out" / BESIDE).exists()
    assert PatchPlan.read("out").sigma_z == 0.02
