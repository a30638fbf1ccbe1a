"""HATS catalogues (LSST, and others of LINCC Frameworks): patches are read from them as they are.

Such a catalogue is a folder of Parquet files, each of one HEALPix pixel in nested order, of which
all hold about as many rows: ``dataset/Norder=5/Dir=0/Npix=1234.parquet`` (or a folder of that name,
``Npix=1234/``, and without ``dataset`` in older ones); ``partition_info.csv`` lists the pixels. Of
a collection, a folder with ``collection.properties``, its main catalogue is read. Rows are numbered
from 0 through the files in the order of the pixels on the sky.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from truez.catalogs.formats import CatalogError
from truez.catalogs.hats_folder import catalog_in, pixel_path, pixels_in
from truez.catalogs.locations import Location, location_of
from truez.catalogs.stream import CatalogStream
from truez.mesh.healpix import centers
from truez.mesh.sphere import separation
from truez.sky.partition.routing import Router
from truez.sky.partition.runs import schema_of_patches
from truez.sky.partition.sky_input import CORE, ROW, Places, SkyInput

Ints = NDArray[np.int64]
Names = tuple[str, ...] | None
_BATCH = 2**17
#: Distance of the corners of a pixel from its centre in square roots of its area.
_CORNER = 1.3


@dataclass(frozen=True, eq=False)
class HatsCatalog:
    """A catalogue in pixels of the sky.

    Parameters
    ----------
    given : SkyInput
    name : str
        Of the sample, for messages.
    orders, pixels, rows : (n,) ints
        Of the files, in the order of the sky; -1 rows where the list does not say.
    """

    given: SkyInput
    name: str
    orders: Ints
    pixels: Ints
    rows: Ints
    _location: Location = field(repr=False)
    _opened: dict[tuple[int, Names], CatalogStream] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, given: SkyInput, name: str) -> HatsCatalog:
        """Read the list of pixels.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        given = replace(given, path=catalog_in(given.path))
        listed = np.array(pixels_in(given.path), np.int64)
        orders, pixels, rows = listed.T
        order = np.argsort(pixels << 2 * (29 - orders), kind="stable")
        return cls(given, name, orders[order], pixels[order], rows[order],
                   location_of(given.path))  # fmt: skip

    @property
    def num_rows(self) -> int:
        """Rows of all files."""
        return int(self.first[-1])

    def streams(self) -> Iterator[tuple[int, CatalogStream]]:
        """All files, with the numbers of their first rows."""
        for place in range(len(self.pixels)):
            yield int(self.first[place]), self._stream(place)

    def check(self) -> None:
        """Raise if the first file has not the columns that are named."""
        stream = self._stream(0)
        Places(self.given, stream.schema, stream.row_in_words)

    def read(self, router: Router, number: int, columns: Sequence[str] | None = None) -> Any:
        """The galaxies that a patch needs, as a table with the columns of a partition's files.

        Parameters
        ----------
        router : Router
        number : int
            Of the patch.
        columns : sequence of str, optional
            Those that are read besides directions and redshifts, by default all that are given.
        """
        wanted = None if columns is None else tuple(columns)
        parts, schema = [], None
        for first, stream in self._streams(router, number, wanted):
            places = Places(self.given, stream.schema, stream.row_in_words)
            schema = schema_of_patches(stream.schema)
            for start, table in stream.batches(_BATCH):
                found = router.inside(number, *places.of(start, table))
                if len(found.rows):
                    own = table.combine_chunks().take(pa.array(found.rows))
                    own = own.append_column(ROW, pa.array(found.rows + start + first))
                    parts.append(own.append_column(CORE, pa.array(found.core)).cast(schema))
        if schema is None:
            schema = schema_of_patches(self._stream(0, wanted).schema)
        return pa.concat_tables(parts) if parts else schema.empty_table()

    def _streams(
        self, router: Router, number: int, columns: Names
    ) -> Iterator[tuple[int, CatalogStream]]:
        """The files that may hold galaxies of a patch, with the numbers of their first rows."""
        box = router.patches[number].box
        reach = np.hypot(*np.maximum(np.abs(box.lower[:2]), np.abs(box.upper[:2]))) / box.chi_ref
        angle = np.degrees(2 * np.arcsin(min(reach / 2, 1.0))) + router.slack * 1.5
        near = np.zeros(len(self.pixels), bool)
        for order in np.unique(self.orders):
            own = self.orders == order
            away = separation(*centers(self.pixels[own], 2**order), box.ra, box.dec)
            near[own] = away <= angle + np.degrees(_CORNER * np.sqrt(np.pi / 3) / 2**order)
        for place in np.flatnonzero(near):
            yield int(self.first[place]), self._stream(int(place), columns)

    @cached_property
    def first(self) -> Ints:
        """Number of the first row of each file, and of all rows."""
        rows = [
            self._stream(place).num_rows or 0 if known < 0 else int(known)
            for place, known in enumerate(self.rows)
        ]
        return np.concatenate([[0], np.cumsum(rows)])

    def _stream(self, place: int, columns: Names = None) -> CatalogStream:
        key = place, columns
        if key not in self._opened:
            self._opened[key] = self._found(place, columns)
        return self._opened[key]

    def _found(self, place: int, columns: Names) -> CatalogStream:
        given = self.given if columns is None else replace(self.given, columns=columns)
        order, pixel = int(self.orders[place]), int(self.pixels[place])
        name = pixel_path(order, pixel)
        for path in (f"dataset/{name}.parquet", f"{name}.parquet", f"dataset/{name}", name):
            if self._location.exists(self._location.inside(path)):
                whole = self.given.path.rstrip("/") + "/" + path
                stream = replace(given, path=whole).open(self.name)
                return stream if place == 0 else _as(stream, self._stream(0, columns), whole)
        raise FileNotFoundError(
            f"{self.given.path} lists the pixel {pixel} of order {order}, and has no file of it: "
            "copy it again"
        )


def _as(stream: CatalogStream, first: CatalogStream, path: str) -> CatalogStream:
    """A file with the columns and types of the first one."""
    lost = next((name for name in first.schema.names if name not in stream.schema.names), None)
    if lost is not None:
        raise CatalogError(
            f"{path} has no column {lost!r}, which files before it have: write it with the same "
            "columns in all files"
        )
    return replace(stream, schema=first.schema)
