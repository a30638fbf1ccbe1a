"""The photo-z error between cells, and what is conserved when galaxies are moved with it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from truez.mesh.box import Box
from truez.sightlines.conserve import (
    PhotoClass,
    Spread,
    _weights,
    information,
    redistribute,
    variance,
)
from truez.sightlines.kernel import Kernel
from truez.surveys.photoz import PhotozError

OPEN = Box((10, 10, 64), (2, 3, 16), periodic=False)
RING = Box((10, 10, 64), (2, 3, 16))


def random_columns(box: Box, kernel: Kernel, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A positive intensity and counts, on the sight lines of a box."""
    rng = np.random.default_rng(seed)
    nx, ny, _ = box.meshsize
    intensity = rng.lognormal(0, 1, (nx, ny, kernel.num_true)).astype(np.float32)
    counts = rng.poisson(2, (nx, ny, kernel.num_photo)).astype(np.float32)
    return torch.from_numpy(intensity), torch.from_numpy(counts)


def uniform_truth(kernel: Kernel, counts: torch.Tensor) -> torch.Tensor:
    """As many galaxies in every column, somewhere."""
    share = counts.sum(-1, keepdim=True) / kernel.num_true
    return share.expand(*counts.shape[:-1], kernel.num_true)


# --- the kernel


@pytest.mark.parametrize("width", [0.5, 7.5, 35.0, 400.0, 999.0, 1001.0, 1e6])
def test_the_kernel_is_the_gaussian_integrated_over_both_cells(width):
    cell = 3.0
    box = Box((3, 3, 60 * cell), (1, 1, 60), periodic=False)
    matrix = Kernel.of(PhotozError(width * cell), box).matrix
    for distance in (0, 1, 4, 30):
        # The distance of two places, each even in its cell, is a triangle.
        expected, _ = quad(
            lambda t, d=distance: (1 - abs(t)) * norm.pdf(d + t, scale=width),
            -1, 1, points=[0], epsabs=0,
        )  # fmt: skip
        for found in (matrix[30, 30 - distance], matrix[25, 25 + distance]):
            assert float(found) == pytest.approx(expected, rel=2e-6, abs=1e-38)


def test_an_error_much_smaller_than_a_cell_crosses_its_faces():
    # Half the mean distance of a normal variable, out of each end.
    crossing = 0.01 / np.sqrt(2 * np.pi)
    column = Kernel.of(PhotozError(0.04), RING).matrix[:, 5]
    np.testing.assert_allclose(column[3:8], [0, crossing, 1 - 2 * crossing, crossing, 0], rtol=1e-6)


def test_the_kernel_is_what_the_mock_scatters():
    rng = np.random.default_rng(2)
    error = PhotozError(9.0, 0.2)
    num = 400_000
    for box in (OPEN, RING):
        z = rng.uniform(20, 24, num)  # cell 5
        seen, _ = np.histogram(error.scatter(z, box, rng), box.edges(2))
        expected = num * Kernel.of(error, box).matrix[:, 5].double().numpy()
        assert np.abs((seen - expected) / np.sqrt(expected)).max() < 4.5


@given(width=st.floats(0, 1e4), outliers=st.floats(0, 0.9), cells=st.integers(1, 30),
       margin=st.integers(0, 40))  # fmt: skip
def test_the_kernel_is_a_probability(width, outliers, cells, margin):
    error = PhotozError(width, outliers)
    ring = Kernel.of(error, Box((1, 1, cells), (1, 1, cells))).matrix.double()
    assert (ring >= 0).all()
    np.testing.assert_allclose(ring.sum(0), 1, rtol=1e-6)
    closed = Box((1, 1, cells), (1, 1, cells), periodic=False)
    matrix = Kernel.of(error, closed, photo_margin=margin).matrix.double()
    assert matrix.shape == (cells + 2 * margin, cells)
    assert (matrix >= 0).all()
    assert (matrix.sum(0) <= 1 + 1e-6).all()
    # Every cell can be seen: K times a positive intensity is positive where the box is.
    assert (matrix[margin : margin + cells].sum(1) > 0).all()
    visible = matrix[margin : margin + cells].sum(1).numpy()
    np.testing.assert_allclose(visible, error.visible_fraction(closed), rtol=1e-4)
    wide = Kernel.of(error, closed, true_margin=margin)
    assert wide.matrix.shape == (cells, cells + 2 * margin)
    assert (wide.num_photo, wide.num_true, wide.num_cells) == (cells, cells + 2 * margin, cells)


