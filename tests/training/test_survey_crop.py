"""Crops of survey views: what they hold, their symmetries, and their score."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from training.survey_views import view
from truez.networks.symmetries import apply_symmetry
from truez.training.survey_crop import cut, finer, random_crop

torch.set_num_threads(1)


def noise(crop, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return 0.5 * torch.randn(crop.unknown.shape, generator=generator)


def by_hand(made, log_fine, rows):
    """Nats of galaxies of a whole view, one by one, for ln lambda on its fine cells."""
    margin, nz = made.true_margin, made.mesh[2]
    total = 0.0
    for x, y, photo, true, kind in made.galaxies[rows].astype(int):
        cells = np.arange(nz + 2 * margin) - margin
        near = cells.clip(0, nz - 1)
        expected = made.unknown[x // 2, y // 2, near].astype(float) * made.shares[kind, near]
        inside = (cells >= 0) & (cells < nz)
        intensity = np.where(inside, np.exp(log_fine[x, y, near]), 1.0)
        seen = made.kernels[kind, photo].astype(float) * expected
        total += math.log((intensity * seen)[true] / (intensity * seen).sum())
        total -= math.log(seen[true] / seen.sum())
    return total


@pytest.mark.parametrize("true_margin", [0, 2])
def test_the_score_is_that_of_galaxies_one_by_one(true_margin):
    made = view(true_margin=true_margin)
    crop = cut(made, (0, 0), (8, 8))
    log_fine = 0.5 * torch.randn(16, 16, 8, generator=torch.Generator().manual_seed(1))
    nats, number = crop.score_finer(log_fine)
    assert number == 400
    whole = log_fine.double().numpy() + made.ratio.astype(float)
    assert float(nats) == pytest.approx(by_hand(made, whole, slice(None)), rel=1e-4)
    nats, number = crop.score_finer(log_fine[4:-4, 4:-4], margin=2)
    x, y = made.galaxies[:, 0], made.galaxies[:, 1]
    inner = (x >= 4) & (x < 12) & (y >= 4) & (y < 12)
    assert number == inner.sum()
    assert float(nats) == pytest.approx(by_hand(made, whole, inner), rel=1e-4)


def test_finer_cells_are_interpolated_across_the_sky():
    values = noise(cut(view(), (0, 0), (8, 8)))
    found = finer(values)
    wanted = torch.nn.functional.interpolate(
        values.permute(2, 0, 1)[None], scale_factor=2, mode="bilinear", align_corners=False
    )[0].permute(1, 2, 0)
    assert torch.allclose(found, wanted[2:-2, 2:-2], atol=1e-6)


def test_the_score_interpolates_the_estimate():
    crop = cut(view(), (0, 0), (8, 8))
    values = noise(crop)
    with_ring = torch.nn.functional.pad(values[None], (0, 0, 1, 1, 1, 1), mode="replicate")[0]
    assert crop.score(values)[0] == crop.score_finer(finer(with_ring))[0]
    assert crop.score(values, 3)[0] == crop.score_finer(finer(values[2:6, 2:6]), 3)[0]


def test_a_uniform_intensity_knows_nothing():
    made = view(ratio=np.zeros((16, 16, 8), np.float16))
    nats, number = cut(made, (0, 0), (8, 8)).score(torch.full((8, 8, 8), 0.7))
    assert number == 400
    assert float(nats) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("true_margin", [0, 2])
def test_turning_a_crop_changes_no_score(true_margin):
    crop = cut(view(true_margin=true_margin), (0, 0), (8, 8))
    values = noise(crop)
    wanted, number = crop.score(values, 1)
    for turn in range(16):
        turned = crop.turned(turn)
        found, same = turned.score(apply_symmetry(values, turn), 1)
        assert same == number
        assert float(found) == pytest.approx(float(wanted), rel=1e-5)
        assert torch.equal(turned.fields, apply_symmetry(crop.fields, turn))
        assert torch.equal(turned.profiles, apply_symmetry(crop.profiles, turn))


@pytest.mark.parametrize(
    ("corner", "shape"), [((3, 2), (4, 5)), ((6, 5), (4, 8)), ((7, 0), (8, 8))]
)
def test_a_crop_goes_on_beyond_the_faces_of_a_periodic_box(corner, shape):
    made = view(margin=0, periodic=True)
    crop = cut(made, corner, shape)
    for name in ("fields", "density", "unknown"):
        wanted = np.roll(getattr(made, name), (-corner[0], -corner[1]), (-3, -2))
        wanted = wanted[..., : shape[0], : shape[1], :].astype(np.float32)
        assert np.array_equal(getattr(crop, name).numpy(), wanted)
    fine = np.roll(made.ratio, (-2 * corner[0], -2 * corner[1]), (0, 1))
    assert np.array_equal(crop.ratio.numpy(), fine[: 2 * shape[0], : 2 * shape[1]])
    moved = made.galaxies.astype(int)
    moved[:, :2] = (moved[:, :2] - 2 * np.array(corner)) % 16
    moved = moved[(moved[:, 0] < 2 * shape[0]) & (moved[:, 1] < 2 * shape[1])]
    assert sorted(map(tuple, moved)) == sorted(map(tuple, crop.galaxies.tolist()))


def test_crops_of_a_closed_box_stay_inside():
    made = view((12, 8, 4), number=900)
    rng = np.random.default_rng(0)
    for _ in range(20):
        crop = random_crop(made, (6, 16), rng, symmetries=False)
        assert crop.fields.shape == (9, 6, 8, 4)
        assert len(crop.galaxies)
    with pytest.raises(AssertionError, match="inside"):
        cut(made, (7, 0), (6, 8))


def test_a_file_gives_the_same_crops(tmp_path):
    made = view()
    made.write(tmp_path / "one.view")
    read = type(made).read(tmp_path / "one.view")
    first, second = (
        random_crop(one, (4, 4), np.random.default_rng(3), symmetries=True) for one in (made, read)
    )
    for name in ("fields", "profiles", "density", "ratio", "unknown", "shares", "galaxies"):
        assert torch.equal(getattr(first, name), getattr(second, name))


def test_the_fine_prior_is_that_of_the_moving_galaxies():
    made = view(ratio=np.zeros((16, 16, 8), np.float16))
    rng = np.random.default_rng(2)
    moving = np.maximum(1 + 0.4 * rng.normal(size=made.mesh), 0.05)
    share, spec = 0.3, rng.random(made.mesh) * 3 - 1
    fields = made.fields.copy()
    fields[0], fields[7] = spec, share
    fields[4] = np.log((1 - share) * moving + share * (1 + spec))
    crop = cut(replace(made, fields=fields), (0, 0), (8, 8))
    ringed = np.pad(moving, ((1, 1), (1, 1), (0, 0)), mode="edge")
    wanted, _ = crop.score_finer(finer(torch.tensor(ringed, dtype=torch.float32)).log())
    assert float(crop.score_prior(0.05)[0]) == pytest.approx(float(wanted), abs=0.5)


def test_gradients_are_those_of_the_score():
    crop = cut(view((4, 4, 4), number=100), (0, 0), (4, 4))
    values = noise(crop).requires_grad_()
    nats, _ = crop.score(values, 1)
    nats.backward()
    step = torch.zeros_like(values)
    step[1, 2, 1] = 1e-2
    with torch.no_grad():
        change = crop.score(values + step, 1)[0] - crop.score(values - step, 1)[0]
    assert float(values.grad[1, 2, 1]) == pytest.approx(float(change) / 2e-2, rel=2e-2)


@pytest.mark.parametrize("true_margin", [0, 2])
def test_whatever_a_network_gives_the_score_is_finite(true_margin):
    crop = cut(view(true_margin=true_margin), (0, 0), (8, 8))
    for factor in (-900.0, 900.0):
        values = (factor * noise(crop)).requires_grad_()
        nats, _ = crop.score(values)
        nats.backward()
        assert bool(nats.isfinite())
        assert bool(values.grad.isfinite().all())
