"""A catalogue of any number of files as a stream of arrow tables, from any row on.

Local files of all formats, patterns of them and folders of Parquet files; and Parquet files, or
folders of them, on the systems that pyarrow or fsspec reach, such as ``s3://bucket/photo``. Rows
are numbered from 0 through all files, in the order of the files' names. Only a batch of rows is in
memory at a time. Files of Parquet are entered at the group that holds a row; others are read from
their beginning, and rows before the first that is wanted are let go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from truez.catalogs import formats
from truez.catalogs.coordinates import find_columns
from truez.catalogs.formats import CatalogError
from truez.catalogs.formats.parquet import arrow_table, schema_units
from truez.catalogs.locations import Location, location_of

#: Bytes of a value whose type states none, such as text.
_UNSTATED = 16
#: Rows that are looked at for the types of columns, in files that do not state them.
_LOOK = 1000


@dataclass(frozen=True)
class StreamFile:
    """A file of a catalogue.

    Parameters
    ----------
    path : str
    size, modified : int
        Bytes, and the time of the last change [ns]; 0 where a remote system states none.
    rows : int, optional
        None where only a pass through the file counts them.
    """

    path: str
    size: int
    modified: int
    rows: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, by which a changed file is recognized."""
        return vars(self).copy()


@dataclass(frozen=True, eq=False)
class CatalogStream:
    """Columns of a catalogue of one or more files.

    Parameters
    ----------
    files : sequence of StreamFile
    schema : pyarrow.Schema
        Of the columns, in the catalogue's own spelling, with the metadata ``unit`` of those whose
        unit is stated.
    row_bytes : float
        Mean size of a row in memory, about [bytes].

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from truez import Catalog
    >>> from truez.catalogs.stream import CatalogStream
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part in range(2):
    ...         Catalog({"x": np.arange(4.0) + 4 * part}).write(f"{folder}/{part}.fits")
    ...     stream = CatalogStream.open(f"{folder}/*.fits", ["X"])
    ...     [(first, table["x"].to_pylist()) for first, table in stream.batches(3, start=3)]
    [(3, [3.0, 4.0, 5.0]), (6, [6.0, 7.0])]
    """

    files: tuple[StreamFile, ...]
    schema: Any
    row_bytes: float
    _location: Location
    _counted: dict[str, int] = field(default_factory=dict, repr=False)

    @classmethod
    def open(
        cls, path: str | Path, columns: Sequence[str] | None = None, *, name: str | None = None
    ) -> CatalogStream:
        """Find the files and their columns.

        Parameters
        ----------
        path : str or Path
            A file, a pattern of files, or a folder of Parquet files; local or remote.
        columns : sequence of str, optional
            Columns without regard to case, all by default. In Parquet they may be nested.
        name : str, optional
            Of the catalogue, for messages; the path by default.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If a column is missing in one of the files or has another type there, or a file cannot
            be read.
        """
        location = location_of(str(path))
        files = location.files()
        known = _names(location, files[0])
        wanted = known if columns is None else list(dict.fromkeys(columns))
        schema = _schema(location, files[0], find_columns(wanted, known, name or str(path)))
        row_bytes = _row_bytes(location, files[0], schema)
        stream = cls(_counted(location, files, schema), schema, row_bytes, location)
        if stream.num_rows == 0:
            raise CatalogError(f"{path} holds no rows")
        return stream

    @property
    def num_rows(self) -> int | None:
        """Rows of all files, None where only a pass counts them."""
        rows = [one.rows for one in self.files]
        return None if None in rows else sum(one for one in rows if one is not None)

    @property
    def units(self) -> dict[str, str]:
        """Units of the columns that have one."""
        return schema_units(self.schema)

    def batches(self, rows: int, *, start: int = 0) -> Iterator[tuple[int, Any]]:
        """Tables of ``rows`` rows, the last one shorter, each with the number of its first row.

        Parameters
        ----------
        rows : int
        start : int
            The first row.

        Raises
        ------
        ValueError
            If a file cannot be read, or has other columns or types than the first one.
        """
        held: list[Any] = []
        num, first = 0, start
        for table in self._tables(rows, start):
            held.append(table)
            num += table.num_rows
            while num >= rows:
                whole = pa.concat_tables(held)
                yield first, whole.slice(0, rows)
                held, num, first = [whole.slice(rows)], num - rows, first + rows
                del whole
        if num:
            yield first, pa.concat_tables(held)

    def row_in_words(self, row: int) -> str:
        """``row 12 of FILE`` in words; rows count from 0 in each file."""
        for one in self.files:
            rows = self._counted.get(one.path, one.rows)
            if rows is None or row < rows:
                break
            row -= rows
        return f"row {row} of {one.path}"

    def _tables(self, rows: int, start: int) -> Iterator[Any]:
        """The rows from one on, in pieces of any length."""
        for one in self.files:
            known = self._counted.get(one.path, one.rows)
            if known is not None and start >= known:
                start -= known
                continue
            skipped = start
            for table in self._tables_of(one, rows, start):
                yield table
                skipped += table.num_rows
            # Of a file whose rows are not known, fewer than ``start`` may be there.
            if known is None and skipped > start:
                self._counted[one.path] = skipped
            start = 0

    def _tables_of(self, one: StreamFile, rows: int, start: int) -> Iterator[Any]:
        """The rows of one file from one on."""
        if not self._location.is_parquet(one.path):
            header = formats.header(Path(one.path))
            for columns in formats.chunks(Path(one.path), self.schema.names, rows, header.masks):
                held = len(next(iter(columns.values())))
                if held > start:
                    table = _cast(arrow_table(columns), self.schema, one.path)
                    yield table.slice(start)
                start = max(start - held, 0)
            return
        with _reading(one.path), self._location.parquet(one.path) as file:
            groups: list[int] = []
            for number in range(file.metadata.num_row_groups):
                held = file.metadata.row_group(number).num_rows
                if groups or held > start:
                    groups.append(number)
                else:
                    start -= held
            batches = file.iter_batches(
                batch_size=rows, row_groups=groups, columns=self.schema.names
            ) if groups else ()  # fmt: skip
            for batch in batches:
                if batch.num_rows > start:
                    yield _cast(pa.table(batch).slice(start), self.schema, one.path)
                start = max(start - batch.num_rows, 0)


