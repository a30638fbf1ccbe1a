"""The inner loops of painting and readout on a CPU.

Everything here is plain Python over numpy arrays; `compiled` returns the loops as machine code
(numba, imported on the first use and not before). How `truez.mesh.painting` uses them:

1. `sort_piece` turns a piece of the positions into whole numbers, cells in steps of ``2**-bits``,
   and sorts them by tile: a tile is a few planes of x by a few rows of y, small enough for a
   core's cache. The sort is stable, so the order of summation never depends on the threads.
2. `paint_slab` and `read_slab` take the tiles of one slab (tiles of the same planes) in order, and
   so touch each part of the mesh once, from the cache, and not at random in main memory.

The boundaries are in the tables: entry ``j`` names the cell that node ``j`` of an axis falls in,
wrapped in a periodic box, the edge cell beyond the face of a closed one.
"""

from __future__ import annotations

import functools
import math
import types
from typing import Any

import numpy as np

from truez.mesh.resamplers import RESAMPLERS, order_of

#: What `sort_piece` counts: galaxies kept, not finite, outside; first row of the latter two; and
#: those of the kept that are beyond a face.
KEPT, NOT_FINITE, OUTSIDE, FIRST_NOT_FINITE, FIRST_OUTSIDE, BEYOND = range(6)


def _weights(like: tuple[float, ...], t: float) -> tuple[float, ...]:
    """Weights of the resampler that has as many nodes as ``like`` has entries."""
    return _BY_ORDER[len(like)](t)


_BY_ORDER = {order_of(name): function for name, function in RESAMPLERS.items()}
assert len(_BY_ORDER) == len(RESAMPLERS), "two resamplers of the same order"


def _grid(
    x: float, lower: float, size: float, cells: float, offset: float, periodic: bool
) -> float:
    """Coordinate in cells, never below zero and never past the last node."""
    # Not times 1 / cellsize: this way round a galaxy on a cell's edge stays on it.
    g = (x - lower) * cells / size
    if periodic:
        g += offset
        if g < 0.0 or g >= cells:
            g -= cells * math.floor(g / cells)
            if not 0.0 <= g < cells:  # rounding: just below the lower face is the lower face
                g = 0.0
        return g
    return min(max(g, 0.0), cells) + offset


def sort_piece(
    positions: Any,
    payload: Any,
    bounds: Any,
    axes: Any,
    periodic: bool,
    bits: Any,
    slab_of: Any,
    tile_of: Any,
    scratch: Any,
    keys: Any,
    cells_out: Any,
    payload_out: Any,
    starts: Any,
    counts: Any,
    sums: Any,
) -> None:
    """Sort one piece of positions by tile.

    Parameters
    ----------
    positions : (n, 3) floats
    payload : (n,) float32, or (0,) for none
        Sorted with the positions: weights, or row numbers.
    bounds : (4, 3) of the positions' type
        Where a galaxy is outside, below and above; and where it is beyond a face and still kept.
    axes : (4, 3) float64
        Lower face, side length, number of cells, offset in cells.
    periodic : bool
    bits : (3,) uint32
        Binary digits of a cell's fraction.
    slab_of, tile_of : (nodes,) int32
        First tile of the slab of each x node, tile within its slab of each y node.
    scratch : (n, 3) uint32 and keys : (n,) int32
        Working space.
    cells_out : (n, 3) uint32 and payload_out : as payload
        The result. Positions that are not kept are at its end.
    starts : (tiles + 1,) int64
        Where each tile starts in ``cells_out``, and where the last one ends.
    counts : (6,) int64 and sums : (2,) float64
        See the constants above; sum of the kept payload and of its square.
    """
    n = positions.shape[0]
    tiles = starts.size - 1
    lx, ly, lz = axes[0, 0], axes[0, 1], axes[0, 2]
    ix, iy, iz = axes[1, 0], axes[1, 1], axes[1, 2]
    nx, ny, nz = axes[2, 0], axes[2, 1], axes[2, 2]
    ox, oy, oz = axes[3, 0], axes[3, 1], axes[3, 2]
    bx, by = bits[0], bits[1]
    sx, sy, sz = 2.0 ** bits[0], 2.0 ** bits[1], 2.0 ** bits[2]
    x0, y0, z0 = bounds[0, 0], bounds[0, 1], bounds[0, 2]
    x1, y1, z1 = bounds[1, 0], bounds[1, 1], bounds[1, 2]
    x2, y2, z2 = bounds[2, 0], bounds[2, 1], bounds[2, 2]
    x3, y3, z3 = bounds[3, 0], bounds[3, 1], bounds[3, 2]
    cursor = np.zeros(tiles + 2, np.int64)
    counts[:] = 0
    for i in range(n):
        x, y, z = positions[i, 0], positions[i, 1], positions[i, 2]
        key = tiles
        beyond = x < x2 or x > x3 or y < y2 or y > y3 or z < z2 or z > z3
        if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
            if counts[NOT_FINITE] == 0:
                counts[FIRST_NOT_FINITE] = i
            counts[NOT_FINITE] += 1
        elif beyond and (x < x0 or x > x1 or y < y0 or y > y1 or z < z0 or z > z1):
            if counts[OUTSIDE] == 0:
                counts[FIRST_OUTSIDE] = i
            counts[OUTSIDE] += 1
        else:
            ux = np.uint32(np.int64(_grid(x, lx, ix, nx, ox, periodic) * sx))
            uy = np.uint32(np.int64(_grid(y, ly, iy, ny, oy, periodic) * sy))
            uz = np.uint32(np.int64(_grid(z, lz, iz, nz, oz, periodic) * sz))
            scratch[i, 0] = ux
            scratch[i, 1] = uy
            scratch[i, 2] = uz
            key = slab_of[ux >> bx] + tile_of[uy >> by]
            if beyond:
                counts[BEYOND] += 1
        keys[i] = key
        cursor[key + 1] += 1
    for tile in range(tiles + 1):
        starts[tile] = cursor[tile]
        cursor[tile + 1] += cursor[tile]
    counts[KEPT] = starts[tiles]
    for i in range(n):
        j = cursor[keys[i]]
        cursor[keys[i]] = j + 1
        cells_out[j, 0] = scratch[i, 0]
        cells_out[j, 1] = scratch[i, 1]
        cells_out[j, 2] = scratch[i, 2]
        if payload.size > 0:
            payload_out[j] = payload[i]
    if payload.size > 0:
        total, square = 0.0, 0.0
        for j in range(counts[KEPT]):
            value = np.float64(payload_out[j])
            total += value
            square += value * value
        sums[0], sums[1] = total, square


