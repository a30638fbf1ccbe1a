"""The samples that the catalogues of surveys on the sky hold, with what is read of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs import vectors
from truez.catalogs.coordinates import SkyCoordinates, sky_coordinates
from truez.sky.agreement import check_pdfs
from truez.sky.columns import SkyTable, id_columns
from truez.sky.details import SkyDetails
from truez.sky.photo_pdfs import MEDIAN, GivenPdfs, pdf_columns, read_galaxy_pdfs
from truez.surveys.error_columns import ErrorColumns
from truez.surveys.footprint import Footprint
from truez.surveys.selection import Selection, kept_by_cuts

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sample:
    """A catalogue and what is read of it."""

    table: SkyTable
    sky: SkyCoordinates
    footprint: Footprint
    weights: Array | None
    cut: NDArray[np.bool_] | None = None
    pdfs: GivenPdfs | None = None

    @property
    def used(self) -> NDArray[np.bool_]:
        """Galaxies that take part."""
        inside = ~self.footprint.outside(self.sky.ra, self.sky.dec)
        return self.sky.has_redshift & inside

    @property
    def total(self) -> float:
        """Weighted number of them."""
        used = self.used
        return float(used.sum() if self.weights is None else self.weights[used].sum())


def read_photo(photo: Any, area: Footprint, match_id: str | None, how: SkyDetails) -> Sample:
    """The photometric sample."""
    table = photo_table(photo, match_id, how)
    columns, pdfs = how.photo_columns, None
    if how.pdf is not None:
        places = sky_coordinates(table.catalog, columns[:2], ra_unit=how.ra_unit,
                                 dec_unit=how.dec_unit, name="photo")  # fmt: skip
        counted = ~area.outside(places.ra, places.dec)
        if how.photo_cut:
            counted &= _passing(table, how.photo_cut, "photo")
        pdfs = read_galaxy_pdfs(table, counted, how)
        if len(columns) == 2:
            columns = (*columns, MEDIAN)
            medians = {MEDIAN: pdfs.summary.median}
            table = SkyTable(table.catalog.with_columns(medians, {}), table.name)
    sky = sky_coordinates(
        table.catalog, columns, ra_unit=how.ra_unit, dec_unit=how.dec_unit,
        frame=how.photo_frame or how.frame, name="photo",
    )  # fmt: skip
    weights = table.weights(how.weight_column, "weight_column")
    if pdfs is not None and len(how.photo_columns) == 3:
        check_pdfs(sky.redshift, pdfs.summary.median, pdfs.summary.sigma_z)
    return _cut(Sample(table, sky, area, weights, pdfs=pdfs), how.photo_cut, "photo")


def photo_table(photo: Any, match_id: str | None, how: SkyDetails) -> SkyTable:
    """The columns of a photometric catalogue that are needed."""
    try:
        table = SkyTable.of(photo, photo_names(match_id, how), "photo")
    except ValueError as error:
        text = str(error)
        if how.photo_sky is None and any(f"has no column {name!r}" in text for name in how.sky):
            text = text.replace(", only ", ", as it is of both catalogues without photo_sky, only ")
        if any(f"has no column {name!r}" in text for name in pdf_columns(how)):
            remedy = (
                "" if ":" in str(how.pdf_id) else ", where pdf_id ID:PDFID names one of each file"
            )
            text = text.replace(", only ", f"{remedy}, only ")
        raise ValueError(text) from None
    errors = ErrorColumns.of(how.z_err_column).names if how.z_err_column else ()
    numbers = [*how.photo_columns[2:], how.spec_z_column, how.sigma_z_column, *errors]
    return table.without(how.stand_ins, numbers)


def photo_names(match_id: str | None, how: SkyDetails) -> list[str]:
    """Names of these columns."""
    errors = ErrorColumns.of(how.z_err_column).names if how.z_err_column else ()
    optional = [how.spec_z_column, how.sigma_z_column, *errors, how.weight_column]
    if isinstance(how.outlier_fraction, str):
        optional.append(how.outlier_fraction)
    names = [*how.photo_columns, *(name for name in optional if name is not None)]
    names += id_columns(match_id)[1] if match_id else []
    names += pdf_columns(how)
    spec_cut = how.spec_cut if how.spec_z_column is not None else ()
    return names + Selection(cuts=(*how.photo_cut, *spec_cut)).columns


def spec_table(spec: Any, match_id: str | None, how: SkyDetails) -> SkyTable:
    """The columns of a spectroscopic catalogue that are needed."""
    return SkyTable.of(spec, spec_names(match_id, how), "spec").without(
        how.stand_ins, how.sky[2:]
    )  # fmt: skip


def spec_names(match_id: str | None, how: SkyDetails) -> list[str]:
    """Names of these columns."""
    names = [*how.sky, *([how.spec_weight_column] if how.spec_weight_column else [])]
    names += id_columns(match_id)[0] if match_id else []
    return names + Selection(cuts=tuple(how.spec_cut)).columns


def read_spec(spec: Any, area: Footprint, match_id: str | None, how: SkyDetails) -> Sample:
    """The spectroscopic sample."""
    table = spec_table(spec, match_id, how)
    sky = sky_coordinates(
        table.catalog, how.sky, ra_unit=how.ra_unit, dec_unit=how.dec_unit, frame=how.frame,
        name="spec",
    )  # fmt: skip
    weights = table.weights(how.spec_weight_column, "spec_weight_column")
    return _cut(Sample(table, sky, area, weights), how.spec_cut, "spec")


def _cut(sample: Sample, cuts: Sequence[str], name: str) -> Sample:
    """The sample, in which galaxies that do not pass its thresholds have no redshift."""
    if not cuts:
        return sample
    return without_cut(sample, ~_passing(sample.table, cuts, name))


def without_cut(sample: Sample, left_out: NDArray[np.bool_]) -> Sample:
    """The sample, in which galaxies that a cut leaves out have no redshift."""
    without = {**sample.sky.without, "cut": int((left_out & sample.sky.has_redshift).sum())}
    redshift = np.where(left_out, np.nan, sample.sky.redshift)
    return replace(
        sample, sky=replace(sample.sky, redshift=redshift, without=without), cut=left_out
    )


def _passing(table: SkyTable, cuts: Sequence[str], name: str) -> NDArray[np.bool_]:
    """Which galaxies pass all thresholds; those without a number do not."""
    result = passing_part(table, cuts)
    if not result.any():
        raise ValueError(f"the {name} sample is empty: no galaxy passes {' and '.join(cuts)}")
    return result


def passing_part(table: SkyTable, cuts: Sequence[str]) -> NDArray[np.bool_]:
    """Which galaxies of a part of a survey pass all thresholds; there may be none."""
    chosen = Selection(cuts=tuple(cuts))
    values = {column: vectors.floats(table.catalog.columns, column) for column in chosen.columns}
    rows = np.flatnonzero(np.all([np.isfinite(one) for one in values.values()], axis=0))
    known = {column: one[rows] for column, one in values.items()}
    result = np.zeros(len(table.catalog), dtype=bool)
    result[rows[kept_by_cuts(chosen, np.arange(len(rows)), known)]] = True
    return result


def spec_in_photo(
    photo: Sample, area: Footprint, how: SkyDetails
) -> tuple[Sample, NDArray[np.int64]]:
    """The galaxies of the photometric catalogue with a spectroscopic redshift, and their rows."""
    columns = (*how.photo_columns[:2], str(how.spec_z_column))
    sky = sky_coordinates(
        photo.table.catalog, columns, ra_unit=how.ra_unit, dec_unit=how.dec_unit, frame=how.frame,
        name="photo",
    )  # fmt: skip
    has = sky.has_redshift.copy()
    if how.spec_cut:
        has &= _passing(photo.table, how.spec_cut, "spec")
    rows = np.flatnonzero(has)
    part = replace(sky, ra=sky.ra[rows], dec=sky.dec[rows], redshift=sky.redshift[rows], without={})
    weights = None if photo.weights is None else photo.weights[rows]
    table = SkyTable(photo.table.catalog.select(rows), "photo")
    return Sample(table, part, area, weights), rows
