"""The error of catalogue files."""

from __future__ import annotations


class CatalogError(ValueError):
    """A catalogue that cannot be read or written; its message is one sentence for the user."""
