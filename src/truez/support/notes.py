"""Notes: what the user should know although the work goes on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Note(UserWarning):
    """A sentence for the user, which the command line prints to stderr without more."""


@contextmanager
def kept_notes() -> Iterator[dict[str, None]]:
    """Keep the notes of a block in place of showing them; other warnings are shown.

    Yields
    ------
    dict
        The sentences are its keys, in the order in which they came, each once.

    Examples
    --------
    >>> import warnings
    >>> from truez.support.notes import Note, kept_notes
    >>> with kept_notes() as notes:
    ...     for _ in range(2):
    ...         warnings.warn("cells are large", Note)
    >>> list(notes)
    ['cells are large']
    """
    kept: dict[str, None] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("always", Note)
        others = warnings.showwarning

        def keep(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, Note):
                kept[str(message)] = None
            else:
                others(message, category, *place, **more)

        warnings.showwarning = keep
        yield kept
