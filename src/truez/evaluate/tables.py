"""Numbers as text: tables for a terminal, Markdown or a page, all of them made by `make_table`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from truez.evaluate.labels import heading
from truez.evaluate.sample_bands import SampleBands
from truez.evaluate.store import BANDS, Band, in_words
from truez.evaluate.summary import Mean, Measured
from truez.statistics.binning import Floats

#: Row and column of a cell.
Place = tuple[int, int]
#: A text, and the number that it is ranked by (nan: by none).
Cell = tuple[str, float]


@dataclass(frozen=True)
class Table:
    """Text cells with a heading for each column; ``best`` holds (row, column) of the best.

    A page also shows ``errors`` in brackets and what is ``below``, by (row, column), and ``notes``.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[Place] = frozenset()
    errors: Mapping[Place, str] = field(default_factory=dict)
    below: Mapping[Place, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """The table in Markdown, the best of each column in bold."""
        lines = [self.columns, ["---"] + ["--:"] * (len(self.columns) - 1)]
        for i, row in enumerate(self.rows):
            cells = (f"**{c}**" if (i, j) in self.best else c for j, c in enumerate(row))
            lines.append([cell.replace("|", "\\|") for cell in cells])
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# --- numbers ------------------------------------------------------------------------------------


def markdown_page(title: str, paragraphs: Iterable[str], tables: Iterable[Table]) -> str:
    """A Markdown page: its title, paragraphs, and tables under their own titles."""
    parts = [f"# {title}", *paragraphs]
    for table in tables:
        parts += [f"## {table.title}", table.markdown().rstrip()]
    return "\n\n".join(parts) + "\n"


def number(value: float, style: str) -> str:
    """``value`` as text; a dash for what does not exist."""
    if math.isnan(value):
        return "—"
    return format(value, style).rstrip(".") if math.isfinite(value) else "∞"


def spread(mean: float, sigma: float, error: float) -> str:
    """``mean ± sigma (error of the mean)``; a mean that does not exist is a dash."""
    if not math.isfinite(mean):
        return number(mean, "#.3g")
    numbers = (number(mean, "#.3g"), number(sigma, "#.2g"), number(error, "#.2g"))
    return "{} ± {} ({})".format(*numbers)


def plus_minus(found: Mean | None) -> str:
    """``0.842 ± 0.011``, rounded as its error is; four digits where there is no error."""
    return "—" if found is None else with_error(found.mean, found.error)


def with_error(value: float, error: float) -> str:
    """The same of a value and its error."""
    if math.isnan(value):
        return "—"
    # An error of the size of rounding is none.
    if not math.isfinite(value) or not error > 1e-5 * max(abs(value), 0.1):
        return number(value if abs(value) > 1e-5 else 0.0, "#.4g")
    digits = min(max(1 - math.floor(math.log10(error)), 0), 6)
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def cell(found: Mean | None, style: str = "") -> Cell:
    """A mean with its error, or as ``style`` has it."""
    value = math.nan if found is None else found.mean
    return (number(value, style) if style else plus_minus(found)), value


def make_table(
    title: str,
    columns: Iterable[tuple[str, int]],
    rows: Sequence[tuple[str, Sequence[Cell]]],
    *,
    first: str = "field",
) -> Table:
    """Rows (name, cells) of text under heads (heading, better end: -1 low, 1 high, 0 unknown).

    The best of a column is all that reads like its best number; ``first`` is the heading of the
    names.
    """
    heads = list(columns)
    best = set()
    for j, (_, better) in enumerate(heads):
        known = [(better * cells[j][1], cells[j][0]) for _, cells in rows]
        known = [(value, text) for value, text in known if not math.isnan(value)]
        if better and known:
            winner = max(known)[1]
            best |= {(i, j + 1) for i, (_, cells) in enumerate(rows) if cells[j][0] == winner}
    texts = tuple((name, *(text for text, _ in cells)) for name, cells in rows)
    return Table(title, (first, *(head for head, _ in heads)), texts, frozenset(best))


# --- one table for each kind of number, of any boxes --------------------------------------------


def numbers_table(title: str, one: Measured, keys: Sequence[str], *, errors: bool = True) -> Table:
    """A row for every method that has any of the numbers of `store.Numbers.numbers`.

    With their errors over boxes, or without ``errors`` in the format of `heading`.
    """
    heads = [heading(key) for key in keys]
    rows = []
    for method in one.methods:
        found = one.numbers(method)
        if any(key in found for key in keys):
            cells = [
                cell(found.get(key), "" if errors else style)
                for key, (_, style, _) in zip(keys, heads, strict=True)
            ]
            rows.append((one.called(method), cells))
    return make_table(title, [(text, better) for text, _, better in heads], rows)


def sub_box_table(
    title: str, one: Measured, scores: Sequence[str], *, errors: bool = True
) -> Table:
    """Mean ± scatter over sub-boxes, and in brackets the error of the mean over boxes.

    With ``errors=False`` it is that over the sub-boxes of the first box.
    """
    rows = []
    for method in one.methods:
        found = one.numbers(method)
        cells = []
        for score in scores:
            if f"sub_{score}" not in found:
                break
            mean, sigma = found[f"sub_{score}"], found[f"sub_{score}_sigma"].mean
            error = mean.error
            if not errors:
                inner = one.boxes[0].methods[method]["sub_boxes"][score]["error"]
                error = math.nan if inner is None else inner
            alone = math.isnan(sigma) and errors  # a single sub-box
            text = plus_minus(mean) if alone else spread(mean.mean, sigma, error)
            cells.append((text, mean.mean))
        if cells:
            rows.append((one.called(method), cells))
    return make_table(title, [(heading(s)[0], heading(s)[2]) for s in scores], rows)


def band_table(
    title: str,
    one: Measured,
    number_of: Callable[[str, Band], Mean],
    *,
    better: int = 0,
    bands: Sequence[Band] = BANDS,
    style: str = "",
) -> Table:
    """A number of every method with spectra in bands of k [h/Mpc]."""
    rows = [
        (one.called(name), [cell(number_of(name, band), style) for band in bands])
        for name in one.waves
    ]
    return make_table(title, [(in_words(band), better) for band in bands], rows)


def sigma_table(title: str, one: Measured) -> Table:
    """Variance of (truth - estimate) / sigma in tenths of sigma, where any has them, and of all."""
    found = {name: one.number(name, "sigma_variance") for name in one.methods}
    tenths = {name: one.sigma_deciles(name) for name in found}
    number = 10 if any(tenths.values()) else 0
    rows = []
    for name, whole in found.items():
        if whole is not None:
            parts: Sequence[Mean | None] = tenths[name] or [None] * number
            rows.append((one.called(name), [cell(part) for part in (*parts, whole)]))
    heads = [*(f"{10 * i}-{10 * (i + 1)}%" for i in range(number)), "all"]
    return make_table(title, [(head, 0) for head in heads], rows)


def sample_band_tables(found: Mapping[str, SampleBands]) -> list[Table]:
    """Power of posterior samples over the truth's, and their r with it, in bands of k.

    By the text of the estimate, which has a row of its own; samples of a right posterior have the
    power of the truth, and as r the square of the estimate's.
    """
    bands = next(iter(found.values())).bands
    power, r = [], []
    for text, one in found.items():
        alone = [one.power_ratio_of_estimate(band) for band in bands]
        power.append((text, [(number(value, ".3f"), value) for value in alone]))
        rows = one.num, [one.power_ratio(band) for band in bands], [one.r(band) for band in bands]
        name = f"{text}, mean of {rows[0]} samples"
        power.append((name, [_mean_and_scatter(values) for values in rows[1]]))
        squares = [one.r_of_estimate(band) ** 2 for band in bands]
        r.append((f"{text}, r²", [(number(value, ".3f"), value) for value in squares]))
        r.append((name, [_mean_and_scatter(values) for values in rows[2]]))
    heads = [(in_words(band), 0) for band in bands]
    note = "± is the scatter from sample to sample."
    tables = (
        make_table("Power over that of the truth, k in h/Mpc", heads, power),
        make_table("r of samples with the truth, and r² of the estimate, k in h/Mpc", heads, r),
    )
    return [replace(table, notes=[note]) for table in tables]


def _mean_and_scatter(values: Floats) -> Cell:
    mean = float(values.mean())
    if len(values) == 1:
        return number(mean, ".3f"), mean
    return f"{mean:.3f} ± {values.std(ddof=1):.3f}", mean
