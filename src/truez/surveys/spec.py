"""Specification of the two surveys: densities, photo-z error, selection, real or redshift space.

Each quantity is one number or a range, so that the same object describes one pair of surveys (a
benchmark, the demo, the paper) and a distribution of them (training).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field as Setting
from pydantic import field_serializer, field_validator, model_validator

from truez.cosmology import Cosmology
from truez.support.checks import shown
from truez.support.settings import SettingError, Settings
from truez.surveys.mock import MockConfig
from truez.surveys.photoz import LARGEST_SIGMA_Z
from truez.surveys.selection import Selection

#: The lowest and the highest value.
Range = tuple[float, float]
_QUANTITIES = ("sigma_z", "spec_density", "photo_density", "outlier_fraction")


class SurveySpec(Settings):
    """A spectroscopic and a photometric survey of simulated galaxies.

    A quantity is one number or a range ``(low, high)``. `draw` takes a value from each range,
    uniformly in its logarithm, or uniformly if the range starts at 0.

    Parameters
    ----------
    sigma_z : float or range
        Photo-z error, sigma(z) / (1 + z).
    spec_density : float or range
        Number density of the spectroscopic sample, the most massive galaxies of the photometric
        one [(h/Mpc)^3].
    photo_density : float or range, optional
        Number density of the photometric sample [(h/Mpc)^3]; all galaxies by default.
    thinning : {"random", "mass", "both"}
        Whether the photometric sample is a random subset of the galaxies or the most massive ones;
        "both": one of the two for each mock, with equal probability.
    outlier_fraction : float or range
        Fraction of photo-z that are uniform over the line of sight; drawn uniformly.
    redshift_space : bool or "both"
        Whether galaxies are displaced by their peculiar velocities; "both": one of the two for each
        mock, with equal probability.
    disjoint : bool
        Whether the spectroscopic galaxies are removed from the photometric sample.
    closed : float
        Fraction of the mocks that fill a closed box: a section of the periodic box along the line
        of sight, at least half as long, which photo-z may leave.

    Examples
    --------
    >>> from truez import SurveySpec
    >>> surveys = SurveySpec(sigma_z=(0.003, 0.03), spec_density=1e-3)
    >>> surveys
    SurveySpec(sigma_z=(0.003, 0.03), spec_density=0.001)
    >>> surveys.fixed
    False
    """

    sigma_z: float | Range
    spec_density: float | Range
    photo_density: float | Range | None = None
    thinning: Literal["random", "mass", "both"] = "random"
    outlier_fraction: float | Range = 0.0
    redshift_space: bool | Literal["both"] = True
    disjoint: bool = False
    closed: float = Setting(default=0.0, ge=0, le=1)

    @field_validator(*_QUANTITIES, mode="before")
    @classmethod
    def _number_or_range(cls, value: Any) -> Any:
        if value is None:
            return value
        numbers = value if isinstance(value, list | tuple) else [value]
        real = all(isinstance(n, Real) and not isinstance(n, bool) for n in numbers)
        if not (real and len(numbers) in (1, 2) and 0 <= numbers[0] <= numbers[-1] < math.inf):
            raise ValueError("must be a number or a range from low to high, none below 0")
        low, high = float(numbers[0]), float(numbers[-1])
        return low if low == high else (low, high)

    @field_validator("spec_density", "photo_density")
    @classmethod
    def _positive(cls, value: float | Range | None) -> float | Range | None:
        if value is not None and not limits(value)[0] > 0:
            raise ValueError("must be above 0 (h/Mpc)^3")
        return value

    @field_validator("sigma_z")
    @classmethod
    def _error(cls, value: float | Range) -> float | Range:
        if not limits(value)[1] <= LARGEST_SIGMA_Z:
            raise ValueError(f"must be at most {LARGEST_SIGMA_Z:g}")
        return value

    @field_validator("outlier_fraction")
    @classmethod
    def _fraction(cls, value: float | Range) -> float | Range:
        if not limits(value)[1] < 1:
            raise ValueError("must be below 1")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_densities()
        return self

    def _check_densities(self) -> None:
        if self.photo_density is None:
            return
        spec, photo = limits(self.spec_density)[1], limits(self.photo_density)[0]
        if spec > photo:
            raise ValueError(
                f"spec_density up to {spec:g} (h/Mpc)^3 does not fit in a photo_density from "
                f"{photo:g}: the spectroscopic galaxies are chosen from the photometric ones"
            )

    @field_serializer(*_QUANTITIES, when_used="json")
    def _as_range(self, value: float | Range | None) -> list[float] | None:
        # In files a single number is written as a range of equal ends.
        return None if value is None else list(limits(value))

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Settings that differ from their defaults, for a short ``repr``."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value != field.default:
                yield name, value

    @property
    def fixed(self) -> bool:
        """Whether all mocks have the same settings: no range, no "both", all or none closed."""
        quantities = [getattr(self, name) for name in _QUANTITIES]
        both = "both" in (self.thinning, self.redshift_space)
        ranges = any(isinstance(value, tuple) for value in quantities)
        return not ranges and not both and self.closed in (0, 1)

    def describe(self) -> dict[str, Any]:
        """The specification as plain values (JSON), without ``thinning`` and ``closed`` by default.

        Runs that were started before those could be chosen then have the same description.
        """
        omitted = {"thinning"} if self.thinning == "random" else set()
        if not self.closed:
            omitted.add("closed")
        return self.model_dump(mode="json", exclude=omitted)

    def check(self, num_galaxies: int, volume: float) -> None:
        """Refuse universes with fewer galaxies than the surveys need.

        Parameters
        ----------
        num_galaxies : int
        volume : float
            Volume of the universe [(Mpc/h)^3].

        Raises
        ------
        ValueError
            If the highest density is above that of the universe.
        """
        name, density = "spec_density", self.spec_density
        if self.photo_density is not None:
            name, density = "photo_density", self.photo_density
        wanted = limits(density)[1]
        if round(wanted * volume) > num_galaxies:
            raise ValueError(
                f"{name} up to {wanted:g} (h/Mpc)^3 is more than the universe's "
                f"{num_galaxies / volume:.4g}: take a lower one, or a universe of more galaxies"
            )

    def draw(
        self, rng: np.random.Generator, *, redshift: float, cosmology: Cosmology
    ) -> MockConfig:
        """Draw the settings of one mock.

        The number of random numbers does not depend on the ranges, so that fixing one quantity does
        not change the draws of the others.

        Parameters
        ----------
        rng : Generator
        redshift : float
        cosmology : Cosmology

        Returns
        -------
        MockConfig
            ``photo.density`` is that of the photometric sample after ``thinning``.
        """
        one, two, three, four, five = rng.random(5)
        space = bool(five < 0.5) if self.redshift_space == "both" else self.redshift_space
        photo = self.photo_density
        return MockConfig(
            redshift=redshift,
            cosmology=cosmology,
            sigma_z=_between(self.sigma_z, one),
            rank_by="mass",
            spec=Selection(density=_between(self.spec_density, two)),
            photo=Selection(density=None if photo is None else _between(photo, three)),
            outlier_fraction=_linear(self.outlier_fraction, four),
            redshift_space=space,
            disjoint=self.disjoint,
            seed=int(rng.integers(2**32)),
        )

    def mock_config(
        self, *, redshift: float, cosmology: Cosmology, rank_by: str = "mass", **settings: Any
    ) -> MockConfig:
        """Settings of the mock of a fixed specification, with nothing drawn.

        Both samples are then selected by rank, and the box is that of the simulation.

        Parameters
        ----------
        redshift : float
        cosmology : Cosmology
        rank_by : str
            Column of the catalogue that both samples are ranked by.
        **settings
            Others of `truez.surveys.mock.MockConfig`, such as ``seed`` and ``trim``.

        Raises
        ------
        ValueError
            If the specification is not fixed, the photometric sample is a random subset, or the box
            a closed section.
        """
        photo = self.photo_density
        by_rank = photo is None or self.thinning == "mass"
        if not (self.fixed and by_rank) or self.closed:
            drawn = [name for name in _QUANTITIES if isinstance(getattr(self, name), tuple)]
            drawn += ["redshift_space"] if self.redshift_space == "both" else []
            drawn += [] if by_rank else ["thinning"]
            name = [*drawn, "closed"][0]
            raise SettingError(
                name,
                f"= {shown(getattr(self, name))} is not for one mock, which needs one number for "
                "each quantity, thinning by mass and closed = 0: change it, or draw with a seed",
            )
        return MockConfig(
            redshift=redshift,
            cosmology=cosmology,
            sigma_z=limits(self.sigma_z)[0],
            rank_by=rank_by,
            spec=Selection(density=limits(self.spec_density)[0]),
            photo=Selection(density=None if photo is None else limits(photo)[0]),
            outlier_fraction=limits(self.outlier_fraction)[0],
            redshift_space=bool(self.redshift_space),
            disjoint=self.disjoint,
            **settings,
        )


def limits(value: float | Range) -> Range:
    """The lowest and the highest value of a quantity; for one number both are that number."""
    return value if isinstance(value, tuple) else (value, value)


def _linear(value: float | Range, share: float) -> float:
    low, high = limits(value)
    return float(low + (high - low) * share)


def _between(value: float | Range, share: float) -> float:
    low, high = limits(value)
    if low in (0, high):
        return _linear(value, share)
    return math.exp(_linear((math.log(low), math.log(high)), share))
