"""p(z) that are read at random: their numbers in memory, or in a temporary file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.support.progress import Progress, silent
from truez.support.spill import Spill, SpilledRows
from truez.surveys.pdfs.forms import Array, Form, Gaussians, Lines, Steps
from truez.surveys.pdfs.table import PdfTable

#: Bytes up to which numbers are held in memory.
_IN_MEMORY = 2**29


@dataclass(frozen=True, eq=False)
class StoredPdfs:
    """p(z) of one form, whose numbers are rows in single precision.

    Parameters
    ----------
    layout : str
        They were read from.
    form : type
        Of `truez.surveys.pdfs.forms`.
    shared : dict of str to (m,) arrays
        Numbers of the form that all galaxies share.
    widths : dict of str to int
        How many the others are, in the order in which they are stored.
    rows : SpilledRows
    num : int
        Galaxies.
    """

    layout: str
    form: type[Any]
    shared: dict[str, Array]
    widths: dict[str, int]
    rows: SpilledRows
    num: int

    @property
    def block(self) -> int:
        """See `truez.surveys.pdfs.sources.Source`."""
        return max(self.num, 1)

    @property
    def at_random(self) -> bool:
        """See `truez.surveys.pdfs.sources.Source`."""
        return True

    def read(self, start: int, stop: int) -> Form:
        """See `truez.surveys.pdfs.sources.Source`."""
        return self.pick(np.arange(start, stop))

    def pick(self, rows: NDArray[np.int64]) -> Form:
        """See `truez.surveys.pdfs.sources.Source`."""
        values = self.rows.read(rows).astype(np.float64)
        numbers, start = {}, 0
        for name, width in self.widths.items():
            numbers[name] = values[:, start : start + width]
            start += width
        for name, one in self.shared.items():
            # Grids are those of all galaxies, other numbers are repeated for each.
            grid = name in ("edges", "nodes")
            numbers[name] = one if grid else np.broadcast_to(one, (len(rows), len(one)))
        made: Form = self.form(**numbers)
        return made


def stored_table(
    table: PdfTable, rows: NDArray[np.int64], spill: Spill, progress: Progress = silent
) -> PdfTable:
    """The same p(z) with quick access to scattered rows.

    The numbers that make each p(z), such as densities, quantiles or the mean and width of a
    Gaussian, are kept in single precision, scaled to a total of 1. Up to 512 MB of them are held in
    memory, more in the file of the spill.

    Parameters
    ----------
    table : PdfTable
    rows : (n,) int array
        Of galaxies whose p(z) can be used; the others have none in the result.
    spill : Spill
    progress : Progress, optional

    Returns
    -------
    PdfTable
        With the rows of ``table``, until the spill is closed.
    """
    numbers = np.full(table.num, -1, np.int64)
    writer = _Writer(table.layout, spill, len(rows))
    for places, form in table.forms(rows):
        progress("storing p(z)", writer.num, len(rows))
        numbers[rows[places]] = writer.num + np.arange(len(places))
        writer.add(form)
    return PdfTable(tuple(writer.parts()), numbers)


class _Writer:
    """Forms one behind the other, as few parts as their kinds allow."""

    def __init__(self, layout: str, spill: Spill, total: int) -> None:
        self._layout, self._spill, self._total = layout, spill, total
        self._parts: list[StoredPdfs] = []
        self._in_memory: bool | None = None
        self.num = 0

    def add(self, form: Form) -> None:
        """Add the p(z) of some galaxies."""
        values = _scaled(form)
        part = self._parts[-1] if self._parts else None
        if part is None or part.form is not type(form) or not _fits(part, values):
            part = self._begin(type(form), values)
            self._parts.append(part)
        own = [np.empty((len(form), 0)), *(values[name] for name in part.widths)]
        part.rows.write(part.num, np.concatenate(own, axis=1, dtype=np.float32))
        self._parts[-1] = dataclasses.replace(part, num=part.num + len(form))
        self.num += len(form)

    def parts(self) -> Iterator[StoredPdfs]:
        """What was added."""
        yield from self._parts

    def _begin(self, form: type[Any], values: dict[str, Array]) -> StoredPdfs:
        shared = {}
        for name, one in values.items():
            if one.ndim == 1:
                shared[name] = one
            elif name not in ("edges", "nodes") and len(one) > 1 and (one == one[0]).all():
                shared[name] = one[0].copy()
        widths = {name: one.shape[1] for name, one in values.items() if name not in shared}
        width, num = sum(widths.values()), self._total - self.num
        if self._in_memory is None:
            self._in_memory = 4 * width * num <= _IN_MEMORY
        rows = self._spill.rows(num, width, in_memory=self._in_memory)
        return StoredPdfs(self._layout, form, shared, widths, rows, 0)


def _fits(part: StoredPdfs, values: dict[str, Array]) -> bool:
    """Whether numbers can be added to those of a part."""
    same = all(
        values[name].shape[-1:] == one.shape and (values[name] == one).all()
        and (values[name].ndim == 1) == (name in ("edges", "nodes"))
        for name, one in part.shared.items()
    )  # fmt: skip
    return same and all(
        values[name].ndim == 2 and values[name].shape[1] == width
        for name, width in part.widths.items()
    )


def _scaled(form: Form) -> dict[str, Array]:
    """The numbers of a form, so that each p(z) has a total of 1."""
    if isinstance(form, Steps):
        return {"edges": form.edges, "mass": form.mass / form.totals()[:, None]}
    if isinstance(form, Lines):
        return {"nodes": form.nodes, "density": form.density / form.totals()[:, None]}
    assert isinstance(form, Gaussians)
    weight = form.weight / form.totals()[:, None]
    return {"mean": form.mean, "std": form.std, "weight": weight}
