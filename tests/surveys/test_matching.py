"""Identifiers are compared exactly or refused; those that are missing are no match."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import truez
from truez.cli.app import app
from truez.surveys.matching import STAND_INS, match_ids

RNG = np.random.default_rng(1)
PHOTO = RNG.uniform(0, 32, (500, 3))
SPEC = PHOTO[::5]


def surveys(spec_ids, photo_ids, **more):
    """Surveys of two mappings of columns with these identifiers."""
    samples = {}
    for name, positions, ids in (("spec", SPEC, spec_ids), ("photo", PHOTO, photo_ids)):
        samples[name] = {axis: positions[:, i] for i, axis in enumerate("xyz")} | {"ID": ids}
    settings = {"box": truez.Box(32, cellsize=4), "redshift": 0.6, "sigma_z": 0.001}
    return truez.Surveys.from_catalogs(**{**samples, **settings, "match_id": "ID", **more})


def by_dictionary(spec, photo):
    """Rows by Python's own integers or text."""
    place = {key: row for row, key in enumerate(photo)}
    return [place.get(key, -1) for key in spec]


INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]


@st.composite
def columns(draw):
    """Two columns of integers of any width and sign that share some values."""
    kinds = draw(st.tuples(st.sampled_from(INTEGERS), st.sampled_from(INTEGERS)))
    infos = [np.iinfo(kind) for kind in kinds]
    low, high = max(i.min for i in infos), min(i.max for i in infos)
    edges = [v for i in infos for v in (int(i.min), int(i.max), 2**53, 2**53 + 1, 2**63, 2**63 - 1)]
    anywhere = st.one_of(
        st.sampled_from(edges), st.integers(-(2**63), 2**64 - 1), st.integers(-5, 200)
    )
    common = draw(st.lists(st.integers(int(low), int(high)), min_size=1, max_size=8, unique=True))
    result = []
    for kind, info in zip(kinds, infos, strict=True):
        own = draw(st.lists(anywhere.filter(lambda v, i=info: i.min <= v <= i.max), max_size=12))
        values = draw(st.permutations(sorted({*common, *own})))
        result.append(np.array(values, dtype=kind))
    return result


@pytest.mark.medium
@settings(max_examples=300, deadline=None)
@given(columns())
def test_integers_of_any_width_and_sign_match_as_python_integers_do(pair):
    spec, photo = pair
    found = match_ids(spec, photo)
    assert found.rows.tolist() == by_dictionary(spec.tolist(), photo.tolist())
    assert (found.spec_without_id, found.photo_without_id) == (0, 0)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-(2**53) + 1, 2**53 - 1), min_size=1, max_size=20, unique=True),
    st.sampled_from(["i8", "f8"]),
)
def test_whole_floats_below_2_to_the_53_are_integers(values, kind):
    photo = np.array(values, dtype="f8")
    spec = np.array([*values[::2], 12345678901], dtype=kind)
    wanted = by_dictionary([int(v) for v in spec], values)
    assert match_ids(spec, photo).rows.tolist() == wanted


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("ab√1 -", min_size=1, max_size=4), min_size=1, max_size=20))
def test_bytes_and_text_match_as_text_does(words):
    words = [word for word in dict.fromkeys(w.rstrip("\0") for w in words) if word.strip(" -")]
    if not words:
        return
    photo = np.array([word.encode() for word in words])
    spec = np.array(["other", *words[::-2]])
    wanted = by_dictionary(spec.tolist(), words)
    assert match_ids(spec, photo).rows.tolist() == wanted
    assert match_ids(spec, np.array(words, dtype=object)).rows.tolist() == wanted


def test_ids_of_64_bits_that_went_through_floats_are_refused():
    photo = 2**61 + 1024 * np.arange(500)
    spec = photo[::5].copy()
    spec[::2] += 1
    assert surveys(spec, photo).num_both == 50
    with pytest.raises(ValueError, match=r"match_id 'ID' of spec holds float64 .* below 2\^53"):
        surveys(spec.astype(float), photo)
    with pytest.raises(ValueError, match="match_id 'ID' of photo holds float64 numbers"):
        surveys(spec, photo.astype(float))


