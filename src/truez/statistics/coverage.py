"""Whether samples of a posterior are right: coverage, ranks, spread over skill.

A *simulation* is one thing that was observed and sampled, with a truth y (d,) and samples x_n (d,).
If the samples are right, the truth is one more of them: no statistic can single it out. Three look:

coverage
    TARP (Lemos et al. 2023, arXiv:2302.03026): the share of the samples that lie closer to a random
    reference point than the truth does has a uniform distribution over simulations, its cumulative
    distribution (the *expected coverage*) is the diagonal. Samples that are too narrow or biased
    cross it, in as many dimensions as a simulation has.
ranks
    The rank of the truth among the samples, number by number, is uniform: a bowl means samples that
    are too narrow, a hill too wide ones, a slope a bias.
spread over skill
    (1 + 1/N) times the variance of the samples over the squared error of their mean is 1.

`tarp` takes simulations that are independent, and its band is binomial. One box has many places and
modes, which are not quite independent; what is known of their dependence is in the samples
themselves. So `distance_ranks`, `value_ranks` and `spread_and_skill` take a *pool*, the truth and
the samples of a box, and return the same numbers with every row of it in the place of the truth;
`exchanged` sums them over boxes, and what the truth has is compared with what samples have in its
place. If the samples are right, truth and samples can be exchanged, so that the band holds whatever
the dependence within a box. Of a single box p is 1/(N + 1) at least.

The reference points of a pool are its other rows, each of them in turn: with one that does not
depend on the data, samples of the prior would pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from truez.statistics.coverage_bands import Coverage, Floats, Ranks

Counts = NDArray[np.int64]

#: Exchanges of truth and samples that a band is made of.
EXCHANGES = 2000
#: Share of the exchanges, or of right samples, that lies within a band at all of its points.
SHARE = 0.95
# Pairs of rows, times simulations, whose distances are held at a time.
_PAIRS = 2**22


# --- independent simulations ----------------------------------------------------------------------


def tarp(
    truth: ArrayLike,
    samples: ArrayLike,
    *,
    references: ArrayLike | None = None,
    seed: int = 0,
) -> Coverage:
    """Expected coverage of samples of independent simulations, by TARP.

    Parameters
    ----------
    truth : array (simulations, d)
    samples : array (n, simulations, d)
    references : array (simulations, d), optional
        Points from which distances are measured, in units of the truths' range, 0 to 1 along each
        of the d. They must not depend on the truth of their own simulation. Uniform by default.
    seed : int
        Of the references.

    Returns
    -------
    Coverage
        At the credibilities 1/(n + 1) to n/(n + 1), with the band of Kolmogorov and Smirnov.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.statistics.coverage import tarp
    >>> rng = np.random.default_rng(1)
    >>> mean = rng.normal(size=(400, 2))
    >>> truth, samples = (mean + rng.normal(size=(*n, 400, 2)) for n in ((), (32,)))
    >>> tarp(truth, samples).inside, tarp(truth, mean + 0.7 * (samples - mean)).inside
    (True, False)
    """
    target, drawn = np.asarray(truth, np.float64), np.asarray(samples, np.float64)
    if target.ndim != 2 or drawn.ndim != 3 or drawn.shape[1:] != target.shape:
        raise ValueError(
            f"samples must be of shape (n, simulations, d) and truth (simulations, d), not "
            f"{drawn.shape} and {target.shape}"
        )
    low, high = target.min(axis=0), target.max(axis=0)
    scale = np.where(high > low, high - low, 1.0)
    rng = np.random.default_rng(seed)
    points = rng.uniform(size=target.shape) if references is None else np.asarray(references)
    if points.shape != target.shape:
        raise ValueError(f"references must be of shape {target.shape}, not {points.shape}")
    far = np.linalg.norm((target - low) / scale - points, axis=-1)
    near = np.linalg.norm((drawn - low) / scale - points, axis=-1) < far
    number, total = drawn.shape[0], len(target)
    counts = np.bincount(near.sum(axis=0), minlength=number + 1)
    levels = np.arange(1, number + 1) / (number + 1)
    found = np.cumsum(counts)[:-1] / total
    reach = float(scipy.stats.kstwo.ppf(SHARE, total))
    p = float(scipy.stats.kstwo.sf(np.abs(found - levels).max(), total))
    return Coverage(levels, found, levels - reach, levels + reach, p, levels)


def crps(truth: ArrayLike, samples: ArrayLike) -> Floats:
    """Continuous ranked probability score of each number, fair for any number of samples.

    Mean |x - y| - half the mean |x - x'| over different samples: in the mean it is lowest for
    samples of the posterior, and does not reward samples that are too narrow for being few.

    Parameters
    ----------
    truth : array (...)
    samples : array (n, ...)
        n >= 2.

    Returns
    -------
    array (...)
        In the unit of the numbers.
    """
    target, drawn = np.asarray(truth, np.float64), np.asarray(samples, np.float64)
    number = len(drawn)
    if number < 2 or drawn.shape[1:] != target.shape:
        raise ValueError(
            f"samples must be two or more of the shape {target.shape} of truth, not {drawn.shape}"
        )
    ordered = np.sort(drawn, axis=0)
    weights = 2 * np.arange(1, number + 1) - number - 1
    half = np.tensordot(weights, ordered, 1) / (number * (number - 1))
    return np.asarray(np.abs(drawn - target).mean(axis=0) - half)


# --- pools of one box -----------------------------------------------------------------------------


def distance_ranks(pool: ArrayLike, *, seed: int) -> Counts:
    """Of how many simulations, and reference points, each row has each rank in distance.

    Parameters
    ----------
    pool : array (rows, simulations, d)
        The truth and the samples.
    seed : int
        Of the order of distances that are equal.

    Returns
    -------
    array (rows, rows - 1)
        Its cumulative sum over its sum is the coverage of each row, were it the truth. Distances
        are in units of the scatter of the rows around their mean, along each of the d.
    """
    values = _pool(pool)
    rows, simulations, _ = values.shape
    spread = (values - values.mean(axis=0)).std(axis=(0, 1))
    values = (values / np.where(spread > 0, spread, 1.0)).transpose(1, 0, 2)
    rng = np.random.default_rng(seed)
    counts = np.zeros((rows, rows - 1), dtype=np.int64)
    step = max(_PAIRS // rows**2, 1)
    for start in range(0, simulations, step):
        some = values[start : start + step]
        squares = (some**2).sum(axis=-1)
        inner = some @ some.transpose(0, 2, 1)
        apart = squares[:, :, None] + squares[:, None, :] - 2 * inner
        # Equal but for rounding is equal; a row is its own nearest.
        apart = np.round(apart, 9)
        apart[:, np.arange(rows), np.arange(rows)] = -1.0
        order = np.lexsort((rng.random(apart.shape), apart), axis=-1)[..., 1:]
        place = np.broadcast_to(np.arange(rows - 1), order.shape)
        flat = np.bincount((order * (rows - 1) + place).ravel(), minlength=counts.size)
        counts += flat.reshape(counts.shape)
    return counts


def value_ranks(pool: ArrayLike, *, seed: int) -> Counts:
    """Of how many numbers each row has each rank among all rows.

    Parameters
    ----------
    pool : array (rows, simulations, d)
    seed : int
        Of the order of numbers that are equal.

    Returns
    -------
    array (rows, rows)
    """
    values = _pool(pool)
    rows = len(values)
    flat = values.reshape(rows, -1)
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(flat.shape), flat), axis=0)
    place = np.broadcast_to(np.arange(rows)[:, None], order.shape)
    counts = np.bincount((order * rows + place).ravel(), minlength=rows**2)
    return counts.reshape(rows, rows)


def spread_and_skill(pool: ArrayLike) -> Floats:
    """Spread of the samples, and squared error of their mean, with each row as the truth.

    Parameters
    ----------
    pool : array (rows, simulations, d)

    Returns
    -------
    array (rows, 2)
        Means over all numbers, each in units of the scatter of its kind (the last axis): (1 + 1/N)
        times the variance of the samples, and (row - their mean)^2. The samples of a row are all
        but itself; the truth is none of them.
    """
    values = _pool(pool)
    scatter = (values - values.mean(axis=0)).std(axis=(0, 1))
    values = (values - values.mean(axis=0)) / np.where(scatter > 0, scatter, 1.0)
    total, squares = values[1:].sum(axis=0), (values[1:] ** 2).sum(axis=0)
    found = np.empty((len(values), 2))
    for row, own in enumerate(values):
        number = len(values) - 1 - (row > 0)
        mean = (total - own * (row > 0)) / number
        variance = (squares - own**2 * (row > 0) - number * mean**2) / (number - 1)
        found[row] = (1 + 1 / number) * variance.mean(), ((own - mean) ** 2).mean()
    return found


def _pool(pool: ArrayLike) -> Floats:
    values = np.asarray(pool, dtype=np.float64)
    if values.ndim != 3 or len(values) < 4 or not values.size:
        raise ValueError(
            "pool must be of shape (rows, simulations, d), the truth and three or more samples, "
            f"not {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("pool must hold finite numbers only, but some are NaN or infinite")
    return values


# --- many boxes -----------------------------------------------------------------------------------


def exchanged(
    boxes: Sequence[NDArray[Any]], *, num: int = EXCHANGES, seed: int = 0
) -> tuple[Floats, Floats]:
    """Sums over boxes for the truth, and for samples in its place.

    Parameters
    ----------
    boxes : sequence of arrays (rows, ...)
        Of each box; the first row is that of the truth.
    num : int
        Number of exchanges, in each of which every box has a sample of its own in the truth's
        place; of one box its samples, once each.

    Returns
    -------
    arrays (...) and (num, ...)
    """
    truth = np.asarray(np.sum([box[0] for box in boxes], axis=0), dtype=np.float64)
    if len(boxes) == 1:
        return truth, np.asarray(boxes[0][1:], dtype=np.float64)
    rng = np.random.default_rng(seed)
    rows = [box[rng.integers(1, len(box), size=num)].astype(np.float64) for box in boxes]
    return truth, np.asarray(np.sum(rows, axis=0))


def coverage_of(boxes: Sequence[Counts], *, seed: int = 0) -> Coverage:
    """Expected coverage from `distance_ranks` of boxes, with the band of exchanges."""
    truth, others = exchanged(boxes, seed=seed)
    number = truth.shape[-1]
    levels = np.arange(1, number) / number
    found, beside = (
        np.cumsum(counts, axis=-1)[..., :-1] / counts.sum(axis=-1, keepdims=True)
        for counts in (truth, others)
    )
    return Coverage(levels, found, *_band(found, beside, levels), levels)


def ranks_of(boxes: Sequence[Counts], *, bins: int = 11, seed: int = 0) -> Ranks:
    """Ranks of the truth from `value_ranks` of boxes in about ``bins`` bins of equal width."""
    truth, others = exchanged(boxes, seed=seed)
    rows = truth.shape[-1]
    number = max(n for n in range(1, min(bins, rows) + 1) if rows % n == 0)
    if 2 * number < min(bins, rows):
        # No divisor that is near: bins differ by one rank.
        number = min(bins, rows)
    edges = np.linspace(0, rows, number + 1).round().astype(int)
    share = np.diff(edges) / rows
    found, beside = (
        np.add.reduceat(counts, edges[:-1], axis=-1) / counts.sum(axis=-1, keepdims=True) / share
        for counts in (truth, others)
    )
    middle = (edges[:-1] + edges[1:]) / (2 * rows)
    one = np.ones(number)
    return Ranks(middle, found, *_band(found, beside, one), one)


def spread_over_skill(boxes: Sequence[Floats], *, seed: int = 0) -> tuple[float, float, float]:
    """Spread over squared error of boxes, from `spread_and_skill`.

    Returns
    -------
    ratio, low, high : floats
        The ratio of the truth, and the ends of the 95% of the exchanges in the middle.
    """
    truth, others = exchanged(boxes, seed=seed)
    ratio = float(truth[0] / truth[1])
    beside = others[:, 0] / others[:, 1]
    low, high = np.quantile(beside, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return ratio, float(low), float(high)


def _band(found: Floats, beside: Floats, expected: Floats) -> tuple[Floats, Floats, float]:
    """Ends of the band that holds `SHARE` of the exchanges everywhere, and p of what is found."""
    scatter = np.sqrt(((beside - expected) ** 2).mean(axis=0))
    scatter = np.where(scatter > 0, scatter, np.inf)
    largest = (np.abs(beside - expected) / scatter).max(axis=-1)
    reach = float(np.quantile(largest, SHARE, method="higher")) * np.where(
        np.isfinite(scatter), scatter, 0.0
    )
    own = float((np.abs(found - expected) / scatter).max())
    p = float((1 + (largest >= own * (1 - 1e-12)).sum()) / (1 + len(largest)))
    return expected - reach, expected + reach, p
