"""The code cells of the notebooks run, in their order."""

from __future__ import annotations

import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from tests.docs.blocks import DOCS, commands

from truez.cli.app import main

NOTEBOOKS = sorted(path.name for path in (DOCS / "notebooks").glob("[0-9]*.md"))
CELL = re.compile(
    r"^```\{code-cell\} python\n(?::tags:[^\n]*\n\n)?(.*?)^```$", re.MULTILINE | re.DOTALL
)
#: The first line of a cell of commands, and the name that holds what they print.
BASH = re.compile(r"%%bash(?: --out (\w+))?\n")


def test_the_index_lists_every_notebook():
    index = (DOCS / "notebooks" / "index.md").read_text("utf-8")
    assert len(NOTEBOOKS) >= 5
    assert all(f"({name})" in index for name in NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_cells_are_python(name):
    for cell in CELL.findall((DOCS / "notebooks" / name).read_text("utf-8")):
        if not BASH.match(cell):
            compile(cell, name, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name, tmp_path, monkeypatch, capsys):
    if "qp" in name:
        pytest.importorskip("qp")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    mpl.use("Agg")
    names: dict[str, object] = {}
    for cell in CELL.findall((DOCS / "notebooks" / name).read_text("utf-8")):
        shell = BASH.match(cell)
        if shell is None:
            exec(compile(cell, name, "exec", dont_inherit=True), names)
            continue
        for command in commands(cell[shell.end() :]):
            assert command[0] == "truez"
            with pytest.raises(SystemExit) as ended:
                main(command[1:])
            printed = capsys.readouterr()
            assert not ended.value.code, printed.err
            if shell[1]:
                names[shell[1]] = printed.out
