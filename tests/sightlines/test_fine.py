"""Intensities on smaller cells across the sky than those of the field."""

import numpy as np
import pytest
import torch

from truez.mesh.box import Box
from truez.sightlines.fine import (
    CONTRAST,
    SHARE,
    cells_across,
    corrected,
    fine_box,
    interpolated_across,
)
from truez.sightlines.intensity import Intensity, check_intensity

BOX = Box((16.0, 12.0, 20.0), (8, 6, 10))


def waves(box, periodic=True):
    """A smooth field at the centres of the cells."""
    x, y, z = (
        (np.arange(n) + 0.5) / n * 2 * np.pi * (1 if periodic else 0.3) for n in box.meshsize
    )
    values = 0.3 * np.cos(x)[:, None, None] + 0.2 * np.sin(y)[:, None] + 0.1 * np.cos(z)
    return torch.from_numpy(np.exp(values)).float()


def test_cells_across_is_a_whole_number():
    assert cells_across(BOX, None) == 2
    assert cells_across(BOX, 2.0) == 1
    assert cells_across(BOX, 1.0) == 2
    assert cells_across(BOX, 0.5) == 4
    assert cells_across(Box((500.0, 500.0, 500.0), (249, 249, 249)), 1.004) == 2
    for size in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="sky_cellsize must be a positive length, not"):
            cells_across(BOX, size)
    for size in (1.5, 3.0, 0.7):
        with pytest.raises(
            ValueError, match="Mpc/h must be the cells' 2 divided by a whole number"
        ):
            cells_across(BOX, size)


def test_the_fine_box_is_finer_across_the_sky_alone():
    fine = fine_box(BOX, 3)
    assert fine.meshsize == (24, 18, 10)
    assert fine.boxsize == BOX.boxsize


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("number", [2, 3])
def test_values_are_interpolated_between_centres(periodic, number):
    values = torch.rand(8, 6, 10, generator=torch.Generator().manual_seed(1))
    found = interpolated_across(values, number, periodic=periodic)
    # By numpy, one axis after the other.
    wanted = values.double().numpy()
    for axis in (0, 1):
        num = wanted.shape[axis]
        place = (np.arange(number * num) + 0.5) / number - 0.5
        low = np.floor(place).astype(int)
        share = (place - low).reshape([-1 if a == axis else 1 for a in range(3)])
        ends = [(low + i) % num if periodic else (low + i).clip(0, num - 1) for i in (0, 1)]
        wanted = (1 - share) * wanted.take(ends[0], axis) + share * wanted.take(ends[1], axis)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5)
    constant = interpolated_across(torch.full((8, 6, 10), 3.0), number, periodic=periodic)
    assert torch.allclose(constant, torch.tensor(3.0))


@pytest.mark.parametrize("periodic", [True, False])
def test_a_network_that_corrects_nothing_leaves_the_fine_prior(periodic):
    fine = torch.rand(16, 12, 10, generator=torch.Generator().manual_seed(2)) + 0.5
    prior = torch.ones(8, 6, 10)
    found = corrected(fine.clone(), prior, prior, periodic=periodic)
    # Where both priors are alike, but for the share of the fine one.
    torch.testing.assert_close(found, fine ** (SHARE * CONTRAST), rtol=1e-5, atol=1e-6)


def test_equal_smooth_priors_leave_the_intensity():
    box = Box((64.0, 64.0, 20.0), (32, 32, 10))
    prior, fine = waves(box), waves(fine_box(box, 2))
    intensity = prior**1.4
    found = corrected(fine.clone(), intensity, prior, periodic=True)
    torch.testing.assert_close(found, fine ** (1.4 * CONTRAST), rtol=3e-3, atol=0)
    mean = Intensity(found).on_mesh(box)
    torch.testing.assert_close(mean, intensity**CONTRAST, rtol=5e-3, atol=0)


def test_the_mean_over_smaller_cells():
    values = torch.rand(16, 18, 10, generator=torch.Generator().manual_seed(3))
    found = Intensity(values).on_mesh(BOX)
    assert float(found[2, 3, 4]) == pytest.approx(float(values[4:6, 9:12, 4].mean()), rel=1e-6)
    coarse = torch.rand(8, 6, 10)
    assert Intensity(coarse).on_mesh(BOX) is coarse


def test_meshes_that_are_no_finer_ones_are_refused():
    for shape in ((8, 6, 20), (4, 6, 10), (12, 6, 10), (8, 6)):
        with pytest.raises(ValueError, match="intensity must be of the mesh \\(8, 6, 10\\), or of "
                           "smaller cells across the sky, not"):  # fmt: skip
            check_intensity(torch.ones(shape), BOX)
    check_intensity(torch.ones(16, 18, 10), BOX)
    with pytest.raises(ValueError, match="intensity must be of the mesh \\(8, 6, 10\\), not"):
        check_intensity(torch.ones(16, 18, 10), BOX, finer=False)
