"""The density field that posteriors of galaxies at their own places make, and its error.

A galaxy g is shared by a resampler across the sky, with weights w_ga, and along the sight line by
its own posterior P_g, spread as a painted galaxy would be (`truez.sightlines.conserve.Spread`):

    counts_a  = sum over g of w_ga S P_g,
    sigma_a^2 = sum over g of w_ga^2 [ Q P_g - (S P_g)^2 ],

the counts with the density in a cell as its neighbours have it (`Spread.painted`).

It is what `truez.sightlines.redistribution` makes with kernels in common, but for lambda, which is
read at each galaxy's own place, and for what neighbours add to it.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.sightlines.conserve import Spread
from truez.sightlines.intensity import Intensity
from truez.sightlines.kernel import Kernel
from truez.sightlines.own_loops import compiled
from truez.sightlines.own_place import Block, OwnPlaces, each_block
from truez.sightlines.paint import sky_nodes
from truez.sightlines.redistribution import Redistribution, WholeVariance
from truez.support.progress import Progress, silent

Single = NDArray[np.float32]


def posterior_field(
    galaxies: OwnPlaces,
    intensity: Intensity,
    *,
    expected: Field,
    known: NDArray[np.floating[Any]],
    weights: NDArray[np.floating[Any]] | None = None,
    known_weights: NDArray[np.floating[Any]] | None = None,
    resampler: str = "cic",
    whole_variance: WholeVariance | None = None,
    chosen: NDArray[np.int64] | None = None,
    progress: Progress = silent,
) -> Redistribution:
    """Paint galaxies with their own posteriors.

    Parameters
    ----------
    galaxies : OwnPlaces
        In cells beyond the faces of a closed box they are left out.
    intensity : Intensity
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
    chosen : (m,) ints, optional
        The galaxies that are painted; the others are neighbours only.
    progress : Progress

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
    steps = (0, -1, 1)
    bands = torch.stack([spread.matrix[cells, (cells + step) % nz] for step in steps]).numpy()
    positions, before = np.asarray(galaxies.positions)[:, :2].astype(np.float64), galaxies.before

    def painted(block: Block) -> tuple[int, NDArray[np.int64], list[Single]]:
        rows = block.rows
        nodes, shares = _nodes(positions[rows], box, resampler)
        if weights is not None:
            shares *= np.asarray(weights)[rows, None]
        lines, local = np.unique(nodes, return_inverse=True)
        meshes = [np.zeros((len(lines), nz), np.float32) for _ in range(3)]
        inside = np.ascontiguousarray(block.probability[:, before : before + nz])
        compiled().painted(
            inside, local.reshape(nodes.shape), shares.astype(np.float32), bands, box.periodic,
            *meshes,
        )  # fmt: skip
        return len(rows), lines, meshes

    totals = [torch.zeros(nx * ny, nz) for _ in range(3)]
    number = 0
    for found, lines, meshes in each_block(
        galaxies, intensity.values, painted, pairs=intensity.pairs, chosen=chosen, by_sky=True,
        progress=progress,
    ):  # fmt: skip
        number += found
        where = torch.from_numpy(lines)
        for total, mesh in zip(totals, meshes, strict=True):
            total.index_add_(0, where, torch.from_numpy(mesh))
    counts, once, twice = totals
    level = expected.values
    painted_counts = spread.painted(counts, expected=level.reshape(nx * ny, nz)).reshape(
        box.meshsize
    )
    variance = (once @ spread.squares.T - twice).clamp(min=0).reshape(box.meshsize)
    if whole_variance is not None:
        variance = whole_variance(variance, painted_counts)
    if len(known):
        painted_counts += paint(known, box, resampler, weights=known_weights).values
    sigma = torch.where(level > 0, variance.sqrt() / level, 0.0)
    field = Field(painted_counts, box, "counts").to_delta(expected)
    wanted = len(positions) if chosen is None else len(chosen)
    metadata = {"num_matched": len(known), "num_photo_outside": wanted - number}
    return Redistribution(Field(field.values, box, "delta", metadata), sigma)


def _nodes(
    positions: NDArray[np.float64], box: Box, resampler: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sight lines that galaxies have a share in, and the shares, (m, k) each."""
    axes = (
        list(zip(*sky_nodes(positions[:, axis], box, axis, resampler), strict=True))
        for axis in (0, 1)
    )
    corners = list(itertools.product(*axes))
    nodes = [x * box.meshsize[1] + y for (x, _), (y, _) in corners]
    shares = [x_share * y_share for (_, x_share), (_, y_share) in corners]
    return np.stack(nodes, axis=1), np.stack(shares, axis=1)
