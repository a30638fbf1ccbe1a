"""Slices with zooms (Fig. 3 of arXiv:2504.06309)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from truez.evaluate.figures.common import axis_label, density_colors, project, slice_limits
from truez.evaluate.figures.style import PAGE_WIDTH, color_bar, styled, wrapped
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.statistics.binning import Floats

_PAGE_HEIGHT = 9.5  # [inches]
_OUTLINE = (patheffects.withStroke(linewidth=2.2, foreground="black"),)


def zoom_corners(box: Box, side: float, *, number: int = 4, seed: int = 0) -> Floats:
    """Lower corners (number, 2) in x and y [Mpc/h] of squares at random places.

    Squares of ``side`` [Mpc/h] that do not overlap, on the edges of cells, from top to bottom.

    Raises
    ------
    ValueError
        If they do not fit.
    """
    sizes, cells = np.array(box.boxsize[:2]), np.array(box.cellsize[:2])
    rng, room = np.random.default_rng(seed), sizes - side
    found: list[NDArray[np.float64]] = []
    for _ in range(10000 if (room >= 0).all() else 0):
        corner = np.floor(rng.uniform(0, room + 1e-9) / cells + 1e-6) * cells
        if all((np.abs(corner - other) >= side).any() for other in found):
            found.append(corner)
        if len(found) == number:
            found.sort(key=lambda corner: (-corner[1], corner[0]))
            corners: Floats = np.array(found) + np.array(box.lower[:2])
            return corners
    raise ValueError(
        f"{number} zooms of {side:g} Mpc/h do not fit beside each other into {sizes[0]:g} x "
        f"{sizes[1]:g} Mpc/h: make them smaller"
    )


@styled
def zooms(
    fields: Mapping[str, Field],
    *,
    thickness: float = 10.0,
    side: float | None = None,
    corners: NDArray[np.float64] | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Slices across the line of sight and four zooms of each (Fig. 3 of the paper).

    Parameters
    ----------
    fields : mapping of name to Field
        Overdensities on one box: truth, reconstruction, spec, photo and so on; a column for each.
    thickness : float
        Thickness of the slab, in the middle of the box, that is projected [Mpc/h].
    side : float, optional
        Side of a zoom [Mpc/h]; by default a sixth of the shorter side of the box, but at least 20
        cells where there is room.
    corners : array (4, 2), optional
        Lower corners of the zooms in x and y [Mpc/h]; by default `zoom_corners`.
    limits : (float, float), optional
        Lowest and highest 1 + delta of the colour scale; by default `slice_limits` of the first.

    Raises
    ------
    ValueError
        If there is no field, a field is no overdensity on the box of the first, or the zooms do
        not fit.
    """
    if not fields:
        raise ValueError("fields must hold at least one field to draw, not none")
    first = next(iter(fields.values()))
    for name, field in fields.items():
        if field.box != first.box or field.kind != "delta":
            raise ValueError(f"{name} must be an overdensity on the box of the first field")
    box = first.box
    if side is None:
        shorter = min(box.boxsize[:2])
        side = max(shorter / 6, min(20 * max(box.cellsize[:2]), shorter / 3))
    places = zoom_corners(box, side) if corners is None else np.asarray(corners, dtype=np.float64)
    norm = LogNorm(*(slice_limits(first, thickness=thickness) if limits is None else limits))
    extent = (box.lower[0], box.upper[0], box.lower[1], box.upper[1])

    heights = [box.boxsize[1] / box.boxsize[0], *[1.0] * len(places)]
    beside, between = 1.1, 0.5 + 0.2 * len(heights)  # inches for the colour bar, and for the ticks
    width = min((PAGE_WIDTH - beside) / len(fields), (_PAGE_HEIGHT - between) / sum(heights))
    size = (len(fields) * width + beside, sum(heights) * width + between)
    figure = Figure(figsize=size, layout="compressed")
    panels = figure.subplots(
        len(heights), len(fields), sharex="row", sharey="row", squeeze=False, height_ratios=heights
    )
    colors, actual = density_colors(), thickness
    for column, (name, field) in enumerate(fields.items()):
        values, actual = project(field, 2, thickness=thickness)
        for row, panel in enumerate(panels[:, column]):
            panel.imshow(values.T, origin="lower", extent=extent, norm=norm, cmap=colors)
            panel.tick_params(color="white", which="both")
            panel.locator_params(nbins=4 if len(fields) < 5 else 3)
            if row:
                x, y = places[row - 1]
                panel.set(xlim=(x, x + side), ylim=(y, y + side))
                _letter(panel, 0.05, 0.95, row - 1, panel.transAxes)
                _square(panels[0, column], x, y, side, row - 1)
        panels[0, column].set_title(wrapped(name, width))
        panels[-1, column].set_xlabel(axis_label(0))
    for panel in panels[:, 0]:
        panel.set_ylabel(axis_label(1))
    bar = color_bar(figure, panels, norm, colors)
    bar.set_label(f"$1+\\delta$, mean over {actual:.3g} Mpc/$h$ along the line of sight $z$")
    return figure


def _square(panel: Axes, x: float, y: float, side: float, index: int) -> None:
    square = Rectangle((x, y), side, side, fill=False, edgecolor="white", linewidth=0.9)
    square.set_path_effects(list(_OUTLINE))
    panel.add_patch(square)
    _letter(panel, x + 0.06 * side, y + 0.94 * side, index, panel.transData)


def _letter(panel: Axes, x: float, y: float, index: int, transform: Any) -> None:
    panel.text(
        x,
        y,
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index],
        transform=transform,
        color="white",
        weight="bold",
        ha="left",
        va="top",
        path_effects=list(_OUTLINE),
    )
