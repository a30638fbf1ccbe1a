"""The conditions of a column network, for a survey as a whole or cell by cell.

Those of an "even" network describe a whole survey. Those of a "local" one may change from cell to
cell, with the expected counts and along the line of sight:

===  ======================================================================================
row  condition
===  ======================================================================================
0    ln sigma, width of the photo-z error [cells along the line of sight]; of several classes of
     errors the mean of the logarithm, weighted by the expected galaxies
1    ln of the spectroscopic galaxies that are expected per cell
2    the same of the photometric ones; both are at least ``LEAST_PER_CELL`` galaxies
3    redshift space (1) or not (0)
4    fraction of outliers
5    ln of the side of a cell across the sky, over 2 Mpc/h
6    the same along the line of sight
7    redshift
8    share of the spectroscopic galaxies that are in the photometric sample
9    ln of the bias of the photometric galaxies over that of the spectroscopic ones
===  ======================================================================================

The first five are those of an even network. A survey without a gradient has a vector of them, which
is the same to the network as fields that are constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

Kind = Literal["even", "local"]

#: ln sigma [cells], ln of galaxies per cell (spec, photo), redshift space (1 or 0), outliers.
CONDITIONS = ("ln sigma", "ln spec per cell", "ln photo per cell", "redshift space", "outliers")
#: Those of a local network.
LOCAL_CONDITIONS = (
    *CONDITIONS,
    "ln side across",
    "ln side along",
    "redshift",
    "common",
    "ln bias photo over spec",
)
#: Rows of the galaxies per cell.
DENSITY = slice(1, 3)
#: Fewer expected galaxies per cell count as this many.
LEAST_PER_CELL = 1e-6
#: Narrower photo-z errors count as this one [cells]: their logarithm says nothing more.
_NARROW = 0.1
#: Up to here, in units of their scale, the conditions of a local network are what they are.
_FAR = 3.0
#: Side of a cell whose condition is 0 [Mpc/h].
SIDE = 2.0
#: Offset and scale of the conditions: those of the fiducial survey are 0.
_CENTER = (3.6, -4.8, -1.9, 0.5, 0.0, 0.0, 0.0, 0.59, 1.0, -0.25)
_SCALE = (0.8, 1.0, 0.7, 0.5, 0.05, 0.3, 0.3, 0.4, 0.5, 0.25)


def names_of(kind: Kind) -> tuple[str, ...]:
    """Names of the conditions of a kind of network."""
    return CONDITIONS if kind == "even" else LOCAL_CONDITIONS


def scaling_of(kind: Kind) -> tuple[Tensor, Tensor]:
    """Offset and scale of the conditions of a kind of network, float32 (conditions,) each."""
    number = len(names_of(kind))
    return torch.tensor(_CENTER[:number]), torch.tensor(_SCALE[:number])


def even_conditions(
    *, sigma: float, per_cell: tuple[float, float], redshift_space: bool, outliers: float
) -> Tensor:
    """The conditions of an even network, float32 (5,).

    Parameters
    ----------
    sigma : float
        Width of the photo-z error [cells].
    per_cell : two floats
        Expected galaxies per cell of both surveys.
    redshift_space : bool
    outliers : float
    """
    first, second = (math.log(number) for number in per_cell)
    width = math.log(max(sigma, _NARROW))
    return torch.tensor([width, first, second, float(redshift_space), outliers])


def local_conditions(
    *,
    log_sigma: ArrayLike,
    per_cell: tuple[ArrayLike, ArrayLike],
    redshift_space: bool,
    outliers: ArrayLike,
    sides: tuple[ArrayLike, ArrayLike],
    redshift: ArrayLike,
    common: float,
    log_bias: float,
) -> Tensor:
    """The conditions of a local network, float32 (10,), or (10, nz) of arrays along a sight line.

    Parameters
    ----------
    log_sigma : float or (nz,) array
        ln of the width of the photo-z error [cells], see `log_widths`.
    per_cell : two floats or (nz,) arrays
        Expected galaxies per cell of both surveys.
    redshift_space : bool
    outliers : float or (nz,) array
    sides : two floats or (nz,) arrays
        Of a cell across the sky and along the line of sight [Mpc/h].
    redshift : float or (nz,) array
    common : float
        Share of the spectroscopic galaxies that are in the photometric sample.
    log_bias : float
        ln of the bias of the photometric galaxies over that of the spectroscopic ones.
    """
    rows = [
        log_sigma,
        *(np.log(np.maximum(number, LEAST_PER_CELL)) for number in per_cell),
        float(redshift_space),
        outliers,
        *(np.log(np.divide(side, SIDE)) for side in sides),
        redshift,
        common,
        log_bias,
    ]
    values = np.stack(np.broadcast_arrays(*rows)).astype(np.float32)
    return torch.from_numpy(values)


def log_widths(sigma: ArrayLike, weights: ArrayLike = 1.0) -> NDArray[np.float64]:
    """Mean of ln sigma [cells] over classes of errors, the first axis of both.

    Parameters
    ----------
    sigma : (classes, ...) array
        Widths [cells].
    weights : (classes, ...) array
        Expected galaxies of the classes; where none are expected all classes count alike.
    """
    logs = np.log(np.maximum(np.asarray(sigma, np.float64), _NARROW))
    weights = np.broadcast_to(np.asarray(weights, np.float64), logs.shape)
    weights = np.where(weights.sum(axis=0) > 0, weights, 1.0)
    return np.asarray((weights * logs).sum(axis=0) / weights.sum(axis=0))


@dataclass(frozen=True, eq=False)
class Conditions:
    """Conditions of a batch of surveys, which may change from cell to cell.

    Parameters
    ----------
    values : Tensor (batch, conditions), or (batch, conditions, nx, ny, nz)
        A condition that is constant along axes across the sky may have one cell there.
    density : Tensor (batch, 2, nx, ny, nz), optional
        Rows `DENSITY`, in place of those of the values.
    """

    values: Tensor
    density: Tensor | None = None

    @classmethod
    def of(cls, values: Tensor, density: Tensor | None, like: Tensor) -> Conditions:
        """Conditions with or without a batch, for the fields ``like`` (batch, ...).

        Raises
        ------
        ValueError
            If there are other cells than those of the fields.
        """
        if values.ndim in (1, 4):
            values = values[None]
        if density is not None:
            density = (density[None] if density.ndim == 4 else density).to(like)
            density = density.expand(len(like), -1, -1, -1, -1)
            if values.ndim == 2:
                values = values[:, :, None, None, None]
        for name, given in (("conditions", values), ("density", density)):
            mesh = () if given is None else given.shape[2:]
            if any(n not in (1, cells) for n, cells in zip(mesh, like.shape[2:], strict=False)):
                raise ValueError(
                    f"{name} have {tuple(mesh)} cells and the fields {tuple(like.shape[2:])}: give "
                    "as many, or 1 along axes without a gradient"
                )
        return cls(values.to(like).expand(len(like), *values.shape[1:]), density)

    @property
    def per_cell(self) -> Tensor:
        """ln of the expected galaxies per cell of both surveys, (batch, 2, nx or 1, ...)."""
        if self.density is not None:
            return self.density
        found = self.values[:, DENSITY]
        return found[..., None, None, None] if found.ndim == 2 else found

    def coarser(self, stride: int = 2) -> Conditions:
        """Mean over 2^3 cells; faces continue to a multiple of the stride as they end."""

        def mean(values: Tensor) -> Tensor:
            return values if values.ndim == 2 else _halved(values, stride)

        density = None if self.density is None else mean(self.density)
        return replace(self, values=mean(self.values), density=density)

    def whole(self) -> Tensor:
        """All of them in one tensor, (batch, conditions) or (batch, conditions, nx or 1, ...)."""
        if self.density is None:
            return self.values
        mesh = [max(pair) for pair in zip(self.density.shape, self.values.shape, strict=True)][2:]
        rows, density = (v.expand(*v.shape[:2], *mesh) for v in (self.values, self.density))
        return torch.cat([rows[:, : DENSITY.start], density, rows[:, DENSITY.stop :]], dim=1)


def _halved(values: Tensor, stride: int) -> Tensor:
    """Mean over pairs of cells along each of the last three axes that has more than one."""
    for axis in range(values.ndim - 3, values.ndim):
        size = values.shape[axis]
        if size == 1:
            continue
        if size % stride:
            cells = torch.arange(size + -size % stride, device=values.device)
            values = values.index_select(axis, cells.clamp_(max=size - 1))
        shape = values.shape
        values = values.reshape(*shape[:axis], -1, 2, *shape[axis + 1 :]).mean(axis + 1)
    return values


def at_points(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear layer applied to (batch, channels), or to (batch, channels, nx, ny, nz)."""
    if values.ndim == 2:
        return functional.linear(values, weight, bias)
    return functional.linear(values.movedim(1, -1), weight, bias).movedim(-1, 1)


def centred(values: Tensor, center: Tensor, scale: Tensor, axis: int) -> Tensor:
    """Conditions along an axis, less their offset and over their scale.

    Cell by cell, expected counts fall to nothing at the end of N(z) and at the edge of a footprint,
    so that those of a local network grow as a logarithm beyond `_FAR` times their scale.
    """
    shape: Sequence[int] = [-1, *[1] * (values.ndim - 1 - axis)]
    result = (values - center.view(shape)) / scale.view(shape)
    if len(center) == len(CONDITIONS):
        return result
    beyond = (result.abs() - _FAR).clamp(min=0)
    return torch.where(beyond > 0, result.sign() * (_FAR + torch.log1p(beyond)), result)
