"""Two sets of settings compared: what differs between them, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from truez.support.checks import shown

#: Settings that a sentence shows, and characters of each value.
_SHOWN, _LONGEST = 2, 30


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What differs, such as ``training.steps = 4, not 5``; empty where nothing does.

    Parameters
    ----------
    old : mapping
        Plain values, and mappings of them.
    new : mapping
        Lists and tuples of the same values are equal.
    """
    found = _differing(old, new)
    texts = [f"{name} = {_short(one)}, not {_short(two)}" for name, one, two in found[:_SHOWN]]
    more = f" and {len(found) - _SHOWN} more differ" if len(found) > _SHOWN else ""
    return "; ".join(texts) + more


def _differing(old: Any, new: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        old, new = (list(v) if isinstance(v, tuple) else v for v in (old, new))
        return [] if old == new else [(name, old, new)]
    prefix = f"{name}." if name else ""
    return [
        found
        for part in dict(old) | dict(new)
        for found in _differing(old.get(part), new.get(part), f"{prefix}{part}")
    ]


def _short(value: Any) -> str:
    return shown(value, _LONGEST)
