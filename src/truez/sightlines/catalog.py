"""The photometric catalogue with sharpened redshifts, from file to file in chunks.

Rows of the catalogue are read, sharpened and written one chunk after the other, so that only the
surveys, the intensity and one chunk of the columns are in memory. The columns that come in, their
types, their units and the metadata go out as they are, and missing values stay missing.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
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
from truez.sightlines.intensity import Intensity
from truez.sightlines.joined import JoinedRedshifts
from truez.sightlines.pdf_file import PdfFile, grid_edges, pdf_file
from truez.sightlines.sharpened import Sharpened, SharpenedChunk, sharpen_chunks
from truez.support.progress import Progress, silent
from truez.support.spill import Spill, spill_beside
from truez.surveys.surveys import Surveys

#: Values of the catalogue, and densities of p(z), in memory at a time.
CHUNK_VALUES = 2**23
_MOST_ROWS = 2**20


@dataclass(frozen=True)
class Summary:
    """Numbers of a catalogue of sharpened redshifts.

    Parameters
    ----------
    num_galaxies, num_sharpened, num_lost : int
        All of them, those with a posterior, and those whose photo-z lies too far outside the box.
    median_error : float
        Median standard deviation of the posteriors [Mpc/h]; nan where there is none.
    gain : float
        Mean information that is expected over the photo-z alone [nats]; nan where there is none.
    """

    num_galaxies: int
    num_sharpened: int
    num_lost: int
    median_error: float
    gain: float


@dataclass(frozen=True)
class Terms:
    """The line of sight and the galaxies in a catalogue's own terms.

    Parameters
    ----------
    los : str
        Axis of the line of sight.
    unit : str
        Its unit of length.
    factor : float
        That unit [Mpc/h].
    id_column : str, optional
        The column that names the galaxies in the file of p(z); ``id`` by default, where there is
        one.
    drop_missing : names of columns
        Rows without a value in one of them took no part, and are left out.
    without : names of columns
        Columns that the output is without.
    rows : bool array, optional
        Rows of the catalogue that are in the surveys, where a cut left some out (with those that
        have a missing value); the others are left out.
    drawn : (m, n_p) array, optional
        Places drawn for each galaxy [Mpc/h], for the columns z_draw_0, ...; to check names and
        formats before they are drawn, their number m is enough, (m, 0).
    """

    los: str = "z"
    unit: str = "Mpc/h"
    factor: float = 1.0
    id_column: str | None = None
    drop_missing: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    rows: NDArray[np.bool_] | None = None
    drawn: NDArray[np.float64] | None = None

    @property
    def num_draws(self) -> int:
        """Places drawn for each galaxy."""
        return 0 if self.drawn is None else len(self.drawn)

    @property
    def chosen(self) -> dict[str, Any]:
        """The rows that take part, as `truez.catalogs.chunks.iter_chunks` chooses them."""
        if self.rows is not None:
            return {"chosen": self.rows}
        return {"drop_missing": self.drop_missing}


def new_columns(
    sharpened: Sharpened, terms: Terms, drawn: NDArray[np.float64] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The columns that a catalogue gets, and their units; ``drawn`` (m, n) are places of its rows.

    Without ``drawn`` its columns hold the mean.
    """
    if drawn is None:
        drawn = np.broadcast_to(sharpened.mean, (terms.num_draws, *sharpened.mean.shape))
    places = {
        "mean": sharpened.mean,
        "mode": sharpened.mode,
        "std": sharpened.std,
        "lo": sharpened.lower,
        "hi": sharpened.upper,
    }
    places |= {f"draw_{number}": place for number, place in enumerate(drawn)}
    columns = {f"{terms.los}_{name}": values / terms.factor for name, values in places.items()}
    units = {**dict.fromkeys(columns, terms.unit), "information_gain": "nats"}
    return {**columns, "information_gain": sharpened.information}, units


