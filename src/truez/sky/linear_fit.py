"""The linear model of one shell, fitted to the spectra of the spectroscopic survey in its patches.

The spectra are measured in comoving Cartesian boxes: each patch turned so that its middle is on the
last axis. In the stretched coordinates of sky boxes the fit fails where N(z) falls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.cosmology import SPEED_OF_LIGHT
from truez.linear.model import LinearModel
from truez.linear.uneven_fit import FKP_POWER, PatchSpectra, fit_uneven_model, observe_uneven
from truez.mesh.box import Box
from truez.mesh.painting import paint
from truez.mesh.sky_box import SkyBox
from truez.mesh.sphere import unit_vectors
from truez.sky.patch_data import PatchData, near_box
from truez.sky.surveys import SkySurveys
from truez.support.memory import release_memory
from truez.support.progress import Progress, silent
from truez.surveys.photoz import PhotozError

Array = NDArray[np.float64]
#: Room around the galaxies [Mpc/h], points per cell and axis for the expected counts, and cells of
#: the largest mesh.
_ROOM, _POINTS, _CELLS = 12.0, 2, 2**22
#: Galaxies per patch below which its spectra are left out.
_FEWEST = 20


class ObservedPatch(NamedTuple):
    """Weighted spectra of a patch, and the redshifts (n,) of its spectroscopic galaxies."""

    spectra: PatchSpectra
    redshifts: Array


def observe_shell(
    data: Sequence[PatchData],
    *,
    cellsize: float = 4.0,
    fkp_power: float = FKP_POWER,
    progress: Progress = silent,
) -> list[ObservedPatch]:
    """The spectra of the patches of a shell, but those with hardly any galaxies.

    Parameters
    ----------
    data : sequence of PatchData
    cellsize : float
        Of the Cartesian meshes, larger for wide patches [Mpc/h].
    fkp_power : float
        P_0 of the weights [(Mpc/h)^3].
    progress : Progress
    """
    result = []
    for number, one in enumerate(data):
        progress("linear model", number, len(data))
        found = _spectra(one, cellsize, fkp_power)
        if found is not None:
            result.append(found)
        release_memory()
    progress("linear model", len(data), len(data))
    return result


def fit_shell(surveys: SkySurveys, observed: Sequence[ObservedPatch]) -> LinearModel | None:
    """The linear model of a shell; None where there are no spectra.

    Parameters
    ----------
    surveys : SkySurveys
        As a whole.
    observed : sequence of ObservedPatch
        Of its patches: the result of `observe_shell`.

    Raises
    ------
    truez.linear.likelihood.NoFitError
        If no set of positive spectra describes the data.
    """
    if not observed:
        return None
    redshift = float(np.median(np.concatenate([one.redshifts for one in observed])))
    return fit_uneven_model(
        [one.spectra for one in observed],
        error=PhotozError(_error_length(surveys, redshift)),
        cosmology=surveys.cosmology,
        redshift=redshift,
        redshift_space=surveys.redshift_space,
    )


def _error_length(surveys: SkySurveys, redshift: float) -> float:
    """The rms photo-z error at a redshift [Mpc/h]."""
    sigma = surveys.error.width(redshift)
    return surveys.cosmology.distance_error(float(np.sqrt(np.mean(sigma**2))), redshift)


def _spectra(data: PatchData, cellsize: float, fkp_power: float) -> ObservedPatch | None:
    surveys, box = data.surveys, data.box
    if not (data.spec_fraction > 0).any():
        return None
    rows = np.flatnonzero(surveys.spec_usable)
    spec = surveys.spec
    rows = rows[near_box(box, spec.ra[rows], spec.dec[rows])]
    places = box.positions(spec.ra[rows], spec.dec[rows], spec.redshift[rows])
    inside = box.inside(places)
    rows, chi = rows[inside], places[inside, 2]
    if len(rows) < _FEWEST:
        return None
    positions = unit_vectors(spec.ra[rows], spec.dec[rows]) @ box.axes.T * chi[:, None]
    cartesian = _cartesian(data, chi, cellsize)
    expected = _expected(data, cartesian)
    weights = None if surveys.spec_weights is None else surveys.spec_weights[rows]
    counts = paint(positions, cartesian, "cic", weights=weights, outside="drop")
    spectra = observe_uneven(
        spec=counts, spec_expected=_spread(expected), resampler="cic", fkp_power=fkp_power
    )
    return ObservedPatch(spectra, spec.redshift[rows])


def _cartesian(data: PatchData, chi: Array, cellsize: float) -> Box:
    """The comoving box around the observed part of a patch between its galaxies' distances."""
    box = data.box
    i, j = np.nonzero(data.spec_fraction > 0)
    local = _local(box, box.centers(0)[i], box.centers(1)[j])
    ends = np.concatenate([local * chi.min(), local * chi.max()])
    low, high = ends.min(axis=0) - _ROOM, ends.max(axis=0) + _ROOM
    size = high - low
    cell = max(cellsize, (float(np.prod(size)) / _CELLS) ** (1 / 3))
    cells = np.maximum(np.ceil(size / cell), 4).astype(int)
    return Box(cells * cell, cells, low + cells * cell / 2, periodic=False)


