"""FITS: the table of a file, with TUNIT units; array columns ``v`` are ``v.0``, ``v.1``, ...

Of a file with several tables one is chosen by its name or number, ``photo.fits#SGC``.

The metadata are the keywords of the table's header; truez writes its own as one JSON string in the
keyword METADATA. Files are memory-mapped, so that a chunk touches only its own rows; a .fits.gz is
unpacked into memory whole.
"""

from __future__ import annotations

import gzip
import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from truez.catalogs.formats._base import (
    Array,
    CatalogError,
    Columns,
    Header,
    Layout,
    Part,
    header_of,
    pick,
    plain,
    refuse_twice,
    split_component,
    unfit,
    unit_text,
    with_own,
)
from truez.catalogs.formats._fits_file import BLOCK, opened
from truez.catalogs.formats._missing import masked, missing
from truez.support.tables import split_table

NAME = "FITS"
SUFFIXES = (".fits", ".fit", ".fits.gz")

_LOGICAL = np.frombuffer(b"TF", np.uint8)
# Keywords that describe the table itself, not the data in it.
_STRUCTURE = re.compile(
    r"XTENSION|BITPIX|NAXIS\d*|[PG]COUNT|TFIELDS|EXT(NAME|VER|LEVEL)|THEAP|CHECKSUM|DATASUM"
    r"|T(TYPE|FORM|UNIT|NULL|SCAL|ZERO|DISP|DIM|BCOL)\d+|COMMENT|HISTORY|"
)


