"""Galaxies among particles: their number, their ranking, centrals and satellites."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truez.mesh.box import Box
from truez.mesh.painting import paint
from truez.simulate import GalaxyModel, Particles, galaxies_from_particles
from truez.simulate.galaxies import _cells, _density_of_others, _with_satellites
from truez.statistics.power import power

BOX = Box(64, 32, (10, -5, 100))
MEAN = 32**3 / BOX.volume


def particles_at(positions, box=BOX):
    rng = np.random.default_rng(5)
    velocities = rng.normal(size=positions.shape).astype(np.float32)
    return Particles(positions.astype(np.float32), velocities, box, 0.5, {"maker": "a test"})


def uniform(number=32**3, box=BOX, seed=0):
    rng = np.random.default_rng(seed)
    return box.lower + rng.random((number, 3)) * box.boxsize


def clustered(seed=0):
    """Half of the particles in 60 clumps of 1 Mpc/h, the others anywhere."""
    rng = np.random.default_rng(seed)
    centers = uniform(60, seed=seed)
    near = centers[rng.integers(60, size=32**3 // 2)] + rng.normal(size=(32**3 // 2, 3))
    positions = np.concatenate([uniform(32**3 // 2, seed=seed + 1), near])
    return particles_at(BOX.lower + np.mod(positions - BOX.lower, BOX.boxsize))


CLUMPS = clustered()


class TestSelection:
    @pytest.mark.parametrize("density", [1e-3, 1.85e-2, MEAN])
    def test_the_number_is_the_density_asked_for(self, density):
        galaxies = galaxies_from_particles(CLUMPS, density=density, seed=1)
        assert len(galaxies) == round(density * BOX.volume)
        assert len(galaxies.central) == len(galaxies.mass) == len(galaxies)

    def test_galaxies_are_particles_with_their_velocities(self):
        galaxies = galaxies_from_particles(CLUMPS, seed=1)
        row = {tuple(x): tuple(v) for x, v in zip(CLUMPS.positions, CLUMPS.velocities, strict=True)}
        for x, v in zip(galaxies.positions, galaxies.velocities, strict=True):
            assert row[tuple(x)] == tuple(v)

    def test_a_sparser_sample_is_the_top_of_a_denser_one(self):
        few = galaxies_from_particles(CLUMPS, density=2e-3, seed=1)
        many = galaxies_from_particles(CLUMPS, density=4e-2, seed=1)
        heaviest = np.sort(many.most_massive(2e-3))
        np.testing.assert_array_equal(many.positions[heaviest], few.positions)
        np.testing.assert_array_equal(many.mass[heaviest], few.mass)
        np.testing.assert_array_equal(many.central[heaviest], few.central)

    def test_the_seed_names_the_galaxies(self):
        one, two, other = (galaxies_from_particles(CLUMPS, seed=seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(one.positions, two.positions)
        np.testing.assert_array_equal(one.mass, two.mass)
        assert not np.array_equal(one.mass, other.mass)

    def test_metadata_say_what_made_them(self):
        model = GalaxyModel(slope=0.7)
        galaxies = galaxies_from_particles(CLUMPS, density=1e-2, seed=3, model=model)
        assert galaxies.metadata["maker"] == "a test"
        assert galaxies.metadata["galaxies"] == {
            "density": 1e-2,
            "seed": 3,
            **model.model_dump(),
        }
        assert (galaxies.box, galaxies.redshift) == (BOX, 0.5)

    @pytest.mark.parametrize("density", [0.0, -1.0, math.nan, math.inf, 2 * MEAN])
    def test_a_density_that_the_particles_cannot_give(self, density):
        with pytest.raises(ValueError) as error:
            galaxies_from_particles(CLUMPS, density=density, seed=1)
        assert str(error.value) == (
            "density must be positive and at most that of the 32768 particles, 0.125 (h/Mpc)^3, "
            f"not {density!r}: take more particles or fewer galaxies"
        )

    @pytest.mark.parametrize(
        "setting", [{"slope": -1}, {"scale": 0}, {"ceiling": math.inf}, {"colour": 1}]
    )
    def test_a_model_that_is_none(self, setting):
        with pytest.raises(ValueError, match=next(iter(setting))):
            GalaxyModel(**setting)


class TestBias:
    def test_without_any_slope_galaxies_are_a_random_part_of_matter(self):
        # Uniform particles, so that the spectrum of a part is its shot noise.
        model = GalaxyModel(slope=0, halo_scatter=0, gap=0, stripping=0)
        given = particles_at(uniform(32**3))
        galaxies = galaxies_from_particles(given, density=0.02, seed=1, model=model)
        found = power(paint(galaxies.positions, BOX, "tsc"), compensate=True)
        kept = found.k < 0.5 * BOX.nyquist
        ratio = np.average(found.poles[0][kept] / found.shotnoise, weights=found.nmodes[kept])
        assert ratio == pytest.approx(1, abs=5 * math.sqrt(2 / found.nmodes[kept].sum()))

    def test_the_most_massive_live_where_matter_is_dense(self):
        mesh = Box.from_cellsize(BOX.boxsize, 1.0, BOX.boxcenter)
        galaxies = galaxies_from_particles(CLUMPS, density=0.02, seed=1)
        whole = _density_of_others(CLUMPS.positions, mesh).mean()

        def mean_density(positions):
            at = {tuple(x): i for i, x in enumerate(CLUMPS.positions)}
            rows = [at[tuple(x)] for x in positions]
            return _density_of_others(CLUMPS.positions, mesh)[rows].mean()

        heaviest = galaxies.most_massive(1e-3)
        assert whole < mean_density(galaxies.positions)
        assert mean_density(galaxies.positions) < mean_density(galaxies.positions[heaviest])


class TestDensity:
    def test_one_particle_alone_sees_nothing_and_two_see_each_other(self):
        mesh = Box(8, 8)
        alone = _density_of_others(np.array([[3.3, 4.1, 7.9]], dtype=np.float32), mesh)
        assert alone == pytest.approx([0], abs=1e-4)
        together = np.full((2, 3), 2.5, dtype=np.float32)  # the centre of a cell: all in one
        assert _density_of_others(together, mesh) == pytest.approx([256, 256])

    @given(st.integers(0, 2**32), st.integers(2, 300))
    def test_the_others_of_a_uniform_box_have_its_density(self, seed, number):
        mesh = Box(6, 6)
        rng = np.random.default_rng(seed)
        positions = (6 * rng.random((number, 3))).astype(np.float32)
        density = _density_of_others(positions, mesh)
        assert (density >= 0).all()
        # The sum over pairs counts each from both sides: never more than all in one cell.
        assert density.max() <= mesh.num_cells * (number - 1) / number * (1 + 1e-4)


class TestSatellites:
    MESH = Box(4, 2)
    MODEL = GalaxyModel(scale=2, gap=1.0, stripping=0.5, ceiling=10)

    def final(self, masses, cells, local):
        positions = np.array(cells, dtype=np.float32).reshape(-1, 1) * 2 + np.ones((1, 3))
        return _with_satellites(
            positions.astype(np.float32),
            np.array(local, dtype=np.float32),
            np.array(masses, dtype=np.float32),
            self.MESH,
            self.MODEL,
        )

    def test_the_heaviest_of_a_cell_is_central_and_keeps_its_mass(self):
        mass, central = self.final([3, 1, 2, 5], [0, 0, 1, 1], [1, 1, 1, 100])
        assert central.tolist() == [True, False, False, True]
        assert mass[central].tolist() == [3, 5]
        assert mass[1] == pytest.approx(3 - math.hypot(2, 1))
        assert mass[2] == pytest.approx(5 - math.hypot(3, 1))

    def test_satellites_lose_mass_in_the_densest_places(self):
        mass, _ = self.final([3, 1, 3, 1], [0, 0, 1, 1], [10, 10, 10, 40])
        assert mass[1] - mass[3] == pytest.approx(0.5 * math.log(4))

    @given(st.integers(0, 2**32))
    def test_no_object_gains_mass_and_each_cell_has_one_central(self, seed):
        rng = np.random.default_rng(seed)
        positions = (4 * rng.random((40, 3))).astype(np.float32)
        before = rng.normal(size=40).astype(np.float32)
        local = rng.exponential(20, size=40).astype(np.float32)
        after, central = _with_satellites(positions, local, before, self.MESH, self.MODEL)
        assert (after <= before + 1e-5).all()
        cells = _cells(positions, self.MESH)
        assert sorted(cells[central]) == sorted(set(cells))
        np.testing.assert_array_equal(after[central], before[central])

    def test_cells_of_positions_at_the_faces(self):
        mesh = Box(3, 3, (1.5, 1.5, 1.5))
        below = np.nextafter(np.float32(3), np.float32(0))
        positions = np.array([[0, 0, 0], [below, below, below], [0, 1, 2]], dtype=np.float32)
        assert _cells(positions, mesh).tolist() == [0, 26, 5]
