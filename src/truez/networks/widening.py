"""An even column network as a local one, from which training can go on.

What a local network reads besides has zero weights, so that it gives what the even one gives, until
it is trained.
"""

from __future__ import annotations

import torch

from truez.networks.column_net import ColumnNet

#: Weights with columns for fields or conditions.
_WIDER = ("embed.weight", "error.embed.weight", "stem.weight", "last.weight")


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
