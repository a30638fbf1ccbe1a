"""The parts of a training view that even surveys and those on the sky make in their own ways."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.linear.model import LinearModel
from truez.sightlines.conserve import PhotoClass, information
from truez.sightlines.kernel import Kernel
from truez.sightlines.redistribution import with_margin
from truez.surveys.uneven import expected_with_margin
from truez.training.fine_prior import interpolated_across
from truez.training.survey_geometry import SurveyGeometry
from truez.training.survey_view import FINER, SurveyView

Array = NDArray[np.float64]
#: Length that conditions compare the sides of cells with [Mpc/h], and k that those of the bias
#: average over [h/Mpc].
_SIDE, _BAND = 2.0, (0.1, 0.3)
#: Least expected galaxies per cell, and width of a photo-z error in cells, in the conditions.
_FEWEST, _NARROW = 1e-6, 0.1
#: Overdensities are cut at this one, so that half precision holds them.
_LARGEST = 6e4
#: One row of fine sight lines in so many is used for the nats of the priors.
_EVERY = 16


@dataclass(frozen=True, eq=False, kw_only=True)
class ViewParts:
    """What a view is made of.

    Parameters
    ----------
    values : Tensor (9, nx, ny, nz)
        Input fields.
    spec, photo : Tensor, broadcastable to (nx, ny, nz)
        Expected galaxies per cell of both samples.
    unknown : Tensor, broadcastable to (nx, ny, nz)
        Of the photometric ones without a spectrum.
    log_sigma : array (nz,)
        Mean ln of the photo-z errors [Mpc/h].
    prior : Tensor (nx, ny, nz)
        Intensity that the spectroscopic survey predicts for galaxies without a spectrum.
    ratio : Tensor (2 nx, 2 ny, nz)
        ln of that on fine cells over that interpolated to them.
    kernels : Tensor (classes, num_photo, num_true)
    shares : array (classes, nz)
    galaxies : int array (n, 5)
        As of `SurveyView`.
    model : LinearModel
    about : dict
        Further plain values for the view.
    """

    values: Tensor
    spec: Tensor
    photo: Tensor
    unknown: Tensor
    log_sigma: Array
    prior: Tensor
    ratio: Tensor
    kernels: Tensor
    shares: Array
    galaxies: NDArray[np.int64]
    model: LinearModel
    margins: tuple[int, int]
    about: dict[str, Any]

    def view(self, geometry: SurveyGeometry, common: float) -> SurveyView:
        """The training view."""
        mesh, (photo_margin, true_margin) = geometry.box.meshsize, self.margins
        density = torch.stack([
            one.expand(mesh).clamp(min=_FEWEST).log() for one in (self.spec, self.photo)
        ])  # fmt: skip
        result = SurveyView(
            fields=self.values.clamp(-_LARGEST, _LARGEST).half().numpy(),
            density=density.half().numpy(),
            profiles=self._profiles(geometry, common).astype(np.float32),
            ratio=self.ratio.half().numpy(),
            unknown=self.unknown.expand(mesh).half().contiguous().numpy(),
            shares=self.shares.astype(np.float32),
            kernels=self.kernels.numpy(),
            galaxies=self.galaxies.astype(np.int16),
            periodic=geometry.box.periodic,
            photo_margin=photo_margin,
            true_margin=true_margin,
            about=self.about,
        )
        fine = interpolated_across(self.prior, periodic=result.periodic)
        nats = {"coarse": prior_nats(result, fine)}
        nats["fine"] = prior_nats(result, fine.mul_(self.ratio.exp()))
        result.about["prior_nats"] = nats
        return result

    def _profiles(self, geometry: SurveyGeometry, common: float) -> Array:
        """Conditions along the line of sight, (10, nz)."""
        one, box = geometry.description, geometry.box
        across, _, along = box.cellsize
        chi = geometry.centers()
        zero = np.zeros(box.meshsize[2])
        return np.stack([
            np.maximum(self.log_sigma - math.log(along), math.log(_NARROW)),
            zero,
            zero,
            zero + float(one.redshift_space),
            zero + one.error.told,
            np.log(across / _SIDE * geometry.stretch(chi)),
            zero + math.log(along / _SIDE),
            geometry.redshifts,
            zero + common,
            zero + relative_bias(self.model),
        ])  # fmt: skip


def relative_bias(model: LinearModel) -> float:
    """ln of the bias of the photometric galaxies over that of those with spectra."""
    k = np.exp(model.log_k)
    band = (k >= _BAND[0]) & (k <= _BAND[1])
    return float(np.mean((np.array(model.log_photo) - np.array(model.log_spec))[band]) / 2)


def prior_nats(view: SurveyView, intensity: Tensor) -> float:
    """Information per galaxy that an intensity on fine cells (2 nx, 2 ny, nz) gains [nats].

    Of one row of fine cells in some.
    """
    nx, _, nz = view.mesh
    rows = np.arange(0, FINER * nx, min(_EVERY, FINER * nx))
    matrices = torch.from_numpy(np.ascontiguousarray(view.kernels))
    shares = torch.from_numpy(view.shares)
    total, number = 0.0, 0
    for row in rows:
        here = view.galaxies[view.galaxies[:, 0] == row].astype(np.int64)
        unknown = torch.from_numpy(view.unknown[row // FINER].astype(np.float32))
        unknown = unknown.repeat_interleave(FINER, 0) * shares[:, None, :]
        mean = with_margin(intensity[row], view.true_margin)
        classes = []
        for one, matrix in enumerate(matrices):
            own = here[here[:, 4] == one]
            kernel = Kernel(matrix, view.photo_margin, view.true_margin, view.periodic)
            classes.append(
                PhotoClass(
                    counts=_counted(own[:, 1], own[:, 2], len(mean), kernel.num_photo),
                    kernel=kernel,
                    expected=expected_with_margin(unknown[one, None], view.true_margin)[0],
                    true_counts=_counted(own[:, 1], own[:, 3], len(mean), kernel.num_true),
                )
            )
        total += float(information(mean, classes))
        number += len(here)
    return total / max(number, 1)


def _counted(lines: NDArray[np.int64], cells: NDArray[np.int64], num: int, size: int) -> Tensor:
    counts = np.bincount(lines * size + cells, minlength=num * size)
    return torch.from_numpy(counts.reshape(num, size).astype(np.float32))
