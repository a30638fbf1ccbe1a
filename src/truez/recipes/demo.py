"""What the recipe of ``truez demo`` may say; see ``demo.toml`` for what it says."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from truez.box import Box, Vector
from truez.cosmology import COSMOLOGIES
from truez.mocks import MockConfig
from truez.progress import Progress, silent
from truez.selection import Selection
from truez.simulate import Galaxies, lognormal_galaxies


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Universe(_Section):
    """The lognormal universe; see `truez.simulate.lognormal_galaxies`.

    Parameters
    ----------
    boxsize : float or (3,) floats
        Sides of the periodic box [Mpc/h].
    cellsize : float
        Of the mesh of universe and fields [Mpc/h].
    cosmology : str
        One of `truez.cosmology.COSMOLOGIES`.
    redshift : float
    density : float
        Of all galaxies [(h/Mpc)^3].
    bias : float
    seed : int
    environment, fixed, flip : optional
        As there.
    """

    boxsize: float | Vector
    cellsize: float = Field(gt=0)
    cosmology: str
    redshift: float = Field(ge=0)
    density: float = Field(gt=0)
    bias: float = Field(gt=0)
    seed: int = Field(ge=0)
    environment: float | None = None
    fixed: bool = False
    flip: bool = False

    @field_validator("cosmology")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in COSMOLOGIES:
            raise ValueError(f"must be one of {', '.join(COSMOLOGIES)}")
        return name

    @property
    def box(self) -> Box:
        """The box with its mesh."""
        return Box.from_cellsize(self.boxsize, self.cellsize)

    def galaxies(self, progress: Progress = silent) -> Galaxies:
        """Make the universe."""
        given = self.model_dump(exclude={"boxsize", "cellsize", "cosmology"}, exclude_none=True)
        cosmology = COSMOLOGIES[self.cosmology]
        return lognormal_galaxies(self.box, cosmology, progress=progress, **given)


class TwoSurveys(_Section):
    """The two surveys; what is not given is as `truez.mocks.MockConfig` has it.

    Parameters
    ----------
    spec_density, photo_density : float
        Of the samples [(h/Mpc)^3]; all galaxies are photometric unless that density is given.
    sigma_z, outlier_fraction, disjoint, redshift_space, trim, split, gap, seed
        See `truez.mocks.MockConfig`.
    """

    spec_density: float
    photo_density: float | None = None
    sigma_z: float
    outlier_fraction: float | None = None
    disjoint: bool | None = None
    redshift_space: bool | None = None
    trim: tuple[float, float] | None = None
    split: tuple[float, float] | None = None
    gap: float | None = None
    seed: int | None = None


class Reconstruct(_Section):
    """Which methods are tried: those that need no training."""

    methods: tuple[Literal["wiener", "wiener-spec", "wiener-photo"], ...] = Field(min_length=1)


class DemoRecipe(_Section):
    """The whole recipe."""

    universe: Universe
    surveys: TwoSurveys
    reconstruct: Reconstruct

    @property
    def mock_config(self) -> MockConfig:
        """What makes the two surveys of the universe."""
        densities = {"spec_density", "photo_density"}
        settings: dict[str, Any] = self.surveys.model_dump(exclude=densities, exclude_none=True)
        return MockConfig(
            redshift=self.universe.redshift,
            cosmology=COSMOLOGIES[self.universe.cosmology],
            rank_by="mass",
            spec=Selection(density=self.surveys.spec_density),
            photo=Selection(density=self.surveys.photo_density),
            **settings,
        )
