"""Training samples: the cells of each step, as a pure function of (seed, step, rank).

There is no state between steps, so a run resumes from one integer, and each of several ranks draws
its own samples. Crops never leave their region.

The loop takes samples from any `Source`: crops of given fields here, of one universe after another
in `truez.training.universe_samples`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from truez.mesh.box import Box, Mesh, Region
from truez.mesh.field import Field
from truez.networks.symmetries import NUM_SYMMETRIES, apply_symmetry

#: Overdensities on one box: truth, photo, spec.
Fields = tuple[Field, Field, Field]


class Source(Protocol):
    """Samples for the training loop."""

    @property
    def box(self) -> Box:
        """A box whose cells are those of the crops."""

    @property
    def shape(self) -> Mesh:
        """Cells of a crop."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many crops are drawn as fill the data without overlap."""

    def describe(self) -> dict[str, Any]:
        """Plain values (JSON) that identify the samples; a resumed run must have the same."""

    def draw(self, step: int, rank: int = 0) -> Any:
        """Sample of a step, in the form that the objective takes.

        For the mean squared error it is a pair of tensors: inputs (batch, 2, nx, ny, nz), spec and
        photo, and truth (batch, 1, nx, ny, nz). It depends on the settings of the source, ``step``
        and ``rank`` alone.
        """


def turned(values: Tensor, rng: np.random.Generator) -> Tensor:
    """Apply a random symmetry that keeps the line of sight and the shape."""
    return apply_symmetry(values, draw_symmetry(values.shape, rng))


def draw_symmetry(shape: Sequence[int], rng: np.random.Generator) -> int:
    """Number of the symmetry that `turned` applies to a crop of a shape (..., nx, ny, nz)."""
    number = int(rng.integers(NUM_SYMMETRIES))
    # x and y of a crop that is not square are not swapped: a batch has one shape.
    return number if shape[-3] == shape[-2] else number & ~1


def crop_shape(crop: Sequence[int], regions: Sequence[Region]) -> Mesh:
    """Cells of a crop, where 0 means the whole axis of the narrowest region.

    Raises
    ------
    ValueError
        If a region is smaller than the crop.
    """
    if not regions:
        raise ValueError("regions must name at least one region to train on")
    narrow = [min(stop[a] - start[a] for start, stop in regions) for a in range(3)]
    shape = [c or n for c, n in zip(crop, narrow, strict=True)]
    if any(c > n for c, n in zip(shape, narrow, strict=True)):
        raise ValueError(
            f"crop of {tuple(shape)} cells does not fit in a region of {tuple(narrow)} cells: take "
            "a smaller one, or 0 for all cells of an axis"
        )
    return shape[0], shape[1], shape[2]


def plain(regions: Sequence[Region]) -> list[list[list[int]]]:
    """Regions as plain values."""
    return [[list(corner) for corner in region] for region in regions]


@dataclass(frozen=True, eq=False)
class Samples:
    """Draws batches of crops from fields.

    Parameters
    ----------
    fields : (truth, photo, spec) Fields
        Overdensities on one box.
    regions : sequence of (start, stop) cell triples
        Where crops may lie.
    crop : (3,) ints
        Cells of a crop; 0 is the whole axis.
    batch : int
        Crops per step and rank.
    seed : int
    mode : {"random", "grid"}
        Crops at random positions, or the sub-boxes of the paper's fixed grid, each once per epoch
        and in a new order in each.
    symmetries : bool
        Apply a random one of the symmetries that keep the line of sight to each crop: of 16, or of
        8 for a crop that is not square across it.
    num_ranks : int
        Number of ranks that train together.
    """

    fields: Fields
    regions: Sequence[Region]
    crop: Sequence[int]
    batch: int = 2
    seed: int = 0
    mode: Literal["random", "grid"] = "random"
    symmetries: bool = True
    num_ranks: int = 1

    def __post_init__(self) -> None:
        box = self.fields[0].box
        for name, field in zip(("truth", "photo", "spec"), self.fields, strict=True):
            if field.kind != "delta" or field.box != box:
                raise ValueError(
                    f"{name} must be an overdensity on {box}, not {field.kind!r} on {field.box}"
                )
        for start, stop in self.regions:
            box.crop(start, stop)  # raises where a region leaves the box
        crop_shape(self.crop, self.regions)

    @property
    def box(self) -> Box:
        """The box of the fields."""
        return self.fields[0].box

    @cached_property
    def shape(self) -> Mesh:
        """Cells of a crop."""
        return crop_shape(self.crop, self.regions)

    def describe(self) -> dict[str, Any]:
        """The box and the regions."""
        return {"box": self.box.to_dict(), "train_regions": plain(self.regions)}

    @cached_property
    def grid(self) -> list[Mesh]:
        """First cells of the sub-boxes that fill the regions, remainders left out."""
        corners = []
        for start, stop in self.regions:
            axes = zip(start, stop, self.shape, strict=True)
            xs, ys, zs = (range(a, b - n + 1, n) for a, b, n in axes)
            corners += list(itertools.product(xs, ys, zs))
        return corners

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many crops are drawn as the grid has sub-boxes."""
        return math.ceil(len(self.grid) / (self.batch * self.num_ranks))

    @cached_property
    def _stacked(self) -> Tensor:
        truth, photo, spec = self.fields
        return torch.stack([spec.values, photo.values, truth.values])

    def draw(self, step: int, rank: int = 0) -> tuple[Tensor, Tensor]:
        """Draw inputs (batch, 2, nx, ny, nz), spec and photo, and truth (batch, 1, nx, ny, nz)."""
        rng = np.random.default_rng([self.seed, step, rank])
        crops = []
        for number in range(self.batch):
            x, y, z = self._corner(step, rank, number, rng)
            nx, ny, nz = self.shape
            values = self._stacked[:, x : x + nx, y : y + ny, z : z + nz]
            crops.append(turned(values, rng) if self.symmetries else values)
        batch = torch.stack(crops)
        return batch[:, :2], batch[:, 2:]

    def _corner(self, step: int, rank: int, number: int, rng: np.random.Generator) -> Mesh:
        if self.mode == "grid":
            index = (step * self.num_ranks + rank) * self.batch + number
            epoch, place = divmod(index, len(self.grid))
            return self.grid[int(self._order(epoch)[place])]
        rooms = [
            [b - a - n + 1 for a, b, n in zip(start, stop, self.shape, strict=True)]
            for start, stop in self.regions
        ]
        places = np.array([math.prod(room) for room in rooms], dtype=float)
        which = int(rng.choice(len(rooms), p=places / places.sum()))
        start = self.regions[which][0]
        x, y, z = (a + int(rng.integers(room)) for a, room in zip(start, rooms[which], strict=True))
        return x, y, z

    def _order(self, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Order of the sub-boxes in an epoch, the same for all ranks."""
        # A fourth number keeps this stream apart from those of the steps.
        return np.random.default_rng([self.seed, epoch, 0, 1]).permutation(len(self.grid))
