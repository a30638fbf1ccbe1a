"""A column network in tiles, and its training resumed: the contracts of columns."""

import pytest
import torch
from safetensors import safe_open
from torch import nn

from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.networks import build_network, check_reach, tile_memory, tiled
from truez.networks.tile_sizes import fitting_tile
from truez.simulate import lognormal_galaxies
from truez.training import run as run_module
from truez.training.supply import Supply

torch.set_num_threads(1)

SETTINGS = {"widths": (6, 8), "blocks": (1, 1, 1), "along": 3, "embedding": 4}
CONDITION = torch.tensor([3.0, -5.0, -2.0, 1.0, 0.02])


@pytest.fixture(scope="module")
def network():
    network = build_network("column-net", SETTINGS, seed=3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            if module is network.last or isinstance(module, nn.Linear):
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) / 5)
    return network


@pytest.fixture(scope="module")
def inputs():
    return torch.randn(6, 24, 20, 16, generator=torch.Generator().manual_seed(2))


def deviation(field, reference):
    assert reference.std() > 1e-2
    return float((field - reference).abs().max() / reference.std())


@pytest.mark.parametrize("periodic", [True, False, (False, False, True), (True, False, False)])
@pytest.mark.parametrize("tile", [(12, 8, None), (4, 20, 0), (12, 20, 8), (40, 40, 40)])
def test_stitched_equals_untiled(network, inputs, tile, periodic):
    whole = tiled(network, inputs, tile=None, periodic=periodic, conditions=CONDITION)
    some = tiled(network, inputs, tile=tile, periodic=periodic, conditions=CONDITION)
    assert deviation(some, whole) < 1e-4
    # The change that the network makes, not the prior that it is added to.
    assert float((whole - inputs[4]).std()) > 0.05


def test_joined_ends_equal_a_halo_of_the_same_field(network, inputs):
    joined = tiled(network, inputs, tile=(12, 12, None), periodic=True, conditions=CONDITION)
    assert network.receptive_radii[2] <= 32
    longer = inputs.repeat(1, 1, 1, 5)
    closed = tiled(network, longer, tile=None, periodic=(True, True, False), conditions=CONDITION)
    assert deviation(closed[..., 32:48], joined) < 1e-4


def test_columns_of_no_multiple_of_the_stride_are_the_same_for_all_tilings(network, inputs):
    odd = inputs[..., :14]
    whole = tiled(network, odd, tile=None, periodic=True)
    assert deviation(tiled(network, odd, tile=(12, 8, None), periodic=True), whole) < 1e-4


def test_a_region_is_cut_from_the_whole(network, inputs):
    whole = tiled(network, inputs, tile=None, periodic=(False, False, True))
    region = (9, 3, 0), (20, 17, 16)
    part = tiled(network, inputs, tile=12, region=region, periodic=(False, False, True))
    assert deviation(part, whole[9:20, 3:17]) < 1e-4


@pytest.mark.medium
@pytest.mark.parametrize("periodic", [True, False])
def test_a_fitting_tile_is_the_largest_that_memory_allows(network, periodic):
    mesh = (88, 120, 48)
    one = network.stride, network.stride, mesh[2]
    least = tile_memory(network, mesh, tile=one, periodic=periodic)
    whole = tile_memory(network, mesh, tile=None, periodic=periodic)
    assert fitting_tile(network, mesh, 0, periodic=periodic) == one
    assert fitting_tile(network, mesh, 1.1 * whole, periodic=periodic) == mesh
    before = 0
    for memory in (1.2 * least, 0.3 * whole, 0.6 * whole, 1.1 * whole):
        tile = fitting_tile(network, mesh, memory, periodic=periodic)
        assert tile[2] == mesh[2]
        assert tile_memory(network, mesh, tile=tile, periodic=periodic) <= memory
        assert tile[0] * tile[1] >= before
        before = tile[0] * tile[1]


