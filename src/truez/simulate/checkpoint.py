"""Checkpoints of an N-body run: the particles after a step, in one HDF5 file with a checksum.

``positions`` and ``momenta`` (n, 3) float32; as attributes ``step``, ``settings`` (JSON) and the
checksum ``sha256`` of all of them, which files of earlier versions lack: those are read as well.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.support.differences import differences
from truez.support.documents import DocumentError, parsed_json, section
from truez.support.files import atomic_path, system_errors
from truez.support.hdf5 import created

CHECKSUM = "sha256"
_PARTS = ("positions", "momenta")
_REMEDY = "remove it, or write to another checkpoint"


def write_checkpoint(
    path: Path, settings: dict[str, Any], step: int, positions: Tensor, momenta: Tensor
) -> None:
    """Write the particles after a step, whole or not at all."""
    arrays = {"positions": positions.cpu().numpy(), "momenta": momenta.cpu().numpy()}
    text = json.dumps(settings)
    with atomic_path(path) as temporary, system_errors(), created(temporary) as file:
        for name, values in arrays.items():
            file[name] = values
        file.attrs["step"] = step
        file.attrs["settings"] = text
        file.attrs[CHECKSUM] = _checksum(text, step, arrays)


def read_checkpoint(
    path: Path, settings: dict[str, Any], device: torch.device | str
) -> tuple[int, Tensor, Tensor]:
    """Step, positions and momenta of a run with these settings.

    Raises
    ------
    ValueError
        If the file is not a checkpoint, is damaged, or is that of another run.
    """
    name = f"the settings of {path}"
    try:
        with h5py.File(path) as file:
            text, step = str(file.attrs["settings"]), int(file.attrs["step"])
            checksum = file.attrs.get(CHECKSUM)
            content = section(parsed_json(text, name, remedy=_REMEDY), name, remedy=_REMEDY)
            stored = {key: content.get(key) for key in settings}
            if found := differences(stored, json.loads(json.dumps(settings))):
                raise _OtherRunError(
                    f"the run in {path} has {found}: resume it with its own settings, or write to "
                    "another checkpoint"
                )
            arrays = {part: _particles(file, part, settings["box"]) for part in _PARTS}
    except (_OtherRunError, DocumentError):
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, RecursionError) as error:
        raise ValueError(
            f"{path} is not a checkpoint that truez simulate wrote: {_REMEDY}"
        ) from error
    if checksum is not None and checksum != _checksum(text, step, arrays):
        raise ValueError(f"{path} is damaged, as its content does not have its checksum: {_REMEDY}")
    if not 1 <= step <= settings["num_steps"]:
        raise ValueError(
            f"{path} is of step {step}, and the run has {settings['num_steps']}: {_REMEDY}"
        )
    _check_values(path, arrays, settings["box"])
    positions, momenta = (torch.from_numpy(arrays[name]).to(device) for name in _PARTS)
    return step, positions, momenta


class _OtherRunError(ValueError):
    """A checkpoint is that of a run with other settings."""


def _particles(file: h5py.File, name: str, box: dict[str, Any]) -> NDArray[np.float32]:
    """A data set (n, 3) of the particles, whose size is asked before it is read."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError("the particles lie in another place")
    data = file[name]
    if data.is_virtual or data.external:
        raise ValueError("the particles lie in other files")
    wanted = int(np.prod(box["meshsize"])), 3
    if data.shape != wanted or data.dtype != np.float32:
        raise ValueError(f"{data.name} of shape {data.shape} is not that of the particles")
    values: NDArray[np.float32] = data[:]
    return values


def _check_values(path: Path, arrays: dict[str, NDArray[np.float32]], box: dict[str, Any]) -> None:
    """Refuse particles outside the box, and values that are not finite."""
    inside = Box(**box).inside(arrays["positions"])
    moving = np.isfinite(arrays["momenta"]).all(axis=1)
    wrong = np.count_nonzero(~(inside & moving))
    if wrong:
        raise ValueError(
            f"{path} holds {wrong} particles outside the box or without a momentum: {_REMEDY}"
        )


def _checksum(text: str, step: int, arrays: dict[str, NDArray[np.float32]]) -> str:
    """SHA-256 of the settings, the step and the particles."""
    digest = hashlib.sha256(f"{text}\n{step}\n".encode())
    for name in _PARTS:
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
