"""Surveys in a box from catalogues: what `Surveys.from_catalogs` reads, cuts and matches."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truez.catalogs import vectors
from truez.catalogs.catalog import Catalog
from truez.catalogs.given import as_catalog, ids_of
from truez.cosmology import Cosmology, check_redshift
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.support.checks import check_type, shown
from truez.support.notes import Note
from truez.surveys.agreement import empty_part, too_few_in_both
from truez.surveys.details import SurveyDetails, passing
from truez.surveys.matching import count_overlap, match_ids
from truez.surveys.photoz import LARGEST_SIGMA_Z, PhotozError
from truez.surveys.redshift_error import check_errors

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Sample:
    """What is read of a catalogue: positions, ids, the numbers of each galaxy, its rows."""

    positions: NDArray[np.floating[Any]]
    ids: NDArray[Any] | None
    numbers: Mapping[str, Array]
    about: Mapping[str, Any]
    kept: NDArray[np.bool_] | None


def surveys_from_catalogs(
    *,
    spec: Any,
    photo: Any,
    box: Box,
    redshift: float,
    sigma_z: float | None,
    match_id: str | None,
    overlap: str | float | None,
    cosmology: Cosmology,
    how: SurveyDetails,
) -> dict[str, Any]:
    """The arguments of `Surveys`; see its ``from_catalogs``."""
    check_type(how, SurveyDetails, "details", "truez.SurveyDetails(positions=...)")
    check_type(box, Box, "box", "truez.Box(boxsize, cellsize=...)")
    if (match_id is None) == (overlap is None):
        raise ValueError(
            "give either match_id, the column that names a galaxy in both catalogues, or "
            "overlap: nested, disjoint or a fraction"
        )
    _check_error(sigma_z, how)
    check_redshift(redshift)
    samples = {
        name: _sample(value, name, match_id, how)
        for name, value in (("spec", spec), ("photo", photo))
    }
    about = {key: value for one in samples.values() for key, value in one.about.items()}
    ours, theirs = samples["spec"], samples["photo"]
    matched = None
    if match_id is None:
        num_both = count_overlap(len(ours.positions), str(overlap))
        across = ours.positions[:, :2], theirs.positions[:, :2]
        if note := too_few_in_both(*across, num_both, overlap):
            warnings.warn(note, Note, stacklevel=3)
    else:
        assert ours.ids is not None
        assert theirs.ids is not None
        matches = match_ids(ours.ids, theirs.ids, column=match_id)
        num_both, matched = float(matches.num_both), matches.rows
        about["spec_without_id"] = matches.spec_without_id
        about["photo_without_id"] = matches.photo_without_id
    sigma, own = _errors(sigma_z, theirs, cosmology, redshift, how)
    result = {
        "spec": ours.positions,
        "photo": theirs.positions,
        "box": box,
        "error": PhotozError(sigma, how.outlier_fraction),
        "num_both": num_both,
        "matched": matched,
        "cosmology": cosmology,
        "redshift": redshift,
        "redshift_space": how.redshift_space,
        "photo_bounds": how.photo_bounds,
        "photo_sigma": own,
        "photo_weights": theirs.numbers.get("weight_column"),
        "spec_weights": ours.numbers.get("spec_weight_column"),
        "photo_kept": theirs.kept,
    }
    for name in ("expected_spec", "expected_photo"):
        result[name], more = _expected(getattr(how, name), name)
        about |= more
    if result["expected_photo"] is None and (note := empty_part(theirs.positions, box)):
        warnings.warn(note, Note, stacklevel=3)
    return {
        **result,
        "metadata": {
            **about,
            "sigma_z": sigma_z,
            "match_id": match_id,
            "overlap": None if overlap is None else str(overlap),
            "length_unit": how.length_unit,
            "los": how.los,
        },
    }


def _check_error(sigma_z: float | None, how: SurveyDetails) -> None:
    """Raise an error unless the photo-z error is given in one way."""
    ways = {"sigma_z": sigma_z, "sigma_z_column": how.sigma_z_column,
            "z_err_column": how.z_err_column}  # fmt: skip
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        raise ValueError(
            "the photo-z error must be given once, by sigma_z, sigma_z_column or z_err_column, "
            f"and {' and '.join(given)} are given"
        )
    if how.sigma_z_column or how.z_err_column:
        return
    if not (isinstance(sigma_z, int | float) and 0 <= sigma_z <= LARGEST_SIGMA_Z):
        raise ValueError(
            f"sigma_z must be a number from 0 to {LARGEST_SIGMA_Z:g}, not {shown(sigma_z)}"
        )


def _sample(given: Any, name: str, match_id: str | None, how: SurveyDetails) -> _Sample:
    """A sample of a catalogue."""
    columns, properties, cuts = how.columns(name), how.properties(name), how.cuts(name)
    stored = isinstance(given, str | Path)
    needed = list(dict.fromkeys([*columns, *properties, *cuts.columns]))
    # A column in memory is read by itself, as its missing values are no error.
    if stored and match_id is not None:
        needed.append(match_id)
    about: dict[str, Any] = {name: str(given) if stored else type(given).__name__}
    catalog = as_catalog(given, needed, name=name, keep_missing=how.drop_missing)
    kept = np.ones(len(catalog), dtype=bool)
    try:
        for column, option in properties.items():
            if column not in catalog.columns:
                raise ValueError(
                    f"there is no column {column!r} for {option}: choose one of "
                    f"{', '.join(list(catalog.columns)[:8])}"
                )
        named = None
        if match_id is not None:
            named = ids_of(catalog if stored else given, match_id, name="the catalogue")
        if how.drop_missing:
            kept = how.whole_rows(catalog, name, named)
            about[f"{name}_dropped"] = int(np.count_nonzero(~kept))
            catalog, named = _chosen(catalog, named, kept)
        if cuts.cuts:
            rows = passing(catalog, cuts.cuts, name)
            about[f"{name}_cut"] = int(np.count_nonzero(~rows))
            catalog, named = _chosen(catalog, named, rows)
            kept[kept] = rows
        positions = how.positions_of(catalog, name)
        numbers = {
            option: _numbers(catalog, column, option) for column, option in properties.items()
        }
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return _Sample(positions, named, numbers, about, kept if cuts.cuts else None)


def _chosen(
    catalog: Catalog, ids: NDArray[Any] | None, rows: NDArray[np.bool_]
) -> tuple[Catalog, NDArray[Any] | None]:
    return catalog.select(rows), None if ids is None else ids[rows]


def _numbers(catalog: Catalog, column: str, option: str) -> Array:
    """A column of numbers, which are weights or errors."""
    values = vectors.floats(catalog.columns, column).astype(np.float64)
    if not option.endswith("weight_column"):
        return values
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any() or not values.any():
        raise ValueError(
            f"{option} {column!r} must hold finite weights >= 0, not all 0, but does not in "
            f"{np.count_nonzero(bad) or len(values)} of {values.size} rows: leave those rows out"
        )
    return values


def _errors(
    sigma_z: float | None, photo: _Sample, cosmology: Cosmology, redshift: float, how: SurveyDetails
) -> tuple[float, Array | None]:
    """The photo-z error, and that of each galaxy where a column has it [Mpc/h]."""
    if sigma_z is not None:
        return cosmology.distance_error(sigma_z * (1 + redshift), redshift), None
    name = "sigma_z_column" if how.sigma_z_column else "z_err_column"
    values = check_errors(photo.numbers[name], f"{name} {getattr(how, name)!r} of photo")
    scale = cosmology.distance_error(1.0, redshift)
    own = values * scale * (1 + redshift if how.sigma_z_column else 1)
    return float(np.sqrt(np.mean(own**2))), own


def _expected(given: Any, name: str) -> tuple[Field | None, dict[str, Any]]:
    """A field of expected counts, and what the metadata say of it."""
    if given is None:
        return None, {}
    field = given
    if isinstance(given, str | Path):
        try:
            field = Field.read(given)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    about: dict[str, Any] = {name: str(given) if isinstance(given, str | Path) else "Field"}
    if isinstance(field, Field) and field.kind == "counts":
        about[f"{name}_sum"] = float(field.values.double().sum())
    return field, about
