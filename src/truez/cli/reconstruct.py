"""``truez reconstruct``: the true-redshift density field of two surveys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from truez.cli import inputs, method_options, options
from truez.cli.methods import METHODS
from truez.cli.options import METHOD, OUTPUT, option
from truez.cli.parameters import flattened
from truez.cli.partition_run import refuse_partition
from truez.cli.patches import PatchOptions, check_patches, echo_patches
from truez.cli.sky import read_sky, reconstruct_sky
from truez.cli.sky_options import SkyOptions

if TYPE_CHECKING:
    from truez.mesh.box import Box

#: Options of samples, which boxes and the sky have.
_DRAWN = ("samples", "seed")


@flattened
def reconstruct(
    context: typer.Context,
    folder: inputs.Folder = None,
    *,
    surveys: inputs.SurveyOptions,
    method: Annotated[str, option(METHOD, f"{', '.join(METHODS)}.")] = "columns",
    resampler: options.Resampler = "cic",
    floor: method_options.Floor = 0.05,
    fit_sigma: Annotated[
        bool,
        option(
            METHOD,
            "Fit the photo-z error in the Wiener filter, starting from --sigma-z.",
            "--fit-sigma",
        ),
    ] = False,
    draws: Annotated[int, option(METHOD, "Catalogues of a median.")] = 64,
    seed: Annotated[int, option(METHOD, "Seed of a median and of --samples.")] = 0,
    patches: PatchOptions,
    intensity: method_options.IntensityOptions,
    network: method_options.NetworkOptions,
    plugin: method_options.PluginOptions,
    sky: SkyOptions,
    out: Annotated[
        str, option(OUTPUT, "Field file to write, .h5 or .fits; on the sky .h5.")
    ] = "field.h5",
    samples: Annotated[int, option(OUTPUT, "Posterior samples to write, too.", min=0)] = 0,
    overwrite: options.Overwrite = False,
    device: options.Device = "auto",
) -> None:
    """Reconstruct the density field that exact redshifts would show.

    By default the photometric galaxies are moved along their sight lines to where a network expects
    them; --method redistribution does so without a network, and --method wiener is the best linear
    filter.

    From a mock folder, `truez reconstruct tng --out tng/columns.h5`, or from two catalogues in one
    box:

    `truez reconstruct --spec spec.fits --photo photo.fits --boxsize 500 --not-periodic
    --redshift 0.6 --sigma-z 0.02 --match-id ID --out field.h5`

    or on the sky:

    `truez reconstruct --spec spec.fits --photo photo.fits --sky RA,DEC,Z --photo-sky RA,DEC,Z_PHOT
    --sigma-z 0.02 --footprint mask.fits --match-id ID --out field.h5`

    For surveys unlike those of the network's training redistribution is the default. --samples 16
    also writes posterior samples; --patch 512 works on boxes larger than memory.
    """
    from truez.mesh.field_file import field_suffix
    from truez.mesh.memory import VALUE
    from truez.mesh.samples_file import check_samples_suffix
    from truez.reconstruct import check_start, written_meshes
    from truez.reconstruct import reconstruct as run_method
    from truez.reconstruct.patched import reconstruct_in_patches
    from truez.support.disk import check_disk
    from truez.support.progress_bar import progress_bar

    refuse_partition(folder)
    with options.named("--out"):
        suffix = field_suffix(out)
    if samples:
        check_samples_suffix(out)
    options.refuse_existing(out, overwrite=overwrite or sky.dry_run)
    run = read_sky(
        context, folder, surveys, sky, network, method, resampler=resampler, floor=floor,
        own=_DRAWN, in_boxes=_DRAWN, **vars(intensity),
    )  # fmt: skip
    if run is not None:
        if not samples:
            options.refuse_given(context, ["seed"], "on the sky only with --samples N")
        reconstruct_sky(run, out, dry_run=sky.dry_run, samples=samples, seed=seed)
        return
    where = options.chosen_device(device)
    wanted = method_options.chosen_method(context, surveys, method)
    drawn = {"draws": draws, "seed": seed}
    if samples and not method_options.has_setting(wanted, "seed"):
        del drawn["seed"]
    settings = method_options.method_settings(
        context,
        wanted,
        resampler=resampler,
        fit_sigma=fit_sigma,
        floor=floor,
        **vars(intensity),
        **drawn,
        **network.settings,
    ) | plugin.settings(context)
    if samples:
        method_options.check_drawn(wanted, seed)
    sides = patches.sides(context)
    if sides is not None and (samples or suffix == ".fits"):
        what = "--samples is not" if samples else f"{out}, as FITS, is not"
        raise ValueError(f"{what} for a box in patches: leave --patch out, or write .h5 alone")

    def start(box: Box) -> None:
        if sides is not None:
            check_patches(box, sides, wanted, where, settings)
            return
        check_start(box, wanted, device=where, **settings)
        meshes = 1 if suffix == ".fits" else written_meshes(box, wanted, **settings)
        size = VALUE * (meshes + samples) * box.num_cells
        check_disk(size, out, option="--out", less=", or fewer --samples" if samples else "")

    found = inputs.read_inputs(context, folder, surveys, start=start, in_patches=sides is not None)
    with progress_bar() as progress:
        if sides is None:
            result = run_method(found.surveys, wanted, device=where, progress=progress, **settings)
            result.write(out, samples=samples, seed=seed, progress=progress)
            metadata, has_sigma = result.metadata, result.sigma is not None
        else:
            metadata = reconstruct_in_patches(
                found.surveys, wanted, path=out, patches=sides, device=where, progress=progress,
                **settings,
            )  # fmt: skip
            has_sigma = False
    typer.echo(f"{out}: {metadata['method']} on {found.surveys.box}")
    if sides is not None:
        echo_patches(metadata)
    if samples:
        typer.echo(f"  with {samples} posterior samples of seed {seed}")
    if metadata.get("num_photo_outside"):
        typer.echo(f"  {metadata['num_photo_outside']} photo-z lie outside and are left out")
    typer.echo(f"  {metadata['num_both']:.0f} galaxies are in both surveys")
    inputs.echo_samples(found.surveys)
    inputs.echo_found(metadata)
    if "num_matched" in metadata:
        typer.echo(f"  {metadata['num_matched']} of them are at their known redshift")
    for name, value in metadata.get("linear_model", {}).items():
        typer.echo(f"  {name:<22}{value:.4g}")
    if "floor_fraction" in metadata:
        share = 100 * metadata["floor_fraction"]
        typer.echo(f"  the intensity is at its floor in {share:.3g}% of the cells")
    if "mean" in metadata:
        typer.echo(f"  the median has mean {metadata['mean']:.3g}, where delta has 0")
    if "sigma" in metadata:
        typer.echo(f"  error of the estimate {metadata['sigma']:.4g} per cell")
    if "sigma_given_intensity" in metadata:
        sigma = metadata["sigma_given_intensity"]
        typer.echo(f"  error due to unknown redshifts {sigma:.4g} per cell, without that of the")
        typer.echo("  intensity")
    if has_sigma and suffix == ".fits":
        typer.echo("  its error cell by cell is left out of a FITS file: write to .h5 to have it")
