"""N(z) of galaxies from their p(z), by maximum likelihood."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from truez.surveys.nz import NumberDensity
from truez.surveys.nz_fit import histogram_edges
from truez.surveys.nz_form import Form, scored_form, starting_forms
from truez.surveys.pdfs.forms import Array
from truez.surveys.pdfs.galaxies import GalaxyPdfs
from truez.surveys.pdfs.sample import LikelihoodSample
from truez.surveys.pdfs.summary import PdfSummary
from truez.surveys.redshift_error import error_classes
from truez.surveys.stacked_error import StackedError

#: Rounds in which N(z) and the errors are found in turn, and galaxies of all but the last.
_ROUNDS, _SOME = 4, 20_000
#: Below it the probability of a galaxy under N(z) is taken to be that.
_LEAST_EVIDENCE = 1e-30
#: Share of the galaxies that the cut in photo-z leaves, at least.
_LEAST_SELECTED = 0.5
#: Errors that classes are formed of.
_LEAST, _MOST = 1e-4, 0.99


def fit_pdf_number_density(
    pdfs: GalaxyPdfs, summary: PdfSummary, rows: ArrayLike, z_phot: ArrayLike, *,
    z_range: tuple[float, float] | None = None, weights: ArrayLike | None = None,
    true_range: tuple[float, float] | None = None, most: int = 100_000, name: str = "photo",
) -> NumberDensity:  # fmt: skip
    """N(z) of galaxies from their p(z), of which Gaussians are not taken.

    The smooth form of `truez.surveys.nz_form` is that which maximises the sum over galaxies of

        ln [ integral of N(z) L_i(z) dz / integral of N(z) P(selected | z) dz ],

    where a galaxy is selected if its photo-z lies in the range that the sample was cut to. The
    probability of that comes from the stacks of p(z) about the photo-z, in classes of sigma
    (see `truez.surveys.stacked_error`), which are found in turn with N(z).

    Parameters
    ----------
    pdfs : GalaxyPdfs
    summary : PdfSummary
    rows : (n,) int array
        Of the galaxies in the catalogue.
    z_phot : (n,) array
        Their photo-z, as they are in the catalogue.
    z_range : (2,) floats, optional
        Photo-z between which galaxies are counted; those of all galaxies by default.
    weights : (n,) array, optional
    true_range : (2,) floats, optional
        True redshifts beyond which there are none; those of the summary by default.
    most : int
        Galaxies that are fitted to at most, chosen at random.
    name : str
        Of the survey, for messages.

    Returns
    -------
    NumberDensity
        Its `total` includes galaxies whose photo-z lies outside ``z_range``. Its fit shows the
        histogram of photo-z. Galaxies whose p(z) cannot be used count in it, and are taken to be
        where the others are.

    Raises
    ------
    ValueError
        If there are fewer than 50 galaxies, all have one photo-z, photo-z are not finite, or
        weights negative.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.surveys.pdfs import (GalaxyPdfs, PdfPrior, PdfTable, fit_pdf_number_density,
    ...                                 summarise)
    >>> rng = np.random.default_rng(1)
    >>> z = 0.3 * rng.gamma(3.0, 0.4, 20_000)
    >>> z_phot = z + 0.03 * rng.normal(size=z.size)
    >>> table = PdfTable.of_arrays("norm", {"loc": z_phot, "scale": np.full(z.size, 0.03)})
    >>> pdfs = GalaxyPdfs(table, PdfPrior.of("flat"))
    >>> summary = summarise(pdfs, np.linspace(0, 2, 401))
    >>> nz = fit_pdf_number_density(pdfs, summary, np.arange(z.size), z_phot, z_range=(0.1, 1.0))
    >>> bool(abs(nz.counts([0.2, 0.4])[0] / np.sum((z > 0.2) & (z < 0.4)) - 1) < 0.03)
    True
    """
    sample = LikelihoodSample.of(
        pdfs, summary, rows, z_phot, z_range=z_range, weights=weights, true_range=true_range,
        most=most, name=name,
    )  # fmt: skip
    own = np.asarray(rows, np.int64)[sample.places]
    numbers, sigmas = error_classes(np.clip(summary.sigma_z[own], _LEAST, _MOST))
    some, picked = sample.thinned(_SOME)
    errors, shares = some.errors(None, numbers[picked], len(sigmas))
    starts = starting_forms(float(np.median(sample.z_phot)))
    for number in range(_ROUNDS):
        one, own = (sample, numbers) if number == _ROUNDS - 1 else (some, numbers[picked])
        form = _best(one, starts, one.selected(errors, shares))
        errors, shares = one.errors(_counts(form, sample.edges), own, len(sigmas))
        starts = [form]
    z = np.asarray(z_phot, np.float64)
    w = np.ones(len(z)) if weights is None else np.asarray(weights, np.float64)
    return _described(sample, form, errors, shares, (z, w))


def _counts(form: Form, edges: Array) -> Array:
    """Galaxies in the cells, in any scale, linear between their edges as N(z) is."""
    shape = form(edges)
    return np.asarray(np.diff(edges) * (shape[1:] + shape[:-1]) / 2)


def _best(sample: LikelihoodSample, starts: list[Form], selected: Array) -> Form:
    """The form of the highest likelihood."""
    weights = sample.weights / sample.weights.sum()

    def score(counts: Array, ways: Array) -> tuple[float, Array, Array]:
        numbers = np.column_stack([counts, ways]).astype(np.float32)
        there = (sample.likelihood @ numbers).astype(np.float64)
        evidence = np.maximum(there[:, 0], _LEAST_EVIDENCE)
        # A survey whose cut hides most of its galaxies is not inferred: their number would be free.
        seen = selected
        if float(counts @ selected) < _LEAST_SELECTED * float(counts.sum()):
            seen = np.full_like(selected, _LEAST_SELECTED)
        total = max(float(counts @ seen), _LEAST_EVIDENCE)
        slopes = there[:, 1:] / evidence[:, None] - (seen @ ways) / total
        loss = float(np.log(total) - weights @ np.log(evidence))
        return loss, weights @ slopes, slopes.T @ (weights[:, None] * slopes)

    return scored_form(score, sample.edges, starts)


def _described(
    sample: LikelihoodSample, form: Form, errors: list[StackedError], shares: Array,
    galaxies: tuple[Array, Array],
) -> NumberDensity:  # fmt: skip
    """N(z) of all galaxies with this form, and what it predicts of the histogram of photo-z."""
    z, weights = galaxies
    edges = histogram_edges(*sample.z_range)
    inside = (z >= sample.z_range[0]) & (z <= sample.z_range[1])
    counts = np.histogram(z[inside], edges, weights=weights[inside])[0].astype(np.float64)
    kernels = np.array([error.probability(edges, sample.middle) for error in errors])
    model = np.einsum("cnm,cm->nm", kernels, shares) @ _counts(form, sample.edges)
    factor = counts.sum() / model.sum()
    spread = float((weights[inside] ** 2).sum() / weights[inside].sum())
    return form.density(sample.edges, factor, (edges, counts, factor * model), spread)
