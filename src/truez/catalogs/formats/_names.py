"""Finding columns by the names that a user gives."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

_MOST_LISTED = 20


def missing_column(name: str, known: Collection[str], where: str) -> str:
    """One sentence that says which columns there are, and which one may have been meant."""
    lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    hint = f" (did you mean {lower[close[0]]!r}?)" if close else ""
    listed = ", ".join(list(known)[:_MOST_LISTED])
    rest = len(known) - _MOST_LISTED
    return f"{where} has no column {name!r}{hint}, only {listed}" + (
        f" and {rest} more" if rest > 0 else ""
    )


def expanded(
    columns: Sequence[str], known: Collection[str], where: str, numbered: bool = False
) -> list[str]:
    """The columns as the file names them, each once: a vector ``v`` becomes ``v.0``, ``v.1``, ...

    Where ``numbered``, numbers below the count of columns are names as well.
    """
    if isinstance(columns, str):
        columns = [columns]
    names: list[str] = []
    for name in columns:
        components = [f"{name}.{i}" for i in range(len(known)) if f"{name}.{i}" in known]
        if name in known or (numbered and name.isdecimal() and int(name) < len(known)):
            names.append(name)
        elif components:
            names += components
        else:
            raise ValueError(missing_column(name, known, where))
    if not names:
        raise ValueError(f"columns must name at least one column of {where}, not none")
    return list(dict.fromkeys(names))
