"""``--survey`` fills in the columns of catalogues with the names of surveys."""

import numpy as np
import pytest
from tests.sky.light_cone import light_cone, tables
from tests.surveys.published import PHOTOMETRIC, SPECTROSCOPIC

from truez.catalogs.catalog import Catalog
from truez.cli.app import main
from truez.sky.surveys import SkySurveys


def truez(folder, monkeypatch, capsys, text):
    """Exit code, stdout and stderr of a command in a folder."""
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as stop:
        main(text.split())
    return int(stop.value.code or 0), *capsys.readouterr()


class Reached(ValueError):
    pass


@pytest.fixture
def arguments(monkeypatch):
    """What reaches `SkySurveys.from_catalogs`, which does nothing."""
    found = {}

    def stop(**values):
        found.update(values)
        raise Reached("reached")

    monkeypatch.setattr(SkySurveys, "from_catalogs", stop)
    return found


def write(path, names):
    columns = {}
    for name in names.split():
        values = np.linspace(0.1, 0.4, 4)
        columns[name] = np.arange(4) if name.lower().endswith(("id", "release")) else values
    Catalog(columns).write(path)


SPEC = "spec.fits", "TARGETID RA DEC Z WEIGHT"
PHOTO = "photo.parquet", "ra dec TargetID Z_PHOT_MEAN Z_PHOT_STD Z_SPEC"
BOTH = "redshifts --spec spec.fits --photo photo.parquet --footprint 0,1,0,1 --survey"
ONE = "redshifts --photo photo.fits --footprint 0,1,0,1 --survey"


@pytest.fixture
def both(tmp_path):
    write(tmp_path / SPEC[0], SPEC[1])
    write(tmp_path / PHOTO[0], PHOTO[1])
    return tmp_path


@pytest.mark.parametrize("survey", ["auto", "desi,legacy"])
def test_columns_of_two_surveys_are_filled_in_and_printed(
    survey, both, arguments, monkeypatch, capsys
):
    code, out, err = truez(both, monkeypatch, capsys, f"{BOTH} {survey}")
    assert (code, err) == (2, "truez: reached\n")
    assert out == (
        "photo.parquet: Legacy Surveys photo-z (legacy), photometric\n"
        "  --photo-sky ra,dec,Z_PHOT_MEAN --z-err-column Z_PHOT_STD\n"
        "spec.fits: DESI LSS (desi), spectroscopic\n"
        "  --sky RA,DEC,Z --spec-weight-column WEIGHT --frame heliocentric\n"
        "  both: --match-id TARGETID\n"
        "  frame: spec heliocentric, photo heliocentric\n"
    )
    details = arguments["details"]
    assert (details.sky, details.photo_sky) == (("RA", "DEC", "Z"), ("ra", "dec", "Z_PHOT_MEAN"))
    assert (details.z_err_column, details.spec_weight_column) == ("Z_PHOT_STD", "WEIGHT")
    assert (details.weight_column, details.spec_z_column) == (None, None)
    assert (details.frame, arguments["match_id"]) == ("heliocentric", "TARGETID")
    assert details.stand_ins == (-99.0, 999999.0, 1e20)


def test_what_is_typed_wins(both, arguments, monkeypatch, capsys):
    typed = (
        "--photo-sky ra,dec,z_spec --sigma-z 0.03 --sky RA,DEC,weight --frame none --overlap nested"
    )
    assert truez(both, monkeypatch, capsys, f"{BOTH} auto {typed}")[2] == "truez: reached\n"
    details = arguments["details"]
    assert details.photo_columns == ("ra", "dec", "z_spec")
    assert list(details.sky) == ["RA", "DEC", "weight"]
    assert (details.z_err_column, details.spec_weight_column) == (None, None)
    assert (details.frame, arguments["match_id"], arguments["overlap"]) == ("none", None, "nested")
    typed = "--sigma-z-column Z_PHOT_STD --match-radius 1 --spec-weight-column Z"
    truez(both, monkeypatch, capsys, f"{BOTH} auto {typed}")
    details = arguments["details"]
    assert (details.z_err_column, details.sigma_z_column) == (None, "Z_PHOT_STD")
    assert details.photo_columns == ("ra", "dec", "Z_PHOT_MEAN")
    assert (details.spec_weight_column, arguments["match_id"]) == ("Z", None)


