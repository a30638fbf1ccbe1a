"""Sharpened redshifts: the posterior of every photometric galaxy, given both surveys.

On the cells of a galaxy's sight line

    p_j = mu_j K_ij / sum over j of (mu_j K_ij),      mu = nbar lambda,

with i the cell of its photo-z: the same numbers that move it in `truez.columns`. The intensity is
interpolated across the sky to the galaxy's own place, since it is the density there that the galaxy
was drawn from (the mesh, where the galaxy belongs to several columns at once, mixes their
posteriors instead), and within a cell the posterior is even. On a ring, the periodic box, places
are counted from half a box before the photo-z to half a box behind it.

Galaxies are worked on in chunks, so that memory is bounded by the results.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.box import Box
from truez.kernels import Kernel
from truez.photoz import wrap
from truez.progress import Progress, silent
from truez.redistribution import (
    check_intensity,
    expected_with_margin,
    kernel_of,
    sky_nodes,
    with_margin,
)
from truez.surveys import Surveys

#: Cells of posteriors that are held at a time.
CHUNK_CELLS = 2**18

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sharpened:
    """Sharpened redshifts, each an array (n,) [Mpc/h along the line of sight].

    Galaxies that have no posterior, because their photo-z is too far beyond a closed box, are nan.

    Parameters
    ----------
    mean, mode, std : arrays
        Of the posterior; the mode is the centre of the likeliest cell. A galaxy whose true redshift
        is known has this as mean and mode, and a std of 0.
    lower, upper : arrays
        The central interval that holds the share `interval`. In a periodic box an end, and the
        mean, may lie beyond a face.
    information : array
        What both surveys are expected to tell about the redshift, over the photo-z alone: the
        Kullback-Leibler divergence of the two posteriors [nats]; nan where the redshift is known.
    interval : float
    """

    mean: Array
    mode: Array
    std: Array
    lower: Array
    upper: Array
    information: Array
    interval: float = 0.68


@dataclass(frozen=True, eq=False)
class Calibration:
    """How the posteriors of galaxies compare with their true redshifts, each an array (n,).

    Parameters
    ----------
    gain : array
        ln p(true cell) less that of the photo-z alone [nats]; its mean is the information gain.
    pit : array
        Probability below the truth: even between 0 and 1 where posteriors are right.
    """

    gain: Array
    pit: Array


@dataclass(frozen=True, eq=False)
class _Posteriors:
    """Posteriors of some galaxies over the cells of their columns.

    ``probability`` (m, cells) sums to one over cells that begin at ``start`` (m,) [cells from the
    lower face]; ``log_even`` (m,) is ln(K nbar)_i - ln(K mu)_i.
    """

    rows: NDArray[np.int64]
    probability: Tensor
    intensity: Tensor
    start: Tensor
    log_even: Tensor

    def quantile(self, shares: Tensor) -> Tensor:
        """Where the posterior has reached each share, (m, k) [cells from the lower face]."""
        reached = self.probability.cumsum(1)
        shares = shares * reached[:, -1:]
        cell = torch.searchsorted(reached, shares).clamp(max=reached.shape[1] - 1)
        inside = self.probability.gather(1, cell)
        left = (reached.gather(1, cell) - shares) / inside
        return self.start[:, None] + cell + 1 - left.clamp(0, 1)

    def below(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """(probability below a place (m,) [cells from the lower face], intensity in its cell)."""
        offset = place - self.start
        cell = offset.long().clamp(0, self.probability.shape[1] - 1)[:, None]
        inside = self.probability.gather(1, cell)[:, 0]
        reached = self.probability.cumsum(1).gather(1, cell)[:, 0]
        part = (1 - (offset - cell[:, 0])).clamp(0, 1)
        return (reached - part * inside).clamp(0, 1), self.intensity.gather(1, cell)[:, 0]


def sharpen(
    surveys: Surveys,
    intensity: Tensor,
    *,
    interval: float = 0.68,
    progress: Progress = silent,
) -> Sharpened:
    """Sharpen the redshift of every photometric galaxy.

    Parameters
    ----------
    surveys : Surveys
    intensity : Tensor (nx, ny, nz)
        lambda > 0 on the surveys' mesh, relative to the expected counts.
    interval : float
        Share of the posterior that the interval holds.
    progress : Progress

    Returns
    -------
    Sharpened
        Row by row those of ``surveys.photo``.
    """
    if not 0 < interval < 1:
        raise ValueError(f"interval must be between 0 and 1, not {interval!r}")
    cell, lower = surveys.box.cellsize[2], surveys.box.lower[2]
    names = ("mean", "mode", "std", "lower", "upper", "information")
    columns = {name: np.full(len(surveys.photo), np.nan) for name in names}
    shares = torch.tensor([0.5 - interval / 2, 0.5 + interval / 2])
    for some in _posteriors(surveys, intensity, progress):
        p = some.probability
        centers = torch.arange(p.shape[1]) + 0.5
        likeliest = p.argmax(1)
        # Moments about the likeliest cell lose no digits.
        offset = centers - centers[likeliest][:, None]
        shift = (p * offset).sum(1)
        mode = some.start + likeliest + 0.5
        ends = some.quantile(shares)
        columns["mode"][some.rows] = lower + cell * mode
        columns["mean"][some.rows] = lower + cell * (mode + shift)
        spread = (p * (offset - shift[:, None]) ** 2).sum(1) + 1 / 12
        columns["std"][some.rows] = cell * spread.sqrt()
        columns["lower"][some.rows] = lower + cell * ends[:, 0]
        columns["upper"][some.rows] = lower + cell * ends[:, 1]
        columns["information"][some.rows] = (p * some.intensity.log()).sum(1) + some.log_even
    if surveys.box.periodic:
        columns["mode"] = wrap(columns["mode"], surveys.box, axis=2)
    if surveys.matched is not None:
        known = surveys.matched[surveys.matched >= 0]
        true = surveys.spec[surveys.matched >= 0, 2]
        for name in ("mean", "mode", "lower", "upper"):
            columns[name][known] = true
        columns["std"][known], columns["information"][known] = 0.0, np.nan
    return Sharpened(**columns, interval=interval)


def calibrate(
    surveys: Surveys,
    intensity: Tensor,
    truth: NDArray[np.floating],
    *,
    progress: Progress = silent,
) -> Calibration:
    """Compare the posteriors with the truth, where it is known.

    Parameters
    ----------
    surveys : Surveys
    intensity : Tensor (nx, ny, nz)
        As in `sharpen`.
    truth : (n_p, 3) array
        True positions of ``surveys.photo`` [Mpc/h].
    progress : Progress

    Returns
    -------
    Calibration
        nan for galaxies whose redshift the surveys know, and for those without a posterior.
    """
    if truth.shape != surveys.photo.shape:
        raise ValueError(
            f"truth must have a row for each of {len(surveys.photo)} photo galaxies, not the shape "
            f"{truth.shape}"
        )
    box = surveys.box
    gain = np.full(len(truth), np.nan)
    pit = np.full(len(truth), np.nan)
    unknown = surveys.photo_only()
    for some in _posteriors(surveys, intensity, progress):
        place = torch.from_numpy((truth[some.rows, 2] - box.lower[2]) / box.cellsize[2])
        if box.periodic:
            start = some.start.double()
            place = start + torch.remainder(place - start, box.meshsize[2])
        below, there = some.below(place.float())
        pit[some.rows] = below
        gain[some.rows] = there.log() + some.log_even
    gain[~unknown] = pit[~unknown] = np.nan
    return Calibration(gain, pit)


def draw_redshifts(
    surveys: Surveys,
    intensity: Tensor,
    generator: np.random.Generator,
    *,
    progress: Progress = silent,
) -> Array:
    """A true place along the line of sight for every photometric galaxy, drawn from its posterior.

    Parameters
    ----------
    surveys : Surveys
    intensity : Tensor (nx, ny, nz)
        As in `sharpen`.
    generator : numpy Generator
    progress : Progress

    Returns
    -------
    array (n_p,) [Mpc/h]
        Within the box if that is periodic. Known redshifts are themselves; nan for galaxies without
        a posterior.
    """
    shares = torch.from_numpy(generator.random(len(surveys.photo), dtype=np.float32))
    result = np.full(len(surveys.photo), np.nan)
    for some in _posteriors(surveys, intensity, progress):
        place = some.quantile(shares[some.rows, None])[:, 0].double().numpy()
        result[some.rows] = surveys.box.lower[2] + surveys.box.cellsize[2] * place
    if surveys.box.periodic:
        result = wrap(result, surveys.box, axis=2)
    if surveys.matched is not None:
        has = surveys.matched >= 0
        result[surveys.matched[has]] = surveys.spec[has, 2]
    return result


def posteriors(
    surveys: Surveys, intensity: Tensor, rows: NDArray[np.int64]
) -> tuple[Array, NDArray[np.float32]]:
    """p(z | z_phot, surveys) of some photometric galaxies, on the cells of their columns.

    Parameters
    ----------
    surveys : Surveys
    intensity : Tensor (nx, ny, nz)
        As in `sharpen`.
    rows : (m,) int array
        Rows of ``surveys.photo``.

    Returns
    -------
    edges : array (m, cells + 1)
        Of the cells [Mpc/h]. Those of a periodic box begin half a box before the photo-z.
    probability : array (m, cells)
        Of each cell; nan for galaxies without a posterior. Known redshifts are not looked at.
    """
    box = surveys.box
    num = kernel_of(surveys).num_true
    start = np.zeros(len(rows))
    probability = np.full((len(rows), num), np.nan, dtype=np.float32)
    for some in _posteriors(surveys, intensity, silent, rows):
        probability[some.rows], start[some.rows] = some.probability, some.start
    edges = box.lower[2] + box.cellsize[2] * (start[:, None] + np.arange(num + 1))
    return edges, probability


def _posteriors(
    surveys: Surveys,
    intensity: Tensor,
    progress: Progress,
    chosen: NDArray[np.int64] | None = None,
) -> Iterator[_Posteriors]:
    """Walk the photometric galaxies, or the chosen rows of them, in chunks."""
    box, kernel = surveys.box, kernel_of(surveys)
    check_intensity(intensity, box)
    num = kernel.num_true
    step = max(1, CHUNK_CELLS // num)
    expected = expected_with_margin(surveys.true_expected().values, kernel.true_margin)
    rows = np.arange(len(surveys.photo)) if chosen is None else chosen
    for first in range(0, len(rows), step):
        progress("redshifts", first, len(rows))
        positions = surveys.photo[rows[first : first + step]].astype(np.float64)
        photo = _photo_cell(positions[:, 2], box, kernel)
        good = photo >= 0
        if not good.any():
            continue
        seen = kernel.matrix[torch.from_numpy(photo[good])]
        here = with_margin(_interpolated(intensity, positions[good], box), kernel.true_margin)
        even = _interpolated(expected, positions[good], box)
        alone = seen * even
        joint = alone * here
        start = torch.full((len(joint),), -float(kernel.true_margin))
        if box.periodic:
            start = torch.from_numpy(photo[good] - num // 2)
            turned = torch.remainder(start[:, None] + torch.arange(num), num)
            joint, here = joint.gather(1, turned), here.gather(1, turned)
            start = start.float()
        sums = joint.sum(1)
        yield _Posteriors(
            rows=first + np.flatnonzero(good),
            probability=joint / sums[:, None],
            intensity=here,
            start=start,
            log_even=alone.sum(1).log() - sums.log(),
        )
    progress("redshifts", len(rows), len(rows))


def _photo_cell(z: Array, box: Box, kernel: Kernel) -> NDArray[np.int64]:
    """Row of the kernel that photo-z lie in, -1 for those beyond its margin."""
    if box.periodic:
        z = wrap(z, box, axis=2)
    place = (z - box.lower[2]) / box.cellsize[2]
    cell = np.floor(place).astype(np.int64) + kernel.photo_margin
    # Faces are inside; the upper one belongs to the last cell.
    edge = place == box.meshsize[2] + kernel.photo_margin
    cell[edge] -= 1
    return np.where((cell >= 0) & (cell < kernel.num_photo), cell, -1)


def _interpolated(mesh: Tensor, positions: Array, box: Box) -> Tensor:
    """Columns of a mesh, linearly interpolated across the sky to positions: (m, nz) or (1, nz)."""
    if mesh.stride()[:2] == (0, 0):  # one column for the whole sky
        return mesh[0, :1]
    columns = mesh.reshape(-1, mesh.shape[2])
    x_nodes, y_nodes = (
        list(zip(*sky_nodes(positions[:, axis], box, axis, "cic"), strict=True)) for axis in (0, 1)
    )
    result = torch.zeros(len(positions), mesh.shape[2])
    for x_cell, x_share in x_nodes:
        for y_cell, y_share in y_nodes:
            column = torch.from_numpy(x_cell * box.meshsize[1] + y_cell)
            share = torch.from_numpy((x_share * y_share).astype(np.float32))
            result.addcmul_(columns[column], share[:, None])
    return result
