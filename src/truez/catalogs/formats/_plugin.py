"""Formats of plug-ins: what an entry point of the group ``truez.formats`` names.

The entry point is named after the suffix, ``npz`` for ``.npz`` files, and names a module (or an
object) with the names and functions of `Format`, without ``SUFFIXES``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from truez.catalogs.formats._base import Array, Columns, Format, Header, Layout
from truez.support.plugins import Plugin


def suffix_of(name: str) -> str:
    """The suffix that an entry point is named after."""
    return "." + name.lower().lstrip(".")


@dataclass(frozen=True)
class PluginFormat:
    """A format of another package, whose own defects become errors that name it."""

    plugin: Plugin
    module: Any

    @property
    def NAME(self) -> str:  # noqa: N802 - as modules of formats name it
        """What the format is called."""
        return str(self.module.NAME)

    @property
    def SUFFIXES(self) -> tuple[str, ...]:  # noqa: N802
        """Its suffix."""
        return (suffix_of(self.plugin.name),)

    def header(self, path: Path) -> Header:
        """See `truez.catalogs.formats._base.Format`."""
        with self.plugin.running():
            found = self.module.header(path)
        if not isinstance(found, Header):
            raise self.plugin.broken(f"header() returns a {type(found).__name__}, and no Header")
        return found

    def chunks(self, path: Path, names: Sequence[str], rows: int) -> Iterator[Columns]:
        """See `truez.catalogs.formats._base.Format`."""
        with self.plugin.running():
            yield from self.module.chunks(path, names, rows)

    def write(self, path: Path, layout: Layout, chunks: Iterable[Mapping[str, Array]]) -> None:
        """See `truez.catalogs.formats._base.Format`."""
        with self.plugin.running():
            self.module.write(path, layout, chunks)


def plugin_format(plugin: Plugin, found: Any) -> Format:
    """The format that a plug-in adds.

    Raises
    ------
    PluginError
        If names or functions of a format are missing.
    """
    functions = ("header", "chunks", "write")
    absent = [name for name in functions if not callable(getattr(found, name, None))]
    if not isinstance(getattr(found, "NAME", None), str):
        absent.insert(0, "NAME")
    if absent:
        raise plugin.broken(f"{plugin.entry.value} has no {', '.join(absent)}")
    return cast(Format, PluginFormat(plugin, found))
