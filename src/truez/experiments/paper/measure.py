"""What is measured of the fields of the test part, and Table I."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from astropy.table import Table, vstack

from truez.evaluate.deviations import in_boxes
from truez.evaluate.judge import Judge, edges_of
from truez.evaluate.labels import CONSTANTS, heading
from truez.evaluate.tables import Cell, make_table, number
from truez.evaluate.tables import Table as TextTable
from truez.experiments.paper.job import Job
from truez.mesh.box import Box
from truez.statistics.binning import Floats
from truez.statistics.power import (
    Comparison,
    Correlation,
    Power,
    compare,
    correlation,
    power,
    power_2d,
)
from truez.statistics.results import Result, read_table, whole, write_table
from truez.statistics.scores import SCORES, SubBoxScores
from truez.support.progress import Progress

#: Table I of the paper: mean and sigma over its 36 test boxes. Its UNet sees each box alone.
PAPER_TABLE: dict[str, dict[str, tuple[float, float]]] = {
    field: dict(zip(("mse", "mae", "ssim", "psnr"), row, strict=True))
    for field, row in {
        "photo": ((8.82, 0.62), (1.52, 0.07), (0.43, 0.04), (28.67, 0.96)),
        "spec": ((33.21, 2.59), (1.37, 0.08), (0.52, 0.02), (22.92, 0.99)),
        "unet-per-box": ((5.10, 0.67), (1.01, 0.05), (0.70, 0.02), (31.07, 0.93)),
    }.items()
}

R = TypeVar("R", bound=Result)


def separations_of(box: Box) -> Floats:
    """Edges of r [Mpc/h]: a cell wide, from 2.5 cells, beyond the painted shot noise, to half."""
    cell = max(box.cellsize)
    count = int(min(box.boxsize) / (2 * cell))
    return np.asarray((np.arange(2, max(count, 3) + 1) + 0.5) * cell, dtype=np.float64)


def measured_files(name: str) -> tuple[str, ...]:
    """The files that `measure` writes for a field."""
    kinds = ["scores"] if name != "truth" else []
    if name not in CONSTANTS:
        kinds += ["poles", "plane", "boxes-poles", "boxes-xi"]
        kinds += ["spectra", "boxes-spectra", "boxes-xi-truth"] if name != "truth" else []
    return tuple(f"results/{kind}-{name}.ecsv" for kind in kinds)


def measure(job: Job, name: str, progress: Progress) -> None:
    """Scores of the sub-boxes; spectra of the test part and of the sub-boxes; xi of those."""
    truth, cells = job.field("truth"), job.recipe.boxes.cells
    judge = Judge(truth, radii=(), edges=edges_of(truth.box), cells=(cells, cells, cells))
    results = job.folder / "results"
    task = f"measure {name}"
    progress(task, 0, 3)
    if name in CONSTANTS:
        judge.sub_boxes(judge.flat(CONSTANTS[name])).write(results / f"scores-{name}.ecsv")
        progress(task, 3, 3)
        return
    field = job.field(name)
    part = truth.box.crop((0, 0, 0), (cells, cells, cells))
    narrow, shells = edges_of(part), separations_of(part)
    if name != "truth":
        judge.sub_boxes(field).write(results / f"scores-{name}.ecsv")
        progress(task, 1, 3, "spectra")
        compare(field, truth=truth, edges=judge.edges).write(results / f"spectra-{name}.ecsv")
        pairs = in_boxes(lambda a, b: compare(a, truth=b, edges=narrow), field, truth, cells=cells)
        write_boxes(pairs, results / f"boxes-spectra-{name}.ecsv")
        cross = in_boxes(lambda a, b: correlation(a, b, edges=shells), field, truth, cells=cells)
        write_boxes(cross, results / f"boxes-xi-truth-{name}.ecsv")
    power(field, edges=judge.edges).write(results / f"poles-{name}.ecsv")
    power_2d(field).write(results / f"plane-{name}.ecsv")
    progress(task, 2, 3, "sub-boxes")
    poles = in_boxes(lambda a: power(a, edges=narrow), field, cells=cells)
    write_boxes(poles, results / f"boxes-poles-{name}.ecsv")
    auto = in_boxes(lambda a: correlation(a, edges=shells), field, cells=cells)
    write_boxes(auto, results / f"boxes-xi-{name}.ecsv")
    progress(task, 3, 3)


# --- one result for each sub-box, in one file -----------------------------------------------------


def write_boxes(results: Sequence[Comparison | Power | Correlation], path: Path) -> None:
    """Write results of sub-boxes, all with the same bins, box after box into one ECSV file."""
    tables = [result.to_table() for result in results]
    meta = {"truez": f"{type(results[0]).__name__} of boxes", "boxes": len(results)}
    table = vstack(tables, metadata_conflicts="silent")
    number = np.repeat(np.arange(len(results)), len(tables[0]))
    table.add_column(number, name="box", index=0)
    table["box"].description = "number of the sub-box, the last axis counting fastest"
    kept = {key: value for key, value in tables[0].meta.items() if key not in ("truez", "shape")}
    table.meta = meta | kept
    write_table(table, path)


def read_boxes(path: Path, kind: type[R]) -> list[R]:
    """Read what `write_boxes` wrote."""
    table = read_table(path, f"{kind.__name__} of boxes")
    with whole(path):
        parts = [table[table["box"] == number] for number in range(table.meta["boxes"])]
        for part in parts:
            part.meta["shape"] = [len(part)]
        return [kind.from_table(part) for part in parts]


# --- Table I --------------------------------------------------------------------------------------


def write_table1(job: Job, names: Sequence[str], progress: Progress) -> None:
    """Table I, ours beside the paper's: a row for each field and score."""
    progress("table", 0, 1)
    rows = []
    for name in names:
        found = SubBoxScores.read(job.folder / f"results/scores-{name}.ecsv")
        for score in SCORES:
            theirs = PAPER_TABLE.get(name, {}).get(score, (math.nan, math.nan))
            ours = (found.mean[score], found.sigma[score], found.error[score])
            rows.append((name, score, *ours, *theirs))
    columns = ("field", "score", "mean", "sigma", "error", "paper_mean", "paper_sigma")
    table = Table(rows=rows, names=columns)
    table["sigma"].description = "standard deviation between the sub-boxes"
    table["error"].description = "error of the mean, sigma / sqrt(number of sub-boxes)"
    table["paper_mean"].description = "Table I of arXiv:2504.06309, over its 36 test boxes"
    truth = job.field("truth")
    table.meta.update(
        {
            "truez": "Table1",
            "sub_boxes": job.recipe.num_sub_boxes("test"),
            "cells": job.recipe.boxes.cells,
            "truth_variance": float(truth.values.double().var(correction=0)),
            "notes": job.recipe.notes,
        }
    )
    write_table(table, job.folder / "results/table1.ecsv")
    progress("table", 1, 1)


def table1_text(folder: Path) -> TextTable:
    """Table I in words: mean and sigma over the sub-boxes, and the paper's mean in brackets."""
    table = read_table(folder / "results/table1.ecsv", "Table1")
    scores = list(dict.fromkeys(table["score"]))
    rows: dict[str, list[Cell]] = {}
    for row in table:
        style = heading(row["score"])[1]
        text = number(row["mean"], style)
        if math.isfinite(row["mean"]):
            text += f" ± {number(row['sigma'], '#.2g')}"
            if math.isfinite(row["paper_mean"]):
                text += f" [{row['paper_mean']:.4g}]"
        rows.setdefault(row["field"], []).append((text, float(row["mean"])))
    return make_table(
        f"Table I over {table.meta['sub_boxes']} sub-boxes: mean ± sigma, the paper's in brackets",
        [(heading(score)[0], heading(score)[2]) for score in scores],
        list(rows.items()),
    )
