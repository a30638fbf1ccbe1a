"""The simulated universe: its modes, and the statistics of its galaxies."""

import numpy as np
import pytest
import torch

from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.mesh.fourier import hermitian_weights, irfft, resampler_window, rfft, wavevectors
from truez.mesh.painting import paint
from truez.simulate import gaussian_modes, lognormal_galaxies, unit_modes

COSMOLOGY = COSMOLOGIES["wmap"]
REDSHIFT = 0.5
BOX = Box(256, 64)
ODD = Box((100, 90, 80), (10, 9, 7))
EVEN = Box((100, 90, 80), (10, 6, 8))


def linear(k):
    return COSMOLOGY.linear_power(k, REDSHIFT)


def band_power(box, low, high, modes, other=None, *, legendre=0):
    """Mean of |f|^2 V, or f g* V, over the modes with low < k < high; times 5 L2(mu) if asked."""
    kx, ky, kz = wavevectors(box, dtype=torch.float64)
    k_squared = kx**2 + ky**2 + kz**2
    weights = hermitian_weights(box.meshsize[2]) * ((k_squared > low**2) & (k_squared < high**2))
    product = (modes * (modes if other is None else other).conj()).real.double()
    if legendre == 2:
        product = product * 2.5 * (3 * kz**2 / k_squared.clamp(min=1e-12) - 1)
    return float((weights * product).sum() / weights.sum()) * box.volume


def density_modes(positions, box):
    """Modes of the overdensity of galaxies that are uniform in the cells of ``box``."""
    modes = rfft(paint(positions, box, "ngp").to_delta().values)
    for k, cell in zip(wavevectors(box), box.cellsize, strict=True):
        modes = modes / resampler_window(k, cell, "ngp")
    return modes


class TestModes:
    @pytest.mark.parametrize("box", [ODD, EVEN, Box(9, 1), Box(9, 2), Box(9, (4, 1, 6))])
    @pytest.mark.parametrize("fixed", [False, True])
    def test_they_are_those_of_a_real_field_of_zero_mean(self, box, fixed):
        modes = unit_modes(box, 5, fixed=fixed)
        field = irfft(modes, box.meshsize)
        # irfft silently drops what is not Hermitian: then the modes would not come back.
        torch.testing.assert_close(rfft(field), modes, atol=1e-6, rtol=0)
        assert modes[0, 0, 0] == 0
        assert modes.dtype == torch.complex64

    def test_they_are_complex_unit_normals(self):
        # 5e5 modes: the relative error of the variance is 1/sqrt(n) = 0.14%, taken four times.
        modes = unit_modes(Box(100, 100), 1)[..., 1:-1].flatten()
        error = 4 / np.sqrt(len(modes))
        squares = modes.abs().double() ** 2
        assert float(squares.mean()) == pytest.approx(1, abs=error)
        assert float((squares**2).mean()) == pytest.approx(2, abs=5 * error)  # <|z|^4> = 2
        assert abs(complex(modes.mean())) < error
        assert abs(complex((modes**2).mean())) < 1.5 * error

    def test_the_real_modes_have_unit_variance_too(self):
        # The eight modes that are their own mirror image, less the zero, of many seeds.
        corner = torch.stack([unit_modes(Box(1, 2), seed).flatten()[1:] for seed in range(800)])
        assert (corner.imag == 0).all()
        assert float(corner.real.double().var()) == pytest.approx(1, abs=4 * np.sqrt(2 / 5600))

    def test_neighbours_and_seeds_are_independent(self):
        one, two = unit_modes(Box(1, 64), 1), unit_modes(Box(1, 64), 2)
        error = 4 / np.sqrt(one.numel())
        assert abs(complex((one * two.conj()).mean())) < error
        for axis in range(3):
            assert abs(complex((one * one.roll(1, axis).conj()).mean())) < error

    @pytest.mark.parametrize("mesh", [(12, 20, 16), (11, 6, 31), (64, 64, 64)])
    def test_a_finer_mesh_has_the_same_large_scale_modes(self, mesh):
        coarse, fine = unit_modes(Box(1, (10, 6, 8)), 3), unit_modes(Box(1, mesh), 3)
        x, y, z = range(-4, 5), range(-2, 3), range(4)  # all but the coarse Nyquist planes
        assert torch.equal(coarse[x][:, y][..., z], fine[x][:, y][..., z])

    def test_fixed_modes_have_the_power_exactly(self):
        power = gaussian_modes(ODD, linear, 2, fixed=True).abs().double() ** 2 * ODD.volume
        kx, ky, kz = wavevectors(ODD, dtype=torch.float64)
        expected = linear((kx**2 + ky**2 + kz**2).sqrt().numpy())
        np.testing.assert_allclose(power, expected, rtol=2e-6)

    def test_a_flipped_universe_is_the_negative(self):
        assert torch.equal(unit_modes(EVEN, 4, flip=True), -unit_modes(EVEN, 4))

    def test_a_power_law_is_kept_over_six_decades(self):
        box = Box((1e4, 10, 10), (64, 64, 64))
        modes = gaussian_modes(box, lambda k: k**-2.5, 2, fixed=True)
        kx, ky, kz = wavevectors(box, dtype=torch.float64)
        k = (kx**2 + ky**2 + kz**2).sqrt().flatten()[1:]
        np.testing.assert_allclose(
            modes.abs().double().flatten()[1:] ** 2 * box.volume, k**-2.5, rtol=5e-6
        )

    @pytest.mark.parametrize(
        "power", [lambda k: -k, lambda k: k * np.nan, lambda k: np.ones(3), lambda k: 1 / (k - k)]
    )
    @pytest.mark.filterwarnings("ignore:divide by zero")
    def test_a_bad_power_is_refused(self, power):
        with pytest.raises(ValueError, match=r"^power must return a finite number that is not neg"):
            gaussian_modes(EVEN, power, 1)

    @pytest.mark.parametrize("seed", [-1, 2**64])
    def test_a_bad_seed_is_refused(self, seed):
        sentence = rf"^seed must be a whole number from 0 to 2\^64 - 1, not {seed}$"
        with pytest.raises(ValueError, match=sentence):
            unit_modes(EVEN, seed)

    def test_the_largest_seed_is_a_seed(self):
        assert not torch.equal(unit_modes(EVEN, 2**64 - 1), unit_modes(EVEN, 0))


