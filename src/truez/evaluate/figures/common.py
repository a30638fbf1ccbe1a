"""Pictures in print quality: slices, spectra, P(k_perp, k_par) and loss curves.

Every function takes plain results and returns a `matplotlib.figure.Figure`; `save` writes it as PNG
and PDF. Nothing here touches pyplot or changes matplotlib's global settings; the look is that of
`truez.evaluate.figures.style`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps, patheffects, ticker
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from truez.evaluate.figures.style import (
    CAPTIONS,
    LIMIT_STYLE,
    PAGE_WIDTH,
    TRUTH_STYLE,
    Picture,
    color_bar,
    grid,
    label_outer,
    line_styles,
    plain_ticks,
    save,
    styled,
    wrapped,
)
from truez.evaluate.losses import losses, read_losses
from truez.evaluate.store import lost
from truez.mesh.field import Field
from truez.statistics.power import Comparison, Power, Power2D

__all__ = [
    "CAPTIONS",
    "Picture",
    "losses",
    "lost",
    "multipoles",
    "power_2d",
    "project",
    "read_losses",
    "save",
    "slice_limits",
    "slices",
    "spectra",
]


# --- slices -------------------------------------------------------------------------------------


def project(field: Field, axis: int, *, thickness: float = 10.0) -> tuple[NDArray[Any], float]:
    """Mean of 1 + delta over a slab at the middle of ``axis``.

    Parameters
    ----------
    field : Field
        An overdensity.
    axis : int
        The axis to project along.
    thickness : float
        Wanted thickness [Mpc/h]; rounded to whole cells, at most the box.

    Returns
    -------
    image : array, the two other axes in order
        1 + delta, mean over the slab.
    thickness : float
        The actual thickness [Mpc/h].
    """
    if not thickness > 0:
        raise ValueError(f"thickness must be positive, not {thickness!r} Mpc/h")
    cells, cellsize = field.box.meshsize[axis], field.box.cellsize[axis]
    count = min(max(round(thickness / cellsize), 1), cells)
    start = (cells - count) // 2
    slab = field.values.narrow(axis, start, count).double().mean(dim=axis)
    return 1 + slab.cpu().numpy(), count * cellsize


def slice_limits(truth: Field, *, thickness: float = 10.0) -> tuple[float, float]:
    """Limits of 1 + delta for slices, the same for every view and field, taken from the truth."""
    values = np.concatenate([project(truth, a, thickness=thickness)[0].ravel() for a in (1, 2)])
    upper = float(np.percentile(values, 99.7))
    upper = upper if upper > 0 else 1.0
    lower = max(float(np.percentile(values, 1)), 0.1)
    return min(lower, upper / 2), upper


@styled
def slices(
    fields: Mapping[str, Field],
    *,
    view: str = "along",
    thickness: float = 10.0,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Slices of several fields on one colour scale (Fig. 3 of the paper).

    Parameters
    ----------
    fields : mapping of name to Field
        Overdensities on one box, in the order in which they are shown.
    view : {"along", "across"}
        ``along`` shows x and the line of sight z of a slab in y; ``across`` shows x and y of a slab
        in z.
    thickness : float
        Thickness of the slab [Mpc/h].
    limits : (float, float), optional
        Lowest and highest 1 + delta of the colour scale; by default those of the first field.

    Returns
    -------
    Figure
        Panels with the aspect ratio of the box. Cells with 1 + delta below the scale, zero or
        negative, have its lowest colour.

    Raises
    ------
    ValueError
        If there is no field, the boxes differ, or the view is unknown.
    """
    if not fields:
        raise ValueError("fields must hold at least one field to draw, not none")
    if view not in ("along", "across"):
        raise ValueError(f"view must be 'along' or 'across' the line of sight, not {view!r}")
    first = next(iter(fields.values()))
    for name, field in fields.items():
        if field.box != first.box or field.kind != "delta":
            raise ValueError(f"{name} must be an overdensity on the box of the first field")
    box, depth = first.box, 1 if view == "along" else 2
    across, up = (0, 2) if view == "along" else (0, 1)
    # a deep line of sight lies down, so that its panels stack
    turned = box.boxsize[up] > 2 * box.boxsize[across]
    if turned:
        across, up = up, across
    lower, upper = slice_limits(first, thickness=thickness) if limits is None else limits
    norm = LogNorm(lower, upper)
    extent = (box.lower[across], box.upper[across], box.lower[up], box.upper[up])

    rows, columns, scale = grid(len(fields), box.boxsize[up] / box.boxsize[across])
    size = (columns * scale + 1.2, rows * (scale * box.boxsize[up] / box.boxsize[across] + 0.25))
    figure = Figure(figsize=(size[0], size[1] + 0.5), layout="compressed")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    actual, colors = thickness, density_colors()
    for panel, (name, field) in zip(panels.flat, fields.items(), strict=False):
        values, actual = project(field, depth, thickness=thickness)
        panel.imshow(
            values if turned else values.T,
            origin="lower",
            extent=extent,
            norm=norm,
            cmap=colors,
        )
        panel.set_title(wrapped(name, scale))
        panel.tick_params(color="white", which="both")
    label_outer(panels, len(fields), *(axis_label(axis) for axis in (across, up)))
    if view == "along":
        _line_of_sight_arrow(panels[0, 0], horizontal=turned)
    bar = color_bar(figure, panels, norm, colors)
    bar.set_label(f"$1+\\delta$, mean over {actual:.3g} Mpc/$h$ along ${'xyz'[depth]}$")
    return figure


