"""The linear model of two surveys, from what is observed alone.

The shapes P_s, P_x and P_p are the linear spectrum times smooth functions: natural cubic splines in
ln k with a penalty on their curvature, so that where a box holds few modes they go on as a constant
bias. They maximise the Whittle likelihood of the binned auto and cross spectra of the pair (s, p),

    -2 ln L = sum over modes of [ ln det C + tr(C^-1 d d^+) ],

found by Fisher scoring. The photometric field enters where ``phi^2`` exceeds a limit, since
elsewhere it is noise and its clustering could not be told from a wrong phi. Without a known error,
``fit_sigma`` frees its width and uses every mode; the finger-of-God length of the photometric
sample is then tied to that of the spectroscopic one, because the two act alike.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from truez.linear.model import LinearModel, Spectra, anisotropy, observed_spectra
from truez.linear.modes import mesh_modes
from truez.mesh.field import Field
from truez.mesh.fourier import hermitian_weights, rfft
from truez.surveys.photoz import PhotozError
from truez.surveys.surveys import Surveys

#: Modes with phi^2 below this say nothing of the photometric sample's clustering.
MIN_PHI2 = 0.5
#: Spacing of the spline's knots in ln k.
KNOT_SPACING = 0.4
#: Prior standard deviation of a second difference of ln(P / P_lin) between knots.
CURVATURE = 0.1
#: Prior standard deviation of the correction a(k) to the anisotropy, ln A_s = ... + a mu^2.
ANISOTROPY = 0.5
#: Priors on (ln beta_s, ln fog_s, ln sigma): standard deviations about their starting values.
PRIOR_BETA, PRIOR_FOG, PRIOR_SIGMA = 0.5, 1.0, 2.0

# Forward differentiation has one state for all threads of a process.
_DIFFERENTIATION = threading.Lock()


class NoFitError(ValueError):
    """The observed spectra of two surveys fit no model."""

    def __init__(self) -> None:
        super().__init__(
            "no positive spectra describe the two surveys: check the overlap, the densities and "
            "the photo-z error given for them"
        )


@dataclass(frozen=True)
class ObservedSpectra:
    """Auto and cross spectra of the two surveys in (k_perp, k_par) bins, flattened; float64.

    ``k``, ``k_par``, ``window`` (W^2) and ``shot`` (C) are means over the modes of a bin; ``ss``,
    ``pp`` and ``sp`` are [(Mpc/h)^3] and contain window and shot noise.
    """

    num_modes: Tensor
    k: Tensor
    k_par: Tensor
    window: Tensor
    shot: Tensor
    ss: Tensor
    pp: Tensor
    sp: Tensor


def observe(spec: Field, photo: Field, resampler: str | None = "cic") -> ObservedSpectra:
    """Measure the spectra of a spectroscopic and a photometric overdensity field."""
    box = spec.box
    modes_s, modes_p = rfft(spec.values), rfft(photo.values)
    perp = _bin_edges(max(box.fundamental[:2]), math.pi * math.sqrt(2) / min(box.cellsize[:2]))
    par = _bin_edges(box.fundamental[2], math.pi / box.cellsize[2])
    num = (len(perp) - 1) * (len(par) - 1)
    sums = torch.zeros(8, num, dtype=torch.float64)
    hermitian = hermitian_weights(box.meshsize[2])
    for plane, k, k_par, window, shot in mesh_modes(box, resampler):
        k_perp = torch.sqrt(torch.clamp(k[:, :, :1] ** 2 - k_par[..., :1] ** 2, min=0))
        row = torch.bucketize(k_perp, perp, right=True) - 1
        column = torch.bucketize(k_par.contiguous(), par, right=True) - 1
        index = (row * (len(par) - 1) + column).expand(k.shape).flatten()
        weights = hermitian.expand(k.shape) * (k > 0)
        s, p = (m[plane].cpu().to(torch.complex128) for m in (modes_s, modes_p))
        quantities = (
            torch.ones_like(k), k, k_par, window, shot,
            s.abs() ** 2, p.abs() ** 2, (s * p.conj()).real,
        )  # fmt: skip
        for total, quantity in zip(sums, quantities, strict=True):
            total += torch.bincount(index, (quantity * weights).flatten(), num)
    filled = sums[0] > 0
    counts = sums[0, filled]
    means = sums[1:, filled] / counts
    means[4:] *= box.volume
    return ObservedSpectra(counts, *means)


def _bin_edges(fundamental: float, maximum: float) -> Tensor:
    """One bin for each of the first 16 multiples of the fundamental, then 5% wide ones."""
    edges = [(i - 0.5) * fundamental for i in range(17)]
    while edges[-1] <= maximum:
        edges.append(edges[-1] + max(0.05 * edges[-1], fundamental))
    return torch.tensor(edges, dtype=torch.float64)


def fit_linear_model(
    spec: Field,
    photo: Field,
    surveys: Surveys,
    *,
    resampler: str | None = "cic",
    fit_sigma: bool = False,
    fog_photo: float | None = None,
) -> LinearModel:
    """Fit the model of `truez.linear.model` to the observed fields of two surveys.

    Parameters
    ----------
    spec, photo : Field
        Overdensities of the two samples, `Surveys.spec_field` and `Surveys.photo_field`.
    surveys : Surveys
        Densities, overlap, photo-z error and cosmology.
    resampler : str or None
        How the fields were painted; None if they were not.
    fit_sigma : bool
        Fit the width of the photo-z error too, starting from the one given.
    fog_photo : float, optional
        Finger-of-God length of the photometric sample [Mpc/h]; that of ``spec`` by default.

    Raises
    ------
    NoFitError
        If no set of positive spectra describes the data (wrong overlap or error, as a rule).
    ValueError
        If ``fit_sigma`` has no error to begin with.
    """
    if fit_sigma and surveys.error.sigma == 0:
        raise ValueError(
            "fit_sigma needs a photo-z error above 0 to begin with, a rough one will do"
        )
    data = observe(spec, photo, resampler)
    problem = _Problem(data, surveys, photo.metadata, resampler, fit_sigma, fog_photo)
    return problem.model(_fisher_scoring(problem))


class _Problem:
    """Parameters -> model spectra, and the penalised likelihood of the data."""

    def __init__(
        self,
        data: ObservedSpectra,
        surveys: Surveys,
        photo_metadata: dict[str, Any],
        resampler: str | None,
        fit_sigma: bool,
        fog_photo: float | None,
    ) -> None:
        self.data, self.resampler = data, resampler
        self.fit_sigma, self.fog_photo = fit_sigma, fog_photo
        self.redshift_space = surveys.redshift_space
        self.error = surveys.error
        self.n_spec, self.n_photo, self.n_both = surveys.densities
        self.photo_noise = float(photo_metadata.get("shotnoise", 1 / self.n_photo))
        # Outliers lower phi on all modes alike: they do not make one less fit than another.
        smeared = (data.k_par * self.error.sigma) ** 2 > -math.log(MIN_PHI2)
        self.joint = ~smeared | fit_sigma

        low, high = math.log(0.9 * float(data.k.min())), math.log(1.02 * float(data.k.max()))
        num_knots = math.ceil((high - low) / KNOT_SPACING) + 1
        knots = np.linspace(low, high, num_knots)
        self.table = np.linspace(low, high, 512)
        linear = surveys.cosmology.linear_power(np.exp(self.table), surveys.redshift)
        self.log_linear = torch.from_numpy(np.log(linear))
        splines = CubicSpline(knots, np.eye(num_knots), bc_type="natural")
        self.basis = torch.from_numpy(splines(self.table))
        place = (torch.log(data.k) - low) / (self.table[1] - self.table[0])
        below = place.long().clamp(0, 510)
        part = (place - below)[:, None]
        self.basis_at_data = (1 - part) * self.basis[below] + part * self.basis[below + 1]
        self.linear_at_data = torch.lerp(
            self.log_linear[below], self.log_linear[below + 1], part[:, 0]
        )
        self.large_scales = torch.from_numpy(self.table < max(math.log(0.1), self.table[8]))
        self.num_knots = num_knots
        growth_rate = surveys.cosmology.growth_rate(surveys.redshift)
        self.start = self._start(growth_rate)
        self.prior = self._prior()

    def _start(self, growth_rate: float) -> Tensor:
        """Constant biases, coherent by 0.9, so that the covariance starts positive."""
        data, num = self.data, self.num_knots
        bias2_s = self._bias2(data.ss, 1 / self.n_spec, torch.ones_like(data.k))
        phi2 = self.error.characteristic(data.k_par) ** 2
        bias2_p = self._bias2(data.pp, self.photo_noise, phi2)
        start = torch.zeros(4 * num + 3, dtype=torch.float64)
        start[:num] = math.log(bias2_s)
        start[num : 2 * num] = math.log(0.9 * math.sqrt(bias2_p / bias2_s))
        start[2 * num : 3 * num] = math.log(math.sqrt(bias2_p / bias2_s) / 0.9)
        start[-3] = math.log(growth_rate / math.sqrt(bias2_s))
        start[-2] = math.log(3.0)
        start[-1] = math.log(max(self.error.sigma, 1e-3))
        return start

    def _bias2(self, observed: Tensor, noise: float, phi2: Tensor) -> float:
        """Squared bias that matches the power of the modes where signal is seen."""
        data = self.data
        linear = torch.exp(self.linear_at_data) * data.window * phi2
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
        # A trace of a prior on the level keeps a survey without any signal solvable.
        level = torch.eye(num, dtype=torch.float64)
        blocks = [curvature + 1e-4 * level] * 3
        blocks += [curvature + level / ANISOTROPY**2, torch.diag(widths**-2)]
        prior: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
        return prior

    def free(self) -> Tensor:
        """Which parameters this problem varies."""
        free = torch.ones(len(self.start), dtype=torch.bool)
        free[3 * self.num_knots : -1] = self.redshift_space
        free[-1] = self.fit_sigma
        return free

    def spectra(self, theta: Tensor) -> Spectra:
        """Model spectra at the data's bins."""
        num = self.num_knots
        log_s = self.linear_at_data + self.basis_at_data @ theta[:num]
        log_x = log_s + self.basis_at_data @ theta[num : 2 * num]
        log_p = log_x + self.basis_at_data @ theta[2 * num : 3 * num]
        data = self.data
        amplitude_s = amplitude_p = torch.ones_like(data.k)
        if self.redshift_space:
            beta_s, beta_p, fog_s, fog_p = self._anisotropy(theta)
            extra = torch.exp(
                self.basis_at_data @ theta[3 * num : 4 * num] * (data.k_par / data.k) ** 2
            )
            amplitude_s = extra * anisotropy(data.k, data.k_par, beta_s, fog_s)
            amplitude_p = extra * anisotropy(data.k, data.k_par, beta_p, fog_p)
        phi = self.error.characteristic(data.k_par)
        if self.fit_sigma:
            phi = phi * torch.exp(
                -0.5 * data.k_par**2 * (torch.exp(2 * theta[-1]) - self.error.sigma**2)
            )
        return observed_spectra(
            torch.exp(log_s) * (amplitude_s * amplitude_s * data.window),
            torch.exp(log_x) * (amplitude_s * amplitude_p * data.window),
            torch.exp(log_p) * (amplitude_p * amplitude_p * data.window),
            phi=phi,
            shot=data.shot,
            densities=(self.n_spec, self.n_photo, self.n_both),
            photo_noise=self.photo_noise,
        )

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
        # Neither the pair that is seen nor that of target and spec can be more than coherent.
        if bool((determinant <= 0).any() or (model.ts**2 > model.tt * model.ss).any()):
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
        stacked: Callable[[Tensor], Tensor] = lambda x: torch.stack(  # noqa: E731
            [(m := self.spectra(x)).ss, m.sp, m.pp]
        )
        with _DIFFERENTIATION:
            derivative = torch.func.jacfwd(stacked)(theta)
        model = self.spectra(theta)
        covariance = torch.stack(
            [torch.stack([model.ss, model.sp]), torch.stack([model.sp, model.pp])]
        ).permute(2, 0, 1)
        inverse = torch.linalg.inv(covariance)
        single = torch.zeros_like(inverse)
        single[:, 0, 0] = 1 / model.ss
        inverse = torch.where(self.joint[:, None, None], inverse, single)
        ss, sp, pp = derivative
        change = torch.stack([torch.stack([ss, sp]), torch.stack([sp, pp])])
        half = torch.einsum("nij,jknp->npik", inverse, change)
        weighted = half * (0.5 * self.data.num_modes)[:, None, None, None]
        return torch.einsum("npij,nqji->pq", weighted, half) + self.prior

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
        sigma = float(torch.exp(theta[-1])) if self.fit_sigma else self.error.sigma
        return LinearModel(
            log_k=tuple(self.table),
            log_spec=tuple(log_s.tolist()),
            log_cross=tuple(log_x.tolist()),
            log_photo=tuple(log_p.tolist()),
            log_anisotropy=tuple(extra.tolist()),
            n_spec=self.n_spec,
            n_photo=self.n_photo,
            n_both=self.n_both,
            error=PhotozError(sigma, self.error.outlier_fraction),
            photo_noise=self.photo_noise,
            beta_spec=beta_s,
            beta_photo=beta_p,
            fog_spec=fog_s,
            fog_photo=fog_p,
            resampler=self.resampler,
        )


def _fisher_scoring(problem: _Problem, *, max_steps: int = 100, tolerance: float = 1e-3) -> Tensor:
    """Minimise the objective; damped wherever a step would not lower it."""
    theta, free = problem.start.clone(), problem.free()
    value = problem.objective(theta)
    damping = 1e-3
    for _ in range(max_steps):
        if not math.isfinite(float(value)):
            break
        gradient = torch.func.grad(problem.objective)(theta)[free]
        curvature = problem.fisher(theta)[free][:, free]
        if not bool(torch.isfinite(gradient).all() and torch.isfinite(curvature).all()):
            break
        # What a full step could gain at most: the measure of being there.
        newton = torch.linalg.lstsq(curvature, gradient[:, None]).solution[:, 0]
        if float(gradient @ newton) / 2 < tolerance:
            return theta
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
            # No step is better though one should be: at the edge of what is positive, where steps
            # that are short enough to stay inside gain nothing, or less than rounding.
            return theta if gain < 0 else theta + step
        theta, value, damping = theta + step, new, max(damping, 1e-9)
        if gain < 10 * tolerance and damping < 1e-3:
            # Undamped steps that gain next to nothing creep along a valley: a standard deviation
            # would be a gain of 0.5.
            return theta
    raise NoFitError
