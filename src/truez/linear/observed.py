"""Auto and cross spectra of the fields of two surveys, as the linear model is fitted to them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from truez.linear.modes import mesh_modes
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import hermitian_weights, rfft


@dataclass(frozen=True)
class ObservedSpectra:
    """Auto and cross spectra of the two surveys in (k_perp, k_par) bins, flattened; float64.

    ``k``, ``k_par``, ``window`` (W^2) and ``shot`` (C) are means over the modes of a bin; ``ss``,
    ``pp`` and ``sp`` are [(Mpc/h)^3] and contain window and shot noise.
    """

    num_modes: Tensor
    k: Tensor
    k_par: Tensor
    window: Tensor
    shot: Tensor
    ss: Tensor
    pp: Tensor
    sp: Tensor


def observe(spec: Field, photo: Field, resampler: str | None = "cic") -> ObservedSpectra:
    """Measure the spectra of a spectroscopic and a photometric overdensity field."""
    return observe_modes(rfft(spec.values), rfft(photo.values), spec.box, resampler)


def observe_modes(
    modes_s: Tensor, modes_p: Tensor, box: Box, resampler: str | None = "cic"
) -> ObservedSpectra:
    """As `observe`, of the modes of both fields, which are read slab by slab.

    Parameters
    ----------
    modes_s, modes_p : Tensor (nx, ny, nz // 2 + 1)
        As of `truez.mesh.fourier.rfft`.
    box : Box
    resampler : {"ngp", "cic", "tsc"} or None
    """
    perp = _bin_edges(max(box.fundamental[:2]), math.pi * math.sqrt(2) / min(box.cellsize[:2]))
    par = _bin_edges(box.fundamental[2], math.pi / box.cellsize[2])
    num = (len(perp) - 1) * (len(par) - 1)
    sums = torch.zeros(8, num, dtype=torch.float64)
    hermitian = hermitian_weights(box.meshsize[2])
    for plane, k, k_par, window, shot in mesh_modes(box, resampler):
        k_perp = torch.sqrt(torch.clamp(k[:, :, :1] ** 2 - k_par[..., :1] ** 2, min=0))
        row = torch.bucketize(k_perp, perp, right=True) - 1
        column = torch.bucketize(k_par.contiguous(), par, right=True) - 1
        index = (row * (len(par) - 1) + column).expand(k.shape).flatten()
        weights = hermitian.expand(k.shape) * (k > 0)
        s, p = (m[plane].cpu().to(torch.complex128) for m in (modes_s, modes_p))
        quantities = (
            torch.ones_like(k), k, k_par, window, shot,
            s.abs() ** 2, p.abs() ** 2, (s * p.conj()).real,
        )  # fmt: skip
        for total, quantity in zip(sums, quantities, strict=True):
            total += torch.bincount(index, (quantity * weights).flatten(), num)
    filled = sums[0] > 0
    counts = sums[0, filled]
    means = sums[1:, filled] / counts
    means[4:] *= box.volume
    return ObservedSpectra(counts, *means)


def _bin_edges(fundamental: float, maximum: float) -> Tensor:
    """One bin for each of the first 16 multiples of the fundamental, then 5% wide ones."""
    edges = [(i - 0.5) * fundamental for i in range(17)]
    while edges[-1] <= maximum:
        edges.append(edges[-1] + max(0.05 * edges[-1], fundamental))
    return torch.tensor(edges, dtype=torch.float64)
