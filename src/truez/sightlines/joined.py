"""Sharpened redshifts that were made patch by patch, in the order of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truez.sightlines.sharpened import Sharpened, SharpenedChunk
from truez.support.spill import Spill, SpilledRows
from truez.surveys.surveys import Surveys

#: What is known of each galaxy, as in `Sharpened`.
COLUMNS = ("mean", "mode", "std", "lower", "upper", "information")


@dataclass(frozen=True, eq=False)
class JoinedRedshifts:
    """Sharpened redshifts by the rows of a photometric catalogue.

    Parameters
    ----------
    surveys : Surveys
    interval : float
        Share of the posterior between ``lower`` and ``upper``.
    values : SpilledRows (n_p, 6)
        float32, those of `COLUMNS`.
    """

    surveys: Surveys
    interval: float
    values: SpilledRows

    @classmethod
    def empty(cls, surveys: Surveys, interval: float, spill: Spill) -> JoinedRedshifts:
        """Room for all galaxies."""
        return cls(surveys, interval, spill.rows(len(surveys.photo), len(COLUMNS)))

    def add(self, rows: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Note those of a patch, (m, 6)."""
        ends = np.flatnonzero(np.diff(rows) != 1) + 1
        for first, end in zip([0, *ends.tolist()], [*ends.tolist(), len(rows)], strict=True):
            if end > first:
                self.values.write(int(rows[first]), values[first:end])

    def chunks(self, chunk_rows: int) -> Iterator[SharpenedChunk]:
        """All of them, in the order of the catalogue."""
        surveys, num = self.surveys, len(self.surveys.photo)
        known = np.zeros(0, np.int64)
        if surveys.matched is not None:
            has = surveys.matched >= 0
            known, true = surveys.matched[has], surveys.spec[has, 2]
            order = np.argsort(known)
            known, true = known[order], true[order]
        for first in range(0, num, chunk_rows):
            rows = slice(first, min(first + chunk_rows, num))
            found = self.values.read(np.arange(rows.start, rows.stop)).astype(np.float64)
            columns = dict(zip(COLUMNS, found.T, strict=True))
            low, high = np.searchsorted(known, (rows.start, rows.stop))
            here = known[low:high] - rows.start
            for name in ("mean", "mode", "lower", "upper"):
                if len(here):
                    columns[name][here] = true[low:high]
            columns["std"][here] = 0.0
            columns["information"][here] = np.nan
            yield SharpenedChunk(rows, Sharpened(**columns, interval=self.interval))
