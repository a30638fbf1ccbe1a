"""``truez mock``: the two surveys seen in a simulation."""

from __future__ import annotations

from typing import Annotated

import typer

from truez.cli import options


def mock(
    catalog: Annotated[str, typer.Argument(help="Catalogue of galaxies, haloes or subhaloes.")],
    boxsize: options.Boxsize,
    redshift: options.Redshift,
    sigma_z: options.SigmaZ,
    out: Annotated[str, typer.Option(help="Folder for the mock.")],
    positions: options.Positions = "x,y,z",
    velocities: Annotated[
        str | None,
        typer.Option(
            help="The three velocity columns [km/s]. With them galaxies are put into redshift "
            "space; without, the mock stays in real space.",
            show_default=False,
        ),
    ] = None,
    length_unit: options.LengthUnit = None,
    hubble: options.Hubble = None,
    boxcenter: options.Boxcenter = None,
    periodic: options.Periodic = True,
    cellsize: options.Cellsize = 2.0,
    los: options.Los = "z",
    cosmology: options.CosmologyText = "planck18",
    rank_by: Annotated[
        str | None,
        typer.Option(help="Column to rank galaxies by: a mass or a magnitude.", show_default=False),
    ] = None,
    rank: Annotated[
        str, typer.Option(help="Which end is selected first: highest (mass) or lowest (magnitude).")
    ] = "highest",
    spec_density: Annotated[
        float | None,
        typer.Option(help="Density of the spectroscopic sample [(h/Mpc)^3].", show_default=False),
    ] = None,
    photo_density: Annotated[
        float | None,
        typer.Option(
            help="Density of the photometric sample [(h/Mpc)^3]; all galaxies by default.",
            show_default=False,
        ),
    ] = None,
    spec_cut: Annotated[
        list[str] | None,
        typer.Option(
            help="Threshold of the spectroscopic sample, such as 'mass>3.68e12'; may be repeated.",
            show_default=False,
        ),
    ] = None,
    photo_cut: Annotated[
        list[str] | None,
        typer.Option(help="The same for the photometric sample.", show_default=False),
    ] = None,
    disjoint: Annotated[
        bool,
        typer.Option("--disjoint", help="Take the spectroscopic galaxies out of the photometric."),
    ] = False,
    outlier_fraction: options.Outliers = 0.0,
    trim: Annotated[
        str | None,
        typer.Option(
            help="Range along the line of sight in which fields are judged, LOW,HIGH from the "
            "lower face [Mpc/h]; the paper's is 200,1000.",
            show_default=False,
        ),
    ] = None,
    drop_outside: Annotated[
        bool,
        typer.Option("--drop-outside", help="Drop galaxies outside a closed box, and count them."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the photo-z scatter.")] = 0,
    overwrite: options.Overwrite = False,
) -> None:
    """See a simulation with a photometric and a spectroscopic survey.

    The spectroscopic sample holds the most massive or brightest galaxies, the photometric one all
    of them or the top of a larger density, with a Gaussian redshift error. The folder keeps both
    samples, the true positions, and everything that made them. Example:

    `truez mock tng300_galaxies.h5 --length-unit Mpc --hubble 0.6774 --boxsize 290 --boxcenter 150
    --not-periodic --redshift 0 --rank-by mr --rank lowest --spec-density 9.9e-4 --sigma-z 0.005
    --out tng`
    """
    from pathlib import Path

    from truez.catalogs.catalog import Catalog
    from truez.surveys.mock import MockConfig
    from truez.surveys.observe import make_mock
    from truez.surveys.selection import Selection

    options.refuse_existing(str(Path(out) / "mock.toml"), overwrite=overwrite)
    position_columns = options.names(positions)
    frame = options.frame_from(
        catalog,
        position_columns,
        boxsize=boxsize,
        boxcenter=boxcenter,
        periodic=periodic,
        cellsize=cellsize,
        length_unit=length_unit,
        hubble=hubble,
        los=los,
    )
    low_high = None if trim is None else options.numbers(trim, "--trim", 2)
    config = MockConfig(
        redshift=redshift,
        cosmology=options.cosmology_from(cosmology, hubble),
        sigma_z=sigma_z,
        outlier_fraction=outlier_fraction,
        rank_by=rank_by,
        rank=rank,  # type: ignore[arg-type]
        spec=Selection(cuts=tuple(spec_cut or ()), density=spec_density),
        photo=Selection(cuts=tuple(photo_cut or ()), density=photo_density),
        disjoint=disjoint,
        redshift_space=velocities is not None,
        trim=None if low_high is None else (low_high[0], low_high[1]),
        seed=seed,
    )
    velocity_columns = [] if velocities is None else options.names(velocities)
    properties = {*config.spec.columns, *config.photo.columns, *([rank_by] if rank_by else [])}
    wanted = list(dict.fromkeys([*position_columns, *velocity_columns, *sorted(properties)]))
    galaxies = Catalog.read(catalog, wanted)
    result = make_mock(
        frame.positions(galaxies, position_columns),
        frame.box,
        config,
        velocities=(
            galaxies.velocities(velocity_columns, los=los)[:, 2] if velocity_columns else None
        ),
        columns={name: galaxies[name] for name in properties},
        outside="drop" if drop_outside else "error",
        source={
            "catalogue": Path(catalog).name,
            "positions": position_columns,
            "velocities": velocity_columns,
            "length_unit": frame.length_unit,
            "boxsize": boxsize,
            "boxcenter": boxcenter,
            "los": los,
        },
    )
    result.write(out)
    typer.echo(f"{out}: {result}")
