"""Outputs that are truez's own: files of others are not replaced, and one run writes at a time.

A command refuses files of others before any work, and notes what was at its outputs then. What
comes there while it runs is not replaced either (`truez.support.files`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from truez.support.temporaries import host_name, may_run, process_start

if sys.platform != "win32":
    import fcntl

#: File systems without locks say one of these.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
#: The locks that this process holds: the open files by their paths.
_held: dict[Path, int] = {}
#: Those that it is about to hold, as a signal may end it at any time.
_opened: dict[Path, list[int]] = {}
#: What was at the outputs when the command began, and the outputs that it has written since.
_before: dict[Path, tuple[int, int, int] | None] = {}
_written: set[Path] = set()


def remember(path: str | Path) -> None:
    """Note what is at an output when a command first looks at it.

    What another program puts there later is not replaced.
    """
    place = _place(path)
    if place not in _before:
        _before[place] = None if _is_empty(place) else _identity(place)


def note_written(path: str | Path) -> None:
    """Note that an output is this command's own from now on."""
    if _before:
        _written.add(_place(path))


def is_of_another(path: str | Path) -> bool:
    """Whether another program has made an output since the command began."""
    place = _place(path)
    now = _identity(place)
    if now is None or place in _written:
        return False
    for known in (place, *place.parents):
        if known in _before:
            before = _before[known]
            return before is None or (known == place and before != now)
    return False


def refuse_foreign(
    folder: str | Path, names: Iterable[str], *, own: Iterable[str], maker: str,
    option: str = "out",
) -> None:  # fmt: skip
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
    option : str
        The argument that names the folder.

    Raises
    ------
    ValueError
    """
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise ValueError(f"{place} is a file: choose a folder with {option}")
    names = list(names)
    for name in names:
        remember(place / name)
    if any((place / name).is_file() for name in own):
        return
    for name in names:
        found = place / name
        if os.path.lexists(found) and not _is_empty(found):
            raise ValueError(
                f"{found} was not written by {maker} and would be replaced: move it away, or "
                f"choose another folder with {option}"
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
    """End all locks of this process, and forget its outputs."""
    for path in list(_held):
        _release(path)
    for path, handles in _opened.items():
        for handle in handles:
            # Of a file that was closed already there is nothing to remove.
            with suppress(OSError):
                if os.path.samestat(os.fstat(handle), path.lstat()) and _lock(handle):
                    path.unlink()
    _opened.clear()
    _before.clear()
    _written.clear()


def _take(path: Path, target: str | Path, option: str) -> None:
    while path not in _held:
        try:
            try:
                handle = _open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
            except PermissionError:  # that of another user, in a folder of both
                handle = _open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(target)) from error
        try:
            free = _lock(handle)
        except OSError:
            os.close(handle)
            raise
        if not free:
            words = _owner_in_words(handle)
            os.close(handle)
            raise ValueError(
                f"{target} is being written by another truez{words}: wait for its end, or give "
                f"another {option}"
            )
        try:
            # The process that held it may have removed it in the meantime.
            is_there = os.path.samestat(os.fstat(handle), path.lstat())
        except OSError:
            is_there = False
        if not is_there:
            os.close(handle)
            continue
        _held[path] = handle
        _opened.pop(path)
        me = os.getpid()
        since = datetime.now(UTC).isoformat(timespec="seconds")
        owner = {"process": me, "start": process_start(me), "host": host_name(), "since": since}
        with suppress(OSError):  # a full disk
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(owner).encode(), 0)


def _open(path: Path, flags: int) -> int:
    """Open the file of a lock, and note that it is open: no signal comes between the two."""
    handles = _opened[path] = []
    handles.extend(map(os.open, (path,), (flags,), (0o644,)))  # one step of the interpreter
    return handles[0]


def _lock(handle: int) -> bool:
    """Lock an open file, and return whether no other process holds it.

    On a file system without locks the file itself says who holds it.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        owner = _owner(handle)
        if owner is None or owner["process"] == os.getpid():
            return True
        return not may_run(
            owner["host"], owner["process"], owner["start"] or 0, os.fstat(handle).st_mtime
        )
    return True


def _release(path: Path) -> None:
    if path in _held:
        with suppress(OSError):  # its folder is gone
            path.unlink(missing_ok=True)
        os.close(_held.pop(path))


def _place(path: str | Path) -> Path:
    """The path without links, but for one at its end."""
    return Path(path).parent.resolve() / Path(path).name


def _identity(path: Path) -> tuple[int, int, int] | None:
    """The identity of the file at a path, to see that it was replaced; None without a file."""
    try:
        there = path.lstat()
    except OSError:
        return None
    return there.st_ino, there.st_size, there.st_mtime_ns


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _owner(handle: int) -> dict[str, Any] | None:
    """What the file of a lock says of the process that holds it: process, start, host, since."""
    try:
        found = json.loads(os.pread(handle, 1000, 0))
        known = {name: found[name] for name in ("process", "start", "host", "since")}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    right = isinstance(known["process"], int) and isinstance(known["start"], int | None)
    return known if right else None


def _owner_in_words(handle: int) -> str:
    for _ in range(50):  # the other process says it right after it has taken the lock
        owner = _owner(handle)
        if owner is not None:
            return f" (process {owner['process']}, since {owner['since']:.25})"
        time.sleep(0.01)
    return ""
