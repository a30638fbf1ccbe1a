"""The paper's correction of large scales (arXiv:2504.06309, Eq. 5).

A network that was trained on cubes of 200 Mpc/h does not know longer waves. The paper scales the
modes ``k < k_cut = 0.031 h/Mpc`` of its estimate by a transfer function that it takes from two
spectra that can be observed, of the spectroscopic survey and of the estimate itself, both over the
whole test slab:

    delta'(x) = FFT^-1 { T_f FFT{delta} }     T_f = (1 / N_k) sum_k P_spec(k) / P_model(k)

with the sum over the N_k bins above k_cut. What the printed text leaves open is a setting here:

- ``transfer``: ``constant`` is the mean ratio as printed. It also imprints the survey's larger bias
  and its shot noise. ``normalised`` divides the ratio at each ``k < k_cut`` by that mean, so that a
  constant bias drops out and only the shape of the survey's spectrum is taken over.
- ``amplitude``: ``root`` scales amplitudes by the square root of the ratio of powers, which scales
  the power by the ratio; ``power`` scales amplitudes by the ratio itself, if no root is meant.
- ``mode``: ``global`` takes the modes of the whole slab. ``per-box`` takes those of each sub-box,
  as the paper does; a cube of 200 Mpc/h has no mode between 0 and 2 pi / 200 = 0.0314 > k_cut, so
  there it changes nothing but the mean of each cube.
- whether the survey's shot noise is taken from its spectrum, and where the band ends above k_cut.

``k < k_cut`` is meant strictly, and k = 0, the mean of a field, is below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import Field as Setting
from pydantic import model_validator
from torch import Tensor

from truez.mesh.box import Box, Mesh
from truez.mesh.field import Field
from truez.mesh.fourier import hermitian_weights, irfft, rfft, wavevectors
from truez.statistics.binning import Floats, squared_edges
from truez.statistics.power import power
from truez.statistics.results import Counts, Result
from truez.support.settings import Settings


class CorrectionConfig(Settings):
    """How Eq. 5 is read; see `truez.experiments.paper.correction`.

    Modes below ``k_cut`` are scaled, and the mean is taken over the bins from there to ``k_max``
    [h/Mpc].
    """

    mode: Literal["global", "per-box"] = "global"
    transfer: Literal["constant", "normalised"] = "constant"
    amplitude: Literal["root", "power"] = "root"
    subtract_shotnoise: bool = False
    k_cut: float = Setting(default=0.031, gt=0)
    k_max: float = Setting(default=0.2, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.k_max <= self.k_cut:
            raise ValueError(f"k_max must lie above k_cut = {self.k_cut:g}, not {self.k_max:g}")
        return self


@dataclass(frozen=True, eq=False)
class Transfer(Result):
    """The transfer function T_f, in bins of k of which none reaches across k_cut."""

    #: Bin edges (n + 1,) [h/Mpc]; k_cut is among them.
    edges: Floats
    #: Mean wavenumber of the modes in each bin [h/Mpc]; NaN where there is none.
    k: Floats
    #: Number of modes, a mode and its conjugate counting as two.
    nmodes: Counts
    #: Power of the spectroscopic survey, less ``shotnoise`` [(Mpc/h)^3].
    power_spec: Floats
    #: Power of the estimate [(Mpc/h)^3].
    power_model: Floats
    #: What amplitudes are multiplied with: T_f below k_cut, 1 above.
    factor: Floats
    #: Mean of P_spec / P_model over the bins above k_cut.
    mean_ratio: float
    #: Shot noise that was taken from ``power_spec`` [(Mpc/h)^3]; 0 if none was.
    shotnoise: float
    #: Modes below are scaled [h/Mpc].
    k_cut: float

    @property
    def ratio(self) -> Floats:
        """P_spec / P_model in each bin."""
        ratio: Floats = self.power_spec / self.power_model
        return ratio

    def at(self, k: ArrayLike) -> Floats:
        """The factor of modes of wavenumber ``k`` [h/Mpc]: that of their bin, 1 from k_cut on."""
        # As everywhere, a mode that equals an edge up to rounding lies on it.
        squared = np.asarray(k, dtype=np.float64) ** 2
        index = np.searchsorted(squared_edges(self.edges), squared, side="right") - 1
        factors: Floats = np.append(self.factor, 1.0)[np.minimum(index, len(self.factor))]
        return factors


@dataclass(frozen=True, eq=False)
class Corrected:
    """A corrected field, and what was measured and done to it.

    ``num_modes`` are the modes 0 < k < k_cut of the field, or of each sub-box, a mode and its
    conjugate counting as two. Where it is 0 only the mean was scaled.
    """

    field: Field
    transfer: Transfer
    num_modes: int


def measure_transfer(field: Field, spec: Field, config: CorrectionConfig | None = None) -> Transfer:
    """Measure T_f from the spectra of an estimate and of the spectroscopic survey.

    Both on one box, the stitched slab of the paper. A closed box is transformed as if it were
    repeated, as in `truez.statistics.power`. The ``mode`` of the configuration does not matter
    here.

    Raises
    ------
    ValueError
        If the boxes differ, the mesh does not reach k_max, the band or (for ``normalised``) the
        range below k_cut holds no modes, a spectrum there is not positive, or the shot noise is to
        be subtracted and not known.
    """
    config = CorrectionConfig() if config is None else config
    if spec.box != field.box:
        raise ValueError(f"field and spec must be on the same box, not {field.box} and {spec.box}")
    if config.k_max > field.box.nyquist:
        raise ValueError(
            f"k_max must not lie above the Nyquist wavenumber of the mesh, "
            f"{field.box.nyquist:.4g} h/Mpc, as {config.k_max:g} does"
        )
    edges = _edges(field.box, config)
    model = power(field, edges=edges, ells=(0,))
    survey = power(spec, edges=edges, ells=(0,))
    shotnoise = 0.0
    if config.subtract_shotnoise:
        shotnoise = spec.known_shotnoise("subtract_shotnoise")
    power_spec, power_model = survey.poles[0] - shotnoise, model.poles[0]
    below = edges[1:] <= config.k_cut
    wanted = model.nmodes > 0
    if config.transfer == "constant":
        wanted &= ~below
    if not (wanted & ~below).any():
        raise ValueError(f"no mode of the field lies between k_cut and k_max = {config.k_max:g}")
    if config.transfer == "normalised" and not (wanted & below).any():
        raise ValueError(
            f"the field has no mode with 0 < k < k_cut = {config.k_cut:g} h/Mpc to measure a "
            "normalised transfer from: use a larger box or transfer = 'constant'"
        )
    for name, values in (("spec", power_spec), ("field", power_model)):
        if not (values[wanted] > 0).all():
            less = " less its shot noise" if name == "spec" and shotnoise else ""
            raise ValueError(f"the power of {name}{less} must be positive in every bin up to k_max")
    ratio = power_spec / np.where(power_model > 0, power_model, np.nan)
    mean_ratio = float(ratio[wanted & ~below].mean())
    factor = np.ones(len(below))
    factor[below] = mean_ratio
    if config.transfer == "normalised":
        factor[below] = ratio[below] / mean_ratio
    if config.amplitude == "root":
        factor = np.sqrt(factor)
    return Transfer(
        edges,
        model.k,
        model.nmodes,
        power_spec,
        power_model,
        factor,
        mean_ratio,
        shotnoise,
        config.k_cut,
    )


def correct_large_scales(
    field: Field,
    spec: Field,
    config: CorrectionConfig | None = None,
    *,
    cells: int | Sequence[int] | None = None,
) -> Corrected:
    """Scale the large scales of an estimate by Eq. 5 of the paper.

    The overdensity ``field`` is for ``per-box`` the stitched slab, whose sub-boxes have ``cells``
    cells along each axis, divisors of the mesh.

    Raises
    ------
    ValueError
        As `measure_transfer`, or if the field is no overdensity, or sub-boxes do not fill it.
    """
    config = CorrectionConfig() if config is None else config
    if field.kind != "delta":
        raise ValueError(f"field must be of kind delta, not {field.kind}: use Field.to_delta()")
    side = _sub_box(field.box, config.mode, cells)
    transfer = measure_transfer(field, spec, config)
    values = torch.empty_like(field.values)
    num_modes = 0
    for corner in product(*(range(0, n, c) for n, c in zip(field.box.meshsize, side, strict=True))):
        stop = [a + c for a, c in zip(corner, side, strict=True)]
        part = tuple(slice(a, b) for a, b in zip(corner, stop, strict=True))
        box = field.box.crop(corner, stop)
        values[part], num_modes = _scaled(field.values[part], box, transfer)
    metadata: dict[str, Any] = {
        **field.metadata,
        "correction": {
            **config.model_dump(),
            "cells": list(side),
            "mean_ratio": transfer.mean_ratio,
            "num_modes": num_modes,
        },
    }
    # That of the field before.
    metadata.pop("sigma", None)
    corrected = replace(field, values=values, metadata=metadata, shotnoise=None)
    return Corrected(corrected, transfer, num_modes)


def _edges(box: Box, config: CorrectionConfig) -> Floats:
    """Bins one fundamental wide, as `default_edges`, with an end of a bin at k_cut and at k_max.

    None below k_cut is empty, if there is a mode at all: the last is at least half as wide.
    """
    width = sorted(box.fundamental)[1]
    low = np.arange(1.5, max(config.k_cut / width - 0.5, 0)) * width
    number = max(round((config.k_max - config.k_cut) / width), 1)
    high = np.linspace(config.k_cut, config.k_max, number + 1)
    return np.concatenate([[0.0], low, high])


def _sub_box(box: Box, mode: str, cells: int | Sequence[int] | None) -> Mesh:
    if mode == "global":
        if cells is not None:
            raise ValueError("cells are those of the sub-boxes of mode per-box: leave them out")
        return box.meshsize
    if cells is None:
        raise ValueError("mode per-box needs cells, the cells of a sub-box along each axis")
    sides = [cells] * 3 if isinstance(cells, int) else list(cells)
    if len(sides) != 3 or any(c < 1 or n % c for n, c in zip(box.meshsize, sides, strict=True)):
        mesh = " x ".join(str(n) for n in box.meshsize)
        raise ValueError(f"cells must divide the mesh of {mesh} cells, not {cells!r}")
    return sides[0], sides[1], sides[2]


def _scaled(values: Tensor, box: Box, transfer: Transfer) -> tuple[Tensor, int]:
    """Scale the modes below k_cut; gives also how many there are but k = 0."""
    modes = rfft(values)
    k = [axis.flatten().numpy() for axis in wavevectors(box, dtype=torch.float64)]
    low = [np.flatnonzero(np.abs(axis) < transfer.k_cut) for axis in k]
    x, y, z = (axis[index] for axis, index in zip(k, low, strict=True))
    norm = np.sqrt(x[:, None, None] ** 2 + y[:, None] ** 2 + z**2)
    at = tuple(torch.from_numpy(index).to(modes.device) for index in np.ix_(*low))
    modes[at] *= torch.from_numpy(transfer.at(norm)).to(modes.device, modes.real.dtype)
    inside = (norm > 0) & (norm**2 < squared_edges(np.array([transfer.k_cut]))[0])
    weights = hermitian_weights(box.meshsize[2]).numpy()[low[2]]
    return irfft(modes, box.meshsize), int((inside * weights).sum())
