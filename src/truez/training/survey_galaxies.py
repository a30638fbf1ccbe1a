"""Galaxies of a universe as a described survey observes them.

Galaxies are moved by their velocities and cut out of the periodic universe, which is repeated where
the box is larger. The samples are those of `truez.training.survey_description.SampleForm`: of
densities n_p and n_s of a place, a share is the most massive galaxies there are, and the others are
chosen at random.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from truez.sightlines.kernel import Kernel
from truez.simulate import Galaxies
from truez.surveys.photoz import PhotozError
from truez.surveys.redshift_error import RedshiftError
from truez.training.survey_description import ErrorForm, SurveyDescription
from truez.training.survey_geometry import SurveyGeometry
from truez.training.survey_view import FINER

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ObservedGalaxies:
    """The galaxies of two surveys, in the coordinates of their box.

    Parameters
    ----------
    photo : (n, 3) array
        Photometric galaxies at their true places [Mpc/h].
    photo_place : (n,) array
        Where their photo-z put them along the line of sight [Mpc/h].
    known : (n,) bool array
        Which of them have a spectrum.
    of_class : (n,) int array
        Class of photo-z errors of each.
    spec : (m, 3) array
        Spectroscopic galaxies [Mpc/h].
    matched : (m,) int array
        Row of each in ``photo``, -1 where it is not in there.
    """

    photo: Array
    photo_place: Array
    known: NDArray[np.bool_]
    of_class: Integers
    spec: Array
    matched: Integers

    def observed_at(self) -> Array:
        """Positions of the photometric galaxies at their photo-z, (n, 3)."""
        return np.column_stack([self.photo[:, :2], self.photo_place])


def observed_survey(
    galaxies: Galaxies, description: SurveyDescription
) -> tuple[SurveyGeometry, ObservedGalaxies]:
    """Where a described survey of a universe observes, and its galaxies, the same each time.

    Raises
    ------
    ValueError
        As `observe_galaxies`.
    """
    geometry = SurveyGeometry.of(description, galaxies.box, galaxies.cosmology, galaxies.redshift)
    # The second number keeps this stream apart from those of other draws.
    rng = np.random.default_rng([description.seed, 5])
    return geometry, observe_galaxies(galaxies, geometry, rng)


def observe_galaxies(
    galaxies: Galaxies, geometry: SurveyGeometry, rng: np.random.Generator
) -> ObservedGalaxies:
    """Observe the galaxies of a universe.

    Parameters
    ----------
    galaxies : Galaxies
    geometry : SurveyGeometry
    rng : Generator

    Raises
    ------
    ValueError
        If the universe has fewer galaxies than the photometric sample.
    """
    one = geometry.description
    density = len(galaxies) / galaxies.box.volume
    if one.photo.density > density * (1 + 1e-6):
        raise ValueError(
            f"photo.density of {one.photo.density:.4g} (h/Mpc)^3 is more than the universe has, "
            f"{density:.4g}: take a lower one"
        )
    rank = _rank(galaxies)
    positions = _positions(galaxies, geometry, rng)
    if one.photo.by_mass == 1:  # the others are in neither sample
        dense = rank <= one.photo.density
        positions, rank = positions[dense], rank[dense]
    places, rows = _cut(positions, geometry, galaxies, rng)
    chosen, with_spectrum = _samples(places, rank[rows], density, geometry, rng)
    places, with_spectrum = places[chosen], with_spectrum[chosen]
    # Spectra of galaxies that are not in the photometric sample.
    outside = with_spectrum & (rng.random(len(places)) >= one.common)
    inside = geometry.box.inside(places, axes=(2,))
    photo, known = places[~outside], with_spectrum[~outside]
    row = np.where(outside, -1, np.cumsum(~outside) - 1)
    spectra = with_spectrum & inside
    of_class, place = _photo_z(photo, geometry, rng)
    return ObservedGalaxies(photo, place, known, of_class, places[spectra], row[spectra])


@lru_cache(maxsize=1)  # for several surveys of a universe
def _rank(galaxies: Galaxies) -> Array:
    """Density [(h/Mpc)^3] of the galaxies that are as massive as each, (n,)."""
    rank = np.empty(len(galaxies))
    rank[np.argsort(-galaxies.mass, kind="stable")] = np.arange(1, len(galaxies) + 1)
    rank /= galaxies.box.volume
    rank.flags.writeable = False
    return rank


def _positions(
    galaxies: Galaxies, geometry: SurveyGeometry, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Positions above the lower corner of the universe, in redshift space where that is wanted."""
    one, box = geometry.description, galaxies.box
    if one.random:
        places = rng.random((len(galaxies), 3), dtype=np.float32)
        return places * np.asarray(box.boxsize, np.float32)
    places = galaxies.positions - np.asarray(box.lower, np.float32)
    if one.redshift_space:
        shift = geometry.cosmology.distance_per_velocity(geometry.redshift)
        places[:, 2] += galaxies.velocities[:, 2] * np.float32(one.velocities * shift)
    return places


