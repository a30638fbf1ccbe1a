"""Meshes in temporary files, for transforms of fields that are larger than the memory.

A mesh is mapped into memory: the system holds what is being worked on, and writes the rest to the
file. `truez.mesh.fourier.rfft_` transforms it in two passes, over its planes and along its first
axis, some hundred MB at a time; what reads modes slab by slab then works on it as on any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field_file import FieldHeader, field_suffix, read_header
from truez.mesh.file_checks import FieldError, FileChecks
from truez.mesh.fourier import rfft_
from truez.mesh.memory import VALUE
from truez.support.disk import check_disk
from truez.support.files import system_errors
from truez.support.temporaries import new_temporary, remove, remove_partial, temporaries

#: Numbers that a transform or a copy works on at a time.
AT_ONCE = 2**25


@contextmanager
def scratch_mesh(box: Box, beside: str | Path, *, option: str = "out") -> Iterator[Tensor]:
    """A mesh of zeros in a temporary file, which is removed in the end.

    Parameters
    ----------
    box : Box
    beside : str or Path
        An output, in whose folder the file lies.
    option : str
        The argument that names the output.

    Yields
    ------
    Tensor (nx, ny, nz)
        float32, as from `truez.mesh.fourier.roomy_mesh`.

    Raises
    ------
    ValueError
        If the disk has no room for it.
    """
    target = Path(beside)
    target.parent.mkdir(parents=True, exist_ok=True)
    nx, ny, nz = box.meshsize
    shape = (nx, ny, 2 * (nz // 2 + 1))
    check_disk(VALUE * math.prod(shape), target, option=option, more=", with a temporary file,")
    remove_partial(target)
    path = new_temporary(target)
    try:
        with system_errors():
            values = np.memmap(path, np.float32, "w+", shape=shape)
        yield torch.from_numpy(values)[..., :nz]
    finally:
        remove(path)
        temporaries.discard(path)


def transformed(mesh: Tensor) -> Tensor:
    """Modes of a mesh from `scratch_mesh`, in its memory, (nx, ny, nz // 2 + 1)."""
    return rfft_(mesh, at_once=AT_ONCE)


def copy_field(path: str | Path, mesh: Tensor) -> FieldHeader:
    """Copy the values of an HDF5 field to a mesh, some planes at a time.

    Parameters
    ----------
    path : str or Path
    mesh : Tensor (nx, ny, nz)
        Is overwritten.

    Returns
    -------
    FieldHeader

    Raises
    ------
    truez.mesh.file_checks.FieldError
        If it is no such field, or holds NaN or infinity.
    """
    header = read_header(path)
    if field_suffix(path) == ".fits":
        raise FieldError(f"{path} is read as a whole, being FITS: write it to .h5")
    checks, planes = FileChecks(Path(path)), mesh.numpy()
    with checks.reading(), h5py.File(path, "r") as file:
        data = checks.dataset(file, "values")
        step = max(1, AT_ONCE // math.prod(data.shape[1:]))
        for first in range(0, len(planes), step):
            part = data[first : first + step]
            planes[first : first + step] = checks.numbers("values", part)
    return header


def relative_to(mesh: Tensor, level: NDArray[np.floating]) -> None:
    """Turn counts in a mesh into the overdensity ``counts / level - 1``, plane by plane.

    Parameters
    ----------
    mesh : Tensor (nx, ny, nz)
    level : array (nz,)
        Expected counts per cell along a sight line.
    """
    counts, expected = mesh.numpy(), np.asarray(level, np.float32)
    for plane in counts:
        plane /= expected
        plane -= 1
