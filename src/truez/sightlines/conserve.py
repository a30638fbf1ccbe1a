"""Galaxies are conserved: the photometric galaxies moved along their own sight lines.

The truth is the photometric sample itself with every galaxy moved along the line of sight. Given an
intensity ``lambda(x) > 0`` relative to the expected counts ``nbar``, ``mu = nbar lambda``, and the
kernel K = p(z_phot | z_true) of `truez.sightlines.kernel`, the expected true counts are

    t_post = mu K^T[ c / (K mu) ],

with c the counts at the photo-z. Counts per sight line are conserved, nothing is negative, and a
galaxy with its photo-z in cell i is in cell j with probability ``P(j | i) = mu_j K_ij / (K mu)_i``.
Classes of galaxies with their own K and nbar share one lambda, and their t_post add up.
`information` is the logarithm of that probability at the true cells, summed over galaxies, less
that of ``lambda = 1``, the photo-z alone:

    N nats = sum(t_c ln lambda) - sum(c ln K mu) + sum(c ln K nbar).

Everything here acts on tensors whose last axis is a whole sight line, on any device, and gradients
flow to lambda. Galaxies are painted with a resampler across the sky but into single cells along it
(`truez.sightlines.paint.paint_columns`); `Spread` makes the result comparable with a
painted truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.resamplers import RESAMPLERS, order_of
from truez.sightlines.kernel import Kernel


@dataclass(frozen=True, eq=False)
class PhotoClass:
    """Galaxies that share a photo-z error, on the sight lines of a mesh.

    Parameters
    ----------
    counts : Tensor (..., num_photo)
        Galaxies per cell at their photo-z.
    kernel : Kernel
        Their photo-z error.
    expected : Tensor, broadcastable to (..., num_true), optional
        Expected counts per true cell, in any unit; even by default.
    true_counts : Tensor (..., num_true), optional
        The same galaxies at their true cells, for `information`.
    squares : Tensor (..., num_photo), optional
        As `counts`, of squared weights, for `variance`.
    """

    counts: Tensor
    kernel: Kernel
    expected: Tensor | None = None
    true_counts: Tensor | None = None
    squares: Tensor | None = None

    def __post_init__(self) -> None:
        sizes = {"counts": self.kernel.num_photo, "true_counts": self.kernel.num_true,
                 "squares": self.kernel.num_photo}  # fmt: skip
        for name, size in sizes.items():
            values = getattr(self, name)
            if values is not None and values.shape != (*self.counts.shape[:-1], size):
                raise ValueError(
                    f"{name} of shape {tuple(values.shape)} must have sight lines of {size} cells, "
                    "as the kernel has"
                )

    def mean(self, intensity: Tensor) -> Tensor:
        """mu = nbar lambda of the class, (..., num_true)."""
        if intensity.shape[-1] != self.kernel.num_true:
            raise ValueError(
                f"intensity must have sight lines of {self.kernel.num_true} cells, as the kernel "
                f"has, not {intensity.shape[-1]}"
            )
        return intensity if self.expected is None else intensity * self.expected


def redistribute(intensity: Tensor, classes: Sequence[PhotoClass]) -> Tensor:
    """Expected true counts of the galaxies, sum over classes of ``mu K^T[c / (K mu)]``.

    Parameters
    ----------
    intensity : Tensor (..., num_true)
        lambda > 0, relative to the expected counts of each class.
    classes : sequence of PhotoClass

    Returns
    -------
    Tensor (..., num_true)
        Galaxies per true cell. It is not finite where a class has galaxies and ``K mu`` is 0.
    """
    result = torch.zeros_like(intensity)
    for one in classes:
        mean = one.mean(intensity)
        result = result + mean * _gathered(one, mean)
    return result


def surplus(intensity: Tensor, classes: Sequence[PhotoClass]) -> Tensor:
    """Photometric galaxies over those that an intensity expects, at the true cells they may be of.

    ``K^T[c / (K mu)] / (K^T 1)``: 1 where as many are observed as are expected. Its numerator is
    the factor by which `redistribute` changes mu; its denominator is below 1 only at the faces of a
    sample that was cut in photo-z, beyond which galaxies are not observed. Classes count by their
    shares of the expected galaxies of a cell.

    Parameters
    ----------
    intensity : Tensor (..., num_true)
        lambda > 0.
    classes : sequence of PhotoClass
        Several need their ``expected``.

    Returns
    -------
    Tensor (..., num_true)
        Not finite in cells in which none of several classes is expected.
    """
    several = len(classes) > 1
    whole: Tensor | float = 0.0
    if several:
        for one in classes:
            whole = whole + one.mean(torch.ones_like(intensity))
    observed, visible = torch.zeros_like(intensity), torch.zeros_like(intensity)
    for one in classes:
        share = one.mean(torch.ones_like(intensity)) / whole if several else 1.0
        seen = one.kernel.gather(intensity.new_ones(one.kernel.num_photo))
        observed = observed + share * _gathered(one, one.mean(intensity))
        visible = visible + share * seen
    return observed / visible


def information(intensity: Tensor, classes: Sequence[PhotoClass]) -> Tensor:
    """Information on true redshifts gained over the photo-z alone [nats, of all galaxies].

    The cross entropy loss is its negative over ``sum(c)``. A uniform intensity gives 0, with joined
    and with open ends.

    Parameters
    ----------
    intensity, classes
        As in `redistribute`; every class needs its ``true_counts``.

    Returns
    -------
    Tensor ()
        float64.
    """
    result = torch.zeros((), dtype=torch.float64, device=intensity.device)
    for one in classes:
        if one.true_counts is None:
            raise ValueError("information needs the true_counts of every class")
        mean = one.mean(intensity)
        even = one.mean(intensity.new_ones(one.kernel.num_true))
        # A cell without galaxies counts nothing, whatever is expected there.
        true = torch.where(one.true_counts > 0, intensity, 1.0)
        gain = torch.log(_seen(one, even)) - torch.log(_seen(one, mean))
        result = result + (one.true_counts * torch.log(true)).sum(dtype=torch.float64)
        result = result + (one.counts * gain).sum(dtype=torch.float64)
    return result


def _gathered(one: PhotoClass, mean: Tensor) -> Tensor:
    return one.kernel.gather(one.counts / _seen(one, mean))


def _seen(one: PhotoClass, mean: Tensor) -> Tensor:
    """K mu where there are galaxies, and 1 where there are none and nothing may be expected."""
    return torch.where(one.counts > 0, one.kernel.smear(mean), 1.0)


@dataclass(frozen=True, eq=False)
class Spread:
    """Weights that a resampler gives to a galaxy anywhere in a cell of the line of sight.

    Parameters
    ----------
    matrix : Tensor (num_cells, num_true)
        Mean weight that cell j gets from a galaxy in true cell m: for CIC 1/8, 3/4, 1/8 about m. At
        a closed face the edge cell takes what would go beyond, and galaxies of the true margin are
        outside.
    squares : Tensor (num_cells, num_true)
        Mean of the squared weight: for CIC 1/24, 7/12, 1/24.
    excess : float
        What the weights of `matrix` spread too far of a smooth density, see `painted`.
    periodic : bool
        Whether the ends of the sight line are joined.
    """

    matrix: Tensor
    squares: Tensor
    excess: float = 0.0
    periodic: bool = False

    def pairs(self) -> list[tuple[int, Tensor]]:
        """The products of weights that cell j gets from cells m and m + shift, (shift, matrix).

        Their sum with ``y_m y_(m + shift)`` is the square of the sum of weights with y.
        """
        num = self.matrix.shape[1]
        # No resampler reaches further than the neighbour. A ring of 2 or 4 has opposite cells.
        shifts = range(min(3, num // 2 + 1))
        return [
            (n, self.matrix * torch.roll(self.matrix, -n, 1) * (1 if n in (0, num / 2) else 2))
            for n in shifts
        ]

    @classmethod
    def of(cls, resampler: str, kernel: Kernel) -> Spread:
        """The spread of a resampler over the cells of a kernel's sight lines."""
        num, margin = kernel.num_cells, kernel.true_margin
        cells = np.arange(num)
        # Weights are polynomials of the place in half a cell: Gauss's rule is exact.
        nodes, shares = np.polynomial.legendre.leggauss(4)
        first, second = np.zeros((num, num)), np.zeros((num, num))
        for half in (0.25, 0.75):
            for place, share in zip(half + nodes / 4, shares / 4, strict=True):
                weights = _weights(cells + place, num, resampler, kernel.periodic)
                first += share * weights
                second += share * weights**2
        matrix, squares = (
            torch.from_numpy(np.pad(w, ((0, 0), (margin, margin))).astype(np.float32))
            for w in (first, second)
        )
        # Uniform in a cell, galaxies have its variance, 1/12, beside that of the resampler.
        excess = 0.0 if order_of(resampler) == 1 else 1 / 12
        return cls(matrix, squares, excess, kernel.periodic).to(kernel.matrix.device)

    def to(self, device: torch.device | str) -> Spread:
        """The same weights on ``device``."""
        return replace(self, matrix=self.matrix.to(device), squares=self.squares.to(device))

    def __call__(self, values: Tensor) -> Tensor:
        """Counts per true cell (..., num_true) as if painted, (..., num_cells).

        Galaxies are anywhere in their cells with the same probability.
        """
        return values @ self.matrix.T

    def painted(self, values: Tensor, expected: Tensor | None = None) -> Tensor:
        """As if painted, where the density goes smoothly from each cell to the next.

        In a cell next to a fuller one most galaxies are in the half on its side. To the second
        order in k cellsize the result has the window of the resampler (for CIC the weights are
        1/24, 11/12, 1/24 of even expected counts), where that of a call has the cells' as well.
        The sum over the sight line is the same, and nothing is negative.

        Parameters
        ----------
        values : Tensor (..., num_true)
        expected : Tensor (..., num_cells), optional
            What would be painted on average: the ratio to it is what is smooth. Even by default.
        """
        result, num = self(values), self.matrix.shape[0]
        if self.excess == 0 or num == 1:
            return result
        margin = (values.shape[-1] - num) // 2
        inside = values[..., margin : margin + num]
        ratio = inside if expected is None else torch.where(expected > 0, inside / expected, 0.0)
        behind = torch.roll(ratio, -1, -1) if self.periodic else ratio[..., 1:]
        flow = self.excess * (ratio[..., : behind.shape[-1]] - behind)
        if expected is not None:
            after = torch.roll(expected, -1, -1) if self.periodic else expected[..., 1:]
            flow *= torch.minimum(expected[..., : after.shape[-1]], after)
        if self.periodic:
            return result.add_(flow).sub_(torch.roll(flow, 1, -1))
        result[..., :-1] += flow
        result[..., 1:] -= flow
        return result


