"""The Wiener filter of uneven surveys: dense solves, the Fourier filter, and Gaussian fields."""

import warnings

import numpy as np
import pytest
import torch

from truez.linear.counts import CellCounts
from truez.linear.local import local_wiener_spec
from truez.linear.model import LinearModel
from truez.linear.uneven import (
    FilterSettings,
    uneven_wiener,
    uneven_wiener_spec,
)
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import wavevectors
from truez.support.notes import Note
from truez.surveys.photoz import PhotozError

DOUBLE = torch.float64


def model(error: float = 20.0, coherence: float = 0.95, **changes) -> LinearModel:
    k = np.geomspace(1e-3, 10, 200)
    power = 2e4 * (k / 0.02) / (1 + (k / 0.02) ** 2.5)
    settings = {
        "n_spec": 1e-3, "n_photo": 1.85e-2, "n_both": 1e-3, "error": PhotozError(error),
        "beta_spec": 0.4, "beta_photo": 0.6, "fog_spec": 3.0, "fog_photo": 3.0, "resampler": "ngp",
    }  # fmt: skip
    one, two = 1.7, 1.15
    return LinearModel.from_spectra(
        k, one**2 * power, coherence * one * two * power, two**2 * power, **{**settings, **changes}
    )


def ring(one: LinearModel, box: Box) -> torch.Tensor:
    """The matrix along the sight lines of a periodic box with exactly the model's phi."""
    num = box.meshsize[2]
    k = wavevectors(box, dtype=DOUBLE)[2].flatten()
    shifts = torch.fft.irfft(one.error.characteristic(k), num)
    cells = torch.arange(num)
    return shifts[(cells[:, None] - cells) % num]


def blurred(num_photo: int, num_true: int, cells: float) -> torch.Tensor:
    """A matrix of photo-z whose error grows along the sight line and that lose some galaxies."""
    photo = torch.linspace(0, num_true - 1, num_photo, dtype=DOUBLE)[:, None]
    true = torch.arange(num_true, dtype=DOUBLE)
    width = cells * (1 + true / num_true)
    matrix = torch.exp(-0.5 * ((photo - true) / width) ** 2)
    return 0.9 * matrix / matrix.sum(0)


def full_signal(one: LinearModel, box: Box) -> dict[str, torch.Tensor]:
    """S of the cells of a small periodic box as dense matrices, from its modes one by one."""
    kx, ky, kz = (
        2 * np.pi * np.fft.fftfreq(n, c) for n, c in zip(box.meshsize, box.cellsize, strict=True)
    )
    k_vector = np.stack(np.meshgrid(kx, ky, kz, indexing="ij"), -1).reshape(-1, 3)
    k = np.sqrt((k_vector**2).sum(1))
    window = np.prod(np.sinc(k_vector * np.array(box.cellsize) / (2 * np.pi)), axis=1) ** 2
    powers = one.powers(*(torch.from_numpy(x) for x in (k, k_vector[:, 2], window)))
    places = np.stack(np.meshgrid(*(box.centers(a) for a in range(3)), indexing="ij"), -1)
    phase = np.exp(1j * places.reshape(-1, 3) @ k_vector.T)
    result = {}
    for name, power in zip(("ss", "sp", "pp"), powers, strict=True):
        weights = np.where(k > 0, power.numpy(), 0.0) / box.volume
        result[name] = torch.from_numpy(((phase * weights) @ phase.conj().T).real.copy())
    return result


def uneven_expected(box: Box, level: float, seed: int = 0, holes: float = 0.2) -> torch.Tensor:
    """Expected counts that fall by 20 along the line of sight, with sight lines of none."""
    rng = np.random.default_rng(seed)
    nx, ny, nz = box.meshsize
    mask = torch.from_numpy((rng.random((nx, ny, 1)) > holes).astype(float))
    return level * torch.exp(-torch.linspace(0, np.log(20), nz, dtype=DOUBLE)) * mask


TINY = Box((40, 30, 48), (4, 3, 6))


