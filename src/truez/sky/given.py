"""Surveys on the sky from catalogues: what `SkySurveys.from_catalogs` reads, matches and fits."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.cosmology import Cosmology
from truez.sky.agreement import (
    check_areas,
    check_pairs,
    check_randoms,
    check_redshifts,
)
from truez.sky.columns import matches_by_id
from truez.sky.details import SkyDetails
from truez.sky.pdf_agreement import check_prior
from truez.sky.photo_errors import photo_errors
from truez.sky.samples import Sample, read_photo, read_spec, spec_in_photo
from truez.support.notes import Note
from truez.surveys.agreement import too_few_in_both
from truez.surveys.footprint_input import footprint_of
from truez.surveys.matching import count_overlap, match_positions
from truez.surveys.nz import NumberDensity, read_number_density
from truez.surveys.nz_fit import ErrorClass, fit_error_classes, fit_number_density
from truez.surveys.pdfs.classes import SOME, PdfClassRule, classes_of_sample
from truez.surveys.pdfs.number_density import density_of_sample
from truez.surveys.pdfs.sample import LikelihoodSample
from truez.surveys.redshift_error import RedshiftError

Array = NDArray[np.float64]
#: Share of the galaxies beyond either end of the default range of the map.
_BEYOND = 5e-4


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
    photo_sample = read_photo(photo, area, match_id, how)
    error, photo_sample = photo_errors(photo_sample, sigma_z, how)
    if spec is None:
        spec_sample, matched = spec_in_photo(photo_sample, spec_area, how)
    else:
        spec_sample, matched = read_spec(spec, spec_area, match_id, how), None
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
        rows_of_pdf = photo_sample.pdfs is not None and how.pdf_id is None
        check_pairs(
            photo_sample.sky, spec_sample.sky, matched, error,
            "spec_z_column" if spec is None else way,
            other=", or give pdf_id where p(z) are in another order" if rows_of_pdf else "",
        )  # fmt: skip
    if matched is not None and photo_sample.cut is not None:
        matched = np.where(photo_sample.cut[matched] & (matched >= 0), -1, matched)
    for name, one in (("spec_cut", spec_sample), ("photo_cut", photo_sample)):
        if one.cut is not None:
            about[name] = int(one.cut.sum())
    used = int(spec_sample.used.sum())
    if matched is None:
        num_both = count_overlap(used, str(overlap))
        spec_places, photo_places = (
            np.stack([one.sky.ra, one.sky.dec], axis=1)[one.used]
            for one in (spec_sample, photo_sample)
        )
        if note := too_few_in_both(spec_places, photo_places, num_both, overlap):
            warnings.warn(note, Note, stacklevel=3)
    else:
        num_both = float(np.count_nonzero((matched >= 0) & spec_sample.used))
    photo_range, nz, classes, rule, more = _photo_numbers(photo_sample, error, how)
    about |= more
    spec_nz = _spec_numbers(spec_sample, how)
    if photo_sample.pdfs is not None and matched is not None:
        ours = np.flatnonzero((matched >= 0) & spec_sample.sky.has_redshift)
        about["pdf_prior_check"] = check_prior(
            photo_sample.pdfs.pdfs, matched[ours], spec_sample.sky.redshift[ours], nz, spec_nz
        )
    wanted = how.redshift_range
    if wanted is None:
        low, high = nz.quantile([_BEYOND, 1 - _BEYOND])
        wanted = float(low), float(high)
    return {
        "photo": photo_sample.sky, "spec": spec_sample.sky, "error": error, "footprint": area,
        "spec_footprint": spec_area, "nz": nz, "spec_nz": spec_nz, "classes": classes,
        "class_rule": rule,
        "cosmology": cosmology, "photo_range": photo_range, "redshift_range": wanted,
        "matched": matched, "num_both": num_both, "photo_weights": photo_sample.weights,
        "spec_weights": spec_sample.weights, "photo_cut": photo_sample.cut,
        "pdfs": None if photo_sample.pdfs is None else photo_sample.pdfs.pdfs,
        "redshift_space": how.redshift_space, "metadata": about,
    }  # fmt: skip


def _randoms_differences(
    photo: Sample, spec: Sample, error: RedshiftError, how: SkyDetails
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
              "z_err_column": how.z_err_column, "pdf": how.pdf}  # fmt: skip
    given = [name for name, value in errors.items() if value is not None]
    if len(given) != 1:
        listed = f"{' and '.join(given)} are" if given else "none is"
        raise ValueError(
            "the photo-z error must be given once, by sigma_z, sigma_z_column, z_err_column or "
            f"pdf, and {listed} given"
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


def _photo_numbers(
    photo: Sample, error: RedshiftError, how: SkyDetails
) -> tuple[
    tuple[float, float], NumberDensity, tuple[ErrorClass, ...], PdfClassRule | None, dict[str, Any]
]:  # fmt: skip
    """Range of the photo-z, N(z), the classes of errors and their rule, and what was found."""
    used = np.flatnonzero(photo.used)
    z = photo.sky.redshift[used]
    weights = None if photo.weights is None else photo.weights[used]
    limits = how.photo_range
    if limits is None:
        limits = (float(z.min()), float(z.max())) if len(z) else (0.0, 1.0)
    options: dict[str, Any] = {"weights": weights, "z_range": limits, "name": "photo"}
    given = None if how.nz is None else _given_numbers(how.nz, "nz")
    about: dict[str, Any] = {}
    rule: PdfClassRule | None = None
    if photo.pdfs is not None:
        pdfs, summary = photo.pdfs.pdfs, photo.pdfs.summary
        if given is None:
            # N(z) and the classes are of one sample: in a large file that is a pass through it.
            sample = LikelihoodSample.of(pdfs, summary, used, z, **options)
            nz = density_of_sample(sample, pdfs, summary, used, z, weights)
        else:
            nz = given.scaled(photo.total)
            sample = LikelihoodSample.of(pdfs, summary, used, z, most=SOME, **options)
        classes, loss, rule = classes_of_sample(sample, pdfs, summary, used, nz, weights)
        about = {**photo.pdfs.metadata, "pdf_classes": len(classes), "pdf_class_loss": loss}
    elif error.num_galaxies is None:
        nz = fit_number_density(z, error=error, **options)
        classes = [ErrorClass(used, error, nz)]
    else:
        own = _least_varying(error.take(used), z)
        sigma = np.broadcast_to(own.sigma_z, len(used))
        nz, found = fit_error_classes(z, sigma, error=own, **options)
        classes = [replace(one, rows=used[one.rows]) for one in found]
    if given is not None:
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
    elif nz.fit is not None:
        nz.fit.note("photo", "nz")
    return limits, nz, tuple(classes), rule, about


def _least_varying(error: RedshiftError, redshift: Array) -> RedshiftError:
    """Absolute errors, or the same over 1 + z where these differ less from galaxy to galaxy.

    The share of a class at a redshift says more of a galaxy than its own error only where the class
    does not follow from the photo-z itself, as those of errors that grow with 1 + z would.
    """
    if not error.absolute:
        return error
    sigma = np.broadcast_to(error.sigma_z, redshift.shape)
    relative = sigma / (1 + redshift)
    if np.std(np.log(relative)) >= np.std(np.log(sigma)):
        return error
    return replace(error, sigma_z=relative, absolute=False)


def _share(own: NumberDensity, whole: NumberDensity, given: NumberDensity) -> NumberDensity:
    """A given N(z) times the share of a class in a fitted one."""
    nodes = np.union1d(given.redshift, own.redshift)
    nodes = nodes[(nodes >= given.redshift[0]) & (nodes <= given.redshift[-1])]
    inside = np.clip(nodes, own.redshift[0], own.redshift[-1])
    total = whole(inside)
    overall = own.total / whole.total
    share = np.divide(own(inside), total, out=np.full(len(nodes), overall), where=total > 0)
    return NumberDensity(nodes, given(nodes) * share)


def _spec_numbers(spec: Sample, how: SkyDetails) -> NumberDensity:
    """N(z) of the spectroscopic survey."""
    used = spec.used
    z = spec.sky.redshift[used]
    if how.spec_nz is None:
        weights = None if spec.weights is None else spec.weights[used]
        nz = fit_number_density(z, weights=weights, name="spec")
        if nz.fit is not None:
            nz.fit.note("spec", "spec_nz")
        return nz
    nz = _given_numbers(how.spec_nz, "spec_nz")
    nz.check_matches(z, RedshiftError(0.0), name="spec", option="spec_nz")
    return nz.scaled(spec.total)


def _given_numbers(value: Any, option: str) -> NumberDensity:
    if isinstance(value, NumberDensity):
        return value
    return read_number_density(value, option=option)
