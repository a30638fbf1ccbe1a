"""The method for surveys where none is asked for, in a box as on the sky.

It is the network of columns where that was trained for such surveys, and the redistribution without
a network for all others, which a note says.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from truez.support.notes import Note

#: The method that is used by default, and that for surveys which it does not serve.
DEFAULT_METHOD, OTHER_METHOD = "columns", "redistribution"


@dataclass(frozen=True)
class Choice:
    """A method, and why it is not the default one.

    Parameters
    ----------
    method : str
    note : str, optional
        What the default does not serve, and what is done.
    """

    method: str
    note: str | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What outputs say of it: ``method_note``, where there is one."""
        return {} if self.note is None else {"method_note": self.note}


def choose_method(
    check: Callable[[str], None],
    *,
    given: Iterable[str],
    settings: Iterable[str],
    quiet: bool = False,
) -> Choice:
    """The default method, or the other one, with a `Note` of the reason.

    Parameters
    ----------
    check : function
        Called with a method's name; raises a ValueError for what that does not serve.
    given : iterable of str
        Names of the settings that were asked for.
    settings : iterable of str
        Those that the other method has.
    quiet : bool
        Warn of nothing.

    Raises
    ------
    ValueError
        That of the default method, if the other lacks a setting that was asked for; that of the
        other, if it does not serve them either.

    Examples
    --------
    >>> def check(method):
    ...     if method == "columns":
    ...         raise ValueError("the cells are too large: take others")
    >>> choose_method(check, given=[], settings=[], quiet=True).note
    'method redistribution is used: the cells are too large'
    """
    try:
        check(DEFAULT_METHOD)
    except ValueError as error:
        if not set(settings).issuperset(given):
            raise
        check(OTHER_METHOD)
        reason = str(error).rpartition(": ")[0] or str(error)
        choice = Choice(OTHER_METHOD, f"method {OTHER_METHOD} is used: {reason}")
        if not quiet:
            warnings.warn(str(choice.note), Note, stacklevel=3)
        return choice
    return Choice(DEFAULT_METHOD)
