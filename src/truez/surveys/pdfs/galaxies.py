"""p(z) of the galaxies of a photometric catalogue as the likelihoods that a map multiplies.

What is published is p(z), with a prior pi(z) of the code in it. A map needs p(photometry | z), up
to a factor for each galaxy, which is p(z) / pi(z). Some p(z) are 0 at the truth (of 0.9% of the
galaxies of COSMOS, for instance), and a map can never move these galaxies there. So a share f may
be mixed in of galaxies whose photometry says nothing: in units in which both have a total of 1,

    L(z) = (1 - f) p(z) / [pi(z) R] + f / R_out,

where R is the range of pi, whose total is 1, and R_out that of the outliers. Under a flat prior the
first term is p(z) itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.support.progress import Progress, silent
from truez.support.spill import Spill
from truez.surveys.pdfs.forms import Array, Flags, check_edges
from truez.surveys.pdfs.prior import PdfPrior
from truez.surveys.pdfs.stored import stored_table
from truez.surveys.pdfs.table import PdfTable, Problems


@dataclass(frozen=True, eq=False, repr=False)
class GalaxyPdfs:
    """p(z) of the galaxies of a catalogue, row by row.

    Parameters
    ----------
    table : PdfTable
        With the rows of the catalogue: see `PdfTable.in_order` and `PdfTable.by_id`.
    prior : PdfPrior
        That is in them.
    flags : (n,) uint8 array, optional
        `Problem` of each, 0 where it can be used, such as those of `summarise`; by default all can
        be.
    outlier_fraction : float
        Share of galaxies whose p(z) says nothing of their redshift, in [0, 1).
    outlier_range : (2,) floats, optional
        Redshifts between which these are; needed where there are any.

    Raises
    ------
    ValueError
        If a number is not in its range, or flags are of other galaxies.

    Examples
    --------
    >>> from truez.surveys.pdfs import GalaxyPdfs, PdfPrior, PdfTable
    >>> table = PdfTable.of_arrays("norm", {"loc": [0.5, 0.7], "scale": [0.1, 0.0]})
    >>> pdfs = GalaxyPdfs(table, PdfPrior(), table.problems().flags, 0.1, (0.0, 2.0))
    >>> pdfs
    p(z) of 2 galaxies (norm), of which 1 can be used, 10% outliers
    >>> pdfs.likelihood([0, 1], [0.4, 0.5, 0.6]).round(3)
    array([[3.122, 3.122],
           [0.5  , 0.5  ]])
    """

    table: PdfTable
    prior: PdfPrior
    flags: Flags | None = None
    outlier_fraction: float = 0.0
    outlier_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        flags = np.zeros(len(self.table), np.uint8) if self.flags is None else self.flags
        object.__setattr__(self, "flags", np.asarray(flags, np.uint8))
        if self.usable.shape != (len(self.table),):
            raise ValueError(
                f"flags must be one for each of {len(self.table)} p(z), not {self.usable.shape}"
            )
        if not 0 <= self.outlier_fraction < 1:
            raise ValueError(f"outlier_fraction must be in [0, 1), not {self.outlier_fraction!r}")
        if self.outlier_range is None and self.outlier_fraction:
            raise ValueError("outlier_fraction needs outlier_range, the redshifts of outliers")
        if self.outlier_range is not None:
            low, high = self.outlier_range
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"outlier_range must be two redshifts, not {self.outlier_range!r}")

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        mixed = f", {100 * self.outlier_fraction:.3g}% outliers" if self.outlier_fraction else ""
        return (
            f"p(z) of {len(self)} galaxies ({self.table.layout}), of which "
            f"{np.count_nonzero(self.usable)} can be used{mixed}"
        )

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which p(z) can be used, (n,)."""
        return np.asarray(self.flags == 0)

    @property
    def problems(self) -> Problems:
        """The galaxies whose p(z) cannot be used."""
        assert self.flags is not None
        return Problems(self.flags)

    def likelihood(self, rows: slice | ArrayLike, edges: ArrayLike) -> Array:
        """Likelihood of the photometry of galaxies that are in cells of redshift.

        Parameters
        ----------
        rows : slice or (n,) int array
            Of the catalogue.
        edges : (k + 1,) array
            Ascending redshifts.

        Returns
        -------
        (n, k) array
            L, per unit redshift, its mean over each cell. It is not scaled to the cells: what lies
            beyond them counts. Constant where p(z) cannot be used, so that N(z) takes its place; 0
            where p(z) or the prior are, without outliers.
        """
        limits = check_edges(edges)
        chosen = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        if chosen.dtype.kind == "b":
            raise ValueError("rows must be numbers of rows: pass numpy.flatnonzero of the mask")
        chosen = chosen.astype(np.int64)
        result = np.full((len(chosen), len(limits) - 1), self._constant)
        own = np.flatnonzero(self.usable[chosen])
        inside = self.table.probability(chosen[own], limits)
        whole = inside[:, 0] == inside[:, 0]  # others are NaN in all cells
        if not whole.all():
            own, inside = own[whole], inside[whole]
        inside *= (1 - self.outlier_fraction) * self._over_prior(limits)
        if self.outlier_fraction:
            assert self.outlier_range is not None
            low, high = self.outlier_range
            share = np.diff(np.clip(limits, low, high)) / np.diff(limits)
            inside += self.outlier_fraction * share / (high - low)
        result[own] = inside
        return result

    def stored(self, spill: Spill, progress: Progress = silent) -> GalaxyPdfs:
        """The same with quick access to scattered rows, until the spill is closed.

        The numbers of p(z) that can be used are kept in single precision, up to 512 MB in memory
        and more in the file of the spill (see `truez.support.spill.spill_beside`).

        Raises
        ------
        ValueError
            If they do not fit on its disk.
        """
        return replace(
            self, table=stored_table(self.table, np.flatnonzero(self.usable), spill, progress)
        )

    @property
    def _constant(self) -> float:
        """What takes the place of a p(z) that cannot be used."""
        spans = (self.outlier_range, self.prior.span)
        return next((1 / (span[1] - span[0]) for span in spans if span is not None), 1.0)

    def _over_prior(self, limits: Array) -> Array:
        """What the probability of p(z) in a cell is multiplied by."""
        if self.prior.span is None:
            return 1 / np.diff(limits)
        low, high = self.prior.span
        mass = self.prior.mass(limits) * ((high - low) / float(self.prior.mass([low, high])[0]))
        return np.divide(1.0, mass, out=np.zeros_like(mass), where=mass > 0)
