"""Universes without end: box after box, and what two surveys see of them. Nothing touches the disk.

    surveys = SurveyRanges(sigma_z=0.02, spec_density=1e-3)
    for mock in mocks(universes(Universe()), surveys, per_box=8):
        truth, photo, spec = mock.fields()

A universe is named by its seed, and seeds are set apart for good: 0 to 999 for tests and for what
is made by hand, 1000 to 1999 for validation, and those from 2000 on for training. So no network is
ever tested on a universe that it has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from truez import formats
from truez.box import Box
from truez.catalog import Catalog
from truez.mocks import Mock
from truez.progress import Progress, silent
from truez.simulate import Galaxies, Universe
from truez.training.ranges import SurveyRanges

TEST_SEEDS, VALIDATION_SEEDS, TRAINING_SEEDS = range(1000), range(1000, 2000), range(2000, 2**31)

#: Makes the universe of a seed.
Maker = Callable[[int], Galaxies]


def maker(
    universe: Universe, *, device: torch.device | str = "cpu", progress: Progress = silent
) -> Maker:
    """What makes N-body universes of one kind, each from its seed."""
    return lambda seed: universe.with_seed(seed).make(device=device, progress=progress)


def universes(
    universe: Universe | Maker,
    *,
    first_seed: int = TRAINING_SEEDS.start,
    count: int | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Iterator[Galaxies]:
    """Box after box; only one of them is held at a time.

    Parameters
    ----------
    universe : Universe, or a function of the seed that gives Galaxies
    first_seed : int
        Seeds count up from here.
    count : int, optional
        How many; without end by default.
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
    # A map keeps nothing of what it gave.
    return map(make, range(first_seed, last))


def mocks(
    boxes: Iterable[Galaxies],
    surveys: SurveyRanges,
    *,
    cellsize: float = 2.0,
    per_box: int = 1,
    seed: int = 0,
) -> Iterator[Mock]:
    """Two surveys of one universe after another, with fresh photo-z noise each time.

    Parameters
    ----------
    boxes : iterable of Galaxies
        Such as `universes` gives.
    surveys : SurveyRanges
        Drawn from for each mock.
    cellsize : float
        Of the meshes [Mpc/h].
    per_box : int
        Mocks of each universe.
    seed : int
        Of the draws.
    """
    if per_box < 1:
        raise ValueError(f"per_box must be at least 1, not {per_box}")
    return _mocks(boxes, surveys, cellsize, per_box, seed)


def _mocks(
    boxes: Iterable[Galaxies], surveys: SurveyRanges, cellsize: float, per_box: int, seed: int
) -> Iterator[Mock]:
    for number, galaxies in enumerate(boxes):
        for draw in range(per_box):
            rng = np.random.default_rng([seed, number, draw])
            yield surveys.mock(galaxies, rng, cellsize=cellsize)
        # Otherwise it would be held while the next one is made.
        del galaxies


class Pool:
    """Universes by number, made or read when they are asked for.

    Parameters
    ----------
    make : function of a seed
        Gives its Galaxies, the same ones every time.
    seeds : sequence of int
        Of the universes; after the last comes the first again.
    memory : float
        Bytes for universes that are kept; those beyond are made again each time. The one asked for
        last is held in any case.
    """

    def __init__(self, make: Maker, seeds: Sequence[int], *, memory: float = 0.0) -> None:
        if len(seeds) == 0:
            raise ValueError("seeds must name at least one universe")
        self.make = make
        self.seeds = seeds
        self.memory = memory
        # The first ones are kept, not the latest: of a ring too long for the memory, the latest
        # would all be gone when their turn comes.
        self._kept: dict[int, Galaxies] = {}
        self._current: tuple[int, Galaxies] | None = None
        self._first: dict[str, Any] | None = None

    def __getitem__(self, number: int) -> Galaxies:
        """The universe ``number``, counted from 0 and round the ring of seeds."""
        seed = self.seeds[number % len(self.seeds)]
        if seed in self._kept:
            # One that is kept needs no second place.
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
        """Plain values that say which universes these are: seeds, and what made the first one."""
        numbers = self.seeds
        seeds = (
            f"{numbers.start} to {numbers.stop - 1}" if isinstance(numbers, range) else [*numbers]
        )
        if self._first is None:
            self._first = what_made(self[0])
        return {"seeds": seeds, "first": self._first}


def what_made(galaxies: Galaxies) -> dict[str, Any]:
    """Plain values that say what made galaxies, whatever version it was."""
    return {name: value for name, value in galaxies.metadata.items() if name != "versions"}


def num_bytes(galaxies: Galaxies) -> int:
    """Memory that galaxies take [bytes]."""
    return galaxies.positions.nbytes + galaxies.velocities.nbytes + galaxies.mass.nbytes


def split_seeds(seeds: Iterable[int]) -> tuple[list[int], list[int]]:
    """Which seeds are for training, and which for validation.

    Raises
    ------
    ValueError
        If one is kept for tests, or one of the two has none.
    """
    known = sorted(seeds)
    for seed in known:
        if seed in TEST_SEEDS:
            raise ValueError(
                f"the universe of seed {seed} is kept for tests, as all below {TEST_SEEDS.stop} "
                f"are: train with seeds from {TRAINING_SEEDS.start} on"
            )
    train = [seed for seed in known if seed in TRAINING_SEEDS]
    validation = [seed for seed in known if seed in VALIDATION_SEEDS]
    if not train:
        raise ValueError(
            f"there is no universe to train on: make some with seeds from {TRAINING_SEEDS.start} on"
        )
    if not validation:
        raise ValueError(
            "there is no universe to validate with: make at least one with a seed from "
            f"{VALIDATION_SEEDS.start} to {VALIDATION_SEEDS.stop - 1}"
        )
    assert set(train).isdisjoint(validation)
    return train, validation


def files_by_seed(folder: str | Path) -> dict[int, Path]:
    """The universes that ``truez simulate`` wrote into a folder, by their seeds.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If a catalogue there was not written by it, or two have one seed.
    """
    place = Path(folder)
    if not place.is_dir():
        raise FileNotFoundError(f"there is no folder {place}")
    found: dict[int, Path] = {}
    for path in sorted(place.iterdir()):
        if path.name.startswith(".") or not path.name.endswith(tuple(formats.formats())):
            continue
        seed = int(_facts(path, formats.header(path).metadata)["seed"])
        if seed in found:
            raise ValueError(f"{found[seed]} and {path} both hold the universe of seed {seed}")
        found[seed] = path
    return found


def read_galaxies(path: str | Path) -> Galaxies:
    """The galaxies of a catalogue that ``truez simulate`` wrote.

    Raises
    ------
    ValueError
        If the file is none.
    """
    columns = ("x", "y", "z", "vx", "vy", "vz", "mass")
    catalog = Catalog.read(path, columns)
    facts = _facts(Path(path), catalog.metadata)
    return Galaxies(
        catalog.positions(length_unit="Mpc/h").astype(np.float32, copy=False),
        catalog.velocities().astype(np.float32, copy=False),
        catalog["mass"],
        Box(**facts["box"]),
        float(facts["redshift"]),
        facts,
    )


def _facts(path: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("seed", "box", "redshift", "cosmology"):
        if name not in metadata:
            raise ValueError(
                f"{path} does not say its {name}: it is no universe that truez simulate wrote"
            )
    return dict(metadata)
