"""Galaxies at their own places on the sky, and what their neighbours add to the intensity."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import truez
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.sightlines import own_place
from truez.sightlines.intensity import Intensity
from truez.sightlines.own_place import OwnPlaces, StrengthFit, blended, each_block
from truez.sightlines.pairs import EXPECTED, STRENGTHS, Pairs, strength_of
from truez.sightlines.posterior_field import posterior_field
from truez.sightlines.sky_order import SkyOrder
from truez.support.progress import silent

CELL, NZ, SIGMA = 2.0, 24, 6.0
PAIRS = Pairs(0.4, radius=1.7, depth=5.0)
#: A box with few cells of the sky for its size, so that many galaxies have neighbours.
RING = Box((14.0, 10.0, NZ * CELL), (7, 5, NZ))
CLOSED = replace(RING, periodic=False)
BOXES = pytest.mark.parametrize("box", [RING, CLOSED], ids=["periodic", "closed"])


def likelihood_of(box, photo):
    """p(photo-z | cell) of a Gaussian error."""
    centers = box.lower[2] + CELL * (np.arange(box.meshsize[2]) + 0.5)
    side = box.boxsize[2]

    def likelihood(rows):
        away = centers - photo[rows, None]
        if box.periodic:
            away -= side * np.round(away / side)
        return np.exp(-0.5 * (away / SIGMA) ** 2).astype(np.float32)

    return likelihood


def galaxies_in(box, num=160, seed=1, **changes):
    """Galaxies at random places, with uneven expected counts."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(box.lower, box.upper, (num, 3))
    photo = places[:, 2].copy()
    expected = torch.from_numpy(rng.uniform(0.5, 1.5, box.meshsize)).float()
    expected *= num / expected.sum()
    given = {"box": box, "positions": places[:, :2], "likelihood": likelihood_of(box, photo),
             "expected": expected}  # fmt: skip
    return OwnPlaces(**{**given, **changes}), photo


def fine_values(box, number=2, seed=2):
    nx, ny, nz = box.meshsize
    rng = np.random.default_rng(seed)
    values = rng.lognormal(0, 0.6, (number * nx, number * ny, nz))
    return torch.from_numpy(values).float()


def walked(galaxies, values, **given):
    """(rows, posteriors, intensity, ln even, ln evidence) in the order of the rows."""
    blocks = list(each_block(galaxies, values, lambda block: block, progress=silent, **given))
    rows = np.concatenate([block.rows for block in blocks])
    order = np.argsort(rows)
    names = ("probability", "intensity", "log_even", "log_evidence")
    return rows[order], *(
        np.concatenate([getattr(block, name) for block in blocks])[order] for name in names
    )


def lines_at(galaxies, values):
    """N, lambda and L of every galaxy in double precision."""
    places = np.asarray(galaxies.positions, np.float64)
    flat = values.reshape(-1, values.shape[2]).numpy()
    here = blended(flat, places, galaxies.box, tuple(values.shape[:2])).astype(np.float64)
    even = galaxies.expected_at(places).astype(np.float64)
    return even, here, np.asarray(galaxies.likelihood(np.arange(len(places))), np.float64)


def brute_neighbours(galaxies, values, pairs):
    """n and nu of every galaxy, by a loop over all pairs."""
    box = galaxies.box
    even, here, like = lines_at(galaxies, values)
    mean = even * here
    posterior = mean * like / (mean * like).sum(1, keepdims=True)
    places = np.asarray(galaxies.positions, np.float64)
    num, cells = posterior.shape
    steps = np.abs(np.arange(cells)[:, None] - np.arange(cells))
    if box.periodic:
        near = sum(
            np.exp(-0.5 * ((steps + turn * cells) * CELL / pairs.depth) ** 2)
            * (np.abs(steps + turn * cells) * CELL <= math.ceil(3 * pairs.depth / CELL) * CELL)
            for turn in (-1, 0, 1)
        )
    else:
        near = np.exp(-0.5 * (steps * CELL / pairs.depth) ** 2)
        near = near * (steps <= math.ceil(3 * pairs.depth / CELL))
    area = box.cellsize[0] * box.cellsize[1]
    result = np.empty_like(posterior)
    for g in range(num):
        line = np.zeros(cells)
        for other in range(num):
            away = places[other] - places[g]
            if box.periodic:
                away -= np.asarray(box.boxsize[:2]) * np.round(away / box.boxsize[:2])
            square = (away**2).sum()
            if other != g and square < pairs.radius**2:
                line = line + (1 - square / pairs.radius**2) ** 2 * posterior[other]
        result[g] = near @ line
    return result, math.pi * pairs.radius**2 / 3 / area * mean @ near


