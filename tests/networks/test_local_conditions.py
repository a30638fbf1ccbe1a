"""Column networks whose conditions change from cell to cell."""

import math

import pytest
import torch
from tests.networks.made_weights import even_network, write_even
from tests.networks.test_column_net import SETTINGS, lively

from truez.networks import build_network
from truez.networks.column_net import ColumnNet
from truez.networks.conditions import CONDITIONS, LEAST_PER_CELL, LOCAL_CONDITIONS, centred
from truez.networks.network import use_channels_last
from truez.networks.tile_sizes import tile_memory
from truez.networks.tiles import tiled
from truez.networks.weights import load_weights
from truez.networks.widening import widened

VECTOR = torch.tensor([3.0, -5.0, -2.0, 1.0, 0.02, 0.1, -0.2, 0.4, 0.9, -0.3])


def random(*shape, seed=5):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network():
    return lively(build_network("column-net", {**SETTINGS, "conditions": "local"}, seed=3)).eval()


@pytest.fixture(scope="module")
def inputs():
    return random(2, 9, 8, 12, 16, seed=2)


def fields_of(*mesh, seed=7):
    """Conditions that change along the line of sight, and densities that change everywhere."""
    profile = VECTOR[:, None, None, None] + 0.3 * random(10, 1, 1, mesh[2], seed=seed)
    density = VECTOR[1:3, None, None, None] + random(2, *mesh, seed=seed + 1)
    return profile, density


def cell_by_cell(profile, density):
    whole = profile.expand(-1, *density.shape[1:]).clone()
    whole[1:3] = density
    return whole


@pytest.mark.parametrize("joined", [False, True])
def test_constant_fields_are_a_vector(network, inputs, joined):
    with torch.no_grad():
        wanted = network(inputs, VECTOR, joined=joined)
        fields = VECTOR[:, None, None, None].expand(-1, 8, 12, 16)
        for given in (fields, fields[:, :1, :1], fields[None].expand(2, -1, -1, -1, -1)):
            assert torch.allclose(network(inputs, given, joined=joined), wanted, atol=1e-5)
        assert torch.allclose(
            network(inputs, VECTOR, fields[1:3], joined=joined), wanted, atol=1e-5
        )


def test_densities_take_the_place_of_those_of_the_conditions(network, inputs):
    profile, density = fields_of(8, 12, 16)
    with torch.no_grad():
        whole = network(inputs, cell_by_cell(profile, density))
        assert torch.allclose(network(inputs, profile, density), whole, atol=1e-5)
        assert not torch.allclose(network(inputs, VECTOR), whole, atol=1e-2)


def test_every_field_and_every_condition_counts_where_it_is(network):
    inputs, conditions = random(1, 9, 8, 8, 64), cell_by_cell(*fields_of(8, 8, 64))
    reach = network.receptive_radii[2]
    with torch.no_grad():
        before = network(inputs, conditions)
        for channel in range(9):
            changed = inputs.clone()
            changed[:, channel] += 0.5
            assert not torch.allclose(network(changed, conditions), before, atol=1e-4), channel
        for number, name in enumerate(LOCAL_CONDITIONS):
            changed = conditions.clone()
            changed[number, :, :, :4] += 0.5
            change = (network(inputs, changed) - before).abs().amax((0, 1, 2, 3))
            assert float(change[:8].max()) > 1e-4, name
            assert float(change[4 + reach :].max()) == 0, name


def test_a_mesh_that_the_stride_does_not_divide_goes_on_as_it_ends(network, inputs):
    conditions = cell_by_cell(*fields_of(8, 12, 16))[:, :7, :10, :15]
    cut = inputs[:, :, :7, :10, :15]
    padded = torch.nn.functional.pad(cut, (0, 1, 0, 2, 0, 1))
    longer = torch.nn.functional.pad(conditions, (0, 1, 0, 2, 0, 1), mode="replicate")
    with torch.no_grad():
        assert torch.equal(network(cut, conditions), network(padded, longer)[:, :, :7, :10, :15])


