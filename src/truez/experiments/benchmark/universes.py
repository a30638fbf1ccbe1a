"""Universes of a benchmark, simulated or given, and mock surveys of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from truez.experiments.benchmark.settings import Job, Setting
from truez.mesh.box import Box
from truez.simulate import (
    catalog_from_galaxies,
    files_by_seed,
    observe,
    read_box,
    read_density,
    read_galaxies,
)
from truez.support.progress import Progress
from truez.surveys.mock import Mock


def universe_file(seed: int) -> str:
    """Path of a simulated universe in the folder of the run."""
    return f"universes/{seed}.h5"


def catalogues(job: Job) -> dict[int, Path]:
    """Path of the catalogue of each seed; without given catalogues they are still to be made.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no folder of catalogues or no universe of a seed in it; if the boxes differ, or
        hold fewer galaxies than a survey.
    """
    if job.boxes is None:
        return {seed: job.folder / universe_file(seed) for seed in job.seeds}
    found = files_by_seed(job.boxes)
    for seed in job.seeds:
        if seed not in found:
            raise FileNotFoundError(
                f"{job.boxes} holds no universe of seed {seed}: make it with truez simulate "
                f"--seed {seed}, or take other seeds"
            )
        box, first = read_box(found[seed]), read_box(found[job.seeds[0]])
        if box != first:
            raise ValueError(
                f"{found[seed]} is a box of {box}, and {found[job.seeds[0]]} one of {first}: take "
                "boxes of one size"
            )
        _check_density(found[seed], box, job)
    return {seed: found[seed] for seed in job.seeds}


def _check_density(path: Path, box: Box, job: Job) -> None:
    """Refuse a universe that states a smaller density than a setting needs."""
    density = read_density(path)
    if density is None:
        return
    for setting in job.settings:
        if setting.world is not None:
            continue
        try:
            setting.surveys.check(round(density * box.volume), box.volume)
        except ValueError as error:
            raise ValueError(
                f"{path} does not do for the setting {setting.name}, whose {error}"
            ) from None


def box_of(job: Job, setting: Setting | None = None) -> Box:
    """The box of every universe, or of those of a setting, with the mesh of the fields."""
    if setting is not None and setting.world is not None:
        return setting.world.box
    box = job.universe.box if job.boxes is None else read_box(catalogues(job)[job.seeds[0]])
    return Box.from_cellsize(box.boxsize, job.cellsize)


def make_universe(job: Job, seed: int, progress: Progress) -> None:
    """Simulate a universe into its file."""
    galaxies = job.universe.with_seed(seed).make(device=job.device, progress=progress)
    catalog_from_galaxies(galaxies).write(job.folder / universe_file(seed))


def make_mock(job: Job, setting: Setting, seed: int, catalogue: Path | None) -> Mock:
    """The two surveys of a universe, the same in every run; ``catalogue`` is that of its seed."""
    if setting.world is not None:
        return setting.world.observe(seed).mock
    assert catalogue is not None
    galaxies = read_galaxies(catalogue)
    # Two more numbers separate this stream from those of training and validation.
    rng = np.random.default_rng([seed, setting.stream, 0, 6])
    return observe(galaxies, setting.surveys, rng, cellsize=job.cellsize)