def test_the_spectroscopic_filter_is_the_dense_solution():
    one = model()
    expected = uneven_expected(TINY, 3.0)
    counts = torch.poisson(expected, generator=torch.Generator().manual_seed(1))
    n_photo = 10 * expected + 0.1
    found = uneven_wiener_spec(
        one,
        TINY,
        CellCounts(counts, expected),
        photo_expected=n_photo,
        common=0.7,
        settings=FilterSettings(tolerance=1e-10),
    )
    signal, n = full_signal(one, TINY), torch.diag(expected.flatten())
    left = torch.linalg.solve(torch.eye(72, dtype=DOUBLE) + n @ signal["ss"],
                              (counts - expected).flatten())  # fmt: skip
    torch.testing.assert_close(found.spec.flatten(), signal["ss"] @ left, rtol=0, atol=1e-8)
    photo = signal["sp"].T @ left
    torch.testing.assert_close(found.photo.flatten(), photo, rtol=0, atol=1e-8)
    own = 0.7 * (counts - expected * (1 + found.spec)) / n_photo
    torch.testing.assert_close(found.target, found.photo + own, rtol=0, atol=1e-8)


@pytest.mark.parametrize("matched", [True, False])
def test_the_filter_of_both_is_the_dense_solution(matched):
    # From the covariance of the data and its inverse, which the module never has.
    one, common = model(), 0.6
    n_s, n_u = uneven_expected(TINY, 3.0), uneven_expected(TINY, 20.0, holes=0.0) + 0.3
    n_p = n_u + common * n_s
    kernel = blurred(8, 6, 1.0)
    generator = torch.Generator().manual_seed(2)
    c_s = torch.poisson(n_s, generator=generator)
    n_seen = n_u if matched else n_p
    c_u = torch.poisson(n_seen @ kernel.T, generator=generator)
    found = uneven_wiener(
        one, TINY, CellCounts(c_s, n_s), [CellCounts(c_u, n_seen, kernel)],
        common=common, matched=matched, parts=True, settings=FilterSettings(tolerance=1e-10),
    )  # fmt: skip
    signal = full_signal(one, TINY)
    whole = torch.cat([torch.cat([signal["ss"], signal["sp"]], 1),
                       torch.cat([signal["sp"].T, signal["pp"]], 1)])  # fmt: skip
    smear = torch.block_diag(*[kernel] * 12)
    s, p, u = (torch.diag(n.flatten()) for n in (n_s, n_p, n_u))
    # Data: counts of both as they are, with the noise that common galaxies share.
    mean_u = smear @ torch.cat([-common * s, p], 1)
    noise_su, noise_t = torch.zeros(72, 96, dtype=DOUBLE), u @ smear.T
    if not matched:
        mean_u = smear @ torch.cat([0 * s, p], 1)
        noise_su, noise_t = common * s @ smear.T, p @ smear.T
    response = torch.cat([torch.cat([s, 0 * s], 1), mean_u])
    noise = torch.cat([
        torch.cat([s, noise_su], 1),
        torch.cat([noise_su.T, torch.diag((n_seen @ kernel.T).flatten())], 1),
    ])  # fmt: skip
    covariance = response @ whole @ response.T + noise
    data = torch.cat([(c_s - n_s).flatten(), (c_u - n_seen @ kernel.T).flatten()])
    there = torch.diag(covariance) > 0
    solved = torch.zeros_like(data)
    solved[there] = torch.linalg.solve(covariance[there][:, there], data[there])
    fields = whole @ response.T @ solved
    torch.testing.assert_close(found.spec.flatten(), fields[:72], rtol=0, atol=1e-7)
    torch.testing.assert_close(found.photo.flatten(), fields[72:], rtol=0, atol=1e-7)
    own = torch.cat([common * s, noise_t], 1) @ solved
    target = fields[72:] + own / n_p.flatten()
    torch.testing.assert_close(found.target.flatten(), target, rtol=0, atol=1e-7)
    torch.testing.assert_close(found.from_spec + found.from_photo, found.photo)
    if matched:
        data[72:] = 0
        solved[there] = torch.linalg.solve(covariance[there][:, there], data[there])
        part = (whole @ response.T @ solved)[72:]
        torch.testing.assert_close(found.from_spec.flatten(), part, rtol=0, atol=1e-7)