@pytest.mark.parametrize(
    ("names", "expected"),
    [case[1:] for case in PHOTOMETRIC if "[2]" not in case[1]],
    ids=lambda x: x[:25] if isinstance(x, str) else "",
)
def test_a_photometric_catalogue_of_each_survey(
    names, expected, tmp_path, arguments, monkeypatch, capsys
):
    write(tmp_path / "photo.fits", names)
    known = {} if "spec_z_column" in expected else {"spec_z_column": expected["photo_sky"][-1:]}
    typed = "".join(f" --spec-z-column {value}" for value in known.values())
    code, out, err = truez(tmp_path, monkeypatch, capsys, f"{ONE} auto{typed}")
    assert (code, err) == (2, "truez: reached\n")
    details = arguments["details"]
    assert ",".join(details.photo_columns) == expected["photo_sky"]
    for name in ("z_err_column", "sigma_z_column", "weight_column", "spec_z_column"):
        assert getattr(details, name) == (expected | known).get(name)
        assert name not in expected or f"--{name.replace('_', '-')} {expected[name]}" in out


@pytest.mark.parametrize(
    ("names", "expected"), [case[1:] for case in SPECTROSCOPIC], ids=[c[0] for c in SPECTROSCOPIC]
)  # fmt: skip
def test_a_spectroscopic_catalogue_of_each_survey(
    names, expected, tmp_path, arguments, monkeypatch, capsys
):
    write(tmp_path / "spec.fits", names)
    write(tmp_path / PHOTO[0], PHOTO[1])
    truez(tmp_path, monkeypatch, capsys, f"{BOTH} auto --overlap nested")
    details = arguments["details"]
    assert ",".join(details.sky) == expected["sky"]
    assert details.spec_weight_column == expected.get("spec_weight_column")


def test_identifiers_of_the_same_kind_are_matched(tmp_path, arguments, monkeypatch, capsys):
    write(tmp_path / "spec.fits", "specObjID bestObjID ra dec z")
    write(tmp_path / "photo.parquet", "objID ra dec z zErr")
    truez(tmp_path, monkeypatch, capsys, f"{BOTH} sdss")
    assert arguments["match_id"] == "bestObjID:objID"
    write(tmp_path / "gama" / "spec.fits", "CATAID RA DEC Z")
    write(tmp_path / "gama" / "photo.parquet", "objID ra dec z zErr")
    truez(tmp_path / "gama", monkeypatch, capsys, f"{BOTH} auto")
    assert arguments["match_id"] is None


def test_the_users_own_table(tmp_path, arguments, monkeypatch, capsys):
    (tmp_path / "ours.toml").write_text(
        "[photometric]\nra = ['alpha']\ndec = ['delta']\nnone = [-77]\nids = {x = ['no']}\n"
        "[[photometric.redshifts]]\ncolumn = 'zp'\nerrors = [{lower = 'a', upper = 'b'}]\n"
        "[spectroscopic]\nra = ['alpha']\ndec = ['delta']\nids = {x = ['no']}\n"
        "redshifts = [{column = 'zs'}]\n"
    )
    write(tmp_path / "spec.fits", "alpha delta zs no")
    write(tmp_path / "photo.parquet", "Alpha Delta zp A B No")
    assert "reached" in truez(tmp_path, monkeypatch, capsys, f"{BOTH} auto,ours.toml")[2]
    details = arguments["details"]
    assert (details.photo_columns, details.z_err_column) == (("Alpha", "Delta", "zp"), "A:B")
    assert (details.stand_ins, arguments["match_id"]) == ((-77.0,), "no")
    code, out, _ = truez(tmp_path, monkeypatch, capsys, "info photo.parquet --survey ours.toml")
    assert code == 0
    assert "names of ours (ours), photometric: --photo-sky Alpha,Delta,zp --z-err-column A:B" in out


@pytest.mark.parametrize(
    ("names", "typed", "sentence"),
    [
        (
            "RA DEC COADD_OBJECT_ID DNF_Z ZREDMAGIC", "auto",
            ("photo.fits fits several surveys, des and redmagic: give --survey des, or another of "
            "them"),
        ),
        (
            "RA DEC MY_Z", "auto",
            ("photo.fits fits no photometric survey by its columns, RA, DEC, MY_Z: give "
            "--photo-sky RA,DEC,Z, or give --survey FILE.toml with its names"),
        ),
        (
            "objectId coord_ra coord_dec bpz_z_mean fzboost_z_mean", "rubin",
            ("photo.fits has redshifts of several algorithms (bpz, fzboost): give --photo-sky, "
            "such as coord_ra,coord_dec,bpz_z_mean"),
        ),
        (
            "RA DEC MY_Z", "desy",
            ("--survey must be auto, one of des, desi, euclid, gama, hsc, kids, legacy, rail, "
            "redmagic, redmapper, rubin, sdss, txpipe, or a path that ends in .toml, not 'desy'"),
        ),
    ],
)  # fmt: skip
def test_what_is_refused(names, typed, sentence, tmp_path, monkeypatch, capsys):
    write(tmp_path / "photo.fits", names)
    code, _, err = truez(tmp_path, monkeypatch, capsys, f"{ONE} {typed} --spec-z-column RA")
    assert (code, err) == (2, f"truez: {sentence}\n")


