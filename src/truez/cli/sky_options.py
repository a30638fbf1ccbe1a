"""Options of surveys on the sky for ``truez reconstruct`` and ``truez redshifts``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from truez.cli.method_options import DrawOptions
from truez.cli.options import OUTPUT, existing, option, positive

#: Panel of the help.
SKY = "Sky"


def existing_pdf(
    context: typer.Context, parameter: typer.CallbackParam, value: str | None
) -> str | None:
    """Refuse a file of p(z) that is not there, also where one was to be written."""
    try:
        existing("file of p(z)", folder=None)["callback"](context, parameter, value)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}: this option reads p(z), and --pdf-out of truez redshifts writes it"
        ) from None
    return value


@dataclass(frozen=True, kw_only=True)
class SkyOptions:
    """The options of catalogues on the sky."""

    sky: Annotated[
        str | None,
        option(SKY, "RA,DEC,Z: columns of right ascension, declination and redshift."),
    ] = None
    photo_sky: Annotated[str | None, option(SKY, "Those of --photo; RA,DEC alone with --pdf.")] = (
        None
    )
    survey: Annotated[
        str | None,
        option(
            SKY,
            "Names of columns: auto, NAME, FILE.toml.",
        ),
    ] = None
    ra_unit: Annotated[
        str | None, option(SKY, "deg, hourangle or rad; by default that of the file, else deg.")
    ] = None
    frame: Annotated[str, option(SKY, "Of redshifts: none, heliocentric or cmb.")] = "none"
    footprint: Annotated[
        str | None,
        option(
            SKY,
            "RA1,RA2,DEC1,DEC2, the file of a mask (HEALPix, healsparse, MOC, TXPipe), or "
            "from-data.",
        ),
    ] = None
    spec_footprint: Annotated[
        str | None, option(SKY, "That of --spec, by default that of --photo.")
    ] = None
    randoms: Annotated[
        str | None,
        option(SKY, "Randoms (ra, dec, weight) in its place; several files by a pattern.",
               **existing("catalogue file", several=True)),
    ] = None  # fmt: skip
    spec_randoms: Annotated[
        str | None,
        option(SKY, "Randoms of --spec.", **existing("catalogue file", several=True)),
    ] = None
    nz: Annotated[
        str | None,
        option(SKY, "File of N(z), as z and n or of DESI.",
               **existing("catalogue file")),
    ] = None  # fmt: skip
    spec_nz: Annotated[
        str | None, option(SKY, "File of N(z) of --spec.", **existing("catalogue file"))
    ] = None
    pdf: Annotated[
        str | None,
        option(SKY, "File of p(z) of the galaxies of --photo.",
               callback=existing_pdf, is_eager=True),
    ] = None  # fmt: skip
    pdf_prior: Annotated[str | None, option(SKY, "What is in p(z): flat, nz, stack or FILE.")] = (
        None
    )
    pdf_id: Annotated[
        str | None,
        option(SKY, "Ids of both: COLUMN or PHOTOCOL:PDFCOL."),
    ] = None
    outlier_column: Annotated[
        str | None, option(SKY, "Column of each galaxy's --outlier-fraction.")
    ] = None
    photo_bias: Annotated[str | None, option(SKY, "Of z_phot - z: A,B,... of A + B z + ...")] = None
    match_radius: Annotated[
        float | None,
        option(SKY, "Galaxies as near as this match [arcsec].", callback=positive),
    ] = None
    spec_z_column: Annotated[
        str | None, option(SKY, "Column of --photo with true redshifts, in place of --spec.")
    ] = None
    redshift_range: Annotated[
        str | None, option(SKY, "LOW,HIGH: redshifts of the map; 99.9% of the galaxies by default.")
    ] = None
    chi_ref: Annotated[
        float | None,
        option(SKY, "Distance at which cells are as wide as --cellsize [Mpc/h].",
               callback=positive),
    ] = None  # fmt: skip
    dry_run: Annotated[bool, option(OUTPUT, "Sky: only print what it takes.", "--dry-run")] = False


@dataclass(frozen=True, kw_only=True)
class SkyRedshiftOptions(DrawOptions):
    """The options of redshifts on the sky; boxes have draws as well."""

    prefix: Annotated[str | None, option(OUTPUT, "Sky: before the new names.")] = None
    clustering: Annotated[
        str | None,
        option(OUTPUT, "Sky: folder of draws and randoms for clustering codes."),
    ] = None
    randoms_factor: Annotated[float, option(OUTPUT, "Randoms per galaxy.", callback=positive)] = (
        20.0
    )
    pdf_layout: Annotated[
        str | None,
        option(OUTPUT, "Sky: interp, above 1e7 galaxies quant; or hist."),
    ] = None
