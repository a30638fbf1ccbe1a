"""Results as text: tables for a terminal, Markdown or a page, and plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from truez.evaluate.labels import given_label


@dataclass(frozen=True)
class Table:
    """Text cells with a heading for each column; ``best`` holds (row, column) of the best."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]]

    def markdown(self) -> str:
        """The table in Markdown, the best of each column in bold."""
        lines = [_line(self.columns), _line(["---"] + ["--:"] * (len(self.columns) - 1))]
        for i, row in enumerate(self.rows):
            cells = (f"**{c}**" if (i, j) in self.best else c for j, c in enumerate(row))
            lines.append(_line([cell.replace("|", "\\|") for cell in cells]))
        return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def number(value: float, style: str) -> str:
    """``value`` as text; a dash for what does not exist."""
    if math.isnan(value):
        return "—"
    return format(value, style).rstrip(".") if math.isfinite(value) else "∞"


def make_table(
    title: str,
    columns: Sequence[tuple[str, str, int]],
    names: Sequence[str],
    values: Sequence[Sequence[float]],
) -> Table:
    """Rows of text; the best of a column is all that reads like its best number."""
    rows = [
        (given_label(name), *(number(v, c[1]) for v, c in zip(row, columns, strict=True)))
        for name, row in zip(names, values, strict=True)
    ]
    best = set()
    for j, (_, _, better) in enumerate(columns):
        known = {i: better * row[j] for i, row in enumerate(values) if not math.isnan(row[j])}
        if better and known:
            winner = rows[max(known, key=known.__getitem__)][j + 1]
            best |= {(i, j + 1) for i in known if rows[i][j + 1] == winner}
    return Table(title, ("field", *(c[0] for c in columns)), tuple(rows), frozenset(best))


def spread(mean: float, sigma: float, error: float) -> str:
    """``mean ± sigma (error of the mean)``; a mean that does not exist is a dash."""
    if not math.isfinite(mean):
        return number(mean, "#.3g")
    numbers = (number(mean, "#.3g"), number(sigma, "#.2g"), number(error, "#.2g"))
    return "{} ± {} ({})".format(*numbers)


def plain(value: Any) -> Any:
    """``value`` for JSON: arrays as lists, numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)