def test_a_ring_wraps_and_an_open_end_loses():
    matrix = Kernel.of(PhotozError(8.0), RING).matrix
    assert float(matrix[0, 15]) == float(matrix[1, 0])
    leaked = 1 - Kernel.of(PhotozError(8.0), OPEN).matrix.sum(0)
    assert float(leaked[0]) == pytest.approx(0.4026, abs=1e-3)  # mean of Q(u / 2) for u in 0 to 1
    assert float(leaked[8]) < 1e-3


# --- redistribution


@pytest.mark.parametrize("box", [OPEN, RING], ids=["open", "ring"])
@pytest.mark.parametrize("outliers", [0.0, 0.1])
def test_galaxies_of_a_column_are_conserved_and_nothing_is_negative(box, outliers):
    for margin in (0,) if box.periodic else (0, 5):
        kernel = Kernel.of(PhotozError(12.0, outliers), box, photo_margin=margin)
        intensity, counts = random_columns(box, kernel)
        moved = redistribute(intensity, [PhotoClass(counts, kernel)])
        assert (moved >= 0).all()
        np.testing.assert_allclose(moved.sum(-1), counts.sum(-1), rtol=2e-6)
        for resampler in ("ngp", "cic", "tsc"):
            painted = Spread.of(resampler, kernel)(moved)
            np.testing.assert_allclose(painted.sum(-1), counts.sum(-1), rtol=2e-6)


@given(seed=st.integers(0, 10**6), width=st.floats(0, 100), outliers=st.floats(0, 0.9),
       periodic=st.booleans(), scale=st.floats(1e-3, 1e3))  # fmt: skip
def test_conservation_whatever_the_numbers(seed, width, outliers, periodic, scale):
    box = Box((10, 10, 64), (2, 3, 16), periodic=periodic)
    kernel = Kernel.of(PhotozError(width, outliers), box)
    intensity, counts = random_columns(box, kernel, seed)
    one = PhotoClass(counts, kernel)
    moved = redistribute(intensity, [one])
    assert (moved >= 0).all()
    np.testing.assert_allclose(moved.sum(-1), counts.sum(-1), rtol=1e-5)
    # Only the shape of the intensity along the column matters.
    np.testing.assert_allclose(redistribute(scale * intensity, [one]), moved, rtol=1e-4, atol=1e-6)


def test_exact_photo_z_stay_where_they_are():
    for box in (OPEN, RING):
        kernel = Kernel.of(PhotozError(0.0), box)
        intensity, counts = random_columns(box, kernel)
        moved = redistribute(intensity, [PhotoClass(counts, kernel)])
        np.testing.assert_allclose(moved, counts, rtol=1e-6)


def test_photo_z_that_know_nothing_leave_the_shape_of_the_intensity():
    for box in (OPEN, RING):
        kernel = Kernel.of(PhotozError(1e7), box)
        intensity, counts = random_columns(box, kernel)
        moved = redistribute(intensity, [PhotoClass(counts, kernel)])
        shape = intensity / intensity.sum(-1, keepdim=True)
        np.testing.assert_allclose(moved, shape * counts.sum(-1, keepdim=True), rtol=1e-5)


def test_an_even_intensity_leaves_the_photo_z_alone():
    for box in (OPEN, RING):
        kernel = Kernel.of(PhotozError(8.0), box)
        intensity, counts = random_columns(box, kernel)
        one = PhotoClass(counts, kernel, true_counts=uniform_truth(kernel, counts))
        alone = kernel.matrix / kernel.matrix.sum(1, keepdim=True)  # p(true | photo), flat prior
        moved = redistribute(torch.full_like(intensity, 3.0), [one])
        np.testing.assert_allclose(moved, counts @ alone, rtol=2e-6)
        nats = information(torch.full_like(intensity, 3.0), [one]) / counts.sum()
        assert abs(float(nats)) < 1e-6


