"""One page that holds everything: verdict, tables, slices, figures, and how it was made.

A single HTML file that loads nothing: pictures, slices, style and script lie inside, and a content
security policy forbids the rest. It can be mailed, archived and read years later, and read without
the script; with it the slices move.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from truez.evaluate.figures.style import Picture
from truez.evaluate.page.slices import SliceSet, color_bar, png_uri, ticks
from truez.evaluate.page.words import duration
from truez.evaluate.tables import Table
from truez.support.files import write_text

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
        """Read the file.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If it is not a PNG file.
        """
        if not picture.path.is_file():
            raise FileNotFoundError(
                f"there is no picture {picture.path}: write the figures before the page"
            )
        data = picture.path.read_bytes()
        if not data.startswith(b"\x89PNG\r\n\x1a\n"):
            raise ValueError(f"{picture.path} is not a PNG file: make the figures again")
        width, height = struct.unpack(">II", data[16:24])
        return cls(picture, png_uri(data), width, height)


@dataclass(frozen=True)
class Cell:
    """One number of a table: as text, its error in brackets, and what is written below it."""

    text: str
    error: str = ""
    below: str = ""
    best: bool = False


@dataclass(frozen=True)
class PageTable:
    """A table as the page shows it.

    Parameters
    ----------
    title : str
    columns : sequence of str
        Headings, that of the names of the rows first.
    rows : sequence of (name, its explanation, cells)
    notes : sequence of str
        Sentences below the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[Cell]]]
    notes: Sequence[str] = ()

    @classmethod
    def of(cls, table: Table, *notes: str) -> PageTable:
        """A table of text."""
        rows = [
            (
                name,
                "",
                [Cell(text, best=(i, j) in table.best) for j, text in enumerate(cells, start=1)],
            )
            for i, (name, *cells) in enumerate(table.rows)
        ]
        return cls(table.title, table.columns, rows, notes)


def page_tables(tables: Sequence[Table], note: str) -> list[PageTable]:
    """Tables of text, with ``note`` below the first."""
    return [PageTable.of(table, *([note] if i == 0 else [])) for i, table in enumerate(tables)]


@dataclass(frozen=True)
class Page:
    """What a page holds; a part that is empty is left out.

    Parameters
    ----------
    title : str
        The heading.
    words : sequence of str
        What was done and found; one paragraph each.
    documents : mapping of name to text
        Configuration, versions, seeds: what made the data.
    commands : sequence of str
        The command lines that make the page again.
    verdict : str
        The paragraph before all others.
    notes, missing : sequences of str
        Sentences on what to keep in mind, and on what is not there.
    tables : sequence of PageTable
    slices : SliceSet, optional
    figures : sequence of Embedded
    stages : sequence of mappings
        ``name``, ``seconds``, ``peak_memory`` [bytes] and ``finished``.
    """

    title: str
    words: Sequence[str]
    documents: Mapping[str, str]
    commands: Sequence[str]
    verdict: str = ""
    notes: Sequence[str] = ()
    missing: Sequence[str] = ()
    tables: Sequence[PageTable] = ()
    slices: SliceSet | None = None
    figures: Sequence[Embedded] = ()
    stages: Sequence[Mapping[str, Any]] = ()

    def write(self, path: str | Path, *, maker: str) -> Path:
        """Write the page as one file.

        Parameters
        ----------
        path : str or Path
            The file if it ends in ``.html``, otherwise the folder, which gets ``index.html``.
        maker : str
            The command that writes it, such as ``truez report``.
        """
        target = Path(path)
        if target.suffix != ".html":
            target = target / "index.html"
        environment = Environment(
            autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
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
