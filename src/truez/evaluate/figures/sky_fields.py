"""Fields on the sky: their scores, planes along the line of sight, and maps in bins of redshift."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from truez.evaluate.figures.style import (
    PAGE_WIDTH,
    drawn,
    grid,
    line_styles,
    styled,
    wrapped,
)
from truez.mesh.sky_box import SkyBox

if TYPE_CHECKING:
    from truez.evaluate.sky.mesh import SkyMesh

Plane = NDArray[np.float32]
#: Colours of contrasts, from empty to several times the mean, and of what is outside.
_COLORS, _OUTSIDE = "cividis", "0.85"


@styled
def smoothed_scores(
    numbers: Mapping[str, Mapping[str, float]],
    radii: Sequence[float],
    *,
    label: Callable[[str], str] = str,
) -> Figure:
    """Mean squared error over the variance of the truth, and correlation, of smoothed fields.

    Parameters
    ----------
    numbers : mapping of a field to its numbers
        Such as ``mse_over_variance_4`` and ``correlation_4``.
    radii : sequence of float
        Smoothing lengths [Mpc/h].
    label : function of a name
        What readers see.
    """
    names = list(numbers)
    figure = Figure(figsize=(PAGE_WIDTH, 1.0 + 0.24 * len(names)), layout="constrained")
    axes: Any = figure.subplots(1, 2, sharey=True)
    styles, place = line_styles(names), np.arange(len(names))[::-1]
    markers = ("o", "s", "^", "D")
    heads = {
        "mse_over_variance": "mean squared error / variance of the truth",
        "correlation": "correlation with the truth",
    }
    for axis, (key, words) in zip(axes, heads.items(), strict=True):
        for number, radius in enumerate(radii):
            values = [numbers[name][f"{key}_{radius:g}"] for name in names]
            for x, y, name in zip(values, place, names, strict=True):
                face = styles[name]["color"] if number == 0 else "white"
                axis.plot(x, y, markers[number % 4], color=styles[name]["color"], markersize=6,
                          markerfacecolor=face)  # fmt: skip
            axis.plot([], [], markers[number % 4], color="black", markersize=6,
                      markerfacecolor="black" if number == 0 else "white",
                      label=f"smoothed with {radius:g} Mpc/$h$")  # fmt: skip
        axis.grid(axis="both", color="0.9", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.set_xlabel(words)
        low, high = axis.get_xlim()
        axis.set_xlim(min(low, 0.0), max(high, 1.0))
    axes[0].set_yticks(place, [drawn(label(name)) for name in names])
    axes[0].set_ylim(-0.6, len(names) - 0.4)
    handles, texts = axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside upper center", ncols=len(texts))
    return figure


@styled
def slices(
    planes: Mapping[str, Plane],
    mesh: SkyMesh,
    *,
    radius: float,
    label: Callable[[str], str] = str,
) -> Figure:
    """Smoothed fields in a plane through the observer, the line of sight to the right.

    Parameters
    ----------
    planes : mapping of a field to (n, m) array
        Contrasts, nan outside; the truth among them, which gives the scale of colours.
    mesh : SkyMesh
        That they are planes of.
    radius : float
        Of the smoothing [Mpc/h].
    label : function of a name
    """
    across = mesh.longest
    truth = planes["truth"]
    rows = np.flatnonzero(np.isfinite(truth).any(axis=1))
    columns = np.flatnonzero(np.isfinite(truth).any(axis=0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    x, y = (mesh.box.edges(axis) for axis in (2, across))
    x, y = x[part[1].start : part[1].stop + 1], y[part[0].start : part[0].stop + 1]
    scale = Normalize(0.0, _top(1 + truth))
    aspect = (y[-1] - y[0]) / (x[-1] - x[0])
    high, wide, width = grid(len(planes), aspect)
    size = wide * width + 1.3, high * (width * aspect + 0.28) + 0.5
    figure = Figure(figsize=size, layout="compressed")
    axes: Any = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False)
    for axis, (name, plane) in zip(axes.flat, planes.items(), strict=False):
        axis.set_facecolor(_OUTSIDE)
        axis.imshow(
            1 + plane[part], extent=(x[0], x[-1], y[0], y[-1]), origin="lower", cmap=_COLORS,
            norm=scale,
        )  # fmt: skip
        axis.set_title(wrapped(label(name), width), loc="left")
    for number, axis in enumerate(axes.flat):
        axis.set_visible(number < len(planes))
        if number % wide == 0:
            axis.set_ylabel(f"{'north' if across else 'east'} [Mpc/$h$]")
        if number + wide >= len(planes):
            axis.set_xlabel("along the line of sight [Mpc/$h$]")
            axis.tick_params(labelbottom=True)
    bar = figure.colorbar(ScalarMappable(scale, _COLORS), ax=axes, extend="max", aspect=35,
                          fraction=0.04, pad=0.015)  # fmt: skip
    bar.set_label(f"galaxies / expected, $R={radius:g}$ Mpc/$h$")
    return figure


@styled
def maps(
    found: Mapping[str, Sequence[Plane]],
    bins: Sequence[Sequence[float]],
    box: SkyBox,
    *,
    radius: float,
    label: Callable[[str], str] = str,
) -> Figure:
    """Maps in bins of redshift, a row for each field and a column for each bin.

    Parameters
    ----------
    found : mapping of a field to maps (nx, ny), one for each bin
        Contrasts, nan outside; the truth among them.
    bins : sequence of (low, high)
        Redshifts.
    box : SkyBox
        Whose first two axes the pixels divide, at a chi_ref of 1.
    radius : float
        Of the smoothing [Mpc/h].
    label : function of a name
    """
    x, y = (np.degrees(box.edges(axis)) for axis in (0, 1))
    aspect = (y[-1] - y[0]) / (x[-1] - x[0])
    width = (PAGE_WIDTH - 1.2) / len(bins)
    size = PAGE_WIDTH, min(len(found) * (width * aspect + 0.25) + 0.9, 9.3)
    figure = Figure(figsize=size, layout="compressed")
    axes: Any = figure.subplots(len(found), len(bins), sharex=True, sharey=True, squeeze=False)
    for column, limits in enumerate(bins):
        top = _top(1 + found["truth"][column])
        scale = Normalize(0.0, top)
        for axis, (name, images) in zip(axes[:, column], found.items(), strict=True):
            axis.set_facecolor(_OUTSIDE)
            axis.imshow(
                1 + images[column].T, extent=(x[0], x[-1], y[0], y[-1]), origin="lower",
                cmap=_COLORS, norm=scale,
            )  # fmt: skip
            if column == 0:
                axis.set_ylabel(wrapped(label(name), 1.2))
        axes[0, column].set_title(f"z = {limits[0]:g} to {limits[1]:g}")
        axes[-1, column].set_xlabel("east [deg]")
        bar = figure.colorbar(ScalarMappable(scale, _COLORS), ax=axes[:, column], extend="max",
                              location="bottom", aspect=25, pad=0.02)  # fmt: skip
        bar.set_label(f"galaxies / expected, $R={radius:g}$ Mpc/$h$")
    figure.supylabel("north [deg]", fontsize=9)
    # East is to the left, as on the sky.
    axes[0, 0].set_xlim(x[-1], x[0])
    return figure


def _top(values: Plane) -> float:
    """The end of a scale of colours, which a hundredth of the truth is beyond."""
    return max(float(np.nanquantile(values, 0.99)), 1.5)
