"""State of a training run in one file, which is replaced as a whole.

safetensors: ``network.NAME`` (parameters and the buffers of batch normalisation), ``ema.NAME``
where weights are averaged, ``optimizer.PART.INDEX.NAME``; in the metadata, under
``truez-training``, JSON with the step, the losses so far and the settings that a resumed run must
have too. Nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from truez.networks.weights import current_limits, save_tensors
from truez.training.optimizers import Optimizer

KEY = "truez-training"


@dataclass
class State:
    """Progress of a training run.

    Parameters
    ----------
    step : int
        Steps done.
    losses : list of [step, train, validation]
        The rows of losses.csv.
    best : float, optional
        Lowest validation loss so far.
    loss_sum, loss_steps : float, int
        Sum and number of the training losses since the last row.
    minutes : float
        Time spent in all parts of the run.
    details : list of dict
        The rows of validation.csv.
    """

    step: int = 0
    losses: list[tuple[int, float, float]] = field(default_factory=list)
    best: float | None = None
    loss_sum: float = 0.0
    loss_steps: int = 0
    minutes: float = 0.0
    details: list[dict[str, float]] = field(default_factory=list)


def write_checkpoint(
    path: str | Path,
    state: State,
    settings: Mapping[str, Any],
    network: nn.Module,
    optimizer: Optimizer,
    ema: Mapping[str, Tensor] | None,
) -> None:
    """Write all that a run needs to be resumed as if it had not stopped."""
    tensors = {f"network.{name}": t for name, t in network.state_dict().items()}
    tensors |= {f"ema.{name}": t for name, t in (ema or {}).items()}
    tensors |= {f"optimizer.{name}": t for name, t in optimizer.tensors().items()}
    save_tensors(path, tensors, json.dumps({"state": vars(state), "settings": settings}), KEY)


def read_checkpoint(
    path: str | Path,
    settings: Mapping[str, Any],
    network: nn.Module,
    optimizer: Optimizer,
    ema: Mapping[str, Tensor] | None,
) -> State:
    """Load a checkpoint into ``network``, ``optimizer`` and ``ema``, and return the run's state.

    Raises
    ------
    ValueError
        If the file is not a checkpoint, or is that of a run with other settings.
    """
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads((file.metadata() or {})[KEY])
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a training checkpoint that truez wrote") from error
    if "survey" in content["settings"]:
        content["settings"]["survey"] = current_limits(content["settings"]["survey"])
    # Through JSON, so that tuples and lists compare equal.
    wanted = json.loads(json.dumps(settings))
    for name in wanted | content["settings"]:
        old, new = content["settings"].get(name), wanted.get(name)
        if old != new:
            raise ValueError(
                f"the run in {Path(path).parent} has {name} = {old!r}, not {new!r}: resume it with "
                "its own settings, or train into another folder"
            )

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): t for k, t in stored.items() if k.startswith(prefix)}

    network.load_state_dict(part("network."))
    for name, tensor in part("ema.").items():
        assert ema is not None
        ema[name].copy_(tensor)
    optimizer.load(part("optimizer."))
    known = content["state"]
    known["losses"] = [
        (int(step), train, validation) for step, train, validation in known["losses"]
    ]
    return State(**known)
