"""``truez join``: one field and one catalogue of the patches of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from truez.cli import options
from truez.cli.options import OUTPUT, existing, option


def join(
    folder: Annotated[
        str, typer.Argument(help="Folder of a run.", **existing("folder of a run", folder=True))
    ],
    *,
    field: Annotated[str | None, option(OUTPUT, "Field file to write, .h5.")] = None,
    redshifts: Annotated[
        str | None,
        option(OUTPUT, "Catalogue to write: .parquet or .hats (a folder) of any size, .fits and "
               "others of some 1e7 galaxies; or a folder, of one Parquet file for each patch."),
    ] = None,
    prefix: Annotated[str | None, option(OUTPUT, "Before the new names.")] = None,
    partial: Annotated[
        bool, option(OUTPUT, "Join what there is, though patches are missing.", "--partial")
    ] = False,
    overwrite: options.Overwrite = False,
) -> None:  # fmt: skip
    """Join the patches of a run of a partition.

    The catalogue has all rows and columns of the photometric input, in its order, with the columns
    of `truez redshifts`. It is written in bounded memory if it is Parquet, or HATS in the order of
    the sky, with the p(z) of a run that makes them. Example:

    `truez join run --field field.h5 --redshifts redshifts.parquet`
    """
    from pathlib import Path

    from truez.catalogs.hats_folder import PROPERTIES
    from truez.cli.partition_run import fail
    from truez.sky.catalog import refuse_taken
    from truez.sky.distributed.driver import missing_patches
    from truez.sky.distributed.join_catalog import ABOUT, CatalogJoin
    from truez.sky.distributed.join_field import join_field
    from truez.sky.distributed.join_hats import BUILDER, CONTENTS, HatsJoin
    from truez.sky.distributed.opened import OpenRun
    from truez.sky.distributed.patch_pdfs import QUANTILES
    from truez.sky.field_file import check_suffix
    from truez.support.progress_bar import progress_bar

    if field is None and redshifts is None:
        raise ValueError("join needs --field FILE or --redshifts FILE: give one of them, or both")
    refuse_taken((), "", prefix or "")
    suffix = "" if redshifts is None else Path(redshifts).suffix
    if field is not None:
        with options.named("--field"):
            check_suffix(field)
        options.refuse_existing(field, overwrite=overwrite, option="--field")
    run = OpenRun.open(folder)
    total = len(run.partition)
    missing = missing_patches(run)
    numbers = sorted(set(range(total)) - {outcome.number for outcome in missing})
    if redshifts is not None:
        if suffix == ".hats":
            options.claim_folder(
                redshifts, CONTENTS, last=PROPERTIES, says=BUILDER, maker="truez join",
                overwrite=overwrite, option="--redshifts",
            )  # fmt: skip
        elif not suffix:
            names = [ABOUT, "rest.parquet", *(f"patch-{n:05d}.parquet" for n in numbers)]
            options.claim_folder(redshifts, names, last=ABOUT, says="truez", maker="truez join",
                                 overwrite=overwrite, option="--redshifts")  # fmt: skip
        else:
            options.refuse_existing(redshifts, overwrite=overwrite, option="--redshifts")
    if missing and (not partial or not numbers):
        remedy = "make them, or join the others with --partial"
        fail(missing, total, remedy if numbers else "make them")
    with progress_bar() as progress:
        joined = CatalogJoin(run, numbers, prefix or "", progress)
        hats = HatsJoin(joined)
        if redshifts is not None:
            (hats if suffix == ".hats" else joined).check(redshifts)
        if field is not None:
            join_field(run, field, numbers, progress)
            typer.echo(f"{field}: {run.plan.method} on {len(numbers)} of {total} patches")
        if redshifts is not None:
            write = {"": joined.write_folder, ".hats": hats.write}.get(suffix, joined.write)
            write(redshifts)
            rows = run.partition.num_rows("photo")
            typer.echo(f"{redshifts}: {rows} galaxies, of {len(numbers)} of {total} patches")
            wanted = run.plan.wanted
            if wanted.pdf and suffix in ("", ".hats", ".parquet"):
                name = f"{prefix or ''}{QUANTILES}"
                typer.echo(f"  with p(z) as {wanted.quantiles} quantiles: {name}")
