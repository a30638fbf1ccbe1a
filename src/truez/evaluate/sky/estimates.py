"""What may be judged on the sky: fields, catalogues of redshifts, and what they are compared with.

A field is compared with the photo-z and N(z) alone, whose intensity is 1, and with the linear
optimum of the spectroscopic survey and of both, made on the same patches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from truez.catalogs.catalog import Catalog
from truez.mesh.field_file import read_header
from truez.sky.field import FORMAT, SkyField
from truez.sky.mock import SkyMock
from truez.sky.patches import PatchSettings
from truez.sky.plan import plan
from truez.sky.reconstruct import reconstruct
from truez.sky.registry import METHODS
from truez.sky.surveys import SkySurveys
from truez.support.progress import Progress, silent

Array = NDArray[np.float64]
#: Fields that every evaluation has, in this order: the photometric survey as it is, its photo-z
#: with N(z) alone, and the linear optimum of the spectroscopic survey and of both.
PHOTO, EVEN, LINEAR = "photo", "photo-z", ("wiener-spec", "wiener")
#: What a field and the mock must agree on: a key of its metadata, and words.
_SAME = {"num_photo": "photometric galaxies", "num_spec": "spectroscopic galaxies",
         "sigma_z": "a photo-z error of"}  # fmt: skip
#: Share of the galaxies of a mock that its field holds at least.
_MOST_BEYOND = 0.1


@dataclass(frozen=True, eq=False)
class SkyRedshifts:
    """Redshifts of a catalogue, row by row those of a mock; nan where there are none.

    Parameters
    ----------
    median, low, high : (n,) arrays
        And the ends of the central 68%.
    draws : (m, n) array
        Drawn from the posteriors; none where m is 0.
    """

    median: Array
    low: Array
    high: Array
    draws: Array

    @classmethod
    def of(cls, catalog: Catalog, mock: SkyMock, name: str) -> SkyRedshifts:
        """The columns that ``truez redshifts`` adds, with any prefix.

        Raises
        ------
        ValueError
            If they are not there, or the catalogue is of other galaxies.
        """
        ends = [column for column in catalog.columns if column.endswith("z_median")]
        if len(ends) != 1:
            raise ValueError(
                f"{name} has {len(ends)} columns z_median: give a catalogue of truez redshifts"
            )
        prefix = ends[0].removesuffix("z_median")
        wanted = [f"{prefix}{end}" for end in ("z_median", "z_lo", "z_hi")]
        lost = [column for column in wanted if column not in catalog.columns]
        if lost:
            raise ValueError(f"{name} has no column {lost[0]}: give one of truez redshifts")
        same = "id" in catalog.columns and np.array_equal(np.asarray(catalog["id"]), mock.ids)
        if not same:
            raise ValueError(
                f"{name} is a catalogue of other galaxies than the mock: give its own redshifts"
            )
        median, low, high = (_numbers(catalog, column) for column in wanted)
        draws = [_numbers(catalog, c) for c in catalog.columns if c.startswith(f"{prefix}z_draw_")]
        return cls(median, low, high, np.array(draws).reshape(len(draws), len(mock.ids)))


def _numbers(catalog: Catalog, column: str) -> Array:
    """A column as numbers, nan where there is none."""
    return np.asarray(np.ma.filled(np.ma.asarray(catalog[column], np.float64), np.nan))


#: A field, or the file of one, or of a catalogue of redshifts.
Estimate = SkyField | SkyRedshifts | Path


def read_estimate(name: str, estimate: Estimate, mock: SkyMock) -> SkyField | SkyRedshifts:
    """A field or redshifts of a mock, which files are read for.

    Raises
    ------
    ValueError
        If it is neither, or that of other surveys.
    """
    found: object = estimate
    if isinstance(estimate, Path):
        if is_sky_field(estimate):
            found = SkyField.read(estimate)
        elif is_box_field(estimate):
            raise ValueError(
                f"{estimate} is a field in a box, and the mock is on the sky: give a field of "
                "truez reconstruct of this mock"
            )
        else:
            found = SkyRedshifts.of(Catalog.read(estimate), mock, str(estimate))
    if isinstance(found, SkyField):
        check_field(name, found, mock)
        return found
    if not isinstance(found, SkyRedshifts):
        raise ValueError(f"{name} must be a field on the sky, not {type(found).__name__}")
    return found


def is_sky_field(path: str | Path) -> bool:
    """Whether a file is a field on the sky."""
    if not (Path(path).is_file() and h5py.is_hdf5(path)):
        return False
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format", "") == FORMAT)
    except (OSError, UnicodeDecodeError):
        return False


def is_box_field(path: str | Path) -> bool:
    """Whether a file is a field in a box."""
    try:
        read_header(path)
    except (ValueError, OSError):
        return False
    return True


def check_field(name: str, field: SkyField, mock: SkyMock) -> None:
    """Refuse a field of other surveys than those of a mock.

    Raises
    ------
    ValueError
    """
    metadata, own = field.metadata, mock.surveys.describe()
    if metadata.get("mock", mock.fingerprint) != mock.fingerprint:
        raise ValueError(f"{name} is an estimate of another mock than this one: give its own")
    for key, words in _SAME.items():
        there = metadata.get(key, own[key])
        if not np.isclose(there, own[key], rtol=1e-6):
            raise ValueError(
                f"{name} was made of other surveys than this mock's, with {words} {there:g} "
                f"instead of {own[key]:g}: give the field of this mock"
            )
    surveys = mock.surveys
    rows = np.flatnonzero(surveys.usable)
    rows = rows[:: max(len(rows) // 5000, 1)]
    sky = surveys.photo
    beyond = field.patch_of(sky.ra[rows], sky.dec[rows], np.full(len(rows), np.mean(reach(field))))
    if np.mean(beyond < 0) > _MOST_BEYOND:
        raise ValueError(f"{name} covers another part of the sky than this mock: give its own")


def reach(field: SkyField) -> tuple[float, float]:
    """Redshifts between which the cores of a field lie."""
    distances = field.cosmology.distances
    near, far = field.layout.distances
    return float(distances.redshift(near)), float(distances.redshift(far))


def even(field: SkyField) -> SkyField:
    """The same patches with an intensity of 1, that of the photo-z and N(z) alone."""
    patches = [
        replace(patch, sigma=None, intensity=torch.ones(patch.box.meshsize), pairs=None)
        for patch in field
    ]
    return SkyField(tuple(patches), field.cosmology, {"method": EVEN})


def patch_settings(field: SkyField) -> PatchSettings:
    """How the sky was cut for a field: cells, and chi_ref of a field of one shell."""
    outlines = field.layout.outlines
    box = outlines[0].box
    single = len({outline.near for outline in outlines}) == 1
    return PatchSettings(cellsize=float(box.cellsize[2]), chi_ref=box.chi_ref if single else None)


def surveys_of(field: SkyField, mock: SkyMock) -> SkySurveys:
    """The surveys of a mock with the redshifts of a field's map."""
    limits = field.metadata.get("redshift_range")
    known = mock.surveys
    if limits is None or tuple(limits) == tuple(known.redshift_range):
        return known
    return known.with_redshift_range(float(limits[0]), float(limits[1]))


