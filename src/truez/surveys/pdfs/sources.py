"""Where p(z) come from: a file that is read a range of rows at a time, or arrays in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from truez.support.spill import is_range
from truez.surveys.pdfs.forms import Form
from truez.surveys.pdfs.layouts import LAYOUTS, Array, PdfError, check_grid, form_of

#: Numbers of a block of galaxies that is read at a time (32 MB as float64).
_BLOCK_NUMBERS = 2**22


class Source(Protocol):
    """A part of a table of p(z)."""

    @property
    def layout(self) -> str:
        """Name of its layout."""

    @property
    def num(self) -> int:
        """Number of galaxies."""

    @property
    def block(self) -> int:
        """Galaxies that are read at a time."""

    @property
    def at_random(self) -> bool:
        """Whether rows are picked from anywhere without what lies between them."""

    def read(self, start: int, stop: int) -> Form:
        """The p(z) of a range of rows."""

    def pick(self, rows: NDArray[np.int64]) -> Form:
        """The p(z) of ascending rows, of one block where they are not picked at random."""


class Ranges(ABC):
    """A source that is read in ranges only."""

    @property
    def at_random(self) -> bool:
        """See `Source`."""
        return False

    @abstractmethod
    def read(self, start: int, stop: int) -> Form:
        """See `Source`."""

    def pick(self, rows: NDArray[np.int64]) -> Form:
        """See `Source`."""
        form = self.read(int(rows[0]), int(rows[-1]) + 1)
        return form if is_range(rows) else form.pick(rows - rows[0])


def block_rows(width: int) -> int:
    """Galaxies of ``width`` numbers that are read at a time."""
    return int(np.clip(_BLOCK_NUMBERS // max(width, 1), 1, 2**16))


@dataclass(frozen=True, eq=False)
class Arrays:
    """p(z) in memory.

    Parameters
    ----------
    layout : str
        Of `truez.surveys.pdfs.layouts.LAYOUTS`.
    grid : array or None
        That all galaxies share.
    columns : mapping of str to (n, m) arrays
        Of each galaxy.
    where : str
        Where they come from, for messages.

    Raises
    ------
    PdfError
        If they do not fit each other.
    """

    layout: str
    grid: Array | None
    columns: Mapping[str, NDArray[Any]]
    where: str = "the table of p(z)"

    def __post_init__(self) -> None:
        names = LAYOUTS[self.layout].columns
        shapes = {name: np.shape(self.columns[name]) for name in names}
        width = check_shapes(shapes, self.where)
        if self.grid is not None:
            object.__setattr__(self, "grid", check_grid(self.layout, self.grid, width, self.where))

    @property
    def num(self) -> int:
        """See `Source`."""
        return len(next(iter(self.columns.values())))

    @property
    def block(self) -> int:
        """See `Source`."""
        return max(self.num, 1)

    @property
    def at_random(self) -> bool:
        """See `Source`."""
        return True

    def read(self, start: int, stop: int) -> Form:
        """See `Source`."""
        return self._form(slice(start, stop))

    def pick(self, rows: NDArray[np.int64]) -> Form:
        """See `Source`."""
        return self._form(slice(rows[0], rows[-1] + 1) if is_range(rows) else rows)

    def _form(self, rows: slice | NDArray[np.int64]) -> Form:
        columns = {name: values[rows] for name, values in self.columns.items()}
        return form_of(self.layout, self.grid, columns)


def check_shapes(shapes: Mapping[str, tuple[int, ...]], where: str) -> int:
    """Numbers of each galaxy in columns, which must be of one shape.

    Raises
    ------
    PdfError
    """
    for name, shape in shapes.items():
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] == 0):
            text = " x ".join(map(str, shape))
            raise PdfError(
                f"{where} has {name} of the shape {text or 'of a single number'}, which must be "
                "one row for each galaxy"
            )
    if len(set(shapes.values())) > 1:
        text = ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in shapes.items())
        raise PdfError(f"{where} has columns of different shapes, {text}: write the file again")
    shape = next(iter(shapes.values()))
    return shape[1] if len(shape) > 1 else 1
