"""Scores of p(z) at true redshifts: PIT, CRPS, CDE loss and ln p, of cells of redshift.

A p(z) is its probability in cells, evenly spread in each, so that its cumulative probability F is
linear between their edges. Of a galaxy at z_true, with H the step from 0 to 1 there,

    PIT = F(z_true),    CRPS = integral of (F - H)^2 dz,
    CDE loss = integral of p^2 dz - 2 p(z_true)

(Gneiting & Raftery 2007; Izbicki & Lee 2017), all of them integrated exactly. The CDE loss is the
mean squared error of the density but for a constant. CRPS, CDE loss and -ln p are lowest for the
right p(z); right p(z) have a PIT that is uniform.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.evaluate.photoz.densities import Densities
from truez.evaluate.sky.redshifts import at_truth
from truez.support.progress import Progress, silent

Array = NDArray[np.float64]
#: Numbers of a block of p(z) that is in memory at a time.
_BLOCK = 2**21


@dataclass(frozen=True, eq=False)
class PdfScores:
    """Scores of the p(z) of galaxies, each an array (n,), nan where a p(z) cannot be used.

    Parameters
    ----------
    ln_p : array
        ln of the density at the true redshift [1 / redshift]; -inf where it is 0.
    pit : array
        Probability below the true redshift.
    crps : array
        Continuous ranked probability score [redshift].
    cde_loss : array
        [1 / redshift].
    """

    ln_p: Array
    pit: Array
    crps: Array
    cde_loss: Array

    def __len__(self) -> int:
        return len(self.pit)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Galaxies whose p(z) can be used."""
        return np.isfinite(self.crps)

    def take(self, rows: NDArray[Any]) -> PdfScores:
        """Those of some of the galaxies, by a mask (n,) or by indices."""
        return PdfScores(*(getattr(self, item.name)[rows] for item in fields(self)))


def pdf_scores(edges: ArrayLike, probability: ArrayLike, z_true: ArrayLike) -> PdfScores:
    """Scores of p(z) that are constant in cells of redshift.

    Parameters
    ----------
    edges : (k + 1,) array
        Ascending redshifts.
    probability : (n, k) array
        Of each cell, in any scale: each row is scaled to 1 in total.
    z_true : (n,) array
        Also beyond the edges, where the density is 0.

    Returns
    -------
    PdfScores

    Examples
    --------
    >>> from truez.evaluate.photoz import pdf_scores
    >>> found = pdf_scores([0.0, 0.5, 1.0], [[1.0, 1.0]], [0.5])
    >>> found.pit, found.crps.round(4), found.cde_loss
    (array([0.5]), array([0.0833]), array([-1.]))
    """
    limits, truth = np.asarray(edges, np.float64), np.asarray(z_true, np.float64)
    width = np.diff(limits)
    shares = np.asarray(probability, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = shares / shares.sum(axis=1, keepdims=True)
        ln_share, pit = at_truth(limits, shares, truth)
    pit = np.where(np.isnan(pit), pit, np.clip(pit, 0, 1))
    cell = np.clip(np.searchsorted(limits, truth, side="right") - 1, 0, len(width) - 1)
    ln_p = ln_share - np.log(width[cell])
    reached = np.zeros((len(shares), len(limits)))
    np.cumsum(shares, axis=1, out=reached[:, 1:])
    squared = np.einsum("ij,ij,j->i", shares, shares, 1 / width)
    return PdfScores(ln_p, pit, _crps(limits, reached, truth, cell), squared - 2 * np.exp(ln_p))


def _crps(edges: Array, reached: Array, truth: Array, cell: NDArray[np.int64]) -> Array:
    """Integral of (F - H)^2 with F (n, k + 1) linear between edges, and the truth in a cell."""
    rows, width = np.arange(len(truth)), np.diff(edges)
    inside = np.clip(truth, edges[0], edges[-1])
    first, last = reached[rows, cell], reached[rows, cell + 1]
    before, behind = inside - edges[cell], edges[cell + 1] - inside
    there = first + (last - first) * before / width[cell]
    result = _squares(first, there) * before + _squares(1 - there, 1 - last) * behind
    away = reached - (np.arange(len(edges)) > cell[:, None])
    low, high = away[:, :-1], away[:, 1:]
    for one, other in ((low, low), (low, high), (high, high)):
        result += np.einsum("ij,ij,j->i", one, other, width / 3)
    # The cell of the truth has a step within it.
    result -= _squares(first, last - 1) * width[cell]
    return np.asarray(np.maximum(result, 0.0) + np.abs(truth - inside))


def _squares(low: Array, high: Array) -> Array:
    """Mean of the square of what is linear from one value to another."""
    return np.asarray((low**2 + low * high + high**2) / 3)


def scores_of(
    densities: Densities,
    rows: NDArray[np.int64],
    z_true: Array,
    edges: Array,
    *,
    progress: Progress = silent,
) -> PdfScores:
    """Scores of some galaxies, a block at a time; see `pdf_scores`.

    Parameters
    ----------
    densities : Densities
    rows : (n,) int array
        Of the galaxies.
    z_true : (n,) array
    edges : (k + 1,) array
    progress : Progress
    """
    found = []
    step = max(_BLOCK // len(edges), 1)
    for start in range(0, len(rows), step):
        progress("p(z)", start, len(rows))
        part = slice(start, start + step)
        found.append(pdf_scores(edges, densities.probability(rows[part], edges), z_true[part]))
    progress("p(z)", len(rows), len(rows))
    return PdfScores(
        *(np.concatenate([getattr(one, item.name) for one in found]) for item in fields(PdfScores))
    )
