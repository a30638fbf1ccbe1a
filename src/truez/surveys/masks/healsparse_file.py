"""Maps of healsparse, the only place that imports it (GPL; ``pip install "truez[healsparse]"``).

They are FITS files, HDF5 files with a group ``map``, or folders of Parquet.

Taken are maps of floats (completeness, 0 to 1), of booleans (covered or not), of whole numbers 0
and 1, one column of a map with several (``mask.hsp#column``), and one bit of a map of bits
(``mask.hsp#3``), which is covered where that bit is set.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from truez.surveys.masks.completeness import (
    MOST_PIXELS,
    check_datasets,
    check_values,
    completeness_map,
)
from truez.surveys.pixel_map import PixelMap


def read_healsparse(place: Path, choice: str | None, origin: str) -> PixelMap:
    """The footprint of a healsparse map.

    Where more than 2^25 pixels hold values they are averaged in coarser ones, in which those
    without a value count as 0.

    Parameters
    ----------
    place : path
    choice : str, optional
        A column, or the number of a bit.
    origin : str
        What the user wrote.

    Raises
    ------
    ValueError
        If healsparse is not installed, the file cannot be read, its values are no completeness, or
        the choice is missing or of nothing in it.
    """
    library = _library()
    _check_size(place)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mask = library.HealSparseMap.read(str(place))
    except Exception as error:  # of fitsio, astropy or healsparse, which share no class
        raise ValueError(f"footprint {place} is not a healsparse map that can be read") from error
    column, bit = _chosen(mask, choice, place)
    try:
        nside, pixels, values = _covered(mask, column, bit, place)
    except ValueError:
        raise
    except Exception as error:  # of a map that is damaged
        raise ValueError(f"footprint {place} is not a healsparse map that can be read") from error
    return completeness_map(nside, pixels, values, place=place, origin=origin)


def _covered(
    mask: Any, column: str | None, bit: int | None, place: Path
) -> tuple[int, NDArray[np.int64], NDArray[np.float32]]:
    """The resolution, and pixels with their completeness where it is above 0."""
    steps = 0
    while mask.n_valid > MOST_PIXELS * 4**steps:
        steps += 1
    parts = 4**steps
    numbers, shares = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    # One pixel of the coverage at a time, in each of which there are all parts of coarser pixels.
    for pixels in mask.iter_valid_pixels_by_covpix():
        values = _values(mask, pixels, column, bit)
        check_values(values, f"footprint {place}" if column is None else
                     f"column {column} of footprint {place}")  # fmt: skip
        seen = values > 0
        pixels, values = pixels[seen], values[seen].astype(np.float32)
        if parts > 1:
            pixels, rows = np.unique(pixels // parts, return_inverse=True)
            values = (np.bincount(rows, values) / parts).astype(np.float32)
        numbers.append(pixels)
        shares.append(values)
    return int(mask.nside_sparse) >> steps, np.concatenate(numbers), np.concatenate(shares)


def _check_size(place: Path) -> None:
    """Raise an error for an HDF5 file that declares more than it can hold."""
    if not (place.is_file() and h5py.is_hdf5(place)):
        return
    try:
        with h5py.File(place) as file:
            check_datasets(file, place)
    except ValueError:
        raise
    except Exception as error:  # h5py has many
        raise ValueError(f"footprint {place} is not a healsparse map that can be read") from error


def _library() -> Any:
    try:
        import healsparse
    except ImportError:
        raise ValueError(
            "footprint is a healsparse map, which needs the package healsparse: "
            'pip install "truez[healsparse]"'
        ) from None
    return healsparse


def _chosen(mask: Any, choice: str | None, place: Path) -> tuple[str | None, int | None]:
    """The column and the bit that are to be read, None where there is no choice."""
    if mask.is_rec_array:
        names = list(mask.dtype.names)
        if choice not in names:
            found = f"and #{choice} is none of them" if choice else f"such as {place}#{names[0]}"
            raise ValueError(
                f"footprint {place} has several columns, {', '.join(names)}: choose one of them "
                f"behind #, {found}"
            )
        return choice, None
    bits = _num_bits(mask)
    if choice is None:
        if mask.is_wide_mask_map:
            raise ValueError(
                f"footprint {place} is a healsparse map of bits 0 to {bits - 1}: choose the one "
                f"that is set where the survey observed, such as {place}#0"
            )
        return None, None
    if not bits or not choice.isdecimal() or int(choice) >= bits:
        has = f"bits 0 to {bits - 1}" if bits else "one value a pixel and no bits"
        raise ValueError(f"footprint {place} has no {choice!r}: it has {has}")
    return None, int(choice)


def _num_bits(mask: Any) -> int:
    """Bits of a pixel, 0 for maps of other things."""
    if mask.is_wide_mask_map:
        return int(mask.wide_mask_maxbits)
    return 8 * int(mask.dtype.itemsize) if mask.dtype.kind in "iu" else 0


def _values(
    mask: Any, pixels: NDArray[np.int64], column: str | None, bit: int | None
) -> NDArray[Any]:
    """Values of pixels, (n,)."""
    if bit is None:
        values = mask.get_values_pix(pixels)
        return np.asarray(values if column is None else values[column])
    if mask.is_wide_mask_map:
        return np.asarray(mask.check_bits_pix(pixels, [bit]))
    return np.asarray((mask.get_values_pix(pixels) >> bit) & 1)
