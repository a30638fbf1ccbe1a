"""The figures of arXiv:2504.06309 as the paper draws them, and what it leaves out.

Fig. 2 is `losses`, Fig. 3 `zooms`, Fig. 4 `auto_and_cross`, Fig. 5 `power_2d` and Fig. 6
`multipoles`. Besides them there are `correlations`, xi(r) of Eq. 6, and `response`, r(k), T(k) and
P_rr / P_rt with the linear optimum; `truez.evaluate.figures.common.spectra` has what is left to
gain. Fields are mappings in the order in which they are shown: a Wiener filter is one of them. The
zero field, and the linear optimum where it is known, are lines of their own. `PAPER_CAPTIONS` says
how to read each figure.

Deviations are in units of a sigma that every figure states; see `truez.evaluate.deviations`.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from truez.evaluate.deviations import Curves
from truez.evaluate.deviations import auto_and_cross as auto_and_cross_curves
from truez.evaluate.deviations import correlations as correlation_curves
from truez.evaluate.deviations import poles as pole_curves
from truez.evaluate.figures.common import power_2d
from truez.evaluate.figures.style import (
    LIMIT_STYLE,
    PAGE_WIDTH,
    TRUTH_STYLE,
    ZERO_STYLE,
    line_styles,
    plain_ticks,
    styled,
)
from truez.evaluate.figures.zooms import zoom_corners, zooms
from truez.evaluate.losses import losses
from truez.statistics.binning import Floats
from truez.statistics.power import Comparison, Correlation, Power

__all__ = [
    "PAPER_CAPTIONS",
    "auto_and_cross",
    "correlations",
    "losses",
    "multipoles",
    "power_2d",
    "response",
    "zoom_corners",
    "zooms",
]

_DEVIATIONS = (
    "Below: the deviation from the truth in units of sigma, which the foot of the figure defines; "
    "bands are 1 and 2 sigma, and beyond 2 the scale is logarithmic. Estimate and truth share most "
    "of their variance, so that an unbiased estimate lies well within one sigma. Grey: the zero "
    "field, which has no power at all."
)

#: The title of each figure and how to read it.
PAPER_CAPTIONS = {
    "losses": (
        "Fig. 2: loss on the training and the validation samples",
        (
            "The star marks the lowest validation loss, whose weights are kept. Grey lines are the "
            "losses of what needs no network."
        ),
    ),
    "zooms": (
        "Fig. 3: slices across the line of sight, with four zooms",
        (
            "1 + δ on one colour scale, averaged along the line of sight over the thickness that "
            "the colour bar names. The squares A to D, at random places, are enlarged below. Cells "
            "below the scale, zero or negative, have its lowest colour."
        ),
    ),
    "auto_and_cross": (
        "Fig. 4: auto and cross power spectra",
        (
            "Left: the power of each field. Right: its cross power with the truth, which an "
            "estimate with the right amplitudes has only if its phases are right. Shot noise is "
            "included, and power that is not positive is not drawn. An estimate of least squared "
            f"error has the same power in both, r² of the truth's. {_DEVIATIONS}"
        ),
    ),
    "power_2d": (
        "Fig. 5: power across and along the line of sight",
        (
            "P(k⊥, k∥) on one colour scale, shot noise included. Photo-z errors remove the power "
            "of the photometric survey at high k∥, down to its shot noise."
        ),
    ),
    "multipoles": (
        "Fig. 6: multipoles of the power spectrum",
        (
            "k times the monopole, which contains the shot noise, the quadrupole and the "
            f"hexadecapole. A curve that leaves its panel is seen below. {_DEVIATIONS}"
        ),
    ),
    "correlations": (
        "Correlation functions",
        (
            "Left: r² ξ(r) of each field. Right: of each field with the truth. The painting "
            f"smooths both over about a cell. {_DEVIATIONS}"
        ),
    ),
    "response": (
        "Correlation, amplitude and optimality by scale",
        (
            "r(k), the correlation of the modes with the truth; T(k), their amplitude over that of "
            "the truth; and P_rr / P_rt, which is 1 for an estimate of least squared error: more "
            "means noise that a filter would remove, less that signal is given away. Dotted: the "
            "linear optimum, for which T = r. The zero field has T = 0, and no r. A ratio with a "
            "cross power that is not positive is not drawn."
        ),
    ),
}


# --- curves with deviations ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Panel:
    """One column of a figure: curves times ``scale``, and their deviations below."""

    title: str
    curves: Curves
    ylabel: str
    scale: Floats
    optimum: Floats | None = None
    logarithmic: bool = False
    #: Fields that may leave the panel, where they would hide all the others.
    outside: tuple[str, ...] = ()


@styled
def auto_and_cross(
    comparisons: Mapping[str, Sequence[Comparison]],
    *,
    r_opt: Floats | None = None,
    sigma: str = "auto",
) -> Figure:
    """Auto and cross power with their deviations from the truth (Fig. 4 of the paper).

    Parameters
    ----------
    comparisons : mapping of name to sequence of Comparison
        Each field against the truth, in one or many boxes with the same bins; see
        `truez.evaluate.deviations.in_boxes`. The mean over the boxes is drawn.
    r_opt : array (n,), optional
        Correlation coefficient of the linear optimum, whose auto and cross power are
        ``r_opt^2 P_tt``.
    sigma : {"auto", "scatter", "error", "modes"}
        The unit of the deviations, see `truez.evaluate.deviations`; ``auto`` is ``error`` of many
        boxes and ``modes`` of one.
    """
    auto, cross = auto_and_cross_curves(comparisons)
    _check_optimum(r_opt, auto.x)
    one = np.ones_like(auto.x)
    best = None if r_opt is None else r_opt**2 * auto.truth.mean(axis=0)
    label = r"$P(k)$ [(Mpc/$h)^3$]"
    titles = ("auto power", "cross power with the truth")
    panels = [
        _Panel(title, curves, label, one, best, logarithmic=True)
        for title, curves in zip(titles, (auto, cross), strict=True)
    ]
    return _with_deviations(panels, sigma, r"$k$ [$h$/Mpc]", r"$\Delta P\,/\,\sigma$", share=True)


@styled
def multipoles(
    measured: Mapping[str, Sequence[Power]], truth: Sequence[Power], *, sigma: str = "auto"
) -> Figure:
    """P_0, P_2 and P_4 with their deviations from the truth (Fig. 6 of the paper).

    Parameters
    ----------
    measured : mapping of name to sequence of Power
        Each field, in one or many boxes with the same bins. The mean over the boxes is drawn.
    truth : sequence of Power
        In the same boxes; a panel for each of its multipoles.
    sigma : {"auto", "scatter", "error", "modes"}
        As in `auto_and_cross`.
    """
    if not truth:
        raise ValueError("truth must hold at least one measurement to compare with, not none")
    panels = []
    for ell in truth[0].ells:
        curves = pole_curves(measured, truth, ell)
        label = rf"$k\,P_{ell}(k)$ [(Mpc/$h)^2$]"
        # The surveys' bias and smearing are far larger than what is to be seen.
        panels.append(
            _Panel(rf"$P_{ell}$", curves, label, curves.x, outside=("spec", "photo") if ell else ())
        )
    return _with_deviations(panels, sigma, r"$k$ [$h$/Mpc]", r"$\Delta P_\ell\,/\,\sigma$")


@styled
def correlations(
    auto: Mapping[str, Sequence[Correlation]],
    cross: Mapping[str, Sequence[Correlation]],
    truth: Sequence[Correlation],
    *,
    sigma: str = "auto",
) -> Figure:
    """Correlation functions of fields, and of fields with the truth (Eq. 6 of the paper).

    Parameters
    ----------
    auto, cross : mapping of name to sequence of Correlation
        Of each field with itself and with the truth, in one or many boxes with the same bins. The
        mean over the boxes is drawn.
    truth : sequence of Correlation
        Of the truth with itself in the same boxes.
    sigma : {"auto", "scatter", "error"}
        As in `auto_and_cross`; one box has none, and no deviations are drawn.
    """
    label = r"$r^2\,\xi(r)$ [(Mpc/$h)^2$]"
    titles = ("auto correlation", "cross correlation with the truth")
    panels = []
    for title, measured in zip(titles, (auto, cross), strict=True):
        curves = correlation_curves(measured, truth)
        panels.append(_Panel(title, curves, label, curves.x**2))
    unit = r"$\Delta\xi\,/\,\sigma$"
    return _with_deviations(panels, sigma, r"$r$ [Mpc/$h$]", unit, share=True, logx=False)


def _with_deviations(
    columns: Sequence[_Panel],
    sigma: str,
    xlabel: str,
    ylabel: str,
    *,
    share: bool = False,
    logx: bool = True,
) -> Figure:
    """Curves above, deviations in sigma below, one column for each panel."""
    kind = columns[0].curves.kind(sigma)
    heights = [3.0] if kind is None else [3.0, 2.0]
    figure = Figure(figsize=(PAGE_WIDTH, 3.0 if kind is None else 4.6), layout="constrained")
    panels = figure.subplots(
        len(heights),
        len(columns),
        sharex=True,
        sharey="row" if share else False,
        squeeze=False,
        height_ratios=heights,
    )
    for index, (column, upper) in enumerate(zip(columns, panels[0], strict=True)):
        _curves(upper, column, logx=logx)
        upper.set_title(column.title)
        if index == 0 or not share:
            upper.set_ylabel(column.ylabel)
        if kind is not None:
            panel = panels[1, index]
            _deviations(panel, column.curves, kind)
            if index == 0:
                panel.set_ylabel(ylabel)
            else:
                panel.sharey(panels[1, 0])
                panel.tick_params(labelleft=False)
        panels[-1, index].set_xlabel(xlabel)
    for panel in panels[-1]:
        if logx:
            plain_ticks(panel.xaxis)
        else:
            panel.xaxis.set_major_locator(ticker.MaxNLocator(6, steps=(1, 2, 5, 10), prune="upper"))
    _legend(figure)
    figure.align_ylabels(panels[:, 0])
    if kind is not None:
        figure.supxlabel(columns[0].curves.words(kind), fontsize=8)
    return figure


def _check_optimum(r_opt: Floats | None, k: Floats) -> None:
    if r_opt is not None and r_opt.shape != k.shape:
        raise ValueError(
            f"r_opt must have a number for each of the {len(k)} bins of the spectra, not "
            f"{len(r_opt)}"
        )


def _legend(figure: Figure) -> None:
    """One legend for all panels, in rows of alike length."""
    handles: dict[str, Any] = {}
    for panel in figure.axes:
        for handle, name in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    columns = math.ceil(len(handles) / math.ceil(len(handles) / 5))
    names = [textwrap.fill(name, 30) for name in handles]
    figure.legend(list(handles.values()), names, loc="outside upper center", ncols=columns)


def _curves(panel: Axes, column: _Panel, *, logx: bool) -> None:
    curves, scale = column.curves, column.scale
    inside = [scale * curves.truth.mean(axis=0)]
    panel.plot(curves.x, inside[0], label="truth", zorder=3, **TRUTH_STYLE)
    for name, style in line_styles(list(curves.fields)).items():
        values = scale * curves.fields[name].mean(axis=0)
        panel.plot(curves.x, values, label=name, **style)
        if name not in column.outside:
            inside.append(values)
    if column.optimum is not None:
        panel.plot(curves.x, column.optimum * scale, label="linear optimum", **LIMIT_STYLE)
    if logx:
        panel.set_xscale("log")
    if column.logarithmic:
        panel.set_yscale("log")
        plain_ticks(panel.yaxis)
        return
    panel.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    if column.outside:
        known = np.concatenate(inside)
        known = known[np.isfinite(known)]
        low, high = min(known.min(), 0.0), max(known.max(), 0.0)
        room = 0.12 * (high - low)
        panel.set_ylim(low - room, high + room)


def _deviations(panel: Axes, curves: Curves, kind: str) -> None:
    for width, shade in ((2, "0.93"), (1, "0.86")):
        panel.axhspan(-width, width, color=shade, linewidth=0, zorder=0)
    panel.axhline(0, zorder=1, **TRUTH_STYLE)
    deviations = curves.deviations(kind)
    for name, style in line_styles(list(curves.fields)).items():
        panel.plot(curves.x, deviations[name], **style)
    truth, sigma = curves.truth.mean(axis=0), curves.sigma(kind)
    with np.errstate(divide="ignore", invalid="ignore"):
        panel.plot(curves.x, -truth / sigma, label="zero field", **ZERO_STYLE)
    panel.set_yscale("symlog", linthresh=2, linscale=1.2)
    panel.yaxis.set_major_locator(_Sigmas())
    panel.yaxis.set_major_formatter(
        ticker.FuncFormatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}"))
    )
    panel.yaxis.set_minor_locator(ticker.NullLocator())


class _Sigmas(ticker.Locator):
    """Ticks of deviations in sigmas, fewer where many decades are drawn."""

    def __call__(self) -> list[float]:
        assert self.axis is not None
        farthest = np.abs(self.axis.get_view_interval()).max()
        steps = (2, 10, 100, 1000) if farthest < 500 else (2, 100, 1000)
        return [0.0, *(sign * step for step in steps for sign in (-1.0, 1.0))]


# --- r, T and P_rr / P_rt -----------------------------------------------------------------------


@styled
def response(
    comparisons: Mapping[str, Comparison], *, r_opt: NDArray[np.float64] | None = None
) -> Figure:
    """r(k), T(k) and P_rr / P_rt of several fields against the truth.

    Parameters
    ----------
    comparisons : mapping of name to Comparison
        Each field compared with the same truth in the same bins.
    r_opt : array (n,), optional
        Correlation coefficient of the linear optimum in those bins.
    """
    if not comparisons:
        raise ValueError("comparisons must hold at least one field to draw, not none")
    _check_optimum(r_opt, next(iter(comparisons.values())).k)
    figure = Figure(figsize=(PAGE_WIDTH, 2.9), layout="constrained")
    panel_r, panel_t, panel_gain = panels = figure.subplots(1, 3, sharex=True)
    for name, style in line_styles(list(comparisons)).items():
        result = comparisons[name]
        panel_r.plot(result.k, result.r, label=name, **style)
        panel_t.plot(result.k, result.transfer, **style)
        with np.errstate(divide="ignore", invalid="ignore"):
            panel_gain.plot(result.k, result.power_rr / result.power_rt, **style)
    panel_t.axhline(0, label="zero field", **ZERO_STYLE)
    if r_opt is not None:
        k = next(iter(comparisons.values())).k
        panel_r.plot(k, r_opt, label="linear optimum", **LIMIT_STYLE)
        panel_t.plot(k, r_opt, **LIMIT_STYLE)
    panel_gain.axhline(1, **(TRUTH_STYLE if r_opt is None else LIMIT_STYLE))
    panel_t.axhline(1, label="truth", **TRUTH_STYLE)
    panel_r.set(xscale="log", ylabel="$r(k)$ with the truth")
    panel_r.set_ylim(min(panel_r.get_ylim()[0], 0.0), 1.02)
    panel_t.set_ylabel(r"$T(k)=(P_{\rm rr}\,/\,P_{\rm tt})^{1/2}$")
    panel_gain.set(yscale="log", ylabel=r"$P_{\rm rr}\,/\,P_{\rm rt}$")
    plain_ticks(panel_gain.yaxis)
    for panel in panels:
        panel.set_xlabel(r"$k$ [$h$/Mpc]")
        plain_ticks(panel.xaxis)
    _legend(figure)
    return figure
