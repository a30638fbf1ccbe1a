"""Nothing but the sentence on stderr, and no failure of a terminal that cannot show a letter."""

import os
import subprocess
import sys

import pytest

#: A command that prints what not every terminal can, and whose libraries write to stderr.
PROGRAM = """
import sys, types
from truez.cli import app

class Broken:
    def __del__(self):
        raise OSError("in a destructor")

def work(fail: bool = False) -> None:
    import logging, warnings
    import numpy as np
    import typer
    from truez.cli.tables import show
    from truez.evaluate.tables import Table
    warnings.warn("of a library", RuntimeWarning, stacklevel=1)
    np.float64(1) / np.float64(0)
    logging.getLogger("library").error("of a library")
    Broken()
    print("Mpc/h \\u00b1 \\u2013 \\u03c3 \\ud800")
    typer.echo("\\u03c3 \\ud800")
    show([Table("r(k) \\u00b1 1\\u03c3", ("a", "\\u03c3"), (("b", "\\u00b1"),), frozenset())])
    if fail:
        raise ValueError("a column \\u03c3 \\ud800 is not there: give another")

module = types.ModuleType("truez.cli.work")
module.work = work
sys.modules["truez.cli.work"] = module
app.COMMANDS = ("work",)
app.main()
"""
TERMINALS = [
    {},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1:strict"},
    {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"TERM": "dumb", "COLUMNS": "20"},
]


def run(*arguments, options=(), **environment):
    clean = {k: v for k, v in os.environ.items() if k not in {"PYTHONIOENCODING", "PYTHONWARNINGS"}}
    return subprocess.run(
        [sys.executable, *options, "-c", PROGRAM, *arguments],
        capture_output=True, check=False, env={**clean, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("terminal", TERMINALS, ids=lambda terminal: "-".join(terminal) or "plain")
def test_what_a_terminal_cannot_show_is_no_failure(terminal):
    done = run("work", **terminal)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"Mpc/h ")


@pytest.mark.parametrize("terminal", TERMINALS, ids=lambda terminal: "-".join(terminal) or "plain")
def test_the_sentence_is_alone_on_stderr(terminal):
    done = run("work", "--fail", **terminal)
    assert done.returncode == 2
    assert done.stderr.startswith(b"truez: a column ")
    assert done.stderr.endswith(b" is not there: give another\n")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(("options", "first"), [((), ["--debug"]), (("-Wdefault",), [])])
def test_warnings_are_shown_where_they_are_asked_for(options, first):
    assert b"RuntimeWarning: of a library" in run(*first, "work", options=options).stderr
