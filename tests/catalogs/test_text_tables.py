"""Text tables as other programs write them: read as they are meant, or refused in one sentence."""

from __future__ import annotations

import time

import numpy as np
import pytest

from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import iter_chunks
from truez.catalogs.formats import _delimited, header
from truez.support.notes import Note

XYZ = [[1.5, 2.25, 3.0], [4.0, 5.5, 6.125], [7.0, 8.0, 9.5]]
ROCKSTAR = (
    "#{names}\n#a = 0.628931\n#Om = 0.268000; Ol = 0.732000; h = 0.710000\n"
    "#FOF linking length: 0.280000\n#Box size: 128.000000 Mpc/h\n#Units: Masses in Msun / h\n"
    "#Units: Positions in Mpc / h (comoving)\n#Units: Spins are dimensionless\n"
    "#Np is an internal debugging quantity.\n#Rockstar Version: 0.99.9-RC3+\n"
)


def read(tmp_path, name, content, columns=None):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Catalog.read(path, columns)


def refused(tmp_path, name, content, columns=None):
    with pytest.raises(ValueError) as caught:
        read(tmp_path, name, content, columns)
    message = str(caught.value).replace(str(tmp_path), "")
    assert len(message) < 300
    return message.lstrip("/")


def table(separator, rows=XYZ, number=str):
    return "".join(separator.join(map(number, row)) + "\n" for row in rows)


# --- names


@pytest.mark.parametrize("count", range(3, 10))
@pytest.mark.parametrize("name", ["out_0.list", "rockstar.txt", "halos.ascii"])
def test_the_header_of_rockstar_is_its_first_comment_for_any_number_of_columns(
    name, count, tmp_path
):
    # Of the sentences below it one or another has as many words.
    names = ["ID", "DescID", "Mvir", "X", "Y", "Z", "VX", "VY", "VZ"][:count]
    text = ROCKSTAR.format(names=" ".join(names)) + table(" ", np.arange(2 * count).reshape(2, -1))
    found = read(tmp_path, name, text)
    assert list(found.columns) == names
    assert found[names[2]].tolist() == [2, 2 + count]
    assert read(tmp_path, name, text, ["1"])["1"].tolist() == [1, 1 + count]


def test_the_header_of_consistent_trees(tmp_path):
    text = "#scale(0) id(1) x(2)\n#Omega_M = 0.3; Omega_L = 0.7\n#tree made by C. Trees\n"
    found = read(tmp_path, "hlist_1.0.list", text + table(" "))
    assert list(found.columns) == ["scale(0)", "id(1)", "x(2)"]


SEXTRACTOR = """\
#   1 NUMBER     Running object number
#   2 X_IMAGE    Object position along x                [pixel]
#   3 MAG_APER   Fixed aperture magnitude vector        [mag]
"""


def test_the_header_of_sextractor_names_one_column_a_line(tmp_path):
    numbers = table(" ", np.arange(10).reshape(2, 5))
    found = read(tmp_path, "a.txt", SEXTRACTOR + "#   5 FLAGS\n" + numbers)
    # As in astropy a number that is left out is one more component of the vector before it.
    assert list(found.columns) == ["NUMBER", "X_IMAGE", "MAG_APER", "MAG_APER_1", "FLAGS"]
    assert dict(found.units) == {"X_IMAGE": "pixel", "MAG_APER": "mag", "MAG_APER_1": "mag"}
    assert found["FLAGS"].tolist() == [4, 9]
    assert list(read(tmp_path, "b.txt", SEXTRACTOR + numbers).columns)[2:] == [
        "MAG_APER", "MAG_APER_1", "MAG_APER_2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("comments", "names"),
    [
        ("# made in 3 steps\n# 1: a\n# 2: b\n# 3: c\n", ["a", "b", "c"]),
        ("# 1. first note\n# 2. second note\n# x y z\n", ["x", "y", "z"]),
        ("# made by someone today\n# x y z\n", ["x", "y", "z"]),
        ("# made by someone\n# x y z\n", ["x", "y", "z"]),
        ("# x y z\n# made by someone\n", ["x", "y", "z"]),
        ("# 12.5 by eye\n", ["0", "1", "2"]),
        ("# nothing that names them\n", ["0", "1", "2"]),
        ("# x y\n", ["0", "1", "2"]),
        ("#\n# x, y, z\n", ["x", "y", "z"]),
    ],
)
def test_only_a_comment_of_one_word_per_column_names_them(comments, names, tmp_path):
    assert list(read(tmp_path, "c.txt", comments + table("  ")).columns) == names


