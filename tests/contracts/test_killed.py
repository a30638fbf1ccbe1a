"""A command that is killed anywhere, or whose disk is full anywhere, loses nothing.

Each case is run by a child of one process that has imported everything. An audit hook of the
interpreter counts the changes of files in the child's folder (opened to write, moved, removed,
made), and stops it before the one of a given number.
"""

import errno
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import h5py
import numpy as np
import pytest
from tests.evaluate.sharpened_catalog import sharpened_catalog
from tests.sky.sky_fields import sky_field

from truez.catalogs.catalog import Catalog

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
from truez.cli.errors import one_sentence
from truez.support.provenance import versions

versions()  # the same for all
savefig = matplotlib.figure.Figure.savefig
def empty(self, path, **settings):  # to draw a figure takes seconds
    savefig(matplotlib.figure.Figure(self.get_size_inches()), path, **{**settings, "dpi": 20})
matplotlib.figure.Figure.savefig = empty
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
        if order["do"] and count == order["at"]:
            exec(order["do"])
        if order["errno"] and count >= order["at"] and event in GROWTH:
            raise OSError(order["errno"], os.strerror(order["errno"]), arguments[0])

    sys.argv = ["truez", *order["arguments"]]
    sys.addaudithook(hook)
    code = 0
    try:
        if order["arguments"][0] == "python":
            with one_sentence():
                exec(order["arguments"][1], {})
        else:
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

    def run(self, folder, arguments, *, at=0, kill=0, errno=0, do="", after=None, largest=0):
        """Run a command; it gets the signal ``kill`` before change ``at`` or ``after`` seconds.

        With ``errno`` changes from ``at`` on that take room fail, the statements ``do`` are run
        before change ``at``, and no file can be larger than ``largest`` [bytes].
        """
        self.start(
            folder, arguments, at=at, kill=kill, errno=errno, do=do, after=after, largest=largest
        )
        return self.end()

    def start(self, folder, arguments, *, kill=0, **how):
        paths = {name: str(self.scratch / name) for name in ("out", "err", "count")}
        known = {"at": 0, "errno": 0, "do": "", "after": None, "largest": 0}
        order = {
            **known, **how, **paths, "folder": str(folder), "signal": int(kill),
            "arguments": [str(given) for given in arguments],
        }  # fmt: skip
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def end(self):
        code, seconds = json.loads(self.process.stdout.readline())
        found = {name: (self.scratch / name).read_text() for name in ("out", "err", "count")}
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
#: Two stages, of which the second goes on where it was interrupted.
STAGES = """
from pathlib import Path
from truez.cli.stages import kept
from truez.experiments.stages import Stage, run_stages
from truez.support.files import write_text

folder = Path("out")
def first(progress):
    write_text(folder / "a.txt", "a")

def second(progress):
    count = folder / "part/count.txt"
    reached = len(count.read_text()) if count.is_file() else 0
    while reached < 2:
        reached += 1
        write_text(count, "x" * reached)
        progress("count", reached, 2)
    write_text(folder / "part/b.txt", (folder / "a.txt").read_text() + "b")

run_stages(folder, [
    Stage("first", first, ("a.txt",)),
    Stage("second", second, ("part/b.txt",), needs=("first",), scratch=("part",)),
], maker="truez x", kept=kept)
"""
SKY_CATALOGS = (
    "--spec", "sky-spec.parquet", "--photo", "sky-photo.parquet", "--sky", "ra,dec,z",
    "--footprint", "350,10,-6,6", "--sigma-z", 0.01, "--match-id", "id", "--cellsize", 16,
    "--method", "redistribution",
)  # fmt: skip
RUN = ("--sigma-z", 0.01, "--match-id", "id", "--method", "redistribution")
COMMANDS = {
    "stages": ("python", STAGES),
    "simulate": ("simulate", "--boxsize", 64, "--num-particles", 16, "--num-steps", 3,
                 "--density", 1e-3, "--seed", 1, "--out", "out.parquet"),
    "mock": ("mock", "sim.parquet", "--boxsize", 64, "--cellsize", 4, "--redshift", 0.59,
             "--cosmology", "wmap", "--rank-by", "mass", "--spec-density", 1e-3,
             "--sigma-z", 0.005, "--out", "out"),
    "train": ("train", "small", "--mock", "mock", "--out", "out", *NETWORK,
              "--set", "training.crop=[8,8,8]", "--set", "training.validate_every=1",
              "--set", "training.checkpoint_every=2"),
    "reconstruct": ("reconstruct", "mock", "--method", "wiener", "--out", "out.h5"),
    "reconstruct-sky": ("reconstruct", *SKY_CATALOGS, "--samples", 3, "--out", "out.h5"),
    "redshifts": ("redshifts", "mock", "--method", "redistribution", "--out", "out.fits",
                  "--pdf-out", "out.hdf5"),
    "redshifts-sky": ("redshifts", *SKY_CATALOGS, "--out", "out.fits",
                      "--pdf-out", "out.hdf5", "--pdf-layout", "hist"),
    "redshifts-clustering": ("redshifts", *SKY_CATALOGS, "--out", "out.fits",
                             "--draws", 2, "--clustering", "out"),
    "partition": ("partition", *SKY_CATALOGS[:8], "--sigma-z", 0.01, "--redshift-range",
                  "0.1,0.2", "--cellsize", 16, "--halo", 20, "--out", "out"),
    "run": ("run", "divided", *RUN, "--out", "out"),
    "run-patch": ("run-patch", "planned-out", "0-1"),
    "join": ("join", "made", "--field", "out.h5", "--redshifts", "out.parquet"),
    "map": ("map", "sky.h5", "--zbins", "0.12,0.2", "--nside", 32, "--out", "out.fits"),
    "evaluate": ("evaluate", "mock", "field.h5", "--out", "out"),
    "photoz": ("photoz", "z.fits", "--truth", "Z_SPEC", "--photo-z", "Z_PHOT", "--out", "out"),
    "paper": ("paper", "--recipe", "paper-small", "--out", "out", *NETWORK, *UNIVERSE,
              "--set", "boxes.cellsize=4", "--set", "boxes.cells=8", "--set", "boxes.tile=16",
              "--set", "boxes.corrections=[\"per-box\"]",
              "--set", "training.crop=[8,8,8]", "--set", "training.validate_every=2",
              "--set", "training.checkpoint_every=1", "--until", "unet"),
    "benchmark": ("benchmark", "--boxsize", 64, "--num-particles", 24, "--setting", "fiducial",
                  "--seeds", 1, "--draws", 0, "--no-controls", "--cellsize", 4, "--out", "out"),
    "demo": ("demo", *UNIVERSE, "--set", "surveys.cellsize=4", "--set", "surveys.sigma_z=0.005",
             "--set", 'reconstruct.methods=["wiener"]', "--out", "out"),
    "demo-sky": ("demo", "--sky", "--set", "universe.boxsize=64",
                 "--set", "universe.num_particles=24", "--set", "universe.num_steps=2",
                 "--set", 'surveys.footprint="175,181,-3,3"',
                 "--set", "surveys.redshift_range=[0.1,0.18]", "--set", "surveys.sigma_z_growth=0",
                 "--set", "surveys.magnitude_limit=21", "--set", "reconstruct.cellsize=8",
                 "--set", "evaluate.redshift_range=[0.11,0.17]", "--out", "out"),
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
    data = path.read_bytes()
    if path.name == "checkpoint.safetensors" and len(data) > 100:
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
    if path.parent.name == "patches" and data.startswith(b"{"):
        record = json.loads(data)
        return json.dumps({**record, "seconds": 0, "memory": 0})
    return hashlib.sha256(data).hexdigest()


#: What says what to do with what a killed run left.
SENTENCES = {
    "resume it, or choose": "resumed",
    "is there already: give another --out, or --overwrite": "whole",
    "is there already: give another --clustering, or --overwrite": "overwritten",
    "is there already: give another --field, or --overwrite": "overwritten",
    "is there already: give another --redshifts, or --overwrite": "overwritten",
    "as where a run was killed between the two": "overwritten",
}
#: The files of the user, beside the output and in its folder.
MINE = ("photo.parquet", ".out-notes.h5")
INSIDE = ("out/notes.txt", "out/.new-notes/a.txt")


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    found = Runner(tmp_path_factory.mktemp("scratch"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    found = Runner(tmp_path_factory.mktemp("scratch"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def few_inputs(runner, tmp_path_factory):
    """A folder with a simulation alone, which is all that the quick cases read."""
    folder = tmp_path_factory.mktemp("few")
    arguments = (*COMMANDS["simulate"][:-1], "sim.parquet", "--density", 1e-2)
    assert runner.run(folder, arguments).code == 0
    return folder


@pytest.fixture(scope="module")
def inputs(runner, few_inputs, tmp_path_factory):
    """A folder with a simulation, a mock of it, an estimate, and surveys on the sky."""
    folder = tmp_path_factory.mktemp("inputs")
    shutil.copy(few_inputs / "sim.parquet", folder)
    for arguments in (
        (*COMMANDS["mock"][:-1], "mock", "--cellsize", 2),
        ("reconstruct", "mock", "--method", "wiener", "--out", "field.h5"),
    ):
        assert runner.run(folder, arguments).code == 0
    sky_field("350,10,-6,6", np.zeros, cellsize=16).write(folder / "sky.h5")
    Catalog(sharpened_catalog(200)).write(folder / "z.fits")
    rng = np.random.default_rng(1)
    z = rng.uniform(0.1, 0.2, 3000)
    photo = {
        "id": np.arange(z.size),
        "ra": rng.uniform(-10, 10, z.size) % 360,
        "dec": rng.uniform(-6, 6, z.size),
        "z": z + 0.01 * (1 + z) * rng.normal(size=z.size),
    }
    Catalog(photo).write(folder / "sky-photo.parquet")
    spec = {name: values[:500] for name, values in (photo | {"z": z}).items()}
    Catalog(spec).write(folder / "sky-spec.parquet")
    for arguments in (
        (*COMMANDS["partition"][:-1], "divided", "--max-cells", 4000),
        ("run", "divided", *RUN, "--plan", "planned-out"),
        ("run", "divided", *RUN, "--out", "made"),
    ):
        done = runner.run(folder, arguments)
        assert done.code == 0, done.err
    return folder


class Case:
    """A command in a folder of its own, and what a run leaves there that nothing stops."""

    def __init__(self, runner, inputs, folder, name):
        self.runner, self.inputs, self.folder, self.name = runner, inputs, folder, name
        self.arguments = COMMANDS[name]
        self.whole = {}
        for inside in (True, False):
            self.begin(inside=inside)
            done = self.run()
            assert done.code == 0, done.err
            self.whole[inside] = contents(folder)
        self.num_changes, self.seconds = done.count, done.seconds
        self.outputs = sorted(self.whole[False].keys() - self.begin(inside=False).keys())

    def begin(self, *, inside):
        """Make the folder anew, with files of the user also where the output goes."""
        self.inside = inside
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.inputs, self.folder)
        for name in (*MINE, *(INSIDE if inside else ())):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text("mine")
        self.mine = contents(self.folder)
        return self.mine

    def run(self, *more, **how):
        return self.runner.run(self.folder, [*self.arguments, *more], **how)

    def changed(self):
        """What is wrong with the files of the user."""
        return [
            f"{name} changed"
            for name, was in self.mine.items()
            if not (self.folder / name).is_file() or content(self.folder / name) != was
        ]

    def left(self):
        """Temporary files and locks."""
        known = {".truez.json", ".broken-off.json"}
        hidden = [str(p.relative_to(self.folder)) for p in self.folder.rglob(".*") if p.is_file()]
        return [f"{n} left" for n in hidden if n not in self.mine and n.split("/")[-1] not in known]

    def go_on(self, *more):
        """Run the command again as it says; how it went on, and what is wrong after it."""
        whole, how = self.whole[self.inside], "identical"
        done = self.run(*more)
        if done.code == 2:
            known = [how for words, how in SENTENCES.items() if words in done.err]
            if len(known) != 1 or done.err.count("\n") != 1:
                return "sentence", [f"unknown sentence {done.err}"]
            how = known[0]
            if how == "resumed":
                done = self.run(*more, "--resume")
            elif how == "overwritten":
                done = self.run("--overwrite")
        if done.code != (2 if how == "whole" else 0):
            return how, [f"exit {done.code} with {done.err}"]
        now = contents(self.folder)
        wrong = self.changed()
        wrong += [f"{name} lost" for name in whole if name not in now]
        wrong += [f"{name} differs" for name in whole if name in now and now[name] != whole[name]]
        return how, wrong + [f"{n} left" for n in now if n not in whole and n not in self.mine]


def killed(case, number, *, inside, signal_name, **when):
    """Kill a command and run it again; returns how it went on, and what is wrong."""
    case.begin(inside=inside)
    done = case.run(kill=getattr(signal, signal_name), **when)
    wrong = case.changed()
    if done.code == 0:
        how = "ended before"  # and what it left is whole
    elif signal_name == "SIGKILL":
        wrong += [] if done.code == -signal.SIGKILL else [f"exit {done.code}: {done.err}"]
    else:
        words = "truez: terminated; no output file was left half written\n"
        wrong += [] if (done.code, done.err[-len(words) :]) == (143, words) else [done.err]
        wrong += case.left()
    how, more = case.go_on()
    return how, [f"{signal_name} at {number}: {text}" for text in wrong + more]


#: What a run says that has made some patches.
_PATCHES = r"truez: \d+ of \d+ patches are not made .*"


def filled(case, *more, **how):
    """Run a command on a full disk, and again when there is room; returns what is wrong."""
    before = contents(case.folder)
    done = case.run(*more, **how)
    if done.code == 0:
        now = contents(case.folder)
        return [
            f"{name} differs"
            for name, was in case.whole[case.inside].items()
            if now.get(name) != was
        ]
    *others, last = done.err.splitlines() or [""]
    wrong = [] if done.code == 2 else [f"exit {done.code}"]
    known = r"[a-z0-9-]+: (done|unchanged)|truez: patch \d+: \S*out\S*: file too large$"
    wrong += [line for line in others if not re.match(known, line)]
    reason = r"\S*out\S*: (the disk is full: free some .*|file too large)"
    if not re.fullmatch(
        rf"truez: (patch \d+ failed in the first pass: )?{reason}|{_PATCHES}", last
    ):
        wrong.append(f"words {last}")
    now = contents(case.folder)
    wrong += [f"{name} lost" for name, was in before.items() if now.get(name) != was]
    return wrong + case.left() + case.go_on(*more)[1]


@pytest.fixture(scope="module")
def cases(runner, request, tmp_path_factory):
    """A function that returns the case of a command."""
    known = {}

    def case(name):
        if name not in known:
            inputs = request.getfixturevalue("few_inputs" if name in QUICK else "inputs")
            known[name] = Case(runner, inputs, tmp_path_factory.mktemp(name) / "here", name)
        return known[name]

    return case


def sampled(numbers, most):
    """Some of the numbers, evenly."""
    step = max(1, round(len(numbers) / most))
    return list(numbers)[step // 2 :: step]


# In each of the following the quick cases are those of a fraction of a second, at all changes of
# files, and the slow ones all commands, at some of them.
QUICK = {"mock", "stages"}
SLOW = [
    pytest.param(name, most, marks=pytest.mark.slow)
    for name, most in (
        ("simulate", 20), ("train", 20), ("reconstruct", 20), ("redshifts", 20),
        ("reconstruct-sky", 8), ("redshifts-sky", 8), ("redshifts-clustering", 8),
        ("partition", 20), ("run", 20), ("run-patch", 10), ("join", 10), ("map", 20),
        ("evaluate", 10), ("paper", 20), ("benchmark", 10), ("demo", 10), ("demo-sky", 6),
    )
]  # fmt: skip


@pytest.mark.medium
@pytest.mark.parametrize(("name", "most"), [("mock", 12), ("stages", 24), *SLOW])
def test_a_command_that_is_killed_goes_on_or_says_how(cases, name, most):
    case, wrong = cases(name), []
    for number in sampled(range(1, case.num_changes + 1), most):
        wrong += killed(case, number, inside=number % 2, signal_name="SIGKILL", at=number)[1]
    assert wrong == []


@pytest.mark.medium
@pytest.mark.parametrize(("name", "most"), [("mock", 8), *SLOW])
def test_a_command_that_is_terminated_leaves_no_temporary_files(cases, name, most):
    case, wrong = cases(name), []
    for number in sampled(range(1, case.num_changes + 1), most):
        wrong += killed(case, number, inside=number % 2, signal_name="SIGTERM", at=number)[1]
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGTERM"])
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "stages"])
def test_so_does_one_that_is_killed_at_a_random_time(cases, name, signal_name):
    case, wrong = cases(name), []
    times = random.Random(f"{name} {signal_name}")
    for number in range(10):
        after = times.uniform(0, case.seconds)
        wrong += killed(case, after, inside=number % 2, signal_name=signal_name, after=after)[1]
    assert wrong == []


#: Commands that replace an earlier result with --overwrite.
REPLACE = {"simulate", "mock", "reconstruct", "reconstruct-sky", "redshifts", "redshifts-sky",
           "redshifts-clustering", "partition", "run", "join", "evaluate", "demo",
           "demo-sky"}  # fmt: skip


@pytest.mark.parametrize(("name", "most"), [("mock", 10), ("stages", 10), *SLOW])
def test_a_full_disk_leaves_what_was_there_and_says_so(cases, name, most):
    case, wrong = cases(name), []
    for number in sampled(range(1, case.num_changes + 1), most):
        case.begin(inside=False)
        more = ["--overwrite"] if name in REPLACE and number % 2 else []
        if more:
            assert case.run().code == 0
        wrong += filled(case, *more, at=number, errno=errno.ENOSPC)
    assert wrong == []


@pytest.mark.parametrize(("name", "most"), [("mock", 4), *SLOW])
def test_so_does_a_limit_for_files(cases, name, most):
    case, wrong = cases(name), []
    case.begin(inside=False)
    assert case.run().code == 0
    largest = max((case.folder / output).stat().st_size for output in case.outputs)
    for share in (0.01, 0.3, 0.9):
        case.begin(inside=False)
        more = ["--overwrite"] if name in REPLACE else []
        if more:
            assert case.run().code == 0
        wrong += filled(case, *more, largest=round(share * largest))
    assert wrong == []


#: Those whose outputs are not in the folder of an earlier command, all of which is truez's own.
OWN = [one for one in SLOW if one.values[0] != "run-patch"]


@pytest.mark.parametrize(("name", "most"), [("mock", 4), ("stages", 2), *OWN])
def test_a_file_that_comes_to_an_output_meanwhile_is_not_replaced(cases, name, most):
    case = cases(name)
    for output in sampled(case.outputs, most):
        case.begin(inside=False)
        came = f"""if True:
            os.makedirs(os.path.dirname({output!r}) or ".", exist_ok=True)
            with open({output!r}, "w") as file:
                file.write("of another")
        """
        # After the first look for it, and the lock of each output.
        several = {"--pdf-out", "--redshifts"} & set(case.arguments)
        done = case.run(at=3 if several else 2, do=came)
        files = [path for path in case.folder.rglob("*") if path.is_file()]
        moved = [path for path in files if path.read_bytes() == b"of another"]
        assert len(moved) == 1, (output, done)
        if done.code == 0:  # a stage has moved it aside, and says so
            assert "what was there is now out" in done.err
        else:
            assert moved == [case.folder / output]
            left = "and is left as it is" in done.err or output.endswith("stages.json")
            if name == "redshifts-clustering":  # it looks at its outputs when both are locked
                left |= bool(re.search("was not written by|is there already", done.err))
            if name == "run":  # what all patches share is read if it is there
                left |= "is damaged" in done.err
            assert (done.code, left) == (2, True), (output, done)
        assert case.changed() + case.left() == []


@pytest.mark.parametrize(("name", "most"), [("mock", 12), ("stages", 12), *SLOW])
def test_an_output_folder_that_is_removed_meanwhile_is_an_error(cases, name, most):
    case = cases(name)
    for number in sampled(range(2, case.num_changes - 1), most):
        case.begin(inside=False)
        done = case.run(at=number, do="__import__('shutil').rmtree('out', ignore_errors=True)")
        now = contents(case.folder)
        missing = [name for name in case.whole[False] if name not in now]
        assert done.code == (2 if missing else done.code), (number, missing, done)
        assert case.changed() == []


@pytest.mark.parametrize(
    "name", ["mock", *(pytest.param(one.values[0], marks=pytest.mark.slow) for one in OWN)]
)
def test_a_file_of_the_user_is_refused_wherever_an_output_would_be(cases, name):
    case = cases(name)
    for output in case.outputs:
        before = case.begin(inside=False)
        (case.folder / output).parent.mkdir(parents=True, exist_ok=True)
        (case.folder / output).write_text("mine")
        done = case.run()
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), (output, done)
        assert (case.folder / output).read_text() == "mine"
        assert {k: v for k, v in contents(case.folder).items() if k != output} == before


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "stages"])
@pytest.mark.parametrize("delay", [0, 0.3])
def test_of_two_runs_at_once_one_is_refused_or_finds_the_result(cases, runner, other, name, delay):
    case = cases(name)
    case.begin(inside=True)
    runner.start(case.folder, case.arguments)
    time.sleep(delay * case.seconds)
    other.start(case.folder, case.arguments)
    ended = sorted([runner.end(), other.end()], key=lambda done: done.code)
    assert ended[0].code == 0, ended
    if ended[1].code != 0:
        assert ended[1].code == 2
        assert re.fullmatch(
            r"truez: out\S* is being written by another truez \(process \d+, since 20.*\): .*\n|"
            r"truez: out\S* (is there already|already holds a run): .*\n",
            ended[1].err,
        ), ended
    assert contents(case.folder) == case.whole[True]
