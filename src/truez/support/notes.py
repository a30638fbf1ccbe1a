"""Notes: what the user should know although the work goes on."""

from __future__ import annotations


class Note(UserWarning):
    """A sentence for the user, which the command line prints to stderr without more."""