def paint_slab(
    mesh: Any,
    like: Any,
    cells: Any,
    payload: Any,
    starts: Any,
    first: int,
    last: int,
    table_x: Any,
    table_y: Any,
    table_z: Any,
    bits: Any,
) -> None:
    """Add the galaxies of tiles ``first <= tile < last`` of every piece to the mesh.

    ``cells`` (n, 3) and ``payload`` hold the sorted pieces one after the other, ``starts`` (pieces,
    tiles + 1) where their tiles begin in them.
    """
    bx, by, bz = bits[0], bits[1], bits[2]
    mx, my, mz = (1 << bx) - 1, (1 << by) - 1, (1 << bz) - 1
    sx, sy, sz = 0.5**bx, 0.5**by, 0.5**bz
    weight = np.float32(1.0)
    for tile in range(first, last):
        for piece in range(starts.shape[0]):
            for j in range(starts[piece, tile], starts[piece, tile + 1]):
                ux, uy, uz = cells[j, 0], cells[j, 1], cells[j, 2]
                wx = _weights(like, (ux & mx) * sx)
                wy = _weights(like, (uy & my) * sy)
                wz = _weights(like, (uz & mz) * sz)
                ux, uy, uz = ux >> bx, uy >> by, uz >> bz
                if payload.size > 0:
                    weight = payload[j]
                for a in range(len(like)):
                    plane = mesh[table_x[ux + a]]
                    for b in range(len(like)):
                        row = plane[table_y[uy + b]]
                        factor = np.float32(weight * wx[a] * wy[b])
                        for c in range(len(like)):
                            row[table_z[uz + c]] += factor * np.float32(wz[c])


def read_slab(
    mesh: Any,
    like: Any,
    cells: Any,
    payload: Any,
    starts: Any,
    first: int,
    last: int,
    table_x: Any,
    table_y: Any,
    table_z: Any,
    bits: Any,
    out: Any,
) -> None:
    """Interpolate the mesh at the galaxies of the tiles; ``payload`` says which row of ``out``."""
    bx, by, bz = bits[0], bits[1], bits[2]
    mx, my, mz = (1 << bx) - 1, (1 << by) - 1, (1 << bz) - 1
    sx, sy, sz = 0.5**bx, 0.5**by, 0.5**bz
    for tile in range(first, last):
        for piece in range(starts.shape[0]):
            for j in range(starts[piece, tile], starts[piece, tile + 1]):
                ux, uy, uz = cells[j, 0], cells[j, 1], cells[j, 2]
                wx = _weights(like, (ux & mx) * sx)
                wy = _weights(like, (uy & my) * sy)
                wz = _weights(like, (uz & mz) * sz)
                ux, uy, uz = ux >> bx, uy >> by, uz >> bz
                total = 0.0
                for a in range(len(like)):
                    plane = mesh[table_x[ux + a]]
                    for b in range(len(like)):
                        row = plane[table_y[uy + b]]
                        for c in range(len(like)):
                            total += wx[a] * wy[b] * wz[c] * row[table_z[uz + c]]
                out[payload[j]] = np.float32(total)


