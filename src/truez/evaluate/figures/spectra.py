"""Fields beside the truth by scale: r, T, power, and what the linear optimum leaves over.

A line is a number against k with or without its error, whoever measured it: one comparison, or many
boxes of a benchmark. Each number is drawn alike in every figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from truez.evaluate.figures.style import (
    LIMIT_STYLE,
    PAGE_WIDTH,
    TRUTH_STYLE,
    ZERO_STYLE,
    drawn,
    legend,
    line_styles,
    plain_ticks,
    styled,
)
from truez.evaluate.store import lost
from truez.statistics.binning import Floats
from truez.statistics.power import Comparison

K_LABEL = r"$k$ [$h$/Mpc]"
_YLABELS = {
    "r": "$r(k)$ with the truth",
    "transfer": r"$T(k)=\sqrt{P_{\rm rr}/P_{\rm tt}}$",
    "power": r"$P(k)$ [(Mpc/$h)^3$]",
    "lost": r"$(1-r^2)\,/\,(1-r_{\rm opt}^2)$",
    "gain": r"$P_{\rm rr}\,/\,P_{\rm rt}$",
}


@dataclass(frozen=True, eq=False)
class Line:
    """Numbers (n,) against k or tenths, and errors (n,) of means over boxes, NaN where unknown."""

    x: Floats
    value: Floats
    error: Floats | None = None


#: Lines by name of the field.
Lines = Mapping[str, Line]
#: Those of each setting, a column of panels.
Panels = Mapping[str, Lines]


# --- panels -------------------------------------------------------------------------------------


def draw_lines(panel: Axes, lines: Lines, label: Callable[[str], str] | None) -> None:
    """Draw lines with bands of their errors; without ``label`` they are not in the legend."""
    for name, look in line_styles(list(lines)).items():
        line = lines[name]
        panel.plot(line.x, line.value, label=None if label is None else drawn(label(name)), **look)
        if line.error is not None and np.isfinite(line.error).any():
            low, high = line.value - line.error, line.value + line.error
            panel.fill_between(line.x, low, high, color=look["color"], alpha=0.2, linewidth=0)


def _draw(panel: Axes, number: str, limit: Line | None) -> None:
    """The label and scale of a number, and what it is compared with."""
    panel.set(xscale="log", ylabel=_YLABELS[number])
    if number == "lost" and limit is None:
        panel.set_ylabel("$1-r^2$")
    if number in ("r", "transfer"):
        panel.axhline(0, color="0.6", linewidth=0.7, zorder=0)
        if limit is not None:
            panel.plot(limit.x, limit.value, label="linear optimum", **LIMIT_STYLE)
    else:
        panel.set_yscale("log")
    if number == "r":
        panel.set_ylim(None, 1.02)
    if number == "transfer":
        panel.axhline(1, label="truth", **TRUTH_STYLE)
    elif number in ("lost", "gain") and limit is not None:
        panel.axhline(1, **LIMIT_STYLE)
    elif number == "gain":
        panel.axhline(1, **TRUTH_STYLE)


#: What a panel shows: the number, its lines and that of the linear optimum.
_Panel = tuple[str, Lines, Line | None]


def _panels(
    rows: Sequence[Sequence[_Panel]], size: tuple[float, float], label: Callable[[str], str]
) -> tuple[Figure, Any]:
    """Panels in rows; those of one number in a row share their axis."""
    figure = Figure(figsize=size, layout="constrained")
    share = all(len({number for number, *_ in row}) == 1 for row in rows)
    rows_share: Literal["row", "none"] = "row" if share else "none"
    shape = len(rows), len(rows[0])
    axes = figure.subplots(*shape, sharex=True, sharey=rows_share, squeeze=False)
    for row, panels in zip(rows, axes, strict=True):
        for (number, lines, limit), panel in zip(row, panels, strict=True):
            draw_lines(panel, lines, label)
            _draw(panel, number, limit)
            if share:
                panel.label_outer()
    for panel in axes[-1]:
        panel.set_xlabel(K_LABEL)
    return figure, axes


def _finish(figure: Figure) -> Figure:
    """Ticks and the legend, when all is drawn."""
    for panel in figure.axes:
        plain_ticks(panel.xaxis)
        if panel.get_yscale() == "log":
            plain_ticks(panel.yaxis)
    legend(figure)
    return figure


# --- figures ------------------------------------------------------------------------------------


@styled
def spectra(
    comparisons: Mapping[str, Comparison],
    *,
    r_opt: Floats | None = None,
    label: Callable[[str], str] = str,
) -> Figure:
    """r(k), T(k) = sqrt(P_rr / P_tt), P(k) with its shot noise, and what is left to gain.

    The last is (1 - r^2) / (1 - r_opt^2), or 1 - r^2 where the optimum is not known: ``r_opt`` (n,)
    in the bins of the comparisons, all with the same truth.
    """
    shown = _of_comparisons(comparisons, r_opt)
    rows = [[shown["r"], shown["transfer"]], [shown["power"], shown["lost"]]]
    figure, axes = _panels(rows, (PAGE_WIDTH, 5.6), label)
    first = next(iter(comparisons.values()))
    axes[1, 0].plot(first.k, first.power_tt, zorder=1.9, **TRUTH_STYLE)
    return _finish(figure)


@styled
def response(
    comparisons: Mapping[str, Comparison],
    *,
    r_opt: Floats | None = None,
    label: Callable[[str], str] = str,
) -> Figure:
    """r(k), T(k) and P_rr / P_rt of several fields against the truth."""
    shown = _of_comparisons(comparisons, r_opt)
    row = [shown[number] for number in ("r", "transfer", "gain")]
    figure, axes = _panels([row], (PAGE_WIDTH, 2.9), label)
    axes[0, 1].axhline(0, label="zero field", **ZERO_STYLE)
    return _finish(figure)


def _of_comparisons(
    comparisons: Mapping[str, Comparison], r_opt: Floats | None
) -> dict[str, _Panel]:
    """Each number of fields that were compared with one truth."""
    if not comparisons:
        raise ValueError("comparisons must hold at least one field to draw, not none")
    k = next(iter(comparisons.values())).k
    check_optimum(r_opt, k)
    limit = None if r_opt is None else Line(k, r_opt)

    numbers: dict[str, Callable[[Comparison], Floats]] = {
        "r": lambda found: found.r,
        "transfer": lambda found: found.transfer,
        "power": lambda found: found.power_rr,
        "lost": lambda found: lost(found.r, r_opt),
        "gain": lambda found: found.power_rr / found.power_rt,
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            number: (number, {n: Line(c.k, value(c)) for n, c in comparisons.items()}, limit)
            for number, value in numbers.items()
        }


@styled
def spectra_in_settings(
    r: Panels, transfer: Panels, limit: Mapping[str, Line], *, label: Callable[[str], str] = str
) -> Figure:
    """r(k) with the optimum's, ``limit``, above T(k), a column for each setting."""
    numbers = {"r": r, "transfer": transfer}
    rows = [[(number, found[s], limit[s]) for s in r] for number, found in numbers.items()]
    figure, axes = _panels(rows, (settings_width(len(r)), 5.2), label)
    # the noise of the sparse survey would squeeze all the others
    known = [line.value for lines in transfer.values() for n, line in lines.items() if n != "spec"]
    highest = min(1.1 * float(np.nanmax(np.concatenate(known))), 3.0)
    axes[1, 0].set_ylim(-0.04 * highest, highest)
    for panel, setting in zip(axes[0], r, strict=True):
        panel.set_title(setting)
    return _finish(figure)


@styled
def optimum(panels: Panels, *, label: Callable[[str], str] = str) -> Figure:
    """(1 - r^2) / (1 - r_opt^2) against k, a column for each setting; below, near 1."""
    one = Line(np.ones(1), np.ones(1))
    row: list[_Panel] = [("lost", lines, one) for lines in panels.values()]
    figure, axes = _panels([row, row], (settings_width(len(row)), 5.4), label)
    known = np.concatenate([line.value for lines in panels.values() for line in lines.values()])
    known = known[np.isfinite(known) & (known > 0)]
    low, high = (known.min(), known.max()) if known.size else (0.5, 2.0)
    axes[0, 0].set_ylim(0.9 * low, 1.2 * min(high, 100))
    axes[1, 0].set(yscale="linear", ylim=(0.5, 1.5))
    for panel, setting in zip(axes[0], panels, strict=True):
        panel.set_title(setting)
    return _finish(figure)


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
