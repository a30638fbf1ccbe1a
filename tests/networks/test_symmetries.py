"""The mean over symmetries of the sky: what it is, and that it turns with the field."""

import pytest
import torch
from torch import Tensor, nn

from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.networks import build_network, tiled
from truez.networks.symmetries import (
    NUM_SYMMETRIES,
    apply_symmetry,
    first_symmetries,
    undo_symmetry,
)
from truez.reconstruct import estimate
from truez.surveys.photoz import PhotozError
from truez.surveys.surveys import Surveys

SETTINGS = {"widths": (6, 8), "blocks": (1, 0, 1), "along": 3, "embedding": 4}


@pytest.fixture(scope="module")
def network():
    network = build_network("column-net", SETTINGS, seed=3)
    nn.init.normal_(network.last.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    return network


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    return torch.randn(6, 20, 12, 16, generator=torch.Generator().manual_seed(2))


def test_every_symmetry_is_undone(inputs):
    for number in range(NUM_SYMMETRIES):
        assert torch.equal(undo_symmetry(apply_symmetry(inputs, number), number), inputs)


def test_the_first_ones_are_different_and_start_with_none():
    assert sorted(first_symmetries(16)) == list(range(16))
    for number in (1, 2, 4, 8):
        assert first_symmetries(number) == first_symmetries(16)[:number]
        assert first_symmetries(number)[0] == 0
    for number in (2, 4, 8):
        # Each axis flips in half of them, and x and y swap in half, where there are four.
        bits = (1, 2, 4, 8) if number > 2 else (2, 4, 8)
        for bit in bits:
            assert sum(bool(n & bit) for n in first_symmetries(number)) == number / 2


@pytest.mark.parametrize("number", [0, 3, 17, -1])
def test_other_numbers_are_refused(number):
    with pytest.raises(ValueError, match=f"symmetries must be 1, 2, 4, 8 or 16, not {number}"):
        first_symmetries(number)


def test_the_mean_over_two_is_the_mean(network, inputs):
    plain = tiled(network, inputs, tile=None)
    turned = tiled(network, inputs.flip(-3, -2, -1), tile=None).flip(-3, -2, -1)
    assert float((plain - turned).std()) > 0.05 * float(plain.std())
    both = tiled(network, inputs, tile=None, num_symmetries=2)
    assert torch.allclose(both, (plain + turned) / 2, atol=1e-5)


@pytest.mark.medium
@pytest.mark.parametrize("periodic", [True, False])
def test_the_mean_over_all_turns_with_the_field(network, inputs, periodic):
    settings = {"periodic": periodic, "num_symmetries": 16}
    mean = tiled(network, inputs, tile=None, **settings)
    for number in (1, 6, 15):
        turned = tiled(network, apply_symmetry(inputs, number), tile=None, **settings)
        assert torch.allclose(turned, apply_symmetry(mean, number), atol=1e-5)
    # And tiles change nothing.
    assert torch.allclose(tiled(network, inputs, tile=(8, 12, None), **settings), mean, atol=1e-5)


def test_a_filter_has_no_use_for_them():
    box = Box(32, 16)
    places = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)).numpy() * 32
    surveys = Surveys(
        photo=places,
        spec=places[:20],
        box=box,
        error=PhotozError(5.0),
        num_both=20,
        cosmology=COSMOLOGIES["wmap"],
        redshift=0.5,
    )
    for method in ("wiener", "redistribution"):
        with pytest.raises(ValueError, match="leave symmetries out"):
            estimate(surveys, method, symmetries=2)
    with pytest.raises(ValueError, match="symmetries must be 1, 2, 4, 8 or 16, not 5"):
        estimate(surveys, symmetries=5)
