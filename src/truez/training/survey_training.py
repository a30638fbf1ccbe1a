"""Loss and validation of networks for uneven surveys, on stored views.

The loss is minus the nats per galaxy of `truez.training.survey_crop.SurveyCrop.score`: the cross
entropy of the true redshifts, at the galaxies' own place on the sky. It does not reach the error
head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import torch
from pydantic import Field as Setting
from torch import Tensor

from truez.networks.column_net import ColumnNet
from truez.networks.network import Network
from truez.support.settings import Settings
from truez.training.config import TrainingConfig
from truez.training.survey_crop import SurveyCrop, cut
from truez.training.survey_pool import ViewPool
from truez.training.survey_view import SurveyView


class ViewsConfig(Settings):
    """Settings of the training and validation on stored views.

    Parameters
    ----------
    full_weight : int
        Galaxies from which on crops count alike; one of fewer counts in proportion, as its nats per
        galaxy are uncertain.
    validation_crop : two ints
        Cells across the sky that are estimated in each validation view, in its middle, or all of a
        narrower one.
    validation_margin : int
        Cells at their faces that are not scored.
    """

    full_weight: Annotated[int, Setting(ge=1)] = 2000
    validation_crop: tuple[int, int] = (96, 96)
    validation_margin: Annotated[int, Setting(ge=0)] = 16


@dataclass(frozen=True)
class SurveyLoss:
    """Loss of a network on crops; an `truez.training.objective.Objective`.

    Parameters
    ----------
    full_weight : int
        See `ViewsConfig`.
    """

    full_weight: int

    def __call__(
        self,
        network: Network,
        sample: Sequence[SurveyCrop],
        config: TrainingConfig,
        device: torch.device,
    ) -> Tensor:
        """Mean over the crops, without the margin at their faces across the sky."""
        losses = []
        for crop in sample:
            here = crop.to(device)
            with config.precision(device):
                estimate = crop_estimate(network, here)
            nats, number = here.score(estimate, config.margin)
            weight = min(1.0, number / self.full_weight)
            # Where there is no galaxy there is a gradient too, of 0.
            losses.append(0 * estimate.sum() - weight * nats / max(number, 1))
        return torch.stack(losses).mean()


@dataclass(frozen=True, eq=False)
class SurveyValidation:
    """Validation on views that are not trained on; a `truez.training.validation.Judge`.

    ``nats`` and ``prior_nats`` (of the fine prior alone) are means over the kinds of surveys, each
    of which is a mean over its views, ``nats_KIND``; ``loss`` is ``-nats``.

    Parameters
    ----------
    pool : ViewPool
    config : ViewsConfig
    floor : float
        Lowest intensity of the network's prior.
    precision : function
        Returns the context that the network runs in.
    """

    pool: ViewPool
    config: ViewsConfig
    floor: float
    precision: Callable[[], AbstractContextManager[Any]]

    def describe(self) -> dict[str, Any]:
        """Plain values (JSON) that identify the views and the cells."""
        cells = self.config.model_dump(mode="json", exclude={"full_weight"})
        return {"validation_views": self.pool.describe(), "validation_cells": cells}

    @cached_property
    def kinds(self) -> list[str]:
        """The kind of each view."""
        return [str(about["kind"]).replace(" ", "_") for about in self.pool.about]

    def judge(
        self, network: Network, shape: Sequence[int], *, context: bool = True
    ) -> dict[str, float]:
        """Scores by name; the fields around each part are always used."""
        device = next(network.parameters()).device
        scores = []
        for number in range(len(self.pool)):
            crop, margin = _middle(self.pool[number], self.config)
            scores.append(_judged(network, crop.to(device), margin, self.precision))
        result = {"loss": 0.0}
        for name, values in (("nats", scores), ("prior_nats", self._prior)):
            means = {}
            for kind in dict.fromkeys(self.kinds):
                own = [v for v, other in zip(values, self.kinds, strict=True) if other == kind]
                means[kind] = math.fsum(own) / len(own)
            result[name] = math.fsum(means.values()) / len(means)
            result |= {f"{name}_{kind}": mean for kind, mean in means.items()}
        return {**result, "loss": -result["nats"]}

    @cached_property
    def _prior(self) -> list[float]:
        """Nats per galaxy of the fine prior of each view."""
        scores = []
        for number in range(len(self.pool)):
            crop, margin = _middle(self.pool[number], self.config)
            nats, found = crop.score_prior(self.floor, margin)
            scores.append(float(nats) / max(found, 1))
        return scores


def _middle(view: SurveyView, config: ViewsConfig) -> tuple[SurveyCrop, int]:
    """The cells of a validation view that are estimated, and how many at their faces not to score.

    A view that is narrower than twice the margin is scored whole.
    """
    shape = [min(n, size) for n, size in zip(view.mesh, config.validation_crop, strict=False)]
    corner = [(n - size) // 2 for n, size in zip(view.mesh, shape, strict=False)]
    margin = config.validation_margin
    return cut(view, corner, shape), margin if min(shape) > 2 * margin else 0


@torch.no_grad()
def _judged(
    network: Network,
    crop: SurveyCrop,
    margin: int,
    precision: Callable[[], AbstractContextManager[Any]],
) -> float:
    """Nats per galaxy of a crop."""
    training = network.training
    network.eval()
    with precision():
        estimate = crop_estimate(network, crop)
    network.train(training)
    nats, number = crop.score(estimate, margin)
    return float(nats) / max(number, 1)


def crop_estimate(network: Network, crop: SurveyCrop) -> Tensor:
    """ln lambda (nx, ny, nz), in single precision."""
    assert isinstance(network, ColumnNet)
    values = network(
        crop.fields[None], crop.profiles[None], crop.density[None], joined=crop.periodic
    )
    result: Tensor = values[0, 0].float()
    return result
