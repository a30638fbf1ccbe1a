"""The run of ``truez paper``: its stages, from a universe to the page, and what its folder holds.

    run.toml                      the resolved recipe, versions, notes for the reader
    universe-ROLE.parquet         ROLE is train, validation or test
    mock-ROLE/                    the two surveys of each
    training/                     what ``truez train`` writes
    surveys/NAME.h5               the test part painted: truth, photo, spec
    fields/NAME.h5                estimates of it: wiener, unet, unet-per-box, unet-corrected-...
    results/*.ecsv                what was measured; table1.ecsv is Table I
    figures/*.png, *.pdf          with captions.json, their titles and captions
    stages.json                   the stages that have run, with their time and memory
    report.html                   the page

With the paper's own split there is one universe, in ``universe.parquet`` and ``mock/``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import tomli_w
import torch

from truez.evaluate.figures.captions import picture_files
from truez.evaluate.labels import CONSTANTS, WIENER
from truez.evaluate.page.report import write_run_page
from truez.experiments.paper import data, learn, measure, pictures
from truez.experiments.paper.costs import PaperCosts, Speed
from truez.experiments.paper.job import SURVEYS, Job, field_file
from truez.experiments.paper.recipe import CORRECTIONS
from truez.experiments.records import file_hash
from truez.experiments.stages import Stage, mark_folder
from truez.support.checks import shown
from truez.support.files import write_text
from truez.support.provenance import versions

__all__ = ["Job", "paper_stages", "prepare", "until"]

#: The command of such a run, and the file of its settings.
MAKER, SETTINGS = "truez paper", "run.toml"


def prepare(job: Job) -> None:
    """Write ``run.toml``."""
    about: dict[str, Any] = {
        "recipe": job.name,
        "notes": job.recipe.notes,
        "network": job.network,
        "device": job.device,
        "threads": torch.get_num_threads(),
    }
    if job.catalogue is not None:
        about["catalogue"] = str(job.catalogue)
    content = {"run": about, **job.recipe.settings, "versions": versions()}
    mark_folder(job.folder, MAKER)
    write_text(job.folder / SETTINGS, tomli_w.dumps(content))


def paper_stages(job: Job, speed: Speed | None = None) -> list[Stage]:
    """All stages of a run, in their order.

    Without the speed of this machine the costs of the stages have no times.
    """
    costs = PaperCosts(job, speed)
    recipe, boxes = job.recipe, job.recipe.boxes
    regions = {role: [list(corner) for corner in r] for role, r in recipe.regions.items()}
    mocks = {role: f"mock{name}" for role, name in recipe.roles.items()}
    needed = recipe.seeds if job.network else {recipe.roles["test"]: 0}
    stages: list[Stage] = []

    def add(name: str, run: Callable[..., None], *arguments: Any, **others: Any) -> None:
        stages.append(Stage(name, partial(run, job, *arguments), **others))

    for name in needed:
        config = recipe.mock_config(name, catalogue=job.catalogue is not None)
        mock: dict[str, Any] = {"mock": config.model_dump(mode="json"), "box": recipe.box.to_dict()}
        source: tuple[str, ...] = ()
        if job.catalogue is not None:
            columns = boxes.catalogue.model_dump(mode="json")
            mock |= {"catalogue": file_hash(job.catalogue), "columns": columns}
        else:
            universe = recipe.universe.with_seed(recipe.seeds[name])
            source = (f"universe{name}",)
            add(
                *source,
                data.make_universe,
                name,
                makes=(f"universe{name}.parquet",),
                settings={"universe": universe.model_dump(mode="json")},
                scratch=(f"universe{name}.checkpoint",),
                cost=costs.universe,
            )
        add(
            f"mock{name}",
            data.see,
            name,
            makes=data.mock_files(name),
            needs=source,
            settings=mock,
            cost=costs.mock,
        )
    part = {"region": regions["test"], "resampler": boxes.resampler}
    add(
        "paint",
        data.paint_surveys,
        makes=tuple(field_file(name) for name in SURVEYS),
        needs=(mocks["test"],),
        settings=part,
        cost=costs.paint,
    )
    add(
        "wiener",
        data.filter_surveys,
        makes=(*(field_file(name) for name in WIENER), "results/optimum.ecsv"),
        needs=(mocks["test"],),
        settings=part,
        cost=costs.wiener,
    )
    made = dict.fromkeys(SURVEYS, "paint")
    made |= dict.fromkeys(("wiener-photo", "wiener-spec", "wiener"), "wiener")
    if job.network:
        made |= _network_stages(job, add, costs, regions, mocks)
    for name in (*CONSTANTS, *made):
        add(
            f"measure-{name}",
            measure.measure,
            name,
            makes=measure.measured_files(name),
            # Constants are compared with the truth alone.
            needs=tuple(sorted({"paint", made.get(name, "paint")})),
            settings={"cells": boxes.cells},
            cost=costs.measure,
        )
    names = [*CONSTANTS, *(name for name in made if name != "truth")]
    measured = tuple(f"measure-{name}" for name in names)
    add(
        "table",
        measure.write_table1,
        names,
        makes=("results/table1.ecsv",),
        needs=("paint", *measured),
        settings={"notes": recipe.notes},
        cost=costs.table,
    )
    add(
        "figures",
        pictures.draw,
        makes=picture_files(pictures.figure_names(job.network, boxes.corrections)),
        needs=(
            "paint", "wiener", *(("training", "levels") if job.network else ()),
            *sorted({made[n] for n in ("unet",) if n in made}), "measure-truth", *measured,
        ),
        settings={"split": boxes.split},
        cost=costs.figures,
    )  # fmt: skip
    add(
        "report",
        _write_page,
        makes=("report.html",),
        needs=("table", "figures"),
        settings={"recipe": recipe.settings, "network": job.network},
        cost=costs.report,
    )
    return stages


def _network_stages(
    job: Job,
    add: Callable[..., None],
    costs: PaperCosts,
    regions: dict[str, Any],
    mocks: dict[str, str],
) -> dict[str, str]:
    """Add the stages of the network; returns the stage of each field."""
    recipe, boxes = job.recipe, job.recipe.boxes
    same = boxes.split == "paper"
    add(
        "levels",
        data.measure_levels,
        makes=("results/levels.ecsv",),
        needs=("paint", "wiener") if same else (mocks["validation"],),
        settings={"region": regions["validation"], "resampler": boxes.resampler},
        cost=costs.levels,
    )
    add(
        "training",
        learn.train_network,
        makes=learn.TRAINING_FILES,
        needs=tuple(dict.fromkeys((mocks["train"], mocks["validation"]))),
        settings={
            "network": recipe.network,
            "training": recipe.training.model_dump(mode="json", exclude={"checkpoint_every"}),
            "regions": regions,
            "resampler": boxes.resampler,
        },
        scratch=("training",),
        cost=costs.training,
    )
    add(
        "unet",
        learn.estimate_tiled,
        makes=(field_file("unet"),),
        needs=("training", mocks["test"]),
        settings={"region": regions["test"], "tile": boxes.tile, "resampler": boxes.resampler},
        cost=costs.unet,
    )
    add(
        "unet-per-box",
        learn.estimate_per_box,
        makes=(field_file("unet-per-box"),),
        needs=("training", "paint"),
        settings={"cells": boxes.cells},
        cost=costs.unet_per_box,
    )
    made = {"unet-per-box": "unet-per-box", "unet": "unet"}
    for name in boxes.corrections:
        config = CORRECTIONS[name]
        base = "unet-per-box" if config.mode == "per-box" else "unet"
        add(
            f"correction-{name}",
            learn.correct,
            name,
            makes=(field_file(f"unet-corrected-{name}"), f"results/transfer-{name}.ecsv"),
            needs=(base, "paint"),
            settings={"correction": config.model_dump(mode="json"), "cells": boxes.cells},
            cost=costs.correction,
        )
        made[f"unet-corrected-{name}"] = f"correction-{name}"
    return made


def until(stages: list[Stage], name: str | None) -> list[Stage]:
    """The stages up to the last that is called ``name``, or begins with it and a hyphen."""
    if name is None:
        return stages
    names = [stage.name for stage in stages]
    last = [i for i, known in enumerate(names) if known == name or known.startswith(f"{name}-")]
    if not last:
        kinds = dict.fromkeys(known.partition("-")[0] for known in names)
        raise ValueError(
            f"until must be a stage, or the first word of one, not {shown(name)}: one of "
            f"{', '.join(kinds)}"
        )
    return stages[: last[-1] + 1]


def _write_page(job: Job, progress: Any) -> None:
    progress("report", 0, 1)
    write_run_page(job.folder)
    progress("report", 1, 1)