@pytest.mark.parametrize("blocks", [(1, 1, 1), (2, 3, 2), (0, 0, 0), (0, 1, 2)])
def test_a_halo_that_is_shed_layer_by_layer_was_not_needed(blocks):
    network = build_network("column-net", {**SETTINGS, "blocks": blocks}, seed=3)
    torch.nn.init.normal_(network.last.weight, generator=torch.Generator().manual_seed(1))
    halo = -(-network.receptive_radii[0] // 4) * 4
    mesh = 2 * halo + 8, 2 * halo + 12, 18
    field = torch.randn(1, 6, *mesh, generator=torch.Generator().manual_seed(5))
    core = slice(halo, -halo)
    with torch.inference_mode():
        whole = network(field)[..., core, core, :]
        shed = network(field, halo=halo)
    assert shed.shape == (1, 1, 8, 12, 18)
    assert deviation(shed, whole) < 1e-5
    work, least = network.flops(mesh), network.flops((8, 12, 18))
    assert least <= network.flops(mesh, halo=halo) < 0.9 * work
    assert network.memory(mesh, halo=halo) < network.memory(mesh)


def test_joined_ends_need_no_memory_for_a_halo(network):
    mesh = (24, 24, 48)
    with_halo = tile_memory(network, mesh, tile=None)
    assert tile_memory(network, mesh, tile=None, periodic=True) < 0.8 * with_halo
    odd = (24, 24, 46)  # which cannot be joined
    assert tile_memory(network, odd, tile=None, periodic=True) == with_halo


def test_it_sees_no_farther_than_it_says_and_no_less(network):
    check_reach(network)
    # Of the radii that are said, none is too large by a whole stride.
    for axis, radius in enumerate(network.receptive_radii):
        mesh = [8, 8, 8]
        mesh[axis] = 2 * (radius // 4 + 3) * 4
        middle = mesh[axis] // 2
        before = torch.randn(1, 6, *mesh, generator=torch.Generator().manual_seed(4))
        reached = 0
        for cell in range(middle, middle + 4):
            after = before.clone()
            after.narrow(2 + axis, cell, 1).add_(3)
            with torch.no_grad():
                change = (network(after) - network(before)).abs()
            moved = change.movedim(2 + axis, 0).flatten(1).amax(1)
            seen = torch.nonzero(moved > 0)[:, 0]
            reached = max(reached, int((seen - cell).abs().max()))
        assert radius - 4 < reached <= radius


# Training

RECIPE = {
    "network": {"architecture": "column-net", **SETTINGS},
    "training": {
        "steps": 6,
        "crop": [12, 12, 0],
        "batch": 2,
        "margin": 2,
        "optimizer": "muon",
        "learning_rate": 1e-2,
        "kernel_rate": 2.0,
        "channels_last": True,
        "schedule": "cosine",
        "ema": 0.8,
        "clip": 1.0,
        "validate_every": 2,
        "checkpoint_every": 3,
        "bf16": "everywhere",
        "seed": 11,
    },
    "surveys": {
        "sigma_z": [0.003, 0.006],
        "spec_density": [1e-3, 2e-3],
        "photo_density": [4e-3, 8e-3],
        "outlier_fraction": [0.0, 0.05],
        "redshift_space": "both",
        "thinning": "both",
    },
    "boxes": {"cellsize": 8.0, "steps_per_view": 3, "views_per_box": 1},
    "columns": {"views_at_once": 2},
}


class StoppedError(Exception):
    """Raised in place of a power cut."""


def universe(seed):
    return lognormal_galaxies(
        Box(96, 12), COSMOLOGIES["wmap"], redshift=0.5, density=1e-2, bias=1.2, seed=seed
    )


def run(out, monkeypatch, *, stop=None, resume=False):
    supply = Supply(
        universe, [2000, 2001], [1000], True, Box(96, 12), 8847, 0.5, COSMOLOGIES["wmap"]
    )
    monkeypatch.setattr(run_module.Supply, "from_folder", lambda folder: supply)

    def progress(task, done, total, note=""):
        if task == "train" and done == stop:
            raise StoppedError

    return run_module.train_on_universes(
        RECIPE, folder="pool", out=out, resume=resume, progress=progress
    )


def tensors(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    out = tmp_path_factory.mktemp("straight")
    with pytest.MonkeyPatch.context() as patch:
        run(out, patch)
    return out


@pytest.mark.parametrize("stop", [1, 5])
def test_resumed_equals_straight(tmp_path, monkeypatch, straight, stop):
    with pytest.raises(StoppedError):
        run(tmp_path / "parts", monkeypatch, stop=stop)
    torch.manual_seed(stop)
    run(tmp_path / "parts", monkeypatch, resume=True)
    one, two = straight, tmp_path / "parts"
    for name in ("best.safetensors", "last.safetensors", "losses.csv", "validation.csv"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    first, second = (tensors(folder / "checkpoint.safetensors") for folder in (one, two))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