def test_classes_of_one_error_are_one_class():
    one = model()
    n_s, n_u = uneven_expected(TINY, 3.0), uneven_expected(TINY, 20.0)
    kernel = blurred(6, 6, 1.0)
    generator = torch.Generator().manual_seed(3)
    spec = CellCounts(torch.poisson(n_s, generator=generator), n_s)
    parts = [torch.poisson(share * n_u @ kernel.T, generator=generator) for share in (0.3, 0.7)]
    split = [CellCounts(c, share * n_u, kernel) for c, share in zip(parts, (0.3, 0.7), strict=True)]
    two = uneven_wiener(one, TINY, spec, split, settings=FilterSettings(tolerance=1e-10))
    whole = uneven_wiener(
        one,
        TINY,
        spec,
        [CellCounts(sum(parts), n_u, kernel)],
        settings=FilterSettings(tolerance=1e-10),
    )
    torch.testing.assert_close(two.target, whole.target, rtol=0, atol=1e-8)


@pytest.mark.parametrize("n_both", [0.0, 5e-4, 1e-3])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_an_even_periodic_box_has_the_fourier_filter(n_both, dtype):
    box = Box((120, 100, 160), (24, 20, 32))
    one = model(n_both=n_both)
    cell = box.volume / box.num_cells
    generator = torch.Generator().manual_seed(4)
    clumps = 0.5 * torch.randn(box.meshsize, generator=generator, dtype=DOUBLE)
    levels = [n * cell for n in (one.n_spec, one.n_photo)]
    spec, photo = (torch.poisson(n * (1 + clumps).clamp(min=0), generator=generator)
                   for n in levels)  # fmt: skip
    fields = [Field(c / n - 1, box) for c, n in zip((spec, photo), levels, strict=True)]
    even = [torch.full((1, 1, 1), n, dtype=dtype) for n in levels]
    spec_counts = CellCounts(spec.to(dtype), even[0])
    settings = {
        "common": n_both / one.n_spec,
        "settings": FilterSettings(tolerance=1e-6),
    }
    both = uneven_wiener(
        one, box, spec_counts, [CellCounts(photo.to(dtype), even[1], ring(one, box).to(dtype))],
        matched=False, **settings,
    )  # fmt: skip
    alone = uneven_wiener_spec(one, box, spec_counts, photo_expected=even[1], **settings)
    for found, use in ((both, "both"), (alone, "spec")):
        fourier = one.wiener(spec=fields[0], photo=fields[1], use=use).values
        # Fourier sets the mean to zero; here it is that of the counts over those expected.
        difference = found.target - found.target.mean() - fourier
        assert found.residual <= 1e-6
        assert float(difference.square().mean().sqrt()) < 1e-5 * float(fourier.std())
    assert alone.iterations <= 2
    assert repr(both).endswith(f", {both.iterations} iterations to a residual of "
                               f"{both.residual:.1e}")  # fmt: skip
    field = both.field(box)
    assert field.metadata["iterations"] == both.iterations > 10
    assert field.metadata["residual"] == both.residual


def gaussian_field(one: LinearModel, box: Box, generator: torch.Generator) -> torch.Tensor:
    """A field of the power P_s, which is that of both samples at full coherence and equal bias."""
    modes = torch.fft.rfftn(torch.randn(box.meshsize, generator=generator, dtype=DOUBLE))
    kx, ky, kz = wavevectors(box, dtype=DOUBLE)
    k = torch.sqrt(kx**2 + ky**2 + kz**2)
    window = torch.ones_like(k)
    for wave, cell in zip((kx, ky, kz), box.cellsize, strict=True):
        window = window * torch.sinc(wave * cell / (2 * np.pi)) ** 2
    power = torch.where(k > 0, one.powers(k, kz.expand(k.shape), window)[0], 0.0)
    modes *= torch.sqrt(power * box.num_cells / box.volume)
    return torch.fft.irfftn(modes, s=box.meshsize)


def faint() -> LinearModel:
    """A model whose fields hardly ever reach -1, so that galaxies can be drawn from them."""
    k = np.geomspace(1e-3, 10, 200)
    power = 600 * (k / 0.02) / (1 + (k / 0.02) ** 2.5)
    return LinearModel.from_spectra(
        k, power, power, power, n_spec=0.1, n_photo=0.1, n_both=0.0, error=PhotozError(10.0)
    )


