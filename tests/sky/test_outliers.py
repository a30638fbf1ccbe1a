"""Outliers in surveys of several shells: they may be beyond the box of their patch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import truez
from truez.evaluate.sky.judge import SkyJudge, judge_redshifts
from truez.evaluate.sky.mesh import SkyMesh
from truez.mesh.field import Field
from truez.sightlines.amplitude import AmplitudeSample, fit_amplitude
from truez.sightlines.intensity import Intensity
from truez.sightlines.own_place import OwnPlaces
from truez.sightlines.posterior_field import posterior_field
from truez.sightlines.posteriors import CellsBeyond, walk_rows
from truez.sky.core import Core
from truez.sky.mock import SkyMock, SkyMockConfig
from truez.sky.patch_data import PatchData
from truez.sky.patch_samples import network_samples, photo_matrix, spec_cells
from truez.sky.patches import PatchSettings
from truez.sky.plan import plan
from truez.sky.reconstruct import reconstruct
from truez.sky.sight_line import SightLine
from truez.surveys.footprint import Rectangle
from truez.surveys.nz import NumberDensity
from truez.surveys.photo_scatter import PhotoScatter
from truez.surveys.random_sky import random_directions
from truez.surveys.redshift_error import RedshiftError

CELLS = PatchSettings(cellsize=12.0)
SIGMA, SHARE, LIMITS = 0.012, 0.1, (0.05, 1.3)
#: N(z) falls to nothing within the range of the map and beyond it.
REDSHIFTS = np.linspace(0.02, 1.3, 600)
NUMBERS = NumberDensity(REDSHIFTS, REDSHIFTS**4 * np.exp(-((REDSHIFTS / 0.55) ** 4)))


def random_mock(num, *, share=SHARE, seed=1):
    """Random galaxies without clustering, at 0.25 < z < 0.8 three shells of a map."""
    rng = np.random.default_rng(seed)
    z = NUMBERS.quantile(rng.random(num))
    area = Rectangle(358, 2, -2, 2)
    ra, dec = random_directions(area, num, rng)
    photo = PhotoScatter(sigma_z=SIGMA, outlier_fraction=share, outlier_range=LIMITS)
    found = photo.scattered(z, np.full(num, SIGMA), rng)
    config = SkyMockConfig(
        cosmology="planck18", redshift_range=(0.25, 0.8), photo=photo, spec_fraction=0.1
    )
    return SkyMock(
        ids=np.arange(num), ra=ra, dec=dec, z_phot=found.z_phot, sigma_z=found.sigma_z, z_true=z,
        outlier=found.outlier, spec_rows=np.arange(0, num, 10), footprint=area,
        spec_footprint=area, config=config, source={"redshift_space": False},
    )  # fmt: skip


@pytest.fixture(scope="module")
def mock():
    return random_mock(30_000)


@pytest.fixture(scope="module")
def result(mock):
    # An intensity of 1 is right for random galaxies, also where they have neighbours.
    return reconstruct(mock.surveys, "redistribution", patches=CELLS, amplitude=0.0, pairs=False)


@pytest.fixture(scope="module")
def judged(mock, result):
    return judge_redshifts(mock, result)


def box_ends(mock, result):
    """Redshifts between which the box of each galaxy's patch lies, and whether it has one."""
    number = result.patch_of(mock.ra, mock.dec, mock.z_phot)
    edges = [patch.box.redshift_edges for patch in result]
    ends = np.array([[edge[0], edge[-1]] for edge in edges])
    return ends[number].T, mock.surveys.unknown & (number >= 0)


def unknown_numbers(surveys, z):
    """N(z) of the galaxies without a spectrum."""
    return surveys.nz(z) - surveys.common * surveys.spec_nz(z)


def posterior(surveys, rows, z):
    """That of galaxies on a fine grid of redshifts, (rows, z)."""
    joint = unknown_numbers(surveys, z) * surveys.error.likelihood(surveys.photo.redshift[rows], z)
    return joint / joint.sum(axis=1, keepdims=True)


def mean_deltas(result):
    """Mean overdensity in the core of each shell, and the error of a random one."""
    means, errors = [], []
    for patch in result:
        cells = patch.core_cells
        delta, expected = patch.delta[:, :, cells], patch.expected[:, :, cells]
        expected = expected * torch.from_numpy(patch.core)[:, :, None]
        means.append(float((expected * delta.nan_to_num()).sum() / expected.sum()))
        errors.append(float(expected.sum()) ** -0.5)
    return np.array(means), np.array(errors)


