"""The redshifts of a run as a HATS catalogue, with all rows and columns of the input.

Where the input is one, its pixels are kept, and each file is written as the input's is read. Other
inputs are divided on the sky: their rows are sorted by pixels of order 29 in runs, as large as the
memory for them, from which the file of each pixel is put together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from truez.catalogs.hats_folder import (
    INDEX,
    INDEX_ORDER,
    INFO,
    PROPERTIES,
    HatsWriter,
    is_hats,
    pixel_path,
    pixels_in,
    properties_of,
)
from truez.mesh.healpix import centers, nested
from truez.mesh.sphere import separation
from truez.sky.distributed.join_catalog import CatalogJoin
from truez.sky.partition.hats import HatsCatalog
from truez.sky.partition.sky_input import Places
from truez.support.disk import check_disk
from truez.support.files import atomic_folder, system_errors
from truez.support.provenance import versions
from truez.support.temporaries import remove

Ints = NDArray[np.int64]
#: What a catalogue that truez wrote says in its properties.
BUILDER = "hats_builder=truez "
#: Files and folders of a catalogue.
CONTENTS = ("dataset", INFO, PROPERTIES)
#: Rows of a pixel at most, and bytes of one, and of rows that are sorted at a time.
_MOST_ROWS, _MOST_BYTES = 10**6, 2**28
#: Pixels of this order are not divided further; rows of a batch of a run.
_FINEST, _BATCH = 9, 2**13
#: How far an index may be from the direction [deg].
_NEAR = 1e-3


@dataclass(frozen=True, eq=False)
class HatsJoin:
    """The redshifts of a run as a HATS catalogue.

    Parameters
    ----------
    joined : CatalogJoin
        Which patches, and the names of the new columns.
    """

    joined: CatalogJoin

    def check(self, path: str | Path) -> None:
        """Raise a ValueError if the catalogue cannot be written to a path."""
        self.joined.check(path)
        partition = self.joined.run.partition
        if not self._places.in_degrees:
            raise ValueError(
                f"{path} is of HATS, whose directions are in degrees, and those of "
                f"{self._places.given.path} are not: give a name that ends with .parquet"
            )
        if self._own is None:  # the runs as well
            check_disk(2 * self.joined.row_bytes * partition.num_rows("photo"), path)

    def write(self, path: str | Path) -> None:
        """Write the catalogue, in place of an earlier one that truez wrote.

        Raises
        ------
        ValueError
            If a file cannot be read, or the input has changed.
        """
        before = _files_of(path)
        with atomic_folder(path, last=PROPERTIES) as temporary:
            writer = HatsWriter(temporary)
            if self._own is None:
                runs = temporary / "runs"
                self._write_sorted(writer, runs)
                remove(runs)
            else:
                self._write_own(writer, self._own)
            ra, dec = self._places.angles
            writer.finish(
                {
                    "obs_collection": "_".join(Path(path).stem.split()), "hats_col_ra": ra,
                    "hats_col_dec": dec, "hats_col_healpix": self._index[0],
                    "hats_col_healpix_order": self._index[1],
                    BUILDER.partition("=")[0]: f"truez {versions()['truez']}",
                }
            )  # fmt: skip
        for gone in before - _files_of(path):
            remove(gone)

    def _write_own(self, writer: HatsWriter, own: HatsCatalog) -> None:
        """Write the pixels of the input."""
        first = own.first

        def place_of(one: tuple[int, Any]) -> int:
            return int(np.searchsorted(first, one[0], side="right")) - 1

        for place, tables in groupby(self.joined.tables(), place_of):
            writer.write(
                int(own.orders[place]), int(own.pixels[place]),
                (self._with_index(start, table) for start, table in tables),
            )  # fmt: skip

    def _write_sorted(self, writer: HatsWriter, folder: Path) -> None:
        """Write pixels of about the same number of rows, of an input in any order."""
        folder.mkdir()
        runs: list[_Run] = []
        counts = np.zeros(12 * 4**_FINEST, np.int64)
        held: list[Any] = []
        size = 0
        for start, table in self.joined.tables():
            held.append(self._with_index(start, table))
            size += held[-1].nbytes
            pixels = held[-1][INDEX].to_numpy() >> 2 * (INDEX_ORDER - _FINEST)
            np.add.at(counts, pixels, 1)
            if size >= _MOST_BYTES:
                runs.append(_Run.write(folder / f"{len(runs)}.arrow", held))
                held, size = [], 0
        if held:
            runs.append(_Run.write(folder / f"{len(runs)}.arrow", held))
        del held
        most = min(_MOST_ROWS, max(int(_MOST_BYTES / self.joined.row_bytes), 1))
        pixels_of = pixels_with(counts, most)
        for place, (order, pixel) in enumerate(pixels_of):
            self.joined.progress("writing pixels", place, len(pixels_of))
            shift = 2 * (INDEX_ORDER - order)
            parts = [run.between(pixel << shift, (pixel + 1) << shift) for run in runs]
            whole = pa.concat_tables([part for part in parts if part is not None])
            writer.write(order, pixel, [_sorted(whole)])

    def _with_index(self, start: int, table: Any) -> Any:
        """A table with the index on the sky, as its first column where the input has none."""
        ra, dec, _, _ = self._places.of(start, table)
        if self._index[0] not in table.column_names:
            index = pa.array(nested(ra, dec, 2**INDEX_ORDER))
            return table.add_column(0, pa.field(INDEX, pa.int64()), index)
        if self._own is not None:
            return table
        column = table[INDEX]
        place = table.column_names.index(INDEX)
        if pa.types.is_integer(column.type) and not column.null_count:
            known = np.clip(column.to_numpy().astype(np.int64), 0, 12 * 4**INDEX_ORDER - 1)
            if (separation(*centers(known, 2**INDEX_ORDER), ra, dec) <= _NEAR).all():
                return table.set_column(place, pa.field(INDEX, pa.int64()), pa.array(known))
        raise ValueError(
            f"{self._places.given.path} has a column {INDEX!r} that is not the pixel of the "
            "directions: rename it"
        )

    @cached_property
    def _own(self) -> HatsCatalog | None:
        """The input, if it is a HATS catalogue."""
        given = replace(self.joined.run.partition.given("photo"), columns=None)
        return HatsCatalog.open(given, "photo") if is_hats(given.path) else None

    @cached_property
    def _places(self) -> Places:
        given = self.joined.run.partition.given("photo")
        stream = self.joined.first_stream
        return Places(given, stream.schema, stream.row_in_words)

    @cached_property
    def _index(self) -> tuple[str, int]:
        """Name and order of the index on the sky: that of the input, where it says so."""
        if self._own is not None:
            about = properties_of(self._own.given.path)
            name, order = about.get("hats_col_healpix"), about.get("hats_col_healpix_order", "")
            if name in self.joined.first_stream.schema.names and order.isdecimal():
                return str(name), int(order)
        return INDEX, INDEX_ORDER


@dataclass(frozen=True, eq=False)
class _Run:
    """Rows in the order of the sky, in a file of Arrow, and the first index of each batch."""

    path: Path
    first: list[int]

    @classmethod
    def write(cls, path: Path, tables: Iterable[Any]) -> _Run:
        whole = _sorted(pa.concat_tables(tables))
        first = []
        with (
            system_errors(), pa.OSFile(str(path), "wb") as file,
            pa.ipc.new_file(file, whole.schema) as writer,
        ):  # fmt: skip
            for start in range(0, whole.num_rows, _BATCH):
                part = whole.slice(start, _BATCH).combine_chunks()
                first.append(part[INDEX][0].as_py())
                writer.write_table(part)
        return cls(path, first)

    def between(self, low: int, high: int) -> Any | None:
        """Rows whose index is from ``low`` to below ``high``, None where there are none."""
        start = max(bisect_left(self.first, low) - 1, 0)
        parts = []
        with pa.memory_map(str(self.path)) as file, pa.ipc.open_file(file) as reader:
            for place in range(start, bisect_left(self.first, high)):
                batch = reader.get_batch(place)
                own = np.searchsorted(batch.column(INDEX).to_numpy(), [low, high])
                if own[0] < own[1]:
                    parts.append(batch.slice(own[0], own[1] - own[0]))
        return pa.Table.from_batches(parts) if parts else None


def pixels_with(counts: Ints, most: int) -> list[tuple[int, int]]:
    """Orders and numbers of pixels that hold all rows and at most a number of them each.

    Parameters
    ----------
    counts : (12 4^order,) ints
        Rows of the pixels of an order, which are not divided.
    most : int

    Returns
    -------
    list of tuple
        In the order of the sky, without empty pixels: each the largest that holds no more.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.sky.distributed.join_hats import pixels_with
    >>> counts = np.zeros(48, int)
    >>> counts[[0, 1, 4]] = 3, 3, 5
    >>> pixels_with(counts, 5)
    [(1, 0), (1, 1), (0, 1)]
    """
    levels = [np.asarray(counts, np.int64)]
    while len(levels[0]) > 12:
        levels.insert(0, levels[0].reshape(-1, 4).sum(axis=1))
    found, open_pixels = [], np.arange(12)
    for order, own in enumerate(levels):
        held = own[open_pixels]
        is_last = order == len(levels) - 1
        kept = open_pixels[(held > 0) & ((held <= most) | is_last)]
        found += [(order, pixel) for pixel in kept.tolist()]
        open_pixels = (4 * open_pixels[held > most][:, None] + np.arange(4)).ravel()
    return sorted(found, key=lambda one: one[1] << 2 * (INDEX_ORDER - one[0]))


def _sorted(table: Any) -> Any:
    """A table in the order of the sky, rows of one pixel in their order."""
    order = np.argsort(table[INDEX].to_numpy(), kind="stable")
    return table.combine_chunks().take(pa.array(order))


def _files_of(path: str | Path) -> set[Path]:
    """The files of the pixels of a catalogue that truez wrote."""
    folder = Path(path)
    about = folder / PROPERTIES
    if not about.is_file() or BUILDER not in about.read_text(encoding="utf-8"):
        return set()
    try:
        listed = pixels_in(folder)
    except (OSError, ValueError):
        return set()
    return {folder / "dataset" / f"{pixel_path(order, pixel)}.parquet"
            for order, pixel, _ in listed}  # fmt: skip