@contextmanager
def _table(path: Path) -> Iterator[Any]:
    path, choice = split_table(path)
    with opened(path) as hdus:
        hdu = _chosen(_tables(hdus, path), path, choice)
        refuse_twice(path, hdu.columns.names)
        try:
            yield hdu
        finally:
            # astropy would copy every column of the file when it closes it.
            for column in hdu.columns:
                del column.array


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _tables(hdus: Any, path: Path) -> dict[int, Any]:
    """The tables of a file by their numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        # astropy only warns about a truncated file and then returns what it can read.
        cut = "(?s).*(truncated|corrupted)"
        warnings.filterwarnings("error", message=cut, category=AstropyWarning)
        try:
            found = {
                number: hdu
                for number, hdu in enumerate(hdus)
                if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)
            }
        except AstropyWarning as warning:
            raise ValueError(str(warning)) from None
    if not found:
        raise CatalogError(f"{path} holds no FITS table, only images")
    return found


def _chosen(tables: dict[int, Any], path: Path, choice: str | None) -> Any:
    """The only table, or the one of a name (in any case) or number."""
    wanted = [
        number for number, hdu in tables.items()
        if choice is None or choice == str(number) or choice.lower() == hdu.name.lower()
    ]  # fmt: skip
    if len(wanted) == 1:
        return tables[wanted[0]]
    names = [
        f"{number} ({hdu.name})" if hdu.name else str(number) for number, hdu in tables.items()
    ]
    listed = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    one = next(iter(tables))
    if choice is None:
        remedy = f"choose one by number or name, such as {path}#{tables[one].name or one}"
    else:
        many = f"{len(wanted)} of them are {choice!r}: choose one by number" if wanted else ""
        remedy = many or f"none of them is {choice!r}"
    raise CatalogError(f"{path} holds the tables {listed}: {remedy}")


def _unfit(hdu: Any, column: Any) -> str:
    """Why a column of a table cannot be one here, as the end of a sentence; empty where it can."""
    if isinstance(hdu, fits.BinTableHDU) and re.match(r"\d*[PQ]", column.format):
        return "holds lists of varying length"
    dtype = hdu.data.dtype[column.name]
    return unfit(dtype.base, (len(hdu.data), *_components(hdu, column)))


def _is_bits(hdu: Any, column: Any) -> bool:
    return isinstance(hdu, fits.BinTableHDU) and re.fullmatch(r"\d*X", column.format) is not None


def _components(hdu: Any, column: Any) -> tuple[int, ...]:
    """The shape of a column in a row; bits are stored in bytes, and one bit is a single value."""
    if not _is_bits(hdu, column):
        return hdu.data.dtype[column.name].shape  # type: ignore[no-any-return]
    number = int(column.format[:-1] or 1)
    return () if number == 1 else (number,)


def _part(hdu: Any, column: Any) -> Part:
    dtype = hdu.data.dtype[column.name].base
    # Text has 4 bytes a character in memory, and scaled integers are floats.
    scaled = dtype.kind in "iu" and column.bscale not in (None, "", 1)
    size = 4 * dtype.itemsize if dtype.kind == "S" else 8 if scaled else dtype.itemsize
    shape = (len(hdu.data), *_components(hdu, column))
    return Part(shape, size, unit_text(column.unit))


def header(path: Path) -> Header:
    """See `truez.catalogs.formats._base.Format`."""
    with _table(path) as hdu:
        every = list(hdu.columns) if hdu.data is not None else []
        reasons = {column.name: _unfit(hdu, column) for column in every}
        parts = {column.name: _part(hdu, column) for column in every if not reasons[column.name]}
        cards = {k: v for k, v in hdu.header.items() if not _STRUCTURE.fullmatch(k)}
        left_out = {name: reason for name, reason in reasons.items() if reason}
        return header_of(parts, with_own(plain(cards), "METADATA"), left_out)


def chunks(path: Path, names: Sequence[str], rows: int) -> Iterator[Columns]:
    """See `truez.catalogs.formats._base.Format`."""
    with _table(path) as hdu:
        total = 0 if hdu.data is None else len(hdu.data)
        known = set(hdu.columns.names)
        bases = list(dict.fromkeys(split_component(name, known)[0] for name in names))
        for start in range(0, total, rows):
            # Rows first, then the column: astropy converts (scales, decodes) all rows that it gets.
            part = hdu.data[start : min(start + rows, total)]
            yield pick({base: _field(part, hdu, base) for base in bases}, names, 0, len(part))


def _field(part: Any, hdu: Any, name: str) -> Array:
    """A column of some rows, masked where the file says that there is no value."""
    with warnings.catch_warnings():
        # astropy warns of logical values that are missing, which are masked below.
        warnings.simplefilter("ignore", AstropyWarning)
        values, column = part.field(name), hdu.columns[name]
    # The stored values, before they are scaled and before what is neither T nor F becomes False.
    stored = part.view(np.ndarray)[name]
    if isinstance(hdu, fits.TableHDU):
        if values.dtype.kind == "U":  # of fixed width, without the blanks behind it
            values = np.char.rstrip(np.asarray(values), " ")
        if column.null is None:
            return values  # type: ignore[no-any-return]
        words = np.char.strip(stored.astype(bytes))
        return masked(values, words == str(column.null).strip().encode())
    if _is_bits(hdu, column):
        return values[:, 0] if values.shape[1:] == (1,) else values  # type: ignore[no-any-return]
    if values.dtype.kind == "b":
        return masked(values, ~np.isin(stored.view(np.uint8), _LOGICAL).reshape(values.shape))
    if stored.dtype.kind in "iu" and isinstance(column.null, int | np.integer):
        return masked(values, stored == int(column.null))
    return values  # type: ignore[no-any-return]


def write(path: Path, layout: Layout, chunks: Iterable[Mapping[str, Array]]) -> None:
    """See `truez.catalogs.formats._base.Format`."""
    header = _table_header(layout)
    kinds = {n: _kind(n, dtype, layout) for n, dtype in layout.dtypes.items()}
    records = np.dtype([(name, _stored(dtype)) for name, dtype in kinds.items()])
    with (gzip.open if _is_packed(path) else open)(path, "wb") as file:
        file.write(fits.PrimaryHDU().header.tostring().encode("ascii"))
        file.write(header.tostring().encode("ascii"))
        for chunk in chunks:
            length = len(next(iter(chunk.values())))
            rows = np.zeros(length, dtype=records)
            for name, values in chunk.items():
                kind = values.dtype if values.dtype.kind == "U" else kinds[name]
                rows[name] = _encoded(name, values.astype(kind, copy=False), name in layout.missing)
            file.write(rows.data)
        # Data end with a full block.
        file.write(bytes(-layout.num_rows * records.itemsize % BLOCK))


_MOST_COLUMNS = 999
_CODES = {"b1": "L", "u1": "B", "i1": "I", "i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D"}
# FITS integers are signed but for bytes: the others are stored shifted by TZERO (int8 as int16).
_SHIFTED = {"u2": ("I", 2**15), "u4": ("J", 2**31), "u8": ("K", 2**63)}


def _table_header(layout: Layout) -> Any:
    if len(layout.dtypes) > _MOST_COLUMNS:
        raise CatalogError(
            f"FITS holds {_MOST_COLUMNS} columns, not {len(layout.dtypes)}: write .parquet or .h5"
        )
    lower = [name.lower() for name in layout.dtypes]
    columns = []
    for name in layout.dtypes:
        dtype = _kind(name, layout.dtypes[name], layout)
        null = _null(dtype) if name in layout.missing else None
        unit = layout.units.get(name, "")
        if lower.count(name.lower()) > 1:
            raise CatalogError(
                f"FITS does not distinguish column {name!r} from one in other case: write .parquet "
                "or .h5"
            )
        if not (name.isascii() and unit.isascii()):
            raise CatalogError(
                f"FITS holds ASCII names and units only, not those of {name!r}: write .parquet, "
                ".h5 or .ecsv"
            )
        code = f"{dtype.kind}{dtype.itemsize}"
        letter, zero = _SHIFTED.get(code, (_CODES.get(code), None))
        columns.append(fits.Column(name, letter or f"{_width(dtype)}A", bzero=zero, null=null))
    header = fits.BinTableHDU.from_columns(columns, nrows=0).header
    header["NAXIS2"] = layout.num_rows
    for number, name in enumerate(layout.dtypes, 1):
        if name in layout.units:
            header.set(f"TUNIT{number}", layout.units[name], after=f"TFORM{number}")
    if layout.table:
        header["EXTNAME"] = layout.table
    header["METADATA"] = json.dumps(dict(layout.metadata))
    return header


def _kind(name: str, dtype: np.dtype[Any], layout: Layout) -> np.dtype[Any]:
    """The type of a column; bytes with missing values have one more to spare in 16 bits."""
    spare = name in layout.missing and dtype.kind in "iu" and dtype.itemsize == 1
    return np.dtype(np.int16) if spare else dtype


def _null(dtype: np.dtype[Any]) -> int | None:
    """The stored integer for no value: the lowest of signed types, the highest of unsigned ones."""
    if dtype.kind not in "iu":
        return None  # floats are NaN, logical values 0, and text is empty
    limits = np.iinfo(f"i{dtype.itemsize}")
    return int(limits.max if dtype.kind == "u" else limits.min)


def _width(dtype: np.dtype[Any]) -> int:
    """Bytes of a column of ASCII text."""
    return max(dtype.itemsize // 4, 1)


def _stored(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of a column on the disk."""
    if dtype.kind == "U":
        return np.dtype(f"S{_width(dtype)}")
    code = f"{dtype.kind}{dtype.itemsize}"
    kept = {"b1": "S1", "i1": ">i2", **{c: f">i{c[1]}" for c in _SHIFTED}}
    return np.dtype(kept.get(code, f">{code}"))


