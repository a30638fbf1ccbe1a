"""The photo-z error in redshift: kernels that change along the line of sight, and galaxies' own.

A galaxy at z shows a photo-z that is Gaussian about z with the standard deviation ``sigma (1 + z)``
(or an absolute error), or, with the probability of an outlier, uniform over a range of redshifts.
Sight lines have cells with edges z_j in redshift; a galaxy lies evenly in its cell, and within a
cell the error is that of its centre. With ``B(u) = phi(u) - u Q(u)`` (phi the normal density, Q its
upper tail), the probability to be seen above e is the mean of Q over the cell,

    F(e) = s [B((e - z_(j+1)) / s) - B((e - z_j) / s)] / (z_(j+1) - z_j),

and that of a cell of photo-z ``F(e_i) - F(e_(i+1))``. Below the true cell it is mirrored, so that
tails keep their digits. The row of a galaxy with its own error is the density at its own photo-z,

    p(z_phot | true cell j) = [Phi((z_(j+1) - z_phot) / s) - Phi((z_j - z_phot) / s)]
                              / (z_(j+1) - z_j).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcx, ndtr
from torch import Tensor

from truez.sightlines.kernel import Kernel

Array = NDArray[np.float64]

#: No photo-z is further off than this many standard deviations.
_FAR = 37.0


@dataclass(frozen=True, eq=False, repr=False)
class RedshiftError:
    """Photo-z error in redshift, one for all galaxies or one for each.

    Parameters
    ----------
    sigma : float or array (n,)
        sigma(z) / (1 + z), or sigma(z) itself if ``absolute``; above 0.
    outlier_fraction : float or array (n,)
        Probability that the photo-z says nothing of the galaxy, in [0, 1).
    outlier_range : two floats, optional
        Redshifts between which the photo-z of outliers are uniform; needed for outliers.
    absolute : bool
        Whether ``sigma`` does not grow with 1 + z.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.sightlines.redshift_error import RedshiftError
    >>> error = RedshiftError(0.02, 0.05, (0.0, 1.0))
    >>> kernel = error.kernel(np.linspace(0.1, 0.5, 9))
    >>> kernel.matrix.shape, round(float(kernel.matrix[4, 4]), 2)
    (torch.Size([8, 8]), 0.57)
    """

    sigma: float | Array
    outlier_fraction: float | Array = 0.0
    outlier_range: tuple[float, float] | None = None
    absolute: bool = False

    def __post_init__(self) -> None:
        sigma, outliers = (
            np.asarray(values, dtype=np.float64) for values in (self.sigma, self.outlier_fraction)
        )
        for name, values in (("sigma", sigma), ("outlier_fraction", outliers)):
            if values.ndim > 1:
                raise ValueError(f"{name} must be a number or have shape (n,), not {values.shape}")
        good = np.isfinite(sigma) & (sigma > 0)
        if not good.all():
            raise ValueError(f"sigma must be finite and above 0, not {_first(sigma, ~good):g}")
        good = (outliers >= 0) & (outliers < 1)
        if not good.all():
            raise ValueError(f"outlier_fraction must be in [0, 1), not {_first(outliers, ~good):g}")
        if sigma.ndim and outliers.ndim and sigma.shape != outliers.shape:
            raise ValueError(
                f"sigma is of {len(sigma)} galaxies and outlier_fraction of {len(outliers)}"
            )
        if self.outlier_range is None:
            if outliers.any():
                raise ValueError("outliers need an outlier_range, two redshifts")
            return
        low, high = self.outlier_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"outlier_range must be two redshifts in order, not {low!r}, {high!r}")

    def __repr__(self) -> str:
        kind = "sigma(z)" if self.absolute else "sigma(z) / (1 + z)"
        outliers = float(np.mean(self.outlier_fraction))
        whose = "" if self.num_galaxies is None else f" of {self.num_galaxies} galaxies, on average"
        return (
            f"Photo-z error{whose}: {kind} = {float(np.mean(self.sigma)):.3g}, "
            f"{100 * outliers:.3g}% outliers"
        )

    @property
    def num_galaxies(self) -> int | None:
        """Galaxies that have their own error; None where all share one."""
        sizes = [np.size(x) for x in (self.sigma, self.outlier_fraction) if np.ndim(x)]
        return sizes[0] if sizes else None

    def width(self, redshift: Array) -> Array:
        """sigma(z), (n, ...) for galaxies with their own error, of the shape of z otherwise."""
        sigma = np.asarray(self.sigma, dtype=np.float64)
        if sigma.ndim:
            sigma = sigma.reshape(-1, *[1] * redshift.ndim)
        return sigma * (np.ones_like(redshift) if self.absolute else 1 + redshift)

    def kernel(self, edges: ArrayLike, *, photo_edges: ArrayLike | None = None) -> Kernel:
        """The kernel between the cells of sight lines, of galaxies that share an error.

        Parameters
        ----------
        edges : array (num_true + 1,)
            Redshifts of the edges of the true cells.
        photo_edges : array (num_photo + 1,), optional
            Those of the photo-z, by default the same: ``edges`` with as many cells more on both
            sides, the kernel's ``photo_margin``.

        Raises
        ------
        ValueError
            If galaxies have their own errors (see `classes` and `rows`), or edges do not rise or
            do not belong together.
        """
        if self.num_galaxies is not None:
            raise ValueError("galaxies with their own errors have no common kernel: form classes")
        true = _edges(edges, "edges")
        photo = true if photo_edges is None else _edges(photo_edges, "photo_edges")
        margin = (len(photo) - len(true)) // 2
        inner = photo[margin : len(photo) - margin]
        if margin < 0 or inner.shape != true.shape or not np.allclose(inner, true, rtol=1e-9):
            raise ValueError(
                f"photo_edges must be the {len(true)} edges and as many more on both sides"
            )
        gaussian = _gaussian(photo, true, self.width((true[1:] + true[:-1]) / 2))
        outliers = float(self.outlier_fraction)
        matrix = (1 - outliers) * gaussian + outliers * self._outliers(photo)[:, None]
        assert (matrix >= 0).all()
        return Kernel(torch.from_numpy(matrix.astype(np.float32)), photo_margin=margin)

    def rows(self, photo_z: Array, edges: ArrayLike) -> Tensor:
        """The density at photo-z of galaxies in each true cell, p(z_phot | cell) per unit redshift.

        Parameters
        ----------
        photo_z : array (n,)
            Of as many galaxies as have errors; any number where all share one.
        edges : array (cells + 1,)

        Returns
        -------
        Tensor (n, cells)
            float32.
        """
        true, seen = _edges(edges, "edges"), np.asarray(photo_z, dtype=np.float64)[:, None]
        if self.num_galaxies not in (None, len(seen)):
            raise ValueError(f"{len(seen)} photo-z do not fit {self.num_galaxies} errors")
        centers = (true[1:] + true[:-1]) / 2
        width = self.width(centers)
        # Of the two tails the one that keeps its digits.
        sign = np.where(centers > seen, -1.0, 1.0)
        inside = np.abs(
            ndtr(sign * (true[1:] - seen) / width) - ndtr(sign * (true[:-1] - seen) / width)
        )
        density = inside / np.diff(true)
        outliers = np.asarray(self.outlier_fraction, dtype=np.float64)
        if outliers.any():
            assert self.outlier_range is not None
            low, high = self.outlier_range
            even = np.where((seen >= low) & (seen <= high), 1 / (high - low), 0.0)
            outliers = outliers[:, None] if outliers.ndim else outliers
            density = (1 - outliers) * density + outliers * even
        return torch.from_numpy(density.astype(np.float32))

    def take(self, rows: NDArray[np.int64]) -> RedshiftError:
        """The errors of some of the galaxies."""
        sigma, outliers = (
            x[rows] if np.ndim(x) else x  # type: ignore[index]
            for x in (self.sigma, self.outlier_fraction)
        )
        return RedshiftError(sigma, outliers, self.outlier_range, self.absolute)

    def classes(self, num: int) -> list[tuple[NDArray[np.int64], RedshiftError]]:
        """Classes of galaxies with nearly one error: their rows, and the error they share.

        As many galaxies in each, in the order of sigma; fewer classes where errors repeat. The
        shared sigma is the rms of the class, its outlier fraction the mean.
        """
        size = self.num_galaxies
        if size is None:
            raise ValueError("all galaxies share one error: there are no classes to form")
        if num < 1:
            raise ValueError(f"num must be at least 1, not {num!r}")
        sigma, outliers = (
            np.broadcast_to(np.asarray(x, dtype=np.float64), size)
            for x in (self.sigma, self.outlier_fraction)
        )
        pairs, which = np.unique(np.stack([sigma, outliers]), axis=1, return_inverse=True)
        if pairs.shape[1] > num:
            ends = np.quantile(sigma, np.arange(1, num) / num)
            which = np.searchsorted(ends, sigma, side="right")
        result = []
        for one in np.unique(which):
            rows = np.flatnonzero(which == one)
            rms = float(np.sqrt(np.mean(sigma[rows] ** 2)))
            share = float(outliers[rows].mean())
            result.append((rows, RedshiftError(rms, share, self.outlier_range, self.absolute)))
        return result

    def _outliers(self, photo: Array) -> Array:
        """Probability of an outlier's photo-z in each cell."""
        if self.outlier_range is None:
            return np.zeros(len(photo) - 1)
        low, high = self.outlier_range
        shares: Array = np.diff(np.clip(photo, low, high)) / (high - low)
        return shares


