"""What ``truez info`` says of files beside the catalogues: masks, randoms, N(z) and p(z)."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from truez.cli.info_sky import sky_range
from truez.support.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    from truez.surveys.pdfs import PdfTable
    from truez.surveys.pixel_map import PixelMap

#: Names of the kinds of masks.
_MASKS = {
    "healpix": "HEALPix map in FITS", "healsparse": "healsparse map", "moc": "MOC in FITS",
    "moc json": "MOC in JSON", "moc ascii": "MOC in ASCII", "txpipe": "map of TXPipe in HDF5",
}  # fmt: skip
#: Names of files of randoms, such as LRG_NGC_0_clustering.ran.fits.
_RANDOMS = re.compile(r"(^|[^a-z])(ran|rand|randoms?)([^a-z]|$)", re.IGNORECASE)
#: p(z) that are looked through for problems.
_LOOKED = 100_000
#: Words of the grid of a layout.
_GRIDS = {"hist": "bins", "interp": "nodes", "quant": "quantiles"}


def mask(path: str) -> str | None:
    """A mask; None where the file is none.

    Raises
    ------
    ValueError
        If it is one that cannot be used.
    """
    from truez.support.tables import exists, split_table
    from truez.surveys.footprint_input import read_mask
    from truez.surveys.masks.kind import known_kind

    place, _ = split_table(path)
    if not exists(place):
        return None
    kind = known_kind(place)
    if kind is None or (kind == "healpix" and not _is_map(path)):
        return None
    found = read_mask(path)
    what, share = _MASKS[kind], 100 * len(found.pixels) / (12 * found.nside**2)
    if kind == "healsparse":
        what += f" {_values(found)}"
    return (
        f"a mask, {what}\n"
        f"  area          {found.area:.6g} deg^2, in {len(found.pixels)} pixels ({share:.3g}% of "
        "the sky)\n"
        f"  resolution    NSIDE {found.nside}, {_side(found.nside):.3g} deg\n"
        f"  completeness  {_mean(found):.4g} on average, {_ends(found)}\n"
        f"  sky           {_sky(found)}\n"
        f"  to use it     --footprint {_quoted(path)}, or --spec-footprint"
    )


def randoms(path: str, columns: Any) -> str | None:
    """Randoms, by the name of their file; None where it has no such name, or is of no places."""
    from truez.catalogs.coordinates import find_columns
    from truez.support.tables import split_table
    from truez.surveys.masks.randoms import read_randoms

    place, table = split_table(path)
    if not _RANDOMS.search(f"{place.name}#{table or ''}"):
        return None
    try:
        find_columns(("ra", "dec"), list(columns), path)
        found = read_randoms(path, columns=("ra", "dec"))
    except ValueError:  # as of a few galaxies in a file of such a name
        return None
    number = int(found.metadata["num_randoms"])
    with_z = "" if found.numbers is None else ", with redshifts"
    weighted = ", with weights" if found.metadata["weighted"] else ""
    return (
        f"\nby its name randoms, {number} of them{with_z}{weighted}\n"
        f"  area          {found.area:.6g} deg^2, {number / found.area:.4g} for each deg^2\n"
        f"  resolution    NSIDE {found.nside}, {_side(found.nside):.3g} deg, so that 64 are in a "
        "pixel\n"
        f"  sky           {_sky(found)}\n"
        f"  to use them   --randoms {_quoted(path)}, or --spec-randoms; several files as a "
        "pattern in quotation marks"
    )


def numbers(path: str, columns: Any) -> str | None:
    """N(z) of a survey; None where the file is none."""
    from truez.surveys.nz import holds_number_density, read_number_density

    if not holds_number_density(columns):
        return None
    found = read_number_density(path)
    low, high = found.redshift[[0, -1]]
    return (
        f"\nby its columns N(z), from {low:.4g} to {high:.4g} at {len(found.redshift)} redshifts\n"
        f"  galaxies      {found.total:.6g}\n"
        f"  median        z = {float(found.quantile([0.5])[0]):.4g}\n"
        f"  to use it     --nz {_quoted(path)}, or --spec-nz"
    )


def pdfs(path: str) -> str | None:
    """p(z) of each galaxy: a file of qp, or columns that ``FILE#NAME`` chooses; None for others."""
    from truez.support.tables import exists, is_pattern, split_table
    from truez.surveys.pdfs import LAYOUTS, PdfError, read_pdfs
    from truez.surveys.pdfs.ancil import ancil_columns, qp_tables
    from truez.surveys.pdfs.hdf5 import layout_of_hdf5
    from truez.surveys.pdfs.reading import are_sharpened, holds_sharpened

    place, name = split_table(path)
    tables = qp_tables(place) if name is None else None
    if tables is None and (is_pattern(place) or not exists(place)):
        return None
    if tables is not None or place.suffix.lower() in (".hdf5", ".h5"):
        try:
            layout = tables.layout if tables is not None else layout_of_hdf5(place, name or "")
        except PdfError:
            return None
        if layout not in LAYOUTS or (tables is not None and find_spec("qp") is None):
            return f"p(z) in the layout {printable(layout)}, which is read through qp (truez[qp])"
        beside = ancil_columns(place, name)
        own = are_sharpened(beside)
        about = _of_table(read_pdfs(path), path, sharpened=own)
        ids = f"\n  for --pdf-id  {printable(', '.join(beside))}" if beside and not own else ""
        return f"p(z) of {about}{ids}"
    if name is None or not _are_columns(place, name):
        return None
    return f"p(z) of {_of_table(read_pdfs(path), path, sharpened=holds_sharpened(path))}"