def _encoded(name: str, values: Array, has_missing: bool) -> Array:
    """Values as they are stored, but for the order of their bytes."""
    if not has_missing:
        return _plainly_encoded(name, values)
    lost, null = missing(values), _null(values.dtype)
    stored = _plainly_encoded(name, np.ma.getdata(values))
    if values.dtype.kind == "b":
        return np.where(lost, b"\0", stored)
    if null is not None:
        if (stored[~lost] == null).any():
            limits = np.iinfo(values.dtype)
            taken = limits.max if values.dtype.kind == "u" else limits.min
            raise CatalogError(
                f"column {name!r} holds {taken}, which stands for a missing value in FITS: write "
                ".parquet"
            )
        stored = np.where(lost, stored.dtype.type(null), stored)
    return stored


def _plainly_encoded(name: str, values: Array) -> Array:
    code = f"{values.dtype.kind}{values.dtype.itemsize}"
    if code in _SHIFTED:
        # Minus TZERO, which flips the highest bit, within the same type.
        flipped: Array = values ^ values.dtype.type(_SHIFTED[code][1])
        return flipped.view(f"i{code[1]}")
    if code == "b1":
        return np.where(values, b"T", b"F")
    if values.dtype.kind == "U":
        try:
            return np.char.encode(values, "ascii")
        except UnicodeEncodeError:
            raise CatalogError(
                f"FITS holds ASCII text only, and column {name!r} has other: write .parquet, .h5 "
                "or .ecsv"
            ) from None
    return values
