"""The density that is expected of galaxies at redshifts drawn from their posteriors.

Summed over the posteriors of all galaxies that have one, the density at a true redshift is that of
the survey times the probability that the photo-z of a galaxy there is one of those that do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from astropy.constants import c
from numpy.typing import ArrayLike, NDArray

from truez.mesh.sphere import WHOLE_SKY
from truez.sky.patch_data import visible_at
from truez.sky.surveys import SkySurveys
from truez.surveys.footprint import Footprint
from truez.surveys.nz import NumberDensity
from truez.surveys.random_sky import random_directions

Array = NDArray[np.float64]
#: Nodes of N(z) over the map.
_NODES = 2001


@dataclass(frozen=True, eq=False)
class DrawnDensity:
    """The galaxies that are expected in a draw, by direction and true redshift.

    Galaxies without a spectrum are in it if their photo-z is in ``reach``; those with a spectrum
    whatever their photo-z is, within the cut of the sample.

    Parameters
    ----------
    surveys : SkySurveys
    reach : (2,) floats
        Photo-z between which galaxies have posteriors: ``layout.reach`` of the field.

    Raises
    ------
    ValueError
        If no galaxies are expected in the redshift range of the map.
    """

    surveys: SkySurveys
    reach: tuple[float, float]

    @cached_property
    def _parts(self) -> list[tuple[Footprint, NumberDensity]]:
        """All galaxies with photo-z in reach, and those with spectra whose photo-z is elsewhere."""
        surveys = self.surveys
        low, high = surveys.redshift_range
        nodes = [np.linspace(low, high, _NODES), surveys.nz.redshift]
        if surveys.matched is not None:
            nodes.append(surveys.spec_nz.redshift)
        z = np.unique(np.concatenate(nodes))
        z = z[(z >= low) & (z <= high)]
        cut = surveys.photo_range
        inside = visible_at(surveys, z, (max(cut[0], self.reach[0]), min(cut[1], self.reach[1])))
        found = [(surveys.footprint, surveys.nz(z) * inside)]
        if surveys.matched is not None:
            elsewhere = np.maximum(visible_at(surveys, z, cut) - inside, 0)
            found.append((surveys.spec_footprint, surveys.common * surveys.spec_nz(z) * elsewhere))
        parts = [(area, NumberDensity(z, n)) for area, n in found if (n > 0).any()]
        if not parts:
            raise ValueError(
                f"reach {self.reach[0]:.3g},{self.reach[1]:.3g} is of no galaxy at z = {low:.3g} "
                f"to {high:.3g}: give the reach of the layout"
            )
        return parts

    @cached_property
    def _volume(self) -> tuple[Array, Array]:
        """Redshifts, and the comoving volume per square degree and redshift there [(Mpc/h)^3]."""
        cosmology = self.surveys.cosmology
        z = np.linspace(*self.surveys.redshift_range, _NODES)
        light = c.to_value("km/s")
        along = light * cosmology.h / cosmology.hubble(z)
        chi = cosmology.distances.from_redshift(z)
        return z, np.asarray(chi**2 * along * 4 * np.pi / WHOLE_SKY)

    def density(self, ra: ArrayLike, dec: ArrayLike, redshift: ArrayLike) -> Array:
        """Expected galaxies per comoving volume [(h/Mpc)^3] at directions [deg] and redshifts."""
        z = np.asarray(redshift, np.float64)
        complete = self.surveys.footprint.completeness(ra, dec)
        total = np.zeros(z.shape)
        for area, numbers in self._parts:
            own = complete
            if area is not self.surveys.footprint:
                own = np.where(complete > 0, area.completeness(ra, dec), 0)
            total += own * numbers(z) / area.area
        return np.asarray(total / np.maximum(np.interp(z, *self._volume), 1e-300))

    def below(self, redshift: ArrayLike) -> Array:
        """Galaxies below redshifts that are expected in the range of the map."""
        return np.asarray(sum(numbers.below(redshift) for _, numbers in self._parts))

    def random(self, number: int, generator: np.random.Generator) -> tuple[Array, Array, Array]:
        """Directions [deg] and redshifts (n,) of random galaxies of this density."""
        totals = np.array([numbers.total for _, numbers in self._parts])
        found: list[Array] = []
        missing = number
        while missing > 0:
            for (area, numbers), own in zip(
                self._parts, generator.multinomial(missing, totals / totals.sum()), strict=True
            ):
                ra, dec = random_directions(area, int(own), generator)
                places = np.stack([ra, dec, numbers.quantile(generator.random(int(own)))])
                if area is not self.surveys.footprint:
                    places = places[:, ~self.surveys.footprint.outside(ra, dec)]
                found.append(places)
            missing = number - sum(places.shape[1] for places in found)
        ra, dec, z = np.concatenate(found, axis=1)[:, generator.permutation(number)]
        return ra, dec, z
