"""The equations of the linear optimum, and the model that carries them."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from truez.linear import likelihood
from truez.linear.filter import wiener_parts, wiener_unknown
from truez.linear.model import LinearModel
from truez.linear.modes import folded, mesh_modes, octant_weights
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import hermitian_weights, irfft, rfft
from truez.surveys.photoz import PhotozError


def model(**changes) -> LinearModel:
    k = np.geomspace(1e-3, 10, 200)
    power = 2e4 * (k / 0.02) / (1 + (k / 0.02) ** 2.5)
    settings = {
        "n_spec": 1e-3,
        "n_photo": 1.85e-2,
        "n_both": 1e-3,
        "error": PhotozError(70.9),
        "beta_spec": 0.4,
        "beta_photo": 0.6,
        "fog_spec": 3.0,
        "fog_photo": 3.0,
    }
    return LinearModel.from_spectra(
        k, 1.7**2 * power, 1.7 * 1.15 * power, 1.15**2 * power, **{**settings, **changes}
    )


K = torch.tensor([0.01, 0.05, 0.2, 0.8], dtype=torch.float64)


def test_exact_photo_redshifts_are_the_truth():
    exact = model(error=PhotozError(0.0))
    spectra = exact.spectra(K, 0.3 * K)
    w_s, w_p = spectra.weights()
    torch.testing.assert_close(w_s, torch.zeros_like(w_s), atol=1e-10, rtol=0)
    torch.testing.assert_close(w_p, torch.ones_like(w_p))
    np.testing.assert_allclose(exact.r_opt(K, 0.3), 1)


def test_hopeless_photo_redshifts_leave_the_spec_filter():
    blind = model(error=PhotozError(1e4))
    np.testing.assert_allclose(blind.r_opt(K, 0.9), blind.r_opt(K, 0.9, use="spec"), rtol=1e-12)
    spectra = blind.spectra(K, 0.9 * K)
    torch.testing.assert_close(spectra.weights()[0], spectra.weights("spec")[0])


def test_across_the_sight_line_photo_z_cost_nothing():
    np.testing.assert_allclose(model().r_opt(K, 0.0), 1)
    np.testing.assert_allclose(model().r_opt(K, 0.0, use="photo"), 1)


def test_both_surveys_are_never_worse_than_one():
    k, mu = np.meshgrid(np.geomspace(0.005, 2, 30), np.linspace(0, 1, 20))
    both = model().r_opt(k, mu)
    for use in ("spec", "photo"):
        assert (both >= model().r_opt(k, mu, use=use) - 1e-12).all()
    assert (both <= 1).all()


def test_weights_solve_the_normal_equations():
    spectra = model().spectra(K, 0.4 * K)
    w_s, w_p = spectra.weights()
    torch.testing.assert_close(w_s * spectra.ss + w_p * spectra.sp, spectra.ts)
    torch.testing.assert_close(w_s * spectra.sp + w_p * spectra.pp, spectra.tp)
    printed = (
        spectra.ts**2 * spectra.pp
        + spectra.tp**2 * spectra.ss
        - 2 * spectra.ts * spectra.tp * spectra.sp
    ) / (spectra.tt * spectra.determinant)
    torch.testing.assert_close(spectra.coherence(), printed)


def test_shells_average_what_is_lost():
    box = Box(200, 16)
    edges = np.linspace(0, 0.3, 7)
    lost = np.zeros(6)
    total = np.zeros(6)
    for _, k, k_par, window, shot in mesh_modes(box, "cic"):
        spectra = model().spectra(k, k_par, window, shot)
        weights = np.full(k.shape, 2.0)
        weights[..., 0] = weights[..., -1] = 1
        power = spectra.tt.numpy() * weights
        bins = [(k.numpy() >= lo) & (k.numpy() < hi) & (k.numpy() > 0)
                for lo, hi in itertools.pairwise(edges)]  # fmt: skip
        lost += [(power * (1 - spectra.coherence().numpy()))[b].sum() for b in bins]
        total += [power[b].sum() for b in bins]
    with np.errstate(invalid="ignore"):
        expected = np.sqrt(1 - lost / total)
    np.testing.assert_allclose(model().r_opt_shells(edges, box), expected)


def test_slabs_of_modes_cover_the_mesh_once():
    box = Box((100, 120, 90), (12, 10, 9))
    slabs = list(mesh_modes(box, "tsc", modes_per_slab=100))
    assert len(slabs) > 1
    k = torch.cat([slab[1] for slab in slabs])
    assert k.shape == (12, 10, 5)
    whole = next(mesh_modes(box, "tsc"))
    torch.testing.assert_close(k, whole[1])
    torch.testing.assert_close(torch.cat([slab[3] for slab in slabs]), whole[3])


@pytest.mark.parametrize("meshsize", [(12, 10, 9), (7, 8, 10), (1, 2, 3)])
def test_an_octant_has_the_values_of_the_whole_mesh(meshsize):
    box = Box((100, 120, 90), meshsize)
    _, k, k_par, window, shot = next(mesh_modes(box, "tsc"))
    plane, *octant = next(mesh_modes(box, "tsc", octant=True))
    rows, columns = folded(meshsize[0]), folded(meshsize[1])
    for whole, part in zip((k, k_par, window, shot), octant, strict=True):
        part = part.expand(len(rows.unique()), len(columns.unique()), k.shape[2])
        unfolded = part[rows][:, columns]
        torch.testing.assert_close(unfolded, whole.expand(k.shape), rtol=0, atol=0)
    weights = octant_weights(box, plane)
    assert weights.sum() == box.num_cells
    assert (weights * octant[0] ** 2).sum() == pytest.approx(
        float((hermitian_weights(meshsize[2]) * k**2).sum())
    )


@pytest.mark.parametrize("resampler", ["ngp", "cic", "tsc"])
def test_shot_factor_is_the_aliased_window(resampler):
    box = Box(10, 8)
    _, _, _, _, shot = next(mesh_modes(box, resampler))
    order = {"ngp": 1, "cic": 2, "tsc": 3}[resampler]
    k = 2 * np.pi * np.fft.fftfreq(8, 10 / 8)
    images = k[:, None] + 2 * np.pi / (10 / 8) * np.arange(-400, 401)
    one = (np.sinc(images * 10 / 8 / (2 * np.pi)) ** (2 * order)).sum(axis=1)
    expected = one[:, None, None] * one[None, :, None] * one[None, None, :5]
    np.testing.assert_allclose(np.broadcast_to(shot, expected.shape), expected, rtol=1e-2)


def test_filter_leaves_its_input_and_has_no_mean():
    box = Box(100, 16)
    generator = torch.Generator().manual_seed(1)
    spec = Field(torch.randn(box.meshsize, generator=generator), box, "delta")
    photo = Field(torch.randn(box.meshsize, generator=generator), box, "delta")
    before = spec.values.clone(), photo.values.clone()
    for use in ("both", "spec", "photo"):
        result = model().wiener(spec=spec, photo=photo, use=use)
        assert abs(float(result.values.mean())) < 1e-6
    torch.testing.assert_close(spec.values, before[0], rtol=0, atol=0)
    torch.testing.assert_close(photo.values, before[1], rtol=0, atol=0)


@pytest.mark.parametrize("periodic", [True, False])
def test_the_filter_multiplies_every_mode_with_its_weights(periodic):
    box = Box((100, 120, 90), (10, 15, 12), periodic=periodic)
    generator = torch.Generator().manual_seed(1)
    spec, photo = (
        Field(torch.randn(box.meshsize, generator=generator), box, "delta") for _ in range(2)
    )
    padded = model().padded(box)
    room = [(0, n - m) for n, m in zip(padded.meshsize, box.meshsize, strict=True)]
    one, two = (rfft(torch.from_numpy(np.pad(f.numpy(), room))) for f in (spec, photo))
    _, k, k_par, window, shot = next(mesh_modes(padded, "cic"))
    spectra = model().spectra(k, k_par, window, shot)
    nx, ny, nz = box.meshsize
    found = {}
    for use in ("both", "spec", "photo"):
        w_s, w_p = (torch.where(k > 0, w, 0.0) for w in spectra.weights(use))
        expected = irfft((w_s * one + w_p * two).to(torch.complex64), padded.meshsize)
        found[use] = model().wiener(spec=spec, photo=photo, use=use).values
        torch.testing.assert_close(found[use], expected[:nx, :ny, :nz], rtol=0, atol=2e-6)
    part_spec, part_photo, alone = wiener_parts(model(), spec, photo)
    torch.testing.assert_close(part_spec + part_photo, found["both"], rtol=0, atol=2e-6)
    torch.testing.assert_close(alone, found["spec"], rtol=0, atol=0)


@pytest.mark.parametrize("periodic", [True, False])
def test_galaxies_with_spectra_are_left_out_of_the_others(periodic):
    box = Box((64, 64, 96), (16, 16, 24), periodic=periodic)
    torch.manual_seed(1)
    spec = Field(torch.randn(box.meshsize), box, "delta")
    whole = model().wiener(spec=spec, photo=spec, use="spec").values
    torch.testing.assert_close(wiener_unknown(model(), spec, share=0.0), whole, rtol=0, atol=1e-6)
    found = wiener_unknown(model(), spec, share=0.3)
    wanted = (whole - 0.3 * spec.values) / 0.7
    # The mean of a closed box with room behind its faces is 0, as that of the filter is.
    atol = 1e-5 if periodic else 0.02
    torch.testing.assert_close(found - found.mean(), wanted - wanted.mean(), rtol=0, atol=atol)
    # All galaxies have a spectrum: nothing is moved, and nothing is infinite.
    assert bool(torch.isfinite(wiener_unknown(model(), spec, share=1.0)).all())
    with pytest.raises(ValueError, match=r"share must be from 0 to 1, not 1\.5"):
        wiener_unknown(model(), spec, share=1.5)


def test_no_shot_noise_is_common_to_spectra_and_the_galaxies_without():
    """Where nothing clusters, w_s is f, and the others are expected everywhere alike."""
    box = Box((64, 64, 96), (16, 16, 24))
    torch.manual_seed(1)
    spec = Field(torch.randn(box.meshsize), box, "delta")
    k = np.geomspace(1e-3, 10, 50)
    nothing = np.full(50, 1e-6)
    noise = LinearModel.from_spectra(
        k, nothing, nothing, nothing, n_spec=1e-3, n_photo=1e-2, n_both=5e-4, error=PhotozError(70)
    )
    assert float(wiener_unknown(noise, spec, share=0.05).abs().max()) < 1e-6
    assert float(wiener_unknown(noise, spec, share=0.0).abs().max()) > 0.1


def test_closed_faces_do_not_see_each_other():
    box = Box((80, 80, 300), (20, 20, 75), periodic=False)
    values = torch.zeros(box.meshsize)
    values[:, :, 0] = 1.0
    zero = Field(torch.zeros(box.meshsize), box, "delta")
    closed = model().wiener(spec=Field(values, box, "delta"), photo=zero, use="spec").values
    assert closed[:, :, -1].abs().max() < 0.02 * closed[:, :, 0].abs().max()
    joined_box = Box((80, 80, 300), (20, 20, 75))
    joined = (
        model()
        .wiener(
            spec=Field(values, joined_box, "delta"),
            photo=dataclasses.replace(zero, box=joined_box),
            use="spec",
        )
        .values
    )
    assert joined[:, :, -1].abs().max() > 0.1 * joined[:, :, 0].abs().max()


def test_bad_fields():
    box = Box(10, 4)
    delta = Field(torch.zeros(box.meshsize), box, "delta")
    counts = Field(torch.ones(box.meshsize), box, "counts")
    with pytest.raises(ValueError, match="the spec field must be an overdensity, not counts"):
        model().wiener(spec=counts, photo=delta)
    other = Field(torch.zeros(5, 5, 5), Box(10, 5), "delta")
    with pytest.raises(ValueError, match="spec and photo are on different boxes"):
        model().wiener(spec=delta, photo=other)
    with pytest.raises(ValueError, match="use must be one of both, spec, photo, not 'all'"):
        model().wiener(spec=delta, photo=delta, use="all")


class Walled:
    """A likelihood whose maximum lies where no positive spectra are."""

    def __init__(self, start):
        self.start = torch.tensor([start, 0.0], dtype=torch.float64)
        self.curvature = torch.tensor([[1e6, 3e5], [3e5, 1e6]], dtype=torch.float64)
        self.steps = 0

    def free(self):
        return torch.ones(2, dtype=torch.bool)

    def objective(self, theta):
        if bool(theta.detach()[0] > 1):
            return torch.full((), math.inf, dtype=torch.float64)
        away = theta - torch.tensor([1.0001, 0.7], dtype=torch.float64)
        return 5e7 + 0.5 * away @ self.curvature @ away

    def fisher(self, theta):
        self.steps += 1
        return self.curvature


def test_a_fit_ends_at_the_edge_of_what_is_positive():
    problem = Walled(0.2)
    theta, fisher = likelihood.fisher_scoring(problem)
    torch.testing.assert_close(fisher, problem.curvature)
    assert 0.9999 < float(theta[0]) <= 1
    assert float(theta[1]) == pytest.approx(0.7, abs=0.02)
    # Steps that gain less than rounding must not use up those that are allowed.
    assert problem.steps < 30
    with pytest.raises(likelihood.NoFitError):
        likelihood.fisher_scoring(Walled(2.0))
