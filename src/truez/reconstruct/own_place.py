"""What the methods that move galaxies share: fine sight lines, pairs, and the field they make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.linear.filter import wiener_unmatched
from truez.linear.model import LinearModel
from truez.mesh.box import Box
from truez.mesh.painting import paint
from truez.reconstruct.settings import OwnPlaceSettings, Run
from truez.sightlines.fine import corrected, fine_box
from truez.sightlines.in_box import redistribute_own
from truez.sightlines.intensity import Intensity
from truez.sightlines.own_place import StrengthFit
from truez.sightlines.pairs import Pairs
from truez.sightlines.posteriors import galaxies_of
from truez.sightlines.redistribution import Redistribution, WholeVariance, redistribute_surveys
from truez.surveys.surveys import Surveys


def unknown_delta(
    spec: NDArray[np.floating[Any]], model: LinearModel, box: Box, *, resampler: str
) -> Tensor:
    """What the spectroscopic survey says of photometric galaxies without a spectrum.

    Parameters
    ----------
    spec : (n, 3) array
        Positions of the spectroscopic galaxies of even surveys [Mpc/h]; of none it says nothing.
    model : LinearModel
    box : Box
        That of the surveys, with any mesh.
    resampler : {"ngp", "cic", "tsc"}

    Returns
    -------
    Tensor (nx, ny, nz)
        See `truez.linear.filter.wiener_unmatched`.
    """
    if not len(spec):
        return torch.zeros(box.meshsize)
    return wiener_unmatched(model, paint(spec, box, resampler).to_delta())


def unknown_prior(
    spec: NDArray[np.floating[Any]], model: LinearModel, box: Box, *, floor: float, resampler: str
) -> Tensor:
    """The intensity max(1 + `unknown_delta`, floor), (nx, ny, nz)."""
    return unknown_delta(spec, model, box, resampler=resampler).add_(1).clamp_(min=floor)


def finer_intensity(
    values: Tensor,
    spec: NDArray[np.floating[Any]],
    model: LinearModel,
    box: Box,
    *,
    settings: OwnPlaceSettings,
    floor: float,
    resampler: str,
) -> Tensor:
    """The intensity of a network on smaller cells across the sky, by `truez.sightlines.fine`.

    Parameters
    ----------
    values : Tensor (nx, ny, nz)
        On the network's cells.
    spec, model, resampler
        As in `unknown_delta`.
    box : Box
        The network's.
    settings : OwnPlaceSettings
        Whose cells they are; ``values`` are returned where these are the network's.
    floor : float
        Of the priors.

    Returns
    -------
    Tensor (k nx, k ny, nz)
    """
    number = settings.cells_across(box)
    if number == 1:
        return values
    fine = unknown_prior(spec, model, fine_box(box, number), floor=floor, resampler=resampler)
    prior = unknown_prior(spec, model, box, floor=floor, resampler=resampler)
    return corrected(fine, values, prior, periodic=box.periodic)


def found_intensity(
    surveys: Surveys, values: Tensor, settings: OwnPlaceSettings, run: Run
) -> tuple[Intensity, dict[str, Any]]:
    """An intensity with the pairs that the photo-z want, and what was found, for the metadata."""
    if not settings.pairs:
        return Intensity(values), {}
    rows = np.flatnonzero(surveys.photo_only())
    run.progress("pairs", 0, 1, "their strength from the photo-z")
    fit = StrengthFit(Pairs(), len(rows))
    fit.add(galaxies_of(surveys, rows, counted=True), values)
    run.progress("pairs", 1, 1)
    return with_strength(values, fit)


def with_strength(values: Tensor, fit: StrengthFit) -> tuple[Intensity, dict[str, Any]]:
    """An intensity with pairs of the strength that a fit finds, and what was found."""
    found = fit.result()
    pairs = replace(fit.pairs, strength=found.value)
    about = {
        "strength": found.value, "radius": pairs.radius, "depth": pairs.depth,
        "strength_error": found.error, "gain": found.gain, "num_galaxies": found.num_galaxies,
    }  # fmt: skip
    return Intensity(values, pairs), {"pairs": about}


def moved(
    surveys: Surveys,
    intensity: Intensity,
    run: Run,
    *,
    resampler: str,
    whole_variance: WholeVariance | None = None,
) -> Redistribution:
    """The photometric galaxies moved by an intensity.

    On the cells of the field, without pairs, galaxies are shared between its sight lines.
    """
    shared = intensity.pairs is None and tuple(intensity.values.shape) == surveys.box.meshsize
    if shared and surveys.even:
        return redistribute_surveys(
            surveys, intensity.values, resampler=resampler, whole_variance=whole_variance,
            progress=run.progress,
        )  # fmt: skip
    return redistribute_own(
        surveys, intensity, resampler=resampler, whole_variance=whole_variance,
        progress=run.progress,
    )  # fmt: skip
