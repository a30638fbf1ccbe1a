"""``truez mock``: two surveys of a simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from truez.cli import options
from truez.cli.coordinates import Coordinates
from truez.cli.mock_sky import make_on_sky
from truez.cli.mock_sky_options import SkyMockOptions, refuse_sky_options
from truez.cli.options import BOX, COORDINATES, OUTPUT, PHOTOZ, SURVEYS, existing, option, positive
from truez.cli.parameters import flattened
from truez.cli.reading import Reading

if TYPE_CHECKING:
    from truez.surveys.selection import Selection


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """The options of how the two samples are selected."""

    rank_by: Annotated[
        str | None, option(SURVEYS, "Column to rank galaxies by: a mass or a magnitude.")
    ] = None
    rank: Annotated[
        str, option(SURVEYS, "Which end is selected first: highest (mass) or lowest (magnitude).")
    ] = "highest"
    spec_density: Annotated[
        float | None,
        option(SURVEYS, "Density of the spectroscopic sample [(h/Mpc)^3].", callback=positive),
    ] = None
    photo_density: Annotated[
        float | None,
        option(
            SURVEYS,
            "Density of the photometric sample [(h/Mpc)^3]; all galaxies by default.",
            callback=positive,
        ),
    ] = None
    spec_cut: Annotated[
        list[str] | None,
        option(
            SURVEYS,
            "Threshold of the spectroscopic sample, such as 'mass>3.68e12'; may be repeated.",
        ),
    ] = None
    photo_cut: Annotated[
        list[str] | None, option(SURVEYS, "The same for the photometric sample.")
    ] = None
    disjoint: Annotated[
        bool,
        option(
            SURVEYS, "Remove the spectroscopic galaxies from the photometric sample.", "--disjoint"
        ),
    ] = False

    def selection(self, sample: str) -> Selection:
        """The selection of one of the two samples."""
        from truez.support.settings import SettingError
        from truez.surveys.selection import Selection

        cuts, density = getattr(self, f"{sample}_cut"), getattr(self, f"{sample}_density")
        try:
            return Selection(cuts=tuple(cuts or ()), density=density)
        except SettingError as error:
            option = {"cuts": "cut"}.get(error.name, error.name)
            raise ValueError(f"--{sample}-{option} {error.reason}") from error


@flattened
def mock(
    context: typer.Context,
    catalog: Annotated[
        str,
        typer.Argument(
            help="Catalogue of galaxies, haloes or subhaloes.", **existing("catalogue file")
        ),
    ],
    samples: SampleOptions,
    sky: SkyMockOptions,
    sigma_z: options.SigmaZ,
    coordinates: Coordinates,
    reading: Reading,
    out: Annotated[str, option(OUTPUT, "Folder for the mock.")],
    boxsize: Annotated[str | None, option(BOX, "Side, or X,Y,Z, in the catalogue's unit.")] = None,
    redshift: Annotated[
        float | None, option(BOX, "Redshift of the snapshot.", callback=options.redshift)
    ] = None,
    outlier_fraction: options.Outliers = 0.0,
    seed: Annotated[int, option(PHOTOZ, "Seed of the photo-z scatter.")] = 0,
    periodic: options.Periodic = True,
    drop_outside: Annotated[
        bool,
        option(BOX, "Drop galaxies outside a closed box, and count them.", "--drop-outside"),
    ] = False,
    velocities: Annotated[
        str | None,
        option(
            COORDINATES,
            "The three velocity columns [km/s]: galaxies are moved to redshift space; without "
            "them the mock stays in real space.",
        ),
    ] = None,
    cosmology: options.CosmologyText = "planck18",
    trim: Annotated[
        str | None,
        option(
            OUTPUT,
            "Range along the line of sight in which fields are judged, LOW,HIGH from the lower "
            "face [Mpc/h]; the paper's is 200,1000.",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Make two surveys of a simulation, one photometric and one spectroscopic.

    The spectroscopic sample holds the most massive or brightest galaxies, the photometric one all
    of them or those above a larger density, with a Gaussian redshift error. The folder holds both
    samples, the true positions, and all settings. Example:

    `truez mock tng300_galaxies.h5 --length-unit Mpc --hubble 0.6774 --boxsize 290 --boxcenter 150
    --not-periodic --redshift 0 --rank-by mr --rank lowest --spec-density 9.9e-4 --sigma-z 0.005
    --out tng`

    With --sky both are on the sky, see docs/guides/sky-mocks.md: `truez mock
    gama_g09.csv --sky RA,DEC,Z --from-spec --sigma-z 0.02 --spec-fraction 0.1 --footprint
    129,141,-2,3 --out g09`
    """
    from pathlib import Path

    if sky.sky is not None or sky.survey is not None:
        make_on_sky(context, sky, coordinates)
        return
    refuse_sky_options(context)
    assert boxsize is not None
    assert redshift is not None
    from truez.catalogs.catalog import Catalog
    from truez.surveys.mock import MOCK_FILES, MockConfig, judged_region
    from truez.surveys.observe import make_mock

    options.claim_folder(
        out,
        MOCK_FILES,
        last=MOCK_FILES[-1],
        says="[mock",
        maker="truez mock",
        overwrite=overwrite,
    )
    columns = coordinates.columns
    catalog = reading.place(catalog)
    frame = coordinates.frame(catalog, boxsize, periodic=periodic)
    config = MockConfig(
        redshift=redshift,
        cosmology=options.cosmology_from(cosmology, coordinates.hubble),
        sigma_z=sigma_z,
        outlier_fraction=outlier_fraction,
        rank_by=samples.rank_by,
        rank=samples.rank,  # type: ignore[arg-type]
        spec=samples.selection("spec"),
        photo=samples.selection("photo"),
        disjoint=samples.disjoint,
        redshift_space=velocities is not None,
        trim=None if trim is None else options.pair(trim, "--trim"),
        seed=seed,
    )
    judged_region(frame.box, config)
    velocity_columns = [] if velocities is None else options.names(velocities)
    properties = {*config.spec.columns, *config.photo.columns, *filter(None, [samples.rank_by])}
    wanted = list(dict.fromkeys([*columns, *velocity_columns, *sorted(properties)]))
    galaxies = reading.whole_rows(Catalog.read(catalog, wanted), wanted, catalog)
    result = make_mock(
        frame.positions(galaxies, columns),
        frame.box,
        config,
        velocities=(
            galaxies.velocities(velocity_columns, los=frame.los)[:, 2] if velocity_columns else None
        ),
        columns={name: galaxies[name] for name in properties},
        outside="drop" if drop_outside else "error",
        source={
            "catalogue": Path(catalog).name,
            "positions": columns,
            "velocities": velocity_columns,
            "length_unit": frame.length_unit,
            "boxsize": boxsize,
            "boxcenter": coordinates.boxcenter,
            "los": frame.los,
        },
    )
    result.write(out)
    typer.echo(f"{out}: {result}")
