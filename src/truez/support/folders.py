"""Outputs that are truez's own: files of others are not replaced, and one run writes at a time."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

if sys.platform != "win32":
    import fcntl

#: File systems without locks say one of these.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
#: The locks that this process holds: the open files by their paths.
_held: dict[Path, int] = {}


def refuse_foreign(
    folder: str | Path, names: Iterable[str], *, own: Iterable[str], maker: str
) -> None:
    """Refuse to write files into a folder where files of others have their names.

    Parameters
    ----------
    folder : str or Path
        It may not exist.
    names : iterable of str
        Paths of the files, and of whole folders, relative to ``folder``.
    own : iterable of str
        Files of which one shows that truez wrote the folder: then the others are its own as well.
    maker : str
        The command that writes the files.

    Raises
    ------
    ValueError
    """
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise ValueError(f"{place} is a file: choose a folder with out")
    if any((place / name).is_file() for name in own):
        return
    for name in names:
        found = place / name
        if os.path.lexists(found) and not (found.is_dir() and not any(found.iterdir())):
            raise ValueError(
                f"{found} was not written by {maker} and would be replaced: move it away, or "
                "choose another folder with out"
            )


def lock(target: str | Path, *, option: str = "out") -> None:
    """Keep other processes of truez from writing a file or folder, until `release_locks`.

    The system ends the lock of a process that is killed. Its file lies in the folder, or in the
    nearest that exists.

    Raises
    ------
    ValueError
        If another process is writing it: the sentence names the process and its start.
    OSError
        If nothing can be written there.
    """
    if sys.platform == "win32":  # which has no such locks
        return
    path = Path(target).resolve()
    name = f".truez-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}.lock"
    places = [place for place in (path, *path.parents) if place.is_dir()]
    # The folder may have been made since another process chose the place of its lock.
    for place in places[1:]:
        if (place / name).exists():
            _take(place / name, target, option)
            _release(place / name)
    _take(places[0] / name, target, option)


def release_locks() -> None:
    """End all locks of this process."""
    for path in list(_held):
        _release(path)


def _take(path: Path, target: str | Path, option: str) -> None:
    while path not in _held:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(target)) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            words = _owner(handle)
            os.close(handle)
            raise ValueError(
                f"{target} is being written by another truez{words}: wait for its end, or give "
                f"another {option}"
            ) from None
        except OSError as error:
            os.close(handle)
            if error.errno not in _NO_LOCKS:
                raise
            path.unlink(missing_ok=True)
            return
        # The process that held it may have removed it in the meantime.
        if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
            _held[path] = handle
            since = datetime.now(UTC).isoformat(timespec="seconds")
            with suppress(OSError):  # a full disk
                os.ftruncate(handle, 0)
                os.pwrite(handle, json.dumps({"process": os.getpid(), "since": since}).encode(), 0)
        else:
            os.close(handle)


def _release(path: Path) -> None:
    handle = _held.pop(path, None)
    if handle is not None:
        with suppress(OSError):  # its folder is gone
            path.unlink(missing_ok=True)
        os.close(handle)


def _owner(handle: int) -> str:
    try:
        found = json.loads(os.pread(handle, 1000, 0))
        return f" (process {found['process']:d}, since {found['since']:.25})"
    except (OSError, ValueError, TypeError, KeyError):
        return ""
