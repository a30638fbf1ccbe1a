"""Writing files whole or not at all.

Every output of truez is written beside its target and moved into place, so a reader sees the old
file or the new one, and a full disk or a killed process leaves the old one as it was.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Messages of the HDF5 library for an error of the system, and of numpy for a short write.
_ERRNO = re.compile(r"errno = (\d+)")
_SHORT = re.compile(r"\d+ requested and \d+ written|Not enough space on disk")


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
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix
    )
    os.close(handle)
    temporary = Path(name)
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
