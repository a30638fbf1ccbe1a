"""The photo-z errors that catalogues on the sky state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from truez.sky.agreement import check_error_size
from truez.sky.columns import SkyTable
from truez.sky.details import SkyDetails
from truez.sky.photo_pdfs import error_of
from truez.sky.samples import Sample
from truez.surveys.error_columns import ErrorColumns
from truez.surveys.redshift_error import RedshiftError, check_errors

Array = NDArray[np.float64]


def photo_errors(
    photo: Sample, sigma_z: float | None, how: SkyDetails
) -> tuple[RedshiftError, Sample]:
    """The photo-z errors; galaxies without a usable one have no photo-z in the sample returned."""
    sky = photo.sky
    if photo.pdfs is not None:
        return error_of(photo.pdfs, sky.redshift, how), photo
    sigma: float | Array | None = sigma_z
    column = how.sigma_z_column or how.z_err_column
    if column is not None:
        option = "sigma_z_column" if how.sigma_z_column else "z_err_column"
        values = _error_values(photo.table, column, option)
        known = sky.has_redshift
        lost = known & (~np.isfinite(values) | (values >= 1))
        high = int(np.count_nonzero(known & (values >= 1)))
        if 2 * high > known.sum():
            raise ValueError(
                f"{option} {column!r} of photo must hold errors below 1, but {high} of "
                f"{known.sum()} are not: choose the column of errors, or divide percentages by 100"
            )
        if (known & ~lost).sum() == 0:
            raise ValueError(
                f"{option} {column!r} of photo has an error above 0 and below 1 for none of "
                f"{known.sum()} galaxies: choose the column of errors"
            )
        good = check_errors(values[known & ~lost], f"{option} {column!r} of photo")
        sigma = np.where(known & ~lost, values, np.median(good))
        if lost.any():
            without = {**sky.without, "no_error": int(lost.sum())}
            redshift = np.where(lost, np.nan, sky.redshift)
            photo = replace(photo, sky=replace(sky, redshift=redshift, without=without))
    else:
        if sigma_z == 0:
            raise ValueError("sigma_z is 0, which no photo-z have: give their error")
        check_errors(np.asarray(sigma_z), "sigma_z")
    outliers: float | Array = 0.0
    if isinstance(how.outlier_fraction, str):
        outliers = photo.table.floats(how.outlier_fraction, "outlier_fraction")
        outliers = np.where(photo.sky.has_redshift, outliers, 0.0)
        bad = ~((outliers >= 0) & (outliers < 1))
        if bad.any():
            raise ValueError(
                f"outlier_fraction {how.outlier_fraction!r} of photo must be from 0 to below 1, "
                f"but is not for {bad.sum()} galaxies: remove those rows"
            )
    else:
        outliers = how.outlier_fraction
    limits = how.outlier_range
    if limits is None and np.any(outliers):
        z = photo.sky.redshift[photo.sky.has_redshift]
        limits = float(z.min()), float(z.max())
    assert sigma is not None
    absolute = how.z_err_column is not None
    error = RedshiftError(sigma, outliers, limits, tuple(how.photo_bias), absolute)
    check_error_size(photo.sky, error, "sigma_z" if column is None else f"{option} {column!r}")
    return error, photo


def _error_values(table: SkyTable, column: str, option: str) -> Array:
    columns = ErrorColumns.of(column) if option == "z_err_column" else ErrorColumns((column,))
    return columns.errors(*(table.floats(name, option) for name in columns.names))
