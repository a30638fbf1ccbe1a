"""The file of an error model, and what it says of surveys that it does not serve."""

import pytest
import torch

from training.survey_views import LIMITS
from truez.mesh.box import Box
from truez.networks.column_net import ColumnNet
from truez.networks.conditions import centred, scaling_of
from truez.networks.error_head import ErrorHead
from truez.networks.error_model import ErrorModel, reason_of, shipped_error_model
from truez.networks.survey_limits import SurveyLimits
from truez.networks.weights import Header, load_weights, save_weights
from truez.networks.widening import with_pairs

BOX = Box(16, cellsize=2)


def model(hidden=16, seed=1, *, pairs=False):
    torch.manual_seed(seed)
    head = ErrorHead(10, hidden, pairs=pairs)
    torch.nn.init.normal_(head.last.weight)
    return ErrorModel.fitted(head, BOX, SurveyLimits(**LIMITS), {"views": 3})


def fields():
    """Given variance, expected counts, conditions and ln of galaxies per cell."""
    torch.manual_seed(5)
    return (*torch.rand(2, 4, 4, 6) + 0.01, torch.randn(10, 1, 1, 6), torch.randn(2, 4, 4, 6))


@pytest.mark.parametrize(("hidden", "pairs"), [(16, False), (5, False), (8, True)])
def test_a_file_gives_the_model_back(tmp_path, hidden, pairs):
    made, path = model(hidden, pairs=pairs), tmp_path / "errors.safetensors"
    made.write(path)
    found = ErrorModel.read(path)
    assert found.header == made.header
    assert found.header.provenance["views"] == 3
    given = fields()[0]
    one, two = (each.variance(*fields(), 1.5) for each in (made, found))
    torch.testing.assert_close(one, two)
    assert not torch.allclose(one, given)
    # As by a network with this head.
    config = ColumnNet.Config(conditions="local", error_hidden=hidden, error_pairs=pairs)
    network = ColumnNet(config)
    network.error.load_state_dict(made.head.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(network.variance(*fields(), strength=1.5), one)
    path = tmp_path / "net.safetensors"
    save_weights(path, network, Header.of(network, BOX, SurveyLimits(**LIMITS)))
    again, _ = load_weights(path)
    with torch.no_grad():
        torch.testing.assert_close(again.variance(*fields(), strength=1.5), one)


def test_a_file_without_the_setting_has_no_term_of_pairs(tmp_path):
    """Files of before keep their numbers, to the last bit."""
    made, path = model(8), tmp_path / "errors.safetensors"
    config = {"hidden": 8, "conditions": "local"}
    ErrorModel(made.head, made.header.model_copy(update={"config": config})).write(path)
    head = ErrorModel.read(path).head
    network = ColumnNet(ColumnNet.Config(conditions="local", error_hidden=8))
    network.error.load_state_dict(head.state_dict())
    header = Header.of(network, BOX, SurveyLimits(**LIMITS))
    former = {name: value for name, value in header.config.items() if name != "error_pairs"}
    save_weights(
        tmp_path / "net.safetensors", network, header.model_copy(update={"config": former})
    )
    network, _ = load_weights(tmp_path / "net.safetensors")
    assert not network.config.error_pairs
    given, mean, conditions, _ = fields()
    values = centred(conditions, *scaling_of("local"), axis=0)
    with torch.no_grad():
        survey = head.embed(values.movedim(0, -1))
        hidden = torch.stack([given.log(), mean.log()], dim=-1)
        hidden = torch.nn.functional.silu(head.first(hidden) + survey)
        hidden = torch.nn.functional.silu(head.second(hidden))
        wanted = given * head.last(hidden)[..., 0].exp()
        for strength in (0.0, 2.0):
            for one in (ErrorModel.read(path), network):
                assert torch.equal(one.variance(given, mean, conditions, None, strength), wanted)


def test_the_variance_grows_with_the_strength():
    made = model(pairs=True)
    strengths = (0.0, 0.3, 1.0, 3.0, 1e6)
    values = torch.stack([made.variance(*fields(), strength) for strength in strengths])
    assert bool((values[1:4] > values[:3]).all())
    assert bool(values.isfinite().all())
    # The more it is, the less it adds: neighbours say the rest.
    assert bool((values[2] - values[0] > (values[3] - values[0]) / 3).all())
    # Cell by cell, with gradients.
    given, mean, conditions, _ = fields()
    inputs = given, mean, centred(conditions, *scaling_of("local"), axis=0)
    strength = torch.tensor(strengths)[torch.arange(6) % 3].expand_as(given)
    found = made.head(*inputs, strength).detach()
    for number in range(3):
        wanted = made.variance(given, mean, conditions, strength=strengths[number])
        torch.testing.assert_close(found[..., number::3], wanted[..., number::3])


@pytest.mark.parametrize("kind", ["even", "local"])
def test_a_network_with_a_term_of_pairs_gives_the_same_without_any(kind):
    network = ColumnNet(ColumnNet.Config(conditions=kind, error_hidden=8)).eval()
    torch.nn.init.normal_(network.error.last.weight)
    found = with_pairs(network)
    assert with_pairs(found) is found
    assert found.training == network.training
    given, mean, conditions, _ = fields()
    conditions = conditions[: len(network.center)]
    with torch.no_grad():
        without, none = (one.variance(given, mean, conditions) for one in (network, found))
        some = found.variance(given, mean, conditions, strength=1.0)
    torch.testing.assert_close(none, without, rtol=1e-5, atol=1e-5)
    assert bool((some > none).all())
    old, new = network.state_dict(), found.state_dict()
    assert all(torch.equal(old[name], new[name]) for name in old if "error.last" not in name)


def test_other_files_are_refused(tmp_path):
    network, path = ColumnNet(), tmp_path / "net.safetensors"
    save_weights(path, network, Header.of(network, BOX, SurveyLimits(**LIMITS)))
    with pytest.raises(ValueError) as error:
        ErrorModel.read(path)
    assert str(error.value) == (
        f"{path} holds a column-net, no error model: take a file that truez train errors wrote"
    )
    wrong = model()
    header = wrong.header.model_copy(update={"config": {"hidden": 8, "conditions": "local"}})
    ErrorModel(wrong.head, header).write(path)
    with pytest.raises(ValueError, match=r"cannot be used: the tensor 'embed\.weight' has"):
        ErrorModel.read(path)
    model().write(path)
    with pytest.raises(ValueError):
        load_weights(path)  # no network
    with pytest.raises(FileNotFoundError):
        ErrorModel.read(tmp_path / "none.safetensors")


def test_a_model_that_does_not_come_with_the_package_is_no_error():
    assert shipped_error_model("none-errors") is None


def test_the_reason_is_one_about_the_model():
    with pytest.raises(ValueError) as error:
        model().header.check(BOX, sigma=200.0)
    assert reason_of(error.value) == (
        "the survey has a photo-z error of 200 Mpc/h, 233% above what the error model was trained "
        "for, 10 to 60 Mpc/h (+-10%)"
    )
