"""One estimate beside the truth: every number of it, as plain values for a file.

Spectra are kept in fine bins of (k, mu), from which everything that is shown is summed up: shells,
broad bands, and the linear optimum.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.experiments.benchmark.settings import RADII, SUB_BOX
from truez.mesh.box import Mesh
from truez.mesh.field import Field
from truez.statistics.binning import Floats
from truez.statistics.power import compare_mu, default_edges, power
from truez.statistics.scores import SSIM_WINDOW, mae, mse, sub_box_scores

#: Bins of mu, and the multipoles.
NUM_MU, ELLS = 10, (0, 2, 4)
#: Parts of equal size that sigma is judged in.
DECILES = 10


class Judge:
    """What fields are compared with.

    Parameters
    ----------
    truth : Field
        The overdensity in true redshift space.
    """

    def __init__(self, truth: Field) -> None:
        self.truth = truth
        self.edges = default_edges(truth.box)
        self.variance = float(truth.values.double().var(correction=0))

    @cached_property
    def smoothed(self) -> dict[float, Field]:
        """The truth, smoothed with each radius [Mpc/h]."""
        return {radius: self.truth.smooth(radius) for radius in RADII}

    @cached_property
    def cells(self) -> Mesh | None:
        """Cells of a sub-box: equal parts of about 100 Mpc/h; None where SSIM has no room."""
        box = self.truth.box
        x, y, z = (
            n // max(round(side / SUB_BOX), 1)
            for n, side in zip(box.meshsize, box.boxsize, strict=True)
        )
        return (x, y, z) if min(x, y, z) >= SSIM_WINDOW else None

    def of_truth(self) -> dict[str, Any]:
        """The bins, and what is known of the truth itself."""
        found = compare_mu(self.truth, self.truth, edges=self.edges, num_mu=NUM_MU)
        poles = power(self.truth, edges=self.edges, ells=ELLS)
        return {
            "variance": self.variance,
            "smoothed_variance": {
                str(radius): float(field.values.double().var(correction=0))
                for radius, field in self.smoothed.items()
            },
            "sub_box_cells": None if self.cells is None else list(self.cells),
            "edges": self.edges,
            "k": short(found.k),
            "mu": short(found.mu),
            "nmodes": found.nmodes,
            "power": short(found.power_tt),
            "poles": {str(ell): short(pole) for ell, pole in poles.poles.items()},
        }

    def constant(self, value: float) -> dict[str, Any]:
        """The numbers of a field of one value, which has no spectrum."""
        flat = Field(torch.full_like(self.truth.values, value), self.truth.box, "delta")
        return self._scores(flat)

    def judge(self, field: Field) -> dict[str, Any]:
        """All numbers of an overdensity field."""
        found = compare_mu(field, self.truth, edges=self.edges, num_mu=NUM_MU)
        poles = power(field, edges=self.edges, ells=ELLS)
        return {
            **self._scores(field),
            "power": short(found.power_rr),
            "cross": short(found.power_rt),
            "poles": {str(ell): short(pole) for ell, pole in poles.poles.items()},
        }

    def _scores(self, field: Field) -> dict[str, Any]:
        values, target = field.numpy(), self.truth.numpy()
        error = mse(values, target)
        result: dict[str, Any] = {
            "mean": float(field.values.double().mean()),
            "mse": error,
            "mae": mae(values, target),
            "mse_over_variance": error / self.variance,
            "smoothed": {},
            "sub_boxes": None,
        }
        for radius, truth in self.smoothed.items():
            smooth = field.smooth(radius).numpy()
            result["smoothed"][str(radius)] = {
                "mse": mse(smooth, truth.numpy()),
                "mae": mae(smooth, truth.numpy()),
            }
        if self.cells is not None:
            boxes = sub_box_scores(field, self.truth, cells=self.cells)
            result["sub_boxes"] = {
                name: {"mean": boxes.mean[name], "sigma": boxes.sigma[name]} for name in boxes.mean
            }
        return result


def sigma_calibration(truth: Field, field: Field, sigma: Tensor) -> dict[str, Any]:
    """Variance of (truth - estimate) / sigma in deciles of sigma, 1 where sigma is right.

    Cells of sigma 0, where no galaxy may be, are left out.
    """
    known = sigma.numpy() > 0
    width = sigma.numpy()[known]
    pull = (truth.numpy()[known].astype(np.float64) - field.numpy()[known]) / width
    edges = np.quantile(width, np.linspace(0, 1, DECILES + 1)[1:-1])
    index = np.searchsorted(edges, width, side="right")
    number = np.bincount(index, minlength=DECILES)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(index, pull, DECILES) / number
        square = np.bincount(index, pull**2, DECILES) / number
        levels = np.bincount(index, width, DECILES) / number
    return {
        "sigma": levels,
        "variance": square - mean**2,
        "all": float(pull.var()),
        "share": float(known.mean()),
    }


def short(values: NDArray[Any]) -> Floats:
    """Values with seven digits, which is what float32 fields give."""
    exponent = np.floor(np.log10(np.abs(np.where(values == 0, 1, values)), dtype=np.float64))
    scale = 10.0 ** (6 - np.nan_to_num(exponent))
    result: Floats = np.round(values * scale) / scale
    return result
