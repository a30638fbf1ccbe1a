"""What a reader gets of a benchmark: ``summary.json``, ``tables.md``, pictures, and the page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from truez.evaluate.coverage import Calibration
from truez.evaluate.coverage.tables import HOW_TO_READ as SAMPLES_HOW_TO_READ
from truez.evaluate.coverage.tables import coverage_tables
from truez.evaluate.figures.slices import Slab
from truez.evaluate.labels import label
from truez.evaluate.page.page import Embedded, Page, as_document, page_tables
from truez.evaluate.store import write_json
from truez.evaluate.summary import Measured
from truez.evaluate.tables import Table, plus_minus
from truez.experiments.benchmark.acceptance import acceptance, control_figures
from truez.experiments.benchmark.pictures import draw
from truez.experiments.benchmark.settings import Job
from truez.experiments.benchmark.tables import acceptance_table, control_tables, setting_tables
from truez.experiments.exact.results import EXACT
from truez.experiments.records import read_records
from truez.networks.weights import shipped_weights
from truez.support.files import write_text
from truez.support.progress import Progress, silent
from truez.support.provenance import versions

#: Raised when the same results make other pages.
VERSION = 5
#: What is read off the tables.
HOW_TO_READ = (
    "Numbers are means over the boxes, and what follows ± is the error of that mean. In sub-boxes "
    "the scatter between them follows ±, and the error of the mean over boxes is in brackets. "
    "The best of each column is marked. R is a Gaussian smoothing of both fields; the zero field "
    "(δ = 0) scores the variance of the truth and the empty one (δ = -1) a mean absolute error of "
    "1. Bands of k are in h/Mpc; spectra contain shot noise."
)


def write(
    job: Job,
    measured: Sequence[Measured],
    controls: Mapping[str, Any] | None,
    slab: Mapping[str, Slab],
    calibrations: Mapping[str, Mapping[str, Calibration]],
    *,
    progress: Progress = silent,
) -> None:
    """Write everything that is made of the results.

    ``slab`` by name is for the picture; ``calibrations`` are those of the posterior samples by
    setting and method.
    """
    lines = acceptance({one.name: one for one in measured})
    lines += [] if controls is None else control_figures(controls)
    tables = [acceptance_table(lines)] if lines else []
    for one in measured:
        tables += setting_tables(one)
        if one.name in calibrations:
            tables += coverage_tables(one.name, calibrations[one.name])
    if controls is not None:
        tables += control_tables(controls)
    content = {
        "settings": {one.name: one.to_dict() for one in measured},
        "acceptance": [vars(line) for line in lines],
        "versions": versions(),
    }
    if calibrations:
        content["samples"] = {
            name: {method: one.to_dict() for method, one in found.items()}
            for name, found in calibrations.items()
        }
    write_json(job.folder / "summary.json", content)
    words = _words(measured)
    if calibrations:
        words.append(
            f"Of each box {job.samples} samples of the posterior were judged, of the Wiener filter "
            "of both surveys with a Gaussian residual and of methods that move galaxies. "
            f"{SAMPLES_HOW_TO_READ}"
        )
    write_text(job.folder / "tables.md", _markdown(words, tables))
    pictures = draw(job.folder / "figures", measured, slab, calibrations, progress=progress)
    provenance = {
        "versions": versions(),
        "universe": job.universe.model_dump(mode="json", exclude={"seed"}),
        "settings": {s.name: s.surveys.describe() for s in job.settings},
        **job.describe(),
        "seeds": {one.name: list(one.seeds) for one in measured},
        "exact": job.exact,
        "samples": job.samples,
        "boxes": None if job.boxes is None else str(job.boxes),
        "weights": None if job.weights is None else str(job.weights),
        "unet": None if job.unet is None else str(job.unet),
    }
    page = Page(
        title="All methods on the same boxes",
        words=words,
        tables=page_tables(tables, HOW_TO_READ),
        figures=[Embedded.of(picture) for picture in pictures],
        stages=[record.model_dump() for record in read_records(job.folder)],
        documents={"provenance": as_document(provenance)},
        commands=[command(job)],
    )
    page.write(job.folder / "benchmark.html", maker="truez benchmark")
    progress("page", 1, 1)


def command(job: Job) -> str:
    """The command line that makes the benchmark."""
    words = ["truez", "benchmark", "--out", job.folder.name]
    words += ["--seeds", ",".join(map(str, job.seeds))]
    for setting in job.settings:
        words += ["--setting", setting.name]
    if job.boxes is not None:
        words += ["--boxes", str(job.boxes)]
    else:
        sides = np.atleast_1d(job.universe.boxsize), np.atleast_1d(job.universe.num_particles)
        for option, values in zip(("--boxsize", "--num-particles"), sides, strict=True):
            words += [option, ",".join(f"{value:g}" for value in values)]
    words += ["--draws", str(job.draws), "--cellsize", f"{job.cellsize:g}"]
    if job.samples:
        words += ["--samples", str(job.samples)]
    for option, path in (("--weights", job.weights), ("--unet", job.unet)):
        # Those that come with truez need no word.
        if path is not None and path != shipped_weights("column-net"):
            words += [option, str(path)]
    if job.exact:
        words.append("--exact")
    if not job.controls:
        words.append("--no-controls")
    return shlex.join(words)


def _words(measured: Sequence[Measured]) -> list[str]:
    """The benchmark in sentences, what matters most first."""
    paragraphs = []
    for one in measured:
        found = []
        for method in ("columns", "redistribution", EXACT):
            ratio = one.ratio(method, "wiener", "mse")
            nats, own = (one.number(method, key) for key in ("nats", "nats_own_place"))
            if ratio is not None and nats is not None:
                found.append(
                    f"with {_with(method)} the MSE is {plus_minus(ratio)} times that of the Wiener "
                    f"filter of both surveys, and galaxies gain {plus_minus(nats)} nats each over "
                    f"the photo-z alone ({plus_minus(own)} at their own place)"
                )
        paragraphs.append(f"{_capital(one.words)}. {_capital('; '.join(found))}.")
    for seeds in dict.fromkeys(tuple(one.seeds) for one in measured):
        some = [one for one in measured if tuple(one.seeds) == seeds]
        where = "" if len(some) == len(measured) else f"In {', '.join(one.name for one in some)}: "
        paragraphs.append(_boxes(some[0], where))
    absent = {(name, why) for one in measured for name, why in one.absent.items()}
    for name, why in sorted(absent):
        names = [one.name for one in measured if one.absent.get(name) == why]
        place = "" if len(names) == len(measured) else f" in {', '.join(names)}"
        paragraphs.append(f"{_capital(label(name))} is not there{place}: {why}.")
    return paragraphs


def _boxes(one: Measured, where: str) -> str:
    """The boxes of a setting, in sentences."""
    box = one.boxes[0].content["survey"]["box"]
    sides = " x ".join(f"{side:g}" for side in box["boxsize"])
    number = len(one.seeds)
    boxes = "one box" if number == 1 else f"{number} boxes"
    every = "every" if where else "Every"
    return (
        f"{where}{every} method was applied to the same {boxes} of {sides} Mpc/h (seeds "
        f"{', '.join(map(str, one.seeds))}, which no network is trained on), in cells of "
        f"{box['boxsize'][2] / box['meshsize'][2]:g} Mpc/h. "
        + (
            "With one box there are no errors of the mean."
            if number == 1
            else "Errors are the scatter between the boxes over the root of their number."
        )
    )


def _with(method: str) -> str:
    return "the exact posterior" if method == EXACT else method


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _markdown(words: Sequence[str], tables: Sequence[Table]) -> str:
    parts = [*words, HOW_TO_READ]
    parts += [f"### {table.title}\n\n{table.markdown().rstrip()}" for table in tables]
    return "\n\n".join(parts) + "\n"
