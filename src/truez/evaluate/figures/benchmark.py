"""Pictures of a benchmark: every method in every setting, means over boxes with their errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from truez.evaluate.figures.common import axis_label, density_colors
from truez.evaluate.figures.style import (
    LIMIT_STYLE,
    METHOD_COLORS,
    PAGE_WIDTH,
    PHOTO_STYLE,
    SPEC_STYLE,
    TRUTH_STYLE,
    color_bar,
    grid,
    label_outer,
    plain_ticks,
    styled,
    wrapped,
)

Floats = NDArray[np.float64]

_BLUE, _RED, _GREEN, _PINK = METHOD_COLORS[:4]
#: Colour and dashes of each method; a family shares its colour.
STYLES: dict[str, dict[str, Any]] = {
    "photo": PHOTO_STYLE,
    "spec": SPEC_STYLE,
    "wiener-spec": {"color": _BLUE, "linestyle": (0, (5, 1.5))},
    "wiener-photo": {"color": _BLUE, "linestyle": (0, (1, 1))},
    "wiener": {"color": _BLUE, "linestyle": "-"},
    "redistribution": {"color": _GREEN, "linestyle": "-"},
    "redistribution-median": {"color": _GREEN, "linestyle": (0, (3, 1.5))},
    "dual-unet": {"color": _PINK, "linestyle": (0, (6, 1, 1, 1))},
    "columns": {"color": _RED, "linestyle": "-", "linewidth": 2.0},
    "columns-median": {"color": _RED, "linestyle": (0, (3, 1.5))},
}
MARKERS = {"wiener": "s", "redistribution": "o", "columns": "D", "dual-unet": "^"}
#: What slices are shown of, in their order.
SLICES = ("truth", "photo", "wiener", "redistribution", "dual-unet", "columns")

#: The title of each figure and how to read it.
BENCHMARK_CAPTIONS = {
    "optimum": (
        "What is left over, in units of what the linear optimum leaves",
        (
            "(1 - r²) / (1 - r_opt²) against k: 1 is the best that any linear method can do "
            "(dotted), lower is better. Top: everything. Bottom: the same, near 1. The limit is "
            "that of the spectra measured with the truth. Means over the boxes; the bands are the "
            "errors of the mean."
        ),
    ),
    "spectra": (
        "Correlation with the truth, and amplitude",
        (
            "Top: r(k), 1 is perfect; the black dotted line is the linear optimum. Bottom: "
            "T(k) = sqrt(P_rr / P_tt); an estimate of least squared error has T = r."
        ),
    ),
    "pit": (
        "Are the redshift posteriors right?",
        (
            "Share of galaxies whose true redshift lies in each tenth of its own posterior. Right "
            "posteriors give 10% in each (black line); the grey band is 1% of the galaxies up and "
            "down. High ends mean posteriors that are too narrow, a hill too wide ones."
        ),
    ),
    "sigma": (
        "Is the error of the field right?",
        (
            "Variance of (truth - estimate) / sigma in tenths of sigma, from the cells of the "
            "smallest to those of the largest. 1 (black line) is right, above it the error is "
            "stated too small."
        ),
    ),
    "gains": (
        "Two numbers in all settings",
        (
            "Left: mean squared error of the cells over that of the Wiener filter of both surveys "
            "on the same boxes, lower is better. Right: information on true redshifts gained over "
            "the photo-z alone, higher is better. Bars are errors of the mean over the boxes."
        ),
    ),
    "slices": (
        "A slab with the line of sight upwards",
        (
            "1 + δ on one logarithmic colour scale for all panels, the scale of the truth; cells "
            "below it, zero and negative, have the lowest colour. The photometric survey is "
            "smeared upwards; a good estimate shows the walls and voids of the truth."
        ),
    ),
}


@dataclass(frozen=True, eq=False)
class Line:
    """A number against k or in tenths: mean over the boxes and its error, nan where unknown."""

    x: Floats
    mean: Floats
    error: Floats


#: Lines by name of the method, for each setting.
Panels = Mapping[str, Mapping[str, Line]]


@styled
def optimum(panels: Panels, names: Mapping[str, str]) -> Figure:
    """(1 - r^2) / (1 - r_opt^2) against k, a column for each setting; below, near 1.

    Parameters
    ----------
    panels : mapping of setting to mapping of method to Line
    names : mapping of method to str
        What readers are shown.
    """
    figure = Figure(figsize=(_width(len(panels)), 5.4), layout="constrained")
    axes = figure.subplots(2, len(panels), sharey="row", sharex=True, squeeze=False)
    for column, (setting, lines) in zip(axes.T, panels.items(), strict=True):
        for axis in column:
            for method, line in lines.items():
                _draw(axis, line, method, names)
            axis.axhline(1, **LIMIT_STYLE)
        column[0].set_title(setting)
        column[1].set_xlabel(r"$k$ [$h$/Mpc]")
    low, high = _limits(panels)
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylim(0.9 * low, 1.2 * min(high, 100))
    axes[1, 0].set_ylim(0.5, 1.5)
    axes[0, 0].set_xscale("log")
    plain_ticks(axes[0, 0].yaxis)
    for axis in axes.flat:
        plain_ticks(axis.xaxis)
    for axis in axes[:, 0]:
        axis.set_ylabel(r"$(1-r^2)\,/\,(1-r_{\rm opt}^2)$")
    _legend(figure, axes[0])
    return figure


@styled
def spectra(
    r: Panels, transfer: Panels, limit: Mapping[str, Line], names: Mapping[str, str]
) -> Figure:
    """r(k) above T(k), a column for each setting.

    Parameters
    ----------
    r, transfer : mapping of setting to mapping of method to Line
    limit : mapping of setting to Line
        r_opt(k).
    names : mapping of method to str
    """
    figure = Figure(figsize=(_width(len(r)), 5.2), layout="constrained")
    axes = figure.subplots(2, len(r), sharex=True, sharey="row", squeeze=False)
    for (top, below), setting in zip(axes.T, r, strict=True):
        for method, line in r[setting].items():
            _draw(top, line, method, names)
            _draw(below, transfer[setting][method], method, names)
        optimal = limit[setting]
        top.plot(
            optimal.x, optimal.mean, label="linear optimum", **{**LIMIT_STYLE, "linewidth": 1.6}
        )
        below.axhline(1, **TRUTH_STYLE)
        top.set_title(setting)
        below.set_xlabel(r"$k$ [$h$/Mpc]")
    axes[0, 0].set_ylim(0, 1.02)
    known = [line.mean for lines in transfer.values() for n, line in lines.items() if n != "spec"]
    axes[1, 0].set_ylim(0, min(1.1 * float(np.nanmax(np.concatenate(known))), 3.0))
    axes[0, 0].set_ylabel("$r(k)$ with the truth")
    axes[1, 0].set_ylabel(r"$T(k)=\sqrt{P_{\rm rr}/P_{\rm tt}}$")
    axes[0, 0].set_xscale("log")
    for axis in axes.flat:
        plain_ticks(axis.xaxis)
    _legend(figure, axes[0])
    return figure


@styled
def pit(panels: Panels, names: Mapping[str, str]) -> Figure:
    """Share of galaxies [percent] in each tenth of their posteriors, a panel for each setting."""
    figure = Figure(figsize=(_width(len(panels)), 2.9), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (setting, lines) in zip(axes, panels.items(), strict=True):
        axis.axhspan(9, 11, color="0.9", zorder=0)
        axis.axhline(10, **TRUTH_STYLE)
        for method, line in lines.items():
            style = STYLES[method]
            edges = np.linspace(0, 1, len(line.mean) + 1)
            axis.stairs(
                line.mean, edges, baseline=None, label=names.get(method, method),
                color=style["color"], linestyle=style["linestyle"],
                linewidth=style.get("linewidth", 1.4),
            )  # fmt: skip
            axis.errorbar(
                line.x, line.mean, line.error, fmt="none", ecolor=style["color"], elinewidth=1
            )
        axis.set_title(setting)
        axis.set_xlabel("probability below the truth")
        axis.set_xlim(0, 1)
    reach = max(
        (float(np.nanmax(np.abs(line.mean - 10))) for p in panels.values() for line in p.values()),
        default=1.0,
    )
    axes[0].set_ylim(10 - max(1.3 * reach, 1.6), 10 + max(1.3 * reach, 1.6))
    axes[0].set_ylabel("galaxies in each tenth [%]")
    _legend(figure, axes)
    return figure


@styled
def sigma(panels: Panels, names: Mapping[str, str]) -> Figure:
    """Variance of (truth - estimate) / sigma in tenths of sigma, a panel for each setting."""
    figure = Figure(figsize=(_width(len(panels)), 2.9), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (setting, lines) in zip(axes, panels.items(), strict=True):
        axis.axhline(1, **TRUTH_STYLE)
        for method, line in lines.items():
            style = STYLES[method]
            axis.errorbar(
                line.x, line.mean, line.error, label=names.get(method, method),
                marker=MARKERS.get(method, "o"), markersize=4, elinewidth=1, **style,
            )  # fmt: skip
        axis.set_title(setting)
        axis.set_xlabel("tenth of sigma")
        axis.set_xticks(range(1, 11))
    axes[0].set_ylim(0, None)
    axes[0].set_ylabel("variance of\n(truth $-$ estimate) / sigma")
    _legend(figure, axes)
    return figure


@styled
def gains(
    errors: Mapping[str, Mapping[str, tuple[float, float]]],
    nats: Mapping[str, Mapping[str, tuple[float, float]]],
    names: Mapping[str, str],
) -> Figure:
    """MSE over that of the Wiener filter, and nats per galaxy.

    Parameters
    ----------
    errors, nats : mapping of setting to mapping of method to (mean, error of the mean)
    names : mapping of method to str
    """
    rows = list(errors)
    figure = Figure(figsize=(PAGE_WIDTH, 1.5 + 0.6 * len(rows)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, found in zip(axes, (errors, nats), strict=True):
        methods = list(dict.fromkeys(m for entry in found.values() for m in entry))
        for index, method in enumerate(methods):
            shift = (index - (len(methods) - 1) / 2) * 0.14
            there = [(row, *found[s][method]) for row, s in enumerate(rows) if method in found[s]]
            place, mean, error = np.array(there).T
            axis.errorbar(
                mean, place + shift, xerr=np.nan_to_num(error), linestyle="none", capsize=2.5,
                marker=MARKERS.get(method, "o"), markersize=5, color=STYLES[method]["color"],
                label=names.get(method, method),
            )  # fmt: skip
        axis.grid(axis="x", color="0.9", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.margins(x=0.1)
    axes[0].axvline(1, **LIMIT_STYLE)
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    axes[0].set_xlabel("MSE / MSE of Wiener, both surveys")
    axes[1].set_xlabel("information gain [nats per galaxy]")
    ends = [mean + np.nan_to_num(error) for p in nats.values() for mean, error in p.values()]
    axes[1].set_xlim(0, 1.1 * max([*ends, 0.1]))
    _legend(figure, axes)
    return figure


@styled
def slices(
    images: Mapping[str, NDArray[Any]],
    names: Mapping[str, str],
    extent: Sequence[float],
    thickness: float,
) -> Figure:
    """A slab of every field on one colour scale, that of the first.

    Parameters
    ----------
    images : mapping of name to array (nx, nz)
        1 + delta, mean over the slab.
    names : mapping of name to str
    extent : four floats
        Ends of x and of the line of sight [Mpc/h].
    thickness : float
        [Mpc/h]
    """
    first = next(iter(images.values()))
    upper = max(float(np.percentile(first, 99.7)), 1.0)
    lower = min(max(float(np.percentile(first, 1)), 0.1), upper / 2)
    norm, colors = LogNorm(lower, upper), density_colors()
    rows, columns, scale = grid(len(images), (extent[3] - extent[2]) / (extent[1] - extent[0]))
    figure = Figure(
        figsize=(columns * scale + 1.2, rows * (scale + 0.25) + 0.5), layout="compressed"
    )
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axis, (name, image) in zip(axes.flat, images.items(), strict=False):
        axis.imshow(image.T, origin="lower", extent=tuple(extent), norm=norm, cmap=colors)
        axis.set_title(wrapped(names.get(name, name), scale))
        axis.tick_params(color="white", which="both")
    label_outer(axes, len(images), axis_label(0), f"line of sight {axis_label(2)}")
    bar = color_bar(figure, axes, norm, colors)
    bar.set_label(f"$1+\\delta$, mean over {thickness:.3g} Mpc/$h$ along $y$")
    return figure


def _draw(axis: Axes, line: Line, method: str, names: Mapping[str, str]) -> None:
    style = STYLES[method]
    axis.plot(line.x, line.mean, label=names.get(method, method), **style)
    if np.isfinite(line.error).any():
        low, high = line.mean - line.error, line.mean + line.error
        axis.fill_between(line.x, low, high, color=style["color"], alpha=0.2, linewidth=0)


def _limits(panels: Panels) -> tuple[float, float]:
    """The lowest and highest mean."""
    known = np.concatenate([line.mean for lines in panels.values() for line in lines.values()])
    known = known[np.isfinite(known) & (known > 0)]
    return (float(known.min()), float(known.max())) if known.size else (0.5, 2.0)


def _width(panels: int) -> float:
    return min(PAGE_WIDTH, 1.2 + 3.0 * panels)


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, above them."""
    found: dict[str, Any] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        found |= {label: h for h, label in zip(handles, labels, strict=True) if label not in found}
    width = figure.get_size_inches()[0]
    columns = max(1, min(len(found), math.floor(width / 1.75)))
    figure.legend(list(found.values()), list(found), loc="outside upper center", ncols=columns)