def _cut(
    positions: NDArray[np.float32],
    geometry: SurveyGeometry,
    galaxies: Galaxies,
    rng: np.random.Generator,
) -> tuple[Array, Integers]:
    """Places in the box (n, 3) of all images of galaxies that are in it, and their rows."""
    box, universe = geometry.box, galaxies.box
    side = np.asarray(universe.boxsize)
    if box.periodic:
        return np.mod(positions.astype(np.float64), side) % side + box.lower, np.arange(
            len(positions)
        )
    margin = geometry.true_margin * box.cellsize[2]
    low, high = np.array(box.lower), np.array(box.upper)
    widest = float(geometry.stretch(np.array([high[2] + margin]))[0])
    reach_low, reach_high = low * [widest, widest, 1], high * [widest, widest, 1]
    reach_low[2] -= margin
    reach_high[2] += margin
    origin = rng.random(3) * side
    found, rows = [], []
    above = np.mod(positions - origin.astype(np.float32), side.astype(np.float32))
    spans = [
        range(math.floor(a / s), math.ceil(b / s))
        for a, b, s in zip(reach_low, reach_high, side, strict=True)
    ]
    for k in spans[2]:
        along = above[:, 2] + k * side[2]
        here = np.flatnonzero((along >= reach_low[2]) & (along < reach_high[2]))
        distance = along[here].astype(np.float64)
        scale = geometry.stretch(distance)
        for i, j in itertools.product(spans[0], spans[1]):
            x = (above[here, 0] + i * side[0]) / scale
            y = (above[here, 1] + j * side[1]) / scale
            inside = (x >= low[0]) & (x < high[0]) & (y >= low[1]) & (y < high[1])
            found.append(np.column_stack([x[inside], y[inside], distance[inside]]))
            rows.append(here[inside])
    return np.concatenate(found), np.concatenate(rows)


