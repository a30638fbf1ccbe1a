"""Sky coordinates: names without case, units, what is no position, and missing redshifts."""

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import Angle

from truez.catalogs.angles import check_no_angles, place_columns
from truez.catalogs.catalog import Catalog
from truez.catalogs.coordinates import find_columns, sky_coordinates

RA = np.array([129.5, 135.0, 359.0])
DEC = np.array([-1.0, 0.5, 3.0])
Z = np.array([0.1, 0.2, 0.3])


def catalog(units=None, **changes):
    return Catalog({"RA": RA, "Dec": DEC, "Z": Z, "mag": Z, **changes}, units)


def patch(num=500, seed=1):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, num), rng.uniform(-80, 80, num)


class TestNames:
    def test_case_does_not_matter(self):
        for names in (("ra", "dec", "z"), ("RA", "DEC", "Z"), ("Ra", "Dec", "Z")):
            assert find_columns(names, catalog().columns, "photo") == ["RA", "Dec", "Z"]

    def test_the_very_name_comes_first(self):
        both = Catalog({"z": Z, "Z": Z + 1})
        assert find_columns(["Z"], both.columns, "photo") == ["Z"]
        assert find_columns(["z"], both.columns, "photo") == ["z"]

    def test_what_is_not_there_or_twice_is_refused(self):
        with pytest.raises(
            ValueError, match=r"photo has no column 'z_phot'.*, only RA, Dec, Z, mag"
        ):
            find_columns(["z_phot"], catalog().columns, "photo")
        with pytest.raises(ValueError, match="column 'Zphot' of photo could be zphot or ZPHOT"):
            find_columns(["Zphot"], {"zphot": 1, "ZPHOT": 2}, "photo")


class TestUnits:
    @pytest.mark.parametrize(
        "unit", ["deg", "degree", "Degrees", "hourangle", "h", "rad", "radian"]
    )
    @pytest.mark.parametrize("stated", [True, False])
    def test_angles_come_out_in_degrees(self, unit, stated):
        factor = {"d": 1, "h": 15, "r": np.degrees(1)}[unit[0].lower()]
        dec = DEC / np.degrees(1) if unit[0] == "r" else DEC
        given = Catalog(
            {"RA": RA / factor, "Dec": dec, "Z": Z},
            {"RA": unit, "Dec": unit if unit[0] == "r" else "deg"} if stated else None,
        )
        sky = sky_coordinates(given, ra_unit=None if stated else unit)
        assert sky.ra == pytest.approx(RA)
        assert sky.dec == pytest.approx(DEC)

    def test_quantities_bring_their_units(self):
        given = Catalog({"ra": (RA * units.deg).to(units.hourangle), "dec": DEC, "z": Z})
        assert sky_coordinates(given).ra == pytest.approx(RA)

    def test_right_ascensions_are_wrapped(self):
        assert sky_coordinates(catalog(RA=RA - 360)).ra == pytest.approx(RA)
        assert sky_coordinates(catalog(RA=np.array([-1e-15, 360.0, 0.0]))).ra.tolist() == [0, 0, 0]

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            (catalog({"RA": "Mpc/h"}), "column 'RA' of photo is in 'Mpc/h', which is a length"),
            (catalog({"Dec": "mas"}), "column 'Dec' of photo is in 'mas', which is no angle"),
            (
                catalog(Dec=100 * DEC),
                "column 'Dec' of photo must hold degrees from -90 to 90, but 2",
            ),
            (catalog(RA=10 * RA), "column 'RA' of photo must hold degrees from -360 to 360, but 3"),
            (catalog(RA=np.array([1, np.nan, 2])), "column 'RA' of photo has no value in 1 of 3"),
            (
                catalog(RA=np.ma.masked_equal([1.0, 2, 3], 2)),
                "'RA' of photo has no value in 1 of 3",
            ),
            (Catalog({"RA": [], "DEC": [], "Z": []}), "photo holds no rows"),
            (
                catalog(RA=np.array(["a", "b", "c"])),
                "column 'RA' of photo must hold numbers, not text",
            ),
        ],
    )
    def test_what_is_no_angle_is_refused(self, given, sentence):
        with pytest.raises(ValueError, match=sentence) as error:
            sky_coordinates(given, name="photo")
        assert len(str(error.value)) < 290

    @pytest.mark.parametrize("sep", [":", "hms", " "])
    def test_sexagesimal_text_is_refused_with_the_way_out(self, sep):
        text = Angle(RA, "deg").to_string(unit="hourangle", sep=sep)
        with pytest.raises(ValueError, match=r"holds sexagesimal text, '\d.*convert it to decimal"):
            sky_coordinates(catalog(RA=np.array(text)))

    @pytest.mark.parametrize(
        ("factor", "dec", "looks", "unit"),
        [(15, 1, "hours", "hourangle"), (np.degrees(1), np.degrees(1), "radians", "rad")],
    )
    def test_hours_and_radians_without_a_unit_are_refused(self, factor, dec, looks, unit):
        a, d = patch()
        given = Catalog({"RA": a / factor, "DEC": d / dec, "Z": np.full(a.size, 0.1)})
        with pytest.raises(ValueError, match=f"^ra_unit must be given: .* look like {looks} "):
            sky_coordinates(given)
        assert sky_coordinates(given, ra_unit=unit).ra == pytest.approx(a)
        assert sky_coordinates(given, ra_unit="deg").ra == pytest.approx(a / factor)

    @pytest.mark.parametrize("ra_unit", ["arcmin", "furlong"])
    def test_units_that_are_no_angle_are_refused(self, ra_unit):
        with pytest.raises(ValueError, match=f"ra_unit must be one of deg, .*, not '{ra_unit}'"):
            sky_coordinates(catalog(), ra_unit=ra_unit)