def test_posteriors_are_calibrated_in_every_part_of_the_range(mock, result, judged):
    (low, high), own = box_ends(mock, result)
    assert len(result) == 3
    beyond = own & ((mock.z_true < low) | (mock.z_true > high))
    assert beyond.sum() > 0.02 * own.sum()
    assert np.isfinite(judged.pit[own]).all()
    for first, last in ((0.25, 0.4), (0.4, 0.6), (0.6, 0.8)):
        pit = judged.pit[own & (mock.z_phot > first) & (mock.z_phot < last)]
        tenths = np.histogram(pit, np.linspace(0, 1, 11))[0] / len(pit)
        assert np.abs(tenths - 0.1).max() < 3.5 * np.sqrt(0.09 / len(pit))
        inside = np.mean((pit > 0.16) & (pit < 0.84))
        assert inside == pytest.approx(0.68, abs=3 * np.sqrt(0.68 * 0.32 / len(pit)))


def test_draws_are_beyond_the_box_as_often_as_truths(mock, result):
    (low, high), own = box_ends(mock, result)
    drawn = result.draws(1, seed=1)[0]
    shares = [np.mean(((z < low) | (z > high))[own]) for z in (drawn, mock.z_true)]
    assert shares[0] == pytest.approx(shares[1], abs=3 * np.sqrt(shares[1] / own.sum()))


def test_summaries_are_those_of_all_of_n_of_z(mock, result, judged):
    surveys = mock.surveys
    _, own = box_ends(mock, result)
    rows = np.flatnonzero(own)[::200]
    z = np.linspace(0.02, 1.3, 40_001)
    p = posterior(surveys, rows, z)
    below = np.cumsum(p, axis=1)
    columns = result.redshifts().columns
    for name, share in (("z_lo", 0.16), ("z_median", 0.5), ("z_hi", 0.84)):
        wanted = np.array([np.interp(share, reached, z) for reached in below])
        assert columns[name][rows] == pytest.approx(wanted, abs=2e-3)
    mean = p @ z
    assert columns["z_mean"][rows] == pytest.approx(mean, abs=5e-4)
    deviation = np.sqrt(np.sum(p * (z - mean[:, None]) ** 2, axis=1))
    assert columns["z_std"][rows] == pytest.approx(deviation, rel=0.02)
    assert columns["z_mode"][rows] == pytest.approx(z[p.argmax(axis=1)], abs=6e-3)
    numbers = unknown_numbers(surveys, z)
    evidence = np.log((numbers * surveys.error.likelihood(mock.z_phot[rows], z)).sum(axis=1))
    assert columns["log_evidence"][rows] == pytest.approx(
        evidence - np.log(numbers.sum()), abs=0.01
    )
    assert columns["information_gain"][rows] == pytest.approx(0, abs=1e-5)
    truth = mock.z_true[rows]
    pit = [np.interp(t, z, reached) for t, reached in zip(truth, below, strict=True)]
    assert judged.pit[rows] == pytest.approx(np.array(pit), abs=3e-3)


def test_ln_p_of_a_truth_beyond_the_box_is_that_of_a_cell_as_long_as_those_of_the_box(
    mock, result, judged
):
    (low, high), own = box_ends(mock, result)
    rows = np.flatnonzero(own & ((mock.z_true < low) | (mock.z_true > high)))[::10]
    z, truth = np.linspace(0.02, 1.3, 40_001), mock.z_true[rows]
    p = posterior(mock.surveys, rows, z)
    length = result[0].box.cellsize[2]
    cell = length * np.gradient(z, mock.surveys.cosmology.distances.from_redshift(z))
    wanted = [np.interp(t, z, np.log(one * cell)) for t, one in zip(truth, p, strict=True)]
    difference = judged.ln_p[rows] - (np.array(wanted) - np.log(z[1] - z[0]))
    assert np.abs(difference).mean() < 0.1
    assert abs(difference.mean()) < 0.02
    assert judged.ln_p_photo[rows] == pytest.approx(judged.ln_p[rows], abs=1e-5)


