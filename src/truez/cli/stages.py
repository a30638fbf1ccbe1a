"""What the commands that work in stages print: the state of each stage, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from truez.experiments.records import Record
    from truez.experiments.stages import Need, Stage

#: Share of the estimated memory and disk that stages are sure to take.
SURE = 0.75


def clock(seconds: float) -> str:
    """``4.2 s``, ``12 min``, ``3 h 05 min`` or ``12 days``."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours / 24:.0f} days"
    return f"{hours} h {rest:02} min" if hours else f"{minutes} min"


def report(name: str, record: Record, ran: bool) -> None:
    """Print that a stage has run or was skipped, a `truez.experiments.stages.Report`."""
    from truez.support.memory import in_words

    took = f"{clock(record.seconds)}, {in_words(record.peak_memory)}"
    state = f"done in {took}" if ran else f"unchanged since {record.finished} ({took})"
    typer.echo(f"{name}: {state}", err=True)


def kept(before: Path, after: Path) -> None:
    """Print that the files of a stage were moved aside, a `truez.experiments.stages.Kept`."""
    typer.echo(
        f"{before}: its settings or its data have changed, or its stage did not write it; what was "
        f"there is now {after}",
        err=True,
    )


def still_to_do(
    folder: Path, stages: Sequence[Stage], needs: Mapping[str, Need]
) -> dict[str, Need]:
    """The needs of the stages that will run, by name."""
    from truez.experiments.stages import up_to_date

    done = up_to_date(folder, stages)
    return {name: need for name, need in needs.items() if name not in done}


def check_room(folder: Path, stages: Sequence[Stage], *, device: str) -> None:
    """Refuse a run whose stages certainly take more memory or disk than is free.

    The memory is that of the machine, where the stages run on its processors.
    """
    from truez.experiments.costs import LIBRARIES
    from truez.experiments.stages import needs
    from truez.support import memory
    from truez.support.disk import free_disk

    left = still_to_do(folder, stages, needs(stages))
    if not left:
        return
    name, need = max(left.items(), key=lambda item: item[1].memory)
    free = memory.available_memory()
    # This process has loaded the libraries.
    if device == "cpu" and SURE * (need.memory - LIBRARIES) > free:
        raise ValueError(
            f"stage {name} takes about {memory.in_words(need.memory - LIBRARIES)} of memory, and "
            f"{memory.in_words(free)} are free: {need.remedy}"
        )
    disk = sum(need.disk for need in left.values())
    disk += max(need.temporary for need in left.values())
    room = free_disk(folder)
    if SURE * disk > room:
        raise ValueError(
            f"the run takes about {memory.in_words(disk)} of disk, and {memory.in_words(room)} are "
            "free: free some or choose another --out"
        )


def show_needs(title: str, needs: Mapping[str, Need], left: Mapping[str, Need]) -> None:
    """Print a table of all stages, with the sum of those that are left."""
    from truez.cli.tables import show
    from truez.evaluate.tables import Table
    from truez.support.memory import in_words

    rows = [
        (
            name,
            clock(need.seconds) if name in left else "done",
            in_words(need.memory),
            in_words(need.disk),
        )
        for name, need in needs.items()
    ]
    total = (
        "all that is left",
        clock(sum(need.seconds for need in left.values())),
        in_words(max((need.memory for need in left.values()), default=0)),
        in_words(sum(need.disk for need in left.values())),
    )
    columns = ("stage", "time, about", "memory at the peak", "disk")
    show([Table(title, columns, (*rows, total), frozenset())])
