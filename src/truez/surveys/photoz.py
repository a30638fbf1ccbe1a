"""The photometric redshift error, as a displacement along the line of sight.

A galaxy at z appears at z + dz, with dz Gaussian of standard deviation ``sigma`` [Mpc/h] (paper,
Eq. 2-3: ``sigma = c sigma_z (1 + z) / H(z)``). A fraction of *outliers* has a photo-z that does not
depend on the galaxy: it is uniform over the line of sight of the box.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import erf
from torch import Tensor

from truez.mesh.box import Box
from truez.support.checks import plain, shown

#: The largest sigma(z) / (1 + z) of a survey. At 0.3 an error spans the redshifts of a whole survey
#: (0.5 at z = 0.6), and is no displacement of a constant length any more.
LARGEST_SIGMA_Z = 0.3


@dataclass(frozen=True)
class PhotozError:
    """Distribution p(z_phot | z_true) of the position along the line of sight.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian part [Mpc/h]; 0 for exact redshifts.
    outlier_fraction : float
        Share of galaxies whose photo-z is uniform over the box, in [0, 1).

    Examples
    --------
    >>> from truez import Box, PhotozError
    >>> error = PhotozError(sigma=70.0, outlier_fraction=0.02)
    >>> error.visible_fraction(Box(400, cellsize=100, periodic=False)).round(2)
    array([0.75, 0.98, 0.98, 0.75])
    """

    sigma: float
    outlier_fraction: float = 0.0

    def __post_init__(self) -> None:
        plain(self.sigma, "sigma")
        if not (
            isinstance(self.sigma, float | int | np.number)
            and math.isfinite(self.sigma)
            and self.sigma >= 0
        ):
            raise ValueError(f"sigma must be a finite length >= 0 Mpc/h, not {shown(self.sigma)}")
        if not 0 <= self.outlier_fraction < 1:
            raise ValueError(f"outlier_fraction must be in [0, 1), not {self.outlier_fraction!r}")

    def characteristic(self, k_par: Tensor) -> Tensor:
        """phi(k_par), the Fourier transform of the error; ``k_par`` in h/Mpc.

        Outliers carry no mode but the mean, so they count at ``k_par = 0`` alone.
        """
        gaussian = torch.exp(-0.5 * (k_par * self.sigma) ** 2)
        return torch.where(k_par == 0, gaussian, (1 - self.outlier_fraction) * gaussian)

    def scatter(
        self, z: NDArray[np.floating], box: Box, generator: np.random.Generator
    ) -> NDArray[np.float64]:
        """Photo-z positions of galaxies at ``z``, shape (n,) [Mpc/h].

        A periodic box wraps them; in a closed one they may leave it.
        """
        shifted = z + generator.normal(0.0, 1.0, len(z)) * self.sigma
        outlier = generator.random(len(z)) < self.outlier_fraction
        anywhere = box.lower[2] + generator.random(len(z)) * box.boxsize[2]
        result = np.where(outlier, anywhere, shifted)
        return wrap(result, box, axis=2) if box.periodic else result

    def visible_fraction(self, box: Box) -> NDArray[np.float64]:
        """Box convolved with the error, averaged over each cell of the line of sight, shape (nz,).

        The expected counts of a sample that fills a closed box, observed at its photo-z, in units
        of its true mean: 1 deep inside, 1/2 at a face. It is 1 everywhere in a periodic box.
        """
        if box.periodic or self.sigma == 0:
            return np.ones(box.meshsize[2])
        edges = box.edges(2)
        gaussian = self._primitive(edges - box.lower[2]) - self._primitive(edges - box.upper[2])
        inside = np.diff(gaussian) / box.cellsize[2]
        return (1 - self.outlier_fraction) * inside + self.outlier_fraction

    def _primitive(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Integral of the cumulative normal distribution: z Phi(z) + sigma^2 N(z)."""
        with np.errstate(over="ignore"):  # of an error of next to nothing
            u = z / self.sigma
            density = np.exp(-0.5 * u**2) / math.sqrt(2 * math.pi)
        cumulative = 0.5 * (1 + erf(u / math.sqrt(2)))
        result: NDArray[np.float64] = z * cumulative + self.sigma * density
        return result


def wrap(z: NDArray[np.floating], box: Box, *, axis: int) -> NDArray[np.float64]:
    """Coordinates of one axis wrapped into a periodic box, lower face included."""
    lower, side = box.lower[axis], box.boxsize[axis]
    result = lower + np.mod(z - lower, side)
    # The remainder of a tiny negative number rounds up to the side itself.
    return np.where(result >= lower + side, lower, result)
