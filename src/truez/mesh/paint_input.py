"""Input of painting: checks of positions and weights, and a tally of the galaxies painted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Positions = NDArray[np.floating[Any]] | Tensor
Weights = NDArray[np.floating[Any]] | Tensor
Chunk = Positions | tuple[Positions, Weights | None]


@dataclass
class Tally:
    """Galaxies painted so far, and those that could not be."""

    drop: bool = False
    rows: int = 0
    kept: int = 0
    not_finite: int = 0
    outside: int = 0
    first_not_finite: int = -1
    first_outside: int = -1
    sum: float = 0.0
    square_sum: float = 0.0

    @property
    def good(self) -> bool:
        """Whether painting may go on; otherwise the rest is only counted."""
        return self.not_finite == 0 and (self.drop or self.outside == 0)

    def add(self, rows: int, counts: Sequence[int], sums: Sequence[float] | None) -> None:
        """Count a piece, in the order of `truez.mesh.paint_kernels`; no sums: weights of 1."""
        kept, not_finite, outside, first_not_finite, first_outside = (int(n) for n in counts)
        if not_finite and not self.not_finite:
            self.first_not_finite = self.rows + first_not_finite
        if outside and not self.outside:
            self.first_outside = self.rows + first_outside
        self.rows += rows
        self.kept += kept
        self.not_finite += not_finite
        self.outside += outside
        self.sum += kept if sums is None else float(sums[0])
        self.square_sum += kept if sums is None else float(sums[1])

    def check(self, outside: str) -> None:
        """Raise ValueError if positions are not finite, or outside where that is an error."""
        if self.not_finite:
            raise ValueError(
                f"{self.not_finite} of {self.rows} positions are not finite (the first is row "
                f"{self.first_not_finite}): leave those rows out"
            )
        if self.outside and outside == "error":
            raise ValueError(
                f"{self.outside} of {self.rows} positions are outside the box (the first is row "
                f'{self.first_outside}): enlarge the box, or leave them out with outside="drop"'
            )


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a value that is not one of the choices."""
    if value not in tuple(choices):
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def check_rows(positions: Any, weights: Any) -> tuple[Any, Any]:
    """Positions (n, 3) as they are and weights (n,) in float32, each a tensor or a numpy array."""
    rows = positions if isinstance(positions, Tensor) else np.asarray(positions)
    if rows.ndim != 2 or rows.shape[1] != 3 or not _is_float(rows):
        raise ValueError(
            f"positions must be (n, 3) in float32 or float64, not {tuple(rows.shape)} in "
            f"{str(rows.dtype).removeprefix('torch.')}"
        )
    if weights is None:
        return rows, None
    loads = weights if isinstance(weights, Tensor) else np.asarray(weights)
    if tuple(loads.shape) != (len(rows),):
        raise ValueError(
            f"weights must be of shape ({len(rows)},), one for each position, not "
            f"{tuple(loads.shape)}"
        )
    loads = loads.float() if isinstance(loads, Tensor) else loads.astype(np.float32, copy=False)
    finite = loads.isfinite() if isinstance(loads, Tensor) else np.isfinite(loads)
    if not finite.all():
        raise ValueError(
            f"{int((~finite).sum())} of {len(rows)} weights are not finite in float32: leave those "
            "rows out"
        )
    return rows, loads


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
