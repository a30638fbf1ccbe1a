"""Fits of N(z) to exact redshifts and to photo-z.

A smooth form, exp(A) z^a exp(-(z / z0)^b), is fitted by maximum likelihood to the histogram of
exact redshifts, or by forward folding to that of photo-z: what is compared is the form times
p(z_phot | z). More freedom than this would follow the clustering of the very galaxies whose
redshifts are to be sharpened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.surveys.nz import NumberDensity
from truez.surveys.nz_form import FEWEST, NODES, best_form, histogram_loss
from truez.surveys.redshift_error import RedshiftError, error_classes
from truez.surveys.stacked_error import SharedError

Array = NDArray[np.float64]
#: Width of the bins of the histogram, and the fewest and most of them.
_WIDTH, _BINS = 0.01, (20, 300)
#: Width in redshift over which shares of error classes are smoothed, and the galaxies of all
#: redshifts that are added to it.
_SMOOTH, _PRIOR = 0.03, 5.0
#: Rounds in which the form and the shares of the classes are fitted in turn.
_ROUNDS = 5


@dataclass(frozen=True, eq=False)
class ErrorClass:
    """Galaxies with similar photo-z errors.

    Parameters
    ----------
    rows : (m,) ints
        Of the survey.
    error : RedshiftError or StackedError
        With the root mean square of their errors, or the stack of their p(z).
    density : NumberDensity
        Their own N(z), since errors grow with redshift in most surveys.
    """

    rows: NDArray[np.int64]
    error: SharedError
    density: NumberDensity


def fit_number_density(
    redshift: ArrayLike,
    *,
    error: SharedError | None = None,
    weights: ArrayLike | None = None,
    z_range: tuple[float, float] | None = None,
    true_range: tuple[float, float] | None = None,
    name: str = "photo",
) -> NumberDensity:
    """N(z) of galaxies from their photo-z or exact redshifts.

    Parameters
    ----------
    redshift : (n,) array
        Photo-z, or exact redshifts.
    error : RedshiftError or StackedError, optional
        p(z_phot | z); exact redshifts by default.
    weights : (n,) array, optional
        Of the galaxies.
    z_range : (2,) floats, optional
        Photo-z between which galaxies are counted; those of all galaxies by default.
    true_range : (2,) floats, optional
        True redshifts beyond which there are none.
    name : str
        Of the survey, for messages.

    Returns
    -------
    NumberDensity
        Its `total` includes galaxies whose photo-z lies outside ``z_range``.

    Raises
    ------
    ValueError
        If there are fewer than 50 galaxies, all at one redshift, redshifts are not finite, or
        weights negative.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.surveys.nz_fit import fit_number_density
    >>> from truez.surveys.redshift_error import RedshiftError
    >>> rng = np.random.default_rng(1)
    >>> z = 0.3 * rng.gamma(3.0, 0.4, 20_000)
    >>> nz = fit_number_density(z + 0.02 * (1 + z) * rng.normal(size=z.size),
    ...                         error=RedshiftError(0.02), z_range=(0.0, 2.0))
    >>> bool(abs(nz.counts([0.2, 0.4])[0] / np.sum((z > 0.2) & (z < 0.4)) - 1) < 0.03)
    True
    """
    rows = np.zeros(np.size(redshift), dtype=np.int64)
    sample = _Sample.of(redshift, weights, z_range, name)
    return _fitted(sample, rows, [error or RedshiftError(0.0)], true_range, name)[0]


def fit_error_classes(
    redshift: ArrayLike,
    sigma_z: ArrayLike,
    *,
    error: RedshiftError | None = None,
    weights: ArrayLike | None = None,
    z_range: tuple[float, float] | None = None,
    true_range: tuple[float, float] | None = None,
    name: str = "photo",
) -> tuple[NumberDensity, list[ErrorClass]]:
    """N(z) of galaxies whose photo-z have different errors, and that of each class of errors.

    One form is fitted to all galaxies, and in turn with it the share of each class at a redshift:
    that among galaxies with photo-z around it (smoothed over 0.03), improved by steps of the
    method of Richardson and Lucy, so that galaxies of large errors do not fill the low redshifts.

    Parameters
    ----------
    redshift, sigma_z : (n,) arrays
        Photo-z, and the error of each over 1 + z.
    error : RedshiftError, optional
        Outliers, of all or of each galaxy, and bias; its ``sigma_z`` is not used.
    weights, z_range, true_range, name
        As for `fit_number_density`.

    Returns
    -------
    density : NumberDensity
        Of all galaxies; the sum of the classes'.
    classes : list of ErrorClass
        With ascending errors.

    Raises
    ------
    ValueError
        As for `fit_number_density`, or if an error is not above 0 and below 1.
    """
    sample = _Sample.of(redshift, weights, z_range, name)
    numbers, sigmas = error_classes(sigma_z)
    if numbers.shape != sample.z.shape:
        raise ValueError(f"sigma_z must be one for each of {sample.z.size} {name} galaxies")
    shared = error or RedshiftError(0.0)
    outliers = np.broadcast_to(shared.outlier_fraction, numbers.shape)
    errors = [
        replace(
            shared, sigma_z=float(sigma),
            outlier_fraction=float(outliers[numbers == number].mean()),
        )
        for number, sigma in enumerate(sigmas)
    ]  # fmt: skip
    density, shares = _fitted(sample, numbers, errors, true_range, name)
    result = [
        ErrorClass(
            np.flatnonzero(numbers == number), own,
            NumberDensity(density.redshift, density.density * share),
        )
        for number, (own, share) in enumerate(zip(errors, shares, strict=True))
    ]  # fmt: skip
    return density, result


@dataclass(frozen=True, eq=False)
class _Sample:
    """Redshifts and weights of galaxies, and the range that counts."""

    z: Array
    weights: Array
    low: float
    high: float

    @classmethod
    def of(
        cls, redshift: ArrayLike, weights: ArrayLike | None, z_range: tuple[float, float] | None,
        name: str,
    ) -> _Sample:  # fmt: skip
        z = np.asarray(redshift, np.float64)
        w = np.ones(z.shape) if weights is None else np.asarray(weights, np.float64)
        return cls(z, w, *photo_limits(z, w, z_range, name))

    @property
    def inside(self) -> NDArray[np.bool_]:
        return np.asarray((self.z >= self.low) & (self.z <= self.high))


def _fitted(
    sample: _Sample, numbers: NDArray[np.int64], errors: Sequence[SharedError],
    true_range: tuple[float, float] | None, name: str,
) -> tuple[NumberDensity, Array]:  # fmt: skip
    """N(z), and the share of each class of errors at its nodes, (num, nodes)."""
    inside, w = sample.inside, sample.weights
    edges = histogram_edges(sample.low, sample.high)
    own = [inside & (numbers == number) for number in range(len(errors))]
    histograms = np.array(
        [np.histogram(sample.z[rows], edges, weights=w[rows])[0] for rows in own], np.float64
    )
    fine = _grid(edges, errors, true_range)
    steps, middle = np.diff(fine), (fine[1:] + fine[:-1]) / 2
    kernels = np.array([error.probability(edges, middle) for error in errors])
    shares = smoothed_shares(histograms, (edges[1:] + edges[:-1]) / 2, middle)
    counts, median = histograms.sum(axis=0), float(np.median(sample.z[inside]))
    for _ in range(_ROUNDS if len(errors) > 1 else 1):
        kernel = np.einsum("cnm,cm->nm", kernels, shares)
        form = best_form(histogram_loss(counts, kernel * steps, middle), median)
        shape = form(fine)
        true = steps * (shape[1:] + shape[:-1]) / 2
        reached = (kernel @ true).sum()
        if not reached > 0:
            raise ValueError(
                f"no true redshift leads to the {name} redshifts, {edges[0]:.3g} to "
                f"{edges[-1]:.3g}: correct photo_bias or the photo-z error"
            )
        factor = counts.sum() / reached
        shares = _unfolded(shares, histograms, kernels, factor * true)
    spread = (w[inside] ** 2).sum() / w[inside].sum()
    density = form.density(fine, factor, (edges, counts, factor * (kernel @ true)), spread)
    at_nodes = np.array([np.interp(fine, middle, share) for share in shares])
    return density, at_nodes


def histogram_edges(low: float, high: float) -> Array:
    """Edges of the bins of the histogram of photo-z between two."""
    num = int(np.clip(round((high - low) / _WIDTH), *_BINS))
    return np.linspace(low, high, num + 1)


def smoothed_shares(histograms: Array, bins: Array, middle: Array) -> Array:
    """Share of each class among galaxies with photo-z around redshifts, (num, m)."""
    # Beyond the photo-z that are there, the shares are those at the end.
    at = np.clip(middle, bins[0], bins[-1])
    near = np.exp(-0.5 * ((at[:, None] - bins) / _SMOOTH) ** 2)
    shares = histograms.sum(axis=1, keepdims=True) / histograms.sum()
    counts = histograms @ near.T + _PRIOR * shares
    return np.asarray(counts / counts.sum(axis=0))


def _unfolded(shares: Array, histograms: Array, kernels: Array, true: Array) -> Array:
    """The shares after one step of Richardson and Lucy towards the histograms of the classes."""
    if len(shares) == 1:
        return shares
    expected = np.einsum("cnm,cm->cn", kernels, shares * true)
    prior = _PRIOR * histograms.sum(axis=1, keepdims=True) / histograms.sum()
    ratio = (histograms + prior) / (expected + prior)
    seen = kernels.sum(axis=1)
    gathered = np.einsum("cnm,cn->cm", kernels, ratio)
    result = shares * np.where(seen > 1e-3, gathered / np.maximum(seen, 1e-3), 1.0)
    return np.asarray(result / result.sum(axis=0))


def photo_limits(
    z: Array, w: Array, z_range: tuple[float, float] | None, name: str
) -> tuple[float, float]:
    """The range of the histogram, after checks of the galaxies."""
    if z.ndim != 1 or w.shape != z.shape:
        raise ValueError(f"the {name} redshifts and weights must be one for each galaxy")
    if not np.isfinite(z).all():
        bad = int(np.count_nonzero(~np.isfinite(z)))
        raise ValueError(f"{bad} of {z.size} {name} redshifts are not finite: leave those rows out")
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise ValueError(f"the weights of {name} galaxies must be finite and >= 0")
    low, high = z_range or ((z.min(), z.max()) if z.size else (0.0, 1.0))
    if not (np.isfinite(low) and np.isfinite(high) and (low <= high or z_range is None)):
        raise ValueError(f"N(z) needs a range of redshifts, not {low:g} to {high:g}")
    inside = (z >= low) & (z <= high) & (w > 0)
    num = int(np.count_nonzero(inside))
    if num < FEWEST:
        raise ValueError(
            f"N(z) of the {name} survey cannot be fitted to {num} galaxies between z = {low:.3g} "
            f"and {high:.3g}: at least {FEWEST} are needed, or give "
            f"{'spec_nz' if name == 'spec' else 'nz'}"
        )
    if np.ptp(z[inside]) < 1e-4:
        raise ValueError(
            f"the {num} {name} redshifts are all {z[inside][0]:.4g}: N(z) cannot be fitted to them"
        )
    return float(low), float(high)


def _grid(
    edges: Array, errors: Sequence[SharedError], true_range: tuple[float, float] | None
) -> Array:
    """Edges of true redshifts, finer than those of the histogram and reaching beyond them."""
    step = (edges[1] - edges[0]) / NODES
    step = min([step, *(error.sigma_z / 2 for error in errors if error.sigma_z)])
    shift = float(np.abs(errors[0].mean(edges) - edges).max())
    low = edges[0] - max(error.reach(edges[0]) for error in errors) - shift
    high = edges[-1] + max(error.reach(edges[-1]) for error in errors) + shift
    if true_range is not None:
        low, high = max(low, true_range[0]), min(high, true_range[1])
    low = max(low, 0.0)
    if not low < high:
        raise ValueError(f"redshift_range {true_range} leaves no redshifts of the survey")
    if low == edges[0] and high == edges[-1]:  # exact redshifts: nodes on the edges
        return np.linspace(low, high, (len(edges) - 1) * NODES + 1)
    return np.linspace(low, high, min(max(int((high - low) / step), 200), 4000) + 1)
