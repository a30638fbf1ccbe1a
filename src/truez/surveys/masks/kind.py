"""Which kind of mask a file is, by its content: names tell little."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, Literal

import h5py
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

Kind = Literal["healpix", "healsparse", "moc", "moc json", "moc ascii", "txpipe", "mangle"]
_MOC_TEXT = re.compile(r"\s*[12]?\d/[\d\s,/-]*")
_MOC_JSON = re.compile(r'\s*\{\s*"\d{1,2}"\s*:\s*\[')
_MANGLE = re.compile(r"^\s*(\d+\s+polygons?\b|polygon\s+\d+\s*\()", re.MULTILINE)
_MULTI_ORDER = ("NUNIQ", "RANGE", "RANGE29")
_HDF5 = b"\x89HDF\r\n\x1a\n"
#: Bytes that show what a text is.
_HEAD = 2000
#: What healsparse writes into the group of a map in HDF5.
_HEALSPARSE = {"nside_sparse", "nside_coverage"}


class MaskKindError(ValueError):
    """A mask of a kind that is none of the sky."""


def mask_kind(place: Path) -> Kind:
    """The kind of a file or folder that is there and given as a mask.

    What is no mask of any kind counts as one whose reader says so: HDF5 as TXPipe's, JSON as a MOC,
    others as a HEALPix map.

    Raises
    ------
    ValueError
        If it is a folder of other things, cannot be read, or is a MOC of other things than the sky.
    """
    found = known_kind(place)
    if found is None and place.is_dir():
        raise ValueError(
            f"footprint {place} is a folder: give the file of a mask, or the folder of a "
            "healsparse map in Parquet"
        )
    if found is not None:
        return found
    head = _head(place)
    if head.lstrip().startswith(b"{"):
        return "moc json"
    return "txpipe" if head.startswith(_HDF5) else "healpix"


def known_kind(place: Path) -> Kind | None:
    """The kind of mask that a file or folder holds, None where it holds none.

    Raises
    ------
    ValueError
        If it cannot be read, or is a MOC of other things than the sky.
    """
    if place.is_dir():
        return "healsparse" if _is_healsparse_folder(place) else None
    head = _head(place)
    if head.startswith(_HDF5):
        return _of_hdf5(place)
    if head.startswith((b"SIMPLE", b"\x1f\x8b")):
        return _of_fits(place)
    text = head.decode("latin-1")
    if _MOC_JSON.match(text):
        return "moc json"
    if _MOC_TEXT.fullmatch(text):
        return "moc ascii"
    return "mangle" if _MANGLE.search(text) else None


def _head(place: Path) -> bytes:
    try:
        with place.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise ValueError(f"footprint {place} cannot be read: {error.strerror}") from error


def _is_healsparse_folder(place: Path) -> bool:
    """Whether a folder is a map that healsparse wrote as Parquet."""
    about = place / "_common_metadata"
    if not about.is_file():
        return False
    try:
        metadata = pq.read_schema(about).metadata or {}
    except Exception:  # pyarrow has many
        return False
    return metadata.get(b"healsparse::filetype") == b"healsparse"


def _of_hdf5(place: Path) -> Kind | None:
    """The kind of an HDF5 file, by its groups."""
    found: list[Kind] = []

    def visit(_: str, item: Any) -> Kind | None:
        if isinstance(item, h5py.Group):
            if set(item.attrs) >= _HEALSPARSE and "cov_index_map" in item:
                return "healsparse"
            if {"pixel", "value"} <= set(item):
                found.append("txpipe")
        return None

    try:
        with h5py.File(place) as file:
            kind: Kind | None = file.visititems(visit)
    except Exception:  # h5py has many
        return None
    return kind or next(iter(found), None)


def _of_fits(place: Path) -> Kind | None:
    """The kind of a FITS file, of which headers alone are read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(place, memmap=False) as hdus:
                headers = [hdu.header for hdu in hdus]
        return _of_headers(headers, place)
    except MaskKindError:
        raise
    except Exception:  # astropy has many, of headers as late as they are looked at
        return None


def _of_headers(headers: list[Any], place: Path) -> Kind | None:
    """The kind of a FITS file of these headers."""
    if any(header.get("PIXTYPE") == "HEALSPARSE" for header in headers):
        return "healsparse"
    for header in headers:
        columns = [str(header.get(f"TTYPE{1 + i}")) for i in range(_number(header, "TFIELDS"))]
        if {"XCAPS", "CMCAPS"} <= {name.upper() for name in columns}:
            return "mangle"
        # A map of probabilities has more columns, and a MOC none but whole numbers.
        whole = str(header.get("TFORM1", "")).strip().endswith(("J", "K"))
        if str(header.get("ORDERING")) in _MULTI_ORDER and len(columns) == 1 and whole:
            dimension = str(header.get("MOCDIM", "SPACE"))
            if dimension != "SPACE":
                raise MaskKindError(
                    f"footprint {place} is a MOC of {dimension}: give that of the sky alone"
                )
            return "moc"
    maps = (header.get("PIXTYPE") == "HEALPIX" or {"NSIDE", "ORDERING"} <= set(header)
            for header in headers)  # fmt: skip
    return "healpix" if any(maps) else None


def _number(header: Any, key: str) -> int:
    value = header.get(key, 0)
    return value if isinstance(value, int) else 0
