"""An intensity on smaller cells across the sky than those of the field.

What the spectroscopic survey says of the photometric galaxies is known at their own places, and a
network corrects it on its own cells alone. So with the prior on its cells, p, and on finer ones,
p_f, both 1 + delta with a floor, a correction lambda / p is interpolated, and

    ln lambda_f = CONTRAST [SHARE ln p_f + interpolated(ln lambda - SHARE ln p)].

Interpolation takes contrast from the peaks of lambda, which the first factor gives back.
Redistribution has no correction: its intensity is p_f.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box

AnyBox = TypeVar("AnyBox", bound=Box)
#: Power of the fine prior over the interpolated one: on cells of 1 Mpc/h the galaxies of simulated
#: universes have most information at 0.8 to 1 (docs/concepts/columns.md).
SHARE = 0.9
#: Power of the intensity of a network on fine cells. In simulated universes galaxies have most
#: information at 1.03, and the estimate is as strong as the truth in its modes, P_rt / P_rr = 1 at
#: k < 0.2 h/Mpc, at 1.05 (docs/concepts/columns.md).
CONTRAST = 1.04
#: By how much the number of small cells in a cell may differ from a whole one.
_WHOLE = 1e-3


def cells_across(box: Box, sky_cellsize: float | None) -> int:
    """How many small cells lie along a side of a cell across the sky.

    Parameters
    ----------
    box : Box
    sky_cellsize : float, optional
        Side of the small cells [Mpc/h]; half of the box's cells by default.

    Raises
    ------
    ValueError
        If it is not a whole fraction of the cells of the box.
    """
    if sky_cellsize is None:
        return 2
    if not 0 < sky_cellsize < math.inf:
        raise ValueError(f"sky_cellsize must be a positive length, not {sky_cellsize!r}")
    ratio = max(box.cellsize[:2]) / sky_cellsize
    number = max(round(ratio), 1)
    if abs(ratio / number - 1) > _WHOLE:
        raise ValueError(
            f"sky_cellsize = {sky_cellsize:g} Mpc/h must be the cells' {box.cellsize[0]:.5g} "
            f"divided by a whole number, such as {box.cellsize[0] / number:.5g}"
        )
    return number


def fine_box(box: AnyBox, number: int) -> AnyBox:
    """The box with ``number`` x ``number`` smaller cells in each cell across the sky."""
    nx, ny, nz = box.meshsize
    return replace(box, meshsize=(number * nx, number * ny, nz))


def corrected(fine_prior: Tensor, intensity: Tensor, prior: Tensor, *, periodic: bool) -> Tensor:
    """The intensity on fine cells of a network that corrects a prior.

    Parameters
    ----------
    fine_prior : Tensor (k nx, k ny, nz)
        > 0; it is overwritten with the result.
    intensity, prior : Tensor (nx, ny, nz)
        > 0, on the cells of the network.
    periodic : bool
        Whether the sky goes on beyond the faces.

    Returns
    -------
    Tensor (k nx, k ny, nz)
    """
    change = intensity.log() - SHARE * prior.log()
    number = fine_prior.shape[0] // change.shape[0]
    for row, line in enumerate(_rows_across(change, number, periodic=periodic)):
        fine_prior[row] = fine_prior[row].log_().mul_(SHARE).add_(line).mul_(CONTRAST).exp_()
    return fine_prior


def interpolated_across(values: Tensor, number: int, *, periodic: bool) -> Tensor:
    """Values on ``number`` x ``number`` smaller cells across the sky, linear between the centres.

    Parameters
    ----------
    values : Tensor (nx, ny, nz)
    number : int
    periodic : bool
        Whether the sky goes on beyond the faces; otherwise values are constant beyond the last
        centres.

    Returns
    -------
    Tensor (number nx, number ny, nz)
    """
    nx, ny, nz = values.shape
    result = torch.empty((number * nx, number * ny, nz), dtype=values.dtype)
    for row, line in enumerate(_rows_across(values, number, periodic=periodic)):
        result[row] = line
    return result


def _rows_across(values: Tensor, number: int, *, periodic: bool) -> Iterator[Tensor]:
    """The rows (number ny, nz) of `interpolated_across`, one after the other."""
    (rows, row_shares), (cells, cell_shares) = (
        _weights(number, num, periodic) for num in values.shape[:2]
    )
    first, second = cell_shares[:, :1], cell_shares[:, 1:]
    for (low, high), (a, b) in zip(rows, row_shares, strict=True):
        line = a * values[low] + b * values[high]
        yield (first * line[cells[:, 0]]).addcmul_(second, line[cells[:, 1]])


def _weights(number: int, num: int, periodic: bool) -> tuple[NDArray[np.int64], Tensor]:
    """Cells (k n, 2) that fine cells lie between, and their shares."""
    place = (np.arange(number * num) + 0.5) / number - 0.5
    first = np.floor(place).astype(np.int64)
    share = place - first
    cells = np.stack([first, first + 1], axis=1)
    cells = cells % num if periodic else cells.clip(0, num - 1)
    shares = np.stack([1 - share, share], axis=1)
    return cells, torch.from_numpy(shares.astype(np.float32))