class TestRedshifts:
    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    def test_galaxies_without_one_are_counted_by_reason_and_keep_their_row(self, dtype):
        z = np.array([0.5, -99, -9, -1, 99, 99.99, np.nan, np.inf, 0, -0.001, 25, 0.7], dtype)
        masked = np.ma.MaskedArray(z, np.arange(12) == 11)
        given = Catalog({"RA": np.full(12, 10.0), "DEC": np.zeros(12), "Z": masked})
        sky = sky_coordinates(given)
        assert sky.without == {"missing": 3, "stand_in": 5, "not_positive": 2, "too_high": 1}
        assert sky.num_without == 11
        assert np.flatnonzero(sky.has_redshift).tolist() == [0]
        assert sky.redshift[0] == pytest.approx(0.5)
        assert len(sky) == 12
        assert sky.describe()["without_redshift"]["missing"] == 3

    def test_they_are_not_needed(self):
        sky = sky_coordinates(catalog(), ("RA", "DEC"))
        assert np.isnan(sky.redshift).all()
        assert sky.without == {}

    def test_the_frame_is_written_down_and_nothing_is_converted(self):
        for frame in ("none", "heliocentric", "cmb"):
            sky = sky_coordinates(catalog(), frame=frame)
            assert sky.frame == sky.describe()["frame"] == frame
            assert (sky.redshift == Z).all()
        with pytest.raises(
            ValueError, match="frame must be one of none, heliocentric, cmb, not 'x'"
        ):
            sky_coordinates(catalog(), frame="x")

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            (catalog(Z=299792.458 * Z), "must hold redshifts, but its median is 59958: divide"),
            (catalog({"Z": "km/s"}), "but its median is 0.2 km/s: divide velocities cz by 299792"),
            (catalog(Z=-99 * np.ones(3)), "has a redshift in none of 3 rows: choose another"),
            (catalog(Z=np.full(3, np.nan)), "has a redshift in none of 3 rows: choose another"),
            (
                catalog(Z=np.array(["a"] * 3)),
                "column 'Z' of the catalogue must hold numbers, not text",
            ),
        ],
    )
    def test_what_holds_no_redshifts_is_refused(self, given, sentence):
        with pytest.raises(ValueError, match=sentence):
            sky_coordinates(given)

    def test_three_columns_are_named(self):
        with pytest.raises(
            ValueError, match="sky must name three columns, RA,DEC,Z, and not 1: RA"
        ):
            sky_coordinates(catalog(), ("RA",))


class TestPositionsInABox:
    @pytest.mark.parametrize("names", [("RA", "Dec", "Z"), ("x", "y", "z")])
    def test_angles_are_refused(self, names):
        stated = {} if names[0] == "RA" else {"x": "deg"}
        with pytest.raises(ValueError, match=f"positions: column '{names[0]}' holds angles"):
            check_no_angles(names, stated, "positions")

    def test_lengths_are_not(self):
        check_no_angles(("x", "y", "z"), {"x": "Mpc/h"}, "positions")
        check_no_angles(("ra", "dec", "z"), dict.fromkeys(("ra", "dec", "z"), "Mpc"), "positions")


@pytest.mark.parametrize(
    ("known", "places"),
    [
        (["Z", "RA", "DEC"], ("RA", "DEC")),
        (["TARGET_RA", "TARGET_DEC", "dec", "ra"], ("ra", "dec")),
        (["id", "TARGET_RA", "TARGET_DEC"], ("TARGET_RA", "TARGET_DEC")),
        (["RAJ2000", "DEJ2000", "Z_B"], ("RAJ2000", "DEJ2000")),
        (["ALPHA_J2000", "DELTA_J2000"], ("ALPHA_J2000", "DELTA_J2000")),
        (["right_ascension", "declination"], ("right_ascension", "declination")),
        (["x", "y", "z", "delta", "grad", "decay"], ()),
        (["ra", "x"], ()),
    ],
)
def test_columns_of_places_are_known_by_their_names(known, places):
    assert place_columns(known) == places
