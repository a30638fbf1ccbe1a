"""``truez reconstruct``: two surveys in, the true-redshift density field out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from truez.cli import options

if TYPE_CHECKING:
    from truez.cosmology import Cosmology
    from truez.surveys import Surveys


#: Options that describe two catalogues, which a mock folder does by itself.
CATALOGUE_OPTIONS = (
    "spec", "photo", "match_id", "overlap", "sigma_z", "outlier_fraction", "redshift", "real_space",
    "photo_bounds", "positions", "spec_positions", "length_unit", "hubble", "boxsize", "boxcenter",
    "periodic", "cellsize", "los", "cosmology",
)  # fmt: skip


def reconstruct(
    context: typer.Context,
    folder: Annotated[
        str | None,
        typer.Argument(help="Mock folder; or give --spec and --photo.", show_default=False),
    ] = None,
    out: Annotated[str, typer.Option(help="Field file to write, .h5 or .fits.")] = "field.h5",
    method: Annotated[
        str, typer.Option(help="wiener, wiener-spec, wiener-photo or dual-unet.")
    ] = "wiener",
    weights: Annotated[
        str | None, typer.Option(help="Weights of the network.", show_default=False)
    ] = None,
    spec: Annotated[
        str | None, typer.Option(help="Spectroscopic catalogue.", show_default=False)
    ] = None,
    photo: Annotated[
        str | None,
        typer.Option(help="Photometric catalogue, at its photo-z.", show_default=False),
    ] = None,
    match_id: Annotated[
        str | None,
        typer.Option(
            help="Column of both catalogues that names a galaxy: who is in both is then counted.",
            show_default=False,
        ),
    ] = None,
    overlap: Annotated[
        str | None,
        typer.Option(
            help="Without --match-id: nested (every spec galaxy is in photo), disjoint, or the "
            "fraction of spec galaxies that photo holds.",
            show_default=False,
        ),
    ] = None,
    sigma_z: Annotated[
        float | None,
        typer.Option(help="Photo-z error divided by (1 + z).", show_default=False),
    ] = None,
    fit_sigma: Annotated[
        bool,
        typer.Option("--fit-sigma", help="Let the Wiener filter fit the error, from sigma-z on."),
    ] = False,
    outlier_fraction: options.Outliers = 0.0,
    redshift: Annotated[
        float | None, typer.Option(help="Redshift of the volume.", show_default=False)
    ] = None,
    real_space: Annotated[
        bool,
        typer.Option("--real-space", help="Positions hold no peculiar velocities (simulations)."),
    ] = False,
    photo_bounds: Annotated[
        str,
        typer.Option(
            help="What bounds the photometric sample along a closed box: truth (the galaxies fill "
            "the box and their photo-z leak out) or photo-z (a cut in photo-z)."
        ),
    ] = "truth",
    positions: options.Positions = "x,y,z",
    spec_positions: Annotated[
        str | None,
        typer.Option(help="The same for --spec, where it differs.", show_default=False),
    ] = None,
    length_unit: options.LengthUnit = None,
    hubble: options.Hubble = None,
    boxsize: Annotated[
        str | None,
        typer.Option(
            help="Side of the box, or X,Y,Z, in the catalogue's unit.", show_default=False
        ),
    ] = None,
    boxcenter: options.Boxcenter = None,
    periodic: options.Periodic = True,
    cellsize: options.Cellsize = 2.0,
    los: options.Los = "z",
    cosmology: options.CosmologyText = "planck18",
    resampler: Annotated[str, typer.Option(help="ngp, cic or tsc.")] = "cic",
    tile: Annotated[
        int, typer.Option(help="Cells of a network tile's side; 0 is the whole field.")
    ] = 64,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Reconstruct the density field that exact redshifts would show.

    From a mock folder, `truez reconstruct tng --method wiener --out tng/wiener.h5`, or from two
    catalogues in one box:

    `truez reconstruct --spec spec.fits --photo photo.fits --boxsize 500 --not-periodic
    --redshift 0.6 --sigma-z 0.02 --match-id ID --out field.h5`
    """
    from dataclasses import replace

    from truez.cli.progress import progress_bar
    from truez.field import field_suffix
    from truez.mocks import Mock
    from truez.reconstruct import reconstruct as run

    field_suffix(out)
    options.refuse_existing(out, overwrite=overwrite)
    if folder is not None:
        options.refuse_given(context, CATALOGUE_OPTIONS, "a mock folder says that itself")
        found = Mock.read(folder)
        surveys = replace(found.surveys, metadata={"mock": found.fingerprint})
    else:
        if spec is None or photo is None:
            raise ValueError("give a mock folder, or both --spec FILE and --photo FILE")
        if boxsize is None or redshift is None or sigma_z is None:
            raise ValueError("catalogues need --boxsize, --redshift and --sigma-z beside them")
        if (match_id is None) == (overlap is None):
            raise ValueError(
                "say which galaxies both surveys hold: --match-id COLUMN, or --overlap nested, "
                "disjoint or FRACTION"
            )
        photo_columns = options.names(positions)
        frame = options.frame_from(
            photo,
            photo_columns,
            boxsize=boxsize,
            boxcenter=boxcenter,
            periodic=periodic,
            cellsize=cellsize,
            length_unit=length_unit,
            hubble=hubble,
            los=los,
        )
        surveys = _surveys(
            {"spec": spec, "photo": photo},
            {"spec": options.names(spec_positions or positions), "photo": photo_columns},
            frame,
            options.cosmology_from(cosmology, hubble),
            match_id=match_id,
            overlap=overlap,
            sigma_z=sigma_z,
            outlier_fraction=outlier_fraction,
            redshift=redshift,
            redshift_space=not real_space,
            photo_bounds=photo_bounds,
        )
    with progress_bar() as progress:
        field = run(
            surveys,
            method,
            weights=weights,
            resampler=resampler,
            fit_sigma=fit_sigma,
            tile=tile or None,
            device=options.chosen_device(device),
            progress=progress,
        )
    field.write(out)
    typer.echo(f"{out}: {method} on {field.box}")
    if field.metadata["num_photo_outside"]:
        typer.echo(f"  {field.metadata['num_photo_outside']} photo-z lie outside and are left out")
    typer.echo(f"  {field.metadata['num_both']:.0f} galaxies are in both surveys")
    for name, value in field.metadata.get("linear_model", {}).items():
        typer.echo(f"  {name:<17}{value:.4g}")
    if "sigma" in field.metadata:
        typer.echo(f"  error of the estimate {field.metadata['sigma']:.4g} per cell")


