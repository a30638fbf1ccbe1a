"""Outputs that cannot be written are refused before any work: each is tried first."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from truez.support.files import try_writing


def check_output(path: str | Path, *, folder: bool = False, option: str = "out") -> None:
    """Refuse a file or folder that could not be written.

    A temporary file like that of the later output is made where it would lie, and removed: nothing
    is left behind, and folders that do not exist are not made.

    Parameters
    ----------
    path : str or Path
        The output. It may exist.
    folder : bool
        Whether it is a folder.
    option : str
        The argument that names it.

    Raises
    ------
    ValueError
        If it is a folder where a file is due or the reverse, lies below a file, or nothing can be
        written there.
    """
    target = Path(path)
    remedy = f"give another {option}"
    try:
        place = next(p for p in (target, *target.parents) if os.path.lexists(p) or not p.name)
        is_folder, is_file = place.is_dir(), place.is_file()
        if not is_folder and place.is_symlink() and not place.exists():
            raise ValueError(f"{place} is a link to what does not exist: {remedy}")
        if place != target and not is_folder:
            raise ValueError(
                f"{place} is a file, so that {target} cannot be written below it: {remedy}"
            )
        if place == target and folder and not is_folder:
            raise ValueError(f"{target} is a file: choose a folder with {option}")
        if place == target and not folder and is_folder:
            raise ValueError(f"{target} is a folder: give the name of a file as {option}")
        if place == target and not folder and not is_file:
            raise ValueError(f"{target} is a device or pipe, not a file: {remedy}")
        try_writing(target, place if is_folder else target.parent)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(error.errno, error.strerror, str(target)) from error
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"{target} cannot be written ({reason}): {remedy}") from error