@pytest.mark.medium
def test_the_error_is_that_of_the_posterior():
    one = faint()
    generator = torch.Generator().manual_seed(6)
    expected = uneven_expected(TINY, 40.0, seed=3)
    signal = full_signal(one, TINY)["ss"]
    n = torch.diag(expected.flatten())
    posterior = signal - signal @ n @ torch.linalg.solve(
        torch.eye(72, dtype=DOUBLE) + signal @ n, signal
    )
    total, num = torch.zeros(TINY.meshsize, dtype=DOUBLE), 500
    for _ in range(num):
        delta = gaussian_field(one, TINY, generator)
        assert float(delta.min()) > -1
        counts = torch.poisson(expected * (1 + delta), generator=generator)
        found = uneven_wiener_spec(
            one, TINY, CellCounts(counts, expected), settings=FilterSettings(tolerance=1e-6)
        )
        total += (found.spec - delta) ** 2
    ratio = (total / num).flatten() / torch.diag(posterior)
    # Each cell scatters by sqrt(2 / num) = 6%.
    assert float(ratio.mean()) == pytest.approx(1, abs=0.03)
    assert float(ratio[expected.flatten() == 0].mean()) == pytest.approx(1, abs=0.06)
    assert float((ratio - 1).abs().max()) < 0.3


def test_uneven_counts_need_an_uneven_filter():
    box, one = Box(192, 48), faint()
    generator = torch.Generator().manual_seed(7)
    delta = gaussian_field(one, box, generator)
    expected = uneven_expected(box, 80.0, holes=0.07)
    counts = torch.poisson(expected * (1 + delta).clamp(min=0), generator=generator)
    spec = CellCounts(counts, expected)
    best = uneven_wiener_spec(one, box, spec, settings=FilterSettings(tolerance=1e-6)).spec
    mse = float((best - delta).square().mean())
    assert mse < 0.7 * float(delta.square().mean())

    def excess(field: torch.Tensor) -> float:
        return float((field - delta).square().mean()) / mse - 1

    assert abs(excess(uneven_wiener_spec(one, box, spec).spec)) < 2e-3
    local = local_wiener_spec(one, box, spec)
    assert 0 < excess(local.spec) < 0.03
    assert np.isnan(local.residual)
    assert repr(local) == (
        "Wiener filter of uneven counts on (48, 48, 48) cells, local approximation"
    )
    # One filter for all cells, of counts over those expected, and of counts over their mean.
    inverse = float((1 / expected[expected > 0]).mean())
    field = torch.where(expected > 0, counts / expected.clamp(min=1e-9) - 1, 0.0)
    assert excess(mean_filter(one, box, field, inverse)) > 0.1
    ignored = counts / counts.mean() - 1
    assert excess(mean_filter(one, box, ignored, 1 / float(counts.mean()))) > 1


def mean_filter(
    one: LinearModel, box: Box, field: torch.Tensor, noise_per_cell: float
) -> torch.Tensor:
    """The Fourier filter of an overdensity whose noise is taken to be even."""
    density = box.num_cells / box.volume / noise_per_cell
    even = LinearModel.from_spectra(
        np.exp(one.log_k), *(np.exp(t) for t in (one.log_spec, one.log_cross, one.log_photo)),
        n_spec=density, n_photo=density, n_both=0.0, error=one.error, resampler="ngp",
    )  # fmt: skip
    return even.wiener(spec=Field(field, box), photo=Field(field, box), use="spec").values


def test_the_local_approximation_of_even_counts_is_exact():
    box, one = Box(64, 16), model()
    counts = torch.poisson(torch.full(box.meshsize, 0.3, dtype=DOUBLE),
                           generator=torch.Generator().manual_seed(8))  # fmt: skip
    spec = CellCounts(counts, torch.full((1, 1, 1), 0.3, dtype=DOUBLE))
    exact = uneven_wiener_spec(one, box, spec, settings=FilterSettings(tolerance=1e-10))
    local = local_wiener_spec(one, box, spec)
    torch.testing.assert_close(local.spec, exact.spec, rtol=0, atol=1e-8)
    torch.testing.assert_close(local.photo, exact.photo, rtol=0, atol=1e-8)


