"""Photo-z for galaxies whose redshifts are known: how their errors differ, and their scatter.

The error of a galaxy, sigma(z) / (1 + z), is a product of what the settings name:

    (sigma_z + sigma_z_growth z) e^(scatter n)   at its redshift z, with n a unit normal,
    faint_factor^rank                    by magnitude: rank 0 is the brightest, 1 the faintest,

or that of the class that it is in by chance. Its photo-z is Gaussian about z + bias(z) with this
error times 1 + z, or, for an outlier, uniform over a range. Since the error of a galaxy is drawn
before its photo-z, p(z_phot | z) of a galaxy with a known error is exactly this Gaussian.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field as Setting
from pydantic import model_validator

from truez.support.settings import Settings
from truez.surveys.redshift_error import RedshiftError

Array = NDArray[np.float64]
#: Smallest and largest error of a galaxy over 1 + z.
_LIMITS = (1e-5, 0.5)


class PhotoRedshifts(NamedTuple):
    """What a photometric survey measures.

    Parameters
    ----------
    z_phot : (n,) array
        May be 0 or below, as scattered redshifts near 0 are.
    sigma_z : (n,) array
        The error of each galaxy over 1 + z, outliers left out.
    outlier : (n,) bool array
    """

    z_phot: Array
    sigma_z: Array
    outlier: NDArray[np.bool_]


class PhotoScatter(Settings):
    """How photo-z scatter; by default all galaxies share one error.

    Parameters
    ----------
    sigma_z : float
        Error over 1 + z, of the brightest galaxies at z = 0 where errors differ.
    sigma_z_growth : float
        Increase of sigma_z with z.
    scatter : float
        Of ln sigma_z between galaxies at one redshift, where errors grow with z: a column of
        errors that followed from the true redshift alone would give it away.
    faint_factor : float
        Error of the faintest galaxy over that of the brightest.
    error_classes : tuple of (share, sigma_z)
        Galaxies in classes at random, in place of ``sigma_z``; shares sum up to 1.
    outlier_fraction : float
        Share of galaxies whose photo-z is uniform over ``outlier_range``.
    outlier_range : (2,) floats, optional
        Needed for outliers.
    photo_bias : tuple of floats
        Coefficients of 1, z, z^2, ... of the mean of z_phot - z, outliers left out.

    Raises
    ------
    ValueError
        If a number is out of its range, or settings contradict each other.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.surveys.photo_scatter import PhotoScatter
    >>> found = PhotoScatter(sigma_z=0.02).observe(np.full(10_000, 0.5), np.random.default_rng(1))
    >>> round(float(found.z_phot.std()), 3)
    0.03
    """

    sigma_z: float = Setting(default=0.02, gt=0, lt=0.5)
    sigma_z_growth: float = Setting(default=0.0, ge=0, lt=1)
    scatter: float = Setting(default=0.25, ge=0, le=1)
    faint_factor: float = Setting(default=1.0, ge=1, le=100)
    error_classes: tuple[tuple[float, float], ...] = ()
    outlier_fraction: float = Setting(default=0.0, ge=0, lt=1)
    outlier_range: tuple[float, float] | None = None
    photo_bias: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> PhotoScatter:
        if self.error_classes:
            if self.sigma_z_growth or self.faint_factor != 1:
                raise ValueError(
                    "error_classes have errors of their own: leave sigma_z_growth and faint_factor "
                    "out"
                )
            shares = sum(share for share, _ in self.error_classes)
            right = all(0 < share <= 1 and 0 < sigma < 0.5 for share, sigma in self.error_classes)
            if not right or not math.isclose(shares, 1, abs_tol=1e-6):
                raise ValueError(
                    "error_classes must be pairs of a share and an error between 0 and 0.5, with "
                    f"shares that sum up to 1, not {self.error_classes}"
                )
        # The same ranges and words as where the errors are used.
        RedshiftError(0.01, self.outlier_fraction, self.outlier_range, self.photo_bias)
        return self

    @property
    def differs(self) -> bool:
        """Whether galaxies have errors of their own."""
        return bool(self.sigma_z_growth or self.faint_factor != 1 or self.error_classes)

    @property
    def needs_magnitudes(self) -> bool:
        """Whether errors depend on magnitudes."""
        return self.faint_factor != 1

    def errors(
        self, redshift: ArrayLike, generator: np.random.Generator, magnitude: ArrayLike | None
    ) -> Array:
        """sigma_z of galaxies at true redshifts, shape (n,).

        Raises
        ------
        ValueError
            If errors depend on magnitudes and there are none.
        """
        z = np.asarray(redshift, np.float64)
        if self.error_classes:
            shares, sigmas = np.array(self.error_classes).T
            return np.asarray(generator.choice(sigmas, z.size, p=shares / shares.sum()))
        sigma = np.asarray(self.sigma_z + self.sigma_z_growth * z)
        if self.sigma_z_growth:
            sigma = sigma * np.exp(self.scatter * generator.normal(size=z.size))
        if self.needs_magnitudes:
            if magnitude is None:
                raise ValueError(
                    "faint_factor needs the magnitudes of the galaxies: give magnitude_column"
                )
            order = np.argsort(np.argsort(np.asarray(magnitude), kind="stable"), kind="stable")
            sigma = sigma * self.faint_factor ** (order / max(z.size - 1, 1))
        return np.asarray(np.clip(sigma, *_LIMITS) if self.differs else sigma)

    def observe(
        self,
        redshift: ArrayLike,
        generator: np.random.Generator,
        magnitude: ArrayLike | None = None,
    ) -> PhotoRedshifts:
        """Photo-z and errors of galaxies.

        Parameters
        ----------
        redshift : (n,) array
            True ones, with peculiar velocities.
        generator : numpy Generator
        magnitude : (n,) array, optional
            Apparent, the brightest the smallest; needed for a ``faint_factor``.
        """
        return self.scattered(redshift, self.errors(redshift, generator, magnitude), generator)

    def scattered(
        self, redshift: ArrayLike, sigma_z: Array, generator: np.random.Generator
    ) -> PhotoRedshifts:
        """Photo-z of galaxies with known errors over 1 + z, (n,)."""
        z = np.asarray(redshift, np.float64)
        mean = RedshiftError(0.01, bias=self.photo_bias).mean(z)
        photo = mean + sigma_z * (1 + z) * generator.normal(size=z.size)
        outlier = np.zeros(z.size, dtype=bool)
        if self.outlier_fraction:
            assert self.outlier_range is not None
            outlier = generator.random(z.size) < self.outlier_fraction
            photo[outlier] = generator.uniform(*self.outlier_range, np.count_nonzero(outlier))
        return PhotoRedshifts(photo, np.broadcast_to(sigma_z, z.shape).copy(), outlier)

    def describe(self) -> dict[str, Any]:
        """Outliers and bias, which with a column of errors are p(z_phot | z) of each galaxy."""
        known = {"outlier_fraction": self.outlier_fraction, "bias": list(self.photo_bias)}
        if self.outlier_range is not None:
            known["outlier_range"] = list(self.outlier_range)
        return known
