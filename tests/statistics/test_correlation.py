"""Correlation functions: direct pair counts, closed boxes, a known spectrum, the painting."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.statistics.correlation import correlation
from truez.statistics.results import Correlation


def noise(box: Box, seed: int = 0, mean: float = 0.0) -> Field:
    values = np.random.default_rng(seed).normal(mean, 1, box.meshsize)
    return Field(torch.as_tensor(values, dtype=torch.float32), box, "delta")


def gaussian(box: Box, radius: float, seed: int) -> Field:
    """Unit white noise smoothed, whose xi(r) is exp(-r^2 / (4 radius^2)) times its variance."""
    return noise(box, seed).smooth(radius)


# --- closed boxes -------------------------------------------------------------------------------


@pytest.mark.parametrize("mesh", [(8, 8, 8), (7, 4, 5), (3, 9, 6)])
@pytest.mark.parametrize("crossed", [False, True])
def test_a_closed_box_equals_the_mean_over_its_pairs(mesh, crossed):
    """At each separation the mean over the pairs in the box; then the mean over separations."""
    box = Box(np.array(mesh) * (8.0, 7.5, 10.0), mesh, periodic=False)
    a = noise(box, 1, mean=0.5)
    b = noise(box, 2, mean=-1.0) if crossed else a
    edges = np.array([0.0, 10.5, 15.0, min(box.boxsize)])
    result = correlation(a, b if crossed else None, edges=edges)
    da, db = a.numpy().astype(float), b.numpy().astype(float)
    found: list[list[tuple[float, float]]] = [[], [], []]
    for x in range(-mesh[0] + 1, mesh[0]):
        for y in range(-mesh[1] + 1, mesh[1]):
            for z in range(-mesh[2] + 1, mesh[2]):
                here = tuple(
                    slice(max(-s, 0), n - max(s, 0)) for s, n in zip((x, y, z), mesh, strict=True)
                )
                there = tuple(
                    slice(max(s, 0), n - max(-s, 0)) for s, n in zip((x, y, z), mesh, strict=True)
                )
                r = np.linalg.norm(np.multiply((x, y, z), box.cellsize))
                bin_ = np.searchsorted(edges, r * (1 + 1e-9), side="right") - 1
                if r > 0 and bin_ < 3:
                    found[bin_].append((r, (da[here] * db[there]).mean()))
    for i, pairs in enumerate(found):
        assert result.npairs[i] == len(pairs)
        np.testing.assert_allclose(result.r[i], np.mean(pairs, axis=0)[0], rtol=1e-9)
        np.testing.assert_allclose(result.xi[i], np.mean(pairs, axis=0)[1], rtol=1e-4, atol=2e-6)


def test_sub_boxes_are_unbiased_and_wrapping_them_is_not():
    """The mean over the cubes of a large box is the xi of the large box, faces or no faces."""
    box, radius = Box(256.0, 64), 12.0
    field = gaussian(box, radius, 3)
    edges = np.array([6.0, 14.0, 22.0, 30.0])
    whole = correlation(field, edges=edges).xi
    cubes, wrapped = [], []
    for corner in np.ndindex(4, 4, 4):
        start = [16 * c for c in corner]
        cube = field.crop(start, [s + 16 for s in start])
        cubes.append(correlation(cube, edges=edges).xi)
        repeated = Field(cube.values, Box(64.0, 16), "delta")
        wrapped.append(correlation(repeated, edges=edges).xi)
    mean = np.mean(cubes, axis=0)
    error = np.std(cubes, axis=0, ddof=1) / 8
    assert (error < 0.15 * whole[0]).all()
    assert (np.abs(mean - whole) < 3 * error).all()
    # wrapping dilutes the pairs with unrelated ones, and its mean is taken away
    assert (np.mean(wrapped, axis=0) < mean - 3 * error).all()


def test_a_slab_weighs_all_directions_alike():
    """Waves along the short side: xi is cos(k z), whatever the number of pairs at each z."""
    mesh = (40, 40, 12)
    box = Box(2.0 * np.array(mesh), mesh, periodic=False)
    k = 2 * np.pi / 12.0  # two whole waves: the mean over the pairs at each lag is not exact
    z = box.centers(2)
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 2 * np.pi, (40, 40, 1))
    field = Field(
        torch.as_tensor(np.sqrt(2) * np.cos(k * z + phase), dtype=torch.float32), box, "delta"
    )
    # only separations along z are correlated: one line of sight is independent of the next
    edges = np.array([1.0, 3.0, 5.0])
    result = correlation(field, edges=edges)
    lags = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3) * 2.0
    r = np.linalg.norm(lags, axis=1)
    for i in range(2):
        inside = (r >= edges[i]) & (r < edges[i + 1])
        expected = np.where((lags[:, :2] == 0).all(axis=1), np.cos(k * lags[:, 2]), 0)[inside]
        assert result.npairs[i] == inside.sum()
        assert result.xi[i] == pytest.approx(expected.mean(), abs=0.01)


def test_a_constant_is_its_square_in_a_closed_box_and_nothing_in_a_periodic_one():
    for periodic, expected in ((False, 0.25), (True, 0.0)):
        box = Box(40.0, (10, 9, 8), periodic=periodic)
        flat = Field(torch.full(box.meshsize, 0.5), box, "delta")
        np.testing.assert_allclose(correlation(flat).xi, expected, atol=1e-6)


def test_counts_are_taken_relative_to_their_mean():
    box = Box(40.0, 10, periodic=False)
    counts = Field(noise(box, 1).values + 10, box, "counts")
    np.testing.assert_allclose(
        correlation(counts).xi, correlation(counts.to_delta()).xi, rtol=1e-4, atol=1e-8
    )


# --- a known spectrum ---------------------------------------------------------------------------


@pytest.mark.parametrize("periodic", [True, False])
def test_a_gaussian_field_has_the_transform_of_its_spectrum(periodic):
    """P(k) = V_cell exp(-k^2 R^2): xi(r) = V_cell exp(-r^2 / 4 R^2) / (4 pi R^2)^1.5."""
    radius, results = 8.0, []
    edges = np.array([2.0, 6.0, 10.0, 14.0, 18.0, 26.0])
    for seed in range(6):
        whole = gaussian(Box(192.0, 48), radius, seed)
        field = whole if periodic else whole.crop((0, 0, 0), (48, 40, 20))
        results.append(correlation(field, edges=edges))
    xi = np.array([result.xi for result in results])
    error = xi.std(axis=0, ddof=1) / np.sqrt(len(xi))
    index = np.arange(-8, 9)
    r = 4.0 * np.linalg.norm(np.stack(np.meshgrid(index, index, index), -1), axis=-1)
    form = 4.0**3 * np.exp(-((r / (2 * radius)) ** 2)) / (4 * np.pi * radius**2) ** 1.5
    expected = [form[(r >= low) & (r < high)].mean() for low, high in itertools.pairwise(edges)]
    assert (error[:3] < 0.05 * np.array(expected[:3])).all()
    assert (np.abs(xi.mean(axis=0) - expected) < 4 * error).all()


# --- galaxies -----------------------------------------------------------------------------------


def clustered(box: Box, seed: int) -> np.ndarray:
    """Groups of 200 galaxies, each a Gaussian ball of 6 Mpc/h."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0, 1, (60, 1, 3)) * box.boxsize
    members = centers + rng.normal(0, 6.0, (60, 200, 3))
    return members.reshape(-1, 3) % box.boxsize


