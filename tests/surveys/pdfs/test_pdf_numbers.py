"""N(z) from p(z), and the classes of p(z) with their errors."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import norm, skewnorm

from surveys.pdfs.pdf_files import numbers_of
from truez.surveys.nz import NumberDensity
from truez.surveys.nz_fit import fit_number_density
from truez.surveys.pdfs import (
    GalaxyPdfs,
    PdfPrior,
    PdfTable,
    fit_pdf_number_density,
    pdf_classes,
    summarise,
)
from truez.surveys.pdfs.sample import LikelihoodSample
from truez.surveys.redshift_error import RedshiftError

FLAT = PdfPrior.of("flat")
GRID = np.linspace(0.0, 2.0, 401)
MIDDLE = (GRID[1:] + GRID[:-1]) / 2
RANGE = (0.25, 0.8)
BINS = np.linspace(0.25, 0.8, 6)
NUM = 20_000

#: Probability density of t = (z - z_phot) / (1 + z).
SHAPES = {
    "gaussian": lambda t: norm.pdf(t / 0.03) / 0.03,
    "two_peaks": lambda t: (0.7 * norm.pdf(t / 0.02) + 0.3 * norm.pdf((t - 0.2) / 0.02)) / 0.02,
    "skew": lambda t: skewnorm.pdf(t, 4, -0.02, 0.06),
    "narrow": lambda t: norm.pdf(t / 0.01) / 0.01,
    "wide": lambda t: norm.pdf(t / 0.05) / 0.05,
}


def truth(step=2e-3):
    """N(z) of the form that is fitted."""
    nodes = np.arange(0, 2.001, step)
    return NumberDensity(nodes, nodes**1.8 * np.exp(-((nodes / 0.35) ** 1.6))).scaled(NUM)


def drawn(shape, z, seed=2):
    """Photo-z of galaxies at redshifts."""
    nodes = np.linspace(-0.3, 0.45, 7501)
    below = np.cumsum(SHAPES[shape](nodes))
    t = np.interp(np.random.default_rng(seed).random(z.size), below / below[-1], nodes)
    return z - t * (1 + z)


def pdfs_of(shape, z_phot, fraction):
    """p(z) of galaxies with photo-z, of which a fraction has one that is anywhere from 0 to 2."""
    density = SHAPES[shape]((MIDDLE - z_phot[:, None]) / (1 + MIDDLE)) / (1 + MIDDLE)
    table = PdfTable.of_arrays("hist", {"pdfs": density.astype(np.float32)}, GRID)
    # p(z) has a total of 1 in z, and p(z_phot | z) in z_phot.
    mixed = fraction / (fraction + (1 - fraction) * density.sum(1).mean() * (GRID[1] - GRID[0]))
    pdfs = GalaxyPdfs(table, FLAT, None, mixed, (0.0, 2.0) if fraction else None)
    return pdfs, summarise(pdfs, GRID)


@cache
def survey(shape, fraction=0.0, num=4000):
    """Photo-z, the expected galaxies with each, and p(z): a survey without noise."""
    z_phot = np.linspace(*RANGE, num + 1)
    z_phot = (z_phot[1:] + z_phot[:-1]) / 2
    z = np.linspace(0, 2, 2001)
    counts = truth()(z) * (z[1] - z[0])
    density = SHAPES[shape]((z - z_phot[:, None]) / (1 + z)) / (1 + z)
    expected = ((1 - fraction) * density + fraction / 2) @ counts * np.ptp(RANGE) / num
    return z_phot, expected, *pdfs_of(shape, z_phot, fraction)


def fitted(shape, fraction=0.0, **options):
    z_phot, weights, pdfs, summary = survey(shape, fraction)
    return fit_pdf_number_density(
        pdfs, summary, np.arange(len(pdfs)), z_phot, z_range=RANGE, weights=weights, **options
    )


@pytest.mark.parametrize(
    ("shape", "fraction"), [("gaussian", 0.0), ("two_peaks", 0.0), ("two_peaks", 0.1), ("skew", 0)]
)
def test_n_of_z_is_that_of_the_galaxies_before_the_cut(shape, fraction):
    found = fitted(shape, fraction)
    np.testing.assert_allclose(found.counts(BINS) / truth().counts(BINS), 1, atol=0.015)
    fit = found.fit
    assert fit.counts.sum() == pytest.approx(survey(shape, fraction)[1].sum())
    np.testing.assert_allclose(fit.model, fit.counts, rtol=0.03)
    assert fit.chi2 < 1
    assert str(fit).startswith("dN/dz = exp(")


@pytest.mark.parametrize(("low", "high"), [(0.4, 0.6), (0.6, 0.8)])
def test_n_of_z_of_a_narrow_cut_is_found_within_it(low, high):
    z_phot, weights, pdfs, summary = survey("gaussian")
    rows = np.flatnonzero((z_phot > low) & (z_phot < high))
    found = fit_pdf_number_density(
        pdfs, summary, rows, z_phot[rows], z_range=(low, high), weights=weights[rows]
    )
    bins = np.linspace(low, high, 4)
    # Most of the galaxies are near an end, where bins of t blur the selection.
    np.testing.assert_allclose(found.counts(bins) / truth().counts(bins), 1, atol=0.08)


def test_of_gaussians_it_is_the_fit_by_forward_folding():
    z_phot, weights, _, _ = survey("gaussian")
    options = {"z_range": RANGE, "weights": weights}
    other = fit_number_density(z_phot, error=RedshiftError(0.03), **options)
    np.testing.assert_allclose(fitted("gaussian").counts(BINS) / other.counts(BINS), 1, atol=0.01)


@pytest.mark.parametrize("shape", ["gaussian", "two_peaks"])
def test_n_of_z_of_drawn_galaxies_is_theirs_within_noise(shape):
    z = truth().quantile(np.random.default_rng(1).random(NUM))
    z_phot = drawn(shape, z)
    z_phot = z_phot[(z_phot > RANGE[0]) & (z_phot < RANGE[1])]
    pdfs, summary = pdfs_of(shape, z_phot, 0.0)
    found = fit_pdf_number_density(pdfs, summary, np.arange(len(pdfs)), z_phot, z_range=RANGE)
    np.testing.assert_allclose(found.counts(BINS) / truth().counts(BINS), 1, atol=0.06)
    assert 0.5 < found.fit.chi2 / found.fit.dof < 1.6
    assert found.fit.counts.sum() == len(z_phot)


@pytest.mark.parametrize("layout", ["interp", "quant", "norm"])
def test_layouts_of_the_same_gaussians_have_one_n_of_z(layout):
    z_phot, weights, _, _ = survey("gaussian", num=1000)
    results = []
    for name in ("hist", layout):
        grid, columns = numbers_of(name, z_phot, 0.03 * (1 + z_phot), nodes=GRID,
                                   levels=np.linspace(0.005, 0.995, 100))  # fmt: skip
        pdfs = GalaxyPdfs(PdfTable.of_arrays(name, columns, grid), FLAT)
        nz = fit_pdf_number_density(
            pdfs, summarise(pdfs, GRID), np.arange(len(pdfs)), z_phot, z_range=RANGE,
            weights=weights,
        )  # fmt: skip
        results.append(nz.counts(BINS))
    np.testing.assert_allclose(results[1] / results[0], 1, atol=0.01)


def test_rows_choose_the_galaxies():
    z_phot, weights, pdfs, summary = survey("gaussian")
    rows = np.random.default_rng(4).permutation(len(pdfs))
    found = fit_pdf_number_density(
        pdfs, summary, rows, z_phot[rows], z_range=RANGE, weights=weights[rows]
    )
    np.testing.assert_allclose(found.counts(BINS), fitted("gaussian").counts(BINS), rtol=1e-3)
    none = np.where(z_phot < 0.6, weights, 0.0)
    less = fit_pdf_number_density(
        pdfs, summary, np.arange(len(pdfs)), z_phot, z_range=RANGE, weights=none
    )
    assert less.counts(BINS)[-1] < 0.1 * found.counts(BINS)[-1]


def test_a_random_part_of_the_galaxies_is_enough():
    few, every = fitted("gaussian", most=1500), fitted("gaussian")
    np.testing.assert_allclose(few.counts(BINS) / every.counts(BINS), 1, atol=0.06)
    np.testing.assert_allclose(few.fit.counts, every.fit.counts)


def test_galaxies_whose_p_z_cannot_be_used_count():
    z_phot, weights, pdfs, summary = survey("gaussian")
    flags = (np.arange(len(pdfs)) % 3 == 0).astype(np.uint8)
    found = fit_pdf_number_density(
        GalaxyPdfs(pdfs.table, FLAT, flags), summary, np.arange(len(pdfs)), z_phot, z_range=RANGE,
        weights=weights,
    )  # fmt: skip
    np.testing.assert_allclose(found.counts(BINS) / fitted("gaussian").counts(BINS), 1, atol=0.01)


def test_galaxies_that_n_of_z_cannot_be_fitted_to_are_refused():
    z_phot, _, pdfs, summary = survey("gaussian")
    rows = np.arange(90)
    with pytest.raises(ValueError, match="survey cannot be fitted to 20 galaxies between z"):
        fit_pdf_number_density(pdfs, summary, rows[:20], z_phot[:20], z_range=RANGE)
    few = GalaxyPdfs(pdfs.table, FLAT, (np.arange(len(pdfs)) > 20).astype(np.uint8))
    with pytest.raises(ValueError) as raised:
        fit_pdf_number_density(few, summary, rows, z_phot[:90], z_range=RANGE)
    assert str(raised.value) == (
        "N(z) of the photo survey cannot be fitted to the p(z) of 21 galaxies with photo-z between "
        "0.25 and 0.8: at least 50 are needed"
    )
    with pytest.raises(ValueError, match="z_phot and weights must be one for each of 90 rows"):
        fit_pdf_number_density(pdfs, summary, rows, z_phot[:20])
    with pytest.raises(ValueError, match=r"the 90 photo redshifts are all 0.3: N.z. cannot be fit"):
        fit_pdf_number_density(pdfs, summary, rows, np.full(90, 0.3))
    with pytest.raises(ValueError, match=r"redshift_range .1.8, 1.9. leaves no redshifts"):
        fit_pdf_number_density(pdfs, summary, rows, z_phot[:90], true_range=(1.8, 1.9))


def classes_of(survey_, **options):
    z_phot, weights, pdfs, summary = survey_
    return pdf_classes(
        pdfs, summary, np.arange(len(pdfs)), z_phot, truth(), z_range=RANGE, weights=weights,
        **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "fraction"), [("gaussian", 0.0), ("gaussian", 0.1), ("two_peaks", 0.1), ("skew", 0)]
)
def test_the_stack_of_p_z_is_the_error_of_the_photo_z(shape, fraction):
    """p(z_phot | z) and its mean over cells, compared with galaxies drawn at redshifts."""
    (one,), loss = classes_of(survey(shape, fraction), most=1)
    # p(z) of one shape lose next to nothing, for the bins of t.
    assert 0 <= loss < 0.005
    assert one.error.outlier_fraction == pytest.approx(fraction, abs=2e-3)
    photo = np.linspace(*RANGE, 12)
    away = fraction * np.diff(photo) / 2
    for z in (0.3, 0.45, 0.7, 0.95):
        found = np.histogram(drawn(shape, np.full(200_000, z)), photo)[0] / 200_000
        own = one.error.probability(photo, [z])[:, 0]
        np.testing.assert_allclose(own, (1 - fraction) * found + away, atol=0.01)
        cell = np.random.default_rng(5).uniform(z, z + 0.03, 200_000)
        found = np.histogram(drawn(shape, cell), photo)[0] / 200_000
        own = one.error.matrix(photo, [z, z + 0.03])[:, 0]
        np.testing.assert_allclose(own, (1 - fraction) * found + away, atol=0.01)
    wide = one.error.probability([-0.9, 0.0, 2.0, 5.0], [0.4, 0.7])
    np.testing.assert_allclose(wide.sum(0), 1, rtol=1e-9)
    assert (wide[1] > 0.99).all()


@cache
def mixed():
    """Galaxies of three kinds of p(z), of which the wide ones are far, and the others near."""
    rng = np.random.default_rng(8)
    z = truth().quantile(rng.random(NUM))
    wide = rng.random(NUM) < 1 / (1 + np.exp(-(z - 0.5) / 0.1))
    kind = np.where(wide, 1, np.where(rng.random(NUM) < 0.5, 0, 2))
    z_phot, density = np.empty(NUM), np.empty((NUM, len(MIDDLE)), np.float32)
    # The share of a kind at a redshift is in the likelihood.
    share = 1 / (1 + np.exp(-(MIDDLE - 0.5) / 0.1))
    for number, shape in enumerate(["narrow", "wide", "skew"]):
        own = np.flatnonzero(kind == number)
        z_phot[own] = drawn(shape, z[own])
        density[own] = SHAPES[shape]((MIDDLE - z_phot[own, None]) / (1 + MIDDLE)) / (1 + MIDDLE)
        density[own] *= share if number == 1 else 1 - share
    used = np.flatnonzero((z_phot > RANGE[0]) & (z_phot < RANGE[1]))
    pdfs = GalaxyPdfs(PdfTable.of_arrays("hist", {"pdfs": density[used]}, GRID), FLAT)
    return z, kind, kind[used], (z_phot[used], None, pdfs, summarise(pdfs, GRID))


@pytest.mark.medium
def test_classes_are_the_kinds_of_p_z():
    z, kind, of_rows, galaxies = mixed()
    found, loss = classes_of(galaxies)
    one, lost = classes_of(galaxies, most=1)
    assert len(one) == 1
    assert 3 <= len(found) <= 12
    assert loss < 0.35 * lost
    assert lost > 0.2
    # Every galaxy is in one class.
    together = np.sort(np.concatenate([each.rows for each in found]))
    np.testing.assert_array_equal(together, np.arange(len(of_rows)))
    # Most are in a class of their own kind.
    counts = np.array([np.bincount(of_rows[each.rows], minlength=3) for each in found])
    assert counts.max(1).sum() > 0.9 * len(of_rows)
    assert set(counts.argmax(1)) == {0, 1, 2}
    assert np.all(np.diff([each.error.sigma_z for each in found]) >= 0)
    # Their N(z) add up, and the far kind has that of its galaxies.
    total = np.sum([each.density.density for each in found], axis=0)
    np.testing.assert_allclose(total, truth().density, rtol=1e-9)
    bins = np.linspace(0.3, 0.75, 4)
    far = sum(each.density.counts(bins) for each, own in zip(found, counts, strict=True)
              if own.argmax() == 1)  # fmt: skip
    np.testing.assert_allclose(far / np.histogram(z[kind == 1], bins)[0], 1, atol=0.15)
    # As many galaxies are expected at photo-z as there are.
    for each in found:
        seen = each.density.observed(RANGE, each.error)[0]
        assert seen == pytest.approx(len(each.rows), rel=0.08)


def test_galaxies_without_p_z_are_a_class_of_which_photo_z_say_nothing():
    z_phot, weights, pdfs, summary = survey("gaussian")
    rows = np.arange(len(pdfs))
    some = GalaxyPdfs(pdfs.table, FLAT, (rows % 4 == 0).astype(np.uint8))
    found, _ = classes_of((z_phot, weights, some, summary))
    np.testing.assert_array_equal(found[-1].rows, rows[::4])
    np.testing.assert_allclose(found[-1].error.probability(RANGE, [0.1, 0.9]), 1)
    assert found[-1].density.total == pytest.approx(weights[::4].sum())
    np.testing.assert_allclose(np.sum([one.density.density for one in found], axis=0),
                               truth().density, rtol=1e-9)  # fmt: skip
    few = GalaxyPdfs(pdfs.table, FLAT, (rows < 100).astype(np.uint8))
    found, _ = classes_of((z_phot, weights, few, summary))
    assert set(range(100)) <= set(found[-1].rows.tolist())
    assert len(found[-1].rows) > 500


@pytest.mark.parametrize("fraction", [0.0, 0.1])
def test_posteriors_of_two_peaks_are_calibrated(fraction):
    """The probability below the truth is uniform, also with outliers."""
    rng = np.random.default_rng(9)
    z = truth().quantile(rng.random(NUM))
    away = rng.random(NUM) < fraction
    z_phot = np.where(away, rng.uniform(0, 2, NUM), drawn("two_peaks", z))
    used = (z_phot > RANGE[0]) & (z_phot < RANGE[1])
    z, (pdfs, _) = z[used], pdfs_of("two_peaks", z_phot[used], fraction)
    posterior = pdfs.likelihood(slice(None), GRID) * truth().counts(GRID)
    below = np.zeros((len(z), len(GRID)))
    np.cumsum(posterior / posterior.sum(1, keepdims=True), axis=1, out=below[:, 1:])
    cell = np.clip(np.searchsorted(GRID, z) - 1, 0, len(MIDDLE) - 1)
    each, part = np.arange(len(z)), (z - GRID[cell]) / np.diff(GRID)[cell]
    pit = below[each, cell] + part * (below[each, cell + 1] - below[each, cell])
    tenths = np.histogram(pit, np.linspace(0, 1, 11))[0] / len(z)
    # 3.5 sigma of the number of galaxies
    assert np.abs(tenths - 0.1).max() < 3.5 * np.sqrt(0.09 / len(z))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_first_part_of_a_sample_is_the_sample_of_fewer(weighted):
    z_phot, counts, pdfs, summary = survey("gaussian")
    weights = counts if weighted else None
    rows = np.arange(len(z_phot))
    whole, few = (
        LikelihoodSample.of(pdfs, summary, rows, z_phot, weights=weights, most=most)
        for most in (3000, 500)
    )
    part = whole.part(1000).part(500)
    assert len(whole) == 3000
    assert len(part) == 500
    for name in ("places", "likelihood", "z_phot", "edges", "drawn"):
        np.testing.assert_array_equal(getattr(part, name), getattr(few, name), err_msg=name)
    np.testing.assert_allclose(part.weights, few.weights, rtol=1e-12)
