"""A training run from a recipe: on a mock, or on one universe after another.

Regions, normalisation, and the survey limits of the weights file, are those of the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from truez.mesh.box import Box, Region
from truez.mesh.memory import VALUE, check_mesh
from truez.networks.survey_limits import SurveyLimits
from truez.support.progress import Progress, silent
from truez.support.settings import section
from truez.surveys.mock import Mock
from truez.surveys.spec import SurveySpec
from truez.training.column_samples import ColumnSamples, ColumnsConfig
from truez.training.column_training import ColumnLoss, column_validation
from truez.training.config import TrainingConfig
from truez.training.folder import Run, check_folder
from truez.training.loop import check_half, train
from truez.training.ranks import Ranks
from truez.training.recipe import (
    check_resumed,
    check_sections,
    is_column_network,
    is_local,
    new_network,
    planned_network,
    started_network,
)
from truez.training.room import check_room
from truez.training.samples import Fields, Samples, crop_shape
from truez.training.state import State
from truez.training.supply import Supply
from truez.training.universe_samples import BoxesConfig, UniverseSamples, universe_validation
from truez.training.universes import Pool
from truez.training.validation import Validation, check_apart

#: Sections of a recipe about the network, and about the universes.
NETWORK_SECTIONS, UNIVERSE_SECTIONS = ("network", "training"), ("universe", "surveys", "boxes")
#: Section about the training of a column network.
COLUMN_SECTION = "columns"


def train_on_mock(
    recipe: Mapping[str, Any],
    mock: Mock,
    *,
    out: str | Path,
    start: str | Path | None = None,
    resume: bool = False,
    resampler: str = "cic",
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> State:
    """Train the network of a recipe in the training region of a mock.

    Parameters
    ----------
    recipe : mapping
        Section ``network`` holds ``architecture`` and its settings, section ``training`` those of
        `TrainingConfig`. Sections about universes are ignored.
    mock : Mock
        Its regions ``train`` and ``validation`` are used, and ``test`` is not.
    start : path, optional
        Weights of the recipe's network to start from, instead of random ones.
    out, resume, device, progress
        See `truez.training.folder.Run`.
    resampler : {"ngp", "cic", "tsc"}
        How galaxies are painted.

    Returns
    -------
    State
        With the losses and the lowest validation loss.

    Raises
    ------
    ValueError
        If a section or a setting of the recipe is unknown, ``start`` holds another network, or as
        `train` and `split` say.
    """
    kept = {name: recipe[name] for name in recipe if name not in UNIVERSE_SECTIONS}
    check_sections(kept, NETWORK_SECTIONS, "a mock")
    check_folder(out, resume=resume)
    with section("training"):
        training = TrainingConfig(**recipe["training"])
    if is_column_network(recipe["network"]):
        raise ValueError(
            "a column network is trained on universes, with their periodic lines of sight, not on "
            "a mock: leave the mock out"
        )
    check_resumed(out, training, recipe["network"], resume=resume)
    regions = mock.regions
    network, begun = started_network(recipe["network"], start)
    with section("training"):
        shape = crop_shape(training.crop, [regions["train"]])
    check_room(training, planned_network(recipe["network"]), shape, out=Path(out), device=device)
    check_mesh(mock.box, 3 * VALUE)
    fields = mock.fields(resampler)
    samples, validation = split(training, fields, [regions["train"]], [regions["validation"]])
    truth, photo, spec = (field.crop(*regions["train"]).values for field in fields)
    if network is None:
        network = new_network(recipe["network"], (spec, photo, truth), training.seed)
    run = Run(
        Path(out),
        SurveyLimits.from_mock(mock, resampler),
        recipe={"mock": mock.fingerprint, "resampler": resampler, **kept, **begun},
        resume=resume,
        device=device,
        progress=progress,
    )
    return train(training, network, samples, validation, run)


def train_on_universes(
    recipe: Mapping[str, Any],
    *,
    folder: str | Path | None = None,
    out: str | Path,
    start: str | Path | None = None,
    resume: bool = False,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> State:
    """Train the network of a recipe on simulated universes, one after another.

    Parameters
    ----------
    recipe : mapping
        Sections ``network`` and ``training`` as for `train_on_mock`; ``surveys`` holds the settings
        of `SurveySpec`, ``boxes`` those of `BoxesConfig`, and ``universe`` those of
        `truez.simulate.Universe`, except its seed. For a column network, ``columns`` holds those of
        `truez.training.column_samples.ColumnsConfig`.
    folder : path, optional
        Universes that ``truez simulate`` wrote, instead of those of the recipe. All are used, for
        training or validation by their seeds: see `truez.training.supply`.
    start : path, optional
        Weights of the recipe's network to start from, instead of random ones.
    out, resume, device, progress
        See `truez.training.folder.Run`.

    Returns
    -------
    State
        With the losses and the lowest validation loss.

    Raises
    ------
    ValueError
        If a section or a setting of the recipe is unknown, the universes do not fit, ``start``
        holds another network, or as `train` says.
    FileNotFoundError
        If there is no such folder, no file ``start``, or nothing to resume.
    """
    unused = [] if folder is None else ["universe"]
    kept = {"boxes": {}, **{name: recipe[name] for name in recipe if name not in unused}}
    sections = [*NETWORK_SECTIONS, *(n for n in UNIVERSE_SECTIONS if n not in unused)]
    on_columns = is_column_network(recipe.get("network"))
    if on_columns:
        sections.append(COLUMN_SECTION)
        kept.setdefault(COLUMN_SECTION, {})
    check_sections(kept, sections, "universes")
    with section("training"):
        training = TrainingConfig(**recipe["training"])
    with section("surveys"):
        surveys = SurveySpec(**recipe["surveys"])
    with section("boxes"):
        boxes = BoxesConfig(**kept["boxes"])
    with section(COLUMN_SECTION):
        columns = ColumnsConfig(**kept[COLUMN_SECTION]) if on_columns else None
    if columns is not None and is_local(recipe["network"]):
        raise ValueError(
            "network.conditions = local is trained on views of uneven surveys: give their folder "
            "(truez train --views), or set network.conditions to even"
        )
    if columns is not None and not training.context:
        raise ValueError(
            "training.context = false is for networks on fields: column networks are validated "
            "with the fields around each part, set it to true"
        )
    if training.mode == "grid":
        raise ValueError(
            "training.mode = grid needs the regions of a mock: choose random for universes"
        )
    # Settings are checked before the first universe is made.
    check_folder(out, resume=resume)
    check_resumed(out, training, recipe["network"], resume=resume)
    network, begun = started_network(recipe["network"], start)
    if folder is None:
        supply = Supply.from_recipe(recipe["universe"], boxes, device=device, progress=progress)
    else:
        supply = Supply.from_folder(folder)
    judged = columns.validation if columns else ()
    for place, one in [("surveys", surveys), *(("columns.validation", one) for one in judged)]:
        with section(place):
            one.check(supply.num_galaxies, supply.box.volume)
    survey = SurveyLimits.from_spec(
        surveys,
        redshift=supply.redshift,
        cosmology=supply.cosmology,
        density=supply.num_galaxies / supply.box.volume,
        resampler=boxes.resampler,
    )
    with section("boxes"):
        mesh = Box.from_cellsize(supply.box.boxsize, boxes.cellsize)
    check_mesh(mesh, 3 * VALUE)
    with section("training"):
        shape = crop_shape(training.crop, [((0, 0, 0), mesh.meshsize)])
    check_room(training, planned_network(recipe["network"]), shape, out=Path(out), device=device)
    pool = Pool(supply.make, supply.train, memory=1e9 * boxes.memory if supply.again else 0)
    run = Run(
        Path(out),
        survey,
        recipe={**kept, "seeds": supply.seeds, **begun},
        resume=resume,
        device=device,
        progress=progress,
    )
    crops: dict[str, Any] = {
        "batch": training.batch,
        "seed": training.seed,
        "symmetries": training.symmetries,
        "num_ranks": Ranks.current().num_ranks,
    }
    if columns is None:
        samples = UniverseSamples(pool, surveys, training.crop, boxes, **crops)
        if network is None:
            network = new_network(recipe["network"], samples.view(0), training.seed)
        validation = universe_validation(
            supply.make, supply.validation, surveys, boxes, samples.box
        )
        return train(training, network, samples, validation, run)
    if network is None:
        network = new_network(recipe["network"], None, training.seed)
    floor = network.config.floor
    whole = ColumnSamples(pool, surveys, training.crop, boxes, columns, floor, **crops)
    # Crops that are not whole sight lines, or too small, are refused before anything is painted.
    check_half(training, whole.shape, network, torch.device(device))
    judge = column_validation(
        supply.make,
        supply.validation,
        surveys,
        columns,
        boxes,
        box=whole.box,
        network=network,
        training=training,
        device=device,
    )
    return train(training, network, whole, judge, run, objective=ColumnLoss(columns.mse_weight))


def split(
    config: TrainingConfig,
    fields: Fields,
    train_regions: Sequence[Region],
    validation_regions: Sequence[Region],
) -> tuple[Samples, Validation]:
    """Samples and validation from regions of one box.

    Raises
    ------
    ValueError
        If regions overlap or leave the box, crops do not fit, or fields are no overdensities.
    """
    check_apart(train_regions, validation_regions)
    samples = Samples(
        fields,
        train_regions,
        config.crop,
        batch=config.batch,
        seed=config.seed,
        mode=config.mode,
        symmetries=config.symmetries,
        num_ranks=Ranks.current().num_ranks,
    )
    return samples, Validation.of(fields, validation_regions)
