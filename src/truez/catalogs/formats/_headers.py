"""Headers in YAML that describe a table: those of ECSV, and of astropy in Parquet and HDF5."""

from __future__ import annotations

from typing import Any

import yaml

from truez.catalogs.formats._base import unit_text


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
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
        For other text, and for objects of Python.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        line = "" if place is None else f" in line {place.line + 1}"
        raise ValueError(f"its header is damaged{line}: {getattr(error, 'problem', '')}") from None


def unit_of(column: dict[str, Any]) -> str:
    """The unit of a column that a header describes, empty where it has none."""
    unit = column.get("unit")
    return unit_text(unit.get("unit") if isinstance(unit, dict) else unit)


def units_of(text: str) -> dict[str, str]:
    """Units by column in astropy's description of a table, none where it is another text."""
    try:
        found = {str(column["name"]): unit_of(column) for column in loaded(text)["datatype"]}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}
    return {name: unit for name, unit in found.items() if unit}
