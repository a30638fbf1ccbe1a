"""The first pass: what all patches share is measured on some of them, and settled.

One thing after the other, the number of patches of each shell that is asked for has its say
(`truez.sky.distributed.patch.measure_part`), and what they say together, in their order
(`fit_parts`), is written to ``settled.json``. Which patches these are depends on the partition
alone.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from truez.sky.distributed.first_parts import LEFT_OUT, next_name, read_part, settled_by
from truez.sky.distributed.folder import Outcome
from truez.sky.distributed.opened import OpenRun
from truez.sky.distributed.patch import measure_part
from truez.sky.distributed.survey_numbers import survey_numbers
from truez.sky.distributed.workers import Pool
from truez.sky.partition.stored import Partition
from truez.sky.patches import Patches
from truez.sky.settled import LAST
from truez.sky.shells import Shell
from truez.support.documents import read_json, section
from truez.support.files import write_text
from truez.support.notes import Note, kept_notes
from truez.support.progress import Progress, silent

#: What says that a shell is settled.
DONE = "done"
_AGAIN = "remove it, and run the command again"


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
    while True:
        settled = run.settled()
        found = settled["shells"]
        left = [place for place in range(len(shells)) if DONE not in found[place]]
        if not left:
            return
        all_lost = _measured(run, pool, {place: found[place] for place in left}, progress)
        for place, lost in all_lost.items():
            found[place][LEFT_OUT] = sorted({*found[place].get(LEFT_OUT, []), *lost})
        if all_lost:
            _write(run, settled)  # for `fit_parts`
        for place, numbers in _fitted(run, pool, {place: found[place] for place in left}).items():
            found[place] |= numbers
            if LAST in numbers or not numbers:
                found[place][DONE] = True
        _write(run, settled)


def fit_parts(folder: str, place: int) -> None:
    """Write what the parts of the patches of a shell settle together.

    Parameters
    ----------
    folder : str
        Of the run.
    place : int
        Of the shell.

    Raises
    ------
    ValueError
        If no linear model describes the spectra, or a file is damaged.
    """
    run = OpenRun.open(folder)
    numbers = run.settled()["shells"][place]
    name, shell = next_name(numbers), run.partition.patches.shells[place]
    with kept_notes() as notes:
        parts = [read_part(run.folder.part(name, one)) for one in _with_say(run, place, numbers)]
        found = settled_by(parts, run.shared.surveys, shell)
    write_text(run.folder.fit(name, place), json.dumps({"found": found, "notes": list(notes)}))


def _measured(
    run: OpenRun, pool: Pool, left: Mapping[int, Mapping[str, Any]], progress: Progress
) -> dict[int, list[int]]:  # fmt: skip
    """Have patches measure their parts; those that failed, of the shells that have some."""
    chosen = {place: _with_say(run, place, numbers) for place, numbers in left.items()}
    paths = {
        number: run.folder.part(next_name(numbers), number)
        for place, numbers in left.items() for number in chosen[place]
    }  # fmt: skip
    todo = run.largest_first([number for number, path in paths.items() if not path.is_file()])
    done, lost = len(paths) - len(todo), set[int]()
    for outcome in pool.run(measure_part, str(run.folder.path), todo):
        if outcome.error is not None:
            _left_out(outcome)
            run.folder.write_failure(outcome.number, outcome.error)
            lost.add(outcome.number)
        done += 1
        progress("first pass", done, len(paths))
    all_lost = {place: sorted(lost & {*chosen[place]}) for place in left}
    for place, own in all_lost.items():
        if len(own) == len(chosen[place]):
            raise ValueError(
                f"all patches of the first pass failed, patch {own[0]} as "
                f"{run.folder.read_failure(own[0])}"
            )
    return {place: own for place, own in all_lost.items() if own}


def _fitted(
    run: OpenRun, pool: Pool, left: Mapping[int, Mapping[str, Any]]
) -> dict[int, dict[str, Any]]:  # fmt: skip
    """What the parts of shells settle."""
    for outcome in pool.run(fit_parts, str(run.folder.path), list(left)):
        outcome.raise_full()
        if outcome.error is not None:
            raise outcome.kind(outcome.error)
    fits = {}
    for place, numbers in left.items():
        path = run.folder.fit(next_name(numbers), place)
        about = section(
            read_json(path, remedy=_AGAIN), str(path), keys=("found", "notes"), remedy=_AGAIN
        )
        for text in about["notes"]:
            warnings.warn(text, Note, stacklevel=4)
        fits[place] = about["found"]
    return fits


def _with_say(run: OpenRun, place: int, numbers: Mapping[str, Any]) -> list[int]:
    """The patches that a shell is measured on, without those that are left out."""
    patches = run.partition.patches
    own = first_patches(patches, patches.shells[place], run.plan.first_patches, run.partition)
    return [number for number in own if number not in numbers.get(LEFT_OUT, ())]


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
        raise outcome.kind(f"patch {outcome.number} failed in the first pass: {outcome.error}")
    warnings.warn(
        f"patch {outcome.number} has no part in the first pass: {outcome.error}", Note, stacklevel=3
    )


def _write(run: OpenRun, settled: dict[str, object]) -> None:
    write_text(run.folder.settled, json.dumps(settled))
