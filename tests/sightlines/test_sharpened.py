"""Two surveys redistributed, and the redshifts that their galaxies get."""

import dataclasses
import itertools
import math

import h5py
import numpy as np
import pytest
import torch

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.mesh.painting import paint
from truez.reconstruct import Reconstruction, estimate, reconstruct
from truez.sightlines.calibration import calibrate
from truez.sightlines.conserve import information
from truez.sightlines.intensity import Intensity
from truez.sightlines.kernel import Kernel
from truez.sightlines.redistribution import (
    information_gain,
    kernel_of,
    paint_columns,
    photo_class,
    redistribute_surveys,
    with_margin,
)
from truez.sightlines.sharpened import draw_redshifts, posteriors, sharpen
from truez.simulate import lognormal_galaxies
from truez.surveys.mock import MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.photoz import PhotozError
from truez.surveys.selection import Selection
from truez.surveys.surveys import Surveys

RING = Box((40, 60, 256), (4, 6, 64))
OPEN = Box((40, 60, 256), (4, 6, 64), boxcenter=(0, 0, 500), periodic=False)

ERROR = PhotozError(20.0, 0.05)


def poisson_surveys(
    box: Box,
    *,
    error: PhotozError = ERROR,
    num: int = 40_000,
    num_spec: int = 500,
    bounds: str = "truth",
    known: bool = True,
) -> tuple[Surveys, torch.Tensor, np.ndarray]:
    """Poisson galaxies of a known intensity, which depends on the line of sight alone.

    It is smooth between the cells, whose averages are given.
    """
    rng, fine = np.random.default_rng(3), 8
    steps = box.meshsize[2] * fine
    density = np.exp(1.2 * _smooth_noise(rng, steps, 2 * fine))
    column = density.reshape(-1, fine).mean(1)
    column /= column.mean()
    true = rng.uniform(box.lower, box.upper, (num, 3))
    step = rng.choice(steps, num, p=density / density.sum())
    true[:, 2] = box.lower[2] + (step + rng.random(num)) * (box.boxsize[2] / steps)
    photo = true.copy()
    photo[:, 2] = error.scatter(true[:, 2], box, rng)
    if bounds == "photo-z":
        inside = box.inside(photo)
        photo, true = photo[inside], true[inside]
    matched = rng.permutation(len(true))[:num_spec]
    surveys = Surveys(
        photo=photo, spec=true[matched], box=box, error=error, num_both=num_spec,
        cosmology=COSMOLOGIES["wmap"], redshift=0.5, photo_bounds=bounds,
        matched=matched if known else None,
    )  # fmt: skip
    intensity = torch.from_numpy(column.astype(np.float32)).expand(box.meshsize).contiguous()
    return surveys, intensity, true


def _smooth_noise(rng: np.random.Generator, num: int, width: float) -> np.ndarray:
    """Gaussian numbers on a ring, of variance 1, correlated over ``width`` of them."""
    damping = np.exp(-0.5 * (2 * np.pi * np.fft.rfftfreq(num) * width) ** 2)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(num)) * damping, num)
    return noise / noise.std()


@pytest.fixture(scope="module", params=[RING, OPEN], ids=["ring", "open"])
def poisson(request):
    return poisson_surveys(request.param)


def unknown_rows(surveys: Surveys) -> np.ndarray:
    return np.flatnonzero(surveys.photo_only())


# --- painting


@pytest.mark.parametrize("box", [RING, OPEN], ids=["ring", "open"])
@pytest.mark.parametrize("resampler", ["ngp", "cic", "tsc"])
def test_columns_hold_what_a_painted_mesh_does(box, resampler):
    rng = np.random.default_rng(0)
    positions = rng.uniform(box.lower, box.upper, (500, 3))
    positions[:4] = [box.lower, box.upper, box.lower, box.upper]
    kept = positions.copy()
    columns = paint_columns(positions, box, resampler)
    np.testing.assert_array_equal(positions, kept)
    painted = paint(positions, box, resampler)
    np.testing.assert_allclose(columns.values.sum(2), painted.values.sum(2), atol=1e-4)
    # Along the line of sight a galaxy is in its own cell.
    cells = (positions[:, 2] - box.lower[2]) // box.cellsize[2] % box.meshsize[2]
    cells[positions[:, 2] == box.upper[2]] = 0 if box.periodic else box.meshsize[2] - 1
    expected = np.bincount(cells.astype(int), minlength=64)
    np.testing.assert_allclose(columns.values.sum((0, 1)), expected, rtol=1e-6)


