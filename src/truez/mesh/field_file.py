"""Reading the files of fields, whose layout is that of `truez.mesh.field`, by any writer.

A file may be damaged or hostile: see `truez.mesh.file_checks`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from truez.mesh.box import Box
from truez.mesh.file_checks import FieldError, FileChecks, NoFieldError
from truez.mesh.resamplers import RESAMPLERS
from truez.mesh.sky_box import box_from_dict
from truez.support.checks import shown

__all__ = ["KINDS", "SKY_KEYS", "SUFFIXES", "FieldError", "FieldHeader", "NoFieldError",
           "field_suffix", "read_extra", "read_field", "read_header"]  # fmt: skip

KINDS = ("counts", "density", "delta")
_VECTORS = ("boxsize", "meshsize", "boxcenter")
#: The attributes of sky boxes, and their keys in FITS; the cosmology is JSON.
SKY_KEYS = {"ra": "SKYRA", "dec": "SKYDEC", "chi_ref": "CHIREF", "cosmology": "COSMOLOG",
            "angle": "SKYANGLE"}  # fmt: skip
T = TypeVar("T")


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
    is_fits = field_suffix(path) == ".fits"
    checks = FileChecks(Path(path))
    checks.check_start(is_fits=is_fits)
    with checks.reading(), ExitStack() as opened:
        if is_fits:
            # Opened here, as astropy leaves open what it cannot read.
            file = opened.enter_context(checks.path.open("rb"))
            return read(_Fits(checks, opened.enter_context(fits.open(file, memmap=False))))
        return read(_Hdf5(checks, opened.enter_context(h5py.File(checks.path, "r"))))


class _Hdf5:
    """An open HDF5 file of a field."""

    def __init__(self, checks: FileChecks, file: h5py.File) -> None:
        self.checks, self.file = checks, file

    def header(self) -> FieldHeader:
        data = self.checks.dataset(self.file, "values", NoFieldError)
        attributes = data.attrs
        if "kind" not in attributes or "metadata" not in attributes:
            raise self.checks.refusal("it has another content", NoFieldError)
        names = (*_VECTORS, "periodic", "kind", "metadata", *SKY_KEYS)
        found = {name: attributes.get(name) for name in names}
        return _header(self.checks, found, data.shape or ())

    def has(self, name: str) -> bool:
        return name in self.file

    def values(self, name: str) -> NDArray[np.float32]:
        data = self.checks.dataset(self.file, name)
        self.checks.check_size(data.shape, data.dtype)
        return self.checks.numbers(name, data[()])


class _Fits:
    """An open FITS file of a field."""

    def __init__(self, checks: FileChecks, hdus: fits.HDUList) -> None:
        self.checks, self.first = checks, hdus[0]

    def header(self) -> FieldHeader:
        cards = self.first.header
        if "KIND" not in cards or "METADATA" not in cards:
            raise self.checks.refusal("it has another content", NoFieldError)
        found = {name: cards.get(name.upper()) for name in ("kind", "periodic", "metadata")}
        found |= {name: cards.get(key) for name, key in SKY_KEYS.items()}
        for name, key in (("boxsize", "BOXSIZE"), ("boxcenter", "BOXCEN")):
            found[name] = [cards.get(f"{key}{axis}") for axis in (1, 2, 3)]
        found["meshsize"] = self._shape()
        return _header(self.checks, found, self._shape())

    def has(self, name: str) -> bool:
        return name == "values"

    def values(self, name: str) -> NDArray[np.float32]:
        size = abs(int(self.first.header["BITPIX"])) // 8
        self.checks.check_size(self._shape(), np.dtype(f"V{size}"), expansion=1)
        return self.checks.numbers(name, self.first.data.T)

    def _shape(self) -> tuple[int, ...]:
        return tuple(int(side) for side in reversed(self.first.shape))


def _header(checks: FileChecks, found: Mapping[str, Any], shape: tuple[int, ...]) -> FieldHeader:
    """What the attributes of a file say, which may be of any type."""
    vectors = {name: checks.vector(name, found[name]) for name in _VECTORS}
    if tuple(vectors["meshsize"]) != shape:
        mesh, cells = (" x ".join(f"{n:g}" for n in part) for part in (vectors["meshsize"], shape))
        raise checks.refusal(f"its meshsize is {mesh}, and its values have {cells or 'no'} cells")
    periodic = found["periodic"]
    if not isinstance(periodic, bool | np.bool_):
        raise checks.refusal("its periodic is neither true nor false")
    sky = _sky(checks, {name: found[name] for name in SKY_KEYS if found[name] is not None})
    try:
        box = box_from_dict({**vectors, "periodic": bool(periodic), **sky})
    except ValueError as error:
        raise checks.refusal(str(error)) from error
    kind, text = found["kind"], found["metadata"]
    if kind not in KINDS:
        raise checks.refusal(f"its kind is {shown(kind)}, not {', '.join(KINDS[:-1])} or delta")
    metadata = checks.json("metadata", text)
    noise, resampler = metadata.pop("shotnoise", None), metadata.pop("resampler", None)
    if noise is not None and not (_is_number(noise) and math.isfinite(noise)):
        raise checks.refusal(f"its shotnoise is {shown(noise)}, not a number")
    if resampler is not None and resampler not in RESAMPLERS:
        raise checks.refusal(f"its resampler is {shown(resampler)}, not {', '.join(RESAMPLERS)}")
    return FieldHeader(box, str(kind), metadata, noise, resampler)


def _sky(checks: FileChecks, found: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a sky box, of which a file has all or none."""
    if found and len(found) < len(SKY_KEYS):
        missing = next(name for name in SKY_KEYS if name not in found)
        raise checks.refusal(f"its sky box has no {missing}")
    for name, value in found.items():
        found[name] = (checks.json if name == "cosmology" else checks.number)(name, value)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
