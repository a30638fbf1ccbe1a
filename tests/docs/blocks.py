"""The blocks of the documentation, and how they are run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from truez.cli.app import main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Blocks that need data which only the page's other commands make.
SHOWN = re.compile(r"^```py\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Folders whose pages are made before a build.
GENERATED = ("docs/reference/commands", "docs/reference/api", "docs/results/measured")
#: Their copies of files outside docs.
COPIES = ("docs/develop/contributing.md", "docs/develop/changelog.md", "docs/guides/rail.md")


def pages() -> list[str]:
    """The hand-written pages, as paths from the top of the repository."""
    found = [path.relative_to(ROOT).as_posix() for path in sorted(DOCS.rglob("*.md"))]
    return [
        path for path in ["README.md", "CONTRIBUTING.md", *found]
        if not path.startswith(GENERATED) and path not in COPIES
    ]  # fmt: skip


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of the blocks of a page that are run."""
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def commands(block: str) -> list[list[str]]:
    """The lines of a block as words."""
    return [shlex.split(line) for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def run(
    page: str,
    capsys: pytest.CaptureFixture[str],
    changes: Mapping[str, str],
    **known: object,
) -> None:
    """Run all blocks of a page in their order.

    ``changes`` of its text make sizes smaller, ``known`` are names that its text explains.
    """
    found = blocks(page)
    assert found
    whole = "\n".join(text for _, text in found)
    for there in changes:
        assert there in whole, f"{page} does not have {there!r}"
    names: dict[str, object] = {"__name__": "page", **known}
    for language, text in found:
        for there, here in changes.items():
            text = text.replace(there, here)
        if language != "bash":
            exec(compile(text, page, "exec", dont_inherit=True), names)
            continue
        for command in commands(text):
            assert command[0] == "truez"
            with pytest.raises(SystemExit) as ended:
                main(command[1:])
            assert not ended.value.code, f"{command}: {capsys.readouterr().err}"
