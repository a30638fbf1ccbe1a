"""What the method was built to reach, each figure beside its aim."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
    """What the controls of the best method that moves galaxies must show."""
    name = "columns" if "columns" in content["methods"] else "redistribution"
    given, box = content["methods"][name], Numbers(content)
    bands = box.bands
    nats = given["shuffled"]["nats"] - given["spec only"]["nats"]
    more = max(
        box.spectra(given["shuffled"], band).r - box.spectra(given["spec only"], band).r
        for band in bands
    )
    noise, (cross, auto) = given["random"], noise_of(content, name)
    # Rounding of the sums that both share is no information.
    return [
        Figure("shuffled: nats above those of spec only", f"{nats:.4f}", "at most 0", nats < 1e-4),
        Figure("shuffled: r above that of spec only, the highest", f"{more:.4f}", "at most 0",
               more < 1e-4),
        Figure("random: nats per galaxy", f"{noise['nats']:.4f}", "within 0.01 of 0",
               abs(noise["nats"]) <= 0.01),
        *(
            Figure("random: nats per galaxy at their own places", f"{own:.4f}", "within 0.01 of 0",
                   abs(own) <= 0.01)
            for own in [noise.get("nats_own_place")] if own is not None
        ),
        Figure("random: cross power with the truth, farthest from 0 [sigma]", f"{cross:+.2f}",
               f"within 3 of 0, of {len(bands)} bands", abs(cross) < 3),
        Figure("random: auto power over that of the random galaxies (1/n_p), highest",
               f"{auto:.3f}", "at most 1", auto <= 1),
    ]  # fmt: skip


def noise_of(content: Mapping[str, Any], method: str) -> tuple[float, float]:
    """What random galaxies lead to in bands, the worst of each.

    The cross power with the truth, in units of its scatter, and the auto power over that of the
    galaxies themselves, which is white with 1 / n_p but for the painting and the few modes.
    """
    box = Numbers(content)
    found = [box.spectra(content["methods"][method]["random"], band) for band in box.bands]
    own = [box.spectra(content["random_truth"], band).rr for band in box.bands]
    cross = max((sums.significance for sums in found), key=abs)
    return cross, max(sums.rr / power for sums, power in zip(found, own, strict=True))


def _cells(one: Measured) -> list[Figure]:
    columns, photo, median = "columns", "photo", "columns-median"
    ratio, difference = one.ratio, one.difference
    wiener, moved, own = "wiener", "redistribution", "redistribution-median"
    return _lines(
        ("MSE / Wiener of both", ratio(columns, wiener, "mse"), "at most", 0.86),
        ("MSE / redistribution", ratio(columns, moved, "mse"), "at most", 0.92),
        ("MSE / photo (the paper: 0.578)", ratio(columns, photo, "mse"), "at most", 0.42),
        ("SSIM over photo", difference(columns, photo, "sub_ssim"), "at least", PAPER_SSIM),
        ("PSNR over photo [dB]", difference(columns, photo, "sub_psnr"), "at least", PAPER_PSNR),
        ("MAE at R = 4 Mpc/h / Wiener of both", ratio(columns, wiener, "mae_4"), "below", 1.0),
        ("MAE at R = 4 Mpc/h / redistribution", ratio(columns, moved, "mae_4"), "below", 1.0),
        ("MAE of the median / redistribution's own", ratio(median, own, "mae"), "below", 1.0),
        ("MAE of the median / photo (the paper: 0.664)", ratio(median, photo, "mae"), "at most",
         0.64),
        ("MAE of the empty field / photo, beside it", ratio("empty", photo, "mae"), "", None),
        ("mean of the median, beside it", one.number(median, "mean"), "", None),
    )  # fmt: skip


def _scales(one: Measured) -> list[Figure]:
    lines: list[Figure] = []
    if "columns" in one.methods:
        lost = partial(one.lost_over_optimum, "columns")
        inner = [band for band in BANDS if band[0] >= WIDE[0] and band[1] <= WIDE[1]]
        large = [band for band in BANDS if band[1] <= 0.1]
        words = f"(1 - r²) / (1 - r_opt²), k = {in_words(WIDE)} h/Mpc"
        lines += _lines((words, lost(WIDE), "at most", 0.80))
        lines += _worst("the same, the highest of its bands", lost, inner, 0.80)
        lines += _worst(
            "r_opt - r, the highest for k < 0.1 h/Mpc", partial(_short_of_optimum, one), large,
            0.005,
        )  # fmt: skip
    return lines + _worst(
        "1 - r_opt² as observed alone less that with the truth, the largest for k < 0.3 h/Mpc",
        partial(_disagreement, one), [band for band in BANDS if band[1] <= 0.3], 0.005, signed=True,
    )  # fmt: skip


def _redshifts(one: Measured) -> list[Figure]:
    number_of = partial(one.number, "columns")
    gain = one.difference("columns", "redistribution", "nats")
    worst = number_of("pit_worst_tenth")
    lines = _lines(
        ("information gain [nats per galaxy]", number_of("nats"), "at least", 0.48),
        ("the same at the galaxies' own places", number_of("nats_own_place"), "at least", 0.64),
        ("information gain over redistribution [nats per galaxy]", gain, "at least", 0.08),
        ("PIT: tenth farthest from 10% [% of galaxies]", worst, "at most", 1.0),
    )  # fmt: skip
    inside, deciles = number_of("inside_68"), one.sigma_deciles("columns")
    if inside is not None:
        words = "true redshifts inside the 68% interval [%]"
        met = 67 <= inside.mean <= 69
        lines.append(Figure(words, plus_minus(inside), "67 to 69", met))
    if deciles is not None:
        means = [found.mean for found in deciles if math.isfinite(found.mean)]
        ends = (min(means, default=math.nan), max(means, default=math.nan))
        words = "variance of (truth - mean) / sigma, lowest and highest of the tenths of sigma"
        reached = " to ".join(number(end, "#.3g") for end in ends)
        lines.append(Figure(words, reached, "1 in every tenth, or the shortfall is said", None))
    return lines


def _elsewhere(one: Measured) -> list[Figure]:
    nats = "information gain over redistribution [nats per galaxy]"
    share = ", as a share of it"
    rows = (
        (f"MSE below redistribution's{share}", _gain(one, "redistribution")),
        (f"MSE below that of Wiener of both{share}", _gain(one, "wiener")),
        (nats, one.difference("columns", "redistribution", "nats")),
    )
    lines = []
    for words, gain in rows:
        if gain is None:
            continue
        errors = gain.mean / gain.error if gain.error > 0 else math.nan
        known = not math.isnan(errors)
        reached = plus_minus(gain) + (f" ({errors:.1f} errors)" if known else "")
        aim = f"above 0 by {SIGNIFICANT:g} errors"
        met = errors > SIGNIFICANT if known else None
        lines.append(Figure(f"{one.name}: {words}", reached, aim, met))
    return lines


def _gain(one: Measured, other: str) -> Mean | None:
    """What the MSE of columns is below that of another, as a share of the other's."""
    ratio = one.ratio("columns", other, "mse")
    return None if ratio is None else Mean.of(1 - value for value in ratio.values)


