"""The verdict on a run, in plain words built from its numbers.

A mean squared error means little by itself: it stands beside the Wiener filter's, the surveys' own,
and those of two fields that know nothing, the zero field (delta = 0, whose error is the variance of
the truth) and the empty one (delta = -1, whose mean absolute error is 1).
"""

from __future__ import annotations

import math

from truez.report.results import CONSTANTS, SURVEYS
from truez.report.run_folder import Score, Scores
from truez.report.tables import number

LABELS = {
    "truth": "truth",
    "photo": "photo survey",
    "spec": "spec survey",
    "wiener": "Wiener filter",
    "wiener-spec": "Wiener filter of spec alone",
    "wiener-photo": "Wiener filter of photo alone",
    "unet": "UNet",
    "unet-per-box": "UNet, box by box",
}


def label(name: str) -> str:
    """What a field is called in a sentence."""
    return LABELS.get(name, name)


def methods(scores: Scores) -> list[str]:
    """The fields that are reconstructions."""
    return [name for name in scores if name not in (*CONSTANTS, *SURVEYS, "truth")]


def best(scores: Scores, score: str = "mse") -> str | None:
    """The reconstruction with the lowest ``score``, or None where none has been judged."""
    known = {name: _mean(scores, name, score) for name in methods(scores)}
    known = {name: value for name, value in known.items() if not math.isnan(value)}
    return min(known, key=known.__getitem__) if known else None


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
    winner = best(scores)
    if winner is None:
        return "No reconstruction has been judged yet."
    boxes = num_boxes(scores)
    where = "" if boxes is None else f" (mean over {boxes} sub-boxes, with its error)"
    words = [f"The lowest mean squared error is {_the(winner)}'s: {_value(scores, winner)}{where}."]
    words += _beside(scores, winner)
    words += _against_linear(scores, winner)
    words += _against_zero(scores, winner)
    words += _against_paper(scores, winner)
    words += _absolute(scores)
    return " ".join(words)


def _mean(scores: Scores, name: str, score: str) -> float:
    return scores.get(name, {}).get(score, Score(math.nan)).mean


def _the(name: str) -> str:
    return f"the {label(name)}" if name in LABELS else name


def _value(scores: Scores, name: str, score: str = "mse") -> str:
    found = scores[name][score]
    text = number(found.mean, "#.3g")
    return text if math.isnan(found.error) else f"{text} ± {number(found.error, '#.2g')}"


def _relation(scores: Scores, name: str, other: str) -> str:
    """How the error of ``name`` compares with that of ``other``."""
    ours, theirs = scores[name]["mse"], scores[other]["mse"]
    # The boxes are the same ones, so this overstates the error of the difference.
    error = math.hypot(ours.error, theirs.error)
    if abs(ours.mean - theirs.mean) <= error:
        return f"level with {_the(other)} within the errors"
    percent = 100 * abs(1 - ours.mean / theirs.mean)
    side = "below" if ours.mean < theirs.mean else "above"
    return f"{percent:.2g}% {side} {_the(other)}" if percent < 99.5 else f"far {side} {_the(other)}"


def _known(scores: Scores, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if not math.isnan(_mean(scores, name, "mse"))]


def _beside(scores: Scores, winner: str) -> list[str]:
    others = [name for name in _known(scores, ("wiener", "photo", "spec")) if name != winner]
    if not others:
        return []
    parts = [f"{_relation(scores, winner, name)} ({_value(scores, name)})" for name in others]
    return [f"That is {_list(parts)}."]


def _list(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _against_linear(scores: Scores, winner: str) -> list[str]:
    if "wiener" not in _known(scores, ("wiener",)):
        return ["The Wiener filter, without which no gain can be claimed, has not been judged."]
    others = {
        name: _mean(scores, name, "mse")
        for name in methods(scores)
        if not name.startswith("wiener") and not math.isnan(_mean(scores, name, "mse"))
    }
    if not winner.startswith("wiener") or not others:
        return []
    nearest = min(others, key=others.__getitem__)
    return [
        f"No method beyond the linear ones does better: the nearest, {_the(nearest)}, has "
        f"{_value(scores, nearest)}."
    ]


def _against_zero(scores: Scores, winner: str) -> list[str]:
    zero = _mean(scores, "zero", "mse")
    if math.isnan(zero):
        return []
    share = 1 - _mean(scores, winner, "mse") / zero
    text = f"The zero field, which knows nothing, has {number(zero, '#.3g')}"
    if share <= 0:
        return [f"{text}: even the best method is worse than that."]
    worse = [name for name in _known(scores, SURVEYS) if _mean(scores, name, "mse") > zero]
    text += f", of which the best method explains {100 * share:.0f}%"
    if worse:
        each = " by itself" if len(worse) == 1 else ", each by itself,"
        surveys = _list([_the(name) for name in worse])
        text += f"; {surveys}{each} {'is' if len(worse) == 1 else 'are'} worse than it"
    return [text + "."]


def _against_paper(scores: Scores, winner: str) -> list[str]:
    def paper(name: str) -> float:
        return scores.get(name, {}).get("mse", Score(math.nan)).paper_mean

    photo, unet = paper("photo"), paper("unet")
    own = _mean(scores, winner, "mse") / _mean(scores, "photo", "mse")
    if any(map(math.isnan, (photo, unet, own))):
        return []
    return [
        f"As a share of the photo survey's error, which depends less on the universe, it has "
        f"{own:.2f}; the UNet of the paper has {unet / photo:.2f}."
    ]


def _absolute(scores: Scores) -> list[str]:
    winner, empty = best(scores, "mae"), _mean(scores, "empty", "mae")
    if winner is None or math.isnan(empty):
        return []
    text = (
        f"The lowest mean absolute error is {_the(winner)}'s, {_value(scores, winner, 'mae')}, "
        f"beside {number(empty, '#.3g')} of the empty field, which holds no galaxy at all"
    )
    if _mean(scores, winner, "mae") >= empty:
        text += ": no reconstruction beats it, so on these cells that score says little"
    return [text + "."]