def test_squared_shares_across_the_sky():
    box = Box((40, 60, 256), (4, 6, 64))
    # A quarter of a cell from a centre along x, on a centre along y.
    field = paint_columns(np.array([[17.5, 25.0, 10.0]]), box, power=2)
    np.testing.assert_allclose(field.values[1:3, 2, 2], [0.75**2, 0.25**2])
    assert float(field.values.sum()) == pytest.approx(0.625)


# --- the field


def test_the_field_holds_the_galaxies_of_every_column(poisson):
    surveys, intensity, true = poisson
    box = surveys.box
    result = redistribute_surveys(surveys, intensity)
    assert result.field.metadata == {"num_matched": 500, "num_photo_outside": 0}
    counts = (result.field.values + 1) * len(surveys.photo) / box.num_cells
    truth = paint(true, box).values
    np.testing.assert_allclose(counts.sum(2), truth.sum(2), rtol=3e-6)
    assert float(counts.min()) >= 0


def test_the_error_is_what_is_left(poisson):
    surveys, intensity, true = poisson
    box = surveys.box
    result = redistribute_surveys(surveys, intensity)
    truth = paint(true, box).to_delta()
    residual = (truth.values - result.field.values) / result.sigma
    # 1536 cells, of which neighbours are correlated, and counts are not Gaussian.
    assert abs(float(residual.mean())) < 0.05
    assert float(residual.var()) == pytest.approx(1, abs=0.08)
    quarters = np.quantile(result.sigma, [0, 0.25, 0.5, 0.75, 1])
    for low, high in itertools.pairwise(quarters):
        part = residual[(result.sigma >= low) & (result.sigma <= high)]
        assert float(part.var()) == pytest.approx(1, abs=0.2)


def test_known_galaxies_are_put_at_their_place():
    for box in (RING, OPEN):
        surveys, intensity, true = poisson_surveys(box, num=2000, num_spec=2000)
        result = redistribute_surveys(surveys, intensity)
        expected = paint(true, box).to_delta(2000 / box.num_cells)
        np.testing.assert_allclose(result.field.values, expected.values, atol=1e-5)
        assert float(result.sigma.max()) == 0


def test_exact_photo_z_give_the_truth():
    for box in (RING, OPEN):
        surveys, intensity, true = poisson_surveys(box, error=PhotozError(0.0), known=False)
        columns = paint_columns(true, box).values
        galaxies = photo_class(surveys, kernel_of(surveys))
        np.testing.assert_allclose(galaxies.counts, columns, atol=1e-6)
        result = redistribute_surveys(surveys, intensity)
        assert result.field.metadata["num_matched"] == 0
        residual = result.field.values - paint(true, box).to_delta().values
        # What a cell does not tell of a galaxy's place in it.
        assert float((residual**2).mean().sqrt()) < 0.15


def test_photo_z_that_left_a_closed_box_keep_their_galaxies():
    surveys, intensity, _ = poisson_surveys(OPEN, num_spec=1)
    assert np.count_nonzero(~surveys.photo_inside()) > 1000
    counts = (redistribute_surveys(surveys, intensity).field.values + 1) * 40_000 / OPEN.num_cells
    assert float(counts.sum()) == pytest.approx(40_000, rel=1e-6)
    # Those too far out for the error are left out, and counted.
    photo = surveys.photo.copy()
    row = unknown_rows(surveys)[0]
    photo[row, 2] = OPEN.upper[2] + 7 * 20
    lost = dataclasses.replace(surveys, photo=photo)
    result = redistribute_surveys(lost, intensity)
    assert result.field.metadata["num_photo_outside"] == 1
    assert float(result.field.values.double().sum()) == pytest.approx(
        -OPEN.num_cells / 40_000, rel=0.01
    )
    assert np.isnan(sharpen(lost, intensity).mean).sum() == 1
    assert np.isnan(sharpen(lost, intensity).mean[row])


