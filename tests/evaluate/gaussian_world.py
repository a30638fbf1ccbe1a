"""Gaussian fields of known spectra, observed with noise and photo-z errors: an exact posterior.

The spectra are those of a `LinearModel`, so that its Wiener filter is the mean of the posterior and
its Gaussian residual the rest of it, mode by mode.
"""

import numpy as np
import torch

from truez import Box, Field, PhotozError
from truez.evaluate.coverage import SampleJudge
from truez.linear.model import LinearModel
from truez.linear.residual import residual
from truez.mesh.fourier import irfft, rfft, wavevectors

BOX = Box((192.0, 192.0, 256.0), cellsize=4)
DENSITY = 0.05


def gaussian_model():
    """A steep spectrum of galaxies that are not nested, and photo-z errors of 20 Mpc/h."""
    k = np.geomspace(0.01, 2.0, 100)
    shape = 2e4 * (k / 0.02) / (1 + (k / 0.03) ** 2.4)
    return LinearModel.from_spectra(
        k, 1.44 * shape, 1.2 * shape, shape,
        n_spec=2e-3, n_photo=DENSITY, n_both=0.0, error=PhotozError(20.0),
        beta_spec=0.4, beta_photo=0.5, fog_spec=0.0, fog_photo=0.0, resampler=None,
    )  # fmt: skip


def observed(model, seed):
    """The truth and the two observed fields, with all their covariances."""
    rng = np.random.default_rng([seed, 1])
    white = [rfft(torch.from_numpy(rng.normal(size=BOX.meshsize))) for _ in range(3)]
    kx, ky, kz = wavevectors(BOX, dtype=torch.float64)
    k = torch.sqrt(kx**2 + ky**2 + kz**2)
    power = model.spectra(k, kz.expand_as(k))
    tt, ss, pp, ts, tp, sp = (spectrum.expand(k.shape) for spectrum in power)
    # A triangular root of the covariance; across the line of sight p is t itself.
    root_t = tt.sqrt()
    from_t, root_s = ts / root_t, (ss - ts**2 / tt).sqrt()
    p_from_t = tp / root_t
    p_from_s = (sp - from_t * p_from_t) / root_s
    root_p = (pp - p_from_t**2 - p_from_s**2).clamp(min=0.0).sqrt()
    a, b, c = (mode * (k > 0) / np.sqrt(BOX.volume / BOX.num_cells) for mode in white)
    modes = [root_t * a, from_t * a + root_s * b, p_from_t * a + p_from_s * b + root_p * c]
    return [Field(irfft(mode, BOX.meshsize), BOX) for mode in modes]


def right(mean, noise, truth):
    """The posterior itself."""
    return mean + noise


def judged(model, change, *, seeds=(1, 2, 3), num_samples=15):
    """Numbers of boxes whose samples are ``change(mean, residual, truth)``."""
    found = []
    for seed in seeds:
        truth, spec, photo = observed(model, seed)
        mean = model.wiener(spec=spec, photo=photo)
        judge = SampleJudge(truth, estimate=mean, density=DENSITY, seed=seed, num_centers=400)
        for number in range(num_samples):
            noise = residual(model, BOX, np.random.default_rng([seed, number, 2]))
            values = change(mean.values, noise, truth.values)
            judge.add(Field(values, BOX))
        found.append(judge.numbers())
    return found
