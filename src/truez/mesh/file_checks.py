"""Checks of files of fields, which may be damaged or hostile.

What a file declares is compared with its size and with the memory before anything is read, links to
other files are not followed, and what is wrong is one sentence.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from truez.support.documents import DocumentError, parsed_json, section
from truez.support.memory import check_memory

REMEDY = "give another file, or make it again"
#: Values over bytes of their file, more than which no compression of a field reaches.
_MOST_EXPANSION = 200


class FieldError(ValueError):
    """A file of a field that cannot be used; its message is one sentence for the user."""


class NoFieldError(FieldError):
    """A file that is none of a field at all."""


def no_samples(path: Path) -> FieldError:
    """The error of a field without posterior samples where they are asked for."""
    return FieldError(f"{path} has no posterior samples: truez reconstruct --samples N writes them")


@dataclass(frozen=True)
class FileChecks:
    """Checks of one file.

    Parameters
    ----------
    path : Path
    what : str
        What it should be, for messages.
    """

    path: Path
    what: str = "a field"

    def refusal(self, reason: str, kind: type[FieldError] = FieldError) -> FieldError:
        """The error of a file that is not what it should be."""
        return kind(f"{self.path} is not {self.what} that truez wrote, as {reason}: {REMEDY}")

    def check_start(self, *, is_fits: bool = False) -> None:
        """Raise an error unless the file is there and begins as HDF5 or FITS files do."""
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no field file {self.path}")
        with self.path.open("rb") as file:  # no permission to read is an error of the system
            start = file.read(8)
        if start != (b"SIMPLE  " if is_fits else b"\x89HDF\r\n\x1a\n"):
            name = "a FITS" if is_fits else "an HDF5"
            raise self.refusal("it is empty" if not start else f"it is not {name} file",
                               NoFieldError)  # fmt: skip

    def identity(self) -> tuple[int, ...]:
        """What is another one once the file is another one."""
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Convert whatever a library says of a damaged file."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AstropyWarning)  # of a damaged file
                yield
        except (FieldError, DocumentError, MemoryError):
            raise
        except Exception as error:  # h5py and astropy have many
            raise self.refusal("it is damaged") from error

    def dataset(self, group: Any, name: str, error: type[FieldError] = FieldError) -> h5py.Dataset:
        """A dataset of an HDF5 group that lies in this very file."""
        data = self._linked(group, name, error)
        if not isinstance(data, h5py.Dataset):
            raise self.refusal(f"its {name!r} is no mesh", error)
        if data.is_virtual or data.external:
            raise self.refusal(f"its {name!r} lies in other files", error)
        return data

    def group(self, parent: Any, name: str, error: type[FieldError] = FieldError) -> h5py.Group:
        """A group of an HDF5 group that lies in this very file."""
        found = self._linked(parent, name, error)
        if not isinstance(found, h5py.Group):
            raise self.refusal(f"its {name!r} is no group", error)
        return found

    def _linked(self, group: Any, name: str, error: type[FieldError]) -> Any:
        link = group.get(name, getlink=True)
        if link is None:
            raise self.refusal(f"it has no mesh {name!r}", error)
        if not isinstance(link, h5py.HardLink):
            raise self.refusal(f"its {name!r} is a link to another place", error)
        return group[name]

    def check_size(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        expansion: int = _MOST_EXPANSION,
        several: int = 1,
    ) -> None:
        """Refuse a mesh larger than the memory, or so many of them as its file cannot hold."""
        cells = several * math.prod(shape)
        if cells * dtype.itemsize > expansion * self.path.stat().st_size:
            raise self.refusal(f"it declares {cells:.3g} cells, far more than it holds")
        try:
            check_memory(
                math.prod(shape) * (dtype.itemsize + 8),
                f"the mesh of {self.path}",
                "use larger cells",
            )
        except ValueError as error:
            raise FieldError(str(error)) from None

    def numbers(self, name: str, values: Any, *, finite: bool = True) -> NDArray[np.float32]:
        """Real numbers, which must be finite unless they may be nan."""
        array = np.asarray(values)
        if array.dtype.kind not in "fiu":
            raise self.refusal(f"its {name!r} holds no real numbers")
        with np.errstate(over="ignore"):
            result = np.ascontiguousarray(array, dtype=np.float32)
        broken = ~np.isfinite(result) if finite else np.isinf(result)
        if broken.any():
            which = "NaN or infinity" if finite else "infinity"
            raise FieldError(
                f"{self.path} has {which} in {np.count_nonzero(broken)} of its {result.size} "
                f"{name}: {REMEDY}"
            )
        return result

    def vector(self, name: str, value: Any) -> list[Any]:
        """Three finite numbers."""
        array = np.asarray(value)
        if array.shape != (3,) or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise self.refusal(f"its {name} is not three numbers")
        return list(array.tolist())

    def number(self, name: str, value: Any) -> Any:
        """A number."""
        if np.asarray(value).shape != () or np.asarray(value).dtype.kind not in "fiu":
            raise self.refusal(f"its {name} is not a number")
        return value

    def json(self, name: str, text: Any) -> dict[str, Any]:
        """The section that a text of JSON holds."""
        of_file = f"the {name} of {self.path}"
        if not isinstance(text, str):
            verb = "are" if name.endswith("a") else "is"
            raise self.refusal(f"its {name} {verb} no text")
        return section(parsed_json(text, of_file, remedy=REMEDY), of_file, remedy=REMEDY)
