"""How a text table is written: its separator, names, units and first row, from its first lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from truez.catalogs.formats._base import CatalogError
from truez.catalogs.formats._lines import TextFile, single_spaces
from truez.catalogs.formats._numbers import DECIMAL_COMMA, NOTHING, is_number, is_thousand
from truez.catalogs.units import canonical

#: Lines of a table that show how it is written, and the most comments before them.
SAMPLE_LINES = 1000
_MOST_COMMENTS = 1000
#: Each takes about 20 kB of memory while text is read.
MOST_COLUMNS = 50_000
_SAMPLE_BYTES = 2**20

# The separators in the order of preference; None is any run of white space.
_SEPARATORS: dict[str, tuple[str | None, ...]] = {
    ".csv": (";", ",", "\t", "|"),
    ".tsv": ("\t", ";", ",", "|"),
    "": (";", ",", "|", None, "\t"),
}
_NAMED = {".csv": "commas", ".tsv": "tabs"}
# What no name of a column ends with, or consists of.
_PROSE = re.compile(r".*[.:;,!?]|[^\w\s]+|(?:by|is|are|of|the|in|with|from|and|for)")
# A comment that describes one column, as SExtractor writes it: number, name, text, [unit].
_NUMBERED = re.compile(r"\(?(\d{1,5})[.:)]?\s+([A-Za-z_][^\s,:]*):?(?:\s.*?)??(?:\s*\[([^\]]*)\])?")
_RULER = re.compile(r"[-=:+|\s]*[-=]{3}[-=:+|\s]*")
_NO_UNIT = {"", "-", "--", "---", "none", "null", "dimensionless", "unitless", "[]", "()", "[-]"}


@dataclass(frozen=True)
class Dialect:
    """How a text table is written.

    ``names`` are those of the fields of a row, empty for the one that a separator at an end of
    each row makes; ``units`` are those that a line states; ``skip`` is the offset [bytes] of the
    first row; ``separator`` is one character, or None for any run of white space; ``decimal`` is
    the decimal point.
    """

    names: tuple[str, ...]
    units: dict[str, str]
    skip: int
    separator: str | None
    decimal: str


@dataclass(frozen=True)
class _Beginning:
    """The comments before the first line of a table, and its first lines with their offsets."""

    comments: tuple[str, ...]
    lines: tuple[str, ...]
    starts: tuple[int, ...]


def dialect(file: TextFile) -> Dialect:
    """How the table is written.

    Raises
    ------
    CatalogError
        If it has no rows, or its first lines leave open what they mean.
    """
    path = file.path
    begin = _beginning(file)
    separator = _separator(path, begin.lines)
    words = [split(line, separator) for line in begin.lines]
    titled = not any(map(is_number, words[0])) and not all(word in NOTHING for word in words[0])
    first = 1 if titled else 0
    units: Sequence[str] = ()
    if titled:
        titles = words[0]
        ruled = [bool(_RULER.fullmatch(line)) for line in begin.lines[:3]]
        if len(words) > 2 and _line_of_units(path, words[1], words[3 if ruled[2] else 2 :]):
            units, first = words[1], 2
        if first < len(words) and ruled[first]:
            first += 1
    else:
        titles, units = _titles(begin.comments, separator, len(words[0]))
    rows = words[first:]
    names = _names(titles, rows or words)
    check_names(names, path)
    stated = {
        name: unit for name, unit in zip(names, units, strict=False)
        if name and unit.lower() not in _NO_UNIT
    }  # fmt: skip
    decimal = _decimal(path, separator, rows)
    return Dialect(tuple(names), stated, begin.starts[first], separator, decimal)


def split(line: str, separator: str | None) -> list[str]:
    """The words of a line, without quotation marks and blanks around them."""
    if separator is None:
        line = single_spaces(line.encode()).decode()
    try:
        return [word.strip() for word in next(csv.reader([line], delimiter=separator or " "), [])]
    except csv.Error:  # a word of more than 128 kB
        return line.split(separator)


def _beginning(file: TextFile) -> _Beginning:
    comments: list[str] = []
    lines: list[str] = []
    start = file.start
    starts = []
    size = 0
    for raw, end in file.lines():
        line = raw.strip()
        if line.startswith(b"#"):
            # A comment may be in any encoding, unless it names the columns.
            if not lines and len(comments) < _MOST_COMMENTS:
                comments.append(line.decode("utf-8", "replace").lstrip("#").strip())
        elif line:
            # Rows may be in any encoding where their text is not needed; names are checked.
            lines.append(raw.decode("utf-8", "replace").strip("\r\n"))
            starts.append(start)
            size += len(raw)
        start = end
        if len(lines) == SAMPLE_LINES or size > _SAMPLE_BYTES:
            break
    if not lines:
        raise CatalogError(f"{file.path} holds no rows")
    return _Beginning(tuple(comments), tuple(lines), (*starts, start))


def _separator(path: Path, lines: Sequence[str]) -> str | None:
    suffix = path.suffix.lower()
    known = _SEPARATORS.get(suffix, _SEPARATORS[""])
    some = list(islice(lines, 100))
    there = [sign for sign in known if sign is None or sign in lines[0]]
    words = {sign: [split(line, sign) for line in some] for sign in there}
    agree = [sign for sign in there if _agree(words[sign])]
    for found in ([sign for sign in agree if _clean(words[sign], sign)], agree):
        if found:
            return found[0]
    if suffix in _NAMED:
        if not there and len(lines[0].split()) > 1:
            raise CatalogError(
                f"{path} has no {_NAMED[suffix]}: name it .txt if white space separates its columns"
            )
        return known[0] if suffix == ".tsv" else "," if "," in there or not there else there[0]
    return "," if "," in there else None


def _agree(rows: list[list[str]]) -> bool:
    """Whether all rows have one number of words above 1, a separator at their ends aside."""
    whole = {len(row) for row in rows}
    cut = {len(row) - (row[-1] == "") for row in rows if row}
    return any(len(counts) == 1 and max(counts) > 1 for counts in (whole, cut))


def _clean(rows: list[list[str]], separator: str | None) -> bool:
    """Whether no word looks as if another separator divided it."""
    for row in rows:
        for word in row:
            if word.count('"') % 2:  # it ends in the middle of a quoted text
                return False
            if separator == ";" and "," in word and not DECIMAL_COMMA.fullmatch(word):
                return False
            if separator is None and word.endswith((",", ";")):
                return False
            parts = word.split(maxsplit=2) if separator == "," else []
            if len(parts) > 1 and is_number(parts[0]) and is_number(parts[1]):
                return False
    return True


def _line_of_units(path: Path, words: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the line below the names states units, as numbers follow that it has none of."""
    places = [i for i, word in enumerate(words) if not _is_blank(word)]
    if not places or any(is_number(words[i]) for i in places):
        return False
    rows = [row for row in rows if len(row) == len(words)][:1]
    numeric = [i for i in places if all(is_number(row[i]) for row in rows)]
    if not rows or not numeric:
        return False
    if all(_is_unit(words[i]) for i in places):
        return True
    if len(numeric) == len(places):
        strange = next(words[i] for i in places if not _is_unit(words[i]))
        raise CatalogError(
            f"{path} has words below its names where numbers follow, and {strange[:40]!r} is no "
            "unit that truez knows: remove that line"
        )
    return False


