"""Loss and validation of column networks.

The loss is ``-nats + mse_weight MSE / Var(t)``: the cross entropy of the true redshifts, as the
information gained over the photo-z alone in nats per galaxy of unknown redshift, and the error of
the posterior mean. Both come from meshes, see `truez.sightlines.conserve`. The head that predicts
the error is trained at the same time, and its gradient reaches no other layer, see
`truez.networks.error_head`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from truez.mesh.box import Box, Region
from truez.networks.column_net import ColumnNet
from truez.networks.network import Network
from truez.networks.tiles import tiled
from truez.simulate import Galaxies
from truez.surveys.spec import SurveySpec
from truez.training.column_samples import ColumnsConfig, observed
from truez.training.column_view import ColumnView
from truez.training.config import TrainingConfig
from truez.training.universe_samples import BoxesConfig
from truez.training.universes import Maker, what_made

#: Weight of the error head's loss: so small that it does not decide where gradients are clipped.
#: Adam makes the same steps for any weight.
_ERROR_WEIGHT = 0.01
#: The error head is trained on every so many-th row of sight lines: it is small, and its moments
#: cost as much as a third of the network.
_ERROR_ROWS = 4


@dataclass(frozen=True)
class ColumnLoss:
    """Loss of a column network on crops; an `truez.training.objective.Objective`."""

    mse_weight: float

    def __call__(
        self,
        network: Network,
        sample: Sequence[ColumnView],
        config: TrainingConfig,
        device: torch.device,
    ) -> Tensor:
        """Mean over the crops, without the margin at their faces across the sky."""
        # Crops of the same shape and kind are evaluated together.
        groups: dict[tuple[Any, ...], list[ColumnView]] = {}
        assert isinstance(network, ColumnNet)
        for crop in sample:
            here = crop.to(device)
            groups.setdefault((here.periodic, here.values.shape), []).append(here)
        losses = []
        for (periodic, shape), crops in groups.items():
            inputs = torch.stack([crop.fields for crop in crops])
            conditions = torch.stack([crop.conditions for crop in crops])
            with config.precision(device):
                log_intensity = network(inputs, conditions, joined=periodic)[:, 0].float()
            inner = slice(config.margin, shape[1] - config.margin)
            other = slice(config.margin, shape[2] - config.margin)
            for crop, estimate in zip(crops, log_intensity, strict=True):
                judged, here = crop.inner(config.margin), estimate[inner, other]
                nats, error = judged.score(here)
                losses.append(self.mse_weight * error - nats)
                if torch.is_grad_enabled():
                    errors = judged.every(_ERROR_ROWS).errors(network, here[::_ERROR_ROWS])
                    # The loss has its gradient, and not its value.
                    surprise = _ERROR_WEIGHT * errors.surprise
                    losses[-1] = losses[-1] + (surprise - surprise.detach())
        return torch.stack(losses).mean()


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a validation universe.

    Parameters
    ----------
    view : ColumnView
        Its cells, with a halo across the sky unless it is the whole box.
    region : pair of cell triples
        Cells that are scored.
    wiener : float
        MSE of the linear optimum of both surveys there, over Var(t).
    nats, error : float
        Nats per galaxy and MSE over Var(t) of the redistribution without a network.
    """

    view: ColumnView
    region: Region
    wiener: float
    nats: float
    error: float


