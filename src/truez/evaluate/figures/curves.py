"""Statistics of fields with their deviations from the truth below, and multipoles.

Fig. 4 of arXiv:2504.06309 is `auto_and_cross` and Fig. 6 `multipoles`; `correlations` is xi(r) of
Eq. 6. Each field, and the truth, is measured in one or many boxes with the same bins, and the mean
over the boxes is drawn. The zero field, and the linear optimum where it is known, are lines of
their own. Deviations are in units of a sigma that every figure states, one of
`truez.evaluate.deviations.SIGMAS`; of xi one box has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truez.evaluate.deviations import Curves
from truez.evaluate.deviations import auto_and_cross as auto_and_cross_curves
from truez.evaluate.deviations import correlations as correlation_curves
from truez.evaluate.deviations import poles as pole_curves
from truez.evaluate.figures.spectra import K_LABEL, Line, check_optimum, draw_lines
from truez.evaluate.figures.style import (
    LIMIT_STYLE,
    PAGE_WIDTH,
    TRUTH_STYLE,
    ZERO_STYLE,
    legend,
    line_styles,
    plain_ticks,
    styled,
)
from truez.statistics.binning import Floats
from truez.statistics.power import Comparison, Correlation, Power
from truez.statistics.sampled import SampledPower


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
    label: Callable[[str], str] = str,
) -> Figure:
    """Auto and cross power with their deviations from the truth (Fig. 4 of the paper).

    Of each field against the truth, in one or many boxes with the same bins (see
    `truez.evaluate.deviations.in_boxes`) whose mean is drawn. ``r_opt`` (n,) is the correlation
    coefficient of the linear optimum, whose auto and cross power are ``r_opt^2 P_tt``.
    """
    auto, cross = auto_and_cross_curves(comparisons)
    check_optimum(r_opt, auto.x)
    one = np.ones_like(auto.x)
    best = None if r_opt is None else r_opt**2 * auto.truth.mean(axis=0)
    ylabel = r"$P(k)$ [(Mpc/$h)^3$]"
    titles = ("auto power", "cross power with the truth")
    panels = [
        _Panel(title, curves, ylabel, one, best, logarithmic=True)
        for title, curves in zip(titles, (auto, cross), strict=True)
    ]
    unit = r"$\Delta P\,/\,\sigma$"
    return _with_deviations(panels, sigma, K_LABEL, unit, label, share=True)


@styled
def multipoles(
    measured: Mapping[str, Sequence[Power]],
    truth: Sequence[Power],
    *,
    sigma: str = "auto",
    label: Callable[[str], str] = str,
) -> Figure:
    """P_0, P_2 and P_4 with their deviations from the truth (Fig. 6 of the paper)."""
    if not truth:
        raise ValueError("truth must hold at least one measurement to compare with, not none")
    panels = []
    for ell in truth[0].ells:
        curves = pole_curves(measured, truth, ell)
        ylabel = rf"$k\,P_{ell}(k)$ [(Mpc/$h)^2$]"
        # the anisotropy of the surveys is far larger than that of all the others
        outside = ("spec", "photo") if ell else ()
        panels.append(_Panel(rf"$P_{ell}$", curves, ylabel, curves.x, outside=outside))
    return _with_deviations(panels, sigma, K_LABEL, r"$\Delta P_\ell\,/\,\sigma$", label)


@styled
def correlations(
    auto: Mapping[str, Sequence[Correlation]],
    cross: Mapping[str, Sequence[Correlation]],
    truth: Sequence[Correlation],
    *,
    sigma: str = "auto",
    label: Callable[[str], str] = str,
) -> Figure:
    """Correlation functions of fields, and of fields with the truth (Eq. 6 of the paper)."""
    ylabel = r"$r^2\,\xi(r)$ [(Mpc/$h)^2$]"
    titles = ("auto correlation", "cross correlation with the truth")
    panels = []
    for title, measured in zip(titles, (auto, cross), strict=True):
        curves = correlation_curves(measured, truth)
        panels.append(_Panel(title, curves, ylabel, curves.x**2))
    unit = r"$\Delta\xi\,/\,\sigma$"
    xlabel = r"$r$ [Mpc/$h$]"
    return _with_deviations(panels, sigma, xlabel, unit, label, share=True, logx=False)


def _with_deviations(
    columns: Sequence[_Panel],
    sigma: str,
    xlabel: str,
    ylabel: str,
    label: Callable[[str], str],
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
        _curves(upper, column, label, logx=logx)
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
    legend(figure)
    figure.align_ylabels(panels[:, 0])
    if kind is not None:
        figure.supxlabel(columns[0].curves.words(kind), fontsize=8)
    return figure


def _curves(panel: Axes, column: _Panel, label: Callable[[str], str], *, logx: bool) -> None:
    curves, scale = column.curves, column.scale
    truth = scale * curves.truth.mean(axis=0)
    panel.plot(curves.x, truth, label="truth", zorder=3, **TRUTH_STYLE)
    values = {name: scale * each.mean(axis=0) for name, each in curves.fields.items()}
    draw_lines(panel, {name: Line(curves.x, value) for name, value in values.items()}, label)
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
        inside = [value for name, value in values.items() if name not in column.outside]
        known = np.concatenate([truth, *inside])
        known = known[np.isfinite(known)]
        low, high = min(known.min(), 0.0), max(known.max(), 0.0)
        room = 0.12 * (high - low)
        panel.set_ylim(low - room, high + room)


def _deviations(panel: Axes, curves: Curves, kind: str) -> None:
    for width, shade in ((2, "0.93"), (1, "0.86")):
        panel.axhspan(-width, width, color=shade, linewidth=0, zorder=0)
    panel.axhline(0, zorder=1, **TRUTH_STYLE)
    deviations = curves.deviations(kind)
    draw_lines(panel, {name: Line(curves.x, value) for name, value in deviations.items()}, None)
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


@styled
def poles(measured: Power) -> Figure:
    """k P_ell(k) of one measurement, the shot noise of the monopole beside it."""
    figure = Figure(figsize=(PAGE_WIDTH / 2, 2.8), layout="constrained")
    panel = figure.subplots()
    styles = line_styles([f"$P_{ell}$" for ell in measured.poles])
    for (name, style), pole in zip(styles.items(), measured.poles.values(), strict=True):
        panel.plot(measured.k, measured.k * pole, label=name, **style)
    if measured.shotnoise:
        panel.plot(measured.k, measured.k * measured.shotnoise, label="shot noise", **LIMIT_STYLE)
    panel.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    panel.set_xlabel(K_LABEL)
    panel.set_ylabel(r"$k\,P_\ell(k)$ [(Mpc/$h)^2$]")
    panel.legend()
    return figure


@styled
def sampled_poles(measured: SampledPower) -> Figure:
    """k P_ell(k) of an estimate and of posterior samples, whose central 68% are bands.

    Below, both less the mean of the samples, in percent of the mean of their P_0.
    """
    figure = Figure(figsize=(PAGE_WIDTH / 2, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    found = measured.estimate
    styles = line_styles([f"$P_{ell}$" for ell in found.poles])
    for (name, style), (ell, pole) in zip(styles.items(), found.poles.items(), strict=True):
        ends, mean = measured.band(ell), measured.mean(ell)
        percent = 100 / np.abs(measured.mean(0))
        for panel, zero, scale in ((upper, 0 * mean, found.k), (lower, mean, percent)):
            low, high = (scale * (end - zero) for end in ends)
            band = {"color": style["color"], "alpha": 0.3, "linewidth": 0}
            panel.fill_between(found.k, low, high, label=f"{name}, samples", **band)
            panel.plot(found.k, scale * (pole - zero), label=f"{name}, estimate", **style)
    if measured.shotnoise:
        noise = found.k * measured.shotnoise
        upper.plot(found.k, noise, label="shot noise of samples", **LIMIT_STYLE)
    for panel in (upper, lower):
        panel.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    percents(lower)
    lower.set_ylabel(r"$\Delta P_\ell\,/\,P_0$ of samples [%]")
    lower.set_xlabel(K_LABEL)
    upper.set_ylabel(r"$k\,P_\ell(k)$ [(Mpc/$h)^2$]")
    upper.set_title(f"estimate, and 16 to 84% of {measured.num} samples", fontsize=9)
    upper.legend(fontsize=8)
    return figure


def percents(panel: Axes) -> None:
    """A scale of percent that is linear up to 2 and logarithmic beyond."""
    panel.set_yscale("symlog", linthresh=2, linscale=1.2)
    ticks = [0.0, *(sign * step for step in (1, 2, 10, 100, 1000) for sign in (-1.0, 1.0))]
    panel.yaxis.set_major_locator(ticker.FixedLocator(sorted(ticks)))
    panel.yaxis.set_major_formatter(
        ticker.FuncFormatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}"))
    )
    panel.yaxis.set_minor_locator(ticker.NullLocator())
