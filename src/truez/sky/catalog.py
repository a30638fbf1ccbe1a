"""The photometric catalogue with sharpened redshifts of the sky, written in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs import formats
from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import iter_chunks, layout_of, text_lengths, write_chunks
from truez.catalogs.output import (
    check_format,
    does_not_fit,
    note_left_out,
    unsupported,
    without_columns,
)
from truez.sightlines.catalog import Terms, kept_columns
from truez.sky.redshifts import COLUMNS
from truez.support.checks import shown

#: Rows read and written at a time.
_ROWS = 2**17
#: Columns that a catalogue gets, and their units.
NAMES = (*COLUMNS, "spec_matched", "flag")
_UNITS = {"information_gain": "nats"}


def new_names(prefix: str = "", num_draws: int = 0) -> list[str]:
    """Names of the columns that a catalogue gets."""
    draws = (f"z_draw_{number}" for number in range(num_draws))
    return [f"{prefix}{name}" for name in (*NAMES, *draws)]


def check_names(photo: str | Path, prefix: str = "", num_draws: int = 0) -> None:
    """Raise an error if a catalogue has a column already that it is to get.

    Raises
    ------
    ValueError
    """
    refuse_taken(formats.header(Path(photo)).columns, photo, prefix, num_draws)


def refuse_taken(
    columns: Iterable[str], photo: str | Path, prefix: str = "", num_draws: int = 0
) -> None:
    """As `check_names`, of the columns of a catalogue."""
    if not re.fullmatch(r"\w{0,40}", prefix, re.ASCII):
        raise ValueError(
            f"prefix must be at most 40 letters, digits and underscores, not {shown(prefix)}"
        )
    there = {name.lower() for name in columns}
    taken = [name for name in new_names(prefix, num_draws) if name.lower() in there]
    if taken:
        raise ValueError(
            f"{photo} has columns {', '.join(taken[:3])} already: give prefix, such as truez_, for "
            "the names of the new columns"
        )


def check_output(
    path: str | Path,
    photo: str | Path,
    num_rows: int,
    *,
    prefix: str = "",
    num_draws: int = 0,
    drop_unsupported: bool = False,
) -> Terms:
    """Raise an error before the estimate if `write_redshifts` could not write the catalogue.

    The photometric catalogue is read once, and what a format could refuse is written to a folder
    that is removed: its first row, and all of its text and columns with missing values.

    Parameters
    ----------
    path, photo, prefix
        As for `write_redshifts`.
    num_rows : int
        Galaxies of the surveys.
    num_draws : int
        Redshifts to be drawn from each posterior.
    drop_unsupported : bool
        Leave out columns that the format of ``path`` cannot hold; a `Note` names them.

    Returns
    -------
    Terms
        For `write_redshifts`: which columns are left out.

    Raises
    ------
    ValueError
    """
    check_names(photo, prefix, num_draws)
    kept, left_out = kept_columns(photo, num_rows, Terms())
    layout = layout_of(photo, kept, chunk_rows=_ROWS)
    first = next(iter_chunks(photo, kept, chunk_rows=1))
    without: tuple[str, ...] = ()
    if drop_unsupported:
        without = tuple(unsupported(path, photo, layout, first, _ROWS))
        left_out |= dict.fromkeys(without, does_not_fit(path))
        layout, first = without_columns(layout, first, without)
    note_left_out(path, photo, left_out)
    new: dict[str, NDArray[Any]] = {name: np.ones(1) for name in new_names(prefix, num_draws)}
    new[f"{prefix}spec_matched"] = np.ones(1, dtype=np.bool_)
    new[f"{prefix}flag"] = np.ones(1, dtype=np.int16)
    check_format(path, photo, layout, first, first.with_columns(new, units_of_new(prefix)), _ROWS)
    return Terms(without=without)


def units_of_new(prefix: str) -> dict[str, str]:
    """Units of the columns that a catalogue gets."""
    return {f"{prefix}{name}": unit for name, unit in _UNITS.items()}


def write_redshifts(
    path: str | Path,
    photo: str | Path,
    columns: Mapping[str, NDArray[Any]],
    *,
    draws: NDArray[np.float64] | None = None,
    prefix: str = "",
    terms: Terms | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write the photometric catalogue, all its rows and columns, with those of the redshifts.

    Parameters
    ----------
    path : str or Path
        Catalogue to write; its suffix says the format.
    photo : str or Path
        Catalogue that the surveys were read from.
    columns : mapping of str to (n,) arrays
        Those of `truez.sky.redshifts.sharpened`.
    draws : (m, n) array, optional
        Redshifts drawn from the posteriors, for the columns z_draw_0, z_draw_1, ...
    prefix : str
        Of the names of the new columns.
    terms : Terms, optional
        That `check_output` returned.
    metadata : mapping, optional
        What made the redshifts.

    Raises
    ------
    ValueError
        If the catalogue has one of the columns already, or other rows than the surveys.
    """
    num = len(columns["flag"])
    drawn = [] if draws is None else list(draws)
    check_names(photo, prefix, len(drawn))
    new = dict(zip(new_names(prefix, len(drawn)), [*(columns[n] for n in NAMES), *drawn],
                   strict=True))  # fmt: skip
    units = units_of_new(prefix)
    kept, _ = kept_columns(photo, num, terms or Terms())
    layout = layout_of(photo, kept, chunk_rows=_ROWS)

    def longer() -> Iterator[Catalog]:
        first = 0
        for part in iter_chunks(photo, kept, chunk_rows=_ROWS):
            rows = slice(first, first + len(part))
            first += len(part)
            if first > num:
                break
            own = {name: values[rows] for name, values in new.items()}
            result = part.with_columns(own, units)
            about = {**part.metadata, "truez": dict(metadata or {})}
            yield Catalog(result.columns, result.units, about)
        if first != num:
            raise ValueError(f"{photo} has other rows than the surveys: has it changed?")

    write_chunks(
        path, longer(), num_rows=num, text_lengths=text_lengths(layout.dtypes),
        missing=layout.missing,
    )  # fmt: skip
