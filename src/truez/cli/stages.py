"""What the commands that work in stages tell of them: what is done, and what it will take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from truez.experiments.paper.estimate import Need
    from truez.experiments.stages import Record, Stage


def clock(seconds: float) -> str:
    """``4.2 s``, ``12 min``, ``3 h 05 min`` or ``12 days``."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours / 24:.0f} days"
    return f"{hours} h {rest:02} min" if hours else f"{minutes} min"


def tell(name: str, record: Record, again: bool) -> None:
    """Say that a stage is done or stands, as `truez.experiments.stages.run_stages` wants it."""
    from truez.cli.machine import in_words

    took = f"{clock(record.seconds)}, {in_words(record.peak_memory)}"
    state = f"done in {took}" if again else f"stands since {record.finished} ({took})"
    typer.echo(f"{name}: {state}", err=True)


def still_to_do(folder: Path, stages: Sequence[Stage], needs: Sequence[Need]) -> list[Need]:
    """The needs of the stages that do not stand."""
    from truez.experiments.stages import standing

    stand = standing(folder, list(stages))
    return [need for need in needs if need.name not in stand]


def check_memory(left: Sequence[Need]) -> None:
    """Refuse stages that take more memory than is free."""
    from truez.cli.machine import free_memory, in_words

    if not left:
        return
    worst = max(left, key=lambda need: need.memory)
    free = free_memory()
    if worst.memory > free:
        raise ValueError(
            f"stage {worst.name} takes about {in_words(worst.memory)} of memory, and "
            f"{in_words(free)} are free: {worst.mend}"
        )


def show_needs(title: str, needs: Sequence[Need], left: Sequence[Need]) -> None:
    """A table of all stages, with the sum of those that are left."""
    from truez.cli.machine import in_words
    from truez.cli.tables import show
    from truez.evaluate.tables import Table

    names = {need.name for need in left}
    rows = [
        (
            need.name,
            clock(need.seconds) if need.name in names else "stands",
            in_words(need.memory),
            in_words(need.disk),
        )
        for need in needs
    ]
    total = (
        "all that is left",
        clock(sum(need.seconds for need in left)),
        in_words(max((need.memory for need in left), default=0)),
        in_words(sum(need.disk for need in left)),
    )
    columns = ("stage", "time, about", "memory at the peak", "disk")
    show([Table(title, columns, (*rows, total), frozenset())])
