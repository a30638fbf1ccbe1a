"""The intensity that a spectroscopic survey predicts for an even photometric one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.linear.filter import wiener_unknown
from truez.linear.model import LinearModel
from truez.mesh.box import Box
from truez.mesh.painting import paint
from truez.sightlines.fine import corrected, fine_box
from truez.surveys.surveys import Surveys


@dataclass(frozen=True, eq=False)
class SpecPrior:
    """What the spectroscopic galaxies of even surveys say of the photometric ones to be moved.

    Parameters
    ----------
    model : LinearModel
    spec : (n, 3) array
        Positions of the spectroscopic galaxies [Mpc/h]; none say nothing.
    share : float
        Of the photometric galaxies whose redshift is known. Those are not moved, and the others
        have another mean, see `truez.linear.filter.wiener_unknown`.
    floor : float
        Lowest intensity.
    resampler : {"ngp", "cic", "tsc"}
    density : float, optional
        Mean density of the spectroscopic galaxies [(h/Mpc)^3] where they are a part of a larger
        survey; by default that of these.
    """

    model: LinearModel
    spec: NDArray[np.floating[Any]]
    share: float
    floor: float
    resampler: str
    density: float | None = None

    @classmethod
    def of(cls, surveys: Surveys, model: LinearModel, *, floor: float, resampler: str) -> SpecPrior:
        """That of surveys."""
        density = None if surveys.whole is None else surveys.whole.densities[0]
        return cls(model, surveys.spec, surveys.known_share, floor, resampler, density)

    def delta(self, box: Box) -> Tensor:
        """Overdensity of the photometric galaxies on any mesh of the box, (nx, ny, nz)."""
        if not len(self.spec) and self.density is None:
            return torch.zeros(box.meshsize)
        part = self.density is not None
        mean = self.density * box.volume / box.num_cells if self.density is not None else None
        field = paint(self.spec, box, self.resampler).to_delta(mean)
        return wiener_unknown(self.model, field, share=self.share, part=part)

    def intensity(self, box: Box) -> Tensor:
        """The intensity max(1 + delta, floor), (nx, ny, nz)."""
        return self.delta(box).add_(1).clamp_(min=self.floor)

    def refined(self, values: Tensor, box: Box, number: int) -> Tensor:
        """The intensity of a network on smaller cells across the sky, see `truez.sightlines.fine`.

        Parameters
        ----------
        values : Tensor (nx, ny, nz)
            On the cells of the box.
        box : Box
        number : int
            Of smaller cells along a side of a cell; the values themselves are returned for 1.

        Returns
        -------
        Tensor (number nx, number ny, nz)
        """
        if number == 1:
            return values
        fine = self.intensity(fine_box(box, number))
        return corrected(fine, values, self.intensity(box), periodic=box.periodic)
