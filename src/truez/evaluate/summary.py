"""Means over boxes with their errors, and methods beside each other on the same boxes.

One box is the simplest case: its means are its numbers, and have no error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from truez.evaluate.labels import label
from truez.evaluate.store import BANDS, Band, Numbers, Optimum, Spectra, array, in_words


@dataclass(frozen=True)
class Mean:
    """Mean over boxes and its error, the scatter over the root of their number; nan for one box."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Mean:
        """Of one number per box."""
        return cls(tuple(float(value) for value in values))

    @property
    def mean(self) -> float:
        """The mean."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def error(self) -> float:
        """The error of the mean."""
        number = len(self.values)
        return float(np.std(self.values, ddof=1)) / math.sqrt(number) if number > 1 else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"mean": self.mean, "error": self.error, "boxes": list(self.values)}


@dataclass(frozen=True, eq=False)
class Measured:
    """Boxes with the same surveys, and shells of k.

    ``name`` and ``words`` are those of the surveys, for titles and for readers. Where the
    ``optimum`` of all the boxes is not known, what was observed in each stands in for it;
    ``called`` is the text of a method in tables.
    """

    boxes: Sequence[Numbers]
    name: str = ""
    words: str = ""
    seeds: Sequence[int] = ()
    optimum: Optimum | None = None
    called: Callable[[str], str] = label

    @property
    def methods(self) -> list[str]:
        """The methods that every box has, in the order of the first."""
        first, *others = (box.methods for box in self.boxes)
        return [name for name in first if all(name in methods for methods in others)]

    @property
    def waves(self) -> list[str]:
        """The methods that have spectra: all but the constant fields."""
        return [name for name in self.methods if "power" in self.boxes[0].methods[name]]

    @property
    def absent(self) -> dict[str, str]:
        """Methods that are left out, and why."""
        found: dict[str, str] = {}
        for box in self.boxes:
            found |= box.content.get("absent", {})
        return found

    def over_boxes(self, number: Callable[[Numbers], float]) -> Mean:
        """One number of every box."""
        return Mean.of(number(box) for box in self.boxes)

    def numbers(self, method: str) -> dict[str, Mean]:
        """All single numbers of a method that every box has."""
        rows = [box.numbers(method) for box in self.boxes]
        keys = [key for key in rows[0] if all(key in row for row in rows)]
        return {key: Mean.of(row[key] for row in rows) for key in keys}

    def number(self, method: str, key: str) -> Mean | None:
        """One of them; None where the method or the number is not there."""
        if method not in self.methods:
            return None
        return self.numbers(method).get(key)

    def ratio(self, one: str, other: str, key: str) -> Mean | None:
        """The mean of the boxes' own ratios of a number of two methods."""
        return self._paired(one, other, key, lambda a, b: a / b if b else math.nan)

    def difference(self, one: str, other: str, key: str) -> Mean | None:
        """The mean of the boxes' own differences."""
        return self._paired(one, other, key, lambda a, b: a - b)

    def _paired(
        self, one: str, other: str, key: str, join: Callable[[float, float], float]
    ) -> Mean | None:
        first, second = self.number(one, key), self.number(other, key)
        if first is None or second is None:
            return None
        return Mean.of(join(a, b) for a, b in zip(first.values, second.values, strict=True))

    # In bands of k

    def r(self, method: str, band: Band) -> Mean:
        """Correlation with the truth."""
        return self._spectra(method, band, lambda found: found.r)

    def transfer(self, method: str, band: Band) -> Mean:
        """T = sqrt(P_rr / P_tt)."""
        return self._spectra(method, band, lambda found: found.transfer)

    def auto_over_cross(self, method: str, band: Band) -> Mean:
        """P_rr / P_rt, 1 for an estimate of least squared error."""
        return self._spectra(
            method, band, lambda found: found.rr / found.rt if found.rt else math.nan
        )

    def _spectra(self, method: str, band: Band, number: Callable[[Spectra], float]) -> Mean:
        return self.over_boxes(lambda box: number(box.spectra(box.methods[method], band)))

    def pole_percent(self, method: str, ell: int, band: Band) -> Mean:
        """A multipole of the estimate over that of the truth [percent]."""

        def one(box: Numbers) -> float:
            truth = box.pole(box.content["truth"], ell, band)
            return 100 * box.pole(box.methods[method], ell, band) / truth if truth else math.nan

        return self.over_boxes(one)

    def optimum_lost(self, band: Band) -> float:
        """1 - r_opt^2 from the spectra of all boxes with the truth, or as observed."""
        if self.optimum is None:
            return self.observed_lost(band).mean
        return self.boxes[0].lost(band, self.optimum)

    def r_opt(self, band: Band) -> float:
        """The linear optimum's correlation with the truth."""
        return math.sqrt(max(1 - self.optimum_lost(band), 0.0))

    def observed_lost(self, band: Band) -> Mean:
        """1 - r_opt^2 as the fits to the observed fields have it."""
        return self.over_boxes(lambda box: box.lost(band))

    def lost_over_optimum(self, method: str, band: Band) -> Mean:
        """(1 - r^2) / (1 - r_opt^2)."""
        limit = self.optimum_lost(band)
        return self._spectra(
            method, band, lambda found: (1 - found.r**2) / limit if limit > 0 else math.nan
        )

    def sigma_deciles(self, method: str) -> list[Mean] | None:
        """Variance of (truth - estimate) / sigma in tenths of sigma; None where it is not known."""
        entries = [box.methods.get(method, {}) for box in self.boxes]
        found = [entry.get("sigma_calibration", {}) for entry in entries]
        if not all("variance" in one for one in found):
            return None
        return [Mean.of(row) for row in np.transpose([array(one["variance"]) for one in found])]

    def to_dict(self) -> dict[str, Any]:
        """All means, as plain values for ``summary.json``."""

        def in_bands(number: Callable[[str, Band], Mean], name: str) -> dict[str, Any]:
            return {in_words(band): number(name, band).to_dict() for band in BANDS}

        numbers = (self.r, self.transfer, self.lost_over_optimum)
        return {
            "words": self.words,
            "seeds": list(self.seeds),
            "absent": self.absent,
            "methods": {
                name: {key: mean.to_dict() for key, mean in self.numbers(name).items()}
                for name in self.methods
            },
            "bands": {
                name: {number.__name__: in_bands(number, name) for number in numbers}
                for name in self.waves
            },
            "optimum": {
                in_words(band): {
                    "lost": self.optimum_lost(band),
                    "lost_as_observed": self.observed_lost(band).to_dict(),
                }
                for band in BANDS
            },
        }
