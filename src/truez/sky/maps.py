"""HEALPix maps of a field on the sky: overdensity, its error and expected counts in redshift bins.

The overdensity of a pixel in a bin is the sum of counts, expected (1 + delta), over the sum of
expected counts, less 1. A cell is shared among the pixels that its places lie in, and among the
bins in proportion to its length in each. A place counts in the patch whose core it is in, and so
once.

The error is that of `truez.sky.map_error`.

A file is a HEALPix map in FITS as healpy writes those of a part of the sky: a table with explicit
pixels in nested order, equatorial (ICRS), with the columns

- ``PIXEL``;
- ``DELTA_0``, ``DELTA_1``, ...: of each bin, between the redshifts of the keys ``ZLO0`` and
  ``ZHI0``, ...; ``healpy.read_map(path, field=i)`` reads that of bin i;
- ``ERROR_0``, ..., where the field has a sigma;
- ``EXPECTED_0``, ...: galaxies that are expected in the pixel, the weights of its overdensity;
- ``COMPLETENESS``, 0 to 1, of the photometric survey in the pixel;
- ``RA``, ``DEC``: of the pixel's centre [deg].

A pixel in which a bin expects nothing is UNSEEN in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from truez.mesh.healpix import centers, check_nside, nested
from truez.sky.field import SkyField
from truez.sky.layout import SkyPatch, grown
from truez.sky.map_error import cell_angle, noise_factor, pixel_side
from truez.support.files import atomic_path, system_errors
from truez.support.memory import check_memory
from truez.support.progress import Progress, silent
from truez.surveys.footprint_input import UNSEEN

Array = NDArray[np.float64]
#: Places per side of a pixel at which cells are sampled, and places per side of a cell at most.
_PER_PIXEL, _PER_CELL = 10, 64
#: Places that are sorted into pixels at a time.
_PLACES = 2**20
#: How far ends of bins may be beyond the map by rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class SkyMaps:
    """Maps of an overdensity in redshift bins, of the pixels in which galaxies are expected.

    `maps_from_field` makes them.

    Parameters
    ----------
    nside : int
        Resolution, a power of 2.
    pixels : (n,) ints
        Pixels in nested order, ascending.
    zbins : (m + 1,) array
        Redshifts between bins.
    delta : (m, n) array
        Overdensity; nan where a bin expects nothing.
    error : (m, n) array, optional
        Its error.
    expected : (m, n) array
        Expected galaxies.
    completeness : (n,) array
        Of the photometric survey, 0 to 1.
    metadata : dict
        Plain values that describe the origin.
    """

    nside: int
    pixels: NDArray[np.int64]
    zbins: Array
    delta: Array
    error: Array | None
    expected: Array
    completeness: Array
    metadata: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.delta)

    def __repr__(self) -> str:
        edges = ", ".join(f"{z:.6g}" for z in self.zbins)
        area = self.completeness.sum() * pixel_side(self.nside) ** 2
        return (
            f"SkyMaps of {len(self)} bins between z = {edges}, {len(self.pixels)} pixels of nside "
            f"{self.nside}, {area:.4g} deg^2"
        )

    @property
    def counts(self) -> Array:
        """Galaxies in each pixel and bin as the field has them, (m, n)."""
        return np.where(self.expected > 0, self.expected * (1 + self.delta), 0.0)

    @cached_property
    def directions(self) -> tuple[Array, Array]:
        """Right ascensions and declinations of the pixels' centres, two arrays (n,) [deg]."""
        return centers(self.pixels, self.nside)

    def write(self, path: str | Path) -> None:
        """Write to FITS (``.fits``), whole or not at all; the module shows the layout.

        Raises
        ------
        ValueError
            If the suffix is another.
        """
        check_suffix(path)
        meshes = {"DELTA": self.delta, "EXPECTED": self.expected}
        if self.error is not None:
            meshes = {"DELTA": self.delta, "ERROR": self.error, "EXPECTED": self.expected}
        ra, dec = self.directions
        columns = [fits.Column("PIXEL", "K", array=self.pixels)]
        for name, values in meshes.items():
            for number, row in enumerate(values):
                seen = np.where(np.isfinite(row), row, UNSEEN).astype(np.float32)
                columns.append(fits.Column(f"{name}_{number}", "E", array=seen))
        columns += [
            fits.Column("COMPLETENESS", "E", array=self.completeness.astype(np.float32)),
            fits.Column("RA", "D", unit="deg", array=ra),
            fits.Column("DEC", "D", unit="deg", array=dec),
        ]
        table = fits.BinTableHDU.from_columns(columns, name="MAPS")
        table.header.update({
            "PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "NSIDE": self.nside, "COORDSYS": "C",
            "INDXSCHM": "EXPLICIT", "OBJECT": "PARTIAL", "BAD_DATA": UNSEEN,
        })  # fmt: skip
        for number, (low, high) in enumerate(zip(self.zbins[:-1], self.zbins[1:], strict=True)):
            table.header[f"ZLO{number}"] = (float(low), f"lower redshift of DELTA_{number}")
            table.header[f"ZHI{number}"] = (float(high), f"upper redshift of DELTA_{number}")
        primary = fits.PrimaryHDU()
        primary.header["METADATA"] = json.dumps(self.metadata)
        with atomic_path(path) as temporary, system_errors():
            fits.HDUList([primary, table]).writeto(temporary, overwrite=True)


