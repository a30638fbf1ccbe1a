"""One catalogue of the redshifts of a run, with the columns and in the order of the input."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from truez.catalogs.catalog import Catalog
from truez.catalogs.coordinates import SkyCoordinates, find_columns
from truez.catalogs.formats.parquet import columns_of_table, schema_units
from truez.catalogs.hats_folder import is_hats
from truez.catalogs.stream import CatalogStream
from truez.sky.catalog import NAMES, check_output, new_names, refuse_taken, units_of_new
from truez.sky.catalog import write_redshifts as write_in_memory
from truez.sky.distributed.driver import REDSHIFT_BYTES, bytes_of_galaxy
from truez.sky.distributed.join_field import shells_found
from truez.sky.distributed.opened import OpenRun
from truez.sky.distributed.patch import field_metadata
from truez.sky.distributed.patch_pdfs import QUANTILES, pdf_encoding, pdf_field
from truez.sky.distributed.redshift_parts import PdfParts, RedshiftParts, Window, reading
from truez.sky.layout import Layout
from truez.sky.partition.hats import HatsCatalog
from truez.sky.partition.patch_surveys import patch_surveys
from truez.sky.partition.shared import needed_columns
from truez.sky.partition.sky_input import CORE, ROW, Places
from truez.sky.partition.stored import PatchInputs, PatchSample
from truez.sky.redshifts import FLAGS, Sharpener
from truez.support.disk import check_disk
from truez.support.files import atomic_folder, atomic_path, system_errors
from truez.support.memory import check_memory
from truez.support.notes import Note
from truez.support.progress import Progress, silent
from truez.surveys.pdfs.quantile_lists import numbers_of_lists, quantile_lists

Bools = NDArray[np.bool_]
#: Rows that are looked up at a time, and that are read and written at a time.
_WINDOW, _ROWS = 2**22, 2**18
#: The file of a folder of redshifts that is moved into place last.
ABOUT = "about.json"


@dataclass(frozen=True, eq=False)
class CatalogJoin:
    """The redshifts of a run as a catalogue.

    Parameters
    ----------
    run : OpenRun
    numbers : list of int
        Patches that are joined; galaxies of others have no posterior.
    prefix : str
        Of the names of the new columns.
    progress : Progress
    """

    run: OpenRun
    numbers: list[int]
    prefix: str = ""
    progress: Progress = silent

    def check(self, path: str | Path) -> None:
        """Raise a ValueError if the catalogue cannot be written to a path."""
        if not self.run.plan.wanted.redshifts:
            raise ValueError(
                f"the run {self.run.folder.path} makes no redshifts: leave redshifts out"
            )
        given = self.run.partition.given("photo")
        names = self._streams[0][1].schema.names
        refuse_taken(names, given.path, self.prefix)
        own = f"{self.prefix}{QUANTILES}"
        if self._with_pdfs and own.lower() in map(str.lower, names):
            raise ValueError(
                f"{given.path} has a column {own} already: give prefix, such as truez_, for the "
                "names of the new columns"
            )
        if Path(path).resolve() == Path(given.path).resolve():
            raise ValueError(f"{path} is the photometric catalogue of the run: give another name")
        num = self.run.partition.num_rows("photo")
        check_disk(self.row_bytes * num, path)
        if Path(path).suffix in ("", ".hats", ".parquet"):
            return
        if self._with_pdfs:
            warnings.warn(
                f"p(z) are left out of {path}: a name that ends with .parquet has them", Note,
                stacklevel=2,
            )  # fmt: skip
        if not Path(given.path).is_file():
            raise ValueError(
                f"{path} is written from a catalogue of one file, and {given.path} are several: "
                "give a name that ends with .parquet"
            )
        check_memory(
            2 * REDSHIFT_BYTES * num, f"a catalogue of {num} galaxies as {Path(path).suffix}",
            "give a name that ends with .parquet",
        )  # fmt: skip
        check_output(path, given.path, num, prefix=self.prefix)

    def write(self, path: str | Path) -> None:
        """Write it: a Parquet file as a stream; other formats, of smaller catalogues, from memory.

        Raises
        ------
        ValueError
            If a file cannot be read, or the input has changed.
        """
        if Path(path).suffix == ".parquet":
            schema = self._schema(self._streams[0][1].schema)
            with (
                atomic_path(path) as temporary, system_errors(),
                self._writer(temporary, schema) as writer,
            ):  # fmt: skip
                for _, table in self.tables():
                    writer.write_table(table)
            return
        parts = [new for _, new, _ in self._batches(pdfs=False)]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in NAMES}
        given = self.run.partition.given("photo")
        write_in_memory(path, given.path, columns, prefix=self.prefix, metadata=self._metadata)

    def write_folder(self, path: str | Path) -> None:
        """Write a folder of Parquet files, one of each patch and one of the other galaxies.

        They have the columns that the partition has kept, and ``truez_row``.
        """
        partition, folder = self.run.partition, self.run.folder
        with atomic_folder(path, last=ABOUT) as temporary:
            for place, number in enumerate(self.numbers):
                self.progress("joining redshifts", place, len(self.numbers))
                table = partition.table("photo", number).drop_columns([CORE])
                new = pq.read_table(folder.redshifts(number))
                rows = np.searchsorted(table[ROW].to_numpy(), new[ROW].to_numpy())
                table = table.take(pa.array(rows))
                own = {name: new[name].to_numpy() for name in NAMES}
                schema = self._schema(table.schema)
                out = temporary / f"patch-{number:05d}.parquet"
                with system_errors(), self._writer(out, schema) as writer:
                    for start, stop, pdfs in self._pdfs_of(number, len(table)):
                        some = {name: values[start:stop] for name, values in own.items()} | pdfs
                        part = table.slice(start, stop - start)
                        writer.write_table(self._with(part, some, schema))
            self._write_rest(temporary / "rest.parquet")
            (temporary / ABOUT).write_text(json.dumps(self._metadata), encoding="utf-8")

    def _pdfs_of(self, number: int, num: int) -> Iterator[tuple[int, int, dict[str, NDArray[Any]]]]:
        """Ranges of the galaxies of a patch, with their p(z) if there are any."""
        if not self._with_pdfs:
            yield 0, num, {}
            return
        path, start = self.run.folder.pdfs(number), 0
        with reading(path), pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(_ROWS // 4, columns=[QUANTILES]):
                stop = start + len(batch)
                yield start, stop, {QUANTILES: numbers_of_lists(batch.column(0))}
                start = stop

    def tables(self) -> Iterator[tuple[int, Any]]:
        """All rows as they are written, in tables, each with the number of its first row."""
        schema = self._schema(self._streams[0][1].schema)
        for table, new, _ in self._batches(pdfs=self._with_pdfs):
            yield int(new[ROW][0]), self._with(table, new, schema)

    @property
    def first_stream(self) -> CatalogStream:
        """All columns of the input, or of its first file."""
        return self._streams[0][1]

    @property
    def row_bytes(self) -> float:
        """Size of a row with the new columns, about [bytes]."""
        return bytes_of_galaxy(self.run.plan.wanted) + self._streams[0][1].row_bytes

    def _write_rest(self, path: Path) -> None:
        """Write the galaxies that are in no patch."""
        writer = None
        with system_errors():
            for table, new, known in self._batches(pdfs=False):
                rows = np.flatnonzero(~known)
                own = {name: values[rows] for name, values in new.items() if name != ROW}
                own[QUANTILES] = np.full((len(rows), self._num_quantiles), np.nan, np.float32)
                part = table.take(pa.array(rows)).append_column(ROW, pa.array(new[ROW][rows]))
                schema = self._schema(part.schema)
                writer = writer or self._writer(path, schema)
                writer.write_table(self._with(part, own, schema))
            if writer is not None:
                writer.close()

    @property
    def _with_pdfs(self) -> bool:
        return self.run.plan.wanted.pdf

    @property
    def _num_quantiles(self) -> int:
        return self.run.plan.wanted.quantiles

    def _writer(self, path: Path, schema: Any) -> Any:
        """A Parquet file that is written a part of the rows at a time."""
        how: dict[str, Any] = {"compression": "zstd"}
        if self._with_pdfs:
            how = pdf_encoding(schema, f"{self.prefix}{QUANTILES}")
        return pq.ParquetWriter(path, schema, **how)

    def _batches(
        self, *, pdfs: bool
    ) -> Iterator[tuple[Any, dict[str, NDArray[Any]], Bools]]:  # fmt: skip
        """The rows of the input, their redshifts, and which of them have those of a patch.

        With p(z), of which a row is long, fewer of them at a time.
        """
        total, start, length = self.run.partition.num_rows("photo"), 0, _ROWS
        folder, windows = self.run.folder, [Window(self._parts, _WINDOW, total)]
        if pdfs:
            length = _ROWS // 4
            parts = PdfParts([folder.pdfs(n) for n in self.numbers], self._num_quantiles)
            windows.append(Window(parts, _WINDOW // 8, total))
        for first, stream in self._streams:
            places = Places(self.run.partition.given("photo"), stream.schema, stream.row_in_words)
            for own, table in stream.batches(length):
                start, stop = first + own, first + own + len(table)
                if stop > total:
                    break
                new, known = windows[0].rows(start, stop)
                for window in windows[1:]:
                    new |= window.rows(start, stop)[0]
                self._fill(places, own, table, new, ~known)
                new[ROW] = np.arange(start, stop)
                yield table, new, known
                self.progress("joining redshifts", stop, total)
                start = stop
        if start != total:
            raise ValueError(
                f"{self.run.partition.given('photo').path} has other rows than when it was divided:"
                " has it changed?"
            )

    def _fill(
        self, places: Places, first: int, table: Any, new: Mapping[str, NDArray[Any]], lost: Bools
    ) -> None:
        """Flag the galaxies that are in no patch that is joined."""
        rows = np.flatnonzero(lost)
        if not len(rows):
            return
        ra, dec, z, _ = places.of(first, table)
        sky = SkyCoordinates(ra[rows], dec[rows], z[rows])
        part = table.select(self._needed).combine_chunks().take(pa.array(rows))
        nested = [item.name for item in part.schema if pa.types.is_nested(item.type)]
        sample = PatchSample(
            Catalog(columns_of_table(part), schema_units(part.schema)), rows,
            np.zeros(len(rows), np.bool_), sky, part.select(nested),
        )  # fmt: skip
        shared, patches = self.run.shared, self.run.partition.patches
        surveys = patch_surveys(PatchInputs(patches[0], sample, self._no_spec), shared)
        patch_of = patches.patch_of(sky.ra, sky.dec, surveys.photo.redshift)
        patch_of = np.where((patch_of >= 0) & ~np.isin(patch_of, self.numbers), 0, -1)
        found = Sharpener(surveys, Layout((), surveys.cosmology), patch_of=patch_of).columns()
        for name in NAMES:
            new[name][rows] = found[name]

    @cached_property
    def _needed(self) -> list[str]:
        """The columns of the input that the surveys of its galaxies are made of."""
        partition = self.run.partition
        names = [*partition.given("photo").places, *needed_columns(self.run.shared, partition)[
            "photo"]]  # fmt: skip
        there = self._streams[0][1].schema.names
        return list(dict.fromkeys(find_columns(list(dict.fromkeys(names)), there, "photo")))

    @cached_property
    def _no_spec(self) -> PatchSample | None:
        """No spectroscopic galaxies, with their columns."""
        columns = needed_columns(self.run.shared, self.run.partition)
        found = self.run.partition.read(0, columns).spec
        if found is None:
            return None
        none, sky = np.zeros(0, np.int64), found.sky
        return PatchSample(
            found.catalog.select(none), found.rows[:0], found.core[:0],
            SkyCoordinates(sky.ra[:0], sky.dec[:0], sky.redshift[:0]), found.nested.slice(0, 0),
        )  # fmt: skip

    @cached_property
    def _streams(self) -> list[tuple[int, CatalogStream]]:
        """All columns of the input, with the number of its first row."""
        given = replace(self.run.partition.given("photo"), columns=None)
        if is_hats(given.path):
            return list(HatsCatalog.open(given, "photo").streams())
        return [(0, given.open("photo"))]

    @cached_property
    def _parts(self) -> RedshiftParts:
        return RedshiftParts([self.run.folder.redshifts(number) for number in self.numbers])

    @cached_property
    def _metadata(self) -> dict[str, Any]:
        meaning = {str(bit): words for bit, words in FLAGS.items()}
        about = field_metadata(self.run, shells_found(self.run, self.numbers))
        return {**about, "interval": self.run.plan.wanted.interval, "flag": meaning}

    def _schema(self, schema: Any) -> Any:
        """A schema with the new columns."""
        units = units_of_new(self.prefix)
        kinds = {"spec_matched": pa.bool_(), "flag": pa.int16()}
        for own, name in zip(NAMES, new_names(self.prefix), strict=True):
            unit = {"unit": units[name]} if name in units else None
            schema = schema.append(pa.field(name, kinds.get(own, pa.float64()), metadata=unit))
        if self._with_pdfs:
            schema = schema.append(pdf_field(self.run.plan.wanted.levels, self.prefix))
        return schema.with_metadata({"truez": json.dumps(self._metadata)})

    def _with(self, table: Any, new: Mapping[str, NDArray[Any]], schema: Any) -> Any:
        """A table with the new columns."""
        arrays = [pa.chunked_array([pa.array(new[name])]) for name in NAMES]
        if self._with_pdfs:
            arrays.append(pa.chunked_array([quantile_lists(new[QUANTILES])]))
        return pa.table([*table.columns, *arrays], schema=schema)
