"""The voxel-wise median over catalogues whose redshifts are drawn from the posteriors.

The places of all draws are drawn first, once for each galaxy; the box is then painted in slabs
across the first axis, one draw after the other, so that only one slab of all draws is in memory.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.field import Field
from truez.sightlines.drawn import DrawnPainter
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
    painter = DrawnPainter(surveys, resampler)
    step = max(1, PAINTED_CELLS // (draws * ny * nz))
    result = torch.empty(box.meshsize)
    for start in range(0, nx, step):
        progress("median", start, nx)
        stop = min(start + step, nx)
        painted = np.empty((draws, stop - start, ny, nz), dtype=np.float32)
        for own, counts in zip(painted, painter.counts(places, (start, stop)), strict=True):
            own[:] = counts.numpy()
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
