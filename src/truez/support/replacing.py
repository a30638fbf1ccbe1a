"""A folder of a result that is made in many steps, and replaces an older one when it is whole.

The new result is made in a folder in that of the old one, where a command that was ended goes on.
When it is whole that folder gets another name, the old result is removed, the folder gets a third
name, and its files are moved into place, last that by which the result is known. A process that is
killed at any of this leaves what the next one ends; in between nothing reads the folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from truez.support.folders import is_of_another, note_written
from truez.support.temporaries import remove

#: The folder of a new result: while it is made, when it is whole, and while its files are moved.
NEXT, _READY, _MOVING = ".truez-next", ".truez-ready", ".truez-moving"


def next_folder(folder: str | Path) -> Path:
    """Where the result is made that will replace the one in a folder."""
    return Path(folder) / NEXT


def refuse_replaced(folder: str | Path, command: str) -> None:
    """Raise a ValueError if the result in a folder is neither the old nor the new one.

    Parameters
    ----------
    folder : str or Path
    command : str
        That ends the move.
    """
    if any((Path(folder) / name).is_dir() for name in (_READY, _MOVING)):
        raise ValueError(
            f"the new result in {folder} is not in its place yet: run {command} again, which ends "
            "the move"
        )


def put_in_place(folder: str | Path, names: Sequence[str], *, last: str) -> None:
    """Replace the result in a folder by that of its `next_folder`, which is whole.

    Parameters
    ----------
    folder : str or Path
    names : sequence of str
        Patterns of the files and folders of the old result, but for ``last``.
    last : str
        The file by which the result is known.

    Raises
    ------
    ValueError
        If another program has made one of the files meanwhile.
    """
    target = Path(folder)
    for path in _files(target, [*names, last]):
        if is_of_another(path):
            raise ValueError(
                f"{path} was made by another program while this one ran, and is left as it is: "
                f"what would have replaced it is in {next_folder(target)}"
            )
    next_folder(target).rename(target / _READY)
    end_replacing(target, names, last=last)


def end_replacing(folder: str | Path, names: Sequence[str], *, last: str) -> bool:
    """End what `put_in_place` has begun, and return whether there was anything to do."""
    target = Path(folder)
    ready, moving = target / _READY, target / _MOVING
    if not (ready.is_dir() or moving.is_dir()):
        return False
    if ready.is_dir():
        for pattern in names:
            for path in list(target.glob(pattern)):
                remove(path)
        ready.rename(moving)
    # By the last one the folder is known, so that the old one is there until it is replaced.
    for path in sorted(moving.iterdir(), key=lambda path: path.name == last):
        inside = [path.relative_to(moving)] if path.is_file() else [
            found.relative_to(moving) for found in path.rglob("*") if found.is_file()
        ]  # fmt: skip
        path.replace(target / path.name)
        for name in inside:
            note_written(target / name)
    moving.rmdir()
    return True


def _files(target: Path, names: Sequence[str]) -> Iterator[Path]:
    for pattern in names:
        for path in target.glob(pattern):
            yield from (path,) if path.is_file() else filter(Path.is_file, path.rglob("*"))