def density_colors() -> Colormap:
    """The colours of 1 + delta; what lies outside the scale has those of its ends."""
    colors = colormaps["magma"]
    lowest, highest = colors(0.0), colors(1.0)
    return colors.with_extremes(bad=lowest, under=lowest, over=highest)


def axis_label(axis: int) -> str:
    """The coordinate along ``axis``, with its unit."""
    return f"${'xyz'[axis]}$ [Mpc/$h$]"


def _line_of_sight_arrow(panel: Axes, *, horizontal: bool) -> None:
    outline = [patheffects.withStroke(linewidth=2.5, foreground="black")]
    tail, head = ((0.04, 0.1), (0.34, 0.1)) if horizontal else ((0.07, 0.06), (0.07, 0.5))
    arrow = panel.annotate(
        "",
        xy=head,
        xytext=tail,
        xycoords="axes fraction",
        arrowprops={"arrowstyle": "-|>", "color": "white", "lw": 1.4, "path_effects": outline},
    )
    arrow.set_zorder(5)
    panel.text(
        *((0.05, 0.16) if horizontal else (0.11, 0.08)),
        "line of sight",
        transform=panel.transAxes,
        rotation=0 if horizontal else 90,
        color="white",
        path_effects=outline,
        ha="left",
        va="bottom",
    )


# --- spectra ------------------------------------------------------------------------------------


