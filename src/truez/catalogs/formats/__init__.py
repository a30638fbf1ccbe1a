"""Catalogue file formats, chosen by suffix. A new format is one new module in this folder.

One of another package is a plug-in, an entry point ``truez.formats`` (`truez.support.plugins`).

=================  ======  =====  ========  ======================  ===============================
suffix             names   units  metadata  vector columns          read in chunks
=================  ======  =====  ========  ======================  ===============================
.fits .fit         yes     TUNIT  yes       ``v.0``                 memory-mapped (.fits.gz: whole)
.h5 .hdf5          yes     yes    yes       ``v.0``, ``group/x``    yes
.parquet           yes     yes    yes       ``v.0``                 yes
.asdf              yes     yes    yes       ``v.0``, ``group/x``    memory-mapped if uncompressed
.ecsv              yes     yes    yes       ``v.0``                 yes
.csv .tsv          header  a line no        no                      yes
.txt .dat .list    header  a line no        no                      yes
=================  ======  =====  ========  ======================  ===============================

All but .asdf are written in chunks too. A folder ``.parquet`` of Parquet files is one catalogue,
and so are the files of a pattern, ``part-{0..3}.hdf5`` or ``a.*.parquet``, one behind the other.
One of several tables of a FITS or HDF5 file is ``photo.fits#SGC``, by name or number.

Text without a header line has columns ``0``, ``1``, ...; columns of text with one can also be
selected by number. Rockstar's .ascii is read as .list is.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

from truez.catalogs.formats._base import CatalogError, Columns, Format, Header, Layout, regrouped
from truez.catalogs.formats._hdf5_links import following_links
from truez.catalogs.formats._missing import complete, mask_columns, without_masks
from truez.catalogs.formats._plugin import plugin_format, suffix_of
from truez.catalogs.formats._several import joint_chunks, joint_header
from truez.catalogs.formats._sizes import bytes_on_disk, check_size
from truez.support.plugins import PluginError, Registry
from truez.support.tables import files_of, is_pattern, split_table, with_table

__all__ = [
    "CatalogError", "Columns", "Format", "Header", "Layout", "check_room_for", "chunks", "complete",
    "following_links", "format_of", "header", "regrouped",
]  # fmt: skip


@cache
def formats() -> Registry[Format]:
    """Every suffix with the module that reads and writes it, those of plug-ins among them."""
    found: dict[str, Format] = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            file_format = cast(Format, importlib.import_module(f"{__name__}.{module.name}"))
            found.update(dict.fromkeys(file_format.SUFFIXES, file_format))
    return Registry("truez.formats", plugin_format, found, suffix_of)


def format_of(path: Path) -> Format:
    """The format that belongs to the suffix of ``path``."""
    known = formats()
    name = path.name.lower()
    for suffix in sorted(known, key=len, reverse=True):
        if name.endswith(suffix):
            return known[suffix]
    raise CatalogError(
        f"the suffix of {path} is not that of a catalogue format: {', '.join(sorted(known))}"
    )


def _reader(path: Path) -> Format:
    """The format of a file that is there: text with the header of ECSV is ECSV."""
    place, table = split_table(path)
    file_format = format_of(place)
    known = formats()
    if table is not None and file_format not in (known[".fits"], known[".h5"]):
        raise CatalogError(
            f"{path} chooses the table {table!r}, and only FITS and HDF5 files have several"
        )
    if file_format is known[".csv"] and path.is_file():
        with path.open("rb") as file:
            if file.read(7) == b"# %ECSV":
                return known[".ecsv"]
    return file_format


#: Formats whose libraries explain damage in their own terms, which mean nothing to a user.
_BINARY = ("FITS", "HDF5", "Parquet", "ASDF")
_DAMAGE = (OSError, EOFError, ValueError, LookupError, TypeError, RuntimeError)


@contextmanager
def _reading(path: Path, file_format: Format) -> Iterator[None]:
    try:
        yield
    except (CatalogError, PluginError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        if isinstance(error, MemoryError):
            reason = "it states more than the memory holds: it is damaged, or read fewer columns"
        elif file_format.NAME in _BINARY:
            # The libraries raise anything on a damaged file.
            reason = "it is cut off, damaged or of an unusual kind: copy or write it again"
        elif isinstance(
            error, OSError | EOFError | ValueError | LookupError | TypeError | RuntimeError
        ):
            # The first line names the problem.
            words = str(error).strip().splitlines() or [type(error).__name__]
            reason = words[0].rstrip(".")
        else:
            raise
        raise CatalogError(f"{path} cannot be read as {file_format.NAME}: {reason}") from error


def header(path: Path) -> Header:
    """The header of a catalogue file, without the columns that only mark missing values.

    Raises
    ------
    FileNotFoundError
        If there is none.
    CatalogError
        If its suffix is unknown, or it is not what its suffix says.
    """
    place, _ = split_table(path)
    return joint_header(_each_header(path)) if is_pattern(place) else _header(path)


def _each_header(path: Path) -> dict[Path, Header]:
    """The headers of the files of a pattern."""
    place, table = split_table(path)
    files = files_of(place)
    if not files:
        raise FileNotFoundError(f"no file matches {place}")
    return {file: _header(Path(with_table(str(file), table))) for file in files}


def _header(path: Path) -> Header:
    """The header of one file."""
    file_format = _reader(path)
    place, _ = split_table(path)
    if place.is_dir() and file_format is not formats()[".parquet"]:
        raise CatalogError(f"{path} is a folder: only Parquet has catalogues in several files")
    if not place.exists():
        raise FileNotFoundError(f"there is no catalogue file {place}")
    if place.is_file() and place.stat().st_size == 0:
        raise CatalogError(f"{path} is empty")
    with _reading(path, file_format):
        found = file_format.header(path)
    masks = mask_columns(found.columns)
    hidden = set(masks.values())
    columns = tuple(name for name in found.columns if name not in hidden)
    return replace(found, columns=columns, masks=masks)


def check_room_for(path: Path, found: Header, names: Sequence[str], rows: int) -> None:
    """Refuse to read ``rows`` rows at a time of columns that are too large.

    Raises
    ------
    CatalogError
        If the columns are a hundred times larger than their file, or than the memory allows.
    """
    held = sum(map(bytes_on_disk, files_of(split_table(path)[0])))
    check_size(path, found, names, rows, held)


def chunks(
    path: Path, names: Sequence[str], rows: int, masks: Mapping[str, str] | None = None
) -> Iterator[Columns]:
    """The columns ``names`` in pieces of ``rows`` rows, of which the last may be shorter.

    Columns with missing values are masked arrays; ``masks`` are those of the header.
    """
    if is_pattern(split_table(path)[0]):
        _, table = split_table(path)

        def read(file: Path, names: Sequence[str], found: Header) -> Iterator[Columns]:
            return chunks(Path(with_table(str(file), table)), names, rows, found.masks)

        yield from regrouped(joint_chunks(_each_header(path), names, read), rows)
        return
    file_format = _reader(path)
    marked = {name: mask for name, mask in (masks or {}).items() if name in names}
    with _reading(path, file_format):
        pieces = file_format.chunks(path, [*names, *marked.values()], rows)
        yield from regrouped((without_masks(piece, marked) for piece in pieces), rows)
