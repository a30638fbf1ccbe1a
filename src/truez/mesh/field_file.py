"""Reading the files of fields, whose layout is that of `truez.mesh.field`, by any writer.

A file may be damaged or hostile: what it declares is compared with its size and with the memory
before anything is read, links to other files are not followed, and what is wrong is one sentence.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from truez.mesh.box import Box
from truez.mesh.resamplers import RESAMPLERS
from truez.mesh.sky_box import box_from_dict
from truez.support.checks import shown
from truez.support.documents import DocumentError, parsed_json, section
from truez.support.memory import check_memory

KINDS = ("counts", "density", "delta")
_REMEDY = "give another file, or make it again"
#: Values over bytes of their file, more than which no compression of a field reaches.
_MOST_EXPANSION = 200
_VECTORS = ("boxsize", "meshsize", "boxcenter")
#: The attributes of sky boxes, and their keys in FITS; the cosmology is JSON.
SKY_KEYS = {"ra": "SKYRA", "dec": "SKYDEC", "chi_ref": "CHIREF", "cosmology": "COSMOLOG",
            "angle": "SKYANGLE"}  # fmt: skip
T = TypeVar("T")


class FieldError(ValueError):
    """A file of a field that cannot be used; its message is one sentence for the user."""


class NoFieldError(FieldError):
    """A file that is none of a field at all."""


class FieldHeader(NamedTuple):
    """What a file says of its values; the metadata without what is an attribute of a field."""

    box: Box
    kind: str
    metadata: dict[str, Any]
    shotnoise: float | None
    resampler: str | None

    @property
    def described(self) -> dict[str, Any]:
        """The metadata, with the attributes that are known among them."""
        known = {"shotnoise": self.shotnoise, "resampler": self.resampler}
        return self.metadata | {name: value for name, value in known.items() if value is not None}


#: Suffixes of field files.
SUFFIXES = (".h5", ".hdf5", ".fits")


def field_suffix(path: str | Path) -> str:
    """The suffix of a field file; raises ValueError if it is another."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"a field is read and written as .h5, .hdf5 or .fits, not {path}")
    return suffix


def read_field(path: str | Path) -> tuple[FieldHeader, NDArray[np.float32]]:
    """Header and values of a field.

    Raises
    ------
    FieldError
        If the file is no field, is damaged, or needs more memory than there is.
    FileNotFoundError
        If there is none.
    """
    return _read(path, lambda file: (file.header(), file.values("values")))


def read_header(path: str | Path) -> FieldHeader:
    """Header of a field, without its values; raises as `read_field`."""
    return _read(path, lambda file: file.header())


def read_extra(path: str | Path, names: Iterable[str]) -> dict[str, NDArray[np.float32]]:
    """Those of the further meshes ``names`` that an HDF5 field has; raises as `read_field`."""
    return _read(path, lambda file: {name: file.values(name) for name in names if file.has(name)})


def _read(path: str | Path, read: Callable[[_Hdf5 | _Fits], T]) -> T:
    """What ``read`` returns of an open file, whatever a library says of a damaged one."""
    place, is_fits = Path(path), field_suffix(path) == ".fits"
    if not place.is_file():
        raise FileNotFoundError(f"there is no field file {path}")
    with place.open("rb") as file:  # no permission to read is an error of the system
        start = file.read(8)
    if start != (b"SIMPLE  " if is_fits else b"\x89HDF\r\n\x1a\n"):
        what = "is empty" if not start else f"is not {'a FITS' if is_fits else 'an HDF5'} file"
        raise NoFieldError(f"{path} is not a field that truez wrote, as it {what}: {_REMEDY}")
    try:
        with warnings.catch_warnings(), ExitStack() as opened:
            warnings.simplefilter("ignore", AstropyWarning)  # of a damaged file
            if is_fits:
                # Opened here, as astropy leaves open what it cannot read.
                file = opened.enter_context(place.open("rb"))
                hdus = opened.enter_context(fits.open(file, memmap=False))
                return read(_Fits(place, hdus))
            return read(_Hdf5(place, opened.enter_context(h5py.File(place, "r"))))
    except (FieldError, DocumentError, MemoryError):
        raise
    except Exception as error:  # h5py and astropy have many
        raise _refusal(place, "it is damaged") from error


