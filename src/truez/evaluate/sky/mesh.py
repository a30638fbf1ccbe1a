"""The mesh that fields on the sky are compared on: one Cartesian mesh for all estimates.

Every estimate has cells and patches of its own. To be compared, its galaxies are painted with their
posteriors on cubic cells of 2.5 Mpc/h, a linear field is read at the same cells, and the truth is
painted there with exact redshifts. What is compared are counts, smoothed, over expected counts,
smoothed alike, less 1: at the edge of the footprint both are lower. Expected counts are the mean of
random galaxies that fill the footprint with N(z).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from truez.cosmology import Cosmology
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.mesh.fourier import smooth
from truez.mesh.healpix import lattice
from truez.mesh.painting import paint, paint_chunks
from truez.mesh.sphere import directions, frame, unit_vectors
from truez.surveys.footprint import Footprint

Array = NDArray[np.float64]
#: Side of a cell [Mpc/h], and cells of a mesh at most: larger surveys get larger cells.
CELLSIZE, MOST_CELLS = 2.5, 2**24
#: Smoothing lengths beyond the judged cells that the mesh reaches to.
_AROUND = 3.0
#: How galaxies are shared between cells.
RESAMPLER = "cic"
#: Directions by which the extent of a survey is found, along its side, and of the lattice of random
#: galaxies, per cell at the far end; parts of its pixels that show how much of them is covered; and
#: galaxies of it painted at a time.
_PER_SIDE, _PER_CELL, _PARTS, _POINTS = 60, 2.0, 16, 2**20

#: Galaxies per unit of redshift at redshifts.
Density = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class SkyMesh:
    """Cubic cells about a part of the sky, some of which are judged.

    Parameters
    ----------
    box : Box
        Its last axis is the direction of the middle of the footprint.
    axes : (3, 3) array
        Unit vectors of its axes, as rows.
    cosmology : Cosmology
    footprint : Footprint
    redshift_range : (2,) floats
        Of the cells that are judged.
    """

    box: Box
    axes: Array
    cosmology: Cosmology
    footprint: Footprint
    redshift_range: tuple[float, float]

    @classmethod
    def around(
        cls,
        footprint: Footprint,
        *,
        cosmology: Cosmology,
        redshift_range: tuple[float, float],
        radius: float,
        cellsize: float = CELLSIZE,
        most_cells: int = MOST_CELLS,
    ) -> SkyMesh:
        """The mesh that covers a footprint between two redshifts.

        Parameters
        ----------
        footprint : Footprint
        cosmology : Cosmology
        redshift_range : (2,) floats
        radius : float
            The largest smoothing length [Mpc/h]; the mesh reaches three of them further.
        cellsize : float
            Side of a cell [Mpc/h], larger where there would be more than ``most_cells``.
        most_cells : int
        """
        ra, dec = footprint.sample(max(math.sqrt(footprint.area) / _PER_SIDE, 1e-3))
        toward = unit_vectors(ra, dec)
        middle = toward.mean(axis=0)
        if np.linalg.norm(middle) < 1e-3:  # the whole sky has no middle
            middle = toward[0]
        axes = frame(*(float(angle) for angle in directions(middle)))
        ends = cosmology.distances.from_redshift(redshift_range)
        places = np.concatenate([chi * (toward @ axes.T) for chi in ends])
        margin = _AROUND * radius + 2 * cellsize
        low, high = places.min(axis=0) - margin, places.max(axis=0) + margin
        # The middle of the footprint is further out than its corners.
        high[2] = max(high[2], ends[1] + margin)
        side = max(cellsize, math.ceil(10 * (np.prod(high - low) / most_cells) ** (1 / 3)) / 10)
        cells = np.ceil((high - low) / side).astype(int)
        box = Box((cells * side).tolist(), cells.tolist(), ((low + high) / 2).tolist(), False)
        return cls(box, axes, cosmology, footprint, redshift_range)

    @property
    def cellsize(self) -> float:
        """Side of a cell [Mpc/h]."""
        return self.box.cellsize[0]

    @property
    def longest(self) -> int:
        """The axis across the line of sight that is longer, 0 or 1."""
        return int(self.box.boxsize[1] > self.box.boxsize[0])

    @property
    def reach(self) -> tuple[float, float]:
        """Distances between which galaxies are painted [Mpc/h]."""
        low, high = self.cosmology.distances.from_redshift(self.redshift_range)
        corner = np.maximum(np.abs(self.box.lower), np.abs(self.box.upper))
        margin = high if low <= 0 else float(self.box.upper[2] - high)
        return max(float(low) - margin, 0.0), min(
            float(high) + margin, float(np.hypot.reduce(corner))
        )

    def positions(
        self,
        ra: ArrayLike,
        dec: ArrayLike,
        chi: ArrayLike,
        pairs: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    ) -> Array:
        """Positions (n, 3) [Mpc/h] of directions [deg] and distances [Mpc/h].

        Parameters
        ----------
        ra, dec, chi : arrays
        pairs : (numbers of directions, numbers of distances), optional
            Which direction and which distance each position has, where they are not one by one.
        """
        toward, distance = unit_vectors(ra, dec) @ self.axes.T, np.asarray(chi, np.float64)
        if pairs is not None:
            toward, distance = toward[pairs[0]], distance[pairs[1]]
        return np.asarray(distance[:, None] * toward)

    def paint(self, ra: Array, dec: Array, redshift: Array) -> Tensor:
        """Galaxies at their redshifts; those without one, or beyond the mesh, are left out."""
        rows = np.flatnonzero(redshift >= 0)
        chi = self.cosmology.distances.from_redshift(redshift[rows])
        places = self.positions(ra[rows], dec[rows], chi)
        return paint(places, self.box, RESAMPLER, outside="drop").values

    def paint_parts(self, parts: Iterator[tuple[Array, Array]]) -> Tensor:
        """Parts of galaxies: positions (n, 3) and how much of a galaxy is there (n,)."""
        return paint_chunks(parts, self.box, RESAMPLER, outside="drop").values

    def expected(self, density: Density) -> Tensor:
        """The mean counts of random galaxies in the footprint.

        Parameters
        ----------
        density : function of redshifts
            Galaxies of the whole footprint per unit of redshift.
        """
        return self.paint_parts(self._randoms(density))

    def _randoms(self, density: Density) -> Iterator[tuple[Array, Array]]:
        """Parts of random galaxies: at even steps of distance in evenly spread directions."""
        near, far = self.reach
        toward, share = self._directions(math.degrees(self.cellsize / far) / _PER_CELL)
        num = math.ceil((far - near) / self.cellsize * _PER_CELL)
        edges = np.linspace(near, far, num + 1)
        # Simpson's rule for the galaxies of each step.
        z = self.cosmology.distances.redshift(np.linspace(near, far, 2 * num + 1))
        lower, middle, upper = density(z[:-2:2]), density(z[1::2]), density(z[2::2])
        counts = (lower + 4 * middle + upper) / 6 * np.diff(z[::2])
        # Steps begin elsewhere on each line, so that they leave no trace on the mesh.
        offset = np.mod(np.arange(len(share)) * (math.sqrt(5) - 1) / 2, 1)
        for start in range(0, len(share), max(_POINTS // num, 1)):
            part = slice(start, start + max(_POINTS // num, 1))
            chi = edges[:-1] + offset[part, None] * np.diff(edges)
            weights = share[part, None] * counts
            yield (chi[..., None] * toward[part, None]).reshape(-1, 3), weights.reshape(-1)

    def _directions(self, spacing: float) -> tuple[Array, Array]:
        """Unit vectors (n, 3) in the mesh's frame that fill the footprint, and shares of it (n,).

        Each represents `_PARTS` smaller pixels, at the centre of their covered part.
        """
        fine = spacing / math.sqrt(_PARTS)
        ra, dec, _ = lattice(*self.footprint.sample(8 * fine), fine)
        share = self.footprint.completeness(ra, dec).reshape(-1, _PARTS)
        covered = share.sum(axis=1) > 0
        own = np.repeat(covered, _PARTS)
        toward = unit_vectors(ra[own], dec[own]).reshape(-1, _PARTS, 3)
        share = share[covered]
        toward = (share[..., None] * toward).sum(axis=1) @ self.axes.T
        toward /= np.linalg.norm(toward, axis=1, keepdims=True)
        return toward, share.sum(axis=1) / share.sum()

    def places(self) -> Iterator[tuple[slice, Array, Array, Array]]:
        """Planes of the mesh: rows of the first axis, and RA, Dec [deg] and distance of cells."""
        x, y, z = (self.box.centers(axis) for axis in range(3))
        step = max(_POINTS // (len(y) * len(z)), 1)
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            grid = np.stack(np.meshgrid(x[rows], y, z, indexing="ij"), axis=-1)
            chi = np.linalg.norm(grid, axis=-1)
            ra, dec = directions(grid @ self.axes)
            yield rows, ra, dec, chi

    def judged(self) -> Tensor:
        """Cells whose centre is in the footprint and the range of redshift, a bool mesh."""
        low, high = self.cosmology.distances.from_redshift(self.redshift_range)
        result = torch.zeros(self.box.meshsize, dtype=torch.bool)
        for rows, ra, dec, chi in self.places():
            inside = (chi >= low) & (chi <= high)
            inside[inside] = ~self.footprint.outside(ra[inside], dec[inside])
            result[rows] = torch.from_numpy(inside)
        return result

    def read(self, at: Callable[[Array, Array, Array], NDArray[np.float32]]) -> Tensor:
        """A field on the sky in cells of the footprint, 0 where it is not known.

        Parameters
        ----------
        at : function of right ascensions, declinations [deg] and redshifts
        """
        near, far = self.reach
        result = torch.zeros(self.box.meshsize)
        for rows, ra, dec, chi in self.places():
            inside = (chi >= near) & (chi <= far)
            z = self.cosmology.distances.redshift(chi[inside])
            values = np.nan_to_num(at(ra[inside], dec[inside], z), nan=0.0)
            plane = np.zeros(chi.shape, np.float32)
            plane[inside] = values
            result[rows] = torch.from_numpy(plane)
        return result

    def smoothed(self, values: Tensor, radius: float) -> Tensor:
        """A mesh convolved with a Gaussian [Mpc/h]."""
        return smooth(values, self.box, radius)

    def field(self, values: Tensor) -> Field:
        """A mesh as an overdensity."""
        return Field(values, self.box, "delta")
