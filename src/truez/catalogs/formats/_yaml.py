"""YAML as plain values, in bounded time and memory."""

from __future__ import annotations

from typing import Any

import yaml

#: Letters of a header, values of it with those that aliases repeat, and levels of nesting.
MOST_LETTERS = 2**22
_MOST_VALUES = 2**18
_MOST_LEVELS = 50
# The parser in C is ten times faster; both have the same events.
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_PARSER):  # type: ignore[misc]
    """Plain values only: an object of astropy is the mapping, list or text that describes it."""


def _plainly(loader: Any, _: str, node: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_Loader.add_multi_constructor("!", _plainly)


def loaded(text: str) -> Any:
    """YAML as plain values; a ValueError where it is none.

    Raises
    ------
    ValueError
        For other text, for objects of Python, and for text that is too large, too deep, or repeats
        itself without bound.
    """
    try:
        _check(text)
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = "" if place is None else f" in line {place.line + 1}"
        reason = str(getattr(error, "problem", None) or "it is no text")
        if isinstance(error, yaml.constructor.ConstructorError):
            reason = "it holds an object of another program, which is not loaded"
    except _TooLargeError as error:
        raise ValueError(str(error)) from None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        # Values that are not of the type which they look like, such as a 13th month.
        line, reason = "", "it holds a value that cannot be read"
    reason = "".join(letter for letter in reason if letter.isprintable())
    raise ValueError(f"its header is damaged{line}: {reason[:100]}")


class _TooLargeError(ValueError):
    """YAML beyond the bounds."""


def _check(text: str) -> None:
    """Raise `_TooLargeError` where YAML is too large, too deep, or repeats itself without bound."""
    if len(text) > MOST_LETTERS:
        raise _TooLargeError(f"its header is longer than {MOST_LETTERS // 2**20} million letters")
    sizes: dict[str, int] = {}  # values below each anchor
    open_anchors: list[str | None] = []
    counts = [0]
    for event in yaml.parse(text, Loader=_PARSER):
        name: str | None = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if name in open_anchors:
                raise _TooLargeError(f"its header is damaged: {name!r} contains itself")
            counts[-1] += sizes.get(name or "", 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_anchors.append(name)
            counts.append(1)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, name = counts.pop(), open_anchors.pop()
            counts[-1] += size
            if name is not None:
                sizes[name] = size
        elif isinstance(event, yaml.ScalarEvent):
            counts[-1] += 1
        if len(counts) > _MOST_LEVELS or sum(counts) > _MOST_VALUES:
            raise _TooLargeError("its header is nested or repeated too often")
