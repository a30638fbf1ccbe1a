"""Figures 2 to 6 of the paper and what it left out, from the files of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from truez.evaluate.figures import common as figures
from truez.evaluate.figures import paper as paper_figures
from truez.experiments.paper.job import Job
from truez.experiments.paper.measure import read_boxes
from truez.statistics.binning import Floats
from truez.statistics.power import Comparison, Correlation, Power, Power2D
from truez.statistics.results import Result, read_table
from truez.support.files import write_text
from truez.support.progress import Progress

R = TypeVar("R", bound=Result)

#: Fields by what figures call them. ``photo`` and ``spec`` have lines of their own.
LABELS = {
    "truth": "truth",
    "photo": "photo",
    "spec": "spec",
    "wiener": "Wiener filter",
    "wiener-spec": "Wiener, spec only",
    "wiener-photo": "Wiener, photo only",
    "unet": "UNet, tiled",
    "unet-per-box": "UNet, per box",
    "unet-corrected-per-box": "Eq. 5 per box",
    "unet-corrected-constant": "Eq. 5 constant",
    "unet-corrected-normalised": "Eq. 5 normalised",
}
#: What the figures of the paper show beside the truth, in their order.
SHOWN = ("spec", "photo", "wiener", "unet-per-box", "unet")

#: Modes in a bin (of each box) from which on its multipoles are drawn.
MANY_MODES = 100

_BOXES = "Measured in the {number} sub-boxes of the test part, each alone, and averaged. "
_WHOLE = "Measured on the whole test part. "
_EQ5 = (
    "Equation 5 on large scales",
    (
        "Power of the network's estimate before and after the correction of the modes k < 0.031 "
        "h/Mpc, and of the Wiener filter, which needs none. Per box: a constant factor on the "
        "modes of each sub-box, of which none but the mean lies below, so that the stitched field "
        "gains power on scales larger than a sub-box; constant: the mean of "
        "P_spec / P_model, as printed, on the stitched field; normalised: that ratio at each k, "
        "the shot noise of the survey taken off, over its mean above k = 0.031 h/Mpc. Amplitudes "
        "are scaled by the root."
    ),
)


def figure_names(network: bool, corrections: Sequence[str]) -> list[str]:
    """Names of the figures of a run, in their order."""
    left_out = {"losses", "corrections"} if not network else set()
    if not corrections:
        left_out.add("corrections")
    return [name for name in _FIGURES if name not in left_out]


def draw(job: Job, progress: Progress) -> None:
    """Draw all figures as PNG and PDF, and their captions."""
    names = figure_names(job.network, job.recipe.boxes.corrections)
    target = job.folder / "figures"
    found = _Found(job)
    captions: dict[str, dict[str, str]] = {}
    for number, name in enumerate(names):
        progress("figures", number, len(names), name)
        title, words = _caption(name, job)
        png, _ = figures.save(_FIGURES[name](found), target / name)
        captions[png.name] = {"title": title, "caption": words}
    write_text(target / "captions.json", json.dumps(captions, indent=1, ensure_ascii=False) + "\n")
    progress("figures", len(names), len(names))


class _Found:
    """What was measured in a run."""

    def __init__(self, job: Job) -> None:
        self.job, self.results = job, job.folder / "results"
        #: The fields that figures show beside the truth.
        self.shown = [name for name in SHOWN if job.network or not name.startswith("unet")]

    def spectra(self, names: Sequence[str]) -> dict[str, Comparison]:
        """Fields against the truth, on the whole test part."""
        read = Comparison.read
        return {LABELS[n]: read(self.results / f"spectra-{n}.ecsv") for n in names}

    def boxes(self, kind: str, result: type[R], *, truth: bool = False) -> dict[str, list[R]]:
        """Measurements of the sub-boxes; ``truth`` puts those of the truth before them."""
        names = ["truth", *self.shown] if truth else self.shown
        return {
            LABELS[n]: read_boxes(self.results / f"boxes-{kind}-{n}.ecsv", result) for n in names
        }

    @property
    def r_opt(self) -> Floats:
        """The linear optimum in the bins of `spectra`."""
        table = read_table(self.results / "optimum.ecsv", "LinearOptimum")
        return np.asarray(table["r_opt_both"], dtype=np.float64)


def _losses(found: _Found) -> Any:
    rows = figures.read_losses(found.job.folder / "training/losses.csv")
    levels = read_table(found.results / "levels.ecsv", "Levels")
    named = {"zero": "zero field", "wiener": "Wiener filter"}
    return figures.losses(
        rows["step"] / found.job.recipe.steps_per_epoch,
        rows["train"],
        rows["validation"],
        unit="epoch",
        levels={named[row["field"]]: float(row["mse"]) for row in levels},
    )


def _zooms(found: _Found) -> Any:
    # As many columns as are legible.
    names = [n for n in ("truth", "unet", "wiener", *SHOWN[:2]) if n in ("truth", *found.shown)]
    return paper_figures.zooms({LABELS[n]: found.job.field(n) for n in names})


def _auto_and_cross(found: _Found) -> Any:
    lines = {label: [result] for label, result in found.spectra(found.shown).items()}
    return paper_figures.auto_and_cross(lines, r_opt=found.r_opt)


def _auto_and_cross_boxes(found: _Found) -> Any:
    return paper_figures.auto_and_cross(found.boxes("spectra", Comparison))


def _power_2d(found: _Found) -> Any:
    names = ("truth", *found.shown)
    planes = {LABELS[n]: Power2D.read(found.results / f"plane-{n}.ecsv") for n in names}
    return paper_figures.power_2d(planes)


def _multipoles(found: _Found) -> Any:
    files = {n: found.results / f"poles-{n}.ecsv" for n in ("truth", *found.shown)}
    poles = {LABELS[n]: [_many_modes(Power.read(path))] for n, path in files.items()}
    return paper_figures.multipoles(poles, poles.pop("truth"))


def _multipoles_boxes(found: _Found) -> Any:
    measured = found.boxes("poles", Power, truth=True)
    poles = {name: [_many_modes(power) for power in each] for name, each in measured.items()}
    return paper_figures.multipoles(poles, poles.pop("truth"))


def _correlations(found: _Found) -> Any:
    auto = found.boxes("xi", Correlation, truth=True)
    truth = auto.pop("truth")
    return paper_figures.correlations(auto, found.boxes("xi-truth", Correlation), truth)


def _response(found: _Found) -> Any:
    # Here there is room for all filters; last, so that the others keep their colours.
    names = [*found.shown, "wiener-spec", "wiener-photo"]
    return paper_figures.response(found.spectra(names), r_opt=found.r_opt)


def _spectra(found: _Found) -> Any:
    return figures.spectra(found.spectra(found.shown), r_opt=found.r_opt)


def _corrections(found: _Found) -> Any:
    names = ["wiener", "unet-per-box", "unet"]
    names += [f"unet-corrected-{name}" for name in found.job.recipe.boxes.corrections]
    lines = {label: [result] for label, result in found.spectra(names).items()}
    return paper_figures.auto_and_cross(lines, r_opt=found.r_opt)


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


def _caption(name: str, job: Job) -> tuple[str, str]:
    known: Mapping[str, tuple[str, str]] = {**figures.CAPTIONS, **paper_figures.PAPER_CAPTIONS}
    if name == "corrections":
        return _EQ5[0], _WHOLE + _EQ5[1]
    title, words = known[name.removesuffix("_boxes")]
    if name == "losses":
        same = job.recipe.boxes.split == "paper"
        judged = "the test part itself, as in the paper" if same else "a universe of its own"
        alone = "" if job.recipe.training.context else ", each sub-box alone"
        return title, f"{words} Validated on {judged}{alone}."
    if name.startswith("multipoles"):
        words += (
            f" Bins of fewer than {MANY_MODES} modes are left out: their directions are uneven."
        )
    if name.endswith("_boxes"):
        title += ", from sub-boxes"
    if name.endswith("_boxes") or name == "correlations":
        return title, _BOXES.format(number=job.recipe.num_sub_boxes("test")) + words
    return title, words if name == "zooms" else _WHOLE + words