def _local(box: SkyBox, x: Array, y: Array) -> Array:
    """Unit vectors, in the axes of the box, of places across the sky."""
    u, v = x / box.chi_ref, y / box.chi_ref
    square = u**2 + v**2
    across = np.sqrt(np.maximum(1 - square / 4, 0))
    return np.stack([u * across, v * across, 1 - square / 2], axis=-1)


def _expected(data: PatchData, cartesian: Box) -> Tensor:
    """Expected spectroscopic galaxies per cell of the comoving box, (nx, ny, nz)."""
    box, density = data.box, data.surveys.spec_nz
    nodes = np.linspace(max(box.lower[2], 0.0), box.upper[2], 4000)
    z = box.cosmology.distances.redshift(nodes)
    solid = data.surveys.spec_footprint.area * math.radians(1) ** 2
    per_length = density(z) * box.cosmology.hubble(z) / (SPEED_OF_LIGHT * box.cosmology.h)
    per_volume = per_length / (solid * np.maximum(nodes, 1e-3) ** 2)
    fraction = np.pad(data.spec_fraction, 1).astype(np.float64)
    part = (np.arange(_POINTS) + 0.5) / _POINTS - 0.5
    axes = [
        (cartesian.centers(axis)[:, None] + part * cartesian.cellsize[axis]).ravel()
        for axis in range(3)
    ]
    result = np.empty(cartesian.meshsize)
    for number in range(cartesian.meshsize[0]):
        x = axes[0][number * _POINTS : (number + 1) * _POINTS]
        points = np.meshgrid(x, axes[1], axes[2], indexing="ij")
        values = _density_at(points, box, fraction, nodes, per_volume)
        shape = (_POINTS, len(axes[1]) // _POINTS, _POINTS, len(axes[2]) // _POINTS, _POINTS)
        result[number] = values.reshape(shape).mean(axis=(0, 2, 4))
    return torch.from_numpy((result * math.prod(cartesian.cellsize)).astype(np.float32))


def _density_at(
    points: Sequence[Array], box: SkyBox, fraction: Array, nodes: Array, per_volume: Array
) -> Array:
    """Expected galaxies per volume at comoving places; ``fraction`` has a rim of zeros."""
    x, y, z = points
    radius = np.sqrt(x * x + y * y + z * z)
    # The projection of `SkyBox.project`, in the axes of the box.
    factor = box.chi_ref * np.sqrt(2 / np.maximum(1 + z / radius, 1e-12)) / radius
    cells = []
    for axis, place in ((0, x), (1, y)):
        cell = np.floor((factor * place - box.lower[axis]) / box.cellsize[axis]) + 1
        cells.append(np.clip(cell, 0, box.meshsize[axis] + 1).astype(np.int64))
    density = fraction[cells[0], cells[1]]
    covered = density > 0
    density[covered] *= np.interp(radius[covered], nodes, per_volume, left=0.0, right=0.0)
    return np.asarray(density)


def _spread(expected: Tensor) -> Tensor:
    """Expected counts shared between cells as those of galaxies painted with CIC are."""
    for axis in range(3):
        around = torch.roll(expected, 1, axis) + torch.roll(expected, -1, axis)
        expected = 0.75 * expected + 0.125 * around
    return expected
