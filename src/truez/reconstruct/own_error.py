"""The error of a redistribution in a box: that of unknown redshifts, and that of the intensity.

An error model comes with the package, as the weights of networks do. Surveys that it was not fitted
for have the error given the intensity, and the metadata say why.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from truez.linear.model import LinearModel
from truez.mesh.fourier import total
from truez.networks.box_inputs import box_conditions
from truez.networks.column_inputs import conditions_of
from truez.networks.error_model import served, shipped_error_model
from truez.reconstruct.fit_check import check_survey
from truez.reconstruct.own_place import FoundIntensity, strength_of
from truez.reconstruct.settings import Run
from truez.sightlines.redistribution import Redistribution, WholeVariance
from truez.surveys.surveys import Surveys


def error_of(
    surveys: Surveys, model: LinearModel, own: FoundIntensity, run: Run, *, resampler: str
) -> tuple[WholeVariance | None, dict[str, Any]]:
    """The error model of a redistribution by an intensity, and its metadata.

    The linear model is that of the surveys. The metadata are those of
    `truez.networks.error_model.served`.
    """
    found, about = served(
        shipped_error_model(), lambda header: check_survey(header, surveys, resampler)
    )
    if found is None:
        return None, about
    errors = found
    if surveys.even:
        conditions = {"conditions": conditions_of(surveys, model)}
    else:
        conditions = box_conditions(surveys, model).arguments
    strength = strength_of(surveys, own, run) if errors.head.pairs else 0.0

    def whole_variance(given: Tensor, mean: Tensor) -> Tensor:
        return errors.variance(given, mean, **conditions, strength=strength)

    return whole_variance, about


def error_metadata(made: Redistribution, about: dict[str, Any]) -> dict[str, Any]:
    """The metadata of `error_of`, with the root mean square of the error.

    It is ``sigma`` with an error model, and ``sigma_given_intensity`` without.
    """
    width = math.sqrt(total(made.sigma**2) / made.field.box.num_cells)
    # Without a model it is not the whole error: that of the intensity is unknown.
    name = "sigma" if "error_model" in about else "sigma_given_intensity"
    return {**about, name: width}
