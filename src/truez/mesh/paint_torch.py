"""Painting and readout with torch alone: for GPUs, and the reference for the loops of CPUs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.fourier import DIFFERENCES
from truez.mesh.paint_input import Tally, as_tensor, check_rows
from truez.mesh.resamplers import RESAMPLERS, order_of
from truez.support.progress import Progress

#: Rows painted at a time.
TORCH_ROWS = 1 << 22


def paint_torch(
    chunks: Iterable[Any],
    box: Box,
    resampler: str,
    shift: float,
    tally: Tally,
    progress: Progress,
    total: int | None,
    mesh: Tensor,
) -> None:
    """Add all chunks of positions and weights to a mesh (nx, ny, nz or more), where it is."""
    values, device = mesh.view(-1), mesh.device
    for positions, weights in chunks:
        rows, loads = check_rows(positions, weights)
        for start in range(0, len(rows), TORCH_ROWS):
            here = slice(start, start + TORCH_ROWS)
            block = as_tensor(rows[here]).to(device)
            w = None if loads is None else as_tensor(loads[here]).to(device)
            nodes, w = _nodes(block, w, box, resampler, shift, tally, mesh.shape[2])
            if tally.good:
                for index, share in nodes:
                    values.index_add_(0, index, share if w is None else share * w)
            progress("painting", tally.rows, total)


def read_torch(mesh: Tensor, box: Box, positions: Any, resampler: str, tally: Tally) -> Tensor:
    """Interpolate a mesh, where it is, at positions (n, 3), shape (n,)."""
    rows, _ = check_rows(positions, None)
    values = mesh.reshape(-1)
    out = torch.empty(len(rows), device=values.device)
    for start in range(0, len(rows), TORCH_ROWS):
        block = as_tensor(rows[start : start + TORCH_ROWS]).to(values.device)
        nodes, _ = _nodes(block, None, box, resampler, 0.0, tally, mesh.shape[2])
        if tally.good:
            total = torch.zeros(len(block), device=values.device)
            for index, share in nodes:
                total += values[index] * share
            out[start : start + len(block)] = total
    return out


def add_gradient_torch(
    mesh: Tensor,
    box: Box,
    positions: Tensor,
    resampler: str,
    factor: float,
    tally: Tally,
    out: Tensor,
) -> None:
    """Add a multiple of the gradient of a periodic mesh at positions to ``out``, where it is."""
    for axis, cell in enumerate(box.cellsize):
        slope = torch.zeros(box.meshsize, device=mesh.device)
        for step, weight in enumerate(DIFFERENCES, 1):
            slope.add_(mesh.roll(-step, axis), alpha=weight * factor / cell)
            slope.sub_(mesh.roll(step, axis), alpha=weight * factor / cell)
        out[:, axis].add_(read_torch(slope, box, positions, resampler, tally))


def _nodes(
    rows: Tensor,
    weights: Tensor | None,
    box: Box,
    resampler: str,
    shift: float,
    tally: Tally,
    stride: int,
) -> tuple[Iterator[tuple[Tensor, Tensor]], Tensor | None]:
    """Flat index and share of every node of the rows that are kept, and the weights of those.

    ``stride`` is the length of a row of the mesh, nz or more.
    """
    finite = rows.isfinite().all(dim=1)
    lower, upper, low, high = (rows.new_tensor(face) for face in tally.bounds(box))
    inside = finite & ((rows >= lower) & (rows <= upper)).all(dim=1)
    beyond = inside & ((rows < low) | (rows > high)).any(dim=1)
    counts = [int(inside.sum()), int((~finite).sum()), int((finite & ~inside).sum()), 0, 0]
    counts.append(int(beyond.sum()))
    if counts[0] < len(rows):
        counts[3] = int((~finite).byte().argmax())
        counts[4] = int((finite & ~inside).byte().argmax())
        rows = rows[inside]
        weights = None if weights is None else weights[inside]
    double = torch.float32 if rows.device.type == "mps" else torch.float64  # mps has no doubles
    sums = None if weights is None else [float((weights.to(double) ** p).sum()) for p in (1, 2)]
    tally.add(len(inside), counts, sums)
    order = order_of(resampler)
    axes = []
    for axis, n in enumerate(box.meshsize):
        g = (rows[:, axis].to(double) - box.lower[axis]) * n / box.boxsize[axis]
        g = g.remainder(n) if box.periodic else g.clamp(0, n)
        g += shift - (order - 1) / 2
        first = g.floor()
        shares = RESAMPLERS[resampler](g - first)
        cells = [first.long() + node for node in range(order)]
        cells = [c.remainder(n) if box.periodic else c.clamp(0, n - 1) for c in cells]
        axes.append([(c, share.float()) for c, share in zip(cells, shares, strict=True)])
    ny = box.meshsize[1]
    return (
        ((ix * ny + iy) * stride + iz, wx * wy * wz)
        for (ix, wx), (iy, wy), (iz, wz) in itertools.product(*axes)
    ), weights
