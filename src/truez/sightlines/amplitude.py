"""How much of an estimated overdensity the photo-z themselves want: the amplitude of lambda.

The intensity is ``lambda = max(1 + a delta, floor)``. Galaxies with expected counts N_j in the
cells of their sight lines and p(photo-z | cell j) = K_ij have the likelihood of a Poisson process,

    ln L(a) = sum over galaxies of ln[ sum_j N_j lambda_j K_ij ]  -  sum over cells of N lambda V,

with V the probability that a galaxy of a cell is in the sample at its photo-z. No true redshift
enters. Its maximum mends the amplitude of a delta of galaxies with another bias, and errors of the
linear model; where delta is right it is at a = 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.sightlines.posteriors import CHUNK_CELLS, interpolated
from truez.support.progress import Progress, silent

#: Amplitudes that are tried first, and the highest one.
_STEP, _HIGHEST = 0.25, 2.0


@dataclass(frozen=True)
class Amplitude:
    """The amplitude that maximises the likelihood of photo-z.

    Parameters
    ----------
    value : float
        From 0 to 2.
    error : float
        Its standard deviation, from the curvature; nan at an end.
    gain : float
        ln L above that of ``a = 0``, over the number of galaxies [nats].
    """

    value: float
    error: float
    gain: float


def fit_amplitude(
    box: Box,
    positions: NDArray[np.floating],
    likelihood: Callable[[NDArray[np.int64]], Tensor],
    *,
    delta: Tensor,
    expected: Tensor,
    visible: Tensor | None = None,
    floor: float = 0.05,
    progress: Progress = silent,
) -> Amplitude:
    """Fit the amplitude of an overdensity to the photo-z of galaxies.

    Parameters
    ----------
    box, positions, likelihood
        As in `truez.sightlines.posteriors.walk_rows`; the galaxies must be those that ``expected``
        counts, without those of known redshift that ``delta`` is made of.
    delta : Tensor (nx, ny, nz)
    expected : Tensor, broadcastable to (nx, ny, nz)
        Expected galaxies per cell.
    visible : Tensor (nz,), optional
        V, where the sample was cut in photo-z; 1 by default.
    floor : float
        Lowest intensity.
    progress : Progress

    Returns
    -------
    Amplitude

    Raises
    ------
    ValueError
        If there are no galaxies, none of which lies where galaxies are expected, the floor is not
        positive or delta does not fit the box.
    """
    if tuple(delta.shape) != box.meshsize:
        raise ValueError(f"delta must be of the mesh {box.meshsize}, not {tuple(delta.shape)}")
    if not 0 < floor < 1:
        raise ValueError(f"floor must be between 0 and 1, not {floor!r}")
    if len(positions) == 0:
        raise ValueError("there are no galaxies to fit the amplitude to")
    problem = _Problem(box, positions, likelihood, delta, expected.expand(box.meshsize),
                       visible, floor, progress)  # fmt: skip
    tried = _STEP * np.arange(round(_HIGHEST / _STEP) + 1)
    found = problem.log_likelihood(tried)
    best = int(np.argmax(found))
    if best in (0, len(tried) - 1):
        return Amplitude(float(tried[best]), math.nan, (found[best] - found[0]) / problem.num)
    near = np.asarray(tried[best] + _STEP * np.array([-0.5, 0.0, 0.5]), dtype=np.float64)
    three = problem.log_likelihood(near)
    # A parabola through the highest of five and its neighbours.
    all_near = np.array([found[best - 1], three[0], three[1], three[2], found[best + 1]])
    middle = 1 + int(np.argmax(all_near[1:4]))
    low, high, half = all_near[middle - 1], all_near[middle + 1], _STEP / 2
    curvature = (low - 2 * all_near[middle] + high) / half**2
    shift = (low - high) / (2 * half * curvature)
    value = tried[best] + half * (middle - 2) + shift
    top = all_near[middle] - 0.5 * curvature * shift**2
    return Amplitude(float(value), float((-curvature) ** -0.5), (top - found[0]) / problem.num)


class _Problem:
    """ln L of some amplitudes."""

    def __init__(
        self,
        box: Box,
        positions: NDArray[np.floating],
        likelihood: Callable[[NDArray[np.int64]], Tensor],
        delta: Tensor,
        expected: Tensor,
        visible: Tensor | None,
        floor: float,
        progress: Progress,
    ) -> None:
        self.box, self.positions, self.likelihood = box, positions, likelihood
        self.delta, self.expected, self.floor, self.progress = delta, expected, floor, progress
        self.visible = torch.ones(box.meshsize[2]) if visible is None else visible
        self.num = 0

    def log_likelihood(self, amplitudes: NDArray[np.float64]) -> NDArray[np.float64]:
        """ln L of each amplitude, (k,)."""
        result = -self._counted(amplitudes)
        step = max(1, CHUNK_CELLS // self.box.meshsize[2])
        self.num = 0
        for first in range(0, len(self.positions), step):
            self.progress("amplitude", first, len(self.positions))
            rows = np.arange(first, min(first + step, len(self.positions)))
            places = self.positions[rows].astype(np.float64)
            alone = self.likelihood(rows) * interpolated(self.expected, places, self.box)
            delta = interpolated(self.delta, places, self.box)
            good = alone.sum(1) > 0
            alone, delta = alone[good], delta[good]
            self.num += len(alone)
            for number, a in enumerate(amplitudes):
                seen = (alone * self._intensity(delta, a)).sum(1)
                result[number] += float(seen.log().sum(dtype=torch.float64))
        self.progress("amplitude", len(self.positions), len(self.positions))
        if self.num == 0:
            raise ValueError(
                "none of the galaxies to fit the amplitude to lies where galaxies are expected: "
                "check the footprint and N(z)"
            )
        return result

    def _counted(self, amplitudes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected galaxies of each amplitude."""
        result = np.zeros(len(amplitudes))
        for plane, expected in zip(self.delta, self.expected, strict=True):
            weights = expected * self.visible
            for number, a in enumerate(amplitudes):
                counted = (weights * self._intensity(plane, a)).sum(dtype=torch.float64)
                result[number] += float(counted)
        return result

    def _intensity(self, delta: Tensor, amplitude: float) -> Tensor:
        return (1 + amplitude * delta).clamp(min=self.floor)
