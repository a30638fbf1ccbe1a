"""Footprints as they are written: rectangles as text, pixels as a HEALPix map in FITS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from truez.support.files import atomic_path, system_errors
from truez.surveys.footprint import Footprint, Rectangle, Union
from truez.surveys.pixel_map import PixelMap


def rectangles_text(footprint: Footprint) -> str | None:
    """``RA1,RA2,DEC1,DEC2;...`` of rectangles, exact; None for other footprints."""
    parts = footprint.parts if isinstance(footprint, Union) else (footprint,)
    rectangles = [part for part in parts if isinstance(part, Rectangle)]
    if len(rectangles) < len(parts):
        return None
    edges = ((r.ra_min, r.ra_max, r.dec_min, r.dec_max) for r in rectangles)
    return ";".join(",".join(repr(float(edge)) for edge in four) for four in edges)


def write_healpix(path: str | Path, footprint: PixelMap) -> None:
    """Write a footprint as a HEALPix map that `read_healpix`, and other software, reads.

    Its pixels are numbered explicitly, in nested order.
    """
    columns = fits.ColDefs([
        fits.Column("PIXEL", "K", array=footprint.pixels),
        fits.Column("COMPLETENESS", "E", array=np.minimum(footprint.values, 1)),
    ])  # fmt: skip
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update({
        "PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "NSIDE": footprint.nside,
        "COORDSYS": "G" if footprint.galactic else "C", "INDXSCHM": "EXPLICIT", "OBJECT": "PARTIAL",
    })  # fmt: skip
    with atomic_path(path) as temporary, system_errors():
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(temporary, overwrite=True)
