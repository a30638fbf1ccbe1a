"""One page that holds everything: verdict, tables, slices, figures, and how it was made.

A single HTML file that loads nothing: pictures, slices, style and script lie inside, and a content
security policy forbids the rest. It can be mailed, archived and read years later, and read without
the script; with it the slices move.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from truez.evaluate.figures.style import Picture
from truez.evaluate.page.slices import SliceSet, color_bar, png_uri, ticks
from truez.evaluate.page.words import duration
from truez.evaluate.tables import Table
from truez.support.files import write_text
from truez.support.printable import printable

#: The page stays below this [bytes]; what the pictures leave of it is for the slices.
PAGE_BYTES = 14e6
SMALLEST_BUDGET = 3e6


@dataclass(frozen=True)
class Embedded:
    """A PNG file as data URI, with its size [pixels]."""

    picture: Picture
    source: str
    width: int
    height: int

    @classmethod
    def of(cls, picture: Picture) -> Embedded:
        """Read the file, which must be there and be a PNG."""
        if not picture.path.is_file():
            raise FileNotFoundError(
                f"there is no picture {picture.path}: write the figures before the page"
            )
        data = picture.path.read_bytes()
        if not data.startswith(b"\x89PNG\r\n\x1a\n") or len(data) < 24:
            raise ValueError(f"{picture.path} is not a PNG file: make the figures again")
        width, height = struct.unpack(">II", data[16:24])
        return cls(picture, png_uri(data), width, height)


def page_tables(tables: Sequence[Table], note: str) -> list[Table]:
    """The tables with ``note`` below the first."""
    return [replace(table, notes=[note]) if i == 0 else table for i, table in enumerate(tables)]


@dataclass(frozen=True)
class Page:
    """What a page holds; a part that is empty is left out.

    ``words`` say what was done and found, one paragraph each, after the ``verdict``; ``notes`` what
    to keep in mind, and ``missing`` what is not there. ``documents`` are the configuration,
    versions and seeds that made the data, and ``commands`` the command lines that make the page
    again. A stage has ``name``, ``seconds``, ``peak_memory`` [bytes] and ``finished``.
    """

    title: str
    words: Sequence[str]
    documents: Mapping[str, str]
    commands: Sequence[str]
    verdict: str = ""
    notes: Sequence[str] = ()
    missing: Sequence[str] = ()
    tables: Sequence[Table] = ()
    slices: SliceSet | None = None
    figures: Sequence[Embedded] = ()
    stages: Sequence[Mapping[str, Any]] = ()

    def write(self, path: str | Path, *, maker: str) -> Path:
        """Write one file: ``path`` if it ends in ``.html``, else ``index.html`` in that folder.

        ``maker`` is the command that writes it, such as ``truez report``.
        """
        target = Path(path)
        if target.suffix != ".html":
            target = target / "index.html"
        environment = Environment(
            autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
            finalize=_shown,
        )  # fmt: skip
        text = environment.from_string(_resource("page.html.j2")).render(
            page=self,
            generator=generator(maker),
            style=_resource("page.css"),
            script=_resource("page.js"),
            stages=[_stage(stage) for stage in self.stages],
            bar=color_bar(),
            ticks=ticks,
        )
        write_text(target, text)
        return target


def _shown(value: Any) -> Any:
    """A value of the page, which may come from a file: only what is printable, and lines."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return printable(value, keep="\n\t\N{NO-BREAK SPACE}")


def as_document(content: Mapping[str, Any]) -> str:
    """Plain values as text; what JSON does not know is shown as text."""
    return json.dumps(dict(content), indent=2, default=str, ensure_ascii=False)


def room_for_slices(figures: Sequence[Embedded]) -> float:
    """What the pictures leave of a page [bytes]."""
    return max(PAGE_BYTES - sum(len(figure.source) for figure in figures), SMALLEST_BUDGET)


def generator(maker: str) -> str:
    """What the head of a page says of the command that wrote it."""
    return f'<meta name="generator" content="{maker}">'


def _resource(name: str) -> str:
    return files("truez.evaluate.page").joinpath(name).read_text(encoding="utf-8")


def _stage(stage: Mapping[str, Any]) -> tuple[str, str, str, str]:
    seconds, memory, finished = (stage.get(k) for k in ("seconds", "peak_memory", "finished"))
    return (
        str(stage["name"]),
        "—" if seconds is None else duration(float(seconds)),
        "—" if memory is None else f"{float(memory) / 1e9:.2f} GB",
        {True: "yes", False: "no", None: "—"}.get(finished, str(finished)),
    )
