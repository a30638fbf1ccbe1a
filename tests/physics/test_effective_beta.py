"""The effective beta of a fit, and its error, against fields whose anisotropy is known."""

import numpy as np
import pytest
import torch

from truez.cosmology import COSMOLOGIES
from truez.linear.effective import BAND, BandModes, effective_beta
from truez.linear.fit import fit_linear_model
from truez.linear.modes import mesh_modes
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import hermitian_weights, irfft, rfft, wavevectors
from truez.simulate import Universe, gaussian_modes
from truez.surveys.mock import MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.photoz import PhotozError
from truez.surveys.selection import Selection
from truez.surveys.surveys import Surveys

COSMOLOGY, REDSHIFT = COSMOLOGIES["wmap"], 0.59
GROWTH_RATE = COSMOLOGY.growth_rate(REDSHIFT)
BIAS = {"spec": 1.7, "photo": 1.2}
DENSITY = {"spec": 1e-3, "photo": 1.85e-2}


def linear_power(k):
    return COSMOLOGY.linear_power(k, REDSHIFT)


def gaussian_summary(box: Box, seed: int) -> dict[str, float]:
    """Summary of the fit to Gaussian fields with Kaiser distortions and nested shot noise."""
    error = PhotozError(40.0, 0.02)
    kx, ky, kz = wavevectors(box)
    mu2 = kz**2 / (kx**2 + ky**2 + kz**2).clamp(min=1e-12)
    phi = error.characteristic(kz)

    def white(power: float, number: int) -> torch.Tensor:
        return gaussian_modes(box, lambda k: np.full(np.shape(k), power), 10 * seed + number)

    matter = gaussian_modes(box, linear_power, 10 * seed)
    shared = white(1 / DENSITY["photo"], 1)
    photo = matter * (BIAS["photo"] + GROWTH_RATE * mu2) + shared
    modes = {
        "spec": matter * (BIAS["spec"] + GROWTH_RATE * mu2)
        + shared
        + white(1 / DENSITY["spec"] - 1 / DENSITY["photo"], 2),
        "photo": phi * photo + torch.sqrt(1 - phi**2) * white(1 / DENSITY["photo"], 3),
    }
    samples = {
        name: np.broadcast_to(np.zeros(3), (round(density * box.volume), 3))
        for name, density in DENSITY.items()
    }
    surveys = Surveys(
        **samples, box=box, error=error, num_both=len(samples["spec"]),
        cosmology=COSMOLOGY, redshift=REDSHIFT,
    )  # fmt: skip
    fields = {name: Field(irfft(mesh, box.meshsize), box, "delta") for name, mesh in modes.items()}
    return fit_linear_model(
        spec=fields["spec"], photo=fields["photo"], surveys=surveys, resampler=None
    ).summary()


def test_gaussian_fields_have_the_beta_that_they_were_made_with():
    box = Box(500, 48)
    found = [gaussian_summary(box, seed) for seed in range(8)]
    for name, bias in BIAS.items():
        beta, error, expected = (
            np.array([summary[f"beta_{name}_{kind}"] for summary in found])
            for kind in ("effective", "error", "expected")
        )
        true = GROWTH_RATE / bias
        pulls = (beta - true) / error
        # Eight pulls of unit scatter: their mean to 3 standard deviations, their rms in the range
        # of chi squared that holds 99.8%.
        assert abs(pulls.mean()) < 3 / np.sqrt(8)
        assert 0.33 < np.sqrt((pulls**2).mean()) < 1.81
        assert np.abs(pulls).max() < 4
        assert (error < 0.2 * true).all()
        np.testing.assert_allclose(expected, true, rtol=0.1)
        assert expected.mean() == pytest.approx(true, rel=0.03)


def measured_beta(field: Field, shot: float) -> float:
    """Effective beta of a field's own modes in the band."""
    box, modes = field.box, rfft(field.values)
    found = []
    for plane, k, k_par, window, factor in mesh_modes(box, "cic"):
        inside = (k >= BAND[0]) & (k < BAND[1])
        power = (modes[plane].abs().double() ** 2 * box.volume - factor * shot) / window
        weights = hermitian_weights(box.meshsize[2])
        found.append([x.expand(k.shape)[inside] for x in (k, k_par, weights, power)])
    k, k_par, weights, power = (torch.cat(parts) for parts in zip(*found, strict=True))
    shape = torch.from_numpy(linear_power(k.numpy()))
    return float(effective_beta(power, shape, BandModes(k, k_par, weights)))


@pytest.mark.slow
def test_galaxies_of_an_n_body_universe_have_the_beta_that_the_fit_reports():
    pulls = []
    for seed in (1, 2):
        galaxies = Universe(boxsize=256, num_particles=128, seed=seed).make()
        config = MockConfig(
            redshift=REDSHIFT, cosmology=COSMOLOGY, sigma_z=0.02, rank_by="mass",
            spec=Selection(density=DENSITY["spec"]), seed=1,
        )  # fmt: skip
        mock = make_mock(
            galaxies.positions, Box(256, 128), config,
            velocities=galaxies.velocities[:, 2], columns={"mass": galaxies.mass},
        )  # fmt: skip
        truth, photo, spec = mock.fields()
        summary = fit_linear_model(spec=spec, photo=photo, surveys=mock.surveys).summary()
        for name, field in (("spec", spec), ("photo", truth)):
            own = measured_beta(field, 1 / summary[f"n_{name}"])
            pulls.append((summary[f"beta_{name}_effective"] - own) / summary[f"beta_{name}_error"])
    # The field and the fit share the scatter of the modes, which the error includes.
    assert np.abs(pulls).max() < 1.5
