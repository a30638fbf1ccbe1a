"""The linear model from FKP-weighted spectra of uneven surveys."""

import numpy as np
import pytest
import torch

from truez.cosmology import Cosmology
from truez.linear.fit import fit_linear_model
from truez.linear.uneven_fit import fit_uneven_model, observe_uneven
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import wavevectors
from truez.mesh.painting import paint
from truez.sightlines.kernel import Kernel
from truez.surveys.photoz import PhotozError
from truez.surveys.surveys import Surveys

PLANCK = Cosmology.of("planck18")
REDSHIFT = 0.5
BOX = Box((256, 256, 384), cellsize=4)


def gaussian_cells(box: Box, bias: float, beta: float, seed: int) -> torch.Tensor:
    """Overdensity of cells with the power (bias (1 + beta mu^2))^2 P_lin."""
    generator = torch.Generator().manual_seed(seed)
    modes = torch.fft.rfftn(torch.randn(box.meshsize, generator=generator, dtype=torch.float64))
    waves = wavevectors(box, dtype=torch.float64)
    k = torch.sqrt(sum(wave**2 for wave in waves))
    amplitude = torch.ones_like(k)
    for wave, cell in zip(waves, box.cellsize, strict=True):
        amplitude = amplitude * torch.sinc(wave * cell / (2 * np.pi))
    table = np.geomspace(0.005, 3, 300)
    linear = np.interp(np.log(k.clamp(min=1e-9).numpy()), np.log(table),
                       PLANCK.linear_power(table, REDSHIFT))  # fmt: skip
    mu2 = (waves[2] / k.clamp(min=1e-9)) ** 2
    amplitude = amplitude * bias * (1 + beta * mu2) * torch.from_numpy(np.sqrt(linear))
    modes *= torch.where(k > 0, amplitude, 0.0) * (box.num_cells / box.volume) ** 0.5
    return torch.fft.irfftn(modes, s=box.meshsize)


