"""Eq. 5 of the paper: what it scales, by how much, and what it leaves alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from truez.experiments.paper.correction import (
    CorrectionConfig,
    Transfer,
    correct_large_scales,
    measure_transfer,
)
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import irfft, rfft, wavevectors
from truez.statistics.power import power

BOX = Box(800.0, 40)
K_CUT = 0.031


def white(box: Box = BOX, seed: int = 0) -> Field:
    values = np.random.default_rng(seed).normal(0, 1, box.meshsize)
    return Field(torch.as_tensor(values, dtype=torch.float32), box, "delta")


def filtered(field: Field, factor) -> Field:
    """The field with its modes times a function of k [h/Mpc]."""
    x, y, z = wavevectors(field.box, dtype=torch.float64)
    k = (x**2 + y**2 + z**2).sqrt()
    modes = rfft(field.values) * factor(k).to(torch.float32)
    return Field(irfft(modes, field.box.meshsize), field.box, "delta", dict(field.metadata))


def red(field: Field) -> Field:
    """With a spectrum that falls with k."""
    return filtered(field, lambda k: (0.05 / (k + 0.02)) ** 0.8)


def weakened(field: Field, factor: float, k_cut: float = K_CUT) -> Field:
    return filtered(field, lambda k: torch.where(k < k_cut, factor, 1.0))


def config(**settings) -> CorrectionConfig:
    return CorrectionConfig(**{"k_max": 0.15, **settings})


# --- what is measured ---------------------------------------------------------------------------


def test_scales_that_were_lost_are_brought_back():
    """An estimate of 0.4 times the true amplitudes below k_cut, and a survey of bias 1.7."""
    truth = red(white())
    truth = Field(truth.values - truth.values.mean(), BOX, "delta")
    estimate = weakened(truth, 0.4)
    spec = Field(1.7 * truth.values, BOX, "delta")
    found = correct_large_scales(estimate, spec, config(transfer="normalised"))
    assert found.transfer.mean_ratio == pytest.approx(1.7**2, rel=1e-4)
    np.testing.assert_allclose(found.field.values, truth.values, atol=2e-5)
    assert not torch.allclose(estimate.values, truth.values, atol=0.05)


def test_a_normalised_transfer_takes_over_the_shape_of_the_spectrum():
    """Below k_cut the power in each bin becomes that of the survey over the mean ratio."""
    estimate, spec = white(seed=1), red(white(seed=2))
    found = correct_large_scales(estimate, spec, config(transfer="normalised"))
    transfer = found.transfer
    low = transfer.edges[1:] <= K_CUT
    assert low.sum() == 3
    after = power(found.field, edges=transfer.edges).poles[0]
    expected = transfer.power_spec / transfer.mean_ratio
    np.testing.assert_allclose(after[low], expected[low], rtol=1e-4)
    np.testing.assert_allclose(after[~low], transfer.power_model[~low], rtol=1e-4)


@pytest.mark.parametrize(("amplitude", "exponent"), [("root", 1), ("power", 2)])
def test_the_mean_ratio_scales_power_or_amplitudes(amplitude, exponent):
    """With twice the amplitudes in the survey the ratio of powers is 4."""
    estimate = red(white())
    spec = Field(2 * estimate.values, BOX, "delta")
    found = correct_large_scales(estimate, spec, config(amplitude=amplitude))
    transfer = found.transfer
    assert transfer.mean_ratio == pytest.approx(4, rel=1e-5)
    low = transfer.edges[1:] <= K_CUT
    np.testing.assert_allclose(transfer.factor[low], 2**exponent, rtol=1e-5)
    after = power(found.field, edges=transfer.edges).poles[0]
    np.testing.assert_allclose(after[low], 4**exponent * transfer.power_model[low], rtol=1e-4)
    np.testing.assert_allclose(after[~low], transfer.power_model[~low], rtol=1e-4)


def test_the_mean_is_over_the_bins_between_k_cut_and_k_max():
    """Three levels of the ratio: only the middle one counts, each of its bins alike."""
    estimate = white(seed=3)
    steps = filtered(
        estimate, lambda k: torch.where(k < K_CUT, 9.0, torch.where(k < 0.1, 2.0, 5.0))
    )
    assert measure_transfer(estimate, steps, config(k_max=0.1)).mean_ratio == pytest.approx(
        4, rel=1e-4
    )
    found = measure_transfer(estimate, red(estimate), config(k_max=0.1))
    inside = (found.edges[:-1] >= K_CUT) & (found.edges[1:] <= 0.1)
    assert inside.sum() > 5
    assert found.mean_ratio == pytest.approx(found.ratio[inside].mean(), rel=1e-12)


def test_shot_noise_is_taken_from_the_survey_alone():
    estimate, spec = red(white(seed=1)), red(white(seed=1))
    level = 0.3 * power(spec, edges=[K_CUT, 0.15]).poles[0][0]
    spec = Field(spec.values, BOX, "delta", shotnoise=level)
    kept = measure_transfer(estimate, spec, config())
    less = measure_transfer(estimate, spec, config(subtract_shotnoise=True))
    assert kept.shotnoise == 0
    assert less.shotnoise == level
    np.testing.assert_allclose(less.power_spec, kept.power_spec - level, rtol=1e-12)
    np.testing.assert_array_equal(less.power_model, kept.power_model)
    assert less.mean_ratio < kept.mean_ratio == pytest.approx(1)


def test_modes_at_k_cut_are_left_alone():
    """k < k_cut strictly: the mode at k_cut itself, up to rounding, lies above."""
    fundamental = BOX.fundamental[0]
    wave = torch.cos(2 * fundamental * torch.as_tensor(BOX.centers(0))).reshape(-1, 1, 1)
    estimate = Field((white().values + wave).float(), BOX, "delta")
    spec = Field(3 * estimate.values, BOX, "delta")
    at = correct_large_scales(estimate, spec, config(k_cut=2 * fundamental))
    above = correct_large_scales(estimate, spec, config(k_cut=2.001 * fundamental))
    before, left, scaled = (
        float(rfft(f.values)[2, 0, 0].abs()) for f in (estimate, at.field, above.field)
    )
    assert left == pytest.approx(before, rel=1e-5)
    assert scaled == pytest.approx(3 * before, rel=1e-4)
    # 1 + sqrt 2 + sqrt 3 fundamentals: 6 + 12 + 8 modes; at 2 there are 6 more
    assert (at.num_modes, above.num_modes) == (26, 32)
    assert list(at.transfer.at([0, 0.9 * fundamental, 2 * fundamental, 9.0])[2:]) == [1, 1]


@pytest.mark.parametrize("mesh", [(40, 40, 40), (60, 40, 10), (60, 20, 10), (40, 40, 11)])
def test_every_bin_below_k_cut_has_a_factor(mesh):
    """And the mean of a field is scaled as its longest waves are."""
    box = Box(20.0 * np.array(mesh), mesh)
    for k_cut in np.linspace(1.05, 4.1, 33) * sorted(box.fundamental)[1]:
        settings = config(transfer="normalised", k_cut=float(k_cut), k_max=float(k_cut) + 0.02)
        found = measure_transfer(white(box, 4), white(box, 5), settings)
        low = found.edges[1:] <= k_cut
        assert (found.nmodes[low] > 0).all()
        assert np.isfinite(found.factor).all()
        assert found.at(0.0) == found.factor[0]
        assert found.at(k_cut) == 1


# --- sub-boxes ----------------------------------------------------------------------------------


def slab(seed: int = 0) -> Field:
    """A stitched slab of 400 x 400 x 200 Mpc/h: four cubes of 200 Mpc/h."""
    field = red(white(Box((400.0, 400.0, 400.0), 80), seed))
    return field.crop((0, 0, 0), (80, 80, 40))


def test_per_box_changes_only_the_mean_of_a_cube_of_200():
    """2 pi / 200 = 0.0314 > 0.031: such a cube has no mode below k_cut but its mean."""
    assert 2 * math.pi / 200 > CorrectionConfig().k_cut == K_CUT
    estimate = slab()
    spec = Field(1.6 * estimate.values, estimate.box, "delta")
    found = correct_large_scales(estimate, spec, CorrectionConfig(mode="per-box"), cells=40)
    assert found.num_modes == 0
    for x, y in np.ndindex(2, 2):
        corner = (40 * x, 40 * y, 0), (40 * x + 40, 40 * y + 40, 40)
        before, after = (f.crop(*corner).values.double() for f in (estimate, found.field))
        assert float(after.mean()) == pytest.approx(1.6 * float(before.mean()), rel=1e-4)
        np.testing.assert_allclose(after - after.mean(), before - before.mean(), atol=1e-5)


def test_global_changes_the_waves_of_the_slab():
    estimate = slab()
    spec = Field(1.6 * estimate.values, estimate.box, "delta")
    found = correct_large_scales(estimate, spec)
    # of fundamentals 0.0157 and 0.0314: (+-1, 0), (0, +-1), (+-1, +-1) across, none along
    assert found.num_modes == 8
    modes, before = rfft(found.field.values), rfft(estimate.values)
    np.testing.assert_allclose(modes[1, 0, 0], 1.6 * before[1, 0, 0], rtol=1e-4)
    np.testing.assert_allclose(modes[2:-1], before[2:-1], atol=1e-6)
    np.testing.assert_allclose(modes[:, :, 1:], before[:, :, 1:], atol=1e-6)


def test_one_sub_box_is_the_whole_field():
    estimate, spec = red(white(seed=1)), white(seed=2)
    whole = correct_large_scales(estimate, spec, config())
    one = correct_large_scales(estimate, spec, config(mode="per-box"), cells=BOX.meshsize)
    assert torch.equal(whole.field.values, one.field.values)
    assert whole.num_modes == one.num_modes > 0


# --- contract -----------------------------------------------------------------------------------


def test_the_result_says_what_was_done_and_changes_nothing_given(tmp_path):
    estimate = Field(red(white()).values, BOX, "delta", {"method": "wiener", "sigma": 1.0})
    before = estimate.values.clone()
    found = correct_large_scales(estimate, white(seed=2), config(amplitude="power"))
    assert torch.equal(estimate.values, before)
    assert found.field.metadata["method"] == "wiener"
    assert "sigma" not in found.field.metadata
    assert found.field.metadata["correction"] == {
        **config(amplitude="power").model_dump(),
        "cells": [40, 40, 40],
        "mean_ratio": found.transfer.mean_ratio,
        "num_modes": found.num_modes,
    }
    found.field.write(tmp_path / "field.h5")
    found.transfer.write(tmp_path / "transfer.ecsv")
    back = Transfer.read(tmp_path / "transfer.ecsv")
    for name in ("edges", "k", "nmodes", "power_spec", "power_model", "factor"):
        np.testing.assert_array_equal(getattr(back, name), getattr(found.transfer, name))
    assert (back.mean_ratio, back.k_cut) == (found.transfer.mean_ratio, K_CUT)


FIELD, SMALL = red(white()), white(Box(100.0, 20))
BROKEN = {
    "another box": (
        lambda: correct_large_scales(FIELD, SMALL),
        "field and spec must be on the same box",
    ),
    "counts": (
        lambda: correct_large_scales(Field(FIELD.values + 99, BOX, "counts"), FIELD),
        "field must be of kind delta, not counts: use Field.to_delta()",
    ),
    "no cells": (
        lambda: correct_large_scales(FIELD, FIELD, config(mode="per-box")),
        "mode per-box needs cells, the cells of a sub-box along each axis",
    ),
    "cells that do not fit": (
        lambda: correct_large_scales(FIELD, FIELD, config(mode="per-box"), cells=(20, 20, 30)),
        "cells must divide the mesh of 40 x 40 x 40 cells, not (20, 20, 30)",
    ),
    "cells of no use": (
        lambda: correct_large_scales(FIELD, FIELD, config(), cells=20),
        "cells are those of the sub-boxes of mode per-box: leave them out",
    ),
    "beyond the mesh": (
        lambda: correct_large_scales(FIELD, FIELD, config(k_max=0.16)),
        "k_max must not lie above the Nyquist wavenumber of the mesh, 0.1571 h/Mpc, as 0.16 does",
    ),
    "unknown noise": (
        lambda: correct_large_scales(FIELD, FIELD, config(subtract_shotnoise=True)),
        "subtract_shotnoise needs the shot noise of the field, and it is not known",
    ),
    "too much noise": (
        lambda: correct_large_scales(
            FIELD,
            Field(FIELD.values, BOX, "delta", shotnoise=1e9),
            config(subtract_shotnoise=True),
        ),
        "the power of spec less its shot noise must be positive in every bin up to k_max",
    ),
    "zero field": (
        lambda: correct_large_scales(Field(0 * FIELD.values, BOX, "delta"), FIELD, config()),
        "the power of field must be positive in every bin up to k_max",
    ),
    "small box, normalised": (
        lambda: correct_large_scales(SMALL, SMALL, config(transfer="normalised")),
        (
            "the field has no mode with 0 < k < k_cut = 0.031 h/Mpc to measure a normalised "
            "transfer from: use a larger box or transfer = 'constant'"
        ),
    ),
    "no mode at all": (
        lambda: correct_large_scales(SMALL, SMALL, config(k_max=0.05)),
        "no mode of the field lies between k_cut and k_max = 0.05",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_bad_input_is_refused(case):
    call, sentence = BROKEN[case]
    with pytest.raises(ValueError) as caught:
        call()
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"k_max": 0.03}, "k_max must lie above k_cut = 0.031, not 0.03"),
        ({"k_cut": 0}, "k_cut must be above 0, not 0"),
        ({"mode": "local"}, "mode must be global or per-box"),
        ({"kcut": 0.03}, "kcut is not a known setting: did you mean k_cut?"),
    ],
)
def test_bad_settings_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        CorrectionConfig(**settings)
