"""Spectra of fields whose power is known."""

import numpy as np
import pytest
import torch

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import irfft, rfft, wavevectors
from truez.mesh.painting import paint
from truez.statistics.power import catalog_power, compare, compare_2d, correlation, power, power_mu


def white(box: Box, seed: int) -> Field:
    values = torch.randn(box.meshsize, generator=torch.Generator().manual_seed(seed))
    return Field(values, box, "delta")


def filtered(field: Field, amplitude) -> Field:
    """The field with its modes times ``amplitude(k, mu)``."""
    kx, ky, kz = wavevectors(field.box, dtype=torch.float64)
    k = torch.sqrt(kx**2 + ky**2 + kz**2)
    mu = kz / k.clamp(min=1e-12)
    modes = rfft(field.values) * amplitude(k, mu)
    return Field(irfft(modes.to(torch.complex64), field.box.meshsize), field.box, "delta")


@pytest.mark.parametrize("mesh", [(48, 48, 48), (49, 40, 45)])
def test_white_noise_is_flat_with_the_scatter_of_its_modes(mesh):
    box = Box((400.0, 300.0, 350.0), mesh)
    level = box.volume / box.num_cells
    scatter = []
    for seed in range(4):
        result = power(white(box, seed))
        scatter.append((result.poles[0] / level - 1) * np.sqrt(result.nmodes / 2))
        for ell in (2, 4):
            error = level * np.sqrt(2 * (2 * ell + 1) / result.nmodes)
            # Few modes are not isotropic: leave out the first bins.
            scatter.append((result.poles[ell] / error)[3:])
    pull = np.concatenate(scatter)
    assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
    assert abs(pull.std() - 1) < 4 / np.sqrt(2 * pull.size)


def test_poisson_catalogue_has_shot_noise_only():
    box = Box(200.0, 48)
    pulls = []
    for seed in range(3):
        random = np.random.default_rng(seed)
        positions = random.random((20000, 3)) * 200
        weights = random.random(20000) + 0.2
        result = catalog_power(positions, box, weights=weights)
        assert result.shotnoise == pytest.approx(
            8e6 * (weights**2).sum() / weights.sum() ** 2, rel=1e-6
        )
        pulls.append((result.poles[0] / result.shotnoise - 1) * np.sqrt(result.nmodes / 2))
        total = (result.poles[0] * result.nmodes).sum() / result.nmodes.sum()
        # Even aliases of TSC remain: 0.3% on average, all of it near the Nyquist wavenumber.
        assert total / result.shotnoise == pytest.approx(1, abs=0.012)
    pull = np.concatenate(pulls)
    assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
    assert 0.8 < pull.std() < 1.25


def unit_modes(box: Box, seed: int) -> Field:
    """Modes of random phase that all have |delta_k|^2 = 1 / V: power 1, with no scatter at all."""
    modes = rfft(white(box, seed).values.double())
    modes /= modes.abs() * box.volume**0.5
    modes[0, 0, 0] = 0
    return Field(irfft(modes, box.meshsize).float(), box, "delta")


@pytest.mark.parametrize("mesh", [(64, 64, 64), (63, 60, 65)])
def test_kaiser_multipoles(mesh):
    beta, box = 0.5, Box(1000.0, mesh)
    field = filtered(unit_modes(box, 5), lambda k, mu: 1 + beta * mu**2)
    # What the modes of a shell, which is not quite isotropic, have on average.
    axes = [2 * np.pi * np.fft.fftfreq(n, 1000 / n) for n in mesh]
    kx, ky, kz = np.meshgrid(*axes, indexing="ij")
    k = np.sqrt(kx**2 + ky**2 + kz**2)
    mu = kz / np.where(k > 0, k, 1)
    result = power(field, edges=np.linspace(0.05, 0.18, 6))
    for ell, pole in result.poles.items():
        for i, value in enumerate(pole):
            shell = mu[(k >= result.edges[i]) & (k < result.edges[i + 1])]
            legendre = np.polynomial.Legendre.basis(ell)(shell)
            expected = ((2 * ell + 1) * legendre * (1 + beta * shell**2) ** 2).mean()
            assert value == pytest.approx(expected, abs=1e-4)
    # And in the continuum (Hamilton 1998, eq. 4.60).
    whole = power(field, edges=[0.05, 0.18])
    assert whole.poles[0][0] == pytest.approx(1 + 2 / 3 * beta + beta**2 / 5, abs=0.005)
    assert whole.poles[2][0] == pytest.approx(4 / 3 * beta + 4 / 7 * beta**2, abs=0.01)
    assert whole.poles[4][0] == pytest.approx(8 / 35 * beta**2, abs=0.01)


