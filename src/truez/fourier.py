"""Fourier conventions, in one place.

The modes of a field are ``f_k = (1 / N) sum_x f(x) exp(-i k x)``, kept as the half that
`torch.fft.rfftn` gives (the last axis has ``n // 2 + 1`` modes). So ``<|f_k|^2> V`` is the power
spectrum [(Mpc/h)^3], and Parseval reads ``mean f^2 = sum_k w |f_k|^2`` with the Hermitian weights
``w`` below. Wavenumbers are in h/Mpc.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
import torch
from scipy.interpolate import BSpline
from torch import Tensor

from truez.box import Box, Mesh
from truez.resamplers import order_of


def rfft(values: Tensor) -> Tensor:
    """Modes ``f_k`` of a real mesh, shape (nx, ny, nz // 2 + 1)."""
    modes: Tensor = torch.fft.rfftn(values, norm="forward")
    return modes


def irfft(modes: Tensor, meshsize: Mesh) -> Tensor:
    """Real mesh, shape ``meshsize``, of modes ``f_k``; the inverse of `rfft`."""
    values: Tensor = torch.fft.irfftn(modes, s=meshsize, norm="forward")
    return values


def total(values: Tensor) -> float:
    """Sum of a real mesh in float64, without the copy in float64 that torch would make of it."""
    if values.device.type == "cpu":
        return float(np.sum(values.numpy(), dtype=np.float64))
    return float(values.sum(dtype=torch.float64))


def wavevectors(
    box: Box, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Wavenumbers (k_x, k_y, k_z) of the half mesh [h/Mpc], shaped to broadcast.

    The shapes are (nx, 1, 1), (1, ny, 1) and (1, 1, nz // 2 + 1).
    """
    (nx, ny, nz), (cx, cy, cz) = box.meshsize, box.cellsize
    tau = 2 * math.pi
    kx = torch.fft.fftfreq(nx, cx / tau, device=device, dtype=torch.float64)
    ky = torch.fft.fftfreq(ny, cy / tau, device=device, dtype=torch.float64)
    kz = torch.fft.rfftfreq(nz, cz / tau, device=device, dtype=torch.float64)
    return (
        kx.to(dtype).reshape(-1, 1, 1),
        ky.to(dtype).reshape(1, -1, 1),
        kz.to(dtype).reshape(1, 1, -1),
    )


def hermitian_weights(nz: int, *, device: torch.device | str = "cpu") -> Tensor:
    """How many modes of the full mesh each mode of the half mesh stands for, shape (nz//2 + 1,).

    One on the planes k_z = 0 and, for even ``nz``, the Nyquist plane; two elsewhere.
    """
    weights = torch.full((nz // 2 + 1,), 2.0, device=device, dtype=torch.float64)
    weights[0] = 1.0
    if nz % 2 == 0:
        weights[-1] = 1.0
    return weights


def resampler_window(k: Tensor, cellsize: float, resampler: str) -> Tensor:
    """Fourier window of an assignment kernel along one axis, sinc(k cellsize / 2)^order."""
    return torch.sinc(k * (cellsize / (2 * math.pi))) ** order_of(resampler)


def resampler_shot(k: Tensor, cellsize: float, resampler: str) -> Tensor:
    """Aliased power of unit white noise under an assignment kernel, along one axis.

    ``sum_n sinc^(2 order)((k + n 2 pi / cellsize) cellsize / 2)`` (Jing 2005, Eq. 20), which is the
    Fourier series of the kernel's autocorrelation, a cardinal B-spline of degree 2 order - 1.
    """
    order = order_of(resampler)
    spline = BSpline.basis_element(np.arange(2 * order + 1) - order)
    total = torch.full_like(k, float(spline(0)))
    for cells in range(1, order):
        total += 2 * float(spline(cells)) * torch.cos(cells * cellsize * k)
    return total


def smooth(values: Tensor, box: Box, radius: float) -> Tensor:
    """Convolve a mesh with a Gaussian of standard deviation ``radius`` [Mpc/h].

    A periodic box wraps. A closed box is mirrored at its faces (cosine transform), so that the mean
    is kept and nothing crosses from one face to the other. ``values`` is not changed.
    """
    if radius == 0:
        return values
    if not radius > 0:
        raise ValueError(f"radius must not be negative, not {radius!r} Mpc/h")
    if box.periodic:
        modes = rfft(values)
        for k in wavevectors(box, device=values.device):
            modes *= torch.exp(-0.5 * (k * radius) ** 2)
        return irfft(modes, box.meshsize)
    cosines = scipy.fft.dctn(values.cpu().numpy(), type=2, workers=-1)
    for axis in range(3):
        wavenumber = np.pi * np.arange(box.meshsize[axis]) / box.boxsize[axis]
        shape = [1, 1, 1]
        shape[axis] = -1
        cosines *= np.exp(-0.5 * (wavenumber * radius) ** 2).astype(cosines.dtype).reshape(shape)
    result = scipy.fft.idctn(cosines, type=2, workers=-1, overwrite_x=True)
    return torch.from_numpy(result).to(values.device)
