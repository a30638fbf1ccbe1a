"""The files of a HATS catalogue, and a writer of them (IVOA note HATS 1.0).

Such a catalogue is a folder of Parquet files, each of one HEALPix pixel in nested order:
``dataset/Norder=5/Dir=0/Npix=1234.parquet``. ``partition_info.csv`` lists the pixels, and
``hats.properties`` says what the columns are; ``dataset/_common_metadata`` has the schema and
``dataset/_metadata`` the footers of all files. A collection is a folder with
``collection.properties``, which names the catalogue in it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from truez.catalogs.formats import CatalogError
from truez.catalogs.locations import location_of
from truez.support.files import system_errors

#: The list of the pixels, what describes a catalogue, and what describes a collection.
INFO, PROPERTIES, COLLECTION = "partition_info.csv", "hats.properties", "collection.properties"
#: The index on the sky: pixels of order 29 in nested order.
INDEX, INDEX_ORDER = "_healpix_29", 29
_OLD_PROPERTIES = "properties"
_PIXEL = re.compile(r"/Norder=(\d{1,2})/Dir=\d+/Npix=(\d{1,18})(?=[./])")
#: Parts of columns in ``_metadata``, of about 0.5 kB each, which is optional: left out beyond it.
_MOST_PARTS = 2**20


def pixel_path(order: int, pixel: int) -> str:
    """The path of a pixel in the folder ``dataset``, without a suffix.

    Examples
    --------
    >>> from truez.catalogs.hats_folder import pixel_path
    >>> pixel_path(6, 12345)
    'Norder=6/Dir=10000/Npix=12345'
    """
    return f"Norder={order}/Dir={pixel // 10000 * 10000}/Npix={pixel}"


def catalog_in(path: str) -> str:
    """The folder of a HATS catalogue: that of the main one, if the path is of a collection."""
    inner = _properties(path, COLLECTION).get("hats_primary_table_url")
    if inner is None or "://" in inner or inner.startswith("/"):
        return path
    return f"{path.rstrip('/')}/{inner}"


def is_hats(path: str) -> bool:
    """Whether a path is the folder of a HATS catalogue, or of a collection with one."""
    try:
        location = location_of(catalog_in(path))
        return any(location.open_text(name) is not None for name in (INFO, PROPERTIES))
    except OSError:
        return False


def properties_of(path: str) -> dict[str, str]:
    """What describes the catalogue in a folder, empty where nothing does.

    Parameters
    ----------
    path : str
        Local or remote.
    """
    return _properties(path, PROPERTIES) or _properties(path, _OLD_PROPERTIES)


def pixels_in(folder: str | Path) -> list[tuple[int, int, int]]:
    """Order, number and rows of the pixels of a catalogue, -1 rows where it does not say.

    They are those of its list, or where it has none those of its files.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    ValueError
        If the list is damaged, or empty.
    """
    location = location_of(str(folder))
    text = location.open_text(INFO)
    if text is None:
        names = {one for path in location.files() for one in _PIXEL.findall(path)}
        if not names:
            raise FileNotFoundError(f"{folder} is no HATS catalogue: it has no {INFO}")
        return [(int(order), int(pixel), -1) for order, pixel in sorted(names)]
    try:
        found = [(int(row["Norder"]), int(row["Npix"]), int(row.get("num_rows") or -1))
                 for row in csv.DictReader(io.StringIO(text))]  # fmt: skip
    except (KeyError, TypeError, ValueError):
        raise CatalogError(
            f"{folder}/{INFO} must list the columns Norder and Npix: copy it again"
        ) from None
    right = (0 <= order <= 24 and 0 <= pixel < 12 * 4**order for order, pixel, _ in found)
    if not found or not all(right):
        raise CatalogError(f"{folder}/{INFO} lists no pixels, or none of HEALPix: copy it again")
    return found


@dataclass(eq=False)
class HatsWriter:
    """A HATS catalogue that is being written, pixel by pixel.

    Parameters
    ----------
    folder : Path
        An empty one.
    group_rows : int
        Rows of a group of a file.
    num_rows : int
        Rows so far.

    Examples
    --------
    >>> import tempfile, pyarrow as pa
    >>> from pathlib import Path
    >>> from truez.catalogs.hats_folder import HatsWriter, pixels_in, properties_of
    >>> table = pa.table({"ra": [45.0, 45.1], "dec": [1.0, 1.1]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = HatsWriter(Path(folder))
    ...     writer.write(0, 4, [table])
    ...     writer.finish({"obs_collection": "two", "hats_col_ra": "ra", "hats_col_dec": "dec"})
    ...     pixels_in(folder), properties_of(folder)["hats_nrows"]
    ([(0, 4, 2)], '2')
    """

    folder: Path
    group_rows: int = 2**20
    num_rows: int = field(default=0, init=False)
    _listed: list[tuple[int, int, int]] = field(default_factory=list, init=False)
    _schema: Any = field(default=None, init=False, repr=False)
    _footers: Any = field(default=None, init=False, repr=False)
    _parts: int = field(default=0, init=False)

    def write(self, order: int, pixel: int, tables: Iterable[Any]) -> None:
        """Write the file of a pixel; pixels are written in the order of the sky.

        Parameters
        ----------
        order, pixel : int
        tables : iterable of pyarrow.Table
            All of one schema, and not empty.
        """
        name = f"{pixel_path(order, pixel)}.parquet"
        path = self.folder / "dataset" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        found: list[Any] = []
        writer, rows = None, 0
        with system_errors():
            try:
                for table in tables:
                    self._schema = self._schema or table.schema
                    writer = writer or pq.ParquetWriter(
                        path, self._schema, compression="zstd", metadata_collector=found
                    )
                    writer.write_table(table, row_group_size=self.group_rows)
                    rows += table.num_rows
            finally:
                if writer is not None:
                    writer.close()
        self.num_rows += rows
        self._listed.append((order, pixel, rows))
        self._collect(found[0], name)

    def _collect(self, footer: Any, name: str) -> None:
        self._parts += footer.num_row_groups * footer.num_columns
        if self._parts > _MOST_PARTS:
            self._footers = None
            return
        footer.set_file_path(name)
        if self._footers is None:
            self._footers = footer
        else:
            self._footers.append_row_groups(footer)

    def finish(self, properties: Mapping[str, Any]) -> None:
        """Write what describes the catalogue.

        Parameters
        ----------
        properties : mapping
            At least ``obs_collection``, ``hats_col_ra`` and ``hats_col_dec``, in the words of the
            standard.
        """
        inside = self.folder / "dataset"
        with system_errors():
            pq.write_metadata(self._schema, inside / "_common_metadata")
            if self._footers is not None:
                self._footers.write_metadata_file(inside / "_metadata")
        lines = [f"{order},{pixel},{rows}" for order, pixel, rows in self._listed]
        text = "\n".join(["Norder,Npix,num_rows", *lines, ""])
        (self.folder / INFO).write_text(text, encoding="utf-8")
        size = sum(path.stat().st_size for path in inside.rglob("*") if path.is_file())
        share = sum(4.0**-order / 12 for order, _, _ in self._listed)
        found = {
            "dataproduct_type": "object", **properties, "hats_nrows": self.num_rows,
            "hats_npix_suffix": ".parquet",
            "hats_order": max(order for order, _, _ in self._listed),
            "hats_max_rows": max(rows for _, _, rows in self._listed),
            "hats_estsize": size // 1024, "moc_sky_fraction": f"{share:.5g}",
            "hats_version": "v1.0",
        }  # fmt: skip
        lines = [f"{name}={_escaped(str(value))}" for name, value in found.items()]
        text = "\n".join(["#HATS catalog", *lines, ""])
        (self.folder / PROPERTIES).write_text(text, encoding="utf-8")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def _properties(path: str, name: str) -> dict[str, str]:
    """The values of a file of properties, empty where there is none."""
    try:
        text = location_of(path).open_text(name)
    except (OSError, UnicodeDecodeError):
        return {}
    found = {}
    for line in (text or "").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith(("#", "!")):
            # As Java writes them, colons have a backslash.
            value = value.strip().replace("\\\\", "\0").replace("\\", "").replace("\0", "\\")
            found[key.strip()] = value
    return found