def refuse_taken(photo: str | Path, surveys: Surveys, terms: Terms) -> None:
    """Raise if a catalogue has a column already that it is to get."""
    none = np.zeros(0)
    columns, _ = new_columns(Sharpened(none, none, none, none, none, none), terms)
    there = formats.header(Path(photo)).columns
    for name in (*columns, *([] if surveys.matched is None else ["spec_matched"])):
        if name in there:
            raise ValueError(f"{photo} has a column {name} already: leave it out of that catalogue")


def check_output(
    path: str | Path,
    photo: str | Path,
    surveys: Surveys,
    terms: Terms | None = None,
    *,
    pdf_out: bool = False,
    drop_unsupported: bool = False,
) -> Terms:
    """Raise before the estimate if `write_sharpened` could not write the catalogue.

    The whole photometric catalogue is read once, and what a format could refuse is written to a
    folder that is removed: its first row, and all of its text and columns with missing values.

    Returns
    -------
    Terms
        With ``drop_unsupported`` those that leave out the columns which the format of ``path``
        cannot hold; a `Note` names them.

    Raises
    ------
    ValueError
        If the catalogue cannot be read, has one of the new columns already, or the format of
        ``path`` cannot hold it; with ``pdf_out`` also if galaxies have no name.
    """
    terms = terms or Terms()
    refuse_taken(photo, surveys, terms)
    kept, left_out = kept_columns(photo, len(surveys.photo), terms)
    rows = _rows_per_chunk(len(kept) + 7 + terms.num_draws)
    layout = layout_of(photo, kept, chunk_rows=rows, **terms.chosen)
    first = next(iter_chunks(photo, kept, chunk_rows=1, **terms.chosen))
    if drop_unsupported:
        without = tuple(unsupported(path, photo, layout, first, rows))
        left_out |= dict.fromkeys(without, does_not_fit(path))
        terms = replace(terms, without=without)
        layout, first = without_columns(layout, first, without)
    note_left_out(path, photo, left_out)
    id_column = _id_column(terms, layout.dtypes)
    if pdf_out and id_column in layout.missing:
        raise ValueError(
            f"column {id_column!r} of {photo} names the galaxies of the file of p(z) and has "
            "missing values: leave those rows out"
        )
    one = np.zeros(1)
    new, units = new_columns(Sharpened(one, one, one, one, one, one), terms)
    if surveys.matched is not None:
        new["spec_matched"] = np.ones(1, dtype=np.bool_)
    check_format(path, photo, layout, first, first.with_columns(new, units), rows)
    return terms


def kept_columns(
    photo: str | Path, num_rows: int, terms: Terms
) -> tuple[list[str], dict[str, str]]:
    """The columns of a catalogue that its sharpened copy has, and why others are left out.

    Those of other lengths belong to other objects, such as groups of galaxies.
    """
    header = formats.header(Path(photo))
    # With rows that are left out, the length is that of the positions.
    needed = [name for name in terms.drop_missing if name in header.lengths]
    num_rows = header.lengths[needed[0]] if needed else num_rows
    num_rows = num_rows if terms.rows is None else len(terms.rows)
    lengths = {name: header.lengths.get(name, num_rows) for name in header.columns}
    kept = [n for n, length in lengths.items() if length == num_rows and n not in terms.without]
    if not kept:
        return list(header.columns), dict(header.left_out)
    others = {n: f"has {length} rows" for n, length in lengths.items() if length != num_rows}
    return kept, {**others, **header.left_out}


