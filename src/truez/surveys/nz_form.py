"""The smooth form of N(z), exp(A) z^a exp(-(z / z0)^b), and its fit by maximum likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from truez.surveys.nz import NumberDensity, NumberFit

Array = NDArray[np.float64]
#: Nodes of the table per bin.
NODES = 5
#: Fewest galaxies that N(z) is fitted to.
FEWEST = 50
#: Bounds of a, ln z0 and ln b.
_BOUNDS = ((-0.9, 40.0), (np.log(1e-3), np.log(10.0)), (np.log(0.2), np.log(40.0)))
#: (a, b) to start from, with z0 such that the form peaks at the median.
_STARTS = ((1.0, 1.5), (2.0, 2.0), (4.0, 3.0), (1.0, 6.0), (12.0, 4.0), (15.0, 15.0))
#: Starts that are followed to their end.
_FOLLOWED = 3


class Form(NamedTuple):
    """The numbers of the form but its amplitude."""

    a: float
    z0: float
    b: float

    def log(self, redshift: Array) -> Array:
        """Its logarithm, with an amplitude of 1."""
        z = np.maximum(redshift, 1e-6)
        with np.errstate(over="ignore"):
            return np.asarray(self.a * np.log(z) - (z / self.z0) ** self.b)

    def __call__(self, redshift: Array) -> Array:
        """The form, 1 at its highest."""
        logs = self.log(redshift)
        return np.asarray(np.exp(logs - logs.max()))

    def density(
        self, redshift: Array, factor: float, histogram: tuple[Array, Array, Array],
        spread: float = 1.0,
    ) -> NumberDensity:  # fmt: skip
        """N(z) with this form.

        Parameters
        ----------
        redshift : (m,) array
            Nodes.
        factor : float
            Galaxies per unit redshift at its highest.
        histogram : edges (n + 1,), counts (n,) and model (n,)
            What it was fitted to, and what it predicts.
        spread : float
            Variance of the counts over their mean.
        """
        edges, counts, model = histogram
        filled = model >= 5 * spread
        chi2 = float(((counts - model)[filled] ** 2 / (spread * model[filled])).sum())
        amplitude = float(np.log(factor) - self.log(redshift).max())
        dof = max(int(filled.sum()) - 4, 1)
        fit = NumberFit(amplitude, *self, chi2, dof, edges, counts, model)
        return NumberDensity(redshift, factor * self(redshift), fit)


def best_form(loss: Callable[[Form], float], median: float) -> Form:
    """The form of the lowest loss.

    Parameters
    ----------
    loss : callable
    median : float
        Of the galaxies, from which it starts.
    """

    def of(values: Sequence[float] | Array) -> float:
        return loss(_form(values))

    found = [
        minimize(of, one, method="Nelder-Mead", bounds=_BOUNDS,
                 options={"xatol": 1e-4, "fatol": 1e-9, "maxiter": 2000})
        for one in sorted(_starts(median), key=of)[:_FOLLOWED]
    ]  # fmt: skip
    return _form(min(found, key=lambda one: float(one.fun)).x)


def histogram_loss(counts: Array, kernel: Array, redshift: Array) -> Callable[[Form], float]:
    """Minus the mean log-likelihood of galaxies in bins (n,), whose model is kernel @ form."""
    total = counts.sum()

    def loss(form: Form) -> float:
        model = kernel @ form(redshift)
        share = np.maximum(model / max(model.sum(), 1e-300), 1e-12)
        return float(-(counts * np.log(share)).sum() / total)

    return loss


def fit_form(edges: ArrayLike, counts: ArrayLike, *, name: str = "photo") -> NumberDensity:
    """N(z) fitted to numbers of galaxies at exact redshifts between edges.

    Parameters
    ----------
    edges : (n + 1,) array
    counts : (n,) array
    name : str
        Of the survey, for messages.

    Raises
    ------
    ValueError
        If there are fewer than 50 galaxies, or all are in one or two bins.
    """
    limits, numbers = np.asarray(edges, np.float64), np.asarray(counts, np.float64)
    total, filled = float(numbers.sum()), int(np.count_nonzero(numbers > 0))
    if total < FEWEST or filled < 3:
        raise ValueError(
            f"N(z) of the {name} survey cannot be fitted to {total:.4g} galaxies in {filled} bins: "
            f"at least {FEWEST} in three bins are needed"
        )
    parts = np.linspace(limits[:-1], limits[1:], NODES, endpoint=False, axis=1)
    fine = np.append(parts, limits[-1])
    # The integral over each bin, linear between nodes.
    half, bins = np.diff(fine) / 2, np.arange(len(numbers))
    kernel = np.zeros((len(numbers), len(fine)))
    for part in range(NODES):
        node = NODES * bins + part
        kernel[bins, node] += half[node]
        kernel[bins, node + 1] += half[node]
    median = float(np.interp(0.5 * total, np.cumsum(numbers), limits[1:]))
    form = best_form(histogram_loss(numbers, kernel, fine), median)
    factor = total / float((kernel @ form(fine)).sum())
    return form.density(fine, factor, (limits, numbers, factor * (kernel @ form(fine))))


def _starts(median: float) -> list[Array]:
    return [
        _clipped(np.array([a, np.log(max(median, 0.01) * (b / a) ** (1 / b)), np.log(b)]))
        for a, b in _STARTS
    ]


def _clipped(values: Array) -> Array:
    low, high = (np.array(limits) for limits in zip(*_BOUNDS, strict=True))
    return np.clip(values, low, high)


def _form(values: Sequence[float] | Array) -> Form:
    return Form(float(values[0]), float(np.exp(values[1])), float(np.exp(values[2])))
