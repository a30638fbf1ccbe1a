"""Quantiles of p(z) as lists of one length in a column of Parquet, which states their levels.

A column of fixed-size lists of redshifts, whose metadata ``quants`` hold the cumulative
probabilities that all rows share (JSON). So a row takes its redshifts alone, and the column says
what they are. Rows that are NaN have no p(z).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from truez.surveys.pdfs.layouts import PdfError, check_grid

#: Where the column states its levels, and that they are sharpened ones.
_LEVELS, _SHARPENED = b"quants", b"sharpened"


def quantile_field(name: str, levels: ArrayLike, *, sharpened: bool = False) -> Any:
    """The field of a column of quantiles.

    Parameters
    ----------
    name : str
    levels : (m,) array
        Cumulative probabilities, ascending.
    sharpened : bool
        Whether they hold the map already, so that no map takes them.

    Returns
    -------
    pyarrow.Field

    Examples
    --------
    >>> from truez.surveys.pdfs.quantile_lists import levels_of, quantile_field
    >>> levels_of(quantile_field("z_quantiles", [0.16, 0.5, 0.84])).tolist()
    [0.16, 0.5, 0.84]
    """
    values = np.asarray(levels, np.float64)
    about = {_LEVELS: json.dumps(values.tolist()).encode()}
    if sharpened:
        about[_SHARPENED] = b"true"
    return pa.field(name, pa.list_(pa.float32(), len(values)), metadata=about)


def quantile_lists(values: NDArray[np.float32]) -> Any:
    """Redshifts (n, m) as the arrow array of such a column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def numbers_of_lists(column: Any) -> NDArray[np.float32]:
    """Redshifts (n, m) of an arrow column or array of lists of one length, all of them there."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = values.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float32).reshape(-1, values.type.list_size)


def levels_of(item: Any) -> NDArray[np.float64] | None:
    """The levels that a column states; None for other columns.

    Raises
    ------
    PdfError
        If they are not those of quantiles.
    """
    stated = (item.metadata or {}).get(_LEVELS)
    if stated is None or not pa.types.is_fixed_size_list(item.type):
        return None
    if not pa.types.is_floating(item.type.value_type):
        return None
    where = f"the column {item.name!r}"
    try:
        values = np.asarray(json.loads(stated), np.float64)
    except ValueError as error:
        raise PdfError(f"{where} states quants that are no numbers: write it again") from error
    return check_grid("quant", values, item.type.list_size, where)


def is_sharpened(item: Any) -> bool:
    """Whether a column says that its p(z) hold a map already."""
    return _SHARPENED in (item.metadata or {})
