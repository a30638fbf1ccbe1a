"""The dual UNet: its shape, its reach, and what its settings do."""

import pytest
import torch
from torch import nn

from truez.experiments.recipes import read_recipe
from truez.networks import architecture_of, architectures, build_network, check_reach
from truez.networks.dual_unet import DualUNet, DualUNetConfig

TINY = {"spec_width": 3, "photo_width": 2, "head_width": 4, "dropout": 0.0}
SHAPES = [
    {"multipliers": (1,), "kernels": (5,), "repeats": (1,)},
    {"multipliers": (1, 2), "kernels": (5, 3), "repeats": (0, 2), "fusion": "skips"},
    {"multipliers": (1, 1, 2), "kernels": (3, 5, 1), "repeats": (1, 0, 1)},
    {"multipliers": (1, 2, 2), "kernels": (1, 3, 3), "repeats": (0, 0, 1), "fusion": "skips"},
]


def always_on(network: DualUNet) -> DualUNet:
    """Every ReLU open, every weight positive: then each cell that can matter does."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                module.weight.fill_(1 / module.weight[0].numel())
    return network.eval()


@pytest.mark.parametrize("shape", SHAPES)
def test_receptive_radius_is_what_the_gradient_sees(shape):
    network = always_on(DualUNet(DualUNetConfig(**TINY, **shape, transform="none")))
    radius, stride = network.receptive_radius, network.stride
    assert stride == 2 ** (len(shape["multipliers"]) - 1)
    side = 2 * (-(-radius // stride) + 1) * stride
    farthest = 0
    for phase in range(stride):
        inputs = torch.ones(1, 2, stride, stride, side, requires_grad=True)
        cell = side // 2 // stride * stride + phase
        network(inputs)[0, 0, 0, 0, cell].backward()
        seen = inputs.grad[0].abs().amax(dim=(0, 1, 2)).nonzero()[:, 0]
        farthest = max(farthest, cell - int(seen.min()), int(seen.max()) - cell)
    assert farthest == radius


@pytest.mark.parametrize("shape", SHAPES[1:3])
def test_nothing_beyond_the_radius_matters(shape):
    network = build_network("dual-unet", {**TINY, **shape}, seed=3)
    nn.init.normal_(network.last.weight)
    check_reach(network)


def test_default_is_the_papers_size():
    network = DualUNet()
    assert (network.config.spec_width, network.config.photo_width) == (128, 16)
    assert 100 % network.stride == 0
    first = network.spec_encoder.blocks[0].entry.conv
    assert first.kernel_size == (5, 5, 5)
    assert first.out_channels == 128
    assert network.photo_encoder.blocks[0].entry.conv.out_channels == 16
    kinds = {type(m) for m in network.modules()}
    assert {nn.BatchNorm3d, nn.Dropout, nn.Conv3d, nn.ConvTranspose3d} <= kinds
    assert {d.conv.kernel_size for d in network.spec_encoder.downs} == {(3, 3, 3)}
    assert {u.kernel_size for u in network.decoders[0].ups} == {(2, 2, 2)}


@pytest.mark.parametrize("fusion", ["output", "skips"])
@pytest.mark.parametrize("mesh", [(8, 8, 8), (5, 7, 10), (1, 2, 3)])
def test_any_mesh_comes_back_in_its_shape(fusion, mesh):
    network = build_network("dual-unet", {**TINY, "fusion": fusion}).eval()
    assert network(torch.randn(2, 2, *mesh)).shape == (2, 1, *mesh)


def test_a_padded_mesh_is_the_mesh_with_zeros_beyond():
    network = build_network("dual-unet", TINY, seed=1).eval()
    nn.init.normal_(network.last.weight)
    inputs = torch.randn(1, 2, 6, 8, 8)
    whole = torch.cat([inputs, torch.zeros(1, 2, 2, 8, 8)], dim=2)
    assert torch.equal(network(inputs), network(whole)[:, :, :6])


def test_training_starts_from_the_mean_field():
    network = build_network("dual-unet", TINY)
    assert torch.equal(network(torch.randn(1, 2, 8, 8, 8)), torch.zeros(1, 1, 8, 8, 8))


def test_sharing_repeats_saves_parameters_and_no_operations():
    shared, own = (
        build_network("dual-unet", {**TINY, "repeats": (3, 3, 3), "share_repeats": share})
        for share in (True, False)
    )
    assert own.num_parameters > shared.num_parameters
    assert own.flops((8, 8, 8)) == shared.flops((8, 8, 8))
    assert own.receptive_radius == shared.receptive_radius


def test_flops_and_memory_of_one_level_by_hand():
    settings = {
        "spec_width": 4,
        "photo_width": 2,
        "multipliers": (1,),
        "kernels": (5,),
        "repeats": (0,),
        "head_width": 3,
        "norm": "none",
        "dropout": 0.0,
        "transform": "none",
    }
    network = build_network("dual-unet", settings)
    cells = 10**3
    products = 125 * 4 + 125 * 2 + 27 * 6 * 3 + 3
    assert network.flops((10, 10, 10)) == 2 * products * cells
    assert network.num_parameters == products + (4 + 2 + 3 + 1)
    # At the peak: inputs (2), the same scaled (2), features (6), joined (6), head (3), output (1).
    weights = 4 * network.num_parameters
    assert network.memory((10, 10, 10)) == weights + 4 * cells * (2 + 2 + 6 + 6 + 3 + 1)


def test_normalisation_makes_scale_irrelevant():
    spec, photo, truth = torch.randn(
        3, 6, 6, 6, generator=torch.Generator().manual_seed(0)
    ).unbind()
    for transform in ("none", "asinh"):
        config = DualUNetConfig(**TINY, transform=transform)
        one = build_network("dual-unet", config.normalised(spec, photo, truth).model_dump(), seed=2)
        ten = build_network(
            "dual-unet", config.normalised(10 * spec, 3 * photo, 7 * truth).model_dump(), seed=2
        )
        for network in (one, ten):
            nn.init.constant_(network.last.weight, 0.3)
        a = one(torch.stack([spec, photo])[None])
        b = ten(torch.stack([10 * spec, 3 * photo])[None])
        assert a.std() > 0
        torch.testing.assert_close(b, 7 * a, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("transform", ["none", "asinh"])
def test_scales_do_not_depend_on_the_order_of_their_sums(transform):
    # Threads change it, and the last digit of a mean in single precision with it.
    config = DualUNetConfig(**TINY, transform=transform)
    fields = torch.randn(3, 40, 40, 40, generator=torch.Generator().manual_seed(3)).exp() - 1.6
    one = config.normalised(*fields)
    assert one == config.normalised(*(field.flatten().sort().values for field in fields))
    spec = fields[0].double()
    exact = float(spec.std() if transform == "none" else spec.abs().mean())
    assert one.spec_scale == float(f"{exact:.6g}")


def test_seed_decides_the_weights_and_leaves_the_callers_random_state():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (build_network("dual-unet", TINY, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    weights = [n.spec_encoder.blocks[0].entry.conv.weight for n in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_network_is_found_by_the_name_of_its_file():
    assert "dual-unet" in architectures()
    assert architecture_of(build_network("dual-unet", TINY)) == "dual-unet"


@pytest.mark.parametrize("name", ["small", "paper"])
def test_recipes_are_networks_of_their_size(name):
    settings = read_recipe(name)["network"]
    network = build_network(settings.pop("architecture"), settings)
    assert (network.num_parameters < 0.5e6) == (name == "small")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kernels": (4, 3, 3)}, "kernels must be odd, not (4, 3, 3)"),
        ({"repeats": (1,)}, "need one entry for each of the 3 multipliers"),
        ({"repeats": (1, -1, 1)}, "repeats must not be negative"),
        ({"multipliers": ()}, "multipliers must be whole numbers of 1 or more"),
        ({"dropout": 1.0}, "dropout"),
        ({"width": 3}, "width"),
    ],
)
def test_broken_settings(settings, sentence):
    with pytest.raises(ValueError) as error:
        DualUNetConfig(**settings)
    assert sentence in str(error.value)
    with pytest.raises(ValueError, match="dual-unet") as error:
        build_network("dual-unet", settings)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    assert "Input should" not in str(error.value)


def test_unknown_architecture():
    with pytest.raises(ValueError, match=r"architecture must be one of .*dual-unet.*, not 'tiles'"):
        build_network("tiles", {})


def test_normalising_by_a_constant_field():
    field = torch.zeros(4, 4, 4)
    with pytest.raises(ValueError, match="a field to normalise by must vary"):
        DualUNetConfig().normalised(field, field, field)


RECOMPUTED = [
    {"fusion": "output"},
    {"fusion": "skips", "repeats": (0, 2, 1)},
    {"share_repeats": False, "norm": "none"},
]


def trained(shape, recompute, steps=3):
    """Losses, weights and running statistics of a few steps with dropout."""
    network = build_network("dual-unet", {**TINY, "dropout": 0.3, **shape}, seed=1)
    nn.init.constant_(network.last.weight, 0.1)
    network.recompute = recompute
    optimizer = torch.optim.Adam(network.parameters())
    inputs = torch.randn(2, 2, 10, 8, 8, generator=torch.Generator().manual_seed(2))
    losses = []
    torch.manual_seed(3)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (network(inputs) - inputs[:, :1]).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses), network.state_dict(), torch.rand(4)


@pytest.mark.parametrize("shape", RECOMPUTED)
def test_recomputing_changes_no_loss_no_weight_and_no_running_statistics(shape):
    kept, again = (trained(shape, recompute) for recompute in (False, True))
    torch.testing.assert_close(again, kept, rtol=1e-5, atol=1e-7)
    # Each batch is counted once, and enters the statistics once.
    counts = [t for name, t in again[1].items() if name.endswith("num_batches_tracked")]
    assert all(int(count) == 3 for count in counts)
    assert bool(counts) == (shape.get("norm") != "none")
    losses = kept[0]
    assert losses.unique().numel() == len(losses)


def saved_bytes(network, inputs):
    """What a pass forward keeps for the gradients, without the weights."""
    own = {t.untyped_storage()._cdata for t in network.state_dict().values()}
    found = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        found[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(inputs)
    output.mean().backward()
    return sum(size for key, size in found.items() if key not in own)


def test_recomputing_keeps_less():
    network = build_network("dual-unet", {"spec_width": 16, "photo_width": 2, "head_width": 4})
    inputs = torch.randn(2, 2, 16, 16, 16)
    kept, peak = [], []
    for recompute in (False, True):
        network.recompute = recompute
        kept.append(saved_bytes(network, inputs))
        peak.append(network.memory((16, 16, 16), 2, gradients=True))
    assert kept[1] < 0.4 * kept[0]
    assert peak[1] < 0.6 * peak[0]
    assert all(p > k for p, k in zip(peak, kept, strict=True))


def test_the_way_back_costs_two_passes_and_recomputing_one_more():
    network = build_network("dual-unet", {"spec_width": 4, "photo_width": 2, "head_width": 4})
    once = network.flops((8, 8, 8), 2)
    # Nobody asks for the gradient of the inputs, which the first convolutions (5^3) would give.
    thrice = 3 * once - 2 * 125 * (4 + 2) * 2 * 8**3
    assert network.flops((8, 8, 8), 2, gradients=True) == thrice
    network.recompute = True
    assert network.flops((8, 8, 8), 2) == once
    assert network.flops((8, 8, 8), 2, gradients=True) == pytest.approx(thrice + once, rel=1e-3)


def test_recomputing_leaves_an_estimate_alone():
    network = build_network("dual-unet", TINY, seed=1).eval()
    nn.init.normal_(network.last.weight)
    inputs = torch.randn(1, 2, 8, 8, 8)
    with torch.no_grad():
        expected = network(inputs)
        network.recompute = True
        assert torch.equal(network(inputs), expected)
    # Statistics stay frozen, too, where the gradient of an estimate is asked for.
    before = {name: t.clone() for name, t in network.named_buffers()}
    inputs.requires_grad_()
    network(inputs).mean().backward()
    assert inputs.grad.abs().sum() > 0
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, before[name])
