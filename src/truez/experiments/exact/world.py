"""The lognormal world: two surveys of galaxies that are Poisson draws from a Gaussian field.

With g a Gaussian field on the mesh, of variance v and mean 0, the expected galaxies per cell are

    mu_o = nbar_o exp(g - v / 2)                  photometric galaxies without a spectrum,
    mu_s = nbar_s exp(s g - s^2 v / 2)            those with one, which are photometric ones too,

so that the spectroscopic survey is nested in the photometric one and has the higher bias. The
spectrum of g is such that exp(g - v / 2) has (Coles & Jones 1991: ``xi_G = ln(1 + xi)``)

    P(k, mu) = b^2 P_lin(k) [1 + (k / k_1)^a] [(1 + beta mu^2) / (1 + (k mu f)^2 / 2)]^2,

close to that of the fiducial surveys of ``truez simulate`` in redshift space. Galaxies are uniform
within their cells: nothing can be learnt from where in its cell a galaxy is. Everything random is
drawn in float64 from one uniform number for each cell, so that a seed is the same universe on every
machine.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from scipy.stats import poisson
from torch import Tensor

from truez.cosmology import COSMOLOGIES, Cosmology
from truez.mesh.box import Box
from truez.mesh.fourier import wavevectors
from truez.surveys.mock import Mock, MockConfig, surveys_of
from truez.surveys.photoz import PhotozError
from truez.surveys.selection import Selection

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LognormalWorld:
    """Universes of one kind, each with its seed.

    Parameters
    ----------
    meshsize : (int, int, int)
        Cells along each axis of the periodic box, the line of sight last.
    cellsize : float
        Side of a cell [Mpc/h].
    redshift, sigma_z : float
        Of the box, and the photo-z error in units of 1 + z.
    photo_density, spec_density : float
        Of the photometric galaxies, those with a spectrum among them, and of the spectroscopic
        ones [(h/Mpc)^3].
    bias : float
        Linear bias of the photometric galaxies without a spectrum.
    slope : float
        s, the exponent of the spectroscopic galaxies over that of the others.
    knee, power : float
        k_1 [h/Mpc] and a of the non-linear power.
    fog : float
        f, the finger-of-God length [Mpc/h].
    amplitude : float
        Scales g; small numbers make a universe of Gaussian fields.
    redshift_space : bool
        Otherwise beta and f are 0.

    Examples
    --------
    >>> from truez.experiments.exact import LognormalWorld
    >>> world = LognormalWorld(meshsize=(16, 16, 32))
    >>> world.box
    Box 32 x 32 x 64 Mpc/h, 16 x 16 x 32 cells of 2 Mpc/h, periodic
    """

    meshsize: tuple[int, int, int] = (64, 64, 256)
    cellsize: float = 2.0
    redshift: float = 0.59
    sigma_z: float = 0.02
    photo_density: float = 1.85e-2
    spec_density: float = 1e-3
    bias: float = 1.26
    slope: float = 1.2
    knee: float = 0.6
    power: float = 1.6
    fog: float = 2.3
    amplitude: float = 1.0
    redshift_space: bool = True

    @property
    def box(self) -> Box:
        """The periodic box with its mesh."""
        return Box(tuple(self.cellsize * n for n in self.meshsize), self.meshsize)

    @property
    def cosmology(self) -> Cosmology:
        """That of the linear spectrum and of lengths, the default of ``truez simulate``."""
        return COSMOLOGIES["wmap"]

    @property
    def config(self) -> MockConfig:
        """Settings of the two surveys."""
        return MockConfig(
            redshift=self.redshift,
            cosmology=self.cosmology,
            sigma_z=self.sigma_z,
            rank_by="mass",
            spec=Selection(density=self.spec_density),
            photo=Selection(density=self.photo_density),
            redshift_space=self.redshift_space,
        )

    @property
    def error(self) -> PhotozError:
        """The photo-z error as a length."""
        return self.config.error

    @property
    def expected(self) -> tuple[float, float]:
        """Mean galaxies per cell: photometric ones without a spectrum, and spectroscopic ones."""
        cell = self.cellsize**3
        return (self.photo_density - self.spec_density) * cell, self.spec_density * cell

    def describe(self) -> dict[str, Any]:
        """All settings as plain values."""
        return {**asdict(self), "meshsize": list(self.meshsize)}

    @cached_property
    def transfer(self) -> Array:
        """sqrt of the power of g over that of white noise of variance 1, (nx, ny, nz // 2 + 1)."""
        kx, ky, kz = (k.numpy() for k in wavevectors(self.box, dtype=torch.float64))
        k = np.sqrt(kx**2 + ky**2 + kz**2)
        k[0, 0, 0] = 1.0
        mu2 = (kz / k) ** 2
        galaxies = self.bias**2 * self.cosmology.linear_power(k.ravel(), self.redshift)
        galaxies = galaxies.reshape(k.shape) * (1 + (k / self.knee) ** self.power)
        if self.redshift_space:
            beta = self.cosmology.growth_rate(self.redshift) / self.bias
            galaxies *= ((1 + beta * mu2) / (1 + 0.5 * (kz * self.fog) ** 2)) ** 2
        galaxies[0, 0, 0] = 0.0
        # A cell of white noise has the power of its volume.
        correlation = scipy.fft.irfftn(galaxies / self.cellsize**3, s=self.meshsize)
        power = scipy.fft.rfftn(np.log1p(correlation)).real
        power[0, 0, 0] = 0.0
        return np.asarray(self.amplitude * np.sqrt(np.maximum(power, 0.0)))

    @cached_property
    def variance(self) -> float:
        """Variance v of g."""
        power = self.transfer**2
        double = 2 * power.sum() - power[..., 0].sum()
        if self.meshsize[2] % 2 == 0:
            double -= power[..., -1].sum()
        return float(double / math.prod(self.meshsize))

    def field(self, noise: Array) -> Array:
        """g of white noise of variance 1, both (nx, ny, nz)."""
        return np.asarray(scipy.fft.irfftn(self.transfer * scipy.fft.rfftn(noise), s=self.meshsize))

    def intensities(self, field: Array) -> tuple[Array, Array]:
        """mu_o and mu_s of g, galaxies per cell."""
        other, spec = self.expected
        s, v = self.slope, self.variance
        return other * np.exp(field - v / 2), spec * np.exp(s * field - s * s * v / 2)

    def observe(self, seed: int) -> Observed:
        """The universe of a seed, and what the two surveys observe of it."""
        box = self.box
        rng = np.random.default_rng([seed, 17])
        noise = rng.standard_normal(self.meshsize)
        field = self.field(noise)
        positions = []
        for mean in self.intensities(field):
            # One uniform number for each cell: rounding changes no cell but its own.
            counts = poisson.ppf(rng.random(mean.shape), mean).astype(np.int64)
            cells = np.repeat(np.arange(counts.size), counts.ravel())
            place = np.stack(np.unravel_index(cells, self.meshsize), axis=1)
            shifted = (place + rng.random(place.shape)) * self.cellsize
            positions.append(shifted + np.asarray(box.lower))
        return Observed(self, seed, field, *positions)


@dataclass(frozen=True, eq=False)
class Observed:
    """A universe, and its galaxies.

    Parameters
    ----------
    world : LognormalWorld
    seed : int
    field : (nx, ny, nz) array
        g, which no survey knows.
    other, spec : (n, 3) arrays
        True places of the photometric galaxies without a spectrum, and of those with one [Mpc/h].
    """

    world: LognormalWorld
    seed: int
    field: Array
    other: Array
    spec: Array

    @cached_property
    def mock(self) -> Mock:
        """The two surveys; the photometric galaxies with a spectrum are its last rows."""
        world = self.world
        truth = np.concatenate([self.other, self.spec])
        ids = np.arange(len(truth))
        kinds = {"photo": ids, "spec": ids[len(self.other) :]}
        config = world.config.model_copy(update={"seed": self.seed})
        surveys = surveys_of(self.photo, self.spec, kinds, world.box, config)
        source = {"catalogue": "a lognormal universe", "seed": self.seed}
        source |= {"fingerprint": self.fingerprint, **world.describe()}
        return Mock(surveys, truth, ids, kinds["spec"], config, source)

    def cells(self, positions: Array) -> NDArray[np.int64]:
        """Cells (n, 3) that hold galaxies."""
        box = self.world.box
        place = np.floor((positions - np.asarray(box.lower)) / self.world.cellsize)
        return np.asarray(np.minimum(place.astype(np.int64), np.array(self.world.meshsize) - 1))

    @cached_property
    def photo(self) -> Array:
        """Photometric galaxies at their photo-z, (n, 3) [Mpc/h]; those with a spectrum last."""
        photo = np.concatenate([self.other, self.spec])
        rng = np.random.default_rng([self.seed, 18])
        photo[:, 2] = self.world.error.scatter(photo[:, 2], self.world.box, rng)
        return photo

    @property
    def photo_cells(self) -> NDArray[np.int64]:
        """Cells (n, 3) of the photometric galaxies without a spectrum, at their photo-z."""
        return self.cells(self.photo[: len(self.other)])

    def counts(self) -> tuple[Tensor, Tensor]:
        """Galaxies per cell: at their photo-z those without a spectrum, and those with one."""
        found = []
        for cells in (self.photo_cells, self.cells(self.spec)):
            flat = np.ravel_multi_index(tuple(cells.T), self.world.meshsize)
            counts = np.bincount(flat, minlength=math.prod(self.world.meshsize))
            found.append(torch.from_numpy(counts.reshape(self.world.meshsize).astype(np.float32)))
        return found[0], found[1]

    @property
    def fingerprint(self) -> str:
        """A short hash of what is observed, the same on every machine."""
        digest = hashlib.sha256()
        for counts in self.counts():
            digest.update(counts.numpy().astype("<u2").tobytes())
        return digest.hexdigest()[:16]
