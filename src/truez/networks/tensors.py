"""Files of tensors: safetensors with a text and a checksum of all that they hold.

The text is stored under a key of its owner, the checksum (SHA-256) under ``sha256``. Files of
earlier versions have no checksum, and are read as well. Nothing is unpickled.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from truez.support.documents import MOST_JSON
from truez.support.files import atomic_path

CHECKSUM = "sha256"


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: str, key: str) -> None:
    """Write a safetensors file with text under ``key``, whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written, for example on a full disk.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    checksum = _checksum(stored, metadata)
    with atomic_path(path) as temporary:
        try:
            save_file(stored, temporary, metadata={key: metadata, CHECKSUM: checksum})
        except SafetensorError as error:
            # The number of the system's error is in the text only.
            found = re.search(r"os error (\d+)", str(error))
            number = int(found[1]) if found else errno.EIO
            raise OSError(number, os.strerror(number), str(path)) from error
        _put_first(temporary, f'"{CHECKSUM}":"{checksum}"'.encode())


def read_text(path: str | Path, key: str) -> str:
    """The text under ``key`` of a safetensors file.

    Raises
    ------
    ValueError
        If it is no such file, or has no such text.
    """
    try:
        with _opened(path) as file:
            return str((file.metadata() or {})[key])
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} has no text {key!r} beside its tensors") from error


def read_tensors(
    path: str | Path, key: str, *, remedy: str = "copy the file again, or take another one"
) -> tuple[dict[str, Tensor], str]:
    """The tensors of a file that `save_tensors` wrote, and its text.

    Parameters
    ----------
    path : str or Path
    key : str
        Of the text.
    remedy : str
        What to do where the file cannot be used, for messages.

    Raises
    ------
    ValueError
        If the file is no such file, its content is not what was written, or a tensor holds NaN or
        infinity.
    """
    try:
        with _opened(path) as file:
            metadata = file.metadata() or {}
            text = metadata[key]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, RuntimeError, AttributeError) as error:
        raise ValueError(f"{path} is not a file of tensors that truez wrote: {remedy}") from error
    if CHECKSUM in metadata and metadata[CHECKSUM] != _checksum(tensors, text):
        raise ValueError(f"{path} is damaged, as its content does not have its checksum: {remedy}")
    for name, tensor in tensors.items():
        # Whole numbers are finite, and not all kinds of floats have the function.
        if tensor.is_floating_point() and not bool(tensor.float().isfinite().all()):
            raise ValueError(f"{path} holds NaN or infinity in its tensor {name!r}: {remedy}")
    return tensors, text


def check_fit(tensors: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> None:
    """Refuse tensors whose names, shapes or kinds of numbers are not those of a network.

    Raises
    ------
    ValueError
    """
    for name in [*like, *tensors]:
        if name not in tensors or name not in like:
            has = "lacks" if name in like else "has another tensor,"
            raise ValueError(f"the file {has} {name!r}")
        have, want = tensors[name], like[name]
        if have.shape != want.shape:
            raise ValueError(
                f"the tensor {name!r} has the shape {tuple(have.shape)}, and that of the network "
                f"is {tuple(want.shape)}"
            )
        if have.is_floating_point() != want.is_floating_point() or have.is_complex():
            raise ValueError(
                f"the tensor {name!r} is of type {_type(have)}, and that of the network is "
                f"{_type(want)}"
            )


def _opened(path: str | Path) -> Any:
    """An open safetensors file, whose header is not longer than truez writes any."""
    with Path(path).open("rb") as file:
        if int.from_bytes(file.read(8), "little") > MOST_JSON:
            raise SafetensorError("the header is too long")
    return safe_open(path, framework="pt")


def _put_first(path: Path, entry: bytes) -> None:
    """Put an entry before the others of the metadata, whose order is random in safetensors.

    Equal networks then have equal files.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length)
        behind, start = b"," + entry + b"}", b'"__metadata__":{'
        if behind in header:
            header = header.replace(behind, b"}", 1)
            file.seek(8)
            file.write(header.replace(start, start + entry + b",", 1))


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 of the names, types, shapes and bytes of tensors, and of a text."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
