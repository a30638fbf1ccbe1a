"""Posterior samples of a field in its file, written and read one at a time.

The file is that of a field (HDF5, see `truez.mesh.field`) with one dataset more, ``samples``
(float32, number, nx, ny, nz), in chunks that hold no more than one sample. It has the attributes
``seed``, ``resampler`` (how galaxies were painted) and, where it is known, ``shotnoise`` of each
sample [(Mpc/h)^3]. Samples are overdensities on the box of the field; sample i is a function of the
seed and i alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import h5py
import numpy as np
import torch
from torch import Tensor

from truez.mesh.field import Field
from truez.mesh.field_file import field_suffix, read_header
from truez.mesh.file_checks import FileChecks, no_samples
from truez.mesh.resamplers import RESAMPLERS
from truez.support.checks import shown
from truez.support.files import atomic_path, system_errors
from truez.support.hdf5 import created

#: The dataset.
SAMPLES = "samples"
#: A chunk has fewer bytes than HDF5 allows.
_CHUNK = 2**31


def check_samples_suffix(path: str | Path) -> None:
    """Raise an error unless samples can be written to a path."""
    if field_suffix(path) == ".fits":
        raise ValueError(f"a FITS file holds one mesh and no samples: give a .h5 file, not {path}")


def write_with_samples(
    path: str | Path, field: Field, samples: Iterable[Field], *, num: int, seed: int,
    **extra: Tensor,
) -> None:  # fmt: skip
    """Write a field with posterior samples, whole or not at all.

    Parameters
    ----------
    path : str or Path
        ``.h5`` or ``.hdf5``.
    field : Field
        The estimate.
    samples : iterable of Field
        Each is written when it comes, and not kept.
    num : int
        How many come.
    seed : int
        Theirs.
    **extra : Tensor
        Further meshes, as of `Field.write`.

    Raises
    ------
    ValueError
        If the path is of another format, or a sample is of another mesh.
    """
    check_samples_suffix(path)
    with atomic_path(path) as temporary, created(temporary) as file:
        with system_errors():
            field.put(file, **extra)
            data = file.create_dataset(
                SAMPLES, (num, *field.shape), "f4", chunks=sample_chunk(field.shape)
            )
            data.attrs["seed"] = seed
        count = 0
        for count, sample in enumerate(samples, 1):
            if sample.box != field.box or sample.kind != "delta":
                raise ValueError(f"samples must be overdensities on {field.box}, not {sample!r}")
            with system_errors():
                data[count - 1] = sample.numpy()
                about = {"resampler": sample.resampler, "shotnoise": sample.shotnoise}
                data.attrs.update({k: value for k, value in about.items() if value is not None})
        if count != num:
            raise ValueError(f"samples must be {num} fields, not {count}")


def sample_chunk(shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Chunks of samples: one of them, or as many of its planes as a chunk may hold."""
    nx, ny, nz = shape
    return 1, min(nx, max(1, _CHUNK // (4 * ny * nz))), ny, nz


def num_samples(path: str | Path) -> int:
    """How many samples the file of a field has, 0 without any; raises as `StoredSamples`."""
    if field_suffix(path) == ".fits":
        return 0
    checks = FileChecks(Path(path))
    checks.check_start()
    with checks.reading(), h5py.File(checks.path, "r") as file:
        if SAMPLES not in file:
            return 0
    return len(StoredSamples(path))


class StoredSamples(Sequence[Field]):
    """The posterior samples in the file of a field, each read when it is asked for, and not kept.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    seed : int
    header : FieldHeader
        Of the field that they are samples of.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    truez.mesh.file_checks.FieldError
        If it is another file, has no samples, is damaged, or has been replaced since.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from truez import Box, Field
    >>> from truez.mesh.samples_file import StoredSamples, write_with_samples
    >>> field = Field(np.zeros((4, 4, 8)), Box((16, 16, 32), cellsize=4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "field.h5"
    ...     write_with_samples(path, field, [field, field], num=2, seed=1)
    ...     samples = StoredSamples(path)
    ...     len(samples), samples.seed, samples[1].metadata
    (2, 1, {'seed': 1, 'number': 1})
    """

    seed: int

    def __init__(self, path: str | Path) -> None:
        check_samples_suffix(path)
        self._checks = FileChecks(Path(path).absolute())
        self.header = read_header(path)
        self._identity = self._checks.identity()
        with self._checks.reading(), h5py.File(self._checks.path, "r") as file:
            if SAMPLES not in file:
                raise no_samples(self._checks.path)
            data = self._data(file)
            self._len = int(data.shape[0])
            self.seed, self._known = self._attributes(data.attrs)

    def __repr__(self) -> str:
        return f"{len(self)} samples of seed {self.seed} on {self.header.box}"

    def __len__(self) -> int:
        return self._len

    @overload
    def __getitem__(self, number: int) -> Field: ...

    @overload
    def __getitem__(self, number: slice) -> tuple[Field, ...]: ...

    def __getitem__(self, number: int | slice) -> Field | tuple[Field, ...]:
        if isinstance(number, slice):
            return tuple(self[index] for index in range(*number.indices(len(self))))
        index = range(len(self))[number]
        checks = self._checks
        if checks.identity() != self._identity:
            raise ValueError(
                f"{checks.path} has been replaced or removed since it was read: read it again"
            )
        with checks.reading(), h5py.File(checks.path, "r") as file:
            values = checks.numbers(f"values of sample {index}", self._data(file)[index])
        made = self.header.metadata.get("method")
        about = {} if made is None else {"method": made}
        return Field(
            torch.from_numpy(values), self.header.box, "delta",
            {**about, "seed": self.seed, "number": index}, **self._known,
        )  # fmt: skip

    def _data(self, file: h5py.File) -> h5py.Dataset:
        checks, mesh = self._checks, self.header.box.meshsize
        data = checks.dataset(file, SAMPLES)
        if len(data.shape or ()) != 4 or data.shape[1:] != mesh or data.shape[0] < 1:
            found = " x ".join(map(str, data.shape or ())) or "no"
            wanted = " x ".join(map(str, mesh))
            raise checks.refusal(f"its samples have {found} cells, not those of N x {wanted}")
        checks.check_size(mesh, data.dtype, several=data.shape[0])
        return data

    def _attributes(self, found: Any) -> tuple[int, dict[str, Any]]:
        """The seed, and what is known of each sample."""
        checks = self._checks
        seed = checks.number("seed", found.get("seed"))
        if np.asarray(seed).dtype.kind not in "iu":
            raise checks.refusal(f"its seed is {shown(seed)}, not a whole number")
        known: dict[str, Any] = {"shotnoise": None, "resampler": found.get("resampler")}
        if known["resampler"] is not None and known["resampler"] not in RESAMPLERS:
            raise checks.refusal(
                f"its resampler is {shown(known['resampler'])}, not {', '.join(RESAMPLERS)}"
            )
        if "shotnoise" in found:
            known["shotnoise"] = float(checks.number("shotnoise", found["shotnoise"]))
            if not np.isfinite(known["shotnoise"]):
                raise checks.refusal("its shotnoise is not a number")
        return int(seed), known
