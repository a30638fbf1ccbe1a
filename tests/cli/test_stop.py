"""Signals at any time: one line, exit code 130 or 143, no temporary files."""

import re
import signal
import subprocess
import sys
import time

import pytest

#: A command that has two temporary files when the signal arrives, and where it arrives.
PROGRAM = """
import os, signal, sys, types
from truez.cli import app
from truez.support.files import atomic_path

class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})

def at_once():
    os.kill(os.getpid(), signal.{name})

def in_a_destructor():
    Dropped()

def in_a_callback():
    import weakref
    kept = Dropped()
    weakref.finalize(kept, at_once)
    del kept

def in_a_clause_that_goes_on():
    try:
        at_once()
    except BaseException:
        pass

def work() -> None:
    with atomic_path("a.h5") as one, atomic_path("b.parquet") as two:
        one.write_text("half")
        print("begun")
        {moment}()
        print("went on")

module = types.ModuleType("truez.cli.work")
module.work = work
sys.modules["truez.cli.work"] = module
app.COMMANDS = ("work",)
sys.argv = ["truez", "work"]
app.main()
"""
CODES = {"SIGINT": (130, "interrupted"), "SIGTERM": (143, "terminated"), "SIGHUP": (129, "hung up")}
SIMULATE = ("simulate", "--boxsize", "64", "--num-particles", "24", "--seed", "3")


def line(name):
    return f"truez: {CODES[name][1]}; no output file was left half written"


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("SIGINT", "at_once"),
        ("SIGINT", "in_a_destructor"),
        ("SIGINT", "in_a_callback"),
        ("SIGINT", "in_a_clause_that_goes_on"),
        ("SIGTERM", "at_once"),
        ("SIGTERM", "in_a_destructor"),
        ("SIGHUP", "at_once"),
    ],
)
def test_a_signal_ends_the_command_wherever_it_arrives(tmp_path, name, moment):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(name=name, moment=moment)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (CODES[name][0], line(name) + "\n")
    assert done.stdout == "begun\n"
    assert not list(tmp_path.iterdir())


def test_a_signal_that_the_parent_ignores_stays_ignored(tmp_path):
    # As for `truez ... &` in a script, and under nohup.
    program = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + PROGRAM
    done = subprocess.run(
        [sys.executable, "-c", program.format(name="SIGINT", moment="at_once")],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"a.h5", "b.parquet"}


def stopped(folder, arguments, name, *, after=None, when=None):
    """A command that gets a signal after a time [s], or when a file is there."""
    with subprocess.Popen(
        [sys.executable, "-m", "truez", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        started = time.monotonic()
        while process.poll() is None and time.monotonic() - started < 60:
            if time.monotonic() - started > after if when is None else list(folder.glob(when)):
                break
            time.sleep(0.01)
        process.send_signal(signal.Signals[name])
        _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.mark.medium
@pytest.mark.parametrize(
    ("name", "after"),
    [("SIGINT", 0.4), pytest.param("SIGTERM", 0.6, marks=pytest.mark.slow), ("SIGINT", 1.5)],
)
def test_a_command_is_stopped_while_it_is_imported(tmp_path, name, after):
    code, err = stopped(tmp_path, SIMULATE, name, after=after)
    assert (code, err.splitlines()[-1]) == (CODES[name][0], line(name))
    assert "Traceback" not in err


@pytest.mark.medium
@pytest.mark.parametrize(
    "name",
    [
        "SIGTERM",
        pytest.param("SIGINT", marks=pytest.mark.slow),
        pytest.param("SIGKILL", marks=pytest.mark.slow),
    ],
)
def test_a_simulation_that_is_stopped_leaves_its_last_step_and_continues(tmp_path, name):
    many = (*SIMULATE, "--num-steps", "10", "--density", "1e-2", "--out", "a.parquet")
    code, err = stopped(tmp_path, many, name, when="[!.]*.checkpoint")
    if name == "SIGKILL":
        assert code == -signal.SIGKILL
    else:
        assert (code, err.splitlines()[-1]) == (CODES[name][0], line(name))
        assert [path.name for path in tmp_path.iterdir()] == ["a.parquet.checkpoint"]
    done = subprocess.run(
        [sys.executable, "-m", "truez", *many],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


DEMO = ("demo", "--set", "universe.boxsize=64", "--set", "universe.num_particles=24",
        "--set", "universe.num_steps=2", "--set", "universe.density=1e-2",
        "--set", "surveys.cellsize=4", "--set", "surveys.sigma_z=0.005",
        "--set", 'reconstruct.methods=["wiener"]')  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("when", [".new-*", ".new-*/*.h5", ".new-*/report/.new-*/*.png"])
def test_a_demo_is_stopped_at_any_stage(tmp_path, name, when):
    code, err = stopped(tmp_path, (*DEMO, "--out", "."), name, when=when)
    assert (code, err.splitlines()[-1]) == (CODES[name][0], line(name))
    assert not re.search("Traceback|Error", err)
    assert not list(tmp_path.rglob(".*"))
