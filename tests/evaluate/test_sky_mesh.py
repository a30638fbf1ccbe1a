"""The mesh of fields on the sky: expected counts are the mean of random galaxies, at edges too."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from truez.cosmology import Cosmology
from truez.evaluate.sky.fields import SkyFieldJudge
from truez.evaluate.sky.mesh import SkyMesh
from truez.surveys.footprint import Rectangle
from truez.surveys.nz import NumberDensity
from truez.surveys.random_sky import random_directions

AREA = Rectangle(354, 6, 40, 46)
PLANCK = Cosmology.of("planck18")
NZ = NumberDensity(np.linspace(0.02, 0.3, 30), np.linspace(8e4, 1e4, 30))
RANGE = (0.1, 0.2)


@pytest.fixture(scope="module")
def mesh():
    return SkyMesh.around(AREA, cosmology=PLANCK, redshift_range=RANGE, radius=8.0, cellsize=4.0)


def randoms(num, seed=1):
    rng = np.random.default_rng(seed)
    return (*random_directions(AREA, num, rng), NZ.quantile(rng.random(num)))


def test_expected_counts_are_those_of_random_galaxies_at_edges_as_well(mesh):
    num = 500_000
    found = mesh.paint(*randoms(num)) * (NZ.total / num)
    expected = mesh.expected(NZ)
    judge = SkyFieldJudge(mesh, found, expected, (8.0,))
    assert abs(float(judge.truth[8.0].mean())) < 0.01
    assert float(judge.truth[8.0].std()) < 0.05
    # Next to the footprint as in its middle.
    low, high = PLANCK.distances.from_redshift(RANGE)
    shell = torch.zeros(mesh.box.meshsize, dtype=torch.bool)
    for rows, _, _, chi in mesh.places():
        shell[rows] = torch.from_numpy((chi > low) & (chi < high))
    edge = shell & ~mesh.judged()
    assert float(found[edge].sum()) == pytest.approx(float(expected[edge].sum()), rel=0.02)


def test_cells_that_are_judged_are_in_the_footprint_and_the_range(mesh):
    cells = mesh.judged()
    volume = float(cells.sum()) * mesh.cellsize**3
    near, far = PLANCK.distances.from_redshift(RANGE)
    solid = AREA.area * np.radians(1) ** 2
    assert volume == pytest.approx(solid * (far**3 - near**3) / 3, rel=0.01)
    ra, dec, z = randoms(5000)
    inside = mesh.box.inside(mesh.positions(ra, dec, PLANCK.distances.from_redshift(z)))
    assert inside[(z > RANGE[0]) & (z < RANGE[1])].all()


def test_a_field_is_read_at_the_place_of_each_cell(mesh):
    found = mesh.read(lambda ra, dec, z: (np.cos(np.radians(ra)) * dec + z).astype(np.float32))
    for rows, ra, dec, chi in mesh.places():
        known = mesh.judged()[rows].numpy()
        z = PLANCK.distances.redshift(chi[known])
        wanted = np.cos(np.radians(ra[known])) * dec[known] + z
        np.testing.assert_allclose(found[rows].numpy()[known], wanted, rtol=1e-5)


def test_wide_surveys_get_larger_cells():
    wide = Rectangle(0, 180, -60, 60)
    mesh = SkyMesh.around(
        wide, cosmology=PLANCK, redshift_range=(0.1, 0.5), radius=8.0, most_cells=10**6
    )
    assert mesh.box.num_cells < 1.2e6
    assert mesh.cellsize > 10
    assert bool(mesh.judged().any())


def test_the_truth_is_its_own_best_estimate_and_what_is_expected_knows_nothing(mesh):
    expected = mesh.expected(NZ)
    truth = mesh.paint(*randoms(20_000, seed=2))
    judge = SkyFieldJudge(mesh, truth, expected, (4.0, 8.0))
    same, nothing = judge.entry(truth), judge.entry(expected)
    for radius in (4.0, 8.0):
        own = same["smoothed"][str(radius)]
        assert own["mse"] == 0
        assert own["correlation"] == pytest.approx(1)
        variance = judge.about_truth["smoothed_variance"][str(radius)]
        mean = float(judge.truth[radius].mean())
        assert nothing["smoothed"][str(radius)]["mse"] == pytest.approx(
            variance + mean**2, rel=1e-3
        )
    np.testing.assert_allclose(same["cross"], judge.about_truth["power"], rtol=1e-5)


def test_a_plane_holds_the_contrast_of_the_judged_cells_alone(mesh):
    expected = mesh.expected(NZ)
    judge = SkyFieldJudge(mesh, 2 * expected, expected, (4.0,))
    plane = judge.plane(2 * expected, 4.0)
    assert plane.shape == (mesh.box.meshsize[0], mesh.box.meshsize[2])
    known = np.isfinite(plane)
    assert 0.2 < known.mean() < 0.9
    np.testing.assert_allclose(plane[known], 1, rtol=1e-4)


def test_parts_of_the_redshifts_are_scored_by_their_own_cells(mesh):
    expected = mesh.expected(NZ)
    truth = mesh.paint(*randoms(int(NZ.total), seed=3))
    judge = SkyFieldJudge(mesh, truth, expected, (8.0,), (0.1, 0.15, 0.2))
    near = mesh.read(lambda ra, dec, z: (z < 0.15).astype(np.float32))
    # Right in the nearer part but for its last cells, and empty of structure in the farther one.
    first, last = judge.entry(near * truth + (1 - near) * expected)["smoothed_by_redshift"]
    assert first["8"]["correlation"] > 0.7 > 0.3 > last["8"]["correlation"]
    assert first["8"]["mse_over_variance"] < 0.5
    assert last["8"]["mse_over_variance"] == pytest.approx(1, abs=0.1)
