"""The settings of a universe: what they make, what they need, and what they may not be."""

import numpy as np
import pytest

from truez.cli.errors import sentence
from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.simulate import (
    GalaxyModel,
    ParticleMesh,
    Universe,
    galaxies_from_particles,
    memory_needed,
    simulate,
)

SMALL = Universe(boxsize=64, num_particles=20, num_steps=2, seed=5)


def test_the_defaults_are_those_of_the_paper_in_a_smaller_box():
    universe = Universe()
    assert universe.box == Box(512, 256)
    assert (universe.redshift, universe.density) == (0.59, 1.85e-2)
    assert universe.cosmology == COSMOLOGIES["wmap"]
    assert universe.num_galaxies == round(1.85e-2 * 512**3)


def test_a_universe_is_the_simulation_and_its_galaxies():
    changes = {
        "boxsize": (80, 64, 72), "num_particles": (20, 16, 18), "cosmology": "tng", "redshift": 1,
        "num_steps": 2, "spacing": "log", "start_redshift": 7, "force_factor": 1, "fixed": True,
        "flip": True, "seed": 11, "density": 0.01, "galaxies": {"slope": 0.7},
    }  # fmt: skip
    made = Universe(**changes).make()
    particles = simulate(
        Box((80, 64, 72), (20, 16, 18)), COSMOLOGIES["tng"], redshift=1, seed=11,
        settings=ParticleMesh(start_redshift=7, num_steps=2, spacing="log", force_factor=1),
        fixed=True, flip=True,
    )  # fmt: skip
    model = GalaxyModel(slope=0.7)
    expected = galaxies_from_particles(particles, density=0.01, seed=11, model=model)
    np.testing.assert_array_equal(made.positions, expected.positions)
    np.testing.assert_array_equal(made.velocities, expected.velocities)
    np.testing.assert_array_equal(made.mass, expected.mass)
    assert made.metadata == expected.metadata


def test_same_settings_same_galaxies_and_another_seed_others():
    first, again, other = SMALL.make(), SMALL.make(), SMALL.with_seed(6).make()
    assert first.positions.tobytes() == again.positions.tobytes()
    assert first.velocities.tobytes() == again.velocities.tobytes()
    assert first.mass.tobytes() == again.mass.tobytes()
    assert first.positions.tobytes() != other.positions.tobytes()
    assert SMALL.with_seed(6).model_dump() == {**SMALL.model_dump(), "seed": 6}


def test_it_is_a_value_that_survives_plain_text():
    assert Universe(**SMALL.model_dump()) == SMALL
    assert Universe.model_validate_json(SMALL.model_dump_json()) == SMALL
    cuboid = Universe(boxsize=[64, 64, 128], num_particles=[20, 20, 40])
    assert Universe.model_validate_json(cuboid.model_dump_json()) == cuboid
    assert hash(cuboid) == hash(Universe(boxsize=(64, 64, 128), num_particles=(20, 20, 40)))


def test_memory_is_that_of_the_simulation_or_of_its_galaxies():
    def memory(**changes):
        return Universe(**{"boxsize": 512, "num_particles": 256, **changes}).memory_needed

    assert memory() == memory_needed(Box(512, 256), 2)
    assert memory(force_factor=4) == memory_needed(Box(512, 256), 4)
    # Nearly all particles are galaxies: all are looked at.
    assert memory(force_factor=1, density=0.12) == 120 * 256**3
    # A mesh for the local density that is finer than the force's.
    cells = (1200 / GalaxyModel().scale) ** 3
    assert memory(num_particles=300, boxsize=1200, density=1e-3) >= 4 * cells


BROKEN = [
    ({"boxsize": [1, 2]}, "boxsize must be one positive number or three, not [1, 2]"),
    ({"boxsize": -5}, "boxsize must be one positive number or three, not -5"),
    ({"boxsize": "wide"}, "boxsize must be one positive number or three, not 'wide'"),
    ({"boxsize": float("inf")}, "boxsize must be one positive number or three, not inf"),
    (
        {"boxsize": 20},
        (
            "boxsize of 20 Mpc/h is too small, since its largest waves are not linear at redshift "
            "0.59: take at least 28 Mpc/h"
        ),
    ),
    (
        {"num_particles": 64.5},
        "num_particles must be whole numbers from 8 to 262144, not 64.5",
    ),
    ({"num_particles": 4}, "num_particles must be whole numbers from 8 to 262144, not 4"),
    ({"num_particles": 0}, "num_particles must be one positive number or three, not 0"),
    (
        {"num_particles": (128, 128, 256)},
        "num_particles of 128,128,256 do not lie equally far apart in a box of 512 Mpc/h: take 256",
    ),
    (
        {"boxsize": (256, 256, 512), "num_particles": 128},
        (
            "num_particles of 128 do not lie equally far apart in a box of 256,256,512 Mpc/h: take "
            "128,128,256"
        ),
    ),
    ({"redshift": 12}, "redshift 12 must be below start_redshift 9: start earlier"),
    ({"redshift": 9}, "redshift 9 must be below start_redshift 9: start earlier"),
    ({"redshift": -1}, "redshift must be at least 0 and at most 100, not -1"),
    ({"redshift": float("nan")}, "redshift must be a finite number, not nan"),
    (
        {"density": 2},
        (
            "density of 2 (h/Mpc)^3 is more galaxies than there are particles, 0.125: take "
            "num_particles of at least 646"
        ),
    ),
    ({"density": 0}, "density must be positive, not 0 (h/Mpc)^3"),
    ({"density": -1}, "density must be positive, not -1 (h/Mpc)^3"),
    (
        {"density": 1e-12},
        "density of 1e-12 (h/Mpc)^3 yields no galaxy in a box of 512 Mpc/h: take at least 7.5e-09",
    ),
    ({"cosmology": "flat"}, "cosmology must be one of wmap, tng, planck18, not 'flat'"),
    (
        {"force_factor": 7},
        "force_factor must be one of 1, 2, 3, 4 cells per particle and axis, not 7",
    ),
    ({"spacing": "cubic"}, "spacing must be one of linear, log, not 'cubic'"),
    ({"num_steps": 0}, "num_steps must be a whole number from 1 to 100000, not 0"),
    ({"seed": -1}, f"seed must be at least 0 and below {2**64}, not -1"),
    ({"seed": 2**64}, f"seed must be at least 0 and below {2**64}, not {2**64}"),
    ({"galaxies": {"scale": 0}}, "galaxies.scale must be above 0, not 0"),
    ({"fixd": True}, "fixd is not a known setting: did you mean fixed?"),
    ({"boxsize": 1e300}, "boxsize must be from 0.001 to 100000 Mpc/h, not 1e300"),
    ({"boxsize": 1e-300}, "boxsize must be from 0.001 to 100000 Mpc/h, not 1e-300"),
    ({"start_redshift": 1e300}, "start_redshift must be at least 0 and at most 1000, not 1e300"),
]


@pytest.mark.parametrize(("change", "expected"), BROKEN, ids=lambda value: str(value)[:40])
def test_broken_settings(change, expected):
    with pytest.raises(ValueError) as caught:
        Universe(**change)
    assert sentence(caught.value) == expected


def test_a_start_too_late_for_the_lattice():
    universe = Universe(boxsize=30, num_particles=24, start_redshift=2, num_steps=1)
    with pytest.raises(ValueError, match=r"^start_redshift 2 is too late for particles 1.25 Mpc/h"):
        universe.make()
