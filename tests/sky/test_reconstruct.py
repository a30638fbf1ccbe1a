"""The main job on the sky, on a small light cone: fields, sharpened redshifts, files."""

from dataclasses import fields, replace

import h5py
import numpy as np
import pytest
import torch
from tests.sky.light_cone import COSMOLOGY, Cone, light_cone, surveys_of, tables, turned

import truez
from truez.mesh.painting import paint
from truez.mesh.sphere import directions, frame, unit_vectors
from truez.sky.field import SkyField
from truez.sky.joint import walk_patch
from truez.sky.layout import intensity_of
from truez.sky.patch_data import PatchData
from truez.sky.patches import PatchSettings
from truez.sky.plan import plan
from truez.sky.reconstruct import reconstruct
from truez.sky.redshifts import BEYOND, EDGE, NO_PHOTO_Z, OUTSIDE
from truez.sky.result import SkyReconstruction
from truez.surveys.footprint import Footprint, Rectangle, Union

CELLS = PatchSettings(cellsize=5.0)


@pytest.fixture(scope="module")
def cone():
    return light_cone()


@pytest.fixture(scope="module")
def surveys(cone):
    return surveys_of(cone)


@pytest.fixture(scope="module")
def result(surveys):
    return reconstruct(surveys, "redistribution", patches=CELLS)


@pytest.fixture(scope="module")
def redshifts(result):
    return result.redshifts()


def judged(result, surveys, cone):
    """Nats over p(z | z_phot) and PIT of the galaxies without a spectrum, nan for others."""
    gain, pit = np.full((2, len(cone)), np.nan)
    number = result.patch_of(surveys.photo.ra, surveys.photo.dec, surveys.photo.redshift)
    for index, patch in enumerate(result):
        rows = np.flatnonzero((number == index) & surveys.unknown)
        edges = patch.box.redshift_edges
        place = np.interp(cone.z, edges, np.arange(len(edges)))
        for some in walk_patch(PatchData(surveys, patch.box), intensity_of(patch), rows):
            own = rows[some.rows]
            below, there = some.below(torch.from_numpy(place[own]).float())
            gain[own], pit[own] = there.log() + some.log_even, below
    return gain, pit


def check_calibration(pit, worst):
    pit = pit[np.isfinite(pit)]
    tenths = np.histogram(pit, np.linspace(0, 1, 11))[0] / len(pit)
    assert np.abs(tenths - 0.1).max() < worst
    assert 0.65 < np.mean((pit > 0.16) & (pit < 0.84)) < 0.71


def test_redshifts_are_sharper_and_calibrated(result, redshifts, surveys, cone):
    gain, pit = judged(result, surveys, cone)
    unknown = surveys.unknown & np.isfinite(gain)
    assert unknown.sum() > 18_000
    assert gain[unknown].mean() > 0.2
    # The galaxies have no structure in cells of less than 5 Mpc/h, which the intensity expects.
    expected = redshifts["information_gain"][unknown].mean()
    assert expected == pytest.approx(gain[unknown].mean(), rel=0.7)
    check_calibration(pit, 0.012)
    before, after = cone.z_phot - cone.z, redshifts["z_mean"] - cone.z
    assert np.std(after[unknown]) < 0.95 * np.std(before[unknown])
    lo, hi = redshifts["z_lo"][unknown], redshifts["z_hi"][unknown]
    inside = (lo < cone.z[unknown]) & (cone.z[unknown] < hi)
    assert inside.mean() == pytest.approx(0.68, abs=0.02)
    median = redshifts["z_median"][unknown]
    assert ((lo <= median) & (median <= hi)).all()


def test_known_redshifts_are_kept(redshifts, cone):
    known = redshifts["spec_matched"]
    np.testing.assert_array_equal(known, cone.spec)
    for name in ("z_mean", "z_median", "z_mode", "z_lo", "z_hi"):
        np.testing.assert_array_equal(redshifts[name][known], cone.z[known])
    assert (redshifts["z_std"][known] == 0).all()
    assert np.isnan(redshifts["information_gain"][known]).all()


def test_random_galaxies_gain_nothing():
    cone = light_cone(3, clustered=False)
    surveys = surveys_of(cone)
    gain, _ = judged(reconstruct(surveys, "redistribution", patches=CELLS), surveys, cone)
    assert abs(np.nanmean(gain)) < 0.005


