"""Statistics of posterior samples beside those of their estimate and of the truth.

A point estimate of least squared error has r^2 of the truth's power; samples of a right posterior
have the statistics of the truth, and their r with it is the r^2 of the estimate. Whether they are
such, which one box does not show, is what `truez.evaluate.coverage` judges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.evaluate.judge import Judge
from truez.evaluate.store import BANDS, Band, in_words
from truez.mesh.field import Field
from truez.statistics.binning import Floats
from truez.statistics.correlation import correlation
from truez.statistics.power import power
from truez.statistics.sampled import ENDS
from truez.support.progress import Progress, silent

#: Degrees of the multipoles.
ELLS = (0, 2, 4)
#: Ranges of k [h/Mpc] in which samples are judged.
SAMPLED_BANDS: tuple[Band, ...] = (*BANDS, (0.5, 0.8))
#: Longest separation of xi [Mpc/h], and bins of the one-point PDF.
_REACH, _PDF_BINS = 60.0, 40
#: Quantile of the truth's cells that the one-point PDF ends at.
_PDF_END = 0.9995


@dataclass(frozen=True, eq=False)
class SampleBands:
    """What was measured of the samples of one estimate.

    Statistics have the names P0, P2, P4 and cross (power with the truth) in shells of k
    [(Mpc/h)^3], shot noise included, r in the same shells, xi in bins of separation, and pdf, the
    density of 1 + delta in the cells; on the sky P0, cross, r and pdf.

    Parameters
    ----------
    seed : int
        Of the samples.
    radius : float
        Of the Gaussian that fields are smoothed with for the one-point PDF [Mpc/h].
    nmodes : array (n,)
        Modes of each shell.
    x : dict of str to array
        k [h/Mpc], r [Mpc/h] or 1 + delta in the middle of each bin, by statistic.
    truth, estimate : dict of str to array
    samples : dict of str to array (num, n)
    """

    seed: int
    radius: float
    nmodes: Floats
    x: dict[str, Floats]
    truth: dict[str, Floats]
    estimate: dict[str, Floats]
    samples: dict[str, Floats]

    @property
    def num(self) -> int:
        """Number of samples."""
        return len(self.samples["P0"])

    def mean(self, name: str) -> Floats:
        """Mean of a statistic over the samples."""
        return np.asarray(self.samples[name].mean(axis=0))

    def band(self, name: str) -> tuple[Floats, Floats]:
        """Ends of the central 68% of the samples."""
        low, high = np.percentile(self.samples[name], ENDS, axis=0)
        return low, high

    @property
    def bands(self) -> list[Band]:
        """Those of `SAMPLED_BANDS` that hold a shell."""
        return [band for band in SAMPLED_BANDS if self._rows(band).any()]

    def power_ratio(self, band: Band) -> Floats:
        """Power of each sample over the truth's, both summed over the modes of a band, (num,)."""
        return np.asarray(self._sum(self.samples["P0"], band) / self._sum(self.truth["P0"], band))

    def power_ratio_of_estimate(self, band: Band) -> float:
        """The same of the estimate."""
        return float(self._sum(self.estimate["P0"], band) / self._sum(self.truth["P0"], band))

    def r(self, band: Band) -> Floats:
        """Correlation of each sample with the truth in a band, (num,)."""
        return np.asarray(self._r(self.samples, band))

    def r_of_estimate(self, band: Band) -> float:
        """The same of the estimate."""
        return float(self._r(self.estimate, band))

    def _r(self, found: dict[str, Floats], band: Band) -> Any:
        truth = self._sum(self.truth["P0"], band)
        return self._sum(found["cross"], band) / np.sqrt(self._sum(found["P0"], band) * truth)

    def _rows(self, band: Band) -> Any:
        return (self.x["P0"] >= band[0]) & (self.x["P0"] < band[1])

    def _sum(self, values: Floats, band: Band) -> Any:
        return (values * self.nmodes)[..., self._rows(band)].sum(axis=-1)

    def summary(self) -> dict[str, Any]:
        """Means over the samples and their scatter in bands of k, as plain values."""

        def spread(values: Floats) -> dict[str, float]:
            return {"mean": float(values.mean()), "std": _std(values)}

        found = {
            in_words(band): {
                "power_over_truth": spread(self.power_ratio(band)),
                "power_over_truth_estimate": self.power_ratio_of_estimate(band),
                "r": spread(self.r(band)),
                "r_squared_estimate": self.r_of_estimate(band) ** 2,
            }
            for band in self.bands
        }
        return {"number": self.num, "seed": self.seed, "bands": found}

    def to_dict(self) -> dict[str, Any]:
        """Curves as plain values, of the samples their mean and the ends of their 68%."""
        curves = {}
        for name, values in self.x.items():
            low, high = self.band(name)
            curves[name] = {
                "x": values, "truth": self.truth[name], "estimate": self.estimate[name],
                "mean": self.mean(name), "low": low, "high": high,
            }  # fmt: skip
        return {"number": self.num, "seed": self.seed, "pdf_radius": self.radius, "curves": curves}


