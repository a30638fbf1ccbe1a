"""The file of an error model, and what it says of surveys that it does not serve."""

import pytest
import torch

from training.survey_views import LIMITS
from truez.mesh.box import Box
from truez.networks.column_net import ColumnNet
from truez.networks.error_head import ErrorHead
from truez.networks.error_model import ErrorModel, reason_of, shipped_error_model
from truez.networks.survey_limits import SurveyLimits
from truez.networks.weights import Header, load_weights, save_weights

BOX = Box(16, cellsize=2)


def model(hidden=16, seed=1):
    torch.manual_seed(seed)
    head = ErrorHead(10, hidden)
    torch.nn.init.normal_(head.last.weight)
    return ErrorModel.fitted(head, BOX, SurveyLimits(**LIMITS), {"views": 3})


@pytest.mark.parametrize("hidden", [16, 5])
def test_a_file_gives_the_model_back(tmp_path, hidden):
    made, path = model(hidden), tmp_path / "errors.safetensors"
    made.write(path)
    found = ErrorModel.read(path)
    assert found.header == made.header
    assert found.header.provenance["views"] == 3
    given, mean = torch.rand(4, 4, 6) + 0.01, torch.rand(4, 4, 6) + 0.01
    conditions, density = torch.randn(10, 1, 1, 6), torch.randn(2, 4, 4, 6)
    one, two = (each.variance(given, mean, conditions, density) for each in (made, found))
    torch.testing.assert_close(one, two)
    assert not torch.allclose(one, given)
    # As by a network with this head.
    network = ColumnNet(ColumnNet.Config(conditions="local", error_hidden=hidden))
    network.error.load_state_dict(made.head.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(network.variance(given, mean, conditions, density), one)


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
