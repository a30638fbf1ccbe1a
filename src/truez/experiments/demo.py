"""Settings of the recipe of ``truez demo``, of which ``demo.toml`` is one."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from truez.mesh.box import Box
from truez.networks.weights import read_header, shipped_weights
from truez.reconstruct import check_start
from truez.reconstruct.choice import DEFAULT_METHOD, choose_method
from truez.simulate import Universe
from truez.support.settings import Settings, section
from truez.surveys.mock import MockConfig, judged_region
from truez.surveys.spec import SurveySpec, limits


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

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        universe, surveys = self.universe, self.surveys
        with section("surveys"):
            surveys.check(universe.num_galaxies, universe.box.volume)
        photo, spec = surveys.photo_density, limits(surveys.spec_density)[0]
        if surveys.disjoint and photo is not None and limits(photo)[0] + spec > universe.density:
            raise ValueError(
                f"surveys.photo_density of {limits(photo)[0]:g} (h/Mpc)^3 and the spectroscopic "
                f"{spec:g} are more than the universe's {universe.density:g}: choose less, or a "
                "larger universe.density"
            )
        box, config = self.box, self.mock_config
        with section("surveys"):
            judged_region(box, config)
        return self

    def methods(self, *, named: bool = True) -> tuple[str, ...]:
        """The methods, after what this machine or a network cannot do was refused.

        Parameters
        ----------
        named : bool
            Whether they were asked for by name. If not, the network is left out where it was
            trained for other surveys, which a note says.

        Raises
        ------
        ValueError
            If the memory is too small, or a network that was asked for was trained for other
            surveys.
        """
        self.universe.check_memory(section="universe.")
        methods = self.reconstruct.methods
        if named or DEFAULT_METHOD not in methods:
            for method in methods:
                self._check(method)
            return methods
        others = tuple(name for name in methods if name != DEFAULT_METHOD)
        for method in others:
            self._check(method)
        chosen = choose_method(self._check, given=(), settings=()).method
        return methods if chosen == DEFAULT_METHOD else tuple(dict.fromkeys((*others, chosen)))

    def _check(self, method: str) -> None:
        """Refuse a method that cannot run, or whose network was trained for other surveys."""
        check_start(self.box, method)
        if method == "columns":
            config, universe = self.mock_config, self.universe
            spec = limits(self.surveys.spec_density)[0]
            photo = config.photo.density or universe.density - spec * config.disjoint
            read_header(shipped_weights("column-net")).check(
                self.box,
                sigma=config.error.sigma,
                spec_density=spec,
                photo_density=photo,
                outlier_fraction=config.outlier_fraction,
                overlap=0.0 if config.disjoint else 1.0,
                redshift_space=config.redshift_space,
                redshift=universe.redshift,
            )

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
