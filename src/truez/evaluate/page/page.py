"""One page that holds everything: words, tables, figures and how it was made.

The page is a single HTML file with its pictures inside. It loads nothing from a network, so it can
be mailed, archived and read years later.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, StrictUndefined

from truez.evaluate.figures.style import Picture
from truez.evaluate.tables import Table
from truez.support.files import write_text


class Tabled(Protocol):
    """What can be shown as tables, such as `truez.evaluate.evaluation.Evaluation`."""

    def context(self) -> str:
        """Words below the first table."""
        ...

    def tables(self) -> Sequence[Table]:
        """In their order."""
        ...


def write_page(
    path: str | Path,
    *,
    title: str,
    summary: str | Sequence[str],
    evaluation: Tabled,
    figures: Sequence[Picture],
    provenance: Mapping[str, Any],
    commands: Sequence[str],
) -> Path:
    """Write the page of an evaluation.

    Parameters
    ----------
    path : str or Path
        The file if it ends in ``.html``, otherwise the folder, which gets ``index.html``.
    title : str
        The heading.
    summary : str or sequence of str
        What was done, in words; one paragraph each.
    evaluation : Tabled
        Gives the tables, such as an `truez.evaluate.evaluation.Evaluation`.
    figures : sequence of Picture
        PNG files, which are copied into the page, with their captions.
    provenance : mapping
        Configuration, versions, seeds: what made the data. Values that JSON does not know are shown
        as text.
    commands : sequence of str
        The command lines that make the page again.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileNotFoundError
        If a picture does not exist.
    ValueError
        If it is not a PNG file.
    """
    target = Path(path)
    if target.suffix != ".html":
        target = target / "index.html"
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = files("truez.evaluate.page").joinpath("page.html.j2").read_text(encoding="utf-8")
    text = environment.from_string(template).render(
        title=title,
        summary=[summary] if isinstance(summary, str) else list(summary),
        context=evaluation.context(),
        tables=evaluation.tables(),
        figures=[(figure, *_embedded(figure.path)) for figure in figures],
        provenance=json.dumps(dict(provenance), indent=2, default=str, ensure_ascii=False),
        commands="\n".join(commands),
    )
    write_text(target, text)
    return target


def _embedded(path: Path) -> tuple[str, int, int]:
    """A PNG as data URI, with its width and height [pixels]."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no picture {path}: write the figures before the page")
    data = path.read_bytes()
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(f"{path} is not a PNG file: only those go into the page")
    width, height = struct.unpack(">II", data[16:24])
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii"), width, height