# --- posteriors


@BOXES
@pytest.mark.parametrize("number", [1, 2])
def test_without_pairs_posteriors_are_the_plain_formula(box, number):
    galaxies, _ = galaxies_in(box)
    values = fine_values(box, number)
    rows, posterior, intensity, log_even, log_evidence = walked(galaxies, values)
    even, here, like = lines_at(galaxies, values)
    joint = even * here * like
    np.testing.assert_array_equal(rows, np.arange(len(joint)))
    np.testing.assert_allclose(posterior, joint / joint.sum(1, keepdims=True), rtol=2e-5)
    np.testing.assert_allclose(intensity, here, rtol=1e-6)
    np.testing.assert_allclose(log_even, np.log((even * like).sum(1) / joint.sum(1)), atol=1e-5)
    wanted = np.log(joint.sum(1) / (even * here).sum(1))
    np.testing.assert_allclose(log_evidence, wanted, atol=1e-5)


@BOXES
def test_pairs_are_those_of_a_loop_over_all_galaxies(box):
    galaxies, _ = galaxies_in(box)
    values = fine_values(box)
    _, posterior, intensity, log_even, log_evidence = walked(galaxies, values, pairs=PAIRS)
    even, here, like = lines_at(galaxies, values)
    near, around = brute_neighbours(galaxies, values, PAIRS)
    factor = (1 + PAIRS.strength * near) / (1 + PAIRS.strength * around)
    assert factor.std() > 0.1
    tilted = here * factor
    joint = even * tilted * like
    np.testing.assert_allclose(intensity, tilted, rtol=2e-5)
    np.testing.assert_allclose(posterior, joint / joint.sum(1, keepdims=True), rtol=4e-5)
    np.testing.assert_allclose(log_even, np.log((even * like).sum(1) / joint.sum(1)), atol=1e-4)
    wanted = np.log(joint.sum(1) / (even * tilted).sum(1))
    np.testing.assert_allclose(log_evidence, wanted, atol=1e-4)


def test_weights_reach_round_a_short_ring_several_times():
    box = Box((14.0, 10.0, 6 * CELL), (7, 5, 6))
    galaxies, _ = galaxies_in(box)
    values = fine_values(box)
    wide = Pairs(0.4, radius=1.7, depth=1000.0)
    _, _, intensity, _, _ = walked(galaxies, values, pairs=wide)
    # As many times round for every cell: the same factor along a whole sight line.
    _, here, _ = lines_at(galaxies, values)
    factor = intensity / here
    np.testing.assert_allclose(factor, factor[:, :1].repeat(6, 1), rtol=0.05)


@BOXES
def test_results_do_not_depend_on_blocks_or_threads(box, monkeypatch):
    galaxies, _ = galaxies_in(box, 300)
    values = fine_values(box)
    whole = walked(galaxies, values, pairs=PAIRS)
    for cells, threads in ((NZ * 40, "1"), (NZ * 7, "3"), (NZ, "2")):
        monkeypatch.setattr("truez.sightlines.own_place.BLOCK_CELLS", cells)
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        for one, other in zip(walked(galaxies, values, pairs=PAIRS), whole, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)
    # Threads alone change no bit.
    monkeypatch.setattr("truez.sightlines.own_place.BLOCK_CELLS", NZ * 40)
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        found.append(walked(galaxies, values, pairs=PAIRS))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@BOXES
def test_results_do_not_depend_on_the_order_of_galaxies(box):
    galaxies, photo = galaxies_in(box)
    values = fine_values(box)
    _, whole, *_ = walked(galaxies, values, pairs=PAIRS)
    order = np.random.default_rng(4).permutation(len(photo))
    mixed = replace(
        galaxies, positions=galaxies.positions[order], likelihood=likelihood_of(box, photo[order])
    )
    _, found, *_ = walked(mixed, values, pairs=PAIRS)
    np.testing.assert_allclose(found, whole[order], rtol=2e-5, atol=1e-7)


@BOXES
@pytest.mark.parametrize("pairs", [None, PAIRS])
def test_chosen_rows_are_those_of_all(box, pairs):
    galaxies, _ = galaxies_in(box)
    values = fine_values(box)
    chosen = np.array([3, 17, 50, 51, 159])
    whole = walked(galaxies, values, pairs=pairs)
    some = walked(galaxies, values, pairs=pairs, chosen=chosen)
    if pairs is not None:
        np.testing.assert_array_equal(some[0], chosen)
    for one, other in zip(some[1:], whole[1:], strict=True):
        np.testing.assert_array_equal(one, other[chosen])