@pytest.fixture(scope="module")
def galaxies():
    box = Box(120.0, 60)
    positions = clustered(box, 5)
    edges = np.array([6.0, 9.0, 12.0, 16.0, 20.0])
    counts = cKDTree(positions, boxsize=120.0)
    return box, positions, edges, np.diff(counts.count_neighbors(counts, edges))


def test_a_periodic_box_agrees_with_direct_pair_counts(galaxies):
    """xi = DD / RR - 1, RR the volume of the shell; painted with CIC, 3 and more cells away."""
    box, positions, edges, pairs = galaxies
    random = len(positions) ** 2 / box.volume * 4 / 3 * np.pi * np.diff(edges**3)
    direct = pairs / random - 1
    painted = correlation(paint(positions, box, "cic"), edges=edges).xi
    assert direct[0] > 1
    np.testing.assert_allclose(1 + painted, 1 + direct, rtol=0.02)


def test_a_closed_box_agrees_with_direct_pair_counts(galaxies):
    """<n n'> over the mean density squared in a cut of the box: DD / RR with randoms in the cut."""
    box, positions, edges, _ = galaxies
    start, stop = (0, 0, 0), (60, 40, 24)
    cut = box.crop(start, stop)
    inside = positions[cut.inside(positions)]
    tree = cKDTree(inside)
    data = np.diff(tree.count_neighbors(tree, edges))
    randoms = cKDTree(np.random.default_rng(0).random((15000, 3)) * cut.boxsize)
    random = np.diff(randoms.count_neighbors(randoms, edges))
    # relative to the mean density of the whole box
    density = len(positions) / box.volume * cut.volume
    direct = data / random * (randoms.n / density) ** 2
    delta = paint(positions, box, "cic").to_delta().crop(start, stop)
    density = Field(delta.values + 1, delta.box, "delta")
    np.testing.assert_allclose(correlation(density, edges=edges).xi, direct, rtol=0.03)


