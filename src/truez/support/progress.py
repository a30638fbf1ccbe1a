"""Progress of library code: one callback, which `truez.progress_bar` draws."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as ``progress(task, done, total, note)`` whenever a piece of long work is done.

    ``task`` names the work in words, ``done`` and ``total`` count its pieces (``total`` may be
    ``None`` where it is not known), ``note`` is a short state to show, such as a loss.
    """

    def __call__(self, task: str, done: int, total: int | None, note: str = "") -> None: ...


def silent(task: str, done: int, total: int | None, note: str = "") -> None:
    """Report nothing: the default of every library function."""
