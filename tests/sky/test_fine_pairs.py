"""Smaller cells across the sky and pairs of photometric galaxies on the sky."""

import math
from dataclasses import fields, replace

import h5py
import numpy as np
import pytest
import torch
from tests.sky.light_cone import COSMOLOGY, Cone, light_cone, surveys_of, tables

from truez.mesh.box import Box
from truez.networks.error_head import ErrorHead
from truez.networks.error_model import ErrorModel
from truez.networks.survey_limits import SurveyLimits
from truez.sightlines.intensity import Intensity
from truez.sightlines.pairs import Pairs
from truez.sky import methods, spec_deltas
from truez.sky.core import Core
from truez.sky.field import SkyField
from truez.sky.joint import walk_patch
from truez.sky.layout import intensity_of
from truez.sky.methods import SkyRedistributionSettings
from truez.sky.patch_data import PatchData
from truez.sky.patches import PatchSettings
from truez.sky.plan import plan
from truez.sky.reconstruct import reconstruct, sharpen
from truez.sky.registry import METHODS

CELLS = PatchSettings(cellsize=8.0, widest=7.0)
#: Limits of an error model for all surveys.
WIDE = {
    "z_err": (0.0, 1.0), "sigma": (1.0, 500.0), "outlier_fraction": (0.0, 0.1),
    "spec_density": (1e-6, 1.0), "photo_density": (1e-6, 1.0), "overlap": (0.0, 1.0),
    "resampler": "cic", "redshift_space": "both", "cellsize": (1.0, 50.0),
    "along": (1.0, 50.0), "redshift": (0.0, 2.0),
}  # fmt: skip


def doubled(cone, seed=3):
    """The galaxies of a cone, each with another one less than 0.2 Mpc/h from it on the sky."""
    rng = np.random.default_rng(seed)
    chi = COSMOLOGY.distances.from_redshift(cone.z)
    step = np.degrees(rng.uniform(-0.15, 0.15, (2, len(cone))) / chi)
    ra, dec = cone.ra + step[0], cone.dec + step[1]
    z = COSMOLOGY.distances.redshift(chi + 4 * rng.standard_normal(len(cone)))
    z_phot = z + cone.sigma * (1 + z) * rng.standard_normal(len(z))
    new = Cone(ra, dec, z, z_phot, cone.sigma, rng.random(len(z)) < 0.1)
    rows = (np.abs(ra) < 6) & (np.abs(dec) < 3)
    pairs = ((getattr(cone, f.name), getattr(new, f.name)[rows]) for f in fields(Cone))
    return Cone(*(np.concatenate(both) for both in pairs))


@pytest.fixture(scope="module")
def cone():
    return doubled(light_cone(density=0.01))


@pytest.fixture(scope="module")
def surveys(cone):
    return surveys_of(cone)


@pytest.fixture(scope="module")
def result(surveys):
    return reconstruct(surveys, "redistribution", patches=CELLS)


def gains(field, surveys, cone):
    """Nats over p(z | z_phot) of the galaxies without a spectrum."""
    gain = np.full(len(cone), np.nan)
    number = field.patch_of(surveys.photo.ra, surveys.photo.dec, surveys.photo.redshift)
    for index, patch in enumerate(field):
        rows = np.flatnonzero((number == index) & surveys.unknown)
        edges = patch.box.redshift_edges
        place = np.interp(cone.z, edges, np.arange(len(edges)))
        for some in walk_patch(PatchData(surveys, patch.box), intensity_of(patch), rows):
            own = rows[some.rows]
            _, there = some.below(torch.from_numpy(place[own]).float())
            gain[own] = there.log() + some.log_even
    return gain


def test_neighbours_sharpen_redshifts_of_pairs(result, surveys, cone):
    (shell,) = result.metadata["shells"]
    assert shell["pairs"]["strength"] > 0.3
    assert shell["pairs"]["num_galaxies"] > 0.9 * surveys.unknown.sum()
    assert all(patch.pairs == Pairs(shell["pairs"]["strength"]) for patch in result)
    alone = SkyField(tuple(replace(patch, pairs=None) for patch in result), result.cosmology)
    with_pairs, without = (gains(one, surveys, cone) for one in (result, alone))
    assert np.nanmean(with_pairs - without) > 0.015


