"""Writing files whole or not at all.

Every output of truez is written beside its target and moved into place, so a reader sees the old
file or the new one, and a full disk or a killed process leaves the old one as it was. What another
program has put at the target in the meantime is left there (`truez.support.folders`).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from truez.support.folders import is_of_another, note_written
from truez.support.temporaries import (
    abandoned,
    new_temporary,
    remove,
    remove_partial,
    remove_temporaries,
    temporaries,
)

# Messages of the HDF5 library for an error of the system, and of numpy for a short write.
_ERRNO = re.compile(r"errno = (\d+)")
_SHORT = re.compile(r"\d+ requested and \d+ written|Not enough space on disk")
# Errors of a write, which name no file.
_NAMELESS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
#: Names of the folders in which `atomic_folder` writes, and of those whose files it moves.
_NEW, _READY = "new", "ready"
#: The folders whose files this process moves, and the file of each that is moved last.
_moving: dict[Path, str] = {}
#: What is called before a file is moved into place, with the target and the temporary file.
_tellers: list[Callable[[Path, Path], None]] = []


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

    Raises
    ------
    ValueError
        If another program has made the target since the command began: the new file is then kept
        under another name.
    FileNotFoundError
        If the folder of the target has been removed in the meantime.
    """
    target = Path(path)
    if target in temporaries:  # whoever made it moves it
        yield target
        return
    _make_folder(target.parent)
    remove_partial(target)
    temporary = new_temporary(target)
    try:
        with _errors_of(target, temporary):
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            yield temporary
            if not temporary.exists():
                raise _removed(target.parent)
            _refuse_newcomer(target, temporary)
            _tell(target, temporary)
            temporary.replace(target)
            note_written(target)
    except BaseException:
        remove(temporary)
        raise
    finally:
        temporaries.discard(temporary)


@contextmanager
def atomic_folder(path: str | Path, *, last: str) -> Iterator[Path]:
    """Yield a temporary folder, whose files are moved to ``path`` if the block succeeds.

    Until then an earlier result is there as it was; other files in the folder are left alone. A
    process that is killed while the files are moved leaves those that are left in a folder from
    which the next one moves them: see `end_moves`.

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

    Raises
    ------
    ValueError, FileNotFoundError
        As `atomic_path`.
    """
    target = Path(path)
    is_new = not target.exists()
    _make_folder(target)
    end_moves(target, last=last)
    remove_partial(target / _NEW)
    temporary = new_temporary(target / _NEW)
    try:
        with _errors_of(target, temporary):
            temporary.mkdir()
            yield temporary
            if not temporary.exists():
                raise _removed(target)
            names = [file.relative_to(temporary) for file in _files(temporary)]
            for name in names:
                _refuse_newcomer(target / name, temporary)
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                _tell(target / name, temporary / name)
            ready = temporary.with_name(temporary.name.replace(_NEW, _READY, 1))
            _moving[ready] = last
            temporary.rename(ready)  # the result is whole from here on
            _move_all(ready, last)
            _moving.pop(ready)
            for name in names:
                note_written(target / name)
            if not all((target / name).is_file() for name in names):
                raise _removed(target)
    except BaseException:
        remove(temporary)
        if is_new:
            with suppress(OSError):
                target.rmdir()
        raise
    finally:
        temporaries.discard(temporary)


@contextmanager
def told_before_moves(tell: Callable[[Path, Path], None]) -> Iterator[None]:
    """Call ``tell`` before a file is moved into place, with the target and the temporary file."""
    _tellers.append(tell)
    try:
        yield
    finally:
        _tellers.remove(tell)


def _tell(target: Path, temporary: Path) -> None:
    for tell in _tellers:
        tell(target, temporary)


def end_moves(folder: str | Path, *, last: str) -> None:
    """Move the files of a whole result to their places, where a process was killed at that."""
    for ready in abandoned(Path(folder) / _READY):
        _move_all(ready, last)


def stop_writing() -> None:
    """End what this process writes, because it ends at once: a result is there whole or not."""
    own = f"-{os.getpid()}-"  # not those of the parent of a fork
    for ready, last in list(_moving.items()):
        if own in ready.name:
            _move_all(ready, last)
    remove_temporaries()


def _move_all(ready: Path, last: str) -> None:
    """Move the files of a folder to the one around it, the last only when all others are there."""
    target, names = ready.parent, [file.relative_to(ready) for file in _files(ready)]
    if Path(last) in names:
        (target / last).unlink(missing_ok=True)
    for name in sorted(names, key=lambda name: name == Path(last)):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (ready / name).replace(target / name)
    remove(ready)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _make_folder(folder: Path) -> None:
    """Make the folder of a target, but not again one that this process writes in."""
    around = [folder, *folder.parents]
    written = next((parent for parent in around if parent in temporaries), None)
    if written is None:
        folder.mkdir(parents=True, exist_ok=True)
        return
    if not written.exists():
        raise _removed(written.parent)
    for missing in reversed(around[: around.index(written)]):
        missing.mkdir(exist_ok=True)


def _removed(folder: Path) -> FileNotFoundError:
    return FileNotFoundError(
        f"{folder} or what truez wrote there was removed in the meantime: run the command again"
    )


def _refuse_newcomer(target: Path, temporary: Path) -> None:
    """Refuse to replace what another program has made, and keep what would have replaced it."""
    if not is_of_another(target):
        return
    number = 1
    wanted = target if temporary.is_file() else temporary.with_name(_NEW)
    while os.path.lexists(kept := wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")):
        number += 1
    temporary.rename(kept)
    raise ValueError(
        f"{target} was made by another program while this one ran, and is left as it is: what "
        f"would have replaced it is in {kept}"
    )


@contextmanager
def _errors_of(target: Path, temporary: Path) -> Iterator[None]:
    """Name the target in errors of the system that name its temporary file, or no file."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _NAMELESS:
            # The library's own words may repeat the number.
            error.filename, error.strerror = str(target), os.strerror(error.errno)
        elif error.filename is not None:
            name = os.fsdecode(error.filename)
            error.filename = name.replace(str(temporary), str(target), 1)
        raise


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
