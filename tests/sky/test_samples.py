"""Posterior samples on the sky: fields and redshifts of one and the same draws, patch by patch."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from tests.sky.light_cone import light_cone, surveys_of

from truez.mesh.file_checks import FieldError
from truez.mesh.painting import paint
from truez.sightlines.posteriors import random_shares
from truez.sky.field import SkyField
from truez.sky.layout import grown
from truez.sky.patch_data import PatchData
from truez.sky.patches import PatchSettings
from truez.sky.reconstruct import reconstruct
from truez.sky.result import SkyReconstruction
from truez.sky.samples_file import StoredSkySamples

CELLS = PatchSettings(cellsize=8.0, widest=7.0)
OTHER = PatchSettings(cellsize=8.0, widest=7.0, shift=(0.4, 0.3))


@pytest.fixture(scope="module")
def surveys():
    found = surveys_of(light_cone(density=0.01))
    weights = np.random.default_rng(1).uniform(0.5, 1.5, len(found.photo))
    return replace(found, photo_weights=weights / weights.mean())


@pytest.fixture(scope="module")
def path(surveys, tmp_path_factory):
    path = tmp_path_factory.mktemp("sky") / "field.h5"
    reconstruct(surveys, "redistribution", patches=CELLS, path=path, samples=3, seed=4)
    return path


@pytest.fixture(scope="module")
def result(path, surveys):
    return SkyReconstruction.read(path, surveys)


def alone(result):
    """The same without what galaxies of one group share."""
    shells = [
        {name: value for name, value in shell.items() if name != "fluctuations"}
        for shell in result.metadata["shells"]
    ]
    return replace(result, metadata={**result.metadata, "shells": shells})


def same(one, other):
    return torch.equal(torch.nan_to_num(one, nan=9.0), torch.nan_to_num(other, nan=9.0))


def test_samples_show_the_catalogues_of_draws(result, surveys):
    (sample,) = result.samples(1, seed=4, first=1)
    assert isinstance(sample, SkyField)
    assert sample.metadata == {**result.metadata, "seed": 4, "number": 1}
    z = result.draws(2, seed=4)[1]
    _, matched = surveys.matched_pairs
    assert len(result) > 1
    for patch, drawn in zip(result, sample, strict=True):
        data = PatchData(surveys, patch.box)
        low, high = data.photo_bounds
        there = surveys.unknown & (surveys.photo.redshift >= low)
        there &= (surveys.photo.redshift <= high) & np.isfinite(z)
        there[matched] = True
        rows = np.flatnonzero(there)
        chi = patch.box.cosmology.distances.from_redshift(z[rows])
        positions = np.column_stack([data.places(rows), chi])
        counts = paint(
            positions, patch.box, weights=surveys.photo_weights[rows], outside="drop"
        ).values
        expected = data.expected_painted("cic")
        wanted = torch.where(expected > 0, counts / expected - 1, 0.0)
        kept = torch.from_numpy(grown(patch.core))
        torch.testing.assert_close(drawn.delta[kept], wanted[kept], atol=2e-2, rtol=1e-2)
        assert drawn.sigma is drawn.intensity is drawn.pairs is None


def test_masks_are_those_of_the_estimate(result):
    (sample,) = result.samples(1, seed=2)
    for patch, drawn in zip(result, sample, strict=True):
        assert torch.equal(torch.isnan(drawn.delta), torch.isnan(patch.delta))
        assert drawn.box == patch.box
        assert np.array_equal(drawn.completeness, patch.completeness)
    sky = result.surveys.photo
    read = sample.at(sky.ra, sky.dec, sky.redshift)
    assert np.array_equal(np.isnan(read), np.isnan(result.at(sky.ra, sky.dec, sky.redshift)))
    assert sample.has("delta")
    assert not sample.has("intensity")
    assert sample.mesh(0, "sigma") is None


def test_every_galaxy_that_is_painted_has_a_redshift(result, surveys):
    z = result.draws(1, seed=1)[0]
    for outline in result.layout.outlines:
        rows = PatchData(surveys, outline.box).within(grown(outline.core, 2))
        assert np.isfinite(z[rows]).all()


def test_a_seam_is_the_same_from_both_sides(result):
    """Galaxies near it are at one place in both patches, which share one lattice of cells."""
    (sample,) = result.samples(1, seed=3)
    found = {}
    for patch in sample:
        centers = [np.round(patch.box.centers(axis), 3) for axis in (0, 1)]
        for i, j in np.argwhere(grown(patch.core)):
            key = (patch.near, patch.box.ra, centers[0][i], centers[1][j])
            found.setdefault(key, []).append(patch.delta[i, j])
    both = [lines for lines in found.values() if len(lines) == 2]
    assert len(both) > 20
    for one, other in both:
        torch.testing.assert_close(one, other, atol=2e-3, rtol=1e-3)


@pytest.mark.medium
def test_draws_do_not_depend_on_the_cut(result, surveys):
    """Of galaxies drawn one by one, apart from posteriors, which differ where halos end."""
    result = alone(result)
    other = alone(reconstruct(surveys, "redistribution", patches=OTHER))
    here, there = (one.draws(1, seed=5)[0] for one in (result, other))
    moved = np.abs(here - there)[surveys.unknown]
    moved = moved[np.isfinite(moved)]
    scatter = np.std(here - result.draws(1, seed=6)[0], where=surveys.unknown & np.isfinite(here))
    assert np.mean(moved < 0.05 * scatter) > 0.97
    assert np.std(moved) < 0.1 * scatter


def test_a_galaxy_is_drawn_at_the_share_of_its_row(result, surveys):
    result = alone(result)
    found = result.redshifts(interval=0.5)
    shares = random_shares(np.random.default_rng([8, 1]), len(surveys.photo)).numpy()
    z = result.draws(2, seed=8)[1]
    rows = surveys.unknown & np.isfinite(z)
    for share, name in ((0.25, "z_lo"), (0.5, "z_median"), (0.75, "z_hi")):
        assert np.array_equal((shares < share)[rows], (z < found[name])[rows])


def test_samples_depend_on_seed_and_number_alone(result, monkeypatch):
    whole = list(result.samples(3, seed=4))
    (last,) = result.samples(1, seed=4, first=2)
    monkeypatch.setattr("truez.sightlines.joint.SAMPLES_AT_ONCE", 2)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    turns = list(result.samples(3, seed=4))
    for number in range(len(result)):
        deltas = [one.mesh(number, "delta") for one in whole]
        assert same(deltas[2], last.mesh(number, "delta"))
        for one, other in zip(deltas, turns, strict=True):
            assert same(one, other.mesh(number, "delta"))
        assert torch.nan_to_num(deltas[0] - deltas[1]).abs().max() > 0.1


@pytest.mark.medium
@pytest.mark.parametrize(("together", "most"), [(False, 1.25), (True, 1.6)])
def test_their_mean_is_the_estimate(result, together, most):
    """Of galaxies that move together but for what fluctuations do to a mean posterior."""
    num, result = 32, result if together else alone(result)
    means = [0.0] * len(result)
    for sample in result.samples(num, seed=5):
        for number in range(len(result)):
            means[number] = means[number] + sample.mesh(number, "delta") / num
    for patch, mean in zip(result, means, strict=True):
        kept = patch.core[..., None] & (patch.expected.numpy() > 0.05)
        level = torch.from_numpy(patch.completeness)[..., None] * patch.expected
        away, spread = (mean - patch.delta)[kept], patch.sigma[kept]
        assert float((away / spread * num**0.5).square().mean().sqrt()) < most
        total = float((level[kept] * away).sum() / level[kept].sum())
        assert abs(total) < 0.01


def test_samples_in_the_file_are_those_in_memory(path, result, surveys, tmp_path):
    stored = StoredSkySamples(path)
    assert (len(stored), stored.seed) == (3, 4)
    assert repr(stored).startswith("3 samples of seed 4 of SkyField by redistribution")
    for one, made in zip(stored, result.samples(3, seed=4), strict=True):
        assert one.metadata == made.metadata
        assert all(same(a.delta, b.delta) for a, b in zip(one, made, strict=True))
    assert [one.metadata["number"] for one in stored[1:]] == [1, 2]
    with pytest.raises(IndexError):
        stored[3]
    whole = reconstruct(surveys, "redistribution", patches=CELLS)
    whole.write(tmp_path / "again.h5", samples=2, seed=4)
    again = StoredSkySamples(tmp_path / "again.h5")
    assert len(again) == 2
    assert all(same(a.delta, b.delta) for a, b in zip(again[1], stored[1], strict=True))
    assert [file.name for file in tmp_path.iterdir()] == ["again.h5"]
    result.write(tmp_path / "again.h5")
    with h5py.File(tmp_path / "again.h5") as file:
        assert "samples" not in file["patches/00000"]
    with pytest.raises(FieldError, match="has no posterior samples: truez reconstruct --samples N"):
        StoredSkySamples(tmp_path / "again.h5")


def test_a_file_is_whole_or_not_there(surveys, tmp_path, monkeypatch):
    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("truez.sky.drawn.PatchPainter.delta", broken)
    with pytest.raises(KeyboardInterrupt):
        reconstruct(surveys, "redistribution", patches=CELLS, path=tmp_path / "field.h5", samples=2)
    assert not list(tmp_path.iterdir())


def test_what_has_no_samples_is_refused_at_once(result, surveys, tmp_path):
    for n in (0, -1, 2.5):
        for call in (result.samples, result.draws):
            with pytest.raises(ValueError, match=f"^n must be a whole number of .* 1, not {n}$"):
                call(n, seed=1)
    with pytest.raises(ValueError, match=r"^seed must be a whole number of at least 0, not -1$"):
        result.samples(2, seed=-1)
    with pytest.raises(ValueError, match="does not hold its surveys: read it with"):
        replace(result, surveys=None).samples(1, seed=1)
    with pytest.raises(ValueError, match="samples = 2 are written to a file: give path, or call"):
        reconstruct(surveys, "redistribution", patches=CELLS, samples=2)
    out = tmp_path / "field.h5"
    with pytest.raises(ValueError, match="method wiener-spec moves no galaxies"):
        reconstruct(surveys, "wiener-spec", patches=CELLS, path=out, samples=2)
    filtered = [replace(patch, intensity=None, sigma=None) for patch in result]
    with pytest.raises(ValueError, match="moves no galaxies and has no intensity"):
        replace(result, patches=filtered).samples(1, seed=1)
    assert not list(tmp_path.iterdir())


# --- broken files ---------------------------------------------------------------------------------


def other_number(file):
    data = file["patches/00001/samples"][:2]
    del file["patches/00001/samples"]
    file["patches/00001/samples"] = data
    file["patches/00001/samples"].attrs["seed"] = 4


def other_mesh(file):
    del file["patches/00001/samples"]
    file["patches/00001/samples"] = np.zeros((3, 2, 2, 2), np.float32)


def infinite(file):
    file["patches/00000/samples"][0, 0, 0, 0] = np.inf


def no_seed(file):
    del file["patches/00000/samples"].attrs["seed"]


def none_here(file):
    del file["patches/00001/samples"]


def link(file):
    file["patches/00001"].move("samples", "old")
    file["patches/00001/samples"] = h5py.SoftLink("/patches/00001/old")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (other_number, "its patches have different samples"),
        (none_here, "its patches have different samples"),
        (other_mesh, "its samples are not of the mesh that it declares"),
        (infinite, "infinity in 1 of its"),
        (no_seed, "its seed is not a number"),
        (link, "its 'samples' is a link to another place"),
    ],
)
def test_broken_samples_are_refused_in_one_sentence(path, tmp_path, how, message):
    place = tmp_path / "damaged.h5"
    place.write_bytes(path.read_bytes())
    with h5py.File(place, "r+") as file:
        how(file)
    with pytest.raises(FieldError, match=message) as refused:
        [sample[number] for sample in StoredSkySamples(place) for number in range(len(sample))]
    assert len(str(refused.value).replace(str(place), "")) < 300
