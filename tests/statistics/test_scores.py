"""Scores against their definitions, on whole fields, regions and sub-boxes."""

import math
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.statistics.scores import (
    SCORES,
    Scores,
    SubBoxScores,
    score,
    scores,
    sub_box_scores,
)

BOX = Box((40.0, 44.0, 36.0), (20, 22, 18))


def pair(box: Box = BOX, seed: int = 0) -> tuple[Field, Field]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randn(box.meshsize, generator=generator).exp() - 1.6
    field = 0.8 * truth + 0.5 * torch.randn(box.meshsize, generator=generator)
    return Field(field, box, "delta"), Field(truth, box, "delta")


PAIR = pair()


def test_scores_are_those_of_their_definitions():
    field, truth = pair()
    f, t = field.numpy().astype(float), truth.numpy().astype(float)
    span = t.max() - t.min()
    found = scores(field, truth=truth)
    assert list(found) == ["mse", "mae", "psnr", "ssim", "correlation"]
    assert found.mse == pytest.approx(((f - t) ** 2).mean(), rel=1e-12)
    assert found.mae == pytest.approx(np.abs(f - t).mean(), rel=1e-12)
    assert found.psnr == pytest.approx(peak_signal_noise_ratio(t, f, data_range=span), rel=1e-12)
    whole = structural_similarity(t, f, win_size=7, data_range=span, K1=0.01, K2=0.03)
    assert found.ssim == pytest.approx(whole, rel=1e-12)
    assert found.correlation == pytest.approx(np.corrcoef(f.ravel(), t.ravel())[0, 1], rel=1e-12)


@pytest.mark.parametrize("slab", [1, 5 * 22 * 18, 10**9])
def test_slabs_change_nothing(monkeypatch, slab):
    field, truth = pair()
    whole = scores(field, truth=truth)
    monkeypatch.setattr(sys.modules["truez.statistics.scores"], "_SLAB_CELLS", slab)
    for name, value in scores(field, truth=truth).items():
        assert value == pytest.approx(whole[name], rel=1e-12), name


def test_a_field_equal_to_the_truth():
    _, truth = pair()
    found = scores(truth, truth=truth)
    assert (found.mse, found.mae, found.psnr) == (0, 0, math.inf)
    assert found.ssim == pytest.approx(1, rel=1e-12)
    assert found.correlation == pytest.approx(1, rel=1e-12)


def test_zero_and_empty_fields():
    _, truth = pair()
    t = truth.numpy().astype(float)
    zero = scores(Field(torch.zeros(BOX.meshsize), BOX, "delta"), truth=truth)
    assert zero.mse == pytest.approx((t**2).mean(), rel=1e-12)
    assert math.isnan(zero.correlation)
    assert math.isfinite(zero.psnr)
    assert math.isfinite(zero.ssim)
    empty = scores(Field(torch.full(BOX.meshsize, -0.3), BOX, "delta"), truth=truth)
    assert math.isnan(empty.correlation)
    # Against counts with the mean 1, the empty field errs by exactly 1 on average.
    counts = Field(torch.rand(BOX.meshsize).round() + 0.2, BOX, "counts").to_delta()
    absent = scores(Field(torch.full(BOX.meshsize, -1.0), BOX, "delta"), truth=counts)
    assert absent.mae == pytest.approx(1, rel=1e-6)


def test_a_constant_truth_has_no_range():
    field, _ = pair()
    found = scores(field, truth=Field(torch.full(BOX.meshsize, 0.1), BOX, "delta"))
    assert math.isnan(found.psnr)
    assert math.isnan(found.ssim)
    assert math.isnan(found.correlation)
    assert found.mse > 0


@settings(max_examples=15)
@given(st.floats(0.1, 10), st.integers(0, 100))
def test_scaling_both_fields(factor, seed):
    field, truth = pair(Box(16.0, 8), seed)
    scaled = [Field(f.values.double() * factor, f.box, "delta") for f in (field, truth)]
    one, two = scores(field, truth=truth), scores(scaled[0], truth=scaled[1])
    assert two.mse == pytest.approx(one.mse * factor**2, rel=1e-6)
    assert two.mae == pytest.approx(one.mae * factor, rel=1e-6)
    for name in ("psnr", "ssim", "correlation"):
        assert two[name] == pytest.approx(one[name], rel=1e-6), name


def test_smoothing_comes_before_the_region():
    field, truth = pair()
    region = ((2, 0, 5), (14, 12, 18))
    by_hand = scores(field.smooth(4).crop(*region), truth=truth.smooth(4).crop(*region))
    assert dict(scores(field, truth=truth, smoothing=4, region=region)) == dict(by_hand)
    after = scores(field.crop(*region).smooth(4), truth=truth.crop(*region).smooth(4))
    assert abs(after.mse / by_hand.mse - 1) > 0.01


def test_sub_boxes():
    field, truth = pair()
    found = sub_box_scores(field, truth=truth, cells=(10, 7, 9))
    assert found.num_boxes == 2 * 3 * 2
    assert found.covered == pytest.approx(20 * 21 * 18 / (20 * 22 * 18))
    for row, start in enumerate(found.starts):
        stop = start + np.array([10, 7, 9])
        own = scores(field.crop(start, stop), truth=truth.crop(start, stop))
        for name, value in own.items():
            assert found.values[name][row] == pytest.approx(value, rel=1e-12)
    mse = found.values["mse"]
    assert found.mean.mse == mse.mean()
    assert found.sigma.mse == mse.std(ddof=1)
    assert found.error.mse == pytest.approx(mse.std(ddof=1) / math.sqrt(12))


