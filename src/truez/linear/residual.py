"""Samples of the truth by the linear model: the filtered field and a Gaussian residual.

Given both surveys, each mode of the target is Gaussian with the mean of the Wiener filter and the
variance P_tt (1 - r_opt^2) = P_tt - P_rr. For Gaussian fields with the spectra of the model this is
the posterior itself; of galaxies it has the power, but neither the one-point distribution nor the
phases that gravity makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from truez.linear.filter import padded_box
from truez.linear.modes import OCTANT_MODES, folded, mesh_modes
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import irfft, rfft

if TYPE_CHECKING:
    from truez.linear.model import LinearModel, Use


def residual(
    model: LinearModel, box: Box, generator: np.random.Generator, *, use: Use = "both"
) -> Tensor:
    """A Gaussian field of the power that the filter leaves unexplained, (nx, ny, nz).

    Parameters
    ----------
    model : LinearModel
    box : Box
    generator : numpy Generator
    use : {"both", "spec", "photo"}
        Which surveys are filtered.
    """
    around = padded_box(box, model.error.sigma)
    white = generator.standard_normal(around.meshsize, dtype=np.float32)
    modes = rfft(torch.from_numpy(white))
    rows, columns = (folded(num) for num in around.meshsize[:2])
    cell = around.volume / around.num_cells
    slabs = mesh_modes(around, model.resampler, modes_per_slab=OCTANT_MODES, octant=True)
    for plane, k, k_par, window, shot in slabs:
        spectra = model.spectra(k, k_par, window, shot)
        power = (spectra.tt * (1 - spectra.coherence(use))).clamp(min=0.0)
        # The mean of the target is known.
        octant = torch.where(k > 0, torch.sqrt(power / cell), 0.0).to(torch.float32)
        planes = (rows >= plane.start) & (rows < plane.start + len(k))
        for number in torch.nonzero(planes)[:, 0].tolist():
            modes[number] *= octant[int(rows[number]) - plane.start, columns]
    nx, ny, nz = box.meshsize
    return irfft(modes, around.meshsize)[:nx, :ny, :nz].contiguous()


def residual_samples(
    model: LinearModel, mean: Field, n: int, *, seed: int, use: Use = "both"
) -> Iterator[Field]:
    """Samples of the target: a filtered field plus a `residual` each.

    Parameters
    ----------
    model : LinearModel
    mean : Field
        What ``model.wiener(..., use=use)`` returned.
    n : int
        Number of samples.
    seed : int
        Sample i depends on (seed, i) alone.

    Yields
    ------
    Field
        Of kind delta.

    Raises
    ------
    ValueError
        If ``n`` is below 1.
    """
    if n < 1:
        raise ValueError(f"n must be a whole number of samples >= 1, not {n!r}")
    for number in range(n):
        noise = residual(model, mean.box, np.random.default_rng([seed, number]), use=use)
        yield Field(noise.add_(mean.values), mean.box, "delta", {"sample": number, "seed": seed})
