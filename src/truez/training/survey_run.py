"""A training run on stored views of uneven surveys, from a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from truez.networks.column_net import ColumnNet
from truez.networks.network import use_channels_last
from truez.support.progress import Progress, silent
from truez.support.settings import section
from truez.training.config import TrainingConfig
from truez.training.folder import BEST, CHECKPOINT, Run, check_folder
from truez.training.loop import train
from truez.training.ranks import Ranks
from truez.training.recipe import (
    check_resumed,
    check_sections,
    is_local,
    new_network,
    planned_network,
    started_network,
)
from truez.training.room import check_room
from truez.training.start_mixture import mix_with_start
from truez.training.state import State, stored_settings
from truez.training.survey_pool import ViewPool
from truez.training.survey_samples import SurveySamples
from truez.training.survey_training import SurveyLoss, SurveyValidation, ViewsConfig

#: Section of a recipe about views, and all that one for training on them has.
VIEW_SECTION = "views"
_SECTIONS = ("network", "training", VIEW_SECTION)


def train_on_views(
    recipe: Mapping[str, Any],
    views: str | Path,
    *,
    out: str | Path,
    start: str | Path | None = None,
    resume: bool = False,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> State:
    """Train the network of a recipe on stored views of surveys.

    Parameters
    ----------
    recipe : mapping
        Section ``network`` is that of a column network with ``conditions = "local"``, ``training``
        holds the settings of `TrainingConfig` and ``views`` those of `ViewsConfig`.
    views : str or Path
        Folder of `truez.training.survey_pool`. A run that is resumed uses the views that it began
        with, and not those that were made since.
    start : path, optional
        Weights to start from, instead of random ones: of the recipe's network, or of one with even
        conditions and the same layers. At the end means of both are tried, see
        `truez.training.start_mixture`.
    out, resume, device, progress
        See `truez.training.folder.Run`.

    Returns
    -------
    State
        With the losses and the lowest validation loss.

    Raises
    ------
    ValueError
        If a section or a setting of the recipe is unknown, ``start`` holds another network, or as
        `train` says.
    FileNotFoundError
        If there are no views, no file ``start``, or nothing to resume.
    """
    kept = {"views": {}, **recipe}
    check_sections(kept, _SECTIONS, "views")
    with section("training"):
        training = TrainingConfig(**kept["training"])
    with section("views"):
        config = ViewsConfig(**kept["views"])
    if not is_local(kept["network"]):
        raise ValueError(
            "training on views is for a column network of uneven surveys: set network.architecture "
            "to column-net and network.conditions to local"
        )
    check_folder(out, resume=resume)
    check_resumed(out, training, kept["network"], resume=resume)
    network, begun = started_network(kept["network"], start)
    names: dict[str, list[str] | None] = {"training": None, "validation": None}
    if resume:
        stored = stored_settings(Path(out) / CHECKPOINT)
        names = {"training": list(stored.get("views", {}).get("training", ())),
                 "validation": list(stored.get("validation_views", ()))}  # fmt: skip
    pool = ViewPool.of(views, "training", names["training"])
    judged = ViewPool.of(views, "validation", names["validation"])
    with section("training"):
        samples = SurveySamples(
            pool,
            training.crop,
            batch=training.batch,
            seed=training.seed,
            symmetries=training.symmetries,
            num_ranks=Ranks.current().num_ranks,
        )
    check_room(
        training, planned_network(kept["network"]), samples.shape, out=Path(out), device=device
    )
    if network is None:
        network = new_network(kept["network"], None, training.seed)
    assert isinstance(network, ColumnNet)
    where = torch.device(device)
    validation = SurveyValidation(
        judged, config, network.config.floor, lambda: training.precision(where)
    )
    run = Run(
        Path(out),
        pool.limits,
        recipe={**kept, "ranges": pool.ranges, **begun},
        resume=resume,
        device=device,
        progress=progress,
    )
    state = train(
        training, network, samples, validation, run, objective=SurveyLoss(config.full_weight)
    )
    begun_with, _ = started_network(kept["network"], start)
    if begun_with is not None and Ranks.current().writes:
        if training.channels_last:
            use_channels_last(begun_with)
        found = mix_with_start(
            Path(out) / BEST, begun_with.to(where), validation, training.crop, progress=progress
        )
        state.best = state.best if found is None else found
    return state