def maps_from_field(
    estimate: SkyField, zbins: Sequence[float], nside: int = 256, *, progress: Progress = silent
) -> SkyMaps:
    """Maps of a field in redshift bins.

    Parameters
    ----------
    estimate : SkyField
        Such as `SkyField.read` returns.
    zbins : (m + 1,) floats
        Increasing redshifts between bins, within the map.
    nside : int
        Resolution of HEALPix. Pixels that are smaller than the field's cells share their values.
    progress : Progress

    Raises
    ------
    ValueError
        If bins do not increase or reach beyond the map, or nside is no power of 2 or too fine for
        the cells.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.sky.maps import maps_from_field
    >>> from truez.sky.reconstruct import reconstruct
    >>> from truez.sky.surveys import SkySurveys
    >>> rng = np.random.default_rng(1)
    >>> z = rng.uniform(0.1, 0.2, 4000)
    >>> photo = {"RA": rng.uniform(10, 20, z.size), "DEC": rng.uniform(-5, 5, z.size), "Z": z}
    >>> surveys = SkySurveys.from_catalogs(
    ...     photo=photo, spec={name: some[:400] for name, some in photo.items()},
    ...     footprint=(10, 20, -5, 5), sigma_z=0.01, overlap="nested",
    ... )
    >>> field = reconstruct(surveys, "redistribution")
    >>> maps = maps_from_field(field, [0.12, 0.15, 0.18], nside=32)
    >>> maps.delta.shape == (2, len(maps.pixels))
    True
    """
    check_nside(nside)
    edges = check_bins(estimate, zbins)
    _check_fine(estimate, nside)
    check_memory(
        48 * (len(edges) - 1) * num_pixels(estimate, nside),
        f"maps of nside = {nside} in {len(edges) - 1} bins",
        "give a smaller nside or fewer zbins",
    )
    chi = estimate.cosmology.distances.from_redshift(edges)
    parts: list[tuple[NDArray[np.int64], Array]] = []
    density: dict[tuple[float, float], Array] = {}
    known = True
    for number, patch in enumerate(estimate):
        progress("maps", number, len(estimate))
        lines = _SightLines(patch, estimate.metadata, chi, nside)
        density[patch.near, patch.far] = lines.density
        known &= patch.sigma is not None
        own = [lines.in_pixels(rows, estimate, number) for rows in lines.chunks()]
        parts += [_merged(own)] if own else []
    progress("maps", len(estimate), len(estimate))
    if not parts:
        text = ",".join(f"{z:g}" for z in edges)
        raise ValueError(f"zbins {text} hold no place where galaxies are expected: give others")
    about = {"zbins": edges.tolist(), "nside": nside, "field": estimate.metadata}
    full = float(np.sum(list(density.values()))) * pixel_side(nside) ** 2
    return _maps(_merged(parts), edges, nside, full, known=known, metadata=about)


