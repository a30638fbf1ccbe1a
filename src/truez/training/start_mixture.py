"""Weights between those that a training began with and those that it found.

A short training with few samples in a step is noisy, and loses some of what its start had learned
from more of them. Weights between both are often better than either, on the surveys of the start as
on the new ones (Wortsman et al. 2022, arXiv:2109.01903): both ends lie in one valley of the loss.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch

from truez.networks.network import Network
from truez.networks.weights import load_weights, save_weights
from truez.support.progress import Progress, silent
from truez.training.validation import Judge

#: Shares of the start that are tried.
SHARES = (0.25, 0.5, 0.75)
#: Name of the share in the provenance of the weights.
SHARE = "share_of_start"


def mix_with_start(
    path: str | Path,
    start: Network,
    judge: Judge,
    shape: Sequence[int],
    *,
    progress: Progress = silent,
) -> float | None:
    """Replace weights by a mean of them and those of the start, if that validates better.

    Parameters
    ----------
    path : path
        The best weights of a run, whose header has their validation loss.
    start : Network
        The same network with the weights that the run began with.
    judge : Judge
        The validation of the run.
    shape : three ints
        As of `truez.training.validation.Judge.judge`.
    progress : Progress

    Returns
    -------
    float or None
        The validation loss of the mean that replaced them; None if the weights stay. Its share of
        the start is ``share_of_start`` of the provenance. Weights that are a mean already stay.
    """
    network, header = load_weights(path)
    network.to(next(start.parameters()).device)
    if SHARE in header.provenance:
        return None
    found, begun = network.state_dict(), start.state_dict()
    lowest, kept = float(header.provenance["validation_loss"]), None
    trial = copy.deepcopy(start)
    for number, share in enumerate(SHARES):
        progress("weights between start and end", number, len(SHARES))
        trial.load_state_dict(_mean(begun, found, share))
        loss = judge.judge(trial, shape)["loss"]
        if loss < lowest:
            lowest, kept = loss, share
    progress("weights between start and end", len(SHARES), len(SHARES))
    if kept is None:
        return None
    network.load_state_dict(_mean(begun, found, kept))
    facts = {**header.provenance, SHARE: kept, "validation_loss": lowest}
    save_weights(path, network, header.model_copy(update={"provenance": facts}))
    return lowest


def _mean(
    first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Tensors of two networks, of which the first have a share."""
    return {name: torch.lerp(second[name], first[name], share) for name in second}
