"""Painting and readout on a CPU: cut, sort, and run the loops of `truez.mesh.paint_kernels`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.mesh import paint_kernels as kernels
from truez.mesh.box import Box
from truez.mesh.fourier import DIFFERENCES
from truez.mesh.paint_input import Tally, as_numpy, check_rows
from truez.mesh.resamplers import order_of
from truez.support.progress import Progress
from truez.support.threads import Threads

#: Rows sorted at a time, and pieces painted at a time: they bound the scratch memory (12 bytes a
#: row, 16 with weights) and, being fixed, the order of summation.
PIECE_ROWS = 1 << 18
BATCH_PIECES = 64
#: Cells of a tile, and tiles along y at most: to paint or read, and to make the gradient of, which
#: is three numbers for each cell.
MESH_TILES = 1 << 17, 32
GRADIENT_TILES = 1 << 15, 128

_Piece = tuple[NDArray[Any], NDArray[np.float32] | None]


def paint_cpu(
    chunks: Iterable[Any],
    box: Box,
    resampler: str,
    shift: float,
    tally: Tally,
    progress: Progress,
    total: int | None,
    mesh: NDArray[np.float32],
) -> None:
    """Add all chunks of positions and weights to a mesh (nx, ny, nz or more)."""
    layout = _Layout.of(box, resampler, shift)
    with Threads() as threads:
        for batch in _sorted(
            _batches(_pieces(chunks, copied=total is None)), layout, threads, tally
        ):
            if tally.good:
                batch.run(kernels.compiled().paint_slab, mesh, layout.slabs[::2])
                batch.run(kernels.compiled().paint_slab, mesh, layout.slabs[1::2])
            progress("painting", tally.rows, total)


def read_cpu(
    mesh: NDArray[np.float32],
    box: Box,
    positions: Any,
    resampler: str,
    tally: Tally,
) -> NDArray[np.float32]:
    """Interpolate a mesh at positions (n, 3), shape (n,)."""
    rows = as_numpy(check_rows(positions, None)[0])
    layout = _Layout.of(box, resampler, 0.0)
    out = np.empty(len(rows), dtype=np.float32)
    with Threads() as threads:
        for batch in _sorted(_batches(_numbered(rows)), layout, threads, tally):
            if tally.good:
                part = out[tally.rows - batch.rows : tally.rows]
                batch.run(kernels.compiled().read_slab, mesh, layout.slabs, part)
    return out


def add_gradient_cpu(
    mesh: NDArray[np.float32],
    box: Box,
    positions: Any,
    resampler: str,
    factor: float,
    tally: Tally,
    out: NDArray[np.float32],
) -> None:
    """Add a multiple of the gradient of a mesh (nx, ny, nz or more) at positions to ``out``."""
    rows = as_numpy(check_rows(positions, None)[0])
    layout = _Layout.of(box, resampler, 0.0, tiling=GRADIENT_TILES)
    weights = (factor * np.outer(1 / np.array(box.cellsize), DIFFERENCES)).astype(np.float32)
    with Threads() as threads:
        for batch in _sorted(_batches(_numbered(rows)), layout, threads, tally):
            if tally.good:
                part = out[tally.rows - batch.rows : tally.rows]
                edges = layout.slab_edges, layout.tile_edges
                loop = kernels.compiled().gradient_slab
                batch.run(loop, mesh, layout.slabs, *edges, box.meshsize[2], weights, part)


@dataclass(frozen=True)
class _Layout:
    """Nodes, tiles and slabs of a box and a resampler; see `truez.mesh.paint_kernels`."""

    box: Box
    like: tuple[float, ...]
    axes: NDArray[np.float64]
    bits: NDArray[np.uint32]
    tables: tuple[NDArray[np.uint32], ...]
    slab_of: NDArray[np.int32]
    tile_of: NDArray[np.int32]
    tiles_per_slab: int
    slabs: list[int]  # the first tile of each

    @classmethod
    def of(
        cls, box: Box, resampler: str, shift: float, *, tiling: tuple[int, int] = MESH_TILES
    ) -> _Layout:
        order, mesh = order_of(resampler), box.meshsize
        reach = shift - (order - 1) / 2
        pad = 0 if box.periodic else math.ceil(abs(shift) + (order - 1) / 2)
        tables = []
        for n in mesh:
            nodes = np.arange(n + 2 * pad + order) - pad
            cells = nodes % n if box.periodic else nodes.clip(0, n - 1)
            tables.append(cells.astype(np.uint32))
        bits = [32 - len(table).bit_length() for table in tables]
        # A slab takes an even share of the planes, at least 4 so that what it adds to the planes
        # after its own ends within the next slab; and slabs are even in number, so that all even
        # ones, and then all odd ones, can be painted at once.
        planes = max(4, order - 1, mesh[0] // 128)
        num_slabs = max(2 * (mesh[0] // (2 * planes)), 1)
        rows = max(mesh[1] // tiling[1], tiling[0] // (planes * mesh[2]), 1)
        tiles = max(mesh[1] // rows, 1)
        slab_of = (tables[0].astype(np.int64) * num_slabs // mesh[0] * tiles).astype(np.int32)
        tile_of = (tables[1].astype(np.int64) * tiles // mesh[1]).astype(np.int32)
        axes = np.array([box.lower, box.boxsize, mesh, [pad + reach] * 3])
        return cls(
            box, (0.0,) * order, axes, np.array(bits, np.uint32), tuple(tables),
            slab_of, tile_of, tiles, [slab * tiles for slab in range(num_slabs)],
        )  # fmt: skip

    @property
    def num_tiles(self) -> int:
        return self.tiles_per_slab * len(self.slabs)

    @property
    def slab_edges(self) -> NDArray[np.int64]:
        """First plane of each slab of a periodic box, and where the last one ends."""
        return np.searchsorted(self.slab_of[: self.box.meshsize[0]], [*self.slabs, self.num_tiles])

    @property
    def tile_edges(self) -> NDArray[np.int64]:
        """First row of each tile of a slab of a periodic box, and where the last one ends."""
        tiles = np.arange(self.tiles_per_slab + 1)
        return np.searchsorted(self.tile_of[: self.box.meshsize[1]], tiles)


@dataclass(frozen=True)
class _Sorted:
    """A batch of pieces, each sorted by tile."""

    layout: _Layout
    threads: Threads
    rows: int
    cells: NDArray[np.uint32]  # (rows, 3)
    payload: NDArray[Any]  # (rows,) weights or row numbers, or (0,)
    starts: NDArray[np.int64]  # (pieces, tiles + 1)

    def run(self, loop: Any, mesh: NDArray[np.float32], slabs: list[int], *out: Any) -> None:
        """Run a loop of `truez.mesh.paint_kernels` on each of the slabs, side by side."""
        layout = self.layout

        def one(first: int) -> None:
            loop(
                mesh, layout.like, self.cells, self.payload, self.starts,
                first, first + layout.tiles_per_slab, *layout.tables, layout.bits, *out,
            )  # fmt: skip

        self.threads.run(one, slabs)


def _sorted(
    batches: Iterable[list[Any]], layout: _Layout, threads: Threads, tally: Tally
) -> Iterator[_Sorted]:
    """Sort batches, counting them in the tally. The arrays of one are overwritten by the next."""
    sort_piece = kernels.compiled().sort_piece
    bounds = {kind: np.array(tally.bounds(layout.box), kind) for kind in "fd"}
    cells = payload = None
    for batch in batches:
        number, first = sum(len(rows) for rows, _ in batch), batch[0][1]
        if cells is None or payload is None:  # the first batch is the largest
            cells = np.empty((number, 3), np.uint32)
            payload = np.empty(0 if first is None else number, getattr(first, "dtype", np.float32))
        starts = np.empty((len(batch), layout.num_tiles + 1), np.int64)

        def sort_one(
            piece: int,
            batch: list[Any] = batch,
            starts: NDArray[np.int64] = starts,
            cells: NDArray[np.uint32] = cells,
            payload: NDArray[Any] = payload,
        ) -> tuple[int, NDArray[np.int64], NDArray[np.float64]]:
            rows, load = batch[piece]
            here = slice(piece * PIECE_ROWS, piece * PIECE_ROWS + len(rows))
            # A read-only view in native order: one compiled loop serves every caller's array, and
            # cannot change it.
            rows = np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("=")).view()
            rows.flags.writeable = False
            counts, sums = np.zeros(6, np.int64), np.zeros(2)
            sort_piece(
                rows, payload[:0] if load is None else load, bounds[rows.dtype.char], layout.axes,
                layout.box.periodic, layout.bits, layout.slab_of, layout.tile_of,
                np.empty((len(rows), 3), np.uint32), np.empty(len(rows), np.int32),
                cells[here], payload[here], starts[piece], counts, sums,
            )  # fmt: skip
            starts[piece] += here.start
            return len(rows), counts, sums

        for rows, counts, sums in threads.run(sort_one, range(len(batch))):
            tally.add(rows, counts, None if first is None else sums)
        yield _Sorted(layout, threads, number, cells, payload, starts)


def _numbered(rows: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[np.uint32]]]:
    """Pieces of the rows, each row with its number in its batch."""
    for start in range(0, len(rows), PIECE_ROWS):
        piece = rows[start : start + PIECE_ROWS]
        first = start % (PIECE_ROWS * BATCH_PIECES)
        yield piece, np.arange(first, first + len(piece), dtype=np.uint32)


def _batches(pieces: Iterable[Any]) -> Iterator[list[Any]]:
    batch = []
    for piece in pieces:
        batch.append(piece)
        if len(batch) == BATCH_PIECES:
            yield batch
            batch = []
    if batch:
        yield batch


def _pieces(chunks: Iterable[Any], *, copied: bool) -> Iterator[_Piece]:
    """Cut and join chunks into pieces of exactly PIECE_ROWS rows; the last one may be shorter.

    A stream of chunks is copied: its maker may fill the same array again for the next one.
    """
    held: list[_Piece] = []
    num_held = 0
    weighted: bool | None = None
    for positions, weights in chunks:
        rows, loads = (as_numpy(array) for array in check_rows(positions, weights))
        if weighted not in (None, loads is not None):
            raise ValueError("the chunks must all have weights, or none of them")
        weighted = loads is not None
        start = 0
        while start < len(rows):
            stop = min(start + PIECE_ROWS - num_held, len(rows))
            part = rows[start:stop], None if loads is None else loads[start:stop]
            held.append(_copy(part) if copied else part)
            num_held += stop - start
            start = stop
            if num_held == PIECE_ROWS:
                yield _joined(held)
                held, num_held = [], 0
    if held:
        yield _joined(held)


def _joined(held: list[_Piece]) -> _Piece:
    if len(held) == 1:
        return held[0]
    loads = [load for _, load in held if load is not None]
    return np.concatenate([rows for rows, _ in held]), np.concatenate(loads) if loads else None


def _copy(piece: _Piece) -> _Piece:
    rows, loads = piece
    return rows.copy(), None if loads is None else loads.copy()
