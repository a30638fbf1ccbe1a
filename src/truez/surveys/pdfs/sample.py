"""Likelihoods of a random part of the galaxies on a fine grid, and the errors that they stack to.

The photo-z error of a class of galaxies is p(z_phot | z), which p(z) do not state: they say where a
galaxy is, and z_phot is only a number of the catalogue. If a class has one error, whose density in
t = (z - z_phot) / (1 + z) is h(t), a likelihood as a function of z is h about its photo-z,
L dz ~ h(t) dt / (1 - t). So the sum of the likelihoods of a class, each with a total of 1, is h
times the galaxies of which t is within the cells, whatever N(z) and the cut in photo-z are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.surveys.nz_fit import photo_limits, smoothed_shares
from truez.surveys.nz_form import FEWEST
from truez.surveys.pdfs.forms import Array
from truez.surveys.pdfs.galaxies import GalaxyPdfs
from truez.surveys.pdfs.summary import PdfSummary
from truez.surveys.stacked_error import StackedError

Single = NDArray[np.float32]
#: Cells of the grid over the sigma of the narrowest p(z), at least and at most.
_CELLS, _FEWEST_CELLS, _MOST_CELLS = 5.0, 200, 1200
#: Numbers in memory at most, and galaxies that are computed with at a time.
_NUMBERS, _STEP = 3e7, 2**12
#: Quantiles of sigma that count as the narrowest and as a usual one.
_NARROW, _USUAL = 0.05, 0.5
#: Bins of t: over |t|, over the narrowest sigma, over a usual one, and up to which |t| that counts.
_GROWTH, _PER_NARROW, _PER_USUAL, _NEAR = 0.1, 4.0, 3.0, 0.4
#: Share of the p(z) at high redshifts that is left out.
_LEFT_OUT = 1e-5
#: Least exposure of a bin of t over the largest, and of a redshift that shares are counted at.
_EXPOSED, _SEEN = 0.1, 0.2
#: Least probability in the range of redshifts that shares are counted at, fewest cells of them, and
#: steps that balance classes.
_INSIDE, _FEWEST_WHOLE, _BALANCES = 0.3, 10, 20
#: Numbers of galaxies in a cell, over the largest, at which shares are counted.
_THIN = 1e-2


@dataclass(frozen=True, eq=False)
class LikelihoodSample:
    """Likelihoods of galaxies in cells of redshift.

    Parameters
    ----------
    places : (n,) int array
        Of the galaxies in the arrays that they are a random part of.
    edges : (m + 1,) array
        Redshifts whose logarithms of 1 + z are evenly spaced.
    likelihood : (n, m) float32 array
    z_phot, weights : (n,) arrays
        Weights are scaled so that their sum is that of all galaxies.
    z_range : (2,) floats
        Photo-z that the sample was cut to.
    nodes : (k + 1,) array
        Edges of the bins of t.
    even : (m,) float32 array
        What outliers contribute to the likelihoods.
    outlier_fraction : float
    outlier_range : (2,) floats
    drawn : (n,) int array
        The galaxies in the order in which they were drawn.
    total : float
        Sum of the weights of all galaxies.
    """

    places: NDArray[np.int64]
    edges: Array
    likelihood: Single
    z_phot: Array
    weights: Array
    z_range: tuple[float, float]
    nodes: Array
    even: Single
    outlier_fraction: float
    outlier_range: tuple[float, float]
    drawn: NDArray[np.int64]
    total: float

    @classmethod
    def of(
        cls, pdfs: GalaxyPdfs, summary: PdfSummary, rows: ArrayLike, z_phot: ArrayLike, *,
        z_range: tuple[float, float] | None = None, weights: ArrayLike | None = None,
        true_range: tuple[float, float] | None = None, most: int = 100_000, name: str = "photo",
    ) -> LikelihoodSample:  # fmt: skip
        """A random part of the galaxies of some rows with p(z) that can be used.

        Parameters
        ----------
        pdfs : GalaxyPdfs
        summary : PdfSummary
        rows : (n,) int array
            Of the catalogue.
        z_phot : (n,) array
            Their photo-z.
        z_range : (2,) floats, optional
            Photo-z that the sample was cut to; those of all galaxies by default.
        weights : (n,) array, optional
        true_range : (2,) floats, optional
            Redshifts beyond which there are no galaxies; those of the summary by default.
        most : int
            Galaxies at most, and fewer where p(z) are narrow.
        name : str
            Of the survey, for messages.

        Raises
        ------
        ValueError
            If there are fewer than 50, all have one photo-z, photo-z are not finite, or weights
            negative.
        """
        own, z = np.asarray(rows, np.int64), np.asarray(z_phot, np.float64)
        w = np.ones(len(own)) if weights is None else np.asarray(weights, np.float64)
        if z.shape != own.shape or w.shape != own.shape:
            raise ValueError(
                f"z_phot and weights must be one for each of {len(own)} rows, not {z.shape} and "
                f"{w.shape}"
            )
        low, high = photo_limits(z, w, z_range, name)
        good = pdfs.usable & (summary.flags == 0)
        inside = np.flatnonzero((z >= low) & (z <= high) & (w > 0) & good[own])
        if len(inside) < FEWEST:
            raise ValueError(
                f"N(z) of the {name} survey cannot be fitted to the p(z) of {len(inside)} galaxies "
                f"with photo-z between {low:.3g} and {high:.3g}: at least {FEWEST} are needed"
            )
        sigma = np.minimum(summary.sigma_z, summary.peak_sigma_z)[own[inside]]
        narrow, usual = np.maximum(np.quantile(sigma, [_NARROW, _USUAL]), 1e-4)
        highest = pdfs.outlier_range[1] if pdfs.outlier_range and pdfs.outlier_fraction else high
        first, last = _ends(summary, max(high, highest), true_range)
        start, end = float(np.log1p(first)), float(np.log1p(last))
        cells = int(np.clip(_CELLS * (end - start) / narrow, _FEWEST_CELLS, _MOST_CELLS))
        edges = np.expm1(np.linspace(start, end, cells + 1))
        num = int(min(most, max(_NUMBERS / (len(edges) - 1), 1000)))
        inside = np.random.default_rng(0).permutation(inside)[:num]
        # Read in the order of the file, so that none of it is read twice, and kept in that of the
        # catalogue, so that sums do not depend on the file.
        drawn = np.argsort(inside)
        inside, drawn = inside[drawn], np.argsort(drawn)
        of_file = own if pdfs.table.rows is None else pdfs.table.rows[own]
        order = np.argsort(of_file[inside], kind="stable")
        likelihood = np.empty((len(inside), len(edges) - 1), np.float32)
        for start in range(0, len(inside), _STEP):
            part = order[start : start + _STEP]
            likelihood[part] = pdfs.likelihood(own[inside[part]], edges)
        limits = pdfs.outlier_range or (first, last)
        even = np.diff(np.clip(edges, *limits)) / np.diff(edges) / (limits[1] - limits[0])
        total = float(w[(z >= low) & (z <= high)].sum())
        return cls(
            inside, edges, likelihood, z[inside], w[inside] * (total / w[inside].sum()),
            (low, high), _nodes(narrow, usual, last),
            (pdfs.outlier_fraction * even).astype(np.float32), pdfs.outlier_fraction, limits,
            drawn, total,
        )  # fmt: skip

    def part(self, most: int) -> LikelihoodSample:
        """The galaxies that were drawn first, as if no more had been."""
        if most >= len(self):
            return self
        own = np.sort(self.drawn[:most])
        weights = self.weights[own]
        return replace(
            self, places=self.places[own], likelihood=self.likelihood[own],
            z_phot=self.z_phot[own], weights=weights * (self.total / weights.sum()),
            drawn=np.searchsorted(own, self.drawn[:most]),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.likelihood)

    @property
    def middle(self) -> Array:
        """Middle of the cells, (m,)."""
        return np.asarray((self.edges[1:] + self.edges[:-1]) / 2)

    def posteriors(self, counts: Array) -> Iterator[tuple[slice, Single]]:
        """p(z) of the galaxies, (.., m), under numbers of galaxies (m,) in the cells."""
        numbers = counts.astype(np.float32)
        for start in range(0, len(self), _STEP):
            part = slice(start, start + _STEP)
            found = self.likelihood[part] * numbers
            total = found.sum(1, keepdims=True)
            yield part, np.divide(found, total, out=found, where=total > 0)

    def stack(self, counts: Array) -> Array:
        """Sum of p(z) of the galaxies under numbers of galaxies (m,), times their weights, (m,)."""
        found = (self.weights[part] @ each for part, each in self.posteriors(counts))
        return np.asarray(sum(found, np.zeros(len(counts))))

    def profiles(self, counts: Array) -> Single:
        """Posteriors in bins of t, outliers left out, (n, k)."""
        result = np.empty((len(self), len(self.nodes) - 1), np.float32)
        for part, found in self.posteriors(counts):
            result[part] = self._in_bins(found * (1 - self._share_even(part)), part)
        return result

    def errors(self, numbers: NDArray[np.int64], num: int) -> list[StackedError]:
        """The errors of classes of galaxies.

        Parameters
        ----------
        numbers : (n,) int array
            Class of each galaxy.
        num : int
            Classes.
        """
        stacks = np.zeros((num, len(self.nodes) - 1))
        for part, found in self.posteriors(np.diff(self.edges)):
            core = found * (1 - self._share_even(part))
            binned = self._in_bins(core, part) * self.weights[part, None]
            for number in range(num):
                stacks[number] += binned[numbers[part] == number].sum(0)
        return [
            self._error(stack, self._visible(numbers == number))
            for number, stack in enumerate(stacks)
        ]

    def shares(
        self, numbers: NDArray[np.int64], errors: list[StackedError], counts: Array | None = None
    ) -> Array:
        """The share of each class at each redshift, (num, m), by the posteriors of its galaxies.

        Parameters
        ----------
        numbers : (n,) int array
            Class of each galaxy.
        errors : list of StackedError
            Of the classes.
        counts : (m,) array, optional
            Galaxies of all classes in the cells, before the cut in photo-z; by default N(z) is
            even.
        """
        expected = np.diff(self.edges) if counts is None else counts
        at = np.zeros((len(errors), len(expected)))
        for part, found in self.posteriors(expected):
            for number in range(len(errors)):
                own = numbers[part] == number
                at[number] += self.weights[part][own] @ found[own]
        seen = at.sum(0)
        if counts is not None:
            # Where N(z) expects next to none, a few galaxies make much of it.
            some = counts > _THIN * counts.max()
            seen = np.divide(seen, counts, out=np.zeros_like(seen), where=some)
        there = seen > _SEEN * seen.max()
        shares = smoothed_shares(at[:, there], self.middle[there], self.middle)
        if counts is None or len(errors) == 1:
            return shares
        # Narrow errors end more sharply at the ends of the range than wide ones.
        inside = self._inside(errors)
        whole = there & (inside > _INSIDE).all(0)
        if np.count_nonzero(whole) >= _FEWEST_WHOLE:
            shares = smoothed_shares(
                at[:, whole] / inside[:, whole], self.middle[whole], self.middle
            )
        totals = np.bincount(numbers, self.weights, minlength=len(errors)).astype(np.float64)
        return _balanced(shares, counts * inside, totals)

    def selected(self, errors: list[StackedError], shares: Array) -> Array:
        """Probability that a galaxy of a cell has its photo-z in the range of the sample, (m,)."""
        return np.asarray((shares * self._inside(errors)).sum(0))

    def _inside(self, errors: list[StackedError]) -> Array:
        """Probability of each class to be in the range, (num, m)."""
        return np.array([error.probability(self.z_range, self.middle)[0] for error in errors])

    def _error(self, stack: Array, visible: Array) -> StackedError:
        """The error of a class from its stack and what can be seen, over the bins of t, (k,)."""
        seen = visible > _EXPOSED * visible.max()
        shape = np.divide(stack, visible, out=np.zeros_like(stack), where=seen)
        if not shape.sum() > 0:  # of galaxies that are all outliers
            return StackedError(self.nodes, np.ones_like(stack), 1.0, self.outlier_range)
        # What lies where no shape can be found is as good as anywhere.
        beyond = float(stack[~seen].sum() / stack.sum())
        # Likelihoods have a total of 1 in z, and errors in z_phot.
        t = (self.nodes[1:] + self.nodes[:-1]) / 2
        total = float((shape / (1 - t)).sum() / shape.sum()) * self.outlier_fraction
        fraction = 1 - (1 - total / (total + 1 - self.outlier_fraction)) * (1 - beyond)
        used = np.flatnonzero(shape)
        kept = slice(used[0], used[-1] + 1)
        nodes = self.nodes[used[0] : used[-1] + 2]
        return StackedError(nodes, shape[kept], fraction, self.outlier_range)

    def _visible(self, own: NDArray[np.bool_]) -> Array:
        """Galaxies of which each t is within the cells, times that of which L is h, (k,).

        At a given photo-z, L dz ~ h(t) dz / (1 + z) = h(t) dt / (1 - t).
        """
        t = (self.nodes[1:] + self.nodes[:-1]) / 2
        order = np.argsort(self.z_phot[own])
        photo, below = self.z_phot[own][order], np.append(0.0, np.cumsum(self.weights[own][order]))
        # The photo-z of a galaxy that is at either end of the cells.
        low, high = (
            below[np.searchsorted(photo, end - t * (1 + end))] for end in self.edges[[0, -1]]
        )
        return np.asarray((high - low) / (1 - t))

    def _share_even(self, part: slice) -> Single:
        """Share of outliers in likelihoods."""
        own = self.likelihood[part]
        result = np.zeros_like(own)
        return np.divide(np.broadcast_to(self.even, own.shape), own, out=result, where=own > 0)

    def _in_bins(self, found: Single, part: slice) -> Array:
        """Probabilities (.., m) in bins of t, (.., k)."""
        below = np.zeros((len(found), len(self.edges)))
        np.cumsum(found, axis=1, out=below[:, 1:])
        first, last = np.log1p(self.edges[[0, -1]])
        # 1 + z = (1 + z_phot) / (1 - t)
        places = np.log1p(self.z_phot[part, None]) - np.log1p(-self.nodes)
        cells = len(self.edges) - 1
        place = (np.clip(places, first, last) - first) * (cells / (last - first))
        cell = np.minimum(place.astype(np.int64), cells - 1)
        rest = place - cell
        low = np.take_along_axis(below, cell, 1)
        high = np.take_along_axis(below, cell + 1, 1)
        return np.asarray(np.diff(low + rest * (high - low), axis=1))


def _ends(
    summary: PdfSummary, least: float, true_range: tuple[float, float] | None
) -> tuple[float, float]:
    """Redshifts between which galaxies may truly be, up to the least of the highest or more."""
    below = np.append(0.0, np.cumsum(summary.stack))
    top = float(np.interp((1 - _LEFT_OUT) * below[-1], below, summary.edges))
    first, last = float(summary.edges[0]), max(top, least)
    if true_range is not None:
        first, last = max(first, true_range[0]), min(last, true_range[1])
    first = max(first, 0.0)
    if not first < last:
        raise ValueError(f"redshift_range {true_range} leaves no redshifts of the survey")
    return first, last


def _balanced(shares: Array, visible: Array, totals: Array) -> Array:
    """Shares (num, m) with which each class has its part of the visible galaxies."""
    wanted = totals / totals.sum()
    for _ in range(_BALANCES):
        found = (shares * visible).sum(1)
        factor = np.divide(wanted * found.sum(), found, out=np.ones_like(found), where=found > 0)
        shares = shares * factor[:, None]
        shares = shares / np.maximum(shares.sum(0), 1e-300)
    return shares


def _nodes(narrow: float, usual: float, last: float) -> Array:
    """Edges of bins of t, finest about 0."""
    end, nodes = last, [0.0]
    while nodes[-1] < end:
        step = max(_GROWTH * nodes[-1], narrow / _PER_NARROW)
        if nodes[-1] < _NEAR:
            step = min(step, max(usual / _PER_USUAL, narrow / _PER_NARROW))
        nodes.append(nodes[-1] + step)
    above = np.array(nodes)
    return np.concatenate([-above[:0:-1], above[above < min(end / (1 + end), 0.95)]])