def test_two_places_share_a_galaxy_by_their_odds():
    # All intensity in cells 4 and 7, three to one, and a galaxy seen in cell 5: with Gaussian
    # weights of 1 and 2 cells of distance.
    box = Box((4, 4, 40), (1, 1, 10), periodic=False)
    kernel = Kernel.of(PhotozError(6.0), box)
    intensity, counts = torch.zeros(1, 1, 10), torch.zeros(1, 1, 10)
    intensity[..., 4], intensity[..., 7], counts[..., 5] = 3.0, 1.0, 1.0
    near, far = (float(kernel.matrix[5, j]) for j in (4, 7))
    moved = redistribute(intensity, [PhotoClass(counts, kernel)])
    assert float(moved[0, 0, 4]) == pytest.approx(3 * near / (3 * near + far), rel=1e-6)
    assert float(moved[0, 0, 7]) == pytest.approx(far / (3 * near + far), rel=1e-6)
    assert float(moved.sum()) == pytest.approx(1, rel=1e-6)
    # The galaxy was in cell 4: gained over the flat prior, by hand.
    truth = torch.zeros(1, 1, 10)
    truth[..., 4] = 1.0
    nats = float(information(intensity, [PhotoClass(counts, kernel, true_counts=truth)]))
    flat = near / float(kernel.matrix[5].sum())
    assert nats == pytest.approx(np.log(3 * near / (3 * near + far) / flat), rel=1e-5)


def test_expected_counts_are_a_prior_and_no_information():
    kernel = Kernel.of(PhotozError(8.0), OPEN)
    intensity, counts = random_columns(OPEN, kernel)
    profile = torch.linspace(0.5, 2, 16)
    truth = uniform_truth(kernel, counts)
    one = PhotoClass(counts, kernel, expected=profile, true_counts=truth)
    full = PhotoClass(counts, kernel, expected=profile.expand(2, 3, 16), true_counts=truth)
    plain = PhotoClass(counts, kernel, true_counts=truth)
    moved = redistribute(intensity, [one])
    np.testing.assert_allclose(moved, redistribute(intensity * profile, [plain]), rtol=1e-6)
    np.testing.assert_allclose(moved, redistribute(intensity, [full]), rtol=1e-6)
    assert abs(float(information(torch.ones_like(intensity), [one]))) < 1e-4
    assert float(information(intensity, [one])) == pytest.approx(
        float(information(intensity, [full])), rel=1e-6
    )


def test_nothing_is_expected_where_a_mask_is():
    kernel = Kernel.of(PhotozError(2.0), OPEN)
    intensity, counts = random_columns(OPEN, kernel)
    expected = torch.ones(16)
    expected[:8] = 0
    # No galaxy comes from there, and none was seen further than an error from the rest.
    counts[..., :6] = 0
    truth = uniform_truth(kernel, counts) * expected * 2
    intensity.requires_grad_()
    one = PhotoClass(counts, kernel, expected=expected, true_counts=truth)
    moved = redistribute(intensity, [one])
    assert (moved[..., :8] == 0).all()
    np.testing.assert_allclose(moved.sum(-1).detach(), counts.sum(-1), rtol=2e-6)
    information(intensity, [one]).backward()
    assert torch.isfinite(intensity.grad).all()


def test_classes_share_an_intensity_and_add_up():
    sharp, blurred = (Kernel.of(PhotozError(s, f), RING) for s, f in ((2.0, 0.0), (20.0, 0.1)))
    intensity, first = random_columns(RING, sharp, 1)
    second = random_columns(RING, blurred, 2)[1]
    truth = uniform_truth(sharp, first)
    classes = [
        PhotoClass(first, sharp, true_counts=truth, squares=first),
        PhotoClass(second, blurred, true_counts=truth, squares=second),
    ]
    spread = Spread.of("cic", sharp)
    for function in (redistribute, information, lambda i, c: variance(i, c, spread)):
        parts = [function(intensity, [one]) for one in classes]
        np.testing.assert_allclose(function(intensity, classes), parts[0] + parts[1], rtol=1e-5)
    # One class cut in two is the same as one.
    halves = [PhotoClass(0.3 * first, sharp), PhotoClass(0.7 * first, sharp)]
    np.testing.assert_allclose(
        redistribute(intensity, halves), redistribute(intensity, classes[:1]), rtol=1e-5
    )


def test_gradients_are_those_of_finite_differences():
    kernel = Kernel.of(PhotozError(8.0, 0.1), OPEN)
    kernel = Kernel(kernel.matrix.double())
    intensity, counts = (x.double()[:1, :2] for x in random_columns(OPEN, kernel))
    one = PhotoClass(counts, kernel, true_counts=uniform_truth(kernel, counts))
    log_intensity = intensity.log().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: redistribute(x.exp(), [one]), log_intensity)
    assert torch.autograd.gradcheck(lambda x: information(x.exp(), [one]), log_intensity)