def test_a_sample_cut_in_photo_z_may_lie_beyond_the_faces():
    # An even sample in a longer box, cut to the middle by its photo-z.
    rng = np.random.default_rng(1)
    box, error = OPEN, PhotozError(20.0)
    long = Box((40, 60, 556), (4, 6, 139), boxcenter=(0, 0, 500), periodic=False)
    true = rng.uniform(long.lower, long.upper, (80_000, 3))
    photo = true.copy()
    photo[:, 2] = error.scatter(true[:, 2], long, rng)
    cut = box.inside(photo)
    surveys = Surveys(
        photo=photo[cut], spec=true[box.inside(true)][:10], box=box, error=error, num_both=0,
        cosmology=COSMOLOGIES["wmap"], redshift=0.5, photo_bounds="photo-z",
    )  # fmt: skip
    field = redistribute_surveys(surveys, torch.ones(box.meshsize)).field.values
    # Those of the faces that the cut lost are not made up: half of the edge cells' galaxies.
    visible = error.visible_fraction(box)
    np.testing.assert_allclose(1 + field.mean((0, 1)), visible, atol=0.03)
    inside = box.inside(true[cut])
    assert 1 + float(field.mean()) == pytest.approx(inside.sum() / cut.sum(), abs=2e-3)
    gain = calibrate(surveys, torch.ones(box.meshsize), true[cut])
    np.testing.assert_allclose(gain.gain, 0, atol=1e-5)
    assert np.abs(np.histogram(gain.pit, 10, (0, 1))[0] / cut.sum() - 0.1).max() < 0.006


# --- single galaxies


def test_posteriors_sum_to_one_and_know_the_photo_z(poisson):
    surveys, _, _ = poisson
    even = torch.ones(surveys.box.meshsize)
    rows = np.array([5, 77, 1234])
    edges, probability = posteriors(surveys, even, rows)
    np.testing.assert_allclose(probability.sum(1), 1, rtol=1e-5)
    assert edges.shape == (3, 65)
    centers = (edges[:, 1:] + edges[:, :-1]) / 2
    width, outliers = 20.0, 0.05
    for row, z, p in zip(rows, centers, probability, strict=True):
        photo = surveys.photo[row, 2]
        if surveys.box.periodic:
            assert abs(z.mean() - photo) <= 4
        # A photo-z is known to its cell.
        photo = z[0] + 4 * round((photo - z[0]) / 4)
        gaussian = 4 * np.exp(-0.5 * ((z - photo) / width) ** 2) / (width * math.sqrt(2 * math.pi))
        inside = surveys.box.lower[2] <= photo <= surveys.box.upper[2]
        expected = 0.95 * gaussian + outliers * inside / 64
        np.testing.assert_allclose(p, expected / expected.sum(), atol=6e-4)


def test_posteriors_are_right_where_the_intensity_is(poisson):
    surveys, intensity, true = poisson
    rows = unknown_rows(surveys)
    found = calibrate(surveys, intensity, true)
    assert np.isfinite(found.gain[rows]).all()
    assert np.isnan(found.gain[surveys.matched]).all()
    share = np.histogram(found.pit[rows], 10, (0, 1))[0] / len(rows)
    assert np.abs(share - 0.1).max() < 4.5 * math.sqrt(0.09 / len(rows))

    sharpened = sharpen(surveys, intensity)
    box = surveys.box
    distance = (true[:, 2] - sharpened.mean)[rows]
    if box.periodic:
        distance -= box.boxsize[2] * np.round(distance / box.boxsize[2])
    place = sharpened.mean[rows] + distance
    inside = (place > sharpened.lower[rows]) & (place < sharpened.upper[rows])
    assert inside.mean() == pytest.approx(0.68, abs=0.012)
    assert abs((distance / sharpened.std[rows]).mean()) < 0.02
    assert (distance / sharpened.std[rows]).std() == pytest.approx(1, abs=0.03)
    # Better than the photo-z, and as much better as it says.
    surprise = (found.gain - sharpened.information)[rows]
    assert abs(surprise.mean()) < 4 * surprise.std() / math.sqrt(len(rows))
    assert np.nanmean(found.gain) > 0.1


def test_galaxies_and_meshes_agree_on_the_information(poisson):
    surveys, intensity, true = poisson
    # Across the sky nothing changes: the two may differ only by rounding.
    mesh = information_gain(surveys, intensity, true)
    assert mesh == pytest.approx(np.nanmean(calibrate(surveys, intensity, true).gain), abs=1e-5)
    even = torch.full(surveys.box.meshsize, 0.7)
    assert abs(information_gain(surveys, even, true)) < 1e-6
    np.testing.assert_allclose(calibrate(surveys, even, true).gain[unknown_rows(surveys)], 0,
                               atol=1e-5)  # fmt: skip


