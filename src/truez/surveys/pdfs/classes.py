"""Classes of galaxies with similar p(z), for what is made of counts instead of galaxies.

A filter on a mesh needs one p(z_phot | z) for many galaxies. What a galaxy loses by it is the
divergence of its own posterior from that with the error of its class. Where that error is the stack
of the class, the mean loss is the entropy of the stack less the mean entropy of what it is made of,
so that classes are split where the entropy falls most: by width, by the share far away or by
skewness, whichever gains most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from truez.surveys.nz import NumberDensity
from truez.surveys.nz_fit import ErrorClass
from truez.surveys.pdfs.forms import Array
from truez.surveys.pdfs.galaxies import GalaxyPdfs
from truez.surveys.pdfs.sample import LikelihoodSample, Single
from truez.surveys.pdfs.summary import PdfSummary
from truez.surveys.stacked_error import StackedError

#: Galaxies that classes are formed of, and of which the loss is the mean.
SOME = 20_000
#: Classes at most.
_CLASSES = 12
#: Galaxies of the smallest class, places where one may be split, and the least gain [nats].
_FEWEST, _PLACES, _GAIN = 500, 16, 1e-3
#: Steps of the logarithm of the width, of the share of outliers and of skewness.
_LOG_WIDTH, _SHARE, _SKEW = 0.02, 2e-3, 0.02
#: Most of the galaxies of a redshift that have no p(z) that can be used.
_MOST_UNUSABLE = 0.95
#: Least probability of a cell under the error of a class.
_FLOOR = 1e-9


def pdf_classes(
    pdfs: GalaxyPdfs, summary: PdfSummary, rows: ArrayLike, z_phot: ArrayLike, nz: NumberDensity,
    *, z_range: tuple[float, float] | None = None, weights: ArrayLike | None = None,
    most: int = _CLASSES, name: str = "photo",
) -> tuple[list[ErrorClass], float]:  # fmt: skip
    """Classes of galaxies by the width, the outliers and the skewness of their p(z).

    Parameters
    ----------
    pdfs : GalaxyPdfs
    summary : PdfSummary
    rows : (n,) int array
        Of the galaxies in the catalogue.
    z_phot : (n,) array
        Their photo-z.
    nz : NumberDensity
        Of all, as `fit_pdf_number_density` has it.
    z_range : (2,) floats, optional
        Photo-z that the sample was cut to; those of all galaxies by default.
    weights : (n,) array, optional
    most : int
        Classes at most, besides that of galaxies whose p(z) cannot be used.
    name : str
        Of the survey, for messages.

    Returns
    -------
    classes : list of ErrorClass
        With ascending widths, rows of the catalogue, and densities whose sum is ``nz``: the share
        of each class at a redshift is that of the posteriors there. Galaxies whose p(z) cannot be
        used are a class of which a photo-z says nothing, or in the last one where they are few.
    loss : float
        Mean divergence [nats] of the posteriors with own p(z) from those with the errors of the
        classes.

    Raises
    ------
    ValueError
        If there are fewer than 50 galaxies with p(z) that can be used.
    """
    sample = LikelihoodSample.of(
        pdfs, summary, rows, z_phot, z_range=z_range, weights=weights, most=SOME, name=name
    )
    found = classes_of_sample(sample, pdfs, summary, rows, nz, weights, most)
    return found.classes, found.loss


class PdfClasses(NamedTuple):
    """Classes as `pdf_classes` has them, with the rule by which other galaxies are in them."""

    classes: list[ErrorClass]
    loss: float
    rule: PdfClassRule


@dataclass(frozen=True, eq=False)
class PdfClassRule:
    """In which class a galaxy is by the numbers of its p(z).

    Parameters
    ----------
    tree : _Tree
    order : (n,) int array
        Number of the class of each end of the tree.
    is_relative : bool
        Whether widths are over 1 + z.
    unusable : int
        Class of galaxies whose p(z) cannot be used.
    """

    tree: _Tree
    order: NDArray[np.int64]
    is_relative: bool
    unusable: int

    def numbers(
        self, pdfs: GalaxyPdfs, summary: PdfSummary, rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Classes of the galaxies of some rows, (n,)."""
        good = pdfs.usable[rows] & (summary.flags[rows] == 0)
        found = self.order[self.tree.numbers(_features(summary, rows, self.is_relative))]
        found[~good] = self.unusable
        return found


