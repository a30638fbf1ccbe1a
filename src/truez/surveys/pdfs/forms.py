"""p(z) of some galaxies in memory, in the forms that photo-z codes write, and their integrals.

A form gives the probability between redshifts exactly as its density has it, and never by sampling:

`Steps`
    Constant between edges: histograms, and quantiles, whose cumulative probability is linear
    between them.
`Lines`
    Linear between nodes, and 0 beyond them.
`Gaussians`
    One normal distribution for each galaxy, or a sum of several.

Each p(z) is scaled to a total of 1 over its own range. Those that cannot be used are NaN in all
that is computed from them, and `Problem` says why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]
Flags = NDArray[np.uint8]
#: Densities below 0 that are rounding, over the largest of their p(z).
_ROUNDING = 1e-6
#: Cells that are integrated over at a time.
_COLUMNS = 16


class Problem(IntEnum):
    """Why the p(z) of a galaxy cannot be used; ``NONE`` where it can."""

    NONE = 0
    #: No p(z), or NaN or infinity in it.
    NOT_FINITE = 1
    #: A density or a weight below 0.
    NEGATIVE = 2
    #: 0 everywhere, or without a width.
    ZERO = 3
    #: Quantiles, or the grid of this galaxy, that do not ascend.
    DISORDERED = 4
    #: No probability at the redshifts in question.
    OFF_GRID = 5

    @property
    def text(self) -> str:
        """The problem in words, as the end of a sentence about p(z)."""
        return _TEXTS[self]


_TEXTS = {
    Problem.NONE: "are sound",
    Problem.NOT_FINITE: "are missing or not finite",
    Problem.NEGATIVE: "are negative somewhere",
    Problem.ZERO: "are 0 everywhere or have no width",
    Problem.DISORDERED: "have redshifts that do not ascend",
    Problem.OFF_GRID: "have no probability at the redshifts of the survey",
}


class Form(Protocol):
    """p(z) of some galaxies (n,)."""

    def __len__(self) -> int:
        """Number of galaxies."""

    def pick(self, rows: slice | NDArray[np.int64]) -> Form:
        """The p(z) of some of the galaxies, in their order."""

    def problems(self) -> Flags:
        """`Problem` of each galaxy, of those that do not depend on redshifts; shape (n,)."""

    def integrals(self, edges: Array) -> Array:
        """Probability between edges (k + 1,) of galaxies without a problem, shape (n, k)."""

    def first_two(self) -> tuple[Array, Array]:
        """Means of z and z^2 of galaxies without a problem, each (n,)."""

    def totals(self) -> Array:
        """What their numbers are scaled by, so that each p(z) has a total of 1, (n,)."""


def check_edges(edges: ArrayLike) -> Array:
    """Redshift edges (k + 1,), which must ascend.

    Raises
    ------
    ValueError
    """
    values = np.asarray(edges, np.float64)
    if values.ndim != 1 or len(values) < 2 or not (np.diff(values) > 0).all():
        raise ValueError("edges must be two rising redshifts or more, of shape (cells + 1,)")
    if not np.isfinite(values).all():
        raise ValueError("edges must be finite redshifts")
    return values


def problems(form: Form) -> Flags:
    """`Problem` of each galaxy, of those that do not depend on redshifts; shape (n,)."""
    with np.errstate(all="ignore"):
        return form.problems()


def probability(form: Form, edges: Array) -> Array:
    """Probability between edges, NaN for galaxies with a problem; shape (n, k)."""
    with np.errstate(all="ignore"):  # of galaxies with a problem
        result = form.integrals(edges)
    result[problems(form) > 0] = np.nan
    return result


def moments(form: Form) -> tuple[Array, Array]:
    """Mean and standard deviation, NaN for galaxies with a problem; each (n,)."""
    with np.errstate(all="ignore"):
        first, second = form.first_two()
        std = np.sqrt(np.maximum(second - first**2, 0.0))
    bad = problems(form) > 0
    first[bad], std[bad] = np.nan, np.nan
    return first, std


def flagged(*problems: tuple[Problem, NDArray[np.bool_]]) -> Flags:
    """The first of several problems that each galaxy has."""
    result = np.zeros(len(problems[0][1]), np.uint8)
    for problem, rows in problems:
        result[rows & (result == 0)] = problem
    return result


@dataclass(frozen=True, eq=False)
class Steps:
    """Densities that are constant between edges.

    Parameters
    ----------
    edges : (m + 1,) or (n, m + 1) array
        Of all galaxies, or of each. Equal ones of a galaxy are a probability at one redshift, which
        counts to the cell that it is the upper edge of.
    mass : (n, m) array
        Probability between them, in any scale.
    """

    edges: Array
    mass: Array

    def __len__(self) -> int:
        return len(self.mass)

    def pick(self, rows: slice | NDArray[np.int64]) -> Steps:
        """See `Form`."""
        return Steps(self.edges if self.edges.ndim == 1 else self.edges[rows], self.mass[rows])

    def problems(self) -> Flags:
        """See `Form`."""
        return _problems(self.edges, self.mass, self.totals())

    def integrals(self, edges: Array) -> Array:
        """See `Form`."""
        mass, total = _positive(self.mass), self.totals()[:, None]
        if self.edges.ndim == 1:
            return np.asarray(_product(mass, _overlaps(self.edges, edges)) / total)
        reached = np.zeros_like(self.edges)
        np.cumsum(mass / total, axis=1, out=reached[:, 1:])
        below = [
            np.interp(edges, nodes, values, left=0.0, right=1.0)
            for nodes, values in zip(self.edges, reached, strict=True)
        ]
        return np.asarray(np.diff(np.reshape(below, (len(mass), len(edges))), axis=1))

    def first_two(self) -> tuple[Array, Array]:
        """See `Form`."""
        mass, total = _positive(self.mass), self.totals()
        low, high = self.edges[..., :-1], self.edges[..., 1:]
        first = _sums(mass, (low + high) / 2) / total
        return first, _sums(mass, (low**2 + low * high + high**2) / 3) / total

    def totals(self) -> Array:
        """See `Form`."""
        return np.asarray(_positive(self.mass).sum(1))


@dataclass(frozen=True, eq=False)
class Lines:
    """Densities that are linear between nodes, and 0 beyond them.

    Parameters
    ----------
    nodes : (m,) or (n, m) array
        Redshifts, of all galaxies or of each.
    density : (n, m) array
        There, in any scale.
    """

    nodes: Array
    density: Array

    def __len__(self) -> int:
        return len(self.density)

    def pick(self, rows: slice | NDArray[np.int64]) -> Lines:
        """See `Form`."""
        return Lines(self.nodes if self.nodes.ndim == 1 else self.nodes[rows], self.density[rows])

    def problems(self) -> Flags:
        """See `Form`."""
        return _problems(self.nodes, self.density, self.totals())

    def integrals(self, edges: Array) -> Array:
        """See `Form`."""
        density = _positive(self.density)
        total = self.totals()[:, None]
        if self.nodes.ndim == 1:
            return np.asarray(_product(density, _hats(self.nodes, edges)) / total)
        result = np.empty((len(density), len(edges) - 1))
        for row, (nodes, values) in enumerate(zip(self.nodes, density, strict=True)):
            result[row] = np.diff(_below(nodes, values, edges))
        return np.asarray(result / total)

    def first_two(self) -> tuple[Array, Array]:
        """See `Form`."""
        density = _positive(self.density)
        low, high = self.nodes[..., :-1], self.nodes[..., 1:]
        steps = high - low
        first = _weights(steps * (2 * low + high) / 6, steps * (low + 2 * high) / 6)
        middle = 2 * low * high
        second = _weights(
            steps * (3 * low**2 + middle + high**2) / 12,
            steps * (low**2 + middle + 3 * high**2) / 12,
        )
        total = self.totals()
        return _sums(density, first) / total, _sums(density, second) / total

    def totals(self) -> Array:
        """See `Form`."""
        half = np.diff(self.nodes) / 2
        return _sums(_positive(self.density), _weights(half, half))


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Sums of normal distributions.

    Parameters
    ----------
    mean, std, weight : (n, m) arrays
        Of the parts of each galaxy, weights in any scale; parts with a weight of 0 are ignored.
    """

    mean: Array
    std: Array
    weight: Array

    def __len__(self) -> int:
        return len(self.mean)

    def pick(self, rows: slice | NDArray[np.int64]) -> Gaussians:
        """See `Form`."""
        return Gaussians(self.mean[rows], self.std[rows], self.weight[rows])

    def problems(self) -> Flags:
        """See `Form`."""
        used = self.weight != 0
        finite = np.isfinite(self.weight) & np.isfinite(self.mean) & np.isfinite(self.std) | ~used
        return flagged(
            (Problem.NOT_FINITE, ~finite.all(1)),
            (Problem.NEGATIVE, ((self.weight < 0) | (used & (self.std < 0))).any(1)),
            (Problem.ZERO, ~used.any(1) | (used & (self.std == 0)).any(1)),
        )

    def integrals(self, edges: Array) -> Array:
        """See `Form`."""
        result = np.zeros((len(self.mean), len(edges) - 1))
        for mean, std, weight in zip(self.mean.T, self.std.T, self._shares().T, strict=True):
            rows = np.flatnonzero(weight != 0)
            part = _between(edges, mean[rows, None], std[rows, None])
            result[rows] += weight[rows, None] * part
        return result

    def first_two(self) -> tuple[Array, Array]:
        """See `Form`."""
        used, shares = self.weight != 0, self._shares()
        mean, std = np.where(used, self.mean, 0.0), np.where(used, self.std, 0.0)
        return (shares * mean).sum(1), (shares * (mean**2 + std**2)).sum(1)

    def totals(self) -> Array:
        """See `Form`."""
        return np.asarray(self.weight.sum(1))

    def _shares(self) -> Array:
        return np.asarray(self.weight / self.totals()[:, None])


