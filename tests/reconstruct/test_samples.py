"""Posterior samples of a reconstruction: fields and redshifts of one and the same draws."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

import truez
from truez.mesh.painting import paint
from truez.mesh.samples_file import StoredSamples
from truez.reconstruct.result import Reconstruction

BOX = truez.Box((96, 96, 128), cellsize=4)


@pytest.fixture(scope="module")
def result():
    galaxies = truez.lognormal_galaxies(
        BOX, "planck18", redshift=0.6, density=1e-2, bias=1.5, seed=1
    )
    mock = galaxies.observe(spec_density=1e-3, sigma_z=0.005, cellsize=4, seed=2)
    return truez.reconstruct(mock.surveys, "redistribution", resampler="tsc")


def test_samples_show_the_catalogues_of_draws(result):
    surveys = result.surveys
    places = result.places(2, seed=3)
    for number, (sample, place) in enumerate(zip(result.samples(2, seed=3), places, strict=True)):
        assert sample.metadata == {"method": "redistribution", "seed": 3, "number": number}
        assert (sample.resampler, sample.kind, sample.box) == ("tsc", "delta", BOX)
        positions = np.column_stack([surveys.photo[:, :2], place])
        wanted = paint(positions, BOX, "tsc").to_delta(len(positions) / BOX.num_cells)
        np.testing.assert_allclose(sample, wanted, atol=1e-4)
    known = surveys.matched[surveys.matched >= 0]
    np.testing.assert_array_equal(places[0][known], surveys.spec[surveys.matched >= 0, 2])
    found, redshifts = result.redshifts(), result.draws(2, seed=3)
    assert np.corrcoef(redshifts[0], found["z_mean"])[0, 1] > 0.5
    np.testing.assert_array_equal(redshifts[0][known], found["z_mean"][known])


def test_samples_begin_anywhere(result):
    whole = [np.asarray(sample) for sample in result.samples(4, seed=1)]
    part = list(result.samples(2, seed=1, first=2))
    assert [sample.metadata["number"] for sample in part] == [2, 3]
    np.testing.assert_array_equal(part, whole[2:])
    assert np.abs(whole[0] - whole[1]).mean() > 0.05


def test_their_mean_is_the_estimate(result):
    """The field shares galaxies between cells as these are painted, on average."""
    samples = np.stack([np.asarray(one) for one in result.samples(40, seed=5)])
    smooth = result.delta.smooth(8).numpy()
    mean = truez.Field(samples.mean(axis=0), BOX).smooth(8).numpy()
    scatter = np.sqrt(np.mean((mean - smooth) ** 2) / np.var(smooth))
    assert scatter < 0.07
    ratio = samples.var(axis=0, ddof=1).mean() / float(result.sigma.square().mean())
    others = {name: value for name, value in result.metadata.items() if name != "fluctuations"}
    alone = replace(result, delta=replace(result.delta, metadata=others))
    samples = np.stack([np.asarray(one) for one in alone.samples(40, seed=5)])
    # Drawn one by one galaxies scatter as far as their own redshifts are unknown, together further.
    alone = samples.var(axis=0, ddof=1).mean() / float(result.sigma.square().mean())
    assert 0.7 < np.sqrt(alone) < 1.3
    assert ratio > 1.1 * alone


def test_what_has_no_samples_is_refused_at_once(result):
    for n in (0, -1, 2.5):
        with pytest.raises(ValueError, match=f"^n must be a whole number of at least 1, not {n}$"):
            result.samples(n, seed=1)
        with pytest.raises(ValueError, match=f"^n must be a whole number of at least 1, not {n}$"):
            result.draws(n, seed=1)
    with pytest.raises(ValueError, match=r"^seed must be a whole number of at least 0, not -1$"):
        result.samples(2, seed=-1)
    filtered = replace(result, intensity=None)
    with pytest.raises(ValueError, match="moves no galaxies and has no intensity"):
        filtered.samples(1, seed=1)
    with pytest.raises(ValueError, match="does not hold its surveys: read it with"):
        replace(result, surveys=None).samples(1, seed=1)


def test_samples_in_the_file_are_those_in_memory(result, tmp_path):
    path = tmp_path / "field.h5"
    result.write(path, samples=3, seed=4)
    stored = StoredSamples(path)
    assert (len(stored), stored.seed) == (3, 4)
    for one, same in zip(stored, result.samples(3, seed=4), strict=True):
        np.testing.assert_array_equal(one, same)
        assert one.metadata == same.metadata
        assert (one.resampler, one.shotnoise) == (same.resampler, same.shotnoise)
    back = Reconstruction.read(path, result.surveys)
    np.testing.assert_array_equal(back.delta, result.delta)
    np.testing.assert_array_equal(back.draws(1, seed=4), result.draws(1, seed=4))
    (again,) = back.samples(1, seed=4)
    np.testing.assert_array_equal(again, stored[0])
    result.write(path)
    with h5py.File(path) as file:
        assert "samples" not in file


def test_a_file_is_whole_or_as_it_was(result, tmp_path, monkeypatch):
    path = tmp_path / "field.h5"
    result.write(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="a FITS file holds one mesh and no samples"):
        result.write(tmp_path / "field.fits", samples=2)
    with pytest.raises(ValueError, match="n must be a whole number of at least 1, not -1"):
        result.write(path, samples=-1)

    def broken(*args, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("truez.sightlines.drawn.joint_places", broken)
    with pytest.raises(OSError, match="No space left"):
        result.write(path, samples=2)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["field.h5"]


def test_samples_of_a_median_are_of_its_posteriors(result):
    median = truez.reconstruct(result.surveys, "redistribution-median", draws=3, resampler="tsc")
    (one,), (other,) = median.samples(1, seed=1), result.samples(1, seed=1)
    np.testing.assert_array_equal(one, other)
