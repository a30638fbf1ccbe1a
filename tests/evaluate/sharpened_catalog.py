"""A catalogue as truez redshifts writes it, of redshifts whose errors are known."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

#: Errors of photo-z and of redshifts after, both Gaussian; spectra that the map was given.
BEFORE, AFTER, SPECTRA = 0.05, 0.02, 0.2
WIDTH = float(norm.ppf(0.84))


def sharpened_catalog(num: int = 4000, seed: int = 1, prefix: str = "") -> dict[str, np.ndarray]:
    """Columns of galaxies far from z = 0, with p(z) that are right before and after."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.5, 1.0, num)
    # A flat prior far wider than the errors: Gaussians about the photo-z are right.
    z_phot = z + BEFORE * rng.normal(size=num)
    after = z + AFTER * rng.normal(size=num)
    matched = rng.random(num) < SPECTRA
    after[matched] = z[matched]
    spread = np.where(matched, 0.0, AFTER)
    own = {
        "z_mean": after, "z_median": after, "z_mode": after, "z_std": spread,
        "z_lo": after - WIDTH * spread, "z_hi": after + WIDTH * spread,
        "spec_matched": matched, "flag": np.zeros(num, np.int16),
    }  # fmt: skip
    return {
        "ID": 10 * np.arange(num) + 7,
        "RA": rng.uniform(10, 12, num),
        "DEC": rng.uniform(-1, 1, num),
        "MAG": rng.uniform(18, 24, num),
        "Z_SPEC": np.where(rng.random(num) < 0.1, -99.0, z),
        "Z_PHOT": z_phot,
        "Z_ERR": np.full(num, BEFORE),
        **{f"{prefix}{name}": values for name, values in own.items()},
    }
