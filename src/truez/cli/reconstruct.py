"""``truez reconstruct``: two surveys in, the true-redshift density field out."""

from __future__ import annotations

from typing import Annotated

import typer

from truez.cli import inputs, options


def reconstruct(
    context: typer.Context,
    folder: inputs.Folder = None,
    out: Annotated[str, typer.Option(help="Field file to write, .h5 or .fits.")] = "field.h5",
    method: Annotated[
        str,
        typer.Option(
            help="columns, redistribution, wiener, wiener-spec, wiener-photo or dual-unet."
        ),
    ] = "columns",
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
    fit_sigma: inputs.FitSigma = False,
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
    """Reconstruct the density field that exact redshifts would show.

    By default the photometric galaxies are moved along their sight lines to where a network on
    columns expects them; --method redistribution does so without a network, and --method wiener is
    the best linear filter.

    From a mock folder, `truez reconstruct tng --out tng/columns.h5`, or from two catalogues in one
    box:

    `truez reconstruct --spec spec.fits --photo photo.fits --boxsize 500 --not-periodic
    --redshift 0.6 --sigma-z 0.02 --match-id ID --out field.h5`
    """
    from truez.cli.progress import progress_bar
    from truez.mesh.field import field_suffix
    from truez.networks.symmetries import first_symmetries
    from truez.reconstruct import reconstruct as reconstructed

    suffix = field_suffix(out)
    options.refuse_existing(out, overwrite=overwrite)
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
    with progress_bar() as progress:
        result = reconstructed(
            found.surveys,
            method,
            device=options.chosen_device(device),
            progress=progress,
            **inputs.method_settings(
                context,
                method,
                weights=weights,
                resampler=resampler,
                fit_sigma=fit_sigma,
                floor=floor,
                tile=inputs.chosen_tile(tile),
                symmetries=symmetries,
                bf16=bf16,
            ),
        )
    field = result.delta
    result.write(out)
    typer.echo(f"{out}: {method} on {field.box}")
    if field.metadata["num_photo_outside"]:
        typer.echo(f"  {field.metadata['num_photo_outside']} photo-z lie outside and are left out")
    typer.echo(f"  {field.metadata['num_both']:.0f} galaxies are in both surveys")
    if "num_matched" in field.metadata:
        typer.echo(f"  {field.metadata['num_matched']} of them were put at their known redshift")
    for name, value in field.metadata.get("linear_model", {}).items():
        typer.echo(f"  {name:<22}{value:.4g}")
    if "floor_fraction" in field.metadata:
        share = 100 * field.metadata["floor_fraction"]
        typer.echo(f"  the intensity is at its floor in {share:.3g}% of the cells")
    if "sigma" in field.metadata:
        typer.echo(f"  error of the estimate {field.metadata['sigma']:.4g} per cell")
    if "sigma_given_intensity" in field.metadata:
        sigma = field.metadata["sigma_given_intensity"]
        typer.echo(f"  error that unknown redshifts leave {sigma:.4g} per cell, and more from the")
        typer.echo("  intensity's own error")
    if result.sigma is not None and suffix == ".fits":
        typer.echo("  its error cell by cell is left out of a FITS file: write to .h5 to have it")