def test_topcat_quotes_texts_with_blanks(tmp_path):
    rows = ['1.5  2.0  3.0  7  "NGC 7"', '2.5  3.0  4.0  8  "NGC  8"', '3.5\t4.0 5.0 9  ""']
    found = read(tmp_path, "c.txt", "# x y z ID name\n" + "\n".join(rows) + "\n")
    assert list(found.columns) == ["x", "y", "z", "ID", "name"]
    assert found["name"].tolist() == ["NGC 7", "NGC  8", ""]
    assert found["x"].tolist() == [1.5, 2.5, 3.5]
    assert list(read(tmp_path, "c.txt", rows[0] + "\n").columns) == ["0", "1", "2", "3", "4"]


def test_names_that_differ_by_case_are_two(tmp_path):
    text = "x,X,Dec\n" + table(",")
    assert read(tmp_path, "c.csv", text, ["X"])["X"].tolist() == [2.25, 5.5, 8.0]
    assert read(tmp_path, "c.csv", text, ["x"])["x"].tolist() == [1.5, 4.0, 7.0]
    message = refused(tmp_path, "c.csv", text, ["DEC"])
    assert message == "c.csv has no column 'DEC' (did you mean 'Dec'?), only x, X, Dec"


def test_the_case_of_a_name_is_found_among_thousands(tmp_path):
    names = [f"column{i}" for i in range(3000)] + ["RA"]
    text = ",".join(names) + "\n" + ",".join("1" for _ in names) + "\n"
    assert "(did you mean 'RA'?)" in refused(tmp_path, "c.csv", text, ["ra"])


def test_a_name_is_no_place_for_control_characters_or_for_two_columns(tmp_path):
    message = refused(tmp_path, "c.csv", "x,y\x1b[31m,z\n" + table(","))
    assert message.startswith("c.csv has 'y\\x1b[31m' among the names of its columns")
    assert "has two columns 'x' in its header: rename" in refused(tmp_path, "c.csv", "x,x\n1,2\n")


@pytest.mark.parametrize("text", [",x,y\n0,1.5,2\n1,2.5,3\n", "x,,y\n0,1.5,2\n1,2.5,3\n"])
def test_a_column_without_a_name_is_called_by_its_number(text, tmp_path):
    found = read(tmp_path, "c.csv", text)
    number = "0" if text[0] == "," else "1"
    assert set(found.columns) == {"x", "y", number}
    assert len(found[number]) == 2


# --- separators


@pytest.mark.parametrize(
    ("name", "separator"),
    [
        *(("c.csv", sign) for sign in ",;\t|"),
        *(("c.tsv", sign) for sign in "\t;,|"),
        *(("c.txt", sign) for sign in [",", ";", "|", "\t", " ", "   ", " \t", ", ", " | "]),
        *(("c.dat", sign) for sign in [",", ";", "|", "\t", " "]),
    ],
)
@pytest.mark.parametrize("head", ["{}\n", "# {}\n", ""])
def test_every_separator_is_seen(name, separator, head, tmp_path):
    names = ["x", "y", "z"]
    found = read(tmp_path, name, head.format(separator.join(names)) + table(separator))
    assert list(found.columns) == (names if head else ["0", "1", "2"])
    np.testing.assert_array_equal(np.transpose(list(found.columns.values())), XYZ)


def test_words_with_other_separators_in_them(tmp_path):
    found = read(tmp_path, "c.csv", "x,note\n1,a;b\n2,c\n3,d|e f\n")
    assert found["note"].tolist() == ["a;b", "c", "d|e f"]
    found = read(tmp_path, "c.csv", 'x;note\n1;"a;b"\n2;c\n')
    assert found["note"].tolist() == ["a;b", "c"]
    found = read(tmp_path, "c.txt", "name\tx\nNGC 12\t1.5\nM 3\t2.5\n")
    assert found["name"].tolist() == ["NGC 12", "M 3"]
    found = read(tmp_path, "c.txt", '# x note\n1.5 "a, b"\n2.5 "c, d"\n')
    assert found["note"].tolist() == ["a, b", "c, d"]


@pytest.mark.parametrize("text", ["x,y,z,\n1.5,2,3,\n4,5,6,\n", "x,y,z\n1.5,2,3,\n4,5,6,\n"])
def test_a_separator_at_the_end_of_each_row_makes_no_column(text, tmp_path):
    found = read(tmp_path, "c.csv", text)
    assert list(found.columns) == ["x", "y", "z"]
    assert found["x"].tolist() == [1.5, 4]


