"""A universe as two surveys see it, ready for a column network: cut, turned and scored.

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
    """A universe as two surveys see it, ready to be cut.

    Parameters
    ----------
    values : Tensor (8, nx, ny, nz)
        The six fields of the network; of the photometric galaxies without a known redshift, counts
        per cell at the true place (`truez.sightlines.conserve`), and painted there.
    photo : Tensor (2, nx, ny, num_photo)
        The same galaxies per cell at their photo-z, in a closed box also beyond its faces: counts,
        and the sums of squared weights.
    conditions : Tensor (5,)
        Of the network.
    kernel : Kernel
    spread : Spread
    level : float
        Photometric galaxies expected per cell.
    variance : float
        Of the true overdensity.
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
        """What `observed` gives."""
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
        """Whether the box is; otherwise it is closed."""
        return self.kernel.periodic

    @property
    def fields(self) -> Tensor:
        """The fields of the network, (6, nx, ny, nz)."""
        return self.values[:6]

    def crop(
        self, rng: np.random.Generator, shape: Sequence[int], *, symmetries: bool
    ) -> ColumnView:
        """Whole columns at a random place, turned at random; ``shape`` is that across the sky."""
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
        """Whole columns from a corner on; a periodic box goes on beyond its faces."""
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
            spread=Spread(self.spread.matrix.to(device), self.spread.squares.to(device)),
        )

    def inner(self, margin: int) -> ColumnView:
        """Without ``margin`` columns at the faces across the sky."""
        if margin == 0:
            return self
        inside = slice(margin, -margin)
        return replace(
            self, values=self.values[:, inside, inside], photo=self.photo[:, inside, inside]
        )

    def every(self, rows: int) -> ColumnView:
        """One row of columns in so many, from the first on."""
        return replace(self, values=self.values[:, ::rows], photo=self.photo[:, ::rows])

    def score(self, log_intensity: Tensor) -> tuple[Tensor, Tensor]:
        """Of ln lambda (nx, ny, nz): nats per galaxy, and MSE of the overdensity over its variance.

        Without galaxies there are no nats.
        """
        intensity = log_intensity.exp()
        galaxies = [self._galaxies()]
        number = galaxies[0].counts.sum(dtype=torch.float64).clamp(min=1e-12)
        nats = information(intensity, galaxies) / number
        moved = self.spread(redistribute(intensity, galaxies))
        error = ((moved - self.values[7]) / self.level).square().mean(dtype=torch.float64)
        return nats, error / self.variance

    def errors(self, network: ColumnNet, log_intensity: Tensor) -> Errors:
        """What the network says of its error, beside what that is.

        Gradients flow to its error head, and not to ln lambda (nx, ny, nz).
        """
        with torch.no_grad():
            intensity, galaxies = log_intensity.exp(), [self._galaxies()]
            mean = self.spread(redistribute(intensity, galaxies))
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
        At their true places, and as the posterior expects them.
    variance, given : Tensor
        Of their difference, and its part that is left where the intensity is exact.
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
        """Mean square of the error over its variance: 1, if that is right. Known cells are out."""
        cells = self.given >= SMALLEST
        ratio = (self.truth - self.mean)[cells].square() / self.variance[cells]
        return float(ratio.mean(dtype=torch.float64))
