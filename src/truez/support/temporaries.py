"""Temporary files: their names say which process writes them, so that the next one can tell.

A process that is stopped by a signal removes its own (`truez.cli.process`); those of one that was
killed are removed by the next command that writes there.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

#: A temporary file's name before the suffix: the stem of its target, host, process id, start of the
#: process and eight random characters.
_NAME = re.compile(r"(\..*)-([0-9a-f]{6})-(\d+)-(\d+)-[a-z0-9_]{8}")
#: Characters of the stem that are kept, because file names cannot have more than 255 bytes.
_STEM = 40
#: Age at which a temporary file of another host is taken for that of a killed process [s].
_OLD = 24 * 3600.0
#: The temporary files and folders that this process writes.
temporaries: set[Path] = set()


def new_temporary(target: Path) -> Path:
    """A name beside ``target`` that no file has, with its suffix; it is in `temporaries`.

    The name is noted before the file is made, so that a signal in between leaves nothing.
    """
    pid = os.getpid()
    owner = f"-{host_name()}-{pid}-{process_start(pid) or 0}-{secrets.token_hex(4)}"
    found = target.with_name(f"{_prefix(target)}{owner}{target.suffix}")
    temporaries.add(found)
    return found


def abandoned(target: Path) -> list[Path]:
    """The temporary files of ``target`` whose processes have ended."""
    try:
        return _abandoned(target.parent.iterdir(), target)
    except OSError:  # the folder is not there, or its names cannot be read
        return []


def remove_partial(path: str | Path) -> None:
    """Remove the temporary files of ``path`` that killed processes left."""
    for found in abandoned(Path(path)):
        remove(found)


def remove_all_partial(folder: str | Path) -> None:
    """Remove the temporary files that killed processes left anywhere in a folder of truez."""
    with suppress(OSError):
        for found in _abandoned(Path(folder).rglob(".*")):
            remove(found)


def remove_temporaries() -> None:
    """Remove the temporary files that this process writes: it ends at once."""
    own = f"-{os.getpid()}-"  # not those of the parent of a fork
    for temporary in list(temporaries):
        if own in temporary.name:
            remove(temporary)


def remove(path: Path) -> None:
    """Remove a file or folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def process_start(pid: int) -> int | None:
    """When a process of this machine began, in the system's ticks; None if that is not known.

    With the process id it names a process for good, because ids are given again.
    """
    try:
        # The name of the program, in parentheses, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(fields.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def is_running(pid: int, start: int) -> bool:
    """Whether the process ``pid`` that began at ``start`` (0 if not known) runs on this machine."""
    found = process_start(pid)
    if start and (found is not None or Path("/proc/self/stat").exists()):
        return found == start
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def may_run(host: str, pid: int, start: int, since: float) -> bool:
    """Whether a process may still run: of another machine, if its file is new, ``since`` [s]."""
    if host != host_name():
        return time.time() - since < _OLD
    return is_running(pid, start)


def _abandoned(paths: Iterable[Path], target: Path | None = None) -> list[Path]:
    found = []
    for path in paths:
        suffix = path.suffix if target is None else target.suffix
        parts = _NAME.fullmatch(path.name.removesuffix(suffix))
        if parts is None or not path.name.endswith(suffix):
            continue
        if target is not None and parts[1] != _prefix(target):
            continue
        if not _is_written(path, parts[2], int(parts[3]), int(parts[4])):
            found.append(path)
    return found


def _is_written(path: Path, host: str, pid: int, start: int) -> bool:
    """Whether the process that began a temporary file may still be there."""
    if pid == os.getpid() and host == host_name():
        # In a container the next run often has the same id.
        return path in temporaries
    try:
        return may_run(host, pid, start, path.stat().st_mtime)
    except OSError:
        return False


def _prefix(target: Path) -> str:
    return f".{target.stem[:_STEM]}"


def host_name() -> str:
    """A short name of this machine."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