def test_painting_lowers_xi_as_the_window_says():
    """To second order by (c^2 / 6) laplace xi: here a Gaussian ball of variance 2 * 6^2."""
    box, groups = Box(128.0, 32), 3000
    rng = np.random.default_rng(2)
    centers = rng.uniform(0, 128, (groups, 1, 3))
    positions = ((centers + rng.normal(0, 6.0, (groups, 40, 3))) % 128).reshape(-1, 3)
    variance, cell = 2 * 6.0**2, 4.0
    edges = np.array([8.0, 10.0])
    coarse = correlation(paint(positions, box, "cic"), edges=edges)
    fine = correlation(paint(positions, Box(128.0, 128), "cic"), edges=edges)
    r = 9.0
    change = cell**2 / 6 * (r**2 / variance**2 - 3 / variance)
    assert change < -0.05
    assert coarse.xi[0] / fine.xi[0] == pytest.approx(1 + change, abs=0.03)


# --- contract -----------------------------------------------------------------------------------


def test_a_result_is_read_back(tmp_path):
    result = correlation(noise(Box(40.0, 10, periodic=False)))
    result.write(tmp_path / "xi.ecsv")
    back = Correlation.read(tmp_path / "xi.ecsv")
    for name in ("edges", "r", "npairs", "xi"):
        np.testing.assert_array_equal(getattr(back, name), getattr(result, name))


def test_the_field_is_not_changed():
    field = noise(Box(40.0, 10, periodic=False))
    before = field.values.clone()
    correlation(field)
    assert torch.equal(field.values, before)


CLOSED = Box(40.0, 10, periodic=False)
BROKEN = {
    "another box": (
        lambda: correlation(noise(CLOSED), noise(Box(40.0, 10, (0, 0, 0), periodic=False))),
        "field and other must be on the same box",
    ),
    "too far": (
        lambda: correlation(noise(CLOSED), edges=[1, 41]),
        "edges must not reach beyond the shortest side of a closed box, 40 Mpc/h, as 41 does",
    ),
    "not rising": (
        lambda: correlation(noise(CLOSED), edges=[3, 2]),
        "edges must rise from zero or above",
    ),
    "NaN": (
        lambda: correlation(Field(torch.full((10,) * 3, torch.nan), CLOSED, "delta")),
        "field must hold finite values only",
    ),
    "nothing painted": (
        lambda: correlation(Field(torch.zeros((10,) * 3), CLOSED, "counts")),
        "the mean of the field must be positive",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_bad_input_is_refused(case):
    call, sentence = BROKEN[case]
    with pytest.raises(ValueError, match=sentence):
        call()
