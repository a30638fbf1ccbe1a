"""p(z) as nested columns of Parquet, as Rubin publishes them and LSDB and nested-pandas write them.

A nested column is a struct of lists, or a list of structs, whose fields have the names of qp:
``fzboost_ens_interp`` of ``xvals`` and ``yvals``, ``cmnn_ens_norm`` of ``loc`` and ``scale``,
``knn_ens_mixmod`` of ``means``, ``stds`` and ``weights``. Every row has its own grid; rows that
share it, and they mostly do, are read as quickly as those of qp. Shorter lists are padded, and rows
without any have no p(z). Plain lists of numbers are densities on the grid of their column, or
quantiles of the levels that it states (`truez.surveys.pdfs.quantile_lists`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from truez.support.checks import shown
from truez.surveys.pdfs.forms import Form, Steps
from truez.surveys.pdfs.layouts import GRIDS, LAYOUTS, PdfError, form_of, quantile_steps
from truez.surveys.pdfs.quantile_lists import is_sharpened, levels_of
from truez.surveys.pdfs.sources import Ranges

#: Galaxies that are read at a time.
_ROWS = 2**14
#: Numbers in the lists of that many galaxies at most.
_MOST_NUMBERS = 2**28
#: The bins of ``hist`` columns that do not hold theirs, as those of Rubin's DP1 do not.
_DP1_BINS = np.linspace(0.0, 3.0, 301)
#: What fields of the name of a layout's column may be called, and what pads a shorter list.
_PADDING = {"yvals": 0.0, "pdfs": 0.0, "weights": 0.0, "stds": 1.0, "scale": 1.0}


@dataclass(eq=False)
class ParquetPdfs(Ranges):
    """p(z) in a nested column of one file.

    Parameters
    ----------
    path : Path
    column : str
    layout : str
        Of `truez.surveys.pdfs.layouts.LAYOUTS`, each row with its own grid.
    num : int
        Galaxies.
    starts : (groups,) int array
        First row of each group of rows.
    grid : (m,) array, optional
        Levels that a column of quantiles states.
    """

    path: Path
    column: str
    layout: str
    num: int
    starts: NDArray[np.int64] = field(repr=False)
    grid: NDArray[np.float64] | None = field(default=None, repr=False)
    block: int = _ROWS
    _batches: Iterator[Any] | None = field(default=None, repr=False)
    _held: list[Any] = field(default_factory=list, repr=False)
    _first: int = field(default=0, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Without the open file: another process opens its own."""
        return {**self.__dict__, "_batches": None, "_held": [], "_first": 0}

    def read(self, start: int, stop: int) -> Form:
        """See `truez.surveys.pdfs.sources.Source`; quickest where ranges ascend."""
        with _reading(self.path):
            rows = self._rows(start, stop)
            return _form(self.layout, rows, self.path, self.column, self.grid)

    def _rows(self, start: int, stop: int) -> Any:
        """The rows as an arrow array; what was read behind them is kept for the next range."""
        end = self._first + sum(map(len, self._held))
        group, group_start = self._group(start)
        if self._batches is None or start < self._first or group_start > end:
            self._batches = _batches(self.path, self.column, group)
            self._held, self._first, end = [], group_start, group_start
        while end < stop:
            assert self._batches is not None
            batch = next(self._batches).column(0)
            self._held.append(batch)
            end += len(batch)
            while self._held and self._first + len(self._held[0]) <= start:
                self._first += len(self._held.pop(0))
        joined = pa.chunked_array(self._held).slice(start - self._first, stop - start)
        return joined.combine_chunks()

    def _group(self, row: int) -> tuple[int, int]:
        """Number and first row of the group of rows that holds a row."""
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return number, int(self.starts[number])


def _batches(path: Path, column: str, first: int) -> Iterator[Any]:
    """The rows from a group of rows on."""
    # Without this all bytes that were read stay in memory until the file is closed.
    with pq.ParquetFile(path, pre_buffer=False) as file:
        groups = list(range(first, file.metadata.num_row_groups))
        yield from file.iter_batches(batch_size=_ROWS, row_groups=groups, columns=[column])


def nested_columns(path: Path) -> dict[str, str]:
    """Layouts of the nested columns of a file that hold p(z), by the names of the columns.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    PdfError
        If it is damaged.
    """
    with _reading(path):
        schema = pq.read_schema(path)
    return nested_layouts(schema)


def nested_layouts(schema: Any) -> dict[str, str]:
    """Layouts of the columns of an arrow schema that hold p(z), by their names."""
    found = {item.name: _layout(item) for item in schema}
    return {name: layout for name, layout in found.items() if layout}


def _layout(item: Any) -> str:
    """The layout of a column, empty for one without p(z)."""
    if levels_of(item) is not None:
        return "quant"
    return "interp" if _is_known(item) else _layout_of(_fields(item.type))


