"""Sharpened redshifts: the posterior of every photometric galaxy, given both surveys.

On the cells of a galaxy's sight line

    p_j = mu_j K_ij / sum over j of (mu_j K_ij),      mu = nbar lambda,

with i the cell of its photo-z: the same probabilities that move it in `truez.sightlines.conserve`.
The intensity is interpolated across the sky to the galaxy's own position, since the galaxy was
drawn from the density there (on the mesh a galaxy belongs to several sight lines at once, which
mixes their posteriors), and within a cell the posterior is uniform. In a periodic box places are
counted from half a box before the photo-z to half a box behind it.

With pairs (`truez.sightlines.pairs`) other galaxies on the sky add to it. Posteriors are made block
by block and are not kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.sightlines.intensity import Intensity, check_intensity
from truez.sightlines.posteriors import Posteriors, random_shares, walk
from truez.sightlines.redistribution import kernel_of
from truez.support.checks import check_type
from truez.support.progress import Progress, silent
from truez.support.spill import Spill
from truez.surveys.photoz import wrap
from truez.surveys.surveys import Surveys

#: Galaxies of a chunk.
CHUNK_ROWS = 2**16

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Sharpened:
    """Sharpened redshifts, each an array (n,) [Mpc/h along the line of sight].

    Galaxies that have no posterior, because their photo-z is too far beyond a closed box, are nan.

    Parameters
    ----------
    mean, mode, std : arrays
        Of the posterior; the mode is the centre of the likeliest cell. A galaxy whose true redshift
        is known has this as mean and mode, and a std of 0.
    lower, upper : arrays
        The central interval that holds the share `interval`. In a periodic box an end, and the
        mean, may lie beyond a face.
    information : array
        Expected information gain of both surveys on the redshift over the photo-z alone: the
        Kullback-Leibler divergence of the two posteriors [nats]; nan where the redshift is known.
    interval : float
    """

    mean: Array
    mode: Array
    std: Array
    lower: Array
    upper: Array
    information: Array
    interval: float = 0.68

    def __repr__(self) -> str:
        known = int(np.count_nonzero(self.std == 0))
        return (
            f"Sharpened redshifts of {len(self.mean)} galaxies, {known} of them known exactly\n"
            f"  mean error {np.nanmean(self.std):.4g} Mpc/h, expected information "
            f"{np.nanmean(self.information):.4g} nats, {100 * self.interval:g}% intervals"
        )


@dataclass(frozen=True, eq=False)
class SharpenedChunk:
    """Sharpened redshifts of consecutive galaxies.

    Parameters
    ----------
    rows : slice
        Of ``surveys.photo``.
    sharpened : Sharpened
        Of these m rows.
    start : int array (m,), optional
        First cell of each posterior, counted from the lower face of the box: below 0 where it
        begins before the face.
    probability : float32 array (m, cells), optional
        Of the cells from ``start`` on; nan for galaxies without a posterior. Known redshifts are
        not taken into account.
    """

    rows: slice
    sharpened: Sharpened
    start: NDArray[np.int64] | None = None
    probability: NDArray[np.float32] | None = None


def sharpen(
    surveys: Surveys,
    intensity: Any,
    *,
    interval: float = 0.68,
    progress: Progress = silent,
) -> Sharpened:
    """Sharpen the redshift of every photometric galaxy.

    Parameters
    ----------
    surveys : Surveys
    intensity : Reconstruction, Intensity, or Tensor or array (nx, ny, nz)
        lambda > 0 on the surveys' mesh, or on smaller cells across the sky, relative to the
        expected counts.
    interval : float
        Share of the posterior that the interval holds.
    progress : Progress

    Returns
    -------
    Sharpened
        Row by row those of ``surveys.photo``.

    Raises
    ------
    ValueError
        If the intensity does not fit the surveys, or the interval is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> import truez
    >>> photo = np.random.default_rng(1).uniform(0, 64, (1000, 3))
    >>> surveys = truez.Surveys.from_catalogs(
    ...     spec=photo[:100], photo=photo, box=truez.Box(64, cellsize=4), redshift=0.6,
    ...     sigma_z=0.002, overlap="nested",
    ... )
    >>> truez.sharpen(surveys, np.ones((16, 16, 16))).mean.shape
    (1000,)
    """
    check_type(surveys, Surveys, "surveys", "truez.Surveys.from_catalogs(...)")
    given = Intensity.of(intensity, surveys.box)
    num = len(surveys.photo)
    columns = {name: np.empty(num) for name in _NAMES}
    for chunk in sharpen_chunks(surveys, given, interval=interval, progress=progress):
        for name, values in columns.items():
            values[chunk.rows] = getattr(chunk.sharpened, name)
    return Sharpened(**columns, interval=interval)


def sharpen_chunks(
    surveys: Surveys,
    intensity: Tensor | Intensity,
    *,
    interval: float = 0.68,
    chunk_rows: int = CHUNK_ROWS,
    spill: Spill | None = None,
    progress: Progress = silent,
) -> Iterator[SharpenedChunk]:
    """Sharpen the redshifts as `sharpen` does, and yield them in the order of the galaxies.

    Parameters
    ----------
    surveys, interval, progress
        As in `sharpen`.
    intensity : Tensor or Intensity
    chunk_rows : int
        Galaxies of a chunk; the last one may have fewer. Results do not depend on it.
    spill : Spill, optional
        Yield the posteriors as well, which wait there: 4 bytes for each galaxy and cell.

    Yields
    ------
    SharpenedChunk
    """
    check_interval(interval)
    if chunk_rows < 1:
        raise ValueError(f"chunk_rows must be at least 1, not {chunk_rows!r}")
    given = intensity if isinstance(intensity, Intensity) else Intensity(intensity)
    check_intensity(given.values, surveys.box)
    return _chunks(surveys, given, interval, chunk_rows, spill, progress)


def check_interval(interval: float) -> None:
    """Raise an error if the share of the posterior is not between 0 and 1."""
    if not 0 < interval < 1:
        raise ValueError(f"interval must be between 0 and 1, not {interval!r}")


_NAMES = ("mean", "mode", "std", "lower", "upper", "information")


def _chunks(
    surveys: Surveys,
    intensity: Intensity,
    interval: float,
    chunk_rows: int,
    spill: Spill | None,
    progress: Progress,
) -> Iterator[SharpenedChunk]:
    num, box = len(surveys.photo), surveys.box
    columns = {name: np.full(num, np.nan) for name in _NAMES}
    shares = torch.tensor([0.5 - interval / 2, 0.5 + interval / 2])
    waiting = None if spill is None else _Waiting(spill, num, kernel_of(surveys).num_true)
    for some in walk(surveys, intensity, progress):
        for name, values in _summary(some, box, shares).items():
            columns[name][some.rows] = values
        if waiting is not None:
            waiting.add(some)
    if surveys.matched is not None:
        has = surveys.matched >= 0
        known, true = surveys.matched[has], surveys.spec[has, 2]
        for name in ("mean", "mode", "lower", "upper"):
            columns[name][known] = true
        columns["std"][known] = 0.0
        columns["information"][known] = np.nan
    for first in range(0, num, chunk_rows):
        rows = slice(first, min(first + chunk_rows, num))
        part = {name: values[rows] for name, values in columns.items()}
        found = () if waiting is None else waiting.of(rows)
        yield SharpenedChunk(rows, Sharpened(**part, interval=interval), *found)


class _Waiting:
    """Posteriors that come in any order, until they are wanted in that of the galaxies."""

    def __init__(self, spill: Spill, num: int, cells: int) -> None:
        self.start = np.zeros(num, np.int64)
        self.place = np.full(num, -1)
        self.written = 0
        self.values = spill.rows(num, cells)

    def add(self, some: Posteriors) -> None:
        self.start[some.rows] = some.start
        self.place[some.rows] = self.written + np.arange(len(some.rows))
        self.values.write(self.written, some.probability.numpy())
        self.written += len(some.rows)

    def of(self, rows: slice) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        place = self.place[rows]
        result = np.full((len(place), self.values.shape[1]), np.nan, dtype=np.float32)
        there = np.flatnonzero(place >= 0)
        order = np.argsort(place[there])
        result[there[order]] = self.values.read(place[there[order]])
        return self.start[rows], result


def _summary(some: Posteriors, box: Box, shares: Tensor) -> dict[str, NDArray[Any]]:
    """Summary statistics of posteriors."""
    cell, lower = box.cellsize[2], box.lower[2]
    p = some.probability
    centers = torch.arange(p.shape[1]) + 0.5
    likeliest = p.argmax(1)
    # Moments about the likeliest cell lose no digits.
    offset = centers - centers[likeliest][:, None]
    shift = (p * offset).sum(1)
    mode = some.start + likeliest + 0.5
    ends = some.quantile(shares)
    spread = (p * (offset - shift[:, None]) ** 2).sum(1) + 1 / 12
    columns = {
        "mode": lower + cell * mode,
        "mean": lower + cell * (mode + shift),
        "std": cell * spread.sqrt(),
        "lower": lower + cell * ends[:, 0],
        "upper": lower + cell * ends[:, 1],
        "information": (p * some.intensity.log()).sum(1) + some.log_even,
    }
    result: dict[str, NDArray[Any]] = {name: x.double().numpy() for name, x in columns.items()}
    if box.periodic:
        result["mode"] = wrap(result["mode"], box, axis=2)
    return result


def draw_redshifts(
    surveys: Surveys,
    intensity: Tensor | Intensity,
    generator: np.random.Generator,
    *,
    progress: Progress = silent,
) -> Array:
    """A true place along the line of sight for every photometric galaxy, drawn from its posterior.

    Parameters
    ----------
    surveys : Surveys
    intensity : Tensor or Intensity
        As in `sharpen`.
    generator : numpy Generator
    progress : Progress

    Returns
    -------
    array (n_p,) [Mpc/h]
        Within the box if that is periodic. Known redshifts are unchanged; nan for galaxies without
        a posterior.
    """
    shares = random_shares(generator, len(surveys.photo))
    result = np.full(len(surveys.photo), np.nan)
    for some in walk(surveys, intensity, progress):
        place = some.quantile(shares[some.rows, None])[:, 0].double().numpy()
        result[some.rows] = surveys.box.lower[2] + surveys.box.cellsize[2] * place
    if surveys.box.periodic:
        result = wrap(result, surveys.box, axis=2)
    if surveys.matched is not None:
        has = surveys.matched >= 0
        result[surveys.matched[has]] = surveys.spec[has, 2]
    return result


def posteriors(
    surveys: Surveys, intensity: Tensor | Intensity, rows: NDArray[np.int64]
) -> tuple[Array, NDArray[np.float32]]:
    """p(z | z_phot, surveys) of some photometric galaxies, on the cells of their sight lines.

    Parameters
    ----------
    surveys : Surveys
    intensity : Tensor or Intensity
        As in `sharpen`.
    rows : (m,) int array
        Rows of ``surveys.photo``.

    Returns
    -------
    edges : array (m, cells + 1)
        Of the cells [Mpc/h]. Those of a periodic box begin half a box before the photo-z.
    probability : array (m, cells)
        Of each cell; nan for galaxies without a posterior. Known redshifts are not taken into
        account.
    """
    box = surveys.box
    num = kernel_of(surveys).num_true
    once, place = np.unique(rows, return_inverse=True)
    start = np.zeros(len(once))
    probability = np.full((len(once), num), np.nan, dtype=np.float32)
    for some in walk(surveys, intensity, silent, once):
        probability[some.rows], start[some.rows] = some.probability, some.start
    probability, start = probability[place], start[place]
    edges = box.lower[2] + box.cellsize[2] * (start[:, None] + np.arange(num + 1))
    return edges, probability
