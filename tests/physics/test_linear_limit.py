"""The Wiener filter of Gaussian fields reaches the limit formula, with the truth and without it."""

import math

import numpy as np
import pytest
import torch

from truez.cosmology import COSMOLOGIES
from truez.linear.fit import fit_linear_model
from truez.linear.model import LinearModel
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import hermitian_weights, irfft, wavevectors
from truez.simulate import gaussian_modes
from truez.surveys.photoz import PhotozError
from truez.surveys.surveys import Surveys

BOX = Box((1000, 1000, 1200), (128, 128, 160))
N_SPEC, N_PHOTO = 1e-3, 1.85e-2
BIAS_S, BIAS_P, GROWTH = 1.7, 1.2, 0.75
ERROR = PhotozError(40.0, 0.02)
COSMOLOGY, REDSHIFT = COSMOLOGIES["wmap"], 0.59


def linear_power(k):
    return COSMOLOGY.linear_power(k, REDSHIFT)


def white(power: float, seed: int) -> torch.Tensor:
    return gaussian_modes(BOX, lambda k: np.full(np.shape(k), power), seed)


@pytest.fixture(scope="module")
def fields() -> dict[str, torch.Tensor]:
    """Modes of target, spec and photo with nested shot noise and Kaiser distortions."""
    kx, ky, kz = wavevectors(BOX)
    mu2 = kz**2 / (kx**2 + ky**2 + kz**2).clamp(min=1e-12)
    phi = ERROR.characteristic(kz)
    matter = gaussian_modes(BOX, linear_power, 1)
    noise_t = white(1 / N_PHOTO, 2)
    # Nested samples: the spec galaxies are among the photo ones, cov(e_s, e_t) = 1 / n_p.
    noise_s = noise_t + white(1 / N_SPEC - 1 / N_PHOTO, 3)
    clustering_p = matter * (BIAS_P + GROWTH * mu2)
    return {
        "t": clustering_p + noise_t,
        "s": matter * (BIAS_S + GROWTH * mu2) + noise_s,
        "p": phi * (clustering_p + noise_t) + torch.sqrt(1 - phi**2) * white(1 / N_PHOTO, 4),
    }


def as_field(modes: torch.Tensor) -> Field:
    return Field(irfft(modes, BOX.meshsize), BOX, "delta")


def exact_model() -> LinearModel:
    k = np.geomspace(1e-3, 3, 600)
    power = linear_power(k)
    return LinearModel.from_spectra(
        k, BIAS_S**2 * power, BIAS_S * BIAS_P * power, BIAS_P**2 * power,
        n_spec=N_SPEC, n_photo=N_PHOTO, n_both=N_SPEC, error=ERROR,
        beta_spec=GROWTH / BIAS_S, beta_photo=GROWTH / BIAS_P, resampler=None,
    )  # fmt: skip


def fitted_model(fields: dict[str, torch.Tensor]) -> LinearModel:
    def sample(density: float) -> np.ndarray:
        return np.broadcast_to(np.zeros(3), (round(density * BOX.volume), 3))

    surveys = Surveys(
        photo=sample(N_PHOTO), spec=sample(N_SPEC), box=BOX, error=ERROR,
        num_both=round(N_SPEC * BOX.volume), cosmology=COSMOLOGY, redshift=REDSHIFT,
    )  # fmt: skip
    return fit_linear_model(
        spec=as_field(fields["s"]), photo=as_field(fields["p"]), surveys=surveys, resampler=None
    )


