"""The options of ``truez mock --sky``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from truez.cli import options
from truez.cli.options import existing, not_negative, option, positive
from truez.cli.parameters import option_names

SKY = "Sky"


#: Options of a mock in a box that one on the sky does not have, and those of a light cone alone.
BOX_ONLY = ("spec_density", "photo_density", "spec_cut", "disjoint", "trim", "drop_outside",
            "redshift", "drop_missing", "table")  # fmt: skip
CONE_ONLY = (
    "boxsize", "boxcenter", "positions", "los", "length_unit", "velocities", "rank_by", "rank",
    "observer", "direction", "nz", "num_photo", "magnitude_limit", "cellsize", "periodic",
)  # fmt: skip


#: Options of a catalogue of spectra that a box does not have.
SPECTRA_ONLY = ("ra_unit", "dec_unit", "survey")


@dataclass(frozen=True, kw_only=True)
class SkyMockOptions:
    """The options of a mock on the sky."""

    sky: Annotated[
        str | None,
        option(
            SKY,
            "RA,DEC,Z: on the sky; a light cone of the box, or with --from-spec these columns.",
        ),
    ] = None
    survey: Annotated[
        str | None,
        option(SKY, "--from-spec: fill in columns: auto, SURVEY, FILE.toml."),
    ] = None
    from_spec: Annotated[
        bool, option(SKY, "Scatter the redshifts of a real survey.", "--from-spec")
    ] = False
    footprint: Annotated[
        str | None,
        option(
            SKY,
            "RA1,RA2,DEC1,DEC2 [deg], or a HEALPix map.",
        ),
    ] = None
    spec_footprint: Annotated[
        str | None, option(SKY, "That of the spectra; by default the same.")
    ] = None
    redshift_range: Annotated[
        str | None, option(SKY, "LOW,HIGH: true redshifts of the galaxies.")
    ] = None
    spec_fraction: Annotated[
        float | None, option(SKY, "Share of galaxies with spectra.", callback=positive)
    ] = None
    spec_choice: Annotated[
        str,
        option(
            SKY,
            "Which have spectra: random; bright (in flux); or luminous, any of those that are "
            "bright enough up to --complete-to.",
        ),
    ] = "random"
    spec_ids: Annotated[
        str | None,
        option(
            SKY,
            "File of the ids of those with spectra.",
            **existing("file of ids"),
        ),
    ] = None
    id_column: Annotated[
        str | None, option(SKY, "Column of identifiers; found by its usual names by default.")
    ] = None
    magnitude_column: Annotated[
        str | None,
        option(
            SKY,
            "Magnitudes: apparent with --from-spec; absolute, M - 5 log10 h, of a box, where "
            "--rank-by makes them by abundance.",
        ),
    ] = None
    magnitude_limit: Annotated[
        float | None, option(SKY, "Apparent magnitude of the faintest galaxies of a light cone.")
    ] = None
    complete_to: Annotated[
        float, option(SKY, "Redshift of --spec-choice luminous.", callback=positive)
    ] = 0.3
    k_correction: Annotated[
        float, option(SKY, "K-correction over z of --spec-choice luminous [mag].")
    ] = 0.0
    nz: Annotated[
        str | None,
        option(
            SKY,
            "File of redshifts z and galaxies per unit redshift n, to which a light cone is "
            "thinned.",
            **existing("file of N(z)"),
        ),
    ] = None
    num_photo: Annotated[
        float | None, option(SKY, "Galaxies to which --nz is scaled.", callback=positive)
    ] = None
    sigma_z_growth: Annotated[
        float, option(SKY, "Increase of sigma_z with z.", callback=not_negative)
    ] = 0.0
    faint_factor: Annotated[
        float,
        option(SKY, "sigma_z of the faintest galaxy over that of the brightest, by rank."),
    ] = 1.0
    error_classes: Annotated[
        str | None,
        option(
            SKY,
            "SHARE:SIGMA_Z,...: classes of galaxies at random, whose errors replace --sigma-z "
            "(needed all the same).",
        ),
    ] = None
    outlier_range: Annotated[
        str | None,
        option(
            SKY,
            "LOW,HIGH: photo-z of outliers on the sky; 0 to the end of --redshift-range by "
            "default.",
        ),
    ] = None
    photo_bias: Annotated[
        str | None,
        option(SKY, "Mean of z_phot - z: coefficients of 1, z, z^2, ... with commas."),
    ] = None
    frame: Annotated[
        str,
        option(
            SKY,
            "What redshifts refer to: none, heliocentric or cmb; written down, not converted.",
        ),
    ] = "none"
    ra_unit: Annotated[
        str | None, option(SKY, "Unit of right ascensions: deg, hourangle or rad.")
    ] = None
    dec_unit: Annotated[str | None, option(SKY, "Unit of declinations: deg, hourangle or rad.")] = (
        None
    )
    observer: Annotated[str | None, option(SKY, "X,Y,Z of the observer in the box [Mpc/h].")] = None
    direction: Annotated[
        str | None, option(SKY, "X,Y,Z: direction in the box of the middle of the footprint.")
    ] = None


def refuse_sky_options(context: typer.Context) -> None:
    """Refuse options of the sky, and the lack of a box, in a mock that is in one."""
    names = [name for name in option_names(SkyMockOptions) if name != "sky"]
    options.refuse_given(context, names, "these options are of a mock on the sky, --sky RA,DEC,Z")
    for name in ("boxsize", "redshift"):
        if context.params[name] is None:
            raise ValueError(f"a mock in a box needs --{name}; give it, or --sky RA,DEC,Z")
