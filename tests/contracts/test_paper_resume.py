"""Stages that stand are not done again; a run that was killed is the run that never stopped."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from truez.experiments.paper import Job, PaperRecipe, Stage, paper_stages, read_records, run_stages
from truez.experiments.paper.run import until
from truez.experiments.recipes import read_recipe
from truez.experiments.stages import up_to_date
from truez.mesh.field import Field
from truez.support.files import atomic_path

torch.set_num_threads(1)


class StoppedError(Exception):
    """Raised in place of a power cut."""


# --- the account of stages ------------------------------------------------------------------------


class Work:
    """Two stages, the second of which reads what the first wrote."""

    def __init__(self, folder):
        self.folder, self.done, self.stop = folder, [], None

    def first(self, progress):
        self.done.append("first")
        (self.folder / "a.txt").write_text("a")

    def second(self, progress):
        """Counts to four, and keeps its count on the way."""
        self.done.append("second")
        count = self.folder / "count.txt"
        reached = int(count.read_text()) if count.is_file() else 0
        while reached < 4:
            reached += 1
            count.write_text(str(reached))
            progress("count", reached, 4)
            if reached == self.stop:
                raise StoppedError
        (self.folder / "b.txt").write_text((self.folder / "a.txt").read_text() + "b")

    def stages(self, **settings):
        return [
            Stage("first", self.first, ("a.txt",), settings=settings.get("first", {})),
            Stage(
                "second",
                self.second,
                ("b.txt",),
                needs=("first",),
                settings=settings.get("second", {}),
                scratch=("count.txt",),
            ),
        ]

    def run(self, **settings):
        self.done.clear()
        run_stages(self.folder, self.stages(**settings))
        return list(self.done)


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path)


def test_what_stands_is_skipped(work):
    assert work.run() == ["first", "second"]
    assert work.run() == []
    assert up_to_date(work.folder, work.stages()) == {"first", "second"}
    first, second = read_records(work.folder)
    assert (first.name, second.name) == ("first", "second")
    assert second.outputs["b.txt"].size == 2


def test_other_settings_are_done_again_with_all_that_depends_on_them(work):
    work.run()
    assert work.run(second={"n": 1}) == ["second"]
    # The same content again: nothing that depends on it has changed.
    assert work.run(first={"n": 1}, second={"n": 1}) == ["first"]
    assert work.run(first={"n": 1}) == ["second"]


def test_files_that_were_lost_or_changed_are_made_again(work):
    work.run()
    (work.folder / "b.txt").unlink()
    assert up_to_date(work.folder, work.stages()) == {"first"}
    assert work.run() == ["second"]
    (work.folder / "a.txt").write_text("x")
    assert work.run() == ["first"]
    # Touched or copied, but the same.
    (work.folder / "a.txt").write_text("a")
    assert work.run() == []


def test_a_broken_off_stage_goes_on(work):
    work.stop = 2
    with pytest.raises(StoppedError):
        work.run()
    assert (work.folder / "count.txt").read_text() == "2"
    assert [record.name for record in read_records(work.folder)] == ["first"]
    work.stop = None
    seen = []
    work.done.clear()
    run_stages(work.folder, work.stages(), progress=lambda *now: seen.append(now[:2]))
    assert work.done == ["second"]
    assert [now for now in seen if now[0] == "count"] == [("count", 3), ("count", 4)]


def test_a_broken_off_stage_begins_anew_with_other_settings(work):
    work.stop = 2
    with pytest.raises(StoppedError):
        work.run()
    work.stop = 1  # not reached if it went on from 2
    with pytest.raises(StoppedError):
        work.run(second={"n": 1})
    assert (work.folder / "count.txt").read_text() == "1"


def test_halves_of_killed_writers_are_removed(work):
    with atomic_path(work.folder / "b.txt") as temporary:
        name = temporary.name.replace(f"-{os.getpid()}-", "-999999999-")  # of no process
    (work.folder / "b.txt").unlink()
    half, others = work.folder / name, [work.folder / f".{c}-abcd1234.txt" for c in "bc"]
    for path in (half, *others):
        path.write_text("")
    work.run()
    assert not half.exists()
    assert all(path.exists() for path in others), "they are not ours"


def test_time_of_all_parts_counts(work, monkeypatch):
    monkeypatch.setattr("truez.experiments.stages.NOTE_INTERVAL", 0.0)
    clock = iter(range(1000))
    monkeypatch.setattr("truez.experiments.stages.time.monotonic", lambda: float(next(clock)))
    work.run()
    straight = read_records(work.folder)[1].seconds
    (work.folder / "b.txt").unlink()
    (work.folder / "count.txt").unlink()
    work.stop = 3
    with pytest.raises(StoppedError):
        work.run()
    noted = json.loads((work.folder / ".broken-off.json").read_text())["second"]["seconds"]
    assert noted > 0
    work.stop = None
    work.run()
    assert read_records(work.folder)[1].seconds > noted
    assert read_records(work.folder)[1].seconds <= straight + 2


def test_a_damaged_account_is_one_sentence(work):
    (work.folder / "stages.json").write_text("{")
    with pytest.raises(
        ValueError, match="is damaged in line 1, column 2: remove it, and all stages run again"
    ):
        work.run()


# --- the paper ------------------------------------------------------------------------------------

CHANGES = [
    "universe.boxsize=96", "universe.num_particles=24", "universe.num_steps=3",
    "universe.density=6e-3", "boxes.cellsize=4", "boxes.cells=12", "boxes.spec_density=2e-3",
    "boxes.sigma_z=0.004", "boxes.tile=8", "boxes.corrections=[]", "network.multipliers=[1, 2]",
    "network.kernels=[3, 3]", "network.repeats=[0, 1]", "network.dropout=0.3", "training.steps=6",
    "training.crop=[12, 12, 12]", "training.validate_every=2", "training.checkpoint_every=3",
]  # fmt: skip
# In the middle of the N-body simulation, of the training, and of the network's tiles.
BREAKS = (("N-body", 2), ("train", 5), ("network", 10))


def stages_of(folder, *changes):
    recipe = PaperRecipe(**read_recipe("paper-small", [*CHANGES, *changes]))
    return until(paper_stages(Job(recipe, folder)), "unet")


def paper(folder, stop=None, how=None):
    """Run as far as the network's fields; stop dead when ``stop`` comes."""

    def fail():
        raise StoppedError

    def progress(task, done, total, note=""):
        if (task, done) == stop:
            (how or fail)()

    return run_stages(folder, stages_of(folder), progress=progress)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    paper(folder)
    return folder


