"""Two surveys of a universe as tensors for a column network: crops, symmetries and scores.

See `truez.training.column_samples` for where views come from and how long they live.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.painting import paint
from truez.networks.column_inputs import ColumnInputs
from truez.networks.column_net import ColumnNet
from truez.networks.error_head import SMALLEST, surprise
from truez.networks.symmetries import apply_symmetry
from truez.sightlines.conserve import PhotoClass, Spread, information, redistribute, variance
from truez.sightlines.kernel import Kernel
from truez.surveys.mock import Mock
from truez.training.samples import draw_symmetry
from truez.training.universe_samples import wrapped


@dataclass(frozen=True, eq=False)
class ColumnView:
    """Fields and galaxy counts of two surveys of a universe.

    Parameters
    ----------
    values : Tensor (8, nx, ny, nz)
        The six input fields of the network, and the photometric galaxies of unknown redshift at
        their true positions: counts per cell (`truez.sightlines.conserve`), and painted counts.
    photo : Tensor (2, nx, ny, num_photo)
        The same galaxies at their photo-z, in a closed box also beyond its faces: counts per cell,
        and sums of squared weights.
    conditions : Tensor (5,)
        See `truez.networks.column_net.CONDITIONS`.
    kernel : Kernel
    spread : Spread
    level : float
        Mean number of photometric galaxies per cell.
    variance : float
        Variance of the true overdensity.
    """

    values: Tensor
    photo: Tensor
    conditions: Tensor
    kernel: Kernel
    spread: Spread
    level: float
    variance: float

    @classmethod
    def of(
        cls, mock: Mock, inputs: ColumnInputs, galaxies: PhotoClass, resampler: str
    ) -> ColumnView:
        """The view of what `truez.training.column_samples.observed` returns."""
        surveys, kernel = mock.surveys, galaxies.kernel
        assert galaxies.true_counts is not None
        assert galaxies.squares is not None
        level = len(mock.truth) / surveys.box.num_cells
        truth = paint(mock.truth, surveys.box, resampler).values
        known: NDArray[np.bool_] = ~surveys.photo_only()
        moving = truth - paint(mock.truth[known], surveys.box, resampler).values
        parts = [inputs.values, torch.stack([galaxies.true_counts, moving])]
        return cls(
            values=torch.cat(parts),
            photo=torch.stack([galaxies.counts, galaxies.squares]),
            conditions=inputs.conditions,
            kernel=kernel,
            spread=Spread.of(resampler, kernel),
            level=level,
            variance=float(truth.double().var()) / level**2,
        )

    @property
    def periodic(self) -> bool:
        """Whether the box is periodic; otherwise it is closed."""
        return self.kernel.periodic

    @property
    def fields(self) -> Tensor:
        """Input fields of the network, (6, nx, ny, nz)."""
        return self.values[:6]

    def crop(
        self, rng: np.random.Generator, shape: Sequence[int], *, symmetries: bool
    ) -> ColumnView:
        """Whole sight lines at a random position; ``shape`` holds the cells across the sky.

        With ``symmetries`` a random one of those that keep the line of sight is applied.
        """
        corner = rng.integers(self.values.shape[1:])
        if not self.periodic:
            room = [n - size + 1 for n, size in zip(self.photo.shape[1:], shape[:2], strict=False)]
            corner = np.array([*(c % r for c, r in zip(corner, room, strict=False)), 0])
        result = self.cut(corner, shape)
        if not symmetries:
            return result
        number = draw_symmetry(result.values.shape, rng)
        values, photo = (apply_symmetry(part, number) for part in (result.values, result.photo))
        return replace(result, values=values, photo=photo)

    def cut(self, corner: Sequence[int] | NDArray[np.int64], shape: Sequence[int]) -> ColumnView:
        """Whole sight lines from a corner on; a periodic box continues beyond its faces."""
        start = (*corner[:2], corner[2] if len(corner) > 2 else 0)
        values, photo = (
            wrapped(part, start, (*shape[:2], part.shape[-1])) for part in (self.values, self.photo)
        )
        return replace(self, values=values, photo=photo)

    def half(self) -> ColumnView:
        """The same view in half precision, whose rounding is far below the shot noise."""
        return replace(self, values=self.values.half(), photo=self.photo.half())

    def single(self) -> ColumnView:
        """The same view in single precision."""
        return replace(self, values=self.values.float(), photo=self.photo.float())

    def to(self, device: torch.device | str) -> ColumnView:
        """The same view on ``device``."""
        return replace(
            self,
            values=self.values.to(device),
            photo=self.photo.to(device),
            conditions=self.conditions.to(device),
            kernel=self.kernel.to(device),
            spread=self.spread.to(device),
        )

    def inner(self, margin: int) -> ColumnView:
        """The same view without ``margin`` cells at the faces across the sky."""
        if margin == 0:
            return self
        inside = slice(margin, -margin)
        return replace(
            self, values=self.values[:, inside, inside], photo=self.photo[:, inside, inside]
        )

    def every(self, rows: int) -> ColumnView:
        """Every ``rows``-th row of sight lines, from the first on."""
        return replace(self, values=self.values[:, ::rows], photo=self.photo[:, ::rows])

    def score(self, log_intensity: Tensor) -> tuple[Tensor, Tensor]:
        """Nats per galaxy, and MSE of the overdensity over its variance.

        Parameters
        ----------
        log_intensity : Tensor (nx, ny, nz)
            ln lambda. Without galaxies the nats are 0.
        """
        intensity = log_intensity.exp()
        galaxies = [self._galaxies()]
        number = galaxies[0].counts.sum(dtype=torch.float64).clamp(min=1e-12)
        nats = information(intensity, galaxies) / number
        moved = self.spread.painted(redistribute(intensity, galaxies))
        error = ((moved - self.values[7]) / self.level).square().mean(dtype=torch.float64)
        return nats, error / self.variance

    def errors(self, network: ColumnNet, log_intensity: Tensor) -> Errors:
        """True counts, posterior mean and predicted variance of its error.

        Gradients reach the error head of the network, and not ln lambda (nx, ny, nz).
        """
        with torch.no_grad():
            intensity, galaxies = log_intensity.exp(), [self._galaxies()]
            mean = self.spread.painted(redistribute(intensity, galaxies))
            given = variance(intensity, galaxies, self.spread)
        whole = network.variance(given, mean, self.conditions)
        return Errors(self.values[7], mean, whole, given)

    def _galaxies(self) -> PhotoClass:
        counts, squares = self.photo
        return PhotoClass(counts, self.kernel, true_counts=self.values[6], squares=squares)


@dataclass(frozen=True, eq=False)
class Errors:
    """Painted counts of galaxies of unknown redshift, each a Tensor (nx, ny, nz).

    Parameters
    ----------
    truth, mean : Tensor
        At their true positions, and the posterior mean.
    variance, given : Tensor
        Predicted variance of their difference, and that for an exact intensity.
    """

    truth: Tensor
    mean: Tensor
    variance: Tensor
    given: Tensor

    @property
    def surprise(self) -> Tensor:
        """See `truez.networks.error_head.surprise`."""
        return surprise(self.truth, self.mean, self.variance, self.given)

    @property
    def ratio(self) -> float:
        """Mean of the squared error over its variance, 1 if that is right, without known cells."""
        cells = self.given >= SMALLEST
        ratio = (self.truth - self.mean)[cells].square() / self.variance[cells]
        return float(ratio.mean(dtype=torch.float64).item())