def test_known_redshifts_are_what_they_are(poisson):
    surveys, intensity, true = poisson
    found, rows = sharpen(surveys, intensity), surveys.matched
    for values in (found.mean, found.mode, found.lower, found.upper):
        np.testing.assert_array_equal(values[rows], true[rows, 2])
    np.testing.assert_array_equal(found.std[rows], 0)
    assert np.isnan(found.information[rows]).all()
    drawn = draw_redshifts(surveys, intensity, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn[rows], true[rows, 2])


def test_draws_follow_the_posterior(poisson):
    surveys, intensity, _ = poisson
    box = surveys.box
    drawn = draw_redshifts(surveys, intensity, np.random.default_rng(0))
    assert (drawn >= box.lower[2]).all()
    assert (drawn <= box.upper[2]).all()
    found = calibrate(surveys, intensity, np.column_stack([surveys.photo[:, :2], drawn]))
    rows = unknown_rows(surveys)
    share = np.histogram(found.pit[rows], 10, (0, 1))[0] / len(rows)
    assert np.abs(share - 0.1).max() < 4.5 * math.sqrt(0.09 / len(rows))
    again = draw_redshifts(surveys, intensity, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, again)


def test_two_places_by_hand():
    # All intensity in cells 20 and 24, two to one; a galaxy seen in cell 23.
    box, error = Box((4, 4, 256), (1, 1, 64), periodic=False), PhotozError(20.0)
    intensity = torch.full(box.meshsize, 1e-12)
    intensity[..., 20], intensity[..., 24] = 2.0, 1.0
    surveys = Surveys(
        photo=np.array([[1.0, 2.0, 94.0]]), spec=np.array([[1.0, 2.0, 94.0]]), box=box,
        error=error, num_both=0, cosmology=COSMOLOGIES["wmap"], redshift=0.5,
    )  # fmt: skip
    matrix = Kernel.of(error, box).matrix.double()[23]
    far, near = 2 * float(matrix[20]), float(matrix[24])
    p = far / (far + near)
    found = sharpen(surveys, intensity, interval=0.9)
    assert found.mode[0] == 82
    assert found.mean[0] == pytest.approx(82 * p + 98 * (1 - p), rel=1e-5)
    assert found.std[0] == pytest.approx(math.sqrt(256 * p * (1 - p) + 16 / 12), rel=1e-5)
    assert found.lower[0] == pytest.approx(80 + 4 * 0.05 / p, rel=1e-5)
    assert found.upper[0] == pytest.approx(100 - 4 * 0.05 / (1 - p), rel=1e-5)
    flat = matrix / matrix.sum()
    gain = p * math.log(p / flat[20]) + (1 - p) * math.log((1 - p) / flat[24])
    assert found.information[0] == pytest.approx(gain, rel=1e-5)


def test_the_intensity_is_that_at_the_galaxy():
    # Two sky cells with their intensity in different places, and a galaxy between them.
    box = Box((40, 4, 256), (2, 1, 64), periodic=False)
    intensity = torch.full(box.meshsize, 1e-12)
    intensity[0, 0, 30], intensity[1, 0, 34] = 1.0, 1.0
    surveys = Surveys(
        photo=np.array([[15.0, 2.0, 130.0]]), spec=np.array([[1.0, 2.0, 94.0]]), box=box,
        error=PhotozError(20.0), num_both=0, cosmology=COSMOLOGIES["wmap"], redshift=0.5,
    )  # fmt: skip
    _, probability = posteriors(surveys, intensity, np.array([0]))
    assert probability[0, 30] == pytest.approx(0.75, rel=1e-5)
    assert probability[0, 34] == pytest.approx(0.25, rel=1e-5)


def test_chunks_change_nothing(poisson, monkeypatch):
    surveys, intensity, true = poisson
    whole = sharpen(surveys, intensity), redistribute_surveys(surveys, intensity)
    monkeypatch.setattr("truez.sightlines.own_place.BLOCK_CELLS", 64 * 999)
    monkeypatch.setattr("truez.sightlines.redistribution.SLAB_CELLS", 64)
    monkeypatch.setattr("truez.sightlines.paint._ROWS", 777)
    steps = []
    parts = (
        sharpen(surveys, intensity, progress=lambda *step: steps.append(step)),
        redistribute_surveys(surveys, intensity),
    )
    np.testing.assert_allclose(parts[0].mean, whole[0].mean, rtol=1e-6)
    np.testing.assert_allclose(parts[1].field.values, whole[1].field.values, atol=1e-4)
    np.testing.assert_allclose(parts[1].sigma, whole[1].sigma, rtol=1e-3, atol=1e-4)
    assert len(steps) == 42
    assert steps[-1][1:3] == (40_000, 40_000)
    assert information_gain(surveys, intensity, true) > 0