def test_all_of_a_galaxy_is_painted_where_fields_are_judged(mock, result):
    mesh = SkyMesh.around(
        mock.footprint, cosmology=mock.config.cosmology, redshift_range=(0.05, 1.2), radius=8.0,
        cellsize=20.0,
    )  # fmt: skip
    judge = SkyJudge(mock, mock.surveys, (0.0, 0.2, 0.5, 0.95, 1.4))
    counts = judge.painted(result, mesh)
    _, own = box_ends(mock, result)
    assert float(counts.sum()) == pytest.approx(own.sum() + len(mock.spec_rows), rel=0.002)
    true = np.histogram(mock.z_true[own], (0.0, 0.2, 0.5, 0.95, 1.4))[0]
    assert judge.in_bins.sum(axis=1)[own] == pytest.approx(1, abs=1e-4)
    assert np.abs(judge.in_bins.sum(axis=0) - true).max() < 3 * np.sqrt(true.max())


@pytest.mark.parametrize("method", ["redistribution", "wiener"])
def test_the_mean_density_is_right_in_every_shell(method, mock, result):
    made = result
    if method == "wiener":
        made = reconstruct(mock.surveys, method, patches=CELLS)
    means, errors = mean_deltas(made)
    assert (np.abs(means) < np.minimum(errors, 0.02)).all()


def test_the_network_is_given_photo_z_with_the_mean_that_is_expected(mock):
    patches = plan(mock.surveys, CELLS, method="redistribution")
    for patch in (patches[0], patches[2]):
        data = PatchData(mock.surveys, patch.box)
        samples = network_samples(data, spec_cells(data), "cic")
        inside = torch.from_numpy(data.fraction == 1)
        low, high = np.searchsorted(patch.box.centers(2), [patch.shell.near, patch.shell.far])
        # Where the counts are large enough for their mean.
        own = samples.photo_delta[inside][:, low:high].mean(0)
        assert float(own.median()) == pytest.approx(0, abs=0.15)
        unknown = sum(float(one.counts.sum()) for one in samples.photo)
        expected = data.expected_unknown().sum((0, 1))
        assert unknown == pytest.approx(
            float((photo_matrix(data, 0) @ expected).sum()), abs=3 * np.sqrt(unknown)
        )


def test_without_outliers_sight_lines_are_those_of_the_box(mock):
    surveys = mock.surveys
    box = plan(surveys, CELLS, method="redistribution")[1].box
    exact = replace(surveys, error=RedshiftError(SIGMA, 0.0, LIMITS))
    data = PatchData(exact, box)
    assert (data.sight_line.edges == box.redshift_edges).all()
    assert data.sight_line.before == data.sight_line.after == 0
    assert data.unknown_beyond is None
    rows = data.within()[:50]
    wanted = RedshiftError(SIGMA).rows(exact.photo.redshift[rows], box.redshift_edges)
    assert (data.likelihood(rows) == wanted).all()
    visible = data.visible(*data.photo_bounds)
    assert (data.expected_painted("cic") == data.expected_photo("cic") * visible).all()


def test_sight_lines_go_on_to_the_ends_of_n_of_z_in_growing_cells(mock):
    box = Core(plan(mock.surveys, CELLS, method="redistribution")[1]).box
    error = RedshiftError(SIGMA, SHARE, LIMITS)
    line = SightLine.of(box, NUMBERS, error)
    inside = line.edges[line.before : len(line.edges) - line.after]
    assert (inside == box.redshift_edges).all()
    assert NUMBERS.below(line.edges[[0, -1]]) / NUMBERS.total == pytest.approx([0, 1], abs=2e-6)
    width = np.diff(line.edges)
    growth = np.concatenate([
        width[line.before - 1 :: -1] / width[line.before : 0 : -1],
        width[-line.after :] / width[-line.after - 1 : -1],
    ])[1:-1]  # fmt: skip
    assert width.min() > 0
    assert growth.max() < 1.9
    assert line.beyond.sum() == line.before + line.after < 60
    assert line.redshift(line.place(0.25)) == pytest.approx(0.25)
    assert line.place(line.edges[0]) == -line.before
    # None where N(z) ends within the box.
    ends = float(inside[0]) + 1e-3, float(inside[-1]) - 1e-3
    within = NumberDensity(np.array(ends), np.array([1.0, 1.0]))
    assert (SightLine.of(box, within, error).edges == box.redshift_edges).all()


