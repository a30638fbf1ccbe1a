"""The error of photometric redshifts as a distribution of z_phot at each true redshift.

A galaxy at z has its photo-z at z + bias(z) with a Gaussian error of sigma_z (1 + z); a fraction of
*outliers* has one that does not depend on z, uniform over a range. Unlike `PhotozError`, whose
error is one length along a box, this one grows with redshift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]
#: Ratio of errors within a class, and galaxies of the smallest class.
_RATIO, _FEWEST = 1.25, 500


@dataclass(frozen=True)
class RedshiftError:
    """p(z_phot | z) of galaxies that share it.

    Parameters
    ----------
    sigma_z : float
        Standard deviation of the Gaussian part over 1 + z; 0 for exact redshifts.
    outlier_fraction : float
        Share of galaxies whose photo-z is uniform over the range, in [0, 1).
    outlier_range : (2,) floats, optional
        Photo-z between which outliers lie; needed where there are any.
    bias : tuple of floats
        Coefficients of 1, z, z^2, ... of the mean of z_phot - z, outliers left out.

    Raises
    ------
    ValueError
        If a number is not in its range.

    Examples
    --------
    >>> from truez.surveys.redshift_error import RedshiftError
    >>> RedshiftError(0.02).probability([0.1, 0.2, 0.3], [0.2]).round(3)
    array([[0.5],
           [0.5]])
    """

    sigma_z: float
    outlier_fraction: float = 0.0
    outlier_range: tuple[float, float] | None = None
    bias: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma_z) and 0 <= self.sigma_z < 1):
            raise ValueError(f"sigma_z must be a number from 0 to below 1, not {self.sigma_z!r}")
        if not 0 <= self.outlier_fraction < 1:
            raise ValueError(f"outlier_fraction must be in [0, 1), not {self.outlier_fraction!r}")
        if self.outlier_fraction and self.outlier_range is None:
            raise ValueError("outlier_fraction needs outlier_range, the photo-z of outliers")
        if self.outlier_range is not None:
            low, high = self.outlier_range
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"outlier_range must be two photo-z, not {self.outlier_range!r}")
        if not all(math.isfinite(number) for number in self.bias):
            raise ValueError(f"photo_bias must be finite coefficients, not {self.bias!r}")

    def mean(self, redshift: ArrayLike) -> Array:
        """Mean photo-z of galaxies at true redshifts, outliers left out."""
        z = np.asarray(redshift, np.float64)
        return np.asarray(z + np.polynomial.polynomial.polyval(z, self.bias or (0.0,)))

    def probability(self, edges: ArrayLike, redshift: ArrayLike) -> Array:
        """Probability of photo-z between edges (n + 1,) at true redshifts (m,), shape (n, m)."""
        limits = np.asarray(edges, np.float64)[:, None]
        z = np.asarray(redshift, np.float64)
        mean, width = self.mean(z), self.sigma_z * (1 + z)
        if self.sigma_z == 0:
            below = (limits >= mean).astype(np.float64)
        else:
            below = ndtr((limits - mean) / width)
        if self.outlier_fraction and self.outlier_range is not None:
            low, high = self.outlier_range
            anywhere = np.clip((limits - low) / (high - low), 0, 1)
            below = (1 - self.outlier_fraction) * below + self.outlier_fraction * anywhere
        return np.asarray(np.diff(below, axis=0))

    def matrix(self, photo_edges: ArrayLike, true_edges: ArrayLike) -> Array:
        """Probability of photo-z in each cell of a galaxy anywhere in each true cell, (n, m).

        Parameters
        ----------
        photo_edges, true_edges : (n + 1,), (m + 1,) arrays
            Redshifts of the faces of the cells, such as `SkyBox.redshift_edges`. Galaxies are
            uniform in redshift within a true cell.
        """
        photo, true = (np.asarray(edges, np.float64) for edges in (photo_edges, true_edges))
        widest = float(np.diff(true).max())
        # Steps of a third of the error are right to 1e-3 of a probability; where the error is
        # far below a photo cell, its edges cut a true cell, and a thirtieth of it is enough.
        step = max(self.sigma_z, float(np.diff(photo).min()) / 10) / 3
        num = int(np.clip(math.ceil(widest / step), 1, 64))
        parts = (np.arange(num) + 0.5) / num
        fine = (true[:-1, None] + np.diff(true)[:, None] * parts).ravel()
        return np.asarray(self.probability(photo, fine).reshape(len(photo) - 1, -1, num).mean(2))

    def likelihood(
        self, z_phot: ArrayLike, redshift: ArrayLike, sigma_z: ArrayLike | None = None
    ) -> Array:
        """p(z_phot | z), per unit of photo-z, of galaxies (n,) at redshifts (m,), shape (n, m).

        Parameters
        ----------
        z_phot : (n,) array
        redshift : (m,) array
        sigma_z : (n,) array, optional
            Error of each galaxy over 1 + z, in place of the one that all share.

        Raises
        ------
        ValueError
            If an error is not above 0 and below 1.
        """
        own = check_errors(self.sigma_z if sigma_z is None else sigma_z, "sigma_z")
        photo, z = np.asarray(z_phot, np.float64)[:, None], np.asarray(redshift, np.float64)
        width = np.reshape(own, (-1, 1)) * (1 + z)
        result = np.exp(-0.5 * ((photo - self.mean(z)) / width) ** 2)
        result /= math.sqrt(2 * math.pi) * width
        if self.outlier_fraction and self.outlier_range is not None:
            low, high = self.outlier_range
            anywhere = ((photo >= low) & (photo <= high)) / (high - low)
            result = (1 - self.outlier_fraction) * result + self.outlier_fraction * anywhere
        return np.asarray(result)

    def reach(self, redshift: float, num_sigma: float = 5.0) -> float:
        """Difference to photo-z that is ``num_sigma`` errors away at a redshift."""
        return num_sigma * self.sigma_z * (1 + abs(redshift))


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
            f"{values.size} galaxies, such as {values[bad].flat[0]:g}: leave those rows out"
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
