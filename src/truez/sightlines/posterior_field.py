"""The density field that posteriors of galaxies with their own errors make, and its error.

A galaxy g is shared by a resampler across the sky, with weights w_ga, and along the sight line by
its own posterior P_g, spread as a painted galaxy would be (`truez.sightlines.conserve.Spread`):

    counts_a  = sum over g of w_ga S P_g,
    sigma_a^2 = sum over g of w_ga^2 [ Q P_g - (S P_g)^2 ].

It is what `truez.sightlines.redistribution` makes with kernels in common, but for lambda, which is
read at each galaxy's own place.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.sightlines.conserve import Spread
from truez.sightlines.kernel import Kernel
from truez.sightlines.paint import sky_nodes
from truez.sightlines.posteriors import Posteriors
from truez.sightlines.redistribution import Redistribution, WholeVariance


def posterior_field(
    posteriors: Iterable[Posteriors],
    positions: NDArray[np.floating[Any]],
    *,
    expected: Field,
    known: NDArray[np.floating[Any]],
    weights: NDArray[np.floating[Any]] | None = None,
    known_weights: NDArray[np.floating[Any]] | None = None,
    resampler: str = "cic",
    whole_variance: WholeVariance | None = None,
) -> Redistribution:
    """Paint galaxies with their own posteriors.

    Parameters
    ----------
    posteriors : iterable of Posteriors
        Such as those of `truez.sightlines.posteriors.walk` and `walk_rows`. Cells beyond the faces
        of a closed box are left out.
    positions : (n, 2) or (n, 3) array
        The galaxies' places across the line of sight [Mpc/h].
    expected : Field
        Expected counts per cell of the whole sample at its true place, of kind "counts".
    known : (n, 3) array
        Places of the galaxies whose redshift is known [Mpc/h].
    weights, known_weights : arrays, optional
        Of the galaxies with posteriors, (n,), and of those whose redshift is known.
    resampler : {"ngp", "cic", "tsc"}
        The field is as if galaxies at their true places had been painted with it.
    whole_variance : function, optional
        As in `truez.sightlines.redistribution.redistribute_surveys`.

    Returns
    -------
    Redistribution
        The field's metadata hold ``num_matched``, and ``num_photo_outside``, the galaxies that have
        no posterior.
    """
    box = expected.box
    nx, ny, nz = box.meshsize
    spread = Spread.of(resampler, Kernel(torch.eye(nz), periodic=box.periodic))
    # No resampler reaches further than the neighbour, which a ring has at its end too.
    cells = torch.arange(nz)
    bands = [spread.matrix[cells, (cells + step) % nz] for step in (0, -1, 1)]
    counts, once, twice = (torch.zeros(nx * ny, nz) for _ in range(3))
    painted = 0
    for some in posteriors:
        painted += len(some.rows)
        probability = _on_cells(some, box)
        smooth = _banded(probability, bands)
        own = None if weights is None else weights[some.rows]
        for column, share in _nodes(positions[some.rows], box, resampler, own):
            counts.index_add_(0, column, share[:, None] * probability)
            once.index_add_(0, column, share[:, None] ** 2 * probability)
            twice.index_add_(0, column, (share[:, None] * smooth) ** 2)
    total = spread(counts).reshape(box.meshsize)
    variance = (once @ spread.squares.T - twice).clamp(min=0).reshape(box.meshsize)
    if whole_variance is not None:
        variance = whole_variance(variance, total)
    if len(known):
        total += paint(known, box, resampler, weights=known_weights).values
    level = expected.values
    sigma = torch.where(level > 0, variance.sqrt() / level, 0.0)
    field = Field(total, box, "counts").to_delta(expected)
    metadata = {"num_matched": len(known), "num_photo_outside": len(positions) - painted}
    return Redistribution(Field(field.values, box, "delta", metadata), sigma)


def _nodes(
    positions: NDArray[np.floating[Any]],
    box: Box,
    resampler: str,
    weights: NDArray[np.floating[Any]] | None,
) -> Iterable[tuple[Tensor, Tensor]]:
    """Sight lines that galaxies have a share in, and the shares."""
    axes = (
        list(zip(*sky_nodes(positions[:, axis], box, axis, resampler), strict=True))
        for axis in (0, 1)
    )
    for (x, x_share), (y, y_share) in itertools.product(*axes):
        share = x_share * y_share if weights is None else x_share * y_share * weights
        yield (
            torch.from_numpy(x * box.meshsize[1] + y),
            torch.from_numpy(share.astype(np.float32)),
        )


def _on_cells(some: Posteriors, box: Box) -> Tensor:
    """The posteriors (m, nz) on the cells of the box."""
    nz, probability = box.meshsize[2], some.probability
    if not box.periodic:
        before = -int(some.start[0]) if len(some.start) else 0
        return probability[:, before : before + nz]
    cells = torch.remainder(some.start.long()[:, None] + torch.arange(nz), nz)
    return torch.zeros_like(probability).scatter_(1, cells, probability)


def _banded(values: Tensor, bands: list[Tensor]) -> Tensor:
    """A matrix of three bands times rows: its elements on, before and after the diagonal."""
    middle, before, after = bands
    return values * middle + torch.roll(values, 1, 1) * before + torch.roll(values, -1, 1) * after
