"""Galaxies per HEALPix pixel and bin of redshift, counted while a catalogue is divided.

They are enough for N(z), for the share of the sky that each patch has, and for how much work it
is, without another pass.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from truez.mesh.healpix import nested
from truez.support.files import atomic_path, system_errors

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Resolution of the pixels (1.8 deg), and width of the bins.
NSIDE, WIDTH = 32, 0.01
#: Bins of a pixel in a key: of redshifts to 20, the bin of galaxies without one, and room.
_BINS = 4096
_KEY = b"truez"


@dataclass(frozen=True, eq=False)
class Counts:
    """Numbers of galaxies.

    Parameters
    ----------
    keys : (n,) ints
        Pixel times 4096, plus 0 for galaxies without a redshift or the bin plus 1, ascending.
    numbers : (n,) ints
        Galaxies of each.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.sky.partition.counts import Counts
    >>> z = np.array([0.101, 0.109, np.nan])
    >>> counts = Counts.of(np.zeros(3), np.zeros(3), z)
    >>> counts.total, counts.without, int(counts.redshifts()[1][10])
    (3, 1, 2)
    """

    keys: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    numbers: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, ra: Array, dec: Array, redshift: Array) -> Counts:
        """Count galaxies at directions [deg]; NaN are those without a redshift."""
        keys = nested(ra, dec, NSIDE) * _BINS
        known = np.isfinite(redshift)
        keys[known] += np.floor(redshift[known] / WIDTH).astype(np.int64) + 1
        return cls(*np.unique(keys, return_counts=True))

    @property
    def total(self) -> int:
        """All galaxies."""
        return int(self.numbers.sum())

    @property
    def without(self) -> int:
        """Galaxies without a redshift."""
        return int(self.numbers[self.bins < 0].sum())

    @property
    def pixels(self) -> Ints:
        """Pixel of each number, in nested order, of nside 32."""
        return self.keys // _BINS

    @property
    def bins(self) -> Ints:
        """Bin of redshift of each number, of width 0.01; -1 for galaxies without one."""
        return self.keys % _BINS - 1

    def redshifts(self) -> tuple[Array, Ints]:
        """Edges (n + 1,) of bins of redshift, and the galaxies in each (n,)."""
        known = self.bins >= 0
        num = int(self.bins.max(initial=0)) + 1
        totals = np.bincount(self.bins[known], self.numbers[known], minlength=num)
        return np.asarray(WIDTH * np.arange(num + 1), np.float64), totals.astype(np.int64)

    def write(self, path: str | Path) -> None:
        """Write them as Parquet: the columns pixel, bin and number."""
        table = pa.table({"pixel": self.pixels.astype(np.int32), "bin": self.bins.astype(np.int16),
                          "number": self.numbers})  # fmt: skip
        about = {"nside": NSIDE, "order": "nested", "width": WIDTH}
        with atomic_path(path) as temporary, system_errors():
            pq.write_table(table.replace_schema_metadata({_KEY: json.dumps(about)}), temporary)

    @classmethod
    def read(cls, path: str | Path) -> Counts:
        """Read what `write` wrote."""
        table = pq.read_table(path)
        pixel, bins, numbers = (table[n].to_numpy().astype(np.int64)
                                for n in ("pixel", "bin", "number"))  # fmt: skip
        return cls(pixel * _BINS + bins + 1, numbers)

    @classmethod
    def sum(cls, parts: Sequence[Counts]) -> Counts:
        """All of several counts."""
        if not parts:
            return cls()
        keys, place = np.unique(np.concatenate([one.keys for one in parts]), return_inverse=True)
        weights = np.concatenate([one.numbers for one in parts])
        # Sums of whole numbers below 2^53 are exact.
        return cls(keys, np.bincount(place, weights, minlength=len(keys)).astype(np.int64))
