"""State of a training run in one file, which is replaced as a whole.

safetensors: ``network.NAME`` (parameters and the buffers of batch normalisation), ``ema.NAME``
where weights are averaged, ``optimizer.PART.INDEX.NAME``; in the metadata, under
``truez-training``, JSON with the step, the losses so far and the settings that a resumed run must
have too; and a checksum of it all (`truez.networks.tensors`), without which checkpoints of earlier
versions are read as well. Nothing is unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from truez.networks.tensors import check_fit, read_tensors, read_text, save_tensors
from truez.networks.weights import current_limits
from truez.training.optimizers import Optimizer

KEY = "truez-training"
#: What to do with a checkpoint that cannot be used.
REMEDY = "train into another folder, perhaps from the weights in last.safetensors"
# Settings that a message shows, and characters of each value.
_SHOWN, _LONGEST = 2, 30


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
    stored, content = _read(path)
    if "survey" in content["settings"]:
        content["settings"]["survey"] = current_limits(content["settings"]["survey"])
    # Through JSON, so that tuples and lists compare equal.
    _check_settings(path, content["settings"], json.loads(json.dumps(settings)))

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): t for k, t in stored.items() if k.startswith(prefix)}

    averaged, progress = part("ema."), part("optimizer.")
    try:
        check_fit(part("network."), network.state_dict())
        check_fit(averaged, ema or {})
        optimizer.load(progress)
    except (ValueError, RuntimeError, IndexError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the run in {path} cannot be resumed ({reason}): {REMEDY}") from error
    network.load_state_dict(part("network."))
    for name, tensor in averaged.items():
        assert ema is not None
        ema[name].copy_(tensor)
    return _state(path, content["state"])


def check_checkpoint(path: str | Path) -> None:
    """Refuse a file that no run can be resumed from, whatever its settings.

    Raises
    ------
    ValueError
    """
    _read(path)


def _read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a checkpoint, and its state and settings."""
    try:
        content = json.loads(read_text(path, KEY))
        complete = {name: dict(content[name]) for name in ("state", "settings")}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} is not a training checkpoint that truez wrote: {REMEDY}"
        ) from error
    stored, _ = read_tensors(path, KEY, remedy=REMEDY)
    state = _state(path, complete["state"])
    if state.step > 0 and not any(name.startswith("optimizer.") for name in stored):
        raise ValueError(
            f"{path} lacks the state of the optimiser, without which the run would go on as "
            f"another: {REMEDY}"
        )
    return stored, complete


def _state(path: str | Path, known: Mapping[str, Any]) -> State:
    try:
        rows = [(int(step), float(a), float(b)) for step, a, b in known["losses"]]
        state = State(**{**known, "losses": rows})
        counts = [state.step, state.loss_steps, state.minutes]
        if not all(math.isfinite(number) and number >= 0 for number in counts):
            raise ValueError
        if not math.isfinite(state.loss_sum + (state.best or 0.0)):
            raise ValueError
        if state.step != int(state.step) or not all(isinstance(row, dict) for row in state.details):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not say how far its run has come: {REMEDY}") from error
    return state


def _check_settings(path: str | Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse settings other than those of the run, with the first that differ."""
    differ = _differences(stored, wanted)
    if not differ:
        return
    shown = [f"{name} = {_short(old)}, not {_short(new)}" for name, old, new in differ[:_SHOWN]]
    more = f" and {len(differ) - _SHOWN} more differ" if len(differ) > _SHOWN else ""
    raise ValueError(
        f"the run in {Path(path).parent} has {'; '.join(shown)}{more}: resume it with its own "
        "settings, or train into another folder"
    )


def _differences(old: Any, new: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """Names such as ``training.steps`` of what differs, and both values."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [(name, old, new)]
    prefix = f"{name}." if name else ""
    return [
        found
        for part in old | new
        for found in _differences(old.get(part), new.get(part), f"{prefix}{part}")
    ]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
