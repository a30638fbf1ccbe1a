"""Universes of a training run: simulated by the settings of a recipe, or read from files.

A universe is identified by its seed, and each seed has one purpose: 0 to 999 are for tests and
examples, 1000 to 1999 for validation, and those from 2000 on for training. So no network is ever
tested on a universe that it was trained on.
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
from truez.support.checks import shown
from truez.support.progress import Progress, silent
from truez.support.settings import section
from truez.training.universe_samples import BoxesConfig
from truez.training.universes import TRAINING_SEEDS, Maker, maker, seeds_in_words

TEST_SEEDS, VALIDATION_SEEDS = range(1000), range(1000, TRAINING_SEEDS.start)


@dataclass(frozen=True)
class Supply:
    """Universes with the same settings, for training and for validation.

    Parameters
    ----------
    make : function of a seed
        Returns the Galaxies of the universe of that seed.
    train, validation : sequences of int
        Their seeds.
    again : bool
        Whether universes are used more than once.
    box : Box
        Box of each universe.
    num_galaxies : int
        Number of galaxies of each, at least approximately.
    redshift, cosmology
        Redshift and cosmology of each.
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
        settings: Mapping[str, Any],
        boxes: BoxesConfig,
        *,
        device: torch.device | str = "cpu",
        progress: Progress = silent,
    ) -> Supply:
        """Universes that are simulated when they are needed.

        Parameters
        ----------
        settings : mapping
            Those of `truez.simulate.Universe`, except its seed.
        boxes : BoxesConfig
            Their numbers.
        device, progress
            See `truez.simulate.Universe.make`.
        """
        if "seed" in settings:
            raise ValueError(
                f"universe.seed = {shown(settings['seed'])} names one universe, and training takes "
                "many: leave it out"
            )
        with section("universe"):
            universe = Universe(**settings)
        universe.check_memory(device, section="universe.")
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
        """All universes that ``truez simulate`` wrote to a folder.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        ValueError
            If it holds other catalogues, or lacks universes for training or validation.
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
    """Split seeds into those for training and those for validation.

    Raises
    ------
    ValueError
        If one is reserved for tests, or there is none for training or for validation.
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
