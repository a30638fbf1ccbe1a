"""The first pass: what all patches share is measured on some of them, and settled.

One thing after the other, the number of patches of each shell that is asked for has its say
(`truez.sky.distributed.patch.measure_part`), and what they say together, in their order, is written
to ``settled.json``. Which patches these are depends on the partition alone.
"""

from __future__ import annotations

import json
import warnings

import numpy as np

from truez.sky.distributed.first_parts import read_part, settled_by
from truez.sky.distributed.folder import Outcome
from truez.sky.distributed.opened import OpenRun
from truez.sky.distributed.patch import measure_part, next_name
from truez.sky.distributed.survey_numbers import survey_numbers
from truez.sky.distributed.workers import Pool
from truez.sky.partition.stored import Partition
from truez.sky.patches import Patches
from truez.sky.shells import Shell
from truez.support.files import write_text
from truez.support.notes import Note
from truez.support.progress import Progress, silent

#: What says that a shell is settled, and which patches have no say.
DONE, LEFT_OUT = "done", "left_out"


def settle(run: OpenRun, pool: Pool, progress: Progress = silent) -> None:
    """Settle what all patches of a run share, or go on with it.

    Parameters
    ----------
    run : OpenRun
    pool : Pool
    progress : Progress

    Raises
    ------
    ValueError
        If no patch of a shell can be used, or no linear model describes the spectra.
    OSError
        If the disk is full, a file cannot be written, workers die, or the scheduler is lost.
    """
    shells = run.partition.patches.shells
    if not run.folder.settled.is_file():
        numbers = survey_numbers(run.measured)
        _write(run, {"surveys": numbers, "shells": [{} for _ in shells]})
    all_of = [
        first_patches(run.partition.patches, shell, run.plan.first_patches, run.partition)
        for shell in shells
    ]  # fmt: skip
    while True:
        settled = run.settled()
        found = settled["shells"]
        chosen = [
            [number for number in own if number not in one.get(LEFT_OUT, ())]
            for own, one in zip(all_of, found, strict=True)
        ]
        left = [place for place in range(len(shells)) if DONE not in found[place]]
        if not left:
            return
        paths = {
            number: run.folder.part(next_name(found[place]), number)
            for place in left for number in chosen[place]
        }  # fmt: skip
        todo = [number for number, path in paths.items() if not path.is_file()]
        done = len(paths) - len(todo)
        lost: list[int] = []
        for outcome in pool.run(measure_part, str(run.folder.path), todo):
            if outcome.error is not None:
                _left_out(outcome)
                run.folder.write_failure(outcome.number, outcome.error)
                lost.append(outcome.number)
            done += 1
            progress("first pass", done, len(paths))
        for place in left:
            own = [number for number in chosen[place] if number not in lost]
            if not own:
                raise ValueError(
                    f"all patches of the first pass failed, patch {lost[0]} as "
                    f"{run.folder.read_failure(lost[0])}"
                )
            if lost:
                found[place][LEFT_OUT] = sorted({*found[place].get(LEFT_OUT, []), *lost})
            parts = [read_part(paths[number]) for number in own]
            found[place] |= settled_by(parts, run.shared.surveys, shells[place]) or {DONE: True}
        _write(run, settled)


def first_patches(
    patches: Patches, shell: Shell, most: int, partition: Partition | None = None
) -> list[int]:
    """The patches of a shell that what all share is measured on, evenly among the fuller half.

    Parameters
    ----------
    patches : Patches
    shell : Shell
    most : int
        Where there are no more patches, all of them are.
    partition : Partition, optional
        By which it is known how full they are; else the larger ones are taken.
    """
    own = [patch for patch in patches if patch.shell is shell]
    if len(own) <= most:
        return [patch.number for patch in own]
    counts = None
    if partition is not None:
        counts = partition.core_counts("spec") or partition.core_counts("photo")
    if counts is None:  # of HATS catalogues: the area of the cores
        sizes = np.array([float(patch.core_sight_lines.sum()) for patch in own])
    else:
        sizes = np.asarray(counts, np.float64)[[patch.number for patch in own]]
    fuller = np.flatnonzero(sizes >= np.median(sizes))
    places = np.floor((np.arange(most) + 0.5) * len(fuller) / most).astype(int)
    return [own[fuller[place]].number for place in np.unique(places)]


def is_settled(run: OpenRun) -> bool:
    """Whether the first pass has ended."""
    return run.folder.settled.is_file() and all(DONE in one for one in run.settled()["shells"])


def _left_out(outcome: Outcome) -> None:
    """Note that a patch has no say, for its galaxies; raise what has another reason."""
    outcome.raise_full()
    if not outcome.is_data:
        kind = OSError if outcome.is_system else RuntimeError
        raise kind(f"patch {outcome.number} failed in the first pass: {outcome.error}")
    warnings.warn(
        f"patch {outcome.number} has no part in the first pass: {outcome.error}", Note, stacklevel=3
    )


def _write(run: OpenRun, settled: dict[str, object]) -> None:
    write_text(run.folder.settled, json.dumps(settled))
