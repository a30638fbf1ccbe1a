"""Photo-z errors in redshift: kernels that change along the line of sight, and galaxies' own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.sightlines.amplitude import AmplitudeSample, fit_amplitude
from truez.sightlines.conserve import PhotoClass
from truez.sightlines.intensity import Intensity
from truez.sightlines.kernel import Kernel
from truez.sightlines.own_place import OwnPlaces
from truez.sightlines.paint import paint_columns
from truez.sightlines.posterior_field import posterior_field
from truez.sightlines.posteriors import walk_rows
from truez.sightlines.redistribution import redistribute_classes
from truez.surveys.photoz import PhotozError
from truez.surveys.redshift_error import RedshiftError

UNEVEN = 0.1 + 0.4 * np.linspace(0, 1, 31) ** 1.3


@pytest.mark.parametrize("sigma", [0.002, 0.02, 0.3])
def test_the_kernel_is_the_error_integrated_over_both_cells(sigma):
    matrix = Kernel.of_redshifts(RedshiftError(sigma), UNEVEN).matrix
    for i, j in ((3, 3), (12, 10), (10, 12), (29, 0), (0, 29)):
        low, high = UNEVEN[j], UNEVEN[j + 1]
        width = sigma * (1 + (low + high) / 2)

        def inside(z, i=i, width=width):
            # Of the two tails the one that keeps its digits.
            ends = (UNEVEN[i : i + 2] - z) / width
            return abs(np.diff(norm.cdf(ends) if ends[0] < 0 else norm.sf(ends))[0])

        expected = quad(inside, low, high, epsabs=0)[0] / (high - low)
        assert float(matrix[i, j]) == pytest.approx(expected, rel=1e-5, abs=1e-38)


def test_an_even_error_has_the_kernel_of_even_cells():
    box = Box((4, 4, 64), (1, 1, 16), periodic=False)
    even = Kernel.of(PhotozError(9.0, 0.1), box, photo_margin=5)
    edges = np.linspace(0.2, 0.52, 17)
    margin = 0.02 * np.arange(1, 6)
    longer = np.concatenate([edges[0] - margin[::-1], edges, edges[-1] + margin])
    error = RedshiftError(9.0 / 64 * 0.32, 0.1, (0.2, 0.52), absolute=True)
    kernel = Kernel.of_redshifts(error, edges, photo_edges=longer)
    assert (kernel.photo_margin, kernel.num_photo, kernel.num_true) == (5, 26, 16)
    torch.testing.assert_close(kernel.matrix, even.matrix, rtol=1e-5, atol=1e-9)


@given(sigma=st.floats(1e-5, 0.99), outliers=st.floats(0, 0.9), absolute=st.booleans(),
       seed=st.integers(0, 100), margin=st.integers(0, 10))  # fmt: skip
def test_the_kernel_is_a_probability(sigma, outliers, absolute, seed, margin):
    rng = np.random.default_rng(seed)
    edges = 0.2 + np.cumsum(rng.uniform(1e-4, 0.05, 20))
    steps = np.cumsum(rng.uniform(1e-4, 0.05, margin))
    longer = np.concatenate([edges[0] - steps[::-1], edges, edges[-1] + steps])
    error = RedshiftError(sigma, outliers, (edges[0], edges[-1]), (), absolute)
    matrix = Kernel.of_redshifts(error, edges, photo_edges=longer).matrix.double()
    assert (matrix >= 0).all()
    assert (matrix.sum(0) <= 1 + 1e-6).all()
    far = [edges[0] - 100 * sigma - 10, *longer, edges[-1] + 100 * sigma + 10]
    if margin:
        far = np.concatenate([far[:1], longer[1:-1], far[-1:]])
        whole = Kernel.of_redshifts(error, edges, photo_edges=far).matrix.double()
        np.testing.assert_allclose(whole.sum(0), 1, rtol=1e-6)


def test_the_kernel_is_what_a_survey_scatters():
    rng = np.random.default_rng(2)
    num = 400_000
    z = rng.uniform(UNEVEN[14], UNEVEN[15], num)
    seen = z + 0.02 * (1 + z) * rng.standard_normal(num)
    lost = rng.random(num) < 0.2
    seen[lost] = rng.uniform(0.0, 0.6, lost.sum())
    counts, _ = np.histogram(seen, UNEVEN)
    matrix = Kernel.of_redshifts(RedshiftError(0.02, 0.2, (0.0, 0.6)), UNEVEN).matrix
    expected = num * matrix[:, 14].double().numpy()
    assert np.abs((counts - expected) / np.sqrt(expected)).max() < 4.5


def test_a_row_is_the_density_that_the_kernel_integrates():
    error = RedshiftError(0.01, 0.1, (0.0, 0.7))
    kernel = Kernel.of_redshifts(error, UNEVEN).matrix
    nodes, shares = np.polynomial.legendre.leggauss(20)
    for i in (4, 20):
        low, high = UNEVEN[i], UNEVEN[i + 1]
        rows = error.rows((low + high) / 2 + nodes * (high - low) / 2, UNEVEN)
        integral = shares * (high - low) / 2 @ rows
        np.testing.assert_allclose(integral, kernel[i], rtol=2e-5, atol=1e-9)


def test_galaxies_have_their_own_rows():
    sigma, outliers = np.array([0.001, 0.02, 0.1]), np.array([0.0, 0.5, 0.1])
    z = np.array([0.2, 0.3, 0.9])
    own = RedshiftError(sigma, outliers, (0.0, 0.7), absolute=True)
    rows = own.rows(z, UNEVEN)
    for number in range(3):
        one = RedshiftError(sigma[number], outliers[number], (0.0, 0.7), absolute=True)
        np.testing.assert_allclose(rows[number], one.rows(z[number : number + 1], UNEVEN)[0])
    # Beyond the range of outliers nothing but the Gaussian is left, far out in its tail.
    assert float(rows[2, 0]) == pytest.approx(
        0.9 * norm.pdf(0.9 - UNEVEN[:2].mean(), scale=0.1), rel=0.1
    )
    assert repr(own) == ("Photo-z error of 3 galaxies, on average: sigma(z) = 0.0403, 20% outliers")
    some = own.take(np.array([2, 0]))
    np.testing.assert_allclose(some.rows(z[[2, 0]], UNEVEN), rows[[2, 0]])


def test_classes_hold_every_galaxy_once():
    rng = np.random.default_rng(3)
    few = RedshiftError(rng.choice([0.01, 0.02, 0.05], 3000))
    assert [one.sigma_z for _, one in few.classes()] == pytest.approx([0.01, 0.02, 0.05])
    many = RedshiftError(rng.lognormal(-4, 0.5, 5000), rng.uniform(0, 0.1, 5000), (0, 1))
    classes = many.classes(4)
    assert 2 <= len(classes) <= 4
    assert sorted(np.concatenate([rows for rows, _ in classes])) == list(range(5000))
    widths = [one.sigma_z for _, one in classes]
    assert widths == sorted(widths)
    rows, one = classes[1]
    assert one.sigma_z == pytest.approx(np.sqrt(np.mean(many.sigma_z[rows] ** 2)))
    assert one.outlier_fraction == pytest.approx(many.outlier_fraction[rows].mean())
    assert Kernel.of_redshifts(one, UNEVEN).matrix.shape == (30, 30)


def test_bad_errors():
    for message, arguments in {
        "sigma_z must be above 0 and below 1, but is not for 1 of 2": (np.array([0.1, -1.0]),),
        "sigma_z must be above 0 and below 1, but is not for 1 of 1": (np.array([np.nan]),),
        "sigma_z must be a number or have shape": (np.ones((2, 2)),),
        "outlier_fraction must be in \\[0, 1\\), not 1": (0.1, 1.0, (0, 1)),
        "sigma_z is of 2 galaxies and outlier_fraction of 3": (np.full(2, 0.1), np.zeros(3)),
        "outlier_fraction needs outlier_range": (0.1, 0.1),
        "outlier_range must be two photo-z, not \\(1, 0\\)": (0.1, 0.1, (1, 0)),
    }.items():
        with pytest.raises(ValueError, match=message):
            RedshiftError(*arguments)
    own = RedshiftError(np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="galaxies with their own errors have no common kernel"):
        Kernel.of_redshifts(own, UNEVEN)
    with pytest.raises(ValueError, match="3 photo-z do not fit 2 errors"):
        own.rows(np.zeros(3), UNEVEN)
    one = RedshiftError(0.1)
    with pytest.raises(ValueError, match="all galaxies share one error"):
        one.classes(3)
    for edges in (UNEVEN[::-1], [0.1], [0.1, np.nan]):
        with pytest.raises(ValueError, match="edges must be rising redshifts"):
            Kernel.of_redshifts(one, edges)
    with pytest.raises(ValueError, match="photo_edges must be the 31 edges and as many more"):
        Kernel.of_redshifts(one, UNEVEN, photo_edges=[0.0, *UNEVEN])
    with pytest.raises(ValueError, match=r"photo_bias .* makes photo-z fall with redshift"):
        RedshiftError(0.1, bias=(0.0, -1.5)).rows([0.2], UNEVEN)


def test_a_bias_moves_rows_and_kernels_alike():
    error = RedshiftError(0.01, bias=(0.01, 0.05))
    kernel = Kernel.of_redshifts(error, UNEVEN).matrix
    nodes, shares = np.polynomial.legendre.leggauss(20)
    low, high = UNEVEN[12], UNEVEN[13]
    rows = error.rows((low + high) / 2 + nodes * (high - low) / 2, UNEVEN)
    np.testing.assert_allclose(shares * (high - low) / 2 @ rows, kernel[12], rtol=2e-5, atol=1e-9)
    mean = np.sum(error.mean(UNEVEN)[10:12]) / 2
    fine = np.linspace(mean - 0.1, mean + 0.1, 2001)
    density = error.rows(fine, UNEVEN)[:, 10]
    assert np.sum(fine * density) / np.sum(density) == pytest.approx(mean, abs=1e-5)


# --- posteriors and the amplitude, of a survey whose N(z) falls and whose errors differ

BOX = Box((64, 64, 120), (16, 16, 30), periodic=False)
EDGES = 0.1 + 0.3 * np.linspace(0, 1, 31) ** 1.2


def survey(amplitude: float, level: float, seed: int = 1, unknown=1.0):
    """Overdensity, expected counts, galaxies' places, true and photometric redshifts, errors.

    ``unknown`` is a factor of the expected counts that is not in what is returned.
    """
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(BOX.meshsize)
    smooth = sum(np.roll(noise, (i, j, k), (0, 1, 2))
                 for i in (0, 1) for j in (0, 1) for k in (0, 1)) / 8**0.5  # fmt: skip
    delta = torch.from_numpy(0.8 * smooth).float()
    mask = rng.random((16, 16, 1)) > 0.1
    expected = torch.from_numpy(level * mask * np.exp(-np.linspace(0, 3, 30))).float()
    mean = unknown * expected * (1 + amplitude * delta).clamp(min=0.05)
    counts = rng.poisson(mean.numpy())
    cells = np.repeat(np.stack(np.nonzero(counts), 1), counts[counts > 0], axis=0)
    # At cell centres across, where the intensity is that of the cell.
    places = (cells[:, :2] + 0.5) * 4.0
    part = rng.random(len(cells))
    true = EDGES[cells[:, 2]] * (1 - part) + EDGES[cells[:, 2] + 1] * part
    sigma = rng.choice([0.012, 0.02, 0.05], len(true))
    centers = (EDGES[1:] + EDGES[:-1])[cells[:, 2]] / 2
    seen = true + sigma * (1 + centers) * rng.standard_normal(len(true))
    lost = rng.random(len(true)) < 0.05
    seen[lost] = rng.uniform(0.0, 0.6, lost.sum())
    return delta, expected, places, true, seen, RedshiftError(sigma, 0.05, (0.0, 0.6))


def galaxies_at(places, likelihood, expected):
    return OwnPlaces(box=BOX, positions=places, likelihood=likelihood, expected=expected)


def test_posteriors_of_own_errors_are_right():
    delta, expected, places, true, seen, own = survey(1.0, 6.0)
    intensity = (1 + delta).clamp(min=0.05)

    def likelihood(rows):
        return own.take(rows).rows(seen[rows], EDGES)

    walked = list(walk_rows(galaxies_at(places, likelihood, expected), intensity))
    rows = np.concatenate([some.rows for some in walked])
    np.testing.assert_array_equal(rows, np.arange(len(true)))
    # By hand, for one galaxy in the middle of its cell.
    some, galaxy = walked[0], 7
    x, y = (int(p // 4) for p in places[galaxy])
    prior = (expected * intensity)[x, y]
    seen_here = own.take(np.array([galaxy])).rows(seen[[galaxy]], EDGES)[0]
    joint = prior * torch.from_numpy(seen_here).float()
    torch.testing.assert_close(some.probability[galaxy], joint / joint.sum(), rtol=1e-4, atol=1e-7)
    assert float(some.log_evidence[galaxy]) == pytest.approx(
        float((joint.sum() / prior.sum()).log()), abs=1e-4
    )
    place = np.interp(true, EDGES, np.arange(31.0))
    pit, gain = [], []
    for some in walked:
        below, there = some.below(torch.from_numpy(place[some.rows]).float())
        pit.append(below.numpy())
        gain.append((there.log() + some.log_even).numpy())
    pit, gain = np.concatenate(pit), np.concatenate(gain)
    tenths = np.histogram(pit, np.linspace(0, 1, 11))[0] / len(pit)
    assert np.abs(tenths - 0.1).max() < 4.5 * np.sqrt(0.09 / len(pit))
    assert gain.mean() > 0.1
    # One error for all is wrong for each of them.
    same = RedshiftError(0.02, 0.05, (0.0, 0.6))
    wrong = np.concatenate(
        [
            some.below(torch.from_numpy(place[some.rows]).float())[0].numpy()
            for some in walk_rows(
                galaxies_at(places, lambda rows: same.rows(seen[rows], EDGES), expected), intensity
            )
        ]
    )
    off = np.histogram(wrong, np.linspace(0, 1, 11))[0] / len(wrong)
    assert np.abs(off - 0.1).max() > 2 * np.abs(tenths - 0.1).max()


def test_galaxies_where_none_are_expected_have_no_posterior():
    expected = torch.ones(BOX.meshsize)
    expected[:8] = 0
    places = np.array([[10.0, 10.0], [50.0, 10.0], [50.0, 20.0]])
    seen = np.array([0.2, 0.2, 5.0])
    one = RedshiftError(0.01)
    galaxies = galaxies_at(places, lambda rows: one.rows(seen[rows], EDGES), expected)
    (some,) = walk_rows(galaxies, torch.ones(BOX.meshsize))
    assert list(some.rows) == [1]


def sample_of(places, seen, own, delta, expected):
    return AmplitudeSample(
        box=BOX, positions=places, likelihood=lambda rows: own.take(rows).rows(seen[rows], EDGES),
        delta=delta, expected=expected,
    )  # fmt: skip


@pytest.mark.parametrize("amplitude", [0.4, 0.8, 1.3])
@pytest.mark.parametrize("most", [2**17, 3000])
def test_the_photo_z_know_the_amplitude(amplitude, most, monkeypatch):
    monkeypatch.setattr("truez.sightlines.amplitude.MOST_GALAXIES", most)
    delta, expected, places, _, seen, own = survey(amplitude, 3.0, seed=4)
    found = fit_amplitude(sample_of(places, seen, own, delta, expected))
    assert found.error < (0.06 if most > 3000 else 0.12)
    assert found.value == pytest.approx(amplitude, abs=3.5 * found.error)
    assert found.gain > 0


def test_an_overdensity_of_other_galaxies_has_no_amplitude():
    _, expected, places, _, seen, own = survey(0.0, 3.0)
    delta = survey(0.0, 3.0, seed=9)[0]
    found = fit_amplitude(sample_of(places, seen, own, delta, expected))
    assert found.value < 0.15
    assert found.gain < 1e-3


@pytest.mark.parametrize("amplitude", [0.4, 0.8, 1.3])
def test_a_relative_amplitude_is_that_of_the_density(amplitude):
    delta, expected, places, _, seen, own = survey(amplitude, 3.0, seed=4)
    sample = sample_of(places, seen, own, delta, expected)
    plain = fit_amplitude(sample)
    for relative, most in ((("redshift",), 1.5), (("redshift", "sky"), 2.5)):
        found = fit_amplitude(sample, relative=relative)
        assert found.value == pytest.approx(amplitude, abs=3.5 * found.error)
        # Sight lines of 30 cells have a part of the structure in their means.
        assert 0.9 * plain.error < found.error < most * plain.error
        assert 0 < found.gain < 1.02 * plain.gain


@pytest.mark.parametrize("of", ["sky", "redshift"])
def test_a_relative_amplitude_leaves_out_what_both_surveys_have_for_other_reasons(of):
    # Completeness across the sky, or peaks of N(z), that the expected counts do not have, are in
    # the overdensity of one survey and in the galaxies of the other, whose structure differs.
    rng = np.random.default_rng(6)
    factor = torch.tensor([1.6, 0.4, 1.6]).repeat_interleave(10)
    if of == "sky":
        factor = torch.from_numpy(rng.choice([0.4, 1.6], (16, 16, 1))).float()
    _, expected, places, _, seen, own = survey(0.0, 3.0, unknown=factor)
    delta = factor * (1 + survey(0.0, 3.0, seed=9)[0]).clamp(min=0.05) - 1
    sample = sample_of(places, seen, own, delta, expected)
    plain, found = fit_amplitude(sample), fit_amplitude(sample, relative=[of])
    assert plain.value > 0.3
    assert found.value < 0.1
    assert found.gain < 1e-3


def test_a_relative_amplitude_of_galaxies_chosen_by_photo_z_is_not_biased():
    delta, expected, places, _, seen, own = survey(0.8, 6.0, seed=4)
    kept = (seen > 0.18) & (seen < 0.3)
    error = RedshiftError(0.02, 0.05, (0.0, 0.6))
    centers = (EDGES[1:] + EDGES[:-1]) / 2
    sigmas = [replace(error, sigma_z=sigma).probability([0.18, 0.3], centers)[0]
              for sigma in (0.012, 0.02, 0.05)]  # fmt: skip
    visible = torch.from_numpy(np.mean(sigmas, axis=0)).float()
    part = sample_of(places[kept], seen[kept], own.take(kept), delta, expected)
    found = fit_amplitude(replace(part, visible=visible), relative=("redshift", "sky"))
    assert found.value == pytest.approx(0.8, abs=3.5 * found.error)


def test_samples_share_an_amplitude():
    samples = []
    for seed in (4, 5):
        delta, expected, places, _, seen, own = survey(0.8, 1.5, seed=seed)
        samples.append(sample_of(places, seen, own, delta, expected))
    single, both = [fit_amplitude(one) for one in samples], fit_amplitude(samples)
    weights = np.array([one.error**-2 for one in single])
    mean = weights @ [one.value for one in single] / weights.sum()
    assert both.value == pytest.approx(mean, abs=0.02)
    assert both.error == pytest.approx(weights.sum() ** -0.5, rel=0.1)


def test_galaxies_chosen_on_the_sky_are_counted_where_they_are():
    delta, expected, places, _, seen, own = survey(0.8, 3.0, seed=4)
    half = places[:, 0] < 32
    visible = torch.zeros(16, 16, 30)
    visible[:8] = 1
    part = sample_of(places[half], seen[half], own.take(half), delta, expected)
    found = fit_amplitude(replace(part, visible=visible))
    assert found.value == pytest.approx(0.8, abs=3.5 * found.error)


def test_bad_amplitudes():
    delta, expected, places, _, seen, own = survey(0.0, 0.5)
    good = sample_of(places, seen, own, delta, expected)
    with pytest.raises(ValueError, match="delta must be of the mesh \\(16, 16, 30\\), not"):
        replace(good, delta=torch.ones(3, 3, 3))
    with pytest.raises(ValueError, match="floor must be between 0 and 1, not 0"):
        fit_amplitude(good, floor=0)
    with pytest.raises(ValueError, match="relative must be of redshift and sky, not \\['z'\\]"):
        fit_amplitude(good, relative=["z"])
    with pytest.raises(ValueError, match="there are no galaxies to fit the amplitude to"):
        fit_amplitude(replace(good, positions=places[:0]))
    with pytest.raises(ValueError, match="none of the galaxies to fit the amplitude to lies"):
        fit_amplitude(replace(good, expected=0 * expected))


# --- fields


def test_own_posteriors_make_the_field_that_kernels_make():
    # Galaxies in the middle of sight lines and of cells of photo-z, with one narrow class of cells.
    box = Box((24, 20, 120), (6, 5, 30), periodic=False)
    rng = np.random.default_rng(5)
    expected = torch.from_numpy(rng.uniform(0.5, 2, box.meshsize)).float()
    intensity = torch.from_numpy(rng.lognormal(0, 0.5, box.meshsize)).float()
    cells = np.stack([rng.integers(0, n, 400) for n in box.meshsize], 1)
    places = (cells + 0.5) * 4.0
    kernel = Kernel.of_redshifts(RedshiftError(0.02), EDGES)
    galaxies = OwnPlaces(
        box=box, positions=places, likelihood=lambda rows: kernel.matrix[cells[rows, 2]],
        expected=expected,
    )  # fmt: skip
    known = places[:10] + 0.7
    field = Field(expected, box, "counts")
    own = posterior_field(galaxies, Intensity(intensity), expected=field, known=known)
    painted = [paint_columns(places, box, power=power).values for power in (1, 2)]
    halves = [
        PhotoClass(share * painted[0], kernel, expected, squares=share * painted[1])
        for share in (0.3, 0.7)
    ]
    moved = redistribute_classes(halves, intensity, expected=field, known=known)
    torch.testing.assert_close(own.field.values, moved.field.values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(own.sigma, moved.sigma, rtol=1e-3, atol=1e-4)
    assert own.field.metadata == {"num_matched": 10, "num_photo_outside": 0}
    total = float(((own.field.values + 1) * expected).sum())
    assert total == pytest.approx(410, rel=1e-5)
    assert halves == []
    double = posterior_field(
        galaxies, Intensity(intensity), expected=field, known=known[:0], weights=np.full(400, 2.0)
    )
    assert float(((double.field.values + 1) * expected).sum()) == pytest.approx(800, rel=1e-5)


def test_classes_that_do_not_fit():
    ring = Box((24, 20, 120), (6, 5, 30))
    field = Field(torch.ones(6, 5, 30), ring, "counts")
    kernels = [Kernel.of_redshifts(RedshiftError(0.1), edges) for edges in (EDGES, EDGES[:-1])]
    classes = [PhotoClass(torch.ones(6, 5, k.num_photo), k) for k in kernels]
    for some in ([], classes):
        with pytest.raises(ValueError, match="classes must hold at least one class"):
            redistribute_classes(some, torch.ones(6, 5, 30), expected=field,
                                 known=np.zeros((0, 3)))  # fmt: skip
