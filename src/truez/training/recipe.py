"""The sections of a recipe that a training reads: its network, and what it starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from truez.networks.column_net import ColumnNet
from truez.networks.network import (
    Network,
    NetworkConfig,
    build_network,
    network_class,
    plan_network,
)
from truez.networks.weights import load_weights
from truez.networks.widening import widened
from truez.support.differences import differences
from truez.support.settings import section
from truez.training.config import FREE, TrainingConfig
from truez.training.folder import CHECKPOINT
from truez.training.state import check_settings, is_checkpoint


def network_settings(settings: Mapping[str, Any]) -> tuple[str, NetworkConfig]:
    """Name and settings of the network."""
    wanted = dict(settings)
    architecture = wanted.pop("architecture", "dual-unet")
    with section("network"):
        return architecture, network_class(architecture).Config(**wanted)


def is_column_network(settings: Any) -> bool:
    """Whether a network section names a column network."""
    if not isinstance(settings, Mapping):
        return False
    with section("network"):
        found = network_class(settings.get("architecture", "dual-unet"))
    return issubclass(found, ColumnNet)


def is_local(settings: Mapping[str, Any]) -> bool:
    """Whether a network section is of a column network for uneven surveys."""
    return getattr(network_settings(settings)[1], "conditions", None) == "local"


def new_network(
    settings: Mapping[str, Any], fields: Sequence[Tensor] | Tensor | None, seed: int
) -> Network:
    """A new network, with its scales measured on the overdensities spec, photo, truth if given."""
    architecture, config = network_settings(settings)
    if fields is not None:
        spec, photo, truth = fields
        config = config.normalised(spec, photo, truth)
    return build_network(architecture, config.model_dump(), seed=seed)


def planned_network(section: Mapping[str, Any]) -> Network:
    """The network without its values."""
    architecture, config = network_settings(section)
    return plan_network(architecture, config.model_dump())


def started_network(
    settings: Mapping[str, Any], start: str | Path | None
) -> tuple[Network | None, dict[str, Any]]:
    """The trained network of ``start``, if given, and its entry in the recipe of the run.

    An even column network is widened where the recipe has a local one.

    Raises
    ------
    ValueError
        If ``start`` holds another network than the recipe.
    """
    architecture, wanted = network_settings(settings)
    if start is None:
        return None, {}
    if is_checkpoint(start):
        raise ValueError(
            f"{start} is the checkpoint of a training, to be resumed in its own folder: give "
            "best.safetensors or last.safetensors of that folder"
        )
    network, header = load_weights(start)
    if isinstance(network, ColumnNet) and is_local(settings):
        network = widened(network)
    named, found = (
        {"architecture": name, **config.model_dump(mode="json", include=set(settings))}
        for name, config in ((architecture, wanted), (header.architecture, network.config))
    )
    if other := differences({"network": found}, {"network": named}):
        raise ValueError(
            f"{start} holds weights with {other}: start from weights of the recipe's network, or "
            "change the recipe"
        )
    return network, {"start": header.provenance}


def check_resumed(
    out: str | Path, training: TrainingConfig, settings: Mapping[str, Any], *, resume: bool
) -> None:
    """Refuse to resume a run with other settings, before samples are made."""
    if resume:
        _, network = network_settings(settings)
        check_settings(
            Path(out) / CHECKPOINT,
            training.model_dump(mode="json", exclude=FREE),
            network.model_dump(mode="json", include=set(settings)),
        )


def check_sections(recipe: Mapping[str, Any], names: Sequence[str], task: str) -> None:
    """Refuse a recipe with other sections than those of a task."""
    if set(recipe) != set(names):
        hint = ": add what is missing, or train on a mock" if task == "universes" else ""
        raise ValueError(
            f"a recipe for training on {task} has the sections {_listed(names)}, not "
            f"{_listed(sorted(recipe)) or 'none'}{hint}"
        )
    for name in sorted(names):
        if not isinstance(recipe[name], Mapping):
            raise ValueError(
                f"{name} must be a section of settings in the recipe, not {recipe[name]!r}"
            )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
