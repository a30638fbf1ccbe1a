"""Sharpened p(z) as quantiles: redshifts at which 137 cumulative probabilities are reached."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from truez.sightlines.posteriors import Posteriors
from truez.sky.sight_line import SightLine
from truez.support.spill import Spill
from truez.surveys.pdfs.scattered import ScatteredRows

Array = NDArray[np.float64]
Single = NDArray[np.float32]
#: Cumulative probabilities of the quantiles: dense where a few outliers end and the peak begins.
_TAIL = (1e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 7.5e-3, *np.arange(4, 20) / 400)
LEVELS = np.array([*_TAIL, *np.arange(5, 96) / 100, *(1 - np.array(_TAIL[::-1]))])


def quantiles_of(some: Posteriors, line: SightLine) -> Single:
    """Quantiles of posteriors on a sight line, (m, 137), each larger than the one before."""
    exact = replace(some, probability=some.probability.double())
    levels = exact.probability.new_tensor(LEVELS).expand(len(some.rows), -1).contiguous()
    return ascending(line.redshift(exact.quantile(levels).numpy()))


def known_quantiles(redshift: Array, edges: Array) -> Single:
    """Quantiles of known redshifts (m,): even over the width of the bin around each, (m, 137).

    Parameters
    ----------
    redshift : (m,) array
    edges : (n + 1,) array
        Of the redshift bins that all galaxies share.
    """
    width = np.diff(edges)[bins_of(redshift, edges)]
    found = redshift[:, None] + width[:, None] * (LEVELS - 0.5)
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
    """

    def __init__(self, spill: Spill) -> None:
        self._rows = ScatteredRows(len(LEVELS), spill)

    def add(self, rows: NDArray[np.int64], some: Posteriors, line: SightLine) -> None:
        """Add the posteriors of some rows."""
        self._rows.put(rows, quantiles_of(some, line))

    def add_known(self, rows: NDArray[np.int64], redshift: Array, edges: Array) -> None:
        """Add known redshifts of some rows, as narrow as their bins."""
        self._rows.put(rows, known_quantiles(redshift, edges))

    def read(self, start: int, stop: int) -> Single:
        """Those of a range of rows, (stop - start, 137); nan for rows that have not come."""
        return self._rows.read(start, stop, fill=np.full(len(LEVELS), np.nan))