def test_survey_is_for_catalogues(tmp_path, monkeypatch, capsys):
    code, _, err = truez(tmp_path, monkeypatch, capsys, "redshifts --survey auto")
    assert (code, err) == (2, "truez: --survey needs --photo FILE, whose columns it names\n")


def test_the_algorithm_is_chosen_by_its_column(tmp_path, arguments, monkeypatch, capsys):
    names = "objectId coord_ra coord_dec bpz_z_mean lephare_z_mode"
    names += "".join(f" {a}_z_err68_{end}" for a in ("bpz", "lephare") for end in ("low", "high"))
    write(tmp_path / "photo.fits", names)
    typed = "--photo-sky coord_ra,coord_dec,lephare_z_mode --spec-z-column bpz_z_mean"
    truez(tmp_path, monkeypatch, capsys, f"{ONE} auto {typed}")
    details = arguments["details"]
    assert list(details.photo_columns) == ["coord_ra", "coord_dec", "lephare_z_mode"]
    assert details.z_err_column == "lephare_z_err68_low:lephare_z_err68_high"


def test_info_names_the_surveys_and_their_options(both, monkeypatch, capsys):
    _, out, _ = truez(both, monkeypatch, capsys, "info spec.fits")
    assert out.endswith(
        "\nnames of DESI LSS (desi), spectroscopic: --sky RA,DEC,Z --spec-weight-column WEIGHT "
        "--frame heliocentric --match-id TARGETID\n"
        "  command  truez redshifts --spec spec.fits --photo PHOTO --sky RA,DEC,Z "
        "--spec-weight-column WEIGHT --frame heliocentric --photo-sky RA,DEC,Z_PHOT "
        "--sigma-z SIGMA --footprint MASK --match-id TARGETID --out redshifts.fits\n"
    )
    write(both / "none.fits", "X Y")
    assert "names of" not in truez(both, monkeypatch, capsys, "info none.fits")[1]
    write(both / "two.fits", "objectId coord_ra coord_dec bpz_z_mean fzboost_z_mean")
    _, out, _ = truez(both, monkeypatch, capsys, "info two.fits")
    assert out.count("names of Rubin Object") == 2


@pytest.fixture(scope="module")
def kids(tmp_path_factory):
    """A light cone as of KiDS and GAMA; errors as intervals, 0.99 and 9.5 for none."""
    place = tmp_path_factory.mktemp("kids")
    cone = light_cone(density=0.006)
    photo, spec = tables(cone)
    half = cone.sigma * (1 + cone.z)
    lost = np.arange(len(cone)) % 100
    z = np.where(lost == 3, -99, photo["Z"])
    low, high = (np.where(lost == end, 0.99, photo["Z"] + sign * half)
                 for end, sign in ((5, -1), (7, 1)))  # fmt: skip
    columns = {"RAJ2000": photo["RA"], "DECJ2000": photo["Dec"], "Z_B": z, "Z_B_MIN": low}
    Catalog(columns | {"Z_B_MAX": high, "ID": photo["ID"]}).write(place / "photo.parquet")
    unknown = np.where(np.arange(len(spec["Z"])) % 2, 9.5, -9.0)
    spec = {name: np.concatenate([values, values]) for name, values in spec.items()}
    Catalog(
        {"RA": spec["RA"], "DEC": spec["Dec"], "CATAID": np.arange(len(spec["Z"])),
         "Z": np.concatenate([spec["Z"][: len(unknown)], unknown])}
    ).write(place / "spec.fits")  # fmt: skip
    (place / "kids.toml").write_text(
        "[photometric]\nra = ['raj2000']\ndec = ['decj2000']\nnone = [0.99]\n"
        "redshifts = [{column = 'z_b', errors = [{lower = 'z_b_min', upper = 'z_b_max'}]}]\n"
    )
    (place / "gama.toml").write_text(
        "[spectroscopic]\nra = ['ra']\ndec = ['dec']\nnone = [9.5]\nredshifts = [{column = 'z'}]\n"
    )
    return cone, place


