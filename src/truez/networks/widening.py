"""Column networks that read more than one that was trained, from which training can go on.

An even network as a local one: what that reads besides has zero weights, so that it gives what the
even one gives, until it is trained. And a network whose error head has a term of pairs.
"""

from __future__ import annotations

import torch

from truez.networks.column_net import ColumnNet

#: Weights with columns for fields or conditions.
_WIDER = ("embed.weight", "error.embed.weight", "stem.weight", "last.weight")
#: Weights of an error head with rows for the term of pairs.
_LONGER = ("error.last.weight", "error.last.bias")


def widened(network: ColumnNet) -> ColumnNet:
    """The local network that gives what an even network gives on even surveys.

    Parameters
    ----------
    network : ColumnNet
        An even network; a local one is returned as it is.

    Examples
    --------
    >>> from truez.networks.column_net import ColumnNet
    >>> from truez.networks.widening import widened
    >>> widened(ColumnNet()).in_channels
    9
    """
    if network.config.conditions == "local":
        return network
    result = ColumnNet(network.config.model_copy(update={"conditions": "local"}))
    tensors, wide = network.state_dict(), result.state_dict()
    for name in _WIDER:
        # The new columns are the last.
        columns = torch.zeros_like(wide[name])
        columns[:, : tensors[name].shape[1]] = tensors[name]
        tensors[name] = columns
    result.load_state_dict(tensors)
    return result.train(network.training)


def with_pairs(network: ColumnNet) -> ColumnNet:
    """The network with a term of pairs in its error head, which is to be fitted.

    For pairs of a strength of 0 it gives what the network gives.

    Parameters
    ----------
    network : ColumnNet
        One whose head has the term already is returned as it is.
    """
    if network.config.error_pairs:
        return network
    result = ColumnNet(network.config.model_copy(update={"error_pairs": True}))
    tensors, new = network.state_dict(), result.state_dict()
    for name in _LONGER:
        tensors[name] = torch.cat([tensors[name], new[name][1:]])
    result.load_state_dict(tensors)
    return result.train(network.training)
