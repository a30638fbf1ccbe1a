r"""Text of files, as a terminal may show it.

Names, units and metadata come from files of any origin. A terminal obeys control characters among
them (colours, the cursor, its title), a newline looks like a line of ours, and marks of direction
turn the rest of a line round.
"""

from __future__ import annotations


def printable(text: str, *, keep: str = "") -> str:
    r"""``text`` with what is not printable written as ``\x1b``, ``\n`` or ``\u202e``.

    Parameters
    ----------
    text : str
    keep : str
        Characters that stay as they are, such as newlines.

    Examples
    --------
    >>> print(printable("flux\x1b[2J"))
    flux\x1b[2J
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
