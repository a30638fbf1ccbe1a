"""Parquet: the top-level columns; lists of a fixed size are vectors, ``v.0``, ``v.1``, ...

A folder of Parquet files is one catalogue. Units are the metadata ``unit`` (or ``units``) of a
field, or those of astropy's header. Metadata are the JSON in the schema's metadata ``truez``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import dataset

from truez.catalogs.formats._base import (
    Array,
    CatalogError,
    Columns,
    Header,
    Layout,
    Part,
    component_names,
    header_of,
    native,
    pick,
    plain,
    refuse_twice,
    split_component,
    starts_with,
    unfit,
    unit_among,
    unit_text,
    with_own,
)
from truez.catalogs.formats._headers import units_of
from truez.catalogs.formats._missing import masked, missing, num_missing
from truez.catalogs.formats._sizes import check_text
from truez.support.tables import PARQUET, parquet_files

NAME = "Parquet"
SUFFIXES = PARQUET
# Digits of whole numbers that 64 bits hold.
_WHOLE_DIGITS = 18


def _is_scalar(kind: Any) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_boolean,
        _is_text,
    )
    return any(test(kind) for test in tests)


def _is_text(kind: Any) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def header(path: Path) -> Header:
    """See `truez.catalogs.formats._base.Format`."""
    if path.is_dir():
        abouts = [pq.read_metadata(file) for file in _files(path)]
        schema = _folder(path).schema
    elif starts_with(path, b"PAR1"):
        abouts = [pq.read_metadata(path)]
        schema = abouts[0].schema.to_arrow_schema()
    else:
        raise CatalogError(f"{path} is not a Parquet file")
    refuse_twice(path, schema.names)
    num_rows = sum(about.num_rows for about in abouts)
    texts = len(_texts_of(schema))
    left_out: dict[str, str] = {}
    parts: dict[str, Part] = {}
    stated = schema_units(schema)
    for item in schema:
        kind = item.type
        shape: tuple[int, ...] = (num_rows,)
        if pa.types.is_fixed_size_list(kind):
            kind, shape = kind.value_type, (num_rows, kind.list_size)
        size = 8
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            size = kind.bit_width // 8
        elif _is_text(kind):
            size = _unpacked(abouts) // max(texts * num_rows, 1)
        if not _is_scalar(kind):
            left_out[item.name] = f"is of the type {str(item.type)[:60]}"
        elif reason := unfit(np.dtype(np.float64), shape):
            left_out[item.name] = reason
        else:
            parts[item.name] = Part(shape, size, stated.get(item.name, ""))
    own = plain({"truez": (schema.metadata or {}).get(b"truez", b"{}")})
    return header_of(parts, with_own(own, "truez"), left_out)


def schema_units(schema: Any) -> dict[str, str]:
    """Units by column that a schema states in its fields, or in astropy's header."""
    described = (schema.metadata or {}).get(b"table_meta_yaml", b"").decode("utf-8", "replace")
    own = {item.name: unit_text(unit_among(item.metadata or {})) for item in schema}
    return units_of(described) | {name: unit for name, unit in own.items() if unit}


def _unpacked(abouts: Sequence[Any]) -> int:
    """Bytes of some files as they are before compression.

    The sizes of single columns are not asked for: in damaged files that ends the process.
    """
    groups = ((about, number) for about in abouts for number in range(about.num_row_groups))
    return sum(max(about.row_group(number).total_byte_size, 0) for about, number in groups)


def _files(path: Path) -> list[Path]:
    """The Parquet files of a folder, in the order of their names."""
    files = parquet_files(path)
    if not files:
        raise CatalogError(f"{path} is a folder without Parquet files")
    for file in files:
        if not starts_with(file, b"PAR1"):
            raise CatalogError(f"{file} is not a Parquet file")
    return files


def _folder(path: Path) -> Any:
    """The Parquet files of a folder as one data set, in the order of their names.

    Folders ``name=value`` in it are values of a column, as Spark, dask and pyarrow write them.
    """
    files = [str(file) for file in _files(path)]
    kind = dataset.ParquetFileFormat(dictionary_columns=_texts_of(pq.read_schema(files[0])))
    return dataset.dataset(files, format=kind, partitioning="hive", partition_base_dir=str(path))


def _texts_of(schema: Any) -> list[str]:
    """The columns of text, read as dictionaries: one long text may be that of a million rows."""
    return [item.name for item in schema if _is_text(item.type)]


def _chunks_of_folder(path: Path, names: Sequence[str], rows: int) -> Iterator[Columns]:
    data = _folder(path)
    bases = list(dict.fromkeys(split_component(name, set(data.schema.names))[0] for name in names))
    scanner = data.scanner(
        columns=bases, batch_size=min(rows, 2**20), batch_readahead=1, fragment_readahead=1
    )
    for batch in scanner.to_batches():
        if batch.num_rows:
            arrays = {base: numpy_from_arrow(batch.column(base), base) for base in bases}
            yield pick(arrays, names, 0, batch.num_rows)


