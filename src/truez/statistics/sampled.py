"""Power of posterior samples beside that of the estimate: their scatter is the uncertainty.

In a file (ECSV) bins are rows; beside ``k``, ``nmodes`` and, for each degree, the multipole
``pole_0`` of the estimate there are ``pole_0_mean`` and ``pole_0_std`` over the samples, the ends
``pole_0_p16`` and ``pole_0_p84`` of their central 68%, and ``pole_0_samples``, a number for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table

from truez.statistics.results import COLUMNS, Floats, Power, Result, read_table, whole

#: Ends of the central 68% [percent].
ENDS = (16.0, 84.0)


@dataclass(frozen=True, eq=False, repr=False)
class SampledPower(Result):
    """Multipoles of an estimate and of posterior samples in the same bins, shot noise included.

    Parameters
    ----------
    estimate : Power
    samples : dict of int to array (num, n)
        Multipoles by degree [(Mpc/h)^3].
    shotnoise : float, optional
        That of each sample [(Mpc/h)^3], where it is known.
    """

    estimate: Power
    samples: dict[int, Floats]
    shotnoise: float | None = None

    @classmethod
    def of(cls, estimate: Power, samples: Iterable[Power]) -> SampledPower:
        """From measurements in the same bins.

        Raises
        ------
        ValueError
            If there is no sample.
        """
        found = list(samples)
        if not found:
            raise ValueError("samples must hold at least one measurement, not none")
        poles = {ell: np.stack([one.poles[ell] for one in found]) for ell in estimate.ells}
        return cls(estimate, poles, found[0].shotnoise)

    @property
    def num(self) -> int:
        """Number of samples."""
        return len(next(iter(self.samples.values())))

    def mean(self, ell: int) -> Floats:
        """Mean over the samples (n,)."""
        return np.asarray(self.samples[ell].mean(axis=0))

    def std(self, ell: int) -> Floats:
        """Standard deviation over the samples (n,), nan of a single one."""
        if self.num == 1:
            return np.full(self.samples[ell].shape[1], np.nan)
        return np.asarray(self.samples[ell].std(axis=0, ddof=1))

    def band(self, ell: int) -> tuple[Floats, Floats]:
        """Ends of the central 68% of the samples, (n,) each."""
        low, high = np.percentile(self.samples[ell], ENDS, axis=0)
        return low, high

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.num} samples beside {self.estimate!r}"

    def to_table(self) -> Table:
        """The bins as rows of an astropy Table."""
        table = self.estimate.to_table()
        unit = "[(Mpc/h)^3]"
        for ell, poles in self.samples.items():
            name, (low, high) = f"pole_{ell}", self.band(ell)
            for end, values, words in (
                ("mean", self.mean(ell), "mean over the samples"),
                ("std", self.std(ell), "standard deviation over the samples"),
                ("p16", low, "16th percentile of the samples"),
                ("p84", high, "84th percentile of the samples"),
                ("samples", poles.T, "of each sample"),
            ):
                table[f"{name}_{end}"] = values
                table[f"{name}_{end}"].description = f"{words} {unit}"
            table[name].description = f"of the estimate: {COLUMNS['poles']}"
        table.meta["truez"] = type(self).__name__
        table.meta["num_samples"], table.meta["samples_shotnoise"] = self.num, self.shotnoise
        return table

    @classmethod
    def read(cls, path: str | Path) -> SampledPower:
        """Read what `write` wrote; raises as `Power.read`."""
        table = read_table(path, cls.__name__)
        with whole(path):
            names = table.colnames
            ells = [int(name[5:-8]) for name in names if name.endswith("_samples")]
            samples = {ell: np.atleast_2d(np.asarray(table[f"pole_{ell}_samples"]).T)
                       for ell in ells}  # fmt: skip
            noise = table.meta["samples_shotnoise"]
            table.remove_columns([name for name in names if name.count("_") > 1])
            return cls(Power.from_table(table), samples, noise)
