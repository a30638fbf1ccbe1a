"""Outputs that cannot be written are refused before any work: each is tried first."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def check_output(
    path: str | Path, *, folder: bool = False, inside: Iterable[str] = (), option: str = "out"
) -> None:
    """Refuse a file or folder that could not be written.

    A temporary file is made where it would lie, or in the nearest folder that exists, and removed:
    nothing is left behind.

    Parameters
    ----------
    path : str or Path
        The output. It may exist.
    folder : bool
        Whether it is a folder.
    inside : iterable of str
        Files that will be written into it, as paths relative to the folder.
    option : str
        The argument that names it.

    Raises
    ------
    ValueError
        If it is a folder where a file is due or the reverse, lies below a file, or nothing can be
        written there.
    OSError
        If the disk is full.
    """
    target = Path(path)
    try:
        place = _nearest(target)
        _check_kind(target, place, folder=folder, option=option)
        for name in inside:
            for part in (target / inner for inner in Path(name).parents):
                if os.path.lexists(part) and not part.is_dir():
                    raise ValueError(
                        f"{part} is no folder, and files are to be written into one of that name: "
                        f"choose another folder with {option}"
                    )
        if place == target and not folder:
            _check_replaceable(target)
        there = place if place.is_dir() else target.parent
        longest = os.pathconf(there, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
        if any(len(os.fsencode(name)) > longest for name in target.parts):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(error.errno, error.strerror, str(target)) from error
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"{target} cannot be written ({reason}): give another {option}") from error


def _nearest(target: Path) -> Path:
    """The path itself if something is there, else the nearest folder above that exists."""
    for place in (target, *target.parents):
        try:
            place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        return place
    return target.parents[-1]


def _check_kind(target: Path, place: Path, *, folder: bool, option: str) -> None:
    """Refuse what is there and is not of the right kind."""
    remedy = f"give another {option}"
    if place.is_symlink() and not place.exists():
        raise ValueError(f"{place} is a link to what does not exist: {remedy}")
    if place != target:
        if not place.is_dir():
            raise ValueError(f"{place} is a file, and {target} would lie below it: {remedy}")
    elif folder:
        if not place.is_dir():
            raise ValueError(f"{target} is a file: choose a folder with {option}")
    elif place.is_dir():
        raise ValueError(f"{target} is a folder: give the name of a file with {option}")
    elif not place.is_file():
        raise ValueError(f"{target} is a device or pipe, not a file: {remedy}")


def _check_replaceable(target: Path) -> None:
    """Refuse a file that the system lets nobody replace."""
    try:
        target.open("r+b").close()
    except OSError as error:  # one without permission to write can be replaced all the same
        if error.errno in (errno.EPERM, errno.EROFS):
            raise
