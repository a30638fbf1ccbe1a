"""The symmetries of the sky: x and y may swap, and each axis may flip; the line of sight stays.

The statistics of the density are the same in all of them. So a network is trained with all, and the
mean of what it says of a field turned this way and that is better than what it says of one.
"""

from __future__ import annotations

from torch import Tensor

#: x and y may swap, each axis may flip.
NUM_SYMMETRIES = 16
#: In the order in which they are taken: the first 4, 8 swap and flip as often as not.
_ORDER = (0, 14, 5, 11, 8, 6, 13, 3, 2, 12, 7, 9, 10, 4, 15, 1)


def apply_symmetry(values: Tensor, number: int) -> Tensor:
    """One of the 16 symmetries of the last three axes that keep the line of sight, 0 the identity.

    The bits of ``number`` say: swap x and y, flip x, flip y, flip z. z is never swapped.
    """
    if number & 1:
        values = values.transpose(-3, -2)
    return _flipped(values, number)


def undo_symmetry(values: Tensor, number: int) -> Tensor:
    """The inverse of `apply_symmetry`."""
    values = _flipped(values, number)
    return values.transpose(-3, -2) if number & 1 else values


def first_symmetries(number: int) -> tuple[int, ...]:
    """So many of them, to take the mean over.

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
