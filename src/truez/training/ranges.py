"""What varies from mock to mock: the settings of two surveys, each one value or a range."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, field_validator, model_validator
from pydantic import Field as Setting

from truez.cosmology import Cosmology
from truez.mesh.box import Box
from truez.networks.weights import Survey
from truez.simulate import Galaxies
from truez.surveys.mock import Mock, MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.photoz import wrap
from truez.surveys.selection import Selection

Range = tuple[float, float]
Array = NDArray[np.floating[Any]]
#: Cells of the coarsest mesh of a column network.
_STRIDE = 4


class SurveyRanges(BaseModel):
    """The two surveys of simulated galaxies, drawn anew for every mock.

    A range ``(low, high)`` is drawn from uniformly in the logarithm, or uniformly if it starts at
    0; one number is a range of itself.

    Parameters
    ----------
    sigma_z : range
        Photo-z error in units of (1 + z).
    spec_density : range
        Of the spectroscopic sample, the most massive galaxies [(h/Mpc)^3].
    photo_density : range, optional
        Of the photometric sample [(h/Mpc)^3]; all galaxies by default. The spectroscopic sample is
        chosen from what is left after this thinning.
    thinning : {"random", "mass", "both"}
        Whether the photometric sample are galaxies at random or the most massive ones; "both": in
        every other mock, at random.
    outlier_fraction : range
        Share of photo-z that are uniform over the line of sight; drawn uniformly.
    redshift_space : bool or "both"
        Whether galaxies are moved by their velocities; "both": in every other mock, at random.
    disjoint : bool
        Take the spectroscopic galaxies out of the photometric sample.
    closed : float
        Share of the mocks that see a closed box: a part of the universe between two places along
        the line of sight, half of it at the least, which the sample fills and photo-z leave.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sigma_z: Range
    spec_density: Range
    photo_density: Range | None = None
    thinning: Literal["random", "mass", "both"] = "random"
    outlier_fraction: Range = (0.0, 0.0)
    redshift_space: bool | Literal["both"] = True
    disjoint: bool = False
    closed: float = Setting(default=0.0, ge=0, le=1)

    @field_validator("sigma_z", "spec_density", "photo_density", "outlier_fraction", mode="before")
    @classmethod
    def _range(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int | float) else value

    @field_validator("sigma_z", "spec_density", "photo_density", "outlier_fraction")
    @classmethod
    def _ordered(cls, value: Range | None) -> Range | None:
        if value is not None and not 0 <= value[0] <= value[1]:
            raise ValueError("must be a number or a range from low to high, none below 0")
        return value

    @field_validator("spec_density", "photo_density")
    @classmethod
    def _positive(cls, value: Range | None) -> Range | None:
        if value is not None and not value[0] > 0:
            raise ValueError("must be above 0 (h/Mpc)^3")
        return value

    @field_validator("sigma_z", "outlier_fraction")
    @classmethod
    def _share(cls, value: Range) -> Range:
        if not value[1] < 1:
            raise ValueError("must be below 1")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> SurveyRanges:
        if self.photo_density is not None and self.spec_density[1] > self.photo_density[0]:
            raise ValueError(
                f"spec_density up to {self.spec_density[1]:g} (h/Mpc)^3 does not fit in a "
                f"photo_density from {self.photo_density[0]:g}: the spectroscopic galaxies are "
                "chosen from the photometric ones"
            )
        return self

    def describe(self) -> dict[str, Any]:
        """Plain values. What is usual goes without saying, as in runs before it could be chosen."""
        unsaid = {"thinning"} if self.thinning == "random" else set()
        if not self.closed:
            unsaid.add("closed")
        return self.model_dump(mode="json", exclude=unsaid)

    def check(self, num_galaxies: int, volume: float) -> None:
        """Refuse universes with fewer galaxies than the surveys need.

        Parameters
        ----------
        num_galaxies : int
        volume : float
            Of the universe [(Mpc/h)^3].
        """
        name, wanted = "spec_density", self.spec_density[1]
        if self.photo_density is not None:
            name, wanted = "photo_density", self.photo_density[1]
        if round(wanted * volume) > num_galaxies:
            raise ValueError(
                f"{name} up to {wanted:g} (h/Mpc)^3 is more than the universe's "
                f"{num_galaxies / volume:.4g}: give it a larger density"
            )

    def draw(
        self, rng: np.random.Generator, *, redshift: float, cosmology: Cosmology
    ) -> MockConfig:
        """Settings of one mock; the same random numbers are used up whatever is fixed.

        ``photo.density`` is what thinning at random leaves.
        """
        one, two, three, four, five = rng.random(5)
        photo = self.photo_density
        return MockConfig(
            redshift=redshift,
            cosmology=cosmology,
            sigma_z=_between(self.sigma_z, one),
            rank_by="mass",
            spec=Selection(density=_between(self.spec_density, two)),
            photo=Selection(density=None if photo is None else _between(photo, three)),
            outlier_fraction=_linear(self.outlier_fraction, four),
            redshift_space=bool(five < 0.5)
            if self.redshift_space == "both"
            else self.redshift_space,
            disjoint=self.disjoint,
            seed=int(rng.integers(2**32)),
        )

    def mock(self, galaxies: Galaxies, rng: np.random.Generator, *, cellsize: float = 2.0) -> Mock:
        """See simulated galaxies with two surveys.

        Parameters
        ----------
        galaxies : Galaxies
            Their ``metadata`` hold the cosmology.
        rng : Generator
            Of the settings and of everything random in the mock.
        cellsize : float
            Of the mock's mesh [Mpc/h].

        Raises
        ------
        ValueError
            If there are too few galaxies, or their cosmology is not told.
        """
        box = galaxies.box
        mesh = Box.from_cellsize(box.boxsize, cellsize, box.boxcenter, box.periodic)
        self.check(len(galaxies), box.volume)
        config = self.draw(rng, redshift=galaxies.redshift, cosmology=cosmology_of(galaxies))
        rows = np.arange(len(galaxies))
        if config.photo.density is not None:
            by_mass = rng.random() < 0.5 if self.thinning == "both" else self.thinning == "mass"
            if by_mass:
                rows = np.sort(galaxies.most_massive(config.photo.density))
            else:
                number = round(config.photo.density * box.volume)
                rows = np.sort(rng.choice(len(galaxies), number, replace=False))
        positions: Array = galaxies.positions[rows]
        velocities: Array = galaxies.velocities[rows, 2]
        if self.closed and rng.random() < self.closed:
            if config.redshift_space:
                # Now, for those that move into the part too.
                positions, velocities = _moved(positions, velocities, config)
            mesh, kept, positions = _part_of(mesh, positions, rng)
            rows, velocities = rows[kept], velocities[kept]
        mock = make_mock(
            positions,
            mesh,
            # Thinned already.
            config.model_copy(update={"photo": Selection()}),
            velocities=velocities,
            columns={"mass": galaxies.mass[rows]},
            source={"catalogue": "a simulated universe", **galaxies.metadata},
        )
        return replace(
            mock, photo_ids=rows[mock.photo_ids], spec_ids=rows[mock.spec_ids], config=config
        )

    def survey(
        self, *, redshift: float, cosmology: Cosmology, density: float, resampler: str
    ) -> Survey:
        """What a weights file says of a network trained on such mocks.

        Parameters
        ----------
        redshift, cosmology
            Of the universes.
        density : float
            Of all their galaxies [(h/Mpc)^3].
        resampler : {"ngp", "cic", "tsc"}
        """
        low, high = (sigma * (1 + redshift) for sigma in self.sigma_z)
        spec, photo = self.spec_density, self.photo_density or (density, density)
        if self.disjoint:
            photo = photo[0] - spec[1], photo[1] - spec[0]
        overlap = 0.0 if self.disjoint else 1.0
        return Survey(
            sigma_z=(low, high),
            sigma=(
                cosmology.distance_error(low, redshift),
                cosmology.distance_error(high, redshift),
            ),
            outlier_fraction=self.outlier_fraction,
            spec_density=spec,
            photo_density=photo,
            overlap=(overlap, overlap),
            resampler=resampler,
            redshift_space=self.redshift_space,
        )