@pytest.mark.parametrize(
    ("value", "kind", "limit"),
    [
        (2.0**53, "f8", 53), (-(2.0**53), "f8", 53), (0.5, "f8", 53), (np.inf, "f8", 53),
        (2.0**24, "f4", 24), (1e30, "f4", 24), (1.5, "f4", 24), (2.0**11, "f2", 11),
    ],
)  # fmt: skip
def test_floats_that_do_not_name_a_galaxy_exactly_are_refused(value, kind, limit):
    ids = np.array([1, 2, value], dtype=kind)
    with pytest.raises(ValueError, match=rf"in row 2 is not a whole number below 2\^{limit}"):
        match_ids(ids, np.array([1, 2, 3]))


def test_unsigned_and_signed_integers_are_compared_exactly():
    photo = 2**61 + np.arange(500)
    assert surveys(photo[::5].astype("u8"), photo).num_both == 100
    assert surveys(photo[::5], photo.astype("u8")).num_both == 100
    # Those beyond int64 are not the negative ones of the same bits.
    found = match_ids(np.array([2**64 - 5, 7], dtype="u8"), np.array([-5, 7]))
    assert found.rows.tolist() == [-1, 1]
    found = match_ids(np.array([-5, 7]), np.array([2**64 - 5, 7], dtype="u8"))
    assert found.rows.tolist() == [-1, 1]


@pytest.mark.parametrize("text", [np.array(["1", "2"]), np.array([b"1", b"2"])])
def test_text_against_numbers_is_refused_with_both_types(text):
    with pytest.raises(ValueError, match="match_id 'id' is text in spec and int64 in photo"):
        match_ids(text, np.array([1, 2]))
    with pytest.raises(ValueError, match="float32 in spec and text in photo"):
        match_ids(np.array([1, 2], dtype="f4"), text)


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="whole numbers or text, not booleans"):
        match_ids(np.array([True, False]), np.array([1, 0]))
    with pytest.raises(ValueError, match="holds 3 of type int: write one type"):
        match_ids(np.array(["a", 3], dtype=object), np.array(["a", "b"]))
    with pytest.raises(ValueError, match="bytes that are not UTF-8"):
        match_ids(np.array([b"\xff"]), np.array(["a"]))


@pytest.mark.parametrize("value", [-1, 0, -9, -99, -999, -9999, -32768, -(2**31), -(2**63)])
def test_a_stand_in_that_is_repeated_is_a_missing_id(value):
    ids = np.arange(1, 501)
    spec = ids[::5].copy()
    spec[::10] = value
    found = surveys(spec, ids)
    assert found.num_both == 90
    assert (found.matched[::10] == -1).all()
    assert found.metadata["spec_without_id"] == 10
    assert found.metadata["photo_without_id"] == 0
    photo = ids.copy()
    photo[:50] = value
    found = surveys(spec, photo)
    assert found.num_both == 81
    assert found.metadata["photo_without_id"] == 50


def test_a_stand_in_matches_no_galaxy_that_has_it_as_its_id():
    ids = np.arange(500)
    spec = ids[::5].copy()
    spec[::10] = 0
    found = surveys(spec, ids)
    assert found.num_both == 90
    assert not (found.matched == 0).any()
    assert (found.metadata["spec_without_id"], found.metadata["photo_without_id"]) == (10, 0)


def test_a_stand_in_that_occurs_once_is_an_id():
    assert match_ids(np.array([0, -1, 5]), np.array([-1, 0, 9])).rows.tolist() == [1, 0, -1]


def test_stand_ins_are_those_of_unsigned_types_and_of_text_too():
    top = np.array([2**64 - 1, 2**64 - 1, 4], dtype="u8")
    assert match_ids(top, np.array([4, 5])).spec_without_id == 2
    words = match_ids(np.array(["-1", "-1", "a"]), np.array(["a", "-1"]))
    assert words.rows.tolist() == [-1, -1, 0]
    assert words.spec_without_id == 2
    floats = match_ids(np.array([-99, -99, 4.0]), np.array([4, -99]))
    assert floats.rows.tolist() == [-1, -1, 0]
    assert 12345 not in STAND_INS


def test_empty_text_and_nan_are_missing_ids():
    spec = np.array(["a", "", "nan", "None", "NULL", "  ", "N/A", "--", "b"])
    found = match_ids(spec, np.array(["b", "", "", "a", "nan"]))
    assert found.rows.tolist() == [3, *[-1] * 7, 0]
    assert (found.spec_without_id, found.photo_without_id) == (7, 3)
    found = match_ids(np.array([np.nan, 4, np.nan]), np.array([4, np.nan, np.nan], dtype="f4"))
    assert found.rows.tolist() == [-1, 0, -1]
    assert (found.spec_without_id, found.photo_without_id) == (2, 2)
    found = match_ids(np.array(["a", None, np.nan, b"b"], dtype=object), np.array(["b", "a"]))
    assert found.rows.tolist() == [1, -1, -1, 0]
    assert found.spec_without_id == 2


