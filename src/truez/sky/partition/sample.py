"""A sample of a catalogue that is divided: its galaxies in some small pixels of the sky.

What all patches share, such as N(z), is measured on it. Pixels of 3.4 arcmin, anywhere on the sky,
are drawn by their numbers alone, so that galaxies that two catalogues share are in the samples of
both, and every process draws the same. It is one pass over the columns that are needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from truez.catalogs.hats_folder import is_hats
from truez.mesh.healpix import nested
from truez.sky.partition.hats import HatsCatalog
from truez.sky.partition.making import SHARED
from truez.sky.partition.sky_input import Places, SkyInput
from truez.sky.partition.stored import Partition
from truez.support.files import atomic_path, system_errors
from truez.support.progress import Progress, silent

Array = NDArray[np.float64]
#: Resolution of the pixels (3.4 arcmin), and rows that are read at a time.
_NSIDE, _ROWS = 1024, 2**18
_KEY = b"truez"


@dataclass(frozen=True)
class GalaxySample:
    """A sample in its file.

    Parameters
    ----------
    path : Path
        A Parquet file with the columns that were asked for; angles are in degrees.
    rows : int
        Galaxies of the sample.
    total : int
        Galaxies of the catalogue.
    """

    path: Path
    rows: int
    total: int

    @property
    def share(self) -> float:
        """Share of the galaxies that are in the sample."""
        return self.rows / self.total


def in_sample(ra: Array, dec: Array, share: float) -> NDArray[np.bool_]:
    """Which directions [deg] are in the pixels of a sample with a share of the sky.

    Pixels of a smaller share are among those of a larger one.

    Examples
    --------
    >>> import numpy as np
    >>> from truez.sky.partition.sample import in_sample
    >>> ra = np.linspace(0, 360, 100_000)
    >>> few, more = in_sample(ra, 0 * ra, 0.1), in_sample(ra, 0 * ra, 0.2)
    >>> bool((few <= more).all()), round(float(few.mean()), 1), round(float(more.mean()), 1)
    (True, 0.1, 0.2)
    """
    # The finalizer of SplitMix64 (Steele, Lea & Flood 2014) spreads the numbers of pixels evenly.
    x = nested(ra, dec, _NSIDE).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return np.asarray((x >> np.uint64(11)) * 2.0**-53 < share)


def draw_sample(
    partition: Partition, name: str, columns: Sequence[str], share: float,
    progress: Progress = silent,
) -> GalaxySample:  # fmt: skip
    """The sample of a catalogue, from its file in the folder of the partition if it is there.

    Parameters
    ----------
    partition : Partition
    name : {"photo", "spec"}
    columns : sequence of str
        Those that are needed besides directions and redshifts.
    share : float
        Of the sky; above 1 all galaxies are in it.
    progress : Progress

    Raises
    ------
    ValueError
        If a file cannot be read, or has no such column.
    """
    given = partition.given(name)
    given = replace(given, columns=[*given.places, *columns])
    path = partition.folder / SHARED / f"{name}.parquet"
    wanted = {"made_from": partition.about(name), "columns": list(columns), "share": share}
    wanted = json.loads(json.dumps(wanted))
    found = _found(path, wanted)
    if found is not None:
        return found
    total, writer, rows, read = partition.num_rows(name), None, 0, 0
    with atomic_path(path) as temporary, system_errors():
        try:
            for places, first, table in _batches(given, name):
                ra, dec, _, _ = places.of(first, table)
                own = np.flatnonzero(in_sample(ra, dec, share))
                part = _in_degrees(table.combine_chunks().take(pa.array(own)), places, ra[own],
                                   dec[own])  # fmt: skip
                writer = writer or pq.ParquetWriter(temporary, part.schema, compression="zstd")
                writer.write_table(part)
                rows, read = rows + len(own), read + table.num_rows
                progress(f"{name}: sample", read, total)
            assert writer is not None
            about = {**wanted, "rows": rows, "total": read}
            writer.add_key_value_metadata({_KEY: json.dumps(about)})
        finally:
            if writer is not None:
                writer.close()
    return GalaxySample(path, rows, read)


def _found(path: Path, wanted: dict[str, Any]) -> GalaxySample | None:
    """A sample that was drawn before from the same."""
    if not path.is_file():
        return None
    try:
        about = json.loads(pq.read_metadata(path).metadata[_KEY])
    except (pa.ArrowException, OSError, KeyError, ValueError):
        return None
    if any(about.get(key) != value for key, value in wanted.items()):
        return None
    return GalaxySample(path, about["rows"], about["total"])


def _batches(given: SkyInput, name: str) -> Iterator[tuple[Places, int, Any]]:
    """The rows of an input, with where they are."""
    streams = [given.open(name)] if not is_hats(given.path) else (
        stream for _, stream in HatsCatalog.open(given, name).streams()
    )  # fmt: skip
    for stream in streams:
        places = Places(given, stream.schema, stream.row_in_words)
        for first, table in stream.batches(_ROWS):
            yield places, first, table


def _in_degrees(table: Any, places: Places, ra: Array, dec: Array) -> Any:
    """The table with directions in degrees, which is stated."""
    for column, values in zip(places.angles, (ra, dec), strict=True):
        field = pa.field(column, pa.float64(), metadata={"unit": "deg"})
        table = table.set_column(table.schema.get_field_index(column), field, pa.array(values))
    return table