def test_pipes_around_each_row(tmp_path):
    found = read(tmp_path, "c.txt", "| x | y |\n|---|---|\n| 1.5 | 2 |\n| 4 | 5 |\n")
    assert {name: values.tolist() for name, values in found.columns.items()} == {
        "x": [1.5, 4],
        "y": [2, 5],
    }
    assert read(tmp_path, "c.txt", "| 1.5 | 2 |\n| 4 | 5 |\n", ["1"])["1"].tolist() == [2, 5]


def test_a_value_where_the_header_has_no_name_is_not_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr("truez.catalogs.formats._dialect.SAMPLE_LINES", 3)
    message = refused(tmp_path, "c.csv", "x,y,\n1,2,\n3,4,\n5,6,7\n")
    assert message == (
        "c.csv has values in column 2, for which its header has no name: give it one"
    )


def test_a_csv_without_commas_is_told_from_one_column(tmp_path):
    assert read(tmp_path, "c.csv", "x\n1.5\n2.5\n")["x"].tolist() == [1.5, 2.5]
    assert "has no tabs: name it .txt" in refused(tmp_path, "c.tsv", "1 2 3\n")


# --- numbers


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["1.0D+00", "-2.5d-1", "3."], [1.0, -0.25, 3.0]),
        (["1.0d0", "nan", "+4.5E2"], [1.0, np.nan, 450.0]),
        (["0.1234-100", "1.0+100", "7"], [0.1234e-100, 1e100, 7.0]),
        (["1.5Q2", "--", "-Infinity"], [150.0, np.nan, -np.inf]),
        (["0.30000000000000004D0", "1D0", "2"], None),
        (["0266-123", "0266-124", "0270-001"], None),
        (["12D4", "5D10", "3D1"], None),
        (["1.5D+00", "a", "2"], None),
    ],
)
def test_exponents_of_fortran(words, numbers, tmp_path):
    for name, separator in (("c.txt", "  "), ("c.csv", ",")):
        text = "".join(f"{word}{separator}{i}\n" for i, word in enumerate(words))
        found = read(tmp_path, name, separator.join(["x", "i"]) + "\n" + text)["x"]
        if numbers is None:  # names of objects
            assert found.tolist() == words
        else:
            np.testing.assert_array_equal(found, numbers)


def test_a_table_of_fortran_without_header_keeps_its_first_row(tmp_path, monkeypatch):
    monkeypatch.setattr(_delimited, "BLOCK_BYTES", 60)
    numbers = np.random.default_rng(0).normal(size=(40, 3)) * 10.0 ** np.arange(-100, 101, 100)
    text = table("  ", numbers, lambda v: f"{v:.16E}".replace("E", "D"))
    found = read(tmp_path, "c.dat", text)
    np.testing.assert_array_equal(np.transpose(list(found.columns.values())), numbers)
    pieces = list(iter_chunks(tmp_path / "c.dat", ["2"], chunk_rows=7))
    np.testing.assert_array_equal(np.concatenate([p["2"] for p in pieces]), numbers[:, 2])
    message = refused(tmp_path, "c.dat", text + "1.0D0 oops 1.0D0\n")
    assert "a value that does not fit: 'oops' in row 40 (counted from 0) of column '1'" in message


@pytest.mark.parametrize(("name", "sign"), [("c.csv", ";"), ("c.txt", " "), ("c.tsv", "\t")])
def test_decimal_commas(name, sign, tmp_path):
    for head in (sign.join("xyz") + "\n", ""):
        text = head + table(sign, number=lambda v: str(v).replace(".", ","))
        found = read(tmp_path, name, text)
        np.testing.assert_array_equal(np.transpose(list(found.columns.values())), XYZ)


def test_thousands_are_not_taken_for_fractions(tmp_path):
    message = refused(tmp_path, "c.tsv", "x\ty\n1,234\t2\n5,678\t3\n")
    assert message == (
        "c.tsv holds '1,234', which may be a fraction or a thousand: write numbers with a decimal "
        "point and no other marks"
    )
    found = read(tmp_path, "c.csv", 'x,y,z\n"1,234.5",2,3\n"5,678.5",3,3\n')
    with pytest.raises(ValueError, match=r"not text, such as '1,234.5' in row 0 \(counted from 0"):
        found.positions(length_unit="Mpc/h")


@pytest.mark.parametrize("word", ["", "nan", "NaN", "NULL", "N/A", "--", '""', "null", "None"])
def test_words_for_nothing(word, tmp_path):
    found = read(tmp_path, "c.csv", f"x,n,t\n1.5,3,a\n{word},{word},b\n")
    np.testing.assert_array_equal(found["x"], [1.5, np.nan])
    assert found["n"].tolist() == [3, None]


