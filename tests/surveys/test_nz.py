"""N(z): tables and their integrals, fits by forward folding, classes of errors, files."""

import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from truez.catalogs.catalog import Catalog
from truez.support.notes import Note
from truez.surveys.nz import NumberDensity, read_number_density
from truez.surveys.nz_fit import fit_error_classes, fit_number_density
from truez.surveys.redshift_error import (
    RedshiftError,
    check_errors,
    error_classes,
    sigma_z_from_z_err,
)

MIDDLE = np.arange(0.06, 0.40, 0.02)


def galaxies(num=40_000, seed=1, a=1.1, z0=0.32, b=3.5):
    """Redshifts drawn from the form itself."""
    z = np.linspace(0, 1.0, 20_001)[1:]
    share = np.cumsum(z**a * np.exp(-((z / z0) ** b)))
    return np.interp(np.random.default_rng(seed).random(num), share / share[-1], z)


def scattered(z, sigma, seed=2):
    return z + sigma * (1 + z) * np.random.default_rng(seed).normal(size=z.size)


def histogram(z, width=0.02):
    edges = np.arange(0.05, 0.41, width)
    return edges, np.histogram(z, edges)[0]


class TestTable:
    @given(st.integers(2, 30), st.integers(0, 1000))
    def test_its_integrals_are_exact(self, num, seed):
        rng = np.random.default_rng(seed)
        z, n = np.cumsum(rng.uniform(0.01, 1, num)), rng.uniform(0, 5, num)
        nz = NumberDensity(z, n)
        low, high = np.sort(rng.uniform(z[0] - 0.1, z[-1] + 0.1, 2))
        nodes = np.unique([low, high, *z[(z > low) & (z < high)], z[0], z[-1]])
        nodes = nodes[(nodes >= low) & (nodes <= high)]
        inside = np.clip(nodes, z[0], z[-1])
        assert nz.counts([low, high])[0] == pytest.approx(
            np.trapezoid(np.interp(inside, z, n), inside), abs=1e-10
        )
        assert nz.total == pytest.approx(np.trapezoid(n, z))
        share = rng.random(20)
        assert nz.below(nz.quantile(share)) == pytest.approx(share * nz.total)

    def test_quantiles_and_ranges(self):
        nz = NumberDensity(np.array([0.0, 1.0]), np.array([10.0, 10.0]))
        assert nz.quantile([0.1, 0.9]) == pytest.approx([0.1, 0.9])
        part = nz.within(0.25, 0.75)
        assert part.total == pytest.approx(5.0)
        assert part([0.2, 0.3, 0.8]) == pytest.approx([0, 10, 0])
        assert nz.scaled(30).total == pytest.approx(30)
        assert NumberDensity.sum([nz, part]).counts([0.3, 0.4]) == pytest.approx(2.0)
        with pytest.raises(ValueError, match=r"N\(z\) has no galaxies between z = 2 and 3"):
            nz.within(2, 3)

    @pytest.mark.parametrize(
        ("z", "n", "sentence"),
        [
            ([0.1, 0.2], [1.0], "needs two redshifts or more and as many numbers"),
            ([0.2, 0.1], [1.0, 1.0], "must be finite, >= 0 and ascending"),
            ([-0.1, 0.1], [1.0, 1.0], "must be finite, >= 0 and ascending"),
            ([0.1, 0.2], [1.0, -1.0], "must be finite and >= 0, and not all 0"),
            ([0.1, 0.2], [0.0, 0.0], "must be finite and >= 0, and not all 0"),
        ],
    )
    def test_what_is_no_number_density_is_refused(self, z, n, sentence):
        with pytest.raises(ValueError, match=sentence):
            NumberDensity(np.array(z), np.array(n))


