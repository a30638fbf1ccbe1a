"""The judge of posterior samples, on a Gaussian posterior that is known exactly.

Each wrong posterior must be found by the tests that can see what is wrong with it.
"""

import math

import numpy as np
import pytest
import torch

from evaluate.gaussian_world import BOX, gaussian_model, judged, right
from truez import Box, Field
from truez.evaluate.coverage import Calibration, SampleJudge, SampleNumbers
from truez.evaluate.coverage.calibration import DEVIATIONS
from truez.evaluate.coverage.tables import coverage_tables
from truez.evaluate.coverage.vectors import KINDS, Vectors, sphere_means
from truez.mesh.fourier import rfft, smooth

WRONG = {
    "narrow": lambda mean, noise, truth: mean + 0.88 * noise,
    "wide": lambda mean, noise, truth: mean + 1.12 * noise,
    "biased": lambda mean, noise, truth: mean + noise + 0.1 * noise.std(),
    "lacking power": lambda mean, noise, truth: mean + 0.7 * noise + 0.3 * smooth(noise, BOX, 2.0),
    # Each plane of the error is right, and their order is not.
    "incoherent": lambda mean, noise, truth: mean + noise[np.random.default_rng(1).permutation(48)],
}
#: Tests that must see each of them.
SEEN_BY = {
    "narrow": ("powers", "powers_2d", "cells", "cells_4", "cells_8", "spheres"),
    "wide": ("powers", "powers_2d", "cells", "cells_4", "cells_8", "spheres"),
    "biased": ("cells_4", "cells_8", "spheres"),
    "lacking power": ("powers", "powers_2d", "cells"),
    "incoherent": ("powers_2d", "cells_4", "spheres"),
}


@pytest.fixture(scope="module")
def model():
    return gaussian_model()


@pytest.fixture(scope="module")
def exact(model):
    return Calibration(judged(model, right))


def test_the_exact_posterior_passes_all_tests_of_coverage(exact):
    for kind in KINDS:
        assert exact.coverage(kind).p > 0.02
        assert exact.ranks(kind).p > 0.02
        ratio, low, high = exact.spread(kind)
        assert 0.9 * low < ratio < 1.1 * high


def test_the_exact_posterior_has_the_statistics_of_the_truth(exact):
    for name in DEVIATIONS:
        found = exact.deviation(name)
        known = np.isfinite(found.value) & (found.sigma > 0)
        chi2 = ((found.value / found.sigma)[known] ** 2).mean()
        assert chi2 < 3.5
    assert np.abs(exact.deviation("P0").value[2:]).max() < 0.02
    assert exact.deviation("r").met
    for radius, ratio in exact.mse().items():
        assert ratio == pytest.approx(1 + 1 / 15, abs=0.01 + 0.004 * float(radius))
    for radius, reach in ((0.0, 0.04), (4.0, 0.06), (8.0, 0.12)):
        assert exact.tenths(radius) == pytest.approx(1, abs=reach)


@pytest.mark.medium
@pytest.mark.parametrize(
    "name",
    ["narrow", *(pytest.param(name, marks=pytest.mark.slow) for name in list(WRONG)[1:])],
)
def test_a_wrong_posterior_is_found(model, name):
    found = Calibration(judged(model, WRONG[name]))
    for kind in SEEN_BY[name]:
        assert found.coverage(kind).p < 0.01, kind
        assert not found.ranks(kind).inside, kind
        ratio, low, high = found.spread(kind)
        assert not low <= ratio <= high, kind
    if name == "narrow":
        assert found.tenths(0.0) == pytest.approx(0.88**2, abs=0.05)
    if name == "lacking power":
        assert found.deviation("P0").value[-1] < -0.02
    if name == "biased":
        assert found.mse()["8"] > 2
    if name == "incoherent":
        # The marginal distribution of each cell is right: only what is joint is not.
        assert found.coverage("cells").p > 0.01


def test_samples_of_the_truth_itself_are_seen(model):
    found = Calibration(judged(model, lambda mean, noise, truth: truth + 0 * noise, seeds=(1,)))
    assert found.correlation()[0] == pytest.approx(1)
    assert not found.deviation("r").met


