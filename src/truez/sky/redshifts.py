"""Sharpened redshifts of galaxies on the sky, from the intensity on the patches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.sightlines.posteriors import Posteriors, random_shares, walk_rows
from truez.sightlines.sharpened import check_interval
from truez.sky.field import SkyField, SkyPatch, grown
from truez.sky.patch_data import PatchData, sight_line_of
from truez.sky.surveys import SkySurveys
from truez.support.progress import Progress, silent

Array = NDArray[np.float64]
#: Bits of the flag of a galaxy.
OUTSIDE, BEYOND, EDGE, NO_PHOTO_Z, NO_POSTERIOR, CUT = 1, 2, 4, 8, 16, 32
#: What they mean, for metadata and documents.
FLAGS = {
    OUTSIDE: "outside the footprint",
    BEYOND: "photo-z beyond the map",
    EDGE: "at an edge or a hole of the footprint",
    NO_PHOTO_Z: "no usable photo-z",
    NO_POSTERIOR: "no posterior: no galaxies are expected where its photo-z allows it to be",
    CUT: "left out by a cut of the sample (photo_cut)",
}
#: Columns that are nan for galaxies without a posterior.
COLUMNS = ("z_mean", "z_median", "z_mode", "z_std", "z_lo", "z_hi", "information_gain",
           "log_evidence")  # fmt: skip


def walk_patch(
    data: PatchData, intensity: Tensor, rows: NDArray[np.int64], progress: Progress = silent
) -> Iterator[Posteriors]:
    """Posteriors of photometric galaxies on the sight lines of a box.

    The rows of the posteriors are places in ``rows``.
    """
    return walk_rows(
        data.box, data.places(rows), lambda some: data.likelihood(rows[some]),
        intensity=intensity, expected=data.expected_unknown(), progress=progress,
    )  # fmt: skip


def sharpened(
    field: SkyField, surveys: SkySurveys, *, interval: float = 0.68, progress: Progress = silent
) -> dict[str, NDArray[Any]]:
    """Columns of sharpened redshifts, row by row those of ``surveys.photo``.

    Parameters
    ----------
    field : SkyField
        With intensities.
    surveys : SkySurveys
        Those that were reconstructed.
    interval : float
        Share of the posterior between z_lo and z_hi.
    progress : Progress

    Returns
    -------
    dict of (n_p,) arrays
        z_phot, `COLUMNS`, spec_matched and flag.
    """
    check_interval(interval)
    num = len(surveys.photo)
    columns: dict[str, NDArray[Any]] = {"z_phot": surveys.photo.redshift.copy()}
    columns |= {name: np.full(num, np.nan) for name in COLUMNS}
    patch_of = _patches_of(field, surveys)
    flag = np.zeros(num, dtype=np.int16)
    flag[surveys.outside] |= OUTSIDE
    cut = np.zeros(num, dtype=bool) if surveys.photo_cut is None else surveys.photo_cut
    flag[cut] |= CUT
    flag[~surveys.photo.has_redshift & ~cut] |= NO_PHOTO_Z
    flag[surveys.usable & (patch_of < 0)] |= BEYOND
    shares = torch.tensor([0.5 - interval / 2, 0.5, 0.5 + interval / 2])
    for number, patch in enumerate(field):
        rows = np.flatnonzero(patch_of == number)
        if not len(rows):
            continue
        data = PatchData(surveys, patch.box)
        flag[rows[_at_edge(patch, data.places(rows))]] |= EDGE
        rows = rows[surveys.unknown[rows]]
        for some in walk_patch(data, _intensity(patch), rows, progress):
            for name, values in _summary(some, patch, shares).items():
                columns[name][rows[some.rows]] = values
    known, matched = surveys.matched_pairs
    lost = surveys.unknown & (patch_of >= 0) & np.isnan(columns["z_mean"])
    flag[lost] |= NO_POSTERIOR
    for name in ("z_mean", "z_median", "z_mode", "z_lo", "z_hi"):
        columns[name][matched] = surveys.spec.redshift[known]
    columns["z_std"][matched] = 0.0
    spec_matched = np.zeros(num, dtype=bool)
    spec_matched[matched] = True
    return {**columns, "spec_matched": spec_matched, "flag": flag}


def drawn(field: SkyField, surveys: SkySurveys, n: int, seed: int, progress: Progress) -> Array:
    """Redshifts drawn from the posteriors, shape (n, n_p), from the seeds (seed, i)."""
    num = len(surveys.photo)
    result = np.full((n, num), np.nan)
    generators = [np.random.default_rng([seed, i]) for i in range(n)]
    shares = [random_shares(generator, num) for generator in generators]
    patch_of = _patches_of(field, surveys)
    for number, patch in enumerate(field):
        rows = np.flatnonzero((patch_of == number) & surveys.unknown)
        for some in walk_patch(PatchData(surveys, patch.box), _intensity(patch), rows, progress):
            galaxies = rows[some.rows]
            places = some.quantile(torch.stack([share[galaxies] for share in shares], dim=1))
            result[:, galaxies] = _redshift(places, patch).T
    known, matched = surveys.matched_pairs
    result[:, matched] = surveys.spec.redshift[known]
    return result


def _patches_of(field: SkyField, surveys: SkySurveys) -> NDArray[np.int64]:
    """Patch of each photometric galaxy, -1 for those that take no part or are beyond the map."""
    sky = surveys.photo
    return field.patch_of(sky.ra, sky.dec, np.where(surveys.usable, sky.redshift, np.nan))


def _intensity(patch: SkyPatch) -> Tensor:
    if patch.intensity is None:
        raise ValueError(
            "this field moves no galaxies and has no intensity: redshifts need the method "
            "redistribution"
        )
    return patch.intensity


def _at_edge(patch: SkyPatch, places: Array) -> NDArray[np.bool_]:
    """Which places are on sight lines next to one that is not half as complete as most."""
    covered = patch.completeness > 0
    empty = patch.completeness < 0.5 * np.median(patch.completeness[covered])
    return np.asarray(grown(empty)[sight_line_of(patch.box, places)])


def _redshift(places: Tensor, patch: SkyPatch) -> Array:
    """Redshifts of places along sight lines [cells from the lower face]."""
    edges = patch.box.redshift_edges
    return np.asarray(np.interp(places.double().numpy(), np.arange(len(edges)), edges))


def _summary(some: Posteriors, patch: SkyPatch, shares: Tensor) -> dict[str, Array]:
    """Summary statistics of posteriors in redshift."""
    edges = patch.box.redshift_edges
    centers, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    p = some.probability
    z, square = torch.from_numpy(centers).float(), torch.from_numpy(width**2 / 12).float()
    likeliest = (p / torch.from_numpy(width).float()).argmax(1)
    # Moments about the likeliest cell lose no digits.
    offset = z - z[likeliest][:, None]
    shift = (p * offset).sum(1)
    variance = (p * ((offset - shift[:, None]) ** 2 + square)).sum(1)
    low, median, high = _redshift(some.quantile(shares), patch).T
    mode = centers[likeliest.numpy()]
    result = {
        "z_mean": mode + shift.double().numpy(),
        "z_median": median,
        "z_mode": mode,
        "z_std": variance.sqrt().double().numpy(),
        "z_lo": low,
        "z_hi": high,
        "information_gain": ((p * some.intensity.log()).sum(1) + some.log_even).numpy(),
        "log_evidence": some.log_evidence.numpy(),
    }
    return {name: np.asarray(values, np.float64) for name, values in result.items()}
