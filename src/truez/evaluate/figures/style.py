"""The look of every figure, in one place, and how figures are saved.

Line colours are those of Okabe and Ito and a dark red of Paul Tol's (distinct for readers with any
colour vision, and by their dashes in grey); maps use a perceptually uniform scale. Sizes are those
of a journal page: 3.5 inches for a column, 7.1 for the full width, no letter below 8 points.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from matplotlib import rc_context, ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from truez.support.files import atomic_path
from truez.support.printable import printable

COLUMN_WIDTH, PAGE_WIDTH = 3.5, 7.1  # [inches]
#: Characters of a name of a user in a figure.
LONGEST_NAME = 60

# Any: what type `rc_context` takes differs between versions of matplotlib
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.4,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "image.interpolation": "none",
    "pdf.fonttype": 42,
    "savefig.facecolor": "white",
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.03,
}

PHOTO_STYLE = {"color": "#56B4E9", "linestyle": (0, (4, 1.5))}
SPEC_STYLE = {"color": "#E69F00", "linestyle": (0, (4, 1.2, 1, 1.2))}
TRUTH_STYLE: dict[str, Any] = {"color": "black", "linestyle": "-", "linewidth": 1.0}
LIMIT_STYLE: dict[str, Any] = {"color": "black", "linestyle": (0, (1, 1.2))}
ZERO_STYLE: dict[str, Any] = {"color": "0.45", "linestyle": (0, (7, 1.5, 1, 1.5)), "linewidth": 1.0}
METHOD_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#882255")
METHOD_DASHES = ("-", (0, (6, 1)), (0, (2, 1)))  # 5 x 3 styles, none twice

_BLUE, _RED, _GREEN, _PINK, _DARK = METHOD_COLORS
#: Colour and dashes of the fields that truez knows; a family in one figure shares its colour.
STYLES: dict[str, dict[str, Any]] = {
    "photo": PHOTO_STYLE,
    "spec": SPEC_STYLE,
    "wiener": {"color": _BLUE, "linestyle": "-"},
    "wiener-spec": {"color": _BLUE, "linestyle": (0, (5, 1.5))},
    "wiener-photo": {"color": _BLUE, "linestyle": (0, (1, 1))},
    "redistribution": {"color": _GREEN, "linestyle": "-"},
    "redistribution-median": {"color": _GREEN, "linestyle": (0, (3, 1.5))},
    "columns": {"color": _RED, "linestyle": "-", "linewidth": 2.0},
    "columns-median": {"color": _RED, "linestyle": (0, (3, 1.5))},
    "dual-unet": {"color": _PINK, "linestyle": (0, (6, 1, 1, 1))},
    "exact": {"color": "black", "linestyle": (0, (5, 1)), "linewidth": 1.5},
    "unet": {"color": _PINK, "linestyle": "-"},
    "unet-per-box": {"color": _DARK, "linestyle": (0, (6, 1))},
    "unet-corrected-per-box": {"color": _RED, "linestyle": (0, (5, 1.5))},
    "unet-corrected-constant": {"color": _GREEN, "linestyle": (0, (2, 1))},
    "unet-corrected-normalised": {"color": _DARK, "linestyle": (0, (1, 1))},
}
MARKERS = {"wiener": "s", "redistribution": "o", "columns": "D", "dual-unet": "^", "exact": "*"}

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """A PNG on disk, with the words that explain how to read it."""

    path: Path
    title: str
    caption: str


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in our style without a change of matplotlib's own settings."""

    @wraps(function)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with rc_context(STYLE):
            return function(*args, **kwargs)

    return drawn


def save(figure: Figure, path: str | Path) -> tuple[Path, Path]:
    """Write ``figure`` as ``path`` + ``.png`` (200 dots per inch) and ``.pdf``; give both paths."""
    path = Path(path)
    png, pdf = path.with_name(path.name + ".png"), path.with_name(path.name + ".pdf")
    with rc_context(STYLE):
        with atomic_path(png) as temporary:
            figure.savefig(temporary, dpi=200)
        with atomic_path(pdf) as temporary:
            # without a date the same figure gives the same file
            figure.savefig(temporary, dpi=300, metadata={"CreationDate": None})
    return png, pdf