def test_the_field_is_that_of_exact_redshifts(result, surveys, cone):
    (patch,) = result
    box = patch.box
    positions = box.positions(surveys.photo.ra, surveys.photo.dec, cone.z)
    truth = paint(positions, box, "cic", outside="drop").values
    inside = (patch.expected > 0.3).numpy() & patch.core[:, :, None]
    inside[..., : patch.core_cells.start] = inside[..., patch.core_cells.stop :] = False
    true = (truth / patch.expected - 1).numpy()[inside]
    found = patch.delta.numpy()[inside]
    photo = box.positions(surveys.photo.ra, surveys.photo.dec, cone.z_phot)
    seen = (paint(photo, box, "cic", outside="drop").values / patch.expected - 1).numpy()[inside]
    assert np.corrcoef(found, true)[0, 1] > 0.6 > np.corrcoef(seen, true)[0, 1] + 0.1
    # Sight lines keep their galaxies.
    counted = ((patch.delta + 1) * patch.expected).nan_to_num().sum()
    assert float(counted) == pytest.approx(len(cone), rel=0.01)
    assert float(patch.sigma[torch.from_numpy(inside)].mean()) > 0


def test_the_field_is_read_at_any_place(result):
    (patch,) = result
    i, j, k = (int(n) // 2 for n in patch.box.meshsize)
    center = np.array([[patch.box.centers(0)[i], patch.box.centers(1)[j], patch.box.centers(2)[k]]])
    for name in ("delta", "sigma"):
        found = result.at(*patch.box.sky(center), name)
        assert found[0] == pytest.approx(float(getattr(patch, name)[i, j, k]), rel=1e-4)
    # Four of the cells of the intensity are in one of the field.
    nx, ny, _ = patch.box.meshsize
    assert patch.intensity.shape[:2] == (2 * nx, 2 * ny)
    four = patch.intensity[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, k]
    found = result.at(*patch.box.sky(center), "intensity")
    assert found[0] == pytest.approx(float(four.mean()), rel=1e-4)
    beyond = result.at([0.0, 0.0, 0.0, 20.0], [0.0, 0.0, 4.0, 0.0], [0.05, 0.3, 0.2, 0.2])
    assert np.isnan(beyond).all()
    with pytest.raises(ValueError, match="what must be one of delta, sigma, intensity, not 'mass'"):
        result.at([0.0], [0.0], [0.2], "mass")


def test_a_file_holds_all(result, redshifts, surveys, tmp_path):
    path = tmp_path / "field.h5"
    result.write(path)
    read = SkyReconstruction.read(path, surveys)
    again = read.redshifts()
    for name in redshifts.columns:
        np.testing.assert_array_equal(again[name], redshifts[name])
    assert read.metadata["method"] == "redistribution"
    assert repr(SkyField.read(path)).startswith("SkyField by redistribution on 1 patch, ")
    with h5py.File(path) as file:
        group = file["patches/00000"]
        expected = group["completeness"][:][..., None] * group["expected_profile"][:]
        np.testing.assert_allclose(expected, result[0].expected, rtol=1e-6)
        assert group.attrs["chi_ref"] == result[0].box.chi_ref
    with pytest.raises(ValueError, match="does not hold its surveys: read it with"):
        SkyReconstruction.read(path).redshifts()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="is not a field on the sky that truez wrote"):
        SkyField.read(tmp_path / "other.h5")
    with pytest.raises(ValueError, match=r"is written as \.h5 or \.hdf5"):
        result.write(tmp_path / "field.fits")


@pytest.mark.medium
def test_draws_are_of_the_posteriors(result, redshifts, surveys, cone):
    draws = result.draws(30, seed=4)
    unknown = surveys.unknown & np.isfinite(redshifts["z_mean"])
    mean, std = (redshifts[name][unknown] for name in ("z_mean", "z_std"))
    pull = (draws[:, unknown].mean(0) - mean) / (std / np.sqrt(30))
    assert np.std(pull) == pytest.approx(1, abs=0.05)
    assert abs(np.mean(pull)) < 0.05
    assert (draws[:, cone.spec] == cone.z[cone.spec]).all()
    np.testing.assert_array_equal(result.draws(2, seed=4), draws[:2])
    with pytest.raises(ValueError, match="n must be a whole number of at least 1, not 0"):
        result.draws(0, seed=1)


@pytest.mark.medium
def test_the_cut_into_patches_does_not_matter(surveys):
    found = []
    for shift in ((0.0, 0.0), (0.5, 0.5)):
        settings = PatchSettings(cellsize=5.0, widest=6.5, shift=shift)
        patches = plan(surveys, settings, method="redistribution")
        assert len(patches) >= 2
        found.append(reconstruct(surveys, "redistribution", patches=patches).redshifts())
    one, two = found
    both = surveys.unknown & np.isfinite(one["z_mean"]) & np.isfinite(two["z_mean"])
    assert both.sum() >= surveys.unknown.sum() - 5
    away = (one["z_mean"] - two["z_mean"])[both]
    scale = one["z_std"][both].mean()
    assert np.sqrt(np.mean(away**2)) < 0.02 * scale


