"""Input of painting: checks of positions and weights, and a tally of the galaxies painted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box, Vector
from truez.support.checks import plain, shown

Positions = NDArray[np.floating[Any]] | Tensor
Weights = NDArray[np.floating[Any]] | Tensor
Chunk = Positions | tuple[Positions, Weights | None]

# What a periodic box forgives: a share of a side beyond its faces, and beyond that a share of all
# positions, or a few.
_MARGIN, _MOST_BEYOND, _FEW_ROWS = 0.01, 1 / 3, 10
# Weights whose sums stay in the range of float32, and those whose squares surely do.
_SMALLEST, _LARGEST = 2.0**-100, 2.0**126
_ORDINARY = 2.0**-20, 2.0**20


@dataclass
class Tally:
    """Galaxies painted so far, and those that could not be."""

    drop: bool = False
    wrap: bool = False
    box: Box | None = None
    rows: int = 0
    kept: int = 0
    not_finite: int = 0
    outside: int = 0
    beyond: int = 0
    first_not_finite: int = -1
    first_outside: int = -1
    sum: float = 0.0
    square_sum: float = 0.0

    @property
    def good(self) -> bool:
        """Whether painting may go on; otherwise the rest is only counted."""
        return self.not_finite == 0 and (self.drop or self.outside == 0)

    def bounds(self, box: Box) -> tuple[Vector, Vector, Vector, Vector]:
        """Where positions are outside a box, below and above; and where they are beyond a face.

        A closed box has nothing between; a periodic one wraps what is.
        """
        self.box = box
        margin = Box(box.widened(_MARGIN), box.meshsize, box.boxcenter, box.periodic)
        room = Box(box.widened(1.0), box.meshsize, box.boxcenter, box.periodic)
        if self.wrap:
            everywhere = (math.inf,) * 3
            return (-math.inf,) * 3, everywhere, (-math.inf,) * 3, everywhere
        return room.lower, room.upper, margin.lower, margin.upper

    def add(self, rows: int, counts: Sequence[int], sums: Sequence[float] | None) -> None:
        """Count a piece, in the order of `truez.mesh.paint_kernels`; no sums: weights of 1."""
        kept, not_finite, outside, first_not_finite, first_outside, beyond = map(int, counts)
        if not_finite and not self.not_finite:
            self.first_not_finite = self.rows + first_not_finite
        if outside and not self.outside:
            self.first_outside = self.rows + first_outside
        self.rows += rows
        self.kept += kept
        self.not_finite += not_finite
        self.outside += outside
        self.beyond += beyond
        self.sum += kept if sums is None else float(sums[0])
        self.square_sum += kept if sums is None else float(sums[1])

    def check(self, outside: str) -> None:
        """Raise ValueError if positions are not finite, or outside where that is an error."""
        if self.not_finite:
            raise ValueError(
                f"{self.not_finite} of {self.rows} positions are not finite (the first is row "
                f"{self.first_not_finite}): leave those rows out"
            )
        if outside != "error" or self.box is None:
            return
        if self.box.periodic:
            self._check_periodic(self.box)
        elif self.outside:
            raise ValueError(
                f"{self.outside} of {self.rows} positions are outside the box (the first is row "
                f'{self.first_outside}): enlarge the box, or leave them out with outside="drop"'
            )

    def _check_periodic(self, box: Box) -> None:
        """Refuse positions that are not those of a periodic box."""
        lost = self.beyond > max(_FEW_ROWS, _MOST_BEYOND * self.rows)
        if not (self.outside or lost):
            return
        number, how = (
            (self.outside, f"more than a boxsize (the first is row {self.first_outside})")
            if self.outside
            else (self.beyond, f"more than {_MARGIN:.0%} of a side")
        )
        raise ValueError(
            f"{number} of {self.rows} positions are {how} beyond the faces of the periodic box: "
            'correct boxsize, boxcenter or the length unit, or wrap them with outside="wrap"'
        )

    def check_weights(self) -> None:
        """Raise ValueError if weights are too large or too small for a mesh in float32."""
        if not (self.kept and self.square_sum):
            return
        typical = (self.square_sum / self.kept) ** 0.5
        # The sum of all their magnitudes is at most the number times that.
        if typical * self.kept > _LARGEST or typical < _SMALLEST:
            raise ValueError(
                f"weights of about {typical:.3g} for {self.kept} positions leave the range of "
                "float32: divide the weights by their mean"
            )


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a value that is not one of the choices."""
    if value not in tuple(choices):
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {shown(value)}")