def line_styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and dashes of each field: those of `STYLES`, and for other names in turn.

    No two fields share both, and a name that is not known gets a colour of its own where one is
    left.
    """
    known = {name: STYLES[name] for name in names if name in STYLES}
    # dashes change with the colour, so that a line under another one shows through
    turns = [{"color": METHOD_COLORS[i % 5], "linestyle": METHOD_DASHES[i % 3]} for i in range(15)]
    taken = {style["color"] for style in known.values()}
    free = [style for style in turns if style["color"] not in taken]
    free += [style for style in turns if style["color"] in taken and style not in known.values()]
    others = dict(zip((n for n in names if n not in known), itertools.cycle(free), strict=False))
    return {name: known.get(name) or others[name] for name in names}


def reference_styles() -> Iterator[dict[str, Any]]:
    """Grey lines without end for what results are compared with, distinct by their dashes."""
    for dashes in itertools.cycle(((0, (7, 1.5, 1, 1.5)), (0, (1, 1.2)), (0, (3, 3)))):
        yield {"color": "0.35", "linestyle": dashes, "linewidth": 1.0}


def grid(count: int, aspect: float) -> tuple[int, int, float]:
    """Rows, columns and panel width [inches] that show ``count`` panels largest on a page."""
    best = (0.0, 1, 1, 1.0)
    for columns in range(1, count + 1):
        rows = math.ceil(count / columns)
        width = min((PAGE_WIDTH - 1.2) / columns, 5.5 / (rows * aspect))
        best = max(best, (width * (count / (rows * columns)) ** 2, rows, columns, width))
    return best[1], best[2], best[3]


def image_panels(
    shown: Mapping[str, T],
    draw: Callable[[Axes, T], None],
    aspect: float,
    labels: tuple[str, str],
    label: Callable[[str], str],
) -> tuple[Figure, NDArray[Any]]:
    """A panel of height over width ``aspect`` for each image, the axes labelled outside."""
    rows, columns, width = grid(len(shown), aspect)
    size = (columns * width + 1.2, rows * (width * aspect + 0.25) + 0.5)
    figure = Figure(figsize=size, layout="compressed")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel, (name, image) in zip(panels.flat, shown.items(), strict=False):
        draw(panel, image)
        panel.set_title(wrapped(label(name), width))
    for index, panel in enumerate(panels.flat):
        if index >= len(shown):
            panel.set_visible(False)
            continue
        if index % columns == 0:
            panel.set_ylabel(labels[1])
        if index + columns >= len(shown):
            panel.set_xlabel(labels[0])
            panel.tick_params(labelbottom=True)
    return figure, panels


def color_bar(figure: Figure, panels: NDArray[Any], norm: LogNorm, colors: Colormap) -> Colorbar:
    """One colour bar for all panels."""
    scale = ScalarMappable(norm, colors)
    bar = figure.colorbar(scale, ax=panels, extend="both", pad=0.02, fraction=0.05, aspect=30)
    plain_ticks(bar.ax.yaxis)
    return bar


def drawn(name: str) -> str:
    """``name``, which a user or a file gave, as a text of matplotlib that shows it as it is.

    Pairs of dollar signs would be mathematics, and a label that begins with an underscore is left
    out of legends.
    """
    text = printable(name)
    text = text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 3]}..."
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def wrapped(name: str, width: float) -> str:
    """``name`` in lines that fit ``width`` inches at 9 points, as a text of matplotlib."""
    return _filled(drawn(name), max(int(width * 12), 8))


def _filled(text: str, characters: int) -> str:
    """A text of matplotlib in lines, none of which ends within an escaped dollar sign."""
    return textwrap.fill(text.replace(r"\$", "$"), characters).replace("$", r"\$")


def legend(figure: Figure) -> None:
    """One legend for all panels, above them, the truth first, in rows of alike length."""
    found: dict[str, Any] = {}
    for panel in figure.axes:
        for handle, name in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    names = sorted(found, key=lambda name: name != "truth")
    room = 1.75 if max(map(len, names), default=0) > 18 else 1.42  # inches
    most = max(int(figure.get_size_inches()[0] / room), 1)
    columns = math.ceil(len(names) / max(math.ceil(len(names) / most), 1))
    texts = [_filled(name, 30) for name in names]
    handles = [found[name] for name in names]
    figure.legend(handles, texts, loc="outside upper center", ncols=max(columns, 1))


def plain_ticks(axis: Axis) -> None:
    """Numbers such as 0.02 at 1, 2 and 5 instead of powers, on an axis of few decades."""
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    if decades < 4:
        # Numbers side by side need more room than numbers on top of each other.
        close = decades < (1.7 if isinstance(axis, XAxis) else 3)
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if close else (1,)))
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(ticker.NullFormatter())
