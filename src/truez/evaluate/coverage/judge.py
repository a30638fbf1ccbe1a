"""The judge of samples: one after the other is looked at, and none is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.evaluate.coverage.numbers import SampleNumbers
from truez.evaluate.coverage.summaries import ELLS, Summaries
from truez.evaluate.coverage.tenths import Halves
from truez.evaluate.coverage.vectors import CENTERS, RADII, Vectors
from truez.evaluate.judge import check_overdensity
from truez.mesh.field import Field
from truez.statistics.binning import Floats
from truez.statistics.coverage import crps, distance_ranks, spread_and_skill, value_ranks
from truez.statistics.power import power

#: Least number of samples.
LEAST = 4


class SampleJudge:
    """What samples of a posterior are compared with, and what was found of them so far.

    Parameters
    ----------
    truth : Field
        The overdensity in true redshift space.
    estimate : Field
        The point estimate, which the mean of the samples should be.
    density : float
        Mean number density of the galaxies [(h/Mpc)^3].
    seed : int
        Of the places that are looked at.
    num_centers : int
        Of `Vectors`.

    Raises
    ------
    ValueError
        If a field is no finite overdensity on the box of the truth.

    Examples
    --------
    >>> import numpy as np
    >>> from truez import Box, Field
    >>> from truez.evaluate.coverage import Calibration, SampleJudge
    >>> box, rng = Box(64, cellsize=4), np.random.default_rng(1)
    >>> known = rng.normal(size=box.meshsize)
    >>> def sample():
    ...     return Field(known + rng.normal(size=box.meshsize), box)
    >>> judge = SampleJudge(sample(), estimate=Field(known, box), density=0.02, seed=1)
    >>> for _ in range(8):
    ...     judge.add(sample())
    >>> judge.numbers()
    SampleNumbers of 8 samples
    >>> Calibration([judge.numbers()]).coverage("cells").inside
    True
    """

    def __init__(
        self,
        truth: Field,
        *,
        estimate: Field,
        density: float,
        seed: int,
        num_centers: int = CENTERS,
    ) -> None:
        check_overdensity("truth", truth, truth.box)
        check_overdensity("estimate", estimate, truth.box)
        self.truth, self.estimate, self.seed = truth, estimate, seed
        self.vectors = Vectors(truth.box, seed, num_centers)
        self.summaries = Summaries(truth.box, density)
        self._smooth = _smoothed(truth)
        self._halves = Halves(truth.box, RADII)
        self._found: dict[str, list[Floats]] = {}
        self._cross: list[Floats] = []
        self._pool = {n: [v] for n, v in self.vectors.of(truth, self._smooth).items()}
        self._of_truth = self.summaries.of(truth)

    @property
    def num_samples(self) -> int:
        """Samples so far."""
        return len(self._cross)

    def add(self, sample: Field) -> None:
        """Look at a sample, an overdensity on the box of the truth.

        Raises
        ------
        ValueError
            As for the truth.
        """
        check_overdensity("sample", sample, self.truth.box)
        smooth = _smoothed(sample)
        for name, values in self.vectors.of(sample, smooth).items():
            self._pool[name].append(values)
        for name, values in self.summaries.of(sample).items():
            self._found.setdefault(name, []).append(values)
        self._halves.add(smooth)
        self._cross.append(self._with_truth(sample))

    def numbers(self) -> SampleNumbers:
        """All numbers of the samples so far.

        Raises
        ------
        ValueError
            If they are fewer than four.
        """
        if self.num_samples < LEAST:
            raise ValueError(
                f"samples must be {LEAST} or more to be judged, not {self.num_samples}"
            )
        mean = self._halves.mean()
        edges = self.summaries.edges()
        content = {
            "num_samples": self.num_samples,
            "box": self.truth.box.to_dict(),
            "edges": edges,
            "x": {"poles": power(self.truth, edges=edges["poles"], ells=(0,)).k},
            "truth": self._of_truth,
            "samples": {name: np.array(rows) for name, rows in self._found.items()},
            "cross": np.array(self._cross),
            "estimate": self._powers(self.estimate),
            "mean": self._powers(mean),
            "mse": self._errors(mean),
            "tenths": self._halves.numbers(self._smooth),
            "kinds": {name: self._kind(np.array(rows)) for name, rows in self._pool.items()},
        }
        return SampleNumbers(content)

    def _kind(self, pool: Floats) -> dict[str, Any]:
        return {
            "distance": distance_ranks(pool, seed=self.seed),
            "value": value_ranks(pool, seed=self.seed),
            "spread": spread_and_skill(pool),
            "crps": float(crps(pool[0], pool[1:]).mean()),
            "shape": list(pool.shape[1:]),
        }

    def _with_truth(self, field: Field) -> Floats:
        return power(field, self.truth, edges=self.summaries.bands, ells=(0,)).poles[0]

    def _powers(self, field: Field) -> dict[str, Floats]:
        poles = power(field, edges=self.summaries.bands, ells=ELLS).poles
        return {"power": poles[0], "cross": self._with_truth(field)}

    def _errors(self, mean: Field) -> dict[str, dict[str, float]]:
        return {
            f"{radius:g}": {
                name: float(((field.smooth(radius) - truth) ** 2).mean(dtype=np.float64))
                for name, field in (("mean", mean), ("estimate", self.estimate))
            }
            for radius, truth in self._smooth.items()
        }


def _smoothed(field: Field) -> dict[float, NDArray[np.float32]]:
    """Values smoothed with each radius [Mpc/h]."""
    return {radius: field.smooth(radius).numpy() for radius in RADII}
