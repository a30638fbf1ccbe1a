"""Figures 2 to 6 of the paper and what it left out, from the files of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from truez.evaluate.figures import curves
from truez.evaluate.figures.captions import Caption, paper_caption, write_pictures
from truez.evaluate.figures.losses import losses, read_losses
from truez.evaluate.figures.planes import power_2d
from truez.evaluate.figures.slices import zooms
from truez.evaluate.figures.spectra import response, spectra
from truez.evaluate.labels import label, sentence
from truez.experiments.paper.job import Job
from truez.experiments.paper.measure import read_boxes
from truez.statistics.binning import Floats
from truez.statistics.power import Comparison, Correlation, Power, Power2D
from truez.statistics.results import Result, read_table
from truez.support.progress import Progress

R = TypeVar("R", bound=Result)

#: What the figures of the paper show beside the truth, in their order.
SHOWN = ("spec", "photo", "wiener", "unet-per-box", "unet")

#: Modes in a bin (of each box) from which on its multipoles are drawn.
MANY_MODES = 100

_BOXES = "Measured in the {number} sub-boxes of the test part, each alone, and averaged. "
_WHOLE = "Measured on the whole test part. "


def figure_names(network: bool, corrections: Sequence[str]) -> list[str]:
    """Names of the figures of a run, in their order."""
    left_out = {"losses", "corrections"} if not network else set()
    if not corrections:
        left_out.add("corrections")
    return [name for name in _FIGURES if name not in left_out]


def draw(job: Job, progress: Progress) -> None:
    """Draw all figures as PNG and PDF, and their captions."""
    names = figure_names(job.network, job.recipe.boxes.corrections)
    found = _Found(job)
    makers = {name: partial(_FIGURES[name], found) for name in names}
    captions = {name: _caption(name, job) for name in names}
    write_pictures(job.folder / "figures", makers, captions, progress=progress)


class _Found:
    """What was measured in a run."""

    def __init__(self, job: Job) -> None:
        self.job, self.results = job, job.folder / "results"
        #: The fields that figures show beside the truth.
        self.shown = [name for name in SHOWN if job.network or not name.startswith("unet")]

    def spectra(self, names: Sequence[str]) -> dict[str, Comparison]:
        """Fields against the truth, on the whole test part."""
        read = Comparison.read
        return {n: read(self.results / f"spectra-{n}.ecsv") for n in names}

    def boxes(self, kind: str, result: type[R], *, truth: bool = False) -> dict[str, list[R]]:
        """Measurements of the sub-boxes; ``truth`` puts those of the truth before them."""
        names = ["truth", *self.shown] if truth else self.shown
        return {n: read_boxes(self.results / f"boxes-{kind}-{n}.ecsv", result) for n in names}

    @property
    def r_opt(self) -> Floats:
        """The linear optimum in the bins of `spectra`."""
        table = read_table(self.results / "optimum.ecsv", "LinearOptimum")
        return np.asarray(table["r_opt_both"], dtype=np.float64)


def _losses(found: _Found) -> Any:
    rows = read_losses(found.job.folder / "training/losses.csv")
    levels = read_table(found.results / "levels.ecsv", "Levels")
    named = {"zero": "zero field", "wiener": sentence("wiener")}
    return losses(
        rows["step"] / found.job.recipe.steps_per_epoch,
        rows["train"],
        rows["validation"],
        unit="epoch",
        levels={named[row["field"]]: float(row["mse"]) for row in levels},
    )


def _zooms(found: _Found) -> Any:
    # As many columns as are legible.
    names = [n for n in ("truth", "unet", "wiener", *SHOWN[:2]) if n in ("truth", *found.shown)]
    return zooms({n: found.job.field(n) for n in names}, label=label)


def _auto_and_cross(found: _Found) -> Any:
    return _power(found, found.shown)


def _corrections(found: _Found) -> Any:
    corrected = [f"unet-corrected-{name}" for name in found.job.recipe.boxes.corrections]
    return _power(found, ["wiener", "unet-per-box", "unet", *corrected])


def _power(found: _Found, names: Sequence[str]) -> Any:
    lines = {name: [result] for name, result in found.spectra(names).items()}
    return curves.auto_and_cross(lines, r_opt=found.r_opt, label=label)


def _auto_and_cross_boxes(found: _Found) -> Any:
    return curves.auto_and_cross(found.boxes("spectra", Comparison), label=label)


def _power_2d(found: _Found) -> Any:
    names = ("truth", *found.shown)
    files = {n: Power2D.read(found.results / f"plane-{n}.ecsv") for n in names}
    return power_2d(files, label=label)


def _multipoles(found: _Found) -> Any:
    files = {n: found.results / f"poles-{n}.ecsv" for n in ("truth", *found.shown)}
    return _poles({n: [Power.read(path)] for n, path in files.items()})


def _multipoles_boxes(found: _Found) -> Any:
    return _poles(found.boxes("poles", Power, truth=True))


def _poles(measured: Mapping[str, Sequence[Power]]) -> Any:
    poles = {name: [_many_modes(power) for power in each] for name, each in measured.items()}
    return curves.multipoles(poles, poles.pop("truth"), label=label)


def _correlations(found: _Found) -> Any:
    auto = found.boxes("xi", Correlation, truth=True)
    truth = auto.pop("truth")
    cross = found.boxes("xi-truth", Correlation)
    return curves.correlations(auto, cross, truth, label=label)


def _response(found: _Found) -> Any:
    # here there is room for all filters
    names = [*found.shown, "wiener-spec", "wiener-photo"]
    return response(found.spectra(names), r_opt=found.r_opt, label=label)


def _spectra(found: _Found) -> Any:
    return spectra(found.spectra(found.shown), r_opt=found.r_opt, label=label)


# The paper's first, then what it left out.
_FIGURES: dict[str, Callable[[_Found], Any]] = {
    "losses": _losses,
    "zooms": _zooms,
    "auto_and_cross": _auto_and_cross,
    "power_2d": _power_2d,
    "multipoles": _multipoles,
    "auto_and_cross_boxes": _auto_and_cross_boxes,
    "multipoles_boxes": _multipoles_boxes,
    "correlations": _correlations,
    "response": _response,
    "spectra": _spectra,
    "corrections": _corrections,
}


def _many_modes(measured: Power) -> Power:
    """The bins from the first one on whose modes are many enough for their directions to be even.

    The few modes of lower bins lie along the axes and the diagonals of the mesh, and turn much of
    the monopole into a hexadecapole.
    """
    first = int(np.argmax(measured.nmodes >= MANY_MODES))
    return Power(
        measured.edges[first:],
        measured.k[first:],
        measured.nmodes[first:],
        {ell: pole[first:] for ell, pole in measured.poles.items()},
        measured.shotnoise,
    )


def _caption(name: str, job: Job) -> Caption:
    title, words = paper_caption(name.removesuffix("_boxes"))
    if name == "losses":
        same = job.recipe.boxes.split == "paper"
        judged = "the test part itself, as in the paper" if same else "a universe of its own"
        alone = "" if job.recipe.training.context else ", each sub-box alone"
        levels = "Grey lines are the losses of what needs no network."
        return title, f"{words} {levels} Validated on {judged}{alone}."
    if name.startswith("multipoles"):
        words += (
            f" Bins of fewer than {MANY_MODES} modes are left out: their directions are uneven."
        )
    if name.endswith("_boxes"):
        title += ", from sub-boxes"
    if name.endswith("_boxes") or name == "correlations":
        return title, _BOXES.format(number=job.recipe.num_sub_boxes("test")) + words
    return title, words if name == "zooms" else _WHOLE + words
