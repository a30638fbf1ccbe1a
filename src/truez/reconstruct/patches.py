"""Patches of a box: what is reconstructed at a time, where the whole is larger than the memory.

The cores divide the sky of the box. Around each core is a margin, whose galaxies and cells are read
and whose result is dropped. Sight lines are never cut: a galaxy may be anywhere on its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from scipy.fft import next_fast_len

from truez.mesh.box import Box

#: Cells around a core by default [Mpc/h]: a network reaches 62 Mpc/h, and a filter needs 48.
MARGIN = 64.0
#: First cells of cores and margins are multiples of it, as the strides of networks want.
_STRIDE = 8

Pair = tuple[int, int]


@dataclass(frozen=True)
class BoxPatch:
    """A patch of a box.

    Parameters
    ----------
    number : int
        From 0.
    start, stop : (2,) ints
        Cells of the core across the sky, in the box.
    first : (2,) ints
        First cell of the patch with its margin; below 0 beyond the face of a periodic box.
    box : Box
        Of the patch with its margin, periodic if the whole is.
    """

    number: int
    start: Pair
    stop: Pair
    first: Pair
    box: Box

    @property
    def core(self) -> tuple[slice, slice]:
        """The core, in cells of the patch."""
        ends = zip(self.start, self.stop, self.first, strict=True)
        x, y = (slice(a - first, b - first) for a, b, first in ends)
        return x, y

    @property
    def place(self) -> tuple[slice, slice]:
        """The core, in cells of the box."""
        x, y = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return x, y


def patches_of(box: Box, side: float, margin: float = MARGIN) -> list[BoxPatch]:
    """Divide a box into patches.

    Parameters
    ----------
    box : Box
    side : float
        Largest side of a core across the sky [Mpc/h]; cores of one axis are about as wide as one
        another.
    margin : float
        Around them, at least [Mpc/h]. An axis of which core and margins are the whole is not cut.

    Raises
    ------
    ValueError
        If a length is not positive, or a core has fewer than 8 cells.

    Examples
    --------
    >>> from truez import Box
    >>> from truez.reconstruct.patches import patches_of
    >>> patches = patches_of(Box((1024, 512, 1024), cellsize=4), 256)
    >>> len(patches), patches[0].box.meshsize, patches[1].place
    (8, (96, 96, 256), (slice(0, 64, None), slice(64, 128, None)))
    """
    if not 0 < margin < math.inf:
        raise ValueError(f"margin must be a positive length, not {margin!r} Mpc/h")
    if not 0 < side < math.inf:
        raise ValueError(f"patch must be a positive length, not {side!r} Mpc/h")
    axes = [_axis(box, axis, side, margin) for axis in (0, 1)]
    result = []
    for number, ((a, b, low, high), (c, d, left, right)) in enumerate(product(*axes)):
        mesh = (high - low, right - left, box.meshsize[2])
        size = [n * cell for n, cell in zip(mesh, box.cellsize, strict=True)]
        center = [
            box.lower[0] + (low + high) / 2 * box.cellsize[0],
            box.lower[1] + (left + right) / 2 * box.cellsize[1],
            box.boxcenter[2],
        ]
        inner = box if mesh == box.meshsize else Box(size, mesh, center, box.periodic)
        result.append(BoxPatch(number, (a, c), (b, d), (low, left), inner))
    return result


def first_patch(patches: Sequence[BoxPatch]) -> BoxPatch:
    """The patch that is reconstructed before all others: the largest, nearest to the middle."""
    largest = max(patch.box.num_cells for patch in patches)
    middle = [max(patch.stop[axis] for patch in patches) / 2 for axis in (0, 1)]

    def away(patch: BoxPatch) -> float:
        ends = zip(patch.start, patch.stop, middle, strict=True)
        return sum(((a + b) / 2 - center) ** 2 for a, b, center in ends)

    return min((patch for patch in patches if patch.box.num_cells == largest), key=away)


def _axis(box: Box, axis: int, side: float, margin: float) -> list[tuple[int, int, int, int]]:
    """(start, stop, first, last) of the patches along an axis [cells]."""
    num, cell = box.meshsize[axis], box.cellsize[axis]
    widest = math.floor(side / cell + 1e-9) // _STRIDE * _STRIDE
    if widest < _STRIDE:
        raise ValueError(
            f"patch of {side:g} Mpc/h is fewer than {_STRIDE} cells of {cell:g} Mpc/h: give at "
            f"least {_STRIDE * cell:g}"
        )
    room = math.ceil(margin / cell - 1e-9)
    room = -(-room // _STRIDE) * _STRIDE
    if widest + 2 * room >= num:
        return [(0, num, 0, num)]
    even = num / -(-num // widest)
    edges = [*range(0, num, math.ceil(even / _STRIDE) * _STRIDE), num]
    result = []
    for start, stop in pairwise(edges):
        first, last = start - room, stop + room
        if box.periodic:
            last = first + _fast(last - first)
        else:
            first, last = max(first, 0), min(last, num)
        if last - first >= num:
            return [(0, num, 0, num)]
        result.append((start, stop, first, last))
    return result


def _fast(num: int) -> int:
    """The next multiple of the stride that is transformed quickly."""
    while next_fast_len(num, real=True) != num or num % _STRIDE:
        num = num + 1 if num % _STRIDE == 0 else -(-num // _STRIDE) * _STRIDE
    return num