def is_sharpened_column(path: Path, column: str | None) -> bool:
    """Whether a column of a file, or its only one of p(z), says that truez sharpened them."""
    found = list(nested_columns(path)) if column is None else [column]
    with _reading(path):
        schema = pq.read_schema(path)
    return any(is_sharpened(item) for item in schema if item.name in found[:1])


def num_rows(path: Path) -> int:
    """Rows of a file."""
    with _reading(path):
        return int(pq.read_metadata(path).num_rows)


@dataclass(eq=False)
class ArrowPdfs(Ranges):
    """p(z) in a nested column of an arrow table in memory.

    Parameters
    ----------
    table : pyarrow.Table
    column : str
    where : str
        The name of the table, for messages.
    """

    table: Any = field(repr=False)
    column: str
    where: str
    block: int = _ROWS

    @property
    def layout(self) -> str:
        """See `truez.surveys.pdfs.sources.Source`."""
        return nested_layouts(self.table.schema)[self.column]

    @property
    def num(self) -> int:
        """See `truez.surveys.pdfs.sources.Source`."""
        return int(self.table.num_rows)

    def read(self, start: int, stop: int) -> Form:
        """See `truez.surveys.pdfs.sources.Source`."""
        rows = self.table.column(self.column).slice(start, stop - start).combine_chunks()
        if isinstance(rows, pa.ChunkedArray):
            rows = pa.concat_arrays(rows.chunks)
        levels = levels_of(self.table.schema.field(self.column))
        return _form(self.layout, rows, Path(self.where), self.column, levels)


def open_parquet(path: Path, column: str | None = None) -> ParquetPdfs:
    """The p(z) of a nested column of a file.

    Parameters
    ----------
    path : Path
    column : str, optional
        Its name; not needed where there is only one.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    PdfError
        If it is damaged, or has no such column.
    """
    found = nested_columns(path)
    names = ", ".join(found)
    if column is None and len(found) == 1:
        column = next(iter(found))
    if column is None and found:
        raise PdfError(
            f"{path} has p(z) in {len(found)} columns, {names[:120]}: choose one as FILE#COLUMN"
        )
    if column is not None:
        alike = [name for name in found if name.lower() == column.lower()]
        column = alike[0] if column not in found and len(alike) == 1 else column
    if column not in found:
        which = f"no column {shown(column)} of p(z)" if column else "no nested column of p(z)"
        raise PdfError(f"{path} has {which}, but {names[:120] or 'none of any name'}: choose "
                       "another file or column")  # fmt: skip
    with _reading(path):
        levels = levels_of(pq.read_schema(path).field(column))
        about = pq.read_metadata(path)
        sizes = [about.row_group(number).num_rows for number in range(about.num_row_groups)]
        num, starts = int(about.num_rows), np.cumsum([0, *sizes], dtype=np.int64)
        if num != starts[-1]:
            raise ValueError("rows of groups that are not those of the file")
    if num == 0:
        raise PdfError(f"{path} has no galaxies: give a file of p(z) that has some")
    return ParquetPdfs(path, column, found[column], num, starts[:-1], levels)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Convert whatever the library says of a damaged file."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of p(z) {path}")
    try:
        yield
    except (PdfError, MemoryError):
        raise
    except Exception as error:  # pyarrow has many
        if isinstance(error, PermissionError):
            raise
        raise PdfError(f"{path} is cut off or damaged: copy or write it again") from error


def _is_known(item: Any) -> bool:
    """Whether a column is one of lists of densities on a grid that is known by its name."""
    lists = item.name.lower() in GRIDS and _is_list(item.type)
    return lists and bool(pa.types.is_floating(item.type.value_type))


def _fields(kind: Any) -> tuple[str, ...]:
    """Names of the lists of numbers of a nested column, of either kind."""
    listed = _is_list(kind)
    inner = kind.value_type if listed else kind
    if not pa.types.is_struct(inner):
        return ()
    names = []
    for number in range(inner.num_fields):
        item = inner.field(number)
        if not listed and not _is_list(item.type):
            continue
        value = item.type if listed else item.type.value_type
        if pa.types.is_floating(value) or pa.types.is_integer(value):
            names.append(item.name)
    return tuple(names)


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _layout_of(names: tuple[str, ...]) -> str:
    """The layout that has these numbers, empty for none; a grid of interp is that of the row."""
    for layout in ("interp_irregular", "quant", "norm", "mixmod", "hist"):
        shape = LAYOUTS[layout]
        grid = () if layout == "hist" or not shape.grid else (shape.grid,)
        if {*shape.columns, *grid} <= set(names):
            return layout
    return ""