def check_suffix(path: str | Path) -> None:
    """Raise an error unless maps can be written to a path."""
    if Path(path).suffix.lower() != ".fits":
        raise ValueError(f"maps are written as .fits, not {path}")


def check_bins(estimate: SkyField, zbins: Sequence[float]) -> Array:
    """Redshifts between bins, which must increase and lie within the map.

    Raises
    ------
    ValueError
    """
    edges = np.asarray(zbins, np.float64)
    text = ",".join(f"{z:g}" for z in edges.ravel())
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"zbins must be two or more increasing redshifts, not {text}")
    outlines = estimate.layout.outlines
    ends = [min(patch.near for patch in outlines), max(patch.far for patch in outlines)]
    low, high = estimate.cosmology.distances.redshift(np.array(ends))
    if edges[0] < low - _ROUNDING or edges[-1] > high + _ROUNDING:
        raise ValueError(
            f"zbins {text} reach beyond the map, which is from z = {low:.5g} to {high:.5g}: give "
            "bins within it"
        )
    return np.asarray(np.clip(edges, low, high))


def num_pixels(estimate: SkyField, nside: int) -> float:
    """About how many pixels a field covers."""
    outlines = estimate.layout.outlines
    ends = min(patch.near for patch in outlines), max(patch.far for patch in outlines)
    area = 0.0
    for patch in outlines:
        # A part of the sky is in as many patches as there are shells.
        share = (patch.far - patch.near) / (ends[1] - ends[0])
        lines = np.count_nonzero(patch.core & (patch.completeness > 0))
        area += share * lines * patch.box.cell_area
    return area / pixel_side(nside) ** 2


def largest_cell(estimate: SkyField) -> float:
    """Side of the largest cells of a field [deg]."""
    return max(cell_angle(patch.box) for patch in estimate.layout.outlines)


def _check_fine(estimate: SkyField, nside: int) -> None:
    cell = largest_cell(estimate)
    finest = pixel_side(1) * _PER_CELL / _PER_PIXEL / cell
    if nside > finest:
        raise ValueError(
            f"nside must be at most {2 ** int(math.log2(finest))} for the cells of this field, "
            f"which are {cell:.2g} deg wide, not {nside}"
        )


