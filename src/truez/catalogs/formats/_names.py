"""Finding columns by the names that a user gives."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Mapping, Sequence

_MOST_LISTED = 20
_MOST_LETTERS = 120
_MOST_COMPARED = 2000


def missing_column(
    name: str, known: Collection[str], where: str, left_out: Mapping[str, str] | None = None
) -> str:
    """One sentence that says which columns there are, and which one may have been meant.

    Of an array that is ``left_out`` of the columns it says why.
    """
    for other, reason in (left_out or {}).items():
        if name == other or name.startswith(f"{other}/"):  # in a group that is a link
            return f"column {other!r} of {where} {reason}, which truez cannot use"
    if not known and left_out:
        other, reason = next(iter(left_out.items()))
        return f"{where} has no column {name!r}: {other!r} {reason}"
    if not known:
        return f"{where} has no column {name[:60]!r}, and holds no other columns"
    if unnamed := next((other for other in known if "/values_block_" in other), None):
        return (
            f"{where} has no column {name!r}: pandas keeps the names in {unnamed!r} where truez "
            "does not read them: write it with data_columns=True, or as Parquet"
        )
    lower = {other.lower(): other for other in itertools.islice(known, _MOST_COMPARED)}
    same = next((other for other in known if other.lower() == name.lower()), None)
    close = difflib.get_close_matches(name.lower(), lower, n=1) if same is None else []
    meant = lower[close[0]] if close else same
    hint = f" (did you mean {meant[:60]!r}?)" if meant else ""
    shown: list[str] = []
    for other in itertools.islice(known, _MOST_LISTED):
        if shown and len(", ".join(shown)) + len(other) > _MOST_LETTERS:
            break
        shown.append(other if len(other) <= 60 else f"{other[:60]}...")
    rest = len(known) - len(shown)
    return f"{where} has no column {name[:60]!r}{hint}, only {', '.join(shown)}" + (
        f" and {rest} more" if rest > 0 else ""
    )


def _components(name: str, known: Collection[str]) -> list[str]:
    """The columns ``name.0``, ``name.1``, ... that there are."""
    found: list[str] = []
    while f"{name}.{len(found)}" in known:
        found.append(f"{name}.{len(found)}")
    return found


def expanded(
    columns: Sequence[str],
    known: Collection[str],
    where: str,
    numbered: bool = False,
    left_out: Mapping[str, str] | None = None,
) -> list[str]:
    """The columns as the file names them, each once: a vector ``v`` becomes ``v.0``, ``v.1``, ...

    Where ``numbered``, numbers below the count of columns are names as well.
    """
    if isinstance(columns, str):
        columns = [columns]
    names: list[str] = []
    there = known if isinstance(known, Mapping) else dict.fromkeys(known)
    for name in columns:
        components = _components(name, there)
        if name in there or (numbered and name.isdecimal() and int(name) < len(known)):
            names.append(name)
        elif components:
            names += components
        else:
            raise ValueError(missing_column(name, known, where, left_out))
    if not names:
        raise ValueError(f"columns must name at least one column of {where}, not none")
    return list(dict.fromkeys(names))
