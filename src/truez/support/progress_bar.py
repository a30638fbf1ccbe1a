"""Progress on stderr: a bar for work of more than two seconds.

rich draws it, and is imported when the first bar is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from truez.support.printable import printable
from truez.support.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

#: A bar appears when its work has lasted this long [s].
PATIENCE = 2.0
#: Where stderr is no terminal (a log file), a line is written this often instead [s].
LOG_INTERVAL = 60.0


@dataclass
class _Task:
    started: float
    first: int
    bar: TaskID | None = None
    logged: float = field(default=0.0)


class BarProgress:
    """A `truez.support.progress.Progress` that draws on a console; `progress_bar` makes one.

    Parameters
    ----------
    console : rich.console.Console
    clock : function
        The time [s].
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Bars

        self._console = console
        self._clock = clock
        self._tasks: dict[str, _Task] = {}
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            console=console,
            transient=True,
        )

    def __call__(self, task: str, done: int, total: int | None, note: str = "") -> None:
        """Show the state of ``task``; its bar is removed when ``done`` reaches ``total``."""
        now = self._clock()
        known = self._tasks.get(task)
        if known is None or done < known.first:
            self._finish(task)
            known = self._tasks[task] = _Task(started=now, first=done, logged=now)
        if total is not None and done >= total:
            self._finish(task)
            return
        if now - known.started < PATIENCE:
            return
        words = (_count(done, total), _left(known, now, done, total), printable(note))
        state = "  ".join(filter(None, words))
        if not self._console.is_terminal:
            if now - known.logged >= LOG_INTERVAL:
                known.logged = now
                line = f"{task}  {state}"
                self._console.print(line, highlight=False, markup=False, soft_wrap=True)
            return
        if known.bar is None:
            self._bars.start()
            known.bar = self._bars.add_task(task, total=total, state=state)
        self._bars.update(known.bar, completed=done, total=total, state=state)

    def close(self) -> None:
        """Remove every bar."""
        self._tasks.clear()
        if self._bars.live.is_started:
            self._bars.stop()

    def _finish(self, task: str) -> None:
        known = self._tasks.pop(task, None)
        if known is not None and known.bar is not None:
            self._bars.remove_task(known.bar)


def _count(done: int, total: int | None) -> str:
    return f"{done}" if total is None else f"{done}/{total}"


def _left(task: _Task, now: float, done: int, total: int | None) -> str:
    """Time left at the mean speed so far; pieces done before we started do not count."""
    if total is None or done <= task.first:
        return ""
    seconds = round((now - task.started) * (total - done) / (done - task.first))
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    clock = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{clock} left"


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Progress that is drawn on stderr, a bar for each piece of work of more than two seconds.

    Where stderr is no terminal (a log file), a line is written every minute instead.

    Yields
    ------
    Progress
        A callback for the ``progress`` argument of any function of truez.

    Examples
    --------
    >>> from truez import progress_bar
    >>> with progress_bar() as progress:
    ...     progress("painting", 1, 1)
    """
    from rich.console import Console

    bars = BarProgress(Console(stderr=True))
    try:
        yield bars
    finally:
        bars.close()