def test_the_true_intensity_carries_the_most_information():
    rng = np.random.default_rng(5)
    error = PhotozError(8.0)
    for box in (OPEN, RING):
        kernel = Kernel.of(error, box)
        intensity = torch.from_numpy(rng.lognormal(0, 1, 16).astype(np.float32))
        num = rng.poisson(intensity.numpy() * 3000)
        z = (np.repeat(np.arange(16), num) + rng.random(num.sum())) * 4
        seen = error.scatter(z, box, rng)
        inside = (seen >= 0) & (seen < 64)
        counts, truth = (
            torch.from_numpy(np.histogram(x[inside], 16, (0, 64))[0].astype(np.float32))
            for x in (seen, z)
        )
        one = PhotoClass(counts, kernel, true_counts=truth)
        best = float(information(intensity, [one])) / len(z)
        assert best > 0.05
        for other in (intensity**0.8, intensity**1.2, torch.roll(intensity, 1)):
            assert float(information(other, [one])) / len(z) < best
        # By galaxies: the mean of ln p(true cell | photo cell), less that of a flat prior.
        joint, flat = intensity * kernel.matrix, kernel.matrix
        cells = [(x[inside] // 4).astype(int) for x in (seen, z)]
        gain = (joint / joint.sum(1, keepdim=True)).log() - (flat / flat.sum(1, keepdim=True)).log()
        assert best == pytest.approx(float(gain[tuple(cells)].sum()) / len(z), rel=1e-3)


# --- what a resampler makes of it


def test_galaxies_anywhere_in_a_cell_are_painted_by_known_shares():
    ring, closed = (Kernel.of(PhotozError(1.0), box) for box in (RING, OPEN))
    expected = {"ngp": [0, 1, 0], "cic": [1 / 8, 3 / 4, 1 / 8], "tsc": [1 / 6, 2 / 3, 1 / 6]}
    for resampler, shares in expected.items():
        matrix = Spread.of(resampler, ring).matrix
        np.testing.assert_allclose(matrix[4:7, 5], shares, atol=1e-7)
        np.testing.assert_allclose(matrix[[15, 0, 1], 0], shares, atol=1e-7)
        np.testing.assert_allclose(matrix.sum(0), 1, rtol=1e-6)
        matrix = Spread.of(resampler, closed).matrix
        np.testing.assert_allclose(matrix[:2, 0], [1 - shares[0], shares[0]], atol=1e-7)
    np.testing.assert_allclose(Spread.of("cic", ring).squares[4:7, 5], [1 / 24, 7 / 12, 1 / 24])


@pytest.mark.parametrize("resampler", ["ngp", "cic", "tsc"])
def test_a_smooth_density_is_painted_with_the_window_of_the_resampler_alone(resampler):
    """The mean of painted galaxies of density 1 + cos k x, from its averages over cells."""
    num, mode = 64, 4
    k = 2 * math.pi * mode / num  # per cell
    spread = Spread.of(resampler, Kernel(torch.eye(num), periodic=True))
    phase = torch.from_numpy(np.cos(k * (np.arange(num) + 0.5)))
    averages = (np.sinc(k / 2 / np.pi) * phase).float()
    order = {"ngp": 1, "cic": 2, "tsc": 3}[resampler]
    right = np.sinc(k / 2 / np.pi) ** order * phase
    error = float((spread.painted(1 + averages) - 1 - right).abs().max())
    plain = float((spread(1 + averages) - 1 - right).abs().max())
    assert error < (1e-6 if resampler == "ngp" else k**4 / 100)
    if resampler != "ngp":
        assert plain > 5 * error


@given(seed=st.integers(0, 10**6), periodic=st.booleans(), num=st.integers(1, 12),
       steps=st.booleans())  # fmt: skip
def test_painted_counts_are_conserved_and_never_negative(seed, periodic, num, steps):
    rng = np.random.default_rng(seed)
    counts = torch.from_numpy(rng.exponential(size=(3, num)).astype(np.float32))
    expected = torch.from_numpy(rng.exponential(size=(3, num)).astype(np.float32))
    if steps:  # where nothing is expected there are no galaxies
        empty = torch.from_numpy(rng.random((3, num)) < 0.3)
        expected[empty], counts[empty] = 0, 0
    spread = Spread.of("cic", Kernel(torch.eye(num), periodic=periodic))
    for given_expected in (None, expected):
        found = spread.painted(counts, expected=given_expected)
        np.testing.assert_allclose(found.sum(-1), counts.sum(-1), rtol=1e-5, atol=1e-6)
        assert float(found.min()) >= -1e-6


def test_expected_counts_with_a_step_are_painted_as_their_mean_is():
    """Galaxies of an even density below a step: none flows over it."""
    spread = Spread.of("cic", Kernel(torch.eye(16)))
    counts = torch.zeros(16)
    counts[:8] = 5.0
    found = spread.painted(counts, expected=counts)
    np.testing.assert_allclose(found, spread(counts), rtol=1e-6)


@pytest.mark.parametrize("box", [OPEN, RING, Box((4, 4, 16), (1, 1, 4)), Box((4, 4, 8), (1, 1, 2))],
                         ids=["open", "ring", "ring of 4", "ring of 2"])  # fmt: skip
@pytest.mark.parametrize("resampler", ["ngp", "cic", "tsc"])
def test_the_variance_is_that_of_draws(box, resampler):
    rng = np.random.default_rng(1)
    num = box.meshsize[2]
    kernel = Kernel.of(PhotozError(8.0), box)
    intensity = torch.from_numpy(rng.lognormal(0, 1, num).astype(np.float32))
    weights = np.array([0.3, 1.0, 0.5])  # of three galaxies across the sky, in one column
    photo = np.array([0, num // 2, num - 1])
    counts, squares = (np.bincount(photo, weights**p, num).astype(np.float32) for p in (1, 2))
    one = PhotoClass(torch.from_numpy(counts), kernel, squares=torch.from_numpy(squares))
    spread = Spread.of(resampler, kernel)
    # Every galaxy drawn on its own from p(true | photo), with its place in the cell.
    joint = (intensity * kernel.matrix).double().numpy()[photo]
    total = np.zeros((num, 40_000))
    for weight, p in zip(weights, joint / joint.sum(1, keepdims=True), strict=True):
        place = rng.choice(num, total.shape[1], p=p) + rng.random(total.shape[1])
        total += weight * _weights(place, num, resampler, box.periodic)
    mean = spread(redistribute(intensity, [one]))
    np.testing.assert_allclose(total.mean(1), mean, atol=0.02)
    np.testing.assert_allclose(total.var(1), variance(intensity, [one], spread), atol=0.006)


def test_the_variance_without_a_resampler_is_the_sum_of_p_times_not_p():
    kernel = Kernel.of(PhotozError(8.0), OPEN)
    intensity, counts = random_columns(OPEN, kernel)
    one = PhotoClass(counts, kernel, squares=counts)
    joint = intensity[..., None, :] * kernel.matrix
    p = joint / joint.sum(-1, keepdim=True)
    expected = (counts[..., None] * p * (1 - p)).sum(-2)
    np.testing.assert_allclose(
        variance(intensity, [one], Spread.of("ngp", kernel)), expected, rtol=1e-4
    )


# --- what is refused


def _call(function, **changes):
    kernel = Kernel.of(PhotozError(8.0), OPEN)
    intensity, counts = random_columns(OPEN, kernel)
    one = PhotoClass(**{"counts": counts, "kernel": kernel, **changes.pop("one", {})})
    return function(changes.get("intensity", intensity), [one], *changes.get("more", ()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Kernel.of(PhotozError(1.0), RING, photo_margin=2),
            "photo_margin must be 0 cells in a periodic box, not 2",
        ),
        (
            lambda: Kernel.of(PhotozError(1.0), OPEN, true_margin=-1),
            "true_margin must be >= 0 cells in a closed box, not -1",
        ),
        (
            lambda: _call(redistribute, one={"counts": torch.ones(2, 3, 8)}),
            "counts of shape (2, 3, 8) must have sight lines of 16 cells, as the kernel has",
        ),
        (
            lambda: _call(redistribute, one={"squares": torch.ones(2, 2, 16)}),
            "squares of shape (2, 2, 16) must have sight lines of 16 cells, as the kernel has",
        ),
        (
            lambda: _call(redistribute, intensity=torch.ones(2, 3, 8)),
            "intensity must have sight lines of 16 cells, as the kernel has, not 8",
        ),
        (lambda: _call(information), "information needs the true_counts of every class"),
        (
            lambda: _call(variance, more=(Spread.of("cic", Kernel.of(PhotozError(1.0), OPEN)),)),
            "variance needs the squares of every class",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=r".") as caught:
        call()
    assert str(caught.value) == message
