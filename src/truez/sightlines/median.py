"""The voxel-wise median over catalogues whose redshifts are drawn from the posteriors.

The places of all draws are drawn first, once for each galaxy; the box is then painted in slabs
across the first axis, one draw after the other, so that only one slab of all draws is in memory.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.sightlines.intensity import Intensity
from truez.sightlines.posteriors import random_shares, walk
from truez.support.progress import Progress, silent
from truez.surveys.photoz import wrap
from truez.surveys.surveys import Surveys

#: Painted cells, of all draws, that are held at a time.
PAINTED_CELLS = 2**26


def median_of_draws(
    surveys: Surveys,
    intensity: Tensor | Intensity,
    draws: int,
    generator: np.random.Generator,
    *,
    resampler: str = "cic",
    progress: Progress = silent,
) -> Field:
    """Median of the overdensities of drawn catalogues, cell by cell.

    Parameters
    ----------
    surveys : Surveys
    intensity : Tensor or Intensity
        As in `truez.sightlines.sharpened.sharpen`.
    draws : int
        Number of catalogues. Memory grows by 4 bytes for each draw and photometric galaxy.
    generator : numpy Generator
        For the draws.
    resampler : {"ngp", "cic", "tsc"}
        How galaxies are painted.
    progress : Progress

    Returns
    -------
    Field
        Its metadata hold ``draws``.

    Raises
    ------
    ValueError
        If ``draws`` is below 1.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws!r}")
    box = surveys.box
    places = draw_places(surveys, intensity, draws, generator, progress=progress)
    nx, ny, nz = box.meshsize
    level = len(surveys.photo) / box.num_cells
    sky = surveys.photo[:, :2]
    if box.periodic:
        sky = np.stack([wrap(sky[:, axis], box, axis=axis) for axis in (0, 1)], axis=1)
    else:
        # A position in float32 may round beyond a face that it lies on.
        sky = sky.astype(np.float64).clip(box.lower[:2], box.upper[:2])
    plane = np.floor((sky[:, 0] - box.lower[0]) / box.cellsize[0]).astype(np.int64)
    # The upper face of a closed box belongs to its last cell.
    plane = plane % nx if box.periodic else plane.clip(0, nx - 1)
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
    intensity: Tensor | Intensity,
    draws: int,
    generator: np.random.Generator,
    *,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Places along the line of sight, (draws, n_p) [Mpc/h].

    As repeated calls of `truez.sightlines.sharpened.draw_redshifts`, but each posterior is computed
    once. Places beyond the faces of a closed box stay there; galaxies without a posterior are nan.
    """
    box = surveys.box
    places = np.full((draws, len(surveys.photo)), np.nan, dtype=np.float32)
    if surveys.matched is not None:
        known = surveys.matched >= 0
        places[:, surveys.matched[known]] = surveys.spec[known, 2]
    rows = np.flatnonzero(surveys.photo_only())
    for some in walk(surveys, intensity, progress, rows):
        shares = random_shares(generator, len(some.rows), draws)
        drawn = box.lower[2] + box.cellsize[2] * some.quantile(shares).double().numpy()
        if box.periodic:
            drawn = wrap(drawn, box, axis=2)
        places[:, rows[some.rows]] = drawn.T
    return places


def _painted(
    box: Box,
    slab: tuple[int, int],
    plane: NDArray[np.int64],
    sky: NDArray[np.floating],
    places: NDArray[np.float32],
    resampler: str,
) -> NDArray[np.float32]:
    """Counts of each draw in a slab of planes, (draws, planes, ny, nz).

    The slab is painted in a box of its own, with one plane more at both ends where the whole box
    goes on: no resampler reaches further than the next plane.
    """
    (_, ny, nz), (start, stop) = box.meshsize, slab
    part, near, first = (_periodic_part if box.periodic else _closed_part)(box, slab, plane)
    positions = np.empty((len(near), 3))
    positions[:, :2] = sky[near]
    if box.periodic:
        # Into the part, which may begin below the box or end above it.
        lower = part.lower[0]
        positions[:, 0] = lower + (positions[:, 0] - lower) % box.boxsize[0]
        positions[:, 0] = wrap(positions[:, 0], part, axis=0)
    else:
        # The face of a cell in the part may differ by a rounding from that in the box.
        positions[:, 0] = positions[:, 0].clip(part.lower[0], part.upper[0])
    # Faces in the precision of the places, some of which lie on them.
    low, high = np.float32(box.lower[2]), np.float32(box.upper[2])
    result = np.empty((len(places), stop - start, ny, nz), dtype=np.float32)
    for draw, place in enumerate(places):
        z, some = place[near], positions
        some[:, 2] = z
        if not box.periodic:
            some = some[(z >= low) & (z <= high)]
            some[:, 2] = some[:, 2].clip(box.lower[2], box.upper[2])
        painted = paint(some, part, resampler).values.numpy()
        result[draw] = painted[first : first + stop - start]
    return result


def _periodic_part(
    box: Box, slab: tuple[int, int], plane: NDArray[np.int64]
) -> tuple[Box, NDArray[np.int64], int]:
    """A periodic box that holds a slab, the galaxies in it, and its plane where the slab starts.

    The planes at its ends take what wraps round it.
    """
    (nx, ny, nz), (start, stop) = box.meshsize, slab
    planes = stop - start + 2
    if planes > nx:
        return box, np.arange(len(plane)), start
    cell, (_, cy, cz) = box.cellsize[0], box.boxcenter
    center = (box.lower[0] + cell * (start - 1 + planes / 2), cy, cz)
    part = Box((planes * cell, *box.boxsize[1:]), (planes, ny, nz), center)
    return part, np.flatnonzero((plane - (start - 1)) % nx < planes), 1


def _closed_part(
    box: Box, slab: tuple[int, int], plane: NDArray[np.int64]
) -> tuple[Box, NDArray[np.int64], int]:
    """A closed box that holds a slab, the galaxies in it, and its plane where the slab starts."""
    (nx, ny, nz), (start, stop) = box.meshsize, slab
    low, high = max(start - 1, 0), min(stop + 1, nx)
    part = box.crop((low, 0, 0), (high, ny, nz))
    return part, np.flatnonzero((plane >= low) & (plane < high)), start - low
