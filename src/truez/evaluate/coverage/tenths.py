"""Spread of the samples and error of their mean, cell by cell, in tenths of the spread.

A tenth of the cells chosen by the spread of few samples holds cells whose spread is small by
chance, and its error would exceed it even for right samples. So half of the samples choose the
cells, and the others are judged in them; then the halves change places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.statistics.binning import Floats

Values = NDArray[np.float32]

#: Parts of equal size.
TENTHS = 10


class Halves:
    """Sums over samples, those of even and of odd number apart: eight meshes for three radii."""

    def __init__(self, box: Box, radii: tuple[float, ...]) -> None:
        self.box, self.radii, self.number = box, radii, [0, 0]
        self.sums = [np.zeros(box.meshsize, np.float32) for _ in range(2)]
        self.squares = {
            radius: [np.zeros(box.meshsize, np.float32) for _ in range(2)] for radius in radii
        }

    def add(self, smoothed: Mapping[float, Values]) -> None:
        """Add a sample, smoothed with each radius (0 for itself)."""
        half = sum(self.number) % 2
        self.sums[half] += smoothed[0.0]
        for radius in self.radii:
            self.squares[radius][half] += smoothed[radius] ** 2
        self.number[half] += 1

    def mean(self) -> Field:
        """Mean of all samples."""
        total = torch.from_numpy(self.sums[0] + self.sums[1])
        return Field(total / sum(self.number), self.box)

    def numbers(self, truth: Mapping[float, Values]) -> dict[str, Any]:
        """``spread`` and ``error`` in each tenth and in all cells, for each radius.

        The spread is (1 + 1/n) times the variance of n samples, the error that of their mean,
        squared. The truth is smoothed as the samples were.
        """
        return {f"{radius:g}": self._of(radius, truth[radius]) for radius in self.radii}

    def _of(self, radius: float, truth: Values) -> dict[str, Floats]:
        means, variances = [], []
        for half in (0, 1):
            number = self.number[half]
            mean = Field(torch.from_numpy(self.sums[half]) / number, self.box)
            # Smoothing the sum is the sum of the smoothed ones.
            values = (mean.smooth(radius) if radius else mean).numpy()
            means.append(values)
            variance = (self.squares[radius][half] / number - values**2) * (number / (number - 1))
            variances.append(np.maximum(variance, 0.0))
        spread, error = np.zeros(TENTHS + 1), np.zeros(TENTHS + 1)
        for chooser, judged in ((0, 1), (1, 0)):
            parts = np.array_split(np.argsort(variances[chooser], axis=None), TENTHS)
            squared = ((truth - means[judged]) ** 2).ravel()
            inner = variances[judged].ravel() * (1 + 1 / self.number[judged])
            for row, part in enumerate(parts):
                spread[row] += inner[part].mean(dtype=np.float64) / 2
                error[row] += squared[part].mean(dtype=np.float64) / 2
            spread[-1] += inner.mean(dtype=np.float64) / 2
            error[-1] += squared.mean(dtype=np.float64) / 2
        return {"spread": spread, "error": error}
