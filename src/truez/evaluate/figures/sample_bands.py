"""Posterior samples beside the truth and their estimates, statistic by statistic."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truez.evaluate.figures.curves import percents
from truez.evaluate.figures.spectra import K_LABEL
from truez.evaluate.figures.style import (
    PAGE_WIDTH,
    TRUTH_STYLE,
    drawn,
    legend,
    line_styles,
    plain_ticks,
    styled,
)
from truez.evaluate.sample_bands import ELLS, SampleBands
from truez.statistics.binning import Floats


@styled
def samples(found: Mapping[str, SampleBands], *, label: Callable[[str], str] = str) -> Figure:
    """Poles, their deviations from the truth, r, xi and the one-point PDF.

    Of each field by name the estimate (a line) and the central 68% of its samples (a band).
    """
    if not found:
        raise ValueError("found must hold the samples of at least one field, not none")
    figure = Figure(figsize=(PAGE_WIDTH, 7.0), layout="constrained")
    panels = figure.subplots(3, len(ELLS), height_ratios=[3, 2, 3], squeeze=False)
    for column, ell in enumerate(ELLS):
        name = f"P{ell}"
        upper, lower = panels[0, column], panels[1, column]
        _draw(upper, found, name, label, lambda values, one: one.x["P0"] * values)
        _draw(lower, found, name, None, _percent(name))
        upper.set_title(f"$P_{ell}$")
        percents(lower)
        for panel in (upper, lower):
            panel.axhline(0, color="0.6", linewidth=0.6, zorder=0)
            panel.set_xscale("log")
            plain_ticks(panel.xaxis)
        upper.tick_params(labelbottom=False)
        lower.set_xlabel(K_LABEL)
    panels[0, 0].set_ylabel(r"$k\,P_\ell(k)$ [(Mpc/$h)^2$]")
    panels[1, 0].set_ylabel(r"$\Delta P_\ell\,/\,P_0$ of truth [%]")
    r, xi, pdf = panels[2]
    _correlation(r, found, label)
    _draw(xi, found, "xi", label, lambda values, one: one.x["xi"] ** 2 * values)
    xi.set(xlabel=r"$r$ [Mpc/$h$]", ylabel=r"$r^2\,\xi(r)$ [(Mpc/$h)^2$]")
    xi.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    _density(pdf, found, label)
    legend(figure)
    figure.align_ylabels(panels[:, 0])
    return figure


@styled
def sky_samples(found: Mapping[str, SampleBands], *, label: Callable[[str], str] = str) -> Figure:
    """Power, r and the one-point PDF of fields on the sky.

    Of each field by name the estimate (a line) and the central 68% of its samples (a band).
    """
    if not found:
        raise ValueError("found must hold the samples of at least one field, not none")
    figure = Figure(figsize=(PAGE_WIDTH, 3.2), layout="constrained")
    power, r, pdf = figure.subplots(1, 3)
    _draw(power, found, "P0", label, _percent("P0"))
    percents(power)
    power.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    power.set(xscale="log", xlabel=K_LABEL, ylabel=r"$\Delta P\,/\,P$ of truth [%]")
    plain_ticks(power.xaxis)
    _correlation(r, found, label)
    _density(pdf, found, label)
    legend(figure)
    return figure


def _correlation(
    panel: Axes, found: Mapping[str, SampleBands], label: Callable[[str], str]
) -> None:
    """r(k) with the truth, and that of estimates squared."""
    _draw(panel, found, "r", label, lambda values, _: values)
    for field, style in line_styles(list(found)).items():
        squared = {"color": style["color"], "linestyle": (0, (1, 1.2)), "linewidth": 1.2}
        text = f"r² of {drawn(label(field))}"
        panel.plot(found[field].x["r"], found[field].estimate["r"] ** 2, label=text, **squared)
    panel.set(xscale="log", xlabel=K_LABEL, ylabel="$r(k)$ with the truth")
    plain_ticks(panel.xaxis)


def _density(panel: Axes, found: Mapping[str, SampleBands], label: Callable[[str], str]) -> None:
    """The one-point PDF."""
    _draw(panel, found, "pdf", label, lambda values, _: np.where(values > 0, values, np.nan))
    radius = next(iter(found.values())).radius
    smooth = f", $R$ = {radius:g} Mpc/$h$" if radius else ""
    panel.set(yscale="log", xlabel=rf"$1+\delta${smooth}", ylabel="probability density")


def _percent(name: str) -> Callable[[Floats, SampleBands], Floats]:
    """Deviation of a multipole from the truth's [percent of its P_0]."""
    return lambda values, one: 100 * (values - one.truth[name]) / np.abs(one.truth["P0"])


def _draw(
    panel: Axes,
    found: Mapping[str, SampleBands],
    name: str,
    label: Callable[[str], str] | None,
    scaled: Callable[[Floats, SampleBands], Floats],
) -> None:
    """A band and a line for each field; those of ``label`` are in the legend."""
    first = next(iter(found.values()))
    words = None if label is None else "truth"
    panel.plot(first.x[name], scaled(first.truth[name], first), label=words, **TRUTH_STYLE)
    for field, style in line_styles(list(found)).items():
        one = found[field]
        text = None if label is None else drawn(label(field))
        low, high = (scaled(end, one) for end in one.band(name))
        band = None if text is None else f"{one.num} samples of {text}"
        panel.fill_between(
            one.x[name], low, high, color=style["color"], alpha=0.35, linewidth=0, label=band
        )
        panel.plot(one.x[name], scaled(one.estimate[name], one), label=text, **style)
