"""Weights files of networks that are not trained, even and local, for tests."""

from tests.networks.test_column_net import SETTINGS, lively

from truez.mesh.box import Box
from truez.networks import build_network, weights
from truez.networks.column_net import ColumnNet
from truez.networks.survey_limits import SurveyLimits
from truez.networks.weights import Header, save_weights
from truez.networks.widening import widened

#: Limits of an even network, with cells of 2 Mpc/h.
EVEN = SurveyLimits(
    z_err=(0.0048, 0.048), sigma=(10.6, 106.3), outlier_fraction=(0.0, 0.05),
    spec_density=(1e-4, 3e-3), photo_density=(5e-3, 4e-2), overlap=(1.0, 1.0), resampler="cic",
    redshift_space="both",
)  # fmt: skip
#: Those of a local network that serves most surveys of the tests.
LOCAL = EVEN.model_copy(
    update={
        "cellsize": (1.5, 5.0), "along": (1.5, 5.0), "redshift": (0.0, 1.2), "sigma": (2.0, 200.0),
        "overlap": (0.0, 1.0), "spec_density": (1e-5, 3e-2), "photo_density": (1e-4, 1e-1),
    }
)  # fmt: skip


def even_network(strength=1.0):
    """A small even network as after some training, whose corrections are as strong."""
    network = lively(build_network("column-net", SETTINGS, seed=3)).eval()
    network.last.weight.data.mul_(strength)
    return network


def write_weights(path, network, survey, *, side=2.0, **limits):
    """Write a network, trained on cells of a side, with limits, some of them others; the path."""
    survey, box = survey.model_copy(update=limits), Box(8 * side, cellsize=side)
    save_weights(path, network, Header.of(network, box, survey))
    return path


def write_even(path, network=None, **changes):
    """Weights of an even network, which gives its prior."""
    return write_weights(path, network or ColumnNet(), EVEN, **changes)


def write_local(path, network=None, **changes):
    """Weights of a local network, which gives its prior."""
    network = network or ColumnNet(widened(ColumnNet()).config)
    return write_weights(path, network, LOCAL, **changes)


def ship(monkeypatch, folder, write, **changes):
    """Take the weights that ``write`` makes for those of the package."""
    write(folder / "column-net.safetensors", **changes)
    monkeypatch.setattr(weights, "SHIPPED", folder)
