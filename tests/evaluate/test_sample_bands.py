"""Statistics of posterior samples beside the truth."""

import numpy as np
import pytest

from truez import Box, Field
from truez.evaluate.evaluation import evaluate_fields
from truez.evaluate.judge import Judge
from truez.evaluate.sample_bands import sample_bands
from truez.evaluate.tables import sample_band_tables
from truez.statistics.correlation import correlation
from truez.statistics.power import compare, power

BOX = Box((96.0, 96.0, 128.0), cellsize=4, periodic=False)


def field(seed, smooth=6.0):
    """A random field with some structure."""
    rng = np.random.default_rng(seed)
    white = Field(rng.normal(0, 8, BOX.meshsize), BOX, "delta")
    return Field(white.smooth(smooth).numpy(), BOX, "delta")


@pytest.fixture(scope="module")
def judge():
    return Judge(field(1), region=((2, 0, 4), (20, 24, 30)), radii=(4.0, 8.0))


def test_samples_that_are_the_truth(judge):
    half = Field(0.5 * judge.whole, BOX, "delta")
    found = sample_bands(judge, half, [judge.whole] * 3, seed=5)
    assert (found.num, found.seed, found.radius) == (3, 5, 4.0)
    for band in found.bands:
        np.testing.assert_allclose(found.power_ratio(band), 1)
        np.testing.assert_allclose(found.r(band), 1, rtol=1e-5)
        assert found.power_ratio_of_estimate(band) == pytest.approx(0.25, rel=1e-4)
        assert found.r_of_estimate(band) == pytest.approx(1, rel=1e-5)
    for name in ("P0", "P2", "P4", "r", "xi", "pdf"):
        np.testing.assert_allclose(found.mean(name), found.truth[name])
        assert found.x[name].shape == found.truth[name].shape == found.estimate[name].shape
    bins = found.x["pdf"][1] - found.x["pdf"][0]
    assert found.truth["pdf"].sum() * bins == pytest.approx(0.9995, abs=1e-3)


def test_numbers_are_those_of_the_region(judge):
    sample = Field(judge.whole + field(2), BOX, "delta")
    found = sample_bands(judge, judge.whole, [sample], seed=0)
    here, truth = judge.cut(sample), judge.truth
    wanted = compare(here, truth=truth, edges=judge.edges)
    np.testing.assert_allclose(found.samples["r"][0], wanted.r, rtol=1e-5)
    np.testing.assert_allclose(found.samples["cross"][0], wanted.power_rt, rtol=1e-4)
    poles = power(here, edges=judge.edges).poles
    np.testing.assert_allclose(found.samples["P4"][0], poles[4])
    rows = (found.x["P0"] >= 0.2) & (found.x["P0"] < 0.3)
    modes = wanted.nmodes[rows]
    ratio = (wanted.power_rr[rows] * modes).sum() / (wanted.power_tt[rows] * modes).sum()
    assert found.power_ratio((0.2, 0.3))[0] == pytest.approx(ratio, rel=1e-5)
    # Shells of two cells, from 1.5 cells on, up to 60 Mpc/h or half the side.
    edges = np.append(found.x["xi"] - 4, found.x["xi"][-1] + 4)
    assert edges[0] == 6
    np.testing.assert_allclose(found.samples["xi"][0], correlation(here, edges=edges).xi)


def test_samples_are_read_one_at_a_time(judge):
    class Watched(list):
        def __iter__(self):
            for number in range(len(self)):
                read.append(number)
                yield self[number]

    read = []
    steps = []
    sample_bands(
        judge, judge.whole, Watched([field(2), field(3)]), seed=0, name="ours",
        progress=lambda *step: steps.append(step),
    )  # fmt: skip
    assert read == [0, 1]
    assert steps == [
        ("samples", 0, 2, "ours"),
        ("samples", 1, 2, "ours"),
        ("samples", 2, 2, "ours"),
    ]


def test_tables_have_a_row_for_the_estimate_and_one_for_its_samples(judge):
    half = Field(0.5 * judge.whole, BOX, "delta")
    found = sample_bands(judge, half, [judge.whole, half], seed=5)
    power_table, r_table = sample_band_tables({"ours": found})
    assert [row[0] for row in power_table.rows] == ["ours", "ours, mean of 2 samples"]
    assert power_table.rows[0][-1] == "0.250"
    assert power_table.rows[1][-1] == "0.625 ± 0.530"
    assert [row[0] for row in r_table.rows] == ["ours, r²", "ours, mean of 2 samples"]
    assert "0.5-0.8" in power_table.columns
    alone = sample_band_tables({"ours": sample_bands(judge, half, [half], seed=5)})[0]
    assert alone.rows[1][-1] == "0.250"


def test_an_evaluation_without_samples_has_none(judge):
    result = evaluate_fields(judge, field(2), field(3), {"ours": field(4)})
    assert result.samples == {}
    assert "samples" not in result.pictures()
    assert "samples" not in result.to_dict()["ours"]
