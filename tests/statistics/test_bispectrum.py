"""The equilateral bispectrum against a sum over triangles, and against a known answer."""

import itertools
import math

import numpy as np
import pytest

from truez import Box, Field
from truez.statistics.bispectrum import Bispectrum, bispectrum

BOX = Box((40.0, 32.0, 48.0), (10, 8, 12))
EDGES = [0.1, 0.25, 0.4]


def test_equals_the_sum_over_all_triangles():
    values = np.random.default_rng(1).normal(size=BOX.meshsize) ** 2
    found = bispectrum(Field(values, BOX), edges=EDGES)
    modes = np.fft.fftn(values.astype(np.float32)) / BOX.num_cells
    waves = [
        2 * math.pi * np.fft.fftfreq(n, c) for n, c in zip(BOX.meshsize, BOX.cellsize, strict=True)
    ]
    length = np.sqrt(sum(np.square(k) for k in np.meshgrid(*waves, indexing="ij")))
    mesh = np.array(BOX.meshsize)
    for row, (low, high) in enumerate(itertools.pairwise(EDGES)):
        inside = (length >= low) & (length < high)
        places = np.argwhere(inside)
        total, number = 0.0, 0
        for first in places:
            third = (-first - places) % mesh
            there = inside[tuple(third.T)]
            number += there.sum()
            product = modes[tuple(first)] * modes[tuple(places[there].T)]
            total += (product * modes[tuple(third[there].T)]).sum().real
        assert found.ntriangles[row] == number
        assert found.bispectrum[row] == pytest.approx(BOX.volume**2 * total / number, rel=1e-4)


def test_a_local_transformation_has_the_bispectrum_of_perturbation_theory():
    """f = g + a g^2 of a Gaussian g has B = 2 a (P1 P2 + P2 P3 + P3 P1) = 6 a P^2."""
    box, edges, a = Box(256, cellsize=4), [0.1, 0.2, 0.3], 0.02
    rng, found, power = np.random.default_rng(2), [], 800.0
    waves = [
        2 * math.pi * np.fft.fftfreq(n, c) for n, c in zip(box.meshsize, box.cellsize, strict=True)
    ]
    kx, ky, kz = np.meshgrid(
        waves[0], waves[1], waves[2][: box.meshsize[2] // 2 + 1], indexing="ij"
    )
    window = np.sqrt(kx**2 + ky**2 + kz**2) < 0.35
    for _ in range(6):
        white = np.fft.rfftn(rng.normal(size=box.meshsize)) * window
        cell = box.volume / box.num_cells
        g = np.fft.irfftn(white, s=box.meshsize, axes=(0, 1, 2)) * math.sqrt(power / cell)
        pair = [bispectrum(Field(sign * g + a * g**2, box), edges=edges) for sign in (1, -1)]
        # The odd moments of g itself cancel.
        found.append(np.mean([one.bispectrum for one in pair], axis=0))
    assert np.mean(found, axis=0) == pytest.approx(6 * a * power**2, rel=0.1)


def test_counts_are_relative_to_their_mean_and_results_are_kept(tmp_path):
    counts = np.random.default_rng(3).poisson(2.0, size=BOX.meshsize)
    found = bispectrum(Field(counts, BOX, "counts"), edges=EDGES)
    delta = bispectrum(Field(counts, BOX, "counts").to_delta(), edges=EDGES)
    assert found.bispectrum == pytest.approx(delta.bispectrum, rel=1e-4)
    found.write(tmp_path / "b.ecsv")
    again = Bispectrum.read(tmp_path / "b.ecsv")
    assert np.array_equal(again.bispectrum, found.bispectrum)
    assert "2 bins of k" in repr(found)


def test_edges_beyond_what_closes_are_refused():
    with pytest.raises(ValueError, match="two thirds of the Nyquist wavenumber"):
        bispectrum(Field(np.zeros(BOX.meshsize), BOX), edges=[0.1, 0.6])