@pytest.mark.medium
@pytest.mark.parametrize(
    ("mesh", "periodic"),
    [
        ((40, 36, 48), True),
        ((37, 33, 46), False),
        pytest.param((40, 36, 48), False, marks=pytest.mark.slow),
        pytest.param((37, 33, 46), True, marks=pytest.mark.slow),
    ],
)
def test_tiles_fit_together(network, mesh, periodic):
    inputs, (profile, density) = random(9, *mesh), fields_of(*mesh)
    inputs[8] = 1.0
    fields = {"conditions": profile, "density": density}
    whole = tiled(network, inputs, tile=None, periodic=periodic, fields=fields)
    for tile in ((12, 8, None), (16, 16, 16), (8, 40, 0)):
        found = tiled(network, inputs, tile=tile, periodic=periodic, fields=fields)
        assert torch.allclose(found, whole, atol=2e-5)
    part = tiled(
        network, inputs, tile=(8, 8, None), periodic=periodic, fields=fields,
        region=((4, 8, 0), (29, 30, mesh[2])),
    )  # fmt: skip
    assert torch.allclose(part, whole[4:29, 8:30], atol=2e-5)
    conditions = {"conditions": cell_by_cell(profile, density)}
    cells = tiled(network, inputs, tile=(12, 8, None), periodic=periodic, fields=conditions)
    assert torch.allclose(cells, whole, atol=2e-5)


@pytest.mark.medium
def test_symmetries_turn_the_conditions_too(network):
    mesh = (16, 16, 32)
    inputs, (profile, density) = random(9, *mesh), fields_of(*mesh)
    fields = {"conditions": profile, "density": density}
    found = tiled(network, inputs, tile=(8, 8, None), fields=fields, num_symmetries=16)
    turned = {name: values.flip(-1).transpose(1, 2) for name, values in fields.items()}
    other = tiled(
        network, inputs.flip(-1).transpose(1, 2), tile=None, fields=turned, num_symmetries=16
    )
    assert torch.allclose(other, found.flip(-1).transpose(0, 1), atol=2e-5)


def test_fields_that_do_not_fit(network, inputs):
    with pytest.raises(ValueError, match=r"conditions have \(8, 12, 15\) cells and the fields"):
        network(inputs, VECTOR[:, None, None, None].expand(-1, 8, 12, 15))
    with pytest.raises(ValueError, match=r"^density must have the shape \(channels, 8, 12, 16\)"):
        tiled(network, inputs[0], fields={"density": random(2, 8, 12, 15)})


def test_bfloat16_and_layout_change_little(network, inputs):
    profile, density = fields_of(8, 12, 16)
    with torch.no_grad():
        exact = network(inputs, profile, density, joined=True)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(inputs, profile, density, joined=True)
        other = lively(build_network("column-net", {**SETTINGS, "conditions": "local"}, seed=3))
        use_channels_last(other)
        turned = other(inputs, profile, density, joined=True)
    assert rough.dtype == exact.dtype == torch.float32
    change = (exact - inputs[:, 4:5]).std()
    assert float((rough - exact).std() / change) < 0.03
    assert torch.allclose(turned, exact, atol=1e-5)