def test_numbers_are_kept(exact, tmp_path):
    first = exact.boxes[0]
    first.write(tmp_path / "one.json")
    again = Calibration([SampleNumbers.read(tmp_path / "one.json"), *exact.boxes[1:]])
    assert [line.value for line in again.lines()] == pytest.approx(
        [line.value for line in exact.lines()], rel=1e-6, nan_ok=True
    )
    assert repr(again) == repr(exact)


def test_tables_and_pictures(exact):
    table = exact.to_table()
    assert len(table) == 3 * len(KINDS) + len(DEVIATIONS) + 3 + 3
    for what in ("coverage", "ranks", "deviations", "cells"):
        assert exact.plot(what=what).axes
    with pytest.raises(ValueError, match="what must be one of coverage, ranks"):
        exact.plot(what="all")
    tables = coverage_tables("toy", {"wiener": exact})
    text = "\n".join(table.markdown() for table in tables)
    assert "TARP, band powers" in text
    assert "r² of the estimate" in text
    assert "nan" not in text


def test_vectors_depend_on_seed_and_field_alone():
    box = Box((128, 128, 160), cellsize=4)
    field = Field(np.random.default_rng(1).normal(size=box.meshsize), box)
    one, two, other = (Vectors(box, seed, 50).of(field) for seed in (1, 1, 2))
    for name in KINDS:
        assert np.array_equal(one[name], two[name])
        assert not np.array_equal(one[name], other[name])


def test_powers_are_those_of_white_noise():
    box = Box(128, cellsize=4)
    field = Field(np.random.default_rng(1).normal(size=box.meshsize), box)
    found = Vectors(box, 1).of(field)
    assert np.exp(found["powers"]).mean() == pytest.approx(4.0**3, rel=0.1)
    assert np.exp(found["powers_2d"][:, -1]).mean() == pytest.approx(4.0**3, rel=0.1)


def test_spheres_are_means_over_the_cells_within():
    box = Box(64, cellsize=1)
    values = np.random.default_rng(1).normal(size=box.meshsize).astype(np.float32)
    values = smooth(torch.from_numpy(values), box, 2.0)
    place = np.indices(box.meshsize) - 32
    inside = (place**2).sum(axis=0) <= 8.0**2
    found = sphere_means(rfft(values), box, 8.0)
    assert float(found[32, 32, 32]) == pytest.approx(float(values.numpy()[inside].mean()), abs=2e-3)
    flat = torch.full(box.meshsize, 0.3)
    assert sphere_means(rfft(flat), box, 8.0) == pytest.approx(flat, abs=1e-5)


def test_a_closed_box_keeps_its_places_inside():
    box = Box((128, 128, 160), cellsize=4, periodic=False)
    places = Vectors(box, 1)._spheres.index
    assert places.min() >= 2
    assert (places <= np.array(box.meshsize) - 3).all()
    with pytest.raises(ValueError, match="box must be larger than the constellations"):
        Vectors(Box(40, cellsize=4, periodic=False), 1).of(
            Field(np.zeros((10, 10, 10)), Box(40, cellsize=4, periodic=False))
        )


def test_what_does_not_fit_is_refused(exact):
    field = Field(np.random.default_rng(1).normal(size=BOX.meshsize), BOX)
    judge = SampleJudge(field, estimate=field, density=0.01, seed=1, num_centers=10)
    with pytest.raises(ValueError, match="samples must be 4 or more to be judged, not 0"):
        judge.numbers()
    with pytest.raises(ValueError, match="sample holds 1 cells that are not finite"):
        broken = field.numpy().copy()
        broken[0, 0, 0] = math.nan
        judge.add(Field(broken, BOX))
    with pytest.raises(ValueError, match="boxes must have the same number of samples, not no"):
        Calibration([])
    other = SampleNumbers({**exact.boxes[0].content, "num_samples": 3})
    with pytest.raises(ValueError, match="boxes must have the same number of samples, not 3, 15"):
        Calibration([exact.boxes[0], other])