def _problems(grid: Array, values: Array, total: Array) -> Flags:
    """Problems of densities (n, m) on one grid, or on one for each galaxy; totals (n,)."""
    finite = np.isfinite(values.sum(1)) & np.isfinite(total)
    least, most = values.min(1, initial=math.inf), values.max(1, initial=-math.inf)
    falling: NDArray[np.bool_] = np.zeros(len(values), np.bool_)
    if grid.ndim == 2:
        finite &= np.isfinite(grid).all(1)
        falling = np.asarray((np.diff(grid) < 0).any(1))
        total = np.where(grid[:, 0] == grid[:, -1], 0.0, total)
    negative = least < -_ROUNDING * np.abs(most)
    return flagged(
        (Problem.NOT_FINITE, ~finite),
        (Problem.NEGATIVE, negative),
        (Problem.DISORDERED, falling),
        (Problem.ZERO, total <= 0),
    )


def _product(values: Array, matrix: Array) -> Array:
    """Product of values (n, m) with a matrix (m, k) whose columns are 0 but for a range of rows."""
    result = np.zeros((len(values), matrix.shape[1]))
    for start in range(0, matrix.shape[1], _COLUMNS):
        part = matrix[:, start : start + _COLUMNS]
        rows = np.flatnonzero(part.any(1))
        if len(rows):
            band = slice(rows[0], rows[-1] + 1)
            result[:, start : start + _COLUMNS] = values[:, band] @ part[band]
    return result


