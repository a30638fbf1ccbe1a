"""The tables of a benchmark, for the page and for Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from truez.evaluate.labels import heading, label
from truez.evaluate.store import BANDS, Band, Numbers, in_words
from truez.evaluate.summary import Mean, Measured
from truez.evaluate.tables import (
    Table,
    band_table,
    cell,
    make_table,
    number,
    numbers_table,
    plus_minus,
    sigma_table,
    sub_box_table,
)
from truez.experiments.benchmark.acceptance import WIDE, Figure, noise_of
from truez.experiments.benchmark.controls import CONTROLS
from truez.experiments.benchmark.methods import ELLS
from truez.experiments.benchmark.settings import RADII
from truez.experiments.exact.results import EXACT

_CELLS = ("mse", "mse_over_variance", "mae", "mean")
_SMOOTH = tuple(f"{key}_{r:g}" for r in RADII for key in ("mse", "mae", "mse_over_variance"))
_REDSHIFTS = ("nats", "nats_own_place", "pit_worst_tenth", "inside_68")
#: Numbers whose ratio or difference to another method is quoted.
_RATIOS = ("mse", "mse_4", "mse_8", "mae", "mae_4", "mae_8")
_DIFFERENCES = {
    "sub_psnr": "PSNR gain, dB",
    "sub_ssim": "SSIM gain",
    "nats": "nats gain",
    "nats_own_place": "own nats gain",
}
#: What methods are compared with.
REFERENCES = ("wiener", "redistribution", "photo")


def acceptance_table(lines: Sequence[Figure]) -> Table:
    """Figures beside their aims."""
    marks = {True: "✓", False: "✗", None: ""}
    rows = tuple((line.words, line.reached, line.aim, marks[line.met]) for line in lines)
    return Table("Reached, and aimed at", ("figure", "reached", "aim", ""), rows)


def setting_tables(one: Measured) -> list[Table]:
    """All tables of a setting."""
    name = one.name
    tables = [
        *yardstick_tables(one),
        *ratio_tables(one),
        numbers_table(f"{name}: cells of {_cellsize(one)} Mpc/h", one, _CELLS),
        sub_box_table(
            f"{name}: sub-boxes of about 100 Mpc/h", one, ("psnr", "ssim", "correlation")
        ),
        numbers_table(f"{name}: fields smoothed with R Mpc/h", one, _SMOOTH),
        numbers_table(f"{name}: redshifts", one, _REDSHIFTS),
        band_table(f"{name}: r with the truth", one, one.r, better=1),
        _lost(one),
        band_table(f"{name}: T = sqrt(P_rr / P_tt)", one, one.transfer),
        band_table(f"{name}: P_rr / P_rt", one, one.auto_over_cross),
        *(_poles(one, ell) for ell in ELLS),
        sigma_table(f"{name}: variance of (truth - estimate) / sigma in tenths of sigma", one),
    ]
    return [table for table in tables if table.rows]


def ratio_tables(one: Measured) -> list[Table]:
    """The methods that move galaxies beside others."""
    movers = [name for name in ("columns", "redistribution") if name in one.methods]
    return [_ratio_table(one, name) for name in movers]


def yardstick_tables(one: Measured) -> list[Table]:
    """Every method beside the exact posterior, where that is known."""
    if EXACT not in one.methods:
        return []
    keys = {"mse": "MSE / Wiener", "mse_4": "R = 4", "mse_8": "R = 8"}
    heads = [(words, -1) for words in keys.values()]
    heads += [(f"(1 - r²) / (1 - r_opt²), {in_words(WIDE)}", -1)]
    heads += [("nats per galaxy", 1), ("nats, own place", 1)]
    rows = []
    for method in one.waves:
        cells = [cell(one.ratio(method, "wiener", key)) for key in keys]
        cells.append(cell(one.lost_over_optimum(method, WIDE)))
        cells += [cell(one.number(method, key)) for key in ("nats", "nats_own_place")]
        rows.append((label(method), cells))
    return [make_table(f"{one.name}: beside the exact posterior", heads, rows)]


def control_tables(content: Mapping[str, Any]) -> list[Table]:
    """What is left of each method without information."""
    box = Numbers(content)
    bands, left, noise = box.bands, [], []
    for method, entries in box.methods.items():
        for control in CONTROLS:
            nats, own = (entries[control].get(key) for key in ("nats", "nats_own_place"))
            if control != "random":
                r = (number(box.spectra(entries[control], band).r, ".3f") for band in bands)
                left.append((f"{label(method)}: {control}", _nats(nats, 3), _nats(own, 3), *r))
                continue
            cross, auto = noise_of(content, method)
            noise.append(
                (label(method), _nats(nats, 4), _nats(own, 4), f"{cross:+.2f}", f"{auto:.3f}")
            )
    refused = content["refused"]
    note = f" (the fit refused {refused} sets before these)" if refused else ""
    return [
        Table(
            "Controls: what is left without one of the surveys",
            (
                "given", "nats per galaxy", "nats, own place",
                *(f"r, {in_words(band)}" for band in bands),
            ),
            tuple(left),
        ),
        Table(
            f"Controls: random galaxies{note}",
            ("method", "nats per galaxy", "nats, own place",
             "cross power with the truth, farthest from 0 [sigma]",
             "auto power over that of the random galaxies, highest"),
            tuple(noise),
        ),
    ]  # fmt: skip


def _nats(value: float | None, digits: int) -> str:
    return "—" if value is None else f"{value:.{digits}f}"


def _cellsize(one: Measured) -> str:
    box = one.boxes[0].content["survey"]["box"]
    return f"{box['boxsize'][2] / box['meshsize'][2]:g}"


def _ratio_table(one: Measured, method: str) -> Table:
    """A method beside others on the same boxes."""
    rows = []
    for other in REFERENCES:
        if other not in one.methods or other == method:
            continue
        cells = [cell(one.ratio(method, other, key)) for key in _RATIOS]
        for key in _DIFFERENCES:
            gain = one.difference(method, other, key)
            text, value = cell(gain)
            cells.append((f"+{text}" if value >= 0 and text != "—" else text, value))
        rows.append((f"to {label(other)}", cells))
    heads = [*(f"{heading(key)[0]} ratio" for key in _RATIOS), *_DIFFERENCES.values()]
    title = f"{one.name}: {label(method)} beside others, box by box"
    return make_table(title, [(head, 0) for head in heads], rows, first="")


def _poles(one: Measured, ell: int) -> Table:
    def percent(name: str, band: Band) -> Mean:
        return one.pole_percent(name, ell, band)

    return band_table(
        f"{one.name}: P{ell} of the estimate over that of the truth [%]", one, percent
    )


def _lost(one: Measured) -> Table:
    """(1 - r^2) / (1 - r_opt^2), and the optimum itself."""
    table = band_table(
        f"{one.name}: (1 - r²) / (1 - r_opt²)", one, one.lost_over_optimum, better=-1
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
