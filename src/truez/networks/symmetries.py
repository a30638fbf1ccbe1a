"""Symmetries that keep the line of sight: x and y may be swapped, and each axis reversed.

The statistics of the density are the same under all of them. So a network is trained with all, and
the mean of its estimates of a field under several of them is better than a single estimate.
"""

from __future__ import annotations

from torch import Tensor

#: Swap of x and y, reversal of each axis.
NUM_SYMMETRIES = 16
#: Order in which they are used: half of the first 4, and of the first 8, have each of these.
_ORDER = (0, 14, 5, 11, 8, 6, 13, 3, 2, 12, 7, 9, 10, 4, 15, 1)


def apply_symmetry(values: Tensor, number: int) -> Tensor:
    """Apply one of the 16 symmetries to the last three axes; 0 is the identity.

    The bits of ``number`` are: swap x and y, reverse x, reverse y, reverse z.
    """
    if number & 1:
        values = values.transpose(-3, -2)
    return _flipped(values, number)


def undo_symmetry(values: Tensor, number: int) -> Tensor:
    """The inverse of `apply_symmetry`."""
    values = _flipped(values, number)
    return values.transpose(-3, -2) if number & 1 else values


def first_symmetries(number: int) -> tuple[int, ...]:
    """Numbers of the symmetries that a mean over ``number`` of them takes.

    Raises
    ------
    ValueError
        If ``number`` is not 1, 2, 4, 8 or 16.
    """
    if number not in (1, 2, 4, 8, NUM_SYMMETRIES):
        raise ValueError(f"symmetries must be 1, 2, 4, 8 or {NUM_SYMMETRIES}, not {number!r}")
    return _ORDER[:number]


def _flipped(values: Tensor, number: int) -> Tensor:
    flips = [axis for bit, axis in ((2, -3), (4, -2), (8, -1)) if number & bit]
    return values.flip(flips) if flips else values
