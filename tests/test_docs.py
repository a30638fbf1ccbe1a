"""What the documentation tells a reader to type works, in the order of the page."""

import re
import shlex
from pathlib import Path

import pytest

from truez.cli.app import main

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[list[str]]:
    return [shlex.split(line) for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def test_the_tutorial(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall((DOCS / "tutorial.md").read_text(encoding="utf-8"))
    assert {language for language, _ in blocks} == {"bash", "python"}
    for language, text in blocks:
        if language == "python":
            exec(compile(text, "tutorial.md", "exec"), {})
            continue
        for command in commands(text):
            assert command[0] == "truez"
            with pytest.raises(SystemExit) as ended:
                main(command[1:])
            assert not ended.value.code, f"{command}: {capsys.readouterr().err}"
    assert (tmp_path / "mock" / "unet-report" / "index.html").is_file()
