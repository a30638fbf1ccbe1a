"""Column networks with conditions of each cell on uneven surveys in a box."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.networks.made_weights import write_even, write_local
from tests.reconstruct.test_uneven_boxes import calibrated, deviation, judged
from tests.reconstruct.uneven_box import uneven_surveys

import truez
from truez.linear import conjugate
from truez.linear.uneven_box import fit_surveys
from truez.networks.box_inputs import box_inputs
from truez.networks.conditions import LEAST_PER_CELL
from truez.sightlines import own_place


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A local network that is not trained and gives its prior."""
    return write_local(tmp_path_factory.mktemp("weights") / "local.safetensors", side=5.0)


@pytest.mark.medium
@pytest.mark.parametrize(("periodic", "own"), [(True, True), (False, False)])
def test_an_untrained_network_is_nearly_the_redistribution(weights, periodic, own):
    truth = uneven_surveys(periodic=periodic, own=own)
    found = truez.reconstruct(truth.surveys, "columns", weights=weights)
    other = truez.reconstruct(truth.surveys, "redistribution")
    assert deviation(found, truth) == pytest.approx(deviation(other, truth), rel=0.15)
    one, pit = judged(found, truth)
    two, _ = judged(other, truth)
    assert one.mean() == pytest.approx(two.mean(), abs=0.05)
    assert calibrated(pit, within=2.5) or not periodic
    assert found.metadata["floor"] == 0.05
    assert 0 <= found.metadata["floor_fraction"] < 0.3
    assert "linear_model" in found.metadata
    assert found.sigma is not None
    assert found.intensity.shape == (48, 48, 64)
    assert found.metadata["filter_residual"] < 1e-3


@pytest.mark.medium
@pytest.mark.parametrize("periodic", [True, False])
def test_counts_that_are_nearly_even_have_the_intensity_of_even_surveys(weights, periodic):
    surveys = uneven_surveys(periodic=periodic, fall=1.0, density=0.008).surveys
    level = torch.ones(surveys.box.meshsize)
    level[0, 0, 0] = 1.001
    nearly = truez.Field(level, surveys.box, "counts")
    found = []
    for field in (None, nearly):
        some = replace(surveys, expected_spec=field, expected_photo=field)
        assert some.even == (field is None)
        found.append([
            truez.reconstruct(some, "columns", weights=weights, sky_cellsize=size)
            for size in (2.5, 5)
        ])  # fmt: skip
    (fine, coarse), (other_fine, other_coarse) = found
    assert other_fine.intensity.shape == (48, 48, 64)
    assert other_coarse.intensity.shape == surveys.box.meshsize
    # They are filtered in other cells, CIC and NGP.
    for one, other, least in (
        (fine.intensity.log(), other_fine.intensity.log(), 0.975),
        (coarse.intensity.log(), other_coarse.intensity.log(), 0.97),
        (fine.delta.values, other_fine.delta.values, 0.995),
    ):
        assert np.corrcoef(one.flatten(), other.flatten())[0, 1] > least
        assert float(other.std() / one.std()) == pytest.approx(1, abs=0.08)


@pytest.mark.medium
def test_posteriors_do_not_depend_on_blocks(weights, monkeypatch):
    surveys = uneven_surveys(own=True, density=0.004).surveys
    whole = truez.reconstruct(surveys, "columns", weights=weights)
    monkeypatch.setattr(own_place, "BLOCK_CELLS", 2**13)
    monkeypatch.setattr(conjugate, "SLAB_CELLS", 2**12)
    parts = truez.reconstruct(surveys, "columns", weights=weights)
    torch.testing.assert_close(parts.intensity, whole.intensity, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(parts.delta.values, whole.delta.values, rtol=1e-3, atol=2e-3)


def test_conditions_follow_the_expected_counts():
    surveys = uneven_surveys(own=True, density=0.004).surveys
    found = box_inputs(fit_surveys(surveys), surveys, floor=0.05)
    assert found.values.shape == (9, *surveys.box.meshsize)
    expected = surveys.true_expected().values
    inside = expected > 0
    assert bool((found.values[8] == inside.float()).all())
    assert float(found.values[:, ~inside].abs().max()) == 0
    density = found.conditions.density[1]
    wanted = expected.clamp(min=LEAST_PER_CELL).log()
    torch.testing.assert_close(density, wanted)
    # 4.8 and 18 Mpc/h, as many of each
    sigma = found.conditions.profiles[0].exp() * 5
    assert torch.allclose(sigma, torch.tensor((4.8 * 18) ** 0.5), rtol=0.1)
    share = found.values[7][inside]
    assert float(share.mean()) == pytest.approx(0.2, abs=0.05)


def test_a_sample_cut_in_photo_z_has_inputs_of_its_own_box():
    surveys = uneven_surveys(periodic=False, density=0.004).surveys
    inside = surveys.photo_inside()
    matched = np.full(len(surveys.spec), -1)
    numbers = np.cumsum(inside) - 1
    kept = inside[surveys.matched]
    matched[kept] = numbers[surveys.matched[kept]]
    cut = replace(
        surveys, photo=surveys.photo[inside], photo_bounds="photo-z", matched=matched,
        num_both=int(kept.sum()),
    )  # fmt: skip
    found = box_inputs(fit_surveys(cut), cut, floor=0.05)
    assert found.values.shape[1:] == cut.box.meshsize
    assert found.conditions.density.shape[1:] == cut.box.meshsize
    assert found.conditions.profiles.shape == (10, cut.box.meshsize[2])
    assert bool(torch.isfinite(found.values).all())


def test_what_it_does_not_serve(weights):
    surveys = uneven_surveys(own=True, density=0.004, matched=False).surveys
    with pytest.raises(ValueError, match="needs to know which galaxies are in both surveys"):
        truez.reconstruct(surveys, "columns", weights=weights)
    other = write_even(weights.with_name("even.safetensors"), side=5.0)
    with pytest.raises(ValueError, match="method columns needs even expected counts and one photo"):
        truez.reconstruct(surveys, "columns", weights=other)
    narrow = weights.with_name("narrow.safetensors")
    write_local(narrow, side=5.0, photo_density=(0.05, 0.1))
    surveys = uneven_surveys(own=True, density=0.004).surveys
    with pytest.raises(ValueError, match=r"a photometric density of 0\.00"):
        truez.reconstruct(surveys, "columns", weights=narrow)
