"""How good redshifts of galaxies on the sky are, where the truth is known.

The baseline is p(z | z_phot) that already has N(z) as its prior, so that what is gained is due to
the neighbours of a galaxy alone. Galaxies are chosen by their photo-z: among those chosen by their
true redshift not even a right posterior is calibrated. Models of the photo-z error are compared by
the absolute ln p, since a wrong one has a worse baseline and seems to gain more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.sky.mock import SkyMock
from truez.sky.null import null_mock
from truez.surveys.nz import NumberDensity
from truez.surveys.redshift_error import RedshiftError

Array = NDArray[np.float64]
#: Parts of equal probability in which true redshifts are counted, and the central interval.
PIT_BINS, INTERVAL = 10, 0.68
#: A redshift that is further off than this, over 1 + z, is an outlier.
OUTLIER = 0.15
#: Bins of the distance to the edge of a footprint [Mpc/h].
EDGE_BINS = (0.0, 2.5, 5.0, 10.0, 20.0, math.inf)
#: Galaxies whose posteriors are in memory at a time.
_ROWS = 4096


@dataclass(frozen=True, eq=False, kw_only=True)
class JudgedRedshifts:
    """Redshifts of galaxies and the truth, each an array (n,).

    Parameters
    ----------
    z_true, z_phot : arrays
    z_after : array
        One number for the sharpened redshift, best the median; nan where there is none.
    ln_p, ln_p_photo : arrays
        ln of the probability of the true redshift, of its cell or per unit of redshift but the same
        for both: of the posterior, and of p(z | z_phot) with N(z).
    pit : array
        Probability below the truth.

    Raises
    ------
    ValueError
        If the arrays are of different lengths.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.evaluate.sky import JudgedRedshifts
    >>> z = np.full(4, 0.3)
    >>> found = JudgedRedshifts(
    ...     z_true=z, z_phot=z + 0.02, z_after=z, ln_p=z - 2, ln_p_photo=z - 2.5,
    ...     pit=np.array([0.1, 0.4, 0.6, 0.9]),
    ... )
    >>> found.numbers()["nats_own_place"], found.numbers()["inside_68"]
    (0.5, 50.0)
    """

    z_true: Array
    z_phot: Array
    z_after: Array
    ln_p: Array
    ln_p_photo: Array
    pit: Array

    def __post_init__(self) -> None:
        for name in ("z_phot", "z_after", "ln_p", "ln_p_photo", "pit"):
            if getattr(self, name).shape != self.z_true.shape:
                raise ValueError(
                    f"{name} has shape {getattr(self, name).shape}, not {self.z_true.shape}"
                )

    def __len__(self) -> int:
        return len(self.z_true)

    @property
    def gain(self) -> Array:
        """Information gained over the photo-z alone [nats]; nan for a truth without a chance."""
        with np.errstate(invalid="ignore"):  # -inf less -inf
            return np.asarray(self.ln_p - self.ln_p_photo)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Galaxies with a posterior and a baseline."""
        return np.isfinite(self.pit) & np.isfinite(self.gain) & np.isfinite(self.z_after)

    def take(self, rows: NDArray[Any]) -> JudgedRedshifts:
        """Some of the galaxies, by a mask (n,) or by indices."""
        return JudgedRedshifts(**{name: getattr(self, name)[rows] for name in _NAMES})

    def chosen(self, redshift_range: tuple[float, float], has_spectrum: ArrayLike) -> NDArray[Any]:
        """Rows to judge: without a spectrum, with a posterior, and a photo-z within a range."""
        low, high = redshift_range
        inside = (self.z_phot >= low) & (self.z_phot <= high)
        return np.flatnonzero(inside & self.known & ~np.asarray(has_spectrum, dtype=bool))

    def numbers(self) -> dict[str, Any]:
        """The numbers of all galaxies that have a posterior.

        ``nats_own_place`` and its error, ``ln_p`` and ``ln_p_photo``, means over galaxies; ``pit``,
        the share in each tenth of their posteriors, and ``pit_worst_tenth``, the largest distance
        from 10% [% of galaxies]; ``inside_68`` [%]; ``nmad``, ``bias`` and ``outliers`` [%] before
        and after, as `point_numbers` has them; ``num``, and ``num_without`` a posterior.

        Raises
        ------
        ValueError
            If there is none.
        """
        known = self.known
        num = int(np.count_nonzero(known))
        if num == 0:
            raise ValueError("no galaxy to judge has a posterior: choose another redshift_range")
        gain, pit = self.gain[known], self.pit[known]
        share = np.histogram(pit, PIT_BINS, (0.0, 1.0))[0] / num
        outside = (1 - INTERVAL) / 2
        before = point_numbers(self.z_phot[known], self.z_true[known])
        after = point_numbers(self.z_after[known], self.z_true[known])
        return {
            "num": num,
            "num_without": len(self) - num,
            "nats_own_place": float(gain.mean()),
            "nats_own_place_error": float(gain.std(ddof=1) / math.sqrt(num)) if num > 1 else None,
            "ln_p": float(self.ln_p[known].mean()),
            "ln_p_photo": float(self.ln_p_photo[known].mean()),
            "pit": share,
            "pit_worst_tenth": 100 * float(np.abs(share - 1 / PIT_BINS).max()),
            "inside_68": 100 * float(((pit >= outside) & (pit <= 1 - outside)).mean()),
            **{f"{name}_before": value for name, value in before.items()},
            **{f"{name}_after": value for name, value in after.items()},
        }

    def numbers_by(self, values: ArrayLike, edges: ArrayLike) -> list[dict[str, Any]]:
        """`numbers` of the galaxies in each bin of a quantity, such as z_phot or a magnitude.

        Parameters
        ----------
        values : (n,) array
        edges : (m + 1,) array
            Bins include their lower edge, the last one its upper edge as well.

        Returns
        -------
        list
            One entry for each bin, with ``low``, ``high`` and ``center``, the mean of the values;
            ``num`` is 0 and there is nothing else where a bin is empty.
        """
        given, limits = np.asarray(values, np.float64), np.asarray(edges, np.float64)
        last = len(limits) - 2
        result = []
        for number, (low, high) in enumerate(pairwise(limits)):
            below = given <= high if number == last else given < high
            rows = np.flatnonzero((given >= low) & below & self.known)
            entry: dict[str, Any] = {"low": float(low), "high": float(high), "num": 0}
            if len(rows):
                entry |= {"center": float(given[rows].mean()), **self.take(rows).numbers()}
            result.append(entry)
        return result


