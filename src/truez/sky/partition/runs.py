"""Runs: the galaxies of a stretch of the input, sorted by patch, in one file of Arrow.

A run is as large as the memory that is given to it. Its galaxies are written one patch behind the
other, each as one batch of records, so that those of a patch are read from every run without the
others. The schema's metadata say which rows of the input the run covers; a run is whole or not
there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from truez.sky.partition.counts import Counts
from truez.sky.partition.routing import Members
from truez.sky.partition.sky_input import CORE, ROW
from truez.support.files import atomic_path, system_errors

Ints = NDArray[np.int64]
_KEY = b"truez"
#: Arrays of text can hold no more [bytes].
MOST_BYTES = 2**31 - 2**24
#: Numbers of galaxies that are held before they are summed.
_MOST_COUNTS = 2**21


def schema_of_patches(schema: Any) -> Any:
    """The schema of the files of patches: that of the input with the row, and whether in the core.

    Parameters
    ----------
    schema : pyarrow.Schema
    """
    return schema.append(pa.field(ROW, pa.int64())).append(pa.field(CORE, pa.bool_()))


@dataclass(frozen=True, eq=False)
class _Sorted:
    """Galaxies of a batch of the input sorted by patch: numbers of patches, and where each begins.

    ``first`` has the end as well, ``core`` the galaxies in the core of each patch.
    """

    table: Any
    patches: Ints
    first: Ints
    core: Ints

    @classmethod
    def of(cls, table: Any, members: Members) -> _Sorted:
        """Those of a table of members."""
        patches, first = np.unique(members.patches, return_index=True)
        first = np.append(first, len(members.patches))
        sums = np.concatenate([[0], np.cumsum(members.core)])
        return cls(table, patches.astype(np.int64), first, np.diff(sums[first]))

    def part(self, number: int) -> Any:
        """Galaxies of a patch, none where it has none."""
        place = int(np.searchsorted(self.patches, number))
        if place == len(self.patches) or self.patches[place] != number:
            return self.table.slice(0, 0)
        return self.table.slice(self.first[place], self.first[place + 1] - self.first[place])


@dataclass(eq=False)
class Run:
    """Galaxies sorted by patch, batch by batch of the input.

    Parameters
    ----------
    start : int
        The first row of the input.
    """

    start: int
    stop: int = field(init=False)
    num_bytes: int = field(default=0, init=False)
    counts: list[Counts] = field(default_factory=list, init=False)
    _held: list[_Sorted] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.stop = self.start

    def add(self, first: int, table: Any, members: Members, counts: Counts) -> None:
        """Add the galaxies of a batch of the input, whose first row is ``first``."""
        own = table.combine_chunks().take(pa.array(members.rows))
        own = own.append_column(ROW, pa.array(members.rows + first))
        own = own.append_column(CORE, pa.array(members.core))
        self._held.append(_Sorted.of(own.replace_schema_metadata(None), members))
        self.num_bytes += own.nbytes
        self.counts.append(counts)
        if sum(len(one.keys) for one in self.counts) > _MOST_COUNTS:
            self.counts = [Counts.sum(self.counts)]
        self.stop = first + table.num_rows

    def write(self, path: Path, schema: Any, about: dict[str, Any]) -> None:
        """Write the run, with plain values that describe it."""
        numbers = np.unique(np.concatenate([one.patches for one in self._held]))
        rows, core = np.zeros((2, len(numbers)), np.int64)
        for one in self._held:
            place = np.searchsorted(numbers, one.patches)
            rows[place] += np.diff(one.first)
            core[place] += one.core
        header = {
            "start": self.start, "stop": self.stop, "patches": numbers.tolist(),
            "rows": rows.tolist(), "core": core.tolist(), **about,
        }  # fmt: skip
        schema = schema_of_patches(schema).with_metadata({_KEY: json.dumps(header)})
        with (
            atomic_path(path) as temporary,
            system_errors(),
            pa.OSFile(str(temporary), "wb") as file,
            pa.ipc.new_file(file, schema) as writer,
        ):
            for number in numbers.tolist():
                whole = pa.concat_tables([one.part(number) for one in self._held])
                arrays = [column.combine_chunks() for column in whole.columns]
                writer.write_batch(pa.record_batch(arrays, schema=schema))


@dataclass(frozen=True, eq=False)
class WrittenRun:
    """A run in its file.

    Parameters
    ----------
    path : Path
    about : dict
        ``start``, ``stop``, the numbers of ``patches`` with ``rows`` and rows in the ``core``, and
        what else was written.
    """

    path: Path
    about: dict[str, Any]
    _places: dict[int, int] = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> WrittenRun:
        """Read the header of a run; raises ValueError if it is damaged."""
        try:
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                about = json.loads(reader.schema.metadata[_KEY])
        except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is damaged: make the partition again with truez partition --overwrite"
            ) from error
        places = {number: place for place, number in enumerate(about["patches"])}
        return cls(path, about, places)

    def read(self, patch: int) -> Any | None:
        """The galaxies of a patch, None where there are none."""
        if patch not in self._places:
            return None
        with pa.OSFile(str(self.path)) as file, pa.ipc.open_file(file) as reader:
            return reader.get_batch(self._places[patch])
