"""Two-point statistics of fields and catalogues.

    P_ab(k) = V <Re(a_k b_k*)>,   a_k = (1 / N) sum_x a(x) exp(-i k x)

averaged over the modes in a bin, both of each pair +-k, the mode k = 0 excluded. Multipoles are
``P_ell = (2 ell + 1) <Re(a_k b_k*) L_ell(mu)> V`` with mu = k_par / k along the last axis. Poles
contain the shot noise, which is given beside them. Bins include their lower edge and exclude their
upper; a mode that equals an edge up to rounding lies on it.

Fields of kind counts or density are taken relative to their mean. A field on a closed box is
transformed as if it were periodic; its faces are not corrected for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import rfft
from truez.mesh.paint_input import as_numpy, of_order_one
from truez.mesh.painting import paint
from truez.statistics.binning import BinSums, Floats, check_edges
from truez.statistics.correlation import correlation
from truez.statistics.pairs import Pair, field_modes, interlace, inverse_window
from truez.statistics.results import (
    Comparison,
    Comparison2D,
    ComparisonMu,
    Correlation,
    Power,
    Power2D,
    Wedges,
)
from truez.support.checks import check_type
from truez.support.progress import Progress, silent

__all__ = [
    "Comparison",
    "Comparison2D",
    "ComparisonMu",
    "Correlation",
    "Power",
    "Power2D",
    "Wedges",
    "catalog_power",
    "compare",
    "compare_2d",
    "compare_mu",
    "correlation",
    "default_edges",
    "power",
    "power_2d",
    "power_mu",
]

_ALL_MU = np.array([0.0, 1.0])

#: Bin edges of k [h/Mpc]: an array, or a dict of step and, optionally, min and max.
Edges = ArrayLike | Mapping[str, float]


def default_edges(box: Box) -> Floats:
    """Edges of k [h/Mpc] from 0 to the Nyquist wavenumber, one fundamental w wide.

    0, 1.5 w, 2.5 w, ...: bins are centred on whole numbers of w, the middle one of the three
    fundamentals, and the first holds all modes below, so that none is empty. (With
    the largest, a thin slab would have no bins on large scales; with the smallest, a long box would
    have bins with modes of one direction only.)
    """
    return _rising_edges(sorted(box.fundamental)[1], box.nyquist)


def power(
    field: Field,
    other: Field | None = None,
    *,
    edges: Edges | None = None,
    ells: Sequence[int] = (0, 2, 4),
    compensate: bool = False,
) -> Power:
    """Multipoles of the auto power of a field, or of its cross power with another.

    Parameters
    ----------
    field, other : Field
        On the same box and mesh.
    edges : array or dict, optional
        Bin edges of k [h/Mpc]; or ``{"step": width}`` with, optionally, ``"min"`` and ``"max"`` (0
        and the Nyquist wavenumber); `default_edges` otherwise.
    ells : sequence of int
        Degrees of the multipoles, even.
    compensate : bool
        Divide by the window of each field's resampler.

    Returns
    -------
    Power
        With the shot noise of the field; 0 for a cross power, None where it is not known.

    Raises
    ------
    ValueError
        If fields do not fit each other, have no positive mean or values that are not finite, or an
        argument has another value.

    Examples
    --------
    >>> import numpy as np
    >>> import truez
    >>> box = truez.Box(100, cellsize=5)
    >>> positions = np.random.default_rng(1).uniform(0, 100, (1000, 3))
    >>> spectrum = truez.power(truez.paint(positions, box), edges={"step": 0.1}, ells=(0, 2))
    >>> spectrum
    Power: 6 bins of k from 0 to 0.6 h/Mpc, ells (0, 2), shot noise 1000 (Mpc/h)^3
    >>> spectrum.to_table().colnames
    ['k', 'nmodes', 'pole_0', 'pole_2']
    """
    pair = Pair.of(field, other, compensate)
    return poles_of(pair, edges, ells)


def catalog_power(
    positions: NDArray[np.floating[Any]] | Tensor,
    box: Box,
    *,
    weights: Floats | Tensor | None = None,
    resampler: str = "tsc",
    interlacing: bool = True,
    edges: Edges | None = None,
    ells: Sequence[int] = (0, 2, 4),
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Power:
    """Multipoles of the power of galaxies, painted and compensated for the painting.

    Parameters
    ----------
    positions : array or Tensor (n, 3)
        [Mpc/h].
    box : Box
        Its mesh is painted on.
    weights : array or Tensor (n,), optional
        1 by default; in any unit, which power does not depend on.
    resampler : {"ngp", "cic", "tsc"}
    interlacing : bool
        Paint a second mesh, half a cell aside, and average the modes: odd aliases cancel. Needs a
        periodic box.
    edges, ells
        As in `power`.

    Returns
    -------
    Power
        The shot noise is V sum w^2 / (sum w)^2.

    Examples
    --------
    >>> import numpy as np
    >>> import truez
    >>> positions = np.random.default_rng(1).uniform(0, 100, (1000, 3))
    >>> truez.catalog_power(positions, truez.Box(100, cellsize=5), edges={"step": 0.1}, ells=(0,))
    Power: 6 bins of k from 0 to 0.6 h/Mpc, ells (0,), shot noise 1000 (Mpc/h)^3
    """
    check_type(box, Box, "box", "truez.Box(boxsize, cellsize=...)")
    if interlacing and not box.periodic:
        raise ValueError("interlacing needs a periodic box: pass interlacing=False")
    given, weights = weights, of_order_one(weights)
    counts = paint(positions, box, resampler, weights=weights, device=device, progress=progress)
    if given is not None:
        _check_sum(as_numpy(given))
    modes, scale = field_modes(counts, "the painted catalogue")
    if interlacing:
        shotnoise = counts.shotnoise
        del counts
        shifted = paint(
            positions, box, resampler, weights=weights, shift=0.5, device=device, progress=progress
        ).values
        interlace(modes, rfft(shifted), box)
    else:
        shotnoise = counts.shotnoise
    pair = Pair(box, modes, None, scale**2, (inverse_window(box, resampler), None))
    pair.shotnoise = shotnoise
    return poles_of(pair, edges, ells)


def _check_sum(weights: Floats) -> None:
    """Raise ValueError unless the weights have a positive sum, by which power is normalised."""
    total = float(np.sum(weights, dtype=np.float64))
    if not total > 1e-6 * float(np.sum(np.abs(weights), dtype=np.float64)):
        raise ValueError(
            f"weights must have a positive sum, not {total:.3g}: choose other weights, or leave "
            "out the rows of negative ones"
        )


def power_mu(
    field: Field,
    other: Field | None = None,
    *,
    edges: Edges | None = None,
    num_mu: int = 10,
    compensate: bool = False,
) -> Wedges:
    """Auto or cross power in bins of (k, |mu|), ``num_mu`` equal ones between 0 and 1.

    The last bin includes mu = 1. Other arguments as in `power`.
    """
    pair = Pair.of(field, other, compensate)
    bins = _k_edges(edges, field.box), _mu_edges(num_mu)
    sums = pair.bin(*bins, "k_mu")
    k, mu, measured = _means(sums, pair.norm)
    return Wedges(*bins, k, mu, sums.nmodes, measured[0], pair.shotnoise)


def power_2d(
    field: Field,
    other: Field | None = None,
    *,
    kperp_edges: ArrayLike | None = None,
    kpar_edges: ArrayLike | None = None,
    compensate: bool = False,
) -> Power2D:
    """Auto or cross power in bins of (k_perp, k_par), across and along the line of sight.

    By default k_perp has bins as `default_edges`, with the fundamental and Nyquist wavenumber
    across the line of sight, and k_par one bin for each plane of modes below its Nyquist
    wavenumber. Other arguments as in `power`.
    """
    pair = Pair.of(field, other, compensate)
    bins = _plane_edges(kperp_edges, kpar_edges, field.box)
    sums = pair.bin(*bins, "kperp_kpar")
    k_perp, k_par, measured = _means(sums, pair.norm)
    return Power2D(*bins, k_perp, k_par, sums.nmodes, measured[0], pair.shotnoise)


def compare(field: Field, *, truth: Field, edges: Edges | None = None) -> Comparison:
    """Spectra of a field and the truth, with r(k) and T(k), shot noise included in both.

    Power at the level of the rounding of a constant counts as zero (r is NaN there).

    Examples
    --------
    >>> import numpy as np
    >>> from truez import Box, Field, compare
    >>> rng = np.random.default_rng(1)
    >>> truth = Field(rng.normal(size=(16, 16, 16)), Box(64, cellsize=4))
    >>> compare(Field(truth * 0.5, truth.box), truth=truth, edges={"step": 0.2}).transfer.round(3)
    array([0.5, 0.5, 0.5])
    """
    pair = Pair.of(field, truth, False, together=True)
    bins = _k_edges(edges, field.box)
    sums = pair.bin(bins, _ALL_MU, "k_mu")
    k, _, measured = _means(sums, pair.norm)
    return Comparison(bins, k[:, 0], sums.nmodes[:, 0], *pair.above_rounding(measured[..., 0]))


def compare_mu(
    field: Field, *, truth: Field, edges: Edges | None = None, num_mu: int = 10
) -> ComparisonMu:
    """As `compare`, in bins of (k, |mu|)."""
    pair = Pair.of(field, truth, False, together=True)
    bins = _k_edges(edges, field.box), _mu_edges(num_mu)
    sums = pair.bin(*bins, "k_mu")
    k, mu, measured = _means(sums, pair.norm)
    return ComparisonMu(*bins, k, mu, sums.nmodes, *pair.above_rounding(measured))


def compare_2d(
    field: Field,
    *,
    truth: Field,
    kperp_edges: ArrayLike | None = None,
    kpar_edges: ArrayLike | None = None,
) -> Comparison2D:
    """As `compare`, in bins of (k_perp, k_par); default bins as in `power_2d`."""
    pair = Pair.of(field, truth, False, together=True)
    bins = _plane_edges(kperp_edges, kpar_edges, field.box)
    sums = pair.bin(*bins, "kperp_kpar")
    k_perp, k_par, measured = _means(sums, pair.norm)
    return Comparison2D(*bins, k_perp, k_par, sums.nmodes, *pair.above_rounding(measured))


def poles_of(pair: Pair, edges: Edges | None, ells: Sequence[int]) -> Power:
    """The multipoles of `power` of modes that are there already."""
    degrees = tuple(ells)
    if not degrees or any(ell != int(ell) or ell < 0 or ell % 2 for ell in degrees):
        raise ValueError(f"ells must be even whole numbers, such as (0, 2, 4), not {ells!r}")
    bins = _k_edges(edges, pair.box)
    sums = pair.bin(bins, _ALL_MU, "k_mu", max(degrees) // 2 + 1)
    with np.errstate(invalid="ignore"):
        moments = sums.products[0, :, :, 0] * pair.norm / sums.nmodes[:, 0]
        k = sums.first[:, 0] / sums.nmodes[:, 0]
    poles = {}
    for ell in degrees:
        even = legendre.leg2poly([0] * ell + [1])[::2]
        poles[int(ell)] = (2 * ell + 1) * (even @ moments[: len(even)])
    return Power(bins, k, sums.nmodes[:, 0], poles, pair.shotnoise)


def _means(sums: BinSums, norm: float | Floats) -> tuple[Floats, Floats, Floats]:
    """Mean coordinates and products of the bins; NaN where there is no mode."""
    with np.errstate(invalid="ignore"):
        first, second = sums.first / sums.nmodes, sums.second / sums.nmodes
        return first, second, sums.products[:, 0] * norm / sums.nmodes


def _rising_edges(width: float, end: float, first: float = 1.5) -> Floats:
    """0, first w, (first + 1) w, ... as far as ``end``, at least one bin."""
    number = max(math.floor(end / width - first + 1e-9), 0) + 1
    return np.append(0.0, (first + np.arange(number)) * width)


def _k_edges(edges: Edges | None, box: Box) -> Floats:
    if edges is None:
        return default_edges(box)
    if not isinstance(edges, Mapping):
        return check_edges(edges)
    unknown = [str(name) for name in edges if name not in ("min", "max", "step")]
    if unknown or "step" not in edges:
        raise ValueError(
            f"edges must be an array of wavenumbers or a dict of step, min and max [h/Mpc], not "
            f"{dict(edges)!r}"
        )
    low, high = edges.get("min", 0.0), edges.get("max", box.nyquist)
    try:
        number = math.floor((high - low) / edges["step"] + 1e-9)
    except (TypeError, ZeroDivisionError, ValueError, OverflowError):
        number = 0
    if not number >= 1:
        raise ValueError(
            f"edges from {low!r} to {high!r} h/Mpc hold no bin of step {edges['step']!r}"
        )
    return check_edges(low + edges["step"] * np.arange(number + 1))


def _mu_edges(num_mu: int) -> Floats:
    if num_mu != int(num_mu) or num_mu < 1:
        raise ValueError(f"num_mu must be a whole number of bins, not {num_mu!r}")
    return np.linspace(0, 1, int(num_mu) + 1)


def _plane_edges(
    kperp_edges: ArrayLike | None, kpar_edges: ArrayLike | None, box: Box
) -> tuple[Floats, Floats]:
    (fx, fy, fz), (cx, cy, cz) = box.fundamental, box.cellsize
    across = (
        _rising_edges(max(fx, fy), math.pi / max(cx, cy))
        if kperp_edges is None
        else check_edges(kperp_edges, "kperp_edges")
    )
    along = (
        _rising_edges(fz, math.pi / cz, 0.5)
        if kpar_edges is None
        else check_edges(kpar_edges, "kpar_edges")
    )
    return across, along
