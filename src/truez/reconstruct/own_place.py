"""What the methods that move galaxies share: fine sight lines, pairs, and the field they make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from truez.linear.model import LinearModel
from truez.mesh.box import Box
from truez.mesh.painting import paint
from truez.reconstruct.settings import OwnPlaceSettings, Run
from truez.sightlines.in_box import redistribute_own
from truez.sightlines.intensity import Intensity
from truez.sightlines.own_place import StrengthFit
from truez.sightlines.pairs import Pairs
from truez.sightlines.posteriors import galaxies_of
from truez.sightlines.redistribution import Redistribution, WholeVariance, redistribute_surveys
from truez.surveys.surveys import Surveys


def unknown_delta(surveys: Surveys, model: LinearModel, box: Box, *, resampler: str) -> Tensor:
    """What the spectroscopic survey predicts for photometric galaxies without a spectrum.

    Parameters
    ----------
    surveys : Surveys
        Even ones.
    model : LinearModel
    box : Box
        Theirs, with any mesh.
    resampler : {"ngp", "cic", "tsc"}

    Returns
    -------
    Tensor (nx, ny, nz)
        (w_s - f) s / (1 - f), where f is the share of the photometric galaxies that have a
        spectrum: the filter predicts all of them, and those are known.
    """
    spec = paint(surveys.spec, box, resampler).to_delta()
    delta = model.wiener(spec=spec, photo=spec, use="spec").values
    share = surveys.num_both / len(surveys.photo)
    if share < 1:
        delta = delta.sub_(spec.values, alpha=share).div_(1 - share)
    return delta


def unknown_prior(
    surveys: Surveys, model: LinearModel, box: Box, *, floor: float, resampler: str
) -> Tensor:
    """The intensity max(1 + `unknown_delta`, floor), (nx, ny, nz)."""
    delta = unknown_delta(surveys, model, box, resampler=resampler)
    return delta.add_(1).clamp_(min=floor)


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
    pairs, about = found_pairs(fit)
    return Intensity(values, pairs), {"pairs": about}


def found_pairs(fit: StrengthFit) -> tuple[Pairs, dict[str, Any]]:
    """Pairs of the strength that a fit finds, and what was found, for the metadata."""
    found = fit.result()
    pairs = replace(fit.pairs, strength=found.value)
    about = {
        "strength": found.value, "radius": pairs.radius, "depth": pairs.depth,
        "strength_error": found.error, "gain": found.gain, "num_galaxies": found.num_galaxies,
    }  # fmt: skip
    return pairs, about


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