class Turned(Footprint):
    """A rectangle about (0, 0), turned to another place of the sky."""

    def __init__(self, rectangle, ra, dec, angle):
        self.rectangle, self.place = rectangle, (ra, dec, angle)

    @property
    def area(self):
        return self.rectangle.area

    def _axes(self):
        ra, dec, angle = self.place
        axes, turn = frame(ra, dec), np.radians(angle)
        rotation = np.array([
            [np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]
        ])  # fmt: skip
        return rotation @ axes

    def completeness(self, ra, dec):
        local = unit_vectors(ra, dec) @ self._axes().T
        return self.rectangle.completeness(*directions(local[..., [2, 0, 1]]))

    def sample(self, spacing):
        ra, dec = self.rectangle.sample(spacing)
        local = unit_vectors(ra, dec)[:, [1, 2, 0]]
        return directions(local @ self._axes())


@pytest.mark.medium
@pytest.mark.parametrize(
    "place",
    [(10.0, 89.0, 30.0), pytest.param((359.5, -40.0, 75.0), marks=pytest.mark.slow)],
)
def test_a_turned_sky_gives_the_same_redshifts(place, cone, redshifts):
    photo, spec = tables(cone, *turned(cone, *place))
    area = Turned(Rectangle(-6, 6, -3, 3), *place)
    surveys = surveys_of(cone, photo=photo, spec=spec, footprint=area)
    assert not surveys.outside.any()
    found = reconstruct(surveys, "redistribution", patches=CELLS).redshifts()
    both = surveys.unknown & np.isfinite(found["z_mean"]) & np.isfinite(redshifts["z_mean"])
    assert both.sum() >= surveys.unknown.sum() - 5
    away = (found["z_mean"] - redshifts["z_mean"])[both]
    scale = redshifts["z_std"][both].mean()
    assert np.sqrt(np.mean(away**2)) < 0.05 * scale
    gain = found["information_gain"][both].mean()
    assert gain == pytest.approx(redshifts["information_gain"][both].mean(), rel=0.05)


@pytest.mark.medium
def test_two_islands(cone):
    other = light_cone(2)
    away = turned(other, 180.0, 60.0)
    both = Cone(*(np.concatenate([a, b]) for a, b in (
        (cone.ra, away[0]), (cone.dec, away[1]), (cone.z, other.z), (cone.z_phot, other.z_phot),
        (cone.sigma, other.sigma), (cone.spec, other.spec),
    )))  # fmt: skip
    first = Rectangle(-6, 6, -3, 3)
    surveys = surveys_of(both, footprint=Union((first, Turned(first, 180.0, 60.0, 0.0))))
    result = reconstruct(surveys, "redistribution", patches=CELLS)
    assert len(result) == 2
    gain, pit = judged(result, surveys, both)
    near = np.arange(len(both)) < len(cone)
    assert np.nanmean(gain[near]) > 0.2
    assert np.nanmean(gain[~near]) > 0.2
    check_calibration(pit, 0.012)


def test_own_errors_are_used(surveys):
    cone = light_cone(1, own_errors=True)
    own = surveys_of(cone, sigma_z_column="SZ")
    assert len(own.classes) == 2
    result = reconstruct(own, "redistribution", patches=CELLS)
    gain, pit = judged(result, own, cone)
    assert np.nanmean(gain) > 0.15
    check_calibration(pit, 0.012)
    found = result.redshifts()
    small = own.unknown & (cone.sigma == 0.006)
    assert np.nanmean(found["z_std"][small]) < 0.6 * np.nanmean(
        found["z_std"][own.unknown & ~small]
    )


def test_weights_of_one_change_nothing(cone, redshifts):
    photo, spec = (table | {"W": np.ones(len(table["Z"]))} for table in tables(cone))
    surveys = surveys_of(cone, photo=photo, spec=spec, weight_column="w", spec_weight_column="W")
    found = reconstruct(surveys, "redistribution", patches=CELLS).redshifts()
    for name in found.columns:
        np.testing.assert_allclose(found[name], redshifts[name], rtol=1e-5, atol=1e-7)


def part_of(cone, rows):
    """Some galaxies of a cone."""
    return Cone(*(getattr(cone, one.name)[rows] for one in fields(Cone)))


