"""Settings of the recipe of ``truez demo --sky``, of which ``demo-sky.toml`` is one."""

from __future__ import annotations

from pydantic import Field, field_validator

from truez.simulate import Universe
from truez.sky.mock import SkyMockConfig
from truez.sky.registry import METHODS
from truez.support.settings import Settings, section
from truez.surveys.footprint import Footprint
from truez.surveys.footprint_input import footprint_of
from truez.surveys.photo_scatter import PhotoScatter


class DemoSkySurveys(Settings):
    """The two surveys of a light cone.

    ``footprint`` is RA1,RA2,DEC1,DEC2 [deg] or the file of a HEALPix map; the others are those of
    `truez.sky.mock.SkyMockConfig` and `truez.surveys.photo_scatter.PhotoScatter`.
    """

    footprint: str
    redshift_range: tuple[float, float]
    magnitude_limit: float | None = None
    sigma_z: float = 0.02
    sigma_z_growth: float = 0.0
    outlier_fraction: float = 0.0
    spec_fraction: float = 0.1
    seed: int = 0

    @property
    def area(self) -> Footprint:
        """The footprint."""
        return footprint_of(self.footprint)


class DemoSkyReconstruct(Settings):
    """Methods, and the side of the cells [Mpc/h]."""

    methods: tuple[str, ...] = Field(min_length=1)
    cellsize: float = Field(gt=0)

    @field_validator("methods")
    @classmethod
    def _known(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        for method in methods:
            if method not in METHODS:
                raise ValueError(f"must hold {', '.join(METHODS)}, not {method!r}")
        return methods


class DemoSkyEvaluate(Settings):
    """The redshifts that are judged."""

    redshift_range: tuple[float, float]


class DemoSkyRecipe(Settings):
    """The whole recipe."""

    universe: Universe
    surveys: DemoSkySurveys
    reconstruct: DemoSkyReconstruct
    evaluate: DemoSkyEvaluate

    def check(self) -> None:
        """Refuse what this machine cannot do, before any work.

        Raises
        ------
        ValueError
            If the memory is too small, or the settings of the surveys contradict each other.
        """
        self.universe.check_memory(section="universe.")
        with section("surveys"):
            _ = self.mock_config, self.surveys.area

    @property
    def mock_config(self) -> SkyMockConfig:
        """Settings of the two surveys of the universe."""
        given = self.surveys
        with section("surveys"):
            return SkyMockConfig(
                cosmology=self.universe.cosmology,
                redshift_range=given.redshift_range,
                photo=PhotoScatter(
                    sigma_z=given.sigma_z,
                    sigma_z_growth=given.sigma_z_growth,
                    outlier_fraction=given.outlier_fraction,
                    outlier_range=(0.0, given.redshift_range[1])
                    if given.outlier_fraction
                    else None,
                ),
                magnitude_limit=given.magnitude_limit,
                spec_fraction=given.spec_fraction,
                seed=given.seed,
            )
