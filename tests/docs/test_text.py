"""What the pages say of commands, messages and files is so."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest
import typer.main
from tests.docs.blocks import COPIES, DOCS, GENERATED, ROOT, pages

from truez.cli.app import COMMANDS, app

COMMAND = re.compile(r"(?:^|[\s`(;])truez ([a-z][a-z-]*)([^`\n;|&>]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
LINK = re.compile(r"\]\(([^)\s#]+)(?:#([^)\s]*))?\)")
#: Spans of code in the first column of the tables of messages.
ROW = re.compile(r"^\| (`.*?`) \| ", re.MULTILINE)
#: Other programs, whose options are not those of truez.
OTHERS = re.compile(r"(dask|pip|python|pytest|torchrun|uv|\S+\.py) ")


@cache
def options(command: str) -> set[str]:
    """All options of a sub-command."""
    whole = typer.main.get_command(app)
    found = (*whole.get_command(None, command).params, *whole.params)
    return {name for p in found for name in (*p.opts, *p.secondary_opts)} | {"--help"}


@pytest.mark.parametrize("page", [*pages(), "benchmarks/README.md"])
def test_shown_commands_have_their_options(page):
    text = (ROOT / page).read_text("utf-8").replace("\\\n", " ")
    wrong = []
    for name, rest in COMMAND.findall(text):
        if name in COMMANDS:
            wrong += [f"{name} {o}" for o in OPTION.findall(rest) if o not in options(name)]
    assert not wrong


@pytest.mark.parametrize("page", pages())
def test_options_within_a_text_are_those_of_a_command(page):
    known = set().union(*map(options, COMMANDS))
    spans = re.findall(r"`([^`\n]+)`", (ROOT / page).read_text("utf-8"))
    own = [span for span in spans if not OTHERS.match(span)]
    assert not {option for span in own for option in OPTION.findall(span)} - known


@pytest.mark.parametrize("page", [*pages(), "CHANGELOG.md", "benchmarks/README.md"])
def test_links_lead_to_files(page):
    place = ROOT / page
    for target, _ in LINK.findall(place.read_text("utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        goal = (place.parent / target).resolve()
        path = goal.relative_to(ROOT).as_posix()
        # Others are read in the repository as well, where no page is made.
        made = page == "docs/reference/index.md" and path.startswith(GENERATED)
        assert made or (goal.exists() and not path.startswith(GENERATED) and path not in COPIES), (
            f"{page} links to {target}"
        )


def literal(node: ast.expr) -> str:
    """The text of a string, with a blank in place of each value within it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return literal(node.left) + literal(node.right)
    return "\0"


@cache
def sentences() -> str:
    """All texts of the package, of which messages are made."""
    found: list[str] = []
    for path in (ROOT / "src" / "truez").rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        kinds = ast.Constant | ast.JoinedStr | ast.BinOp
        found += [literal(node) for node in nodes if isinstance(node, kinds)]
    return "\n".join(found)


def messages() -> list[str]:
    text = (DOCS / "guides" / "troubleshooting.md").read_text("utf-8")
    text = text.partition("## It ends well")[0]
    return [piece for row in ROW.findall(text) for piece in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("message", messages())
def test_messages_of_the_page_are_those_of_the_code(message):
    assert message in sentences()


def test_there_is_a_page_for_every_message_of_the_guide():
    assert len(messages()) > 60


def test_the_index_of_each_part_lists_its_pages():
    for part in ("start", "guides", "concepts", "results"):
        index = (DOCS / part / "index.md").read_text("utf-8")
        entries = set(re.findall(r"^([\w-]+)$", index, re.MULTILINE))
        found = {path.stem for path in (DOCS / part).glob("*.md")} - {"index"}
        assert found <= entries, part