def galaxies(box=BOX, seed=1, **options):
    settings = {"redshift": REDSHIFT, "density": 1.85e-2, "bias": 1.2, **options}
    return lognormal_galaxies(box, COSMOLOGY, seed=seed, **settings)


class TestGalaxies:
    def test_the_same_seed_gives_the_same_catalogue(self):
        one, two, other = galaxies(), galaxies(), galaxies(seed=2)
        np.testing.assert_array_equal(one.positions, two.positions)
        np.testing.assert_array_equal(one.velocities, two.velocities)
        np.testing.assert_array_equal(one.mass, two.mass)
        assert len(other) != len(one)

    @pytest.mark.parametrize("density", [1e-4, 1.85e-2])
    def test_the_density_is_the_asked_one_within_poisson_noise(self, density):
        number = density * BOX.volume
        assert len(galaxies(density=density)) == pytest.approx(number, abs=4 * np.sqrt(number))

    def test_they_fill_a_box_that_is_not_a_cube_and_not_at_the_origin(self):
        box = Box((120, 60, 90), (40, 15, 30), boxcenter=(0, 500, -45))
        positions = galaxies(box).positions
        np.testing.assert_allclose(positions.min(axis=0), box.lower, atol=0.05)
        np.testing.assert_allclose(positions.max(axis=0), box.upper, atol=0.05)
        assert positions.dtype == np.float32

    def test_their_power_is_bias_squared_times_the_linear_one(self):
        # Fixed modes and pairs leave few per cent of noise in three boxes of 256 Mpc/h.
        galaxy, matter = 0.0, 0.0
        for seed in range(3):
            for flip in (False, True):
                sample = galaxies(seed=seed, fixed=True, flip=flip)
                modes = density_modes(sample.positions, BOX)
                galaxy += band_power(BOX, 0.02, 0.15, modes) - BOX.volume / len(sample)
                matter += band_power(BOX, 0.02, 0.15, gaussian_modes(BOX, linear, 0, fixed=True))
        assert np.sqrt(galaxy / matter) == pytest.approx(1.2, rel=0.02)

    def test_redshift_space_is_kaisers_on_large_scales(self):
        # Against the very modes of the matter, so that there is little noise: delta_s should be
        # b (1 + beta mu^2) delta_m, in the mean and in its dependence on mu.
        box = Box(512, 128)
        beta = COSMOLOGY.growth_rate(REDSHIFT) / 1.2
        kx, ky, kz = wavevectors(box)
        factor = 1 + beta * kz**2 / (kx**2 + ky**2 + kz**2).clamp(min=1e-12)
        totals = np.zeros(6)
        for seed in range(2):
            sample = galaxies(box, seed=seed, density=4e-3, fixed=True)
            shifted = sample.positions.copy()
            shifted[:, 2] += sample.velocities[:, 2] * COSMOLOGY.distance_per_velocity(REDSHIFT)
            shifted[:, 2] %= 512
            matter = gaussian_modes(box, linear, seed, fixed=True)
            totals += [
                band_power(box, 0.02, 0.1, modes, matter, legendre=ell)
                for modes in (
                    density_modes(sample.positions, box),
                    density_modes(shifted, box),
                    matter * factor,
                )
                for ell in (0, 2)
            ]
        real, _, monopole, quadrupole, expected_monopole, expected_quadrupole = totals
        matter_power = 2 * band_power(box, 0.02, 0.1, gaussian_modes(box, linear, 0, fixed=True))
        assert monopole / real == pytest.approx(expected_monopole / matter_power, rel=0.02)
        assert quadrupole / real == pytest.approx(expected_quadrupole / matter_power, rel=0.1)

    def test_velocities_are_those_of_linear_theory(self):
        # <v^2> = (aHf)^2 sum_k P / (V k^2), exact for the field of fixed modes; at galaxies, which
        # trace the density and interpolate between cells, a few per cent off.
        sample = galaxies(fixed=True)
        kx, ky, kz = wavevectors(BOX, dtype=torch.float64)
        k = (kx**2 + ky**2 + kz**2).sqrt()
        k[0, 0, 0] = 1e9  # no power there
        matter = torch.from_numpy(linear(k.numpy())) / BOX.volume / k**2
        rate = COSMOLOGY.growth_rate(REDSHIFT) / COSMOLOGY.distance_per_velocity(REDSHIFT)
        expected = rate * np.sqrt(float((matter * hermitian_weights(64)).sum()))
        speed = np.sqrt((sample.velocities.astype(np.float64) ** 2).sum(axis=1).mean())
        assert speed == pytest.approx(expected, rel=0.06)

    def test_massive_galaxies_are_more_biased(self):
        ratio = {}
        matter = gaussian_modes(BOX, linear, 1, fixed=True)
        for environment in (0.0, 0.2):
            sample = galaxies(fixed=True, environment=environment)
            few = sample.positions[sample.most_massive(1e-3)]
            of_few = band_power(BOX, 0.02, 0.1, density_modes(few, BOX), matter)
            of_all = band_power(BOX, 0.02, 0.1, density_modes(sample.positions, BOX), matter)
            ratio[environment] = of_few / of_all
        assert ratio[0.0] == pytest.approx(1.0, abs=0.15)
        assert 1.25 < ratio[0.2] < 1.65

    def test_a_finer_mesh_is_the_same_universe(self):
        coarse, fine = galaxies(density=0.1), galaxies(Box(256, 128), density=0.1)
        one, two = density_modes(coarse.positions, BOX), density_modes(fine.positions, BOX)
        cross, auto = (band_power(BOX, 0.02, 0.1, one, other) for other in (two, one))
        assert cross / np.sqrt(auto * band_power(BOX, 0.02, 0.1, two)) > 0.98

    def test_most_massive_are_the_heaviest_first(self):
        sample = galaxies()
        chosen = sample.most_massive(1e-3)
        assert len(chosen) == round(1e-3 * BOX.volume)
        assert (np.diff(sample.mass[chosen]) <= 0).all()
        assert sample.mass[chosen[-1]] >= np.delete(sample.mass, chosen).max()

    def test_little_power_is_clipped_and_said(self):
        assert 0 <= galaxies().metadata["clipped_power"] < 1e-3

    def test_progress_runs_to_the_end(self):
        calls = []
        galaxies(progress=lambda *state: calls.append(state[1:3]))
        assert calls[0] == (0, 5)
        assert calls[-1] == (5, 5)

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"density": 0.0}, "density must be positive, not 0.0"),
            ({"density": np.nan}, "density must be positive, not nan"),
            ({"bias": -1.2}, "bias must be positive, not -1.2"),
            (
                {"box": Box(10, 4, periodic=False)},
                "a universe is simulated in a periodic box: pass Box(..., periodic=True)",
            ),
        ],
    )
    def test_bad_input_is_told_in_one_sentence(self, options, sentence):
        with pytest.raises(ValueError) as error:
            galaxies(**options)
        assert str(error.value) == sentence

    def test_more_than_there_are_is_refused(self):
        sample = galaxies(density=1e-3)
        with pytest.raises(ValueError, match=r"^density 1 \(h/Mpc\)\^3 asks for 16777216 galaxies"):
            sample.most_massive(1.0)
