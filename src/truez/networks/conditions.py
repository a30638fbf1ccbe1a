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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

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
#: Side of a cell whose condition is 0 [Mpc/h].
SIDE = 2.0
#: Offset and scale of the conditions: those of the fiducial survey are 0.
_CENTER = (3.6, -4.8, -1.9, 0.5, 0.0, 0.0, 0.0, 0.59, 1.0, -0.25)
_SCALE = (0.8, 1.0, 0.7, 0.5, 0.05, 0.3, 0.3, 0.4, 0.5, 0.25)
#: Conditions count as at most so many scales from their offset, beyond which there is little to
#: tell: where almost no galaxies are expected, an estimate would be extrapolated without bounds.
_FARTHEST = 4.0


def names_of(kind: Kind) -> tuple[str, ...]:
    """Names of the conditions of a kind of network."""
    return CONDITIONS if kind == "even" else LOCAL_CONDITIONS


def scaling_of(kind: Kind) -> tuple[Tensor, Tensor]:
    """Offset and scale of the conditions of a kind of network, float32 (conditions,) each."""
    number = len(names_of(kind))
    return torch.tensor(_CENTER[:number]), torch.tensor(_SCALE[:number])


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


def at_points(layer: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """A layer of (..., channels) applied to (batch, channels), or to (batch, channels, ...)."""
    if values.ndim == 2:
        return layer(values)
    return layer(values.movedim(1, -1)).movedim(-1, 1)


def centred(values: Tensor, center: Tensor, scale: Tensor, axis: int) -> Tensor:
    """Conditions along an axis, less their offset and over their scale, within `_FARTHEST`."""
    shape: Sequence[int] = [-1, *[1] * (values.ndim - 1 - axis)]
    return ((values - center.view(shape)) / scale.view(shape)).clamp(-_FARTHEST, _FARTHEST)
