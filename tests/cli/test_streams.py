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


@pytest.mark.medium
@pytest.mark.parametrize(
    "terminal",
    [*TERMINALS[:2], *(pytest.param(one, marks=pytest.mark.slow) for one in TERMINALS[2:])],
    ids=lambda terminal: "-".join(terminal) or "plain",
)
def test_what_a_terminal_cannot_show_is_no_failure(terminal):
    done = run("work", **terminal)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"Mpc/h ")


@pytest.mark.medium
@pytest.mark.parametrize("terminal", TERMINALS, ids=lambda terminal: "-".join(terminal) or "plain")
def test_the_sentence_is_alone_on_stderr(terminal):
    done = run("work", "--fail", **terminal)
    assert done.returncode == 2
    assert done.stderr.startswith(b"truez: a column ")
    assert done.stderr.endswith(b" is not there: give another\n")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.medium
@pytest.mark.parametrize(("options", "first"), [((), ["--debug"]), (("-Wdefault",), [])])
def test_warnings_are_shown_where_they_are_asked_for(options, first):
    assert b"RuntimeWarning: of a library" in run(*first, "work", options=options).stderr


@pytest.mark.medium
@pytest.mark.skipif(os.name != "posix", reason="needs pipes that break")
@pytest.mark.parametrize("closed", ["reader", "stdout", "stderr"])
def test_a_stream_that_nobody_reads_is_no_failure(closed):
    code = "import os, time; time.sleep(1)\n" if closed == "reader" else ""
    command = [sys.executable, "-c", code + PROGRAM, "work"]
    shell = {"stdout": ">&-", "stderr": "2>&-"}
    if closed != "reader":
        command = ["sh", "-c", f'exec "$@" {shell[closed]}', "sh", *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        if closed == "reader":
            process.stdout.close()
            process.stdout = None
        _, err = process.communicate()
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize("text", ["abc", "0", "-2", "1.5"])
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "NUMBA_NUM_THREADS"])
def test_a_number_of_threads_that_is_none_is_refused(name, text, monkeypatch, capsys):
    from truez.cli.app import main

    monkeypatch.setenv(name, text)
    with pytest.raises(SystemExit) as ended:
        main(["info", __file__])
    assert ended.value.code == 2
    words = f"{name} must be a whole number of threads, not {text!r}: correct or unset it"
    assert capsys.readouterr().err == f"truez: {words}\n"