class TestFit:
    def test_exact_redshifts_give_the_form_that_made_them(self):
        z = galaxies(200_000)
        nz = fit_number_density(z)
        assert (nz.fit.a, nz.fit.z0, nz.fit.b) == pytest.approx((1.1, 0.32, 3.5), rel=0.03)
        assert nz.total == pytest.approx(z.size)
        assert nz.fit.chi2 / nz.fit.dof == pytest.approx(1, abs=0.5)
        form = np.exp(nz.fit.amplitude) * MIDDLE**nz.fit.a
        form *= np.exp(-((MIDDLE / nz.fit.z0) ** nz.fit.b))
        assert nz(MIDDLE) == pytest.approx(form, rel=2e-3)

    @pytest.mark.parametrize("sigma", [0.005, 0.02, 0.05])
    def test_photo_z_give_the_fit_of_the_true_redshifts_within_3_per_cent(self, sigma):
        # Clustered, as galaxies are: peaks that the form cannot follow.
        z = galaxies()
        peak = np.random.default_rng(5).normal(0.17, 0.003, 3000)
        z = np.concatenate([z, peak])
        photo = fit_number_density(scattered(z, sigma), error=RedshiftError(sigma))
        true = fit_number_density(z)
        inner = MIDDLE[1.3 * sigma < MIDDLE]
        assert np.abs(photo(inner) / true(inner) - 1).max() < 0.03
        assert photo.total == pytest.approx(z.size, rel=0.02)

    def test_outliers_and_bias_are_folded_in(self):
        z, rng = galaxies(), np.random.default_rng(3)
        photo = scattered(z + 0.01 + 0.05 * z, 0.02)
        lost = rng.random(z.size) < 0.1
        photo[lost] = rng.uniform(0, 1.5, lost.sum())
        error = RedshiftError(0.02, 0.1, (0, 1.5), (0.01, 0.05))
        nz = fit_number_density(photo, error=error, z_range=(0, 1.5))
        edges, counts = histogram(z)
        assert np.abs(nz.counts(edges) / counts - 1).max() < 0.12
        assert nz.fit.chi2 / nz.fit.dof < 2

    def test_a_cut_in_photo_z_leaves_n_of_z_as_it_is(self):
        z = galaxies()
        photo = scattered(z, 0.03)
        kept = (photo > 0.15) & (photo < 0.35)
        cut = fit_number_density(photo[kept], error=RedshiftError(0.03), z_range=(0.15, 0.35))
        inner = np.arange(0.16, 0.34, 0.02)
        true = fit_number_density(z)
        assert np.abs(cut(inner) / true(inner) - 1).max() < 0.06

    def test_a_survey_with_a_depth_has_nothing_beyond(self):
        z = galaxies()
        z = z[(z > 0.1) & (z < 0.3)]
        nz = fit_number_density(
            scattered(z, 0.03), error=RedshiftError(0.03), true_range=(0.1, 0.3)
        )
        assert nz([0.05, 0.35]).tolist() == [0, 0]
        assert nz.total == pytest.approx(z.size, rel=0.01)

    def test_weights_count_and_are_no_better_than_their_number(self):
        z = galaxies()
        w = np.where(z > 0.2, 2.0, 1.0)
        nz = fit_number_density(z, weights=w)
        twice = fit_number_density(z, weights=2 * np.ones(z.size))
        once = fit_number_density(z)
        assert nz.total == pytest.approx(w.sum())
        assert twice.fit.chi2 == pytest.approx(once.fit.chi2, rel=0.15)
        assert twice(MIDDLE) == pytest.approx(2 * once(MIDDLE), rel=1e-3)

    @pytest.mark.parametrize("form", [(12.0, 0.5, 12.0), (0.3, 0.05, 0.6), (30.0, 0.6, 30.0)])
    def test_narrow_and_steep_surveys_are_fitted_as_well(self, form):
        z = galaxies(20_000, a=form[0], z0=form[1], b=form[2])
        nz = fit_number_density(scattered(z, 0.01), error=RedshiftError(0.01))
        low, middle, high = np.quantile(z, [0.1, 0.5, 0.9])
        counts = nz.counts([low, middle, high]) / z.size
        assert counts == pytest.approx([0.4, 0.4], abs=0.02)

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            ({"redshift": np.full(10, 0.1)}, "cannot be fitted to 10 galaxies between z = 0.1"),
            ({"redshift": np.full(100, 0.1)}, "the 100 photo redshifts are all 0.1"),
            ({"redshift": []}, "cannot be fitted to 0 galaxies"),
            ({"redshift": [np.nan, 0.1]}, "1 of 2 photo redshifts are not finite"),
            (
                {"redshift": galaxies(100), "weights": -np.ones(100)},
                "weights of photo galaxies",
            ),
            ({"redshift": galaxies(100), "z_range": (3, 4)}, "to 0 galaxies between z = 3 and 4"),
            (
                {"redshift": galaxies(100), "z_range": (1, 0)},
                "a range of redshifts, not 1 to",
            ),
            (
                {"redshift": galaxies(100), "true_range": (3, 4)},
                "leaves no redshifts of the",
            ),
        ],
    )
    def test_what_cannot_be_fitted_is_refused(self, given, sentence):
        with pytest.raises(ValueError, match=sentence):
            fit_number_density(**given)


