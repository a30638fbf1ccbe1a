"""The anisotropy of a linear model as observers quote it: an effective beta in a band of k.

The Kaiser parameter and the finger-of-God length of a fit are degenerate with its correction a(k),
so that none of them says how anisotropic a survey is. Their product does: the model's P(k, mu),
without shot noise and photo-z error, summed over the modes of a box with 0.05 <= k < 0.1 h/Mpc, has
a ratio of quadrupole to monopole. The effective beta is that of the Kaiser spectrum
P(k) (1 + beta mu^2)^2 which has the same ratio on the same modes. Where modes are many this is the
relation of Kaiser (1987) and Hamilton (1992),

    P_2 / P_0 = (4/3 beta + 4/7 beta^2) / (1 + 2/3 beta + 1/5 beta^2).

Where they are few, their directions do not average to it: a box of 256 Mpc/h with 224 modes in the
band would be wrong by 3%, one of 128 Mpc/h with 26 modes by 30%. What is expected is f / b, with
the growth rate f and the bias b of the Kaiser spectrum P_lin(k) (b + f mu^2)^2 that has the model's
monopole in the band.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from truez.linear.modes import octant_weights
from truez.mesh.box import Box
from truez.mesh.fourier import wavevectors

#: The band [h/Mpc], its lower edge included.
BAND = (0.05, 0.1)


class Anisotropy(NamedTuple):
    """Anisotropy of one survey in the `BAND`.

    ``error`` is the standard deviation of ``beta`` in the fit, from the Fisher matrix of all its
    parameters with their priors. The likelihood is that of Gaussian modes, so the error includes
    the scatter of the modes themselves (cosmic variance) as well as shot noise, and Gaussian fields
    scatter by it. It does not include what the model leaves out: the photometric sample has the
    finger of God and the a(k) of the spectroscopic one.
    """

    beta: float
    error: float
    expected: float
    bias: float


class BandModes(NamedTuple):
    """Modes of a box in a band: k and k_par [h/Mpc], and how many modes each is; (n,), float64."""

    k: Tensor
    k_par: Tensor
    number: Tensor


def band_modes(box: Box, band: tuple[float, float] = BAND) -> BandModes:
    """The modes of a box with ``band[0] <= k < band[1]``, one of each octant of k."""
    # The part of the octant of modes that the band can reach.
    waves = wavevectors(box, dtype=torch.float64)
    axes = (k.flatten()[: num // 2 + 1].abs() for k, num in zip(waves, box.meshsize, strict=True))
    kx, ky, kz = (k[k < band[1]] for k in axes)
    number = octant_weights(box, slice(0, len(kx)))[:, : len(ky), : len(kz)]
    k = torch.sqrt(kx[:, None, None] ** 2 + ky[:, None] ** 2 + kz**2)
    inside = (k >= band[0]) & (k < band[1])
    return BandModes(k[inside], kz.expand(k.shape)[inside], number[inside])


def effective_beta(power: Tensor, shape: Tensor, modes: BandModes) -> Tensor:
    """The beta of the Kaiser spectrum with the ratio of quadrupole to monopole of another one.

    Parameters
    ----------
    power : Tensor (n,)
        P(k, mu) of the modes, without noise [(Mpc/h)^3].
    shape : Tensor (n,)
        P(k) of the Kaiser spectrum, in any unit.
    modes : BandModes

    Returns
    -------
    Tensor ()
        nan where no beta has that ratio.
    """
    mu2 = (modes.k_par / modes.k) ** 2
    quadrupole = 5 * (1.5 * mu2 - 0.5)
    weighted = modes.number * power
    ratio = (weighted * quadrupole).sum() / weighted.sum()
    # (1 + beta mu^2)^2 makes each side a polynomial in beta: a beta^2 + 2 h beta + c = 0.
    c, h, a = (
        (modes.number * shape * mu2**order * (quadrupole - ratio)).sum() for order in range(3)
    )
    return -c / (h + torch.sqrt(h**2 - a * c))


def kaiser_bias(power: Tensor, linear: Tensor, growth_rate: float, modes: BandModes) -> float:
    """The bias b of the Kaiser spectrum ``linear (b + f mu^2)^2`` with the monopole of another one.

    Parameters
    ----------
    power, linear : Tensor (n,)
        P(k, mu) without noise, and the linear power of matter [(Mpc/h)^3].
    growth_rate : float
        f; 0 in real space.
    modes : BandModes
    """
    mu2 = (modes.k_par / modes.k) ** 2
    monopole = (modes.number * power).sum()
    a, h, c = ((modes.number * linear * (growth_rate * mu2) ** order).sum() for order in range(3))
    return float((-h + torch.sqrt(h**2 - a * (c - monopole))) / a)


def anisotropy_of(
    spectrum: Callable[[Tensor], tuple[Tensor, Tensor]],
    theta: Tensor,
    covariance: Tensor,
    *,
    linear: Tensor,
    growth_rate: float,
    modes: BandModes,
) -> Anisotropy:
    """The anisotropy of one survey's spectrum, which depends on the parameters of a fit.

    Parameters
    ----------
    spectrum : function of Tensor (p,)
        Gives P(k, mu) of the modes and its isotropic shape P(k), (n,) each [(Mpc/h)^3].
    theta : Tensor (p,)
        The parameters found.
    covariance : Tensor (p, p)
    linear : Tensor (n,)
        The linear power of matter [(Mpc/h)^3].
    growth_rate : float
        f; 0 in real space, where nothing is anisotropic.
    modes : BandModes
    """
    bias = kaiser_bias(spectrum(theta)[0], linear, growth_rate, modes)
    if growth_rate == 0:
        return Anisotropy(0.0, 0.0, 0.0, bias)
    where = theta.detach().clone().requires_grad_()
    beta = effective_beta(*spectrum(where), modes)
    (gradient,) = torch.autograd.grad(beta, where)
    error = torch.sqrt(gradient @ covariance @ gradient)
    return Anisotropy(float(beta.detach()), float(error), growth_rate / bias, bias)
