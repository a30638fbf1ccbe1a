"""HDF5 files that are written whole, or fail with an error of the system."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py

from truez.support.files import system_errors


@contextmanager
def created(path: Path) -> Iterator[Any]:
    """Open a new HDF5 file whose datasets are written at once, and close it.

    What the library still holds when a write to a full disk has failed would be written again when
    the file is closed, and once more at the end of Python, which then ends with a segmentation
    fault. It goes to a file in memory instead.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_sieve_buf_size(0)
    _, slots, _, preemption = access.get_cache()
    access.set_cache(0, slots, 0, preemption)
    # Without the time of its making, so that the same content is the same bytes.
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    with system_errors():
        file = h5py.File(h5py.h5f.create(os.fsencode(path), fcpl=creation, fapl=access))
    try:
        yield file
        finish(file)
    except BaseException:
        _drop(file)
        raise
    finally:
        with system_errors():  # of a limit for files, which that in memory has as well
            file.close()


def finish(file: Any) -> None:
    """Write all that the library holds of an HDF5 file, if that is still open.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    if file:
        with system_errors():
            file.flush()


def _drop(file: Any) -> None:
    """Let what the library still holds of an open file go where there is room."""
    if not file:
        return
    with suppress(OSError):
        if hasattr(os, "memfd_create"):
            elsewhere = os.memfd_create("truez")
        else:
            elsewhere, name = tempfile.mkstemp()
            Path(name).unlink()
        os.dup2(elsewhere, file.id.get_vfd_handle())
        os.close(elsewhere)
