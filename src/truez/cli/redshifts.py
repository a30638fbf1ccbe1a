"""``truez redshifts``: the photometric catalogue with sharpened redshifts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli import inputs, options

if TYPE_CHECKING:
    from numpy.typing import NDArray


def redshifts(
    context: typer.Context,
    folder: inputs.Folder = None,
    out: Annotated[
        str, typer.Option(help="Catalogue to write: .fits, .parquet, .h5, .asdf, .ecsv, .csv.")
    ] = "redshifts.fits",
    method: Annotated[
        str, typer.Option(help="What expects galaxies along the sight lines: redistribution.")
    ] = "redistribution",
    interval: Annotated[
        float, typer.Option(help="Share of the posterior between the columns _lo and _hi.")
    ] = 0.68,
    weights: Annotated[
        str | None, typer.Option(help="Weights of the network.", show_default=False)
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
    tile: inputs.Tile = 64,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Sharpen the redshift of every photometric galaxy.

    Its posterior given both surveys, p(z | z_phot, surveys), is proportional to the density that
    they expect along its sight line times its photo-z error. The photometric catalogue is written
    with new columns, along the line of sight and in the unit of its positions: z_mean, z_mode,
    z_std, z_lo and z_hi (x_... or y_... with --los x or y), and information_gain, what is learned
    over the photo-z alone [nats]. With --match-id, or from a mock, spec_matched tells the galaxies
    whose redshift was known.

    `truez redshifts tng --out tng/redshifts.parquet`, or two catalogues with the options of
    `truez reconstruct`.
    """
    from pathlib import Path

    import numpy as np

    from truez import formats
    from truez.catalog import Catalog
    from truez.cli.progress import progress_bar
    from truez.reconstruct import estimate
    from truez.sharpened import sharpen

    formats.format_of(Path(out))
    options.refuse_existing(out, overwrite=overwrite)
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
    surveys = found.surveys
    with progress_bar() as progress:
        result = estimate(
            surveys,
            method,
            weights=weights,
            resampler=resampler,
            floor=floor,
            tile=tile or None,
            device=options.chosen_device(device),
            progress=progress,
        )
        if result.intensity is None:
            raise ValueError(
                f"method {method} has no posterior of single galaxies: choose redistribution"
            )
        sharpened = sharpen(surveys, result.intensity, interval=interval, progress=progress)
    lengths = {
        "mean": sharpened.mean,
        "mode": sharpened.mode,
        "std": sharpened.std,
        "lo": sharpened.lower,
        "hi": sharpened.upper,
    }
    columns: dict[str, NDArray[Any]] = {
        f"{found.los}_{name}": values / found.length_factor for name, values in lengths.items()
    }
    units = {**dict.fromkeys(columns, found.length_unit), "information_gain": "nats"}
    columns["information_gain"] = sharpened.information
    if surveys.matched is not None:
        columns["spec_matched"] = ~surveys.photo_only()
    catalog = Catalog.read(found.photo)
    taken = [name for name in columns if name in catalog]
    if taken:
        raise ValueError(
            f"{found.photo} has a column {taken[0]} already: leave it out of that catalogue"
        )
    metadata = {**result.field.metadata, "method": method, "interval": interval}
    longer = catalog.with_columns(columns, units)
    Catalog(longer.columns, longer.units, {**catalog.metadata, "truez": metadata}).write(out)

    unknown = surveys.photo_only() & np.isfinite(sharpened.std)
    typer.echo(f"{out}: {len(catalog)} galaxies, {np.count_nonzero(unknown)} of them sharpened")
    if lost := np.count_nonzero(np.isnan(sharpened.std)):
        typer.echo(f"  {lost} photo-z lie too far outside the box, and are nan")
    typer.echo(
        f"  median error {np.median(sharpened.std[unknown]):.3g} Mpc/h, of the photo-z "
        f"{surveys.error.sigma:.3g} Mpc/h"
    )
    gain = sharpened.information[unknown].mean()
    typer.echo(f"  expected information gain {gain:.3g} nats per galaxy")
