"""What is averaged over a sample: power, correlation function, bispectrum, counts in cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truez.evaluate.coverage.vectors import BANDS
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.statistics.binning import Floats
from truez.statistics.bispectrum import bispectrum
from truez.statistics.correlation import correlation
from truez.statistics.power import power

#: Multipoles of the power.
ELLS = (0, 2, 4)
#: Edges of separations [Mpc/h], and of the sides of equilateral triangles [h/Mpc].
SEPARATIONS = (4.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0, 25.0, 30.0, 36.0, 43.0, 51.0, 60.0)
SIDES = (0.04, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5)
#: Sides of the cells in which galaxies are counted [Mpc/h].
COUNT_CELLS = (4.0, 8.0)
#: Edges of counts: half a galaxy, and octaves above it.
COUNT_EDGES = np.array([-np.inf, *(0.5 * 2.0 ** np.arange(11)), np.inf])


@dataclass(frozen=True)
class Summaries:
    """Summary statistics of overdensity fields on one box.

    Parameters
    ----------
    box : Box
    density : float
        Mean number density of the galaxies [(h/Mpc)^3], which turns an overdensity into counts.
    """

    box: Box
    density: float

    @property
    def bands(self) -> Floats:
        """Edges of k [h/Mpc], within the Nyquist wavenumber."""
        return _within(BANDS, self.box.nyquist)

    @property
    def sides(self) -> Floats:
        """Edges of the sides of triangles [h/Mpc], as far as they close without an alias."""
        return _within(SIDES, 2 * self.box.nyquist / 3)

    @property
    def separations(self) -> Floats:
        """Edges of separations [Mpc/h], from two cells to half the shortest side."""
        reach = min(self.box.boxsize) / 2
        edges = np.array([r for r in SEPARATIONS if r <= reach])
        return np.asarray(edges[edges >= min(2 * max(self.box.cellsize), edges[-2])])

    def edges(self) -> dict[str, Floats]:
        """The edges of each statistic; the first and the last bin of counts have an open end."""
        found = {"poles": self.bands, "xi": self.separations, "bispectrum": self.sides}
        return found | {f"counts_{side:g}": COUNT_EDGES[1:-1] for side in COUNT_CELLS}

    def of(self, field: Field) -> dict[str, Floats]:
        """The statistics of a field by name.

        ``poles`` (3, n) [(Mpc/h)^3], ``xi`` (n,), ``bispectrum`` (n,) [(Mpc/h)^6] and, as shares
        of all cubes, ``counts_4`` and ``counts_8`` (n,).
        """
        measured = power(field, edges=self.bands, ells=ELLS)
        found = {"poles": np.array([measured.poles[ell] for ell in ELLS])}
        found["xi"] = correlation(field, edges=self.separations).xi
        found["bispectrum"] = bispectrum(field, edges=self.sides).bispectrum
        for side in COUNT_CELLS:
            found[f"counts_{side:g}"] = self.counts(field.numpy(), side)
        return found

    def counts(self, delta: NDArray[np.float32], side: float) -> Floats:
        """Share of the cubes with counts in each bin; cubes are whole numbers of cells."""
        steps = [max(round(side / cell), 1) for cell in self.box.cellsize]
        cut = [n // step * step for n, step in zip(delta.shape, steps, strict=True)]
        inner = delta[: cut[0], : cut[1], : cut[2]]
        shape = [m for n, step in zip(cut, steps, strict=True) for m in (n // step, step)]
        mean = inner.reshape(shape).mean(axis=(1, 3, 5), dtype=np.float64)
        sides = [step * cell for step, cell in zip(steps, self.box.cellsize, strict=True)]
        counts = (1 + mean) * self.density * math.prod(sides)
        found, _ = np.histogram(counts, COUNT_EDGES)
        return np.asarray(found / counts.size)


def _within(edges: tuple[float, ...], limit: float) -> Floats:
    found = [edge for edge in edges if edge <= limit]
    if len(found) < 2:
        raise ValueError(
            f"the cells of the box are too large: wavenumbers of {edges[1]:g} h/Mpc need smaller "
            "ones"
        )
    return np.array(found)
