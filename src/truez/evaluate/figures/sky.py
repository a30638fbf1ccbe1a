"""Surveys on the sky: wedges of galaxies, N(z), and what is gained where.

In a wedge the distance from the apex is redshift and the angle right ascension, of galaxies in a
thin range of declination. Narrow surveys are drawn wider than they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from truez.evaluate.figures.style import (
    MARKERS,
    METHOD_COLORS,
    PAGE_WIDTH,
    PHOTO_STYLE,
    TRUTH_STYLE,
    ZERO_STYLE,
    legend,
    line_styles,
    styled,
)
from truez.surveys.nz import NumberDensity

Array = NDArray[np.float64]
#: Right ascension and redshift of galaxies.
Places = tuple[ArrayLike, ArrayLike]
#: Angle that a narrow survey is drawn with [deg].
_OPENING = 26.0
#: Galaxies of a panel at most: more are a grey area.
_MOST = 12_000
#: Galaxies of a thin range of declination.
_IN_WEDGE = 6_000
#: What galaxies are divided by, and the label of its axis.
QUANTITIES = {
    "redshift": "photo-z",
    "magnitude": "magnitude",
    "edge_distance": "distance to the edge [Mpc/$h$]",
}


def thin_range(dec: Array, inside: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], float, float]:
    """Galaxies of a range of declination about the middle, thin enough for a wedge; its ends.

    Parameters
    ----------
    dec : (n,) array
        [deg].
    inside : (n,) bool array
        Which galaxies count.
    """
    share = min(_IN_WEDGE / max(int(inside.sum()), 1), 1.0)
    low, high = np.quantile(dec[inside], [0.5 - share / 2, 0.5 + share / 2])
    return (dec >= low) & (dec <= high), float(low), float(high)


def extent(ra: Array) -> tuple[float, float]:
    """Ends of the range of right ascension that holds galaxies, from the one eastward [deg]."""
    bins = np.unique(np.mod(ra, 360) // 1)
    gaps = np.diff(np.append(bins, bins[0] + 360))
    widest = int(np.argmax(gaps))
    if gaps[widest] <= 2:
        return 0.0, 360.0
    first = float(bins[(widest + 1) % len(bins)])
    return first, float((bins[widest] + 1) % 360)


@styled
def wedge(
    panels: Mapping[str, Places],
    *,
    spec: Places | None = None,
    ra_range: tuple[float, float],
    redshift_range: tuple[float, float],
    about: str = "",
) -> Figure:
    """Wedges of galaxies, right ascension against redshift, one for each set of redshifts.

    Parameters
    ----------
    panels : mapping of a title to (right ascensions, redshifts)
        Such as those of the photo-z, of the sharpened redshifts, and of the truth.
    spec : (right ascensions, redshifts), optional
        Of galaxies with spectra, which every panel shows.
    ra_range : (2,) floats
        From the one eastward to the other [deg].
    redshift_range : (2,) floats
    about : str
        Words below, such as the range of declination.
    """
    view = _View(ra_range, redshift_range)
    x, y = view.outline()
    aspect = float(np.ptp(y) / np.ptp(x))
    # Wedges that are higher than wide stand side by side.
    rows, columns = (len(panels), 1) if aspect < 1 else (1, len(panels))
    height = min(0.3 + 0.94 * PAGE_WIDTH / columns * aspect, 9.0 / rows)
    figure = Figure(figsize=(PAGE_WIDTH, 0.6 + height * rows), layout="constrained")
    axes: Any = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (title, places) in zip(axes, panels.items(), strict=True):
        view.draw(axis)
        points = {"marker": ".", "linestyle": "none", "markeredgewidth": 0, "rasterized": True}
        axis.plot(*view.placed(places), color="0.2", markersize=1.5, label="without spectrum",
                  **points)  # fmt: skip
        if spec is not None:
            axis.plot(*view.placed(spec), color=METHOD_COLORS[1], markersize=2.4,
                      label="with spectrum", **points)  # fmt: skip
        axis.set_title(title, loc="left", y=0.9 if aspect < 1 else None)
    drawn = f", drawn {view.stretch:.2g} times as wide as on the sky" if view.stretch > 1 else ""
    words = f"angle: right ascension{drawn}"
    figure.supxlabel("; ".join(part for part in (about, words) if part), fontsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, markerscale=5)
    return figure


class _View:
    """A wedge that opens to the right, in units of redshift."""

    def __init__(self, ra_range: tuple[float, float], redshifts: tuple[float, float]) -> None:
        self.first, self.redshifts = ra_range[0], redshifts
        self.width = (ra_range[1] - ra_range[0]) % 360 or 360.0
        self.stretch = max(_OPENING / self.width, 1.0)

    def place(self, ra: ArrayLike, redshift: ArrayLike) -> tuple[Array, Array]:
        """Coordinates of right ascensions, counted from the first [deg], and redshifts."""
        angle = np.radians((np.asarray(ra, np.float64) - self.width / 2) * self.stretch)
        z = np.asarray(redshift, np.float64)
        return z * np.cos(angle), z * np.sin(angle)

    def arc(self, redshift: float) -> tuple[Array, Array]:
        """Places at one redshift."""
        return self.place(np.linspace(0, self.width, 200), redshift)

    def outline(self) -> tuple[Array, Array]:
        """The edge of the wedge."""
        low, high = (self.arc(z) for z in self.redshifts)
        return (np.concatenate([high[0], low[0][::-1], high[0][:1]]),
                np.concatenate([high[1], low[1][::-1], high[1][:1]]))  # fmt: skip

    def placed(self, places: Places) -> tuple[Array, Array]:
        """Galaxies within the wedge, a random part of them where there are many."""
        east = np.mod(np.asarray(places[0], np.float64) - self.first, 360)
        z, (low, high) = np.asarray(places[1], np.float64), self.redshifts
        rows = np.flatnonzero((east <= self.width) & (z >= low) & (z <= high))
        if len(rows) > _MOST:
            rows = np.sort(np.random.default_rng(0).choice(rows, _MOST, replace=False))
        return self.place(east[rows], z[rows])

    def draw(self, axis: Axes) -> None:
        """The edge, with redshifts along its lower side and right ascensions along its arc."""
        low, high = self.redshifts
        grid: dict[str, Any] = {"color": "0.85", "linewidth": 0.5, "zorder": 0}
        for z in ticker.MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high):
            if low < z < high:
                axis.plot(*self.arc(z), **grid)
            if low <= z <= high:
                self._label(axis, 0.0, z, f"{z:g}", -90)
        step = next((s for s in (0.5, 1, 2, 5, 10, 20, 30) if self.width / s <= 7), 60)
        for ra in np.arange(math.ceil(self.first / step) * step, self.first + self.width, step):
            axis.plot(*self.place([ra - self.first] * 2, self.redshifts), **grid)
            self._label(axis, ra - self.first, high, f"{ra % 360:g}°", 0)
        axis.plot(*self.outline(), color="black", linewidth=0.8)
        self._label(axis, 0.0, (low + 2 * high) / 3, "redshift", -90, away=17)
        axis.set_aspect("equal")
        axis.set_axis_off()

    def _label(
        self, axis: Axes, ra: float, z: float, text: str, turn: float, *, away: float = 4
    ) -> None:
        """A text beside the edge, ``turn`` degrees from the direction of growing redshift."""
        angle = (ra - self.width / 2) * self.stretch
        toward = math.radians(angle + turn)
        right, up = math.cos(toward), math.sin(toward)
        x, y = self.place(ra, z)
        along = text == "redshift"
        away += 14 * abs(right) if along else 0  # beside the numbers
        axis.annotate(
            text, (float(x), float(y)), textcoords="offset points",
            xytext=(away * right, away * up), annotation_clip=False,
            ha="center" if along or abs(right) < 0.5 else "left" if right > 0 else "right",
            va="center" if not along and abs(up) < 0.5 else "bottom" if up > 0 else "top",
            rotation=angle if along else 0, rotation_mode="anchor",
        )  # fmt: skip


@styled
def number_densities(
    found: Mapping[str, NumberDensity],
    *,
    truth: Mapping[str, ArrayLike] | None = None,
    limits: tuple[float, float],
) -> Figure:
    """Histograms of redshifts, the fits to them, and N(z), a panel for each survey.

    Parameters
    ----------
    found : mapping of a title to NumberDensity
        Those that were fitted have the histogram and its fit.
    truth : mapping of a title to (n,) arrays, optional
        True redshifts.
    limits : (2,) floats
        Redshifts that are shown.
    """
    figure = Figure(figsize=(PAGE_WIDTH, 2.9), layout="constrained")
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    for axis, (title, nz) in zip(axes, found.items(), strict=True):
        words = ""
        if nz.fit is not None:
            width = np.diff(nz.fit.edges)
            middle = (nz.fit.edges[1:] + nz.fit.edges[:-1]) / 2
            axis.stairs(
                nz.fit.counts / width, nz.fit.edges, color=PHOTO_STYLE["color"], linewidth=1.0,
                label="redshifts as measured",
            )  # fmt: skip
            axis.plot(middle, nz.fit.model / width, color=METHOD_COLORS[0], linestyle=(0, (4, 1.5)),
                      label="fit to them")  # fmt: skip
            words = f"\n$\\chi^2$/dof = {nz.fit.chi2:.4g}/{nz.fit.dof}"
        if truth is not None and title in truth:
            edges = np.linspace(*limits, 51)
            counts = np.histogram(np.asarray(truth[title]), edges)[0]
            axis.stairs(counts / np.diff(edges), edges, color="0.6", linewidth=1.0,
                        label="true redshifts")  # fmt: skip
        z = np.linspace(*limits, 400)
        axis.plot(z, nz(z), color=METHOD_COLORS[1], label="N(z) at true redshifts")
        axis.set_title(f"{title}{words}")
        axis.set(xlabel="redshift", xlim=limits, ylim=(0, None))
        axis.yaxis.set_major_formatter(ticker.EngFormatter(sep="\N{THIN SPACE}"))
    axes[0].set_ylabel("galaxies per unit redshift")
    legend(figure)
    return figure


@styled
def gain_by_place(
    found: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]],
    *,
    label: Callable[[str], str] = str,
) -> Figure:
    """Nats gained by redshift, magnitude and distance to the edge, and PIT in bins of redshift.

    Parameters
    ----------
    found : mapping of an estimate to ``by``
        The bins of `truez.evaluate.sky.summary`, by the names of `QUANTITIES`.
    label : function of a name
        What readers see.
    """
    first = next(iter(found.values()))
    shown = [name for name in QUANTITIES if name in first]
    bins = [entry for entry in first["redshift"] if entry["num"]]
    figure = Figure(figsize=(PAGE_WIDTH, 4.6), layout="constrained")
    rows = figure.add_gridspec(2, 1)
    upper, lower = figure.add_subfigure(rows[0]), figure.add_subfigure(rows[1])
    tops: Any = upper.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    lows: Any = lower.subplots(1, len(bins), sharey=True, squeeze=False)[0]
    for name, style in line_styles(list(found)).items():
        for axis, quantity in zip(tops, shown, strict=True):
            _gains(axis, found[name][quantity], style, MARKERS.get(name, "o"), label(name))
        for axis, entry in zip(lows, (e for e in found[name]["redshift"] if e["num"]), strict=True):
            _pit(axis, entry, style)
    for axis, quantity in zip(tops, shown, strict=True):
        axis.axhline(0, **ZERO_STYLE)
        axis.set_xlabel(QUANTITIES[quantity])
        axis.xaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
    tops[0].set_ylabel("information gain\n[nats per galaxy]")
    reach = max(
        float(np.abs(100 * np.asarray(e["pit"]) - 10).max())
        for by in found.values() for e in by["redshift"] if e["num"]
    )  # fmt: skip
    for axis, entry in zip(lows, bins, strict=True):
        axis.set_title(f"photo-z {entry['low']:.3g} to {entry['high']:.3g}")
        axis.set_xlabel("probability below the truth")
        axis.set(xlim=(0, 1), ylim=(10 - max(1.3 * reach, 1.6), 10 + max(1.3 * reach, 1.6)))
    lows[0].set_ylabel("galaxies in\neach tenth [%]")
    if len(found) > 1:
        handles, names = tops[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    return figure


def _gains(
    axis: Axes, entries: Sequence[Mapping[str, Any]], style: Mapping[str, Any], marker: str,
    name: str,
) -> None:  # fmt: skip
    there = [entry for entry in entries if entry["num"] > 1]
    x = [entry["center"] for entry in there]
    y = [entry["nats_own_place"] for entry in there]
    error = [entry["nats_own_place_error"] for entry in there]
    axis.errorbar(x, y, error, marker=marker, markersize=4, elinewidth=1, label=name, **style)


def _pit(axis: Axes, entry: Mapping[str, Any], style: Mapping[str, Any]) -> None:
    share = np.asarray(entry["pit"])
    axis.axhspan(9, 11, color="0.9", zorder=0)
    axis.axhline(10, **TRUTH_STYLE)
    edges = np.linspace(0, 1, len(share) + 1)
    axis.stairs(100 * share, edges, baseline=None, **{"linewidth": 1.4, **style})
    error = 100 * np.sqrt(share * (1 - share) / entry["num"])
    axis.errorbar((edges[1:] + edges[:-1]) / 2, 100 * share, error, fmt="none",
                  ecolor=style["color"], elinewidth=1)  # fmt: skip