def columns_of_table(table: Any) -> Columns:
    """The columns of an arrow table as numpy arrays; lists of a fixed size are ``v.0``, ``v.1``.

    Other nested columns are left out.
    """
    columns: Columns = {}
    for item, column in zip(table.schema, table.columns, strict=True):
        is_vector = pa.types.is_fixed_size_list(item.type)
        if not _is_scalar(item.type.value_type if is_vector else item.type):
            continue
        values = numpy_from_arrow(column, item.name)
        names = component_names(item.name, values.shape)
        parts = [values] if values.ndim == 1 else list(values.T)
        columns |= dict(zip(names, parts, strict=True))
    return columns


def numpy_from_arrow(column: Any, name: str) -> Array:
    """An arrow column as a numpy array (n,) or (n, m), masked where values are missing."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    kind = column.type
    if pa.types.is_decimal(kind):
        whole = kind.scale <= 0 and kind.precision - kind.scale <= _WHOLE_DIGITS
        column = column.cast(pa.int64() if whole else pa.float64())
    elif pa.types.is_dictionary(kind) and _is_text(kind.value_type):
        return _texts(column, name)
    elif pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
    if pa.types.is_fixed_size_list(column.type) and column.null_count == 0:
        return numpy_from_arrow(column.flatten(), name).reshape(len(column), column.type.list_size)
    if column.null_count == 0:
        return native(column.to_numpy(zero_copy_only=False), name)
    lost = column.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_fixed_size_list(column.type):
        rest = numpy_from_arrow(column.drop_null(), name)
        values = np.zeros((len(column), column.type.list_size), rest.dtype)
        mask = np.repeat(lost[:, None], values.shape[1], axis=1)
        values[~lost], mask[~lost] = np.ma.getdata(rest), missing(rest)
        return masked(values, mask)
    if pa.types.is_null(column.type):
        return masked(np.zeros(len(column)), lost)
    if not pa.types.is_floating(column.type):  # in which to_numpy makes them NaN
        column = column.fill_null("" if _is_text(kind) else pa.scalar(0).cast(column.type))
    return masked(native(column.to_numpy(zero_copy_only=False), name), lost)


def _texts(column: Any, name: str) -> Array:
    """A column of text that is stored once for all rows that share it."""
    words = native(column.dictionary.fill_null("").to_numpy(zero_copy_only=False), name)
    check_text(name, len(column), words.dtype.itemsize // 4, words.nbytes)
    lost = column.is_null().to_numpy(zero_copy_only=False)
    if not len(words):
        return masked(np.full(len(column), ""), lost)
    rows = column.indices.fill_null(0).to_numpy(zero_copy_only=False)
    none = column.dictionary.is_null().to_numpy(zero_copy_only=False)
    return masked(words[rows], lost | none[rows])


def chunks(path: Path, names: Sequence[str], rows: int) -> Iterator[Columns]:
    """See `truez.catalogs.formats._base.Format`."""
    if path.is_dir():
        yield from _chunks_of_folder(path, names, rows)
        return
    # Without this all bytes that were read stay in memory until the file is closed.
    schema = pq.read_schema(path)
    with pq.ParquetFile(path, pre_buffer=False, read_dictionary=_texts_of(schema)) as file:
        top = set(schema.names)
        bases = list(dict.fromkeys(split_component(name, top)[0] for name in names))
        rows = max(min(rows, file.metadata.num_rows), 1)
        for batch in file.iter_batches(batch_size=rows, columns=bases):
            arrays = {base: numpy_from_arrow(batch.column(base), base) for base in bases}
            yield pick(arrays, names, 0, batch.num_rows)


def arrow_table(columns: Mapping[str, Array]) -> Any:
    """The columns as an arrow table."""
    arrays = {}
    for name, values in columns.items():
        plain = np.ma.getdata(values)
        mask = missing(values) if num_missing(values) else None
        arrays[name] = pa.array(
            plain.astype(object) if plain.dtype.kind == "U" else plain, mask=mask
        )
    return pa.table(arrays)


def write(path: Path, layout: Layout, chunks: Iterable[Mapping[str, Array]]) -> None:
    """See `truez.catalogs.formats._base.Format`."""
    fields = []
    for name, dtype in layout.dtypes.items():
        kind = pa.string() if dtype.kind == "U" else pa.from_numpy_dtype(dtype)
        unit = {"unit": layout.units[name]} if name in layout.units else None
        fields.append(pa.field(name, kind, metadata=unit))
    schema = pa.schema(fields, metadata={"truez": json.dumps(dict(layout.metadata))})
    # Dictionaries do not make positions smaller, whose last digits are noise.
    text = [name for name, dtype in layout.dtypes.items() if dtype.kind not in "f"]
    with pq.ParquetWriter(path, schema, use_dictionary=text) as file:
        for chunk in chunks:
            file.write_table(arrow_table(chunk).cast(schema), row_group_size=2**20)
