"""What the methods that move galaxies share: pairs, and the field they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from truez.reconstruct.settings import OwnPlaceSettings, Run
from truez.sightlines.amplitude import AMPLITUDE
from truez.sightlines.error_check import CHECKED, noted_error
from truez.sightlines.in_box import redistribute_own
from truez.sightlines.intensity import Intensity
from truez.sightlines.own_place import OwnPlaces, StrengthFit
from truez.sightlines.pairs import Pairs
from truez.sightlines.posteriors import galaxies_of
from truez.sightlines.redistribution import Redistribution, WholeVariance, redistribute_surveys
from truez.surveys.surveys import Surveys

#: What is found once for all parts of a box, by the names of the metadata.
SHARED = ("pairs", *CHECKED, *AMPLITUDE)


class FoundIntensity(NamedTuple):
    """An intensity with its pairs, and what was found of them.

    ``about`` is for the metadata; ``galaxies`` are those that the pairs are of, None without any.
    """

    intensity: Intensity
    about: dict[str, Any]
    galaxies: OwnPlaces | None = None


def found_intensity(
    surveys: Surveys, values: Tensor, settings: OwnPlaceSettings, run: Run
) -> FoundIntensity:
    """An intensity with the pairs that the photo-z want.

    Where there is no galaxy to find their strength from, there are no pairs.
    """
    if not settings.pairs:
        return FoundIntensity(Intensity(values), {})
    if run.found is not None:
        pairs = Pairs.of(run.found)
        about = {} if pairs is None else {"pairs": run.found["pairs"]}
        return FoundIntensity(Intensity(values, pairs), about)
    fit, galaxies = _fit(surveys, values, run)
    if not fit.num_galaxies:
        return FoundIntensity(Intensity(values), {})
    pairs, about = found_pairs(fit)
    return FoundIntensity(Intensity(values, pairs), {"pairs": about}, galaxies)


def error_checked(surveys: Surveys, intensity: Callable[[], Tensor], run: Run) -> dict[str, Any]:
    """Metadata of `truez.sightlines.error_check.noted_error`, for parts of a box of the first.

    ``intensity`` makes that by the spectroscopic survey alone, (nx, ny, nz).
    """
    if run.found is None:
        return noted_error(surveys, intensity())
    return {name: run.found[name] for name in CHECKED if name in run.found}


def strength_of(surveys: Surveys, found: FoundIntensity, run: Run) -> float:
    """The strength of pairs that an error head reads.

    Galaxies are in groups whether or not that is used to move them, so that it is found from the
    photo-z for an intensity without pairs, too; it is 0 without galaxies.
    """
    if found.intensity.pairs is not None:
        return found.intensity.pairs.strength
    fit, _ = _fit(surveys, found.intensity.values, run)
    return fit.result().value if fit.num_galaxies else 0.0


def _fit(surveys: Surveys, values: Tensor, run: Run) -> tuple[StrengthFit, OwnPlaces]:
    rows = np.flatnonzero(surveys.photo_only())
    run.progress("pairs", 0, 1, "their strength from the photo-z")
    fit, galaxies = StrengthFit(Pairs(), len(rows)), galaxies_of(surveys, rows, counted=True)
    fit.add(galaxies, values)
    run.progress("pairs", 1, 1)
    return fit, galaxies


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
    found: FoundIntensity,
    run: Run,
    *,
    resampler: str,
    whole_variance: WholeVariance | None = None,
) -> Redistribution:
    """The photometric galaxies moved by the result of `found_intensity`.

    On the cells of the field, without pairs, galaxies are shared between its sight lines.
    """
    intensity = found.intensity
    shared = intensity.pairs is None and tuple(intensity.values.shape) == surveys.box.meshsize
    if shared and surveys.even:
        return redistribute_surveys(
            surveys, intensity.values, resampler=resampler, whole_variance=whole_variance,
            progress=run.progress,
        )  # fmt: skip
    return redistribute_own(
        surveys, intensity, resampler=resampler, whole_variance=whole_variance,
        galaxies=found.galaxies, progress=run.progress,
    )  # fmt: skip
