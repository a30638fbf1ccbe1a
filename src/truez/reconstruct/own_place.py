"""What the methods that move galaxies share: fine sight lines, pairs, and the field they make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.linear.filter import wiener_unknown
from truez.linear.model import LinearModel
from truez.mesh.box import Box
from truez.mesh.painting import paint
from truez.reconstruct.settings import OwnPlaceSettings, Run
from truez.sightlines.fine import corrected, fine_box
from truez.sightlines.in_box import redistribute_own
from truez.sightlines.intensity import Intensity
from truez.sightlines.own_place import StrengthFit
from truez.sightlines.pairs import Pairs
from truez.sightlines.posteriors import galaxies_of
from truez.sightlines.redistribution import Redistribution, WholeVariance, redistribute_surveys
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
    """

    model: LinearModel
    spec: NDArray[np.floating[Any]]
    share: float
    floor: float
    resampler: str

    @classmethod
    def of(cls, surveys: Surveys, model: LinearModel, *, floor: float, resampler: str) -> SpecPrior:
        """That of surveys."""
        return cls(model, surveys.spec, surveys.known_share, floor, resampler)

    def delta(self, box: Box) -> Tensor:
        """Overdensity of the photometric galaxies on any mesh of the box, (nx, ny, nz)."""
        if not len(self.spec):
            return torch.zeros(box.meshsize)
        field = paint(self.spec, box, self.resampler).to_delta()
        return wiener_unknown(self.model, field, share=self.share)

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


def found_intensity(
    surveys: Surveys, values: Tensor, settings: OwnPlaceSettings, run: Run
) -> tuple[Intensity, dict[str, Any]]:
    """An intensity with the pairs that the photo-z want, and what was found, for the metadata."""
    if not settings.pairs:
        return Intensity(values), {}
    rows = np.flatnonzero(surveys.photo_only())
    run.progress("pairs", 0, 1, "their strength from the photo-z")
    fit = StrengthFit(Pairs(), len(rows))
    fit.add(galaxies_of(surveys, rows, counted=True), values)
    run.progress("pairs", 1, 1)
    return with_strength(values, fit)


def with_strength(values: Tensor, fit: StrengthFit) -> tuple[Intensity, dict[str, Any]]:
    """An intensity with pairs of the strength that a fit finds, and what was found.

    Where there was no galaxy to fit, there are no pairs.
    """
    if not fit.num_galaxies:
        return Intensity(values), {}
    pairs, about = found_pairs(fit)
    return Intensity(values, pairs), {"pairs": about}


def found_pairs(fit: StrengthFit) -> tuple[Pairs, dict[str, Any]]:
    """Pairs of the strength that a fit finds, and what was found, for the metadata."""
    found = fit.result()
    pairs = replace(fit.pairs, strength=found.value)
    about = {
        "strength": found.value, "radius": pairs.radius, "depth": pairs.depth,
        "strength_error": found.error, "gain": found.gain, "num_galaxies": found.num_galaxies,
    }  # fmt: skip
    return pairs, about


def moved(
    surveys: Surveys,
    intensity: Intensity,
    run: Run,
    *,
    resampler: str,
    whole_variance: WholeVariance | None = None,
) -> Redistribution:
    """The photometric galaxies moved by an intensity.

    On the cells of the field, without pairs, galaxies are shared between its sight lines.
    """
    shared = intensity.pairs is None and tuple(intensity.values.shape) == surveys.box.meshsize
    if shared and surveys.even:
        return redistribute_surveys(
            surveys, intensity.values, resampler=resampler, whole_variance=whole_variance,
            progress=run.progress,
        )  # fmt: skip
    return redistribute_own(
        surveys, intensity, resampler=resampler, whole_variance=whole_variance,
        progress=run.progress,
    )  # fmt: skip