def test_a_thinned_sky_is_made_up_for_by_weights(cone):
    kept = np.random.default_rng(5).random(len(cone)) < np.where(cone.dec > 0, 0.5, 1.0)
    part = part_of(cone, kept)
    weights = np.where(part.dec > 0, 2.0, 1.0)
    photo, spec = tables(part)
    photo["W"], spec["W"] = weights, weights[part.spec]
    surveys = surveys_of(part, photo=photo, spec=spec, weight_column="W", spec_weight_column="W")
    result = reconstruct(surveys, "redistribution", patches=CELLS)
    gain, pit = judged(result, surveys, part)
    check_calibration(pit, 0.015)
    assert np.nanmean(gain) > 0.14
    # The field is that of the weighted galaxies.
    counted = ((result[0].delta + 1) * result[0].expected).nan_to_num().sum()
    assert float(counted) == pytest.approx(weights.sum(), rel=0.02)


def test_a_sample_cut_in_photo_z_is_calibrated(cone):
    part = part_of(cone, (cone.z_phot > 0.15) & (cone.z_phot < 0.22))
    surveys = surveys_of(part, photo_range=(0.15, 0.22))
    gain, pit = judged(reconstruct(surveys, "redistribution", patches=CELLS), surveys, part)
    check_calibration(pit, 0.015)
    assert np.nanmean(gain) > 0.2


def test_galaxies_that_take_no_part_keep_their_row(cone, redshifts):
    photo, spec = tables(cone)
    lost = np.arange(0, len(cone), 50)
    z = photo["Z"].copy()
    z[lost[::3]], z[lost[1::3]], z[lost[2::3]] = -99, np.nan, 0.0
    dec, moved = photo["Dec"].copy(), np.arange(7, len(cone), 400)
    dec[moved] += 10
    far = 33
    z[far] = 0.9
    changed = photo | {"Z": z, "Dec": dec}
    surveys = surveys_of(cone, photo=changed, spec=spec)
    assert surveys.photo.num_without == len(lost)
    found = reconstruct(surveys, "redistribution", patches=CELLS).redshifts()
    assert len(found) == len(cone)
    assert (found["flag"][lost] & NO_PHOTO_Z > 0).all()
    assert (found["flag"][moved] & OUTSIDE > 0).all()
    assert found["flag"][far] == BEYOND
    for rows in (lost, moved):
        unmatched = rows[~cone.spec[rows]]
        assert np.isnan(found["z_mean"][unmatched]).all()
    rest = np.ones(len(cone), bool)
    rest[[*lost, *moved, far]] = False
    away = (found["z_mean"] - redshifts["z_mean"])[rest & surveys.unknown]
    assert np.nanstd(away) < 0.1 * np.nanmean(redshifts["z_std"][surveys.unknown])
    # At the edges, and there alone.
    edge = found["flag"] & EDGE > 0
    inner = (np.abs(cone.ra) < 5) & (np.abs(cone.dec) < 2)
    mapped = rest & (found["flag"] & BEYOND == 0)
    assert edge[mapped & (np.abs(cone.dec) > 2.9)].all()
    assert not edge[inner].any()


def test_where_there_are_no_spectra_nothing_is_gained_or_lost(cone):
    _, spec = tables(cone)
    west = spec["RA"] > 180
    half = {name: values[west] for name, values in spec.items()}
    surveys = surveys_of(cone, spec=half, spec_footprint=(354, 0, -3, 3))
    gain, _ = judged(reconstruct(surveys, "redistribution", patches=CELLS), surveys, cone)
    east = cone.ra > 0.5
    assert np.nanmean(gain[cone.ra < 0]) > 0.2
    assert np.nanmean(gain[cone.ra > 3]) == pytest.approx(0, abs=0.01)
    assert np.nanmean(gain[east]) > -0.002


@pytest.mark.parametrize("method", ["wiener-spec", "wiener"])
def test_filters_find_the_structure(method, surveys, cone):
    found = reconstruct(surveys, method, patches=CELLS)
    (patch,) = found
    box = patch.box
    positions = box.positions(surveys.photo.ra, surveys.photo.dec, cone.z)
    truth = paint(positions, box, "ngp", outside="drop").values
    inside = (patch.expected > 0.3).numpy() & patch.core[:, :, None]
    inside[..., : patch.core_cells.start] = inside[..., patch.core_cells.stop :] = False
    true = (truth / patch.expected - 1).numpy()[inside]
    correlation = np.corrcoef(patch.delta.numpy()[inside], true)[0, 1]
    assert correlation > 0.3
    assert patch.intensity is None
    with pytest.raises(ValueError, match="moves no galaxies and has no intensity"):
        found.redshifts()