def test_gradients_reach_every_parameter(inputs):
    network = lively(build_network("column-net", {**SETTINGS, "conditions": "local"}, seed=3))
    profile, density = fields_of(8, 12, 16)
    network(inputs, profile, density).square().sum().backward()
    torch.nn.init.normal_(network.error.last.weight)
    given = torch.rand(8, 12, 16)
    network.variance(given, 2 * given, profile, density).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_the_error_head_reads_conditions_cell_by_cell(network, monkeypatch):
    network = lively(build_network("column-net", {**SETTINGS, "conditions": "local"}, seed=3))
    torch.nn.init.normal_(network.error.last.weight)
    profile, density = fields_of(6, 5, 8)
    given = torch.rand(6, 5, 8)
    with torch.no_grad():
        vector = network.variance(given, 2 * given, VECTOR)
        fields = VECTOR[:, None, None, None].expand(-1, 6, 5, 8)
        assert torch.allclose(network.variance(given, 2 * given, fields), vector, rtol=1e-5)
        assert torch.allclose(network.variance(given, 2 * given, fields[:, :1, :1]), vector)
        whole = network.variance(given, 2 * given, profile, density)
        cells = network.variance(given, 2 * given, cell_by_cell(profile, density))
        assert torch.allclose(whole, cells)
        monkeypatch.setattr("truez.networks.error_head._CELLS", 50)
        assert torch.allclose(network.variance(given, 2 * given, profile, density), whole)
    with_gradient = network.variance(given, 2 * given, profile, density).detach()
    assert torch.allclose(with_gradient, whole, rtol=1e-5)


def test_where_nothing_is_expected_the_intensity_is_1(network):
    inputs, (profile, density) = random(1, 9, 16, 16, 16), fields_of(16, 16, 16)
    hole = torch.zeros(16, 16, 16, dtype=torch.bool)
    hole[4:9, 6:12] = True
    inputs[:, 8] = 1.0
    inputs[:, :, hole] = 0.0
    with torch.no_grad():
        before = network(inputs, profile, density)
        assert float(before[:, :, hole].abs().max()) == 0
        density[:, hole] = math.log(LEAST_PER_CELL)
        found = network(inputs, profile, density)
    assert float(found[:, :, hole].abs().max()) == 0
    assert bool((found[:, :, ~hole] != inputs[:, 4:5][:, :, ~hole]).all())


def test_conditions_far_from_those_of_surveys_are_nearer():
    local = build_network("column-net", {**SETTINGS, "conditions": "local"})
    values = torch.linspace(-20, 20, 201)
    given = local.center[None] + local.scale * values[:, None]
    near = values.abs() <= 3
    found = centred(given, local.center, local.scale, axis=1)
    assert torch.allclose(found[near], values[near][:, None].expand(-1, 10), atol=1e-5)
    assert float(found.abs().max()) < 6
    assert bool((found.diff(dim=0) > 0).all())
    even = build_network("column-net", SETTINGS)
    plain = centred(given[:, :5], even.center, even.scale, axis=1)
    assert torch.allclose(plain, values[:, None].expand(-1, 5), atol=1e-4)


def test_memory_and_work(network):
    even = build_network("column-net", SETTINGS)
    assert network.flops((16, 16, 16)) > even.flops((16, 16, 16))
    alone, local = (tile_memory(one, (32, 32, 32), tile=16) for one in (even, network))
    assert local > alone


# An even network as a local one


def test_even_weights_widen_to_the_same_network(tmp_path):
    trained = even_network()
    torch.nn.init.normal_(trained.error.last.weight)
    even, header = load_weights(write_even(tmp_path / "even.safetensors", trained))
    assert not header.local
    local = widened(even)
    assert isinstance(local, ColumnNet)
    assert local.config.conditions == "local"
    assert widened(local) is local
    inputs = 0.5 * random(1, 9, 12, 16, 24)
    inputs[:, 8] = 1.0
    vector = torch.cat([VECTOR[:5], random(5)])
    with torch.no_grad():
        for joined in (True, False):
            wanted = even(inputs[:, :6], vector[: len(CONDITIONS)], joined=joined)
            found = local(inputs, vector, joined=joined)
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
        given = torch.rand(4, 5, 6)
        wanted = even.variance(given, 2 * given, vector[: len(CONDITIONS)])
        torch.testing.assert_close(local.variance(given, 2 * given, vector), wanted)
        assert not torch.allclose(wanted, given)
