"""The box of a described survey: its cells, distances and redshifts, and its expected counts.

On the sky, x and y of a box are places across the line of sight at a distance of reference: a
galaxy at a transverse comoving distance r appears at ``r chi_ref / chi``, as in
`truez.mesh.sky_box`. Expected counts are sums of products of a part across the sky and one along
it, so that they are kept as those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.cosmology import Cosmology
from truez.mesh.box import Box
from truez.training.survey_description import SurveyDescription
from truez.training.survey_view import FINER

Array = NDArray[np.float64]
#: Least and largest true length across the sky of one at the distance of reference.
STRETCH = (0.7, 1.4)
#: Cells of true places and of photo-z beyond the ends of the box: so many standard deviations of
#: the largest error, and so many cells at the most. What is further away is not in the sample.
_REACH, _MOST_MARGIN = 3.0, 64
#: Most spectroscopic galaxies over the photometric ones at a place.
_MOST_SPEC = 0.7
#: Places in a fine cell, along each axis, at which completeness is averaged.
_POINTS = 3


@dataclass(frozen=True, eq=False)
class SurveyGeometry:
    """The box of a described survey in a universe.

    Parameters
    ----------
    description : SurveyDescription
    box : Box
        On the sky with distances along its last axis.
    cosmology : Cosmology
    redshift : float
        Of the snapshot.
    chi_ref : float, optional
        Distance of reference [Mpc/h]; None where lengths across the sky do not change.
    """

    description: SurveyDescription
    box: Box
    cosmology: Cosmology
    redshift: float
    chi_ref: float | None = None

    @classmethod
    def of(
        cls, description: SurveyDescription, universe: Box, cosmology: Cosmology, redshift: float
    ) -> SurveyGeometry:
        """The geometry of a survey in a universe.

        Raises
        ------
        ValueError
            If a box of even surveys does not fit into the universe.
        """
        mesh = description.meshsize
        if description.kind == "periodic":
            box = Box(universe.boxsize, mesh, universe.boxcenter)
            return cls(description, box, cosmology, redshift)
        across, along = description.cellsize
        size = (mesh[0] * across, mesh[1] * across, mesh[2] * along)
        if description.kind == "closed":
            if any(n > m * (1 + 1e-9) for n, m in zip(size, universe.boxsize, strict=True)):
                raise ValueError(
                    f"a closed box of {size} Mpc/h is larger than the universe of "
                    f"{universe.boxsize}: take fewer or smaller cells"
                )
            return cls(description, Box(size, mesh, periodic=False), cosmology, redshift)
        middle = float(cosmology.distances.from_redshift(redshift))
        # As near to the redshift of the snapshot as the stretch allows.
        low = max(middle - size[2] / 2, size[2] * STRETCH[0] / (STRETCH[1] - STRETCH[0]))
        high = low + size[2]
        first, last = high / STRETCH[1], low / STRETCH[0]
        chi_ref = first + description.reference * (last - first)
        box = Box(size, mesh, (0.0, 0.0, (low + high) / 2), periodic=False)
        return cls(
            description, box, cosmology, redshift, chi_ref if description.stretched else None
        )

    @property
    def sky(self) -> bool:
        """Whether it is a box as on the sky."""
        return self.description.kind == "sky"

    def stretch(self, distance: Array) -> Array:
        """True length across the sky over that in the box, (n,)."""
        one = np.asarray(distance, np.float64)
        return one / self.chi_ref if self.chi_ref else np.ones_like(one)

    @cached_property
    def margin(self) -> int:
        """Cells beyond the ends of a box on the sky, of true places or of photo-z."""
        if not self.sky:
            return 0
        error = self.description.error
        z = float(self.cosmology.distances.redshift(self.box.upper[2]))
        width = max(error.sigma_z) * (1 + z)
        reach = _REACH * self.cosmology.distance_error(width, z) / self.box.cellsize[2]
        return min(int(np.ceil(reach)), _MOST_MARGIN)

    @property
    def true_margin(self) -> int:
        """Cells beyond the ends that galaxies are truly in."""
        return self.margin if self.description.bounds == "photo-z" else 0

    @property
    def photo_margin(self) -> int:
        """Cells beyond the ends that photo-z are in."""
        return self.margin if self.description.bounds == "truth" else 0

    def edges(self, margin: int) -> Array:
        """Redshifts of the edges of the cells along the line of sight, and of some beyond."""
        low, cell, num = self.box.lower[2], self.box.cellsize[2], self.box.meshsize[2]
        chi = low + cell * np.arange(-margin, num + margin + 1.0)
        return np.asarray(self.cosmology.distances.redshift(chi))

    def places(self, margin: int = 0) -> Array:
        """Places t of the centres of the cells, from 0 to 1 in the box."""
        num = self.box.meshsize[2]
        return (np.arange(-margin, num + margin) + 0.5) / num

    def centers(self, margin: int = 0) -> Array:
        """Distances of the centres of the cells along the line of sight [Mpc/h]."""
        return np.asarray(self.box.lower[2] + self.box.boxsize[2] * self.places(margin))

    @cached_property
    def redshifts(self) -> Array:
        """Redshift of each cell of a sight line, (nz,)."""
        if not self.sky:
            return np.full(self.box.meshsize[2], self.redshift)
        return np.asarray(self.cosmology.distances.redshift(self.centers()))

    def lengths(self, widths: Array) -> Array:
        """Errors in redshift (..., nz) as lengths along the line of sight [Mpc/h]."""
        hubble = self.cosmology.hubble(self.redshifts) / self.cosmology.hubble(0.0)
        return np.asarray(widths * self.cosmology.distance_error(1.0, 0.0) / hubble)

    def densities(self, margin: int = 0) -> tuple[Array, Array]:
        """Densities of both samples where they are complete [(h/Mpc)^3], spec and photo.

        The photometric one is that before galaxies with spectra are taken out of it.
        """
        one, t = self.description, self.places(margin)
        photo = one.photo.profile(t)
        most = _MOST_SPEC if one.common == 1 else _MOST_SPEC / 2
        return np.minimum(one.spec.profile(t), most * photo), photo

    @cached_property
    def completeness(self) -> tuple[Array, Array]:
        """Completeness of the photometric survey and of spectra of its galaxies on fine cells."""
        one = self.description
        nx, ny, _ = self.box.meshsize
        x, y = ((np.arange(FINER * n * _POINTS) + 0.5) / (FINER * n * _POINTS) for n in (nx, ny))
        shape = (FINER * nx, _POINTS, FINER * ny, _POINTS)
        found = [
            np.ones((FINER * nx, FINER * ny)) if mask.even
            else mask.fraction(x[:, None], y[None, :]).reshape(shape).mean(axis=(1, 3))
            for mask in (one.photo_mask, one.spec_mask)
        ]  # fmt: skip
        return found[0], found[1]

    def expected(self, sample: str) -> ExpectedCounts:
        """Expected galaxies per true cell of a sample, "spec", "photo" or "unknown".

        "unknown" are photometric galaxies without a spectrum.
        """
        spec, photo = self.densities()
        volume = np.prod(self.box.cellsize) * self.stretch(self.centers()) ** 2
        area, share = self.completeness
        with_spectra, common = (area * share, spec * volume), self.description.common
        if sample == "spec":
            return ExpectedCounts([with_spectra])
        taken = 1.0 if sample == "unknown" else 1 - common
        terms = [(area, photo * volume)]
        if taken:
            terms.append((area * share, -taken * spec * volume))
        return ExpectedCounts(terms)


@dataclass(frozen=True, eq=False)
class ExpectedCounts:
    """Expected counts per cell, a sum of products.

    Parameters
    ----------
    terms : sequence of (array (2 nx, 2 ny), array (nz,))
        Completeness on fine cells, and galaxies per cell of the mesh along the line of sight.
    """

    terms: Sequence[tuple[Array, Array]]

    def scaled(self, factor: float) -> ExpectedCounts:
        """So many times as many."""
        return ExpectedCounts([(area, factor * along) for area, along in self.terms])

    @property
    def along_sight_lines(self) -> Array:
        """All of those at the same place along the line of sight, (nz,)."""
        return np.asarray(sum(area.sum() / FINER**2 * along for area, along in self.terms))

    def through(self, matrix: Array) -> ExpectedCounts:
        """With ``matrix`` (n, nz) applied along the line of sight, such as p(z_phot | z_true)."""
        return ExpectedCounts([(area, matrix @ along) for area, along in self.terms])

    @property
    def total(self) -> float:
        """All of them."""
        return float(self.along_sight_lines.sum())

    def values(self) -> Tensor:
        """On the mesh, (nx, ny, nz) float32."""
        return self._field([(_coarse(area), along) for area, along in self.terms])

    def fine(self) -> Tensor:
        """On cells half as wide across the sky, (2 nx, 2 ny, nz) float32."""
        return self._field([(area, along / FINER**2) for area, along in self.terms])

    def spread(self, across: tuple[Array, Array], along: Array | None = None) -> Tensor:
        """On the mesh, as a resampler spreads galaxies.

        Parameters
        ----------
        across : two arrays (nx, nx), (ny, ny)
            Weights that cells get from galaxies in cells, such as
            `truez.sightlines.conserve.Spread.matrix`.
        along : array (nz, nz), optional
            Likewise along the line of sight; by default galaxies are not spread there.
        """
        first, second = across
        return self._field([
            (first @ _coarse(area) @ second.T, line if along is None else along @ line)
            for area, line in self.terms
        ])  # fmt: skip

    @staticmethod
    def _field(terms: Sequence[tuple[Array, Array]]) -> Tensor:
        result: Tensor | None = None
        for area, along in terms:
            one = torch.from_numpy(area.astype(np.float32))[:, :, None] * torch.from_numpy(
                along.astype(np.float32)
            )
            result = one if result is None else result.add_(one)
        assert result is not None
        return result.clamp_(min=0)


def _coarse(area: Array) -> Array:
    nx, ny = area.shape
    return np.asarray(area.reshape(nx // FINER, FINER, ny // FINER, FINER).mean(axis=(1, 3)))
