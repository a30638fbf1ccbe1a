"""What the method was built to reach, each figure beside its aim."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from truez.evaluate.store import BANDS, Band, Numbers, in_words
from truez.evaluate.summary import Mean, Measured
from truez.evaluate.tables import number, plus_minus

#: The range of k [h/Mpc] of the acceptance.
WIDE: Band = (0.1, 0.5)
#: Gains of the paper over the photometric field, Table I of arXiv:2504.06309.
PAPER_SSIM, PAPER_PSNR = 0.27, 2.40
#: Errors of the mean that a difference must exceed.
SIGNIFICANT = 2.0


@dataclass(frozen=True)
class Figure:
    """One line: what it is, what was reached, the aim, and whether it is met (None: not known)."""

    words: str
    reached: str
    aim: str
    met: bool | None


def acceptance(settings: Mapping[str, Measured]) -> list[Figure]:
    """The figures that the settings allow, those of the fiducial one first."""
    lines: list[Figure] = []
    if "fiducial" in settings:
        one = settings["fiducial"]
        lines += [*_cells(one), *_scales(one), *_redshifts(one)]
    for name in ("sparse", "narrow"):
        if name in settings:
            lines += _elsewhere(settings[name])
    return lines


def control_figures(content: Mapping[str, Any]) -> list[Figure]:
    """What the controls of the best method that moves galaxies must show.

    ``content`` is as `truez.experiments.benchmark.controls.measure_controls` gives it.
    """
    name = "columns" if "columns" in content["methods"] else "redistribution"
    given, box = content["methods"][name], Numbers(content)
    bands = box.bands
    nats = given["shuffled"]["nats"] - given["spec only"]["nats"]
    more = max(
        box.spectra(given["shuffled"], band).r - box.spectra(given["spec only"], band).r
        for band in bands
    )
    noise = given["random"]
    cross = max((box.spectra(noise, band).significance for band in bands), key=abs)
    own = [box.spectra(content["random_truth"], band).rr for band in bands]
    auto = max(box.spectra(noise, band).rr / power for band, power in zip(bands, own, strict=True))
    # Rounding of the sums that both share is no information.
    return [
        Figure("shuffled: nats above those of spec only", f"{nats:.4f}", "at most 0", nats < 1e-4),
        Figure("shuffled: r above that of spec only, the highest", f"{more:.4f}", "at most 0",
               more < 1e-4),
        Figure("random: nats per galaxy", f"{noise['nats']:.4f}", "within 0.01 of 0",
               abs(noise["nats"]) <= 0.01),
        Figure("random: cross power with the truth, farthest from 0 [sigma]", f"{cross:+.2f}",
               f"within 3 of 0, of {len(bands)} bands", abs(cross) < 3),
        Figure("random: auto power over that of the random galaxies (1/n_p), highest",
               f"{auto:.3f}", "at most 1", auto <= 1),
    ]  # fmt: skip


def _cells(one: Measured) -> list[Figure]:
    columns, photo = "columns", "photo"
    median, other = "columns-median", "redistribution-median"
    lines = [
        _below("MSE / Wiener of both", one.ratio(columns, "wiener", "mse"), 0.86),
        _below("MSE / redistribution", one.ratio(columns, "redistribution", "mse"), 0.92),
        _below("MSE / photo (the paper: 0.578)", one.ratio(columns, photo, "mse"), 0.42),
        _above("SSIM over photo", one.difference(columns, photo, "sub_ssim"), PAPER_SSIM),
        _above("PSNR over photo [dB]", one.difference(columns, photo, "sub_psnr"), PAPER_PSNR),
        _less("MAE at R = 4 Mpc/h / Wiener of both", one.ratio(columns, "wiener", "mae_4")),
        _less("MAE at R = 4 Mpc/h / redistribution", one.ratio(columns, "redistribution", "mae_4")),
        _less("MAE of the median / redistribution's own", one.ratio(median, other, "mae")),
        _below(
            "MAE of the median / photo (the paper: 0.664)", one.ratio(median, photo, "mae"), 0.64
        ),
        _below("MAE of the empty field / photo, beside it", one.ratio("empty", photo, "mae"), None),
        _below("mean of the median, beside it", one.number(median, "mean"), None),
    ]
    return [line for line in lines if line is not None]


def _scales(one: Measured) -> list[Figure]:
    lines: list[Figure | None] = []
    if "columns" in one.methods:
        inner = [band for band in BANDS if band[0] >= WIDE[0] and band[1] <= WIDE[1]]
        lines.append(
            _below(
                f"(1 - r²) / (1 - r_opt²), k = {in_words(WIDE)} h/Mpc",
                one.lost_over_optimum("columns", WIDE),
                0.80,
            )
        )
        lines.append(
            _worst(
                "the same, the highest of its bands",
                lambda band: one.lost_over_optimum("columns", band),
                inner,
                0.80,
            )
        )
        lines.append(
            _worst(
                "r_opt - r, the highest for k < 0.1 h/Mpc",
                lambda band: _short_of_optimum(one, band),
                [band for band in BANDS if band[1] <= 0.1],
                0.005,
            )
        )
    lines.append(
        _worst(
            "1 - r_opt² as observed alone less that with the truth, the largest for k < 0.3 h/Mpc",
            lambda band: _disagreement(one, band),
            [band for band in BANDS if band[1] <= 0.3],
            0.005,
        )
    )
    return [line for line in lines if line is not None]


def _redshifts(one: Measured) -> list[Figure]:
    lines = [
        _above("information gain [nats per galaxy]", one.number("columns", "nats"), 0.48),
        _above(
            "information gain over redistribution [nats per galaxy]",
            one.difference("columns", "redistribution", "nats"),
            0.08,
        ),
        _below("PIT: tenth farthest from 10% [% of galaxies]", one.number("columns", "pit"), 1.0),
    ]
    inside = one.number("columns", "inside")
    if inside is not None:
        lines.append(
            Figure(
                "true redshifts inside the 68% interval [%]",
                plus_minus(inside),
                "67 to 69",
                67 <= inside.mean <= 69,
            )
        )
        deciles = one.sigma_deciles("columns")
        if deciles is not None:
            means = [found.mean for found in deciles if math.isfinite(found.mean)]
            low, high = min(means, default=math.nan), max(means, default=math.nan)
            lines.append(
                Figure(
                    "variance of (truth - mean) / sigma, lowest and highest of the tenths of sigma",
                    f"{number(low, '#.3g')} to {number(high, '#.3g')}",
                    "1 in every tenth, or the shortfall is said",
                    None,
                )
            )
    return [line for line in lines if line is not None]


def _elsewhere(one: Measured) -> list[Figure]:
    aim = f"above 0 by {SIGNIFICANT:g} errors"
    rows = (
        ("MSE below redistribution's", one.ratio("columns", "redistribution", "mse"), True),
        ("MSE below that of Wiener of both", one.ratio("columns", "wiener", "mse"), True),
        (
            "information gain over redistribution [nats per galaxy]",
            one.difference("columns", "redistribution", "nats"),
            False,
        ),
    )
    lines = []
    for words, found, ratio in rows:
        if found is None:
            continue
        gain = Mean.of(1 - value for value in found.values) if ratio else found
        errors = gain.mean / gain.error if gain.error > 0 else math.nan
        met = None if math.isnan(errors) else errors > SIGNIFICANT
        unit = ", as a share of it" if ratio else ""
        reached = plus_minus(gain) + ("" if math.isnan(errors) else f" ({errors:.1f} errors)")
        lines.append(Figure(f"{one.name}: {words}{unit}", reached, aim, met))
    return lines


def _short_of_optimum(one: Measured, band: Band) -> Mean:
    limit = math.sqrt(max(1 - one.optimum_lost(band), 0.0))
    return Mean.of(limit - r for r in one.r("columns", band).values)


def _disagreement(one: Measured, band: Band) -> Mean:
    limit = one.optimum_lost(band)
    return Mean.of(value - limit for value in one.observed_lost(band).values)


def _below(words: str, found: Mean | None, aim: float | None) -> Figure | None:
    return _line(words, found, aim, "at most", lambda value, limit: value <= limit)


def _less(words: str, ratio: Mean | None) -> Figure | None:
    return _line(words, ratio, 1.0, "below", lambda value, limit: value < limit)


def _above(words: str, found: Mean | None, aim: float) -> Figure | None:
    return _line(words, found, aim, "at least", lambda value, limit: value >= limit)


def _line(
    words: str,
    found: Mean | None,
    aim: float | None,
    kind: str,
    good: Callable[[float, float], bool],
) -> Figure | None:
    if found is None:
        return None
    if aim is None or math.isnan(found.mean):
        text = "" if aim is None else f"{kind} {aim:g}"
        return Figure(words, plus_minus(found), text, None)
    return Figure(words, plus_minus(found), f"{kind} {aim:g}", good(found.mean, aim))


def _worst(
    words: str, number_of: Callable[[Band], Mean], bands: Sequence[Band], aim: float
) -> Figure | None:
    """The band whose mean is farthest up, or for differences of either sign farthest from 0."""
    found = {band: number_of(band) for band in bands}
    found = {band: mean for band, mean in found.items() if math.isfinite(mean.mean)}
    if not found:
        return None
    signed = words.startswith("1 - r_opt")
    size: Callable[[Band], float] = lambda b: abs(found[b].mean) if signed else found[b].mean  # noqa: E731
    worst = max(found, key=size)
    reached = f"{plus_minus(found[worst])} at {in_words(worst)}"
    return Figure(words, reached, f"at most {aim:g}", size(worst) <= aim)
