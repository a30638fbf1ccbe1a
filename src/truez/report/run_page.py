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
from markupsafe import Markup

from truez.box import Box, Mesh
from truez.field import Field
from truez.files import write_text
from truez.mocks import Mock
from truez.progress import Progress, silent
from truez.provenance import versions
from truez.report.results import SURVEYS
from truez.report.run_folder import RunFolder, Score, Scores
from truez.report.slices_data import SliceSet, bar, plan_slices, ticks
from truez.report.style import Picture
from truez.report.tables import LABELS as ROW_LABELS
from truez.report.tables import heading, number
from truez.report.verdict import best, label, num_boxes, verdict

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
    missing = list(found.missing)
    pictures = [Embedded.of(picture) for picture in found.pictures]
    room = PAGE_BYTES - sum(len(picture.source) for picture in pictures)
    slices = _slices(found, max(room, SMALLEST_BUDGET), missing, progress)
    documents = {
        **found.documents,
        "this page": json.dumps(versions(), indent=1),
        **_made_by(found),
    }
    text = _environment().from_string(_resource("run_page.html.j2")).render(
        generator=Markup(GENERATOR),
        style=Markup(_resource("run_page.css")),
        script=Markup(_resource("run_page.js")),
        title=found.path.resolve().name,
        run=found,
        verdict=verdict(found.scores) if found.scores else "No field has been judged yet.",
        missing=missing,
        table=_table(found.scores),
        num_boxes=num_boxes(found.scores),
        slices=slices,
        figures=pictures,
        stages=[_stage(stage) for stage in found.stages],
        documents=documents,
        commands=_commands(found),
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
        return cls(picture, _png_uri(base64.b64encode(data).decode("ascii")), width, height)


@dataclass(frozen=True)
class Viewer:
    """What the template needs to show slices."""

    data: str
    names: dict[str, str]
    reconstructions: tuple[str, ...]
    chosen: str
    first: dict[str, str]
    aspect: float
    bar: str
    ticks: dict[str, float]
    words: str
    where: str


def _png_uri(text: str) -> str:
    return "data:image/png;base64," + text


def _resource(name: str) -> str:
    return files("truez.report").joinpath(name).read_text(encoding="utf-8")


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
            ROW_LABELS.get(field, field),
            label(field) if label(field) != field else "",
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


# --- slices -------------------------------------------------------------------------------------


def _slices(
    run: RunFolder, budget: float, missing: list[str], progress: Progress
) -> Viewer | None:
    """The slices of the mock's test box; fields that do not lie in it are told in ``missing``."""
    if run.mock is None:
        return None
    boxes, resamplers = {}, {}
    for name, path in run.fields.items():
        try:
            boxes[name], resamplers[name] = _header(path)
        except ValueError as error:
            missing.append(f"{path.name} is left out of the slices: {error}.")
    if not boxes:
        return None
    mock = Mock.read(run.mock)
    corners: dict[str, Mesh] = {}
    for name, box in list(boxes.items()):
        corner = _corner(box, mock.box)
        if corner is None:
            missing.append(f"{name} is left out of the slices: it lies on another box ({box}).")
        else:
            corners[name] = corner
    if not corners:
        return None
    start, stop = mock.evaluation_region
    for name, corner in corners.items():
        ends = [c + n for c, n in zip(corner, boxes[name].meshsize, strict=True)]
        start = _three(max(a, c) for a, c in zip(start, corner, strict=True))
        stop = _three(min(b, e) for b, e in zip(stop, ends, strict=True))
    if any(b <= a for a, b in zip(start, stop, strict=True)):
        missing.append("The fields share no cells within the region judged: no slices are shown.")
        return None
    names = ["truth", *_in_order(run.scores, corners), "spec", "photo"]
    resampler = next((resamplers[name] for name in corners if resamplers[name]), "cic")
    whole = dict(zip(("truth", "photo", "spec"), mock.fields(resampler), strict=True))
    del mock
    truth = whole["truth"].crop(start, stop)
    made = plan_slices(truth, num_fields=len(names), budget=budget)
    for done, name in enumerate(names):
        progress("slices", done, len(names), name)
        if name in whole:
            made.add(name, whole.pop(name).crop(start, stop))
            continue
        values, corner = Field.read(run.fields[name]), corners[name]
        inner = [[a - c for a, c in zip(cut, corner, strict=True)] for cut in (start, stop)]
        made.add(name, values.crop(*inner))
    progress("slices", len(names), len(names))
    return _viewer(made, names, truth.box)


def _viewer(made: SliceSet, names: list[str], box: Box) -> Viewer:
    first = made.views[0]
    text = json.dumps(made.to_dict(), separators=(",", ":"))
    reconstructions = tuple(name for name in names if name not in (*SURVEYS, "truth"))
    return Viewer(
        data=text.replace("<", "\\u003c"),
        names={name: _named(name) for name in names},
        reconstructions=reconstructions,
        chosen=reconstructions[0],
        first=made.stills[first.name],
        aspect=box.boxsize[first.across] / box.boxsize[first.up],
        bar=_png_uri(bar()),
        ticks=dict(ticks(made.limits)),
        words=made.words,
        where=str(box),
    )


def _named(name: str) -> str:
    return label(name) if name in (*SURVEYS, "truth") or label(name) == name else f"{label(name)}"


def _header(path: Path) -> tuple[Box, str | None]:
    """Box and resampler of a field file, without its values."""
    try:
        with h5py.File(path, "r") as file:
            attributes = file["values"].attrs
            names = ("boxsize", "meshsize", "boxcenter", "periodic")
            box = Box(**{name: attributes[name] for name in names})
            kind, metadata = str(attributes["kind"]), json.loads(attributes["metadata"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError("it is not a field that truez wrote") from error
    if kind != "delta":
        raise ValueError(f"it holds {kind}, not an overdensity")
    return box, metadata.get("resampler")


def _corner(box: Box, whole: Box) -> Mesh | None:
    """The first cell of ``box`` on the mesh of ``whole``, or None where it is no part of it."""
    corner = []
    for axis in range(3):
        cell = whole.cellsize[axis]
        place = (box.lower[axis] - whole.lower[axis]) / cell
        first = round(place)
        fits = abs(place - first) < 1e-3 and abs(box.cellsize[axis] / cell - 1) < 1e-6
        if not fits or first < 0 or first + box.meshsize[axis] > whole.meshsize[axis]:
            return None
        corner.append(first)
    return _three(corner)


def _three(values: Any) -> Mesh:
    x, y, z = values
    return x, y, z


def _in_order(scores: Scores, names: dict[str, Mesh]) -> list[str]:
    """Reconstructions, the one with the lowest error first."""
    winner = best({name: scores[name] for name in scores if name in names})
    if winner is None:
        winner = next((n for n in ("unet", "wiener") if n in names), next(iter(names)))
    return [winner, *(name for name in names if name != winner)]


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
    command = run.config.get("command")
    name = run.path.resolve().name
    if isinstance(command, str):
        made = [command]
    elif isinstance(command, list):
        made = [shlex.join(map(str, command))]
    elif run.kind == "run":
        recipe = run.config.get("recipe")
        chosen = recipe if isinstance(recipe, str) else "paper"
        made = [shlex.join(["truez", "paper", "--recipe", chosen, "--out", name])]
    elif run.kind == "demo":
        made = [shlex.join(["truez", "demo", "--out", name])]
    else:
        made = []
    return [*made, shlex.join(["truez", "report", name])]
