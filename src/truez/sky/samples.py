"""The samples that the catalogues of surveys on the sky hold, with what is read of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs import vectors
from truez.catalogs.catalog import Catalog
from truez.catalogs.coordinates import SkyCoordinates, sky_coordinates
from truez.sky.agreement import check_pdfs
from truez.sky.columns import SkyTable, id_columns
from truez.sky.details import SkyDetails
from truez.sky.photo_pdfs import MEDIAN, GivenPdfs, pdf_columns, read_galaxy_pdfs
from truez.surveys.details import passing
from truez.surveys.error_columns import ErrorColumns
from truez.surveys.footprint import Footprint
from truez.surveys.selection import Selection

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
    errors = ErrorColumns.of(how.z_err_column).names if how.z_err_column else ()
    optional = [how.spec_z_column, how.sigma_z_column, *errors, how.weight_column]
    if isinstance(how.outlier_fraction, str):
        optional.append(how.outlier_fraction)
    names = [*how.photo_columns, *(name for name in optional if name is not None)]
    names += id_columns(match_id)[1] if match_id else []
    names += pdf_columns(how)
    spec_cut = how.spec_cut if how.spec_z_column is not None else ()
    names += Selection(cuts=(*how.photo_cut, *spec_cut)).columns
    table = SkyTable.of(photo, names, "photo")
    numbers = [*how.photo_columns[2:], how.spec_z_column, how.sigma_z_column, *errors]
    table = table.without(how.stand_ins, numbers)
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
        frame=how.frame, name="photo",
    )  # fmt: skip
    weights = table.weights(how.weight_column, "weight_column")
    if pdfs is not None and len(how.photo_columns) == 3:
        check_pdfs(sky.redshift, pdfs.summary.median, pdfs.summary.sigma_z)
    return _cut(Sample(table, sky, area, weights, pdfs=pdfs), how.photo_cut, "photo")


def read_spec(spec: Any, area: Footprint, match_id: str | None, how: SkyDetails) -> Sample:
    """The spectroscopic sample."""
    names = [*how.sky, *([how.spec_weight_column] if how.spec_weight_column else [])]
    names += id_columns(match_id)[0] if match_id else []
    names += Selection(cuts=tuple(how.spec_cut)).columns
    table = SkyTable.of(spec, names, "spec").without(how.stand_ins, how.sky[2:])
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
    left_out = ~_passing(sample.table, cuts, name)
    without = {**sample.sky.without, "cut": int((left_out & sample.sky.has_redshift).sum())}
    redshift = np.where(left_out, np.nan, sample.sky.redshift)
    return replace(
        sample, sky=replace(sample.sky, redshift=redshift, without=without), cut=left_out
    )


def _passing(table: SkyTable, cuts: Sequence[str], name: str) -> NDArray[np.bool_]:
    """Which galaxies pass all thresholds; those without a number do not."""
    columns = Selection(cuts=tuple(cuts)).columns
    values = {column: vectors.floats(table.catalog.columns, column) for column in columns}
    whole = np.all([np.isfinite(one) for one in values.values()], axis=0)
    result = np.zeros(len(whole), dtype=bool)
    result[whole] = passing(Catalog({c: x[whole] for c, x in values.items()}), cuts, name)
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
