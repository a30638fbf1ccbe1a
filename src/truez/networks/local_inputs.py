"""The inputs of a local column network from surveys with uneven expected counts.

The fields are those of `truez.networks.uneven_inputs`. The conditions change along the line of
sight, as the photo-z error, the redshift and the sides of cells do, and those of the expected
galaxies from cell to cell. Nothing in them is a mean over the survey.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from truez.linear.model import LinearModel
from truez.linear.uneven import DEFAULT, FilterSettings, UnevenWiener
from truez.mesh.box import Box
from truez.networks.column_inputs import log_bias, side_across
from truez.networks.conditions import (
    DENSITY,
    LEAST_PER_CELL,
    local_conditions,
    log_widths,
)
from truez.networks.uneven_inputs import UnevenSamples, uneven_fields
from truez.sightlines.conserve import PhotoClass
from truez.support.progress import Progress, silent


@dataclass(frozen=True, eq=False, kw_only=True)
class SightLine:
    """What changes along the line of sight of a box, besides the expected counts.

    Parameters
    ----------
    sigma : (classes,) or (classes, nz) array
        Width of the photo-z error of each class of photometric galaxies [cells].
    redshift : (nz,) array or float
        Of the cells.
    stretch : (nz,) array or float
        Sides of the cells across the sky over those of the box: on a sky box the distance over that
        of its reference.
    outliers : (nz,) array or float
        Fraction of outliers.
    redshift_space : bool
        Whether true positions include peculiar velocities.
    """

    sigma: ArrayLike
    redshift: ArrayLike
    stretch: ArrayLike = 1.0
    outliers: ArrayLike = 0.0
    redshift_space: bool


@dataclass(frozen=True, eq=False)
class LocalConditions:
    """Conditions of a local network on a mesh.

    Parameters
    ----------
    profiles : Tensor (10, nz)
        See `truez.networks.conditions`; rows 1 and 2 are those of the mean over the sky.
    density : Tensor (2, nx, ny, nz)
        ln of the galaxies that are expected per cell, spectroscopic and photometric.
    """

    profiles: Tensor
    density: Tensor

    @property
    def arguments(self) -> dict[str, Tensor]:
        """Arguments of `ColumnNet.forward` and `variance`, and ``fields`` of `tiled`."""
        return {"conditions": self.profiles[:, None, None], "density": self.density}

    @property
    def values(self) -> Tensor:
        """All of them cell by cell, (10, nx, ny, nz)."""
        result = self.profiles[:, None, None].repeat(1, *self.density.shape[1:3], 1)
        result[DENSITY] = self.density
        return result


@dataclass(frozen=True, eq=False)
class LocalInputs:
    """Fields and conditions for a local column network.

    Parameters
    ----------
    values : Tensor (9, nx, ny, nz)
        The fields of `ColumnNet.inputs`.
    conditions : LocalConditions
    floor_fraction : float
        Share of the cells where galaxies are expected in which the prior is at its floor.
    spec_alone : UnevenWiener
        The filter of the spectroscopic survey.
    """

    values: Tensor
    conditions: LocalConditions
    floor_fraction: float
    spec_alone: UnevenWiener


def local_inputs(
    model: LinearModel,
    box: Box,
    samples: UnevenSamples,
    sight_line: SightLine,
    *,
    floor: float,
    settings: FilterSettings = DEFAULT,
    progress: Progress = silent,
) -> LocalInputs:
    """Fields and conditions of two surveys with uneven expected counts.

    Parameters
    ----------
    model : LinearModel
        As for `truez.linear.uneven.uneven_wiener`.
    box : Box
    samples : UnevenSamples
    sight_line : SightLine
    floor : float
        Lowest intensity of the prior.
    settings : FilterSettings
    progress : Progress
    """
    found = uneven_fields(
        model, box, samples, floor=floor, kind="local", settings=settings, progress=progress
    )
    conditions = uneven_conditions(
        box,
        sight_line,
        expected=(samples.spec.expected, samples.photo_expected),
        class_weights=_class_weights(samples.classes),
        common=samples.common,
        bias=log_bias(model),
    )
    return LocalInputs(found.values, conditions, found.floor_fraction, found.spec_alone)


def uneven_conditions(
    box: Box,
    sight_line: SightLine,
    *,
    expected: tuple[Tensor, Tensor],
    class_weights: ArrayLike = 1.0,
    common: float = 1.0,
    bias: float = 0.0,
) -> LocalConditions:
    """The conditions of a local network where the expected counts are uneven.

    Parameters
    ----------
    box : Box
    sight_line : SightLine
    expected : two Tensors (nx, ny, nz)
        Expected spectroscopic and photometric galaxies per true cell.
    class_weights : (classes, nz) array
        Expected galaxies of the classes of photo-z errors.
    common : float
        Share of the spectroscopic galaxies that are in the photometric sample.
    bias : float
        ln of the bias of the photometric galaxies over that of the spectroscopic ones.
    """
    nz = box.meshsize[2]
    means = [one.expand(box.meshsize).mean((0, 1), dtype=torch.float64).numpy() for one in expected]
    sigma = np.asarray(sight_line.sigma, np.float64)
    sigma = np.broadcast_to(sigma[:, None] if sigma.ndim == 1 else sigma, (len(sigma), nz))
    profiles = local_conditions(
        log_sigma=log_widths(sigma, class_weights),
        per_cell=(means[0], means[1]),
        redshift_space=sight_line.redshift_space,
        outliers=sight_line.outliers,
        sides=(side_across(box) * np.asarray(sight_line.stretch), box.cellsize[2]),
        redshift=sight_line.redshift,
        common=common,
        log_bias=bias,
    )
    density = torch.empty(2, *box.meshsize)
    for row, one in zip(density, expected, strict=True):
        torch.clamp(one.expand(box.meshsize), min=LEAST_PER_CELL, out=row).log_()
    return LocalConditions(profiles, density)


def _class_weights(classes: Sequence[PhotoClass]) -> NDArray[np.float64]:
    """Expected galaxies of classes along the line of sight, (classes, nz)."""
    rows = []
    for one in classes:
        assert one.expected is not None
        kernel = one.kernel
        whole = one.expected.expand(*one.counts.shape[:2], kernel.num_true)
        inner = whole.narrow(2, kernel.true_margin, kernel.num_cells)
        rows.append(inner.sum((0, 1), dtype=torch.float64).numpy())
    return np.stack(rows)