def check_rows(positions: Any, weights: Any) -> tuple[Any, Any]:
    """Positions (n, 3) as they are and weights (n,) in float32, each a tensor or a numpy array."""
    rows = positions if isinstance(positions, Tensor) else plain(positions, "positions")
    if rows.ndim != 2 or rows.shape[1] != 3 or not _is_float(rows):
        raise ValueError(
            f"positions must be (n, 3) in float32 or float64, not {tuple(rows.shape)} in "
            f"{str(rows.dtype).removeprefix('torch.')}"
        )
    if weights is None:
        return rows, None
    loads = weights if isinstance(weights, Tensor) else plain(weights, "weights")
    if tuple(loads.shape) != (len(rows),):
        raise ValueError(
            f"weights must be of shape ({len(rows)},), one for each position, not "
            f"{tuple(loads.shape)}"
        )
    single = _single(loads)
    finite = single.isfinite() if isinstance(single, Tensor) else np.isfinite(single)
    if not finite.all():
        known = loads.isfinite() if isinstance(loads, Tensor) else np.isfinite(loads)
        remedy = "divide the weights by their mean" if known.all() else "leave those rows out"
        raise ValueError(
            f"{int((~finite).sum())} of {len(rows)} weights are not finite in float32: {remedy}"
        )
    if not single.any() and loads.any():
        raise ValueError(
            f"all {len(rows)} weights are 0 in float32, as they are below 1e-45: divide the "
            "weights by their mean"
        )
    return rows, single


def _single(loads: Any) -> Any:
    """Weights in float32."""
    if isinstance(loads, Tensor):
        if loads.is_complex():
            raise ValueError("weights must be real numbers, not complex ones")
        return loads.float()
    if loads.dtype.kind not in "biuf":
        kind = "text" if loads.dtype.kind in "USO" else str(loads.dtype)
        raise ValueError(f"weights must be numbers, not {kind}")
    with np.errstate(over="ignore", under="ignore"):
        return loads.astype(np.float32, copy=False)


def of_order_one(weights: Any) -> Any:
    """Weights times a power of two, where they are so large or small that squares leave float32.

    Ordinary weights, and those that are refused, are returned as they are. What does not depend on
    the unit of the weights, such as power, is the same to the last bit.
    """
    if weights is None or len(weights) == 0:
        return weights
    loads = weights if isinstance(weights, Tensor) else plain(weights, "weights")
    if isinstance(loads, np.ndarray) and loads.dtype.kind != "f":
        return loads
    largest = float(loads.abs().max() if isinstance(loads, Tensor) else np.abs(loads).max())
    if not math.isfinite(largest) or largest == 0 or _ORDINARY[0] <= largest <= _ORDINARY[1]:
        return loads
    exponent = -math.frexp(largest)[1]
    wide = loads.double() if isinstance(loads, Tensor) else loads.astype(np.float64)
    # In two steps, since 2^-exponent of the smallest doubles is not a double.
    return wide * 2.0 ** (exponent // 2) * 2.0 ** (exponent - exponent // 2)


def as_numpy(array: Any) -> Any:
    """A tensor on any device, or an array, as an array."""
    return array.detach().cpu().numpy() if isinstance(array, Tensor) else array


def as_tensor(array: Any) -> Tensor:
    """A tensor, or an array of any byte order, as a tensor."""
    if isinstance(array, Tensor):
        return array.detach()
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.tensor(native)  # a copy: torch has no read-only memory


def _is_float(rows: Any) -> bool:
    if isinstance(rows, Tensor):
        return rows.dtype in (torch.float32, torch.float64)
    return bool(rows.dtype.kind == "f" and rows.dtype.itemsize in (4, 8))