def test_a_posterior_has_its_quantiles_beyond_the_box():
    box = truez.Box((20, 20, 40), boxcenter=(10, 10, 20), periodic=False, cellsize=10)
    places = np.array([[5.0, 5.0], [12.0, 8.0], [15.0, 15.0]])
    # Two cells before, with an eighth of the galaxies each, and one of a quarter behind.
    inside, intensity = torch.ones(2, 2, 4), torch.ones(2, 2, 4)

    def galaxies(beyond=None):
        expected = inside if beyond is None else beyond.mesh_with(inside)
        return OwnPlaces(
            box=box, positions=places, expected=expected, before=0 if beyond is None else 2,
            likelihood=lambda rows: np.ones((len(rows), expected.shape[2])),
        )  # fmt: skip

    counts = torch.tensor([1.0, 1.0, 2.0]).expand(2, 2, 3).clone()
    beyond = CellsBeyond(counts, before=2)
    (some,) = walk_rows(galaxies(beyond), intensity)
    assert (some.start == -2).all()
    shares = torch.tensor([1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 7 / 8])
    assert some.quantile(shares)[0].tolist() == pytest.approx([-1.5, -1, 0, 2, 4, 4.5])
    for place, reached, cell in ((-1.5, 1 / 16, 1 / 8), (1.0, 3 / 8, 1 / 8), (4.5, 7 / 8, 1 / 4)):
        at = torch.full((3,), place)
        assert some.below(at)[0].tolist() == pytest.approx([reached] * 3)
        assert some.at(at).tolist() == pytest.approx([cell] * 3)
    assert some.log_evidence.tolist() == pytest.approx([0] * 3, abs=1e-6)
    # Only what is in the box is painted in it.
    field = posterior_field(
        galaxies(beyond), Intensity(intensity), known=np.zeros((0, 3)), resampler="ngp",
        expected=Field(torch.ones(2, 2, 4), box, "counts"),
    ).field  # fmt: skip
    assert float((field.values + 1).sum()) == pytest.approx(1.5)
    # Cells in which no galaxies are expected change nothing.
    empty = CellsBeyond(torch.zeros(2, 2, 3), before=2)
    (alone,) = walk_rows(galaxies(), intensity)
    (same,) = walk_rows(galaxies(empty), intensity)
    assert (same.probability[:, 2:6] == alone.probability).all()
    assert (same.quantile(shares) == alone.quantile(shares)).all()
    assert (same.log_evidence == alone.log_evidence).all()


def test_the_amplitude_is_that_of_the_whole_sight_line():
    rng = np.random.default_rng(3)
    box = truez.Box((10, 10, 60), boxcenter=(5, 5, 30), periodic=False, cellsize=10)
    delta = torch.tensor([0.4, -0.3, 0.4, -0.4, 0.3, -0.4])[None, None]
    expected = np.array([500.0, *[125.0] * 6, 750.0])
    rates = expected.copy()
    rates[1:7] *= 1 + delta[0, 0].numpy()
    matrix = 0.7 * np.eye(8) + 0.3 / 8
    likelihood = matrix[rng.choice(8, 2000, p=matrix @ rates / rates.sum())]
    sample = AmplitudeSample(
        box=box, positions=np.full((2000, 2), 5.0), likelihood=lambda rows: likelihood[rows],
        delta=delta, expected=torch.full((1, 1, 6), 125.0),
        beyond=CellsBeyond(torch.tensor([[[500.0, 750.0]]]), before=1),
    )  # fmt: skip
    a = np.linspace(0, 2, 2001)
    intensity = np.ones((len(a), 8))
    intensity[:, 1:7] = np.maximum(1 + a[:, None] * delta[0, 0].double().numpy(), 0.05)
    log_l = np.log(likelihood @ (expected * intensity).T).sum(axis=0)
    log_l -= (expected * intensity)[:, 1:7].sum(axis=1)
    assert 0 < log_l.argmax() < 2000
    found = fit_amplitude(sample)
    assert found.value == pytest.approx(a[log_l.argmax()], abs=0.05)
    assert found.gain == pytest.approx((log_l.max() - log_l[0]) / 2000, rel=0.1)
