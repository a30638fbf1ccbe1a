"""Redshifts and p(z) of the patches of a run by the rows of the input, a range at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from truez.sky.distributed.patch import NAMES
from truez.sky.distributed.patch_pdfs import QUANTILES
from truez.sky.partition.sky_input import ROW
from truez.surveys.pdfs.quantile_lists import numbers_of_lists

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RedshiftParts:
    """The files of redshifts of some patches.

    Parameters
    ----------
    paths : list of Path
    """

    paths: list[Path]

    @cached_property
    def _groups(self) -> tuple[Ints, Ints, Ints, Ints]:
        """File, number in it, first and last row of each group of rows."""
        found: list[tuple[int, int, int, int]] = []
        for place, path in enumerate(self.paths):
            about = self._opened(path).metadata
            for number in range(about.num_row_groups):
                rows = about.row_group(number).column(0).statistics
                found.append((place, number, int(rows.min), int(rows.max)))
        values = np.array(found, np.int64).reshape(-1, 4)
        return values[:, 0], values[:, 1], values[:, 2], values[:, 3]

    @property
    def num_rows(self) -> int:
        """Galaxies in all files."""
        return sum(self._opened(path).metadata.num_rows for path in self.paths)

    def rows(self, first: int, stop: int) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
        """The redshifts of a range of rows, and which of them any file has.

        Parameters
        ----------
        first, stop : int
            Rows of the input.

        Returns
        -------
        tuple
            Columns (stop - first,), nan, False or 0 for rows that no file has; and (stop - first,)
            bools.
        """
        num = stop - first
        columns = self._empty(num)
        known = np.zeros(num, np.bool_)
        places, numbers, low, high = self._groups
        near = (high >= first) & (low < stop)
        for place in np.unique(places[near]):
            path = self.paths[int(place)]
            groups = numbers[near & (places == place)].tolist()
            with reading(path), self._opened(path) as file:
                table = file.read_row_groups(groups)
            rows = table[ROW].to_numpy() - first
            own = (rows >= 0) & (rows < num)
            known[rows[own]] = True
            for name, values in columns.items():
                values[rows[own]] = self._values(table[name])[own]
        return columns, known

    def _empty(self, num: int) -> dict[str, NDArray[Any]]:
        """The columns of rows that no file has."""
        columns: dict[str, NDArray[Any]] = {name: np.full(num, np.nan) for name in NAMES}
        columns["spec_matched"] = np.zeros(num, np.bool_)
        columns["flag"] = np.zeros(num, np.int16)
        return columns

    def _values(self, column: Any) -> NDArray[Any]:
        """A column of a file."""
        return np.asarray(column.to_numpy())

    def _opened(self, path: Path) -> Any:
        with reading(path):
            return pq.ParquetFile(path, pre_buffer=False)


@dataclass(frozen=True, eq=False)
class PdfParts(RedshiftParts):
    """The files of p(z) of some patches, whose rows are lists of quantiles (stop - first, num).

    Parameters
    ----------
    paths : list of Path
    num : int
        Of the quantiles.
    """

    num: int

    def _empty(self, num: int) -> dict[str, NDArray[Any]]:
        return {QUANTILES: np.full((num, self.num), np.nan, np.float32)}

    def _values(self, column: Any) -> NDArray[Any]:
        return numbers_of_lists(column)


class Window:
    """Rows of the files of patches, of which those of a long range are held.

    Parameters
    ----------
    parts : RedshiftParts
    length : int
        Rows of the range.
    total : int
        Rows of the input.
    """

    def __init__(self, parts: RedshiftParts, length: int, total: int) -> None:
        self._parts, self._length, self._total = parts, length, total
        self._first, self._held = 0, (dict[str, NDArray[Any]](), np.zeros(0, np.bool_))

    def rows(self, start: int, stop: int) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
        """As `RedshiftParts.rows`, of ranges that ascend; which are copied."""
        if stop > self._first + len(self._held[1]):
            end = min(max(start + self._length, stop), self._total)
            self._held = {}, np.zeros(0, np.bool_)  # before the next ones are read
            self._first, self._held = start, self._parts.rows(start, end)
        here = slice(start - self._first, stop - self._first)
        # Copies, so that what was held is let go.
        columns = {name: values[here].copy() for name, values in self._held[0].items()}
        return columns, self._held[1][here].copy()


class reading:  # noqa: N801
    """One sentence for a file that cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if isinstance(error, pa.ArrowException | OSError):
            raise ValueError(
                f"{self._path} is missing or damaged: remove the file of that patch in the folder "
                "patches beside it, and run the command again"
            ) from error
