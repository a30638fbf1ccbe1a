"""Losses of fields: the mean squared error of the overdensity (Eq. 4 of arXiv:2504.06309)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from truez.networks.network import Network
from truez.training.config import TrainingConfig

#: Loss of a network on a sample that a source draws.
Objective = Callable[[Network, Any, TrainingConfig, torch.device], Tensor]


def mean_squared_error(
    network: Network, sample: tuple[Tensor, Tensor], config: TrainingConfig, device: torch.device
) -> Tensor:
    """Mean squared error of the estimate, without the margin at the faces of the crop."""
    inputs, truth = (t.to(device) for t in sample)
    if config.channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last_3d)
    with config.precision(device):
        estimate = network(inputs)
    x, y, z = (slice(config.margin, n - config.margin) for n in truth.shape[2:])
    return nn.functional.mse_loss(estimate.float()[..., x, y, z], truth[..., x, y, z])
