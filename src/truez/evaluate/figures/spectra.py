"""Fields beside the truth by scale: r, T, power, and what the linear optimum leaves over.

A line is a number against k with or without its error, whoever measured it: one comparison, or many
boxes of a benchmark. `QUANTITIES` says how each number is drawn, in every figure alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
from truez.statistics.power import Comparison

K_LABEL = r"$k$ [$h$/Mpc]"
_NOTHING: dict[str, Any] = {"color": "0.6", "linewidth": 0.7, "zorder": 0}


@dataclass(frozen=True, eq=False)
class Line:
    """A number against k, or in tenths.

    Parameters
    ----------
    x, value : arrays (n,)
    error : array (n,), optional
        Of the mean over boxes; NaN where unknown.
    """

    x: Floats
    value: Floats
    error: Floats | None = None


#: Lines by name of the field.
Lines = Mapping[str, Line]
#: Those of each setting, a column of panels.
Panels = Mapping[str, Lines]


def lost(r: Floats, r_opt: Floats | None = None) -> Floats:
    """Share 1 - r^2 of the truth's power that a field does not explain.

    With ``r_opt`` over the optimum's own share; not finite where the optimum loses nothing.
    """
    share: Floats = 1 - r**2
    if r_opt is None:
        return share
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = share / (1 - r_opt**2)
    return ratio


# --- panels -------------------------------------------------------------------------------------


def _r(panel: Axes, limit: Line | None) -> None:
    panel.set_ylabel("$r(k)$ with the truth")
    panel.axhline(0, **_NOTHING)
    if limit is not None:
        panel.plot(limit.x, limit.value, label="linear optimum", **LIMIT_STYLE)
    panel.set_ylim(None, 1.02)


def _transfer(panel: Axes, limit: Line | None) -> None:
    panel.set_ylabel(r"$T(k)=\sqrt{P_{\rm rr}/P_{\rm tt}}$")
    panel.axhline(0, **_NOTHING)
    panel.axhline(1, label="truth", **TRUTH_STYLE)
    if limit is not None:
        panel.plot(limit.x, limit.value, **LIMIT_STYLE)


def _power(panel: Axes, _limit: Line | None) -> None:
    panel.set(yscale="log", ylabel=r"$P(k)$ [(Mpc/$h)^3$]")


def _lost(panel: Axes, limit: Line | None) -> None:
    if limit is None:
        panel.set_ylabel("$1-r^2$")
    else:
        panel.set_ylabel(r"$(1-r^2)\,/\,(1-r_{\rm opt}^2)$")
        panel.axhline(1, **LIMIT_STYLE)
    panel.set_yscale("log")


def _gain(panel: Axes, limit: Line | None) -> None:
    panel.set(yscale="log", ylabel=r"$P_{\rm rr}\,/\,P_{\rm rt}$")
    panel.axhline(1, **(TRUTH_STYLE if limit is None else LIMIT_STYLE))


#: The look of the panel of each number.
QUANTITIES: dict[str, Callable[[Axes, Line | None], None]] = {
    "r": _r,
    "transfer": _transfer,
    "power": _power,
    "lost": _lost,
    "gain": _gain,
}


def draw_lines(panel: Axes, lines: Lines, label: Callable[[str], str] | None) -> None:
    """Draw lines with bands of their errors; without ``label`` they are not in the legend."""
    for name, look in line_styles(list(lines)).items():
        line = lines[name]
        panel.plot(line.x, line.value, label=None if label is None else label(name), **look)
        if line.error is not None and np.isfinite(line.error).any():
            low, high = line.value - line.error, line.value + line.error
            panel.fill_between(line.x, low, high, color=look["color"], alpha=0.2, linewidth=0)


def _draw(
    panel: Axes, quantity: str, lines: Lines, limit: Line | None, label: Callable[[str], str]
) -> None:
    panel.set_xscale("log")
    draw_lines(panel, lines, label)
    QUANTITIES[quantity](panel, limit)


def _lines(comparisons: Mapping[str, Comparison], r_opt: Floats | None) -> dict[str, Lines]:
    """Each number of `QUANTITIES` of fields that were compared with one truth."""

    def of(number: Callable[[Comparison], Floats]) -> Lines:
        with np.errstate(divide="ignore", invalid="ignore"):
            return {name: Line(found.k, number(found)) for name, found in comparisons.items()}

    return {
        "r": of(lambda found: found.r),
        "transfer": of(lambda found: found.transfer),
        "power": of(lambda found: found.power_rr),
        "lost": of(lambda found: lost(found.r, r_opt)),
        "gain": of(lambda found: found.power_rr / found.power_rt),
    }


# --- figures ------------------------------------------------------------------------------------


@styled
def spectra(
    comparisons: Mapping[str, Comparison],
    *,
    r_opt: Floats | None = None,
    label: Callable[[str], str] = str,
) -> Figure:
    """r(k), T(k) and P(k) of several fields against the truth.

    Parameters
    ----------
    comparisons : mapping of name to Comparison
        Each field compared with the same truth in the same bins.
    r_opt : array (n,), optional
        Correlation coefficient of the linear optimum in those bins.
    label : callable
        What readers see instead of a name.

    Returns
    -------
    Figure
        Four panels: r(k); the transfer function T(k) = sqrt(P_rr / P_tt); P(k), shot noise
        included; and what is left to gain, (1 - r^2) / (1 - r_opt^2), or 1 - r^2 where the optimum
        is not known.
    """
    rows = (("r", "transfer"), ("power", "lost"))
    figure, panels = _of_comparisons(comparisons, rows, 5.6, r_opt, label)
    first = next(iter(comparisons.values()))
    panels["power"].plot(first.k, first.power_tt, zorder=1.9, **TRUTH_STYLE)
    _finish(figure)
    return figure


@styled
def response(
    comparisons: Mapping[str, Comparison],
    *,
    r_opt: Floats | None = None,
    label: Callable[[str], str] = str,
) -> Figure:
    """r(k), T(k) and P_rr / P_rt of several fields against the truth; arguments as in `spectra`."""
    rows = (("r", "transfer", "gain"),)
    figure, panels = _of_comparisons(comparisons, rows, 2.9, r_opt, label)
    panels["transfer"].axhline(0, label="zero field", **ZERO_STYLE)
    _finish(figure)
    return figure


def _of_comparisons(
    comparisons: Mapping[str, Comparison],
    rows: Sequence[Sequence[str]],
    height: float,
    r_opt: Floats | None,
    label: Callable[[str], str],
) -> tuple[Figure, dict[str, Axes]]:
    """Rows of panels, one for each number."""
    if not comparisons:
        raise ValueError("comparisons must hold at least one field to draw, not none")
    k = next(iter(comparisons.values())).k
    check_optimum(r_opt, k)
    lines, limit = _lines(comparisons, r_opt), None if r_opt is None else Line(k, r_opt)
    figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained")
    axes = figure.subplots(len(rows), len(rows[0]), sharex=True, squeeze=False)
    panels = dict(zip((name for row in rows for name in row), axes.flat, strict=True))
    for name, panel in panels.items():
        _draw(panel, name, lines[name], limit, label)
    return figure, panels


def _finish(figure: Figure) -> None:
    """Ticks, the label of the x axis at the foot, and the legend."""
    for panel in figure.axes:
        plain_ticks(panel.xaxis)
        if panel.get_yscale() == "log":
            plain_ticks(panel.yaxis)
        if panel.get_subplotspec().is_last_row():
            panel.set_xlabel(K_LABEL)
    legend(figure)


@styled
def spectra_in_settings(
    r: Panels,
    transfer: Panels,
    limit: Mapping[str, Line],
    *,
    label: Callable[[str], str] = str,
) -> Figure:
    """r(k) above T(k), a column for each setting.

    Parameters
    ----------
    r, transfer : mapping of setting to mapping of name to Line
    limit : mapping of setting to Line
        r of the linear optimum.
    label : callable
        What readers see instead of a name.
    """
    figure, axes = _in_settings((("r", r), ("transfer", transfer)), limit, 5.2, label)
    # the noise of the sparse survey would squeeze all the others
    known = [line.value for lines in transfer.values() for n, line in lines.items() if n != "spec"]
    highest = min(1.1 * float(np.nanmax(np.concatenate(known))), 3.0)
    axes[1, 0].set_ylim(-0.04 * highest, highest)
    _finish(figure)
    return figure


@styled
def optimum(panels: Panels, *, label: Callable[[str], str] = str) -> Figure:
    """(1 - r^2) / (1 - r_opt^2) against k, a column for each setting; below, near 1.

    Parameters
    ----------
    panels : mapping of setting to mapping of name to Line
    label : callable
        What readers see instead of a name.
    """
    limit = {setting: next(iter(lines.values())) for setting, lines in panels.items()}
    figure, axes = _in_settings((("lost", panels), ("lost", panels)), limit, 5.4, label)
    known = np.concatenate([line.value for lines in panels.values() for line in lines.values()])
    known = known[np.isfinite(known) & (known > 0)]
    low, high = (known.min(), known.max()) if known.size else (0.5, 2.0)
    axes[0, 0].set_ylim(0.9 * low, 1.2 * min(high, 100))
    axes[1, 0].set(yscale="linear", ylim=(0.5, 1.5))
    _finish(figure)
    return figure


def _in_settings(
    rows: Sequence[tuple[str, Panels]],
    limit: Mapping[str, Line],
    height: float,
    label: Callable[[str], str],
) -> tuple[Figure, Any]:
    """A row of panels for each number, a column for each setting."""
    settings = list(limit)
    figure = Figure(figsize=(settings_width(len(settings)), height), layout="constrained")
    axes = figure.subplots(len(rows), len(settings), sharex=True, sharey="row", squeeze=False)
    for row, (quantity, panels) in zip(axes, rows, strict=True):
        for panel, setting in zip(row, settings, strict=True):
            _draw(panel, quantity, panels[setting], limit[setting], label)
            panel.label_outer()
    for panel, setting in zip(axes[0], settings, strict=True):
        panel.set_title(setting)
    return figure, axes


def settings_width(number: int) -> float:
    """Width [inches] of a figure with a column for each setting."""
    return min(PAGE_WIDTH, 1.2 + 3.0 * number)


def check_optimum(r_opt: Floats | None, k: Floats) -> None:
    """Raise if ``r_opt`` does not have the bins of the spectra."""
    if r_opt is not None and r_opt.shape != k.shape:
        raise ValueError(
            f"r_opt must have a number for each of the {len(k)} bins of the spectra, not "
            f"{len(r_opt)}"
        )
