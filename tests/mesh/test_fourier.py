"""Fourier conventions: normalisation, wavenumbers, windows, smoothing."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from truez.mesh.box import Box
from truez.mesh.fourier import (
    DIFFERENCES,
    convolve_,
    difference_vectors,
    hermitian_weights,
    irfft,
    irfft_,
    resampler_window,
    rfft,
    rfft_,
    roomy_mesh,
    smooth,
    total,
    wavevectors,
    with_room,
)

BOX = Box(boxsize=(100, 60, 45), meshsize=(10, 12, 9))
meshes = st.tuples(*[st.integers(1, 9)] * 3)


def noise(meshsize, seed=0):
    return torch.randn(meshsize, generator=torch.Generator().manual_seed(seed))


def test_the_mode_of_a_cosine_is_half_its_amplitude():
    # cos(k x) = (e^{ikx} + e^{-ikx}) / 2, on the cell index as the convention says.
    x = torch.arange(10).reshape(-1, 1, 1) * torch.ones(1, 12, 9)
    modes = rfft(torch.cos(2 * math.pi * 3 * x / 10))
    expected = torch.zeros_like(modes)
    expected[3, 0, 0] = expected[7, 0, 0] = 0.5
    torch.testing.assert_close(modes, expected, atol=1e-6, rtol=0)


@given(meshes, st.integers(0, 100))
def test_irfft_is_the_inverse_and_parseval_holds(meshsize, seed):
    values = noise(meshsize, seed).double()
    modes = rfft(values)
    torch.testing.assert_close(irfft(modes, meshsize), values)
    weighted = (modes.abs() ** 2 * hermitian_weights(meshsize[2])).sum()
    torch.testing.assert_close(weighted, (values**2).mean())


@given(meshes, st.integers(0, 100))
def test_transforms_in_place_are_those_that_take_a_second_mesh(meshsize, seed):
    values = roomy_mesh(meshsize)
    values.copy_(noise(meshsize, seed))
    given, expected = values.clone(), rfft(values)
    modes = rfft_(values)
    torch.testing.assert_close(modes, expected, atol=1e-6, rtol=1e-5)
    assert modes.data_ptr() == values.data_ptr()
    back = irfft_(modes, meshsize)
    torch.testing.assert_close(back, given, atol=1e-5, rtol=1e-5)
    assert back.data_ptr() == values.data_ptr()
    assert with_room(back).is_contiguous()


@pytest.mark.parametrize("meshsize", [(10, 12, 9), (7, 5, 8), (96, 80, 64)])
def test_convolution_multiplies_the_modes_the_same_at_any_number_of_threads(meshsize, monkeypatch):
    nx, ny, nz = meshsize
    factors = noise((nx, ny, nz // 2 + 1), 1).abs()
    factors = rfft(irfft(factors.to(torch.complex64), meshsize)).real  # what a real mesh allows
    given = noise(meshsize)
    results = []
    for threads in (1, 3):
        monkeypatch.setenv("NUMBA_NUM_THREADS", str(threads))
        values = roomy_mesh(meshsize)
        values.copy_(given)
        convolve_(values, lambda rows: factors[:, rows].numpy())
        results.append(values)
    expected = irfft(rfft(given) * factors, meshsize)
    torch.testing.assert_close(results[0], expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(results[0], results[1])


def test_differences_are_a_derivative_of_the_sixth_order():
    for k, d, cell in zip(wavevectors(BOX), difference_vectors(BOX), BOX.cellsize, strict=True):
        angle = (k * cell).double()
        # The first term that is left out is -(k cellsize)^7 / 140.
        assert ((d * cell - angle).abs() <= angle.abs() ** 7 / 140 + 1e-6).all()
        expected = sum(2 * w * torch.sin(n * angle) for n, w in enumerate(DIFFERENCES, 1))
        torch.testing.assert_close((d * cell).double(), expected, atol=2e-6, rtol=0)


@given(st.integers(1, 50))
def test_hermitian_weights_count_every_mode_once(nz):
    assert hermitian_weights(nz).sum() == nz


def test_wavevectors_are_those_of_numpy():
    kx, ky, kz = wavevectors(BOX, dtype=torch.float64)
    np.testing.assert_allclose(kx.flatten(), 2 * math.pi * np.fft.fftfreq(10, 10))
    np.testing.assert_allclose(ky.flatten(), 2 * math.pi * np.fft.fftfreq(12, 5))
    np.testing.assert_allclose(kz.flatten(), 2 * math.pi * np.fft.rfftfreq(9, 5))
    assert (kx + ky + kz).shape == rfft(torch.zeros(BOX.meshsize)).shape


@pytest.mark.parametrize(("resampler", "order"), [("ngp", 1), ("cic", 2), ("tsc", 3)])
def test_window_is_a_power_of_sinc(resampler, order):
    # At the Nyquist wavenumber, k cellsize / 2 = pi / 2 and the sinc is 2 / pi.
    k = torch.tensor([0.0, math.pi / 2.5], dtype=torch.float64)
    window = resampler_window(k, 2.5, resampler)
    torch.testing.assert_close(window, torch.tensor([1.0, (2 / math.pi) ** order]).double())


def test_total_is_exact_where_float32_is_not():
    values = torch.full((64, 64, 64), 0.1)
    values[0, 0, 0] = 1e7
    assert total(values) == pytest.approx(1e7 + (64**3 - 1) * float(np.float32(0.1)), abs=1e-6)


@pytest.mark.parametrize("radius", [3.0, 8.0])
def test_smoothing_multiplies_the_modes_of_a_periodic_box_by_the_gaussian(radius):
    values = noise(BOX.meshsize).double()
    modes = rfft(smooth(values, BOX, radius))
    kx, ky, kz = wavevectors(BOX, dtype=torch.float64)
    expected = rfft(values) * torch.exp(-0.5 * (kx**2 + ky**2 + kz**2) * radius**2)
    torch.testing.assert_close(modes, expected, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("periodic", [True, False])
@given(meshes, st.floats(0, 50), st.integers(0, 100))
def test_smoothing_keeps_the_mean_and_the_input(periodic, meshsize, radius, seed):
    box = Box(100, meshsize, periodic=periodic)
    values = noise(meshsize, seed)
    before = values.clone()
    result = smooth(values, box, radius)
    assert float(result.mean()) == pytest.approx(float(values.mean()), abs=1e-5)
    assert float(result.std(correction=0)) <= float(values.std(correction=0)) + 1e-5
    assert torch.equal(values, before)
    assert result.shape == values.shape
    assert result.dtype == values.dtype


def test_smoothing_a_closed_box_is_smoothing_its_mirror_images():
    box = Box((100, 60, 45), (10, 12, 9), periodic=False)
    values = noise(box.meshsize).double()
    mirrored = values
    for axis in range(3):
        mirrored = torch.cat([mirrored, mirrored.flip(axis)], axis)
    doubled = Box((200, 120, 90), (20, 24, 18))
    expected = smooth(mirrored, doubled, 7.0)[:10, :12, :9]
    torch.testing.assert_close(smooth(values, box, 7.0), expected, atol=1e-6, rtol=0)


def test_nothing_crosses_from_face_to_face_of_a_closed_box():
    values = torch.zeros(32, 4, 4)
    values[0] = 1.0
    closed = smooth(values, Box(64, (32, 4, 4), periodic=False), 4.0)
    wrapped = smooth(values, Box(64, (32, 4, 4), periodic=True), 4.0)
    assert float(closed[-1].abs().max()) < 1e-6
    assert float(wrapped[-1].min()) > 0.05


def test_a_negative_radius_is_refused():
    with pytest.raises(ValueError, match=r"^radius must not be negative, not -1 Mpc/h$"):
        smooth(torch.zeros(BOX.meshsize), BOX, -1)
