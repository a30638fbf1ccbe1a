"""The column network: where it starts, what it may see, and what it is given."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.networks import build_network, check_local, column_layers
from truez.networks.column_inputs import column_inputs, conditions_of
from truez.networks.column_net import ColumnNet, ColumnNetConfig, _asinh
from truez.networks.conditions import CONDITIONS
from truez.networks.error_head import surprise
from truez.networks.network import use_channels_last
from truez.sightlines.conserve import redistribute
from truez.sightlines.redistribution import kernel_of, photo_class, surplus_of, with_margin
from truez.simulate import lognormal_galaxies
from truez.surveys.mock import MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.photoz import PhotozError
from truez.surveys.selection import Selection
from truez.surveys.surveys import Surveys

SETTINGS = {"widths": (6, 8), "blocks": (1, 1, 1), "along": 3, "embedding": 4}
CONDITION = torch.tensor([3.0, -5.0, -2.0, 1.0, 0.02])


def lively(network):
    """Random last weights and conditions that matter, as after some training."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            last = module is network.last
            if last or (isinstance(module, nn.Linear) and module is not network.embed):
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) / 10)
    return network


@pytest.fixture(scope="module")
def network():
    return lively(build_network("column-net", SETTINGS, seed=3)).eval()


@pytest.fixture(scope="module")
def inputs():
    return torch.randn(2, 6, 8, 12, 16, generator=torch.Generator().manual_seed(2))


def random(*shape, seed=5):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# The network


@pytest.mark.parametrize("joined", [False, True])
def test_a_fresh_network_gives_the_prior_exactly(inputs, joined):
    fresh = build_network("column-net", SETTINGS)
    assert torch.equal(fresh(inputs, CONDITION, joined=joined), inputs[:, 4:5])
    odd = inputs[:, :, :7, :9, :12]
    assert torch.equal(fresh(odd), odd[:, 4:5])


def test_the_default_has_a_million_parameters_in_less_than_10_megabytes():
    network = ColumnNet()
    assert 0.8e6 < network.num_parameters < 1.2e6
    assert 4 * network.num_parameters < 10e6
    check_local(network)
    assert network.receptive_radii[0] == network.receptive_radii[1] < network.receptive_radii[2]
    assert network.receptive_radius == network.receptive_radii[2]


def test_gradients_reach_every_parameter(inputs):
    network = lively(build_network("column-net", SETTINGS, seed=3))
    network(inputs, CONDITION, joined=True).square().sum().backward()
    torch.nn.init.normal_(network.error.last.weight)
    given = torch.linspace(0.01, 1, 50)
    network.variance(given, 2 * given, CONDITION).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_every_field_and_every_condition_counts(network, inputs):
    with torch.no_grad():
        before = network(inputs, CONDITION)
        for channel in range(5):
            changed = inputs.clone()
            changed[:, channel] += 0.5
            assert not torch.allclose(network(changed, CONDITION), before, atol=1e-4), channel
        for number, name in enumerate(CONDITIONS):
            condition = CONDITION.clone()
            condition[number] += 0.3
            assert not torch.allclose(network(inputs, condition), before, atol=1e-4), name


def test_each_of_a_batch_has_conditions_of_its_own(network, inputs):
    both = torch.stack([CONDITION, CONDITION + 0.3])
    with torch.no_grad():
        together = network(inputs, both, joined=True)
        apart = [network(inputs[n : n + 1], both[n], joined=True) for n in range(2)]
    assert torch.allclose(together, torch.cat(apart), atol=1e-5)


def test_joined_ends_may_be_rolled(network, inputs):
    with torch.no_grad():
        straight = network(inputs, CONDITION, joined=True)
        rolled = network(inputs.roll(8, -1), CONDITION, joined=True)
        assert torch.allclose(rolled, straight.roll(8, -1), atol=1e-5)
        twice = network(inputs.repeat(1, 1, 1, 1, 2), CONDITION, joined=True)
        assert torch.allclose(twice, straight.repeat(1, 1, 1, 1, 2), atol=1e-5)
        # Open ends see zeros.
        open_ends = network(inputs, CONDITION)
    assert not torch.allclose(open_ends, straight, atol=1e-3)


def test_joined_columns_shorter_than_a_kernel_go_round():
    network = lively(build_network("column-net", {**SETTINGS, "along": 7}, seed=3))
    inputs = random(1, 6, 8, 8, 8)
    with torch.no_grad():
        once = network(inputs, joined=True)
        twice = network(inputs.repeat(1, 1, 1, 1, 2), joined=True)
    assert torch.allclose(twice, once.repeat(1, 1, 1, 1, 2), atol=1e-5)


