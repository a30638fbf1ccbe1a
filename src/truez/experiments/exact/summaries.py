"""Single numbers of a field that chains are judged by: power in bands, and g in some cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truez.experiments.exact.posterior import Modes, Posterior
from truez.mesh.fourier import wavevectors

#: Bands of k [h/Mpc] whose power is followed.
BANDS = ((0.0, 0.07), (0.07, 0.15), (0.15, 0.3), (0.3, 0.6), (0.6, 1.2))
#: Cells whose g is followed: those with most spectroscopic galaxies, and as many at random.
NUM_CELLS = 4


@dataclass(frozen=True, eq=False)
class Summaries:
    """What is followed of a field.

    Parameters
    ----------
    posterior : Posterior
    """

    posterior: Posterior

    def __post_init__(self) -> None:
        posterior = self.posterior
        kx, ky, kz = (k.numpy() for k in wavevectors(posterior.world.box))
        k = np.sqrt(kx**2 + ky**2 + kz**2)
        masks = {
            f"power {low:g}-{high:g}": (k >= low) & (k < high) & (k > 0) for low, high in BANDS
        }
        counts = posterior.spec_counts.numpy().ravel()
        rng = np.random.default_rng([posterior.observed.seed, 19])
        some = rng.choice(counts.size, NUM_CELLS, replace=False)
        cells = np.concatenate([np.argsort(counts, kind="stable")[-NUM_CELLS:], some])
        object.__setattr__(self, "_masks", {n: mask for n, mask in masks.items() if mask.any()})
        object.__setattr__(self, "_cells", cells)

    @property
    def names(self) -> list[str]:
        """The names of the numbers, in their order."""
        masks: dict[str, NDArray[np.bool_]] = self._masks  # type: ignore[attr-defined]
        kinds = ("dense", "random")
        cells = [f"g, {kind} cell {n + 1}" for kind in kinds for n in range(NUM_CELLS)]
        return [*masks, *cells, "mean of exp(g)"]

    def of(self, modes: Modes, field: NDArray[np.float32]) -> list[float]:
        """The numbers of a field, given with its unitary modes."""
        masks: dict[str, NDArray[np.bool_]] = self._masks  # type: ignore[attr-defined]
        square = np.abs(modes) ** 2 * self.posterior.weights
        powers = [math.log(float(square[mask].sum(dtype=np.float64))) for mask in masks.values()]
        cells = field.reshape(-1)[self._cells]  # type: ignore[attr-defined]
        mean = float(np.exp(field).mean(dtype=np.float64))
        return [*powers, *map(float, cells), mean]
