"""Shares of galaxies between cells, as paint shares them."""

import numpy as np
import pytest

from truez.mesh.box import Box
from truez.mesh.painting import paint
from truez.mesh.resamplers import RESAMPLERS, gathered, shares


@pytest.mark.parametrize("resampler", sorted(RESAMPLERS))
def test_what_cells_give_and_receive_is_what_paint_does(resampler):
    box = Box((7.0, 1.0, 1.0), (7, 1, 1), periodic=False)
    places = np.random.default_rng(1).random(7)
    positions = np.stack([np.arange(7) + places, np.full(7, 0.5), np.full(7, 0.5)], axis=1)
    received = gathered(shares(resampler, places), 0)
    assert received == pytest.approx(paint(positions, box, resampler).numpy()[:, 0, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("resampler", "even"),
    [("ngp", [1.0]), ("cic", [1 / 8, 3 / 4, 1 / 8]), ("tsc", [1 / 6, 2 / 3, 1 / 6])],
)
def test_galaxies_anywhere_in_a_cell_are_shared_by_a_spline(resampler, even):
    rows = shares(resampler, (np.arange(10_000) + 0.5) / 10_000)
    assert rows.sum(axis=1) == pytest.approx(np.ones(10_000))
    assert rows.mean(axis=0) == pytest.approx(even, abs=1e-6)
