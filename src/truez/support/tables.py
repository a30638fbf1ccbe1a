"""Paths that choose one table of a file: ``photo.fits#SGC`` or ``photo.fits#2``."""

from __future__ import annotations

from pathlib import Path


def split_table(path: str | Path) -> tuple[Path, str | None]:
    """The file of a path and the table that it chooses, None where it chooses none.

    Files whose own name holds ``#`` are themselves.
    """
    place = Path(path)
    if "#" not in place.name or place.exists():
        return place, None
    name, _, table = place.name.rpartition("#")
    return place.with_name(name), table
