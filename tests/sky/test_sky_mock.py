"""Mocks on the sky: what is made, written and read again, and random galaxies like them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from truez.catalogs.catalog import Catalog
from truez.cosmology import Cosmology
from truez.mesh.box import Box
from truez.mesh.healpix import nested
from truez.sky.make_mock import Simulated, mock_from_simulation, mock_from_spectra
from truez.sky.mock import SkyMock, SkyMockConfig, is_sky_mock
from truez.sky.null import null_mock
from truez.surveys.footprint import Rectangle
from truez.surveys.mock import Mock
from truez.surveys.nz import NumberDensity
from truez.surveys.photo_scatter import PhotoScatter
from truez.surveys.pixel_map import PixelMap

PLANCK = Cosmology.of("planck18")
FIELD = Rectangle(350.0, 10.0, -6.0, 6.0)
WEST = Rectangle(350.0, 0.0, -6.0, 6.0)


def config(**changes) -> SkyMockConfig:
    settings = {
        "cosmology": "planck18", "redshift_range": (0.05, 0.3), "spec_fraction": 0.2, "seed": 4,
    }  # fmt: skip
    return SkyMockConfig(**{**settings, **changes})


def spectra(num: int = 3000, seed: int = 1):
    """A real catalogue: right ascensions, declinations and redshifts."""
    rng = np.random.default_rng(seed)
    ra, dec = np.mod(rng.uniform(-12, 12, num), 360), rng.uniform(-7, 7, num)
    return ra, dec, 0.4 * rng.beta(2, 3, num)


def real(*, sky=None, cfg: SkyMockConfig | None = None, **changes) -> SkyMock:
    return mock_from_spectra(sky or spectra(), cfg or config(), **{"footprint": FIELD, **changes})


@pytest.fixture(scope="module")
def box():
    rng = np.random.default_rng(2)
    num = 30_000
    return Simulated(
        rng.uniform(0, 150, (num, 3)), Box(150, 30), rng.normal(0, 200, (num, 3)),
        rng.normal(-20.5, 0.7, num),
    )  # fmt: skip


def holed() -> PixelMap:
    ra, dec = FIELD.sample(0.2)
    away = np.hypot(np.mod(ra + 180, 360) - 180, dec)
    pixels = np.unique(nested(ra[away > 2], dec[away > 2], 64))
    return PixelMap(64, pixels, np.full(len(pixels), 0.8, np.float32))


def same(a: SkyMock, b: SkyMock) -> bool:
    names = ("ids", "ra", "dec", "z_phot", "sigma_z", "z_true", "outlier", "spec_rows")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def test_galaxies_outside_footprint_and_range_are_left_out_and_counted():
    ra, dec, z = spectra()
    z[:7] = np.nan
    mock = real(sky=(ra, dec, z))
    inside = ~FIELD.outside(ra, dec)
    wanted = inside & (z >= 0.05) & (z <= 0.3)
    np.testing.assert_array_equal(mock.ids, np.flatnonzero(wanted))
    np.testing.assert_array_equal(mock.z_true, z[wanted])
    counts = [mock.source[f"num_{what}"] for what in
              ("without_redshift", "outside_range", "outside_footprint")]  # fmt: skip
    assert counts[0] == 7
    assert sum(counts) == len(ra) - len(mock.ids)


def test_a_share_of_the_galaxies_has_spectra_and_the_photo_z_do_not_depend_on_which():
    one, other = real(), real(cfg=config(spec_fraction=0.5))
    assert len(one.spec_rows) == round(0.2 * len(one.ids))
    np.testing.assert_array_equal(one.z_phot, other.z_phot)
    assert not same(one, real(cfg=config(seed=5)))
    assert same(one, real())


def test_ids_choose_the_galaxies_with_spectra_and_must_be_in_the_catalogue():
    ids = np.arange(3000) + 10_000
    chosen = np.random.default_rng(3).choice(ids, 600, replace=False)
    mock = real(ids=ids, spec_ids=chosen, cfg=config(spec_choice="ids", spec_fraction=None))
    assert set(mock.ids[mock.spec_rows]) == set(chosen) & set(mock.ids)
    with pytest.raises(ValueError, match="1 of 3 galaxies of spec_ids are not in the catalogue"):
        real(ids=ids, spec_ids=np.array([10_000, 10_001, 7]), cfg=config())


def test_spectra_lie_in_their_own_footprint_alone():
    mock = real(spec_footprint=WEST)
    assert not WEST.outside(mock.ra[mock.spec_rows], mock.dec[mock.spec_rows]).any()
    inside = np.count_nonzero(~WEST.outside(mock.ra, mock.dec))
    assert len(mock.spec_rows) == round(0.2 * inside)


def test_a_light_cone_has_the_wanted_numbers_magnitudes_and_errors(box):
    z = np.linspace(0.05, 0.3, 60)
    peak = NumberDensity(z, np.exp(-0.5 * ((z - 0.15) / 0.05) ** 2)).scaled(4000)
    photo = PhotoScatter(
        sigma_z=0.01, faint_factor=4, outlier_fraction=0.03, outlier_range=(0.0, 0.4)
    )
    mock = mock_from_simulation(
        box, config(photo=photo, spec_choice="bright"), footprint=FIELD, nz=peak
    )
    assert len(mock.ids) == pytest.approx(4000, rel=0.05)
    counts = np.histogram(mock.z_true, [0.1, 0.15, 0.2, 0.25])[0]
    np.testing.assert_allclose(counts, peak.counts([0.1, 0.15, 0.2, 0.25]), rtol=0.15)
    has = mock.has_spectrum
    assert mock.magnitude[has].max() <= mock.magnitude[~has].min()
    assert mock.sigma_z[has].max() <= mock.sigma_z[~has].min()
    assert mock.outlier.mean() == pytest.approx(0.03, abs=0.01)


def test_a_flux_limit_leaves_brighter_galaxies_alone(box):
    mock = mock_from_simulation(box, config(magnitude_limit=18.0), footprint=FIELD)
    assert mock.magnitude.max() < 18.0
    with pytest.raises(ValueError, match="magnitude_limit needs the magnitudes"):
        mock_from_simulation(
            dataclasses.replace(box, absolute=None), config(magnitude_limit=18.0), footprint=FIELD
        )


@pytest.mark.parametrize("spec_footprint", [None, WEST])
def test_a_mock_is_read_as_it_was_written(tmp_path, box, spec_footprint):
    photo = PhotoScatter(sigma_z=0.01, sigma_z_growth=0.05, photo_bias=(0.001, 0.002))
    mock = mock_from_simulation(
        box, config(photo=photo, spec_choice="luminous", complete_to=0.1), footprint=holed(),
        spec_footprint=spec_footprint, source={"catalogue": "box"},
    )  # fmt: skip
    mock.write(tmp_path / "m")
    found = SkyMock.read(tmp_path / "m")
    assert same(found, mock)
    np.testing.assert_array_equal(found.magnitude, mock.magnitude)
    assert (found.config, found.source) == (mock.config, mock.source)
    assert found.fingerprint == mock.fingerprint
    np.testing.assert_array_equal(found.footprint.values, mock.footprint.values)
    assert found.spec_footprint == (spec_footprint or found.footprint)
    assert is_sky_mock(tmp_path / "m")
    with pytest.raises(ValueError, match="holds a mock on the sky, not in a box"):
        Mock.read(tmp_path / "m")


def test_text_ids_are_kept(tmp_path):
    ids = np.array([f"J{i:04d}" for i in range(3000)])
    mock = real(ids=ids)
    mock.write(tmp_path / "m")
    np.testing.assert_array_equal(SkyMock.read(tmp_path / "m").ids, mock.ids)


def change(folder, name, column, values):
    table = Catalog.read(folder / name)
    table.with_columns({column: values(table[column])}).write(folder / name)


@pytest.mark.parametrize(
    ("name", "column", "values", "words"),
    [
        ("truth.parquet", "id", lambda x: x + 1, "hold different galaxies: make the mock again"),
        ("photo.parquet", "z_phot", lambda x: x * np.inf, "values that are not finite"),
        ("photo.parquet", "id", lambda x: x // 2, "photo.parquet in .* holds repeated ids"),
        ("spec.parquet", "z", lambda x: x + 0.1, "not those of truth.parquet"),
        ("spec.parquet", "id", lambda x: x[::-1], "not those of truth.parquet"),
    ],
)
def test_a_folder_whose_files_do_not_belong_together_is_refused(
    tmp_path, name, column, values, words
):
    real().write(tmp_path / "m")
    change(tmp_path / "m", name, column, values)
    with pytest.raises(ValueError, match=words):
        SkyMock.read(tmp_path / "m")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed = 4", "seed = -1", "mock.seed must be at least 0, not -1"),
        ("[sky]", "[box]\n[sky]", "a mock in a box, not on the sky"),
        ('footprint = "350.0', 'footprint = "3x50.0', "is damaged .*3x50.0"),
    ],
)
def test_a_damaged_description_is_refused(tmp_path, old, new, words):
    real().write(tmp_path / "m")
    path = tmp_path / "m" / "mock.toml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=words):
        SkyMock.read(tmp_path / "m")


def test_a_folder_without_a_mock_is_none(tmp_path):
    assert not is_sky_mock(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"holds no mock\.toml"):
        SkyMock.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spec_fraction": None}, "needs spec_fraction or spec_ids"),
        ({"redshift_range": (0.3, 0.1)}, "two ascending redshifts"),
    ],
)
def test_settings_that_describe_no_mock_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        config(**changes)


def test_galaxies_that_are_all_elsewhere_are_refused():
    with pytest.raises(ValueError, match="footprint misses 3000 of 3000 catalogue galaxies"):
        real(footprint=Rectangle(100, 120, 40, 50))
    with pytest.raises(ValueError, match="redshift_range 1,2 leaves none"):
        real(cfg=config(redshift_range=(1, 2)))


@pytest.mark.parametrize("own", [False, True])
def test_the_surveys_of_a_mock_know_its_matches_errors_and_range(own):
    photo = PhotoScatter(sigma_z=0.02, sigma_z_growth=0.05 if own else 0.0)
    mock = real(cfg=config(photo=photo), spec_footprint=WEST)
    surveys = mock.surveys
    np.testing.assert_array_equal(surveys.matched, mock.spec_rows)
    np.testing.assert_array_equal(surveys.spec.redshift, mock.z_true[mock.spec_rows])
    np.testing.assert_array_equal(
        np.broadcast_to(surveys.error.sigma_z, len(mock.ids)), mock.sigma_z
    )
    np.testing.assert_array_equal(np.broadcast_to(mock.error.sigma_z, len(mock.ids)), mock.sigma_z)
    assert surveys.redshift_range == (0.05, 0.3)
    assert surveys.spec_footprint is WEST
    assert surveys.metadata["mock"] == mock.fingerprint


def test_random_galaxies_have_the_numbers_errors_and_spectra_of_the_mock_but_no_structure():
    photo = PhotoScatter(
        sigma_z=0.01, sigma_z_growth=0.1, outlier_fraction=0.05, outlier_range=(0.0, 0.4)
    )
    mock = real(sky=spectra(20_000), cfg=config(photo=photo), spec_footprint=WEST)
    random = null_mock(mock, seed=1)
    assert len(random.ids) == len(mock.ids)
    assert len(random.spec_rows) == len(mock.spec_rows)
    assert not WEST.outside(random.ra[random.spec_rows], random.dec[random.spec_rows]).any()
    assert not FIELD.outside(random.ra, random.dec).any()
    edges = np.linspace(0.05, 0.3, 6)
    for rows in ("ids", "spec_rows"):
        given, made = (m.z_true if rows == "ids" else m.z_true[m.spec_rows] for m in (mock, random))
        a, b = (np.histogram(z, edges)[0] for z in (given, made))
        np.testing.assert_allclose(a, b, atol=5 * np.sqrt(a.max()))
    pulls = (random.z_phot - random.z_true) / (random.sigma_z * (1 + random.z_true))
    assert np.std(pulls[~random.outlier]) == pytest.approx(1, abs=0.03)
    far = [np.median(m.sigma_z[m.z_true > 0.25]) for m in (mock, random)]
    assert far[1] == pytest.approx(far[0], rel=0.05)
    assert not same(random, null_mock(mock, seed=2))
