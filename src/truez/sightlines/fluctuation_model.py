"""Fluctuations of a survey from its linear model, as simulated universes want them.

What galaxies of one group share is the clustering of the photometric galaxies that the
spectroscopic survey does not explain. In the linear model that has the power

    P_u = P_p - P_x^2 / (P_s + 1 / n_s),

without noise of its own, and the spectrum of the fluctuations is

    P_g(k_perp, k_par) = T P_u,     ln T = t_0 + t_1 x + t_2 x^2 + t_3 y,
    x = ln(n_s / n_0),     y = ln(sigma / sigma_0),

with n_s the density of the spectroscopic sample, sigma the photo-z error along the line of sight,
and tables t(k_perp, k_par) that are fitted to samples of simulated surveys
(`truez.training.fluctuation_fit`). The contrast tau of the intensity in samples depends on x and y
likewise, and the uncertainty of their amplitude is u_0 exp(u_1 x + u_2 y). Conditions beyond those
of these surveys count as their ends, and fluctuations of a larger variance than any of these, of
galaxies that cluster more, are made smaller as a whole: what is linear in P_u for a small variance
of ln lambda is not for a large one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from truez.linear.model import LinearModel
from truez.mesh.box import Box
from truez.sightlines.fluctuations import Fluctuations, Table, table_of
from truez.support.documents import read_json

Array = NDArray[np.float64]
#: What comes with the package: a model for each method that moves galaxies.
SHIPPED = Path(__file__).parent / "fluctuations.json"
#: n_0 [(h/Mpc)^3] and sigma_0 [Mpc/h].
DENSITY, ERROR = 1e-3, 50.0
#: A mesh on which the variance of fluctuations is compared with that of others.
VARIANCE_BOX = Box(128, cellsize=2)
#: Least share of the power that is taken to be unexplained, where the fits of the spectra of two
#: samples are of a higher correlation than any can have.
_LEAST = 1e-3


def unexplained_power(model: LinearModel, k_perp: Array, k_par: Array) -> Array:
    """P_u of the photometric galaxies [(Mpc/h)^3].

    Parameters
    ----------
    model : LinearModel
    k_perp, k_par : arrays that broadcast [h/Mpc]
    """
    across, along = np.broadcast_arrays(k_perp, k_par)
    spec, cross, photo = model.powers(
        torch.from_numpy(np.hypot(across, along)), torch.from_numpy(along.copy())
    )
    left: Array = (photo - cross.square() / (spec + 1 / model.n_spec)).numpy()
    return np.maximum(left, _LEAST * photo.numpy())


@dataclass(frozen=True)
class FluctuationModel:
    """The tables of a method, and the numbers of `Fluctuations` that do not depend on the survey.

    Parameters
    ----------
    k : (m,) floats
        Wavenumbers of the tables [h/Mpc], rising, across and along the line of sight alike.
    tables : four tables of m x m floats
        t_0 to t_3 of ln T.
    contrast : four tables of m x m floats
        The same of ln tau.
    lowest, highest : two floats
        Limits of x and y.
    radius, soft, slope, sharpness, tilt : float
        See `Fluctuations`.
    uncertainty : three floats
        u_0 to u_2.
    variance : float
        Largest variance of g on cells of `VARIANCE_BOX`.
    """

    k: tuple[float, ...]
    tables: tuple[Table, ...]
    contrast: tuple[Table, ...]
    lowest: tuple[float, float] = (0.0, 0.0)
    highest: tuple[float, float] = (0.0, 0.0)
    radius: float = 3.0
    soft: float = 2.0
    slope: float = 2.0
    sharpness: float = 0.35
    tilt: float = 0.08
    uncertainty: tuple[float, float, float] = (0.0, 0.0, 0.0)
    variance: float = math.inf

    @classmethod
    def shipped(cls, method: str) -> Self | None:
        """That of a method in the package; None where it has none."""
        content = _shipped().get(method)
        return None if content is None else cls.of(content)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """From what `content` returns."""
        known = dict(content)
        known |= {name: tuple(known[name]) for name in ("k", "lowest", "highest", "uncertainty")}
        known |= {name: tuple(map(table_of, known[name])) for name in ("tables", "contrast")}
        return cls(**known)

    def content(self) -> dict[str, Any]:
        """As plain values (JSON)."""
        return asdict(self)

    def conditions(self, model: LinearModel) -> tuple[float, float]:
        """x and y of a survey, within the limits."""
        logs = [math.log(model.n_spec / DENSITY), math.log(model.error.sigma / ERROR)]
        density, error = np.clip(logs, self.lowest, self.highest)
        return float(density), float(error)

    def terms(self, model: LinearModel) -> Array:
        """What tables are multiplied by for a survey: 1, x, x^2 and y, (4,)."""
        density, error = self.conditions(model)
        return np.array([1.0, density, density**2, error])

    def fluctuations(self, model: LinearModel) -> Fluctuations:
        """The fluctuations of a survey with this linear model, to four digits."""
        k = np.asarray(self.k)
        terms = self.terms(model)
        transfer, contrast = (
            np.exp(np.tensordot(terms, np.asarray(tables), 1))
            for tables in (self.tables, self.contrast)
        )
        _, density, _, error = terms
        first, by_density, by_error = self.uncertainty
        uncertainty = first * math.exp(by_density * density + by_error * error)
        power = transfer * unexplained_power(model, k[:, None], k[None, :])
        found = Fluctuations(
            self.k, _rounded(power), _rounded(contrast), radius=self.radius, soft=self.soft,
            slope=self.slope, sharpness=self.sharpness, tilt=self.tilt,
            uncertainty=float(f"{uncertainty:.4g}"),
        )  # fmt: skip
        variance = variance_of(found)
        if variance <= self.variance:
            return found
        return replace(found, power=_rounded(power * (self.variance / variance)))


def variance_of(fluctuations: Fluctuations) -> float:
    """Variance of g on `VARIANCE_BOX`, interpolated across the sky."""
    return float(fluctuations.covariance(VARIANCE_BOX)[0])


def _rounded(table: Array) -> Table:
    """A table to four digits."""
    return table_of([f"{x:.4g}" for x in row] for row in table)


@functools.cache
def _shipped() -> dict[str, Any]:
    content = read_json(SHIPPED, remedy="install truez again")
    return dict(content["methods"])


def fluctuations_metadata(method: str, model: LinearModel) -> dict[str, Any]:
    """What a reconstruction says of its fluctuations, for `Fluctuations.of`.

    Parameters
    ----------
    method : str
    model : LinearModel
        Of its surveys.

    Returns
    -------
    dict
        Their numbers under ``fluctuations``; empty where the package has no model of the method.
    """
    known = FluctuationModel.shipped(method)
    if known is None:
        return {}
    return {"fluctuations": known.fluctuations(model).to_metadata()}