def classes_of_sample(
    sample: LikelihoodSample, pdfs: GalaxyPdfs, summary: PdfSummary, rows: ArrayLike,
    nz: NumberDensity, weights: ArrayLike | None = None, most: int = _CLASSES,
) -> PdfClasses:  # fmt: skip
    """Classes as `pdf_classes` has them, of a sample that was read already or its first part."""
    own, sample = np.asarray(rows, np.int64), sample.part(SOME)
    counts = nz.counts(sample.edges)
    good = pdfs.usable[own] & (summary.flags[own] == 0)
    is_relative = _varies_less_over_1_plus_z(summary, own[good])
    features = _features(summary, own, is_relative)
    smallest = max(_FEWEST * len(sample) // max(int(good.sum()), 1), 1)
    tree = _Tree.grown(sample.profiles(counts), sample.weights, features[sample.places],
                       most, smallest)  # fmt: skip
    numbers = tree.numbers(features)
    errors, shares, loss = _measured(sample, counts, numbers[sample.places], tree.num)
    if tree.num > 1:
        # Numbers that only follow the photo-z, which the classes would tell of a second time.
        one = _measured(sample, counts, np.zeros(len(sample), np.int64), 1)
        if one[2] <= loss:
            tree, numbers, (errors, shares, loss) = _Tree(), np.zeros_like(numbers), one
    order = np.argsort([error.sigma_z for error in errors])
    places = np.argsort(order)
    numbers = places[numbers]
    errors, shares = [errors[number] for number in order], shares[order]
    unusable = len(errors) - 1
    numbers[~good] = unusable
    if np.count_nonzero(~good) >= _FEWEST:
        w = np.ones(len(own)) if weights is None else np.asarray(weights, np.float64)
        share = min(float(w[~good].sum()) / nz.total, _MOST_UNUSABLE)
        unusable = len(errors)
        numbers[~good] = unusable
        errors.append(StackedError(sample.nodes, np.diff(sample.nodes), 1.0, sample.z_range))
        shares = np.vstack([(1 - share) * shares, np.full(len(counts), share)])
    at_nodes = np.array([np.interp(nz.redshift, sample.middle, share) for share in shares])
    classes = [
        ErrorClass(own[numbers == number], error, NumberDensity(nz.redshift, nz.density * share))
        for number, (error, share) in enumerate(zip(errors, at_nodes, strict=True))
    ]
    return PdfClasses(classes, loss, PdfClassRule(tree, places, is_relative, unusable))


def _measured(
    sample: LikelihoodSample, counts: Array, numbers: NDArray[np.int64], num: int
) -> tuple[list[StackedError], Array, float]:
    """Errors of classes, their shares at each redshift, and what is lost by them."""
    errors = sample.errors(numbers, num)
    shares = sample.shares(numbers, errors, counts)
    return errors, shares, _loss(sample, counts, numbers, errors, shares)


def _varies_less_over_1_plus_z(summary: PdfSummary, good: NDArray[np.int64]) -> bool:
    """Whether widths of p(z) differ less from galaxy to galaxy over 1 + z than themselves.

    Classes by a width that follows from the photo-z would be slices of photo-z, at whose ends
    p(z_phot | z) has edges that no stack has.
    """
    widths = (_width(summary, good, is_relative) for is_relative in (True, False))
    spread = [np.std(np.log(np.maximum(one, 1e-9))) for one in widths]
    return bool(spread[0] <= spread[1])


def _width(summary: PdfSummary, own: NDArray[np.int64], is_relative: bool) -> Array:
    """Widths of p(z) over 1 + z, or themselves."""
    relative = summary.sigma_z[own]
    return np.asarray(relative if is_relative else relative * (1 + summary.median[own]))


def _features(summary: PdfSummary, own: NDArray[np.int64], is_relative: bool) -> Array:
    """Numbers of galaxies by which they are in classes, (n, 3)."""
    # Differences that mean nothing may follow from the photo-z.
    return np.column_stack([
        np.round(np.log(np.maximum(_width(summary, own, is_relative), 1e-9)) / _LOG_WIDTH),
        np.round(summary.outlier_fraction[own] / _SHARE), np.round(summary.skewness[own] / _SKEW),
    ])  # fmt: skip


@dataclass(frozen=True)
class _Tree:
    """Splits of galaxies by their numbers.

    Parameters
    ----------
    splits : tuple of (class, feature, limit)
        In order: galaxies of a class whose number is above the limit form the next class.
    """

    splits: tuple[tuple[int, int, float], ...] = ()

    @property
    def num(self) -> int:
        """Number of classes."""
        return len(self.splits) + 1

    def numbers(self, features: Array) -> NDArray[np.int64]:
        """Classes of galaxies with numbers (n, f)."""
        result = np.zeros(len(features), np.int64)
        for new, (old, feature, limit) in enumerate(self.splits, 1):
            result[(result == old) & (features[:, feature] > limit)] = new
        return result

    @classmethod
    def grown(
        cls, profiles: Single, weights: Array, features: Array, most: int, smallest: int
    ) -> _Tree:
        """The splits that lower the entropy of the stacks most, one after the other."""
        least = _GAIN * float(weights.sum())
        splits: list[tuple[int, int, float]] = []
        members = [np.arange(len(weights))]
        found = [_best_split(profiles, weights, features, members[0], smallest)]
        while len(members) < most:
            old = int(np.argmax([gain for gain, _, _ in found]))
            gain, feature, limit = found[old]
            if gain < least:
                break
            above = features[members[old], feature] > limit
            splits.append((old, feature, limit))
            members.append(members[old][above])
            members[old] = members[old][~above]
            found[old] = _best_split(profiles, weights, features, members[old], smallest)
            found.append(_best_split(profiles, weights, features, members[-1], smallest))
        return cls(tuple(splits))


def _best_split(
    profiles: Single, weights: Array, features: Array, rows: NDArray[np.int64], smallest: int
) -> tuple[float, int, float]:
    """Gain [nats times galaxies], feature and limit of the best split of some galaxies."""
    best = (0.0, 0, 0.0)
    for feature in range(features.shape[1]):
        values = features[rows, feature]
        limits = np.unique(np.quantile(values, np.arange(1, _PLACES) / _PLACES))
        part = np.searchsorted(limits, values)
        each = np.zeros((len(limits) + 1, profiles.shape[1]))
        for number in range(len(each)):
            inside = rows[part == number]
            each[number] = weights[inside] @ profiles[inside]
        below, sizes = np.cumsum(each, axis=0), np.cumsum(np.bincount(part, minlength=len(each)))
        whole = below[-1]
        gains = [_spread(whole) - _spread(low) - _spread(whole - low) for low in below[:-1]]
        for limit, gain, size in zip(limits, gains, sizes[:-1], strict=True):
            if smallest <= size <= len(rows) - smallest and gain > best[0]:
                best = (float(gain), feature, float(limit))
    return best


def _spread(stack: Array) -> float:
    """Entropy of a stack times what is in it."""
    values = np.maximum(stack, 0.0)
    total = values.sum()
    return float(xlogy(total, total) - xlogy(values, values).sum())


def _loss(
    sample: LikelihoodSample, counts: Array, numbers: NDArray[np.int64],
    errors: list[StackedError], shares: Array,
) -> float:  # fmt: skip
    """Mean divergence of the posteriors of galaxies from those with the errors of their classes."""
    total = 0.0
    for part, found in sample.posteriors(counts):
        own, photo = numbers[part], sample.z_phot[part]
        other = np.empty(found.shape)
        for number in np.unique(own):
            rows = own == number
            other[rows] = errors[number].rows(photo[rows], sample.edges)
            other[rows] *= counts * shares[number]
        other /= np.maximum(other.sum(1, keepdims=True), 1e-300)
        other = np.maximum(other, _FLOOR)
        each = xlogy(found, found) - xlogy(found, other)
        total += float(sample.weights[part] @ each.sum(1))
    return total / float(sample.weights.sum())
