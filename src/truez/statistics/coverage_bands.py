"""Numbers of the truth with the band of right samples: expected coverage, and ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Band:
    """Numbers of the truth beside those that right samples lead to.

    Parameters
    ----------
    x : array (n,)
        Credibility of the coverage, or the middle of each bin of ranks as a share of all ranks.
    value : array (n,)
        Expected coverage, or the share of the truths in each bin over that expected.
    low, high : arrays (n,)
        Ends of the band: in 95% of the cases, right samples are within it everywhere.
    p : float
        Probability that right samples go as far, or farther, beyond.
    expected : array (n,)
        The value that right samples have in the mean.
    """

    x: Floats
    value: Floats
    low: Floats
    high: Floats
    p: float
    expected: Floats
    #: Labels of the axes of `plot`.
    axes: ClassVar[tuple[str, str]]

    def __repr__(self) -> str:
        where = "within" if self.inside else "beyond"
        return f"{type(self).__name__}: {where} the 95% band, p = {self.p:.3g}"

    @property
    def inside(self) -> bool:
        """Whether the numbers lie within the band everywhere."""
        return bool(((self.value >= self.low) & (self.value <= self.high)).all())

    @property
    def deviation(self) -> float:
        """The deviation from what is expected that is largest, with its sign."""
        apart = self.value - self.expected
        return float(apart[np.abs(apart).argmax()])

    def to_table(self) -> Table:
        """The numbers as rows of an astropy Table."""
        names = ("x", "value", "low", "high", "expected")
        table = Table({name: getattr(self, name) for name in names})
        table.meta.update({"truez": type(self).__name__, "p": self.p})
        return table

    def plot(self, *, ax: Any = None) -> Any:
        """Draw the numbers with their band; gives the matplotlib Figure."""
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        ax.fill_between(self.x, self.low, self.high, color="0.85", lw=0)
        ax.plot(self.x, self.expected, color="black", lw=0.8)
        ax.plot(self.x, self.value)
        ax.set(xlabel=self.axes[0], ylabel=self.axes[1])
        return ax.figure


class Coverage(Band):
    """Expected coverage against credibility."""

    axes = ("credibility", "expected coverage")


class Ranks(Band):
    """Share of truths by their rank among the samples, over the share expected."""

    axes = ("rank among the samples", "truths / expected")
