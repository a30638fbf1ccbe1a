"""A command that is killed anywhere, or whose disk is full anywhere, loses nothing.

Each case is run by a child of one process that has imported everything. An audit hook of the
interpreter counts the changes of files in the child's folder (opened to write, moved, removed,
made), and stops it before the one of a given number.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")

RUNNER = """
import importlib, json, os, pkgutil, resource, signal, sys, time
import truez
for found in pkgutil.walk_packages(truez.__path__, "truez."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
import astropy.io.ascii, astropy.io.fits, torch._dynamo, matplotlib.backends.backend_agg
import matplotlib.backends.backend_pdf, pyarrow.parquet, skimage.metrics
from truez.cli import app
from truez.support.provenance import versions

versions()  # the same for all
savefig = matplotlib.figure.Figure.savefig
matplotlib.figure.Figure.savefig = lambda self, path, **how: savefig(self, path, **{**how, "dpi": 20})
CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.chmod"}
GROWTH = {"open", "os.mkdir", "os.link"}
written = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def child(order, results):
    os.chdir(order["folder"])
    place, count = os.getcwd() + os.sep, 0
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if order["largest"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest"],) * 2)

    def hook(event, arguments):
        nonlocal count
        if event not in CHANGES or not isinstance(arguments[0], (str, bytes)):
            return
        if event == "open" and not arguments[2] & written:
            return
        if not os.path.abspath(os.fsdecode(arguments[0])).startswith(place):
            return
        count += 1
        os.pwrite(results, b"%8d" % count, 0)
        if order["signal"] and count == order["at"]:
            os.kill(os.getpid(), order["signal"])
        if order["errno"] and count >= order["at"] and event in GROWTH:
            raise OSError(order["errno"], os.strerror(order["errno"]), arguments[0])

    sys.argv = ["truez", *order["arguments"]]
    sys.addaudithook(hook)
    code = 0
    try:
        app.main()
    except SystemExit as ended:
        code = ended.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

sys.stdout.write("ready\\n")
sys.stdout.flush()
for line in sys.stdin:
    order = json.loads(line)
    results = os.open(order["count"], os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            child(order, results)
        finally:
            os._exit(70)
    if order["after"] is not None:
        time.sleep(order["after"])
        os.kill(pid, order["signal"])
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(results)
    print(json.dumps([code, time.monotonic() - began]), flush=True)
"""


@dataclass(frozen=True)
class Done:
    """What a command ended with."""

    code: int
    out: str
    err: str
    count: int
    seconds: float


class Runner:
    """A process that runs commands in children of its own."""

    def __init__(self, scratch):
        self.scratch = scratch
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNNER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "COLUMNS": "80"},
        )  # fmt: skip
        assert self.process.stdout.readline() == "ready\n"

    def run(self, folder, arguments, *, at=0, kill=0, errno=0, after=None, largest=0):
        """Run a command; it gets the signal ``kill`` before change ``at`` or ``after`` seconds.

        With ``errno`` changes from ``at`` on that take room fail, and no file can be larger than
        ``largest`` [bytes].
        """
        paths = {name: self.scratch / name for name in ("out", "err", "count")}
        order = {
            "folder": str(folder), "arguments": [str(given) for given in arguments], "at": at,
            "signal": int(kill), "errno": errno, "after": after, "largest": largest,
            **{name: str(path) for name, path in paths.items()},
        }  # fmt: skip
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        code, seconds = json.loads(self.process.stdout.readline())
        found = {name: path.read_text() for name, path in paths.items()}
        return Done(code, found["out"], found["err"], int(found["count"] or 0), seconds)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


UNIVERSE = ("--set", "universe.boxsize=64", "--set", "universe.num_particles=16",
            "--set", "universe.num_steps=2", "--set", "universe.density=1e-2")  # fmt: skip
NETWORK = ("--set", "network.spec_width=2", "--set", "network.photo_width=2",
           "--set", "network.head_width=4", "--set", "network.multipliers=[1,1,1]",
           "--set", "network.kernels=[3,3,3]", "--set", "network.repeats=[0,0,0]",
           "--set", "training.batch=1", "--set", "training.steps=4",
           "--set", "training.context=false")  # fmt: skip
COMMANDS = {
    "simulate": ("simulate", "--boxsize", 64, "--num-particles", 16, "--num-steps", 3,
                 "--density", 1e-3, "--seed", 1, "--out", "out.parquet"),
    "mock": ("mock", "sim.parquet", "--boxsize", 64, "--cellsize", 4, "--redshift", 0.59,
             "--cosmology", "wmap", "--rank-by", "mass", "--spec-density", 1e-3,
             "--sigma-z", 0.005, "--out", "out"),
    "train": ("train", "small", "--mock", "mock", "--out", "out", *NETWORK,
              "--set", "training.crop=[8,8,8]", "--set", "training.validate_every=1",
              "--set", "training.checkpoint_every=2"),
    "reconstruct": ("reconstruct", "mock", "--method", "wiener", "--out", "out.h5"),
    "redshifts": ("redshifts", "mock", "--method", "redistribution", "--out", "out.fits",
                  "--pdf", "out.hdf5"),
    "evaluate": ("evaluate", "mock", "field.h5", "--out", "out"),
    "paper": ("paper", "--recipe", "paper-small", "--out", "out", *NETWORK, *UNIVERSE,
              "--set", "boxes.cellsize=4", "--set", "boxes.cells=8", "--set", "boxes.tile=16",
              "--set", "boxes.corrections=[\"per-box\"]",
              "--set", "training.crop=[8,8,8]", "--set", "training.validate_every=2",
              "--set", "training.checkpoint_every=1"),
    "benchmark": ("benchmark", "--boxsize", 64, "--num-particles", 24, "--setting", "fiducial",
                  "--seeds", 1, "--draws", 0, "--no-controls", "--cellsize", 4, "--out", "out"),
    "demo": ("demo", *UNIVERSE, "--set", "surveys.cellsize=4", "--set", "surveys.sigma_z=0.005",
             "--set", 'reconstruct.methods=["wiener"]', "--out", "out"),
}  # fmt: skip

#: What holds dates, times or the order of threads: compared by what is in it, or by name only.
VOLATILE = {"stages.json", "report.html", "benchmark.html", "config.json"}


def contents(folder):
    """What the files of a folder hold, by their paths."""
    return {
        str(path.relative_to(folder)): content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def content(path):
    """What a file holds, without the times at which it was made."""
    if path.name == "checkpoint.safetensors":
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        state = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["truez-training"])
        state["state"].pop("minutes")
        return json.dumps(state), hashlib.sha256(data[8 + length :]).hexdigest()
    if path.suffix in {".h5", ".hdf5"} and h5py.is_hdf5(path):
        with h5py.File(path) as file:
            found = []
            file.visititems(
                lambda name, item: found.append(
                    (name, item[()].tobytes() if isinstance(item, h5py.Dataset) else "")
                )
            )
            return hashlib.sha256(repr(found).encode()).hexdigest()
    if path.name in VOLATILE:
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()


#: What says what to do with what a killed run left.
SENTENCES = {
    "resume it, or choose": "resume",
    "there is no run to resume": "start",
    "is there already: give another --out, or --overwrite": "whole",
}


def begin(inputs, folder, *, made):
    """A folder with the inputs and files of the user, some of them where the output goes."""
    shutil.copytree(inputs, folder)
    (folder / "photo.parquet").write_text("mine")
    (folder / ".out-notes.h5").write_text("mine")
    if made:
        (folder / "out").mkdir()
        (folder / "out/notes.txt").write_text("mine")
        (folder / "out/.new-notes").mkdir()
        (folder / "out/.new-notes/a.txt").write_text("mine")
    return contents(folder)


def changed(folder, mine):
    """What is wrong with the files of the user."""
    there = {name: folder / name for name in mine}
    return [
        f"{name} changed"
        for name, path in there.items()
        if not path.is_file() or content(path) != mine[name]
    ]


def go_on(runner, folder, arguments, mine, whole):
    """Run a command again as it says; returns how it went on, and what is wrong after it."""
    done = runner.run(folder, arguments)
    how = "identical"
    if done.code == 2:
        known = [how for words, how in SENTENCES.items() if words in done.err]
        if len(known) != 1 or done.err.count("\n") != 1:
            return "sentence", [f"unknown sentence {done.err}"]
        how = known[0]
        if how == "resume":
            done = runner.run(folder, [*arguments, "--resume"])
        if how == "whole" and any(not (folder / name).is_file() for name in whole):
            how = "overwrite"  # a signal between the moves of the two files of redshifts
            done = runner.run(folder, [*arguments, "--overwrite"])
    if done.code != (2 if how == "whole" else 0):
        return how, [f"exit {done.code} with {done.err}"]
    now = contents(folder)
    wrong = changed(folder, mine)
    wrong += [f"{name} lost" for name in whole if name not in now]
    wrong += [f"{name} differs" for name in whole if name in now and now[name] != whole[name]]
    wrong += [f"{name} left" for name in now if name not in whole and name not in mine]
    return how, wrong