def test_whole_numbers_up_to_64_bits_are_exact(tmp_path, monkeypatch):
    ids = np.array([1, 2**63 + 1, 2**64 - 1], dtype="u8")
    found = read(tmp_path, "c.csv", "id,m\n" + "".join(f"{i},{float(i) * 4!r}\n" for i in ids))
    assert found["id"].dtype == np.uint64
    assert found["id"].tolist() == ids.tolist()
    assert found["m"].dtype == np.float64
    monkeypatch.setattr(_delimited, "BLOCK_BYTES", 8)
    assert Catalog.read(tmp_path / "c.csv", ["id"])["id"].tolist() == ids.tolist()
    for suffix in (".csv", ".txt"):
        Catalog({"id": ids}).write(tmp_path / f"w{suffix}")
        assert Catalog.read(tmp_path / f"w{suffix}")["id"].tolist() == ids.tolist()


def test_longer_whole_numbers_are_noted(tmp_path):
    with pytest.warns(Note, match="column 'id' of .* has whole numbers of more than 64 bits"):
        found = read(tmp_path, "c.csv", f"id\n{10**25}\n7\n")
    assert found["id"].tolist() == [1e25, 7.0]


def test_the_first_word_among_numbers_is_named_with_its_row(tmp_path, monkeypatch):
    found = read(tmp_path, "c.txt", "# x y z\n1 2 3\n2 oops 4\n")
    with pytest.raises(ValueError, match=r"^column 'y' must hold numbers, not text, such as 'oops'"
                       r" in row 1 \(counted from 0\)$"):  # fmt: skip
        found.positions(length_unit="Mpc/h")
    monkeypatch.setattr(_delimited, "BLOCK_BYTES", 64)
    message = refused(tmp_path, "c.csv", "x,y\n" + "0.5,1\n" * 40 + "0.7x,1\n")
    assert message == (
        "c.csv has a value that does not fit: '0.7x' in row 40 (counted from 0) of column 'x', of "
        "numbers by its first rows: correct the value, or leave that row out"
    )


# --- units


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.csv", "x,y,z,id\nMpc/h,Mpc/h,Mpc/h,\n1.5,2,3,7\n"),
        ("c.csv", "x,y,z,id\n[Mpc/h],[Mpc/h],[Mpc/h],--\n1.5,2,3,7\n"),
        ("c.txt", "x y z id\nMpc/h Mpc/h Mpc/h -\n1.5 2 3 7\n"),
        ("c.txt", "# x y z id\n# Mpc/h Mpc/h Mpc/h none\n1.5 2 3 7\n"),
        (
            "c.tsv",
            "#VizieR\nx\ty\tz\tid\nMpc/h\tMpc/h\tMpc/h\t \n---\t---\t---\t--\n1.5\t2\t3\t7\n",
        ),
    ],
)
def test_a_line_of_units_is_read(name, text, tmp_path):
    found = read(tmp_path, name, text)
    assert {n: canonical.strip("[]") for n, canonical in found.units.items()} == dict.fromkeys(
        "xyz", "Mpc/h"
    )
    assert found["x"].tolist() == [1.5]
    np.testing.assert_array_equal(found.positions(), [[1.5, 2, 3]])


def test_a_line_of_words_that_are_no_units_is_refused(tmp_path):
    message = refused(tmp_path, "c.csv", "x,y\nfurlong,furlong\n1,2\n")
    assert message == (
        "c.csv has words below its names where numbers follow, and 'furlong' is no unit that truez "
        "knows: remove that line"
    )


def test_rows_of_words_are_no_units(tmp_path):
    assert len(read(tmp_path, "c.csv", "name,type\nm,s\nkm,g\n")) == 2
    assert len(read(tmp_path, "c.csv", "name,x\nm,1\nkm,2\n")) == 2
    assert len(read(tmp_path, "c.csv", "x,y\n--,--\n1,2\n")) == 2


# --- encodings and damage


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings(encoding, end, tmp_path, monkeypatch):
    text = end.join(["x,name", *(f"{i}.5,\u00e9toile {i}" for i in range(30)), ""])
    data = text.encode(encoding)
    if encoding[-3:] in ("-le", "-be"):
        data = "\ufeff".encode(encoding) + data
    found = read(tmp_path, "c.csv", data)
    assert list(found.columns) == ["x", "name"]
    assert found["name"][29] == "\u00e9toile 29"
    monkeypatch.setattr(_delimited, "BLOCK_BYTES", 50)
    np.testing.assert_array_equal(Catalog.read(tmp_path / "c.csv")["x"], found["x"])


