"""Training samples of one universe after another, as a pure function of (seed, step, rank).

Successive steps share a *view*: two surveys of a universe, with one draw of photo-z noise and of
their settings. Its number follows from the step, its random numbers from (seed, view, rank), and so
a run that resumes makes the universe of its step again and continues. Universes are periodic: crops
lie anywhere, across the faces too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import Field as Setting
from pydantic import model_validator
from torch import Tensor

from truez.mesh.box import Box, Mesh, Region
from truez.mesh.paint_input import check_choice
from truez.mesh.resamplers import RESAMPLERS
from truez.simulate import Galaxies, observe
from truez.support.settings import Settings
from truez.surveys.spec import SurveySpec
from truez.training.samples import Fields, crop_shape, turned
from truez.training.universes import Maker, Pool, what_made
from truez.training.validation import Validation


class BoxesConfig(Settings):
    """Settings of the samples of simulated universes.

    Parameters
    ----------
    num_boxes : int
        Universes to train on, in cycles; 0 is a new one each time.
    num_validation : int
        Universes to validate with.
    validation_share : float
        Fraction of each that is estimated, along the first sky axis.
    cellsize : float
        Side of the cells of the meshes [Mpc/h].
    resampler : {"ngp", "cic", "tsc"}
        Mass assignment of the galaxies.
    steps_per_view : int
        Steps before photo-z noise and the settings of the surveys are drawn again.
    views_per_box : int
        Views of a universe before the next universe.
    memory : float
        Memory for universes that are kept, if their number is finite [GB]; the others are made
        again in every cycle.
    """

    num_boxes: Annotated[int, Setting(ge=0)] = 0
    num_validation: Annotated[int, Setting(ge=1, le=1000)] = 2
    validation_share: Annotated[float, Setting(gt=0, le=1)] = 1.0
    cellsize: Annotated[float, Setting(gt=0)] = 2.0
    resampler: str = "cic"
    steps_per_view: Annotated[int, Setting(ge=1)] = 8
    views_per_box: Annotated[int, Setting(ge=1)] = 8
    memory: Annotated[float, Setting(ge=0)] = 2.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_choice("resampler", self.resampler, RESAMPLERS)
        return self


class PoolSource:
    """Common part of the sources that draw from a pool of universes."""

    pool: Pool
    surveys: SurveySpec
    crop: Sequence[int]
    config: BoxesConfig
    batch: int
    num_ranks: int

    @cached_property
    def box(self) -> Box:
        """The box of every universe, with the mesh of the fields."""
        return mesh_of(self.pool[0], self.config.cellsize)

    @cached_property
    def shape(self) -> Mesh:
        """Cells of a crop."""
        return crop_shape(self.crop, [((0, 0, 0), self.box.meshsize)])

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many crops are drawn as fill one universe without overlap."""
        crops = math.prod(n // c for n, c in zip(self.box.meshsize, self.shape, strict=True))
        return math.ceil(crops / (self.batch * self.num_ranks))

    def describe(self) -> dict[str, Any]:
        """Mesh, universes, surveys and the order of the views, as plain values (JSON)."""
        return {
            "box": self.box.to_dict(),
            "universes": self.pool.describe(),
            "surveys": self.surveys.describe(),
            "boxes": self.config.model_dump(mode="json", exclude={"memory"}),
        }


@dataclass(frozen=True, eq=False)
class UniverseSamples(PoolSource):
    """Draws batches of crops from universes; a `truez.training.samples.Source`.

    Parameters
    ----------
    pool : Pool
        The universes, all of one periodic box.
    surveys : SurveySpec
        Surveys that are drawn from for each view.
    crop : (3,) ints
        Cells of a crop; 0 is the whole axis.
    config : BoxesConfig
        Its cells and its numbers of steps and views are used.
    batch : int
        Crops per step and rank, all of one view.
    seed : int
    symmetries : bool
        Apply a random one of the symmetries that keep the line of sight to each crop.
    num_ranks : int
        Number of ranks that train together, each on its own universes.
    """

    pool: Pool
    surveys: SurveySpec
    crop: Sequence[int]
    config: BoxesConfig
    batch: int = 2
    seed: int = 0
    symmetries: bool = True
    num_ranks: int = 1
    _made: dict[tuple[int, int], Tensor] = field(default_factory=dict, init=False, repr=False)

    def draw(self, step: int, rank: int = 0) -> tuple[Tensor, Tensor]:
        """Draw inputs (batch, 2, nx, ny, nz), spec and photo, and truth (batch, 1, nx, ny, nz)."""
        values = self.view(step // self.config.steps_per_view, rank)
        rng = np.random.default_rng([self.seed, step, rank])
        crops = []
        for _ in range(self.batch):
            crop = wrapped(values, rng.integers(values.shape[1:]), self.shape)
            crops.append(turned(crop, rng) if self.symmetries else crop)
        batch = torch.stack(crops)
        return batch[:, :2], batch[:, 2:]

    def view(self, number: int, rank: int = 0) -> Tensor:
        """Overdensities of one view, shape (3, nx, ny, nz): spec, photo, truth."""
        if (number, rank) not in self._made:
            # One at a time: the last one is freed before the next is made.
            self._made.clear()
            turn = number // self.config.views_per_box
            galaxies = self.pool[turn * self.num_ranks + rank]
            # A fourth number keeps this stream apart from those of the steps.
            rng = np.random.default_rng([self.seed, number, rank, 2])
            truth, photo, spec = fields_of(galaxies, self.surveys, rng, self.config, self.box)
            self._made[number, rank] = torch.stack([spec.values, photo.values, truth.values])
        return self._made[number, rank]


def universe_validation(
    make: Maker, seeds: Sequence[int], surveys: SurveySpec, config: BoxesConfig, box: Box
) -> Validation:
    """Validation on simulated universes, each observed once, in the same way in every run.

    Parameters
    ----------
    make : function of a seed
        Returns the Galaxies of the universe of that seed; they are not kept.
    seeds : sequence of int
        Seeds that are not trained on.
    surveys, config
        Settings of the training.
    box : Box
        Mesh of the training.
    """
    nx, ny, nz = box.meshsize
    region: Region = (0, 0, 0), (max(1, round(nx * config.validation_share)), ny, nz)
    parts, made = [], []
    # A map keeps no reference to its results.
    for number, galaxies in enumerate(map(make, seeds)):
        # The fourth number keeps this stream apart from those of the training.
        rng = np.random.default_rng([0, number, 0, 3])
        parts.append((fields_of(galaxies, surveys, rng, config, box), [region]))
        made.append(what_made(galaxies))
        del galaxies
    return Validation(parts, {"validation_universes": made})


def fields_of(
    galaxies: Galaxies,
    surveys: SurveySpec,
    rng: np.random.Generator,
    config: BoxesConfig,
    box: Box,
) -> Fields:
    """Overdensities (truth, photo, spec) of one view of a universe that fills ``box``."""
    if surveys.closed:
        raise ValueError(
            f"closed must be 0 for a network on cubes, not {surveys.closed:g}: its crops lie "
            "across the faces of periodic boxes"
        )
    check_mesh(galaxies, config.cellsize, box)
    return observe(galaxies, surveys, rng, cellsize=config.cellsize).fields(config.resampler)


def mesh_of(galaxies: Galaxies, cellsize: float) -> Box:
    """The box of galaxies with the mesh of their fields."""
    box = galaxies.box
    if not box.periodic:
        raise ValueError("universes to train on must be periodic: make a mock of a closed box")
    return Box.from_cellsize(box.boxsize, cellsize, box.boxcenter)


def check_mesh(galaxies: Galaxies, cellsize: float, box: Box) -> None:
    """Refuse a universe whose mesh differs from ``box``, the mesh of the others."""
    mesh = mesh_of(galaxies, cellsize)
    if mesh != box:
        raise ValueError(
            f"the universe of seed {galaxies.metadata.get('seed')} is a box of {mesh}, and others "
            f"are of {box}: train on universes of one box"
        )


def wrapped(values: Tensor, corner: Iterable[int], shape: Sequence[int]) -> Tensor:
    """Cut ``shape`` cells from ``corner`` on out of the last three axes, which are periodic."""
    for axis, (start, size) in enumerate(zip(corner, shape, strict=True), start=-3):
        cells = torch.arange(int(start), int(start) + size) % values.shape[axis]
        values = values.index_select(axis, cells)
    return values
