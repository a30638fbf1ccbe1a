"""Figures 2 to 6 of the paper and what it left out, from the files of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from truez.binning import Floats
from truez.files import write_text
from truez.paper.job import Job
from truez.paper.measure import read_boxes
from truez.progress import Progress
from truez.report import figures, paper_figures
from truez.spectra import Comparison, Correlation, Power, Power2D
from truez.spectra_results import read_table

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
    "unet-corrected-per-box": "UNet, Eq. 5 per box",
    "unet-corrected-constant": "UNet, Eq. 5 constant",
    "unet-corrected-normalised": "UNet, Eq. 5 normalised",
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
        "modes of each sub-box, of which none but the mean lies below; constant: the mean of "
        "P_spec / P_model, as printed, on the stitched field; normalised: that ratio at each k, "
        "the shot noise of the survey taken off, over its mean above k = 0.031 h/Mpc. Amplitudes "
        "are scaled by the root."
    ),
)


def figure_names(network: bool, corrections: Sequence[str]) -> list[str]:
    """Names of the figures of a run, in their order."""
    names = ["losses"] if network else []
    names += ["zooms", "auto_and_cross", "power_2d", "multipoles"]
    names += ["auto_and_cross_boxes", "multipoles_boxes", "correlations", "response", "spectra"]
    return [*names, "corrections"] if network and corrections else names


def draw(job: Job, progress: Progress) -> None:
    """Draw all figures as PNG and PDF, and their captions."""
    names = figure_names(job.network, job.recipe.boxes.corrections)
    results, target = job.folder / "results", job.folder / "figures"
    shown = [name for name in SHOWN if job.network or not name.startswith("unet")]
    # All filters where there is room for them.
    more = [n for n in LABELS if n in (*shown, "wiener-spec", "wiener-photo")]
    whole = {LABELS[n]: Comparison.read(results / f"spectra-{n}.ecsv") for n in more}
    optimum = read_table(results / "optimum.ecsv", "LinearOptimum")
    r_opt: Floats = np.asarray(optimum["r_opt_both"], dtype=np.float64)
    captions: dict[str, dict[str, str]] = {}
    for number, name in enumerate(names):
        progress("figures", number, len(names), name)
        title, words = _caption(name, job)
        if name == "losses":
            figure = _losses(job)
        elif name == "zooms":
            fields = {"truth": job.field("truth")}
            fields |= {LABELS[n]: job.field(n) for n in _columns(shown)}
            figure = paper_figures.zooms(fields)
        elif name == "auto_and_cross":
            lists = {LABELS[n]: [whole[LABELS[n]]] for n in shown}
            figure = paper_figures.auto_and_cross(lists, r_opt=r_opt)
        elif name == "auto_and_cross_boxes":
            parts = {LABELS[n]: _boxes(results, "spectra", n, Comparison) for n in shown}
            figure = paper_figures.auto_and_cross(parts)
        elif name == "power_2d":
            planes = {
                LABELS[n]: Power2D.read(results / f"plane-{n}.ecsv") for n in ("truth", *shown)
            }
            figure = paper_figures.power_2d(planes)
        elif name == "multipoles":
            poles = {
                LABELS[n]: [_many_modes(Power.read(results / f"poles-{n}.ecsv"))]
                for n in ("truth", *shown)
            }
            figure = paper_figures.multipoles(poles, poles.pop("truth"))
        elif name == "multipoles_boxes":
            poles = {
                LABELS[n]: [_many_modes(p) for p in _boxes(results, "poles", n, Power)]
                for n in ("truth", *shown)
            }
            figure = paper_figures.multipoles(poles, poles.pop("truth"))
        elif name == "correlations":
            figure = paper_figures.correlations(
                {LABELS[n]: _boxes(results, "xi", n, Correlation) for n in shown},
                {LABELS[n]: _boxes(results, "xi-truth", n, Correlation) for n in shown},
                _boxes(results, "xi", "truth", Correlation),
            )
        elif name == "response":
            figure = paper_figures.response(whole, r_opt=r_opt)
        elif name == "spectra":
            figure = figures.spectra(whole, r_opt=r_opt)
        else:
            figure = _corrections(job, results, r_opt)
        png, _ = figures.save(figure, target / name)
        captions[png.name] = {"title": title, "caption": words}
    write_text(target / "captions.json", json.dumps(captions, indent=1, ensure_ascii=False) + "\n")
    progress("figures", len(names), len(names))


def _columns(shown: Sequence[str]) -> list[str]:
    """Columns of Fig. 3: the best network, the filter, and the surveys, as many as are legible."""
    return [n for n in ("unet", "wiener", "spec", "photo") if n in shown]


def _boxes(folder: Path, kind: str, name: str, result: type) -> list:  # type: ignore[type-arg]
    return read_boxes(folder / f"boxes-{kind}-{name}.ecsv", result)


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


def _losses(job: Job) -> Any:
    rows = figures.read_losses(job.folder / "training/losses.csv")
    levels = read_table(job.folder / "results/levels.ecsv", "Levels")
    named = {"zero": "zero field", "wiener": "Wiener filter"}
    return figures.losses(
        rows["step"] / job.recipe.steps_per_epoch,
        rows["train"],
        rows["validation"],
        unit="epoch",
        levels={named[row["field"]]: float(row["mse"]) for row in levels},
    )


def _corrections(job: Job, results: Path, r_opt: Floats) -> Any:
    names = ["wiener", "unet-per-box", "unet"]
    names += [f"unet-corrected-{name}" for name in job.recipe.boxes.corrections]
    lines = {LABELS[n]: [Comparison.read(results / f"spectra-{n}.ecsv")] for n in names}
    return paper_figures.auto_and_cross(lines, r_opt=r_opt)


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
