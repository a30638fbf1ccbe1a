"""The box: where positions live and how they fall on a mesh.

Cell ``i`` of an axis covers ``[i, i + 1] * cellsize`` above the lower face and is centred at
``(i + 1/2) * cellsize``. The line of sight is always the last axis. Lengths are comoving, in Mpc/h.
A periodic box wraps; a non-periodic box is closed at both faces, so that a galaxy exactly on a face
is inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.support.checks import plain

Vector = tuple[float, float, float]
Mesh = tuple[int, int, int]
#: The cells ``start <= i < stop`` of each axis.
Region = tuple[Mesh, Mesh]
#: Cells of the largest mesh, so that its bytes are counted in 64 bits.
MOST_CELLS = 2**60


def _three(value: float | Sequence[float] | ArrayLike, name: str) -> Vector:
    message = f"{name} must be one finite number or three, not {value!r}"
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(message) from error
    plain(value, name)
    if array.ndim == 0:
        array = np.repeat(array, 3)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise ValueError(message)
    return float(array[0]), float(array[1]), float(array[2])


def _text(vector: Vector) -> str:
    return "(" + ", ".join(f"{x:g}" for x in vector) + ")"


def _mesh_of(size: Vector, cellsize: float | None) -> list[int]:
    """Cells per side of a box of ``size`` whose cells are about ``cellsize`` wide [Mpc/h]."""
    try:
        side = math.nan if cellsize is None else float(cellsize)
    except (TypeError, ValueError):
        side = math.nan
    if not (math.isfinite(side) and side > 0):
        raise ValueError(f"cellsize must be positive, not {cellsize!r} Mpc/h")
    _check_number(math.prod(length / side for length in size), f"cellsize of {side:g} Mpc/h", size)
    mesh = [round(length / side) for length in size]
    if min(mesh) < 1:
        raise ValueError(
            f"cellsize of {side:g} Mpc/h is larger than the box of {min(size):g} Mpc/h: take "
            "smaller cells"
        )
    return mesh


def _check_number(num_cells: float, what: str, size: Vector) -> None:
    if num_cells > MOST_CELLS:
        side = 2 * (math.prod(size) / MOST_CELLS) ** (1 / 3)
        raise ValueError(
            f"{what} makes more cells than any machine holds: take cells of at least {side:.1g} "
            "Mpc/h"
        )


@dataclass(frozen=True)
class Box:
    """A cuboid volume with a mesh on it.

    Parameters
    ----------
    boxsize : float or (3,) floats
        Side lengths [Mpc/h].
    meshsize : int or (3,) ints, optional
        Cells per side; give either this or ``cellsize``.
    boxcenter : float or (3,) floats, optional
        Centre [Mpc/h]; ``boxsize / 2`` by default, so that the lower corner is the origin.
    periodic : bool
        Whether opposite faces are joined.
    cellsize : float, optional
        Side of a cell [Mpc/h], in place of ``meshsize``: each axis gets the whole number of cells
        nearest to ``boxsize / cellsize``, so that `cellsize` of the box differs from it where it
        does not divide a side.

    Raises
    ------
    ValueError
        If a length is not positive and finite, a mesh size not a positive whole number, or not
        exactly one of ``meshsize`` and ``cellsize`` is given.

    Examples
    --------
    >>> from truez import Box
    >>> print(Box(512, cellsize=2))
    512 x 512 x 512 Mpc/h, 256 x 256 x 256 cells of 2 Mpc/h, periodic
    >>> Box((100, 100, 200), (50, 50, 100)).volume
    2000000.0
    """

    boxsize: Vector
    meshsize: Mesh
    boxcenter: Vector
    periodic: bool

    def __init__(
        self,
        boxsize: float | Sequence[float] | ArrayLike,
        meshsize: int | Sequence[int] | ArrayLike | None = None,
        boxcenter: float | Sequence[float] | ArrayLike | None = None,
        periodic: bool = True,
        *,
        cellsize: float | None = None,
    ) -> None:
        size = _three(boxsize, "boxsize")
        if min(size) <= 0:
            raise ValueError(f"boxsize must be positive, not {boxsize!r}")
        if (meshsize is None) == (cellsize is None):
            raise ValueError("a box needs either meshsize, its cells per side, or cellsize [Mpc/h]")
        if meshsize is None:
            meshsize = _mesh_of(size, cellsize)
        cells = _three(meshsize, "meshsize")
        if min(cells) < 1 or any(n != int(n) for n in cells):
            raise ValueError(f"meshsize must be positive whole numbers, not {meshsize!r}")
        _check_number(math.prod(cells), f"meshsize of {' x '.join(f'{n:g}' for n in cells)}", size)
        center = (
            (size[0] / 2, size[1] / 2, size[2] / 2)
            if boxcenter is None
            else _three(boxcenter, "boxcenter")
        )
        object.__setattr__(self, "boxsize", size)
        object.__setattr__(self, "meshsize", (int(cells[0]), int(cells[1]), int(cells[2])))
        object.__setattr__(self, "boxcenter", center)
        object.__setattr__(self, "periodic", bool(periodic))

    @classmethod
    def from_cellsize(
        cls,
        boxsize: float | Sequence[float],
        cellsize: float,
        boxcenter: float | Sequence[float] | None = None,
        periodic: bool = True,
    ) -> Box:
        """The same as ``Box(boxsize, cellsize=cellsize)``, with its arguments in another order."""
        return cls(boxsize, None, boxcenter, periodic, cellsize=cellsize)

    @property
    def cellsize(self) -> Vector:
        """Side lengths of a cell [Mpc/h]."""
        (lx, ly, lz), (nx, ny, nz) = self.boxsize, self.meshsize
        return lx / nx, ly / ny, lz / nz

    @property
    def lower(self) -> Vector:
        """The lower corner [Mpc/h]."""
        (lx, ly, lz), (cx, cy, cz) = self.boxsize, self.boxcenter
        return cx - lx / 2, cy - ly / 2, cz - lz / 2

    @property
    def upper(self) -> Vector:
        """The upper corner [Mpc/h]."""
        (lx, ly, lz), (cx, cy, cz) = self.boxsize, self.boxcenter
        return cx + lx / 2, cy + ly / 2, cz + lz / 2

    @property
    def volume(self) -> float:
        """Volume [(Mpc/h)^3]."""
        return math.prod(self.boxsize)

    @property
    def num_cells(self) -> int:
        """Number of cells."""
        return math.prod(self.meshsize)

    @property
    def fundamental(self) -> Vector:
        """Fundamental wavenumber of each axis, 2 pi / boxsize [h/Mpc]."""
        lx, ly, lz = self.boxsize
        return 2 * math.pi / lx, 2 * math.pi / ly, 2 * math.pi / lz

    @property
    def nyquist(self) -> float:
        """Lowest Nyquist wavenumber of the three axes, pi / cellsize [h/Mpc]."""
        return math.pi / max(self.cellsize)

    def edges(self, axis: int) -> NDArray[np.float64]:
        """Cell edges along ``axis``, shape (meshsize + 1,) [Mpc/h]."""
        return np.linspace(self.lower[axis], self.upper[axis], self.meshsize[axis] + 1)

    def centers(self, axis: int) -> NDArray[np.float64]:
        """Cell centres along ``axis``, shape (meshsize,) [Mpc/h]."""
        edges = self.edges(axis)
        return 0.5 * (edges[1:] + edges[:-1])

    def inside(
        self, positions: NDArray[np.floating[Any]], *, axes: Sequence[int] = (0, 1, 2)
    ) -> NDArray[np.bool_]:
        """Which of the positions, shape (n, 3) [Mpc/h], lie in the box, both faces included.

        Faces are compared in the positions' own precision, so that a galaxy that a catalogue puts
        on a face in float32 is on it. ``axes`` are the axes to look at.
        """
        result = np.ones(len(positions), dtype=bool)
        for axis in axes:
            x = positions[:, axis]
            lower, upper = x.dtype.type(self.lower[axis]), x.dtype.type(self.upper[axis])
            result &= (x >= lower) & (x <= upper)
        return result

    def widened(self, share: float) -> Vector:
        """The sides of a periodic box with a share of each beyond both faces [Mpc/h].

        A closed box has no room beyond its faces.
        """
        factor = 1 + 2 * share if self.periodic else 1.0
        x, y, z = self.boxsize
        return x * factor, y * factor, z * factor

    def check_contains(
        self, positions: NDArray[np.floating[Any]], name: str, *, axes: Sequence[int] = (0, 1, 2)
    ) -> None:
        """Raise if a catalogue does not belong into this box.

        Parameters
        ----------
        positions : (n, 3) array
            [Mpc/h].
        name : str
            What they are, for the message.
        axes : sequence of int
            The axes to look at.

        Raises
        ------
        ValueError
            If a position is not finite, or lies outside. A periodic box forgives 1% of its side
            beyond a face, which wraps: more is a wrong boxsize or unit.
        """
        broken = ~np.isfinite(positions).all(axis=1)
        if broken.any():
            raise ValueError(
                f"{np.count_nonzero(broken)} of {len(positions)} {name} are not finite, the first "
                f"in row {np.argmax(broken)}: leave those rows out"
            )
        room = Box(self.widened(0.01), self.meshsize, self.boxcenter, periodic=self.periodic)
        outside = np.count_nonzero(~room.inside(positions, axes=axes))
        if outside:
            kind = "periodic" if self.periodic else "closed"
            raise ValueError(
                f"{outside} of {len(positions)} {name} lie outside the {kind} box from "
                f"{_text(self.lower)} to {_text(self.upper)} Mpc/h: correct boxsize, boxcenter or "
                "the length unit"
            )

    def crop(self, start: Sequence[int], stop: Sequence[int]) -> Box:
        """The non-periodic box of cells ``start <= i < stop`` on each axis.

        An axis that is kept whole does not stay periodic: only a whole box can be.
        """
        for axis in range(3):
            if not 0 <= start[axis] < stop[axis] <= self.meshsize[axis]:
                raise ValueError(
                    f"cells {start[axis]} to {stop[axis]} of axis {axis} are not a range within "
                    f"its {self.meshsize[axis]} cells"
                )
        cell, low = self.cellsize, self.lower
        mesh = [b - a for a, b in zip(start, stop, strict=True)]
        size = [n * c for n, c in zip(mesh, cell, strict=True)]
        center = [o + 0.5 * (a + b) * c for o, a, b, c in zip(low, start, stop, cell, strict=True)]
        whole = tuple(mesh) == self.meshsize
        return Box(size, mesh, center, periodic=self.periodic and whole)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for headers and TOML; ``Box(**box.to_dict())`` gives the box back."""
        return {
            "boxsize": list(self.boxsize),
            "meshsize": list(self.meshsize),
            "boxcenter": list(self.boxcenter),
            "periodic": self.periodic,
        }

    def __str__(self) -> str:
        size = " x ".join(f"{side:g}" for side in self.boxsize)
        mesh = " x ".join(str(n) for n in self.meshsize)
        lengths = [f"{c:.5g}" for c in self.cellsize]
        cell = lengths[0] if len(set(lengths)) == 1 else " x ".join(lengths)
        kind = "periodic" if self.periodic else "closed"
        return f"{size} Mpc/h, {mesh} cells of {cell} Mpc/h, {kind}"