class TestErrors:
    def test_probabilities_are_those_of_the_normal_distribution(self):
        error = RedshiftError(0.03, 0.1, (0.0, 2.0), (0.01,))
        edges, z = np.array([0.1, 0.3, 0.5]), np.array([0.2, 0.45])
        p = error.probability(edges, z)
        normal = norm.cdf(edges[:, None], z + 0.01, 0.03 * (1 + z))
        assert p == pytest.approx(0.9 * np.diff(normal, axis=0) + 0.1 * 0.1)
        assert error.probability([-9, 9], z) == pytest.approx(np.ones((1, 2)))
        assert RedshiftError(0.0).probability(edges, z).tolist() == [[1, 0], [0, 1]]

    @pytest.mark.parametrize("sigma", [0.0, 0.001, 0.02, 0.3])
    def test_the_matrix_between_cells_is_that_of_galaxies_anywhere_in_them(self, sigma):
        error = RedshiftError(sigma, 0.05, (0.0, 1.0), (0.003,))
        edges = np.linspace(0.2, 0.5, 31) ** 1.5
        matrix = error.matrix(edges, edges)
        assert matrix.shape == (30, 30)
        assert (matrix >= 0).all()
        for cell in (0, 15, 29):
            z = np.linspace(edges[cell], edges[cell + 1], 4001)
            exact = error.probability(edges, (z[1:] + z[:-1]) / 2).mean(axis=1)
            assert matrix[:, cell] == pytest.approx(exact, abs=0.02 if sigma == 0 else 2e-3)
        assert error.matrix([-9, 9], edges) == pytest.approx(np.ones((1, 30)))

    def test_the_likelihood_is_the_density_of_the_probability(self):
        error = RedshiftError(0.02, 0.1, (0.0, 1.0), (0.01,))
        photo, z = np.array([0.1, 0.3, 1.2]), np.array([0.1, 0.25, 0.31])
        found = error.likelihood(photo, z)
        for row, at in enumerate(photo):
            step = 1e-6
            exact = error.probability([at - step, at + step], z)[0] / (2 * step)
            assert found[row] == pytest.approx(exact, rel=1e-4, abs=1e-8)
        own = replace(error, sigma_z=np.array([0.02, 0.02, 0.5])).likelihood(photo, z)
        assert own[:2] == pytest.approx(found[:2])
        assert own[2, 0] > found[2, 0]
        with pytest.raises(ValueError, match="sigma_z is 0 for 1 of 1 galaxies"):
            RedshiftError(0.0).likelihood(photo, z)

    def test_classes_hold_similar_errors_and_every_galaxy_is_in_one(self):
        rng = np.random.default_rng(1)
        sigma = np.exp(rng.normal(np.log(0.03), 0.4, 20_000))
        numbers, sigmas = error_classes(sigma)
        assert 5 < len(sigmas) <= 12
        assert (np.diff(sigmas) > 0).all()
        assert np.bincount(numbers).min() >= 500
        inner = np.quantile(sigma, [0.05, 0.95])
        inside = (sigma > inner[0]) & (sigma < inner[1])
        assert (np.abs(np.log(sigma / sigmas[numbers]))[inside] < 0.35).all()
        assert len(error_classes(np.full(100, 0.02))[1]) == 1
        assert error_classes([0.005] * 900 + [0.05] * 900)[1] == pytest.approx([0.005, 0.05])

    def test_each_class_has_its_own_n_of_z(self):
        z = galaxies(60_000)
        rng = np.random.default_rng(7)
        faint = rng.random(z.size) < z / 0.6
        sigma = np.where(faint, 0.04, 0.01)
        nz, classes = fit_error_classes(z + sigma * (1 + z) * rng.normal(size=z.size), sigma)
        true = fit_number_density(z)
        assert np.abs(nz(MIDDLE) / true(MIDDLE) - 1).max() < 0.03
        assert [part.error.sigma_z for part in classes] == pytest.approx([0.01, 0.04])
        edges = np.arange(0.05, 0.41, 0.05)
        for part, rows in zip(classes, (~faint, faint), strict=True):
            assert (part.rows == np.flatnonzero(rows)).all()
            counts = np.histogram(z[rows], edges)[0]
            assert np.abs(part.density.counts(edges) / counts - 1).max() < 0.12
        whole = NumberDensity.sum([part.density for part in classes])
        assert whole(MIDDLE) == pytest.approx(nz(MIDDLE))

    def test_absolute_errors_are_those_at_the_photo_z(self):
        assert sigma_z_from_z_err([0.03, 0.03], [0.5, 0.0]) == pytest.approx([0.02, 0.03])

    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            ([0.1, 0.0, 0.0], "z_err_column is 0 for 2 of 3 galaxies: leave them out, or give"),
            ([0.1, -99, 0.1], "z_err_column must be above 0 and below 1, but is not for 1 of 3"),
            ([0.1, np.nan, 2], "z_err_column must be above 0 and below 1, but is not for 2 of 3"),
        ],
    )
    def test_errors_that_are_none_are_refused(self, values, sentence):
        with pytest.raises(ValueError, match="^" + sentence):
            check_errors(values, "z_err_column")

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            ({"sigma_z": -0.1}, "sigma_z must be a number from 0 to below 1, not -0.1"),
            ({"sigma_z": 0.1, "outlier_fraction": 1}, r"outlier_fraction must be in \[0, 1\)"),
            ({"sigma_z": 0.1, "outlier_fraction": 0.1}, "outlier_fraction needs outlier_range"),
            ({"sigma_z": 0.1, "outlier_range": (1, 0)}, "outlier_range must be two photo-z"),
            ({"sigma_z": 0.1, "bias": (np.nan,)}, "photo_bias must be finite coefficients"),
        ],
    )
    def test_settings_out_of_range_are_refused(self, given, sentence):
        with pytest.raises(ValueError, match="^" + sentence):
            RedshiftError(**given)


