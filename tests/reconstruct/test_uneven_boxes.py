"""Uneven surveys in a box: expected counts that fall by 20, holes, and errors of each galaxy."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.reconstruct.uneven_box import CELL, COSMOLOGY, uneven_surveys, visibility

import truez
from truez.linear.model import LinearModel
from truez.linear.signal import SignalMesh
from truez.linear.uneven_box import filter_spec
from truez.mesh.field import slab_limit
from truez.sightlines.intensity import Intensity
from truez.sightlines.posteriors import walk
from truez.surveys.surveys import Surveys


def deviation(found, truth, resampler="cic"):
    """MSE over variance of the field where galaxies are expected, smoothed with 8 Mpc/h."""
    box = truth.surveys.box
    true = truez.paint(truth.positions, box, resampler).to_delta(truth.surveys.true_expected())
    seen = visibility(box) > 0
    one, other = (field.smooth(8).values.numpy()[seen] for field in (found.delta, true))
    return ((one - other) ** 2).mean() / other.var()


def judged(found, truth):
    """ln p of the true cells of the galaxies without a spectrum, and their PIT."""
    surveys = found.surveys
    rows = np.flatnonzero(surveys.photo_only())
    log_p, pit = [], []
    for some in walk(surveys, Intensity.of(found, surveys.box), lambda *_: None, rows):
        place = torch.from_numpy(truth.positions[rows[some.rows], 2] / CELL).float()
        if surveys.box.periodic:
            place = some.start + torch.remainder(place - some.start, surveys.box.meshsize[2])
        cell = (place - some.start).long().clamp(0, some.probability.shape[1] - 1)
        log_p.append(some.probability.gather(1, cell[:, None])[:, 0].log())
        pit.append(some.below(place)[0])
    return torch.cat(log_p).numpy(), torch.cat(pit).numpy()


def calibrated(pit, within=1.2):
    """Whether tenths of the PIT hold 10% to ``within`` %, and intervals of 68% as many."""
    tenths = 100 * np.histogram(pit, 10, (0, 1))[0] / len(pit)
    inside = 100 * np.mean(np.abs(pit - 0.5) < 0.34)
    return np.abs(tenths - 10).max() < within and abs(inside - 68) < 2.0


# --- even surveys


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("method", ["redistribution", "wiener"])
def test_constant_expected_counts_give_what_even_surveys_give_to_the_bit(method, periodic):
    truth = uneven_surveys(periodic=periodic, fall=1.0, density=0.003)
    level = truez.Field(torch.full(truth.surveys.box.meshsize, 7.0), truth.surveys.box, "counts")
    even, constant = (
        replace(
            truth.surveys, expected_spec=field, expected_photo=field, photo_sigma=sigma,
            photo_weights=weights,
        )
        for field, sigma, weights in (
            (None, None, None),
            (level, np.full(len(truth.positions), 12.0), np.ones(len(truth.positions))),
        )
    )  # fmt: skip
    assert constant.even
    one, other = (truez.reconstruct(some, method) for some in (even, constant))
    assert torch.equal(one.delta.values, other.delta.values)
    if one.intensity is not None:
        ours, theirs = one.redshifts(), other.redshifts()
        for name in ours.columns:
            np.testing.assert_array_equal(ours[name], theirs[name])


# --- fields


def gaussian_box(seed):
    """A Gaussian field, its covariance, and surveys whose density falls by 20, with holes."""
    box = truez.Box((80, 80, 160), cellsize=8)
    scale = np.geomspace(1e-3, 5, 200)
    curve = 3e3 / (1 + (scale / 0.1) ** 4)
    model = LinearModel.from_spectra(
        scale, curve, curve, curve, n_spec=1.0, n_photo=1.0, n_both=1.0,
        error=truez.PhotozError(10.0), resampler="ngp",
    )  # fmt: skip
    # S of the filter itself on a mesh: the modes of a single cell.
    one = SignalMesh(box, torch.zeros(1))
    signal, mesh = one.signal(model, "ngp"), one.room()
    mesh[0, 0, 0] = 1.0
    one.multiply_(mesh, signal.spec)
    covariance = mesh.double()
    power = torch.fft.rfftn(covariance).real.clamp(min=0)
    rng = np.random.default_rng(seed)
    noise = torch.fft.rfftn(torch.from_numpy(rng.standard_normal(box.meshsize)))
    delta = torch.fft.irfftn(noise * power.sqrt(), s=box.meshsize)
    share = torch.from_numpy(np.exp(-3.0 * np.arange(20) / 20)).expand(box.meshsize).clone()
    share[3:6, 4:8] = 0
    counts = rng.poisson((4 * share * (1 + delta).clamp(min=0)).numpy())
    cells = np.repeat(np.argwhere(counts >= 0), counts.ravel(), axis=0)
    places = (cells + rng.random(cells.shape)) * 8
    field = truez.Field(share.float(), box, "counts")
    surveys = Surveys(
        photo=places, spec=places, box=box, error=truez.PhotozError(10.0), num_both=len(places),
        cosmology=COSMOLOGY, redshift=0.5, expected_spec=field, expected_photo=field,
    )  # fmt: skip
    return delta, covariance, model, surveys


def test_the_filter_of_a_box_is_the_optimum_of_a_gaussian_field():
    errors = {"optimum": [], "exact": [], "local": [], "even": []}
    for seed in range(2):
        delta, covariance, model, surveys = gaussian_box(seed)
        box, expected = surveys.box, surveys.spec_expected().values.double()
        counts = surveys.spec_counts().values.double()
        # (S^-1 + n) delta = c - n, with S as a dense matrix.
        axes = [torch.arange(n)[:, None] - torch.arange(n) for n in box.meshsize]
        x, y, z = (axis % n for axis, n in zip(axes, box.meshsize, strict=True))
        dense = covariance[
            x[:, None, None, :, None, None], y[None, :, None, None, :, None],
            z[None, None, :, None, None, :],
        ].reshape(box.num_cells, -1)  # fmt: skip
        matrix = torch.eye(box.num_cells, dtype=torch.float64) + expected.reshape(-1, 1) * dense
        left = torch.linalg.solve(matrix, (counts - expected).flatten())
        optimum = (dense @ left).reshape(box.meshsize)
        exact, local = (
            filter_spec(model, surveys, name=name).spec.double() for name in ("exact", "local")
        )
        assert float((exact - optimum).norm() / optimum.norm()) < 0.01
        level = replace(surveys, expected_spec=None, expected_photo=None)
        fields = {
            "optimum": optimum, "exact": exact, "local": local,
            "even": filter_spec(model, level).spec.double(),
        }  # fmt: skip
        for name, field in fields.items():
            errors[name].append(float(((field - delta) ** 2).mean()))
    optimum, exact, local, even = (np.mean(errors[name]) for name in errors)
    assert exact == pytest.approx(optimum, rel=1e-3)
    assert optimum < local < 1.1 * optimum
    assert even > 2 * optimum


@pytest.mark.parametrize(
    ("periodic", "own", "matched"),
    [(True, False, True), (False, True, True), (False, False, False)],
)
def test_uneven_surveys_are_moved_better_with_their_expected_counts(periodic, own, matched):
    truth = uneven_surveys(periodic=periodic, own=own, matched=matched, sigma=15.0)
    found = truez.reconstruct(truth.surveys, "redistribution")
    assert deviation(found, truth) < 0.13
    assert tuple(found.intensity.shape) == (48, 48, 64)
    assert found.pairs is not None
    assert found.metadata["filter_residual"] < 1e-3
    plain = truez.reconstruct(truth.surveys, "redistribution", sky_cellsize=CELL, pairs=False)
    assert 5 < plain.metadata["filter_iterations"] < 30
    assert tuple(plain.intensity.shape) == truth.surveys.box.meshsize
    # The finer filter starts from that of the cells of the field.
    assert found.metadata["filter_iterations"] <= plain.metadata["filter_iterations"]
    assert found.metadata["uneven"].startswith("expected counts of spec, expected counts of photo")
    ignored = replace(truth.surveys, expected_spec=None, expected_photo=None, photo_sigma=None)
    worse = truez.reconstruct(ignored, "redistribution")
    assert deviation(worse, truth) > 1
    log_p, pit = judged(found, truth)
    # Unknown matches: some galaxies are among the spectra that say where they are.
    assert calibrated(pit) or not matched
    assert log_p.mean() > judged(worse, truth)[0].mean() + (0.1 if own else 0.0)
    # These lognormal galaxies have no structure within cells.
    assert log_p.mean() > judged(plain, truth)[0].mean() - 0.02


@pytest.mark.parametrize("matched", [True, False])
def test_the_filter_of_both_is_better_than_that_of_spectra_alone(matched):
    truth = uneven_surveys(matched=matched, own=matched)
    spec, both = (truez.reconstruct(truth.surveys, one) for one in ("wiener-spec", "wiener"))
    assert spec.delta.resampler == both.delta.resampler == "ngp"
    assert deviation(both, truth, "ngp") < 0.5 * deviation(spec, truth, "ngp") < 0.2


def test_a_sample_that_was_cut_in_photo_z_has_galaxies_from_beyond_the_faces():
    # The survey goes on beyond the part of it that is taken, and so do its galaxies.
    whole = uneven_surveys(fall=8.0, sigma=10.0)
    low, high = 80.0, 240.0
    box = truez.Box((120, 120, high - low), cellsize=CELL, boxcenter=(60, 60, 160), periodic=False)
    photo, true = whole.surveys.photo, whole.positions
    kept = (photo[:, 2] > low) & (photo[:, 2] < high)
    spec = whole.spec & (true[:, 2] > low) & (true[:, 2] < high)
    number = np.cumsum(kept) - 1
    field = truez.Field(torch.from_numpy(visibility(whole.surveys.box, 8.0)[:, :, 16:48]).float(),
                        box, "counts")  # fmt: skip
    rows = np.where(kept, number, -1)[spec]
    surveys = replace(
        whole.surveys, photo=photo[kept], spec=true[spec], box=box, photo_bounds="photo-z",
        matched=rows, num_both=int((rows >= 0).sum()), expected_spec=field, expected_photo=field,
    )  # fmt: skip
    outside = (true[kept, 2] < low) | (true[kept, 2] > high)
    assert outside.mean() > 0.05
    moved = truez.reconstruct(surveys, "redistribution", fit_amplitude=True)
    assert moved.metadata["amplitude"] == pytest.approx(1, abs=0.15)
    found = moved.redshifts()
    pdf = moved.pdf(np.arange(200))[1]
    assert found["z_lo"].min() < surveys.redshift - 80 / COSMOLOGY.distance_error(1.0, 0.5)
    assert np.isfinite(pdf).all()
    both, alone = (truez.reconstruct(surveys, one).delta for one in ("wiener", "wiener-spec"))
    inside = true[(true[:, 2] > low) & (true[:, 2] < high)]
    truth = truez.paint(inside, box, "ngp").to_delta(surveys.true_expected()).smooth(8)
    near = np.zeros(box.meshsize, bool)
    near[..., :4] = near[..., -4:] = True
    near &= visibility(whole.surveys.box)[:, :, 16:48] > 0
    errors = [
        np.mean((one.smooth(8).values - truth.values).numpy()[near] ** 2) for one in (both, alone)
    ]
    assert errors[0] < 0.8 * errors[1]


@pytest.mark.parametrize("uneven", [True, False])
def test_the_amplitude_mends_a_biased_linear_estimate(uneven, monkeypatch):
    truth = uneven_surveys(fall=20.0 if uneven else 1.0, density=0.006)
    surveys = truth.surveys
    if not uneven:
        surveys = uneven_surveys(fall=1.0, density=0.006, expected_spec=None, expected_photo=None)
        surveys = surveys.surveys
    plain = truez.reconstruct(surveys, "redistribution")
    assert "amplitude" not in plain.metadata
    found = truez.reconstruct(surveys, "redistribution", fit_amplitude=True)
    value, error = found.metadata["amplitude"], found.metadata["amplitude_error"]
    assert value == pytest.approx(1, abs=max(4 * error, 0.2))
    assert value != 1
    assert found.metadata["amplitude_gain"] > 0.05


def test_weights_count_galaxies_as_often():
    truth = uneven_surveys(density=0.004)
    surveys = truth.surveys
    rng = np.random.default_rng(2)
    weights = rng.integers(1, 4, len(surveys.photo)).astype(float)
    weighted = replace(surveys, photo_weights=weights, spec_weights=weights[truth.spec])
    again = np.repeat(np.arange(len(weights)), weights.astype(int))
    again_spec = np.repeat(np.flatnonzero(truth.spec), weights[truth.spec].astype(int))
    repeated = replace(
        surveys, photo=surveys.photo[again], spec=truth.positions[again_spec],
        matched=np.flatnonzero(truth.spec[again]), num_both=len(again_spec),
    )  # fmt: skip
    # With pairs, a galaxy that is repeated is its own neighbour.
    one, other = (
        truez.reconstruct(some, "redistribution", pairs=False) for some in (weighted, repeated)
    )
    torch.testing.assert_close(one.delta.values, other.delta.values, atol=2e-3, rtol=2e-3)
    assert "weights of photo" in repr(weighted)


def test_the_local_filter_is_nearly_as_good():
    truth = uneven_surveys()
    exact, local = (
        deviation(truez.reconstruct(truth.surveys, "redistribution", filter=name), truth)
        for name in ("exact", "local")
    )
    assert local == pytest.approx(exact, rel=0.1)
    with pytest.raises(ValueError, match="filter must be exact for both surveys"):
        truez.reconstruct(truth.surveys, "wiener", filter="local")


def test_a_photo_z_error_is_fitted_to_uneven_surveys():
    truth = uneven_surveys(sigma=12.0)
    rough = replace(truth.surveys, error=truez.PhotozError(18.0))
    found = truez.reconstruct(rough, "redistribution", fit_sigma=True)
    assert found.surveys.error.sigma == pytest.approx(12.0, rel=0.25)
    own = uneven_surveys(own=True).surveys
    with pytest.raises(ValueError, match="these galaxies have their own: leave it out"):
        truez.reconstruct(own, "wiener-spec", fit_sigma=True)


def test_methods_that_need_even_surveys_say_so():
    surveys = uneven_surveys(density=0.002).surveys
    for method in ("columns-median", "redistribution-median", "wiener-photo"):
        with pytest.raises(ValueError, match=f"method {method} needs even expected counts and one "
                           "photo-z error, without weights: choose method columns, redistribution, "
                           "wiener or wiener-spec"):  # fmt: skip
            truez.reconstruct(surveys, method)


def test_own_errors_need_matches_for_the_filter_of_both():
    surveys = uneven_surveys(own=True, matched=False).surveys
    with pytest.raises(ValueError, match="needs to know which galaxies are in both surveys"):
        truez.reconstruct(surveys, "wiener")


def test_uneven_surveys_have_fields_and_draws():
    truth = uneven_surveys(own=True, density=0.004)
    surveys = truth.surveys
    empty = visibility(surveys.box)[..., 0] == 0
    for field in (surveys.spec_field(), surveys.photo_field()):
        assert field.values.abs().max() < 1e3
        seen = field.values[~torch.from_numpy(empty)]
        assert abs(float((seen * surveys.true_expected().values[~torch.from_numpy(empty)]).mean()
                         )) < 0.02  # fmt: skip
    found = truez.reconstruct(surveys, "redistribution")
    draws = found.draws(2, seed=1)
    assert np.isfinite(draws).all()
    assert (draws[0] != draws[1])[surveys.photo_only()].all()
    narrow = surveys.photo_sigma < surveys.error.sigma
    std = found.redshifts()["z_std"]
    unknown = surveys.photo_only()
    assert std[narrow & unknown].mean() < 0.6 * std[~narrow & unknown].mean()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = found.plot()
    limits = {ax.images[0].get_clim() for ax in figure.axes if ax.images}
    assert limits == {(-slab_limit(found.delta.slab()), slab_limit(found.delta.slab()))}
