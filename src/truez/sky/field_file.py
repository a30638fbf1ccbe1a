"""Files of fields on the patches of a sky, which are written and read one patch at a time.

A file (HDF5) has the attributes ``format`` ("truez sky field 1"), ``method``, ``cosmology`` (its
parameters as JSON) and ``metadata`` (JSON), and a group ``patches/00000`` for each patch
(``patches/0000`` in those of version 0.2.0) with

- the attributes of its sky box: ``ra``, ``dec`` [deg], ``chi_ref`` [Mpc/h], ``angle`` [deg],
  ``boxsize``, ``boxcenter`` [Mpc/h], ``meshsize`` (see `truez.mesh.sky_box.SkyBox`: the first two
  axes are equal-area projected angles times chi_ref, the last is comoving distance);
- the attributes ``near``, ``far`` [Mpc/h], between which its core lies;
- ``core`` (nx, ny), which sight lines are of its core: the cores of all patches divide the survey;
- ``completeness`` (nx, ny) and ``expected_profile`` (nz,), whose outer product is the expected
  photometric galaxies per cell;
- ``delta`` (nx, ny, nz), the overdensity, right in the core and the cells next to it and nan
  elsewhere; and, where known, ``sigma``, its error, and ``intensity``, lambda, whose cells may be
  smaller across the sky, (k nx, k ny, nz);
- where there are posterior samples, ``samples`` (number, nx, ny, nz), overdensities as ``delta``,
  with the attribute ``seed``: sample i is a function of it and i alone
  (`truez.sky.samples_file`);
- the attribute ``pairs``, where neighbours on the sky add to the intensity: their strength, and
  their radius and depth [Mpc/h] (see `truez.sightlines.pairs`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.cosmology import Cosmology
from truez.mesh.file_checks import FileChecks, NoFieldError
from truez.mesh.samples_file import SAMPLES, sample_chunk
from truez.mesh.sky_box import SkyBox
from truez.sightlines.intensity import Intensity, fits
from truez.sightlines.pairs import Pairs
from truez.sky.layout import MESHES, Outline, PatchesInTurn, SkyPatch
from truez.support.checks import shown
from truez.support.files import atomic_path, system_errors
from truez.support.hdf5 import created

#: What a file says it is.
FORMAT = "truez sky field 1"
_BOX = ("ra", "dec", "chi_ref", "angle", "boxsize", "meshsize", "boxcenter")
_VECTORS = ("boxsize", "meshsize", "boxcenter")


class PatchWriter:
    """An open file that patches are written to, one at a time."""

    def __init__(self, file: Any) -> None:
        self._file, self._number = file, 0

    def add(self, patch: SkyPatch) -> None:
        """Write the next patch."""
        with system_errors():
            group = self._file.create_group(_name(self._number))
            box = patch.box.to_dict()
            group.attrs.update({name: box[name] for name in _BOX})
            group.attrs.update({"near": patch.near, "far": patch.far})
            for name in ("core", "completeness", "expected_profile"):
                group[name] = getattr(patch, name)
            for name in MESHES:
                mesh = getattr(patch, name)
                if mesh is not None:
                    group[name] = mesh.numpy()
            if patch.pairs is not None:
                group.attrs["pairs"] = astuple(patch.pairs)
        self._number += 1

    def copy(self, path: str | Path, number: int) -> None:
        """Write the only patch of another file under a number, mesh by mesh."""
        with system_errors(), h5py.File(path, "r") as other:
            groups, own = self._file.require_group("patches"), list(other["patches"])
            assert len(own) == 1, own
            other.copy(f"patches/{own[0]}", groups, name=Path(_name(number)).name)

    def intensity(self, number: int) -> Intensity | None:
        """The intensity of a patch that has been written; None where it moves no galaxies."""
        group = self._file[_name(number)]
        if "intensity" not in group:
            return None
        with system_errors():
            values = torch.from_numpy(group["intensity"][()])
        pairs = group.attrs.get("pairs")
        return Intensity(values, None if pairs is None else Pairs(*pairs.tolist()))

    def make_room(self, num: int, seed: int) -> None:
        """Make room for posterior samples of the patches that have been written."""
        with system_errors():
            for number in range(self._number):
                group = self._file[_name(number)]
                mesh = tuple(group.attrs["meshsize"])
                data = group.create_dataset(SAMPLES, (num, *mesh), "f4", chunks=sample_chunk(mesh))
                data.attrs["seed"] = seed

    def put_sample(self, number: int, index: int, delta: Tensor) -> None:
        """Write the overdensity of one sample in a patch."""
        with system_errors():
            self._file[_name(number)][SAMPLES][index] = delta.numpy()

    def describe(self, cosmology: Cosmology, metadata: dict[str, Any]) -> None:
        """Write what the patches are of."""
        with system_errors():
            attributes = self._file.attrs
            attributes["format"] = FORMAT
            attributes["method"] = metadata.get("method", "")
            attributes["cosmology"] = json.dumps(cosmology.model_dump())
            attributes["metadata"] = json.dumps(metadata)


def _name(number: int) -> str:
    """The group of a patch, with as many digits as in the names of the files of patches."""
    return f"patches/{number:05d}"


@contextmanager
def patch_writer(path: str | Path) -> Iterator[PatchWriter]:
    """A `PatchWriter` of a file that is there in the end, whole or not at all."""
    check_suffix(path)
    with atomic_path(path) as temporary, created(temporary) as file:
        yield PatchWriter(file)


class StoredPatches(PatchesInTurn):
    """The patches of a file.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    outlines, meshes, pairs
        As of `PatchesInTurn`.
    cosmology, metadata
        Of the field.
    path : Path
    num_samples : int
        Posterior samples of each patch.
    seed : int, optional
        Theirs.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    truez.mesh.file_checks.FieldError
        If it is another file, is damaged, or has been replaced since.
    """

    def __init__(self, path: str | Path) -> None:
        check_suffix(path)
        self.path = Path(path).absolute()
        self._checks = FileChecks(self.path, "a field on the sky")
        self._checks.check_start()
        self._identity = self._checks.identity()
        with self._checks.reading(), h5py.File(self._checks.path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise self._checks.refusal(f"its format is not {FORMAT!r}", NoFieldError)
            cosmology, self.metadata = (
                self._checks.json(name, file.attrs.get(name)) for name in ("cosmology", "metadata")
            )
            self.cosmology = Cosmology(**cosmology)
            groups = self._checks.group(file, "patches")
            self._names = tuple(sorted(groups))
            if not self._names:
                raise self._checks.refusal("it has no patches")
            self.outlines = tuple(self._outline(groups, name) for name in self._names)
            self.pairs = tuple(self._pairs(groups[name]) for name in self._names)
            self.meshes = tuple(name for name in MESHES if name in groups[self._names[0]])
            self.num_samples, self.seed = self._samples(groups)

    def mesh(self, number: int, name: str) -> Tensor:
        """One mesh of a patch."""
        checks, shape = self._checks, self.outlines[number].box.meshsize
        with self._group(number) as group:
            data = checks.dataset(group, name)
            if not fits(data.shape, shape, finer=name == "intensity"):
                raise checks.refusal(f"its {name!r} is not of the mesh that it declares")
            checks.check_size(data.shape, data.dtype)
            return torch.from_numpy(checks.numbers(name, data[()], finite=False))

    def sample(self, number: int, index: int) -> Tensor:
        """The overdensity of one sample in a patch."""
        checks = self._checks
        with self._group(number) as group:
            data = checks.dataset(group, SAMPLES)
            checks.check_size(data.shape[1:], data.dtype)
            values = checks.numbers(f"values of sample {index}", data[index], finite=False)
            return torch.from_numpy(values)

    @contextmanager
    def _group(self, number: int) -> Iterator[Any]:
        """The group of a patch in the file, which must be the one that it was."""
        checks = self._checks
        if checks.identity() != self._identity:
            raise ValueError(
                f"{checks.path} has been replaced or removed since it was read: read it again"
            )
        with checks.reading(), h5py.File(checks.path, "r") as file:
            yield checks.group(checks.group(file, "patches"), self._names[number])

    def _samples(self, groups: Any) -> tuple[int, int | None]:
        """How many samples all patches have, and their seed."""
        checks = self._checks
        found: set[tuple[int, int | None]] = set()
        for name, outline in zip(self._names, self.outlines, strict=True):
            if SAMPLES not in groups[name]:
                found.add((0, None))
                continue
            data, mesh = checks.dataset(groups[name], SAMPLES), outline.box.meshsize
            shape: tuple[int, ...] = data.shape or ()
            if len(shape) != 4 or shape[1:] != mesh or shape[0] < 1:
                raise checks.refusal("its samples are not of the mesh that it declares")
            checks.check_size(mesh, data.dtype, several=shape[0])
            seed = checks.number("seed", data.attrs.get("seed"))
            if np.asarray(seed).dtype.kind not in "iu":
                raise checks.refusal(f"its seed is {shown(seed)}, not a whole number")
            found.add((int(shape[0]), int(seed)))
        if len(found) > 1:
            raise checks.refusal("its patches have different samples")
        return found.pop()

    def _pairs(self, group: Any) -> Pairs | None:
        value = group.attrs.get("pairs")
        if value is None:
            return None
        numbers = self._checks.vector("pairs", value)
        try:
            return Pairs(*numbers)
        except ValueError as error:
            raise self._checks.refusal(str(error)) from error

    def _outline(self, groups: Any, name: str) -> Outline:
        checks = self._checks
        group = checks.group(groups, name)
        found: dict[str, Any] = {key: group.attrs.get(key) for key in (*_BOX, "near", "far")}
        about: dict[str, Any] = {
            key: (checks.vector if key in _VECTORS else checks.number)(key, value)
            for key, value in found.items()
        }
        near, far = float(about.pop("near")), float(about.pop("far"))
        try:
            box = SkyBox(**about, cosmology=self.cosmology)
        except ValueError as error:
            raise checks.refusal(str(error)) from error
        across, along = box.meshsize[:2], box.meshsize[2:]
        return Outline(
            box=box, near=near, far=far,
            core=self._flat(group, "core", across) > 0,
            completeness=self._flat(group, "completeness", across),
            expected_profile=self._flat(group, "expected_profile", along),
        )  # fmt: skip

    def _flat(self, group: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        data = self._checks.dataset(group, name)
        if data.shape != shape:
            raise self._checks.refusal(f"its {name!r} is not of the mesh that it declares")
        self._checks.check_size(data.shape, data.dtype)
        values = data[()]
        return self._checks.numbers(
            name, values.astype(np.uint8) if values.dtype == bool else values
        )


def check_suffix(path: str | Path) -> None:
    """Raise an error unless a field on the sky can be written to a path."""
    if Path(path).suffix.lower() not in (".h5", ".hdf5"):
        raise ValueError(f"a field on the sky is written as .h5 or .hdf5, not {path}")
