"""Gaussian modes that depend on the seed and on the wave numbers, not on the mesh.

Each mode draws its random number from a hash of the seed and its three integer wave numbers, so
that a seed identifies a universe: a finer mesh on the same box has the same large-scale modes and
adds small-scale ones. The only exceptions are the modes on the Nyquist planes of the coarser mesh,
where ``+n/2`` and ``-n/2`` are the same.

The modes follow `truez.mesh.fourier`: ``<|f_k|^2> V = P(k)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.fourier import wavevectors

#: P(k) [(Mpc/h)^3] of wavenumbers [h/Mpc], one value for each.
PowerSpectrum = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# Odd 64-bit constants, as signed integers: the increment and the two multipliers of SplitMix64
# (Steele, Lea & Flood 2014), the hash that turns a counter into random bits.
_INCREMENT = 0x9E3779B97F4A7C15 - 2**64
_MULTIPLIER_1 = 0xBF58476D1CE4E5B9 - 2**64
_MULTIPLIER_2 = 0x94D049BB133111EB - 2**64

# Modes computed at once: few enough that a dozen passes over them stay in the cache.
_CHUNK = 1 << 17
# Steps of the table of sqrt(P) per unit of ln k; the interpolation error is below 1e-7.
_TABLE_STEPS = 2048


class Pairing(TypedDict, total=False):
    """Variance suppressed and paired universes, see `unit_modes`."""

    fixed: bool
    flip: bool


def unit_modes(
    box: Box,
    seed: int,
    *,
    fixed: bool = False,
    flip: bool = False,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Hermitian modes with ``<|z_k|^2> = 1``, and zero at k = 0.

    Parameters
    ----------
    box : Box
        The box and the mesh of the modes; periodic, or simulated as if it were.
    seed : int
        Seed of the universe.
    fixed : bool
        Give every mode modulus 1, only its phase is random (Angulo & Pontzen 2016).
    flip : bool
        Shift all phases by pi, which exchanges over- and underdensities. The mean of a universe and
        its flip has much less cosmic variance.
    device : torch.device or str
        Device of the modes.

    Returns
    -------
    Tensor (nx, ny, nz // 2 + 1)
        complex64.
    """
    nx, ny, nz = box.meshsize
    half = nz // 2 + 1
    ix, iy = _wave_numbers(nx, device), _wave_numbers(ny, device)
    iz = torch.arange(half, device=device)
    start = torch.tensor(_signed(seed), dtype=torch.int64, device=device)
    # One round of the hash per wave number; only the last runs over the whole mesh.
    rows = _hash(_hash(start) + ix * _INCREMENT)
    lines = _hash(rows.reshape(-1, 1) + iy * _INCREMENT).reshape(-1, 1)
    columns = iz * _INCREMENT
    modes = torch.empty((nx * ny, half), dtype=torch.complex64, device=device)
    step = max(_CHUNK // half, 1)
    for first in range(0, nx * ny, step):
        part = slice(first, first + step)
        modes[part] = _normal(_hash(lines[part] + columns), fixed)
    modes = modes.reshape(nx, ny, half)
    for plane in {0, nz // 2} if nz % 2 == 0 else {0}:
        modes[..., plane] = _hermitian_plane(modes[..., plane], ix, iy, fixed)
    modes[0, 0, 0] = 0
    return modes.neg_() if flip else modes


def gaussian_modes(
    box: Box,
    power: PowerSpectrum,
    seed: int,
    *,
    fixed: bool = False,
    flip: bool = False,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Gaussian modes of an isotropic power spectrum.

    ``truez.mesh.fourier.irfft(modes, box.meshsize)`` is the real field, of zero mean.

    Parameters
    ----------
    box : Box
        The box and its mesh.
    power : callable
        Takes wavenumbers (n,) [h/Mpc] and returns P(k) (n,) [(Mpc/h)^3]; it is tabulated.
    seed, fixed, flip, device
        As in `unit_modes`.

    Returns
    -------
    Tensor (nx, ny, nz // 2 + 1)
        complex64.

    Raises
    ------
    ValueError
        If the power is negative or not finite somewhere.

    Examples
    --------
    >>> from truez import Box, Cosmology, gaussian_modes
    >>> cosmology = Cosmology.of("planck18")
    >>> box = Box(64, cellsize=4)
    >>> gaussian_modes(box, lambda k: cosmology.linear_power(k, 0.6), seed=1).shape
    torch.Size([16, 16, 9])
    """
    modes = unit_modes(box, seed, fixed=fixed, flip=flip, device=device)
    return modes.mul_(amplitudes(box, power, device=device))


def unit_normals(counters: Tensor, seed: int) -> Tensor:
    """Unit normal random numbers, one for each int64 counter; equal counters have equal numbers.

    float32, of the shape of ``counters``.
    """
    start = _hash(torch.tensor(_signed(seed), dtype=torch.int64, device=counters.device))
    # The real part of a complex unit normal has variance 1/2.
    return _normal(_hash(start + counters * _INCREMENT), fixed=False).real * math.sqrt(2)


def amplitudes(box: Box, power: PowerSpectrum, *, device: torch.device | str = "cpu") -> Tensor:
    """Root mean square modulus of each mode, sqrt(P(k) / V), shape (nx, ny, nz // 2 + 1)."""
    kx, ky, kz = wavevectors(box, device=device)
    lowest, highest = min(box.fundamental), math.pi * math.hypot(*(1 / c for c in box.cellsize))
    # The nodes are integer multiples of the step, so that they are the same for every mesh.
    first = math.floor(math.log(lowest) * _TABLE_STEPS) - 1
    last = math.ceil(math.log(highest) * _TABLE_STEPS) + 2
    nodes = np.exp(np.arange(first, last + 1) / _TABLE_STEPS)
    values = np.asarray(power(nodes), dtype=np.float64)
    if values.shape != nodes.shape or not (np.isfinite(values).all() and (values >= 0).all()):
        raise ValueError(
            f"power must return a finite number that is not negative for each k, and does not "
            f"between {nodes[0]:.3g} and {nodes[-1]:.3g} h/Mpc"
        )
    table = torch.from_numpy(np.sqrt(values / box.volume)).to(device, torch.float32)
    slopes = table.diff()
    k_squared = kx**2 + ky**2 + kz**2
    k_squared[0, 0, 0] = lowest**2  # k = 0 has no logarithm; its mode is zero
    result = torch.empty_like(k_squared)
    for row, out in zip(k_squared, result, strict=True):
        place = row.log_().mul_(_TABLE_STEPS / 2).sub_(first)
        index = place.to(torch.int64)
        torch.addcmul(table[index], slopes[index], place.sub_(index), out=out)
    result[0, 0, 0] = 0
    return result


def _signed(seed: int) -> int:
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be a whole number from 0 to 2^64 - 1, not {seed!r}")
    return seed - 2**64 if seed >= 2**63 else seed


def _wave_numbers(n: int, device: torch.device | str) -> Tensor:
    """Integer wave numbers 0, 1, ..., -1 of an axis of ``n`` cells, shape (n,)."""
    number = torch.arange(n, device=device)
    return torch.where(number < (n + 1) // 2, number, number - n)


def _hash(counter: Tensor) -> Tensor:
    """SplitMix64's output function of int64 counters; products wrap modulo 2^64."""
    bits = counter + _INCREMENT
    bits = (bits ^ _shift(bits, 30)).mul_(_MULTIPLIER_1)
    bits = (bits ^ _shift(bits, 27)).mul_(_MULTIPLIER_2)
    return bits ^ _shift(bits, 31)


def _shift(bits: Tensor, by: int) -> Tensor:
    # torch shifts in copies of the sign bit; the mask makes that zeros.
    return (bits >> by).bitwise_and_((1 << (64 - by)) - 1)


def _normal(bits: Tensor, fixed: bool) -> Tensor:
    """Complex unit normals: the upper 32 bits make the modulus, the lower 32 the phase."""
    phase = (bits & 0xFFFFFFFF).to(torch.float32).mul_(2 * math.pi / 2**32)
    if fixed:
        return torch.polar(torch.ones_like(phase), phase)
    # |z|^2 of a complex unit normal is exponential; the half keeps the logarithm finite.
    uniform = _shift(bits, 32).to(torch.float64).add_(0.5).mul_(2.0**-32)
    return torch.polar(uniform.log_().neg_().sqrt_().to(torch.float32), phase)


def _hermitian_plane(plane: Tensor, ix: Tensor, iy: Tensor, fixed: bool) -> Tensor:
    """A plane (nx, ny), which is its own mirror image, made Hermitian.

    Of a mode and its mirror image, the one with the positive first non-zero wave number keeps its
    value, on any mesh. Modes that are their own image become real.
    """
    mirror = plane.flip((0, 1)).roll((1, 1), (0, 1)).conj()
    sign_x, sign_y = _orientation(ix).reshape(-1, 1), _orientation(iy)
    sign = torch.where(sign_x != 0, sign_x, sign_y)
    # The real part of a complex unit normal has variance 1/2.
    real = plane.real.sign() if fixed else plane.real * math.sqrt(2)
    return torch.where(sign > 0, plane, torch.where(sign < 0, mirror, real.to(plane.dtype)))


def _orientation(number: Tensor) -> Tensor:
    """Sign of wave numbers; 0 for zero and the Nyquist one, which are their own negatives."""
    n = len(number)
    return torch.where(2 * number.abs() == n, torch.zeros_like(number), number.sign())