def _short_of_optimum(one: Measured, band: Band) -> Mean:
    return Mean.of(one.r_opt(band) - r for r in one.r("columns", band).values)


def _disagreement(one: Measured, band: Band) -> Mean:
    limit = one.optimum_lost(band)
    return Mean.of(value - limit for value in one.observed_lost(band).values)


_MET: dict[str, Callable[[float, float], bool]] = {
    "at most": operator.le, "at least": operator.ge, "below": operator.lt,
}  # fmt: skip


def _lines(*rows: tuple[str, Mean | None, str, float | None]) -> list[Figure]:
    """Figures of (words, what was reached, kind of aim, aim); without an aim they stand by it."""
    lines = []
    for words, found, kind, aim in rows:
        if found is None:
            continue
        known = aim is not None and not math.isnan(found.mean)
        met = _MET[kind](found.mean, aim) if known and aim is not None else None
        lines.append(
            Figure(words, plus_minus(found), "" if aim is None else f"{kind} {aim:g}", met)
        )
    return lines


def _worst(
    words: str,
    number_of: Callable[[Band], Mean],
    bands: Sequence[Band],
    aim: float,
    *,
    signed: bool = False,
) -> list[Figure]:
    """The band whose mean is farthest up, or for differences of either sign farthest from 0."""
    found = {band: number_of(band) for band in bands}
    size = {band: abs(mean.mean) if signed else mean.mean for band, mean in found.items()}
    size = {band: value for band, value in size.items() if math.isfinite(value)}
    if not size:
        return []
    worst = max(size, key=size.__getitem__)
    reached = f"{plus_minus(found[worst])} at {in_words(worst)}"
    return [Figure(words, reached, f"at most {aim:g}", size[worst] <= aim)]
