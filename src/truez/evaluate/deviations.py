"""Curves measured in one or many boxes, and how far they lie from the truth in units of sigma.

What sigma is has to be said with every number of sigmas, so there are three, each with its words:

``scatter``
    the standard deviation between boxes (n - 1 in the denominator) of what the truth has: that of
    one box;
``error``
    the error of its mean, scatter / sqrt(number of boxes), the boxes taken as independent;
``modes``
    the error of the mean that a Gaussian field would have, from the number of modes alone; the only
    one that a single box has.

An estimate and the truth share their structure and most of its variance, so an unbiased estimate
lies well within one sigma: sigma is a unit for the deviation, not its expected size.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.polynomial import legendre

from truez.mesh.field import Field
from truez.statistics.binning import Floats
from truez.statistics.power import Comparison, Correlation, Power

_SIGMA = "\N{GREEK SMALL LETTER SIGMA}"

#: What sigma may be; see above. ``auto`` is ``error`` of many boxes and ``modes`` of one.
SIGMAS = ("auto", "scatter", "error", "modes")

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Curves:
    """One statistic of several fields in the same boxes.

    ``x`` (n,) is k [h/Mpc] or r [Mpc/h]; ``truth`` (boxes, n) is what an estimate should have, of
    which ``fields`` have as many by name; ``modes`` (n,) is the Gaussian error of the truth's mean
    over the boxes, where it is known.
    """

    x: Floats
    truth: Floats
    fields: dict[str, Floats]
    modes: Floats | None

    @property
    def num_boxes(self) -> int:
        """Number of boxes."""
        return len(self.truth)

    def kind(self, sigma: str) -> str | None:
        """``sigma``, or what ``auto`` is; None where nothing is known."""
        if sigma not in SIGMAS:
            raise ValueError(f"sigma must be one of {', '.join(SIGMAS)}, not {sigma!r}")
        if sigma in ("scatter", "error") and self.num_boxes < 2:
            raise ValueError(f"sigma = {sigma!r} needs two or more boxes, not one")
        if sigma == "modes" and self.modes is None:
            raise ValueError("sigma = 'modes' is known for power spectra only")
        if sigma == "auto":
            return "error" if self.num_boxes > 1 else None if self.modes is None else "modes"
        return sigma

    def sigma(self, kind: str) -> Floats:
        """Sigma of the given kind, shape (n,)."""
        if kind == "modes":
            assert self.modes is not None
            return self.modes
        scatter: Floats = self.truth.std(axis=0, ddof=1)
        return scatter if kind == "scatter" else scatter / math.sqrt(self.num_boxes)

    def words(self, kind: str) -> str:
        """What sigma is."""
        number = self.num_boxes
        boxes = "one box" if number == 1 else f"{number} boxes"
        return {
            "scatter": f"{_SIGMA}: standard deviation of the truth between {boxes}",
            "error": f"{_SIGMA}: error of the truth's mean over {boxes}, their scatter / √{number}",
            "modes": f"{_SIGMA}: Gaussian error of the truth from its number of modes in {boxes}",
        }[kind]

    def deviations(self, kind: str) -> dict[str, Floats]:
        """(mean of the field - mean of the truth) / sigma, for each field."""
        sigma, truth = self.sigma(kind), self.truth.mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return {name: (each.mean(axis=0) - truth) / sigma for name, each in self.fields.items()}


def in_boxes(measure: Callable[..., T], *fields: Field, cells: int | Sequence[int]) -> list[T]:
    """``measure`` of every sub-box of ``cells`` cells a side, cut alike from all the fields.

    Such as ``in_boxes(power, field, cells=100)``. Boxes start at the lower corner; a rest
    too narrow for another one is left out.
    """
    mesh = fields[0].box.meshsize
    sides = [cells] * 3 if isinstance(cells, int) else list(cells)
    if len(sides) != 3 or any(not 0 < c <= n for c, n in zip(sides, mesh, strict=True)):
        raise ValueError(
            f"cells must be one or three whole numbers that fit into the mesh of "
            f"{' x '.join(str(n) for n in mesh)} cells, not {cells!r}"
        )
    corners = itertools.product(*(range(0, n - c + 1, c) for n, c in zip(mesh, sides, strict=True)))
    found = []
    for start in corners:
        stop = [a + c for a, c in zip(start, sides, strict=True)]
        found.append(measure(*(field.crop(start, stop) for field in fields)))
    return found


def auto_and_cross(comparisons: Mapping[str, Sequence[Comparison]]) -> tuple[Curves, Curves]:
    """P_rr and P_rt of each field, each to be compared with P_tt."""
    first = _first(comparisons, "k")
    truth = np.array([each.power_tt for each in first])
    modes = truth.mean(axis=0) * np.sqrt(2 / (first[0].nmodes * len(first)))
    k = first[0].k
    auto, cross = (
        {name: np.array([getattr(c, power) for c in each]) for name, each in comparisons.items()}
        for power in ("power_rr", "power_rt")
    )
    return Curves(k, truth, auto, modes), Curves(k, truth, cross, modes)


def poles(measured: Mapping[str, Sequence[Power]], truth: Sequence[Power], ell: int) -> Curves:
    """One multipole of each field and of the truth."""
    _first({**measured, "truth": truth}, "k")
    values = {name: np.array([p.poles[ell] for p in each]) for name, each in measured.items()}
    target = np.array([p.poles[ell] for p in truth])
    return Curves(truth[0].k, target, values, _pole_error(truth, ell))


def correlations(
    measured: Mapping[str, Sequence[Correlation]], truth: Sequence[Correlation]
) -> Curves:
    """xi(r) of each field (with itself or with the truth), and of the truth."""
    _first({**measured, "truth": truth}, "r")
    values = {name: np.array([c.xi for c in each]) for name, each in measured.items()}
    return Curves(truth[0].r, np.array([c.xi for c in truth]), values, None)


def _pole_error(truth: Sequence[Power], ell: int) -> Floats:
    """Gaussian error of the mean of P_ell: (2 ell + 1)^2 (2 / N) int_0^1 (P(k, mu) L_ell)^2 dmu.

    P(k, mu) is the sum of the poles that were measured.
    """
    nodes, weights = legendre.leggauss(16)
    mu = 0.5 * (nodes + 1)

    def shape(degree: int) -> Floats:
        return np.asarray(legendre.legval(mu, [0] * degree + [1]), dtype=np.float64)

    total = sum(
        np.mean([p.poles[degree] for p in truth], axis=0)[:, None] * shape(degree)
        for degree in truth[0].poles
    )
    mean_square = ((total * shape(ell)) ** 2) @ (0.5 * weights)
    error = (2 * ell + 1) * np.sqrt(2 * mean_square / (truth[0].nmodes * len(truth)))
    return np.asarray(error, dtype=np.float64)


def _first(measured: Mapping[str, Sequence[Any]], x: str) -> Sequence[Any]:
    """The results of the first field; raises if the others do not have the same boxes and bins."""
    if not measured:
        raise ValueError("there must be at least one field to draw, not none")
    first = next(iter(measured.values()))
    for name, each in measured.items():
        if not each or len(each) != len(first):
            raise ValueError(
                f"every field must be measured in the same boxes: {name} has {len(each)}, the "
                f"first {len(first)}"
            )
        bins = (getattr(result, x) for result in (*first, *each))
        if any(not np.array_equal(a, getattr(first[0], x), equal_nan=True) for a in bins):
            raise ValueError(f"{name} must have the bins of the first field in every box")
    return first
