"""N(z) of galaxies from their p(z), of which Gaussians are not taken.

Where p(z) are likelihoods, with a flat prior, the form is folded with p(z_phot | z), the stack of
the likelihoods about the photo-z, and compared with the histogram of photo-z, as for photo-z with
errors. Where they hold N(z), their sum is N(z) of the galaxies, and the form is fitted to that. The
maximum of the likelihood of all p(z) would be sharper, but it multiplies N(z) with them: where they
hold a part of N(z) that the prior does not say it ends far from it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from truez.surveys.nz import NumberDensity
from truez.surveys.nz_fit import histogram_edges
from truez.surveys.nz_form import Form, best_form, histogram_loss
from truez.surveys.pdfs.forms import Array
from truez.surveys.pdfs.galaxies import GalaxyPdfs
from truez.surveys.pdfs.sample import LikelihoodSample
from truez.surveys.pdfs.summary import PdfSummary
from truez.surveys.redshift_error import error_classes
from truez.surveys.stacked_error import StackedError

#: Errors that classes are formed of.
_LEAST, _MOST = 1e-4, 0.99


def fit_pdf_number_density(
    pdfs: GalaxyPdfs, summary: PdfSummary, rows: ArrayLike, z_phot: ArrayLike, *,
    z_range: tuple[float, float] | None = None, weights: ArrayLike | None = None,
    true_range: tuple[float, float] | None = None, most: int = 100_000, name: str = "photo",
) -> NumberDensity:  # fmt: skip
    """N(z) of galaxies from their p(z), with the smooth form of `truez.surveys.nz_form`.

    Stacks of p(z) about the photo-z, in classes of sigma, are p(z_phot | z) (see
    `truez.surveys.stacked_error`). A galaxy is selected if its photo-z lies in the range that the
    sample was cut to.

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
        If there are fewer than 50 galaxies, or they are all at one redshift.

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
    return density_of_sample(sample, pdfs, summary, rows, z_phot, weights)


def density_of_sample(
    sample: LikelihoodSample, pdfs: GalaxyPdfs, summary: PdfSummary, rows: ArrayLike,
    z_phot: ArrayLike, weights: ArrayLike | None = None,
) -> NumberDensity:  # fmt: skip
    """N(z) as `fit_pdf_number_density` has it, of a sample that was read already."""
    own = np.asarray(rows, np.int64)[sample.places]
    numbers, sigmas = error_classes(np.clip(summary.sigma_z[own], _LEAST, _MOST))
    z = np.asarray(z_phot, np.float64)
    w = np.ones(len(z)) if weights is None else np.asarray(weights, np.float64)
    edges = histogram_edges(*sample.z_range)
    inside = (z >= sample.z_range[0]) & (z <= sample.z_range[1])
    counts = np.histogram(z[inside], edges, weights=w[inside])[0].astype(np.float64)
    median = float(np.median(sample.z_phot))
    errors = sample.errors(numbers, len(sigmas))
    shares = sample.shares(numbers, errors)
    if pdfs.prior.density is None:
        form = _folded(sample, (edges, counts), errors, shares, median)
    else:
        stack = sample.stack(pdfs.prior.mass(sample.edges))
        form = _stacked(sample, stack, errors, shares, median)
    spread = float((w[inside] ** 2).sum() / w[inside].sum())
    return _described(sample, form, (errors, shares), (edges, counts), spread)


def _counts(form: Form, edges: Array) -> Array:
    """Galaxies in the cells, in any scale, linear between their edges as N(z) is."""
    shape = form(edges)
    return np.asarray(np.diff(edges) * (shape[1:] + shape[:-1]) / 2)


def _folded(
    sample: LikelihoodSample, histogram: tuple[Array, Array], errors: list[StackedError],
    shares: Array, median: float,
) -> Form:  # fmt: skip
    """The form that makes the histogram of photo-z most likely."""
    edges, counts = histogram
    kernel = _kernel(edges, sample, errors, shares) * np.diff(sample.edges)
    return best_form(histogram_loss(counts, kernel, sample.middle), median)


def _stacked(
    sample: LikelihoodSample, stack: Array, errors: list[StackedError], shares: Array, median: float
) -> Form:
    """The form that, times the probability to be selected, is the sum of p(z)."""
    seen = sample.selected(errors, shares) * np.diff(sample.edges)
    return best_form(histogram_loss(stack, np.diag(seen), sample.middle), median)


def _kernel(
    edges: Array, sample: LikelihoodSample, errors: list[StackedError], shares: Array
) -> Array:
    """Probability of photo-z between edges of galaxies of all classes in the cells, (n, m)."""
    kernels = np.array([error.probability(edges, sample.middle) for error in errors])
    return np.asarray(np.einsum("cnm,cm->nm", kernels, shares))


def _described(
    sample: LikelihoodSample, form: Form, errors: tuple[list[StackedError], Array],
    histogram: tuple[Array, Array], spread: float,
) -> NumberDensity:  # fmt: skip
    """N(z) of all galaxies with this form, and what it predicts of the histogram of photo-z."""
    edges, counts = histogram
    model = _kernel(edges, sample, *errors) @ _counts(form, sample.edges)
    factor = counts.sum() / model.sum()
    return form.density(sample.edges, factor, (edges, counts, factor * model), spread)
