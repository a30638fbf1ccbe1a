"""The galaxies of a stored view, observed again, at their own places in a part of its sky.

A view holds its galaxies by fine cells. Their own places are those of the same survey of the same
universe, which is a function of the description and of the seed that the view keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truez.mesh.box import Box
from truez.sightlines.kernel import Kernel
from truez.sightlines.own_place import OwnPlaces
from truez.simulate import Galaxies
from truez.surveys.uneven import expected_with_margin
from truez.training.survey_description import SurveyDescription
from truez.training.survey_galaxies import (
    ObservedGalaxies,
    observed_survey,
    redshift_errors,
    table_of,
)
from truez.training.survey_geometry import SurveyGeometry
from truez.training.survey_view import SurveyView

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class SkyPart:
    """A part of the sky of a mesh.

    Parameters
    ----------
    corner, shape : two ints
        Its first cell, and its cells along both axes.
    """

    corner: tuple[int, int]
    shape: tuple[int, int]

    def box(self, whole: Box) -> Box:
        """The part of a box; of a periodic one it is taken to be periodic itself."""
        cells = (*self.shape, whole.meshsize[2])
        size = [n * side for n, side in zip(cells, whole.cellsize, strict=True)]
        center = [
            low + (first + n / 2) * side
            for low, first, n, side in zip(
                whole.lower, (*self.corner, 0), cells, whole.cellsize, strict=True
            )
        ]
        return Box((size[0], size[1], size[2]), cells, (center[0], center[1], center[2]),
                   periodic=whole.periodic)  # fmt: skip

    def of(self, values: NDArray[Any]) -> Tensor:
        """The part of an array (..., nx, ny, nz), float32."""
        (x, y), (wide, high) = self.corner, self.shape
        part = values[..., x : x + wide, y : y + high, :]
        return torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32))


@dataclass(frozen=True, eq=False)
class SurveyAgain:
    """The galaxies of a view at their own places.

    Parameters
    ----------
    view : SurveyView
    geometry : SurveyGeometry
    seen : ObservedGalaxies
    rows : (n,) int array
        Those of ``seen.photo`` that are the galaxies of the view, in its order.
    """

    view: SurveyView
    geometry: SurveyGeometry
    seen: ObservedGalaxies
    rows: Rows

    @classmethod
    def of(cls, view: SurveyView, galaxies: Galaxies) -> SurveyAgain:
        """Observe the survey of a view again.

        Parameters
        ----------
        view : SurveyView
        galaxies : Galaxies
            Its universe.

        Raises
        ------
        ValueError
            If the view has no description, or its galaxies are not those of the universe.
        """
        stored = view.about.get("description")
        if stored is None:
            raise ValueError("the view has no description: make it again with truez views")
        geometry, seen = observed_survey(galaxies, SurveyDescription.from_json(stored))
        box = geometry.box
        cell = np.floor((seen.photo_place - box.lower[2]) / box.cellsize[2]).astype(np.int64)
        matrix = torch.from_numpy(np.array(view.kernels[0]))
        kernel = Kernel(matrix, view.photo_margin, view.true_margin, view.periodic)
        kept, table = table_of(geometry, seen, cell + view.photo_margin, kernel)
        rows = np.flatnonzero(kept)
        order = np.lexsort((table[:, 1], table[:, 0]))
        rows, table = rows[order], table[order]
        # Galaxies without a place have been left out, see `SurveyView.placed`: all of one kind.
        wanted = view.galaxies.astype(np.int64)
        sizes = np.maximum(table.max(axis=0, initial=0), wanted.max(axis=0, initial=0)) + 1
        same = np.isin(_numbered(table, sizes), _numbered(wanted, sizes))
        if box.meshsize != view.mesh or not np.array_equal(table[same], wanted):
            raise ValueError(
                f"the galaxies of the view {view.about.get('kind', '')!r} are not those of its "
                f"universe {view.about.get('universe')}: make the view again with truez views"
            )
        return cls(view, geometry, seen, rows[same])

    @cached_property
    def _cells(self) -> tuple[Rows, Rows]:
        x, y = (self.view.galaxies[:, axis].astype(np.int64) // 2 for axis in (0, 1))
        return x, y

    def rows_in(self, part: SkyPart) -> Rows:
        """Those of the galaxies of the view that are in a part of the sky."""
        inside = np.ones(len(self.rows), bool)
        for cell, first, size in zip(self._cells, part.corner, part.shape, strict=True):
            inside &= (cell >= first) & (cell < first + size)
        return np.flatnonzero(inside)

    def places(self, rows: Rows) -> NDArray[np.float64]:
        """True places of galaxies of the view, (m, 3) [Mpc/h]."""
        return self.seen.photo[self.rows[rows]]

    def own_places(self, part: SkyPart, rows: Rows) -> OwnPlaces:
        """Galaxies of the view on the sight lines of a part of the sky.

        As those of a reconstruction: of even surveys their photo-z is in a cell, on the sky each
        has the likelihood of its own.
        """
        view, margin = self.view, self.view.true_margin
        if self.geometry.sky:
            expected = part.of(view.unknown)
        else:
            expected = torch.tensor(float(view.unknown[0, 0, 0])).expand(
                (*part.shape, view.mesh[2])
            )
        visible, scale = None, None
        if self.geometry.sky:
            visible = np.einsum("ct,cpt->t", self._shares, view.kernels).astype(np.float32)
            scale = self.geometry.stretch(self.seen.photo_place[self.rows[rows]])
        # They are asked for twice, for the pairs and for the field.
        likelihood = self._likelihood(rows)
        return OwnPlaces(
            box=part.box(self.geometry.box),
            positions=self.places(rows),
            likelihood=lambda some: likelihood[some],
            expected=expected_with_margin(expected, margin),
            before=margin,
            visible=visible,
            scale=scale,
        )

    @cached_property
    def _shares(self) -> NDArray[np.float32]:
        """Shares of the classes, those of the ends beyond them, (classes, num_true)."""
        margin = self.view.true_margin
        return np.pad(self.view.shares, [(0, 0), (margin, margin)], mode="edge")

    def _likelihood(self, rows: Rows) -> NDArray[np.float32]:
        """p(photo-z | true cell) of galaxies of the view in any unit, (m, num_true)."""
        view, geometry = self.view, self.geometry
        _, _, photo, _, kind = view.galaxies[rows].T
        if not geometry.sky:
            return np.asarray(view.kernels[kind, photo])
        place = self.seen.photo_place[self.rows[rows]]
        z_phot = geometry.cosmology.distances.redshift(place)
        edges = geometry.edges(view.true_margin)
        result = np.empty((len(rows), len(edges) - 1), np.float32)
        for number, error in enumerate(redshift_errors(geometry, assumed=True)):
            own = kind == number
            result[own] = error.rows(z_phot[own], edges) * self._shares[number]
        return result


def _numbered(table: Rows, sizes: Rows) -> Rows:
    """One number for each row of a table of whole numbers below ``sizes``."""
    result = np.zeros(len(table), np.int64)
    for column, size in zip(table.T, sizes, strict=True):
        result = result * size + column
    return result
