"""How large the tiles of a network are, and the memory that they take.

`truez.networks.tiles` runs a network tile by tile.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from truez.mesh.box import Mesh
from truez.networks.network import Network


def tile_shape(
    meshsize: Sequence[int], tile: int | Sequence[int | None] | None, stride: int
) -> Mesh:
    """Core of a tile [cells]: ``tile``, one number or three, where ``None`` or 0 is a whole axis.

    Raises
    ------
    ValueError
        If a number is negative or not a multiple of the stride.
    """
    three = list(tile) if isinstance(tile, Iterable) else [tile] * 3
    if len(three) != 3:
        raise ValueError(f"tile must be one number of cells or three, not {tile!r}")
    if any(n and (n < 0 or n % stride) for n in three):
        raise ValueError(f"tile must be a multiple of the network's stride, {stride}, not {tile!r}")
    sizes = [n or -(-cells // stride) * stride for n, cells in zip(three, meshsize, strict=True)]
    return sizes[0], sizes[1], sizes[2]


def tile_memory(
    network: Network,
    meshsize: Sequence[int],
    *,
    tile: int | Sequence[int | None] | None = 64,
    halo: int | None = None,
    periodic: bool = False,
) -> int:
    """Peak memory of the tensors of one tile, with weights [bytes].

    The field, its estimate, and scratch space of the convolution library are not included; further
    arguments are taken to be fields where they may be. A network that joins the ends of a periodic
    line of sight has no halo there.
    """
    radii = network.receptive_radii if halo is None else (halo,) * 3
    core = tile_shape(meshsize, tile, network.stride)
    reach = [whole_strides(r, network.stride) for r in radii]
    if network.joins_ends and periodic and core[2] == meshsize[2]:
        reach[2] = 0
    sides = [n + 2 * r for n, r in zip(core, reach, strict=True)]
    extra = shed_halo(network, reach) | network.cell_arguments(sides)
    return network.memory(sides, **extra)


def shed_halo(network: Network, reach: Sequence[int]) -> dict[str, Any]:
    """Further arguments of a network that does not compute the halo of a tile."""
    return {"halo": reach[0]} if network.sheds_halo and reach[0] == reach[1] else {}


def fitting_tile(
    network: Network, meshsize: Sequence[int], memory: float, *, periodic: bool = False
) -> Mesh:
    """Core of the fastest tile that fits in ``memory`` and holds the whole line of sight [cells].

    Halos are computed more than once, so large cores are fast. Of the cores that divide both sky
    axes into equal parts, the one with the least work is chosen, or the smallest if none fits.

    Parameters
    ----------
    network : Network
    meshsize : (3,) ints
    memory : float
        Memory for the tensors of one tile [bytes], as in `tile_memory`.
    periodic : bool
        Whether the line of sight is periodic.
    """
    stride, halos = (
        network.stride,
        [whole_strides(r, network.stride) for r in network.receptive_radii],
    )
    depth = whole_strides(meshsize[2], stride)
    cores = [
        sorted({whole_strides(-(-n // parts), stride) for parts in range(1, -(-n // stride) + 1)})
        for n in meshsize[:2]
    ]

    def outer(core: tuple[int, ...]) -> int:
        return (core[0] + 2 * halos[0]) * (core[1] + 2 * halos[1])

    def work(core: tuple[int, ...]) -> float:
        counts = [-(-n // size) for n, size in zip(meshsize, core, strict=False)]
        # A halo that shrinks layer by layer costs about half of one that does not.
        share = 1 if network.sheds_halo else 2
        sides = [size + share * halo for size, halo in zip(core, halos, strict=False)]
        return math.prod(counts) * math.prod(sides)

    def takes(core: tuple[int, ...]) -> int:
        return tile_memory(network, meshsize, tile=(*core, depth), periodic=periodic)

    # The tensors of all layers grow with the columns that are read.
    every = sorted(itertools.product(*cores), key=outer)
    small = bisect.bisect_right(every, memory, key=takes)
    for x, y in sorted(every[:small], key=work):
        if takes((x, y)) <= memory:
            return x, y, depth
    return cores[0][0], cores[1][0], depth


def whole_strides(cells: int, stride: int) -> int:
    """The least multiple of the stride that holds so many cells."""
    return -(-cells // stride) * stride
