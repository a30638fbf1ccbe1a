"""Coverage, ranks and spread over skill, on draws whose posterior is known."""

import numpy as np
import pytest

from truez.statistics.coverage import (
    coverage_of,
    crps,
    distance_ranks,
    ranks_of,
    spread_and_skill,
    spread_over_skill,
    tarp,
    value_ranks,
)


def drawn(seed, *, simulations=400, number=32, d=3, scale=1.0, shift=0.0):
    """Truths and samples of N(mean, 1), the samples' scatter times ``scale`` and shifted."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=(simulations, d))
    truth = mean + rng.normal(size=mean.shape)
    samples = mean + shift + scale * rng.normal(size=(number, *mean.shape))
    return truth, samples


def pool(*arguments, **options):
    truth, samples = drawn(*arguments, **options)
    return np.concatenate([truth[None], samples])


def test_tarp_is_that_of_the_tarp_package():
    package = pytest.importorskip("tarp")
    truth, samples = drawn(1, number=19, scale=0.8)
    references = np.random.default_rng(2).uniform(size=truth.shape)
    ours = tarp(truth, samples, references=references)
    ecp, _ = package.get_tarp_coverage(
        samples, truth, references=references, num_alpha_bins=20, norm=True
    )
    # Theirs is a histogram of shares 0, 1/19, ... 1 in 20 bins, whose edges begin at its lowest.
    assert ecp[-1] == pytest.approx(1)
    assert ours.value == pytest.approx(ecp[1:-1], abs=1e-9)


def test_right_samples_are_within_the_band_of_tarp_as_often_as_it_says():
    inside = [tarp(*drawn(seed), seed=seed).inside for seed in range(200)]
    assert 0.9 <= np.mean(inside) <= 0.995


@pytest.mark.parametrize("wrong", [{"scale": 0.8}, {"scale": 1.25}, {"shift": 0.5}])
def test_tarp_finds_wrong_samples(wrong):
    assert tarp(*drawn(1, simulations=2000, **wrong)).p < 0.01


def test_right_samples_are_within_the_bands_of_exchanges_as_often_as_they_say():
    coverage, ranks, ratio = [], [], []
    for seed in range(150):
        boxes = [pool([seed, box], simulations=40, number=15) for box in range(3)]
        coverage.append(coverage_of([distance_ranks(box, seed=1) for box in boxes]).inside)
        ranks.append(ranks_of([value_ranks(box, seed=1) for box in boxes]).inside)
        found, low, high = spread_over_skill([spread_and_skill(box) for box in boxes])
        ratio.append(low <= found <= high)
    for found in (coverage, ranks, ratio):
        assert 0.89 <= np.mean(found) <= 0.995


@pytest.mark.medium
def test_bands_hold_where_the_numbers_of_a_box_depend_on_each_other():
    """All simulations of a box share an error, as neighbours in one universe do."""
    found = {"exchanged": [], "independent": []}
    for seed in range(120):
        rng = np.random.default_rng([seed, 5])
        boxes = []
        for _ in range(2):
            common = rng.normal(size=(20, 1, 3))
            boxes.append(0.6 * rng.normal(size=(20, 60, 3)) + 0.8 * common)
        found["exchanged"].append(coverage_of([distance_ranks(b, seed=1) for b in boxes]).inside)
        both = np.concatenate(boxes, axis=1)
        found["independent"].append(tarp(both[0], both[1:], seed=seed).inside)
    assert np.mean(found["exchanged"]) >= 0.89
    assert np.mean(found["independent"]) < 0.8


@pytest.mark.parametrize("scale", [0.85, 1.2])
def test_too_narrow_or_too_wide_samples_leave_all_bands(scale):
    boxes = [pool([3, box], scale=scale) for box in range(4)]
    assert coverage_of([distance_ranks(box, seed=1) for box in boxes]).p < 0.01
    assert ranks_of([value_ranks(box, seed=1) for box in boxes]).p < 0.01
    found, low, high = spread_over_skill([spread_and_skill(box) for box in boxes])
    assert found == pytest.approx(scale**2, rel=0.1)
    assert not low <= found <= high


def test_the_ranks_show_a_bias_as_a_slope():
    boxes = [pool([4, box], shift=0.2) for box in range(4)]
    found = ranks_of([value_ranks(box, seed=1) for box in boxes])
    assert not found.inside
    assert found.value[0] > 1.1 > 0.9 > found.value[-1]


def test_samples_of_the_prior_are_calibrated_and_have_a_worse_score():
    truth, samples = drawn(5, d=1)
    prior = np.sqrt(2) * np.random.default_rng(6).normal(size=samples.shape)
    assert coverage_of([distance_ranks(np.concatenate([truth[None], prior]), seed=1)]).inside
    assert crps(truth, prior).mean() > 1.2 * crps(truth, samples).mean()


def test_the_score_is_lowest_for_right_samples_and_fair_to_few():
    truth, samples = drawn(7, simulations=20000, d=1)
    right = crps(truth, samples).mean()
    for scale in (0.8, 1.25):
        assert crps(*drawn(7, simulations=20000, d=1, scale=scale)).mean() > right
    assert crps(truth, samples[:4]).mean() == pytest.approx(right, rel=0.02)
    assert right == pytest.approx(1 / np.sqrt(np.pi), rel=0.03)


def test_equal_numbers_get_ranks_by_chance():
    same = np.zeros((12, 500, 2))
    assert ranks_of([value_ranks(same, seed=1)]).inside
    assert coverage_of([distance_ranks(same, seed=1)]).inside


def test_results_have_tables_and_pictures():
    box = pool(8, number=15)
    for found, size in (
        (coverage_of([distance_ranks(box, seed=1)]), 14),
        (ranks_of([value_ranks(box, seed=1)]), 8),
    ):
        table = found.to_table()
        assert len(table) == size
        assert table.colnames == ["x", "value", "low", "high", "expected"]
        assert "p = " in repr(found)
        assert found.plot().axes


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"samples must be of shape \(n, simulations, d\)"):
        tarp(np.zeros((4, 2)), np.zeros((8, 3, 2)))
    with pytest.raises(ValueError, match="pool must be of shape"):
        value_ranks(np.zeros((2, 3, 4)), seed=1)
    with pytest.raises(ValueError, match="finite"):
        spread_and_skill(np.full((8, 3, 2), np.nan))
    with pytest.raises(ValueError, match="samples must be two or more"):
        crps(np.zeros(3), np.zeros((1, 3)))
