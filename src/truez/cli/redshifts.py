"""``truez redshifts``: the photometric catalogue with sharpened redshifts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from truez.cli import inputs, method_options, options
from truez.cli.method_options import DrawOptions
from truez.cli.options import METHOD, OUTPUT, option
from truez.cli.parameters import flattened, option_names
from truez.cli.partition_run import refuse_partition
from truez.cli.patches import PatchOptions, check_patches, echo_patches
from truez.cli.sky import read_sky, redshifts_sky
from truez.cli.sky_clustering import claim_clustering
from truez.cli.sky_options import SkyOptions, SkyRedshiftOptions

if TYPE_CHECKING:
    from truez.reconstruct.patch_store import PatchStore
    from truez.sightlines.intensity import Intensity
    from truez.sightlines.joined import JoinedRedshifts

#: What the new columns take of a disk at least for each galaxy [bytes].
NEW_COLUMNS = 12


@flattened
def redshifts(
    context: typer.Context,
    folder: inputs.Folder = None,
    *,
    surveys: inputs.SurveyOptions,
    method: Annotated[
        str,
        option(METHOD, "Density along the sight lines: columns, redistribution."),
    ] = "columns",
    resampler: options.Resampler = "cic",
    floor: method_options.Floor = 0.05,
    interval: Annotated[
        float, option(METHOD, "Probability between the columns _lo and _hi.")
    ] = 0.68,
    patches: PatchOptions,
    intensity: method_options.IntensityOptions,
    network: method_options.NetworkOptions,
    plugin: method_options.PluginOptions,
    sky: SkyOptions,
    on_sky: SkyRedshiftOptions,
    out: Annotated[
        str, option(OUTPUT, "Catalogue to write: .fits, .parquet, .h5, .asdf, .ecsv, .csv.")
    ] = "redshifts.fits",
    pdf_out: Annotated[str | None, option(OUTPUT, "p(z) as well, .hdf5, for qp.")] = None,
    drop_unsupported: Annotated[
        bool,
        option(
            OUTPUT,
            "Leave out columns that --out cannot hold.",
            "--drop-unsupported",
        ),
    ] = False,
    overwrite: options.Overwrite = False,
    device: options.Device = "auto",
) -> None:
    """Sharpen the redshift of every photometric galaxy.

    The posterior p(z | z_phot, surveys) is proportional to the expected density along the sight
    line of the galaxy times its photo-z error. The photometric catalogue is written with new
    columns, along the line of sight and in the unit of its positions: z_mean, z_mode, z_std, z_lo
    and z_hi (x_... or y_... with --los x or y), and information_gain, relative to the photo-z
    alone [nats]. With --match-id, or from a mock, spec_matched marks known redshifts.
    --pdf-out also writes p(z), for qp.

    `truez redshifts tng --out tng/redshifts.parquet`, or two catalogues with the options of
    `truez reconstruct`. On the sky (--sky) the columns are in redshift, and z_median, log_evidence
    and flag are among them. For surveys unlike those of the network's training the default is
    redistribution.
    """
    from contextlib import ExitStack
    from dataclasses import replace
    from functools import partial
    from os.path import lexists
    from pathlib import Path

    import numpy as np

    from truez.catalogs import formats
    from truez.reconstruct import check_start, reconstruct
    from truez.reconstruct.patched import sharpen_in_patches
    from truez.sightlines.catalog import Terms, check_output, write_sharpened
    from truez.sightlines.intensity import Intensity
    from truez.sightlines.sharpened import check_interval
    from truez.support.disk import check_disk
    from truez.support.folders import lock
    from truez.support.memory import check_memory
    from truez.support.progress_bar import progress_bar
    from truez.support.spill import spill_beside
    from truez.surveys.pdfs.writing import check_suffix

    refuse_partition(folder)
    with options.named("--out"):
        formats.format_of(Path(out))
    if pdf_out is not None:
        with options.named("--pdf-out"):
            check_suffix(pdf_out)
        if Path(pdf_out).resolve() == Path(out).resolve():
            raise ValueError(f"--out and --pdf-out must be two files, not both {pdf_out}")
        lock(pdf_out, option="--pdf-out")
        # --pdf-out is moved into place last.
        if lexists(out) and not lexists(pdf_out) and not overwrite:
            raise ValueError(
                f"{out} is there already, and {pdf_out} is not, as where a run was killed between "
                "the two: give another --out, or --overwrite to write both"
            )
    if on_sky.clustering is not None and not sky.dry_run:
        # Both are locked before either is refused, so that no lock of a killed run is left.
        lock(on_sky.clustering, option="--clustering")
    options.refuse_existing(out, overwrite=overwrite or sky.dry_run)
    if pdf_out is not None:
        options.refuse_existing(pdf_out, overwrite=overwrite or sky.dry_run, option="--pdf-out")
    check_interval(interval)
    if on_sky.clustering is not None:
        claim_clustering(on_sky, out, overwrite=overwrite, dry_run=sky.dry_run)
    else:
        options.refuse_given(context, ["randoms_factor"], "only with --clustering FOLDER")
    run = read_sky(
        context, folder, surveys, sky, network, method, resampler=resampler, floor=floor,
        own=option_names(SkyRedshiftOptions), in_boxes=option_names(DrawOptions),
        **vars(intensity),
    )  # fmt: skip
    if run is not None:
        redshifts_sky(
            run, out, sky, on_sky, interval, pdf_out=pdf_out, drop_unsupported=drop_unsupported
        )
        return
    where = options.chosen_device(device)
    wanted = method_options.chosen_method(context, surveys, method)
    settings = method_options.method_settings(
        context, wanted, resampler=resampler, floor=floor, **vars(intensity), **network.settings
    ) | plugin.settings(context)
    method_options.check_drawn(wanted, on_sky.seed)
    sides = patches.sides(context)
    if sides is not None and (pdf_out is not None or on_sky.draws):
        what = "--draws" if pdf_out is None else "--pdf-out"
        raise ValueError(f"{what} is not for a box in patches: leave it out, or --patch")
    start = partial(check_start, method=wanted, device=where, **settings)
    if sides is not None:
        start = partial(
            check_patches, sides=sides, method=wanted, device=where, settings=settings
        )  # fmt: skip
    found = inputs.read_inputs(context, folder, surveys, start=start, in_patches=sides is not None)
    terms = Terms(
        found.los, found.length_unit, found.length_factor, surveys.match_id, found.drop_missing,
        rows=found.surveys.photo_kept,
        drawn=np.empty((on_sky.draws, 0)),
    )  # fmt: skip
    num = len(found.surveys.photo)
    check_memory(8 * on_sky.draws * num, f"--draws {on_sky.draws} for {num} galaxies", "draw fewer")
    terms = check_output(
        out,
        found.photo,
        found.surveys,
        terms,
        pdf_out=pdf_out is not None,
        drop_unsupported=drop_unsupported,
    )
    check_disk((NEW_COLUMNS + 8 * on_sky.draws) * num, out, option="--out")
    with ExitStack() as stack:
        progress = stack.enter_context(progress_bar())
        how: dict[str, Any] = {"device": where, "progress": progress, **settings}
        store: PatchStore | None = None
        estimate: Intensity | JoinedRedshifts
        if sides is not None:
            spill = stack.enter_context(spill_beside(Path(out)))
            estimate, metadata, store = sharpen_in_patches(
                found.surveys, wanted, path=out, patches=sides, interval=interval, spill=spill,
                **how,
            )  # fmt: skip
        else:
            result = reconstruct(found.surveys, wanted, **how)
            estimate, metadata = Intensity.of(result, result.delta.box), result.field.metadata
        metadata = {**metadata, "interval": interval}
        if on_sky.draws:
            drawn = result.places(on_sky.draws, seed=on_sky.seed, progress=progress)
            terms = replace(terms, drawn=drawn)
            metadata |= {"draws": on_sky.draws, "seed": on_sky.seed}
        written = write_sharpened(
            out,
            found.photo,
            found.surveys,
            estimate,
            pdf_out=pdf_out,
            interval=interval,
            terms=terms,
            metadata=metadata,
            progress=progress,
        )
        if store is not None:
            store.remove()

    typer.echo(f"{out}: {written.num_galaxies} galaxies, {written.num_sharpened} of them sharpened")
    if sides is not None:
        echo_patches(metadata)
    inputs.echo_samples(found.surveys)
    inputs.echo_found(metadata)
    if written.num_lost:
        typer.echo(f"  {written.num_lost} photo-z lie too far outside the box, and are nan")
    typer.echo(
        f"  median error {written.median_error:.3g} Mpc/h, of the photo-z "
        f"{found.surveys.error.sigma:.3g} Mpc/h"
    )
    typer.echo(f"  expected information gain {written.gain:.3g} nats per galaxy")
    if on_sky.draws:
        typer.echo(f"  {on_sky.draws} places drawn for each galaxy, of seed {on_sky.seed}")
    if pdf_out is not None:
        typer.echo(f"{pdf_out}: p(z) of each galaxy, for qp")
