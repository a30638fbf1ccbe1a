"""What the readers of masks share: values from 0 to 1, and pixels in nested order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from truez.mesh.healpix import check_nside, other_order
from truez.support.checks import shown
from truez.support.memory import check_memory
from truez.surveys.pixel_map import PixelMap

#: HEALPix's value for a pixel that was not observed; readers compare it loosely.
UNSEEN = -1.6375e30
#: Bytes in memory for each byte of a file, more than which no compression reaches.
_MOST_EXPANSION = 1100
#: How far rounding may put a completeness beyond 1.
_ROUNDING = 1e-4
#: Most pixels of a map: 400 MB. A finer mask is read as fractions of coarser pixels.
MOST_PIXELS = 2**25


def check_values(values: NDArray[Any], what: str) -> None:
    """Raise an error for values that are not completeness.

    Parameters
    ----------
    values : (n,) array
        From 0 to 1; NaN and UNSEEN where it was not observed.
    what : str
        Where they are, for the message.

    Raises
    ------
    ValueError
    """
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{what} must hold numbers, not text")
    # Without copies of a whole map, which may hold 200 million pixels.
    negative = values[values < 0].astype(np.float64)
    negative = negative[np.abs(negative / UNSEEN - 1) > 1e-3]
    low = float(negative.min()) if len(negative) else 0.0
    high = float(np.max(values, initial=0, where=values > 0))
    if low < 0 or high > 1 + _ROUNDING:
        raise ValueError(
            f"{what} must hold completeness from 0 to 1, not {low:g} to {high:g}: convert it, or "
            "choose another column"
        )


def completeness_map(
    nside: int, pixels: NDArray[Any], values: NDArray[Any], *, place: Path, origin: str,
    ring: bool = False, galactic: bool = False,
) -> PixelMap:  # fmt: skip
    """The footprint of pixels with their completeness.

    Parameters
    ----------
    nside : int
    pixels : (n,) ints
        In any order, in RING numbers where ``ring``; each once.
    values : (n,) array
        Above 0; rounding above 1 is 1.
    place : path
        The file, for messages.
    origin : str
        What the user wrote.
    ring, galactic : bool

    Raises
    ------
    ValueError
        If there are none, one is beyond the sky or twice there.
    """
    pixels = pixels.astype(np.int64)
    values = np.minimum(values.astype(np.float32), np.float32(1))
    if len(pixels) == 0:
        raise ValueError(f"footprint {place} covers nothing: no value of it is above 0")
    if ring:
        pixels = other_order(pixels, nside, "NESTED")
    order = np.argsort(pixels)
    pixels, values = pixels[order], values[order]
    if not (np.diff(pixels) > 0).all():
        raise ValueError(f"footprint {place} names a pixel twice: write each of them once")
    return PixelMap(nside, pixels, values, galactic, {"origin": origin})


def check_datasets(group: Any, place: Path) -> None:
    """Raise an error for datasets of an HDF5 group that lie in other files, or are too large.

    Parameters
    ----------
    group : h5py.Group
    place : path
        The file, for messages.

    Raises
    ------
    ValueError
        If one declares more than its file can hold, or than the memory.
    """
    total, held = 0, place.stat().st_size

    def visit(name: str, item: Any) -> None:
        nonlocal total
        if not isinstance(item, h5py.Dataset):
            return
        if item.is_virtual or item.external:
            raise ValueError(
                f"footprint {place} has the values of {name!r} in other files: copy them into it"
            )
        total += item.nbytes
        if item.nbytes > _MOST_EXPANSION * held:
            raise ValueError(
                f"footprint {place} declares {item.size:.3g} values in {name!r}, far more than it "
                "holds: write it again"
            )

    group.visititems(visit)
    check_memory(2 * total, f"footprint {place}", "resample it")


def check_pixels(nside: int, pixels: NDArray[Any], place: Path) -> None:
    """Raise an error for numbers that are no pixels of a resolution."""
    if pixels.dtype.kind not in "iu":
        raise ValueError(f"footprint {place} must number its pixels with whole numbers")
    if len(pixels) and not (int(pixels.min()) >= 0 and int(pixels.max()) < 12 * nside**2):
        raise ValueError(
            f"footprint {place} has pixels {pixels.min()} to {pixels.max()}, but those of NSIDE "
            f"{nside} are 0 to {12 * nside**2 - 1}"
        )


def checked_nside(nside: Any, place: Path) -> int:
    """A resolution of a mask; raises ValueError unless it is one of HEALPix."""
    try:
        if int(nside) != nside and not isinstance(nside, str):
            raise ValueError
        return check_nside(int(nside))
    except (ValueError, TypeError, OverflowError):
        raise ValueError(
            f"footprint {place} has NSIDE {shown(nside)}, which is no power of 2: resample it to "
            "one"
        ) from None