def _rows_per_chunk(values: int) -> int:
    """Rows of a chunk with so many values in a row."""
    return min(max(CHUNK_VALUES // values, 1), _MOST_ROWS)


def _id_column(terms: Terms, columns: Container[str]) -> str | None:
    return terms.id_column or ("id" if "id" in columns else None)


def write_sharpened(
    path: str | Path,
    photo: str | Path,
    surveys: Surveys,
    intensity: Intensity | JoinedRedshifts,
    *,
    pdf_out: str | Path | None = None,
    interval: float = 0.68,
    terms: Terms | None = None,
    metadata: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Summary:
    """Write the photometric catalogue with the columns of `truez.sightlines.sharpened.Sharpened`.

    Parameters
    ----------
    path : str or Path
        Catalogue to write; its suffix says the format.
    photo : str or Path
        Catalogue that ``surveys.photo`` was read from, row by row.
    surveys : Surveys
    intensity : Intensity or JoinedRedshifts
        As in `truez.sightlines.sharpened.sharpen`; or redshifts that are sharpened already, which
        have no p(z).
    pdf_out : str or Path, optional
        File of p(z) to write as well: `truez.sightlines.pdf_file`.
    interval : float
        Share of the posterior that the interval holds.
    terms : Terms, optional
        How the catalogue measures the line of sight and names the galaxies.
    metadata : mapping, optional
        What made the redshifts, for both files.
    progress : Progress

    Returns
    -------
    Summary

    Raises
    ------
    ValueError
        If the catalogue has one of the columns already, or has changed.
    """
    terms = terms or Terms()
    refuse_taken(photo, surveys, terms)
    columns, _ = kept_columns(photo, len(surveys.photo), terms)
    values = max(
        len(columns) + 7 + terms.num_draws, 0 if pdf_out is None else len(grid_edges(surveys))
    )
    rows = _rows_per_chunk(values)
    id_column = _id_column(terms, columns)
    tally = _Tally(surveys)
    made = dict(metadata or {})
    layout = layout_of(photo, columns, chunk_rows=rows, **terms.chosen)
    lengths = text_lengths(layout.dtypes)

    changed = f"{photo} has other rows than the photometric sample of the surveys: has it changed?"

    def longer(file: PdfFile | None, spill: Spill | None) -> Iterator[Catalog]:
        if isinstance(intensity, JoinedRedshifts):
            sharpened = intensity.chunks(rows)
        else:
            sharpened = sharpen_chunks(
                surveys,
                intensity,
                interval=interval,
                chunk_rows=rows,
                spill=spill,
                progress=progress,
            )
        parts = iter_chunks(photo, columns, chunk_rows=rows, **terms.chosen)
        for some in sharpened:
            part = next(parts, None)
            if part is None or len(part) != some.rows.stop - some.rows.start:
                raise ValueError(changed)
            tally.add(some)
            if file is not None:
                ids = {}
                if id_column is not None:
                    ids = {id_column: formats.complete(part[id_column], id_column)}
                file.append(some, ids, text_lengths=lengths)
            drawn = None if terms.drawn is None else terms.drawn[:, some.rows]
            new, units = new_columns(some.sharpened, terms, drawn)
            if surveys.matched is not None:
                new["spec_matched"] = ~tally.unknown[some.rows]
            result = part.with_columns(new, units)
            yield Catalog(result.columns, result.units, {**part.metadata, "truez": made})
        if next(parts, None) is not None:
            raise ValueError(changed)
        if file is not None:
            file.finish()  # neither file is moved into place before both are whole

    with ExitStack() as stack:
        file = spill = None
        if pdf_out is not None:
            file = stack.enter_context(pdf_file(pdf_out, surveys, made))
            spill = stack.enter_context(spill_beside(Path(pdf_out)))
        write_chunks(
            path,
            longer(file, spill),
            num_rows=len(surveys.photo),
            text_lengths=lengths,
            missing=layout.missing,
        )
    return tally.summary()


@dataclass
class _Tally:
    """Sums over the chunks, for the summary."""

    surveys: Surveys
    unknown: NDArray[np.bool_] = field(init=False)
    std: NDArray[np.float32] = field(init=False)
    gain: float = 0.0

    def __post_init__(self) -> None:
        self.unknown = self.surveys.photo_only()
        self.std = np.zeros(len(self.unknown), dtype=np.float32)

    def add(self, some: SharpenedChunk) -> None:
        self.std[some.rows] = some.sharpened.std
        self.gain += float(np.nansum(some.sharpened.information))

    def summary(self) -> Summary:
        lost = np.isnan(self.std)
        errors = self.std[self.unknown & ~lost]
        num = len(errors)
        return Summary(
            num_galaxies=len(self.std),
            num_sharpened=num,
            num_lost=int(np.count_nonzero(lost)),
            median_error=float(np.median(errors)) if num else float("nan"),
            gain=self.gain / num if num else float("nan"),
        )
