"""Loss curves of a training run: read from its ``losses.csv`` and drawn (Fig. 2 of the paper)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from truez.evaluate.figures.style import (
    COLUMN_WIDTH,
    METHOD_COLORS,
    plain_ticks,
    reference_styles,
    styled,
)


class Losses(TypedDict):
    """Columns of a ``losses.csv``, arrays (n,)."""

    step: NDArray[np.float64]
    train: NDArray[np.float64]
    validation: NDArray[np.float64]


def read_losses(path: str | Path) -> Losses:
    """Columns ``step``, ``train`` and ``validation`` of a ``losses.csv``; an empty cell is NaN."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file of losses {path}")
    columns = ("step", "train", "validation")
    remedy = "take the file of another training"
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            for name in columns:
                if name not in (reader.fieldnames or ()):
                    have = ", ".join(reader.fieldnames or ())[:80] or "none"
                    raise ValueError(f"{path} has no column {name!r}; its columns are: {have}")
            cells = [[row[name] for name in columns] for row in reader]
    except (UnicodeDecodeError, csv.Error):
        raise ValueError(f"{path} is not a table of losses: {remedy}") from None
    if not cells:
        raise ValueError(f"{path} holds no losses yet")
    rows = []
    for number, row in enumerate(cells, start=2):
        try:
            rows.append([float(cell or "nan") for cell in row])
        except ValueError:
            raise ValueError(
                f"{path} holds a loss that is not a number in row {number}: {remedy}"
            ) from None
    step, train, validation = np.asarray(rows).T
    if not np.isfinite(step).all():
        raise ValueError(f"{path} holds a step that is not a number: {remedy}")
    return Losses(step=step, train=train, validation=validation)


@styled
def losses(
    step: NDArray[np.float64],
    train: NDArray[np.float64],
    validation: NDArray[np.float64],
    *,
    unit: str = "step",
    ylabel: str = "loss (mean squared error)",
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Training and validation loss (n,) against the step (Fig. 2 of the paper), the best marked.

    NaN is what was not measured. More than 200 training losses are drawn faintly, with their
    running mean over 1/50 of them on top. ``unit`` is what ``step`` counts, ``levels`` are losses
    to compare with, by name; the axis is logarithmic where the losses span more than a factor 10.
    """
    figure = Figure(figsize=(COLUMN_WIDTH, 2.7), layout="constrained")
    panel = figure.subplots()
    known = np.isfinite(train)
    steps, values = step[known], train[known]
    color, other = METHOD_COLORS[:2]
    width = len(values) // 50
    if width >= 4:
        panel.plot(steps, values, color=color, linewidth=0.5, alpha=0.35)
        mean = np.convolve(values, np.full(width, 1 / width), mode="valid")
        shift = (width - 1) // 2
        steps, label = steps[shift : shift + len(mean)], f"training, mean of {width}"
        panel.plot(steps, mean, color=color, label=label)
    elif len(values):
        panel.plot(steps, values, color=color, label="training")
    known = np.isfinite(validation)
    if known.any():
        steps, checks = step[known], validation[known]
        panel.plot(steps, checks, color=other, label="validation", marker="o", markersize=2.5)
        best = int(np.argmin(checks))
        look: dict[str, Any] = {"marker": "*", "markersize": 11, "linestyle": "none", "zorder": 4}
        look |= {"markeredgecolor": "black", "markerfacecolor": "#F0E442"}
        text = f"best, {checks[best]:.3g} at {unit} {steps[best]:g}"
        panel.plot(steps[best], checks[best], label=text, **look)
        values = np.concatenate([values, checks])
    if values.size == 0:
        raise ValueError("train and validation hold no finite loss to draw")
    for (name, level), style in zip((levels or {}).items(), reference_styles(), strict=False):
        panel.axhline(level, label=f"{name}, {level:.3g}", **style)
        values = np.append(values, level)
    if values.min() > 0 and values.max() > 10 * values.min():
        panel.set_yscale("log")
        plain_ticks(panel.yaxis)
    panel.set_xlabel(unit)
    panel.set_ylabel(ylabel)
    figure.legend(loc="outside upper center", ncols=2)
    return figure