def _std(values: Floats) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def sample_bands(
    judge: Judge,
    estimate: Field,
    samples: Sequence[Field],
    *,
    seed: int,
    name: str = "",
    progress: Progress = silent,
) -> SampleBands:
    """Measure an estimate, its posterior samples and the truth in the region of a judge.

    Parameters
    ----------
    judge : Judge
    estimate : Field
        On the whole box, as the samples are, which are read one at a time.
    samples : sequence of Field
    seed : int
        Of the samples.
    name : str
        Of the estimate, for the progress.
    progress : Progress
    """
    measure, nmodes, x = _measure(judge)
    truth = measure(judge.whole)
    found = []
    for number, sample in enumerate(samples):
        progress("samples", number, len(samples), name)
        found.append(measure(sample))
    progress("samples", len(samples), len(samples), name)
    stacked = {key: np.stack([one[key] for one in found]) for key in truth}
    radius = judge.radii[0] if judge.radii else 0.0
    return SampleBands(seed, radius, nmodes, x, truth, measure(estimate), stacked)


def pdf_edges(truth: NDArray[np.floating[Any]]) -> Floats:
    """Edges of the bins of the one-point PDF, of 1 + delta of the truth in the cells."""
    return np.linspace(float(truth.min()), float(np.quantile(truth, _PDF_END)), _PDF_BINS + 1)


def _measure(
    judge: Judge,
) -> tuple[Callable[[Field], dict[str, Floats]], Floats, dict[str, Floats]]:
    """What measures a field on the whole box, the modes of its shells, and its bins."""
    truth = judge.truth
    cell, side = max(truth.box.cellsize), min(truth.box.boxsize)
    # Whole numbers of cells, beyond the shot noise that the painting spreads.
    number = max(int(min(_REACH, side / 2) / (2 * cell)), 1)
    shells = cell * (1.5 + 2 * np.arange(number + 1))
    if number == 1:
        shells = cell * np.array([0.5, 1.0])
    radius = judge.radii[0] if judge.radii else 0.0
    smoothed = (judge.smoothed[radius] if radius else truth).numpy() + 1.0
    edges = pdf_edges(smoothed)
    whole = power(truth, edges=judge.edges, ells=ELLS)

    def measure(field: Field) -> dict[str, Floats]:
        here = judge.cut(field)
        poles = power(here, edges=judge.edges, ells=ELLS).poles
        cross = power(here, truth, edges=judge.edges, ells=(0,)).poles[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            r = cross / np.sqrt(poles[0] * whole.poles[0])
        cells = (judge.cut(field.smooth(radius)) if radius else here).numpy() + 1.0
        counts = np.histogram(cells, edges)[0] / (cells.size * np.diff(edges))
        xi = correlation(here, edges=shells).xi
        return {**{f"P{ell}": pole for ell, pole in poles.items()}, "cross": cross, "r": r,
                "xi": xi, "pdf": counts}  # fmt: skip

    middle = 0.5 * (edges[1:] + edges[:-1])
    separation = 0.5 * (shells[1:] + shells[:-1])
    x = {**dict.fromkeys([*(f"P{ell}" for ell in ELLS), "cross", "r"], whole.k),
         "xi": separation, "pdf": middle}  # fmt: skip
    return measure, whole.nmodes.astype(np.float64), x
