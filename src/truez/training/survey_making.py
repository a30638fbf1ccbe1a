"""Training views of described surveys: observed, painted, fitted and filtered as by a user.

A view is a function of the universe and the description. Of 128 x 128 x 256 cells it takes 5 s of
one core for even surveys, and 20 to 35 s on the sky, most of them for the filter of both surveys.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from truez.linear.counts import CellCounts
from truez.linear.uneven import FilterSettings, uneven_wiener_spec
from truez.mesh.painting import paint
from truez.networks.column_inputs import column_inputs, log_bias
from truez.networks.conditions import local_conditions
from truez.networks.uneven_inputs import uneven_fields
from truez.sightlines.fine import fine_box
from truez.sightlines.redistribution import kernel_of, photo_class
from truez.simulate import Galaxies
from truez.support.progress import Progress, silent
from truez.surveys.photoz import PhotozError
from truez.surveys.surveys import Surveys
from truez.training.fine_prior import even_ratio, uneven_ratio
from truez.training.survey_description import SurveyDescription
from truez.training.survey_fit import fit_spectra
from truez.training.survey_galaxies import (
    ObservedGalaxies,
    error_length,
    observed_survey,
    table_of,
)
from truez.training.survey_geometry import SurveyGeometry
from truez.training.survey_parts import ViewParts
from truez.training.survey_sky import SkyPhoto
from truez.training.survey_view import FINER, SurveyView

#: Lowest intensity of the priors, and mass assignment of the galaxies.
FLOOR, RESAMPLER = 0.05, "cic"
#: Of the filters on the sky, and on their fine cells.
COARSE = FilterSettings(tolerance=3e-3)
START = FilterSettings(tolerance=3e-4)
FINE = FilterSettings(tolerance=3e-4, max_iterations=4)
_STEPS = 6


def make_survey_view(
    galaxies: Galaxies, description: SurveyDescription, *, progress: Progress = silent
) -> SurveyView:
    """The training view of two surveys of a universe.

    Parameters
    ----------
    galaxies : Galaxies
        A periodic universe, whose metadata hold its cosmology.
    description : SurveyDescription
    progress : Progress

    Raises
    ------
    truez.linear.likelihood.NoFitError
        If the spectra of the surveys cannot be fitted: draw others.
    ValueError
        If the universe is too small or has too few galaxies.
    """
    progress("view", 0, _STEPS, "galaxies")
    geometry, seen = observed_survey(galaxies, description)
    common = float((seen.matched >= 0).mean())
    parts = (_sky if geometry.sky else _even)(geometry, seen, common, progress)
    progress("view", _STEPS - 1, _STEPS, "arrays")
    about = {
        "kind": description.name or description.kind,
        "universe": galaxies.metadata.get("seed"),
        "cellsize": list(geometry.box.cellsize),
        "description": description.to_json(),
        "num_spec": len(seen.spec),
        "limits": _limits(geometry, parts, common),
        **parts.about,
    }
    view = replace(parts, about=about).view(geometry.box)
    progress("view", _STEPS, _STEPS)
    return view


def _limits(geometry: SurveyGeometry, parts: ViewParts, common: float) -> dict[str, object]:
    """Properties of the surveys, by the names of `truez.networks.survey_limits.SurveyLimits`."""
    error = geometry.description.error
    volume = np.prod(geometry.box.cellsize) * geometry.stretch(geometry.centers()) ** 2
    z = geometry.redshifts
    growth = 1 + (float(z.mean()) if error.absolute else z)
    width = np.multiply.outer(error.sigma_z, growth * np.ones_like(z))
    ranges = {
        "z_err": width,
        "sigma": geometry.lengths(width),
        "outlier_fraction": np.array([error.assumed]),
    }
    for name, field in (("spec", parts.spec), ("photo", parts.photo)):
        most = field.expand(geometry.box.meshsize).amax((0, 1)).double().numpy() / volume
        ranges[f"{name}_density"] = most
    ranges["overlap"] = np.array([common])
    found: dict[str, object] = {
        name: [float(values.min()), float(values.max())] for name, values in ranges.items()
    }
    space = geometry.description.redshift_space
    return found | {"redshift_space": space, "resampler": RESAMPLER}


def _even(
    geometry: SurveyGeometry, seen: ObservedGalaxies, common: float, progress: Progress
) -> ViewParts:
    """Of even surveys, with the filters in Fourier space."""
    box, error = geometry.box, geometry.description.error
    length = error_length(error, geometry)
    surveys = Surveys(
        photo=seen.observed_at(),
        spec=seen.spec,
        box=box,
        error=PhotozError(length, error.assumed),
        num_both=int((seen.matched >= 0).sum()),
        cosmology=geometry.cosmology,
        redshift=geometry.redshift,
        redshift_space=geometry.description.redshift_space,
        matched=seen.matched,
    )
    kernel = kernel_of(surveys)
    progress("view", 1, _STEPS, "linear model and filters")
    moving = photo_class(surveys, kernel, resampler=RESAMPLER, squares=False)
    found = column_inputs(surveys, floor=FLOOR, resampler=RESAMPLER, galaxies=moving, kind="local")
    progress("view", 4, _STEPS, "fine prior")
    n_photo, n_spec = (len(one) / box.num_cells for one in (seen.photo, seen.spec))
    prior, ratio = even_ratio(found.model, surveys, floor=FLOOR, resampler=RESAMPLER)
    place = np.floor((surveys.photo[:, 2] - box.lower[2]) / box.cellsize[2]).astype(np.int64)
    _, table = table_of(geometry, seen, place + kernel.photo_margin, kernel)
    return ViewParts(
        values=found.values,
        spec=torch.tensor(n_spec),
        photo=torch.tensor(n_photo),
        unknown=torch.tensor(n_photo - common * n_spec),
        conditions=found.conditions[:, None].expand(-1, box.meshsize[2]),
        prior=prior,
        ratio=ratio,
        kernels=kernel.matrix[None],
        shares=np.ones((1, box.meshsize[2])),
        galaxies=table,
        margins=(kernel.photo_margin, kernel.true_margin),
        about={"floor_fraction": found.floor_fraction},
    )


def _sky(
    geometry: SurveyGeometry, seen: ObservedGalaxies, common: float, progress: Progress
) -> ViewParts:
    """Of uneven surveys, with filters by conjugate gradients."""
    box, photo = geometry.box, SkyPhoto(geometry, seen)
    progress("view", 1, _STEPS, "linear model")
    model = fit_spectra(geometry, seen.spec)
    expected = geometry.expected("spec")
    expected = expected.scaled(len(seen.spec) / expected.total)
    cells = CellCounts(paint(seen.spec, box, "ngp").values, expected.values())
    progress("view", 2, _STEPS, "bias of the photometric galaxies")
    alone = uneven_wiener_spec(model, box, cells, common=common, settings=COARSE)
    bias = photo.bias(alone.photo, floor=FLOOR)
    model = model.with_bias(bias)
    alone = uneven_wiener_spec(model, box, cells, settings=START, start=alone.spec)
    progress("view", 3, _STEPS, "filters")
    samples = photo.network_samples(cells, expected, common, RESAMPLER)
    found = uneven_fields(model, box, samples, floor=FLOOR, kind="local", settings=COARSE)
    progress("view", 4, _STEPS, "fine prior")
    fine = CellCounts(paint(seen.spec, fine_box(box, FINER), "ngp").values, expected.fine())
    prior, ratio = uneven_ratio(model, box, coarse=alone, fine=fine, floor=FLOOR, settings=FINE)
    return ViewParts(
        values=found.values,
        spec=cells.expected,
        photo=samples.photo_expected,
        unknown=photo.unknown.values(),
        conditions=local_conditions(
            log_sigma=photo.log_sigma,
            per_cell=(1.0, 1.0),
            redshift_space=geometry.description.redshift_space,
            outliers=geometry.description.error.assumed,
            sides=(box.cellsize[0] * geometry.stretch(geometry.centers()), box.cellsize[2]),
            redshift=geometry.redshifts,
            common=common,
            log_bias=log_bias(model),
        ),
        prior=prior,
        ratio=ratio,
        kernels=photo.kernels,
        shares=photo.shares,
        galaxies=photo.table,
        margins=(geometry.photo_margin, geometry.true_margin),
        about={"floor_fraction": found.floor_fraction, "photo_bias": bias},
    )
