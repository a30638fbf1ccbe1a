"""Whether posterior samples are right: coverage, ranks, spectra over the truth's, spread of cells.

Figures have a panel for each kind of statistic, and a line for each method in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from truez.evaluate.figures.style import (
    PAGE_WIDTH,
    TRUTH_STYLE,
    drawn,
    legend,
    line_styles,
    plain_ticks,
    styled,
)
from truez.statistics.coverage_bands import Band

#: Percent beyond which a deviation is cut off in its panel.
_CUT = 50.0


class Deviating(Protocol):
    """What `deviations` draws of a statistic."""

    @property
    def x(self) -> NDArray[np.float64]:
        """Middle of the bins."""

    @property
    def value(self) -> NDArray[np.float64]:
        """The deviation."""

    @property
    def sigma(self) -> NDArray[np.float64]:
        """Its scatter."""

    @property
    def limit(self) -> NDArray[np.float64]:
        """What is asked for."""


Label = Callable[[str], str]


@styled
def coverage(
    panels: Mapping[str, Mapping[str, Band]], *, label: Label = str, title: Label = str
) -> Figure:
    """Expected coverage less credibility, with the bands of right samples."""
    figure, axes = _panels(panels, title)
    for axis, bands in zip(axes, panels.values(), strict=False):
        axis.axhline(0, **TRUTH_STYLE)
        for name, style in line_styles(list(bands)).items():
            band = bands[name]
            x = np.array([0.0, *band.x, 1.0])
            low, high, apart = (
                np.array([0.0, *(ends - band.expected), 0.0])
                for ends in (band.low, band.high, band.value)
            )
            axis.fill_between(x, low, high, color=style["color"], alpha=0.15, lw=0)
            axis.plot(x, apart, label=drawn(label(name)), **style)
        axis.set_xlim(0, 1)
        _symmetric(axis, 0.02)
    figure.supxlabel("credibility", fontsize=9)
    figure.supylabel("expected coverage $-$ credibility", fontsize=9)
    legend(figure)
    return figure


@styled
def ranks(
    panels: Mapping[str, Mapping[str, Band]], *, label: Label = str, title: Label = str
) -> Figure:
    """Share of truths in each bin of ranks, over that expected."""
    figure, axes = _panels(panels, title)
    for axis, bands in zip(axes, panels.values(), strict=False):
        axis.axhline(1, **TRUTH_STYLE)
        for name, style in line_styles(list(bands)).items():
            band = bands[name]
            edges = np.linspace(0, 1, len(band.x) + 1)
            axis.stairs(band.high, edges, baseline=band.low, color=style["color"], alpha=0.15,
                        fill=True, lw=0)  # fmt: skip
            look = {"linewidth": 1.4, **style}
            axis.stairs(band.value, edges, baseline=None, label=drawn(label(name)), **look)
        axis.set_xlim(0, 1)
        _symmetric(axis, 0.1, middle=1.0)
        axis.set_ylim(max(axis.get_ylim()[0], 0.0), None)
    figure.supxlabel("rank of the truth among the samples", fontsize=9)
    figure.supylabel("truths / expected", fontsize=9)
    legend(figure)
    return figure


@styled
def deviations(
    panels: Mapping[str, Mapping[str, Deviating]], *, label: Label = str, title: Label = str
) -> Figure:
    """Mean of the samples over the truth, in percent, with the scatter of right samples."""
    figure, axes = _panels(panels, title)
    for (what, lines), axis in zip(panels.items(), axes, strict=False):
        axis.axhline(0, **TRUTH_STYLE)
        for index, (name, style) in enumerate(line_styles(list(lines)).items()):
            one = lines[name]
            there = np.isfinite(one.value)
            x, percent, sigma, limit = (
                factor * values[there]
                for factor, values in (
                    (1, one.x), (100, one.value), (100, one.sigma), (100, one.limit)
                )
            )  # fmt: skip
            if not index:
                axis.fill_between(x, -limit, limit, color="0.88", lw=0)
            axis.errorbar(x, percent, sigma, label=drawn(label(name)), elinewidth=0.8, **style)
        known = [100 * one.value[np.isfinite(one.value)] for one in lines.values()]
        largest = float(np.abs(np.concatenate(known)).max(initial=1.0))
        axis.set_ylim(-min(1.3 * largest, _CUT), min(1.3 * largest, _CUT))
        axis.set_xscale("log")
        plain_ticks(axis.xaxis)
        axis.set_xlabel(_x_label(what))
    figure.supylabel("samples / truth $-$ 1 [%]", fontsize=9)
    legend(figure)
    return figure


@styled
def tenths(
    panels: Mapping[float, Mapping[str, NDArray[np.float64]]], *, label: Label = str
) -> Figure:
    """Spread over squared error in tenths of the spread, a panel for each smoothing."""
    names = {f"{radius:g}": lines for radius, lines in panels.items()}
    figure, axes = _panels(names, lambda radius: f"R = {radius} Mpc/h")
    for axis, lines in zip(axes, panels.values(), strict=False):
        axis.axhspan(0.95, 1.05, color="0.88", zorder=0)
        axis.axhline(1, **TRUTH_STYLE)
        for name, style in line_styles(list(lines)).items():
            values = lines[name][:-1]
            place = np.arange(1, len(values) + 1)
            axis.plot(place, values, marker="o", markersize=3, label=drawn(label(name)), **style)
        axis.set_xticks(range(1, 11))
        axis.set_xlabel("tenth of the spread")
        low, high = axis.get_ylim()
        axis.set_ylim(max(low, 0.0), min(high, 2.5))
    axes[0].set_ylabel("spread² / error²")
    legend(figure)
    return figure


def _panels(panels: Mapping[str, Any], title: Label) -> tuple[Figure, list[Axes]]:
    """Three panels in a row."""
    rows = -(-len(panels) // 3)
    figure = Figure(figsize=(PAGE_WIDTH, 0.7 + 1.9 * rows), layout="constrained")
    axes = list(figure.subplots(rows, min(len(panels), 3), squeeze=False).flat)
    for axis, name in zip(axes, panels, strict=False):
        axis.set_title(title(name), fontsize=8)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    return figure, axes


def _symmetric(axis: Axes, least: float, *, middle: float = 0.0) -> None:
    low, high = axis.get_ylim()
    reach = max(high - middle, middle - low, least)
    axis.set_ylim(middle - reach, middle + reach)


def _x_label(what: str) -> str:
    if what == "xi":
        return r"$r$ [Mpc/$h$]"
    return "galaxies in a cell" if what.startswith("counts") else r"$k$ [$h$/Mpc]"
