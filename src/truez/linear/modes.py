"""The modes of a mesh, slab by slab, with what a resampler does to each of them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.fourier import hermitian_weights, resampler_shot, resampler_window, wavevectors

#: A slab: its slice along x, k (slab, ny, nz // 2 + 1) [h/Mpc], and k_par, W^2 and C broadcastable
#: to it, float64. W is `truez.mesh.fourier.resampler_window` and C
#: `truez.mesh.fourier.resampler_shot`, the products over the axes.
Slab = tuple[slice, Tensor, Tensor, Tensor, Tensor]

#: Modes of a slab of an octant.
OCTANT_MODES = 2**18


def mesh_modes(
    box: Box, resampler: str | None, *, modes_per_slab: int = 2**21, octant: bool = False
) -> Iterator[Slab]:
    """Walk the half mesh of modes of a box in slabs along x.

    Parameters
    ----------
    box : Box
    resampler : {"ngp", "cic", "tsc"} or None
        Resampler of the fields; None for fields that are not painted (W = C = 1).
    modes_per_slab : int
        Bounds the memory.
    octant : bool
        Walk one octant alone, the modes (0, ..., nx // 2), (0, ..., ny // 2), (0, ..., nz // 2):
        whatever depends on |k_x|, |k_y| and |k_z| has the same values in the others.

    Yields
    ------
    Slab
    """
    waves = wavevectors(box, dtype=torch.float64)
    if octant:
        nx, ny, _ = box.meshsize
        waves = waves[0][: nx // 2 + 1], waves[1][:, : ny // 2 + 1], waves[2]
    windows: list[Tensor | float] = [1.0, 1.0, 1.0]
    shots: list[Tensor | float] = [1.0, 1.0, 1.0]
    if resampler is not None:
        for axis, k in enumerate(waves):
            windows[axis] = resampler_window(k, box.cellsize[axis], resampler) ** 2
            shots[axis] = resampler_shot(k, box.cellsize[axis], resampler)
    kx, ky, kz = waves
    step = max(1, modes_per_slab // (ky.numel() * kz.numel()))
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    for start in range(0, kx.numel(), step):
        plane = slice(start, start + step)
        k = torch.sqrt(kx[plane] ** 2 + ky**2 + kz**2)
        part = [x[plane] if isinstance(x, Tensor) else x for x in (windows[0], shots[0])]
        window, shot = part[0] * windows[1] * windows[2], part[1] * shots[1] * shots[2]
        yield plane, k, kz, one * window, one * shot


def octant_weights(box: Box, plane: slice) -> Tensor:
    """Modes of the whole mesh that share the |k_x|, |k_y| and |k_z| of each mode of an octant.

    float64, (slab, ny // 2 + 1, nz // 2 + 1) for the slice ``plane`` along x.
    """
    nx, ny, nz = box.meshsize
    x, y = (torch.bincount(folded(num)).to(torch.float64) for num in (nx, ny))
    return x[plane, None, None] * y[:, None] * hermitian_weights(nz)


def folded(num: int) -> Tensor:
    """Index of |k| for each mode of an axis with ``num`` cells, (num,)."""
    modes = torch.arange(num)
    return torch.minimum(modes, num - modes)
