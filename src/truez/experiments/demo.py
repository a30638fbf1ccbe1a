"""What the recipe of ``truez demo`` may say; see ``demo.toml`` for what it says."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from truez.mesh.box import Box
from truez.simulate import Universe
from truez.surveys.mock import MockConfig
from truez.surveys.selection import Selection


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TwoSurveys(_Section):
    """The two surveys; what is not given is as `truez.surveys.mock.MockConfig` has it.

    Parameters
    ----------
    cellsize : float
        Of the mesh of the fields [Mpc/h].
    spec_density, photo_density : float
        Of the samples [(h/Mpc)^3]; all galaxies are photometric unless that density is given.
    sigma_z, outlier_fraction, disjoint, redshift_space, trim, split, gap, seed
        See `truez.surveys.mock.MockConfig`.
    """

    cellsize: float = Field(gt=0)
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
    """Which methods are tried: those that need no training, or come trained."""

    methods: tuple[
        Literal["columns", "redistribution", "wiener", "wiener-spec", "wiener-photo"], ...
    ] = Field(min_length=1)


class DemoRecipe(_Section):
    """The whole recipe.

    Parameters
    ----------
    universe : Universe
        See `truez.simulate.Universe`.
    surveys : TwoSurveys
    reconstruct : Reconstruct
    """

    universe: Universe
    surveys: TwoSurveys
    reconstruct: Reconstruct

    @property
    def box(self) -> Box:
        """The universe's box with the mesh of the fields."""
        return Box.from_cellsize(self.universe.boxsize, self.surveys.cellsize)

    @property
    def mock_config(self) -> MockConfig:
        """What makes the two surveys of the universe."""
        others = {"cellsize", "spec_density", "photo_density"}
        settings: dict[str, Any] = self.surveys.model_dump(exclude=others, exclude_none=True)
        return MockConfig(
            redshift=self.universe.redshift,
            cosmology=self.universe.cosmology,
            rank_by="mass",
            spec=Selection(density=self.surveys.spec_density),
            photo=Selection(density=self.surveys.photo_density),
            **settings,
        )
