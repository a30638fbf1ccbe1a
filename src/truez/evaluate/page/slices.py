"""Slices of fields as small images that a page carries with it, to move through.

Along each view the box is cut into slabs of about 10 Mpc/h, 1 + delta is averaged over each, and
its logarithm is stored in `LEVELS` steps as a lossless WebP image of a few kilobytes. Where all of
them would make the page too large, cells are first joined to larger ones and then slabs are left
out; `SliceSet.words` says so.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from truez.evaluate.figures.slices import THICKNESS, VIEWS, density_colors, slice_limits
from truez.evaluate.labels import SURVEYS, sentence
from truez.mesh.box import Box
from truez.mesh.field import Field
from truez.support.progress import Progress, silent

#: Steps of the logarithmic scale; the lowest holds everything at or below its end.
LEVELS = 32

#: Cells are not joined to fewer pixels than this.
FEWEST_PIXELS = 256**2

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """A direction in which a box is cut: slabs that contain the line of sight, or lie across it.

    ``depth`` is the axis of the slider, ``across`` and ``up`` are those of the image. The slabs end
    at the cells ``edges`` (n + 1,), those ``shown`` are kept, and ``factor`` cells are joined to
    one pixel along each side of the image.
    """

    name: str
    depth: int
    across: int
    up: int
    edges: NDArray[np.int64]
    shown: tuple[int, ...]
    factor: int
    box: Box

    def images(self, values: Field, limits: tuple[float, float]) -> Iterator[Bytes]:
        """The shown slabs as steps 0 to LEVELS - 1, high coordinates first in the rows."""
        low, high = np.log(limits)
        for slab in self.shown:
            start, stop = self.edges[slab], self.edges[slab + 1]
            part = values.values.narrow(self.depth, int(start), int(stop - start))
            plane = 1 + part.double().mean(dim=self.depth).cpu().numpy()
            if self.across > self.up:
                plane = plane.T
            plane = _joined(_joined(plane, 0, self.factor), 1, self.factor)
            steps = (np.log(np.maximum(plane, 1e-30)) - low) / (high - low) * (LEVELS - 1)
            yield np.rint(np.clip(steps, 0, LEVELS - 1)).astype(np.uint8).T[::-1]

    def to_dict(self) -> dict[str, Any]:
        """What a page needs to know: names, extents [Mpc/h] and the slabs' bounds [Mpc/h]."""
        lower, upper, edges = self.box.lower, self.box.upper, self.box.edges(self.depth)
        return {
            "name": self.name,
            "depth": "xyz"[self.depth],
            "across": "xyz"[self.across],
            "up": "xyz"[self.up],
            "x": [lower[self.across], upper[self.across]],
            "y": [lower[self.up], upper[self.up]],
            "slabs": [[edges[self.edges[i]], edges[self.edges[i + 1]]] for i in self.shown],
        }


