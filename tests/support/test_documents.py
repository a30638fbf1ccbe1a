"""JSON and TOML are read within bounds, or refused in one sentence that names the file and key."""

import json
import math
import time

import pytest

from truez.support.differences import differences
from truez.support.documents import (
    MOST_JSON,
    MOST_TOML,
    DocumentError,
    listing,
    number_of,
    read_json,
    read_toml,
    section,
)
from truez.support.printable import printable

DEEP = 100_000
TWICE, DIGITS = "occurs twice in it", "a number of more than 300 digits"
LEVELS, UTF8 = "is nested more than 64 levels deep", "is not text in UTF-8, from byte "
BROKEN_JSON = {
    "empty": (b"", "is damaged in line 1, column 1"),
    "half": (b'{"a":\n1', "is damaged in line 2, column 2"),
    "binary": (b"\x89PNG\r\n\x1a\n\0", UTF8 + "0 on"),
    "latin": ("ä".encode("latin-1"), UTF8 + "0 on"),
    "deep list": (b"[" * DEEP, LEVELS),
    "deep table": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, LEVELS),
    "closed": (b"[" * 70 + b"]" * 70, LEVELS),
    "huge number": (b"9" * 5000, DIGITS),
    "large number": (b'{"a": ' + b"9" * 400 + b"}", DIGITS),
    "repeated": (b'{"a": 1, "a": 2}', f"'a' {TWICE}"),
    "half character": (b'"\\ud800"', "has half of a character"),
}
BROKEN_TOML = {
    "half": (b"a =", "is not TOML (Invalid value (at end of document))"),
    "binary": (b"PAR1\x00\xf0\xff", UTF8 + "5 on"),
    "deep list": (b"a = " + b"[" * DEEP, LEVELS),
    "deep table": (b"a = " + b"{a = " * DEEP, LEVELS),
    "long key": (b"a." * DEEP + b"a = 1", LEVELS),
    "long key inside": (b"x = {" + b"a." * DEEP + b"a = 1}", LEVELS),
    "huge number": (b"a = " + b"9" * 5000, DIGITS),
    "large number": (b"a = [" + b"9" * 400 + b"]", DIGITS),
    "repeated": (b"a = 1\na = 2", "is not TOML (Cannot overwrite a value"),
}


def refused(read, path):
    started = time.perf_counter()
    with pytest.raises(DocumentError) as error:
        read(path, remedy="make it again")
    assert time.perf_counter() - started < 2
    message = str(error.value)
    assert message.startswith(str(path))
    assert message.endswith(": make it again")
    assert "\n" not in message
    assert len(message) - len(str(path)) < 200
    return message


@pytest.mark.parametrize("case", BROKEN_JSON)
def test_broken_json(tmp_path, case):
    content, sentence = BROKEN_JSON[case]
    (tmp_path / "a.json").write_bytes(content)
    assert sentence in refused(read_json, tmp_path / "a.json")


@pytest.mark.parametrize("case", BROKEN_TOML)
def test_broken_toml(tmp_path, case):
    content, sentence = BROKEN_TOML[case]
    (tmp_path / "a.toml").write_bytes(content)
    assert sentence in refused(read_toml, tmp_path / "a.toml")


@pytest.mark.parametrize(("read", "most"), [(read_json, MOST_JSON), (read_toml, MOST_TOML)])
def test_a_file_that_is_too_long_is_not_read(tmp_path, read, most):
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.truncate(most + 1)
    assert f"is longer than {most >> 20} MB" in refused(read, path)


def test_what_is_right_is_read(tmp_path):
    content = {"a": [1, 2.5, {"b": None}], "é": "\U0001f600", "c": 10**40}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert read_json(tmp_path / "a.json", remedy="") == content
    (tmp_path / "a.json").write_text('{"a": NaN}')
    assert math.isnan(read_json(tmp_path / "a.json", remedy="")["a"])
    text = '\ufeffa.b = 1 # as an editor writes it\nnote = "v1.2.3.4 ..... of a.b.c.d"\n'
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    content, found = read_toml(tmp_path / "a.toml", remedy="")
    assert content == {"a": {"b": 1}, "note": "v1.2.3.4 ..... of a.b.c.d"}
    assert found == text[1:]


@pytest.mark.parametrize(
    ("check", "content", "sentence"),
    [
        (section, 3, "run in a.toml must hold named values, not 3: remedy"),
        (section, [1, 2], "run in a.toml must hold named values, not [1, 2]: remedy"),
        (section, None, "run in a.toml must hold named values, not nothing: remedy"),
        (listing, {"a": 1}, "run in a.toml must be a list, not a table: remedy"),
        (listing, "abc", "run in a.toml must be a list, not 'abc': remedy"),
        (number_of, "abc", "run in a.toml must be a number, not 'abc': remedy"),
        (number_of, True, "run in a.toml must be a number, not true: remedy"),
    ],
)
def test_a_part_of_another_type_is_named(check, content, sentence):
    with pytest.raises(DocumentError) as error:
        check(content, "a.toml", "run", remedy="remedy")
    assert str(error.value) == sentence


def test_parts_of_the_right_type_are_returned():
    assert section({"a": 1}, "a", keys=["a"], remedy="") == {"a": 1}
    assert listing([1], "a", remedy="") == [1]
    assert number_of(2, "a", "b", remedy="") == 2.0
    assert math.isnan(number_of(None, "a", "b", remedy=""))
    with pytest.raises(DocumentError, match=r"^a is damaged, as b is missing: again$"):
        section({}, "a", keys=["b"], remedy="again")
    with pytest.raises(DocumentError) as error:
        section(1, "a", "\x1b[2J" + "k" * 500, remedy="again")
    assert str(error.value).startswith(r"\x1b[2Jkkk")
    assert len(str(error.value)) < 150


def test_what_differs_is_named_with_both_values():
    old = {"training": {"steps": 4, "crop": [8, 8, 8]}, "seed": 1}
    assert differences(old, {"training": {"steps": 4, "crop": (8, 8, 8)}, "seed": 1}) == ""
    assert differences(old, old | {"seed": 2}) == "seed = 1, not 2"
    other = {"training": {"steps": 5}, "seed": True, "start": None}
    assert differences(old, other | {"x": "a" * 99}) == (
        "training.steps = 4, not 5; training.crop = [8, 8, 8], not nothing and 1 more differ"
    ).replace("1 more", "1 more")


def test_text_that_is_not_printable_is_escaped():
    assert printable("flux [µJy] δ") == "flux [µJy] δ"
    assert printable("a\x1b[2J\n\u202e\udcff\x07\u2028") == r"a\x1b[2J\n\u202e\udcff\x07\u2028"
    assert printable("a\nb\tc", keep="\n") == "a\nb\\tc"