def tensors(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def assert_same(a, b):
    for name in ("best", "last"):
        file = f"training/{name}.safetensors"
        assert (a / file).read_bytes() == (b / file).read_bytes(), file
    assert (a / "training/losses.csv").read_bytes() == (b / "training/losses.csv").read_bytes()
    one, two = (tensors(folder / "training/checkpoint.safetensors") for folder in (a, b))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    for name in ("surveys/photo", "fields/wiener", "fields/unet", "fields/unet-per-box"):
        fields = [Field.read(folder / f"{name}.h5") for folder in (a, b)]
        assert torch.equal(fields[0].values, fields[1].values), name


@pytest.mark.medium
def test_resumed_equals_straight(tmp_path, straight):
    for stop in BREAKS:
        with pytest.raises(StoppedError):
            paper(tmp_path, stop)
    paper(tmp_path)
    assert_same(tmp_path, straight)
    assert not list(tmp_path.glob("*.checkpoint"))


def test_nothing_is_done_that_stands(straight):
    stages = stages_of(straight)
    assert up_to_date(straight, stages) == {stage.name for stage in stages}

    def never(progress):
        raise AssertionError

    run_stages(straight, [replace(stage, run=never) for stage in stages])


@pytest.mark.parametrize(
    ("change", "stands"),
    [
        # The seed of the test universe leaves the training alone; that of the training does not.
        ("boxes.seeds=[2000, 1000, 1]", {"universe-train", "training"}),
        ("boxes.seeds=[2001, 1000, 0]", {"universe-test", "wiener"}),
        ("training.learning_rate=1e-3", {"mock-train", "wiener"}),
        ("training.checkpoint_every=2", {"training", "unet", "unet-per-box"}),
        ("boxes.sigma_z=0.005", {"universe-train", "universe-test"}),
        ("universe.num_steps=2", set()),
    ],
)
def test_only_what_changes_is_done_again(straight, change, stands):
    stages = stages_of(straight, change)
    found = up_to_date(straight, stages)
    assert stands <= found
    names = {stage.name for stage in stages}
    assert (found == names) == ("checkpoint_every" in change)
    changed = names - found
    assert ("unet" in changed) != ("checkpoint_every" in change)


@pytest.mark.slow
@pytest.mark.parametrize("stop", BREAKS)
def test_killed_equals_straight(tmp_path, straight, stop):
    program = (
        "import importlib.util, os, pathlib, signal\n"
        f"spec = importlib.util.spec_from_file_location('contract', {__file__!r})\n"
        "contract = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(contract)\n"
        "contract.paper(\n"
        f"    pathlib.Path({str(tmp_path)!r}), {stop!r},\n"
        "    how=lambda: os.kill(os.getpid(), signal.SIGKILL),\n"
        ")\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    paper(tmp_path)
    assert_same(tmp_path, straight)
