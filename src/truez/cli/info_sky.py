"""What ``truez info`` says of surveys on the sky: mocks, fields and maps."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

from truez.support.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Gaps in right ascension below which a survey goes all around the sky [deg].
_GAP = 1.0


def mock(path: Path) -> str:
    """A mock folder."""
    from truez.sky.mock import SkyMock

    found = SkyMock.read(path)
    return f"{found}\n  sky      {sky_range(found.ra, found.dec)}"


def field(path: Path) -> tuple[str, dict[str, Any]] | None:
    """A field, and its metadata; None where the file is none."""
    import numpy as np

    from truez.evaluate.sky.estimates import is_sky_field
    from truez.sky.field import SkyField
    from truez.sky.field_file import StoredPatches
    from truez.sky.layout import MESHES

    if not is_sky_field(path):
        return None
    stored = StoredPatches(path)
    found = SkyField(stored, stored.cosmology, stored.metadata)
    about, outlines = found.metadata, found.layout.outlines
    ra, dec = [], []
    for patch in outlines:
        inside = patch.core & (patch.completeness > 0.5 * patch.completeness.max())
        i, j = np.nonzero(inside)
        across = patch.box.deproject(patch.box.centers(0)[i], patch.box.centers(1)[j])
        ra.append(across[0])
        dec.append(across[1])
    area = about.get("area")
    area = f", {area:.4g} deg^2" if isinstance(area, int | float) else ""
    low, high = found.cosmology.distances.redshift(np.array(found.layout.distances))
    shells = len({(patch.near, patch.far) for patch in outlines})
    cells = sum(patch.box.num_cells for patch in outlines)
    meshes = ", ".join(name for name in MESHES if found.has(name))
    samples = ""
    if stored.num_samples:
        samples = f"  samples  {stored.num_samples} of seed {stored.seed}, for truez map --sample\n"
    words = {name: _word(about.get(name)) for name in _ABOUT}
    text = (
        f"a field on the sky, by the method {words['method']}\n"
        f"  sky      {sky_range(np.concatenate(ra), np.concatenate(dec))}{area}\n"
        f"  depth    z = {low:.4g} to {high:.4g}\n"
        f"  patches  {len(outlines)} in {shells} shell{'s' if shells > 1 else ''}, {cells:.3g} "
        f"cells of {outlines[0].box.cellsize[2]:.4g} Mpc/h\n"
        f"  values   {meshes}\n{samples}"
        f"  photo    {words['num_photo']} galaxies\n"
        f"  spec     {words['num_spec']} galaxies, {words['num_both']} of them in photo"
    )
    return text, about


#: What a field says of itself.
_ABOUT = ("method", "num_photo", "num_spec", "num_both")


def maps(path: Path) -> str | None:
    """Maps of ``truez map``; None where the file holds none."""
    import numpy as np

    from truez.catalogs.catalog import Catalog
    from truez.catalogs.formats import header
    from truez.sky.map_error import pixel_side

    if path.suffix.lower() != ".fits":
        return None
    found = header(path)
    keys = found.metadata
    known = {"DELTA_0", "COMPLETENESS", "RA", "DEC"} <= set(found.columns)
    nside = keys.get("NSIDE")
    if not known or not isinstance(nside, int) or nside < 1:
        return None
    numbers = list(takewhile(lambda i: _is_bin(i, found), range(len(found.columns))))
    table = Catalog.read(path, ["RA", "DEC", "COMPLETENESS", *(f"EXPECTED_{i}" for i in numbers)])
    side = pixel_side(nside)
    about = _metadata(path).get("field")
    about = about if isinstance(about, dict) else {}
    number = about.get("number")
    which = "a field" if number is None else f"sample {_word(number)} of a field"
    area = float(np.sum(table["COMPLETENESS"])) * side**2
    text = (
        f"maps on the sky of {which} by the method {_word(about.get('method'))}, in HEALPix "
        f"pixels of nside {nside}, {side:.3g} deg\n"
        f"  sky      {sky_range(table['RA'], table['DEC'])}, {area:.4g} deg^2 in {len(table)} "
        "pixels"
    )
    for i in numbers:
        count = float(np.sum(table[f"EXPECTED_{i}"]))
        low, high = (float(keys[name]) for name in (f"ZLO{i}", f"ZHI{i}"))
        text += f"\n  DELTA_{i}  z = {low:.4g} to {high:.4g}, {count:.4g} galaxies expected"
        text += f", with ERROR_{i}" if f"ERROR_{i}" in found.columns else ""
    return text


def _word(value: Any) -> str:
    """A number or word of a file's metadata."""
    if value is None:
        return "unknown"
    return printable(f"{value:.10g}" if isinstance(value, int | float) else str(value))


def _metadata(path: Path) -> dict[str, Any]:
    """What a file of maps says of their origin."""
    from astropy.io import fits

    from truez.support.documents import parsed_json, section

    with fits.open(path) as hdus:
        text = str(hdus[0].header.get("METADATA", "{}"))
    remedy = "make the maps again"
    return section(parsed_json(text, str(path), remedy=remedy), str(path), remedy=remedy)


def _is_bin(number: int, found: Any) -> bool:
    """Whether a file has a map and its ends of this number."""
    names = {f"DELTA_{number}", f"EXPECTED_{number}"}
    ends = (found.metadata.get(f"{name}{number}") for name in ("ZLO", "ZHI"))
    return names <= set(found.columns) and all(isinstance(end, int | float) for end in ends)


def sky_range(ra: Array, dec: Array, gap: float = _GAP) -> str:
    """The part of the sky that directions [deg] lie in, the shorter way round.

    Where no gap in right ascension is as wide as ``gap`` [deg] they are all around.

    Examples
    --------
    >>> import numpy as np
    >>> sky_range(np.array([350.0, 2, 10]), np.array([-1.0, 0, 2]))
    'ra 350 to 10, dec -1 to 2 deg'
    """
    import numpy as np

    if not len(ra):
        return "nowhere"
    around = np.unique(np.asarray(ra, np.float64) % 360)
    gaps = np.diff(around, append=around[0] + 360)
    widest = int(np.argmax(gaps))
    first, last = around[(widest + 1) % len(around)], around[widest]
    if gaps[widest] < gap:
        first, last = 0.0, 360.0
    return f"ra {first:.5g} to {last:.5g}, dec {np.min(dec):.4g} to {np.max(dec):.4g} deg"
