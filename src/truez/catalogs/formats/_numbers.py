"""Words of text tables that are numbers, also as Fortran and spreadsheets write them."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

#: Words for a missing value.
NOTHING: tuple[str, ...] = (
    "", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "-nan", "null", "NULL", "Null",
    "None", "none", "--",
)  # fmt: skip

_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eEdDqQ][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.I)
# Digits with separators of thousands, days and the like: no number here, and no name of a column.
_DIGITS = re.compile(r"[+-]?[\d.,'_ ]*\d[\d.,'_ ]*([eEdDqQ]?[+-]\d+)?")
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eEdD][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3},\d{3}")
# Fortran always writes the point. Without it 587D12 and 0266-123 are names of objects.
_FORTRAN = r"^\s*([+-]?(?:\d+[.,]\d*|[.,]\d+))(?:[dDqQ]([+-]?\d+)|([+-]\d{3}))\s*$"
_ANY = (
    r"^\s*[+-]?(?:(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?"
    r"|(?:\d+[.,]\d*|[.,]\d+)(?:[dDqQ][+-]?\d+|[+-]\d{3})|nan|inf|infinity)\s*$"
)


def is_number(word: str) -> bool:
    """Whether a word is a number, or digits that no column is named after."""
    return bool(_NUMBER.fullmatch(word) or _DIGITS.fullmatch(word))


def is_thousand(word: str) -> bool:
    """Whether a word such as 1,234 may be a thousand or, with a decimal comma, about one."""
    return bool(_THOUSANDS.fullmatch(word))


def are_fortran(words: Any) -> bool:
    """Whether a column of words holds numbers only, some of them as Fortran writes exponents.

    These are 1.0D+00, 1.0d0, 1.0Q+00 and 1.0+100.
    """
    known = _known(words).drop_null()
    for some in (known.slice(0, 100), known):  # most text shows at once that it is none
        if (
            not len(some)
            or not pc.all(pc.match_substring_regex(some, _ANY, ignore_case=True)).as_py()
        ):
            return False
    return bool(pc.any(pc.match_substring_regex(known, _FORTRAN)).as_py())


def from_fortran(words: Any, decimal: str) -> Any:
    """The numbers of a column of words for which `are_fortran`, as float64.

    Raises
    ------
    pyarrow.ArrowInvalid
        For a word that is no number.
    """
    plain = pc.replace_substring_regex(_known(words), _FORTRAN, r"\1E\2\3")
    if decimal != ".":
        plain = pc.replace_substring(plain, decimal, ".")
    return pc.cast(plain, pa.float64())


def _known(words: Any) -> Any:
    """Words without blanks around them, and null where they say that there is no value."""
    trimmed = pc.utf8_trim_whitespace(words)
    nothing = pc.is_in(trimmed, value_set=pa.array(NOTHING))
    return pc.if_else(nothing, pa.scalar(None, pa.string()), trimmed)
