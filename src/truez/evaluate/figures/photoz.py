"""Photo-z before and after beside true redshifts: galaxies, errors, PIT, and numbers by bins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, ticker
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from truez.evaluate.figures.style import (
    METHOD_COLORS,
    PAGE_WIDTH,
    PHOTO_STYLE,
    TRUTH_STYLE,
    ZERO_STYLE,
    styled,
)

Array = NDArray[np.float64]
#: Colour, dashes and marker of redshifts before and after.
LOOKS: dict[str, dict[str, Any]] = {
    "before": {**PHOTO_STYLE, "marker": "s"},
    "after": {"color": METHOD_COLORS[1], "linestyle": "-", "marker": "o"},
}
#: Labels of the axes of measures, and the value of right p(z) or no change.
MEASURES: dict[str, tuple[str, float | None]] = {
    "nmad": (r"$\sigma_\mathrm{NMAD}$", None),
    "bias": ("bias, median of\n$(z - z_\\mathrm{true})/(1 + z_\\mathrm{true})$", 0.0),
    "outliers": ("outliers [%]", None),
    "inside_68": ("true z in the\n68% interval [%]", 68.0),
    "crps": ("CRPS [redshift]", None),
    "cde_loss": ("CDE loss", None),
    "nats": ("gain in ln p\n[nats per galaxy]", 0.0),
}
#: Labels of what galaxies are divided by.
QUANTITIES = {
    "magnitude": "magnitude", "redshift": "photo-z",
    "edge_distance": "distance to the edge [Mpc/$h$]",
}  # fmt: skip
#: Bins along a side of a map of galaxies, and of a PIT.
_PIXELS, _PIT_BINS = 100, 20


@styled
def scatter(redshifts: Mapping[str, Array], z_true: Array, *, outlier: float) -> Figure:
    """Number of galaxies by true redshift and by that before and after.

    Parameters
    ----------
    redshifts : mapping of ``before`` and ``after`` to (n,) arrays
    z_true : (n,) array
    outlier : float
        Limit of outliers over 1 + z, which lines show.
    """
    every = np.concatenate([z_true, *redshifts.values()])
    low, high = float(every.min()), float(np.quantile(every, 0.9995))
    margin = max(0.02 * (high - low), 0.01)
    low, high = max(low - margin, 0.0), high + margin
    edges = np.linspace(low, high, _PIXELS + 1)
    figure = Figure(figsize=(PAGE_WIDTH, 3.5), layout="compressed")
    axes: Any = figure.subplots(1, len(redshifts), sharex=True, sharey=True, squeeze=False)[0]
    maps = {w: np.histogram2d(z_true, z, (edges, edges))[0] for w, z in redshifts.items()}
    norm = LogNorm(0.8, max(float(one.max()) for one in maps.values()))
    line = np.array([low, high])
    for axis, (when, counts) in zip(axes, maps.items(), strict=True):
        shown = np.ma.masked_equal(counts.T, 0)
        axis.pcolormesh(
            edges, edges, shown, norm=norm, cmap=colormaps["viridis_r"], rasterized=True
        )
        axis.plot(line, line, **TRUTH_STYLE)
        for side in (-1, 1):
            axis.plot(line, line + side * outlier * (1 + line), **ZERO_STYLE)
        axis.set_title(when)
        axis.set(xlabel="true redshift", xlim=(low, high), ylim=(low, high), aspect="equal")
    axes[0].set_ylabel("photo-z, and redshift after")
    scale = ScalarMappable(norm, colormaps["viridis_r"])
    bar = figure.colorbar(scale, ax=list(axes), pad=0.02, fraction=0.05, aspect=25)
    bar.set_label("galaxies in a pixel")
    bar.ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    bar.ax.yaxis.set_minor_formatter(ticker.NullFormatter())
    return figure


@styled
def residuals(redshifts: Mapping[str, Array], z_true: Array, *, outlier: float) -> Figure:
    """Histograms of (z - z_true) / (1 + z_true): the core, and all of it on a logarithmic scale.

    Parameters
    ----------
    redshifts, z_true, outlier
        As of `scatter`.
    """
    away = {when: (z - z_true) / (1 + z_true) for when, z in redshifts.items()}
    sides = [np.quantile(np.abs(values), 0.95) for values in away.values()]
    core = float(max(*sides, 1e-4))
    most = max(float(np.abs(values).max()) for values in away.values())
    wide = min(max(most, 1.2 * outlier), 1.0)
    figure = Figure(figsize=(PAGE_WIDTH, 2.8), layout="constrained")
    axes: Any = figure.subplots(1, 2)
    for axis, reach, bins in zip(axes, (core, wide), (60, 80), strict=True):
        edges = np.linspace(-reach, reach, bins + 1)
        for when, values in away.items():
            look = {key: LOOKS[when][key] for key in ("color", "linestyle")}
            counts = np.histogram(values, edges)[0]
            axis.stairs(counts, edges, baseline=None, linewidth=1.4, label=when, **look)
        axis.axvline(0, **TRUTH_STYLE)
        axis.set(xlabel=r"$(z - z_\mathrm{true})/(1 + z_\mathrm{true})$", xlim=(-reach, reach))
    axes[0].set_ylim(0, None)
    axes[0].set_ylabel("galaxies in a bin")
    for side in (-1, 1):
        axes[1].axvline(side * outlier, **ZERO_STYLE)
    axes[1].set_yscale("log")
    axes[1].set_ylim(0.7, None)
    axes[1].yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    _legend(figure, axes[0])
    return figure


@styled
def pit(values: Mapping[str, ArrayLike]) -> Figure:
    """Histogram of the PIT, and how its distribution differs from an even one.

    Parameters
    ----------
    values : mapping of ``before`` and ``after`` to (n,) arrays
    """
    figure = Figure(figsize=(PAGE_WIDTH, 2.8), layout="constrained")
    axes: Any = figure.subplots(1, 2)
    edges = np.linspace(0, 1, _PIT_BINS + 1)
    places = np.linspace(0, 1, 201)
    num = len(np.asarray(next(iter(values.values()))))
    share = 100 / _PIT_BINS
    error = share * math.sqrt((_PIT_BINS - 1) / num)
    axes[0].axhspan(share - 2 * error, share + 2 * error, color="0.88", zorder=0)
    even = 200 * np.sqrt(places * (1 - places) / num)
    axes[1].fill_between(places, -even, even, color="0.88", linewidth=0, zorder=0)
    axes[0].axhline(share, **TRUTH_STYLE)
    axes[1].axhline(0, **TRUTH_STYLE)
    for when, given in values.items():
        look = {key: LOOKS[when][key] for key in ("color", "linestyle")}
        own = np.sort(np.asarray(given, np.float64))
        counts = np.histogram(own, edges)[0]
        axes[0].stairs(100 * counts / num, edges, baseline=None, linewidth=1.4, label=when, **look)
        below = np.searchsorted(own, places, side="right") / num
        axes[1].plot(places, 100 * (below - places), **look)
    for axis in axes:
        axis.set(xlabel="probability below the truth (PIT)", xlim=(0, 1))
        low, high = axis.get_ylim()
        middle = share if axis is axes[0] else 0.0
        reach = 1.15 * max(high - middle, middle - low)
        axis.set_ylim(max(middle - reach, 0) if axis is axes[0] else -reach, middle + reach)
    axes[0].set_ylabel(f"galaxies in each of {_PIT_BINS} [%]")
    axes[1].set_ylabel("galaxies below, less PIT [%]")
    _legend(figure, axes[0])
    return figure


@styled
def by_quantity(by: Mapping[str, Sequence[Mapping[str, Any]]], measures: Sequence[str]) -> Figure:
    """Numbers before and after in bins: a row for each measure, a column for each quantity.

    Parameters
    ----------
    by : mapping of a name of `QUANTITIES` to bins
        As of `truez.evaluate.photoz.PhotozReport`.
    measures : sequence of str
        Names of `MEASURES`.
    """
    names = [name for name in QUANTITIES if by.get(name)]
    size = (PAGE_WIDTH, 0.7 + 1.45 * len(measures))
    figure = Figure(figsize=size, layout="constrained")
    axes: Any = figure.subplots(
        len(measures), len(names), sharex="col", sharey="row", squeeze=False
    )
    for row, measure in zip(axes, measures, strict=True):
        words, right = MEASURES[measure]
        for axis, name in zip(row, names, strict=True):
            if right is not None:
                axis.axhline(right, **ZERO_STYLE)
            for when, look in LOOKS.items():
                key = f"{measure}_{when}" if measure != "nats" else "nats"
                if measure == "nats" and when == "before":
                    continue
                _bins(axis, by[name], key, when, look)
        row[0].set_ylabel(words)
        if measure in ("nmad", "outliers", "crps"):
            row[0].set_ylim(0, None)
    for axis, name in zip(axes[-1], names, strict=True):
        axis.set_xlabel(QUANTITIES[name])
        axis.xaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
    figure.align_ylabels(axes[:, 0])
    _legend(figure, axes[0, 0])
    return figure


def _bins(
    axis: Axes, entries: Sequence[Mapping[str, Any]], key: str, when: str, look: Mapping[str, Any]
) -> None:
    """Numbers of bins with their errors, at the median of each bin."""
    there = [entry for entry in entries if entry.get(key) is not None]
    place = [entry["center"] for entry in there]
    value = [entry[key] for entry in there]
    error = [np.nan_to_num(entry.get(f"{key}_error", 0.0)) for entry in there]
    axis.errorbar(place, value, error, markersize=4, elinewidth=1, label=when, **look)


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
