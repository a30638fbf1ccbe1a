"""MOC, Multi-Order Coverage maps of the IVOA, read with mocpy (``pip install "truez[moc]"``).

A MOC says which parts of the sky are covered, in cells of any order up to 29, without fractions.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from truez.surveys.masks.completeness import MOST_PIXELS, completeness_map
from truez.surveys.pixel_map import PixelMap

#: Order of the cells that mocpy's ranges count.
_DEEPEST = 29
#: The finest order of `PixelMap`.
_FINEST = 24


def read_moc(place: Path, form: Literal["fits", "json", "ascii"], origin: str) -> PixelMap:
    """The footprint of a MOC, in pixels of its order.

    Where these would be more than 2^25 the pixels are coarser, and those at an edge count by the
    fraction that is covered.

    Parameters
    ----------
    place : path
    form : {"fits", "json", "ascii"}
    origin : str
        What the user wrote.

    Raises
    ------
    ValueError
        If mocpy is not installed, or the file is not a MOC or an empty one.
    """
    library = _library()
    try:
        moc = library.load(str(place), format=form)
        unsigned, order = np.asarray(moc.to_depth29_ranges).reshape(-1, 2), int(moc.max_order)
        galactic = form == "fits" and _is_galactic(place)
    except Exception as error:  # mocpy's own errors share no class
        raise ValueError(f"footprint {place} is not a MOC that can be read") from error
    if unsigned.size and unsigned.max() > 12 * 4**_DEEPEST:  # mocpy does not look
        raise ValueError(f"footprint {place} is a MOC of cells that are beyond the sky: correct it")
    ranges = unsigned.astype(np.int64)
    apart = (ranges[:, 0] < ranges[:, 1]).all() and (ranges[1:, 0] >= ranges[:-1, 1]).all()
    if not (apart and order >= 0):
        raise ValueError(f"footprint {place} is a MOC whose cells overlap: write it again")
    order = min(order, _FINEST)
    while order > 0 and _num_pixels(ranges, order) > MOST_PIXELS:
        order -= 1
    pixels, values = covered(ranges, order)
    return completeness_map(2**order, pixels, values, place=place, origin=origin, galactic=galactic)


def _library() -> Any:
    try:
        from mocpy import MOC
    except ImportError:
        raise ValueError(
            'footprint is a MOC, which needs the package mocpy: pip install "truez[moc]"'
        ) from None
    return MOC


def _bounds(ranges: NDArray[np.int64], order: int) -> tuple[NDArray[np.int64], ...]:
    """First and last pixel of an order that each range touches."""
    shift = 2 * (_DEEPEST - order)
    return ranges[:, 0] >> shift, (ranges[:, 1] - 1) >> shift


def _num_pixels(ranges: NDArray[np.int64], order: int) -> int:
    first, last = _bounds(ranges, order)
    return int((last - first + 1).sum())


def covered(ranges: NDArray[np.int64], order: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixels of an order that ranges touch, ascending, and the fraction of each that is inside.

    Parameters
    ----------
    ranges : (n, 2) ints
        Cells of order 29 in nested order, from the first to before the second; ascending and apart.
    order : int
    """
    first, last = _bounds(ranges, order)
    num = last - first + 1
    # 0, 1, ... within each range, behind its first pixel.
    starts = np.cumsum(num) - num
    pixels = np.arange(int(num.sum()))
    pixels += np.repeat(first - starts, num)
    width = 1 << 2 * (_DEEPEST - order)
    values = np.ones(len(pixels))
    # Only the first and the last pixel of a range may be covered in part.
    low, high = ranges[:, 0] - first * width, (last + 1) * width - ranges[:, 1]
    values[starts] -= low / width
    values[starts + num - 1] -= high / width
    unique, rows = np.unique(pixels, return_index=True)
    return (
        (pixels, values) if len(unique) == len(pixels) else (unique, np.add.reduceat(values, rows))
    )


def _is_galactic(place: Path) -> bool:
    with warnings.catch_warnings(), fits.open(place, memmap=False) as hdus:
        warnings.simplefilter("ignore", AstropyWarning)
        frames = [str(hdu.header.get("COORDSYS", "")).strip().upper() for hdu in hdus]
    return any(frame in ("G", "GAL", "GALACTIC") for frame in frames)
