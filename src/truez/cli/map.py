"""``truez map``: HEALPix maps of a field on the sky."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from truez.cli import options
from truez.cli.options import METHOD, OUTPUT, existing, option

if TYPE_CHECKING:
    from truez.sky.field import SkyField


def map(  # noqa: A001
    field: Annotated[
        str,
        typer.Argument(
            help="Field that `truez reconstruct` wrote on the sky.", **existing("field file")
        ),
    ],
    *,
    zbins: Annotated[
        str, option(METHOD, "Z0,Z1,...: increasing redshifts between the bins of the maps.")
    ],
    nside: Annotated[int, option(METHOD, "Resolution of HEALPix, a power of 2.")] = 256,
    sample: Annotated[
        int | None,
        option(METHOD, "Of this posterior sample in the file, from 0 on, not of the estimate."),
    ] = None,
    out: Annotated[
        str, option(OUTPUT, "Maps to write, .fits, with their figure (.png, .pdf) beside them.")
    ] = "maps.fits",
    overwrite: options.Overwrite = False,
) -> None:
    """Make HEALPix maps of the overdensity in redshift bins.

    A FITS table of the pixels in which galaxies are expected, in equatorial coordinates: for each
    bin the overdensity DELTA_0, DELTA_1, ..., its ERROR_0, ... and the expected galaxies
    EXPECTED_0, ..., by which to weight; COMPLETENESS of the survey; RA and DEC. `healpy.read_map`
    reads bin i as field i. Example:

    `truez map field.h5 --zbins 0.2,0.4,0.6 --nside 256 --out maps.fits`

    With --sample the maps are those of one posterior sample of `truez reconstruct --samples`, which
    have no errors: their scatter is the error of the estimate.
    """
    from os.path import lexists
    from pathlib import Path

    import numpy as np

    from truez.evaluate.figures.sky_maps import sky_maps
    from truez.evaluate.figures.style import save
    from truez.mesh.healpix import check_nside
    from truez.sky.map_error import pixel_side
    from truez.sky.maps import (
        check_bins,
        check_suffix,
        largest_cell,
        maps_from_field,
        num_pixels,
    )
    from truez.support.disk import check_disk
    from truez.support.folders import lock
    from truez.support.outputs import check_output
    from truez.support.progress_bar import progress_bar

    with options.named("--out"):
        check_suffix(out)
    edges = options.numbers(zbins, "--zbins")
    check_nside(nside)
    paths = [out, *(str(Path(out).with_suffix(suffix)) for suffix in (".png", ".pdf"))]
    for path in paths:
        check_output(path, option="--out")
        lock(path, option="--out")
    there = {path: lexists(path) for path in paths}
    if len(set(there.values())) == 2 and not overwrite:
        some, other = sorted(paths, key=lambda path: not there[path])[:: len(paths) - 1]
        raise ValueError(
            f"{some} is there already, and {other} is not, as where a run was killed between the "
            "two: give another --out, or --overwrite to write all"
        )
    for path in paths:
        options.refuse_existing(path, overwrite=overwrite)
    estimate = _read(field, sample)
    check_bins(estimate, edges)
    check_disk(8 * (len(edges) - 1) * num_pixels(estimate, nside), out, option="--out")
    with progress_bar() as progress:
        maps = maps_from_field(estimate, edges, nside, progress=progress)
    maps.write(out)
    save(sky_maps(maps), Path(out).with_suffix(""))
    typer.echo(f"{out}: {maps!r}")
    for number, (low, high) in enumerate(zip(maps.zbins[:-1], maps.zbins[1:], strict=True)):
        there = maps.expected[number] > 0
        text = f"  DELTA_{number}: z = {low:.5g} to {high:.5g}, "
        text += f"{maps.expected[number][there].mean():.3g} galaxies expected in a pixel"
        if maps.error is not None:
            text += f", median error {np.median(maps.error[number][there]):.2g}"
        typer.echo(text)
    if sample is not None:
        seed = estimate.metadata["seed"]
        typer.echo(f"  of the posterior sample {sample} of seed {seed}, without errors")
    elif maps.error is None:
        typer.echo("  the field has no sigma, and its maps no errors")
    cell = largest_cell(estimate)
    if pixel_side(nside) < cell:
        typer.echo(
            f"  pixels of {pixel_side(nside):.2g} deg are smaller than the cells of {cell:.2g} deg"
            " that they are parts of"
        )


def _read(path: str, sample: int | None) -> SkyField:
    """The field or a sample of it, where the file of one in a box is refused by name."""
    from truez.mesh.field_file import read_header
    from truez.sky.field import SkyField
    from truez.sky.samples_file import StoredSkySamples

    try:
        estimate = SkyField.read(path)
    except ValueError:
        try:
            box = read_header(path).box
        except ValueError:
            box = None
        if box is None:
            raise
    else:
        if sample is None:
            return estimate
        stored = StoredSkySamples(path)
        if not 0 <= sample < len(stored):
            raise ValueError(
                f"--sample must be from 0 to {len(stored) - 1}, as {path} has {len(stored)} "
                f"samples, not {sample}"
            )
        return stored[sample]
    raise ValueError(
        f"{path} is a field in one box, and maps are made of those that truez reconstruct writes "
        "for surveys on the sky: give such a file"
    )