def _first(values: Array, bad: NDArray[np.bool_]) -> float:
    return float(np.atleast_1d(values)[np.atleast_1d(bad)][0])


def _edges(values: ArrayLike, name: str) -> Array:
    edges = np.asarray(values, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"{name} must be rising redshifts of shape (cells + 1,)")
    return edges


def _gaussian(photo: Array, true: Array, width: Array) -> Array:
    """Probability that a galaxy in true cell j has its photo-z in cell i, (num_photo, num_true)."""
    cell = np.diff(true)
    above = _above(photo[:, None], true[:-1], true[1:], width) / cell
    # Mirrored: the probability to be seen below each edge.
    below = _above(-photo[:, None], -true[1:], -true[:-1], width) / cell
    # By the half of the cell of photo-z that is further from the true one.
    farther = (photo[1:] + photo[:-1])[:, None] > true[:-1] + true[1:]
    inside = np.where(farther, above[:-1] - above[1:], below[1:] - below[:-1])
    # Rounding alone could make it negative.
    result: Array = np.maximum(inside, 0.0)
    return result


def _above(edge: Array, low: Array, high: Array, width: Array) -> Array:
    """Integral from ``low`` to ``high`` of the probability to be seen above an edge."""
    return _tail((edge - high) / width, width) - _tail((edge - low) / width, width)


def _tail(u: Array, width: Array) -> Array:
    """``width B(u)`` without cancellation for u > 0; B(-u) = u + B(u)."""
    far = np.minimum(np.abs(u), 2 * _FAR)
    density = np.exp(-0.5 * far**2) / math.sqrt(2 * math.pi)
    ratio = far * math.sqrt(math.pi / 2) * erfcx(far / math.sqrt(2))
    ramp = density * (1 - ratio)
    result: Array = width * np.where(u < 0, np.abs(u) + ramp, ramp)
    return result
