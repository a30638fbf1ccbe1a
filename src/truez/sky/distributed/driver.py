"""A run from its beginning to its last patch, or on from where it was ended."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truez.mesh.memory import VALUE
from truez.sky.core import Core
from truez.sky.distributed.first_pass import settle
from truez.sky.distributed.folder import FILE, NAMES, PATCHES, Outcome, RunFolder
from truez.sky.distributed.opened import OpenRun
from truez.sky.distributed.patch import make_patch
from truez.sky.distributed.patch_pdfs import pdf_bytes
from truez.sky.distributed.run_plan import (
    FIRST_PATCHES,
    GivenSurveys,
    RunPlan,
    Wanted,
    digest_of,
    file_digest,
    weights_of,
)
from truez.sky.distributed.worker_memory import worker_memory
from truez.sky.distributed.workers import Pool
from truez.sky.partition.shared import SharedSurveys
from truez.sky.partition.stored import Partition
from truez.sky.plan import check_start, choose
from truez.sky.quantiles import some_levels
from truez.sky.registry import METHODS, check_moves
from truez.support.disk import check_disk
from truez.support.folders import note_written
from truez.support.memory import check_memory
from truez.support.notes import Note
from truez.support.progress import Progress, silent
from truez.support.replacing import NEXT, end_replacing, next_folder, put_in_place
from truez.support.temporaries import remove

#: Bytes of the redshifts of a galaxy.
REDSHIFT_BYTES = 80
#: Sentences of patches that are shown.
MOST_NOTES = 20


@dataclass(frozen=True)
class Prepared:
    """What a run will do, and the surveys as a whole."""

    plan: RunPlan
    partition: Partition
    shared: SharedSurveys


def prepare(
    partition: str | Path, surveys: GivenSurveys, method: str | None = None, *,
    settings: Mapping[str, Any] | None = None, wanted: Wanted | None = None,
    first_patches: int = FIRST_PATCHES, device: str = "cpu", progress: Progress = silent,
) -> Prepared:  # fmt: skip
    """What a run is to do, with what is known before the work refused.

    Parameters
    ----------
    partition : str or Path
        Its folder.
    surveys : GivenSurveys
    method : str, optional
        As of `truez.sky.reconstruct.reconstruct`.
    settings : mapping, optional
        Those of the method.
    wanted : Wanted, optional
    first_patches : int
        Patches of a shell that what all share is measured on.
    device : str
        Where a network runs.
    progress : Progress

    Raises
    ------
    ValueError
        If the method does not serve the surveys or the halo of the partition, or a column is
        missing.
    FileNotFoundError
        If there is no partition.
    """
    own, what = dict(settings or {}), wanted or Wanted()
    if own.get("weights") is not None:  # workers are in other folders
        own["weights"] = str(Path(own["weights"]).resolve())
    if first_patches < 1:
        raise ValueError(f"first_patches must be at least 1, not {first_patches!r}")
    if not 0 < what.interval < 1:
        raise ValueError(f"interval must be between 0 and 1, not {what.interval!r}")
    some_levels(what.quantiles)  # their number is refused first
    divided = Partition.open(partition)
    if what.pdf and not what.redshifts:
        raise ValueError("p(z) are made beside redshifts: make redshifts, too")
    if method is not None and what.redshifts:
        check_moves(method)
    shared = surveys.measured(divided, progress)
    halo = divided.plan.settings.halo
    note: str | None = None
    if method is None and halo < METHODS["columns"].halo:
        method = "redistribution"
        note = f"method {method} is used: patches have a halo of {halo:g} Mpc/h"
        warnings.warn(note, Note, stacklevel=2)
    if method is not None and method in METHODS and halo < METHODS[method].halo:
        raise ValueError(
            f"method {method} needs a halo of {METHODS[method].halo:g} Mpc/h, and the partition "
            f"has {halo:g}: choose method redistribution, or make it again with that --halo"
        )
    if method is None:
        chosen = choose(shared.surveys, divided.patches, device=device, **own)
        method, note = chosen.method, chosen.note
    else:
        check_start(shared.surveys, method, divided.patches, device=device, **own)
    weights = weights_of(method, own)
    plan = RunPlan(
        str(Path(partition).resolve()), digest_of(divided), surveys, method, own, what,
        first_patches, device, note, None if weights is None else file_digest(weights),
    )  # fmt: skip
    return Prepared(plan, divided, shared)


def begin(
    folder: str | Path, prepared: Prepared, *, workers: int = 1, overwrite: bool = False
) -> OpenRun:
    """Begin a run in a folder, or take the one that is there.

    Parameters
    ----------
    folder : str or Path
    prepared : Prepared
    workers : int
        That work on this machine at a time.
    overwrite : bool
        Whether a run that is there is replaced, by `finished`, when the one that is begun is whole.
        Until then that is in the folder ``.truez-next`` in it.

    Raises
    ------
    ValueError
        If the folder holds another run, or memory or disk do not do.
    """
    own, plan = RunFolder(Path(folder).absolute()), prepared.plan
    was_ended = end_replacing(own.path, NAMES, last=FILE)
    if overwrite and own.is_begun() and not (was_ended and _is_same(plan, own)):
        own = RunFolder(next_folder(own.path))
        if own.path.is_dir() and not _is_same(plan, own):
            remove(own.path)
    elif own.is_begun():
        plan.check_same(RunPlan.read(own), own)
    check_room(own, prepared, workers)
    if not own.is_begun():
        plan.write(own)
    return OpenRun.open(own.path, prepared.shared)


def finished(run: OpenRun) -> OpenRun:
    """The run at its place: one that was begun beside an older one now replaces it."""
    path = run.folder.path
    if path.name != NEXT:
        return run
    put_in_place(path.parent, NAMES, last=FILE)
    return OpenRun.open(path.parent, run.known)


def _is_same(plan: RunPlan, folder: RunFolder) -> bool:
    """Whether a folder holds a run of a plan."""
    try:
        plan.check_same(RunPlan.read(folder), folder)
    except (ValueError, FileNotFoundError):
        return False
    return True


def check_room(folder: RunFolder, prepared: Prepared, workers: int) -> None:
    """Refuse a run for which memory or disk do not do."""
    method = METHODS[prepared.plan.method]
    how = method.settings(**prepared.plan.settings)
    partition = prepared.partition
    largest = worker_memory(
        partition.patches, prepared.plan.method, how, partition.num_rows("photo"), partition
    )
    check_memory(
        workers * largest, f"{workers} workers at a time, each on a patch," if workers > 1 else
        "the largest patch", "give fewer workers, or make the partition with fewer --max-cells",
    )  # fmt: skip
    check_disk(disk_of(prepared, folder), folder.path)


def disk_of(prepared: Prepared, folder: RunFolder | None = None) -> float:
    """Disk of what is not there yet of a run [bytes]."""
    plan, wanted = prepared.plan, prepared.plan.wanted
    method = METHODS[plan.method]
    how = method.settings(**plan.settings)
    patches = [
        patch for patch in prepared.partition.patches
        if folder is None or not folder.is_whole(patch.number)
    ]  # fmt: skip
    size = 0.0
    if wanted.field:
        size += VALUE * sum(
            Core(patch).box.num_cells * method.written(patch, how) for patch in patches
        )
    if wanted.redshifts:
        share = len(patches) / len(prepared.partition)
        size += bytes_of_galaxy(wanted) * prepared.partition.num_rows("photo") * share
    return size


def bytes_of_galaxy(wanted: Wanted) -> int:
    """Disk of the redshifts of a galaxy, and of its p(z) [bytes]."""
    return REDSHIFT_BYTES + (pdf_bytes(wanted.quantiles) if wanted.pdf else 0)


def make_patches(
    run: OpenRun, pool: Pool, numbers: Sequence[int] | None = None, progress: Progress = silent
) -> list[Outcome]:
    """Make the patches of a run that are not there yet, and return those that have failed.

    Parameters
    ----------
    run : OpenRun
    pool : Pool
    numbers : sequence of int, optional
        Of the patches; all by default.
    progress : Progress

    Raises
    ------
    OSError
        If the disk is full, the scheduler is lost, or another program removes files of the run.
    """
    run.plan.check_weights(run.folder)
    settle(run, pool, progress)
    wanted = range(len(run.partition)) if numbers is None else numbers
    todo = run.largest_first([number for number in wanted if not run.folder.is_whole(number)])
    done, failed = len(wanted) - len(todo), list[Outcome]()
    progress("patches", done, len(wanted))
    for outcome in pool.run(make_patch, str(run.folder.path), todo):
        outcome.raise_full()
        if outcome.error is not None:
            run.folder.write_failure(outcome.number, outcome.error)
            failed.append(outcome)
        else:  # by a process of this run, though not by this one
            note_written(run.folder.record(outcome.number))
        done += 1
        progress("patches", done, len(wanted))
    known = {outcome.number for outcome in failed}
    if any(number not in known and not run.folder.is_whole(number) for number in wanted):
        raise FileNotFoundError(
            f"files of {run.folder.path} were removed in the meantime: run the command again"
        )
    show_notes(run, wanted)
    return sorted(failed, key=lambda one: one.number)


def show_notes(run: OpenRun, numbers: Sequence[int]) -> None:
    """Show what was noted while patches were made, each sentence once, with their numbers."""
    found: dict[str, list[int]] = {}
    for number in sorted(numbers):
        if run.folder.is_whole(number):
            for text in run.folder.read_record(number).get("notes", ()):
                found.setdefault(text, []).append(number)
    # What concerns most patches first.
    texts = sorted(found, key=lambda text: -len(found[text]))
    for text in texts[:MOST_NOTES]:
        patches = f"patch{'' if len(found[text]) == 1 else 'es'} {in_ranges(found[text])}"
        warnings.warn(f"{patches}: {text}", Note, stacklevel=3)
    if len(texts) > MOST_NOTES:
        warnings.warn(
            f"{len(texts) - MOST_NOTES} more notes are in the files of {run.folder.path / PATCHES}",
            Note, stacklevel=3,
        )  # fmt: skip


def in_ranges(numbers: Sequence[int], most: int = 10) -> str:
    """Ascending numbers in words, a number of ranges of them at the most.

    Examples
    --------
    >>> from truez.sky.distributed.driver import in_ranges
    >>> in_ranges([0, 1, 2, 5, 7, 8])
    '0-2,5,7-8'
    >>> in_ranges([1, 3, 5, 7], most=2)
    '1,3 and 2 more'
    """
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    left = len(numbers) - sum(one[-1] - one[0] + 1 for one in ranges[:most])
    words = ",".join("-".join(map(str, one)) for one in ranges[:most])
    return words if not left else f"{words} and {left} more"


def missing_patches(run: OpenRun) -> list[Outcome]:
    """The patches of a run that are not there, with the reasons of those that have failed."""
    return [
        Outcome(number, run.folder.read_failure(number) or "it has not been worked on")
        for number in range(len(run.partition)) if not run.folder.is_whole(number)
    ]  # fmt: skip
