"""Surveys that contradict themselves: one sentence that names the option as typed, nothing written.

Each row of the table is a mistake that users make, what it changes of a command that works, and
words of the sentence that it must end with.
"""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.mesh.healpix import centers, nested, other_order
from truez.mesh.sphere import directions, unit_vectors
from truez.sky.details import SkyDetails
from truez.sky.redshifts import NO_PHOTO_Z
from truez.sky.surveys import SkySurveys
from truez.surveys.footprint import Rectangle
from truez.surveys.pixel_map import _to_galactic

AREA = Rectangle(130.0, 140.0, -2.0, 4.0)
NSIDE = 64
NUM = 3000
SPEED = 299792.458
#: Options that make `truez redshifts` and `truez reconstruct` work.
SKY = {
    "--photo": "photo.parquet", "--spec": "spec.parquet", "--sky": "RA,DEC,Z", "--match-id": "ID",
    "--sigma-z": "0.02", "--footprint": "130,140,-2,4", "--cellsize": "12",
    "--method": "redistribution",
}  # fmt: skip
#: And `truez mock --sky`, of a catalogue and of a box.
SPECTRA = {
    "": "photo.parquet", "--sky": "RA,DEC,Z", "--from-spec": "", "--sigma-z": "0.02",
    "--footprint": "130,140,-2,4", "--redshift-range": "0.05,0.3", "--spec-fraction": "0.1",
}  # fmt: skip
CONE = {
    "": "box.parquet", "--sky": "RA,DEC,Z", "--sigma-z": "0.02", "--footprint": "350,10,-5,5",
    "--redshift-range": "0.05,0.2", "--boxsize": "200", "--spec-fraction": "0.1",
}  # fmt: skip


def catalogs():
    """The photometric and the spectroscopic catalogue."""
    rng = np.random.default_rng(1)
    z = 0.1 + 0.2 * rng.beta(2, 2, NUM)
    dec = np.degrees(np.arcsin(rng.uniform(*np.sin(np.radians([-2, 4])), NUM)))
    photo = {
        "RA": rng.uniform(130, 140, NUM), "Dec": dec,
        "Z": z + 0.02 * (1 + z) * rng.normal(size=NUM), "ID": np.arange(NUM),
    }  # fmt: skip
    spec = {name: values[:600] for name, values in photo.items()} | {"Z": z[:600]}
    return photo, spec


def write_map(path, values, *, ordering="NESTED", coordsys="C", nside=NSIDE, pixels=None):
    format_ = {"f": "D", "i": "J", "b": "L"}[values.dtype.kind]
    columns = [fits.Column("PART", format_, array=values)]
    if pixels is not None:
        columns.insert(0, fits.Column("PIXEL", "K", array=pixels))
    table = fits.BinTableHDU.from_columns(columns)
    keys = {"PIXTYPE": "HEALPIX", "ORDERING": ordering, "COORDSYS": coordsys, "NSIDE": nside,
            "INDXSCHM": "IMPLICIT" if pixels is None else "EXPLICIT"}  # fmt: skip
    table.header.update({key: value for key, value in keys.items() if value})
    table.writeto(path)


