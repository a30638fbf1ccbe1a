"""Flat LCDM background and linear power spectrum, computed with astropy and colossus.

Distances are comoving, in Mpc/h; wavenumbers in h/Mpc; the Hubble rate in km/s/Mpc.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from numbers import Real
from typing import Annotated, Any, Self

import numpy as np
from astropy.cosmology import FlatLambdaCDM, LambdaCDM, z_at_value
from astropy.units import Mpc
from numpy.typing import ArrayLike, NDArray
from pydantic import BeforeValidator, Field, model_validator
from scipy.special import hyp2f1

from truez.support.checks import shown
from truez.support.settings import SettingError, Settings

#: Speed of light [km/s].
SPEED_OF_LIGHT = 299792.458

#: The highest redshift: beyond it radiation, which is left out here, takes 3% of the expansion rate
#: squared, and `Cosmology.redshift_from_distance` ends.
HIGHEST_REDSHIFT = 100.0

Array = NDArray[np.float64]


class Cosmology(Settings):
    """A flat LCDM cosmology.

    Every function of truez that takes a cosmology accepts a name of `COSMOLOGIES` or a flat LCDM
    cosmology of astropy as well, see `Cosmology.of`.

    Parameters
    ----------
    h : float
        Hubble constant in 100 km/s/Mpc.
    omega_m, omega_b : float
        Matter (baryons included) and baryon density today, in units of the critical one.
    n_s, sigma_8 : float
        Spectral index and amplitude of the linear power spectrum at z = 0.

    Examples
    --------
    >>> from truez import Cosmology
    >>> planck = Cosmology.of("planck18")
    >>> print(f"{planck.distance_error(0.02 * 1.6, 0.6):.1f} Mpc/h")
    68.5 Mpc/h
    """

    h: float = Field(gt=0.1, lt=2.0)
    omega_m: float = Field(gt=0.0, lt=1.0)
    omega_b: float = Field(default=0.0486, gt=0.0, lt=1.0)
    n_s: float = Field(default=0.9667, gt=0.0, lt=3.0)
    sigma_8: float = Field(default=0.8159, gt=0.0, lt=3.0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.omega_b < self.omega_m:
            raise ValueError(
                f"omega_b of {self.omega_b:g} must be below omega_m of {self.omega_m:g}, which "
                "contains it: give both"
            )
        return self

    @classmethod
    def of(cls, value: object) -> Cosmology:
        """A cosmology from a name, a mapping, or a cosmology of astropy.

        Parameters
        ----------
        value : Cosmology, str, mapping, or a cosmology of astropy
            A name is one of `COSMOLOGIES`, a mapping holds the parameters of this class. Every
            flat LCDM of astropy is accepted: its massive neutrinos count as matter, its radiation
            is left out (distances differ by less than 1e-3 for z < 2), n_s and sigma_8 are those of
            its ``meta`` where it has them.

        Raises
        ------
        ValueError
            If the name is unknown, or the cosmology is not a flat LCDM.
        """
        if isinstance(value, Cosmology):
            return value
        if isinstance(value, str):
            if value not in COSMOLOGIES:
                raise ValueError(
                    f"cosmology must be one of {', '.join(COSMOLOGIES)}, not {value!r}"
                )
            return COSMOLOGIES[value]
        if isinstance(value, Mapping):
            return cls(**value)
        if isinstance(value, LambdaCDM) and abs(value.Ok0) < 1e-6:
            matter = value.Om0 + (value.Onu0 if value.has_massive_nu else 0.0)
            given = {"omega_b": value.Ob0, "n_s": value.meta.get("n"),
                     "sigma_8": value.meta.get("sigma8")}  # fmt: skip
            known = {name: float(number) for name, number in given.items() if number}
            return cls(h=value.H0.value / 100, omega_m=float(matter), **known)
        raise ValueError(
            f"cosmology must be a name, a truez.Cosmology or a flat LCDM of astropy, not "
            f"{type(value).__name__}"
        )

    def with_h(self, h: float) -> Cosmology:
        """The same cosmology with another Hubble constant."""
        # Not model_copy: it would keep the cached background of the old one.
        return Cosmology(**{**self.model_dump(), "h": h})

    @cached_property
    def _background(self) -> FlatLambdaCDM:
        # No radiation: distances and growth then follow the same LCDM as the simulations do.
        return FlatLambdaCDM(H0=100 * self.h, Om0=self.omega_m, Tcmb0=0)

    @cached_property
    def _colossus(self) -> Any:
        from colossus.cosmology import cosmology

        # persistence="": colossus would otherwise write and unpickle a cache in the home folder.
        return cosmology.Cosmology(
            name="truez",
            flat=True,
            H0=100 * self.h,
            Om0=self.omega_m,
            Ob0=self.omega_b,
            sigma8=self.sigma_8,
            ns=self.n_s,
            relspecies=False,
            persistence="",
        )

    def hubble(self, redshift: ArrayLike) -> Array:
        """H(z) [km/s/Mpc]."""
        matter = self.omega_m * (1 + np.asarray(redshift, dtype=np.float64)) ** 3
        return np.asarray(100 * self.h * np.sqrt(matter + 1 - self.omega_m))

    def comoving_distance(self, redshift: ArrayLike) -> Array:
        """Comoving distance to ``redshift`` [Mpc/h]."""
        return np.asarray(self._background.comoving_distance(np.asarray(redshift)).value) * self.h

    def redshift_from_distance(self, distance: ArrayLike) -> Array:
        """Redshift at a comoving distance [Mpc/h]; the inverse of `comoving_distance`."""
        return np.asarray(
            z_at_value(
                self._background.comoving_distance, np.asarray(distance) / self.h * Mpc, zmax=100
            ).value
        )

    @property
    def distances(self) -> Distances:
        """A table of comoving distances, for many redshifts at once; equal cosmologies share it."""
        return _shared_distances(self)

    def distance_error(self, z_err: float, redshift: float) -> float:
        """A redshift error in comoving distance, c z_err / H(z) [Mpc/h] (paper, Eq. 2)."""
        check_redshift(redshift)
        return float(SPEED_OF_LIGHT * z_err / self.hubble(redshift) * self.h)

    def distance_per_velocity(self, redshift: float) -> float:
        """Redshift-space shift of a peculiar velocity, 1/(aH) [Mpc/h per km/s] (paper, Eq. 1)."""
        return float((1 + redshift) / self.hubble(redshift) * self.h)

    def growth_factor(self, redshift: float) -> float:
        """Linear growth factor D, 1 at z = 0."""
        return self._unnormalised_growth(redshift) / self._unnormalised_growth(0.0)

    def growth_rate(self, redshift: float) -> float:
        """f = d ln D / d ln a = Omega_m(a) [5 a / (2 D) - 3/2], with D -> a at early times."""
        ratio = 2.5 / (1 + redshift) / self._unnormalised_growth(redshift)
        return self.matter_fraction(redshift) * (ratio - 1.5)

    def second_growth_factor(self, redshift: float) -> float:
        """Growth factor of second-order displacements, -3/7 D^2 Omega_m(a)^(-1/143).

        After Bouchet et al. 1995; D is the `growth_factor`.
        """
        shape: float = self.matter_fraction(redshift) ** (-1 / 143)
        return -3 / 7 * self.growth_factor(redshift) ** 2 * shape

    def second_growth_rate(self, redshift: float) -> float:
        """The logarithmic slope d ln D2 / d ln a of `second_growth_factor`."""
        # d ln Omega_m / d ln a = -3 (1 - Omega_m) in flat LCDM.
        return 2 * self.growth_rate(redshift) + 3 / 143 * (1 - self.matter_fraction(redshift))

    def matter_fraction(self, redshift: float) -> float:
        """Omega_m(a), the matter density in units of the critical one of its time."""
        matter = self.omega_m * (1 + redshift) ** 3
        return matter / (matter + 1 - self.omega_m)

    def _unnormalised_growth(self, redshift: float) -> float:
        # Growing mode of flat LCDM in closed form (e.g. Silveira & Waga 1994), -> a at early times.
        a = 1 / (1 + redshift)
        ratio = (1 - self.omega_m) / self.omega_m
        return a * float(hyp2f1(1 / 3, 1, 11 / 6, -ratio * a**3))

    def linear_power(self, k: ArrayLike, redshift: float) -> Array:
        """Linear matter power spectrum [(Mpc/h)^3] at ``k`` [h/Mpc], after Eisenstein & Hu 1998."""
        wavenumber = np.asarray(k, dtype=np.float64)
        power = np.zeros_like(wavenumber)
        positive = wavenumber > 0
        power[positive] = self._colossus.matterPowerSpectrum(wavenumber[positive], z=redshift)
        return power


class Distances:
    """Comoving distances and redshifts of many galaxies, by interpolation in one table.

    Linear in ln(1 + z) between nodes so close that distances are right to 1e-5 Mpc/h; the inverse
    is that of the same table, so that it undoes them but for rounding. A million galaxies take a
    fraction of a second, where the integral of each takes seconds to minutes.

    Parameters
    ----------
    cosmology : Cosmology

    Examples
    --------
    >>> from truez import Cosmology
    >>> distances = Cosmology.of("planck18").distances
    >>> distances.from_redshift([0.0, 0.5, 1.0]).round(1)
    array([   0. , 1317. , 2297.6])
    >>> distances.redshift(1317.0).round(3)
    array(0.5)
    """

    #: Highest redshift of the table.
    LIMIT = 20.0
    _NODES = 2**14 + 1

    def __init__(self, cosmology: Cosmology) -> None:
        self._steps = np.linspace(0.0, np.log1p(self.LIMIT), self._NODES)
        self._chi = cosmology.comoving_distance(np.expm1(self._steps))

    @property
    def farthest(self) -> float:
        """Distance to the highest redshift of the table [Mpc/h]."""
        return float(self._chi[-1])

    def from_redshift(self, redshift: ArrayLike) -> Array:
        """Comoving distances [Mpc/h] to redshifts, in their shape.

        Raises
        ------
        ValueError
            If a redshift is not a number from 0 to `LIMIT`.
        """
        z = self._inside(redshift, self.LIMIT, "redshifts", "")
        return np.asarray(np.interp(np.log1p(z), self._steps, self._chi))

    def redshift(self, distance: ArrayLike) -> Array:
        """Redshifts at comoving distances [Mpc/h], in their shape.

        Raises
        ------
        ValueError
            If a distance is not a number from 0 to that of the highest redshift.
        """
        chi = self._inside(distance, self.farthest, "distances", " Mpc/h")
        return np.asarray(np.expm1(np.interp(chi, self._chi, self._steps)))

    @staticmethod
    def _inside(values: ArrayLike, limit: float, what: str, unit: str) -> Array:
        array = np.asarray(values, dtype=np.float64)
        bad = ~((array >= 0) & (array <= limit))
        if bad.any():
            raise ValueError(
                f"{what} must be numbers from 0 to {limit:.6g}{unit}, but {np.count_nonzero(bad)} "
                f"of {array.size} are not, such as {array[bad].flat[0]:g}: leave those rows out"
            )
        return array


@lru_cache(maxsize=8)
def _shared_distances(cosmology: Cosmology) -> Distances:
    # Not kept by the cosmology: each box and patch that is read from a file has one of its own.
    return Distances(cosmology)


#: Named cosmologies: the paper's CosmicGrowth run (Omega_m = 0.268; the paper's text prints
#: Omega_c), IllustrisTNG (Planck 2015), Planck 2018.
COSMOLOGIES = {
    "wmap": Cosmology(h=0.71, omega_m=0.268, omega_b=0.0445, n_s=0.968, sigma_8=0.83),
    "tng": Cosmology(h=0.6774, omega_m=0.3089, omega_b=0.0486, n_s=0.9667, sigma_8=0.8159),
    "planck18": Cosmology(h=0.6766, omega_m=0.3111, omega_b=0.0490, n_s=0.9665, sigma_8=0.8102),
}


def check_redshift(redshift: Any) -> None:
    """Raise a ValueError unless a redshift is a number from 0 to `HIGHEST_REDSHIFT`."""
    known = isinstance(redshift, Real) and not isinstance(redshift, bool)
    if not known or not 0 <= float(redshift) <= HIGHEST_REDSHIFT:
        raise ValueError(
            f"redshift must be a number from 0 to {HIGHEST_REDSHIFT:g}, not {shown(redshift)}"
        )


def _setting(value: object) -> Cosmology:
    """`Cosmology.of` for a setting, whose name and value pydantic adds to the message."""
    if isinstance(value, str) and value not in COSMOLOGIES:
        raise ValueError(f"must be one of {', '.join(COSMOLOGIES)}")
    try:
        return Cosmology.of(value)
    except SettingError:
        raise
    except ValueError as error:
        raise ValueError(str(error).removeprefix("cosmology ")) from None


#: A cosmology in settings, given in any of the ways of `Cosmology.of`.
AnyCosmology = Annotated[Cosmology, BeforeValidator(_setting)]
