"""Galaxies of surveys in a box at their own places: the field, and the amplitude of lambda.

Every galaxy has its own p(photo-z | true cell) and lambda at its own place, as on the sky; see
`truez.sightlines.posterior_field`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from truez.sightlines.amplitude import Amplitude, AmplitudeSample, fit_amplitude
from truez.sightlines.intensity import Intensity, check_intensity
from truez.sightlines.own_place import OwnPlaces
from truez.sightlines.posterior_field import posterior_field
from truez.sightlines.posteriors import galaxies_of
from truez.sightlines.redistribution import (
    Redistribution,
    WholeVariance,
    kernel_of,
    within_reach,
)
from truez.support.progress import Progress, silent
from truez.surveys.surveys import Surveys
from truez.surveys.uneven import (
    expected_with_margin,
    longer_box,
    mean_matrix,
    own_likelihood,
    unknown_counts,
)


def redistribute_own(
    surveys: Surveys,
    intensity: Intensity,
    *,
    resampler: str = "cic",
    whole_variance: WholeVariance | None = None,
    galaxies: OwnPlaces | None = None,
    progress: Progress = silent,
) -> Redistribution:
    """Move the photometric galaxies along their sight lines, each by its own posterior.

    Parameters
    ----------
    surveys : Surveys
    intensity : Intensity
        lambda > 0 on the surveys' mesh or a finer one, relative to the expected counts.
    resampler : {"ngp", "cic", "tsc"}
        The field is as if galaxies at their true places had been painted with it.
    whole_variance : function, optional
        As in `truez.sightlines.redistribution.redistribute_surveys`.
    galaxies : OwnPlaces, optional
        Those without a known redshift, as `truez.sightlines.posteriors.galaxies_of` returns them,
        where that is known already.
    progress : Progress

    Returns
    -------
    Redistribution
        The field's metadata hold ``num_matched``, the galaxies that were put at their known place,
        and ``num_photo_outside``, those without a posterior.

    Raises
    ------
    ValueError
        If the intensity is not positive.
    """
    check_intensity(intensity.values, surveys.box)
    rows = np.flatnonzero(surveys.photo_only())
    has = np.zeros(len(surveys.spec), bool) if surveys.matched is None else surveys.matched >= 0
    weights = surveys.photo_weights
    if galaxies is None:
        galaxies = galaxies_of(surveys, rows, counted=intensity.pairs is not None)
    return posterior_field(
        galaxies,
        intensity,
        expected=surveys.true_expected(),
        known=surveys.spec[has],
        weights=None if weights is None else weights[rows],
        known_weights=None
        if weights is None or surveys.matched is None
        else weights[surveys.matched[has]],
        resampler=resampler,
        whole_variance=whole_variance,
        progress=progress,
    )


def fitted_amplitude(
    surveys: Surveys, delta: Tensor, *, floor: float, progress: Progress = silent
) -> Amplitude:
    """The amplitude a of lambda = max(1 + a delta, floor) that the photo-z of a box want.

    Parameters
    ----------
    surveys : Surveys
    delta : Tensor (nx, ny, nz)
        Overdensity from the spectroscopic survey alone.
    floor : float
    progress : Progress

    Raises
    ------
    ValueError
        If no photometric galaxy lies where galaxies are expected.
    """
    margin = kernel_of(surveys).true_margin
    rows = np.flatnonzero(surveys.photo_only())
    rows = rows[within_reach(surveys, rows)]
    expected = expected_with_margin(unknown_counts(surveys), margin)
    if surveys.photo_weights is not None:
        # Galaxies count once in the likelihood, whatever their weights.
        expected = expected * (len(rows) / max(float(surveys.photo_weights[rows].sum()), 1e-300))
    visible = None
    if margin:
        # A sample that was cut in photo-z.
        visible = mean_matrix(surveys, margin).sum(0)
    return fit_amplitude(
        AmplitudeSample(
            box=longer_box(surveys.box, margin),
            positions=surveys.photo[rows],
            likelihood=lambda some: own_likelihood(surveys, rows[some], margin),
            delta=torch.nn.functional.pad(delta, (margin, margin)),
            expected=expected,
            visible=visible,
        ),
        floor=floor,
        progress=progress,
    )
