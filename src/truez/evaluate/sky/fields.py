"""Fields on the sky beside the truth, on the one mesh of `truez.evaluate.sky.mesh`.

Scores are of counts, smoothed, over expected counts, smoothed alike, less 1, in the cells that are
judged. Spectra are of counts less expected counts, weighted with 1 / (1 + n P_0), after Feldman,
Kaiser & Peacock (1994), in the same cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.evaluate.judge import edges_of
from truez.evaluate.sky.mesh import SkyMesh
from truez.linear.uneven_fit import FKP_POWER
from truez.mesh.field import Field
from truez.statistics.power import ComparisonMu, compare_mu
from truez.statistics.scores import SCORES

Plane = NDArray[np.float32]
#: Scores of smoothed fields.
KEPT = ("mse", "mae", "correlation")
#: Expected counts below which a smoothed cell is outside the survey, over the largest.
_LEAST = 1e-6


class SkyFieldJudge:
    """What fields on the sky are compared with.

    Parameters
    ----------
    mesh : SkyMesh
    counts : Tensor
        Galaxies at their true places.
    expected : Tensor
        Their expected counts.
    radii : sequence of float
        Smoothing lengths [Mpc/h].
    parts : sequence of float
        Edges of parts in redshift whose cells are scored by themselves as well.
    """

    def __init__(
        self,
        mesh: SkyMesh,
        counts: Tensor,
        expected: Tensor,
        radii: Sequence[float],
        parts: Sequence[float] = (),
    ) -> None:
        self.mesh, self.expected, self.radii = mesh, expected, tuple(radii)
        self.cells = mesh.judged()
        if not bool(self.cells.any()):
            raise ValueError(
                "no cell of the footprint lies in redshift_range: choose a wider range"
            )
        self.parts = tuple(parts)
        self._part_of = np.searchsorted(self.parts, self._redshifts(), side="right") - 1
        n = expected / mesh.cellsize**3
        # No galaxies are expected in some cells beyond the judged ones.
        weight = torch.where(self.cells, 1 / (1 + n * FKP_POWER), 0.0)
        norm = float((expected * weight).double().square().mean().sqrt())
        self._weight = weight / norm
        self._smooth = {radius: self._cut(mesh.smoothed(expected, radius)) for radius in self.radii}
        self.truth = {radius: self.contrast(counts, radius) for radius in self.radii}
        self._modes = self._weighted(counts, expected)
        self.edges = edges_of(mesh.box)
        found = compare_mu(self._modes, truth=self._modes, edges=self.edges, num_mu=1)
        self._truth = {
            "mean": float(np.mean(next(iter(self.truth.values())))),
            "smoothed_variance": {str(r): float(t.var()) for r, t in self.truth.items()},
            "sub_box_cells": None,
            "edges": self.edges,
            "k": found.k,
            "mu": found.mu,
            "nmodes": found.nmodes,
            "power": found.power_tt,
        }

    @property
    def about_truth(self) -> dict[str, Any]:
        """The bins and the numbers of the truth, as `truez.evaluate.store` has them."""
        return self._truth

    def entry(self, counts: Tensor, expected: Tensor | None = None) -> dict[str, Any]:
        """The numbers of a field, as `truez.evaluate.store` has them.

        Parameters
        ----------
        counts : Tensor
            Its galaxies, on the mesh.
        expected : Tensor, optional
            What it expects, where that differs from the truth's.
        """
        smoothed: dict[str, dict[str, float]] = {}
        by_redshift: list[dict[str, Any]] = [
            {"low": low, "high": high} for low, high in pairwise(self.parts)
        ]
        for radius, truth in self.truth.items():
            own = self.contrast(counts, radius, expected)
            smoothed[str(radius)] = _scores(own, truth)
            for number, part in enumerate(by_redshift):
                cells = self._part_of == number
                if cells.any():
                    part[f"{radius:g}"] = _scores(own[cells], truth[cells], ratio=True)
        found = self.spectra(counts, expected)
        return {
            "smoothed": smoothed,
            "smoothed_by_redshift": by_redshift,
            "sub_boxes": None,
            "power": found.power_rr,
            "cross": found.power_rt,
        }

    def spectra(self, counts: Tensor, expected: Tensor | None = None) -> ComparisonMu:
        """Spectra of a field beside the truth, in shells of k; arguments as of `entry`."""
        here = self._weighted(counts, self.expected if expected is None else expected)
        return compare_mu(here, truth=self._modes, edges=self.edges, num_mu=1)

    def contrast(self, counts: Tensor, radius: float, expected: Tensor | None = None) -> Plane:
        """Smoothed counts over smoothed expected counts, less 1, in the judged cells (n,)."""
        level = self._smooth[radius]
        if expected is not None:
            level = self._cut(self.mesh.smoothed(expected, radius))
        floor = _LEAST * float(level.max())
        values = self._cut(self.mesh.smoothed(counts, radius)) / level.clamp(min=floor) - 1
        return np.asarray(values.numpy())

    def _redshifts(self) -> NDArray[np.float64]:
        """Of the judged cells."""
        distances = [chi[self.cells[rows].numpy()] for rows, _, _, chi in self.mesh.places()]
        return self.mesh.cosmology.distances.redshift(np.concatenate(distances))

    def _cut(self, values: Tensor) -> Tensor:
        return values[self.cells]

    def _weighted(self, counts: Tensor, expected: Tensor) -> Field:
        """Weighted counts less what is expected; of unit weight on average."""
        return self.mesh.field((counts - expected) * self._weight)

    def plane(self, counts: Tensor, radius: float, expected: Tensor | None = None) -> Plane:
        """The contrast in the plane of the line of sight and the longer side of the survey, (n, m).

        nan outside the judged cells; the last axis is the line of sight.
        """
        whole = np.full(self.mesh.box.meshsize, np.nan, np.float32)
        whole[self.cells.numpy()] = self.contrast(counts, radius, expected)
        across = 1 - self.mesh.longest
        middle = int(np.argmin(np.abs(self.mesh.box.centers(across))))
        return np.asarray(whole.take(middle, axis=across))


def _scores(own: Plane, truth: Plane, *, ratio: bool = False) -> dict[str, float]:
    """Scores of cells (n,), with the mean squared error over the variance where asked for."""
    found = {name: SCORES[name](own[:, None, None], truth[:, None, None]) for name in KEPT}
    if ratio:
        found["mse_over_variance"] = found["mse"] / float(truth.var(dtype=np.float64))
    return found
