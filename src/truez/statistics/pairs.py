"""The modes of one or two fields, ready to be multiplied and binned; see `power`."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import resampler_window, rfft, wavevectors
from truez.mesh.resamplers import RESAMPLERS
from truez.statistics.binning import BinSums, Factors, Floats, bin_modes
from truez.support.checks import check_type

# Power of a constant from rounding in float32, relative to its mean squared.
_ROUNDING = 1e-12
# Binary exponent of the sum of a field beyond which its modes are scaled.
_LARGEST_EXPONENT = 60
_REMEDY = "make one with truez.Field(values, box)"


class Pair:
    """The modes of one or two fields, and the factors that convert their products to power."""

    def __init__(
        self,
        box: Box,
        a: Tensor,
        b: Tensor | None,
        scale: float,
        factors: tuple[Factors, Factors] = (None, None),
    ) -> None:
        self.box, self.a, self.b, self.factors = box, a, b, factors
        self.norm: float | Floats = box.volume * scale
        self.products = "auto" if b is None else "cross"
        self.shotnoise: float | None = None if b is None else 0.0

    @classmethod
    def of(
        cls, field: Field, other: Field | None, compensate: bool, *, together: bool = False
    ) -> Pair:
        """Transform one or two fields; ``together``: both auto powers and the cross power."""
        check_type(field, Field, "field", _REMEDY)
        if other is not None:
            check_type(other, Field, "truth" if together else "other", _REMEDY)
        window = _field_window(field, "field") if compensate else None
        if other is None or (other is field and not together):
            modes, scale = field_modes(field, "field")
            pair = cls(field.box, modes, None, scale**2, (window, None))
            pair.shotnoise = field.shotnoise
            return pair
        name = "truth" if together else "other"
        if other.box != field.box:
            raise ValueError(
                f"field and {name} must be on the same box, not {field.box} and {other.box}"
            )
        windows = window, _field_window(other, name) if compensate else None
        a, scale_a = field_modes(field, "field")
        b, scale_b = field_modes(other, name)
        b = b.to(a.device)  # the truth may be on another device
        pair = cls(field.box, a, b, scale_a * scale_b, windows)
        if together:
            pair.products = "all"
            scales = np.array([scale_a**2, scale_b**2, scale_a * scale_b])
            pair.norm = field.box.volume * scales.reshape(3, 1, 1)
        return pair

    def bin(self, first: Floats, second: Floats, coordinates: str, moments: int = 1) -> BinSums:
        """The sums over modes of `bin_modes`, for this pair of fields."""
        return bin_modes(
            self.a,
            self.b,
            self.box,
            first,
            second,
            coordinates=coordinates,
            products=self.products,
            moments=moments,
            factors=self.factors,
        )

    def above_rounding(self, measured: Floats) -> Floats:
        """Set auto powers that are only the rounding of a constant to zero."""
        assert self.b is not None
        cell = self.box.volume / self.box.num_cells
        norms = np.broadcast_to(self.norm, (3, 1, 1)).reshape(3) / self.box.volume
        for row, modes, norm in zip(measured[:2], (self.a, self.b), norms, strict=False):
            level = float(modes[0, 0, 0].real) ** 2 * norm
            row[row < _ROUNDING * level * cell] = 0.0
        return measured


def field_modes(field: Field, name: str) -> tuple[Tensor, float]:
    """Modes of a field, and their factor to those of its overdensity (k = 0 excepted)."""
    return scaled_modes(rfft(field.values), field.kind, name)


def scaled_modes(modes: Tensor, kind: str, name: str) -> tuple[Tensor, float]:
    """As `field_modes`, of the modes of a field of a kind, which may be changed."""
    mean = float(modes[0, 0, 0].real)
    if not math.isfinite(mean):
        raise ValueError(f"{name} must hold finite values only, but some are NaN or infinite")
    if kind == "delta":
        return modes, 1.0
    if mean <= 0:
        raise ValueError(f"the mean of {name}, of kind {kind}, must be positive, not {mean}")
    exponent = math.frexp(mean)[1]
    if abs(exponent) > _LARGEST_EXPONENT:
        # A power of two, so that nothing is rounded: squares of such modes leave float32.
        modes *= 2.0 ** (-exponent)
        mean = math.ldexp(mean, -exponent)
    return modes, 1 / mean


def interlace(modes: Tensor, shifted: Tensor, box: Box) -> None:
    """Average, in place, with the modes of galaxies moved by half a cell along each axis."""
    cells = box.cellsize
    phases = [
        torch.polar(torch.full_like(k, 0.5 if axis == 0 else 1.0), k * (cells[axis] / 2))
        for axis, k in enumerate(wavevectors(box, device=modes.device, dtype=torch.float64))
    ]
    plane = phases[1][0] * phases[2][0]
    for i in range(box.meshsize[0]):
        modes[i] *= 0.5
        modes[i] += shifted[i] * (phases[0][i] * plane).to(modes.dtype)


def inverse_window(box: Box, resampler: str) -> Factors:
    """One over the window of a resampler, along each axis of the half mesh."""
    x, y, z = (
        (1 / resampler_window(k.flatten(), cell, resampler)).numpy()
        for k, cell in zip(wavevectors(box, dtype=torch.float64), box.cellsize, strict=True)
    )
    return x, y, z


def _field_window(field: Field, name: str) -> Factors:
    return window_of(field.box, field.resampler, name)


def window_of(box: Box, resampler: str | None, name: str) -> Factors:
    """One over the window of a field's resampler; a ValueError where that is not known."""
    if resampler not in RESAMPLERS:
        raise ValueError(
            f"compensate needs the resampler of {name} to be one of {', '.join(RESAMPLERS)}, not "
            f"{resampler!r}: painted fields have it, others get it by Field(..., resampler=)"
        )
    return inverse_window(box, resampler)