def _is_blank(word: str) -> bool:
    return word.lower() in _NO_UNIT or word in NOTHING


def _are_units(words: Sequence[str]) -> bool:
    known = [word for word in words if not _is_blank(word)]
    return bool(known) and all(map(_is_unit, known))


def _is_unit(word: str) -> bool:
    if canonical(word) is not None:
        return True
    from astropy import units

    try:
        found = units.Unit(word.strip("[]()"), parse_strict="silent")
    except (ValueError, TypeError):
        return False
    return not isinstance(found, units.UnrecognizedUnit) and not is_number(word)


def _titles(
    comments: Sequence[str], separator: str | None, count: int
) -> tuple[list[str], Sequence[str]]:
    """Names, and units, of ``count`` columns in comments: one word per column, and no number.

    The first such line holds the names if it is no sentence; after it one may state units.
    """
    numbered, units, every = _numbered_titles(comments, count)
    if every:
        return numbered, units
    found: list[list[str]] = []
    last: list[str] = []
    for comment in comments:
        last = []
        signs = (separator, None) if "," not in comment else (",", separator, None)
        for sign in dict.fromkeys(signs):
            titles = split(comment, sign)
            if len(titles) == count and not any(map(is_number, titles)):
                found.append(titles)
                last = titles
                break
    names = [titles for titles in found if not any(map(_PROSE.fullmatch, titles))]
    if numbered and not names:
        return numbered, units
    chosen = names[0] if names else last
    if not chosen:
        return [""] * count, ()
    later = found[found.index(chosen) + 1 :]
    return chosen, next((titles for titles in later if _are_units(titles)), ())


