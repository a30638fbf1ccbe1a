"""Memory and disk of a training, refused before its samples are made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from truez.networks.network import Network
from truez.support.disk import check_disk
from truez.support.memory import check_memory
from truez.training.config import TrainingConfig
from truez.training.ranks import Ranks

#: Files of weights that a run leaves: the best, the last, and a checkpoint with two moments.
_COPIES = 5


def check_room(
    config: TrainingConfig,
    network: Network,
    shape: Sequence[int],
    *,
    out: Path,
    device: torch.device | str,
) -> None:
    """Refuse a training that takes more memory or disk than there is.

    Parameters
    ----------
    config : TrainingConfig
    network : Network
        It may be on torch's meta device, where it takes no memory.
    shape : (3,) ints
        Cells of a crop.
    out : Path
        Folder of the run.
    device : torch.device or str
        The memory of a GPU is not checked.

    Raises
    ------
    ValueError
    """
    weights = sum(int(t.nbytes) for t in network.state_dict().values())
    there = sum(path.stat().st_size for path in out.glob("*.safetensors"))
    needed: float = _COPIES * weights - there
    check_disk(needed, out, option="folder with out", more=", with its checkpoint,")
    if torch.device(device).type != "cpu":
        return
    number = Ranks.current().num_local
    needed = number * training_memory(network, shape, config.batch, recompute=config.recompute)
    remedy = "set training.batch or training.crop to less, or take a GPU"
    if network.can_recompute and not config.recompute:
        remedy = f"set training.recompute to true, {remedy}"
    cells = " x ".join(map(str, shape))
    # Numbers of 16 bits may halve it.
    check_memory(
        needed / 2 if config.bf16 else needed,
        f"training on {number * config.batch} crops of {cells} cells at a time",
        remedy,
    )


def training_memory(
    network: Network, crop: Sequence[int], batch: int, *, recompute: bool = False
) -> int:
    """Memory of a training step [bytes]: the tensors of a pass forward and back, and the moments.

    Scratch space of the convolution library comes on top.
    """
    weights = sum(int(p.nbytes) for p in network.parameters())
    kept, network.recompute = network.recompute, recompute
    try:
        return network.memory(crop, batch, gradients=True) + 2 * weights
    finally:
        network.recompute = kept
