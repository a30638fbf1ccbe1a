"""A fit of error models on stored views of surveys, from a recipe.

Two models are fitted: the error head of a column network, and the one of the redistribution, which
has a file of its own. Cells of the views are collected first, by several processes where that is
wanted, and kept in the folder of the run, so that a run that was stopped goes on from there.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field as Setting

from truez.mesh.box import Box
from truez.networks.column_net import ColumnNet
from truez.networks.conditions import LOCAL_CONDITIONS
from truez.networks.error_head import HIDDEN, ErrorHead
from truez.networks.error_model import REDISTRIBUTION, ErrorModel
from truez.networks.network import use_channels_last
from truez.networks.precision import half_precision
from truez.networks.tensors import CHECKSUM, read_text
from truez.networks.weights import Header, load_weights, save_weights
from truez.networks.widening import with_pairs
from truez.simulate import Galaxies
from truez.simulate.files import files_by_seed, read_galaxies
from truez.support.documents import read_json
from truez.support.files import write_text
from truez.support.folders import refuse_foreign
from truez.support.progress import Progress, silent
from truez.support.provenance import versions
from truez.support.settings import section
from truez.training.error_cells import (
    CellChoice,
    ErrorCells,
    Estimate,
    error_cells,
    network_estimate,
)
from truez.training.error_fit import PARTS, FitConfig, calibration, fit_head, mean_surprise
from truez.training.folder import BEST
from truez.training.recipe import check_sections
from truez.training.survey_pool import SUFFIX, Purpose, ViewPool
from truez.training.survey_view import SurveyView

#: Section of a recipe about error models, and all that one for them has.
ERROR_SECTION = "errors"
CELLS, CONFIG, TABLE = "cells", "config.json", "calibration.csv"
#: Weights of the error model of the redistribution in the folder of a run.
MODEL = f"{REDISTRIBUTION}{SUFFIX}"
_PURPOSES: tuple[Purpose, ...] = ("training", "validation")


class ErrorsConfig(FitConfig):
    """Settings of the fit of an error model; see also `FitConfig`.

    Parameters
    ----------
    core : two ints
        Cells across the sky of the part of each view that its cells are drawn from.
    margin, halo : int
        Cells around them whose galaxies are moved, and around those that a network reads.
    cells, validation_cells : int
        Cells that are drawn in each view.
    hidden : int
        Width of the hidden layers of a new head; that of a network has the width that it has.
    processes : int
        Processes that collect the cells.
    bf16 : bool or "everywhere"
        As of `truez.training.config.TrainingConfig`, for the network.
    """

    core: tuple[Annotated[int, Setting(ge=1)], Annotated[int, Setting(ge=1)]] = (32, 48)
    margin: Annotated[int, Setting(ge=1)] = 8
    halo: Annotated[int, Setting(ge=0)] = 8
    cells: Annotated[int, Setting(ge=1)] = 60_000
    validation_cells: Annotated[int, Setting(ge=1)] = 200_000
    hidden: Annotated[int, Setting(ge=1, le=256)] = HIDDEN
    processes: Annotated[int, Setting(ge=1, le=1024)] = 1
    bf16: bool | Literal["everywhere"] = True

    def choice(self, purpose: Purpose) -> CellChoice:
        """The cells of a view."""
        number = self.cells if purpose == "training" else self.validation_cells
        return CellChoice(self.core, self.margin, self.halo, number, self.seed)

    @property
    def of_cells(self) -> dict[str, Any]:
        """The settings that the cells depend on."""
        names = {"core", "margin", "halo", "cells", "validation_cells", "seed", "bf16"}
        return self.model_dump(mode="json", include=names)


@dataclass(frozen=True)
class ErrorFit:
    """What a fit has found.

    Parameters
    ----------
    path : Path
        File of the weights.
    before, after : mapping of str to list of float
        Squared error over variance on the views for validation, see
        `truez.training.error_fit.calibration`: of the network's head or of the variance given the
        intensity, and of the head that was fitted.
    loss_before, loss : float
        `truez.training.error_fit.mean_surprise` of both.
    """

    path: Path
    before: Mapping[str, Sequence[float]]
    after: Mapping[str, Sequence[float]]
    loss_before: float
    loss: float


def fit_errors(
    recipe: Mapping[str, Any],
    views: str | Path,
    boxes: str | Path,
    *,
    out: str | Path,
    start: str | Path | None = None,
    resume: bool = False,
    progress: Progress = silent,
) -> ErrorFit:
    """Fit an error model to views of surveys.

    Parameters
    ----------
    recipe : mapping
        Section ``errors`` holds the settings of `ErrorsConfig`.
    views : str or Path
        Folder of `truez.training.survey_pool`.
    boxes : str or Path
        Folder of the universes that the views were made of.
    out : str or Path
        Folder of the run, in which the weights are written.
    start : path, optional
        Weights of a column network for uneven surveys, whose error head is fitted, with a term of
        pairs; its other weights stay as they are. Without one the error model of the redistribution
        is fitted.
    resume : bool
        Go on with the cells that the folder has.
    progress : Progress

    Raises
    ------
    ValueError
        If a setting is wrong, ``start`` holds another network, or the views are not of the
        universes.
    FileNotFoundError
        If there are no views, no universe of a view, or nothing to resume.
    """
    check_sections(recipe, (ERROR_SECTION,), "errors")
    with section(ERROR_SECTION):
        config = ErrorsConfig(**recipe[ERROR_SECTION])
    folder = Path(out)
    network, header = _started(start)
    pools = {purpose: ViewPool.of(views, purpose) for purpose in _PURPOSES}
    files = _universes(pools, boxes)
    text = {
        "errors": config.of_cells,
        "views": {purpose: pool.describe() for purpose, pool in pools.items()},
        "start": None if start is None else read_text(start, CHECKSUM),
    }
    check_errors_folder(folder, resume=resume)
    if resume:
        _check_same(folder, text)
    write_text(folder / CONFIG, json.dumps({**text, "settings": config.model_dump(mode="json"),
                                            "versions": versions()}, indent=2) + "\n")  # fmt: skip
    cells = _collected(pools, files, config, folder, start, progress)
    if network is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            head = ErrorHead(len(LOCAL_CONDITIONS), config.hidden, pairs=True)
        former: ErrorHead | None = None
    else:
        former = copy.deepcopy(network.error)
        network = with_pairs(network)
        head = network.error
    fit_head(head, cells["training"], config, progress=progress)
    judged = cells["validation"]
    found = ErrorFit(
        folder / (MODEL if network is None else BEST),
        calibration(former, judged),
        calibration(head, judged),
        mean_surprise(former, judged),
        mean_surprise(head, judged),
    )
    about = {
        "errors": {
            "recipe": config.model_dump(mode="json", exclude={"processes"}),
            "views": len(pools["training"]),
            "validation_loss": found.loss,
            "ranges": pools["training"].ranges,
        }
    }
    if network is None:
        side = np.median([one["cellsize"] for one in pools["training"].about], axis=0)
        box = Box(tuple(float(one) for one in side), (1, 1, 1))
        ErrorModel.fitted(head, box, pools["training"].limits, about).write(found.path)
    else:
        assert header is not None
        provenance = {**header.provenance, **versions(), **about}
        settings = network.config.model_dump(mode="json")
        own = header.model_copy(update={"provenance": provenance, "config": settings})
        save_weights(found.path, network, own)
    write_text(folder / TABLE, _as_csv(found))
    return found


def check_errors_folder(out: str | Path, *, resume: bool) -> None:
    """Refuse a folder that holds a fit already, none that can be resumed, or files of others.

    Raises
    ------
    ValueError, FileNotFoundError
    """
    there = (Path(out) / CELLS).is_dir() and (Path(out) / CONFIG).is_file()
    if resume and not there:
        raise FileNotFoundError(f"there is no fit to resume in {out}: {CELLS} is missing")
    if there and not resume:
        raise ValueError(f"{out} already holds a fit: give resume, or choose another out")
    refuse_foreign(
        out, (CELLS, CONFIG, TABLE, BEST, MODEL), own=[CONFIG] if there else [],
        maker="truez train errors",
    )  # fmt: skip


def _started(start: str | Path | None) -> tuple[ColumnNet | None, Header | None]:
    if start is None:
        return None, None
    network, header = load_weights(start)
    if not (isinstance(network, ColumnNet) and header.local):
        raise ValueError(
            f"{start} holds no column network for uneven surveys: start from weights of a run of "
            "surveys-cpu, or leave start out to fit the errors of the redistribution"
        )
    return network, header


def _universes(pools: Mapping[Purpose, ViewPool], boxes: str | Path) -> dict[int, Path]:
    """The files of the universes of all views, by seed."""
    files = files_by_seed(boxes)
    for pool in pools.values():
        for path, about in zip(pool.paths, pool.about, strict=True):
            if about.get("universe") not in files:
                raise FileNotFoundError(
                    f"{boxes} lacks the universe of seed {about.get('universe')}, of which the "
                    f"view {path} was made: put it there, or make the views again"
                )
    return files


def _check_same(folder: Path, text: Mapping[str, Any]) -> None:
    """Refuse to resume a run with other views, weights or settings of its cells."""
    stored = read_json(folder / CONFIG, remedy="fit into another folder")
    for name, value in text.items():
        if stored.get(name) != value:
            raise ValueError(
                f"the cells in {folder} are of other {name}: resume with those of the run, or "
                "choose another folder"
            )


@dataclass(frozen=True)
class _Task:
    """A view whose cells are collected."""

    universe: Path
    view: Path
    target: Path
    choice: CellChoice
    start: str | None
    half: bool

    def __call__(self) -> None:
        estimate = None if self.start is None else _estimate(self.start, half=self.half)
        view = SurveyView.read(self.view)
        error_cells(view, _galaxies(self.universe), self.choice, estimate).write(self.target)


@lru_cache(maxsize=1)
def _galaxies(path: Path) -> Galaxies:
    return read_galaxies(path)


@lru_cache(maxsize=1)
def _estimate(start: str, *, half: bool) -> Estimate:
    network, _ = load_weights(start)
    assert isinstance(network, ColumnNet)
    use_channels_last(network)
    return network_estimate(network, lambda: half_precision("cpu", enabled=half))


def _collected(
    pools: Mapping[Purpose, ViewPool],
    files: Mapping[int, Path],
    config: ErrorsConfig,
    folder: Path,
    start: str | Path | None,
    progress: Progress,
) -> dict[Purpose, list[ErrorCells]]:
    """The cells of all views; those that the folder lacks are collected."""
    targets: dict[Purpose, list[Path]] = {}
    tasks = []
    for purpose, pool in pools.items():
        place = folder / CELLS / purpose
        place.mkdir(parents=True, exist_ok=True)
        targets[purpose] = [place / f"{path.stem}{SUFFIX}" for path in pool.paths]
        tasks += [
            _Task(
                files[about["universe"]], path, target, config.choice(purpose),
                None if start is None else str(start), config.bf16 == "everywhere",
            )
            for path, target, about in zip(pool.paths, targets[purpose], pool.about, strict=True)
            if not target.exists()
        ]  # fmt: skip
    # Universes one after the other, as each process keeps one.
    tasks.sort(key=lambda one: (one.universe, one.view))
    progress("cells of views", 0, len(tasks))
    for done in _each(tasks, config.processes):
        progress("cells of views", done, len(tasks))
    return {
        purpose: [ErrorCells.read(path) for path in paths] for purpose, paths in targets.items()
    }


def _each(tasks: Sequence[_Task], processes: int) -> Iterator[int]:
    """How many tasks have been done, after each of them."""
    if processes == 1 or not tasks:
        for number, task in enumerate(tasks, start=1):
            task()
            yield number
        return
    threads = max(1, torch.get_num_threads() // processes)
    with ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_set_threads, initargs=(threads,)
    ) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                future.result()
                yield number
        finally:
            pool.shutdown(cancel_futures=True)


def _set_threads(number: int) -> None:
    torch.set_num_threads(number)
    os.environ["NUMBA_NUM_THREADS"] = str(number)


def _as_csv(found: ErrorFit) -> str:
    names = ["kind", "head", "all", *(f"tenth_{number}" for number in range(1, PARTS + 1))]
    rows = [",".join(names)]
    for label, values in (("before", found.before), ("fitted", found.after)):
        for kind, numbers in values.items():
            rows.append(",".join([kind, label, *(f"{number:.4f}" for number in numbers)]))
    return "\n".join(rows) + "\n"
