"""Which galaxies of a simulation a sample holds: cuts in any column, then the top by rank."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting
from pydantic import field_validator

from truez.catalogs import vectors
from truez.support.checks import shown
from truez.support.settings import Settings

_COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
_CUT = re.compile(r"^\s*(?P<column>.+?)\s*(?P<sign><=|>=|<|>)\s*(?P<value>[^<>=]+?)\s*$")


class Selection(Settings):
    """Which galaxies a sample holds: those that pass the cuts, then the top ``density`` by rank.

    Parameters
    ----------
    cuts : tuple of str
        Such as ``mass>3.68e12`` or ``mr<=-21``.
    density : float, optional
        Number density [(h/Mpc)^3].

    Examples
    --------
    >>> from truez import Selection
    >>> Selection(cuts=("mass>1e12",), density=1e-3).columns
    ['mass']
    """

    cuts: tuple[str, ...] = ()
    density: float | None = Setting(default=None, gt=0)

    @field_validator("cuts")
    @classmethod
    def _are_cuts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for cut in value:
            _parse_cut(cut)
        return value

    @property
    def columns(self) -> list[str]:
        """The columns that the cuts need."""
        return [_parse_cut(cut)[0] for cut in self.cuts]


def select(
    selection: Selection,
    name: str,
    ids: NDArray[np.int64],
    columns: Mapping[str, NDArray[Any]],
    *,
    volume: float,
    rank_by: str | None,
    highest: bool,
) -> NDArray[np.int64]:
    """Rows of a catalogue that a selection keeps, in their order.

    Parameters
    ----------
    selection : Selection
    name : str
        Of the sample, for messages.
    ids : (m,) ints
        The rows to choose from.
    columns : mapping of (n,) arrays
        Columns of the whole catalogue.
    volume : float
        Volume that the rows fill [(Mpc/h)^3].
    rank_by : str or None
        The column to rank by; needed for a density.
    highest : bool
        Whether its highest values come first.

    Raises
    ------
    ValueError
        If a column is missing or not numeric, a density cannot be reached, or no galaxy is left.
    """
    rows = kept_by_cuts(selection, ids, columns)
    if len(rows) == 0:
        why = f"passes {' and '.join(selection.cuts)}" if selection.cuts else "is left"
        raise ValueError(f"the {name} sample is empty: no galaxy {why}")
    if selection.density is not None:
        wanted = round(selection.density * volume)
        if not 1 <= wanted <= len(rows):
            number = str(wanted) if wanted < 10**12 else f"{wanted:.3g}"
            limit = f"least {1 / volume:.2g}" if wanted < 1 else f"most {len(rows) / volume:.3g}"
            raise ValueError(
                f"{name} density {shown(selection.density)} (h/Mpc)^3 is {number} galaxies of this "
                f"box, and {len(rows)} are there to choose from: take at {limit}"
            )
        assert rank_by is not None
        # As floats: unsigned integers have no negative.
        rank = _column(columns, rank_by)[rows].astype(np.float64)
        _check_numbers(rank, f"column {rank_by} to rank by", finite=True)
        order = np.argsort(-rank if highest else rank, kind="stable")
        rows = np.sort(rows[order[:wanted]])
    return rows


def kept_by_cuts(
    selection: Selection, ids: NDArray[np.int64], columns: Mapping[str, NDArray[Any]]
) -> NDArray[np.int64]:
    """Those of some rows of a catalogue that pass all cuts; there may be none."""
    rows = ids
    for cut in selection.cuts:
        column, compare, value = _parse_cut(cut)
        values = _column(columns, column)
        _check_numbers(values, f"column {column} of the cut {cut!r}")
        with np.errstate(over="ignore"):  # beyond float32 is infinite, which compares rightly
            rows = rows[compare(values[rows], value)]
    return rows


def _column(columns: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in columns:
        raise ValueError(f"the selection needs column {name}, and only {sorted(columns)} are given")
    return vectors.numbers(columns, name)


def _check_numbers(values: NDArray[Any], what: str, *, finite: bool = False) -> None:
    """Raise an error for values that are not numbers, or not finite, with how many there are."""
    if values.dtype.kind != "f":
        return
    bad = int(np.count_nonzero(~np.isfinite(values) if finite else np.isnan(values)))
    if bad:
        kind = "values that are not finite" if finite else "no number (nan)"
        raise ValueError(
            f"{what} holds {kind} in {bad} of {len(values)} rows: leave those rows out"
        )


def _parse_cut(cut: str) -> tuple[str, Any, float]:
    match = _CUT.match(cut)
    try:
        if match is None:
            raise ValueError
        value = float(match["value"])
        if not math.isfinite(value):
            raise ValueError
    except ValueError:
        one = ", which takes two cuts, >= and <=" if "==" in cut else ""
        raise ValueError(f"must read like mass>3.68e12 or mr<=-21, not {shown(cut)}{one}") from None
    return match["column"], _COMPARISONS[match["sign"]], value