def _samples(
    places: Array,
    rank: Array,
    density: float,
    geometry: SurveyGeometry,
    rng: np.random.Generator,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which galaxies the photometric survey selects, and which of them have a spectrum.

    ``rank`` is the density [(h/Mpc)^3] of the galaxies that are as massive.
    """
    one, box, margin = geometry.description, geometry.box, geometry.true_margin
    spec, photo = geometry.densities(margin)
    by_mass = one.photo.by_mass * photo
    # Of galaxies below the limit in mass, the share that is selected.
    thinned = (photo - by_mass) / np.maximum(density - by_mass, 1e-30)
    first = one.spec.by_mass * spec
    limit = np.where(
        first <= by_mass, first, by_mass + (first - by_mass) / np.maximum(thinned, 1e-30)
    )
    rest = (spec - first) / np.maximum(photo - first, 1e-30)
    cell = np.floor((places[:, 2] - box.lower[2]) / box.cellsize[2]).astype(np.int64) + margin
    cell = cell.clip(0, len(photo) - 1)
    dice = rng.random((4, len(places)), dtype=np.float32)
    chosen = (rank <= by_mass[cell]) | (dice[0] < thinned[cell])
    spectra = (rank <= limit[cell]) | (dice[1] < rest[cell])
    area, share = geometry.completeness
    if not (one.photo_mask.even and one.spec_mask.even):
        i, j = fine_cells(places, box.lower, box.cellsize, box.meshsize)
        chosen &= dice[2] < area[i, j]
        spectra &= dice[3] < share[i, j]
    return chosen, spectra & chosen


def fine_cells(
    places: Array,
    lower: tuple[float, ...],
    cellsize: tuple[float, ...],
    meshsize: tuple[int, ...],
) -> tuple[Integers, Integers]:
    """Cells half as wide across the sky that places (n, 3) are in."""
    found = []
    for axis in (0, 1):
        cell = np.floor((places[:, axis] - lower[axis]) * (FINER / cellsize[axis]))
        found.append(cell.astype(np.int64).clip(0, FINER * meshsize[axis] - 1))
    return found[0], found[1]


def _photo_z(
    places: Array, geometry: SurveyGeometry, rng: np.random.Generator
) -> tuple[Integers, Array]:
    """Class of photo-z errors of galaxies, and the distances [Mpc/h] that their photo-z give."""
    error, box = geometry.description.error, geometry.box
    if not geometry.sky:
        length = error_length(error, geometry)
        place = PhotozError(length, error.outliers).scatter(places[:, 2], box, rng)
        return np.zeros(len(places), np.int64), place
    t = (places[:, 2] - box.lower[2]) / box.boxsize[2]
    above = np.cumsum(error.shares(t), axis=0)[:-1]
    of_class = (rng.random(len(places)) > above).sum(axis=0)
    distances = geometry.cosmology.distances
    z = distances.redshift(places[:, 2])
    width = np.stack([one.width(z) for one in redshift_errors(geometry)])
    z_phot = z + rng.normal(size=len(z)) * np.take_along_axis(width, of_class[None], 0)[0]
    low, high = geometry.edges(0)[[0, -1]]
    outlier = rng.random(len(z)) < error.outliers
    z_phot = np.where(outlier, low + rng.random(len(z)) * (high - low), z_phot)
    return of_class, np.asarray(distances.from_redshift(np.maximum(z_phot, 0.0)))


def error_length(error: ErrorForm, geometry: SurveyGeometry) -> float:
    """Photo-z error of even surveys [Mpc/h], at the redshift of the snapshot."""
    z = geometry.redshift
    return geometry.cosmology.distance_error(error.sigma_z[0] * (1 + z), z)


def redshift_errors(geometry: SurveyGeometry, *, assumed: bool = False) -> list[RedshiftError]:
    """The photo-z error of each class on the sky, with the outliers that there are or are known."""
    error = geometry.description.error
    edges = geometry.edges(0)
    factor = 1 + float(edges.mean()) if error.absolute else 1.0
    outliers = error.assumed if assumed else error.outliers
    limits = (float(edges[0]), float(edges[-1]))
    return [
        RedshiftError(sigma * factor, outliers, limits, (), error.absolute)
        for sigma in error.sigma_z
    ]


def table_of(
    geometry: SurveyGeometry, seen: ObservedGalaxies, photo_cell: Integers, kernel: Kernel
) -> tuple[NDArray[np.bool_], Integers]:
    """The photometric galaxies without a spectrum, as `truez.training.survey_view` has them.

    Parameters
    ----------
    geometry : SurveyGeometry
    seen : ObservedGalaxies
    photo_cell : (n,) int array
        Cell of the photo-z of each photometric galaxy, counted from the kernel's margin on.
    kernel : Kernel

    Returns
    -------
    (n,) bool array
        Which photometric galaxies those are: of unknown redshift, with a photo-z in its cells.
    int array (m, 5)
    """
    box = geometry.box
    kept = ~seen.known & (photo_cell >= 0) & (photo_cell < kernel.num_photo)
    places = seen.photo[kept]
    cell = np.floor((places[:, 2] - box.lower[2]) / box.cellsize[2]).astype(np.int64)
    cell = (cell + kernel.true_margin).clip(0, kernel.num_true - 1)
    i, j = fine_cells(places, box.lower, box.cellsize, box.meshsize)
    return kept, np.column_stack([i, j, photo_cell[kept], cell, seen.of_class[kept]])
