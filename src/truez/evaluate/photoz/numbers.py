"""All numbers of some galaxies before and after, with errors, and of bins of a quantity.

Every number has the name of its measure and of when it is: ``nmad_before``, ``nmad_after``, and
``nmad_change``, after less before of the same galaxies; ``nats`` is the change of ln p. Their
errors end in ``_error``: those of means are the scatter over the root of the number, the others are
of resampled galaxies, which are taken to be independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.evaluate.photoz.scores import PdfScores
from truez.evaluate.sky.redshifts import INTERVAL, PIT_BINS, point_numbers

Array = NDArray[np.float64]
#: Measures of single redshifts, and of p(z).
POINT, PDF = ("nmad", "bias", "outliers"), ("inside_68", "crps", "cde_loss", "ln_p")
#: Samples with which errors are found, and galaxies in one at most.
_SAMPLES, _MOST = 200, 100_000


@dataclass(frozen=True, eq=False, kw_only=True)
class JudgedPhotoz:
    """Redshifts before and after and the truth, each an array (n,), and the scores of p(z).

    Parameters
    ----------
    z_true, z_before, z_after : arrays
    before, after : PdfScores, optional
        Where p(z) are known; each of n galaxies.
    floor : float
        Share of a p(z) that is even over ``reach``, in ln p alone.
    reach : float
        Range of redshift of the cells.
    known : mapping of ``before`` or ``after`` to names of `PDF`
        Of p(z) that are an approximation: the numbers that hold all the same. There is no PIT.
    """

    z_true: Array
    z_before: Array
    z_after: Array
    before: PdfScores | None = None
    after: PdfScores | None = None
    floor: float = 0.0
    reach: float = 1.0
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.z_true)

    @property
    def scores(self) -> dict[str, PdfScores]:
        """Those of p(z) that there are, by ``before`` and ``after``."""
        found = {"before": self.before, "after": self.after}
        return {when: one for when, one in found.items() if one is not None}

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Galaxies all of whose p(z) can be used."""
        result: NDArray[np.bool_] = np.ones(len(self), np.bool_)
        for one in self.scores.values():
            result &= one.usable
        return result

    def take(self, rows: NDArray[Any]) -> JudgedPhotoz:
        """Some of the galaxies, by a mask (n,) or by indices."""
        return JudgedPhotoz(
            z_true=self.z_true[rows], z_before=self.z_before[rows], z_after=self.z_after[rows],
            floor=self.floor, reach=self.reach, known=self.known,
            **{when: one.take(rows) for when, one in self.scores.items()},
        )  # fmt: skip

    def ln_p(self, when: str) -> Array:
        """ln of the density at the truth with the floor (n,); -inf where it is 0 without one."""
        own = self.scores[when].ln_p
        if self.floor == 0:
            return own
        even = math.log(self.floor / self.reach)
        return np.asarray(np.logaddexp(own + math.log1p(-self.floor), even))

    def numbers(self) -> dict[str, Any]:
        """All numbers, see the names in `truez.evaluate.photoz.numbers`.

        ``num`` galaxies; ``nmad``, ``bias`` and ``outliers`` [%] as
        `truez.evaluate.sky.point_numbers` has them. Where p(z) are known, of the ``num_pdf``
        galaxies whose p(z) before and after can be used: ``inside_68`` [%], ``crps``, ``cde_loss``
        and ``ln_p``, means; ``pit``, the share in each tenth of their p(z), ``pit_worst_tenth``,
        the largest distance from 10% [% of galaxies], and ``ks``, the largest distance of the
        distribution of the PIT from an even one; ``zero``, galaxies without any probability at the
        truth, and ``num_ln_p`` that ln p is the mean of.
        """
        result: dict[str, Any] = {"num": len(self), **self._points()}
        if not self.scores or not len(self):
            return result
        part = self.take(self.usable)
        result["num_pdf"] = len(part)
        if len(part):
            result |= part._of_pdfs()
        return result

    def _points(self) -> dict[str, float]:
        if not len(self):
            return {}
        found = {when: _point(z, self.z_true) for when, z in self._redshifts.items()}
        found["change"] = found["after"] - found["before"]
        errors = self._point_errors()
        result: dict[str, float] = {}
        for when, values in found.items():
            for name, value, error in zip(POINT, values, errors[when], strict=True):
                result |= {f"{name}_{when}": float(value), f"{name}_{when}_error": float(error)}
        return result

    @property
    def _redshifts(self) -> dict[str, Array]:
        return {"before": self.z_before, "after": self.z_after}

    def _point_errors(self) -> dict[str, Array]:
        """Scatter of the numbers of single redshifts among galaxies drawn with replacement."""
        num, names = len(self), ("before", "after", "change")
        if num < 2:
            return dict.fromkeys(names, np.full(len(POINT), math.nan))
        size = min(num, _MOST)
        rng = np.random.default_rng(0)
        drawn = np.empty((_SAMPLES, 3, len(POINT)))
        for one in drawn:
            rows = rng.integers(num, size=size)
            one[:2] = [_point(z[rows], self.z_true[rows]) for z in self._redshifts.values()]
            one[2] = one[1] - one[0]
        scatter = drawn.std(axis=0, ddof=1) * math.sqrt(size / num)
        return {name: np.asarray(own) for name, own in zip(names, scatter, strict=True)}

    def _of_pdfs(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
        values: dict[str, dict[str, Array]] = {}
        outside = (1 - INTERVAL) / 2
        with_ln_p = np.ones(len(self), dtype=bool)
        for when in self.scores.keys() - self.known.keys():
            with_ln_p &= np.isfinite(self.ln_p(when))
        result["num_ln_p"] = int(with_ln_p.sum())
        for when, one in self.scores.items():
            share = np.histogram(one.pit, PIT_BINS, (0.0, 1.0))[0] / len(self)
            inside = (one.pit >= outside) & (one.pit <= 1 - outside)
            values[when] = {
                "inside_68": np.where(inside, 100.0, 0.0), "crps": one.crps,
                "cde_loss": one.cde_loss, "ln_p": self.ln_p(when)[with_ln_p],
            }  # fmt: skip
            if when in self.known:
                values[when] = {name: values[when][name] for name in self.known[when]}
                continue
            result |= {
                f"pit_{when}": share,
                f"pit_worst_tenth_{when}": 100 * float(np.abs(share - 1 / PIT_BINS).max()),
                f"ks_{when}": ks_distance(one.pit),
                f"zero_{when}": int(np.count_nonzero(np.isneginf(one.ln_p))),
            }
        if len(values) == 2:
            both = [name for name in PDF if all(name in own for own in values.values())]
            values["change"] = {n: values["after"][n] - values["before"][n] for n in both}
        for when, own in values.items():
            for name, each in own.items():
                key = "nats" if (name, when) == ("ln_p", "change") else f"{name}_{when}"
                result[key], result[f"{key}_error"] = _mean(each)
        return result

    def numbers_by(self, values: ArrayLike, edges: ArrayLike) -> list[dict[str, Any]]:
        """`numbers` of the galaxies in each bin of a quantity, such as a magnitude.

        Parameters
        ----------
        values : (n,) array
            nan where it is not known.
        edges : (m + 1,) array
            Bins include their lower edge, the last one its upper edge as well.

        Returns
        -------
        list
            One entry for each bin, with ``low``, ``high`` and, unless it is empty, ``center``, the
            median of the values.
        """
        given, limits = np.asarray(values, np.float64), np.asarray(edges, np.float64)
        last = len(limits) - 2
        result = []
        for number, (low, high) in enumerate(pairwise(limits)):
            below = given <= high if number == last else given < high
            rows = np.flatnonzero((given >= low) & below)
            entry: dict[str, Any] = {"low": float(low), "high": float(high)}
            if len(rows):
                entry["center"] = float(np.median(given[rows]))
            result.append({**entry, **self.take(rows).numbers()})
        return result


def equal_bins(values: Array, num_bins: int, fewest: int = 50) -> Array:
    """Edges between which there are equally many values, ``fewest`` or more; of one bin at least.

    Parameters
    ----------
    values : (n,) array
        nan where it is not known.
    num_bins : int
        Bins at most.
    fewest : int
    """
    known = values[np.isfinite(values)]
    parts = max(min(num_bins, len(known) // fewest), 1)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, parts + 1)))
    return edges if len(edges) > 1 else np.repeat(edges, 2)


def ks_distance(pit: ArrayLike) -> float:
    """Largest distance of the cumulative distribution of values (n,) from that even in [0, 1]."""
    ordered = np.sort(np.asarray(pit, np.float64))
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))


def ks_by_chance(num: int) -> float:
    """The distance that even values exceed by chance in 5 of 100 samples of a number of them."""
    return 1.358 / math.sqrt(num)


def _point(redshift: Array, z_true: Array) -> Array:
    found = point_numbers(redshift, z_true)
    return np.array([found[name] for name in POINT])


def _mean(values: Sequence[float] | Array) -> tuple[float, float]:
    """Mean and its error."""
    num = len(values)
    if num == 0:
        return math.nan, math.nan
    error = float(np.std(values, ddof=1) / math.sqrt(num)) if num > 1 else math.nan
    return float(np.mean(values)), error
