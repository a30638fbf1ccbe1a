"""Maps of an overdensity on the sky, a panel for each redshift bin, on one colour scale.

The sky is projected about the middle of the survey, with equal areas and east to the left; lines
are of right ascension and declination.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from truez.evaluate.figures.style import image_panels, styled
from truez.mesh.healpix import nested
from truez.mesh.sphere import WHOLE_SKY, directions, frame, unit_vectors
from truez.sky.maps import SkyMaps

Array = NDArray[np.float64]
#: Points of a panel along its longer side.
_POINTS = 400
#: Steps between lines [deg], and how many lines there are at most.
_STEPS, _LINES = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 90), 6
#: Share of the pixels that are within the colour scale [%].
_WITHIN = 98.0


@styled
def sky_maps(maps: SkyMaps) -> Figure:
    """The overdensity of each bin.

    All panels have one scale, which is symmetric about 0 and holds 98% of the pixels; grey is not
    observed.

    Parameters
    ----------
    maps : SkyMaps
    """
    view = _View.of(maps)
    values = {
        f"{low:.4g} < z < {high:.4g}": np.append(row, np.nan)[view.rows]
        for low, high, row in zip(maps.zbins[:-1], maps.zbins[1:], maps.delta, strict=True)
    }
    limit = float(np.nanpercentile(np.abs(maps.delta), _WITHIN)) or 1.0
    norm = Normalize(-limit, limit)
    colors = colormaps["RdBu_r"].with_extremes(bad="0.8")

    def draw(panel: Axes, image: Array) -> None:
        panel.imshow(
            np.ma.masked_invalid(image), origin="lower", extent=view.extent, norm=norm, cmap=colors,
            aspect="equal",
        )  # fmt: skip
        view.draw_lines(panel)

    labels = ("right ascension [deg]", "declination [deg]")
    figure, panels = image_panels(values, draw, view.height, labels, str)
    scale = ScalarMappable(norm, colors)
    bar = figure.colorbar(scale, ax=panels, extend="both", pad=0.02, fraction=0.05, aspect=30)
    number = maps.metadata.get("field", {}).get("number")
    bar.set_label("overdensity δ" if number is None else f"overdensity δ of sample {number}")
    return figure


@dataclass(frozen=True, eq=False)
class _View:
    """A part of the sky in a plane, in degrees from the middle.

    Parameters
    ----------
    extent : (4,) floats
        Of the picture: left, right, low, high.
    rows : (height, width) ints
        Row of the map at each point, -1 where there is none.
    ra, dec : (height, width) arrays
        Right ascension from that of the middle on, and declination [deg].
    middle : float
        Right ascension of the middle [deg].
    """

    extent: tuple[float, float, float, float]
    rows: NDArray[np.int64]
    ra: Array
    dec: Array
    middle: float

    @classmethod
    def of(cls, maps: SkyMaps) -> _View:
        """The view that holds a map."""
        vectors = unit_vectors(*maps.directions)
        mean = vectors.mean(axis=0)
        ra, dec = (float(angle) for angle in directions(mean if mean.any() else vectors[0]))
        axes = frame(ra, dec)
        local = vectors @ axes.T
        places = local[:, :2] * np.sqrt(2 / np.maximum(1 + local[:, 2:], 1e-9))
        margin = math.radians(math.sqrt(WHOLE_SKY / 12) / maps.nside)
        low, high = places.min(axis=0) - margin, places.max(axis=0) + margin
        step = float((high - low).max()) / _POINTS
        u = np.arange(high[0], low[0], -step)  # east is to the left
        v = np.arange(low[1], high[1], step)
        x, y = np.meshgrid(u, v)
        square = x**2 + y**2
        inside = square < 4
        across = np.sqrt(np.where(inside, 1 - square / 4, 0.0))
        there = np.stack([x * across, y * across, 1 - square / 2], axis=-1) @ axes
        a, d = directions(there)
        pixels = nested(a, d, maps.nside)
        found = np.minimum(np.searchsorted(maps.pixels, pixels), len(maps.pixels) - 1)
        rows = np.where(inside & (maps.pixels[found] == pixels), found, -1)
        east = np.where(inside, (a - ra + 180) % 360 - 180, np.nan)
        ends = (u[0], u[-1], v[0], v[-1])
        left, right, bottom, top = (math.degrees(end) for end in ends)
        return cls((-left, -right, bottom, top), rows, east, np.where(inside, d, np.nan), ra)

    @property
    def height(self) -> float:
        """Height over width."""
        left, right, low, high = self.extent
        return (high - low) / (right - left)

    def draw_lines(self, panel: Axes) -> None:
        """Lines of right ascension and declination, with their numbers at two edges."""
        left, right, low, high = self.extent
        x, y = np.linspace(left, right, self.ra.shape[1]), np.linspace(low, high, self.ra.shape[0])
        look: dict[str, Any] = {"colors": "0.35", "linewidths": 0.4, "linestyles": "solid"}
        # Where right ascensions begin anew there is no line.
        east = np.where(np.abs(self.ra) < 179, self.ra, np.nan)
        for values, origin, set_ticks, edge, places in (
            (east, self.middle, panel.set_xticks, east[0], x),
            (self.dec, 0.0, panel.set_yticks, self.dec[:, 0], y),
        ):
            levels = _levels(values[self.rows >= 0] + origin) - origin
            if not len(levels):
                set_ticks([])
                continue
            texts = {
                level: f"{(level + origin) % 360 if origin else level:.4g}" for level in levels
            }
            lines = panel.contour(x, y, values, levels=levels, **look)
            found = [_where(edge, level, places) for level in levels]
            if all(len(ends) == 1 for ends in found):
                set_ticks([place for (place,) in found], list(texts.values()))
            else:  # not every line comes to the edge
                set_ticks([])
                for text in panel.clabel(lines, fmt=texts, colors="black"):
                    text.set_clip_on(False)


def _levels(values: Array) -> Array:
    """Round numbers between the least and the largest of values."""
    low, high = np.nanmin(values), np.nanmax(values)
    step = next((s for s in _STEPS if (high - low) / s <= _LINES), _STEPS[-1])
    return np.asarray(np.arange(math.ceil(low / step), math.floor(high / step) + 1) * float(step))


def _where(values: Array, level: float, places: Array) -> list[float]:
    """Places at which values along an edge have a level."""
    above = values - level
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero((above[:-1] <= 0) != (above[1:] <= 0))
    rows = rows[np.isfinite(above[rows]) & np.isfinite(above[rows + 1])]
    share = above[rows] / (above[rows] - above[rows + 1])
    return [float(place) for place in places[rows] + share * np.diff(places)[rows]]
