"""Writing files whole or not at all.

Every output of truez is written beside its target and moved into place, so a reader sees the old
file or the new one, and a full disk or a killed process leaves the old one as it was.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Messages of the HDF5 library for an error of the system, and of numpy for a short write.
_ERRNO = re.compile(r"errno = (\d+)")
_SHORT = re.compile(r"\d+ requested and \d+ written|Not enough space on disk")
#: The part of a temporary file's name between the stem of its target and the suffix: host, process
#: id, start of the process and what `tempfile` adds.
_OWNER = re.compile(r"-([0-9a-f]{6})-(\d+)-(\d+)-[a-z0-9_]{8}")
#: Age at which a temporary file of another host is taken for that of a killed process [s].
_OLD = 24 * 3600.0
#: The temporary files that this process writes.
_temporaries: set[Path] = set()


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it is moved to ``path`` if the block succeeds.

    Parameters
    ----------
    path : str or Path
        The target. Its folder is made if it does not exist. The temporary file keeps the suffix,
        because readers and writers choose the format by it.

    Yields
    ------
    Path
        The file to write. It is removed if the block raises.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_partial(target)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=_prefix(target), suffix=target.suffix)
    temporary = Path(name)
    _temporaries.add(temporary)
    os.close(handle)
    try:
        yield temporary
        # mkstemp makes files that only the owner can read; outputs follow the umask instead.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        _temporaries.discard(temporary)


@contextmanager
def atomic_folder(path: str | Path, *, last: str) -> Iterator[Path]:
    """Yield a temporary folder, whose files are moved to ``path`` if the block succeeds.

    Until then an earlier result is there as it was; other files in the folder are left alone.

    Parameters
    ----------
    path : str or Path
        The target. It is made if it does not exist.
    last : str
        The file that shows that the folder is whole: it is moved last.

    Yields
    ------
    Path
        The folder to write to. It is removed in the end.
    """
    target = Path(path)
    is_new = not target.exists()
    target.mkdir(parents=True, exist_ok=True)
    remove_partial(target / "new")
    temporary = Path(tempfile.mkdtemp(dir=target, prefix=_prefix(Path("new"))))
    _temporaries.add(temporary)
    try:
        yield temporary
        found = [file.relative_to(temporary) for file in temporary.rglob("*") if file.is_file()]
        for name in found:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / last).unlink(missing_ok=True)
        for name in sorted(found, key=lambda name: name == Path(last)):
            (temporary / name).replace(target / name)
    except BaseException:
        _remove(temporary)
        if is_new:
            with suppress(OSError):
                target.rmdir()
        raise
    finally:
        _remove(temporary)
        _temporaries.discard(temporary)


def remove_partial(path: str | Path) -> None:
    """Remove the temporary files of ``path`` that killed processes left."""
    target = Path(path)
    prefix = f".{target.stem}-"
    with suppress(OSError):  # the folder is not there, or its names cannot be read
        for found in target.parent.iterdir():
            name = found.name
            if not (name.startswith(prefix) and name.endswith(target.suffix)):
                continue
            owner = _OWNER.fullmatch(name.removesuffix(target.suffix).removeprefix(prefix[:-1]))
            if owner and not _is_written(found, owner[1], int(owner[2]), int(owner[3])):
                _remove(found)


def remove_temporaries() -> None:
    """Remove the temporary files that this process writes: it ends at once."""
    own = f"-{os.getpid()}-"  # not those of the parent of a fork
    for temporary in list(_temporaries):
        if own in temporary.name:
            _remove(temporary)


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


def _is_written(path: Path, host: str, pid: int, start: int) -> bool:
    """Whether the process that began a temporary file may still be there."""
    if host != _host():
        try:
            return time.time() - path.stat().st_mtime < _OLD
        except OSError:
            return False
    if pid == os.getpid():  # in a container the next run often has the same id
        return path in _temporaries
    return is_running(pid, start)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _prefix(target: Path) -> str:
    pid = os.getpid()
    return f".{target.stem}-{_host()}-{pid}-{process_start(pid) or 0}-"


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` (UTF-8), whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def system_errors() -> Iterator[None]:
    """Convert the errors of a library that writes, such as of a full disk, to an `OSError`."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        number: int | None = None
        cause: BaseException | None = error
        while number is None and cause is not None:
            found = _ERRNO.search(str(cause))
            number = int(found[1]) if found else getattr(cause, "errno", None)
            if number is None and _SHORT.search(str(cause)):
                number = errno.ENOSPC
            cause = cause.__context__
        if number is None:
            raise
        raise OSError(number, os.strerror(number)) from error
