"""The footprint of a survey: which part of the sky it covers, and how completely.

A footprint gives the completeness at any direction: 0 outside, up to 1 inside. It is a rectangle in
right ascension and declination, a HEALPix map (`truez.surveys.pixel_map`), or several of these.
Angles are in degrees and areas in square degrees.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_dilation

from truez.mesh.healpix import lattice, nested, nside_for
from truez.mesh.resamplers import gathered, shares
from truez.mesh.sky_box import SkyBox
from truez.mesh.sphere import check_directions

Array = NDArray[np.float64]
#: Directions per cell: of all cells, and of those that are partly covered, at most for pixels (and
#: as many for each), and where the edge is exact.
_FIRST, _PIXELS, _PER_PIXEL, _EXACT = 64, 256, 16, 1024
#: Directions looked up at a time.
_POINTS = 2**20
#: Galaxies per pixel in which a footprint is searched for empty parts, and that these would hold.
_FILLING = 30
#: Fewest galaxies inside with which a footprint may be a part of the survey.
_PART = 50
#: Difference of two distributions times the root of the number of galaxies, by chance in 1 of 100.
_CHANCE = 1.63
#: Galaxies on which other readings of the coordinates are tried.
_TRIED = 10_000


class Footprint(ABC):
    """A part of the sky with its completeness."""

    @abstractmethod
    def completeness(self, ra: ArrayLike, dec: ArrayLike) -> Array:
        """Completeness at directions [deg], in their shape; 0 outside the footprint."""

    @property
    @abstractmethod
    def area(self) -> float:
        """Solid angle times completeness [deg^2]."""

    @abstractmethod
    def sample(self, spacing: float) -> tuple[Array, Array]:
        """Directions such that each of the footprint is within ``spacing`` of one of them [deg].

        They may lie outside by as much.
        """

    @property
    def resolution(self) -> float:
        """Size of its smallest parts [deg]; 0 where its edge is exact."""
        return 0.0

    @property
    def highest(self) -> float:
        """The highest completeness, or more; above 1 for some maps of randoms."""
        return 1.0

    def outside(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.bool_]:
        """Which directions [deg] have no completeness."""
        return np.asarray(self.completeness(ra, dec) <= 0)

    def fraction(self, box: SkyBox, *, resampler: str = "ngp") -> NDArray[np.float32]:
        """Mean completeness of each sight line's cells, shape (nx, ny) of a sky box.

        The mean over 64 directions spread over each cell, and in cells that are partly covered, or
        next to one, over up to 256 for pixels and 1024 for an exact edge.

        Parameters
        ----------
        box : SkyBox
        resampler : {"ngp", "cic", "tsc"}
            The cells receive of each direction what galaxies there would give them: the mean of
            random galaxies that are painted with it.
        """
        points = _EXACT
        if self.resolution:
            cell = math.degrees(math.sqrt(box.cellsize[0] * box.cellsize[1]) / box.chi_ref)
            points = min(math.ceil(_PER_PIXEL * (cell / self.resolution) ** 2), _PIXELS)
        nx, ny, _ = box.meshsize
        given = self._given(box, np.indices((nx, ny)).reshape(2, -1), _FIRST, resampler)
        given = given.reshape(nx, ny, *given.shape[1:])
        if points > _FIRST:
            covered = given.sum(axis=(2, 3))
            mixed = binary_dilation((covered > 1e-9) & (covered < 1 - 1e-9), np.ones((3, 3)))
            cells = np.stack(np.nonzero(mixed))
            given[mixed] = self._given(box, cells, points, resampler)
        return gathered(gathered(given, 0, 2), 1).astype(np.float32)

    def _given(
        self, box: SkyBox, cells: NDArray[np.signedinteger[Any]], points: int, resampler: str
    ) -> Array:
        """What cells (2, n) give to themselves and those around them, (n, s, s); see `shares`."""
        # A lattice of the golden ratio: no two points share a row or a column of a cell, so that
        # an edge along one is resolved as finely as there are points.
        number = np.arange(points) + 0.5
        u, v = number / points, np.mod(number * (math.sqrt(5) - 1) / 2, 1)
        along, across = shares(resampler, u), shares(resampler, v)
        weights = (along[:, :, None] * across[:, None, :]).reshape(points, -1) / points
        i, j = cells
        result = np.empty((len(i), weights.shape[1]))
        rows = max(_POINTS // points, 1)
        for start in range(0, len(i), rows):
            part = slice(start, start + rows)
            x = box.lower[0] + (i[part, None] + u) * box.cellsize[0]
            y = box.lower[1] + (j[part, None] + v) * box.cellsize[1]
            result[part] = self.completeness(*box.deproject(x, y)) @ weights
        return result.reshape(len(i), along.shape[1], across.shape[1])

    def check_galaxies(
        self, ra: ArrayLike, dec: ArrayLike, name: str, *, option: str = "footprint",
        most: float = 0.1,
    ) -> int:  # fmt: skip
        """Number of galaxies that lie outside.

        Parameters
        ----------
        ra, dec : (n,) arrays
            [deg].
        name : str
            Of the survey, for the message, such as ``photo``.
        option : str
            Of the footprint, for the message.
        most : float
            Share of galaxies outside above which it is asked why.

        Raises
        ------
        ValueError
            If more lie outside by a mistake, which the sentence names: hours or radians for
            degrees, exchanged columns, another ordering or frame of a map; or fewer than 50, or
            that share, are inside. Otherwise the footprint is a part of the survey.
        """
        a, d = check_directions(ra, dec)
        lost = int(np.count_nonzero(self.outside(a, d)))
        if lost <= most * a.size:
            return lost
        some = slice(None, None, max(a.size // _TRIED, 1))
        remedy = f"correct {option} or the columns of the sky"
        for missed, what in self._readings(a[some], d[some]):
            if missed <= most:
                remedy = what
                break
        else:
            if a.size - lost >= max(_PART, most * a.size):
                return lost
        raise ValueError(f"{option} misses {lost} of {a.size} {name} galaxies: {remedy}")

    def check_filled(
        self, ra: ArrayLike, dec: ArrayLike, name: str, *, option: str = "footprint",
        most: float = 0.1, remedy: str = "the footprint of these galaxies",
    ) -> float:  # fmt: skip
        """Share of the footprint without galaxies, in pixels that should hold 30 of them.

        Parameters
        ----------
        ra, dec : (n,) arrays
            Of galaxies inside [deg].
        name, option : str
            Of the survey and of the footprint, for the message.
        most : float
            Share above which the footprint is not that of the galaxies, if the empty part should
            hold 30 of them or more.
        remedy : str
            What to give, for the message.

        Raises
        ------
        ValueError
            If more is empty.
        """
        a, d = check_directions(ra, dec)
        side = math.sqrt(_FILLING * self.area / max(a.size, 1))
        nside = nside_for(side) // 2 or 1
        inside = nested(*self.sample(side / 4), nside)
        # A pixel that the footprint covers in part may well be empty.
        pixels, times = np.unique(inside, return_counts=True)
        whole = times >= 0.5 * np.median(times)
        pixels, times = pixels[whole], times[whole]
        share = float(np.average(~np.isin(pixels, nested(a, d, nside)), weights=times))
        if share > max(most, _FILLING / max(a.size, 1)):
            raise ValueError(
                f"{option} covers {self.area:.4g} deg^2, of which {100 * share:.0f}% hold no "
                f"galaxy of the {name} survey: give {remedy}"
            )
        return share

    def check_density(
        self, ra: ArrayLike, dec: ArrayLike, name: str, *, weights: ArrayLike | None = None,
        option: str = "footprint", most: float = 0.2,
    ) -> float:  # fmt: skip
        """The largest difference of the shares of galaxies up to any completeness, data less map.

        Parameters
        ----------
        ra, dec : (n,) arrays
            [deg].
        name, option : str
            Of the survey and of the footprint, for the message.
        weights : (n,) array, optional
            Of the galaxies.
        most : float
            Difference above which the completeness is not that of the galaxies, besides what
            their number explains.

        Raises
        ------
        ValueError
        """
        there = self.completeness(*self.sample(max(self.resolution, math.sqrt(self.area) / 100)))
        seen = self.completeness(ra, dec)
        w = np.ones(seen.shape) if weights is None else np.asarray(weights, np.float64)
        levels = np.unique(there[there > 0])
        if len(levels) < 2 or not w[seen > 0].any():
            return 0.0
        model, data = (
            np.histogram(values, [0, *levels[1:], np.inf], weights=weight)[0].cumsum()
            for values, weight in ((there, there), (seen, np.where(seen > 0, w, 0)))
        )
        away = data / data[-1] - model / model[-1]
        worst = int(np.argmax(np.abs(away)))
        chance = _CHANCE * math.sqrt(np.sum(w[seen > 0] ** 2)) / data[-1]
        if abs(away[worst]) > most + chance:
            raise ValueError(
                f"{option} contradicts the {name} galaxies: {100 * data[worst] / data[-1]:.0f}% of "
                f"them are where its completeness is {levels[worst]:.2g} or less, and it expects "
                f"{100 * model[worst] / model[-1]:.0f}%: give the completeness of these galaxies"
            )
        return float(abs(away[worst]))

    def _readings(self, ra: Array, dec: Array) -> Iterator[tuple[float, str]]:
        """Share of galaxies that other readings of their coordinates miss, and the remedy."""
        if np.abs(ra).max() <= 24:
            yield self._missed(15 * ra, dec), "ra looks like hours, so give ra_unit hourangle"
        if np.abs(ra).max() <= 2 * np.pi and np.abs(dec).max() <= np.pi / 2:
            both = np.degrees(ra), np.degrees(dec)
            yield self._missed(*both), "ra and dec look like radians, so give ra_unit rad"
        if np.abs(ra).max() <= 90:
            yield self._missed(dec, ra), "ra and dec look exchanged, so exchange their columns"

    def _missed(self, ra: Array, dec: Array) -> float:
        return float(np.mean(self.outside(ra, dec)))


@dataclass(frozen=True)
class Rectangle(Footprint):
    """Directions between two right ascensions and two declinations, edges included.

    Parameters
    ----------
    ra_min, ra_max : float
        From the one eastward to the other [deg]; ``ra_min`` > ``ra_max`` crosses 0. All right
        ascensions where they are 360 apart.
    dec_min, dec_max : float
        [deg].

    Examples
    --------
    >>> from truez.surveys.footprint import Rectangle
    >>> stripe = Rectangle(350, 10, -1, 1)
    >>> round(stripe.area, 2), stripe.completeness([0.0, 20.0], [0.5, 0.5])
    (40.0, array([1., 0.]))
    """

    ra_min: float
    ra_max: float
    dec_min: float
    dec_max: float

    def __post_init__(self) -> None:
        edges = (self.ra_min, self.ra_max, self.dec_min, self.dec_max)
        shown = ",".join(f"{edge:g}" for edge in edges)
        if not all(math.isfinite(edge) for edge in edges):
            raise ValueError(f"footprint must be four numbers of degrees, not {shown}")
        if not -90 <= self.dec_min < self.dec_max <= 90:
            raise ValueError(
                f"footprint {shown} needs declinations from -90 to 90, the lower before the upper"
            )
        if not (-360 <= self.ra_min <= 360 and -360 <= self.ra_max <= 360):
            raise ValueError(f"footprint {shown} needs right ascensions from -360 to 360")
        if self.ra_min == self.ra_max:
            raise ValueError(f"footprint {shown} covers no right ascension")

    @property
    def width(self) -> float:
        """Range of right ascension [deg]."""
        if abs(self.ra_max - self.ra_min) >= 360:
            return 360.0
        return (self.ra_max - self.ra_min) % 360

    @property
    def area(self) -> float:
        """Solid angle [deg^2]."""
        low, high = (math.sin(math.radians(dec)) for dec in (self.dec_min, self.dec_max))
        return self.width * math.degrees(high - low)

    def completeness(self, ra: ArrayLike, dec: ArrayLike) -> Array:
        """1 inside and on the edges, 0 outside, for directions [deg]."""
        a, d = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
        east = np.mod(a - self.ra_min, 360)
        # Rounding of the remainder must not lose a galaxy that lies on the western edge.
        within = (east <= self.width * (1 + 1e-12)) | (east >= 360 - 1e-10)
        return np.where(within & (d >= self.dec_min) & (d <= self.dec_max), 1.0, 0.0)

    def _readings(self, ra: Array, dec: Array) -> Iterator[tuple[float, str]]:
        yield from super()._readings(ra, dec)
        low, high = self.dec_min, self.dec_max
        if self.width > 180:
            turned = Rectangle(self.ra_max, self.ra_min, low, high)
            yield turned._missed(ra, dec), "its right ascensions look exchanged, so exchange them"
        wide = np.ptp(ra) > self.width  # 15 times as wide where hours were given
        if wide and max(abs(self.ra_min), abs(self.ra_max)) <= 24:
            hours = Rectangle(15 * self.ra_min, 15 * self.ra_max, low, high)
            yield hours._missed(ra, dec), "its right ascensions look like hours, so give degrees"

    def sample(self, spacing: float) -> tuple[Array, Array]:
        """Directions within ``spacing`` of each other, on a grid that includes the edges [deg]."""
        height = self.dec_max - self.dec_min
        rows = np.linspace(self.dec_min, self.dec_max, math.ceil(height / spacing) + 1)
        ra, dec = [], []
        for row in rows:
            num = math.ceil(self.width * math.cos(math.radians(row)) / spacing) + 1
            ra.append(self.ra_min + np.linspace(0, self.width, num))
            dec.append(np.full(num, row))
        return np.mod(np.concatenate(ra), 360), np.concatenate(dec)


@dataclass(frozen=True, eq=False)
class Union(Footprint):
    """Several footprints as one; where they overlap the highest completeness counts.

    Parameters
    ----------
    parts : sequence of Footprint

    Examples
    --------
    >>> from truez.surveys.footprint_input import footprint_of
    >>> islands = footprint_of("129,141,-2,3;174,186,-3,2")
    >>> round(islands.area, 1)
    120.0
    """

    parts: Sequence[Footprint] = field(repr=False)

    def completeness(self, ra: ArrayLike, dec: ArrayLike) -> Array:
        """The highest completeness of the parts at directions [deg]."""
        return np.asarray(np.max([part.completeness(ra, dec) for part in self.parts], axis=0))

    @cached_property
    def area(self) -> float:
        """Solid angle times completeness [deg^2], summed over directions where parts overlap."""
        total = sum(part.area for part in self.parts)
        spacing = max(math.sqrt(total) / 100, 1e-3)
        if not self._overlap(spacing):
            return total
        ra, dec, cell = lattice(*self.sample(spacing), spacing / 4)
        return float(self.completeness(ra, dec).sum() * cell)

    def _overlap(self, spacing: float) -> bool:
        for number, part in enumerate(self.parts):
            others = [other for i, other in enumerate(self.parts) if i != number]
            ra, dec = part.sample(spacing)
            inside = ~part.outside(ra, dec)
            if any(not other.outside(ra[inside], dec[inside]).all() for other in others):
                return True
        return False

    def sample(self, spacing: float) -> tuple[Array, Array]:
        """The samples of all parts [deg]."""
        ra, dec = zip(*(part.sample(spacing) for part in self.parts), strict=True)
        return np.concatenate(ra), np.concatenate(dec)

    @property
    def highest(self) -> float:
        """That of the most complete part."""
        return max(part.highest for part in self.parts)

    @property
    def resolution(self) -> float:
        """That of the finest part [deg]."""
        return min(part.resolution for part in self.parts)
