"""The parts of a training view that even surveys and those on the sky make in their own ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.networks.conditions import LEAST_PER_CELL
from truez.sightlines.conserve import PhotoClass, information
from truez.sightlines.fine import interpolated_across
from truez.sightlines.kernel import Kernel
from truez.sightlines.redistribution import with_margin
from truez.surveys.uneven import expected_with_margin
from truez.training.survey_view import FINER, SurveyView

Array = NDArray[np.float64]
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
    conditions : Tensor (10, nz)
        `truez.networks.conditions` along a sight line; those of the galaxies per cell are not used.
    prior : Tensor (nx, ny, nz)
        Intensity that the spectroscopic survey predicts for galaxies without a spectrum.
    ratio : Tensor (2 nx, 2 ny, nz)
        ln of that on fine cells over that interpolated to them.
    kernels : Tensor (classes, num_photo, num_true)
    shares : array (classes, nz)
    galaxies : int array (n, 5)
        As of `SurveyView`.
    margins : two ints
        Cells of photo-z and of true places beyond the ends.
    about : dict
        Further plain values for the view.
    """

    values: Tensor
    spec: Tensor
    photo: Tensor
    unknown: Tensor
    conditions: Tensor
    prior: Tensor
    ratio: Tensor
    kernels: Tensor
    shares: Array
    galaxies: NDArray[np.int64]
    margins: tuple[int, int]
    about: dict[str, Any]

    def view(self, box: Box) -> SurveyView:
        """The training view.

        Its ``about`` has the nats per galaxy of the prior, of the fine one, and of one halfway
        between their logarithms.
        """
        mesh, (photo_margin, true_margin) = box.meshsize, self.margins
        density = torch.stack([
            one.expand(mesh).clamp(min=LEAST_PER_CELL).log() for one in (self.spec, self.photo)
        ])  # fmt: skip
        result = SurveyView(
            fields=self.values.clamp(-_LARGEST, _LARGEST).half().numpy(),
            density=density.half().numpy(),
            profiles=self.conditions.float().numpy(),
            ratio=self.ratio.half().numpy(),
            unknown=self.unknown.expand(mesh).half().contiguous().numpy(),
            shares=self.shares.astype(np.float32),
            kernels=self.kernels.numpy(),
            galaxies=self.galaxies.astype(np.int16),
            periodic=box.periodic,
            photo_margin=photo_margin,
            true_margin=true_margin,
            about=self.about,
        )
        fine = interpolated_across(self.prior, FINER, periodic=result.periodic)
        nats, half = {"coarse": prior_nats(result, fine)}, (self.ratio / 2).exp_()
        for name in ("half", "fine"):
            nats[name] = prior_nats(result, fine.mul_(half))
        result.about["prior_nats"] = nats
        return result


def prior_nats(view: SurveyView, intensity: Tensor) -> float:
    """Information per galaxy that an intensity on fine cells (2 nx, 2 ny, nz) gains [nats].

    Of one row of fine cells in some.
    """
    nx = view.mesh[0]
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