@pytest.fixture
def surveys_made(monkeypatch):
    """The surveys that commands make, in their order."""
    found = []
    made = SkySurveys.from_catalogs.__func__

    def keep(cls, **values):
        found.append(made(cls, **values))
        return found[-1]

    monkeypatch.setattr(SkySurveys, "from_catalogs", classmethod(keep))
    return found


def test_stand_ins_become_missing_and_intervals_errors(kids, surveys_made, monkeypatch, capsys):
    cone, place = kids
    code, out, err = truez(
        place, monkeypatch, capsys,
        "redshifts --spec spec.fits --photo photo.parquet --survey auto,kids.toml,gama.toml "
        "--footprint 354,6,-3,3 --match-radius 1 --cellsize 8 --method redistribution --dry-run",
    )  # fmt: skip
    assert code == 0, err
    assert "--photo-sky RAJ2000,DECJ2000,Z_B --z-err-column Z_B_MIN:Z_B_MAX" in out
    (surveys,) = surveys_made
    lost = np.arange(len(cone)) % 100
    known = surveys.photo.has_redshift
    np.testing.assert_array_equal(~known, np.isin(lost, (3, 5, 7)))
    half = cone.sigma * (1 + cone.z)
    np.testing.assert_allclose(surveys.error.sigma_z[known], half[known], rtol=1e-6)
    assert surveys.error.absolute
    assert surveys.spec.has_redshift.sum() == cone.spec.sum()


def test_a_mock_of_real_spectra(kids, monkeypatch, capsys):
    cone, place = kids
    code, out, err = truez(
        place, monkeypatch, capsys,
        "mock spec.fits --from-spec --survey auto,gama.toml --sigma-z 0.02 --spec-fraction 0.1 "
        "--footprint 354,6,-3,3 --out mock",
    )  # fmt: skip
    assert code == 0, err
    assert out.startswith("spec.fits: gama (gama), spectroscopic\n  --sky RA,DEC,Z\n")
    photo = Catalog.read(place / "mock" / "photo.parquet")
    assert len(photo) == cone.spec.sum()
    code, _, err = truez(
        place, monkeypatch, capsys, "mock spec.fits --survey auto --sigma-z 0.02 --out other"
    )  # fmt: skip
    assert (code, err) == (2, "truez: only --from-spec has these options: leave out --survey\n")


@pytest.mark.realdata
def test_the_redmapper_patch_is_read_as_it_is_with_its_errors(
    data_folder, surveys_made, tmp_path, monkeypatch, capsys
):
    path = data_folder / "sdss_dr8_redmapper_patch.fits"
    code, out, err = truez(
        tmp_path, monkeypatch, capsys,
        f"redshifts --photo {path} --survey auto --footprint from-data --dry-run",
    )  # fmt: skip
    assert code == 0, err
    assert (
        "redMaPPer (redmapper), photometric\n"
        "  --z-err-column ZRED_E --spec-z-column Z_SPEC --sky RA,DEC,ZRED --frame heliocentric\n"
    ) in out
    table = Catalog.read(path, ["ZRED", "ZRED_E", "Z_SPEC"])
    (surveys,) = surveys_made
    known = surveys.photo.has_redshift
    usable = (table["ZRED"] > 0) & (table["ZRED_E"] < 1)
    np.testing.assert_array_equal(known, usable)
    np.testing.assert_array_equal(surveys.error.sigma_z[known], table["ZRED_E"][known])
    assert surveys.error.absolute
    assert len(surveys.spec) == np.isfinite(np.ma.filled(table["Z_SPEC"], np.nan)).sum()


GAMA = "spec.fits", "CATAID RA DEC Z_HELIO Z_CMB NQ"


@pytest.mark.parametrize(
    ("typed", "frames", "line"),
    [
        ("", ("heliocentric", "heliocentric"), "spec heliocentric, photo heliocentric"),
        ("--sky RA,DEC,Z_CMB", ("cmb", "heliocentric"), "spec cmb, photo heliocentric"),
        ("--sky RA,DEC,NQ", ("none", "heliocentric"), "spec not known, photo heliocentric"),
    ],
)
def test_frames_of_both_surveys_are_written_down_and_differences_noted(
    typed, frames, line, both, arguments, monkeypatch, capsys
):
    write(both / GAMA[0], GAMA[1])
    code, out, err = truez(both, monkeypatch, capsys, f"{BOTH} auto {typed} --overlap nested")
    assert code == 2
    details = arguments["details"]
    assert (details.frame, details.photo_frame) == frames
    assert f"  frame: {line}\n" in out
    note = (
        "truez: note: redshifts of spec.fits are cmb and photo-z of photo.parquet heliocentric, up "
        "to 0.0012 (1 + z) apart: convert one of them where that matters\n"
    )
    assert (note in err) == ("cmb" in frames)


