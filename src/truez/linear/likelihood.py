"""The likelihood of observed spectra, given the parameters of a linear model, and its maximum.

The equations are those of `truez.linear.fit`. The spectra of several patches of sky, each with its
own bins and noise, follow one another in one `truez.linear.observed.ObservedSpectra`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from truez.cosmology import Cosmology
from truez.linear.derivatives import Derived
from truez.linear.effective import anisotropy_of, band_modes
from truez.linear.model import LinearModel, Spectra, anisotropy, observed_spectra
from truez.linear.observed import ObservedSpectra
from truez.mesh.box import Box
from truez.surveys.photoz import PhotozError

#: Modes with phi^2 below this are not used for the photometric sample's clustering.
MIN_PHI2 = 0.5
#: Spacing of the spline's knots in ln k.
KNOT_SPACING = 0.4
#: Prior standard deviation of a second difference of ln(P / P_lin) between knots.
CURVATURE = 0.1
#: Prior standard deviation of the correction a(k) to the anisotropy, ln A_s = ... + a mu^2.
ANISOTROPY = 0.5
#: Priors on (ln beta_s, ln fog_s, ln sigma): standard deviations about their starting values.
PRIOR_BETA, PRIOR_FOG, PRIOR_SIGMA = 0.5, 1.0, 2.0

#: Derivatives by all parameters of so many bins are in memory at a time.
_AT_A_TIME = 2**20


class NoFitError(ValueError):
    """The observed spectra of two surveys fit no model."""

    def __init__(self) -> None:
        super().__init__(
            "no positive spectra describe the two surveys: check the overlap, the densities and "
            "the photo-z error given for them"
        )


class Setting(NamedTuple):
    """What is known of two surveys besides their spectra."""

    error: PhotozError
    cosmology: Cosmology
    redshift: float
    redshift_space: bool


class Noise(NamedTuple):
    """Shot noise of the two fields: numbers, or tensors (n,) with one number for each bin.

    Parameters
    ----------
    n_spec, n_photo, n_both : float or Tensor
        Densities [(h/Mpc)^3] with the noise of the fields: ``1 / n`` and ``n_both / (n_s n_p)``.
    photo_noise : float or Tensor
        Noise power of the photometric field [(Mpc/h)^3].
    overlap : float or Tensor
        Factor on the cross spectrum of fields that are weighted in different places.
    """

    n_spec: float | Tensor
    n_photo: float | Tensor
    n_both: float | Tensor
    photo_noise: float | Tensor
    overlap: float | Tensor = 1.0


def with_anisotropy(
    model: LinearModel, problem: Problem, theta: Tensor, fisher: Tensor, box: Box
) -> LinearModel:
    """The model with the effective anisotropy of both samples, where the box has modes for it."""
    modes = band_modes(box)
    if len(modes.k) == 0:
        return model
    free = problem.free()
    covariance = torch.zeros_like(fisher)
    covariance[torch.outer(free, free)] = torch.linalg.inv(fisher[free][:, free]).flatten()
    points = problem.points(modes.k, modes.k_par)
    found = [
        anisotropy_of(
            spectrum,
            theta,
            covariance,
            linear=torch.exp(points.linear),
            growth_rate=problem.growth_rate,
            modes=modes,
        )
        for spectrum in (
            lambda theta: problem.powers(theta, points)[0],
            lambda theta: problem.powers(theta, points)[1],
        )
    ]
    return replace(model, effective_spec=found[0], effective_photo=found[1])


class _Points(NamedTuple):
    """Wavevectors, the basis of the splines there (n, num_knots) and ln of the linear power."""

    k: Tensor
    k_par: Tensor
    basis: Tensor
    linear: Tensor


class Problem:
    """Parameters -> model spectra, and the penalised likelihood of the data."""

    def __init__(
        self,
        data: ObservedSpectra,
        setting: Setting,
        noise: Noise,
        resampler: str | None,
        *,
        fit_sigma: bool = False,
        fog_photo: float | None = None,
        use_photo: bool = True,
    ) -> None:
        self.data, self.resampler = data, resampler
        self.fit_sigma, self.fog_photo = fit_sigma, fog_photo
        self.redshift_space, self.error, self.noise = setting.redshift_space, setting.error, noise
        self.use_photo = use_photo
        # Outliers lower phi on all modes alike, so they do not decide which modes to use.
        smeared = (data.k_par * self.error.sigma) ** 2 > -math.log(MIN_PHI2)
        self.joint = (~smeared | fit_sigma) & use_photo

        low, high = math.log(0.9 * float(data.k.min())), math.log(1.02 * float(data.k.max()))
        num_knots = math.ceil((high - low) / KNOT_SPACING) + 1
        knots = np.linspace(low, high, num_knots)
        self.table = np.linspace(low, high, 512)
        linear = setting.cosmology.linear_power(np.exp(self.table), setting.redshift)
        self.log_linear = torch.from_numpy(np.log(linear))
        splines = CubicSpline(knots, np.eye(num_knots), bc_type="natural")
        self.basis = torch.from_numpy(splines(self.table))
        self.at_data = self.points(data.k, data.k_par)
        self.large_scales = torch.from_numpy(self.table < max(math.log(0.1), self.table[8]))
        self.num_knots = num_knots
        growth_rate = setting.cosmology.growth_rate(setting.redshift)
        self.growth_rate = growth_rate if self.redshift_space else 0.0
        self.start = self._start(growth_rate)
        self.prior = self._prior()

    def points(self, k: Tensor, k_par: Tensor) -> _Points:
        """The tables at wavevectors, linear in ln k; (n,) each [h/Mpc]."""
        place = (torch.log(k) - self.table[0]) / (self.table[1] - self.table[0])
        below = place.long().clamp(0, 510)
        part = (place - below)[:, None]
        basis = (1 - part) * self.basis[below] + part * self.basis[below + 1]
        linear = torch.lerp(self.log_linear[below], self.log_linear[below + 1], part[:, 0])
        return _Points(k, k_par, basis, linear)

    def _start(self, growth_rate: float) -> Tensor:
        """Constant biases, coherent by 0.9, so that the covariance starts positive.

        Without photometric data they are equal and coherent, as the prior leaves them.
        """
        data, num = self.data, self.num_knots
        bias2_s = self._bias2(data.ss, 1 / self.noise.n_spec, torch.ones_like(data.k))
        start = torch.zeros(4 * num + 3, dtype=torch.float64)
        start[:num] = math.log(bias2_s)
        if self.use_photo:
            phi2 = self.error.characteristic(data.k_par) ** 2
            bias2_p = self._bias2(data.pp, self.noise.photo_noise, phi2)
            start[num : 2 * num] = math.log(0.9 * math.sqrt(bias2_p / bias2_s))
            start[2 * num : 3 * num] = math.log(math.sqrt(bias2_p / bias2_s) / 0.9)
        start[-3] = math.log(growth_rate / math.sqrt(bias2_s))
        start[-2] = math.log(3.0)
        start[-1] = math.log(max(self.error.sigma, 1e-3))
        return start

    def _bias2(self, observed: Tensor, noise: float | Tensor, phi2: Tensor) -> float:
        """Squared bias that matches the power of the modes with signal."""
        data = self.data
        linear = torch.exp(self.at_data.linear) * data.window * phi2
        use = (phi2 > MIN_PHI2) & (data.k < max(0.3, 4 * float(data.k.min())))
        weights = data.num_modes * use / (linear + noise * data.shot) ** 2
        signal = (weights * linear * (observed - noise * data.shot)).sum()
        return max(float(signal / (weights * linear**2).sum().clamp(min=1e-300)), 0.05)

    def _prior(self) -> Tensor:
        """Inverse covariance of the parameters: curvature, and widths of the last three."""
        num = self.num_knots
        second = torch.zeros(num - 2, num, dtype=torch.float64)
        for i in range(num - 2):
            second[i, i : i + 3] = torch.tensor([1.0, -2.0, 1.0])
        curvature = second.T @ second / CURVATURE**2
        widths = torch.tensor([PRIOR_BETA, PRIOR_FOG, PRIOR_SIGMA], dtype=torch.float64)
        # A weak prior on the level keeps the fit solvable for a survey without any signal.
        level = torch.eye(num, dtype=torch.float64)
        blocks = [curvature + 1e-4 * level] * 3
        blocks += [curvature + level / ANISOTROPY**2, torch.diag(widths**-2)]
        prior: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
        return prior

    def free(self) -> Tensor:
        """Which parameters are varied, bool (p,)."""
        free = torch.ones(len(self.start), dtype=torch.bool)
        free[3 * self.num_knots : -1] = self.redshift_space
        free[-1] = self.fit_sigma
        return free

    def _shapes(self, theta: Tensor, at: _Points) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """ln of the isotropic P_s, P_x and P_p, and the amplitudes A_s and A_p."""
        num = self.num_knots
        log_s = at.linear + at.basis @ theta[:num]
        log_x = log_s + at.basis @ theta[num : 2 * num]
        log_p = log_x + at.basis @ theta[2 * num : 3 * num]
        if not self.redshift_space:
            one = torch.ones_like(at.k)
            return log_s, log_x, log_p, one, one
        beta_s, beta_p, fog_s, fog_p = self._anisotropy(theta)
        extra = torch.exp(at.basis @ theta[3 * num : 4 * num] * (at.k_par / at.k) ** 2)
        amplitude_s = extra * anisotropy(at.k, at.k_par, beta_s, fog_s)
        amplitude_p = extra * anisotropy(at.k, at.k_par, beta_p, fog_p)
        return log_s, log_x, log_p, amplitude_s, amplitude_p

    def powers(self, theta: Tensor, at: _Points) -> tuple[tuple[Tensor, Tensor], ...]:
        """P(k, mu) without noise and photo-z error, and its P(k), of spec and photo."""
        log_s, _, log_p, amplitude_s, amplitude_p = self._shapes(theta, at)
        spec, photo = torch.exp(log_s), torch.exp(log_p)
        return (spec * amplitude_s**2, spec), (photo * amplitude_p**2, photo)

    def spectra(self, theta: Tensor) -> Spectra:
        """Model spectra at the data's bins."""
        data = self.data
        log_s, log_x, log_p, amplitude_s, amplitude_p = self._shapes(theta, self.at_data)
        phi = self.error.characteristic(data.k_par)
        if self.fit_sigma:
            phi = phi * torch.exp(
                -0.5 * data.k_par**2 * (torch.exp(2 * theta[-1]) - self.error.sigma**2)
            )
        noise = self.noise
        model = observed_spectra(
            torch.exp(log_s) * (amplitude_s * amplitude_s * data.window),
            torch.exp(log_x) * (amplitude_s * amplitude_p * data.window),
            torch.exp(log_p) * (amplitude_p * amplitude_p * data.window),
            phi=phi,
            shot=data.shot,
            densities=(noise.n_spec, noise.n_photo, noise.n_both),
            photo_noise=noise.photo_noise,
        )
        return model._replace(sp=model.sp * noise.overlap)

    def _anisotropy(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | float]:
        """(beta_s, beta_p, fog_s, fog_p); beta_p = beta_s P_s / P_x on large scales."""
        num = self.num_knots
        beta_s, fog_s = torch.exp(theta[-3]), torch.exp(theta[-2])
        ratio = torch.exp((self.basis @ theta[num : 2 * num])[self.large_scales].mean())
        return beta_s, beta_s / ratio, fog_s, fog_s if self.fog_photo is None else self.fog_photo

    def objective(self, theta: Tensor) -> Tensor:
        """-ln L with the priors; infinite where the covariance is not positive."""
        data, model = self.data, self.spectra(theta)
        determinant = torch.where(self.joint, model.determinant, torch.ones_like(model.ss))
        # Neither the observed pair nor that of target and spec can have a coherence above 1.
        incoherent = (determinant <= 0) | (model.ts**2 > model.tt * model.ss)
        if self.use_photo and bool(incoherent.any()):
            return torch.full((), math.inf, dtype=torch.float64)
        trace = (model.pp * data.ss + model.ss * data.pp - 2 * model.sp * data.sp) / determinant
        both = torch.log(determinant) + trace
        single = torch.log(model.ss) + data.ss / model.ss
        like = (0.5 * data.num_modes * torch.where(self.joint, both, single)).sum()
        offset = theta.clone()
        offset[-3:] = theta[-3:] - self.start[-3:]
        return like + 0.5 * offset @ self.prior @ offset

    def fisher(self, theta: Tensor) -> Tensor:
        """Expected second derivative of the objective."""
        num = len(self.data.k)
        # Of many bins, such as those of many patches, a few parameters at a time.
        some = len(theta) if num * len(theta) <= _AT_A_TIME else max(_AT_A_TIME // num, 1)
        parts: list[Tensor] = []
        for by in torch.split(torch.eye(len(theta), dtype=theta.dtype), some):
            part: Any = self.spectra(cast("Tensor", Derived(theta, by)))
            parts.append(torch.stack([part.ss.by, part.sp.by, part.pp.by]))
        derivative = torch.cat(parts, dim=1).movedim(1, -1)
        model = self.spectra(theta)
        covariance = torch.stack(
            [torch.stack([model.ss, model.sp]), torch.stack([model.sp, model.pp])]
        ).permute(2, 0, 1)
        # Where the photometric field is not used, the pair may be singular.
        joint = self.joint[:, None, None]
        covariance = torch.where(joint, covariance, torch.eye(2, dtype=covariance.dtype))
        single = torch.zeros_like(covariance)
        single[:, 0, 0] = 1 / model.ss
        inverse = torch.where(joint, torch.linalg.inv(covariance), single)
        total = torch.zeros_like(self.prior)
        step = max(_AT_A_TIME // len(theta), 1)
        for bins in (slice(first, first + step) for first in range(0, num, step)):
            ss, sp, pp = derivative[:, bins]
            change = torch.stack([torch.stack([ss, sp]), torch.stack([sp, pp])])
            half = torch.einsum("nij,jknp->npik", inverse[bins], change)
            weighted = half * (0.5 * self.data.num_modes[bins])[:, None, None, None]
            total += torch.einsum("npij,nqji->pq", weighted, half)
        return total + self.prior

    def _mean(self, value: float | Tensor) -> float:
        """A number that bins may have each their own of, as the mean over the modes."""
        if not isinstance(value, Tensor):
            return value
        return float((value * self.data.num_modes).sum() / self.data.num_modes.sum())

    def model(self, theta: Tensor) -> LinearModel:
        """The parameters as a model."""
        num = self.num_knots
        log_s = self.log_linear + self.basis @ theta[:num]
        log_x = log_s + self.basis @ theta[num : 2 * num]
        log_p = log_x + self.basis @ theta[2 * num : 3 * num]
        beta_s = beta_p = fog_s = fog_p = 0.0
        extra = torch.zeros_like(log_s)
        if self.redshift_space:
            beta_s, beta_p, fog_s, fog_p = (float(x) for x in self._anisotropy(theta))
            extra = self.basis @ theta[3 * num : 4 * num]
        n_spec, n_photo, n_both, photo_noise, _ = (self._mean(x) for x in self.noise)
        sigma = float(torch.exp(theta[-1])) if self.fit_sigma else self.error.sigma
        return LinearModel(
            log_k=tuple(self.table),
            log_spec=tuple(log_s.tolist()),
            log_cross=tuple(log_x.tolist()),
            log_photo=tuple(log_p.tolist()),
            log_anisotropy=tuple(extra.tolist()),
            n_spec=n_spec,
            n_photo=n_photo,
            n_both=n_both,
            error=PhotozError(sigma, self.error.outlier_fraction),
            photo_noise=photo_noise,
            beta_spec=beta_s,
            beta_photo=beta_p,
            fog_spec=fog_s,
            fog_photo=fog_p,
            resampler=self.resampler,
        )


def fisher_scoring(
    problem: Problem, *, max_steps: int = 100, tolerance: float = 1e-3
) -> tuple[Tensor, Tensor]:
    """Minimise the objective, damped wherever a step would not lower it.

    Returns the parameters, and the Fisher matrix there or less than a tolerable step away.
    """
    theta, free = problem.start.clone(), problem.free()
    value = problem.objective(theta)
    damping, gain = 1e-3, math.inf
    for _ in range(max_steps):
        if not math.isfinite(float(value)):
            break
        place = theta.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(problem.objective(place), place)
        gradient = gradient[free]
        fisher = problem.fisher(theta)
        curvature = fisher[free][:, free]
        if not bool(torch.isfinite(gradient).all() and torch.isfinite(curvature).all()):
            break
        # The most that a full step could gain: the measure of convergence.
        newton = torch.linalg.lstsq(curvature, gradient[:, None]).solution[:, 0]
        if float(gradient @ newton) / 2 < tolerance:
            return theta, fisher
        gain = -math.inf
        while gain < 0 and damping < 1e12:
            damped = curvature + damping * torch.diag(torch.diag(curvature))
            step = torch.zeros_like(theta)
            step[free] = -torch.linalg.solve(damped, gradient)
            step /= max(1.0, float(step.abs().max()))
            new = problem.objective(theta + step)
            gain = float(value - new)
            damping *= 0.1 if gain >= 0 else 10
        if gain < 1e-2 * tolerance:
            # No step lowers the objective though one should: at the edge of positive spectra, where
            # steps short enough to stay inside gain nothing, or less than rounding.
            return (theta if gain < 0 else theta + step), fisher
        theta, value, damping = theta + step, new, max(damping, 1e-9)
        if gain < 10 * tolerance and damping < 1e-3:
            # Undamped steps that gain next to nothing creep along a valley: a standard deviation
            # would be a gain of 0.5.
            return theta, fisher
    else:
        if gain < 10 * tolerance:  # the same with damped steps, for all of the last ones
            return theta, fisher
    raise NoFitError
