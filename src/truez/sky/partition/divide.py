"""The pass over one catalogue: every galaxy to the file of each patch that needs it.

1. The input is read in batches of rows. The galaxies of a batch are sorted by patch, and wait until
   as many are held as the memory allows; then they are a run and are written (`runs`).
2. When the input ends, the files of the patches are written one after the other, each from its part
   of every run, and the runs are removed.

Memory is that of one run, whatever the number of rows and patches. Batches begin at multiples of
their number of rows, so that where a run ends depends on the input alone: a pass that was killed
goes on behind its last whole run, and leaves the same files as one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from truez.catalogs.stream import CatalogStream
from truez.sky.partition.counts import Counts
from truez.sky.partition.routing import Router
from truez.sky.partition.runs import MOST_BYTES, Run, WrittenRun
from truez.sky.partition.sky_input import ROW, Places, SkyInput, batches
from truez.support.documents import read_json, section
from truez.support.files import atomic_path, system_errors, write_text
from truez.support.folders import is_of_another
from truez.support.progress import Progress, silent
from truez.support.temporaries import remove

#: The file that describes what is in the folder of a sample.
MANIFEST = "manifest.json"
#: Memory of a batch of the input [bytes], and its most rows; those of a group of written rows.
_BATCH_BYTES, _BATCH_ROWS = 2**25, 2**18
_GROUP_BYTES, _GROUP_ROWS = 2**26, 2**20
#: Entries of a galaxy on average, with margins, for the space on the disk.
_ENTRIES = 1.6
_REMEDY = "make the partition again with truez partition --overwrite"


@dataclass(frozen=True)
class SampleFolder:
    """Where one catalogue is divided, and the names in there.

    Parameters
    ----------
    path : Path
    """

    path: Path

    def patch(self, number: int) -> Path:
        """File of the galaxies of a patch."""
        return self.path / f"patch-{number:05d}.parquet"

    @property
    def rest(self) -> Path:
        """File of the galaxies that are in no core."""
        return self.path / "rest.parquet"

    @property
    def counts(self) -> Path:
        """File of the numbers of galaxies per pixel and redshift."""
        return self.path / "counts.parquet"

    @property
    def runs(self) -> Path:
        """Folder of the runs, while the pass is under way."""
        return self.path / "runs"

    def run(self, number: int) -> Path:
        """File of a run."""
        return self.runs / f"{number:06d}.arrow"

    def run_counts(self, number: int) -> Path:
        """File of the numbers of galaxies of a run."""
        return self.runs / f"{number:06d}.parquet"

    def manifest(self) -> dict[str, Any] | None:
        """What describes the folder, None before a pass has begun."""
        path = self.path / MANIFEST
        if not _is_own(path):
            return None
        found = section(read_json(path, remedy=_REMEDY), str(path), keys=("made_from", "patches"),
                        remedy=_REMEDY)  # fmt: skip
        made = section(found["made_from"], str(path), "made_from", keys=("input",), remedy=_REMEDY)
        try:
            SkyInput(**made["input"])
            if found["patches"] is not None:
                sum([*found["patches"], *found["core"], found["rest"], found["num_rows"]])
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{path} is damaged: {_REMEDY}") from error
        return found

    def describe(self, about: Mapping[str, Any]) -> None:
        """Write what describes the folder."""
        write_text(self.path / MANIFEST, json.dumps(about, indent=1))


@dataclass(frozen=True, eq=False)
class CatalogPass:
    """The pass over one catalogue, that begins or goes on.

    Parameters
    ----------
    folder : SampleFolder
    router : Router
    stream : CatalogStream
    places : Places
        Where the galaxies of the stream are.
    name : str
        Of the sample, for messages.
    memory : int
        Galaxies that are held at a time [bytes].
    """

    folder: SampleFolder
    router: Router
    stream: CatalogStream
    places: Places
    name: str
    memory: int

    @cached_property
    def made_from(self) -> dict[str, Any]:
        """The input in plain values, by which another or a changed one is recognized."""
        made = {
            "input": self.places.given.to_dict(),
            "files": [one.to_dict() for one in self.stream.files],
            "columns": {item.name: str(item.type) for item in self.stream.schema},
            "memory": self.memory,
        }  # fmt: skip
        return dict(json.loads(json.dumps(made)))

    def begun(self) -> dict[str, Any] | None:
        """What describes the folder, None where the pass is at its beginning.

        Raises
        ------
        ValueError
            If the folder holds what another input was divided into.
        """
        about = self.folder.manifest()
        # An input that was refused, and corrected since, has no run yet.
        if about is None or (about["patches"] is None and not self.folder.run(0).is_file()):
            return None
        for key, own in self.made_from.items():
            if about["made_from"].get(key) != own:
                what = "its files have changed" if key == "files" else f"with another {key}"
                raise ValueError(
                    f"{self.folder.path} holds a partition that was begun from another input "
                    f"({what}): give another folder, or overwrite=True to begin again"
                )
        return about

    @property
    def size(self) -> float:
        """Disk of all files [bytes], about; as much is needed for the runs."""
        return _ENTRIES * (self.stream.num_rows or 0) * (self.stream.row_bytes + 9)

    def run(self, progress: Progress = silent) -> None:
        """Divide the catalogue, or go on with it.

        Raises
        ------
        ValueError
            If a file cannot be read, a position is no direction, or no galaxy is in any core.
        """
        folder, num_patches = self.folder, len(self.router.patches)
        about = self.begun()
        if about is None:
            about = {"made_from": self.made_from, "patches": None}
            folder.describe(about)
        if about["patches"] is None:
            runs = self._runs(progress)
            about |= _summary(runs, num_patches, self.places.given)
            self._write_patches(runs, progress)
            counts = Counts()
            for number in range(len(runs)):
                counts = Counts.sum([counts, Counts.read(folder.run_counts(number))])
            counts.write(folder.counts)
            folder.describe(about)
        remove(folder.runs)

    def _runs(self, progress: Progress) -> list[WrittenRun]:
        """The runs, of which those that are there already are not made again."""
        folder, places, runs = self.folder, self.places, list[WrittenRun]()
        while _is_own(folder.run(len(runs))):
            runs.append(WrittenRun.open(folder.run(len(runs))))
        if runs:
            places.extremes = list(runs[-1].about["extremes"])
            if runs[-1].about["last"]:
                return runs
        budget = min(self.memory, MOST_BYTES)
        most = max(min(_BATCH_BYTES, budget / 4) / self.stream.row_bytes, 256)
        run = Run(runs[-1].about["stop"] if runs else 0)
        for first, table, is_last in batches(self.stream, int(min(most, _BATCH_ROWS)), run.start):
            ra, dec, z, other = places.of(first, table)
            members = self.router.members(ra, dec, z, other)
            run.add(first, table, members, Counts.of(ra, dec, z))
            progress(f"{self.name}: sorting by patch", run.stop, self.stream.num_rows)
            if run.num_bytes < budget and not is_last:
                continue
            if is_last:
                places.check_units()
            # The numbers first: the run says that both are there.
            number = len(runs)
            Counts.sum(run.counts).write(folder.run_counts(number))
            about = {"last": is_last, "extremes": places.extremes}
            run.write(folder.run(number), self.stream.schema, about)
            runs.append(WrittenRun.open(folder.run(number)))
            run = Run(run.stop)
        return runs

    def _write_patches(self, runs: list[WrittenRun], progress: Progress) -> None:
        """The files of the patches and of the rest, of which those that are there stay."""
        folder, num_patches = self.folder, len(self.router.patches)
        with pa.OSFile(str(runs[0].path)) as file, pa.ipc.open_file(file) as reader:
            schema = reader.schema.with_metadata(None)
        most = max(_GROUP_BYTES / (self.stream.row_bytes + 9), 1024)
        for number in range(num_patches + 1):
            path = folder.patch(number) if number < num_patches else folder.rest
            if not _is_own(path):
                with atomic_path(path) as temporary, system_errors():
                    _write(temporary, schema, _parts(runs, number), int(min(most, _GROUP_ROWS)))
            progress(f"{self.name}: files of patches", number + 1, num_patches + 1)


def _is_own(path: Path) -> bool:
    """Whether a file is there that a pass has written, not another program meanwhile."""
    return path.is_file() and not is_of_another(path)


def _summary(runs: list[WrittenRun], num_patches: int, given: SkyInput) -> dict[str, Any]:
    """Rows of all patches and of their cores, and of the input."""
    rows, core = [0] * (num_patches + 1), [0] * (num_patches + 1)
    for run in runs:
        for number, all_of, own in zip(
            *(run.about[key] for key in ("patches", "rows", "core")), strict=True
        ):
            rows[number] += all_of
            core[number] += own
    total = runs[-1].about["stop"]
    if not any(core):
        raise ValueError(
            f"none of the {total} galaxies of {given.path} is in a patch: correct the footprint, "
            "the range of redshifts or the columns"
        )
    return {"patches": rows[:-1], "core": core[:-1], "rest": rows[-1], "num_rows": total}


def _parts(runs: list[WrittenRun], number: int) -> Iterator[Any]:
    for run in runs:
        found = run.read(number)
        if found is not None:
            yield found


def _write(path: Path, schema: Any, parts: Iterator[Any], group: int) -> None:
    """Write batches of records as Parquet, in groups of a number of rows."""
    # Dictionaries do not make numbers smaller whose last digits are noise; rows ascend.
    text = [item.name for item in schema if pa.types.is_string(item.type)]
    held: list[Any] = []
    num = 0
    with pq.ParquetWriter(
        path, schema, use_dictionary=text, compression="zstd", compression_level=1,
        column_encoding={ROW: "DELTA_BINARY_PACKED"},
    ) as writer:  # fmt: skip
        for part in parts:
            start = 0
            while num + part.num_rows - start >= group:
                stop = start + group - num
                held.append(part.slice(start, group - num))
                writer.write_table(pa.Table.from_batches(held), row_group_size=group)
                held, num, start = [], 0, stop
            if start < part.num_rows:
                held.append(part.slice(start))
                num += part.num_rows - start
        if held:
            writer.write_table(pa.Table.from_batches(held), row_group_size=group)
