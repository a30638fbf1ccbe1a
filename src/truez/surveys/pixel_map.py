"""Footprints in HEALPix pixels: from a map, from randoms, or from the galaxies themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truez.mesh.healpix import centers, check_nside, neighbours, nested, nside_for, other_order
from truez.mesh.sphere import WHOLE_SKY, check_directions, directions, unit_vectors
from truez.surveys.footprint import Footprint

Array = NDArray[np.float64]
Pixels = NDArray[np.int64]
#: Finest pixels that randoms and galaxies are sorted into.
FINEST = 4096
#: Mean number per occupied pixel that sets the resolution: of randoms, for 12% of noise, and of
#: galaxies, of which a clustered survey then leaves few pixels empty.
RANDOMS_PER_PIXEL, GALAXIES_PER_PIXEL = 64, 16
#: Pixels with fewer randoms than this share of the median are incomplete.
_PARTIAL = 0.7
#: Fewest randoms or galaxies that define a footprint.
FEWEST = 200
#: The furthest corner of a pixel from its centre, in square roots of its area.
_CORNER = 1.3


@dataclass(frozen=True, eq=False)
class PixelMap(Footprint):
    """Completeness in HEALPix pixels, of which only those above 0 are kept.

    Parameters
    ----------
    nside : int
        Resolution, a power of 2.
    pixels : (n,) ints
        Pixels in nested order, ascending.
    values : (n,) float32
        Their completeness; above 1 for a map of randoms where there are more than on average.
    galactic : bool
        Whether the pixels are those of galactic coordinates.
    metadata : dict
        Plain values that describe its origin: ``per_pixel`` and ``noise`` of a map of randoms,
        ``per_pixel`` and ``empty_fraction`` of one from galaxies.

    Raises
    ------
    ValueError
        If the resolution is not a power of 2, or pixels are not of it or not ascending.
    """

    nside: int
    pixels: Pixels
    values: NDArray[np.float32]
    galactic: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_nside(self.nside)
        pixels = np.asarray(self.pixels, np.int64)
        values = np.asarray(self.values, np.float32)
        if pixels.shape != values.shape or pixels.ndim != 1 or len(pixels) == 0:
            raise ValueError(
                f"a map needs as many pixels as values, and at least one, not {pixels.shape} and "
                f"{values.shape}"
            )
        if pixels[0] < 0 or pixels[-1] >= 12 * self.nside**2 or not (np.diff(pixels) > 0).all():
            raise ValueError(f"pixels must ascend from 0 to below {12 * self.nside**2}")
        keep = values > 0
        object.__setattr__(self, "pixels", pixels[keep])
        object.__setattr__(self, "values", values[keep])

    def __repr__(self) -> str:
        frame = ", galactic" if self.galactic else ""
        return (
            f"PixelMap of {self.area:.5g} deg^2 in {len(self.pixels)} pixels of nside "
            f"{self.nside}{frame}"
        )

    @property
    def pixel_area(self) -> float:
        """Solid angle of a pixel [deg^2]."""
        return float(WHOLE_SKY / (12 * self.nside**2))

    @property
    def resolution(self) -> float:
        """Square root of the area of a pixel [deg]."""
        return float(np.sqrt(self.pixel_area))

    @property
    def highest(self) -> float:
        """The highest completeness of a pixel."""
        return float(self.values.max(initial=0.0))

    @cached_property
    def area(self) -> float:
        """Solid angle times completeness [deg^2]."""
        return float(self.values.sum(dtype=np.float64) * self.pixel_area)

    def completeness(self, ra: ArrayLike, dec: ArrayLike) -> Array:
        """Completeness of the pixels that hold directions [deg], in their shape."""
        a, d = check_directions(ra, dec)
        if self.galactic:
            a, d = directions(unit_vectors(a, d) @ _to_galactic().T)
        return self._at(nested(a, d, self.nside))

    def _at(self, pixels: Pixels) -> Array:
        """Completeness of pixels in nested order, in their shape."""
        wanted = pixels.ravel()
        # In order of the map, in which neighbours are found in the cache: seven times as fast.
        order = np.argsort(wanted)
        place = np.searchsorted(self.pixels, wanted[order])
        place = np.minimum(place, len(self.pixels) - 1)
        found = self.pixels[place] == wanted[order]
        result = np.zeros(wanted.size)
        result[order[found]] = self.values[place[found]]
        return result.reshape(pixels.shape)

    def sample(self, spacing: float) -> tuple[Array, Array]:
        """Centres of pixels, finer or coarser than the map's, that cover it [deg]."""
        nside = nside_for(spacing / _CORNER)
        pixels = self.pixels
        if nside <= self.nside:
            pixels = np.unique(pixels // (self.nside // nside) ** 2)
        else:
            parts = (nside // self.nside) ** 2
            pixels = (pixels[:, None] * parts + np.arange(parts)).ravel()
        ra, dec = centers(pixels, nside)
        return directions(unit_vectors(ra, dec) @ _to_galactic()) if self.galactic else (ra, dec)

    def _readings(self, ra: Array, dec: Array) -> Iterator[tuple[float, str]]:
        yield from super()._readings(ra, dec)
        a, d = directions(unit_vectors(ra, dec) @ _to_galactic().T)
        if self.metadata.get("origin") == "randoms":
            turned = directions(unit_vectors(ra, dec) @ _to_galactic().T)
            yield self._missed(*turned), "they look galactic, so convert them to ra and dec"
            return
        other = "equatorial" if self.galactic else "galactic"
        key = "C" if self.galactic else "G"
        at = self._at(nested(*((ra, dec) if self.galactic else (a, d)), self.nside))
        yield float(np.mean(at <= 0)), f"its map looks {other}, so set its COORDSYS to {key}"
        galaxies = nested(*((a, d) if self.galactic else (ra, dec)), self.nside)
        for order in ("RING", "NESTED"):
            missed = float(np.mean(self._at(other_order(galaxies, self.nside, order)) <= 0))
            yield missed, f"its map looks {order} ordered, so set its ORDERING to {order}"

    @classmethod
    def from_randoms(
        cls, ra: ArrayLike, dec: ArrayLike, weights: ArrayLike | None = None
    ) -> PixelMap:
        """The density of randoms on the sky, in units of the median of complete pixels.

        The resolution is the finest with 64 randoms per occupied pixel on average. ``metadata``
        holds ``per_pixel``, the number that counts as completeness 1, and ``noise``, the relative
        error of a pixel.

        Parameters
        ----------
        ra, dec : (n,) arrays
            [deg].
        weights : (n,) array, optional
            Of the randoms, such as their completeness.

        Raises
        ------
        ValueError
            If there are fewer than 200 randoms, or a weight is negative or not finite.
        """
        a, d = _several(ra, dec, "randoms")
        w = np.ones(a.size) if weights is None else np.asarray(weights, np.float64)
        if w.shape != a.shape or not (np.isfinite(w).all() and (w >= 0).all() and w.any()):
            raise ValueError("weights of randoms must be one finite number >= 0 for each of them")
        nside, pixels, rows = _sorted_into(a, d, RANDOMS_PER_PIXEL)
        spread = float((w**2).sum() / w.sum())
        counts = np.asarray(np.bincount(rows, w), np.float64)
        values, about = relative_density(nside, pixels, counts, spread)
        return cls(nside, pixels, values, metadata=about)

    @classmethod
    def from_data(cls, ra: ArrayLike, dec: ArrayLike) -> PixelMap:
        """The pixels that hold galaxies: a footprint for want of a better one.

        The resolution is the finest with 16 galaxies per occupied pixel on average. Pixels at the
        edge count by their galaxies relative to the others, up to 1. ``metadata`` holds
        ``empty_fraction``, the share of empty pixels among those that at least 5 of their 8
        neighbours show to be inside: holes, or places that happen to have no galaxy.

        Parameters
        ----------
        ra, dec : (n,) arrays
            [deg].

        Raises
        ------
        ValueError
            If there are fewer than 200 galaxies.
        """
        a, d = _several(ra, dec, "galaxies")
        nside, pixels, rows = _sorted_into(a, d, GALAXIES_PER_PIXEL)
        counts = np.bincount(rows).astype(np.float64)
        amid = _amid(pixels, nside)
        full = float(counts[amid].mean())
        values = np.where(amid, 1.0, np.minimum(counts / full, 1.0))
        around = neighbours(pixels, nside)
        beside, times = np.unique(around[around >= 0], return_counts=True)
        empty = (times >= 5) & ~np.isin(beside, pixels)
        share = float(empty.sum() / (empty.sum() + len(pixels)))
        about = {"origin": "data", "per_pixel": full, "empty_fraction": share}
        return cls(nside, pixels, values.astype(np.float32), metadata=about)


def relative_density(
    nside: int, pixels: Pixels, counts: Array, spread: float
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Randoms of pixels in units of the median of complete ones, and the metadata of their map.

    Parameters
    ----------
    nside : int
    pixels : (n,) ints
        In nested order, ascending.
    counts : (n,) array
        Sums of the weights of the randoms in them.
    spread : float
        Sum of the squares of all weights over their sum.
    """
    amid = counts[_amid(pixels, nside)]
    full = float(np.median(amid[amid > _PARTIAL * np.median(amid)]))
    about = {"origin": "randoms", "per_pixel": full, "noise": float(np.sqrt(spread / full))}
    return (counts / full).astype(np.float32), about


def _several(ra: ArrayLike, dec: ArrayLike, what: str) -> tuple[Array, Array]:
    a, d = check_directions(ra, dec, f"ra and dec of {what}")
    if a.ndim != 1 or a.size < FEWEST:
        raise ValueError(
            f"a footprint needs at least {FEWEST} {what}, not {a.size}: give a rectangle or a map"
        )
    return a, d


def _sorted_into(ra: Array, dec: Array, per_pixel: int) -> tuple[int, Pixels, NDArray[np.intp]]:
    """The finest nside with ``per_pixel`` directions in an occupied pixel, the pixels, the rows."""
    nside, pixels = FINEST, nested(ra, dec, FINEST)
    ordered = np.sort(pixels)
    while nside > 1:
        occupied = 1 + np.count_nonzero(np.diff(ordered))
        if len(ordered) >= per_pixel * occupied:
            break
        nside //= 2
        ordered >>= 2
    found, rows = np.unique(pixels // (FINEST // nside) ** 2, return_inverse=True)
    return nside, found, rows


def _amid(pixels: Pixels, nside: int) -> NDArray[np.bool_]:
    """Which occupied pixels have occupied neighbours all around; all of them where none has."""
    around = neighbours(pixels, nside)
    amid = np.asarray((np.isin(around, pixels) | (around < 0)).all(axis=0))
    return amid if amid.any() else np.ones(len(pixels), dtype=bool)


@cache
def _to_galactic() -> Array:
    """The rotation from equatorial (ICRS) to galactic unit vectors, (3, 3)."""
    from astropy.coordinates import ICRS, CartesianRepresentation, Galactic

    axes = ICRS(CartesianRepresentation(np.eye(3)))
    return np.asarray(axes.transform_to(Galactic()).cartesian.xyz.value)