def test_a_mesh_that_the_stride_does_not_divide_is_padded(network, inputs):
    cut = inputs[:, :, :7, :10, :15]
    padded = nn.functional.pad(cut, (0, 1, 0, 2, 0, 1))
    with torch.no_grad():
        assert torch.equal(network(cut), network(padded)[:, :, :7, :10, :15])


def test_bfloat16_and_layout_change_little(network, inputs):
    with torch.no_grad():
        exact = network(inputs, CONDITION, joined=True)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(inputs, CONDITION, joined=True)
        other = lively(build_network("column-net", SETTINGS, seed=3))
        use_channels_last(other)
        turned = other(inputs, CONDITION, joined=True)
    assert rough.dtype == exact.dtype == torch.float32
    change = (exact - inputs[:, 4:5]).std()
    assert float((rough - exact).std() / change) < 0.03
    assert torch.allclose(turned, exact, atol=1e-5)


def test_a_spectroscopic_galaxy_is_the_same_in_a_sparse_and_a_dense_survey(network):
    fields = torch.zeros(1, 6, 8, 8, 8)
    fields[:, 0, 4, 4, 4] = 100.0
    half = fields.clone()
    half[:, 0] *= 2
    tamed = [
        network._tamed(f, torch.tensor([math.log(n), -2.0])[None, :, None, None, None])[:, 0]
        for f, n in ((fields, 0.01), (half, 0.005))
    ]
    assert torch.allclose(*tamed)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"along": 4}, "along must be odd, not 4"),
        ({"along": 0}, "must (be|hold) at least 1"),
        ({"widths": (8,)}, "widths"),
        ({"widths": (0, 8)}, "must (be|hold) at least 1"),
        ({"blocks": (1, -1, 1)}, "must (be|hold) at least 0"),
        ({"floor": 0}, "above 0"),
        ({"floor": 1}, "below 1"),
        ({"depth": 3}, "depth is not a known setting"),
    ],
)
def test_broken_settings(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        ColumnNetConfig(**{**SETTINGS, **change})
    (name,) = change
    with pytest.raises(ValueError, match=rf"^network\.{name}.* \(column-net\)$"):
        build_network("column-net", {**SETTINGS, **change})


def test_columns_that_cannot_be_joined(network):
    with pytest.raises(ValueError) as error:
        network(torch.zeros(1, 6, 8, 8, 10), joined=True)
    assert str(error.value) == (
        "columns of 10 cells cannot be joined at their ends: their number must be a multiple of 4"
    )


# Its inputs


@pytest.fixture(scope="module")
def galaxies():
    box = Box(96, 24)
    return lognormal_galaxies(
        box, COSMOLOGIES["wmap"], redshift=0.5, density=1e-2, bias=1.2, seed=1
    )


def observed(galaxies, *, periodic, mesh=(24, 20, 18)):
    config = MockConfig(
        redshift=0.5,
        cosmology=COSMOLOGIES["wmap"],
        sigma_z=0.004,
        rank_by="mass",
        spec=Selection(density=2e-3),
        redshift_space=False,
    )
    return make_mock(
        galaxies.positions,
        Box(96, mesh, galaxies.box.boxcenter, periodic),
        config,
        columns={"mass": galaxies.mass},
    ).surveys


@pytest.mark.parametrize("periodic", [True, False])
def test_the_inputs_are_those_of_the_linear_model(galaxies, periodic):
    surveys = observed(galaxies, periodic=periodic)
    found = column_inputs(surveys, floor=0.05)
    spec, photo = surveys.spec_field(), surveys.photo_field()
    assert torch.equal(found.values[0], spec.values)
    assert torch.equal(found.values[1], photo.values)
    both = found.model.wiener(spec=spec, photo=photo, use="both").values
    assert torch.allclose(found.wiener, both, atol=2e-5)
    nothing = type(photo)(torch.zeros_like(photo.values), photo.box, "delta")
    part = found.model.wiener(spec=spec, photo=nothing, use="both").values
    assert torch.allclose(found.values[2], part, atol=2e-5)
    alone = 1 + found.model.wiener(spec=spec, photo=photo, use="spec").values
    assert torch.allclose(found.prior, alone.clamp(min=0.05), atol=2e-5)
    assert found.floor_fraction == pytest.approx(float((alone < 0.05).double().mean()), abs=1e-3)
    outside = np.count_nonzero(~surveys.photo_inside())
    assert found.num_photo_outside == outside
    assert (outside > 0) == (not periodic)
    # Where the prior moves the galaxies to is its product with the surplus.
    kernel = kernel_of(surveys)
    margin = kernel.true_margin
    moved = redistribute(with_margin(found.prior, margin), [photo_class(surveys, kernel)])
    ratio = moved.narrow(2, margin, 18) / (found.prior * (1 + found.values[5]))
    assert float(ratio.std() / ratio.mean()) < 1e-5
    assert float(found.values[5].mean()) == pytest.approx(0, abs=1e-5)


def test_a_sample_cut_in_photo_z_has_no_surplus_at_its_faces():
    rng = np.random.default_rng(2)
    box = Box(96, 24, periodic=False)
    true = rng.uniform([-48, -48, -148], [48, 48, 148], (400_000, 3)) + box.boxcenter
    photo = true + np.array([0, 0, 1]) * rng.normal(0, 12, (len(true), 1))
    photo = photo[np.abs(photo[:, 2] - box.boxcenter[2]) < 48]
    surveys = Surveys(
        photo=photo,
        spec=photo[:1],
        box=box,
        error=PhotozError(12.0),
        num_both=0,
        cosmology=COSMOLOGIES["wmap"],
        redshift=0.5,
        photo_bounds="photo-z",
    )
    galaxies = photo_class(surveys, kernel_of(surveys))
    surplus = surplus_of(surveys, torch.ones(box.meshsize), galaxies).mean((0, 1))
    # Shot noise of those that a plane is made of, 1.3e5 / 24 times the width of the kernel.
    assert float(surplus.abs().max()) < 0.02


def test_conditions(galaxies):
    surveys = observed(galaxies, periodic=True)
    found = conditions_of(surveys)
    cell = 96**3 / (24 * 20 * 18)
    n_spec, n_photo, _ = surveys.densities
    assert found.tolist() == pytest.approx(
        [
            math.log(surveys.error.sigma / (96 / 18)),
            math.log(n_spec * cell),
            math.log(n_photo * cell),
            0.0,
            0.0,
        ]
    )
    assert len(found) == len(CONDITIONS)


# The error head


def test_the_error_head_is_the_same_in_pieces(monkeypatch):
    network = build_network("column-net", SETTINGS, seed=3)
    given = torch.rand(3, 5, 7)
    assert torch.equal(network.variance(given, 2 * given, CONDITION), given)
    torch.nn.init.normal_(network.error.last.weight)
    whole = network.variance(given, 2 * given, CONDITION).detach()
    assert not torch.allclose(whole, given)
    monkeypatch.setattr("truez.networks.error_head._CELLS", 13)
    with torch.no_grad():
        pieces = network.variance(given.transpose(0, 2), 2 * given.transpose(0, 2), CONDITION)
    assert torch.allclose(pieces.transpose(0, 2), whole, rtol=1e-6)
    # A count that is known stays known.
    assert network.variance(torch.zeros(1), torch.ones(1), CONDITION).item() == 0


def test_the_surprise_is_least_for_the_mean_square():
    generator = torch.Generator().manual_seed(0)
    mean = torch.rand(20000, generator=generator)
    # Nothing like a normal distribution.
    truth = mean + 2 * torch.empty(20000).exponential_(1.0, generator=generator) - 2
    given = torch.full((20000,), 0.1)
    values = {v: float(surprise(truth, mean, v * torch.ones(20000), given)) for v in (3, 4, 5)}
    assert values[4] < values[3]
    assert values[4] < values[5]
    # Cells that are known do not count, whatever is found there.
    given[0], truth[0] = 0.0, 1e6
    assert float(surprise(truth, mean, 4 * torch.ones(20000), given)) == pytest.approx(
        values[4], rel=1e-3
    )


@pytest.mark.parametrize("end", [1, 2, 8, 11])
def test_the_gradient_of_joined_ends_is_their_derivative(end):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 1, 2, 8, dtype=torch.float64, generator=generator, requires_grad=True)
    cells = torch.arange(-end, 8 + end) % 8
    assert torch.equal(column_layers._joined(x, end), x[..., cells])
    assert torch.autograd.gradcheck(lambda y: column_layers._joined(y, end), (x,))


def test_asinh_is_that_of_torch():
    values = torch.cat([torch.logspace(-30, 15, 1000), torch.zeros(1)])
    values = torch.cat([values, -values])
    torch.testing.assert_close(_asinh(values), values.double().asinh().float(), rtol=3e-7, atol=0)
