"""Which kind of mask a file is, by its content: names tell little."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, Literal

from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

#: ``healpix`` is a table of FITS, and what is no mask at all: its reader says so.
Kind = Literal["healpix", "healsparse", "moc", "moc json", "moc ascii", "txpipe", "mangle"]
_MOC_TEXT = re.compile(r"\s*[12]?\d/[\d\s,/-]*")
_MANGLE = re.compile(r"^\s*(\d+\s+polygons?\b|polygon\s+\d+\s*\()", re.MULTILINE)
_MULTI_ORDER = ("NUNIQ", "RANGE", "RANGE29")
#: Bytes that show what a text is.
_HEAD = 2000


def mask_kind(place: Path) -> Kind:
    """The kind of a file that is there.

    Raises
    ------
    ValueError
        If it is a folder, cannot be read, or is a MOC of other things than the sky.
    """
    if place.is_dir():
        raise ValueError(f"footprint {place} is a folder: give the file of a mask")
    try:
        with place.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise ValueError(f"footprint {place} cannot be read: {error.strerror}") from error
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "txpipe"
    if head.startswith((b"SIMPLE", b"\x1f\x8b")):
        return _of_fits(place)
    text = head.decode("latin-1")
    if text.lstrip().startswith("{"):
        return "moc json"
    if _MOC_TEXT.fullmatch(text):
        return "moc ascii"
    return "mangle" if _MANGLE.search(text) else "healpix"


def _of_fits(place: Path) -> Kind:
    """The kind of a FITS file, of which headers alone are read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(place, memmap=False) as hdus:
                headers = [hdu.header for hdu in hdus]
    except (OSError, TypeError, ValueError):
        return "healpix"
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
                raise ValueError(
                    f"footprint {place} is a MOC of {dimension}: give that of the sky alone"
                )
            return "moc"
    return "healpix"


def _number(header: Any, key: str) -> int:
    value = header.get(key, 0)
    return value if isinstance(value, int) else 0
