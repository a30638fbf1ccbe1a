"""Tiles of a footprint on the sky: each direction of it is in exactly one.

Parts of the footprint that are far from each other, islands, are tiled one by one. Each has a frame
of its own, with its middle at latitude and longitude 0, so that poles and right ascension 0 are
places like any other, and turned such that it fills a rectangle well. The rectangle is divided
evenly into bands of latitude, and each band into tiles of equal longitude.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from truez.mesh.healpix import neighbours, nested
from truez.mesh.sphere import check_directions, directions, frame, unit_vectors
from truez.surveys.footprint import Footprint

Array = NDArray[np.float64]
#: Pixels of 1.8 deg by which islands are separated: those of one island touch, or nearly.
_NSIDE = 32
#: Directions sampled along the side of a tile, and of a footprint, and the finest spacing [deg].
_PER_TILE, _PER_SIDE, _FINEST = 40, 40, 1e-3
#: Angles of a frame that are tried [deg], and the gain in area for which one is turned.
_ANGLES, _WORTH = np.arange(7.5, 90, 7.5), 0.9


@dataclass(frozen=True, eq=False)
class Island:
    """A connected part of a footprint, divided into bands of latitude and tiles of longitude.

    Parameters
    ----------
    axes : (3, 3) array
        Axes of its frame, of longitude 90 deg, latitude 90 deg, and of its middle, as rows.
    latitudes : (n - 1,) array
        Edges between its n bands [deg].
    longitudes : sequence of arrays
        Edges between the tiles of each band [deg].
    first : int
        Number of its first tile.
    """

    axes: Array
    latitudes: Array
    longitudes: tuple[Array, ...]
    first: int

    @property
    def num_tiles(self) -> int:
        """Number of its tiles, empty ones included."""
        return sum(len(edges) + 1 for edges in self.longitudes)

    def tile_of(self, vectors: Array) -> NDArray[np.int64]:
        """Tiles of directions, given as unit vectors (n, 3)."""
        longitude, latitude = _turned(vectors, self.axes)
        band = np.searchsorted(self.latitudes, latitude, side="right")
        result = np.full(len(vectors), self.first, dtype=np.int64)
        before = 0
        for number, edges in enumerate(self.longitudes):
            rows = band == number
            result[rows] += before + np.searchsorted(edges, longitude[rows], side="right")
            before += len(edges) + 1
        return result


@dataclass(frozen=True, eq=False)
class Tiling:
    """Tiles of a footprint that are at most ``width`` wide and high.

    Parameters
    ----------
    footprint : Footprint
    width : float
        Largest side of a tile [deg].
    spacing : float
        Of the sample of the footprint [deg].
    sample : (n, 3) array
        Unit vectors such that each direction of the footprint is within ``spacing`` of one.
    islands : sequence of Island
    pixels : (m,) ints
        HEALPix pixels of the islands, ascending.
    island_of : (m,) ints
        Island of each pixel.
    tiles : (n,) ints
        Tile of each direction of the sample.
    """

    footprint: Footprint
    width: float
    spacing: float
    sample: Array
    islands: tuple[Island, ...]
    pixels: NDArray[np.int64]
    island_of: NDArray[np.int64]
    tiles: NDArray[np.int64]

    @classmethod
    def of(
        cls, footprint: Footprint, width: float, *, shift: tuple[float, float] = (0.0, 0.0)
    ) -> Tiling:
        """The tiles of a footprint.

        Parameters
        ----------
        footprint : Footprint
        width : float
            Largest side of a tile [deg].
        shift : (2,) floats
            Parts of a tile by which edges are moved in longitude and latitude, from 0 to below 1:
            another way to cut the same sky.

        Raises
        ------
        ValueError
            If a number is out of its range.
        """
        if not (math.isfinite(width) and 0 < width <= 90):
            raise ValueError(f"the width of tiles must be above 0 and at most 90 deg, not {width}")
        if not all(0 <= part < 1 for part in shift):
            raise ValueError(f"shift must be two parts of a tile from 0 to below 1, not {shift}")
        side = math.sqrt(footprint.area)
        spacing = max(min(width / _PER_TILE, side / _PER_SIDE), _FINEST)
        ra, dec = footprint.sample(spacing)
        sample = unit_vectors(ra, dec)
        own = nested(ra, dec, _NSIDE)
        pixels, island_of = _connected(np.unique(own))
        islands: list[Island] = []
        tiles = np.empty(len(sample), dtype=np.int64)
        numbers = island_of[np.searchsorted(pixels, own)]
        for number in range(int(island_of.max()) + 1):
            rows = numbers == number
            first = islands[-1].first + islands[-1].num_tiles if islands else 0
            islands.append(_island(sample[rows], width, shift, first))
            tiles[rows] = islands[-1].tile_of(sample[rows])
        return cls(footprint, width, spacing, sample, tuple(islands), pixels, island_of, tiles)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Tiles that hold a part of the footprint, ascending."""
        return np.unique(self.tiles)

    def tile_of(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
        """Tile of each direction [deg], in their shape: of `numbers`, or -1 outside."""
        a, d = check_directions(ra, dec)
        result = np.full(a.shape, -1, dtype=np.int64)
        inside = ~self.footprint.outside(a, d)
        result[inside] = self.nearest_tile(a[inside], d[inside])
        return result

    def nearest_tile(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
        """Tile that each direction [deg] belongs or is next to, whether in the footprint or not."""
        a, d = check_directions(ra, dec)
        vectors, own = unit_vectors(a.ravel(), d.ravel()), nested(a.ravel(), d.ravel(), _NSIDE)
        place = np.minimum(np.searchsorted(self.pixels, own), len(self.pixels) - 1)
        island = np.where(self.pixels[place] == own, self.island_of[place], -1)
        found = np.full(len(vectors), -1, dtype=np.int64)
        for number, one in enumerate(self.islands):
            rows = island == number
            found[rows] = one.tile_of(vectors[rows])
        # Beyond the islands, and in tiles with no more than a sliver of the footprint between the
        # directions of the sample, the tile is that of the nearest of these.
        lost = np.flatnonzero(~np.isin(found, self.numbers))
        if len(lost):
            _, nearest = cKDTree(self.sample).query(vectors[lost])
            found[lost] = self.tiles[nearest]
        return found.reshape(a.shape)

    def axes_of(self, tile: int) -> Array:
        """Axes of the frame of the island of a tile, rows of a (3, 3) matrix."""
        return [one for one in self.islands if one.first <= tile][-1].axes

    def radius_of(self, tile: int) -> float:
        """Largest angle between the middle of the island of a tile and its parts [deg]."""
        axes = self.axes_of(tile)
        island = [one for one in self.islands if one.first <= tile][-1]
        own = (self.tiles >= island.first) & (self.tiles < island.first + island.num_tiles)
        lowest = float((self.sample[own] @ axes[2]).min())
        return math.degrees(math.acos(min(max(lowest, -1.0), 1.0)))


def _turned(vectors: Array, axes: Array) -> tuple[Array, Array]:
    """Longitude and latitude of unit vectors in a frame [deg]."""
    x, y, z = (vectors @ axes.T).T
    return np.degrees(np.arctan2(x, z)), np.degrees(np.arctan2(y, np.hypot(x, z)))


def _connected(pixels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels and the ring around them, and the number of the connected part of each."""
    ring = neighbours(pixels, _NSIDE)
    grown = np.union1d(pixels, ring[ring >= 0])
    beside = neighbours(grown, _NSIDE)
    place = np.minimum(np.searchsorted(grown, beside), len(grown) - 1)
    both = (beside >= 0) & (grown[place] == beside)
    mine = np.broadcast_to(np.arange(len(grown)), beside.shape)[both]
    graph = coo_array((np.ones(len(mine)), (mine, place[both])), shape=(len(grown),) * 2)
    _, numbers = connected_components(graph, directed=False)
    return grown, np.asarray(numbers, np.int64)


def _island(vectors: Array, width: float, shift: tuple[float, float], first: int) -> Island:
    """An island of directions, cut into tiles."""
    axes = _best_frame(vectors)
    longitude, latitude = _turned(vectors, axes)
    low, high = float(latitude.min()), float(latitude.max())
    latitudes = _edges(low, high, width, shift[1])
    band = np.searchsorted(latitudes, latitude, side="right")
    longitudes = []
    for number in range(len(latitudes) + 1):
        rows = band == number
        if not rows.any():
            longitudes.append(np.empty(0))
            continue
        widest = float(np.cos(np.radians(latitude[rows])).max())
        # A band around a pole is one tile at most a width wide.
        step = min(width / max(widest, 1e-6), 360.0)
        limits = float(longitude[rows].min()), float(longitude[rows].max())
        longitudes.append(_edges(*limits, step, shift[0]))
    return Island(axes, latitudes, tuple(longitudes), first)


def _edges(low: float, high: float, step: float, shift: float) -> Array:
    """Edges within a range that divide it evenly into parts of at most ``step``."""
    num = max(math.ceil((high - low) / step - 1e-9), 1)
    inner = low + (high - low) / num * (np.arange(1, num + (shift > 0)) - shift)
    return np.asarray(inner)


def _best_frame(vectors: Array) -> Array:
    """A frame about the middle of directions, turned so that they fill a rectangle well."""
    mean = vectors.mean(axis=0)
    # Directions all over the sky have no middle: any will do.
    ra, dec = directions(mean) if np.linalg.norm(mean) > 0.1 else (0.0, 0.0)
    upright = frame(float(ra), float(dec))
    some = vectors[:: max(len(vectors) // 5000, 1)]

    def area(axes: Array) -> float:
        longitude, latitude = _turned(some, axes)
        return float(np.ptp(longitude) * np.ptp(np.sin(np.radians(latitude))))

    turned = [turn_axes(upright, float(angle)) for angle in _ANGLES]
    best = min(turned, key=area)
    return _centered(best if area(best) < _WORTH * area(upright) else upright, some)


def _centered(axes: Array, vectors: Array) -> Array:
    """The frame with the middle of the range of longitudes and latitudes at 0."""
    longitude, latitude = (np.radians(x) for x in _turned(vectors, axes))
    lon, lat = (float(x.min() + x.max()) / 2 for x in (longitude, latitude))
    middle = axes.T @ [math.cos(lat) * math.sin(lon), math.sin(lat), math.cos(lat) * math.cos(lon)]
    north = axes[1] - (axes[1] @ middle) * middle
    if np.linalg.norm(north) < 1e-3:
        return axes
    north /= np.linalg.norm(north)
    return np.array([np.cross(north, middle), north, middle])


def turn_axes(axes: Array, angle: float) -> Array:
    """Axes (3, 3) turned about the third, the second towards the first, by an angle [deg]."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    first, second, third = axes
    return np.array([cos * first - sin * second, cos * second + sin * first, third])
