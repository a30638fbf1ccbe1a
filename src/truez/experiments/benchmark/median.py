"""The voxel-wise median over catalogues whose redshifts are drawn from the posteriors.

All places of all draws are drawn first, once for each galaxy; then the box is painted in slabs
across the first axis, each draw after the other, so that only a slab of them is held.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.sightlines.posteriors import random_shares, walk
from truez.support.progress import Progress, silent
from truez.surveys.photoz import wrap
from truez.surveys.surveys import Surveys

#: Painted cells, of all draws, that are held at a time.
PAINTED_CELLS = 2**26


def median_of_draws(
    surveys: Surveys,
    intensity: Tensor,
    draws: int,
    generator: np.random.Generator,
    *,
    resampler: str = "cic",
    progress: Progress = silent,
) -> Field:
    """Median of the overdensity of drawn catalogues, cell by cell.

    Parameters
    ----------
    surveys : Surveys
        In a periodic box.
    intensity : Tensor (nx, ny, nz)
        As in `truez.sightlines.sharpened.sharpen`.
    draws : int
        How many catalogues.
    generator : numpy Generator
    resampler : {"ngp", "cic", "tsc"}
        How galaxies are painted, those of the truth as well.
    progress : Progress

    Raises
    ------
    ValueError
        If the box is closed.
    """
    box = surveys.box
    if not box.periodic:
        raise ValueError("the median over draws needs a periodic box, as those of simulations are")
    places = draw_places(surveys, intensity, draws, generator, progress=progress)
    nx, ny, nz = box.meshsize
    level = len(surveys.photo) / box.num_cells
    sky = np.stack([wrap(surveys.photo[:, axis], box, axis=axis) for axis in (0, 1)], axis=1)
    plane = np.floor((sky[:, 0] - box.lower[0]) / box.cellsize[0]).astype(np.int64) % nx
    step = max(1, PAINTED_CELLS // (draws * ny * nz))
    result = torch.empty(box.meshsize)
    for start in range(0, nx, step):
        progress("median", start, nx)
        stop = min(start + step, nx)
        painted = _painted(box, (start, stop), plane, sky, places, resampler)
        result[start:stop] = torch.from_numpy(np.median(painted, axis=0))
    progress("median", nx, nx)
    return Field(result / level - 1, box, "delta", {"draws": draws})


def draw_places(
    surveys: Surveys,
    intensity: Tensor,
    draws: int,
    generator: np.random.Generator,
    *,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Places along the line of sight, (draws, n_p) [Mpc/h].

    As `truez.sightlines.sharpened.draw_redshifts` so many times, but with each posterior worked out
    once.
    """
    box = surveys.box
    places = np.empty((draws, len(surveys.photo)), dtype=np.float32)
    if surveys.matched is not None:
        known = surveys.matched >= 0
        places[:, surveys.matched[known]] = surveys.spec[known, 2]
    rows = np.flatnonzero(surveys.photo_only())
    for some in walk(surveys, intensity, progress, rows):
        shares = random_shares(generator, len(some.rows), draws)
        drawn = box.lower[2] + box.cellsize[2] * some.quantile(shares).double().numpy()
        places[:, rows[some.rows]] = wrap(drawn, box, axis=2).T
    return places


def _painted(
    box: Box,
    slab: tuple[int, int],
    plane: NDArray[np.int64],
    sky: NDArray[np.float64],
    places: NDArray[np.float32],
    resampler: str,
) -> NDArray[np.float32]:
    """Counts of each draw in a slab of planes, (draws, planes, ny, nz).

    The slab is painted as a ring of its own with a plane more at both ends, which take what wraps
    round it: no resampler reaches further than the next plane.
    """
    (nx, ny, nz), (start, stop) = box.meshsize, slab
    planes = stop - start + 2
    whole = planes > nx
    if whole:
        ring, near, first = box, np.arange(len(plane)), box.lower[0]
    else:
        cell, (_, cy, cz) = box.cellsize[0], box.boxcenter
        center = (box.lower[0] + cell * (start - 1 + planes / 2), cy, cz)
        size = (planes * cell, *box.boxsize[1:])
        ring = Box(size, (planes, ny, nz), center)
        near = np.flatnonzero((plane - (start - 1)) % nx < planes)
        first = ring.lower[0]
    positions = np.empty((len(near), 3))
    positions[:, :2] = sky[near]
    # Into the ring, which may begin below the box or end above it.
    positions[:, 0] = first + (positions[:, 0] - first) % box.boxsize[0]
    positions[:, 0] = wrap(positions[:, 0], ring, axis=0)
    result = np.empty((len(places), stop - start, ny, nz), dtype=np.float32)
    for draw, place in enumerate(places):
        positions[:, 2] = place[near]
        painted = paint(positions, ring, resampler).values.numpy()
        result[draw] = painted[start:stop] if whole else painted[1:-1]
    return result
