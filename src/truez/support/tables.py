"""Paths that choose one table of a file, ``photo.fits#SGC``, or several files, ``a.*.parquet``."""

from __future__ import annotations

import re
from pathlib import Path

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")
#: Suffixes of Parquet files.
PARQUET = (".parquet", ".parq", ".pq")
#: Files of one pattern.
_MOST_FILES = 10_000


def split_table(path: str | Path) -> tuple[Path, str | None]:
    """The file of a path and the table that it chooses, None where it chooses none.

    Files whose own name holds ``#`` are themselves. The table of an HDF5 file may be a path in it.
    """
    place, text = Path(path), str(path)
    if "#" not in text or exists(place):
        return place, None
    for found in re.finditer("#", text):
        file = Path(text[: found.start()])
        if file.is_file() or (is_pattern(file) and "#" not in text[found.end() :]):
            return file, text[found.end() :]
    name, sign, table = place.name.rpartition("#")
    return (place.with_name(name), table) if sign and name else (place, None)


def with_table(path: str, table: str | None) -> str:
    """The path that chooses ``table``, unless it chooses one itself."""
    if table is None or split_table(path)[1] is not None:
        return path
    return f"{path}#{table}"


def listed(text: str) -> list[str]:
    """The paths of a list with commas, in which commas in braces belong to patterns.

    A text that is the name of a file is this file.
    """
    if exists(split_table(text)[0]):
        return [text]
    return [part.strip() for part in re.split(r",(?![^{}]*\})", text)]


def is_pattern(path: Path) -> bool:
    """Whether a path is a pattern of several files: ``a.*.parquet``, ``part-{0..3}.hdf5``."""
    return any(sign in str(path) for sign in "*?[{") and not exists(path)


def exists(path: Path) -> bool:
    """Whether there is such a file; there is none of a name that no file can have."""
    try:
        return path.exists()
    except OSError:
        return False


def files_of(path: str | Path) -> list[Path]:
    """The files of a pattern, in the order of the numbers and words in their names.

    Raises
    ------
    ValueError
        If a file of a range in braces is not there, or there are too many.
    """
    place = Path(path)
    if not is_pattern(place):
        return [place]
    files: list[Path] = []
    for name in _expanded(str(place)):
        one = Path(name)
        if one.exists():
            files.append(one)
        elif any(sign in name for sign in "*?["):
            root = Path(one.anchor)
            found = (root if one.anchor else Path()).glob(str(one.relative_to(root)))
            files += sorted(found, key=_natural)
        else:
            raise ValueError(f"there is no file {name}, which {place} names")
    return list(dict.fromkeys(files))


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key by which part-10 comes after part-9."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]


def _place(name: str) -> tuple[str, str]:
    """What stands before and behind the first braces."""
    before, after = _RANGE.split(name, maxsplit=1)[:: _RANGE.groups + 1]
    return before, after


def _expanded(text: str) -> list[str]:
    """The words that braces stand for, ``{0..3}`` or ``{north,south}``."""
    names = [text]
    while found := _RANGE.search(names[0]):
        first, last, words = found.groups()
        if words is not None:
            choices = words.split(",")
        else:
            width = len(first) if first.startswith("0") else 0
            if int(last) - int(first) >= _MOST_FILES:
                raise ValueError(f"{text} names more than {_MOST_FILES} files")
            choices = [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]
        places = [_place(name) for name in names]
        names = [f"{before}{word}{after}" for before, after in places for word in choices]
        if not 0 < len(names) <= _MOST_FILES:
            raise ValueError(f"{text} names {len(names) or 'no'} files, at most {_MOST_FILES}")
    return names


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files of a folder and its folders, in the order of their names.

    Those whose names, or whose folders' names, begin with a dot or an underscore are not data.
    """
    return sorted(
        file for file in folder.rglob("*")
        if file.suffix in PARQUET
        and not any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    )  # fmt: skip