# --- the method


@pytest.fixture(scope="module", params=[True, False], ids=["periodic", "closed"])
def mock(request):
    cosmology = COSMOLOGIES["wmap"]
    box = Box((128, 96, 192), (32, 24, 48))
    galaxies = lognormal_galaxies(box, cosmology, redshift=0.59, density=1.5e-2, bias=1.2, seed=3)
    box = dataclasses.replace(box) if request.param else Box(box.boxsize, box.meshsize,
                                                             periodic=False)  # fmt: skip
    config = MockConfig(
        redshift=0.59, cosmology=cosmology, sigma_z=0.005, rank_by="mass",
        spec=Selection(density=1e-3), redshift_space=False,
    )  # fmt: skip
    return make_mock(galaxies.positions, box, config, columns={"mass": galaxies.mass})


def test_redistribution_without_a_network_beats_the_wiener_filter(mock):
    found = estimate(mock.surveys, "redistribution")
    truth = mock.fields()[0]
    error = {"redistribution": found.field, "wiener": reconstruct(mock.surveys, "wiener").delta}
    mse = {name: float(((f.values - truth.values) ** 2).mean()) for name, f in error.items()}
    assert mse["redistribution"] < mse["wiener"]
    metadata = found.field.metadata
    shared = Intensity.of(found, mock.box).on_mesh(mock.box)
    assert information_gain(mock.surveys, shared, mock.truth) > 0.1
    assert tuple(found.intensity.shape) == (64, 48, 48)
    assert metadata["pairs"]["strength"] >= 0
    # On the cells of the field, without pairs, it is what it was before these.
    before = estimate(mock.surveys, "redistribution", sky_cellsize=4.0, pairs=False)
    torch.testing.assert_close(
        before.delta.values, redistribute_surveys(mock.surveys, before.intensity).field.values
    )
    assert before.pairs is None
    own, plain = (
        np.nanmean(calibrate(mock.surveys, Intensity.of(one, mock.box), mock.truth).gain)
        for one in (found, before)
    )
    assert own > plain
    assert metadata["method"] == "redistribution"
    assert metadata["num_matched"] == len(mock.surveys.spec)
    assert metadata["num_photo_outside"] == 0
    assert metadata["floor"] == 0.05
    assert metadata["floor_fraction"] == float(
        (found.intensity == np.float32(0.05)).double().mean()
    )
    sigma = float((found.sigma**2).mean().sqrt())
    assert metadata["sigma_given_intensity"] == pytest.approx(sigma, rel=1e-5)
    # The error of the intensity comes on top, and is not the larger part here.
    assert sigma**2 < mse["redistribution"] < 3 * sigma**2
    assert float(found.field.values.min()) > -1 - 1e-5
    assert float(found.intensity.min()) >= 0.05 - 1e-6


def test_a_floor_is_a_setting(mock):
    found = estimate(mock.surveys, "redistribution", floor=0.5)
    assert float(found.intensity.min()) == 0.5
    assert 0.05 < found.field.metadata["floor_fraction"] < 0.9


def test_surveys_without_unknown_redshifts_have_no_pairs(mock):
    rows = mock.surveys.matched
    surveys = dataclasses.replace(
        mock.surveys, photo=mock.surveys.photo[rows], matched=np.arange(len(rows))
    )
    found = estimate(surveys, "redistribution")
    assert found.pairs is None
    painted = paint(surveys.spec, mock.box).to_delta().values
    torch.testing.assert_close(found.delta.values, painted, atol=1e-4, rtol=1e-4)


def test_unmatched_surveys_are_redistributed_whole(mock):
    surveys = dataclasses.replace(mock.surveys, matched=None)
    found = estimate(surveys, "redistribution").field
    assert found.metadata["num_matched"] == 0
    assert float(found.values.double().mean()) == pytest.approx(0, abs=1e-4)


# --- what is refused


