"""Loops as machine code, which numba compiles at their first call and keeps on disk.

What is kept is unpickled and run, so it lies in a folder of the user's, ``~/.cache/truez`` (or that
of XDG_CACHE_HOME or NUMBA_CACHE_DIR), and only if nobody else may write there. What is not as it
was written is compiled anew.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

_HASH = hashlib.sha256
#: Write permissions of others.
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """The function as machine code, which releases the interpreter's lock.

    Parameters
    ----------
    function : function
        In the part of Python that numba knows.
    **options
        Of ``numba.njit``.
    """
    dispatcher = numba.njit(nogil=True, **options)(function)
    folder = cache_folder()
    if folder is not None:
        config: Any = numba.config
        before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
        try:
            dispatcher._cache = _Kept(function)
        except (RuntimeError, OSError):  # nothing can be kept
            pass
        finally:
            config.CACHE_DIR = before
    return dispatcher


def cache_folder() -> Path | None:
    """The folder of compiled code; None where there is none that only the user can write."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        home = Path(base) if base else Path.home() / ".cache"
        folder = Path(given).absolute() if given else home.absolute() / "truez"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder if is_private(folder) else None
    except (OSError, RuntimeError):  # no home folder, or nothing can be written there
        return None


def is_private(folder: Path) -> bool:
    """Whether only the user, and the system's administrator, can change what is in a folder."""
    if not hasattr(os, "getuid"):  # Windows, where the folders of a user are his
        return True
    user = os.getuid()
    place = folder.resolve()
    own = place.stat()
    if own.st_uid != user or own.st_mode & _OTHERS:
        return False
    for parent in place.parents:
        found = parent.stat()
        if found.st_uid not in (user, 0):
            return False
        # Where others may write, as in /tmp, the sticky bit keeps them from moving our folder.
        if found.st_mode & _OTHERS and not found.st_mode & stat.S_ISVTX:
            return False
    return True


class _Checked(IndexDataCacheFile):  # type: ignore[misc]
    """Files of numba's cache, those of code with a checksum in front."""

    def _save_data(self, name: str, data: Any) -> None:
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(_HASH(content).digest() + content)

    def _load_data(self, name: str) -> Any:
        content = Path(self._data_path(name)).read_bytes()
        size = _HASH().digest_size
        if _HASH(content[size:]).digest() != content[:size]:
            raise ValueError("the content does not have its checksum")
        return pickle.loads(content[size:])  # noqa: S301 of our own private folder

    def remove(self) -> None:
        """Remove all that is kept of a function."""
        index = Path(self._index_path)
        for path in (index, *index.parent.glob(f"{index.stem}.*.nbc")):
            with suppress(OSError):
                path.unlink()


class _Kept(FunctionCache):  # type: ignore[misc]
    """What is kept of one function; where it is broken, it is as if there were nothing."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file: Any = _Checked(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The code for a signature; None where there is none that can be used."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever a damaged pickle raises
            self._cache_file.remove()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the code for a signature, if that is possible."""
        try:
            super().save_overload(sig, data)
        except Exception:  # the index is damaged, the disk is full
            self._cache_file.remove()
