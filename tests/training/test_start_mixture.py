"""Means of the weights that a training began with and those that it found."""

import torch

from truez.mesh.box import Box
from truez.networks.column_net import ColumnNet, ColumnNetConfig
from truez.networks.survey_limits import SurveyLimits
from truez.networks.weights import Header, load_weights, save_weights
from truez.training.start_mixture import mix_with_start

SHAPE = (8, 8, 0)


class Distance:
    """The loss is how far weights are from some, as a part of the way between two networks."""

    def __init__(self, start, end, best):
        self.start, self.end, self.best = start, end, best

    def describe(self):
        return {}

    def judge(self, network, shape, *, context=True):
        assert tuple(shape) == SHAPE
        name = "stem.weight"
        found, first, last = (
            one.state_dict()[name] for one in (network, self.start, self.end)
        )  # fmt: skip
        share = float(((found - last) * (first - last)).sum() / (first - last).square().sum())
        return {"loss": abs(share - self.best)}


def networks():
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(ColumnNet(ColumnNetConfig(widths=(4, 4), blocks=(1, 1, 1))))
    return found


def written(path, network, loss):
    limits = SurveyLimits(
        z_err=(0.01, 0.02), sigma=(20, 40), outlier_fraction=(0, 0), spec_density=(1e-3, 1e-3),
        photo_density=(1e-2, 1e-2), overlap=(1, 1), resampler="cic", redshift_space=True,
    )  # fmt: skip
    header = Header.of(
        network, Box(16, cellsize=2), limits, provenance={"step": 3, "validation_loss": loss}
    )
    save_weights(path, network, header)


def test_the_mean_that_validates_best_replaces_the_weights(tmp_path):
    start, end = networks()
    path = tmp_path / "best.safetensors"
    for best, share in ((0.0, None), (0.1, None), (0.2, 0.25), (0.5, 0.5), (0.9, 0.75)):
        judge = Distance(start, end, best)
        written(path, end, best)
        before = path.read_bytes()
        loss = mix_with_start(path, start, judge, SHAPE)
        if share is None:
            assert loss is None
            assert path.read_bytes() == before
            continue
        mean, header = load_weights(path)
        assert abs(loss - abs(best - share)) < 1e-5
        facts = {"step": 3, "validation_loss": loss, "share_of_start": share}
        assert facts.items() <= header.provenance.items()
        for name, tensor in mean.state_dict().items():
            a, b = start.state_dict()[name], end.state_dict()[name]
            torch.testing.assert_close(tensor, share * a + (1 - share) * b)
        # A run that is resumed after its end leaves them.
        assert mix_with_start(path, start, judge, SHAPE) is None
