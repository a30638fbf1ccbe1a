"""Footprints as users give them: numbers, or the file of a mask.

Most kinds of masks are read by `truez.surveys.masks`. A HEALPix map in FITS, as healpy and surveys
write it, is read here: a binary table with the keys NSIDE, ORDERING (RING or NESTED), COORDSYS (C
or G; C where it is not there), and INDXSCHM (IMPLICIT: one value for each pixel of the sky;
EXPLICIT: a column PIXEL beside the values). Values are the completeness, 0 to 1; NaN and UNSEEN are
outside.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from truez.catalogs.angles import place_columns
from truez.catalogs.formats import CatalogError, header
from truez.support.checks import shown
from truez.support.memory import check_memory
from truez.support.tables import exists, split_table
from truez.surveys.footprint import Footprint, Rectangle, Union
from truez.surveys.masks.completeness import (
    UNSEEN,
    check_pixels,
    check_values,
    checked_nside,
    completeness_map,
)
from truez.surveys.masks.healsparse_file import read_healsparse
from truez.surveys.masks.kind import known_kind, mask_kind
from truez.surveys.masks.moc import read_moc
from truez.surveys.masks.txpipe import read_txpipe
from truez.surveys.pixel_map import PixelMap

__all__ = ["UNSEEN", "footprint_of", "read_healpix", "read_mask"]

_ORDERINGS = {"RING": "RING", "NESTED": "NESTED", "NEST": "NESTED"}
_EQUATORIAL = ("C", "CEL", "CELESTIAL", "EQ", "EQUATORIAL", "ICRS", "FK5", "Q", "")
_GALACTIC = ("G", "GAL", "GALACTIC")
_PIXELS = ("PIXEL", "PIX", "PIXELS", "HPXPIXEL", "IPIX", "INDEX")


def footprint_of(value: Footprint | str | Path | Sequence[float]) -> Footprint:
    """A footprint from four numbers, their text, or the path of a mask.

    Parameters
    ----------
    value : Footprint, (4,) numbers, str or path
        Text is ``RA1,RA2,DEC1,DEC2`` [deg], several rectangles with ``;`` between them, or a path.

    Raises
    ------
    ValueError
        If it is another value, or the mask cannot be used.
    FileNotFoundError
        If there is no such file.
    """
    if isinstance(value, Footprint):
        return value
    if isinstance(value, str | Path):
        text = str(value)
        rectangles = [_rectangle(part) for part in text.split(";")]
        known = [rectangle for rectangle in rectangles if rectangle is not None]
        if len(known) == len(rectangles):
            return known[0] if len(known) == 1 else Union(tuple(known))
        if text == "from-data":
            raise ValueError(
                "footprint from-data is only for truez redshifts and truez reconstruct: in Python "
                "give PixelMap.from_data(ra, dec) of truez.surveys.pixel_map"
            )
        return read_mask(text)
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 4:
        raise ValueError(
            f"footprint must be RA1,RA2,DEC1,DEC2 in degrees or the file of a mask, not {value!r}"
        )
    return Rectangle(*numbers)


def _rectangle(text: str) -> Rectangle | None:
    """The rectangle of a text, None where it holds something else than numbers."""
    words: list[Any] = text.split(",")
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return None
    if len(numbers) != 4:
        raise ValueError(f"footprint must be RA1,RA2,DEC1,DEC2, four numbers, not {text}")
    return Rectangle(*numbers)


def read_mask(path: str | Path) -> PixelMap:
    """The footprint of a mask, whose kind is found from its content.

    Parameters
    ----------
    path : path
        A HEALPix map in FITS, a MOC (FITS, JSON or ASCII), a healsparse map, or an HDF5 file of
        TXPipe; ``#`` and a name or number choose a table, column, bit or map of it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is of another kind, or cannot be used.
    """
    place, choice = split_table(path)
    if not exists(place):
        raise FileNotFoundError(
            "footprint must be RA1,RA2,DEC1,DEC2 or the file of a mask, and there is no file "
            f"{shown(str(place))}"
        )
    kind, origin = known_kind(place), str(path)
    if kind is None:
        _refuse_catalog(path)
        kind = mask_kind(place)
    if kind == "moc":
        return read_moc(place, "fits", origin)
    if kind == "moc json":
        return read_moc(place, "json", origin)
    if kind == "moc ascii":
        return read_moc(place, "ascii", origin)
    if kind == "healsparse":
        return read_healsparse(place, choice, origin)
    if kind == "txpipe":
        return read_txpipe(place, choice, origin)
    if kind == "mangle":
        raise ValueError(
            f"footprint {place} holds mangle polygons: write their weights at the centres of "
            "HEALPix pixels as a HEALPix map in FITS, such as with pymangle and healpy"
        )
    return read_healpix(path)


def _refuse_catalog(path: str | Path) -> None:
    """Raise if a file that is no mask is a catalogue of places on the sky."""
    try:
        columns = header(Path(path)).columns
    except (CatalogError, OSError):
        return
    if place_columns(columns):
        raise ValueError(
            f"footprint {path} is a catalogue, and no mask: give randoms, if these are places "
            "drawn at random where galaxies can be, or else a mask or RA1,RA2,DEC1,DEC2"
        )


def read_healpix(path: str | Path, *, column: str | None = None) -> PixelMap:
    """The footprint of a HEALPix map.

    Parameters
    ----------
    path : path
        A FITS file; ``map.fits#2`` chooses one of its tables.
    column : str, optional
        Column of the completeness; by default COMPLETENESS, as in maps of `truez map`, or else the
        first that does not number the pixels.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a HEALPix map, does not say its ordering, is in ecliptic coordinates or another
        scheme of pixels, or its values are not from 0 to 1.
    """
    place, table = split_table(path)
    if not exists(place):
        raise FileNotFoundError(
            "footprint must be RA1,RA2,DEC1,DEC2 or a HEALPix map, and there is no file "
            f"{shown(str(place))}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(place, memmap=False) as hdus:
                return _of_hdus(hdus, table, column, place, str(path))
    except ValueError:
        raise
    except Exception as error:  # astropy has many
        raise ValueError(f"footprint {place} is not a FITS file that can be read") from error


def _of_hdus(
    hdus: Any, table: str | None, column: str | None, place: Path, origin: str
) -> PixelMap:
    """The footprint of a FITS file that is open."""
    header, data = _table(hdus, table, place)
    ordering, galactic = _scheme(header, place)
    names = {name.upper(): name for name in data.names}
    pixel_column = next((names[name] for name in _PIXELS if name in names), None)
    explicit = str(header.get("INDXSCHM", "")).strip().upper() == "EXPLICIT"
    if explicit and pixel_column is None:
        raise ValueError(f"footprint {place} numbers its pixels explicitly but has no column PIXEL")
    values = _values(data, column, pixel_column, names, place)
    # Only pixels that are covered are worth converting and sorting; NaN is not above 0.
    covered = np.flatnonzero(values > 0)
    if pixel_column is None:
        nside, pixels = _whole_sky(header, len(values), place), covered
    else:
        numbers = np.asarray(data[pixel_column]).ravel()
        nside, pixels = _numbered(header, numbers, len(values), place), numbers[covered]
    return completeness_map(
        nside, pixels, values[covered], place=place, origin=origin, ring=ordering == "RING",
        galactic=galactic,
    )  # fmt: skip


def _table(hdus: Any, table: str | None, place: Path) -> tuple[Any, Any]:
    """Header and data of the table that holds the map."""
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
    if table is not None:
        chosen = [
            hdu for number, hdu in enumerate(hdus) if table in (str(number), hdu.name) and
            isinstance(hdu, fits.BinTableHDU)
        ]  # fmt: skip
    else:
        chosen = [hdu for hdu in tables if "NSIDE" in hdu.header or "PIXTYPE" in hdu.header]
    if not chosen:
        raise ValueError(
            f"footprint {place} is no HEALPix map: none of its {len(tables)} tables has NSIDE"
        )
    header = chosen[0].header
    check_memory(header["NAXIS1"] * header["NAXIS2"], f"footprint {place}", "resample it")
    return header, chosen[0].data


def _scheme(header: Any, place: Path) -> tuple[str, bool]:
    """The ordering, and whether the map is galactic."""
    ordering = str(header.get("ORDERING", "")).strip().upper()
    if ordering == "NUNIQ":
        raise ValueError(
            f"footprint {place} is a multi-order map (ORDERING NUNIQ): write it at one resolution, "
            "RING or NESTED"
        )
    if ordering not in _ORDERINGS:
        found = f"has ORDERING {ordering!r}" if ordering else "does not say its ORDERING"
        raise ValueError(f"footprint {place} {found}: set that key to RING or NESTED")
    frame = str(header.get("COORDSYS", "")).strip().upper()
    if frame not in _EQUATORIAL and frame not in _GALACTIC:
        raise ValueError(
            f"footprint {place} has COORDSYS {frame!r}: rotate it to equatorial (C) or galactic (G)"
        )
    return _ORDERINGS[ordering], frame in _GALACTIC


def _values(
    data: Any, column: str | None, pixels: str | None, names: dict[str, str], place: Path
) -> NDArray[Any]:
    """The completeness, one value a pixel; NaN or negative where it was not observed."""
    others = [name for name in data.names if name != pixels]
    if column is not None and column.upper() not in names:
        raise ValueError(f"footprint {place} has no column {column}: it has {', '.join(others)}")
    if not others:
        raise ValueError(f"footprint {place} has no column of values beside {pixels}")
    name = names.get("COMPLETENESS", others[0]) if column is None else names[column.upper()]
    values: NDArray[Any] = np.asarray(data[name]).ravel()
    check_values(values, f"column {name} of footprint {place}")
    return values


def _whole_sky(header: Any, num_values: int, place: Path) -> int:
    """The nside of a map of all pixels."""
    given = header.get("NSIDE", round(np.sqrt(num_values / 12)))
    nside = checked_nside(given, place)
    if num_values != 12 * nside**2:
        raise ValueError(
            f"footprint {place} must have {12 * nside**2} values for NSIDE {nside}, not "
            f"{num_values}: a part of the sky needs a column PIXEL and INDXSCHM EXPLICIT"
        )
    return nside


def _numbered(header: Any, pixels: NDArray[Any], num_values: int, place: Path) -> int:
    """The nside of a map that numbers its pixels."""
    if "NSIDE" not in header:
        raise ValueError(f"footprint {place} does not say its NSIDE: set that key of its table")
    nside = checked_nside(header["NSIDE"], place)
    if pixels.dtype.kind not in "iu" or len(pixels) != num_values:
        raise ValueError(f"footprint {place} must have one whole number of a pixel for each value")
    check_pixels(nside, pixels, place)
    return nside
