"""What a survey must know of the p(z) of all its galaxies, in one pass over the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.support.progress import Progress, silent
from truez.surveys.nz_form import fit_form
from truez.surveys.pdfs.forms import Array, Flags, Problem, check_edges, probability, problems
from truez.surveys.pdfs.galaxies import GalaxyPdfs
from truez.surveys.pdfs.prior import PdfPrior
from truez.surveys.pdfs.table import Problems

#: What is further from the median than so many sigma, and so much over 1 + z, is no core.
_FAR_SIGMA, _FAR = 4.0, 0.1
#: Ends of the central 68% and the median.
_SHARES = (0.16, 0.5, 0.84)


@dataclass(frozen=True, eq=False, repr=False)
class PdfSummary:
    """Numbers of each p(z), NaN where it cannot be used.

    Parameters
    ----------
    flags : (n,) uint8 array
        `Problem` of each.
    median : (n,) array
        Redshift.
    sigma_z : (n,) array
        Half of the central 68% over 1 + the median.
    outlier_fraction : (n,) array
        Probability beyond 4 sigma from the median, and beyond 0.1 (1 + z).
    skewness : (n,) array
        Difference of both halves of the central 68% over their sum, in [-1, 1].
    edges : (k + 1,) array
        Redshifts that they were computed with.
    stack : (k,) array
        Sum of the p(z) between them.
    """

    flags: Flags
    median: Array
    sigma_z: Array
    outlier_fraction: Array
    skewness: Array
    edges: Array = field(repr=False)
    stack: Array = field(repr=False)

    def __repr__(self) -> str:
        good = self.flags == 0
        if not good.any():
            return f"PdfSummary of {len(good)} galaxies, of which none can be used"
        return (
            f"PdfSummary of {len(good)} galaxies, of which {np.count_nonzero(good)} can be used: "
            f"median sigma(z) / (1 + z) = {np.median(self.sigma_z[good]):.3g}, "
            f"{100 * np.mean(self.outlier_fraction[good]):.2f}% far from the median"
        )

    @property
    def problems(self) -> Problems:
        """The galaxies whose p(z) cannot be used."""
        return Problems(self.flags)


def summarise(
    pdfs: GalaxyPdfs, edges: ArrayLike, progress: Progress = silent, *,
    rows: NDArray[Any] | None = None,
) -> PdfSummary:  # fmt: skip
    """Widths, outliers and skewness of all p(z), in one pass in the order of the file.

    Parameters
    ----------
    pdfs : GalaxyPdfs
    edges : (k + 1,) array
        Redshifts of the survey. Between them p(z) is taken to be constant, so that they should be
        finer than its width; a p(z) without probability between the first and the last is flagged,
        and so is one without any where the prior is not 0.
    progress : Progress, optional
    rows : (n,) int array or mask, optional
        Galaxies that count in the stack; all by default. Of others the numbers are computed, too.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.surveys.pdfs import GalaxyPdfs, PdfPrior, PdfTable, summarise
    >>> table = PdfTable.of_arrays("norm", {"loc": [0.5, 0.7], "scale": [0.03, np.nan]})
    >>> found = summarise(GalaxyPdfs(table, PdfPrior()), np.linspace(0, 1.5, 301))
    >>> found
    PdfSummary of 2 galaxies, of which 1 can be used: median sigma(z) / (1 + z) = 0.0199, 0.00% far from the median
    >>> found.problems.rows, float(found.stack.sum().round(6))
    (array([1]), 1.0)
    """  # noqa: E501
    limits = check_edges(edges)
    num = len(pdfs)
    there = pdfs.prior.mass(limits) > 0
    counted = np.ones(num, np.bool_)
    if rows is not None:
        counted = np.zeros(num, np.bool_)
        counted[rows] = True
    flags = np.full(num, Problem.NOT_FINITE, np.uint8)
    numbers = np.full((4, num), np.nan)
    stack, done = np.zeros(len(limits) - 1), 0
    for places, form in pdfs.table.forms(np.arange(num)):
        progress("p(z)", done, num)
        done += len(places)
        found = problems(form)
        inside = probability(form, limits)
        found[(found == 0) & ~(inside[:, there].sum(1) > 0)] = Problem.OFF_GRID
        given = pdfs.problems.flags[places]
        found = np.where(given > 0, given, found)
        flags[places] = found
        good = found == 0
        own = inside if good.all() else inside[good]
        numbers[:, places[good]] = _numbers(own, limits)
        stack += own[counted[places[good]]].sum(0)
    median, sigma, outliers, skewness = numbers
    return PdfSummary(flags, median, sigma, outliers, skewness, limits, stack)


def prior_of_stack(summary: PdfSummary, *, name: str = "photo") -> PdfPrior:
    """The prior of codes that were trained on a fair part of the survey: N(z), from p(z) alone.

    The sum of p(z), if they are calibrated, is N(z) of the galaxies; the smooth form of
    `truez.surveys.nz_form` is fitted to it, as a prior follows no clustering.

    Parameters
    ----------
    summary : PdfSummary
        With the ``rows`` of the survey.
    name : str
        Of the survey, for messages.

    Raises
    ------
    ValueError
        If less than 50 galaxies have a p(z) that can be used.
    """
    return PdfPrior(fit_form(summary.edges, summary.stack, name=name))


def _numbers(inside: Array, edges: Array) -> Array:
    """Median, width, share far away and skewness of probabilities in cells (n, k), (4, n)."""
    below = np.zeros((len(inside), len(edges)))
    np.cumsum(inside, axis=1, out=below[:, 1:])
    below /= below[:, -1:]
    low, median, high = (_quantile(below, edges, share) for share in _SHARES)
    width = high - low
    sigma = width / 2 / (1 + median)
    reach = np.maximum(_FAR_SIGMA * sigma, _FAR) * (1 + median)
    core = _at(below, edges, median + reach) - _at(below, edges, median - reach)
    skewness = np.divide(high + low - 2 * median, width, out=np.zeros_like(width), where=width > 0)
    return np.stack([median, sigma, np.clip(1 - core, 0.0, 1.0), skewness])


def _quantile(below: Array, edges: Array, share: float) -> Array:
    """Redshifts (n,) at which cumulative probabilities (n, k + 1) reach a share."""
    cell = np.clip((below < share).sum(1), 1, len(edges) - 1)
    each = np.arange(len(below))
    low, high = below[each, cell - 1], below[each, cell]
    part = np.divide(share - low, high - low, out=np.zeros_like(low), where=high > low)
    return np.asarray(edges[cell - 1] + part * (edges[cell] - edges[cell - 1]))


def _at(below: Array, edges: Array, redshift: Array) -> Array:
    """Cumulative probabilities of each galaxy at a redshift of its own, (n,)."""
    z = np.clip(redshift, edges[0], edges[-1])
    cell = np.clip(np.searchsorted(edges, z, side="right"), 1, len(edges) - 1)
    each = np.arange(len(below))
    part = (z - edges[cell - 1]) / (edges[cell] - edges[cell - 1])
    low, high = below[each, cell - 1], below[each, cell]
    return np.asarray(low + part * (high - low))