def masked(box: Box, level: float, seed: int = 0) -> torch.Tensor:
    """Expected counts that fall by 20 along the line of sight, with holes of 7%."""
    rng = np.random.default_rng(seed)
    nx, ny, nz = box.meshsize
    holes = rng.random((nx // 4, ny // 4)) < 0.07
    mask = torch.from_numpy(~holes.repeat(4, 0).repeat(4, 1))[..., None]
    return level * torch.exp(-torch.linspace(0, np.log(20), nz, dtype=torch.float64)) * mask


def drawn(mean: torch.Tensor, box: Box, seed: int) -> Field:
    generator = torch.Generator().manual_seed(seed)
    return Field(torch.poisson(mean.clamp(min=0), generator=generator).float(), box, "counts")


def fitted(patches, **changes):
    settings = {"error": PhotozError(30.0), "cosmology": PLANCK, "redshift": REDSHIFT,
                "resampler": "ngp"}  # fmt: skip
    return fit_uneven_model(patches, **{**settings, **changes})


def power(model, k: float, mu: float = 0.0):
    wave = torch.tensor([k], dtype=torch.float64)
    return [float(p) for p in model.powers(wave, mu * wave)]


def test_even_surveys_have_the_fit_of_even_surveys():
    rng = np.random.default_rng(1)
    box = Box((128, 128, 192), cellsize=4)
    centers = rng.random((400, 3)) * box.boxsize
    true = np.mod(centers[rng.integers(0, 400, 30000)] + rng.normal(0, 3, (30000, 3)), box.boxsize)
    error = PhotozError(12.0)
    seen = true.copy()
    seen[:, 2] = error.scatter(true[:, 2], box, rng)
    surveys = Surveys(photo=seen, spec=true[:4000], box=box, num_both=2000, error=error,
                      cosmology=PLANCK, redshift=REDSHIFT)  # fmt: skip
    even = fit_linear_model(spec=surveys.spec_field(), photo=surveys.photo_field(), surveys=surveys)
    patch = observe_uneven(
        spec=paint(surveys.spec, box, "cic"), photo=paint(surveys.photo, box, "cic"),
        spec_expected=torch.full((1, 1, 1), 4000 / box.num_cells),
        photo_expected=torch.full((1, 1, 1), 30000 / box.num_cells), common=0.5,
    )  # fmt: skip
    model = fitted([patch], error=error, resampler="cic")
    for name in ("n_spec", "n_photo", "n_both", "photo_noise"):
        assert getattr(model, name) == pytest.approx(getattr(even, name), rel=1e-5)
    for name in ("log_spec", "log_cross", "log_photo", "log_anisotropy"):
        np.testing.assert_allclose(getattr(model, name), getattr(even, name), atol=1e-3)
    assert model.beta_spec == pytest.approx(even.beta_spec, rel=1e-3)


def test_the_spectrum_of_an_uneven_survey_is_that_of_its_galaxies():
    bias, beta = 0.25, 0.5
    patches = []
    for seed in (1, 2):
        delta = gaussian_cells(BOX, bias, beta, seed)
        expected = masked(BOX, 20.0, seed)
        counts = drawn(expected * (1 + delta), BOX, seed + 10)
        patches.append(observe_uneven(spec=counts, spec_expected=expected, resampler="ngp"))
    # Where n P is large, the survey fills the box but its holes, and its noise is the mean one.
    share = float(patches[0].observed.num_modes.sum()) / (BOX.num_cells - 1)
    assert 0.7 < share < 0.96
    assert 64 / 20 * patches[0].noise.n_spec == pytest.approx(np.log(20) / 19, rel=0.1)
    model = fitted(patches)
    for k in (0.1, 0.2, 0.4):
        truth = bias**2 * float(PLANCK.linear_power([k], REDSHIFT)[0])
        for mu in (0.0, 0.9):
            spec, cross, photo = power(model, k, mu)
            assert spec == pytest.approx(truth * (1 + beta * mu**2) ** 2, rel=0.15)
            assert cross == pytest.approx(spec, rel=1e-4)
            assert photo == pytest.approx(spec, rel=1e-4)
    found, error = model.effective_spec[:2]
    assert found == pytest.approx(beta, abs=3 * error)
    # A single patch knows less.
    assert fitted(patches[:1]).effective_spec[1] > 1.2 * error


def test_both_surveys_have_the_biases_of_their_galaxies():
    matter = gaussian_cells(BOX, 1.0, 0.0, 6)
    error = PhotozError(25.0)
    kernel = Kernel.of(error, BOX).matrix.double()
    n_spec = masked(BOX, 2.0, 4)
    n_photo = 20 * masked(BOX, 1.0, 5).flip(2) ** 0.3
    spec = drawn(n_spec * (1 + 0.3 * matter), BOX, 11)
    photo = drawn((n_photo * (1 + 0.2 * matter)) @ kernel.T, BOX, 66)
    patch = observe_uneven(
        spec=spec, spec_expected=n_spec, photo=photo, photo_expected=n_photo @ kernel.T,
        common=0.0, resampler="ngp",
    )  # fmt: skip
    assert 0.3 < patch.noise.overlap < 0.97
    model = fitted([patch], error=error, redshift_space=False)
    for k in (0.05, 0.1):
        spec_power, cross, photo_power = power(model, k)
        assert cross / spec_power == pytest.approx(0.2 / 0.3, rel=0.1)
        assert photo_power / cross == pytest.approx(0.2 / 0.3, rel=0.1)
    freed = fitted([patch], error=PhotozError(20.0), redshift_space=False, fit_sigma=True)
    assert freed.error.sigma == pytest.approx(25.0, rel=0.1)


def test_bad_spectra():
    box = Box(40, 8)
    good, even = Field(torch.ones(8, 8, 8), box, "counts"), torch.ones(1, 1, 1)
    for message, arguments in {
        "photo and photo_expected belong together": {"photo": good},
        "common must be a share from 0 to 1, not -1": {"common": -1},
        "fkp_power must be a power >= 0 .*, not -5": {"fkp_power": -5},
        "the spec field must hold counts, not delta": {"spec": Field(torch.ones(8, 8, 8), box)},
        "the expected counts of spec have the shape \\(7,\\)": {"spec_expected": torch.ones(7)},
        "the expected counts of spec must be finite, .* there is 0": {"spec_expected": 0 * even},
        "the expected counts of spec must be finite, .* there is -1": {"spec_expected": -even},
        "spec and photo are on different boxes": {
            "photo": Field(torch.ones(8, 8, 8), Box(80, 8), "counts"),
            "photo_expected": even,
        },
        "spec and photo are expected in no common cell": {
            "spec_expected": torch.arange(8.0).clamp(max=4, min=3) - 3,
            "photo": good,
            "photo_expected": 4 - torch.arange(8.0).clamp(max=4, min=3),
        },
    }.items():
        with pytest.raises(ValueError, match=message):
            observe_uneven(**{"spec": good, "spec_expected": even, **arguments})
    alone = observe_uneven(spec=good, spec_expected=even)
    both = observe_uneven(spec=good, spec_expected=even, photo=good, photo_expected=even)
    with pytest.raises(ValueError, match="patches must hold the spectra of at least one patch"):
        fitted([])
    with pytest.raises(ValueError, match="some patches have a photometric field and some"):
        fitted([alone, both])
    with pytest.raises(ValueError, match="fit_sigma needs the photometric spectra"):
        fitted([alone], fit_sigma=True)


def test_a_fit_in_pieces_is_the_fit_as_a_whole(monkeypatch):
    box = Box((96, 96, 128), cellsize=4)
    expected = masked(box, 0.3)
    delta = gaussian_cells(box, 1.5, 0.3, 1)
    patch = observe_uneven(
        spec=drawn(expected * (1 + delta), box, 2), spec_expected=expected, resampler="ngp"
    )
    whole = fitted([patch, patch])
    monkeypatch.setattr("truez.linear.likelihood._AT_A_TIME", 3000)
    pieces = fitted([patch, patch])
    assert power(pieces, 0.1, 0.5) == pytest.approx(power(whole, 0.1, 0.5), rel=1e-9)
    assert pieces.fog_spec == pytest.approx(whole.fog_spec, rel=1e-9)
