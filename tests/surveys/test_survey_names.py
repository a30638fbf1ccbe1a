"""Catalogues with the names of each survey are recognised, in FITS and Parquet."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from tests.surveys.published import PHOTOMETRIC, SPECTROSCOPIC

from truez.catalogs import formats
from truez.sky.details import SkyDetails
from truez.sky.redshifts import COLUMNS
from truez.surveys.error_columns import ErrorColumns
from truez.surveys.names import read_survey, recognised, survey_names, surveys_of, the_survey

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
ROWS = 4
AUTO = surveys_of("auto")


def write(path, names):
    """A file of these columns, those of identifiers whole numbers; ``NAME[2]`` has two values."""
    columns = {}
    for number, name in enumerate(names):
        if name.endswith("[2]"):
            columns[name[:-3]] = np.full((ROWS, 2), 0.5)
        elif name.lower().endswith(("id", "release")):
            columns[name] = np.arange(ROWS) + number
        else:
            columns[name] = np.linspace(0.1, 0.4, ROWS)
    if path.suffix == ".fits":
        Table(columns).write(path)
        return
    arrays = {
        name: pa.array(values) if values.ndim == 1
        else pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 2)
        for name, values in columns.items()
    }  # fmt: skip
    pq.write_table(pa.table(arrays), path)


CASES = [
    (kind, survey, names, expected)
    for kind, cases in (("photometric", PHOTOMETRIC), ("spectroscopic", SPECTROSCOPIC))
    for survey, names, expected in cases
]


@pytest.mark.parametrize("suffix", [".fits", ".parquet"])
@pytest.mark.parametrize(("kind", "survey", "names", "expected"), CASES)
def test_a_catalogue_of_each_survey_is_recognised(kind, survey, names, expected, suffix, tmp_path):
    path = tmp_path / f"catalogue{suffix}"
    write(path, names.split())
    columns = list(formats.header(path).columns)
    found = the_survey(columns, AUTO, kind, str(path))
    assert found.survey.name == survey
    settings = found.settings(found.estimate(None, str(path)))
    details = SkyDetails(**settings)
    assert ",".join(details.sky if kind == "spectroscopic" else details.photo_columns) in (
        expected.values()
    )
    frame = settings.pop("frame", None)
    wanted = "cmb" if "Z_CMB" in names else found.sample.frame
    assert frame == (wanted if kind == "spectroscopic" else None)
    ids = dict(found.ids)
    assert (settings | {"ids": ids} if ids else settings) == expected


def rows_of_the_documentation():
    """The table of docs/guides/surveys.md, made of the tables of names."""
    for survey in AUTO:
        for kind in ("photometric", "spectroscopic"):
            sample = getattr(survey, kind)
            if sample is None:
                continue
            position = "; ".join(f"`{a}` `{d}`" for a, d in zip(sample.ra, sample.dec, strict=True))
            errors = []
            for redshift in sample.redshifts:
                columns = [e.column or f"{e.lower}:{e.upper}" for e in redshift.errors]
                levels = ["" if e.column or e.level == 0.68 else f" ({e.level:.0%})"
                          for e in redshift.errors]  # fmt: skip
                listed = ", ".join(f"`{c}`{p}" for c, p in zip(columns, levels, strict=True))
                errors.append(f"`{redshift.column}`" + (f": {listed}" if listed else ""))
            rest = [*sample.weight, *sample.known_redshift]
            ids = [column for columns in sample.ids.values() for column in columns]
            yield "| " + " | ".join([
                f"`{survey.name}`", survey.title, kind, position, "; ".join(errors),
                ", ".join(f"`{name}`" for name in rest), ", ".join(f"`{name}`" for name in ids),
                ", ".join(f"`{name}`" for name in sample.needs),
                ", ".join(f"{value:g}" for value in sample.none),
            ]) + " |"  # fmt: skip


def test_the_documentation_lists_the_names_of_every_survey():
    text = (GUIDES / "surveys.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| `")]
    assert table == list(rows_of_the_documentation())


def linked(source):
    """A source as Markdown has it, in which an address is a link."""
    return f"<{source}>" if source.startswith("https://") else source


def more_rows_of_the_documentation():
    """Its tables of cuts and of p(z)."""
    for survey in AUTO:
        for kind, option in (("photometric", "--photo-cut"), ("spectroscopic", "--spec-cut")):
            for cut in getattr(getattr(survey, kind), "cuts", ()):
                source = linked(cut.source)
                yield f"| {survey.title} | `{option} '{cut.cut}'` | {cut.keeps} | {source} |"
    for survey in AUTO:
        pdfs = getattr(survey.photometric, "pdfs", None)
        if pdfs is not None:
            columns = ", ".join(f"`FILE#{name}`" for name in pdfs.columns) or "a file of qp"
            prior = f"`{pdfs.prior}`" if pdfs.prior else ""
            source = linked(pdfs.source)
            yield f"| {survey.title} | {columns} | {prior} | {pdfs.about} | {source} |"


def test_the_documentation_lists_cuts_and_p_z():
    text = (GUIDES / "surveys.md").read_text(encoding="utf-8")
    titles = {f"| {survey.title} " for survey in AUTO}
    table = [line for line in text.splitlines() if line.startswith(tuple(titles))]
    assert table == list(more_rows_of_the_documentation())


def test_every_survey_that_comes_with_truez_is_among_the_cases():
    assert {survey for _, survey, _, _ in CASES} == set(survey_names())
    tables = {(s.name, kind) for s in AUTO for kind in ("photometric", "spectroscopic")
              if getattr(s, kind) is not None}  # fmt: skip
    assert {(survey, kind) for kind, survey, _, _ in CASES} == tables


def test_the_wanted_redshift_chooses_the_error_of_its_algorithm():
    names = ["objectId", "coord_ra", "coord_dec", "bpz_z_mean", "fzboost_z_mean"]
    names += [f"{a}_z_err68_{end}" for a in ("bpz", "fzboost") for end in ("low", "high")]
    found = the_survey(names, AUTO, "photometric", "photo.parquet")
    with pytest.raises(ValueError) as error:
        found.estimate(None, "photo.parquet")
    assert str(error.value) == (
        "photo.parquet has redshifts of several algorithms (bpz, fzboost): give photo_sky, such as "
        "coord_ra,coord_dec,bpz_z_mean"
    )
    chosen = found.estimate("FZBOOST_Z_MEAN", "photo.parquet")
    assert chosen.error == {"z_err_column": "fzboost_z_err68_low:fzboost_z_err68_high"}
    assert found.estimate("another", "photo.parquet") is None


def test_a_catalogue_of_two_surveys_is_refused_with_both_names():
    names = ["RA", "DEC", "COADD_OBJECT_ID", "DNF_Z", "DNF_ZSIGMA", "ZREDMAGIC", "ZREDMAGIC_E"]
    with pytest.raises(ValueError) as error:
        the_survey(names, AUTO, "photometric", "gold.fits")
    assert str(error.value) == (
        "gold.fits fits several surveys, des and redmagic: give survey des, or another of them"
    )
    assert the_survey(names, surveys_of("redmagic"), "photometric", "").survey.name == "redmagic"


def test_a_catalogue_of_no_survey_is_refused_with_its_columns():
    with pytest.raises(ValueError) as error:
        the_survey(["RA", "DEC", "REDSHIFTED"], AUTO, "spectroscopic", "spec.fits")
    assert str(error.value) == (
        "spec.fits fits no spectroscopic survey by its columns, RA, DEC, REDSHIFTED: give sky "
        "RA,DEC,Z, or give survey FILE.toml with its names"
    )
    with pytest.raises(ValueError) as error:
        the_survey([f"column_{i}" for i in range(500)], AUTO, "photometric", "x" * 60)
    assert "more" in str(error.value)
    assert len(str(error.value)) < 300
    with pytest.raises(ValueError, match="fits gama as a spectroscopic catalogue and none as a "):
        the_survey(["RA", "DEC", "Z", "CATAID"], AUTO, "photometric", "gama.fits")


USERS = """
title = "Our survey"
[photometric]
needs = ["run"]
ra = ["alpha"]
dec = ["delta"]
redshifts = [{ column = "zp", errors = [{ column = "szp", over_one_plus_z = true }] }]
none = [-77]
"""


def test_a_table_of_the_users_own_stands_beside_those_of_truez(tmp_path):
    path = tmp_path / "ours.toml"
    path.write_text(USERS)
    tables = surveys_of(f"auto,{path}")
    assert len(tables) == len(AUTO) + 1
    (found,) = recognised(["Alpha", "Delta", "zp", "SZP", "RUN"], tables, "photometric")
    assert (found.survey.name, found.sample.none) == ("ours", (-77.0,))
    assert found.settings(found.estimates[0]) == {
        "photo_sky": "Alpha,Delta,zp", "sigma_z_column": "SZP",
    }  # fmt: skip
    assert not recognised(["Alpha", "Delta", "zp", "SZP"], tables, "photometric")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "photometric and spectroscopic are missing: add one of them"),
        ("[photometric]\nra=['a']\ndec=['d']", "photometric.redshifts is missing"),
        ("[photometric]\nra=['a']\ndec=['d']\nredshifts=[]", "photometric.redshifts must be"),
        ("[photo]\nra=['a']", "photo is not a known setting: did you mean photometric?"),
        (
            "[photometric]\nra=['a']\ndec=['d']\nredshifts=[{column='z', errors=[{lower='l'}]}]",
            "must have column, or lower and upper",
        ),
        (
            USERS.replace("column = \"szp\"", "lower = 'a', upper = 'b'"),
            "over_one_plus_z goes with column, not with lower and upper",
        ),
        (USERS.replace("title", "= ="), "is not TOML"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused_in_one_sentence(text, sentence, tmp_path):
    path = tmp_path / "ours.toml"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        read_survey(path)
    assert sentence in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert "pydantic" not in str(error.value)


def test_unknown_surveys_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"survey must be auto, one of des, .*, not 'desy'"):
        surveys_of("desy")
    with pytest.raises(ValueError, match=r"survey must be auto"):
        surveys_of(" , ")
    with pytest.raises(FileNotFoundError, match="no table of names"):
        surveys_of(str(tmp_path / "none.toml"))


def test_errors_are_half_the_width_of_68_percent_intervals():
    lower, upper = np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.2, np.nan])
    columns = ErrorColumns.of("low:high")
    np.testing.assert_allclose(columns.errors(lower, upper), [0.05, np.nan, np.nan])
    wide = ErrorColumns.of("low:high:0.95")
    assert str(wide) == "low:high:0.95"
    np.testing.assert_allclose(wide.errors(lower, upper)[0], 0.05 / 1.959964, rtol=1e-6)
    np.testing.assert_allclose(
        ErrorColumns.of("low:high:0.7").errors(lower, upper)[0], 0.05 / 1.036433, rtol=1e-6
    )
    for text in ("a:", ":b", "a:b:c", "a:b:1", "a:b:0.5:c"):
        with pytest.raises(ValueError, match="z_err_column must be COLUMN, LOWER:UPPER"):
            ErrorColumns.of(text)


def test_the_documentations_own_table_can_be_read(tmp_path):
    text = (GUIDES / "surveys.md").read_text(encoding="utf-8")
    path = tmp_path / "ours.toml"
    path.write_text(text.split("```toml\n")[1].split("```")[0])
    survey = read_survey(path)
    (found,) = recognised(["field", "ra", "delta", "ZP", "szp"], [survey], "photometric")
    assert found.settings(found.estimates[0]) == {
        "photo_sky": "ra,delta,ZP", "sigma_z_column": "szp",
    }  # fmt: skip


@pytest.mark.parametrize("spelt", [str.upper, str.lower, str.swapcase])
@pytest.mark.parametrize(("kind", "survey", "names", "expected"), CASES)
def test_a_catalogue_is_recognised_in_any_case_and_with_our_columns(
    kind, survey, names, expected, spelt
):
    columns = [spelt(name) for name in names.replace("[2]", ".0").split()]
    columns += [name.replace(".0", ".1") for name in columns if name.endswith(".0")]
    ours = [*COLUMNS, "spec_matched", "flag", "z_draw_0"]
    if {name.lower() for name in columns} & set(ours):  # the file has no name twice
        ours = [f"truez_{name}" for name in ours]
    mixed = [*columns[:2], *ours, *columns[2:], "NOTE", "Field"]
    found = the_survey(mixed, AUTO, kind, "catalogue.fits")
    assert found.survey.name == survey
    settings = found.settings(found.estimate(None, "catalogue.fits"))
    assert {k: v.lower() for k, v in settings.items() if k != "frame"} == {
        k: v.lower() for k, v in expected.items() if k != "ids"
    }
    assert set(",".join(settings.values()).replace(":", ",").split(",")) <= {
        *columns, "0.7", "0.95", "cmb", "heliocentric",
    }  # fmt: skip


L95 = "L95 L68 MEDIAN U68 U95"
#: Survey, columns, and what --pdf chooses of them by the algorithm.
PDFS = [
    ("legacy", "RA DEC Z_PHOT_MEAN " + " ".join(f"Z_PHOT_{end}" for end in L95.split()),
     {"": "Z_PHOT"}),
    ("rubin", ("objectId coord_ra coord_dec bpz_z_mean bpz_z_median bpz_z_err68_low "
               "bpz_z_err68_high knn_z_mean knn_z_err68_low knn_z_err68_high"), {"bpz": "bpz_z"}),
    ("hsc", "object_id ra dec photoz_best photoz_median photoz_err68_min photoz_err68_max",
     {"": "photoz"}),
    ("hsc", ("object_id ra dec demp_photoz_best demp_photoz_median demp_photoz_err68_min "
             "demp_photoz_err68_max"), {"demp": "demp_photoz"}),
    ("euclid", "object_id right_ascension declination PHZ_MEDIAN "
     + " ".join(f"PHZ_PDF.{number}" for number in range(601)), {"": "PHZ_PDF"}),
    ("kids", "RAJ2000 DECJ2000 Z_B Z_B_MIN Z_B_MAX", {}),
    ("redmagic", "ra dec zredmagic zredmagic_e", {}),
]  # fmt: skip


@pytest.mark.parametrize(("survey", "names", "expected"), PDFS)
def test_p_z_of_a_catalogue_are_named(survey, names, expected):
    found = the_survey(names.split(), AUTO, "photometric", "photo.fits")
    assert (found.survey.name, dict(found.pdfs)) == (survey, expected)


def test_the_legacy_surveys_have_the_prior_of_their_training_set():
    assert read_survey("legacy").photometric.pdfs.prior == "nz"


def test_every_advised_cut_is_a_cut_with_its_source_and_of_a_column_in_lower_case():
    cuts = [cut for survey in AUTO for kind in ("photometric", "spectroscopic")
            if (sample := getattr(survey, kind)) for cut in sample.cuts]  # fmt: skip
    assert len(cuts) >= 12
    for cut in cuts:
        assert cut.source
        assert cut.keeps
        assert cut.cut.startswith(cut.column)
        assert cut.column == cut.column.lower()


def test_advised_cuts_are_those_whose_columns_there_are_in_their_spelling():
    names = ["ra", "DEC", "Z_PHOT_MEAN", "MaskBits"]
    found = the_survey(names, AUTO, "photometric", "photo.fits")
    assert [cut.cut for cut in found.cuts] == ["MaskBits<=0"]


def test_probabilities_of_members_of_clusters_are_no_weights():
    found = the_survey(["RA", "DEC", "ZRED", "ZRED_E", "P"], AUTO, "photometric", "members.fit")
    assert found.weight is None
    assert "weight_column" not in found.settings(found.estimates[0])