def _form(
    layout: str, rows: Any, path: Path, column: str, levels: NDArray[np.float64] | None = None
) -> Form:
    """The p(z) of some rows of a nested column."""
    if levels is not None:
        return quantile_steps(levels, _padded(rows, None, path))
    if _is_list(rows.type) and not pa.types.is_struct(rows.type.value_type):
        return _densities(rows, path, column)
    shape = LAYOUTS[layout]
    lists = _lists(rows)
    values = {name: _padded(lists[name], _PADDING.get(name), path) for name in shape.columns}
    widths = {len(one[0]) for one in values.values()}
    assert len(widths) == 1
    if len({one.shape for one in values.values()}) > 1:
        raise PdfError(f"{path} has lists of different lengths in a row of {column!r}: write it "
                       "again")  # fmt: skip
    if layout == "hist":
        bins = _padded(lists["bins"], None, path) if "bins" in lists else None
        return _histogram(values["pdfs"], bins, path, column)
    if layout == "quant":
        levels = _padded(lists["quants"], None, path)
        return quantile_steps(_common(levels, path, column), values["locs"])
    return form_of(layout, None, values)


def _densities(rows: Any, path: Path, column: str) -> Form:
    """The p(z) of lists of densities on a grid that is known by the name of their column."""
    grid, lengths = GRIDS[column.lower()], _lengths(rows)
    wrong = lengths[(lengths > 0) & (lengths != len(grid))]
    if len(wrong):
        raise PdfError(
            f"{path} has {wrong[0]} numbers in a row of {column!r}, where {len(grid)} from "
            f"{grid[0]:g} to {grid[-1]:g} are known: give p(z) as hist, interp or quant of qp"
        )
    values = np.full((len(lengths), len(grid)), np.nan)
    if (lengths > 0).any():
        values[lengths > 0] = _padded(rows, None, path)[lengths > 0]
    return form_of("interp", grid, {"yvals": values})


def _histogram(
    pdfs: NDArray[np.float64], bins: NDArray[np.float64] | None, path: Path, column: str
) -> Form:
    if bins is None:
        if pdfs.shape[1] != len(_DP1_BINS) - 1:
            raise PdfError(
                f"{path} has {pdfs.shape[1]} densities in each row of {column!r}, but no bins: "
                "write them as the field bins of that column"
            )
        bins = np.broadcast_to(_DP1_BINS, (len(pdfs), len(_DP1_BINS)))
    if bins.shape[1] != pdfs.shape[1] + 1:
        raise PdfError(
            f"{path} has {bins.shape[1]} bins for {pdfs.shape[1]} pdfs in a row of {column!r}, "
            "where hist has one more: write the file again"
        )
    mass = pdfs * np.diff(bins)
    same = (bins == bins[0]).all() and (np.diff(bins[0]) > 0).all()
    return Steps(bins[0] if same else bins, mass)


def _common(levels: NDArray[np.float64], path: Path, column: str) -> NDArray[np.float64]:
    """The probabilities that quantiles of all rows belong to."""
    given = levels[~np.isnan(levels).all(1)]
    if not len(given):
        return np.linspace(0.0, 1.0, levels.shape[1])
    first: NDArray[np.float64] = given[0]
    sound = (np.diff(first) > 0).all() and first[0] >= 0 and first[-1] <= 1
    if not (given == first).all() or not sound or len(first) < 2:
        raise PdfError(
            f"{path} has quants in {column!r} that are not the same probabilities, ascending from "
            "0 to 1, in all rows: write the quantiles of one set of them"
        )
    return first


def _lists(rows: Any) -> Mapping[str, Any]:
    """The lists of each field of a nested array."""
    if pa.types.is_struct(rows.type):
        # Of a row without a value, the fields are without one too.
        fields = rows.flatten()
        names = [rows.type.field(number).name for number in range(rows.type.num_fields)]
        return dict(zip(names, fields, strict=True))
    inner = rows.type.value_type
    flat, lengths = rows.flatten().flatten(), _lengths(rows)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
    return {
        inner.field(number).name: pa.LargeListArray.from_arrays(offsets, flat[number])
        for number in range(inner.num_fields)
    }


def _lengths(lists: Any) -> NDArray[np.int64]:
    """Length of each list, 0 where there is none."""
    if pa.types.is_fixed_size_list(lists.type):
        there = lists.is_valid().to_numpy(zero_copy_only=False)
        return np.asarray(there * lists.type.list_size, np.int64)
    lengths = pa.compute.list_value_length(lists).fill_null(0)
    return np.asarray(lengths.to_numpy(zero_copy_only=False), np.int64)


def _padded(lists: Any, padding: float | None, path: Path) -> NDArray[np.float64]:
    """Lists as rows of one length, padded by a number or their last value; NaN for empty ones."""
    lengths = _lengths(lists)
    width = max(int(lengths.max(initial=0)), 1)
    if width * len(lengths) > _MOST_NUMBERS:
        raise PdfError(f"{path} has {width} numbers in a row, which is no p(z): write it again")
    flat = lists.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    result = np.full((len(lengths), width), np.nan)
    inside = np.arange(width) < lengths[:, None]
    result[inside] = flat
    short = (lengths < width) & (lengths > 0)
    if short.any():
        last = result[short, lengths[short] - 1]
        fill = last if padding is None else np.full(len(last), padding)
        result[short] = np.where(inside[short], result[short], fill[:, None])
    return result
