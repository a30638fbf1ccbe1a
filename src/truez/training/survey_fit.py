"""The linear model of a described survey on the sky, from its spectroscopic galaxies.

As in `truez.sky.linear_fit`, their spectra are those of a comoving box around all of them: in the
stretched coordinates of the survey's box no model fits where N(z) falls.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.linear.model import LinearModel
from truez.linear.uneven_fit import fit_uneven_model, observe_uneven
from truez.mesh.box import Box
from truez.mesh.painting import paint
from truez.surveys.photoz import PhotozError
from truez.surveys.uneven import spread_counts
from truez.training.survey_geometry import SurveyGeometry
from truez.training.survey_view import FINER

Array = NDArray[np.float64]
#: Sides of the cells that spectra are measured in [Mpc/h], and the most of them, in wider cells
#: beyond. Those of 4 Mpc/h say nothing of the small scales of the fine prior, which is worse by it.
_CELL, _CELLS = 2.0, 2**23


def fit_spectra(geometry: SurveyGeometry, spec: Array) -> LinearModel:
    """The linear model of the spectroscopic galaxies, for both samples.

    Parameters
    ----------
    geometry : SurveyGeometry
    spec : (n, 3) array
        In the coordinates of its box.

    Raises
    ------
    truez.linear.likelihood.NoFitError
        If no positive spectra describe them.
    """
    box, description = geometry.box, geometry.description
    widest = float(geometry.stretch(np.array([box.upper[2]]))[0])
    size = np.array(box.boxsize) * [widest, widest, 1]
    cell = max(_CELL, (float(np.prod(size)) / _CELLS) ** (1 / 3))
    cells = np.ceil(size / cell).astype(int)
    comoving = Box(cells * cell, cells, box.boxcenter, periodic=False)
    places = spec * np.column_stack([*[geometry.stretch(spec[:, 2])] * 2, np.ones(len(spec))])
    expected = _expected(geometry, comoving, len(spec))
    found = observe_uneven(
        spec=paint(places, comoving, "cic", outside="drop"),
        spec_expected=spread_counts(expected, "cic", comoving),
    )
    redshift = float(np.median(geometry.cosmology.distances.redshift(spec[:, 2])))
    width = rms_width(geometry, redshift)
    return fit_uneven_model(
        [found],
        error=PhotozError(geometry.cosmology.distance_error(width, redshift)),
        cosmology=geometry.cosmology,
        redshift=redshift,
        redshift_space=description.redshift_space,
    )


def rms_width(geometry: SurveyGeometry, redshift: float) -> float:
    """Root mean square of the photo-z errors sigma(z) of all classes at a redshift."""
    error = geometry.description.error
    shares = error.shares(np.array([0.5]))[:, 0]
    middle = float(geometry.edges(0).mean()) if error.absolute else redshift
    return math.sqrt(float(shares @ np.square(error.sigma_z))) * (1 + middle)


def _expected(geometry: SurveyGeometry, comoving: Box, number: int) -> Tensor:
    """Expected spectroscopic galaxies per cell of a comoving box, (nx, ny, nz)."""
    box = geometry.box
    area, share = geometry.completeness
    complete, (spec, _) = np.pad(area * share, 1), geometry.densities()
    part = np.array([0.25, 0.75]) - 0.5
    result = np.empty(comoving.meshsize, np.float32)
    axes = [(comoving.centers(axis)[:, None] + part * comoving.cellsize[axis]) for axis in range(3)]
    for k, along in enumerate(axes[2]):
        total = np.zeros(comoving.meshsize[:2])
        cell = np.floor((along - box.lower[2]) / box.cellsize[2]).astype(int)
        for chi, number_along in zip(along, cell, strict=True):
            if not 0 <= number_along < box.meshsize[2]:
                continue
            scale = geometry.stretch(np.array([chi]))[0]
            rows = [
                np.floor((axes[axis] / scale - box.lower[axis]) * FINER / box.cellsize[axis])
                .astype(int).clip(-1, FINER * box.meshsize[axis]) + 1
                for axis in (0, 1)
            ]  # fmt: skip
            for i in range(2):
                for j in range(2):
                    total += spec[number_along] * complete[np.ix_(rows[0][:, i], rows[1][:, j])]
        result[:, :, k] = total
    return torch.from_numpy(result * np.float32(number / result.sum(dtype=np.float64)))
