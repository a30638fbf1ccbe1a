"""p(z) of the galaxies of a patch as quantiles, in a Parquet file in the order of its redshifts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from truez.sky.partition.sky_input import ROW
from truez.sky.quantiles import QuantileRows
from truez.support.files import atomic_path, system_errors
from truez.surveys.pdfs.quantile_lists import quantile_field, quantile_lists

#: The column of quantiles, before which a prefix may be.
QUANTILES = "z_quantiles"
#: Bytes of one number on a disk, and the power by which those of more grow: neighbours are alike.
_BYTES, _POWER = 4.1, 0.9
#: Rows of a group in a file of a patch: few, as they are joined in the order of the input.
_GROUP_ROWS = 2**10
#: Rows that are held in memory at a time.
_HELD = 2**14


def pdf_bytes(num: int) -> int:
    """Bytes of a number of quantiles of a galaxy on a disk, about.

    Measured with 9 to 137 of them on GAMA, sigma_z = 0.02 (``docs/guides/clusters.md``).
    """
    return round(_BYTES * math.pow(num, _POWER))


def pdf_field(levels: ArrayLike, prefix: str = "") -> Any:
    """The field of the column of quantiles."""
    return quantile_field(f"{prefix}{QUANTILES}", levels, sharpened=True)


def pdf_encoding(schema: Any, column: str) -> dict[str, Any]:
    """How a Parquet file of a schema is compressed: quantiles by the bytes of their numbers.

    That takes 0.7 times the disk.
    """
    others = [
        leaf for leaf in _leaves(schema) if not leaf.startswith(f"{column}.")
    ]  # fmt: skip
    return {"compression": "zstd", "use_dictionary": others,
            "use_byte_stream_split": [f"{column}.list.element"]}  # fmt: skip


def write_pdf_part(
    path: Path, rows: NDArray[np.int64], own: NDArray[np.int64], quantiles: QuantileRows
) -> None:
    """Write p(z) of galaxies by their rows in the input.

    Parameters
    ----------
    path : Path
    rows : (m,) array
        In the input, ascending.
    own : (m,) array
        In the patch, ascending.
    quantiles : QuantileRows
        By rows in the patch.
    """
    about = {"truez": json.dumps({"rows": "of the input"})}
    schema = pa.schema([pa.field(ROW, pa.int64()), pdf_field(quantiles.levels)], about)
    how = pdf_encoding(schema, QUANTILES) | {
        "use_dictionary": False, "column_encoding": {ROW: "DELTA_BINARY_PACKED"},
    }  # fmt: skip
    with (
        atomic_path(path) as temporary, system_errors(),
        pq.ParquetWriter(temporary, schema, **how) as writer,
    ):  # fmt: skip
        for start in range(0, len(rows), _HELD):
            some = own[start : start + _HELD]
            values = quantiles.read(int(some[0]), int(some[-1]) + 1)[some - some[0]]
            table = pa.table([rows[start : start + _HELD], quantile_lists(values)], schema=schema)
            writer.write_table(table, row_group_size=_GROUP_ROWS)


def _leaves(schema: Any) -> list[str]:
    """Names of the columns of numbers of a Parquet file of a schema."""
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    found = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [found.column(number).path for number in range(len(found))]
