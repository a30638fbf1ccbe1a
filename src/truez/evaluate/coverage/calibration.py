"""What the samples of many boxes are worth: the tests, from the numbers of each box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import Table

from truez.evaluate.coverage.numbers import SampleNumbers
from truez.evaluate.coverage.summaries import COUNT_CELLS, ELLS
from truez.evaluate.coverage.tenths import TENTHS
from truez.evaluate.coverage.vectors import KINDS, RADII
from truez.evaluate.store import array
from truez.statistics.binning import Floats
from truez.statistics.coverage import coverage_of, ranks_of, spread_over_skill
from truez.statistics.coverage_bands import Coverage, Ranks

#: How far the mean of the samples may lie from the truth: multipoles of P0, up to the first
#: wavenumber [h/Mpc] and beyond; the others of themselves.
LIMITS = {"P0": (0.01, 0.5, 0.02), "P2": (0.01, 0.8, 0.01), "P4": (0.01, 0.8, 0.01),
          "xi": (0.02,), "bispectrum": (0.05,)}  # fmt: skip
COUNT_LIMIT = 0.05
#: Share of cubes below which a bin of counts is not quoted.
LEAST_SHARE = 1e-3
#: Limits of r of a sample less r^2 of the estimate, of the MSE of the mean of the samples over that
#: of the estimate beyond 1 + 1/N, and of spread over skill.
R_LIMIT, MSE_LIMIT, SPREAD_LIMITS = 0.01, 0.01, (0.95, 1.05)

_POLES = {f"P{ell}": row for row, ell in enumerate(ELLS)}

#: What is compared with the truth, with the words for it.
DEVIATIONS = {
    "P0": "P0", "P2": "P2, of P0", "P4": "P4, of P0", "xi": "ξ(r)",
    "bispectrum": "equilateral bispectrum", "r": "r of a sample - r² of the estimate",
    **{f"counts_{side:g}": f"PDF of counts in {side:g} Mpc/h cells" for side in COUNT_CELLS},
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Deviation:
    """(mean of the samples - truth) / scale of a summary statistic, bin by bin, (n,) each.

    ``sigma`` is the scatter that right samples lead to: that of the truths around their mean.
    ``limit`` is what is asked for, and ``x`` the middle of the bins, whose ``edges`` are (n + 1,).
    """

    edges: Floats
    x: Floats
    value: Floats
    sigma: Floats
    limit: Floats

    @property
    def worst(self) -> float:
        """The deviation that is largest in units of its limit."""
        known = np.where(np.isfinite(self.value), np.abs(self.value) / self.limit, -1.0)
        return float(self.value[known.argmax()]) if (known >= 0).any() else math.nan

    @property
    def met(self) -> bool:
        """Whether all bins are within their limits."""
        return bool((np.abs(self.value) <= self.limit)[np.isfinite(self.value)].all())

    @property
    def chi(self) -> float:
        """The deviation that is largest in units of sigma, without its sign."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.abs(self.value / self.sigma)
        return float(ratio[np.isfinite(ratio)].max(initial=0.0))


@dataclass(frozen=True, eq=False)
class Line:
    """One test: what was found, and between which ends it should be.

    ``p`` is the probability that right samples do as badly, ``sigmas`` the largest deviation in
    units of what right samples scatter by; nan where they are not known.
    """

    name: str
    value: float
    low: float
    high: float
    met: bool
    p: float = math.nan
    sigmas: float = math.nan


@dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """The tests of the samples of one or more boxes.

    Parameters
    ----------
    boxes : sequence of SampleNumbers
        Of boxes with the same mesh, surveys and number of samples.

    Raises
    ------
    ValueError
        If there is none, or they differ in the number of samples.
    """

    boxes: Sequence[SampleNumbers]

    def __post_init__(self) -> None:
        numbers = {box.num_samples for box in self.boxes}
        if len(numbers) != 1:
            found = ", ".join(map(str, sorted(numbers))) or "no boxes"
            raise ValueError(f"boxes must have the same number of samples, not {found}")

    def __repr__(self) -> str:
        lines = self.lines()
        boxes = f"{len(self.boxes)} box{'es' if len(self.boxes) > 1 else ''}"
        return (
            f"Calibration of {self.num_samples} samples in {boxes}: "
            f"{sum(line.met for line in lines)} of {len(lines)} tests passed"
        )

    @property
    def num_samples(self) -> int:
        """Number of samples of each box."""
        return self.boxes[0].num_samples

    @property
    def kinds(self) -> list[str]:
        """The kinds of statistics."""
        return [kind for kind in KINDS if kind in self.boxes[0].content["kinds"]]

    def coverage(self, kind: str) -> Coverage:
        """Expected coverage by TARP."""
        return coverage_of([box.kind(kind, "distance").astype(np.int64) for box in self.boxes])

    def ranks(self, kind: str) -> Ranks:
        """Ranks of the truth."""
        return ranks_of([box.kind(kind, "value").astype(np.int64) for box in self.boxes])

    def spread(self, kind: str) -> tuple[float, float, float]:
        """Spread over skill, and where it is for right samples in 95% of the cases."""
        return spread_over_skill([box.kind(kind, "spread") for box in self.boxes])

    def crps(self, kind: str) -> float:
        """Mean score of the numbers of a kind; lower is better."""
        return float(np.mean([box.content["kinds"][kind]["crps"] for box in self.boxes]))

    def deviation(self, name: str) -> Deviation:
        """How far the mean of the samples lies from the truth in one of `DEVIATIONS`."""
        if name == "r":
            return self._of_r()
        edges, truth = self.boxes[0].edges("poles" if name in _POLES else name), self._truth(name)
        scale = self._truth("P0") if name in _POLES else truth
        samples = self._samples(name)
        if name in _POLES:
            x = array(self.boxes[0].content["x"]["poles"])
            small, border, large = LIMITS[name]
            limit = np.where(edges[1:] <= border * (1 + 1e-9), small, large)
        elif name.startswith("counts"):
            x = np.array([edges[0] / 2, *np.sqrt(edges[:-1] * edges[1:]), edges[-1] * 2**0.5])
            edges = np.array([0.0, *edges, edges[-1] * 2])
            share = np.mean(truth, axis=0)
            scale = [np.where(share >= LEAST_SHARE, each, np.nan) for each in truth]
            limit = np.full(len(x), COUNT_LIMIT)
        else:
            x = 0.5 * (edges[1:] + edges[:-1])
            limit = np.full(len(x), LIMITS[name][0])
        total = np.abs(np.sum(scale, axis=0))
        apart = np.sum([s.mean(axis=0) - t for s, t in zip(samples, truth, strict=True)], axis=0)
        variance = np.sum([s.var(axis=0, ddof=1) for s in samples], axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = apart / total
            sigma = np.sqrt(variance * (1 + 1 / self.num_samples)) / total
        return Deviation(edges, x, value, sigma, limit)

    def _of_r(self) -> Deviation:
        """r of a sample less r^2 of the estimate; of their scatter that of the samples is known."""
        r, square, _ = self.correlation()
        truth = self._truth("P0")
        each = [
            array(box.content["cross"]) / np.sqrt(own * t)
            for box, own, t in zip(self.boxes, self._samples("P0"), truth, strict=True)
        ]
        variance = np.sum([found.var(axis=0, ddof=1) for found in each], axis=0)
        sigma = np.sqrt(variance) / len(self.boxes)
        edges, x = self.boxes[0].edges("poles"), array(self.boxes[0].content["x"]["poles"])
        return Deviation(edges, x, r - square, sigma, np.full(len(x), R_LIMIT))

    def correlation(self) -> tuple[Floats, Floats, Floats]:
        """r of a sample with the truth, r^2 of the estimate, r^2 of the mean, in bands of k."""
        power = self._sum(lambda box: box.samples("poles")[:, 0].mean(axis=0))
        cross = self._sum(lambda box: array(box.content["cross"]).mean(axis=0))
        truth = self._sum(lambda box: box.truth("poles")[0])
        found = [cross / np.sqrt(power * truth)]
        for name in ("estimate", "mean"):
            own, both = (
                self._sum(lambda box, n=name, p=part: array(box.content[n][p]))
                for part in ("power", "cross")
            )
            found.append(both**2 / (own * truth))
        return found[0], found[1], found[2]

    def mse(self) -> dict[str, float]:
        """MSE of the mean of the samples over that of the estimate, by radius [Mpc/h]."""
        found = {}
        for radius in self.boxes[0].content["mse"]:
            mean, estimate = (
                sum(box.content["mse"][radius][name] for box in self.boxes)
                for name in ("mean", "estimate")
            )
            found[radius] = mean / estimate
        return found

    def tenths(self, radius: float) -> Floats:
        """Spread over squared error in tenths of the spread, and last in all cells, (11,)."""
        key = f"{radius:g}"
        spread, error = (
            self._sum(lambda box, p=part: array(box.content["tenths"][key][p]))
            for part in ("spread", "error")
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Floats = spread / error
        return ratio

    def lines(self) -> list[Line]:
        """All tests."""
        found = []
        for kind in self.kinds:
            for what, band in (("TARP", self.coverage(kind)), ("ranks", self.ranks(kind))):
                row = int(np.abs(band.value - band.expected).argmax())
                low, high = (float(end[row] - band.expected[row]) for end in (band.low, band.high))
                name = f"{what}, {KINDS[kind]}"
                found.append(Line(name, band.deviation, low, high, band.inside, band.p))
            ratio, low, high = self.spread(kind)
            name = f"spread over skill, {KINDS[kind]}"
            found.append(Line(name, ratio, low, high, low <= ratio <= high))
        for name, words in DEVIATIONS.items():
            one = self.deviation(name)
            limit = float(one.limit.max())
            title = words if name == "r" else f"samples / truth - 1, {words}"
            found.append(Line(title, one.worst, -limit, limit, one.met, sigmas=one.chi))
        high = 1 + 1 / self.num_samples + MSE_LIMIT
        for key, ratio in self.mse().items():
            name = f"MSE of the mean of the samples / of the estimate, R = {key}"
            found.append(Line(name, ratio, 0.0, high, ratio <= high))
        low, high = SPREAD_LIMITS
        for radius in RADII:
            ratios = self.tenths(radius)[:TENTHS]
            worst = float(ratios[np.abs(np.log(ratios)).argmax()])
            name = f"spread / error, worst tenth, R = {radius:g}"
            found.append(Line(name, worst, low, high, low <= worst <= high))
        return found

    def to_table(self) -> Table:
        """All tests as rows of an astropy Table."""
        lines = self.lines()
        names = ("name", "value", "low", "high", "met", "p", "sigmas")
        table = Table({name: [getattr(line, name) for line in lines] for name in names})
        table.meta.update({"samples": self.num_samples, "boxes": len(self.boxes)})
        return table

    def to_dict(self) -> dict[str, Any]:
        """All tests as plain values."""
        return {line.name: vars(line) for line in self.lines()}

    def plot(self, *, what: str = "coverage") -> Any:
        """Draw the tests: ``coverage``, ``ranks``, ``deviations`` or ``cells``.

        Returns
        -------
        matplotlib Figure
        """
        from truez.evaluate.figures import coverage

        drawings = {
            "coverage": lambda: coverage.coverage({k: {"": self.coverage(k)} for k in self.kinds}),
            "ranks": lambda: coverage.ranks({k: {"": self.ranks(k)} for k in self.kinds}),
            "deviations": lambda: coverage.deviations(
                {name: {"": self.deviation(name)} for name in DEVIATIONS}
            ),
            "cells": lambda: coverage.tenths({r: {"": self.tenths(r)} for r in RADII}),
        }
        if what not in drawings:
            raise ValueError(f"what must be one of {', '.join(drawings)}, not {what!r}")
        return drawings[what]()

    def _truth(self, name: str) -> list[Floats]:
        """A summary statistic of the truth in each box; P0, P2 and P4 are rows of the poles."""
        if name in _POLES:
            return [box.truth("poles")[_POLES[name]] for box in self.boxes]
        return [box.truth(name) for box in self.boxes]

    def _samples(self, name: str) -> list[Floats]:
        """The same of the samples."""
        if name in _POLES:
            return [box.samples("poles")[:, _POLES[name]] for box in self.boxes]
        return [box.samples(name) for box in self.boxes]

    def _sum(self, number_of: Any) -> Floats:
        return np.asarray(np.sum([number_of(box) for box in self.boxes], axis=0), np.float64)
