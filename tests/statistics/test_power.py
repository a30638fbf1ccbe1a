"""Spectra against a plain sum over the full mesh, exact waves, and what callers may rely on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import legendre

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import rfft
from truez.mesh.painting import paint
from truez.statistics import binning
from truez.statistics.power import (
    Comparison,
    Comparison2D,
    ComparisonMu,
    Correlation,
    Power,
    Power2D,
    Wedges,
    catalog_power,
    compare,
    compare_2d,
    compare_mu,
    correlation,
    default_edges,
    power,
    power_2d,
    power_mu,
)

BOX = Box((100.0, 130.0, 90.0), (12, 15, 10))


def noise(box: Box, seed: int = 0, kind: str = "delta") -> Field:
    values = torch.randn(box.meshsize, generator=torch.Generator().manual_seed(seed))
    return Field(values if kind == "delta" else values.exp(), box, kind)


def full_mesh(box: Box):
    """k_perp and |k_par| of every mode of the full mesh."""
    kx, ky, kz = (
        2 * np.pi * np.fft.fftfreq(n, cell)
        for n, cell in zip(box.meshsize, box.cellsize, strict=True)
    )
    k_perp = np.sqrt(kx[:, None, None] ** 2 + ky[None, :, None] ** 2)
    return np.broadcast_arrays(k_perp, np.abs(kz)[None, None, :])


def plain_sum(field: Field, other: Field, first, second, coordinates="k_mu", ell=0):
    """Counts and mean power in bins, by a sum over the full mesh with no shortcut at all."""
    a, b = (np.fft.fftn(f.numpy().astype(float), norm="forward") for f in (field, other))
    product = field.box.volume * (a * b.conj()).real
    k_perp, k_par = full_mesh(field.box)
    k = np.hypot(k_perp, k_par)
    mu = k_par / np.where(k > 0, k, 1)
    product = product * (2 * ell + 1) * legendre.legval(mu, [0] * ell + [1])
    u, v = (k, mu) if coordinates == "k_mu" else (k_perp, k_par)
    hair = 1e-9
    count = np.zeros((len(first) - 1, len(second) - 1))
    total = np.zeros_like(count)
    for i in range(len(first) - 1):
        for j in range(len(second) - 1):
            top = 2.0 if coordinates == "k_mu" and second[j + 1] == 1 else second[j + 1]
            inside = (u >= first[i] * (1 - hair)) & (u < first[i + 1] * (1 - hair)) & (k > 0)
            inside &= (v >= second[j] * (1 - hair)) & (v < top * (1 - hair))
            count[i, j], total[i, j] = inside.sum(), product[inside].sum()
    with np.errstate(invalid="ignore"):
        return count, total / count


meshes = st.tuples(*[st.integers(1, 9)] * 3)
sides = st.tuples(*[st.sampled_from([60.0, 75.0, 100.0])] * 3)


@settings(max_examples=25, deadline=None)
@given(meshes, sides, st.sampled_from([0, 2, 4, 6]), st.booleans())
def test_poles_equal_the_sum_over_the_full_mesh(mesh, size, ell, is_cross):
    box = Box(size, mesh)
    a, b = noise(box, 1), noise(box, 2)
    # Edges on multiples of the fundamental, and beyond every Nyquist wavenumber.
    edges = np.arange(0, 12) * max(box.fundamental)
    result = power(a, b if is_cross else None, edges=edges, ells=(ell,))
    count, expected = plain_sum(a, b if is_cross else a, edges, [0, 1], ell=ell)
    np.testing.assert_array_equal(result.nmodes, count[:, 0])
    scale = np.nanmax(np.abs(expected), initial=0)
    np.testing.assert_allclose(result.poles[ell], expected[:, 0], atol=3e-6 * scale, rtol=0)


@settings(max_examples=15, deadline=None)
@given(meshes, sides)
def test_wedges_equal_the_sum_over_the_full_mesh(mesh, size):
    box = Box(size, mesh)
    a, b = noise(box, 1), noise(box, 2)
    wedges = power_mu(a, b, edges=np.linspace(0.01, 0.5, 5), num_mu=4)
    count, expected = plain_sum(a, b, wedges.edges, wedges.mu_edges)
    np.testing.assert_array_equal(wedges.nmodes, count)
    scale = np.nanmax(np.abs(expected), initial=0)
    np.testing.assert_allclose(wedges.power, expected, atol=3e-6 * scale, rtol=0)
    edges = {"kperp_edges": np.linspace(0, 0.4, 5), "kpar_edges": np.linspace(0.02, 0.3, 4)}
    planes = power_2d(a, b, **edges)
    count, expected = plain_sum(a, b, *edges.values(), coordinates="kperp_kpar")
    np.testing.assert_array_equal(planes.nmodes, count)
    scale = np.nanmax(np.abs(expected), initial=0)
    np.testing.assert_allclose(planes.power, expected, atol=3e-6 * scale, rtol=0)


@pytest.mark.medium
@settings(max_examples=20, deadline=None)
@given(
    meshes,
    st.sampled_from(["k_mu", "kperp_kpar"]),
    st.sampled_from(["auto", "cross", "all"]),
    st.integers(1, 3),
    st.integers(1, 5),
)
def test_compiled_loop_equals_torch_path(mesh, coordinates, products, moments, slab):
    box = Box((60.0, 75.0, 100.0), mesh)
    a, b = (rfft(noise(box, seed).values.double()) for seed in (1, 2))
    index = [np.minimum(np.arange(n), n - np.arange(n)) for n in mesh[:2]]
    index.append(np.arange(mesh[2] // 2 + 1))
    factors = tuple(tuple(1 + c * i**2 for i in index) for c in (0.1, 0.2))
    first = np.array([0.02, 0.1, 0.15, 0.4])
    second = np.array([0, 0.3, 1.0]) if coordinates == "k_mu" else np.array([0, 0.1, 0.25])
    pair = (a, None if products == "auto" else b)
    options = {"coordinates": coordinates, "products": products}
    options |= {"moments": moments, "factors": factors}
    compiled = binning.bin_modes(*pair, box, first, second, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binning, "_sum_cpu", binning._sum_torch)
        patch.setattr(binning, "_SLAB_MODES", slab * mesh[1] * (mesh[2] // 2 + 1))
        searched = binning.bin_modes(*pair, box, first, second, **options)
    for name in ("nmodes", "first", "second", "products"):
        np.testing.assert_allclose(
            getattr(compiled, name), getattr(searched, name), rtol=1e-10, atol=1e-13, err_msg=name
        )


def test_result_does_not_depend_on_threads(monkeypatch):
    field = noise(Box(100.0, 33))
    results = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        results.append(power(field).poles)
    for ell in (0, 2, 4):
        np.testing.assert_array_equal(results[0][ell], results[1][ell])
        np.testing.assert_array_equal(results[0][ell], results[2][ell])


@pytest.mark.parametrize("mesh", [(12, 10, 8), (11, 9, 7), (12, 9, 8)])
@pytest.mark.parametrize(
    "wave", [(1, 0, 0), (2, 3, 0), (0, 0, 1), (1, 2, 3), (-2, 1, 2), (0, 4, 0)]
)
def test_plane_wave_has_its_power_in_its_bin(mesh, wave):
    box = Box((100.0, 130.0, 90.0), mesh)
    grids = np.meshgrid(*[np.arange(n) / n for n in mesh], indexing="ij")
    phase = 2 * np.pi * sum(m * g for m, g in zip(wave, grids, strict=True)) + 0.3
    field = Field(torch.from_numpy(3 * np.cos(phase)).float(), box, "delta")
    vector = np.array(wave) * box.fundamental
    k = np.linalg.norm(vector)
    mu = abs(vector[2]) / k
    result = power(field, edges=[0, 0.98 * k, 1.02 * k, 2 * k])
    # cos = (exp(i) + exp(-i)) / 2: two modes of |delta_k|^2 = (3 / 2)^2.
    total = box.volume * 2 * 1.5**2 / result.nmodes[1]
    for ell, pole in result.poles.items():
        weight = (2 * ell + 1) * legendre.legval(mu, [0] * ell + [1])
        np.testing.assert_allclose(pole[1], total * weight, rtol=1e-5, atol=1e-5 * total)
        np.testing.assert_allclose(pole[[0, 2]], 0, atol=1e-6 * total)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_nyquist_wave_is_one_mode(axis):
    box = Box((100.0, 130.0, 90.0), (12, 10, 8))
    sign = (-1.0) ** np.arange(box.meshsize[axis])
    values = np.broadcast_to(np.expand_dims(sign, [i for i in range(3) if i != axis]), box.meshsize)
    field = Field(torch.from_numpy(values.copy()).float(), box, "delta")
    k = np.pi / box.cellsize[axis]
    result = power(field, edges=[0.999 * k, 1.001 * k])
    np.testing.assert_allclose(result.poles[0] * result.nmodes, box.volume, rtol=1e-6)


@pytest.mark.parametrize("mesh", [(8, 8, 8), (7, 9, 5), (8, 9, 6)])
def test_parseval(mesh):
    field = noise(Box((100.0, 130.0, 90.0), mesh))
    result = power(field, edges=[0, 100], ells=(0,))
    assert result.nmodes[0] == np.prod(mesh) - 1
    total = result.poles[0][0] * result.nmodes[0] / field.box.volume
    np.testing.assert_allclose(total, field.numpy().astype(float).var(), rtol=1e-6)


def test_edges_include_their_lower_end_and_exclude_their_upper():
    box = Box(100.0, 16)
    width = box.fundamental[0]
    # |k| = 5 w exactly for (3, 4, 0), (5, 0, 0) and their like: 30 modes.
    counts = power(noise(box), edges=np.array([5, 5.01]) * width).nmodes
    assert counts.tolist() == [30]
    assert power(noise(box), edges=np.array([4.99, 5]) * width).nmodes.tolist() == [0]
    # sqrt(25) of edges that went through other roundings
    assert power(noise(box), edges=[width * np.sqrt(25.0), width * 5.01]).nmodes.tolist() == [30]


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.integers(2, 40)] * 3), sides)
def test_default_bins_are_not_empty_and_reach_nyquist(mesh, size):
    box = Box(size, mesh)
    edges = default_edges(box)
    width = sorted(box.fundamental)[1]
    assert edges[0] == 0
    assert edges[-1] <= max(box.nyquist * (1 + 1e-6), 1.5 * width * (1 + 1e-6))
    assert edges[-1] > box.nyquist - width * (1 + 1e-6)
    full = power(Field(torch.randn(mesh), box, "delta"), ells=(0,))
    assert (full.nmodes > 0).all()
    assert (full.k >= full.edges[:-1]).all()
    assert (full.k < full.edges[1:]).all()


def test_an_empty_bin_has_no_value():
    result = power(noise(BOX), edges=[1e-6, 1e-5, 0.2])
    assert result.nmodes[0] == 0
    assert np.isnan([result.k[0], *(pole[0] for pole in result.poles.values())]).all()
    assert np.isfinite(result.poles[4][1])


def test_line_of_sight_is_the_last_axis():
    values = torch.randn((16, 1, 1)).expand(16, 16, 16).contiguous()
    along_x = power(Field(values, Box(100.0, 16), "delta"), edges=[0.1, 0.4])
    along_z = power(Field(values.permute(1, 2, 0), Box(100.0, 16), "delta"), edges=[0.1, 0.4])
    np.testing.assert_allclose(along_z.poles[2] / along_z.poles[0], 5, rtol=1e-5)
    np.testing.assert_allclose(along_x.poles[2] / along_x.poles[0], -2.5, rtol=1e-5)
    np.testing.assert_allclose(along_x.poles[4] / along_x.poles[0], 9 * 3 / 8, rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.tuples(*[st.integers(-8, 8)] * 3), st.sets(st.sampled_from([0, 1, 2])))
def test_shifts_mirrors_and_turns_about_the_line_of_sight_change_nothing(shift, mirrored):
    box = Box((100.0, 100.0, 90.0), (12, 12, 10))
    before = noise(box)
    values = before.values.roll(shift, (0, 1, 2)).flip(sorted(mirrored)).transpose(0, 1)
    after = Field(values, box, "delta")
    for ell in (0, 2, 4):
        np.testing.assert_allclose(
            power(after).poles[ell], power(before).poles[ell], rtol=2e-5, atol=1e-2
        )


@settings(max_examples=15, deadline=None)
@given(st.floats(0.01, 100), st.floats(0.1, 10))
def test_power_scales_with_amplitude_squared_and_volume(amplitude, stretch):
    field = noise(BOX)
    box = Box(np.multiply(BOX.boxsize, stretch), BOX.meshsize)
    one, two = power(field), power(Field(field.values * amplitude, box, "delta"))
    np.testing.assert_allclose(two.k, one.k / stretch, rtol=1e-9)
    np.testing.assert_allclose(two.poles[0], one.poles[0] * amplitude**2 * stretch**3, rtol=1e-5)


@pytest.mark.parametrize("kind", ["counts", "density"])
def test_counts_and_densities_are_taken_relative_to_their_mean(kind):
    field = noise(BOX, kind=kind)
    for ell, pole in power(field).poles.items():
        np.testing.assert_allclose(pole, power(field.to_delta()).poles[ell], rtol=1e-4, atol=0.05)
    np.testing.assert_allclose(
        power(field, noise(BOX, 1)).poles[0],
        power(field.to_delta(), noise(BOX, 1)).poles[0],
        rtol=1e-4,
        atol=0.05,
    )


def test_cross_power_is_symmetric_and_free_of_shot_noise():
    a, b = noise(BOX, 1), noise(BOX, 2)
    a = replace(a, shotnoise=12.5)
    for ell, pole in power(a, b).poles.items():
        np.testing.assert_allclose(pole, power(b, a).poles[ell], rtol=1e-6)
    assert power(a, b).shotnoise == 0
    assert power(a).shotnoise == power(a, a).shotnoise == 12.5
    assert power(b).shotnoise is None
    np.testing.assert_array_equal(power(a, a).poles[2], power(a).poles[2])


def test_the_fields_are_not_changed():
    a, b = noise(BOX, 1, "counts"), noise(BOX, 2)
    before = a.values.clone(), b.values.clone()
    power(a, b, ells=(0,))
    compare(b, truth=b)
    correlation(a, b)
    assert torch.equal(a.values, before[0])
    assert torch.equal(b.values, before[1])


def test_a_field_against_itself_and_its_multiples():
    field = noise(BOX)
    result = compare(field, truth=field)
    np.testing.assert_allclose(result.r, 1, rtol=1e-6)
    np.testing.assert_allclose(result.transfer, 1, rtol=1e-6)
    half = compare(Field(-0.5 * field.values, BOX, "delta"), truth=field)
    np.testing.assert_allclose(half.r, -1, rtol=1e-6)
    np.testing.assert_allclose(half.transfer, 0.5, rtol=1e-6)


def test_comparison_holds_the_three_spectra():
    a, b = noise(BOX, 1, "counts"), noise(BOX, 2)
    result = compare(a, truth=b, edges=[0.1, 0.2, 0.3])
    for name, expected in (
        ("power_rr", power(a, edges=[0.1, 0.2, 0.3])),
        ("power_tt", power(b, edges=[0.1, 0.2, 0.3])),
        ("power_rt", power(a, b, edges=[0.1, 0.2, 0.3])),
    ):
        np.testing.assert_allclose(getattr(result, name), expected.poles[0], rtol=1e-6)
    np.testing.assert_array_equal(result.nmodes, expected.nmodes)
    flat, wedges = compare_2d(a, truth=b), compare_mu(a, truth=b)
    np.testing.assert_allclose(flat.power_rt, power_2d(a, b).power, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(wedges.power_rr, power_mu(a).power, rtol=1e-5, atol=1e-3)
    assert flat.r.shape == flat.k_par.shape == flat.k_perp.shape
    assert wedges.r.shape == (len(wedges.edges) - 1, 10)


@pytest.mark.parametrize("level", [0.0, -1.0, 3.3])
@pytest.mark.parametrize("mesh", [16, 15])
def test_a_constant_field_has_no_power_and_no_correlation(level, mesh):
    box = Box(100.0, mesh)
    constant = Field(torch.full(box.meshsize, level), box, "delta")
    result = compare(constant, truth=noise(box))
    assert np.isnan(result.r).all()
    assert (result.transfer == 0).all()
    assert np.isnan(compare(noise(box), truth=constant).transfer).all()


def test_wedges_average_to_the_monopole():
    field = noise(BOX)
    edges = np.linspace(0.05, 0.3, 6)
    monopole = power(field, edges=edges)
    wedges = power_mu(field, edges=edges, num_mu=5)
    np.testing.assert_array_equal(wedges.nmodes.sum(axis=1), monopole.nmodes)
    mean = np.nansum(wedges.power * wedges.nmodes, axis=1) / monopole.nmodes
    np.testing.assert_allclose(mean, monopole.poles[0], rtol=1e-6)
    k = np.nansum(wedges.k * wedges.nmodes, axis=1) / monopole.nmodes
    np.testing.assert_allclose(k, monopole.k, rtol=1e-12)
    held = wedges.nmodes > 0
    lower, upper = wedges.mu_edges[:-1], wedges.mu_edges[1:]
    assert ((wedges.mu >= lower - 1e-9) & (wedges.mu <= upper + 1e-9))[held].all()


def test_planes_of_modes_each_have_a_bin():
    result = power_2d(noise(BOX))
    n_par = BOX.meshsize[2] // 2
    assert len(result.kpar_edges) - 1 == n_par
    expected = np.arange(n_par) * BOX.fundamental[2]
    for row in result.k_par:
        np.testing.assert_allclose(row, expected, atol=1e-12)
    assert (result.nmodes > 0).all()


@pytest.mark.parametrize("mesh", [(8, 8, 8), (7, 6, 5)])
def test_correlation_equals_direct_pair_counting(mesh):
    box = Box((64.0, 60.0, 50.0), mesh)
    a, b = noise(box, 1), noise(box, 2)
    edges = np.array([0.0, 10.5, 15.0, 24.0])
    result = correlation(a, b, edges=edges)
    da, db = (f.numpy() - f.numpy().mean() for f in (a, b))
    index = np.stack(np.meshgrid(*map(np.arange, mesh), indexing="ij"), -1).reshape(-1, 3)
    lag = index[None] - index[:, None]
    lag = np.abs(lag)
    lag = np.minimum(lag, np.array(mesh) - lag) * box.cellsize
    separation = np.sqrt((lag**2).sum(-1))
    product = da.reshape(-1)[:, None] * db.reshape(-1)[None, :]
    for i in range(3):
        inside = (separation >= edges[i]) & (separation < edges[i + 1]) & (separation > 0)
        assert result.npairs[i] * len(index) == inside.sum()
        np.testing.assert_allclose(result.xi[i], product[inside].mean(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(result.r[i], separation[inside].mean(), rtol=1e-9)


def test_interlacing_removes_the_leading_alias():
    # A wave of galaxies along x at 11/16 of the sampling frequency: it can only be seen as its
    # alias at 5/16, which interlacing takes away.
    box = Box((160.0, 20.0, 20.0), (16, 4, 4))
    random = np.random.default_rng(3)
    x = np.arange(160000) / 160000
    x = x + 0.4 / (2 * np.pi * 11) * np.sin(2 * np.pi * 11 * x)
    positions = np.stack([x * 160, *(random.random((2, len(x))) * 20)], axis=1) % [160, 20, 20]
    alias = np.array([4.9, 5.1]) * box.fundamental[0]
    plain, interlaced = (
        catalog_power(positions, box, resampler="cic", interlacing=on, edges=alias).poles[0][0]
        for on in (False, True)
    )
    assert interlaced < 1e-4 * plain


def test_compensation_divides_by_the_window_squared():
    box = Box((160.0, 100.0, 100.0), (16, 8, 8))
    field = noise(box)
    edges = np.array([5.99, 6.01]) * box.fundamental[0]
    both = {order: Field(field.values, box, "delta", resampler=order) for order in ("cic", "tsc")}
    # Only the waves (+-6, 0, 0) lie in the bin.
    plain = power(field, edges=edges)
    assert plain.nmodes[0] == 2
    sinc = np.sinc(6 / 16)
    ratio = power(both["tsc"], edges=edges, compensate=True).poles[0] / plain.poles[0]
    np.testing.assert_allclose(ratio, sinc**-6, rtol=1e-6)
    cross = power(both["tsc"], both["cic"], edges=edges, compensate=True).poles[0]
    np.testing.assert_allclose(cross / plain.poles[0], sinc**-5, rtol=1e-6)
    wedges = power_mu(both["cic"], edges=edges, num_mu=1, compensate=True).power[:, 0]
    np.testing.assert_allclose(wedges / plain.poles[0], sinc**-4, rtol=1e-6)


def test_catalog_power_is_that_of_the_painted_field():
    positions = np.random.default_rng(0).random((500, 3)) * BOX.boxsize
    weights = np.random.default_rng(1).random(500) + 0.5
    by_hand = power(paint(positions, BOX, "cic", weights=weights), compensate=True)
    result = catalog_power(positions, BOX, weights=weights, resampler="cic", interlacing=False)
    np.testing.assert_allclose(result.poles[2], by_hand.poles[2], rtol=1e-12)
    assert result.shotnoise == pytest.approx(BOX.volume * (weights**2).sum() / weights.sum() ** 2)


def broken(**change) -> Field:
    field = noise(BOX)
    values = change.get("values", field.values)
    return Field(values, change.get("box", BOX), change.get("kind", "delta"), {})


NAN = torch.zeros(BOX.meshsize)
NAN[1, 2, 3] = torch.nan

SENTENCES = [
    (lambda: power(broken(values=NAN)), "field must hold finite values only, but some are NaN"),
    (lambda: power(noise(BOX), broken(values=NAN)), "other must hold finite values only"),
    (lambda: compare(noise(BOX), truth=broken(values=NAN)), "truth must hold finite values only"),
    (
        lambda: power(broken(values=torch.zeros(BOX.meshsize), kind="counts")),
        "the mean of field, of kind counts, must be positive, not 0.0",
    ),
    (
        lambda: compare(noise(BOX), truth=noise(Box(100.0, (12, 15, 10)))),
        "field and truth must be on the same box, not 100 x 130 x 90 Mpc/h",
    ),
    (lambda: power(noise(BOX), edges=[0.1]), "edges must be two or more finite numbers"),
    (lambda: power(noise(BOX), edges=[0.1, np.nan]), "edges must be two or more finite numbers"),
    (lambda: power(noise(BOX), edges=[0.2, 0.1]), "edges must rise from zero or above"),
    (lambda: power(noise(BOX), edges=[-0.1, 0.1]), "edges must rise from zero or above"),
    (lambda: power_2d(noise(BOX), kpar_edges=[1, 1]), "kpar_edges must rise from zero or above"),
    (lambda: power(noise(BOX), ells=(0, 1)), "ells must be even whole numbers, such as (0, 2, 4)"),
    (lambda: power(noise(BOX), ells=()), "ells must be even whole numbers"),
    (lambda: power_mu(noise(BOX), num_mu=0), "num_mu must be a whole number of bins, not 0"),
    (
        lambda: power(noise(BOX), compensate=True),
        "compensate needs the resampler of field to be one of ngp, cic, tsc, not None",
    ),
    (
        lambda: catalog_power(np.ones((2, 3)), Box(9.0, 4, periodic=False)),
        "interlacing needs a periodic box: pass interlacing=False",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), SENTENCES)
def test_bad_input_is_refused_with_one_sentence(call, sentence):
    with pytest.raises(ValueError) as caught:
        call()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


RESULTS = [
    (Power, lambda a, b: power(a, edges=[1e-6, 1e-5, 0.2, 0.3], ells=(0, 2))),
    (Wedges, lambda a, b: power_mu(a, b, num_mu=3)),
    (Power2D, lambda a, b: power_2d(a, b)),
    (Comparison, lambda a, b: compare(a, truth=b)),
    (ComparisonMu, lambda a, b: compare_mu(a, truth=b, num_mu=2)),
    (Comparison2D, lambda a, b: compare_2d(a, truth=b)),
    (Correlation, lambda a, b: correlation(a, b)),
]


@pytest.mark.parametrize(("kind", "make"), RESULTS)
def test_results_come_back_from_their_files(kind, make, tmp_path):
    a, b = noise(BOX, 1), noise(BOX, 2)
    a = replace(a, shotnoise=3.5)
    result = make(a, b)
    path = tmp_path / "deep" / "result.ecsv"
    result.write(path)
    back = kind.read(path)
    for name, value in vars(result).items():
        if isinstance(value, dict):
            assert list(getattr(back, name)) == list(value)
            for ell, pole in value.items():
                np.testing.assert_array_equal(getattr(back, name)[ell], pole)
        else:
            np.testing.assert_array_equal(getattr(back, name), value)
    other = Power if kind is not Power else Wedges
    with pytest.raises(ValueError, match=f"holds {kind.__name__}, not {other.__name__}"):
        other.read(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        Power.read(tmp_path / "absent.ecsv")
    with pytest.raises(ValueError, match=r"are read and written as .ecsv, not .*power.txt"):
        power(noise(BOX)).write(tmp_path / "power.txt")
    (tmp_path / "text.ecsv").write_text("not a table")
    with pytest.raises(ValueError, match="is not a result that truez wrote: give another file"):
        Power.read(tmp_path / "text.ecsv")


@pytest.mark.parametrize("damage", ["column", "edges", "shape"])
def test_a_result_that_lacks_a_part_is_refused(tmp_path, damage):
    path = tmp_path / "power.ecsv"
    table = power(noise(BOX)).to_table()
    if damage == "column":
        table.remove_column("nmodes")
    elif damage == "edges":
        del table.meta["edges"]
    else:
        table.meta["shape"] = "abc"
    table.write(path)
    with pytest.raises(ValueError, match=r"does not hold all of a result: give another file"):
        Power.read(path)


@pytest.mark.parametrize("weights", [-np.ones(6), np.zeros(6), np.tile([1.0, -1.0], 3)])
def test_weights_without_a_positive_sum_are_refused(weights):
    positions = np.random.default_rng(1).uniform(0, 8, (6, 3))
    with pytest.raises(ValueError, match=r"weights must have a positive sum, not .*: choose other"):
        catalog_power(positions, Box(8, 4), weights=weights)
