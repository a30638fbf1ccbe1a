"""The error of photometric redshifts as the stack of the p(z) of some galaxies.

p(z) of a class of galaxies are no Gaussians: they are skew, have wings and second peaks. Their
common p(z_phot | z) is taken to have one shape in

    t = (z - z_phot) / (1 + z),      p(z_phot | z) = h(t) / (1 + z),

where h is a histogram: the redshifts of the galaxies about their photo-z, summed over their p(z).
What is further away than h reaches are outliers with a photo-z anywhere in a range, as those of
`RedshiftError`, whose methods for galaxies that share an error this one has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.surveys.redshift_error import RedshiftError

Array = NDArray[np.float64]
#: Share of h beyond its reach, at either end.
_BEYOND = 1e-4
#: Ends of the central 68%.
_LOW, _HIGH = 0.15865525393145707, 0.8413447460685429


@dataclass(frozen=True, eq=False, repr=False)
class StackedError:
    """p(z_phot | z) of galaxies whose (z - z_phot) / (1 + z) has a given histogram.

    Parameters
    ----------
    edges : (m + 1,) array
        Of (z - z_phot) / (1 + z), ascending and below 1.
    shares : (m,) array
        Probability between them, in any scale.
    outlier_fraction : float
        Probability that the photo-z is uniform over the range instead, in [0, 1].
    outlier_range : (2,) floats, optional
        Photo-z between which outliers lie; needed where there are any.

    Raises
    ------
    ValueError
        If edges do not ascend, or probabilities are negative or 0 at all.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.surveys.stacked_error import StackedError
    >>> error = StackedError(np.array([-0.1, 0.0, 0.1]), np.array([1.0, 3.0]))
    >>> error.probability([0.35, 0.5, 0.65], [0.5]).round(3)
    array([[0.75],
           [0.25]])
    """

    edges: Array
    shares: Array
    outlier_fraction: float = 0.0
    outlier_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        edges, shares = (np.asarray(x, np.float64) for x in (self.edges, self.shares))
        if edges.ndim != 1 or shares.shape != (len(edges) - 1,) or not len(shares):
            raise ValueError(f"shares must be one for each bin of edges, not {shares.shape}")
        if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all() and edges[-1] < 1):
            raise ValueError("edges must be finite, ascending and below 1")
        total = shares.sum()
        if not (np.isfinite(total) and (shares >= 0).all() and total > 0):
            raise ValueError("shares must be finite and >= 0, and not all 0")
        if not 0 <= self.outlier_fraction <= 1:
            raise ValueError(f"outlier_fraction must be in [0, 1], not {self.outlier_fraction!r}")
        if self.outlier_fraction and self.outlier_range is None:
            raise ValueError("outlier_fraction needs outlier_range, the photo-z of outliers")
        if self.outlier_range is not None:
            low, high = self.outlier_range
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"outlier_range must be two photo-z, not {self.outlier_range!r}")
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "shares", shares / total)

    def __repr__(self) -> str:
        return (
            f"Photo-z error of a stack of p(z): half of the central 68% of (z - z_phot) / (1 + z) "
            f"= {self.sigma_z:.3g}, {100 * self.outlier_fraction:.3g}% outliers"
        )

    @property
    def num_galaxies(self) -> None:
        """None: all share the error."""
        return

    @property
    def absolute(self) -> bool:
        """False: the error grows with 1 + z."""
        return False

    @property
    def sigma_z(self) -> float:
        """Half of the central 68% of the stack, outliers left out."""
        low, high = self.quantile([_LOW, _HIGH])
        return float(high - low) / 2

    @property
    def bias(self) -> tuple[float, ...]:
        """Coefficients of 1 and z of the median of z_phot - z, outliers left out."""
        middle = float(self.quantile(0.5))
        return (-middle, -middle)

    def quantile(self, share: ArrayLike) -> Array:
        """(z - z_phot) / (1 + z) below which shares of the stack are."""
        return np.asarray(np.interp(np.asarray(share, np.float64), self._below, self.edges))

    def mean(self, redshift: ArrayLike) -> Array:
        """Median photo-z of galaxies at true redshifts, outliers left out."""
        z = np.asarray(redshift, np.float64)
        return np.asarray(z + np.polynomial.polynomial.polyval(z, self.bias))

    def width(self, redshift: ArrayLike) -> Array:
        """Half of the central 68% of photo-z at true redshifts."""
        return np.asarray(self.sigma_z * (1 + np.asarray(redshift, np.float64)))

    def reach(self, redshift: float, num_sigma: float = 5.0) -> float:
        """Difference to photo-z that is ``num_sigma`` away, or the end of the stack if further."""
        ends = np.abs(self.quantile([_BEYOND, 1 - _BEYOND])).max()
        return max(num_sigma * self.sigma_z, float(ends)) * (1 + abs(redshift))

    def probability(self, edges: ArrayLike, redshift: ArrayLike) -> Array:
        """Probability of photo-z between edges (n + 1,) at true redshifts (m,), shape (n, m)."""
        limits = np.asarray(edges, np.float64)[:, None]
        z = np.asarray(redshift, np.float64)
        above = np.interp((z - limits) / (1 + z), self.edges, self._below)
        return self._mixed(-np.diff(above, axis=0), limits)

    def matrix(self, photo_edges: ArrayLike, true_edges: ArrayLike) -> Array:
        """Probability of photo-z in each cell of a galaxy anywhere in each true cell, (n, m).

        Parameters
        ----------
        photo_edges, true_edges : (n + 1,), (m + 1,) arrays
            Ascending redshifts of the faces of the cells. Galaxies are uniform in redshift within
            a true cell, and t is linear in it.
        """
        limits, true = np.asarray(photo_edges, np.float64)[:, None], np.asarray(true_edges)
        place = (true - limits) / (1 + true)
        above = np.diff(self._below_summed(place), axis=1) / np.diff(place, axis=1)
        return self._mixed(np.maximum(-np.diff(above, axis=0), 0.0), limits)

    def rows(self, z_phot: ArrayLike, edges: ArrayLike) -> Array:
        """p(z_phot | true cell) per unit of photo-z, of galaxies anywhere in a cell, (n, cells).

        Parameters
        ----------
        z_phot : (n,) array
        edges : (cells + 1,) array
            Redshifts of the faces of the cells.
        """
        photo, true = np.asarray(z_phot, np.float64).reshape(-1, 1), np.asarray(edges, np.float64)
        inside = np.diff(np.interp((true - photo) / (1 + true), self.edges, self._below), axis=1)
        middle = (true[1:] + true[:-1]) / 2
        density = inside / np.diff(true) * (1 + middle) / (1 + photo)
        if not self.outlier_fraction:
            return np.asarray(density)
        assert self.outlier_range is not None
        low, high = self.outlier_range
        even = np.where((photo >= low) & (photo <= high), 1 / (high - low), 0.0)
        return np.asarray((1 - self.outlier_fraction) * density + self.outlier_fraction * even)

    def _mixed(self, inside: Array, limits: Array) -> Array:
        """Probabilities (n, m) between limits (n + 1, 1), with those of outliers."""
        if not self.outlier_fraction:
            return inside
        assert self.outlier_range is not None
        low, high = self.outlier_range
        even = np.diff(np.clip((limits - low) / (high - low), 0, 1), axis=0)
        return np.asarray((1 - self.outlier_fraction) * inside + self.outlier_fraction * even)

    @property
    def _below(self) -> Array:
        """Probability below the edges."""
        return np.concatenate([[0.0], np.cumsum(self.shares)])

    def _below_summed(self, place: Array) -> Array:
        """Integral of the probability below, up to places."""
        steps, below = np.diff(self.edges), self._below
        sums = np.concatenate([[0.0], np.cumsum(steps * (below[1:] + below[:-1]) / 2)])
        inner = np.clip(place, self.edges[0], self.edges[-1])
        node = np.clip(np.searchsorted(self.edges, inner, side="right") - 1, 0, len(steps) - 1)
        rest = inner - self.edges[node]
        slope = self.shares / steps
        reached = sums[node] + rest * (below[node] + rest * slope[node] / 2)
        return np.asarray(reached + np.maximum(place - self.edges[-1], 0.0) * below[-1])


#: An error that galaxies share.
SharedError = RedshiftError | StackedError
