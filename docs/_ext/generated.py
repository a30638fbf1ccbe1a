"""The pages that are made of the code: commands, public names, measured tables, contributing.

They are written before Sphinx looks for its pages, into ``docs/reference/commands``,
``docs/reference/api``, ``docs/results/measured`` and ``docs/develop``; a page that is as it was is
left alone. Links of hand-written pages to files outside ``docs`` are turned to these pages.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from generated_api import api_pages
from generated_commands import command_pages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
#: A link or picture: its text, the file, and the heading in it.
LINK = re.compile(r"(!?\[[^\]]*\])\((?!https?:|mailto:|#|/)([^)\s#]+)(#[^)\s]*)?\)")
#: A page that a docstring names.
PAGE = re.compile(r"(?:``)?\bdocs/([\w/-]+)\.md(?:``)?")
#: Pages of the site which are files outside docs.
OUTSIDE = {
    "README.md": "/index.md",
    "CONTRIBUTING.md": "/develop/contributing.md",
    "CHANGELOG.md": "/develop/changelog.md",
    "packages/pz-rail-truez/README.md": "/guides/rail.md",
    "benchmarks/README.md": "/results/measured/README.md",
}
#: Benchmark tables that are pages of the site.
MEASURED = sorted(path.name for path in (ROOT / "benchmarks").glob("*.md"))


def site_link(path: str) -> str | None:
    """A file of the repository as a link from the top of the site; None if it is no page there."""
    if path in OUTSIDE:
        return OUTSIDE[path]
    if path.startswith("benchmarks/") and path.endswith(".md"):
        return "/results/measured/" + path.removeprefix("benchmarks/")
    return "/" + path.removeprefix("docs/") if path.startswith("docs/") else None


def relinked(text: str, folder: str, *, keep: bool = False) -> str:
    """Markdown of ``folder``, with links that work anywhere in the site.

    With ``keep`` those to files in docs stay as they are. A file that is no page is named.
    """

    def turned(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[2]))
        if keep and path.startswith("docs/"):
            return match[0]
        link = site_link(path)
        if link is None:
            words = match[1].lstrip("!")[1:-1]
            return f"`{path}`" if words.strip("`") == path else f"{words} (`{path}`)"
        return f"{match[1]}({link}{match[3] or ''})"

    return LINK.sub(turned, text)


def copies() -> Iterator[tuple[str, str]]:
    """The pages that are files outside docs, as (path under docs, text)."""
    for path, page in OUTSIDE.items():
        if path != "README.md":
            yield page[1:], relinked((ROOT / path).read_text("utf-8"), posixpath.dirname(path))
    for name in MEASURED:
        if name != "README.md":
            text = (ROOT / "benchmarks" / name).read_text("utf-8")
            yield f"results/measured/{name}", relinked(text, "benchmarks")
    entries = "\n".join(name.removesuffix(".md") for name in MEASURED)
    yield (
        "results/measured/index.md",
        "# Tables of the benchmarks\n\nEach is written by the script of its name in `benchmarks/`, "
        "with the date and the machine.\n\n```{toctree}\n" + entries + "\n```\n",
    )


def generate(_app: Sphinx) -> None:
    """Write all generated pages, and remove those whose source is gone."""
    pages = dict(copies()) | dict(command_pages()) | dict(api_pages())
    for folder in ("reference/commands", "reference/api", "results/measured"):
        for path in (DOCS / folder).glob("*"):
            if path.relative_to(DOCS).as_posix() not in pages:
                path.unlink()
    for name, text in pages.items():
        path = DOCS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def to_site(_app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn the links of a hand-written page to files outside docs."""
    folder = posixpath.join("docs", posixpath.dirname(docname))
    source[0] = relinked(source[0], folder, keep=True)


def shown_signature(
    _app: Sphinx, _what: str, _name: str, _obj: object, _options: object,
    signature: str | None, returned: str | None,
) -> tuple[str | None, str | None]:  # fmt: skip
    """A signature in which defaults are written as one would type them."""
    if signature:
        signature = re.sub(r"<function (\w+)>", r"\1", signature).replace("=<factory>", "={}")
    return signature, returned


def linked_docstring(
    _app: Sphinx, _what: str, _name: str, _obj: object, _options: object, lines: list[str]
) -> None:
    """Turn the files that a docstring names to links of their pages."""
    lines[:] = [PAGE.sub(r":doc:`/\1`", line) for line in lines]


def keep_short_code(_app: Sphinx, doctree: nodes.document) -> None:
    """Mark code whose words fit into a line of a narrow screen: they are not broken at hyphens."""
    for code in doctree.findall(nodes.literal):
        if all(len(word) <= 28 for word in code.astext().split()):
            code["classes"].append("short")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the steps."""
    app.connect("builder-inited", generate)
    app.connect("source-read", to_site)
    app.connect("doctree-read", keep_short_code)
    app.connect("autodoc-process-signature", shown_signature)
    app.connect("autodoc-process-docstring", linked_docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
