"""Surveys on the sky from catalogues: columns, matches, errors, N(z), and what is refused."""

import numpy as np
import pandas as pd
import pytest
from astropy.table import MaskedColumn, Table
from tests.sky.light_cone import SIGMA, light_cone, surveys_of, tables

from truez.catalogs.catalog import Catalog
from truez.sky.details import SkyDetails
from truez.sky.surveys import SkySurveys
from truez.support.notes import Note
from truez.surveys.nz import NumberDensity

AREA = (354, 6, -3, 3)


@pytest.fixture(scope="module")
def cone():
    return light_cone(density=0.01)


@pytest.fixture(scope="module")
def surveys(cone):
    return surveys_of(cone)


def test_the_numbers_are_those_of_the_catalogues(surveys, cone):
    assert (len(surveys.photo), len(surveys.spec)) == (len(cone), cone.spec.sum())
    assert surveys.num_both == cone.spec.sum()
    assert surveys.common == 1
    np.testing.assert_array_equal(surveys.known_rows, np.flatnonzero(cone.spec))
    assert surveys.unknown.sum() == len(cone) - cone.spec.sum()
    assert surveys.nz.total == pytest.approx(len(cone), rel=0.01)
    assert surveys.spec_nz.total == pytest.approx(cone.spec.sum(), rel=1e-6)
    assert repr(surveys).startswith(
        "SkySurveys on 71.97 deg^2, map at z = 0.105 to 0.253\n  photo "
    )
    assert surveys.describe()["num_photo"] == len(cone)
    assert surveys.largest_error == SIGMA


def test_files_tables_and_frames_are_the_same(cone, surveys, tmp_path):
    photo, spec = tables(cone)
    Catalog(photo).write(tmp_path / "photo.parquet")
    Catalog(spec).write(tmp_path / "spec.fits")
    for one, other in (
        (tmp_path / "photo.parquet", str(tmp_path / "spec.fits")),
        (Table(photo), Table(spec)),
        (pd.DataFrame(photo), pd.DataFrame(spec)),
        (Catalog(photo), Catalog(spec)),
    ):
        found = surveys_of(cone, photo=one, spec=other)
        np.testing.assert_array_equal(found.matched, surveys.matched)
        np.testing.assert_array_equal(found.photo.redshift, surveys.photo.redshift)
    assert found.metadata["match_id"] == "id"


def test_one_catalogue_serves_for_both(cone, surveys):
    photo, _ = tables(cone)
    known = np.where(cone.spec, cone.z, -99.0)
    found = SkySurveys.from_catalogs(
        photo=photo | {"Z_SPEC": known}, footprint=AREA, sigma_z=SIGMA,
        details=SkyDetails(spec_z_column="z_spec", redshift_space=False),
    )  # fmt: skip
    np.testing.assert_array_equal(found.matched, surveys.matched)
    np.testing.assert_array_equal(found.spec.redshift, surveys.spec.redshift)
    assert found.spec_nz.total == pytest.approx(surveys.spec_nz.total)


@pytest.mark.parametrize("one_catalogue", [True, False])
def test_cuts_leave_galaxies_out_of_one_survey_or_both(cone, one_catalogue):
    photo, spec = tables(cone)
    mag = np.random.default_rng(2).uniform(20, 25, len(cone))
    mag[::100] = np.nan
    given = {"photo": photo | {"Mag": mag, "z_spec": np.where(cone.spec, cone.z, -99.0)}}
    details = {"photo_cut": ("mag<24",), "spec_cut": ("MAG<=23",), "redshift_space": False}
    if one_catalogue:
        details["spec_z_column"] = "z_spec"
    else:
        given |= {"spec": spec | {"Mag": mag[cone.spec]}, "match_id": "id"}
    found = SkySurveys.from_catalogs(
        **given, footprint=AREA, sigma_z=SIGMA, details=SkyDetails(**details)
    )
    np.testing.assert_array_equal(found.photo_cut, ~(mag < 24))
    np.testing.assert_array_equal(found.usable, mag < 24)
    known = cone.spec & (mag <= 23)
    np.testing.assert_array_equal(np.sort(found.known_rows), np.flatnonzero(known))
    assert found.num_both == found.spec_usable.sum() == known.sum()
    assert found.metadata["photo_cut"] == (~(mag < 24)).sum()
    with pytest.raises(ValueError, match="photo_cut must read like"):
        SkyDetails(photo_cut=("mag",))
    with pytest.raises(ValueError, match="no galaxy passes mag<1"):
        SkySurveys.from_catalogs(
            **given, footprint=AREA, sigma_z=SIGMA,
            details=SkyDetails(**(details | {"photo_cut": ("mag<1",)})),
        )  # fmt: skip


