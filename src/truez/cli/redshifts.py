"""``truez redshifts``: the photometric catalogue with sharpened redshifts."""

from __future__ import annotations

from typing import Annotated

import typer

from truez.cli import inputs, options


def redshifts(
    context: typer.Context,
    folder: inputs.Folder = None,
    out: Annotated[
        str, typer.Option(help="Catalogue to write: .fits, .parquet, .h5, .asdf, .ecsv, .csv.")
    ] = "redshifts.fits",
    pdf: Annotated[
        str | None,
        typer.Option(
            help="File of p(z) to write as well, .hdf5, which qp reads.", show_default=False
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(help="What expects galaxies along the sight lines: columns, redistribution."),
    ] = "columns",
    interval: Annotated[
        float, typer.Option(help="Share of the posterior between the columns _lo and _hi.")
    ] = 0.68,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Weights of the network; those of columns come with truez.", show_default=False
        ),
    ] = None,
    spec: inputs.Spec = None,
    photo: inputs.Photo = None,
    match_id: inputs.MatchId = None,
    overlap: inputs.Overlap = None,
    sigma_z: inputs.SigmaZ = None,
    outlier_fraction: options.Outliers = 0.0,
    redshift: inputs.Redshift = None,
    real_space: inputs.RealSpace = False,
    photo_bounds: inputs.PhotoBounds = "truth",
    positions: options.Positions = "x,y,z",
    spec_positions: inputs.SpecPositions = None,
    length_unit: options.LengthUnit = None,
    hubble: options.Hubble = None,
    boxsize: inputs.Boxsize = None,
    boxcenter: options.Boxcenter = None,
    periodic: options.Periodic = True,
    cellsize: options.Cellsize = 2.0,
    los: options.Los = "z",
    cosmology: options.CosmologyText = "planck18",
    resampler: inputs.Resampler = "cic",
    floor: inputs.Floor = 0.05,
    tile: inputs.Tile = None,
    symmetries: inputs.Symmetries = 1,
    bf16: inputs.Bf16 = False,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Sharpen the redshift of every photometric galaxy.

    Its posterior given both surveys, p(z | z_phot, surveys), is proportional to the density that
    they expect along its sight line times its photo-z error. The photometric catalogue is written
    with new columns, along the line of sight and in the unit of its positions: z_mean, z_mode,
    z_std, z_lo and z_hi (x_... or y_... with --los x or y), and information_gain, what is learned
    over the photo-z alone [nats]. With --match-id, or from a mock, spec_matched tells the galaxies
    whose redshift was known. --pdf writes p(z) itself too, for qp (LSST DESC), in redshift.

    `truez redshifts tng --out tng/redshifts.parquet`, or two catalogues with the options of
    `truez reconstruct`.
    """
    from pathlib import Path

    from truez.catalogs import formats
    from truez.cli.progress import progress_bar
    from truez.networks.symmetries import first_symmetries
    from truez.reconstruct import reconstruct
    from truez.sightlines.catalog import Terms, refuse_taken, write_sharpened
    from truez.sightlines.pdf_file import check_suffix
    from truez.sightlines.sharpened import check_interval

    formats.format_of(Path(out))
    options.refuse_existing(out, overwrite=overwrite)
    if pdf is not None:
        check_suffix(pdf)
        options.refuse_existing(pdf, overwrite=overwrite, option="--pdf")
        if Path(pdf).resolve() == Path(out).resolve():
            raise ValueError(f"--out and --pdf must be two files, not both {pdf}")
    check_interval(interval)
    first_symmetries(symmetries)
    found = inputs.read_inputs(
        context,
        folder,
        spec=spec,
        photo=photo,
        match_id=match_id,
        overlap=overlap,
        sigma_z=sigma_z,
        outlier_fraction=outlier_fraction,
        redshift=redshift,
        real_space=real_space,
        photo_bounds=photo_bounds,
        positions=positions,
        spec_positions=spec_positions,
        length_unit=length_unit,
        hubble=hubble,
        boxsize=boxsize,
        boxcenter=boxcenter,
        periodic=periodic,
        cellsize=cellsize,
        los=los,
        cosmology=cosmology,
    )
    terms = Terms(found.los, found.length_unit, found.length_factor, match_id)
    refuse_taken(found.photo, found.surveys, terms)
    with progress_bar() as progress:
        result = reconstruct(
            found.surveys,
            method,
            device=options.chosen_device(device),
            progress=progress,
            **inputs.method_settings(
                context,
                method,
                weights=weights,
                resampler=resampler,
                floor=floor,
                tile=inputs.chosen_tile(tile),
                symmetries=symmetries,
                bf16=bf16,
            ),
        )
        if result.intensity is None:
            raise ValueError(
                f"method {method} has no posterior of single galaxies: choose columns or "
                "redistribution"
            )
        told = write_sharpened(
            out,
            found.photo,
            found.surveys,
            result.intensity,
            pdf=pdf,
            interval=interval,
            terms=terms,
            metadata={**result.field.metadata, "method": method, "interval": interval},
            progress=progress,
        )

    typer.echo(f"{out}: {told.num_galaxies} galaxies, {told.num_sharpened} of them sharpened")
    if told.num_lost:
        typer.echo(f"  {told.num_lost} photo-z lie too far outside the box, and are nan")
    typer.echo(
        f"  median error {told.median_error:.3g} Mpc/h, of the photo-z "
        f"{found.surveys.error.sigma:.3g} Mpc/h"
    )
    typer.echo(f"  expected information gain {told.gain:.3g} nats per galaxy")
    if pdf is not None:
        typer.echo(f"{pdf}: p(z) of each galaxy, for qp")
