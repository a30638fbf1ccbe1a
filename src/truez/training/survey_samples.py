"""Training samples from stored views, as a pure function of (seed, step, rank).

Each view is used once before any is used again, in an order that is drawn anew for each round;
position and symmetry of a crop are drawn for each step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.mesh.box import Box, Mesh
from truez.training.survey_crop import SurveyCrop, random_crop
from truez.training.survey_pool import ViewPool


@dataclass(frozen=True, eq=False)
class SurveySamples:
    """Draws crops of whole sight lines from views; a `truez.training.samples.Source`.

    Parameters
    ----------
    pool : ViewPool
    crop : (3,) ints
        Cells of a crop across the sky, and 0, the whole line of sight. Of a narrower view it is the
        whole width.
    batch : int
        Crops per step and rank, of views in turn.
    seed : int
    symmetries : bool
        Apply a random one of the symmetries that keep the line of sight to each crop.
    num_ranks : int
        Number of ranks that train together.
    """

    pool: ViewPool
    crop: Sequence[int]
    batch: int = 1
    seed: int = 0
    symmetries: bool = True
    num_ranks: int = 1

    def __post_init__(self) -> None:
        if self.crop[2] != 0 or min(self.crop[:2]) < 1:
            raise ValueError(
                "crop must hold whole sight lines, two numbers of cells across the sky and 0, not "
                f"{list(self.crop)}"
            )

    @cached_property
    def box(self) -> Box:
        """A box with the sides of the cells that views have on average (the median)."""
        sides = np.median([about["cellsize"] for about in self.pool.about], axis=0)
        return Box(tuple(float(n * side) for n, side in zip(self.shape, sides, strict=True)),
                   self.shape)  # fmt: skip

    @cached_property
    def shape(self) -> Mesh:
        """Cells of the smallest crop."""
        meshes = [self.pool[number].mesh for number in range(len(self.pool))]
        x, y, z = (min(mesh[axis] for mesh in meshes) for axis in range(3))
        return min(x, self.crop[0]), min(y, self.crop[1]), z

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which each view is used once."""
        return math.ceil(len(self.pool) / (self.batch * self.num_ranks))

    def describe(self) -> dict[str, Any]:
        """The views, as plain values (JSON)."""
        return {"box": self.box.to_dict(), "views": {"training": self.pool.describe()}}

    def draw(self, step: int, rank: int = 0) -> list[SurveyCrop]:
        """Crops of a step, from the views in turn."""
        rng = np.random.default_rng([self.seed, step, rank])
        first = (step * self.num_ranks + rank) * self.batch
        return [
            random_crop(self._view(first + n), self.crop[:2], rng, symmetries=self.symmetries)
            for n in range(self.batch)
        ]

    def _view(self, number: int) -> Any:
        turn, place = divmod(number, len(self.pool))
        return self.pool[int(_order(self.seed, turn, len(self.pool))[place])]


@lru_cache(maxsize=4)
def _order(seed: int, turn: int, size: int) -> NDArray[np.int64]:
    """Order of the views in a round, the same for all ranks."""
    # A fourth number keeps this stream apart from those of the steps.
    return np.random.default_rng([seed, turn, 0, 6]).permutation(size)