def _are_columns(place: Path, name: str) -> bool:
    """Whether a name chooses columns of p(z), and not a table of a catalogue."""
    from truez.cli.info_surveys import nested_pdfs, pdf_choices
    from truez.surveys.pdfs.quantiles import columns_of, table_of_quantiles

    if name in nested_pdfs(place):
        return True
    table, prefix = table_of_quantiles(place, name)
    known = pdf_choices(str(table), columns_of(table))
    return prefix is not None and f"{table}#{prefix}".lower() in map(str.lower, known)


def _of_table(table: PdfTable, path: str, *, sharpened: bool = False) -> str:
    """Galaxies, layout, grid and problems of p(z)."""
    import numpy as np

    from truez.surveys.pdfs import LAYOUTS

    grid, layout = getattr(table.sources[0], "grid", None), table.layout
    words = ""
    if grid is not None:
        number, what = len(grid) - LAYOUTS[layout].more, _GRIDS.get(layout, "redshifts")
        words = f", {number} {what} from {grid[0]:.4g} to {grid[-1]:.4g}"
    part = table.take(slice(0, _LOOKED)) if table.num > _LOOKED else table
    some = f" of the first {_LOOKED}" if part is not table else ""
    mean, std = part.moments()
    known = np.isfinite(mean)
    typical = "none"
    if known.any():
        low, high = np.quantile(mean[known], [0.01, 0.99])
        typical = (
            f"{low:.3g} to {high:.3g} for 98% of their means{some}, median standard deviation "
            f"{np.median(std[known]):.3g}"
        )
    counts = part.problems().counts
    bad = "; ".join(f"{number}{some} {key.text}" for key, number in counts.items())
    use = (
        f"--pdf {_quoted(path)} --pdf-prior flat, nz, stack or a FILE of z and n: the prior that "
        "the code has put in"
    )
    if sharpened:
        use = f"truez photoz --pdf-after {_quoted(path)}: sharpened, so that no map takes them"
    return (
        f"{table.num} galaxies\n"
        f"  layout        {layout}{words}\n"
        f"  redshift      {typical}\n"
        f"  unusable      {bad or f'none{some}'}\n"
        f"  to use them   {use}"
    )


def _is_map(path: str) -> bool:
    """Whether a FITS file with the keys of a HEALPix map is none of columns of the sky."""
    from pathlib import Path

    from truez.catalogs import formats
    from truez.support.tables import split_table

    try:
        names = {name.lower() for name in formats.header(Path(path)).columns}
    except ValueError:
        return split_table(path)[0].is_file()
    return not {"ra", "dec"} <= names


def _values(found: PixelMap) -> str:
    fractions = bool(((found.values > 0) & (found.values < 1)).any())
    return "of fractions" if fractions else "of yes and no"


def _mean(found: PixelMap) -> float:
    return float(found.values.mean(dtype="float64"))


def _ends(found: PixelMap) -> str:
    low, high = float(found.values.min()), float(found.values.max())
    return "the same in all pixels" if low == high else f"from {low:.4g} to {high:.4g}"


def _side(nside: int) -> float:
    from truez.sky.map_error import pixel_side

    return float(pixel_side(nside))


def _sky(found: PixelMap) -> str:
    from truez.mesh.healpix import centers

    pixels = found.pixels
    step = max(len(pixels) // 1_000_000, 1)
    text = sky_range(*centers(pixels[::step], found.nside), max(1.0, 2 * _side(found.nside)))
    if not found.galactic:
        return text
    return f"{text.replace('ra ', 'l ').replace('dec ', 'b ')} in galactic coordinates"


def _quoted(text: str | Path) -> str:
    return printable(shlex.quote(str(text)))