def linear_optimum(
    method: str,
    mock: SkyMock,
    like: SkyField | None,
    *,
    progress: Progress = silent,
) -> SkyField:
    """The Wiener filter of a mock, on patches like those of a field.

    Parameters
    ----------
    method : str
        One of `LINEAR`.
    mock : SkyMock
    like : SkyField, optional
        With usual patches where there is none.
    progress : Progress
    """
    if like is None:
        return reconstruct(mock.surveys, method, progress=progress)
    surveys = surveys_of(like, mock)
    patches = plan(surveys, patch_settings(like), method=method)
    return reconstruct(surveys, method, patches=patches, progress=progress)


def made_again(field: SkyField, mock: SkyMock, *, progress: Progress = silent) -> SkyField:
    """The estimate that a field's method and settings make of another mock on the same sky.

    Raises
    ------
    ValueError
        If its method is unknown.
    """
    method = field.metadata.get("method")
    if method not in METHODS:
        raise ValueError(
            f"the null test must refit everything, and the method {method!r} is unknown: leave out "
            "null"
        )
    settings: Mapping[str, Any] = field.metadata.get("settings", {})
    surveys = surveys_of(field, mock)
    patches = plan(surveys, patch_settings(field), method=method)
    return reconstruct(surveys, method, patches=patches, progress=progress, **settings)


def absent_baselines(methods: Iterable[str]) -> list[str]:
    """The linear methods that are not among those of the fields."""
    made = set(methods)
    return [method for method in LINEAR if method not in made]