def test_a_typed_frame_is_that_of_both(both, arguments, monkeypatch, capsys):
    truez(both, monkeypatch, capsys, f"{BOTH} auto --frame cmb")
    assert (arguments["details"].frame, arguments["details"].photo_frame) == ("cmb", None)


def test_the_frame_of_a_photometric_catalogue_with_known_redshifts(
    tmp_path, arguments, monkeypatch, capsys
):
    write(tmp_path / "photo.fits", PHOTO[1])
    _, out, _ = truez(tmp_path, monkeypatch, capsys, f"{ONE} auto")
    assert arguments["details"].frame == "heliocentric"
    assert "--frame heliocentric" in out


def test_what_a_survey_advises_is_shown_and_never_done(both, arguments, monkeypatch, capsys):
    write(both / "photo.parquet", f"{PHOTO[1]} MaskBits FLUX_Z")
    _, out, _ = truez(both, monkeypatch, capsys, "info photo.parquet")
    assert (
        "\n  advised  --photo-cut 'MaskBits<=0': pixels without bright stars, large galaxies or "
        "saturation (https://www.legacysurvey.org/dr9/bitmasks)\n"
    ) in out
    assert "\n  advised  --photo-cut 'FLUX_Z>=3.98': " in out
    _, out, _ = truez(both, monkeypatch, capsys, f"{BOTH} auto")
    assert "cut" not in out
    assert arguments["details"].photo_cut == ()
    write(both / GAMA[0], GAMA[1])
    assert (
        "\n  advised  --spec-cut 'NQ>=3': redshifts for science ("
        in (truez(both, monkeypatch, capsys, "info spec.fits")[1])
    )


def test_info_says_where_p_z_are_and_their_prior(tmp_path, monkeypatch, capsys):
    names = "RA DEC Z_PHOT_MEAN Z_PHOT_STD Z_PHOT_MEDIAN Z_PHOT_L68 Z_PHOT_U68"
    write(tmp_path / "photo.fits", names)
    _, out, _ = truez(tmp_path, monkeypatch, capsys, "info photo.fits")
    assert (
        "\n  p(z)     --pdf 'photo.fits#Z_PHOT' --pdf-prior nz, in place of the error: a random "
        "forest: its prior is N(z) of its training spectra, for which nz stands in (Zhou et al. "
        "2021, arXiv:2001.06018)\n"
    ) in out
    write(tmp_path / "lens.fits", "ra dec z lens_weight")
    assert (
        "\n  p(z)     --pdf PDF.hdf5 --pdf-prior PRIOR: those of the code of RAIL"
        in (truez(tmp_path, monkeypatch, capsys, "info lens.fits")[1])
    )
    write(tmp_path / "mine.fits", "x mine_l68 mine_median mine_u68")
    assert (
        "\np(z)  --pdf 'mine.fits#mine' --pdf-prior PRIOR: quantiles of 16%, 50%, 84%; the "
        "prior is flat, nz, stack or a FILE of z and n\n"
    ) in truez(tmp_path, monkeypatch, capsys, "info mine.fits")[1]


@pytest.mark.parametrize(
    ("kind", "names"),
    [(kind, case[1]) for kind, cases in (("photo", PHOTOMETRIC), ("spec", SPECTROSCOPIC))
     for case in cases if "[2]" not in case[1]],
)  # fmt: skip
def test_the_command_that_info_prints_is_one(kind, names, tmp_path, arguments, monkeypatch, capsys):
    """With files in place of the words in capitals it gets as far as reading the catalogues."""
    write(tmp_path / "file.fits", names)
    write(tmp_path / "other.fits", "RA DEC Z Z_PHOT ID")
    _, out, _ = truez(tmp_path, monkeypatch, capsys, "info file.fits")
    commands = [line for line in out.splitlines() if line.startswith("  command  truez ")]
    wanted = [line for line in commands if f"--{kind} file.fits" in line]
    assert wanted
    for line in wanted:
        for word, value in (("SPEC", "other.fits"), ("PHOTO", "other.fits"), ("SIGMA", "0.02"),
                            ("MASK", "0,1,0,1")):  # fmt: skip
            line = line.replace(f" {word} ", f" {value} ")
        _, _, err = truez(tmp_path, monkeypatch, capsys, line.removeprefix("  command  truez "))
        assert err == "truez: reached\n"
