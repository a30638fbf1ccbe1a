"""Derivatives of the spectra of a linear model are those of torch, to the last bit."""

import subprocess
import sys

import pytest
import torch

from truez import Box, Cosmology, PhotozError
from truez.linear.derivatives import Derived
from truez.linear.likelihood import Noise, Problem, Setting
from truez.linear.observed import ObservedSpectra, observe
from truez.mesh.field import Field

BOX = Box(64, cellsize=8)
MATRIX = torch.tensor([[1.0, 2.0, 0.5], [-1.0, 0.3, 4.0]], dtype=torch.float64)
PLACE = torch.tensor([0.3, -0.2, 1.5], dtype=torch.float64)


def by_torch(function, place):
    """The derivatives (p, ...) of a function of p numbers."""
    rows = torch.eye(len(place), dtype=place.dtype)
    return torch.stack([torch.func.jvp(function, (place,), (row,))[1] for row in rows])


def derived(place):
    return Derived(place, torch.eye(len(place), dtype=place.dtype))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.exp(MATRIX @ x),
        lambda x: 2 * x[:2] ** 2 - 0.5,
        lambda x: x[0] * (MATRIX @ x) + MATRIX[:, 0],
        lambda x: (1 + x[1] * MATRIX[:, 1]) / (1 + 0.5 * (MATRIX[:, 2] * x[2]) ** 2),
        lambda x: x[1:] / MATRIX[0, :2] - x[0],
        lambda x: MATRIX[0] * x.mean() + x[torch.tensor([True, False, True])].mean(),
    ],
)
def test_each_rule_is_that_of_torch(function):
    found = function(derived(PLACE))
    torch.testing.assert_close(found.value, function(PLACE), rtol=0, atol=0)
    torch.testing.assert_close(found.by, by_torch(function, PLACE), rtol=1e-15, atol=1e-15)


def test_a_function_without_a_rule_is_an_error():
    for function in (torch.sin, torch.cumsum):
        with pytest.raises(TypeError):
            function(derived(PLACE), 0) if function is torch.cumsum else function(derived(PLACE))


def problem(*, redshift_space=True, per_bin=False, **settings):
    generator = torch.Generator().manual_seed(1)
    spec, photo = (
        Field(torch.randn(BOX.meshsize, generator=generator), BOX, "delta") for _ in range(2)
    )
    data: ObservedSpectra = observe(spec, photo)
    one = torch.linspace(1, 1.2, len(data.k), dtype=torch.float64) if per_bin else 1.0
    noise = Noise(1e-3 * one, 1e-2 * one, 5e-4 * one, 100.0 * one, one)
    setting = Setting(PhotozError(10.0), Cosmology.of("planck18"), 0.6, redshift_space)
    return Problem(data, setting, noise, "cic", **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"fit_sigma": True},
        {"fog_photo": 2.0},
        {"redshift_space": False},
        {"per_bin": True},
        {"use_photo": False},
    ],
)
def test_spectra_have_the_derivatives_of_torch(settings):
    found = problem(**settings)
    spectra = found.spectra(derived(found.start))
    mine = [getattr(spectra, name) for name in ("ss", "sp", "pp")]

    def stacked(theta):
        theirs = found.spectra(theta)
        return torch.stack([theirs.ss, theirs.sp, theirs.pp])

    assert torch.equal(torch.stack([one.value for one in mine]), stacked(found.start))
    by = by_torch(stacked, found.start)
    scale = by.abs().max()
    found_by = torch.stack([one.by for one in mine], 1)
    torch.testing.assert_close(found_by / scale, by / scale, rtol=1e-14, atol=1e-15)


@pytest.mark.medium
def test_a_filter_needs_no_compiler():
    code = (
        "import sys, numpy as np, truez; rng = np.random.default_rng(1); "
        "places = rng.uniform(0, 64, (2000, 3)); "
        "surveys = truez.Surveys.from_catalogs(spec=places[:500], photo=places, "
        "box=truez.Box(64, cellsize=8), redshift=0.6, sigma_z=0.001, overlap='nested'); "
        "truez.reconstruct(surveys, 'wiener'); print('torch._dynamo' in sys.modules)"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "False"
