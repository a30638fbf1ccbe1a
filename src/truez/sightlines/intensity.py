"""The intensity that moves galaxies along their sight lines, on a mesh finer than the field's.

lambda may be known on smaller cells across the sky than those of the field, and neighbours on the
sky may add to it (`truez.sightlines.pairs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from truez.mesh.box import Box
from truez.sightlines.pairs import Pairs
from truez.support.checks import as_numbers


@dataclass(frozen=True, eq=False)
class Intensity:
    """lambda > 0, relative to the expected counts, and what pairs of galaxies add to it.

    Parameters
    ----------
    values : Tensor (k nx, l ny, nz)
        On the mesh of the field, or on k x l smaller cells for each of its cells.
    pairs : Pairs, optional
        None: galaxies know nothing of one another.
    """

    values: Tensor
    pairs: Pairs | None = None

    @classmethod
    def of(cls, value: Any, box: Box) -> Intensity:
        """The intensity of a reconstruction, or one that is given as a mesh.

        Raises
        ------
        ValueError
            If it is no intensity on the mesh of the box or a finer one, or the reconstruction has
            none.
        """
        pairs = getattr(value, "pairs", None)
        if hasattr(value, "intensity"):
            value = value.intensity
            if value is None:
                raise ValueError(
                    "this reconstruction moves no galaxies and has no intensity: redshifts need "
                    "the method columns or redistribution"
                )
        if isinstance(value, Intensity):
            value = value.values
        if not isinstance(value, Tensor):
            array = as_numbers(value, "intensity")
            value = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
        check_intensity(value, box)
        return cls(value, pairs)

    def on_mesh(self, box: Box) -> Tensor:
        """The mean over the smaller cells of each cell of a box, (nx, ny, nz)."""
        nx, ny, nz = box.meshsize
        across, up = self.values.shape[0] // nx, self.values.shape[1] // ny
        if across == up == 1:
            return self.values
        return self.values.reshape(nx, across, ny, up, nz).mean(dim=(1, 3))


def check_mesh(intensity: Tensor, box: Box, *, finer: bool = True) -> None:
    """Refuse an intensity of another mesh than the box; with ``finer`` see `check_intensity`."""
    shape = tuple(intensity.shape)
    if not fits(shape, box.meshsize, finer=finer):
        smaller = ", or of smaller cells across the sky" if finer else ""
        raise ValueError(f"intensity must be of the mesh {box.meshsize}{smaller}, not {shape}")


def fits(shape: tuple[int, ...], mesh: tuple[int, int, int], *, finer: bool = True) -> bool:
    """Whether an array is of a mesh, or with ``finer`` of one of smaller cells across the sky."""
    nx, ny, nz = mesh
    if finer and len(shape) == 3 and min(shape) > 0:
        return shape[0] % nx == shape[1] % ny == 0 and shape[2] == nz
    return shape == mesh


def check_intensity(intensity: Tensor, box: Box, *, finer: bool = True) -> None:
    """Refuse an intensity that is not positive, or of another mesh than the box.

    With ``finer`` its cells may be smaller across the sky.
    """
    check_mesh(intensity, box, finer=finer)
    lowest = float(intensity.min())
    if not (lowest > 0 and bool(torch.isfinite(intensity).all())):
        raise ValueError(
            f"intensity must be positive and finite, not {lowest:g} at the least: give 1 + delta, "
            "with a floor"
        )
