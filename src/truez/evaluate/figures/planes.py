"""P(k_perp, k_par) of several fields on one colour scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib import colormaps, ticker
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from truez.evaluate.figures.style import color_bar, image_panels, styled
from truez.statistics.power import Power2D


@styled
def power_2d(planes: Mapping[str, Power2D], *, label: Callable[[str], str] = str) -> Figure:
    """P(k_perp, k_par) of several fields on one colour scale (Fig. 5 of the paper).

    The scale runs over the powers of the first but for its lowest 1% and highest 0.1% of bins; bins
    without modes are grey.
    """
    if not planes:
        raise ValueError("planes must hold at least one spectrum to draw, not none")
    first = next(iter(planes.values()))
    known = first.power[np.isfinite(first.power) & (first.power > 0)]
    if known.size == 0:
        raise ValueError("planes must begin with a spectrum that has power, not one without")
    norm = LogNorm(*np.percentile(known, (1, 99.9)))
    colors = colormaps["viridis"].with_extremes(bad="0.7")

    def draw(panel: Axes, plane: Power2D) -> None:
        panel.pcolormesh(
            plane.kperp_edges,
            plane.kpar_edges,
            np.ma.masked_invalid(plane.power.T),
            norm=norm,
            cmap=colors,
            rasterized=True,
        )
        panel.set_aspect("equal")
        panel.xaxis.set_major_locator(ticker.MaxNLocator(4, prune="upper"))

    aspect = first.kpar_edges[-1] / first.kperp_edges[-1]
    labels = (r"$k_\perp$ [$h$/Mpc]", r"$k_\parallel$ [$h$/Mpc]")
    figure, panels = image_panels(planes, draw, aspect, labels, label)
    bar = color_bar(figure, panels, norm, colors)
    bar.set_label(r"$P(k_\perp, k_\parallel)$ [(Mpc/$h)^3$]")
    return figure
