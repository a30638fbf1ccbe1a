"""p(z) from columns of quantiles of a catalogue, such as Z_PHOT_L95 to Z_PHOT_U95."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from truez.catalogs.catalog import Catalog
from truez.catalogs.formats import header
from truez.surveys.pdfs.layouts import PdfError
from truez.surveys.pdfs.table import PdfTable
from truez.surveys.pdfs.vectors import read_vectors, vector_columns

#: What the name of a column ends in, and the probability that its quantile is reached at.
_ENDS = {
    "l95": 0.025, "l68": 0.16, "median": 0.5, "u68": 0.84, "u95": 0.975,
    "err95_low": 0.025, "err68_low": 0.16, "err68_high": 0.84, "err95_high": 0.975,
    "err95_min": 0.025, "err68_min": 0.16, "err68_max": 0.84, "err95_max": 0.975,
}  # fmt: skip
_NAME = re.compile(rf"(.*?)_?({'|'.join(_ENDS)})", re.IGNORECASE)
#: Fewest quantiles that say more than a width.
_FEWEST = 3


def quantile_columns(names: Iterable[str]) -> dict[str, dict[str, float]]:
    """Columns of quantiles among the names of a catalogue, by what their names begin with.

    Examples
    --------
    >>> quantile_columns(["RA", "Z_PHOT_L68", "Z_PHOT_MEDIAN", "Z_PHOT_U68"])
    {'Z_PHOT': {'Z_PHOT_L68': 0.16, 'Z_PHOT_MEDIAN': 0.5, 'Z_PHOT_U68': 0.84}}
    """
    sets: dict[str, dict[str, float]] = {}
    for name in names:
        if found := _NAME.fullmatch(name):
            sets.setdefault(found[1], {})[name] = _ENDS[found[2].lower()]
    return {
        start: dict(sorted(columns.items(), key=lambda item: item[1]))
        for start, columns in sets.items()
        if len(set(columns.values())) == len(columns) >= _FEWEST
    }


def pdfs_from_quantiles(columns: Mapping[float, ArrayLike]) -> PdfTable:
    """p(z) of quantiles.

    Parameters
    ----------
    columns : mapping of float to (n,) arrays
        Redshifts by the probability that they are reached at, in any order; masked or NaN where
        there is no p(z).

    Raises
    ------
    ValueError
        If there are fewer than three, or probabilities are not between 0 and 1.

    Examples
    --------
    >>> table = pdfs_from_quantiles({0.16: [0.4], 0.5: [0.5], 0.84: [0.6]})
    >>> table.probability(None, [0.4, 0.5, 0.55]).round(3)
    array([[0.34, 0.17]])
    """
    levels = sorted(columns)
    if len(levels) < _FEWEST:
        raise PdfError(f"p(z) needs three quantiles or more, not {len(levels)}: give more columns")
    places = np.column_stack(
        [np.ma.filled(np.ma.asarray(columns[level], np.float64), np.nan) for level in levels]
    )
    return PdfTable.of_arrays("quant", {"locs": places}, levels)


def table_of_quantiles(path: Path, name: str | None) -> tuple[Path, str | None]:
    """The table of a catalogue that ``FILE#NAME`` chooses, and what its quantiles begin with.

    ``NAME`` is a table, what columns of quantiles begin with, a vector column, or ``TABLE#PREFIX``.

    Parameters
    ----------
    path : Path
        Of the file.
    name : str, optional
        What follows its first ``#``.

    Returns
    -------
    Path, str or None
        The path that chooses the table, and the prefix where there is one.

    Raises
    ------
    PdfError
        If a name alone is both.
    """
    if name is None:
        return path, None
    if "#" in name:
        table, _, prefix = name.rpartition("#")
        return Path(f"{path}#{table}"), prefix
    columns = columns_of(path)
    sets = [*quantile_columns(columns), *vector_columns(columns)]
    is_prefix = name.lower() in {one.lower() for one in sets}
    chosen = Path(f"{path}#{name}")
    if not columns_of(chosen):
        return path, name
    if is_prefix:
        raise PdfError(
            f"{path} has a table {name!r} and p(z) that begin with it: choose {chosen}#PREFIX "
            f"or {path}#TABLE#{name}"
        )
    return chosen, None


def columns_of(path: Path) -> tuple[str, ...]:
    """Columns of the table that a path chooses; none where it chooses none."""
    try:
        return header(path).columns
    except ValueError:
        return ()


def read_columns(path: Path, name: str | None = None) -> PdfTable:
    """p(z) from the columns of a catalogue: quantiles, or the vector column of a known survey.

    Parameters
    ----------
    path : Path
    name : str, optional
        Of the vector column, or as of `read_quantiles`.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If it has no such columns.
    """
    columns = header(path).columns
    vectors = {column.lower(): column for column in vector_columns(columns)}
    if name is None and len(vectors) == 1 and not quantile_columns(columns):
        name = next(iter(vectors))
    if name is not None and name.lower() in vectors:
        return PdfTable((read_vectors(path, vectors[name.lower()]),))
    return read_quantiles(path, name)


def read_quantiles(path: str | Path, prefix: str | None = None) -> PdfTable:
    """p(z) from the columns of quantiles of a catalogue in any format.

    Parameters
    ----------
    path : str or Path
        ``FILE#TABLE`` chooses one of several tables.
    prefix : str, optional
        What their names begin with, such as ``Z_PHOT``; not needed where there is one set.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If it has no such columns.
    """
    found = quantile_columns(header(Path(path)).columns)
    if prefix is None and len(found) == 1:
        prefix = next(iter(found))
    if prefix is None and found:
        raise PdfError(
            f"{path} has quantiles of {len(found)} kinds, {', '.join(found)[:120]}: choose one, "
            f"such as {path}#{next(iter(found))}"
        )
    columns = next((c for name, c in found.items() if name.lower() == str(prefix).lower()), None)
    if columns is None:
        which = f"of {prefix!r} " if prefix else ""
        raise PdfError(
            f"{path} has no columns of quantiles {which}such as Z_PHOT_L68, Z_PHOT_MEDIAN and "
            "Z_PHOT_U68: choose another file"
        )
    table = Catalog.read(path, list(columns))
    for name in columns:
        if table[name].dtype.kind not in "fiu":
            raise PdfError(
                f"{path} has a column {name!r} that holds no numbers: write it as floats"
            )
    return pdfs_from_quantiles({level: table[name] for name, level in columns.items()})