def _counted(location: Location, files: Sequence[str], schema: Any) -> tuple[StreamFile, ...]:
    """The files with their rows, each of which must have the columns."""
    found = []
    for path in files:
        size, modified = location.stamp(path)
        rows: int | None = None
        if location.is_parquet(path):
            with _reading(path), location.parquet(path) as file:
                _check_columns(file.schema_arrow.names, schema, path)
                rows = file.metadata.num_rows
        else:
            header = formats.header(Path(path))
            _check_columns(header.columns, schema, path)
            lengths = {header.lengths[name] for name in schema.names if name in header.lengths}
            rows = lengths.pop() if len(lengths) == 1 else None
        found.append(StreamFile(path, size, modified, rows))
    return tuple(found)


def _check_columns(known: Sequence[str], schema: Any, path: str) -> None:
    lost = next((name for name in schema.names if name not in known), None)
    if lost is not None:
        find_columns([lost], [one for one in known if one.lower() != lost.lower()], path)


def _names(location: Location, path: str) -> list[str]:
    if location.is_parquet(path):
        with _reading(path), location.parquet(path) as file:
            return list(file.schema_arrow.names)
    return list(formats.header(Path(path)).columns)


def _schema(location: Location, path: str, names: Sequence[str]) -> Any:
    """Columns of a file and their types, dictionaries as what they hold."""
    if location.is_parquet(path):
        with _reading(path), location.parquet(path) as file:
            whole = file.schema_arrow
        units, types = schema_units(whole), {}
        for name in names:
            kind = whole.field(name).type
            types[name] = kind.value_type if pa.types.is_dictionary(kind) else kind
    else:
        header = formats.header(Path(path))
        units = header.units
        first = next(formats.chunks(Path(path), names, _LOOK, header.masks), None)
        if first is None:
            raise CatalogError(f"{path} holds no rows")
        types = {item.name: item.type for item in arrow_table(first).schema}
    return pa.schema([_field(name, types[name], units) for name in names])


def _field(name: str, kind: Any, units: Mapping[str, str]) -> Any:
    return pa.field(name, kind, metadata={"unit": units[name]} if name in units else None)


def _row_bytes(location: Location, path: str, schema: Any) -> float:
    """Mean size of a row in memory, about [bytes]."""
    total = 0.0
    for item in schema:
        try:
            total += item.type.bit_width / 8
        except ValueError:  # text, and lists of any length
            total += _UNSTATED
    if location.is_parquet(path) and any(_is_long(item.type) for item in schema):
        with _reading(path), location.parquet(path) as file:
            if file.metadata.num_rows:
                groups = range(file.metadata.num_row_groups)
                held = sum(file.metadata.row_group(i).total_byte_size for i in groups)
                total = max(total, held / file.metadata.num_rows)
    return total


def _is_long(kind: Any) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_struct, pa.types.is_string)
    return any(test(kind) for test in tests)


def _cast(table: Any, schema: Any, path: str) -> Any:
    """A table with the types of the schema."""
    table = table.select(schema.names)
    columns = []
    for name, column in zip(schema.names, table.columns, strict=True):
        kind = schema.field(name).type
        if column.type != kind:
            try:
                column = column.cast(kind)
            except pa.ArrowInvalid:
                raise CatalogError(
                    f"column {name!r} of {path} is {column.type}, and in the files before it is "
                    f"{kind}: write it with one type in all files"
                ) from None
            except pa.ArrowNotImplementedError:
                raise CatalogError(
                    f"column {name!r} of {path} is {column.type}, which is no {kind} as in the "
                    "files before it: write it with one type in all files"
                ) from None
        columns.append(column)
    return pa.table(columns, schema=schema)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """One sentence for what the library says of a damaged file."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise CatalogError(
            f"{path} cannot be read as Parquet: it is cut off, damaged or of an unusual kind: copy "
            "or write it again"
        ) from error