def test_galaxies_are_matched_by_place_or_counted(cone, surveys):
    photo, spec = tables(cone)
    near = spec | {"RA": spec["RA"] + 0.1 / 3600}
    options = {"photo": photo, "footprint": AREA, "sigma_z": SIGMA}
    found = SkySurveys.from_catalogs(spec=near, **options, details=SkyDetails(match_radius=0.5))
    assert np.mean(found.matched == surveys.matched) > 0.999
    assert found.metadata["matches_by_chance"] < 5
    with pytest.warns(
        Note, match=r"spec galaxies are exactly where a photo galaxy is, and overlap"
    ):
        half = SkySurveys.from_catalogs(spec=spec, overlap=0.5, **options)
    assert half.matched is None
    assert half.num_both == cone.spec.sum() / 2
    assert half.unknown.sum() == len(cone)
    renamed = {"NAME" if name == "ID" else name: x for name, x in spec.items()}
    found = SkySurveys.from_catalogs(spec=renamed, match_id="name:id", **options)
    np.testing.assert_array_equal(found.matched, surveys.matched)
    bricks = [table | {"BRICK": table["ID"] // 100, "OBJ": table["ID"] % 100}
              for table in (photo, spec)]  # fmt: skip
    options["photo"] = bricks[0]
    found = SkySurveys.from_catalogs(spec=bricks[1], match_id="brick+obj", **options)
    np.testing.assert_array_equal(found.matched, surveys.matched)


def test_errors_of_each_galaxy(cone):
    photo, _ = tables(cone)
    sigma = np.where(np.arange(len(cone)) % 2, 0.01, 0.03)
    z_err = sigma * (1 + cone.z_phot)
    masked = MaskedColumn(z_err, mask=np.arange(len(cone)) % 100 == 0)
    table = Table(photo | {"SZ": sigma, "OUT": np.full(len(cone), 0.02)})
    table["ERR"] = masked
    own = surveys_of(cone, photo=table, sigma_z_column="sz", outlier_fraction="out")
    assert own.error.num_galaxies == len(cone)
    assert [one.error.sigma_z for one in own.classes] == pytest.approx([0.01, 0.03])
    assert own.classes[1].error.outlier_fraction == pytest.approx(0.02)
    assert own.largest_error == pytest.approx(0.03)
    absolute = surveys_of(cone, photo=table, z_err_column="ERR")
    assert absolute.error.absolute
    lost = int(masked.mask.sum())
    assert absolute.photo.without == {"no_error": lost}
    assert absolute.usable.sum() == len(cone) - lost
    assert absolute.largest_error == pytest.approx(0.03, rel=1e-6)
    assert (absolute.class_of[masked.mask] == -1).all()


@pytest.mark.parametrize("absolute", [False, True])
def test_absolute_errors_that_follow_the_photo_z_make_one_class(cone, absolute):
    # Classes by a number that only tells of the photo-z would count it twice.
    error = np.full(len(cone), 0.01) if absolute else 0.01 * (1 + cone.z_phot)
    found = surveys_of(cone, photo=tables(cone)[0] | {"ERR": error}, z_err_column="ERR")
    (only,) = found.classes
    assert only.error.absolute == absolute
    assert only.error.sigma_z == pytest.approx(0.01)
    np.testing.assert_allclose(found.error.sigma_z, error)


def test_a_given_n_of_z_is_scaled_to_the_galaxies(cone, surveys, tmp_path):
    Catalog({"z": surveys.nz.redshift, "n": 3 * surveys.nz.density}).write(tmp_path / "nz.csv")
    found = surveys_of(cone, nz=tmp_path / "nz.csv", spec_nz=surveys.spec_nz.scaled(7.0))
    assert found.nz.total == pytest.approx(surveys.nz.total, rel=0.01)
    assert found.spec_nz.total == pytest.approx(cone.spec.sum())
    far = NumberDensity(np.array([0.3, 0.4, 0.5]), np.array([0.0, 1.0, 0.0]))
    with pytest.raises(ValueError, match="nz"):
        surveys_of(cone, nz=far)
    with pytest.raises(ValueError, match=r"^spec_nz contradicts the spec redshifts"):
        surveys_of(
            cone, spec_nz=NumberDensity(np.array([0.0, 0.15, 0.3]), np.array([1.0, 0.1, 0.0]))
        )


def test_weights_count(cone, surveys):
    photo, spec = (table | {"W": np.full(len(table["Z"]), 2.0)} for table in tables(cone))
    found = surveys_of(cone, photo=photo, spec=spec, weight_column="W", spec_weight_column="W")
    assert found.nz.total == pytest.approx(2 * surveys.nz.total, rel=1e-6)
    assert found.spec_nz.total == pytest.approx(2 * surveys.spec_nz.total, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sigma_z": None}, "the photo-z error must be given once, .* and none is given"),
        ({"sigma_z": 0}, "sigma_z is 0, which no photo-z have: give their error"),
        ({"match_id": None}, "give one of match_id, .* match_radius in arcsec, and overlap"),
        ({"overlap": "nested"}, "give one of match_id"),
        ({"spec": None}, "spec is missing: give the spectroscopic catalogue, or spec_z_column"),
        ({"match_id": "RA+DEC:ID"}, "match_id 'RA.DEC:ID' names 2 columns of spec and 1 of photo"),
        ({"match_id": "a:b:c"}, "match_id must be ID, SPECCOL:PHOTOCOL or columns joined"),
        ({"match_id": "NAME"}, "photo has no column 'NAME', only RA, Dec, Z"),
        ({"footprint": (10, 20, -3, 3)}, "footprint misses .* photo galaxies"),
        ({"footprint": "from-data"}, "footprint from-data is only for .* PixelMap.from_data"),
        ({"footprint": (330, 30, -10, 10)}, "footprint covers .* hold no galaxy of the photo"),
        ({"details": {"sky": "RA,DEC"}}, "sky must name three columns, RA,DEC,Z, not RA,DEC"),
        ({"details": {"weight_column": "WEIGHT_FKP"}}, "weight_column 'WEIGHT_FKP' holds FKP"),
        ({"details": {"sigma_z_column": "SZ"}}, "the photo-z error must be given once"),
        ({"details": {"spec_z_column": "Z"}}, "spec_z_column 'Z' is for one catalogue"),
        ({"details": {"redshift_range": (0.3, 0.1)}}, "redshift_range must be two redshifts in"),
        ({"sigma_z": None, "details": {"z_err_column": "ZERO"}},
         "z_err_column 'ZERO' of photo is 0 for"),
        ({"sigma_z": None, "details": {"sigma_z_column": "LOST"}},
         "sigma_z_column 'LOST' of photo has an error"),
        ({"details": {"outlier_fraction": "ID"}}, "outlier_fraction 'ID' of photo must be from 0"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(cone, change, sentence):
    photo, spec = tables(cone)
    photo |= {"ZERO": np.zeros(len(cone)), "LOST": np.full(len(cone), -99.0)}
    with pytest.raises(ValueError, match=f"^{sentence}") as error:
        given = {"photo": photo, "spec": spec, "footprint": AREA, "sigma_z": SIGMA,
                 "match_id": "ID", **change}  # fmt: skip
        if "details" in change:
            given["details"] = SkyDetails(**change["details"])
        SkySurveys.from_catalogs(**given)
    assert len(str(error.value)) < 300


def test_spectra_beyond_a_shared_footprint_are_left_out(cone):
    photo, spec = tables(cone)
    more = 3000
    rng = np.random.default_rng(4)
    far = {"RA": rng.uniform(100, 200, more), "Dec": rng.uniform(-60, 60, more),
           "Z": rng.choice(spec["Z"], more), "ID": 10**6 + np.arange(more)}  # fmt: skip
    wide = {name: np.concatenate([spec[name], values]) for name, values in far.items()}
    given = {"footprint": AREA, "sigma_z": SIGMA, "match_id": "ID", "photo": photo}
    found = SkySurveys.from_catalogs(spec=wide, **given)
    alone = SkySurveys.from_catalogs(spec=spec, **given)
    assert found.num_both == alone.num_both
    assert str(found.spec_nz.fit) == str(alone.spec_nz.fit)
    assert f"{more} of them without a redshift, cut or outside, " in repr(found)


@pytest.mark.parametrize("num", [60, 200, 1000])
def test_few_clustered_galaxies_in_a_small_field_are_taken(num):
    # Clusters of five galaxies each on a square degree, and N(z) of a larger survey.
    rng = np.random.default_rng(num)
    middle = rng.integers(0, num // 5, num)
    where = rng.uniform([150, 2, 0.1], [151, 3, 0.4], (num // 5, 3))
    ra, dec, z = (where[middle] + rng.normal(0, [0.02, 0.02, 0.001], (num, 3))).T
    photo = {"RA": ra, "Dec": dec, "Z": z + 0.02 * (1 + z) * rng.normal(size=num),
             "ID": np.arange(num)}  # fmt: skip
    spec = {name: values[: max(num // 5, 55)] for name, values in (photo | {"Z": z}).items()}
    even = NumberDensity(np.array([0.05, 0.1, 0.4, 0.45]), np.array([0.0, 1.0, 1.0, 0.0]))
    given = {"photo": photo, "spec": spec, "sigma_z": 0.02, "match_id": "ID"}
    details = SkyDetails(nz=even, spec_nz=even)
    area = (149.9, 151.1, 1.9, 3.1)
    found = SkySurveys.from_catalogs(**given, footprint=area, details=details)
    assert found.usable.sum() > 0.95 * num


@pytest.mark.parametrize("outliers", [0.1, 0.2])
def test_errors_that_leave_out_outliers_are_no_contradiction(cone, outliers, recwarn):
    photo, spec = tables(cone)
    rng = np.random.default_rng(5)
    lost = rng.random(len(cone)) < outliers
    photo["Z"] = np.where(lost, rng.uniform(0.02, 0.3, len(cone)), photo["Z"])
    SkySurveys.from_catalogs(
        photo=photo, spec=spec, footprint=AREA, sigma_z=SIGMA, match_id="ID"
    )  # fmt: skip
    assert not [one for one in recwarn if issubclass(one.category, Note)]


def test_photo_z_of_a_narrow_range_are_not_taken_for_other_galaxies(cone):
    photo, spec = tables(cone)
    rng = np.random.default_rng(6)
    narrow = np.flatnonzero(cone.z < 0.16)
    z = cone.z[narrow]
    photo = {"RA": cone.ra[narrow], "Dec": cone.dec[narrow], "ID": np.arange(len(z)),
             "Z": z + 0.03 * rng.normal(size=len(z))}  # fmt: skip
    some = np.arange(0, len(z), 5)
    spec = {name: values[some] for name, values in (photo | {"Z": z}).items()}
    with pytest.warns(Note, match=r"the errors are 2\.\d times too small"):
        SkySurveys.from_catalogs(
            photo=photo, spec=spec, footprint=AREA, sigma_z=0.01, match_id="ID"
        )
    mixed = spec | {"ID": rng.permutation(spec["ID"])}
    with pytest.raises(ValueError, match="are no nearer to their redshifts than to those of"):
        SkySurveys.from_catalogs(
            photo=photo, spec=mixed, footprint=AREA, sigma_z=0.01, match_id="ID"
        )


def test_absolute_errors_that_grow_with_the_photo_z_are_one_class(cone, surveys):
    photo = tables(cone)[0]
    # A class that follows from the photo-z would count the photo-z twice.
    photo["ERR"] = SIGMA * (1 + photo["Z"])
    found = surveys_of(cone, photo=photo, z_err_column="ERR")
    assert len(found.classes) == 1
    assert found.error.absolute
    assert found.nz.counts([0.1, 0.15, 0.2, 0.25]) == pytest.approx(
        surveys.nz.counts([0.1, 0.15, 0.2, 0.25]), rel=0.01
    )
    same = surveys_of(cone, photo=photo | {"ERR": np.full(len(cone), 0.014)}, z_err_column="ERR")
    assert len(same.classes) == 1
