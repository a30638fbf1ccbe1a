"""Settings of the recipe of ``truez demo``, of which ``demo.toml`` is one."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from truez.mesh.box import Box
from truez.simulate import Universe
from truez.support.settings import Settings, section
from truez.surveys.mock import MockConfig
from truez.surveys.spec import SurveySpec


class DemoSurveys(SurveySpec):
    """The two surveys, the mesh that they are painted on, and the regions they are judged in.

    Densities, errors and the kind of samples are those of a fixed `SurveySpec` whose photometric
    sample is selected by mass. ``cellsize`` is the side of the cells of the mesh [Mpc/h]; ``trim``,
    ``split``, ``gap`` and ``seed`` are those of `truez.surveys.mock.MockConfig`, and so is what is
    left out.
    """

    thinning: Literal["mass"] = "mass"
    closed: Literal[0] = 0
    cellsize: float = Field(gt=0)
    trim: tuple[float, float] | None = None
    split: tuple[float, float] | None = None
    gap: float | None = None
    seed: int | None = None

    def _check_densities(self) -> None:
        # Disjoint samples are selected one after the other, so that either may be the denser one.
        if not self.disjoint:
            super()._check_densities()

    @property
    def mock_settings(self) -> dict[str, Any]:
        """Settings of `truez.surveys.mock.MockConfig` beside those of `SurveySpec`."""
        return self.model_dump(include={"trim", "split", "gap", "seed"}, exclude_none=True)


class Reconstruct(Settings):
    """Methods that need no training, or come with weights."""

    methods: tuple[
        Literal["columns", "redistribution", "wiener", "wiener-spec", "wiener-photo"], ...
    ] = Field(min_length=1)


class DemoRecipe(Settings):
    """The whole recipe."""

    universe: Universe
    surveys: DemoSurveys
    reconstruct: Reconstruct

    @property
    def box(self) -> Box:
        """The universe's box with the mesh of the fields."""
        with section("surveys"):
            return Box.from_cellsize(self.universe.boxsize, self.surveys.cellsize)

    @property
    def mock_config(self) -> MockConfig:
        """Settings of the two surveys of the universe."""
        universe, surveys = self.universe, self.surveys
        with section("surveys"):
            return surveys.mock_config(
                redshift=universe.redshift, cosmology=universe.cosmology, **surveys.mock_settings
            )