class _Hdf5:
    """An open HDF5 file of a field."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self.file = path, file

    def header(self) -> FieldHeader:
        data = self._data("values", NoFieldError)
        attributes = data.attrs
        if "kind" not in attributes or "metadata" not in attributes:
            raise _refusal(self.path, "it has another content", NoFieldError)
        names = (*_VECTORS, "periodic", "kind", "metadata", *SKY_KEYS)
        found = {name: attributes.get(name) for name in names}
        return _header(self.path, found, data.shape or ())

    def has(self, name: str) -> bool:
        return name in self.file

    def values(self, name: str) -> NDArray[np.float32]:
        data = self._data(name)
        _check_size(self.path, data.shape, data.dtype)
        return _numbers(self.path, name, data[()])

    def _data(self, name: str, error: type[FieldError] = FieldError) -> h5py.Dataset:
        link = self.file.get(name, getlink=True)
        if link is None:
            raise _refusal(self.path, f"it has no mesh {name!r}", error)
        if not isinstance(link, h5py.HardLink):
            raise _refusal(self.path, f"its {name!r} is a link to another place", error)
        data = self.file[name]
        if not isinstance(data, h5py.Dataset):
            raise _refusal(self.path, f"its {name!r} is no mesh", error)
        if data.is_virtual or data.external:
            raise _refusal(self.path, f"its {name!r} lies in other files", error)
        return data


class _Fits:
    """An open FITS file of a field."""

    def __init__(self, path: Path, hdus: fits.HDUList) -> None:
        self.path, self.first = path, hdus[0]

    def header(self) -> FieldHeader:
        cards = self.first.header
        if "KIND" not in cards or "METADATA" not in cards:
            raise _refusal(self.path, "it has another content", NoFieldError)
        found = {name: cards.get(name.upper()) for name in ("kind", "periodic", "metadata")}
        found |= {name: cards.get(key) for name, key in SKY_KEYS.items()}
        for name, key in (("boxsize", "BOXSIZE"), ("boxcenter", "BOXCEN")):
            found[name] = [cards.get(f"{key}{axis}") for axis in (1, 2, 3)]
        found["meshsize"] = self._shape()
        return _header(self.path, found, self._shape())

    def has(self, name: str) -> bool:
        return name == "values"

    def values(self, name: str) -> NDArray[np.float32]:
        size = abs(int(self.first.header["BITPIX"])) // 8
        _check_size(self.path, self._shape(), np.dtype(f"V{size}"), expansion=1)
        return _numbers(self.path, name, self.first.data.T)

    def _shape(self) -> tuple[int, ...]:
        return tuple(int(side) for side in reversed(self.first.shape))


def _header(path: Path, found: Mapping[str, Any], shape: tuple[int, ...]) -> FieldHeader:
    """What the attributes of a file say, which may be of any type."""
    vectors = {}
    for name in _VECTORS:
        value = np.asarray(found[name])
        if value.shape != (3,) or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
            raise _refusal(path, f"its {name} is not three numbers")
        vectors[name] = value.tolist()
    if tuple(vectors["meshsize"]) != shape:
        mesh, cells = (" x ".join(f"{n:g}" for n in part) for part in (vectors["meshsize"], shape))
        raise _refusal(path, f"its meshsize is {mesh}, and its values have {cells or 'no'} cells")
    periodic = found["periodic"]
    if not isinstance(periodic, bool | np.bool_):
        raise _refusal(path, "its periodic is neither true nor false")
    sky = _sky(path, {name: found[name] for name in SKY_KEYS if found[name] is not None})
    try:
        box = box_from_dict({**vectors, "periodic": bool(periodic), **sky})
    except ValueError as error:
        raise _refusal(path, str(error)) from error
    kind, text = found["kind"], found["metadata"]
    if kind not in KINDS:
        raise _refusal(path, f"its kind is {shown(kind)}, not {', '.join(KINDS[:-1])} or delta")
    if not isinstance(text, str):
        raise _refusal(path, "its metadata are no text")
    name = f"the metadata of {path}"
    metadata = section(parsed_json(text, name, remedy=_REMEDY), name, remedy=_REMEDY)
    noise, resampler = metadata.pop("shotnoise", None), metadata.pop("resampler", None)
    if noise is not None and not (_is_number(noise) and math.isfinite(noise)):
        raise _refusal(path, f"its shotnoise is {shown(noise)}, not a number")
    if resampler is not None and resampler not in RESAMPLERS:
        raise _refusal(path, f"its resampler is {shown(resampler)}, not {', '.join(RESAMPLERS)}")
    return FieldHeader(box, str(kind), metadata, noise, resampler)


def _sky(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a sky box, of which a file has all or none."""
    if found and len(found) < len(SKY_KEYS):
        missing = next(name for name in SKY_KEYS if name not in found)
        raise _refusal(path, f"its sky box has no {missing}")
    for name, value in found.items():
        if name == "cosmology":
            text = f"the cosmology of {path}"
            if not isinstance(value, str):
                raise _refusal(path, "its cosmology is no text")
            found[name] = section(parsed_json(value, text, remedy=_REMEDY), text, remedy=_REMEDY)
        elif np.asarray(value).shape != () or np.asarray(value).dtype.kind not in "fiu":
            raise _refusal(path, f"its {name} is not a number")
    return found


def _check_size(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], *, expansion: int = _MOST_EXPANSION
) -> None:
    """Refuse a mesh larger than its file can hold, or than the memory."""
    cells = math.prod(shape)
    if cells * dtype.itemsize > expansion * path.stat().st_size:
        raise _refusal(path, f"it declares {cells:.3g} cells, far more than it holds")
    try:
        check_memory(cells * (dtype.itemsize + 8), f"the mesh of {path}", "use larger cells")
    except ValueError as error:
        raise FieldError(str(error)) from None


def _numbers(path: Path, name: str, values: Any) -> NDArray[np.float32]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise _refusal(path, f"its {name!r} holds no real numbers")
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(result).all():
        broken = np.count_nonzero(~np.isfinite(result))
        raise FieldError(
            f"{path} has NaN or infinity in {broken} of its {result.size} {name}: {_REMEDY}"
        )
    return result


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refusal(path: Path, reason: str, kind: type[FieldError] = FieldError) -> FieldError:
    return kind(f"{path} is not a field that truez wrote, as {reason}: {_REMEDY}")