class TestGiven:
    def test_a_file_has_columns_by_name_or_in_order(self, tmp_path):
        z, n = np.linspace(0, 1, 11), np.arange(11.0)
        Catalog({"n": n, "err": n, "Z": z}).write(tmp_path / "nz.csv")
        nz = read_number_density(tmp_path / "nz.csv", total=100)
        assert nz.total == pytest.approx(100)
        assert nz(0.5) == pytest.approx(100.0)
        Catalog({"one": z, "two": n}).write(tmp_path / "two.csv")
        assert read_number_density(tmp_path / "two.csv").total == pytest.approx(5.0)

    def test_a_file_of_something_else_is_refused(self, tmp_path):
        path = tmp_path / "nz.csv"
        Catalog({"zmid": [0.1, 0.2], "nbar": [1.0, 2.0], "Vol": [1, 1]}).write(path)
        with pytest.raises(ValueError, match=r"needs columns z and n, the galaxies per unit .* has "
                           "zmid, nbar, Vol: rename them"):  # fmt: skip
            read_number_density(path)
        Catalog({"z": [0.2, 0.1], "n": [1.0, 2.0]}).write(path)
        with pytest.raises(ValueError, match=r"nz\.csv: the redshifts of N\(z\) must be"):
            read_number_density(path)

    def test_one_that_contradicts_the_data_is_refused(self):
        z = galaxies()
        photo, error = scattered(z, 0.03), RedshiftError(0.03)
        right = fit_number_density(z)
        assert right.check_matches(photo, error, name="photo") < 0.01
        assert right.check_matches(z, RedshiftError(0.0), name="spec") < 0.01
        wrong = NumberDensity(right.redshift * 1.3, right.density)
        with pytest.raises(ValueError, match=r"^spec_nz contradicts the photo redshifts: \d+% of"):
            wrong.check_matches(photo, error, name="photo", option="spec_nz")
        far = NumberDensity(right.redshift + 5, right.density)
        with pytest.raises(ValueError, match=r"^nz has no galaxies where the photo"):
            far.check_matches(z, RedshiftError(0.0), name="photo")

    def test_it_is_drawn_over_the_histogram_and_prints_its_form(self):
        nz = fit_number_density(galaxies(1000))
        figure = nz.plot()
        labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert set(labels) == {"galaxies", "fit to the histogram", "N(z)"}
        plt.close(figure)
        assert repr(nz).startswith("NumberDensity of 1000 galaxies, 99% of them at z = 0.0")
        assert "chi2/dof = " in repr(nz)
        assert repr(nz).endswith(f", within {100 * nz.fit.difference:.2g}%")

    def test_a_form_that_does_not_fit_is_noted(self):
        rng = np.random.default_rng(2)
        two = np.concatenate([rng.normal(0.2, 0.02, 3000), rng.normal(0.8, 0.03, 3000)])
        fit = fit_number_density(two).fit
        shares = [np.mean(two < edge) for edge in fit.edges[1:]]
        expected = np.cumsum(fit.model) / fit.model.sum()
        assert fit.difference == pytest.approx(np.abs(shares - expected).max(), abs=2e-3)
        assert fit.difference > 0.2
        with pytest.warns(Note, match=r"^the form of N\(z\) that was fitted is not .*: give nz$"):
            fit.note("photo", "nz")
        right = fit_number_density(galaxies(20_000)).fit
        assert right.difference < 0.02
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            right.note("photo", "nz")
            # As few galaxies differ by chance.
            fit_number_density(np.random.default_rng(3).uniform(0.3, 0.5, 60)).fit.note("a", "b")


def test_a_file_of_desi_gives_galaxies_per_redshift_and_not_per_volume(tmp_path):
    path = tmp_path / "LRG_nz.txt"
    path.write_text(
        "#area is 5000.5square degrees\n#effective area is 4800.2square degrees\n"
        "#zmid zlow zhigh n(z) Nbin Vol_bin\n0.405 0.40 0.41 9e-4 1000.5 3e6\n"
        "0.415 0.41 0.42 4e-4 1200 3e6\n0.43 0.42 0.44 2e-4 900 3.2e6\n"
    )
    nz = read_number_density(path)
    assert nz([0.405, 0.415, 0.43]) == pytest.approx([100_050, 120_000, 45_000])
    assert nz([0.3999, 0.4401]).tolist() == [0, 0]
    assert nz.total == pytest.approx(3100.5, rel=0.1)  # a few wide bins
    path.write_text("# zlow zhigh Nbin\n0.41 0.40 7\n")
    with pytest.raises(ValueError, match="zlow below zhigh: correct the file"):
        read_number_density(path)
