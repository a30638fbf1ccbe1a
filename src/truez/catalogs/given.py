"""Catalogues from the objects that hold them in Python: tables, mappings, arrays, paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.table import Table
from numpy.typing import NDArray

from truez.catalogs.catalog import Catalog
from truez.catalogs.formats._missing import given_column, lacking, with_value
from truez.support.checks import plain, shown

#: The accepted forms of a catalogue, for error messages.
FORMS = (
    "a path, a truez.Catalog, an astropy Table, a DataFrame, a mapping of arrays, or positions "
    "(n, 3)"
)


def as_catalog(
    value: Any, columns: Sequence[str] | None = None, *, name: str, keep_missing: bool = False
) -> Catalog:
    """A catalogue from a file or from an object in memory.

    Parameters
    ----------
    value : path, Catalog, astropy Table, DataFrame of pandas or polars, mapping of arrays, (n, 3)
        Units of columns are kept where they have one. Arrays of shape (n, m) are vector columns,
        ``name.0``, ``name.1``, ...; positions alone are the columns x, y, z.
    columns : sequence of str, optional
        Those that are needed: of a file only these are read.
    name : str
        Of the argument, for messages.
    keep_missing : bool
        Accept masked values, which stay masked.

    Raises
    ------
    ValueError
        If it has another type, or a column holds masked values, or values other than numbers and
        text.
    FileNotFoundError
        If there is no such file.
    """
    if isinstance(value, Catalog):
        return value
    if isinstance(value, str | Path):
        try:
            return Catalog.read(value, columns)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    found = _columns(value)
    if found is None:
        return _positions(value, name)
    wanted = None if columns is None else {column.partition(".")[0] for column in columns}
    arrays: dict[str, NDArray[Any]] = {}
    units: dict[str, str] = {}
    for column, values in found.items():
        if wanted is not None and column not in wanted and column not in (columns or ()):
            continue
        array, unit = _plain(values, f"column {column!r} of {name}", keep_missing)
        parts = {column: array}
        if array.ndim == 2:
            parts = {f"{column}.{i}": part for i, part in enumerate(array.T)}
        arrays |= parts
        if unit:
            units |= dict.fromkeys(parts, unit)
    if not arrays and found:
        missing = ", ".join(columns or ())
        raise ValueError(f"{name} has no column {missing}: it has {', '.join(found)}")
    if not arrays:
        raise ValueError(f"{name} holds no columns")
    catalog = Catalog(arrays, units)
    if len(catalog) == 0:
        raise ValueError(f"{name} holds no rows")
    return catalog


def column_pair(text: str, option: str) -> tuple[str, str]:
    """The two columns of ``COLUMN`` or ``COLUMN:COLUMN``.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> column_pair("ID", "pdf_id"), column_pair("ID:object_id", "pdf_id")
    (('ID', 'ID'), ('ID', 'object_id'))
    """
    parts = [part.strip() for part in text.split(":")]
    if len(parts) > 2 or not all(parts):
        raise ValueError(f"{option} must be COLUMN or COLUMN:COLUMN, not {shown(text)}")
    return parts[0], parts[-1]


def ids_of(value: Any, column: str, *, name: str) -> NDArray[Any]:
    """A column of identifiers, a masked array where some are missing.

    Parameters
    ----------
    value : object
        As for `as_catalog`, except a path.
    column : str
    name : str
        Of the argument, for messages.

    Returns
    -------
    array (n,)
        Integers in their own type, also beside missing values.

    Raises
    ------
    ValueError
        If there is no such column.
    """
    found = None if isinstance(value, Catalog) else _columns(value)
    if found is None or column not in found:
        return as_catalog(value, [column], name=name)[column]
    return given_column(found[column])


def names_of(value: Any, name: str) -> dict[str, str]:
    """Names of the columns of an object in memory, each with its unit, empty where it has none.

    Parameters
    ----------
    value : object
        As for `as_catalog`, except a path.
    name : str
        Of the argument, for messages.
    """
    found = None if isinstance(value, Catalog) else _columns(value)
    if found is None:
        catalog = as_catalog(value, name=name)
        return {column: catalog.units.get(column, "") for column in catalog.columns}
    return {column: str(getattr(x, "unit", None) or "") for column, x in found.items()}


def _columns(value: Any) -> dict[str, Any] | None:
    """The columns of a table or a mapping; None for another object."""
    if isinstance(value, Table):
        return {str(column): value[column] for column in value.colnames}
    if isinstance(value, pa.Table):
        return {str(column): value[column] for column in value.column_names}
    if isinstance(value, Mapping):
        return {str(column): values for column, values in value.items()}
    if hasattr(value, "columns") and hasattr(value, "__getitem__"):
        return {str(column): value[column] for column in value.columns}
    return None


def _positions(value: Any, name: str) -> Catalog:
    unit = str(getattr(value, "unit", None) or "")
    try:
        array = np.asarray(value)
    except Exception:  # the conversion of a foreign object can raise anything
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be {FORMS}, not {type(value).__name__}")
    if array.ndim != 2 or array.shape[1] != 3:
        turned = array.ndim == 2 and array.shape[0] == 3
        hint = ": transpose it" if turned else ""
        raise ValueError(f"{name} must be positions of shape (n, 3), not {array.shape}{hint}")
    if len(array) == 0:
        raise ValueError(f"{name} holds no rows")
    plain(getattr(value, "value", value) if unit else value, f"rows of {name}")
    return Catalog(dict(zip("xyz", array.T, strict=True)), dict.fromkeys("xyz", unit))


def _plain(values: Any, what: str, keep_missing: bool) -> tuple[NDArray[Any], str]:
    """A column as array, and its unit as text where it has one."""
    unit = str(getattr(values, "unit", None) or "")
    lost = lacking(values)
    if lost.any() and keep_missing:
        known, _ = _plain(with_value(values, lost), what, keep_missing)
        shape = (len(lost), *known.shape[1:])
        masked = np.ma.MaskedArray(np.zeros(shape, known.dtype), mask=True)
        masked[~lost] = known
        return masked, unit
    if lost.any():
        raise ValueError(
            f"{what} has no value in {int(lost.sum())} of {len(lost)} rows: leave those rows out"
        )
    values = getattr(values, "value", values) if hasattr(values, "unit") else values
    array = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    if array.dtype.kind == "O" and len(array) and not isinstance(array.flat[0], str | bytes):
        raise ValueError(f"{what} must hold numbers or text, and no missing values")
    return array, unit
