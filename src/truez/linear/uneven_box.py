"""The linear optimum of uneven surveys in a box: their cells for the filter, and their model.

Along the line of sight of a closed box whose sample was cut in photo-z, galaxies of beyond the
faces are among the photometric ones. The filter of both surveys then works on a longer box, in
whose cells beyond the faces no spectra are expected and as many photometric galaxies as at the
face.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from truez.linear.counts import CellCounts
from truez.linear.local import check_filter, spec_filter
from truez.linear.model import LinearModel
from truez.linear.uneven import FilterSettings, UnevenWiener, uneven_wiener
from truez.linear.uneven_fit import fit_uneven_model, observe_uneven
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.support.progress import Progress, silent
from truez.surveys.surveys import Surveys
from truez.surveys.uneven import (
    cell_matrix,
    expected_with_margin,
    longer_box,
    spread_counts,
    unknown_counts,
)

#: Standard deviations of the photo-z error that the cells beyond a face reach.
_REACH = 3.0


def fit_surveys(
    surveys: Surveys, *, fit_sigma: bool = False, resampler: str = "cic"
) -> LinearModel:
    """The linear model of uneven surveys in a box, from their FKP-weighted spectra.

    The photometric spectra enter where all galaxies share one photo-z error. Otherwise those of
    the photometric sample are taken to be those of the spectroscopic one.

    Parameters
    ----------
    surveys : Surveys
    fit_sigma : bool
        Fit the width of the photo-z error that all galaxies share.
    resampler : {"ngp", "cic", "tsc"}
        How galaxies are painted for the spectra.

    Raises
    ------
    truez.linear.likelihood.NoFitError
        If no set of positive spectra describes the data.
    ValueError
        If there is no single error to fit.
    """
    shared = surveys.photo_sigma is None
    if fit_sigma and not shared:
        raise ValueError(
            "fit_sigma fits one photo-z error, and these galaxies have their own: leave it out"
        )
    box = surveys.box
    photo = photo_expected = None
    if shared:
        photo = surveys.photo_counts(resampler)
        photo_expected = spread_counts(surveys.photo_expected().values, resampler, box)
    found = observe_uneven(
        spec=surveys.spec_counts(resampler),
        spec_expected=spread_counts(surveys.spec_expected().values, resampler, box),
        photo=photo,
        photo_expected=photo_expected,
        common=common_share(surveys),
        resampler=resampler,
    )
    return fit_uneven_model(
        [found],
        error=surveys.error,
        cosmology=surveys.cosmology,
        redshift=surveys.redshift,
        redshift_space=surveys.redshift_space,
        resampler=resampler,
        fit_sigma=fit_sigma,
    )


def common_share(surveys: Surveys) -> float:
    """Share of the spectroscopic galaxies that are in the photometric sample."""
    return surveys.num_both / len(surveys.spec)


def filter_spec(
    model: LinearModel,
    surveys: Surveys,
    *,
    name: str = "exact",
    box: Box | None = None,
    start: Tensor | None = None,
    progress: Progress = silent,
) -> UnevenWiener:
    """The filter of the spectroscopic survey.

    Parameters
    ----------
    model : LinearModel
    surveys : Surveys
    name : {"exact", "local"}
        As in `truez.linear.local.spec_filter`.
    box : Box, optional
        Theirs, with smaller cells across the sky; their own by default. ``target`` is ``photo``
        then.
    start : Tensor (nx, ny, nz), optional
        A guess of ``spec`` for the exact filter.
    progress : Progress
    """
    given: dict[str, Any] = {}
    if name != "local":
        given = {"progress": progress, "start": start}
    finer = box is not None and box.meshsize != surveys.box.meshsize
    return spec_filter(
        model,
        box if box is not None and finer else surveys.box,
        _spec_cells(surveys, box if finer else None),
        name=name,
        photo_expected=None if finer else surveys.true_expected().values,
        common=common_share(surveys),
        settings=FilterSettings(),
        **given,
    )


def filter_both(
    model: LinearModel, surveys: Surveys, *, name: str = "exact", progress: Progress = silent
) -> UnevenWiener:
    """The filter of both surveys, on the cells of the box.

    Raises
    ------
    ValueError
        If it is not known which galaxies are in both surveys where that is needed.
    """
    check_filter(name, both=True)
    matched = surveys.matched is not None or surveys.num_both == 0
    if not matched and len(surveys.classes) > 1:
        raise ValueError(
            "method wiener needs to know which galaxies are in both surveys where photo-z errors "
            "differ: give match_id in place of overlap, or one sigma_z"
        )
    box, margin = surveys.box, 0
    if not box.periodic and surveys.photo_bounds == "photo-z":
        margin = math.ceil(_REACH * surveys.largest_sigma / box.cellsize[2])
    spec = _spec_cells(surveys)
    longer = CellCounts(_longer(spec.counts, margin), _longer(spec.expected, margin))
    return uneven_wiener(
        model,
        longer_box(box, margin),
        longer,
        _photo_cells(surveys, margin),
        common=common_share(surveys),
        matched=matched,
        progress=progress,
    ).inner(margin)


def _spec_cells(surveys: Surveys, box: Box | None = None) -> CellCounts:
    """The spectroscopic galaxies in cells, those of a box with smaller ones if it is given."""
    expected = surveys.spec_expected().values
    if box is None:
        return CellCounts(surveys.spec_counts().values, expected)
    counts = paint(surveys.spec, box, "ngp", weights=surveys.spec_weights).values
    expected = expected * (surveys.box.num_cells / box.num_cells)
    for axis, number in enumerate(box.meshsize):
        expected = expected.repeat_interleave(number // surveys.box.meshsize[axis], axis)
    return CellCounts(counts, expected)


def _photo_cells(surveys: Surveys, margin: int) -> list[CellCounts]:
    """Photometric galaxies without a known redshift at their photo-z, by classes of errors.

    ``margin`` are the cells of true places beyond the faces.
    """
    box, weights = surveys.box, surveys.photo_weights
    rows = surveys.photo_only() & surveys.photo_inside()
    unknown = expected_with_margin(unknown_counts(surveys), margin)
    result = []
    for number, error in enumerate(surveys.classes):
        own = rows & (surveys.class_of == number)
        counts = paint(
            surveys.photo[own], box, "ngp", weights=None if weights is None else weights[own]
        )
        matrix = cell_matrix(error, box, true_margin=margin)
        share = float(surveys.class_shares[number])
        result.append(CellCounts(counts.values, unknown * share, matrix))
    return result


def _longer(values: Tensor, margin: int) -> Tensor:
    """A mesh with cells of zeros beyond both ends of the line of sight."""
    return values if margin == 0 else torch.nn.functional.pad(values, (margin, margin))


def field_of(found: UnevenWiener, surveys: Surveys) -> Field:
    """The target of a filter as a field of galaxies counted in cells."""
    outside = len(surveys.photo) - int(surveys.photo_inside().sum())
    metadata = {**found.about(), "num_photo_outside": outside}
    return Field(found.target.clone(), surveys.box, "delta", metadata, resampler="ngp")
