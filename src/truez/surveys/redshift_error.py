"""The error of photometric redshifts: the distribution of z_phot at each true redshift.

A galaxy at z has its photo-z at m(z) = z + bias(z) with a Gaussian error of sigma_z (1 + z), or of
an absolute one; a fraction of *outliers* has one that does not depend on z, uniform over a range.
Galaxies share an error or have their own. Unlike `PhotozError`, whose error is one length along a
box, this one changes with redshift.

Sight lines have cells with edges z_j in redshift. A galaxy lies evenly in its cell, and within it
the error is that of its centre and the bias linear. With ``B(u) = phi(u) - u Q(u)`` (phi the normal
density, Q its upper tail), the probability to be observed above e is the mean of Q over the cell,

    F(e) = s [B((e - m_(j+1)) / s) - B((e - m_j) / s)] / (m_(j+1) - m_j),

and that of a cell of photo-z ``F(e_i) - F(e_(i+1))``. Below the true cell it is mirrored, so that
tails keep their digits. The row of a galaxy is the density at its own photo-z,

    p(z_phot | true cell j) = [Phi((m_(j+1) - z_phot) / s) - Phi((m_j - z_phot) / s)]
                              / (m_(j+1) - m_j).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcx, ndtr

Array = NDArray[np.float64]
#: Ratio of errors within a class, and galaxies of the smallest class.
_RATIO, _FEWEST = 1.25, 500
#: No photo-z is further off than this many standard deviations.
_FAR = 37.0
#: In place of an error of 0, in units of the cells.
_EXACT = 1e-9


@dataclass(frozen=True, eq=False, repr=False)
class RedshiftError:
    """p(z_phot | z), one for all galaxies or one for each.

    Parameters
    ----------
    sigma_z : float or (n,) array
        Standard deviation of the Gaussian part over 1 + z, or itself if ``absolute``. One number
        may be 0, for exact redshifts.
    outlier_fraction : float or (n,) array
        Probability that the photo-z is uniform over the range, in [0, 1).
    outlier_range : (2,) floats, optional
        Photo-z between which outliers lie; needed where there are any.
    bias : tuple of floats
        Coefficients of 1, z, z^2, ... of the mean of z_phot - z, outliers left out.
    absolute : bool
        Whether the error does not grow with 1 + z.

    Raises
    ------
    ValueError
        If a number is not in its range, or the arrays are of different galaxies.

    Examples
    --------
    >>> from truez.surveys.redshift_error import RedshiftError
    >>> RedshiftError(0.02).probability([0.1, 0.2, 0.3], [0.2]).round(3)
    array([[0.5],
           [0.5]])
    """

    sigma_z: float | Array
    outlier_fraction: float | Array = 0.0
    outlier_range: tuple[float, float] | None = None
    bias: tuple[float, ...] = ()
    absolute: bool = False

    def __post_init__(self) -> None:
        for name in ("sigma_z", "outlier_fraction"):
            values = np.asarray(getattr(self, name), np.float64)
            if values.ndim > 1:
                raise ValueError(f"{name} must be a number or have shape (n,), not {values.shape}")
            object.__setattr__(self, name, values if values.ndim else float(values))
        sigma, outliers = np.asarray(self.sigma_z), np.asarray(self.outlier_fraction)
        if sigma.ndim:
            check_errors(sigma, "sigma_z")
        elif not (math.isfinite(sigma) and 0 <= sigma < 1):
            raise ValueError(f"sigma_z must be a number from 0 to below 1, not {self.sigma_z!r}")
        good = (outliers >= 0) & (outliers < 1)
        if not good.all():
            first = float(np.atleast_1d(outliers)[~np.atleast_1d(good)][0])
            raise ValueError(f"outlier_fraction must be in [0, 1), not {first:g}")
        if sigma.ndim and outliers.ndim and sigma.shape != outliers.shape:
            raise ValueError(
                f"sigma_z is of {len(sigma)} galaxies and outlier_fraction of {len(outliers)}"
            )
        if outliers.any() and self.outlier_range is None:
            raise ValueError("outlier_fraction needs outlier_range, the photo-z of outliers")
        if self.outlier_range is not None:
            low, high = self.outlier_range
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"outlier_range must be two photo-z, not {self.outlier_range!r}")
        if not all(math.isfinite(number) for number in self.bias):
            raise ValueError(f"photo_bias must be finite coefficients, not {self.bias!r}")

    def __repr__(self) -> str:
        kind = "sigma(z)" if self.absolute else "sigma(z) / (1 + z)"
        whose = "" if self.num_galaxies is None else f" of {self.num_galaxies} galaxies, on average"
        return (
            f"Photo-z error{whose}: {kind} = {float(np.mean(self.sigma_z)):.3g}, "
            f"{100 * float(np.mean(self.outlier_fraction)):.3g}% outliers"
        )

    @property
    def num_galaxies(self) -> int | None:
        """Galaxies that have their own error; None where all share one."""
        sizes = [np.size(x) for x in (self.sigma_z, self.outlier_fraction) if np.ndim(x)]
        return sizes[0] if sizes else None

    def mean(self, redshift: ArrayLike) -> Array:
        """Mean photo-z of galaxies at true redshifts, outliers left out."""
        z = np.asarray(redshift, np.float64)
        return np.asarray(z + np.polynomial.polynomial.polyval(z, self.bias or (0.0,)))

    def width(self, redshift: ArrayLike) -> Array:
        """sigma(z), (n, ...) for galaxies with their own error, of the shape of z otherwise."""
        z = np.asarray(redshift, np.float64)
        sigma = np.asarray(self.sigma_z, np.float64)
        if sigma.ndim:
            sigma = sigma.reshape(-1, *[1] * z.ndim)
        return np.asarray(sigma * (np.ones_like(z) if self.absolute else 1 + z))

    def probability(self, edges: ArrayLike, redshift: ArrayLike) -> Array:
        """Probability of photo-z between edges (n + 1,) at true redshifts (m,), shape (n, m).

        Of galaxies that share an error.
        """
        outliers = self._shared()
        limits = np.asarray(edges, np.float64)[:, None]
        z = np.asarray(redshift, np.float64)
        mean = self.mean(z)
        if self.sigma_z == 0:
            below = (limits >= mean).astype(np.float64)
        else:
            below = ndtr((limits - mean) / self.width(z))
        below = (1 - outliers) * below + outliers * self._anywhere(limits)
        return np.asarray(np.diff(below, axis=0))

    def matrix(self, photo_edges: ArrayLike, true_edges: ArrayLike) -> Array:
        """Probability of photo-z in each cell of a galaxy anywhere in each true cell, (n, m).

        Of galaxies that share an error.

        Parameters
        ----------
        photo_edges, true_edges : (n + 1,), (m + 1,) arrays
            Redshifts of the faces of the cells, such as `SkyBox.redshift_edges`. Galaxies are
            uniform in redshift within a true cell.

        Raises
        ------
        ValueError
            If galaxies have their own errors (see `classes` and `rows`), or edges do not rise.
        """
        outliers = self._shared()
        photo, true = _edges(photo_edges, "photo_edges"), _edges(true_edges, "edges")
        width = np.maximum(self.width((true[1:] + true[:-1]) / 2), _EXACT * np.diff(true))
        gaussian = cell_probabilities(photo, self._means(true), width)
        matrix = (1 - outliers) * gaussian + outliers * np.diff(self._anywhere(photo))[:, None]
        assert (matrix >= 0).all()
        return np.asarray(matrix)

    def rows(self, z_phot: ArrayLike, edges: ArrayLike) -> Array:
        """p(z_phot | true cell) per unit of photo-z, of galaxies anywhere in a cell, (n, cells).

        Parameters
        ----------
        z_phot : (n,) array
            Of as many galaxies as have errors; any number where all share one.
        edges : (cells + 1,) array
            Redshifts of the faces of the cells.
        """
        true, photo = _edges(edges, "edges"), self._photo(z_phot)
        width, means = self.width((true[1:] + true[:-1]) / 2), self._means(true)
        # Of the two tails the one that keeps its digits.
        sign = np.where((means[1:] + means[:-1]) / 2 > photo, -1.0, 1.0)
        inside = np.abs(
            ndtr(sign * (means[1:] - photo) / width) - ndtr(sign * (means[:-1] - photo) / width)
        )
        return self._with_outliers(inside / np.diff(means), photo)

    def likelihood(self, z_phot: ArrayLike, redshift: ArrayLike) -> Array:
        """p(z_phot | z), per unit of photo-z, of galaxies (n,) at redshifts (m,), shape (n, m).

        Raises
        ------
        ValueError
            If the error is 0, or there are not as many photo-z as errors.
        """
        check_errors(self.sigma_z, "sigma_z")
        photo, z = self._photo(z_phot), np.asarray(redshift, np.float64)
        width = self.width(z)
        density = np.exp(-0.5 * ((photo - self.mean(z)) / width) ** 2)
        density /= math.sqrt(2 * math.pi) * width
        return self._with_outliers(density, photo)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> RedshiftError:
        """The errors of some of the galaxies."""
        sigma, outliers = (
            x[rows] if np.ndim(x) else x  # type: ignore[index]
            for x in (self.sigma_z, self.outlier_fraction)
        )
        return replace(self, sigma_z=sigma, outlier_fraction=outliers)

    def classes(self, most: int = 12) -> list[tuple[NDArray[np.int64], RedshiftError]]:
        """Classes of galaxies with nearly one error: their rows, and the error they share.

        Those of `error_classes`; the shared outlier fraction is the mean of a class.

        Raises
        ------
        ValueError
            If all galaxies share one error.
        """
        size = self.num_galaxies
        if size is None:
            raise ValueError("all galaxies share one error: there are no classes to form")
        numbers, sigmas = error_classes(np.broadcast_to(self.sigma_z, size), most=most)
        outliers = np.broadcast_to(self.outlier_fraction, size)
        members = [np.flatnonzero(numbers == number) for number in range(len(sigmas))]
        errors = [
            replace(self, sigma_z=float(sigma), outlier_fraction=float(outliers[rows].mean()))
            for rows, sigma in zip(members, sigmas, strict=True)
        ]
        return list(zip(members, errors, strict=True))

    def reach(self, redshift: float, num_sigma: float = 5.0) -> float:
        """Difference to photo-z that is ``num_sigma`` of the largest errors away at a redshift."""
        return num_sigma * float(self.width(abs(redshift)).max())

    def _shared(self) -> float:
        """The outlier fraction of galaxies that share their error."""
        if self.num_galaxies is not None:
            raise ValueError("galaxies with their own errors have no common kernel: form classes")
        return float(self.outlier_fraction)

    def _photo(self, z_phot: ArrayLike) -> Array:
        photo = np.asarray(z_phot, np.float64)
        if self.num_galaxies not in (None, photo.size):
            raise ValueError(f"{photo.size} photo-z do not fit {self.num_galaxies} errors")
        return photo.reshape(-1, 1)

    def _means(self, edges: Array) -> Array:
        """Mean photo-z at edges of cells, which must rise."""
        means = self.mean(edges)
        if not (np.diff(means) > 0).all():
            raise ValueError(
                f"photo_bias {self.bias!r} makes photo-z fall with redshift at "
                f"{edges[:-1][np.diff(means) <= 0][0]:.3g}: correct its coefficients"
            )
        return means

    def _anywhere(self, limits: Array) -> Array:
        """Share of outliers with photo-z below limits."""
        if self.outlier_range is None:
            return np.zeros_like(limits)
        low, high = self.outlier_range
        return np.asarray(np.clip((limits - low) / (high - low), 0, 1))

    def _with_outliers(self, density: Array, photo: Array) -> Array:
        if self.outlier_range is None or not np.any(self.outlier_fraction):
            return density
        low, high = self.outlier_range
        even = np.where((photo >= low) & (photo <= high), 1 / (high - low), 0.0)
        share = np.reshape(self.outlier_fraction, (-1, 1))
        return np.asarray((1 - share) * density + share * even)


def _edges(values: ArrayLike, name: str) -> Array:
    edges = np.asarray(values, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"{name} must be rising redshifts of shape (cells + 1,)")
    return edges


def cell_probabilities(photo: Array, means: Array, width: Array) -> Array:
    """Probability that a galaxy in true cell j has its photo-z in cell i, (num_photo, num_true)."""
    cell = np.diff(means)
    above = _above(photo[:, None], means[:-1], means[1:], width) / cell
    # Mirrored: the probability to be observed below each edge.
    below = _above(-photo[:, None], -means[1:], -means[:-1], width) / cell
    # By the half of the cell of photo-z that is further from the true one.
    farther = (photo[1:] + photo[:-1])[:, None] > means[:-1] + means[1:]
    inside = np.where(farther, above[:-1] - above[1:], below[1:] - below[:-1])
    # Rounding alone could make it negative.
    return np.asarray(np.maximum(inside, 0.0))


def _above(edge: Array, low: Array, high: Array, width: Array) -> Array:
    """Integral from ``low`` to ``high`` of the probability to be observed above an edge."""
    return _tail((edge - high) / width, width) - _tail((edge - low) / width, width)


def _tail(u: Array, width: Array) -> Array:
    """``width B(u)`` without cancellation for u > 0; B(-u) = u + B(u)."""
    far = np.minimum(np.abs(u), 2 * _FAR)
    density = np.exp(-0.5 * far**2) / math.sqrt(2 * math.pi)
    ratio = far * math.sqrt(math.pi / 2) * erfcx(far / math.sqrt(2))
    ramp = density * (1 - ratio)
    return np.asarray(width * np.where(u < 0, np.abs(u) + ramp, ramp))


def sigma_z_from_z_err(z_err: ArrayLike, z_phot: ArrayLike) -> Array:
    """The error over 1 + z of each galaxy from absolute errors, at its photo-z; shape (n,)."""
    return np.asarray(np.asarray(z_err, np.float64) / (1 + np.asarray(z_phot, np.float64)))


def check_errors(sigma_z: ArrayLike, name: str) -> Array:
    """Errors of galaxies, which must all be positive and finite.

    Parameters
    ----------
    sigma_z : (n,) array
    name : str
        Of the option or column that they come from.

    Raises
    ------
    ValueError
        With the number of those that are not.
    """
    values = np.asarray(sigma_z, np.float64)
    zero = int(np.count_nonzero(values == 0))
    if zero:
        raise ValueError(
            f"{name} is 0 for {zero} of {values.size} galaxies: leave them out, or give them the "
            "error that they have"
        )
    bad = ~(np.isfinite(values) & (values > 0) & (values < 1))
    if bad.any():
        raise ValueError(
            f"{name} must be above 0 and below 1, but is not for {np.count_nonzero(bad)} of "
            f"{values.size} galaxies, such as {values[bad].flat[0]:g}: remove those rows"
        )
    return values


def error_classes(
    sigma_z: ArrayLike, *, most: int = 12, name: str = "sigma_z"
) -> tuple[NDArray[np.int64], Array]:
    """Galaxies in classes of similar errors, within a ratio of about 1.25.

    Parameters
    ----------
    sigma_z : (n,) array
        Error of each galaxy.
    most : int
        Classes at most: they are wider where errors differ by more.
    name : str
        For messages.

    Returns
    -------
    numbers : (n,) int array
        Class of each galaxy.
    sigmas : (num,) array
        Root mean square error of each class, ascending. Classes hold 500 galaxies or more, but for
        a sample of fewer.

    Raises
    ------
    ValueError
        If an error is not above 0 and below 1.
    """
    values = check_errors(sigma_z, name)
    logs = np.log(values)
    low, high = np.quantile(logs, [0.005, 0.995])
    num = min(max(math.ceil((high - low) / math.log(_RATIO)), 1), most)
    numbers = np.clip((num * (logs - low) / max(high - low, 1e-12)).astype(np.int64), 0, num - 1)
    counts = np.bincount(numbers, minlength=num)
    # Small classes join the next larger errors, and what is left at the end the class before.
    joined = np.zeros(num, dtype=np.int64)
    number, size = 0, 0
    for index, count in enumerate(counts):
        joined[index] = number
        size += int(count)
        if size >= _FEWEST and counts[index + 1 :].sum() >= _FEWEST:
            number, size = number + 1, 0
    numbers = joined[numbers]
    squares = np.bincount(numbers, values**2) / np.bincount(numbers)
    return numbers, np.sqrt(squares)
