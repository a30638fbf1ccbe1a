"""The pictures of a benchmark, from its results."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from truez.evaluate.coverage import Calibration
from truez.evaluate.coverage.calibration import DEVIATIONS
from truez.evaluate.coverage.vectors import KINDS, RADII
from truez.evaluate.figures import calibration, coverage, spectra
from truez.evaluate.figures.captions import CAPTIONS, Caption, write_pictures
from truez.evaluate.figures.slices import Slab, slabs
from truez.evaluate.figures.spectra import Line, Panels
from truez.evaluate.figures.style import Picture
from truez.evaluate.judge import edges_of
from truez.evaluate.labels import label
from truez.evaluate.store import Band, array
from truez.evaluate.summary import Mean, Measured
from truez.experiments.benchmark.settings import Job
from truez.experiments.exact.results import EXACT
from truez.mesh.box import Box
from truez.statistics.binning import Floats
from truez.support.progress import Progress, silent

#: Names of the pictures.
FIGURES = ("optimum", "spectra", "pit", "sigma", "gains", "slices")
#: Pictures of the samples, one of each for every setting that has them.
SAMPLE_FIGURES = ("coverage", "ranks", "deviations", "tenths")
#: What slices are shown of, in their order.
SLICES = ("truth", "photo", "wiener", "redistribution", "dual-unet", "columns")
#: Methods whose errors and nats are drawn.
_BESIDE = ("dual-unet", "redistribution", "columns", EXACT)


def figures_of(job: Job) -> tuple[str, ...]:
    """Names of all pictures of a benchmark."""
    settings = job.settings if job.samples else ()
    return (*FIGURES, *(f"{what}-{s.name}" for s in settings for what in SAMPLE_FIGURES))


def draw(
    folder: Path,
    measured: Sequence[Measured],
    slab: Mapping[str, Slab],
    calibrations: Mapping[str, Mapping[str, Calibration]],
    *,
    progress: Progress = silent,
) -> list[Picture]:
    """Draw all pictures as PNG and PDF, with their captions in ``captions.json``."""
    makers: dict[str, Callable[[], Any]] = {
        "optimum": lambda: spectra.optimum(
            _lines(measured, Measured.lost_over_optimum), label=label
        ),
        "spectra": lambda: spectra.spectra_in_settings(
            _lines(measured, Measured.r),
            _lines(measured, Measured.transfer),
            {one.name: _line(one, partial(_limit, one)) for one in measured},
            label=label,
        ),
        "pit": lambda: calibration.pit({one.name: _pit(one) for one in measured}, label=label),
        "sigma": lambda: calibration.sigma(
            {one.name: _sigma(one) for one in measured}, label=label
        ),
        "gains": lambda: calibration.gains(
            {
                one.name: _pairs({m: one.ratio(m, "wiener", "mse") for m in _BESIDE})
                for one in measured
            },
            {one.name: _pairs({m: one.number(m, "nats") for m in _BESIDE}) for one in measured},
            label=label,
        ),
        "slices": lambda: slabs(slab, label=label),
    }
    captions = dict(CAPTIONS)
    for name, found in calibrations.items():
        for what, make in _of_samples(found).items():
            makers[f"{what}-{name}"] = make
            title, words = CAPTIONS[f"samples_{what}"]
            captions[f"{what}-{name}"] = Caption(f"{name}: {title}", words)
    other = {"spectra": CAPTIONS["spectra_in_settings"], "slices": CAPTIONS["slab"]}
    return write_pictures(folder, makers, captions | other, progress=progress)


def _of_samples(found: Mapping[str, Calibration]) -> dict[str, Callable[[], Any]]:
    """The pictures of `SAMPLE_FIGURES` of one setting."""
    kinds = next(iter(found.values())).kinds
    return {
        "coverage": lambda: coverage.coverage(
            {kind: {method: one.coverage(kind) for method, one in found.items()} for kind in kinds},
            label=label,
            title=KINDS.__getitem__,
        ),
        "ranks": lambda: coverage.ranks(
            {kind: {method: one.ranks(kind) for method, one in found.items()} for kind in kinds},
            label=label,
            title=KINDS.__getitem__,
        ),
        "deviations": lambda: coverage.deviations(
            {
                name: {method: one.deviation(name) for method, one in found.items()}
                for name in DEVIATIONS
            },
            label=label,
            title=DEVIATIONS.__getitem__,
        ),
        "tenths": lambda: coverage.tenths(
            {r: {method: one.tenths(r) for method, one in found.items()} for r in RADII},
            label=label,
        ),
    }


def _lines(
    measured: Sequence[Measured], number_of: Callable[[Measured, str, Band], Mean]
) -> Panels:
    """A number of every method but the medians, against k."""
    return {
        one.name: {
            method: _line(one, partial(number_of, one, method))
            for method in one.waves
            if not method.endswith("-median")
        }
        for one in measured
    }


def _line(one: Measured, number_of: Callable[[Band], Mean]) -> Line:
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


def _limit(one: Measured, band: Band) -> Mean:
    return Mean((one.r_opt(band),))


def _pit(one: Measured) -> dict[str, Line]:
    lines = {}
    for method in one.methods:
        if "posteriors" not in one.boxes[0].methods[method]:
            continue
        shares = [100 * array(box.methods[method]["posteriors"]["pit"]) for box in one.boxes]
        centers = (np.arange(len(shares[0])) + 0.5) / len(shares[0])
        lines[method] = _with_errors(centers, map(Mean.of, np.transpose(shares)))
    return lines


def _sigma(one: Measured) -> dict[str, Line]:
    lines = {}
    for method in one.methods:
        found = one.sigma_deciles(method)
        if found is not None:
            lines[method] = _with_errors(np.arange(1.0, len(found) + 1), found)
    return lines


def _with_errors(x: Floats, found: Iterable[Mean]) -> Line:
    means = list(found)
    return Line(x, np.array([m.mean for m in means]), np.array([m.error for m in means]))


def _pairs(found: Mapping[str, Mean | None]) -> dict[str, tuple[float, float]]:
    return {m: (mean.mean, mean.error) for m, mean in found.items() if mean is not None}
