"""Fluctuations of the intensity about its estimate, which galaxies of one group share.

An estimated intensity lambda is smooth where the surveys say little. Redshifts drawn from it galaxy
by galaxy lack the clustering of what is unknown: the galaxies of a group that no spectrum shows are
drawn apart. In a posterior sample they move together, with

    ln lambda_s = A (tau * ln lambda + h g) - A^2 h^2 C(0) / 2,
    h^2 = ((1 + c) / (lambda_R + c))^slope,

where g is a Gaussian field of the spectrum P_g(k_perp, k_par), C is its correlation along the line
of sight, and lambda_R is lambda smoothed with a Gaussian of radius R: where many galaxies are
expected their number is known better than a lognormal field of one variance would have it. tau is
the contrast, in Fourier space a function of (k_perp, k_par), with which the mean of the samples has
as much power as it has in common with the truth. A = 1 + u e is an amplitude, which no survey knows
exactly: e is a random number of each sample, of variance 1, and u falls with the root of volume.

Drawn with lambda_s, a galaxy has on average another posterior than p, its own with lambda: where
lambda_s is high so is the sum by which it is normalised. What restores it, to about a per cent, is

    q ~ p [1 + h K (h p)]^sharpness (lambda_R + c)^-tilt,     K = exp C - 1 along the sight line,

in place of p: for lognormal fluctuations of a small variance the bracket is the mean of the sum
where lambda_s is tilted by the galaxy itself, and the powers are those that simulated universes
want.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.mesh.fourier import (
    array_of,
    convolve_,
    in_parts,
    irfft_,
    rfft_,
    roomy_mesh,
    smooth,
    wavevectors,
)

Single = NDArray[np.float32]
Array = NDArray[np.float64]
Table = tuple[tuple[float, ...], ...]
#: Volume that the uncertainty of the amplitude is for [(Mpc/h)^3]: 256 x 256 x 512 Mpc/h.
VOLUME = 2.0**25
#: Largest uncertainty of the amplitude, in small volumes.
_LARGEST = 0.15
#: Cells along the line of sight over which C is taken into account, at the most.
_REACH = 16
#: Mean share of a cell and of its neighbours in what is interpolated to a random place, per axis.
_INTERPOLATED = {-1: 1 / 6, 0: 2 / 3, 1: 1 / 6}


def table_of(rows: Iterable[Iterable[Any]]) -> Table:
    """Rows of numbers, such as those of an array, as tuples of floats."""
    return tuple(tuple(float(x) for x in row) for row in rows)


@dataclass(frozen=True)
class Fluctuations:
    """Spectrum and size of the fluctuations, and what restores the posteriors.

    Parameters
    ----------
    k : (m,) floats
        Wavenumbers of the table [h/Mpc], rising, across and along the line of sight alike. Beyond
        its ends the table is held constant.
    power : (m, m) floats
        P_g(k_perp, k_par) > 0 [(Mpc/h)^3].
    contrast : (m, m) floats
        tau(k_perp, k_par) > 0; 1 where there are none.
    radius : float
        R [Mpc/h].
    soft, slope : float
        c and the power of h^2.
    sharpness, tilt : float
        Powers of what is drawn from in place of the posteriors.
    uncertainty : float
        u >= 0 of a box of the volume `VOLUME`.

    Examples
    --------
    >>> import truez
    >>> from truez.sightlines.fluctuations import Fluctuations
    >>> even = Fluctuations(k=(0.1, 1.0), power=((50.0, 5.0), (5.0, 0.5)))
    >>> even.field(truez.Box(64, cellsize=4), seed=1, number=0).shape
    torch.Size([16, 16, 16])
    """

    k: tuple[float, ...]
    power: Table
    contrast: Table = ()
    radius: float = 3.0
    soft: float = 2.0
    slope: float = 2.0
    sharpness: float = 0.35
    tilt: float = 0.08
    uncertainty: float = 0.0

    def __post_init__(self) -> None:
        k = np.asarray(self.k, dtype=np.float64)
        if not (k.ndim == 1 and len(k) > 1 and k[0] > 0 and (np.diff(k) > 0).all()):
            raise ValueError(f"k must be at least two rising wavenumbers > 0, not {self.k!r}")
        _check_table(self.power, len(k), "power")
        if len(self.contrast):
            _check_table(self.contrast, len(k), "contrast")
        for name in ("radius", "soft"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)!r}")
        if not 0 <= self.uncertainty < math.inf:
            raise ValueError(f"uncertainty must be at least 0, not {self.uncertainty!r}")

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Self | None:
        """Those of a reconstruction with these metadata; None where it has none.

        Raises
        ------
        ValueError
            If they are not what a reconstruction writes.
        """
        given = metadata.get("fluctuations")
        if given is None:
            return None
        try:
            k = tuple(float(x) for x in given["k"])
            power = table_of(given["power"])
            contrast = table_of(given.get("contrast", ()))
            tables = ("k", "power", "contrast")
            rest = {name: float(x) for name, x in given.items() if name not in tables}
            return cls(k, power, contrast, **rest)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(
                "fluctuations of the metadata must be those of a reconstruction, with the tables k "
                f"and power, and are {str(given)[:60]!r}"
            ) from error

    def to_metadata(self) -> dict[str, Any]:
        """As plain values (JSON)."""
        tables = {"k": list(self.k), "power": list(map(list, self.power))}
        tables["contrast"] = list(map(list, self.contrast))
        return {**asdict(self), **tables}

    def spectrum(self, box: Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """ln P_g of the modes of a mesh as a product of matrices, (nx ny, m) and (m, nz // 2 + 1).

        It is linear in ln k between the numbers of the table.
        """
        return self._log_table(self.power, box)

    def _log_table(self, table: Table, box: Box) -> tuple[Array, Array]:
        """The logarithm of a table at the modes of a mesh, as `spectrum`."""
        kx, ky, kz = (k.double().numpy() for k in wavevectors(box, dtype=torch.float64))
        table = np.log(np.asarray(table))
        across = np.sqrt(kx[:, :, 0] ** 2 + ky[:, :, 0] ** 2).ravel()
        return self._shares(across), table @ self._shares(kz.ravel()).T

    def _shares(self, k: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shares of the numbers of the table in its interpolation at wavenumbers (n,), (n, m)."""
        nodes = np.log(np.asarray(self.k))
        place = np.interp(np.log(np.maximum(k, 1e-12)), nodes, np.arange(len(nodes)))
        low = np.minimum(place.astype(np.int64), len(nodes) - 2)
        result = np.zeros((len(k), len(nodes)))
        rows = np.arange(len(k))
        result[rows, low], result[rows, low + 1] = 1 - (place - low), place - low
        return result

    def field(self, box: Box, *, seed: int, number: int, part: int = 0) -> Tensor:
        """g on a mesh, (nx, ny, nz) float32: a function of the mesh and of the three numbers.

        Opposite faces go over into each other, in a closed box too.

        Parameters
        ----------
        box : Box
        seed, number : int
            Of the sample.
        part : int
            Another one for each of several boxes of a survey.
        """
        generator = np.random.default_rng([seed, number, part, 18])
        mesh = roomy_mesh(box.meshsize)
        values = mesh.numpy()
        for plane in values:
            plane[...] = generator.standard_normal(plane.shape, dtype=np.float32)
        modes = rfft_(mesh)
        across, along = self.spectrum(box)
        across = across.reshape(*box.meshsize[:2], -1)
        constant = 0.5 * math.log(box.num_cells / box.volume)
        array = array_of(modes)

        def scale(part: slice) -> None:
            array[part] *= np.exp(0.5 * (across[part] @ along) + constant).astype(np.float32)

        in_parts(scale, modes)
        array[0, 0, 0] = 0
        return irfft_(modes, box.meshsize)

    def shift(self, log: Tensor, box: Box) -> Tensor:
        """(tau - 1) * ln lambda, from ln lambda on the cells of the box, (nx, ny, nz)."""
        if not self.contrast:
            return torch.zeros_like(log)
        mesh = roomy_mesh(box.meshsize)
        mesh.copy_(log)
        across, along = self._log_table(self.contrast, box)
        across = across.reshape(*box.meshsize[:2], -1)
        convolve_(mesh, lambda rows: np.expm1(across[:, rows] @ along).astype(np.float32))
        return mesh

    def amplitude(self, box: Box, *, seed: int, number: int, part: int = 0) -> float:
        """A of a sample in a box; the other parameters are those of `field`."""
        error = min(self.uncertainty * math.sqrt(VOLUME / box.volume), _LARGEST)
        generator = np.random.default_rng([seed, number, part, 19])
        return 1.0 + error * float(generator.standard_normal())

    def covariance(self, box: Box) -> NDArray[np.float64]:
        """C: of g at random places of one sight line, interpolated across the sky, (n,) [cells].

        The first is the variance.
        """
        nx, ny, nz = box.meshsize
        across, along = self.spectrum(box)
        # The interpolated field has the shares of two cells per axis.
        shares = [
            np.sum([w * np.cos(2 * np.pi * step * np.arange(n) / n)
                    for step, w in _INTERPOLATED.items()], axis=0)
            for n in (nx, ny)
        ]  # fmt: skip
        weight = (shares[0][:, None] * shares[1]).ravel()
        weight_rows = np.zeros(along.shape[1])
        step = max(1, 2**22 // along.shape[1])
        for first in range(0, len(weight), step):
            rows = slice(first, first + step)
            weight_rows += weight[rows] @ np.exp(across[rows] @ along)
        weight_rows[0] -= weight[0] * math.exp(float(across[0] @ along[:, 0]))  # no mean
        number = min(_REACH, nz // 2) + 1
        return np.asarray(np.fft.irfft(weight_rows, nz)[:number] * nz / box.volume)

    def size(self, intensity: Tensor, box: Box) -> tuple[Tensor, Tensor]:
        """(h, ln(lambda_R + c)) of an intensity on the cells of the box, (nx, ny, nz) each."""
        level = smooth(intensity, box, self.radius).clamp_(min=0).add_(self.soft)
        return (level / (1 + self.soft)).pow(-0.5 * self.slope), level.log()


def _check_table(table: Table, num: int, name: str) -> None:
    """Refuse a table that is not one of num x num positive numbers."""
    values = np.asarray(table, dtype=np.float64)
    if values.shape != (num, num) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(
            f"{name} must be a table of {num} x {num} positive numbers, one for each pair of "
            "wavenumbers"
        )
