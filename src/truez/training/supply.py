"""Where the universes of a training run come from: simulated as a recipe says, or read from files.

A universe is named by its seed, and seeds are set apart for good: 0 to 999 for tests and for what
is made by hand, 1000 to 1999 for validation, and those from 2000 on for training. So no network is
ever tested on a universe that it has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from truez.cosmology import Cosmology
from truez.mesh.box import Box
from truez.simulate import Universe, files_by_seed, read_galaxies
from truez.support.progress import Progress, silent
from truez.training.universe_samples import BoxesConfig
from truez.training.universes import TRAINING_SEEDS, Maker, maker, seeds_in_words

TEST_SEEDS, VALIDATION_SEEDS = range(1000), range(1000, TRAINING_SEEDS.start)


@dataclass(frozen=True)
class Supply:
    """Universes of one kind, for training and for validation.

    Parameters
    ----------
    make : function of a seed
        Gives its Galaxies.
    train, validation : sequences of int
        Seeds.
    again : bool
        Whether a universe comes more than once.
    box : Box
        Of each universe.
    num_galaxies : int
        In each, or about so many.
    redshift, cosmology
        Of each.
    """

    make: Maker
    train: Sequence[int]
    validation: Sequence[int]
    again: bool
    box: Box
    num_galaxies: int
    redshift: float
    cosmology: Cosmology

    def __post_init__(self) -> None:
        assert not any(seed in self.train for seed in self.validation)
        for kept in TEST_SEEDS:
            assert kept not in self.train
            assert kept not in self.validation

    @property
    def seeds(self) -> dict[str, Any]:
        """The seeds as plain values."""
        return {
            "training": seeds_in_words(self.train),
            "validation": seeds_in_words(self.validation),
        }

    @classmethod
    def from_recipe(
        cls,
        section: Mapping[str, Any],
        boxes: BoxesConfig,
        *,
        device: torch.device | str = "cpu",
        progress: Progress = silent,
    ) -> Supply:
        """Universes to be simulated.

        Parameters
        ----------
        section : mapping
            Settings of `truez.simulate.Universe`, except its seed.
        boxes : BoxesConfig
            How many.
        device, progress
            See `truez.simulate.Universe.make`.
        """
        if "seed" in section:
            raise ValueError(
                f"universe.seed = {section['seed']!r} names one universe, and training takes many: "
                "leave it out"
            )
        universe = Universe(**section)
        return cls(
            make=maker(universe, device=device, progress=progress),
            train=TRAINING_SEEDS[: boxes.num_boxes] if boxes.num_boxes else TRAINING_SEEDS,
            validation=VALIDATION_SEEDS[: boxes.num_validation],
            again=boxes.num_boxes > 0,
            box=universe.box,
            num_galaxies=universe.num_galaxies,
            redshift=universe.redshift,
            cosmology=universe.cosmology,
        )

    @classmethod
    def from_folder(cls, folder: str | Path) -> Supply:
        """All universes that ``truez simulate`` wrote into a folder.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        ValueError
            If it holds other catalogues, or not what training needs.
        """
        files = files_by_seed(folder)
        train, validation = split_seeds(files)
        first = read_galaxies(files[train[0]])
        return cls(
            make=lambda seed: read_galaxies(files[seed]),
            train=train,
            validation=validation,
            again=True,
            box=first.box,
            num_galaxies=len(first),
            redshift=first.redshift,
            cosmology=first.cosmology,
        )


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
    return train, validation
