"""What an evaluation found: numbers, tables, pictures and the files that hold them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table as ColumnTable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from truez.evaluate.figures.captions import write_pictures
from truez.evaluate.figures.planes import power_2d as draw_planes
from truez.evaluate.figures.slices import slice_limits, slices
from truez.evaluate.figures.spectra import lost
from truez.evaluate.figures.spectra import spectra as draw_spectra
from truez.evaluate.figures.style import Picture
from truez.evaluate.labels import CONSTANTS, SURVEYS, given_label, heading
from truez.evaluate.tables import Table, make_table, plain, spread
from truez.mesh.field import Field
from truez.statistics.power import Comparison, power_2d
from truez.statistics.scores import SCORES, Scores, SubBoxScores
from truez.support.files import atomic_path, write_text

HOW_TO_READ = (
    "The best of each column is marked. MSE/Var is the mean squared error over the variance of the "
    "truth, R a Gaussian smoothing [Mpc/h] of both fields, C the correlation coefficient of the "
    "cells. The zero field scores the variance of the truth and the empty field a mean absolute "
    "error of 1 (for a truth of mean zero): a method is judged beside both."
)

#: Ranges of k [h/Mpc] in which r is quoted.
BANDS = ((0.03, 0.066), (0.1, 0.15), (0.2, 0.3), (0.3, 0.5))


@dataclass(frozen=True, eq=False)
class Result:
    """One field against the truth.

    Parameters
    ----------
    scores : dict of smoothing radius [Mpc/h] to Scores
        Over the region; radius 0 is the field as it is.
    mse_over_variance : dict of smoothing radius [Mpc/h] to float
        The mean squared error over the variance of the truth smoothed alike.
    comparison : Comparison
        Spectra against the truth, in the bins of the evaluation.
    sub_boxes : SubBoxScores or None
        Scores of sub-boxes, where the region holds at least two.
    """

    scores: dict[float, Scores]
    mse_over_variance: dict[float, float]
    comparison: Comparison
    sub_boxes: SubBoxScores | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found.

    Parameters
    ----------
    truth : Field
        The truth in the region.
    fields : dict of name to Field
        Every method but the constant ones, in the region.
    results : dict of name to Result
        Every method: ``zero``, ``empty``, ``photo``, ``spec``, then the reconstructions.
    r_opt : array (n,) or None
        Correlation coefficient of the linear optimum in the bins of the results.
    about : dict
        Plain values that say what was judged: box, region, variance, bins, sub-boxes.
    """

    truth: Field
    fields: dict[str, Field]
    results: dict[str, Result]
    r_opt: NDArray[np.float64] | None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def smoothing(self) -> tuple[float, ...]:
        """The smoothing radii [Mpc/h]."""
        return tuple(next(iter(self.results.values())).scores)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``metrics.json``; what is not a finite number is None."""
        contents: dict[str, Any] = plain(
            {name: self._entry(found) for name, found in self.results.items()}
        )
        return contents

    def _entry(self, result: Result) -> dict[str, Any]:
        spectra = result.comparison
        entry: dict[str, Any] = dict(result.scores[0.0])
        entry["mse_over_variance"] = result.mse_over_variance[0.0]
        entry["smoothed"] = {
            f"{radius:g}": {
                **result.scores[radius],
                "mse_over_variance": result.mse_over_variance[radius],
            }
            for radius in self.smoothing
            if radius > 0
        }
        entry["k"], entry["r"] = spectra.k, spectra.r
        entry["transfer"], entry["power"] = spectra.transfer, spectra.power_rr
        entry["r_opt"], entry["lost_over_optimum"] = self.r_opt, None
        if self.r_opt is not None:
            entry["lost_over_optimum"] = lost(spectra.r, self.r_opt)
        if result.sub_boxes is not None:
            boxes = result.sub_boxes
            entry["sub_boxes"] = {
                name: {
                    "mean": boxes.mean[name],
                    "sigma": boxes.sigma[name],
                    "error": boxes.error[name],
                }
                for name in boxes.values
            }
        return entry

    def table(self) -> Table:
        """The scores over the region, one row for each method."""
        smoothed = [f"MSE/Var, R = {r:g}" if r else "MSE/Var" for r in self.smoothing]
        columns = [heading(name) for name in SCORES] + [(name, "#.3g", -1) for name in smoothed]
        values = [
            [result.scores[0.0][name] for name in SCORES]
            + [result.mse_over_variance[radius] for radius in self.smoothing]
            for result in self.results.values()
        ]
        return make_table("Scores over the region", columns, list(self.results), values)

    def band_table(self) -> Table:
        """r(k) in bands of k [h/Mpc], averaged over modes, with the linear optimum where known."""
        first = next(iter(self.results.values())).comparison
        bands = [(a, b) for a, b in BANDS if ((first.k >= a) & (first.k < b)).any()]
        names = [name for name in self.results if name not in CONSTANTS]
        values = [
            [_band_mean(first, self.results[name].comparison.r, band) for band in bands]
            for name in names
        ]
        columns = [(f"{low:g} to {high:g}", ".3f", 1) for low, high in bands]
        table = make_table("r(k) by scale, k in h/Mpc", columns, names, values)
        if self.r_opt is None:
            return table
        limit = (f"{_band_mean(first, self.r_opt, band):.3f}" for band in bands)
        last = ("linear optimum", *limit)
        return Table(table.title, table.columns, (*table.rows, last), table.best)

    def sub_box_table(self) -> Table | None:
        """Mean and 1 sigma scatter over sub-boxes with the error of the mean, as in Table I."""
        rows = []
        for name, result in self.results.items():
            if result.sub_boxes is None:
                return None
            mean, sigma, error = (getattr(result.sub_boxes, x) for x in ("mean", "sigma", "error"))
            cells = (spread(mean[score], sigma[score], error[score]) for score in SCORES)
            rows.append((given_label(name), *cells))
        title = f"Mean ± 1 sigma over {self.about['sub_boxes']['number']} sub-boxes"
        columns = ("field", *(heading(name)[0] for name in SCORES))
        return Table(f"{title} (error of the mean)", columns, tuple(rows), frozenset())

    def tables(self) -> list[Table]:
        """Every table that there is."""
        tables = (self.table(), self.band_table(), self.sub_box_table())
        return [table for table in tables if table is not None and len(table.columns) > 1]

    def context(self) -> str:
        """One paragraph on what was judged and how to read the tables."""
        mean = round(self.about["mean"], 3) + 0.0  # no minus zero
        parts = [
            f"Judged over {self.truth.box}.",
            f"The truth there has mean {mean:g} and variance {self.about['variance'][0]:#.3g}.",
            HOW_TO_READ,
        ]
        if "sub_boxes" in self.about:
            boxes = self.about["sub_boxes"]
            cells = " x ".join(str(n) for n in boxes["cells"])
            parts.append(
                f"Sub-boxes have {cells} cells and cover {100 * boxes['covered']:.0f}% of the "
                "region; the error of the mean takes them as independent."
            )
        return " ".join(parts)

    def markdown(self) -> str:
        """The tables as a Markdown page."""
        parts = ["# Evaluation", self.context()]
        for table in self.tables():
            parts += [f"## {table.title}", table.markdown().rstrip()]
        return "\n\n".join(parts) + "\n"

    def columns(self) -> ColumnTable:
        """The spectra of every field as columns, for ``spectra.ecsv``.

        k [h/Mpc], nmodes, power_truth [(Mpc/h)^3], r_opt where known, and for each field its r,
        transfer and power [(Mpc/h)^3]; all powers contain shot noise.
        """
        first = next(iter(self.results.values())).comparison
        table = ColumnTable({"k": first.k, "nmodes": first.nmodes, "power_truth": first.power_tt})
        if self.r_opt is not None:
            table["r_opt"] = self.r_opt
        for name, result in self.results.items():
            spectra = result.comparison
            table[f"r_{name}"] = spectra.r
            table[f"transfer_{name}"] = spectra.transfer
            table[f"power_{name}"] = spectra.power_rr
        for name in table.colnames:
            if name == "k":
                table[name].description = "mean wavenumber [h/Mpc]"
            elif name.startswith("power_"):
                table[name].description = "power, shot noise included [(Mpc/h)^3]"
        return table

    def pictures(self) -> dict[str, Callable[[], Figure]]:
        """What draws each figure: slices along and across the line of sight, spectra, power_2d."""
        names = [name for name in self.fields if name not in SURVEYS] + ["spec", "photo"]
        shown = {"truth": self.truth, **{name: self.fields[name] for name in names}}
        limits = slice_limits(self.truth)
        lines = {n: found.comparison for n, found in self.results.items() if n not in CONSTANTS}
        planes = {name: power_2d(shown[name]) for name in shown}
        return {
            "slices_along": partial(slices, shown, view="along", limits=limits),
            "slices_across": partial(slices, shown, view="across", limits=limits),
            "spectra": partial(draw_spectra, lines, r_opt=self.r_opt),
            "power_2d": partial(draw_planes, planes),
        }

    def write(
        self,
        folder: str | Path,
        *,
        provenance: Mapping[str, Any] | None = None,
        figures: Mapping[str, Callable[[], Figure]] | None = None,
    ) -> list[Picture]:
        """Write everything into ``folder`` and give the pictures with their captions.

        Parameters
        ----------
        folder : str or Path
            Made if it does not exist. Gets ``metrics.json`` (by field), ``about.json`` (what was
            judged), ``table.md``, ``spectra.ecsv`` and each figure as PNG and PDF, with
            ``captions.json``.
        provenance : mapping, optional
            What made the fields; stored in ``about.json``.
        figures : mapping of name to callable, optional
            Further figures to draw, such as ``losses``.
        """
        folder = Path(folder)
        write_text(folder / "table.md", self.markdown())
        with atomic_path(folder / "spectra.ecsv") as temporary:
            self.columns().write(temporary, format="ascii.ecsv", overwrite=True)
        pictures = write_pictures(folder, {**self.pictures(), **(figures or {})})
        about = {**self.about, "provenance": dict(provenance or {})}
        # The numbers come last: a folder that holds them is whole.
        for name, contents in (("about", plain(about)), ("metrics", self.to_dict())):
            text = json.dumps(contents, indent=1, allow_nan=False, ensure_ascii=False)
            write_text(folder / f"{name}.json", text + "\n")
        return pictures


def _band_mean(
    comparison: Comparison, values: NDArray[np.float64], band: tuple[float, float]
) -> float:
    inside = (comparison.k >= band[0]) & (comparison.k < band[1])
    return float(np.average(values[inside], weights=comparison.nmodes[inside]))
