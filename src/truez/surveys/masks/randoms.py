"""Catalogues of randoms as footprints, read in chunks: a survey has some 10^8 of them.

Needed are right ascension and declination. A column WEIGHT counts; of a column Z the N(z) is kept,
to be compared with that of the galaxies, and nothing else: randoms repeat the galaxies' peaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from truez.catalogs import formats, vectors
from truez.catalogs.catalog import Catalog
from truez.catalogs.chunks import CHUNK_ROWS, iter_chunks
from truez.catalogs.coordinates import find_columns, sky_coordinates
from truez.mesh.healpix import nested
from truez.support.tables import listed
from truez.surveys.nz import NumberDensity
from truez.surveys.pixel_map import FEWEST, FINEST, RANDOMS_PER_PIXEL, PixelMap, relative_density

Array = NDArray[np.float64]
Pixels = NDArray[np.int64]
#: Most pixels that are kept in finest ones: beyond, coarser ones hold 64 randoms.
_MOST = 2**23
#: Width of the bins of redshift, and the last edge.
_STEP, _FARTHEST = 0.002, 10.0


@dataclass(frozen=True, eq=False, repr=False)
class RandomsMap(PixelMap):
    """The density of randoms on the sky, as `PixelMap.from_randoms`, and their N(z).

    Parameters
    ----------
    nside, pixels, values, galactic, metadata
        As of `PixelMap`; ``metadata`` has ``num_randoms`` and ``weighted`` in addition.
    numbers : NumberDensity, optional
        N(z) of the randoms, where they have redshifts.
    """

    numbers: NumberDensity | None = None


def read_randoms(
    path: str | Path, *, columns: Sequence[str] = ("RA", "DEC"), ra_unit: str | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> RandomsMap:  # fmt: skip
    """The footprint that files of randoms mark.

    Parameters
    ----------
    path : path
        A catalogue, a pattern such as ``LRG_NGC_*_clustering.ran.fits``, or several of these with
        commas.
    columns : two names
        Of right ascension and declination, in any case.
    ra_unit : {"deg", "hourangle", "rad"}, optional
        By default what the file states, else degrees.
    chunk_rows : int
        Rows that are in memory at a time.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing or holds no angles, a weight is negative or not finite, or there are
        fewer than 200 randoms.
    """
    found = _Counts()
    for one in listed(str(path)):
        _add_file(found, one, columns, ra_unit, chunk_rows)
    return found.footprint()


def _add_file(
    found: _Counts, path: str, columns: Sequence[str], ra_unit: str | None, chunk_rows: int
) -> None:
    header = formats.header(Path(path))
    names = find_columns(columns, list(header.columns), path)
    weight, z = (
        next((name for name in header.columns if name.upper() == wanted), None)
        for wanted in ("WEIGHT", "Z")
    )
    if found.number and found.weighted != (weight is not None):
        raise ValueError(
            f"{path} has {'no' if weight is None else 'a'} column WEIGHT, unlike the randoms "
            "before it: give it to all of them or to none"
        )
    wanted = [*names, *(name for name in (weight, z) if name is not None)]
    # Whether angles look like degrees is a question to all of them, not to a chunk.
    unstated = ra_unit is None and names[0] not in header.units
    corners: list[Array] = []
    for chunk in iter_chunks(path, wanted, chunk_rows=chunk_rows):
        sky = sky_coordinates(chunk, names, ra_unit="deg" if unstated else ra_unit, name=path)
        weights = None if weight is None else _weights(chunk, weight, path)
        found.add(sky.ra, sky.dec, weights)
        if z is not None:
            found.add_redshifts(vectors.floats(chunk.columns, z).astype(np.float64))
        raw = (vectors.floats(chunk.columns, name) for name in names)
        corners.append(np.array([[x.min(), x.max()] for x in raw], np.float64))
    if unstated:
        ends = np.concatenate(corners, axis=1)
        sky_coordinates(Catalog(dict(zip(names, ends, strict=True))), names, name=path)


def _weights(chunk: Catalog, column: str, path: str) -> Array:
    weights = vectors.floats(chunk.columns, column).astype(np.float64)
    bad = int(np.count_nonzero(~(np.isfinite(weights) & (weights >= 0))))
    if bad:
        raise ValueError(
            f"column {column!r} of {path} must hold finite weights >= 0 of randoms, and {bad} are "
            "not: remove those rows or that column"
        )
    return weights


def _sums(rows: NDArray[np.intp], weights: Array) -> Array:
    """Sums of weights by the number of a pixel."""
    return np.asarray(np.bincount(rows, weights), np.float64)


@dataclass
class _Counts:
    """Sums of weights in pixels, to which randoms are added."""

    nside: int = FINEST
    pixels: Pixels = field(default_factory=lambda: np.zeros(0, np.int64))
    sums: Array = field(default_factory=lambda: np.zeros(0))
    number: int = 0
    total: float = 0.0
    squares: float = 0.0
    weighted: bool = False
    waiting: list[tuple[Pixels, Array]] = field(default_factory=list)
    redshifts: Array = field(default_factory=lambda: np.zeros(round(_FARTHEST / _STEP)))

    def add(self, ra: Array, dec: Array, weights: Array | None) -> None:
        """Count randoms [deg]."""
        pixels, rows = np.unique(nested(ra, dec, self.nside), return_inverse=True)
        w = np.ones(len(ra)) if weights is None else weights
        self.weighted |= weights is not None
        self.number += len(ra)
        self.total += float(w.sum())
        self.squares += float((w**2).sum())
        self.waiting.append((pixels, _sums(rows, w)))
        # Merging sorts all pixels, so it waits until there are about as many new ones.
        if sum(len(one) for one, _ in self.waiting) > max(len(self.pixels), _MOST // 2):
            self.merge()

    def add_redshifts(self, z: Array) -> None:
        """Count redshifts; values that are none are left out."""
        known = z[(z > 0) & (z < _FARTHEST)]
        bins = np.minimum((known / _STEP).astype(np.int64), len(self.redshifts) - 1)
        self.redshifts += np.bincount(bins, minlength=len(self.redshifts))

    def merge(self) -> None:
        """Bring what waits to the sums, in coarser pixels if there are too many."""
        parts = [(self.pixels, self.sums), *self.waiting]
        self.waiting = []
        pixels, rows = np.unique(np.concatenate([one for one, _ in parts]), return_inverse=True)
        self.sums = _sums(rows, np.concatenate([one for _, one in parts]))
        self.pixels = pixels
        while len(self.pixels) > _MOST:
            self.coarsen()

    def coarsen(self) -> None:
        """Halve the resolution."""
        self.nside //= 2
        self.pixels, rows = np.unique(self.pixels >> 2, return_inverse=True)
        self.sums = _sums(rows, self.sums)

    def footprint(self) -> RandomsMap:
        """The map in the finest pixels that hold 64 randoms on average."""
        if self.number < FEWEST:
            raise ValueError(
                f"a footprint needs at least {FEWEST} randoms, not {self.number}: give a rectangle "
                "or a map"
            )
        if not self.total > 0:
            raise ValueError("weights of randoms must not all be 0: remove the column WEIGHT")
        self.merge()
        while self.nside > 1 and self.number < RANDOMS_PER_PIXEL * len(self.pixels):
            self.coarsen()
        values, about = relative_density(
            self.nside, self.pixels, self.sums, self.squares / self.total
        )
        about |= {"num_randoms": self.number, "weighted": self.weighted}
        numbers = None
        if self.redshifts.sum() >= FEWEST:
            middle = np.asarray((np.arange(len(self.redshifts)) + 0.5) * _STEP, np.float64)
            numbers = NumberDensity(middle, self.redshifts / _STEP)
        return RandomsMap(self.nside, self.pixels, values, metadata=about, numbers=numbers)
