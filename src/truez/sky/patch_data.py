"""What two surveys have in a sky box: expected counts, galaxies, and their p(photo-z | cell)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.field import Field
from truez.mesh.painting import paint
from truez.mesh.sky_box import SkyBox
from truez.sightlines.own_place import OwnPlaces
from truez.sightlines.posteriors import CellsBeyond
from truez.sky.sight_line import SightLine
from truez.sky.surveys import SkySurveys
from truez.surveys.expected import expected_counts
from truez.surveys.footprint import Footprint
from truez.surveys.nz import NumberDensity
from truez.surveys.redshift_error import RedshiftError

Array = NDArray[np.float64]
Single = NDArray[np.float32]
#: Least share of the expected photometric galaxies that have no spectrum: where there are more
#: spectra than N(z) of the photometric survey has galaxies, N(z) are not right to so much.
LEAST_UNKNOWN = 0.02


@dataclass(frozen=True, eq=False)
class PatchData:
    """The two surveys in a sky box.

    Parameters
    ----------
    surveys : SkySurveys
    box : SkyBox
    """

    surveys: SkySurveys
    box: SkyBox

    @cached_property
    def sight_line(self) -> SightLine:
        """Cells of redshift that the galaxies of the box may truly be in."""
        surveys = self.surveys
        return SightLine.of(self.box, surveys.nz, surveys.error, anywhere=surveys.pdfs is not None)

    @cached_property
    def fraction(self) -> NDArray[np.float32]:
        """Completeness of the photometric survey on each sight line, (nx, ny)."""
        return self.surveys.footprint.fraction(self.box)

    @cached_property
    def spec_fraction(self) -> NDArray[np.float32]:
        """Completeness of the spectroscopic survey, (nx, ny)."""
        if self.surveys.spec_footprint is self.surveys.footprint:
            return self.fraction
        return self.surveys.spec_footprint.fraction(self.box)

    def expected_spec(self) -> Tensor:
        """Expected spectroscopic galaxies per cell, (nx, ny, nz)."""
        return self._expected(self.surveys.spec_footprint, self.surveys.spec_nz, self.spec_fraction)

    def expected_photo(self, resampler: str = "ngp") -> Tensor:
        """Expected photometric galaxies per cell at their true places, (nx, ny, nz).

        Those of other resamplers are spread as painted galaxies are, also beyond the footprint.
        """
        surveys, fraction = self.surveys, self.fraction
        if resampler != "ngp":
            fraction = surveys.footprint.fraction(self.box, resampler=resampler)
        return self._expected(surveys.footprint, surveys.nz, fraction, resampler)

    def expected_unknown(self) -> Tensor:
        """Expected photometric galaxies without a known redshift, (nx, ny, nz)."""
        expected = self.expected_photo()
        if self.surveys.matched is None:
            return expected
        known = self.expected_spec().mul_(self.surveys.common)
        return torch.maximum(expected - known, LEAST_UNKNOWN * expected)

    @cached_property
    def unknown_beyond(self) -> CellsBeyond | None:
        """Those in cells beyond the box; None where there are no such cells."""
        surveys, line = self.surveys, self.sight_line
        if not line.beyond.any():
            return None

        def expected(footprint: Footprint, density: NumberDensity, across: Single) -> Single:
            counts = density.counts(line.edges)[line.beyond] * self.box.cell_area / footprint.area
            return np.asarray(across[:, :, None] * counts.astype(np.float32))

        unknown = expected(surveys.footprint, surveys.nz, self.fraction)
        if surveys.matched is not None:
            known = expected(surveys.spec_footprint, surveys.spec_nz, self.spec_fraction)
            unknown = np.maximum(unknown - surveys.common * known, LEAST_UNKNOWN * unknown)
        return CellsBeyond(torch.from_numpy(unknown), line.before)

    def _expected(
        self, footprint: Footprint, density: NumberDensity, fraction: NDArray[np.float32],
        resampler: str = "ngp",
    ) -> Tensor:  # fmt: skip
        if not (fraction > 0).any():
            return torch.zeros(self.box.meshsize)
        return expected_counts(
            self.box, footprint=footprint, density=density, fraction=fraction, resampler=resampler
        ).values

    def visible(self, low: float, high: float) -> Tensor:
        """Probability that a photometric galaxy of a cell has its photo-z in a range, (nz,)."""
        share = visible_at(self.surveys, self.box.redshift_centers, (low, high))
        return torch.from_numpy(share.astype(np.float32))

    def expected_painted(self, resampler: str) -> Tensor:
        """Expected galaxies per cell of those that are painted in the box, (nx, ny, nz).

        They have a photo-z in it, or a known redshift.
        """
        surveys, expected = self.surveys, self.expected_photo(resampler)
        visible = self.visible(*self.photo_bounds)
        if surveys.matched is None or not self.sight_line.beyond.any():
            return expected.mul_(visible)
        fraction = surveys.spec_footprint.fraction(self.box, resampler=resampler)
        known = self._expected(surveys.spec_footprint, surveys.spec_nz, fraction, resampler)
        known = torch.minimum(known.mul_(surveys.common), (1 - LEAST_UNKNOWN) * expected)
        # Outliers among those of known redshift have a photo-z anywhere.
        anywhere = self.visible(*surveys.photo_range)
        return expected.mul_(visible).add_(known.mul_(anywhere - visible))

    @cached_property
    def photo_bounds(self) -> tuple[float, float]:
        """Photo-z of the galaxies that have a posterior in the box."""
        edges, (low, high) = self.box.redshift_edges, self.surveys.photo_range
        return max(float(edges[0]), low), min(float(edges[-1]), high)

    def within(self, sight_lines: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Rows of the photometric galaxies of unknown redshift with a photo-z in the box.

        Parameters
        ----------
        sight_lines : (nx, ny) bool array, optional
            Those that they must be on; all by default.
        """
        sky, (low, high) = self.surveys.photo, self.photo_bounds
        with np.errstate(invalid="ignore"):
            rows = self.surveys.unknown & (sky.redshift >= low) & (sky.redshift <= high)
        return self.on_sight_lines(np.flatnonzero(rows), sight_lines)

    def on_sight_lines(
        self, rows: NDArray[np.int64], sight_lines: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """Those of some rows of ``photo`` that are on sight lines of the box."""
        rows = rows[near_box(self.box, self.surveys.photo.ra[rows], self.surveys.photo.dec[rows])]
        i, j = sight_line_of(self.box, self.places(rows))
        inside = i >= 0
        if sight_lines is not None:
            inside[inside] = sight_lines[i[inside], j[inside]]
        return rows[inside]

    def places(self, rows: NDArray[np.int64]) -> Array:
        """Places across the sky of photometric galaxies, (n, 2) [Mpc/h]."""
        sky = self.surveys.photo
        return np.stack(self.box.project(sky.ra[rows], sky.dec[rows]), axis=-1)

    def with_neighbours(
        self, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All galaxies of unknown redshift in the box, and the places of some rows among them."""
        everyone = np.union1d(self.within(), rows)
        return everyone, np.searchsorted(everyone, rows)

    def own_places(self, rows: NDArray[np.int64]) -> OwnPlaces:
        """Some photometric galaxies of unknown redshift on the sight lines of the box."""
        surveys, edges = self.surveys, self.sight_line.edges
        expected, beyond = self.expected_unknown(), self.unknown_beyond
        if beyond is not None:
            expected = beyond.mesh_with(expected)
        if surveys.photo_weights is not None:
            # Galaxies count once among neighbours, whatever their weights.
            expected = expected / surveys.unknown_weight
        visible = visible_at(surveys, (edges[1:] + edges[:-1]) / 2, self.photo_bounds)
        chi = self.box.cosmology.distances.from_redshift(surveys.photo.redshift[rows])
        return OwnPlaces(
            box=self.box,
            positions=self.places(rows),
            likelihood=lambda some: self.likelihood(rows[some]),
            expected=expected,
            before=0 if beyond is None else beyond.before,
            visible=visible.astype(np.float32),
            scale=chi / self.box.chi_ref,
        )

    def known(self, sight_lines: NDArray[np.bool_]) -> tuple[Array, Array | None]:
        """Positions (n, 3) of the galaxies of known redshift in the box, and their weights."""
        surveys = self.surveys
        ours, theirs = surveys.matched_pairs
        inside = surveys.usable[theirs]
        ours, theirs = ours[inside], theirs[inside]
        own = np.isin(theirs, self.on_sight_lines(theirs, sight_lines))
        ours, theirs = ours[own], theirs[own]
        chi = self.box.cosmology.distances.from_redshift(surveys.spec.redshift[ours])
        positions = np.column_stack([self.places(theirs), chi])
        inside = self.box.inside(positions)
        weights = surveys.photo_weights
        return positions[inside], None if weights is None else weights[theirs[inside]]

    def spec_counts(self, resampler: str = "ngp") -> Field:
        """Spectroscopic galaxies per cell."""
        surveys = self.surveys
        rows = np.flatnonzero(surveys.spec_usable)
        rows = rows[near_box(self.box, surveys.spec.ra[rows], surveys.spec.dec[rows])]
        spec = surveys.spec
        positions = self.box.positions(spec.ra[rows], spec.dec[rows], spec.redshift[rows])
        weights = None if surveys.spec_weights is None else surveys.spec_weights[rows]
        return paint(positions, self.box, resampler, weights=weights, outside="drop")

    def likelihood(self, rows: NDArray[np.int64]) -> Array:
        """p(photometry | cell) of photometric galaxies on the `sight_line`, (n, cells).

        That of the photo-z, per unit redshift, times the share of the galaxies of their class of
        errors at each redshift, on average 1. With p(z) it is p(z) without its prior, scaled to an
        integral of 1, and constant where p(z) cannot be used.
        """
        surveys = self.surveys
        if surveys.pdfs is not None:
            # No share of a class: p(z) is the likelihood of all of the photometry, the width of
            # p(z) and whatever else classes are made by among it.
            return surveys.pdfs.likelihood(rows, self.sight_line.edges)
        error: RedshiftError = surveys.error
        if error.num_galaxies is not None:
            error = error.take(rows)
        own = error.rows(surveys.photo.redshift[rows], self.sight_line.edges)
        if len(surveys.classes) > 1:
            own *= self._relative_shares[surveys.class_of[rows]]
        return own

    @cached_property
    def class_shares(self) -> Array:
        """Shares of the classes among the galaxies of the cells of a sight line, (classes, nz)."""
        return self.shares_at(self.box.redshift_edges)

    @cached_property
    def _relative_shares(self) -> Array:
        """The shares on the `sight_line` over their means."""
        edges = self.sight_line.edges
        shares, counts = self.shares_at(edges), self.surveys.nz.counts(edges)
        means = shares @ counts / max(float(counts.sum()), 1e-300)
        return np.asarray(shares / np.maximum(means[:, None], 1e-300))

    def shares_at(self, edges: Array) -> Array:
        """Shares of the classes among the galaxies between redshifts (n + 1,), (classes, n)."""
        counts = np.array([one.density.counts(edges) for one in self.surveys.classes])
        total = counts.sum(axis=0)
        return np.asarray(np.divide(counts, total, out=np.zeros_like(counts), where=total > 0))


def visible_at(surveys: SkySurveys, redshift: Array, photo_range: tuple[float, float]) -> Array:
    """Probability that photometric galaxies at redshifts (n,) have their photo-z in a range, (n,).

    Of all classes of errors, by their shares at each redshift.
    """
    total, inside = np.zeros(len(redshift)), np.zeros(len(redshift))
    for one in surveys.classes:
        density = one.density(redshift) + 1e-12 * one.density.total
        total += density
        inside += density * one.error.probability(photo_range, redshift)[0]
    return np.asarray(inside / total)


def near_box(box: SkyBox, ra: Array, dec: Array) -> NDArray[np.int64]:
    """Rows of the directions that are not far outside a sky box, in a quick look."""
    reach = np.hypot(*np.maximum(np.abs(box.lower[:2]), np.abs(box.upper[:2]))) / box.chi_ref
    # A chord of the sphere in units of its radius, as the projection has it.
    limit = np.cos(2 * np.arcsin(min(reach * 1.001 / 2, 1.0)))
    x, y, z = box.axes[2]
    a, d = np.radians(ra), np.radians(dec)
    toward = np.cos(d) * (x * np.cos(a) + y * np.sin(a)) + z * np.sin(d)
    return np.flatnonzero(toward >= limit - 1e-9)


def sight_line_of(box: SkyBox, places: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the sight lines of places (n, 2), -1 outside the box."""
    cells = []
    inside = np.ones(len(places), dtype=bool)
    for axis in (0, 1):
        cell = (places[:, axis] - box.lower[axis]) / box.cellsize[axis]
        inside &= (cell >= 0) & (cell <= box.meshsize[axis])
        cells.append(np.minimum(np.floor(cell), box.meshsize[axis] - 1))
    i, j = (np.where(inside, cell, -1).astype(np.int64) for cell in cells)
    return i, j
