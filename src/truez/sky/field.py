"""Fields on the patches of a sky, at any direction and redshift.

The patches are in memory, or in a file (`truez.sky.field_file`), from which they are read one at a
time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from truez.cosmology import Cosmology
from truez.mesh.sky_box import SkyBox
from truez.sightlines.intensity import Intensity
from truez.sky.field_file import FORMAT, StoredPatches, check_suffix, patch_writer
from truez.sky.layout import (
    MESHES,
    Layout,
    Outline,
    PatchesInTurn,
    SkyPatch,
    grown,
    intensity_of,
)
from truez.sky.patch_data import sight_line_of

__all__ = ["FORMAT", "SkyField", "SkyPatch", "check_suffix", "grown"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class SkyField:
    """An estimate on all patches of a sky.

    Parameters
    ----------
    patches : sequence of SkyPatch
        By shells from the nearest on, in memory or in a file.
    cosmology : Cosmology
    metadata : dict
        Its origin, as plain values.
    """

    patches: Sequence[SkyPatch]
    cosmology: Cosmology
    metadata: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        cells = sum(one.box.num_cells for one in self.layout.outlines)
        return (
            f"{type(self).__name__} by {self.metadata.get('method', 'an unknown method')} on "
            f"{len(self)} patch{'es' if len(self) > 1 else ''}, {cells:.3g} cells"
        )

    def __len__(self) -> int:
        return len(self.patches)

    def __iter__(self) -> Iterator[SkyPatch]:
        return iter(self.patches)

    def __getitem__(self, number: int) -> SkyPatch:
        return self.patches[number]

    @cached_property
    def layout(self) -> Layout:
        """Where the patches lie."""
        outlines: Sequence[Outline] = self.patches
        if isinstance(self.patches, PatchesInTurn):
            outlines = self.patches.outlines
        return Layout(outlines, self.cosmology)

    @property
    def reach(self) -> tuple[float, float]:
        """Redshifts between which galaxies have posteriors."""
        return self.layout.reach

    def patch_of(self, ra: ArrayLike, dec: ArrayLike, redshift: ArrayLike) -> NDArray[np.int64]:
        """The patch whose core holds each place, shape (n,); -1 outside.

        Parameters
        ----------
        ra, dec : (n,) arrays
            [deg].
        redshift : (n,) array
            Those in front of the first shell and behind the last, within reach of their boxes,
            belong to these, as do places up to a cell beyond the footprint to the patch that
            they are next to; others, and those that are not numbers, belong to none.
        """
        return self.layout.patch_of(ra, dec, redshift)

    def at(
        self, ra: ArrayLike, dec: ArrayLike, redshift: ArrayLike, what: str = "delta"
    ) -> NDArray[np.float32]:
        """The field at places, linearly interpolated; nan outside the survey and the map.

        Parameters
        ----------
        ra, dec, redshift : (n,) arrays
            Directions [deg] and redshifts.
        what : {"delta", "sigma", "intensity"}

        Raises
        ------
        ValueError
            If ``what`` is something else, or not known.
        """
        if what not in MESHES:
            raise ValueError(f"what must be one of {', '.join(MESHES)}, not {what!r}")
        if not self.has(what):
            raise ValueError(f"this field has no {what}: choose another method, or delta")
        a, d, z = (np.atleast_1d(np.asarray(x, np.float64)) for x in (ra, dec, redshift))
        number = self.patch_of(a, d, z)
        nearest, farthest = self.layout.distances
        result = np.full(z.shape, np.nan, dtype=np.float32)
        for index, patch in enumerate(self.layout.outlines):
            rows = np.flatnonzero(number == index)
            if not len(rows):
                continue
            positions = patch.box.positions(a[rows], d[rows], z[rows])
            inside = (positions[:, 2] >= nearest) & (positions[:, 2] <= farthest)
            inside &= patch.completeness[sight_line_of(patch.box, positions[:, :2])] > 0
            mesh = self.mesh(index, what)
            assert mesh is not None
            nx, ny, nz = mesh.shape
            box = replace(patch.box, meshsize=(nx, ny, nz))  # an intensity has smaller cells
            result[rows[inside]] = _interpolated(mesh, box, positions[inside])
        return result

    def has(self, what: str) -> bool:
        """Whether ``delta``, ``sigma`` or ``intensity`` is known."""
        if isinstance(self.patches, PatchesInTurn):
            return what in self.patches.meshes
        return all(getattr(patch, what) is not None for patch in self.patches)

    def mesh(self, number: int, what: str) -> Tensor | None:
        """One of ``delta``, ``sigma`` and ``intensity`` of a patch; None where there is none."""
        if isinstance(self.patches, PatchesInTurn):
            return self.patches.mesh(number, what) if self.has(what) else None
        found: Tensor | None = getattr(self.patches[number], what)
        return found

    def intensity(self, number: int) -> Intensity | None:
        """The intensity of a patch with its pairs; None where it moves no galaxies."""
        if not isinstance(self.patches, PatchesInTurn):
            return intensity_of(self.patches[number])
        values = self.mesh(number, "intensity")
        return None if values is None else Intensity(values, self.patches.pairs[number])

    def write(self, path: str | Path) -> None:
        """Write to HDF5 (``.h5``, ``.hdf5``), whole or not at all."""
        with patch_writer(path) as writer:
            for patch in self:
                writer.add(patch)
            writer.describe(self.cosmology, self.metadata)

    @classmethod
    def read(cls, path: str | Path) -> SkyField:
        """Open a file that `write` wrote, whose patches are read when they are asked for.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If it is another file.
        """
        found = StoredPatches(path)
        return cls(found, found.cosmology, found.metadata)


def _interpolated(mesh: Tensor, box: SkyBox, positions: Array) -> NDArray[np.float32]:
    """Values at positions, linear between cell centres and constant beyond the outermost."""
    lower: list[NDArray[np.int64]] = []
    shares: list[Array] = []
    for axis in range(3):
        place = (positions[:, axis] - box.lower[axis]) / box.cellsize[axis] - 0.5
        place = np.clip(place, 0, box.meshsize[axis] - 1)
        cell = np.minimum(np.floor(place), max(box.meshsize[axis] - 2, 0)).astype(np.int64)
        lower.append(cell)
        shares.append(place - cell)
    values = mesh.numpy()
    total = np.zeros(len(positions))
    for corner in np.ndindex(2, 2, 2):
        cells = tuple(
            np.minimum(lower[axis] + corner[axis], box.meshsize[axis] - 1) for axis in range(3)
        )
        weight = _corner_weight(shares, corner)
        # A corner without weight may be nan.
        total += np.where(weight > 0, weight * values[cells], 0.0)
    return total.astype(np.float32)


def _corner_weight(shares: Sequence[Array], corner: tuple[int, ...]) -> Array:
    result = np.ones_like(shares[0])
    for share, upper in zip(shares, corner, strict=True):
        result *= share if upper else 1 - share
    return result