def _poisson() -> tuple[Surveys, torch.Tensor, np.ndarray]:
    return poisson_surveys(OPEN, num=2000)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda s, i, t: redistribute_surveys(s, i[:2]),
            "intensity must be of the mesh (4, 6, 64), not (2, 6, 64)",
        ),
        (
            lambda s, i, t: sharpen(s, i - 2),
            "intensity must be positive and finite, not -1.94",
        ),
        (
            lambda s, i, t: information_gain(s, i * torch.inf, t),
            "intensity must be positive and finite, not inf at the least: give 1 + delta",
        ),
        (
            lambda s, i, t: sharpen(s, i, interval=1.0),
            "interval must be between 0 and 1, not 1.0",
        ),
        (
            lambda s, i, t: calibrate(s, i, t[:5]),
            "truth must have a row for each of 2000 photo galaxies, not the shape (5, 3)",
        ),
        (
            lambda s, i, t: reconstruct(s, "redistribution", floor=0.0),
            "floor must be a positive intensity, not 0.0",
        ),
        (
            lambda s, i, t: reconstruct(s, "redistribution", weights="a.safetensors"),
            (
                "method redistribution has no setting weights: leave weights out, or choose "
                "another method; its settings are resampler, fit_sigma, filter, "
                "sky_cellsize, pairs, floor"
            ),
        ),
        (
            lambda s, i, t: information(
                with_margin(i, 0), [photo_class(s, kernel_of(s), squares=False)]
            ),
            "information needs the true_counts of every class",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=r".") as caught:
        call(*_poisson())
    assert str(caught.value).startswith(message)