def _surveys(
    files: dict[str, str],
    columns: dict[str, list[str]],
    frame: options.Frame,
    cosmology: Cosmology,
    *,
    match_id: str | None,
    overlap: str | None,
    sigma_z: float,
    outlier_fraction: float,
    redshift: float,
    redshift_space: bool,
    photo_bounds: str,
) -> Surveys:
    """Read the two catalogues, ``spec`` and ``photo``, into one box."""
    from truez.catalog import Catalog
    from truez.photoz import PhotozError
    from truez.surveys import Surveys, count_overlap, match_rows

    positions, ids = {}, {}
    for name, path in files.items():
        catalog = Catalog.read(path, [*columns[name], *([match_id] if match_id else [])])
        positions[name] = frame.positions(catalog, columns[name])
        if match_id:
            ids[name] = catalog[match_id]
    sigma = cosmology.distance_error(sigma_z * (1 + redshift), redshift)
    num_both = count_overlap(
        len(positions["spec"]), ids=(ids.get("spec"), ids.get("photo")), overlap=overlap
    )
    return Surveys(
        **positions,
        box=frame.box,
        error=PhotozError(sigma, outlier_fraction),
        num_both=num_both,
        matched=match_rows(ids["spec"], ids["photo"]) if ids else None,
        cosmology=cosmology,
        redshift=redshift,
        redshift_space=redshift_space,
        photo_bounds=photo_bounds,  # type: ignore[arg-type]
        metadata={
            **files,
            "sigma_z": sigma_z,
            "match_id": match_id,
            "overlap": overlap,
            "length_unit": frame.length_unit,
            "los": frame.los,
        },
    )
