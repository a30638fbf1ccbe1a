"""The posterior of the field of a lognormal world, given both surveys, and its gradient.

In Fourier space, with white noise x of variance 1, ``g = T x`` (`LognormalWorld.transfer`), and

    U(x) = |x|^2 / 2 + sum(mu_s - n_s ln mu_s) + sum(mu_o - c ln K mu_o),

n_s the spectroscopic galaxies per cell, c the others per cell of their photo-z, and K = p(z_phot |
z) the kernel between the cells of a sight line (`truez.sightlines.kernel`): a Poisson sample whose
galaxies move independently is a Poisson sample again. The sampler walks in ``y = m^(1/2) x`` with

    m(k) = 1 + T(k)^2 [s^2 nbar_s + phi(k_par)^2 nbar_o],

the inverse of the variance that the linear optimum leaves to x, so that all modes have a scatter of
about 1. K is a convolution of a ring, and most of its eigenvalues are 0 to rounding; only the
others are worked with.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.experiments.exact.world import LognormalWorld, Observed
from truez.mesh.fourier import hermitian_weights, wavevectors
from truez.sightlines.kernel import Kernel

#: Eigenvalues of K below this are taken for 0.
SMALLEST = 1e-7

Modes = NDArray[np.complex64]


class Posterior:
    """U and its gradient at modes y, which are complex64 (nx, ny, nz // 2 + 1).

    Their normalisation is unitary: ``sum_k w |y_k|^2`` with the Hermitian weights w is the sum of
    squares of the mesh.

    Parameters
    ----------
    observed : Observed
    """

    def __init__(self, observed: Observed) -> None:
        world = observed.world
        self.world, self.observed = world, observed
        self.meshsize = world.meshsize
        self.counts, self.spec_counts = observed.counts()
        self.kernel = Kernel.of(world.error, world.box)
        self.low, self.high = _factors(self.kernel.matrix)
        # Most cells hold no galaxy.
        self._photo, self._spec = (c.flatten().nonzero()[:, 0] for c in observed.counts())
        self._num_photo = self.counts.flatten()[self._photo]
        self._num_spec = self.spec_counts.flatten()[self._spec]
        self._ratio = torch.zeros(self.meshsize)
        self.weights = hermitian_weights(self.meshsize[2]).numpy()
        transfer = world.transfer
        self.precision = _precision(world)
        #: From y to modes of g.
        self.scale = (transfer / np.sqrt(self.precision)).astype(np.float32)
        self.prior = (1 / self.precision).astype(np.float32)

    def modes(self, mesh: NDArray[np.floating]) -> Modes:
        """Unitary modes of a real mesh."""
        modes: Modes = scipy.fft.rfftn(mesh, norm="ortho")
        return modes

    def field(self, y: Modes) -> Tensor:
        """g (nx, ny, nz), float32."""
        mesh = scipy.fft.irfftn(self.scale * y, s=self.meshsize, norm="ortho", overwrite_x=True)
        return torch.from_numpy(mesh)

    def from_noise(self, x: NDArray[np.floating]) -> Modes:
        """y of white noise of variance 1 on the mesh."""
        modes = self.modes(np.asarray(x, np.float32)) * np.sqrt(self.precision)
        return modes.astype(np.complex64)

    def square(self, modes: Modes, factor: NDArray[np.float32] | float = 1.0) -> float:
        """Sum over all modes of a factor times |y|^2, in float64."""
        values = modes.real**2
        values += modes.imag**2
        values *= factor
        return float(values.sum((0, 1), dtype=np.float64) @ self.weights)

    def smear(self, values: Tensor) -> Tensor:
        """K along the lines of sight."""
        return (values @ self.low) @ self.high.T

    def gather(self, values: Tensor) -> Tensor:
        """The transpose of K."""
        return (values @ self.high) @ self.low.T

    def intensity(self, field: Tensor) -> Tensor:
        """mu_o over its mean, exp(g - v / 2)."""
        return (field - self.world.variance / 2).exp_()

    def energy(self, y: Modes) -> float:
        """U [nats], but for a constant."""
        return self._likelihood(self.field(y))[0]() + 0.5 * self.square(y, self.prior)

    def energy_and_gradient(self, y: Modes) -> tuple[Callable[[], float], Modes]:
        """U as a function to call where it is wanted, before the next gradient, and dU/dy."""
        energy, slope = self._likelihood(self.field(y))
        gradient: Modes = scipy.fft.rfftn(slope.numpy(), norm="ortho", overwrite_x=True)
        gradient *= self.scale
        gradient += self.prior * y
        return lambda: energy() + 0.5 * self.square(y, self.prior), gradient

    def _likelihood(self, field: Tensor) -> tuple[Callable[[], float], Tensor]:
        """-ln of the likelihood of g but for a constant, and its derivative by g."""
        world = self.world
        (other, spec), s = world.expected, world.slope
        mean = field.add(math.log(other) - world.variance / 2).exp_()
        mean_s = field.mul(s).add_(math.log(spec) - s * s * world.variance / 2).exp_()
        total = _sum(mean) + _sum(mean_s)
        seen = self.smear(mean).flatten()[self._photo]
        known = s * float((field.flatten()[self._spec] * self._num_spec).sum())

        def energy() -> float:
            if not bool((seen > 0).all()):
                return math.inf
            return total - known - float((self._num_photo * seen.log()).sum(dtype=torch.float64))

        self._ratio.view(-1)[self._photo] = self._num_photo / seen
        slope = mean_s.sub_(self.spec_counts).mul_(s)
        slope.addcmul_(mean, 1 - self.gather(self._ratio))
        return energy, slope


def _precision(world: LognormalWorld) -> NDArray[np.float64]:
    """m(k), (nx, ny, nz // 2 + 1)."""
    other, spec = world.expected
    k_par = wavevectors(world.box, dtype=torch.float64)[2]
    phi = world.error.characteristic(k_par).numpy()
    return np.asarray(1 + world.transfer**2 * (world.slope**2 * spec + phi**2 * other))


def _sum(values: Tensor) -> float:
    """Sum of a mesh, along its rows in float32."""
    return float(values.sum(2).sum(dtype=torch.float64))


def _factors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Two matrices (num, rank) of which the product of one and the other's transpose is K^T."""
    values, vectors = torch.linalg.eigh(matrix.double())
    kept = values.abs() > SMALLEST
    scaled = vectors[:, kept] * values[kept]
    return scaled.float().contiguous(), vectors[:, kept].float().contiguous()