def _numbered_titles(comments: Sequence[str], count: int) -> tuple[list[str], Sequence[str], bool]:
    """Names and units of ``count`` columns in comments that describe one each, and if every one is.

    A number that is left out is one more component of the column before it, as in
    `astropy.io.ascii.SExtractor`: NAME, NAME_1, NAME_2, ...
    """
    lines = [match for match in map(_NUMBERED.fullmatch, comments) if match]
    places = [int(match[1]) for match in lines]
    if len(places) < 2 or places[0] > 1:
        return [], (), False
    places = [place - places[0] for place in places]
    if places != sorted(set(places)) or places[-1] >= count:
        return [], (), False
    names, units = [], []
    for match, start, end in zip(lines, places, [*places[1:], count], strict=True):
        names += [match[2], *(f"{match[2]}_{k}" for k in range(1, end - start))]
        units += [match[3] or ""] * (end - start)
    return names, units, len(lines) == count


def _names(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A name for each field: the title, its number where it has none, or empty at bare ends."""
    names = list(titles)
    if all(len(row) == len(names) + 1 and row[-1] == "" for row in rows):
        names.append("")
    last = len(names) - 1
    bare = {
        place for place in (0, last)
        if last and not names[place] and all(row[place : place + 1] == [""] for row in rows)
    }  # fmt: skip
    first = 1 if 0 in bare else 0  # columns are counted without bare ends
    return ["" if place in bare else name or str(place - first) for place, name in enumerate(names)]


def check_names(names: Sequence[str], path: Path) -> None:
    """Raise a CatalogError for names that repeat, are empty, or are too many."""
    if len(names) > MOST_COLUMNS:
        raise CatalogError(f"{path} has {len(names)} columns, of which truez reads {MOST_COLUMNS}")
    seen = set()
    for name in names:
        if name and name in seen:
            raise CatalogError(
                f"{path} has two columns {name[:60]!r} in its header: rename one of them"
            )
        if not name.isprintable() or "\ufffd" in name:
            raise CatalogError(
                f"{path} has {name[:40]!r} among the names of its columns, which is no text: is "
                "it damaged, or not UTF-8?"
            )
        seen.add(name)


def _decimal(path: Path, separator: str | None, rows: Sequence[Sequence[str]]) -> str:
    """The decimal point: a comma where the first rows show one."""
    if separator == ",":
        return "."
    found = [word for row in rows for word in row if DECIMAL_COMMA.fullmatch(word)]
    if not found:
        return "."
    if separator != ";" and all(map(is_thousand, found)):
        raise CatalogError(
            f"{path} holds {found[0]!r}, which may be a fraction or a thousand: write numbers with "
            "a decimal point and no other marks"
        )
    return ","
