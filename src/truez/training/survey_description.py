"""What one drawn survey of a simulated universe is: frozen, and written as JSON.

Places are in shares of the box: x and y across the sky and t along the line of sight run from 0 to
1 between its faces. A survey is made of a universe and of this alone
(`truez.training.survey_making`), and everything random in it comes from its ``seed``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting
from pydantic import model_validator

from truez.support.settings import Settings
from truez.surveys.photoz import LARGEST_SIGMA_Z

Array = NDArray[np.float64]
Share = Annotated[float, Setting(ge=0, le=1)]
Positive = Annotated[float, Setting(gt=0)]
#: How dense a sample is where it is rarest, relative to where it is densest.
LEAST_DENSITY = 0.005


class SampleForm(Settings):
    """Density of a sample along the line of sight, and which galaxies it holds.

    Parameters
    ----------
    density : float
        Where it is highest [(h/Mpc)^3].
    fall : float
        Factor by which it is lower at the far end.
    curve : float
        It falls as ``fall^-(t^curve)``.
    rise : float
        Place at which it has risen to 0.63, from a tenth of it at the near end; 0 for no rise.
    peaks : sequence of (place, width, height)
        Gaussian peaks, each of so many times the density without them.
    by_mass : float
        Share of the galaxies that are the most massive there are, such as those of a flux limit;
        the others are a random subset.
    """

    density: Positive
    fall: Annotated[float, Setting(ge=1)] = 1.0
    curve: Positive = 1.0
    rise: Share = 0.0
    peaks: tuple[tuple[float, Positive, Positive], ...] = ()
    by_mass: Share = 1.0

    @property
    def even(self) -> bool:
        """Whether the density is the same everywhere."""
        return self.fall == 1 and self.rise == 0 and not self.peaks

    def profile(self, place: Array) -> Array:
        """Densities [(h/Mpc)^3] at places t (n,), those beyond the ends being as dense as there."""
        if self.even:
            return np.full(len(place), self.density)
        t = np.clip(place, 0, 1)
        fine = np.linspace(0, 1, 512)
        found = self._relative(t) / self._relative(fine).max()
        return np.asarray(self.density * np.maximum(found, LEAST_DENSITY))

    def _relative(self, t: Array) -> Array:
        value = self.fall ** -(t**self.curve)
        for center, width, height in self.peaks:
            value = value * (1 + height * np.exp(-0.5 * ((t - center) / width) ** 2))
        if self.rise:
            value = value * (1 - 0.9 * np.exp(-t / self.rise))
        return np.asarray(value)


class MaskForm(Settings):
    """Completeness of a sample across the sky.

    Parameters
    ----------
    discs : sequence of (x, y, radius)
        Holes.
    strips : sequence of (angle, offset, half-width)
        Holes: strips at an angle [rad], at an offset from the middle.
    edge : (angle, offset), optional
        Nothing is observed beyond a line at an angle [rad], at an offset from the middle.
    lowest : float
        Completeness is between this and 1, in waves.
    waves : sequence of (k_x, k_y, phase)
        Waves of completeness [rad per side].
    """

    discs: tuple[tuple[float, float, Positive], ...] = ()
    strips: tuple[tuple[float, float, Positive], ...] = ()
    edge: tuple[float, float] | None = None
    lowest: Share = 1.0
    waves: tuple[tuple[float, float, float], ...] = ()

    @property
    def even(self) -> bool:
        """Whether everything is observed."""
        return not (self.discs or self.strips or self.edge or self.lowest < 1)

    def fraction(self, x: Array, y: Array) -> Array:
        """Completeness at places (n,), from 0 to 1."""
        seen = np.ones(np.broadcast(x, y).shape)
        for center_x, center_y, radius in self.discs:
            seen *= np.hypot(x - center_x, y - center_y) > radius
        for angle, offset, half in self.strips:
            seen *= np.abs(_across(x, y, angle) - offset) > half
        if self.edge is not None:
            seen *= _across(x, y, self.edge[0]) < self.edge[1]
        if self.lowest < 1 and self.waves:
            wave = sum(np.sin(kx * x + ky * y + phase) for kx, ky, phase in self.waves)
            seen *= 1 - (1 - self.lowest) * (0.5 + 0.5 * wave / len(self.waves))
        return np.asarray(seen)


def _across(x: Array, y: Array, angle: float) -> Array:
    return np.asarray((x - 0.5) * math.cos(angle) + (y - 0.5) * math.sin(angle))


class ErrorForm(Settings):
    """Photo-z errors.

    Parameters
    ----------
    sigma_z : sequence of float
        sigma(z) / (1 + z) of each class of galaxies.
    near, far : sequences of float
        Shares of the classes at both ends of the line of sight.
    absolute : bool
        Whether sigma(z) is the same everywhere, in place of growing with 1 + z.
    outliers, assumed : float
        Share of photo-z that are anywhere, and what is known of it.
    """

    sigma_z: tuple[Annotated[float, Setting(gt=0, le=LARGEST_SIGMA_Z)], ...]
    near: tuple[Share, ...] = (1.0,)
    far: tuple[Share, ...] = (1.0,)
    absolute: bool = False
    outliers: Annotated[float, Setting(ge=0, lt=1)] = 0.0
    assumed: Annotated[float, Setting(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("near", "far"):
            shares = getattr(self, name)
            if len(shares) != len(self.sigma_z) or not math.isclose(sum(shares), 1, abs_tol=1e-6):
                raise ValueError(
                    f"{name} must be shares of {len(self.sigma_z)} classes of sum 1, not {shares}"
                )
        return self

    def shares(self, place: Array) -> Array:
        """Shares of the classes at places t (n,), (classes, n)."""
        t = np.clip(place, 0, 1)
        near, far = (np.array(one)[:, None] for one in (self.near, self.far))
        return np.asarray(near * (1 - t) + far * t)


class SurveyDescription(Settings):
    """Two surveys of a universe.

    Parameters
    ----------
    kind : {"periodic", "closed", "sky"}
        The whole of a periodic universe, a closed part of one, both with even surveys, or a box as
        on the sky.
    seed : int
        Of everything random in them.
    meshsize : three ints
        Cells; of a periodic universe those of its whole box.
    cellsize : (float, float)
        Sides of the cells across and along the line of sight [Mpc/h], on the sky at the distance of
        reference; not used with a periodic universe.
    photo, spec : SampleForm
    photo_mask, spec_mask : MaskForm
        Spectra are within the footprint of the photometric survey.
    error : ErrorForm
    common : float
        Share of the spectroscopic galaxies that are in the photometric sample.
    redshift_space : bool
    velocities : float
        Factor on the peculiar velocities.
    random : bool
        Put the galaxies at uniform random positions.
    stretched : bool
        Whether lengths across the sky grow with distance. (On the sky only, as are those below.)
    reference : float
        Where the distance of reference is between the nearest and the farthest that it can be.
    bounds : {"truth", "photo-z"}
        Whether the photometric sample ends with the box, its photo-z scattering out of it, or goes
        on beyond it and is cut in photo-z.
    name : str
        Of a validation survey.
    """

    kind: Literal["periodic", "closed", "sky"]
    seed: Annotated[int, Setting(ge=0)]
    meshsize: tuple[int, int, int]
    cellsize: tuple[Positive, Positive] = (2.0, 2.0)
    photo: SampleForm
    spec: SampleForm
    photo_mask: MaskForm = MaskForm()
    spec_mask: MaskForm = MaskForm()
    error: ErrorForm
    common: Share = 1.0
    redshift_space: bool = True
    velocities: Positive = 1.0
    random: bool = False
    stretched: bool = True
    reference: Share = 0.5
    bounds: Literal["truth", "photo-z"] = "truth"
    name: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(n < 8 or n % 4 for n in self.meshsize):
            raise ValueError(f"meshsize must be multiples of 4 from 8 on, not {self.meshsize}")
        if self.kind != "sky":
            forms = (self.photo, self.spec, self.photo_mask, self.spec_mask)
            if not all(form.even for form in forms) or len(self.error.sigma_z) > 1:
                raise ValueError(f"kind {self.kind} is of even surveys with one photo-z error")
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``SurveyDescription(**values)`` gives the description back."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The description of which `to_json` gave the values, in this version or an earlier one."""
        error = dict(values["error"])
        # What is known of the outliers had another name in the first version.
        former = [name for name in error if name not in ErrorForm.model_fields]
        if len(former) == 1 and "assumed" not in error:
            error["assumed"] = error.pop(former[0])
        return cls(**{**values, "error": error})
