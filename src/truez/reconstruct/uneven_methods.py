"""The methods without a network for uneven surveys in a box, and the amplitude of the intensity."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from torch import Tensor

from truez.linear.model import LinearModel
from truez.linear.uneven import UnevenWiener
from truez.linear.uneven_box import field_of, filter_both, filter_spec, fit_surveys
from truez.reconstruct.own_error import error_metadata, error_of
from truez.reconstruct.own_place import found_intensity, moved
from truez.reconstruct.result import Reconstruction
from truez.reconstruct.settings import RedistributionSettings, Run, WienerSettings
from truez.sightlines.amplitude import AMPLITUDE
from truez.sightlines.fine import corrected, fine_box, interpolated_across
from truez.sightlines.fluctuation_model import fluctuations_metadata
from truez.sightlines.in_box import fitted_amplitude
from truez.surveys.surveys import Surveys


def filtered_uneven(
    surveys: Surveys, settings: WienerSettings, run: Run, use: str
) -> Reconstruction:
    """The linear optimum of both surveys or of the spectroscopic one, galaxies counted in cells."""
    surveys, model = _fitted(surveys, settings, run)
    filtered = filter_both if use == "both" else filter_spec
    found = filtered(model, surveys, name=settings.filter, progress=run.progress)
    field = field_of(found, surveys)
    return Reconstruction(
        replace(field, metadata={**field.metadata, "linear_model": model.summary()}),
        surveys=surveys,
    )


def redistribution_uneven(
    surveys: Surveys, settings: RedistributionSettings, run: Run
) -> Reconstruction:
    """Galaxies moved to where the linear optimum of the spectroscopic survey expects them."""
    surveys, model = _fitted(surveys, settings, run)
    found = filter_spec(model, surveys, name=settings.filter, progress=run.progress)
    about = amplitude_of(surveys, found.photo, settings, run)
    number = settings.cells_across(surveys.box)
    if number > 1:
        found = finer_filter(model, surveys, found, number, name=settings.filter, run=run)
    filtered, values = found.about(), found.photo
    del found
    values = values.mul_(about.get("amplitude", 1.0)).add_(1)
    filled = float((values < settings.floor).double().mean())
    values.clamp_(min=settings.floor)
    own = found_intensity(surveys, values, settings, run)
    whole_variance, errors = error_of(surveys, model, own, run, resampler=settings.resampler)
    made = moved(surveys, own, run, resampler=settings.resampler, whole_variance=whole_variance)
    metadata = {
        **made.field.metadata,
        **filtered,
        "linear_model": model.summary(),
        **about,
        **own.about,
        "floor": settings.floor,
        "floor_fraction": filled,
        **error_metadata(made, errors),
        **fluctuations_metadata("redistribution", model),
    }
    field = replace(made.field, metadata=metadata)
    return Reconstruction(field, made.sigma, values, surveys=surveys)


def finer_filter(
    model: LinearModel, surveys: Surveys, found: UnevenWiener, number: int, *, name: str, run: Run
) -> UnevenWiener:
    """What `filter_spec` finds on ``number`` x ``number`` smaller cells across the sky.

    The model is that of the surveys' own cells, and the iterations start from what was ``found`` on
    them.
    """
    start = None
    if name != "local":
        start = interpolated_across(found.spec, number, periodic=surveys.box.periodic)
    return filter_spec(
        model, surveys, name=name, box=fine_box(surveys.box, number), start=start,
        progress=run.progress,
    )  # fmt: skip


def finer_intensity(
    model: LinearModel, surveys: Surveys, found: UnevenWiener, values: Tensor, number: int, *,
    floor: float, run: Run,
) -> Tensor:  # fmt: skip
    """The intensity of a network on smaller cells across the sky, see `truez.sightlines.fine`.

    Parameters
    ----------
    model : LinearModel
    surveys : Surveys
    found : UnevenWiener
        The filter of the spectroscopic survey on their cells.
    values : Tensor (nx, ny, nz)
        Intensity of the network.
    number : int
        Of smaller cells along a side of a cell; the values themselves are returned for 1.
    floor : float
        Of both priors.
    run : Run

    Returns
    -------
    Tensor (number nx, number ny, nz)
    """
    if number == 1:
        return values
    fine = finer_filter(model, surveys, found, number, name="exact", run=run).photo
    prior = found.photo.add(1).clamp_(min=floor)
    fine.add_(1).clamp_(min=floor)
    return corrected(fine, values, prior, periodic=surveys.box.periodic)


def amplitude_of(
    surveys: Surveys, delta: Tensor, settings: RedistributionSettings, run: Run
) -> dict[str, Any]:
    """What is found of the amplitude of the intensity; empty where it is not fitted."""
    if not settings.fit_amplitude:
        return {}
    if run.found is not None:
        return {name: run.found[name] for name in AMPLITUDE}
    found = fitted_amplitude(surveys, delta, floor=settings.floor, progress=run.progress)
    error = None if math.isnan(found.error) else found.error
    return dict(zip(AMPLITUDE, (found.value, error, found.gain), strict=True))


def _fitted(surveys: Surveys, settings: WienerSettings, run: Run) -> tuple[Surveys, LinearModel]:
    """The surveys, with the photo-z error that was fitted, and their linear model."""
    run.progress("linear model", 0, 1, "fitting the observed spectra")
    model = fit_surveys(surveys, fit_sigma=settings.fit_sigma)
    run.progress("linear model", 1, 1)
    if settings.fit_sigma:
        surveys = replace(surveys, error=model.error)
    return surveys, model