class _SightLines:
    """What each sight line of a patch has in each bin."""

    def __init__(self, patch: SkyPatch, metadata: dict[str, Any], chi: Array, nside: int) -> None:
        self.patch = patch
        shares = _shares(patch, chi)
        self.per_cell = shares * patch.expected_profile
        #: Expected galaxies of each bin on a square degree of completeness 1, (m,).
        self.density = self.per_cell.sum(axis=1) / patch.box.cell_area
        self.spread = shares * patch.expected_profile**2 * noise_factor(patch, metadata, chi, nside)
        self.nside = nside
        # Cells next to a seam, on both sides: their places may be of either patch.
        self.beside = grown(patch.core) & grown(~patch.core)
        used = (patch.core | self.beside) & (patch.completeness > 0)
        self.rows = np.argwhere(used)

    def chunks(self) -> Iterator[NDArray[np.int64]]:
        """Sight lines (n, 2), as many as are sampled at a time."""
        if not self.density.any():
            return
        step = max(_PLACES // self.per_side**2, 1)
        for first in range(0, len(self.rows), step):
            yield self.rows[first : first + step]

    @cached_property
    def per_side(self) -> int:
        """Places per side of a cell."""
        return max(math.ceil(_PER_PIXEL * cell_angle(self.patch.box) / pixel_side(self.nside)), 2)

    def in_pixels(
        self, rows: NDArray[np.int64], estimate: SkyField, number: int
    ) -> tuple[NDArray[np.int64], Array]:
        """Pixels of some sight lines, and what they have there, (3 m, pixels)."""
        box, side = self.patch.box, self.per_side
        i, j = rows.T
        inside = (np.arange(side) + 0.5) / side - 0.5
        across = np.stack(np.meshgrid(inside, inside, indexing="ij"), axis=-1).reshape(-1, 2)
        x, y = (
            (box.centers(axis)[cells][:, None] + across[:, axis] * box.cellsize[axis]).ravel()
            for axis, cells in ((0, i), (1, j))
        )
        ra, dec = box.deproject(x, y)
        line = np.repeat(np.arange(len(rows)), side**2)
        # At the seams a place is of one patch only.
        doubtful = np.flatnonzero(self.beside[i, j][line])
        middle = estimate.cosmology.distances.redshift((self.patch.near + self.patch.far) / 2)
        owner = estimate.patch_of(ra[doubtful], dec[doubtful], np.full(len(doubtful), middle))
        kept = np.ones(len(line), dtype=bool)
        kept[doubtful[owner != number]] = False
        pixels, places = np.unique(nested(ra[kept], dec[kept], self.nside), return_inverse=True)
        sums = self.sums(i, j)[:, line[kept]] / side**2
        return pixels, np.array([np.bincount(places, one, len(pixels)) for one in sums])

    def sums(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> Array:
        """Expected counts, counts, and their variance in each bin of sight lines, (3 m, n)."""
        patch = self.patch
        filled = patch.expected_profile > 0
        delta = np.where(filled, patch.delta[i, j].numpy(), 0.0).astype(np.float64)
        complete = patch.completeness[i, j].astype(np.float64)
        expected = self.per_cell.sum(axis=1)[:, None] * complete
        counts = (self.per_cell @ (1 + delta).T) * complete
        variance = np.zeros_like(counts)
        if patch.sigma is not None:
            sigma = np.where(filled, patch.sigma[i, j].numpy(), 0.0).astype(np.float64)
            variance = (self.spread @ (sigma**2).T) * complete**2
        return np.concatenate([expected, counts, variance])


def _shares(patch: SkyPatch, chi: Array) -> Array:
    """Shares of the cells of a sight line in the bins between distances, (m, nz)."""
    edges = patch.box.edges(2)
    ends = np.clip(chi, patch.near, patch.far)
    low, high = ends[:-1, None], ends[1:, None]
    length = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
    return np.asarray(np.clip(length / np.diff(edges), 0, 1))


def _merged(parts: Sequence[tuple[NDArray[np.int64], Array]]) -> tuple[NDArray[np.int64], Array]:
    """Sums over parts that may have pixels in common."""
    pixels, places = np.unique(np.concatenate([p for p, _ in parts]), return_inverse=True)
    sums = np.concatenate([values for _, values in parts], axis=1)
    return pixels, np.array([np.bincount(places, one, len(pixels)) for one in sums])


def _maps(
    found: tuple[NDArray[np.int64], Array], edges: Array, nside: int, full: float, *, known: bool,
    metadata: dict[str, Any],
) -> SkyMaps:  # fmt: skip
    """Maps of sums; ``full`` is the galaxies of a complete pixel in all bins."""
    pixels, sums = found
    seen = sums[: len(edges) - 1].any(axis=0)
    expected, counts, variance = np.split(sums[:, seen], 3)
    there = expected > 0
    level = np.where(there, expected, 1.0)
    delta = np.where(there, counts / level - 1, np.nan)
    error = np.where(there, np.sqrt(variance) / level, np.nan) if known else None
    completeness = np.minimum(expected.sum(axis=0) / full, 1.0)
    return SkyMaps(nside, pixels[seen], edges, delta, error, expected, completeness, metadata)