@dataclass(frozen=True, eq=False)
class ColumnValidation:
    """Validation on universes that are not trained on; a `truez.training.validation.Judge`.

    Every score is a mean over the universes, and over the surveys too unless its name ends in a
    number; ``NAME_2`` is that of the second survey. The scores are ``loss``; ``nats`` per galaxy;
    ``mse`` over Var(t); ``mse_wiener``, the MSE over that of the linear optimum of both surveys;
    ``error_ratio``, the mean of the squared error over the predicted variance. ``prior_NAME`` is
    the score of the redistribution without a network.
    """

    parts: Sequence[Sequence[Part]]
    source: dict[str, Any]
    mse_weight: float
    precision: Callable[[], AbstractContextManager[Any]]

    def describe(self) -> dict[str, Any]:
        """Plain values (JSON) that identify the universes and surveys."""
        return self.source

    def judge(
        self, network: Network, shape: Sequence[int], *, context: bool = True
    ) -> dict[str, float]:
        """Scores by name; ``shape`` bounds the cells that are estimated at a time."""
        assert context, "column networks are validated with the fields around each part"
        result: dict[str, float] = {"loss": 0.0}
        means: dict[str, float] = {}
        for number, parts in enumerate(self.parts, start=1):
            rows = []
            for part in parts:
                nats, error, ratio = self._scores(network, part, shape)
                rows.append(
                    {
                        "nats": nats,
                        "mse": error,
                        "mse_wiener": error / part.wiener,
                        "error_ratio": ratio,
                        "prior_nats": part.nats,
                        "prior_mse": part.error,
                        "prior_mse_wiener": part.error / part.wiener,
                    }
                )
            for name in rows[0]:
                mean = math.fsum(row[name] for row in rows) / len(rows)
                means[name] = means.get(name, 0.0) + mean / len(self.parts)
                if len(self.parts) > 1:
                    result[f"{name}_{number}"] = mean
        loss = self.mse_weight * means["mse"] - means["nats"]
        return {**result, "loss": loss, **means}

    def _scores(
        self, network: Network, part: Part, shape: Sequence[int]
    ) -> tuple[float, float, float]:
        view, (start, stop) = part.view, part.region
        halo = any(start)
        stride = network.stride
        tile = [-(-n // stride) * stride for n in shape[:2]]
        device = next(network.parameters()).device
        with self.precision():
            log_intensity = tiled(
                network,
                view.fields,
                tile=(*tile, None),
                periodic=(*[not halo and view.periodic] * 2, view.periodic),
                region=part.region,
                conditions=view.conditions.to(device),
            )
        inner = _cut(view, start, stop)
        nats, error = inner.score(log_intensity)
        assert isinstance(network, ColumnNet)
        with torch.no_grad():
            ratio = inner.to(device).errors(network, log_intensity.to(device)).ratio
        return float(nats), float(error), ratio


def column_validation(
    make: Maker,
    seeds: Sequence[int],
    surveys: SurveySpec,
    columns: ColumnsConfig,
    config: BoxesConfig,
    box: Box,
    network: Network,
    training: TrainingConfig,
    device: torch.device | str,
) -> ColumnValidation:
    """Validation on simulated universes, observed in the same way in every run.

    Parameters
    ----------
    make : function of a seed
        Returns the Galaxies of the universe of that seed; they are not kept.
    seeds : sequence of int
        Seeds that are not trained on.
    surveys, columns, config
        Settings of the training; ``config.validation_share`` is the fraction of the sky.
    box : Box
        Mesh of the training.
    network : Network
        Its receptive radii set the width of the halo.
    training : TrainingConfig
        Sets the precision that the network runs with.
    device
        Where the network runs.
    """
    judged = columns.validation or (surveys,)
    parts: list[list[Part]] = [[] for _ in judged]
    made = []
    for number, galaxies in enumerate(map(make, seeds)):
        for one, survey in enumerate(judged):
            # The fourth number keeps this stream apart from those of the training.
            rng = np.random.default_rng([0, number, one, 5])
            parts[one].append(_part(galaxies, survey, rng, config, box, network))
        made.append(what_made(galaxies))
        del galaxies
    source = {
        "validation_universes": made,
        "validation_surveys": [survey.describe() for survey in judged],
    }
    where = torch.device(device)
    return ColumnValidation(parts, source, columns.mse_weight, lambda: training.precision(where))


def _part(
    galaxies: Galaxies,
    surveys: SurveySpec,
    rng: np.random.Generator,
    config: BoxesConfig,
    box: Box,
    network: Network,
) -> Part:
    floor = network.config.floor
    mock, inputs, photo = observed(galaxies, surveys, rng, config, box, floor)
    view = ColumnView.of(mock, inputs, photo, config.resampler)
    nx, ny, _ = box.meshsize
    share, stride = math.sqrt(config.validation_share), network.stride
    halo_x, halo_y = (-(-r // stride) * stride for r in network.receptive_radii[:2])
    wide, high = max(stride, round(nx * share)), max(stride, round(ny * share))
    nz = mock.box.meshsize[2]
    region: Region = (0, 0, 0), (wide, high, nz)
    if wide + 2 * halo_x < nx and high + 2 * halo_y < ny:
        # A closed box is validated away from its faces across the sky.
        corner = (0, 0) if view.periodic else (halo_x, halo_y)
        region = (halo_x, halo_y, 0), (halo_x + wide, halo_y + high, nz)
        start = [c - halo for c, halo in zip(corner, (halo_x, halo_y), strict=True)]
        view = view.cut(start, (wide + 2 * halo_x, high + 2 * halo_y))
    else:
        corner = (0, 0)
    here = tuple(slice(c, c + n) for c, n in zip(corner, (wide, high), strict=True))
    truth = mock.fields(config.resampler)[0].values[here]
    wiener = inputs.wiener[here]
    error = float((wiener - truth).double().square().mean()) / view.variance
    inner = _cut(view, *region)
    nats, prior = inner.score(inner.values[4])
    return Part(view, region, error, float(nats), float(prior))


def _cut(view: ColumnView, start: Sequence[int], stop: Sequence[int]) -> ColumnView:
    return view.cut(start[:2], [b - a for a, b in zip(start[:2], stop[:2], strict=True)])
