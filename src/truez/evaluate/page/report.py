"""The page of a run's folder, finished or not: ``truez report`` and the end of ``truez paper``."""

from __future__ import annotations

import json
import math
import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from truez.evaluate.labels import explanation, heading
from truez.evaluate.page.page import Embedded, Page, generator, room_for_slices
from truez.evaluate.page.run_folder import RunFolder, Score, Scores
from truez.evaluate.page.run_slices import run_slices
from truez.evaluate.page.verdict import num_boxes, verdict
from truez.evaluate.page.words import observed
from truez.evaluate.tables import Table, make_table, number
from truez.mesh.field_file import read_header
from truez.sky.mock import is_sky_mock
from truez.support.printable import printable
from truez.support.progress import Progress, silent
from truez.support.provenance import versions

MAKER = "truez report"
#: What a page of ours begins with, so that no other file is ever replaced.
GENERATOR = generator(MAKER)

_UNKNOWN = Score(math.nan)
_HOW_TO_READ = (
    "The best of each column is marked. Low is good for MSE and MAE, high for the others. The zero "
    "field (δ = 0) scores the variance of the truth in MSE, and the empty one (δ = \N{MINUS SIGN}1)"
    " has an MAE of 1: a field that does not beat both has found no structure."
)
_SIGMA, _APOSTROPHE = "\N{GREEK SMALL LETTER SIGMA}", "\N{RIGHT SINGLE QUOTATION MARK}"
_PAPER = (
    f"The paper: mean ± 1{_SIGMA} of arXiv:2504.06309, Table I, over 36 sub-boxes of its own "
    "simulation; raw errors depend on the universe, shares of the photo survey"
    f"{_APOSTROPHE}s error less so."
)


def write_run_page(
    run: str | Path, *, out: str | Path | None = None, progress: Progress = silent
) -> Path:
    """Write the page of a run, finished or not, that says what is missing.

    By default it is ``report.html`` in the folder, where an older page is replaced; nothing else
    is.
    """
    if is_sky_mock(run):
        raise ValueError(
            f"{run} is a mock on the sky, whose page truez evaluate writes: look at index.html "
            "there, in report of a demo"
        )
    found = RunFolder.read(run)
    target = found.path / "report.html" if out is None else Path(out)
    _refuse_foreign(target)
    missing, words = list(found.missing), observed(found.mock)
    figures = [Embedded.of(picture) for picture in found.pictures]
    slices = run_slices(found, room_for_slices(figures), missing, progress)
    page = Page(
        title=printable(found.path.resolve().name),
        verdict=verdict(found.scores) if found.scores else "No field has been judged yet.",
        words=[] if words is None else [words],
        notes=[str(note) for note in found.about.get("notes", [])],
        missing=missing,
        tables=_tables(found.scores),
        slices=slices,
        figures=figures,
        stages=found.stages,
        documents={
            **found.documents,
            "this page": json.dumps(versions(), indent=1),
            **_made_by(found),
        },
        commands=_commands(found),
    )
    return page.write(target, maker=MAKER)


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


def _tables(scores: Scores) -> list[Table]:
    """A row of cells for each field, the paper's numbers below ours where there are any."""
    names = list(dict.fromkeys(name for entry in scores.values() for name in entry))
    if not names:
        return []
    every = [score for entry in scores.values() for score in entry.values()]
    paper = any(not math.isnan(score.paper_mean) for score in every)
    title = f"Table I, ours beside the paper{_APOSTROPHE}s" if paper else "Scores"
    heads = [heading(name) for name in names]
    judged = {f: [entry.get(name, _UNKNOWN) for name in names] for f, entry in scores.items()}
    styles = [style for _, style, _ in heads]
    means = [
        (field, [(number(s.mean, style), s.mean) for s, style in zip(row, styles, strict=True)])
        for field, row in judged.items()
    ]
    table = make_table(title, [(text, better) for text, _, better in heads], means)
    rows, errors, below = [], {}, {}
    for i, (field, *texts) in enumerate(table.rows):
        below[i, 0] = explanation(field)
        for j, score in enumerate(judged[field], start=1):
            if not math.isnan(score.sigma):
                texts[j - 1] += f" ± {number(score.sigma, '#.2g')}"
            if not math.isnan(score.error):
                errors[i, j] = f"({number(score.error, '#.2g')})"
            if paper:
                below[i, j] = _of_paper(score)
        rows.append((field, *texts))
    notes = [_HOW_TO_READ]
    if paper:
        notes.insert(0, _PAPER)
    if any(not math.isnan(score.sigma) for score in every):
        boxes = num_boxes(scores)
        notes.insert(
            0,
            f"Ours: mean ± 1{_SIGMA} scatter from sub-box to sub-box, and in brackets the error of "
            f"the mean, {_SIGMA}/√N{'' if boxes is None else f' with N = {boxes}'}, which takes "
            "sub-boxes as independent.",
        )
    return [replace(table, rows=tuple(rows), errors=errors, below=below, notes=notes)]


def _of_paper(score: Score) -> str:
    if math.isnan(score.paper_mean):
        return "\N{NO-BREAK SPACE}"
    sigma = "" if math.isnan(score.paper_sigma) else f" ± {score.paper_sigma:.2f}"
    return f"paper {score.paper_mean:.2f}{sigma}"


# --- how it was made ----------------------------------------------------------------------------


def _made_by(run: RunFolder) -> dict[str, str]:
    """The metadata in the files of fields."""
    texts = {}
    for name, path in run.fields.items():
        with suppress(ValueError):  # `run_slices` says that it is left out
            described = read_header(path).described
            texts[f"{name}.h5"] = json.dumps(described, indent=1, ensure_ascii=False)
    return texts


def _commands(run: RunFolder) -> list[str]:
    name, made = printable(run.path.resolve().name), []
    if "command" in run.about:
        made.append(str(run.about["command"]))
    elif "recipe" in run.about:
        words = ["truez", "paper", "--recipe", str(run.about["recipe"]), "--out", name]
        if run.about.get("network") is False:
            words.append("--without-network")
        made.append(shlex.join(words))
    return [*made, shlex.join(["truez", "report", name])]
