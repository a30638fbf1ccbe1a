"""Headers in YAML that describe a table: those of ECSV, and of astropy in Parquet and HDF5."""

from __future__ import annotations

from typing import Any

from truez.catalogs.formats._base import unit_text
from truez.catalogs.formats._yaml import loaded


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
