"""Recipes: complete named runs as TOML, and how a setting is changed on the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from truez.support.documents import NotTomlError, parsed_toml, read_toml

_REMEDY = "correct the recipe"


def recipe_names() -> list[str]:
    """Names of the recipes that come with truez."""
    return sorted(
        item.name.removesuffix(".toml")
        for item in files(__package__).iterdir()
        if item.name.endswith(".toml")
    )


def read_recipe(
    name: str | Path, overrides: Iterable[str] = (), *, known: Sequence[str] | None = None
) -> dict[str, Any]:
    """Read a recipe that comes with truez, or a TOML file (``.toml``), and change settings of it.

    An override is ``section.setting=value``; the value is TOML (``3``, ``1e-3``, ``true``, ``[1,
    2]``) or else plain text. ``known`` are the names that are of use, by default all. What is wrong
    is a ValueError, an absent file a FileNotFoundError.
    """
    names = recipe_names() if known is None else known
    if str(name).endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise FileNotFoundError(f"there is no recipe file {path}")
        recipe, _ = read_toml(path, remedy=_REMEDY)
    elif str(name) in names:
        recipe = tomllib.loads((files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))
    else:
        raise ValueError(
            f"recipe must be one of {', '.join(names)} or a path that ends in .toml, not "
            f"{str(name)!r}"
        )
    for override in overrides:
        _override(recipe, override)
    return recipe


def _override(recipe: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts) or len(parts) < 2:
        raise ValueError(f"an override has the form section.setting=value, not {override!r}")
    table = recipe
    for part in parts[:-1]:
        if part not in table:
            known = ", ".join(name for name, value in table.items() if isinstance(value, dict))
            raise ValueError(
                f"override {override!r} names no section of the recipe: it has {known or 'none'}"
            )
        table = table[part]
        if not isinstance(table, dict):
            raise ValueError(f"override {override!r} looks into {part}, which is no section")
    remedy = "give a shorter value"
    try:
        found = parsed_toml(f"value = {text}", f"the value of {'.'.join(parts)}", remedy=remedy)
        table[parts[-1]] = found["value"]
    except NotTomlError:
        table[parts[-1]] = text.strip()
