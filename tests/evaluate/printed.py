"""What every figure must be to be printed."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text

from truez.evaluate.figures.captions import CAPTIONS
from truez.evaluate.figures.style import save


def assert_fits_a_page_and_is_legible(figure: Figure) -> None:
    width, height = figure.get_size_inches()
    assert width <= 7.2
    assert height <= 9.7
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
    assert min(sizes) >= 8


def assert_is_saved_and_has_a_caption(figure: Figure, name: str, folder: Path) -> None:
    before = dict(mpl.rcParams)
    png, pdf = save(figure, folder / name)
    assert dict(mpl.rcParams) == before
    assert png.stat().st_size > 5000
    assert pdf.read_bytes().startswith(b"%PDF")
    assert CAPTIONS[name].words.endswith(".")