def gradient_slab(
    mesh: Any,
    like: Any,
    cells: Any,
    payload: Any,
    starts: Any,
    first: int,
    last: int,
    table_x: Any,
    table_y: Any,
    table_z: Any,  # noqa: ARG001 - every loop is called with the same
    bits: Any,
    slab_edges: Any,
    tile_edges: Any,
    nz: int,
    weights: Any,
    out: Any,
) -> None:
    """Add the gradient of a periodic mesh to the rows of ``out`` that ``payload`` says.

    The gradient of each tile is made by differences, before it is read. ``weights`` (3, reach) are
    those of the cells ahead, less those behind, along each axis.
    """
    order, tiles = len(like), len(tile_edges) - 1
    bx, by, bz = bits[0], bits[1], bits[2]
    mx, my, mz = (1 << bx) - 1, (1 << by) - 1, (1 << bz) - 1
    sx, sy, sz = 0.5**bx, 0.5**by, 0.5**bz
    x0 = slab_edges[first // tiles]
    planes = slab_edges[first // tiles + 1] - x0
    rows = 0
    for tile in range(tiles):
        rows = max(rows, tile_edges[tile + 1] - tile_edges[tile])
    # The three numbers of a cell lie side by side, so that they are read together.
    gradient = np.empty((planes + order - 1, rows + order - 1, 3 * (nz + order - 1)), np.float32)
    work = np.empty((3, nz), np.float32)
    for tile in range(first, last):
        number = 0
        for piece in range(starts.shape[0]):
            number += starts[piece, tile + 1] - starts[piece, tile]
        if number == 0:
            continue
        y0, y1 = tile_edges[tile - first], tile_edges[tile - first + 1]
        for a in range(planes + order - 1):
            for b in range(y1 - y0 + order - 1):
                x, y = table_x[x0 + a], table_y[y0 + b]
                _gradient_row(mesh, x, y, weights, work, gradient[a, b])
        for piece in range(starts.shape[0]):
            for j in range(starts[piece, tile], starts[piece, tile + 1]):
                ux, uy, uz = cells[j, 0], cells[j, 1], cells[j, 2]
                wx = _weights(like, (ux & mx) * sx)
                wy = _weights(like, (uy & my) * sy)
                wz = _weights(like, (uz & mz) * sz)
                px, py = np.uint64(ux >> bx) - np.uint64(x0), np.uint64(uy >> by) - np.uint64(y0)
                pz = np.uint64(3) * np.uint64(uz >> bz)
                gx = gy = gz = np.float32(0.0)
                for a in range(order):
                    for b in range(order):
                        factor, nodes = np.float32(wx[a] * wy[b]), gradient[px + a, py + b]
                        for c in range(order):
                            share, node = factor * np.float32(wz[c]), pz + np.uint64(3 * c)
                            gx += share * nodes[node]
                            gy += share * nodes[node + np.uint64(1)]
                            gz += share * nodes[node + np.uint64(2)]
                row = out[payload[j]]
                row[0] += gx
                row[1] += gy
                row[2] += gz


def _gradient_row(mesh: Any, x: int, y: int, weights: Any, work: Any, out: Any) -> None:
    """Gradient of a row of a periodic mesh, three numbers a cell; what is more repeats."""
    nx, ny, nz = mesh.shape[0], mesh.shape[1], work.shape[1]
    x, y = int(x), int(y)  # were unsigned
    row = mesh[x, y, :nz]
    work[:] = 0.0
    for i in range(weights.shape[1]):
        step, wz = i + 1, weights[2, i]
        _add_difference(work[0], weights[0, i], mesh[(x + step) % nx, y], mesh[(x - step) % nx, y])
        _add_difference(work[1], weights[1, i], mesh[x, (y + step) % ny], mesh[x, (y - step) % ny])
        if nz > 2 * step:
            _add_difference(work[2, step : nz - step], wz, row[2 * step :], row)
        for edge in range(min(2 * step, nz)):
            z = (edge - step) % nz
            work[2, z] += wz * (row[(z + step) % nz] - row[(z - step) % nz])
    for z in range(nz):
        for axis in range(3):
            out[3 * z + axis] = work[axis, z]
    for z in range(3 * nz, out.size):
        out[z] = out[z - 3 * nz]


def _add_difference(total: Any, weight: float, ahead: Any, behind: Any) -> None:
    # Few enough arrays that the compiler makes vector instructions of it.
    for z in range(total.size):
        total[z] += weight * (ahead[z] - behind[z])


@functools.cache
def compiled() -> types.SimpleNamespace:
    """The loops above as machine code, compiled at their first call and kept on disk.

    They release the interpreter's lock, so that plain threads run them side by side.
    """
    from numba.extending import overload, register_jitable

    from truez.support.compiled import compiled as kept

    by_order = {order: register_jitable(function) for order, function in _BY_ORDER.items()}
    register_jitable(_grid)
    register_jitable(_add_difference)
    register_jitable(_gradient_row)

    @overload(_weights, strict=False)
    def _(like: Any, t: Any) -> Any:  # noqa: ARG001
        function = by_order[len(like)]
        return lambda like, t: function(t)  # noqa: ARG005

    loops = (sort_piece, paint_slab, read_slab, gradient_slab)
    return types.SimpleNamespace(**{loop.__name__: kept(loop) for loop in loops})
