"""Galaxies counted in cells with uneven expected counts, the data of `truez.linear.uneven`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from truez.mesh.box import Box


@dataclass(frozen=True, eq=False, repr=False)
class CellCounts:
    """Galaxies in the cells of a box, and how many are expected there.

    Parameters
    ----------
    counts : Tensor (nx, ny, nz), or (nx, ny, num_photo) with a matrix
        Galaxies per cell, painted with NGP; weighted galaxies count as their weight.
    expected : Tensor, broadcastable to (nx, ny, nz)
        Expected galaxies per true cell, 0 where none are observed.
    matrix : Tensor (num_photo, nz), optional
        p(photo-z in cell i | true place in cell j), such as `truez.sightlines.kernel.Kernel.matrix`
        without a true margin; None where the true places are known.
    """

    counts: Tensor
    expected: Tensor
    matrix: Tensor | None = None

    def check(self, box: Box, name: str) -> None:
        """Raise an error if these are no counts in the cells of a box."""
        nx, ny, nz = box.meshsize
        if self.matrix is not None and (self.matrix.dim() != 2 or self.matrix.shape[1] != nz):
            raise ValueError(
                f"the matrix of {name} must have a column for each of the {nz} cells along the "
                f"line of sight, not the shape {tuple(self.matrix.shape)}"
            )
        wanted = (nx, ny, nz if self.matrix is None else self.matrix.shape[0])
        if tuple(self.counts.shape) != wanted:
            raise ValueError(
                f"{name} has counts of shape {tuple(self.counts.shape)}, which must be {wanted} as "
                "its box and matrix have cells"
            )
        try:
            self.expected.expand(nx, ny, nz)
        except RuntimeError:
            raise ValueError(
                f"{name} has expected counts of shape {tuple(self.expected.shape)}, which do not "
                f"fit a mesh of {box.meshsize}"
            ) from None
        for what, values in (("counts", self.counts), ("expected counts", self.expected)):
            lowest, highest = (float(x) for x in torch.aminmax(values))
            if not (lowest >= 0 and highest < float("inf")):
                worst = lowest if lowest < 0 else highest
                raise ValueError(
                    f"the {what} of {name} must be finite and not negative, and there is {worst:g}"
                )
        if float(self.expected.max()) == 0:
            raise ValueError(f"{name} expects no galaxies in any cell: check footprint and N(z)")


def over(values: Tensor, expected: Tensor) -> Tensor:
    """Values over expected counts, and 0 where none are expected."""
    return torch.where(expected > 0, values / expected, 0.0)
