"""Methods of plug-ins: what an entry point of the group ``truez.methods`` names.

That is a `Method`, for surveys in a box, a `truez.sky.registry.SkyMethod`, for those on the sky, or
a tuple of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass, replace
from functools import wraps
from typing import Any, TypeVar

from truez.reconstruct.settings import Method
from truez.support.plugins import Plugin

T = TypeVar("T")


def plugin_method(plugin: Plugin, found: Any) -> Method:
    """The method for surveys in a box that a plug-in adds.

    Raises
    ------
    PluginError
        If there is none.
    """
    method = one_of_kind(plugin, found, Method, "is for surveys on the sky (--sky), not in a box")
    check, serves = method.check, method.serves
    return replace(
        method,
        run=guarded(plugin, method.run),
        check=None if check is None else guarded(plugin, check),
        serves=None if serves is None else guarded(plugin, serves),
    )


def one_of_kind(plugin: Plugin, found: Any, kind: type[T], others: str) -> T:
    """The one of a kind among what an entry point names, with settings that are a dataclass.

    ``others`` says what those of another kind are for.
    """
    given = found if isinstance(found, tuple) else (found,)
    mine = [one for one in given if isinstance(one, kind)]
    if not mine:
        if given and all(type(one).__name__ in ("Method", "SkyMethod") for one in given):
            raise plugin.unfit(others)
        raise plugin.broken(
            f"{plugin.entry.value} is a {type(found).__name__}, and must be a truez.reconstruct."
            "Method, a truez.sky.registry.SkyMethod or a tuple of both"
        )
    settings = getattr(mine[0], "settings", None)
    if not (isinstance(settings, type) and is_dataclass(settings)):
        raise plugin.broken("the settings of a method must be a dataclass")
    return mine[0]


def guarded(plugin: Plugin, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a plug-in, whose own defects become errors that name the package."""

    @wraps(function)
    def run(*arguments: Any, **settings: Any) -> Any:
        with plugin.running():
            return function(*arguments, **settings)

    return run
