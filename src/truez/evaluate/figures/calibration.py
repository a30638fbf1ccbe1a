"""Whether errors are right: PIT of posteriors, sigma of fields, and what is gained in all settings.

Figures have a panel, or a row, for each setting, and lines as in `truez.evaluate.figures.spectra`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from truez.evaluate.figures.spectra import Panels, settings_width
from truez.evaluate.figures.style import (
    LIMIT_STYLE,
    MARKERS,
    PAGE_WIDTH,
    TRUTH_STYLE,
    drawn,
    legend,
    line_styles,
    styled,
)

#: Mean and error of the mean by name of the field, for each setting.
Numbers = Mapping[str, Mapping[str, tuple[float, float]]]


@styled
def pit(panels: Panels, *, label: Callable[[str], str] = str) -> Figure:
    """Share of galaxies [percent] in each tenth of their posteriors."""
    figure, axes = _panels(panels)
    for axis, lines in zip(axes, panels.values(), strict=True):
        axis.axhspan(9, 11, color="0.9", zorder=0)
        axis.axhline(10, **TRUTH_STYLE)
        for name, style in line_styles(list(lines)).items():
            line = lines[name]
            edges = np.linspace(0, 1, len(line.value) + 1)
            look = {"linewidth": 1.4, **style}
            axis.stairs(line.value, edges, baseline=None, label=drawn(label(name)), **look)
            error = {"fmt": "none", "ecolor": style["color"], "elinewidth": 1}
            axis.errorbar(line.x, line.value, line.error, **error)
        axis.set_xlabel("probability below the truth")
        axis.set_xlim(0, 1)
    away = [np.abs(line.value - 10) for lines in panels.values() for line in lines.values()]
    reach = max((float(np.nanmax(values)) for values in away), default=1.0)
    axes[0].set_ylim(10 - max(1.3 * reach, 1.6), 10 + max(1.3 * reach, 1.6))
    axes[0].set_ylabel("galaxies in each tenth [%]")
    legend(figure)
    return figure


@styled
def sigma(panels: Panels, *, label: Callable[[str], str] = str) -> Figure:
    """Variance of (truth - estimate) / sigma in tenths of sigma."""
    figure, axes = _panels(panels)
    for axis, lines in zip(axes, panels.values(), strict=True):
        axis.axhline(1, **TRUTH_STYLE)
        for name, style in line_styles(list(lines)).items():
            line = lines[name]
            look = {"marker": MARKERS.get(name, "o"), "markersize": 4, "elinewidth": 1, **style}
            axis.errorbar(line.x, line.value, line.error, label=drawn(label(name)), **look)
        axis.set_xlabel("tenth of sigma")
        axis.set_xticks(range(1, 11))
    axes[0].set_ylim(0, None)
    axes[0].set_ylabel("variance of\n(truth $-$ estimate) / sigma")
    legend(figure)
    return figure


def _panels(panels: Panels) -> tuple[Figure, Any]:
    figure = Figure(figsize=(settings_width(len(panels)), 2.9), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, setting in zip(axes, panels, strict=True):
        axis.set_title(setting)
    return figure, axes


@styled
def gains(errors: Numbers, nats: Numbers, *, label: Callable[[str], str] = str) -> Figure:
    """MSE over that of the Wiener filter, and nats per galaxy."""
    rows = list(errors)
    figure = Figure(figsize=(PAGE_WIDTH, 1.5 + 0.6 * len(rows)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, found in zip(axes, (errors, nats), strict=True):
        names = list(dict.fromkeys(name for entry in found.values() for name in entry))
        for index, (name, style) in enumerate(line_styles(names).items()):
            shift = (index - (len(names) - 1) / 2) * 0.14
            there = [(row, *found[s][name]) for row, s in enumerate(rows) if name in found[s]]
            place, mean, error = np.array(there).T
            axis.errorbar(
                mean, place + shift, xerr=np.nan_to_num(error), linestyle="none", capsize=2.5,
                marker=MARKERS.get(name, "o"), markersize=5, color=style["color"],
                label=drawn(label(name)),
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
    legend(figure)
    return figure