def make_catalogs(folder):
    photo, spec = catalogs()
    rows = np.arange(NUM)

    def table(name, base, units=None, **changes):
        Catalog(base | changes, units or {}).write(folder / f"{name}.parquet")

    hour = {"RA": "hourangle", "Dec": "deg"}
    rng = np.random.default_rng(2)
    length = rng.uniform(0, 900, NUM)
    table("photo", photo)
    table("spec", spec)
    table("hours", photo, RA=photo["RA"] / 15)
    table("spec_hours", spec, RA=spec["RA"] / 15)
    table("unit", photo, hour, RA=photo["RA"] / 15)
    table("spec_unit", spec, hour, RA=spec["RA"] / 15)
    table("radians", photo, RA=np.radians(photo["RA"]), Dec=np.radians(photo["Dec"]))
    table("text", photo, RA=np.array([f"{a / 15:02.0f}:40:00.0" for a in photo["RA"]]))
    table("velocity", photo, Z=SPEED * photo["Z"])
    table("spec_velocity", spec, {"Z": "km/s"}, Z=SPEED * spec["Z"])
    table("lengths", photo, RA=length, Dec=length[::-1])
    table("mpc", photo, {"RA": "Mpc", "Dec": "Mpc"}, RA=length)
    table("distance", photo, Z=3000 * photo["Z"])
    table("dec91", photo, Dec=np.where(rows == 7, 91.0, photo["Dec"]))
    table("ra370", photo, RA=photo["RA"] + 235)
    table("turned", photo, RA=photo["RA"] - np.where(rows % 2, 360, 0))
    table("both", photo, ra=photo["RA"])
    table("none", photo, Z=np.full(NUM, -99.0))
    table("one", {name: values[:1] for name, values in photo.items()})
    table("one_spec", {name: values[:1] for name, values in spec.items()})
    table("all", photo, Z=catalogs()[0]["Z"])
    table("other_ids", spec, ID=spec["ID"] + 10**6)
    table("text_ids", spec, ID=spec["ID"].astype(str))
    table("same_ids", spec, ID=spec["ID"] // 2)
    table("mixed_ids", spec, ID=rng.permutation(NUM)[: len(spec["ID"])])
    table("elsewhere", spec, RA=spec["RA"] + 40)
    table("far", spec, Z=spec["Z"] + 1.5)
    table("box", {axis: rng.uniform(0, 200, 4000) for axis in "xyz"})
    columns = {
        "ZERO": 0.0, "MINUS": -0.01, "LOST": np.nan, "LARGE": 1.5, "PERCENT": 2.0, "WIDE": 0.4,
        "W_FKP": 1.0, "NONE": 0.0,
    }  # fmt: skip
    errors = {name: np.full(NUM, value) for name, value in columns.items()}
    errors |= {
        "ONE_ZERO": np.where(rows == 3, 0.0, 0.02),
        "ZS": np.where(rows < 600, photo["Z"], -99),
    }
    errors |= {"WORDS": np.full(NUM, "a"), "W_MINUS": np.where(rows == 3, -1.0, 1.0)}
    table("errors", photo, **errors)


def make_numbers(folder):
    photo, _ = catalogs()
    counts, edges = np.histogram(photo["Z"], 30, (0.02, 0.38))
    z, n = (edges[1:] + edges[:-1]) / 2, counts + 0.1
    for name, columns in {
        "good": (z, n), "later": (z + 1, n), "shape": (z, n * (1 + 400 * (z > 0.3))),
        "chi": (3000 * z, n), "turned": (z[::-1], n), "minus": (z, -n), "lost": (z, n * np.nan),
        "nothing": (z, 0 * n), "one": (z[:1], n[:1]), "words": (np.full(3, "a"), n[:3]),
    }.items():  # fmt: skip
        Catalog(dict(zip("zn", columns, strict=True))).write(folder / f"nz_{name}.csv")
    (folder / "nz_empty.csv").write_text("z,n\n")
    (folder / "nz_names.csv").write_text("a,b,c\n1,2,3\n")


def make_randoms(folder):
    rng = np.random.default_rng(3)
    ra = rng.uniform(130, 140, 20_000)
    dec = np.degrees(np.arcsin(rng.uniform(*np.sin(np.radians([-2, 4])), ra.size)))
    thin = rng.random(ra.size) < np.where(ra < 135, 1, 0.1)
    galactic = directions(unit_vectors(ra, dec) @ _to_galactic().T)
    for name, (a, d) in {
        "good": (ra, dec), "elsewhere": (ra + 40, dec), "half": (ra[ra < 135], dec[ra < 135]),
        "wide": (4 * (ra - 130) + 130, dec), "few": (ra[:50], dec[:50]), "turned": (dec, ra),
        "thin": (ra[thin], dec[thin]), "galactic": galactic,
    }.items():  # fmt: skip
        Catalog({"ra": a, "dec": d}).write(folder / f"r_{name}.parquet")
    Catalog({"x": ra, "y": dec}).write(folder / "r_names.parquet")


def make_maps(folder):
    pixels = np.unique(nested(*AREA.sample(0.2), NSIDE))
    whole = np.zeros(12 * NSIDE**2)
    whole[pixels] = 1
    ring = np.zeros(12 * NSIDE**2)
    ring[other_order(pixels, NSIDE, "RING")] = 1
    sky = directions(unit_vectors(*centers(np.arange(12 * NSIDE**2), NSIDE)) @ _to_galactic())
    galactic = (~Rectangle(129.3, 140.7, -2.7, 4.7).outside(*sky)).astype(float)
    east = np.zeros(12 * NSIDE**2)
    east[pixels] = centers(pixels, NSIDE)[0] > 135
    for name, values, keys in [
        ("good", whole, {}), ("ring", ring, {"ordering": "RING"}),
        ("order", whole, {"ordering": "RING"}), ("order2", ring, {}),
        ("galactic", galactic, {"coordsys": "G"}), ("frame", galactic, {}),
        ("frame2", whole, {"coordsys": "G"}), ("nside", whole, {"nside": 128}),
        ("three", np.ones(108), {"nside": 3}), ("percent", 98 * whole, {}),
        ("minus", whole - 0.5 * (whole == 0), {}), ("zero", 0 * whole, {}),
        ("lost", np.nan * whole, {}), ("nan", np.where(whole > 0, 1, np.nan), {}),
        ("unseen", np.where(whole > 0, 1, -1.6375e30), {}),
        ("counts", (7 * whole).astype("i4"), {}), ("int", whole.astype("i4"), {}),
        ("bool", whole > 0, {}), ("east", east, {}),
        ("ecliptic", whole, {"coordsys": "E"}), ("no_order", whole, {"ordering": None}),
        ("sky", np.ones_like(whole), {}), ("part", whole[pixels], {"pixels": pixels}),
        ("part_far", whole[pixels], {"pixels": pixels + 12 * NSIDE**2}),
        ("part_twice", whole[pixels], {"pixels": pixels // 2}),
        ("part_nside", whole[pixels], {"pixels": pixels, "nside": 256}),
    ]:  # fmt: skip
        write_map(folder / f"m_{name}.fits", values, **keys)
    (folder / "words.fits").write_text("hello")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    for make in (make_catalogs, make_numbers, make_randoms, make_maps):
        make(folder)
    return folder


def command(words, base, changes):
    """A command line: ``base`` with options changed, or left out where the value is None."""
    options = {**base, **changes}
    result = [*words]
    for name, value in options.items():
        result += [part for part in (name, value) if part] if value is not None else []
    return result


def run(arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def check(arguments, words, folder, capsys, monkeypatch):
    """The command ends with one sentence and exit code 2, and has written nothing."""
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    assert run(arguments) == 2
    out, error = capsys.readouterr()
    assert words in error
    assert (out, error.count("\n"), error[:7]) == ("", 1, "truez: ")
    assert len(error) <= 300
    assert not any(word in error.lower() for word in ("numpy", "np.", "pydantic", "warning"))
    assert sorted(folder.iterdir()) == before


HOURS = "--footprint misses 3000 of 3000 photo galaxies: ra looks like hours, so give --ra-unit"
MISSES = "of 3000 photo galaxies: "
AREA_OF = "--footprint covers "
TABLE = [
    # Units and columns of the sky.
    ({"--photo": "hours.parquet", "--spec": "spec_hours.parquet"}, HOURS),
    ({"--spec": "spec_hours.parquet"}, "misses 600 of 600 spec galaxies: ra looks like hours"),
    ({"--photo": "radians.parquet"}, "ra and dec look like radians, so give --ra-unit rad"),
    ({"--ra-unit": "hourangle"}, "column 'RA' (--sky 'RA,DEC,Z') of photo must hold degrees"),
    ({"--ra-unit": "parsec"}, "--ra-unit must be one of deg, hourangle, rad, not 'parsec'"),
    ({"--photo": "text.parquet"}, "(--sky 'RA,DEC,Z') of photo holds sexagesimal text"),
    ({"--photo": "velocity.parquet"}, "(--sky 'RA,DEC,Z') of photo must hold redshifts, but"),
    ({"--spec": "spec_velocity.parquet"}, "km/s: divide velocities cz by 299792.458 km/s"),
    ({"--photo": "distance.parquet"}, "or choose the column of redshifts"),
    ({"--photo": "lengths.parquet"}, "positions in Mpc/h belong in a box"),
    ({"--photo": "mpc.parquet"}, "of photo is in 'Mpc', which is a length: name the columns of"),
    ({"--sky": "DEC,RA,Z"}, "column 'RA' (--sky 'DEC,RA,Z') of photo must hold degrees from -90"),
    ({"--photo-sky": "DEC,RA,Z"}, "column 'RA' (--photo-sky 'DEC,RA,Z') of photo must hold"),
    ({"--sky": "RA,DEC,RA"}, "must hold redshifts, but its median is 13"),
    ({"--sky": "RA,Z,DEC"}, AREA_OF),
    ({"--photo": "dec91.parquet"}, "1 of 3000 are not, such as 91: correct the columns"),
    ({"--photo": "ra370.parquet"}, "must hold degrees from -360 to 360"),
    ({"--sky": "RA,DEC"}, "--sky must name three columns, RA,DEC,Z, not RA,DEC"),
    ({"--sky": "RA,DEC,Z,ID"}, "--sky must name three columns, RA,DEC,Z, not RA,DEC,Z,ID"),
    ({"--photo-sky": "RA,DEC"}, "--photo-sky must name three columns"),
    ({"--sky": "RAJ,DEC,Z"}, "photo has no column 'RAJ' (--sky 'RAJ,DEC,Z')"),
    ({"--photo": "both.parquet", "--photo-sky": "Ra,DEC,Z"}, "could be RA or ra: write its name"),
    # Footprints.
    ({"--footprint": "10,20,-2,4"}, f"{MISSES}correct --footprint or the columns of the sky"),
    ({"--footprint": "140,130,-2,4"}, "its right ascensions look exchanged, so exchange them"),
    ({"--footprint": "8.66,9.34,-2,4"}, "its right ascensions look like hours, so give degrees"),
    ({"--footprint": "120,150,-2,4"}, AREA_OF),
    ({"--footprint": "130,140,-2,91"}, "--footprint 130,140,-2,91 needs declinations from -90 to"),
    ({"--footprint": "130,140,4"}, "--footprint must be RA1,RA2,DEC1,DEC2, four numbers"),
    ({"--footprint": "no.fits"}, "and there is no file 'no.fits'"),
    ({"--footprint": "words.fits"}, "--footprint words.fits is not a FITS file"),
    ({"--footprint": None}, "the footprint is missing: give --footprint RA1,RA2,DEC1,DEC2"),
    ({"--spec-footprint": "10,20,-2,4"}, "--spec-footprint misses 600 of 600 spec galaxies"),
    ({"--spec-footprint": "110,160,-2,4"}, "--spec-footprint covers "),
    ({"--spec-footprint": "words.fits"}, "--spec-footprint words.fits is not a FITS file"),
    # HEALPix maps.
    ({"--footprint": "m_order.fits"}, "its map looks NESTED ordered, so set its ORDERING to NEST"),
    ({"--footprint": "m_order2.fits"}, "its map looks RING ordered, so set its ORDERING to RING"),
    ({"--footprint": "m_frame.fits"}, "its map looks galactic, so set its COORDSYS to G"),
    ({"--footprint": "m_frame2.fits"}, "its map looks equatorial, so set its COORDSYS to C"),
    ({"--footprint": "m_ecliptic.fits"}, "has COORDSYS 'E': rotate it to equatorial (C) or"),
    ({"--footprint": "m_no_order.fits"}, "does not say its ORDERING: set that key to RING or"),
    ({"--footprint": "m_nside.fits"}, "m_nside.fits must have 196608 values for NSIDE 128"),
    ({"--footprint": "m_three.fits"}, "--footprint m_three.fits has NSIDE 3, which is no power"),
    ({"--footprint": "m_percent.fits"}, "of --footprint m_percent.fits must hold completeness"),
    ({"--footprint": "m_counts.fits"}, "must hold completeness from 0 to 1, not 0 to 7"),
    ({"--footprint": "m_minus.fits"}, "must hold completeness from 0 to 1, not -0.5 to 1"),
    ({"--footprint": "m_zero.fits"}, "--footprint m_zero.fits covers nothing"),
    ({"--footprint": "m_lost.fits"}, "--footprint m_lost.fits covers nothing"),
    ({"--footprint": "m_sky.fits"}, AREA_OF),
    ({"--footprint": "m_part_far.fits"}, "but those of NSIDE 64 are 0 to 49151"),
    ({"--footprint": "m_part_twice.fits"}, "names a pixel twice: write each of them once"),
    ({"--footprint": "m_part_nside.fits"}, f"{MISSES}correct --footprint"),
    # Randoms.
    *(({"--footprint": None, "--randoms": f"r_{name}.parquet"}, words) for name, words in [
        ("elsewhere", f"--randoms misses 3000 {MISSES}correct --randoms"),
        ("wide", "--randoms covers "),
        ("few", "--randoms: a footprint needs at least 200 randoms, not 50"),
        ("turned", "--randoms: column 'dec' of r_turned.parquet must hold degrees"),
        ("names", "--randoms: r_names.parquet has no column 'ra'"), ("thin", "--randoms "),
        ("galactic", "they look galactic, so convert them to ra and dec"),
    ]),
    ({"--spec-randoms": "r_elsewhere.parquet"}, "--spec-randoms misses 600 of 600 spec galaxies"),
    ({"--randoms": "r_good.parquet"}, "--footprint and --randoms are both given: leave one out"),
    # N(z).
    *(({"--nz": f"nz_{name}.csv"}, words) for name, words in [
        ("later", "--nz "), ("shape", "--nz contradicts the photo redshifts"),
        ("chi", "--nz has no galaxies where the photo survey has: correct it"),
        ("turned", "--nz nz_turned.csv: the redshifts of N(z) must be finite, >= 0 and ascending"),
        ("minus", "--nz nz_minus.csv: the numbers of N(z) must be finite and >= 0"),
        ("lost", "--nz nz_lost.csv: the numbers of N(z) must be finite"),
        ("nothing", "and not all 0: correct the file"), ("one", "N(z) needs two redshifts or more"),
        ("words", "--nz nz_words.csv: column 'z' must hold numbers, not text"),
        ("empty", "--nz: nz_empty.csv holds no rows"),
        ("names", "--nz nz_names.csv needs columns z and n, the galaxies per unit redshift"),
    ]),
    ({"--spec-nz": "nz_later.csv"}, "--spec-nz has no galaxies where the spec survey has"),
    ({"--spec-nz": "nz_turned.csv"}, "--spec-nz nz_turned.csv: the redshifts of N(z) must be"),
    # Errors.
    *(({"--photo": "errors.parquet", "--sigma-z": None, option: column}, f"{option} {words}")
      for option in ("--sigma-z-column", "--z-err-column") for column, words in [
        ("ZERO", "'ZERO' of photo is 0 for 3000 of 3000 galaxies"),
        ("ONE_ZERO", "'ONE_ZERO' of photo is 0 for 1 of 3000 galaxies"),
        ("MINUS", "'MINUS' of photo must be above 0 and below 1, but is not for 3000"),
        ("LOST", "'LOST' of photo has an error above 0 and below 1 for none of 3000"),
        ("PERCENT", "'PERCENT' of photo must hold errors below 1, but 3000 of 3000 are not"),
        ("WIDE", "'WIDE' is 0.4"),
    ]),
    ({"--photo": "errors.parquet", "--sigma-z": None, "--z-err-column": "WORDS"},
     "--z-err-column: column 'WORDS' must hold numbers, not text"),
    ({"--photo": "errors.parquet", "--sigma-z": None, "--z-err-column": "NO"}, "(--z-err-column)"),
    ({"--sigma-z": "0"}, "--sigma-z is 0, which no photo-z have: give their error"),
    ({"--sigma-z": "2"}, "--sigma-z must be a number from 0 to 0.3, not 2"),
    ({"--sigma-z": "nan"}, "--sigma-z must be a number from 0 to 0.3, not nan"),
    ({"--sigma-z": "0.001"}, "errors from their redshifts (median): correct the photo-z error"),
    ({"--sigma-z": None}, "the photo-z error must be given once, by --sigma-z, --sigma-z-column"),
    ({"--outlier-fraction": "1.5"}, "--outlier-fraction must be a number from 0 to below 1"),
    ({"--photo": "errors.parquet", "--outlier-column": "PERCENT"},
     "--outlier-column 'PERCENT' of photo must be from 0 to below 1"),
    ({"--photo-bias": "-5,0"}, "correct the columns of redshift, --photo-bias or the catalogues"),
    ({"--photo-bias": "9"}, "correct the columns of redshift, --photo-bias or the catalogues"),
    ({"--photo-bias": "a"}, "--photo-bias must be numbers A,B,..., not 'a'"),
    # Matches, and surveys that are apart.
    ({"--spec": "other_ids.parquet"}, "no galaxy is named in both surveys by --match-id 'ID'"),
    ({"--spec": "text_ids.parquet"}, "--match-id 'ID' is text in spec and int64 in photo"),
    ({"--spec": "same_ids.parquet"}, "--match-id 'ID' of spec must be unique"),
    ({"--spec": "mixed_ids.parquet"}, "galaxies that --match-id finds in both surveys are no near"),
    ({"--match-id": "RA"}, "does not name a galaxy exactly: write the ids as integers or text"),
    ({"--match-id": "NAME"}, "photo has no column 'NAME' (--match-id)"),
    ({"--match-id": None}, "give one of --match-id, the columns that name a galaxy in both"),
    ({"--overlap": "nested"}, "--match-radius in arcsec, and --overlap: nested, disjoint"),
    *(({"--match-id": None, "--match-radius": radius}, words) for radius, words in [
        ("0", "--match-radius must be a finite number above 0, not 0"),
        ("3600", "--match-radius must be above 0 and at most 60 arcsec, not 3600"),
    ]),
    ({"--match-id": None, "--overlap": "2"}, "--overlap must be nested, disjoint or a fraction"),
    ({"--spec": "elsewhere.parquet"}, "misses 600 of 600 spec galaxies: correct --footprint"),
    ({"--spec": "elsewhere.parquet", "--spec-footprint": "170,180,-2,4"},
     "none of the 600 spec galaxies is in the footprint of photo: the surveys must overlap"),
    ({"--spec": "far.parquet"}, "the redshifts of spec, 1.6"),
    ({"--spec": "far.parquet", "--match-id": None, "--overlap": "disjoint"}, "do not overlap with"),
    # Few or no galaxies.
    ({"--photo": "none.parquet"}, "of photo has a redshift in none of 3000 rows: choose another"),
    ({"--photo": "one.parquet"}, "N(z) of the photo survey cannot be fitted to 1 galaxies"),
    ({"--spec": "one_spec.parquet"}, "N(z) of the spec survey cannot be fitted to 1 galaxies"),
    ({"--spec": None, "--match-id": None, "--photo": "errors.parquet", "--spec-z-column": "NONE"},
     "column 'NONE' (--spec-z-column) of photo has a redshift in none of 3000 rows"),
    ({"--spec": None, "--photo": "errors.parquet", "--spec-z-column": "ZS"},
     "--match-id is for two catalogues: leave it out with --spec-z-column"),
    ({"--photo": "errors.parquet", "--spec-z-column": "ZS"}, "--spec FILE or the --spec-z-column"),
    # Weights.
    *(({"--photo": "errors.parquet", "--weight-column": column}, words) for column, words in [
        ("W_FKP", "--weight-column 'W_FKP' holds FKP weights, which are no completeness"),
        ("W_MINUS", "--weight-column 'W_MINUS' of photo must hold finite weights >= 0"),
        ("NONE", "--weight-column 'NONE' of photo is 0 in all rows"),
        ("WORDS", "--weight-column: column 'WORDS' must hold numbers"),
    ]),
    # Options of boxes, and ranges.
    *(({option: value}, f"these are not options of the sky (--sky): leave out {option}")
      for option, value in [
        ("--boxsize", "100"), ("--redshift", "0.2"), ("--not-periodic", ""), ("--los", "x"),
        ("--positions", "x,y,z"), ("--drop-missing", ""), ("--table", "1"),
    ]),
    ({"--frame": "lsr"}, "--frame must be one of none, heliocentric, cmb, not 'lsr'"),
    ({"--redshift-range": "0.3,0.1"}, "--redshift-range must be two redshifts in order"),
    ({"--redshift-range": "3,4"}, "--redshift-range 3,4 holds none of the photo galaxies"),
    ({"--chi-ref": "1e9"}, "patches: take larger cells, or a smaller --chi-ref"),
    ({"--chi-ref": "1"}, "take smaller cells, or a larger --chi-ref"),
    ({"--cellsize": "0.001"}, "is too small: no core is left between halos of 20 Mpc/h"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), TABLE)
def test_what_contradicts_itself_is_one_sentence(made, capsys, monkeypatch, changes, words):
    arguments = command(["redshifts", "--out", "z.parquet"], SKY, changes)
    check(arguments, words, made, capsys, monkeypatch)


@pytest.mark.parametrize("row", range(0, len(TABLE), 12))
def test_a_field_of_such_surveys_is_refused_alike(made, capsys, monkeypatch, row):
    changes, words = TABLE[row]
    arguments = command(["reconstruct", "--out", "f.h5"], SKY, changes)
    check(arguments, words, made, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--draws": "-1"}, "--draws must be at least 0, not '-1'"),
        ({"--draws": "100000000"}, "--draws 100000000 for 3000 galaxies needs "),
        ({"--draws": "2", "--seed": "-1"}, "--seed must be at least 0, not -1"),
        ({"--prefix": "a-b"}, "--prefix must be at most 40 letters, digits and underscores"),
        (
            {"--out": "spec.parquet"},
            "spec.parquet is read by the same command, as --spec: give another --out",
        ),
        (
            {"--out": "photo.parquet", "--overwrite": ""},
            "--out photo.parquet is read by the same command, as --photo: give another --out",
        ),
        ({"--method": "wiener"}, "--method wiener moves no galaxies: redshifts need columns or"),
        ({"--method": "nearest"}, "--method on the sky must be one of "),
    ],
)
def test_options_of_the_output_are_checked_first(made, capsys, monkeypatch, changes, words):
    arguments = command(["redshifts"], {**SKY, "--out": "z.parquet"}, changes)
    check(arguments, words, made, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("base", "changes", "words"),
    [
        (SPECTRA, {"": "hours.parquet"}, "catalogue galaxies: ra looks like hours"),
        (SPECTRA, {"": "text.parquet"}, "of text.parquet holds sexagesimal text"),
        (SPECTRA, {"": "velocity.parquet"}, "divide velocities cz by 299792.458 km/s"),
        (SPECTRA, {"": "lengths.parquet"}, "positions in Mpc/h belong in a box"),
        (SPECTRA, {"": "none.parquet"}, "has a redshift in none of 3000 rows"),
        (SPECTRA, {"--sky": "DEC,RA,Z"}, "must hold degrees from -90 to 90"),
        (SPECTRA, {"--sky": "RA,DEC"}, "--sky must name three columns"),
        (SPECTRA, {"--footprint": "10,20,-2,4"}, "--footprint misses 3000 of 3000 catalogue"),
        (SPECTRA, {"--footprint": "90,160,-40,40"}, "--footprint covers "),
        (SPECTRA, {"--footprint": "m_order.fits"}, "set its ORDERING to NESTED"),
        (SPECTRA, {"--footprint": "m_frame.fits"}, "set its COORDSYS to G"),
        (SPECTRA, {"--spec-footprint": "10,20,-2,4"}, "--spec-footprint holds none of the "),
        (SPECTRA, {"--photo-bias": "-5,0"}, "put 100% of the photo-z at 0 or below"),
        (SPECTRA, {"--photo-cut": "NO<1"}, "photo.parquet has no column 'NO' (--photo-cut 'NO<1')"),
        (SPECTRA, {"--photo-cut": "Z"}, "--photo-cut must read like"),
        (SPECTRA, {"--drop-missing": ""}, "leave out --drop-missing"),
        (SPECTRA, {"--boxsize": "200"}, "--from-spec needs no box: leave out --boxsize"),
        (SPECTRA, {"--redshift": "0.2"}, "a mock on the sky has no such option"),
        (SPECTRA, {"--faint-factor": "3"}, "give --magnitude-column"),
        (CONE, {"": "photo.parquet"}, "has no column 'x' (--positions 'x,y,z')"),
        (CONE, {"": "photo.parquet", "--positions": "RA,Dec,Z"}, "'RA' holds angles"),
        (CONE, {"--nz": "nz_later.csv"}, "--nz leaves none of the "),
        (CONE, {"--nz": "nz_words.csv"}, "--nz nz_words.csv: column 'z' must hold numbers"),
        (CONE, {"--rank-by": "mass"}, "box.parquet has no column 'mass' (--rank-by)"),
        (CONE, {"--magnitude-column": "mag"}, "has no column 'mag' (--magnitude-column)"),
        (CONE, {"--magnitude-limit": "18"}, "give --magnitude-column"),
        (CONE, {"--ra-unit": "deg"}, "only --from-spec has these options: leave out --ra-unit"),
        (CONE, {"--redshift": "0.1"}, "a mock on the sky has no such option"),
        (CONE, {"--redshift-range": "1e-9,1e-8"}, "of --footprint and --redshift-range"),
    ],
)
def test_mocks_of_such_catalogues_are_refused(made, capsys, monkeypatch, base, changes, words):
    check(command(["mock", "--out", "mock"], base, changes), words, made, capsys, monkeypatch)


@pytest.mark.parametrize("where", ["redshifts", "reconstruct"])
def test_angles_are_no_positions_in_a_box(made, capsys, monkeypatch, where):
    box = {
        "--photo": "photo.parquet", "--spec": "spec.parquet", "--boxsize": "500",
        "--redshift": "0.2",
        "--sigma-z": "0.02", "--match-id": "ID", "--positions": "RA,Dec,Z", "--cellsize": "50",
        "--out": "out.h5",
    }  # fmt: skip
    words = "--positions: column 'RA' holds angles, and positions in a box are lengths"
    check(command([where], box, {}), words, made, capsys, monkeypatch)


@pytest.mark.parametrize(
    "changes",
    [
        {"--photo": "unit.parquet", "--spec": "spec_unit.parquet"},
        {"--photo": "hours.parquet", "--spec": "spec_hours.parquet", "--ra-unit": "hourangle"},
        {"--photo": "turned.parquet"},
        {"--photo": "both.parquet"},
        {"--sky": "ra,dec,z"},
        {"--footprint": "m_good.fits"},
        {"--footprint": "m_ring.fits"},
        {"--footprint": "m_galactic.fits"},
        {"--footprint": "m_nan.fits"},
        {"--footprint": "m_unseen.fits"},
        {"--footprint": "m_int.fits"},
        {"--footprint": "m_bool.fits"},
        {"--footprint": "m_part.fits"},
        {"--footprint": "from-data"},
        {"--footprint": None, "--randoms": "r_good.parquet"},
        {"--nz": "nz_good.csv"},
        {"--match-id": None, "--match-radius": "1"},
        {"--frame": "cmb"},
        {"--draws": "0"},
    ],
)
def test_what_is_right_is_taken(made, capsys, monkeypatch, changes):
    monkeypatch.chdir(made)
    arguments = command(["redshifts", "--dry-run", "--out", "z.parquet"], SKY, changes)
    assert run(arguments) == 0
    out, error = capsys.readouterr()
    assert error == ""
    assert "photo 3000 galaxies" in out
    assert "spec 600 galaxies, 600 of them in photo" in out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--footprint": "130,137,-2,4"}, "of the photo galaxies lie outside the area"),
        ({"--footprint": "m_east.fits"}, "of the photo galaxies lie outside the area"),
        ({"--spec-footprint": "130,135,-2,4"}, "of the spec galaxies lie outside the area"),
        ({"--footprint": None, "--randoms": "r_half.parquet"},
         "of the photo galaxies lie outside the area"),
        ({"--sigma-z": "0.005"}, "the errors are 3.9 times too small"),
        ({"--sigma-z": "0.06"}, "too large"),
    ],
)  # fmt: skip
def test_what_is_unusual_is_taken_with_a_note(made, capsys, monkeypatch, changes, words):
    monkeypatch.chdir(made)
    arguments = command(["redshifts", "--dry-run", "--out", "z.parquet"], SKY, changes)
    assert run(arguments) == 0
    out, error = capsys.readouterr()
    assert "photo 3000 galaxies" in out
    assert error.startswith("truez: note: ")
    assert words in error
    assert error.count("\n") == 1


def test_galaxies_without_a_photo_z_keep_their_row_are_flagged_and_counted(
    made, tmp_path, capsys, monkeypatch
):
    photo, _ = catalogs()
    lost = np.arange(1000, 1050)
    photo["Z"][lost] = np.tile([-99, np.nan, 99, 0, -0.01], 10)
    Catalog(photo).write(tmp_path / "photo.parquet")
    monkeypatch.chdir(made)
    out = tmp_path / "z.parquet"
    changes = {"--photo": tmp_path / "photo.parquet", "--out": out}
    assert run(command(["redshifts"], SKY, changes)) == 0
    assert "flag 8: 50 galaxies, no usable photo-z" in capsys.readouterr().out
    found = Catalog.read(out)
    np.testing.assert_array_equal(found["ID"], photo["ID"])
    np.testing.assert_array_equal(np.flatnonzero(found["flag"] & NO_PHOTO_Z), lost)
    assert np.isnan(found["z_mean"][lost]).all()


def test_surveys_whose_galaxies_all_have_spectra_have_nothing_to_sharpen(
    made, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(made)
    out = tmp_path / "z.parquet"
    assert run(command(["redshifts"], SKY, {"--spec": "all.parquet", "--out": out})) == 0
    assert "3000 galaxies, 0 of them sharpened" in capsys.readouterr().out
    found = Catalog.read(out)
    assert found["spec_matched"].all()
    np.testing.assert_array_equal(found["z_mean"], catalogs()[0]["Z"])


@pytest.mark.parametrize(
    ("change", "details", "words"),
    [
        ({"spec": {}}, {}, "spec has no column 'RA', and holds no other columns"),
        ({}, {"redshift_range": (3, 4)}, "redshift_range 3,4 holds none of the photo galaxies"),
        ({"footprint": (140, 130, -2, 4)}, {}, "footprint misses .* look exchanged"),
        ({"sigma_z": 0.4}, {}, "sigma_z is 0.*more than the whole range of the photo-z"),
        ({"sigma_z": 0.0}, {}, "sigma_z is 0, which no photo-z have"),
        (
            {},
            {"photo_bias": (9.0,)},
            "the redshifts of spec, .* do not overlap with those of photo",
        ),
        ({}, {"frame": "lsr"}, "frame must be one of none, heliocentric, cmb"),
        ({}, {"spec_footprint": (110, 160, -2, 4)}, "spec_footprint covers .* of the spec survey"),
        ({}, {"match_radius": 1.0}, "give one of match_id, .* match_radius in arcsec"),
    ],
)
def test_python_names_its_parameters(change, details, words):
    photo, spec = catalogs()
    given = {"photo": photo, "spec": spec, "footprint": AREA, "sigma_z": 0.02, "match_id": "ID"}
    with pytest.raises(ValueError, match=f"^{words}") as error:
        SkySurveys.from_catalogs(**given | change, details=SkyDetails(**details))
    assert len(str(error.value)) < 300
