"""The median over catalogues that are drawn from the posteriors."""

from dataclasses import replace

import numpy as np
import pytest

from truez.cosmology import COSMOLOGIES
from truez.mesh.box import Box
from truez.mesh.painting import paint
from truez.reconstruct import Reconstruction, estimate
from truez.sightlines.median import draw_places, median_of_draws
from truez.sightlines.sharpened import sharpen
from truez.simulate import lognormal_galaxies
from truez.surveys.mock import Mock, MockConfig
from truez.surveys.observe import make_mock
from truez.surveys.selection import Selection
from truez.surveys.surveys import Surveys

SIDE, CELLS = 128.0, 32
GALAXIES = lognormal_galaxies(
    Box(SIDE, CELLS), COSMOLOGIES["wmap"], redshift=0.59, density=4e-2, bias=1.2, seed=1
)


def cut_in_photo_z(mock: Mock) -> Mock:
    """The mock without the galaxies whose photo-z lie beyond the faces."""
    surveys = mock.surveys
    inside = surveys.photo_inside()
    row = np.where(inside, np.cumsum(inside) - 1, -1)
    assert surveys.matched is not None
    matched = np.where(surveys.matched >= 0, row[surveys.matched], -1)
    cut = replace(
        surveys,
        photo=surveys.photo[inside],
        matched=matched,
        num_both=float((matched >= 0).sum()),
        photo_bounds="photo-z",
    )
    return replace(mock, surveys=cut, truth=mock.truth[inside])


@pytest.fixture(scope="module", params=["periodic", "closed", "cut in photo-z"])
def made(request) -> tuple[Mock, Reconstruction]:
    periodic = request.param == "periodic"
    box = Box(SIDE, CELLS, periodic=periodic)
    config = MockConfig(
        redshift=0.59, cosmology=COSMOLOGIES["wmap"], sigma_z=0.005, rank_by="mass",
        spec=Selection(density=2e-3), photo=Selection(density=2e-2), redshift_space=False, seed=3,
    )  # fmt: skip
    mock = make_mock(GALAXIES.positions, box, config, columns={"mass": GALAXIES.mass})
    if request.param == "cut in photo-z":
        mock = cut_in_photo_z(mock)
    return mock, estimate(mock.surveys, "redistribution")


def painted(surveys: Surveys, place: np.ndarray, resampler: str = "cic") -> np.ndarray:
    """Overdensity of a drawn catalogue, without the galaxies that have no place in the box."""
    here = np.isfinite(place) & (place >= surveys.box.lower[2]) & (place <= surveys.box.upper[2])
    positions = np.column_stack([surveys.photo[here, :2], place[here]])
    level = len(surveys.photo) / surveys.box.num_cells
    return paint(positions, surveys.box, resampler).to_delta(level).numpy()


@pytest.mark.parametrize("resampler", ["ngp", "cic", "tsc"])
def test_a_median_in_slabs_is_that_of_the_whole(made, monkeypatch, resampler):
    mock, moved = made
    draws = 5
    places = draw_places(mock.surveys, moved.intensity, draws, np.random.default_rng(1))
    wanted = np.median([painted(mock.surveys, place, resampler) for place in places], axis=0)
    for planes in (1, 7, 31, 32):
        monkeypatch.setattr("truez.sightlines.median.PAINTED_CELLS", planes * draws * CELLS**2)
        found = median_of_draws(
            mock.surveys, moved.intensity, draws, np.random.default_rng(1), resampler=resampler
        )
        assert np.allclose(found.numpy(), wanted, atol=1e-4)


def test_draws_follow_the_posteriors(made):
    mock, moved = made
    surveys = mock.surveys
    places = draw_places(surveys, moved.intensity, 40, np.random.default_rng(2))
    assert places.shape == (40, len(surveys.photo))
    if surveys.box.periodic:
        assert places.min() >= 0
        assert places.max() <= SIDE
    known = surveys.matched[surveys.matched >= 0]
    assert np.allclose(places[:, known], surveys.spec[surveys.matched >= 0, 2], atol=1e-4)
    sharp = sharpen(surveys, moved.intensity)
    inside = places - sharp.lower
    if surveys.box.periodic:
        inside %= SIDE
    chosen = surveys.photo_only() & np.isfinite(sharp.mean)
    assert (inside[:, chosen] >= 0).mean() == pytest.approx(
        1.0 if surveys.box.periodic else 0.84, abs=0.004
    )
    assert (inside <= sharp.upper - sharp.lower)[:, chosen].mean() == pytest.approx(
        0.68 if surveys.box.periodic else 0.84, abs=0.004
    )


def test_a_median_is_nearer_to_the_truth_than_a_draw(made):
    mock, moved = made
    truth, _, _ = mock.fields()
    rng = np.random.default_rng(4)
    median = median_of_draws(mock.surveys, moved.intensity, 15, rng).numpy()
    place = draw_places(mock.surveys, moved.intensity, 1, rng)[0]
    draw = painted(mock.surveys, place)
    error, other = (np.abs(field - truth.numpy()).mean() for field in (median, draw))
    assert error < 0.85 * other
    assert median.min() >= -1


def test_a_median_of_no_draws_is_refused(made):
    mock, moved = made
    with pytest.raises(ValueError, match=r"^draws must be at least 1, not 0$"):
        median_of_draws(mock.surveys, moved.intensity, 0, np.random.default_rng(1))
