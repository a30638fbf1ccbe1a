"""Plug-ins: what other packages add to truez, found by the entry points of their metadata.

A package that states, in its ``pyproject.toml``, ::

    [project.entry-points."truez.methods"]
    smoothed-spec = "my_package.methods:smoothed_spec"

adds the method ``smoothed-spec``. Nothing of the package is imported before it is asked for by that
name, and one that is broken is an error of one sentence only then. A `Registry` is truez's own
things of one kind together with those of plug-ins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

#: The groups of entry points, and what one of each is called.
GROUPS = {"truez.methods": "method", "truez.formats": "catalogue format"}
#: Errors that are about what a user gave, or the machine, and none of the plug-in.
_OF_USERS = (ValueError, OSError, MemoryError)


class PluginError(ValueError):
    """A plug-in that cannot be used; its message is one sentence that names the package."""


@dataclass(frozen=True)
class Plugin:
    """A thing that another package adds.

    Parameters
    ----------
    entry : EntryPoint
        As the metadata of the package states it.
    """

    entry: EntryPoint

    @property
    def name(self) -> str:
        """Its name, such as that of a method or the suffix of a format."""
        return self.entry.name

    @property
    def package(self) -> str:
        """The package that it is of."""
        return self.entry.dist.name if self.entry.dist is not None else "an unknown package"

    @property
    def version(self) -> str:
        """The version of the package."""
        return self.entry.dist.version if self.entry.dist is not None else "unknown"

    def __str__(self) -> str:
        kind = GROUPS.get(self.entry.group, "plug-in")
        return f"the {kind} {self.name!r} of the package {self.package} {self.version}"

    def broken(self, reason: str) -> PluginError:
        """The error of a plug-in that cannot be used, for a reason."""
        return PluginError(f"{self} cannot be used: {reason}; update or uninstall {self.package}")

    def unfit(self, reason: str) -> PluginError:
        """The error of a plug-in that is for something else."""
        return PluginError(f"{self} {reason}")

    def load(self) -> Any:
        """What it adds, imported now.

        Raises
        ------
        PluginError
            Whatever goes wrong in the package.
        """
        try:
            return self.entry.load()
        except Exception as error:
            raise self.broken(_words(error)) from error

    @contextmanager
    def running(self) -> Iterator[None]:
        """While code of the plug-in runs: its own defects become errors that name the package."""
        try:
            yield
        except _OF_USERS:
            raise
        except Exception as error:
            raise PluginError(f"{self} failed: {_words(error)}") from error


def _words(error: Exception) -> str:
    """The kind of an error and the first line of its text."""
    lines = str(error).strip().splitlines()
    return type(error).__name__ + (f": {lines[0].rstrip('.')}" if lines else "")


def plugins(group: str) -> list[Plugin]:
    """The plug-ins of installed packages, one of the keys of `GROUPS`; none is imported."""
    return [Plugin(entry) for entry in entry_points(group=group)]


T = TypeVar("T")


class Registry(MutableMapping[str, T]):
    """truez's own things of a kind by their names, and those of plug-ins.

    A plug-in is imported when it is taken out by its name. Where truez has a thing of that name
    itself, or one was registered, that is it.

    Parameters
    ----------
    group : str
        The group of entry points.
    accept : function of (Plugin, object)
        Returns what belongs in here of what a plug-in adds; raises `Plugin.broken` of what does
        not.
    own : mapping
        Those of truez.
    key : function of str, optional
        The key of a plug-in in here, from its name.
    """

    def __init__(
        self,
        group: str,
        accept: Callable[[Plugin, Any], T],
        own: Mapping[str, T],
        key: Callable[[str], str] = str,
    ) -> None:
        self._group = group
        self._accept = accept
        self._own = dict(own)
        self._key = key
        self._loaded: dict[str, T] = {}

    @cached_property
    def _plugins(self) -> dict[str, list[Plugin]]:
        found: dict[str, list[Plugin]] = {}
        for plugin in plugins(self._group):
            found.setdefault(self._key(plugin.name), []).append(plugin)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._plugins

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from (name for name in self._plugins if name not in self._own)

    def __len__(self) -> int:
        return len(self._own.keys() | self._plugins.keys())

    def __getitem__(self, name: str) -> T:
        """The thing of that name.

        Raises
        ------
        KeyError
            If there is none.
        PluginError
            If it is of a plug-in that is broken, or of two.
        """
        if name in self._own:
            return self._own[name]
        if name not in self._loaded:
            first, *others = self._plugins[name]
            if others:
                other = others[0].package
                raise PluginError(
                    f"{first} is one of the package {other} as well: uninstall one of the two"
                )
            self._loaded[name] = self._accept(first, first.load())
        return self._loaded[name]

    def __setitem__(self, name: str, value: T) -> None:
        self._own[name] = value

    def __delitem__(self, name: str) -> None:
        del self._own[name]

    def clear(self) -> None:
        """Take out all but those of plug-ins."""
        self._own.clear()

    def own(self, name: str) -> bool:
        """Whether one of this name is truez's own, or registered, and of no plug-in."""
        return name in self._own

    def usable(self) -> Iterator[tuple[str, T]]:
        """Names and things, without those of plug-ins that are broken."""
        for name in self:
            try:
                yield name, self[name]
            except PluginError:
                continue
