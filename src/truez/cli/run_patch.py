"""``truez run-patch``: one patch of a run, or some, as a job of a batch system makes them."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from truez.cli.errors import quoted
from truez.cli.options import MACHINE, existing, option

#: Variables by which batch systems number the jobs of an array.
_INDEX = ("SLURM_ARRAY_TASK_ID", "PBS_ARRAY_INDEX", "PBS_ARRAYID", "SGE_TASK_ID", "LSB_JOBINDEX",
          "AWS_BATCH_JOB_ARRAY_INDEX")  # fmt: skip


def run_patch(
    folder: Annotated[
        str, typer.Argument(help="Folder of --plan.", **existing("folder of a run", folder=True))
    ],
    patches: Annotated[
        str | None,
        typer.Argument(
            help="Patches, such as 12, 3-7 or 0,4,8-11; by default the number of the job in its "
            "array (SLURM, PBS, SGE, LSF, AWS Batch)."
        ),
    ] = None,
    *,
    jobs: Annotated[
        int | None,
        option(MACHINE, "Divide all patches among so many jobs, of which PATCHES is the number of "
               "this one, from 0.", min=1),
    ] = None,
    threads: Annotated[
        int | None, option(MACHINE, "Threads; by default all that the job may use.", min=1)
    ] = None,
) -> None:  # fmt: skip
    """Make patches of a run that `truez run PARTITION --plan FOLDER` has planned.

    Patches that have been made are left as they are, so that a job can be run again. Each is the
    same whatever makes it. Two examples, the second one in a job of an array of 64:

    `truez run-patch run 12`

    `truez run-patch run --jobs 64`
    """
    import torch

    from truez.cli.partition_run import fail
    from truez.sky.distributed.driver import make_patches
    from truez.sky.distributed.first_pass import is_settled
    from truez.sky.distributed.opened import OpenRun
    from truez.sky.distributed.workers import OwnProcess
    from truez.support.progress_bar import progress_bar

    if threads is not None:
        torch.set_num_threads(threads)
    text = patches if patches is not None else _from_environment()
    run = OpenRun.open(folder)
    if not is_settled(run):
        raise ValueError(
            f"the first pass of {folder} has not ended: run truez run PARTITION --plan "
            f"{folder} again, which goes on"
        )
    total = len(run.partition)
    numbers = _numbers(text, jobs or total)
    if jobs is not None:
        numbers = [number for job in numbers for number in range(job, total, jobs)]
    with progress_bar() as progress:
        failed = make_patches(run, OwnProcess(progress), numbers, progress)
    typer.echo(f"{folder}: {len(numbers) - len(failed)} of {total} patches are made by this job")
    fail(failed, len(numbers), "correct what they name, and run the job again")


def _from_environment() -> str:
    """The number of the job in its array."""
    for name in _INDEX:
        if os.environ.get(name, "").strip():
            return os.environ[name]
    raise ValueError(
        "run-patch needs PATCHES, such as 12 or 3-7, outside of an array of jobs: name the patches"
    )


def _numbers(text: str, total: int) -> list[int]:
    """The whole numbers of ``3``, ``3-7`` or ``0,4,8-11``, each below a total."""
    found: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        ends = [first, last] if dash else [first, first]
        if not all(word.isdecimal() for word in ends) or int(ends[0]) > int(ends[1]):
            raise ValueError(
                f"PATCHES must be numbers and ranges such as 0,4,8-11, not {quoted(text)}"
            )
        if int(ends[1]) >= total:
            raise ValueError(f"PATCHES must be from 0 to {total - 1}, not {quoted(text)}")
        found |= dict.fromkeys(range(int(ends[0]), int(ends[1]) + 1))
    return list(found)
