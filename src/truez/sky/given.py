"""Surveys on the sky from catalogues: what `SkySurveys.from_catalogs` reads, matches and fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs import vectors
from truez.catalogs.catalog import Catalog
from truez.catalogs.coordinates import SkyCoordinates, sky_coordinates
from truez.cosmology import Cosmology
from truez.sky.agreement import (
    check_areas,
    check_error_size,
    check_pairs,
    check_randoms,
    check_redshifts,
)
from truez.sky.columns import SkyTable, id_columns, matches_by_id
from truez.sky.details import SkyDetails
from truez.surveys.details import passing
from truez.surveys.error_columns import ErrorColumns
from truez.surveys.footprint import Footprint
from truez.surveys.footprint_input import footprint_of
from truez.surveys.matching import count_overlap, match_positions
from truez.surveys.nz import NumberDensity, read_number_density
from truez.surveys.nz_fit import ErrorClass, fit_error_classes, fit_number_density
from truez.surveys.redshift_error import RedshiftError, check_errors
from truez.surveys.selection import Selection

Array = NDArray[np.float64]
#: Share of the galaxies beyond either end of the default range of the map.
_BEYOND = 5e-4


@dataclass(frozen=True, eq=False)
class _Sample:
    """A catalogue and what is read of it."""

    table: SkyTable
    sky: SkyCoordinates
    footprint: Footprint
    weights: Array | None
    cut: NDArray[np.bool_] | None = None

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


def surveys_from_catalogs(
    *,
    photo: Any,
    spec: Any,
    footprint: Any,
    sigma_z: float | None,
    match_id: str | None,
    overlap: str | float | None,
    cosmology: Cosmology,
    how: SkyDetails,
) -> dict[str, Any]:
    """The arguments of `SkySurveys`; see its ``from_catalogs``."""
    _check_choices(spec, sigma_z, match_id, overlap, how)
    area = footprint_of(footprint)
    spec_area = area if how.spec_footprint is None else footprint_of(how.spec_footprint)
    photo_sample = _photo_sample(photo, area, match_id, how)
    error, photo_sample = _errors(photo_sample, sigma_z, how)
    if spec is None:
        spec_sample, matched = _spec_of_photo(photo_sample, spec_area, how)
    else:
        spec_sample, matched = _spec_sample(spec, spec_area, match_id, how), None
    check_areas(photo_sample.sky, spec_sample.sky, area, spec_area)
    check_redshifts(photo_sample.sky, spec_sample.sky, error)
    about: dict[str, Any] = {"match_id": match_id, "overlap": None if overlap is None else
                             str(overlap), "match_radius": how.match_radius}  # fmt: skip
    for name, value in (("photo_file", photo), ("spec_file", spec)):
        if isinstance(value, str | Path):
            about[name] = str(value)
    about |= _randoms_differences(photo_sample, spec_sample, error, how)
    if spec is not None and match_id is not None:
        found = matches_by_id(spec_sample.table, photo_sample.table, match_id)
        matched = found.rows
        about |= {"spec_without_id": found.spec_without_id,
                  "photo_without_id": found.photo_without_id}  # fmt: skip
    elif spec is not None and how.match_radius is not None:
        places = (
            spec_sample.sky.ra,
            spec_sample.sky.dec,
            photo_sample.sky.ra,
            photo_sample.sky.dec,
        )
        near = match_positions(*places, radius=how.match_radius)
        matched = near.rows
        about["matches_by_chance"] = near.by_chance
    if matched is not None:
        way = "match_id" if match_id is not None else "match_radius"
        check_pairs(photo_sample.sky, spec_sample.sky, matched, error,
                    "spec_z_column" if spec is None else way)  # fmt: skip
    if matched is not None and photo_sample.cut is not None:
        matched = np.where(photo_sample.cut[matched] & (matched >= 0), -1, matched)
    for name, one in (("spec_cut", spec_sample), ("photo_cut", photo_sample)):
        if one.cut is not None:
            about[name] = int(one.cut.sum())
    used = int(spec_sample.used.sum())
    if matched is None:
        num_both = count_overlap(used, str(overlap))
    else:
        num_both = float(np.count_nonzero((matched >= 0) & spec_sample.used))
    photo_range, nz, classes = _photo_numbers(photo_sample, error, how)
    spec_nz = _spec_numbers(spec_sample, how)
    wanted = how.redshift_range
    if wanted is None:
        low, high = nz.quantile([_BEYOND, 1 - _BEYOND])
        wanted = float(low), float(high)
    return {
        "photo": photo_sample.sky, "spec": spec_sample.sky, "error": error, "footprint": area,
        "spec_footprint": spec_area, "nz": nz, "spec_nz": spec_nz, "classes": classes,
        "cosmology": cosmology, "photo_range": photo_range, "redshift_range": wanted,
        "matched": matched, "num_both": num_both, "photo_weights": photo_sample.weights,
        "spec_weights": spec_sample.weights, "photo_cut": photo_sample.cut,
        "redshift_space": how.redshift_space, "metadata": about,
    }  # fmt: skip


def _randoms_differences(
    photo: _Sample, spec: _Sample, error: RedshiftError, how: SkyDetails
) -> dict[str, float]:
    """How far N(z) of randoms is from that of the galaxies, by sample; see `check_randoms`."""
    found = {
        "photo_randoms_difference": check_randoms(
            photo.footprint, photo.sky, error, name="photo", option="footprint",
            is_cut=photo.cut is not None,
        ),
    }  # fmt: skip
    if how.spec_footprint is not None:
        found["spec_randoms_difference"] = check_randoms(
            spec.footprint, spec.sky, None, name="spec", option="spec_footprint",
            is_cut=spec.cut is not None or bool(how.spec_cut),
        )  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def _check_choices(
    spec: Any, sigma_z: float | None, match_id: str | None, overlap: Any, how: SkyDetails
) -> None:
    """Raise an error unless one way of each kind is given."""
    errors = {"sigma_z": sigma_z, "sigma_z_column": how.sigma_z_column,
              "z_err_column": how.z_err_column}  # fmt: skip
    given = [name for name, value in errors.items() if value is not None]
    if len(given) != 1:
        listed = "and ".join(f"{name} " for name in given) or "none "
        raise ValueError(
            f"the photo-z error must be given once, by sigma_z, sigma_z_column or z_err_column, "
            f"and {listed}is given"
        )
    ways = {"match_id": match_id, "match_radius": how.match_radius, "overlap": overlap}
    given = [name for name, value in ways.items() if value is not None]
    if spec is None:
        if how.spec_z_column is None:
            raise ValueError(
                "spec is missing: give the spectroscopic catalogue, or spec_z_column, the column "
                "of photo with the redshifts that are known"
            )
        if given:
            raise ValueError(f"{given[0]} is for two catalogues: leave it out with spec_z_column")
        return
    if how.spec_z_column is not None:
        raise ValueError(
            f"spec_z_column {how.spec_z_column!r} is for one catalogue of both surveys: leave it "
            "or spec out"
        )
    if len(given) != 1:
        raise ValueError(
            "give one of match_id, the columns that name a galaxy in both catalogues, "
            "match_radius in arcsec, and overlap: nested, disjoint or a fraction"
        )


def _photo_sample(
    photo: Any, area: Footprint, match_id: str | None, how: SkyDetails
) -> _Sample:  # fmt: skip
    errors = ErrorColumns.of(how.z_err_column).names if how.z_err_column else ()
    optional = [how.spec_z_column, how.sigma_z_column, *errors, how.weight_column]
    if isinstance(how.outlier_fraction, str):
        optional.append(how.outlier_fraction)
    names = [*how.photo_columns, *(name for name in optional if name is not None)]
    names += id_columns(match_id)[1] if match_id else []
    spec_cut = how.spec_cut if how.spec_z_column is not None else ()
    names += Selection(cuts=(*how.photo_cut, *spec_cut)).columns
    table = SkyTable.of(photo, names, "photo")
    numbers = [how.photo_columns[2], how.spec_z_column, how.sigma_z_column, *errors]
    table = table.without(how.stand_ins, numbers)
    sky = sky_coordinates(
        table.catalog, how.photo_columns, ra_unit=how.ra_unit, dec_unit=how.dec_unit,
        frame=how.photo_frame or how.frame, name="photo",
    )  # fmt: skip
    weights = table.weights(how.weight_column, "weight_column")
    return _cut(_Sample(table, sky, area, weights), how.photo_cut, "photo")


def _spec_sample(spec: Any, area: Footprint, match_id: str | None, how: SkyDetails) -> _Sample:
    names = [*how.sky, *([how.spec_weight_column] if how.spec_weight_column else [])]
    names += id_columns(match_id)[0] if match_id else []
    names += Selection(cuts=tuple(how.spec_cut)).columns
    table = SkyTable.of(spec, names, "spec").without(how.stand_ins, how.sky[2:])
    sky = sky_coordinates(
        table.catalog, how.sky, ra_unit=how.ra_unit, dec_unit=how.dec_unit, frame=how.frame,
        name="spec",
    )  # fmt: skip
    weights = table.weights(how.spec_weight_column, "spec_weight_column")
    return _cut(_Sample(table, sky, area, weights), how.spec_cut, "spec")


def _cut(sample: _Sample, cuts: Sequence[str], name: str) -> _Sample:
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


def _spec_of_photo(
    photo: _Sample, area: Footprint, how: SkyDetails
) -> tuple[_Sample, NDArray[np.int64]]:
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
    return _Sample(table, part, area, weights), rows


def _errors(
    photo: _Sample, sigma_z: float | None, how: SkyDetails
) -> tuple[RedshiftError, _Sample]:
    """The photo-z errors; galaxies without a usable one have no photo-z in the sample returned."""
    sky = photo.sky
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


def _photo_numbers(
    photo: _Sample, error: RedshiftError, how: SkyDetails
) -> tuple[tuple[float, float], NumberDensity, tuple[ErrorClass, ...]]:
    """Range of the photo-z, N(z), and the classes of errors with their own."""
    used = np.flatnonzero(photo.used)
    z = photo.sky.redshift[used]
    weights = None if photo.weights is None else photo.weights[used]
    limits = how.photo_range
    if limits is None:
        limits = (float(z.min()), float(z.max())) if len(z) else (0.0, 1.0)
    options: dict[str, Any] = {"weights": weights, "z_range": limits, "name": "photo"}
    if error.num_galaxies is None:
        nz = fit_number_density(z, error=error, **options)
        classes = [ErrorClass(used, error, nz)]
    else:
        own = error.take(used)
        sigma = np.broadcast_to(own.sigma_z, len(used))
        nz, found = fit_error_classes(z, sigma, error=own, **options)
        classes = [replace(one, rows=used[one.rows]) for one in found]
    if how.nz is not None:
        given = _given_numbers(how.nz, "nz")
        # The classes share it as they share the fitted one.
        shares = [replace(one, density=_share(one.density, nz, given)) for one in classes]
        seen = sum(float(one.density.observed(limits, one.error)[0]) for one in shares)
        if not seen > 0:
            raise ValueError("nz has no galaxies where the photo survey has: correct it")
        factor = photo.total / seen
        classes = [replace(one, density=one.density.scaled(factor * one.density.total))
                   for one in shares]  # fmt: skip
        nz = given.scaled(factor * given.total)
        widest = replace(error, sigma_z=float(np.sqrt(np.mean(np.square(error.sigma_z)))),
                         outlier_fraction=float(np.mean(error.outlier_fraction)))  # fmt: skip
        nz.check_matches(z, widest, name="photo")
    return limits, nz, tuple(classes)


def _share(own: NumberDensity, whole: NumberDensity, given: NumberDensity) -> NumberDensity:
    """A given N(z) times the share of a class in a fitted one."""
    nodes = np.union1d(given.redshift, own.redshift)
    nodes = nodes[(nodes >= given.redshift[0]) & (nodes <= given.redshift[-1])]
    inside = np.clip(nodes, own.redshift[0], own.redshift[-1])
    total = whole(inside)
    overall = own.total / whole.total
    share = np.divide(own(inside), total, out=np.full(len(nodes), overall), where=total > 0)
    return NumberDensity(nodes, given(nodes) * share)


def _spec_numbers(spec: _Sample, how: SkyDetails) -> NumberDensity:
    """N(z) of the spectroscopic survey."""
    used = spec.used
    z = spec.sky.redshift[used]
    if how.spec_nz is None:
        weights = None if spec.weights is None else spec.weights[used]
        return fit_number_density(z, weights=weights, name="spec")
    nz = _given_numbers(how.spec_nz, "spec_nz")
    nz.check_matches(z, RedshiftError(0.0), name="spec", option="spec_nz")
    return nz.scaled(spec.total)


def _given_numbers(value: Any, option: str) -> NumberDensity:
    if isinstance(value, NumberDensity):
        return value
    return read_number_density(value, option=option)
