"""Figures 2 to 6 of the paper and what it left out, from the files of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

#: The figures: the paper's first, then what it left out.
FIGURES = (
    "losses", "zooms", "auto_and_cross", "power_2d", "multipoles", "auto_and_cross_boxes",
    "multipoles_boxes", "correlations", "response", "spectra", "corrections",
)  # fmt: skip
#: Modes in a bin (of each box) from which on its multipoles are drawn.
MANY_MODES = 100

_BOXES = "Measured in the {number} sub-boxes of the test part, each alone, and averaged. "
_WHOLE = "Measured on the whole test part. "


def figure_names(network: bool, corrections: Sequence[str]) -> list[str]:
    """Names of the figures of a run, in their order."""
    left_out = {"losses", "corrections"} if not network else set()
    if not corrections:
        left_out.add("corrections")
    return [name for name in FIGURES if name not in left_out]


def draw(job: Job, progress: Progress) -> None:
    """Draw all figures as PNG and PDF, and their captions."""
    names = figure_names(job.network, job.recipe.boxes.corrections)
    figures = _Figures(job)
    makers = {name: getattr(figures, name) for name in names}
    captions = {name: _caption(name, job) for name in names}
    write_pictures(job.folder / "figures", makers, captions, progress=progress)


class _Figures:
    """A method for each figure, from what was measured in a run."""

    def __init__(self, job: Job) -> None:
        self.job, self.results = job, job.folder / "results"
        #: The fields that figures show beside the truth.
        self.shown = [name for name in SHOWN if job.network or not name.startswith("unet")]

    def _spectra(self, names: Sequence[str]) -> dict[str, Comparison]:
        """Fields against the truth, on the whole test part."""
        return {n: Comparison.read(self.results / f"spectra-{n}.ecsv") for n in names}

    def _boxes(self, kind: str, result: type[R], *first: str) -> dict[str, list[R]]:
        """Measurements of the sub-boxes, of ``first`` before the fields that are shown."""
        names = (*first, *self.shown)
        return {n: read_boxes(self.results / f"boxes-{kind}-{n}.ecsv", result) for n in names}

    @property
    def _r_opt(self) -> Floats:
        """The linear optimum in the bins of the spectra."""
        table = read_table(self.results / "optimum.ecsv", "LinearOptimum")
        return np.asarray(table["r_opt_both"], dtype=np.float64)

    def losses(self) -> Any:
        rows = read_losses(self.job.folder / "training/losses.csv")
        levels = read_table(self.results / "levels.ecsv", "Levels")
        named = {"zero": "zero field", "wiener": sentence("wiener")}
        return losses(
            rows["step"] / self.job.recipe.steps_per_epoch,
            rows["train"],
            rows["validation"],
            unit="epoch",
            levels={named[row["field"]]: float(row["mse"]) for row in levels},
        )

    def zooms(self) -> Any:
        # As many columns as are legible.
        names = [n for n in ("truth", "unet", "wiener", *SHOWN[:2]) if n in ("truth", *self.shown)]
        return zooms({n: self.job.field(n) for n in names}, label=label)

    def auto_and_cross(self) -> Any:
        return self._power(self.shown)

    def corrections(self) -> Any:
        corrected = [f"unet-corrected-{name}" for name in self.job.recipe.boxes.corrections]
        return self._power(["wiener", "unet-per-box", "unet", *corrected])

    def _power(self, names: Sequence[str]) -> Any:
        lines = {name: [result] for name, result in self._spectra(names).items()}
        return curves.auto_and_cross(lines, r_opt=self._r_opt, label=label)

    def auto_and_cross_boxes(self) -> Any:
        return curves.auto_and_cross(self._boxes("spectra", Comparison), label=label)

    def power_2d(self) -> Any:
        files = {n: self.results / f"plane-{n}.ecsv" for n in ("truth", *self.shown)}
        return power_2d({n: Power2D.read(path) for n, path in files.items()}, label=label)

    def multipoles(self) -> Any:
        files = {n: self.results / f"poles-{n}.ecsv" for n in ("truth", *self.shown)}
        return self._poles({n: [Power.read(path)] for n, path in files.items()})

    def multipoles_boxes(self) -> Any:
        return self._poles(self._boxes("poles", Power, "truth"))

    def _poles(self, measured: Mapping[str, Sequence[Power]]) -> Any:
        poles = {name: [_many_modes(power) for power in each] for name, each in measured.items()}
        return curves.multipoles(poles, poles.pop("truth"), label=label)

    def correlations(self) -> Any:
        auto = self._boxes("xi", Correlation, "truth")
        truth, cross = auto.pop("truth"), self._boxes("xi-truth", Correlation)
        return curves.correlations(auto, cross, truth, label=label)

    def response(self) -> Any:
        # here there is room for all filters
        names = [*self.shown, "wiener-spec", "wiener-photo"]
        return response(self._spectra(names), r_opt=self._r_opt, label=label)

    def spectra(self) -> Any:
        return spectra(self._spectra(self.shown), r_opt=self._r_opt, label=label)


def _many_modes(measured: Power) -> Power:
    """The bins from the first one on whose modes are many enough for their directions to be even.

    The few modes of lower bins lie along the axes and the diagonals of the mesh, and turn much of
    the monopole into a hexadecapole.
    """
    cut = slice(int(np.argmax(measured.nmodes >= MANY_MODES)), None)
    poles = {ell: pole[cut] for ell, pole in measured.poles.items()}
    edges, k, nmodes = measured.edges[cut], measured.k[cut], measured.nmodes[cut]
    return Power(edges, k, nmodes, poles, measured.shotnoise)


def _caption(name: str, job: Job) -> Caption:
    title, words = paper_caption(name.removesuffix("_boxes"))
    if name == "losses":
        same = job.recipe.boxes.split == "paper"
        judged = "the test part itself, as in the paper" if same else "a universe of its own"
        alone = "" if job.recipe.training.context else ", each sub-box alone"
        levels = "Grey lines are the losses of what needs no network."
        return Caption(title, f"{words} {levels} Validated on {judged}{alone}.")
    if name.startswith("multipoles"):
        words += (
            f" Bins of fewer than {MANY_MODES} modes are left out: their directions are uneven."
        )
    if name.endswith("_boxes"):
        title += ", from sub-boxes"
    if name.endswith("_boxes") or name == "correlations":
        return Caption(title, _BOXES.format(number=job.recipe.num_sub_boxes("test")) + words)
    return Caption(title, words if name == "zooms" else _WHOLE + words)