@dataclass(frozen=True)
class SliceSet:
    """Slices of several fields in two views, ready for a page.

    ``limits`` are the colour scale's ends of 1 + delta. ``images`` holds by view and field the
    shown slabs, each as Base64 of a WebP image in grey.
    """

    views: tuple[View, ...]
    limits: tuple[float, float]
    images: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, str]:
        """What the fields are called, in the order of the panels."""
        return {name: sentence(name) for name in next(iter(self.images.values()), {})}

    @property
    def reconstructions(self) -> list[str]:
        """The first of them is the one shown at first."""
        return [name for name in self.names if name not in (*SURVEYS, "truth")]

    @property
    def aspect(self) -> float:
        """Width over height of the images that are shown at first."""
        first = self.views[0]
        return first.box.boxsize[first.across] / first.box.boxsize[first.up]

    @property
    def words(self) -> str:
        """What was averaged, joined and left out."""
        text = (
            f"1 + δ, averaged over slabs about {THICKNESS:g} Mpc/h thick and stored in {LEVELS} "
            "steps of its logarithm."
        )
        left = []
        for view in self.views:
            parts, number = [], len(view.edges) - 1
            if len(view.shown) < number:
                parts.append(f"{len(view.shown)} of {number} slabs")
            if view.factor > 1:
                parts.append(f"{view.factor} x {view.factor} cells joined to one pixel")
            if parts:
                left.append(f"{view.name} the line of sight {' with '.join(parts)}")
        return text + (f" To keep the page small it holds {'; '.join(left)}." if left else "")

    def to_json(self) -> str:
        """Everything that the page's script needs."""
        content = {
            "limits": list(self.limits),
            "levels": LEVELS,
            "colors": _text(palette().tobytes()),
            "views": [{**v.to_dict(), "images": self.images[v.name]} for v in self.views],
        }
        return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")

    def add(self, name: str, values: Field) -> None:
        """Put a field on the box of the views under ``name``."""
        for view in self.views:
            stored = self.images.setdefault(view.name, {}).setdefault(name, [])
            stored += [_text(_webp(image)) for image in view.images(values, self.limits)]

    def fitted(self, budget: float) -> SliceSet:
        """The same, or every second, third, ... slab of it, to fit a budget [bytes]."""
        views, images = [], {}
        for view in self.views:
            found = self.images[view.name]
            size = sum(len(text) for texts in found.values() for text in texts)
            step = math.ceil(size / (budget / len(self.views)))
            part = slice((len(view.shown) - 1) % step // 2, None, step)
            views.append(replace(view, shown=view.shown[part]))
            images[view.name] = {name: texts[part] for name, texts in found.items()}
        return replace(self, views=tuple(views), images=images)

    def still(self, name: str) -> str:
        """The slab in the middle of the first view as coloured PNG, a data URI."""
        texts = self.images[self.views[0].name][name]
        with Image.open(io.BytesIO(base64.b64decode(texts[len(texts) // 2]))) as image:
            picture = image.convert("L").convert("P")
        picture.putpalette(palette().tobytes())
        return png_uri(_png(picture))


def plan_slices(truth: Field, *, num_fields: int, budget: float) -> SliceSet:
    """Choose slabs, pixels and colour scale; the SliceSet has no images yet.

    The truth gives the colour scale and, as the field richest in detail, the size of an image.
    ``num_fields`` will be added, the truth among them, and all images together may have ``budget``
    [bytes] as text. Images of less detail than the truth's are expected, so that `SliceSet.fitted`
    has to be asked at the end.
    """
    limits = slice_limits(truth)
    views = []
    for name, depth in VIEWS.items():
        across, up = (0, 2) if name == "along" else (0, 1)
        # a deep line of sight lies down, as in the figures
        if truth.box.boxsize[up] > 2 * truth.box.boxsize[across]:
            across, up = up, across
        cells = truth.box.meshsize[depth]
        number = min(max(round(truth.box.boxsize[depth] / THICKNESS), 1), cells)
        edges = np.rint(np.linspace(0, cells, number + 1)).astype(np.int64)
        pixels, factor = truth.box.meshsize[across] * truth.box.meshsize[up], 1
        while True:
            middle = View(name, depth, across, up, edges, (number // 2,), factor, truth.box)
            size = len(_text(_webp(next(middle.images(truth, limits)))))
            # others are sparser or smoother; what turns out too much is left out by `fitted`
            allowed = max(int(budget / 2 / num_fields / (0.5 * size)), 1)
            if allowed >= number or pixels < FEWEST_PIXELS * (factor + 1) ** 2:
                break
            factor += 1
        step = -(-number // allowed)
        shown = tuple(range((number - 1) % step // 2, number, step))
        views.append(View(name, depth, across, up, edges, shown, factor, truth.box))
    return SliceSet(tuple(views), limits)


def cut_slices(
    fields: Mapping[str, Callable[[], Field]], *, budget: float, progress: Progress = silent
) -> SliceSet:
    """Slices of overdensities on one and the same box, the truth first, within a budget [bytes].

    One is read after the other, so that not all of them need be in memory.
    """
    made = None
    for done, (name, read) in enumerate(fields.items()):
        progress("slices", done, len(fields), name)
        values = read()
        if made is None:
            made = plan_slices(values, num_fields=len(fields), budget=budget)
        made.add(name, values)
    progress("slices", len(fields), len(fields))
    if made is None:
        raise ValueError("fields must hold at least one field to show, not none")
    return made.fitted(budget)


def palette() -> Bytes:
    """The colours (256, 3) of the scale, from its lower to its upper end."""
    colors: Bytes = density_colors()(np.arange(256), bytes=True)[:, :3].astype(np.uint8)
    return colors


def color_bar() -> str:
    """The colour bar as data URI of a PNG."""
    return png_uri(_png(Image.fromarray(palette()[None])))


def ticks(limits: tuple[float, float]) -> Mapping[str, float]:
    """Labels of a colour bar and their places on it, 0 to 1."""
    low, high = limits
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    values = (digit * 10.0**decade for decade in decades for digit in (1, 2, 5))
    places = {f"{v:g}": float(np.log(v / low) / np.log(high / low)) for v in values}
    return {text: place for text, place in places.items() if -1e-9 <= place <= 1 + 1e-9}


def png_uri(data: bytes) -> str:
    """The data URI of a PNG."""
    return "data:image/png;base64," + _text(data)


def _joined(plane: NDArray[np.float64], axis: int, factor: int) -> NDArray[np.float64]:
    """The mean of every ``factor`` cells, and of what is left over at the end."""
    if factor == 1:
        return plane
    starts = np.arange(0, plane.shape[axis], factor)
    counts = np.diff(np.append(starts, plane.shape[axis]))
    shape = (-1, 1) if axis == 0 else (1, -1)
    sums: NDArray[np.float64] = np.add.reduceat(plane, starts, axis=axis) / counts.reshape(shape)
    return sums


def _webp(image: Bytes) -> bytes:
    buffer, grey = io.BytesIO(), np.rint(image * (255 / (LEVELS - 1))).astype(np.uint8)
    # the slowest of its methods gains two percent in sixty times the time
    Image.fromarray(grey).save(buffer, "WEBP", lossless=True, method=4, quality=75)
    return buffer.getvalue()


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
