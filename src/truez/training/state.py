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

from truez.networks.survey_limits import current_limits
from truez.networks.tensors import check_fit, read_tensors, read_text, save_tensors
from truez.support.differences import differences
from truez.support.documents import parsed_json, section
from truez.training.optimizers import Optimizer

KEY = "truez-training"
#: What to do with a checkpoint that cannot be used.
REMEDY = "train into another folder, perhaps from the weights in last.safetensors"


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
    content = _content(path)
    # Through JSON, so that tuples and lists compare equal.
    _check_settings(path, content["settings"], json.loads(json.dumps(settings)))
    stored = _tensors(path, content)

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
    _tensors(path, _content(path))


def is_checkpoint(path: str | Path) -> bool:
    """Whether a file is a training checkpoint, damaged or not."""
    try:
        read_text(path, KEY)
    except (OSError, ValueError):
        return False
    return True


def check_settings(
    path: str | Path, training: Mapping[str, Any], network: Mapping[str, Any]
) -> None:
    """Refuse to resume a run with other settings of the training, or others of the network.

    This is what can be known before there are samples; `read_checkpoint` compares the rest.

    Raises
    ------
    ValueError
    """
    content = _content(path)
    settings, state = content["settings"], _state(path, content["state"])
    wanted = {"training": dict(training), "network": dict(network)}
    stored = {
        "training": settings.get("training"),
        "network": {name: settings.get("network", {}).get(name) for name in network},
    }
    _check_settings(path, stored, json.loads(json.dumps(wanted)))
    if training.get("steps"):
        check_step(path, state, training["steps"])


def stored_settings(path: str | Path) -> dict[str, Any]:
    """The settings of the run that a checkpoint is of.

    Raises
    ------
    ValueError
        If the file is not a checkpoint.
    """
    settings: dict[str, Any] = _content(path)["settings"]
    return settings


def check_step(path: str | Path, state: State, steps: int) -> None:
    """Refuse a checkpoint from beyond the end of its run.

    Raises
    ------
    ValueError
    """
    if state.step > steps:
        raise ValueError(f"{path} is of step {state.step}, and the run has {steps}: {REMEDY}")


def _content(path: str | Path) -> dict[str, Any]:
    """The state and the settings of a checkpoint."""
    try:
        text = read_text(path, KEY)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} is not a training checkpoint that truez wrote: {REMEDY}"
        ) from error
    name, keys = f"the header of {path}", ("state", "settings")
    content = section(parsed_json(text, name, remedy=REMEDY), name, keys=keys, remedy=REMEDY)
    for key in keys:
        section(content[key], name, key, remedy=REMEDY)
    settings = content["settings"]
    for key in ("survey", "network"):
        if key in settings:
            section(settings[key], name, f"settings.{key}", remedy=REMEDY)
    if "survey" in settings:
        settings["survey"] = current_limits(settings["survey"])
    return content


def _tensors(path: str | Path, content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint, which a run can go on from."""
    stored, _ = read_tensors(path, KEY, remedy=REMEDY)
    state = _state(path, content["state"])
    if state.step > 0 and not any(name.startswith("optimizer.") for name in stored):
        raise ValueError(
            f"{path} lacks the state of the optimiser, without which the run would go on as "
            f"another: {REMEDY}"
        )
    return stored


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
    found = differences(stored, wanted)
    if found:
        raise ValueError(
            f"the run in {Path(path).parent} has {found}: resume it with its own settings, or "
            "train into another folder"
        )
