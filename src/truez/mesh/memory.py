"""Meshes that are larger than the memory, refused before any of them is made."""

from __future__ import annotations

import math

from truez.mesh.box import Box
from truez.support import memory

#: One value of a field [bytes].
VALUE = 4
#: Cells of a mesh up to which a single field is made without asking for the memory.
LARGE = 1 << 26


def check_mesh(
    box: Box, cell: float = VALUE, *, besides: float = 0.0, remedy: str | None = None,
    other: str = "",
) -> None:  # fmt: skip
    """Refuse a mesh that does not fit into the memory.

    Parameters
    ----------
    box : Box
    cell : float
        What the work on the mesh takes at least, for each of its cells [bytes].
    besides : float
        What it takes besides [bytes].
    remedy : str, optional
        The end of the sentence; by default the smallest cells that fit.
    other : str
        Another remedy, to the end of the sentence.

    Raises
    ------
    ValueError
        With the memory that is needed and that is there.

    Examples
    --------
    >>> from truez import Box
    >>> from truez.mesh.memory import check_mesh
    >>> check_mesh(Box(64, cellsize=2))
    """
    free = memory.available_memory()
    needed = besides + cell * box.num_cells
    if needed <= free:
        return
    if remedy is None:
        side = fitting_cellsize(box, (free - besides) / cell)
        remedy = "use another machine"
        if side is not None:
            remedy = f"take cells of at least {side:g} Mpc/h"
    mesh = " x ".join(str(n) for n in box.meshsize)
    what = f"a mesh of {mesh} cells of {max(box.cellsize):.3g} Mpc/h"
    memory.check_memory(needed, what, remedy + other)


def available_cells(cell: float) -> float:
    """Cells of a mesh that the memory has room for; ``cell`` is what each takes [bytes]."""
    return memory.available_memory() / cell


def fits_memory(box: Box, fields: int) -> bool:
    """Whether the memory holds so many fields on a mesh, each with its modes."""
    return box.num_cells <= available_cells(2 * VALUE * fields)


def largest_mesh(fields: int) -> int:
    """Side of the largest cubic mesh that `fits_memory` [cells]."""
    return math.floor(math.cbrt(available_cells(2 * VALUE * fields)))


def fitting_cellsize(box: Box, num_cells: float) -> float | None:
    """The smallest cells, to two digits, of which a box has at most ``num_cells`` [Mpc/h].

    None where not even a single cell is allowed.
    """
    if num_cells < 1:
        return None
    side: float = max(box.cellsize) * math.cbrt(max(box.num_cells / num_cells, 1.0))
    while side <= min(box.boxsize):
        unit = float(10.0 ** (math.floor(math.log10(side)) - 1))
        side = math.ceil(side / unit * (1 - 1e-9)) * unit
        if Box(box.boxsize, cellsize=side).num_cells <= num_cells:
            return side
        side *= 1.01
    return None
