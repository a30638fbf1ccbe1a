"""Where the patches of a field on the sky lie, and the estimate in each of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from truez.cosmology import Cosmology
from truez.mesh.sky_box import SkyBox
from truez.sightlines.intensity import Intensity
from truez.sightlines.pairs import Pairs
from truez.sky.patch_data import near_box, sight_line_of

#: Meshes that a patch may have.
MESHES = ("delta", "sigma", "intensity")


@dataclass(frozen=True, eq=False, kw_only=True)
class Outline:
    """A patch without its meshes.

    Parameters
    ----------
    box : SkyBox
        The core, one cell around it across the sky, and along the line of sight all that the patch
        was reconstructed with.
    near, far : float
        Of the core [Mpc/h].
    core : (nx, ny) bool array
        Which sight lines are of the core.
    completeness : (nx, ny) array
        Of the photometric survey.
    expected_profile : (nz,) array
        Expected photometric galaxies per cell of completeness 1.
    """

    box: SkyBox
    near: float
    far: float
    core: NDArray[np.bool_]
    completeness: NDArray[np.float32]
    expected_profile: NDArray[np.float32]

    @property
    def expected(self) -> Tensor:
        """Expected photometric galaxies per cell, (nx, ny, nz)."""
        across, along = (torch.from_numpy(x) for x in (self.completeness, self.expected_profile))
        return across[:, :, None] * along

    @property
    def core_cells(self) -> slice:
        """The cells along a sight line whose centres are in the core."""
        first, last = np.searchsorted(self.box.centers(2), [self.near, self.far])
        return slice(int(first), int(last))


@dataclass(frozen=True, eq=False, kw_only=True)
class SkyPatch(Outline):
    """The estimate in one patch.

    Parameters
    ----------
    box, near, far, core, completeness, expected_profile
        As of `Outline`.
    delta : Tensor (nx, ny, nz)
        Overdensity; nan in cells that are not next to the core.
    sigma : Tensor (nx, ny, nz), optional
        As in `truez.Reconstruction`.
    intensity : Tensor (nx, ny, nz), or (k nx, k ny, nz) of smaller cells across the sky, optional
    pairs : Pairs, optional
        What neighbours on the sky add to the intensity.
    """

    delta: Tensor
    sigma: Tensor | None = None
    intensity: Tensor | None = None
    pairs: Pairs | None = None

    def __repr__(self) -> str:
        return f"SkyPatch: {self.box}, core {self.near:.5g} to {self.far:.5g} Mpc/h"


class PatchesInTurn(Sequence[SkyPatch]):
    """Patches each of which is read or made when it is asked for, and not kept.

    Attributes
    ----------
    outlines : tuple of Outline
        The patches without their meshes.
    meshes : tuple of str
        The meshes that they have.
    pairs : tuple of Pairs or None
        Those of their intensities.
    """

    outlines: tuple[Outline, ...]
    meshes: tuple[str, ...]
    pairs: tuple[Pairs | None, ...]

    def __len__(self) -> int:
        return len(self.outlines)

    @overload
    def __getitem__(self, number: int) -> SkyPatch: ...

    @overload
    def __getitem__(self, number: slice) -> tuple[SkyPatch, ...]: ...

    def __getitem__(self, number: int | slice) -> SkyPatch | tuple[SkyPatch, ...]:
        if isinstance(number, slice):
            return tuple(self[index] for index in range(*number.indices(len(self))))
        outline = vars(self.outlines[number])
        meshes: dict[str, Any] = {name: self.mesh(number, name) for name in self.meshes}
        return SkyPatch(**outline, **meshes, pairs=self.pairs[number])

    @abstractmethod
    def mesh(self, number: int, name: str) -> Tensor:
        """One mesh of a patch."""


@dataclass(frozen=True, eq=False)
class Layout:
    """The outlines of all patches of a sky.

    Parameters
    ----------
    outlines : sequence of Outline
    cosmology : Cosmology
    """

    outlines: Sequence[Outline]
    cosmology: Cosmology

    @property
    def reach(self) -> tuple[float, float]:
        """Redshifts between which galaxies have posteriors."""
        edges = [one.box.redshift_edges for one in self.outlines]
        return min(float(one[0]) for one in edges), max(float(one[-1]) for one in edges)

    @property
    def distances(self) -> tuple[float, float]:
        """Distances between which cores lie [Mpc/h]."""
        return min(one.near for one in self.outlines), max(one.far for one in self.outlines)

    def patch_of(self, ra: ArrayLike, dec: ArrayLike, redshift: ArrayLike) -> NDArray[np.int64]:
        """The patch whose core holds each place: see `truez.sky.field.SkyField.patch_of`."""
        a, d, z = (np.asarray(values, np.float64) for values in (ra, dec, redshift))
        chi = np.full(z.shape, np.nan)
        lowest, highest = self.reach
        known = (z >= lowest) & (z <= highest)
        chi[known] = self.cosmology.distances.from_redshift(z[known])
        nearest, farthest = self.distances
        chi = np.clip(chi, nearest, np.nextafter(farthest, 0))
        result = np.full(z.shape, -1, dtype=np.int64)
        # Places in the cells that a seam cuts may be in no core by the centres of cells, and those
        # at the edge of the footprint in a cell of which it covers next to nothing.
        beside = np.full(z.shape, -1, dtype=np.int64)
        for number, patch in enumerate(self.outlines):
            rows = np.flatnonzero((chi >= patch.near) & (chi < patch.far) & (result < 0))
            rows = rows[near_box(patch.box, a[rows], d[rows])]
            places = np.stack(patch.box.project(a[rows], d[rows]), axis=-1)
            i, j = sight_line_of(patch.box, places)
            rows, i, j = rows[i >= 0], i[i >= 0], j[i >= 0]
            covered = patch.completeness > 0
            result[rows[(patch.core & covered)[i, j]]] = number
            beside[rows[(grown(patch.core) & grown(covered))[i, j]]] = number
        return np.where(result >= 0, result, beside)


def grown(mask: NDArray[np.bool_], cells: int = 1) -> NDArray[np.bool_]:
    """A mask (nx, ny) and the sight lines within a number of cells of it."""
    nx, ny = mask.shape
    for _ in range(cells):
        padded = np.pad(mask, 1)
        parts = [padded[i : i + nx, j : j + ny] for i in range(3) for j in range(3)]
        mask = np.asarray(np.any(parts, axis=0))
    return mask


def intensity_of(patch: SkyPatch) -> Intensity | None:
    """The intensity of a patch with its pairs; None where it moves no galaxies."""
    return None if patch.intensity is None else Intensity(patch.intensity, patch.pairs)
