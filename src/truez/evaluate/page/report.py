"""The page of a run's folder, finished or not: ``truez report`` and the end of ``truez paper``."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path

import h5py

from truez.evaluate.labels import explanation, heading
from truez.evaluate.page.page import (
    Cell,
    Embedded,
    Page,
    PageTable,
    generator,
    room_for_slices,
)
from truez.evaluate.page.run_folder import RunFolder, Score, Scores
from truez.evaluate.page.run_slices import run_slices
from truez.evaluate.page.verdict import num_boxes, verdict
from truez.evaluate.page.words import observed
from truez.evaluate.tables import make_table, number
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
    missing, words = list(found.missing), observed(found.mock)
    figures = [Embedded.of(picture) for picture in found.pictures]
    slices = run_slices(found, room_for_slices(figures), missing, progress)
    page = Page(
        title=found.path.resolve().name,
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


def _tables(scores: Scores) -> list[PageTable]:
    """A row of cells for each field, the paper's numbers below ours where there are any."""
    names = list(dict.fromkeys(name for entry in scores.values() for name in entry))
    if not names:
        return []
    every = [score for entry in scores.values() for score in entry.values()]
    paper = any(not math.isnan(score.paper_mean) for score in every)
    title = f"Table I, ours beside the paper{_APOSTROPHE}s" if paper else "Scores"
    judged = {f: [entry.get(name, _UNKNOWN) for name in names] for f, entry in scores.items()}
    styles = [heading(name)[1] for name in names]
    means = [
        (field, [(number(s.mean, style), s.mean) for s, style in zip(row, styles, strict=True)])
        for field, row in judged.items()
    ]
    table = make_table(title, [(heading(n)[0], heading(n)[2]) for n in names], means)
    rows = [
        (
            field,
            explanation(field),
            [
                _cell(score, styles[j], paper, best=(i, j + 1) in table.best)
                for j, score in enumerate(row)
            ],
        )
        for i, (field, row) in enumerate(judged.items())
    ]
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
    return [PageTable(title, table.columns, rows, notes)]


def _cell(score: Score, style: str, paper: bool, *, best: bool) -> Cell:
    below = "\N{NO-BREAK SPACE}" if paper else ""
    ours = number(score.mean, style)
    if not math.isnan(score.sigma):
        ours += f" ± {number(score.sigma, '#.2g')}"
    error = "" if math.isnan(score.error) else f"({number(score.error, '#.2g')})"
    if not math.isnan(score.paper_mean):
        below = f"paper {score.paper_mean:.2f}"
        if not math.isnan(score.paper_sigma):
            below += f" ± {score.paper_sigma:.2f}"
    return Cell(ours, error, below, best)


# --- how it was made ----------------------------------------------------------------------------


def _made_by(run: RunFolder) -> dict[str, str]:
    """The metadata in the files of fields."""
    texts = {}
    for name, path in run.fields.items():
        try:
            with h5py.File(path, "r") as file:
                metadata = json.loads(file["values"].attrs["metadata"])
        except (OSError, KeyError, TypeError, ValueError):
            continue  # `run_slices` says that it is left out
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
