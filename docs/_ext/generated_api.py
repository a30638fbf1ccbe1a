"""The pages of the Python names: those of the package, and those that the documentation imports."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1]
FROM = re.compile(
    r"^\s*from (truez\.[\w.]+) import (?:\(([^)]*)\)|([^\n(]+?))(?:\s+#.*)?$", re.MULTILINE
)
MODULE = re.compile(r"^\s*import (truez\.[\w.]+)", re.MULTILINE)
PUBLIC = (
    "Every public name is `truez.Name`. Lengths are comoving Mpc/h unless a unit is given "
    "([conventions](/concepts/conventions.md))."
)
INSIDE = (
    "What these pages import from the packages of truez beside its public names. It may change "
    "from one release to the next."
)
#: The public names by subject; all others come last.
GROUPS = {
    "The main job": ("Surveys", "SurveyDetails", "reconstruct", "Reconstruction", "sharpen"),
    "On the sky": ("SkySurveys", "SkyDetails", "SkyReconstruction"),
    "Boxes, fields and catalogues": (
        "Box", "Field", "Catalog", "paint", "paint_chunks", "readout",
    ),
    "Cosmology": ("Cosmology", "COSMOLOGIES"),
    "What is measured": (
        "power", "catalog_power", "compare", "scores", "sub_box_scores", "evaluate",
    ),
    "Simulations and mocks": (
        "Universe", "gaussian_modes", "lognormal_galaxies", "make_mock", "Mock", "MockConfig",
        "Selection", "SurveySpec", "PhotozError",
    ),
    "The linear optimum": ("LinearModel",),
}  # fmt: skip


def directive(module: str, name: str) -> list[str]:
    """The autodoc directive of an object."""
    value: Any = getattr(importlib.import_module(module), name)
    if inspect.isclass(value):
        return [
            f".. autoclass:: {module}.{name}",
            "   :members:",
            "   :exclude-members: model_config",
        ]
    if callable(value):
        return [f".. autofunction:: {module}.{name}"]
    lines = [f".. autodata:: {module}.{name}", "   :no-value:"]
    if module == "truez":  # autodoc looks for the comment in the module that it is given
        lines += ["", f"   {about_data(module, name)}"]
    return [*lines, "", *entries_of(value)]


def about_data(module: str, name: str) -> str:
    """What a name that is no class or function is: the comment ``#:`` above it."""
    from sphinx.pycode import ModuleAnalyzer

    home = sys.modules[module]
    home = sys.modules[getattr(home, "_HOMES", {}).get(name, module)]
    comments = ModuleAnalyzer.for_module(home.__name__).find_attr_docs()
    return " ".join(comments["", name]).strip()


def entries_of(value: Any) -> list[str]:
    """The keys of a dictionary in reStructuredText, with their values where these are short."""
    if not isinstance(value, Mapping):
        return []
    return [
        f"   - ``{key!r}``: {first_sentence(found)}"
        if callable(found)
        else f"   - ``{key!r}``: ``{found!r}``"
        for key, found in value.items()
    ]


def summary(module: str, name: str) -> str:
    """What a name is, in one sentence."""
    value = getattr(importlib.import_module(module), name)
    return first_sentence(value) if callable(value) else about_data(module, name)


def first_sentence(value: Any) -> str:
    """The first line of a docstring, escaped for a table in Markdown."""
    text = (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")
    return text.replace("``", "`").replace("|", "\\|")


def page(title: str, module: str, name: str) -> str:
    """The page of one object, in reStructuredText as its docstring."""
    lines = [title, "=" * len(title), "", *directive(module, name), ""]
    return "\n".join(lines)


def imported_in_docs() -> dict[str, set[str]]:
    """Names by module, which the hand-written pages import."""
    found: dict[str, set[str]] = {}
    for path in DOCS.rglob("*.md"):
        if {"commands", "api", "measured"} & set(path.parts):
            continue
        for module, many, one in FROM.findall(path.read_text("utf-8")):
            for item in (many or one).split(","):
                name = item.split(" as ")[0].strip()
                if name:
                    found.setdefault(module, set()).add(name)
    return found


def api_pages() -> Iterator[tuple[str, str]]:
    """All pages, as (path under docs, text)."""
    import truez

    homes = dict(truez._HOMES)
    grouped = {name for names in GROUPS.values() for name in names}
    groups = dict(GROUPS) | {"More": tuple(sorted(set(homes) - grouped))}
    lines = [
        "# Python",
        "",
        PUBLIC,
        "",
    ]
    entries = []
    for group, names in groups.items():
        if not names:
            continue
        lines += [f"## {group}", "", "| name | what it is |", "|---|---|"]
        for name in names:
            lines.append(f"| [`truez.{name}`]({name}.rst) | {summary('truez', name)} |")
            yield f"reference/api/{name}.rst", page(f"truez.{name}", "truez", name)
            entries.append(name)
        lines.append("")
    lines += [
        "Objects of the [rooms](rooms.md), which these pages import as well, may change.",
        "",
        "```{toctree}",
        ":hidden:",
        "",
        *entries,
        "rooms",
        "```",
        "",
    ]
    yield "reference/api/index.md", "\n".join(lines)
    yield from room_pages({(module, name) for name, module in homes.items()})


def room_pages(public: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The pages of what the documentation imports from the packages of truez."""
    lines = [
        "# In the rooms",
        "",
        INSIDE,
        "",
        "| name | what it is |",
        "|---|---|",
    ]
    entries = []
    for module, names in sorted(imported_in_docs().items()):
        for name in sorted(names):
            value = getattr(importlib.import_module(module), name)
            if (module, name) in public or inspect.ismodule(value):
                continue
            full = f"{module}.{name}"
            lines.append(f"| [`{full}`]({full}.rst) | {summary(module, name)} |")
            yield f"reference/api/{full}.rst", page(name, module, name)
            entries.append(f"{name} <{full}>")
    lines += ["", "```{toctree}", ":hidden:", "", *entries, "```", ""]
    yield "reference/api/rooms.md", "\n".join(lines)