@BOXES
def test_a_galaxy_has_no_part_in_what_its_neighbours_say_of_it(box):
    galaxies, photo = galaxies_in(box)
    values = fine_values(box)
    _, here, _ = lines_at(galaxies, values)
    found = []
    for shift in (0.0, 11.0):
        moved = photo.copy()
        moved[5] += shift
        changed = replace(galaxies, likelihood=likelihood_of(box, moved))
        found.append(walked(changed, values, pairs=PAIRS)[2] / here)
    np.testing.assert_array_equal(found[0][5], found[1][5])
    others = np.abs(found[0] - found[1]).max(1) > 1e-3
    assert others.sum() > 1  # its neighbours know of it


def test_galaxies_that_can_be_nowhere_have_no_posterior_and_no_neighbours():
    galaxies, photo = galaxies_in(CLOSED)
    values = fine_values(CLOSED)
    far = photo.copy()
    far[8] = 1e4
    rows, found, *_ = walked(
        replace(galaxies, likelihood=likelihood_of(CLOSED, far)), values, pairs=PAIRS
    )
    kept = np.arange(len(photo)) != 8
    np.testing.assert_array_equal(rows, np.flatnonzero(kept))
    without = replace(
        galaxies, positions=galaxies.positions[kept], likelihood=likelihood_of(CLOSED, photo[kept])
    )
    _, alone, *_ = walked(without, values, pairs=PAIRS)
    np.testing.assert_allclose(found, alone, rtol=2e-5, atol=1e-7)


@BOXES
def test_lengths_across_the_sky_may_differ(box):
    galaxies, _ = galaxies_in(box)
    values = fine_values(box)
    _, whole, *_ = walked(galaxies, values, pairs=PAIRS)
    scaled = replace(galaxies, scale=np.full(len(whole), 2.0))
    _, found, *_ = walked(scaled, values, pairs=replace(PAIRS, radius=2 * PAIRS.radius))
    np.testing.assert_allclose(found, whole, rtol=2e-5, atol=1e-7)


# --- the strength of pairs


