"""Fields on the patches of a sky, at any direction and redshift, and their file.

A file (HDF5) has the attributes ``format`` ("truez sky field 1"), ``method``, ``cosmology`` (its
parameters as JSON) and ``metadata`` (JSON), and a group ``patches/0000`` for each patch with

- the attributes of its sky box: ``ra``, ``dec`` [deg], ``chi_ref`` [Mpc/h], ``angle`` [deg],
  ``boxsize``, ``boxcenter`` [Mpc/h], ``meshsize`` (see `truez.mesh.sky_box.SkyBox`: the first two
  axes are equal-area projected angles times chi_ref, the last is comoving distance);
- the attributes ``near``, ``far`` [Mpc/h], between which its core lies;
- ``core`` (nx, ny), which sight lines are of its core: the cores of all patches divide the survey;
- ``completeness`` (nx, ny) and ``expected_profile`` (nz,), whose outer product is the expected
  photometric galaxies per cell;
- ``delta`` (nx, ny, nz), the overdensity, right in the core and the cells next to it and nan
  elsewhere; and, where known, ``sigma``, its error, and ``intensity``, lambda.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from truez.cosmology import Cosmology
from truez.mesh.sky_box import SkyBox
from truez.sky.patch_data import near_box, sight_line_of
from truez.support.documents import parsed_json
from truez.support.files import atomic_path

Array = NDArray[np.float64]
#: What a file says it is.
FORMAT = "truez sky field 1"
_MESHES = ("delta", "sigma", "intensity")
_BOX = ("ra", "dec", "chi_ref", "angle", "boxsize", "meshsize", "boxcenter")


@dataclass(frozen=True, eq=False, kw_only=True)
class SkyPatch:
    """The estimate in one patch.

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
    delta : Tensor (nx, ny, nz)
        Overdensity; nan in cells that are not next to the core.
    sigma, intensity : Tensor (nx, ny, nz), optional
        As in `truez.Reconstruction`.
    """

    box: SkyBox
    near: float
    far: float
    core: NDArray[np.bool_]
    completeness: NDArray[np.float32]
    expected_profile: NDArray[np.float32]
    delta: Tensor
    sigma: Tensor | None = None
    intensity: Tensor | None = None

    def __repr__(self) -> str:
        return f"SkyPatch: {self.box}, core {self.near:.5g} to {self.far:.5g} Mpc/h"

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


@dataclass(frozen=True, eq=False, repr=False)
class SkyField:
    """An estimate on all patches of a sky.

    Parameters
    ----------
    patches : sequence of SkyPatch
        By shells from the nearest on.
    cosmology : Cosmology
    metadata : dict
        Its origin, as plain values.
    """

    patches: tuple[SkyPatch, ...]
    cosmology: Cosmology
    metadata: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        cells = sum(patch.box.num_cells for patch in self.patches)
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

    @property
    def reach(self) -> tuple[float, float]:
        """Redshifts between which galaxies have posteriors."""
        edges = [patch.box.redshift_edges for patch in self.patches]
        return min(float(one[0]) for one in edges), max(float(one[-1]) for one in edges)

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
        a, d, z = (np.asarray(values, np.float64) for values in (ra, dec, redshift))
        chi = np.full(z.shape, np.nan)
        known = (z >= self.reach[0]) & (z <= self.reach[1])
        chi[known] = self.cosmology.distances.from_redshift(z[known])
        nearest, farthest = min(p.near for p in self), max(p.far for p in self)
        chi = np.clip(chi, nearest, np.nextafter(farthest, 0))
        result = np.full(z.shape, -1, dtype=np.int64)
        # Places in the cells that a seam cuts may be in no core by the centres of cells, and those
        # at the edge of the footprint in a cell of which it covers next to nothing.
        beside = np.full(z.shape, -1, dtype=np.int64)
        for number, patch in enumerate(self.patches):
            rows = np.flatnonzero((chi >= patch.near) & (chi < patch.far) & (result < 0))
            rows = rows[near_box(patch.box, a[rows], d[rows])]
            places = np.stack(patch.box.project(a[rows], d[rows]), axis=-1)
            i, j = sight_line_of(patch.box, places)
            rows, i, j = rows[i >= 0], i[i >= 0], j[i >= 0]
            covered = patch.completeness > 0
            result[rows[(patch.core & covered)[i, j]]] = number
            beside[rows[(grown(patch.core) & grown(covered))[i, j]]] = number
        return np.where(result >= 0, result, beside)

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
        if what not in _MESHES:
            raise ValueError(f"what must be one of {', '.join(_MESHES)}, not {what!r}")
        if any(getattr(patch, what) is None for patch in self):
            raise ValueError(f"this field has no {what}: choose another method, or delta")
        a, d, z = (np.atleast_1d(np.asarray(x, np.float64)) for x in (ra, dec, redshift))
        number = self.patch_of(a, d, z)
        nearest, farthest = min(p.near for p in self), max(p.far for p in self)
        result = np.full(z.shape, np.nan, dtype=np.float32)
        for index, patch in enumerate(self.patches):
            rows = np.flatnonzero(number == index)
            if not len(rows):
                continue
            positions = patch.box.positions(a[rows], d[rows], z[rows])
            inside = (positions[:, 2] >= nearest) & (positions[:, 2] <= farthest)
            inside &= patch.completeness[sight_line_of(patch.box, positions[:, :2])] > 0
            mesh = getattr(patch, what)
            result[rows[inside]] = _interpolated(mesh, patch.box, positions[inside])
        return result

    def write(self, path: str | Path) -> None:
        """Write to HDF5 (``.h5``, ``.hdf5``), whole or not at all; the module shows the layout."""
        check_suffix(path)
        with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
            file.attrs["format"] = FORMAT
            file.attrs["method"] = self.metadata.get("method", "")
            file.attrs["cosmology"] = json.dumps(self.cosmology.model_dump())
            file.attrs["metadata"] = json.dumps(self.metadata)
            for number, patch in enumerate(self.patches):
                group = file.create_group(f"patches/{number:04d}")
                box = patch.box.to_dict()
                group.attrs.update({name: box[name] for name in _BOX})
                group.attrs.update({"near": patch.near, "far": patch.far})
                for name in ("core", "completeness", "expected_profile"):
                    group[name] = getattr(patch, name)
                for name in _MESHES:
                    mesh = getattr(patch, name)
                    if mesh is not None:
                        group[name] = mesh.numpy()

    @classmethod
    def read(cls, path: str | Path) -> SkyField:
        """Read a file that `write` wrote.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If it is another file.
        """
        return cls(*read_patches(path))


def read_patches(path: str | Path) -> tuple[tuple[SkyPatch, ...], Cosmology, dict[str, Any]]:
    """Patches, cosmology and metadata of a file."""
    check_suffix(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no field file {path}")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise KeyError(f"its format is not {FORMAT!r}")
            cosmology, metadata = (
                parsed_json(file.attrs[name], name, remedy="make it again")
                for name in ("cosmology", "metadata")
            )
            cosmology = Cosmology(**cosmology)
            groups = file["patches"]
            patches = tuple(_patch(groups[name], cosmology) for name in sorted(groups))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a field on the sky that truez wrote ({error})") from error
    return patches, cosmology, metadata


def _patch(group: Any, cosmology: Cosmology) -> SkyPatch:
    about = {name: group.attrs[name] for name in _BOX}
    for name in ("boxsize", "boxcenter", "meshsize"):
        about[name] = about[name].tolist()
    meshes = {
        name: torch.from_numpy(np.asarray(group[name][...], np.float32))
        for name in _MESHES
        if name in group
    }
    return SkyPatch(
        box=SkyBox(**about, cosmology=cosmology),
        near=float(group.attrs["near"]),
        far=float(group.attrs["far"]),
        core=np.asarray(group["core"][...], np.bool_),
        completeness=np.asarray(group["completeness"][...], np.float32),
        expected_profile=np.asarray(group["expected_profile"][...], np.float32),
        **meshes,
    )


def check_suffix(path: str | Path) -> None:
    """Raise an error unless a field on the sky can be written to a path."""
    if Path(path).suffix.lower() not in (".h5", ".hdf5"):
        raise ValueError(f"a field on the sky is written as .h5 or .hdf5, not {path}")


def grown(mask: NDArray[np.bool_], cells: int = 1) -> NDArray[np.bool_]:
    """A mask (nx, ny) and the sight lines within a number of cells of it."""
    nx, ny = mask.shape
    for _ in range(cells):
        padded = np.pad(mask, 1)
        parts = [padded[i : i + nx, j : j + ny] for i in range(3) for j in range(3)]
        mask = np.asarray(np.any(parts, axis=0))
    return mask


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
