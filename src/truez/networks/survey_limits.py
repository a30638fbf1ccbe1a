"""Properties of the surveys that a network was trained on, as a weights file keeps them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from truez.cosmology import Cosmology
from truez.mesh.resamplers import RESAMPLERS
from truez.surveys.mock import Mock
from truez.surveys.spec import Range, SurveySpec, limits


class SurveyLimits(BaseModel):
    """Properties of the surveys that a network was trained on, as ranges (lowest, highest).

    Parameters
    ----------
    z_err : range
        Absolute photo-z error, sigma(z) = sigma_z (1 + z).
    sigma : range
        The same as a length along the line of sight [Mpc/h].
    outlier_fraction : range
        Fraction of photo-z that are uniform over the line of sight.
    spec_density, photo_density : range
        Number densities of the two samples [(h/Mpc)^3].
    overlap : range
        Fraction of the spectroscopic galaxies that are in the photometric sample.
    resampler : {"ngp", "cic", "tsc"}
        Mass assignment of the galaxies.
    redshift_space : bool or "both"
        Whether true positions include peculiar velocities; "both": surveys of either kind.
    cellsize, along : range, optional
        Sides of the cells across the sky and along the line of sight [Mpc/h] of a network that was
        trained on cells of many sizes.
    redshift : range, optional
        Redshifts, of a network that reads them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    z_err: Range
    sigma: Range
    outlier_fraction: Range
    spec_density: Range
    photo_density: Range
    overlap: Range
    resampler: str
    redshift_space: bool | Literal["both"]
    cellsize: Range | None = None
    along: Range | None = None
    redshift: Range | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name, value in self:
            if isinstance(value, tuple) and not 0 <= value[0] <= value[1] < math.inf:
                raise ValueError(f"{name} must be a range from low to high, not {value}")
        if self.resampler not in RESAMPLERS:
            raise ValueError(
                f"resampler must be one of {', '.join(RESAMPLERS)}, not {self.resampler!r}"
            )
        return self

    @model_serializer(mode="wrap")
    def _stated(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the ranges that there are none of, as in files of earlier versions."""
        return {name: value for name, value in handler(self).items() if value is not None}

    @classmethod
    def from_spec(
        cls,
        surveys: SurveySpec,
        *,
        redshift: float,
        cosmology: Cosmology,
        density: float,
        resampler: str,
    ) -> Self:
        """Limits of the mocks that are drawn from a specification.

        Parameters
        ----------
        surveys : SurveySpec
        redshift, cosmology
            Of the universes.
        density : float
            Number density of all their galaxies [(h/Mpc)^3].
        resampler : {"ngp", "cic", "tsc"}
            Mass assignment of the galaxies.
        """
        low, high = (sigma_z * (1 + redshift) for sigma_z in limits(surveys.sigma_z))
        spec, photo = limits(surveys.spec_density), limits(surveys.photo_density or density)
        if surveys.disjoint:
            photo = photo[0] - spec[1], photo[1] - spec[0]
        return cls(
            z_err=(low, high),
            sigma=(
                cosmology.distance_error(low, redshift),
                cosmology.distance_error(high, redshift),
            ),
            outlier_fraction=limits(surveys.outlier_fraction),
            spec_density=spec,
            photo_density=photo,
            overlap=limits(0.0 if surveys.disjoint else 1.0),
            resampler=resampler,
            redshift_space=surveys.redshift_space,
        )

    @classmethod
    def from_mock(cls, mock: Mock, resampler: str) -> Self:
        """Limits of one mock, whose galaxies are painted with ``resampler``."""
        surveys, config = mock.surveys, mock.config
        n_spec, n_photo, n_both = surveys.densities
        return cls(
            z_err=limits(config.sigma_z * (1 + config.redshift)),
            sigma=limits(surveys.error.sigma),
            outlier_fraction=limits(surveys.error.outlier_fraction),
            spec_density=limits(n_spec),
            photo_density=limits(n_photo),
            overlap=limits(n_both / n_spec),
            resampler=resampler,
            redshift_space=surveys.redshift_space,
        )


def current_limits(survey: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `SurveyLimits` from those of a file of any version.

    Up to version 1 of the header the absolute photo-z error was called ``sigma_z``.
    """
    return {"z_err" if name == "sigma_z" else name: value for name, value in survey.items()}