def test_text_that_is_not_utf8_is_refused_only_where_it_is_needed(tmp_path):
    data = "x,name\n1.5,a\n2.5,\u00e9toile\n".encode("latin-1")
    assert read(tmp_path, "c.csv", data, ["x"])["x"].tolist() == [1.5, 2.5]
    assert refused(tmp_path, "c.csv", data) == (
        "c.csv holds text that is not UTF-8, '\\\\xe9toile' in row 1 (counted from 0) of column "
        "'name': save the file as UTF-8"
    )
    message = refused(tmp_path, "c.csv", "\u00e9,x\n1,2\n".encode("latin-1"))
    assert message == (
        "c.csv has '\ufffd' among the names of its columns, which is no text: is it damaged, or "
        "not UTF-8?"
    )
    assert read(tmp_path, "c.txt", "# \u00e9\n1 2\n".encode("latin-1"))["1"].tolist() == [2]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\x1f\x8b\x08", "c.txt is compressed with gzip: unpack it first"),
        (b"BZh9", "c.txt is compressed with bzip2: unpack it first"),
        (b"PK\x03\x04", "c.txt is compressed with zip: unpack it first"),
        (b"1 2\n" * 20000 + b"\0", "c.txt is not a text file: it holds bytes of value 0"),
        (b"\xff\xfe1\0 \0\x00\xd8", "c.txt is damaged: it begins as UTF-16 and does not go on so"),
        (b"\xff\xfe", "c.txt holds no rows"),
        (b"\n \n\t\n", "c.txt holds no rows"),
    ],
)
def test_what_is_no_text(data, sentence, tmp_path):
    assert refused(tmp_path, "c.txt", data) == sentence


def test_a_line_without_end_is_refused_in_bounded_memory(tmp_path):
    import tracemalloc

    path = tmp_path / "long.txt"
    for start in (b"", b"# x y\n1 2\n"):
        with path.open("wb") as file:
            file.write(start)
            file.truncate(2**30)  # zeros that take no place on the disk
        with pytest.raises(ValueError, match="is not a text file"):
            Catalog.read(path)
    for start in (b"", b"x,y\n1,2\n", b"# %ECSV 1.0\n# ---\n"):
        with path.open("wb") as file:
            file.write(start)
            for _ in range(40):
                file.write(b"1234567 " * 2**17)
        tracemalloc.start()
        with pytest.raises(ValueError, match="it holds a line of more than 4 MiB"):
            Catalog.read(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1.5e8


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".tsv", ".ecsv"])
def test_a_cut_file_says_that_it_is_cut_and_where(suffix, tmp_path):
    path = tmp_path / f"c{suffix}"
    names = "abcdefgh"
    Catalog({name: np.arange(20) + 0.5 for name in names}).write(path)
    data = path.read_bytes()
    path.write_bytes(data[: data.rstrip().rfind(b"\n") + 12])
    lines = data.count(b"\n")
    sentence = (
        rf"has a row of 3 columns where the first has 8: '.*' in line {lines}; the file seems cut "
        "off, so copy or write it again$"
    )
    with pytest.raises(ValueError, match=sentence):
        Catalog.read(path)


def test_a_row_that_is_too_long_is_named_by_its_line(tmp_path):
    message = refused(tmp_path, "c.txt", "# x y\n# more\n1 2\n\n3 4 5\n6 7\n")
    assert message == (
        "c.txt has a row of 3 columns where the first has 2: '3 4 5' in line 5; quote words that "
        "hold blanks or separators, or correct that line"
    )
    message = refused(tmp_path, "c.csv", "x,y\n1,2\n3\n5,6\n")
    assert message.endswith("'3' in line 3; complete or remove that line")


def test_lines_of_blanks_are_no_rows(tmp_path):
    assert read(tmp_path, "c.csv", "x,y\n1,2\n   \n3,4\n \t\n")["y"].tolist() == [2, 4]


def test_info_shows_units_of_text(tmp_path):
    (tmp_path / "c.csv").write_text("x,y\nMpc/h,km/s\n1,2\n")
    assert header(tmp_path / "c.csv").units == {"x": "Mpc/h", "y": "km/s"}


def test_the_time_for_many_columns_is_proportional_to_them_and_too_many_are_refused(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("\n".join(",".join(f"{word}{i}" for i in range(8000)) for word in ("a", 1)))
    start = time.process_time()
    assert len(Catalog.read(path).columns) == 8000
    assert time.process_time() - start < 8  # 40 s when each name is looked up among all
    message = refused(tmp_path, "c.csv", "," * 60_000 + "\n")
    assert message == "c.csv has 60001 columns, of which truez reads 50000"