def _moved(
    positions: Array, velocities: Array, config: MockConfig
) -> tuple[NDArray[np.float64], Array]:
    """Positions in redshift space, where velocities of zero leave them."""
    shift = config.cosmology.distance_per_velocity(config.redshift)
    moved = positions.astype(np.float64)
    moved[:, 2] += velocities.astype(np.float64) * shift
    return moved, np.zeros_like(velocities)


def _part_of(
    mesh: Box, positions: Array, rng: np.random.Generator
) -> tuple[Box, NDArray[np.int64], NDArray[np.float64]]:
    """A closed box of at least half the line of sight, anywhere on the ring, and what it holds.

    Returns its box, the rows inside, and their positions in it.
    """
    (x, y, z), (nx, ny, nz) = mesh.boxsize, mesh.meshsize
    # Whole numbers of the cells that column networks work on.
    num = _STRIDE * int(rng.integers(max(1, nz // (2 * _STRIDE)), nz // _STRIDE + 1))
    length, start = z * num / nz, z * rng.random()
    along = np.remainder(positions[:, 2].astype(np.float64) - mesh.lower[2] - start, z)
    kept = np.flatnonzero(along < length)
    center = (*mesh.boxcenter[:2], mesh.lower[2] + length / 2)
    box = Box((x, y, length), (nx, ny, num), center, periodic=False)
    inside = positions[kept].astype(np.float64)
    inside[:, 2] = np.minimum(box.lower[2] + along[kept], box.upper[2])
    for axis in (0, 1):
        inside[:, axis] = wrap(inside[:, axis], mesh, axis=axis)
    return box, kept, inside


def cosmology_of(galaxies: Galaxies) -> Cosmology:
    """The cosmology that galaxies were simulated in, from their metadata."""
    given = galaxies.metadata.get("cosmology")
    if not isinstance(given, dict):
        raise ValueError(
            "the galaxies do not say their cosmology: put Cosmology(...).model_dump() into their "
            'metadata as "cosmology"'
        )
    return _cosmology(**given)


@lru_cache(maxsize=16)
def _cosmology(**parameters: float) -> Cosmology:
    # Kept, for the reason that `truez.training.universes.maker` has one for all universes.
    cosmology = Cosmology(**parameters)
    cosmology.hubble(0.0)
    return cosmology


def _linear(limits: Range, share: float) -> float:
    low, high = limits
    return float(low + (high - low) * share)


def _between(limits: Range, share: float) -> float:
    low, high = limits
    if low in (0, high):
        return _linear(limits, share)
    return math.exp(_linear((math.log(low), math.log(high)), share))
