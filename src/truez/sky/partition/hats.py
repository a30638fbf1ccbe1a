"""HATS catalogues (LSST, and others of LINCC Frameworks): patches are read from them as they are.

Such a catalogue is a folder of Parquet files, each of one HEALPix pixel in nested order, of which
all hold about as many rows: ``dataset/Norder=5/Dir=0/Npix=1234.parquet`` (or a folder of that name,
``Npix=1234/``, and without ``dataset`` in older ones); ``partition_info.csv`` lists the pixels.
Rows are numbered from 0 through the files in the order of the pixels on the sky.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from truez.catalogs.formats import CatalogError
from truez.catalogs.locations import Location, location_of
from truez.catalogs.stream import CatalogStream
from truez.mesh.healpix import centers
from truez.mesh.sphere import separation
from truez.sky.partition.routing import Router
from truez.sky.partition.runs import schema_of_patches
from truez.sky.partition.sky_input import CORE, ROW, Places, SkyInput

Ints = NDArray[np.int64]
#: The list of the pixels.
INFO = "partition_info.csv"
_BATCH = 2**17
#: Distance of the corners of a pixel from its centre in square roots of its area.
_CORNER = 1.3


def is_hats(path: str) -> bool:
    """Whether a path is the folder of a HATS catalogue."""
    try:
        return location_of(path).open_text(INFO) is not None
    except OSError:
        return False


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
    _opened: dict[int, CatalogStream] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, given: SkyInput, name: str) -> HatsCatalog:
        """Read the list of pixels.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        location = location_of(given.path)
        text = location.open_text(INFO)
        if text is None:
            raise FileNotFoundError(f"{given.path} is no HATS catalogue: it has no {INFO}")
        try:
            listed = [(int(row["Norder"]), int(row["Npix"]), int(row.get("num_rows") or -1))
                      for row in csv.DictReader(io.StringIO(text))]  # fmt: skip
            orders, pixels, rows = np.array(listed, np.int64).reshape(-1, 3).T
        except (KeyError, TypeError, ValueError):
            raise CatalogError(
                f"{given.path}/{INFO} must list the columns Norder and Npix: copy it again"
            ) from None
        if len(orders) == 0 or (orders < 0).any() or (orders > 24).any() or (
            (pixels < 0) | (pixels >= 12 * 4**orders)
        ).any():  # fmt: skip
            raise CatalogError(f"{given.path}/{INFO} lists no pixels, or none of HEALPix: copy it "
                               "again")  # fmt: skip
        order = np.argsort(pixels << 2 * (29 - orders), kind="stable")
        return cls(given, name, orders[order], pixels[order], rows[order], location)

    @property
    def num_rows(self) -> int:
        """Rows of all files."""
        return int(self._first[-1])

    def streams(self) -> Iterator[tuple[int, CatalogStream]]:
        """All files, with the numbers of their first rows."""
        for place in range(len(self.pixels)):
            yield int(self._first[place]), self._stream(place)

    def check(self) -> None:
        """Raise if the first file has not the columns that are named."""
        stream = self._stream(0)
        Places(self.given, stream.schema, stream.row_in_words)

    def read(self, router: Router, number: int) -> Any:
        """The galaxies that a patch needs, as a table with the columns of a partition's files."""
        parts, schema = [], None
        for first, stream in self._streams(router, number):
            places = Places(self.given, stream.schema, stream.row_in_words)
            schema = schema_of_patches(stream.schema)
            for start, table in stream.batches(_BATCH):
                found = router.inside(number, *places.of(start, table))
                if len(found.rows):
                    own = table.combine_chunks().take(pa.array(found.rows))
                    own = own.append_column(ROW, pa.array(found.rows + start + first))
                    parts.append(own.append_column(CORE, pa.array(found.core)).cast(schema))
        if schema is None:
            schema = schema_of_patches(self._stream(0).schema)
        return pa.concat_tables(parts) if parts else schema.empty_table()

    def _streams(self, router: Router, number: int) -> Iterator[tuple[int, CatalogStream]]:
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
            yield int(self._first[place]), self._stream(int(place))

    @cached_property
    def _first(self) -> Ints:
        """Number of the first row of each file."""
        rows = [
            self._stream(place).num_rows or 0 if known < 0 else int(known)
            for place, known in enumerate(self.rows)
        ]
        return np.concatenate([[0], np.cumsum(rows)])

    def _stream(self, place: int) -> CatalogStream:
        if place not in self._opened:
            self._opened[place] = self._found(place)
        return self._opened[place]

    def _found(self, place: int) -> CatalogStream:
        order, pixel = int(self.orders[place]), int(self.pixels[place])
        name = f"Norder={order}/Dir={pixel // 10000 * 10000}/Npix={pixel}"
        for path in (f"dataset/{name}.parquet", f"{name}.parquet", f"dataset/{name}", name):
            if self._location.exists(self._location.inside(path)):
                whole = self.given.path.rstrip("/") + "/" + path
                return replace(self.given, path=whole).open(self.name)
        raise FileNotFoundError(
            f"{self.given.path} lists the pixel {pixel} of order {order}, and has no file of it: "
            "copy it again"
        )
