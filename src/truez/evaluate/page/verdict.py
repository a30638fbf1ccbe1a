"""The verdict on a run, in plain words built from its numbers.

A mean squared error means little by itself, so it is quoted beside the Wiener filter's, the
surveys' own, and those of two constant fields: the zero field (delta = 0, whose error is the
variance of the truth) and the empty one (delta = -1, whose mean absolute error is 1).
"""

from __future__ import annotations

import math

from truez.evaluate.labels import CONSTANTS, SURVEYS, with_article
from truez.evaluate.page.run_folder import Score, Scores
from truez.evaluate.tables import number


def methods(scores: Scores) -> list[str]:
    """The fields that are reconstructions."""
    return [name for name in scores if name not in (*CONSTANTS, *SURVEYS, "truth")]


def ranked(scores: Scores, score: str = "mse") -> list[str]:
    """The reconstructions that have been judged, the one with the lowest ``score`` first."""
    known = {name: _mean(scores, name, score) for name in methods(scores)}
    known = {name: value for name, value in known.items() if not math.isnan(value)}
    return sorted(known, key=known.__getitem__)


def num_boxes(scores: Scores) -> int | None:
    """Number of sub-boxes that the scores are means over, from scatter and error of the mean."""
    found = {
        round((score.sigma / score.error) ** 2)
        for entry in scores.values()
        for score in entry.values()
        if score.error > 0 and math.isfinite(score.sigma)
    }
    return found.pop() if len(found) == 1 else None


def verdict(scores: Scores) -> str:
    """One paragraph that says which field is best, by how much, and beside what."""
    order = ranked(scores)
    if not order:
        return "No reconstruction has been judged yet."
    winner = order[0]
    boxes = num_boxes(scores)
    where = "" if boxes is None else f" (mean over {boxes} sub-boxes, with its error)"
    value = _value(scores, winner)
    words = [f"Lowest in mean squared error is {with_article(winner)}, {value}{where}."]
    words += _beside(scores, winner)
    words += _against_linear(scores, winner)
    words += _against_zero(scores, winner)
    words += _against_paper(scores, winner)
    words += _absolute(scores)
    return " ".join(words)


def _mean(scores: Scores, name: str, score: str) -> float:
    return scores.get(name, {}).get(score, Score(math.nan)).mean


def _value(scores: Scores, name: str, score: str = "mse") -> str:
    found = scores[name][score]
    return _with_error(found.mean, found.error)


def _with_error(value: float, error: float) -> str:
    """``value`` to the digits of its error, where it has one."""
    if not (math.isfinite(error) and error > 0):
        return number(value, "#.3g")
    digits = max(1 - math.floor(math.log10(error)), 0)
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _relation(scores: Scores, name: str, other: str) -> str:
    """How the error of ``name`` compares with that of ``other``."""
    ours, theirs = scores[name]["mse"], scores[other]["mse"]
    percent = 100 * (1 - ours.mean / theirs.mean)
    side = "below" if percent >= 0 else "above"
    value = _value(scores, other)
    if ours.boxes is not None and theirs.boxes is not None and len(ours.boxes) > 1:
        # Both are means over the same boxes: their difference is known better than either.
        gaps = theirs.boxes - ours.boxes
        gap, error = abs(gaps.mean()), gaps.std(ddof=1) / math.sqrt(len(gaps))
        if gap < 10 * error:
            value += f"; box by box {_with_error(gap, error)} {side}"
        if gap < 2 * error:
            value += ", too little to tell them apart"
    elif abs(ours.mean - theirs.mean) <= math.hypot(ours.error, theirs.error):
        value += ", so that their errors overlap"
    return f"{abs(percent):.2g}% {side} {with_article(other)} ({value})"


def _known(scores: Scores, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if not math.isnan(_mean(scores, name, "mse"))]


def _beside(scores: Scores, winner: str) -> list[str]:
    others = [name for name in _known(scores, ("wiener", "photo", "spec")) if name != winner]
    if not others:
        return []
    return [f"That is {_list([_relation(scores, winner, name) for name in others])}."]


def _list(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _against_linear(scores: Scores, winner: str) -> list[str]:
    if "wiener" not in _known(scores, ("wiener",)):
        return ["The Wiener filter, without which no gain can be claimed, has not been judged."]
    others = [name for name in ranked(scores) if not name.startswith("wiener")]
    if not winner.startswith("wiener") or not others:
        return []
    nearest = others[0]
    text = (
        f"No method beyond the linear ones does better: the nearest, {with_article(nearest)}, has"
    )
    return [f"{text} {_value(scores, nearest)}."]


def _against_zero(scores: Scores, winner: str) -> list[str]:
    zero = _mean(scores, "zero", "mse")
    if math.isnan(zero):
        return []
    share = 1 - _mean(scores, winner, "mse") / zero
    text = f"The zero field, whose error is the variance of the truth, has {number(zero, '#.3g')}"
    if share <= 0:
        return [f"{text}: even the best method is worse than that."]
    worse = [name for name in _known(scores, SURVEYS) if _mean(scores, name, "mse") > zero]
    text += f", of which the best method explains {100 * share:.0f}%"
    if worse:
        each = " by itself" if len(worse) == 1 else ", each by itself,"
        surveys = _list([with_article(name) for name in worse])
        text += f"; {surveys}{each} {'is' if len(worse) == 1 else 'are'} worse than it"
    return [text + "."]


def _against_paper(scores: Scores, winner: str) -> list[str]:
    paper = {name: entry["mse"].paper_mean for name, entry in scores.items() if "mse" in entry}
    photo = paper.get("photo", math.nan)
    unet = next((m for n, m in paper.items() if n not in SURVEYS and not math.isnan(m)), math.nan)
    own = _mean(scores, winner, "mse") / _mean(scores, "photo", "mse")
    if any(map(math.isnan, (photo, unet, own))):
        return []
    text = "As a share of the photo survey's error, which depends less on the universe, it has"
    return [f"{text} {own:.2f}; the UNet of the paper has {unet / photo:.2f}."]


def _absolute(scores: Scores) -> list[str]:
    order, empty = ranked(scores, "mae"), _mean(scores, "empty", "mae")
    if not order or math.isnan(empty):
        return []
    winner = order[0]
    value = _value(scores, winner, "mae")
    text = (
        f"Lowest in mean absolute error is {with_article(winner)}, {value}, "
        f"beside {number(empty, '#.3g')} of the empty field, which holds no galaxy at all"
    )
    if _mean(scores, winner, "mae") >= empty:
        text += ": no reconstruction beats it, so on these cells that score says little"
    return [text + "."]
