"""The tables of a benchmark, for the page and for Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from truez.evaluate.labels import label
from truez.evaluate.tables import Table, number, spread
from truez.experiments.benchmark.acceptance import Figure, sigma_deciles
from truez.experiments.benchmark.controls import CONTROLS
from truez.experiments.benchmark.judge import ELLS
from truez.experiments.benchmark.numbers import BANDS, Band, BoxResult, in_words
from truez.experiments.benchmark.summary import Mean, Measured
from truez.experiments.benchmark.words import plus_minus

#: Key, heading and better end (-1 low, 1 high, 0 unknown) of the numbers of cells.
_CELLS = (
    ("mse", "MSE", -1), ("mse_over_variance", "MSE/Var(t)", -1), ("mae", "MAE", -1),
    ("mean", "mean", 0),
)  # fmt: skip
_SUB_BOXES = (("psnr", "PSNR [dB]", 1), ("ssim", "SSIM", 1), ("correlation", "C", 1))
_SMOOTH = (
    ("mse_4", "MSE, R = 4", -1), ("mae_4", "MAE, R = 4", -1),
    ("mse_over_variance_4", "MSE/Var(t), R = 4", -1),
    ("mse_8", "MSE, R = 8", -1), ("mae_8", "MAE, R = 8", -1),
    ("mse_over_variance_8", "MSE/Var(t), R = 8", -1),
)  # fmt: skip
_REDSHIFTS = (
    ("nats", "nats per galaxy", 1), ("nats_own_place", "nats, own place", 1),
    ("pit", "PIT, worst tenth [%]", -1), ("inside", "in 68% interval [%]", 0),
)  # fmt: skip
#: Numbers whose ratio or difference to another method is quoted.
_RATIOS = (("mse", "MSE"), ("mse_4", "MSE, R = 4"), ("mse_8", "MSE, R = 8"), ("mae", "MAE"),
           ("mae_4", "MAE, R = 4"), ("mae_8", "MAE, R = 8"))  # fmt: skip
_DIFFERENCES = (("sub_psnr", "PSNR gain, dB"), ("sub_ssim", "SSIM gain"), ("nats", "nats gain"))
#: What methods are compared with.
REFERENCES = ("wiener", "redistribution", "photo")


def acceptance_table(lines: Sequence[Figure]) -> Table:
    """Figures beside their aims."""
    marks = {True: "✓", False: "✗", None: ""}
    rows = tuple((line.words, line.reached, line.aim, marks[line.met]) for line in lines)
    return Table("Reached, and aimed at", ("figure", "reached", "aim", ""), rows, frozenset())


def setting_tables(one: Measured) -> list[Table]:
    """All tables of a setting."""
    tables = [
        *ratio_tables(one),
        _numbers(f"{one.name}: cells of {_cell(one)} Mpc/h", one, _CELLS),
        _sub_boxes(one),
        _numbers(f"{one.name}: fields smoothed with R Mpc/h", one, _SMOOTH),
        _numbers(f"{one.name}: redshifts", one, _REDSHIFTS),
        _bands(f"{one.name}: r with the truth", one.waves, one.r, better=1),
        _lost(one),
        _bands(f"{one.name}: T = sqrt(P_rr / P_tt)", one.waves, one.transfer),
        _bands(f"{one.name}: P_rr / P_rt", one.waves, one.auto_over_cross),
    ]
    tables += [_poles(one, ell) for ell in ELLS]
    tables.append(_sigma(one))
    return [table for table in tables if table.rows]


def ratio_tables(one: Measured) -> list[Table]:
    """The methods that move galaxies beside others."""
    movers = [name for name in ("columns", "redistribution") if name in one.methods]
    return [_ratio_table(one, name) for name in movers]


def control_tables(content: Mapping[str, Any]) -> list[Table]:
    """What is left of each method without information."""
    box = BoxResult({**content, "methods": {}})
    bands = [band for band in BANDS if box.rows(band).any()]
    rows = []
    for method, entries in content["methods"].items():
        for control in CONTROLS:
            entry = entries[control]
            if control == "random":
                continue
            nats = entry.get("nats")
            found = [number(box.spectra(entry, band).r, ".3f") for band in bands]
            name = f"{label(method)}: {control}"
            rows.append((name, "—" if nats is None else f"{nats:.3f}", *found))
    heads = tuple(f"r, {in_words(band)}" for band in bands)
    first = Table(
        "Controls: what is left without one of the surveys",
        ("given", "nats per galaxy", *heads),
        tuple(rows),
        frozenset(),
    )
    rows = []
    # White with 1 / n_p, but for the painting and for what few modes scatter.
    alone = [box.spectra(content["random_truth"], band) for band in bands]
    for method, entries in content["methods"].items():
        entry = entries["random"]
        nats = entry.get("nats")
        sums = [box.spectra(entry, band) for band in bands]
        cross = [s.significance for s in sums]
        auto = [s.rr / own.rr for s, own in zip(sums, alone, strict=True)]
        rows.append(
            (
                label(method),
                "—" if nats is None else f"{nats:.4f}",
                f"{max(cross, key=abs):+.2f}",
                f"{max(auto):.3f}",
            )
        )
    heads = ("method", "nats per galaxy", "cross power with the truth, farthest from 0 [sigma]",
             "auto power over that of the random galaxies, highest")  # fmt: skip
    refused = content["refused"]
    note = f" (the fit refused {refused} sets before these)" if refused else ""
    second = Table(f"Controls: random galaxies{note}", heads, tuple(rows), frozenset())
    return [first, second]


def _cell(one: Measured) -> str:
    box = one.boxes[0].content["survey"]["box"]
    return f"{box['boxsize'][2] / box['meshsize'][2]:g}"


def _ratio_table(one: Measured, method: str) -> Table:
    """A method beside others on the same boxes."""
    rows = []
    for other in REFERENCES:
        if other not in one.methods or other == method:
            continue
        cells = [plus_minus(one.ratio(method, other, key)) for key, _ in _RATIOS]
        for key, _ in _DIFFERENCES:
            gain = one.difference(method, other, key)
            text = plus_minus(gain)
            cells.append(text if gain is None or gain.mean < 0 or text == "—" else f"+{text}")
        rows.append((f"to {label(other)}", *cells))
    heads = (
        *(f"{head} ratio" for _, head in _RATIOS),
        *(head for _, head in _DIFFERENCES),
    )
    title = f"{one.name}: {label(method)} beside others, box by box"
    return Table(title, ("", *heads), tuple(rows), frozenset())


def _numbers(title: str, one: Measured, wanted: Sequence[tuple[str, str, int]]) -> Table:
    """A row for every method that has any of the numbers."""
    rows = []
    for method in one.methods:
        found = one.numbers(method)
        if any(key in found for key, _, _ in wanted):
            rows.append((method, [found.get(key) for key, _, _ in wanted]))
    return _table(title, [(head, better) for _, head, better in wanted], rows)


def _sub_boxes(one: Measured) -> Table:
    rows: list[tuple[str, ...]] = []
    means: list[list[float]] = []
    for method in one.methods:
        found = one.numbers(method)
        if "sub_ssim" not in found:
            continue
        cells, values = [], []
        for key, _, _ in _SUB_BOXES:
            mean, sigma = found[f"sub_{key}"], found[f"sub_{key}_sigma"]
            one_box = math.isnan(sigma.mean)  # a single sub-box
            cells.append(plus_minus(mean) if one_box else spread(mean.mean, sigma.mean, mean.error))
            values.append(mean.mean)
        rows.append((label(method), *cells))
        means.append(values)
    heads = [(head, better) for _, head, better in _SUB_BOXES]
    title = f"{one.name}: sub-boxes of about 100 Mpc/h"
    return Table(title, ("field", *(head for head, _ in heads)), tuple(rows), _best(means, heads))


def _bands(
    title: str, methods: Sequence[str], number_of: Callable[[str, Band], Mean], *, better: int = 0
) -> Table:
    rows: list[tuple[str, Sequence[Mean | None]]] = [
        (name, [number_of(name, band) for band in BANDS]) for name in methods
    ]
    return _table(title, [(in_words(band), better) for band in BANDS], rows)


def _poles(one: Measured, ell: int) -> Table:
    def percent(name: str, band: Band) -> Mean:
        return one.pole_percent(name, ell, band)

    title = f"{one.name}: P{ell} of the estimate over that of the truth [%]"
    return _bands(title, one.waves, percent)


def _lost(one: Measured) -> Table:
    """(1 - r^2) / (1 - r_opt^2), and the optimum itself."""
    table = _bands(
        f"{one.name}: (1 - r²) / (1 - r_opt²)", one.waves, one.lost_over_optimum, better=-1
    )
    limit = [one.optimum_lost(band) for band in BANDS]
    seen = [one.observed_lost(band) for band in BANDS]
    apart = [
        Mean.of(value - known for value in found.values)
        for found, known in zip(seen, limit, strict=True)
    ]
    extra = (
        ("1 - r_opt², with the truth", *(number(value, "#.3g") for value in limit)),
        ("1 - r_opt², as observed alone", *map(plus_minus, seen)),
        ("their difference", *map(plus_minus, apart)),
    )
    return Table(table.title, table.columns, (*table.rows, *extra), table.best)


def _sigma(one: Measured) -> Table:
    rows = []
    for method in one.methods:
        found = sigma_deciles(one, method)
        if found is not None:
            whole = one.number(method, "sigma_variance")
            cells = [plus_minus(value) for value in found]
            rows.append((label(method), *cells, plus_minus(whole)))
        elif (whole := one.number(method, "sigma_variance")) is not None:
            rows.append((label(method), *["—"] * 10, plus_minus(whole)))
    heads = ("field", *(f"{10 * i}-{10 * (i + 1)}%" for i in range(10)), "all")
    title = f"{one.name}: variance of (truth - estimate) / sigma in tenths of sigma"
    return Table(title, heads, tuple(rows), frozenset())


def _table(
    title: str,
    heads: Sequence[tuple[str, int]],
    rows: Sequence[tuple[str, Sequence[Mean | None]]],
) -> Table:
    cells = tuple((label(name), *map(plus_minus, means)) for name, means in rows)
    values = [[math.nan if m is None else m.mean for m in means] for _, means in rows]
    columns = ("field", *(head for head, _ in heads))
    return Table(title, columns, cells, _best(values, heads))


def _best(
    values: Sequence[Sequence[float]], heads: Sequence[tuple[str, int]]
) -> frozenset[tuple[int, int]]:
    best = set()
    for column, (_, better) in enumerate(heads):
        known = {i: better * row[column] for i, row in enumerate(values)}
        known = {i: value for i, value in known.items() if math.isfinite(value)}
        if better and known:
            best.add((max(known, key=known.__getitem__), column + 1))
    return frozenset(best)