def test_masked_ids_are_missing_also_beside_ids_that_floats_cannot_hold():
    photo = 2**61 + np.arange(500)
    mask = np.arange(100) % 4 == 0
    for spec in (
        np.ma.MaskedArray(photo[::5], mask=mask),
        MaskedColumn(photo[::5], mask=mask),
    ):
        found = surveys(spec, photo)
        assert found.num_both == 75
        assert found.metadata["spec_without_id"] == 25
    table = Table({axis: SPEC[:, i] for i, axis in enumerate("xyz")})
    table["ID"] = MaskedColumn(photo[::5].astype(str), mask=mask)
    assert surveys(None, photo.astype(str), spec=table).num_both == 75


class Series:
    """A nullable column as pandas has it, without pandas."""

    def __init__(self, values, missing):
        self.values, self.missing = np.array(values, dtype=object), np.array(missing)

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        return Series(self.values[rows], self.missing[rows])

    def isna(self):
        return self.missing

    def to_numpy(self):
        return self.values


def test_nullable_ids_of_a_data_frame_keep_their_integers():
    photo = 2**61 + np.arange(500)
    spec = Series(photo[::5], np.arange(100) == 7)
    found = surveys(spec, photo)
    assert (found.num_both, found.metadata["spec_without_id"]) == (99, 1)


def test_other_repeated_ids_are_refused_with_the_value_and_how_often_it_occurs():
    ids = np.arange(1, 501)
    spec = ids[::5].copy()
    spec[[3, 50, 70]] = 12
    with pytest.raises(ValueError, match="of spec must be unique, but 12 occurs 3 times: leave"):
        surveys(spec, ids)
    words = np.array(["a", "b", "b"])
    with pytest.raises(ValueError, match="of photo must be unique, but 'b' occurs 2 times"):
        match_ids(np.array(["a"]), words)


def test_surveys_without_common_ids_are_refused_with_the_number_without_ids():
    with pytest.raises(ValueError, match="no galaxy is named in both surveys by match_id 'id': "):
        match_ids(np.array([1, 2]), np.array([5, 6]))
    with pytest.raises(ValueError, match=r"\(2 spec and 0 photo galaxies have no id\)"):
        match_ids(np.array([-1, -1]), np.array([5, 6]))


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(spec_ids, photo_ids, suffix=".parquet"):
        for name, positions, ids in (("spec", SPEC, spec_ids), ("photo", PHOTO, photo_ids)):
            columns = {axis: positions[:, i] for i, axis in enumerate("xyz")} | {"ID": ids}
            units = dict.fromkeys("xyz", "Mpc/h")
            truez.Catalog(columns, units=units).write(f"{name}{suffix}")

    return write


def run(command, out, suffix=".parquet"):
    method = "wiener" if command == "reconstruct" else "redistribution"
    words = (
        f"{command} --spec spec{suffix} --photo photo{suffix} --boxsize 32 --cellsize 4 --redshift "
        f"0.6 --sigma-z 0.001 --match-id ID --method {method} --out {out}"
    )
    return CliRunner().invoke(app, words.split())


@pytest.mark.parametrize("suffix", [".parquet", ".fits", ".h5", ".ecsv"])
def test_commands_print_how_many_galaxies_have_no_id(files, suffix):
    ids = np.arange(1, 501)
    spec = ids[::5].copy()
    spec[::10] = -1
    files(spec, ids, suffix)
    for command, out in (("reconstruct", "f.h5"), ("redshifts", "z.parquet")):
        result = run(command, out, suffix)
        assert result.exit_code == 0, result.output
        assert "10 spec galaxies have no id and are matched to none" in result.output
        assert "photo galaxies have no id" not in result.output
    field = truez.Field.read("f.h5")
    assert (field.metadata["num_both"], field.metadata["spec_without_id"]) == (90, 10)
    matched = truez.Catalog.read("z.parquet")["spec_matched"]
    assert np.count_nonzero(matched) == 90


def test_commands_name_the_option_of_ids_that_are_refused(files):
    photo = 2**61 + np.arange(500)
    files(photo[::5].astype(float), photo)
    result = run("reconstruct", "f.h5")
    assert result.exit_code == 2
    assert "truez: --match-id 'ID' of spec holds float64 numbers" in result.output
    assert len(result.output) < 310