@styled
def spectra(
    comparisons: Mapping[str, Comparison], *, r_opt: NDArray[np.float64] | None = None
) -> Figure:
    """r(k), T(k) and P(k) of several fields against the truth.

    Parameters
    ----------
    comparisons : mapping of name to Comparison
        Each field compared with the same truth in the same bins.
    r_opt : array (n,), optional
        Correlation coefficient of the linear optimum in those bins.

    Returns
    -------
    Figure
        Four panels: r(k); the transfer function T(k) = sqrt(P_rr / P_tt); P(k), shot noise
        included; and what is left to gain, (1 - r^2) / (1 - r_opt^2), or 1 - r^2 where the optimum
        is not known.
    """
    if not comparisons:
        raise ValueError("comparisons must hold at least one field to draw, not none")
    figure = Figure(figsize=(PAGE_WIDTH, 5.6), layout="constrained")
    (panel_r, panel_t), (panel_p, panel_gap) = figure.subplots(2, 2, sharex=True)
    first = next(iter(comparisons.values()))
    panel_p.plot(first.k, first.power_tt, label="truth", **TRUTH_STYLE)
    for name, style in line_styles(list(comparisons)).items():
        result = comparisons[name]
        panel_r.plot(result.k, result.r, label=name, **style)
        panel_t.plot(result.k, result.transfer, **style)
        panel_p.plot(result.k, result.power_rr, **style)
        panel_gap.plot(result.k, lost(result.r, r_opt), **style)
    if r_opt is not None:
        panel_r.plot(first.k, r_opt, label=r"linear optimum $r_{\rm opt}$", **LIMIT_STYLE)
        panel_gap.axhline(1, **LIMIT_STYLE)
    panel_t.axhline(1, **TRUTH_STYLE)
    panel_r.axhline(0, color="0.6", linewidth=0.7)
    panel_r.set_ylim(None, 1.02)
    panel_r.set_ylabel("$r(k)$ with the truth")
    panel_t.set_ylabel(r"$T(k)=\sqrt{P_{\rm rr}/P_{\rm tt}}$")
    panel_p.set_ylabel(r"$P(k)$ [(Mpc/$h)^3$]")
    panel_gap.set_ylabel("$1-r^2$" if r_opt is None else r"$(1-r^2)\,/\,(1-r_{\rm opt}^2)$")
    for panel in (panel_p, panel_gap):
        panel.set_xlabel(r"$k$ [$h$/Mpc]")
        panel.set_yscale("log")
        plain_ticks(panel.yaxis)
    panel_r.set_xscale("log")
    for panel in (panel_r, panel_t, panel_p, panel_gap):
        plain_ticks(panel.xaxis)
    handles, labels = panel_r.get_legend_handles_labels()
    truth_handle, truth_label = panel_p.get_legend_handles_labels()
    labels = [textwrap.fill(label, 40) for label in truth_label + labels]
    figure.legend(truth_handle + handles, labels, loc="outside upper center", ncols=4)
    return figure


@styled
def power_2d(planes: Mapping[str, Power2D]) -> Figure:
    """P(k_perp, k_par) of several fields on one colour scale (Fig. 5 of the paper).

    Parameters
    ----------
    planes : mapping of name to Power2D
        In the order in which they are shown. The scale runs over the powers of the first but for
        its lowest 1% and highest 0.1% of bins; bins without modes are grey.
    """
    if not planes:
        raise ValueError("planes must hold at least one spectrum to draw, not none")
    first = next(iter(planes.values()))
    known = first.power[np.isfinite(first.power) & (first.power > 0)]
    if known.size == 0:
        raise ValueError("planes must begin with a spectrum that has power, not one without")
    norm = LogNorm(*np.percentile(known, (1, 99.9)))
    rows, columns, scale = grid(len(planes), first.kpar_edges[-1] / first.kperp_edges[-1])
    height = scale * first.kpar_edges[-1] / first.kperp_edges[-1] + 0.25
    size = (columns * scale + 1.2, rows * height + 0.5)
    figure = Figure(figsize=size, layout="compressed")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    colors = colormaps["viridis"].with_extremes(bad="0.7")
    for panel, (name, plane) in zip(panels.flat, planes.items(), strict=False):
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
        panel.set_title(wrapped(name, scale))
    labels = (r"$k_\perp$ [$h$/Mpc]", r"$k_\parallel$ [$h$/Mpc]")
    label_outer(panels, len(planes), *labels)
    bar = color_bar(figure, panels, norm, colors)
    bar.set_label(r"$P(k_\perp, k_\parallel)$ [(Mpc/$h)^3$]")
    return figure


# --- multipoles ---------------------------------------------------------------------------------


@styled
def multipoles(measured: Power) -> Figure:
    """k P_ell(k) of one measurement, the shot noise of the monopole beside it."""
    figure = Figure(figsize=(PAGE_WIDTH / 2, 2.8), layout="constrained")
    panel = figure.subplots()
    styles = line_styles([f"$P_{ell}$" for ell in measured.poles])
    for (name, style), pole in zip(styles.items(), measured.poles.values(), strict=True):
        panel.plot(measured.k, measured.k * pole, label=name, **style)
    if measured.shotnoise:
        panel.plot(measured.k, measured.k * measured.shotnoise, label="shot noise", **LIMIT_STYLE)
    panel.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    panel.set_xlabel(r"$k$ [$h$/Mpc]")
    panel.set_ylabel(r"$k\,P_\ell(k)$ [(Mpc/$h)^2$]")
    panel.legend()
    return figure