def test_sub_boxes_of_a_region_are_named_by_their_place_on_the_mesh():
    field, truth = pair()
    region = ((3, 0, 2), (19, 8, 18))
    found = sub_box_scores(field, truth=truth, cells=8, smoothing=2.0, region=region)
    assert found.starts.tolist() == [[3, 0, 2], [3, 0, 10], [11, 0, 2], [11, 0, 10]]
    assert found.covered == 1
    one = scores(field, truth=truth, smoothing=2.0, region=((11, 0, 2), (19, 8, 10)))
    assert found.values["ssim"][2] == pytest.approx(one.ssim, rel=1e-12)


def test_a_single_sub_box_has_no_scatter():
    found = sub_box_scores(PAIR[0], truth=PAIR[1], cells=18)
    assert found.num_boxes == 1
    assert math.isnan(found.sigma.mse)
    assert math.isnan(found.error.psnr)


def test_a_sub_box_that_equals_the_truth_has_no_scatter_and_no_warning():
    field, truth = pair()
    values = field.values.clone()
    values[:9, :9, :9] = truth.values[:9, :9, :9]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = sub_box_scores(Field(values, BOX, "delta"), truth=truth, cells=9)
        assert found.mean.psnr == math.inf
        assert math.isnan(found.sigma.psnr)
        assert math.isnan(found.error.psnr)
        assert found.sigma.mse > 0


@pytest.mark.parametrize("cells", [9, np.int64(9), np.array([9, 9, 9]), (9, np.int32(9), 9)])
def test_cells_are_integers_of_any_kind(cells):
    assert sub_box_scores(PAIR[0], truth=PAIR[1], cells=cells).cells == (9, 9, 9)


def test_sub_boxes_come_back_from_their_file(tmp_path):
    found = sub_box_scores(PAIR[0], truth=PAIR[1], cells=9)
    found.write(tmp_path / "boxes.ecsv")
    back = SubBoxScores.read(tmp_path / "boxes.ecsv")
    np.testing.assert_array_equal(back.starts, found.starts)
    assert (back.cells, back.covered) == (found.cells, found.covered)
    assert list(back.values) == list(found.values)
    for name, array in found.values.items():
        np.testing.assert_array_equal(back.values[name], array)


def test_a_new_score_is_one_function():
    try:

        @score
        def worst(field, truth):
            return float(np.abs(field - truth).max())

        field, truth = pair()
        expected = np.abs(field.numpy() - truth.numpy()).max()
        assert scores(field, truth=truth).worst == pytest.approx(expected)
        assert sub_box_scores(field, truth=truth, cells=9).mean.worst <= expected
    finally:
        del SCORES["worst"]


def test_scores_are_a_mapping_with_attributes():
    found = Scores(mse=2.0, mae=1.0)
    assert found["mse"] == found.mse == 2.0
    assert dict(found) == {"mse": 2.0, "mae": 1.0}
    assert repr(found) == "Scores(mse=2, mae=1)"
    with pytest.raises(AttributeError, match="there is no score 'rmse'"):
        _ = found.rmse


def constant(value: float = 0.0, kind: str = "delta", box: Box = BOX) -> Field:
    return Field(torch.full(box.meshsize, value), box, kind)


SMALL = Box(10.0, (20, 6, 20))

SENTENCES = [
    (
        lambda: scores(constant(), truth=constant(box=Box(40.0, 20))),
        "field and truth must be on the same box, not 40 x 44 x 36 Mpc/h",
    ),
    (
        lambda: scores(constant(1.0, "counts"), truth=constant()),
        "field must be of kind delta, not counts: use Field.to_delta()",
    ),
    (
        lambda: scores(constant(), truth=constant(1.0, "density")),
        "truth must be of kind delta, not density: use Field.to_delta()",
    ),
    (
        lambda: scores(constant(math.nan), truth=constant()),
        "field must hold finite values only, but some are NaN or infinite",
    ),
    (
        lambda: scores(constant(), truth=constant(math.inf)),
        "truth must hold finite values only, but some are NaN or infinite",
    ),
    (
        lambda: scores(constant(box=SMALL), truth=constant(box=SMALL)),
        "20 x 6 x 20 cells are too few for the window of SSIM: each side needs 7 or more",
    ),
    (
        lambda: scores(PAIR[0], truth=PAIR[1], region=((0, 0, 0), (3, 10, 10))),
        "3 x 10 x 10 cells are too few for the window of SSIM: each side needs 7 or more",
    ),
    (
        lambda: sub_box_scores(PAIR[0], truth=PAIR[1], cells=5),
        "5 x 5 x 5 cells are too few for the window of SSIM: each side needs 7 or more",
    ),
    (
        lambda: sub_box_scores(PAIR[0], truth=PAIR[1], cells=(8, 8, 19)),
        "no sub-box of 8 x 8 x 19 cells fits into a region of 20 x 22 x 18 cells",
    ),
    (
        lambda: sub_box_scores(PAIR[0], truth=PAIR[1], cells=(8, 8)),
        "cells must be one positive whole number or three, not (8, 8)",
    ),
    (
        lambda: sub_box_scores(PAIR[0], truth=PAIR[1], cells=8.5),
        "cells must be one positive whole number or three, not 8.5",
    ),
    (
        lambda: scores(PAIR[0], truth=PAIR[1], smoothing=-1.0),
        "radius must not be negative, not -1.0 Mpc/h",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), SENTENCES)
def test_bad_input_is_refused_with_one_sentence(call, sentence):
    with pytest.raises(ValueError) as caught:
        call()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
