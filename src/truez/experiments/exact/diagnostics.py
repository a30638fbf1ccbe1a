"""Whether chains have mixed: split R-hat and effective sample size (Gelman et al. 2013, Sect. 11).

The effective sample size sums the autocorrelations of all chains over Geyer's initial monotone
sequence of positive pairs, as Stan does.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray


def split_rhat(values: ArrayLike) -> float:
    """R-hat of the halves of chains (num_chains, num_draws); 1 if all have one distribution."""
    halves = _halves(values)
    num = halves.shape[1]
    within = halves.var(axis=1, ddof=1).mean()
    between = halves.mean(axis=1).var(ddof=1)
    return float(math.sqrt((num - 1) / num + between / within)) if within > 0 else math.nan


def effective_size(values: ArrayLike) -> float:
    """Independent draws that the mean of chains (num_chains, num_draws) is worth.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.experiments.exact.diagnostics import effective_size
    >>> white = np.random.default_rng(1).standard_normal((4, 500))
    >>> 1500 < effective_size(white) < 2500
    True
    """
    halves = _halves(values)
    chains, num = halves.shape
    within = halves.var(axis=1, ddof=1).mean()
    if not within > 0:
        return math.nan
    whole = within * (num - 1) / num + halves.mean(axis=1).var(ddof=1)
    covariance = _autocovariance(halves).mean(axis=0)
    rho = 1 - (within - covariance * num / (num - 1)) / whole
    rho[0] = 1.0
    pairs = rho[: 2 * (num // 2)].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs < 0)
    pairs = np.minimum.accumulate(pairs[: ends[0] if len(ends) else len(pairs)])
    time = max(2 * pairs.sum() - 1, 1 / math.log10(chains * num))
    return float(chains * num / time)


def _halves(values: ArrayLike) -> NDArray[np.float64]:
    """Both halves of each chain as chains, (2 num_chains, num_draws // 2)."""
    chains = np.asarray(values, dtype=np.float64)
    if chains.ndim != 2 or chains.shape[1] < 4:
        raise ValueError(f"values must be chains of 4 draws or more, not of shape {chains.shape}")
    num = chains.shape[1] // 2
    return np.concatenate([chains[:, :num], chains[:, -num:]])


def _autocovariance(chains: NDArray[np.float64]) -> NDArray[np.float64]:
    num = chains.shape[1]
    modes = scipy.fft.rfft(chains - chains.mean(axis=1, keepdims=True), 2 * num, axis=1)
    found = scipy.fft.irfft(np.abs(modes) ** 2, 2 * num, axis=1)[:, :num]
    return np.asarray(found / num)
