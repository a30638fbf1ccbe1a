"""Lagrangian perturbation theory against plane waves, a sphere's collapse and its own scaling."""

import math

import numpy as np
import pytest
import torch

from truez.cosmology import COSMOLOGIES, Cosmology
from truez.mesh.box import Box
from truez.simulate import gaussian_modes, lpt_particles
from truez.simulate.lpt import lattice

COSMOLOGY = COSMOLOGIES["wmap"]
EINSTEIN_DE_SITTER = Cosmology(h=0.7, omega_m=1 - 1e-9)
BOX = Box((96, 64, 80), (24, 16, 20), (0, 32, 7))


def waves(box, *numbers, amplitude=0.3):
    """Modes of a sum of cosines of the same amplitude, each with its three wave numbers."""
    nx, ny, nz = box.meshsize
    modes = torch.zeros(nx, ny, nz // 2 + 1, dtype=torch.complex64)
    for ix, iy, iz in numbers:
        modes[ix, iy, iz] += amplitude / 2
        if iz == 0:
            modes[-ix, -iy, 0] += amplitude / 2
    return modes


def displacements(box, particles):
    return (particles[0].reshape(*box.meshsize, 3) - lattice(box)).double()


@pytest.mark.parametrize("order", [1, 2])
def test_a_plane_wave_is_zeldovichs_exact_solution(order):
    # Before shells cross, Zel'dovich is exact in one dimension: the second order adds nothing.
    redshift, amplitude = 1.0, 0.3
    modes = waves(BOX, (2, 0, 0), amplitude=amplitude)
    before = modes.clone()
    positions, velocities = lpt_particles(modes, BOX, COSMOLOGY, redshift, order=order)
    k = 2 * BOX.fundamental[0]
    q = lattice(BOX)[..., 0].double() - BOX.lower[0]
    growth = COSMOLOGY.growth_factor(redshift)
    expected = -growth * amplitude / k * torch.sin(k * q)
    shift = displacements(BOX, (positions, velocities))
    np.testing.assert_allclose(shift[..., 0], expected, atol=2e-5)
    np.testing.assert_allclose(shift[..., 1:], 0, atol=1e-5)
    # v = a H f times the displacement, H in km/s per Mpc/h.
    rate = COSMOLOGY.growth_rate(redshift) / COSMOLOGY.distance_per_velocity(redshift)
    velocity = velocities.reshape(*BOX.meshsize, 3)[..., 0].double()
    np.testing.assert_allclose(velocity, rate * expected, atol=1e-5 * rate)
    assert torch.equal(modes, before)


def test_crossed_waves_have_the_second_order_of_their_product():
    # delta = A (cos kx + cos my): phi1,xx phi1,yy = A^2 cos kx cos my, so that
    # s2 = grad phi2 = A^2 / (k^2 + m^2) (k sin kx cos my, m cos kx sin my, 0).
    amplitude = 0.4
    modes = waves(BOX, (2, 0, 0), (0, 3, 0), amplitude=amplitude)
    first = displacements(BOX, lpt_particles(modes, BOX, COSMOLOGY, 0.5, order=1))
    second = displacements(BOX, lpt_particles(modes, BOX, COSMOLOGY, 0.5))
    k, m = 2 * BOX.fundamental[0], 3 * BOX.fundamental[1]
    q = lattice(BOX).double() - torch.tensor(BOX.lower).double()
    x, y = k * q[..., 0], m * q[..., 1]
    scale = COSMOLOGY.second_growth_factor(0.5) * amplitude**2 / (k**2 + m**2)
    np.testing.assert_allclose((second - first)[..., 0], scale * k * x.sin() * y.cos(), atol=3e-5)
    np.testing.assert_allclose((second - first)[..., 1], scale * m * x.cos() * y.sin(), atol=3e-5)
    np.testing.assert_allclose((second - first)[..., 2], 0, atol=3e-5)


def test_a_sphere_collapses_as_its_exact_solution_says():
    # At the peak of three crossed waves the collapse is locally isotropic. To second order the
    # volume there is (1 - d/3 + D2 d^2 / 9)^3 with s2's divergence 3 (d/3)^2 (one of each pair),
    # while the spherical collapse has delta = d + 17/21 d^2 + ...
    box, linear = Box(100, 32), 0.12
    modes = waves(box, (1, 0, 0), (0, 1, 0), (0, 0, 1), amplitude=linear / 3)
    shift = displacements(box, lpt_particles(modes, box, EINSTEIN_DE_SITTER, 0.0))
    # Slope of the displacement at the origin, by a central difference of six points.
    cell = box.cellsize[0]
    values = [float(shift[i, 0, 0, 0]) for i in (1, 2, 3)]
    slope = 2 * (45 * values[0] - 9 * values[1] + values[2]) / (60 * cell)
    density = (1 + slope) ** -3 - 1
    exact = linear + 17 / 21 * linear**2 + 341 / 567 * linear**3
    assert density == pytest.approx(exact, rel=2e-3)
    zeldovich = (1 - linear / 3) ** -3 - 1
    assert abs(zeldovich - exact) > 10 * abs(density - exact)


def test_the_second_order_grows_with_the_square_of_the_modes():
    modes = gaussian_modes(BOX, lambda k: COSMOLOGY.linear_power(k, 0.0), 3)

    def second(factor):
        both = displacements(BOX, lpt_particles(modes * factor, BOX, COSMOLOGY, 0.0))
        return both - displacements(
            BOX, lpt_particles(modes * factor, BOX, COSMOLOGY, 0.0, order=1)
        )

    small, large = second(1.0), second(4.0)
    np.testing.assert_allclose(large, 16 * small, atol=2e-3 * float(large.std()))


def test_finer_lattices_sample_the_same_universe():
    coarse, fine = Box(100, 16, -20), Box(100, 48, -20)
    number = waves(coarse, (2, 1, 3)), waves(fine, (2, 1, 3))
    small = lpt_particles(number[0], coarse, COSMOLOGY, 1.0)[0].reshape(16, 16, 16, 3)
    large = lpt_particles(number[1], fine, COSMOLOGY, 1.0)[0].reshape(48, 48, 48, 3)
    np.testing.assert_allclose(large[::3, ::3, ::3], small, atol=3e-5)


def test_the_lattice_fills_the_box():
    points = lattice(BOX).reshape(-1, 3)
    assert points.dtype == torch.float32
    np.testing.assert_allclose(points.amin(0), BOX.lower, atol=1e-6)
    np.testing.assert_allclose(points.amax(0), np.subtract(BOX.upper, BOX.cellsize), atol=1e-5)
    assert len(points.unique(dim=0)) == BOX.num_cells


def test_another_order_is_refused():
    with pytest.raises(ValueError) as error:
        lpt_particles(waves(BOX, (1, 0, 0)), BOX, COSMOLOGY, 1.0, order=3)
    assert str(error.value) == "order must be 1 or 2, not 3"


def test_velocities_are_the_time_derivative_of_positions():
    modes = gaussian_modes(BOX, lambda k: COSMOLOGY.linear_power(k, 0.0), 5)
    redshift, step = 2.0, 0.02
    a = 1 / (1 + redshift)
    early, late = (
        displacements(BOX, lpt_particles(modes, BOX, COSMOLOGY, 1 / (a * math.exp(d)) - 1))
        for d in (-step, step)
    )
    # v = a dx/dt = a H dx/dln a, in km/s.
    slope = (late - early) / (2 * step) / COSMOLOGY.distance_per_velocity(redshift)
    velocities = lpt_particles(modes, BOX, COSMOLOGY, redshift)[1].reshape(slope.shape)
    np.testing.assert_allclose(velocities, slope, atol=2e-3 * float(slope.std()))
