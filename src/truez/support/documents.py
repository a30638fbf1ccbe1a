"""JSON and TOML that files bring along, read within bounds or refused in one sentence.

All that truez reads of them goes through here: the sentence of a `DocumentError` names the file,
the part of it that is wrong, and the remedy of the caller.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from truez.support.checks import shown
from truez.support.printable import printable

#: Longest text of JSON and of TOML [bytes]; TOML, which people write, is slow to read.
MOST_JSON, MOST_TOML = 64 << 20, 1 << 20
#: Sections and lists within each other, and digits of a whole number.
DEEPEST, MOST_DIGITS = 64, 300
_LONGEST_KEY = 60
# A key of TOML of more than 32 names, such as ``a.b.c``: the parser's time goes with their square.
_LONG_KEY = re.compile(r"(?<![\w\"'-])(?:[\w\"'-]++[ \t]*+\.[ \t]*+){32}")
# An escape of JSON for half of a character, which no file could hold.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


class DocumentError(ValueError):
    """A document that cannot be used; its message is one sentence for the user."""


class NotTomlError(DocumentError):
    """A text that is no TOML."""


def read_json(path: Path, *, remedy: str) -> Any:
    """What a JSON file holds.

    Parameters
    ----------
    path : Path
    remedy : str
        What to do where it cannot be used, for messages.

    Raises
    ------
    DocumentError
        If it is no JSON, too long, or nested too deeply; if a name occurs twice.
    FileNotFoundError
        If there is none.
    """
    return parsed_json(_text(path, MOST_JSON, remedy), str(path), remedy=remedy)


def read_toml(path: Path, *, remedy: str) -> tuple[dict[str, Any], str]:
    """What a TOML file holds, and its text; raises as `read_json`."""
    text = _text(path, MOST_TOML, remedy)
    return parsed_toml(text, str(path), remedy=remedy), text


def parsed_json(text: str, name: str, *, remedy: str) -> Any:
    """What a text in JSON holds; ``name`` is that of its file. Raises as `read_json`."""
    if len(text) > MOST_JSON:
        raise _too_long(name, MOST_JSON, remedy)
    try:
        content = json.loads(text, object_pairs_hook=_no_repeats)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DocumentError(f"{name} is damaged in {place}: {remedy}") from None
    except RecursionError:
        raise _too_deep(name, remedy) from None
    except ValueError as error:
        raise DocumentError(f"{name} is damaged, as {_reason(error)}: {remedy}") from None
    _check_bounds(content, name, remedy)
    if _HALF.search(text):
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise DocumentError(
                f"{name} is damaged, as it has half of a character: {remedy}"
            ) from None
    return content


def parsed_toml(text: str, name: str, *, remedy: str) -> dict[str, Any]:
    """What a text in TOML holds; ``name`` is that of its file. Raises as `read_json`."""
    if len(text) > MOST_TOML:
        raise _too_long(name, MOST_TOML, remedy)
    if _LONG_KEY.search(text):
        raise _too_deep(name, remedy)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = f"{error}"[:100]
        raise NotTomlError(f"{name} is not TOML ({reason}): {remedy}") from None
    except RecursionError:
        raise _too_deep(name, remedy) from None
    except ValueError as error:
        raise DocumentError(f"{name} is damaged, as {_reason(error)}: {remedy}") from None
    _check_bounds(content, name, remedy)
    return content


def section(
    content: Any, name: str, key: str = "", *, keys: Iterable[str] = (), remedy: str
) -> dict[str, Any]:
    """``content`` if it is a section of settings, that is a table of TOML or an object of JSON.

    Parameters
    ----------
    content : object
        What a document or a part of it holds.
    name : str
        Of the file.
    key : str
        Of the part, such as ``run.notes``; empty for the whole.
    keys : iterable of str
        What the section must have.
    remedy : str

    Raises
    ------
    DocumentError
    """
    where = _place(name, key)
    if not isinstance(content, dict):
        raise DocumentError(f"{where} must hold named values, not {shown(content)}: {remedy}")
    for wanted in keys:
        if wanted not in content:
            raise DocumentError(f"{where} is damaged, as {wanted} is missing: {remedy}")
    return content


def listing(content: Any, name: str, key: str = "", *, remedy: str) -> list[Any]:
    """``content`` if it is a list; parameters and errors are those of `section`."""
    if not isinstance(content, list):
        where = _place(name, key)
        raise DocumentError(f"{where} must be a list, not {shown(content)}: {remedy}")
    return content


def number_of(content: Any, name: str, key: str, *, remedy: str) -> float:
    """``content`` as a number, null as nan; parameters and errors are those of `section`."""
    if content is None:
        return math.nan
    if isinstance(content, bool) or not isinstance(content, int | float):
        where = _place(name, key)
        raise DocumentError(f"{where} must be a number, not {shown(content)}: {remedy}")
    return float(content)


def _place(name: str, key: str) -> str:
    """A part of a file; its key may be any text."""
    text = printable(key)
    text = text if len(text) <= _LONGEST_KEY else f"{text[: _LONGEST_KEY - 3]}..."
    return f"{text} in {name}" if key else name


def _text(path: Path, most: int, remedy: str) -> str:
    if path.stat().st_size > most:
        raise _too_long(str(path), most, remedy)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(
            f"{path} is not text in UTF-8, from byte {error.start} on: {remedy}"
        ) from None


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{shown(twice)} occurs twice in it")
    return content


def _check_bounds(content: Any, name: str, remedy: str) -> None:
    """Refuse what is nested too deeply, and whole numbers of too many digits."""
    level: list[Any] = [content]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
                raise _too_large(name, remedy)
        if not inner:
            return
        level = inner
    raise _too_deep(name, remedy)


def _reason(error: ValueError) -> str:
    """What is wrong in words that are not Python's."""
    if "integer string conversion" in str(error):
        return f"it has a number of more than {MOST_DIGITS} digits"
    return str(error)[:100]


def _too_large(name: str, remedy: str) -> DocumentError:
    return DocumentError(
        f"{name} is damaged, as it has a number of more than {MOST_DIGITS} digits: {remedy}"
    )


def _too_deep(name: str, remedy: str) -> DocumentError:
    return DocumentError(f"{name} is nested more than {DEEPEST} levels deep: {remedy}")


def _too_long(name: str, most: int, remedy: str) -> DocumentError:
    return DocumentError(f"{name} is longer than {most >> 20} MB: {remedy}")
