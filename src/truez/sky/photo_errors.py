"""The photo-z errors that catalogues on the sky state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from truez.sky.agreement import check_error_size
from truez.sky.details import SkyDetails
from truez.sky.photo_pdfs import error_of, sizes_of
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
        values, lost = _values(photo, column, option)
        known = sky.has_redshift
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
        photo = _without(photo, lost)
    else:
        if sigma_z == 0:
            raise ValueError("sigma_z is 0, which no photo-z have: give their error")
        check_errors(np.asarray(sigma_z), "sigma_z")
    outliers = _outliers(photo, how)
    limits = how.outlier_range
    if limits is None and np.any(outliers):
        z = photo.sky.redshift[photo.sky.has_redshift]
        limits = float(z.min()), float(z.max())
    assert sigma is not None
    absolute = how.z_err_column is not None
    error = RedshiftError(sigma, outliers, limits, tuple(how.photo_bias), absolute)
    check_error_size(photo.sky, error, "sigma_z" if column is None else f"{option} {column!r}")
    return error, photo


def errors_of_part(
    photo: Sample, whole: RedshiftError, how: SkyDetails
) -> tuple[RedshiftError, Sample]:
    """The errors of a part of a survey, as `photo_errors` has them in all of it.

    Parameters
    ----------
    photo : Sample
        Of the part; there may be none.
    whole : RedshiftError
        Of the survey, or of a sample of it: what galaxies share is its.
    how : SkyDetails

    Raises
    ------
    ValueError
        If an error is 0, or a fraction of outliers is none.
    """
    sigma: float | Array = whole.sigma_z
    if photo.pdfs is not None:
        return sizes_of(photo.pdfs, float(np.median(sigma)), whole.outlier_range), photo
    column = how.sigma_z_column or how.z_err_column
    if column is not None:
        option = "sigma_z_column" if how.sigma_z_column else "z_err_column"
        values, lost = _values(photo, column, option)
        good = photo.sky.has_redshift & ~lost
        check_errors(values[good], f"{option} {column!r} of photo")
        sigma = np.where(good, values, np.median(whole.sigma_z))
        photo = _without(photo, lost)
    outliers = _outliers(photo, how)
    return replace(whole, sigma_z=sigma, outlier_fraction=outliers), photo


def _values(photo: Sample, column: str, option: str) -> tuple[Array, NDArray[np.bool_]]:
    """Errors of galaxies, and which have a photo-z but no error that can be used."""
    columns = ErrorColumns.of(column) if option == "z_err_column" else ErrorColumns((column,))
    values = columns.errors(*(photo.table.floats(name, option) for name in columns.names))
    return values, photo.sky.has_redshift & (~np.isfinite(values) | (values >= 1))


def _without(photo: Sample, lost: NDArray[np.bool_]) -> Sample:
    """The sample, in which some galaxies have no photo-z, as they have no error."""
    if not lost.any():
        return photo
    without = {**photo.sky.without, "no_error": int(lost.sum())}
    redshift = np.where(lost, np.nan, photo.sky.redshift)
    return replace(photo, sky=replace(photo.sky, redshift=redshift, without=without))


def _outliers(photo: Sample, how: SkyDetails) -> float | Array:
    """Fractions of outliers, one or one for each galaxy."""
    if not isinstance(how.outlier_fraction, str):
        return how.outlier_fraction
    outliers = photo.table.floats(how.outlier_fraction, "outlier_fraction")
    outliers = np.where(photo.sky.has_redshift, outliers, 0.0)
    bad = ~((outliers >= 0) & (outliers < 1))
    if bad.any():
        raise ValueError(
            f"outlier_fraction {how.outlier_fraction!r} of photo must be from 0 to below 1, "
            f"but is not for {bad.sum()} galaxies: remove those rows"
        )
    return outliers
