"""One file of a field from the cores of its patches, which are copied one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from truez.mesh.box import Box
from truez.mesh.field import field_attributes
from truez.reconstruct.patch_store import PatchStore
from truez.reconstruct.patches import BoxPatch
from truez.support.files import atomic_path, system_errors
from truez.support.hdf5 import created
from truez.support.progress import Progress, silent


def join_fields(
    path: str | Path,
    box: Box,
    patches: Sequence[BoxPatch],
    store: PatchStore,
    metadata: Mapping[str, Any],
    *,
    progress: Progress = silent,
) -> None:
    """Write a field, whole or not at all, from a store that has all its patches.

    Parameters
    ----------
    path : str or Path
        HDF5 file in the layout of `truez.mesh.field`.
    box : Box
    patches : sequence of BoxPatch
        Their cores divide the box.
    store : PatchStore
    metadata : mapping
        Of the field, with its ``resampler``.
    progress : Progress
    """
    nx, ny, nz = box.meshsize
    with atomic_path(path) as temporary, created(temporary) as file:
        data: dict[str, Any] = {}
        for number, patch in enumerate(patches):
            progress("joining patches", number, len(patches))
            arrays, _ = store.read(patch.number)
            x, y = patch.place
            with system_errors():
                for name, values in arrays.items():
                    k = values.shape[0] // (x.stop - x.start)
                    m = values.shape[1] // (y.stop - y.start)
                    if name not in data:
                        data[name] = file.create_dataset(name, (k * nx, m * ny, nz), "f4")
                    data[name][k * x.start : k * x.stop, m * y.start : m * y.stop] = values
        with system_errors():
            data["values"].attrs.update(field_attributes(box, "delta", metadata))
        progress("joining patches", len(patches), len(patches))
