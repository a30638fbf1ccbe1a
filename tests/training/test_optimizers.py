"""The training loop's optimisers: what they take, and what they make of a gradient."""

import pytest
import torch

from truez.networks import build_network
from truez.networks.network import use_channels_last
from truez.training.optimizers import Optimizer

SETTINGS = {"widths": (6, 8), "blocks": (1, 1, 1), "along": 3, "embedding": 4}


def trained(name, steps=3, *, channels_last=False, start=None, stop=None):
    network = build_network("column-net", SETTINGS, seed=3)
    torch.nn.init.normal_(network.last.weight, generator=torch.Generator().manual_seed(0))
    if channels_last:
        use_channels_last(network)
    optimizer = Optimizer(name, network, learning_rate=1e-2, kernel_rate=4.0)
    if start is not None:
        network.load_state_dict(start[0])
        optimizer.load(start[1])
    for step in range(stop or 0, steps):
        inputs = torch.randn(1, 6, 8, 8, 8, generator=torch.Generator().manual_seed(step))
        network(inputs).square().mean().backward()
        optimizer.step(1e-2 / (step + 1))
        assert all(p.grad is None for p in network.parameters())
    state = {k: v.clone() for k, v in network.state_dict().items()}
    return state, {k: v.clone() for k, v in optimizer.tensors().items()}


def test_muon_steps_have_one_size_in_all_directions():
    before, _ = trained("muon", 0)
    after, tensors = trained("muon", 1)
    for name in ("stem.weight", "bottom.0.first.weight", "rise.weight"):
        step = (after[name] - before[name]).flatten(1)
        sizes = torch.linalg.svdvals(step)
        wanted = 4e-2 * 0.2 * max(step.shape) ** 0.5
        # Five iterations of Newton and Schulz, in half precision.
        assert float(sizes.min()) > 0.5 * wanted
        assert float(sizes.max()) < 1.3 * wanted
    # The last layer and all that is no kernel take steps of Adam, its size in every number.
    for name in ("last.weight", "stem.bias"):
        step = (after[name] - before[name]).abs()
        assert float(step.median()) == pytest.approx(1e-2, rel=1e-3)
        assert float(step.max()) < 1.001e-2
    assert {name.split(".")[0] for name in tensors} == {"adam", "muon"}


def test_adam_is_the_one_of_torch():
    network = build_network("column-net", SETTINGS, seed=3)
    torch.nn.init.normal_(network.last.weight, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(network.parameters())
    for step in range(3):
        inputs = torch.randn(1, 6, 8, 8, 8, generator=torch.Generator().manual_seed(step))
        network(inputs).square().mean().backward()
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 / (step + 1)
        optimizer.step()
        optimizer.zero_grad()
    state, tensors = trained("adam")
    assert all(torch.equal(state[k], v) for k, v in network.state_dict().items())
    assert {name.split(".")[0] for name in tensors} == {"adam"}


def test_muon_does_not_depend_on_how_kernels_lie_in_memory():
    start, _ = trained("muon", 0)
    plain, _ = trained("muon", 2)
    turned, _ = trained("muon", 2, channels_last=True)
    for name, values in plain.items():
        # Its iterations are in half precision, and add up in another order.
        difference, step = (turned[name] - values).norm(), (values - start[name]).norm()
        assert float(difference) <= 0.02 * float(step), name


@pytest.mark.parametrize("name", ["adam", "muon"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_training_goes_on_where_it_was(name, channels_last):
    whole, ends = trained(name, channels_last=channels_last)
    middle = trained(name, 2, channels_last=channels_last)
    again, state = trained(name, channels_last=channels_last, start=middle, stop=2)
    assert all(torch.equal(whole[k], again[k]) for k in whole)
    assert all(torch.equal(ends[k], state[k]) for k in ends)
