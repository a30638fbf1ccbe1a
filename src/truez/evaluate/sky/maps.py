"""Maps of galaxies on the sky in thin bins of redshift, smoothed, over what is expected, less 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from truez.mesh.sky_box import SkyBox
from truez.sky.surveys import SkySurveys

Array = NDArray[np.float64]
#: Bins of redshift, and their width in photo-z errors.
NUM_BINS, WIDTH = 3, 1.5
#: Pixels along the longer side of a map, and the largest size of one [Mpc/h at the nearest bin].
_PIXELS = 240
#: Smoothing length [Mpc/h].
RADIUS = 4.0


def thin_bins(
    surveys: SkySurveys, redshift_range: tuple[float, float]
) -> list[tuple[float, float]]:
    """Bins about the middle of parts of a range of redshift with equally many galaxies.

    Parameters
    ----------
    surveys : SkySurveys
    redshift_range : (2,) floats
    """
    low, high = redshift_range
    below = surveys.nz.below([low, high])
    shares = (np.arange(NUM_BINS) + 0.5) / NUM_BINS
    middle = surveys.nz.quantile((below[0] + shares * (below[1] - below[0])) / surveys.nz.total)
    sigma = float(np.median(surveys.error.sigma_z))
    result = []
    for z in middle:
        half = min(WIDTH * sigma * (1 if surveys.error.absolute else 1 + z) / 2, (high - low) / 6)
        half = max(half, 5e-4)
        result.append((round(float(z - half), 3), round(float(z + half), 3)))
    return result


@dataclass(frozen=True, eq=False)
class SkyMaps:
    """The pixels of maps: an equal-area projection about the middle of a footprint.

    Parameters
    ----------
    surveys : SkySurveys
    axes_of : SkyBox
        Whose first two axes the pixels divide; its last axis is not used.
    """

    surveys: SkySurveys
    box: SkyBox

    @classmethod
    def of(cls, surveys: SkySurveys, ra: float, dec: float) -> SkyMaps:
        """Maps that cover a footprint, about a direction [deg]."""
        footprint = surveys.footprint
        sample = footprint.sample(max(math.sqrt(footprint.area) / 60, 1e-3))
        wide = SkyBox((1.0, 1.0, 1.0), (1, 1, 1), (0, 0, 1.0), ra=ra, dec=dec, chi_ref=1.0,
                      cosmology=surveys.cosmology)  # fmt: skip
        x, y = wide.project(*sample)
        low = np.maximum([x.min(), y.min()], -0.99) - 1e-4
        high = np.minimum([x.max(), y.max()], 0.99) + 1e-4
        side = float((high - low).max()) / _PIXELS
        cells = np.ceil((high - low) / side).astype(int)
        size, middle = cells * side, (low + high) / 2
        box = SkyBox((*size, 1.0), (*cells, 1), (*middle, 1.0), ra=ra, dec=dec, chi_ref=1.0,
                     cosmology=surveys.cosmology)  # fmt: skip
        return cls(surveys, box)

    @cached_property
    def fraction(self) -> Array:
        """Completeness of the pixels."""
        return self.surveys.footprint.fraction(self.box).astype(np.float64)

    def contrast(
        self, ra: Array, dec: Array, weights: Array, expected: float, redshift: float
    ) -> NDArray[np.float32]:
        """Galaxies in a bin over what is expected, both smoothed, less 1; nan outside, (nx, ny).

        Parameters
        ----------
        ra, dec, weights : (n,) arrays
            How much of each galaxy is in the bin.
        expected : float
            Galaxies expected in it.
        redshift : float
            Of its middle, at which lengths become angles.
        """
        rows = np.flatnonzero(weights > 0)
        x, y = self.box.project(ra[rows], dec[rows])
        edges = [self.box.edges(axis) for axis in (0, 1)]
        counts = np.histogram2d(x, y, edges, weights=weights[rows])[0]
        level = self.fraction * expected * self.box.cell_area / self.surveys.footprint.area
        radius = RADIUS / float(self.surveys.cosmology.distances.from_redshift(redshift))
        pixels = radius / self.box.cellsize[0]
        smooth = [gaussian_filter(part, pixels, mode="constant") for part in (counts, level)]
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = smooth[0] / smooth[1] - 1
        return np.where(self.fraction > 0, ratio, np.nan).astype(np.float32)