_NAMES = ("z_true", "z_phot", "z_after", "ln_p", "ln_p_photo", "pit")


def thirds(values: ArrayLike, parts: int = 3) -> Array:
    """Edges (parts + 1,) between which there are equally many values."""
    known = np.asarray(values, np.float64)
    return np.quantile(known[np.isfinite(known)], np.linspace(0, 1, parts + 1))


def point_numbers(
    redshift: ArrayLike, z_true: ArrayLike, *, outlier: float = OUTLIER
) -> dict[str, float]:
    """Errors of single numbers for redshifts, with d = (z - z_true) / (1 + z_true).

    Returns
    -------
    dict
        ``nmad``, 1.4826 times the median of |d - median(d)|; ``bias``, the median of d; and
        ``outliers``, the share with |d| above ``outlier`` [%].
    """
    true = np.asarray(z_true, np.float64)
    away = (np.asarray(redshift, np.float64) - true) / (1 + true)
    middle = float(np.median(away))
    return {
        "nmad": 1.4826 * float(np.median(np.abs(away - middle))),
        "bias": middle,
        "outliers": 100 * float(np.mean(np.abs(away) > outlier)),
    }


def at_truth(
    edges: Array, probability: NDArray[np.floating[Any]], z_true: Array
) -> tuple[Array, Array]:
    """ln p of the cell that holds the truth, and the probability below the truth, each (n,).

    Parameters
    ----------
    edges : (cells + 1,) array
        Redshifts of the faces of cells.
    probability : (n, cells) array
        Of each cell, not normalised.
    z_true : (n,) array

    Returns
    -------
    ln_p, pit : arrays
        -inf and 0 or 1 for a truth beyond the cells; nan where there is no probability at all.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = probability / probability.sum(axis=1, keepdims=True)
        sums = np.cumsum(shares, axis=1)
        cell = np.searchsorted(edges, z_true, side="right") - 1
        inside = (cell >= 0) & (cell < len(edges) - 1)
        place = np.clip(cell, 0, len(edges) - 2)
        rows = np.arange(len(z_true))
        own = shares[rows, place]
        within = np.clip((z_true - edges[place]) / np.diff(edges)[place], 0, 1)
        pit = sums[rows, place] - (1 - within) * own
        ln_p = np.where(inside, np.log(own), np.where(np.isnan(own), np.nan, -np.inf))
    return ln_p, np.where(np.isnan(own), np.nan, np.clip(pit, 0, 1))


def photo_baseline(
    z_phot: Array, z_true: Array, edges: Array, *, error: RedshiftError, counts: ArrayLike
) -> tuple[Array, Array]:
    """ln p of the true cell and PIT of the photo-z alone, with N(z) as the prior; each (n,).

    Parameters
    ----------
    z_phot, z_true : (n,) arrays
    edges : (cells + 1,) array
        Redshifts of the faces of cells.
    error : RedshiftError
        Of all galaxies, or of each.
    counts : NumberDensity, or (cells,) or (n, cells) array
        N(z), or galaxies per cell, of all or of the class that each galaxy is in.
    """
    prior = counts.counts(edges) if isinstance(counts, NumberDensity) else np.asarray(counts)
    ln_p, pit = np.empty(len(z_phot)), np.empty(len(z_phot))
    for start in range(0, len(z_phot), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(z_phot)))
        own = error if error.num_galaxies is None else error.take(rows)
        mine = prior if prior.ndim == 1 else prior[rows]
        likelihood = own.rows(z_phot[rows], edges)
        ln_p[rows], pit[rows] = at_truth(edges, likelihood * mine, z_true[rows])
    return ln_p, pit


def summary(
    judged: JudgedRedshifts,
    *,
    redshift_range: tuple[float, float],
    has_spectrum: ArrayLike,
    magnitude: Array | None = None,
    edge_distance: Array | None = None,
    edge_bins: Sequence[float] = EDGE_BINS,
) -> dict[str, Any]:
    """All numbers of the galaxies without spectra in a range of photo-z, and by their properties.

    Parameters
    ----------
    judged : JudgedRedshifts
    redshift_range : (2,) floats
        Photo-z.
    has_spectrum : (n,) bool array
    magnitude : (n,) array, optional
    edge_distance : (n,) array, optional
        From the edge of the footprint [Mpc/h].
    edge_bins : sequence of float
        Bins of it [Mpc/h].

    Returns
    -------
    dict
        `JudgedRedshifts.numbers`, and under ``by`` those of thirds of ``redshift`` (photo-z) and
        ``magnitude``, and of bins of ``edge_distance``.
    """
    rows = judged.chosen(redshift_range, has_spectrum)
    part = judged.take(rows)
    low, high = redshift_range
    asked = (judged.z_phot >= low) & (judged.z_phot <= high) & ~np.asarray(has_spectrum, bool)
    result = part.numbers() | {"num_without": int(np.count_nonzero(asked)) - len(rows)}
    by = {"redshift": part.numbers_by(part.z_phot, thirds(part.z_phot))}
    if magnitude is not None:
        own = magnitude[rows]
        by["magnitude"] = part.numbers_by(own, thirds(own))
    if edge_distance is not None:
        by["edge_distance"] = part.numbers_by(edge_distance[rows], edge_bins)
    return {**result, "by": by}


def gain_beside(
    judged: JudgedRedshifts, near: NDArray[np.bool_], *, width: float = 0.03
) -> tuple[float, float]:
    """Mean gain of some galaxies, and of the others at the same photo-z [nats].

    A length on the sky is a large angle nearby, so that galaxies within a length of an edge are
    nearer than the others, where surveys are denser or sparser and the gain is another. The others
    are therefore weighted to as many in each bin of photo-z.

    Parameters
    ----------
    judged : JudgedRedshifts
    near : (n,) bool array
        Such as those within 2.5 Mpc/h of an edge.
    width : float
        Of the bins of photo-z.

    Raises
    ------
    ValueError
        If there are none on one side, in no bin any others, or galaxies without a posterior.
    """
    bins = np.floor(judged.z_phot / width).astype(int)
    bins -= bins.min(initial=0)
    num = [np.bincount(bins[rows], minlength=bins.max(initial=0) + 1) for rows in (near, ~near)]
    both = (num[0] > 0) & (num[1] > 0)
    if not (both.any() and judged.known.all()):
        raise ValueError(
            "gains are compared where galaxies with posteriors are on both sides at one photo-z: "
            "choose others"
        )
    first, second = (
        np.bincount(bins[rows], judged.gain[rows], len(both))[both] / found[both]
        for rows, found in zip((near, ~near), num, strict=True)
    )
    weights = num[0][both]
    return float(np.average(first, weights=weights)), float(np.average(second, weights=weights))


def null_test(
    mock: SkyMock,
    reconstruct: Callable[[SkyMock], JudgedRedshifts],
    *,
    redshift_range: tuple[float, float],
    seed: int = 0,
) -> dict[str, Any]:
    """Numbers of random galaxies with the footprints and N(z) of a mock: nats must be 0.

    Parameters
    ----------
    mock : SkyMock
    reconstruct : function of a SkyMock
        Fits everything to it, and compares its redshifts with its truth.
    redshift_range : (2,) floats
        Photo-z of the galaxies that are judged.
    seed : int
        Of the random galaxies.

    Returns
    -------
    dict
        As `JudgedRedshifts.numbers` has them.
    """
    random = null_mock(mock, seed=seed)
    judged = reconstruct(random)
    return judged.take(judged.chosen(redshift_range, random.has_spectrum)).numbers()