def test_random_galaxies_have_no_pairs():
    cone = light_cone(3, clustered=False)
    surveys = surveys_of(cone)
    result = reconstruct(surveys, "redistribution", patches=CELLS)
    found = result.metadata["shells"][0]["pairs"]
    assert found["strength"] < 0.1 + 3 * found["strength_error"]
    assert abs(np.nanmean(gains(result, surveys, cone))) < 0.005


@pytest.mark.medium
def test_a_file_and_redshifts_alone_have_the_same_pairs(result, surveys, tmp_path):
    path = tmp_path / "field.h5"
    stored = reconstruct(surveys, "redistribution", patches=CELLS, path=path)
    one, other = result[0], stored[0]
    assert one.pairs == other.pairs
    assert torch.equal(one.intensity, other.intensity)
    assert one.intensity.shape[:2] == tuple(2 * n for n in one.box.meshsize[:2])
    found = sharpen(surveys, "redistribution", patches=CELLS, draws=1, seed=3)
    read = stored.redshifts()
    for name, values in result.redshifts().columns.items():
        for catalog in (found.catalog, read):
            assert np.array_equal(catalog[name], values, equal_nan=values.dtype.kind == "f")
    assert np.array_equal(found.draws, stored.draws(1, seed=3), equal_nan=True)
    wrong = {
        "its pairs is not three numbers": (0.0, 1.0),
        "radius of pairs must be a positive length": (0.1, -1.0, 8.0),
    }
    for message, value in wrong.items():
        with h5py.File(path, "r+") as file:
            file["patches/00000"].attrs["pairs"] = value
        with pytest.raises(ValueError, match=message):
            SkyField.read(path)
    with h5py.File(path, "r+") as file:
        file["patches/00000"].attrs["pairs"] = (0.1, 0.8, 8.0)
        del file["patches/00000/intensity"]
        file["patches/00000/intensity"] = np.ones((3, 3, 3), np.float32)
    with pytest.raises(ValueError, match="its 'intensity' is not of the mesh that it declares"):
        SkyField.read(path)[0]


@pytest.mark.parametrize("outliers", [None, 0.05])
def test_posteriors_in_a_core_have_all_their_neighbours(cone, outliers):
    details = {} if outliers is None else {"outlier_fraction": outliers}
    surveys = surveys_of(cone, **details)
    settings = PatchSettings(cellsize=4.0, widest=6.5)
    core = Core(plan(surveys, settings, method="redistribution")[0])
    whole = core.patch.box
    intensity = 0.2 + torch.rand(whole.meshsize, generator=torch.Generator().manual_seed(1))
    inner = PatchData(surveys, core.box)
    # Those that are painted in the core and beside it.
    rows = inner.within(core.mask)
    found = []
    for data, values in ((PatchData(surveys, whole), intensity), (inner, core.cut(intensity))):
        mean = np.full(len(rows), np.nan)
        for some in walk_patch(data, Intensity(values, Pairs(0.5)), rows):
            cells = torch.arange(some.probability.shape[1])
            mean[some.rows] = (some.probability * cells).sum(1)
        found.append(mean)
    np.testing.assert_allclose(*found, atol=0.02)
    assert np.isfinite(found[0]).mean() > 0.99


def test_neighbours_count_once_whatever_their_weights(cone, surveys):
    photo, spec = tables(cone)
    photo["W"], spec["W"] = np.full(len(cone), 2.0), np.full(cone.spec.sum(), 2.0)
    weighted = surveys_of(cone, photo=photo, spec=spec, weight_column="W", spec_weight_column="W")
    box = plan(surveys, CELLS, method="redistribution")[0].box
    one, other = (
        (data := PatchData(some, box)).own_places(data.within()) for some in (surveys, weighted)
    )
    torch.testing.assert_close(one.expected, other.expected)
    seen = (one.expected * torch.from_numpy(one.visible)).sum()
    assert float(seen) == pytest.approx(len(one.positions), rel=0.03)
    chi = COSMOLOGY.distances.from_redshift(
        surveys.photo.redshift[PatchData(surveys, box).within()]
    )
    np.testing.assert_allclose(one.scale, chi / box.chi_ref)


@pytest.mark.medium
def test_small_cells_are_filtered_part_by_part(result, surveys, monkeypatch):
    monkeypatch.setattr(spec_deltas, "_FINE_CELLS", 2**15)
    (patch, *_) = plan(surveys, CELLS, method="redistribution")
    assert len(spec_deltas._parts(Core(patch), 2)[0]) > 1
    again = reconstruct(surveys, "redistribution", patches=CELLS)
    one, other = (field[0].intensity[result[0].core.repeat(2, 0).repeat(2, 1)]
                  for field in (result, again))  # fmt: skip
    assert float((one - other).std() / one.std()) < 0.02


