"""The tests of posterior samples as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from truez.evaluate.coverage.calibration import Calibration, Line
from truez.evaluate.coverage.vectors import KINDS
from truez.evaluate.labels import label
from truez.evaluate.store import in_words
from truez.evaluate.tables import Table, make_table, number

#: How the tables of samples are read.
HOW_TO_READ = (
    "If samples of the posterior are right, the truth could be one of them. TARP: the expected "
    "coverage less the credibility where it is farthest from it; negative where the samples are "
    "too narrow or biased. Ranks: the share of truths in a bin of ranks over that expected, less "
    "1. Bands hold 95% of what happens when samples take the place of the truth, so of twenty "
    "tests of right samples one may fail."
)

_SIGMA = "\N{GREEK SMALL LETTER SIGMA}"

Calibrations = Mapping[str, Calibration]


def coverage_tables(
    name: str, found: Calibrations, *, called: Callable[[str], str] = label
) -> list[Table]:
    """All tables of the samples of some methods on the same boxes."""
    return [
        tests_table(f"{name}: samples", found, called=called),
        power_table(f"{name}: P0 of the samples over that of the truth [%]", found, called=called),
        correlation_table(f"{name}: r of a sample, and r² of the estimate", found, called=called),
        score_table(f"{name}: continuous ranked probability score", found, called=called),
    ]


def tests_table(title: str, found: Calibrations, *, called: Callable[[str], str]) -> Table:
    """A row for each test; with more than one method the band of each is its own."""
    lines = {method: {line.name: line for line in one.lines()} for method, one in found.items()}
    names = list(dict.fromkeys(name for tests in lines.values() for name in tests))
    rows = tuple(
        (name, *(_cell(tests.get(name)) for tests in lines.values()), _band(name, lines))
        for name in names
    )
    return Table(title, ("test", *(called(method) for method in lines), "within"), rows)


def power_table(title: str, found: Calibrations, *, called: Callable[[str], str]) -> Table:
    """P0 of the samples over that of the truth, in percent, with the scatter of right ones."""
    rows = []
    for method, one in found.items():
        apart = one.deviation("P0")
        cells = [
            (f"{100 + 100 * value:.1f} ± {100 * sigma:.1f}", float(value))
            for value, sigma in zip(apart.value, apart.sigma, strict=True)
        ]
        rows.append((called(method), cells))
    return make_table(title, [(band, 0) for band in _bands(found)], rows, first="samples of")


def correlation_table(title: str, found: Calibrations, *, called: Callable[[str], str]) -> Table:
    """Correlation of a sample with the truth, and what it should be."""
    rows = []
    for method, one in found.items():
        r, square, _ = one.correlation()
        for words, values in (("r of a sample", r), ("r² of the estimate", square)):
            cells = [(number(float(value), ".3f"), float(value)) for value in values]
            rows.append((f"{called(method)}: {words}", cells))
    return make_table(title, [(band, 0) for band in _bands(found)], rows, first="samples of")


def score_table(title: str, found: Calibrations, *, called: Callable[[str], str]) -> Table:
    """The score of each kind of statistic, lower is better."""
    first = next(iter(found.values()))
    rows = [
        (called(method), [(f"{one.crps(kind):.4g}", one.crps(kind)) for kind in first.kinds])
        for method, one in found.items()
    ]
    return make_table(title, [(KINDS[kind], -1) for kind in first.kinds], rows, first="samples of")


def _bands(found: Calibrations) -> list[str]:
    edges = np.asarray(next(iter(found.values())).boxes[0].edges("poles"))
    return [in_words((float(low), float(high))) for low, high in pairwise(edges)]


def _cell(line: Line | None) -> str:
    if line is None or np.isnan(line.value):
        return "—"
    more = f", p = {line.p:.2g}" if np.isfinite(line.p) else ""
    more = f", {line.sigmas:.1f} {_SIGMA}" if np.isfinite(line.sigmas) else more
    value = f"{line.value:{'+' if line.low < 0 else ''}.3f}"
    return f"{value}{more} {'✓' if line.met else '✗'}"


def _band(name: str, lines: Mapping[str, Mapping[str, Line]]) -> str:
    """The ends of a test, the widest of the methods."""
    tests = [each[name] for each in lines.values() if name in each]
    low, high = min(line.low for line in tests), max(line.high for line in tests)
    return f"{low:.3f} to {high:.3f}"
