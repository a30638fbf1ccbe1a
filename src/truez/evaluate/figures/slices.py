"""Slices of fields on one colour scale: along and across the line of sight, and with zooms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from truez.evaluate.figures.style import PAGE_WIDTH, color_bar, image_panels, styled, wrapped
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.statistics.binning import Floats

_PAGE_HEIGHT = 9.5  # [inches]
_OUTLINE = (patheffects.withStroke(linewidth=2.5, foreground="black"),)

#: Thickness of a slab [Mpc/h], as in Fig. 3 of the paper.
THICKNESS = 10.0

#: The axis that is averaged over, in each view.
VIEWS = {"along": 1, "across": 2}


@dataclass(frozen=True, eq=False)
class Slab:
    """The mean of 1 + delta over a slab at the middle of a box.

    ``image`` is that along the two ``axes`` that are left (the one to the right and the one upwards
    in a picture), ``extent`` the ends of the one and of the other, and ``thickness`` that along
    ``depth``, the axis that was averaged over [Mpc/h].
    """

    image: NDArray[Any]
    axes: tuple[int, int]
    extent: Sequence[float]
    depth: int
    thickness: float

    @property
    def turned(self) -> Slab:
        """The same with the second axis to the right."""
        extent = (*self.extent[2:], *self.extent[:2])
        return Slab(self.image.T, self.axes[::-1], extent, self.depth, self.thickness)

    @property
    def height(self) -> float:
        """Height over width."""
        left, right, low, high = self.extent
        return (high - low) / (right - left)


# --- what is shown ------------------------------------------------------------------------------


def project(field: Field, axis: int, *, thickness: float = THICKNESS) -> Slab:
    """Mean of 1 + delta over a slab at the middle of ``axis``.

    The thickness [Mpc/h] is rounded to whole cells, at most the box.
    """
    if not thickness > 0:
        raise ValueError(f"thickness must be positive, not {thickness!r} Mpc/h")
    box = field.box
    cells, cellsize = box.meshsize[axis], box.cellsize[axis]
    count = min(max(round(thickness / cellsize), 1), cells)
    start = (cells - count) // 2
    slab = field.values.narrow(axis, start, count).double().mean(dim=axis)
    a, b = (other for other in range(3) if other != axis)
    extent = (box.lower[a], box.upper[a], box.lower[b], box.upper[b])
    return Slab(1 + slab.cpu().numpy(), (a, b), extent, axis, count * cellsize)


def slice_limits(truth: Field, *, thickness: float = THICKNESS) -> tuple[float, float]:
    """Limits of 1 + delta for slices, the same for every view and field, taken from the truth."""
    return image_limits(*(project(truth, a, thickness=thickness).image for a in VIEWS.values()))


def image_limits(*images: NDArray[Any]) -> tuple[float, float]:
    """Limits of the colour scale for images of the truth's 1 + delta."""
    values = np.concatenate([image.ravel() for image in images])
    upper = float(np.percentile(values, 99.7))
    upper = upper if upper > 0 else 1.0
    lower = max(float(np.percentile(values, 1)), 0.1)
    return min(lower, upper / 2), upper


def density_colors() -> Colormap:
    """The colours of 1 + delta; what lies outside the scale has those of its ends."""
    colors = colormaps["magma"]
    lowest, highest = colors(0.0), colors(1.0)
    return colors.with_extremes(bad=lowest, under=lowest, over=highest)


def _first(fields: Mapping[str, Field]) -> Field:
    """The first of fields that must be overdensities on one box."""
    if not fields:
        raise ValueError("fields must hold at least one field to draw, not none")
    first = next(iter(fields.values()))
    for name, field in fields.items():
        if field.box != first.box or field.kind != "delta":
            raise ValueError(f"{name} must be an overdensity on the box of the first field")
    return first


# --- slices -------------------------------------------------------------------------------------


def slices(
    fields: Mapping[str, Field],
    *,
    view: str = "along",
    thickness: float = THICKNESS,
    limits: tuple[float, float] | None = None,
    label: Callable[[str], str] = str,
) -> Figure:
    """Slices of several overdensities on one box, on one colour scale.

    ``along`` shows x and the line of sight z of a slab in y, ``across`` shows x and y of a slab in
    z. ``limits`` are the lowest and highest 1 + delta of the scale, by default those of the first
    field; cells below it, zero or negative, have its lowest colour. Panels have the aspect ratio of
    the box.
    """
    first = _first(fields)
    if view not in VIEWS:
        raise ValueError(f"view must be 'along' or 'across' the line of sight, not {view!r}")
    cut = {name: project(f, VIEWS[view], thickness=thickness) for name, f in fields.items()}
    return slabs(cut, limits=limits or slice_limits(first, thickness=thickness), label=label)


@styled
def slabs(
    cut: Mapping[str, Slab],
    *,
    limits: tuple[float, float] | None = None,
    label: Callable[[str], str] = str,
) -> Figure:
    """The same of what has been projected before, such as by `project`, all of one extent."""
    first = next(iter(cut.values()))
    norm = LogNorm(*(limits or image_limits(first.image)))
    # a deep line of sight lies down, so that its panels stack
    turned = first.height > 2
    shown = {name: slab.turned if turned else slab for name, slab in cut.items()}
    first = next(iter(shown.values()))
    labels = (axis_label(first.axes[0]), axis_label(first.axes[1]))
    draw = partial(_image, norm=norm)
    figure, panels = image_panels(shown, draw, first.height, labels, label)
    if 2 in first.axes:
        _line_of_sight_arrow(panels[0, 0], horizontal=turned)
    along = f"along ${'xyz'[first.depth]}$"
    _color_bar(figure, panels, norm, first.thickness, along)
    return figure


