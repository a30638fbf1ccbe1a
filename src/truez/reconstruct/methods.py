"""The methods without a network: linear filters and the redistribution."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from truez.linear.fit import fit_linear_model
from truez.linear.local import check_filter
from truez.linear.model import LinearModel, Use
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import total
from truez.reconstruct.own_error import error_metadata, error_of
from truez.reconstruct.own_place import error_checked, found_intensity, moved
from truez.reconstruct.result import Reconstruction
from truez.reconstruct.settings import (
    RedistributionMedianSettings,
    RedistributionSettings,
    Run,
    WienerSettings,
)
from truez.reconstruct.uneven_methods import (
    amplitude_of,
    filtered_uneven,
    redistribution_uneven,
)
from truez.sightlines.fine import fine_box
from truez.sightlines.fluctuation_model import fluctuations_metadata
from truez.sightlines.intensity import Intensity
from truez.sightlines.median import median_of_draws
from truez.sightlines.spec_prior import SpecPrior
from truez.surveys.surveys import Surveys


def wiener(surveys: Surveys, settings: WienerSettings, run: Run) -> Reconstruction:
    """The linear optimum of both surveys."""
    return _filtered(surveys, settings, run, "both")


def check_both(_box: Box, settings: WienerSettings, _run: Run) -> None:
    """Refuse a filter that is of one survey."""
    check_filter(settings.filter, both=True)


def wiener_spec(surveys: Surveys, settings: WienerSettings, run: Run) -> Reconstruction:
    """The linear optimum of the spectroscopic survey alone."""
    return _filtered(surveys, settings, run, "spec")


def wiener_photo(surveys: Surveys, settings: WienerSettings, run: Run) -> Reconstruction:
    """The linear optimum of the photometric survey alone."""
    return _filtered(surveys, settings, run, "photo")


def _filtered(surveys: Surveys, settings: WienerSettings, run: Run, use: Use) -> Reconstruction:
    if not surveys.even:
        return filtered_uneven(surveys, settings, run, use)
    run.progress("wiener", 0, 4, "painting")
    resampler = settings.resampler
    spec, photo = surveys.spec_field(resampler), surveys.photo_field(resampler)
    run.progress("wiener", 1, 4, "fitting the observed spectra")
    model = _model(surveys, (spec, photo), settings, run)
    run.progress("wiener", 2, 4, "filtering")
    field = model.wiener(spec=spec, photo=photo, use=use, part=surveys.whole is not None)
    run.progress("wiener", 3, 4, "error of the estimate")
    metadata = {
        "linear_model": model.summary(),
        "sigma": model.sigma(surveys.box, use),
        "num_photo_outside": photo.metadata["num_outside"],
    }
    run.progress("wiener", 4, 4)
    return Reconstruction(replace(field, metadata=metadata))


def redistribution(surveys: Surveys, settings: RedistributionSettings, run: Run) -> Reconstruction:
    """Galaxies moved to where the linear optimum of the spectroscopic survey expects them."""
    if not surveys.even:
        return redistribution_uneven(surveys, settings, run)
    run.progress("wiener", 0, 3, "fitting the observed spectra")
    model = _model(surveys, None, settings, run)
    run.progress("wiener", 2, 3, "filtering")
    if settings.fit_sigma:
        surveys = replace(surveys, error=model.error)
    resampler, box = settings.resampler, surveys.box
    # Of the spectroscopic survey alone: a galaxy's own photo-z must not count twice.
    prior = SpecPrior.of(surveys, model, floor=settings.floor, resampler=resampler)
    about: dict[str, Any] = {}
    if settings.fit_amplitude:
        about = amplitude_of(surveys, prior.delta(box), settings, run)
    values = (
        prior.delta(fine_box(box, settings.cells_across(box)))
        .mul_(about.get("amplitude", 1.0))
        .add_(1)
    )
    filled = float((values < settings.floor).double().mean())
    values.clamp_(min=settings.floor)
    run.progress("wiener", 3, 3)
    checked = error_checked(surveys, lambda: Intensity(values).on_mesh(box), run)
    found = found_intensity(surveys, values, settings, run)
    whole_variance, errors = error_of(surveys, model, found, run, resampler=resampler)
    made = moved(surveys, found, run, resampler=resampler, whole_variance=whole_variance)
    metadata = {
        **made.field.metadata,
        "linear_model": model.summary(),
        **about,
        **found.about,
        **checked,
        "floor": settings.floor,
        "floor_fraction": filled,
        **error_metadata(made, errors),
        **fluctuations_metadata("redistribution", model),
    }
    field = replace(made.field, metadata=metadata)
    return Reconstruction(field, made.sigma, values, surveys=surveys)


def _model(
    surveys: Surveys, fields: tuple[Field, Field] | None, settings: WienerSettings, run: Run
) -> LinearModel:
    """The linear model of the surveys, or of the box that they are a part of."""
    if run.shared is not None:
        return run.shared.model
    resampler = settings.resampler
    spec, photo = fields or (surveys.spec_field(resampler), surveys.photo_field(resampler))
    return fit_linear_model(
        spec=spec, photo=photo, surveys=surveys, resampler=resampler, fit_sigma=settings.fit_sigma
    )


def redistribution_median(
    surveys: Surveys, settings: RedistributionMedianSettings, run: Run
) -> Reconstruction:
    """The median over catalogues drawn from the posteriors of the redistribution."""
    return median_of(redistribution(surveys, settings, run), surveys, settings, run)


def median_of(made: Reconstruction, surveys: Surveys, settings: Any, run: Run) -> Reconstruction:
    """The median, cell by cell, of catalogues drawn from the posteriors of a reconstruction."""
    assert made.intensity is not None
    surveys = made.surveys or surveys  # with the photo-z error of a fit
    rng = np.random.default_rng(settings.seed)
    field = median_of_draws(
        surveys,
        Intensity.of(made, surveys.box),
        settings.draws,
        rng,
        resampler=settings.resampler,
        progress=run.progress,
    )
    without = {"sigma", "sigma_given_intensity", "error_model", "error_model_left_out"}
    metadata = {name: x for name, x in made.metadata.items() if name not in without}
    metadata |= {"draws": settings.draws, "seed": settings.seed,
                 "mean": total(field.values) / field.box.num_cells}  # fmt: skip
    return Reconstruction(
        replace(field, metadata=metadata), intensity=made.intensity, surveys=surveys
    )