def test_kaiser_wedges():
    beta, box = 0.5, Box((1000.0, 800.0, 900.0), (96, 80, 90))
    field = filtered(white(box, 6), lambda k, mu: 1 + beta * mu**2)
    wedges = power_mu(field, edges=[0.1, 0.25], num_mu=5)
    expected = (1 + beta * wedges.mu**2) ** 2 * box.volume / box.num_cells
    pull = (wedges.power / expected - 1) * np.sqrt(wedges.nmodes / 2)
    assert (np.abs(pull) < 4).all()


def test_r_and_transfer_of_a_field_with_noise():
    box = Box(500.0, 64)
    truth = filtered(white(box, 1), lambda k, mu: 1 / (1 + (k / 0.1) ** 2))
    noisy = Field(0.7 * truth.values + 0.1 * white(box, 2).values, box, "delta")
    result = compare(noisy, truth=truth)
    ratio = 0.01 * box.volume / box.num_cells / (0.49 * result.power_tt)
    expected_r, expected_t = 1 / np.sqrt(1 + ratio), 0.7 * np.sqrt(1 + ratio)
    error = (1 - expected_r**2) / np.sqrt(result.nmodes / 2)
    assert (np.abs(result.r - expected_r) < 4 * error).all()
    np.testing.assert_allclose(result.transfer, expected_t, rtol=0.06)
    whole = compare(noisy, truth=truth, edges=[0.3, 0.4])
    ratio = 0.01 * box.volume / box.num_cells / (0.49 * whole.power_tt)
    np.testing.assert_allclose(whole.r, 1 / np.sqrt(1 + ratio), rtol=0.01)
    np.testing.assert_allclose(whole.transfer, 0.7 * np.sqrt(1 + ratio), rtol=0.01)


def test_photometric_smearing_is_seen_along_the_line_of_sight_only():
    box, sigma = Box(500.0, 64), 8.0
    truth = white(box, 3)
    smeared = filtered(truth, lambda k, mu: torch.exp(-0.5 * (k * mu * sigma) ** 2))
    result = compare_2d(smeared, truth=truth)
    inside = result.nmodes > 0
    np.testing.assert_allclose(result.r[inside], 1, rtol=1e-5)
    expected = np.exp(-0.5 * (result.k_par * sigma) ** 2)
    bright = inside & (expected > 1e-3)
    np.testing.assert_allclose(result.transfer[bright], expected[bright], rtol=1e-4)


@pytest.mark.medium
def test_clumps_have_their_correlation_function():
    # A field of clumps of Gaussian profile: xi(r) is a Gaussian of twice the variance.
    box, radius = Box(256.0, 64), 10.0
    field = white(box, 4).smooth(radius)
    result = correlation(field, edges=np.arange(6, 42, 4.0))
    cell = box.volume / box.num_cells
    expected = cell * np.exp(-((result.r / (2 * radius)) ** 2)) / (4 * np.pi * radius**2) ** 1.5
    np.testing.assert_allclose(result.xi, expected, atol=0.06 * expected[0])


def test_interlacing_brings_poisson_power_to_its_level_near_nyquist():
    box = Box(100.0, 24)
    positions = np.random.default_rng(8).random((30000, 3)) * 100
    edges = np.array([0.8, 1.0]) * box.nyquist
    plain = power(paint(positions, box, "cic"), edges=edges, compensate=True)
    interlaced = catalog_power(positions, box, resampler="cic", edges=edges)
    # Without interlacing all aliases of the shot noise are there: the product over the axes of
    # 1 - 2/3 sin^2(k cell / 2) (Jing 2005, eq. 20), over the window squared.
    index = np.fft.fftfreq(24) * 24
    axis = (1 - 2 / 3 * np.sin(np.pi * index / 24) ** 2) / np.sinc(index / 24) ** 4
    aliased = axis[:, None, None] * axis[:, None] * axis
    k = np.sqrt(index[:, None, None] ** 2 + index[:, None] ** 2 + index**2)
    expected = aliased[(k >= 0.8 * 12) & (k < 12)].mean()
    error = np.sqrt(2 / plain.nmodes[0])
    assert expected > 1.15
    assert plain.poles[0][0] / plain.shotnoise == pytest.approx(expected, rel=4 * error)
    assert interlaced.poles[0][0] / interlaced.shotnoise == pytest.approx(1, abs=0.02 + 4 * error)