def axis_label(axis: int) -> str:
    """The coordinate along ``axis``, with its unit."""
    return f"${'xyz'[axis]}$ [Mpc/$h$]"


def _image(panel: Axes, slab: Slab, norm: LogNorm) -> None:
    left, right, low, high = slab.extent
    look: dict[str, Any] = {"origin": "lower", "norm": norm, "cmap": density_colors()}
    panel.imshow(slab.image.T, extent=(left, right, low, high), **look)
    panel.tick_params(color="white", which="both")


def _color_bar(
    figure: Figure, panels: NDArray[Any], norm: LogNorm, thickness: float, along: str
) -> None:
    bar = color_bar(figure, panels, norm, density_colors())
    bar.set_label(f"$1+\\delta$, mean over {thickness:.3g} Mpc/$h$ {along}")


def _line_of_sight_arrow(panel: Axes, *, horizontal: bool) -> None:
    tail, head = ((0.04, 0.1), (0.34, 0.1)) if horizontal else ((0.07, 0.06), (0.07, 0.5))
    look = {"arrowstyle": "-|>", "color": "white", "lw": 1.4, "path_effects": list(_OUTLINE)}
    arrow = panel.annotate("", xy=head, xytext=tail, xycoords="axes fraction", arrowprops=look)
    arrow.set_zorder(5)
    place = (0.05, 0.16) if horizontal else (0.11, 0.08)
    turn = 0 if horizontal else 90
    _write(panel, *place, "line of sight", panel.transAxes, va="bottom", rotation=turn)


def _write(panel: Axes, x: float, y: float, text: str, transform: Any, **style: Any) -> None:
    """White letters with a dark outline."""
    look = {"color": "white", "ha": "left", "path_effects": list(_OUTLINE), **style}
    panel.text(x, y, text, transform=transform, **look)


# --- zooms --------------------------------------------------------------------------------------


def zoom_corners(box: Box, side: float, *, number: int = 4, seed: int = 0) -> Floats:
    """Lower corners (number, 2) in x and y [Mpc/h] of squares at random places.

    Squares of ``side`` [Mpc/h] that do not overlap, on the edges of cells, from top to bottom; a
    ValueError where they do not fit.
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
    thickness: float = THICKNESS,
    side: float | None = None,
    corners: NDArray[np.float64] | None = None,
    limits: tuple[float, float] | None = None,
    label: Callable[[str], str] = str,
) -> Figure:
    """Slices across the line of sight and four zooms of each (Fig. 3 of the paper).

    A column for each of the overdensities on one box. ``side`` is that of a zoom [Mpc/h], by
    default a sixth of the shorter side of the box, but at least 20 cells where there is room;
    ``corners`` (4, 2) are the lower corners of the zooms in x and y [Mpc/h], by default
    `zoom_corners`.
    """
    first = _first(fields)
    box = first.box
    if side is None:
        shorter = min(box.boxsize[:2])
        side = max(shorter / 6, min(20 * max(box.cellsize[:2]), shorter / 3))
    places = zoom_corners(box, side) if corners is None else np.asarray(corners, dtype=np.float64)
    norm = LogNorm(*(limits or slice_limits(first, thickness=thickness)))
    cut = {name: project(field, 2, thickness=thickness) for name, field in fields.items()}

    heights = [box.boxsize[1] / box.boxsize[0], *[1.0] * len(places)]
    beside, between = 1.1, 0.5 + 0.2 * len(heights)  # inches for the colour bar, and for the ticks
    width = min((PAGE_WIDTH - beside) / len(cut), (_PAGE_HEIGHT - between) / sum(heights))
    size = (len(cut) * width + beside, sum(heights) * width + between)
    figure = Figure(figsize=size, layout="compressed")
    panels = figure.subplots(
        len(heights), len(cut), sharex="row", sharey="row", squeeze=False, height_ratios=heights
    )
    for column, (name, slab) in zip(panels.T, cut.items(), strict=True):
        for row, panel in enumerate(column):
            _image(panel, slab, norm)
            panel.locator_params(nbins=4 if len(cut) < 5 else 3)
            if row:
                x, y = places[row - 1]
                panel.set(xlim=(x, x + side), ylim=(y, y + side))
                _letter(panel, 0.05, 0.95, row - 1, panel.transAxes)
                _square(column[0], x, y, side, row - 1)
        column[0].set_title(wrapped(label(name), width))
        column[-1].set_xlabel(axis_label(0))
    for panel in panels[:, 0]:
        panel.set_ylabel(axis_label(1))
    figure.align_ylabels(panels[:, 0])
    actual = next(iter(cut.values())).thickness
    _color_bar(figure, panels, norm, actual, "along the line of sight $z$")
    return figure


def _square(panel: Axes, x: float, y: float, side: float, index: int) -> None:
    square = Rectangle((x, y), side, side, fill=False, edgecolor="white", linewidth=0.9)
    square.set_path_effects(list(_OUTLINE))
    panel.add_patch(square)
    _letter(panel, x + 0.06 * side, y + 0.94 * side, index, panel.transData)


def _letter(panel: Axes, x: float, y: float, index: int, transform: Any) -> None:
    letter = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index]
    _write(panel, x, y, letter, transform, weight="bold", va="top")
