"""One page for a run: verdict, Table I beside the paper's, figures, and slices to move through.

A single HTML file that loads nothing: pictures, slices, style and script lie inside, and a content
security policy forbids the rest. It can be read without the script; with it the slices move.
"""

from __future__ import annotations

import base64
import json
import math
import shlex
import struct
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import h5py
from jinja2 import Environment, StrictUndefined

from truez.evaluate.figures.style import Picture
from truez.evaluate.labels import explanation, heading
from truez.evaluate.page.run_folder import RunFolder, Score, Scores
from truez.evaluate.page.run_slices import observed, png_uri, run_slices
from truez.evaluate.tables import number
from truez.evaluate.verdict import num_boxes, verdict
from truez.support.files import write_text
from truez.support.progress import Progress, silent
from truez.support.provenance import versions

#: The page stays below this [bytes]; what the pictures leave of it is for the slices.
PAGE_BYTES = 14e6
SMALLEST_BUDGET = 3e6

#: What a page of ours begins with, so that no other file is ever replaced.
GENERATOR = '<meta name="generator" content="truez report">'


def write_run_page(
    run: str | Path, *, out: str | Path | None = None, progress: Progress = silent
) -> Path:
    """Write the page of a run.

    Parameters
    ----------
    run : str or Path
        The folder that `truez paper`, `truez demo` or `truez evaluate` wrote; a run need not be
        finished, the page says what is missing.
    out : str or Path, optional
        The file; by default ``report.html`` in the folder. An older page there is replaced.
    progress : Progress

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is not the folder of a run, a file in it is damaged, or ``out`` is something else than
        a page of ours.
    """
    found = RunFolder.read(run)
    target = found.path / "report.html" if out is None else Path(out)
    _refuse_foreign(target)
    missing, words = list(found.missing), observed(found)
    pictures = [Embedded.of(picture) for picture in found.pictures]
    room = PAGE_BYTES - sum(len(picture.source) for picture in pictures)
    slices = run_slices(found, max(room, SMALLEST_BUDGET), missing, progress)
    documents = {
        **found.documents,
        "this page": json.dumps(versions(), indent=1),
        **_made_by(found),
    }
    text = (
        _environment()
        .from_string(_resource("run_page.html.j2"))
        .render(
            generator=GENERATOR,
            style=_resource("run_page.css"),
            script=_resource("run_page.js"),
            title=found.path.resolve().name,
            run=found,
            verdict=verdict(found.scores) if found.scores else "No field has been judged yet.",
            observed=words,
            notes=[str(note) for note in found.about.get("notes", [])],
            missing=missing,
            table=_table(found.scores),
            num_boxes=num_boxes(found.scores),
            slices=slices,
            figures=pictures,
            stages=[_stage(stage) for stage in found.stages],
            documents=documents,
            commands=_commands(found),
        )
    )
    write_text(target, text)
    return target


@dataclass(frozen=True)
class Embedded:
    """A PNG file as data URI, with its size [pixels]."""

    picture: Picture
    source: str
    width: int
    height: int

    @classmethod
    def of(cls, picture: Picture) -> Embedded:
        """Read the file."""
        data = picture.path.read_bytes()
        if not data.startswith(b"\x89PNG\r\n\x1a\n"):
            raise ValueError(f"{picture.path} is not a PNG file: make the figures again")
        width, height = struct.unpack(">II", data[16:24])
        return cls(picture, png_uri(base64.b64encode(data).decode("ascii")), width, height)


def _resource(name: str) -> str:
    return files("truez.evaluate.page").joinpath(name).read_text(encoding="utf-8")


def _environment() -> Environment:
    return Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _refuse_foreign(target: Path) -> None:
    if target.is_dir():
        raise ValueError(f"{target} is a folder: give the file that the page shall be")
    if target.is_file():
        with target.open("rb") as file:
            if GENERATOR.encode() not in file.read(1000):
                raise ValueError(
                    f"{target} is there already and is no page of truez report: give another --out"
                )


# --- Table I ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """One number of the table as text, ours and the paper's."""

    ours: str
    error: str
    paper: str
    best: bool


def _table(scores: Scores) -> dict[str, Any] | None:
    """Headings, and a row of cells for each field."""
    names = list(dict.fromkeys(name for entry in scores.values() for name in entry))
    if not names:
        return None
    winners = {name: _winners(scores, name) for name in names}
    rows = [
        (
            field,
            explanation(field),
            [_cell(entry.get(name), name, field in winners[name]) for name in names],
        )
        for field, entry in scores.items()
    ]
    paper = any(not math.isnan(s.paper_mean) for entry in scores.values() for s in entry.values())
    scatter = any(not math.isnan(s.sigma) for entry in scores.values() for s in entry.values())
    return {
        "columns": [heading(name)[0] for name in names],
        "rows": rows,
        "paper": paper,
        "scatter": scatter,
    }


def _winners(scores: Scores, name: str) -> set[str]:
    """The fields whose score reads like the best one."""
    _, style, better = heading(name)
    known = {field: entry[name].mean for field, entry in scores.items() if name in entry}
    known = {field: better * mean for field, mean in known.items() if math.isfinite(mean)}
    if not better or not known:
        return set()
    top = number(max(known.values()), style)
    return {field for field, mean in known.items() if number(mean, style) == top}


def _cell(score: Score | None, name: str, winner: bool) -> Cell:
    if score is None:
        return Cell("—", "", "", False)
    style = heading(name)[1]
    ours = number(score.mean, style)
    if not math.isnan(score.sigma):
        ours += f" ± {number(score.sigma, '#.2g')}"
    error = "" if math.isnan(score.error) else f"({number(score.error, '#.2g')})"
    paper = ""
    if not math.isnan(score.paper_mean):
        paper = f"{score.paper_mean:.2f}"
        if not math.isnan(score.paper_sigma):
            paper += f" ± {score.paper_sigma:.2f}"
    return Cell(ours, error, paper, winner)


# --- how it was made ----------------------------------------------------------------------------


def _stage(stage: dict[str, Any]) -> tuple[str, str, str, str]:
    seconds, memory, finished = (stage.get(k) for k in ("seconds", "peak_memory", "finished"))
    return (
        str(stage["name"]),
        "—" if seconds is None else duration(float(seconds)),
        "—" if memory is None else f"{float(memory) / 1e9:.2f} GB",
        {True: "yes", False: "no", None: "—"}.get(finished, str(finished)),
    )


def duration(seconds: float) -> str:
    """Such as ``3.2 s``, ``4 min 10 s`` or ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _made_by(run: RunFolder) -> dict[str, str]:
    """What the files of fields say of themselves."""
    texts = {}
    for name, path in run.fields.items():
        try:
            with h5py.File(path, "r") as file:
                metadata = json.loads(file["values"].attrs["metadata"])
        except (OSError, KeyError, TypeError, ValueError):
            continue  # told as left out of the slices
        texts[f"{name}.h5"] = json.dumps(metadata, indent=1, ensure_ascii=False)
    return texts


def _commands(run: RunFolder) -> list[str]:
    name, made = run.path.resolve().name, []
    if "command" in run.about:
        made.append(str(run.about["command"]))
    elif "recipe" in run.about:
        words = ["truez", "paper", "--recipe", str(run.about["recipe"]), "--out", name]
        if run.about.get("network") is False:
            words.append("--without-network")
        made.append(shlex.join(words))
    return [*made, shlex.join(["truez", "report", name])]
