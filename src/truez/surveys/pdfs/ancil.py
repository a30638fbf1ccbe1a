"""Columns beside the p(z) of a file of qp: identifiers of the galaxies, and what else is known.

qp calls them ancil. They are a group of HDF5, a table of FITS, and in ``.pq`` a file of their own:
``pz.pq`` is the files ``pzmeta.pq``, ``pzdata.pq`` and ``pzancil.pq``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from truez.catalogs.catalog import Catalog
from truez.catalogs.formats import header
from truez.support.tables import exists, with_table

_FITS = (".fits", ".fit")


@dataclass(frozen=True)
class QpTables:
    """What a file of qp in FITS or ``.pq`` holds.

    Parameters
    ----------
    layout : str
        Name of the layout of its p(z).
    ancil : Path
        The catalogue of the columns beside them, which need not be there.
    """

    layout: str
    ancil: Path

    @property
    def columns(self) -> list[str]:
        """Columns beside the p(z), none where it has no such table."""
        try:
            return list(header(self.ancil).columns)
        except (FileNotFoundError, ValueError):
            return []


def qp_tables(path: Path) -> QpTables | None:
    """The tables of a file of qp in FITS or ``.pq``; None for other files."""
    try:
        if path.suffix.lower() in _FITS and exists(path):
            meta = Path(with_table(str(path), "META"))
            name = Catalog.read(meta, ["pdf_name"])["pdf_name"][0]
            return QpTables(_text(name), Path(with_table(str(path), "ANCIL")))
        if path.suffix.lower() == ".pq" and not exists(path):
            meta, ancil = (path.with_name(f"{path.stem}{end}.pq") for end in ("meta", "ancil"))
            # The name may be bytes, which no column of a catalogue is.
            name = pq.read_table(meta, columns=["pdf_name"])["pdf_name"][0].as_py()
            return QpTables(_text(name), ancil)
    except (OSError, ValueError, LookupError):  # without such a table, or none of p(z)
        return None
    return None


def whole_of(path: Path) -> Path | None:
    """What qp calls the files of ``.pq`` of which this one is a part; None where it is none."""
    for part in ("data", "meta", "ancil"):
        stem = path.stem.removesuffix(part)
        whole = path.with_name(f"{stem}.pq")
        if path.suffix.lower() == ".pq" and stem not in ("", path.stem) and qp_tables(whole):
            return whole
    return None


def _text(name: object) -> str:
    return name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)


def ancil_columns(path: Path, group: str | None = None) -> list[str]:
    """Columns beside the p(z) of a file of qp, of which one may be that of identifiers."""
    tables = qp_tables(path)
    if tables is not None:
        return tables.columns
    start = ancil_group(group)
    return [name.removeprefix(start) for name in header(path).columns if name.startswith(start)]


def ancil_group(group: str | None) -> str:
    """What the columns of the group ``ancil`` of HDF5 begin with."""
    return f"{group}/ancil/" if group else "ancil/"
