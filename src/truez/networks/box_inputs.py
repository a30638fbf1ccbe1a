"""The inputs of a local column network from two uneven surveys in a box.

Along the line of sight of a closed box whose sample was cut in photo-z, galaxies of beyond the
faces are among the photometric ones, as in `truez.linear.uneven_box`: the fields are those of a
longer box, without its ends.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from truez.linear.counts import CellCounts
from truez.linear.model import LinearModel
from truez.linear.uneven import DEFAULT, FilterSettings
from truez.linear.uneven_box import common_share
from truez.mesh.painting import paint
from truez.networks.column_inputs import log_bias
from truez.networks.local_inputs import (
    LocalConditions,
    LocalInputs,
    SightLine,
    local_inputs,
    uneven_conditions,
)
from truez.networks.uneven_inputs import UnevenSamples
from truez.sightlines.conserve import PhotoClass
from truez.sightlines.kernel import Kernel
from truez.sightlines.paint import paint_columns
from truez.support.progress import Progress, silent
from truez.surveys.surveys import Surveys
from truez.surveys.uneven import cell_matrix, expected_with_margin, longer_box, unknown_counts

#: Standard deviations of the photo-z error that the cells beyond a face reach.
_REACH = 3.0
#: What refuses uneven surveys without matches.
NO_MATCHES = (
    "method columns needs to know which galaxies are in both surveys: give match_id in place of "
    "overlap, or choose method redistribution"
)


def box_inputs(
    model: LinearModel,
    surveys: Surveys,
    *,
    floor: float,
    resampler: str = "cic",
    settings: FilterSettings = DEFAULT,
    progress: Progress = silent,
) -> LocalInputs:
    """Fields and conditions of two uneven surveys in a box.

    Parameters
    ----------
    model : LinearModel
        Such as that of `truez.linear.uneven_box.fit_surveys`.
    surveys : Surveys
    floor : float
        Lowest intensity of the prior.
    resampler : {"ngp", "cic", "tsc"}
        Of the network.
    settings : FilterSettings
    progress : Progress

    Raises
    ------
    ValueError
        If it is not known which galaxies are in both surveys.
    """
    if surveys.matched is None and surveys.num_both > 0:
        raise ValueError(NO_MATCHES)
    box, margin = surveys.box, 0
    if not box.periodic and surveys.photo_bounds == "photo-z":
        margin = math.ceil(_REACH * surveys.largest_sigma / box.cellsize[2])
    found = local_inputs(
        model,
        longer_box(box, margin),
        _samples(surveys, margin, resampler),
        _sight_line(surveys),
        floor=floor,
        settings=settings,
        progress=progress,
    )
    if margin == 0:
        return found
    inner = slice(margin, margin + box.meshsize[2])
    values = found.values[..., inner].contiguous()
    profiles, density = found.conditions.profiles, found.conditions.density
    conditions = LocalConditions(profiles[:, inner], density[..., inner].contiguous())
    return replace(
        found, values=values, conditions=conditions, spec_alone=found.spec_alone.inner(margin)
    )


def box_conditions(surveys: Surveys, model: LinearModel) -> LocalConditions:
    """The conditions of a local network for two surveys in a box, without its fields.

    Parameters
    ----------
    surveys : Surveys
    model : LinearModel
        Of them.
    """
    return uneven_conditions(
        surveys.box,
        _sight_line(surveys),
        expected=(surveys.spec_expected().values, surveys.true_expected().values),
        class_weights=np.asarray(surveys.class_shares)[:, None],
        common=common_share(surveys),
        bias=log_bias(model),
    )


def _sight_line(surveys: Surveys) -> SightLine:
    cell = surveys.box.cellsize[2]
    return SightLine(
        sigma=[error.sigma / cell for error in surveys.classes],
        redshift=surveys.redshift,
        outliers=surveys.error.outlier_fraction,
        redshift_space=surveys.redshift_space,
    )


def _samples(surveys: Surveys, margin: int, resampler: str) -> UnevenSamples:
    """The surveys on a box with ``margin`` cells more at both ends of the line of sight."""
    box = surveys.box
    spec = CellCounts(
        _longer(surveys.spec_counts().values, margin),
        _longer(surveys.spec_expected().values, margin),
    )
    unknown = expected_with_margin(unknown_counts(surveys), margin)
    rows = surveys.photo_only() & surveys.photo_inside()
    weights, counted, spread = surveys.photo_weights, [], []
    for number, error in enumerate(surveys.classes):
        own = rows & (surveys.class_of == number)
        share = None if weights is None else weights[own]
        expected = unknown * float(surveys.class_shares[number])
        matrix = cell_matrix(error, box, true_margin=margin)
        cells = paint(surveys.photo[own], box, "ngp", weights=share).values
        counted.append(CellCounts(cells, expected, matrix))
        lines = paint_columns(surveys.photo[own], box, resampler, weights=share).values
        spread.append(PhotoClass(lines, Kernel(matrix), expected=expected))
    return UnevenSamples(
        spec=spec,
        photo=counted,
        spec_delta=_longer(surveys.spec_field(resampler).values, margin),
        photo_delta=_longer(surveys.photo_field(resampler).values, margin),
        classes=spread,
        photo_expected=expected_with_margin(surveys.true_expected().values, margin),
        common=common_share(surveys),
    )


def _longer(values: Tensor, margin: int) -> Tensor:
    """A mesh with cells of zeros beyond both ends of the line of sight."""
    return values if margin == 0 else torch.nn.functional.pad(values, (margin, margin))
