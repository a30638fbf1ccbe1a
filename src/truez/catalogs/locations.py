"""Where the files of a catalogue are: this machine, or a remote system that holds Parquet files.

Remote systems are those of pyarrow (``s3://``, ``gs://``, ``abfs://``, ``hdfs://``) and, where it
knows none, of fsspec (``https://``, ``memory://`` and others whose library is installed).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from truez.catalogs.formats import CatalogError
from truez.catalogs.formats.parquet import SUFFIXES
from truez.support.tables import files_of, is_pattern, parquet_files, split_table, with_table


@dataclass(frozen=True)
class Location:
    """A path, and the system of files that it is on.

    Parameters
    ----------
    path : str
        As the user wrote it.
    system : pyarrow.fs.FileSystem, optional
        Of a remote path.
    inner : str
        The path as the system has it.
    """

    path: str
    system: Any = None
    inner: str = ""

    def files(self) -> list[str]:
        """The files of the catalogue, in the order of their names.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If a folder holds no Parquet files.
        """
        if self.system is not None:
            return self._remote_files()
        place, table = split_table(self.path)
        if is_pattern(place):
            files = files_of(place)
            if not files:
                raise FileNotFoundError(f"no file matches {place}")
            return [with_table(str(file), table) for file in files]
        if not place.exists():
            raise FileNotFoundError(f"there is no catalogue file {place}")
        if place.is_dir():
            held = [str(file) for file in parquet_files(place)]
            if not held:
                raise CatalogError(f"{place} is a folder without Parquet files")
            return held
        return [self.path]

    def is_parquet(self, path: str) -> bool:
        """Whether a file is read as Parquet."""
        return self.system is not None or path.lower().endswith(SUFFIXES)

    @contextmanager
    def parquet(self, path: str) -> Iterator[Any]:
        """An open Parquet file, of which no more is kept in memory than is being read."""
        with pq.ParquetFile(path, filesystem=self.system, pre_buffer=self.system is not None) as f:
            yield f

    def stamp(self, path: str) -> tuple[int, int]:
        """Size of a file [bytes] and the time of its last change [ns], 0 where none is known."""
        if self.system is None:
            state = split_table(path)[0].stat()
            return state.st_size, state.st_mtime_ns
        found = self.system.get_file_info(path)
        return found.size or 0, found.mtime_ns or 0

    def open_text(self, name: str) -> str | None:
        """The text of a small file in a folder, None where there is none."""
        if self.system is None:
            file = Path(self.path) / name
            return file.read_text(encoding="utf-8") if file.is_file() else None
        path = f"{self.inner.rstrip('/')}/{name}"
        if self.system.get_file_info(path).type != fs.FileType.File:
            return None
        with self.system.open_input_stream(path) as file:
            return str(file.read().decode("utf-8"))

    def inside(self, name: str) -> str:
        """The path of a file in a folder."""
        root = self.path if self.system is None else self.inner
        return f"{root.rstrip('/')}/{name}"

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder."""
        if self.system is None:
            return Path(path).exists()
        return bool(self.system.get_file_info(path).type != fs.FileType.NotFound)

    def _remote_files(self) -> list[str]:
        found = self.system.get_file_info(self.inner)
        if found.type == fs.FileType.NotFound:
            raise FileNotFoundError(f"there is no catalogue file {self.path}")
        if found.type == fs.FileType.File:
            if not self.inner.lower().endswith(SUFFIXES):
                raise CatalogError(f"{self.path} is remote, where only Parquet is read: copy it")
            return [self.inner]
        held = self.system.get_file_info(fs.FileSelector(self.inner, recursive=True))
        files = sorted(
            one.path for one in held
            if one.type == fs.FileType.File and one.path.endswith(SUFFIXES)
            and not any(part.startswith((".", "_"))
                        for part in one.path[len(self.inner) :].split("/"))
        )  # fmt: skip
        if not files:
            raise CatalogError(f"{self.path} is a folder without Parquet files")
        return files


def location_of(path: str) -> Location:
    """Where a path is.

    Raises
    ------
    ValueError
        If a remote system is not known, or its library is not installed.
    """
    if "://" not in path:
        return Location(path)
    try:
        system, inner = fs.FileSystem.from_uri(path)
    except (pa.ArrowException, OSError, ValueError):
        system, inner = _through_fsspec(path)
    if isinstance(system, fs.LocalFileSystem):
        return Location(inner)
    return Location(path, system, inner)


def _through_fsspec(path: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs

        system, inner = url_to_fs(path)
    except (ImportError, ValueError, OSError) as error:
        words = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise CatalogError(
            f"{path} cannot be reached ({words}): install the library that fsspec names, or copy "
            "the files"
        ) from None
    return fs.PyFileSystem(fs.FSSpecHandler(system)), inner
