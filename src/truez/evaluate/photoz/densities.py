"""p(z) of galaxies that are judged: of a file, or from the few numbers that a catalogue has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
#: Standard deviations above the mean that cells of redshift reach at least, and the share of the
#: galaxies of which they do.
_FAR, _MOST = 5.0, 0.999
#: No cell is beyond this redshift.
_HIGHEST = 20.0


class Densities(Protocol):
    """p(z) of many galaxies, such as a `truez.surveys.pdfs.PdfTable`."""

    def __len__(self) -> int:
        """Number of galaxies."""

    def probability(self, rows: Rows, edges: ArrayLike) -> Array:
        """Probability (n, k) of galaxies to be between redshift edges (k + 1,); NaN if unknown."""

    def moments(self, rows: Rows) -> tuple[Array, Array]:
        """Mean and standard deviation of p(z), each (n,); NaN where it is not known."""


@dataclass(frozen=True, eq=False)
class SplitNormals:
    """p(z) that are half of a Gaussian on either side of their median.

    Parameters
    ----------
    median, lower, upper : (n,) arrays
        Redshifts, and the standard deviations below and above; a p(z) without widths above 0 is not
        known.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.evaluate.photoz import SplitNormals
    >>> found = SplitNormals.from_interval(np.array([0.5]), np.array([0.4]), np.array([0.7]))
    >>> found.probability(np.array([0]), [0.4, 0.5, 0.7]).round(3)
    array([[0.34, 0.34]])
    """

    median: Array
    lower: Array
    upper: Array

    @classmethod
    def from_interval(
        cls, median: Array, low: Array, high: Array, probability: float = 0.68
    ) -> SplitNormals:
        """Of the ends of the central interval that holds a probability, half of it on each side."""
        from scipy.stats import norm

        number = float(norm.ppf((1 + probability) / 2))
        return cls(median, (median - low) / number, (high - median) / number)

    def __len__(self) -> int:
        return len(self.median)

    def probability(self, rows: Rows, edges: ArrayLike) -> Array:
        """See `Densities`."""
        with np.errstate(invalid="ignore", divide="ignore"):
            away = np.asarray(edges, np.float64) - self.median[rows, None]
            place = away / np.where(away < 0, self.lower[rows, None], self.upper[rows, None])
            # Tails above the median are counted from above, where they have their digits.
            tail = ndtr(-np.abs(place))
            result = np.abs(np.diff(tail, axis=1))
            apart = (place[:, 1:] > 0) & (place[:, :-1] <= 0)
            result[apart] = (1 - tail[:, 1:] - tail[:, :-1])[apart]
        result[~self._known(rows)] = np.nan
        return np.asarray(result)

    def moments(self, rows: Rows) -> tuple[Array, Array]:
        """See `Densities`."""
        median, lower, upper = self.median[rows], self.lower[rows], self.upper[rows]
        known = self._known(rows)
        with np.errstate(invalid="ignore"):
            shift = (upper - lower) / math.sqrt(2 * math.pi)
            std = np.sqrt((lower**2 + upper**2) / 2 - shift**2)
        return np.where(known, median + shift, np.nan), np.where(known, std, np.nan)

    def _known(self, rows: Rows) -> NDArray[np.bool_]:
        widths = (self.lower[rows] > 0) & (self.upper[rows] > 0)
        finite = np.isfinite(self.lower[rows]) & np.isfinite(self.upper[rows])
        return np.asarray(np.isfinite(self.median[rows]) & widths & finite)


def common_edges(
    given: list[tuple[Densities, Rows]], z_true: Array, dz: float
) -> tuple[Array, float]:
    """Edges of cells of width dz from 0 that hold all truths and next to all p(z).

    Parameters
    ----------
    given : list of (Densities, rows)
        That are to be judged.
    z_true : (n,) array
    dz : float

    Returns
    -------
    edges : (k + 1,) array
        Up to the highest truth, and to 5 standard deviations above the mean of 99.9% of the p(z).
    narrow : float
        Share of the p(z) with a standard deviation below ``dz``, the largest of those given.
    """
    top, narrow = float(z_true.max()), 0.0
    for densities, rows in given:
        mean, std = densities.moments(rows)
        far = (mean + _FAR * std)[np.isfinite(mean)]
        if len(far):
            top = max(top, float(np.quantile(far, _MOST)))
            narrow = max(narrow, float(np.mean(std[np.isfinite(std)] < dz)))
    top = min(max(top, dz), max(_HIGHEST, float(z_true.max())))
    # Whole multiples of dz, so that files with round steps have the same edges.
    return np.asarray(np.arange(math.ceil(round(top / dz, 6)) + 2) * dz, np.float64), narrow