def measured_and_limit(
    fields: dict[str, torch.Tensor], model: LinearModel, truth_model: LinearModel, use: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """r(k, mu) of the filtered field, the limit on the same modes, and the modes of each bin."""
    result = torch.fft.rfftn(
        model.wiener(spec=as_field(fields["s"]), photo=as_field(fields["p"]), use=use).values,
        norm="forward",
    )
    kx, ky, kz = wavevectors(BOX, dtype=torch.float64)
    k = torch.sqrt(kx**2 + ky**2 + kz**2)
    mu = kz / k.clamp(min=1e-12)
    k_bins = torch.tensor([0.02, 0.04, 0.08, 0.16, 0.3], dtype=torch.float64)
    row = torch.bucketize(k, k_bins) - 1
    index = row * 5 + (mu * 5).long().clamp(max=4)
    inside = ((row >= 0) & (row < 4)).flatten()
    weights = hermitian_weights(BOX.meshsize[2]).expand(k.shape).flatten()[inside]

    def mean(values: torch.Tensor) -> np.ndarray:
        values = values.to(torch.float64).flatten()[inside] * weights
        return torch.bincount(index.flatten()[inside], values, 20).numpy()

    truth = fields["t"]
    cross = mean((result * truth.conj()).real)
    r = cross / np.sqrt(mean(result.abs() ** 2) * mean(truth.abs() ** 2))
    spectra = truth_model.spectra(k, kz.expand(k.shape))
    limit = np.sqrt(mean(spectra.tt * spectra.coherence(use)) / mean(spectra.tt))
    return r, limit, mean(torch.ones_like(k))


@pytest.mark.parametrize("use", ["both", "spec", "photo"])
def test_known_spectra_reach_the_limit(fields, use):
    r, limit, num = measured_and_limit(fields, exact_model(), exact_model(), use)
    # One per cent, or 4 times the scatter of a measured correlation where it is larger.
    scatter = (1 - limit**2) / np.sqrt(num)
    assert (np.abs(r - limit) < np.maximum(0.01 * limit, 4 * scatter)).all()
    well_measured = scatter < 0.0025
    assert well_measured.sum() >= 10
    assert np.abs(r / limit - 1)[well_measured].max() < 0.01


def test_the_fit_without_the_truth_reaches_the_limit(fields):
    fitted = fitted_model(fields)
    r, limit, num = measured_and_limit(fields, fitted, exact_model(), "both")
    well_measured = (1 - limit**2) / np.sqrt(num) < 0.0025
    assert np.abs(r / limit - 1)[well_measured].max() < 0.01
    # And what it says of itself is true: its own limit is that of the exact model.
    k, mu = np.meshgrid([0.03, 0.06, 0.12, 0.25], [0.0, 0.1, 0.3, 0.6, 0.9])
    np.testing.assert_allclose(fitted.r_opt(k, mu), exact_model().r_opt(k, mu), atol=0.01)


def test_the_fit_recovers_clustering_and_distortions(fields):
    fitted = fitted_model(fields)
    k = np.array([0.05, 0.1, 0.2])
    log_k = np.array(fitted.log_k)
    for table, factor in (
        (fitted.log_spec, BIAS_S**2),
        (fitted.log_cross, BIAS_S * BIAS_P),
        (fitted.log_photo, BIAS_P**2),
    ):
        found = np.exp(np.interp(np.log(k), log_k, table))
        np.testing.assert_allclose(found, factor * linear_power(k), rtol=0.08)
    assert fitted.beta_spec == pytest.approx(GROWTH / BIAS_S, rel=0.15)
    assert fitted.fog_spec < 1.0


def test_the_error_itself_can_be_fitted(fields):
    sample = np.broadcast_to(np.zeros(3), (round(N_PHOTO * BOX.volume), 3))
    wrong = PhotozError(30.0, 0.02)
    surveys = Surveys(
        photo=sample, spec=sample[: round(N_SPEC * BOX.volume)], box=BOX, error=wrong,
        num_both=round(N_SPEC * BOX.volume), cosmology=COSMOLOGY, redshift=REDSHIFT,
    )  # fmt: skip
    fitted = fit_linear_model(
        spec=as_field(fields["s"]),
        photo=as_field(fields["p"]),
        surveys=surveys,
        resampler=None,
        fit_sigma=True,
    )
    assert fitted.error.sigma == pytest.approx(ERROR.sigma, rel=0.05)


def test_sigma_is_the_error_of_the_filter(fields):
    model = exact_model()
    result = model.wiener(spec=as_field(fields["s"]), photo=as_field(fields["p"]))
    difference = result.values - as_field(fields["t"]).values
    assert math.sqrt(float(difference.square().mean())) == pytest.approx(model.sigma(BOX), rel=0.01)
