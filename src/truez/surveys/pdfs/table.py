"""p(z) of the galaxies of a survey, read from a file a block of galaxies at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.support.checks import shown
from truez.support.progress import Progress, silent
from truez.surveys.matching import match_ids
from truez.surveys.pdfs.forms import (
    Array,
    Flags,
    Form,
    Problem,
    check_edges,
    moments,
    probability,
    problems,
)
from truez.surveys.pdfs.layouts import LAYOUTS
from truez.surveys.pdfs.prior import PdfPrior
from truez.surveys.pdfs.sources import Arrays, Source

#: Galaxies that are looked through at a time.
_STEP = 2**20
#: Galaxies that are integrated at a time.
_PIECE = 2**11

Rows = slice | NDArray[np.int64] | NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class PdfTable:
    """p(z) of many galaxies, in a file or in memory.

    Rows are read when a method asks for them, a block at a time: memory does not grow with the
    file. `truez.surveys.pdfs.read_pdfs` makes one of a file.

    Parameters
    ----------
    sources : sequence of Source
        One behind the other.
    rows : (n,) int array, optional
        Rows of the sources that this table has, in this order, -1 for galaxies without p(z); all
        by default.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.surveys.pdfs import PdfTable
    >>> table = PdfTable.of_arrays("norm", {"loc": [0.5, 0.7], "scale": [0.1, 0.0]})
    >>> table.probability(None, [0.4, 0.5, 0.6]).round(4)
    array([[0.3413, 0.3413],
           [   nan,    nan]])
    >>> table.problems()
    Problems of 1 of 2 galaxies, whose p(z) are 0 everywhere or have no width: 1
    """

    sources: Sequence[Source]
    rows: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return self.num

    def __repr__(self) -> str:
        return f"PdfTable of {self.num} galaxies ({self.layout})"

    @classmethod
    def of_arrays(
        cls, layout: str, columns: dict[str, ArrayLike], grid: ArrayLike | None = None
    ) -> PdfTable:
        """A table of arrays in memory; see `truez.surveys.pdfs.layouts` for their names.

        Parameters
        ----------
        layout : str
            hist, interp, interp_irregular, quant, norm or mixmod.
        columns : dict of str to (n, m) arrays
        grid : (m,) or (m + 1,) array, optional
            That all galaxies share.

        Raises
        ------
        ValueError
            If they do not fit each other.
        """
        shape = LAYOUTS.get(layout)
        if shape is None:
            raise ValueError(f"layout must be {', '.join(LAYOUTS)}, not {shown(layout)}")
        if set(columns) != set(shape.columns) or (grid is None) != (shape.grid == ""):
            needed = f"the columns {', '.join(shape.columns)}"
            with_grid = f"a grid of {shape.grid}" if shape.grid else "no grid"
            raise ValueError(f"p(z) as {layout} have {needed} and {with_grid}: pass these alone")
        numbers = {name: np.asarray(values) for name, values in columns.items()}
        return cls((Arrays(layout, None if grid is None else np.asarray(grid), numbers),))

    @property
    def num(self) -> int:
        """Number of galaxies."""
        if self.rows is not None:
            return len(self.rows)
        return sum(source.num for source in self.sources)

    @property
    def layout(self) -> str:
        """Name of the layout."""
        return self.sources[0].layout

    def take(self, rows: Rows) -> PdfTable:
        """The table of some of the galaxies, in their order; -1 is one without p(z)."""
        chosen = self._chosen(rows)
        if self.rows is not None:
            chosen = np.where(chosen >= 0, self.rows[chosen], -1)
        return PdfTable(self.sources, chosen)

    def in_order(self, num: int, *, option: str = "pdf", name: str = "photo") -> PdfTable:
        """The table itself, if it has as many rows as a catalogue that is in its order.

        Parameters
        ----------
        num : int
            Rows of the catalogue.
        option, name : str
            Of the file of p(z) and of the catalogue, for the message.

        Raises
        ------
        ValueError
            If it has not.
        """
        if num != self.num:
            raise ValueError(
                f"{option} has p(z) of {self.num} galaxies, but {name} has {num} rows: give the "
                "p(z) of the same rows in the same order, or ids that both have (pdf_id)"
            )
        return self

    def by_id(
        self, ids: NDArray[Any], catalog_ids: NDArray[Any], *, column: str = "id",
        option: str = "pdf", name: str = "photo",
    ) -> PdfTable:  # fmt: skip
        """The table in the order of a catalogue, whose galaxies without p(z) have a problem.

        Parameters
        ----------
        ids : (num,) array
            Identifiers of the rows of this table.
        catalog_ids : (n,) array
            Those of the catalogue.
        column, option, name : str
            Of the identifiers, of the file and of the catalogue, for messages.

        Raises
        ------
        ValueError
            If identifiers cannot be compared exactly, one names several galaxies, none is in both,
            or there are not as many as rows.
        """
        if len(ids) != self.num:
            raise ValueError(
                f"{option} has {len(ids)} ids in {column!r} for p(z) of {self.num} galaxies: write "
                "the file again"
            )
        found = match_ids(
            catalog_ids, ids, column=column, option="pdf_id", samples=(name, option),
            remedy="or leave it out if rows are in one order",
        )  # fmt: skip
        return self.take(found.rows)

    def probability(self, rows: Rows, edges: ArrayLike) -> Array:
        """Probability of galaxies to be between redshift edges.

        Parameters
        ----------
        rows : slice, (n,) int array or (num,) mask
            Of this table; None for all.
        edges : (k + 1,) array
            Ascending redshifts.

        Returns
        -------
        (n, k) array
            Of which each row adds up to the share of its p(z) between the first and the last edge;
            NaN for galaxies whose p(z) cannot be used: see `problems`.
        """
        limits, chosen = check_edges(edges), self._chosen(rows)
        result = np.full((len(chosen), len(limits) - 1), np.nan)
        for places, form in self.forms(chosen):
            result[places] = probability(form, limits)
        return result

    def likelihood(self, rows: Rows, edges: ArrayLike, prior: PdfPrior) -> Array:
        """Likelihood of the photometry of galaxies that are in cells of redshift.

        It is the mean over a cell of p(z) / prior(z), weighted by the prior: the ratio of the
        probabilities that both have in the cell. Where the prior is 0, it is 0.

        Parameters
        ----------
        rows, edges
            As of `probability`.
        prior : PdfPrior
            Of the code that made the p(z); see `PdfPrior.of`.

        Returns
        -------
        (n, k) array
            Of which the sum over cells times their widths is 1; 0 for galaxies without probability
            where the prior is not 0, NaN for those whose p(z) cannot be used.
        """
        limits = check_edges(edges)
        mass, result = prior.mass(limits), self.probability(rows, limits)
        np.divide(result, mass, out=result, where=mass > 0)
        result[:, mass <= 0] *= 0.0  # NaN remains
        total = (result * np.diff(limits)).sum(1, keepdims=True)
        return np.asarray(np.divide(result, total, out=result, where=total > 0))

    def moments(self, rows: Rows = None) -> tuple[Array, Array]:
        """Mean and standard deviation of p(z), each (n,); NaN where it cannot be used."""
        chosen = self._chosen(rows)
        mean, std = np.full((2, len(chosen)), np.nan)
        for places, form in self.forms(chosen):
            mean[places], std[places] = moments(form)
        return mean, std

    def problems(
        self, edges: ArrayLike | None = None, prior: PdfPrior | None = None,
        progress: Progress = silent,
    ) -> Problems:  # fmt: skip
        """Which galaxies have a p(z) that cannot be used, and why.

        Parameters
        ----------
        edges : (k + 1,) array, optional
            Redshifts of the survey: p(z) without probability between the first and the last of
            them cannot be used either.
        prior : PdfPrior, optional
            Nor can those without probability where it is not 0.
        progress : Progress, optional
        """
        limits = None if edges is None else check_edges(edges)
        if limits is not None and prior is None:
            limits = limits[[0, -1]]
        flags = np.full(self.num, Problem.NOT_FINITE, np.uint8)
        for start in range(0, self.num, _STEP):
            progress("p(z)", start, self.num)
            for places, form in self.forms(self._chosen(slice(start, start + _STEP))):
                found = problems(form)
                if limits is not None:
                    inside = probability(form, limits)
                    if prior is not None:
                        inside = inside[:, prior.mass(limits) > 0]
                    found[(found == 0) & ~(inside.sum(1) > 0)] = Problem.OFF_GRID
                flags[start + places] = found
        return Problems(flags)

    def _chosen(self, rows: Rows) -> NDArray[np.int64]:
        """Rows of this table as numbers."""
        if rows is None or isinstance(rows, slice):
            return np.arange(*(rows or slice(None)).indices(self.num), dtype=np.int64)
        values = np.asarray(rows)
        if values.dtype.kind == "b":
            if values.shape != (self.num,):
                raise ValueError(
                    f"a mask of shape {values.shape} does not fit p(z) of {self.num} galaxies"
                )
            return np.flatnonzero(values)
        numbers = values.astype(np.int64)
        if len(numbers) and not (numbers.min() >= -1 and numbers.max() < self.num):
            wrong = numbers[(numbers < -1) | (numbers >= self.num)][0]
            raise ValueError(f"rows must be from 0 to {self.num - 1}, or -1, not {wrong}")
        return numbers

    def forms(self, chosen: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Form]]:
        """Places in some rows (n,) and the p(z) of the galaxies there, a few thousand at a time.

        They come in the order of the sources. Rows of -1, without p(z), do not come.
        """
        rows = chosen
        if self.rows is not None:
            rows = np.where(chosen >= 0, self.rows[chosen], -1)
        places = np.flatnonzero(rows >= 0)
        if not (np.diff(rows[places]) >= 0).all():
            places = places[np.argsort(rows[places], kind="stable")]
        first = 0
        for source in self.sources:
            low, high = np.searchsorted(rows[places], [first, first + source.num])
            own = places[low:high]
            blocks = (rows[own] - first) // source.block
            for part in np.split(own, np.flatnonzero(np.diff(blocks)) + 1):
                for piece, form in _pieces(source, rows[part] - first):
                    yield part[piece], form
            first += source.num


def _pieces(source: Source, rows: NDArray[np.int64]) -> Iterator[tuple[slice, Form]]:
    """Rows of one block, in ascending order, in pieces that fit into the caches of a processor."""
    if not len(rows):
        return
    pieces = [slice(start, start + _PIECE) for start in range(0, len(rows), _PIECE)]
    with np.errstate(all="ignore"):  # of galaxies with a problem
        if source.at_random:
            for piece in pieces:
                yield piece, source.pick(rows[piece])
            return
        form = source.pick(rows)
    for piece in pieces:
        yield piece, form.pick(piece)


@dataclass(frozen=True, eq=False)
class Problems:
    """Galaxies whose p(z) cannot be used.

    Parameters
    ----------
    flags : (n,) uint8 array
        `Problem` of each galaxy.
    """

    flags: Flags

    def __repr__(self) -> str:
        counts = "; ".join(f"{key.text}: {num}" for key, num in self.counts.items())
        about = f"Problems of {np.count_nonzero(self.flags)} of {len(self.flags)} galaxies"
        return f"{about}, whose p(z) {counts}" if counts else about

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the galaxies that have one."""
        return np.flatnonzero(self.flags)

    @property
    def counts(self) -> dict[Problem, int]:
        """Number of galaxies by their problem, of those that there are."""
        numbers = np.bincount(self.flags, minlength=len(Problem))
        return {key: int(numbers[key]) for key in Problem if key and numbers[key]}
