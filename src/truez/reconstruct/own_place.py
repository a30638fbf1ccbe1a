"""What the methods that move galaxies share: pairs, and the field they make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from truez.reconstruct.settings import OwnPlaceSettings, Run
from truez.sightlines.in_box import redistribute_own
from truez.sightlines.intensity import Intensity
from truez.sightlines.own_place import StrengthFit
from truez.sightlines.pairs import Pairs
from truez.sightlines.posteriors import galaxies_of
from truez.sightlines.redistribution import Redistribution, WholeVariance, redistribute_surveys
from truez.surveys.surveys import Surveys


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
    """An intensity with pairs of the strength that a fit finds, and what was found.

    Where there was no galaxy to fit, there are no pairs.
    """
    if not fit.num_galaxies:
        return Intensity(values), {}
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