# --- the command


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def folder(mock, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mock")
    mock.write(folder)
    return folder


@pytest.mark.parametrize("suffix", ["parquet", "fits"])
def test_a_catalogue_with_sharpened_redshifts(mock, folder, capsys, suffix):
    out = folder / f"redshifts.{suffix}"
    assert (
        run("redshifts", folder, "--method", "redistribution", "--out", out, "--interval", 0.5) == 0
    )
    printed = capsys.readouterr().out
    assert f"{len(mock.truth)} galaxies, {unknown_rows(mock.surveys).size} of them" in printed
    written = Catalog.read(out)
    np.testing.assert_array_equal(written["id"], mock.photo_ids)
    np.testing.assert_array_equal(written["z"], mock.surveys.photo[:, 2])
    np.testing.assert_array_equal(written["spec_matched"], ~mock.surveys.photo_only())
    expected = sharpen(mock.surveys, estimate(mock.surveys, "redistribution"), interval=0.5)
    for name, values in (
        ("z_mean", expected.mean), ("z_mode", expected.mode), ("z_std", expected.std),
        ("z_lo", expected.lower), ("z_hi", expected.upper),
        ("information_gain", expected.information),
    ):  # fmt: skip
        np.testing.assert_allclose(written[name], values, rtol=1e-4, atol=1e-3)
    assert written.units["z_mean"] == "Mpc/h"
    assert written.metadata["truez"]["floor"] == 0.05
    # Nearer to the truth than the photo-z.
    rows = unknown_rows(mock.surveys)
    errors = [z[rows] - mock.truth[rows, 2] for z in (written["z_mean"], written["z"])]
    if mock.box.periodic:
        errors = [e - 192 * np.round(e / 192) for e in errors]
    assert errors[0].std() < errors[1].std()


def test_two_catalogues_in_their_own_unit_and_axes(mock, folder):
    for name in ("photo", "spec"):
        table = Catalog.read(folder / f"{name}.parquet")
        lengths = {a: 1000 * table[b] for a, b in zip("xyz", "zxy", strict=True)}
        units = dict.fromkeys("xyz", "kpc/h")
        Catalog({"id": table["id"], **lengths}, units=units).write(folder / f"{name}_kpc.fits")
    out = folder / "kpc.parquet"
    code = run(
        "redshifts", "--method", "redistribution",
        "--photo", folder / "photo_kpc.fits", "--spec", folder / "spec_kpc.fits",
        "--boxsize", "192000,128000,96000", "--los", "x", "--redshift", 0.59, "--sigma-z", 0.005,
        "--cellsize", 4, "--cosmology", "wmap", "--match-id", "id", "--real-space", "--out", out,
        "--periodic" if mock.box.periodic else "--not-periodic",
    )  # fmt: skip
    assert code == 0
    written = Catalog.read(out)
    assert written.units["x_mean"] == "kpc/h"
    assert (
        run(
            "redshifts",
            folder,
            "--method",
            "redistribution",
            "--out",
            folder / "mock.parquet",
            "--overwrite",
        )
        == 0
    )
    expected = Catalog.read(folder / "mock.parquet")
    np.testing.assert_allclose(written["x_std"], 1000 * expected["z_std"], rtol=0.01, atol=1)
    assert "z_mean" not in written


def test_options_of_fine_sight_lines_and_pairs(mock, folder, capsys):
    out = folder / "options.h5"
    given = ("reconstruct", folder, "--method", "redistribution", "--out", out, "--overwrite")
    assert run(*given) == 0
    assert "strength of pairs" in capsys.readouterr().out
    assert run(*given, "--sky-cellsize", 4, "--no-pairs") == 0
    assert "pairs" not in capsys.readouterr().out
    made = Reconstruction.read(out)
    assert made.pairs is None
    assert tuple(made.intensity.shape) == mock.box.meshsize
    wanted = estimate(mock.surveys, "redistribution", sky_cellsize=4.0, pairs=False)
    torch.testing.assert_close(made.delta.values, wanted.delta.values)


def test_the_error_goes_with_the_field(mock, folder, capsys):
    out = folder / "field.h5"
    assert run("reconstruct", folder, "--method", "redistribution", "--out", out) == 0
    assert "are at their known redshift" in capsys.readouterr().out
    made = Reconstruction.read(out, mock.surveys)
    again = estimate(mock.surveys, "redistribution")
    assert made.pairs == again.pairs
    ours, theirs = made.redshifts(), again.redshifts()
    for name in ours.columns:
        np.testing.assert_array_equal(ours[name], theirs[name])
    with h5py.File(out) as file:
        assert file["intensity"].shape == (64, 48, 48)
        assert file["sigma"].shape == mock.box.meshsize
        assert file["sigma"][...].max() > 0
    out = folder / "field.fits"
    assert run("reconstruct", folder, "--method", "redistribution", "--out", out) == 0
    assert "left out of a FITS file" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "wiener"), "--method wiener has no posterior of single galaxies"),
        (("--method", "moon"), "--method must be one of columns, columns-median"),
        (("--interval", "1.5"), "--interval must be between 0 and 1, not 1.5"),
        (
            ("--method", "redistribution", "--floor", "-1"),
            "--floor must be a positive intensity, not -1.0",
        ),
        (
            ("--method", "redistribution", "--sky-cellsize", "3"),
            "--sky-cellsize = 3 Mpc/h must be the cells' 4 divided by a whole number, such as 4",
        ),
        (("--sky-cellsize", "0"), "--sky-cellsize must be"),
        (("--method", "dual-unet", "--no-pairs"), "leave out --no-pairs"),
        (("--out", "a.png"), "the suffix of a.png is not that of a catalogue format"),
        (("--sigma-z", "0.1"), "a mock folder contains these settings: leave out --sigma-z"),
    ],
)
def test_bad_commands(folder, capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert run("redshifts", folder, *arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_columns_are_not_replaced(mock, capsys, tmp_path):
    mock.write(tmp_path)
    photo = Catalog.read(tmp_path / "photo.parquet")
    photo.with_columns({"z_std": photo["z"]}).write(tmp_path / "photo.parquet")
    assert run("redshifts", tmp_path, "--method", "redistribution", "--out", tmp_path / "a.h5") == 2
    assert "has a column z_std already" in capsys.readouterr().err


class Zeros:
    """A generator whose numbers are all 0, as every 2^24th of float32 is."""

    def random(self, shape, dtype):
        return np.zeros(shape, dtype)


def test_a_random_number_of_zero_draws_a_place_too():
    # So narrow an error that float32 has no probability left at the ends of the ring.
    box = Box((8, 8, 512), (4, 4, 256))
    places = np.array([[1.0, 2.0, 100.0], [5.0, 3.0, 511.0]])
    surveys = Surveys(
        photo=places,
        spec=places[:1],
        box=box,
        error=PhotozError(4.0),
        num_both=0,
        cosmology=COSMOLOGIES["wmap"],
        redshift=0.5,
    )
    drawn = draw_redshifts(surveys, torch.ones(box.meshsize), Zeros())
    away = np.abs((drawn - places[:, 2] + 256) % 512 - 256)
    assert (away < 15 * 4).all()
