"""The patches of a box that have been reconstructed: a folder beside the output, until it is whole.

    plan.json     what is reconstructed, and how: a run goes on only with the same
    shared.json   what all patches share
    00012.h5      the core of a patch: its meshes, or the numbers of its galaxies

A file is there whole or not at all. A run that was stopped at any time goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from truez.reconstruct.settings import Shared
from truez.reconstruct.whole_box import shared_from_json, shared_to_json
from truez.support.differences import differences
from truez.support.files import atomic_path, system_errors, write_text
from truez.support.hdf5 import created
from truez.support.temporaries import remove_all_partial

_PLAN, _SHARED = "plan.json", "shared.json"
#: What is behind the name of an output in that of its folder of patches.
SUFFIX = ".patches"


@dataclass(frozen=True)
class PatchStore:
    """The folder of patches of an output.

    Parameters
    ----------
    folder : Path
    """

    folder: Path

    @classmethod
    def beside(cls, output: str | Path) -> PatchStore:
        """The one of an output, which is made where there is none."""
        target = Path(output)
        return cls(target.with_name(target.name + SUFFIX))

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Begin with a plan, or go on with it.

        Raises
        ------
        ValueError
            If the folder is of another plan, or not of patches at all.
        """
        path, wanted = self.folder / _PLAN, json.loads(json.dumps(plan))
        if path.is_file():
            try:
                there = json.loads(path.read_text(encoding="utf-8"))
                found = differences(there, wanted)
            except (ValueError, TypeError):
                found = "no plan that can be read"
            if found:
                raise ValueError(
                    f"{self.folder} holds patches of another run ({found}): finish that one, or "
                    "remove the folder, or give another out"
                )
            return
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise ValueError(
                f"{self.folder} was not written by truez, and patches are to be written there: "
                "move it away, or give another out"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(plan, indent=1))

    @property
    def shared(self) -> Shared | None:
        """What all patches share; None where it is not known yet."""
        path = self.folder / _SHARED
        return shared_from_json(path.read_text(encoding="utf-8")) if path.is_file() else None

    def share(self, shared: Shared) -> None:
        """Keep what all patches share."""
        write_text(self.folder / _SHARED, shared_to_json(shared))

    def has(self, number: int) -> bool:
        """Whether a patch is there."""
        return self._path(number).is_file()

    def write(
        self, number: int, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]
    ) -> None:
        """Keep arrays of a patch, and plain values (JSON) about it."""
        path = self._path(number)
        with atomic_path(path) as temporary, created(temporary) as file, system_errors():
            for name, values in arrays.items():
                file.create_dataset(name, data=values)
            file.attrs["about"] = json.dumps(dict(about))

    def read(self, number: int) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The arrays of a patch, and what is known of it.

        Raises
        ------
        ValueError
            If its file is damaged.
        """
        path = self._path(number)
        try:
            with h5py.File(path, "r") as file:
                arrays = {name: np.asarray(data[()]) for name, data in file.items()}
                return arrays, json.loads(file.attrs["about"])
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise ValueError(
                f"{path} is damaged: remove it, and run the same command again"
            ) from error

    def remove(self) -> None:
        """Remove the folder, once the output is whole; files of others stay in it."""
        remove_all_partial(self.folder)
        for path in (*self.folder.glob("[0-9]" * 5 + ".h5"), self.folder / _SHARED):
            path.unlink(missing_ok=True)
        (self.folder / _PLAN).unlink()
        with suppress(OSError):
            self.folder.rmdir()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.h5"


def digest(arrays: Iterable[NDArray[Any] | None]) -> str:
    """What differs where one of several arrays does."""
    result = hashlib.blake2b(digest_size=16)
    for values in arrays:
        if values is None:
            result.update(b"none")
            continue
        result.update(f"{values.dtype}{values.shape}".encode())
        for first in range(0, len(values), 2**20):
            result.update(np.ascontiguousarray(values[first : first + 2**20]).data.cast("B"))
    return result.hexdigest()
