"""The effective beta of a spectrum, and what a model says of its own anisotropy."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from truez.cosmology import COSMOLOGIES
from truez.linear.effective import Anisotropy, band_modes, effective_beta, kaiser_bias
from truez.linear.fit import fit_linear_model
from truez.mesh.box import Box
from truez.simulate import lognormal_galaxies
from truez.surveys.mock import Mock, MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.selection import Selection

COSMOLOGY = COSMOLOGIES["wmap"]
NAMES = [
    f"{name}_{survey}{kind}"
    for survey in ("spec", "photo")
    for name, kind in (("beta", "_effective"), ("beta", "_error"), ("beta", "_expected"),
                       ("bias", ""))
]  # fmt: skip


def linear(modes):
    return torch.from_numpy(COSMOLOGY.linear_power(modes.k.numpy(), 0.59))


def test_the_band_holds_every_mode_of_the_box_once():
    box = Box((256, 300, 500), (32, 33, 64))
    modes = band_modes(box)
    kx, ky, kz = (
        2 * np.pi * np.fft.fftfreq(n, size / n)
        for n, size in zip(box.meshsize, box.boxsize, strict=True)
    )
    k = np.sqrt(kx[:, None, None] ** 2 + ky[:, None] ** 2 + kz**2)
    assert modes.number.sum() == np.count_nonzero((k >= 0.05) & (k < 0.1))
    assert len(band_modes(Box(60, 8)).k) == 0


@pytest.mark.parametrize("sides", [(128, 128, 128), (192, 192, 384), (600, 500, 300)])
@pytest.mark.parametrize("beta", [0.0, 0.4, 1.1])
def test_a_kaiser_spectrum_has_its_own_beta_and_bias_in_any_box(sides, beta):
    modes = band_modes(Box.from_cellsize(sides, 8.0))
    mu2, bias = (modes.k_par / modes.k) ** 2, 1.7
    power = linear(modes) * bias**2 * (1 + beta * mu2) ** 2
    assert float(effective_beta(power, linear(modes), modes)) == pytest.approx(beta, abs=1e-12)
    assert kaiser_bias(power, linear(modes), beta * bias, modes) == pytest.approx(bias)


def test_where_modes_are_many_it_is_the_kaiser_relation():
    modes = band_modes(Box.from_cellsize(1600, 20.0))
    mu2 = (modes.k_par / modes.k) ** 2
    power = linear(modes) * (1 + 0.5 * mu2) ** 2 / (1 + 0.5 * (3 * modes.k_par) ** 2) ** 2
    beta = float(effective_beta(power, linear(modes), modes))
    weighted = modes.number * power
    ratio = float(5 * (weighted * (1.5 * mu2 - 0.5)).sum() / weighted.sum())
    relation = (4 / 3 * beta + 4 / 7 * beta**2) / (1 + 2 / 3 * beta + beta**2 / 5)
    assert ratio == pytest.approx(relation, rel=2e-3)
    # A finger of God of 3 Mpc/h takes some of it away.
    assert 0.35 < beta < 0.5


def survey(*, redshift_space: bool = True, side: float = 256.0) -> Mock:
    box = Box.from_cellsize(side, 8.0 if side > 100 else 4.0)
    galaxies = lognormal_galaxies(box, COSMOLOGY, redshift=0.59, density=1e-2, bias=1.2, seed=6)
    config = MockConfig(
        redshift=0.59, cosmology=COSMOLOGY, sigma_z=0.01, rank_by="mass",
        spec=Selection(density=2e-3), redshift_space=redshift_space, seed=1,
    )  # fmt: skip
    return make_mock(
        galaxies.positions, box, config,
        velocities=galaxies.velocities[:, 2], columns={"mass": galaxies.mass},
    )  # fmt: skip


def fitted(mock: Mock):
    _, photo, spec = mock.fields()
    return fit_linear_model(spec=spec, photo=photo, surveys=mock.surveys)


def test_the_summary_of_a_fit_has_the_anisotropy_of_its_spectra():
    mock = survey()
    model = fitted(mock)
    modes = band_modes(mock.box)
    clean = dataclasses.replace(model, n_spec=math.inf, n_photo=math.inf)
    spectra = clean.spectra(modes.k, modes.k_par)
    summary = model.summary()
    growth_rate = COSMOLOGY.growth_rate(0.59)
    for name, power, found in (
        ("spec", spectra.ss, model.effective_spec),
        ("photo", spectra.tt, model.effective_photo),
    ):
        table = torch.tensor(getattr(model, f"log_{name}"))
        shape = np.exp(np.interp(np.log(modes.k.numpy()), model.log_k, table))
        beta = effective_beta(power, torch.from_numpy(shape), modes)
        assert Anisotropy(*found).beta == pytest.approx(float(beta), rel=1e-6)
        assert summary[f"beta_{name}_effective"] == found[0]
        assert 0.02 < summary[f"beta_{name}_error"] < 0.4
        bias = summary[f"bias_{name}"]
        assert bias == pytest.approx(
            kaiser_bias(power, linear(modes), growth_rate, modes), rel=1e-4
        )
        assert summary[f"beta_{name}_expected"] == pytest.approx(growth_rate / bias, rel=1e-4)
    assert all(isinstance(value, float) for value in summary.values())


def test_real_space_has_no_anisotropy():
    summary = fitted(survey(redshift_space=False)).summary()
    for name in ("spec", "photo"):
        for kind in ("effective", "error", "expected"):
            assert summary[f"beta_{name}_{kind}"] == 0
    assert summary["bias_spec"] > summary["bias_photo"] > 1


def test_a_box_without_such_modes_says_nothing_of_them():
    model = fitted(survey(side=60.0))
    assert model.effective_spec == model.effective_photo == ()
    summary = model.summary()
    assert summary["beta_spec"] > 0
    assert all(math.isnan(summary[name]) for name in NAMES)
