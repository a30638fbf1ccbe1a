"""Sharpened p(z) as quantiles: redshifts at which cumulative probabilities are reached.

These levels are 137, or some of them where that takes too much disk.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri

from truez.sightlines.posteriors import Posteriors
from truez.sky.sight_line import SightLine
from truez.support.spill import Spill
from truez.surveys.pdfs.scattered import ScatteredRows

Array = NDArray[np.float64]
Single = NDArray[np.float32]
#: Cumulative probabilities of the quantiles: dense where a few outliers end and the peak begins.
_TAIL = (1e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 7.5e-3, *np.arange(4, 20) / 400)
LEVELS = np.array([*_TAIL, *np.arange(5, 96) / 100, *(1 - np.array(_TAIL[::-1]))])
#: Fewest quantiles, and those of a run of a partition by default.
FEWEST, FEW = 5, 19
#: The beta distribution whose quantiles few levels are, about: even ones (1) lose the tails, those
#: that are even on a Gaussian lose twice as much of the peaks.
_BETA = 0.4
#: The lower one of those levels that any number has.
_SIGMA = 0.16


def some_levels(num: int) -> Array:
    """Levels of a number of quantiles, some of the 137: denser in the tails than in the middle.

    They are those next to the quantiles of a beta distribution of 0.4 and 0.4, and 0.16 and 0.84
    are always among them. What 19 of them keep was measured on GAMA (``docs/guides/clusters.md``).

    Parameters
    ----------
    num : int
        5 to 137.

    Returns
    -------
    (num,) array

    Raises
    ------
    ValueError
        If the number is another.

    Examples
    --------
    >>> from truez.sky.quantiles import some_levels
    >>> some_levels(7).tolist()
    [0.02, 0.16, 0.28, 0.5, 0.72, 0.84, 0.98]
    """
    if not FEWEST <= num <= len(LEVELS):
        raise ValueError(f"quantiles must be {FEWEST} to {len(LEVELS)}, not {num!r}")
    middle, half = len(LEVELS) // 2, num // 2
    places = ndtri(LEVELS[:middle])
    shares = betaincinv(_BETA, _BETA, np.arange(1, half + 1) / (num + 1))
    found: list[int] = []
    for number, wanted in enumerate(ndtri(shares)):
        nearest = int(np.abs(places - wanted).argmin())
        free = max(nearest, found[-1] + 1) if found else nearest
        found.append(min(free, middle - half + number))  # so that there is room for the others
    sigma = int(np.abs(LEVELS - _SIGMA).argmin())
    found[int(np.abs(places[found] - places[sigma]).argmin())] = sigma
    upper = [2 * middle - place for place in reversed(found)]
    return np.asarray(LEVELS[[*found, *[middle] * (num % 2), *upper]])


def quantiles_of(some: Posteriors, line: SightLine, levels: Array = LEVELS) -> Single:
    """Quantiles of posteriors on a sight line, (m, levels), each larger than the one before."""
    exact = replace(some, probability=some.probability.double())
    shares = exact.probability.new_tensor(levels).expand(len(some.rows), -1).contiguous()
    return ascending(line.redshift(exact.quantile(shares).numpy()))


def known_quantiles(redshift: Array, edges: Array, levels: Array = LEVELS) -> Single:
    """Quantiles of known redshifts (m,): even over the width of the bin around each, (m, levels).

    Parameters
    ----------
    redshift : (m,) array
    edges : (n + 1,) array
        Of the redshift bins that all galaxies share.
    levels : (levels,) array
        Cumulative probabilities, ascending.
    """
    width = np.diff(edges)[bins_of(redshift, edges)]
    found = redshift[:, None] + width[:, None] * (levels - 0.5)
    return ascending(np.maximum(found, 0.0))


def bins_of(redshift: Array, edges: Array) -> NDArray[np.int64]:
    """The bin that each redshift is in, the first or the last one for those beyond all."""
    found = np.searchsorted(edges, redshift, side="right") - 1
    return np.asarray(np.clip(found, 0, len(edges) - 2), np.int64)


def ascending(redshift: Array) -> Single:
    """Quantiles in float32, each larger than the one before, as qp wants them."""
    # Positive numbers are in the order of their bits.
    bits = np.maximum(redshift, 0.0).astype(np.float32).view(np.int32)
    steps = np.arange(redshift.shape[1], dtype=np.int32)
    return np.asarray((np.maximum.accumulate(bits - steps, axis=1) + steps).view(np.float32))


class QuantileRows:
    """Quantiles of galaxies that come in any order and are read in that of their rows.

    Parameters
    ----------
    spill : Spill
        Where they wait.
    levels : (levels,) array
        Cumulative probabilities, ascending.
    """

    def __init__(self, spill: Spill, levels: Array = LEVELS) -> None:
        self.levels = levels
        self._rows = ScatteredRows(len(levels), spill)

    def add(self, rows: NDArray[np.int64], some: Posteriors, line: SightLine) -> None:
        """Add the posteriors of some rows."""
        self._rows.put(rows, quantiles_of(some, line, self.levels))

    def add_known(self, rows: NDArray[np.int64], redshift: Array, edges: Array) -> None:
        """Add known redshifts of some rows, as narrow as their bins."""
        self._rows.put(rows, known_quantiles(redshift, edges, self.levels))

    def read(self, start: int, stop: int) -> Single:
        """Those of a range of rows, (stop - start, levels); nan for rows that have not come."""
        return self._rows.read(start, stop, fill=np.full(len(self.levels), np.nan))
