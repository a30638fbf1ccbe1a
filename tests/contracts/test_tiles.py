"""Stitched equals untiled: the contract that lets a network run on a field of any size."""

import pytest
import torch
from torch import Tensor, nn

from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.networks import build_network, check_local, check_reach, predict, tile_memory, tiled
from truez.networks.dual_unet import DualUNet

SETTINGS = {
    "spec_width": 3,
    "photo_width": 2,
    "multipliers": (1, 2, 2),
    "kernels": (3, 3, 1),
    "repeats": (0, 0, 0),
    "head_width": 4,
    "fusion": "skips",
}


def lively(network: DualUNet) -> DualUNet:
    """Random weights and batch statistics, as after some training, so that nothing is trivial."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        network.last.weight.copy_(torch.randn(network.last.weight.shape, generator=generator))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.running_mean.copy_(torch.randn(module.num_features, generator=generator) / 4)
                module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return network


@pytest.fixture(scope="module")
def network() -> DualUNet:
    return lively(build_network("dual-unet", SETTINGS, seed=7))


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    # Neither cubic nor multiples of the stride, skewed as overdensities are.
    return torch.randn(2, 17, 10, 23, generator=torch.Generator().manual_seed(2)).exp() - 1.6


def deviation(field: Tensor, reference: Tensor) -> float:
    assert reference.std() > 1e-2
    return float((field - reference).abs().max() / reference.std())


@pytest.mark.parametrize("periodic", [False, True, (True, False, False)])
@pytest.mark.parametrize("tile", [12, (8, 16, None), (32, 8, 0), (20, 28, 36)])
def test_stitched_equals_untiled(network, inputs, tile, periodic):
    whole = tiled(network, inputs, tile=None, periodic=periodic)
    assert deviation(tiled(network, inputs, tile=tile, periodic=periodic), whole) < 1e-4


def test_stitched_equals_untiled_for_two_whole_branches(inputs):
    network = lively(build_network("dual-unet", {**SETTINGS, "fusion": "output"}, seed=7))
    whole = tiled(network, inputs, tile=None, periodic=True)
    assert deviation(tiled(network, inputs, tile=(12, 8, 16), periodic=True), whole) < 1e-4


def test_larger_halo_changes_nothing(network, inputs):
    whole = tiled(network, inputs, tile=None)
    halo = network.receptive_radius + 5
    assert deviation(tiled(network, inputs, tile=12, halo=halo), whole) < 1e-4


@pytest.mark.medium
def test_untiled_is_the_network_on_a_padded_field(network, inputs):
    reach = 4 * network.stride * (-(-network.receptive_radius // network.stride))
    padded = nn.functional.pad(inputs, [reach] * 6)
    with torch.inference_mode():
        direct = network.eval()(padded[None])[0, 0]
    inner = direct[tuple(slice(reach, reach + n) for n in inputs.shape[1:])]
    assert deviation(tiled(network, inputs), inner) < 1e-4


def test_a_periodic_field_may_be_rolled_by_the_stride(network, inputs):
    cells = inputs[:, :12, :8, :20]
    shifts = (network.stride, -2 * network.stride, 3 * network.stride)
    rolled = tiled(network, cells.roll(shifts, (1, 2, 3)), tile=8, periodic=True)
    assert deviation(rolled, tiled(network, cells, periodic=True).roll(shifts, (0, 1, 2))) < 1e-4
    # A closed box is not: its faces see the mean field beyond.
    rolled = tiled(network, cells.roll(shifts, (1, 2, 3)), tile=8)
    assert deviation(rolled, tiled(network, cells).roll(shifts, (0, 1, 2))) > 1e-2


def test_periodic_box_smaller_than_the_halo(network, inputs):
    cell = inputs[:, :8, :8, :8]
    twice = tiled(network, cell.repeat(1, 2, 2, 2), tile=8, periodic=True)
    assert deviation(twice, tiled(network, cell, periodic=True).repeat(2, 2, 2)) < 1e-4


@pytest.mark.parametrize("region", [((3, 2, 1), (9, 9, 21)), ((0, 9, 0), (1, 10, 23))])
def test_a_region_is_cut_from_the_whole(network, inputs, region):
    whole = tiled(network, inputs, periodic=(False, False, True))
    x, y, z = (slice(a, b) for a, b in zip(*region, strict=True))
    part = tiled(network, inputs, tile=8, region=region, periodic=(False, False, True))
    assert float((part - whole[x, y, z]).abs().max()) < 1e-4 * float(whole.std())


def test_the_mode_of_the_network_is_left_as_it_was(network, inputs):
    network.train()
    before = {k: t.clone() for k, t in network.state_dict().items()}
    tiled(network, inputs, tile=16)
    assert network.training
    assert all(torch.equal(t, before[k]) for k, t in network.state_dict().items())
    network.eval()


class Normalised(DualUNet):
    """A network that someone added a normalisation over space to."""

    kind: type[nn.Module]

    def __init__(self, config=None) -> None:
        super().__init__(config)
        width = self.head.conv.out_channels
        extra = nn.GroupNorm(2, width) if self.kind is nn.GroupNorm else self.kind(width)
        self.head.norm = extra


@pytest.mark.parametrize("kind", [nn.GroupNorm, nn.InstanceNorm3d])
def test_statistics_over_space_are_found_out(inputs, kind, monkeypatch):
    cls = type("Spoilt", (Normalised,), {"kind": kind})
    spoilt = lively(cls(DualUNet.Config(**SETTINGS))).eval()
    with pytest.raises(ValueError, match=rf"layer head.norm \({kind.__name__}\) uses statistics"):
        check_local(spoilt)
    with pytest.raises(ValueError, match="uses statistics over space"):
        tiled(spoilt, inputs)
    with pytest.raises(ValueError, match=r"receptive radius of the network is not \d+ cells"):
        check_reach(spoilt)
    # And the contract itself fails once nobody looks at the types of layers.
    monkeypatch.setattr("truez.networks.tiles.check_local", lambda _: None)
    whole = tiled(spoilt, inputs, tile=None)
    assert deviation(tiled(spoilt, inputs, tile=8), whole) > 1e-2


def test_batch_statistics_that_are_not_frozen_are_found_out():
    network = build_network("dual-unet", SETTINGS)
    network.head.norm = nn.BatchNorm3d(4, track_running_stats=False)
    with pytest.raises(ValueError, match=r"layer head\.norm"):
        check_local(network)


def test_check_passes_a_local_network(network):
    check_local(network)
    check_reach(network)


def test_every_architecture_keeps_the_contract(inputs):
    from truez.networks import architectures, network_class

    for name in architectures():
        check_local(network_class(name)())


def test_memory_is_bounded_by_the_tile(network):
    small = tile_memory(network, (400, 400, 400), tile=16)
    assert small == tile_memory(network, (4000, 400, 400), tile=16)
    assert small < tile_memory(network, (400, 400, 400), tile=64)
    assert tile_memory(network, (64, 64, 64), tile=None) == tile_memory(network, (64,) * 3, tile=64)


def test_predict_gives_a_field_on_the_box(network, inputs):
    box = Box((34, 20, 46), (17, 10, 23), periodic=False)
    spec, photo = (Field(values, box, "delta") for values in inputs)
    field = predict(network, spec=spec, photo=photo, tile=12)
    assert (field.kind, field.box) == ("delta", box)
    assert deviation(field.values, tiled(network, inputs)) < 1e-4


def test_progress_counts_all_tiles(network, inputs):
    calls = []
    tiled(network, inputs, tile=12, progress=lambda *call: calls.append(call[1:3]))
    assert calls == [(n, 4) for n in range(5)]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tile": 6}, "tile must be a multiple of the network's stride, 4, not 6"),
        ({"tile": (8, 8)}, r"tile must be one number of cells or three, not \(8, 8\)"),
        ({"tile": -4}, "tile must be a multiple of the network's stride, 4, not -4"),
        ({"halo": 3}, r"halo must be at least the receptive radius, \d+ cells, not 3"),
        ({"region": ((0, 0, 0), (18, 1, 1))}, "does not lie in a mesh of"),
    ],
)
def test_broken_requests(network, inputs, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        tiled(network, inputs, **change)


def test_broken_inputs(network, inputs):
    with pytest.raises(ValueError, match=r"inputs must have the shape \(2, nx, ny, nz\)"):
        tiled(network, inputs[:1])
    box = Box(10, inputs.shape[1:])
    counts, delta = Field(inputs[0], box, "counts"), Field(inputs[1], box, "delta")
    with pytest.raises(ValueError, match="spec must be an overdensity, not 'counts'"):
        predict(network, spec=counts, photo=delta)
    with pytest.raises(ValueError, match="spec and photo must be on one box"):
        predict(network, spec=delta, photo=Field(inputs[1], Box(11, inputs.shape[1:]), "delta"))