def _positive(values: Array) -> Array:
    """Without what is below 0."""
    return values if values.min(initial=0.0) >= 0 else np.maximum(values, 0.0)


def _sums(values: Array, weights: Array) -> Array:
    """Sums (n,) of values (n, m) times weights, of all galaxies (m,) or of each (n, m)."""
    return np.asarray(values @ weights if weights.ndim == 1 else (values * weights).sum(1))


def _weights(left: Array, right: Array) -> Array:
    """Weights of nodes, (..., m), of those of both ends of each step between them, (..., m - 1)."""
    result = np.zeros((*left.shape[:-1], left.shape[-1] + 1))
    result[..., :-1] += left
    result[..., 1:] += right
    return result


def _overlaps(bins: Array, edges: Array) -> Array:
    """Share of each bin (m + 1 edges) that lies in each cell (k + 1 edges), (m, k)."""
    place = np.clip(edges, bins[:-1, None], bins[1:, None])
    return np.asarray(np.diff(place, axis=1) / np.diff(bins)[:, None])


def _hats(nodes: Array, edges: Array) -> Array:
    """Integral over each cell of the function that is 1 at a node and 0 at the others, (m, k)."""
    step = np.diff(nodes)[:, None]
    place = np.clip(edges, nodes[:-1, None], nodes[1:, None]) - nodes[:-1, None]
    rising = np.diff(place**2, axis=1) / (2 * step)
    result = np.zeros((len(nodes), len(edges) - 1))
    result[1:] = rising
    result[:-1] += np.diff(place, axis=1) - rising
    # Differences of squares round below 0 at the far end of a step.
    return np.asarray(np.maximum(result, 0.0))


def _below(nodes: Array, density: Array, edges: Array) -> Array:
    """Integral of one density, linear between its nodes, up to each edge."""
    steps = np.diff(nodes)
    sums = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * steps)])
    node = np.clip(np.searchsorted(nodes, edges, side="right") - 1, 0, len(steps) - 1)
    rest = np.clip(edges, nodes[0], nodes[-1]) - nodes[node]
    slope = np.divide(np.diff(density), steps, out=np.zeros_like(steps), where=steps > 0)
    return np.asarray(sums[node] + rest * (density[node] + rest * slope[node] / 2))


def _between(edges: Array, mean: Array, std: Array) -> Array:
    """Probability of normal distributions (n, 1) between edges, with the digits of both tails."""
    place = (edges - mean) / std
    tail = ndtr(-np.abs(place))
    above = place > 0
    low, high = tail[:, :-1], tail[:, 1:]
    apart = above[:, 1:] & ~above[:, :-1]
    return np.asarray(np.where(apart, 1 - low - high, np.abs(high - low)))