def test_wrong_methods_and_settings(surveys):
    for message, arguments in {
        "method on the sky must be one of columns, .*, not 'dual-unet'": {"method": "dual-unet"},
        "method redistribution has no setting weight: leave weight out": {"weight": 1},
        "floor must be between 0 and 1, not 2": {"floor": 2},
        "amplitude must be from 0 to 2, not 3": {"amplitude": 3},
    }.items():
        with pytest.raises(ValueError, match=message):
            reconstruct(surveys, **{"method": "redistribution", "patches": CELLS} | arguments)
    with pytest.raises(ValueError, match=r"surveys must be a truez\.SkySurveys, not dict"):
        reconstruct({})
    bare = replace(surveys, matched=None, classes=surveys.classes * 2)
    with pytest.raises(ValueError, match="needs to know which galaxies are in both surveys"):
        reconstruct(bare, "wiener", patches=CELLS)
    with pytest.raises(ValueError, match="filter must be exact or local, not 'fourier'"):
        reconstruct(surveys, "redistribution", filter="fourier")
    with pytest.raises(ValueError, match="filter must be exact for both surveys"):
        reconstruct(surveys, "wiener", patches=CELLS, filter="local")


def test_the_filter_of_both_needs_no_matches_where_errors_are_alike(cone):
    matched = surveys_of(cone)
    found = [
        next(iter(reconstruct(some, "wiener", patches=CELLS)))
        for some in (matched, replace(matched, matched=None))
    ]
    inside = (found[0].expected > 0.3).numpy() & found[0].core[:, :, None]
    one, other = (patch.delta.numpy()[inside] for patch in found)
    assert np.corrcoef(one, other)[0, 1] > 0.95


@pytest.mark.medium
def test_the_local_filter_moves_galaxies_nearly_as_well(cone, surveys):
    gains = []
    for name in ("exact", "local"):
        found = reconstruct(surveys, "redistribution", patches=CELLS, filter=name)
        (shell,) = found.metadata["shells"]
        assert ("filter_iterations" in shell) == (name == "exact")
        gains.append(np.nanmean(judged(found, surveys, cone)[0]))
    assert gains[1] == pytest.approx(gains[0], rel=0.1)
    assert gains[1] != gains[0]


@pytest.mark.slow
def test_deep_surveys_are_cut_into_shells():
    box = truez.Box((140, 140, 1200), cellsize=5)
    galaxies = truez.lognormal_galaxies(
        box, COSMOLOGY, redshift=0.5, density=6e-3, bias=1.6, seed=3
    )
    positions = np.asarray(galaxies.positions, np.float64) + np.array([-70.0, -70.0, 900.0])
    chi = np.linalg.norm(positions, axis=1)
    ra, dec = directions(positions[:, [2, 0, 1]])
    ra = (ra + 180) % 360 - 180
    rng = np.random.default_rng(1)
    kept = (np.abs(ra) < 1.9) & (np.abs(dec) < 1.9) & (chi > 910) & (chi < 2090)
    kept &= rng.random(len(chi)) < np.exp(-(((chi - 900) / 900) ** 2))
    z = COSMOLOGY.distances.redshift(chi[kept])
    z_phot = z + 0.006 * (1 + z) * rng.standard_normal(len(z))
    cone = Cone(ra[kept], dec[kept], z, z_phot, np.full(len(z), 0.006), rng.random(len(z)) < 0.2)
    surveys = surveys_of(
        cone, footprint=(358.1, 1.9, -1.9, 1.9), sigma_z_column="SZ", redshift_range=(0.33, 0.86)
    )
    patches = plan(surveys, CELLS, method="redistribution")
    assert len(patches.shells) == 3
    result = reconstruct(surveys, "redistribution", patches=patches)
    assert [0.9 < shell["amplitude"] < 1.2 for shell in result.metadata["shells"]] == [True] * 3
    gain, pit = judged(result, surveys, cone)
    check_calibration(pit, 0.01)
    assert np.isfinite(gain).sum() > surveys.unknown.sum() - 50
    seen = COSMOLOGY.distances.from_redshift(z_phot)
    for shell in patches.shells[:-1]:
        near = np.abs(seen - shell.far) < 40
        assert np.nanmean(gain[near]) > 0.9 * np.nanmean(gain)
    read = result.at(cone.ra, cone.dec, z)
    inside = (z > 0.34) & (z < 0.85)
    assert np.isfinite(read[inside]).mean() > 0.99
