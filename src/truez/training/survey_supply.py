"""The views of a training by their numbers, from a folder of simulated universes.

A view for training is of a drawn survey of one of the universes with seeds for training, a view for
validation is of one of the fixed surveys (`truez.training.survey_draws`) in one with a seed for
validation. Universes with other seeds are not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from truez.linear.fit import NoFitError
from truez.mesh.box import Box
from truez.simulate.files import files_by_seed, read_box, read_density, read_galaxies
from truez.simulate.galaxies import Galaxies
from truez.training.supply import VALIDATION_SEEDS
from truez.training.survey_description import SurveyDescription
from truez.training.survey_draws import VALIDATION, draw_survey
from truez.training.survey_making import make_survey_view
from truez.training.survey_pool import Purpose
from truez.training.survey_view import SurveyView
from truez.training.universes import TRAINING_SEEDS

#: Surveys that are drawn for a view to find one whose spectra can be fitted; their numbers are so
#: far apart.
_TRIES, _APART = 10, 1_000_000


@dataclass(frozen=True)
class ViewSupply:
    """Makes views of one purpose by their numbers.

    Parameters
    ----------
    files : mapping of int to Path
        Universes by seed.
    purpose : {"training", "validation"}
    seed : int
        Of the drawn surveys.
    fixed : sequence of str
        Names of the fixed surveys that views are of, in turn, in one universe after the other. By
        default those of validation are of all of them, and those for training of drawn surveys.
    """

    files: Mapping[int, Path]
    purpose: Purpose
    seed: int = 0
    fixed: Sequence[str] = ()

    @classmethod
    def of(
        cls, folder: str | Path, purpose: Purpose, seed: int = 0, fixed: Sequence[str] = ()
    ) -> ViewSupply:
        """The universes of a folder that ``truez simulate`` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        ValueError
            If it has no universe for this purpose, or a fixed survey is not known.
        """
        for name in fixed:
            if name not in VALIDATION:
                raise ValueError(
                    f"there is no fixed survey {name!r}: choose from {', '.join(VALIDATION)}"
                )
        seeds = TRAINING_SEEDS if purpose == "training" else VALIDATION_SEEDS
        files = {one: path for one, path in files_by_seed(folder).items() if one in seeds}
        if not files:
            last = f" to {seeds[-1]}" if purpose == "validation" else " on"
            raise ValueError(
                f"there is no universe for {purpose} in {folder}: make some with seeds from "
                f"{seeds.start}{last}"
            )
        return cls(files, purpose, seed, tuple(fixed))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fixed surveys; none if they are drawn."""
        return tuple(self.fixed or (VALIDATION if self.purpose == "validation" else ()))

    def __call__(self, number: int) -> SurveyView:
        """The view of a number.

        Raises
        ------
        ValueError
            If no universe fits a fixed survey, or none of several drawn surveys can be fitted.
        """
        if self.names:
            turn, place = divmod(number, len(self.names))
            fixed = VALIDATION[self.names[place]]
            fits = [path for path in self.files.values() if _fits(fixed, read_box(path))]
            if not fits:
                sides = _sides(fixed)
                raise ValueError(
                    f"the survey {fixed.name!r} is of a whole universe of "
                    f"{' x '.join(f'{side:g}' for side in sides)} Mpc/h, and there is none for "
                    f"{self.purpose}: make one with truez simulate --boxsize "
                    f"{','.join(f'{side:g}' for side in sides)}"
                )
            path = fits[turn % len(fits)]
            # Another draw of noise for each universe.
            own = fixed.model_copy(update={"seed": fixed.seed + len(VALIDATION) * turn})
            return make_survey_view(_galaxies(path), own)
        path = list(self.files.values())[number % len(self.files)]
        box, density = read_box(path), read_density(path)
        given = {} if density is None else {"density": density}
        for attempt in range(_TRIES):
            drawn = draw_survey(self.seed, number + _APART * attempt, box, **given)
            try:
                return make_survey_view(_galaxies(path), drawn)
            except NoFitError:
                continue
        raise ValueError(
            f"none of {_TRIES} surveys drawn in {path} has spectra that can be fitted: take a "
            "universe with more galaxies"
        )


def numbers_of(part: str, count: int) -> Sequence[int]:
    """Numbers below ``count`` of a part such as 2/3, the second of three.

    Raises
    ------
    ValueError
        If the part is not written so.

    Examples
    --------
    >>> from truez.training.survey_supply import numbers_of
    >>> list(numbers_of("2/3", 8))
    [1, 4, 7]
    """
    first, _, parts = part.partition("/")
    if not (first.isdecimal() and parts.isdecimal() and 1 <= int(first) <= int(parts)):
        raise ValueError(f"part must be like 1/2, the first of two, not {part!r}")
    return range(int(first) - 1, count, int(parts))


def _sides(description: SurveyDescription) -> list[float]:
    """Sides of the box of a survey [Mpc/h]."""
    across, along = description.cellsize
    return [n * side for n, side in zip(description.meshsize, (across, across, along), strict=True)]


def _fits(description: SurveyDescription, universe: Box) -> bool:
    """Whether a fixed survey can be made in a universe."""
    sides = _sides(description)
    if description.kind == "periodic":
        return bool(np.allclose(sides, universe.boxsize))
    if description.kind == "closed":
        return all(a <= b * (1 + 1e-9) for a, b in zip(sides, universe.boxsize, strict=True))
    return True


@lru_cache(maxsize=1)
def _galaxies(path: Path) -> Galaxies:
    return read_galaxies(path)
