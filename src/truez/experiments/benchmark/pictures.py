"""The pictures of a benchmark, from its results."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.evaluate.figures import benchmark as drawn
from truez.evaluate.figures.common import save
from truez.evaluate.figures.style import Picture
from truez.evaluate.judge import edges_of
from truez.evaluate.labels import FIELDS
from truez.evaluate.store import Band, array
from truez.evaluate.summary import Mean, Measured
from truez.mesh.box import Box
from truez.statistics.binning import Floats
from truez.support.files import write_text
from truez.support.progress import Progress, silent

#: What readers see instead of the names of methods.
NAMES = {name: field.short for name, field in FIELDS.items()}
#: Names of the pictures.
FIGURES = tuple(drawn.BENCHMARK_CAPTIONS)
#: Methods whose errors and nats are drawn.
_BESIDE = ("dual-unet", "redistribution", "columns")

#: Images by name, the ends of x and of the line of sight, and the thickness [Mpc/h].
Slab = tuple[Mapping[str, NDArray[np.float32]], Sequence[float], float]


def draw(
    folder: Path, measured: Sequence[Measured], slab: Slab, *, progress: Progress = silent
) -> list[Picture]:
    """Draw all pictures as PNG and PDF, with their captions in ``captions.json``."""
    makers: dict[str, Callable[[], Any]] = {
        "optimum": lambda: drawn.optimum(_lines(measured, Measured.lost_over_optimum), NAMES),
        "spectra": lambda: drawn.spectra(
            _lines(measured, Measured.r),
            _lines(measured, Measured.transfer),
            {one.name: _line(one, partial(_r_opt, one)) for one in measured},
            NAMES,
        ),
        "pit": lambda: drawn.pit({one.name: _pit(one) for one in measured}, NAMES),
        "sigma": lambda: drawn.sigma({one.name: _sigma(one) for one in measured}, NAMES),
        "gains": lambda: drawn.gains(
            {one.name: _pairs(partial(_mse_ratio, one)) for one in measured},
            {one.name: _pairs(partial(_nats, one)) for one in measured},
            NAMES,
        ),
        "slices": lambda: drawn.slices(slab[0], NAMES, slab[1], slab[2]),
    }
    captions, pictures = {}, []
    for number, name in enumerate(FIGURES):
        progress("pictures", number, len(FIGURES), name)
        png, _ = save(makers[name](), folder / name)
        title, caption = drawn.BENCHMARK_CAPTIONS[name]
        captions[png.name] = {"title": title, "caption": caption}
        pictures.append(Picture(png, title, caption))
    text = json.dumps(captions, indent=1, ensure_ascii=False)
    write_text(folder / "captions.json", text + "\n")
    progress("pictures", len(FIGURES), len(FIGURES))
    return pictures


def _lines(
    measured: Sequence[Measured], number_of: Callable[[Measured, str, Band], Mean]
) -> drawn.Panels:
    """A number of every method but the medians, against k."""
    return {
        one.name: {
            method: _line(one, partial(number_of, one, method))
            for method in one.waves
            if not method.endswith("-median")
        }
        for one in measured
    }


def _line(one: Measured, number_of: Callable[[Band], Mean]) -> drawn.Line:
    """A number in the shells that hold modes."""
    box = one.boxes[0]
    edges, modes = edges_of(Box(**box.content["survey"]["box"])), box.nmodes.sum(axis=1)
    x, found = [], []
    for low, high in itertools.pairwise(edges):
        band = (float(low), float(high))
        rows = box.rows(band)
        if rows.any():
            x.append(float((box.k[rows] * modes[rows]).sum() / modes[rows].sum()))
            found.append(number_of(band))
    return _with_errors(np.array(x), found)


def _r_opt(one: Measured, band: Band) -> Mean:
    return Mean((math.sqrt(max(1 - one.optimum_lost(band), 0.0)),))


def _mse_ratio(one: Measured, method: str) -> Mean | None:
    return one.ratio(method, "wiener", "mse")


def _nats(one: Measured, method: str) -> Mean | None:
    return one.number(method, "nats")


def _pit(one: Measured) -> dict[str, drawn.Line]:
    lines = {}
    for method in one.methods:
        if "posteriors" not in one.boxes[0].methods[method]:
            continue
        shares = [100 * array(box.methods[method]["posteriors"]["pit"]) for box in one.boxes]
        centers = (np.arange(len(shares[0])) + 0.5) / len(shares[0])
        lines[method] = _with_errors(centers, map(Mean.of, np.transpose(shares)))
    return lines


def _sigma(one: Measured) -> dict[str, drawn.Line]:
    lines = {}
    for method in one.methods:
        found = one.sigma_deciles(method)
        if found is not None:
            lines[method] = _with_errors(np.arange(1.0, len(found) + 1), found)
    return lines


def _with_errors(x: Floats, found: Iterable[Mean]) -> drawn.Line:
    means = list(found)
    return drawn.Line(x, np.array([m.mean for m in means]), np.array([m.error for m in means]))


def _pairs(number_of: Callable[[str], Mean | None]) -> dict[str, tuple[float, float]]:
    found = {method: number_of(method) for method in _BESIDE}
    return {m: (mean.mean, mean.error) for m, mean in found.items() if mean is not None}