def field_galaxies(box, rng, *, per_cell=1.0, members=0, spread=0.15):
    """Galaxies anywhere, or in groups of ``members`` which are ``spread`` wide on the sky."""
    num = int(per_cell * box.num_cells)
    if members == 0:
        places = rng.uniform(box.lower, box.upper, (num, 3))
    else:
        centers = rng.uniform(box.lower, box.upper, (num // members, 3))
        places = np.repeat(centers, members, axis=0)
        places += rng.standard_normal(places.shape) * [spread, spread, 2.0]
        places = box.lower + (places - box.lower) % np.asarray(box.boxsize)
    photo = places[:, 2] + SIGMA * rng.standard_normal(len(places))
    photo = box.lower[2] + (photo - box.lower[2]) % box.boxsize[2]
    expected = torch.full((1, 1, 1), len(places) / box.num_cells).expand(box.meshsize)
    galaxies = OwnPlaces(
        box=box, positions=places[:, :2], likelihood=likelihood_of(box, photo), expected=expected
    )
    return galaxies, places[:, 2]


def gain_of(galaxies, true, pairs):
    """Information per galaxy over the photo-z alone [nats]."""
    box = galaxies.box
    values = torch.ones(box.meshsize)
    rows, _, intensity, log_even, _ = walked(galaxies, values, pairs=pairs)
    cell = ((true[rows] - box.lower[2]) / CELL).astype(int) % box.meshsize[2]
    there = intensity[np.arange(len(rows)), cell]
    return float(np.mean(np.log(there) + log_even))


def test_random_galaxies_have_no_strength_and_lose_nothing():
    box = Box((60.0, 60.0, 60 * CELL), (30, 30, 60))
    galaxies, true = field_galaxies(box, np.random.default_rng(11), per_cell=0.4)
    fit = StrengthFit(Pairs(), len(true))
    fit.add(galaxies, torch.ones(box.meshsize))
    found = fit.result()
    assert found.num_galaxies == len(true)
    assert found.value < 3 * found.error
    assert found.gain < 5e-4
    assert gain_of(galaxies, true, replace(Pairs(), strength=found.value)) > -0.001


def test_groups_have_a_strength_which_gains_information():
    box = Box((60.0, 60.0, 60 * CELL), (30, 30, 60))
    galaxies, true = field_galaxies(box, np.random.default_rng(12), per_cell=0.1, members=3)
    fit = StrengthFit(Pairs(), len(true))
    fit.add(galaxies, torch.ones(box.meshsize))
    found = fit.result()
    assert found.value > 5 * found.error
    assert found.gain > 0.01
    gains = {
        b: gain_of(galaxies, true, replace(Pairs(), strength=b)) for b in (0, 0.1, found.value)
    }
    assert gains[0] == pytest.approx(0, abs=1e-5)
    assert gains[found.value] > gains[0.1] > 0.01


def test_galaxies_of_several_patches_are_fitted_together():
    box = Box((30.0, 30.0, 30 * CELL), (15, 15, 30))
    some = [field_galaxies(box, np.random.default_rng(n), per_cell=0.2, members=3) for n in (1, 2)]
    together, values = StrengthFit(Pairs(), 10), torch.ones(box.meshsize)
    for galaxies, _ in some:
        together.add(galaxies, values)
    assert together.result().num_galaxies == sum(len(true) for _, true in some)


def test_a_fit_needs_galaxies_and_pairs_need_lengths():
    with pytest.raises(ValueError, match="there are no galaxies to find the strength of pairs"):
        strength_of(np.zeros(len(STRENGTHS)), 0)
    for name in ("radius", "depth"):
        with pytest.raises(ValueError, match=f"{name} of pairs must be a positive length, not 0"):
            Pairs(**{name: 0})
    with pytest.raises(ValueError, match="strength of pairs must not be negative, not -1"):
        Pairs(-1)
    assert Pairs.of({"pairs": {"strength": 1, "radius": 2, "depth": 3, "gain": 9}}) == Pairs(
        1, 2, 3
    )
    assert Pairs.of({}) is None
    for broken in ({"strength": 1}, "many", {"strength": 1, "radius": None, "depth": 2}):
        with pytest.raises(ValueError, match="pairs of the metadata must have the numbers"):
            Pairs.of({"pairs": broken})


def test_the_strength_is_between_those_that_are_tried():
    tried = np.log2(STRENGTHS / 0.1 + 1)
    for peak in (0.07, 0.9, 2.2, 9.0):
        # Of many galaxies, so that what was expected has no part in it.
        found = strength_of(-5000 * (tried - np.log2(peak / 0.1 + 1)) ** 2, 10**6)
        assert found.value == pytest.approx(peak, rel=0.01)
        assert found.error == pytest.approx((peak + 0.1) * np.log(2) / 100, rel=0.01)
    assert strength_of(-100 * STRENGTHS**2 - 90 * STRENGTHS, 10).value == 0
    nothing = strength_of(np.zeros(len(STRENGTHS)), 1)
    assert nothing.value == pytest.approx(EXPECTED, rel=0.3)


# --- the field


@BOXES
@pytest.mark.parametrize("resampler", ["ngp", "cic", "tsc"])
@pytest.mark.parametrize("pairs", [None, PAIRS])
def test_the_field_conserves_galaxies(box, resampler, pairs):
    galaxies, _ = galaxies_in(box)
    expected = Field(galaxies.expected, box, "counts")
    known = np.random.default_rng(3).uniform(box.lower, box.upper, (20, 3))
    weights = np.random.default_rng(4).uniform(0.5, 2, 160)
    for given, total in ((None, 180), (weights, 20 + weights.sum())):
        made = posterior_field(
            galaxies, Intensity(fine_values(box), pairs), expected=expected, known=known,
            weights=given, resampler=resampler,
        )  # fmt: skip
        counts = (made.field.values.double() + 1) * galaxies.expected
        assert float(counts.sum()) == pytest.approx(total, rel=1e-5)
        assert float(counts.min()) > -1e-4
        assert float(made.sigma.min()) >= 0
    assert made.field.metadata == {"num_matched": 20, "num_photo_outside": 0}


def test_the_order_on_the_sky_is_made_once(monkeypatch):
    """For the strength of pairs, and for the field."""
    made = []

    class Counted(SkyOrder):
        def __init__(self, *given):
            made.append(given)
            super().__init__(*given)

    monkeypatch.setattr(own_place, "SkyOrder", Counted)
    galaxies = truez.lognormal_galaxies(
        truez.Box((64, 64, 128), cellsize=4), "planck18", redshift=0.5, density=1e-2, bias=1.5,
        seed=1,
    )  # fmt: skip
    mock = galaxies.observe(spec_density=1e-3, sigma_z=0.01, cellsize=4, seed=2)
    found = truez.reconstruct(mock.surveys, "redistribution")
    assert found.pairs is not None
    assert len(made) == 1