def test_cells_of_the_field_without_pairs(surveys, result):
    found = reconstruct(surveys, "redistribution", patches=CELLS, sky_cellsize=8, pairs=False)
    assert found[0].pairs is None
    assert found[0].intensity.shape == found[0].delta.shape
    assert "pairs" not in found.metadata["shells"][0]
    # The means of the smaller cells are nearly what the larger ones have.
    mean = Intensity(result[0].intensity).on_mesh(result[0].box)
    inside = result[0].core
    assert np.corrcoef(mean[inside].ravel(), found[0].intensity[inside].ravel())[0, 1] > 0.95
    with pytest.raises(ValueError, match=r"sky_cellsize = 3 Mpc/h must be the cells' 8 divided"):
        reconstruct(surveys, "redistribution", patches=CELLS, sky_cellsize=3)


def test_small_cells_take_memory_and_time(surveys):
    (patch, *_) = plan(surveys, CELLS, method="redistribution")
    method = METHODS["redistribution"]
    coarse, fine = (SkyRedistributionSettings(sky_cellsize=size) for size in (8.0, 4.0))
    assert method.memory(patch, coarse) == patch.memory(method.meshes)
    assert 4 < method.memory(patch, fine) / method.memory(patch, coarse) < 6
    assert method.time(patch, fine) > 2 * method.time(patch, coarse)
    assert METHODS["wiener"].memory(patch, METHODS["wiener"].settings()) > 0


@pytest.mark.medium
def test_an_error_model_widens_the_error_and_nothing_else(result, surveys, monkeypatch):
    head = ErrorHead(10)
    torch.nn.init.constant_(head.last.bias, math.log(4))

    def found(**changes):
        survey = SurveyLimits(**{**WIDE, **changes})
        model = ErrorModel.fitted(head, Box(64, cellsize=2), survey, {})
        monkeypatch.setattr(methods, "shipped_error_model", lambda: model)
        return reconstruct(surveys, "redistribution", patches=CELLS)

    wider, beyond = found(), found(cellsize=(1.0, 2.0), along=(1.0, 2.0))
    (about,) = wider.metadata["shells"]
    assert about["error_model"] == "redistribution-errors of truez"
    (about,) = beyond.metadata["shells"]
    assert "error_model" not in about
    assert about["error_model_left_out"].startswith("at ")
    monkeypatch.setattr(methods, "shipped_error_model", lambda: None)
    plain = reconstruct(surveys, "redistribution", patches=CELLS)
    for one, two, three in zip(plain, wider, beyond, strict=True):
        torch.testing.assert_close(2 * one.sigma, two.sigma, equal_nan=True)
        torch.testing.assert_close(one.sigma, three.sigma, equal_nan=True, rtol=0, atol=0)
        torch.testing.assert_close(one.delta, two.delta, equal_nan=True, rtol=0, atol=0)


@pytest.mark.medium
def test_a_term_of_pairs_has_the_strength_of_the_photo_z(result, surveys, monkeypatch):
    head = ErrorHead(10, pairs=True)
    head.last.bias.data = torch.tensor([1.5, 2, 0.5]).log()
    model = ErrorModel.fitted(head, Box(64, cellsize=2), SurveyLimits(**WIDE), {})

    def found(shipped, **settings):
        monkeypatch.setattr(methods, "shipped_error_model", lambda: shipped)
        return reconstruct(surveys, "redistribution", patches=CELLS, **settings)

    strength = result.metadata["shells"][0]["pairs"]["strength"]
    # Without pairs in the intensity, too: groups are there all the same.
    for settings in ({}, {"pairs": False}):
        without, with_it = (found(one, **settings) for one in (None, model))
        (about,) = with_it.metadata["shells"]
        assert ("pairs" in about) == (not settings)
        for one, other in zip(without, with_it, strict=True):
            widened = (1.5 + 2 * strength / (1 + 0.5 * strength)) ** 0.5
            torch.testing.assert_close(widened * one.sigma, other.sigma, equal_nan=True)
            torch.testing.assert_close(one.delta, other.delta, equal_nan=True, rtol=0, atol=0)
