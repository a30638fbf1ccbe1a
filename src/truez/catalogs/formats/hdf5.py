"""HDF5: every dataset of shape (n,) or (n, m) is a column, named by its path in the file.

Nested datasets are ``group/x``, the fields of a compound dataset ``table`` are ``table/x``, the
components of an (n, m) dataset ``v`` are ``v.0``, ``v.1``, ... A unit is the attribute ``unit`` (or
``units``, in any case) of the dataset, or that of astropy's description of a table. The metadata
are the attributes of the file; truez writes its own as JSON in the attribute ``metadata``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from truez.catalogs.formats._base import (
    Array,
    CatalogError,
    Columns,
    Header,
    Layout,
    component_names,
    pick_chunks,
    plain,
    unfit,
    unit_among,
    unit_text,
    with_own,
)
from truez.catalogs.formats._headers import units_of
from truez.catalogs.formats._missing import masked, missing
from truez.support.files import system_errors
from truez.support.hdf5 import created

NAME = "HDF5"
SUFFIXES = (".h5", ".hdf5")


# The dataset beside a table of astropy that describes its columns.
_ASTROPY = ".__table_column_meta__"
# Attributes of the number that stands for a missing value, as netCDF writes them.
_FILL = {"_FillValue", "missing_value"}
# Links to links of groups can name more datasets than a file has bytes.
_MOST_DATASETS = 100_000


class _Rows:
    """Rows of a dataset, or of one field of a compound dataset; text comes as str."""

    def __init__(self, dataset: Any, field: str | None = None) -> None:
        self.attrs = dataset.attrs
        self._fields, self._field = dataset.dtype.names, field
        self.dtype = dataset.dtype if field is None else dataset.dtype[field].base
        extra = () if field is None else dataset.dtype[field].shape
        self.shape = dataset.shape + extra
        if field is not None:
            self._source = dataset.fields(field)
        elif h5py.check_string_dtype(dataset.dtype) is not None:
            self._source = dataset.asstr()
        else:
            self._source = dataset

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> Any:
        values = self._source[rows]
        for name in _FILL & set(self.attrs) if self.dtype.kind in "iuf" else ():
            fill = np.asarray(self.attrs[name]).ravel()
            if fill.dtype.kind in "iuf":
                values = masked(values, np.isin(values, fill))
        return values

    @property
    def unit(self) -> str:
        """The unit that the dataset states, which may be one for each field of a table."""
        stated = unit_among(self.attrs)
        if self._fields and np.size(stated) == len(self._fields) and np.ndim(stated) == 1:
            stated = stated[self._fields.index(self._field)]
        return unit_text(stated)

    @property
    def unfit(self) -> str:
        """Why this is no column, as the end of a sentence; empty where it is one."""
        # Objects are columns only where they are text; the others are references or ragged lists.
        if self.dtype.kind == "O" and h5py.check_string_dtype(self.dtype) is None:
            return "holds lists of varying length or references"
        return unfit(self.dtype, self.shape)


def _items(group: Any, prefix: str = "", above: frozenset[Any] = frozenset()) -> Iterator[Any]:
    """The datasets below a group by their names, those of links within the file too."""
    above |= {h5py.h5o.get_info(group.id).addr}
    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            continue
        item = group.get(name)  # None for a link that leads nowhere
        if isinstance(item, h5py.Group):
            # A link to a group above would go on without end.
            if h5py.h5o.get_info(item.id).addr not in above:
                yield from _items(item, f"{prefix}{name}/", above)
        elif item is not None:
            yield f"{prefix}{name}", item


def _datasets(file: Any) -> dict[str, _Rows]:
    """All arrays of a file with rows, by name."""
    found: dict[str, _Rows] = {}
    for count, (name, item) in enumerate(_items(file)):
        if count == _MOST_DATASETS:
            raise CatalogError(f"{file.filename} has more than {count} datasets, by its links")
        if not isinstance(item, h5py.Dataset) or not item.shape or name.endswith(_ASTROPY):
            continue
        if item.dtype.names is None:
            found[name] = _Rows(item)
        else:
            found.update({f"{name}/{field}": _Rows(item, field) for field in item.dtype.names})

    # Arrays without rows, such as those of an index, are no columns beside others.
    return {name: rows for name, rows in found.items() if len(rows)} or found


def _arrays(file: Any) -> dict[str, _Rows]:
    """The columns of a file, and the vectors that several of them make up."""
    return {name: rows for name, rows in _datasets(file).items() if not rows.unfit}


def _described(file: Any, arrays: Mapping[str, _Rows]) -> dict[str, str]:
    """Units of the columns of tables beside which astropy wrote a description."""
    units: dict[str, str] = {}
    for table in dict.fromkeys(name.rpartition("/")[0] for name in arrays):
        lines = file.get(table + _ASTROPY) if table else None
        if isinstance(lines, h5py.Dataset) and lines.dtype.kind in "SO":
            text = "\n".join(_text(line) for line in lines[()])
            units.update({f"{table}/{name}": unit for name, unit in units_of(text).items()})
    return units


def _text(line: Any) -> str:
    return line.decode("utf-8", "replace") if isinstance(line, bytes) else str(line)


def _check(path: Path) -> None:
    if not h5py.is_hdf5(path):
        raise CatalogError(f"{path} is not an HDF5 file")


def header(path: Path) -> Header:
    """See `truez.catalogs.formats._base.Format`."""
    _check(path)
    with h5py.File(path, "r") as file:
        columns: list[str] = []
        units: dict[str, str] = {}
        found = _datasets(file)
        arrays = {name: rows for name, rows in found.items() if not rows.unfit}
        lengths: dict[str, int] = {}
        stated = _described(file, arrays)
        for name, rows in arrays.items():
            names = component_names(name, rows.shape)
            columns += names
            unit = rows.unit or stated.get(name, "")
            if unit:
                units.update(dict.fromkeys(names, unit))
            lengths.update(dict.fromkeys(names, len(rows)))
        return Header(
            tuple(columns),
            units,
            with_own(plain(dict(file.attrs)), "metadata"),
            left_out={name: rows.unfit for name, rows in found.items() if rows.unfit},
            lengths=lengths,
        )


def chunks(path: Path, names: Sequence[str], rows: int) -> Iterator[Columns]:
    """See `truez.catalogs.formats._base.Format`."""
    with h5py.File(path, "r") as file:
        yield from pick_chunks(_arrays(file), names, rows)


def write(path: Path, layout: Layout, chunks: Iterable[Mapping[str, Array]]) -> None:
    """See `truez.catalogs.formats._base.Format`."""
    for name in layout.dtypes:
        if any(other.startswith(f"{name}/") for other in layout.dtypes):
            raise CatalogError(f"HDF5 cannot hold both a column {name!r} and a group {name!r}")
    # HDF5 has no missing values: floats are NaN, and a column of booleans marks the others.
    marked = [name for name in layout.missing if layout.dtypes[name].kind != "f"]
    for name in marked:
        if f"{name}.mask" in layout.dtypes:
            raise CatalogError(f"HDF5 cannot hold column {name}.mask beside the mask of {name!r}")
    with created(path) as file:
        for name, dtype in layout.dtypes.items():
            kind = h5py.string_dtype("utf-8") if dtype.kind == "U" else dtype
            dataset = file.create_dataset(name, (layout.num_rows,), kind)
            if name in layout.units:
                dataset.attrs["unit"] = layout.units[name]
            if name in marked:
                file.create_dataset(f"{name}.mask", (layout.num_rows,), bool)
        file.attrs["metadata"] = json.dumps(dict(layout.metadata))
        start = 0
        for chunk in chunks:
            stop = start + len(next(iter(chunk.values())))
            with system_errors():
                for name, values in chunk.items():
                    text = values.dtype.kind == "U"
                    plain_values = np.ma.getdata(values)
                    file[name][start:stop] = plain_values.astype(object) if text else plain_values
                    if name in marked:
                        file[f"{name}.mask"][start:stop] = missing(values)
            start = stop
