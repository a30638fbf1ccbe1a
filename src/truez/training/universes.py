"""Simulated universes in memory, one after another, and mock surveys of them.

    surveys = SurveySpec(sigma_z=0.02, spec_density=1e-3)
    for mock in mocks(universes(Universe()), surveys, per_box=8):
        truth, photo, spec = mock.fields()

Seeds from 2000 on are for training, see `truez.training.supply`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from truez.simulate import Galaxies, Universe, observe
from truez.support.progress import Progress, silent
from truez.surveys.mock import Mock
from truez.surveys.spec import SurveySpec

#: Seeds of the universes that networks are trained on; they are used for nothing else.
TRAINING_SEEDS = range(2000, 2**31)

#: A function that makes the galaxies of the universe of a seed.
Maker = Callable[[int], Galaxies]


def maker(
    universe: Universe, *, device: torch.device | str = "cpu", progress: Progress = silent
) -> Maker:
    """A function that makes N-body universes with the same settings, each from its seed."""
    # One cosmology for all of them, used before there are large arrays: objects that astropy leaves
    # when it makes one reference the frames of its callers until Python's garbage collection.
    universe.cosmology.hubble(universe.redshift)

    def make(seed: int) -> Galaxies:
        return universe.model_copy(update={"seed": seed}).make(device=device, progress=progress)

    return make


def universes(
    universe: Universe | Maker,
    *,
    first_seed: int = TRAINING_SEEDS.start,
    count: int | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Iterator[Galaxies]:
    """Simulated universes, one after another; only one is held at a time.

    Parameters
    ----------
    universe : Universe, or a function of the seed that returns Galaxies
    first_seed : int
        Seeds count up from here.
    count : int, optional
        How many; unlimited by default.
    device, progress
        See `truez.simulate.Universe.make`.

    Raises
    ------
    ValueError
        If ``first_seed`` or ``count`` is negative.
    """
    if first_seed < 0:
        raise ValueError(f"first_seed must not be negative, not {first_seed}")
    if count is not None and count < 0:
        raise ValueError(f"count must not be negative, not {count}")
    if isinstance(universe, Universe):
        make = maker(universe, device=device, progress=progress)
    else:
        make = universe
    last = TRAINING_SEEDS.stop if count is None else first_seed + count
    # A map keeps no reference to its results.
    return map(make, range(first_seed, last))


def mocks(
    boxes: Iterable[Galaxies],
    surveys: SurveySpec,
    *,
    cellsize: float = 2.0,
    per_box: int = 1,
    seed: int = 0,
) -> Iterator[Mock]:
    """Two surveys of one universe after another, with independent photo-z noise each time.

    Parameters
    ----------
    boxes : iterable of Galaxies
        Such as those of `universes`.
    surveys : SurveySpec
        Drawn from for each mock.
    cellsize : float
        Side of the cells of the meshes [Mpc/h].
    per_box : int
        Mocks of each universe.
    seed : int
        Seed of the draws.
    """
    if per_box < 1:
        raise ValueError(f"per_box must be at least 1, not {per_box}")
    return _mocks(boxes, surveys, cellsize, per_box, seed)


def _mocks(
    boxes: Iterable[Galaxies], surveys: SurveySpec, cellsize: float, per_box: int, seed: int
) -> Iterator[Mock]:
    for number, galaxies in enumerate(boxes):
        for draw in range(per_box):
            rng = np.random.default_rng([seed, number, draw])
            yield observe(galaxies, surveys, rng, cellsize=cellsize)
        # Otherwise it would be kept in memory while the next one is made.
        del galaxies


class Pool:
    """Universes by number, made or read when they are asked for.

    Parameters
    ----------
    make : function of a seed
        Returns the Galaxies of that seed, the same ones every time.
    seeds : sequence of int
        Seeds of the universes, in cycles.
    memory : float
        Memory for universes that are kept [bytes]; the others are made again each time. The last
        one that was used is held in any case.
    """

    def __init__(self, make: Maker, seeds: Sequence[int], *, memory: float = 0.0) -> None:
        if len(seeds) == 0:
            raise ValueError("seeds must name at least one universe")
        self.make = make
        self.seeds = seeds
        self.memory = memory
        # The first ones are kept, not the latest: in a cycle too long for the memory, each of the
        # latest would be dropped before its turn comes.
        self._kept: dict[int, Galaxies] = {}
        self._current: tuple[int, Galaxies] | None = None
        self._first: dict[str, Any] | None = None

    def __getitem__(self, number: int) -> Galaxies:
        """The universe ``number``, counted from 0, in cycles of the seeds."""
        seed = self.seeds[number % len(self.seeds)]
        if seed in self._kept:
            # One that is kept is not held twice.
            self._current = None
            return self._kept[seed]
        if self._current is None or self._current[0] != seed:
            self._current = None
            galaxies = self.make(seed)
            if sum(map(num_bytes, self._kept.values())) + num_bytes(galaxies) <= self.memory:
                self._kept[seed] = galaxies
                return galaxies
            self._current = seed, galaxies
        return self._current[1]

    def describe(self) -> dict[str, Any]:
        """Plain values that identify the universes: seeds, and the settings of the first one."""
        if self._first is None:
            self._first = what_made(self[0])
        return {"seeds": seeds_in_words(self.seeds), "first": self._first}


def seeds_in_words(seeds: Sequence[int]) -> str:
    """Seeds as text: ``2000 to 2007``, or a list if some between are missing."""
    first, last = seeds[0], seeds[-1]
    if len(seeds) == last - first + 1:
        return f"{first} to {last}" if last > first else f"{first}"
    return ", ".join(map(str, seeds))


def what_made(galaxies: Galaxies) -> dict[str, Any]:
    """Settings that galaxies were simulated with, as plain values, without versions."""
    return {name: value for name, value in galaxies.metadata.items() if name != "versions"}


def num_bytes(galaxies: Galaxies) -> int:
    """Memory of galaxies [bytes]."""
    return galaxies.positions.nbytes + galaxies.velocities.nbytes + galaxies.mass.nbytes
