"""The prior on cells half as wide across the sky, relative to the one on the cells of the mesh.

It is what the spectroscopic survey alone says of the photometric galaxies without a spectrum. The
linear model is that of the mesh. On the sky the equations of the fine mesh are solved by conjugate
gradients that start from the solution on the mesh, interpolated: what is missing are small scales,
for which a few iterations are enough.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from truez.linear.counts import CellCounts
from truez.linear.model import LinearModel
from truez.linear.uneven import FilterSettings, UnevenWiener, uneven_wiener_spec
from truez.mesh.box import Box
from truez.sightlines.fine import SHARE, fine_box, interpolated_across
from truez.sightlines.spec_prior import SpecPrior
from truez.support.notes import Note
from truez.surveys.surveys import Surveys
from truez.training.survey_view import FINER

#: Largest ln of the ratio of both priors, in either direction.
MOST = 4.0


def even_ratio(
    model: LinearModel, surveys: Surveys, *, floor: float, resampler: str
) -> tuple[Tensor, Tensor]:
    """The prior of even surveys, and ln of the fine one over that.

    Parameters
    ----------
    model : LinearModel
    surveys : Surveys
    floor : float
        Lowest intensity of either.
    resampler : {"ngp", "cic", "tsc"}

    Returns
    -------
    prior : Tensor (nx, ny, nz)
        Intensity of photometric galaxies without a spectrum.
    ratio : Tensor (2 nx, 2 ny, nz)
    """
    prior, box = SpecPrior.of(surveys, model, floor=floor, resampler=resampler), surveys.box
    coarse, fine = prior.intensity(box), prior.intensity(fine_box(box, FINER))
    return _ratio(coarse, fine, periodic=box.periodic)


def uneven_ratio(
    model: LinearModel,
    box: Box,
    *,
    coarse: UnevenWiener,
    fine: CellCounts,
    floor: float,
    settings: FilterSettings,
) -> tuple[Tensor, Tensor]:
    """The same for uneven surveys on a closed box.

    Parameters
    ----------
    model : LinearModel
    box : Box
        Of the mesh.
    coarse : UnevenWiener
        Result of `uneven_wiener_spec` on it.
    fine : CellCounts
        Spectroscopic galaxies on the fine cells.
    floor : float
    settings : FilterSettings
        Of the fine mesh.

    Returns
    -------
    prior, ratio : Tensor
        As of `even_ratio`.
    """
    small, start = fine_box(box, FINER), interpolated_across(coarse.spec, FINER, periodic=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Note)  # of few iterations, which are meant
        found = uneven_wiener_spec(model, small, fine, settings=settings, start=start)
    del start
    priors = [one.photo.add(1).clamp_(min=floor) for one in (coarse, found)]
    return _ratio(*priors, periodic=False)


def _ratio(coarse: Tensor, fine: Tensor, *, periodic: bool) -> tuple[Tensor, Tensor]:
    """A prior, and ln of the one on fine cells over it; overwrites ``fine``.

    The power of the ratio that counts is `truez.sightlines.fine.SHARE`, and galaxies that are
    anywhere in a fine cell see its interpolation between the cells: 1/8, 3/4, 1/8 along each axis.
    """
    fine.div_(interpolated_across(coarse, FINER, periodic=periodic)).pow_(SHARE)
    for axis in (0, 1):
        sides = _shifted(fine, axis, -1, periodic).add_(_shifted(fine, axis, 1, periodic))
        fine = fine.mul_(0.75).add_(sides, alpha=0.125)
    return coarse, fine.log_().clamp_(-MOST, MOST)


def _shifted(values: Tensor, axis: int, step: int, periodic: bool) -> Tensor:
    """Of each cell the value of the one ``step`` cells further."""
    if periodic:
        return torch.roll(values, -step, axis)
    num = values.shape[axis]
    return values.index_select(axis, (torch.arange(num) + step).clamp(0, num - 1))
