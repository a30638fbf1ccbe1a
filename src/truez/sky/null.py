"""Null mocks: random galaxies on the same sky, from which nothing can be learned of redshifts.

They have the footprints, N(z) and errors of a mock. Everything must be fitted again to them: with
the power spectrum of the real galaxies the filter would find structure in their noise.
"""

from __future__ import annotations

import numpy as np

from truez.sky.mock import SkyMock
from truez.surveys.nz_fit import fit_number_density
from truez.surveys.random_sky import random_directions

#: Galaxies among which one of nearly the same redshift is taken.
_NEAR = 25


def null_mock(mock: SkyMock, *, seed: int) -> SkyMock:
    """Random galaxies with the footprints, N(z) and errors of a mock.

    N(z) is the smooth form fitted to the true redshifts, and so is that of the galaxies with
    spectra, which are as many. Photo-z errors and magnitudes are those of galaxies of the mock at
    nearly the same redshift.

    Parameters
    ----------
    mock : SkyMock
    seed : int

    Raises
    ------
    ValueError
        If there are too few galaxies to fit N(z).
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x4E55]))
    num, num_spec = len(mock.ids), len(mock.spec_rows)
    low, high = mock.config.redshift_range
    nz, spec_nz = (
        fit_number_density(z, name=name, true_range=(low, high), z_range=(low, high))
        for name, z in (("photo", mock.z_true), ("spec", mock.z_true[mock.spec_rows]))
    )
    z = np.clip(nz.quantile(rng.random(num)), low, high)
    ra, dec = random_directions(mock.footprint, num, rng)
    order = np.argsort(mock.z_true, kind="stable")
    near = np.searchsorted(mock.z_true[order], z) + rng.integers(-_NEAR, _NEAR + 1, num)
    like = order[np.clip(near, 0, num - 1)]
    photo = mock.config.photo.scattered(z, mock.sigma_z[like], rng)
    ratio = spec_nz(z) / np.maximum(nz(z), 1e-300)
    weight = ratio * mock.spec_footprint.completeness(ra, dec)
    # The galaxies that come first at random arrival times whose rates are the weights.
    times = rng.exponential(size=num) / np.maximum(weight, 1e-300)
    chosen = np.sort(np.argsort(times, kind="stable")[: min(num_spec, int((weight > 0).sum()))])
    return SkyMock(
        ids=np.arange(num), ra=ra, dec=dec, z_phot=photo.z_phot, sigma_z=photo.sigma_z, z_true=z,
        outlier=photo.outlier, spec_rows=chosen, footprint=mock.footprint,
        spec_footprint=mock.spec_footprint, config=mock.config,
        magnitude=None if mock.magnitude is None else mock.magnitude[like],
        source={"catalogue": "random galaxies", "seed": seed},
    )  # fmt: skip