def test_faces_of_a_closed_box_do_not_touch():
    size, mesh = (80, 80, 300), (20, 20, 75)
    expected = torch.full((1, 1, 1), 2.0)
    counts = torch.full(mesh, 2.0)
    counts[:, :, 0] = 6.0
    ends = {}
    for periodic in (True, False):
        box = Box(size, mesh, periodic=periodic)
        found = uneven_wiener_spec(model(), box, CellCounts(counts, expected)).spec
        assert found.shape == mesh
        ends[periodic] = float((found[:, :, -1] / found[:, :, 0]).mean())
    assert abs(ends[False]) < 0.02
    assert ends[True] > 0.1


def test_where_nothing_is_expected_neighbours_are_read():
    expected = torch.ones(20, 20, 20)
    expected[8:12] = 0
    generator = torch.Generator().manual_seed(9)
    counts = torch.poisson(expected, generator=generator)
    counts[:8] *= 1.5
    counts[12:] *= 0.5
    found = uneven_wiener_spec(model(), Box(80, 20), CellCounts(counts, expected)).spec
    assert torch.isfinite(found).all()
    assert float(found[8].mean()) > 0 > float(found[11].mean()) > -1


def test_a_survey_without_galaxies_and_too_few_iterations():
    box, one = Box(40, 8), model()
    expected = uneven_expected(box, 1.0)
    with pytest.warns(Note, match="stopped after 2 iterations at a residual of"):
        uneven_wiener_spec(
            one, box, CellCounts(torch.zeros(8, 8, 8, dtype=DOUBLE), expected),
            settings=FilterSettings(tolerance=1e-6, max_iterations=2),
        )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exact = uneven_wiener_spec(one, box, CellCounts(expected, expected))
    assert (exact.iterations, exact.residual) == (0, 0.0)
    assert (exact.target == 0).all()


def test_bad_counts():
    box, one = Box(40, 8), model()
    good = torch.ones(8, 8, 8)
    kernel = torch.eye(8)

    def spec(counts=good, expected=good):
        return CellCounts(counts, expected)

    refused = {
        "spec has counts of shape \\(8, 8, 7\\), which must be \\(8, 8, 8\\) as its box": spec(
            good[..., :7]
        ),
        "spec has expected counts of shape \\(8, 7\\), which do not fit a mesh": spec(
            expected=torch.ones(8, 7)
        ),
        "the counts of spec must be finite and not negative, and there is -1": spec(-good),
        "the expected counts of spec must be finite and not negative, and there is nan": spec(
            expected=good * float("nan")
        ),
        "the expected counts of spec must be finite and not negative, and there is inf": spec(
            expected=good / 0
        ),
        "spec expects no galaxies in any cell": spec(expected=0 * good),
        "spec has a matrix": CellCounts(good, good, kernel),
    }
    for message, counts in refused.items():
        for call in (uneven_wiener_spec, local_wiener_spec):
            with pytest.raises(ValueError, match=message):
                call(one, box, counts)
    photo = CellCounts(good, good, kernel)
    for message, classes, settings in (
        ("the matrix of photo class 2 must have a column for each of the 8 cells",
         [photo, CellCounts(good, good, torch.ones(8, 7))], {}),
        ("photo must hold at least one class of galaxies, each with a matrix", [], {}),
        ("photo must hold at least one class of galaxies, each with a matrix", [spec()], {}),
        ("photo has 2 classes of galaxies and matched is False", [photo] * 2, {"matched": False}),
        ("spectroscopic galaxies are 100% of the photometric ones", [photo], {"matched": False}),
        ("common must be a share from 0 to 1, not 1.5", [photo], {"common": 1.5}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            uneven_wiener(one, box, spec(), classes, **settings)
    with pytest.raises(ValueError, match="tolerance must be between 0 and 1, not 1"):
        FilterSettings(tolerance=1)
    with pytest.raises(ValueError, match="resampler must be ngp, whose noise"):
        FilterSettings(resampler="cic")
    with pytest.raises(ValueError, match="max_iterations must be at least 1, not 0"):
        FilterSettings(max_iterations=0)
    with pytest.raises(ValueError, match="num_levels must be at least 2, not 1"):
        local_wiener_spec(one, box, spec(), num_levels=1)