def _weights(
    places: NDArray[np.float64], num: int, resampler: str, periodic: bool
) -> NDArray[np.float64]:
    """Weight of cell j for a galaxy at each place [cells], shape (num, len(places))."""
    order = order_of(resampler)
    node = places - (order - 1) / 2
    first = np.floor(node)
    result = np.zeros((num, len(places)))
    for step, weight in enumerate(RESAMPLERS[resampler](node - first)):
        cell = first.astype(np.int64) + step
        cell = cell % num if periodic else cell.clip(0, num - 1)
        np.add.at(result, (cell, np.arange(len(places))), weight)
    return result


def variance(intensity: Tensor, classes: Sequence[PhotoClass], spread: Spread) -> Tensor:
    """Variance of the painted counts that unknown redshifts leave, given the intensity.

    A galaxy g gives sight line a the weight w_ga of its resampler across the sky, known, and there
    cell j the weight s of one along it, which is random with its true cell m and its place within
    that:

        sigma_j^2 = sum over galaxies of w_ga^2 [ sum_m Q_jm P(m | i) - (sum_m S_jm P(m | i))^2 ]

    with S and Q the mean and the mean square of s (`Spread`), and P(m | i) that of the sight line.
    For single cells (S = Q = 1) this is the sum of w^2 p (1 - p). The intensity's own error is not
    in it.

    Parameters
    ----------
    intensity, classes
        As in `redistribute`; every class needs its ``squares``.
    spread : Spread

    Returns
    -------
    Tensor (..., num_cells)
        [counts^2]
    """
    total: Tensor | float = 0.0
    for one in classes:
        if one.squares is None:
            raise ValueError("variance needs the squares of every class")
        mean = one.mean(intensity)
        seen = _seen(one, mean)
        once = one.squares / seen
        total = total + (mean * one.kernel.gather(once)) @ spread.squares.T
        twice = once / seen
        for shift, product in spread.pairs():
            matrix = one.kernel.matrix * torch.roll(one.kernel.matrix, -shift, 1)
            both = mean * torch.roll(mean, -shift, -1) * (twice @ matrix)
            total = total - both @ product.T
    assert isinstance(total, Tensor)
    # Where a redshift is certain, rounding may make it negative.
    return total.clamp(min=0)
